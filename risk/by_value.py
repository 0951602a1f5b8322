"""Orders sized in quote currency, by the option cash_order_qty (CashOrderQty, 152). Pure.

What such an order is worth is known exactly; how much of the base it comes to depends on the prices it trades at. Its
`order_qty` is the desk's own figure, by which limits and exposure count it: it must be no less than that.
"""

from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Final

from base.errors import NumberError
from base.instruments import ONE, Instrument
from ipc.exposure import NOTIONAL_SCALE
from ipc.requests import NewOrder
from risk.order import PRICED

CASH: Final = "cash_order_qty"
_BUY: Final = "1"
_MOST: Final = Decimal(10) ** 12  # of any quote currency


def is_by_value(options: Mapping[str, str]) -> bool:
    """Whether the venue fills the order by its worth, not by its quantity."""
    return CASH in options


def cash_of(options: Mapping[str, str], instrument: Instrument) -> int:
    """What such an order is worth, at 6 decimals, rounded up. NumberError names the option."""
    text = options[CASH]
    if instrument.contract != ONE:
        raise NumberError(f"options.{CASH}: {instrument.name} is in contracts, which are not sized by value")
    try:
        value = Decimal(text)
        if not (value.is_finite() and 0 < value <= _MOST):
            raise InvalidOperation
    except InvalidOperation:
        raise NumberError(f"options.{CASH}: {text!r} is not a positive amount") from None
    return int(value.scaleb(NOTIONAL_SCALE).to_integral_value(ROUND_CEILING))


def lowest_px(
    command: NewOrder, top: tuple[int, int, int, int] | None, reach: Callable[[str, str, int], tuple[int, bool]]
) -> int:
    """The lowest price at which an order may trade, as far as the book shows; 0 where nobody knows.

    `top`: bid price and quantity, offer price and quantity; `reach`: the worst price for so much, and whether the
    levels that are seen hold it.
    """
    price = command.price if command.ord_type in PRICED else None
    if command.side != _BUY and price is not None:
        return price
    if top is None:
        return 0
    bid_px, bid_qty, ask_px, ask_qty = top
    if command.side == _BUY:
        best = ask_px if ask_qty else bid_px if bid_qty else 0
        return min(price, best) if price is not None else best
    if command.order_qty <= bid_qty:
        return bid_px
    px, enough = reach(command.instrument, command.side, command.order_qty)
    return px if enough else 0


def too_little(command: NewOrder, instrument: Instrument, cash: int, px: int) -> str:
    """Why the order's quantity is less than what so much buys or brings at that price; "" when it is not."""
    worth = cash * 10 ** (instrument.px_scale + instrument.qty_scale)
    least = -(-worth // (px * 10**NOTIONAL_SCALE))
    if command.order_qty >= least:
        return ""
    amount = f"{command.options[CASH]} {instrument.name.rpartition('-')[2]} may come to {instrument.qty_text(least)}"
    return f"order_qty: {instrument.qty_text(command.order_qty)}, and {amount} at {instrument.px_text(px)}"
