"""Kraken WebSocket v1: book-1000 with a checksum on every update, and trades.

Each recorded `c` is verified on the way: top 10 asks then bids, digits without dot and leading zeros, CRC-32.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

from sim.recordings.items import BID, OFFER, Item, Levels, Print, Snapshot
from sim.recordings.lines import Frame, captured, fail
from sim.recordings.textbook import TextBook

DEPTH = 1000
TICKERS = {"XBT": "BTC", "XDG": "DOGE"}


def name_of(symbol: str, path: Path) -> str:
    """XBT/USD is BTC-USD."""
    base, _, quote = symbol.partition("/")
    return f"{TICKERS.get(base, base)}-{TICKERS.get(quote, quote)}"


def read(path: Path) -> Iterator[Item]:
    """Books or trades, as the file has them."""
    known: dict[str, TextBook] = {}
    for frame in captured(path):
        if not isinstance(frame.content, list):
            continue  # status, acknowledgements, heartbeats
        try:
            yield from _item(path, frame, known)
        except (KeyError, TypeError, IndexError, ValueError, ArithmeticError) as error:
            raise fail(path, frame.line, f"not a Kraken message: {error!r}") from None


def _item(path: Path, frame: Frame, known: dict[str, TextBook]) -> Iterator[Item]:
    *parts, channel, symbol = frame.content[1:]
    if channel == "trade":
        for n, (px, qty, _, side, *_rest) in enumerate(parts[0]):
            yield Print(frame.line, frame.time_ns, symbol, px, qty, BID if side == "b" else OFFER, f"{frame.line}.{n}")
        return
    said: dict[str, Any] = {}
    for part in parts:
        said |= part
    if "as" in said or "bs" in said:
        bids, asks = ([(px, qty) for px, qty, *_ in said.get(k, [])] for k in ("bs", "as"))
        book = known[symbol] = TextBook()
        book.load(bids, asks)
        yield Snapshot(frame.line, frame.time_ns, symbol, bids, asks)
        return
    book = known[symbol]
    changes = [(side, px, qty) for side, k in ((OFFER, "a"), (BID, "b")) for px, qty, *_ in said.get(k, [])]
    for side, px, qty in changes:
        book.set(side, px, qty)
    changes += book.cut(DEPTH)
    found = crc32(digits(book))
    if found != int(said["c"]):
        raise fail(path, frame.line, f"{symbol}: checksum is {said['c']}, computed {found}")
    yield Levels(frame.line, frame.time_ns, symbol, changes)


def digits(book: TextBook) -> bytes:
    """The text that the checksum is taken of."""
    levels = book.top(OFFER, 10) + book.top(BID, 10)
    return "".join(text.replace(".", "").lstrip("0") for level in levels for text in level).encode()
