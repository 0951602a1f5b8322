"""The face a strategy sees: what it exports, exact numbers, clear errors, and a desk of one trading process."""

import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

import quarterdeck as qd
from base.config import DeskConfig
from ipc.events import OrderState
from ipc.requests import CancelOrder, ListOrders, MassCancel, NewOrder, NewOrders, ReplaceOrder
from tests.ipc.bus_tools import wait_for
from tests.quarterdeck.stub import TradingStub, make_config

ROOT = Path(__file__).parents[2]


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


def collect(desk: qd.Desk, count: int) -> list[qd.Delivery]:
    found: list[qd.Delivery] = []

    def enough() -> bool:
        found.extend(desk.poll(0.05))
        return len([d for d in found if not isinstance(d.event, qd.Gap)]) >= count

    wait_for(enough, f"{count} events")
    return found


# -- what it exports ---------------------------------------------------------------------------------------------------


def test_the_exports_are_these() -> None:
    assert sorted(qd.__all__) == [
        "Alert", "AsyncDesk", "AsyncOrder", "BUY", "Balance", "Book", "BookBusyError", "BookDelta", "BookError",
        "BookImage", "BookReader", "BookSnapshot", "BookSource", "BookStatus", "BusError", "CallbackError",
        "CancelReject", "CommandError", "ConfigError", "Consolidated", "ConsolidatedImage", "Delivery", "Desk",
        "Difference", "ExecutionReport", "Fill", "Gap", "Health", "Instrument", "KillState", "Level", "MergedLevel",
        "NumberError", "Order", "OrderRejected", "OrderState", "OrderTerms", "OrderTimeout", "OrderUncertain",
        "Position", "ProcessHealth", "ProcessState", "PublicTrade", "QuarterdeckError", "RegionError", "SELL",
        "SchemaError", "SessionState", "StaleBookError", "Terms", "TopOfBook", "UnansweredError", "aconnect",
        "connect", "decimal", "format_scaled", "to_scaled",
    ]  # fmt: skip
    assert all(getattr(qd, name) is not None for name in qd.__all__)
    assert dir(qd) == sorted(qd.__all__)
    with pytest.raises(AttributeError, match="no attribute 'conect'"):
        _ = qd.conect


def test_the_import_alone_brings_in_neither_sockets_nor_codecs() -> None:
    code = "import sys, quarterdeck; print([m for m in ('zmq', 'msgspec', 'ipc._book') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["ipc.py", "base.py", "base/__init__.py"])
def test_a_file_of_the_strategys_own_that_shadows_a_package_is_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.touch()
    (tmp_path / "strategy.py").write_text("import quarterdeck\n")
    done = subprocess.run(
        [sys.executable, "strategy.py"], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"{file} shadows quarterdeck's own package {name.partition('.')[0].partition('/')[0]!r}" in done.stderr


# -- where the desk is -------------------------------------------------------------------------------------------------


def test_a_desk_is_found_by_its_run_directory_and_by_the_environment(
    config: DeskConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    (config.run_dir / "config").write_text(f"{config.path}\n")
    with qd.connect(config.run_dir) as desk:
        assert desk.config.fingerprint == config.fingerprint
    monkeypatch.setenv("QD_CONFIG", str(config.path))
    with qd.connect() as desk:
        assert desk.trading_sessions() == ["v-trd"]


def test_a_desk_that_cannot_be_found_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QD_CONFIG", raising=False)
    with pytest.raises(qd.ConfigError, match="set QD_CONFIG"):
        qd.connect()
    with pytest.raises(qd.ConfigError, match="expected the path of the desk's configuration"):
        qd.connect(tmp_path)
    with pytest.raises(qd.ConfigError, match=r"nothing.toml: cannot be read"):
        qd.connect(tmp_path / "nothing.toml")


# -- orders ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("qty", "price"), [("0.125", "100.5"), (Decimal("0.125"), Decimal("100.50")), ("0.1250", "100.5")]
)
def test_numbers_are_converted_exactly(
    desk: qd.Desk, trading: TradingStub, qty: str | Decimal, price: str | Decimal
) -> None:
    assert desk.buy("v", "BTC-USD", qty, price) == "order-1"
    (command,) = trading.commands
    assert isinstance(command, NewOrder)
    assert (command.side, command.ord_type, command.order_qty, command.price) == ("1", "2", 125, 1005)
    assert (command.client_id, command.strategy) == ("me", "s")
    assert command.deadline_ns > 0


def test_without_a_price_it_is_a_market_order(desk: qd.Desk, trading: TradingStub) -> None:
    desk.sell("v", "BTC-USD", 2, time_in_force="3")
    (command,) = trading.commands
    assert isinstance(command, NewOrder)
    assert (command.side, command.ord_type, command.price, command.time_in_force) == ("2", "1", None, "3")


@pytest.mark.parametrize(
    ("qty", "price", "says"),
    [
        ("0.1234", "1", "qty of v BTC-USD: 0.1234 has more than 3 decimals"),
        ("1", "1.25", "price of v BTC-USD: 1.25 has more than 1 decimals"),
        (0.1, "1", "qty: 0.1 is a float"),
        ("1", 1.5, "price: 1.5 is a float"),
        ("many", "1", "not a decimal number"),
        ("1", "NaN", "not a finite number"),
        ("1" * 30, "1", "does not fit 64 bits"),
    ],
)
def test_a_number_that_does_not_fit_is_refused_by_name(desk: qd.Desk, qty: str, price: str, says: str) -> None:
    with pytest.raises(qd.NumberError, match=says):
        desk.buy("v", "BTC-USD", qty, price)


def test_an_unknown_instrument_names_what_there_is(desk: qd.Desk) -> None:
    with pytest.raises(qd.ConfigError, match="no instrument v ETH-USD; there are v BTC-USD"):
        desk.buy("v", "ETH-USD", "1", "1")
    with pytest.raises(qd.ConfigError, match="session 'other': expected one of v-trd"):
        desk.new_order("v", "BTC-USD", qd.BUY, "1", "1", session="other")


def test_a_refusal_carries_the_reason_and_the_process(desk: qd.Desk, trading: TradingStub) -> None:
    trading.refuse = "gate: desk TRIPPED"
    with pytest.raises(qd.CommandError, match="v-trd: gate: desk TRIPPED"):
        desk.buy("v", "BTC-USD", "1", "1")


def test_without_a_process_it_is_said_that_nothing_was_sent(config: DeskConfig) -> None:
    with qd.connect(config.path, timeout=0.1) as desk, pytest.raises(qd.BusError, match="nothing was sent"):
        desk.buy("v", "BTC-USD", "1", "1")


def test_a_repeated_command_id_places_no_second_order(desk: qd.Desk, trading: TradingStub) -> None:
    ids = {desk.new_order("v", "BTC-USD", qd.BUY, "1", "1", command_id="7") for _ in range(2)}
    assert (ids, len(trading.commands)) == ({"order-1"}, 1)


def test_several_orders_are_one_command_and_answered_one_by_one(desk: qd.Desk, trading: TradingStub) -> None:
    stop = qd.OrderTerms("v", "BTC-USD", qd.SELL, 1, "99.5", "4", "6", "98", "post_only", {"x": "y"})
    orders = [qd.OrderTerms("v", "BTC-USD", qd.BUY, "0.5"), stop]
    answers = desk.new_orders(orders, command_id="mine")
    assert [(a.command_id, a.accepted, a.cl_ord_id) for a in answers] == [
        ("mine/0", True, "order-1"), ("mine/1", True, "order-2"),
    ]  # fmt: skip
    whole = trading.commands[0]
    assert isinstance(whole, NewOrders)
    market, limit = whole.orders
    assert (market.ord_type, market.order_qty, market.price, market.strategy) == ("1", 500, None, "s")
    assert (limit.side, limit.order_qty, limit.price, limit.stop_px, limit.options) == ("2", 1000, 995, 980, {"x": "y"})
    assert (limit.ord_type, limit.time_in_force, limit.exec_inst) == ("4", "6", "post_only")
    assert [a.duplicate for a in desk.new_orders(orders, command_id="mine")] == [True, True]
    desk.cancel("order-2")
    assert isinstance(trading.commands[-1], CancelOrder), "whose order it is was remembered"
    trading.refuse = "gate: desk TRIPPED"
    assert [(a.accepted, a.reason) for a in desk.new_orders(orders)] == [(False, "gate: desk TRIPPED")] * 2


@pytest.mark.parametrize(
    ("orders", "says"),
    [([], "0 orders"), ([("v", "BTC-USD", "1", 1)] * 101, "101 orders"), ([("v", "X", "1", 1)], "no instrument v X")],
    ids=["none", "too many", "unknown"],
)
def test_several_orders_that_are_no_command_are_an_error_before_anything_is_asked(
    desk: qd.Desk, trading: TradingStub, orders: list[tuple[str, str, str, int]], says: str
) -> None:
    with pytest.raises(qd.ConfigError, match=says):
        desk.new_orders([qd.OrderTerms(*terms) for terms in orders])
    assert trading.commands == []


def test_orders_are_changed_cancelled_and_listed(desk: qd.Desk, trading: TradingStub) -> None:
    cl_ord_id = desk.buy("v", "BTC-USD", "1", "1")
    desk.replace(cl_ord_id, "2", "1.1")
    desk.cancel(cl_ord_id)
    desk.cancel_all()
    _, replace, cancel, mass = trading.commands
    assert isinstance(replace, ReplaceOrder)
    assert (replace.cl_ord_id, replace.order_qty, replace.price) == (cl_ord_id, 2000, 11)
    assert isinstance(cancel, CancelOrder)
    assert (cancel.cl_ord_id, cancel.deadline_ns) == (cl_ord_id, 0)
    assert isinstance(mass, MassCancel)
    assert [o.cl_ord_id for o in desk.orders()] == [cl_ord_id]


def test_an_order_that_another_client_placed_is_looked_for(config: DeskConfig, trading: TradingStub) -> None:
    with qd.connect(config.path, timeout=10) as one, qd.connect(config.path, timeout=10) as two:
        two.cancel(one.buy("v", "BTC-USD", "1", "1"))
        with pytest.raises(qd.CommandError, match="no trading process knows an order 'order-9'"):
            two.cancel("order-9")
    assert [c.cl_ord_id for c in trading.commands if isinstance(c, CancelOrder)] == ["order-1"]


# -- events ------------------------------------------------------------------------------------------------------------


def test_history_begins_with_the_oldest_event_and_goes_on_live(desk: qd.Desk, trading: TradingStub) -> None:
    for _ in range(3):
        desk.buy("v", "BTC-USD", "1", "1")
    desk.subscribe("exec.v-trd", history=True)
    first = collect(desk, 3)
    desk.buy("v", "BTC-USD", "1", "1")
    assert [d.seq for d in first + collect(desk, 1)] == [1, 2, 3, 4]


def test_what_a_restarted_process_said_before_is_replayed_once(config: DeskConfig, desk: qd.Desk) -> None:
    before = TradingStub(config)
    desk.subscribe("exec.v-trd", history=True)
    desk.buy("v", "BTC-USD", "1", "1")
    found = collect(desk, 1)
    desk.buy("v", "BTC-USD", "1", "1")
    before.stop()
    after = TradingStub(config)
    try:
        assert desk.request("v-trd", ListOrders("me", "x", 0), 10).accepted
        desk.buy("v", "BTC-USD", "1", "1")
        found += collect(desk, 2)
        assert [(d.seq, d.event.cl_ord_id) for d in found if isinstance(d.event, OrderState)] == [
            (1, "order-1"), (2, "order-2"), (1, "order-1"),
        ]  # fmt: skip
        assert not [d for d in found if isinstance(d.event, qd.Gap) and d.event.kind != "silent"]
    finally:
        after.stop()


def test_a_gap_is_shown_to_whoever_joins_late(desk: qd.Desk, trading: TradingStub) -> None:
    desk.buy("v", "BTC-USD", "1", "1")
    desk.subscribe("exec.")
    found: list[qd.Delivery] = []
    wait_for(lambda: found.extend(desk.poll(0.05)) or found, "the gap")
    assert isinstance(found[0].event, qd.Gap)
    assert (found[0].event.kind, found[0].event.next) == ("start", 2)


def test_a_process_that_is_not_there_is_shown_as_silent(desk: qd.Desk) -> None:
    desk.subscribe("exec.v-trd")
    found: list[qd.Delivery] = []
    wait_for(lambda: found.extend(desk.poll(0.05)) or found, "the silence")
    assert [(d.topic, d.event.kind) for d in found if isinstance(d.event, qd.Gap)] == [("exec.v-trd", "silent")]


def test_only_an_exec_topic_can_be_replayed(desk: qd.Desk) -> None:
    with pytest.raises(qd.ConfigError, match="only one process's exec topic"):
        desk.subscribe("md.v.BTC-USD", replay=True)


def test_a_book_that_no_shard_keeps_or_that_is_not_there_yet_is_named(desk: qd.Desk) -> None:
    with pytest.raises(qd.ConfigError, match="no book shard keeps v BTC-USD at level 3"):
        desk.book("v", "BTC-USD", 3)
    with pytest.raises(qd.RegionError, match="book-one"):
        desk.book("v", "BTC-USD")
