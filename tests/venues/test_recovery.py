"""Recovery: reconciled before ready, uncertain orders followed, failures tried again and said."""

from itertools import pairwise
from typing import Any

import pytest

from base.backoff import Backoff
from base.errors import VenueError
from ipc.events import AnyEvent, CancelReject, Difference, ExecutionReport, OrderState
from ipc.requests import ReplaceOrder
from risk.order import Order
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

    def parse_order(self, status: int, body: bytes, cl_ord_id: str = "") -> OpenOrder | None:
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

    def cancel_after(self, wall_ns: int, seconds: int) -> RestRequest | None:
        raise AssertionError("recovery sets no timer")

    def parse_cancel_after(self, status: int, body: bytes) -> None:
        raise AssertionError("recovery sets no timer")


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

    def ready(self) -> None:
        """The session logs on; both lists are answered."""
        self.recovery.logged_on(self.clock.mono_ns())
        self.asker.answer_all()
        self.turn(LAG_NS)
        self.asker.answer_all()

    def reconcile(self) -> None:
        """A session is lost and comes back."""
        self.recovery.lost("reset")
        self.ready()

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
    desk.rest.orders[order.cl_ord_id] = listed(order.cl_ord_id, status="2", cum_qty="0.1")
    desk.reconcile()
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
    desk.ready()
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
    desk.ready()
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
    desk.ready()
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
    desk.ready()
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
    desk.ready()
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
    desk.ready()
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
    desk.ready()
    order = desk.place()
    desk.turn(OLD_NS + FOLLOW_EVERY_NS)
    desk.asker.answer_one()
    desk.asker.answer_all(error="connection refused")
    assert (desk.recovery.done, desk.entry.ready_reason, order.state) == (True, "", "UNCERTAIN")


def test_runs_that_settle_nothing_keep_a_growing_distance() -> None:
    desk = Desk()
    desk.ready()
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


# --- REST that fails, an order that cannot be asked for


def hopeless(desk: Desk, order: Order) -> None:
    """One order's query fails whenever it is asked for; everything else is answered."""
    for _ in range(4_000):
        desk.turn(10_000_000)
        while desk.asker.waiting:
            target = desk.asker.waiting[0][0].target
            desk.asker.answer_one("timed out" if target == f"/order/{order.cl_ord_id}" else "")
        if desk.recovery.done:
            return
    raise AssertionError(desk.entry.ready_reason)


def test_one_order_that_can_never_be_asked_for_does_not_keep_the_session_shut() -> None:
    desk = Desk()
    bad, good = desk.place(), desk.place()
    desk.rest.orders[good.cl_ord_id] = listed(good.cl_ord_id, status="2", cum_qty="0.1")
    desk.recovery.lost("reset")
    desk.recovery.logged_on(desk.clock.mono_ns())
    hopeless(desk, bad)
    assert (bad.state, good.state, desk.entry.ready_reason) == ("UNCERTAIN", "FILLED", "")
    assert [text for text in desk.asker.alerts if bad.cl_ord_id in text and "stays UNCERTAIN" in text]
    assert desk.entry.handle(desk.new()).accepted


def test_an_order_given_up_is_followed_and_settled_when_the_venue_answers_again() -> None:
    desk = Desk()
    bad = desk.place()
    desk.recovery.lost("reset")
    desk.recovery.logged_on(desk.clock.mono_ns())
    hopeless(desk, bad)
    desk.rest.orders[bad.cl_ord_id] = listed(bad.cl_ord_id, status="4")
    for _ in range(50):
        desk.turn(100_000_000)
        desk.asker.answer_all()
    assert bad.state == "CANCELED"


def test_a_session_stays_shut_as_long_as_the_list_itself_fails() -> None:
    desk = Desk()
    desk.place()
    desk.recovery.lost("reset")
    desk.recovery.logged_on(desk.clock.mono_ns())
    for _ in range(600):
        desk.turn(100_000_000)
        desk.asker.answer_all(error="connection refused")
    assert not desk.recovery.done
    assert "connection refused" in desk.entry.handle(desk.new()).reason


def test_rest_that_dies_during_a_run_has_the_run_begin_again_with_the_list() -> None:
    desk = Desk()
    orders = [desk.place() for _ in range(20)]
    desk.recovery.lost("reset")
    desk.recovery.logged_on(desk.clock.mono_ns())
    desk.asker.answer_one()
    asked = desk.asker.answer_all(error="connection refused")
    assert len(asked) == 3
    assert all(o.state == "UNCERTAIN" for o in orders)
    desk.turn(10_000_000_000)
    assert desk.asker.waiting[0][0].target == "/open?"


def test_a_question_that_nobody_ever_answers_counts_as_failed() -> None:
    desk = Desk()
    desk.recovery.logged_on(desk.clock.mono_ns())
    desk.asker.waiting.clear()
    for _ in range(200):
        desk.turn(100_000_000)
        if desk.asker.waiting:
            break
    assert "no answer" in desk.entry.ready_reason
    desk.asker.answer_all()
    assert desk.recovery.done


def test_a_disconnect_in_the_middle_of_reconciliation_time_and_again_leaves_nothing_behind() -> None:
    desk = Desk()
    order = desk.place()
    desk.clock.advance(OLD_NS)
    stale: list[Answered] = []
    for n in range(20):
        desk.recovery.lost("reset")
        desk.recovery.logged_on(desk.clock.mono_ns())
        for _ in range(n % 3):
            desk.asker.answer_one()
        stale += [answered for _, answered in desk.asker.waiting]
        desk.asker.waiting.clear()
    for answered in stale:
        answered(200, b"0", "")
    assert (order.state, desk.recovery.done, desk.asker.waiting) == ("UNCERTAIN", False, [])
    desk.rest.orders[order.cl_ord_id] = listed(order.cl_ord_id, status="2", cum_qty="0.1")
    desk.reconcile()
    assert (order.state, desk.port.fills) == ("FILLED", [100])


# --- missed fills


def told(trade_id: str, qty: str, **more: Any) -> VenueTrade:
    fields: dict[str, Any] = {
        "trade_id": trade_id, "order_id": "V-id1", "symbol": "BTC/USD", "side": "1", "px": "50", "qty": qty,
        "fees": (("USD", "0.02"),), "liquidity": "T",
    }  # fmt: skip
    return VenueTrade(**(fields | more))


def published_fills(desk: Desk) -> list[tuple[str, int | None, str]]:
    reports = [e for e in desk.port.recorded if isinstance(e, ExecutionReport) and e.exec_type == "F"]
    return [(r.trade_id, r.last_qty, r.origin) for r in reports]


def away_and_filled(desk: Desk) -> Order:
    order = desk.place()
    desk.rest.tells_trades = True
    desk.rest.orders[order.cl_ord_id] = listed(order.cl_ord_id, status="2", cum_qty="0.1")
    desk.rest.fills[order.cl_ord_id] = [TradePage((told("T1", "0.04"),), "1"), TradePage((told("T2", "0.06"),))]
    desk.reconcile()
    return order


def test_missed_fills_are_published_with_trade_id_and_fees_before_the_session_is_ready() -> None:
    desk = Desk()
    order = away_and_filled(desk)
    assert (order.state, desk.recovery.done) == ("FILLED", True)
    assert published_fills(desk) == [("T1", 40, "rest"), ("T2", 60, "rest")]
    assert desk.port.fills == [40, 60]
    assert desk.differences() == ["missed_fill", "missed_fill", "filled_meanwhile"]


def test_a_late_report_of_a_fill_that_rest_told_is_not_published_again() -> None:
    desk = Desk()
    order = away_and_filled(desk)
    desk.report(order, "F", "1", exec_id="e1", trade_id="T1", last_qty=40, last_px=500, cum_qty=40)
    desk.report(order, "F", "2", exec_id="e2", trade_id="T2", last_qty=60, last_px=500, cum_qty=100)
    assert (len(published_fills(desk)), desk.port.fills, desk.entry.counters["duplicates"]) == (2, [40, 60], 2)


def test_a_late_report_that_ends_the_order_counts_although_its_fill_is_known() -> None:
    desk = Desk()
    desk.ready()
    order = desk.place()
    desk.report(order, "F", "", trade_id="T1", last_qty=40, last_px=500, origin="rest")
    desk.report(order, "F", "2", exec_id="e9", trade_id="T1", last_qty=40, last_px=500, cum_qty=100)
    assert (order.state, order.cum_qty, len(published_fills(desk))) == ("FILLED", 100, 1)


def test_a_fill_that_the_trade_list_did_not_know_yet_is_had_later() -> None:
    desk = Desk()
    order = desk.place()
    desk.rest.tells_trades = True
    desk.rest.orders[order.cl_ord_id] = listed(order.cl_ord_id, status="2", cum_qty="0.1")
    desk.reconcile()
    assert (order.state, order.untold, desk.recovery.done) == ("FILLED", 100, True)
    desk.rest.fills[order.cl_ord_id] = [TradePage((told("T1", "0.1"),))]
    for _ in range(30):
        desk.turn(100_000_000)
        desk.asker.answer_all()
    assert (published_fills(desk), order.untold, desk.port.fills) == ([("T1", 100, "rest")], 0, [100])


def test_a_fill_that_no_trade_ever_tells_is_named_in_the_end() -> None:
    desk = Desk()
    order = desk.place()
    desk.rest.tells_trades = True
    desk.rest.orders[order.cl_ord_id] = listed(order.cl_ord_id, status="2", cum_qty="0.1")
    desk.reconcile()
    for _ in range(600):
        desk.turn(1_000_000_000)
        desk.asker.answer_all()
    assert [text for text in desk.asker.alerts if "in no trade told" in text] != []
    desk.turn(60_000_000_000)
    assert desk.asker.waiting == []


def test_a_fill_lost_on_the_session_is_had_by_its_trade_id() -> None:
    desk = Desk()
    desk.rest.tells_trades = True
    desk.recovery.logged_on(desk.clock.mono_ns())
    desk.asker.answer_all()
    order = desk.place()
    desk.rest.fills[order.cl_ord_id] = [TradePage((told("T1", "0.04"), told("T2", "0.06")))]
    desk.report(order, "F", "2", exec_id="e2", trade_id="T2", last_qty=60, last_px=500, cum_qty=100)
    for _ in range(30):
        desk.turn(100_000_000)
        desk.asker.answer_all()
    assert published_fills(desk) == [("T2", 60, "8"), ("T1", 40, "rest")]


# --- status requests and lists over the session


def test_status_requests_do_not_pile_up_ids() -> None:
    desk = Desk(rest=False, open_orders=OpenOrders.STATUS_EACH)
    desk.recovery.logged_on(desk.clock.mono_ns())
    order = desk.place()
    for _ in range(600):
        desk.turn(1_000_000_000)
    asked = desk.session.sent.count(("status", order.cl_ord_id))
    assert 5 < asked < 20  # the distance grows to a minute
    assert (order.state, len(order.ids), len(order.requests)) == ("UNCERTAIN", 2, 1)


def test_a_status_answer_ends_the_waiting_at_once() -> None:
    desk = Desk(rest=False, open_orders=OpenOrders.STATUS_EACH)
    order = desk.place()
    desk.recovery.lost("reset")
    desk.recovery.logged_on(desk.clock.mono_ns())
    desk.report(order, "I", "0", cum_qty=0, leaves_qty=100)
    desk.turn(100_000_000)
    assert (desk.recovery.done, order.state) == (True, "NEW")


def mass(desk: Desk) -> Any:
    """The request that waits for its answer."""
    (waiting,) = desk.session.lists
    desk.session.lists.clear()
    return waiting


def test_a_mass_status_request_confirms_settles_and_adopts() -> None:
    desk = Desk(rest=False, open_orders=OpenOrders.MASS_STATUS)
    known, filled = desk.place(), desk.place()
    desk.recovery.lost("reset")
    desk.recovery.logged_on(desk.clock.mono_ns())
    finished = listed(filled.cl_ord_id, status="2", cum_qty="0.1")
    mass(desk)((listed(known.cl_ord_id), finished, listed("id77")), "")
    assert desk.recovery.done
    assert (known.state, filled.state) == ("NEW", "FILLED")
    adopted = desk.table.find("id77")
    assert adopted is not None
    assert adopted.state == "NEW"


def test_an_order_missing_from_the_mass_status_is_asked_for_singly() -> None:
    desk = Desk(rest=False, open_orders=OpenOrders.MASS_STATUS)
    order = desk.place()
    desk.recovery.lost("reset")
    desk.recovery.logged_on(desk.clock.mono_ns())
    mass(desk)((), "")
    assert desk.session.sent[-1] == ("status", order.cl_ord_id)
    desk.report(order, "I", "4", cum_qty=0)
    assert (order.state, desk.recovery.done) == ("CANCELED", True)


def unknown(desk: Desk, order: Order) -> None:
    desk.entry.event(
        CancelReject(
            session="s", venue="v", instrument=order.instrument, cl_ord_id=order.cl_ord_id, request_id="",
            order_id="", response_to="", reason_code="5", text="unknown", origin="8", recv_ns=0, unknown_order=True,
        )
    )  # fmt: skip


@pytest.mark.parametrize(("resend", "state"), [(True, "REJECTED"), (False, "UNCERTAIN")])
def test_an_order_that_no_status_request_knows_is_settled_only_where_nothing_can_have_been_missed(
    resend: bool, state: str
) -> None:
    desk = Desk(rest=False, open_orders=OpenOrders.MASS_STATUS, resend=resend)
    order = desk.place()
    desk.clock.advance(OLD_NS)
    desk.recovery.lost("reset")
    desk.recovery.logged_on(desk.clock.mono_ns())
    mass(desk)((), "")
    unknown(desk, order)
    desk.turn(1)
    mass(desk)((), "")
    assert (order.state, desk.recovery.done) == (state, True)


def test_a_refused_mass_status_request_is_tried_again_and_said() -> None:
    desk = Desk(rest=False, open_orders=OpenOrders.MASS_STATUS)
    desk.recovery.logged_on(desk.clock.mono_ns())
    mass(desk)((), "not now")
    assert "not now" in desk.entry.ready_reason
    desk.turn(10_000_000_000)
    mass(desk)((), "")
    assert desk.recovery.done


def test_after_an_unbroken_replay_an_order_that_was_not_spoken_of_stands_as_before() -> None:
    desk = Desk(rest=False, open_orders=OpenOrders.REPLAY)
    order, unanswered = desk.place(), desk.place()
    desk.report(order, "0", "0")
    desk.recovery.lost("reset")
    desk.recovery.logged_on(desk.clock.mono_ns())
    assert desk.recovery.done
    assert (order.state, unanswered.state) == ("NEW", "UNCERTAIN")


def test_numbers_that_began_anew_prove_nothing() -> None:
    desk = Desk(rest=False, open_orders=OpenOrders.REPLAY)
    order = desk.place()
    desk.report(order, "0", "0")
    desk.recovery.lost("reset")
    desk.session.resets = 1
    desk.recovery.logged_on(desk.clock.mono_ns())
    assert (desk.recovery.done, order.state) == (True, "UNCERTAIN")
    assert any("began anew" in text for text in desk.asker.alerts)
