"""Orders and reports of the simulated Deribit: fields to orders and back (deribit.md, 5).

Reports have OUR ClOrdID in 41 and the venue's own id in 11 and 37; quantities are contracts.
"""

from base.errors import VenueError
from base.instruments import Instrument
from sim import timetext
from sim.fields import FieldError, average, letter, need, time_of
from sim.gateway import Seat
from sim.matching import Market
from sim.orders import BUY, SELL, Event, Order, Trigger
from sim.wire import Field, Message

WIRE = (18, 40, 854, 9008, 100010)
TIFS = {"0": "1", "1": "1", "3": "3", "4": "4"}  # a day order rests like the others here
INSTRUCTIONS = {"", "6", "6A", "E", "6E", "6AE", "E6", "E6A"}
REPORT_TYPES = {"J": "4", "S": "S"}  # a stop limit order is told as 4, whatever it was sent as
MOST = 64


class EngineError(VenueError):
    """The engine refuses a request: 35=8 39=8, or 35=9."""

    def __init__(self, text: str, reason: str = "99") -> None:
        super().__init__(text)
        self.reason = reason


def parse(message: Message, i: Instrument, market: Market, order_id: str, seat: Seat, now_ns: int) -> Order:
    """An order from 35=D. FieldError (35=3) or EngineError when the venue would not take it."""
    need(message, 11, 54, 38, 44, 55)
    if max(len(message.get(11)), len(message.get(100010))) > MOST:
        raise FieldError(5, 11, f"ClOrdID (11) and DeribitLabel (100010) have at most {MOST} characters")
    if 0 < time_of(message, 62) <= now_ns:
        raise EngineError("request expired")
    side = BUY if letter(message, 54, "12") == "1" else SELL
    kind = letter(message, 40, "12K4JS", "2")
    if kind == "4":
        raise EngineError("trailing stops are not simulated")
    price = px_of(message, i) if kind in "2J" else None
    order = Order(
        order_id, message.get(11), i.symbol, seat.owner, side, qty_of(message, i), price,
        TIFS[letter(message, 59, "0134", "1")],
    )  # fmt: skip
    instructions = message.get(18).replace(" ", "")
    if instructions not in INSTRUCTIONS:
        raise FieldError(5, 18, f"ExecInst (18) {message.get(18)!r}")
    order.post_only = "6A" in instructions
    if "6" in instructions and price is not None and not order.post_only:
        order.price = _behind(price, side, market, i)
    if kind in "1K":
        order.tif = "3"
    if message.has(1138):
        order.display = i.qty(message.get(1138))
    order.wire = {tag: message.get(tag) for tag in WIRE if message.has(tag)}
    if kind in "JS":
        need(message, 99)
        px = i.px(message.get(99))
        bid, ask = market.best()
        order.trigger = Trigger(px, up=px >= (market.last_px or bid or ask or px))
    return order


def px_of(message: Message, i: Instrument) -> int:
    """Price(44), which fits the increment."""
    px = i.px(message.get(44))
    if px <= 0 or px % max(i.tick_size, 1):
        raise EngineError(f"price is not a multiple of the tick size: {message.get(44)}")
    return px


def qty_of(message: Message, i: Instrument) -> int:
    """OrderQty(38) in contracts: units are not simulated."""
    if message.get(854, "1") != "1":
        raise EngineError("QtyType (854) 0 is not simulated")
    qty = i.qty(message.get(38))
    if qty <= 0 or qty < i.min_qty or qty % max(i.lot_size, 1):
        raise EngineError(f"wrong quantity: {message.get(38)}")
    return qty


def _behind(price: int, side: int, market: Market, i: Instrument) -> int:
    """A post-only order that would trade is put one tick behind the other side."""
    bid, ask = market.best()
    tick = max(i.tick_size, 1)
    if side == BUY:
        return min(price, ask - tick) if ask is not None else price
    return max(price, bid + tick) if bid is not None else price


def names(order: Order) -> list[Field]:
    """How a report calls an order: 11 is the venue's, 41 the client's."""
    return [(37, order.order_id), (11, order.order_id), (41, order.origin or order.cl_ord_id)]


def report(event: Event, i: Instrument, change_id: str, kind: str, text: str) -> list[Field]:
    """Body of 35=8. `kind` is ExecType(150), "" leaves it out."""
    o, status = event.order, "4" if event.status == "C" else event.status
    wire_type = o.wire.get(40, "2")
    fields: list[Field] = [(527, change_id), *names(o), (39, status)]
    if kind:
        fields.append((150, kind))
    fields += [
        (54, "1" if o.side == BUY else "2"), (60, timetext.date_time(event.time_ns)), (12, "0"), (55, o.symbol),
        (151, i.qty_text(event.leaves)), (14, i.qty_text(event.cum)), (38, i.qty_text(event.qty)),
        (40, REPORT_TYPES.get(wire_type, wire_type)), (6, average(event, i)), (854, "1"), (207, "DERIBIT"),
    ]  # fmt: skip
    if o.price is not None:
        fields.append((44, i.px_text(o.price)))
    if o.trigger is not None:
        fields.append((99, i.px_text(o.trigger.px)))
    if o.display:
        fields.append((1138, i.qty_text(o.display)))
    fields += [(tag, o.wire[tag]) for tag in (18, 9008, 100010) if tag in o.wire]
    if kind == "F":
        fields += [(32, i.qty_text(event.last_qty)), (31, i.px_text(event.last_px))]
        fields += [(851, "2" if event.aggressor else "1"), (880, str(event.trade_id))]
    return [*fields, (103, "0"), (58, text)]


def rejection(message: Message, problem: EngineError, now_ns: int) -> list[Field]:
    """35=8 39=8 for an order that never was: it has no id of the venue's."""
    fields = [(41, message.get(11)), (39, "8"), (150, "8")]
    fields += [(tag, message.get(tag)) for tag in (54, 55, 38, 40, 44) if message.has(tag)]
    return [*fields, (60, timetext.date_time(now_ns)), (151, "0"), (14, "0"), (103, problem.reason), (58, str(problem))]


def cancel_reject(message: Message, reason: str, text: str) -> list[Field]:
    """35=9, with whichever name the request used."""
    fields = [(tag, message.get(tag)) for tag in (11, 41, 100010) if message.has(tag)]
    return [*fields, (39, "8"), (102, reason), (434, "2" if message.msg_type == "G" else "1"), (58, text)]
