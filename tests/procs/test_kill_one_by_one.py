"""A venue that has no mass cancel, over its session or over REST: a trip goes order by order, and is proven."""

from collections.abc import Iterator

import pytest

from tests.procs.sim_desk import SimDesk

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture
def desk() -> Iterator[SimDesk]:
    made = SimDesk("coinbase_prime")
    try:
        made.start()
        yield made
    finally:
        made.close()


def test_every_order_of_a_living_and_of_a_dead_owner_is_cancelled_and_proven(desk: SimDesk) -> None:
    desk.place_working(6)
    desk.trip()
    trip = desk.proven()
    assert (trip["orders"], trip["proven"], trip["unproven"], desk.working()) == (6, 6, [], set())
    desk.reset()
    desk.place_working(5)
    desk.kill("trd")  # a dead owner trips by itself
    desk.wait(lambda: desk.working() == set(), "reached without its owner")
    assert desk.proven()["unproven"] == []


def test_an_order_that_the_venue_has_not_named_is_followed_until_it_can_be_cancelled(desk: SimDesk) -> None:
    desk.venue.fault("late_ack", ms=1500)
    desk.place()
    desk.wait(lambda: len(desk.working()) == 1, "working, and not reported")
    desk.trip()
    assert desk.proven()["unproven"] == []
    assert desk.working() == set()
