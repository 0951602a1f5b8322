"""A market whose liquidity is a recording: the desk's orders trade against it and never show in the public feed.

The model. Recorded levels are somebody else's orders and were there first. A desk order that meets them trades at their
prices, up to what they show; what it took stays gone until the recording says that level again. A resting desk order
fills at its own price when the recorded other side comes to its price or better, up to what that level shows; when a
recorded trade prints through its price; and at its price, once recorded trades there have worn off the quantity that
stood before it. The recording never reacts. Two desk orders that cross trade with each other first.
"""

from sim.matching import Market
from sim.orders import BUY, CROWD, SELL, Event, Order, Update
from sim.publicbook import PublicBook


class ReplayMarket(Market):
    """A matching engine for the desk's own orders beside recorded levels."""

    def __init__(self, symbol: str, lot: int = 1) -> None:
        super().__init__(symbol, lot, keep_l3=False)
        self.outside = PublicBook()
        self._taken: dict[tuple[int, int], int] = {}
        self._ahead: dict[str, int] = {}
        self._phantoms = 0

    # -- the recording --------------------------------------------------------------------------------------------

    def levels(self, changes: list[tuple[int, int, int]], now_ns: int) -> None:
        """Recorded levels changed."""
        self.outside.apply(Update(levels=changes))
        for side, px, qty in changes:
            self._taken.pop((side, px), None)
            for order in self.sides[side].queue(px):
                self._ahead[order.order_id] = min(self._ahead.get(order.order_id, 0), qty)
        for side in (BUY, SELL):
            self._meet(side, now_ns)

    def printed(self, px: int, qty: int, side: int, now_ns: int) -> None:
        """A recorded trade; `side` is the taker's."""
        self.last_px = px
        resting = 1 - side
        for order in list(self.public_orders(resting)):
            price = order.price
            assert price is not None
            through = price > px if resting == BUY else price < px
            if through:
                self._fill(order, min(qty, order.leaves), now_ns)
            elif price == px:
                over = qty - self._ahead.get(order.order_id, 0)
                self._ahead[order.order_id] = max(-over, 0)
                if over > 0:
                    self._fill(order, min(over, order.leaves), now_ns)
        self._fire_triggers(now_ns)

    def _meet(self, side: int, now_ns: int) -> None:
        """Fill resting orders of a side that the other side's recorded best has come to."""
        for order in list(self.public_orders(side)):
            best = self._best_outside(1 - side)
            price = order.price
            if best is None or price is None or (best[0] > price if side == BUY else best[0] < price):
                return
            qty = min(best[1], order.leaves)
            self._take_from(1 - side, best[0], qty)
            self._fill(order, qty, now_ns)

    # -- the engine's questions -----------------------------------------------------------------------------------

    def would_take(self, order: Order) -> bool:
        best = self._best_outside(1 - order.side)
        crosses = best is not None and self._reaches(order, best[0])
        return crosses or super().would_take(order)

    def best(self) -> tuple[int | None, int | None]:
        bid, ask = self.outside.best(BUY), self.outside.best(SELL)
        return (bid[0] if bid else None), (ask[0] if ask else None)

    def drain(self, now_ns: int) -> tuple[list[Event], Update]:
        events, _ = super().drain(now_ns)
        return events, Update()

    def _available(self, taker: Order) -> int:
        found = super()._available(taker)
        for px, qty in self.outside.levels(1 - taker.side):
            if not self._reaches(taker, px) or found >= taker.leaves:
                break
            found += max(qty - self._taken.get((1 - taker.side, px), 0), 0)
        return found

    def _take(self, taker: Order, now_ns: int) -> None:
        super()._take(taker, now_ns)
        side = 1 - taker.side
        while not taker.done:
            best = self._best_outside(side)
            if best is None or not self._reaches(taker, best[0]):
                return
            qty = min(self._affordable(taker, best[0]), best[1])
            if qty == 0:
                self._finish(taker, "C", now_ns, "no_liquidity", "")
                return
            self._take_from(side, best[0], qty)
            phantom = self._phantom(side, qty, best[0])
            self.sides[side].add(phantom, qty)
            self._trade(taker, phantom, best[0], qty, now_ns)

    def _join_book(self, order: Order, now_ns: int) -> None:
        super()._join_book(order, now_ns)
        self._ahead[order.order_id] = self.outside.size(order.side, order.price or 0)

    def _leave_book(self, order: Order, now_ns: int, traded: int = 0) -> None:
        super()._leave_book(order, now_ns, traded)
        self._ahead.pop(order.order_id, None)

    # -- inside ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _reaches(order: Order, px: int) -> bool:
        if order.price is None:
            return True
        return px <= order.price if order.side == BUY else px >= order.price

    def _best_outside(self, side: int) -> tuple[int, int] | None:
        """Best recorded level of a side that the desk has not eaten up, with what is left of it."""
        if not self._taken:
            return self.outside.best(side)
        for px, qty in self.outside.levels(side):
            left = qty - self._taken.get((side, px), 0)
            if left > 0:
                return px, left
        return None

    def _take_from(self, side: int, px: int, qty: int) -> None:
        self._taken[side, px] = self._taken.get((side, px), 0) + qty

    def _phantom(self, side: int, qty: int, px: int) -> Order:
        self._phantoms += 1
        return Order(f"R{self._phantoms}", "", self.symbol, CROWD, side, qty, px)

    def _fill(self, order: Order, qty: int, now_ns: int) -> None:
        """The recorded crowd trades with a resting order at that order's price."""
        if qty <= 0 or order.price is None or order not in self.sides[order.side]:
            return
        self.sides[order.side].reduce(order, order.leaves)
        last = self.last_px
        self._trade(self._phantom(1 - order.side, qty, order.price), order, order.price, qty, now_ns)
        self.last_px = last or self.last_px
