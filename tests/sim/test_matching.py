"""The matching engine: price-time priority, conservation, order types."""

import zlib
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.matching import Market
from sim.orders import BUY, SELL, Event, Order, Owner, Stp, Trigger, Update

ALICE, BOB = Owner("alice"), Owner("bob")


class Bench:
    """A market with a counter for ids and a clock of its own."""

    def __init__(self) -> None:
        self.market = Market("X")
        self.now = 0
        self.events: list[Event] = []
        self.updates: list[Update] = []

    def drain(self) -> list[Event]:
        events, update = self.market.drain(self.now)
        self.events += events
        if update:
            self.updates.append(update)
        return events

    def new(self, side: int, qty: int, price: int | None, owner: Owner = ALICE, **more: object) -> Order:
        self.now += 1
        order = Order(f"O{self.now}", f"c{self.now}", "X", owner, side, qty, price, **more)  # type: ignore[arg-type]
        self.market.submit(order, self.now)
        return order


@pytest.fixture
def bench() -> Bench:
    return Bench()


def kinds(events: list[Event]) -> str:
    return "".join(e.kind for e in events)


def test_better_price_trades_first_then_older_order(bench: Bench) -> None:
    late = bench.new(SELL, 5, 101)
    first = bench.new(SELL, 5, 100)
    second = bench.new(SELL, 5, 100)
    bench.drain()
    bench.new(BUY, 12, 101, BOB)
    makers = [(e.order, e.last_qty, e.last_px) for e in bench.drain() if e.kind == "F" and not e.aggressor]
    assert makers == [(first, 5, 100), (second, 5, 100), (late, 2, 101)]


def test_an_order_that_trades_is_reported_new_first(bench: Bench) -> None:
    bench.new(SELL, 5, 100)
    bench.drain()
    bench.new(BUY, 5, 100, BOB)
    assert [(e.kind, e.order.owner.account) for e in bench.drain()] == [("0", "bob"), ("F", "alice"), ("F", "bob")]


def test_ioc_rest_is_ended_and_never_rests(bench: Bench) -> None:
    bench.new(SELL, 5, 100)
    bench.new(BUY, 9, 100, BOB, tif="3")
    assert kinds(bench.drain()) == "00FFC"
    assert bench.market.best() == (None, None)


def test_fok_fills_whole_or_not_at_all(bench: Bench) -> None:
    bench.new(SELL, 5, 100)
    killed = bench.new(BUY, 6, 100, BOB, tif="4")
    assert (killed.status, killed.cum) == ("C", 0)
    filled = bench.new(BUY, 5, 100, BOB, tif="4")
    assert (filled.status, filled.cum) == ("2", 5)


def test_post_only_that_would_take_is_ended_untraded(bench: Bench) -> None:
    bench.new(SELL, 5, 100)
    order = bench.new(BUY, 5, 100, BOB, post_only=True)
    assert (order.status, order.cum, bench.drain()[-1].reason) == ("4", 0, "post_only")


def test_market_order_without_liquidity_expires(bench: Bench) -> None:
    order = bench.new(BUY, 5, None)
    assert order.status == "C"
    assert bench.drain()[-1].reason == "no_liquidity"


def test_market_order_by_value_spends_no_more_than_its_value(bench: Bench) -> None:
    bench.new(SELL, 5, 100)
    bench.new(SELL, 5, 110)
    order = bench.new(BUY, 0, None, BOB, quote_qty=800)
    assert order.cum == 5 + 300 // 110
    assert order.notional <= 800
    assert order.done


def test_gtd_expires_when_due_and_not_before(bench: Bench) -> None:
    order = bench.new(BUY, 5, 100, tif="6", expire_ns=1000)
    bench.market.advance(999)
    assert not order.done
    bench.market.advance(1000)
    assert order.status == "C"


def test_scheduled_order_is_hidden_until_its_start(bench: Bench) -> None:
    bench.new(BUY, 5, 100, start_ns=500)
    assert kinds(bench.drain()) == "A"
    assert bench.market.public_levels(BUY) == []
    bench.market.advance(500)
    assert kinds(bench.drain()) == "0"
    assert bench.market.public_levels(BUY) == [(100, 5)]


def test_stop_sleeps_until_its_price_trades(bench: Bench) -> None:
    bench.new(BUY, 5, 90)
    stop = bench.new(SELL, 5, None, BOB, trigger=Trigger(95, up=False))
    bench.new(BUY, 1, 96)
    bench.new(SELL, 1, 96)
    assert not stop.done
    bench.new(BUY, 1, 95)
    bench.new(SELL, 1, 95)
    assert (stop.status, stop.cum) == ("2", 5)
    assert "D" in kinds(bench.drain())


def test_trailing_stop_follows_and_fires_on_the_way_back(bench: Bench) -> None:
    for px in (100, 110):
        bench.new(SELL, 1, px)
        bench.new(BUY, 1, px)
        if px == 100:
            stop = bench.new(SELL, 2, None, BOB, trigger=Trigger(95, up=False, trail=5))
    assert stop.trigger is not None
    assert stop.trigger.px == 105
    bench.new(BUY, 9, 104)
    bench.new(SELL, 1, 104)
    assert (stop.status, stop.cum) == ("2", 2)


def test_iceberg_shows_a_slice_and_requeues_behind(bench: Bench) -> None:
    ice = bench.new(SELL, 10, 100, display=3)
    plain = bench.new(SELL, 2, 100)
    assert bench.market.public_levels(SELL) == [(100, 5)]
    bench.new(BUY, 4, 100, BOB)
    assert (ice.cum, plain.cum) == (3, 1)
    assert bench.market.public_levels(SELL) == [(100, 4)]
    assert [o.order_id for o in bench.market.public_orders(SELL)] == [plain.order_id, ice.order_id]


@pytest.mark.parametrize(
    ("mode", "taker_left", "maker_left"),
    [(Stp.CANCEL_TAKER, 0, 5), (Stp.CANCEL_MAKER, 7, 0), (Stp.CANCEL_BOTH, 0, 0), (Stp.DECREMENT, 2, 0)],
)
def test_self_trade_prevention(bench: Bench, mode: Stp, taker_left: int, maker_left: int) -> None:
    maker = bench.new(SELL, 5, 100)
    taker = bench.new(BUY, 7, 100, stp=mode)
    assert (taker.leaves, maker.leaves) == (taker_left, maker_left)
    assert not [e for e in bench.drain() if e.kind == "F"]


def test_replace_down_keeps_the_place_and_up_loses_it(bench: Bench) -> None:
    a, b = bench.new(BUY, 5, 100), bench.new(BUY, 5, 100)
    assert bench.market.replace(a, 9, "a2", qty=4, price=100)
    assert [o.order_id for o in bench.market.public_orders(BUY)] == [a.order_id, b.order_id]
    assert bench.market.replace(a, 9, "a3", qty=6, price=100)
    assert [o.order_id for o in bench.market.public_orders(BUY)] == [b.order_id, a.order_id]
    assert (a.origin, a.cl_ord_id) == ("a2", "a3")


def test_replace_to_a_crossing_price_trades(bench: Bench) -> None:
    bench.new(SELL, 5, 100)
    order = bench.new(BUY, 5, 90, BOB)
    bench.market.replace(order, 9, "n", qty=5, price=100)
    assert order.status == "2"


def test_replace_below_filled_ends_the_order_at_what_is_filled(bench: Bench) -> None:
    order = bench.new(BUY, 5, 100)
    bench.new(SELL, 3, 100, BOB)
    bench.drain()
    bench.market.replace(order, 9, "n", qty=2, price=100)
    assert (order.qty, order.cum, order.status) == (3, 3, "4")
    assert kinds(bench.drain()) == "54"


actions = st.lists(
    st.tuples(
        st.sampled_from("nnnnnncrt"),
        st.integers(0, 1),
        st.integers(1, 20),
        st.integers(90, 110),
        st.sampled_from(["", "ioc", "fok", "post", "ice", "market", "stop", "value"]),
        st.sampled_from([ALICE, BOB]),
        st.sampled_from(list(Stp)),
    ),
    max_size=60,
)


def _order_fields(kind: str, side: int, qty: int, price: int) -> dict[str, object]:
    more: dict[str, object] = {"ioc": {"tif": "3"}, "fok": {"tif": "4"}, "post": {"post_only": True}}.get(kind, {})
    if kind == "ice":
        more = {"display": max(1, qty // 3)}
    if kind == "stop":
        more = {"trigger": Trigger(price, up=side == BUY)}
    if kind == "value":
        more = {"quote_qty": qty * price}
    return more


class Ledger:
    """Follows the public feed only, as a subscriber would."""

    def __init__(self) -> None:
        self.levels: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.orders: dict[str, tuple[int, int, int]] = {}

    def apply(self, update: Update) -> None:
        for side, px, size in update.levels:
            self.levels[side].pop(px, None)
            if size:
                self.levels[side][px] = size
        for change in update.orders:
            assert (change.order_id in self.orders) == (change.action != 0)
            if change.action == 2:
                del self.orders[change.order_id]
            else:
                self.orders[change.order_id] = (change.side, change.px, change.qty)


@settings(max_examples=250, deadline=None)
@given(actions)
def test_random_histories_keep_the_rules(steps: list[tuple[str, int, int, int, str, Owner, Stp]]) -> None:
    bench, ledger = Bench(), Ledger()
    orders: list[Order] = []
    for what, side, qty, price, kind, owner, stp in steps:
        live = [o for o in orders if not o.done]
        if what == "n" or not live:
            px = None if kind in {"market", "value"} else price
            size = 0 if kind == "value" else qty
            orders.append(bench.new(side, size, px, owner, stp=stp, **_order_fields(kind, side, qty, price)))
        elif what == "c":
            assert bench.market.cancel(live[qty % len(live)], bench.now)
        elif what == "r":
            target = live[qty % len(live)]
            bench.market.replace(target, bench.now, "r", qty=qty, price=None if target.price is None else price)
        else:
            bench.market.advance(bench.now)
        bench.drain()
        while bench.updates:
            ledger.apply(bench.updates.pop(0))
        _check(bench, orders, ledger)


def _check(bench: Bench, orders: list[Order], ledger: Ledger) -> None:
    market = bench.market
    bid, ask = market.best()
    assert bid is None or ask is None or bid < ask
    traded: dict[str, int] = defaultdict(int)
    bought = sold = 0
    for event in bench.events:
        if event.kind == "F":
            traded[event.order.order_id] += event.last_qty
            bought += event.last_qty * (event.order.side == BUY)
            sold += event.last_qty * (event.order.side == SELL)
    assert bought == sold
    for order in orders:
        assert order.cum == traded[order.order_id] <= max(order.qty, order.cum)
        assert (order.order_id in market.orders) != order.done
        assert order.leaves >= 0
    for side in (BUY, SELL):
        assert dict(market.public_levels(side)) == ledger.levels[side]
        resting = market.public_orders(side)
        for px in {o.price for o in resting}:
            queue = [o.queue_ns for o in resting if o.price == px]
            assert queue == sorted(queue)
    assert {o.order_id: (o.side, o.price, o.shown) for s in (0, 1) for o in market.public_orders(s)} == ledger.orders


def test_the_same_history_gives_the_same_bytes() -> None:
    def run() -> int:
        bench = Bench()
        for i in range(200):
            bench.new(i * 7 % 2, i % 13 + 1, 100 + i * 31 % 11 - 5)
        return zlib.crc32(repr([(e.kind, e.order.order_id, e.last_px) for e in bench.drain()]).encode())

    assert run() == run()
