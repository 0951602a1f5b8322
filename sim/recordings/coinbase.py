"""Coinbase Exchange: the level2 channel of 2021 with matches, and REST books of levels 2 and 3."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sim.recordings.items import BID, OFFER, Item, Levels, Print, Snapshot
from sim.recordings.lines import captured, content, fail, lines
from sim.timetext import parse

SIDES = {"buy": BID, "sell": OFFER}


def name_of(symbol: str, path: Path) -> str:
    """Products are named as the desk names them."""
    return symbol


def read(path: Path) -> Iterator[Item]:
    """The level2 capture. Updates before a product's snapshot are part of it already."""
    known: set[str] = set()
    for frame in captured(path):
        said = frame.content
        try:
            kind, symbol = said["type"], said.get("product_id", "")
            if kind == "snapshot":
                known.add(symbol)
                bids, asks = ([(px, qty) for px, qty in said[k]] for k in ("bids", "asks"))
                yield Snapshot(frame.line, frame.time_ns, symbol, bids, asks)
            elif kind == "l2update" and symbol in known:
                changes = [(SIDES[side], px, qty) for side, px, qty in said["changes"]]
                yield Levels(frame.line, frame.time_ns, symbol, changes)
            elif kind == "match":  # `side` is the maker's
                taker = 1 - SIDES[said["side"]]
                yield Print(
                    frame.line, frame.time_ns, symbol, said["price"], said["size"], taker, str(said["trade_id"])
                )
        except (KeyError, TypeError, ValueError) as error:
            raise fail(path, frame.line, f"not a Coinbase message: {error!r}") from None


def snapshot(path: Path) -> Iterator[Item]:
    """A REST book: one object; level 3 has an order id with each entry."""
    text = "".join(part for _, part in lines(path))
    said: dict[str, Any] = content(path, 1, text)
    try:
        when = parse(said["captured_at"].replace("-", "").replace("T", "-").rstrip("Z")) or 0
        sides = {k: said[k] for k in ("bids", "asks")}
        if said["level"] == 3:
            orders = tuple([(px, qty, order_id) for px, qty, order_id in sides[k]] for k in ("bids", "asks"))
            bids, asks = (_levels(entries) for entries in orders)
            yield Snapshot(1, when, said["product"], bids, asks, said["sequence"], (orders[0], orders[1]))
        else:
            bids, asks = ([(px, qty) for px, qty, _ in sides[k]] for k in ("bids", "asks"))
            yield Snapshot(1, when, said["product"], bids, asks, said["sequence"])
    except (KeyError, TypeError, ValueError) as error:
        raise fail(path, 1, f"not a Coinbase book: {error!r}") from None


def _levels(orders: list[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """Sizes summed by price, exactly, in the order of the file."""
    scale = max((len(qty.partition(".")[2]) for _, qty, _ in orders), default=0)
    sums: dict[str, int] = {}
    for px, qty, _ in orders:
        whole, _, fraction = qty.partition(".")
        sums[px] = sums.get(px, 0) + int(whole + fraction.ljust(scale, "0"))
    return [(px, _text(total, scale)) for px, total in sums.items()]


def _text(value: int, scale: int) -> str:
    digits = str(value).rjust(scale + 1, "0")
    return f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits
