"""Order entry of Coinbase Exchange: D, F, G, H, q and batches, U6 of orders and U4 of cancels. Fields as the venue's
tables have them.

What a request has no field for is refused rather than lost.
"""

from collections.abc import Sequence

from base.decimals import to_scaled
from base.errors import NumberError, VenueError
from base.instruments import Instrument
from fix.codec import BodyWriter
from ipc.requests import NewOrder
from venues.coinbase_exchange.settings import SELF_TRADE, Settings
from venues.encode import POST_ONLY, NewAndCancel, exec_inst, one_of, positive, required
from venues.interface import WorkingOrder

_NAME = "coinbase_exchange"
MARKET, LIMIT, STOP_LIMIT, BRACKET = "1", "2", "4", "O"
"""OrdType(40); the bracket (letter O) is the venue's take-profit/stop-loss: one order with two prices."""
ORD_TYPES = frozenset({MARKET, LIMIT, STOP_LIMIT, BRACKET})
TIMES_IN_FORCE = frozenset("1346")
_BRACKET_TIFS = frozenset("16")
_TRIGGERED = frozenset({STOP_LIMIT, BRACKET})
_BY_FUNDS = frozenset({MARKET, LIMIT})
_INSTRUCTIONS = {POST_ONLY: "A", "A": "A"}
_FUNDS, _STOP_LIMIT_PX, _DIRECTION = "cash_order_qty", "stop_limit_px", "trigger_price_direction"
_SELF_TRADE, _EXN = "self_trade_prevention", "handl_inst"
_OPTIONS = frozenset({_FUNDS, _STOP_LIMIT_PX, _DIRECTION, _SELF_TRADE, _EXN})
_EVERYTHING_OF_SESSION = "6"  # MassCancelRequestType(530)


class Orders(NewAndCancel):
    """Encoders of one session."""

    venue_name = _NAME

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def new_order(self, body: BodyWriter, order: NewOrder, instrument: Instrument, cl_ord_id: str, wall_ns: int) -> str:
        """35=D. SelfTradeType(7928) always, because its default is documented two ways."""
        self._check(order)
        body.text(11, cl_ord_id)
        self._terms(body, order, instrument)
        if _EXN in order.options:
            body.text(21, self._exn(order.options[_EXN]))
        if order.ord_type == BRACKET:
            body.scaled(3040, _bracket_px(order, instrument), instrument.px_scale)
        if _DIRECTION in order.options:
            body.text(1109, one_of(order.options[_DIRECTION], frozenset("UD"), f"options.{_DIRECTION}", _NAME))
        return "D"

    def may_join(self, order: NewOrder) -> bool:
        """The group of 35=U6 has neither StopLimitPx(3040), TriggerPriceDirection(1109) nor HandlInst(21), and
        CashOrderQty(152) for market orders alone.
        """
        by_funds = _FUNDS in order.options and order.ord_type != MARKET
        return order.ord_type != BRACKET and not by_funds and not order.options.keys() & {_EXN, _DIRECTION}

    def new_entry(
        self, body: BodyWriter, order: NewOrder, instrument: Instrument, cl_ord_id: str, wall_ns: int
    ) -> None:
        """An entry of 35=U6: the fields of 35=D that it has."""
        self._check(order)
        body.text(11, cl_ord_id)
        self._terms(body, order, instrument)

    def new_orders(self, body: BodyWriter, count: int, batch_id: str) -> str:
        """35=U6: one message, one symbol."""
        body.text(8014, batch_id)
        body.integer(73, count)
        return "U6"

    def cancel_order(self, body: BodyWriter, order: WorkingOrder, request_id: str, wall_ns: int) -> str:
        """35=F, with both names where both are known."""
        body.text(11, request_id)
        _which(body, order)
        return "F"

    def cancel_orders(self, body: BodyWriter, orders: Sequence[tuple[WorkingOrder, str]], batch_id: str) -> str:
        """35=U4: one message, one symbol."""
        body.text(8014, batch_id)
        body.integer(73, len(orders))
        for order, request_id in orders:
            body.text(11, request_id)
            _which(body, order)
        return "U4"

    def replace_order(
        self,
        body: BodyWriter,
        order: WorkingOrder,
        request_id: str,
        order_qty: int,
        price: int | None,
        stop_px: int | None,
        wall_ns: int,
    ) -> str:
        """35=G, over the session that placed the order: new quantity, price, trigger; the rest stays as it was."""
        if not order.order_id:
            raise VenueError("35=G: the venue needs its OrderID(37), which has not come yet")
        if order.ord_type == MARKET or _FUNDS in order.options:
            raise VenueError(f"35=G: market orders and orders by {_FUNDS} cannot be amended")
        instrument = order.instrument
        body.text(11, request_id)
        body.text(37, order.order_id)
        body.text(41, order.cl_ord_id)
        body.scaled(38, order_qty, instrument.qty_scale)
        body.text(40, order.ord_type)
        body.scaled(44, required(price, "price", order.ord_type), instrument.px_scale)
        body.text(55, instrument.symbol)
        if order.ord_type in _TRIGGERED:
            body.scaled(99, required(stop_px, "stop_px", order.ord_type), instrument.px_scale)
        if order.ord_type == BRACKET:
            body.scaled(3040, _stop_limit_px(order, instrument), instrument.px_scale)
        return "G"

    def order_status(self, body: BodyWriter, order: WorkingOrder, request_id: str, wall_ns: int) -> str:
        """35=H under the ORDER's ClOrdID: what the answer is known by, since one to an unknown order has no OrderID."""
        body.text(11, order.cl_ord_id)
        if order.order_id:
            body.text(37, order.order_id)
        body.text(55, order.instrument.symbol)
        return "H"

    def mass_cancel(self, body: BodyWriter, instrument: Instrument | None, request_id: str, wall_ns: int) -> str:
        """35=q 530=6: the orders of this session, all instruments. The only form that the venue takes."""
        if instrument is not None:
            raise VenueError("35=q: coinbase_exchange cancels a whole session's orders, not one instrument's")
        body.text(11, request_id)
        body.text(530, _EVERYTHING_OF_SESSION)
        body.utc(60, wall_ns)
        return "q"

    def _check(self, order: NewOrder) -> None:
        one_of(order.ord_type, ORD_TYPES, "ord_type", _NAME)
        one_of(order.time_in_force, TIMES_IN_FORCE, "time_in_force", _NAME)
        unknown = sorted(order.options.keys() - _OPTIONS)
        if unknown:
            raise VenueError(f"options: coinbase_exchange has no {unknown}; it has {sorted(_OPTIONS)}")
        if order.display_qty is not None or order.effective_ns:
            raise VenueError("display_qty, effective_ns: coinbase_exchange has neither icebergs nor scheduled orders")
        if _FUNDS in order.options and order.ord_type not in _BY_FUNDS:
            raise VenueError(f"options.{_FUNDS}: only for market and limit orders, not ord_type {order.ord_type!r}")
        if (_STOP_LIMIT_PX in order.options) != (order.ord_type == BRACKET):
            raise VenueError(f"options.{_STOP_LIMIT_PX}: required for ord_type {BRACKET!r}, and for no other")
        if _DIRECTION in order.options and order.ord_type != STOP_LIMIT:
            raise VenueError(f"options.{_DIRECTION}: only for ord_type {STOP_LIMIT!r}")
        if order.ord_type == BRACKET:
            one_of(order.time_in_force, _BRACKET_TIFS, "time_in_force", "a bracket order of coinbase_exchange")
            if order.exec_inst:
                raise VenueError("exec_inst: a bracket order is never post-only")

    def _terms(self, body: BodyWriter, order: NewOrder, instrument: Instrument) -> None:
        words = exec_inst(order, _INSTRUCTIONS, _NAME)
        if words:
            body.text(18, words[0])
        funds = order.options.get(_FUNDS)
        if funds is None:
            body.scaled(38, order.order_qty, instrument.qty_scale)
        else:
            body.text(152, positive(funds, f"options.{_FUNDS}"))
        body.text(40, order.ord_type)
        if order.ord_type != MARKET:
            body.scaled(44, required(order.price, "price", order.ord_type), instrument.px_scale)
        body.text(54, one_of(order.side, frozenset("12"), "side", _NAME))
        body.text(55, instrument.symbol)
        body.text(59, order.time_in_force)
        if order.time_in_force == "6":
            if not order.expire_ns:
                raise VenueError("expire_ns: required for time_in_force '6'")
            body.utc(126, order.expire_ns)
        if order.ord_type in _TRIGGERED:
            body.scaled(99, required(order.stop_px, "stop_px", order.ord_type), instrument.px_scale)
        own = order.options.get(_SELF_TRADE, self._settings.self_trade)
        body.text(7928, one_of(own, SELF_TRADE, f"options.{_SELF_TRADE}", _NAME))

    def _exn(self, value: str) -> str:
        if not self._settings.sender_sub_id:
            raise VenueError(f"options.{_EXN}: EXN orders need the originator (option sender_sub_id)")
        return one_of(value, frozenset("E"), f"options.{_EXN}", _NAME)


def _which(body: BodyWriter, order: WorkingOrder) -> None:
    if order.order_id:
        body.text(37, order.order_id)
    body.text(41, order.cl_ord_id)
    body.text(55, order.instrument.symbol)


def _stop_limit_px(order: NewOrder | WorkingOrder, instrument: Instrument) -> int:
    text = order.options.get(_STOP_LIMIT_PX, "")
    try:
        return to_scaled(text, instrument.px_scale)
    except NumberError as e:
        raise VenueError(f"options.{_STOP_LIMIT_PX}: {e}") from None


def _bracket_px(order: NewOrder, instrument: Instrument) -> int:
    """StopLimitPx(3040), when take-profit, trigger and it are in the order that the venue wants."""
    limit = _stop_limit_px(order, instrument)
    profit, stop = required(order.price, "price", BRACKET), required(order.stop_px, "stop_px", BRACKET)
    if not (profit < stop < limit if order.side == "1" else profit > stop > limit):
        wanted = "price < stop_px < stop_limit_px" if order.side == "1" else "price > stop_px > stop_limit_px"
        raise VenueError(f"options.{_STOP_LIMIT_PX}: a bracket order of this side needs {wanted}")
    return limit
