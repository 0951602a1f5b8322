"""Order entry of Deribit: D, F, G, AF for one order, q. Quantities are contracts, and said to be (854=1).

Requests about an order carry no id of their own: OrigClOrdID(41) is the id that DERIBIT gave the order, where a report
has told it, else ClOrdID(11) is the order's own.
"""

from base.errors import VenueError
from base.instruments import Instrument
from fix.codec import BodyWriter
from ipc.requests import NewOrder
from venues.deribit.settings import TIMES_IN_FORCE, Settings
from venues.encode import POST_ONLY, InPlace, exec_inst, one_of, required, scaled
from venues.interface import WorkingOrder

_NAME = "deribit"
_WIRE_TYPES = {"1": "1", "2": "2", "K": "K", "3": "S", "4": "J"}
"""OrdType(40) for the desk's: with StopPx(99) S is a stop market order, J a stop limit order."""
_PRICED = frozenset("24")
_TRIGGERED = frozenset("34")
_INSTRUCTIONS = {
    POST_ONLY: "6A", "6A": "6A", "post_only_reprice": "6", "6": "6", "reduce_only": "E", "E": "E",
}  # fmt: skip
_OPTIONS = {
    "mm_protection": (9008, frozenset("YN")),
    "condition_trigger_method": (5127, frozenset("123")),
}
_LABEL, _VALID = "label", "valid_for_s"
_LABEL_MOST = 64
_VALID_MOST_S = 3600
_CONTRACTS = "1"  # QtyType(854)
_BY_CL_ORD_ID = "1"  # MassStatusReqIDType(9014)


class Orders(InPlace):
    """Encoders of one session."""

    def __init__(self, settings: Settings, session_label: str) -> None:
        self._settings = settings
        self._session_label = session_label

    def new_order(self, body: BodyWriter, order: NewOrder, instrument: Instrument, cl_ord_id: str, wall_ns: int) -> str:
        """35=D."""
        one_of(order.ord_type, self._settings.ord_types, "ord_type", _NAME)
        one_of(order.time_in_force, TIMES_IN_FORCE, "time_in_force", _NAME)
        self._check_options(order)
        body.text(11, cl_ord_id)
        body.text(54, one_of(order.side, frozenset("12"), "side", _NAME))
        body.scaled(38, order.order_qty, instrument.qty_scale)
        if order.ord_type in _PRICED:
            body.scaled(44, required(order.price, "price", order.ord_type), instrument.px_scale)
        elif self._settings.market_px == "zero":  # the venue's table requires a price of every order
            body.integer(44, 0)
        body.text(55, instrument.symbol)
        self._valid_until(body, order, wall_ns)
        self._instructions(body, order)
        body.text(40, _WIRE_TYPES[order.ord_type])
        body.text(59, order.time_in_force)
        if order.ord_type in _TRIGGERED:
            body.scaled(99, required(order.stop_px, "stop_px", order.ord_type), instrument.px_scale)
        scaled(body, 1138, order.display_qty, instrument.qty_scale)
        body.text(854, _CONTRACTS)
        label = self._label(order, cl_ord_id)
        if label:
            body.text(100010, label)
        for name, (tag, _) in _OPTIONS.items():
            if name in order.options:
                body.text(tag, order.options[name])
        return "D"

    def cancel_order(self, body: BodyWriter, order: WorkingOrder, request_id: str, wall_ns: int) -> str:
        """35=F."""
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
        """35=G: quantity and price of a limit order; its ClOrdID stays."""
        if order.ord_type != "2":
            raise VenueError(f"35=G: deribit amends limit orders, not ord_type {order.ord_type!r}")
        instrument = order.instrument
        _which(body, order)
        body.text(55, instrument.symbol)
        body.text(54, order.side)
        body.scaled(38, order_qty, instrument.qty_scale)
        body.text(40, "2")
        body.scaled(44, required(price, "price", "2"), instrument.px_scale)
        self._instructions(body, order)
        scaled(body, 1138, order.display_qty, instrument.qty_scale)
        body.text(854, _CONTRACTS)
        return "G"

    def order_status(self, body: BodyWriter, order: WorkingOrder, request_id: str, wall_ns: int) -> str:
        """35=AF for one: 585=1 by the venue's id, or 585=7 9014=1 by the order's own, as the venue's page has it."""
        body.text(584, order.order_id or order.cl_ord_id)
        body.text(585, "1" if order.order_id else "7")
        if not order.order_id:
            body.text(9014, _BY_CL_ORD_ID)
        body.text(55, order.instrument.symbol)
        return "AF"

    def mass_status(self, body: BodyWriter, request_id: str, wall_ns: int) -> str:
        """Not used: the venue answers one report an order and does not say which is the last."""
        raise VenueError("35=AF: deribit does not say where its list of all orders ends; it is had over REST")

    def mass_cancel(self, body: BodyWriter, instrument: Instrument | None, request_id: str, wall_ns: int) -> str:
        """35=q: one instrument's orders (530=1), or all (7), those of a security type (5), of the session's label (10).

        Which of the latter three the option `mass_cancel` says; `currency` and `freeze_quotes` go with each.
        """
        settings = self._settings
        kind = "1" if instrument is not None else settings.mass_cancel_type
        body.text(11, request_id)
        body.text(530, kind)
        if instrument is not None:
            body.text(55, instrument.symbol)
        elif kind == "5":
            body.text(167, settings.security_type)
        elif kind == "10":
            body.text(100010, self._session_label)
        if settings.currency:
            body.text(15, settings.currency)
        if settings.freeze_quotes:
            body.boolean(9031, True)
        return "q"

    def _check_options(self, order: NewOrder) -> None:
        known = {*_OPTIONS, _VALID, *({_LABEL} if self._settings.label == "free" else ())}
        unknown = sorted(order.options.keys() - known)
        if unknown:
            raise VenueError(f"options: deribit has no {unknown}; as configured it has {sorted(known)}")
        for name, (_, values) in _OPTIONS.items():
            if name in order.options:
                one_of(order.options[name], values, f"options.{name}", _NAME)
        if order.expire_ns or order.effective_ns:
            raise VenueError("expire_ns, effective_ns: deribit has neither orders until a time nor scheduled ones")
        if order.display_qty is not None and order.ord_type not in _PRICED:
            raise VenueError(f"display_qty: icebergs are limit orders, not ord_type {order.ord_type!r}")

    def _label(self, order: NewOrder, cl_ord_id: str) -> str:
        if self._settings.label != "free":
            return cl_ord_id if self._settings.label == "cl_ord_id" else self._session_label
        label = order.options.get(_LABEL, "")
        if len(label) > _LABEL_MOST:
            raise VenueError(f"options.{_LABEL}: {len(label)} characters, deribit takes {_LABEL_MOST}")
        return label

    @staticmethod
    def _instructions(body: BodyWriter, order: NewOrder | WorkingOrder) -> None:
        letters = "".join(exec_inst(order, _INSTRUCTIONS, _NAME))
        if letters:
            body.text(18, letters)

    @staticmethod
    def _valid_until(body: BodyWriter, order: NewOrder, wall_ns: int) -> None:
        """ValidUntilTime(62): the request is void afterwards."""
        text = order.options.get(_VALID)
        if text is None:
            return
        if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= _VALID_MOST_S):
            raise VenueError(f"options.{_VALID}: {text!r} is not 1 to {_VALID_MOST_S} seconds")
        body.utc(62, wall_ns + int(text) * 1_000_000_000)


def _which(body: BodyWriter, order: WorkingOrder) -> None:
    if order.order_id:
        body.text(41, order.order_id)
    else:
        body.text(11, order.cl_ord_id)
