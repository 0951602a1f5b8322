"""Order entry of Coinbase Prime in FIX 4.2: D, F, G, H.

Our `ord_type` is the standard's; the venue has OrdType(40) and TargetStrategy(847), which must fit each other and the
TimeInForce(59). HandlInst(21) and TransactTime(60) are in none of its tables for D and F and are left out there.
"""

from typing import NamedTuple

from base.errors import VenueError
from base.instruments import Instrument
from fix.codec import BodyWriter
from ipc.requests import NewOrder
from venues.coinbase_prime.settings import ORD_TYPES, Settings
from venues.encode import POST_ONLY, NewAndCancel, exec_inst, one_of, required, scaled
from venues.interface import WorkingOrder

_NAME = "coinbase prime"
_POST = {POST_ONLY: "A", "A": "A"}
_RESTS = frozenset("16")


class _Strategy(NamedTuple):
    """What goes out for a kind of order, and the options that it knows: name -> (tag, whether it must be there)."""

    ord_type: str
    target: str
    times_in_force: frozenset[str]
    options: dict[str, tuple[int, bool]]
    priced: bool = True


_PEG = {"peg_offset_value": (211, True), "peg_offset_type": (836, True), "wig_level": (8007, False)}
_SLICED = {"participation_rate": (849, False)}
_PLAIN = {
    "1": _Strategy("1", "M", frozenset("3"), {}, priced=False),
    "2": _Strategy("2", "L", frozenset("1346"), {}),
    "4": _Strategy("2", "SL", _RESTS, {}),  # the venue's stop limit is 40=2
    "P": _Strategy("P", "P", _RESTS, _PEG),
}
_SCHEDULED = {"T": _Strategy("2", "T", frozenset("6"), _SLICED), "V": _Strategy("2", "V", frozenset("6"), _SLICED)}
_PEG_OFFSET_TYPES = frozenset("014")


class Orders(NewAndCancel):
    """Encoders of one session."""

    venue_name = _NAME

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def new_order(self, body: BodyWriter, order: NewOrder, instrument: Instrument, cl_ord_id: str, wall_ns: int) -> str:
        """35=D, sized in base currency."""
        strategy = self._strategy(order)
        self._fits(order, strategy)
        instructions = exec_inst(order, _POST, _NAME)
        if instructions and order.time_in_force not in _RESTS:
            raise VenueError(f"exec_inst: post only needs time_in_force '1' or '6', not {order.time_in_force!r}")
        values = _values(order.options, strategy)
        body.text(1, self._settings.portfolio_id)
        body.text(11, cl_ord_id)
        if instructions:
            body.text(18, instructions[0])
        body.scaled(38, order.order_qty, instrument.qty_scale)
        body.text(40, strategy.ord_type)
        if strategy.priced:
            body.scaled(44, required(order.price, "price", order.ord_type), instrument.px_scale)
        body.text(54, one_of(order.side, frozenset("12"), "side", _NAME))
        body.text(55, instrument.symbol)
        body.text(59, order.time_in_force)
        if strategy.target == "SL":
            body.scaled(99, required(order.stop_px, "stop_px", order.ord_type), instrument.px_scale)
        if "settl_currency" in order.options:
            body.text(
                120, one_of(order.options["settl_currency"], frozenset({"USDC"}), "options.settl_currency", _NAME)
            )
        self._times(body, order, 849 in values)
        scaled(body, 210, order.display_qty, instrument.qty_scale)
        for tag in sorted(values):
            body.text(tag, values[tag])
        body.text(847, strategy.target)
        return "D"

    def cancel_order(self, body: BodyWriter, order: WorkingOrder, request_id: str, wall_ns: int) -> str:
        """35=F: the venue finds the order by its OrderID alone, which an order not yet reported on does not have."""
        _needs_order_id(order, "35=F")
        self._names(body, order, request_id)
        body.scaled(38, order.order_qty, order.instrument.qty_scale)
        _what(body, order)
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
        """35=G, for accounts that the venue has enabled for it: OrderQty(38) is the new total, what is filled included.

        What the message has no field for is refused rather than lost.
        """
        if not self._settings.amend:
            raise VenueError("35=G: the venue enables it by account (option amend)")
        _needs_order_id(order, "35=G")
        strategy, instrument = self._strategy(order), order.instrument
        if lost := [*order.exec_inst.split(), *(f"options.{n}" for n in order.options if n not in _SAID_AGAIN)]:
            raise VenueError(f"35=G: {', '.join(lost)} cannot be said again and could be lost; cancel and place anew")
        self._names(body, order, request_id)
        body.text(21, "1")
        body.scaled(38, order_qty, instrument.qty_scale)
        body.text(40, strategy.ord_type)
        body.scaled(44, required(price, "price", order.ord_type), instrument.px_scale)
        _what(body, order)
        body.utc(60, wall_ns)
        if strategy.target == "SL":
            body.scaled(99, required(stop_px, "stop_px", order.ord_type), instrument.px_scale)
        if order.expire_ns:
            body.utc(126, order.expire_ns)
        scaled(body, 210, order.display_qty, instrument.qty_scale)
        if strategy.target == "P":
            values = _values(order.options, strategy)
            for tag in (211, 8007):
                if tag in values:
                    body.text(tag, values[tag])
        return "G"

    def order_status(self, body: BodyWriter, order: WorkingOrder, request_id: str, wall_ns: int) -> str:
        """35=H: ClOrdID(11) is the order's own, as in the venue's sample."""
        _needs_order_id(order, "35=H")
        body.text(11, order.cl_ord_id)
        body.text(37, order.order_id)
        _what(body, order)
        return "H"

    @staticmethod
    def _strategy(order: NewOrder | WorkingOrder) -> _Strategy:
        one_of(order.ord_type, ORD_TYPES, "ord_type", _NAME)
        wanted = order.options.get("target_strategy")
        if wanted is None:
            return _PLAIN[order.ord_type]
        if order.ord_type != "2" or wanted not in _SCHEDULED:
            raise VenueError(f"options.target_strategy: {wanted!r}; T (TWAP) and V (VWAP) go with ord_type '2'")
        return _SCHEDULED[wanted]

    @staticmethod
    def _fits(order: NewOrder, strategy: _Strategy) -> None:
        target = f"{_NAME} 847={strategy.target}"
        one_of(order.time_in_force, strategy.times_in_force, "time_in_force", target)
        if order.display_qty is not None and strategy.target != "L":
            raise VenueError(f"display_qty: for limit orders only, not {target}")
        if (order.effective_ns != 0) != (strategy.target in _SCHEDULED):
            raise VenueError(f"effective_ns: the start of a TWAP or VWAP, and of nothing else; this is {target}")

    @staticmethod
    def _times(body: BodyWriter, order: NewOrder, participates: bool) -> None:
        """ExpireTime(126) of whatever is good till a time; a participation rate takes its place."""
        if order.time_in_force == "6" and not participates:
            if not order.expire_ns:
                raise VenueError("expire_ns: required for time_in_force '6'")
            body.utc(126, order.expire_ns)
        if order.effective_ns:
            body.utc(168, order.effective_ns)

    def _names(self, body: BodyWriter, order: WorkingOrder, request_id: str) -> None:
        body.text(1, self._settings.portfolio_id)
        body.text(11, request_id)
        body.text(37, order.order_id)
        body.text(41, order.cl_ord_id)


_SAID_AGAIN = frozenset({*_PEG, "target_strategy"})


def _what(body: BodyWriter, order: WorkingOrder) -> None:
    body.text(54, order.side)
    body.text(55, order.instrument.symbol)


def _needs_order_id(order: WorkingOrder, message: str) -> None:
    if not order.order_id:
        raise VenueError(f"{message}: the venue needs its OrderID(37), which has not come yet")


def _values(options: dict[str, str], strategy: _Strategy) -> dict[int, str]:
    """Tags and values of the options that go with the strategy; VenueError names one that does not, or is missing."""
    known = {**strategy.options, "settl_currency": (0, False), "target_strategy": (0, False)}
    if strange := sorted(set(options) - set(known)):
        raise VenueError(f"options: {_NAME} 847={strategy.target} has no {strange}; it has {sorted(known)}")
    if missing := [name for name, (_, needed) in strategy.options.items() if needed and name not in options]:
        raise VenueError(f"options: {_NAME} 847={strategy.target} needs {missing}")
    if "peg_offset_type" in options:
        one_of(options["peg_offset_type"], _PEG_OFFSET_TYPES, "options.peg_offset_type", _NAME)
    return {strategy.options[name][0]: value for name, value in options.items() if name in strategy.options}
