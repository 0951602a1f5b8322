"""Gemini's REST side: open orders, one order with its fills, balances, cancel one, cancel all.

gemini.md has the paths as unverified; they and the shapes are of the venue's REST pages and OpenAPI (summer of 2026).
Every call is a POST without body: a JSON payload in a header, with a nonce. Nothing has been tried against the venue.
"""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from base.errors import VenueError
from base.instruments import Instrument
from venues.gemini.signing import rest_headers
from venues.interface import (
    CancelAnswer,
    CancelOutcome,
    OpenOrder,
    Page,
    RestRequest,
    TradePage,
    VenueBalance,
    VenueTrade,
    WorkingOrder,
)
from venues.json import answer, decode, plain, seconds_ns, signed
from venues.rest_balances import BalancesOnly
from venues.signing import Nonce

_SIDES = {"buy": "1", "sell": "2"}
_NOT_FOUND = "OrderNotFound"
_BROKEN = "full"
"""`break` of a trade that is to be treated as if it had never been."""
_THOUSAND = 1_000


class _Trade(msgspec.Struct):
    tid: int
    price: Decimal
    amount: Decimal
    timestampms: Decimal
    aggressor: bool | None = None
    fee_currency: str = ""
    fee_amount: Decimal = Decimal(0)
    break_type: str = msgspec.field(default="", name="break")


class _Order(msgspec.Struct):
    order_id: str
    symbol: str
    side: str
    is_live: bool
    is_cancelled: bool
    executed_amount: Decimal
    timestampms: Decimal
    client_order_id: str = ""
    original_amount: Decimal | None = None
    price: Decimal | None = None
    trades: list[_Trade] | None = None


class _Balance(msgspec.Struct):
    currency: str
    amount: Decimal
    available: Decimal


class _Details(msgspec.Struct, rename="camel"):
    cancelled_orders: list[int]
    cancel_rejects: list[int] = []


class _CancelledAll(msgspec.Struct):
    result: str
    details: _Details


class _Failure(msgspec.Struct):
    reason: str
    message: str = ""


class Rest(BalancesOnly):
    """RestApi of one account."""

    def __init__(self, key: str, secret: str, *, time_nonce: bool = False) -> None:
        """`time_nonce`: the key takes seconds of the clock; others take numbers that rise (here milliseconds)."""
        self._key, self._secret = key, secret
        self._nonce = None if time_nonce else Nonce(1_000_000)

    def open_orders(self, wall_ns: int, cursor: str = "") -> RestRequest:
        """Every live order of the account; the list has one page."""
        return self._post(wall_ns, "/v1/orders")

    def parse_open_orders(self, status: int, body: bytes) -> Page:
        """The list."""
        said = answer(status, body, list[_Order], "orders")
        return Page(tuple(_open_order(o, f"orders[{n}]") for n, o in enumerate(said)))

    def order(self, wall_ns: int, order: WorkingOrder) -> RestRequest:
        """One order whatever its state, by the venue's id, else by ours."""
        return self._status(wall_ns, order)

    def parse_order(self, status: int, body: bytes, cl_ord_id: str = "") -> OpenOrder | None:
        """The order; None only where the venue says that there is none: a 404 may be a wrong path, too."""
        if _unknown(status, body, "order"):
            return None
        return _open_order(answer(status, body, _Order, "order"), "order")

    def trades(self, wall_ns: int, order: WorkingOrder, since_ns: int, cursor: str = "") -> RestRequest | None:
        """The order once more, with its fills."""
        return self._status(wall_ns, order, include_trades=True)

    def parse_trades(self, status: int, body: bytes) -> TradePage:
        """All fills of the order, none of one that the venue does not know; what was broken altogether is left out."""
        if _unknown(status, body, "trades"):
            return TradePage(())
        order = answer(status, body, _Order, "trades")
        if order.trades is None:
            raise VenueError("trades: the answer has none, though they were asked for")
        fills = enumerate(order.trades)
        return TradePage(tuple(_trade(order, t, f"trades[{n}]") for n, t in fills if t.break_type != _BROKEN))

    def balances(self, wall_ns: int) -> RestRequest | None:
        """What the account holds."""
        return self._post(wall_ns, "/v1/balances")

    def parse_balances(self, status: int, body: bytes) -> tuple[VenueBalance, ...]:
        """Amount and what is available of each currency."""
        said = answer(status, body, list[_Balance], "balances")
        return tuple(_balance(b, f"balances[{n}]") for n, b in enumerate(said))

    def cancel_all(self, wall_ns: int, instruments: Iterable[Instrument]) -> list[RestRequest]:
        """One request for every order of the account, placed by whomever."""
        return [self._post(wall_ns, "/v1/order/cancel/all")]

    def parse_cancel_all(self, status: int, body: bytes) -> int | None:
        """Number of orders that the venue says it cancelled."""
        said = answer(status, body, _CancelledAll, "cancel all")
        if said.result != "ok":
            raise VenueError(f"cancel all: result is {said.result!r}")
        return len(said.details.cancelled_orders)

    def cancel_order(self, wall_ns: int, instrument: Instrument, order_id: str, cl_ord_id: str) -> RestRequest | None:
        """One order of the account; the venue wants its OrderID."""
        return self._post(wall_ns, "/v1/order/cancel", order_id=_number(order_id)) if order_id else None

    def parse_cancel_order(self, status: int, body: bytes) -> CancelAnswer:
        """The order as it then is. One that was cancelled before looks like one cancelled now."""
        try:
            if status == 200:
                order = decode(body, _Order, "cancel order")
                over = not (order.is_live or order.is_cancelled)
                return CancelAnswer(CancelOutcome.DONE if over else CancelOutcome.CANCELLED, order.order_id)
            failure = decode(body, _Failure, f"cancel order: HTTP status {status}")
        except VenueError as e:
            return CancelAnswer(CancelOutcome.RATE_LIMITED if status == 429 else CancelOutcome.UNKNOWN, str(e))
        text = f"{failure.reason}: {failure.message}"
        if failure.reason == _NOT_FOUND:
            return CancelAnswer(CancelOutcome.NOT_FOUND, text)
        if status == 429:
            return CancelAnswer(CancelOutcome.RATE_LIMITED, text)
        refused = 400 <= status < 500 or failure.reason == "Maintenance"
        return CancelAnswer(CancelOutcome.REFUSED if refused else CancelOutcome.UNKNOWN, text)

    def cancel_after(self, wall_ns: int, seconds: int) -> RestRequest | None:
        """None: the heartbeat that a key can be made to require reaches the orders of that key, none of FIX."""
        return None

    def parse_cancel_after(self, status: int, body: bytes) -> None:
        """Never asked for."""
        raise VenueError("gemini has no dead man's timer for an account")

    def _status(self, wall_ns: int, order: WorkingOrder, **more: object) -> RestRequest:
        name = {"order_id": _number(order.order_id)} if order.order_id else {"client_order_id": order.cl_ord_id}
        return self._post(wall_ns, "/v1/order/status", **name, **more)

    def _post(self, wall_ns: int, path: str, **fields: object) -> RestRequest:
        nonce = wall_ns // 1_000_000_000 if self._nonce is None else int(self._nonce.next(wall_ns))
        payload = {"request": path, "nonce": nonce, **fields}
        return RestRequest("POST", path, rest_headers(self._key, self._secret, payload))


def _unknown(status: int, body: bytes, what: str) -> bool:
    return status == 404 and decode(body, _Failure, what).reason == _NOT_FOUND


def _number(order_id: str) -> int | str:
    """OrderIDs are whole numbers there; anything else is sent as it is, and not found."""
    return int(order_id) if order_id.isascii() and order_id.isdecimal() else order_id


def _side(order: _Order, path: str) -> str:
    if order.side.lower() not in _SIDES:
        raise VenueError(f"{path}.side: {order.side!r} is neither buy nor sell")
    return _SIDES[order.side.lower()]


def _open_order(order: _Order, path: str) -> OpenOrder:
    cum_qty = plain(order.executed_amount, f"{path}.executed_amount")
    whole = order.original_amount
    return OpenOrder(
        order_id=order.order_id,
        cl_ord_id=order.client_order_id,
        symbol=order.symbol.upper(),
        side=_side(order, path),
        order_qty=plain(whole, f"{path}.original_amount") if whole is not None else "",  # market buys have none
        cum_qty=cum_qty,
        price=plain(order.price, f"{path}.price") if order.price is not None else "",
        status=_ord_status(order, path),
        transact_ns=seconds_ns(order.timestampms / _THOUSAND, f"{path}.timestampms"),
    )


def _ord_status(order: _Order, path: str) -> str:
    if order.is_live:
        return "1" if order.executed_amount else "0"
    if order.is_cancelled:
        return "4"
    if order.original_amount is None or order.executed_amount >= order.original_amount:
        return "2"
    raise VenueError(f"{path}.is_live: neither live nor cancelled, and {order.executed_amount} of "
                     f"{order.original_amount} executed")  # fmt: skip


def _trade(order: _Order, trade: _Trade, path: str) -> VenueTrade:
    fee = signed(trade.fee_amount, f"{path}.fee_amount")
    return VenueTrade(
        trade_id=str(trade.tid),
        order_id=order.order_id,
        symbol=order.symbol.upper(),
        side=_side(order, "trades"),
        px=plain(trade.price, f"{path}.price"),
        qty=plain(trade.amount, f"{path}.amount"),
        cl_ord_id=order.client_order_id,
        fees=((trade.fee_currency.upper(), fee),) if trade.fee_currency else (),
        liquidity={True: "T", False: "M", None: ""}[trade.aggressor],
        transact_ns=seconds_ns(trade.timestampms / _THOUSAND, f"{path}.timestampms"),
    )


def _balance(said: _Balance, path: str) -> VenueBalance:
    available = signed(said.available, f"{path}.available")
    return VenueBalance(
        currency=said.currency.upper(),
        total=signed(said.amount, f"{path}.amount"),
        available=available,
        held=signed(said.amount - said.available, f"{path}.available"),
        buying_power=available,
    )
