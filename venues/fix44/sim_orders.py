"""Orders and reports of the plain FIX 4.4 venue: fields of the standard to orders and back."""

from decimal import Decimal

from base.decimals import from_scaled
from base.errors import VenueError
from base.instruments import Instrument
from sim import timetext
from sim.gateway import Seat
from sim.orders import BUY, SELL, Event, Order, Stp, Trigger
from sim.wire import Field, Message

SIDES = {"1": BUY, "2": SELL}
TIMES_IN_FORCE = {"": "1", "0": "1", "1": "1", "3": "3", "4": "4", "6": "6"}  # a day never ends here


class FieldError(VenueError):
    """A field is missing or wrong: 35=3."""

    def __init__(self, reason: int, tag: int, text: str) -> None:
        super().__init__(text)
        self.reason, self.tag = reason, tag


def need(message: Message, *tags: int) -> None:
    """FieldError (required tag missing) unless every tag has a value."""
    for tag in tags:
        if not message.get(tag):
            raise FieldError(1, tag, f"Required tag missing: {tag}")


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


def standing(order: Order, now_ns: int) -> Event:
    """An order's present state as an event, for 35=H."""
    return Event("I", order, now_ns, order.status, order.cum, order.leaves, order.qty, order.notional)


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


def average(event: Event, i: Instrument) -> str:
    """AvgPx(6), four digits finer than the price."""
    if not event.cum:
        return "0"
    value = from_scaled(event.notional, i.px_scale + i.qty_scale) / from_scaled(event.cum, i.qty_scale)
    return format(value.quantize(Decimal(1).scaleb(-(i.px_scale + 4))).normalize(), "f")


def rejection(message: Message, exec_id: str, text: str, now_ns: int) -> list[Field]:
    """35=8 150=8 for an order that never was."""
    return [
        (37, "NONE"),
        (11, message.get(11)),
        (17, exec_id),
        (150, "8"),
        (39, "8"),
        (103, "99"),
        (55, message.get(55)),
        (54, message.get(54)),
        (38, message.get(38)),
        (151, "0"),
        (14, "0"),
        (6, "0"),
        (60, timetext.date_time(now_ns)),
        (58, text),
    ]


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


def cancel_reject(message: Message, order: Order | None, reason: str, text: str, now_ns: int) -> list[Field]:
    """35=9. `reason` is CxlRejReason(102)."""
    return [
        (37, order.order_id if order else "NONE"),
        (11, message.get(11)),
        (41, message.get(41)),
        (39, order.status if order else "8"),
        (434, "2" if message.msg_type == "G" else "1"),
        (102, reason),
        (60, timetext.date_time(now_ns)),
        (58, text),
    ]


def mass_report(message: Message, count: int | None, problem: str, exec_id: str, now_ns: int) -> list[Field]:
    """35=r. `problem` is MassCancelRejectReason(532), empty when accepted."""
    fields: list[Field] = [(11, message.get(11)), (37, exec_id), (530, message.get(530))]
    fields.append((531, "0" if problem else message.get(530)))
    fields += [(532, problem)] if problem else [(533, str(count or 0))]
    if message.has(55):
        fields.append((55, message.get(55)))
    return [*fields, (60, timetext.date_time(now_ns))]
