"""A naive book: dicts and sorting, nothing clever. What the shared-memory book is held against, message by message."""

from base.errors import RecordingError
from sim.orders import BUY
from sim.recordings.items import DELETE, Item, Levels, Orders, Snapshot, scaled


class ReferenceBook:
    """Levels by price; where the recording has single orders, orders by id, in order of arrival within a price."""

    def __init__(self, px_scale: int, qty_scale: int, by_order: bool) -> None:
        self.by_order = by_order
        self._px_scale = px_scale
        self._qty_scale = qty_scale
        self.levels: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._prices: tuple[list[int], list[int]] = ([], [])  # sorted when asked for; nearly sorted, so that is cheap
        self.orders: dict[str, tuple[int, int, int]] = {}  # id -> side, price, size; dict order is arrival

    def px(self, text: str, item: Item) -> int:
        """A price of an item as an integer."""
        return scaled(text, self._px_scale, f"line {item.line}")

    def qty(self, text: str, item: Item) -> int:
        """A size of an item as an integer."""
        return scaled(text, self._qty_scale, f"line {item.line}")

    def apply(self, item: Item) -> bool:
        """Take an item in; False when it says nothing of the book."""
        if isinstance(item, Snapshot):
            self._replace(item)
        elif isinstance(item, Levels):
            for side, px, qty in item.changes:
                self._set(side, self.px(px, item), self.qty(qty, item))
        elif isinstance(item, Orders):
            self._change(item)
        else:
            return False
        return True

    def _replace(self, item: Snapshot) -> None:
        self.levels, self.orders, self._prices = ({}, {}), {}, ([], [])
        if item.orders is not None:
            for side, orders in enumerate(item.orders):
                for px, qty, order_id in orders:
                    self.orders[order_id] = (side, self.px(px, item), self.qty(qty, item))
            return
        for side, levels in enumerate((item.bids, item.asks)):
            for px, qty in levels:
                self._set(side, self.px(px, item), self.qty(qty, item))

    def _set(self, side: int, px: int, qty: int) -> None:
        if qty and px not in self.levels[side]:
            self._prices[side].append(px)
        if qty:
            self.levels[side][px] = qty
        elif self.levels[side].pop(px, None) is not None:
            self._prices[side].remove(px)

    def _change(self, item: Orders) -> None:
        for action, side, px, qty, order_id in item.changes:
            if action == DELETE:
                if self.orders.pop(order_id, None) is None:
                    raise RecordingError(f"line {item.line}: order {order_id} goes that never came")
            else:
                self.orders[order_id] = (side, self.px(px, item), self.qty(qty, item))

    def side(self, side: int, depth: int = 0) -> list[tuple[int, int, int]]:
        """(price, size, orders) of a side, best first; orders is 0 where they are not known; depth 0 = all."""
        if not self.by_order:
            prices = self._prices[side]
            prices.sort(reverse=side == BUY)
            return [(px, self.levels[side][px], 0) for px in (prices[:depth] if depth else prices)]
        sums: dict[int, tuple[int, int]] = {}
        for own, px, qty in self.orders.values():
            if own == side:
                size, count = sums.get(px, (0, 0))
                sums[px] = size + qty, count + 1
        best = sorted(sums, reverse=side == BUY)
        return [(px, *sums[px]) for px in (best[:depth] if depth else best)]

    def queue(self, side: int) -> list[tuple[int, int, str]]:
        """(price, size, id) of every order of a side, best price first, oldest first within a price."""
        rows = [(px, qty, order_id) for order_id, (own, px, qty) in self.orders.items() if own == side]
        return sorted(rows, key=lambda row: -row[0] if side == BUY else row[0])
