"""Order entry of Bybit Spot over FIX: D, F and XAR (bybit.md, 5.8). Bodies follow the order of the venue's samples.

There is no OrigClOrdID(41): 11 names the order, and ReqId(30006) the request. Quantities are in base currency always,
so that a market buy says so. A trigger's direction is worked out by the venue from its price. An order that waits for
one is named by its ClOrdID alone: whether its OrderID changes when it fires is not documented.
"""

from base.errors import VenueError
from base.instruments import Instrument
from fix.codec import BodyWriter
from ipc.requests import NewOrder
from venues.bybit.settings import ORD_TYPES, Settings
from venues.encode import POST_ONLY, InPlace, exec_inst, one_of, required
from venues.interface import WorkingOrder

_NAME = "bybit"
_POST = {POST_ONLY: "P", "P": "P", "6": "P"}
_PRICED = frozenset("24")
_TRIGGERED = frozenset("34")
_WIRE_TYPES = {"1": "1", "2": "2", "3": "1", "4": "2"}
_TIFS = {"1": frozenset("3"), "2": frozenset("134"), "3": frozenset("1"), "4": frozenset("134")}
_YES_NO, _KINDS = frozenset("YN"), frozenset({"Market", "Limit"})
_SMP = frozenset({"None", "CancelTaker", "CancelMaker", "CancelBoth"})
_OPTIONS: dict[str, tuple[int, frozenset[str] | None]] = {
    "is_leverage": (30014, _YES_NO),
    "smp_type": (30018, _SMP),
    "rpi_taker_access": (30019, _YES_NO),
    "slippage_tolerance_type": (30022, frozenset({"TickSize", "Percent"})),
    "take_profit": (30026, None),
    "stop_loss": (30027, None),
    "tp_order_type": (30028, _KINDS),
    "sl_order_type": (30029, _KINDS),
    "tp_limit_price": (30030, None),
    "sl_limit_price": (30031, None),
    "slippage_tolerance": (30034, None),
}
_MARKET_ONLY = ("rpi_taker_access", "slippage_tolerance_type", "slippage_tolerance")


class Orders(InPlace):
    """Encoders of one session."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def new_order(self, body: BodyWriter, order: NewOrder, instrument: Instrument, cl_ord_id: str, wall_ns: int) -> str:
        """35=D."""
        kind = one_of(order.ord_type, ORD_TYPES, "ord_type", _NAME)
        side = one_of(order.side, frozenset("12"), "side", _NAME)
        tif = self._time_in_force(order)
        values = self._options(order)
        if lost := [n for n in ("display_qty", "expire_ns", "effective_ns") if getattr(order, n)]:
            raise VenueError(f"{lost[0]}: {_NAME} has no such thing")
        self._begin(body, instrument, wall_ns)
        body.text(54, side)
        body.text(40, _WIRE_TYPES[kind])
        if kind in _PRICED:
            body.text(59, tif)
        body.scaled(38, order.order_qty, instrument.qty_scale)
        if kind in _PRICED:
            body.scaled(44, required(order.price, "price", kind), instrument.px_scale)
        if kind in _TRIGGERED:
            body.scaled(99, required(order.stop_px, "stop_px", kind), instrument.px_scale)
        body.text(11, cl_ord_id)
        if kind not in _PRICED:
            body.text(30013, "baseCoin")
        for tag in sorted(values):
            body.text(tag, values[tag])
        if kind in _TRIGGERED:
            body.text(30024, self._settings.trigger_filter)
        body.text(30006, cl_ord_id)
        return "D"

    def cancel_order(self, body: BodyWriter, order: WorkingOrder, request_id: str, wall_ns: int) -> str:
        """35=F."""
        self._begin(body, order.instrument, wall_ns)
        _names(body, order)
        if order.ord_type in _TRIGGERED:
            body.text(30024, self._settings.trigger_filter)
        body.text(30006, request_id)
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
        """35=XAR: what changes; OrderQty(38) is the new total, and is said where nothing changes."""
        i = order.instrument
        self._begin(body, i, wall_ns)
        _names(body, order)
        new_px = price if order.ord_type in _PRICED and price != order.price else None
        new_stop = stop_px if order.ord_type in _TRIGGERED and stop_px != order.stop_px else None
        if order_qty != order.order_qty or (new_px is None and new_stop is None):
            body.scaled(38, order_qty, i.qty_scale)
        if new_px is not None:
            body.scaled(44, new_px, i.px_scale)
        if new_stop is not None:
            body.scaled(99, new_stop, i.px_scale)
        body.text(30006, request_id)
        return "XAR"

    def order_status(self, body: BodyWriter, order: WorkingOrder, request_id: str, wall_ns: int) -> str:
        """There is none: an order is asked for over REST."""
        raise VenueError("35=H: bybit does not offer it; ask over REST")

    def mass_status(self, body: BodyWriter, request_id: str, wall_ns: int) -> str:
        """There is none: the list is had over REST."""
        raise VenueError("35=AF: bybit does not offer it; the list is had over REST")

    def mass_cancel(self, body: BodyWriter, instrument: Instrument | None, request_id: str, wall_ns: int) -> str:
        """There is none: orders are cancelled one by one, or all of them over REST."""
        raise VenueError("35=q: bybit does not offer it; REST cancels all")

    def _begin(self, body: BodyWriter, instrument: Instrument, wall_ns: int) -> None:
        """What every request begins with."""
        body.integer(30002, wall_ns // 1_000_000)
        body.integer(30001, self._settings.recv_window_ms)
        if self._settings.referer:
            body.text(30004, self._settings.referer)
        body.text(30010, "spot")
        body.text(55, instrument.symbol)

    def _options(self, order: NewOrder) -> dict[int, str]:
        known = {**_OPTIONS, "rpi": (59, _YES_NO)}
        if strange := sorted(set(order.options) - set(known)):
            raise VenueError(f"options: {_NAME} has no {strange}; it has {sorted(known)}")
        if order.ord_type in _PRICED and (lost := [n for n in _MARKET_ONLY if n in order.options]):
            raise VenueError(f"options.{lost[0]}: for market orders only")
        for name, value in order.options.items():
            allowed = known[name][1]
            if allowed is not None:
                one_of(value, allowed, f"options.{name}", _NAME)
        values = {_OPTIONS[n][0]: value for n, value in order.options.items() if n in _OPTIONS}
        if self._settings.smp_type:
            values.setdefault(30018, self._settings.smp_type)
        return values

    @staticmethod
    def _time_in_force(order: NewOrder) -> str:
        """TimeInForce(59): post-only and RPI are values of it. A market order is IOC always and does not say so."""
        tif = one_of(order.time_in_force, _TIFS[order.ord_type], "time_in_force", f"{_NAME} ord_type {order.ord_type}")
        said = set(exec_inst(order, _POST, _NAME))
        if order.options.get("rpi") == "Y":
            said.add("R")
        if not said:
            return tif
        if len(said) > 1 or tif != "1" or order.ord_type not in _PRICED:
            raise VenueError("exec_inst: post only and option rpi exclude each other, and need a limit order, GTC")
        return said.pop()


def _names(body: BodyWriter, order: WorkingOrder) -> None:
    """OrderID(37), which wins, and ClOrdID(11), which the acknowledgement then repeats."""
    if order.order_id and (order.ord_type not in _TRIGGERED or not order.cl_ord_id):
        body.text(37, order.order_id)
    if order.cl_ord_id:
        body.text(11, order.cl_ord_id)
