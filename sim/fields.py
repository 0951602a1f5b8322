"""Fields that simulated venues read and write alike: what is missing is refused, what the standard has is said so."""

import json
from decimal import Decimal

from base.decimals import from_scaled
from base.errors import VenueError
from base.http import Response
from base.instruments import Instrument
from sim import timetext
from sim.orders import BUY, SELL, Event, Order
from sim.wire import Field, Message

SIDES = {"1": BUY, "2": SELL}


class FieldError(VenueError):
    """A field is missing or wrong: 35=3."""

    def __init__(self, reason: int, tag: int, text: str) -> None:
        super().__init__(text)
        self.reason, self.tag = reason, tag


class BusinessError(VenueError):
    """A business rule is broken: 35=j with this BusinessRejectReason(380), or an order's refusal."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def need(message: Message, *tags: int) -> None:
    """FieldError (required tag missing) unless every tag has a value."""
    for tag in tags:
        if not message.get(tag):
            raise FieldError(1, tag, f"Required tag missing: {tag}")


def letter(message: Message, tag: int, allowed: str, default: str = "") -> str:
    """The value of `tag`, one letter out of `allowed`. FieldError."""
    value = message.get(tag, default)
    if len(value) != 1 or value not in allowed:
        raise FieldError(5, tag, f"Value is incorrect for tag {tag}: {value!r}")
    return value


def time_of(message: Message, tag: int) -> int:
    """UTC ns of a time field, 0 when it is absent. FieldError when it is no time."""
    if not message.has(tag):
        return 0
    found = timetext.parse(message.get(tag))
    if found is None:
        raise FieldError(6, tag, f"Incorrect time in tag {tag}")
    return found


def standing(order: Order, now_ns: int) -> Event:
    """An order's present state as an event, for 35=H."""
    return Event("I", order, now_ns, order.status, order.cum, order.leaves, order.qty, order.notional)


def average(event: Event, i: Instrument) -> str:
    """AvgPx(6), four digits finer than the price."""
    if not event.cum:
        return "0"
    value = from_scaled(event.notional, i.px_scale + i.qty_scale) / from_scaled(event.cum, i.qty_scale)
    return format(value.quantize(Decimal(1).scaleb(-(i.px_scale + 4))).normalize(), "f")


def rejection(message: Message, exec_id: str, text: str, now_ns: int, reason: str = "99") -> list[Field]:
    """35=8 150=8 for an order that never was. `reason` is OrdRejReason(103)."""
    return [
        (37, "NONE"),
        (11, message.get(11)),
        (17, exec_id),
        (150, "8"),
        (39, "8"),
        (103, reason),
        (55, message.get(55)),
        (54, message.get(54)),
        (38, message.get(38)),
        (151, "0"),
        (14, "0"),
        (6, "0"),
        (60, timetext.date_time(now_ns)),
        (58, text),
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


def json_response(content: object, status: int = 200) -> Response:
    """A REST side's answer."""
    return Response(status, json.dumps(content).encode(), (("Content-Type", "application/json"),))
