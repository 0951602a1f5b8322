"""What the kill switch asks of the calendars: when a session, and what hangs on it, may be away."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from base.config import load
from ipc.readiness import VENUE_CLOSED
from venues.kill_calendar import KillCalendar

DESK = """
[desk]
name = "t"
environment = "test"

[kill]
window_return_s = 60

[venue.x]
dialect = "fix44"
instruments = [{ name = "BTC-USD", symbol = "B", px_scale = 1, qty_scale = 8 }]

[[venue.x.calendar.entry]]
name = "night"
what = "closed"
zone = "UTC"
start = 22:00:00
end = 22:30:00
kinds = ["trading", "dropcopy"]
"""
SESSION = """
[session.{name}]
venue = "x"
kind = "{name}"
address = "10.0.0.1:1"
sender_comp_id = "{name}"
target_comp_id = "X"
"""


def at(clock: str) -> int:
    return int(datetime.fromisoformat(f"2026-11-20T{clock}").replace(tzinfo=UTC).timestamp()) * 1_000_000_000


@pytest.fixture
def calendar(tmp_path: Path) -> KillCalendar:
    (tmp_path / "desk.toml").write_text(
        DESK + "".join(SESSION.format(name=n) for n in ("trading", "marketdata", "dropcopy"))
    )
    return KillCalendar(load(tmp_path / "desk.toml"))


@pytest.mark.parametrize(
    ("clock", "away"),
    [("21:58:00", False), ("22:00:30", True), ("22:29:30", True), ("22:30:30", True), ("22:32:00", False)],
)
def test_a_session_may_be_away_in_its_window_and_a_little_after(calendar: KillCalendar, clock: str, away: bool) -> None:
    assert calendar.excuses("trading", at(clock)) is away
    assert calendar.no_drop_copy("x", at(clock)) is away
    assert not calendar.excuses("marketdata", at(clock))  # the entry is not of its kind


def test_what_the_process_says_of_itself_counts_at_any_time(calendar: KillCalendar) -> None:
    assert calendar.excuses("trading", at("12:00:00"), f"{VENUE_CLOSED}13:00")


def test_a_venue_without_a_drop_copy_has_none_to_wait_for(calendar: KillCalendar) -> None:
    assert not calendar.no_drop_copy("y", at("22:10:00"))


def test_the_answer_is_kept_for_a_second_and_no_longer(calendar: KillCalendar) -> None:
    second = 1_000_000_000
    before = at("22:00:00") - 20 * second
    states = [calendar.excuses("trading", before + n * second // 4) for n in range(300)]
    assert states[0] is False
    assert states[-1] is True
    assert states == sorted(states)
    assert calendar.excuses("trading", before) is False  # a clock that was set back asks again
