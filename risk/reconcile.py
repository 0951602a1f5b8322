"""Reconciliation of the desk's open orders with the venue's list after a logon. Pure: actions out, answers in.

The venue is right, and its list may be behind by a stated lag. So how an open order stands is read from a list taken
later than that after the logon; a final state counts at once. An order that lists do not show is asked for singly; one
that the venue never heard of is settled only by two lists. A listed order that this session made and its table lost is
taken in again. Fills are had trade by trade, where the venue tells them, before an order is settled. What cannot be
learnt stays UNCERTAIN and is followed.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeAlias

import msgspec

from base.errors import NumberError, VenueError
from base.instruments import Instrument
from risk.listed import (
    Differences,
    Finding,
    ListedOrder,
    ListedTrade,
    Terms,
    adopted,
    figures,
    shows_more,
    status_report,
    trade_report,
)
from risk.order import Order
from risk.orders import FINAL_BY_STATUS, OrderTable

PAGES_MOST = 1_000


class AskList(msgspec.Struct, frozen=True):
    """Fetch the page of the open-orders list at `cursor`."""

    cursor: str


class AskOrder(msgspec.Struct, frozen=True):
    """Ask the venue for one order."""

    cl_ord_id: str


class AskTrades(msgspec.Struct, frozen=True):
    """Fetch the page at `cursor` of the trades of one order."""

    cl_ord_id: str
    cursor: str


class Wait(msgspec.Struct, frozen=True):
    """Call `resume` at this monotonic time."""

    until_mono_ns: int


class Done(msgspec.Struct, frozen=True):
    """Everything that can be learnt now is learnt; orders left UNCERTAIN remain to be followed."""


Action: TypeAlias = AskList | AskOrder | AskTrades | Wait | Done
Phase: TypeAlias = Literal["first_list", "orders", "wait", "second_list", "second_orders"]
Why: TypeAlias = Literal["line", "absent", "trades"]


class _Held(msgspec.Struct, frozen=True):
    """An order about to be settled once its trades are known: as a line says, by absence, or not at all."""

    order: Order
    why: Why
    line: ListedOrder | None = None
    how: str = ""


class Reconciler:
    """One run. Apply `take_findings`, do what `next` says (it may find more), feed the answer; so on until Done.

    Only orders that are UNCERTAIN when the run begins are asked for and may be settled: what is in flight, or becomes
    UNCERTAIN meanwhile, has not been looked for by both lists, and what the session reports is newer than any list.
    """

    def __init__(
        self, table: OrderTable, terms: Terms, *, asks_single: bool = True, skip: Callable[[Order], bool] | None = None
    ) -> None:
        """`skip`: orders not to be asked for in this run, because asking failed again and again."""
        self._table = table
        self._terms = terms
        self._by_symbol = {i.symbol: i for i in terms.instruments}
        self._asks_single = asks_single
        self._skip = skip or (lambda _: False)
        self._say = Differences(terms)
        self._phase: Phase = "first_list"
        self._ask: AskList | AskTrades | None = None
        self._lines: dict[tuple[str, str], ListedOrder] = {}  # of the present list, by (symbol, OrderID)
        self._cursors: set[str] = set()
        self._twice = False
        self._strangers: set[tuple[str, str]] = set()  # told in this run
        self._doubtful: dict[str, Order] = {}  # by first ClOrdID: may be settled by this run
        self._terms_then: dict[str, tuple[int, int | None]] = {}  # (order_qty, price) of those when the run began
        self._shown: set[str] = set()  # first ClOrdIDs: open at the venue, as of a moment that may be too early
        self._to_ask: list[Order] = []
        self._held: list[_Held] = []
        self._late: list[_Held] = []  # finished: their trades may not be told yet
        self._absent: list[_Held] = []
        self._trades: list[ListedTrade] = []
        self._trade_cursors: set[str] = set()
        self._first_list_ns = 0
        self._began_ns = 0  # UTC
        self.unheard: set[str] = set()  # first ClOrdIDs that the venue did not know

    def start(self, mono_ns: int, wall_ns: int) -> None:
        """Compare the table with the venue's list."""
        self._first_list_ns, self._began_ns = mono_ns, wall_ns
        names = {i.name for i in self._terms.instruments}
        self._doubt(*(o for o in self._table.open() if o.state == "UNCERTAIN" and o.instrument in names))
        self._list("first_list")

    def follow(self, order: Order, wall_ns: int) -> None:
        """In place of `start`: ask for one order only."""
        self._began_ns, self._phase = wall_ns, "second_orders"
        self._doubt(order)
        self._to_ask = [order]

    def explain(self, order: Order) -> None:
        """In place of `start`: only have the trades of an order."""
        self._phase = "second_orders"
        self._held = [_Held(order, "trades")]

    def take_findings(self) -> list[Finding]:
        """Findings since the last call; to be applied before `next` is called."""
        return self._say.take()

    @property
    def may_be_behind(self) -> bool:
        """Whether no list younger than the start of the run was read."""
        return self._early and self._phase == "orders"

    # -- answers ---------------------------------------------------------------------------------------------

    def page(self, orders: Sequence[ListedOrder], cursor: str, wall_ns: int) -> None:
        """A page of the list arrived; `cursor` is empty on the last. VenueError when the pages never end."""
        for line in orders:
            self._take_line(line)
        if cursor:
            if cursor in self._cursors or len(self._cursors) >= PAGES_MOST:
                raise VenueError(f"open orders list: page {cursor!r} comes twice, or there are too many")
            self._cursors.add(cursor)
            self._ask = AskList(cursor)
        elif self._phase == "first_list":
            self._compare(wall_ns)
        else:
            self._second(wall_ns)

    def order(self, cl_ord_id: str, answer: ListedOrder | None, wall_ns: int) -> None:
        """The venue answered for one order; None: it never heard of it."""
        order = self._table.find(cl_ord_id)
        if order is None or not self._counts(order):
            return
        if answer is None:
            self.unheard.add(order.ids[0])
        elif self._phase == "orders" and self._early and answer.status not in FINAL_BY_STATUS:
            self._shown.add(order.ids[0])
        else:
            self._found(order, answer, wall_ns, "order query")

    def trades(self, trades: Sequence[ListedTrade], cursor: str, wall_ns: int) -> None:
        """A page of trades arrived, those asked for and perhaps others; `cursor` is empty on the last.

        VenueError when the pages never end.
        """
        self._trades.extend(trades)
        if cursor:
            if cursor in self._trade_cursors or len(self._trade_cursors) >= PAGES_MOST:
                raise VenueError(f"trades: page {cursor!r} comes twice, or there are too many")
            self._trade_cursors.add(cursor)
            self._ask = AskTrades(self._held[0].order.cl_ord_id, cursor)
            return
        taken, self._trades = self._trades, []
        self._trade_cursors.clear()
        self._fills(sorted(taken, key=lambda t: t.transact_ns), wall_ns)
        held = self._held.pop(0)
        if held.why == "absent":
            self._absent.append(held)  # settled when the fills have been applied
        else:
            self._settle(held, wall_ns)

    def no_trades(self, wall_ns: int, *, cannot: bool) -> None:
        """The trades could not be had; `cannot`: nor ever will be. If only now, absence proves nothing."""
        self._trades.clear()
        self._trade_cursors.clear()
        held = self._held.pop(0)
        if cannot or held.why == "line":
            self._settle(held, wall_ns)

    def resume(self) -> None:
        """The time given by Wait has come: take the second list."""
        if self._phase == "wait":
            self._list("second_list")

    def next(self, mono_ns: int, wall_ns: int) -> Action:
        """What to do now that everything found has been applied."""
        while self._absent:
            self._settle(self._absent.pop(), wall_ns)
        if self._ask is not None:
            ask, self._ask = self._ask, None
            return ask
        while self._held:
            held = self._held[0]
            if self._wants_trades(held):
                return AskTrades(held.order.cl_ord_id, "")
            self._settle(self._held.pop(0), wall_ns)
        while self._to_ask:
            order = self._to_ask.pop(0)
            if order.state == "UNCERTAIN":
                return AskOrder(order.cl_ord_id)
        if self._phase == "orders" and (self.unheard or self._shown or self._late or self._twice):
            self._phase = "wait"
            return Wait(max(mono_ns, self._first_list_ns + self._terms.list_lag_ns))
        return Done()

    # -- the lists -------------------------------------------------------------------------------------------

    def _doubt(self, *orders: Order) -> None:
        self._doubtful = {o.ids[0]: o for o in orders}
        open_now = [*orders, *self._table.open()]  # also those that the session spoke of before a run that failed
        self._terms_then = {o.ids[0]: (o.order_qty, o.price) for o in open_now}

    def _list(self, phase: Phase) -> None:
        self._phase = phase
        self._lines.clear()
        self._cursors.clear()
        self._ask = AskList("")

    @property
    def _early(self) -> bool:
        """Whether what the venue shows may be older than the logon."""
        return self._terms.list_lag_ns > 0

    def _take_line(self, line: ListedOrder) -> None:
        """An order that moved to another page while they were fetched is on two: the later word counts."""
        self._lines[line.symbol, line.order_id or line.cl_ord_id] = line

    def _compare(self, wall_ns: int) -> None:
        # Orders can move between the pages of a long list unseen: it is read twice.
        self._twice = bool(self._cursors)
        self._phase = "orders"
        seen = self._read(wall_ns, final=not self._early)
        missing = [o for key, o in self._doubtful.items() if o.is_open and key not in seen]
        if self._asks_single:
            self._to_ask = [o for o in missing if not self._skip(o)]
        else:
            self.unheard.update(o.ids[0] for o in missing)

    def _second(self, wall_ns: int) -> None:
        self._phase = "second_orders"
        seen = self._read(wall_ns, final=True)
        # Whose a line of an unknown symbol is cannot be told: its OrderID still keeps an order from being buried.
        strange = {line.order_id for line in self._lines.values() if line.symbol not in self._by_symbol}
        gone = [o for key, o in self._doubtful.items() if key in self._shown and key not in seen]
        if self._asks_single:
            self._to_ask = [o for o in gone if o.is_open and not self._skip(o)]
        for key in self.unheard - self._shown - seen:
            order = self._doubtful.get(key)
            if order is not None and not (order.order_id and order.order_id in strange) and self._may_settle(order):
                self._held.append(_Held(order, "absent"))
        self.unheard.clear()
        self._held += self._late
        self._late.clear()

    def _read(self, wall_ns: int, *, final: bool) -> set[str]:
        """Compare every line; the first ClOrdIDs of the orders seen. `final`: the list is younger than the logon."""
        seen = set()
        for line in self._lines.values():
            order = self._match(line) or self._adopt(line, wall_ns)
            if order is None:
                continue
            seen.add(order.ids[0])
            if self._counts(order) and not final and line.status not in FINAL_BY_STATUS:
                self._shown.add(order.ids[0])
                if not order.is_open:
                    self._alive(order, line, wall_ns)
            elif self._counts(order):
                self._found(order, line, wall_ns, "open orders list")
            elif final and self._stale_terms(order) and self._terms_of(order, line, wall_ns):
                continue
            else:
                if not final and self._stale_terms(order):
                    self._shown.add(order.ids[0])  # the session spoke, but not of the terms: the next list does
                if shows_more(line, order):
                    self._behind(order, line, wall_ns)
        return seen

    def _stale_terms(self, order: Order) -> bool:
        """Whether an order was in doubt, is not any more, and nothing told its terms since: a replace may be missed."""
        then = self._terms_then.get(order.ids[0])
        replacing = "replace" in order.requests.values()
        return order.is_open and not replacing and then == (order.order_qty, order.price)

    def _terms_of(self, order: Order, line: ListedOrder, wall_ns: int) -> bool:
        """Quantity and price as the list has them; how the order stands the session knows. False: they are the same."""
        try:
            said = figures(line, order)
        except NumberError:
            return False
        differ = said[1] not in (None, order.order_qty) or said[2] not in (None, order.price)
        if differ:
            report = msgspec.structs.replace(status_report(self._terms, order, line, said, wall_ns), ord_status="")
            terms = f"order_qty {line.order_qty} price {line.price}"
            self._say.differ(order, "qty", terms, "open orders list", wall_ns, report)
        return differ

    def _counts(self, order: Order) -> bool:
        """Whether a line may say how the order stands: the desk did not know, or only inferred, what became of it."""
        if order.is_open:
            return order.ids[0] in self._doubtful and self._unmoved(order)
        return order.inferred

    def _unmoved(self, order: Order) -> bool:
        """Whether the order was UNCERTAIN all the time since the run began."""
        return order.state == "UNCERTAIN" and order.since_ns <= self._began_ns

    def _may_settle(self, order: Order) -> bool:
        """Whether the order may be settled by absence: old enough to have been on the first list."""
        return (
            self._terms.settles_absent
            and self._unmoved(order)
            and self._began_ns - order.sent_ns >= self._terms.min_age_ns
        )

    # -- single orders ---------------------------------------------------------------------------------------

    def _match(self, line: ListedOrder) -> Order | None:
        instrument = self._by_symbol.get(line.symbol)
        return self._table.find(line.cl_ord_id, line.order_id, instrument.name if instrument else line.symbol)

    def _found(self, order: Order, line: ListedOrder, wall_ns: int, how: str) -> None:
        held = _Held(order, "line", line, how)
        self._table.name(order, line.order_id)  # its trades go by that
        if self._wants_trades(held):
            (self._late if self._early and self._phase == "orders" else self._held).append(held)
        else:
            self._settle(held, wall_ns)

    def _wants_trades(self, held: _Held) -> bool:
        return self._terms.tells_trades and (held.line is None or shows_more(held.line, held.order))

    def _settle(self, held: _Held, wall_ns: int) -> None:
        """The trades are known, or cannot be: the order is as the venue shows it, unless the session knew better."""
        order, line = held.order, held.line
        if line is not None and self._counts(order):
            self._say.found(order, line, wall_ns, held.how, self._table)
        elif line is not None and shows_more(line, order):
            self._behind(order, line, wall_ns)
        elif held.why == "absent" and self._unmoved(order):
            self._say.settle_absent(order, self._table, wall_ns)

    def _alive(self, order: Order, line: ListedOrder, wall_ns: int) -> None:
        """A list that may be behind shows an order that was inferred dead: what it is now, the next list tells."""
        self._say.alive(order, line, self._table, self._began_ns, wall_ns)
        self._doubtful[order.ids[0]] = order

    def _behind(self, order: Order, line: ListedOrder, wall_ns: int) -> None:
        """The venue knows of a fill that the session did not report: its quantity counts, the rest may be older."""
        report = status_report(self._terms, order, line, (figures(line, order)[0], None, None), wall_ns)
        report = msgspec.structs.replace(report, ord_status="")
        self._say.differ(order, "filled_meanwhile", f"cum_qty {line.cum_qty}", "open orders list", wall_ns, report)

    def _fills(self, trades: Iterable[ListedTrade], wall_ns: int) -> None:
        """Fills that are news, of whatever orders of ours."""
        for trade in trades:
            instrument = self._by_symbol.get(trade.symbol)
            order = self._table.find(trade.cl_ord_id, trade.order_id, instrument.name if instrument else "")
            if order is None or not trade.trade_id or order.trades.knows(trade.trade_id, rest=True):
                continue
            try:
                report = trade_report(self._terms, order, trade, wall_ns)
                self._say.differ(order, "missed_fill", f"trade {trade.trade_id}", "trade list", wall_ns, report)
            except NumberError as e:
                self._say.differ(order, "qty", f"trade {trade.trade_id}: unreadable: {e}", "left out", wall_ns)

    def _adopt(self, line: ListedOrder, wall_ns: int) -> Order | None:
        """Take an order of this session's making into the table; others are told and left alone."""
        if line.status in FINAL_BY_STATUS:
            return None  # lists of some venues show what ended lately, too
        key = line.symbol, line.order_id or line.cl_ord_id
        if key in self._strangers:
            return None
        if not line.cl_ord_id or not self._terms.owns(line.cl_ord_id):
            self._strangers.add(key)
            self._say.stranger(line, "unknown_here", "left alone: not an order of this session", wall_ns, None, "")
            return None
        order, why = adopted(line, self._terms, self._instrument(line), self._began_ns)
        name = f"{self._terms.session}: {line.cl_ord_id} {line.symbol} is at the venue, and was not known here"
        if order is None:
            self._strangers.add(key)
            self._say.stranger(line, "unknown_here", f"cannot be taken in: {why}", wall_ns, None, f"{name}: {why}")
            return None
        self._table.add(order)
        self._doubtful[order.ids[0]] = order
        self._say.stranger(line, "adopted", "taken into the books", wall_ns, order, name)
        return order

    def _instrument(self, line: ListedOrder) -> Instrument | None:
        return self._by_symbol.get(line.symbol)
