"""Refusals of the pre-trade checks: what each says (limit, scope, figure, at most what), and their counts. Pure."""

from collections import Counter
from collections.abc import Callable
from typing import Final

from base.decimals import format_scaled
from base.instruments import Instrument
from ipc.exposure import NOTIONAL_SCALE
from risk.exposure_sums import QTY_SCALE, unit_of
from risk.pretrade_plan import Plan, Rule

NO_BOOK: Final = "without_book"
WORTHLESS: Final = "unknown_contract"


class Refusals:
    """Each method counts a refusal and answers its text."""

    def __init__(self, value: Callable[[int], int]) -> None:
        """`value` reads a sum of exposure by its place."""
        self.counts: Counter[str] = Counter()  # by key of the limit
        self._value = value

    def no(self, rule: Rule, why: str, key: str = "") -> str:
        """`key`: what it counts as, where that is not the limit."""
        self.counts[key or rule.key] += 1
        return f"{rule}: {why}"

    def over(self, rule: Rule, figure: str, unit: str) -> str:
        """A figure that would pass its limit."""
        return self.no(rule, f"{figure}{unit and ' '}{unit} with this order, at most {rule.limit}")

    def too_big(self, rule: Rule, instrument: Instrument, qty: int) -> str:
        """One order's quantity."""
        return self.no(rule, f"order of {instrument.qty_text(qty)} {instrument.name}, at most {rule.limit}")

    def too_dear(self, rule: Rule, quote: str, worth: int) -> str:
        """One order's worth, at 6 decimals of `quote`."""
        return self.no(rule, f"order worth {format_scaled(worth, NOTIONAL_SCALE)} {quote}, at most {rule.limit}")

    def again(self, rule: Rule, age_ns: int) -> str:
        """A duplicate."""
        return self.no(rule, f"the same order left {age_ns // 1_000_000} ms ago, not again within {rule.limit}")

    def worthless(self, plan: Plan) -> str:
        """A contract of which nobody knows what it stands for."""
        self.counts[WORTHLESS] += 1
        return f"{plan.untold}: nothing says what a contract of {plan.instrument.name} is worth (contract_value)"

    def bookless(self, rule: Rule, instrument: str) -> str:
        """A price that has to be judged by a book that is not there."""
        return self.no(rule, f"no book of {instrument} is live to judge the price by", NO_BOOK)

    def full(self, plan: Plan, over: int, buys: bool, qty: int, worth: int, orders: int) -> str:
        """The text for a sum that would pass its limit, by its place among the plan's limits on sums."""
        index, _, rule = [*plan.count, *plan.gross, *plan.held][over]
        value = self._value
        if rule.key == "max_open_orders":
            return self.over(rule, str(value(index) + orders), "")
        if rule.key == "max_notional":
            return self.over(rule, format_scaled(value(index) + worth, NOTIONAL_SCALE), plan.quote)
        more = qty * unit_of(plan.instrument.contract, plan.instrument.qty_scale)
        after = value(index) + (value(index + 1) + more if buys else -value(index + 2) - more)
        return self.over(rule, format_scaled(after, QTY_SCALE), plan.instrument.name)
