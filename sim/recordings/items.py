"""What a recording says, whatever its format: one stream of items with numbers as decimal text.

A reader gives levels only after their snapshot, contiguous and in order; what contradicts the venue's own rules (ids,
checksums) is a RecordingError naming file and line.
"""

from dataclasses import dataclass

from base.errors import RecordingError

BID, OFFER = 0, 1
NEW, CHANGE, DELETE = 0, 1, 2

Level = tuple[str, str]  # price, size


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole book, best first. `orders` holds single orders (price, size, id) where the recording has them."""

    line: int
    time_ns: int
    symbol: str
    bids: list[Level]
    asks: list[Level]
    last_id: int = 0
    orders: tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]] | None = None


@dataclass(frozen=True, slots=True)
class Levels:
    """Absolute sizes of levels, "0" where one is gone; ids are the venue's own where it has them."""

    line: int
    time_ns: int
    symbol: str
    changes: list[tuple[int, str, str]]  # side, price, size
    first_id: int = 0
    last_id: int = 0


@dataclass(frozen=True, slots=True)
class Orders:
    """Changes of single orders: action, side, price, size left, id."""

    line: int
    time_ns: int
    symbol: str
    changes: list[tuple[int, int, str, str, str]]


@dataclass(frozen=True, slots=True)
class Print:
    """A trade; `side` is the taker's (BID: a buyer took)."""

    line: int
    time_ns: int
    symbol: str
    px: str
    qty: str
    side: int
    trade_id: str


@dataclass(frozen=True, slots=True)
class Best:
    """Best bid and offer as the venue said them."""

    line: int
    time_ns: int
    symbol: str
    bid: Level
    ask: Level
    last_id: int


Item = Snapshot | Levels | Orders | Print | Best


def scaled(text: str, scale: int, where: str) -> int:
    """Decimal text as an integer at `scale`; RecordingError naming `where` when it does not fit exactly."""
    whole, _, fraction = text.partition(".")
    if len(fraction) > scale:
        fraction = fraction.rstrip("0")
    digits = whole + fraction.ljust(scale, "0")
    if not whole or len(fraction) > scale or not digits.isdigit() or len(digits.lstrip("0")) > 18:
        raise RecordingError(f"{where}: {text!r} is no number that fits {scale} decimals")
    return int(digits)


def decimals(text: str) -> int:
    """Decimals that a number needs."""
    return len(text.partition(".")[2].rstrip("0"))
