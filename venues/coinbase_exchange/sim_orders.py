"""Orders and reports of the simulated Coinbase Exchange: fields to orders and back (coinbase-exchange.md, 5)."""

import re
from decimal import Decimal

from base.decimals import from_scaled
from base.errors import VenueError
from base.instruments import Instrument
from sim import timetext
from sim.fields import FieldError, average, letter, need, time_of
from sim.gateway import SECOND_NS, Seat
from sim.matching import Market
from sim.orders import BUY, SELL, Event, Order, Stp, Trigger
from sim.wire import Field, Message

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
STP = {"D": Stp.DECREMENT, "O": Stp.CANCEL_MAKER, "N": Stp.CANCEL_TAKER, "B": Stp.CANCEL_BOTH}
REASONS = {
    "ioc": "101:Time In Force",
    "fok": "101:Time In Force",
    "expired": "101:Time In Force",
    "stp": "102:Self Trade Prevention",
    "no_liquidity": "106:Insufficient Liquidity",
    "post_only": "post only",
    "disconnect": "103:Admin",
}
ECHOED = (18, 40, 59, 126, 1109, 7928)
GTD_MOST_NS = 90 * 86_400 * SECOND_NS
FEE = Decimal("0.0025")


class EngineError(VenueError):
    """The engine refuses an order: 35=8 150=8 with OrdRejReason(103)."""

    def __init__(self, text: str, reason: str = "0") -> None:
        super().__init__(text)
        self.reason = reason


def check_id(message: Message, tag: int) -> None:
    """Ids are lower-case version 4 UUIDs. EngineError."""
    if not UUID4.fullmatch(message.get(tag)):
        raise EngineError(f"tag {tag} is not a version 4 UUID: {message.get(tag)!r}")


def parse(message: Message, i: Instrument, market: Market, order_id: str, seat: Seat, now_ns: int) -> Order:
    """An order from 35=D or an entry of U6. FieldError (35=3) or EngineError when the venue would not take it."""
    need(message, 11, 40, 54, 55, 59)
    check_id(message, 11)
    side = BUY if letter(message, 54, "12") == "1" else SELL
    kind, tif = letter(message, 40, "124O"), letter(message, 59, "1346")
    price = px_of(message, i, 44) if kind != "1" else None
    qty = _quantity(message, i, kind, price)
    order = Order(order_id, message.get(11), i.symbol, seat.owner, side, qty, price, tif)
    if kind == "1" and message.has(152):
        order.quote_qty = i.px(message.get(152)) * 10**i.qty_scale
    order.post_only = letter(message, 18, "A", "-") == "A" if message.has(18) else False
    order.stp = STP[letter(message, 7928, "DONB", "D")]
    order.expire_ns = _expiry(message, tif, now_ns)
    order.wire = {tag: message.get(tag) for tag in ECHOED if message.has(tag)}
    if kind == "4":
        order.trigger = _trigger(message, i, market)
    if kind == "O":
        _bracket(message, i, order)
    return order


def px_of(message: Message, i: Instrument, tag: int) -> int:
    """A price that fits the increment. FieldError, EngineError."""
    need(message, tag)
    px = i.px(message.get(tag))
    if px <= 0 or px % max(i.tick_size, 1):
        raise EngineError(f"price increment: {message.get(tag)}")
    return px


def size_of(message: Message, i: Instrument) -> int:
    """OrderQty(38) that fits the increment. FieldError, EngineError."""
    need(message, 38)
    qty = i.qty(message.get(38))
    if qty <= 0 or qty < i.min_qty or qty % max(i.lot_size, 1):
        raise EngineError(f"size increment: {message.get(38)}")
    return qty


def _quantity(message: Message, i: Instrument, kind: str, price: int | None) -> int:
    if not message.has(152):
        return size_of(message, i)
    if message.has(38) or kind not in "12":
        raise EngineError("CashOrderQty (152) goes with market or limit orders, without OrderQty (38)")
    if price is None:
        return 0
    qty: int = i.px(message.get(152)) * 10**i.qty_scale // price
    return qty - qty % max(i.lot_size, 1)


def _expiry(message: Message, tif: str, now_ns: int) -> int:
    expire = time_of(message, 126)
    if (tif == "6") != bool(expire):
        raise FieldError(1 if tif == "6" else 2, 126, "ExpireTime (126) goes with TimeInForce 6")
    if expire and not now_ns < expire <= now_ns + GTD_MOST_NS:
        raise EngineError("101:Time In Force")
    return expire


def _trigger(message: Message, i: Instrument, market: Market) -> Trigger:
    px = px_of(message, i, 99)
    if message.has(1109):
        return Trigger(px, up=letter(message, 1109, "UD") == "U")
    bid, ask = market.best()
    return Trigger(px, up=px >= (market.last_px or bid or ask or px))


def _bracket(message: Message, i: Instrument, order: Order) -> None:
    if order.tif not in "16" or order.post_only or message.has(1109):
        raise EngineError("take profit stop loss: GTC or GTD, no post only, no trigger direction")
    stop, limit, price = px_of(message, i, 99), px_of(message, i, 3040), order.price or 0
    if not (price < stop < limit if order.side == BUY else price > stop > limit):
        raise EngineError("take profit stop loss: prices are not in order")
    order.wire |= {99: message.get(99), 3040: message.get(3040)}


def fee_of(px: int, qty: int, i: Instrument) -> Decimal:
    """What a fill costs, in quote currency."""
    return from_scaled(px * qty, i.px_scale + i.qty_scale) * FEE


def report(event: Event, i: Instrument, exec_id: str, rpt_seq: int, *, repriced: bool = False) -> list[Field]:
    """Body of 35=8, behind RptSeq(83), which belongs to the header. `repriced`: a bracket's trigger, no replace."""
    o, kind, status = event.order, event.kind, event.status
    if kind == "5":
        status, kind = ("1" if event.cum else "0", "D") if repriced else ("5", "5")
    if kind == "C" and event.reason not in ("ioc", "fok", "no_liquidity", "expired"):
        kind = status = "4"
    text = REASONS.get(event.reason, "")
    fields: list[Field] = [(83, str(rpt_seq)), (6, average(event, i)), (11, o.cl_ord_id)]
    fields += [(14, i.qty_text(event.cum)), (17, exec_id), (37, o.order_id), (39, status)]
    if kind == "5":
        fields.append((41, o.origin))
    fields += [(55, o.symbol), (54, "1" if o.side == BUY else "2")]
    if kind == "F":
        fields += [(32, i.qty_text(event.last_qty)), (31, i.px_text(event.last_px)), (1003, str(event.trade_id))]
        fields += [(1057, "Y" if event.aggressor else "N"), (1430, "E")]
    if o.price is not None:
        fields.append((44, i.px_text(o.price)))
    if not o.quote_qty:
        fields += [(38, i.qty_text(event.qty - o.prevented)), (151, i.qty_text(event.leaves))]
    else:  # by value: what is left of the funds, and no LeavesQty
        left = from_scaled(max(o.quote_qty - event.notional, 0), i.px_scale + i.qty_scale)
        fields.append((152, format(left.normalize(), "f")))
    fields += [(tag, o.wire[tag]) for tag in (*ECHOED, 99, 3040) if tag in o.wire]
    if o.trigger is not None:
        fields.append((99, i.px_text(o.trigger.px)))
    fields += [(60, timetext.date_time(event.time_ns, 6)), (150, kind)]
    if kind == "D":
        fields.append((378, "5" if event.reason == "stp" else "3"))
    if text:
        fields.append((58, text))
    if kind == "F":
        fields += [(136, "1"), (137, f"{FEE}"), (138, i.symbol.rpartition("-")[2]), (139, "4"), (891, "2")]
    return fields


def rejection(message: Message, order_id: str, exec_id: str, problem: EngineError, now_ns: int) -> list[Field]:
    """35=8 150=8 for an order that never was."""
    fields: list[Field] = [(11, message.get(11)), (14, "0"), (17, exec_id), (37, order_id), (39, "8")]
    fields += [(tag, message.get(tag)) for tag in (55, 54, 38, 40, 44, 59) if message.has(tag)]
    fields += [(60, timetext.date_time(now_ns, 6)), (150, "8"), (151, "0"), (103, problem.reason), (58, str(problem))]
    return fields


def unknown_order(message: Message, exec_id: str, now_ns: int) -> list[Field]:
    """35=8 150=I 39=8 with OrderID 0 for a status request that names nothing."""
    return [
        (11, message.get(11)), (17, exec_id), (37, "0"), (39, "8"), (55, message.get(55)),
        (60, timetext.date_time(now_ns, 6)), (150, "I"), (103, "5"), (58, "order not found"),
    ]  # fmt: skip


def cancel_reject(message: Message, kind: str, reason: str, text: str) -> list[Field]:
    """35=9: 39 is always 8. `reason` is CxlRejReason(102): 1 unknown order, 2 broker."""
    fields: list[Field] = [(11, message.get(11))]
    fields += [(tag, message.get(tag)) for tag in (37, 41) if message.has(tag)]
    return [*fields, (39, "8"), (102, reason), (434, "2" if kind == "G" else "1"), (58, text)]
