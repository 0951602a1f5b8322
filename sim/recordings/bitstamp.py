"""Bitstamp's single orders: created, changed, deleted, with trades. There is no snapshot: the book begins empty.

Orders that were there before appear when they change; a deleted one that was never seen is nothing. `order_book` lines
(level 2) are not used.
"""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from sim.recordings.items import BID, CHANGE, DELETE, NEW, OFFER, Item, Orders, Print, Snapshot
from sim.recordings.lines import content, fail, lines

SYMBOL = "BTC/USD"


def name_of(symbol: str, path: Path) -> str:
    """The file holds one market."""
    return "BTC-USD"


def read(path: Path) -> Iterator[Item]:
    """Orders and trades."""
    known: dict[str, tuple[int, str]] = {}  # id -> side, price
    first = True
    for number, text in lines(path):
        stamp, event, body = ([*text.split(" ", 2), "", ""])[:3]
        if not stamp.isdigit():
            raise fail(path, number, "expected `<ms> <event> <JSON>`")
        time_ns = int(stamp) * 1_000_000
        if first:
            yield Snapshot(number, time_ns, SYMBOL, [], [], 0, ([], []))
            first = False
        said = content(path, number, body)
        try:
            if event == "trade":
                px, qty = _rounded(said["price"]), _rounded(said["amount"])
                yield Print(number, time_ns, SYMBOL, px, qty, BID, str(said["id"]))
            elif event.startswith("order_") and event != "order_book":
                yield from _order(number, time_ns, event, said, known)
            elif event != "order_book":
                raise fail(path, number, f"unknown event {event!r}")
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise fail(path, number, f"not a Bitstamp message: {error!r}") from None


def _rounded(text: str) -> str:
    """The recorder wrote trades as binary floats (236.61000000000001): eight decimals are what the venue had."""
    return format(Decimal(text).quantize(Decimal("0.00000001")), "f")


def _order(
    number: int, time_ns: int, event: str, said: dict[str, str], known: dict[str, tuple[int, str]]
) -> Iterator[Item]:
    order_id, px, qty = str(said["id"]), str(said["price"]), str(said["amount"])
    side = OFFER if int(said["order_type"]) else BID
    before = known.get(order_id)
    changes: list[tuple[int, int, str, str, str]] = []
    gone = event == "order_deleted" or not qty.strip("0.")
    if before is not None and (gone or before != (side, px)):
        changes.append((DELETE, *before, "0", order_id))
        del known[order_id]
        before = None
    if not gone:
        changes.append((CHANGE if before else NEW, side, px, qty, order_id))
        known[order_id] = side, px
    if changes:
        yield Orders(number, time_ns, SYMBOL, changes)
