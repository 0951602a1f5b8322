"""Eyes on a desk: bus, journals, shared memory and files, fed to the model (model.py).

Works while processes are dead and before the desk starts. Orders and positions come from the journals, alerts from
their spools, so that nothing of them depends on who listened when; the bus tells of sessions, processes and the kill
switch; the kill switch alone is asked (asks.py), by a thread.
"""

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec
import zmq

from base.clock import Clock, SystemClock
from base.config import DeskConfig, Kind
from base.errors import QuarterdeckError, SchemaError
from ipc.alarm_files import STATE, alarm_folder, decode_stored
from ipc.alert_spool import SpoolReader
from ipc.bus import Delivery, Subscriber
from ipc.kill_files import LATCH, read_latch
from ipc.owners import JournalTail
from ipc.roster import publisher_endpoint, roster
from ipc.view.asks import KillAsker
from ipc.view.model import ORDERS_SHOWN, DeskModel
from ipc.view.sight import Key, MemoryReader
from ipc.view.structs import DepthPart, OrderLife, View

BUDGET_NS: Final = 50_000_000  # of a turn for journals: what is left is read at the next one
BATCH: Final = 200
_SETTLED_NS: Final = 1_500_000_000  # each session says how it is once a second


class Eyes:
    """Call `turn` twice a second or so, then `view`. One thread."""

    def __init__(self, desk: DeskConfig, *, clock: Clock | None = None, metered: bool = True) -> None:
        """`metered`: memory and CPU of processes, too."""
        self.desk = desk
        self.clock: Clock = clock or SystemClock()
        self.model = DeskModel(desk)
        self._memory = MemoryReader(desk, metered=metered)
        self._journals = [_Journal(desk.data_dir / s, s) for s in desk.sessions(Kind.TRADING)]
        self._spool = SpoolReader(desk.shm_dir)
        self._alarms = _File(alarm_folder(desk.data_dir) / STATE)
        self._latch = _File(desk.data_dir / "kill" / LATCH)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._subscriber = Subscriber(self._context)
        self._asker = KillAsker(desk.run_dir)
        self._bus_fault = ""
        self._begun_ns = self.clock.mono_ns()
        for role in roster(desk):
            self._subscriber.connect(publisher_endpoint(desk, role.name))
        for topic in ("state.", "kill", "ledger"):
            self._subscriber.subscribe(topic, exact=not topic.endswith("."))

    def __enter__(self) -> "Eyes":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def turn(self, budget_ns: int = BUDGET_NS) -> None:
        """Take in what is new; at most `budget_ns` for journals."""
        mono_ns, wall_ns = self.clock.mono_ns(), self.clock.wall_ns()
        self.model.see(self._memory.look(mono_ns, wall_ns))
        self._read_alerts(mono_ns)
        self._read_bus(mono_ns, wall_ns)
        notes = self._read_journals(mono_ns, budget_ns)
        self._read_answers(wall_ns)
        self._asker.hurry = self.model.tripping
        self._read_alarms()
        self.model.reading([*notes, *([self._bus_fault] if self._bus_fault else [])])

    def view(self, orders: int = ORDERS_SHOWN) -> View:
        """The desk as of the last turn; at most so many open orders, and as many that ended."""
        return self.model.view(self.clock.mono_ns(), self.clock.wall_ns(), orders)

    def depth(self, venue: str, instrument: str, level: int, levels: int = 20) -> DepthPart | None:
        """A book with so many levels of a side (0: all); None when the desk has none such."""
        book = self.model.book(venue, instrument, level, self.clock.mono_ns(), self.clock.wall_ns())
        if book is None:
            return None
        key: Key = (venue, instrument, level)
        bids, asks, fault = self._memory.depth(key, levels)
        return DepthPart(book=book, bids=tuple(bids), asks=tuple(asks), fault=fault)

    def life(self, venue: str, cl_ord_id: str) -> OrderLife | None:
        """An order with its events; None when it is not kept."""
        return self.model.life(venue, cl_ord_id, self.clock.wall_ns())

    @property
    def settled(self) -> bool:
        """Whether a view is as whole as it gets: journals read, sessions that run heard of, or not to be waited for."""
        if any(j.behind for j in self._journals):
            return False
        return self.model.heard_all() or self.clock.mono_ns() - self._begun_ns > _SETTLED_NS

    def settle(self, seconds: float, pause: Callable[[float], object]) -> None:
        """Turn until `settled`, at most so long: for who wants one view and no more."""
        end_ns = self.clock.mono_ns() + int(seconds * 1e9)
        self._asker.wait(seconds)
        self.turn()
        while not self.settled and self.clock.mono_ns() < end_ns:
            pause(0.05)
            self.turn()

    def close(self) -> None:
        """Give back sockets and the thread."""
        self._asker.close()
        self._subscriber.close()
        self._context.destroy(linger=0)

    # -- inside ----------------------------------------------------------------------------------------------

    def _read_bus(self, mono_ns: int, wall_ns: int) -> None:
        try:
            heard = self._subscriber.receive() + self._subscriber.check(mono_ns)
        except SchemaError as e:
            self._bus_fault = f"events of another build cannot be read: {e}"
            return
        for delivery in heard:
            self.model.hear(delivery, mono_ns, wall_ns)

    def _read_alerts(self, mono_ns: int) -> None:
        for alert in sorted(self._spool.read(), key=lambda a: a.ts_ns):
            self.model.hear(Delivery(f"alert.{alert.source}", 0, 0, alert), mono_ns, alert.ts_ns)

    def _read_journals(self, mono_ns: int, budget_ns: int) -> list[str]:
        """By turns, so that one that is long keeps none of the others waiting."""
        end_ns = mono_ns + budget_ns
        waiting = list(self._journals)
        while waiting and self.clock.mono_ns() < end_ns:
            waiting = [j for j in waiting if j.read(lambda d: self.model.hear(d, mono_ns))]
        return [j.note for j in self._journals if j.note]

    def _read_answers(self, wall_ns: int) -> None:
        for verb, answer in self._asker.take().items():
            if verb == "limits":
                self.model.limits(answer, wall_ns)
                continue
            self.model.kill_status(answer)
            latch = self._latch.read() if isinstance(answer, str) else None
            if latch:
                self.model.kill_latch(_first_line(latch))

    def _read_alarms(self) -> None:
        if self.desk.config.alarms is None:
            return
        data = self._alarms.read()
        if data is not None:
            stored = decode_stored(data)
            self.model.alarms(stored if isinstance(stored, str) else stored.alarms)
        elif not self._alarms.seen:
            self.model.alarms("no alarms process ran here yet")


class _Journal:
    """One session's journal, from where a restart of its owner would begin."""

    def __init__(self, folder: Path, session: str) -> None:
        self._session, self._topic = session, f"exec.{session}"
        self._tail = JournalTail(folder)
        self._begun = False
        self.behind = True
        self.note = ""

    def read(self, feed: Callable[[Delivery], object]) -> bool:
        """A batch; whether more waits."""
        try:
            if not self._begun:
                self._tail.begin_at_restart()
                self._begun = True
            told, more = self._tail.read(BATCH)
        except QuarterdeckError as e:
            self.behind, self.note = False, f"journal of {self._session}: {e}"
            return False
        for event in told:
            feed(Delivery(self._topic, *event))
        self.behind = more
        self.note = f"the journal of {self._session} is not read to its end yet" if more else ""
        return more


class _File:
    """A file that is replaced when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark = (0, 0, 0)
        self.seen = False

    def read(self) -> bytes | None:
        """Its content when it is new; None when it is the same, or not there."""
        try:
            stat = os.stat(self._path)
        except OSError:
            return None
        mark = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if mark == self._mark:
            return None
        self._mark, self.seen = mark, True
        return read_latch(self._path.parent, self._path.name)


def _first_line(latch: bytes) -> dict[str, Any]:
    """What a latch says; {} when it cannot be read, which the kill switch itself has to tell."""
    try:
        return msgspec.json.decode(latch.partition(b"\n")[0], type=dict[str, Any])
    except msgspec.DecodeError:
        return {}
