"""Order entry of Crypto.com: D, F, G, H and q. Fields as the venue's tables have them.

What a request has no field for is refused rather than lost.
"""

from base.errors import VenueError
from base.instruments import Instrument
from fix.codec import BodyWriter
from ipc.requests import NewOrder
from venues.crypto_com.settings import ORD_TYPES, TIMES_IN_FORCE, Settings
from venues.encode import POST_ONLY, NewAndCancel, exec_inst, find_by_id, need_instrument, one_of, positive, required
from venues.ids import IdSource
from venues.interface import WorkingOrder

_NAME = "crypto_com"
MARKET, LIMIT = "1", "2"
_INSTRUCTIONS = {POST_ONLY: "6", "6": "6", "smart_post_only": "8", "8": "8"}
_FUNDS = "cash_order_qty"
_SMP = ("self_match_scope", "self_match_instruction", "self_match_id")
_OPTIONS: dict[str, tuple[int, frozenset[str]]] = {
    "cash_margin": (544, frozenset("12")),
    "commission_currency": (2643, frozenset()),
    "self_match_scope": (12362, frozenset("MS")),
    "self_match_instruction": (2964, frozenset("123")),
    "self_match_id": (2362, frozenset()),
}
"""Of an order: tag, and values where they are listed."""


class Orders(NewAndCancel):
    """Encoders of one session."""

    venue_name = _NAME
    ids: IdSource

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def new_order(self, body: BodyWriter, order: NewOrder, instrument: Instrument, cl_ord_id: str, wall_ns: int) -> str:
        """35=D."""
        options = self._checked(order)
        body.text(11, cl_ord_id)
        words = exec_inst(order, _INSTRUCTIONS, _NAME)
        if words and order.time_in_force != "1":
            raise VenueError(f"exec_inst: post only needs time_in_force '1', not {order.time_in_force!r}")
        if words:
            body.text(18, words[0])
        funds = options.pop(_FUNDS, None)
        if funds is None:
            body.scaled(38, order.order_qty, instrument.qty_scale)
        body.text(40, order.ord_type)
        if order.ord_type == LIMIT:
            body.scaled(44, required(order.price, "price", order.ord_type), instrument.px_scale)
        body.text(54, one_of(order.side, frozenset("12"), "side", _NAME))
        body.text(55, instrument.symbol)
        if order.ord_type == LIMIT:
            body.text(59, order.time_in_force)
        body.utc(60, wall_ns)
        if funds is not None:
            body.text(152, positive(funds, f"options.{_FUNDS}"))
        for name, value in options.items():
            tag, allowed = _OPTIONS[name]
            body.text(tag, one_of(value, allowed, f"options.{name}", _NAME) if allowed else value)
        if self._settings.broker_id:
            body.text(7933, self._settings.broker_id)
        if self._settings.receive_window_ms:
            body.integer(20100, self._settings.receive_window_ms)
        return "D"

    def cancel_order(self, body: BodyWriter, order: WorkingOrder, request_id: str, wall_ns: int) -> str:
        """35=F, with both names where both are known."""
        body.text(11, request_id)
        find_by_id(body, order)
        body.text(41, order.cl_ord_id)
        body.text(55, order.instrument.symbol)
        return "F"

    def replace_is_new(self, order: WorkingOrder, order_qty: int, price: int | None, stop_px: int | None) -> bool:
        """The venue cancels and places anew behind the scene, under the request's ClOrdID."""
        return self._settings.amend != "off"

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
        """35=G, where the option allows it: of a limit order without fills, since what 38 counts then is not told."""
        if self._settings.amend == "off":
            raise VenueError("35=G: what it does to the order is not documented (option amend); cancel and place anew")
        if order.ord_type != LIMIT or order.cum_qty:
            raise VenueError("35=G: limit orders without fills alone; cancel it and place anew")
        body.text(11, request_id)
        find_by_id(body, order)
        body.scaled(38, order_qty, order.instrument.qty_scale)
        body.text(41, order.cl_ord_id)
        body.scaled(44, required(price, "price", order.ord_type), order.instrument.px_scale)
        body.utc(60, wall_ns)
        own = order.options.get("self_match_instruction") or self._settings.self_match.get("self_match_instruction")
        if own:
            body.text(2964, own)
        return "G"

    def order_status(self, body: BodyWriter, order: WorkingOrder, request_id: str, wall_ns: int) -> str:
        """35=H under the ORDER's ClOrdID, so that an answer without OrderID can be told whose it is."""
        body.text(11, order.cl_ord_id)
        find_by_id(body, order)
        body.text(55, order.instrument.symbol)
        return "H"

    def mass_cancel(self, body: BodyWriter, instrument: Instrument | None, request_id: str, wall_ns: int) -> str:
        """35=q 530=1: one symbol. There is no other form."""
        symbol = need_instrument(instrument, f"35=q: {_NAME}").symbol
        body.text(11, request_id)
        body.text(55, symbol)
        body.text(530, "1")
        return "q"

    def _checked(self, order: NewOrder) -> dict[str, str]:
        """The order's options, those of the session among them."""
        one_of(order.ord_type, ORD_TYPES, "ord_type", _NAME)
        one_of(order.time_in_force, TIMES_IN_FORCE, "time_in_force", _NAME)
        if order.ord_type == MARKET and order.time_in_force == "4":
            raise VenueError("time_in_force: a market order of crypto_com has none, so that '4' would be lost")
        unknown = sorted(order.options.keys() - {*_OPTIONS, _FUNDS})
        if unknown:
            raise VenueError(f"options: crypto_com has no {unknown}; it has {sorted([*_OPTIONS, _FUNDS])}")
        if order.display_qty is not None or order.effective_ns or order.expire_ns:
            raise VenueError("display_qty, effective_ns, expire_ns: crypto_com has no such orders")
        if _FUNDS in order.options and (order.ord_type, order.side) != (MARKET, "1"):
            raise VenueError(f"options.{_FUNDS}: only for market orders that buy")
        own = {name: order.options[name] for name in _SMP if name in order.options}
        merged = {**(own or self._settings.self_match), **{k: v for k, v in order.options.items() if k not in _SMP}}
        _check_self_match(merged)
        return merged


def _check_self_match(options: dict[str, str]) -> None:
    if ("self_match_scope" in options) != ("self_match_instruction" in options):
        raise VenueError("options.self_match_scope: goes with self_match_instruction, and only with it")
    number = options.get("self_match_id")
    if number is not None and ("self_match_scope" not in options or not number.isdecimal() or int(number) > 32_767):
        raise VenueError(f"options.self_match_id: {number!r} is not 0 to 32767 with a self_match_scope")
