"""Each venue's cancel plan carried out against its simulated venue, until nothing works there or at the desk."""

from collections.abc import Iterable

import pytest

from base.errors import VenueError
from risk.order import Order
from sim.orders import BUY, Owner
from sim.orders import Order as VenueOrder
from tests.venues.conformance.cases import Case
from tests.venues.conformance.test_live import LIVE
from tests.venues.conformance.world import LAG_MS, MS, Desk, World
from venues.cancel_plan import CancelStep
from venues.interface import CancelOutcome, CancelPlan

PERSON = Owner("main", "PERSON")


@pytest.fixture(params=LIVE, ids=lambda c: c.id)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


class Hands:
    """Two owners, the kill switch's own session and its REST side."""

    def __init__(self, case: Case, on_stop: str = "cancel", **options: object) -> None:
        lag = {"list_lag_ms": LAG_MS // 2} if case.rest else {}
        self.case, self.world = case, World(case, **(lag | options))
        self.owner = Desk(self.world, on_stop=on_stop)
        self.other = Desk(self.world, sender=f"{case.ours[:6]}6")
        self.own = Desk(self.world, sender=f"{case.ours[:6]}5")
        for desk in self.desks:
            desk.connect()
        self.rest = self.world.rest if case.rest else None
        self.plan: CancelPlan = case.dialect.cancel_plan(case.venue)

    @property
    def desks(self) -> tuple[Desk, ...]:
        return self.owner, self.other, self.own

    def of_a_person(self) -> VenueOrder:
        """An order that nobody of the desk placed."""
        i = self.case.instrument
        order = VenueOrder("900001", "by-hand", i.symbol, PERSON, BUY, 10**i.qty_scale, 50 * 10**i.px_scale)
        self.world.venue.exchange.submit(order)
        return order

    def do(self, step: CancelStep, owners: Iterable[Desk]) -> None:
        """Carry a step out; what REST refuses is refused."""
        match step.action:
            case "own_mass_cancel":
                self.mass(self.own)
            case "owner_mass_cancel":
                for desk in owners:
                    self.mass(desk)
            case "owner_cancel_each":
                for desk in owners:
                    for order in desk.table.open():
                        desk.entry.cancel(order)
            case "rest_cancel_all":
                for request in self.rest.cancel_all(self.now, [self.case.instrument]):
                    self.rest.parse_cancel_all(*self.world.ask(request))
            case "rest_cancel_each":
                for order_id, cl_ord_id in self.listed():
                    request = self.rest.cancel_order(self.now, self.case.instrument, order_id, cl_ord_id)
                    assert request is not None
                    answer = self.rest.parse_cancel_order(*self.world.ask(request))
                    assert answer.outcome is not CancelOutcome.UNKNOWN, answer
            case "owner_disconnect":
                for desk in owners:
                    if desk.line is not None:
                        desk.line.cut("by the kill switch")
        self.world.settle()

    @property
    def now(self) -> int:
        return self.world.clock.wall_ns()

    def mass(self, desk: Desk) -> None:
        """One request, of one instrument where the venue wants that."""
        session, world = desk.session, self.world
        try:
            session.mass_cancel(None, session.make_cl_ord_id(self.now), *world.now)
        except VenueError:
            session.mass_cancel(self.case.instrument, session.make_cl_ord_id(self.now), *world.now)

    def listed(self) -> list[tuple[str, str]]:
        """The venue's list of open orders, all its pages."""
        found, cursor = [], ""
        while self.rest is not None:
            page = self.rest.parse_open_orders(*self.world.ask(self.rest.open_orders(self.now, cursor)))
            found += [(o.order_id, o.cl_ord_id) for o in page.orders]
            if not (cursor := page.cursor):
                break
        return found


def test_each_certain_step_alone_ends_what_it_is_said_to_reach(case: Case) -> None:
    for step in case.dialect.cancel_plan(case.venue).steps:
        if not step.certain:
            continue
        hands = Hands(case)
        mine, others = [[desk.place() for _ in range(2)] for desk in (hands.owner, hands.other)]
        person = hands.of_a_person()
        hands.world.run(LAG_MS * MS)
        hands.do(step, [hands.owner])
        hands.world.run(2_000 * MS)
        gone = {o.order_id for o in hands.world.venue.exchange.orders.values() if o.done}
        assert {o.order_id for o in mine} <= gone, step.says
        if step.reaches == "account" and step.action != "owner_cancel_each":
            assert {person.order_id, *(o.order_id for o in others)} <= gone, step.says
        if step.action != "owner_disconnect":
            assert [o.state for o in mine] == ["CANCELED"] * 2, step.says


def test_the_orders_of_a_dead_owner_are_reached_as_the_plan_says(case: Case) -> None:
    """Its connection is cut and its orders stay; "restart" is once it is back."""
    for step in case.dialect.cancel_plan(case.venue).steps:
        if not step.certain or step.dead_owner not in ("yes", "restart") or step.action == "owner_disconnect":
            continue
        hands = Hands(case, on_stop="keep")
        owner = hands.owner
        orders = [owner.place() for _ in range(2)]
        assert owner.line is not None
        owner.line.cut("killed")
        hands.world.run(61_000 * MS, 1_000 * MS)  # some venues keep a name for a while whose connection was cut
        assert len(hands.world.working()) == len(orders), f"{step.says}: they stay"
        if step.dead_owner == "restart":
            owner.connect()
        hands.do(step, [owner])
        hands.world.run(2_000 * MS)
        assert hands.world.working() == [], step.says
        if not owner.connected:
            owner.connect()
        assert [o.state for o in orders] == ["CANCELED"] * 2, step.says
        assert owner.agrees() == ""


def test_a_timer_that_nobody_renews_ends_everything(case: Case) -> None:
    hands = Hands(case)
    timer = hands.plan.dead_man
    if timer is None:
        pytest.skip(f"{case.id}: CancelPlan.dead_man is None: the venue has no timer")
    orders = [desk.place() for desk in hands.desks]
    hands.of_a_person()
    most = max(timer.least_s, 5)
    for seconds, wait_s, alive in ((most, 1, True), (0, most + 1, True), (most, most + 1, False)):
        request = hands.rest.cancel_after(hands.now, seconds)
        assert request is not None
        hands.rest.parse_cancel_after(*hands.world.ask(request))
        hands.world.run(wait_s * 1_000 * MS, 500 * MS)
        assert bool(hands.world.working()) is alive, (seconds, wait_s)
    assert [o.state for o in orders] == ["CANCELED"] * len(orders)


def test_the_whole_plan_leaves_nothing_working_at_the_venue_on_its_list_or_at_the_desk(case: Case) -> None:
    """With a mass cancel that leaves some, one that does nothing, a slow cancel, and an order not yet acknowledged."""
    hands = Hands(case)
    world = hands.world
    orders: list[Order] = [desk.place() for desk in hands.desks for _ in range(2)]
    if any(step.reaches == "account" for step in hands.plan.steps):
        hands.of_a_person()
    world.pin("late_ack", ms=700)
    orders.append(hands.owner.send())
    world.settle()
    assert orders[-1].state == "PENDING_NEW"
    for fault, more in (("mass_cancel_partial", {}), ("mass_cancel_fake", {}), ("slow_cancel", {"ms": 600})):
        world.pin(fault, **more)
    rounds = 0
    while world.working() or any(desk.table.open() for desk in hands.desks) or hands.listed():
        rounds += 1
        assert rounds <= 8, (world.working(), [list(desk.table.open()) for desk in hands.desks])
        for step in hands.plan.steps:
            if step.action != "owner_disconnect":
                hands.do(step, hands.desks)
        world.run(1_000 * MS)
    assert rounds >= 1
    assert [o.state for o in orders] == ["CANCELED"] * len(orders)
    assert all(o.done for o in world.venue.exchange.orders.values())
    assert [desk.agrees() for desk in hands.desks] == ["", "", ""]
