"""Orders and reports of the simulated Crypto.com: fields to orders and back (crypto-com.md, 5)."""

from decimal import Decimal

from base.decimals import from_scaled, to_scaled
from base.errors import NumberError
from base.instruments import Instrument
from sim import timetext
from sim.fields import BusinessError, FieldError, average, letter, need
from sim.gateway import Seat
from sim.orders import BUY, SELL, Event, Order, Stp
from sim.wire import Field, Message, number

STP = {"1": Stp.CANCEL_TAKER, "2": Stp.CANCEL_MAKER, "3": Stp.CANCEL_BOTH}
UNKNOWN_SYMBOL, UNKNOWN_ORDER, OTHER = "1", "5", "99"
"""OrdRejReason(103)."""
REASONS = {
    "ioc": "IMMEDIATE_OR_CANCEL", "fok": "FILL_OR_KILL", "post_only": "POST_ONLY_REJ", "stp": "SELF_TRADE_PREVENTION",
}  # fmt: skip
FEE = Decimal("0.00075")
WINDOW_MS = 5_000


def parse(message: Message, i: Instrument, order_id: str, seat: Seat, now_ns: int) -> Order:
    """An order from 35=D. FieldError (35=3) or BusinessError (35=8 150=8) when the venue would not take it."""
    need(message, 11, 40, 54, 55, 60)
    side = BUY if letter(message, 54, "12") == "1" else SELL
    kind, tif = letter(message, 40, "12D"), letter(message, 59, "134", "1")
    if kind == "D":
        raise BusinessError(OTHER, "INVALID_ORDTYPE")
    _in_time(message, now_ns)
    price = px_of(message, i) if kind == "2" else None
    by_funds = message.has(152)
    if by_funds and (message.has(38) or price is not None or side != BUY):
        raise BusinessError(OTHER, "CashOrderQty (152) is for market orders that buy, without OrderQty (38)")
    qty = 0 if by_funds else qty_of(message, i)
    order = Order(order_id, message.get(11), i.symbol, seat.owner, side, qty, price, tif)
    if by_funds:
        order.quote_qty = i.px(message.get(152)) * 10**i.qty_scale
    if message.has(18):
        order.post_only = letter(message, 18, "68") in "68"
        if tif != "1":
            raise BusinessError(OTHER, "POST_ONLY_REJ")
    if message.has(12362) != message.has(2964) or (message.has(2362) and not message.has(12362)):
        raise BusinessError(OTHER, "SelfMatchPreventionScope (12362) and -Instruction (2964) go together")
    if message.has(12362):
        letter(message, 12362, "MS")
        order.stp = STP[letter(message, 2964, "123")]
    order.wire = {tag: message.get(tag) for tag in (18,) if message.has(tag)}
    return order


def _in_time(message: Message, now_ns: int) -> None:
    """ReceiveWindow(20100): out of its range it counts as 5000."""
    asked = number(message.get(20100), WINDOW_MS)
    window = asked if 100 <= asked <= WINDOW_MS else WINDOW_MS
    if abs(now_ns - (timetext.parse(message.get(52)) or 0)) > window * 1_000_000:
        raise BusinessError(OTHER, "ReceiveWindow exceeded")


def px_of(message: Message, i: Instrument) -> int:
    """Price(44). BusinessError when it is none that the venue takes."""
    need(message, 44)
    px = _scaled(message, 44, i.px_scale)
    if px <= 0 or px % max(i.tick_size, 1):
        raise BusinessError(OTHER, "INVALID_PRICE")
    return px


def qty_of(message: Message, i: Instrument) -> int:
    """OrderQty(38). BusinessError when it is none that the venue takes."""
    need(message, 38)
    qty = _scaled(message, 38, i.qty_scale)
    if qty <= 0 or qty < i.min_qty or qty % max(i.lot_size, 1):
        raise BusinessError(OTHER, "INVALID_ORDERQTY")
    return qty


def _scaled(message: Message, tag: int, scale: int) -> int:
    try:
        return to_scaled(message.get(tag), scale)
    except NumberError as error:
        raise FieldError(6, tag, str(error)) from None


def fee_of(px: int, qty: int, i: Instrument) -> Decimal:
    """What a fill costs, in quote currency."""
    return from_scaled(px * qty, i.px_scale + i.qty_scale) * FEE


def report(event: Event, i: Instrument, exec_id: str) -> list[Field]:
    """Body of 35=8. What ends an order without its owner's asking ends it by 150=4: there is no other value."""
    o = event.order
    kind, status = ("4", "4") if event.kind == "C" else (event.kind, event.status)
    request = event.request_id if event.kind in "46" else ""
    fields: list[Field] = [(11, request or o.cl_ord_id)]
    if request or o.origin:
        fields.append((41, o.cl_ord_id if request else o.origin))
    fields += [(tag, value) for tag, value in o.wire.items()]
    fields += [(37, o.order_id), (17, exec_id), (55, o.symbol), (54, "1" if o.side == BUY else "2")]
    fields.append((38, i.qty_text(event.qty)))
    if o.price is not None:
        fields.append((44, i.px_text(o.price)))
    fields += [(150, kind), (39, status), (14, i.qty_text(event.cum)), (151, i.qty_text(event.leaves))]
    fields += [(636, "Y" if event.leaves else "N"), (60, timetext.date_time(event.time_ns))]
    if kind == "0":
        fields.append((6616, timetext.date_time(o.opened_ns)))
    if kind == "F":
        quote = i.name.split("-")[1]
        fields += [(31, i.px_text(event.last_px)), (32, i.qty_text(event.last_qty))]
        fields += [(851, "2" if event.aggressor else "1"), (6, average(event, i))]
        fields += [(12, format(fee_of(event.last_px, event.last_qty, i).normalize(), "f")), (2643, quote), (13, "3")]
        fields += [(880, str(event.trade_id)), (10060, timetext.date_time(event.time_ns)), (20101, "1")]
    if event.reason in REASONS:
        fields.append((58, REASONS[event.reason]))
    return [*fields, (544, "1")]


def rejection(message: Message, exec_id: str, reason: str, text: str, now_ns: int) -> list[Field]:
    """35=8 150=8 of an order that never was."""
    return [
        (11, message.get(11)), (37, "0"), (17, exec_id), (55, message.get(55)), (54, message.get(54)),
        (38, message.get(38, "0")), (150, "8"), (39, "8"), (14, "0"), (151, "0"),
        (60, timetext.date_time(now_ns)), (103, reason), (58, text),
    ]  # fmt: skip


def no_status(message: Message, exec_id: str, reason: str, text: str) -> list[Field]:
    """35=8 150=I of a status request that found no open order."""
    return [
        (11, message.get(11, "NONE")), (37, message.get(37, "NONE")), (17, exec_id), (55, message.get(55)), (54, "1"),
        (38, "0"), (150, "I"), (39, "8"), (14, "0"), (151, "0"), (103, reason), (58, text), (911, "0"), (912, "Y"),
    ]  # fmt: skip


def cancel_reject(message: Message, order: Order | None, code: str, text: str) -> list[Field]:
    """35=9."""
    return [
        (37, order.order_id if order else message.get(37, "NONE")), (11, message.get(11)), (41, message.get(41)),
        (39, order.status if order else "8"), (434, "2" if message.msg_type == "G" else "1"), (102, code), (58, text),
    ]  # fmt: skip
