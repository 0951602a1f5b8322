"""Orders and reports of the plain FIX 4.4 venue: fields of the standard to orders and back."""

from base.instruments import Instrument
from sim import timetext
from sim.fields import SIDES, FieldError, average, need
from sim.gateway import Seat
from sim.orders import BUY, Event, Order, Stp, Trigger
from sim.wire import Field, Message

TIMES_IN_FORCE = {"": "1", "0": "1", "1": "1", "3": "3", "4": "4", "6": "6"}  # a day never ends here


def parse(message: Message, instrument: Instrument, order_id: str, seat: Seat, now_ns: int) -> tuple[Order | None, str]:
    """An order from 35=D, or the text of its rejection."""
    side, kind, tif = SIDES.get(message.get(54)), message.get(40), TIMES_IN_FORCE.get(message.get(59))
    if side is None:
        raise FieldError(5, 54, "Value is incorrect: Side (54)")
    if kind not in {"1", "2", "3", "4"} or tif is None:
        return None, "unsupported order type or time in force"
    qty = instrument.qty(message.get(38))
    if qty <= 0 or qty < instrument.min_qty or (instrument.max_qty and qty > instrument.max_qty):
        return None, "quantity is out of bounds"
    price = None
    if kind in {"2", "4"}:
        need(message, 44)
        price = instrument.px(message.get(44))
        if price <= 0 or price % max(instrument.tick_size, 1):
            return None, "price is not a positive multiple of the tick"
    order = Order(order_id, message.get(11), instrument.symbol, seat.owner, side, qty, price, tif)
    order.post_only = "6" in message.get(18).split()
    order.display = instrument.qty(message.get(111)) if message.has(111) else 0
    order.stp = Stp.CANCEL_TAKER
    if kind in {"3", "4"}:
        need(message, 99)
        order.trigger = Trigger(instrument.px(message.get(99)), up=side == BUY)
    if tif == "6":
        expire = timetext.parse(message.get(126))
        if expire is None or expire <= now_ns:
            return None, "ExpireTime (126) is missing or past"
        order.expire_ns = expire
    order.wire = {tag: message.get(tag) for tag in (1, 18, 21, 40, 59, 111) if message.has(tag)}
    return order, ""


def report(event: Event, i: Instrument, exec_id: str) -> list[Field]:
    """Body of 35=8."""
    o, kind, status = event.order, event.kind, event.status
    if kind == "C" and event.reason != "expired":
        kind = status = "4"  # the standard's canceled: what is left of an IOC, a kill, a market order
    if kind == "5":
        status = "1" if event.cum else "0"
    fields: list[Field] = [(37, o.order_id), (11, event.request_id or o.cl_ord_id)]
    if kind in "456" and event.request_id:
        fields.append((41, o.origin if kind == "5" else o.cl_ord_id))
    fields += [(17, exec_id), (150, kind), (39, status)]
    fields += [(tag, o.wire[tag]) for tag in (1, 18, 21, 59, 111) if tag in o.wire]
    fields += [(55, o.symbol), (54, "1" if o.side == BUY else "2"), (38, i.qty_text(event.qty))]
    fields.append((40, o.wire.get(40, "2")))
    if o.price is not None:
        fields.append((44, i.px_text(o.price)))
    if o.trigger is not None:
        fields.append((99, i.px_text(o.trigger.px)))
    if kind == "F":
        fields += [(32, i.qty_text(event.last_qty)), (31, i.px_text(event.last_px)), (527, str(event.trade_id))]
    fields += [(151, i.qty_text(event.leaves)), (14, i.qty_text(event.cum)), (6, average(event, i))]
    fields.append((60, timetext.date_time(event.time_ns)))
    if event.reason:
        fields.append((58, event.reason))
    return fields


def unknown_order(message: Message, exec_id: str) -> list[Field]:
    """35=8 150=I 39=8 for a status request that names nothing."""
    return [
        (37, "NONE"),
        (11, message.get(11)),
        (17, exec_id),
        (150, "I"),
        (39, "8"),
        (55, message.get(55)),
        (54, message.get(54, "1")),
        (151, "0"),
        (14, "0"),
        (6, "0"),
        (58, "unknown order"),
    ]


def no_orders(message: Message, exec_id: str) -> list[Field]:
    """35=8 150=I 39=8 for a mass status request that matches nothing."""
    return [
        (37, "NONE"),
        (17, exec_id),
        (150, "I"),
        (39, "8"),
        (103, "5"),
        (54, "7"),
        (151, "0"),
        (14, "0"),
        (6, "0"),
        (584, message.get(584)),
        (911, "0"),
        (912, "Y"),
        (58, "no orders"),
    ]


def mass_report(message: Message, count: int | None, problem: str, exec_id: str, now_ns: int) -> list[Field]:
    """35=r. `problem` is MassCancelRejectReason(532), empty when accepted."""
    fields: list[Field] = [(11, message.get(11)), (37, exec_id), (530, message.get(530))]
    fields.append((531, "0" if problem else message.get(530)))
    fields += [(532, problem)] if problem else [(533, str(count or 0))]
    if message.has(55):
        fields.append((55, message.get(55)))
    return [*fields, (60, timetext.date_time(now_ns))]
