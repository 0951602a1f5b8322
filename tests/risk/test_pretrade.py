"""Pre-trade checks: each limit with the order counted in; what is refused says why; what reduces a position passes."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import ConfigError
from base.instruments import Contract, Instrument
from base.kill_config import LimitConfig
from ipc.requests import NewOrder
from risk.exposure import ExposureBook
from risk.exposure_sums import ExposureSums
from risk.pretrade import PreTrade
from risk.pretrade_plan import Ours, check_order_limits
from tests.risk.pretrade_kit import BOOK, BTC, NOW, SECOND, SESSIONS, Desk, limit, new, worth

MS = 1_000_000


def test_without_limits_everything_passes() -> None:
    assert Desk().ask(order_qty=10**12, price=10**12) == ""


@pytest.mark.parametrize(("qty", "passes"), [(1_500, True), (1_501, False)])
def test_an_order_may_be_as_big_as_the_limit_and_no_bigger(qty: int, passes: bool) -> None:
    desk = Desk(limit(max_order_qty={"BTC-USD": "1.5"}), limit("venue:x", max_order_qty={"BTC-USD": "9"}))
    verdict = desk.ask(order_qty=qty)
    assert verdict == ("" if passes else "max_order_qty of desk: order of 1.501 BTC-USD, at most 1.5")
    assert desk.ask(order_qty=qty, instrument="ETH-USD") == ""


def test_the_worth_of_one_order_is_limited_by_quote_currency() -> None:
    desk = Desk(limit("session:a", max_order_notional={"USD": "6000"}))
    assert desk.ask(order_qty=100, price=60_000_0) == ""
    assert desk.ask(order_qty=100, price=60_000_1) == (
        "max_order_notional of session:a: order worth 6000.01 USD, at most 6000"
    )


@pytest.mark.parametrize(
    ("side", "price", "passes"),
    [
        ("1", 63_000_0, True), ("1", 63_000_1, False), ("1", 1, True),
        ("2", 56_990_5, True), ("2", 56_990_4, False), ("2", 10**9, True),
    ],
)  # fmt: skip
def test_a_price_may_be_so_far_beyond_the_other_sides_best_and_as_far_as_it_likes_on_its_own(
    side: str, price: int, passes: bool
) -> None:
    desk = Desk(limit(price_collar_pct={"BTC-USD": "5"}))
    assert bool(desk.ask(side=side, price=price)) is not passes


def test_a_price_that_is_too_far_is_told_against_what_and_by_how_much() -> None:
    assert Desk(limit(price_collar_pct={"BTC-USD": "2.5"})).ask(price=66_000_0) == (
        "price_collar_pct of desk: price 66000 against the best offer 60000 is 10 % beyond it, at most 2.5"
    )


def test_the_tightest_collar_counts() -> None:
    desk = Desk(limit(price_collar_pct={"BTC-USD": "5"}), limit("venue:x", price_collar_pct={"BTC-USD": "0.5"}))
    assert desk.ask(price=60_300_0) == ""
    assert desk.ask(price=60_300_1).startswith("price_collar_pct of venue:x")


def test_where_the_other_side_is_empty_the_own_best_is_the_measure() -> None:
    desk = Desk(limit(price_collar_pct={"BTC-USD": "1"}))
    desk.book = (50_000_0, 1, 0, 0)
    assert desk.ask(price=50_500_0) == ""
    assert desk.ask(price=50_500_1) != ""
    desk.book = (0, 0, 0, 0)
    assert "no book of BTC-USD is live" in desk.ask(price=50_000_0)


def test_a_stop_is_judged_where_it_will_trade() -> None:
    desk = Desk(limit(price_collar_pct={"BTC-USD": "1"}))
    assert desk.ask(ord_type="4", price=70_700_0, stop_px=70_000_0) == ""
    assert desk.ask(ord_type="4", price=70_700_1, stop_px=70_000_0) != ""
    assert desk.ask(ord_type="4", side="2", price=49_500_0, stop_px=50_000_0) == ""
    assert desk.ask(ord_type="4", side="2", price=49_400_0, stop_px=50_000_0) != ""
    assert desk.ask(ord_type="3", price=None, stop_px=70_000_0) == "", "it has no price until it trades"


@pytest.mark.parametrize("without_book", ["refuse", "pass"])
def test_without_a_valid_book_a_price_is_refused_unless_the_limit_lets_it_pass(without_book: str) -> None:
    desk = Desk(limit(price_collar_pct={"BTC-USD": "5"}, without_book=without_book))
    desk.book = None
    verdict = desk.ask(price=1_000_000_0)
    assert verdict == (
        "" if without_book == "pass" else "price_collar_pct of desk: no book of BTC-USD is live to judge the price by"
    )
    assert desk.checks.refused == ({} if without_book == "pass" else {"without_book": 1})


def test_a_market_order_may_not_eat_further_into_the_book_than_a_price_might_go() -> None:
    desk = Desk(limit(price_collar_pct={"BTC-USD": "1"}))
    assert desk.ask(ord_type="1", price=None, order_qty=BOOK[3]) == ""
    desk.reached = (60_600_0, True)
    assert desk.ask(ord_type="1", price=None, order_qty=BOOK[3] + 1) == ""
    desk.reached = (60_600_1, True)
    assert "60600.1 against the best offer 60000" in desk.ask(ord_type="1", price=None, order_qty=BOOK[3] + 1)
    desk.reached = (60_100_0, False)
    assert "more than the best levels hold" in desk.ask(ord_type="1", price=None, order_qty=BOOK[3] + 1)


def test_a_market_order_is_worth_what_the_book_says() -> None:
    desk = Desk(limit(max_order_notional={"USD": "6000"}))
    assert desk.ask(ord_type="1", price=None, order_qty=100) == ""
    assert "worth 6060 USD" in desk.ask(ord_type="1", price=None, order_qty=101)
    assert desk.ask(ord_type="1", price=None, side="2", order_qty=100) == "", "at the bid"
    desk.book = None
    assert "no book of BTC-USD" in desk.ask(ord_type="1", price=None, order_qty=1)


def test_a_market_order_that_goes_through_the_book_is_worth_its_dearest_price() -> None:
    desk = Desk(limit(max_order_notional={"USD": "300000"}))
    desk.reached = (61_000_0, True)
    assert "worth 305061 USD" in desk.ask(ord_type="1", price=None, order_qty=BOOK[3] + 1)
    desk.reached = (50_000_0, True)
    assert "worth 300009.99 USD" in desk.ask(ord_type="1", price=None, side="2", order_qty=BOOK[1] + 1)
    desk.book, desk.reached = (50_000_0, 5, 0, 0), (0, False)
    assert "worth 350000 USD" in desk.ask(ord_type="1", price=None, order_qty=7_000), "nobody offers anything"


@pytest.mark.parametrize("ord_type", ["1", "2"])
def test_a_stop_price_that_the_order_does_not_wait_for_excuses_nothing(ord_type: str) -> None:
    desk = Desk(limit(price_collar_pct={"BTC-USD": "1"}))
    desk.reached = (90_000_0, True)
    price = None if ord_type == "1" else 90_000_0
    assert "price_collar_pct" in desk.ask(ord_type=ord_type, price=price, stop_px=90_000_0, order_qty=BOOK[3] + 1)
    order = desk.place()
    assert "price_collar_pct" in desk.checks.replace(order, BTC, 100, 90_000_0, 90_000_0, False, desk.now)


def test_a_take_profit_is_held_against_the_market_as_it_is() -> None:
    desk = Desk(limit(price_collar_pct={"BTC-USD": "1"}, max_notional={"USD": "70000"}))
    assert "price_collar_pct" in desk.ask(ord_type="T", price=90_000_0, stop_px=90_000_0), "it would trade at once"
    assert desk.ask(ord_type="T", price=50_000_0, stop_px=50_000_0) == ""
    assert desk.ask(ord_type="R", price=None, stop_px=50_000_0, order_qty=1_400) == ""
    assert "max_notional" in desk.ask(ord_type="U", price=None, stop_px=1, order_qty=1_400), "worth what the book says"


def test_a_price_that_a_market_order_brings_along_excuses_nothing() -> None:
    desk = Desk(limit(price_collar_pct={"BTC-USD": "1"}, max_order_notional={"USD": "300000"}))
    desk.reached = (90_000_0, True)
    assert "price_collar_pct" in desk.ask(ord_type="1", price=1, order_qty=BOOK[3] + 1)
    desk.reached = (60_100_0, True)
    assert "worth 300560.1 USD" in desk.ask(ord_type="1", price=1, order_qty=BOOK[3] + 1)


def test_a_market_order_that_may_pass_without_a_book_is_worth_what_the_last_fill_was() -> None:
    desk = Desk(limit(max_order_notional={"USD": "6000"}, without_book="pass"))
    desk.book = None
    assert desk.ask(ord_type="1", price=None, order_qty=10**6) == "", "nothing is known of its worth"
    desk.hold(0, mark_px=60_000_0)
    assert "worth 6060 USD" in desk.ask(ord_type="1", price=None, order_qty=101)


def test_the_same_order_does_not_leave_twice_within_the_window() -> None:
    desk = Desk(limit(duplicate_window_ms=500))
    desk.place()
    desk.now += 499 * MS
    assert desk.ask() == "duplicate_window_ms of desk: the same order left 499 ms ago, not again within 500"
    for other in ({"price": 60_000_1}, {"order_qty": 101}, {"side": "2"}, {"strategy": "arb"}, {"stop_px": 1}):
        assert desk.ask(**other) == "", other
    desk.now += MS
    assert desk.ask() == ""


def test_what_was_refused_or_never_left_is_no_first_of_two() -> None:
    desk = Desk(limit(duplicate_window_ms=500), limit(max_order_qty={"BTC-USD": "0.05"}))
    assert desk.ask() != ""
    assert desk.ask() == desk.ask() != ""
    assert desk.ask(order_qty=50) == desk.ask(order_qty=50) == ""


def test_a_strategy_may_have_a_window_of_its_own() -> None:
    desk = Desk(limit("strategy:mm", duplicate_window_ms=500))
    for strategy in ("mm", "arb"):
        desk.place(strategy=strategy)
    assert desk.ask(strategy="mm") != ""
    assert desk.ask(strategy="arb") == ""


def test_orders_within_a_second_are_counted_with_those_of_the_others_in_the_scope() -> None:
    desk = Desk(limit("venue:x", max_orders_per_s=5))
    for tick in range(60):
        desk.now = NOW + tick * 20 * MS
        desk.checks.look(desk.now)
    desk.place()
    desk.place()
    desk.counts = {"b": 2, "c": 900}
    assert desk.ask() == "", "c is at another venue"
    desk.counts = {"b": 3, "c": 900}
    assert desk.ask() == "max_orders_per_s of venue:x: 6 with this order, at most 5"
    for tick in range(60, 120):
        desk.now = NOW + tick * 20 * MS
        desk.checks.look(desk.now)
    assert desk.ask() == ""


def test_times_of_orders_are_let_go_of_where_no_limit_asks_for_the_pace() -> None:
    desk = Desk(limit("strategy:mm", max_open_orders=10**6))
    for _ in range(1_000):
        desk.place()
        desk.now += SECOND // 10
        desk.checks.look(desk.now)
    assert [len(pace.times) for pace in desk.checks._own.values()] == [9, 9]


def test_a_replace_counts_as_an_order_of_its_second() -> None:
    desk = Desk(limit("session:a", max_orders_per_s=2))
    order = desk.place()
    desk.checks.changed(order, desk.now)
    assert "3 with this order, at most 2" in desk.ask()
    assert "3 with this order, at most 2" in desk.checks.replace(order, BTC, 50, order.price, None, False, desk.now)


def test_a_strategys_own_limits_count_its_own_orders() -> None:
    desk = Desk(limit("strategy:mm", max_orders_per_s=1, max_open_orders=1))
    desk.place(strategy="arb")
    assert desk.ask(strategy="mm") == ""
    order = desk.place(strategy="mm")
    assert "max_orders_per_s of strategy:mm" in desk.ask(strategy="mm")
    desk.now += SECOND
    assert "max_open_orders of strategy:mm: 2 with this order, at most 1" in desk.ask(strategy="mm")
    assert desk.ask(strategy="arb") == ""
    desk.end(order)
    assert desk.ask(strategy="mm") == ""


def test_open_orders_are_those_of_all_sessions_in_the_scope() -> None:
    desk = Desk(limit(max_open_orders=3), limit("instrument:ETH-USD", max_open_orders=1))
    desk.place()
    desk.other("c", open_orders=1)
    assert desk.ask() == ""
    desk.other("b", open_orders=1)
    assert desk.ask() == "max_open_orders of desk: 4 with this order, at most 3"
    desk.other("b", open_orders=0)
    desk.other("c", open_orders=0)
    desk.other("c", "ETH-USD", px_scale=2, open_orders=1)
    assert "max_open_orders of instrument:ETH-USD" in desk.ask(instrument="ETH-USD", price=100)


def test_notional_is_gross_over_the_scope() -> None:
    desk = Desk(limit(max_notional={"USD": "30000"}))
    desk.place(order_qty=100)
    desk.other("c", position_notional=worth(100, 60_000_0), sell_notional=worth(200, 60_000_0))
    assert desk.ask(order_qty=100) == ""
    assert desk.ask(order_qty=101) == "max_notional of desk: 30060 USD with this order, at most 30000"
    desk.other("c")
    assert desk.ask(order_qty=101) == ""


def test_buys_and_sells_are_judged_apart_each_as_if_nothing_of_the_other_traded() -> None:
    desk = Desk(limit(max_position={"BTC-USD": "1"}))
    desk.hold(400)
    desk.place(order_qty=500)
    desk.place(order_qty=900, side="2")
    assert desk.ask(order_qty=100) == ""
    assert desk.ask(order_qty=101) == "max_position of desk: 1.001 BTC-USD with this order, at most 1"
    assert desk.ask(order_qty=500, side="2") == ""
    assert desk.ask(order_qty=501, side="2") == "max_position of desk: -1.001 BTC-USD with this order, at most 1"


def test_positions_add_up_at_any_scale() -> None:
    desk = Desk(limit(max_position={"BTC-USD": "1"}))
    desk.other("c", qty_scale=18, position=999_999_999_999_999_999)
    assert desk.ask(order_qty=1) != ""
    desk.other("c", qty_scale=0, position=-1)
    assert desk.ask(order_qty=2_000) == ""
    assert desk.ask(order_qty=2_001) != ""


@given(
    held=st.integers(-5_000, 5_000).filter(bool), most=st.integers(0, 3_000),
    working=st.lists(st.tuples(st.booleans(), st.integers(1, 400)), max_size=5), qty=st.integers(1, 5_000),
)  # fmt: skip
def test_what_reduces_the_position_is_never_refused_for_a_position_that_is_too_big_already(
    held: int, most: int, working: list[tuple[bool, int]], qty: int
) -> None:
    desk = Desk(limit(max_position={"BTC-USD": f"{most}e-3"}))
    desk.hold(held)
    side = "2" if held > 0 else "1"
    ahead = 0
    for with_us, size in working:
        desk.place(order_qty=size, side=side if with_us else "21"[int(side) - 1])
        ahead += size if with_us else 0
    verdict = desk.ask(side=side, order_qty=qty)
    if ahead + qty <= abs(held):
        assert verdict == ""
    if ahead + qty > abs(held) + most:
        assert "max_position" in verdict


def at_risk(position: int, mark: int, orders: list[tuple[str, int, int]]) -> int:
    """|position|, and of each side the part (at its average price) that could take the position further from zero."""
    total = worth(abs(position), mark)
    for side, towards_zero in (("1", max(-position, 0)), ("2", max(position, 0))):
        qty = sum(q for s, q, _ in orders if s == side)
        value = sum(w for s, _, w in orders if s == side)
        if qty > towards_zero:
            total += math.ceil(Fraction(value * (qty - towards_zero), qty))
    return total


@pytest.mark.parametrize("side", ["1", "2"])
def test_what_only_reduces_passes_a_limit_on_notional_that_is_reached_or_passed(side: str) -> None:
    """Judged by the worst case: everything that works on its side trades before it."""
    other, sign = "21"[int(side) - 1], 1 if side == "2" else -1
    desk = Desk(limit(max_notional={"USD": "30000"}))
    desk.hold(sign * 600, mark_px=60_000_0)
    assert "max_notional of desk: 36060 USD" in desk.ask(side=other, order_qty=1)
    assert desk.ask(side=side, order_qty=600) == "", "it closes the position"
    assert "36060 USD with this order" in desk.ask(side=side, order_qty=601)
    desk.place(side=side, order_qty=400)
    assert desk.ask(side=side, order_qty=200) == ""
    assert "max_notional" in desk.ask(side=side, order_qty=201), "with what works already it would turn the position"
    desk.place(side=other, order_qty=100)
    assert desk.ask(side=side, order_qty=200) == "", "what works on the other side may never trade"


def test_what_reduces_is_not_in_the_figure_that_trips_either() -> None:
    desk = Desk(limit(max_notional={"USD": "36000"}))
    desk.hold(600, mark_px=60_000_0)
    desk.place(side="2", order_qty=600)
    held = desk.exposure.figures["BTC-USD"]
    assert (held.counted(), held.position_notional) == ((0, 0), worth(600, 60_000_0))
    desk.place(side="2", order_qty=150)
    assert held.counted() == (0, worth(150, 60_000_0))
    assert "max_notional of desk: 45060 USD" in desk.ask(side="1", order_qty=1)


def test_a_replace_that_only_reduces_passes_and_one_that_turns_the_position_does_not() -> None:
    desk = Desk(limit(max_notional={"USD": "30000"}))
    desk.hold(600, mark_px=60_000_0)
    order = desk.place(side="2", order_qty=100)
    for swap in (False, True):
        most = 500 if swap else 600  # until the old one's end both may trade
        assert desk.checks.replace(order, BTC, most, 60_000_0, None, swap, NOW) == ""
        assert "max_notional" in desk.checks.replace(order, BTC, most + 1, 60_000_0, None, swap, NOW)


def test_while_what_is_held_is_not_known_no_order_under_a_limit_on_it_leaves() -> None:
    desk = Desk(limit(max_position={"BTC-USD": "9"}, max_notional={"USD": "900000"}, max_open_orders=9))
    order = desk.place()
    for session in ("a", "c"):
        desk.unheld = {session: "has not heard what was held of BTC-USD"}
        assert desk.ask() == f"max_notional of desk: {session} has not heard what was held of BTC-USD"
        assert desk.ask(side="2") != "", "that it reduces what is held nobody can say"
    assert desk.checks.replace(order, BTC, 50, 60_000_0, None, False, NOW) == "", "less of an order is always less"
    assert desk.checks.refused == {"unknown_position": 4}
    desk.unheld, desk.unpriced = {}, {"a": "does not know what BTC-USD is worth"}
    assert desk.ask() == "max_notional of desk: a does not know what BTC-USD is worth"
    assert Desk(limit("session:a", max_open_orders=1)).ask() == ""


def test_our_own_unknown_position_hides_that_an_order_reduces() -> None:
    desk = Desk(limit(max_notional={"USD": "30000"}))
    desk.hold(600, mark_px=60_000_0)
    desk.exposure.figures["BTC-USD"].awaits_opening = True
    assert "max_notional" in desk.ask(side="2", order_qty=100)


TENTH = Instrument("x", "BTC-USD-PERP", "PF_XBTUSD", 1, 0, contract=Contract(1, 1))
INVERSE = Instrument("x", "BTC-USD-PERP", "PI_XBTUSD", 1, 0, contract=Contract(100, 0, inverse=True))
UNTOLD = Instrument("x", "BTC-USD-PERP", "PF_XBTUSD", 1, 0, contract=None)


def perp(instrument: Instrument, *limits: LimitConfig) -> PreTrade:
    sums = ExposureSums(SESSIONS, {("x", "BTC-USD-PERP"): instrument.contract})
    exposure = ExposureBook({"BTC-USD-PERP": instrument.contract})
    return PreTrade(limits, Ours("a", "x", "main"), SESSIONS, sums, exposure, Desk())


def contracts(qty: int) -> NewOrder:
    return new(instrument="BTC-USD-PERP", order_qty=qty, price=60_000_0)


def test_a_contract_counts_with_what_it_stands_for() -> None:
    most = limit(
        max_position={"BTC-USD-PERP": "2"}, max_notional={"USD": "120000"}, max_order_notional={"USD": "60000"}
    )
    checks = perp(TENTH, most)
    assert checks.new(contracts(10), TENTH, NOW) == "", "10 contracts are of 1 BTC"
    assert checks.new(contracts(11), TENTH, NOW) == "max_order_notional of desk: order worth 66000 USD, at most 60000"
    wide = perp(TENTH, limit(max_position={"BTC-USD-PERP": "2"}))
    assert wide.new(contracts(20), TENTH, NOW) == ""
    assert wide.new(contracts(21), TENTH, NOW) == ("max_position of desk: 2.1 BTC-USD-PERP with this order, at most 2")


def test_an_inverse_contract_is_worth_the_same_at_every_price() -> None:
    checks = perp(INVERSE, limit(max_notional={"USD": "1000"}))
    for price in (1, 60_000_0, 10**12):
        assert checks.new(new(instrument="BTC-USD-PERP", order_qty=10, price=price), INVERSE, NOW) == ""
        assert checks.new(new(instrument="BTC-USD-PERP", order_qty=11, price=price), INVERSE, NOW) == (
            "max_notional of desk: 1100 USD with this order, at most 1000"
        )
    held = perp(INVERSE, limit(max_position={"BTC-USD-PERP": "1000"}))
    assert held.new(contracts(10), INVERSE, NOW) == "", "its position is in quote currency, too"
    assert "1100 BTC-USD-PERP" in held.new(contracts(11), INVERSE, NOW)


@pytest.mark.parametrize(
    "keys", [{"max_notional": {"USD": "1e9"}}, {"max_order_notional": {"USD": "1e9"}},
             {"max_position": {"BTC-USD-PERP": "1e9"}}],
)  # fmt: skip
def test_a_contract_of_unknown_value_is_not_taken_for_one(keys: dict[str, dict[str, str]]) -> None:
    checks = perp(UNTOLD, limit(**keys))
    said = f"{next(iter(keys))} of desk: nothing says what a contract of BTC-USD-PERP is worth (contract_value)"
    assert checks.new(contracts(1), UNTOLD, NOW) == said
    assert checks.refused == {"unknown_contract": 1}
    assert perp(UNTOLD, limit(max_order_qty={"BTC-USD-PERP": "5"})).new(contracts(5), UNTOLD, NOW) == ""


steps = st.lists(
    st.tuples(
        st.sampled_from(("new", "new", "new", "fill", "end", "other", "wait")), st.booleans(), st.integers(1, 900),
        st.integers(-20, 20),
    ),
    min_size=1, max_size=40,
)  # fmt: skip


@given(steps, st.integers(1, 2_000), st.integers(1, 120_000), st.integers(1, 6), st.integers(1, 6))
def test_no_order_passes_that_breaks_a_limit_and_none_is_refused_that_breaks_none(
    steps: list[tuple[str, bool, int, int]], most_held: int, most_worth: int, most_open: int, most_pace: int
) -> None:
    desk = Desk(
        limit(max_position={"BTC-USD": f"{most_held}e-3"}, max_open_orders=most_open),
        limit("venue:x", max_notional={"USD": str(most_worth)}),
        limit("session:a", max_orders_per_s=most_pace),
    )
    ours = {"1": 0, "2": 0}
    orders, position, mark, times = [], 0, 0, list[int]()
    other = {"position": 0, "working_buy_qty": 0, "open_orders": 0}
    for what, buys, qty, ticks in steps:
        side = "1" if buys else "2"
        if what == "other":
            other = {"position": ticks * 10, "working_buy_qty": qty if buys else 0, "open_orders": int(buys)}
            desk.other("b", **other)
        elif what == "wait":
            desk.now += qty * MS
        elif what == "new":
            price = 60_000_0 + ticks
            live = [o for o in orders if o.is_open]
            held = position + other["position"]
            after = held + ours["1"] + other["working_buy_qty"] + qty if buys else -(held - ours["2"] - qty)
            sizes = [(o.side, o.leaves_qty, worth(o.leaves_qty, o.price or 0)) for o in live]
            gross = at_risk(position, mark, sizes)
            after_it = at_risk(position, mark, [*sizes, (side, qty, worth(qty, price))])
            broken = {
                "max_position": after > most_held,
                "max_notional": after_it > max(gross, most_worth * 10**6),
                "max_open_orders": len(live) + other["open_orders"] + 1 > most_open,
                "max_orders_per_s": len([t for t in times if t > desk.now - SECOND]) + 1 > most_pace,
            }
            verdict = desk.ask(side=side, order_qty=qty, price=price)
            assert bool(verdict) == any(broken.values()), (verdict, broken)
            if verdict:
                assert broken[verdict.split()[0]], verdict
            else:
                orders.append(desk.place(side=side, order_qty=qty, price=price))
                ours[side] += qty
                times.append(desk.now)
        elif live := [o for o in orders if o.is_open]:
            order = live[qty % len(live)]
            part = order.leaves_qty if what == "end" else 1 + qty % order.leaves_qty
            ours[order.side] -= part
            if what == "fill":
                position += part if order.side == "1" else -part
                mark = order.price or 0
                desk.fill(order, part)
            else:
                desk.end(order)


@pytest.mark.parametrize(
    "limits",
    [{"max_open_orders": 9}, {"max_notional": {"USD": "1"}}, {"max_position": {"BTC-USD": "9"}}],
    ids=["orders", "notional", "position"],
)
def test_what_another_session_has_at_risk_must_be_known(limits: dict[str, object]) -> None:
    desk = Desk(limit("venue:x", **limits), limit("session:a", max_open_orders=9))
    desk.unknown = {"c": "is starting"}
    assert "not known" not in desk.ask(order_qty=1, price=10), "c is not in the scope"
    desk.unknown = {"b": "is starting"}
    assert desk.ask(order_qty=1, price=10).endswith("what b has at risk is not known: it is starting")
    assert desk.checks.refused["unknown_exposure"] == 1


def test_a_replace_is_judged_by_the_risk_it_adds() -> None:
    desk = Desk(
        limit(max_position={"BTC-USD": "1"}, max_order_qty={"BTC-USD": "0.7"}, price_collar_pct={"BTC-USD": "1"}),
        limit(max_notional={"USD": "60000"}, max_order_notional={"USD": "45000"}, max_open_orders=1),
    )

    def change(qty: int, price: int, swap: bool = False) -> str:
        return desk.checks.replace(order, BTC, qty, price, None, swap, desk.now)

    order = desk.place(order_qty=600, price=60_000_0)
    assert change(700, 60_000_0) == ""
    assert "max_order_qty" in change(701, 60_000_0)
    assert "price_collar_pct" in change(600, 60_600_1)
    assert change(600, 1) == "", "away from the market"
    desk.hold(350, mark_px=10)
    assert "max_position of desk: 1.05 BTC-USD" in change(700, 60_000_0)
    assert change(650, 60_000_0) == ""
    assert change(1, 60_000_0) == ""
    assert "max_open_orders of desk: 2" in change(600, 60_000_0, swap=True)
    desk.fill(order, 500)
    assert change(600, 60_000_0) == "", "what it holds already is no new risk"


def test_a_replace_that_shrinks_an_order_passes_limits_that_it_is_over_already() -> None:
    desk = Desk(
        limit(max_position={"BTC-USD": "0.1"}, max_order_qty={"BTC-USD": "0.1"}, max_open_orders=0),
        limit(max_notional={"USD": "1"}, max_order_notional={"USD": "1"}, price_collar_pct={"BTC-USD": "1"}),
    )
    order = desk.place(order_qty=600, price=70_000_0)
    assert desk.checks.replace(order, BTC, 500, 70_000_0, None, False, desk.now) == ""
    assert desk.checks.replace(order, BTC, 600, 69_000_0, None, False, desk.now) == ""
    assert desk.checks.replace(order, BTC, 601, 70_000_0, None, False, desk.now) != ""


def test_where_a_replace_is_a_new_order_old_and_new_count_together() -> None:
    desk = Desk(limit(max_position={"BTC-USD": "1"}))
    order = desk.place(order_qty=600)
    assert desk.checks.replace(order, BTC, 400, order.price, None, True, desk.now) == ""
    assert "max_position" in desk.checks.replace(order, BTC, 401, order.price, None, True, desk.now)


def test_a_restart_forgets_no_window() -> None:
    before = Desk()
    recent = [before.place(price=60_000_0 - n) for n in range(3)]
    wall = before.now + 400 * MS
    desk = Desk(limit(max_orders_per_s=3, duplicate_window_ms=1_000))
    desk.checks.restore(recent, NOW, wall)
    desk.now = NOW
    assert "the same order left 400 ms ago" in desk.ask(price=60_000_0 - 1)
    assert "max_orders_per_s of desk: 4" in desk.ask(price=1)
    desk.now += 599 * MS
    assert desk.ask(price=60_000_0) != ""
    desk.now += 1 * MS
    assert desk.ask(price=60_000_0) == ""


def test_a_clock_that_was_set_back_makes_what_was_sent_no_older() -> None:
    before = Desk()
    order = before.place()
    desk = Desk(limit(duplicate_window_ms=1_000))
    desk.checks.restore([order], NOW, before.now - 3_600 * SECOND)
    assert "left 0 ms ago" in desk.ask()


def test_open_orders_of_a_strategy_are_those_of_the_life_before() -> None:
    before = Desk()
    order = before.place()
    desk = Desk(limit("strategy:mm", max_open_orders=1))
    desk.checks.restore([order], NOW, NOW + 10 * SECOND)
    assert "max_open_orders of strategy:mm: 2" in desk.ask()


def test_a_limit_that_only_warns_refuses_nothing_but_what_an_order_alone_may_not_be() -> None:
    desk = Desk(limit(action="warn", max_open_orders=0, max_orders_per_s=0, max_position={"BTC-USD": "0"}))
    assert desk.ask() == ""
    assert Desk(limit(action="warn", max_order_qty={"BTC-USD": "0"})).ask() != ""


@pytest.mark.parametrize("qty", [2**63, 2**64 - 1, 10**30])
def test_a_quantity_beyond_64_bits_is_refused_and_breaks_nothing(qty: int) -> None:
    assert "max_position" in Desk(limit(max_position={"BTC-USD": "1e20"})).ask(order_qty=qty, price=1)
    assert "max_notional" in Desk(limit(max_notional={"USD": "1e20"})).ask(order_qty=qty)


def test_refusals_are_counted_by_their_limit() -> None:
    desk = Desk(limit(max_order_qty={"BTC-USD": "1"}, max_open_orders=0))
    for qty in (2_000, 3_000, 10):
        assert desk.ask(order_qty=qty)
    assert desk.checks.refused == {"max_order_qty": 2, "max_open_orders": 1}


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 6))
def test_a_quantity_is_compared_exactly_with_a_limit_of_any_precision(qty: int, most: int, digits: int) -> None:
    desk = Desk(limit(max_order_qty={"BTC-USD": f"{most}e-{digits}"}))
    assert bool(desk.ask(order_qty=qty)) == (qty * 10**digits > most * 10**3)


@given(st.integers(1, 2_000_000), st.integers(1, 99_999), st.booleans())
def test_a_collar_is_compared_exactly(price: int, thousandths: int, buys: bool) -> None:
    desk = Desk(limit(price_collar_pct={"BTC-USD": f"{thousandths}e-3"}))
    far = (
        price * 100_000 > BOOK[2] * (100_000 + thousandths)
        if buys
        else price * 100_000 < BOOK[0] * (100_000 - thousandths)
    )
    assert bool(desk.ask(price=price, side="1" if buys else "2")) == far


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"max_order_qty": {"BTC-USD": "lots"}}, "kill.limits[3].max_order_qty.BTC-USD: not a decimal number: 'lots'"),
        ({"max_order_notional": {"USD": "-1"}}, "kill.limits[3].max_order_notional.USD: -1 is not a limit"),
        ({"price_collar_pct": {"BTC-USD": "NaN"}}, "kill.limits[3].price_collar_pct.BTC-USD: NaN is not a limit"),
        ({"price_collar_pct": {"BTC-USD": "0"}}, "kill.limits[3].price_collar_pct.BTC-USD: 0 leaves hardly a price"),
        ({"max_order_qty": {"BTC-USD": "1e99"}}, "kill.limits[3].max_order_qty.BTC-USD: 1e99 is not within 40 digits"),
        ({"duplicate_window_ms": 0}, "kill.limits[3].duplicate_window_ms: 0 is below 1"),
    ],
    ids=["text", "negative", "not a number", "zero collar", "huge", "no window"],
)
def test_a_limit_that_cannot_be_judged_is_named_with_its_key(keys: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError) as e:
        check_order_limits(limit(**keys), "kill.limits[3]")
    assert str(e.value).startswith(says)
    with pytest.raises(ConfigError):
        Desk(limit(**keys))


def test_what_others_changed_is_taken_in_before_a_sum_is_judged() -> None:
    desk = Desk(limit(max_open_orders=1))
    desk.checks.new(new(), BTC, NOW)
    assert desk.refreshed == 1


def test_a_price_that_a_market_order_brings_along_does_not_make_it_worth_less_once_it_works() -> None:
    desk = Desk(limit(max_notional={"USD": "6000"}))
    desk.hold(0, mark_px=60_000_0)
    desk.place(ord_type="1", price=1, order_qty=100)
    assert "max_notional of desk: 6060 USD" in desk.ask(order_qty=1)


# --- orders sized in quote currency


def by_value(cash: str, qty: int, **more: object) -> dict[str, object]:
    return {"order_qty": qty, "options": {"cash_order_qty": cash}, **more}


@pytest.mark.parametrize(
    ("terms", "least", "at"),
    [
        (by_value("6000", 0, ord_type="1", price=None), 100, "60000"),  # a buyer at the best offer at best
        (by_value("6000", 0), 100, "60000"),
        (by_value("6000", 0, price=50_000_0), 120, "50000"),  # one that rests below it at its own price
        (by_value("6000", 0, price=70_000_0), 100, "60000"),
        (by_value("6000", 0, side="2", price=75_000_0), 80, "75000"),
        (by_value("5999", 0, side="2", ord_type="1", price=None), 100, "59990"),
        (by_value("6000.0001", 0), 101, "60000"),
    ],
)
def test_an_order_by_value_must_say_the_quantity_that_it_may_come_to(
    terms: dict[str, object], least: int, at: str
) -> None:
    desk = Desk()
    assert desk.ask(**terms | {"order_qty": least}) == ""
    refused = desk.ask(**terms | {"order_qty": least - 1})
    assert refused.startswith(f"order_qty: {BTC.qty_text(least - 1)}, and ")
    assert refused.endswith(f" may come to {BTC.qty_text(least)} at {at}")
    assert desk.checks.refused == {"too_little_quantity": 1}


def test_a_big_sale_by_value_comes_to_what_the_worst_level_pays() -> None:
    desk = Desk()
    sale = {"side": "2", "ord_type": "1", "price": None}
    desk.reached = (50_000_0, True)
    assert desk.ask(**by_value("500000", 10_000, **sale)) == ""
    assert "may come to 10 at 50000" in desk.ask(**by_value("500000", 9_999, **sale))


def test_without_a_book_it_passes_no_limit_on_quantity_and_others_judge_its_worth() -> None:
    terms = by_value("6000", 1, ord_type="1", price=None)
    for keys in ({"max_order_qty": {"BTC-USD": "9"}}, {"max_position": {"BTC-USD": "9"}}):
        desk = Desk(limit(**keys))
        desk.book = None
        assert desk.ask(**terms) == f"{next(iter(keys))} of desk: no book of BTC-USD is live to judge the price by"
    desk = Desk(limit(max_order_notional={"USD": "6000"}))
    desk.book = None
    assert desk.ask(**terms) == ""
    assert "order worth 6000.5 USD" in desk.ask(**by_value("6000.5", 1, ord_type="1", price=None))
    assert Desk().ask(**by_value("6000", 200)) == ""


def test_its_worth_is_what_it_says_whatever_its_quantity_is_at_its_price() -> None:
    desk = Desk(limit(max_order_notional={"USD": "6000"}))
    assert desk.ask(**by_value("6000", 200)) == "", "twice the quantity that it comes to"
    desk = Desk(limit(max_notional={"USD": "6000"}))
    assert desk.ask(**by_value("6000", 100)) == ""
    assert "12000 USD with this order" in desk.ask(**by_value("6000", 200)), "by which it counts while it works"


@pytest.mark.parametrize("text", ["", "x", "0", "-5", "nan", "inf", "1e13"])
def test_what_is_no_amount_is_refused_by_name(text: str) -> None:
    assert Desk().ask(**by_value(text, 100)).startswith(f"options.cash_order_qty: {text!r}")


def test_contracts_are_not_sized_by_value() -> None:
    desk = Desk()
    perp = Instrument("x", "BTC-USD", "B", 1, 3, contract=Contract(1, 2))
    assert "contracts" in desk.checks.new(new(**by_value("6000", 100)), perp, NOW)
