"""Orders and reports of the simulated Gemini: 35=D to orders, events to 35=8 and 35=AE (gemini.md, 5 and 7)."""

from decimal import Decimal

from base.decimals import from_scaled
from base.errors import NumberError
from base.instruments import Instrument
from sim import timetext
from sim.fields import SIDES, BusinessError, FieldError, average, need
from sim.gateway import Seat
from sim.orders import BUY, Event, Order, Stp, Trigger
from sim.wire import Field, Message

HEADER = frozenset({8, 9, 10, 34, 35, 43, 49, 52, 56, 97, 115, 122})
KNOWN = HEADER | {11, 18, 23, 38, 40, 44, 54, 55, 59, 60, 99, 110, 152, 544, 9000}
OUT_OF_RANGE = "Value is incorrect (out of range) for this tag"
ECHOED = (18, 59)
FEE = Decimal("0.001")
REASONS = {
    "request": "REQUESTED", "post_only": "MAKER_OR_CANCEL_WOULD_TAKE", "ioc": "IMMEDIATE_OR_CANCEL_WOULD_POST",
    "fok": "FILL_OR_KILL_WOULD_NOT_FILL", "stp": "SELF_CROSS_PREVENTED", "no_liquidity": "EXCEEDS_PRICE_LIMITS",
    "disconnect": "CANCEL_ON_DISCONNECT",
}  # fmt: skip


def parse(message: Message, i: Instrument, order_id: str, seat: Seat, wrong_side: str) -> Order:
    """An order from 35=D. FieldError (35=3) or BusinessError (35=8 150=8) when the venue would refuse it."""
    strange = [tag for tag, _ in message.fields if tag not in KNOWN]
    if strange:
        raise FieldError(2, strange[0], f"Tag not defined for this message type ({strange[0]})")
    need(message, 11, 40, 54, 55, 60)
    kind, side = message.get(40), SIDES.get(message.get(54))
    if kind not in ("1", "2", "4") or side is None:
        raise FieldError(5, 54 if kind in ("1", "2", "4") else 40, OUT_OF_RANGE)
    if message.has(544) and side != BUY:
        raise BusinessError("99", "CashMargin <544> not supported for sell orders")
    by_funds = kind == "1" and side == BUY
    if message.has(152) != by_funds or message.has(38) == by_funds:
        raise FieldError(5, 152, OUT_OF_RANGE)
    qty = 0 if by_funds else _qty(message, i)
    tif = _tif(message, kind)
    price = px_of(message, i, 44) if kind != "1" else None
    order = Order(order_id, message.get(11), i.symbol, seat.owner, side, qty, price, tif, stp=Stp.CANCEL_TAKER)
    if by_funds:
        order.quote_qty = px_of(message, i, 152) * 10**i.qty_scale
    order.post_only = message.has(18)
    if kind == "4":
        order.trigger = _trigger(message, i, order, wrong_side)
    order.wire = {tag: message.get(tag) for tag in (*ECHOED, 152) if message.has(tag)}
    return order


def px_of(message: Message, i: Instrument, tag: int) -> int:
    """A price of the message. BusinessError InvalidPrice."""
    need(message, tag)
    try:
        px = i.px(message.get(tag))
    except NumberError:
        px = 0
    if px <= 0 or px % max(i.tick_size, 1):
        raise BusinessError("99", "InvalidPrice")
    return px


def _qty(message: Message, i: Instrument) -> int:
    qty = i.qty(message.get(38))
    if qty <= 0 or qty < i.min_qty or qty % max(i.lot_size, 1):
        raise FieldError(5, 38, OUT_OF_RANGE)
    return qty


def _tif(message: Message, kind: str) -> str:
    tif, post = message.get(59), message.get(18)
    if kind == "4":
        if post or tif not in ("", "1"):
            raise BusinessError("99", "Stop limit orders only support standard order behavior")
        return "1"
    if kind == "1":
        return "3"
    need(message, 59)
    if tif not in ("1", "3", "4") or (post and (post, tif) != ("6", "1")):
        raise FieldError(5, 59, OUT_OF_RANGE)
    return tif


def _trigger(message: Message, i: Instrument, order: Order, wrong_side: str) -> Trigger:
    if not message.get(99):
        raise BusinessError("99", "StopPx is required for OrdType: 4")
    stop, price, buys = px_of(message, i, 99), order.price or 0, order.side == BUY
    if not stop <= 2 * price <= 3 * stop:
        raise BusinessError("99", "Price must be within 50% of StopPx for OrdType: 4")
    if stop > price if buys else stop < price:
        raise BusinessError("99", wrong_side)
    return Trigger(stop, up=buys)


def fee_of(px: int, qty: int, i: Instrument) -> Decimal:
    """What a fill costs, in quote currency."""
    return (from_scaled(px * qty, i.px_scale + i.qty_scale) * FEE).quantize(Decimal("0.000001"))


def quote_of(i: Instrument) -> str:
    """The currency that an instrument is priced in."""
    return i.name.split("-")[1]


def report(event: Event, i: Instrument, exec_id: str) -> list[Field]:
    """Body of 35=8, tags rising. A trigger is told as 150=0 once more (inferred: there is no other ExecType for it)."""
    o = event.order
    kind = {"C": "4", "D": "0"}.get(event.kind, event.kind)
    status = "4" if kind == "4" else event.status
    fields: list[Field] = [(6, average(event, i)), (11, event.request_id or o.cl_ord_id), (14, i.qty_text(event.cum))]
    fields += [(17, exec_id), (37, o.order_id), (39, status), (54, "1" if o.side == BUY else "2"), (55, o.symbol)]
    fields += [(60, timetext.date_time(event.time_ns)), (150, kind), (151, i.qty_text(event.leaves))]
    fields += [(tag, o.wire[tag]) for tag in (*ECHOED, 152) if tag in o.wire]
    if not o.quote_qty:
        fields.append((38, i.qty_text(event.qty)))
    if event.kind == "4" and event.request_id:
        fields.append((41, o.cl_ord_id))
    if o.price is not None:
        fields.append((44, i.px_text(o.price)))
    if o.trigger is not None:
        fields.append((99, i.px_text(o.trigger.px)))
    if kind == "F":
        fields += [*_fill(event, i), (851, "2" if event.aggressor else "1")]
    if kind == "4":
        fields.append((58, REASONS.get(event.reason, event.reason)))
    return sorted(fields)


def _fill(event: Event, i: Instrument) -> list[Field]:
    fee = fee_of(event.last_px, event.last_qty, i)
    fields: list[Field] = [(31, i.px_text(event.last_px)), (32, i.qty_text(event.last_qty))]
    return [*fields, (12, f"{fee:f}"), (13, "3"), (479, quote_of(i))]


def capture(event: Event, i: Instrument, trade_id: str) -> list[Field]:
    """Body of 35=AE in the order of the venue's samples: price and quantity beside the one side."""
    o, at = event.order, timetext.date_time(event.time_ns)
    last, fee = _fill(event, i)[:2], _fill(event, i)[2:]
    liquidity = "TAKER" if event.aggressor else "MAKER"
    return [
        *last, (55, o.symbol), (60, at), (75, at[:8]), (570, "N"), (571, trade_id), (552, "1"),
        (54, "1" if o.side == BUY else "2"), (37, o.order_id), (11, o.cl_ord_id),
        (453, "1"), (448, o.owner.comp_id), (447, "D"), (452, "11"), *fee, (58, liquidity),
    ]  # fmt: skip
