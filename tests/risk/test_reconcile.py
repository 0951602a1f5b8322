"""Reconciliation: the venue is right, and what cannot be learnt stays uncertain."""

from typing import Any

import msgspec
import pytest

from base.errors import VenueError
from base.instruments import Instrument
from ipc.events import ExecutionReport
from risk.listed import Finding, Terms
from risk.order import Order
from risk.orders import OrderTable
from risk.reconcile import PAGES_MOST, Action, AskList, AskOrder, AskTrades, Done, Reconciler, Wait
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


class Told(msgspec.Struct, frozen=True, kw_only=True):
    trade_id: str = "T1"
    order_id: str = "O1"
    cl_ord_id: str = ""
    symbol: str = "BTC/USD"
    px: str = "50"
    qty: str = "0.04"
    fees: tuple[tuple[str, str], ...] = (("USD", "0.01"),)
    liquidity: str = "M"
    transact_ns: int = 7


class Run:
    """A run whose findings are applied at once, as the process does."""

    def __init__(self, table: OrderTable, *, asks_single: bool = True, owned: str = "", skip: str = "", **terms: Any):
        fixed = Terms("s", "v", "main", LAG, MIN_AGE, (BTC, ETH), lambda cl_ord_id: cl_ord_id == owned)
        self.terms = msgspec.structs.replace(fixed, **terms)
        self.table = table
        self.run = Reconciler(table, self.terms, asks_single=asks_single, skip=lambda o: o.cl_ord_id == skip)
        self.findings: list[Finding] = []
        self.mono = 0
        self.wall = NOW

    def _then(self) -> Action:
        self._apply()
        action = self.run.next(self.mono, self.wall)
        self._apply()
        return action

    def _apply(self) -> None:
        for finding in self.run.take_findings():
            self.findings.append(finding)
            if finding.report is not None:
                self.table.apply(finding.report, self.wall)

    def start(self) -> Action:
        self.run.start(self.mono, self.wall)
        return self._then()

    def page(self, *orders: Listed, cursor: str = "") -> Action:
        self.run.page(orders, cursor, self.wall)
        return self._then()

    def order(self, cl_ord_id: str, answer: Listed | None) -> Action:
        self.run.order(cl_ord_id, answer, self.wall)
        return self._then()

    def trades(self, *trades: Told, cursor: str = "") -> Action:
        self.run.trades(trades, cursor, self.wall)
        return self._then()

    def no_trades(self, *, cannot: bool) -> Action:
        self.run.no_trades(self.wall, cannot=cannot)
        return self._then()

    def resume(self) -> Action:
        self.mono += LAG
        self.wall += LAG
        self.run.resume()
        return self._then()

    def follow(self, order: Order) -> Action:
        self.run.follow(order, self.wall)
        return self._then()

    def explain(self, order: Order) -> Action:
        self.run.explain(order)
        return self._then()

    def settle(self) -> Action:
        """A run of which both lists are empty and no single order is asked for."""
        self.start()
        self.page()
        self.resume()
        return self.page()

    @property
    def kinds(self) -> list[str]:
        return [f.difference.kind for f in self.findings if f.difference is not None]

    @property
    def fills(self) -> list[ExecutionReport]:
        return [f.report for f in self.findings if f.report is not None and f.report.exec_type == "F"]


def uncertain(cl_ord_id: str = "a1", **more: Any) -> OrderTable:
    return table_with(order(cl_ord_id, state="UNCERTAIN", **more))


def first(table: OrderTable) -> Order:
    found = table.find("a1")
    assert found is not None
    return found


# --- the list, and how old it may be


def test_an_order_open_on_a_list_younger_than_the_logon_is_confirmed_without_a_difference() -> None:
    run = Run(uncertain())
    assert run.start() == AskList("")
    assert run.page(Listed()) == Wait(LAG)
    assert first(run.table).state == "UNCERTAIN"
    assert run.resume() == AskList("")
    assert run.page(Listed()) == Done()
    assert (run.kinds, first(run.table).state) == ([], "NEW")


def test_a_list_that_is_never_behind_settles_at_once() -> None:
    run = Run(uncertain(), list_lag_ns=0)
    run.start()
    assert run.page(Listed()) == Done()
    assert first(run.table).state == "NEW"


def test_an_order_cancelled_since_the_list_was_taken_is_not_taken_for_open() -> None:
    run = Run(uncertain())
    run.start()
    run.page(Listed())
    run.resume()
    assert run.page() == AskOrder("a1")
    assert run.order("a1", Listed(status="4")) == Done()
    assert (run.kinds, first(run.table).state) == (["finished_meanwhile"], "CANCELED")


def test_an_order_that_leaves_the_list_and_is_then_unknown_stays_uncertain() -> None:
    run = Run(uncertain())
    run.start()
    run.page(Listed())
    run.resume()
    run.page()
    assert run.order("a1", None) == Done()
    assert first(run.table).state == "UNCERTAIN"


def test_every_page_is_fetched_before_anything_is_concluded() -> None:
    run = Run(uncertain(), list_lag_ns=0)
    run.start()
    assert run.page(cursor="next") == AskList("next")
    assert run.page(Listed()) == Wait(0)
    assert first(run.table).state == "NEW"


def test_an_order_that_moved_between_pages_unseen_is_asked_for() -> None:
    run = Run(uncertain(), list_lag_ns=0)
    run.start()
    run.page(Listed(order_id="O7", cl_ord_id="web"), cursor="2")
    assert run.page(Listed(order_id="O8", cl_ord_id="web2")) == AskOrder("a1")
    run.order("a1", Listed())
    assert first(run.table).state == "NEW"


def test_a_lost_order_of_ours_that_moved_between_pages_is_taken_in_from_the_second_reading() -> None:
    run = Run(table_with(), owned="lost1", list_lag_ns=0)
    run.start()
    run.page(cursor="2")
    assert isinstance(run.page(), Wait)
    run.run.resume()
    run.page(Listed(cl_ord_id="lost1"), cursor="2")
    assert run.page() == Done()
    assert [o.state for o in run.table.open()] == ["NEW"]


def test_an_order_on_two_pages_counts_once_by_its_later_line() -> None:
    run = Run(uncertain(), list_lag_ns=0)
    run.start()
    run.page(Listed(), cursor="2")
    run.page(Listed(cum_qty="0.04", status="1"))
    assert (run.kinds, first(run.table).cum_qty) == (["filled_meanwhile"], 40)


@pytest.mark.parametrize("cursors", [["a", "b", "a"], [str(n) for n in range(PAGES_MOST + 1)]], ids=["loop", "many"])
def test_pages_that_never_end_are_an_error(cursors: list[str]) -> None:
    run = Run(uncertain())
    run.start()
    for cursor in cursors[:-1]:
        run.page(cursor=cursor)
    with pytest.raises(VenueError, match="page"):
        run.page(cursor=cursors[-1])


def test_what_the_session_reported_since_is_newer_than_any_list() -> None:
    run = Run(table_with(order(state="NEW", order_qty=100, order_id="O1")))
    run.start()
    run.table.apply(report("5", "0", order_qty=50, price=4000, cum_qty=0), NOW + 1)
    assert run.page(Listed()) == Done()
    assert (first(run.table).order_qty, first(run.table).price, run.findings) == (50, 4000, [])


def test_a_fill_that_the_session_lost_counts_although_the_order_is_not_in_doubt() -> None:
    run = Run(table_with(order(state="NEW", order_id="O1")))
    run.start()
    run.page(Listed(cum_qty="0.04", status="1"))
    assert (run.kinds, first(run.table).cum_qty, first(run.table).state) == (
        ["filled_meanwhile"], 40, "PARTIALLY_FILLED",
    )  # fmt: skip


def test_an_order_finished_by_a_report_is_not_opened_by_a_list_that_is_behind() -> None:
    table = table_with(order(state="NEW", order_id="O1"))
    table.apply(report("4", "4", cum_qty=0), NOW)
    run = Run(table)
    run.start()
    assert run.page(Listed()) == Done()
    assert (first(table).state, run.findings) == ("CANCELED", [])


# --- single orders


def test_an_order_filled_while_away_is_asked_for_and_settled_with_its_quantity() -> None:
    run = Run(uncertain())
    run.start()
    assert run.page() == AskOrder("a1")
    assert run.order("a1", Listed(status="2", cum_qty="0.1")) == Done()
    assert run.kinds == ["filled_meanwhile"]
    assert (first(run.table).state, first(run.table).cum_qty) == ("FILLED", 100)


@pytest.mark.parametrize(
    ("status", "state"), [("2", "FILLED"), ("4", "CANCELED"), ("8", "REJECTED"), ("C", "EXPIRED"), ("3", "CANCELED")]
)
def test_every_final_state_settles_at_once(status: str, state: str) -> None:
    run = Run(uncertain())
    run.start()
    run.page()
    assert run.order("a1", Listed(status=status, cum_qty="0.1" if status == "2" else "0")) == Done()
    assert first(run.table).state == state


def test_a_partial_fill_while_away_shows_in_the_list() -> None:
    run = Run(uncertain(), list_lag_ns=0)
    run.start()
    run.page(Listed(status="1", cum_qty="0.04"))
    assert run.kinds == ["filled_meanwhile"]
    found = first(run.table)
    assert (found.state, found.cum_qty, found.leaves_qty) == ("PARTIALLY_FILLED", 40, 60)


def test_an_order_replaced_while_away_has_the_terms_of_the_list() -> None:
    run = Run(uncertain(), list_lag_ns=0)
    run.start()
    run.page(Listed(order_qty="0.05", price="49"))
    found = first(run.table)
    assert (run.kinds, found.order_qty, found.price, found.state) == (["qty"], 50, 4900, "NEW")


def test_an_order_that_cannot_be_asked_for_holds_up_no_other() -> None:
    table = table_with(order(state="UNCERTAIN"), order("b1", state="UNCERTAIN"))
    run = Run(table)
    run.start()
    assert run.page() == AskOrder("a1")
    assert run._then() == AskOrder("b1")
    assert run.order("b1", Listed(cl_ord_id="b1", order_id="O2", status="4")) == Done()
    assert {o.cl_ord_id: o.state for o in table} == {"a1": "UNCERTAIN", "b1": "CANCELED"}


def test_an_order_given_up_is_not_asked_for_again() -> None:
    run = Run(uncertain(), skip="a1")
    run.start()
    assert run.page() == Done()
    assert first(run.table).state == "UNCERTAIN"


def test_following_one_order_asks_for_no_list() -> None:
    run = Run(uncertain())
    assert run.follow(first(run.table)) == AskOrder("a1")
    assert run.order("a1", Listed()) == Done()
    assert (first(run.table).state, run.run.unheard) == ("NEW", set())


def test_following_an_order_that_nobody_knows_names_it_and_settles_nothing() -> None:
    run = Run(uncertain())
    run.follow(first(run.table))
    assert run.order("a1", None) == Done()
    assert (first(run.table).state, run.run.unheard) == ("UNCERTAIN", {"a1"})


# --- absence


def test_an_order_the_venue_never_heard_of_needs_a_second_list_after_the_lag() -> None:
    run = Run(uncertain())
    run.start()
    run.page()
    assert run.order("a1", None) == Wait(LAG)
    assert first(run.table).state == "UNCERTAIN"
    assert run.resume() == AskList("")
    assert run.page() == Done()
    assert (run.kinds, first(run.table).state) == (["unknown_at_venue"], "REJECTED")


def test_an_order_that_appears_in_the_second_list_lives() -> None:
    run = Run(uncertain())
    run.start()
    run.page()
    run.order("a1", None)
    run.resume()
    run.page(Listed())
    assert (run.kinds, first(run.table).state) == ([], "NEW")


def test_without_single_queries_two_lists_settle() -> None:
    run = Run(uncertain(order_id="O1"), asks_single=False)
    run.start()
    assert run.page() == Wait(LAG)
    run.resume()
    run.page()
    assert first(run.table).state == "CANCELED"


def test_where_absence_proves_nothing_an_order_stays_uncertain() -> None:
    run = Run(uncertain(), asks_single=False, settles_absent=False)
    assert run.settle() == Done()
    assert first(run.table).state == "UNCERTAIN"


def test_a_resume_that_nobody_waits_for_does_nothing() -> None:
    run = Run(table_with(), list_lag_ns=0)
    run.start()
    run.page()
    assert run.resume() == Done()


def test_what_is_in_flight_is_neither_asked_for_nor_settled_by_absence() -> None:
    run = Run(table_with(order(), order("b1", state="NEW")))
    run.start()
    assert run.page() == Done()
    assert {o.state for o in run.table} == {"PENDING_NEW", "NEW"}


def test_an_order_that_becomes_uncertain_during_a_run_waits_for_the_next() -> None:
    table = table_with(order(state="UNCERTAIN"), order("b1"))
    run = Run(table, asks_single=False)
    run.start()
    table.uncertain(table.find("b1"), "no answer", NOW + 1)  # type: ignore[arg-type]
    run.page()
    run.resume()
    run.page()
    assert {o.cl_ord_id: o.state for o in table} == {"a1": "REJECTED", "b1": "UNCERTAIN"}


def test_an_order_that_moved_between_the_lists_is_not_settled() -> None:
    table = uncertain()
    run = Run(table, asks_single=False)
    run.start()
    run.page()
    table.apply(report("0", "0"), NOW + 2)
    table.uncertain(first(table), "lost again", NOW + 3)
    run.resume()
    run.page()
    assert first(table).state == "UNCERTAIN"


@pytest.mark.parametrize(("age_ns", "state"), [(MIN_AGE - 1, "UNCERTAIN"), (MIN_AGE, "REJECTED")])
def test_an_order_too_young_to_be_on_the_first_list_is_not_settled(age_ns: int, state: str) -> None:
    run = Run(uncertain(sent_ns=NOW - age_ns), asks_single=False)
    run.settle()
    assert first(run.table).state == state


def test_an_order_whose_instrument_is_not_configured_stays_uncertain() -> None:
    run = Run(uncertain(instrument="SOL-USD"), asks_single=False)
    run.settle()
    assert first(run.table).state == "UNCERTAIN"


def test_what_was_settled_is_handed_out_to_be_journalled() -> None:
    run = Run(uncertain(), asks_single=False)
    run.settle()
    assert [f.changed for f in run.findings] == [first(run.table)]


def test_an_order_finished_by_inference_comes_back_from_the_list() -> None:
    table = uncertain()
    Run(table, asks_single=False).settle()
    run = Run(table)
    run.start()
    assert run.page(Listed()) == Wait(LAG)
    assert (run.kinds, first(table).state) == (["alive_after_all"], "UNCERTAIN")
    run.resume()
    run.page(Listed())
    assert first(table).state == "NEW"


def test_an_order_finished_by_inference_comes_back_with_a_fill_and_stays_in_doubt() -> None:
    table = uncertain(order_id="O1")
    Run(table, asks_single=False).settle()
    table.apply(report("F", "", trade_id="T1", last_qty=40, last_px=5000, origin="rest"), NOW)
    assert (first(table).state, first(table).cum_qty) == ("UNCERTAIN", 40)


def test_a_listed_order_id_counts_for_its_own_instrument_only() -> None:
    run = Run(uncertain(order_id="77"))
    run.start()
    theirs = Listed(cl_ord_id="web", order_id="77", symbol="ETH/USD", cum_qty="0.1")
    assert run.page(theirs) == AskOrder("a1")
    assert run.kinds == ["unknown_here"]
    run = Run(uncertain(order_id="77"), list_lag_ns=0)
    run.start()
    run.page(Listed(cl_ord_id="", order_id="77"))
    assert first(run.table).state == "NEW"


def test_a_line_of_an_unknown_symbol_keeps_an_order_of_its_order_id_from_being_buried() -> None:
    run = Run(uncertain(order_id="77"), asks_single=False)
    line = Listed(cl_ord_id="", order_id="77", symbol="XXBTZUSD")
    run.start()
    run.page(line)
    run.resume()
    run.page(line)
    assert first(run.table).state == "UNCERTAIN"


# --- orders of others, and our own that were lost


def test_orders_of_others_are_told_and_left_alone() -> None:
    run = Run(table_with())
    run.start()
    run.page(Listed(cl_ord_id="someone", order_id="O9"))
    assert (run.kinds, len(run.table)) == (["unknown_here"], 0)


def test_an_unreadable_quantity_leaves_the_order_uncertain() -> None:
    run = Run(uncertain(), list_lag_ns=0)
    run.start()
    run.page(Listed(cum_qty="0.00001"))
    assert (run.kinds, first(run.table).state) == (["qty"], "UNCERTAIN")


def test_a_listed_order_of_our_own_making_is_taken_into_the_books() -> None:
    run = Run(table_with(), owned="lost1")
    line = Listed(cl_ord_id="lost1", cum_qty="0.04", status="1")
    run.start()
    assert isinstance(run.page(line), Wait)
    (adopted,) = run.table.open()
    assert (adopted.state, adopted.instrument, adopted.order_qty, adopted.price) == ("UNCERTAIN", "BTC-USD", 100, 5000)
    assert (run.kinds, run.findings[0].changed) == (["adopted"], adopted)
    assert "lost1" in run.findings[0].alert
    run.resume()
    assert run.page(line) == Done()
    assert run.kinds == ["adopted", "filled_meanwhile"]
    assert (adopted.state, adopted.cum_qty, adopted.leaves_qty) == ("PARTIALLY_FILLED", 40, 60)


@pytest.mark.parametrize("change", [{"symbol": "SOL/USD"}, {"side": "?"}, {"order_qty": "0.00001"}])
def test_an_order_of_our_own_making_that_cannot_be_read_is_said_loudly(change: dict[str, str]) -> None:
    run = Run(table_with(), owned="lost1")
    run.start()
    run.page(Listed(**({"cl_ord_id": "lost1"} | change)))
    (finding,) = run.findings
    assert (len(run.table), "lost1" in finding.alert) == (0, True)


# --- trades


def test_missed_fills_are_had_one_by_one_before_the_order_is_settled() -> None:
    run = Run(uncertain(), tells_trades=True, list_lag_ns=0)
    run.start()
    run.page()
    assert run.order("a1", Listed(status="2", cum_qty="0.1")) == AskTrades("a1", "")
    assert run.trades(Told(), cursor="p2") == AskTrades("a1", "p2")
    assert run.trades(Told(trade_id="T2", qty="0.06")) == Done()
    assert run.kinds == ["missed_fill", "missed_fill", "filled_meanwhile"]
    assert [(f.trade_id, f.last_qty, f.last_px, f.fees, f.liquidity, f.origin) for f in run.fills] == [
        ("T1", 40, 5000, (("USD", "0.01"),), "M", "rest"), ("T2", 60, 5000, (("USD", "0.01"),), "M", "rest"),
    ]  # fmt: skip
    assert (first(run.table).state, first(run.table).cum_qty, first(run.table).untold) == ("FILLED", 100, 0)


def test_a_trade_that_the_session_told_is_no_news() -> None:
    table = uncertain(order_id="O1")
    table.apply(report("F", "1", exec_id="e1", trade_id="T1", last_qty=40, last_px=5000, cum_qty=40), NOW - 9)
    table.uncertain(first(table), "session lost", NOW - 8)
    run = Run(table, tells_trades=True, list_lag_ns=0)
    run.start()
    run.page()
    run.order("a1", Listed(status="2", cum_qty="0.1"))
    run.trades(Told(), Told(trade_id="T2", qty="0.06"))
    assert [f.trade_id for f in run.fills] == ["T2"]


def test_an_order_filled_and_forgotten_by_the_venue_is_filled_and_not_buried() -> None:
    run = Run(uncertain(order_id="O1"), tells_trades=True)
    run.start()
    run.page()
    run.order("a1", None)
    run.resume()
    assert run.page() == AskTrades("a1", "")
    assert run.trades(Told(qty="0.1")) == Done()
    assert (first(run.table).state, run.kinds) == ("FILLED", ["missed_fill", "unknown_at_venue"])


def test_an_order_partly_filled_and_forgotten_by_the_venue_keeps_its_fill() -> None:
    run = Run(uncertain(order_id="O1"), tells_trades=True)
    run.start()
    run.page()
    run.order("a1", None)
    run.resume()
    run.page()
    assert run.trades(Told()) == Done()
    found = first(run.table)
    assert (found.state, found.cum_qty, run.kinds) == ("CANCELED", 40, ["missed_fill", "unknown_at_venue"])


def test_an_order_whose_trades_cannot_be_had_now_is_not_buried() -> None:
    run = Run(uncertain(order_id="O1"), tells_trades=True)
    run.start()
    run.page()
    run.order("a1", None)
    run.resume()
    run.page()
    assert run.no_trades(cannot=False) == Done()
    assert first(run.table).state == "UNCERTAIN"


def test_trades_that_cannot_be_had_leave_the_quantity_untold() -> None:
    run = Run(uncertain(), tells_trades=True, list_lag_ns=0)
    run.start()
    run.page()
    run.order("a1", Listed(status="2", cum_qty="0.1"))
    assert run.no_trades(cannot=False) == Done()
    assert (first(run.table).state, first(run.table).untold, run.table.untold) == (
        "FILLED", 100, {"a1": first(run.table)},
    )  # fmt: skip


def test_explaining_an_order_asks_for_its_trades_alone() -> None:
    table = uncertain()
    table.apply(report("I", "2", cum_qty=100, origin="rest"), NOW)
    run = Run(table, tells_trades=True, list_lag_ns=0)
    assert run.explain(first(table)) == AskTrades("a1", "")
    assert run.trades(Told(qty="0.1")) == Done()
    assert (first(table).untold, first(table).cum_qty, table.untold) == (0, 100, {})


def test_one_answer_about_the_account_serves_every_order_in_it() -> None:
    table = table_with(order(state="UNCERTAIN", order_id="O1"), order("b1", state="UNCERTAIN", order_id="O2"))
    run = Run(table, tells_trades=True, list_lag_ns=0)
    run.start()
    run.page()
    assert run.order("a1", Listed(status="2", cum_qty="0.1")) == AskTrades("a1", "")
    both = Told(qty="0.1"), Told(trade_id="T2", order_id="O2", qty="0.1")
    assert run.trades(*both) == AskOrder("b1")
    assert run.order("b1", Listed(cl_ord_id="b1", order_id="O2", status="2", cum_qty="0.1")) == Done()
    assert {o.state for o in table} == {"FILLED"}


def test_a_trade_too_fine_to_be_told_is_named_and_left_out() -> None:
    run = Run(uncertain(), tells_trades=True, list_lag_ns=0)
    run.start()
    run.page()
    run.order("a1", Listed(status="2", cum_qty="0.1"))
    run.trades(Told(qty="0.00001"))
    assert (run.kinds, run.fills) == (["qty", "filled_meanwhile"], [])


def test_pages_of_trades_that_never_end_are_an_error() -> None:
    run = Run(uncertain(), tells_trades=True, list_lag_ns=0)
    run.start()
    run.page()
    run.order("a1", Listed(status="2", cum_qty="0.1"))
    run.trades(cursor="x")
    with pytest.raises(VenueError, match="twice"):
        run.trades(cursor="x")


def test_trades_of_an_order_that_ended_are_asked_for_once_they_must_be_known() -> None:
    run = Run(uncertain(), tells_trades=True)
    run.start()
    run.page()
    assert run.order("a1", Listed(status="2", cum_qty="0.1")) == Wait(LAG)
    assert run.resume() == AskList("")
    assert run.page() == AskTrades("a1", "")
    assert run.trades(Told(qty="0.1")) == Done()
    assert (first(run.table).state, [f.trade_id for f in run.fills]) == ("FILLED", ["T1"])


def test_fills_are_told_in_the_order_of_their_times() -> None:
    run = Run(uncertain(), tells_trades=True, list_lag_ns=0)
    run.start()
    run.page()
    run.order("a1", Listed(status="2", cum_qty="0.1"))
    run.trades(Told(trade_id="T2", qty="0.06", transact_ns=9), Told(transact_ns=8))
    assert [f.trade_id for f in run.fills] == ["T1", "T2"]


def test_a_stranger_that_shows_only_in_the_second_list_is_told_too_and_each_once() -> None:
    run = Run(uncertain())
    theirs = Listed(cl_ord_id="web", order_id="W1")
    run.start()
    run.page(theirs)
    run.order("a1", None)
    run.resume()
    run.page(theirs, Listed(cl_ord_id="web", order_id="W2"))
    assert [f.difference.order_id for f in run.findings if f.difference and f.difference.kind == "unknown_here"] == [
        "W1", "W2",
    ]  # fmt: skip


def test_terms_changed_while_away_are_had_from_the_list_although_a_fill_was_reported_since() -> None:
    table = uncertain(order_id="O1")
    run = Run(table)
    run.start()
    run.page(Listed(order_qty="0.12", price="49"))
    table.apply(report("F", "1", exec_id="e1", last_qty=40, cum_qty=40, leaves_qty=80), NOW + 2)
    run.resume()
    run.page(Listed(order_qty="0.12", price="49", cum_qty="0.04", status="1"))
    found = first(table)
    assert (found.state, found.order_qty, found.price, run.kinds) == ("PARTIALLY_FILLED", 120, 4900, ["qty"])


def test_terms_that_the_session_told_since_are_not_undone_by_the_list() -> None:
    table = uncertain(order_id="O1")
    run = Run(table)
    run.start()
    run.page(Listed())
    table.apply(report("5", "0", order_qty=50, price=4000, cum_qty=0), NOW + 2)
    run.resume()
    run.page(Listed())
    assert (first(table).order_qty, first(table).price, run.kinds) == (50, 4000, [])
