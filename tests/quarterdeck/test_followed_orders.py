"""Orders that are followed, by both clients, against the bus side of a trading process."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest

import quarterdeck as qd
from base.config import DeskConfig
from tests.quarterdeck.stub import TradingStub, make_config


@pytest.fixture
def config(tmp_path: Path) -> DeskConfig:
    return make_config(tmp_path)


@pytest.fixture
def trading(config: DeskConfig) -> Iterator[TradingStub]:
    stub = TradingStub(config)
    yield stub
    stub.stop()


@pytest.fixture
def desk(config: DeskConfig) -> Iterator[qd.Desk]:
    with qd.connect(config.path, strategy="s", client_id="me", timeout=10) as desk:
        yield desk


def with_async(config: DeskConfig, story: Callable[[qd.AsyncDesk], Awaitable[None]], timeout: float = 10) -> None:
    async def main() -> None:
        async with qd.aconnect(config.path, strategy="s", client_id="me", timeout=timeout) as desk:
            await asyncio.wait_for(story(desk), 60)

    asyncio.run(main())


# -- synchronous -------------------------------------------------------------------------------------------------------


def test_an_order_is_followed_to_its_end(desk: qd.Desk, trading: TradingStub) -> None:
    order = desk.place("v", "BTC-USD", qd.BUY, "1", "100.5")
    assert (order.cl_ord_id, order.state) == ("order-1", "PENDING_NEW")
    trading.move("order-1", "NEW", order_id="O1")
    assert order.wait("NEW", timeout=60) == "NEW"
    trading.fill("order-1", 400, 1005, "x1")
    trading.fill("order-1", 600, 1004, "x2")
    assert order.wait(timeout=60) == "FILLED"
    assert (order.filled, order.avg_px, len(order.fills)) == (1000, Fraction(10044, 100), 2)
    assert desk.poll() == []  # its topic was never subscribed to by the strategy


def test_what_a_strategy_hears_waits_for_it_while_it_waits_for_an_order(desk: qd.Desk, trading: TradingStub) -> None:
    desk.subscribe("exec.v-trd", history=True)
    order = desk.place("v", "BTC-USD", qd.SELL, "1", "100.5")
    trading.fill("order-1", 1000, 1005, "x1")
    assert order.wait(timeout=60) == "FILLED"
    heard = [type(d.event).__name__ for d in desk.poll(1)]
    assert heard == ["OrderState", "ExecutionReport", "OrderState"]


@pytest.mark.parametrize("subscribed", [False, True])
def test_an_order_that_is_filled_before_its_answer_is_not_missed(
    desk: qd.Desk, trading: TradingStub, subscribed: bool
) -> None:
    trading.instant = True
    if subscribed:
        desk.subscribe("exec.v-trd", replay=True)  # takes its time to reach the process
    order = desk.place("v", "BTC-USD", qd.BUY, "1", "100.5")
    assert order.wait(timeout=60) == "FILLED"
    assert (len(order.fills), order.untold) == (1, 0)


def test_a_refused_order_carries_reason_and_order(desk: qd.Desk, trading: TradingStub) -> None:
    trading.refuse = "gate: desk TRIPPED"
    with pytest.raises(qd.OrderRejected, match="v-trd: gate: desk TRIPPED") as caught:
        desk.place("v", "BTC-USD", qd.BUY, "1", "1")
    assert (caught.value.reason, caught.value.order.state) == ("gate: desk TRIPPED", "REJECTED")


def test_an_order_that_is_not_in_time_says_where_it_is(desk: qd.Desk, trading: TradingStub) -> None:
    order = desk.place("v", "BTC-USD", qd.BUY, "1", "100.5")
    trading.move("order-1", "UNCERTAIN", reason="process restarted")
    order.wait("UNCERTAIN", timeout=60)
    with pytest.raises(qd.OrderTimeout, match=r"UNCERTAIN \(process restarted\)") as caught:
        order.wait(timeout=0.01)
    assert isinstance(caught.value, TimeoutError)


def test_cancel_and_replace_go_to_the_orders_own_session(desk: qd.Desk, trading: TradingStub) -> None:
    order = desk.place("v", "BTC-USD", qd.BUY, "1", "100.5")
    order.replace("2", "101")
    order.cancel()
    assert [type(c).__name__ for c in trading.commands] == ["NewOrder", "ReplaceOrder", "CancelOrder"]
    trading.move("order-1", "CANCELED", leaves_qty=0)
    assert order.wait("FILLED", timeout=60) == "CANCELED"  # it ended, if otherwise


def impatient(desk: qd.Desk | qd.AsyncDesk) -> None:
    """Everything is connected: what waits from now on waits for an answer that does not come."""
    desk.timeout = 1.0


def test_without_an_answer_it_is_uncertain_until_the_process_tells(desk: qd.Desk, trading: TradingStub) -> None:
    desk.place("v", "BTC-USD", qd.BUY, "1", "1")
    trading.dumb = True
    impatient(desk)
    with pytest.raises(qd.OrderUncertain, match="its fate is unknown") as caught:
        desk.place("v", "BTC-USD", qd.BUY, "1", "1")
    order = caught.value.order
    assert order.wait("PENDING_NEW", timeout=60) == "PENDING_NEW"
    assert order.cl_ord_id == "order-2"


def test_what_was_never_taken_is_found_out_and_not_guessed(desk: qd.Desk, trading: TradingStub) -> None:
    desk.place("v", "BTC-USD", qd.BUY, "1", "1")
    trading.deaf = True
    impatient(desk)
    with pytest.raises(qd.OrderUncertain) as caught:
        desk.place("v", "BTC-USD", qd.BUY, "1", "1")
    order: qd.Order = caught.value.order
    assert order.state == "UNCERTAIN"
    with pytest.raises(qd.CommandError, match="whether it became an order is not known"):
        order.cancel()
    with pytest.raises(qd.OrderRejected, match=r"never taken|deadline passed"):
        order.wait(timeout=60)


def test_orders_of_an_earlier_life_come_back_with_their_fills_each_once(
    config: DeskConfig, trading: TradingStub
) -> None:
    with qd.connect(config.path, strategy="s", timeout=10) as before:
        first = before.place("v", "BTC-USD", qd.BUY, "1", "100.5")
        before.place("v", "BTC-USD", qd.BUY, "1", "99.5")
        trading.fill("order-1", 400, 1005, "x1")
        first.wait("PARTIALLY_FILLED", timeout=60)
    trading.fill("order-1", 100, 1003, "x2")
    trading.move("order-2", "CANCELED", leaves_qty=0)
    with qd.connect(config.path, strategy="s", timeout=10) as desk:
        (order,) = desk.open_orders()
        trading.fill("order-1", 500, 1004, "x3")
        assert order.wait(timeout=60) == "FILLED"
        assert [f.exec_id for f in order.fills] == ["x1", "x2", "x3"]
        assert desk.order("order-1") is order
        assert desk.order("order-2").state == "CANCELED"
        with pytest.raises(qd.CommandError, match="no trading process knows an order 'order-9'"):
            desk.order("order-9")


def test_a_restart_of_the_process_loses_and_doubles_nothing(config: DeskConfig) -> None:
    before = TradingStub(config)
    with qd.connect(config.path, strategy="s", timeout=10) as desk:
        order = desk.place("v", "BTC-USD", qd.BUY, "1", "100.5")
        before.fill("order-1", 400, 1005, "x1")
        order.wait("PARTIALLY_FILLED", timeout=60)
        before.fill("order-1", 100, 1005, "x2")  # perhaps nobody hears of it before the end
        left = before.orders
        before.stop()
        after = TradingStub(config)
        try:
            after.orders = left
            after.move("order-1", "UNCERTAIN", reason="process restarted")
            after.fill("order-1", 500, 1005, "x3")
            assert order.wait(timeout=60) == "FILLED"
            assert [f.exec_id for f in order.fills] == ["x1", "x2", "x3"]
        finally:
            after.stop()


# -- callbacks ---------------------------------------------------------------------------------------------------------


def test_callbacks_get_the_events_of_their_kind_and_topic(desk: qd.Desk, trading: TradingStub) -> None:
    states: list[str] = []
    fills: list[int | None] = []
    ticks: list[int] = []

    def filled(event: qd.ExecutionReport, at: qd.Delivery) -> None:
        assert at.topic == "exec.v-trd"
        fills.append(event.last_qty)

    def tick() -> None:
        ticks.append(1)
        if fills:
            desk.stop()

    desk.on(qd.OrderState, lambda event, _: states.append(event.state), topic="exec.v-trd", history=True)
    desk.on(qd.ExecutionReport, filled)
    desk.on(qd.ExecutionReport, lambda event, _: fills.append(-1), "exec.other")
    desk.every(0.001, tick)
    desk.buy("v", "BTC-USD", "1", "100.5")
    trading.fill("order-1", 1000, 1005, "x1")
    desk.run(60)
    assert fills == [1000]
    assert ticks
    assert states[0] == "PENDING_NEW"
    desk.stop()
    desk.run()  # was told to stop before it began


def test_a_callback_that_raises_is_named_and_the_rest_is_still_there(desk: qd.Desk, trading: TradingStub) -> None:
    seen: list[str] = []

    def careful(event: qd.OrderState, _: qd.Delivery) -> None:
        if event.cl_ord_id == "order-1":
            raise KeyError("oops")
        seen.append(event.cl_ord_id)
        desk.stop()

    desk.on(qd.OrderState, careful, topic="exec.v-trd", history=True)
    for _ in range(2):
        desk.buy("v", "BTC-USD", "1", "100.5")
    with pytest.raises(
        qd.CallbackError, match=r"careful, called for exec\.v-trd .*order-1.*raised KeyError: 'oops'"
    ) as e:
        desk.run(60)
    assert isinstance(e.value.__cause__, KeyError)
    assert e.value.delivery.seq == 1
    desk.run(60)
    assert seen == ["order-2"]


def test_a_coroutine_is_no_callback_of_the_synchronous_client(desk: qd.Desk) -> None:
    desk.every(0.001, lambda: asyncio.sleep(0))
    with pytest.raises(TypeError, match=r"need qd\.aconnect"):
        desk.run(60)


# -- asyncio -----------------------------------------------------------------------------------------------------------


def test_the_asyncio_client_follows_orders_by_the_same_rules(config: DeskConfig, trading: TradingStub) -> None:
    async def story(desk: qd.AsyncDesk) -> None:
        order = await desk.place("v", "BTC-USD", qd.BUY, "1", "100.5")
        trading.fill("order-1", 400, 1005, "x1")
        assert await order.wait("PARTIALLY_FILLED", timeout=60) == "PARTIALLY_FILLED"
        await order.replace("1", "101")
        await order.cancel()
        trading.fill("order-1", 600, 1004, "x2")
        assert await order == await order.wait(timeout=60) == "FILLED"
        assert order.avg_px == Fraction(10044, 100)
        with pytest.raises(qd.NumberError, match="qty of v BTC-USD"):
            await desk.buy("v", "BTC-USD", "0.1234", "1")
        trading.refuse = "gate: desk TRIPPED"
        with pytest.raises(qd.OrderRejected, match="v-trd: gate: desk TRIPPED"):
            await desk.place("v", "BTC-USD", qd.BUY, "1", "1")
        trading.refuse = ""
        late = await desk.place("v", "BTC-USD", qd.BUY, "1", "99")
        with pytest.raises(qd.OrderTimeout, match=r"not ended within 0\.01 s: <order-2: buy 1 BTC-USD at 99 on v"):
            await late.wait(timeout=0.01)

    with_async(config, story)


def test_the_asyncio_client_iterates_and_calls_back(config: DeskConfig, trading: TradingStub) -> None:
    async def story(desk: qd.AsyncDesk) -> None:
        desk.subscribe("exec.v-trd", history=True)
        ids = await asyncio.gather(*(desk.buy("v", "BTC-USD", "1", "100.5") for _ in range(5)))
        assert sorted(ids) == [f"order-{n}" for n in range(1, 6)]
        heard = []
        async for delivery in desk:
            heard.append(delivery.seq)
            if len(heard) == 5:
                break
        assert heard == [1, 2, 3, 4, 5]
        awaited: list[str] = []

        async def changed(event: qd.OrderState, _: qd.Delivery) -> None:
            await asyncio.sleep(0)
            awaited.append(event.state)
            desk.stop()

        desk.on(qd.OrderState, changed)
        trading.move("order-1", "NEW")
        await desk.run(60)
        assert awaited == ["NEW"]
        assert {o.cl_ord_id for o in await desk.orders()} == set(ids)

    with_async(config, story)


def test_the_asyncio_client_says_that_nobody_is_there(config: DeskConfig) -> None:
    async def nobody(desk: qd.AsyncDesk) -> None:
        with pytest.raises(qd.BusError, match="nothing was sent"):
            await desk.buy("v", "BTC-USD", "1", "1")
        assert await desk.poll(0.01) == []

    with_async(config, nobody, timeout=0.1)


def test_the_asyncio_client_follows_an_order_without_an_answer(config: DeskConfig, trading: TradingStub) -> None:
    async def silence(desk: qd.AsyncDesk) -> None:
        await desk.place("v", "BTC-USD", qd.BUY, "1", "1")
        trading.dumb = True
        impatient(desk)
        with pytest.raises(qd.OrderUncertain, match="its fate is unknown") as caught:
            await desk.place("v", "BTC-USD", qd.BUY, "1", "1")
        order: qd.AsyncOrder = caught.value.order
        assert await order.wait("PENDING_NEW", timeout=60) == "PENDING_NEW"

    with_async(config, silence)


def test_the_asyncio_client_takes_a_flood_to_its_end_without_a_further_edge(
    config: DeskConfig, trading: TradingStub
) -> None:
    async def flood(desk: qd.AsyncDesk) -> None:
        desk.subscribe("exec.v-trd", history=True)
        await desk.buy("v", "BTC-USD", "1", "1")
        for _ in range(5_000):  # of frames, which are more than one turn takes
            trading.move("order-1", "NEW")
        heard = []
        async for delivery in desk:
            heard.append(delivery.seq)
            if len(heard) == 5_001:
                break
        assert heard == list(range(1, 5_002))

    with_async(config, flood)
