"""Binance Spot REST: open orders, one order, its trades, balances, cancel all on a symbol, cancel one.

Ed25519 over the percent-encoded query.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import TypeVar

import msgspec

from base.errors import VenueError
from base.instruments import Instrument
from venues.binance.signing import signed_query
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
from venues.json import amount, answer, decode, signed, signed_text
from venues.rest_balances import BalancesOnly, NoTimer
from venues.signing import private_key

T = TypeVar("T")
_SIDES = {"BUY": "1", "SELL": "2"}
_STATES = {
    "NEW": "0",
    "PENDING_NEW": "A",
    "PARTIALLY_FILLED": "1",
    "FILLED": "2",
    "CANCELED": "4",
    "PENDING_CANCEL": "6",
    "REJECTED": "8",
    "EXPIRED": "C",
    "EXPIRED_IN_MATCH": "C",
}
_NO_SUCH_ORDER = -2013
_NOTHING_OPEN = -2011
_NOTHING_OPEN_TEXT = b"Unknown order sent."
_TOO_MANY = (-1003, -1015)
_NOBODY_KNOWS = (-1000, -1001, -1006, -1007)
"""Errors within the venue: its documentation says of them that what became of the request is not known."""
_RECV_WINDOW_MS = 10_000
_TRADES_A_PAGE = 1_000


class _Order(msgspec.Struct, rename="camel"):
    symbol: str
    order_id: int
    client_order_id: str
    price: str
    orig_qty: str
    executed_qty: str
    status: str
    side: str
    time: int = 0
    update_time: int = 0


class _Trade(msgspec.Struct, rename="camel"):
    symbol: str
    id: int
    order_id: int
    price: str
    qty: str
    commission: str
    commission_asset: str
    time: int
    is_buyer: bool
    is_maker: bool


class _Balance(msgspec.Struct):
    asset: str
    free: str
    locked: str


class _Account(msgspec.Struct):
    balances: list[_Balance]


class _Ended(msgspec.Struct):
    status: str


class _Failure(msgspec.Struct):
    code: int
    msg: str = ""


class _Cancelled(msgspec.Struct, rename="camel"):
    order_reports: list[msgspec.Raw] | None = None


class Rest(BalancesOnly, NoTimer):
    """RestApi of Binance Spot."""

    def __init__(self, key: str, secret: str) -> None:
        self._headers = (("X-MBX-APIKEY", key),)
        self._key = private_key(secret, "rest.secret")

    def open_orders(self, wall_ns: int, cursor: str = "") -> RestRequest:
        """Every open order of the account, all symbols; not paged."""
        return self._request("GET", "/api/v3/openOrders", wall_ns)

    def parse_open_orders(self, status: int, body: bytes) -> Page:
        """The list."""
        said = _success(status, body, list[_Order], "openOrders")
        return Page(tuple(_open_order(o, f"openOrders[{n}]") for n, o in enumerate(said)))

    def order(self, wall_ns: int, order: WorkingOrder) -> RestRequest:
        """By OrderID, else by the ClOrdID."""
        name, value = ("orderId", order.order_id) if order.order_id else ("origClientOrderId", order.cl_ord_id)
        return self._request("GET", "/api/v3/order", wall_ns, symbol=order.instrument.symbol, **{name: value})

    def parse_order(self, status: int, body: bytes, cl_ord_id: str = "") -> OpenOrder | None:
        """The order, None when the venue says that it does not exist."""
        if _code(status, body) == _NO_SUCH_ORDER:
            return None
        return _open_order(_success(status, body, _Order, "order"), "order")

    def trades(self, wall_ns: int, order: WorkingOrder, since_ns: int, cursor: str = "") -> RestRequest | None:
        """The trades of one order, oldest first; the venue wants its OrderID. `cursor`: the first trade id wanted."""
        if not order.order_id:
            return None
        more = {"fromId": cursor} if cursor else {}
        fields = {"symbol": order.instrument.symbol, "orderId": order.order_id, "limit": str(_TRADES_A_PAGE)}
        return self._request("GET", "/api/v3/myTrades", wall_ns, **fields, **more)

    def parse_trades(self, status: int, body: bytes) -> TradePage:
        """The page; a full one may have another behind it."""
        said = _success(status, body, list[_Trade], "myTrades")
        full = len(said) >= _TRADES_A_PAGE
        cursor = str(max(t.id for t in said) + 1) if full else ""
        return TradePage(tuple(_trade(t, f"myTrades[{n}]") for n, t in enumerate(said)), cursor)

    def balances(self, wall_ns: int) -> RestRequest | None:
        """The account, currencies of which there are none left out."""
        return self._request("GET", "/api/v3/account", wall_ns, omitZeroBalances="true")

    def parse_balances(self, status: int, body: bytes) -> tuple[VenueBalance, ...]:
        """Free and locked of each asset; what is free may be spent."""
        said = _success(status, body, _Account, "account")
        return tuple(_balance(b, f"account.balances[{n}]") for n, b in enumerate(said.balances))

    def cancel_all(self, wall_ns: int, instruments: Iterable[Instrument]) -> list[RestRequest]:
        """One request a symbol: the venue has no account-wide form."""
        path = "/api/v3/openOrders"
        return [self._request("DELETE", path, wall_ns, symbol=i.symbol) for i in instruments]

    def parse_cancel_all(self, status: int, body: bytes) -> int | None:
        """Number of orders cancelled, legs of lists included; 0 when nothing was open."""
        if _code(status, body) == _NOTHING_OPEN and _NOTHING_OPEN_TEXT in body:  # refusals have that code, too
            return 0
        said = _success(status, body, list[_Cancelled], "cancel openOrders")
        return sum(1 if c.order_reports is None else len(c.order_reports) for c in said)

    def cancel_order(self, wall_ns: int, instrument: Instrument, order_id: str, cl_ord_id: str) -> RestRequest | None:
        """One order by symbol and OrderID, else ClOrdID; of whatever session."""
        name, value = ("orderId", order_id) if order_id else ("origClientOrderId", cl_ord_id)
        return self._request("DELETE", "/api/v3/order", wall_ns, symbol=instrument.symbol, **{name: value})

    def parse_cancel_order(self, status: int, body: bytes) -> CancelAnswer:
        """The order as it ended, or an error. "Unknown order sent." is said of orders that are over, too; an answer
        with a status of 500 and more leaves the outcome open (REST API, general information).
        """
        try:
            if status == 200:
                state = decode(body, _Ended, "cancel order").status
                done = CancelOutcome.CANCELLED if state == "CANCELED" else CancelOutcome.UNKNOWN
                return CancelAnswer(done, state)
            said = decode(body, _Failure, f"cancel order: HTTP status {status}")
        except VenueError as e:
            return CancelAnswer(CancelOutcome.RATE_LIMITED if status in (418, 429) else CancelOutcome.UNKNOWN, str(e))
        text = f"{said.code} {said.msg}"
        if status in (418, 429) or said.code in _TOO_MANY:
            return CancelAnswer(CancelOutcome.RATE_LIMITED, text)
        if status >= 500 or said.code in _NOBODY_KNOWS:
            return CancelAnswer(CancelOutcome.UNKNOWN, text)
        unknown = said.code == _NO_SUCH_ORDER or (said.code == _NOTHING_OPEN and _NOTHING_OPEN_TEXT in body)
        return CancelAnswer(CancelOutcome.NOT_FOUND if unknown else CancelOutcome.REFUSED, text)

    def _request(self, method: str, path: str, wall_ns: int, **fields: str) -> RestRequest:
        fields |= {"recvWindow": str(_RECV_WINDOW_MS), "timestamp": str(wall_ns // 1_000_000)}
        return RestRequest(method, f"{path}?{signed_query(self._key, fields)}", self._headers)


def _code(status: int, body: bytes) -> int:
    """The venue's error code, 0 for a success; VenueError when an error cannot be read."""
    return 0 if status == 200 else decode(body, _Failure, f"HTTP status {status}").code


def _success(status: int, body: bytes, kind: type[T], what: str) -> T:
    if status != 200:
        failure = decode(body, _Failure, f"{what}: HTTP status {status}")
        raise VenueError(f"{what}: {failure.code} {failure.msg}")
    return answer(status, body, kind, what)


def _trade(trade: _Trade, path: str) -> VenueTrade:
    return VenueTrade(
        trade_id=str(trade.id),
        order_id=str(trade.order_id),
        symbol=trade.symbol,
        side="1" if trade.is_buyer else "2",
        px=amount(trade.price, f"{path}.price"),
        qty=amount(trade.qty, f"{path}.qty"),
        fees=((trade.commission_asset, signed_text(trade.commission, f"{path}.commission")),),
        liquidity="M" if trade.is_maker else "T",
        transact_ns=trade.time * 1_000_000,
    )


def _balance(said: _Balance, path: str) -> VenueBalance:
    free, locked = signed_text(said.free, f"{path}.free"), signed_text(said.locked, f"{path}.locked")
    total = signed(Decimal(free) + Decimal(locked), path)
    return VenueBalance(currency=said.asset, total=total, available=free, held=locked, buying_power=free)


def _open_order(order: _Order, path: str) -> OpenOrder:
    if order.side not in _SIDES:
        raise VenueError(f"{path}.side: {order.side!r} is neither BUY nor SELL")
    if order.status not in _STATES:
        raise VenueError(f"{path}.status: {order.status!r} is not one of {sorted(_STATES)}")
    return OpenOrder(
        order_id=str(order.order_id),
        cl_ord_id=order.client_order_id,
        symbol=order.symbol,
        side=_SIDES[order.side],
        order_qty=amount(order.orig_qty, f"{path}.origQty"),
        cum_qty=amount(order.executed_qty, f"{path}.executedQty"),
        price=amount(order.price, f"{path}.price"),
        status=_STATES[order.status],
        transact_ns=(order.update_time or order.time) * 1_000_000,
    )
