"""The desk's orders against recorded levels: they trade as the model says and never show in public."""

import pytest

from sim.orders import BUY, SELL, Order, Owner, Trigger
from sim.replaymarket import ReplayMarket

DESK = Owner("desk", "T", 1)


class Bench:
    def __init__(self) -> None:
        self.market = ReplayMarket("X")
        self.market.levels([(BUY, 99, 10), (BUY, 98, 10), (SELL, 101, 10), (SELL, 102, 10)], 0)
        self.count = 0

    def new(self, side: int, qty: int, price: int | None, **more: object) -> Order:
        self.count += 1
        order = Order(f"D{self.count}", f"c{self.count}", "X", DESK, side, qty, price, **more)  # type: ignore[arg-type]
        self.market.submit(order, self.count)
        return order


@pytest.fixture
def bench() -> Bench:
    return Bench()


def fills(bench: Bench) -> list[tuple[int, int, bool]]:
    events, update = bench.market.drain(0)
    assert not update  # nothing of the desk is public
    return [(e.last_px, e.last_qty, e.aggressor) for e in events if e.kind == "F"]


def test_a_taker_walks_the_recorded_levels_and_rests_with_what_is_left(bench: Bench) -> None:
    order = bench.new(BUY, 25, 102)
    assert fills(bench) == [(101, 10, True), (102, 10, True)]
    assert (order.leaves, order.status) == (5, "1")


def test_what_was_taken_is_gone_until_the_recording_says_the_level_again(bench: Bench) -> None:
    bench.new(BUY, 10, 101)
    later = bench.new(BUY, 5, 101)
    assert later.cum == 0
    bench.market.levels([(SELL, 101, 7)], 9)
    assert later.cum == 5


def test_a_resting_order_waits_behind_the_recorded_queue(bench: Bench) -> None:
    order = bench.new(BUY, 4, 99)
    bench.market.printed(99, 8, SELL, 5)
    assert order.cum == 0
    bench.market.printed(99, 5, SELL, 6)
    assert order.cum == 3


def test_a_shrinking_level_shortens_the_queue_ahead(bench: Bench) -> None:
    order = bench.new(BUY, 4, 99)
    bench.market.levels([(BUY, 99, 2)], 4)
    bench.market.printed(99, 3, SELL, 5)
    assert order.cum == 1


def test_a_trade_through_the_price_fills(bench: Bench) -> None:
    order = bench.new(BUY, 4, 99)
    bench.market.printed(98, 50, SELL, 5)
    assert (order.status, fills(bench)) == ("2", [(99, 4, False)])


def test_the_other_side_coming_to_the_price_fills_up_to_its_size(bench: Bench) -> None:
    order = bench.new(SELL, 9, 100)
    bench.market.levels([(BUY, 100, 4)], 5)
    assert (order.cum, fills(bench)) == (4, [(100, 4, False)])


def test_post_only_fok_and_market_orders_see_the_recorded_book(bench: Bench) -> None:
    assert bench.new(BUY, 1, 101, post_only=True).status == "4"
    assert bench.new(BUY, 21, 102, tif="4").status == "C"
    assert bench.new(BUY, 20, 102, tif="4").status == "2"
    assert bench.new(SELL, 15, None).cum == 15


def test_recorded_trades_fire_triggers(bench: Bench) -> None:
    stop = bench.new(SELL, 3, None, trigger=Trigger(98, up=False))
    bench.market.printed(99, 1, SELL, 5)
    assert stop.status == "0"
    bench.market.printed(98, 1, SELL, 6)
    assert (stop.status, stop.cum) == ("2", 3)
