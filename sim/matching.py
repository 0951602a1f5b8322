"""A price-time priority matching engine for one instrument: pure, integers, no clock of its own.

Every call takes the time (UTC ns). What happened waits in `drain()`: events to the orders' owners, and one `Update` for
the public feed. The book is never crossed between calls; untriggered, scheduled and hidden quantity never shows in it.
"""

import heapq
from collections.abc import Iterable

from sim.ladder import Ladder
from sim.orders import BUY, CROWD, MARKET_ACCOUNT, SELL, Event, L3Change, Order, Stp, Trade, Update


class Market:
    """One instrument: two ladders, sleeping orders, events out."""

    def __init__(self, symbol: str, lot: int = 1, keep_l3: bool = True) -> None:
        self.symbol = symbol
        self.lot = lot
        self.keep_l3 = keep_l3
        self.tells_decrements = False  # an order that self-trade prevention made smaller is restated (150=D)
        self.sides = (Ladder(BUY), Ladder(SELL))
        self.orders: dict[str, Order] = {}  # everything not finished
        self.last_px = 0
        self.volume = 0
        self._sleeping: dict[str, Order] = {}  # untriggered
        self._timed: list[tuple[int, str]] = []  # heap of starts and expiries
        self._trades = 0
        self._events: list[Event] = []
        self._update = Update()
        self._touched: dict[tuple[int, int], None] = {}

    # -- asking ---------------------------------------------------------------------------------------------------

    def would_take(self, order: Order) -> bool:
        """Whether the order, live now, would meet the other side (what a post-only order must not)."""
        return self.sides[1 - order.side].crosses(order.price)

    def would_trigger(self, order: Order) -> bool:
        """Whether its trigger price is already reached by the last trade."""
        t = order.trigger
        if t is None or not self.last_px or not t.px or not t.armed:
            return False
        return self.last_px >= t.px if t.up else self.last_px <= t.px

    def working(self) -> Iterable[Order]:
        """Orders that are not finished, in order of arrival."""
        return self.orders.values()

    def best(self) -> tuple[int | None, int | None]:
        """Best bid and offer price."""
        return self.sides[BUY].best, self.sides[SELL].best

    def public_levels(self, side: int, depth: int = 0) -> list[tuple[int, int]]:
        """(price, size) of a side as the public sees it, best first; depth 0 = all."""
        return self.sides[side].levels(depth)

    def public_orders(self, side: int) -> list[Order]:
        """Visible orders of a side, best price first, oldest first within a price."""
        ladder = self.sides[side]
        return [o for px in ladder.prices() for o in ladder.queue(px)]

    # -- doing ----------------------------------------------------------------------------------------------------

    def submit(self, order: Order, now_ns: int) -> None:
        """Accept an order: it sleeps, waits, trades, rests or ends, as its fields say."""
        self.orders[order.order_id] = order
        order.opened_ns = now_ns
        if order.expire_ns:
            heapq.heappush(self._timed, (order.expire_ns, order.order_id))
        if order.start_ns > now_ns:
            heapq.heappush(self._timed, (order.start_ns, order.order_id))
            self._emit("A", order, now_ns)
            return
        self._go_live(order, now_ns)

    def cancel(
        self, order: Order, now_ns: int, *, kind: str = "4", reason: str = "request", request_id: str = ""
    ) -> bool:
        """End a working order; False when it is not working any more."""
        if self.orders.get(order.order_id) is not order:
            return False
        self._finish(order, kind, now_ns, reason, request_id)
        return True

    def replace(
        self,
        order: Order,
        now_ns: int,
        cl_ord_id: str,
        *,
        qty: int,
        price: int | None,
        stop_px: int | None = None,
        display: int | None = None,
    ) -> bool:
        """Change a working order in place; False when it is not working. A lower quantity keeps the queue place, any
        other change of a live order loses it. A quantity at or below what is filled ends the order there.
        """
        if self.orders.get(order.order_id) is not order:
            return False
        resting = order in self.sides[order.side]
        keeps_place = resting and price == order.price and qty <= order.qty and display in {None, order.display}
        if resting and not keeps_place:
            self._leave_book(order, now_ns)
        order.origin, order.cl_ord_id = order.cl_ord_id, cl_ord_id
        order.price, order.amends = price, order.amends + 1
        if display is not None:
            order.display = display
        if stop_px is not None and order.trigger is not None:
            order.trigger.px = stop_px
        order.qty = max(qty, order.cum)
        self._emit("5", order, now_ns, request_id=cl_ord_id)
        if order.leaves == 0:
            self._finish(order, "4", now_ns, "request", cl_ord_id)
        elif keeps_place:
            self._shrink(order, now_ns)
        elif resting:
            self._take_or_rest(order, now_ns)
        self._fire_triggers(now_ns)
        return True

    def force_fill(self, order: Order, qty: int, now_ns: int) -> None:
        """Trade a resting order at its own price with the anonymous crowd, out of turn: fills on demand."""
        self._trades += 1
        crowd = Order(f"F{self._trades}", "", self.symbol, CROWD, 1 - order.side, qty, order.price)
        if order in self.sides[order.side]:
            self.sides[order.side].reduce(order, order.leaves)
            self._trade(crowd, order, order.price or 0, min(qty, order.leaves), now_ns)

    def advance(self, now_ns: int) -> None:
        """Start and expire what is due."""
        while self._timed and self._timed[0][0] <= now_ns:
            _, order_id = heapq.heappop(self._timed)
            order = self.orders.get(order_id)
            if order is None:
                continue
            if order.expire_ns and order.expire_ns <= now_ns:
                self._finish(order, "C", now_ns, "expired", "")
            elif order.status == "A" and order.start_ns <= now_ns:
                self._go_live(order, now_ns)

    def drain(self, now_ns: int) -> tuple[list[Event], Update]:
        """Events and the public update since the last call."""
        events, update = self._events, self._update
        update.time_ns = now_ns
        update.levels = [(side, px, self.sides[side].size(px)) for side, px in self._touched]
        self._events, self._update, self._touched = [], Update(), {}
        return events, update

    def next_due_ns(self) -> int | None:
        """When `advance` has something to do."""
        return self._timed[0][0] if self._timed else None

    # -- inside ---------------------------------------------------------------------------------------------------

    def _go_live(self, order: Order, now_ns: int) -> None:
        order.status = "0"
        self._emit("0", order, now_ns)
        if order.trigger is not None:
            self._sleeping[order.order_id] = order
            if not self.last_px or not order.trigger.fires(self.last_px):
                return
            self._wake(order, now_ns)
        else:
            self._take_or_rest(order, now_ns)
        self._fire_triggers(now_ns)

    def _wake(self, order: Order, now_ns: int) -> None:
        del self._sleeping[order.order_id]
        order.trigger = None
        self._emit("D", order, now_ns, reason="triggered")
        self._take_or_rest(order, now_ns)

    def _fire_triggers(self, now_ns: int) -> None:
        fired = True
        while fired and self._sleeping:
            px = self.last_px
            due = [o for o in self._sleeping.values() if o.trigger is not None and px and o.trigger.fires(px)]
            fired = bool(due)
            for order in due:
                if order.order_id in self._sleeping:
                    self._wake(order, now_ns)

    def _take_or_rest(self, order: Order, now_ns: int) -> None:
        if order.post_only and self.would_take(order):
            self._finish(order, "4", now_ns, "post_only", "")
            return
        if order.tif == "4" and self._available(order) < order.leaves:
            self._finish(order, "C", now_ns, "fok", "")
            return
        self._take(order, now_ns)
        if order.done:
            return
        if order.price is None:
            self._finish(order, "C", now_ns, "no_liquidity", "")
        elif order.tif in "34":
            self._finish(order, "C", now_ns, "ioc", "")
        else:
            self._join_book(order, now_ns)

    def _available(self, taker: Order) -> int:
        found, ladder = 0, self.sides[1 - taker.side]
        for px in ladder.prices():
            if not _meets(taker, px):
                break
            found += sum(o.leaves for o in ladder.queue(px) if not self._is_self(taker, o))
            if found >= taker.leaves:
                break
        return found

    def _take(self, taker: Order, now_ns: int) -> None:
        ladder = self.sides[1 - taker.side]
        while ladder.crosses(taker.price) and not taker.done:
            px = ladder.best
            assert px is not None
            maker = next(ladder.queue(px))
            if self._is_self(taker, maker):
                self._prevent(taker, maker, now_ns)
                continue
            qty = min(self._affordable(taker, px), maker.shown)
            if qty == 0:
                self._finish(taker, "C", now_ns, "no_liquidity", "")
                return
            self._trade(taker, maker, px, qty, now_ns)

    def _affordable(self, taker: Order, px: int) -> int:
        if not taker.quote_qty:
            return taker.leaves
        qty = (taker.quote_qty - taker.notional) // px
        qty -= qty % self.lot
        taker.qty = taker.cum + qty  # what it will have been, should this price last
        return qty

    def _trade(self, taker: Order, maker: Order, px: int, qty: int, now_ns: int) -> None:
        self._trades += 1
        self.last_px, self.volume = px, self.volume + qty
        for order in (maker, taker):
            order.cum += qty
            order.notional += px * qty
        self._shown_after_fill(maker, qty, now_ns)
        spent = taker.quote_qty and self._affordable(taker, px) == 0
        self._update.trades.append(Trade(self._trades, px, qty, taker.side, now_ns, taker.price is None))
        for order, other, aggressor in ((maker, taker, False), (taker, maker, True)):
            finished = order.cum + order.prevented >= order.qty and (order is maker or not taker.quote_qty or spent)
            if finished:
                self._close(order, "2", now_ns)
            else:
                order.status = "1"
            self._emit(
                "F",
                order,
                now_ns,
                last_px=px,
                last_qty=qty,
                trade_id=self._trades,
                aggressor=aggressor,
                counter_id=other.order_id,
            )

    def _shown_after_fill(self, maker: Order, qty: int, now_ns: int) -> None:
        ladder = self.sides[maker.side]
        left = maker.shown - qty
        if left:
            ladder.reduce(maker, left)
            self._note(maker, 1, now_ns, qty)
            return
        self._leave_book(maker, now_ns, qty)
        if maker.leaves:  # an iceberg shows its next slice, behind everybody else at the price
            self._join_book(maker, now_ns)

    def _prevent(self, taker: Order, maker: Order, now_ns: int) -> None:
        mode = Stp.CANCEL_TAKER if taker.quote_qty else taker.stp
        if mode is Stp.DECREMENT:
            qty = min(taker.leaves, maker.leaves)
            for order in (taker, maker):
                order.prevented += qty
            if maker.leaves:
                self._shrink(maker, now_ns)
            for order in (maker, taker):
                if not order.leaves:
                    self._finish(order, "C", now_ns, "stp", "")
                elif self.tells_decrements:
                    self._emit("D", order, now_ns, reason="stp")
            return
        if mode is not Stp.CANCEL_TAKER:
            self._finish(maker, "4", now_ns, "stp", "")
        if mode is not Stp.CANCEL_MAKER:
            self._finish(taker, "4", now_ns, "stp", "")

    @staticmethod
    def _is_self(taker: Order, maker: Order) -> bool:
        if taker.stp is Stp.NONE or taker.owner.account == MARKET_ACCOUNT:
            return False
        return taker.owner.account == maker.owner.account

    def _join_book(self, order: Order, now_ns: int) -> None:
        order.queue_ns = now_ns
        shown = min(order.display, order.leaves) if order.display else order.leaves
        self.sides[order.side].add(order, shown)
        self._note(order, 0, now_ns)

    def _leave_book(self, order: Order, now_ns: int, traded: int = 0) -> None:
        self.sides[order.side].remove(order)
        self._note(order, 2, now_ns, traded)

    def _shrink(self, order: Order, now_ns: int) -> None:
        shown = min(order.display or order.leaves, order.leaves)
        if order in self.sides[order.side] and shown != order.shown:
            self.sides[order.side].reduce(order, shown)
            self._note(order, 1, now_ns)

    def _note(self, order: Order, action: int, now_ns: int, traded: int = 0) -> None:
        assert order.price is not None
        self._touched[order.side, order.price] = None
        if self.keep_l3:
            change = L3Change(action, order.side, order.order_id, order.price, order.shown, order.queue_ns, traded)
            self._update.orders.append(change)

    def _close(self, order: Order, status: str, now_ns: int) -> None:
        if order in self.sides[order.side]:
            self._leave_book(order, now_ns)
        self._sleeping.pop(order.order_id, None)
        self.orders.pop(order.order_id, None)
        order.status, order.closed_ns = status, now_ns

    def _finish(self, order: Order, status: str, now_ns: int, reason: str, request_id: str) -> None:
        self._close(order, status, now_ns)
        order.ended = reason
        self._emit(status, order, now_ns, reason=reason, request_id=request_id)

    def _emit(
        self,
        kind: str,
        order: Order,
        now_ns: int,
        *,
        reason: str = "",
        request_id: str = "",
        last_px: int = 0,
        last_qty: int = 0,
        trade_id: int = 0,
        aggressor: bool = False,
        counter_id: str = "",
    ) -> None:
        if order.owner.account == MARKET_ACCOUNT:
            return
        status = ("1" if order.cum else "0") if kind in "5D" and not order.done else order.status
        self._events.append(
            Event(
                kind,
                order,
                now_ns,
                status,
                order.cum,
                order.leaves,
                order.qty,
                order.notional,
                reason,
                request_id,
                last_px,
                last_qty,
                trade_id,
                aggressor,
                counter_id,
            )
        )


def _meets(taker: Order, px: int) -> bool:
    if taker.price is None:
        return True
    return px <= taker.price if taker.side == BUY else px >= taker.price
