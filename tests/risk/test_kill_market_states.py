"""While a venue takes no cancels a trip goes on trying and never reports success there (KILLSWITCH.md, 13)."""

import pytest

from base.errors import CommandError
from risk import kill_actions as do
from risk.kill_plan import RestCancelAll
from risk.kill_trip import Phase, Trip
from tests.risk.kill_world import LAG_NS, MS
from tests.risk.test_kill import ALL, Desk

SECOND_MS = 1_000


def refused(*orders: str) -> tuple[Desk, Trip]:
    """A desk trip at its fence while venue x takes no cancels; orders of owner a."""
    desk = Desk()
    for name in orders:
        desk.order("a", name)
    desk.switch.refusing["x"] = "maintenance"
    trip = desk.trip()
    desk.fence()
    desk.inventories()
    return desk, trip


def test_absence_proves_nothing_while_the_venue_takes_no_cancels() -> None:
    desk, trip = refused("1")
    for _ in range(10):
        desk.pass_ms(2 * LAG_NS // MS)
        desk.empty_lists()
    assert trip.counts().proven == 0
    assert trip.phase is Phase.PROVING
    assert "x takes no cancels now: maintenance" in trip.open_questions()


def test_two_lists_from_after_that_state_prove() -> None:
    desk, trip = refused("1")
    desk.empty_lists()
    desk.switch.refusing.clear()
    desk.pass_ms(2 * LAG_NS // MS)
    desk.empty_lists()
    assert trip.counts().proven == 0  # the first of the two was taken while no cancel was
    desk.pass_ms(2 * LAG_NS // MS)
    desk.empty_lists()
    assert (trip.counts().proven, trip.phase) == (1, Phase.PROVEN)


def test_without_a_known_order_success_is_not_reported_and_mass_cancels_go_on() -> None:
    desk, trip = refused()
    desk.empty_lists()
    for _ in range(4):
        desk.actions.clear()
        desk.pass_ms(SECOND_MS + 1)
        assert desk.take(RestCancelAll)
        desk.empty_lists()
    assert trip.phase is Phase.PROVING
    desk.switch.refusing.clear()
    desk.pass_ms(1)
    desk.empty_lists()
    assert trip.phase is Phase.PROVEN


def test_an_order_that_ended_by_its_own_report_is_dead_and_the_account_still_open() -> None:
    desk, trip = refused("1")
    desk.cancelled("a", "1")
    desk.empty_lists()
    assert trip.counts().proven == 1
    assert trip.phase is Phase.PROVING
    assert desk.switch.status()["last_trip"]["phase"] == "PROVING"  # type: ignore[index]


def test_a_trip_that_does_not_concern_that_venue_is_not_held_up() -> None:
    desk = Desk()
    desk.order("c", "9", venue="y")
    desk.switch.refusing["x"] = "maintenance"
    trip = desk.trip("venue:y")
    desk.fence(*ALL)
    desk.cancelled("c", "9", venue="y")
    desk.inventories()
    desk.empty_lists("y")
    assert trip.phase is Phase.PROVEN


def test_a_person_is_called_with_the_reason_at_the_deadline() -> None:
    desk, _ = refused()
    desk.empty_lists()
    desk.pass_ms(31 * SECOND_MS)
    told = [t.text for t in desk.take(do.Tell) if t.code == "not_proven"]  # type: ignore[union-attr]
    assert any("x takes no cancels now: maintenance" in t for t in told)


def test_a_reset_meanwhile_has_to_be_forced() -> None:
    desk, _ = refused()
    desk.empty_lists()
    with pytest.raises(CommandError, match="x takes no cancels now"):
        desk.switch.reset("desk", "done", "me")


def test_a_market_that_takes_no_cancels_holds_up_its_own_orders_and_no_others() -> None:
    desk = Desk()
    desk.order("a", "1")
    desk.order("a", "2", instrument="ETH-USD")
    desk.switch.refusing["x ETH-USD"] = "it answers: Market is closed."
    trip = desk.trip()
    desk.fence()
    desk.inventories()
    for _ in range(3):
        desk.pass_ms(2 * LAG_NS // MS)
        desk.empty_lists()
    assert [p.name for p in trip.proofs.unproven()] == ["2"]
    assert "x ETH-USD takes no cancels now: it answers: Market is closed." in trip.open_questions()
    desk.switch.refusing.clear()
    for _ in range(3):
        desk.pass_ms(2 * LAG_NS // MS)
        desk.empty_lists()
    assert trip.phase is Phase.PROVEN


def test_a_trip_of_another_instrument_does_not_wait_for_that_market() -> None:
    desk = Desk()
    desk.order("a", "1")
    desk.switch.refusing["x ETH-USD"] = "it answers: Market is closed."
    trip = desk.trip("instrument:BTC-USD")
    desk.fence()
    desk.inventories()
    for _ in range(3):
        desk.pass_ms(2 * LAG_NS // MS)
        desk.empty_lists()
    assert trip.phase is Phase.PROVEN
