"""Orders and execution reports of the simulated Kraken: fields to orders and back (venues/kraken.md, 5.2 to 5.8)."""

from dataclasses import dataclass
from decimal import Decimal

from base.decimals import from_scaled
from base.instruments import Instrument
from sim import timetext
from sim.fields import BusinessError, FieldError, average, letter, time_of
from sim.gateway import SECOND_NS, Seat
from sim.matching import Market
from sim.orders import BUY, SELL, Event, Order, Stp, Trigger
from sim.setup import Setup
from sim.wire import Field, Message

LIMIT_TYPES = frozenset("24TV")
TRIGGER_TYPES = frozenset("34RTUV")
TRAILING = frozenset("UV")
TAKE_PROFIT = frozenset("RT")
STP = {"0": Stp.CANCEL_BOTH, "1": Stp.CANCEL_TAKER, "2": Stp.CANCEL_MAKER}
REASONS = {
    "request": "User requested",
    "ioc": "IOC order not filled",
    "fok": "FOK order not filled",
    "no_liquidity": "Insufficient liquidity",
    "post_only": "Post only order would take",
    "stp": "Self trade prevention",
    "disconnect": "Cancel on disconnect",
    "expired": "Order expired",
    "triggered": "Trigger activated",
}
FEE_BPS = 25


def is_derivatives(target: str) -> bool:
    """Whether a TargetCompID is of the Derivatives market."""
    return "-DRV-" in target


class RateCounter:
    """The Spot engine's counter per account and pair (venues/kraken.md 9); ceiling 0 counts nothing."""

    def __init__(self, ceiling: int, decay_per_s: float = 3.75, *, refuses_cancels: bool = False) -> None:
        self.ceiling, self.decay_per_s = ceiling, decay_per_s
        self.refused = 0
        self._refuses_cancels = refuses_cancels
        self._level: dict[tuple[str, str], tuple[float, int]] = {}

    def charge(self, account: str, symbol: str, what: str, opened_ns: int, now_ns: int) -> None:
        """Charge a request. BusinessError when the counter is over its ceiling; the charge stays."""
        if not self.ceiling:
            return
        level, at = self._level.get((account, symbol), (0.0, now_ns))
        level = max(0.0, level - (now_ns - at) / SECOND_NS * self.decay_per_s)
        level += self._cost(what, (now_ns - opened_ns) / SECOND_NS)
        self._level[account, symbol] = level, now_ns
        if level > self.ceiling and (what != "cancel" or self._refuses_cancels):
            self.refused += 1
            raise BusinessError("0", "EOrder:Rate limit exceeded")

    @staticmethod
    def _cost(what: str, age_s: float) -> int:
        if what == "add":
            return 1
        steps = {
            "amend": ((5, 3), (10, 2), (15, 1)),
            "cancel": ((5, 8), (10, 6), (15, 5), (45, 4), (90, 2), (300, 1)),
        }[what]
        fixed = 1 if what == "amend" else 0
        return fixed + next((cost for limit, cost in steps if age_s < limit), 0)


TIERS = {"starter": (60, 1.0), "intermediate": (125, 2.34), "pro": (180, 3.75)}


def rate_counter(setup: Setup) -> RateCounter:
    """By the options tier, rate_ceiling (in place of the tier's) and rate_refuses_cancels."""
    ceiling, decay = TIERS.get(setup.text("tier", "none", (*TIERS, "none")), (0, 3.75))
    return RateCounter(
        setup.number("rate_ceiling", ceiling), decay, refuses_cancels=setup.flag("rate_refuses_cancels", False)
    )


def parse(message: Message, instrument: Instrument, market: Market, order_id: str, seat: Seat, now_ns: int) -> Order:
    """An order from 35=D. FieldError or BusinessError when the venue would refuse it."""
    derivatives = is_derivatives(seat.grant.target)
    side, kind, tif = letter(message, 54, "12"), letter(message, 40, "1234RTUV"), letter(message, 59, "1346")
    flags = message.get(18).split()
    _check_market(message, derivatives, flags)
    price = _price(message, instrument, 44, needed=kind in LIMIT_TYPES) if kind in LIMIT_TYPES else None
    qty, quote = _quantity(message, instrument, kind, flags)
    order = Order(order_id, message.get(11), instrument.symbol, seat.owner, BUY if side == "1" else SELL, qty, price)
    order.tif, order.quote_qty, order.post_only = tif, quote, "P" in flags
    order.stp = Stp.NONE if derivatives else STP[letter(message, 7928, "012", "1")]
    order.display = _display(message, instrument, qty)
    order.expire_ns = _expiry(message, tif, now_ns)
    order.start_ns = time_of(message, 168)
    _check_valid_until(message, now_ns)
    if kind in TRIGGER_TYPES:
        order.trigger = _trigger(message, instrument, market, kind, order.side)
    order.wire = {tag: message.get(tag) for tag in (18, 40, 59, 99, 1138) if message.has(tag)}
    return order


def _check_market(message: Message, derivatives: bool, flags: list[str]) -> None:
    if not derivatives:
        return
    if "s" not in flags:
        raise FieldError(1, 18, "Missing mandatory field: ExecInst (18)")
    for tag in (1138, 126, 168, 7928, 5001):
        if message.has(tag):
            raise FieldError(5, tag, f"Tag {tag} is for Spot only")
    if message.get(59) == "6" or message.get(40) == "V":
        raise FieldError(5, 59, "Spot only")


def _price(message: Message, instrument: Instrument, tag: int, *, needed: bool) -> int | None:
    text = message.get(tag)
    if not text:
        if needed:
            raise FieldError(1, tag, f"Missing mandatory field: {'Price' if tag == 44 else 'StopPx'} ({tag})")
        return None
    px = instrument.px(text)
    if px <= 0 or px % max(instrument.tick_size, 1):
        raise BusinessError("0", f"EOrder:Invalid price {text}")
    return px


def _quantity(message: Message, instrument: Instrument, kind: str, flags: list[str]) -> tuple[int, int]:
    text = message.get(38)
    if "v" in flags:
        if kind != "1":
            raise BusinessError("0", "EOrder:Volume in quote currency needs a market order")
        quote = instrument.px(text) * 10**instrument.qty_scale
        return 0, quote
    qty = instrument.qty(text)
    if qty <= 0 or qty < instrument.min_qty or qty % max(instrument.lot_size, 1):
        raise BusinessError("0", "EOrder:Order minimum not met")
    return qty, 0


def _display(message: Message, instrument: Instrument, qty: int) -> int:
    if not message.has(1138):
        return 0
    shown = instrument.qty(message.get(1138))
    if message.get(40) != "2" or shown * 15 < qty or shown > qty:
        raise BusinessError("0", "EOrder:Invalid display quantity")
    return shown


def _expiry(message: Message, tif: str, now_ns: int) -> int:
    if tif != "6":
        return 0
    expire = time_of(message, 126)
    if not expire:
        raise FieldError(1, 126, "Missing mandatory field: ExpireTime (126)")
    if not now_ns < expire <= now_ns + 31 * 86_400 * SECOND_NS:
        raise BusinessError("0", "EOrder:Invalid expiry")
    return expire


def _check_valid_until(message: Message, now_ns: int) -> None:
    until = time_of(message, 62)
    if until and not now_ns < until <= now_ns + 60 * SECOND_NS:
        raise BusinessError("0", "EOrder:Deadline elapsed")


def _trigger(message: Message, instrument: Instrument, market: Market, kind: str, side: int) -> Trigger:
    px = _price(message, instrument, 99, needed=True)
    assert px is not None
    up = (side == BUY) != (kind in TAKE_PROFIT)
    if kind not in TRAILING:
        return Trigger(px, up)
    # The documents give a trigger price and no offset: the distance at acceptance is what trails.
    bid, ask = market.best()
    now = market.last_px or bid or ask or px
    return Trigger(px, up, trail=max(abs(now - px), 1))


@dataclass(frozen=True, slots=True)
class Amend:
    """What a 35=G asks for."""

    qty: int
    price: int | None
    stop_px: int | None
    display: int | None
    post_only: bool


def parse_amend(message: Message, instrument: Instrument, order: Order) -> Amend:
    """A change from 35=G. FieldError or BusinessError when the venue would refuse it."""
    for tag in (40, 59):
        if message.has(tag) and message.get(tag) != order.wire.get(tag, message.get(tag)):
            raise BusinessError("0", f"EOrder:Cannot amend tag {tag}")
    if message.get(54) != ("1" if order.side == BUY else "2"):
        raise BusinessError("0", "EOrder:Side does not match")
    price = _price(message, instrument, 44, needed=order.price is not None)
    qty = instrument.qty(message.get(38))
    if qty <= 0 or qty % max(instrument.lot_size, 1):
        raise BusinessError("0", "EOrder:Order minimum not met")
    stop = _price(message, instrument, 99, needed=False)
    display = instrument.qty(message.get(1138)) if message.has(1138) else None
    return Amend(qty, price if order.price is not None else None, stop, display, "P" in message.get(18).split())


def report(event: Event, instrument: Instrument, exec_id: str, cl_ord_id: str) -> list[Field]:
    """Body of 35=8. 150=C only for expiry in time: whatever else ends unfilled is a 4 here."""
    o, i = event.order, instrument
    kind, status = event.kind, event.status
    if kind == "C" and event.reason != "expired":
        kind = status = "4"
    if kind == "5":
        status = "5"
    values: dict[int, str] = {
        6: average(event, i),
        11: cl_ord_id or event.request_id or o.cl_ord_id,
        14: i.qty_text(event.cum),
        17: exec_id,
        37: o.order_id,
        38: i.qty_text(event.qty),
        39: status,
        40: _type_now(o),
        54: "1" if o.side == BUY else "2",
        55: o.symbol,
        58: _text(event, i),
        59: o.tif,
        60: timetext.date_time(event.time_ns),
        150: kind,
        151: i.qty_text(event.leaves),
        381: str(from_scaled(event.notional, i.px_scale + i.qty_scale).normalize().__format__("f")),
    }
    if kind in "4C" and event.request_id:
        values[41] = o.cl_ord_id
    if kind == "5":
        values[41] = o.origin
    if o.price is not None:
        values[44] = i.px_text(o.price)
    for tag in (18, 1138):
        if tag in o.wire:
            values[tag] = o.wire[tag]
    if o.trigger is not None:
        values[99] = i.px_text(o.trigger.px)
    fields = sorted(values.items())
    return [*fields, *_trade_fields(event, i)] if kind == "F" else fields


def fee_of(px: int, qty: int, i: Instrument) -> Decimal:
    """What a fill costs, in quote currency."""
    notional = from_scaled(px * qty, i.px_scale + i.qty_scale)
    return (notional * FEE_BPS / 10_000).quantize(Decimal("0.00001"))


def _trade_fields(event: Event, i: Instrument) -> list[Field]:
    return [
        (31, i.px_text(event.last_px)),
        (32, i.qty_text(event.last_qty)),
        (136, "1"),
        (137, format(fee_of(event.last_px, event.last_qty, i), "f")),
        (138, i.symbol.partition("/")[2] or "USD"),
        (527, str(event.trade_id)),
        (1003, str(event.trade_id)),
        (5050, "2" if event.aggressor else "1"),
    ]


def _type_now(order: Order) -> str:
    kind = order.wire.get(40, "2")
    if kind in TRIGGER_TYPES and order.trigger is None:
        return "2" if order.price is not None else "1"
    return kind


def _text(event: Event, i: Instrument) -> str:
    o = event.order
    if event.reason:
        return REASONS.get(event.reason, event.reason)
    at = f"limit {i.px_text(o.price)}" if o.price is not None else "market"
    return f"{'buy' if o.side == BUY else 'sell'} {i.qty_text(event.qty)} {o.symbol} @ {at}"
