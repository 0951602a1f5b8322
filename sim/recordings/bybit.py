"""Bybit's retired v2 inverse stream: orderBookL2_25 snapshots with delete, update and insert lists, and trades."""

from collections.abc import Iterator
from pathlib import Path

from sim.recordings.items import BID, OFFER, Item, Levels, Print, Snapshot
from sim.recordings.lines import Frame, captured, fail

SIDES = {"Buy": BID, "Sell": OFFER}


def name_of(symbol: str, path: Path) -> str:
    """BTCUSD is the perpetual BTC-USD-PERP."""
    return f"{symbol.removesuffix('USD')}-USD-PERP"


def read(path: Path) -> Iterator[Item]:
    """Books and trades."""
    for frame in captured(path):
        if "topic" not in frame.content:
            continue
        try:
            yield from _item(frame)
        except (KeyError, TypeError, ValueError) as error:
            raise fail(path, frame.line, f"not a Bybit message: {error!r}") from None


def _item(frame: Frame) -> Iterator[Item]:
    said = frame.content
    channel, _, symbol = said["topic"].partition(".")
    data = said["data"]
    if channel == "trade":
        for t in data:
            yield Print(
                frame.line, frame.time_ns, symbol, str(t["price"]), str(t["size"]), SIDES[t["side"]], t["trade_id"]
            )
    elif said["type"] == "snapshot":
        bids, asks = ([(e["price"], str(e["size"])) for e in data if e["side"] == side] for side in ("Buy", "Sell"))
        yield Snapshot(frame.line, frame.time_ns, symbol, bids[::-1], asks)
    else:
        changes = [(SIDES[e["side"]], e["price"], "0") for e in data["delete"]]
        changes += [(SIDES[e["side"]], e["price"], str(e["size"])) for k in ("update", "insert") for e in data[k]]
        yield Levels(frame.line, frame.time_ns, symbol, changes)
