"""Recovery: reconciled before ready, uncertain orders followed, failures tried again and said."""

from typing import Any

from base.backoff import Backoff
from base.errors import VenueError
from ipc.events import AnyEvent, Difference
from tests.venues.fakes import Bench
from venues.interface import OpenOrder, OpenOrders, Page, RestRequest, WorkingOrder
from venues.recovery import ANSWER_AFTER_NS, FOLLOW_EVERY_NS, STATUS_DEADLINE_NS, Answered, Recovery

LAG_NS = 1_000_000_000


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
        self.broken = ""

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

    def answer_all(self, error: str = "") -> list[str]:
        asked = []
        while self.waiting:
            request, answered = self.waiting.pop(0)
            asked.append(request.target)
            body = request.target.rpartition("/")[2] if "/order/" in request.target else request.target[6:]
            answered(200, body.encode(), error)
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
        return [e.kind for e in self.asker.published if isinstance(e, Difference)]


def test_no_order_is_let_through_until_the_list_has_been_compared() -> None:
    desk = Desk()
    order = desk.place()
    desk.recovery.lost("reset")
    assert order.state == "UNCERTAIN"
    desk.recovery.logged_on(desk.clock.mono_ns())
    assert "reconciling" in desk.entry.handle(desk.new()).reason
    desk.rest.pages = [Page((listed(order.cl_ord_id),))]
    desk.asker.answer_all()
    assert desk.recovery.done
    assert order.state == "NEW"
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
