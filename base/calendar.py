"""When a venue is open, when it is closed, and when it starts its numbers again. Pure: UTC ns in, UTC ns out.

Rules are local: a time of day in an IANA zone, on days of the local calendar (base/calendar_days.py). Summer time:

- a local time that comes twice is the first of the two;
- a local time that does not come is the moment at which the clocks go forward;
- a window that this would swallow whole begins at that moment and keeps its length.

docs/schedules.md explains it to users; base/calendar_config.py reads it from files.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from base.calendar_days import HORIZON_DAYS, Days

SECOND_NS = 1_000_000_000
DAY_S = 86_400
FAR_NS = 1 << 62
"""The end of what never ends."""
_UTC_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = _UTC_EPOCH.replace(tzinfo=None)
_HORIZON_NS = HORIZON_DAYS * DAY_S * SECOND_NS


class What(StrEnum):
    """What a rule says of its times."""

    CLOSED = "closed"  # no session there: the desk logs out before, and comes back after
    SESSION = "session"  # open; with one such rule the venue is closed outside all of them
    EXPECTED = "expected"  # a disconnect is no surprise; the desk stays until it comes
    ROLLOVER = "rollover"  # sequence numbers begin anew at this moment
    EVENT = "event"  # something to know of; the desk does nothing


class Reset(StrEnum):
    """At which end of its window a rule's sequence numbers begin anew."""

    NONE = ""
    START = "start"
    END = "end"


@dataclass(frozen=True, slots=True)
class Rule:
    """One recurring or announced thing. `start_s` and `end_s` are seconds after local midnight."""

    name: str
    what: What
    zone: ZoneInfo
    days: Days
    """Days on which it starts."""
    start_s: int
    end_s: int | None = None
    """None: it has no length, or (`what` CLOSED) no end."""
    end_weekday: int | None = None
    """The weekday (Monday 0) on which it ends; None: the same day, or the next when `end_s` is not after `start_s`."""
    leave_s: int = 0
    """The desk is away so long before the start (of a session's end)."""
    return_s: int = 0
    """And so long after the end (of a session's start)."""
    reset: Reset = Reset.NONE
    certain: bool = True
    source: str = ""
    text: str = ""
    kinds: frozenset[str] = frozenset()
    """Kinds of session that it concerns; none named: all."""
    site: str = ""

    def window(self, day: date) -> tuple[int, int]:
        """(start, end) in UTC ns of the occurrence that starts on a local day; equal when it has no length."""
        start_ns = local_to_ns(day, self.start_s, self.zone)
        if self.end_s is None:
            return start_ns, FAR_NS if self.what is What.CLOSED else start_ns
        days = self._days_to_end(day)
        end_ns = local_to_ns(day + timedelta(days=days), self.end_s, self.zone)
        if end_ns <= start_ns:  # both in the hour that does not come
            end_ns = start_ns + (days * DAY_S + self.end_s - self.start_s) * SECOND_NS
        return start_ns, end_ns

    def away(self, day: date) -> tuple[int, int]:
        """As `window`, with the margins of the desk: wider when closed, narrower for a session."""
        start_ns, end_ns = self.window(day)
        if self.what is What.SESSION:
            return start_ns + self.return_s * SECOND_NS, end_ns - self.leave_s * SECOND_NS
        if self.what is What.CLOSED:
            return start_ns - self.leave_s * SECOND_NS, min(end_ns + self.return_s * SECOND_NS, FAR_NS)
        return start_ns, end_ns

    def reset_ns(self, day: date) -> int:
        """UTC ns at which numbers begin anew, of a rule that resets."""
        return self.window(day)[self.reset is Reset.END]

    def from_ns(self, wall_ns: int) -> Iterator[tuple[int, int]]:
        """Windows with margins that end after `wall_ns`, by their start."""
        for day in self.days.forward(self._earliest(wall_ns)):
            start_ns, end_ns = self.away(day)
            if end_ns > wall_ns:
                yield start_ns, end_ns

    def _earliest(self, wall_ns: int) -> date:
        """A day before which no window reaches over `wall_ns`."""
        if self.end_s is None and self.what is What.CLOSED:
            return date.min
        span = 1 if self.end_weekday is None else 7
        margin = self.return_s // DAY_S + 1
        return local_day(wall_ns, self.zone) - timedelta(days=span + margin)

    def _days_to_end(self, day: date) -> int:
        assert self.end_s is not None
        later = self.end_s > self.start_s
        if self.end_weekday is None:
            return 0 if later else 1
        days = (self.end_weekday - day.weekday()) % 7
        return days if days or later else 7


@dataclass(frozen=True, slots=True)
class Open:
    """Sessions are taken."""

    expected: str = ""
    """Why a disconnect now would be no surprise; "" when it would."""


@dataclass(frozen=True, slots=True)
class Closed:
    """No sessions are taken until `until_ns` (UTC ns; FAR_NS: for ever)."""

    until_ns: int
    why: str


class Occurrence(NamedTuple):
    """One window of one rule, without the desk's margins."""

    start_ns: int
    end_ns: int
    rule: Rule


class Resets:
    """Rollovers: what fix.settings.ResetTimes asks for."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules

    def last(self, wall_ns: int) -> int | None:
        """UTC ns of the latest at or before `wall_ns`; None when there was none within 400 days."""
        found = (self._last(rule, wall_ns) for rule in self._rules)
        return max((at for at in found if at is not None), default=None)

    def next(self, wall_ns: int) -> int | None:
        """UTC ns of the first after `wall_ns`; None when there is none within 400 days."""
        found = (self._next(rule, wall_ns) for rule in self._rules)
        return min((at for at in found if at is not None), default=None)

    @staticmethod
    def _last(rule: Rule, wall_ns: int) -> int | None:
        days = rule.days.backward(local_day(wall_ns, rule.zone))
        return next((at for day in days if (at := rule.reset_ns(day)) <= wall_ns), None)

    @staticmethod
    def _next(rule: Rule, wall_ns: int) -> int | None:
        days = rule.days.forward(local_day(wall_ns, rule.zone) - timedelta(days=8))
        return next((at for day in days if (at := rule.reset_ns(day)) > wall_ns), None)


class Calendar:
    """Rules put together."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self._closing = [r for r in rules if r.what is What.CLOSED]
        self._sessions = [r for r in rules if r.what is What.SESSION]
        self._resetting = [r for r in rules if r.reset is not Reset.NONE]

    def status(self, wall_ns: int) -> Open | Closed:
        """Whether sessions are taken at a time, with the desk's margins."""
        until_ns, why = self._shut(wall_ns)
        if not why:
            return Open(self._expected(wall_ns))
        end_ns = until_ns
        while until_ns < FAR_NS and until_ns - wall_ns < _HORIZON_NS:
            end_ns, more = self._shut(until_ns)
            if not more:
                break
            until_ns = end_ns
        return Closed(until_ns, why)

    def next_change(self, wall_ns: int) -> int | None:
        """The first moment after `wall_ns` at which open becomes closed or closed open; None: not within 400 days."""
        now = self.status(wall_ns)
        if isinstance(now, Closed):
            return now.until_ns if now.until_ns < FAR_NS else None
        starts = [(start for start, _ in rule.from_ns(wall_ns)) for rule in self._closing]
        ends = [(end for _, end in rule.from_ns(wall_ns)) for rule in self._sessions]
        for at_ns in heapq.merge(*starts, *ends):
            if at_ns - wall_ns > _HORIZON_NS:
                break
            if at_ns > wall_ns and self._shut(at_ns)[1]:
                return at_ns
        return None

    def resets(self) -> Resets | None:
        """Rollovers of the numbers; None when no rule has any."""
        return Resets(self._resetting) if self._resetting else None

    def occurrences(self, from_ns: int, until_ns: int) -> list[Occurrence]:
        """What lies or reaches into a span of time, by start."""
        found = []
        for rule in self.rules:
            for day in rule.days.forward(rule._earliest(from_ns)):
                start_ns, end_ns = rule.window(day)
                if start_ns >= until_ns:
                    break
                if end_ns > from_ns or start_ns >= from_ns:
                    found.append(Occurrence(start_ns, end_ns, rule))
        return sorted(found, key=lambda o: (o.start_ns, o.end_ns, o.rule.name))

    def _shut(self, wall_ns: int) -> tuple[int, str]:
        """(until when at least, why) the venue is closed at a time; (wall_ns, "") when it is open."""
        until_ns, why = wall_ns, ""
        for rule in self._closing:
            for start_ns, end_ns in rule.from_ns(wall_ns):
                if start_ns > wall_ns:
                    break
                if end_ns > until_ns:
                    until_ns, why = end_ns, _named(rule)
        if why or not self._sessions:
            return until_ns, why
        return self._between_sessions(wall_ns)

    def _between_sessions(self, wall_ns: int) -> tuple[int, str]:
        opens_ns, why = FAR_NS, "no further session"
        for rule in self._sessions:
            start_ns = next((start for start, end in rule.from_ns(wall_ns) if end > start), FAR_NS)
            if start_ns <= wall_ns:
                return wall_ns, ""
            if start_ns < opens_ns:
                opens_ns, why = start_ns, f"outside session hours ({rule.name})"
        return opens_ns, why

    def _expected(self, wall_ns: int) -> str:
        for rule in self.rules:
            if rule.what is What.EXPECTED:
                start_ns = next((start for start, _ in rule.from_ns(wall_ns)), FAR_NS)
                if start_ns <= wall_ns:
                    return _named(rule)
        return ""


def _named(rule: Rule) -> str:
    return f"{rule.name}: {rule.text}" if rule.text else rule.name


def local_day(wall_ns: int, zone: ZoneInfo) -> date:
    """The date that a calendar in `zone` shows."""
    return datetime.fromtimestamp(wall_ns // SECOND_NS, zone).date()


@lru_cache(maxsize=1024)  # neighbouring questions ask for the same days
def local_to_ns(day: date, second: int, zone: ZoneInfo) -> int:
    """UTC ns of a local time: the first of two where clocks go back, the moment of change where it does not come."""
    naive = _NAIVE_EPOCH + timedelta(days=day.toordinal() - _NAIVE_EPOCH.toordinal(), seconds=second)
    early, late = (_offset_s(naive, zone, fold) for fold in (0, 1))
    at_s = (naive - _NAIVE_EPOCH) // timedelta(seconds=1) - early
    if late > early:
        at_s = _change_s(at_s - (late - early), at_s, zone)
    return at_s * SECOND_NS


def _offset_s(naive: datetime, zone: ZoneInfo, fold: int) -> int:
    offset = naive.replace(tzinfo=zone, fold=fold).utcoffset()
    assert offset is not None
    return offset // timedelta(seconds=1)


def _change_s(low: int, high: int, zone: ZoneInfo) -> int:
    """The UTC second, in (low, high], from which the zone's offset is that of `high`."""

    def offset(at_s: int) -> timedelta | None:
        return (_UTC_EPOCH + timedelta(seconds=at_s)).astimezone(zone).utcoffset()

    after = offset(high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if offset(middle) == after else (middle, high)
    return high


def daily_rollovers(at_s: Sequence[int], zone: str = "UTC") -> list[Rule]:
    """Numbers that begin anew every day at these seconds after local midnight."""
    return [
        Rule(f"daily at {s}", What.ROLLOVER, ZoneInfo(zone), Days(), s, reset=Reset.START) for s in sorted(set(at_s))
    ]


def daily_resets(at_s: Sequence[int], zone: str = "UTC") -> Resets | None:
    """The same as fix.settings.SessionSettings wants it; None for none."""
    return Calendar(daily_rollovers(at_s, zone)).resets()
