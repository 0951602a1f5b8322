"""A venue whose mass cancel reaches the session that sends it alone, and whose answer to it is no proof."""

from collections.abc import Iterator

import pytest

from tests.procs.sim_desk import SimDesk

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture
def desk() -> Iterator[SimDesk]:
    made = SimDesk("coinbase_exchange")
    try:
        made.start()
        yield made
    finally:
        made.close()


def test_a_trip_is_proven_by_each_order_of_a_living_and_of_a_dead_owner_and_of_one_instrument(desk: SimDesk) -> None:
    desk.place_working(6)
    desk.trip()
    trip = desk.proven()
    assert (trip["orders"], trip["proven"], trip["unproven"], desk.working()) == (6, 6, [], set())
    desk.reset()
    desk.place_working(17)
    (other,) = desk.place_working(1, instrument=1)
    desk.trip("instrument:BTC-USD")
    assert (desk.proven()["orders"], desk.working()) == (17, {other})
    desk.ask("reset", scope="instrument:BTC-USD", reason="next")
    desk.kill("trd")  # a dead owner trips by itself: its session's mass cancel is gone with it
    desk.wait(lambda: desk.working() == set(), "reached without its owner")
    assert desk.proven()["unproven"] == []


def test_an_acknowledgement_of_a_mass_cancel_that_does_nothing_proves_nothing(desk: SimDesk) -> None:
    desk.place_working(3)
    desk.venue.fault("mass_cancel_fake")
    desk.trip()
    assert desk.proven()["unproven"] == []
    assert desk.working() == set()
