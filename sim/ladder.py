"""One side of a matching engine's book: price levels, each a queue of orders in time order."""

from bisect import bisect_left, insort
from collections.abc import Iterator

from sim.orders import BUY, Order


class Ladder:
    """Orders of one side by price, then by time. `key` turns prices so that the best is always the greatest."""

    def __init__(self, side: int) -> None:
        self.side = side
        self._sign = 1 if side == BUY else -1
        self._keys: list[int] = []  # sorted; best last
        self._levels: dict[int, dict[str, Order]] = {}
        self._shown: dict[int, int] = {}

    def __bool__(self) -> bool:
        return bool(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def best(self) -> int | None:
        """Best price, None when the side is empty."""
        return self._keys[-1] * self._sign if self._keys else None

    def prices(self) -> Iterator[int]:
        """Prices, best first."""
        return (k * self._sign for k in reversed(self._keys))

    def queue(self, px: int) -> Iterator[Order]:
        """Orders at a price, oldest first."""
        return iter(self._levels.get(px, {}).values())

    def size(self, px: int) -> int:
        """Visible quantity at a price."""
        return self._shown.get(px, 0)

    def levels(self, depth: int = 0) -> list[tuple[int, int]]:
        """(price, visible size), best first; depth 0 = all."""
        keys = reversed(self._keys[-depth:] if depth else self._keys)
        return [(k * self._sign, self._shown[k * self._sign]) for k in keys]

    def crosses(self, px: int | None) -> bool:
        """Whether a taker of the other side with limit `px` (None: market) meets the best price here."""
        best = self.best
        return best is not None and (px is None or (best - px) * self._sign >= 0)

    def add(self, order: Order, shown: int) -> None:
        """Put `order` at the end of its price's queue with `shown` visible."""
        px = order.price
        assert px is not None
        level = self._levels.get(px)
        if level is None:
            insort(self._keys, px * self._sign)
            level = self._levels[px] = {}
            self._shown[px] = 0
        level[order.order_id] = order
        order.shown = shown
        self._shown[px] += shown

    def reduce(self, order: Order, shown: int) -> None:
        """Set the visible part of a resting order, which keeps its place."""
        px = order.price
        assert px is not None
        self._shown[px] += shown - order.shown
        order.shown = shown

    def remove(self, order: Order) -> None:
        """Take a resting order out."""
        px = order.price
        assert px is not None
        level = self._levels[px]
        del level[order.order_id]
        self._shown[px] -= order.shown
        order.shown = 0
        if not level:
            del self._levels[px], self._shown[px]
            del self._keys[bisect_left(self._keys, px * self._sign)]

    def __contains__(self, order: Order) -> bool:
        return order.price is not None and order.order_id in self._levels.get(order.price, {})
