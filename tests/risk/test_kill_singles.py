"""Single cancels over REST: when they leave, for which orders, how often, and that they are no proof."""

import msgspec
import pytest

from risk import kill_actions as do
from risk.kill_plan import KillVenue, Topology, make_plan
from risk.kill_proof import ListedId
from risk.kill_singles import MOST
from risk.kill_trip import Phase, Trip
from tests.risk.kill_world import LAG_NS, MS, Step, topology
from tests.risk.test_kill import ALL, Desk

EACH = Step("rest_cancel_each", "account", says="DELETE /orders/ID")


class Singles(Desk):
    """Venue x has single cancels over REST beside its account-wide one."""

    def __init__(self, *, alive: tuple[str, ...] = ALL, **more: object) -> None:
        super().__init__(alive=alive, **more)  # type: ignore[arg-type]
        self.alive = alive
        x = self.switch.topology.venues["x"]
        self.switch.know(msgspec.structs.replace(x, steps=(*x.steps, EACH)))

    def over_rest(self) -> list[str]:
        found = [a for a in self.take(do.RestCancelOrder) if isinstance(a, do.RestCancelOrder)]
        assert all(a.venue == "x" for a in found)
        return [a.cl_ord_id or a.order_id for a in found]

    def list_x(self, *lines: ListedId) -> None:
        now = self.clock.mono_ns()
        self.switch.listed("x", list(lines), now, now + MS)

    def tripped(self, scope: str, *fences: str) -> Trip:
        trip = self.trip(scope)
        self.fence(*fences)
        self.switch.owners_alive(self.alive)
        self.inventories(*fences)
        return trip


@pytest.mark.parametrize("scope", ["instrument:BTC-USD", "session:a", "strategy:mm"])
def test_a_living_owner_has_a_second_then_what_is_left_is_cancelled_each_second_over_rest(scope: str) -> None:
    desk = Singles()
    desk.order("a", "1")
    desk.order("a", "2")
    desk.tripped(scope)
    assert desk.over_rest() == []
    assert desk.take(do.CancelOne), "its owner is told first"
    desk.cancelled("a", "2")
    desk.pass_ms(990)
    assert desk.over_rest() == []
    found = []
    for _ in range(40):
        desk.pass_ms(100)
        found += desk.over_rest()
    assert set(found) == {"1"}
    assert 3 <= len(found) <= 5


def test_a_dead_owners_orders_are_cancelled_over_rest_at_once() -> None:
    desk = Singles(alive=("b", "c"))
    desk.order("a", "1")
    desk.order("b", "2")
    desk.tripped("instrument:BTC-USD", "b")
    assert desk.over_rest() == ["1"]


def test_where_a_cancel_all_is_sent_each_second_single_ones_wait_three() -> None:
    desk = Singles(alive=("b", "c"))
    desk.order("a", "1")
    desk.tripped("desk", "b", "c")
    for _ in range(29):
        desk.pass_ms(100)
    assert desk.over_rest() == []
    for _ in range(12):
        desk.pass_ms(100)
    assert set(desk.over_rest()) == {"1"}


def test_no_answer_is_a_proof_and_the_list_is() -> None:
    desk = Singles()
    desk.order("a", "1")
    trip = desk.tripped("instrument:BTC-USD")
    desk.pass_ms(1_100)
    (action,) = desk.take(do.RestCancelOrder)
    assert action == do.RestCancelOrder("x", "BTC-USD", "o-1", "1")
    desk.switch.sent(action)
    desk.pass_ms(50)
    assert trip.counts().proven == 0
    for _ in range(2):
        desk.list_x()
        desk.clock.advance(LAG_NS + 2 * MS)
    assert trip.phase == Phase.PROVEN


def test_an_order_of_nobody_here_in_the_instrument_is_taken_in_and_cancelled_and_no_other() -> None:
    desk = Singles()
    trip = desk.tripped("instrument:BTC-USD")
    assert trip.phase == Phase.PROVING, "what the venue lists is to be known first"
    assert "no open-orders list of x since the fence" in trip.open_questions()
    mine, other, unnamed = ListedId("f-1", "", "BTC-USD"), ListedId("f-2", "q", "ETH-USD"), ListedId("f-3", "", "", "Z")
    desk.list_x(mine, other, unnamed)
    assert desk.over_rest() == ["f-1"]
    assert [p.name for p in trip.proofs.unproven()] == ["f-1"]
    for _ in range(2):
        desk.clock.advance(LAG_NS + 2 * MS)
        desk.list_x(other, unnamed)
    assert trip.phase == Phase.PROVEN


@pytest.mark.parametrize("scope", ["session:a", "strategy:mm"])
def test_an_order_of_nobody_here_is_in_no_session_and_of_no_strategy(scope: str) -> None:
    desk = Singles()
    trip = desk.tripped(scope)
    desk.list_x(ListedId("f-1", "", "BTC-USD"))
    assert (trip.counts().total, desk.over_rest()) == (0, [])


def test_what_the_venue_names_and_the_desk_does_not_is_cancelled_by_its_symbol() -> None:
    desk = Singles()
    x = desk.switch.topology.venues["x"]
    desk.switch.know(msgspec.structs.replace(x, steps=(EACH,)))
    trip = desk.tripped("venue:x", "a", "b")
    desk.list_x(ListedId("f-1", "n", "", "DOGEUSD"))
    assert desk.take(do.RestCancelOrder) == [do.RestCancelOrder("x", "", "f-1", "n", "DOGEUSD")]
    assert not any("not configured here, and the plan" in text for text in trip.open_questions())


def test_of_very_many_so_many_leave_at_once_and_those_never_asked_for_come_first() -> None:
    desk = Singles(alive=("b", "c"))
    for n in range(MOST + 20):
        desk.order("a", f"{n}")
    desk.tripped("instrument:BTC-USD", "b")
    first = desk.over_rest()  # when the orders were taken down, and at the fence
    assert sorted(first, key=int) == [f"{n}" for n in range(MOST + 20)]
    desk.pass_ms(1_100)
    assert desk.over_rest() == first[:MOST]


def test_an_order_that_shows_life_after_its_proof_is_cancelled_over_rest_again() -> None:
    desk = Singles(alive=("b", "c"), watch_after_proof_s=30)
    desk.order("a", "1")
    trip = desk.tripped("instrument:BTC-USD", "b")
    desk.switch.journal_read("a")
    for _ in range(2):
        desk.clock.advance(LAG_NS + 2 * MS)
        desk.list_x()
    assert trip.phase == Phase.PROVEN
    desk.over_rest()
    desk.pass_ms(2_000)
    desk.list_x(ListedId("o-1", "1", "BTC-USD"))
    assert trip.phase == Phase.PROVING
    assert desk.over_rest() == ["1"]


def venue(*steps: Step) -> Topology:
    t = topology()
    x: KillVenue = msgspec.structs.replace(t.venues["x"], steps=steps)
    return Topology(t.owners, {**t.venues, "x": x})


@pytest.mark.parametrize("scope", ["desk", "venue:x", "session:a", "strategy:mm", "instrument:BTC-USD"])
def test_no_scope_is_too_narrow_for_it(scope: str) -> None:
    plan = make_plan(venue(EACH), scope)
    assert plan.rest_each == ("x",)
    assert not any(text.startswith("x:") for text in plan.held_back)
    assert not any(getattr(s, "venue", "") == "x" for s in plan.sends)


def test_the_plan_says_whose_orders_an_instruments_trip_touches() -> None:
    said = "orders in BTC-USD that others placed on x/main"
    assert said in make_plan(venue(EACH), "instrument:BTC-USD").touches
    assert said not in make_plan(topology(), "instrument:BTC-USD").touches
    assert said not in make_plan(venue(EACH), "session:a").touches
