"""Orders and pushes of the simulated Bybit: fields of the venue to orders and back (bybit.md, 5.8)."""

from decimal import Decimal

from base.decimals import from_scaled
from base.errors import NumberError, VenueError
from base.instruments import Instrument
from sim import timetext
from sim.fields import SIDES, average, need
from sim.gateway import Seat
from sim.orders import BUY, Event, Order, Stp, Trigger
from sim.wire import Field, Message

STP = {
    "None": Stp.NONE, "CancelTaker": Stp.CANCEL_TAKER, "CancelMaker": Stp.CANCEL_MAKER, "CancelBoth": Stp.CANCEL_BOTH,
}  # fmt: skip
WAITING = frozenset({"StopOrder", "tpslOrder"})
WHY = {
    "request": ("EC_PerCancelRequest", "CancelByUser"), "ioc": ("EC_NoImmediateQtyToFill", "UNKNOWN"),
    "no_liquidity": ("EC_NoImmediateQtyToFill", "UNKNOWN"), "fok": ("EC_NoEnoughQtyToFill", "UNKNOWN"),
    "post_only": ("EC_PostOnlyWillTakeLiquidity", "UNKNOWN"), "stp": ("EC_BySelfMatch", "CancelBySmp"),
}  # fmt: skip
FEE_RATE = Decimal("0.001")


class RefusedError(VenueError):
    """A request is refused by a code of the venue."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def px_of(message: Message, i: Instrument, tag: int) -> int:
    """A price of the message. RefusedError when the venue would not take it."""
    try:
        px = i.px(message.get(tag))
    except NumberError:
        raise RefusedError(170134, "Order price has too many decimals.") from None
    if px <= 0 or px % max(i.tick_size, 1):
        raise RefusedError(170132, "Order price out of permissible range.")
    return px


def qty_of(message: Message, i: Instrument) -> int:
    """OrderQty(38) in base currency. RefusedError when the venue would not take it."""
    try:
        qty = i.qty(message.get(38))
    except NumberError:
        raise RefusedError(170137, "Order quantity has too many decimals.") from None
    if qty <= 0 or qty < i.min_qty or (i.max_qty and qty > i.max_qty) or qty % max(i.lot_size, 1):
        raise RefusedError(170136, "Order quantity exceeded lower limit.")
    return qty


def _value_of(message: Message, i: Instrument) -> int:
    """OrderQty(38) in quote currency, at the scale of prices."""
    try:
        value = i.px(message.get(38))
    except NumberError:
        raise RefusedError(170137, "Order value has too many decimals.") from None
    if value <= 0:
        raise RefusedError(170140, "Order value exceeded lower limit.")
    return value


def parse(message: Message, i: Instrument, order_id: str, seat: Seat, last_px: int) -> Order:
    """An order from 35=D. FieldError (35=j) or RefusedError when the venue would refuse it."""
    need(message, 38, 40, 54)
    kind, side = message.get(40), SIDES.get(message.get(54))
    if side is None or kind not in {"1", "2"}:
        raise RefusedError(10001, "Request parameter error: side or orderType.")
    tif = message.get(59, "1") if kind == "2" else "3"
    if tif not in {"1", "3", "4", "P", "R"}:
        raise RefusedError(170115, "Invalid timeInForce.")
    price = None
    if kind == "2":
        need(message, 44)
        price = px_of(message, i, 44)
    by_value = kind == "1" and message.get(30013, "quoteCoin" if side == BUY else "baseCoin") == "quoteCoin"
    value = _value_of(message, i) if by_value else 0
    qty = 0 if by_value else qty_of(message, i)
    fix_tif = {"P": "1", "R": "1"}.get(tif, tif)
    order = Order(order_id, message.get(11), i.symbol, seat.owner, side, qty, price, fix_tif, post_only=tif in "PR")
    order.quote_qty = value * 10**i.qty_scale
    if message.get(30018, "None") not in STP:
        raise RefusedError(10001, "Request parameter error: smpType.")
    order.stp = STP[message.get(30018, "None")]
    _conditional(message, i, order, last_px)
    worth = from_scaled((price or 0) * qty, i.px_scale + i.qty_scale)
    if i.min_notional and price is not None and worth < Decimal(i.min_notional):
        raise RefusedError(170140, "Order value exceeded lower limit.")
    order.wire = {40: kind, 59: tif, 30024: message.get(30024, "Order"), 30018: message.get(30018, "None")}
    order.wire |= {30013: message.get(30013, "UNKNOWN"), 30014: message.get(30014, "N")}
    order.wire |= {30019: message.get(30019, "N"), 30046: i.px_text(last_px)}
    return order


def _conditional(message: Message, i: Instrument, order: Order, last_px: int) -> None:
    """Where the trigger price lies beside the market says which way it waits for."""
    kind = message.get(30024, "Order")
    if kind not in WAITING | {"Order"}:
        raise RefusedError(10001, "Request parameter error: orderFilter.")
    if (kind in WAITING) is not message.has(99):
        raise RefusedError(10001, "Request parameter error: triggerPrice.")
    if message.has(99):
        px = px_of(message, i, 99)
        order.trigger = Trigger(px, up=px > last_px if last_px else order.side == BUY)


def shape(event: Event, partial_cancel: str) -> tuple[str, str]:
    """(ExecType, OrdStatus) in the venue's letters; `partial_cancel`: the former of a cancel after fills."""
    o = event.order
    match event.kind:
        case "0" | "A" if o.trigger is not None:
            return "U", "U"
        case "4" | "C" if o.trigger is not None:
            return "D", "D"
        case "4" | "C":
            return (partial_cancel, "F") if event.cum else ("4", "4")
        case "D":
            return "T", "T"
        case "5":
            return "5", "0"
        case _:
            return event.kind, event.status


def push(events: list[Event], i: Instrument, letters: tuple[str, str]) -> list[Field]:
    """Body of a pushed 35=8: one event, or the fills of one sweep."""
    event = events[-1]
    o, both = event.order, i.px_scale + i.qty_scale
    left = max(event.qty - event.cum, 0)
    fields: list[Field] = [(11, o.cl_ord_id)] if o.cl_ord_id else []
    fields += [(37, o.order_id), (150, letters[0]), (39, letters[1]), (30010, "spot"), (55, o.symbol)]
    fields += [(54, "1" if o.side == BUY else "2"), (40, o.wire.get(40, "2")), (38, i.qty_text(event.qty))]
    if o.price is not None:
        fields.append((44, i.px_text(o.price)))
    fields += [(59, o.wire.get(59, "1")), (30013, o.wire.get(30013, "UNKNOWN")), (30014, o.wire.get(30014, "N"))]
    fields += [(151, i.qty_text(left)), (30041, _value((o.price or 0) * left, both)), (14, i.qty_text(event.cum))]
    if event.cum:
        fields.append((6, average(event, i)))
    fields += [(30038, _value(event.notional, both)), (60, timetext.date_time(event.time_ns))]
    fields.append((30039, timetext.date_time(o.opened_ns)))
    if event.kind in "4C":
        reason, by = WHY.get(event.reason, ("EC_Others", "CancelByAdmin"))
        fields += [(103, reason), (30040, by)]
    if o.trigger is not None:
        fields += [(30042, "Stop"), (99, i.px_text(o.trigger.px))]
    fields += [(30018, o.wire.get(30018, "None")), (30019, o.wire.get(30019, "N")), (30046, o.wire.get(30046, "0"))]
    fills = [e for e in events if e.kind == "F"]
    if fills:
        fields.append((30050, str(len(fills))))
        for fill in fills:
            fields += _fill(fill, i)
    return fields


def _fill(event: Event, i: Instrument) -> list[Field]:
    o, value = event.order, _value(event.last_px * event.last_qty, i.px_scale + i.qty_scale)
    return [
        (30051, exec_id(o.order_id, event.trade_id)), (30052, i.qty_text(event.last_qty)),
        (30053, i.px_text(event.last_px)), (30054, timetext.date_time(event.time_ns)),
        (30055, plain_fee(event.last_px, event.last_qty, i)), (30056, i.name.split("-")[1]),
        (30059, format(FEE_RATE, "f")), (30057, value), (30058, "N" if event.aggressor else "Y"), (30063, "Trade"),
        (30064, i.qty_text(max(event.qty - event.cum, 0))), (30065, str(event.trade_id)),
    ]  # fmt: skip


def exec_id(order_id: str, trade_id: int) -> str:
    """FillExecID(30051), and execId over REST: each side of a trade has its own."""
    return f"21{int(order_id) % 10**7:07}{trade_id:010}"


def fee_of(px: int, qty: int, i: Instrument) -> Decimal:
    """What a fill costs. The venue takes it off what is received; here it is in quote currency always."""
    return from_scaled(px * qty, i.px_scale + i.qty_scale) * FEE_RATE


def plain_fee(px: int, qty: int, i: Instrument) -> str:
    """The fee as text."""
    return format(fee_of(px, qty, i).normalize(), "f")


def _value(scaled: int, scale: int) -> str:
    return format(from_scaled(scaled, scale), "f")
