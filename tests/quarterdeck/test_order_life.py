"""An order's life from its events alone: what is filled, at what price, and what is not known."""

from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest

from base.errors import OrderRejected
from ipc.events import CancelReject, OrderState
from ipc.requests import NewOrder
from ipc.sequence import Delivery, Gap
from quarterdeck.order_life import OrderLife
from quarterdeck.tracker import Tracker
from tests.quarterdeck.stub import new_state, trade

COMMAND = NewOrder("me", "c1", 0, "v", "BTC-USD", "1", "2", 10_000, 1000)
FIRST = new_state(COMMAND, "A")


class Story:
    """A followed order, and the events of its topic in their order."""

    def __init__(self) -> None:
        self.tracker: Tracker[OrderLife] = Tracker()
        self.order = self.tracker.add(OrderLife(COMMAND, "v-trd", 1, 3))
        self.seq = 0

    def hear(self, *events: object, epoch: int = 1) -> OrderLife:
        for event in events:
            self.seq += 1
            self.tracker.take(Delivery("exec.v-trd", epoch, self.seq, event))  # type: ignore[arg-type]
        return self.order

    def state(self, state: str, base: OrderState = FIRST, **more: object) -> OrderLife:
        return self.hear(msgspec.structs.replace(base, state=state, **more))

    def cancel_reject(self) -> OrderLife:
        said = CancelReject("v-trd", "v", "BTC-USD", "A", "C1", "O1", "1", "3", "already filled", "9", 1)
        return self.hear(msgspec.structs.replace(said, client_id="me", command_id="c1"))


@pytest.fixture
def story() -> Story:
    return Story()


def test_it_is_pending_until_something_is_told(story: Story) -> None:
    assert (story.order.state, story.order.cl_ord_id, story.order.remaining) == ("PENDING_NEW", "", 10_000)
    story.hear(FIRST)
    assert (story.order.cl_ord_id, story.order.answered) == ("A", True)


def test_average_price_and_fees_are_exact(story: Story) -> None:
    story.hear(FIRST, trade(FIRST, 1, 1000, "x1", fees=(("USD", "0.1"),)))
    story.state("PARTIALLY_FILLED", cum_qty=1, leaves_qty=9999)
    story.hear(trade(FIRST, 2, 1001, "x2", fees=(("USD", "-0.03"), ("BTC", "0.001"))))
    order = story.state("PARTIALLY_FILLED", cum_qty=3, leaves_qty=9997)
    assert order.avg_px == Fraction(3002, 30)  # (100.0 + 2 x 100.1) / 3: no decimal number is that
    assert order.notional == Decimal("0.3002")
    assert order.fees == {"USD": Decimal("0.07"), "BTC": Decimal("0.001")}
    assert (order.filled, order.remaining, order.untold) == (3, 9997, 0)


def test_a_fill_that_is_told_twice_counts_once(story: Story) -> None:
    story.hear(FIRST)
    told = trade(FIRST, 5, 1000, "x1", trade_id="t1")
    story.hear(told, told, msgspec.structs.replace(told, exec_id="other", origin="rest"))
    assert [f.qty for f in story.order.fills] == [5]
    again = Delivery("exec.v-trd", 1, 2, trade(FIRST, 7, 1000, "x9"))
    story.tracker.take(again)  # a number that was heard: a replay tells it once more
    assert [f.qty for f in story.order.fills] == [5]


def test_what_no_fill_accounts_for_leaves_the_average_open(story: Story) -> None:
    story.hear(FIRST, trade(FIRST, 5, 1000, "x1"))
    order = story.state("PARTIALLY_FILLED", cum_qty=8, leaves_qty=9992)
    assert (order.filled, order.untold, order.avg_px) == (8, 3, None)
    assert story.hear(trade(FIRST, 3, 1010, "x2", origin="rest")).avg_px == Fraction(8030, 80)


def test_a_bust_takes_a_fill_back_and_a_correction_changes_it(story: Story) -> None:
    story.hear(FIRST, trade(FIRST, 5, 1000, "x1"), trade(FIRST, 4, 1000, "x2"))
    story.hear(trade(FIRST, 0, None, "x3", exec_type="H", exec_ref_id="x1"))
    story.hear(trade(FIRST, 4, 990, "x4", exec_type="G", exec_ref_id="x2"))
    assert [(f.qty, f.px, f.exec_id) for f in story.order.fills] == [(4, 990, "x4")]
    story.hear(trade(FIRST, 0, None, "x5", exec_type="H", exec_ref_id="x4"))  # by the name that the correction gave it
    assert story.order.fills == []


def test_a_replace_that_places_a_new_order_goes_on_as_that_one(story: Story) -> None:
    story.hear(FIRST, trade(FIRST, 1000, 1000, "x1"))
    story.state("PARTIALLY_FILLED", cum_qty=1000, leaves_qty=9000, order_id="O1")
    story.state("PENDING_REPLACE", cum_qty=1000, leaves_qty=9000, order_id="O1")
    second = msgspec.structs.replace(FIRST, cl_ord_id="B", order_qty=5000, price=1005, leaves_qty=5000)
    order = story.hear(second)
    assert (order.cl_ord_id, order.state, order.remaining) == ("A", "PENDING_REPLACE", 9000)
    story.state("CANCELED", cum_qty=1000, leaves_qty=0, order_id="O1")
    story.state("NEW", second, order_id="O2")
    assert (order.cl_ord_id, order.state, order.price, order.remaining) == ("B", "NEW", 1005, 5000)
    story.hear(trade(second, 5000, 1005, "x2"))
    story.state("FILLED", second, order_id="O2", cum_qty=5000, leaves_qty=0)
    assert (order.done, order.filled, order.avg_px) == (True, 6000, Fraction(1000 * 1000 + 5000 * 1005, 60_000))


def test_a_new_order_that_was_refused_leaves_the_old_one(story: Story) -> None:
    story.hear(FIRST)
    story.state("NEW", order_id="O1")
    story.hear(second := msgspec.structs.replace(FIRST, cl_ord_id="B", price=1))
    order = story.state("REJECTED", second, reason="too far", leaves_qty=0)
    assert (order.cl_ord_id, order.state, order.price, order.is_open) == ("A", "NEW", 1000, True)


def test_an_order_that_the_venue_renames_is_the_same(story: Story) -> None:
    story.hear(FIRST)
    story.state("NEW", order_id="O1")
    order = story.state("NEW", cl_ord_id="B", order_id="O1", price=1005)
    assert (order.cl_ord_id, order.price, len(order.parts)) == ("B", 1005, 1)


def test_a_rejection_tells_code_and_text(story: Story) -> None:
    story.hear(FIRST)
    said = trade(FIRST, 0, None, "x1", exec_type="8", ord_status="8", reason_code="3", text="Order exceeds limit")
    order = story.hear(
        said, msgspec.structs.replace(FIRST, state="REJECTED", leaves_qty=0, reason="Order exceeds limit")
    )
    with pytest.raises(OrderRejected, match=r"v-trd: A: Order exceeds limit \(3\)") as caught:
        order.arrived(())
    assert (caught.value.code, caught.value.reason, caught.value.order) == ("3", "Order exceeds limit", order)
    assert order.arrived(("REJECTED",))


def test_a_refused_cancel_is_kept(story: Story) -> None:
    story.hear(FIRST)
    story.cancel_reject()
    assert story.order.cancel_reject is not None
    assert story.order.cancel_reject.text == "already filled"


def test_lost_events_make_an_open_order_uncertain_until_it_is_told_again(story: Story) -> None:
    story.hear(FIRST)
    story.state("NEW")
    order = story.hear(Gap("hole", 3, 9, text="6 events lost on the way"))
    assert (order.state, order.reason) == ("UNCERTAIN", "events were lost: 6 events lost on the way")
    assert story.tracker.sessions_in_doubt(0) == {"v-trd"}
    story.tracker.listed("v-trd", [msgspec.structs.replace(FIRST, state="PARTIALLY_FILLED", cum_qty=5)], 0, whole=False)
    assert (order.state, order.filled, order.untold, order.avg_px) == ("PARTIALLY_FILLED", 5, 5, None)
    assert story.hear(Gap("silent", 9, 9)).state == "PARTIALLY_FILLED"  # nothing was lost by that
    assert story.tracker.sessions_in_doubt(0) == set()


def test_a_finished_order_is_not_in_doubt(story: Story) -> None:
    story.hear(FIRST)
    story.state("FILLED", cum_qty=10_000, leaves_qty=0)
    assert story.hear(Gap("hole", 3, 9)).state == "FILLED"


def test_an_order_that_the_process_has_forgotten_stays_uncertain_and_is_not_asked_for_again(story: Story) -> None:
    story.hear(FIRST, Gap("hole", 2, 9))
    assert story.tracker.listed("v-trd", [], 0, whole=False)
    assert not story.tracker.listed("v-trd", [], 0, whole=True)
    assert (story.order.state, story.order.reason) == ("UNCERTAIN", "it ended, and how the process has forgotten")


def test_a_command_without_an_answer_was_never_taken_only_if_its_deadline_passed_and_no_list_has_it() -> None:
    tracker: Tracker[OrderLife] = Tracker()
    order = tracker.add(OrderLife(msgspec.structs.replace(COMMAND, deadline_ns=1000), "v-trd", 1, 3))
    order.unsure("no answer")
    assert (order.state, order.done, tracker.sessions_in_doubt(999)) == ("UNCERTAIN", False, set())
    assert tracker.sessions_in_doubt(1000) == {"v-trd"}
    tracker.listed("v-trd", [], 1000, whole=False)
    assert order.state == "UNCERTAIN"  # it may have been taken, and have ended
    tracker.listed("v-trd", [], 1000, whole=True)
    assert (order.state, order.done) == ("REJECTED", True)
    assert "never taken" in order.reason


def test_events_of_orders_that_nobody_follows_change_nothing(story: Story) -> None:
    before = story.tracker.changed
    story.hear(new_state(msgspec.structs.replace(COMMAND, command_id="c2"), "Z"))
    assert story.tracker.changed == before


def test_what_comes_while_the_history_is_read_follows_it(story: Story) -> None:
    story.order.loading = True
    live = Delivery("exec.v-trd", 2, 5, trade(FIRST, 7, 1000, "x7"))
    story.tracker.take(live)
    for seq, event in enumerate([FIRST, trade(FIRST, 5, 1000, "x1")], 1):
        story.tracker.history(Delivery("exec.v-trd", 1, seq, event), {("me", "c1")})
    story.tracker.history(live, {("me", "c1")})  # the journal has it by now
    story.tracker.loaded(story.order)
    assert [f.qty for f in story.order.fills] == [5, 7]
