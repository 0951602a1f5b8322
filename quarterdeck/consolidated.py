"""One book of an instrument over several venues, at a common scale, exact. A crossed one is information, not an error.

A venue whose book is not LIVE is left out and named, with the reason. Each venue's part is of one version of its book;
the parts are read one after the other, and `ages_ns` tells how old each is.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

import msgspec

from base.decimals import to_scaled
from base.errors import BookBusyError, ConfigError, NumberError, RegionError, StaleBookError
from base.instruments import Contract, Instrument
from quarterdeck.books import Book, BookImage

BPS: Final = 4  # decimals of a hundredth of a percent
Opener = Callable[[str, str], Book]
Side = dict[int, dict[str, int]]  # price: venue: quantity


class MergedLevel(NamedTuple):
    """A price, what all venues have there, and what each of them has, in the order in which they were named."""

    px: int
    qty: int
    venues: tuple[tuple[str, int], ...]


class ConsolidatedImage(msgspec.Struct, frozen=True):
    """The merged book at one moment, best first. Prices at `px_scale`, of a net image after fees; quantities at
    `qty_scale`.
    """

    instrument: str
    px_scale: int
    qty_scale: int
    net: bool
    bids: tuple[MergedLevel, ...]
    asks: tuple[MergedLevel, ...]
    ages_ns: dict[str, int]  # of each venue that counts: since its last message was read here
    left_out: dict[str, str]  # venues whose book is not LIVE now, each with the reason

    @property
    def crossed(self) -> bool:
        """The best bid of one venue is at or above the best offer of another."""
        return bool(self.bids and self.asks) and self.bids[0].px >= self.asks[0].px

    @property
    def spread(self) -> int | None:
        """Best offer less best bid at `px_scale`, negative when crossed; None where a side is empty."""
        return self.asks[0].px - self.bids[0].px if self.bids and self.asks else None


class Consolidated:
    """Reads the books of several venues as one. Made by Desk.consolidated."""

    def __init__(
        self,
        instrument: str,
        instruments: Sequence[Instrument],
        open_book: Opener,
        fees_bps: Mapping[str, str | Decimal | int],
    ) -> None:
        if not instruments:
            raise ConfigError(f"consolidated: no venue of this desk has {instrument}")
        self.instrument = instrument
        self.venues = tuple(i.venue for i in instruments)
        self.px_scale = max(i.px_scale for i in instruments)
        self.qty_scale = max(i.qty_scale for i in instruments)
        self._instruments = instruments
        self._open_book = open_book
        self._books: dict[str, Book] = {}
        self._fees, self._fee_scale = _fees(fees_bps, self.venues)
        _check_same_quantities(instruments)
        for venue in self.venues:
            try:
                self._book(venue)
            except RegionError:
                continue  # its book process has not started yet: left out until it has

    @property
    def net_scale(self) -> int:
        """Scale of net prices."""
        return self.px_scale + BPS + self._fee_scale

    def bbo(self, *, net: bool = False) -> ConsolidatedImage:
        """Best bid and offer over all venues: an image of one level."""
        return self.image(1, net=net)

    def image(self, levels: int = 10, *, net: bool = False) -> ConsolidatedImage:
        """The best `levels` of each side (0: all of them). `net`: prices after each venue's fee, what a taker gets or
        pays.
        """
        bids: Side = {}
        asks: Side = {}
        ages: dict[str, int] = {}
        left_out: dict[str, str] = {}
        for inst in self._instruments:
            try:
                image = self._book(inst.venue).image(levels)
            except StaleBookError as e:
                left_out[inst.venue] = f"{e.state} ({e.reason})" if e.reason else e.state
            except BookBusyError:
                left_out[inst.venue] = "BUSY"
            except RegionError as e:
                self._books.pop(inst.venue, None)
                left_out[inst.venue] = str(e)
            else:
                ages[inst.venue] = time.time_ns() - image.recv_ns
                self._merge(inst, image, bids, asks, net=net)
        return ConsolidatedImage(
            self.instrument, self.net_scale if net else self.px_scale, self.qty_scale, net,
            _levels(bids, levels, best_first=True), _levels(asks, levels, best_first=False), ages, left_out,
        )  # fmt: skip

    def _book(self, venue: str) -> Book:
        if venue not in self._books:
            self._books[venue] = self._open_book(venue, self.instrument)
        return self._books[venue]

    def _merge(self, inst: Instrument, image: BookImage, bids: Side, asks: Side, *, net: bool) -> None:
        px_factor, qty_factor = 10 ** (self.px_scale - image.px_scale), 10 ** (self.qty_scale - image.qty_scale)
        one, fee = 10 ** (BPS + self._fee_scale), self._fees.get(inst.venue, 0)
        for side, levels, kept in ((bids, image.bids, one - fee), (asks, image.asks, one + fee)):
            factor = px_factor * kept if net else px_factor
            for level in levels:
                there = side.setdefault(level.px * factor, {})
                there[inst.venue] = level.qty * qty_factor


def _levels(side: Side, levels: int, *, best_first: bool) -> tuple[MergedLevel, ...]:
    prices = sorted(side, reverse=best_first)
    return tuple(
        MergedLevel(px, sum(side[px].values()), tuple(side[px].items())) for px in prices[: levels or len(prices)]
    )


def _fees(given: Mapping[str, str | Decimal | int], venues: Sequence[str]) -> tuple[dict[str, int], int]:
    """Fees as integers at the finest of their scales, and that scale."""
    for venue, fee in given.items():
        if venue not in venues:
            raise ConfigError(f"fees_bps: {venue!r} is none of the venues {', '.join(venues)}")
        if isinstance(fee, float):
            raise NumberError(f"fees_bps[{venue!r}]: {fee!r} is a float, which is not exact; give text or a Decimal")
    decimals = [-int(Decimal(fee).normalize().as_tuple().exponent) for fee in given.values()]
    scale = max([0, *decimals])
    return {venue: to_scaled(fee, scale) for venue, fee in given.items()}, scale


def _check_same_quantities(instruments: Sequence[Instrument]) -> None:
    """Quantities add up only where a contract of one venue is of as much as one of another."""
    first = instruments[0]
    for other in instruments[1:]:
        if _worth(other.contract) is None or _worth(other.contract) != _worth(first.contract):
            raise ConfigError(
                f"consolidated: a quantity of {first.name} does not mean the same at {first.venue} and {other.venue} "
                "(contract_value, inverse)"
            )


def _worth(contract: Contract | None) -> tuple[Fraction, bool] | None:
    return None if contract is None else (Fraction(contract.value, 10**contract.scale), contract.inverse)
