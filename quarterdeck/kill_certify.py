"""`qd kill certify VENUE`: a probe of what the kill switch's own mass cancel reaches, begun and watched from here."""

import sys
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from base.config import DeskConfig
from base.decimals import from_scaled
from base.errors import CommandError
from base.instruments import Instrument
from ipc.book_eyes import BookEyes

POLL_S = 0.2
AWAY_PCT = 50  # below the best bid, where nobody gives a price
Ask = Callable[[str, Mapping[str, str]], dict[str, Any]]


class Request:
    """What a person asked for; the missing parts come from the configuration and the books."""

    def __init__(
        self, desk: DeskConfig, venue: str, instruments: list[str], qtys: list[str], prices: list[str]
    ) -> None:
        """CommandError when it does not fit together, or a price is needed and no book gives one."""
        if venue not in desk.config.venue:
            raise CommandError(f"no venue {venue!r}; there are {', '.join(desk.config.venue)}")
        known = {i.name: i for i in desk.venue_instruments(venue)}
        names = instruments or list(known)[:2]
        for name in names:
            if name not in known:
                raise CommandError(f"--instrument: {venue} has no {name!r}; it has {', '.join(known)}")
        for option, values in (("--qty", qtys), ("--price", prices)):
            if values and len(values) != len(names):
                raise CommandError(f"{option}: {len(values)} given for {len(names)} instruments ({', '.join(names)})")
        self.desk, self.venue = desk, venue
        self.instruments = [known[n] for n in names]
        self.prices = prices or [_far_price(desk, venue, i) for i in self.instruments]
        self.qtys = qtys or [_least_qty(i, p) for i, p in zip(self.instruments, self.prices, strict=True)]

    def lines(self) -> list[str]:
        """What will be placed, for people."""
        parts = zip(self.instruments, self.qtys, self.prices, strict=True)
        return [f"buy {qty} {i.name} at {price}, on each trading session" for i, qty, price in parts]

    def args(self, path: str, others: bool, confirm: str) -> dict[str, str]:
        """As the kill switch takes it."""
        return {
            "venue": self.venue, "instruments": " ".join(i.name for i in self.instruments),
            "qtys": " ".join(self.qtys), "prices": " ".join(self.prices), "path": path,
            "others": "yes" if others else "", "confirm": confirm,
        }  # fmt: skip


def confirmed(desk: DeskConfig, venue: str, production: bool, typed: Callable[[], str]) -> str:
    """The venue's name as a person typed it, where that is needed. CommandError when the probe must not go on."""
    if desk.config.desk.environment != "production":
        return ""
    if not production:
        raise CommandError("this places real orders on a production desk: say so with --production")
    sys.stderr.write(f"Real orders will be placed at {venue}, and a mass cancel sent. Type {venue} to go on: ")
    sys.stderr.flush()
    said = typed().strip()
    if said != venue:
        raise CommandError(f"{said!r} is not {venue!r}: nothing was sent")
    return said


def watch(ask: Ask, tell: Callable[[str], object]) -> dict[str, Any]:
    """Follow the probe to its end; what the kill switch says of it last."""
    told = 0
    while True:
        found = ask("certified", {})
        for line in found["said"][told:]:
            tell(line)
        told = len(found["said"])
        if found["over"]:
            return found
        time.sleep(POLL_S)


def summary(found: Mapping[str, Any]) -> str:
    """The end in words."""
    finding = found["finding"]
    if finding is None:
        return f"{found['venue']}: not certified: {found['why']}"
    lines = [f"{found['venue']}: {finding['says']} on {finding['path']}: {found['words']}"]
    lines += [f"  ended: {name}" for name in finding["ended"]]
    lines += [f"  left working, then cancelled by itself: {name}" for name in finding["left"]]
    lines += [f"  answered: {text}" for text in finding["answers"]]
    lines.append(f"  answered with nothing open: {finding['when_empty']}")
    lines.append(f"  last end {finding['took_ms']} ms after the request; kept in {found['kept']}")
    return "\n".join(lines)


def _far_price(desk: DeskConfig, venue: str, instrument: Instrument) -> str:
    """Half of the best bid, at the instrument's tick."""
    view = BookEyes(desk).look(venue, instrument.name, time.monotonic_ns())
    if view.bid is None:
        why = f"{view.state} {view.reason}".strip()
        raise CommandError(f"--price is needed for {instrument.name}: its book gives none: {why}")
    tick = max(instrument.tick_size, 1)
    px = int(view.bid * (100 - AWAY_PCT) / 100 * 10**instrument.px_scale) // tick * tick
    if px <= 0:
        raise CommandError(f"--price is needed for {instrument.name}: half of its best bid is less than a tick")
    return f"{from_scaled(px, instrument.px_scale).normalize():f}"


def _least_qty(instrument: Instrument, price: str) -> str:
    """The least that the venue takes at that price: minimum quantity and notional, in whole lots."""
    lot = max(instrument.lot_size, 1)
    qty = max(instrument.min_qty, lot)
    if instrument.min_notional:
        wanted = Decimal(instrument.min_notional) / Decimal(price)
        qty = max(qty, int(wanted * 10**instrument.qty_scale) + 1)
    qty = -(-qty // lot) * lot
    return f"{from_scaled(qty, instrument.qty_scale).normalize():f}"
