"""Recordings of real books: which file is read by what. The data lies outside the project and is read at run time."""

import fnmatch
import os
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from base.errors import RecordingError
from sim.recordings import binance, bitstamp, bybit, coinbase, kraken, kucoin, okx
from sim.recordings.items import Best, Item, Levels, Orders, Print, Snapshot, decimals

Reader = Callable[[Path], Iterator[Item]]
Namer = Callable[[str, Path], str]

READERS: tuple[tuple[str, Reader, Namer], ...] = (
    ("spot_*_2*.gz", binance.books, binance.name_of),
    ("usdm_*_2*.gz", binance.books, binance.name_of),
    ("cm_*_2*.gz", binance.books, binance.name_of),
    ("binance_spot_ws_*.txt.gz", binance.capture, binance.name_of),
    ("kraken_v1_*_ws_*.txt.gz", kraken.read, kraken.name_of),
    ("coinbase_exchange_level2_ws_*.txt.gz", coinbase.read, coinbase.name_of),
    ("l[23]_snapshot_*.json.gz", coinbase.snapshot, coinbase.name_of),
    ("okx_ws_*.txt.gz", okx.read, okx.name_of),
    ("kucoin_spot_ws_*.txt.gz", kucoin.read, kucoin.name_of),
    ("bybit_v2_inverse_ws_*.txt.gz", bybit.read, bybit.name_of),
    ("l3_*.log.xz", bitstamp.read, bitstamp.name_of),
)


@dataclass(slots=True)
class Market:
    """What one symbol of a recording needs: the desk's name for it, decimals, and what there is of it."""

    symbol: str
    name: str
    px_scale: int = 0
    qty_scale: int = 0
    items: int = 0
    updates: int = 0
    has_book: bool = False
    has_orders: bool = False


@dataclass(slots=True)
class Recording:
    """One file (with what stands beside it and belongs to it)."""

    path: Path
    reader: Reader
    namer: Namer
    whole: bool = False  # play what comes before the file itself (the file that it continues) at its pace, too
    _markets: dict[str, Market] = field(default_factory=dict)

    def items(self) -> Iterator[Item]:
        """Everything it says, in order."""
        return self.reader(self.path)

    def starts_ns(self) -> int:
        """Time of the first line of the file itself, where another file's items come before; else 0."""
        follows = self.path.name in binance.FOLLOWS and not self.whole
        return binance.starts_ns(self.path) if follows else 0

    def may_hold(self, names: Container[str]) -> bool:
        """False when the file's name alone tells that it has none of these markets."""
        if self.reader is not binance.books:
            return True
        return self.namer(binance.symbol_in(self.path), self.path) in names

    def markets(self) -> dict[str, Market]:
        """Its symbols, from one pass over the file."""
        if not self._markets:
            for item in self.items():
                known = self._markets.get(item.symbol)
                if known is None:
                    known = self._markets[item.symbol] = Market(item.symbol, self.namer(item.symbol, self.path))
                _measure(known, item)
        return self._markets


def _measure(market: Market, item: Item) -> None:
    market.items += 1
    pairs: list[tuple[str, str]] = []
    if isinstance(item, Snapshot):
        pairs = [*item.bids, *item.asks]
        market.has_book = True
        market.has_orders = market.has_orders or item.orders is not None
    elif isinstance(item, Levels):
        pairs = [(px, qty) for _, px, qty in item.changes]
        market.updates += 1
    elif isinstance(item, Orders):
        pairs = [(px, qty) for _, _, px, qty, _ in item.changes]
        market.updates += 1
    elif isinstance(item, Print):
        pairs = [(item.px, item.qty)]
    elif isinstance(item, Best):
        pairs = [item.bid, item.ask]
    for px, qty in pairs:
        market.px_scale = max(market.px_scale, decimals(px))
        market.qty_scale = max(market.qty_scale, decimals(qty))


def data_dir() -> Path:
    """Where recordings lie: QUARTERDECK_DATA, or ../shared/data beside the project."""
    root = Path(__file__).resolve().parent.parent.parent
    return Path(os.environ.get("QUARTERDECK_DATA") or root.parent / "shared" / "data")


def open_recording(path: Path) -> Recording:
    """The recording in a file. RecordingError when there is none, or its name tells no known format."""
    if not path.is_file():
        raise RecordingError(f"{path}: there is no such file")
    for pattern, reader, namer in READERS:
        if fnmatch.fnmatch(path.name, pattern):
            return Recording(path, reader, namer)
    known = ", ".join(pattern for pattern, _, _ in READERS)
    raise RecordingError(f"{path}: the name tells no known format; there are {known}")


def find_recordings(directory: Path) -> list[Recording]:
    """Every recording below a directory, in order of path; what is not one is left alone."""
    found = []
    for path in sorted(directory.rglob("*")):
        for pattern, reader, namer in READERS:
            if path.is_file() and fnmatch.fnmatch(path.name, pattern):
                found.append(Recording(path, reader, namer))
                break
    return found


__all__ = ["Market", "Recording", "data_dir", "find_recordings", "open_recording"]
