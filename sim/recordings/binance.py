"""Binance: book recordings with nanosecond stamps, and captures of the combined stream with REST snapshots.

Spot: drop updates up to the snapshot's id, the first one kept spans id + 1, then each U is the last u + 1. Futures:
each pu is the last u. Updates that arrive before the snapshot are kept for it.
"""

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

from base.errors import RecordingError
from sim.recordings.items import BID, OFFER, Best, Item, Levels, Print, Snapshot
from sim.recordings.lines import Frame, captured, content, fail, lines

FOLLOWS = MappingProxyType(
    {
        "spot_btcusdt_20240809.gz": "spot_btcusdt_20240808.gz",
        "cm_btcusd_perp_20240809.gz": "cm_btcusd_perp_20240808.gz",
    }
)


def name_of(symbol: str, path: Path) -> str:
    """BTCUSDT of spot is BTC-USDT; USD-M and COIN-M contracts are perpetuals."""
    for quote in ("USDT", "USDC", "BUSD", "EUR", "BTC", "ETH", "BNB", "USD"):
        base = symbol.removesuffix("_PERP")
        if base.endswith(quote) and base != quote:
            perpetual = symbol.endswith("_PERP") or path.name.startswith(("usdm_", "cm_"))
            return f"{base.removesuffix(quote)}-{quote}{'-PERP' if perpetual else ''}"
    return symbol


def books(path: Path) -> Iterator[Item]:
    """A book recording; one that only continues another begins with that other's items."""
    before = FOLLOWS.get(path.name)
    if before is None:
        yield from _Books(path).items(_stamped(path))
        return
    first = path.with_name(before)
    if not first.exists():
        raise RecordingError(f"{path}: it continues {before}, which is not beside it")
    both = _Books(first)
    yield from both.items(_stamped(first))
    both.path = path
    yield from both.items(_stamped(path))


def symbol_in(path: Path) -> str:
    """The one symbol of a book recording, as its file's name has it."""
    return "_".join(path.name.split("_")[1:-1]).upper()


def starts_ns(path: Path) -> int:
    """Time of a book recording's first line."""
    return next((frame.time_ns for frame in _stamped(path)), 0)


def capture(path: Path) -> Iterator[Item]:
    """A capture of the combined stream, with the REST snapshots of the file beside it, merged by time."""
    rest = path.with_name(path.name.replace("_ws_", "_rest_"))
    if not rest.exists():
        raise RecordingError(f"{path}: its snapshots, {rest.name}, are not beside it")
    frames = sorted([*captured(path), *captured(rest)], key=lambda f: f.time_ns)
    yield from _Books(path).items(iter(frames))


def _stamped(path: Path) -> Iterator[Frame]:
    for number, text in lines(path):
        stamp, _, body = text.partition(" ")
        if not stamp.isdigit():
            raise fail(path, number, "expected `<ns> <JSON>`")
        yield Frame(number, int(stamp), content(path, number, body))


class _Books:
    """Links updates to snapshots, symbol by symbol."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last: dict[str, int] = {}
        self._early: dict[str, list[Frame]] = {}
        self._linked: set[str] = set()
        self._symbol = symbol_in(path)  # a REST row does not name it

    def items(self, frames: Iterator[Frame]) -> Iterator[Item]:
        for frame in frames:
            try:
                yield from self._item(frame)
            except (KeyError, TypeError, IndexError, ValueError) as error:
                raise fail(self.path, frame.line, f"not a Binance message: {error!r}") from None

    def _item(self, frame: Frame) -> Iterator[Item]:
        if "lastUpdateId" in frame.content:
            yield from self._snapshot(frame)
            return
        stream, data = frame.content["stream"], frame.content["data"]
        kind = stream.partition("@")[2]
        if kind.startswith("depth"):
            if data["s"] in self._last:
                yield from self._update(frame)
            else:
                self._early.setdefault(data["s"], []).append(frame)
        elif kind == "bookTicker":
            best = (data["b"], data["B"]), (data["a"], data["A"])
            yield Best(frame.line, frame.time_ns, data["s"], *best, int(data["u"]))
        elif kind in {"trade", "aggTrade"}:
            side = OFFER if data["m"] else BID
            trade_id = str(data.get("t", data.get("a")))
            if data["p"] != "0":  # insurance fund and settlement lines carry no price
                yield Print(frame.line, frame.time_ns, data["s"], data["p"], data["q"], side, trade_id)

    def _snapshot(self, frame: Frame) -> Iterator[Item]:
        said = frame.content
        symbol = frame.source.partition("symbol=")[2].partition("&")[0] or said.get("symbol") or self._symbol
        bids, asks = ([(px, qty) for px, qty in said[side]] for side in ("bids", "asks"))
        self._last[symbol] = int(said["lastUpdateId"])
        self._linked.discard(symbol)
        yield Snapshot(frame.line, frame.time_ns, symbol, bids, asks, self._last[symbol])
        for early in self._early.pop(symbol, []):
            yield from self._update(Frame(early.line, frame.time_ns, early.content))

    def _update(self, frame: Frame) -> Iterator[Item]:
        data: dict[str, Any] = frame.content["data"]
        symbol, first, last = data["s"], int(data["U"]), int(data["u"])
        known = self._last[symbol]
        if symbol not in self._linked:
            if last < known or (last == known and "pu" not in data):
                return
            if first > known + 1:
                raise fail(
                    self.path, frame.line, f"{symbol}: snapshot ends at {known}, the next update begins at {first}"
                )
            self._linked.add(symbol)
        elif "pu" in data:
            if int(data["pu"]) != known:
                raise fail(self.path, frame.line, f"{symbol}: pu is {data['pu']}, the last update ended at {known}")
        elif first != known + 1:
            raise fail(self.path, frame.line, f"{symbol}: U is {first}, the last update ended at {known}")
        self._last[symbol] = last
        changes = [(BID, px, qty) for px, qty in data["b"]] + [(OFFER, px, qty) for px, qty in data["a"]]
        yield Levels(frame.line, frame.time_ns, symbol, changes, first, last)
