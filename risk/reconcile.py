"""Reconciliation of the desk's open orders with the venue's list after a logon. Pure: actions out, answers in.

The venue is right. An open order that the list shows is confirmed; one that it does not show is asked for singly; one
that the venue never heard of is settled only by a second list, taken later than the venue's stated lag. What cannot be
learnt stays UNCERTAIN and is followed.
"""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

from base.decimals import format_scaled, to_scaled
from base.errors import NumberError
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
    """What to apply and to publish: a report in the venue's words and the difference it settles."""

    report: ExecutionReport | None
    difference: Difference | None


Phase: TypeAlias = Literal["first_list", "orders", "wait", "second_list", "done"]


class Reconciler:
    """One run. Feed answers in the order asked; each call returns the next actions, `take_findings` what was found."""

    def __init__(self, table: OrderTable, session: str, venue: str, list_lag_ns: int, asks_single: bool) -> None:
        self._table = table
        self._session = session
        self._venue = venue
        self._lag_ns = list_lag_ns
        self._asks_single = asks_single
        self._phase: Phase = "first_list"
        self._listed: list[ListedOrder] = []
        self._to_ask: list[str] = []
        self._unheard: set[str] = set()
        self._findings: list[Finding] = []
        self._first_list_ns = 0

    def start(self, mono_ns: int) -> list[Action]:
        """Begin with the list."""
        self._phase = "first_list"
        self._listed = []
        self._first_list_ns = mono_ns
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
                self._unheard.add(cl_ord_id)
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
                self._unknown_here(listed, wall_ns)
            else:
                known.add(id(order))
                self._found(order, listed, wall_ns, "open orders list")
        missing = [o.cl_ord_id for o in self._table.open() if id(o) not in known]
        self._phase = "orders"
        if self._asks_single:
            self._to_ask = missing
        else:
            self._unheard.update(missing)
        return self._next(mono_ns)

    def _next(self, mono_ns: int) -> list[Action]:
        if self._to_ask:
            return [AskOrder(self._to_ask.pop(0))]
        if self._unheard:
            self._phase = "wait"
            return [Wait(max(mono_ns, self._first_list_ns + self._lag_ns))]
        return self._finish()

    def _second(self, wall_ns: int) -> list[Action]:
        seen = {id(o) for o in map(self._match, self._listed) if o is not None}
        for listed in self._listed:
            order = self._match(listed)
            if order is not None and order.cl_ord_id in self._unheard:
                self._found(order, listed, wall_ns, "second open orders list")
        for cl_ord_id in self._unheard:
            order = self._table.find(cl_ord_id)
            if order is None or not order.is_open or id(order) in seen:
                continue
            before = order.state
            self._table.settle_unknown(order, "absent from two open-orders lists of the venue", wall_ns)
            self._differ(order, "unknown_at_venue", before, "no such order", "two lists", wall_ns, None)
        self._unheard.clear()
        return self._finish()

    def _finish(self) -> list[Action]:
        self._phase = "done"
        return [Done()]

    def _match(self, listed: ListedOrder) -> Order | None:
        return self._table.find(listed.cl_ord_id, listed.order_id)

    def _unknown_here(self, listed: ListedOrder, wall_ns: int) -> None:
        text = f"{listed.side} {listed.order_qty} @ {listed.price} {listed.symbol}"
        self._findings.append(
            Finding(
                None,
                Difference(
                    session=self._session, venue=self._venue, instrument=listed.symbol, cl_ord_id=listed.cl_ord_id,
                    order_id=listed.order_id, kind="unknown_here", desk="no such order", venue_says=text,
                    settled_by="left alone: not an order of this session", ts_ns=wall_ns,
                ),
            )
        )  # fmt: skip

    def _found(self, order: Order, listed: ListedOrder, wall_ns: int, how: str) -> None:
        try:
            cum = to_scaled(listed.cum_qty or "0", order.qty_scale)
            qty = to_scaled(listed.order_qty, order.qty_scale) if listed.order_qty else order.order_qty
            price = to_scaled(listed.price, order.px_scale) if listed.price else None
        except NumberError as e:
            self._differ(order, "qty", order.state, f"unreadable: {e}", "stays UNCERTAIN", wall_ns, None)
            self._table.uncertain(order, str(e), wall_ns)
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
            session=self._session, venue=self._venue, account=order.account, instrument=order.instrument,
            cl_ord_id=order.cl_ord_id, order_id=listed.order_id, exec_id="", exec_type="I",
            ord_status=listed.status, side=order.side, ord_type=order.ord_type, time_in_force=order.time_in_force,
            px_scale=order.px_scale, qty_scale=order.qty_scale, order_qty=qty, price=price, stop_px=None,
            last_qty=None, last_px=None, cum_qty=cum, leaves_qty=max(qty - cum, 0), transact_ns=0, sending_ns=0,
            recv_ns=wall_ns, origin="rest", strategy=order.strategy, client_id=order.client_id,
            command_id=order.command_id,
        )  # fmt: skip

    def _differ(
        self, order: Order, kind: str, desk: str, says: str, how: str, wall_ns: int, report: ExecutionReport | None
    ) -> None:
        difference = Difference(
            session=self._session, venue=self._venue, instrument=order.instrument, cl_ord_id=order.cl_ord_id,
            order_id=order.order_id, kind=kind, desk=desk, venue_says=says, settled_by=how, ts_ns=wall_ns,
        )  # fmt: skip
        self._findings.append(Finding(report, difference))
