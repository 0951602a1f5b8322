"""What a trading process has at risk, instrument by instrument, kept up order by order. Pure."""

from collections.abc import Callable, Mapping

import msgspec

from base.instruments import ONE, Contract
from ipc.exposure import UNOPENED, UNPRICED, notional
from risk.order import PRICED, Order

MarketPx = Callable[[str, str, int], int]
"""Instrument, side, quantity: the worst price that the book has for a market order; 0 where none is to be believed."""


def no_book(instrument: str, side: str, qty: int) -> int:
    """Where nobody looks at books."""
    return 0


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
    mark_px: int = 0  # price of the last fill; before the first one, what the book said of what was held already
    contract: Contract | None = ONE
    opening: int | None = None  # of the position, what the account held before our own fills; None: not told yet
    awaits_opening: bool = False  # without it the position is not known
    unpriced: int = 0  # working orders of which nothing says what they may cost

    @property
    def position_notional(self) -> int:
        """|position| at the price of the last fill, rounded up."""
        return self.worth(self.mark_px, self.position)

    def worth(self, px: int, qty: int) -> int:
        """|px * qty| in quote currency, rounded up; a contract that nobody knows the value of counts as one."""
        return notional(px, self.px_scale, qty, self.qty_scale, self.contract or ONE)

    def counted(self) -> tuple[int, int]:
        """What working buys and sells count with: not with what only brings the position back to nothing."""
        held = self.position
        if held < 0:
            return _beyond(self.buy_notional, self.working_buy_qty, -held), self.sell_notional
        if held > 0:
            return self.buy_notional, _beyond(self.sell_notional, self.working_sell_qty, held)
        return self.buy_notional, self.sell_notional

    def more(self, buys: bool, qty: int, worth: int) -> int:
        """What `counted` grows by with an order, or what a change adds to one, of so much quantity and worth."""
        held = self.position
        if not held or (held > 0) == buys or self.awaits_opening:
            return worth
        working, value = (
            (self.working_buy_qty, self.buy_notional) if buys else (self.working_sell_qty, self.sell_notional)
        )
        free = abs(held)
        return _beyond(value + worth, working + qty, free) - _beyond(value, working, free)

    @property
    def flags(self) -> int:
        """What the figures leave out, as the exposure row says it."""
        worthless = self.contract is None or (not self.contract.inverse and self._priceless)
        return (UNOPENED if self.awaits_opening else 0) | (UNPRICED if worthless else 0)

    @property
    def _priceless(self) -> bool:
        return self.unpriced > 0 or (self.position != 0 and not self.mark_px)


def _beyond(value: int, qty: int, free: int) -> int:
    """The part of a side's worth that lies beyond `free` of its quantity, at its average price, rounded up."""
    return -(-value * (qty - free) // qty) if qty > free else 0


class _Share(msgspec.Struct, frozen=True):
    """What one order contributes."""

    buy_qty: int
    sell_qty: int
    buy_notional: int
    sell_notional: int
    uncertain: int
    px: int  # that it counts with
    unpriced: int


class ExposureBook:
    """Figures by instrument. `update` after any change of an order, `filled` after each fill."""

    def __init__(self, contracts: Mapping[str, Contract | None] | None = None, market_px: MarketPx = no_book) -> None:
        """`contracts`: what a quantity stands for, by instrument; spot where it is silent."""
        self.figures: dict[str, Figures] = {}
        self._shares: dict[str, _Share] = {}
        self._contracts = contracts or {}
        self.market_px = market_px

    def of(self, instrument: str, px_scale: int, qty_scale: int) -> Figures:
        """The instrument's figures, zero at first."""
        found = self.figures.get(instrument)
        if found is None:
            contract = self._contracts.get(instrument, ONE)
            found = self.figures[instrument] = Figures(px_scale, qty_scale, contract=contract)
        return found

    def update(self, order: Order) -> Figures:
        """Take the order's present contribution in place of its former one."""
        figures = self.of(order.instrument, order.px_scale, order.qty_scale)
        key = order.ids[0]
        before = self._shares.pop(key, None)
        if before is not None:
            _add(figures, before, -1)
        if order.is_open:
            share = self._shares[key] = self._share(order, figures, before.px if before is not None else 0)
            _add(figures, share, 1)
        return figures

    def _share(self, order: Order, figures: Figures, px_before: int) -> _Share:
        """A market order counts at the worst of what the book has for it, the last fill, and what it counted with."""
        mark_px = 0
        if not own_px(order):
            book_px = self.market_px(order.instrument, order.side, order.leaves_qty)
            mark_px = max(book_px, figures.mark_px, px_before)
        qty, px = share_of(order, mark_px)
        value = figures.worth(px, qty)
        buys = order.side == "1"
        return _Share(
            qty if buys else 0,
            0 if buys else qty,
            value if buys else 0,
            0 if buys else value,
            int(order.state == "UNCERTAIN"),
            px,
            int(qty > 0 and not px),
        )

    def filled(self, order: Order, qty: int, px: int | None) -> Figures:
        """Add a fill to the position; its price becomes the mark."""
        figures = self.of(order.instrument, order.px_scale, order.qty_scale)
        figures.position += qty if order.side == "1" else -qty
        if px:
            figures.mark_px = px
        return figures


def share_of(order: Order, mark_px: int) -> tuple[int, int]:
    """Quantity and price that an open order counts with; `mark_px` where it has no price of its own.

    While a replace is on its way, either terms may be in force: the greater counts.
    """
    asked = order.asked.values()
    qty = max([order.leaves_qty, *(qty - order.cum_qty for qty, _ in asked)])
    return qty, own_px(order) or mark_px


def own_px(order: Order) -> int:
    """The price an order counts with by its own terms; 0: it takes what the market has."""
    priced = order.ord_type in PRICED or not order.ord_type  # "": the venue listed it, and how it was placed is unknown
    px = max([order.price or 0, *(price or 0 for _, price in order.asked.values())]) if priced else 0
    return px or order.stop_px or 0


def _add(figures: Figures, share: _Share, sign: int) -> None:
    figures.open_orders += sign
    figures.uncertain += sign * share.uncertain
    figures.working_buy_qty += sign * share.buy_qty
    figures.working_sell_qty += sign * share.sell_qty
    figures.buy_notional += sign * share.buy_notional
    figures.sell_notional += sign * share.sell_notional
    figures.unpriced += sign * share.unpriced
