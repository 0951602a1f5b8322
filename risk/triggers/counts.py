"""Rejects, cancels against fills, and duplicate orders, out of what the owners' journals say. Pure.

Times are monotonic ns; the caller gives those of an event that was read late as the moment at which it happened.
"""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from decimal import Decimal
from typing import TypeAlias

import msgspec

from base.kill_config import LimitConfig
from ipc.events import OPEN_STATES, CancelReject, ExecutionReport, OrderState, told_beside
from risk.kill_plan import Owned, covers
from risk.triggers.rules import rule_of
from risk.triggers.watch import MS, Reading

MINUTE_NS = 60_000_000_000
STEPS = 600  # of a window: what is older than a window never counts, its last six-hundredth may be left out early
SEEN_KEPT = 20_000
_COUNTED = frozenset("8F4")  # ExecType(150): rejected, trade, cancelled


class Window:
    """How many events fell into the last `span_ns`."""

    def __init__(self, span_ns: int) -> None:
        self._step_ns = max(1, span_ns // STEPS)
        self._span_ns = span_ns
        self._buckets: deque[list[int]] = deque()  # [step, events]
        self._total = 0

    def add(self, at_ns: int, mono_ns: int) -> None:
        """Count an event of `at_ns`, now being `mono_ns`. Journals read one after the other go back in time."""
        step, buckets = at_ns // self._step_ns, self._buckets
        if at_ns <= mono_ns - self._span_ns:
            return
        place = len(buckets)
        while place and buckets[place - 1][0] > step:
            place -= 1
        if not place or buckets[place - 1][0] < step:
            buckets.insert(place, [step, 0])
            place += 1
        buckets[place - 1][1] += 1
        self._total += 1

    def total(self, mono_ns: int) -> int:
        """Events of the window that ends now."""
        first = (mono_ns - self._span_ns) // self._step_ns
        while self._buckets and self._buckets[0][0] <= first:
            self._total -= self._buckets.popleft()[1]
        return self._total


class Seen:
    """What was counted already: reports come again after a logon."""

    def __init__(self, most: int = SEEN_KEPT) -> None:
        self._kept: dict[Hashable, None] = {}
        self._most = most

    def first(self, mark: Hashable) -> bool:
        """True the first time."""
        if mark in self._kept:
            return False
        self._kept[mark] = None
        if len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]
        return True


class _Entry:
    """Windows of one entry of [[kill.limits]]."""

    def __init__(self, limit: LimitConfig) -> None:
        self.limit = limit
        self.rejects = Window(MINUTE_NS)
        self.duplicates = Window(MINUTE_NS)
        self.cancels = Window(limit.cancels_window_s * 1_000 * MS)
        self.fills = Window(limit.cancels_window_s * 1_000 * MS)
        self.last = {"rejects": "", "duplicates": ""}  # in words


_Terms: TypeAlias = tuple[str, str, str, str, str, int, int | None]


_Key: TypeAlias = tuple[str, str, str]


class _Placed(msgspec.Struct):
    """A working order, to tell a second one like it."""

    terms: _Terms
    at_ns: int


def _open_to_all(_: Owned) -> bool:
    return False


class CountBook:
    """The counted figures of a desk."""

    def __init__(self, limits: Sequence[LimitConfig]) -> None:
        self._entries = [
            _Entry(x)
            for x in limits
            if x.max_rejects_per_min is not None
            or x.max_cancels_per_fill is not None
            or x.max_duplicates_per_min is not None
        ]
        duplicates = [e.limit.duplicate_within_ms * MS for e in self._entries if _of_duplicates(e.limit)]
        self._watches_duplicates = bool(duplicates)
        self._memory_ns = max(duplicates, default=0) + MINUTE_NS  # an older order is no first of two that count
        self._cover: dict[Owned, list[_Entry]] = {}
        self._seen = Seen()
        self._placed: dict[_Key, _Placed] = {}  # as they came
        self._twins: dict[_Terms, dict[_Key, _Placed]] = {}

    def event(self, event: object, at_ns: int, mono_ns: int, closed: Callable[[Owned], bool] = _open_to_all) -> None:
        """Take in one event of an owner's journal, `at_ns` being when it happened, `mono_ns` now.

        `closed`: whether the gate is shut for such an order. What ends then the desk cancels itself: it does not count.
        """
        if not self._entries:
            return
        if isinstance(event, ExecutionReport):
            self._report(event, at_ns, mono_ns, closed)
        elif isinstance(event, CancelReject):
            self._refused(event, at_ns, mono_ns)
        elif isinstance(event, OrderState) and self._watches_duplicates:
            self._state(event, at_ns, mono_ns)

    def readings(self, mono_ns: int) -> list[Reading]:
        """Each counted figure that has a limit, as it is now."""
        out = []
        for entry in self._entries:
            limit = entry.limit
            if limit.max_rejects_per_min is not None:
                n = entry.rejects.total(mono_ns)
                out.append(_count(limit, "rejects a minute", n, limit.max_rejects_per_min, entry.last["rejects"]))
            if limit.max_duplicates_per_min is not None:
                n = entry.duplicates.total(mono_ns)
                most, last = limit.max_duplicates_per_min, entry.last["duplicates"]
                out.append(_count(limit, "duplicate orders a minute", n, most, last))
            if limit.max_cancels_per_fill is not None:
                out.append(_ratio(entry, mono_ns))
        return out

    def _of(self, owned: Owned) -> list[_Entry]:
        found = self._cover.get(owned)
        if found is None:
            found = self._cover[owned] = [e for e in self._entries if covers(e.limit.scope, owned)]
        return found

    def _report(self, report: ExecutionReport, at_ns: int, mono_ns: int, closed: Callable[[Owned], bool]) -> None:
        kind = report.exec_type
        if kind not in _COUNTED or told_beside(report) or report.origin == "local":  # "local": it never left this desk
            return
        mark = (report.session, report.cl_ord_id, report.exec_id or report.order_id, kind, report.trade_id)
        if not self._seen.first(mark):
            return
        owned = Owned(report.venue, report.account, report.session, report.instrument, report.strategy)
        if kind == "4" and (report.swept or closed(owned)):
            return
        for entry in self._of(owned):
            if kind == "8":
                entry.rejects.add(at_ns, mono_ns)
                entry.last["rejects"] = f"last: {report.session} {report.cl_ord_id}: {report.text}"[:120]
            elif kind == "F":
                entry.fills.add(at_ns, mono_ns)
            else:
                entry.cancels.add(at_ns, mono_ns)

    def _refused(self, refused: CancelReject, at_ns: int, mono_ns: int) -> None:
        """A cancel that came too late is no fault; any other refusal of a request counts as a reject."""
        if refused.unknown_order or not self._seen.first((refused.session, refused.request_id)):
            return
        # A refusal does not say whose account it was: the venue and session cover it.
        for entry in self._entries:
            scope = entry.limit.scope
            owned = Owned(refused.venue, "", refused.session, refused.instrument, refused.strategy)
            if covers(scope, owned) or scope.startswith(f"account:{refused.venue}/"):
                entry.rejects.add(at_ns, mono_ns)
                entry.last["rejects"] = f"last: {refused.session} {refused.cl_ord_id}: {refused.text}"[:120]

    def _state(self, state: OrderState, at_ns: int, mono_ns: int) -> None:
        # A replace gives an order another ClOrdID, and another order's terms; its command stays what it was.
        key = (state.session, state.client_id, state.command_id or state.cl_ord_id)
        terms = (
            state.session,
            state.instrument,
            state.strategy,
            state.side,
            state.ord_type,
            state.order_qty,
            state.price,
        )
        known = self._placed.get(key)
        if known is not None:
            if state.state not in OPEN_STATES or terms != known.terms:
                self._drop(key)
            return
        old_ns = mono_ns - self._memory_ns
        if state.state != "PENDING_NEW" or at_ns < old_ns:
            return
        while self._placed and self._placed[first := next(iter(self._placed))].at_ns < old_ns:
            self._drop(first)
        twins = self._twins.setdefault(terms, {})
        # One session's orders come in the order of time: the last of those that work is the nearest.
        apart_ns = abs(at_ns - next(reversed(twins.values())).at_ns) if twins else None
        self._placed[key] = twins[key] = _Placed(terms, at_ns)
        if apart_ns is None:
            return
        owned = Owned(state.venue, state.account, state.session, state.instrument, state.strategy)
        for entry in self._of(owned):
            if apart_ns <= entry.limit.duplicate_within_ms * MS:
                entry.duplicates.add(at_ns, mono_ns)
                entry.last["duplicates"] = f"last: {state.session} {state.cl_ord_id} in {state.instrument}"

    def _drop(self, key: _Key) -> None:
        terms = self._placed.pop(key).terms
        twins = self._twins[terms]
        del twins[key]
        if not twins:
            del self._twins[terms]


def _of_duplicates(limit: LimitConfig) -> bool:
    return limit.max_duplicates_per_min is not None


def _count(limit: LimitConfig, figure: str, n: int, most: int, last: str) -> Reading:
    rule = rule_of(limit, figure)
    return Reading(limit.scope, figure, "", Decimal(n), Decimal(most), rule, limit.action == "trip", detail=last)


def _ratio(entry: _Entry, mono_ns: int) -> Reading:
    """Cancels for each fill of the window; no fill counts as one."""
    limit = entry.limit
    cancels, fills = entry.cancels.total(mono_ns), entry.fills.total(mono_ns)
    enough = cancels >= limit.cancels_floor
    value = Decimal(cancels) / max(fills, 1) if enough else None
    said = f"{cancels} cancels, {fills} fills in {limit.cancels_window_s} s"
    detail = said if enough else f"{said}; it says nothing below {limit.cancels_floor} cancels"
    most = Decimal(limit.max_cancels_per_fill or "0")
    rule = rule_of(limit, "cancels per fill")
    return Reading(limit.scope, "cancels per fill", "", value, most, rule, limit.action == "trip", detail=detail)
