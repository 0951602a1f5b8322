"""An owner of orders that obeys its contract, for tests of the kill switch: `fake_owner.py --config F --session S`.

Its venue is the test's own (kill_venue.py), spoken to over HTTP. The file `<data_dir>/<session>.place` holds how many
orders to place, `<session>.lost` means that its session is down; orders survive its restarts through its journal, as a
real owner's do. `<session>.tell` holds lines of what befalls it: `fill QTY PX` (QTY below 0 sells), `reject N`,
`memory MB`.
"""

import itertools
import json
import os
import sys
import urllib.error
import urllib.request
from typing import Any

from base.reactor import Priority
from ipc.bell import Bell, Ringer, bell_path
from ipc.events import ExecutionReport, OrderState, Position
from ipc.exposure import ExposureRow, ExposureWriter
from ipc.fence import FenceKeeper
from ipc.gate import GateReader, session_scopes
from ipc.host import ProcessHost, run_process
from ipc.journal import Journal, read_events
from ipc.readiness import Readiness
from ipc.requests import Answer, AnyCommand, CancelOrder, ListOrders, MassCancel
from risk.order import Order
from risk.orders import OrderTable

MS = 1_000_000


class FakeOwner:
    def __init__(self, host: ProcessHost, session: str) -> None:
        self.host, self.name = host, session
        desk = host.desk
        self.venue = desk.config.session[session].venue
        rest = desk.config.venue[self.venue].rest
        assert rest is not None
        self.base = rest.address
        self.instruments = desk.session_instruments(session)
        self.table = OrderTable()
        self.held, held_px = 0, 0
        self.ballast = bytearray()
        self.journal = Journal(desk.data_dir / session, host.clock.wall_ns())
        for delivery in read_events(desk.data_dir / session):
            if isinstance(delivery.event, OrderState):
                self.table.restore(delivery.event)
            elif isinstance(delivery.event, ExecutionReport):
                self.table.apply(delivery.event, 0)
            elif isinstance(delivery.event, Position):
                self.held, held_px = delivery.event.position, delivery.event.mark_px
        self.place_file = desk.data_dir / f"{session}.place"
        self.seen = 0
        self.count = itertools.count(host.clock.wall_ns())
        host.open_bus(self.journal, [f"exec.{session}"])
        self.rows = ExposureWriter(host.page)
        self.gate = GateReader(
            desk.shm_dir / "gate", desk.shm_dir / "operator", session_scopes(self.venue, "main", session)
        )
        self.ringer = Ringer()
        self.fence = FenceKeeper(
            self.gate, host.page, drop_unsent=lambda: None, cancel_working=self.cancel_working,
            ring_back=lambda: self.ringer.ring(bell_path(desk.run_dir, "killswitch")),
        )  # fmt: skip
        self.bell = Bell(bell_path(desk.run_dir, session))
        host.reactor.add_reader(self.bell.fd, self.rung, "bell", Priority.URGENT)
        host.serve(self.handle, self.journal)
        for order in self.table.open():
            self.table.uncertain(order, "restarted", host.clock.wall_ns())
            self.publish(order.snapshot())
        self.say_position(held_px)
        self.turn()
        host.set(Readiness.READY, "")

    def http(self, method: str, path: str, body: object = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.base + path, data, method=method)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.loads(answer.read())

    def publish(self, *events: Any) -> None:
        self.host.publish(f"exec.{self.name}", *events)

    def rung(self) -> bool:
        self.bell.drain()
        self.fence.look()
        return False

    def turn(self) -> None:
        self.fence.look()
        if (self.host.desk.data_dir / f"{self.name}.lost").exists():
            self.host.set(Readiness.RECOVERING, "connection reset")
        self.place()
        self.reports()
        self.befall()
        for i in self.instruments:
            mine = [o for o in self.table.open() if o.instrument == i.name]
            row = ExposureRow(
                venue=self.venue, instrument=i.name, px_scale=i.px_scale, qty_scale=i.qty_scale, open_orders=len(mine)
            )
            self.rows.set(row)
        self.host.reactor.call_later(10 * MS, self.turn, "turn")

    def place(self) -> None:
        wanted = int(self.place_file.read_text()) if self.place_file.exists() else 0
        while len(self.table) < wanted and not self.gate.closed_reason(self.host.clock.mono_ns(), "mm"):
            i = self.instruments[len(self.table) % len(self.instruments)]
            order = Order(
                session=self.name, venue=self.venue, account="main", instrument=i.name,
                cl_ord_id=f"{self.name}-{next(self.count)}", side="1", ord_type="2", time_in_force="1",
                px_scale=i.px_scale, qty_scale=i.qty_scale, order_qty=100, price=1, strategy="mm",
            )  # fmt: skip
            self.table.add(order)
            self.publish(order.snapshot())
            self.http("POST", "/orders", {"cl_ord_id": order.cl_ord_id, "symbol": i.symbol, "session": self.name})
            self.host.page.count_sent(len(self.table))

    def reports(self) -> None:
        found = self.http("GET", f"/reports/{self.name}/{self.seen}")
        self.seen += len(found)
        for r in found:
            order = self.table.find(r["cl_ord_id"])
            if order is None:
                continue
            report = ExecutionReport(
                session=self.name, venue=self.venue, account="main", instrument=order.instrument,
                cl_ord_id=order.cl_ord_id, order_id=r["order_id"], exec_id=r["exec_id"], exec_type=r["exec_type"],
                ord_status=r["ord_status"], side="1", ord_type="2", time_in_force="1", px_scale=order.px_scale,
                qty_scale=order.qty_scale, order_qty=100, price=1, stop_px=None, last_qty=None, last_px=None,
                cum_qty=r["cum_qty"], leaves_qty=None, transact_ns=0, sending_ns=0, recv_ns=0, strategy="mm",
            )  # fmt: skip
            self.table.apply(report, self.host.clock.wall_ns())
            self.publish(report, order.snapshot())

    def befall(self) -> None:
        path = self.host.desk.data_dir / f"{self.name}.tell"
        try:
            taken = path.rename(path.with_suffix(".taken"))  # what is told from now on is for the next turn
        except FileNotFoundError:
            return
        lines = taken.read_text().splitlines()
        for what, *figures in (line.split() for line in lines):
            if what == "fill":
                self.fill(float(figures[0]), float(figures[1]))
            elif what == "memory":
                self.ballast = bytearray(os.urandom(1 << 20) * int(figures[0]))
            else:
                self.publish(*(self.told("8", 0, 0) for _ in range(int(figures[0]))))

    def told(self, exec_type: str, qty: int, px: int) -> ExecutionReport:
        """A report of an order that nobody else knows."""
        i, n = self.instruments[0], next(self.count)
        return ExecutionReport(
            session=self.name, venue=self.venue, account="main", instrument=i.name, cl_ord_id=f"x{n}",
            order_id=f"X{n}", exec_id=f"X{n}", exec_type=exec_type, ord_status="2", side="1" if qty > 0 else "2",
            ord_type="2", time_in_force="1", px_scale=i.px_scale, qty_scale=i.qty_scale, order_qty=abs(qty), price=px,
            stop_px=None, last_qty=abs(qty), last_px=px, cum_qty=abs(qty), leaves_qty=0, transact_ns=0, sending_ns=0,
            recv_ns=self.host.clock.wall_ns(), text="as told",
        )  # fmt: skip

    def fill(self, qty: float, px: float) -> None:
        i = self.instruments[0]
        units, price = round(qty * 10**i.qty_scale), round(px * 10**i.px_scale)
        report = self.told("F", units, price)
        order = Order(
            session=self.name, venue=self.venue, account="main", instrument=i.name, cl_ord_id=report.cl_ord_id,
            order_id=report.order_id, state="FILLED", side=report.side, ord_type="2", time_in_force="1",
            px_scale=i.px_scale, qty_scale=i.qty_scale, order_qty=abs(units), price=price, cum_qty=abs(units),
            ids=[report.cl_ord_id],
        )  # fmt: skip
        self.publish(report, order.snapshot())
        self.held += units
        self.say_position(price)

    def say_position(self, price: int) -> None:
        i = self.instruments[0]
        self.publish(
            Position(self.name, self.venue, "main", i.name, self.held, i.qty_scale, self.host.clock.wall_ns(), price,
                     i.px_scale)
        )  # fmt: skip

    def cancel_working(self) -> None:
        for order in self.table.open():
            if self.gate.must_cancel(order.strategy, order.instrument):
                self.cancel(order)

    def cancel(self, order: Order) -> None:
        try:
            self.http("DELETE", f"/orders/{order.cl_ord_id}")
        except urllib.error.HTTPError:
            return

    def handle(self, command: AnyCommand, _identity: bytes) -> Answer:
        if isinstance(command, ListOrders):
            return Answer(command.command_id, True, orders=tuple(o.snapshot() for o in self.table.open()))
        if isinstance(command, CancelOrder):
            order = self.table.find(command.cl_ord_id)
            if order is not None and order.is_open:
                self.cancel(order)
            return Answer(command.command_id, order is not None)
        if isinstance(command, MassCancel):
            for order in self.table.open():
                self.cancel(order)
            return Answer(command.command_id, True)
        return Answer(command.command_id, False, "not understood")


if __name__ == "__main__":
    sys.exit(run_process("trading", "session", FakeOwner))
