"""Order entry of Kraken Spot and Derivatives: D, F, G, H, q. Body fields rise by tag, as in the venue's samples."""

from base.errors import VenueError
from base.instruments import Instrument
from fix.codec import BodyWriter
from ipc.requests import NewOrder
from venues.encode import POST_ONLY, InPlace, exec_inst, one_of, required, scaled
from venues.interface import WorkingOrder
from venues.kraken.settings import Settings

_NAME = "kraken"
_PRICED = frozenset("24TV")
_TRIGGERED = frozenset("34RTUV")
_COMMON_INST = {POST_ONLY: "P", "P": "P", "reduce_only": "E", "E": "E"}
_SPOT_INST = {**_COMMON_INST, "fee_base": "f", "f": "f", "fee_quote": "q", "q": "q"}
_DERIVATIVES_INST = {**_COMMON_INST, "s": "s"}
_SPOT_OPTIONS = {
    "leverage": (5001, frozenset("01")),
    "self_trade_prevention": (7928, frozenset("012")),
    "discretion_inst": (388, frozenset("15")),
}
_DERIVATIVES_OPTIONS = {"discretion_inst": (388, frozenset("15"))}
_POST = frozenset({POST_ONLY, "P"})
_KEPT_OPTIONS = frozenset({"valid_for_s", "leverage"})  # said again; not amendable, says the venue
_VALID_MIN_S, _VALID_MAX_S = 2, 60
_ICEBERG_PARTS = 15


class Orders(InPlace):
    """Encoders of one session."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def new_order(self, body: BodyWriter, order: NewOrder, instrument: Instrument, cl_ord_id: str, wall_ns: int) -> str:
        """35=D."""
        settings = self._settings
        one_of(order.ord_type, settings.ord_types, "ord_type", self._market)
        one_of(order.time_in_force, settings.times_in_force, "time_in_force", self._market)
        if settings.derivatives and (order.display_qty is not None or order.effective_ns):
            raise VenueError("display_qty, effective_ns: derivatives have neither icebergs nor scheduled orders")
        options = self._options(order)
        body.text(11, cl_ord_id)
        self._exec_inst(body, order)
        body.scaled(38, order.order_qty, instrument.qty_scale)
        body.text(40, order.ord_type)
        if order.ord_type in _PRICED:
            body.scaled(44, required(order.price, "price", order.ord_type), instrument.px_scale)
        body.text(54, one_of(order.side, frozenset("12"), "side", _NAME))
        body.text(55, instrument.symbol)
        body.text(59, order.time_in_force)
        body.utc(60, wall_ns)
        self._valid_until(body, order, wall_ns)
        if settings.alloc_account:
            body.integer(78, 1)
            body.text(79, settings.alloc_account)
        if order.ord_type in _TRIGGERED:
            body.scaled(99, required(order.stop_px, "stop_px", order.ord_type), instrument.px_scale)
        if order.time_in_force == "6":
            if not order.expire_ns:
                raise VenueError("expire_ns: required for time_in_force '6'")
            body.utc(126, order.expire_ns, 0)
        if order.effective_ns:
            body.utc(168, order.effective_ns)
        if 388 in options:
            body.text(388, options.pop(388))
        self._display(body, order.ord_type, order.order_qty, order.display_qty, instrument)
        for tag in sorted(options):
            body.text(tag, options[tag])
        return "D"

    def cancel_order(self, body: BodyWriter, order: WorkingOrder, request_id: str, wall_ns: int) -> str:
        """35=F; of 37 and 41 the venue reads 37 when both are there, so only one is sent."""
        body.text(11, request_id)
        if order.order_id:
            body.text(37, order.order_id)
        else:
            body.text(41, order.cl_ord_id)
        self._what(body, order, wall_ns)
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
        """35=G: a full restatement; post-only and display size are said again because nothing says that they survive.

        What the message has no field for, and the venue does not say to keep, is refused rather than lost.
        """
        if not self._settings.amend:
            raise VenueError("35=G: derivatives amend only in the venue's test environment (option amend)")
        if not order.order_id:
            raise VenueError("35=G: the venue needs its OrderID(37), which has not come yet")
        instrument = order.instrument
        self._loses_nothing(order)
        body.text(11, request_id)
        if _POST & set(order.exec_inst.split()):
            body.text(18, "P")
        body.text(37, order.order_id)
        body.scaled(38, order_qty, instrument.qty_scale)
        body.text(40, order.ord_type)
        body.text(41, order.cl_ord_id)
        if order.ord_type in _PRICED:
            body.scaled(44, required(price, "price", order.ord_type), instrument.px_scale)
        body.text(54, order.side)
        body.text(55, instrument.symbol)
        body.text(59, order.time_in_force)
        body.utc(60, wall_ns)
        self._valid_until(body, order, wall_ns)
        if order.ord_type in _TRIGGERED:
            body.scaled(99, required(stop_px, "stop_px", order.ord_type), instrument.px_scale)
        self._display(body, order.ord_type, order_qty, order.display_qty, instrument)
        return "G"

    @staticmethod
    def _loses_nothing(order: WorkingOrder) -> None:
        words = [f"exec_inst {w}" for w in order.exec_inst.split() if w not in _POST | {"s"}]
        lost = words + [f"options.{name}" for name in order.options if name not in _KEPT_OPTIONS]
        if lost:
            raise VenueError(f"35=G: {', '.join(lost)} cannot be said again and could be lost; cancel and place anew")

    def order_status(self, body: BodyWriter, order: WorkingOrder, request_id: str, wall_ns: int) -> str:
        """35=H: whose id 11 is, the order's or the request's, the documentation says both ways (option status_id)."""
        if not self._settings.status_request:
            raise VenueError("35=H: documented for Spot only (option status_request)")
        if not order.order_id:
            raise VenueError("35=H: the venue needs its OrderID(37), which has not come yet")
        body.text(11, order.cl_ord_id if self._settings.status_id == "order" else request_id)
        body.text(37, order.order_id)
        self._what(body, order, wall_ns)
        return "H"

    def mass_status(self, body: BodyWriter, request_id: str, wall_ns: int) -> str:
        """There is none: the list is had over REST."""
        raise VenueError("35=AF: kraken has no mass status request")

    def mass_cancel(self, body: BodyWriter, instrument: Instrument | None, request_id: str, wall_ns: int) -> str:
        """35=q: 530=1 for one instrument of this session, otherwise 6 or 7. Nothing answers when nothing matches."""
        body.text(11, request_id)
        if instrument is not None:
            body.text(55, instrument.symbol)
        body.utc(60, wall_ns)
        body.text(530, self._settings.mass_cancel_type if instrument is None else "1")
        return "q"

    @property
    def _market(self) -> str:
        return "kraken derivatives" if self._settings.derivatives else "kraken spot"

    @staticmethod
    def _what(body: BodyWriter, order: WorkingOrder, wall_ns: int) -> None:
        body.text(54, order.side)
        body.text(55, order.instrument.symbol)
        body.utc(60, wall_ns)

    def _exec_inst(self, body: BodyWriter, order: NewOrder) -> None:
        derivatives = self._settings.derivatives
        words = exec_inst(order, _DERIVATIVES_INST if derivatives else _SPOT_INST, self._market)
        if derivatives and "s" not in words:
            words.append("s")  # single fee: mandatory there
        if words:
            body.text(18, " ".join(words))

    def _options(self, order: NewOrder) -> dict[int, str]:
        known = _DERIVATIVES_OPTIONS if self._settings.derivatives else _SPOT_OPTIONS
        found: dict[int, str] = {}
        for name, value in order.options.items():
            if name == "valid_for_s":
                continue
            if name not in known:
                raise VenueError(f"options: {self._market} has no {name!r}; it has {sorted([*known, 'valid_for_s'])}")
            tag, allowed = known[name]
            found[tag] = one_of(value, allowed, f"options.{name}", self._market)
        return found

    @staticmethod
    def _valid_until(body: BodyWriter, order: NewOrder | WorkingOrder, wall_ns: int) -> None:
        text = order.options.get("valid_for_s")
        if text is None:
            return
        if not text.isdecimal() or not _VALID_MIN_S <= int(text) <= _VALID_MAX_S:
            raise VenueError(f"options.valid_for_s: {text!r} is not {_VALID_MIN_S} to {_VALID_MAX_S} seconds")
        body.utc(62, wall_ns + int(text) * 1_000_000_000)

    @staticmethod
    def _display(body: BodyWriter, ord_type: str, order_qty: int, display: int | None, instrument: Instrument) -> None:
        if display is None:
            return
        if ord_type != "2":
            raise VenueError(f"display_qty: icebergs are limit orders, not ord_type {ord_type!r}")
        if display * _ICEBERG_PARTS < order_qty:
            raise VenueError(f"display_qty: at least 1/{_ICEBERG_PARTS} of order_qty")
        scaled(body, 1138, display, instrument.qty_scale)
