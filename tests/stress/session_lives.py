"""A desk's order-entry session that may die at any boundary, and the venue that outlives it.

`Desk` is what procs/trading.py is made of, without its process: OrderEntry over a fix44 session (a real FixSession as
initiator) on a FileStore, with the journal of ipc/. `Peer` is a real FixSession as acceptor that remembers everything.
"""

import contextlib
import random
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from base.clock import SystemClock
from base.config import Kind
from base.errors import StoreError, TransportError
from base.instruments import Instrument
from base.segments import SegmentSettings
from fix.codec import Framer, Message
from fix.file_store import FileStore, StoreSettings
from fix.session import FixSession
from fix.session_events import Disconnect, FieldDefect, NumbersReset, SessionEvent
from fix.settings import Role, SessionSettings
from fix.store import MemoryStore
from ipc import frames
from ipc.events import AnyEvent, Position
from ipc.journal import Journal
from ipc.requests import NewOrder
from ipc.told import Told
from risk.order import Order
from risk.orders import Applied, OrderTable
from tests.stress.killing import Hook, named, no_room
from tests.venues.kit import context
from venues.carry_over import Carrier, never_sent, restore
from venues.fix44 import dialect as fix44
from venues.interface import SessionPhase
from venues.order_entry import OrderEntry

INSTRUMENT = Instrument("v", "BTC-USD", "BTC/USD", 2, 4)
STORE = SegmentSettings(segment_bytes=2048, retain_bytes=5 * 2048, recycle=True)
JOURNAL = SegmentSettings(segment_bytes=6 * 1024, retain_bytes=1 << 30)  # all is kept, to be compared with
PATIENCE_S = 10.0
ORDERS = 6  # of one life
TOPIC = "exec.kill"

VENUE = SessionSettings("venue", Role.ACCEPTOR, "VENUE", "DESK", resend_chunk=7)


class HookedStore(FileStore):
    """The session's store: each change has a boundary before it and one behind it."""

    def __init__(self, folder: Path, hook: Hook, disk_full: bool) -> None:
        self._at = hook
        reserve = no_room if disk_full else None
        super().__init__(folder, 1, StoreSettings(segments=STORE), named(hook, "store"), reserve)

    def sent(self, seq: int, message: bytes) -> None:
        self._at("session: number taken, not stored")
        super().sent(seq, message)
        self._at("session: stored, not written")

    def advance_in(self, seq: int) -> None:
        self._at("session: dealt with, not counted")
        super().advance_in(seq)
        self._at("session: counted")

    def set_next_in(self, next_in: int) -> None:
        super().set_next_in(next_in)
        self._at("session: number moved on")

    def reset(self, created_ns: int, next_out: int = 1, next_in: int = 1) -> None:
        self._at("session: before the reset")
        super().reset(created_ns, next_out, next_in)
        self._at("session: after the reset")

    def set_meta(self, key: str, value: bytes) -> None:
        super().set_meta(key, value)
        self._at(f"session: {key} {'set' if value else 'removed'}")


class Desk:
    """Sink of the session and port of order entry, as procs.trading.Trading is."""

    def __init__(self, folder: Path, wire: socket.socket, hook: Hook, seed: int, disk_full: bool) -> None:
        self.rng = random.Random(seed)
        self.wire, self.hook, self.clock = wire, hook, SystemClock()
        self.journal = Journal(folder, 1, settings=JOURNAL, hook=named(hook, "journal"))
        self.head = frames.prefix(TOPIC.encode(), self.journal.next_epoch(self.clock.wall_ns()))
        self.seq = 1
        self.table = OrderTable()
        told = Told()
        self.carrier = Carrier(self.journal, self.write_again, told)
        self.positions: dict[str, tuple[int, int]] = {}
        unsaid = restore(folder, self.table, self.positions, told=told)
        store = HookedStore(folder, hook, disk_full)
        fix44.open_store = lambda context: store  # type: ignore[attr-defined]  # in this process alone: it is a fork
        given = context("fix44", Kind.TRADING, [INSTRUMENT], "DESK", "VENUE")
        self.session = fix44.DIALECT.trading(given, self)
        capabilities = fix44.DIALECT.capabilities(given.venue)
        self.entry = OrderEntry("kill", "main", capabilities, [INSTRUMENT], self.table, self, self.clock, told=told)
        self.entry.lost_session("process restarted")
        for known in unsaid:
            self.record(never_sent(known, "kill", "v", "main", 1))
        self.carrier.begin()
        self.entry.session, self.entry.ready_reason = self.session, ""
        self.ended = False
        self.mine: set[str] = set()

    # what the session tells

    def event(self, event: AnyEvent) -> None:
        self.hook("report: arrived")
        self.entry.event(event)
        self.hook("report: delivered")

    def phase(self, phase: SessionPhase, reason: str) -> None: ...

    def disconnect(self, reason: str) -> None:
        self.ended = True

    def planned_move(self, seconds_left: int, text: str) -> None:
        raise AssertionError(text)

    def alert(self, severity: str, code: str, text: str) -> None: ...

    # what order entry asks

    def record(self, *events: AnyEvent) -> None:
        packed = b"".join(map(frames.encode_event, events))
        self.journal.frame(frames.frame(self.head, self.seq, self.clock.wall_ns(), len(events), packed))
        self.seq += len(events)
        self.hook("order entry: recorded")
        self.carrier.recorded()

    def write_again(self) -> None:
        self.hook("writing: begun")
        for order in self.table.open():
            self.record(order.snapshot())
        for name in self.positions:
            self.record(self.position(name))
        self.hook("writing: not marked")

    def position(self, name: str) -> Position:
        return Position("kill", "v", "main", name, self.positions[name][0], 4, 1, self.positions[name][1], 2)

    def remember(self, command: NewOrder, cl_ord_id: str) -> None:
        if self.journal.full:
            raise StoreError("full")
        self.journal.order_id(command.client_id, command.command_id, cl_ord_id, self.clock.wall_ns())
        self.hook("order entry: remembered")

    def may_send_new(self) -> str:
        return "full" if self.journal.full else ""

    def gate(self, strategy: str, instrument: str) -> str:
        return ""

    def filled(self, order: Order, applied: Applied) -> tuple[AnyEvent, ...]:
        held, mark_px = self.positions.get(order.instrument, (0, 0))
        self.hook("order entry: filled, not recorded")
        self.positions[order.instrument] = (held + applied.fill_qty, applied.fill_px or mark_px)  # all are buys
        return (self.position(order.instrument),)

    def moved(self, order: Order) -> None: ...

    # the life

    def write(self, data: bytes) -> None:
        self.hook("wire: before the write")
        half = len(data) // 2
        try:
            self.wire.sendall(data[:half])
            self.hook("wire: half written")
            self.wire.sendall(data[half:])
        except OSError as error:
            raise TransportError(str(error)) from error
        self.hook("wire: written")

    def times(self) -> tuple[int, int]:
        return self.clock.mono_ns(), self.clock.wall_ns()

    def live(self, ending: str) -> None:
        """Log on, place orders, cancel some, hear what becomes of them; then leave as `ending` says."""
        self.session.connected(self.write, *self.times())
        for _ in range(ORDERS):
            self.hear_while(lambda: self.session.phase is not SessionPhase.READY)
            self.trade()
        self.hear_while(self.waiting)
        fix = self.session._fix
        if ending != "gone" and not self.ended:
            fix.test_request(*self.times())
            self.hear_while(lambda: fix._test_id != b"")  # all that the venue had said is heard
            fix.rollover(*self.times()) if ending == "rollover" else fix.logout("", *self.times())
            self.hear_while(lambda: not self.ended)
            self.session.disconnected("done", *self.times())

    def trade(self) -> None:
        if self.rng.random() < 0.5:
            self.carrier.look()  # else the timer is late
        working = [order for order in self.table.open() if order.state == "NEW"]
        if working and self.rng.random() < 0.4:
            order = self.rng.choice(working)
            self.entry.cancel(order)
            self.mine.add(order.cl_ord_id)
            return
        command = NewOrder("strategy", f"{self.clock.wall_ns()}", 0, "v", "BTC-USD", "1", "2", 10_000, 100)
        answer = self.entry.handle(command)
        self.mine.add(answer.cl_ord_id)

    def waiting(self) -> bool:
        """Whether an order of this life has not been answered."""
        return bool(self.unanswered())

    def unanswered(self) -> list[Order]:
        mine = [order for order in self.table.open() if order.cl_ord_id in self.mine]
        return [order for order in mine if order.state in ("PENDING_NEW", "PENDING_CANCEL")]

    def hear_while(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not self.ended and condition():
            ready, _, _ = select.select([self.wire], [], [], max(0, end - time.monotonic()))
            assert ready, f"nothing comes: {self.session.phase} {self.session.numbers()} {self.unanswered()}"
            data = self.wire.recv(self.rng.choice((100, 1000, 10_000)))
            self.hook("wire: read")
            if not data:
                self.ended = True
                self.session.disconnected("closed", *self.times())
                return
            self.session.received(data, *self.times())


class Peer:
    """The venue: what ever arrived, what it ever said. It goes on over all lives of the desk."""

    def __init__(self, seed: int) -> None:
        self.clock = SystemClock()
        self.rng = random.Random(seed)
        self.store = MemoryStore(self.clock.wall_ns())
        self.session = FixSession(VENUE, self.store, self)
        self.wire: socket.socket | None = None
        self.framer = Framer()
        self.numbering = 0
        self.arrived: dict[tuple[int, int], bytes] = {}  # new messages by (numbering, MsgSeqNum)
        self.on_the_wire: set[str] = set()  # ClOrdIDs of new orders, as soon as their bytes were there
        self.orders: set[str] = set()  # those that were taken in order, so that the venue acted on them
        self.said: list[str] = []  # ExecIDs in order
        self.numbers: dict[int, str] = {}  # MsgSeqNum of each report in the present numbering
        self.base = 0  # reports said in earlier numberings
        self.ending = False
        self.gap_fills = self.replays = 0

    def times(self) -> tuple[int, int]:
        return self.clock.mono_ns(), self.clock.wall_ns()

    def connected(self, wire: socket.socket) -> None:
        self.wire, self.ending, self.framer = wire, False, Framer()
        self.session.connected(self.write, *self.times())

    def disconnected(self) -> None:
        self.wire = None
        self.session.disconnected("gone", *self.times())

    def write(self, data: bytes) -> None:
        assert self.wire is not None
        try:
            self.wire.sendall(data)
        except OSError as error:
            raise TransportError(str(error)) from error

    def received(self, data: bytes) -> None:
        self.framer.feed(data)
        for message in self.framer:
            self.watch(message)
        self.session.received(data, *self.times())
        while (due_ns := self.session.deadline_ns) is not None and due_ns <= self.clock.mono_ns():
            self.session.tick(*self.times())  # the next part of a long answer

    def watch(self, message: Message) -> None:
        """The promises about numbers and orders, held against every message the moment it is there."""
        if message.poss_dup:
            assert message.msg_type == "4", f"35={message.msg_type} was sent again"
            self.gap_fills += 1
            return
        if message.msg_type == "A" and message.get(141) == b"Y":
            self.numbering += 1
        key = self.numbering, message.seq_num
        assert key not in self.arrived, f"number {key} was used twice: {self.arrived[key]!r} and {message.raw!r}"
        self.arrived[key] = message.raw
        if message.msg_type == "D":
            cl_ord_id = message.get_str(11) or ""
            assert cl_ord_id not in self.on_the_wire, f"order {cl_ord_id} was sent twice"
            self.on_the_wire.add(cl_ord_id)

    # SessionApp

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        return b""

    def check_logon(self, logon: Message, wall_ns: int) -> str | None:
        return None

    def on_message(self, message: Message, flags: int, defects: tuple[FieldDefect, ...]) -> None:
        cl_ord_id = message.get_str(11) or ""
        if message.msg_type == "D":
            assert cl_ord_id not in self.orders, f"order {cl_ord_id} was delivered twice"
            self.orders.add(cl_ord_id)
            self.report(cl_ord_id, "0", "0")
            if self.rng.random() < 0.3:
                self.report(cl_ord_id, "F", "2", "31=1|32=1|14=1|151=0|")
        elif message.msg_type == "F":
            self.report(cl_ord_id, "4", "4", f"41={message.get_str(41)}|14=0|151=0|")
        if self.rng.random() < 0.2 and self.session.is_logged_on:
            self.quietly(lambda: self.session.test_request(*self.times()))

    def report(self, cl_ord_id: str, exec_type: str, status: str, more: str = "14=0|151=1|") -> None:
        exec_id = f"E{len(self.said) + 1}"
        text = (f"11={cl_ord_id}|37=O{exec_id}|17={exec_id}|150={exec_type}|39={status}|54=1|55=BTC/USD|40=2|59=1|"
                f"38=1|44=1|{more}60=20260407-14:32:05.000|")  # fmt: skip
        self.numbers[self.store.next_out] = exec_id
        self.said.append(exec_id)
        self.quietly(lambda: self.session.send("8", text.replace("|", "\x01").encode(), *self.times()))

    @staticmethod
    def quietly(send: Callable[[], Any]) -> None:
        """What cannot be written is stored, and comes when it is asked for."""
        with contextlib.suppress(TransportError):
            send()

    def on_event(self, event: SessionEvent) -> None:
        match event:
            case Disconnect():
                self.ending = True
            case NumbersReset():
                self.base = len(self.said)
                self.numbers.clear()
            case _:
                self.replays += getattr(event, "replayed", 0)
