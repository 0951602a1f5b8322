"""Several orders in one command, at every venue: in one message where it has one for that, else one by one."""

from typing import Any

import pytest
from msgspec.structs import replace

from base.config import Kind
from base.errors import VenueError
from ipc.requests import Answer, NewOrder, NewOrders
from risk.order import Order
from tests.venues.conformance.cases import CASES, Case
from tests.venues.conformance.test_live import LIVE
from tests.venues.conformance.world import MS, Desk, World
from tests.venues.kit import Heard, Venue
from venues.interface import OpenOrders

PLACES = frozenset({"D", "U6"})


@pytest.fixture(params=LIVE, ids=lambda c: c.id)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


class Bench:
    """A desk at a venue that has come to want whole prices."""

    def __init__(self, case: Case) -> None:
        self.case, self.world = case, World(case)
        self.desk = Desk(self.world)
        self.line = self.desk.connect()
        instruments = self.world.venue.exchange.instruments
        ours = case.instrument
        instruments[ours.symbol] = replace(instruments[ours.symbol], tick_size=10**ours.px_scale)
        self._n = 0

    def order(self, *, off: int = 0, **changes: Any) -> NewOrder:
        """Of a price that is so far `off` a whole one."""
        self._n += 1
        price = 100 * 10**self.case.instrument.px_scale - off
        return self.case.order(command_id=str(self._n), price=price, **changes)

    def ask(self, *orders: NewOrder) -> tuple[Answer, ...]:
        return self.desk.entry.handle(NewOrders("c", "all", 0, orders)).answers

    def found(self, answer: Answer) -> Order:
        order = self.desk.table.find(answer.cl_ord_id)
        assert order is not None
        return order

    @property
    def messages(self) -> int:
        """Messages so far that place orders."""
        return sum(m.msg_type in PLACES for m in self.line.sent)


def test_each_order_is_answered_by_itself_whoever_refuses_it(case: Case) -> None:
    bench = Bench(case)
    answers = bench.ask(bench.order(), bench.order(off=1), bench.order(side="9"), bench.order())
    assert [(a.command_id, a.accepted) for a in answers] == [("1", True), ("2", True), ("3", False), ("4", True)]
    assert answers[2].reason.startswith("side")
    first, refused, last = (bench.found(answers[n]) for n in (0, 1, 3))
    bench.world.until(lambda: first.state == last.state == "NEW" and refused.state == "REJECTED", "all answered")
    assert refused.reason
    assert bench.messages == (1 if case.capabilities.order_batch > 1 else 3)
    assert bench.desk.agrees() == ""
    for order in (first, last):
        bench.desk.entry.cancel(order)
    bench.world.until(lambda: not bench.world.working() and not bench.desk.table.open(), "cancelled")


def test_orders_that_the_venue_refuses_all_together_end_one_by_one(case: Case) -> None:
    bench = Bench(case)
    orders = [bench.found(a) for a in bench.ask(*(bench.order(off=1) for _ in range(3)))]
    bench.world.until(lambda: [o.state for o in orders] == ["REJECTED"] * 3, "refused")
    assert all(o.reason for o in orders)
    assert bench.desk.agrees() == ""
    assert bench.desk.place(command_id="next").state == "NEW"


def test_orders_that_were_stored_and_never_arrived_are_uncertain_until_the_venue_is_asked(case: Case) -> None:
    bench = Bench(case)
    orders = [bench.found(a) for a in bench.ask(bench.order(), bench.order())]
    bench.line.cut()  # what was on its way is lost with it
    bench.world.settle()
    assert [o.state for o in orders] == ["UNCERTAIN"] * 2
    bench.world.run(61_000 * MS, 1_000 * MS)  # some venues keep a name for a while whose connection was cut
    bench.desk.connect()
    told = case.capabilities.open_orders not in (OpenOrders.REPLAY, OpenOrders.NONE)
    bench.world.run(10_000 * MS, 200 * MS)
    assert [o.is_open for o in orders] == [not told] * 2  # where nothing shows an absence they stay UNCERTAIN
    assert bench.world.working() == []
    assert bench.messages == 0


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_as_many_go_together_as_is_declared(case: Case) -> None:
    heard, most = Heard(), case.capabilities.order_batch
    session: Any = case.dialect.trading(case.context(Kind.TRADING), heard)
    venue = Venue(session, heard, case.ours, case.target(Kind.TRADING))
    venue.logon()
    venue.take()
    given = [(case.order(), session.make_cl_ord_id(venue.wall)) for _ in range(2)]
    assert session.may_join(given[0][0]) is (most > 1)
    if most == 1:
        with pytest.raises(VenueError, match="one order a message"):
            session.new_orders(given, case.instrument, venue.mono, venue.wall)
        assert venue.take() == []
        return
    assert session.new_orders(given, case.instrument, venue.mono, venue.wall) == ["", ""]
    (message,) = venue.take()
    assert [v.decode() for t, v in message.fields() if t == 11] == [i for _, i in given]
    spoiled = [(replace(given[0][0], options={"no_such_option": "1"}), given[0][1]), given[1]]
    problem, fine = session.new_orders(spoiled, case.instrument, venue.mono, venue.wall)
    assert ("no_such_option" in problem, fine) == (True, "")
    (message,) = venue.take()
    assert [v.decode() for t, v in message.fields() if t == 11] == [given[1][1]]
    before = session.numbers()
    assert all(session.new_orders(spoiled[:1] * 2, case.instrument, venue.mono, venue.wall))
    assert (venue.take(), session.numbers()) == ([], before)
