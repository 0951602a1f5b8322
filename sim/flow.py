"""Random flow: an anonymous crowd that keeps a two-sided market lively, the same for the same seed and orders.

The crowd's idea of the price wanders; it quotes around it at falling density, cancels, changes sizes, and sends
market orders, so that the book always has both sides, moves, and trades.
"""

import random
from collections.abc import Iterable

from base.instruments import Instrument
from sim.exchange import Exchange
from sim.orders import BUY, CROWD, SELL, Order

OPENING = {"BTC": "60000", "ETH": "3000"}  # quoted in dollars or a dollar token; anything else opens at 100

LEVELS = 120  # levels a side that the crowd keeps up
CALM = 40  # orders beyond this many per level count make cancelling likelier


class Flow:
    """The crowd of one instrument."""

    def __init__(self, exchange: Exchange, instrument: Instrument, seed: int, opening: str = "") -> None:
        self._exchange = exchange
        self._instrument = instrument
        self._market = exchange.markets[instrument.symbol]
        self._random = random.Random(f"{seed}/{instrument.symbol}")
        self._tick = max(instrument.tick_size, 1)
        base = instrument.name.partition("-")[0]
        px = instrument.px(opening or OPENING.get(base, "100"))
        self._step = max(self._tick, px // 20_000 // self._tick * self._tick)  # half a basis point
        self._fair = float(px)
        self._unit = self._a_unit(px)
        self._orders: list[Order] = []
        self._count = 0

    def _a_unit(self, px: int) -> int:
        """A quantity worth about 500 quote units, in whole lots."""
        i = self._instrument
        unit: int = 500 * 10 ** (i.px_scale + i.qty_scale) // max(px, 1)
        lot = max(i.lot_size, 1)
        return max(unit // lot * lot, lot, i.min_qty)

    def open(self) -> None:
        """Fill the book before anybody looks."""
        for n in range(LEVELS):
            for side in (BUY, SELL):
                self._place(side, n + 1)
                if n < 12:
                    self._place(side, n + 1)

    def step(self) -> None:
        """One action of the crowd."""
        r = self._random
        self._fair += r.gauss(0, 0.35) * self._step
        what = r.random()
        if what < 0.05:
            self._take()
        elif what < 0.12:
            self._resize()
        elif what < 0.12 + (0.40 if len(self._orders) < LEVELS * 2 + CALM else 0.52):
            self._withdraw()
        else:
            self._place(r.choice((BUY, SELL)), 1 + int(r.expovariate(0.09)))

    def _price(self, side: int, distance: int) -> int:
        away = self._step * (distance - 0.5) * (1 if side == SELL else -1)
        px = int(self._fair + away) // self._tick * self._tick
        return max(px, self._tick)

    def _place(self, side: int, distance: int) -> None:
        px = self._price(side, distance)
        best = self._market.sides[1 - side].best
        if best is not None and (px >= best if side == BUY else px <= best) and self._random.random() < 0.8:
            px = best - self._tick if side == BUY else best + self._tick  # most of the crowd does not want to pay
        if px > 0:
            self._submit(side, self._size(), px)

    def _size(self) -> int:
        lot = max(self._instrument.lot_size, 1)
        qty = int(self._unit * self._random.expovariate(1.0)) // lot * lot
        return max(qty, lot, self._instrument.min_qty)

    def _submit(self, side: int, qty: int, px: int | None) -> None:
        self._count += 1
        order = Order(f"M{self._instrument.symbol}{self._count}", "", self._market.symbol, CROWD, side, qty, px)
        self._market.submit(order, self._exchange.clock.wall_ns())
        if not order.done:
            self._orders.append(order)
        self._exchange.settle(self._market.symbol)

    def _take(self) -> None:
        side = self._random.choice((BUY, SELL))
        if len(self._market.sides[1 - side]) > LEVELS // 4:
            self._submit(side, self._size() * 2, None)

    def _pick(self) -> Order | None:
        while self._orders:
            n = self._random.randrange(len(self._orders))
            order = self._orders[n]
            if not order.done:
                return order
            self._orders[n] = self._orders[-1]
            self._orders.pop()
        return None

    def _withdraw(self) -> None:
        order = self._pick()
        if order is not None and len(self._market.sides[order.side]) > LEVELS // 2:
            self._market.cancel(order, self._exchange.clock.wall_ns())
            self._exchange.settle(self._market.symbol)

    def _resize(self) -> None:
        order = self._pick()
        if order is not None:
            qty = order.cum + self._size()
            self._market.replace(order, self._exchange.clock.wall_ns(), "", qty=qty, price=order.price)
            self._exchange.settle(self._market.symbol)


class Crowd:
    """Flow on every instrument of a venue, paced by the clock."""

    def __init__(
        self,
        exchange: Exchange,
        seed: int,
        messages_per_s: int,
        openings: dict[str, str],
        instruments: Iterable[Instrument] = (),
    ) -> None:
        """`instruments`: those that it trades; all of the exchange's when none are given."""
        self.rate = messages_per_s
        self.steps = 0
        self._clock = exchange.clock
        traded = list(instruments) or list(exchange.instruments.values())
        self._flows = [Flow(exchange, i, seed, openings.get(i.name, "")) for i in traded]
        for flow in self._flows:
            flow.open()
        self._began = self._clock.mono_ns()
        self._paid = 0

    def tick(self) -> None:
        """Take the steps that are due, at most a tenth of a second's worth at once (a late loop does not catch up)."""
        due = (self._clock.mono_ns() - self._began) * self.rate // 1_000_000_000
        behind = due - self._paid
        self._paid = due
        for _ in range(min(behind, max(self.rate // 10, 1))):
            for flow in self._flows:
                flow.step()
                self.steps += 1
