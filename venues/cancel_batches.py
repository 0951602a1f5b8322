"""Cancels of several orders in one message, where the venue takes them so; each order is answered by itself."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from base.errors import CodecError, SessionError, StoreError, VenueError
from risk.order import Order
from venues.interface import SessionPhase
from venues.order_terms import age_at_venue, working

if TYPE_CHECKING:
    from venues.order_entry import OrderEntry


def batches(orders: Iterable[Order], most: int) -> Iterator[list[Order]]:
    """As they come where the venue takes one at a time, else at most so many of one instrument together."""
    if most <= 1:
        yield from ([order] for order in orders)
        return
    open_: dict[str, list[Order]] = {}
    for order in orders:
        batch = open_.setdefault(order.instrument, [])
        batch.append(order)
        if len(batch) == most:
            yield open_.pop(order.instrument)
    yield from open_.values()


def cancel_together(entry: "OrderEntry", orders: list[Order]) -> str:
    """Ask the venue to cancel these orders of one instrument with one message; why it was not sent.

    It counts as one cancel, of the youngest order; limits and reserve are those of a single one.
    """
    if len(orders) == 1:
        return entry.cancel(orders[0])
    session, instrument = entry.session, entry.instruments.get(orders[0].instrument)
    if session is None or instrument is None or session.phase not in (SessionPhase.READY, SessionPhase.RECOVERING):
        return entry.cancel(orders[0])  # says why
    mono_ns, wall_ns = entry.clock.mono_ns(), entry.clock.wall_ns()
    age_ns = min(age_at_venue(order, wall_ns) for order in orders)
    late = entry.throttle.take(
        "cancel", mono_ns, wall_ns, instrument.name, age_ns, urgent=True, keep=entry.kept_for_mass
    )
    if late:
        return late
    named = [(order, session.make_cl_ord_id(wall_ns)) for order in orders]
    for order, request_id in named:
        entry.table.request(order, request_id, "cancel", wall_ns)
    try:
        session.cancel_orders([(working(o, instrument), r) for o, r in named], mono_ns, wall_ns)
    except (SessionError, VenueError, CodecError, StoreError) as e:
        for order, request_id in named:
            entry.table.withdraw(order, request_id, wall_ns)
        return str(e)
    entry.meter.sent("cancel")
    entry.counters["cancels"] += len(named)
    entry.asked_ns = entry.asked_ns or mono_ns
    for order, _ in named:
        entry.port.record(order.snapshot())
        entry.port.moved(order)
    return ""
