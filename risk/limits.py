"""Limits on open orders, order rate, position and notional, over the exposure rows of all owners. Pure.

Each owner writes its own rows; here they are added up. Warnings at 50, 75 and 90 % of a limit, once each until the
figure falls below half of that mark.
"""

from collections import deque
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

import msgspec

from base.errors import ConfigError
from base.kill_config import LimitConfig
from ipc.exposure import NOTIONAL_SCALE, ExposureRow
from ipc.gate import check_scope
from risk.kill_plan import Owned, Owner, covers

SECOND_NS = 1_000_000_000
WARN_AT = (50, 75, 90)  # percent


class OwnerFigures(msgspec.Struct, frozen=True):
    """What one owner's status page says."""

    rows: Sequence[ExposureRow]
    sent: int  # orders sent since its start
    started_ns: int = 0  # another start: the count begins anew


class Verdict(msgspec.Struct, frozen=True):
    """A figure against its limit: `trips`, or a warning at `percent`."""

    scope: str
    figure: str
    value: str
    limit: str
    percent: int
    trips: bool

    def __str__(self) -> str:
        mark = "over" if self.trips else f"{self.percent} % of"
        return f"{self.figure} {self.value} of {self.scope}: {mark} {self.limit}"


class _Rate:
    """Orders within the last second, per owner."""

    def __init__(self) -> None:
        self._samples: deque[tuple[int, int]] = deque()
        self._started_ns = 0
        self._base = 0

    def feed(self, sent: int, started_ns: int, mono_ns: int) -> int:
        if started_ns != self._started_ns or (self._samples and sent < self._samples[-1][1]):
            self._samples.clear()
            # What a restarted owner sent before the first look counts as sent now, unless this is our own first look.
            self._base = 0 if self._started_ns else sent
            self._samples.append((mono_ns, self._base))
            self._started_ns = started_ns
        self._samples.append((mono_ns, sent))
        while len(self._samples) > 1 and self._samples[1][0] <= mono_ns - SECOND_NS:
            self._samples.popleft()
        return sent - self._samples[0][1]


class LimitBook:
    """All configured limits of a desk."""

    def __init__(self, limits: Sequence[LimitConfig], owners: dict[str, Owner]) -> None:
        """ConfigError, naming the limit, for a scope that cannot be measured or an unreadable number."""
        self._limits, self._owners = list(limits), owners
        self._rates = {s: _Rate() for s in owners}
        self._warned: dict[tuple[int, str], int] = {}
        for i, limit in enumerate(self._limits):
            _check(limit, f"kill.limits[{i}]")

    def check(self, figures: dict[str, OwnerFigures], mono_ns: int) -> list[Verdict]:
        """Limits passed (every time) and warnings (once each)."""
        rates = {s: self._rates[s].feed(f.sent, f.started_ns, mono_ns) for s, f in figures.items() if s in self._rates}
        out: list[Verdict] = []
        for i, limit in enumerate(self._limits):
            rows = [r for s, f in figures.items() for r in f.rows if self._in(limit.scope, s, r.instrument)]
            if limit.max_open_orders is not None:
                value = sum(r.open_orders for r in rows)
                out += self._judge(i, limit, "open orders", Decimal(value), Decimal(limit.max_open_orders))
            if limit.max_orders_per_s is not None:
                value = sum(n for s, n in rates.items() if self._in(limit.scope, s, ""))
                out += self._judge(i, limit, "orders a second", Decimal(value), Decimal(limit.max_orders_per_s))
            out += self._positions(i, limit, rows) + self._notionals(i, limit, rows)
        return out

    def _in(self, scope: str, session: str, instrument: str) -> bool:
        owner = self._owners.get(session)
        return owner is not None and covers(scope, Owned(owner.venue, owner.account, session, instrument, ""))

    def _positions(self, i: int, limit: LimitConfig, rows: list[ExposureRow]) -> list[Verdict]:
        out: list[Verdict] = []
        for instrument, most in limit.max_position.items():
            mine = [r for r in rows if r.instrument == instrument]
            value = sum((Decimal(r.position).scaleb(-r.qty_scale) for r in mine), Decimal(0))
            out += self._judge(i, limit, f"position in {instrument}", abs(value), Decimal(most))
        return out

    def _notionals(self, i: int, limit: LimitConfig, rows: list[ExposureRow]) -> list[Verdict]:
        out: list[Verdict] = []
        for quote, most in limit.max_notional.items():
            mine = [r for r in rows if _quote(r.instrument) == quote]
            units = sum(r.buy_notional + r.sell_notional + r.position_notional for r in mine)
            out += self._judge(i, limit, f"notional in {quote}", Decimal(units).scaleb(-NOTIONAL_SCALE), Decimal(most))
        return out

    def _judge(self, i: int, limit: LimitConfig, figure: str, value: Decimal, most: Decimal) -> list[Verdict]:
        key = (i, figure)
        if value > most:
            self._warned[key] = 100
            return [Verdict(limit.scope, figure, f"{value:f}", f"{most:f}", 100, True)]
        percent = int(value * 100 / most) if most else 0
        reached = max((w for w in WARN_AT if percent >= w), default=0)
        warned = self._warned.get(key, 0)
        if reached > warned:
            self._warned[key] = reached
            return [Verdict(limit.scope, figure, f"{value:f}", f"{most:f}", reached, False)]
        if percent * 2 < warned:
            self._warned[key] = reached
        return []


def _quote(instrument: str) -> str:
    return instrument.split("-")[1] if "-" in instrument else ""


def _check(limit: LimitConfig, path: str) -> None:
    kind = check_scope(limit.scope).partition(":")[0]
    if kind == "strategy":
        raise ConfigError(f"{path}.scope: {limit.scope}: exposure rows are not kept by strategy; limit its session")
    if kind == "instrument" and limit.max_orders_per_s is not None:
        raise ConfigError(f"{path}.max_orders_per_s: the rate is measured by session, not by instrument")
    for name, table in (("max_position", limit.max_position), ("max_notional", limit.max_notional)):
        for key, text in table.items():
            try:
                value = Decimal(text)
            except InvalidOperation:
                raise ConfigError(f"{path}.{name}.{key}: not a decimal number: {text!r}") from None
            if not value.is_finite() or value < 0:
                raise ConfigError(f"{path}.{name}.{key}: {text} is not a limit; expected a number from 0 up")
    for name, number in (("max_open_orders", limit.max_open_orders), ("max_orders_per_s", limit.max_orders_per_s)):
        if number is not None and number < 0:
            raise ConfigError(f"{path}.{name}: {number} is negative")
