"""What the triggers keep for the kill switch's next life. Pure."""

import msgspec

from base.errors import CorruptError
from risk.triggers.drop_copy import Mismatch
from risk.triggers.losses import Peak
from risk.triggers.pnl import Holding, Place
from risk.triggers.self_trades import SelfTrade
from risk.triggers.watch import Kept

SCHEMA = 1


class Figures(msgspec.Struct):
    """Holdings with the place in each journal up to which they count, peaks and counts of the day, standings."""

    schema: int = SCHEMA
    holdings: list[Holding] = []
    places: dict[str, Place] = {}
    peaks: dict[str, Peak] = {}
    self_trades: list[SelfTrade] = []
    mismatches: list[Mismatch] = []
    standing: dict[str, Kept] = {}


def encode(figures: Figures) -> bytes:
    """One line of JSON."""
    return msgspec.json.encode(figures)


def decode(data: bytes | None) -> Figures:
    """Read it back; None: nothing was kept. CorruptError says what cannot be read."""
    if data is None:
        return Figures()
    try:
        found = msgspec.json.decode(data, type=Figures)
    except msgspec.DecodeError as e:
        raise CorruptError(f"the kept figures cannot be read: {e}") from None
    if found.schema != SCHEMA:
        raise CorruptError(f"the kept figures are of schema {found.schema}; this is {SCHEMA}")
    return found
