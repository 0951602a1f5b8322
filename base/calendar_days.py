"""Days of a local calendar: weekdays, the second Thursday, every second week, announced days, holidays left out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

HORIZON_DAYS = 400
"""How far is looked for the next or the last day of something that recurs."""
_NTH = ((1, 0, 3), (2, 0, 3), (5, 0, -1), (9, 0, 1), (10, 0, 2), (11, 3, 4))
"""US federal holidays by weekday: month, weekday (Monday 0), which one (-1: the last)."""
_FIXED = frozenset({(1, 1), (6, 19), (7, 4), (11, 11), (12, 25)})


def nth_of_month(day: date) -> tuple[int, bool]:
    """Which one of its weekday a day is within its month (1 to 5), and whether it is the last."""
    return (day.day - 1) // 7 + 1, (day + timedelta(days=7)).month != day.month


def us_federal(day: date) -> bool:
    """A US federal holiday as offices keep it (5 U.S.C. 6103): Saturday's is kept on Friday, Sunday's on Monday."""
    number, last = nth_of_month(day)
    if any(day.month == m and day.weekday() == w and (number == n or (n < 0 and last)) for m, w, n in _NTH):
        return True
    near = {0: (0, -1), 1: (0,), 2: (0,), 3: (0,), 4: (0, 1)}.get(day.weekday(), ())
    return any((d.month, d.day) in _FIXED for d in (day + timedelta(days=n) for n in near))


HOLIDAYS: dict[str, Callable[[date], bool]] = {"us-federal": us_federal}


@dataclass(frozen=True, slots=True)
class Days:
    """Days of a local calendar. Nothing said means every day; everything that is said must hold."""

    weekdays: frozenset[int] = frozenset()
    """Monday is 0."""
    nth: frozenset[tuple[int, int]] = frozenset()
    """Beside `weekdays`: (2, 3) is the second Thursday of a month, (-1, 6) its last Sunday."""
    dates: tuple[date, ...] = ()
    """Announced days, sorted: these alone."""
    every_weeks: int = 1
    """2: every second week, counted from the week of `first`."""
    first: date | None = None
    last: date | None = None
    not_on: tuple[str, ...] = ()
    """Names in HOLIDAYS."""

    def __contains__(self, day: date) -> bool:
        if (self.first is not None and day < self.first) or (self.last is not None and day > self.last):
            return False
        if (self.dates and day not in self.dates) or not self._weekday_fits(day):
            return False
        return self._week_fits(day) and not any(HOLIDAYS[name](day) for name in self.not_on)

    def forward(self, start: date) -> Iterator[date]:
        """The days from `start` on; those that recur as far as the horizon."""
        if self.dates:
            yield from (d for d in self.dates if d >= start and d in self)
            return
        start = max(start, self.first or start)
        yield from (d for n in range(HORIZON_DAYS) if (d := start + timedelta(days=n)) in self)

    def backward(self, start: date) -> Iterator[date]:
        """The days from `start` back."""
        if self.dates:
            yield from (d for d in reversed(self.dates) if d <= start and d in self)
            return
        start = min(start, self.last or start)
        yield from (d for n in range(HORIZON_DAYS) if (d := start - timedelta(days=n)) in self)

    def _weekday_fits(self, day: date) -> bool:
        if not self.weekdays and not self.nth:
            return True
        number, last = nth_of_month(day)
        weekday = day.weekday()
        return weekday in self.weekdays or (number, weekday) in self.nth or (last and (-1, weekday) in self.nth)

    def _week_fits(self, day: date) -> bool:
        if self.every_weeks == 1 or self.first is None:
            return True
        monday = self.first - timedelta(days=self.first.weekday())
        return (day - monday).days // 7 % self.every_weeks == 0
