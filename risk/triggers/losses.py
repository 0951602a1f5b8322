"""Losses and drawdown of a scope against their limits, out of the holdings of risk/triggers/pnl.py. Pure."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from base.errors import ConfigError
from base.kill_config import LimitConfig
from base.trigger_check import MONEY
from ipc.gate_names import check_scope
from risk.kill_plan import Owned, covers
from risk.triggers.pnl import ZERO, Holding, Mark
from risk.triggers.rules import rule_of
from risk.triggers.watch import Reading

BEST_LOOKS = 3  # 100 ms apart


class Peak(msgspec.Struct):
    """The best result of a day."""

    day: str = ""
    best: Decimal = ZERO


class Result(msgspec.Struct, frozen=True):
    """Profit (or loss, below 0) of a scope in one quote currency; `realised` has the fees taken off."""

    realised: Decimal = ZERO
    unrealised: Decimal = ZERO
    fees: Decimal = ZERO
    unmarked: tuple[str, ...] = ()  # instruments of which nothing says what they are worth
    marks: tuple[str, ...] = ()  # where the marks come from
    other_fees: tuple[str, ...] = ()
    unpriced: int = 0

    @property
    def total(self) -> Decimal:
        """Both."""
        return self.realised + self.unrealised

    def __str__(self) -> str:
        parts = [f"realised {self.realised:.2f} after fees {self.fees:.2f}", f"unrealised {self.unrealised:.2f}"]
        parts += [f"marks: {', '.join(self.marks)}"] if self.marks else []
        parts += [f"no mark for {', '.join(self.unmarked)}"] if self.unmarked else []
        parts += [f"fees not counted: {', '.join(self.other_fees)}"] if self.other_fees else []
        parts += [f"{self.unpriced} fills without a price"] if self.unpriced else []
        return "; ".join(parts)


class LossBook:
    """The loss figures of a desk."""

    def __init__(self, limits: Sequence[LimitConfig], peaks: Mapping[str, Peak] | None = None) -> None:
        """ConfigError, naming the limit, for a scope whose profit is not kept."""
        self.limits = [x for x in limits if any(getattr(x, key) for key in MONEY)]
        self.peaks = dict(peaks or {})
        self._last: dict[str, deque[Decimal]] = {}
        for i, limit in enumerate(limits):
            if limit in self.limits and check_scope(limit.scope).startswith("strategy:"):
                raise ConfigError(
                    f"kill.limits[{i}].scope: {limit.scope}: profit is not kept by strategy; limit its session"
                )

    def readings(self, holdings: Iterable[Holding], mark: Callable[[str, str], Mark | None], day: str) -> list[Reading]:
        """Each loss that has a limit, as it is now. `mark(venue, instrument)` is asked for what is held."""
        if not self.limits:
            return []
        held = [(h, mark(h.venue, h.instrument) if h.position else None) for h in holdings]
        out: list[Reading] = []
        for limit in self.limits:
            mine = [
                (h, m) for h, m in held if covers(limit.scope, Owned(h.venue, h.account, h.session, h.instrument, ""))
            ]
            quotes = dict.fromkeys(q for key in MONEY for q in getattr(limit, key))
            for quote in quotes:
                out += self._of(limit, quote, _result([(h, m) for h, m in mine if h.quote == quote]), day)
        return out

    def _of(self, limit: LimitConfig, quote: str, result: Result, day: str) -> list[Reading]:
        figures = (
            ("realised loss", limit.max_realised_loss, -result.realised),
            ("unrealised loss", limit.max_unrealised_loss, -result.unrealised),
            ("loss", limit.max_loss, -result.total),
        )
        out = [
            _reading(limit, kind, quote, max(value, ZERO), Decimal(table[quote]), str(result))
            for kind, table, value in figures
            if quote in table
        ]
        if quote in limit.max_drawdown:
            peak = self._peak(limit.scope, quote, result.total, day)
            detail = f"best {peak.best:.2f}, now {result.total:.2f}; {result}"
            most = Decimal(limit.max_drawdown[quote])
            out.append(_reading(limit, "drawdown", quote, max(peak.best - result.total, ZERO), most, detail))
        return out

    def _peak(self, scope: str, quote: str, total: Decimal, day: str) -> Peak:
        """The best that stood for some looks: one odd price would be missed for the rest of the day."""
        key = f"{scope}|{quote}"
        peak = self.peaks.get(key)
        if peak is None or peak.day != day:
            peak = self.peaks[key] = Peak(day)
            self._last.pop(key, None)
        last = self._last.setdefault(key, deque(maxlen=BEST_LOOKS))
        last.append(total)
        if len(last) == BEST_LOOKS:
            peak.best = max(peak.best, min(last))
        return peak


def _result(held: list[tuple[Holding, Mark | None]]) -> Result:
    realised = unrealised = fees = ZERO
    unmarked, marks, other = [], [], []
    unpriced = 0
    for holding, mark in held:
        if holding.untold:
            unmarked += [f"{holding.instrument} ({holding.untold})"] if holding.position or holding.fills else []
            continue
        realised += holding.realised - holding.fees
        fees += holding.fees
        unpriced += holding.unpriced
        other += [f"{amount:f} {currency}" for currency, amount in holding.other_fees.items()]
        if not holding.position:
            continue
        value = holding.unrealised(mark)
        if value is None:
            unmarked.append(holding.instrument)
        else:
            unrealised += value
            marks.append(f"{holding.instrument} {mark.source if mark is not None else 'last fill'}")
    return Result(
        realised, unrealised, fees, tuple(unmarked), tuple(dict.fromkeys(marks)), tuple(other), unpriced
    )  # fmt: skip


def _reading(limit: LimitConfig, kind: str, quote: str, value: Decimal, most: Decimal, detail: str) -> Reading:
    rule, trips = rule_of(limit, kind), limit.action == "trip"
    return Reading(limit.scope, f"{kind} in {quote}", quote, value, most, rule, trips, detail=detail)
