"""The ledger: events of the trading and drop-copy sessions in, orders, fills, positions and breaks of record out. Pure.

It keeps what it works on in memory and what changed since the last `saved`; the store has the rest. Each event of a
journal is taken once: what is told twice by venues and views is told apart here (risk/ledger_fills.py).
"""

from typing import Final

from ipc.events import AnyEvent, Balance, ExecutionReport, OrderState
from ipc.ledger_records import (
    COPY,
    ENTRY,
    FIX_COPY,
    FIX_ENTRY,
    REST,
    Amendment,
    BalanceRecord,
    BookRecord,
    Fill,
    OrderRecord,
    sort_key,
)  # fmt: skip
from risk.ledger_breaks import Watch
from risk.ledger_fills import FillSet, Told
from risk.ledger_parts import BookKey, SortKey, Source, Start, Store, amounts_of, copy_book, fit, head_of, key_of
from risk.ledger_positions import add_fill, may_mark

KEPT: Final = 50_000  # orders in memory; others are read again when something is told of them
MARK_EVERY: Final = 5_000  # fills between two states of a position from which it can be counted anew

_FIRST = frozenset("0A8")  # ExecType(150) of the first report of an order
_REOPENS = frozenset("5DGH")  # ExecType(150) of what may open a finished order again
_ENDED = frozenset("2348C")  # OrdStatus(39)


class Ledger:
    """Everything that is counted."""

    def __init__(
        self, store: Store, start: Start, break_after_ns: int, two_views: frozenset[tuple[str, str]], kept: int = KEPT
    ) -> None:
        """`two_views`: (venue, account) pairs that have order entry and drop copy."""
        self.watch = Watch(break_after_ns, start.open_breaks, start.next_break)
        self.books: dict[BookKey, BookRecord] = {key_of(b): b for b in start.books}
        self.counters = {"reports": 0, "fills": 0, "again": 0, "amended": 0, "unreadable": 0}
        # What changed since the last `saved`.
        self.orders: dict[int, OrderRecord] = {}
        self.fills: dict[int, Fill] = {}
        self.names: dict[str, int] = {}
        self.gone_orders: dict[int, int] = {}  # and which order each turned out to be
        self.gone_fills: list[int] = []
        self.changed_books: dict[int, BookRecord] = {}
        self.spoiled: dict[int, SortKey] = {}  # positions to be counted anew from there on
        self.marks: list[BookRecord] = []
        self.balances: dict[tuple[str, str, str], BalanceRecord] = {}
        self._store = store
        self._two_views = two_views
        self._kept = kept
        self._by_id: dict[int, FillSet] = {}
        self._by_name: dict[str, FillSet] = {}
        self._names_of: dict[int, list[str]] = {}
        self._absent: set[str] = set()  # names that the store does not have
        self._next_order, self._next_fill = start.next_order, start.next_fill
        self._next_book = max((b.id for b in start.books), default=0) + 1
        for when, order, fill in start.due:
            self.watch.wait(when, order, fill)

    def take(self, source: Source, event: AnyEvent) -> None:
        """One event of a session, in its order."""
        if isinstance(event, ExecutionReport):
            self._report(source, event)
        elif isinstance(event, OrderState):
            self._state(source, event)
        elif isinstance(event, Balance):
            self.balances[event.venue, event.account, event.currency] = BalanceRecord(
                venue=event.venue, account=event.account, currency=event.currency, session=event.session,
                total=event.total, available=event.available, held=event.held, buying_power=event.buying_power,
                ts_ns=event.ts_ns, origin=event.origin,
            )  # fmt: skip

    def expect(self, source: Source, events: list[AnyEvent]) -> None:
        """These come next: ask the store in one question for the names that new orders bring."""
        head = head_of(source)
        names = []
        for event in events:
            if isinstance(event, OrderState):
                if not event.order_id:
                    names.append(f"c{head}{event.cl_ord_id}")
            elif isinstance(event, ExecutionReport) and event.exec_type in _FIRST:
                names.append(f"o{head}{event.instrument or event.venue_symbol}\x1f{event.order_id}")
                if source.view == COPY:
                    names.append(f"c{head}{event.cl_ord_id}")
        names = [name for name in names if name not in self._by_name]
        if names:
            self._absent.update(names)
            self._absent -= self._store.names_known(names)

    def tick(self, now_ns: int) -> None:
        """Open the breaks whose time is up. Call it only when all journals are read to their ends."""
        while (due := self.watch.due(now_ns)) is not None:
            when, order, fill_id = due
            fills = self._fills_of(order)
            if fills is None:
                continue
            two = (fills.order.venue, fills.order.account) in self._two_views
            if not fill_id:
                if fills.order.due_ns == when:
                    self.watch.look_order(fills, two, now_ns)
                    self.orders[order] = fills.order
                continue
            fill = fills.fill(fill_id)
            if fill is not None and fill.due_ns == when:
                self.watch.look_fill(fill, fills.order, two, now_ns)
                self.fills[fill.id] = fill

    @property
    def changed(self) -> bool:
        """Whether there is anything to store."""
        return bool(self.orders or self.fills or self.spoiled or self.balances or self.watch.changed)

    def forget(self, order: int) -> None:
        """The store dropped an order."""
        if order in self._by_id:
            self._drop(order)

    def saved(self) -> None:
        """All changes are in the store."""
        for changed in (self.orders, self.fills, self.names, self.changed_books, self.spoiled, self.balances):
            changed.clear()
        self.watch.saved()
        self.gone_orders, self.gone_fills, self.marks = {}, [], []
        self._absent.clear()
        if len(self._by_id) > self._kept:
            for order in list(self._by_id)[: len(self._by_id) - self._kept * 3 // 4]:
                self._drop(order)

    def next_ids(self) -> tuple[int, int, int]:
        """Numbers that the next order, fill and break get."""
        return self._next_order, self._next_fill, self.watch.next_id

    # -- orders --------------------------------------------------------------------------------------------------

    def _report(self, source: Source, report: ExecutionReport) -> None:
        self.counters["reports"] += 1
        instrument = report.instrument or report.venue_symbol
        fills = self._find(source, instrument, report.order_id, report.cl_ord_id, report.recv_ns)
        order = fills.order
        px, qty = fit(fills, report.px_scale, report.qty_scale)
        if source.view == ENTRY and (report.strategy or report.client_id) and not order.client_id:
            self._owned(fills, report.strategy, report.client_id, report.command_id, source)
        order.side, order.ord_type = order.side or report.side, order.ord_type or report.ord_type
        order.time_in_force = order.time_in_force or report.time_in_force
        if report.recv_ns >= order.last_ns and not _is_old(order, report, qty):
            order.last_ns, order.ord_status = report.recv_ns, report.ord_status or order.ord_status
            if not order.known:
                order.order_qty = order.order_qty if report.order_qty is None else report.order_qty * qty
                order.price = order.price if report.price is None else report.price * px
                order.stop_px = order.stop_px if report.stop_px is None else report.stop_px * px
                order.text = report.text or order.text
        self.orders[order.id] = order
        kind = report.exec_type
        if kind in ("G", "H"):
            self._amended(source, fills, report, px, qty)
            return
        moved = report.cum_qty is not None and report.cum_qty * qty > order.cum_qty
        if moved and report.cum_qty is not None:
            order.cum_qty = report.cum_qty * qty
        if kind == "F":
            self._filled(source, fills, report, px, qty)
        elif moved:
            self.watch.order(fills, source.two_views, report.recv_ns)

    def _state(self, source: Source, state: OrderState) -> None:
        """The desk's own word on an order of its making."""
        fills = self._find(source, state.instrument, state.order_id, state.cl_ord_id, state.since_ns)
        order = fills.order
        px, qty = fit(fills, state.px_scale, state.qty_scale) if state.instrument else (1, 1)
        if not order.known or order.client_id != state.client_id or order.strategy != state.strategy:
            self._owned(fills, state.strategy, state.client_id, state.command_id, source)
        order.session, order.state, order.text = source.session, state.state, state.reason
        order.side, order.ord_type = state.side or order.side, state.ord_type or order.ord_type
        order.time_in_force = state.time_in_force or order.time_in_force
        order.order_qty = state.order_qty * qty
        order.price = None if state.price is None else state.price * px
        order.stop_px = None if state.stop_px is None else state.stop_px * px
        order.last_ns = max(order.last_ns, state.since_ns)
        self.orders[order.id] = order
        excess = fills.live_qty - fills.added - max(order.cum_qty, state.cum_qty * qty)
        if source.foreign_rest and excess > 0:
            self._fold(fills, excess, source.two_views, state.since_ns)

    def _fold(self, fills: FillSet, excess: int, two_views: bool, now_ns: int) -> None:
        """The desk has counted less than was told: what REST told again under other names is no further fill."""
        for gone, twin in fills.fold(excess):
            self.counters["again"] += 1
            self.gone_fills.append(gone.id)
            self.fills.pop(gone.id, None)
            self.watch.forget(fills.order.id, gone.id, now_ns)
            for fill in (gone, twin):
                self._spoil(fill.book, sort_key(fill))
            self.fills[twin.id] = twin
            self.watch.fill(twin, fills.order, two_views, now_ns)
        self.watch.order(fills, two_views, now_ns)

    def _owned(self, fills: FillSet, strategy: str, client_id: str, command_id: str, source: Source) -> None:
        """Whose an order is becomes known: its fills count for that strategy from now on."""
        order = fills.order
        moves, news = order.strategy != strategy and fills.fills, not order.known
        order.strategy = strategy
        order.client_id, order.command_id = client_id or order.client_id, command_id or order.command_id
        order.session, order.known = source.session, True
        if moves:
            for fill in fills.fills:
                self._spoil(fill.book, sort_key(fill))
                fill.book = self._book(order).id
                self._spoil(fill.book, sort_key(fill))
                self.fills[fill.id] = fill
        if news and fills.fills:
            self._watch(fills, source.two_views, fills.order.last_ns)

    def _watch(self, fills: FillSet, two_views: bool, now_ns: int) -> None:
        for fill in fills.fills:
            self.watch.fill(fill, fills.order, two_views, now_ns)
            self.fills[fill.id] = fill
        self.watch.order(fills, two_views, now_ns)

    def _find(self, source: Source, instrument: str, order_id: str, cl_ord_id: str, now_ns: int) -> FillSet:
        """The order by OrderID, which is the venue's per instrument, else by ClOrdID; made if it is not there."""
        head = head_of(source)
        by_order = f"o{head}{instrument}\x1f{order_id}" if order_id else ""
        by_client = f"c{head}{cl_ord_id}" if cl_ord_id else ""
        found = self._named(by_order) if by_order else None
        if found is not None and found.order.cl_ord_id == cl_ord_id:
            return found
        named = self._named(by_client) if by_client else None
        if found is None:
            # A ClOrdID leads to an order only as long as no other OrderID is known for it: venues let it be used again.
            if named is not None and (not order_id or not named.order.order_id):
                found = named
            else:
                found = self._make(source, instrument, now_ns)
        elif named is not None and named is not found and not named.order.order_id:
            self._merge(found, named, source.two_views, now_ns)
        self._name(found, by_order, by_client, order_id, cl_ord_id)
        return found

    def _name(self, fills: FillSet, by_order: str, by_client: str, order_id: str, cl_ord_id: str) -> None:
        order = fills.order
        if by_order and not order.order_id:
            order.order_id = order_id
        if by_client and order.cl_ord_id != cl_ord_id:
            order.cl_ord_id = cl_ord_id
        for name in (by_order, by_client):
            if name and self._by_name.get(name) is not fills:
                self._by_name[name] = fills
                self._names_of[order.id].append(name)
                self.names[name] = order.id
        self.orders[order.id] = order

    def _make(self, source: Source, instrument: str, now_ns: int) -> FillSet:
        order = OrderRecord(
            id=self._next_order, venue=source.venue, account=source.account, instrument=instrument, first_ns=now_ns
        )
        self._next_order += 1
        self._names_of[order.id] = []
        made = self._by_id[order.id] = FillSet(order, [])
        return made

    def _merge(self, into: FillSet, other: FillSet, two_views: bool, now_ns: int) -> None:
        """Two orders turn out to be one: one view knew its OrderID, the other its ClOrdID."""
        kept, gone = into.order, other.order
        fit(into, gone.px_scale, gone.qty_scale)
        fit(other, kept.px_scale, kept.qty_scale)
        for fill in other.fills:
            self._spoil(fill.book, sort_key(fill))
            self.watch.forget(gone.id, fill.id, now_ns)
            twin = into.absorb(fill)
            if twin is not None:
                self.gone_fills.append(fill.id)
                self.fills.pop(fill.id, None)
                self._spoil(twin.book, sort_key(twin))
        self.watch.forget(gone.id, 0, now_ns)
        kept.pending = [*kept.pending, *(a for a in gone.pending if a not in kept.pending)]
        for waiting in kept.pending:
            kept.pending = [a for a in kept.pending if a is not waiting]
            into.amend(waiting)
        for field in (
            "cl_ord_id",
            "session",
            "client_id",
            "command_id",
            "side",
            "ord_type",
            "time_in_force",
            "state",
            "text",
        ):
            setattr(kept, field, getattr(gone, field) or getattr(kept, field))
        for field in ("order_qty", "price", "stop_px"):
            mine = getattr(kept, field)
            setattr(kept, field, getattr(gone, field) if mine is None else mine)
        kept.strategy, kept.known = gone.strategy or kept.strategy, kept.known or gone.known
        kept.cum_qty, kept.first_ns = max(kept.cum_qty, gone.cum_qty), min(kept.first_ns, gone.first_ns)
        for name in self._names_of[gone.id]:
            self._by_name[name] = into
            self._names_of[kept.id].append(name)
            self.names[name] = kept.id
        del self._by_id[gone.id], self._names_of[gone.id]
        self.orders.pop(gone.id, None)
        self.gone_orders[gone.id] = kept.id
        for fill in into.fills:
            self._spoil(fill.book, sort_key(fill))
            fill.book = self._book(kept).id
            self._spoil(fill.book, sort_key(fill))
        self._watch(into, two_views, now_ns)

    # -- fills ---------------------------------------------------------------------------------------------------

    def _filled(self, source: Source, fills: FillSet, report: ExecutionReport, px: int, qty: int) -> None:
        order = fills.order
        side = report.side or order.side
        if not report.last_qty or report.last_px is None or not side:
            self.counters["unreadable"] += 1  # cum_qty, or the other view, shows what is missing
            self.watch.order(fills, source.two_views, report.recv_ns)
            return
        rest = report.origin == "rest"
        told = Told(
            source.view, REST if rest else FIX_COPY if source.view == COPY else FIX_ENTRY, source.session,
            report.trade_id, None if report.cum_qty is None or rest else report.cum_qty * qty,
            source.exec_name(report.exec_id), side, report.last_qty * qty, report.last_px * px,
            report.transact_ns or report.recv_ns, report.recv_ns, report.liquidity, amounts_of(report.fees),
            rest and source.foreign_rest,
        )  # fmt: skip
        fill = fills.find(told)
        if fill is None:
            fill = fills.tell(told, self._next_fill)
            self._next_fill += 1
            self.counters["fills"] += 1
            self._count(fills, fill)
        else:
            was = (fill.qty, fill.px, sort_key(fill), fill.fees)
            news, now = fills.again(fill, told), (fill.qty, fill.px, sort_key(fill), fill.fees)
            if not news and was == now:
                self.counters["again"] += 1
                return
            if was != now:
                self._spoil(fill.book, min(was[2], sort_key(fill)))
        self.fills[fill.id] = fill
        self.watch.fill(fill, order, source.two_views, report.recv_ns)
        self.watch.order(fills, source.two_views, report.recv_ns)

    def _amended(self, source: Source, fills: FillSet, report: ExecutionReport, px: int, qty: int) -> None:
        self.counters["amended"] += 1
        if report.exec_type == "G" and (report.last_qty is None or report.last_px is None):
            self.counters["unreadable"] += 1
            return
        channel = REST if report.origin == "rest" else FIX_COPY if source.view == COPY else FIX_ENTRY
        amendment = Amendment(
            report.exec_type, source.view, channel, source.exec_name(report.exec_ref_id),
            source.exec_name(report.exec_id), report.trade_id, (report.last_qty or 0) * qty,
            (report.last_px or 0) * px, report.transact_ns or report.recv_ns, report.recv_ns, source.session,
        )  # fmt: skip
        fill = fills.amend(amendment)
        if fill is not None:
            self.fills[fill.id] = fill
            self._spoil(fill.book, sort_key(fill))
            self.watch.fill(fill, fills.order, source.two_views, report.recv_ns)
        self.watch.order(fills, source.two_views, report.recv_ns)

    def _count(self, fills: FillSet, fill: Fill) -> None:
        """A new fill in its position; one that comes before others has it counted anew when it is saved."""
        book = self._book(fills.order)
        fill.book = book.id
        if book.id in self.spoiled or sort_key(fill) < book.last:
            self._spoil(book.id, sort_key(fill))
            return
        if may_mark(book, fill, MARK_EVERY):
            self.marks.append(copy_book(book))
        add_fill(book, fill)
        self.changed_books[book.id] = book

    def _spoil(self, book: int, key: SortKey) -> None:
        self.spoiled[book] = min(key, self.spoiled.get(book, key))

    def _book(self, order: OrderRecord) -> BookRecord:
        key = (order.strategy, order.venue, order.account, order.instrument)
        book = self.books.get(key)
        if book is None:
            book = self.books[key] = BookRecord(
                id=self._next_book, strategy=order.strategy, venue=order.venue, account=order.account,
                instrument=order.instrument,
            )  # fmt: skip
            self._next_book += 1
        self.changed_books[book.id] = book
        return book

    # -- memory --------------------------------------------------------------------------------------------------

    def _named(self, name: str) -> FillSet | None:
        found = self._by_name.get(name)
        if found is None and name not in self._absent and (order := self._store.order_named(name)):
            while order in self.gone_orders:
                order = self.gone_orders[order]
            found = self._fills_of(order)
            if found is not None:
                self._by_name[name] = found
                self._names_of[order].append(name)
        return found

    def _fills_of(self, order: int) -> FillSet | None:
        found = self._by_id.get(order)
        if found is None and (stored := self._store.order(order)) is not None:
            found = self._by_id[order] = FillSet(*stored)
            self._names_of[order] = []
        return found

    def _drop(self, order: int) -> None:
        fills = self._by_id.pop(order)
        for name in self._names_of.pop(order):
            if self._by_name.get(name) is fills:
                del self._by_name[name]


def _is_old(order: OrderRecord, report: ExecutionReport, qty: int) -> bool:
    """Told late, by a session that was away or is behind another: the order has gone further since."""
    if report.exec_type in _REOPENS:
        return False
    less = report.cum_qty is not None and report.cum_qty * qty < order.cum_qty
    return less or (order.ord_status in _ENDED and report.ord_status not in _ENDED)
