"""What reconciliation finds: lines of a venue's list as reports, and the differences that they settle. Pure."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from base.decimals import format_scaled, to_scaled
from base.errors import NumberError
from base.instruments import Instrument
from ipc.events import Difference, ExecutionReport
from risk.order import Order
from risk.orders import FINAL_BY_STATUS, OrderTable

Figures = tuple[int, int | None, int | None]
"""cum_qty, order_qty, price of a line, at the order's scales."""


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


class ListedTrade(Protocol):
    """A trade as the venue tells it apart from the session; numbers are decimal text."""

    @property
    def trade_id(self) -> str: ...
    @property
    def order_id(self) -> str: ...
    @property
    def cl_ord_id(self) -> str: ...
    @property
    def symbol(self) -> str: ...
    @property
    def px(self) -> str: ...
    @property
    def qty(self) -> str: ...
    @property
    def fees(self) -> tuple[tuple[str, str], ...]: ...
    @property
    def liquidity(self) -> str: ...
    @property
    def transact_ns(self) -> int: ...


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
    tells_trades: bool = False  # fills can be had one by one
    settles_absent: bool = True  # an order that nobody there knows may be taken for finished
    origin: str = "rest"  # channel of the list, as reports name it


def figures(line: ListedOrder, order: Order) -> Figures:
    """A line's numbers; NumberError when one does not fit the order's scales."""
    cum = to_scaled(line.cum_qty or "0", order.qty_scale)
    qty = to_scaled(line.order_qty, order.qty_scale) if line.order_qty else None
    return cum, qty, to_scaled(line.price, order.px_scale) if line.price else None


def shows_more(line: ListedOrder, order: Order) -> bool:
    """Whether the line knows of more filled quantity than the desk."""
    try:
        return figures(line, order)[0] > order.cum_qty
    except NumberError:
        return False


def status_report(terms: Terms, order: Order, line: ListedOrder, said: Figures, wall_ns: int) -> ExecutionReport:
    """A line as the answer to a status request: 150=I."""
    cum, qty, price = said
    leaves = max((order.order_qty if qty is None else qty) - cum, 0)
    return ExecutionReport(
        session=terms.session, venue=terms.venue, account=order.account, instrument=order.instrument,
        cl_ord_id=order.cl_ord_id, order_id=line.order_id, exec_id="", exec_type="I", ord_status=line.status,
        side=order.side, ord_type=order.ord_type, time_in_force=order.time_in_force, px_scale=order.px_scale,
        qty_scale=order.qty_scale, order_qty=qty, price=price, stop_px=None, last_qty=None, last_px=None, cum_qty=cum,
        leaves_qty=leaves, transact_ns=0, sending_ns=0, recv_ns=wall_ns, origin=terms.origin, strategy=order.strategy,
        client_id=order.client_id, command_id=order.command_id,
    )  # fmt: skip


def trade_report(terms: Terms, order: Order, trade: ListedTrade, wall_ns: int) -> ExecutionReport:
    """A trade as a fill: 150=F with what the venue told of it and no more. NumberError when it does not fit."""
    return ExecutionReport(
        session=terms.session, venue=terms.venue, account=order.account, instrument=order.instrument,
        cl_ord_id=order.cl_ord_id, order_id=trade.order_id, exec_id="", exec_type="F", ord_status="", side=order.side,
        ord_type=order.ord_type, time_in_force=order.time_in_force, px_scale=order.px_scale, qty_scale=order.qty_scale,
        order_qty=None, price=None, stop_px=None, last_qty=to_scaled(trade.qty, order.qty_scale),
        last_px=to_scaled(trade.px, order.px_scale), cum_qty=None, leaves_qty=None, transact_ns=trade.transact_ns,
        sending_ns=0, recv_ns=wall_ns, origin="rest", strategy=order.strategy, client_id=order.client_id,
        command_id=order.command_id, trade_id=trade.trade_id, liquidity=trade.liquidity, fees=trade.fees,
        venue_symbol=trade.symbol,
    )  # fmt: skip


class Differences:
    """Findings of a run, in the order in which they are to be applied and published."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._findings: list[Finding] = []

    def take(self) -> list[Finding]:
        """Findings since the last call."""
        found, self._findings = self._findings, []
        return found

    def report(self, report: ExecutionReport) -> None:
        """A report without a difference."""
        self._findings.append(Finding(report, None))

    def found(self, order: Order, line: ListedOrder, wall_ns: int, how: str, table: OrderTable) -> None:
        """The venue shows how an order stands."""
        try:
            said = figures(line, order)
        except NumberError as e:
            table.uncertain(order, str(e), wall_ns)
            self.differ(order, "qty", f"unreadable: {e}", "stays UNCERTAIN", wall_ns, changed=order)
            return
        cum, qty, price = said
        qty = order.order_qty if qty is None else qty
        report = status_report(self._terms, order, line, (cum, qty, price), wall_ns)
        says = f"39={line.status} cum_qty {line.cum_qty}"
        if line.status in FINAL_BY_STATUS:
            kind = "filled_meanwhile" if line.status == "2" else "finished_meanwhile"
            self.differ(order, kind, says, how, wall_ns, report)
        elif cum > order.cum_qty:
            self.differ(order, "filled_meanwhile", says, how, wall_ns, report)
        elif qty != order.order_qty:
            self.differ(order, "qty", f"order_qty {line.order_qty}", how, wall_ns, report)
        else:
            self.report(report)

    def settle_absent(self, order: Order, table: OrderTable, wall_ns: int) -> None:
        """Neither list has the order, nobody there knows it, and it is old enough."""
        desk = order.state
        table.settle_unknown(order, "absent from two open-orders lists of the venue", wall_ns)
        self.differ(order, "unknown_at_venue", "no such order", "two lists", wall_ns, changed=order, desk=desk)

    def alive(self, order: Order, line: ListedOrder, table: OrderTable, since_ns: int, wall_ns: int) -> None:
        """The venue's list shows an order that was thought finished."""
        thought = order.state
        table.revive(order, since_ns)
        self.differ(
            order, "alive_after_all", f"39={line.status}", "open again", wall_ns, changed=order,
            desk=f"{thought} by inference",
            alert=f"{self._terms.session}: {order.cl_ord_id} was thought {thought}, but the venue lists it",
        )  # fmt: skip

    def differ(
        self, order: Order, kind: str, says: str, how: str, wall_ns: int, report: ExecutionReport | None = None, *,
        changed: Order | None = None, desk: str = "", alert: str = "",
    ) -> None:  # fmt: skip
        """A difference about an order known here."""
        desk = desk or f"{order.state} cum_qty {format_scaled(order.cum_qty, order.qty_scale)}"
        difference = Difference(
            session=self._terms.session, venue=self._terms.venue, instrument=order.instrument,
            cl_ord_id=order.cl_ord_id, order_id=order.order_id, kind=kind, desk=desk, venue_says=says,
            settled_by=how, ts_ns=wall_ns,
        )  # fmt: skip
        self._findings.append(Finding(report, difference, changed, alert))

    def stranger(self, line: ListedOrder, kind: str, how: str, wall_ns: int, order: Order | None, alert: str) -> None:
        """A difference about an order that was not known here; `order`: as what it was taken in."""
        text = f"{line.side} {line.order_qty} @ {line.price} {line.symbol}"
        difference = Difference(
            session=self._terms.session, venue=self._terms.venue,
            instrument=order.instrument if order else line.symbol, cl_ord_id=line.cl_ord_id, order_id=line.order_id,
            kind=kind, desk="no such order", venue_says=text, settled_by=how, ts_ns=wall_ns,
        )  # fmt: skip
        self._findings.append(Finding(None, difference, order, alert))


def adopted(line: ListedOrder, terms: Terms, instrument: Instrument | None, wall_ns: int) -> tuple[Order | None, str]:
    """The order that a line shows, what it does not say left empty; or why there is none."""
    if instrument is None or line.side not in ("1", "2"):
        return None, f"symbol {line.symbol!r} is not configured or side {line.side!r} unknown"
    try:
        qty = instrument.qty(line.order_qty)
        price = instrument.px(line.price) if line.price else None
    except NumberError as e:
        return None, str(e)
    # When it was placed is not known: sent_ns 0 has its trades looked for from the beginning.
    return Order(
        session=terms.session, venue=terms.venue, account=terms.account, instrument=instrument.name,
        cl_ord_id=line.cl_ord_id, order_id=line.order_id, side=line.side, ord_type="", time_in_force="",
        px_scale=instrument.px_scale, qty_scale=instrument.qty_scale, order_qty=qty, price=price, leaves_qty=qty,
        state="UNCERTAIN", reason="on the venue's list, and was not known here", since_ns=wall_ns,
        ids=[line.cl_ord_id],
    ), ""  # fmt: skip
