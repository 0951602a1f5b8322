"""Reconciliation of the desk's open orders with the venue's list after a logon. Pure: actions out, answers in.

The venue is right. An open order that the list shows is confirmed; one that it does not show is asked for singly; one
that the venue never heard of is settled only by a second list, taken later than the venue's stated lag. A listed order
that this session made and its table lost is taken in again. What cannot be learnt stays UNCERTAIN and is followed.
"""

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

from base.decimals import format_scaled, to_scaled
from base.errors import NumberError
from base.instruments import Instrument
from ipc.events import Difference, ExecutionReport
from risk.orders import Order, OrderTable


class ListedOrder(Protocol):
    """An order as the venue's list shows it; quantities are decimal text."""

    @property
    def order_id(self) -> str: ...
    @property
    def cl_ord_id(self) -> str: ...
    @property
    def symbol(self) -> str: ...
    @property
    def side(self) -> str: ...
    @property
    def order_qty(self) -> str: ...
    @property
    def cum_qty(self) -> str: ...
    @property
    def price(self) -> str: ...
    @property
    def status(self) -> str: ...


class AskList(msgspec.Struct, frozen=True):
    """Fetch the page of the open-orders list at `cursor`."""

    cursor: str


class AskOrder(msgspec.Struct, frozen=True):
    """Ask the venue for one order."""

    cl_ord_id: str


class Wait(msgspec.Struct, frozen=True):
    """Call `resume` at this monotonic time."""

    until_mono_ns: int


class Done(msgspec.Struct, frozen=True):
    """Everything that can be learnt now is learnt; orders left UNCERTAIN remain to be followed."""


Action: TypeAlias = AskList | AskOrder | Wait | Done


class Finding(msgspec.Struct, frozen=True):
    """What to apply and to publish: a report in the venue's words and the difference it settles.

    `changed`: an order that the run itself moved or took in, to be journalled as it now stands. `alert`: for people.
    """

    report: ExecutionReport | None
    difference: Difference | None
    changed: Order | None = None
    alert: str = ""


class Terms(msgspec.Struct, frozen=True):
    """What holds for all runs of a session. An order is settled by absence only if it is `min_age_ns` old."""

    session: str
    venue: str
    account: str
    list_lag_ns: int
    min_age_ns: int
    instruments: tuple[Instrument, ...]
    owns: Callable[[str], bool]  # whether the session made that ClOrdID


Phase: TypeAlias = Literal["first_list", "orders", "wait", "second_list", "done"]


class Reconciler:
    """One run. Feed answers in the order asked; each call returns the next actions, `take_findings` what was found.

    Only orders that are UNCERTAIN when the run begins are asked for and may be settled by absence: what is in flight,
    or becomes UNCERTAIN meanwhile, has not been looked for by both lists.
    """

    def __init__(self, table: OrderTable, terms: Terms, asks_single: bool) -> None:
        self._table = table
        self._terms = terms
        self._by_symbol = {i.symbol: i for i in terms.instruments}
        self._names = {i.name for i in terms.instruments}
        self._asks_single = asks_single
        self._phase: Phase = "first_list"
        self._listed: list[ListedOrder] = []
        self._doubtful: dict[str, Order] = {}  # by first ClOrdID: may be settled by this run
        self._to_ask: list[str] = []
        self._unheard: set[str] = set()  # first ClOrdIDs
        self._findings: list[Finding] = []
        self._first_list_ns = 0
        self._began_ns = 0  # UTC

    def start(self, mono_ns: int, wall_ns: int) -> list[Action]:
        """Begin with the list."""
        self._phase = "first_list"
        self._listed = []
        self._first_list_ns, self._began_ns = mono_ns, wall_ns
        doubtful = (o for o in self._table.open() if o.state == "UNCERTAIN" and o.instrument in self._names)
        self._doubtful = {o.ids[0]: o for o in doubtful}
        return [AskList("")]

    def take_findings(self) -> list[Finding]:
        """Findings since the last call."""
        found, self._findings = self._findings, []
        return found

    def page(self, orders: Sequence[ListedOrder], cursor: str, mono_ns: int, wall_ns: int) -> list[Action]:
        """A page of the list arrived; `cursor` is empty on the last."""
        self._listed.extend(orders)
        if cursor:
            return [AskList(cursor)]
        if self._phase == "first_list":
            return self._compare(mono_ns, wall_ns)
        return self._second(wall_ns)

    def order(self, cl_ord_id: str, answer: ListedOrder | None, mono_ns: int, wall_ns: int) -> list[Action]:
        """The venue answered for one order; None: it never heard of it."""
        order = self._table.find(cl_ord_id)
        if order is not None and order.is_open:
            if answer is None:
                self._unheard.add(order.ids[0])
            else:
                self._found(order, answer, wall_ns, "order query")
        return self._next(mono_ns)

    def resume(self, mono_ns: int) -> list[Action]:
        """The time given by Wait has come: take the second list."""
        if self._phase != "wait":
            return []
        self._phase = "second_list"
        self._listed = []
        return [AskList("")]

    def _compare(self, mono_ns: int, wall_ns: int) -> list[Action]:
        known: set[int] = set()
        for listed in self._listed:
            order = self._match(listed)
            if order is None:
                order = self._adopt(listed, wall_ns)
            if order is not None:
                known.add(id(order))
                self._found(order, listed, wall_ns, "open orders list")
        missing = [o for o in self._doubtful.values() if o.is_open and id(o) not in known]
        self._phase = "orders"
        if self._asks_single:
            self._to_ask = [o.cl_ord_id for o in missing]
        else:
            self._unheard.update(o.ids[0] for o in missing)
        return self._next(mono_ns)

    def _next(self, mono_ns: int) -> list[Action]:
        if self._to_ask:
            return [AskOrder(self._to_ask.pop(0))]
        if self._unheard:
            self._phase = "wait"
            return [Wait(max(mono_ns, self._first_list_ns + self._terms.list_lag_ns))]
        return self._finish()

    def _second(self, wall_ns: int) -> list[Action]:
        seen = {id(o) for o in map(self._match, self._listed) if o is not None}
        # Whose a line of an unknown symbol is cannot be told: its OrderID still keeps an order from being buried.
        strange = {listed.order_id for listed in self._listed if listed.symbol not in self._by_symbol}
        for listed in self._listed:
            order = self._match(listed)
            if order is not None and order.ids[0] in self._unheard:
                self._found(order, listed, wall_ns, "second open orders list")
        for key in self._unheard:
            order = self._doubtful.get(key)
            if order is None or id(order) in seen or (order.order_id and order.order_id in strange):
                continue
            if self._may_settle(order):
                self._settle(order, wall_ns)
        self._unheard.clear()
        return self._finish()

    def _may_settle(self, order: Order) -> bool:
        """Whether the order was UNCERTAIN all the time since the first list, and old enough to be on it."""
        unmoved = order.state == "UNCERTAIN" and order.since_ns <= self._began_ns
        return unmoved and self._began_ns - order.sent_ns >= self._terms.min_age_ns

    def _settle(self, order: Order, wall_ns: int) -> None:
        before = order.state
        self._table.settle_unknown(order, "absent from two open-orders lists of the venue", wall_ns)
        self._differ(order, "unknown_at_venue", before, "no such order", "two lists", wall_ns, None, order)

    def _finish(self) -> list[Action]:
        self._phase = "done"
        return [Done()]

    def _match(self, listed: ListedOrder) -> Order | None:
        instrument = self._by_symbol.get(listed.symbol)
        return self._table.find(listed.cl_ord_id, listed.order_id, instrument.name if instrument else listed.symbol)

    def _adopt(self, listed: ListedOrder, wall_ns: int) -> Order | None:
        """Take an order of this session's making into the table; others are told and left alone."""
        if not listed.cl_ord_id or not self._terms.owns(listed.cl_ord_id):
            self._stranger(listed, "unknown_here", "left alone: not an order of this session", wall_ns, None, "")
            return None
        order, why = self._made_of(listed, wall_ns)
        name = f"{self._terms.session}: {listed.cl_ord_id} {listed.symbol} is at the venue, and was not known here"
        if order is None:
            self._stranger(listed, "unknown_here", f"cannot be taken in: {why}", wall_ns, None, f"{name}: {why}")
            return None
        self._table.add(order)
        self._stranger(listed, "adopted", "taken into the books", wall_ns, order, name)
        return order

    def _made_of(self, listed: ListedOrder, wall_ns: int) -> tuple[Order | None, str]:
        """The order that a line of the list shows, what it does not say left empty; or why there is none."""
        instrument = self._by_symbol.get(listed.symbol)
        if instrument is None or listed.side not in ("1", "2"):
            return None, f"symbol {listed.symbol!r} is not configured or side {listed.side!r} unknown"
        try:
            qty = instrument.qty(listed.order_qty)
            price = instrument.px(listed.price) if listed.price else None
        except NumberError as e:
            return None, str(e)
        terms = self._terms
        return Order(
            session=terms.session, venue=terms.venue, account=terms.account, instrument=instrument.name,
            cl_ord_id=listed.cl_ord_id, order_id=listed.order_id, side=listed.side, ord_type="", time_in_force="",
            px_scale=instrument.px_scale, qty_scale=instrument.qty_scale, order_qty=qty, price=price, leaves_qty=qty,
            state="UNCERTAIN", reason="on the venue's list, and was not known here", sent_ns=wall_ns,
            since_ns=wall_ns, ids=[listed.cl_ord_id],
        ), ""  # fmt: skip

    def _stranger(
        self, listed: ListedOrder, kind: str, how: str, wall_ns: int, order: Order | None, alert: str
    ) -> None:
        text = f"{listed.side} {listed.order_qty} @ {listed.price} {listed.symbol}"
        instrument = order.instrument if order else listed.symbol
        difference = Difference(
            session=self._terms.session, venue=self._terms.venue, instrument=instrument,
            cl_ord_id=listed.cl_ord_id, order_id=listed.order_id, kind=kind, desk="no such order", venue_says=text,
            settled_by=how, ts_ns=wall_ns,
        )  # fmt: skip
        self._findings.append(Finding(None, difference, order, alert))

    def _found(self, order: Order, listed: ListedOrder, wall_ns: int, how: str) -> None:
        try:
            cum = to_scaled(listed.cum_qty or "0", order.qty_scale)
            qty = to_scaled(listed.order_qty, order.qty_scale) if listed.order_qty else order.order_qty
            price = to_scaled(listed.price, order.px_scale) if listed.price else None
        except NumberError as e:
            self._table.uncertain(order, str(e), wall_ns)
            self._differ(order, "qty", order.state, f"unreadable: {e}", "stays UNCERTAIN", wall_ns, None, order)
            return
        report = self._report(order, listed, (cum, qty, price), wall_ns)
        desk = f"{order.state} cum_qty {format_scaled(order.cum_qty, order.qty_scale)}"
        says = f"39={listed.status} cum_qty {listed.cum_qty}"
        if listed.status in ("2", "4", "8", "C", "3"):
            kind = "filled_meanwhile" if listed.status == "2" else "finished_meanwhile"
            self._differ(order, kind, desk, says, how, wall_ns, report)
        elif cum > order.cum_qty:
            self._differ(order, "filled_meanwhile", desk, says, how, wall_ns, report)
        elif qty != order.order_qty:
            self._differ(order, "qty", desk, f"order_qty {listed.order_qty}", how, wall_ns, report)
        else:
            self._findings.append(Finding(report, None))

    def _report(
        self, order: Order, listed: ListedOrder, figures: tuple[int, int, int | None], wall_ns: int
    ) -> ExecutionReport:
        cum, qty, price = figures
        return ExecutionReport(
            session=self._terms.session, venue=self._terms.venue, account=order.account, instrument=order.instrument,
            cl_ord_id=order.cl_ord_id, order_id=listed.order_id, exec_id="", exec_type="I",
            ord_status=listed.status, side=order.side, ord_type=order.ord_type, time_in_force=order.time_in_force,
            px_scale=order.px_scale, qty_scale=order.qty_scale, order_qty=qty, price=price, stop_px=None,
            last_qty=None, last_px=None, cum_qty=cum, leaves_qty=max(qty - cum, 0), transact_ns=0, sending_ns=0,
            recv_ns=wall_ns, origin="rest", strategy=order.strategy, client_id=order.client_id,
            command_id=order.command_id,
        )  # fmt: skip

    def _differ(
        self, order: Order, kind: str, desk: str, says: str, how: str, wall_ns: int, report: ExecutionReport | None,
        changed: Order | None = None,
    ) -> None:  # fmt: skip
        difference = Difference(
            session=self._terms.session, venue=self._terms.venue, instrument=order.instrument,
            cl_ord_id=order.cl_ord_id, order_id=order.order_id, kind=kind, desk=desk, venue_says=says,
            settled_by=how, ts_ns=wall_ns,
        )  # fmt: skip
        self._findings.append(Finding(report, difference, changed))
