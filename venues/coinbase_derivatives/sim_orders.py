"""Orders and reports of the simulated Coinbase Derivatives: fields to orders and back (coinbase-derivatives.md, 5)."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from base.instruments import Instrument
from sim import timetext
from sim.fields import SIDES, BusinessError, FieldError, average, letter, need
from sim.gateway import Seat
from sim.orders import BUY, Event, Order, Stp, Trigger
from sim.wire import Field, Message

CHICAGO = ZoneInfo("America/Chicago")
UNKNOWN_SYMBOL, CLOSED, DUPLICATE, OTHER = "1", "2", "6", "99"
"""OrdRejReason(103)."""
ECHOED = (1, 18, 40, 59, 77, 110, 167, 204, 432, 528, 582, 1028, 1031, 3040, 7928, 8000)
SMP = {"N": Stp.CANCEL_TAKER, "O": Stp.CANCEL_MAKER, "Q": Stp.CANCEL_BOTH}
RESTATED = {"disconnect": "100", "stp": "107", "engine": "8", "rest": "106"}
"""Why the venue cancelled by itself: ExecRestatementReason(378)."""
TEXTS = {
    "ioc": "IOC remainder",
    "fok": "FOK not filled",
    "no_liquidity": "Insufficient liquidity",
    "expired": "Expired",
}


def parse(message: Message, instrument: Instrument, order_id: str, seat: Seat, now_ns: int) -> Order:
    """An order from 35=D or the new terms from 35=G. FieldError or BusinessError (with a 103)."""
    need(message, 1, 11, 38, 40, 54, 55, 60, 167, 528, 582, 1028, 1031)
    if message.get(167) not in {"FUT", "OPT"}:
        raise FieldError(5, 167, "Value is incorrect: SecurityType (167)")
    side = SIDES.get(message.get(54))
    if side is None:
        raise FieldError(5, 54, "Value is incorrect: Side (54)")
    kind, tif = letter(message, 40, "1234O"), letter(message, 59, "01346", "0")
    letter(message, 1028, "YN")
    letter(message, 1031, "WYCGHD")
    letter(message, 582, "1234")
    letter(message, 528, "AP")
    if not message.get(38).isdecimal() or int(message.get(38)) < 1:
        raise FieldError(6, 38, "OrderQty (38) is no positive whole number")
    qty = instrument.qty(message.get(38))
    price = px_of(message, instrument, 44) if kind in "24O" else None
    order = Order(order_id, message.get(11), instrument.symbol, seat.owner, side, qty, price, tif)
    _trigger(message, order, instrument, kind)
    if message.get(18) == "6":
        if kind == "O":
            raise BusinessError(OTHER, "OCO orders are never post-only")
        order.post_only = True
    order.stp = SMP.get(message.get(8000), Stp.NONE) if message.has(7928) else Stp.NONE
    if tif == "6":
        order.expire_ns = _end_of(message.get(432), now_ns)
    order.wire = {tag: message.get(tag) for tag in ECHOED if message.has(tag)}
    return order


def _trigger(message: Message, order: Order, instrument: Instrument, kind: str) -> None:
    if kind in "34O":
        stop = px_of(message, instrument, 99)
        if kind == "O":
            price = order.price or 0
            if order.tif not in "016" or (price >= stop if order.side == BUY else price <= stop):
                raise BusinessError(OTHER, "OCO: prices or TimeInForce do not fit")
            return  # the simulated venue works its limit side alone
        order.trigger = Trigger(stop, up=order.side == BUY)


def _end_of(day: str, now_ns: int) -> int:
    """The end of ExpireDate(432) in Chicago, UTC ns."""
    try:
        begins = datetime.strptime(day, "%Y%m%d").replace(tzinfo=CHICAGO)
    except ValueError:
        raise FieldError(6, 432, "ExpireDate (432) is no date") from None
    ends_ns = int((begins + timedelta(days=1)).timestamp()) * 1_000_000_000
    if ends_ns <= now_ns:
        raise BusinessError(OTHER, "ExpireDate (432) is past")
    return ends_ns


def px_of(message: Message, instrument: Instrument, tag: int) -> int:
    """A price of the message."""
    need(message, tag)
    px = instrument.px(message.get(tag))
    if px <= 0 or px % max(instrument.tick_size, 1):
        raise BusinessError(OTHER, f"tag {tag} is not a positive multiple of the tick")
    return px


def report(event: Event, i: Instrument, exec_id: str) -> list[Field]:
    """Body of 35=8."""
    o, kind, status = event.order, event.kind, event.status
    if kind == "C" and event.reason != "expired":
        kind = status = "4"  # what is left of an IOC or a market order
    if kind == "5":
        status = "5"  # "modify"
    if kind == "D" or event.reason == "triggered":
        kind = "L"
    fields: list[Field] = [(37, o.order_id), (11, event.request_id or o.cl_ord_id)]
    if kind in "45" and event.request_id:
        fields.append((41, o.origin if kind == "5" else o.cl_ord_id))
    fields += [(17, exec_id), (150, kind), (39, status)]
    fields += [(tag, o.wire[tag]) for tag in ECHOED if tag in o.wire]
    fields += [(55, o.symbol), (54, "1" if o.side == BUY else "2"), (38, i.qty_text(event.qty))]
    if o.price is not None:
        fields.append((44, i.px_text(o.price)))
    if o.trigger is not None:
        fields.append((99, i.px_text(o.trigger.px)))
    if kind == "F":
        fields += [(32, i.qty_text(event.last_qty)), (31, i.px_text(event.last_px)), (880, str(event.trade_id))]
        fields += [(1057, "Y" if event.aggressor else "N"), (442, "1")]
    fields += [(151, i.qty_text(event.leaves)), (14, i.qty_text(event.cum)), (6, average(event, i))]
    fields.append((60, timetext.date_time(event.time_ns, 6)))
    if kind == "4" and event.reason in RESTATED:
        fields.append((378, RESTATED[event.reason]))
    if event.reason:
        fields.append((58, TEXTS.get(event.reason, event.reason)))
    return fields


def refused(message: Message, exec_id: str, reason: str, text: str, now_ns: int) -> list[Field]:
    """35=8 150=8 for an order that never was."""
    return [
        (37, "0"), (11, message.get(11)), (17, exec_id), (150, "8"), (39, "8"), (103, reason), (55, message.get(55)),
        (54, message.get(54)), (38, message.get(38)), (151, "0"), (14, "0"), (6, "0"),
        (60, timetext.date_time(now_ns, 6)), (58, text),
    ]  # fmt: skip


def cancel_refused(message: Message, reason: str, text: str, now_ns: int) -> list[Field]:
    """35=9: 39 is U, 41 is 0 where the request had none."""
    return [
        (1, message.get(1)), (11, message.get(11)), (37, message.get(37, "0")), (39, "U"), (41, message.get(41, "0")),
        (434, "2" if message.msg_type == "G" else "1"), (55, message.get(55)), (58, text),
        (60, timetext.date_time(now_ns, 6)), (102, reason), (5979, timetext.date_time(now_ns, 6)),
    ]  # fmt: skip
