"""A desk of one trading process that is a stub: the bus side of one, which says what a test tells it to."""

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import zmq

from base.clock import SystemClock
from base.config import DeskConfig, load
from base.errors import CommandError
from ipc.bus import Publisher
from ipc.commands import CommandServer
from ipc.events import OPEN_STATES, AnyEvent, ExecutionReport, OrderState
from ipc.journal import Journal
from ipc.requests import Answer, AnyCommand, ListOrders, NewOrder, NewOrders, ReplayRequest
from ipc.roster import command_endpoint, publisher_endpoint

CONFIG = """
[desk]
name = "t"
environment = "test"
shm_dir = "{shm}"

[venue.v]
dialect = "fix44"
instruments = [{{ name = "BTC-USD", symbol = "BTC", px_scale = 1, qty_scale = 3 }}]

[session.v-trd]
venue = "v"
kind = "trading"
address = "localhost:1"
sender_comp_id = "A"
target_comp_id = "B"

[session.v-md]
venue = "v"
kind = "marketdata"
address = "localhost:1"
sender_comp_id = "A"
target_comp_id = "B"

[book.one]
sessions = ["v-md"]
"""


def make_config(folder: Path) -> DeskConfig:
    """The configuration of such a desk, with everything below `folder`."""
    file = folder / "config" / "desk.toml"
    file.parent.mkdir()
    file.write_text(CONFIG.format(shm=folder))
    desk = load(file)
    desk.run_dir.mkdir(mode=0o700)
    return desk


def new_state(c: NewOrder, cl_ord_id: str, session: str = "v-trd") -> OrderState:
    """An order as it is when it was just taken."""
    return OrderState(
        session, c.venue, "main", c.instrument, cl_ord_id, "", "PENDING_NEW", c.side, c.ord_type, c.time_in_force,
        1, 3, c.order_qty, c.price, 0, c.order_qty, c.strategy, c.client_id, c.command_id, 1,
    )  # fmt: skip


def trade(order: OrderState, qty: int, px: int | None, exec_id: str, **more: Any) -> ExecutionReport:
    """A report of a trade of an order."""
    report = ExecutionReport(
        order.session, order.venue, "main", order.instrument, order.cl_ord_id, "O1", exec_id, "F", "1", order.side,
        order.ord_type, "1", 1, 3, order.order_qty, order.price, None, qty, px, None, None, 1, 1, 1,
        strategy=order.strategy, client_id=order.client_id, command_id=order.command_id,
    )  # fmt: skip
    return msgspec.structs.replace(report, **more)


class TradingStub:
    """Journals, publishes and answers as a trading process does. Lives in a thread of its own."""

    def __init__(self, desk: DeskConfig, name: str = "v-trd") -> None:
        self.commands: list[AnyCommand] = []
        self.refuse = ""
        self.deaf = False  # takes no notice of new orders
        self.instant = False  # fills them before it answers
        self.dumb = False  # takes them, and does not answer
        self.count = 0
        self.orders: dict[str, OrderState] = {}
        self._todo: queue.Queue[Callable[[], object]] = queue.Queue()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        clock = SystemClock()
        self._journal = Journal(desk.data_dir / name, clock.wall_ns())
        epoch = self._journal.next_epoch(clock.wall_ns())
        self._publisher = Publisher(self._context, publisher_endpoint(desk, name), clock, epoch=epoch)
        self._publisher.declare("exec.v-trd", self._journal)
        endpoint = command_endpoint(desk, name)
        self._server = CommandServer(
            self._context, endpoint, clock, self._handle, publisher=self._publisher, journal=self._journal
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._server.close()
        self._publisher.close()
        self._journal.close()
        self._context.term()

    def say(self, *events: AnyEvent) -> None:
        """Journal and publish, in the stub's thread."""
        self._todo.put(lambda: self._publish(events))

    def move(self, cl_ord_id: str, state: str, **more: Any) -> OrderState:
        """An order comes into another state, and that is said."""
        self.orders[cl_ord_id] = msgspec.structs.replace(self.orders[cl_ord_id], state=state, **more)
        self.say(self.orders[cl_ord_id])
        return self.orders[cl_ord_id]

    def fill(self, cl_ord_id: str, qty: int, px: int, exec_id: str) -> None:
        """A trade, and the order after it."""
        order = self.orders[cl_ord_id]
        cum, left = order.cum_qty + qty, order.leaves_qty - qty
        self.say(trade(order, qty, px, exec_id, fees=(("USD", "0.01"),)))
        self.move(cl_ord_id, "PARTIALLY_FILLED" if left else "FILLED", cum_qty=cum, leaves_qty=left)

    def _publish(self, events: tuple[AnyEvent, ...]) -> None:
        self._publisher.publish("exec.v-trd", *events)

    def _fill_at_once(self, cl_ord_id: str) -> None:
        order = self.orders[cl_ord_id]
        filled = msgspec.structs.replace(order, state="FILLED", cum_qty=order.order_qty, leaves_qty=0)
        self.orders[cl_ord_id] = filled
        self._publish((trade(order, order.order_qty, order.price, "x1"), filled))

    def _run(self) -> None:
        while not self._stop.is_set():
            self._server.socket.poll(2)
            self._server.serve()
            while not self._todo.empty():
                self._todo.get()()
            self._publisher.heartbeat(SystemClock().mono_ns())

    def _handle(self, command: AnyCommand, _identity: bytes) -> Answer:
        if isinstance(command, NewOrder) and self.deaf:
            return Answer("nobody waits for this", True)
        if not isinstance(command, ListOrders | ReplayRequest):
            self.commands.append(command)
        if isinstance(command, ListOrders):
            found = [o for o in self.orders.values() if o.state in OPEN_STATES or not command.open_only]
            return Answer(command.command_id, True, orders=tuple(found))
        if self.refuse:
            raise CommandError(self.refuse)
        if isinstance(command, NewOrders):
            return Answer(command.command_id, True, answers=tuple(self._handle(o, _identity) for o in command.orders))
        if isinstance(command, NewOrder):
            self.count += 1
            cl_ord_id = f"order-{self.count}"
            self.orders[cl_ord_id] = new_state(command, cl_ord_id)
            self._publish((self.orders[cl_ord_id],))
            if self.instant:
                self._fill_at_once(cl_ord_id)
            return Answer("nobody waits for this" if self.dumb else command.command_id, True, cl_ord_id=cl_ord_id)
        return Answer(command.command_id, True)
