"""Placing orders, one or several at once, in as few messages as the venue takes; each is answered by itself.

Order of things for each: checks (terms, the desk's limits, the venue's rates), ClOrdID, journal, gate, bytes. One that
waits for others of its message is stored, and counted before the next is judged.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from base.errors import CodecError, SessionError, StoreError, VenueError
from base.instruments import Instrument
from ipc.requests import Answer, NewOrder
from risk.order import Order, order_of
from venues.interface import SessionPhase, TradingSession
from venues.order_terms import check_new

if TYPE_CHECKING:
    from venues.order_entry import OrderEntry

REFUSALS = (SessionError, VenueError, CodecError)


class _Placed(msgspec.Struct, gc=False):
    """An order that is stored and has not left yet."""

    index: int  # of its command
    command: NewOrder
    order: Order
    counted: bool = False  # the desk's limits have it already


class Placing:
    """Takes a client's orders in turn. Those of one instrument that may share a message leave when it is full, or at
    the end.
    """

    def __init__(self, entry: "OrderEntry", session: TradingSession, commands: Sequence[NewOrder]) -> None:
        self._entry, self._session, self._commands = entry, session, commands
        self._answers: dict[int, Answer] = {}
        self._open: dict[str, list[_Placed]] = {}
        self._most = entry.capabilities.order_batch

    def run(self) -> tuple[Answer, ...]:
        """Do it; the answers, as the commands were given."""
        for index, command in enumerate(self._commands):
            self._count_waiting()
            self._take(index, command)
        for name in list(self._open):
            self._leave(name)
        return tuple(self._answers[index] for index in range(len(self._commands)))

    def _take(self, index: int, command: NewOrder) -> None:
        name = command.instrument
        joins = self._most > 1 and len(self._commands) > 1 and self._session.may_join(command)
        if not joins:
            self._leave(name)  # orders of one instrument stay in the order in which they were given
        made = _admit(self._entry, self._session, command, joins=bool(self._open.get(name)))
        if isinstance(made, str):
            self._entry.counters["refused"] += 1
            self._answers[index] = Answer(command.command_id, False, made)
            return
        waiting = self._open.setdefault(name, [])
        waiting.append(_Placed(index, command, made))
        if not joins or len(waiting) == self._most:
            self._leave(name)

    def _count_waiting(self) -> None:
        """What waits to leave counts before the next order is judged."""
        entry = self._entry
        for waiting in self._open.values():
            for placed in waiting:
                if not placed.counted:
                    placed.counted = True
                    entry.checks.sent(placed.command, entry.clock.mono_ns())
                    entry.port.moved(placed.order)

    def _leave(self, name: str) -> None:
        """Send what waits of an instrument. The gate is read last, with nothing but the send behind it."""
        waiting = self._open.pop(name, None)
        if not waiting:
            return
        gate = self._entry.port.gate
        going = []
        for placed in waiting:
            closed = gate(placed.command.strategy, name)
            if closed:
                self._did_not_leave(placed, closed)
            else:
                going.append(placed)
        mono_ns, wall_ns = self._entry.clock.mono_ns(), self._entry.clock.wall_ns()
        for placed, why in zip(going, self._send(going, self._entry.instruments[name], mono_ns, wall_ns), strict=True):
            if why:
                self._did_not_leave(placed, why)
            else:
                self._left(placed, mono_ns)

    def _send(self, going: list[_Placed], instrument: Instrument, mono_ns: int, wall_ns: int) -> list[str]:
        """Why each of them did not leave, "" where it did."""
        session = self._session
        try:
            if len(going) > 1:
                together = [(placed.command, placed.order.cl_ord_id) for placed in going]
                return session.new_orders(together, instrument, mono_ns, wall_ns)
            for placed in going:
                session.new_order(placed.command, instrument, placed.order.cl_ord_id, mono_ns, wall_ns)
        except REFUSALS as e:
            return [str(e)] * len(going)
        return [""] * len(going)

    def _left(self, placed: _Placed, mono_ns: int) -> None:
        entry = self._entry
        entry.meter.sent("new", placed.order.cl_ord_id)
        entry.counters["orders"] += 1
        entry.asked_ns = entry.asked_ns or mono_ns
        if not placed.counted:
            entry.checks.sent(placed.command, mono_ns)
        entry.port.moved(placed.order)
        self._answers[placed.index] = Answer(placed.command.command_id, True, cl_ord_id=placed.order.cl_ord_id)

    def _did_not_leave(self, placed: _Placed, reason: str) -> None:
        entry, order = self._entry, placed.order
        entry.table.reject(order, reason, entry.clock.wall_ns())
        try:
            entry.port.record(order.snapshot())
        except StoreError as e:  # others of the command may have left: they are answered, whatever the disk says
            reason = f"{reason}; journal: {e}"
        if placed.counted:
            entry.checks.unsent(placed.command)
            entry.port.moved(order)
        entry.counters["refused"] += 1
        self._answers[placed.index] = Answer(placed.command.command_id, False, reason, order.cl_ord_id)


def place(entry: "OrderEntry", commands: Sequence[NewOrder]) -> tuple[Answer, ...]:
    """Judge, store and send orders in turn: an answer for each. Never raises for what a client says."""
    session = entry.session
    if session is None:
        entry.counters["refused"] += len(commands)
        why = [objection(entry, command) for command in commands]
        return tuple(Answer(c.command_id, False, reason) for c, reason in zip(commands, why, strict=True))
    return Placing(entry, session, commands).run()


def _admit(entry: "OrderEntry", session: TradingSession, command: NewOrder, *, joins: bool) -> Order | str:
    """An order that is stored and may be sent, or why there is none. `joins`: it shares a message that is begun."""
    if reason := objection(entry, command):
        return reason
    mono_ns, wall_ns = entry.clock.mono_ns(), entry.clock.wall_ns()
    instrument = entry.instruments[command.instrument]
    # What the desk itself refuses takes nothing of the venue's rates.
    if over := entry.checks.new(command, instrument, mono_ns):
        return over
    if late := entry.throttle.take("joined" if joins else "new", mono_ns, wall_ns, command.instrument):
        return late
    cl_ord_id = session.make_cl_ord_id(wall_ns)
    scales = (instrument.px_scale, instrument.qty_scale)
    order = order_of(command, entry.name, entry.account, cl_ord_id, scales, wall_ns)
    entry.table.add(order)
    try:
        entry.port.remember(command, cl_ord_id)
        entry.port.record(order.snapshot())
    except StoreError as e:
        # Not written, so not sent: a full disk stops new orders and nothing else.
        entry.table.reject(order, f"journal: {e}", wall_ns)
        return f"journal: {e}"
    return order


def objection(entry: "OrderEntry", command: NewOrder) -> str:
    """Why this session takes no such order now, before any limit is asked; "" when it does."""
    closed = entry.port.gate(command.strategy, command.instrument)
    if closed:
        return closed
    if entry.session is None or entry.session.phase != SessionPhase.READY:
        return f"session {entry.name} is not ready: {entry.session.phase if entry.session else 'not connected'}"
    if entry.ready_reason:
        return f"session {entry.name} is not ready: {entry.ready_reason}"
    instrument = entry.instruments.get(command.instrument)
    if instrument is None:
        return f"instrument: {entry.name} has no {command.instrument!r}; it has {sorted(entry.instruments)}"
    return check_new(command, instrument, entry.capabilities)
