"""Rejects, cancels against fills, duplicates and self-trades: counted once, in their window, in their scope."""

from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from risk.triggers.counts import STEPS, CountBook, Window
from risk.triggers.days import Days
from risk.triggers.self_trades import SelfTradeBook
from tests.risk.triggers.kit import MS, NOW, SECOND, WALL, limit, refused, report, state

DAY = "2025-06-15"


def value(book: CountBook, at: int = NOW, which: int = 0) -> Decimal | None:
    return book.readings(at)[which].value


def tell(book: CountBook, event: object, at: int = NOW) -> None:
    book.event(event, at, at)


@given(
    st.lists(st.tuples(st.integers(0, 3 * 60 * 1000), st.integers(0, 90 * 1000)), max_size=50), st.integers(0, 70_000)
)
def test_a_window_never_counts_what_is_older_and_all_that_is_younger_by_a_step(
    events: list[tuple[int, int]], wait_ms: int
) -> None:
    """Events are heard in any order, some of them long after they happened, as journals are read at a start."""
    span, window, ats = 60 * SECOND, Window(60 * SECOND), []
    now = NOW
    for heard_ms, late_ms in sorted(events):
        now = NOW + heard_ms * MS
        ats.append(now - late_ms * MS)
        window.add(ats[-1], now)
    now += wait_ms * MS
    ages = [now - at for at in ats]
    total = window.total(now)
    assert sum(age < span - span // STEPS for age in ages) <= total <= sum(age < span for age in ages)


def test_rejects_of_a_minute_count_each_refusal_once() -> None:
    book = CountBook([limit(max_rejects_per_min=3)])
    one = report("8", exec_id="", order_id="", text="no such price")
    for event in (
        one,
        one,
        report("8", text="bad lot"),
        refused("r1"),
        refused("r1"),
        refused("r2", unknown_order=True),
    ):
        tell(book, event)
    for event in (report("8", origin="local"), report("8", drop_copy=True), report("0")):
        tell(book, event)
    (r,) = book.readings(NOW)
    assert (r.value, r.over) == (3, False)
    assert "last: a o: no" in r.detail
    tell(book, report("8"), NOW + 59 * SECOND)
    assert value(book, NOW + 59 * SECOND) == 4
    assert value(book, NOW + 60 * SECOND) == 1


def test_rejects_are_those_of_the_scope_by_strategy_too() -> None:
    scopes = (
        "session:a",
        "session:b",
        "strategy:mm",
        "strategy:other",
        "instrument:BTC-USD",
        "account:x/main",
        "venue:y",
    )
    book = CountBook([limit(s, max_rejects_per_min=3) for s in scopes])
    tell(book, report("8", strategy="mm"), NOW)
    tell(book, refused("r9", strategy="mm"), NOW)
    assert [int(r.value or 0) for r in book.readings(NOW)] == [2, 0, 2, 0, 2, 2, 0]


def test_a_second_journal_that_is_read_after_the_first_brings_nothing_old_into_the_window() -> None:
    book = CountBook([limit(max_rejects_per_min=3)])
    tell(book, report("8"))
    for _ in range(50):
        book.event(report("8", session="b"), NOW - 3_600 * SECOND, NOW)
    book.event(report("8", session="b"), NOW - 59 * SECOND, NOW)
    assert value(book) == 2
    assert value(book, NOW + SECOND) == 1


def test_cancels_of_a_trip_are_no_habit_of_a_strategy() -> None:
    book = CountBook([limit(max_cancels_per_fill="5", cancels_floor=3)])
    for session in ("a", "a", "b", "a"):
        book.event(report("4", session=session), NOW, NOW, lambda order: order.session == "b")
    assert value(book) == 3


def test_what_the_desk_cancels_with_all_that_it_has_is_no_habit_of_a_strategy_either() -> None:
    """At a stop, for a lost lease: its owner says so in the report."""
    book = CountBook([limit(max_cancels_per_fill="5", cancels_floor=3)])
    for _ in range(50):
        tell(book, report("4", swept=True))
    for _ in range(3):
        tell(book, report("4"))
    assert value(book) == 3


def test_cancels_per_fill_say_nothing_below_the_floor() -> None:
    book = CountBook([limit(max_cancels_per_fill="5", cancels_floor=12, cancels_window_s=60)])
    for _ in range(11):
        tell(book, report("4"), NOW)
    (r,) = book.readings(NOW)
    assert r.value is None
    assert "it says nothing below 12 cancels" in r.detail
    tell(book, report("4"), NOW)
    assert value(book) == 12  # no fill counts as one
    for _ in range(3):
        tell(book, report("F"), NOW)
    assert value(book) == 4
    assert value(book, NOW + 60 * SECOND) is None


def test_the_ratio_is_soft() -> None:
    (r,) = CountBook([limit(max_cancels_per_fill="5")]).readings(NOW)
    assert (r.rule.n, r.rule.m) == (2, 3)
    (r,) = CountBook([limit(max_cancels_per_fill="5", confirm_n=4, confirm_m=6)]).readings(NOW)
    assert (r.rule.n, r.rule.m) == (4, 6)


def test_a_duplicate_is_the_same_order_again_while_the_first_still_works() -> None:
    book = CountBook([limit(max_duplicates_per_min=0, duplicate_within_ms=500)])
    tell(book, state("1"), NOW)
    tell(book, state("1", "NEW"), NOW + 1)
    tell(book, state("1"), NOW + 2)  # said again: no other order
    assert value(book) == 0
    tell(book, state("2", price=10_001), NOW)
    tell(book, state("3", strategy="other"), NOW)
    tell(book, state("4", session="b"), NOW)
    tell(book, state("5"), NOW + 501 * MS)  # too late to be the same
    assert value(book, NOW + 501 * MS) == 0
    tell(book, state("6"), NOW + 600 * MS)
    (r,) = book.readings(NOW + 600 * MS)
    assert (r.value, r.over, r.detail) == (1, True, "last: a 6 in BTC-USD")


def test_an_order_that_is_gone_has_no_duplicate() -> None:
    book = CountBook([limit(max_duplicates_per_min=0)])
    tell(book, state("1"), NOW)
    tell(book, state("1", "CANCELED"), NOW + 1)
    tell(book, state("2"), NOW + 2)
    assert value(book) == 0


def test_an_order_that_was_replaced_and_is_gone_has_no_duplicate_and_is_forgotten() -> None:
    book = CountBook([limit(max_duplicates_per_min=0)])
    for n in range(100):
        at = NOW + n * MS
        book.event(state(f"o{n}", command_id=f"c{n}"), at, at)
        book.event(state(f"r{n}", "NEW", command_id=f"c{n}"), at, at)
        book.event(state(f"r{n}", "CANCELED", command_id=f"c{n}"), at, at)
    assert value(book, NOW + SECOND) == 0
    assert not book._placed
    assert not book._twins


def test_an_order_that_was_replaced_by_another_price_is_no_first_of_two() -> None:
    book = CountBook([limit(max_duplicates_per_min=0)])
    book.event(state("1", command_id="c1"), NOW, NOW)
    book.event(state("2", "NEW", command_id="c1", price=10_100), NOW + 1, NOW + 1)
    book.event(state("3", command_id="c2"), NOW + 2, NOW + 2)
    assert value(book) == 0


def test_orders_of_which_no_end_is_heard_are_not_kept_for_ever() -> None:
    book = CountBook([limit(max_duplicates_per_min=0, duplicate_within_ms=500)])
    for n in range(1_000):
        book.event(state(f"o{n}"), NOW + n * SECOND, NOW + n * SECOND)
    assert len(book._placed) <= 62
    assert value(book, NOW + 1_000 * SECOND) == 0


def self_trades(*limits: str) -> SelfTradeBook:
    return SelfTradeBook([limit(s, max_self_trades_per_day=0) for s in limits or ("desk",)], Days(ZoneInfo("UTC")))


def test_one_trade_with_our_orders_on_both_sides_is_one_self_trade() -> None:
    book = self_trades("desk", "session:a", "session:b", "session:c", "strategy:q")
    bought = report(side="1", trade_id="T1", strategy="q")
    sold = report(side="2", trade_id="T1", session="b")
    for event in (bought, bought, sold, sold, report(side="2", trade_id="T1", session="b", drop_copy=True)):
        book.event(event, WALL)
    assert [r.value for r in book.readings(DAY)] == [1, 1, 1, 0, 1]
    assert book.readings(DAY)[0].detail == "last: a bought from b, x BTC-USD trade T1"


def test_two_trades_are_no_self_trade() -> None:
    book = self_trades()
    pairs = (
        (report(side="1", trade_id="T1"), report(side="2", trade_id="T2")),
        (report(side="1", trade_id="T3"), report(side="1", trade_id="T3")),
        (report(side="1", trade_id="T4"), report(side="2", trade_id="T4", instrument="ETH-USD")),
        (report(side="1", trade_id="T5", cl_ord_id="same"), report(side="2", trade_id="T5", cl_ord_id="same")),
        (report(side="1"), report(side="2")),  # nothing to tell it by
    )
    for pair in pairs:
        for event in pair:
            book.event(event, WALL)
    assert book.readings(DAY)[0].value == 0


def test_without_trade_ids_price_quantity_and_moment_tell() -> None:
    book = self_trades()
    book.event(report(side="1", transact_ns=5 * SECOND), WALL)
    book.event(report(side="2", transact_ns=6 * SECOND), WALL)
    assert not book.found
    book.event(report(side="2", transact_ns=5 * SECOND), WALL)
    assert len(book.found) == 1


def test_self_trades_are_the_days_and_outlive_a_restart() -> None:
    book = self_trades()
    for side in "12":
        book.event(report(side=side, trade_id="T1", transact_ns=WALL), WALL)
    after = SelfTradeBook(book.limits, Days(ZoneInfo("UTC")), book.found.values())
    for side in "12":  # the journals are read again
        after.event(report(side=side, trade_id="T1", transact_ns=WALL), WALL)
    assert after.readings(DAY)[0].value == 1
    assert after.readings("2025-06-16")[0].value == 0


def test_many_orders_alike_cost_each_no_more_than_the_first() -> None:
    """The nearest before it is the last one: it is not searched for among all that work."""
    book = CountBook([limit(max_duplicates_per_min=1, duplicate_within_ms=1_000)])
    for i in range(5_000):
        tell(book, state(f"o{i}"), NOW + i * 5_000 * MS // 1_000)
    assert value(book, NOW + 25 * SECOND) == 4_999
