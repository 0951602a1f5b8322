"""Orders and reports of the simulated Binance (venues/binance.md 5.1 to 5.7)."""

from base.decimals import from_scaled
from base.errors import NumberError
from base.instruments import Instrument
from sim import timetext
from sim.gateway import Seat
from sim.matching import Market
from sim.orders import BUY, SELL, Event, Order, Stp, Trigger
from sim.wire import Field, Message, number
from venues.binance.sim_fields import EngineError, RefusedError, one_of

STP = {"1": Stp.NONE, "2": Stp.CANCEL_TAKER, "3": Stp.CANCEL_MAKER, "4": Stp.CANCEL_BOTH, "5": Stp.DECREMENT}
EXPIRY = {"ioc": "5", "fok": "6", "no_liquidity": "7"}
DIGITS = 8
MAX_AMENDS = 10
ECHOED = (18, 1100, 1101, 1107, 1109, 25009, 211, 1094, 835, 836, 111, 152, 847, 7940)


def fixed(value: int, scale: int) -> str:
    """Decimal text with eight decimals, as the venue prints it."""
    scaled = value * 10 ** (DIGITS - scale) if scale <= DIGITS else value // 10 ** (scale - DIGITS)
    digits = str(scaled).rjust(DIGITS + 1, "0")
    return f"{digits[:-DIGITS]}.{digits[-DIGITS:]}"


def instrument_of(message: Message, instruments: dict[str, Instrument]) -> Instrument:
    """The instrument of 55, or RefusedError (an unknown symbol is 35=3 here)."""
    found = instruments.get(message.get(55))
    if found is None:
        raise RefusedError(-1121, "Invalid symbol.", 5, 55)
    return found


def _px(message: Message, i: Instrument, tag: int) -> int:
    try:
        px = i.px(message.get(tag))
    except NumberError:
        raise RefusedError(-1111, f"Parameter '{tag}' has too much precision.", 6, tag) from None
    if px <= 0 or px % max(i.tick_size, 1):
        raise EngineError(-1013, "Filter failure: PRICE_FILTER")
    return px


def _qty(message: Message, i: Instrument, tag: int) -> int:
    try:
        qty = i.qty(message.get(tag))
    except NumberError:
        raise RefusedError(-1111, f"Parameter '{tag}' has too much precision.", 6, tag) from None
    if qty <= 0 or qty < i.min_qty or (i.max_qty and qty > i.max_qty) or qty % max(i.lot_size, 1):
        raise EngineError(-1013, "Filter failure: LOT_SIZE")
    return qty


def _need(message: Message, *tags: int) -> None:
    for tag in tags:
        if not message.has(tag):
            raise RefusedError(-1102, f"Mandatory tag {tag} was not sent or malformed.", 1, tag)


def parse(message: Message, i: Instrument, market: Market, order_id: str, seat: Seat) -> Order:
    """An order from 35=D or XCN. RefusedError (35=3) or EngineError (35=8 150=8) when the venue would not take it."""
    side = BUY if one_of(message, 54, "12", -1117) == "1" else SELL
    kind = one_of(message, 40, "1234P", -1116)
    maker = message.has(18) and one_of(message, 18, "6") == "6"
    price = _price(message, i, market, kind, side)
    tif = _time_in_force(message, kind, maker)
    by_value = kind == "1" and message.has(152)
    if by_value and message.has(38):
        raise RefusedError(-1128, "Combination of optional parameters invalid.", 99, 152)
    if not by_value:
        _need(message, 38)
    qty = 0 if by_value else _qty(message, i, 38)
    order = Order(order_id, message.get(11), i.symbol, seat.owner, side, qty, price, tif, post_only=maker)
    if by_value:
        order.quote_qty = i.px(message.get(152)) * 10**i.qty_scale
    order.stp = STP[one_of(message, 25001, "12345") if message.has(25001) else "1"]
    if message.has(111):
        order.display = _iceberg(message, i, tif, qty)
    if kind in "34":
        order.trigger = _trigger(message, i, market, side)
    order.wire = {tag: message.get(tag) for tag in ECHOED if message.has(tag)}
    order.wire |= {40: kind, 59: tif, 25001: message.get(25001, "1")}
    _check_against_market(order, market, i)
    return order


def _price(message: Message, i: Instrument, market: Market, kind: str, side: int) -> int | None:
    if kind in "24":
        _need(message, 44)
        return _px(message, i, 44)
    if kind != "P":
        return None
    _need(message, 1094, 835)
    own, other = market.sides[side].best, market.sides[1 - side].best
    best = own if one_of(message, 1094, "45", -1210) == "5" else other
    if best is None:
        raise EngineError(-2010, "Order book liquidity is not sufficient for a pegged price.")
    offset = number(message.get(211), 0) * max(i.tick_size, 1)
    return best - offset if side == BUY else best + offset


def _time_in_force(message: Message, kind: str, maker: bool) -> str:
    if kind in "24P" and not maker:
        _need(message, 59)
    elif message.has(59) and kind == "1":
        raise RefusedError(-1106, "Parameter '59' sent when not required.", 99, 59)
    return one_of(message, 59, "134", -1115) if message.has(59) else "1"


def _iceberg(message: Message, i: Instrument, tif: str, qty: int) -> int:
    shown = _qty(message, i, 111)
    if tif != "1" or shown > qty:
        raise EngineError(-1013, "Filter failure: ICEBERG_PARTS")
    return shown


def _trigger(message: Message, i: Instrument, market: Market, side: int) -> Trigger:
    if not message.has(1102) and not message.has(25009):
        raise RefusedError(-1102, "Mandatory tag 1102 or 25009 was not sent.", 1, 1102)
    _need(message, 1100, 1101, 1107)
    bips = number(message.get(25009), 0)
    px = _px(message, i, 1102) if message.has(1102) else 0
    direction = one_of(message, 1109, "UD") if message.has(1109) else ("D" if side == BUY else "U")
    if not bips:
        return Trigger(px, up=direction == "U")
    up = side == BUY  # a trailing stop trails behind the market: above it for a buyer
    bid, ask = market.best()
    now = market.last_px or bid or ask or px
    trigger = Trigger(0, up, trail_bips=bips, active_px=px, armed=not px)
    if now and not px:
        trigger.fires(now)
    return trigger


def _check_against_market(order: Order, market: Market, i: Instrument) -> None:
    if i.min_notional and order.price is not None:
        notional = from_scaled(order.price * order.qty, i.px_scale + i.qty_scale)
        if notional < from_scaled(i.px(i.min_notional), i.px_scale):
            raise EngineError(-1013, "Filter failure: NOTIONAL")
    if order.post_only and order.trigger is None and market.would_take(order):
        raise EngineError(-2010, "Order would immediately match and take.")
    if market.would_trigger(order):
        raise EngineError(-2010, "Order would trigger immediately.")


def report(event: Event, i: Instrument, exec_id: int) -> list[Field]:
    """Body of 35=8, in the order of raw captures."""
    o, q = event.order, i.qty_scale
    kind, status = event.kind, event.status
    if kind == "D":  # a triggered order enters the book: a second NEW
        kind, status = "0", "1" if event.cum else "0"
    if event.reason == "stp":
        kind = status = "C"
    mine = event.request_id or o.cl_ord_id
    fields: list[Field] = [(17, str(exec_id)), (11, mine)]
    if kind in "45" and event.request_id:
        fields.append((41, o.origin if kind == "5" else o.cl_ord_id))
    fields += [(37, o.order_id), (38, fixed(event.qty, q)), (40, o.wire.get(40, "2"))]
    fields += [(54, "1" if o.side == BUY else "2"), (55, o.symbol)]
    if o.price is not None:
        fields.append((44, fixed(o.price, i.px_scale)))
    fields += [(tag, o.wire[tag]) for tag in ECHOED if tag in o.wire]
    if o.trigger is not None and o.trigger.px:
        fields.append((1102, fixed(o.trigger.px, i.px_scale)))
    when = timetext.date_time(event.time_ns, 6)
    fields += [(59, o.wire.get(59, "1")), (60, when), (25018, timetext.date_time(o.opened_ns, 6))]
    fields += [(25001, o.wire.get(25001, "1")), (150, kind), (14, fixed(event.cum, q)), (151, fixed(event.leaves, q))]
    fields += [(25017, fixed(event.notional, i.px_scale + q)), (1057, "Y" if event.aggressor or kind == "0" else "N")]
    if kind == "F":
        fields += [(1003, str(event.trade_id)), (31, fixed(event.last_px, i.px_scale))]
    fields += [(32, fixed(event.last_qty, q)), (39, status)]
    if kind == "0" and o.trigger is None:
        fields.append((636, "Y"))
    if o.trigger is None:
        fields.append((25023, when))
    if kind == "C":
        fields.append((25056, EXPIRY.get(event.reason, "2")))
        if event.reason == "stp":
            fields.append((25024, str(exec_id)))
    return fields


def rejection(message: Message, problem: EngineError, now_ns: int) -> list[Field]:
    """35=8 150=8: no ExecID, no OrderID."""
    fields: list[Field] = [(11, message.get(11))]
    fields += [(tag, message.get(tag)) for tag in (38, 40, 54, 55, 44, 59) if message.has(tag)]
    fields += [(60, timetext.date_time(now_ns, 6)), (150, "8"), (14, fixed(0, 0)), (151, fixed(0, 0))]
    return [*fields, (32, fixed(0, 0)), (39, "8"), (103, "99"), (25016, str(problem.code)), (58, str(problem))]


def cancel_reject(message: Message, problem: EngineError) -> list[Field]:
    """35=9 (F, XCN) or 35=XAR (XAK)."""
    cancel_id = message.get(25034) or message.get(11)
    fields: list[Field] = [(11, cancel_id)]
    fields += [(tag, message.get(tag)) for tag in (41, 37, 55, 25002) if message.has(tag)]
    if message.msg_type == "XAK":
        fields.append((38, message.get(38)))
    else:
        fields.append((434, "1"))
    return [*fields, (25016, str(problem.code)), (58, str(problem))]


def mass_report(message: Message, count: int | None, refusal: str = "") -> list[Field]:
    """35=r; None: refused for that reason; 0: nothing was open, which the venue calls an unknown order."""
    fields: list[Field] = [(55, message.get(55)), (11, message.get(11)), (530, message.get(530))]
    if count:
        return [*fields, (531, "1"), (533, str(count))]
    text = refusal if count is None else "Unknown order sent."
    return [*fields, (531, "0"), (532, "99"), (25016, "-2011"), (58, text)]
