"""A venue session, a port and a clock that tests turn by hand."""

from collections.abc import Callable, Sequence
from typing import Any

from base.clock import ManualClock
from base.config import Kind
from base.errors import SessionError, VenueError
from base.instruments import Instrument
from ipc.events import AnyEvent, ExecutionReport
from ipc.requests import NewOrder
from risk.order import Order
from risk.orders import Applied, OrderTable
from venues.interface import Capabilities, Disconnect, MassStatus, OpenOrders, Replace, SessionPhase, WorkingOrder
from venues.limits import FREE, Limit, RateLimits
from venues.order_entry import OrderEntry

BTC = Instrument(
    venue="v",
    name="BTC-USD",
    symbol="BTC/USD",
    px_scale=1,
    qty_scale=3,
    tick_size=5,
    lot_size=10,
    min_qty=20,
    max_qty=5000,
)
ETH = Instrument(venue="v", name="ETH-USD", symbol="ETH/USD", px_scale=2, qty_scale=3)


def capabilities(**more: Any) -> Capabilities:
    fields: dict[str, Any] = {
        "kinds": frozenset(Kind), "levels": frozenset({2}), "new_types": frozenset({"1", "2"}),
        "times_in_force": frozenset({"1", "3"}), "replace": Replace.IN_PLACE, "status_request": True,
        "mass_cancel": True, "mass_cancel_report": False, "open_orders": OpenOrders.REST,
        "disconnect": Disconnect.KEEPS, "resend": True, "checksum": False, "update_ids": False,
        "reference_data": False, "trading_status": False, "planned_moves": False, "account_wide_reports": False,
    }  # fmt: skip
    most, reserve = more.pop("orders_per_s", 0), more.pop("cancel_reserve_per_s", 0)
    if most:
        limit = Limit(
            name="orders_a_second", most=most, per_s=1, reserve=reserve, breach="logout", costs={"swept": FREE}
        )
        fields["limits"] = RateLimits(orders=(limit,))
    return Capabilities(**(fields | more))


class FakeSession:
    """Remembers what was sent."""

    def __init__(self) -> None:
        self.phase = SessionPhase.READY
        self.sent: list[tuple[str, str]] = []
        self.refuse = ""
        self.successor = False
        self.wants_symbol = False
        self.resets = 0
        self.lists: list[MassStatus] = []  # mass status requests that wait for their answer
        self._n = 0

    def counters(self) -> dict[str, int]:
        return {"resets": self.resets}

    def make_cl_ord_id(self, wall_ns: int) -> str:
        self._n += 1
        return f"id{self._n}"

    def owns(self, cl_ord_id: str) -> bool:
        return cl_ord_id.startswith("id")

    def _send(self, what: str, about: str) -> None:
        if self.refuse:
            raise SessionError(self.refuse)
        self.sent.append((what, about))

    def new_order(self, order: NewOrder, instrument: Instrument, cl_ord_id: str, mono_ns: int, wall_ns: int) -> None:
        self._send("new", cl_ord_id)

    def may_join(self, order: NewOrder) -> bool:
        return order.ord_type == "2"

    def new_orders(
        self, orders: Sequence[tuple[NewOrder, str]], instrument: Instrument, mono_ns: int, wall_ns: int
    ) -> list[str]:
        problems = ["options: none" if order.options else "" for order, _ in orders]
        self._send("orders", " ".join(i for (_, i), why in zip(orders, problems, strict=True) if not why))
        return problems

    def cancel_order(self, order: WorkingOrder, request_id: str, mono_ns: int, wall_ns: int) -> None:
        self._send("cancel", order.cl_ord_id)

    def cancel_orders(self, orders: Sequence[tuple[WorkingOrder, str]], mono_ns: int, wall_ns: int) -> None:
        self._send("cancels", " ".join(order.cl_ord_id for order, _ in orders))

    def replace_is_new(self, order: WorkingOrder, order_qty: int, price: int | None, stop_px: int | None) -> bool:
        return self.successor

    def replace_order(
        self, order: WorkingOrder, request_id: str, order_qty: int, price: int | None, stop_px: int | None,
        mono_ns: int, wall_ns: int,
    ) -> None:  # fmt: skip
        self._send("replace", order.cl_ord_id)

    def order_status(self, order: WorkingOrder, request_id: str, mono_ns: int, wall_ns: int) -> None:
        self._send("status", order.cl_ord_id)

    def mass_status(self, request_id: str, answered: MassStatus, mono_ns: int, wall_ns: int) -> None:
        self._send("list", request_id)
        self.lists.append(answered)

    def mass_cancel(self, instrument: Instrument | None, request_id: str, mono_ns: int, wall_ns: int) -> None:
        if instrument is None and self.wants_symbol:
            raise VenueError("mass cancel goes by symbol")
        self._send("mass", instrument.name if instrument else "*")


class FakePort:
    """Journal, gate and exposure of a process, in lists."""

    def __init__(self) -> None:
        self.recorded: list[AnyEvent] = []
        self.remembered: list[tuple[str, str, str]] = []
        self.closed = ""
        self.on_gate: Callable[[], None] | None = None
        self.fills: list[int] = []
        self.steps: list[str] = []
        self.fail: Exception | None = None
        self.alerts: list[str] = []
        self.moves: list[tuple[str, str]] = []  # (ClOrdID, state)

    def record(self, *events: AnyEvent) -> None:
        self.steps.append("record")
        self.recorded.extend(events)

    def remember(self, command: NewOrder, cl_ord_id: str) -> None:
        if self.fail is not None:
            raise self.fail
        self.steps.append("remember")
        self.remembered.append((command.client_id, command.command_id, cl_ord_id))

    def may_send_new(self) -> str:
        return "" if self.fail is None else str(self.fail)

    def gate(self, strategy: str, instrument: str) -> str:
        self.steps.append("gate")
        if self.on_gate is not None:
            self.on_gate()
        return self.closed

    def filled(self, order: Order, applied: Applied) -> tuple[AnyEvent, ...]:
        self.fills.append(applied.fill_qty)
        return ()

    def moved(self, order: Order) -> None:
        self.moves.append((order.cl_ord_id, order.state))

    def alert(self, severity: str, code: str, text: str) -> None:
        self.alerts.append(text)


class Bench:
    """Order entry with everything around it."""

    def __init__(self, *, per_instrument: bool = False, mass_is_wide: bool = False, **caps: Any) -> None:
        self.clock = ManualClock()
        self.port = FakePort()
        self.session = FakeSession()
        self.table = OrderTable()
        self.entry = OrderEntry(
            "s", "main", capabilities(**caps), [BTC, ETH], self.table, self.port, self.clock,
            per_instrument=per_instrument, mass_is_wide=mass_is_wide,
        )  # fmt: skip
        self.entry.session = self.session
        self.entry.ready_reason = ""
        self._n = 0

    def new(self, **more: Any) -> NewOrder:
        self._n += 1
        fields: dict[str, Any] = {
            "client_id": "c", "command_id": f"k{self._n}", "deadline_ns": 0, "venue": "v", "instrument": "BTC-USD",
            "side": "1", "ord_type": "2", "order_qty": 100, "price": 500,
        }  # fmt: skip
        return NewOrder(**(fields | more))

    def place(self, **more: Any) -> Order:
        answer = self.entry.handle(self.new(**more))
        assert answer.accepted, answer.reason
        order = self.table.find(answer.cl_ord_id)
        assert order is not None
        return order

    def report(self, order: Order, exec_type: str, ord_status: str, **more: Any) -> None:
        fields: dict[str, Any] = {
            "session": "s", "venue": "v", "account": "main", "instrument": order.instrument,
            "cl_ord_id": order.cl_ord_id, "order_id": f"V-{order.ids[0]}", "exec_id": "", "exec_type": exec_type,
            "ord_status": ord_status, "side": order.side, "ord_type": order.ord_type,
            "time_in_force": order.time_in_force, "px_scale": order.px_scale, "qty_scale": order.qty_scale,
            "order_qty": None, "price": None, "stop_px": None, "last_qty": None, "last_px": None, "cum_qty": None,
            "leaves_qty": None, "transact_ns": 0, "sending_ns": 0, "recv_ns": 0,
        }  # fmt: skip
        self.entry.event(ExecutionReport(**(fields | more)))
