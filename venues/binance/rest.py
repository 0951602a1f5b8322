"""Binance Spot REST: open orders, one order, cancel all on a symbol. Ed25519 over the percent-encoded query."""

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from base.errors import VenueError
from base.instruments import Instrument
from venues.binance.signing import private_key, signed_query
from venues.interface import OpenOrder, Page, RestRequest, WorkingOrder
from venues.json import amount, answer, decode

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
_RECV_WINDOW_MS = 10_000


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


class _Failure(msgspec.Struct):
    code: int
    msg: str = ""


class _Cancelled(msgspec.Struct, rename="camel"):
    order_reports: list[msgspec.Raw] | None = None


class Rest:
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

    def parse_order(self, status: int, body: bytes) -> OpenOrder | None:
        """The order, None when the venue says that it does not exist."""
        if _code(status, body) == _NO_SUCH_ORDER:
            return None
        return _open_order(_success(status, body, _Order, "order"), "order")

    def cancel_all(self, wall_ns: int, instruments: Iterable[Instrument]) -> list[RestRequest]:
        """One request a symbol: the venue has no account-wide form."""
        path = "/api/v3/openOrders"
        return [self._request("DELETE", path, wall_ns, symbol=i.symbol) for i in instruments]

    def parse_cancel_all(self, status: int, body: bytes) -> int | None:
        """Number of orders cancelled, legs of lists included; 0 when nothing was open."""
        if _code(status, body) == _NOTHING_OPEN:
            return 0
        said = _success(status, body, list[_Cancelled], "cancel openOrders")
        return sum(1 if c.order_reports is None else len(c.order_reports) for c in said)

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
