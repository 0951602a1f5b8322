"""Holding the configuration against what a venue says of its instruments."""

from collections.abc import Callable
from typing import NamedTuple

from base.errors import NumberError
from base.instruments import Instrument
from ipc.events import InstrumentDefinition
from venues.fix_dialect import Reference


class Confirmed(NamedTuple):
    """The definition to publish.

    `halted` says why the instrument cannot be dealt in, `differs` what is not as configured.
    """

    definition: InstrumentDefinition
    halted: str
    differs: str


def as_configured(instrument: Instrument, status: str) -> InstrumentDefinition:
    """The definition while the venue has said nothing (or nothing usable)."""
    return InstrumentDefinition(
        venue=instrument.venue,
        instrument=instrument.name,
        venue_symbol=instrument.symbol,
        px_scale=instrument.px_scale,
        qty_scale=instrument.qty_scale,
        tick_size=instrument.tick_size,
        lot_size=instrument.lot_size,
        min_qty=instrument.min_qty,
        max_qty=instrument.max_qty,
        min_notional=instrument.min_notional,
        status=status,
        confirmed=False,
    )


def confirm(instrument: Instrument, said: Reference) -> Confirmed:
    """What the venue said, at the configured scales. A precision finer than a scale halts the instrument."""
    try:
        return _confirm(instrument, said)
    except NumberError as e:
        return Confirmed(as_configured(instrument, "HALTED"), f"{instrument.name}: {e}", "")


def _confirm(instrument: Instrument, said: Reference) -> Confirmed:
    for what, digits, scale in (
        ("px_scale", said.px_digits, instrument.px_scale),
        ("qty_scale", said.qty_digits, instrument.qty_scale),
    ):
        if digits > scale:
            raise NumberError(f"{what} is {scale}, the venue uses {digits} decimals")
    differences: list[str] = []

    def settle(what: str, mine: int, text: str, unset: int, read: Callable[[str], int]) -> int:
        theirs = read(text) if text else mine
        if mine not in (theirs, unset):
            differences.append(f"{what} is {mine} units of the scale, the venue says {text}")
        return theirs

    definition = InstrumentDefinition(
        venue=instrument.venue,
        instrument=instrument.name,
        venue_symbol=instrument.symbol,
        px_scale=instrument.px_scale,
        qty_scale=instrument.qty_scale,
        tick_size=settle("tick_size", instrument.tick_size, said.tick_size, 1, instrument.px),
        lot_size=settle("lot_size", instrument.lot_size, said.lot_size, 1, instrument.qty),
        min_qty=settle("min_qty", instrument.min_qty, said.min_qty, 0, instrument.qty),
        max_qty=settle("max_qty", instrument.max_qty, said.max_qty, 0, instrument.qty),
        min_notional=said.min_notional or instrument.min_notional,
        status=said.status,
        confirmed=not differences,
    )
    return Confirmed(definition, "", "; ".join(differences))
