"""Replacing orders: the checks of a change, and the order that takes another's place where a venue makes a new one."""

from typing import TYPE_CHECKING

from base.errors import SessionError
from base.instruments import Instrument
from ipc.requests import ReplaceOrder
from risk.order import Order, successor_of
from venues.interface import Replace, TradingSession
from venues.order_terms import age_at_venue, check_figures, working

if TYPE_CHECKING:
    from venues.order_entry import OrderEntry


def replace(entry: "OrderEntry", order: Order, command: ReplaceOrder) -> str:
    """Judge a change of a working order and send it; why it did not leave."""
    price = command.price if command.price is not None else order.price
    stop_px = command.stop_px if command.stop_px is not None else order.stop_px
    qty = command.order_qty
    if command.strategy and command.strategy != order.strategy:
        return f"strategy: {order.cl_ord_id} is of {order.strategy!r}, not of {command.strategy!r}"
    reason = _objection(entry, order, qty, price, stop_px) or _late(entry, order, qty, price, stop_px)
    if reason:
        return reason

    def send(s: TradingSession, i: Instrument, request_id: str, mono_ns: int, wall_ns: int) -> None:
        target = working(order, i)
        if s.replace_is_new(target, qty, price, stop_px):
            _enter_successor(entry, order, request_id, qty, price, stop_px, wall_ns)
        closed = entry.port.gate(order.strategy, order.instrument)  # read last, as for a new order
        if closed:
            raise SessionError(closed)
        s.replace_order(target, request_id, qty, price, stop_px, mono_ns, wall_ns)
        entry.counters["orders"] += 1
        entry.checks.changed(order, mono_ns)

    return entry.request(order, "replace", send, (qty, price))


def _objection(entry: "OrderEntry", order: Order, qty: int, price: int | None, stop_px: int | None) -> str:
    if entry.capabilities.replace == Replace.NONE:
        return f"{order.venue} cannot replace orders"
    closed = entry.port.gate(order.strategy, order.instrument) or entry.port.may_send_new()
    if closed:
        return closed
    if entry.ready_reason:
        return f"session {entry.name} is not ready: {entry.ready_reason}"
    instrument = entry.instruments.get(order.instrument)
    if instrument is None:
        return f"instrument: {entry.name} no longer has {order.instrument!r}"
    if not order.ord_type:
        return f"ord_type: how {order.cl_ord_id} was placed is not known any more; cancel it and place anew"
    return check_figures(qty, price, stop_px, instrument)


def _late(entry: "OrderEntry", order: Order, qty: int, price: int | None, stop_px: int | None) -> str:
    if entry.session is None:
        return f"session {entry.name} is not connected"
    instrument = entry.instruments[order.instrument]
    swap = entry.session.replace_is_new(working(order, instrument), qty, price, stop_px)
    mono_ns, wall_ns = entry.clock.mono_ns(), entry.clock.wall_ns()
    over = entry.checks.replace(order, instrument, qty, price, stop_px, swap, mono_ns)
    request = "swap" if swap else "amend"
    return over or entry.throttle.take(request, mono_ns, wall_ns, order.instrument, age_at_venue(order, wall_ns))


def _enter_successor(
    entry: "OrderEntry", order: Order, cl_ord_id: str, qty: int, price: int | None, stop_px: int | None, wall_ns: int
) -> None:
    """The venue cancels the old order and places a new one: it is in our books before the bytes leave."""
    entry.table.disown(order, cl_ord_id)
    successor = successor_of(order, cl_ord_id, (qty, price, stop_px), wall_ns)
    entry.table.add(successor)
    entry.port.record(successor.snapshot())
    entry.port.moved(successor)
