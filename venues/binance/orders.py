"""Order entry of Binance Spot: D, F, XCN, XAK, q. Bodies follow the order of the venue's schema.

The venue knows take-profit orders as stops (40=3, 4) that trigger the other way; OrdType R and T stand for them here.
"""

from base.errors import VenueError
from base.instruments import Instrument
from fix.codec import BodyWriter
from ipc.requests import NewOrder
from venues.encode import POST_ONLY, exec_inst, need_instrument, one_of, required, scaled
from venues.ids import IdSource
from venues.interface import WorkingOrder

_NAME = "binance"
CANCEL_HALF = "c"
"""The cancel half of a replace has the request's ClOrdID with this behind it."""
ORD_TYPES = frozenset("1234PRT")
TIMES_IN_FORCE = frozenset("134")
_WIRE_TYPES = {"R": "3", "T": "4"}
_PRICED = frozenset("24T")
_TRIGGERED = frozenset("34RT")
_TAKES_PROFIT = frozenset("RT")
_WITH_TIF = frozenset("24TP")
_PEG_TAGS = {211, 1094}
_TRIGGER_TAGS = {25009, 1109}
_INSTRUCTIONS = {POST_ONLY: "6", "6": "6"}
_OPTIONS = {
    "trigger_trailing_delta_bips": (25009, None),
    "trigger_price_direction": (1109, frozenset("UD")),
    "peg_offset_value": (211, None),
    "peg_price_type": (1094, frozenset("45")),
    "target_strategy": (847, None),
    "strategy_id": (7940, None),
    "self_trade_prevention_mode": (25001, frozenset("123456")),
    "sor": (25032, frozenset("YN")),
}


class Orders:
    """Encoders of one session."""

    ids: IdSource

    def new_order(self, body: BodyWriter, order: NewOrder, instrument: Instrument, cl_ord_id: str, wall_ns: int) -> str:
        """35=D."""
        body.text(11, cl_ord_id)
        options = _options(order)
        self._terms(body, order, instrument, options)
        if 25032 in options:
            body.text(25032, options[25032])
        return "D"

    def cancel_order(self, body: BodyWriter, order: WorkingOrder, request_id: str, wall_ns: int) -> str:
        """35=F, by OrderID alone where it is known: the fastest form."""
        body.text(11, request_id)
        _which(body, order)
        body.text(55, order.instrument.symbol)
        return "F"

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
        """35=XAK when only the quantity falls, otherwise 35=XCN: cancel, then a new order.

        XCN is only sent for an order without fills and tells the venue to do it only if that is still so (25002=1):
        otherwise a fill on the way would be had twice.
        """
        if not self.replace_is_new(order, order_qty, price, stop_px):
            return self._amend(body, order, request_id, order_qty)
        if order.cum_qty:
            raise VenueError("replace: a partly filled order can only be made smaller; cancel it and place anew")
        if order.options.get("sor", "N") != "N":
            raise VenueError("options.sor: 35=XCN has no such field, so it would be lost; cancel and place anew")
        body.integer(25033, 1)  # stop when the cancel fails
        if order.order_id:
            body.text(37, order.order_id)
        body.text(25034, request_id + CANCEL_HALF)
        if not order.order_id:
            body.text(41, order.cl_ord_id)
        body.integer(25002, 1)  # only if still NEW
        anew = NewOrder(
            client_id="", command_id="", deadline_ns=0, venue=order.instrument.venue,
            instrument=order.instrument.name, side=order.side, ord_type=order.ord_type, order_qty=order_qty,
            price=price, stop_px=stop_px, time_in_force=order.time_in_force, exec_inst=order.exec_inst,
            display_qty=order.display_qty, options=order.options,
        )  # fmt: skip
        body.text(11, request_id)
        self._terms(body, anew, order.instrument, _options(anew))
        return "XCN"

    def replace_is_new(self, order: WorkingOrder, order_qty: int, price: int | None, stop_px: int | None) -> bool:
        """Everything but a smaller quantity at the same prices."""
        same = (price, stop_px) == (order.price, order.stop_px)
        return not (same and order.cum_qty < order_qty < order.order_qty)

    def after_logon(self) -> list[tuple[str, bytes]]:
        """35=XLQ: the limits in force, which have changed before."""
        body = BodyWriter()
        body.text(6136, "limits")
        return [("XLQ", body.take())]

    def order_status(self, body: BodyWriter, order: WorkingOrder, request_id: str, wall_ns: int) -> str:
        """The venue has no status request in FIX."""
        raise VenueError("35=H: binance has none; ask over REST")

    def mass_status(self, body: BodyWriter, request_id: str, wall_ns: int) -> str:
        """There is none: the list is had over REST."""
        raise VenueError("35=AF: binance has no status requests in FIX")

    def mass_cancel(self, body: BodyWriter, instrument: Instrument | None, request_id: str, wall_ns: int) -> str:
        """35=q 530=1: one symbol, and every order of the account on it, whoever placed it."""
        symbol = need_instrument(instrument, _NAME).symbol
        body.text(11, request_id)
        body.text(55, symbol)
        body.text(530, "1")
        return "q"

    @staticmethod
    def _amend(body: BodyWriter, order: WorkingOrder, request_id: str, order_qty: int) -> str:
        body.text(11, request_id)
        _which(body, order)
        body.text(55, order.instrument.symbol)
        body.scaled(38, order_qty, order.instrument.qty_scale)
        return "XAK"

    @staticmethod
    def _terms(body: BodyWriter, order: NewOrder, instrument: Instrument, options: dict[int, str]) -> None:
        """Fields 38 to 25001 of the schema, the same for D and the second half of XCN."""
        ord_type = one_of(order.ord_type, ORD_TYPES, "ord_type", _NAME)
        post_only = bool(exec_inst(order, _INSTRUCTIONS, _NAME))
        _check(order, post_only, options)
        body.scaled(38, order.order_qty, instrument.qty_scale)
        body.text(40, _WIRE_TYPES.get(ord_type, ord_type))
        if post_only:
            body.text(18, "6")
        if ord_type in _PRICED:
            body.scaled(44, required(order.price, "price", ord_type), instrument.px_scale)
        if ord_type in _TRIGGERED:
            _trigger(body, order, instrument, options)
        if ord_type == "P":
            _peg(body, options)
        body.text(54, one_of(order.side, frozenset("12"), "side", _NAME))
        body.text(55, instrument.symbol)
        if ord_type in _WITH_TIF and not post_only:
            body.text(59, order.time_in_force)
        scaled(body, 111, order.display_qty, instrument.qty_scale)
        for tag in (847, 7940, 25001):
            if tag in options:
                body.text(tag, options[tag])


def _which(body: BodyWriter, order: WorkingOrder) -> None:
    if order.order_id:
        body.text(37, order.order_id)
    else:
        body.text(41, order.cl_ord_id)


def _options(order: NewOrder) -> dict[int, str]:
    found: dict[int, str] = {}
    for name, value in order.options.items():
        if name not in _OPTIONS:
            raise VenueError(f"options: {_NAME} has no {name!r}; it has {sorted(_OPTIONS)}")
        tag, allowed = _OPTIONS[name]
        if allowed is not None:
            one_of(value, allowed, f"options.{name}", _NAME)
        elif not value.isdecimal():
            raise VenueError(f"options.{name}: {value!r} is not a whole number")
        found[tag] = value
    return found


def _check(order: NewOrder, post_only: bool, options: dict[int, str]) -> None:
    ord_type = order.ord_type
    one_of(order.time_in_force, TIMES_IN_FORCE, "time_in_force", _NAME)
    if order.time_in_force == "4" and ord_type not in _WITH_TIF:
        raise VenueError(f"time_in_force: {_NAME} takes none with ord_type {ord_type!r}")
    if post_only and (ord_type not in ("2", "P") or order.time_in_force != "1"):
        raise VenueError("exec_inst: post_only goes with a GTC limit or pegged order only")
    if order.display_qty is not None and (ord_type not in _PRICED or order.time_in_force != "1"):
        raise VenueError("display_qty: icebergs are limit orders with time_in_force '1'")
    if order.expire_ns or order.effective_ns:
        raise VenueError(f"expire_ns, effective_ns: {_NAME} has neither")
    stray: set[int] = set() if ord_type == "P" else _PEG_TAGS
    stray = stray if ord_type in _TRIGGERED else stray | _TRIGGER_TAGS
    if stray & options.keys():
        raise VenueError(f"options: {sorted(order.options)} do not go with ord_type {ord_type!r}")


def _trigger(body: BodyWriter, order: NewOrder, instrument: Instrument, options: dict[int, str]) -> None:
    """Stop-loss triggers with the order's side (buy: up), take-profit against it; trailing ones may lack a price."""
    trailing = options.get(25009)
    if order.stop_px is None and trailing is None:
        raise VenueError(f"stop_px: required for ord_type {order.ord_type!r} without trigger_trailing_delta_bips")
    body.text(1100, "4")
    body.text(1101, "1")
    scaled(body, 1102, order.stop_px, instrument.px_scale)
    body.text(1107, "2")
    takes_profit = order.ord_type in _TAKES_PROFIT
    direction = "U" if (order.side == "1") != takes_profit else "D"
    if not (takes_profit and order.stop_px is None):
        body.text(1109, options.get(1109, direction))
    if trailing is not None:
        body.text(25009, trailing)


def _peg(body: BodyWriter, options: dict[int, str]) -> None:
    if 1094 not in options:
        raise VenueError("options.peg_price_type: required for ord_type 'P'")
    if 211 in options:
        body.text(211, options[211])
    body.text(1094, options[1094])
    body.text(835, "1")
    if 211 in options:
        body.text(836, "3")
