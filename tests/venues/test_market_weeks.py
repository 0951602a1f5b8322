"""Weeks of rollovers, maintenance and session hours, on a clock of our own: nothing of it trips a session by itself.

Sessions are lost and come back as venues do it, early and late by seconds, with orders working all the time. The kill
switch's own rule looks at them: what a calendar excuses (venues/calendar.py), and the soft trigger behind it.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from base.calendar import FAR_NS, Rule, What
from base.calendar_days import Days
from base.kill_config import KillConfig
from ipc.readiness import VENUE_CLOSED
from risk.kill_triggers import OwnerView, SessionLoss
from venues.calendar import VenueCalendar, names, venue_times

SECOND = 1_000_000_000
WEEK = 7 * 86_400 * SECOND
KILL = KillConfig()
GRACE_NS = KILL.session_loss_grace_s * SECOND
RETURN_NS = KILL.window_return_s * SECOND
STARTS = {  # a week of winter, and that in which clocks change between Europe's and America's last Sundays
    "winter": datetime(2026, 2, 2, tzinfo=UTC),
    "autumn": datetime(2026, 10, 26, tzinfo=UTC),
}
HOURS = Rule(
    "hours", What.SESSION, ZoneInfo("America/New_York"), Days(weekdays=frozenset({6, 0, 1, 2, 3})), 18 * 3600,
    17 * 3600, leave_s=5,
)  # fmt: skip
Outage = tuple[int, int]


def calendars() -> dict[str, VenueCalendar]:
    """Every venue's own, and one with session hours, which no venue here has."""
    return {name: VenueCalendar(venue_times(name).rules) for name in names()} | {"with hours": VenueCalendar([HOURS])}


def windows(calendar: VenueCalendar, start_ns: int) -> list[Outage]:
    """When the venue is away by its calendar, overlapping windows put together."""
    away = (What.CLOSED, What.EXPECTED)
    found = calendar.occurrences(start_ns, start_ns + WEEK)
    spans = [(o.start_ns, o.end_ns) for o in found if o.rule.what in away and o.end_ns < FAR_NS]
    at = start_ns
    while at < start_ns + WEEK and any(r.what is What.SESSION for r in calendar.rules):
        turn = calendar.next_change(at)
        if turn is None:
            break
        if not calendar.away(turn):
            at = turn
            continue
        back = calendar.next_change(turn)
        if back is None:
            break
        spans.append((turn, back))
        at = back
    merged: list[Outage] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged


def outages(spans: list[Outage], dice: random.Random) -> list[Outage]:
    """Each window as a venue keeps it: it begins a little early or late, and the session is back a little after."""
    found = []
    for begin, end in spans:
        gone = begin + dice.randrange(-3 * SECOND, 5 * SECOND)
        found.append((gone, end + dice.randrange(0, 45 * SECOND)))
        if end - begin > 120 * SECOND and dice.random() < 0.3:  # a drop and a short return within it
            middle = (begin + end) // 2
            found[-1:] = [(gone, middle), (middle + SECOND, end + dice.randrange(0, 45 * SECOND))]
    return found


def looks(spans: list[Outage]) -> Iterator[int]:
    """Moments around each outage, close together where something can happen."""
    for begin, end in spans:
        at = begin - 5 * SECOND
        while at < end + 90 * SECOND:
            yield at
            quiet = begin + 30 * SECOND < at < end - 180 * SECOND
            at += 60 * SECOND if quiet else SECOND


def trips(calendar: VenueCalendar, lost: list[Outage], *, says_closed: bool = False) -> list[str]:
    """What the kill switch would trip for, as procs/killswitch.py looks at a session with two working orders."""
    loss = SessionLoss(GRACE_NS, KILL.session_loss_confirmations)
    found = []
    for at in looks(lost):
        down = any(begin <= at < end for begin, end in lost)
        closed = down and says_closed and bool(calendar.away(at))
        reason = f"{VENUE_CLOSED}: by the calendar" if closed else "connection reset"
        ready = not down or bool(calendar.excuses(reason, at, RETURN_NS))
        if why := loss.look(OwnerView("s", ready, 2, reason), at):
            found.append(f"{datetime.fromtimestamp(at / SECOND, UTC)}: {why}")
    return found


@pytest.mark.parametrize("week", STARTS)
@pytest.mark.parametrize("venue", [*names(), "with hours"])
def test_a_week_of_windows_trips_nothing_and_a_loss_outside_them_does(venue: str, week: str) -> None:
    calendar = calendars()[venue]
    start_ns = int(STARTS[week].timestamp()) * SECOND
    spans = windows(calendar, start_ns)
    dice = random.Random(f"{venue} {week}")
    assert trips(calendar, outages(spans, dice), says_closed=dice.random() < 0.5) == []
    if calendar.away(start_ns) and calendar.next_change(start_ns) is None:
        return  # the venue is closed for good: no loss of a session there is a surprise
    for _ in range(200):
        at = start_ns + dice.randrange(WEEK)
        if not any(begin - 120 * SECOND < at < end + 120 * SECOND for begin, end in spans):
            assert len(trips(calendar, [(at, at + 40 * SECOND)])) == 1
            return
    raise AssertionError(f"{venue} is away all week")


def test_some_calendars_have_windows_of_each_kind() -> None:
    """The weeks above would prove nothing if there were none."""
    start_ns = int(STARTS["winter"].timestamp()) * SECOND
    found = {name: windows(c, start_ns) for name, c in calendars().items()}
    assert sum(bool(w) for w in found.values()) >= 5
    assert len(found["kraken"]) == 7
    assert {r.what for c in calendars().values() for r in c.rules} >= {What.CLOSED, What.EXPECTED, What.SESSION}


def test_a_venue_that_comes_back_too_late_after_its_window_does_trip() -> None:
    calendar = calendars()["kraken"]
    start_ns = int(STARTS["winter"].timestamp()) * SECOND
    begin, end = windows(calendar, start_ns)[0]
    assert trips(calendar, [(begin, end + RETURN_NS + GRACE_NS - 5 * SECOND)]) == []
    assert len(trips(calendar, [(begin, end + RETURN_NS + 3 * GRACE_NS)])) == 1
