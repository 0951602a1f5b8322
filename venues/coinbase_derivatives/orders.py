"""Order entry of Coinbase Derivatives: D, F and G. Fields as the venue's tables have them.

What a request has no field for is refused rather than lost. Parties(453), which override firm and customer, are for
clearing firms and not sent.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from base.decimals import to_scaled
from base.errors import NumberError, VenueError
from base.instruments import Instrument
from fix.codec import BodyWriter
from ipc.requests import NewOrder
from venues.coinbase_derivatives.settings import Settings
from venues.encode import POST_ONLY, NewAndCancel, exec_inst, one_of, required
from venues.interface import WorkingOrder

_NAME = "coinbase_derivatives"
MARKET, LIMIT, STOP, STOP_LIMIT, OCO = "1", "2", "3", "4", "O"
ORD_TYPES = frozenset({MARKET, LIMIT, STOP, STOP_LIMIT, OCO})
TIMES_IN_FORCE = frozenset("01346")
_OCO_TIFS = frozenset("016")
_PRICED = frozenset({LIMIT, STOP_LIMIT, OCO})
_TRIGGERED = frozenset({STOP, STOP_LIMIT, OCO})
_INSTRUCTIONS = {POST_ONLY: "6", "6": "6"}
_MIN_QTY, _STOP_LIMIT_PX, _EFFECT = "min_qty", "stop_limit_px", "position_effect"
_OPTIONS = frozenset({_MIN_QTY, _STOP_LIMIT_PX, _EFFECT})
_CHICAGO = ZoneInfo("America/Chicago")
_MICROS = 6


class Orders(NewAndCancel):
    """Encoders of one session."""

    venue_name = _NAME

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def new_order(self, body: BodyWriter, order: NewOrder, instrument: Instrument, cl_ord_id: str, wall_ns: int) -> str:
        """35=D."""
        _check(order)
        body.text(1, self._settings.account)
        body.text(11, cl_ord_id)
        self._terms(body, order, instrument, order.order_qty, order.price, order.stop_px)
        body.utc(60, wall_ns, _MICROS)
        return "D"

    def cancel_order(self, body: BodyWriter, order: WorkingOrder, request_id: str, wall_ns: int) -> str:
        """35=F by OrderID(37), which the venue demands; OrigClOrdID(41) goes with it."""
        if not order.order_id:
            raise VenueError("35=F: the venue needs its OrderID(37), which has not come yet")
        body.text(1, self._settings.account)
        body.text(11, request_id)
        body.text(37, order.order_id)
        body.text(41, order.cl_ord_id)
        self._what(body, order.side, order.instrument)
        body.utc(60, wall_ns, _MICROS)
        body.boolean(1028, self._settings.manual)
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
        """35=G: the fields of 35=D with 37; the time in force stays. A triggered stop is refused by the venue."""
        if not order.order_id:
            raise VenueError("35=G: the venue needs its OrderID(37), which has not come yet")
        if order_qty <= order.cum_qty:
            raise VenueError("order_qty: not above what is filled; the venue would cancel the order: ask for a cancel")
        body.text(1, self._settings.account)
        body.text(11, request_id)
        body.text(37, order.order_id)
        body.text(41, order.cl_ord_id)
        self._terms(body, order, order.instrument, order_qty, price, stop_px)
        body.utc(60, wall_ns, _MICROS)
        return "G"

    def _terms(
        self, body: BodyWriter, order: NewOrder | WorkingOrder, instrument: Instrument, order_qty: int,
        price: int | None, stop_px: int | None,
    ) -> None:  # fmt: skip
        s, kind = self._settings, order.ord_type
        words = exec_inst(order, _INSTRUCTIONS, _NAME)
        if words:
            body.text(18, words[0])
        if order_qty % 10**instrument.qty_scale:
            raise VenueError(f"order_qty: {instrument.qty_text(order_qty)} is no whole number of contracts")
        body.scaled(38, order_qty, instrument.qty_scale)
        body.text(40, kind)
        if kind in _PRICED:
            body.scaled(44, required(price, "price", kind), instrument.px_scale)
        self._what(body, order.side, instrument)
        body.text(59, order.time_in_force)
        if _EFFECT in order.options:
            body.text(77, one_of(order.options[_EFFECT], frozenset("OC"), f"options.{_EFFECT}", _NAME))
        if kind in _TRIGGERED:
            body.scaled(99, required(stop_px, "stop_px", kind), instrument.px_scale)
        if kind == OCO:
            _check_oco(order.side, required(price, "price", kind), required(stop_px, "stop_px", kind))
        if _MIN_QTY in order.options:
            body.scaled(110, _scaled(order.options, _MIN_QTY, instrument.qty_scale), instrument.qty_scale)
        if s.customer_or_firm:
            body.text(204, s.customer_or_firm)
        if order.time_in_force == "6":
            body.text(432, _expire_date(order.expire_ns))
        body.text(528, s.capacity)
        body.text(582, s.cti_code)
        body.boolean(1028, s.manual)
        body.text(1031, s.handling)
        if _STOP_LIMIT_PX in order.options:
            body.scaled(3040, _scaled(order.options, _STOP_LIMIT_PX, instrument.px_scale), instrument.px_scale)
        if s.smp_id:
            body.text(7928, s.smp_id)
            body.text(8000, s.smp_mode)

    def _what(self, body: BodyWriter, side: str, instrument: Instrument) -> None:
        body.text(54, one_of(side, frozenset("12"), "side", _NAME))
        body.text(55, instrument.symbol)
        body.text(167, self._settings.security_type)


def _check(order: NewOrder) -> None:
    one_of(order.ord_type, ORD_TYPES, "ord_type", _NAME)
    one_of(order.time_in_force, TIMES_IN_FORCE, "time_in_force", _NAME)
    unknown = sorted(order.options.keys() - _OPTIONS)
    if unknown:
        raise VenueError(f"options: coinbase_derivatives has no {unknown}; it has {sorted(_OPTIONS)}")
    if order.display_qty is not None or order.effective_ns:
        raise VenueError("display_qty, effective_ns: coinbase_derivatives has neither icebergs nor scheduled orders")
    if _MIN_QTY in order.options and order.time_in_force != "3":
        raise VenueError(f"options.{_MIN_QTY}: only with time_in_force '3'")
    if _STOP_LIMIT_PX in order.options and order.ord_type != OCO:
        raise VenueError(f"options.{_STOP_LIMIT_PX}: only for ord_type {OCO!r}")
    if order.ord_type == OCO:
        one_of(order.time_in_force, _OCO_TIFS, "time_in_force", "an OCO order of coinbase_derivatives")
        if order.exec_inst:
            raise VenueError("exec_inst: an OCO order is never post-only")


def _check_oco(side: str, price: int, stop_px: int) -> None:
    if not (price < stop_px if side == "1" else price > stop_px):
        raise VenueError(f"price, stop_px: an OCO order of this side needs price {'<' if side == '1' else '>'} stop_px")


def _scaled(options: dict[str, str], key: str, scale: int) -> int:
    try:
        return to_scaled(options[key], scale)
    except NumberError as e:
        raise VenueError(f"options.{key}: {e}") from None


def _expire_date(expire_ns: int) -> str:
    """ExpireDate(432): the day in Chicago; the venue takes no hour."""
    if not expire_ns:
        raise VenueError("expire_ns: required for time_in_force '6'")
    return datetime.fromtimestamp(expire_ns / 1_000_000_000, UTC).astimezone(_CHICAGO).strftime("%Y%m%d")
