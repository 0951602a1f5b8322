"""Limits add up the rows of all owners, and say so as soon as a figure is over."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import ConfigError, QuarterdeckError
from base.instruments import Contract
from base.kill_config import LimitConfig
from ipc.exposure import UNOPENED, UNPRICED, ExposureRow, notional
from risk.limits import LimitBook, OwnerFigures
from risk.triggers.watch import LimitWatch
from tests.risk.kill_world import MS, topology

OWNERS = topology().owners
NOW = 1_000_000_000_000


def limit(scope: str = "desk", **figures: object) -> LimitConfig:
    return msgspec.convert({"scope": scope, **figures}, LimitConfig)


def row(instrument: str = "BTC-USD", venue: str = "x", **figures: int) -> ExposureRow:
    return ExposureRow(venue=venue, instrument=instrument, px_scale=2, qty_scale=8, **figures)


def owner(*rows: ExposureRow, sent: int = 0, started_ns: int = 1) -> OwnerFigures:
    return OwnerFigures(rows, sent, started_ns)


def trips(book: LimitBook, figures: dict[str, OwnerFigures], now: int = NOW) -> list[str]:
    return [f"{r.scope} {r.figure}" for r in book.readings(figures, now) if r.over]


def test_open_orders_add_up_within_the_scope() -> None:
    figures = {
        "a": owner(row(open_orders=3)),
        "b": owner(row(open_orders=3)),
        "c": owner(row("BTC-USDT", open_orders=3)),
    }
    for scope, most, over in (("desk", 9, False), ("desk", 8, True), ("venue:x", 6, False), ("venue:x", 5, True),
                              ("session:b", 3, False), ("session:b", 2, True), ("account:x/main", 5, True),
                              ("instrument:BTC-USDT", 2, True), ("instrument:BTC-USD", 6, False)):  # fmt: skip
        assert bool(trips(LimitBook([limit(scope, max_open_orders=most)], OWNERS), figures)) == over, scope


def test_a_limit_of_zero_trips_at_the_first_order() -> None:
    book = LimitBook([limit(max_open_orders=0)], OWNERS)
    assert trips(book, {"a": owner(row())}) == []
    assert trips(book, {"a": owner(row(open_orders=1))}) == ["desk open orders"]


def test_positions_net_over_sessions_and_count_by_size() -> None:
    book = LimitBook([limit(max_position={"BTC-USD": "1.5"})], OWNERS)
    one = 10**8
    assert trips(book, {"a": owner(row(position=2 * one)), "b": owner(row(position=-one))}) == []
    assert trips(book, {"a": owner(row(position=-2 * one))}) == ["desk position in BTC-USD"]
    assert trips(book, {"a": owner(row("ETH-USD", position=-2 * one))}) == []


def test_notional_is_gross_and_by_quote_currency() -> None:
    book = LimitBook([limit(max_notional={"USD": "100"})], OWNERS)
    third = notional(10_000, 2, 33 * 10**6, 8)  # 100.00 * 0.33
    assert trips(book, {"a": owner(row(buy_notional=third, sell_notional=third, position_notional=third))}) == []
    over = row(buy_notional=third, sell_notional=third, position_notional=2 * third)
    assert trips(book, {"a": owner(over)}) == ["desk notional in USD"]
    assert trips(book, {"c": owner(row("BTC-USDT", "y", buy_notional=9 * third))}) == []


def test_the_rate_counts_orders_of_the_last_second() -> None:
    book = LimitBook([limit(max_orders_per_s=10)], OWNERS)
    assert trips(book, {"a": owner(sent=1000)}) == []  # what was sent before the first look is not the last second's
    assert trips(book, {"a": owner(sent=1010)}, NOW + 100 * MS) == []
    assert trips(book, {"a": owner(sent=1011)}, NOW + 200 * MS) == ["desk orders a second"]
    assert trips(book, {"a": owner(sent=1011)}, NOW + 1300 * MS) == []


def test_a_restarted_owner_begins_anew_and_what_it_sent_counts() -> None:
    book = LimitBook([limit(max_orders_per_s=10)], OWNERS)
    assert trips(book, {"a": owner(sent=500)}) == []
    assert trips(book, {"a": owner(sent=8, started_ns=2)}, NOW + 20 * MS) == []
    assert trips(book, {"a": owner(sent=11, started_ns=2)}, NOW + 40 * MS) == ["desk orders a second"]


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 8)), min_size=1, max_size=40))
def test_the_rate_never_misses_a_burst_within_a_second(steps: list[tuple[int, int]]) -> None:
    book = LimitBook([limit(max_orders_per_s=10)], OWNERS)
    book.readings({"a": owner(sent=0)}, NOW)
    now, sent, sends = NOW, 0, []
    for wait_ms, orders in steps:
        now += wait_ms * MS
        sent += orders
        sends.append((now, orders))
        burst = sum(n for at, n in sends if at > now - 1_000_000_000)
        if burst > 10:
            assert trips(book, {"a": owner(sent=sent)}, now)
        else:
            book.readings({"a": owner(sent=sent)}, now)


def test_figures_that_go_by_rows_act_at_once_and_name_value_and_limit() -> None:
    book, watch = LimitBook([limit("session:a", max_open_orders=2)], OWNERS), LimitWatch()
    (outcome,) = watch.look(book.readings({"a": owner(row(open_orders=7))}, NOW), NOW)
    assert outcome.kind == "trip"
    assert str(outcome) == "open orders 7 of session:a: over 2"


def test_a_limit_of_a_strategy_trips_nothing() -> None:
    book = LimitBook([limit("strategy:mm", max_open_orders=0, max_orders_per_s=0)], OWNERS)
    assert book.readings({"a": owner(row(open_orders=7), sent=100)}, NOW) == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"scope": "strategy:mm", "max_position": {"BTC-USD": "1"}}, "not kept by strategy"),
        ({"scope": "strategy:mm", "max_notional": {"USD": "1"}}, "not kept by strategy"),
        ({"scope": "strategy:mm", "max_open_orders": 1, "action": "warn"}, "max_open_orders: of a strategy it refuses"),
        ({"scope": "instrument:BTC-USD", "max_orders_per_s": 1}, "by session"),
        ({"scope": "planet:mars"}, "no scope"),
        ({"scope": "desk", "max_position": {"BTC-USD": "lots"}}, r"kill.limits\[0\].max_position.BTC-USD"),
        ({"scope": "desk", "max_notional": {"USD": "-1"}}, "not a limit"),
        ({"scope": "desk", "max_notional": {"USD": "NaN"}}, "not a limit"),
        ({"scope": "desk", "max_open_orders": -1}, "negative"),
    ],
)
def test_a_limit_that_cannot_be_measured_is_an_error_at_start(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(QuarterdeckError, match=says) as e:
        LimitBook([msgspec.convert(wrong, LimitConfig)], OWNERS)
    assert isinstance(e.value, ConfigError) or "scope" in str(e.value)


@given(st.integers(0, 10**12), st.integers(0, 18), st.integers(0, 10**12))
def test_positions_are_compared_exactly(value: int, scale: int, most: int) -> None:
    text = f"{Decimal(most).scaleb(-scale):f}"
    book = LimitBook([limit(max_position={"BTC-USD": text})], OWNERS)
    r = ExposureRow(venue="x", instrument="BTC-USD", px_scale=2, qty_scale=scale, position=-value)
    assert bool(trips(book, {"a": owner(r)})) == (value > most)


def readings(book: LimitBook, *rows: ExposureRow) -> dict[str, tuple[Decimal | None, str, str]]:
    return {r.figure: (r.value, r.unit, r.detail) for r in book.readings({"a": owner(*rows)}, NOW)}


def test_what_is_not_known_is_said_and_trips_nothing_unless_what_is_known_is_over_already() -> None:
    book = LimitBook([limit(max_position={"BTC-USD": "1"}, max_notional={"USD": "100"})], OWNERS)
    worth = notional(10_000, 2, 33 * 10**6, 8)
    said = readings(book, row(position=9 * 10**8, flags=UNOPENED), row("ETH-USD", buy_notional=worth))
    assert said["position in BTC-USD"] == (None, "BTC", "unknown: the venue has not said what was held of BTC-USD")
    assert said["notional in USD"][0] is None
    over = {"a": owner(row(flags=UNOPENED), row("ETH-USD", buy_notional=4 * worth))}
    assert trips(book, over) == ["desk notional in USD"], "what is not known can only add to it"
    unpriced = readings(book, row(position=10**8, flags=UNPRICED))
    assert unpriced["position in BTC-USD"][0] == 1
    assert unpriced["notional in USD"][::2] == (None, "unknown: nothing says what BTC-USD is worth")


def test_positions_count_what_contracts_stand_for() -> None:
    name, most = "BTC-USD-PERP", {"BTC-USD-PERP": "1"}
    kinds = {
        "linear": (Contract(1, 3), Decimal("0.005"), "BTC"),
        "inverse": (Contract(10, 0, inverse=True), Decimal(50), "USD"),
        "spot-like": (Contract(1, 0), Decimal(5), "BTC"),
    }  # fmt: skip
    for contract, value, unit in kinds.values():
        book = LimitBook([limit(max_position=most)], OWNERS, {("x", name): contract})
        assert readings(book, row(name, position=5 * 10**8))[f"position in {name}"][:2] == (value, unit)
    untold = LimitBook([limit(max_position=most)], OWNERS, {("x", name): None})
    assert readings(untold, row(name, position=5 * 10**8))[f"position in {name}"] == (
        None, "BTC", f"unknown: nothing says what a contract of {name} is worth",
    )  # fmt: skip
