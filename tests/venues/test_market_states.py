"""Which venues take no cancels: by their calendar, or by what they answer."""

from typing import Any

import pytest

from base.config import RestConfig, VenueConfig
from ipc.events import CancelReject, MassCancelReport
from tests.venues.kit import SECOND, WALL
from venues.calendar import VenueCalendar, venue_times
from venues.market_states import HOLD_NS, MarketStates
from venues.registry import dialect

REST = RestConfig(address="https://127.0.0.1:1")


def plan(name: str, **options: Any) -> Any:
    return dialect(name).cancel_plan(VenueConfig(dialect=name, instruments=[], options=options, rest=REST))


def reject(venue: str, text: str, code: str = "0") -> CancelReject:
    return CancelReject("s", venue, "BTC-USD", "1", "2", "", "1", code, text, "9", 0)


@pytest.mark.parametrize(
    ("venue", "text"),
    [
        ("kraken", "EService:Market in maintenance"), ("kraken", "CancelAll: EService:Unavailable"),
        ("binance", "Market is closed."), ("binance", "cancel openOrders: -1016 This service is no longer available."),
        ("fix44", "cancels are not taken now"), ("fix44", "cancel all: HTTP status 503: cancels are not taken now"),
    ],
)  # fmt: skip
def test_an_answer_that_says_so_counts_until_nothing_says_so_any_more(venue: str, text: str) -> None:
    states = MarketStates({venue: plan(venue)}, {})
    states.answer(venue, "", text, 10 * SECOND)
    assert states.refusing(10 * SECOND, WALL) == {venue: f"it answers: {text}"}
    assert states.refusing(10 * SECOND + HOLD_NS, WALL) == {}


def test_ordinary_refusals_say_nothing_of_the_kind() -> None:
    states = MarketStates({"kraken": plan("kraken"), "binance": plan("binance")}, {})
    for venue, text in (("kraken", "EOrder:Unknown order"), ("binance", "Unknown order sent."), ("other", "x")):
        states.answer(venue, "-2011", text, 0)
        states.event(reject(venue, text, "-2011"), 0)
    assert states.refusing(1, WALL) == {}


def test_reports_of_sessions_are_heard_and_an_accepted_mass_cancel_is_no_refusal() -> None:
    states = MarketStates({"binance": plan("binance")}, {})
    report = MassCancelReport("s", "binance", "BTC-USDT", "1", "1", "1", 3, "", "Market is closed.", 0)
    states.event(report, SECOND)
    assert states.refusing(SECOND, WALL) == {}
    states.event(MassCancelReport("s", "binance", "BTC-USDT", "1", "1", "0", None, "", "Market is closed.", 0), SECOND)
    assert list(states.refusing(SECOND, WALL)) == ["binance BTC-USDT"]
    states = MarketStates({"binance": plan("binance")}, {})
    states.event(reject("binance", "Market is closed."), SECOND)
    assert list(states.refusing(SECOND, WALL)) == ["binance BTC-USD"]


def test_what_a_venue_says_of_one_symbol_is_about_that_symbol_alone_and_of_itself_about_all() -> None:
    states = MarketStates({"binance": plan("binance"), "kraken": plan("kraken")}, {})
    states.answer("binance", "", "Market is closed.", SECOND, "BTC-USDT")
    states.answer("binance", "-1016", "shutting down", SECOND, "ETH-USDT")
    states.answer("kraken", "", "marketSuspended", SECOND)
    assert list(states.refusing(SECOND, WALL)) == ["binance BTC-USDT", "binance", "kraken"]
    states.answer("binance", "", "Market is closed.", SECOND + HOLD_NS, "BTC-USDT")
    assert list(states.refusing(SECOND + HOLD_NS, WALL)) == ["binance BTC-USDT"], "each as long as it is heard"


def test_a_window_of_the_calendar_is_such_a_state_and_an_expected_drop_is_not() -> None:
    calendar = VenueCalendar(venue_times("kraken").rules)
    states = MarketStates({"kraken": plan("kraken")}, {"kraken": [calendar]})
    rollover = WALL // (86_400 * SECOND) * 86_400 * SECOND + 22 * 3600 * SECOND
    assert "daily-rollover" in states.refusing(0, rollover + SECOND)["kraken"]
    assert states.refusing(0, rollover - 60 * SECOND) == {}
    assert states.refusing(0, rollover + 31 * SECOND) == {}


def test_sessions_of_one_venue_with_other_hours_are_away_only_together() -> None:
    away, here = VenueCalendar(venue_times("kraken").rules), VenueCalendar([])
    at = WALL // (86_400 * SECOND) * 86_400 * SECOND + 22 * 3600 * SECOND + SECOND
    assert MarketStates({"v": plan("kraken")}, {"v": [away, here]}).refusing(0, at) == {}
    assert list(MarketStates({"v": plan("kraken")}, {"v": [away, away]}).refusing(0, at)) == ["v"]
