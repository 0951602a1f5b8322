"""Order entry of Gemini: D and F. There is no replace, no status request, no list and no mass cancel in FIX."""

from decimal import Decimal, InvalidOperation

from base.errors import VenueError
from base.instruments import Instrument
from fix.codec import BodyWriter
from ipc.requests import NewOrder
from venues.encode import POST_ONLY, NewAndCancel, exec_inst, no_more, one_of, required
from venues.gemini.settings import NAME, ORD_TYPES, TIMES_IN_FORCE
from venues.interface import WorkingOrder

MARKET, LIMIT, STOP_LIMIT = "1", "2", "4"
_TIMES = {MARKET: frozenset("3"), LIMIT: TIMES_IN_FORCE, STOP_LIMIT: frozenset("1")}
_POST = {POST_ONLY: "6", "6": "6"}
_GTC = "1"


class Orders(NewAndCancel):
    """Encoders of one session."""

    venue_name = NAME

    def new_order(self, body: BodyWriter, order: NewOrder, instrument: Instrument, cl_ord_id: str, wall_ns: int) -> str:
        """35=D, tags rising as in the venue's samples. A market buy is sized by what it may spend alone."""
        self._check(order)
        options = dict(order.options)
        party, funds = options.pop("on_behalf_of_comp_id", ""), options.pop("cash_order_qty", "")
        words = exec_inst(order, _POST, NAME)
        if words and (order.ord_type, order.time_in_force) != (LIMIT, _GTC):
            raise VenueError("exec_inst: post only goes with ord_type '2' and time_in_force '1' alone")
        if party:
            body.text(115, party)  # a header field: it stands right behind the others
        body.text(11, cl_ord_id)
        if words:
            body.text(18, words[0])
        _optional(body, 23, options.pop("ioi_id", ""))
        if not funds:
            body.scaled(38, order.order_qty, instrument.qty_scale)
        body.text(40, order.ord_type)
        if order.ord_type != MARKET:
            body.scaled(44, required(order.price, "price", order.ord_type), instrument.px_scale)
        body.text(54, order.side)
        body.text(55, instrument.symbol)
        if order.ord_type != MARKET:
            body.text(59, order.time_in_force)
        body.utc(60, wall_ns)
        if order.ord_type == STOP_LIMIT:
            body.scaled(99, required(order.stop_px, "stop_px", STOP_LIMIT), instrument.px_scale)
        _optional(body, 110, _amount(options.pop("min_qty", ""), "min_qty"))
        _optional(body, 152, _amount(funds, "cash_order_qty"))
        _optional(body, 544, options.pop("cash_margin", ""))
        _optional(body, 9000, options.pop("risk_liquidity_flag", ""))
        no_more(options, NAME)
        return "D"

    def cancel_order(self, body: BodyWriter, order: WorkingOrder, request_id: str, wall_ns: int) -> str:
        """35=F: the venue looks at 41 alone; the order must be of this trading session."""
        body.text(11, request_id)
        body.text(41, order.cl_ord_id)
        body.text(54, order.side)
        body.text(55, order.instrument.symbol)
        body.utc(60, wall_ns)
        return "F"

    @staticmethod
    def _check(order: NewOrder) -> None:
        one_of(order.ord_type, ORD_TYPES, "ord_type", NAME)
        one_of(order.side, frozenset("12"), "side", NAME)
        one_of(order.time_in_force, _TIMES[order.ord_type], "time_in_force", f"{NAME} ord_type {order.ord_type!r}")
        if order.display_qty is not None or order.effective_ns or order.expire_ns:
            raise VenueError("display_qty, effective_ns, expire_ns: gemini has no icebergs, schedules or expiries")
        by_funds = (order.ord_type, order.side) == (MARKET, "1")
        if ("cash_order_qty" in order.options) != by_funds:
            wanted = (
                "is what a market buy is sized by, and no other order; a limit with time_in_force '3' has a quantity"
            )
            raise VenueError(f"options.cash_order_qty: {wanted}")
        if order.side == "2" and "cash_margin" in order.options:
            raise VenueError("options.cash_margin: gemini has margin orders on the buy side alone")


def _optional(body: BodyWriter, tag: int, value: str) -> None:
    if value:
        body.text(tag, value)


def _amount(text: str, name: str) -> str:
    """A positive decimal as it stands, "" for none. VenueError naming the option."""
    try:
        if text and not 0 < Decimal(text) < 10**18:
            raise InvalidOperation
    except InvalidOperation:
        raise VenueError(f"options.{name}: {text!r} is not a positive amount") from None
    if "e" in text.lower() or text.strip() != text:
        raise VenueError(f"options.{name}: {text!r} is not plain decimal text")
    return text
