"""What is measured of orders: from the command to the wire and to the venue's word, and refusals by channel."""

from pathlib import Path
from typing import Any

from ipc.events import OPEN_STATES, CancelReject
from ipc.metrics import MetricsFile, Stamp, read_process
from ipc.requests import CancelOrder
from tests.venues.fakes import Bench
from venues.order_meter import OpenOrders, OrderMeter

OF = {"session": "s", "venue": "v"}


class Measured:
    """A bench whose meter counts in a file; commands are read as a command server reads them."""

    def __init__(self, tmp_path: Path) -> None:
        self.bench = Bench()
        self.file = MetricsFile(tmp_path / "s")
        self.read = Stamp()
        self.bench.entry.meter.show(self.file, "s", "v", self.read)
        self.open_orders = OpenOrders(self.file, "s", "v", self.bench.table, OPEN_STATES)
        self.file.seal()

    def place(self) -> Any:
        self.read.mark()
        order = self.bench.place()
        self.read.clear()
        return order

    def values(self, metric: str, label: str) -> dict[str, float]:
        """Of a metric by the values of a label, without those that are 0."""
        name = f"quarterdeck_{metric}"
        return {s.labels[label]: s.value for s in read_process(self.file.path) if s.name == name and s.value}


def test_an_order_is_measured_to_the_wire_and_to_its_first_report(tmp_path: Path) -> None:
    desk = Measured(tmp_path)
    order = desk.place()
    assert desk.values("command_to_wire_seconds", "request") == {"new": 1}
    assert desk.values("order_ack_seconds", "session") == {}
    desk.bench.report(order, "0", "0")
    desk.bench.report(order, "F", "1", last_qty=10, cum_qty=10, exec_id="e1", last_px=500)
    assert desk.values("order_ack_seconds", "session") == {"s": 1}


def test_a_cancel_of_the_desks_own_is_no_clients_command(tmp_path: Path) -> None:
    desk = Measured(tmp_path)
    order = desk.place()
    assert desk.bench.entry.cancel(order) == ""
    assert desk.values("command_to_wire_seconds", "request") == {"new": 1}
    desk.read.mark()
    assert desk.bench.entry.handle(CancelOrder("c", "x", 0, order.cl_ord_id)).accepted
    assert desk.values("command_to_wire_seconds", "request") == {"new": 1, "cancel": 1}


def test_an_order_that_a_lost_session_left_unanswered_measures_no_venue(tmp_path: Path) -> None:
    desk = Measured(tmp_path)
    order = desk.place()
    desk.bench.entry.lost_session("gone")
    desk.bench.report(order, "0", "0")
    assert desk.values("order_ack_seconds", "session") == {}


def test_refusals_are_counted_by_the_channel_that_brought_them(tmp_path: Path) -> None:
    desk = Measured(tmp_path)
    desk.bench.report(desk.place(), "8", "8", text="no")
    desk.bench.report(desk.place(), "8", "8", text="no", origin="j")
    order = desk.place()
    for origin in ("9", "XAR"):
        desk.bench.entry.event(
            CancelReject("s", "v", order.instrument, order.cl_ord_id, "r", "", "1", "1", "no", origin, 0)
        )  # fmt: skip
    assert desk.values("rejects_total", "channel") == {"8": 1, "j": 1, "9": 1, "XAR": 1}


def test_open_orders_are_counted_by_state(tmp_path: Path) -> None:
    desk = Measured(tmp_path)
    first, second = desk.place(), desk.place()
    desk.open_orders.look()
    assert desk.values("orders_open", "state") == {"PENDING_NEW": 2}
    desk.bench.report(first, "0", "0")
    desk.bench.report(second, "8", "8", text="no")
    desk.open_orders.look()
    assert desk.values("orders_open", "state") == {"NEW": 1}


def test_a_channel_that_the_file_has_no_room_for_holds_up_no_order(tmp_path: Path) -> None:
    desk = Measured(tmp_path)
    desk.bench.entry.meter = OrderMeter()
    file = MetricsFile(tmp_path / "full", spare=0)
    desk.bench.entry.meter.show(file, "s", "v", desk.read)
    file.seal()
    order = desk.bench.place()
    desk.bench.report(order, "8", "8", text="no", origin="odd")
    assert not order.is_open
