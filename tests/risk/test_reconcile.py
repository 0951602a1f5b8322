"""Reconciliation: the venue is right, and what cannot be learnt stays uncertain."""

from typing import Any

import msgspec

from risk.orders import OrderTable
from risk.reconcile import AskList, AskOrder, Done, Reconciler, Wait
from tests.risk.test_orders import order, table_with

LAG = 1_000_000_000


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    order_id: str = "O1"
    cl_ord_id: str = "a1"
    symbol: str = "BTC/USD"
    side: str = "1"
    order_qty: str = "0.1"
    cum_qty: str = "0"
    price: str = "50"
    status: str = "0"


def reconciler(table: OrderTable, **more: Any) -> Reconciler:
    return Reconciler(table, "s", "v", LAG, **({"asks_single": True} | more))


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
    assert run.start(0) == [AskList("")]
    assert run.page([Listed()], "", 1, 1) == [Done()]
    assert apply_all(run, table) == []
    assert table.find("a1").state == "NEW"  # type: ignore[union-attr]


def test_every_page_is_fetched_before_anything_is_concluded() -> None:
    table = table_with(order(state="UNCERTAIN"))
    run = reconciler(table)
    run.start(0)
    assert run.page([], "next", 1, 1) == [AskList("next")]
    run.page([Listed()], "", 1, 1)
    assert apply_all(run, table) == []


def test_an_order_filled_while_away_is_asked_for_and_settled_with_its_quantity() -> None:
    table = table_with(order(state="UNCERTAIN"))
    run = reconciler(table)
    run.start(0)
    assert run.page([], "", 1, 1) == [AskOrder("a1")]
    assert run.order("a1", Listed(status="2", cum_qty="0.1"), 2, 2) == [Done()]
    assert apply_all(run, table) == ["filled_meanwhile"]
    found = table.find("a1")
    assert found is not None
    assert (found.state, found.cum_qty) == ("FILLED", 100)


def test_a_partial_fill_while_away_shows_in_the_list() -> None:
    table = table_with(order(state="UNCERTAIN"))
    run = reconciler(table)
    run.start(0)
    run.page([Listed(status="1", cum_qty="0.04")], "", 1, 1)
    assert apply_all(run, table) == ["filled_meanwhile"]
    found = table.find("a1")
    assert found is not None
    assert (found.state, found.cum_qty, found.leaves_qty) == ("PARTIALLY_FILLED", 40, 60)


def test_an_order_the_venue_never_heard_of_needs_a_second_list_after_the_lag() -> None:
    table = table_with(order(state="UNCERTAIN"))
    run = reconciler(table)
    run.start(10)
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
    run.start(0)
    run.page([], "", 1, 1)
    run.order("a1", None, 2, 2)
    run.resume(LAG)
    run.page([Listed()], "", LAG + 1, 3)
    assert apply_all(run, table) == []
    assert table.find("a1").state == "NEW"  # type: ignore[union-attr]


def test_without_single_queries_two_lists_settle() -> None:
    table = table_with(order(state="UNCERTAIN", order_id="O1"))
    run = reconciler(table, asks_single=False)
    run.start(0)
    assert run.page([], "", 1, 1) == [Wait(LAG)]
    run.resume(LAG)
    run.page([], "", LAG + 1, 2)
    assert table.find("a1").state == "CANCELED"  # type: ignore[union-attr]


def test_orders_of_others_are_told_and_left_alone() -> None:
    table = table_with()
    run = reconciler(table)
    run.start(0)
    run.page([Listed(cl_ord_id="someone", order_id="O9")], "", 1, 1)
    assert apply_all(run, table) == ["unknown_here"]
    assert len(table) == 0


def test_an_unreadable_quantity_leaves_the_order_uncertain() -> None:
    table = table_with(order(state="UNCERTAIN"))
    run = reconciler(table)
    run.start(0)
    run.page([Listed(cum_qty="0.00001")], "", 1, 1)
    assert apply_all(run, table) == ["qty"]
    assert table.find("a1").state == "UNCERTAIN"  # type: ignore[union-attr]


def test_a_resume_that_nobody_waits_for_does_nothing() -> None:
    run = reconciler(table_with())
    run.start(0)
    assert run.resume(5) == []
