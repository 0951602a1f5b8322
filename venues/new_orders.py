"""Placing orders, one or several at once, in as few messages as the venue takes; each is answered by itself.

Order of things for each: checks (terms, the desk's limits, the venue's rates), ClOrdID, journal, gate, bytes. One that
leaves alone, by a command of its own or among others, goes through `place`, and nothing is gathered for it. One that
waits for others of its message is stored, and counted before the next is judged.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from base.errors import CodecError, SessionError, StoreError, VenueError
from ipc.requests import Answer, NewOrder
from risk.order import Order, order_of
from venues.interface import SessionPhase, TradingSession
from venues.order_terms import check_new

if TYPE_CHECKING:
    from venues.order_entry import OrderEntry

REFUSALS = (SessionError, VenueError, CodecError)


def place(entry: "OrderEntry", command: NewOrder) -> Answer:
    """Judge, store and send one order, in a message of its own. Never raises for what a client says."""
    session = entry.session
    if session is None:
        return _refused(entry, command, objection(entry, command))
    mono_ns, wall_ns = entry.clock.mono_ns(), entry.clock.wall_ns()
    order = _admit(entry, session, command, "new", mono_ns, wall_ns)
    if isinstance(order, str):
        return _refused(entry, command, order)
    # The gate is read last, with nothing but the send behind it.
    if closed := entry.port.gate(command.strategy, command.instrument):
        return _did_not_leave(entry, command, order, closed, False)
    try:
        session.new_order(command, entry.instruments[command.instrument], order.cl_ord_id, mono_ns, wall_ns)
    except REFUSALS as e:
        return _did_not_leave(entry, command, order, str(e), False)
    return _left(entry, command, order, mono_ns, False)


def place_all(entry: "OrderEntry", commands: Sequence[NewOrder]) -> tuple[Answer, ...]:
    """Judge, store and send orders in turn: an answer for each. Never raises for what a client says."""
    session = entry.session
    if session is None or entry.capabilities.order_batch < 2 or len(commands) < 2:
        return tuple([place(entry, command) for command in commands])
    return Placing(entry, session, commands).run()


class _Placed(msgspec.Struct, gc=False):
    """An order that is stored and waits for others of its message."""

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
            if self._session.may_join(command):
                self._gather(index, command)
            else:
                self._go(command.instrument)  # orders of one instrument stay in the order in which they were given
                self._answers[index] = place(self._entry, command)
        for name in list(self._open):
            self._go(name)
        return tuple([self._answers[index] for index in range(len(self._commands))])

    def _gather(self, index: int, command: NewOrder) -> None:
        entry, name = self._entry, command.instrument
        waiting = self._open.get(name)
        request = "joined" if waiting else "new"  # it shares a message that is begun
        made = _admit(entry, self._session, command, request, entry.clock.mono_ns(), entry.clock.wall_ns())
        if isinstance(made, str):
            self._answers[index] = _refused(entry, command, made)
            return
        if waiting is None:
            waiting = self._open[name] = []
        waiting.append(_Placed(index, command, made))
        if len(waiting) == self._most:
            self._go(name)

    def _count_waiting(self) -> None:
        """What waits to leave counts before the next order is judged."""
        entry = self._entry
        for waiting in self._open.values():
            for placed in waiting:
                if not placed.counted:
                    placed.counted = True
                    entry.checks.sent(placed.command, entry.clock.mono_ns())
                    entry.port.moved(placed.order)

    def _go(self, name: str) -> None:
        """Send what waits of an instrument. The gate is read last, with nothing but the send behind it."""
        waiting = self._open.pop(name, [])
        if not waiting:
            return
        entry, session = self._entry, self._session
        instrument = entry.instruments[name]
        mono_ns, wall_ns = entry.clock.mono_ns(), entry.clock.wall_ns()
        whys = [entry.port.gate(placed.command.strategy, name) for placed in waiting]
        going = [placed for placed, why in zip(waiting, whys, strict=True) if not why]
        try:
            if len(going) > 1:
                together = [(placed.command, placed.order.cl_ord_id) for placed in going]
                refused = session.new_orders(together, instrument, mono_ns, wall_ns)
            else:
                for placed in going:
                    session.new_order(placed.command, instrument, placed.order.cl_ord_id, mono_ns, wall_ns)
                refused = [""] * len(going)
        except REFUSALS as e:
            refused = [str(e)] * len(going)
        said = iter(refused)
        for placed, closed in zip(waiting, whys, strict=True):
            if why := closed or next(said):
                answer = _did_not_leave(entry, placed.command, placed.order, why, placed.counted)
            else:
                answer = _left(entry, placed.command, placed.order, mono_ns, placed.counted)
            self._answers[placed.index] = answer


# -- what is the same for each, alone or not ---------------------------------------------------------------------


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


def _admit(
    entry: "OrderEntry", session: TradingSession, command: NewOrder, request: str, mono_ns: int, wall_ns: int
) -> Order | str:
    """An order that is stored and may be sent, or why there is none. `request`: what the venue's rates count it as."""
    if reason := objection(entry, command):
        return reason
    instrument = entry.instruments[command.instrument]
    # What the desk itself refuses takes nothing of the venue's rates.
    if over := entry.checks.new(command, instrument, mono_ns):
        return over
    if late := entry.throttle.take(request, mono_ns, wall_ns, command.instrument):
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


def _left(entry: "OrderEntry", command: NewOrder, order: Order, mono_ns: int, counted: bool) -> Answer:
    """`counted`: the desk's limits have it already."""
    cl_ord_id = order.cl_ord_id
    entry.meter.left(cl_ord_id)
    entry.counters["orders"] += 1
    entry.asked_ns = entry.asked_ns or mono_ns
    if not counted:
        entry.checks.sent(command, mono_ns)
    entry.port.moved(order)
    return Answer(command.command_id, True, "", cl_ord_id)


def _did_not_leave(entry: "OrderEntry", command: NewOrder, order: Order, reason: str, counted: bool) -> Answer:
    entry.table.reject(order, reason, entry.clock.wall_ns())
    try:
        entry.port.record(order.snapshot())
    except StoreError as e:  # others of the command may have left: they are answered, whatever the disk says
        reason = f"{reason}; journal: {e}"
    if counted:
        entry.checks.unsent(command)
        entry.port.moved(order)
    entry.counters["refused"] += 1
    return Answer(command.command_id, False, reason, order.cl_ord_id)


def _refused(entry: "OrderEntry", command: NewOrder, reason: str) -> Answer:
    entry.counters["refused"] += 1
    return Answer(command.command_id, False, reason)
