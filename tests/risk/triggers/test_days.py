"""A day begins at midnight, not when somebody sets the clock."""

from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from ipc.events import Position
from risk.triggers.days import DRIFT, STEP_NS, DayClock, Days
from risk.triggers.pnl import ProfitBook

SECOND = 1_000_000_000
HOUR = 3_600 * SECOND
NOON = 1_750_000_000 * SECOND // (24 * HOUR) * 24 * HOUR + 12 * HOUR
UTC = ZoneInfo("UTC")


def test_the_wall_clock_is_followed_while_it_is_slewed() -> None:
    clock, wall = DayClock(), NOON
    for i in range(1_000):
        wall += 100 * SECOND // 1_000 + (i % 3 - 1) * 50_000_000
        assert clock.now(wall, i * 100_000_000) == wall
    assert clock.fault() == ""


@given(st.integers(-30, 30).filter(bool), st.integers(0, 11))
def test_a_jump_over_midnight_moves_no_day_and_is_said(hours: int, after: int) -> None:
    clock, days = DayClock(), Days(UTC)
    assert days.day(clock.now(NOON, 5)) == "2025-06-15"
    for i in range(1, after * 36 + 2):
        mono = i * 100 * SECOND
        now = clock.now(NOON + mono + hours * HOUR, 5 + mono)
        assert now == NOON + mono
        assert days.day(now) == "2025-06-15"
    assert f"{abs(hours) * 3600} s {'ahead' if hours > 0 else 'behind'}" in clock.fault()


def test_midnight_comes_by_the_monotonic_clock_and_agreement_ends_the_hold() -> None:
    clock, days = DayClock(), Days(UTC)
    clock.now(NOON, 0)
    assert days.day(clock.now(NOON - 20 * HOUR, 12 * HOUR)) == "2025-06-16"
    assert clock.now(NOON + 13 * HOUR + SECOND, 13 * HOUR) == NOON + 13 * HOUR + SECOND
    assert clock.fault() == ""


def test_a_step_that_a_time_server_makes_in_one_go_is_none() -> None:
    clock = DayClock()
    clock.now(NOON, 0)
    assert clock.now(NOON + STEP_NS, 0) == NOON + STEP_NS
    held = DayClock()
    held.now(NOON, 0)
    assert held.now(NOON + 10 * HOUR + 10 * HOUR // DRIFT, 10 * HOUR) == NOON + 10 * HOUR + 10 * HOUR // DRIFT


def test_what_an_owner_writes_by_a_clock_that_jumped_ends_no_day() -> None:
    days = Days(UTC)
    book = ProfitBook(days)
    days.trust(NOON)
    book.event("a", 1, 1, Position("a", "x", "main", "BTC-USD", 100, 2, NOON, 10_000, 2))
    book.event("a", 1, 2, Position("a", "x", "main", "BTC-USD", 0, 2, NOON + 20 * HOUR, 9_000, 2))
    (holding,) = book.holdings.values()
    assert (holding.day, holding.realised) == ("2025-06-15", -10)
    days.trust(NOON + 20 * HOUR)
    assert book.roll(NOON + 20 * HOUR, lambda venue, instrument: None)
    assert (holding.day, holding.realised) == ("2025-06-16", 0)
