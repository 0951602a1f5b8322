"""Order entry over one trading session: commands in, answers and events out. No I/O of its own.

Order of things for a new order: checks, ClOrdID, journal, gate, bytes. A report is journalled before the session's
expected number advances (`event` returns). What the gate forbids never leaves; cancels always pass.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from base.errors import CodecError, SessionError, StoreError, VenueError
from base.instruments import Instrument
from ipc.events import AnyEvent, CancelReject, Difference, ExecutionReport
from ipc.requests import (
    Answer,
    AnyCommand,
    CancelOrder,
    ListOrders,
    MassCancel,
    NewOrder,
    ReplaceOrder,
    StatusOrder,
)
from risk.orders import Applied, Order, OrderTable, order_of
from venues.interface import Capabilities, OpenOrders, Replace, SessionPhase, TradingSession, WorkingOrder
from venues.rate import TokenBucket

PRICED = frozenset({"2", "4", "T", "V"})
LOST_KEPT = 1_000  # orders reported as lost by name, in one life of the process
REFUSALS = (SessionError, VenueError, CodecError)


class Times(Protocol):
    """Both clocks."""

    def mono_ns(self) -> int: ...
    def wall_ns(self) -> int: ...


class Port(Protocol):
    """What the process does for order entry."""

    def record(self, *events: AnyEvent) -> None:
        """Journal, then publish. Raises StoreError when the journal cannot take it."""
        ...

    def remember(self, command: NewOrder, cl_ord_id: str) -> None:
        """Journal which ClOrdID stands for (client_id, command_id), before anything is sent."""
        ...

    def gate(self, strategy: str, instrument: str) -> str:
        """Why no new order may leave now; empty when it may."""
        ...

    def filled(self, order: Order, applied: Applied) -> None:
        """A report added to an order's filled quantity."""
        ...

    def moved(self, order: Order) -> None:
        """An order changed; exposure may have."""
        ...

    def alert(self, severity: str, code: str, text: str) -> None:
        """Tell people."""
        ...


def working(order: Order, instrument: Instrument) -> WorkingOrder:
    """An order as a session wants to see it."""
    return WorkingOrder(
        instrument=instrument, cl_ord_id=order.cl_ord_id, order_id=order.order_id, side=order.side,
        ord_type=order.ord_type, time_in_force=order.time_in_force, order_qty=order.order_qty, price=order.price,
        stop_px=order.stop_px, leaves_qty=order.leaves_qty, cum_qty=order.cum_qty, sent_ns=order.sent_ns,
        exec_inst=order.exec_inst,
    )  # fmt: skip


class OrderEntry:
    """The orders of one session and everything that may be asked about them."""

    def __init__(
        self,
        name: str,
        account: str,
        capabilities: Capabilities,
        instruments: list[Instrument],
        table: OrderTable,
        port: Port,
        clock: Times,
        *,
        per_instrument: bool = False,
    ) -> None:
        self.name = name
        self.account = account
        self.capabilities = capabilities
        self.instruments = {i.name: i for i in instruments}
        self.table = table
        self.port = port
        self.clock = clock
        self.per_instrument = per_instrument  # the venue's mass cancel names one instrument
        self.session: TradingSession | None = None
        self.ready_reason = "starting"  # why new orders are not let through yet; "" once reconciled
        self.bucket = TokenBucket(capabilities.orders_per_s, capabilities.cancel_reserve_per_s)
        self.on_open_report: Callable[[Order], None] | None = None  # told of orders a report shows to be open
        self._lost_orders: set[str] = set()
        self.counters = {"orders": 0, "refused": 0, "cancels": 0, "reports": 0, "duplicates": 0, "unknown_orders": 0}

    # -- commands --------------------------------------------------------------------------------------------

    def handle(self, command: AnyCommand) -> Answer:
        """Act on a command; the answer is immediate. Never raises for what a client says."""
        match command:
            case NewOrder():
                return self._new(command)
            case CancelOrder():
                return self._on_order(command, command.cl_ord_id, command.order_id, self.cancel, command.instrument)
            case ReplaceOrder():
                return self._on_order(command, command.cl_ord_id, "", lambda o: self._replace(o, command))
            case StatusOrder():
                return self._on_order(command, command.cl_ord_id, "", self.ask_status)
            case MassCancel():
                return self._mass_cancel(command)
            case ListOrders():
                orders = self.table.open() if command.open_only else list(self.table)
                return Answer(command.command_id, True, orders=tuple(o.snapshot() for o in orders))
            case _:
                return Answer(command.command_id, False, f"{self.name} does not take {type(command).__name__}")

    def _new(self, command: NewOrder) -> Answer:
        reason = self._objection(command)
        session = self.session
        if reason or session is None:
            return self._refuse(command, reason or "session is not connected")
        mono_ns, wall_ns = self.clock.mono_ns(), self.clock.wall_ns()
        if not self.bucket.take(mono_ns):
            return self._refuse(command, "rate limit of the venue: only cancels are let through now")
        instrument = self.instruments[command.instrument]
        cl_ord_id = session.make_cl_ord_id(wall_ns)
        scales = (instrument.px_scale, instrument.qty_scale)
        order = order_of(command, self.name, self.account, cl_ord_id, scales, wall_ns)
        self.table.add(order)
        try:
            self.port.remember(command, cl_ord_id)
            self.port.record(order.snapshot())
        except StoreError as e:
            # Not written, so not sent: a full disk stops new orders and nothing else.
            self.table.reject(order, f"journal: {e}", wall_ns)
            return self._refuse(command, f"journal: {e}")
        # The gate is read last, with nothing but the send behind it.
        closed = self.port.gate(command.strategy, command.instrument)
        if not closed:
            try:
                session.new_order(command, instrument, cl_ord_id, mono_ns, wall_ns)
            except REFUSALS as e:
                closed = str(e)
        if closed:
            self.table.reject(order, closed, wall_ns)
            self.port.record(order.snapshot())
            self.counters["refused"] += 1
            return Answer(command.command_id, False, closed, cl_ord_id)
        self.counters["orders"] += 1
        self.port.moved(order)
        return Answer(command.command_id, True, cl_ord_id=cl_ord_id)

    def _refuse(self, command: NewOrder, reason: str) -> Answer:
        self.counters["refused"] += 1
        return Answer(command.command_id, False, reason)

    def _objection(self, command: NewOrder) -> str:
        closed = self.port.gate(command.strategy, command.instrument)
        if closed:
            return closed
        if self.session is None or self.session.phase != SessionPhase.READY:
            return f"session {self.name} is not ready: {self.session.phase if self.session else 'not connected'}"
        if self.ready_reason:
            return f"session {self.name} is not ready: {self.ready_reason}"
        instrument = self.instruments.get(command.instrument)
        if instrument is None:
            return f"instrument: {self.name} has no {command.instrument!r}; it has {sorted(self.instruments)}"
        return _terms(command, instrument, self.capabilities)

    def _on_order(
        self, command: AnyCommand, cl_ord_id: str, order_id: str, act: Callable[[Order], str], instrument: str = ""
    ) -> Answer:
        order = self.table.find(cl_ord_id, order_id, instrument)
        if order is None:
            return Answer(command.command_id, False, f"no order {cl_ord_id or order_id!r} of session {self.name}")
        if not order.is_open:
            return Answer(command.command_id, False, f"order is {order.state}", order.cl_ord_id)
        reason = act(order)
        return Answer(command.command_id, not reason, reason, order.cl_ord_id)

    def cancel(self, order: Order, *, forced: bool = False) -> str:
        """Ask the venue to cancel one order; why it was not sent. `forced` skips throttles (a kill)."""
        mono_ns = self.clock.mono_ns()
        if forced:
            self.bucket.force(mono_ns)
        elif not self.bucket.take(mono_ns, urgent=True):
            return "rate limit of the venue"
        self.counters["cancels"] += 1
        return self._request(order, "cancel", lambda s, i, r, m, w: s.cancel_order(working(order, i), r, m, w))

    def ask_status(self, order: Order) -> str:
        """Ask the venue for one order's state, over the session."""
        return self._request(order, "status", lambda s, i, r, m, w: s.order_status(working(order, i), r, m, w))

    def _replace(self, order: Order, command: ReplaceOrder) -> str:
        if self.capabilities.replace == Replace.NONE:
            return f"{order.venue} cannot replace orders"
        closed = self.port.gate(order.strategy, order.instrument)
        if closed:
            return closed
        instrument = self.instruments.get(order.instrument)
        if instrument is None:
            return f"instrument: {self.name} no longer has {order.instrument!r}"
        reason = _figures(command.order_qty, command.price, instrument)
        if reason:
            return reason
        if not self.bucket.take(self.clock.mono_ns()):
            return "rate limit of the venue: only cancels are let through now"
        price = command.price if command.price is not None else order.price
        stop_px = command.stop_px if command.stop_px is not None else order.stop_px
        qty = command.order_qty

        def send(s: TradingSession, i: Instrument, request_id: str, mono_ns: int, wall_ns: int) -> None:
            target = working(order, i)
            if s.replace_is_new(target, qty, price, stop_px):
                self._enter_successor(order, request_id, qty, price, stop_px, wall_ns)
            s.replace_order(target, request_id, qty, price, stop_px, mono_ns, wall_ns)

        return self._request(order, "replace", send)

    def _enter_successor(
        self, order: Order, cl_ord_id: str, qty: int, price: int | None, stop_px: int | None, wall_ns: int
    ) -> None:
        """The venue cancels the old order and places a new one: it is in our books before the bytes leave."""
        self.table.disown(order, cl_ord_id)
        successor = Order(
            session=order.session, venue=order.venue, account=order.account, instrument=order.instrument,
            cl_ord_id=cl_ord_id, side=order.side, ord_type=order.ord_type, time_in_force=order.time_in_force,
            px_scale=order.px_scale, qty_scale=order.qty_scale, order_qty=qty, price=price, stop_px=stop_px,
            leaves_qty=qty, strategy=order.strategy, client_id=order.client_id, command_id=order.command_id,
            exec_inst=order.exec_inst,
            sent_ns=wall_ns, since_ns=wall_ns, ids=[cl_ord_id],
        )  # fmt: skip
        self.table.add(successor)
        self.port.record(successor.snapshot())

    def _request(
        self, order: Order, kind: str, send: Callable[[TradingSession, Instrument, str, int, int], None]
    ) -> str:
        session = self.session
        instrument = self.instruments.get(order.instrument)
        if session is None or session.phase not in (SessionPhase.READY, SessionPhase.RECOVERING):
            return f"session {self.name} is not logged on"
        if instrument is None:
            return f"instrument: {self.name} no longer has {order.instrument!r}"
        mono_ns, wall_ns = self.clock.mono_ns(), self.clock.wall_ns()
        request_id = session.make_cl_ord_id(wall_ns)
        self.table.request(order, request_id, kind, wall_ns)
        try:
            send(session, instrument, request_id, mono_ns, wall_ns)
        except REFUSALS as e:
            successor = self.table.find(request_id)
            if successor is not None and successor is not order:
                self.table.reject(successor, str(e), wall_ns)
                self.port.record(successor.snapshot())
            self.table.withdraw(order, request_id, wall_ns)
            return str(e)
        if kind != "status":
            self.port.record(order.snapshot())
        return ""

    def _mass_cancel(self, command: MassCancel) -> Answer:
        reason = self.mass_cancel(command.instrument)
        return Answer(command.command_id, not reason, reason)

    def mass_cancel(self, instrument: str = "") -> str:
        """Mass cancel over this session, per instrument where the venue wants that; why it was not sent."""
        session = self.session
        if not self.capabilities.mass_cancel:
            return "the venue has no mass cancel; orders are cancelled one by one"
        if session is None or session.phase not in (SessionPhase.READY, SessionPhase.RECOVERING):
            return f"session {self.name} is not logged on"
        if instrument and instrument not in self.instruments:
            return f"instrument: {self.name} has no {instrument!r}"
        targets: list[Instrument | None] = [None]
        if instrument:
            targets = [self.instruments[instrument]]
        elif self.per_instrument:
            targets = list(self.instruments.values())
        mono_ns, wall_ns = self.clock.mono_ns(), self.clock.wall_ns()
        for target in targets:
            self.bucket.force(mono_ns)
            try:
                session.mass_cancel(target, session.make_cl_ord_id(wall_ns), mono_ns, wall_ns)
            except REFUSALS as e:
                return str(e)
        return ""

    # -- reports ---------------------------------------------------------------------------------------------

    def event(self, event: AnyEvent) -> None:
        """Take in what the session delivers: journalled and published before this returns."""
        if isinstance(event, ExecutionReport):
            self.report(event)
        elif isinstance(event, CancelReject):
            order = self.table.apply_reject(event, self.clock.wall_ns())
            self.port.record(event, *([order.snapshot()] if order else []))
            if order is not None:
                self.port.moved(order)
        else:
            self.port.record(event)

    def report(self, report: ExecutionReport) -> None:
        """Apply one report; a duplicate is counted and not published again."""
        self.counters["reports"] += 1
        applied = self.table.apply(report, self.clock.wall_ns())
        order = applied.order
        if applied.duplicate:
            self.counters["duplicates"] += 1
            return
        if order is None:
            self.counters["unknown_orders"] += 1
            self.port.record(report)
            self._unknown(report)
            return
        self.port.record(_owned(report, order), order.snapshot())
        if applied.revived:
            self._alive_after_all(report, order, applied.revived)
        if applied.fill_qty:
            self.port.filled(order, applied)
        self.port.moved(order)
        if order.is_open and self.on_open_report is not None:
            self.on_open_report(order)

    def _unknown(self, report: ExecutionReport) -> None:
        """An order of our own making that the table lost: people must know, once an order."""
        key = report.cl_ord_id
        if key in self._lost_orders or not self.owns(key) or len(self._lost_orders) >= LOST_KEPT:
            return
        self._lost_orders.add(key)
        what = f"150={report.exec_type} 39={report.ord_status} {report.instrument}"
        self.port.alert("critical", "unknown_order", f"{self.name}: {key} was made here and is not known: {what}")

    def _alive_after_all(self, report: ExecutionReport, order: Order, thought: str) -> None:
        says = f"150={report.exec_type} 39={report.ord_status}"
        self.port.record(
            Difference(
                session=self.name, venue=order.venue, instrument=order.instrument, cl_ord_id=order.cl_ord_id,
                order_id=order.order_id, kind="alive_after_all", desk=f"{thought} by inference", venue_says=says,
                settled_by="open again", ts_ns=self.clock.wall_ns(),
            )
        )  # fmt: skip
        self.port.alert("critical", "alive", f"{self.name}: {order.cl_ord_id} was thought {thought}, but lives: {says}")

    def lost_session(self, reason: str) -> None:
        """The session dropped: what was open is UNCERTAIN until reconciled."""
        wall_ns = self.clock.wall_ns()
        for order in self.table.open():
            order.requests.clear()
            if order.state != "UNCERTAIN":
                self.table.uncertain(order, reason, wall_ns)
                self.port.record(order.snapshot())
                self.port.moved(order)

    def owns(self, cl_ord_id: str) -> bool:
        """Whether this session made that ClOrdID; False as long as there is no session."""
        return bool(cl_ord_id) and self.session is not None and self.session.owns(cl_ord_id)

    @property
    def can_list(self) -> bool:
        """Whether the venue's list of open orders can be had."""
        return self.capabilities.open_orders == OpenOrders.REST


def _owned(report: ExecutionReport, order: Order) -> ExecutionReport:
    """The report with the owner that the desk knows; a session does not know whose an order is."""
    return msgspec.structs.replace(
        report, strategy=order.strategy, client_id=order.client_id, command_id=order.command_id
    )


def _terms(command: NewOrder, instrument: Instrument, capabilities: Capabilities) -> str:
    if command.side not in ("1", "2"):
        return f"side: {command.side!r} is neither '1' (buy) nor '2' (sell)"
    if command.ord_type not in capabilities.new_types:
        return f"ord_type: {command.ord_type!r} is not one of {sorted(capabilities.new_types)}"
    if command.time_in_force not in capabilities.times_in_force:
        return f"time_in_force: {command.time_in_force!r} is not one of {sorted(capabilities.times_in_force)}"
    if command.ord_type in PRICED and command.price is None:
        return f"price: required for ord_type {command.ord_type!r}"
    return _figures(command.order_qty, command.price, instrument)


def _figures(order_qty: int, price: int | None, instrument: Instrument) -> str:
    qty, px = instrument.qty_text, instrument.px_text
    if order_qty <= 0:
        return f"order_qty: {order_qty} is not positive"
    if order_qty % instrument.lot_size:
        return f"order_qty: {qty(order_qty)} is not a multiple of {qty(instrument.lot_size)}"
    if order_qty < instrument.min_qty:
        return f"order_qty: {qty(order_qty)} is below the minimum {qty(instrument.min_qty)}"
    if instrument.max_qty and order_qty > instrument.max_qty:
        return f"order_qty: {qty(order_qty)} is above the maximum {qty(instrument.max_qty)}"
    if price is not None and price <= 0:
        return f"price: {price} is not positive"
    if price is not None and price % instrument.tick_size:
        return f"price: {px(price)} is not a multiple of {px(instrument.tick_size)}"
    return ""
