"""Order entry in plain FIX 4.4: D, F, G, H and q with the standard's fields and nothing else."""

from base.errors import VenueError
from base.instruments import Instrument
from fix.codec import BodyWriter
from ipc.requests import NewOrder
from venues.encode import POST_ONLY, InPlace, exec_inst, find_by_id, no_more, one_of, required, scaled
from venues.fix44.settings import Settings
from venues.interface import WorkingOrder

_NAME = "fix44"
_PRICED = frozenset({"2", "4"})
_TRIGGERED = frozenset({"3", "4"})
_INSTRUCTIONS = {POST_ONLY: "6", "6": "6"}


class Orders(InPlace):
    """Encoders of one session; `settings` say which messages and values the peer knows."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def new_order(self, body: BodyWriter, order: NewOrder, instrument: Instrument, cl_ord_id: str, wall_ns: int) -> str:
        """35=D."""
        settings = self._settings
        self._knows("D")
        one_of(order.ord_type, settings.ord_types, "ord_type", _NAME)
        one_of(order.time_in_force, settings.times_in_force, "time_in_force", _NAME)
        no_more(order.options, _NAME)
        body.text(11, cl_ord_id)
        if settings.account:
            body.text(1, settings.account)
        if settings.handl_inst:
            body.text(21, settings.handl_inst)
        instructions = exec_inst(order, _INSTRUCTIONS, _NAME)
        if instructions:
            body.text(18, " ".join(instructions))
        scaled(body, 111, order.display_qty, instrument.qty_scale)
        body.text(55, instrument.symbol)
        body.text(54, order.side)
        body.utc(60, wall_ns)
        body.scaled(38, order.order_qty, instrument.qty_scale)
        body.text(40, order.ord_type)
        self._prices(body, order.ord_type, order.price, order.stop_px, instrument)
        body.text(59, order.time_in_force)
        if order.effective_ns:
            body.utc(168, order.effective_ns)
        self._expiry(body, order)
        return "D"

    def cancel_order(self, body: BodyWriter, order: WorkingOrder, request_id: str, wall_ns: int) -> str:
        """35=F."""
        self._knows("F")
        body.text(41, order.cl_ord_id)
        find_by_id(body, order)
        body.text(11, request_id)
        if self._settings.account:
            body.text(1, self._settings.account)
        body.text(55, order.instrument.symbol)
        body.text(54, order.side)
        body.utc(60, wall_ns)
        body.scaled(38, order.order_qty, order.instrument.qty_scale)
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
        """35=G; OrderQty(38) is the new total, and every instruction of the order is said again."""
        self._knows("G")
        instrument = order.instrument
        find_by_id(body, order)
        body.text(41, order.cl_ord_id)
        body.text(11, request_id)
        if self._settings.account:
            body.text(1, self._settings.account)
        if self._settings.handl_inst:
            body.text(21, self._settings.handl_inst)
        instructions = exec_inst(order, _INSTRUCTIONS, _NAME)
        if instructions:
            body.text(18, " ".join(instructions))
        scaled(body, 111, order.display_qty, instrument.qty_scale)
        body.text(55, instrument.symbol)
        body.text(54, order.side)
        body.utc(60, wall_ns)
        body.scaled(38, order_qty, instrument.qty_scale)
        body.text(40, order.ord_type)
        self._prices(body, order.ord_type, price, stop_px, instrument)
        body.text(59, order.time_in_force)
        if order.effective_ns > wall_ns:
            body.utc(168, order.effective_ns)
        self._expiry(body, order)
        return "G"

    def order_status(self, body: BodyWriter, order: WorkingOrder, request_id: str, wall_ns: int) -> str:
        """35=H: ClOrdID(11) is the order's own, OrdStatusReqID(790) the request's."""
        self._knows("H")
        find_by_id(body, order)
        body.text(11, order.cl_ord_id)
        body.text(55, order.instrument.symbol)
        body.text(54, order.side)
        body.text(790, request_id)
        return "H"

    def mass_status(self, body: BodyWriter, request_id: str, wall_ns: int) -> str:
        """35=AF for everything: MassStatusReqType(585)=7."""
        self._knows("AF")
        body.text(584, request_id)
        body.integer(585, 7)
        if self._settings.account:
            body.text(1, self._settings.account)
        return "AF"

    def mass_cancel(self, body: BodyWriter, instrument: Instrument | None, request_id: str, wall_ns: int) -> str:
        """35=q: 530=1 for one instrument, 530=7 for everything."""
        self._knows("q")
        if instrument is not None and not self._settings.mass_cancel_by_instrument:
            raise VenueError("mass cancel: this venue's goes for every instrument at once")
        body.text(11, request_id)
        body.text(530, "7" if instrument is None else "1")
        if instrument is not None:
            body.text(55, instrument.symbol)
        body.utc(60, wall_ns)
        return "q"

    def _knows(self, msg_type: str) -> None:
        if msg_type not in self._settings.messages:
            raise VenueError(f"35={msg_type}: this venue knows only {sorted(self._settings.messages)} of our requests")

    @staticmethod
    def _prices(
        body: BodyWriter, ord_type: str, price: int | None, stop_px: int | None, instrument: Instrument
    ) -> None:
        if ord_type in _PRICED:
            body.scaled(44, required(price, "price", ord_type), instrument.px_scale)
        if ord_type in _TRIGGERED:
            body.scaled(99, required(stop_px, "stop_px", ord_type), instrument.px_scale)

    @staticmethod
    def _expiry(body: BodyWriter, order: NewOrder | WorkingOrder) -> None:
        if order.time_in_force == "6":
            if not order.expire_ns:
                raise VenueError("expire_ns: required for time_in_force '6'")
            body.utc(126, order.expire_ns)
