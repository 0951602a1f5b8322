"""Order entry over one trading session: commands in, answers and events out. No I/O of its own.

Orders are placed by venues/new_orders.py, changed by venues/replaces.py. A report is journalled before the session's
expected number advances (`event` returns). What the gate forbids never leaves; cancels always pass.
"""

from collections.abc import Callable, Iterable

import msgspec

from base.errors import StoreError
from base.instruments import Instrument
from ipc.events import AnyEvent, CancelReject, Difference, ExecutionReport, VenueLimit
from ipc.once import Once
from ipc.requests import (
    Answer,
    AnyCommand,
    CancelOrder,
    ListOrders,
    MassCancel,
    NewOrder,
    NewOrders,
    ReplaceOrder,
    StatusOrder,
)
from ipc.told import Name, Told, name_of
from risk.order import Order
from risk.orders import AMENDS, Applied, OrderTable
from venues.cancel_batches import batches, cancel_together
from venues.interface import Capabilities, SessionPhase, TradingSession
from venues.new_orders import REFUSALS, place, place_all
from venues.order_meter import OrderMeter
from venues.order_port import Checks, NoChecks, Port, Times
from venues.order_terms import age_at_venue, owned, working
from venues.replaces import replace
from venues.throttle import Throttle

LOST_KEPT = 1_000  # orders reported as lost by name, in one life of the process
FOREIGN_KEPT = 20_000  # reports on others' orders, told once however often they come


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
        mass_is_wide: bool = False,
        throttle: Throttle | None = None,
        checks: Checks | None = None,
        told: Told | None = None,
    ) -> None:
        """`throttle`: the venue's limits as this process shares them with others; by default they are kept alone.

        `checks`: the desk's own limits on orders; by default there are none. `told`: which reports were told, also in
        earlier lives of the process.
        """
        self.name = name
        self.account = account
        self.capabilities = capabilities
        self.instruments = {i.name: i for i in instruments}
        self.table = table
        self.port = port
        self.clock = clock
        self.per_instrument = per_instrument  # the venue's mass cancel names one instrument
        self.mass_is_wide = mass_is_wide  # it reaches orders of the account that are not this session's
        self.session: TradingSession | None = None
        self.ready_reason = "starting"  # why new orders are not let through yet; "" once reconciled
        self.throttle = throttle or Throttle(capabilities.limits.orders, self.instruments)
        self.checks = checks or NoChecks()
        self.told = told or Told()
        self.is_swept: Callable[[Order], bool] | None = None  # whether the desk cancels it with all that it has
        self.on_open_report: Callable[[Order], None] | None = None  # told of orders a report shows to be open
        self.on_status: Callable[[Order, bool], None] | None = None  # a status request's answer: order, whether known
        self.asked_ns = 0  # monotonic time of the first order request since the venue last answered any; 0: none
        self.meter = OrderMeter()
        self._lost_orders: set[str] = set()
        self._foreign = Once(kept=FOREIGN_KEPT)
        self.counters = {"orders": 0, "refused": 0, "cancels": 0, "reports": 0, "duplicates": 0, "unknown_orders": 0}

    # -- commands --------------------------------------------------------------------------------------------

    def handle(self, command: AnyCommand) -> Answer:
        """Act on a command; the answer is immediate. Never raises for what a client says."""
        match command:
            case NewOrder():
                return place(self, command)
            case NewOrders():
                return Answer(command.command_id, True, answers=place_all(self, command.orders))
            case CancelOrder():
                return self._on_order(command, command.cl_ord_id, command.order_id, self.cancel, command.instrument)
            case ReplaceOrder():
                return self._on_order(command, command.cl_ord_id, "", lambda o: replace(self, o, command))
            case StatusOrder():
                return self._on_order(command, command.cl_ord_id, "", self.ask_status)
            case MassCancel():
                return self._mass_cancel(command)
            case ListOrders():
                orders = self.table.open() if command.open_only else list(self.table)
                return Answer(command.command_id, True, orders=tuple(o.snapshot() for o in orders))
            case _:
                return Answer(command.command_id, False, f"{self.name} does not take {type(command).__name__}")

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

    def cancel(self, order: Order) -> str:
        """Ask the venue to cancel one order; why it was not sent.

        It uses the reserve, passes limits by which it would only be refused, and stays below those that would end the
        session, leaving room there for a mass cancel.
        """
        mono_ns, wall_ns = self.clock.mono_ns(), self.clock.wall_ns()
        age_ns = age_at_venue(order, wall_ns)
        keep = self.kept_for_mass
        late = self.throttle.take("cancel", mono_ns, wall_ns, order.instrument, age_ns, urgent=True, keep=keep)
        if late:
            return late
        self.counters["cancels"] += 1
        return self.request(order, "cancel", lambda s, i, r, m, w: s.cancel_order(working(order, i), r, m, w))

    @property
    def kept_for_mass(self) -> int:
        """Requests that single cancels leave for a mass cancel."""
        return (len(self.instruments) if self.per_instrument else 1) if self.capabilities.mass_cancel else 0

    def ask_status(self, order: Order) -> str:
        """Ask the venue for one order's state, over the session."""
        mono_ns, wall_ns = self.clock.mono_ns(), self.clock.wall_ns()
        if late := self.throttle.take("status", mono_ns, wall_ns, order.instrument):
            return late
        return self.request(order, "status", lambda s, i, r, m, w: s.order_status(working(order, i), r, m, w))

    def request(
        self,
        order: Order,
        kind: str,
        send: Callable[[TradingSession, Instrument, str, int, int], None],
        terms: tuple[int, int | None] | None = None,
    ) -> str:
        """Name a request about an order and `send` it; why it did not leave. `terms`: what a replace asks for."""
        session = self.session
        instrument = self.instruments.get(order.instrument)
        if session is None or session.phase not in (SessionPhase.READY, SessionPhase.RECOVERING):
            return f"session {self.name} is not logged on"
        if instrument is None:
            return f"instrument: {self.name} no longer has {order.instrument!r}"
        mono_ns, wall_ns = self.clock.mono_ns(), self.clock.wall_ns()
        request_id = session.make_cl_ord_id(wall_ns)
        self.table.request(order, request_id, kind, wall_ns, terms)
        try:
            send(session, instrument, request_id, mono_ns, wall_ns)
        except StoreError as e:
            self._take_back(order, request_id, f"journal: {e}", wall_ns)
            return f"journal: {e}"
        except REFUSALS as e:
            successor = self._take_back(order, request_id, str(e), wall_ns)
            if successor is not None:
                self.port.record(successor.snapshot())
            return str(e)
        self.meter.sent(kind)
        if kind != "status":
            self.asked_ns = self.asked_ns or mono_ns
            self.port.record(order.snapshot())
            self.port.moved(order)
        return ""

    def _take_back(self, order: Order, request_id: str, reason: str, wall_ns: int) -> Order | None:
        """A request did not leave: the order goes on, its successor never was. The successor, if there was one."""
        found = self.table.find(request_id)
        successor = found if found is not order else None
        if successor is not None:
            self.table.reject(successor, reason, wall_ns)
            self.port.moved(successor)
        self.table.withdraw(order, request_id, wall_ns)
        return successor

    def _mass_cancel(self, command: MassCancel) -> Answer:
        claims, one = self.capabilities, bool(command.instrument)
        if claims.mass_cancel and not self.mass_is_wide and (claims.mass_cancel_by_instrument or not one):
            reason = self.mass_cancel(command.instrument)
        else:
            reason = self._cancel_each(command.instrument)
        return Answer(command.command_id, not reason, reason)

    def _cancel_each(self, instrument: str) -> str:
        """Single cancels for this session's own orders, where a mass cancel is missing or would reach further."""
        if instrument and instrument not in self.instruments:
            return f"instrument: {self.name} has no {instrument!r}"
        orders = [o for o in self.table.open() if instrument in ("", o.instrument)]
        groups = [(group, cancel_together(self, group)) for group in batches(orders, self.capabilities.cancel_batch)]
        failed = [(len(group), why) for group, why in groups if why]
        left = sum(count for count, _ in failed)
        return f"{left} of {len(orders)} orders not cancelled: {failed[0][1]}" if failed else ""

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
            try:
                session.mass_cancel(target, session.make_cl_ord_id(wall_ns), mono_ns, wall_ns)
            except REFUSALS as e:
                return str(e)
            self._count_mass(target.name if target else "", mono_ns, wall_ns)  # never asked, so it can wait
        return ""

    def _count_mass(self, instrument: str, mono_ns: int, wall_ns: int) -> None:
        """The request, and the orders that it reaches: some venues may count each of them as a cancel."""
        self.throttle.force("mass", mono_ns, wall_ns, instrument)
        for order in self.table.open():
            if instrument in ("", order.instrument):
                self.throttle.force("swept", mono_ns, wall_ns, order.instrument, age_at_venue(order, wall_ns))

    # -- reports ---------------------------------------------------------------------------------------------

    def event(self, event: AnyEvent) -> None:
        """Take in what the session delivers: journalled and published before this returns."""
        if isinstance(event, ExecutionReport | CancelReject):
            self.asked_ns = 0
        if isinstance(event, ExecutionReport):
            self.report(event)
            if event.exec_type == "I":
                self._answered(self.table.find(event.cl_ord_id, event.order_id, event.instrument), known=True)
        elif isinstance(event, CancelReject):
            self.meter.refused(event.origin)
            self._heed(event.reason_code, event.text, event.instrument)
            order = self.table.apply_reject(event, self.clock.wall_ns())
            self.port.record(event, *([order.snapshot()] if order else []))
            if order is not None:
                self.port.moved(order)
            if event.unknown_order and not event.response_to:
                self._answered(order, known=False)
        elif isinstance(event, VenueLimit):
            self.throttle.told(event, self.clock.mono_ns(), self.clock.wall_ns())
            self.port.record(event)
        else:
            self.port.record(event)

    def _heed(self, code: str, text: str, instrument: str) -> None:
        """A refusal may say that a rate limit was passed: then ours counts as full."""
        passed = self.throttle.answered(code, text, self.clock.mono_ns(), self.clock.wall_ns(), instrument)
        if passed:
            self.port.alert("warning", "rate_limit", f"{self.name}: the venue says that it is passed: {passed}")

    def _answered(self, order: Order | None, *, known: bool) -> None:
        if order is not None and self.on_status is not None:
            self.on_status(order, known)

    def report(self, report: ExecutionReport) -> None:
        """Apply one report; a duplicate is counted and not published again."""
        self.counters["reports"] += 1
        name = name_of(report)
        if name in self.told:
            self.counters["duplicates"] += 1
            return
        applied = self.table.apply(report, self.clock.wall_ns())
        order = applied.order
        if applied.duplicate:
            self.counters["duplicates"] += 1
            if order is not None and applied.changed:
                self._changed(order, applied)
            return
        if order is None:
            self._not_here(report, name)
            return
        self.told.note(name)
        self.meter.reported(order.cl_ord_id)
        if report.exec_type == "8":
            self.meter.refused(report.origin)
            self._heed(report.reason_code, report.text, order.instrument)
        swept = self.is_swept is not None and self.is_swept(order)
        self._changed(order, applied, owned(report, order, swept=swept))
        if applied.untraced:
            text = f"150={report.exec_type} of execution {report.exec_ref_id or report.trade_id!r}, not known here"
            self.port.alert("critical", "amendment", f"{self.name}: {order.cl_ord_id}: {text}: position unchanged")
        if applied.revived:
            self._alive_after_all(report, order, applied.revived)
        if order.is_open and self.on_open_report is not None:
            self.on_open_report(order)

    def _changed(self, order: Order, applied: Applied, *told: AnyEvent) -> None:
        """Record what was told, the order as it is now, and what its fill makes of the position: at once."""
        beside: Iterable[AnyEvent] = ()
        if applied.fill_qty:
            if order.cum_qty == applied.fill_qty:
                self.throttle.filled(order.instrument)
            beside = self.port.filled(order, applied)
        self.port.record(*told, order.snapshot(), *beside)
        self.port.moved(order)

    def _not_here(self, report: ExecutionReport, name: Name | None) -> None:
        """Another session's order, or a stranger's, where reports go to the whole account; or one that was lost."""
        foreign = not self.owns(report.cl_ord_id)
        if foreign and not self._foreign.first(report):
            self.counters["duplicates"] += 1
            return
        self.counters["unknown_orders"] += 1
        if not foreign:
            self.told.note(name)
        self.port.record(msgspec.structs.replace(report, foreign=foreign))
        if not foreign:
            self._lost(report)

    def _lost(self, report: ExecutionReport) -> None:
        """An order of our own making that the table lost: people must know, once an order."""
        key = report.cl_ord_id
        if key in self._lost_orders or len(self._lost_orders) >= LOST_KEPT:
            return
        self._lost_orders.add(key)
        what = f"150={report.exec_type} 39={report.ord_status} {report.instrument}"
        self.port.alert("critical", "unknown_order", f"{self.name}: {key} was made here and is not known: {what}")

    def _alive_after_all(self, report: ExecutionReport, order: Order, thought: str) -> None:
        says = f"150={report.exec_type} 39={report.ord_status}"
        desk = thought if report.exec_type in AMENDS else f"{thought} by inference"
        self.port.record(
            Difference(
                session=self.name, venue=order.venue, instrument=order.instrument, cl_ord_id=order.cl_ord_id,
                order_id=order.order_id, kind="alive_after_all", desk=desk, venue_says=says,
                settled_by="open again", ts_ns=self.clock.wall_ns(),
            )
        )  # fmt: skip
        self.port.alert("critical", "alive", f"{self.name}: {order.cl_ord_id} was thought {thought}, but lives: {says}")

    def lost_session(self, reason: str) -> None:
        """The session dropped: what was open is UNCERTAIN until reconciled."""
        self.asked_ns = 0
        self.meter.lost()
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
