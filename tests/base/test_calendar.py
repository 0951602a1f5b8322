"""Calendars against a clock on the wall, looked at every minute for 400 days with both changes of the clocks."""

import bisect
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.calendar import DAY_S, FAR_NS, SECOND_NS, Calendar, Closed, Open, Reset, Rule, What, local_to_ns
from base.calendar_days import Days, us_federal

MINUTE_NS = 60 * SECOND_NS
ZONES = ("UTC", "America/New_York", "Europe/London", "Australia/Lord_Howe")
BEGIN = datetime(2025, 12, 20, tzinfo=UTC)
SPAN_DAYS = 400
EARLIER_DAYS = 12  # windows that began before
_EPOCH_DAY = date(1970, 1, 1).toordinal()


def ns(*at: int) -> int:
    return int(datetime(*at, tzinfo=UTC).timestamp()) * SECOND_NS


BEGIN_NS = int(BEGIN.timestamp()) * SECOND_NS
LOOK_NS = BEGIN_NS - EARLIER_DAYS * DAY_S * SECOND_NS
MINUTES = (SPAN_DAYS + EARLIER_DAYS + 10) * 1440
FIRST, LAST = EARLIER_DAYS * 1440, (EARLIER_DAYS + SPAN_DAYS) * 1440


@cache
def wall_clock(zone: str) -> list[int]:
    """What a clock there has shown at most, in local minutes, at each minute of UTC."""
    tz, shown, most = ZoneInfo(zone), [], 0
    at = BEGIN - timedelta(days=EARLIER_DAYS)
    for hour in range(MINUTES // 30):  # offsets change on the half hour, here
        local = (at + timedelta(minutes=30 * hour)).astimezone(tz).replace(tzinfo=None)
        first = (local.toordinal() - _EPOCH_DAY) * 1440 + local.hour * 60 + local.minute
        for minute in range(first, first + 30):
            most = max(most, minute)
            shown.append(most)
    return shown


def reached(zone: str, day: date, minute: int) -> int:
    """The first minute (of UTC, in the table) at which the clock shows this or more."""
    return bisect.bisect_left(wall_clock(zone), (day.toordinal() - _EPOCH_DAY) * 1440 + minute)


def is_day(days: Days, day: date) -> bool:
    """Days, said another way: by counting through the month."""
    same = [d for n in range(1, 32) if (d := _day_of_month(day, n)) and d.weekday() == day.weekday()]
    which = {same.index(day) + 1} | ({-1} if same[-1] == day else set())
    by_weekday = day.weekday() in days.weekdays or any((w, day.weekday()) in days.nth for w in which)
    if (days.weekdays or days.nth) and not by_weekday:
        return False
    if days.dates and day not in days.dates:
        return False
    if days.first and (day < days.first or (_monday(day) - _monday(days.first)).days % (7 * days.every_weeks)):
        return False
    return not (days.last and day > days.last)


def _day_of_month(day: date, n: int) -> date | None:
    try:
        return day.replace(day=n)
    except ValueError:
        return None


def _monday(day: date) -> date:
    while day.weekday():
        day -= timedelta(days=1)
    return day


def windows(rule: Rule) -> list[tuple[int, int]]:
    """(start, end) in minutes of the table, found by looking at the clock."""
    found, zone = [], rule.zone.key
    day = (BEGIN - timedelta(days=EARLIER_DAYS - 1)).date()
    for _ in range(SPAN_DAYS + EARLIER_DAYS + 5):
        if is_day(rule.days, day):
            ends = day
            if rule.end_s <= rule.start_s:
                ends += timedelta(days=1)
            while rule.end_weekday is not None and ends.weekday() != rule.end_weekday:
                ends += timedelta(days=1)
            start, end = reached(zone, day, rule.start_s // 60), reached(zone, ends, rule.end_s // 60)
            if end <= start:
                end = start + ((ends - day).days * DAY_S + rule.end_s - rule.start_s) // 60
            found.append((start, end))
        day += timedelta(days=1)
    return found


def looked_at(rules: list[Rule]) -> bytearray:
    """1 for each minute of the table at which no session is taken."""
    shut = bytearray(MINUTES)
    sessions = [r for r in rules if r.what is What.SESSION]
    if sessions:
        shut[:] = b"\1" * MINUTES
        for rule in sessions:
            for start, end in windows(rule):
                start, end = start + rule.return_s // 60, end - rule.leave_s // 60
                shut[start:end] = bytes(max(end - start, 0)) if start < end else shut[start:end]
    for rule in rules:
        if rule.what is What.CLOSED:
            for start, end in windows(rule):
                start, end = max(start - rule.leave_s // 60, 0), min(end + rule.return_s // 60, MINUTES)
                shut[start:end] = b"\1" * (end - start)
    return shut[:MINUTES]


def told(calendar: Calendar) -> bytearray:
    """The same, by asking for the next change again and again."""
    shut, at = bytearray(MINUTES), FIRST
    while at < LAST:
        now_ns = LOOK_NS + at * MINUTE_NS
        status, change_ns = calendar.status(now_ns), calendar.next_change(now_ns)
        after = LAST if change_ns is None else (change_ns - LOOK_NS) // MINUTE_NS
        assert change_ns is None or change_ns > now_ns
        if isinstance(status, Closed):
            shut[at : min(after, LAST)] = b"\1" * (min(after, LAST) - at)
            assert status.until_ns == (FAR_NS if change_ns is None else change_ns)
        at = after
    return shut


local_minutes = st.one_of(st.integers(0, 4 * 60), st.integers(0, 1439)).map(lambda m: m * 60)
weekdays = st.frozensets(st.integers(0, 6), max_size=3)
nth = st.frozensets(st.tuples(st.sampled_from([1, 2, 4, -1]), st.integers(0, 6)), min_size=1, max_size=2)
first = st.dates(date(2025, 12, 1), date(2026, 3, 1))
dates = st.sets(st.dates(date(2025, 12, 22), date(2027, 1, 10)), min_size=1, max_size=4)
some_days = st.one_of(
    st.builds(Days, weekdays=weekdays),
    st.builds(Days, nth=nth),
    st.builds(Days, weekdays=weekdays, every_weeks=st.integers(2, 3), first=first),
    st.builds(Days, dates=dates.map(lambda days: tuple(sorted(days)))),
    st.builds(Days, last=st.dates(date(2026, 2, 1), date(2026, 12, 1))),
)  # fmt: skip
margins = st.sampled_from([0, 60, 300, 3600])


def rule_kind(what: What) -> st.SearchStrategy[Rule]:
    return st.builds(
        Rule, name=st.just("x"), what=st.just(what), zone=st.sampled_from(ZONES).map(ZoneInfo), days=some_days,
        start_s=local_minutes, end_s=local_minutes, end_weekday=st.one_of(st.none(), st.integers(0, 6)),
        leave_s=margins, return_s=margins, reset=st.sampled_from(Reset),
    )  # fmt: skip


def keeps_length(rule: Rule) -> bool:
    """A table of minutes cannot hold a window that ends on its own weekday a week later before it starts."""
    return rule.end_weekday is None or rule.end_s != rule.start_s


closed_rules = rule_kind(What.CLOSED).filter(keeps_length)
session_rules = rule_kind(What.SESSION).filter(keeps_length)


def check_closed_windows(rules: list[Rule], data: st.DataObject) -> None:
    calendar = Calendar(rules)
    shut = looked_at(rules)
    assert told(calendar)[FIRST:LAST] == shut[FIRST:LAST]
    for at in data.draw(st.lists(st.integers(FIRST, LAST - 1), min_size=50, max_size=50)):
        assert isinstance(calendar.status(LOOK_NS + at * MINUTE_NS + 1), Closed) == bool(shut[at])
        assert isinstance(calendar.status(LOOK_NS + (at + 1) * MINUTE_NS - 1), Closed) == bool(shut[at])


@settings(max_examples=4)
@given(st.lists(closed_rules, min_size=1, max_size=2), st.data())
def test_closed_windows_are_those_that_a_wall_clock_shows(rules, data):
    check_closed_windows(rules, data)


@pytest.mark.stress
@pytest.mark.timeout(900)
@settings(max_examples=100)
@given(st.lists(closed_rules, min_size=1, max_size=3), st.data())
def test_many_calendars_of_closed_windows_are_those_that_a_wall_clock_shows(rules, data):
    check_closed_windows(rules, data)


@settings(max_examples=5)
@given(st.lists(session_rules, min_size=1, max_size=2), st.lists(closed_rules, max_size=1))
def test_outside_its_sessions_a_venue_is_closed(sessions, closed):
    rules = [*sessions, *closed]
    assert told(Calendar(rules))[FIRST:LAST] == looked_at(rules)[FIRST:LAST]


@settings(max_examples=30)
@given(st.lists(closed_rules, min_size=1, max_size=3), st.lists(st.integers(FIRST, LAST), min_size=30, max_size=30))
def test_next_rollover_is_the_least_after_and_last_the_greatest_not_after(rules, minutes):
    resets = Calendar(rules).resets()
    at = sorted(
        w[r.reset is Reset.END] for r in rules if r.reset is not Reset.NONE for w in windows(r)
    )  # fmt: skip
    if resets is None:
        assert not any(r.reset for r in rules)
        return
    for minute in minutes:
        now_ns = LOOK_NS + minute * MINUTE_NS
        n = bisect.bisect_right(at, minute)
        after, before = resets.next(now_ns), resets.last(now_ns)
        assert before is None or before <= now_ns
        assert after is None or after > now_ns
        if n and at[n - 1] >= FIRST:  # what came before the table began is not in it
            assert before == LOOK_NS + at[n - 1] * MINUTE_NS
        if n < len(at):
            assert after == LOOK_NS + at[n] * MINUTE_NS


@given(st.sampled_from(ZONES).map(ZoneInfo), st.dates(date(2026, 1, 1), date(2027, 2, 4)), local_minutes, local_minutes)
def test_the_order_of_local_times_is_kept(zone, day, one, other):
    first, second = sorted((one, other))
    assert local_to_ns(day, first, zone) <= local_to_ns(day, second, zone)


NEW_YORK, LONDON = ZoneInfo("America/New_York"), ZoneInfo("Europe/London")


def rule(start: str, end: str = "", zone: ZoneInfo = NEW_YORK, what: What = What.CLOSED, **more: object) -> Rule:
    def second(text: str) -> int:
        return int(text[:2]) * 3600 + int(text[3:5]) * 60

    days = more.pop("days", Days())
    return Rule("w", what, zone, days, second(start), second(end) if end else None, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("day", "start_utc", "end_utc"),
    [(date(2026, 3, 7), ns(2026, 3, 7, 22), ns(2026, 3, 7, 22, 5)),
     (date(2026, 3, 8), ns(2026, 3, 8, 21), ns(2026, 3, 8, 21, 5)),
     (date(2026, 11, 1), ns(2026, 11, 1, 22), ns(2026, 11, 1, 22, 5))],
)  # fmt: skip
def test_five_in_the_afternoon_in_new_york_moves_with_summer_time(day, start_utc, end_utc):
    assert rule("17:00", "17:05").window(day) == (start_utc, end_utc)


def test_a_time_that_does_not_come_is_the_moment_of_the_change():
    assert local_to_ns(date(2026, 3, 8), 2 * 3600 + 1800, NEW_YORK) == ns(2026, 3, 8, 7)
    assert local_to_ns(date(2026, 3, 29), 3600 + 60, LONDON) == ns(2026, 3, 29, 1)


def test_a_time_that_comes_twice_is_the_first_of_the_two():
    assert local_to_ns(date(2026, 11, 1), 3600 + 1800, NEW_YORK) == ns(2026, 11, 1, 5, 30)


def test_a_window_in_the_hour_that_does_not_come_keeps_its_length():
    assert rule("02:10", "02:40").window(date(2026, 3, 8)) == (ns(2026, 3, 8, 7), ns(2026, 3, 8, 7, 30))


def test_a_window_over_the_weekend_is_as_long_as_the_wall_clock_says():
    weekend = rule("17:00", "17:00", days=Days(weekdays=frozenset({4})), end_weekday=6)
    hours = [(end - start) // (3600 * SECOND_NS) for start, end in map(weekend.window, FRIDAYS)]
    assert hours == [48, 47, 48, 49]


FRIDAYS = (date(2026, 2, 27), date(2026, 3, 6), date(2026, 3, 13), date(2026, 10, 30))


def test_over_midnight_the_window_belongs_to_the_day_it_starts_on():
    calendar = Calendar([rule("23:50", "00:10", days=Days(weekdays=frozenset({5})), zone=ZoneInfo("UTC"))])
    assert calendar.status(ns(2026, 11, 28, 23, 55)) == Closed(ns(2026, 11, 29, 0, 10), "w")
    assert calendar.status(ns(2026, 11, 29, 0, 5)) == Closed(ns(2026, 11, 29, 0, 10), "w")
    assert calendar.status(ns(2026, 11, 29, 23, 55)) == Open()


def test_windows_that_touch_are_one():
    calendar = Calendar([rule("10:00", "11:00"), rule("11:00", "12:00", text="second")])
    assert calendar.status(ns(2026, 7, 1, 14, 30)) == Closed(ns(2026, 7, 1, 16), "w")
    assert calendar.next_change(ns(2026, 7, 1, 13)) == ns(2026, 7, 1, 14)


def test_what_never_ends_is_closed_for_good():
    ended = rule("00:00", days=Days(dates=(date(2026, 10, 1),)), zone=ZoneInfo("UTC"))
    calendar = Calendar([ended])
    assert calendar.next_change(ns(2026, 9, 1)) == ns(2026, 10, 1)
    assert calendar.status(ns(2030, 1, 1)) == Closed(FAR_NS, "w")
    assert calendar.next_change(ns(2030, 1, 1)) is None


def test_sessions_all_day_and_every_day_are_never_left():
    calendar = Calendar([rule("00:00", "00:00", what=What.SESSION)])
    assert calendar.status(ns(2026, 3, 8, 5, 30)) == Open()
    assert calendar.next_change(ns(2026, 1, 1, 12)) is None


def test_a_disconnect_within_an_expected_window_has_its_reason():
    calendar = Calendar([rule("13:45", "14:45", what=What.EXPECTED, text="deployment")])
    assert calendar.status(ns(2026, 7, 2, 18)) == Open("w: deployment")
    assert calendar.status(ns(2026, 7, 2, 19)) == Open()
    assert calendar.next_change(ns(2026, 7, 2)) is None


def test_occurrences_are_those_that_reach_into_the_span_by_start():
    calendar = Calendar([rule("17:00", "17:05"), rule("12:00", what=What.ROLLOVER, reset=Reset.START)])
    found = calendar.occurrences(ns(2026, 7, 1, 21, 2), ns(2026, 7, 3, 16))
    assert [(o.start_ns, o.end_ns) for o in found] == [
        (ns(2026, 7, 1, 21), ns(2026, 7, 1, 21, 5)),
        (ns(2026, 7, 2, 16), ns(2026, 7, 2, 16)),
        (ns(2026, 7, 2, 21), ns(2026, 7, 2, 21, 5)),
    ]


US_FEDERAL_2026 = {  # as the US Office of Personnel Management publishes them
    date(2026, 1, 1), date(2026, 1, 19), date(2026, 2, 16), date(2026, 5, 25), date(2026, 6, 19), date(2026, 7, 3),
    date(2026, 9, 7), date(2026, 10, 12), date(2026, 11, 11), date(2026, 11, 26), date(2026, 12, 25),
}  # fmt: skip


def test_us_federal_holidays_of_a_year():
    year = [date(2026, 1, 1) + timedelta(days=n) for n in range(365)]
    assert {d for d in year if us_federal(d)} == US_FEDERAL_2026


def test_a_holiday_on_sunday_is_kept_on_monday():
    assert us_federal(date(2027, 7, 5))
    assert us_federal(date(2021, 12, 31))  # New Year's Day 2022 was a Saturday


def test_holidays_are_left_out():
    release = rule("13:45", "14:45", days=Days(weekdays=frozenset({3}), not_on=("us-federal",)), what=What.EXPECTED)
    starts = [o.start_ns for o in Calendar([release]).occurrences(ns(2026, 11, 18), ns(2026, 12, 4))]
    assert starts == [ns(2026, 11, 19, 18, 45), ns(2026, 12, 3, 18, 45)]
