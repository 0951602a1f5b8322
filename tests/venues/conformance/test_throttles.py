"""Too many messages: the simulated venue answers as documented, through its own channel; no order is lost over it."""

import pytest

from base.errors import VenueError
from base.http import Request
from ipc.events import CancelReject, ExecutionReport
from tests.venues.conformance.cases import Case, Throttle
from tests.venues.conformance.test_live import LIVE
from tests.venues.conformance.world import MS, Desk, World
from venues.interface import CancelOutcome, SessionPhase
from venues.rest_rates import RestRates
from venues.throttle import Throttle as Keeper

BREACHES = [(c, t) for c in LIVE for t in c.throttles or (None,)]


def name(value: Case | Throttle | None) -> str:
    if isinstance(value, Case):
        return value.id
    return "none" if value is None else f"{value.answer}-of-{'-'.join(value.options)}"


@pytest.mark.parametrize(("case", "throttle"), BREACHES, ids=name)
def test_a_passed_limit_is_answered_as_documented_and_no_order_is_lost(case: Case, throttle: Throttle | None) -> None:
    if throttle is None:
        pytest.skip(f"{case.id}: Case.throttles is empty: the simulated venue has no documented limit")
    world = World(case, **throttle.options)
    desk = Desk(world)  # it does not keep to the limits
    line = desk.connect()
    orders = []
    for _ in range(throttle.most + throttle.beyond):
        orders.append(desk.send())
        world.settle()
        if not line.open:
            break
    taken, over = orders[: throttle.most], orders[throttle.most :]
    assert [[r.exec_type for r in desk.reports(o) if r.exec_type in "08"] for o in taken] == [["0"]] * len(taken)
    if throttle.answer in ("logout", "close"):
        assert not line.open, "the venue ends the session"
        assert desk.session.phase is SessionPhase.DISCONNECTED
        assert (line.said[-1].msg_type == "5") is (throttle.answer == "logout")
        assert not desk.entry.handle(case.order(command_id="late")).accepted, "nothing leaves meanwhile"
    else:
        assert line.open
        assert desk.session.phase is SessionPhase.READY
        for order in over:
            (refused,) = [r for r in desk.reports(order) if r.exec_type == "8"]
            assert (order.state, refused.ord_status, refused.origin) == ("REJECTED", "8", throttle.answer)
            assert refused.text
    world.run(61_000 * MS, 500 * MS)  # the limit has room again, and a blocked name is free
    if not desk.connected:
        desk.connect()
    assert desk.agrees() == ""
    assert desk.place().state == "NEW"
    for order in [o for o in orders if o.is_open]:
        desk.entry.cancel(order)
        world.run(2_500 * MS, 500 * MS)
    assert [o.state for o in taken] == ["CANCELED"] * len(taken)
    assert desk.agrees() == ""
    assert {o.state for o in over} <= {"REJECTED", "CANCELED"}
    told = [e for e in desk.port.recorded if isinstance(e, ExecutionReport) and e.exec_type == "F"]
    assert told == []


@pytest.mark.parametrize(("case", "throttle"), BREACHES, ids=name)
def test_cancels_beyond_a_limit_end_no_order_that_works_and_lose_none(case: Case, throttle: Throttle | None) -> None:
    if throttle is None:
        pytest.skip(f"{case.id}: Case.throttles is empty: the simulated venue has no documented limit")
    world = World(case, **throttle.options)
    desk = Desk(world)
    line = desk.connect()
    orders = []
    for _ in range(throttle.most + throttle.beyond):
        world.run(2_500 * MS, 500 * MS)
        orders.append(desk.place())
    world.run(11_000 * MS, 500 * MS)
    for order in orders:
        desk.entry.cancel(order)
        world.settle()
        if not line.open:
            break
    refused = [e for e in desk.heard.events if isinstance(e, CancelReject)]
    assert [e for e in refused if e.unknown_order or not e.text] == []
    assert {o.order_id for o in world.working()} == {o.order_id for o in orders if o.is_open}
    if line.open:
        assert {o.cl_ord_id for o in orders if o.is_open} == {e.cl_ord_id for e in refused}
        assert {o.state for o in orders} <= {"NEW", "CANCELED"}
    world.run(61_000 * MS, 500 * MS)
    if not desk.connected:
        desk.connect()
    assert desk.agrees() == ""
    for order in [o for o in orders if o.is_open]:
        desk.entry.cancel(order)
        world.run(2_500 * MS, 500 * MS)
    assert [o.state for o in orders] == ["CANCELED"] * len(orders)
    assert desk.agrees() == ""


@pytest.mark.parametrize("case", LIVE, ids=lambda c: c.id)
def test_a_passed_limit_of_rest_is_known_as_one_and_the_desk_waits(case: Case) -> None:
    if case.rest_limit is None:
        pytest.skip(f"{case.id}: Case.rest_limit is None: the simulated venue counts no REST calls")
    world = World(case, **case.rest_limit)
    desk = Desk(world)
    desk.connect()
    order, rest, now = desk.place(), world.rest, world.clock.wall_ns
    rates = RestRates(Keeper(case.capabilities.limits.rest, {}), world.clock)
    for _ in range(400):
        asked = rest.open_orders(now())
        answer = world.venue.rest(Request(asked.method, asked.target, asked.headers, asked.body))
        rates.heed(answer)
        try:
            rest.parse_open_orders(answer.status, answer.body)
        except VenueError as e:
            refused = str(e)
            break
    else:
        pytest.fail("the venue took 400 calls at once")
    assert refused
    assert rates.late(rest.open_orders(now())), f"the desk does not wait, though the venue said {refused!r}"
    single = rest.cancel_order(now(), case.instrument, order.order_id, order.cl_ord_id)
    assert single is not None
    outcome = rest.parse_cancel_order(*world.ask(single)).outcome
    world.settle()
    assert outcome in (CancelOutcome.RATE_LIMITED, CancelOutcome.CANCELLED)
    assert (order.state == "CANCELED") is (outcome is CancelOutcome.CANCELLED)
    world.run(660_000 * MS, 5_000 * MS)  # the longest ban that a venue names without saying so in its answer
    assert rates.late(rest.open_orders(now())) == ""
    assert rest.parse_open_orders(*world.ask(rest.open_orders(now()))) is not None
    assert desk.agrees() == ""
