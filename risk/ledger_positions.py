"""Positions and realised profit out of fills, first in first out, in integers: nothing is rounded. Pure.

A buy closes the oldest open sales first and the other way round; what it closes realises (sale - purchase) x quantity
in the quote currency. Fees are added up beside it, by currency, and never mixed in.
"""

from collections.abc import Iterable
from decimal import Context, Decimal, Inexact, InvalidOperation

from ipc.ledger_records import BookRecord, Fill, sort_key

# Sums of fees are exact: a digit that would be lost is an error, not a rounding.
_EXACT = Context(prec=400, traps=[Inexact, InvalidOperation])
_FEE_DIGITS = 60


def add_fill(book: BookRecord, fill: Fill) -> None:
    """Count a fill, which comes after all that were counted before. One that was busted adds nothing but its place."""
    book.last = sort_key(fill)
    book.fills += 1
    if not fill.qty:
        return
    if (fill.px_scale, fill.qty_scale) != (book.px_scale, book.qty_scale):
        _rescale(book, fill.px_scale, fill.qty_scale)
    qty = fill.qty * 10 ** (book.qty_scale - fill.qty_scale)
    px = fill.px * 10 ** (book.px_scale - fill.px_scale)
    sign = 1 if fill.side == "1" else -1
    rest = _close(book, qty, px) if book.position * sign < 0 else qty
    book.position += sign * qty
    if sign > 0:
        book.bought, book.bought_value = book.bought + qty, book.bought_value + qty * px
    else:
        book.sold, book.sold_value = book.sold + qty, book.sold_value + qty * px
    if rest:
        _open(book, rest, px)
    for currency, amount in fill.fees:
        book.fees[currency] = add_exactly(book.fees.get(currency, "0"), amount)


def may_mark(book: BookRecord, fill: Fill, every: int) -> bool:
    """Whether the state before `fill` is worth keeping: all fills up to its last place are in it, none will follow.

    Fills can share a place (one moment, and no trade id): a state between two of them could not be counted on from.
    """
    return book.fills > 0 and book.fills % every == 0 and sort_key(fill) > book.last


def rebuild(book: BookRecord, fills: Iterable[Fill]) -> None:
    """Count all of them anew, given in their order."""
    clear(book)
    for fill in fills:
        add_fill(book, fill)


def clear(book: BookRecord) -> None:
    """Nothing counted."""
    book.position = book.realised = book.bought = book.sold = book.bought_value = book.sold_value = book.fills = 0
    book.lots, book.fees, book.last = [], {}, (0, 0, "", 0)


def open_value(book: BookRecord) -> int:
    """What the open lots cost, at px_scale + qty_scale decimals."""
    return sum(qty * px for qty, px in book.lots)


def add_exactly(one: str, other: str) -> str:
    """The sum of two decimal texts, every digit kept."""
    return format(_EXACT.add(Decimal(one), Decimal(other)), "f")


def is_amount(text: str) -> bool:
    """Whether a fee can be counted: a finite decimal number of sane length."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return False
    return number.is_finite() and len(text) <= _FEE_DIGITS and abs(number.adjusted()) <= _FEE_DIGITS


def _close(book: BookRecord, qty: int, px: int) -> int:
    """Take up to `qty` off the oldest lots and realise that; what is left of `qty`."""
    sign, done = 1 if book.position > 0 else -1, 0
    for open_qty, open_px in book.lots:
        taken = min(open_qty, qty)
        book.realised += sign * taken * (px - open_px)
        qty -= taken
        if taken < open_qty:
            book.lots[done] = (open_qty - taken, open_px)
            break
        done += 1
        if not qty:
            break
    del book.lots[:done]
    return qty


def _open(book: BookRecord, qty: int, px: int) -> None:
    if book.lots and book.lots[-1][1] == px:
        book.lots[-1] = (book.lots[-1][0] + qty, px)
    else:
        book.lots.append((qty, px))


def _rescale(book: BookRecord, px_scale: int, qty_scale: int) -> None:
    """The finer scale of two for both."""
    px, qty = 10 ** max(px_scale - book.px_scale, 0), 10 ** max(qty_scale - book.qty_scale, 0)
    book.px_scale, book.qty_scale = max(book.px_scale, px_scale), max(book.qty_scale, qty_scale)
    book.lots = [(q * qty, p * px) for q, p in book.lots]
    book.position, book.bought, book.sold = book.position * qty, book.bought * qty, book.sold * qty
    money = px * qty
    book.realised, book.bought_value, book.sold_value = (
        book.realised * money, book.bought_value * money, book.sold_value * money,
    )  # fmt: skip
