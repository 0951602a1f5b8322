"""Sessions over a window of their venue, on a clock turned by hand: out in time, away, back with the right numbers."""

from datetime import UTC, datetime, time

import msgspec
import pytest

from base.calendar import Reset, What
from base.calendar_config import CalendarConfig, Entry
from base.config import Kind
from tests.venues.kit import SECOND, WALL, Heard, Venue, context
from venues.calendar import session_calendar
from venues.interface import SessionPhase, TradingSession
from venues.opening import Opening
from venues.registry import dialect


def ns(*at: int) -> int:
    return int(datetime(*at, tzinfo=UTC).timestamp()) * SECOND


class Life:
    """A trading session, its calendar, and a venue that answers Logons, Logouts and TestRequests."""

    def __init__(self, name: str, calendar: CalendarConfig, **more: object) -> None:
        self.heard = Heard()
        given = context(name, Kind.TRADING, [], "DESK", "VENUE", **more)  # type: ignore[arg-type]
        given = msgspec.structs.replace(given, venue=msgspec.structs.replace(given.venue, calendar=calendar))
        self.session: TradingSession = dialect(name).trading(given, self.heard)
        self.venue = Venue(self.session, self.heard, "DESK", "VENUE")
        self.opening = Opening(session_calendar(given.venue, given.config), lambda: 0.0, 0)
        self.logons: list[tuple[int, int, bool | None]] = []
        self.logouts: list[int] = []
        self._connected = False
        self._fresh_in = 1

    def run(self, until_ns: int, step_ns: int = SECOND // 2) -> None:
        """What a link does, and the venue's answers, step by step."""
        while self.venue.wall < until_ns:
            shut = self.opening.shut(self.venue.wall)
            if self._connected and shut and self.session.phase is not SessionPhase.LOGGING_OUT:
                self.session.logout(shut, self.venue.mono, self.venue.wall)
            elif not self._connected and not shut:
                self._connected = True
                self.session.connected(self.venue.write, self.venue.mono, self.venue.wall)
            self._answer()
            if self.heard.disconnects and self._connected:
                self.heard.disconnects.clear()
                self._connected = False
                self.session.disconnected("closed", self.venue.mono, self.venue.wall)
            self.venue.advance(min(step_ns, until_ns - self.venue.wall))

    def _answer(self) -> None:
        for message in self.venue.take():
            match message.msg_type:
                case "A":
                    reset = message.get_bool(141)
                    self.logons.append((self.venue.wall, message.seq_num, reset))
                    self.venue.seq = 1 if reset else self.venue.seq
                    self.venue.send("A", b"98=0\x01108=30\x01" + (b"141=Y\x01" if reset else b""))
                case "5":
                    self.logouts.append(self.venue.wall)
                    self.venue.send("5")
                case "1":
                    self.venue.send("0", b"112=%s\x01" % message.get(112))


def test_numbers_begin_anew_after_the_daily_window_in_local_time() -> None:
    life = Life("fix44", CalendarConfig(of="coinbase-prime"))
    life.venue.wall = ns(2026, 4, 7, 20, 58)  # 16:58 EDT
    life.run(ns(2026, 4, 7, 21, 10))
    (first, last) = life.logons
    assert life.logouts == [ns(2026, 4, 7, 21)]
    assert first == (ns(2026, 4, 7, 20, 58), 1, None)
    assert last == (ns(2026, 4, 7, 21, 5, 5), 1, True)
    assert life.session.phase is SessionPhase.READY
    assert life.heard.alerts == []


def test_without_a_reset_they_go_on_after_a_window_of_the_desk() -> None:
    window = Entry(name="w", what=What.CLOSED, zone="Europe/London", start=time(16, 0), end=time(16, 30), leave_s=10)
    life = Life("fix44", CalendarConfig(entry=[window]))
    life.venue.wall = ns(2026, 4, 7, 14, 55)  # 15:55 in London
    life.run(ns(2026, 4, 7, 15, 40))
    (_, last) = life.logons
    assert life.logouts == [ns(2026, 4, 7, 14, 59, 50)]
    assert last[0] == ns(2026, 4, 7, 15, 30)
    assert last[1] > 2
    assert last[2] is None
    assert life.heard.alerts == []


def test_the_rollover_of_a_dialect_is_its_calendars() -> None:
    life = Life("kraken", CalendarConfig(), username="key", password="a2V5")
    life.venue.wall = ns(2026, 4, 7, 21, 59)
    life.run(ns(2026, 4, 7, 22, 2))
    (_, last) = life.logons
    assert life.logouts == [ns(2026, 4, 7, 22)]
    assert last == (ns(2026, 4, 7, 22, 0, 30), 1, True)
    assert life.heard.alerts == []


@pytest.mark.parametrize("down_until", [ns(2026, 4, 8, 9), ns(2026, 4, 12, 9)])
def test_a_rollover_that_was_slept_through_is_made_up_for(down_until: int) -> None:
    life = Life("fix44", CalendarConfig(of="coinbase-prime"))
    life.venue.wall = ns(2026, 4, 7, 15)
    assert life.venue.wall > WALL  # the numbers are older than this
    life.run(ns(2026, 4, 7, 15, 1))
    life.session.disconnected("the line is down", life.venue.mono, life.venue.wall)
    life._connected = False
    life.venue.wall = down_until
    life.run(down_until + 5 * SECOND)
    assert life.logons[-1] == (down_until, 1, True)


def test_session_hours_of_a_week_are_kept() -> None:
    week = Entry(name="week", what=What.SESSION, zone="America/Chicago", start=time(17), end=time(16), days=["sun"],
                 end_day="fri", reset=Reset.START)  # fmt: skip
    life = Life("fix44", CalendarConfig(entry=[week]))
    life.venue.wall = ns(2026, 4, 10, 20, 59)  # Friday 15:59 CDT
    life.run(ns(2026, 4, 10, 21, 1))
    assert life.logouts == [ns(2026, 4, 10, 20, 59, 55)]
    life.run(ns(2026, 4, 12, 22, 1), step_ns=60 * SECOND)  # Sunday 17:01 CDT
    assert life.logons[-1][2] is True
    assert life.logons[-1][0] - ns(2026, 4, 12, 22) <= 60 * SECOND
    assert len(life.logons) == 2
    assert life.heard.alerts == []
