"""What a trading process has at risk, instrument by instrument, kept up order by order. Pure."""

import msgspec

from ipc.exposure import notional
from risk.order import PRICED, Order


class Figures(msgspec.Struct):
    """One instrument's figures; quantities at qty_scale, notionals at 6 decimals of the quote currency."""

    px_scale: int
    qty_scale: int
    open_orders: int = 0
    uncertain: int = 0
    working_buy_qty: int = 0
    working_sell_qty: int = 0
    buy_notional: int = 0
    sell_notional: int = 0
    position: int = 0
    mark_px: int = 0  # price of the last fill

    @property
    def position_notional(self) -> int:
        """|position| at the price of the last fill, rounded up."""
        return notional(self.mark_px, self.px_scale, self.position, self.qty_scale)


class _Share(msgspec.Struct, frozen=True):
    """What one order contributes."""

    buy_qty: int
    sell_qty: int
    buy_notional: int
    sell_notional: int
    uncertain: int


class ExposureBook:
    """Figures by instrument. `update` after any change of an order, `filled` after each fill."""

    def __init__(self) -> None:
        self.figures: dict[str, Figures] = {}
        self._shares: dict[str, _Share] = {}

    def of(self, instrument: str, px_scale: int, qty_scale: int) -> Figures:
        """The instrument's figures, zero at first."""
        found = self.figures.get(instrument)
        if found is None:
            found = self.figures[instrument] = Figures(px_scale, qty_scale)
        return found

    def update(self, order: Order) -> Figures:
        """Take the order's present contribution in place of its former one."""
        figures = self.of(order.instrument, order.px_scale, order.qty_scale)
        key = order.ids[0]
        before = self._shares.pop(key, None)
        if before is not None:
            _add(figures, before, -1)
        if order.is_open:
            share = self._shares[key] = _share(order, figures)
            _add(figures, share, 1)
        return figures

    def filled(self, order: Order, qty: int, px: int | None) -> Figures:
        """Add a fill to the position; its price becomes the mark."""
        figures = self.of(order.instrument, order.px_scale, order.qty_scale)
        figures.position += qty if order.side == "1" else -qty
        if px:
            figures.mark_px = px
        return figures


def share_of(order: Order, mark_px: int) -> tuple[int, int]:
    """Quantity and price that an open order counts with.

    A market order has no price: what it may cost is judged by the last fill. While a replace is on its way, either
    terms may be in force: the greater counts.
    """
    asked = order.asked.values()
    qty = max([order.leaves_qty, *(qty - order.cum_qty for qty, _ in asked)])
    priced = order.ord_type in PRICED or not order.ord_type  # "": the venue listed it, and how it was placed is unknown
    px = max([order.price or 0, *(price or 0 for _, price in asked)]) if priced else 0
    return qty, px or order.stop_px or mark_px


def _share(order: Order, figures: Figures) -> _Share:
    qty, px = share_of(order, figures.mark_px)
    value = notional(px, order.px_scale, qty, order.qty_scale)
    buys = order.side == "1"
    return _Share(
        qty if buys else 0,
        0 if buys else qty,
        value if buys else 0,
        0 if buys else value,
        int(order.state == "UNCERTAIN"),
    )


def _add(figures: Figures, share: _Share, sign: int) -> None:
    figures.open_orders += sign
    figures.uncertain += sign * share.uncertain
    figures.working_buy_qty += sign * share.buy_qty
    figures.working_sell_qty += sign * share.sell_qty
    figures.buy_notional += sign * share.buy_notional
    figures.sell_notional += sign * share.sell_notional
