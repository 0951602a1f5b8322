"""Drop copy against order entry: how long the oldest fill waits for the other view, and fills they differ about. Pure.

For people the ledger does this in full (risk/ledger_fills.py); this is the part that a trip may hang on, and it works
without the ledger. Fills meet by trade id, else by the order's CumQty(14) after the fill, else by ExecID(17); a fill
that REST told meets by order, quantity and price, too. Drop copies of orders that are not this desk's are left out, and
so are reports on them that a trading session hears. Two sessions of one view count as one: who tells first, tells.

A copied fill is no news either when order entry knows the order's quantity without the trade (a status said so).

A fill that has waited for a minute longer than the greatest limit on the lag waits no more: it is a mismatch then.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from base.errors import ConfigError
from base.kill_config import LimitConfig
from ipc.events import ExecutionReport, OrderState, told_beside
from risk.kill_plan import Owned, covers
from risk.triggers.days import Days
from risk.triggers.rules import rule_of
from risk.triggers.watch import Reading

SECOND_NS = 1_000_000_000
MET_KEPT = 30_000  # names; a fill has up to three
ORDERS_KEPT = 20_000
FOUND_KEPT = 10_000  # of a day: what has so many is long tripped, and they are written down each second
GIVEN_UP_NS = 60 * SECOND_NS
HOUR_NS = 3_600 * SECOND_NS  # what is older is not looked at when journals are read at a start
BEFORE_NS = 300 * SECOND_NS  # entry's fills reach back further by so much than the copies that answer them


class Mismatch(msgspec.Struct, frozen=True):
    """A fill of which the two views say different things."""

    name: str
    day: str
    owned: Owned
    text: str


class _Fill(msgspec.Struct):
    """A fill that one view has told."""

    owned: Owned
    copy: bool
    rest: bool
    cl_ord_id: str
    facts: tuple[str, str, int | None, int | None]  # order, side, quantity, price
    at_ns: int  # monotonic
    wall_ns: int
    names: tuple[str, ...] = ()


class DropCopyBook:
    """Fills that wait for the other view, by venue with a drop copy."""

    def __init__(
        self, limits: Sequence[LimitConfig], venues: Mapping[str, str], days: Days, found: Iterable[Mismatch] = ()
    ) -> None:
        """`venues`: account by venue that has a drop-copy session. ConfigError where a limit has none in its scope."""
        self.limits = [
            x for x in limits if x.max_drop_copy_lag_s is not None or x.max_drop_copy_mismatches_per_day is not None
        ]
        self.found = {m.name: m for m in found}
        self._venues, self._days = venues, days
        self._waiting: dict[int, _Fill] = {}
        self._names: dict[str, int] = {}
        self._facts: dict[tuple[bool, str, str, int | None, int | None], list[int]] = {}
        self._met: dict[str, None] = {}
        self._cum: dict[tuple[str, str, str], int] = {}  # by order: what order entry knows to be filled
        self._copied: dict[tuple[str, str, str], dict[int, int]] = {}  # by order: copied fills that wait, with CumQty
        self._number = 0
        self._first_ns: dict[tuple[str, bool], int] = {}  # by venue and view: of the oldest fill that is kept of it
        self._patience_ns = GIVEN_UP_NS + max((x.max_drop_copy_lag_s or 0 for x in self.limits), default=0) * SECOND_NS
        for i, limit in enumerate(limits):
            if limit in self.limits and not any(_reaches(limit.scope, v, a) for v, a in venues.items()):
                raise ConfigError(f"kill.limits[{i}].scope: {limit.scope}: no drop-copy session covers it")

    def event(
        self, event: object, at_ns: int, wall_ns: int, mono_ns: int, known: Callable[[ExecutionReport], bool]
    ) -> None:
        """Take in an event of an owner's or a drop copy's journal; it happened at `at_ns` (monotonic), `wall_ns` (UTC).

        `known`: whether an order of a drop copy, or of another session's, is one of this desk's.
        """
        if not self.limits:
            return
        if isinstance(event, OrderState):
            self._quantity(event)
        if not isinstance(event, ExecutionReport) or event.exec_type != "F":
            return
        if event.venue not in self._venues or event.origin == "local":
            return
        if told_beside(event) and not known(event):
            return
        if mono_ns - at_ns > (HOUR_NS if event.drop_copy else HOUR_NS + BEFORE_NS):
            return
        view = (event.venue, event.drop_copy)
        self._first_ns[view] = min(at_ns, self._first_ns.get(view, at_ns))
        names = _names(event)
        if any(n in self._met for n in names):
            return
        fill = _Fill(
            Owned(event.venue, event.account, event.session, event.instrument, event.strategy), event.drop_copy,
            event.origin == "rest", event.cl_ord_id,
            (event.order_id or event.cl_ord_id, event.side, event.last_qty, event.last_px), at_ns, wall_ns, names,
        )  # fmt: skip
        number = self._meets(fill)
        if number is None and event.drop_copy and event.cum_qty is not None:
            if event.cum_qty <= self._cum.get(_order(event), -1):
                return
            self._copied.setdefault(_order(event), {})[self._number + 1] = event.cum_qty
        if number is None:
            self._number += 1
            self._waiting[self._number] = fill
            for name in names:
                self._names.setdefault(name, self._number)
            self._facts.setdefault((fill.copy, *fill.facts), []).append(self._number)
        elif self._waiting[number].copy != fill.copy:
            self._met_both(number, fill)

    def _quantity(self, state: OrderState) -> None:
        """Order entry knows that so much of an order is filled, whether or not it knows each trade."""
        if state.venue not in self._venues or not state.cum_qty or not state.order_id:
            return
        order = _order(state)
        self._cum[order] = max(state.cum_qty, self._cum.pop(order, 0))
        if len(self._cum) > ORDERS_KEPT:
            del self._cum[next(iter(self._cum))]
        covered = [n for n, cum in self._copied.get(order, {}).items() if cum <= self._cum[order]]
        for number in covered:
            self._know(self._drop(number).names)

    def caught_up(self, mono_ns: int) -> None:
        """All journals are read: what one view's journal does not reach back to is not missing from it."""
        for number, fill in list(self._waiting.items()):
            other_ns = self._first_ns.get((fill.owned.venue, not fill.copy), mono_ns)
            if fill.at_ns < max(other_ns, mono_ns - HOUR_NS):
                self._drop(number)

    def readings(self, excused: Callable[[str], bool], mono_ns: int, day: str) -> list[Reading]:
        """Each figure that has a limit. `excused(venue)`: by its calendar; the waiting then begins anew."""
        for name in [n for n, m in self.found.items() if m.day < day]:
            del self.found[name]
        for fill in self._waiting.values():
            if excused(fill.owned.venue):
                fill.at_ns = mono_ns
        for number in [n for n, f in self._waiting.items() if mono_ns - f.at_ns > self._patience_ns]:
            fill = self._drop(number)
            self._differ(fill, f"{fill.cl_ord_id}: {_lacks(fill)} does not show {_name(fill)}, {_said(fill)}")
        out = []
        for limit in self.limits:
            trips = limit.action == "trip"
            if limit.max_drop_copy_lag_s is not None:
                value, detail = self._lag(limit.scope, mono_ns)
                most, rule = Decimal(limit.max_drop_copy_lag_s), rule_of(limit, "drop-copy lag")
                out.append(Reading(limit.scope, "drop-copy lag", "s", value, most, rule, trips, detail=detail))
            if limit.max_drop_copy_mismatches_per_day is not None:
                mine = [m for m in self.found.values() if m.day == day and covers(limit.scope, m.owned)]
                most = Decimal(limit.max_drop_copy_mismatches_per_day)
                rule = rule_of(limit, "drop-copy mismatches a day")
                detail = f"last: {mine[-1].text}" if mine else ""
                figure = "drop-copy mismatches a day"
                out.append(Reading(limit.scope, figure, "", Decimal(len(mine)), most, rule, trips, detail=detail))
        return out

    def _lag(self, scope: str, mono_ns: int) -> tuple[Decimal, str]:
        mine = [f for f in self._waiting.values() if covers(scope, f.owned)]
        if not mine:
            return Decimal(0), ""
        oldest = min(mine, key=lambda f: f.at_ns)
        detail = f"{_lacks(oldest)} does not show {oldest.cl_ord_id} {_name(oldest)}; {len(mine)} wait"
        return Decimal(max(mono_ns - oldest.at_ns, 0) // (SECOND_NS // 1000)).scaleb(-3), detail

    def _meets(self, fill: _Fill) -> int | None:
        """The waiting fill that this one is, told by the other view or again by the same."""
        for name in fill.names:
            number = self._names.get(name)
            if number is not None:
                return number
        alike = self._facts.get((not fill.copy, *fill.facts), ())
        return next((n for n in alike if fill.rest or self._waiting[n].rest), None)

    def _met_both(self, number: int, second: _Fill) -> None:
        first = self._drop(number)
        self._know({*first.names, *second.names})
        if first.facts[1:] != second.facts[1:] and not (first.rest or second.rest):
            entry, copy = (second, first) if first.copy else (first, second)
            text = f"{entry.cl_ord_id} {_name(entry)}: order entry says {_said(entry)}, drop copy {_said(copy)}"
            self._differ(entry, text)

    def _drop(self, number: int) -> _Fill:
        fill = self._waiting.pop(number)
        for name in fill.names:
            if self._names.get(name) == number:
                del self._names[name]
        order = (fill.owned.venue, fill.owned.instrument, fill.facts[0])
        if number in self._copied.get(order, {}):
            del self._copied[order][number]
            if not self._copied[order]:
                del self._copied[order]
        alike = self._facts[fill.copy, *fill.facts]
        alike.remove(number)
        if not alike:
            del self._facts[fill.copy, *fill.facts]
        return fill

    def _differ(self, fill: _Fill, text: str) -> None:
        name = _name(fill)
        self._know([name])
        if len(self.found) < FOUND_KEPT:
            self.found.setdefault(name, Mismatch(name, self._days.day(fill.wall_ns), fill.owned, text))

    def _know(self, names: Iterable[str]) -> None:
        """These were told of by both views, or are mismatches already."""
        for name in names:
            self._met[name] = None
        while len(self._met) > MET_KEPT:
            del self._met[next(iter(self._met))]


def _order(event: ExecutionReport | OrderState) -> tuple[str, str, str]:
    return event.venue, event.instrument, event.order_id or event.cl_ord_id


def _name(fill: _Fill) -> str:
    return fill.names[0] if fill.names else f"fill of {fill.facts[0]}"


def _lacks(fill: _Fill) -> str:
    return "order entry" if fill.copy else "the drop copy"


def _said(fill: _Fill) -> str:
    return f"side {fill.facts[1]} {fill.facts[2]} @ {fill.facts[3]}"


def _names(report: ExecutionReport) -> tuple[str, ...]:
    order = f"{report.venue} {report.instrument} {report.order_id or report.cl_ord_id}"
    marks = (
        ("trade", report.trade_id),
        ("cum", "" if report.cum_qty is None else str(report.cum_qty)),
        ("exec", report.exec_id),
    )
    return tuple(f"{order} {mark} {value}" for mark, value in marks if value)


def _reaches(scope: str, venue: str, account: str) -> bool:
    kind = scope.partition(":")[0]
    return kind in ("session", "instrument", "strategy") or covers(scope, Owned(venue, account, "", "", ""))
