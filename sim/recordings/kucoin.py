"""KuCoin classic spot: level2 increments that link to REST snapshots by sequence, and matches."""

from collections.abc import Iterator
from pathlib import Path

from base.errors import RecordingError
from sim.recordings.items import BID, OFFER, Item, Levels, Print, Snapshot
from sim.recordings.lines import Frame, captured, fail

SIDES = {"buy": BID, "sell": OFFER}


def name_of(symbol: str, path: Path) -> str:
    """Symbols are named as the desk names them."""
    return symbol


def read(path: Path) -> Iterator[Item]:
    """Both files of the capture merged by time; increments before a snapshot are kept for it."""
    rest = path.with_name(path.name.replace("_ws_", "_rest_"))
    if not rest.exists():
        raise RecordingError(f"{path}: its snapshots, {rest.name}, are not beside it")
    frames = sorted([*captured(path), *captured(rest)], key=lambda f: f.time_ns)
    reader = _Reader(path)
    for frame in frames:
        try:
            yield from reader.item(frame)
        except (KeyError, TypeError, ValueError) as error:
            raise fail(path, frame.line, f"not a KuCoin message: {error!r}") from None


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: dict[str, int] = {}
        self._early: dict[str, list[Frame]] = {}

    def item(self, frame: Frame) -> Iterator[Item]:
        said = frame.content
        if frame.source:
            yield from self._snapshot(frame)
            return
        subject, data = said.get("subject", ""), said.get("data", {})
        if subject == "trade.l2update":
            if data["symbol"] in self._last:
                yield from self._update(frame)
            else:
                self._early.setdefault(data["symbol"], []).append(frame)
        elif subject == "trade.l3match":
            px, qty, side = data["price"], data["size"], SIDES[data["side"]]
            yield Print(frame.line, frame.time_ns, data["symbol"], px, qty, side, data["tradeId"])

    def _snapshot(self, frame: Frame) -> Iterator[Item]:
        data = frame.content["data"]
        symbol = frame.source.partition("symbol=")[2].partition("&")[0]
        self._last[symbol] = int(data["sequence"])
        bids, asks = ([(px, qty) for px, qty in data[k]] for k in ("bids", "asks"))
        yield Snapshot(frame.line, frame.time_ns, symbol, bids, asks, self._last[symbol])
        for early in self._early.pop(symbol, []):
            yield from self._update(Frame(early.line, frame.time_ns, early.content))

    def _update(self, frame: Frame) -> Iterator[Item]:
        data = frame.content["data"]
        symbol, first, last = data["symbol"], int(data["sequenceStart"]), int(data["sequenceEnd"])
        known = self._last[symbol]
        if last <= known:
            return
        if first > known + 1:
            raise fail(self._path, frame.line, f"{symbol}: sequence begins at {first}, the last one was {known}")
        changes = [
            (side, px, qty)
            for side, k in ((BID, "bids"), (OFFER, "asks"))
            for px, qty, sequence in data["changes"][k]
            if int(sequence) > known and px not in {"0", ""}  # price 0: only the sequence moved
        ]
        self._last[symbol] = last
        yield Levels(frame.line, frame.time_ns, symbol, changes, known + 1, last)
