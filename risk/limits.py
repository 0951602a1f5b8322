"""Open orders, order rate, position and notional, over the exposure rows of all owners. Pure.

Each owner writes its own rows; here they are added up.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from base.errors import ConfigError
from base.instruments import ONE, Contract
from base.kill_config import LimitConfig
from base.trigger_check import check_amounts
from ipc.exposure import NOTIONAL_SCALE, UNOPENED, UNPRICED, ExposureRow
from ipc.gate_names import check_scope
from risk.kill_plan import Owned, Owner, covers
from risk.triggers.rules import rule_of
from risk.triggers.watch import Reading

SECOND_NS = 1_000_000_000


class OwnerFigures(msgspec.Struct, frozen=True):
    """What one owner's status page says."""

    rows: Sequence[ExposureRow]
    sent: int  # orders sent since its start
    started_ns: int = 0  # another start: the count begins anew


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
    """The limits of a desk that go by exposure rows."""

    def __init__(
        self, limits: Sequence[LimitConfig], owners: dict[str, Owner],
        contracts: Mapping[tuple[str, str], Contract | None] | None = None,
    ) -> None:  # fmt: skip
        """`contracts`: what a quantity stands for, by venue and instrument; spot where it is silent.

        ConfigError, naming the limit, for a scope that cannot be measured or an unreadable number."""
        # A strategy's orders are counted by the trading processes, which refuse what is over: nothing here trips.
        self._limits = [limit for limit in limits if not limit.scope.startswith("strategy:")]
        self._owners = owners
        self._contracts = contracts or {}
        self._rates = {s: _Rate() for s in owners}
        self._inside: dict[tuple[str, str, str], bool] = {}
        for i, limit in enumerate(limits):
            check_limit(limit, f"kill.limits[{i}]")

    def readings(self, figures: dict[str, OwnerFigures], mono_ns: int) -> list[Reading]:
        """Each figure that has a limit, as it is now."""
        rates = {s: self._rates[s].feed(f.sent, f.started_ns, mono_ns) for s, f in figures.items() if s in self._rates}
        out: list[Reading] = []
        for limit in self._limits:
            rows = [r for s, f in figures.items() for r in f.rows if self._in(limit.scope, s, r.instrument)]
            if limit.max_open_orders is not None:
                value = sum(r.open_orders for r in rows)
                out.append(_reading(limit, "open orders", "", Decimal(value), Decimal(limit.max_open_orders)))
            if limit.max_orders_per_s is not None:
                value = sum(n for s, n in rates.items() if self._in(limit.scope, s, ""))
                out.append(_reading(limit, "orders a second", "", Decimal(value), Decimal(limit.max_orders_per_s)))
            out += self._positions(limit, rows) + _notionals(limit, rows)
        return out

    def _in(self, scope: str, session: str, instrument: str) -> bool:
        """Found out once: it is asked for each row and limit, fifty times a second."""
        key = (scope, session, instrument)
        known = self._inside.get(key)
        if known is None:
            owner = self._owners.get(session)
            known = owner is not None and covers(scope, Owned(owner.venue, owner.account, session, instrument, ""))
            self._inside[key] = known
        return known

    def _positions(self, limit: LimitConfig, rows: list[ExposureRow]) -> list[Reading]:
        out: list[Reading] = []
        for instrument, most in limit.max_position.items():
            mine = [r for r in rows if r.instrument == instrument]
            held, unit, unknown = Decimal(0), instrument.partition("-")[0], _unknown(mine, UNOPENED)
            for r in mine:
                contract = self._contracts.get((r.venue, instrument), ONE)
                if contract is None:
                    unknown = unknown or f"unknown: nothing says what a contract of {instrument} is worth"
                    continue
                held += Decimal(r.position * contract.value).scaleb(-r.qty_scale - contract.scale)
                unit = quote_of(instrument) if contract.inverse else unit
            value = None if unknown else abs(held)
            out.append(_reading(limit, f"position in {instrument}", unit, value, Decimal(most), unknown))
        return out


def _reading(
    limit: LimitConfig, figure: str, unit: str, value: Decimal | None, most: Decimal, detail: str = ""
) -> Reading:
    kind = figure.partition(" in ")[0]
    rule, trips = rule_of(limit, kind), limit.action == "trip"
    return Reading(limit.scope, figure, unit, value, most, rule, trips, detail=detail)


def _notionals(limit: LimitConfig, rows: list[ExposureRow]) -> list[Reading]:
    """What is not known only adds: over the limit is over it all the same."""
    out: list[Reading] = []
    for quote, most in limit.max_notional.items():
        mine = [r for r in rows if quote_of(r.instrument) == quote]
        units = sum(r.buy_notional + r.sell_notional + r.position_notional for r in mine)
        value = Decimal(units).scaleb(-NOTIONAL_SCALE)
        unknown = _unknown(mine, UNOPENED | UNPRICED) if value <= Decimal(most) else ""
        out.append(_reading(limit, f"notional in {quote}", quote, None if unknown else value, Decimal(most), unknown))
    return out


def _unknown(rows: list[ExposureRow], flags: int) -> str:
    """Why a sum over these rows is not known, "" when it is."""
    unopened = [r.instrument for r in rows if r.flags & flags & UNOPENED]
    if unopened:
        return f"unknown: the venue has not said what was held of {', '.join(dict.fromkeys(unopened))}"
    unpriced = [r.instrument for r in rows if r.flags & flags & UNPRICED]
    return f"unknown: nothing says what {', '.join(dict.fromkeys(unpriced))} is worth" if unpriced else ""


def quote_of(instrument: str) -> str:
    """Quote currency of an instrument by its name, "" where it has none."""
    return instrument.split("-")[1] if "-" in instrument else ""


def check_limit(limit: LimitConfig, path: str) -> None:
    """ConfigError, naming the key, for a number that cannot be read and a figure that nobody counts."""
    kind = check_scope(limit.scope).partition(":")[0]
    if kind == "strategy" and (limit.max_position or limit.max_notional):
        key = "max_position" if limit.max_position else "max_notional"
        raise ConfigError(f"{path}.{key}: {limit.scope}: exposure rows are not kept by strategy; limit its session")
    paced = limit.max_open_orders is not None or limit.max_orders_per_s is not None
    if kind == "strategy" and limit.action == "warn" and paced:
        key = "max_open_orders" if limit.max_open_orders is not None else "max_orders_per_s"
        raise ConfigError(f"{path}.{key}: of a strategy it refuses orders or does nothing: action cannot be 'warn'")
    if kind == "instrument" and limit.max_orders_per_s is not None:
        raise ConfigError(f"{path}.max_orders_per_s: the rate is measured by session, not by instrument")
    check_amounts(limit.max_position, f"{path}.max_position")
    check_amounts(limit.max_notional, f"{path}.max_notional")
    for name, number in (("max_open_orders", limit.max_open_orders), ("max_orders_per_s", limit.max_orders_per_s)):
        if number is not None and number < 0:
            raise ConfigError(f"{path}.{name}: {number} is negative")
