"""Several orders in one command: as few messages as the venue takes; each is judged, stored and answered by itself."""

import contextlib
from typing import Any

from base.errors import StoreError
from base.instruments import Instrument
from ipc.events import OrderState
from ipc.requests import Answer, NewOrder, NewOrders
from risk.orders import OrderTable
from tests.venues.fakes import BTC, ETH, Bench, FakeSession, capabilities
from venues.limits import FREE, Limit, RateLimits
from venues.order_entry import OrderEntry
from venues.order_port import NoChecks


def ask(bench: Bench, *orders: NewOrder) -> tuple[Answer, ...]:
    answers = bench.entry.handle(NewOrders("c", "all", 0, orders)).answers
    assert [a.command_id for a in answers] == [o.command_id for o in orders]
    return answers


def several(bench: Bench, count: int, **more: Any) -> list[NewOrder]:
    return [bench.new(**more) for _ in range(count)]


class MostOpen(NoChecks):
    """A limit on what was sent, and what it heard."""

    def __init__(self, most: int) -> None:
        self.most, self.count, self.heard = most, 0, list[str]()

    def new(self, command: NewOrder, instrument: Instrument, mono_ns: int) -> str:
        self.heard.append(f"judged {command.command_id}")
        return "" if self.count < self.most else f"max_open_orders: {self.count + 1} with this order"

    def sent(self, command: NewOrder, mono_ns: int) -> None:
        self.heard.append(f"sent {command.command_id}")
        self.count += 1

    def unsent(self, command: NewOrder) -> None:
        self.heard.append(f"unsent {command.command_id}")
        self.count -= 1


def checked(most: int, **caps: Any) -> tuple[Bench, MostOpen]:
    bench, checks = Bench(**caps), MostOpen(most)
    bench.entry.checks = checks
    return bench, checks


def test_a_venue_that_takes_one_a_message_gets_one_after_the_other() -> None:
    bench = Bench()
    answers = ask(bench, *several(bench, 3))
    assert bench.session.sent == [("new", a.cl_ord_id) for a in answers]
    assert bench.port.steps == ["gate", "remember", "record", "gate"] * 3
    assert [c for _, _, c in bench.port.remembered] == [a.cl_ord_id for a in answers]
    assert bench.entry.counters["orders"] == 3


def test_one_that_takes_several_gets_them_by_instrument_all_stored_before_any_leaves() -> None:
    bench = Bench(order_batch=2)
    eth = {"instrument": "ETH-USD", "order_qty": 1000}
    given = [bench.new(), bench.new(**eth), bench.new(), bench.new(), bench.new(**eth)]
    ids = [a.cl_ord_id for a in ask(bench, *given)]
    assert bench.session.sent == [
        ("orders", f"{ids[0]} {ids[2]}"), ("orders", f"{ids[1]} {ids[4]}"), ("new", ids[3]),
    ]  # fmt: skip
    assert bench.port.steps[:9] == ["gate", "remember", "record"] * 3
    assert bench.port.steps[9:11] == ["gate", "gate"]  # of each order of the first message, behind all its records
    assert all(o.state == "PENDING_NEW" for o in bench.table.open())


def test_a_single_order_is_no_batch_and_one_that_may_not_join_keeps_its_turn() -> None:
    bench = Bench(order_batch=15)
    ask(bench, bench.new())
    bench.place()
    given = [bench.new(), bench.new(ord_type="1", price=None), bench.new(), bench.new()]
    ids = [a.cl_ord_id for a in ask(bench, *given)]
    assert bench.session.sent[2:] == [("new", ids[0]), ("new", ids[1]), ("orders", f"{ids[2]} {ids[3]}")]


def test_refusals_of_some_keep_no_other_back() -> None:
    bench = Bench(order_batch=15)
    given = [
        bench.new(), bench.new(order_qty=105), bench.new(options={"x": "1"}), bench.new(instrument="X"), bench.new(),
    ]  # fmt: skip
    answers = ask(bench, *given)
    assert [a.reason.partition(":")[0] for a in answers] == ["", "order_qty", "options", "instrument", ""]
    assert bench.session.sent == [("orders", f"{answers[0].cl_ord_id} {answers[4].cl_ord_id}")]
    states = {e.cl_ord_id: e.state for e in bench.port.recorded if isinstance(e, OrderState)}
    assert [states.get(a.cl_ord_id) for a in answers] == ["PENDING_NEW", None, "REJECTED", None, "PENDING_NEW"]
    assert (bench.entry.counters["orders"], bench.entry.counters["refused"]) == (2, 3)


def test_each_accepted_order_counts_before_the_next_is_judged() -> None:
    bench, checks = checked(2, order_batch=15)
    first, second, third = ask(bench, *several(bench, 3))
    assert (first.accepted, second.accepted) == (True, True)
    assert third.reason == "max_open_orders: 3 with this order"
    assert checks.heard == ["judged k1", "sent k1", "judged k2", "sent k2", "judged k3"]
    assert bench.session.sent == [("orders", f"{first.cl_ord_id} {second.cl_ord_id}")]
    assert checks.count == 2


def test_what_was_counted_and_did_not_leave_counts_no_more() -> None:
    bench, checks = checked(5, order_batch=15)
    bench.session.refuse = "35=U6 was not sent"
    answers = ask(bench, *several(bench, 3))
    assert {a.reason for a in answers} == {"35=U6 was not sent"}
    assert (checks.count, checks.heard.count("unsent k1"), checks.heard.count("unsent k2")) == (0, 1, 1)
    assert bench.table.open() == []
    assert [state for _, state in bench.port.moves] == ["PENDING_NEW", "PENDING_NEW", "REJECTED", "REJECTED"]


def test_a_gate_that_closes_before_the_send_stops_those_that_it_covers() -> None:
    bench = Bench(order_batch=15)
    bench.port.gate = lambda strategy, _: closed.get(strategy, "")  # type: ignore[method-assign]
    closed: dict[str, str] = {}
    given = [bench.new(strategy=s) for s in ("a", "b", "a")]

    def judged(command: NewOrder, *_: object) -> str:
        if command is given[2]:
            closed["b"] = "strategy:b is TRIPPED"
        return ""

    bench.entry.checks.new = judged  # type: ignore[method-assign]
    answers = ask(bench, *given)
    assert [a.reason for a in answers] == ["", "strategy:b is TRIPPED", ""]
    assert bench.session.sent == [("orders", f"{answers[0].cl_ord_id} {answers[2].cl_ord_id}")]


def test_a_disk_that_fills_up_stops_the_orders_that_it_cannot_hold_and_no_others() -> None:
    bench = Bench(order_batch=15)
    given = several(bench, 3)

    def fills_up(command: NewOrder, *_: object) -> str:
        bench.port.fail = StoreError("full") if command is given[1] else None
        return ""

    bench.entry.checks.new = fills_up  # type: ignore[method-assign]
    answers = ask(bench, *given)
    assert [a.reason for a in answers] == ["", "journal: full", ""]
    assert bench.session.sent == [("orders", f"{answers[0].cl_ord_id} {answers[2].cl_ord_id}")]


def test_a_message_counts_once_and_its_further_orders_as_the_limit_says() -> None:
    for joined, left in ((FREE, 3), (None, 2)):
        costs = {"swept": FREE} | ({"joined": joined} if joined else {})
        limit = Limit(name="n", most=4, per_s=1, costs=costs, spare=2, breach="logout")
        bench = Bench(order_batch=15, limits=RateLimits(orders=(limit,)))
        answers = ask(bench, *several(bench, 3))
        assert sum(a.accepted for a in answers) == left
        assert len(bench.session.sent) == 1


def test_no_session_refuses_each_order_with_the_reason() -> None:
    bench = Bench(order_batch=15)
    bench.entry.session = None
    assert ["not connected" in a.reason for a in ask(bench, *several(bench, 2))] == [True, True]
    assert bench.entry.counters["refused"] == 2


class Dies(FakeSession):
    """Its process ends in the send."""

    def new_orders(self, *_: object) -> list[str]:
        raise KeyboardInterrupt


def test_a_death_between_store_and_send_leaves_every_order_uncertain() -> None:
    bench = Bench(order_batch=15)
    bench.entry.session = bench.session = Dies()
    with contextlib.suppress(KeyboardInterrupt):
        ask(bench, *several(bench, 3))
    assert len(bench.port.remembered) == 3
    table = OrderTable()
    for event in bench.port.recorded:
        assert isinstance(event, OrderState)
        table.restore(event)
    entry = OrderEntry("s", "main", capabilities(), [BTC, ETH], table, bench.port, bench.clock)
    entry.lost_session("process restarted")
    assert [o.state for o in table.open()] == ["UNCERTAIN"] * 3
