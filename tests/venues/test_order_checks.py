"""Limits on the way of real orders: through order entry, over real status pages and a real book."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.clock import SystemClock
from base.config import DeskConfig, load
from ipc.books import BookSpec, RegionOwner, create_region
from ipc.events import OrderState
from ipc.exposure import UNPRICED, ExposureWriter
from ipc.readiness import StatusPage
from ipc.requests import Answer, CancelOrder, NewOrder, ReplaceOrder
from risk.exposure import ExposureBook
from risk.order import Order
from risk.orders import OrderTable
from tests.venues.fakes import FakePort, FakeSession, capabilities
from venues.at_risk import AtRisk
from venues.interface import Replace
from venues.order_checks import OrderChecks
from venues.order_entry import OrderEntry

CONFIG = """
[desk]
name = "t"
shm_dir = "{folder}/shm"
[venue.v]
dialect = "fix44"
instruments = [{{ name = "BTC-USD", symbol = "B", px_scale = 1, qty_scale = 3 }}]
[session.a]
venue = "v"
kind = "trading"
address = "127.0.0.1:1"
sender_comp_id = "A"
target_comp_id = "V"
[session.b]
venue = "v"
kind = "trading"
address = "127.0.0.1:1"
sender_comp_id = "B"
target_comp_id = "V"
[session.md]
venue = "v"
kind = "marketdata"
address = "127.0.0.1:1"
sender_comp_id = "M"
target_comp_id = "V"
[book.one]
sessions = ["md"]
"""


def make_desk(folder: Path, limits: str) -> DeskConfig:
    path = folder / "config" / "desk.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(CONFIG.format(folder=folder) + limits)
    desk = load(path)
    (desk.shm_dir / "proc").mkdir(parents=True, exist_ok=True)
    return desk


class Process(FakePort):
    """A trading process between its commands and its venue: order entry, checks, exposure and page are real."""

    def __init__(self, desk: DeskConfig, session: str, table: OrderTable | None = None, **caps: Any) -> None:
        super().__init__()
        self.page = StatusPage(desk.shm_dir / "proc" / session, session)
        exposure, clock = ExposureBook(), SystemClock()
        self.table = table or OrderTable()
        self.checks = OrderChecks(desk, session, exposure, clock)
        self.checks.restored(self.table)
        names = (session, "v", "main")
        self.at_risk = AtRisk(names, exposure, ExposureWriter(self.page), self.checks, self.record, clock)
        self.at_risk.begin({"BTC-USD": (1, 3)}, {}, {}, self.table.open())
        self.session = FakeSession()
        self.entry = OrderEntry(
            session, "main", capabilities(**caps), desk.session_instruments(session), self.table, self, clock,
            checks=self.checks,
        )  # fmt: skip
        self.entry.session = self.session
        self.entry.ready_reason = ""
        self.asked = 0

    def moved(self, order: Order) -> None:
        super().moved(order)
        self.at_risk.moved(order)
        self.page.count_sent(self.entry.counters["orders"])

    def new(self, **more: Any) -> Answer:
        self.asked += 1
        fields: dict[str, Any] = {
            "client_id": "c", "command_id": f"k{self.asked}", "deadline_ns": 0, "venue": "v", "instrument": "BTC-USD",
            "side": "1", "ord_type": "2", "order_qty": 100, "price": 1_000 + self.asked,
        }  # fmt: skip
        return self.entry.handle(NewOrder(**(fields | more)))


@pytest.fixture
def book(tmp_path: Path) -> Iterator[RegionOwner]:
    desk = make_desk(tmp_path, "")
    owner = create_region(desk.shm_dir / "book-one", [BookSpec("v", "BTC-USD", 1, 3, 2, 100)])
    owner.heartbeat(time.monotonic_ns())
    bid, ask = (b"".join(n.to_bytes(8, "little") for n in level) for level in ((1_000, 500), (1_001, 500)))
    owner.book("v", "BTC-USD").replace(bid, ask)
    yield owner
    owner.close()


def test_what_is_refused_is_neither_journalled_nor_sent_and_takes_nothing_of_the_venues_rates(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, '[[kill.limits]]\nscope = "desk"\nmax_order_qty = { "BTC-USD" = "0.1" }\n')
    process = Process(desk, "a", orders_per_s=1)
    answer = process.new(order_qty=101)
    assert (answer.accepted, answer.reason) == (False, "max_order_qty of desk: order of 0.101 BTC-USD, at most 0.1")
    assert (process.session.sent, process.recorded, process.remembered) == ([], [], [])
    assert process.steps == ["gate"]
    assert process.checks.counters() == {"refused_max_order_qty": 1}
    assert process.new().accepted, "the venue's one order a second is still there"


def test_the_gate_is_still_the_last_thing_that_is_read_before_the_send(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, '[[kill.limits]]\nscope = "desk"\nmax_open_orders = 5\n')
    process = Process(desk, "a")
    assert process.new().accepted
    assert process.steps == ["gate", "remember", "record", "gate"]
    process.closed = "desk is TRIPPED"
    assert process.new().reason == "desk is TRIPPED", "a closed gate is told before any limit"


def test_prices_and_market_orders_are_judged_by_the_shared_book(tmp_path: Path, book: RegionOwner) -> None:
    limits = '[[kill.limits]]\nscope = "venue:v"\nmax_notional = { USD = "50" }\n'
    limits += 'price_collar_pct = { "BTC-USD" = "5" }\n'
    process = Process(make_desk(tmp_path, limits), "a")
    assert "beyond it, at most 5" in process.new(price=1_060).reason
    assert process.new(price=1_040).accepted
    assert "more than the best levels hold" in process.new(ord_type="1", price=None, order_qty=501).reason
    assert "max_notional of venue:v: 60.45 USD" in process.new(ord_type="1", price=None, order_qty=500).reason
    book.close()
    assert "no book of BTC-USD is live" in process.new(price=1_000).reason
    assert len(process.session.sent) == 1


def test_what_another_process_has_working_counts_as_soon_as_it_stands_in_its_row(tmp_path: Path) -> None:
    desk = make_desk(
        tmp_path,
        '[[kill.limits]]\nscope = "account:v/main"\nmax_position = { "BTC-USD" = "0.25" }\nmax_open_orders = 3\n',
    )
    a, b = Process(desk, "a"), Process(desk, "b")
    a.checks.look()
    assert a.new().accepted
    assert b.new().accepted
    assert a.new().reason == "max_position of account:v/main: 0.3 BTC-USD with this order, at most 0.25"
    assert a.new(side="2").accepted
    assert "max_open_orders of account:v/main: 4" in b.new(side="2").reason
    order = a.table.open()[0]
    a.entry.handle(CancelOrder("c", "x", 0, order.cl_ord_id))
    a.table.reject(order, "gone", 1)
    a.moved(order)
    assert b.new(order_qty=150).accepted


def test_a_dead_process_counts_on_and_its_successor_takes_over_what_it_had(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, '[[kill.limits]]\nscope = "desk"\nmax_open_orders = 2\n')
    a, b = Process(desk, "a"), Process(desk, "b")
    a.checks.look()
    assert b.new().accepted
    assert b.new().accepted
    table = b.table
    del b
    assert "max_open_orders" in a.new().reason
    page = StatusPage(desk.shm_dir / "proc" / "b", "b")
    a.checks.look()
    assert "max_open_orders of desk: 3" in a.new().reason, "its successor has not read its journal yet"
    del page
    Process(desk, "b", table)
    a.checks.look()
    assert "max_open_orders of desk: 3" in a.new().reason


def test_rates_and_duplicates_are_not_forgotten_by_a_restart(tmp_path: Path) -> None:
    limits = '[[kill.limits]]\nscope = "session:a"\nmax_orders_per_s = 2\nduplicate_window_ms = 600000\n'
    desk = make_desk(tmp_path, limits)
    first = Process(desk, "a")
    now_ns = SystemClock().wall_ns()
    assert first.new(price=500).accepted
    assert first.new(price=501).accepted
    table = OrderTable()
    for event in first.recorded:
        if isinstance(event, OrderState):
            table.restore(event)
    next_life = Process(desk, "a", table)
    assert "the same order left" in next_life.new(price=500).reason
    if SystemClock().wall_ns() - now_ns < 900_000_000:  # a machine that slept in between has let the second pass
        assert "max_orders_per_s of session:a: 3" in next_life.new(price=502).reason


def test_replaces_are_judged_and_counted(tmp_path: Path) -> None:
    limits = '[[kill.limits]]\nscope = "session:a"\nmax_order_qty = { "BTC-USD" = "0.2" }\nmax_orders_per_s = 3\n'
    process = Process(make_desk(tmp_path, limits), "a")
    order = process.table.find(process.new().cl_ord_id)
    assert order is not None

    def change(qty: int) -> Answer:
        return process.entry.handle(ReplaceOrder("c", f"r{qty}", 0, order.cl_ord_id, qty))

    assert "max_order_qty of session:a" in change(201).reason
    assert change(200).accepted
    assert change(150).accepted
    assert "max_orders_per_s of session:a: 4" in change(140).reason
    assert [what for what, _ in process.session.sent] == ["new", "replace", "replace"]


def test_a_replace_for_a_strategy_changes_no_order_of_another(tmp_path: Path) -> None:
    process = Process(make_desk(tmp_path, ""), "a")
    order = process.table.find(process.new().cl_ord_id)
    assert order is not None
    order.strategy = "demo"
    for strategy, accepted in (("other", False), ("demo", True), ("", True)):
        command = ReplaceOrder("c", f"r-{strategy}", 0, order.cl_ord_id, 50 + len(strategy), strategy=strategy)
        answer = process.entry.handle(command)
        assert answer.accepted is accepted, answer.reason
        assert accepted or answer.reason == f"strategy: {order.cl_ord_id} is of 'demo', not of 'other'"
    assert [what for what, _ in process.session.sent] == ["new", "replace", "replace"]


def test_a_replace_that_is_a_new_order_at_the_venue_counts_beside_the_old_one(tmp_path: Path) -> None:
    limits = '[[kill.limits]]\nscope = "session:a"\nmax_open_orders = 1\n'
    process = Process(make_desk(tmp_path, limits), "a", replace=Replace.CANCEL_NEW)
    order = process.table.find(process.new().cl_ord_id)
    assert order is not None
    process.session.successor = True
    answer = process.entry.handle(ReplaceOrder("c", "r", 0, order.cl_ord_id, 50))
    assert answer.reason == "max_open_orders of session:a: 2 with this order, at most 1"


MOST = 6


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=60))
@settings(max_examples=60)
def test_two_processes_overshoot_by_at_most_the_one_order_that_each_has_between_check_and_row(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, bool]]
) -> None:
    folder = tmp_path_factory.mktemp("race")
    desk = make_desk(folder, f'[[kill.limits]]\nscope = "desk"\nmax_open_orders = {MOST}\n')
    both = {name: Process(desk, name) for name in "ab"}
    for process in both.values():
        process.checks.look()
    held: dict[str, str] = {}

    def between(name: str) -> None:
        """While one process is between its check and its send, the other places an order."""
        other = both["b" if name == "a" else "a"]
        if held.get(name):
            held[name] = ""
            other.new()

    def last_look(name: str) -> Callable[[], None]:
        done = both[name].steps
        return lambda: between(name) if done[-2:-1] == ["record"] else None

    for name, process in both.items():
        process.on_gate = last_look(name)
    for name, interrupted in steps:
        held[name] = "yes" if interrupted else ""
        both[name].new()
        working = sum(len(p.table.open()) for p in both.values())
        assert working <= MOST + 1
    if len(steps) > 2 * MOST:
        assert sum(len(p.table.open()) for p in both.values()) >= MOST


def _place_flat_out(folder: str, limits: str, session: str, orders: int, pipe: Connection) -> None:
    process = Process(make_desk(Path(folder), limits), session)
    pipe.send("ready")
    pipe.recv()
    process.checks.look()
    for _ in range(orders):
        process.new()
    pipe.send(len(process.table.open()))
    pipe.recv()


def test_two_processes_at_once_stay_within_a_limit_and_one_order_each(tmp_path: Path) -> None:
    most = 100
    limits = f'[[kill.limits]]\nscope = "desk"\nmax_open_orders = {most}\n'
    context = multiprocessing.get_context("spawn")
    pipes, children = [], []
    for session in ("a", "b"):
        mine, theirs = multiprocessing.Pipe()
        children.append(
            context.Process(target=_place_flat_out, args=(str(tmp_path), limits, session, 2 * most, theirs))
        )
        pipes.append(mine)
    for child in children:
        child.start()
    try:
        for pipe in pipes:
            assert pipe.recv() == "ready"
        for pipe in pipes:
            pipe.send("go")
        placed = [pipe.recv() for pipe in pipes]
        assert most <= sum(placed) <= most + 1, placed
        for pipe in pipes:
            pipe.send("end")
        for child in children:
            child.join()
    finally:
        for child in children:
            child.kill()
            child.join()


def test_a_working_market_order_counts_at_the_worst_that_the_book_or_the_last_fill_say(
    tmp_path: Path, book: RegionOwner
) -> None:
    process = Process(make_desk(tmp_path, ""), "a")
    process.at_risk.begin({"BTC-USD": (1, 3)}, {"BTC-USD": (0, 900)}, {}, [])
    figures = process.at_risk.book.figures["BTC-USD"]
    for side in ("1", "2"):
        process.new(ord_type="1", price=None, order_qty=100, side=side)
    assert figures.buy_notional == figures.sell_notional == figures.worth(1_001, 100), "the offer, for a sale too"
    assert figures.flags == 0
    levels = (
        b"".join(n.to_bytes(8, "little") for n in (950, 500)),
        b"".join(n.to_bytes(8, "little") for n in (951, 500)),
    )
    book.book("v", "BTC-USD").replace(*levels)
    for order in process.table.open():
        process.moved(order)
    assert figures.buy_notional == figures.worth(1_001, 100), "never less than it counted with at first"


def test_a_market_order_without_book_and_fill_is_worth_nobody_knows_what(tmp_path: Path) -> None:
    process = Process(make_desk(tmp_path, ""), "a")
    answer = process.new(ord_type="1", price=None, order_qty=100)
    figures = process.at_risk.book.figures["BTC-USD"]
    assert (figures.buy_notional, figures.unpriced, figures.flags) == (0, 1, UNPRICED)
    order = process.table.find(answer.cl_ord_id)
    assert order is not None
    order.state, order.leaves_qty = "CANCELED", 0
    process.moved(order)
    assert (figures.unpriced, figures.flags) == (0, 0)
