"""OKX v5 public: books (400 levels, every update with a signed CRC-32 that is verified here) and trades."""

from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

from sim.recordings.items import BID, OFFER, Item, Levels, Print, Snapshot
from sim.recordings.lines import Frame, captured, fail
from sim.recordings.textbook import TextBook

SIDES = {"buy": BID, "sell": OFFER}


def name_of(symbol: str, path: Path) -> str:
    """BTC-USDT stays, UNI-USD-SWAP is UNI-USD-PERP, BTC-USD-220527 is BTC-USD-20220527."""
    base, quote, *rest = symbol.split("-")
    if rest == ["SWAP"]:
        return f"{base}-{quote}-PERP"
    return f"{base}-{quote}-20{rest[0]}" if rest else symbol


def read(path: Path) -> Iterator[Item]:
    """Books and trades."""
    known: dict[str, TextBook] = {}
    for frame in captured(path):
        try:
            yield from _item(path, frame, known)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise fail(path, frame.line, f"not an OKX message: {error!r}") from None


def _item(path: Path, frame: Frame, known: dict[str, TextBook]) -> Iterator[Item]:
    said = frame.content
    if "data" not in said:
        return
    channel, symbol = said["arg"]["channel"], said["arg"]["instId"]
    for data in said["data"]:
        if channel == "trades":
            side = SIDES[data["side"]]
            yield Print(frame.line, frame.time_ns, symbol, data["px"], data["sz"], side, data["tradeId"])
        elif channel == "books":
            yield _book(path, frame, symbol, data, known)


def _book(path: Path, frame: Frame, symbol: str, data: dict[str, list[list[str]]], known: dict[str, TextBook]) -> Item:
    bids, asks = ([(px, qty) for px, qty, *_ in data[k]] for k in ("bids", "asks"))
    if frame.content["action"] == "snapshot":
        book = known[symbol] = TextBook()
        book.load(bids, asks)
        item: Item = Snapshot(frame.line, frame.time_ns, symbol, bids, asks)
    else:
        book = known[symbol]
        changes = [(BID, px, qty) for px, qty in bids] + [(OFFER, px, qty) for px, qty in asks]
        for side, px, qty in changes:
            book.set(side, px, qty)
        item = Levels(frame.line, frame.time_ns, symbol, changes)
    found = checksum(book)
    if found != int(str(data["checksum"])):
        raise fail(path, frame.line, f"{symbol}: checksum is {data['checksum']}, computed {found}")
    return item


def checksum(book: TextBook) -> int:
    """Signed CRC-32 of the best 25 levels, bid and offer by turns, as printed."""
    bids, asks = book.top(BID, 25), book.top(OFFER, 25)
    parts: list[str] = []
    for n in range(max(len(bids), len(asks))):
        for side in (bids, asks):
            if n < len(side):
                parts += side[n]
    value = crc32(":".join(parts).encode())
    return value - (1 << 32) if value >= 1 << 31 else value
