"""Orders and reports of the simulated Coinbase Prime: fields of FIX 4.2 to orders and back (coinbase-prime.md, 5)."""

from decimal import Decimal

from base.decimals import from_scaled
from base.instruments import Instrument
from sim import timetext
from sim.fields import SIDES, BusinessError, FieldError, average, need
from sim.gateway import Seat
from sim.orders import BUY, Event, Order, Stp, Trigger
from sim.wire import Field, Message

STRATEGIES = {
    "L": ("2", "1346"), "M": ("1", "3"), "P": ("P", "16"), "T": ("2", "6"), "V": ("2", "6"), "SL": ("2", "16"),
}  # fmt: skip
"""TargetStrategy(847) -> OrdType(40) and the TimeInForce(59) that go with it."""
ALSO_NEEDED = {"L": (44,), "P": (44, 836, 211), "T": (44, 168), "V": (44, 168), "SL": (44, 99)}
ECHOED = (1, 40, 59, 120, 168, 847)
FEE_BPS = 12
BROKER, UNKNOWN_SYMBOL, EXCEEDS, DUPLICATE, OTHER = "0", "1", "3", "6", "99"
"""OrdRejReason(103)."""
REASONS = {
    "ioc": "IOC remainder", "fok": "FOK not filled", "no_liquidity": "Insufficient liquidity", "expired": "Expired",
    "post_only": "Post only order would take", "request": "User initiated cancellation",
}  # fmt: skip


def parse(message: Message, instrument: Instrument, order_id: str, seat: Seat, now_ns: int) -> Order:
    """An order from 35=D. FieldError or BusinessError (with a 103) when the venue would refuse it."""
    need(message, 1, 11, 40, 54, 55, 59, 847)
    strategy, side = message.get(847), SIDES.get(message.get(54))
    if side is None:
        raise FieldError(5, 54, "Value is incorrect: Side (54)")
    if strategy not in STRATEGIES:
        raise BusinessError(OTHER, f"unsupported TargetStrategy {strategy}")
    kind, tifs = STRATEGIES[strategy]
    if message.get(40) != kind or message.get(59) not in tifs:
        raise BusinessError(OTHER, f"OrdType {message.get(40)} TimeInForce {message.get(59)} do not fit {strategy}")
    need(message, *ALSO_NEEDED.get(strategy, ()))
    if message.has(38) == message.has(152):
        raise BusinessError(OTHER, "exactly one of OrderQty (38) and CashOrderQty (152)")
    if message.has(152):
        raise BusinessError(OTHER, "CashOrderQty (152) is not simulated")
    qty = instrument.qty(message.get(38))
    if qty <= 0 or qty < instrument.min_qty or qty % max(instrument.lot_size, 1):
        raise BusinessError(EXCEEDS, "quantity is out of bounds")
    price = px_of(message, instrument, 44) if kind != "1" else None
    order = Order(order_id, message.get(11), instrument.symbol, seat.owner, side, qty, price, message.get(59))
    _flags(message, order, strategy, instrument, now_ns)
    order.wire = {tag: message.get(tag) for tag in (*ECHOED, 18, 210) if message.has(tag)}
    return order


def _flags(message: Message, order: Order, strategy: str, instrument: Instrument, now_ns: int) -> None:
    if message.get(18) == "A":
        if message.get(59) not in "16":
            raise BusinessError(OTHER, "post only needs GTC or GTD")
        order.post_only = True
    order.stp = Stp.CANCEL_TAKER
    if strategy == "SL":
        order.trigger = Trigger(px_of(message, instrument, 99), up=order.side == BUY)
    if message.has(210):
        order.display = instrument.qty(message.get(210))
    if message.get(59) == "6" and not (strategy in "TV" and message.has(849)):
        expire = timetext.parse(message.get(126))
        if expire is None or expire <= now_ns:
            raise BusinessError(OTHER, "ExpireTime (126) is missing or past")
        order.expire_ns = expire
    order.start_ns = timetext.parse(message.get(168)) or 0


def px_of(message: Message, instrument: Instrument, tag: int) -> int:
    """A price of the message; BusinessError when the venue would not take it."""
    px = instrument.px(message.get(tag))
    if px <= 0 or px % max(instrument.tick_size, 1):
        raise BusinessError(OTHER, f"tag {tag} is not a positive multiple of the price increment")
    return px


def report(event: Event, i: Instrument, exec_id: str, shape: tuple[str, str], trans: str = "0") -> list[Field]:
    """Body of 35=8; `shape` is (ExecType, OrdStatus)."""
    o = event.order
    kind, status = shape
    fields: list[Field] = [(1, o.wire.get(1, "")), (6, average(event, i)), (11, event.request_id or o.cl_ord_id)]
    if event.kind == "F":
        fields += [(12, plain_fee(event, i)), (13, "3")]
    fields += [(14, i.qty_text(event.cum)), (17, exec_id), (20, trans)]
    if event.kind == "F":
        fields += [(30, "otc"), (31, i.px_text(event.last_px)), (32, i.qty_text(event.last_qty))]
    fields += [(37, o.order_id), (38, i.qty_text(event.qty)), (39, status)]
    fields += [(tag, o.wire[tag]) for tag in (40, 59, 120, 168) if tag in o.wire]
    if event.kind in "456E" and event.request_id:
        fields.append((41, o.origin if event.kind == "5" else o.cl_ord_id))
    if o.price is not None:
        fields.append((44, i.px_text(o.price)))
    fields += [(54, "1" if o.side == BUY else "2"), (55, o.symbol), (60, timetext.date_time(event.time_ns))]
    if event.reason:
        fields.append((58, REASONS.get(event.reason, event.reason)))
    if o.trigger is not None:
        fields.append((99, i.px_text(o.trigger.px)))
    fields += [(150, kind), (151, i.qty_text(event.leaves)), (8002, amount(event, i)), (8006, average(event, i))]
    if event.kind == "F":
        quote = o.symbol.partition("-")[2]
        fields += [(136, "1"), (137, plain_fee(event, i)), (138, quote), (139, "7")]
        fields += [(78, "1"), (79, o.wire.get(1, "")), (80, i.qty_text(event.last_qty))]
    return fields


def amount(event: Event, i: Instrument) -> str:
    """FilledAmt(8002): what the fills come to in quote currency."""
    return format(from_scaled(event.notional, i.px_scale + i.qty_scale).normalize(), "f")


def fee_of(px: int, qty: int, i: Instrument) -> Decimal:
    """What a fill costs, in quote currency."""
    notional = from_scaled(px * qty, i.px_scale + i.qty_scale)
    return (notional * FEE_BPS / 10_000).quantize(Decimal("0.00001"))


def plain_fee(event: Event, i: Instrument) -> str:
    """Commission(12) of a fill."""
    return format(fee_of(event.last_px, event.last_qty, i), "f")
