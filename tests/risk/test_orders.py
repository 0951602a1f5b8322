"""Rules of the order table: each report counts once, quantities only rise, unknown is a state."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipc.events import CancelReject, ExecutionReport
from risk.order import Order
from risk.orders import FINISHED_KEPT, OrderTable
from risk.trades import Trades

QTY = 100


def order(cl_ord_id: str = "a1", **more: Any) -> Order:
    fields: dict[str, Any] = {
        "session": "s", "venue": "v", "account": "main", "instrument": "BTC-USD", "cl_ord_id": cl_ord_id, "side": "1",
        "ord_type": "2", "time_in_force": "1", "px_scale": 2, "qty_scale": 3, "order_qty": QTY, "price": 5000,
        "leaves_qty": QTY, "ids": [cl_ord_id],
    }  # fmt: skip
    return Order(**(fields | more))


def report(exec_type: str, ord_status: str, **more: Any) -> ExecutionReport:
    fields: dict[str, Any] = {
        "session": "s", "venue": "v", "account": "main", "instrument": "BTC-USD", "cl_ord_id": "a1", "order_id": "O1",
        "exec_id": "", "exec_type": exec_type, "ord_status": ord_status, "side": "1", "ord_type": "2",
        "time_in_force": "1", "px_scale": 2, "qty_scale": 3, "order_qty": None, "price": None, "stop_px": None,
        "last_qty": None, "last_px": None, "cum_qty": None, "leaves_qty": None, "transact_ns": 0, "sending_ns": 0,
        "recv_ns": 0,
    }  # fmt: skip
    return ExecutionReport(**(fields | more))


def reject(request_id: str, **more: Any) -> CancelReject:
    fields: dict[str, Any] = {
        "session": "s", "venue": "v", "instrument": "BTC-USD", "cl_ord_id": "a1", "request_id": request_id,
        "order_id": "", "response_to": "1", "reason_code": "", "text": "too late", "origin": "9", "recv_ns": 0,
    }  # fmt: skip
    return CancelReject(**(fields | more))


def table_with(*orders: Order) -> OrderTable:
    table = OrderTable()
    for each in orders:
        table.add(each)
    return table


def test_a_report_that_arrives_twice_counts_once() -> None:
    table = table_with(order())
    fill = report("F", "1", exec_id="e1", last_qty=40, last_px=5000)
    assert table.apply(fill, 1).fill_qty == 40
    again = table.apply(fill, 2)
    assert again.duplicate
    assert table.find("a1").cum_qty == 40  # type: ignore[union-attr]


def test_two_trades_under_one_exec_id_are_two_when_their_trade_ids_differ() -> None:
    table = table_with(order())
    table.apply(report("F", "1", exec_id="e", trade_id="t1", last_qty=10), 1)
    assert table.apply(report("F", "1", exec_id="e", trade_id="t2", last_qty=10), 1).fill_qty == 10


def test_an_order_ends_although_its_last_report_has_the_exec_id_of_its_first() -> None:
    table = table_with(order())
    table.apply(report("0", "0", exec_id="e"), 1)
    assert not table.apply(report("4", "4", exec_id="e"), 2).duplicate
    assert table.open() == []


def test_cumulative_quantity_never_falls_when_reports_swap() -> None:
    table = table_with(order())
    table.apply(report("F", "1", exec_id="e2", cum_qty=70, last_qty=30), 1)
    late = table.apply(report("F", "1", exec_id="e1", cum_qty=40, last_qty=40), 2)
    assert late.fill_qty == 0
    assert table.find("a1").cum_qty == 70  # type: ignore[union-attr]


def test_cancel_report_under_the_cancel_id_finds_its_order() -> None:
    table = table_with(order())
    the_order = table.find("a1")
    assert the_order is not None
    table.request(the_order, "c1", "cancel", 1)
    assert the_order.state == "PENDING_CANCEL"
    table.apply(report("4", "4", cl_ord_id="c1", orig_cl_ord_id="a1"), 2)
    assert the_order.state == "CANCELED"
    assert not table.open()


def test_a_refused_cancel_puts_the_order_back_where_it_was() -> None:
    table = table_with(order())
    the_order = table.find("a1")
    assert the_order is not None
    table.apply(report("0", "0"), 1)
    table.request(the_order, "c1", "cancel", 1)
    table.apply_reject(reject("c1"), 2)
    assert the_order.state == "NEW"


def test_a_venue_that_does_not_know_the_order_makes_it_uncertain_not_dead() -> None:
    table = table_with(order())
    the_order = table.find("a1")
    assert the_order is not None
    table.request(the_order, "c1", "cancel", 1)
    table.apply_reject(reject("c1", unknown_order=True), 2)
    assert the_order.state == "UNCERTAIN"
    assert the_order in table.open()


def test_a_fill_after_the_cancel_still_counts() -> None:
    table = table_with(order())
    table.apply(report("4", "4", exec_id="x"), 1)
    late = table.apply(report("F", "1", exec_id="e1", last_qty=60), 2)
    assert late.fill_qty == 60
    assert table.find("a1").state == "CANCELED"  # type: ignore[union-attr]
    table.apply(report("F", "2", exec_id="e2", last_qty=40), 3)
    assert table.find("a1").state == "FILLED"  # type: ignore[union-attr]


def test_replace_gives_the_order_its_new_id_and_both_ids_find_it() -> None:
    table = table_with(order())
    the_order = table.find("a1")
    assert the_order is not None
    table.apply(report("0", "0"), 1)
    table.request(the_order, "r1", "replace", 1)
    replaced = report("5", "5", cl_ord_id="r1", request_id="r1", order_qty=80, price=5100, leaves_qty=80)
    table.apply(replaced, 2)
    assert (the_order.cl_ord_id, the_order.order_qty, the_order.price, the_order.state) == ("r1", 80, 5100, "NEW")
    assert table.find("a1") is table.find("r1") is the_order


def test_replace_of_a_venue_that_leaves_the_order_its_id_answers_the_request_and_renames_nothing() -> None:
    table = table_with(order())
    the_order = table.find("a1")
    assert the_order is not None
    table.apply(report("0", "0"), 1)
    table.request(the_order, "r1", "replace", 1, (80, 5100))
    table.apply(report("5", "0", request_id="r1", order_qty=80, price=5100, leaves_qty=80), 2)
    assert (the_order.cl_ord_id, the_order.order_qty, the_order.requests, the_order.asked) == ("a1", 80, {}, {})
    assert the_order.state == "NEW"


def test_filled_status_with_quantity_left_is_not_believed() -> None:
    table = table_with(order())
    table.apply(report("F", "2", exec_id="e", cum_qty=40, leaves_qty=60), 1)
    assert table.find("a1").state == "PARTIALLY_FILLED"  # type: ignore[union-attr]


@pytest.mark.parametrize(("filled", "state"), [(100, "FILLED"), (40, "CANCELED")])
def test_done_for_the_day_is_filled_when_nothing_is_left(filled: int, state: str) -> None:
    table = table_with(order())
    table.apply(report("3", "3", exec_id="e", cum_qty=filled, leaves_qty=0), 1)
    assert table.find("a1").state == state  # type: ignore[union-attr]


def test_an_unknown_order_is_said_to_be_unknown() -> None:
    assert table_with().apply(report("0", "0"), 1).order is None


def test_an_order_is_found_by_the_venues_id_alone() -> None:
    table = table_with(order())
    table.apply(report("0", "0"), 1)
    assert table.apply(report("4", "4", cl_ord_id="x9"), 2).order is table.find("a1")


def test_finished_orders_are_forgotten_in_the_end_with_all_their_ids() -> None:
    table = OrderTable()
    for i in range(FINISHED_KEPT + 10):
        one = order(f"o{i}", ids=[f"o{i}"])
        table.add(one)
        table.request(one, f"c{i}", "cancel", 1)
        table.apply(report("4", "4", cl_ord_id=f"o{i}", order_id=f"V{i}"), 1)
    assert len(table) == FINISHED_KEPT
    assert table.find("o0") is None
    assert table.find("c0") is None
    assert table.find(order_id="V0") is None
    assert table.find(f"c{FINISHED_KEPT + 9}") is not None


FILLS = st.lists(st.integers(1, 30), min_size=1, max_size=8)


@settings(max_examples=300, deadline=None)
@given(sizes=FILLS, seed=st.randoms(use_true_random=False), canceled=st.booleans(), cumulative=st.booleans())
def test_any_order_and_number_of_deliveries_gives_the_same_filled_quantity(
    sizes: list[int], seed: Any, canceled: bool, cumulative: bool
) -> None:
    reports, cum = [], 0
    for i, size in enumerate(sizes):
        cum += size
        total = {"cum_qty": cum, "leaves_qty": 1000 - cum} if cumulative else {}
        reports.append(report("F", "1", exec_id=f"e{i}", last_qty=size, **total))
    if canceled:
        reports.append(report("4", "4", exec_id="c", cum_qty=cum if cumulative else None, leaves_qty=0))
    deliveries = reports + seed.sample(reports, seed.randint(0, len(reports)))
    seed.shuffle(deliveries)
    table = table_with(order(order_qty=1000, leaves_qty=1000))
    filled = sum(table.apply(r, 1).fill_qty for r in deliveries)
    the_order = table.find("a1")
    assert the_order is not None
    assert filled == cum == the_order.cum_qty
    assert the_order.is_open is not canceled
    assert (the_order in table.open()) == the_order.is_open


# -- finished by inference -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exec_type", "ord_status", "state"),
    [("0", "0", "NEW"), ("A", "A", "UNCERTAIN"), ("I", "1", "NEW"), ("5", "", "NEW"), ("D", "9", "NEW")],
)  # fmt: skip
def test_an_order_finished_by_inference_is_open_again_when_the_venue_shows_life(
    exec_type: str, ord_status: str, state: str
) -> None:
    table = table_with(order())
    the_order = table.open()[0]
    table.settle_unknown(the_order, "two lists", 1)
    assert (the_order.inferred, table.open()) == (True, [])
    assert table.apply(report(exec_type, ord_status), 2).revived == "REJECTED"
    assert (the_order.state, the_order.inferred, the_order.leaves_qty) == (state, False, QTY)
    assert table.open() == [the_order]


def test_an_order_refused_here_is_open_again_when_the_venue_shows_it() -> None:
    table = table_with(order())
    the_order = table.open()[0]
    table.reject(the_order, "gate", 1)
    table.apply(report("0", "0"), 2)
    assert table.open() == [the_order]


def test_an_order_finished_by_a_report_stays_finished_whatever_comes_late() -> None:
    table = table_with(order())
    table.apply(report("4", "4"), 1)
    assert table.apply(report("0", "0"), 2).revived == ""
    assert table.open() == []


def test_a_final_report_takes_the_place_of_an_inference() -> None:
    table = table_with(order())
    the_order = table.open()[0]
    table.settle_unknown(the_order, "two lists", 1)
    applied = table.apply(report("F", "2", exec_id="e", cum_qty=QTY, leaves_qty=0), 2)
    assert (applied.revived, applied.fill_qty, the_order.state, the_order.inferred) == ("", QTY, "FILLED", False)
    assert table.open() == []


def test_a_restart_remembers_that_an_order_was_only_inferred_to_be_finished() -> None:
    table = table_with(order())
    the_order = table.open()[0]
    table.settle_unknown(the_order, "two lists", 1)
    again = OrderTable()
    again.restore(the_order.snapshot())
    assert again.open() == []
    again.apply(report("0", "0"), 2)
    assert len(again.open()) == 1


def test_an_order_that_came_back_is_not_forgotten_with_the_finished_ones() -> None:
    table = table_with(order())
    the_order = table.open()[0]
    table.settle_unknown(the_order, "two lists", 1)
    table.apply(report("0", "0"), 2)
    for i in range(FINISHED_KEPT + 1):
        table.add(order(f"o{i}", state="CANCELED"))
    assert table.find("a1") is the_order


def test_a_refused_request_does_not_make_an_uncertain_order_certain() -> None:
    table = table_with(order())
    the_order = table.open()[0]
    table.uncertain(the_order, "lost", 1)
    table.request(the_order, "s1", "status", 2)
    table.withdraw(the_order, "s1", 3)
    table.request(the_order, "c1", "cancel", 4)
    table.apply_reject(reject("c1"), 5)
    assert the_order.state == "UNCERTAIN"


def test_an_order_id_without_an_instrument_names_nothing_when_two_orders_share_it() -> None:
    table = table_with(order(order_id="7"), order("b1", order_id="7", instrument="ETH-USD"))
    assert table.find(order_id="7") is None
    assert table.find(order_id="7", instrument="ETH-USD") is table.find("b1")
    assert table.find(order_id="7", instrument="SOL-USD") is None


def test_a_fill_after_which_the_venue_says_that_quantity_is_left_does_not_finish_the_order() -> None:
    """Its quantity was raised by a replace whose report was lost."""
    table = table_with(order(state="NEW"))
    table.apply(report("F", "1", exec_id="e1", last_qty=QTY, cum_qty=QTY, leaves_qty=20), 1)
    found = table.find("a1")
    assert found is not None
    assert (found.state, found.cum_qty) == ("PARTIALLY_FILLED", QTY)


# -- busts and corrections ---------------------------------------------------------------------------------------------


def filled(**more: Any) -> ExecutionReport:
    return report("F", "1", last_px=5000, **more)


def test_a_bust_takes_back_what_its_trade_filled_and_the_refill_counts_in_full() -> None:
    table = table_with(order())
    table.apply(filled(exec_id="e1", trade_id="t1", last_qty=40, cum_qty=40), 1)
    bust = report("H", "0", exec_id="h", exec_ref_id="e1", cum_qty=0, leaves_qty=QTY)
    applied = table.apply(bust, 2)
    assert (applied.fill_qty, applied.duplicate, applied.untraced) == (-40, False, False)
    (the_order,) = table.open()
    assert (the_order.state, the_order.cum_qty, the_order.leaves_qty, the_order.untold) == ("NEW", 0, QTY, 0)
    assert table.apply(bust, 3).duplicate
    assert table.apply(filled(exec_id="e2", trade_id="t2", last_qty=40, cum_qty=40), 4).fill_qty == 40


def test_a_correction_moves_the_quantity_and_a_later_one_refers_to_it() -> None:
    table = table_with(order())
    table.apply(filled(exec_id="e1", last_qty=40, cum_qty=40), 1)
    assert table.apply(report("G", "1", exec_id="g1", exec_ref_id="e1", last_qty=30, last_px=5100), 2).fill_qty == -10
    assert table.apply(report("G", "1", exec_id="g2", exec_ref_id="g1", last_qty=35, last_px=5100), 3).fill_qty == 5
    assert table.apply(report("H", "1", exec_id="h", exec_ref_id="e1"), 4).fill_qty == -35
    assert table.apply(report("H", "1", exec_id="h2", exec_ref_id="g2"), 5).fill_qty == 0


def test_a_trade_told_by_rest_first_is_busted_by_its_id_or_by_the_sessions_exec_id() -> None:
    for ref in ({"trade_id": "t1"}, {"exec_ref_id": "e1"}):
        table = table_with(order())
        table.apply(filled(trade_id="t1", last_qty=40, origin="rest"), 1)
        assert table.apply(filled(trade_id="t1", exec_id="e1", last_qty=40, cum_qty=40), 2).duplicate
        assert table.apply(report("H", "0", exec_id="h", **ref), 3).fill_qty == -40


def test_of_a_trade_that_is_not_known_the_cumulative_quantity_tells_what_is_left() -> None:
    table = table_with(order(cum_qty=40, state="PARTIALLY_FILLED"))
    applied = table.apply(report("H", "0", exec_id="h", exec_ref_id="before", cum_qty=10, leaves_qty=90), 1)
    assert (applied.fill_qty, applied.untraced) == (-30, False)
    silent = table.apply(report("H", "", exec_id="h2", exec_ref_id="before"), 2)
    assert (silent.fill_qty, silent.untraced) == (0, True)


def test_a_filled_order_is_open_again_after_a_bust_only_if_the_venue_says_so() -> None:
    for status, leaves, state in (("1", 60, "PARTIALLY_FILLED"), ("2", 0, "FILLED"), ("", None, "FILLED")):
        table = table_with(order())
        table.apply(filled(exec_id="e1", last_qty=40, cum_qty=40), 1)
        table.apply(report("F", "2", exec_id="e2", last_qty=60, last_px=5000, cum_qty=QTY), 2)
        applied = table.apply(report("H", status, exec_id="h", exec_ref_id="e2", leaves_qty=leaves), 3)
        the_order = table.find("a1")
        assert the_order is not None
        assert (the_order.state, the_order.cum_qty, the_order.leaves_qty) == (state, 40, leaves or 0)
        assert (applied.fill_qty, applied.revived) == (-60, "FILLED" if leaves else "")


def test_two_trades_under_one_exec_id_are_busted_one_by_one() -> None:
    table = table_with(order())
    table.apply(filled(exec_id="e", trade_id="t1", last_qty=10), 1)
    table.apply(filled(exec_id="e", trade_id="t2", last_qty=20), 1)
    assert table.apply(report("H", "", exec_id="h", trade_id="t2"), 2).fill_qty == -20


def lived(table: OrderTable, *, whole: bool) -> OrderTable:
    """What a next life has of the order when the journal that it reads begins with a word on it."""
    told = table.find("a1")
    assert told is not None
    after = OrderTable()
    after.restore(told.snapshot(whole=whole))
    return after


def rest_trade(trade_id: str, qty: int) -> ExecutionReport:
    return report("F", "", origin="rest", trade_id=trade_id, last_qty=qty, last_px=5000)


def test_fills_of_a_finished_order_that_were_told_before_the_journal_begins_are_not_asked_for_again() -> None:
    table = table_with(order())
    table.apply(report("F", "1", exec_id="e1", trade_id="t1", last_qty=40, last_px=5000, cum_qty=40), 1)
    table.apply(report("F", "2", exec_id="e2", trade_id="t2", last_qty=60, last_px=5000, cum_qty=100), 2)
    assert lived(table, whole=False).untold == {}


def test_a_quantity_that_no_trade_accounts_for_is_still_missing_in_the_next_life() -> None:
    table = table_with(order())
    table.apply(report("F", "2", exec_id="e2", trade_id="t2", last_qty=60, last_px=5000, cum_qty=100), 1)
    after = lived(table, whole=True)
    assert [o.untold for o in after.untold.values()] == [40]
    assert after.apply(rest_trade("t2", 60), 2).duplicate
    assert not after.apply(rest_trade("t1", 40), 3).duplicate
    assert after.untold == {}
    assert after.find("a1").cum_qty == 100  # type: ignore[union-attr]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5), st.booleans(), st.booleans()), max_size=30),
    st.integers(0, 9),
)
def test_trades_that_were_kept_go_on_as_if_nothing_had_been(told: list[tuple[int, int, bool, bool]], cut: int) -> None:
    straight, kept = Trades(), Trades()
    for i, (name, qty, rest, named) in enumerate(told):
        if i == cut:
            kept = Trades.from_kept(kept.kept())
        outcome = [t.add(str(name), qty, 5000, rest=rest, named=named) for t in (straight, kept)]
        assert outcome[0] == outcome[1]
        for trades in (straight, kept):
            trades.name(qty, f"e{i}", str(name), new=outcome[0])
    kept = Trades.from_kept(kept.kept())
    assert kept.qty == straight.qty
    for i in range(len(told)):  # busts by ExecID, then the same trades again by id: no one counts twice
        busts = [t.amend(f"e{i}", "", "", 0) for t in (straight, kept)]
        assert busts[0] == busts[1]
    for name in range(10):
        assert straight.amend("", str(name), "", 0) == kept.amend("", str(name), "", 0)


def test_an_order_by_value_ends_when_the_venue_says_so_whatever_its_quantity() -> None:
    for last, state in (("1", "PARTIALLY_FILLED"), ("2", "FILLED")):
        table = table_with(order(options={"cash_order_qty": "5"}))
        known = table.find("a1")
        assert known is not None
        table.apply(report("F", "1", exec_id="e1", last_qty=90, cum_qty=90), 1)
        table.apply(report("F", last, exec_id="e2", last_qty=30, cum_qty=120, leaves_qty=7), 2)
        assert (known.state, known.cum_qty) == (state, 120), "more than we thought that it could be"
    table = table_with(order(options={"cash_order_qty": "5"}))
    table.apply(report("F", "2", exec_id="e1", last_qty=60, cum_qty=60, leaves_qty=7), 1)
    assert table.find("a1").state == "FILLED"  # type: ignore[union-attr]


def test_a_trade_of_an_order_by_value_after_which_nothing_is_left_makes_it_uncertain() -> None:
    table = table_with(order(options={"cash_order_qty": "5"}))
    table.apply(report("F", "1", exec_id="e1", last_qty=90, cum_qty=90, leaves_qty=0), 1)
    known = table.find("a1")
    assert known is not None
    assert known.state == "UNCERTAIN"
    table.apply(report("I", "1", cum_qty=90, leaves_qty=0), 2)
    assert known.state == "PARTIALLY_FILLED", "the venue was asked, and says that it lives"
    table.apply(report("I", "2", cum_qty=90, leaves_qty=0), 3)
    assert known.state == "FILLED"
