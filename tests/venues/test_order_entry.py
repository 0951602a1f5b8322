"""Order entry: what is checked, in which order things happen, what a closed gate and a full disk stop."""

from typing import Any

import msgspec
import pytest

from base.errors import StoreError
from ipc.events import CancelReject, Difference, ExecutionReport, OrderState
from ipc.exposure import notional
from ipc.requests import CancelOrder, ListOrders, MassCancel, Ops, ReplaceOrder, StatusOrder
from risk.exposure import ExposureBook
from risk.order import Order
from risk.orders import OrderTable
from tests.venues.fakes import BTC, Bench
from venues.interface import Replace, SessionPhase
from venues.order_terms import working
from venues.sweep import AGAIN_NS, Sweep


def cancel(cl_ord_id: str) -> CancelOrder:
    return CancelOrder("c", "x", 0, cl_ord_id)


def test_an_order_is_journalled_and_its_id_remembered_before_the_gate_is_read_for_the_last_time() -> None:
    bench = Bench()
    order = bench.place()
    assert bench.port.steps == ["gate", "remember", "record", "gate"]
    assert bench.port.remembered == [("c", "k1", order.cl_ord_id)]
    assert bench.session.sent == [("new", "id1")]


def test_a_gate_that_closes_between_the_checks_and_the_send_stops_the_order() -> None:
    bench = Bench()

    def close_at_the_second_look() -> None:
        if bench.port.steps.count("gate") == 2:
            bench.port.closed = "desk is TRIPPING"

    bench.port.on_gate = close_at_the_second_look
    answer = bench.entry.handle(bench.new())
    assert (answer.accepted, answer.reason) == (False, "desk is TRIPPING")
    assert bench.session.sent == []
    assert bench.table.open() == []
    states = [e.state for e in bench.port.recorded if isinstance(e, OrderState)]
    assert states == ["PENDING_NEW", "REJECTED"]


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"instrument": "XRP-USD"}, "instrument"),
        ({"side": "3"}, "side"),
        ({"ord_type": "9"}, "ord_type"),
        ({"time_in_force": "6"}, "time_in_force"),
        ({"price": None}, "price"),
        ({"price": 503}, "price"),
        ({"price": 0}, "price"),
        ({"stop_px": 503}, "stop_px"),
        ({"stop_px": -5}, "stop_px"),
        ({"order_qty": 0}, "order_qty"),
        ({"order_qty": 105}, "order_qty"),
        ({"order_qty": 10}, "order_qty"),
        ({"order_qty": 5010}, "order_qty"),
    ],
)
def test_a_wrong_term_is_refused_by_name_and_nothing_leaves(change: dict[str, object], names: str) -> None:
    bench = Bench()
    answer = bench.entry.handle(bench.new(**change))
    assert not answer.accepted
    assert answer.reason.startswith(names)
    assert bench.session.sent == []
    assert bench.port.recorded == []


def test_no_order_leaves_before_reconciliation_is_done_or_while_the_session_is_down() -> None:
    bench = Bench()
    bench.entry.ready_reason = "reconciling"
    assert "reconciling" in bench.entry.handle(bench.new()).reason
    bench.entry.ready_reason = ""
    bench.session.phase = SessionPhase.LOGGING_ON
    assert "not ready" in bench.entry.handle(bench.new()).reason


def test_a_full_disk_stops_new_orders_and_not_cancels() -> None:
    bench = Bench()
    order = bench.place()
    bench.port.fail = StoreError("no space left")
    answer = bench.entry.handle(bench.new())
    assert (answer.accepted, answer.reason) == (False, "journal: no space left")
    assert bench.table.open() == [order]
    assert bench.entry.handle(cancel(order.cl_ord_id)).accepted


def test_what_the_session_refuses_to_send_is_answered_with_its_reason() -> None:
    bench = Bench()
    bench.session.refuse = "store is full"
    answer = bench.entry.handle(bench.new())
    assert (answer.accepted, answer.reason) == (False, "store is full")
    assert bench.table.open() == []


def test_cancels_pass_a_closed_gate_and_replaces_do_not() -> None:
    bench = Bench()
    order = bench.place()
    bench.report(order, "0", "0")
    bench.port.closed = "desk is TRIPPED"
    assert bench.entry.handle(ReplaceOrder("c", "r", 0, order.cl_ord_id, 200)).reason == "desk is TRIPPED"
    assert bench.entry.handle(cancel(order.cl_ord_id)).accepted


def test_a_finished_or_unknown_order_cannot_be_cancelled_and_that_is_said() -> None:
    bench = Bench()
    order = bench.place()
    bench.report(order, "4", "4")
    assert "CANCELED" in bench.entry.handle(cancel(order.cl_ord_id)).reason
    assert "no order 'zz'" in bench.entry.handle(cancel("zz")).reason


def test_a_replace_that_the_venue_makes_a_new_order_is_in_the_books_before_it_leaves() -> None:
    bench = Bench(replace=Replace.CANCEL_NEW)
    old = bench.place()
    bench.report(old, "0", "0")
    bench.session.successor = True
    assert bench.entry.handle(ReplaceOrder("c", "r", 0, old.cl_ord_id, 200, 505)).accepted
    new = bench.table.find("id2")
    assert new is not None
    assert new is not old
    assert (new.order_qty, new.price, new.state) == (200, 505, "PENDING_NEW")
    bench.report(old, "4", "4")
    bench.report(new, "0", "0")
    assert (old.state, new.state) == ("CANCELED", "NEW")


def test_a_replace_that_could_not_be_sent_leaves_no_order_behind() -> None:
    bench = Bench(replace=Replace.CANCEL_NEW)
    old = bench.place()
    bench.report(old, "0", "0")
    bench.session.successor = True
    bench.session.refuse = "price has too many decimals"
    assert not bench.entry.handle(ReplaceOrder("c", "r", 0, old.cl_ord_id, 200)).accepted
    assert bench.table.open() == [old]
    assert old.state == "NEW"


def test_a_refused_replace_leaves_the_order_working() -> None:
    bench = Bench()
    order = bench.place()
    bench.report(order, "0", "0")
    bench.entry.handle(ReplaceOrder("c", "r", 0, order.cl_ord_id, 200))
    bench.entry.event(
        CancelReject("s", "v", "BTC-USD", order.cl_ord_id, "id2", "", "2", "3", "no", "9", 0)
    )  # fmt: skip
    assert (order.state, order.order_qty) == ("NEW", 100)


@pytest.mark.parametrize(("unknown", "state"), [(False, "NEW"), (True, "UNCERTAIN")])
def test_a_refused_replace_that_would_place_anew_is_about_the_old_order(unknown: bool, state: str) -> None:
    bench = Bench(replace=Replace.CANCEL_NEW)
    old = bench.place()
    bench.report(old, "0", "0")
    bench.session.successor = True
    bench.entry.handle(ReplaceOrder("c", "r", 0, old.cl_ord_id, 200))
    new = bench.table.find("id2")
    assert new is not None
    reject = CancelReject("s", "v", "BTC-USD", old.cl_ord_id, "id2", "", "1", "", "no", "9", 0, unknown_order=unknown)
    bench.entry.event(reject)
    assert (old.state, new.state, old.requests) == (state, "PENDING_NEW", {})
    bench.report(new, "8", "8")
    assert (old.state, new.state) == (state, "REJECTED")


def test_reports_carry_the_owner_that_the_desk_knows() -> None:
    bench = Bench()
    order = bench.place(strategy="alpha")
    bench.report(order, "0", "0")
    published = [e for e in bench.port.recorded if isinstance(e, ExecutionReport)]
    assert (published[0].strategy, published[0].client_id, published[0].command_id) == ("alpha", "c", "k1")


def test_a_duplicate_report_is_neither_published_nor_counted_twice() -> None:
    bench = Bench()
    order = bench.place()
    for _ in range(2):
        bench.report(order, "F", "1", exec_id="e1", last_qty=30, last_px=500)
    assert bench.port.fills == [30]
    assert sum(isinstance(e, ExecutionReport) for e in bench.port.recorded) == 1
    assert bench.entry.counters["duplicates"] == 1


def test_a_report_of_somebody_elses_order_is_published_and_no_order_is_made_of_it() -> None:
    bench = Bench()
    order = bench.place()
    bench.report(order, "0", "0", cl_ord_id="theirs", order_id="V-other")
    assert len(bench.table) == 1
    assert bench.entry.counters["unknown_orders"] == 1


def test_a_lost_session_makes_every_open_order_uncertain() -> None:
    bench = Bench()
    order = bench.place()
    bench.report(order, "0", "0")
    bench.entry.lost_session("connection reset")
    assert (order.state, order.reason) == ("UNCERTAIN", "connection reset")


def test_new_orders_leave_the_reserve_to_cancels() -> None:
    bench = Bench(orders_per_s=3, cancel_reserve_per_s=2)
    order = bench.place()
    assert "rate limit" in bench.entry.handle(bench.new()).reason
    assert bench.entry.handle(cancel(order.cl_ord_id)).accepted
    bench.clock.advance(1_200_000_000)
    bench.place()


def test_a_mass_cancel_that_would_reach_other_sessions_cancels_own_orders_one_by_one() -> None:
    bench = Bench(mass_is_wide=True)
    btc, eth = bench.place(), bench.place(instrument="ETH-USD")
    assert bench.entry.handle(MassCancel("c", "m", 0, "ETH-USD")).accepted
    assert bench.session.sent[2:] == [("cancel", eth.cl_ord_id)]
    assert bench.entry.handle(MassCancel("c", "m", 0)).accepted
    assert bench.session.sent[3:] == [("cancel", btc.cl_ord_id), ("cancel", eth.cl_ord_id)]
    assert "XX" in bench.entry.handle(MassCancel("c", "m", 0, "XX")).reason


def test_where_there_is_no_mass_cancel_orders_are_cancelled_one_by_one_and_failures_are_counted() -> None:
    bench = Bench(mass_cancel=False, orders_per_s=4, cancel_reserve_per_s=1)
    for _ in range(3):
        bench.place()
    answer = bench.entry.handle(MassCancel("c", "m", 0))
    assert not answer.accepted
    assert answer.reason.startswith("2 of 3 orders not cancelled: rate limit of the venue (orders_a_second: 4 in 1 s)")


def test_mass_cancel_goes_by_instrument_where_the_venue_wants_that() -> None:
    bench = Bench(per_instrument=True)
    bench.session.wants_symbol = True
    assert bench.entry.handle(MassCancel("c", "m", 0)).accepted
    assert bench.session.sent == [("mass", "BTC-USD"), ("mass", "ETH-USD")]
    assert "XX" in bench.entry.handle(MassCancel("c", "m", 0, "XX")).reason


def test_orders_are_listed_open_or_all() -> None:
    bench = Bench()
    done = bench.place()
    bench.report(done, "4", "4")
    bench.place()
    assert len(bench.entry.handle(ListOrders("c", "l", 0)).orders) == 1
    assert len(bench.entry.handle(ListOrders("c", "l", 0, open_only=False)).orders) == 2


def test_what_it_does_not_take_is_refused_by_name() -> None:
    assert "Ops" in Bench().entry.handle(Ops("c", "o", 0)).reason


def test_status_is_asked_over_the_session() -> None:
    bench = Bench()
    order = bench.place()
    assert bench.entry.handle(StatusOrder("c", "q", 0, order.cl_ord_id)).accepted
    assert bench.session.sent[-1] == ("status", order.cl_ord_id)


# -- sweeps ------------------------------------------------------------------------------------------------------


def test_a_sweep_uses_every_way_at_once_and_repeats_single_cancels_until_nothing_is_left() -> None:
    bench = Bench()
    orders = [bench.place() for _ in range(3)]
    sweep = Sweep(bench.entry)
    sweep.start("trip", lambda _: True, bench.clock.mono_ns(), mass=True)
    assert bench.session.sent[3:] == [("mass", "*"), *[("cancel", o.ids[0]) for o in orders]]
    bench.report(orders[0], "4", "4")
    bench.clock.advance(AGAIN_NS)
    before = len(bench.session.sent)
    sweep.tick(bench.clock.mono_ns())
    assert [about for _, about in bench.session.sent[before:]] == [o.ids[0] for o in orders[1:]]
    assert sweep.left == 2


def test_a_sweep_leaves_alone_what_its_scope_does_not_cover() -> None:
    bench = Bench()
    mine, theirs = bench.place(strategy="a"), bench.place(strategy="b")
    sweep = Sweep(bench.entry)
    sweep.start("trip", lambda o: o.strategy == "a", bench.clock.mono_ns(), mass=False)
    assert bench.session.sent[2:] == [("cancel", mine.ids[0])]
    assert theirs.state == "PENDING_NEW"


def test_an_order_acknowledged_after_the_trip_is_cancelled_again() -> None:
    bench = Bench()
    order = bench.place()
    sweep = Sweep(bench.entry)
    bench.entry.on_open_report = sweep.seen_open
    sweep.start("trip", lambda _: True, bench.clock.mono_ns(), mass=False)
    bench.entry.event(CancelReject("s", "v", "BTC-USD", order.cl_ord_id, "id2", "", "1", "1", "unknown", "9", 0, True))
    assert order.state == "UNCERTAIN"
    bench.clock.advance(AGAIN_NS)
    bench.report(order, "0", "0")
    assert bench.session.sent.count(("cancel", "id1")) == 2


def test_while_logged_out_a_sweep_keeps_trying() -> None:
    bench = Bench()
    bench.place()
    bench.session.phase = SessionPhase.DISCONNECTED
    sweep = Sweep(bench.entry)
    sweep.start("trip", lambda _: True, bench.clock.mono_ns(), mass=True)
    assert len(bench.session.sent) == 1
    bench.session.phase = SessionPhase.READY
    sweep.tick(bench.clock.mono_ns())
    assert bench.session.sent[-1] == ("cancel", "id1")


def test_an_order_refused_here_that_the_venue_shows_is_said_loudly_and_swept() -> None:
    bench = Bench()
    order = bench.place()
    bench.table.settle_unknown(order, "absent from two lists", 0)
    sweep = Sweep(bench.entry)
    bench.entry.on_open_report = sweep.seen_open
    sweep.start("trip", lambda _: True, bench.clock.mono_ns(), mass=False)
    bench.report(order, "0", "0", exec_id="e1", order_qty=100, cum_qty=0, leaves_qty=100)
    assert order in bench.table.open()
    assert bench.session.sent[-1] == ("cancel", order.cl_ord_id)
    assert [e.kind for e in bench.port.recorded if isinstance(e, Difference)] == ["alive_after_all"]
    assert order.cl_ord_id in bench.port.alerts[0]
    assert (order.cl_ord_id, "NEW") in bench.port.moves


def test_an_order_id_of_one_instrument_never_names_an_order_of_another() -> None:
    bench = Bench()
    order = bench.place()
    bench.report(order, "0", "0", order_id="77", order_qty=100, cum_qty=0, leaves_qty=100)
    bench.report(order, "F", "1", cl_ord_id="web_manual", order_id="77", instrument="ETH-USD", exec_id="x",
                 last_qty=40, last_px=900, cum_qty=40, order_qty=100)  # fmt: skip
    assert order.cum_qty == 0
    bench.report(order, "F", "1", cl_ord_id="web_manual", order_id="77", instrument="", venue_symbol="XRP/USD",
                 exec_id="y", last_qty=40, last_px=900, cum_qty=40, order_qty=100)  # fmt: skip
    assert order.cum_qty == 0


def test_a_report_of_an_order_of_our_own_making_that_is_not_known_is_said_loudly_once() -> None:
    bench = Bench()
    order = bench.place()
    for exec_id in ("x", "y"):
        bench.report(order, "0", "0", cl_ord_id="id99", order_id="V99", exec_id=exec_id)
    assert ["id99" in text for text in bench.port.alerts] == [True]


# -- what a replace adds -------------------------------------------------------------------------------------------


def working_order(bench: Bench, **more: Any) -> Order:
    order = bench.place(**more)
    bench.report(order, "0", "0", order_qty=100, cum_qty=0, leaves_qty=100)
    return order


def test_the_new_order_of_a_replace_is_in_the_exposure_before_it_leaves_and_counts_as_an_order() -> None:
    bench = Bench(replace=Replace.CANCEL_NEW)
    order = working_order(bench)
    bench.session.successor = True
    assert bench.entry.handle(ReplaceOrder("c", "r1", 0, order.cl_ord_id, 5000, 1000)).accepted
    successor = bench.table.open()[-1]
    assert (successor.cl_ord_id, "PENDING_NEW") in bench.port.moves
    assert bench.entry.counters["orders"] == 2


def test_the_new_order_of_a_replace_that_did_not_leave_is_out_of_the_exposure_again() -> None:
    bench = Bench(replace=Replace.CANCEL_NEW)
    order = working_order(bench)
    bench.session.successor, bench.session.refuse = True, "no"
    assert not bench.entry.handle(ReplaceOrder("c", "r1", 0, order.cl_ord_id, 5000, 1000)).accepted
    assert bench.port.moves[-1] == ("id2", "REJECTED")
    assert bench.entry.counters["orders"] == 1


def test_a_full_disk_stops_replaces() -> None:
    bench = Bench()
    order = working_order(bench)
    bench.port.fail = StoreError("no space left")
    assert bench.entry.handle(ReplaceOrder("c", "r1", 0, order.cl_ord_id, 200)).reason == "no space left"
    assert len(bench.session.sent) == 1


def test_no_replace_leaves_before_reconciliation_is_done() -> None:
    bench = Bench()
    order = working_order(bench)
    bench.entry.ready_reason = "reconciling"
    assert "reconciling" in bench.entry.handle(ReplaceOrder("c", "r1", 0, order.cl_ord_id, 200)).reason


def test_a_gate_that_closes_while_a_replace_is_prepared_stops_it() -> None:
    bench = Bench(replace=Replace.CANCEL_NEW)
    order = working_order(bench)
    bench.session.successor = True
    before = bench.port.steps.count("gate")

    def close_at_the_second_look() -> None:
        if bench.port.steps.count("gate") == before + 2:
            bench.port.closed = "desk is TRIPPING"

    bench.port.on_gate = close_at_the_second_look
    assert bench.entry.handle(ReplaceOrder("c", "r1", 0, order.cl_ord_id, 200)).reason == "desk is TRIPPING"
    assert bench.table.open() == [order]
    assert len(bench.session.sent) == 1


@pytest.mark.parametrize(
    ("exec_type", "more", "qty", "px"),
    [
        ("5", {"request_id": "id2", "order_qty": 60, "price": 505}, 60, 505),
        ("F", {"last_qty": 40, "last_px": 500, "cum_qty": 40}, 160, 505),
        ("4", {"ord_status": "4"}, 0, 0),
    ],
)
def test_while_a_replace_is_on_its_way_the_greater_of_both_terms_is_at_risk(
    exec_type: str, more: dict[str, Any], qty: int, px: int
) -> None:
    bench, book = Bench(), ExposureBook()
    order = working_order(bench)
    bench.entry.handle(ReplaceOrder("c", "r1", 0, order.cl_ord_id, 200, 505))
    figures = book.update(order)
    assert (figures.working_buy_qty, figures.buy_notional) == (200, notional(505, 1, 200, 3))
    bench.report(order, exec_type, more.pop("ord_status", "0"), exec_id="e", **more)
    figures = book.update(order)
    assert (figures.working_buy_qty, figures.buy_notional) == (qty, notional(px, 1, qty, 3))


def test_a_refused_replace_puts_no_more_at_risk() -> None:
    bench, book = Bench(), ExposureBook()
    order = working_order(bench)
    bench.entry.handle(ReplaceOrder("c", "r1", 0, order.cl_ord_id, 200))
    bench.entry.event(CancelReject("s", "v", "BTC-USD", order.cl_ord_id, "id2", "", "2", "3", "no", "9", 0))
    assert book.update(order).working_buy_qty == 100


def test_a_smaller_replace_frees_nothing_until_the_venue_confirms_it() -> None:
    bench, book = Bench(), ExposureBook()
    order = working_order(bench)
    bench.entry.handle(ReplaceOrder("c", "r1", 0, order.cl_ord_id, 50))
    assert book.update(order).working_buy_qty == 100
    bench.entry.lost_session("reset")
    assert book.update(order).working_buy_qty == 100
    bench.report(order, "I", "0", order_qty=50, cum_qty=0, leaves_qty=50)
    assert book.update(order).working_buy_qty == 50


def test_an_order_below_the_venues_least_value_is_refused_and_so_is_a_replace() -> None:
    bench = Bench()
    bench.entry.instruments["BTC-USD"] = msgspec.structs.replace(BTC, min_notional="5.0")
    order = working_order(bench, order_qty=100, price=500)  # 0.1 at 50: exactly 5
    answer = bench.entry.handle(bench.new(order_qty=90, price=500))
    assert answer.reason == "order_qty: worth 4.5, below the minimum of 5.0"
    assert "4.95" in bench.entry.handle(ReplaceOrder("c", "r", 0, order.cl_ord_id, 100, 495)).reason
    assert "stop_px" in bench.entry.handle(ReplaceOrder("c", "r", 0, order.cl_ord_id, 100, 500, 503)).reason
    assert bench.entry.handle(bench.new(ord_type="1", price=None, order_qty=20)).accepted


def test_instructions_stay_with_the_order_over_replaces_and_restarts() -> None:
    bench = Bench(replace=Replace.CANCEL_NEW)
    given = {"display_qty": 20, "options": {"stp": "1"}, "expire_ns": 7, "effective_ns": 5, "exec_inst": "post_only"}
    order = working_order(bench, **given)
    bench.session.successor = True
    bench.entry.handle(ReplaceOrder("c", "r", 0, order.cl_ord_id, 200))
    again = OrderTable()
    for event in bench.port.recorded:
        if isinstance(event, OrderState):
            again.restore(event)
    for one in (order, bench.table.open()[-1], *again):
        seen = working(one, BTC)
        assert {name: getattr(seen, name) for name in given} == given
    assert len(again) == 2


def test_an_order_whose_placing_is_not_known_any_more_is_not_replaced() -> None:
    bench = Bench()
    order = working_order(bench)
    order.ord_type = ""
    assert bench.entry.handle(ReplaceOrder("c", "r", 0, order.cl_ord_id, 200)).reason.startswith("ord_type")


def test_a_bust_of_an_unknown_trade_that_tells_no_quantity_is_a_critical_alert() -> None:
    bench = Bench()
    order = bench.place()
    bench.report(order, "F", "1", exec_id="e1", last_qty=40, last_px=500, cum_qty=40)
    bench.report(order, "H", "0", exec_id="h", exec_ref_id="e1", cum_qty=0, leaves_qty=100)
    assert (bench.port.fills, bench.port.alerts) == ([40, -40], [])
    bench.report(order, "H", "", exec_id="h2", exec_ref_id="other")
    assert bench.port.fills == [40, -40]
    assert "'other', not known here" in bench.port.alerts[0]
    told = [e.exec_type for e in bench.port.recorded if isinstance(e, ExecutionReport)]
    assert told == ["F", "H", "H"]


def test_reports_say_which_cancels_are_a_sweeps_and_fills_are_never() -> None:
    bench = Bench()
    sweep = Sweep(bench.entry)
    bench.entry.is_swept = sweep.sweeps
    before, during, filled, spared, late = orders = [bench.place() for _ in range(5)]
    for order in orders:
        bench.report(order, "0", "0")
    bench.report(before, "4", "4")
    sweep.start("stopping", lambda o: o is not spared, bench.clock.mono_ns(), mass=False)
    bench.report(during, "4", "4")
    bench.report(spared, "4", "4")
    bench.report(filled, "F", "2", cum_qty=100, last_qty=100, leaves_qty=0)
    sweep.stop()
    bench.report(late, "4", "4")
    ends = [e for e in bench.port.recorded if isinstance(e, ExecutionReport) and e.exec_type in "4F"]
    assert [(e.exec_type, e.swept) for e in ends] == [
        ("4", False), ("4", True), ("4", False), ("F", False), ("4", True),
    ]  # fmt: skip


def test_a_report_on_anothers_order_is_journalled_once_and_marked_and_moves_nothing_here() -> None:
    bench = Bench()
    ours = bench.place()
    theirs = msgspec.structs.replace(ours, cl_ord_id="other-1", ids=["other-1"])
    moves = list(bench.port.moves)
    for _ in range(2):
        bench.report(theirs, "F", "1", exec_id="E1", last_qty=40, last_px=500, cum_qty=40)
    (heard,) = [e for e in bench.port.recorded if isinstance(e, ExecutionReport)]
    assert (heard.cl_ord_id, heard.foreign, heard.strategy) == ("other-1", True, "")
    assert (bench.port.fills, bench.port.moves, bench.port.alerts) == ([], moves, [])
    assert (bench.entry.counters["unknown_orders"], bench.entry.counters["duplicates"]) == (1, 1)
    bench.report(ours, "F", "1", exec_id="E2", last_qty=10, last_px=500, cum_qty=10)
    assert not [e for e in bench.port.recorded if isinstance(e, ExecutionReport)][-1].foreign


def test_a_report_on_an_order_of_our_own_that_was_lost_is_no_strangers() -> None:
    bench = Bench()
    lost = msgspec.structs.replace(bench.place(), cl_ord_id="id99", ids=["id99"])
    bench.report(lost, "F", "1", exec_id="E1", last_qty=40, last_px=500, cum_qty=40)
    assert [e.foreign for e in bench.port.recorded if isinstance(e, ExecutionReport)] == [False]
    assert "id99 was made here and is not known" in bench.port.alerts[0]
