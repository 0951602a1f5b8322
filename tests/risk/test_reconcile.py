"""Reconciliation: the venue is right, and what cannot be learnt stays uncertain."""

import msgspec
import pytest

from base.instruments import Instrument
from risk.orders import OrderTable
from risk.reconcile import AskList, AskOrder, Done, Reconciler, Terms, Wait
from tests.risk.test_orders import order, report, table_with

LAG = 1_000_000_000
MIN_AGE = 6_000_000_000
NOW = 100_000_000_000  # UTC when a run begins
BTC = Instrument("v", "BTC-USD", "BTC/USD", 2, 3)
ETH = Instrument("v", "ETH-USD", "ETH/USD", 2, 3)


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    order_id: str = "O1"
    cl_ord_id: str = "a1"
    symbol: str = "BTC/USD"
    side: str = "1"
    order_qty: str = "0.1"
    cum_qty: str = "0"
    price: str = "50"
    status: str = "0"


def reconciler(table: OrderTable, *, asks_single: bool = True, owned: str = "") -> Reconciler:
    terms = Terms("s", "v", "main", LAG, MIN_AGE, (BTC, ETH), lambda cl_ord_id: cl_ord_id == owned)
    return Reconciler(table, terms, asks_single)


def settle(run: Reconciler, started_ns: int = NOW) -> None:
    """A run without single queries in which both lists are empty."""
    run.start(0, started_ns)
    run.page([], "", 1, started_ns + 1)
    run.resume(LAG)
    run.page([], "", LAG + 1, started_ns + LAG + 1)


def apply_all(run: Reconciler, table: OrderTable) -> list[str]:
    kinds = []
    for finding in run.take_findings():
        if finding.report is not None:
            table.apply(finding.report, 5)
        if finding.difference is not None:
            kinds.append(finding.difference.kind)
    return kinds


def test_an_order_on_the_list_is_confirmed_without_a_difference() -> None:
    table = table_with(order(state="UNCERTAIN"))
    run = reconciler(table)
    assert run.start(0, NOW) == [AskList("")]
    assert run.page([Listed()], "", 1, 1) == [Done()]
    assert apply_all(run, table) == []
    assert table.find("a1").state == "NEW"  # type: ignore[union-attr]


def test_every_page_is_fetched_before_anything_is_concluded() -> None:
    table = table_with(order(state="UNCERTAIN"))
    run = reconciler(table)
    run.start(0, NOW)
    assert run.page([], "next", 1, 1) == [AskList("next")]
    run.page([Listed()], "", 1, 1)
    assert apply_all(run, table) == []


def test_an_order_filled_while_away_is_asked_for_and_settled_with_its_quantity() -> None:
    table = table_with(order(state="UNCERTAIN"))
    run = reconciler(table)
    run.start(0, NOW)
    assert run.page([], "", 1, 1) == [AskOrder("a1")]
    assert run.order("a1", Listed(status="2", cum_qty="0.1"), 2, 2) == [Done()]
    assert apply_all(run, table) == ["filled_meanwhile"]
    found = table.find("a1")
    assert found is not None
    assert (found.state, found.cum_qty) == ("FILLED", 100)


def test_a_partial_fill_while_away_shows_in_the_list() -> None:
    table = table_with(order(state="UNCERTAIN"))
    run = reconciler(table)
    run.start(0, NOW)
    run.page([Listed(status="1", cum_qty="0.04")], "", 1, 1)
    assert apply_all(run, table) == ["filled_meanwhile"]
    found = table.find("a1")
    assert found is not None
    assert (found.state, found.cum_qty, found.leaves_qty) == ("PARTIALLY_FILLED", 40, 60)


def test_an_order_the_venue_never_heard_of_needs_a_second_list_after_the_lag() -> None:
    table = table_with(order(state="UNCERTAIN"))
    run = reconciler(table)
    run.start(10, NOW)
    run.page([], "", 11, 1)
    assert run.order("a1", None, 12, 2) == [Wait(10 + LAG)]
    assert table.find("a1").state == "UNCERTAIN"  # type: ignore[union-attr]
    assert run.resume(10 + LAG) == [AskList("")]
    assert run.page([], "", 12 + LAG, 3) == [Done()]
    assert apply_all(run, table) == ["unknown_at_venue"]
    assert table.find("a1").state == "REJECTED"  # type: ignore[union-attr]


def test_an_order_that_appears_in_the_second_list_lives() -> None:
    table = table_with(order(state="UNCERTAIN"))
    run = reconciler(table)
    run.start(0, NOW)
    run.page([], "", 1, 1)
    run.order("a1", None, 2, 2)
    run.resume(LAG)
    run.page([Listed()], "", LAG + 1, 3)
    assert apply_all(run, table) == []
    assert table.find("a1").state == "NEW"  # type: ignore[union-attr]


def test_without_single_queries_two_lists_settle() -> None:
    table = table_with(order(state="UNCERTAIN", order_id="O1"))
    run = reconciler(table, asks_single=False)
    run.start(0, NOW)
    assert run.page([], "", 1, 1) == [Wait(LAG)]
    run.resume(LAG)
    run.page([], "", LAG + 1, 2)
    assert table.find("a1").state == "CANCELED"  # type: ignore[union-attr]


def test_orders_of_others_are_told_and_left_alone() -> None:
    table = table_with()
    run = reconciler(table)
    run.start(0, NOW)
    run.page([Listed(cl_ord_id="someone", order_id="O9")], "", 1, 1)
    assert apply_all(run, table) == ["unknown_here"]
    assert len(table) == 0


def test_an_unreadable_quantity_leaves_the_order_uncertain() -> None:
    table = table_with(order(state="UNCERTAIN"))
    run = reconciler(table)
    run.start(0, NOW)
    run.page([Listed(cum_qty="0.00001")], "", 1, 1)
    assert apply_all(run, table) == ["qty"]
    assert table.find("a1").state == "UNCERTAIN"  # type: ignore[union-attr]


def test_a_resume_that_nobody_waits_for_does_nothing() -> None:
    run = reconciler(table_with())
    run.start(0, NOW)
    assert run.resume(5) == []


def test_what_is_in_flight_is_neither_asked_for_nor_settled_by_absence() -> None:
    table = table_with(order(), order("b1", state="NEW"))
    run = reconciler(table)
    run.start(0, NOW)
    assert run.page([], "", 1, NOW + 1) == [Done()]
    assert {o.state for o in table} == {"PENDING_NEW", "NEW"}


def test_an_order_that_becomes_uncertain_during_a_run_waits_for_the_next() -> None:
    table = table_with(order(state="UNCERTAIN"), order("b1"))
    run = reconciler(table, asks_single=False)
    run.start(0, NOW)
    table.uncertain(table.find("b1"), "no answer", NOW + 1)  # type: ignore[arg-type]
    run.page([], "", 1, NOW + 2)
    run.resume(LAG)
    run.page([], "", LAG + 1, NOW + LAG)
    assert (table.find("a1").state, table.find("b1").state) == ("REJECTED", "UNCERTAIN")  # type: ignore[union-attr]


def test_an_order_that_moved_between_the_lists_is_not_settled() -> None:
    table = table_with(order(state="UNCERTAIN"))
    the_order = table.open()[0]
    run = reconciler(table, asks_single=False)
    run.start(0, NOW)
    run.page([], "", 1, NOW + 1)
    table.apply(report("0", "0"), NOW + 2)
    table.uncertain(the_order, "lost again", NOW + 3)
    run.resume(LAG)
    run.page([], "", LAG + 1, NOW + LAG)
    assert the_order.state == "UNCERTAIN"


@pytest.mark.parametrize(("age_ns", "state"), [(MIN_AGE - 1, "UNCERTAIN"), (MIN_AGE, "REJECTED")])
def test_an_order_too_young_to_be_on_the_first_list_is_not_settled(age_ns: int, state: str) -> None:
    table = table_with(order(state="UNCERTAIN", sent_ns=NOW - age_ns))
    settle(reconciler(table, asks_single=False))
    assert table.find("a1").state == state  # type: ignore[union-attr]


def test_an_order_whose_instrument_is_not_configured_stays_uncertain() -> None:
    table = table_with(order(state="UNCERTAIN", instrument="SOL-USD"))
    settle(reconciler(table, asks_single=False))
    assert table.find("a1").state == "UNCERTAIN"  # type: ignore[union-attr]


def test_what_was_settled_is_handed_out_to_be_journalled() -> None:
    table = table_with(order(state="UNCERTAIN"))
    run = reconciler(table, asks_single=False)
    settle(run)
    assert [f.changed for f in run.take_findings()] == [table.find("a1")]


def test_an_order_finished_by_inference_comes_back_from_the_list() -> None:
    table = table_with(order(state="UNCERTAIN"))
    settle(reconciler(table, asks_single=False))
    run = reconciler(table)
    run.start(0, NOW)
    run.page([Listed()], "", 1, NOW)
    apply_all(run, table)
    assert table.find("a1").state == "NEW"  # type: ignore[union-attr]


def test_a_listed_order_id_counts_for_its_own_instrument_only() -> None:
    table = table_with(order(state="UNCERTAIN", order_id="77"))
    run = reconciler(table)
    run.start(0, NOW)
    theirs = Listed(cl_ord_id="web", order_id="77", symbol="ETH/USD", cum_qty="0.1", status="2")
    assert run.page([theirs], "", 1, NOW) == [AskOrder("a1")]
    assert apply_all(run, table) == ["unknown_here"]
    run = reconciler(table)
    run.start(0, NOW)
    run.page([Listed(cl_ord_id="", order_id="77")], "", 1, NOW)
    apply_all(run, table)
    assert table.find("a1").state == "NEW"  # type: ignore[union-attr]


def test_a_line_of_an_unknown_symbol_keeps_an_order_of_its_order_id_from_being_buried() -> None:
    table = table_with(order(state="UNCERTAIN", order_id="77"))
    run = reconciler(table, asks_single=False)
    line = Listed(cl_ord_id="", order_id="77", symbol="XXBTZUSD")
    run.start(0, NOW)
    run.page([line], "", 1, NOW)
    run.resume(LAG)
    run.page([line], "", LAG + 1, NOW)
    assert table.find("a1").state == "UNCERTAIN"  # type: ignore[union-attr]


def test_a_listed_order_of_our_own_making_is_taken_into_the_books() -> None:
    table = table_with()
    run = reconciler(table, owned="lost1")
    run.start(0, NOW)
    assert run.page([Listed(cl_ord_id="lost1", cum_qty="0.04", status="1")], "", 1, NOW) == [Done()]
    (adopted,) = table.open()
    assert (adopted.state, adopted.instrument, adopted.order_qty, adopted.price) == ("UNCERTAIN", "BTC-USD", 100, 5000)
    findings = run.take_findings()
    assert [f.difference.kind for f in findings if f.difference] == ["adopted", "filled_meanwhile"]
    assert findings[0].changed is adopted
    assert "lost1" in findings[0].alert
    for finding in findings:
        if finding.report is not None:
            table.apply(finding.report, NOW)
    assert (adopted.state, adopted.cum_qty, adopted.leaves_qty) == ("PARTIALLY_FILLED", 40, 60)


@pytest.mark.parametrize("change", [{"symbol": "SOL/USD"}, {"side": "?"}, {"order_qty": "0.00001"}])
def test_an_order_of_our_own_making_that_cannot_be_read_is_said_loudly(change: dict[str, str]) -> None:
    table = table_with()
    run = reconciler(table, owned="lost1")
    run.start(0, NOW)
    run.page([Listed(**({"cl_ord_id": "lost1"} | change))], "", 1, NOW)
    (finding,) = run.take_findings()
    assert (len(table), "lost1" in finding.alert) == (0, True)
