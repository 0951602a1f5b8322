"""[[kill.limits]] made ready for judging one session's orders: of each key what applies, at the scales of the figures.

Of limits on the order alone the tightest counts; limits on sums are kept one by one, each with the sums of its scope.
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_FLOOR, Decimal, localcontext
from typing import Final

import msgspec

from base.errors import ConfigError
from base.instruments import ONE, Instrument
from base.kill_config import LimitConfig
from base.trigger_check import DIGITS, amount
from ipc._words import RowLimits
from ipc.exposure import NOTIONAL_SCALE
from risk.exposure import ExposureBook, Figures
from risk.exposure_sums import QTY_SCALE, Account, ExposureSums, unit_of
from risk.kill_plan import Owned, covers
from risk.limits import check_limit, quote_of
from risk.order_pace import OtherPace, OwnPace

BY_INSTRUMENT: Final = ("max_order_qty", "price_collar_pct", "max_position")
BY_QUOTE: Final = ("max_order_notional", "max_notional")
MS: Final = 1_000_000


class Rule(msgspec.Struct, frozen=True):
    """Which limit it is: its key, scope and value as they were written; the other sessions whose rows it adds up."""

    key: str
    scope: str
    limit: str
    others: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.key} of {self.scope}"


class Collar(msgspec.Struct, frozen=True):
    """Prices times `unit` are within best * `below` and best * `above`."""

    above: int
    below: int
    unit: int


class Plan(msgspec.Struct):
    """All that applies to orders in one instrument of one strategy. Limits are integers, scaled as their figures."""

    instrument: Instrument
    quote: str
    figures: Figures  # of the instrument, as they are at any time
    untold: str = ""  # the limit that cannot be judged because nobody knows what a contract is worth
    qty: tuple[int, Rule] | None = None  # at qty_scale
    worth: tuple[int, Rule] | None = None  # at NOTIONAL_SCALE
    collar: tuple[Collar, Rule] | None = None
    window: tuple[int, Rule] | None = None  # ns
    pace: list[tuple[OwnPace, list[OtherPace], int, Rule]] = []
    count: list[tuple[int, int, Rule]] = []  # these three: index of a sum, limit
    gross: list[tuple[int, int, Rule]] = []  # at NOTIONAL_SCALE
    held: list[tuple[int, int, Rule]] = []  # at QTY_SCALE
    collar_needs_book: bool = False
    worth_needs_book: bool = False
    sums: RowLimits | None = None  # the three together
    worth_unit: int = 0  # from price times quantity to NOTIONAL_SCALE, by division; 0: not so simply

    @property
    def is_empty(self) -> bool:
        """Nothing applies."""
        one = (self.qty, self.worth, self.collar, self.window)
        return not any(one) and not (self.pace or self.count or self.gross or self.held)


class Ours(msgspec.Struct, frozen=True):
    """The session whose orders are judged."""

    session: str
    venue: str
    account: str


class Planner:
    """Makes plans; raises ConfigError, naming the limit, for what cannot be read or counted."""

    def __init__(
        self,
        limits: Sequence[LimitConfig],
        ours: Ours,
        sessions: Mapping[str, Account],
        sums: ExposureSums,
        paces: Mapping[str, OtherPace],
        own_paces: dict[str, OwnPace],
        exposure: ExposureBook,
    ) -> None:
        """`sessions`: every trading session of the desk, ours among them; `paces`: those of the others.

        `own_paces` takes in one for all orders of ours, "", and one for each strategy with limits.
        """
        self._ours = ours
        self._sessions = sessions
        self._sums, self._paces, self._own_paces, self._exposure = sums, paces, own_paces, exposure
        self._limits = list(limits)
        for i, limit in enumerate(self._limits):
            check_order_limits(limit, f"kill.limits[{i}]")
        self.strategies = {name for kind, name in map(_scope, self._limits) if kind == "strategy"}
        self.of_strategy = {name: sums.sums.add() for name in self.strategies}  # open orders
        own_paces.update({name: OwnPace() for name in ("", *self.strategies)})
        self.window_ns = max((limit.duplicate_window_ms or 0 for limit in self._limits), default=0) * MS
        for limit in self._limits:
            self._ask_for_sums(limit)

    def plan(self, instrument: Instrument, strategy: str) -> Plan:
        """What applies to the instrument's orders; `strategy` is one that has limits of its own, or ""."""
        scales = (instrument.px_scale, instrument.qty_scale)
        plan = Plan(instrument, quote_of(instrument.name), self._exposure.of(instrument.name, *scales))
        digits = sum(scales) - NOTIONAL_SCALE
        plan.worth_unit = 10**digits if digits >= 0 and instrument.contract == ONE else 0
        ours = self._ours
        of = Owned(ours.venue, ours.account, ours.session, instrument.name, strategy)
        for limit in self._limits:
            if covers(limit.scope, of):
                self._order_alone(plan, limit)
                if limit.action == "trip":  # what is only to be told of stops no order
                    self._sums_too(plan, limit)
        plan.sums = RowLimits(
            self._sums.sums,
            unit_of(instrument.contract, instrument.qty_scale),
            *([(index, most) for index, most, _ in rules] for rules in (plan.count, plan.gross, plan.held)),
        )
        if instrument.contract is None:
            on_worth = [plan.worth[1]] if plan.worth is not None else []
            rules = [*on_worth, *(rule for _, _, rule in (*plan.gross, *plan.held))]
            plan.untold = str(rules[0]) if rules else ""
        return plan

    def _order_alone(self, plan: Plan, limit: LimitConfig) -> None:
        name = plan.instrument.name
        if text := limit.max_order_qty.get(name):
            plan.qty = _tighter(plan.qty, _scaled(text, plan.instrument.qty_scale), limit, "max_order_qty", text)
        if text := limit.max_order_notional.get(plan.quote):
            plan.worth = _tighter(plan.worth, _scaled(text, NOTIONAL_SCALE), limit, "max_order_notional", text)
            plan.worth_needs_book = plan.worth_needs_book or limit.without_book == "refuse"
        if text := limit.price_collar_pct.get(name):
            collar = _collar(text)
            if plan.collar is None or collar.above * plan.collar[0].unit < plan.collar[0].above * collar.unit:
                plan.collar = collar, Rule("price_collar_pct", limit.scope, text)
            plan.collar_needs_book = plan.collar_needs_book or limit.without_book == "refuse"
        window_ns = (limit.duplicate_window_ms or 0) * MS
        if window_ns > (plan.window[0] if plan.window else 0):
            plan.window = window_ns, Rule("duplicate_window_ms", limit.scope, str(limit.duplicate_window_ms))

    def _sums_too(self, plan: Plan, limit: LimitConfig) -> None:
        kind, name = _scope(limit)
        own = kind == "strategy"
        others = frozenset[str]() if own else self._others(limit.scope, plan.instrument.name)

        def rule(key: str, text: object) -> Rule:
            return Rule(key, limit.scope, str(text), others)

        if limit.max_orders_per_s is not None:
            most = limit.max_orders_per_s
            paces = [self._paces[session] for session in others]
            plan.pace.append((self._own_paces[name if own else ""], paces, most, rule("max_orders_per_s", most)))
        if limit.max_open_orders is not None:
            count = self.of_strategy[name] if own else self._sums.count(limit.scope)
            plan.count.append((count, limit.max_open_orders, rule("max_open_orders", limit.max_open_orders)))
        if text := limit.max_notional.get(plan.quote):
            most = _scaled(text, NOTIONAL_SCALE)
            plan.gross.append((self._sums.gross(limit.scope, plan.quote), most, rule("max_notional", text)))
            plan.worth_needs_book = plan.worth_needs_book or limit.without_book == "refuse"
        if text := limit.max_position.get(plan.instrument.name):
            most = _scaled(text, QTY_SCALE)
            held = self._sums.held(limit.scope, plan.instrument.name)
            plan.held.append((held, most, rule("max_position", text)))

    def _ask_for_sums(self, limit: LimitConfig) -> None:
        if limit.scope.startswith("strategy:"):
            return
        if limit.max_open_orders is not None:
            self._sums.count(limit.scope)
        for quote in limit.max_notional:
            self._sums.gross(limit.scope, quote)
        for instrument in limit.max_position:
            self._sums.held(limit.scope, instrument)

    def _others(self, scope: str, instrument: str) -> frozenset[str]:
        return frozenset(
            name
            for name, at in self._sessions.items()
            if name != self._ours.session
            and covers(scope, Owned(at.venue, at.account, name, instrument, ""))
            and (instrument in at.instruments or not scope.startswith("instrument:"))
        )


def check_order_limits(limit: LimitConfig, path: str) -> None:
    """ConfigError, naming the key, for a number that cannot be read and a figure that nobody counts."""
    check_limit(limit, path)
    for key in (*BY_INSTRUMENT, *BY_QUOTE):
        table: dict[str, str] = getattr(limit, key)
        for name, text in table.items():
            value = amount(text, f"{path}.{key}.{name}")
            if key == "price_collar_pct" and not value:
                raise ConfigError(f"{path}.{key}.{name}: 0 leaves hardly a price to any order; expected more than 0")
    if limit.duplicate_window_ms is not None and limit.duplicate_window_ms < 1:
        raise ConfigError(f"{path}.duplicate_window_ms: {limit.duplicate_window_ms} is below 1")


def _scope(limit: LimitConfig) -> tuple[str, str]:
    kind, _, name = limit.scope.partition(":")
    return kind, name


def _scaled(text: str, scale: int) -> int:
    """Whole units of the scale within the limit: a figure of that scale passes it exactly when it is above this."""
    with localcontext(prec=10 * DIGITS):
        return int(Decimal(text).scaleb(scale).to_integral_value(ROUND_FLOOR))


def _collar(text: str) -> Collar:
    pct = Decimal(text)
    digits = max(0, -int(pct.as_tuple().exponent))
    unit = 100 * 10**digits
    with localcontext(prec=10 * DIGITS):
        part = int(pct.scaleb(digits))
    return Collar(unit + part, max(unit - part, 0), unit)


def _tighter(known: tuple[int, Rule] | None, value: int, limit: LimitConfig, key: str, text: str) -> tuple[int, Rule]:
    if known is not None and known[0] <= value:
        return known
    return value, Rule(key, limit.scope, text)
