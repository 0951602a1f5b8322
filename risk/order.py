"""One order as the desk sees it, and what makes one: a command, or the order that it takes the place of."""

import msgspec

from ipc.events import OPEN_STATES, OrderState
from ipc.requests import NewOrder
from risk.trades import Trades

# OrdType(40), as the desk has it on every venue. A price or stop price that another type brings along means nothing.
PRICED = frozenset({"2", "4", "T", "V"})
TRIGGERED = frozenset({"3", "4", "R", "T", "U", "V"})  # these wait for the market before they trade
STOP_LIMIT = "4"  # a buy waits for the market to rise to its stop price, a sell for it to fall; T the other way
AT_STOP_PX = frozenset({"3", "R"})  # these trade at about their stop price


class Order(msgspec.Struct, kw_only=True):
    """One order. `ids`: every ClOrdID that named it or a request about it; `cl_ord_id`: the one the venue knows now."""

    session: str
    venue: str
    account: str
    instrument: str
    cl_ord_id: str
    side: str
    ord_type: str
    time_in_force: str
    px_scale: int
    qty_scale: int
    order_qty: int
    price: int | None = None
    stop_px: int | None = None
    order_id: str = ""
    state: str = "PENDING_NEW"
    reason: str = ""
    cum_qty: int = 0
    leaves_qty: int = 0
    strategy: str = ""
    client_id: str = ""
    command_id: str = ""
    exec_inst: str = ""
    sent_ns: int = 0
    since_ns: int = 0
    ids: list[str] = msgspec.field(default_factory=list)
    requests: dict[str, str] = msgspec.field(default_factory=dict)  # request ClOrdID -> "cancel" | "replace" | "status"
    seen: set[tuple[str, str, str]] = msgspec.field(default_factory=set)
    inferred: bool = False  # finished without a report that says so
    display_qty: int | None = None  # instructions that a replace must say again, as in NewOrder
    expire_ns: int = 0
    effective_ns: int = 0
    options: dict[str, str] = msgspec.field(default_factory=dict)
    asked: dict[str, tuple[int, int | None]] = msgspec.field(default_factory=dict)  # (order_qty, price) of a replace
    trades: Trades = msgspec.field(default_factory=Trades)
    status_id: str = ""  # ClOrdID of the latest status request

    @property
    def untold(self) -> int:
        """Filled quantity that no known trade accounts for."""
        missing = self.cum_qty - self.trades.qty
        return missing if missing > 0 else 0

    @property
    def is_open(self) -> bool:
        """Whether the order may still be working at the venue."""
        return self.state in OPEN_STATES

    def snapshot(self, *, whole: bool = False) -> OrderState:
        """The order as an event; `whole`: with its trades, so that a later life knows them one by one."""
        return OrderState(
            session=self.session, venue=self.venue, account=self.account, instrument=self.instrument,
            cl_ord_id=self.cl_ord_id, order_id=self.order_id, state=self.state, side=self.side,
            ord_type=self.ord_type, time_in_force=self.time_in_force, px_scale=self.px_scale,
            qty_scale=self.qty_scale, order_qty=self.order_qty, price=self.price, cum_qty=self.cum_qty,
            leaves_qty=self.leaves_qty, strategy=self.strategy, client_id=self.client_id,
            command_id=self.command_id, since_ns=self.since_ns, reason=self.reason,
            stop_px=self.stop_px, exec_inst=self.exec_inst, inferred=self.inferred,
            display_qty=self.display_qty, expire_ns=self.expire_ns, effective_ns=self.effective_ns,
            options=self.options, untold=self.untold, trades=self.trades.kept() if whole else b"",
        )  # fmt: skip


def order_of(
    command: NewOrder, session: str, account: str, cl_ord_id: str, scales: tuple[int, int], now_ns: int
) -> Order:
    """The order a command asks for; `scales` are (px_scale, qty_scale)."""
    return Order(
        session=session, venue=command.venue, account=account, instrument=command.instrument, cl_ord_id=cl_ord_id,
        side=command.side, ord_type=command.ord_type, time_in_force=command.time_in_force, px_scale=scales[0],
        qty_scale=scales[1], order_qty=command.order_qty, price=command.price, stop_px=command.stop_px,
        leaves_qty=command.order_qty, strategy=command.strategy, client_id=command.client_id,
        command_id=command.command_id, exec_inst=command.exec_inst, sent_ns=now_ns, since_ns=now_ns, ids=[cl_ord_id],
        display_qty=command.display_qty, expire_ns=command.expire_ns, effective_ns=command.effective_ns,
        options=command.options,
    )  # fmt: skip


def successor_of(order: Order, cl_ord_id: str, terms: tuple[int, int | None, int | None], now_ns: int) -> Order:
    """The order that takes another's place; `terms` are (order_qty, price, stop_px)."""
    return Order(
        session=order.session, venue=order.venue, account=order.account, instrument=order.instrument,
        cl_ord_id=cl_ord_id, side=order.side, ord_type=order.ord_type, time_in_force=order.time_in_force,
        px_scale=order.px_scale, qty_scale=order.qty_scale, order_qty=terms[0], price=terms[1], stop_px=terms[2],
        leaves_qty=terms[0], strategy=order.strategy, client_id=order.client_id, command_id=order.command_id,
        exec_inst=order.exec_inst, sent_ns=now_ns, since_ns=now_ns, ids=[cl_ord_id], display_qty=order.display_qty,
        expire_ns=order.expire_ns, effective_ns=order.effective_ns, options=order.options,
    )  # fmt: skip
