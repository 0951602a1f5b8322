"""Terms of orders: what is wrong with them before they leave (empty text: nothing), and how sessions see them."""

from decimal import Decimal

import msgspec

from base.instruments import Instrument
from ipc.events import ExecutionReport
from ipc.requests import NewOrder
from risk.order import PRICED, Order
from venues.interface import Capabilities, WorkingOrder

AGE_SLACK_NS = 1_000_000_000  # on its way to the venue


def check_new(command: NewOrder, instrument: Instrument, capabilities: Capabilities) -> str:
    """The first term of a new order that venue or instrument do not take, by name."""
    if command.side not in ("1", "2"):
        return f"side: {command.side!r} is neither '1' (buy) nor '2' (sell)"
    if command.ord_type not in capabilities.new_types:
        return f"ord_type: {command.ord_type!r} is not one of {sorted(capabilities.new_types)}"
    if command.time_in_force not in capabilities.times_in_force:
        return f"time_in_force: {command.time_in_force!r} is not one of {sorted(capabilities.times_in_force)}"
    if command.ord_type in PRICED and command.price is None:
        return f"price: required for ord_type {command.ord_type!r}"
    return check_figures(command.order_qty, command.price, command.stop_px, instrument)


def check_figures(order_qty: int, price: int | None, stop_px: int | None, instrument: Instrument) -> str:
    """The first quantity or price that does not fit the instrument's steps and limits, by name."""
    if order_qty <= 0 or order_qty % instrument.lot_size or order_qty < instrument.min_qty:
        return _misfit(order_qty, instrument)
    if instrument.max_qty and order_qty > instrument.max_qty:
        return _misfit(order_qty, instrument)
    if price is not None and (price <= 0 or price % instrument.tick_size):
        return _off_tick("price", price, instrument)
    if stop_px is not None and (stop_px <= 0 or stop_px % instrument.tick_size):
        return _off_tick("stop_px", stop_px, instrument)
    return _notional(order_qty, price or stop_px, instrument) if instrument.min_notional else ""


def _misfit(order_qty: int, instrument: Instrument) -> str:
    qty = instrument.qty_text
    if order_qty <= 0:
        return f"order_qty: {order_qty} is not positive"
    if order_qty % instrument.lot_size:
        return f"order_qty: {qty(order_qty)} is not a multiple of {qty(instrument.lot_size)}"
    if order_qty < instrument.min_qty:
        return f"order_qty: {qty(order_qty)} is below the minimum {qty(instrument.min_qty)}"
    return f"order_qty: {qty(order_qty)} is above the maximum {qty(instrument.max_qty)}"


def _off_tick(name: str, px: int, instrument: Instrument) -> str:
    if px <= 0:
        return f"{name}: {px} is not positive"
    return f"{name}: {instrument.px_text(px)} is not a multiple of {instrument.px_text(instrument.tick_size)}"


def _notional(order_qty: int, px: int | None, instrument: Instrument) -> str:
    """Of a market order the venue alone knows the value."""
    if px is None:
        return ""
    value = Decimal(order_qty * px).scaleb(-instrument.px_scale - instrument.qty_scale)
    if value < Decimal(instrument.min_notional):
        return f"order_qty: worth {value.normalize():f}, below the minimum of {instrument.min_notional}"
    return ""


def age_at_venue(order: Order, wall_ns: int) -> int:
    """ns since the order was made or last changed, the least that the venue may reckon with: the young cost more."""
    return wall_ns - order.since_ns - AGE_SLACK_NS


def working(order: Order, instrument: Instrument) -> WorkingOrder:
    """An order as a session wants to see it."""
    return WorkingOrder(
        instrument=instrument, cl_ord_id=order.cl_ord_id, order_id=order.order_id, side=order.side,
        ord_type=order.ord_type, time_in_force=order.time_in_force, order_qty=order.order_qty, price=order.price,
        stop_px=order.stop_px, leaves_qty=order.leaves_qty, cum_qty=order.cum_qty, sent_ns=order.sent_ns,
        exec_inst=order.exec_inst, display_qty=order.display_qty, expire_ns=order.expire_ns,
        effective_ns=order.effective_ns, options=order.options,
    )  # fmt: skip


def owned(report: ExecutionReport, order: Order, *, swept: bool = False) -> ExecutionReport:
    """The report with the owner that the desk knows; a session does not know whose an order is.

    `swept`: the desk is cancelling all that it has.
    """
    return msgspec.structs.replace(
        report, strategy=order.strategy, client_id=order.client_id, command_id=order.command_id,
        swept=swept and report.exec_type == "4",
    )  # fmt: skip
