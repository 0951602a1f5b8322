"""Venues that cancel late, in part, in name only or not at all: every order of a trip is followed to its end.

Each test pins a fault at a simulated venue (docs/simvenue.md) and trips a real kill switch over a real session.
"""

from collections.abc import Iterator

import pytest

from tests.procs.sim_desk import SimDesk

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def running() -> Iterator[SimDesk]:
    desk = SimDesk(kill="unanswered_horizon_s = 1\nwatch_after_proof_s = 5\nproof_deadline_s = 2")
    try:
        desk.start()
        yield desk
    finally:
        desk.close()


@pytest.fixture
def desk(running: SimDesk) -> Iterator[SimDesk]:
    yield running
    running.reset()


def unproven(desk: SimDesk) -> set[str]:
    return set(desk.last_trip().get("unproven", []))


def test_a_mass_cancel_in_part_leaves_orders_that_are_followed_until_they_end(desk: SimDesk) -> None:
    orders = set(desk.place_working(4))
    desk.venue.fault("mass_cancel_partial", leave=2, n=3)
    desk.venue.fault("reject", msg_type="F", n=4)
    desk.trip()
    trip = desk.proven()
    assert (trip["orders"], trip["proven"], desk.working() & orders) == (4, 4, set())


def test_reports_that_are_lost_are_made_up_by_lists_and_single_answers(desk: SimDesk) -> None:
    desk.place_working(3)
    desk.venue.fault("lost_report", exec_type="4", n=3)
    desk.trip()
    trip = desk.proven()
    assert trip["proven"] == 3
    assert set(trip["proven_by"]) <= {"order status", "absent from two open-orders lists"}
    assert trip["refuted"] == 0


def test_a_35_r_that_did_nothing_proves_nothing(desk: SimDesk) -> None:
    orders = set(desk.place_working(3))
    desk.venue.fault("mass_cancel_fake", n=6)
    desk.venue.fault("swallow", msg_type="F", n=30)
    desk.trip()
    desk.wait(lambda: desk.venue.control("GET", "/stats")["faults_struck"].get("mass_cancel_fake", 0) >= 2, "accepted")
    assert desk.last_trip()["phase"] != "PROVEN"
    assert unproven(desk) == orders == desk.working()
    desk.venue.control("DELETE", "/faults")
    assert desk.proven()["proven"] == 3


def test_slow_cancels_count_when_they_are_done_and_a_fill_on_the_way_is_listed(desk: SimDesk) -> None:
    first, _ = desk.place_working(2)
    placed = {o["cl_ord_id"]: o["order_id"] for o in desk.venue.working()}
    desk.venue.fault("pending_cancel", ms=1500, n=40)
    desk.trip()
    desk.wait(lambda: desk.last_trip().get("phase") == "PROVING", "fenced")
    assert desk.last_trip()["proven"] == 0
    desk.venue.control("POST", "/fill", {"order_id": placed[first]})
    trip = desk.proven()
    assert (trip["proven"], trip["filled"], trip["filled_orders"]) == (2, 1, [first])
    assert desk.working() == set()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_fill_that_races_its_cancel_is_counted(desk: SimDesk, when: str) -> None:
    (order,) = desk.place_working(1)
    desk.venue.fault("late_fill", when=when, ms=100)
    desk.trip()
    desk.wait(lambda: desk.last_trip().get("filled") == 1, "the fill is counted")
    assert desk.proven()["filled_orders"] == [order]


def test_an_order_that_is_acknowledged_after_the_trip_is_followed_and_cancelled_again(desk: SimDesk) -> None:
    """It works at the venue, and nobody here was told: uncertain, then late, then dead by its own report."""
    desk.venue.fault("late_ack", ms=2500)
    (hidden,) = desk.place(1)
    desk.wait(lambda: hidden in desk.working(), "it works")
    desk.venue.fault("mass_cancel_fake", n=4)
    desk.venue.fault("swallow", msg_type="F", n=6)
    desk.trip()
    desk.wait(lambda: desk.last_trip().get("uncertain") == 1, "it is uncertain")
    trip = desk.proven()
    assert (trip["orders"], trip["proven"], desk.working()) == (1, 1, set())
    desk.wait(lambda: desk.reported(hidden), "its reports come after all, and are not heard in the next test's trip")


@pytest.mark.parametrize("ms", [500, 2500], ids=["within the horizon", "beyond it"])
def test_an_order_that_reaches_the_book_after_the_trip_is_cancelled_when_it_shows_itself(
    desk: SimDesk, ms: int
) -> None:
    """Beyond the horizon its absence had proved it dead: then its life refutes the proof."""
    desk.venue.fault("late_order", ms=ms)
    (order,) = desk.place(1)
    desk.trip()

    def ended() -> bool:
        record = desk.venue.control("GET", "/record/orders")["orders"]
        return any(o["cl_ord_id"] == order and o["closed_ns"] for o in record)

    desk.wait(ended, "it reached the book, and was cancelled")
    trip = desk.proven()
    assert (trip["orders"], trip["proven"], desk.working()) == (1, 1, set())


def test_nothing_is_reported_as_done_while_the_venue_takes_no_cancels_whatever_its_list_shows(desk: SimDesk) -> None:
    orders = set(desk.place_working(2))
    desk.venue.fault("no_cancel", seconds=120)
    desk.venue.fault("list_empty", seconds=120)
    desk.trip()
    desk.wait(lambda: "takes no cancels now" in " ".join(desk.last_trip().get("open_questions", [])), "noticed")
    desk.wait(lambda: "not_proven" in desk.logs(), "a person is called", 30)
    assert desk.last_trip()["phase"] == "PROVING"
    assert unproven(desk) == orders == desk.working()
    assert desk.status()["refusing"]["x"].startswith("it answers: ")
    desk.venue.control("DELETE", "/faults")
    assert desk.proven()["proven"] == 2
    assert desk.working() == set()


def test_a_desk_without_orders_is_not_done_either_while_cancels_are_refused(desk: SimDesk) -> None:
    desk.venue.fault("no_cancel", seconds=120)
    desk.trip()
    desk.wait(lambda: "takes no cancels now" in " ".join(desk.last_trip().get("open_questions", [])), "noticed")
    before = desk.venue.control("GET", "/stats")["faults_struck"]["no_cancel"]
    desk.wait(lambda: desk.venue.control("GET", "/stats")["faults_struck"]["no_cancel"] > before + 2, "tried again")
    assert desk.last_trip()["phase"] == "PROVING"
    desk.venue.control("DELETE", "/faults")
    desk.proven()
