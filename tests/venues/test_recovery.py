"""Recovery: reconciled before ready, uncertain orders followed, failures tried again and said."""

from itertools import pairwise
from typing import Any

from base.backoff import Backoff
from base.errors import VenueError
from ipc.events import AnyEvent, Difference, OrderState
from ipc.requests import ReplaceOrder
from risk.orders import Order
from tests.venues.fakes import Bench
from venues.interface import (
    OpenOrder,
    OpenOrders,
    Page,
    RestRequest,
    TradePage,
    VenueBalance,
    VenueTrade,
    WorkingOrder,
)
from venues.means import Answered
from venues.recovery import (
    AGAIN_MOST_NS,
    AGAIN_NS,
    ANSWER_AFTER_NS,
    FOLLOW_EVERY_NS,
    STATUS_DEADLINE_NS,
    TRIES,
    Recovery,
)
from venues.sweep import Sweep

LAG_NS = 1_000_000_000
OLD_NS = LAG_NS + ANSWER_AFTER_NS  # old enough to be settled by lists


def listed(cl_ord_id: str, **more: Any) -> OpenOrder:
    fields: dict[str, Any] = {
        "order_id": f"V-{cl_ord_id}", "cl_ord_id": cl_ord_id, "symbol": "BTC/USD", "side": "1", "order_qty": "0.1",
        "cum_qty": "0", "price": "50", "status": "0",
    }  # fmt: skip
    return OpenOrder(**(fields | more))


class FakeRest:
    """A venue's REST side whose answers are set by the test; the wire is the object itself."""

    def __init__(self) -> None:
        self.pages: list[Page] = [Page(())]
        self.orders: dict[str, OpenOrder] = {}
        self.fills: dict[str, list[TradePage]] = {}  # by ClOrdID
        self.broken = ""
        self.tells_trades = False

    def open_orders(self, wall_ns: int, cursor: str = "") -> RestRequest:
        return RestRequest("GET", f"/open?{cursor}")

    def parse_open_orders(self, status: int, body: bytes) -> Page:
        if self.broken:
            raise VenueError(self.broken)
        return self.pages[int(body or b"0")]

    def order(self, wall_ns: int, order: WorkingOrder) -> RestRequest:
        return RestRequest("GET", f"/order/{order.cl_ord_id}")

    def parse_order(self, status: int, body: bytes) -> OpenOrder | None:
        if self.broken:
            raise VenueError(self.broken)
        return self.orders.get(body.decode())

    def trades(self, wall_ns: int, order: WorkingOrder, since_ns: int, cursor: str = "") -> RestRequest | None:
        if not self.tells_trades:
            return None
        self.since = since_ns
        return RestRequest("GET", f"/trades/{order.cl_ord_id}+{cursor or 0}")

    def parse_trades(self, status: int, body: bytes) -> TradePage:
        if self.broken:
            raise VenueError(self.broken)
        cl_ord_id, _, page = body.decode().partition("+")
        pages = self.fills.get(cl_ord_id, [TradePage(())])
        return pages[int(page)]

    def balances(self, wall_ns: int) -> RestRequest | None:
        return None

    def parse_balances(self, status: int, body: bytes) -> tuple[VenueBalance, ...]:
        raise AssertionError("recovery asks for no balances")

    def cancel_all(self, wall_ns: int, instruments: Any) -> list[RestRequest]:
        raise AssertionError("recovery cancels nothing")

    def parse_cancel_all(self, status: int, body: bytes) -> int | None:
        raise AssertionError("recovery cancels nothing")


class FakeAsker:
    """Holds questions until the test lets them be answered."""

    def __init__(self) -> None:
        self.waiting: list[tuple[RestRequest, Answered]] = []
        self.published: list[AnyEvent] = []
        self.alerts: list[str] = []

    def ask(self, request: RestRequest, answered: Answered) -> None:
        self.waiting.append((request, answered))

    def publish(self, event: AnyEvent) -> None:
        self.published.append(event)

    def alert(self, severity: str, code: str, text: str) -> None:
        self.alerts.append(text)

    def answer_one(self, error: str = "") -> str:
        request, answered = self.waiting.pop(0)
        body = request.target[6:] if request.target.startswith("/open?") else request.target.rpartition("/")[2]
        answered(200, body.encode(), error)
        return request.target

    def answer_all(self, error: str = "") -> list[str]:
        asked = []
        while self.waiting:
            asked.append(self.answer_one(error))
        return asked


class Desk(Bench):
    def __init__(self, *, rest: bool = True, **caps: Any) -> None:
        super().__init__(**caps)
        self.rest = FakeRest()
        self.asker = FakeAsker()
        self.recovery = Recovery(
            self.entry, self.rest if rest else None, self.asker, Backoff(lambda: 0.5), LAG_NS
        )  # fmt: skip

    def turn(self, ns: int) -> None:
        self.clock.advance(ns)
        if self.clock.mono_ns() >= self.recovery.deadline_ns:
            self.recovery.tick(self.clock.mono_ns())

    def differences(self) -> list[str]:
        return [e.kind for e in [*self.asker.published, *self.port.recorded] if isinstance(e, Difference)]

    def reconcile(self) -> None:
        """A session is lost and comes back; both lists are answered."""
        self.recovery.lost("reset")
        self.recovery.logged_on(self.clock.mono_ns())
        self.asker.answer_all()
        self.turn(LAG_NS)
        self.asker.answer_all()

    def inferred_dead(self) -> Order:
        """An order that two lists did not show."""
        order = self.place()
        self.clock.advance(OLD_NS)
        self.reconcile()
        assert (order.state, self.recovery.done) == ("REJECTED", True)
        return order


def test_no_order_is_let_through_until_the_list_has_been_compared() -> None:
    desk = Desk()
    order = desk.place()
    desk.recovery.lost("reset")
    assert order.state == "UNCERTAIN"
    desk.recovery.logged_on(desk.clock.mono_ns())
    assert "reconciling" in desk.entry.handle(desk.new()).reason
    desk.rest.pages = [Page((listed(order.cl_ord_id),))]
    desk.asker.answer_all()
    assert (desk.recovery.done, order.state) == (False, "UNCERTAIN")  # a list may be older than the logon
    desk.turn(LAG_NS)
    desk.asker.answer_all()
    assert (desk.recovery.done, order.state) == (True, "NEW")
    assert desk.entry.handle(desk.new()).accepted


def test_an_order_filled_while_away_is_settled_by_asking_for_it() -> None:
    desk = Desk()
    order = desk.place()
    desk.recovery.lost("reset")
    desk.recovery.logged_on(desk.clock.mono_ns())
    desk.rest.orders[order.cl_ord_id] = listed(order.cl_ord_id, status="2", cum_qty="0.1")
    desk.asker.answer_all()
    assert (order.state, desk.port.fills, desk.differences()) == ("FILLED", [100], ["filled_meanwhile"])


def test_an_order_nobody_heard_of_is_settled_by_a_second_list_after_the_lag() -> None:
    desk = Desk()
    order = desk.place()
    desk.clock.advance(OLD_NS)
    desk.recovery.lost("reset")
    desk.recovery.logged_on(desk.clock.mono_ns())
    assert desk.asker.answer_all() == ["/open?", f"/order/{order.cl_ord_id}"]
    assert not desk.recovery.done
    desk.turn(LAG_NS)
    assert desk.asker.answer_all() == ["/open?"]
    assert desk.recovery.done
    assert (order.state, desk.differences()) == ("REJECTED", ["unknown_at_venue"])


def test_a_list_that_fails_is_fetched_again_and_orders_stay_shut_out() -> None:
    desk = Desk()
    desk.recovery.logged_on(desk.clock.mono_ns())
    desk.asker.answer_all(error="connection refused")
    assert "connection refused" in desk.entry.ready_reason
    assert "connection refused" in desk.asker.alerts[0]
    desk.turn(10_000_000_000)
    desk.asker.answer_all()
    assert desk.recovery.done
    assert desk.entry.ready_reason == ""


def test_a_list_that_cannot_be_read_is_not_an_empty_list() -> None:
    desk = Desk()
    order = desk.place()
    desk.recovery.lost("reset")
    desk.recovery.logged_on(desk.clock.mono_ns())
    desk.rest.broken = "$.result: expected object"
    desk.asker.answer_all()
    assert order.state == "UNCERTAIN"
    assert "expected object" in desk.entry.ready_reason


def test_answers_of_a_session_that_was_lost_meanwhile_are_dropped() -> None:
    desk = Desk()
    order = desk.place()
    desk.recovery.lost("reset")
    desk.recovery.logged_on(desk.clock.mono_ns())
    stale = desk.asker.waiting.pop()
    desk.recovery.lost("reset again")
    stale[1](200, b"", "")
    assert desk.asker.waiting == []
    assert order.state == "UNCERTAIN"


def test_without_a_list_each_order_is_asked_for_over_the_session() -> None:
    desk = Desk(rest=False, open_orders=OpenOrders.STATUS_EACH)
    order = desk.place()
    desk.recovery.lost("reset")
    desk.recovery.logged_on(desk.clock.mono_ns())
    assert desk.session.sent[-1] == ("status", order.cl_ord_id)
    assert not desk.recovery.done
    desk.report(order, "I", "1", cum_qty=40, leaves_qty=60)
    desk.turn(STATUS_DEADLINE_NS)
    assert desk.recovery.done
    assert order.state == "PARTIALLY_FILLED"


def test_without_any_means_orders_stay_uncertain_and_the_desk_goes_on() -> None:
    desk = Desk(rest=False, open_orders=OpenOrders.NONE, status_request=False)
    order = desk.place()
    desk.recovery.lost("reset")
    desk.recovery.logged_on(desk.clock.mono_ns())
    assert desk.recovery.done
    assert order.state == "UNCERTAIN"


def test_an_unanswered_order_becomes_uncertain_and_is_asked_for_until_it_is_settled() -> None:
    desk = Desk()
    desk.recovery.logged_on(desk.clock.mono_ns())
    desk.asker.answer_all()
    order = desk.place()
    desk.turn(FOLLOW_EVERY_NS)
    assert order.state == "PENDING_NEW"
    desk.turn(ANSWER_AFTER_NS)
    assert order.state == "UNCERTAIN"
    desk.rest.orders[order.cl_ord_id] = listed(order.cl_ord_id)
    desk.asker.answer_all()
    assert order.state == "NEW"


def test_a_lost_cancel_report_is_found_out() -> None:
    desk = Desk()
    desk.recovery.logged_on(desk.clock.mono_ns())
    desk.asker.answer_all()
    order = desk.place()
    desk.report(order, "0", "0")
    desk.entry.cancel(order)
    assert order.state == "PENDING_CANCEL"
    desk.turn(ANSWER_AFTER_NS + FOLLOW_EVERY_NS)
    desk.rest.orders[order.cl_ord_id] = listed(order.cl_ord_id, status="4")
    desk.asker.answer_all()
    assert (order.state, desk.differences()) == ("CANCELED", ["finished_meanwhile"])


def test_what_the_venue_cannot_find_is_settled_by_lists_and_not_by_one_answer() -> None:
    desk = Desk()
    desk.recovery.logged_on(desk.clock.mono_ns())
    desk.asker.answer_all()
    order = desk.place()
    desk.turn(ANSWER_AFTER_NS + 2 * LAG_NS + 1)
    desk.turn(FOLLOW_EVERY_NS)
    assert order.state == "UNCERTAIN"
    while desk.asker.waiting:
        desk.asker.answer_all()
    assert order.state == "UNCERTAIN"
    desk.turn(LAG_NS)
    desk.asker.answer_all()
    assert order.state == "REJECTED"


def test_an_order_inferred_dead_comes_back_when_the_venue_acknowledges_it() -> None:
    desk = Desk()
    order = desk.inferred_dead()
    desk.report(order, "0", "0", exec_id="e1", order_qty=100, cum_qty=0, leaves_qty=100)
    assert order in desk.table.open()
    assert desk.differences() == ["unknown_at_venue", "alive_after_all"]


def test_an_order_inferred_dead_comes_back_by_the_venues_own_list() -> None:
    desk = Desk()
    order = desk.inferred_dead()
    desk.rest.pages = [Page((listed(order.cl_ord_id),))]
    desk.reconcile()
    assert order.state == "NEW"
    assert desk.differences()[-1] == "alive_after_all"


def test_following_one_order_does_not_bury_another_in_flight() -> None:
    desk = Desk()
    desk.recovery.logged_on(desk.clock.mono_ns())
    desk.asker.answer_all()
    lost = desk.place()
    desk.turn(ANSWER_AFTER_NS + 2 * LAG_NS + 1)
    desk.turn(FOLLOW_EVERY_NS - 1)
    young = desk.place()
    desk.turn(1)
    desk.asker.answer_all()
    desk.turn(LAG_NS)
    desk.asker.answer_all()
    assert (lost.state, young.state) == ("REJECTED", "PENDING_NEW")


def test_an_order_too_young_for_the_lists_is_settled_by_a_later_run() -> None:
    desk = Desk()
    order = desk.place()
    desk.reconcile()
    assert (order.state, desk.recovery.done) == ("UNCERTAIN", True)
    for _ in range(100):
        desk.turn(100_000_000)
        desk.asker.answer_all()
    assert order.state == "REJECTED"


def test_what_two_lists_settle_is_journalled_and_leaves_the_exposure() -> None:
    desk = Desk()
    order = desk.inferred_dead()
    states = [e.state for e in desk.port.recorded if isinstance(e, OrderState)]
    assert (states[-1], desk.port.moves[-1]) == ("REJECTED", (order.cl_ord_id, "REJECTED"))


def test_an_unanswered_order_is_journalled_and_counts_as_uncertain_in_the_exposure() -> None:
    desk = Desk()
    desk.recovery.logged_on(desk.clock.mono_ns())
    desk.asker.answer_all()
    order = desk.place()
    desk.turn(ANSWER_AFTER_NS + FOLLOW_EVERY_NS)
    assert desk.port.moves[-1] == (order.cl_ord_id, "UNCERTAIN")


def test_a_long_list_lag_does_not_keep_a_session_shut() -> None:
    desk = Desk()
    desk.recovery = Recovery(desk.entry, desk.rest, desk.asker, Backoff(lambda: 0.5), 3 * LAG_NS)
    desk.recovery.logged_on(desk.clock.mono_ns())
    desk.asker.answer_all()
    order = desk.place()
    for _ in range(3_000):
        desk.turn(10_000_000)
        desk.asker.answer_all()
        assert (desk.recovery.done, desk.entry.ready_reason) == (True, "")
    assert not order.is_open


def test_many_unknown_orders_and_a_slow_list_neither_shut_a_session_nor_go_unsettled() -> None:
    desk = Desk()
    desk.recovery.logged_on(desk.clock.mono_ns())
    desk.asker.answer_all()
    for _ in range(60):
        desk.place()
    for step in range(6_000):
        desk.turn(10_000_000)
        if step % 5 == 0 and desk.asker.waiting:  # one answer every 50 ms
            desk.asker.answer_one()
        assert (desk.recovery.done, desk.entry.ready_reason) == (True, "")
    assert desk.table.open() == []


def test_many_unknown_orders_do_not_keep_a_session_shut_after_a_logon() -> None:
    desk = Desk()
    for _ in range(60):
        desk.place()
    desk.recovery.lost("reset")
    desk.recovery.logged_on(desk.clock.mono_ns())
    for _ in range(100):
        desk.turn(50_000_000)
        if desk.asker.waiting:
            desk.asker.answer_one()
    assert desk.recovery.done
    assert len(desk.table.open()) == 60  # too young for the lists: followed


def test_a_further_run_that_fails_does_not_shut_the_session_again() -> None:
    desk = Desk()
    desk.recovery.logged_on(desk.clock.mono_ns())
    desk.asker.answer_all()
    order = desk.place()
    desk.turn(OLD_NS + FOLLOW_EVERY_NS)
    desk.asker.answer_one()
    desk.asker.answer_all(error="connection refused")
    assert (desk.recovery.done, desk.entry.ready_reason, order.state) == (True, "", "UNCERTAIN")


def test_runs_that_settle_nothing_keep_a_growing_distance() -> None:
    desk = Desk()
    desk.recovery.logged_on(desk.clock.mono_ns())
    desk.asker.answer_all()
    order = desk.place(instrument="BTC-USD")
    desk.rest.pages = [Page((listed("web", order_id="V1", symbol="XXBTZUSD"),))]  # may be ours: never settled
    desk.report(order, "0", "0", order_id="V1")
    desk.table.uncertain(order, "lost", desk.clock.wall_ns())
    lists = []
    for step in range(6_000):
        desk.turn(50_000_000)
        lists += [step for target in desk.asker.answer_all() if target.startswith("/open")]
    runs = lists[::2]
    gaps = [(b - a) * 50_000_000 for a, b in pairwise(runs)]
    assert gaps[0] >= AGAIN_NS
    assert gaps == sorted(gaps)
    assert gaps[-1] >= AGAIN_MOST_NS


def test_an_order_whose_instrument_left_the_configuration_stays_uncertain_and_is_named() -> None:
    desk = Desk()
    order = desk.place()
    desk.clock.advance(OLD_NS)
    del desk.entry.instruments["BTC-USD"]
    desk.reconcile()
    assert desk.recovery.done
    desk.turn(FOLLOW_EVERY_NS)
    desk.asker.answer_all()
    assert order.state == "UNCERTAIN"
    assert any(order.cl_ord_id in text and "BTC-USD" in text for text in desk.asker.alerts)
    assert "BTC-USD" in desk.entry.handle(ReplaceOrder("c", "r", 0, order.cl_ord_id, 200)).reason
    sweep = Sweep(desk.entry)
    sweep.start("stop", lambda _: True, desk.clock.mono_ns(), mass=False)
    assert sweep.left == 1


def test_a_listed_order_of_our_own_making_is_adopted_confirmed_and_put_into_the_exposure() -> None:
    desk = Desk()
    desk.rest.pages = [Page((listed("id99"), listed("web", order_id="W1")))]
    desk.reconcile()
    (order,) = desk.table.open()
    assert (order.cl_ord_id, order.state) == ("id99", "NEW")
    assert desk.port.moves == [("id99", "UNCERTAIN"), ("id99", "NEW")]
    assert sorted(desk.differences()) == ["adopted", "unknown_here"]
    assert [text for text in desk.asker.alerts if "id99" in text] == desk.asker.alerts


def test_the_word_that_the_process_stops_outlives_the_end_of_a_run() -> None:
    desk = Desk()
    desk.recovery.logged_on(desk.clock.mono_ns())
    desk.entry.ready_reason = "stopping"
    desk.asker.answer_all()
    assert (desk.recovery.done, desk.entry.ready_reason) == (True, "stopping")
