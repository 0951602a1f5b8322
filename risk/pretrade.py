"""Pre-trade checks: whether an order may leave, judged with the order counted in. Pure; docs/pretrade.md has the rules.

A refusal trips nothing: it names the limit, its scope, the figure with the order and the limit, and is counted.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from base.decimals import format_scaled
from base.errors import NumberError
from base.instruments import ONE, Instrument
from base.kill_config import LimitConfig
from ipc._words import RowShare
from ipc.exposure import notional
from ipc.requests import NewOrder
from risk.by_value import CASH, cash_of, lowest_px, too_little
from risk.exposure import ExposureBook, share_of
from risk.exposure_sums import Account, ExposureSums
from risk.order import AT_STOP_PX, PRICED, STOP_LIMIT, TRIGGERED, Order
from risk.order_pace import OtherPace, OwnPace, Recent, Terms
from risk.pretrade_plan import Collar, Ours, Plan, Planner, Rule
from risk.refusals import Refusals

BUY: Final = "1"
UNKNOWN: Final = "unknown_exposure"
UNHELD: Final = "unknown_position"
BY_VALUE: Final = "too_little_quantity"

Top = tuple[int, int, int, int]
"""Bid price and quantity, offer price and quantity; quantity 0 where a side is empty."""


class Outside(Protocol):
    """What a process can see of others, in shared memory."""

    @property
    def unknown(self) -> Mapping[str, str]:
        """Sessions whose exposure is not known, with the reason."""
        ...

    @property
    def unheld(self) -> Mapping[str, str]:
        """Sessions, ours among them, of which only what they hold is not known, with the reason."""
        ...

    @property
    def unpriced(self) -> Mapping[str, str]:
        """Sessions, ours among them, of which only what is at risk there is worth is not known, with the reason."""
        ...

    @property
    def blind(self) -> bool:
        """Whether there are any such sessions: asked for each order."""
        ...

    def refresh(self) -> None:
        """Take in what changed in the others' rows, and feed it."""
        ...

    def sent(self, session: str) -> Callable[[], int]:
        """What reads the count of orders on another session's page; asked for again at each look."""
        ...

    def best(self, instrument: str) -> Top | None:
        """Bid price and quantity, offer price and quantity; None where no book is to be believed."""
        ...

    def reach(self, instrument: str, side: str, qty: int) -> tuple[int, bool]:
        """The worst price at which a market order would trade, and whether the levels that are seen hold so much."""
        ...


class PreTrade:
    """Judges the orders of one session."""

    def __init__(
        self,
        limits: Sequence[LimitConfig],
        ours: Ours,
        sessions: Mapping[str, Account],
        sums: ExposureSums,
        exposure: ExposureBook,
        outside: Outside,
    ) -> None:
        """`sessions`: every trading session of the desk; `sums` are fed by the caller, with our own rows, too.

        ConfigError, naming the limit, for a number that cannot be read or a figure that nobody counts.
        """
        self._others = {name: OtherPace(outside.sent(name)) for name in sessions if name != ours.session}
        self._own: dict[str, OwnPace] = {}
        self._planner = Planner(limits, ours, sessions, sums, self._others, self._own, exposure)
        self._session = ours.session
        self._plans: dict[tuple[str, str], Plan] = {}
        self._strategies = self._planner.strategies
        self._open: dict[str, tuple[set[str], RowShare]] = {
            name: (set(), RowShare(sums.sums, 1, [self._planner.of_strategy[name]], [], []))
            for name in self._strategies
        }
        self._exposure, self._outside = exposure, outside
        self._refresh, self._best = outside.refresh, outside.best
        self._all = self._own[""]
        self._window_ns = self._planner.window_ns
        self._recent = Recent(self._window_ns)
        self._asked: tuple[NewOrder, Terms] | None = None  # what was judged last is what leaves next
        self._refuse = Refusals(sums.sums.value)
        self.refused = self._refuse.counts  # by key of the limit

    # -- verdicts --------------------------------------------------------------------------------------------

    def new(self, command: NewOrder, instrument: Instrument, mono_ns: int) -> str:
        """Why a new order may not leave, "" when it may."""
        strategy = command.strategy
        plan = self._plan(instrument, strategy)
        qty = command.order_qty
        if plan.untold:
            return self._refuse.worthless(plan)
        cash = 0
        if command.options and CASH in command.options:
            reason, cash = self._by_value(plan, command)
            if reason:
                return reason
        if plan.qty is not None and qty > plan.qty[0]:
            return self._refuse.too_big(plan.qty[1], instrument, qty)
        if plan.window is not None:
            terms = _terms(command)
            self._asked = command, terms
            age_ns = self._recent.age_ns(terms, mono_ns)
            if age_ns is not None and age_ns < plan.window[0]:
                return self._refuse.again(plan.window[1], age_ns)
        buys = command.side == BUY
        ord_type = command.ord_type
        price = command.price if ord_type in PRICED else None
        if plan.collar is not None and (price is not None or ord_type not in TRIGGERED):
            top = self._best(instrument.name)
            if price is None or top is None or _beyond(plan.collar[0], buys, price, top):
                waits_for = command.stop_px if ord_type == STOP_LIMIT else None
                if reason := self._too_far(plan, plan.collar, top, buys, qty, price, waits_for):
                    return reason
        worth = more = 0
        if plan.worth is not None or plan.gross:
            px = price or (command.stop_px if ord_type in AT_STOP_PX else None)
            if px is None:
                px = self._market_px(plan, command.side, qty)
                if px is None and not cash:
                    return self._refuse.bookless(_first_on_worth(plan), instrument.name)
                px = px or 0
            worth = -(-px * qty // plan.worth_unit) if plan.worth_unit else _worth(instrument, px, qty)
            if plan.worth is not None and (cash or worth) > plan.worth[0]:
                return self._refuse.too_dear(plan.worth[1], plan.quote, cash or worth)
            worth = max(worth, cash)
            more = worth if not plan.figures.position else plan.figures.more(buys, qty, worth)
        return self._room(plan, buys, qty, more, 1, mono_ns)

    def replace(
        self, order: Order, instrument: Instrument, qty: int, price: int | None, stop_px: int | None, swap: bool,
        mono_ns: int,
    ) -> str:  # fmt: skip
        """Why an order may not be changed so, "" when it may: judged by the risk that the change adds.

        `swap`: the venue makes it a new order, and until the old one's end both may trade.
        """
        plan = self._plan(instrument, order.strategy)
        figures = plan.figures
        buys = order.side == BUY
        if plan.untold:
            return self._refuse.worthless(plan)
        price = price if order.ord_type in PRICED else None
        if plan.qty is not None and qty > plan.qty[0] and qty > order.order_qty:
            return self._refuse.too_big(plan.qty[1], instrument, qty)
        if (
            plan.collar is not None
            and price is not None
            and _bolder(buys, price, order.price)
            and (
                reason := self._too_far(
                    plan, plan.collar, self._best(instrument.name), buys, qty, price,
                    stop_px if order.ord_type == STOP_LIMIT else None,
                )
            )
        ):  # fmt: skip
            return reason
        px, was_px = price or stop_px or 0, order.price or order.stop_px or 0
        worth, was = _worth(instrument, px, qty), _worth(instrument, was_px, order.order_qty)
        if plan.worth is not None and worth > plan.worth[0] and worth > was:
            return self._refuse.too_dear(plan.worth[1], plan.quote, worth)
        if swap:
            return self._room(plan, buys, qty, figures.more(buys, qty, worth), 1, mono_ns)
        mark_px = self._mark_px(instrument)
        share_qty, share_px = share_of(order, mark_px)
        after_qty, after_px = max(share_qty, qty - order.cum_qty), max(share_px, px)
        more = _worth(instrument, after_px, after_qty) - _worth(instrument, share_px, share_qty)
        more_qty = after_qty - share_qty
        return self._room(plan, buys, more_qty, figures.more(buys, more_qty, more), 0, mono_ns)

    # -- what happened ---------------------------------------------------------------------------------------

    def sent(self, command: NewOrder, mono_ns: int) -> None:
        """A new order left."""
        strategy = command.strategy
        self._all.sent(mono_ns)
        if strategy in self._strategies:
            self._own[strategy].sent(mono_ns)
        if self._window_ns:
            asked = self._asked
            terms = asked[1] if asked is not None and asked[0] is command else _terms(command)
            self._recent.sent(terms, mono_ns)

    def unsent(self, command: NewOrder) -> None:
        """One that was noted as sent, with nothing else sent since that left, did not leave."""
        self._all.unsent()
        if command.strategy in self._strategies:
            self._own[command.strategy].unsent()
        if self._window_ns:
            self._recent.unsent(_terms(command))

    def changed(self, order: Order, mono_ns: int) -> None:
        """A replace left."""
        self._paced(order.strategy, mono_ns)

    def moved(self, order: Order) -> None:
        """An order changed: its strategy may have one more or one less open."""
        mine = self._open.get(order.strategy)
        if mine is not None:
            ids, share = mine
            (ids.add if order.is_open else ids.discard)(order.ids[0])
            share.now(len(ids), 0, 0, 0, 0)

    def look(self, mono_ns: int) -> None:
        """From a timer, several times a second: how many orders the others sent."""
        for session, pace in self._others.items():
            pace.read = self._outside.sent(session)
            pace.look(mono_ns)
        for own in self._own.values():
            own.within_a_second(mono_ns)

    def restore(self, orders: Iterable[Order], mono_ns: int, wall_ns: int) -> None:
        """The orders of the life before, as the journal has them. A change within the last second counts as an order
        sent then, and a time that is not yet as now: what is not known exactly counts as later than it was.
        """
        known = list(orders)
        for at_ns, order in sorted(((max(o.since_ns, o.sent_ns), o) for o in known), key=lambda o: o[0]):
            self._paced(order.strategy, mono_ns - max(wall_ns - at_ns, 0))
            self.moved(order)
        for order in sorted(known, key=lambda o: o.sent_ns):
            terms = (order.strategy, order.instrument, order.side, order.order_qty, order.price, order.stop_px)
            self._recent.sent(terms, mono_ns - max(wall_ns - order.sent_ns, 0))

    def _paced(self, strategy: str, mono_ns: int) -> None:
        self._all.sent(mono_ns)
        if strategy in self._strategies:
            self._own[strategy].sent(mono_ns)

    # -- rules -----------------------------------------------------------------------------------------------

    def _plan(self, instrument: Instrument, strategy: str) -> Plan:
        if strategy not in self._strategies:
            strategy = ""
        plan = self._plans.get((instrument.name, strategy))
        if plan is None:
            plan = self._plans[instrument.name, strategy] = self._planner.plan(instrument, strategy)
        return plan

    def _room(self, plan: Plan, buys: bool, qty: int, worth: int, orders: int, mono_ns: int) -> str:
        """Limits on sums, with so much more."""
        self._refresh()
        for own, others, most, rule in plan.pace:
            sent = len(own.times) + 1
            for pace in others:  # as OtherPace.within_a_second has it: this is on every order's way
                count = pace.read()
                if count < pace.last:
                    count = pace.restarted(count)
                pace.last = count
                sent += count + pace.offset
            if sent > most:
                sent -= len(own.times)  # perhaps more than a second's
                sent += own.within_a_second(mono_ns)
            if sent > most:
                return self._refuse.over(rule, str(sent), "")
        if self._outside.blind and (reason := self._blind(plan, qty, worth, orders)):
            return reason
        sums = plan.sums
        over = sums.over(buys, qty, worth, orders) if sums is not None else -1
        return self._refuse.full(plan, over, buys, qty, worth, orders) if over >= 0 else ""

    def _by_value(self, plan: Plan, command: NewOrder) -> tuple[str, int]:
        """Why an order sized in quote currency may not leave, and what it is worth. By its quantity everything else
        judges and counts it: that must be what it may come to.
        """
        try:
            cash = cash_of(command.options, plan.instrument)
        except NumberError as e:
            return str(e), 0
        px = lowest_px(command, self._best(plan.instrument.name), self._outside.reach)
        if not px:
            rule = plan.qty[1] if plan.qty is not None else plan.held[0][2] if plan.held else None
            return self._refuse.bookless(rule, plan.instrument.name) if rule is not None else "", cash
        reason = too_little(command, plan.instrument, cash, px)
        self.refused[BY_VALUE] += bool(reason)
        return reason, cash

    def _too_far(
        self, plan: Plan, collar: tuple[Collar, Rule], top: Top | None, buys: bool, qty: int, price: int | None,
        waits_for: int | None,
    ) -> str:  # fmt: skip
        """`waits_for`: the price at which the order will find the market, when that is further off than it is now."""
        within, rule = collar
        instrument = plan.instrument
        best = _other_side(top, buys) if top is not None else 0
        if not best or top is None:
            return self._refuse.bookless(rule, instrument.name) if plan.collar_needs_book else ""
        if waits_for is not None:
            best = max(best, waits_for) if buys else min(best, waits_for)
        if price is None:
            there = top[3] if buys else top[1]
            if qty <= there:
                return ""
            price, enough = self._outside.reach(instrument.name, "1" if buys else "2", qty)
            if not enough:
                asked = f"{instrument.qty_text(qty)} {instrument.name}"
                return self._refuse.no(rule, f"{asked} is more than the best levels hold")
        far = price * within.unit > best * within.above if buys else price * within.unit < best * within.below
        if not far:
            return ""
        side = "offer" if buys else "bid"
        beyond = f"price {instrument.px_text(price)} against the best {side} {instrument.px_text(best)}"
        return self._refuse.no(rule, f"{beyond} is {_percent(price, best)} % beyond it, at most {rule.limit}")

    def _market_px(self, plan: Plan, side: str, qty: int) -> int | None:
        """What a market order is valued at; None when there is no book and there must be one."""
        name, buys = plan.instrument.name, side == BUY
        top = self._best(name)
        best = _other_side(top, buys) if top is not None else 0
        if best and top is not None:
            return best if qty <= top[3 if buys else 1] else max(best, self._outside.reach(name, side, qty)[0])
        if plan.worth_needs_book:
            return None
        return self._mark_px(plan.instrument)

    def _mark_px(self, instrument: Instrument) -> int:
        """Price of the last fill; 0 before the first."""
        return self._exposure.of(instrument.name, instrument.px_scale, instrument.qty_scale).mark_px

    def _blind(self, plan: Plan, qty: int, worth: int, orders: int) -> str:
        """Whether a sum that matters lacks a session's rows, and why."""
        held = [*(plan.gross if worth > 0 else ()), *(plan.held if qty > 0 else ())]
        judged = [*(plan.count if orders else ()), *held]
        for session, why in self._outside.unknown.items():
            for _, _, rule in judged:
                if session in rule.others:
                    return self._refuse.no(rule, f"what {session} has at risk is not known: it {why}", UNKNOWN)
        for sessions, rules in ((self._outside.unheld, held), (self._outside.unpriced, held[: len(plan.gross)])):
            for session, why in sessions.items():
                for _, _, rule in rules if worth > 0 or sessions is self._outside.unheld else ():
                    if session == self._session or session in rule.others:
                        return self._refuse.no(rule, f"{session} {why}", UNHELD)
        return ""


def _terms(command: NewOrder) -> Terms:
    return (
        command.strategy, command.instrument, command.side, command.order_qty, command.price, command.stop_px,
    )  # fmt: skip


def _worth(instrument: Instrument, px: int, qty: int) -> int:
    return notional(px, instrument.px_scale, qty, instrument.qty_scale, instrument.contract or ONE)


def _beyond(collar: Collar, buys: bool, price: int, top: Top) -> bool:
    """Whether a price wants a closer look: it is beyond the other side's best by too much, or nobody is there."""
    if buys:
        return not top[3] or price * collar.unit > top[2] * collar.above
    return not top[1] or price * collar.unit < top[0] * collar.below


def _other_side(top: Top, buys: bool) -> int:
    """Best price of the side that the order trades with, of its own where that is empty; 0 where both are."""
    bid_px, bid_qty, ask_px, ask_qty = top
    if buys:
        return ask_px if ask_qty else bid_px if bid_qty else 0
    return bid_px if bid_qty else ask_px if ask_qty else 0


def _bolder(buys: bool, price: int, was: int | None) -> bool:
    return was is None or (price > was if buys else price < was)


def _first_on_worth(plan: Plan) -> Rule:
    return plan.worth[1] if plan.worth is not None else plan.gross[0][2]


def _percent(price: int, best: int) -> str:
    return format_scaled(abs(price - best) * 10_000 // best, 2)
