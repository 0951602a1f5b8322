"""The venues' calendars: what the reference says, in UTC on both sides of summer time, and what a desk may change."""

from datetime import UTC, date, datetime, time

import pytest

from base.calendar import SECOND_NS, Closed, Open, Reset, What
from base.calendar_config import CalendarConfig, Entry
from base.config import Kind, SessionConfig, VenueConfig
from base.errors import ConfigError
from venues import registry
from venues.calendar import VenueCalendar, configured_rules, names, session_calendar, venue_times


def ns(*at: int) -> int:
    return int(datetime(*at, tzinfo=UTC).timestamp()) * SECOND_NS


def calendar(name: str) -> VenueCalendar:
    return VenueCalendar(venue_times(name).rules)


def venue(dialect: str = "fix44", **changes: object) -> VenueConfig:
    return VenueConfig(dialect=dialect, instruments=[], calendar=CalendarConfig(**changes))  # type: ignore[arg-type]


def session(kind: Kind = Kind.TRADING, address: str = "venue.example:443") -> SessionConfig:
    return SessionConfig(venue="x", kind=kind, address=address, sender_comp_id="A", target_comp_id="B")


MAINTENANCE = Entry(
    name="announced", what=What.CLOSED, zone="Europe/London", start=time(1, 30), end=time(3), on=[date(2026, 12, 5)]
)


def test_every_dialect_has_a_calendar():
    assert {name.replace("_", "-") for name in registry.names()} <= set(names())


def test_every_venue_of_the_reference_has_a_calendar():
    assert set(names()) >= {
        "axon", "binance", "bitfinex", "bitstamp", "bybit", "cex-io", "coinbase-derivatives", "coinbase-exchange",
        "coinbase-international", "coinbase-prime", "crypto-com", "deribit", "gemini", "htx", "kraken", "kucoin", "okx",
    }  # fmt: skip


@pytest.mark.parametrize("name", names())
def test_every_entry_and_note_names_its_source(name):
    times = venue_times(name)
    assert times.rules or times.notes
    assert all(rule.source and rule.text for rule in times.rules)
    assert all(note.source and note.text for note in times.notes)


@pytest.mark.parametrize(
    ("name", "inside", "until"),
    [
        ("kraken", ns(2026, 7, 1, 22, 0, 10), ns(2026, 7, 1, 22, 0, 30)),
        ("kraken", ns(2026, 12, 1, 22, 0, 10), ns(2026, 12, 1, 22, 0, 30)),
        ("coinbase-prime", ns(2026, 7, 1, 21, 3), ns(2026, 7, 1, 21, 5, 5)),  # 17:00 EDT
        ("coinbase-prime", ns(2026, 12, 1, 22, 3), ns(2026, 12, 1, 22, 5, 5)),  # 17:00 EST
        ("crypto-com", ns(2026, 11, 12, 7, 4, 30), ns(2026, 11, 12, 7, 15)),  # second Thursday
        ("lmax", ns(2026, 7, 4, 21, 2), ns(2026, 7, 4, 21, 5)),  # 22:00 BST
        ("lmax", ns(2026, 12, 5, 22, 2), ns(2026, 12, 5, 22, 5)),  # 22:00 GMT
        ("axon", ns(2026, 7, 1, 8, 3), ns(2026, 7, 1, 8, 10)),
        ("bitfinex", ns(2026, 11, 22, 0, 1), ns(2026, 11, 22, 0, 5)),
    ],
)
def test_the_documented_windows_are_closed(name, inside, until):
    status = calendar(name).status(inside)
    assert isinstance(status, Closed)
    assert status.until_ns == until
    assert calendar(name).status(until) == Open(calendar(name).status(until).expected)


@pytest.mark.parametrize(
    ("name", "before", "rollover"),
    [
        ("kraken", ns(2026, 11, 22, 21), ns(2026, 11, 22, 22)),
        ("coinbase-prime", ns(2026, 10, 31, 12), ns(2026, 10, 31, 21, 5)),
        ("coinbase-prime", ns(2026, 11, 1, 12), ns(2026, 11, 1, 22, 5)),
        ("coinbase-exchange", ns(2026, 7, 1), ns(2026, 7, 4, 17)),  # Saturday 13:00 EDT
        ("coinbase-exchange", ns(2026, 12, 1), ns(2026, 12, 5, 18)),
        ("coinbase-derivatives", ns(2026, 7, 1), ns(2026, 7, 3, 21, 5)),  # Friday 16:05 CDT
        ("coinbase-derivatives", ns(2026, 12, 1), ns(2026, 12, 4, 22, 5)),
        ("crypto-com", ns(2026, 11, 13), ns(2026, 12, 10, 7, 15)),
    ],
)
def test_numbers_begin_anew_when_the_reference_says(name, before, rollover):
    resets = calendar(name).resets()
    assert resets is not None
    assert resets.next(before) == rollover
    assert resets.last(rollover) == rollover
    assert resets.last(before) < before


@pytest.mark.parametrize("name", ["binance", "bybit", "okx", "kucoin", "gemini", "deribit", "htx", "bitstamp", "fix44"])
def test_venues_without_documented_rollover_have_none(name):
    assert calendar(name).resets() is None
    assert calendar(name).next_change(ns(2026, 11, 22)) is None


def test_a_release_is_expected_on_mondays_and_thursdays_that_are_no_holidays():
    exchange = calendar("coinbase-exchange")
    assert exchange.status(ns(2026, 11, 23, 19)).expected.startswith("release")
    for hour in (18, 19):  # in summer 14:00 ET is the one, the text's 7PM UTC the other
        assert exchange.status(ns(2026, 7, 20, hour)).expected.startswith("release")
    assert exchange.status(ns(2026, 11, 26, 19)) == Open()  # Thanksgiving
    assert exchange.status(ns(2026, 11, 24, 19)) == Open()  # Tuesday


def test_a_venue_that_ended_stays_closed():
    status = calendar("coinbase-international").status(ns(2026, 11, 22))
    assert isinstance(status, Closed)
    assert calendar("coinbase-international").next_change(ns(2026, 11, 22)) is None


def test_an_announced_window_of_the_desk_counts_for_a_simulated_venue_too():
    own = session_calendar(venue("kraken", entry=[MAINTENANCE]), session(address="run:sim-kraken#trading"))
    assert isinstance(own.status(ns(2026, 12, 5, 2)), Closed)
    assert own.status(ns(2026, 12, 6, 2)) == Open()
    assert own.resets() is None  # the venue's own rollover does not


def test_a_simulated_venue_keeps_the_calendar_of_its_venue_when_told():
    own = session_calendar(venue("kraken", on_simulated=True), session(address="run:sim-kraken#trading"))
    assert isinstance(own.status(ns(2026, 11, 22, 22, 0, 10)), Closed)


def test_an_entry_of_the_same_name_replaces_the_venues_own():
    later = Entry(name="daily-rollover", what=What.ROLLOVER, zone="UTC", start=time(23))
    own = session_calendar(venue("kraken", entry=[later]), session())
    assert own.status(ns(2026, 11, 22, 22, 0, 10)).expected  # open, where it was closed
    assert own.resets().next(ns(2026, 11, 22, 21)) == ns(2026, 11, 22, 23)


def test_entries_that_are_off_do_not_count():
    own = session_calendar(venue("kraken", off=["daily-rollover", "rollover-drops"]), session())
    assert own.rules == ()


def test_one_site_of_several_is_kept():
    own = session_calendar(venue(of="axon", site="LD4"), session())
    assert isinstance(own.status(ns(2026, 11, 22, 2, 5)), Closed)
    assert own.status(ns(2026, 11, 22, 8, 5)) == Open()


def test_a_window_of_order_management_does_not_close_market_data():
    at = ns(2026, 12, 10, 7, 10)
    crypto = venue(of="crypto-com")
    assert isinstance(session_calendar(crypto, session()).status(at), Closed)
    assert session_calendar(crypto, session(Kind.MARKETDATA)).status(at) == Open()


def entry(**changes: object) -> Entry:
    base = {"name": "w", "what": What.CLOSED, "zone": "UTC", "start": time(1), "end": time(2)}
    return Entry(**{**base, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"off": ["no-such"]}, r"calendar\.off.*no-such.*daily-rollover"),
        ({"of": "nowhere"}, r"calendar\.of.*nowhere"),
        ({"site": "LD4"}, r"calendar\.site.*LD4"),
        ({"entry": [entry(zone="Europe/Atlantis")]}, r"'w'\.zone.*Atlantis.*IANA"),
        ({"entry": [entry(days=["5th thursday"])]}, r"'w'\.days.*thursday"),
        ({"entry": [entry(days=["6th thu"])]}, r"'w'\.days.*6th"),
        ({"entry": [entry(end=None)]}, "end = None"),
        ({"entry": [entry(what=What.ROLLOVER)]}, "a rollover is a moment"),
        ({"entry": [entry(end=None, on=[date(2026, 1, 1)], reset=Reset.END)]}, "there is no end"),
        ({"entry": [entry(every_weeks=2)]}, "every_weeks = 2"),
        ({"entry": [entry(first=date(2026, 2, 1), last=date(2026, 1, 1))]}, "not before `first`"),
        ({"entry": [entry(leave_s=4000)]}, "leave_s = 4000"),
        ({"entry": [entry(return_s=-1)]}, "return_s = -1"),
        ({"entry": [entry(not_on=["bank"])]}, r"not_on.*bank.*us-federal"),
        ({"entry": [entry(start=time(1, 0, 0, 5))]}, r"start.*whole seconds"),
        ({"entry": [entry(end_day="sunday")]}, r"end_day.*sunday"),
        ({"entry": [entry(), entry()]}, r"two entries are named 'w'"),
    ],
)
def test_what_cannot_be_is_an_error_that_names_it(changes, named):
    with pytest.raises(ConfigError, match=named):
        configured_rules(venue("kraken", **changes), False, "venue.x")
