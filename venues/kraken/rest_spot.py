"""Kraken Spot REST: open orders, one order, cancel all. Every call is a signed POST with a rising nonce.

The list is not paged. Shapes of OpenOrders, QueryOrders and ClosedOrders follow the venue's public API reference.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import msgspec

from base.errors import VenueError
from base.instruments import Instrument
from venues.interface import OpenOrder, Page, RestRequest, WorkingOrder
from venues.json import answer, decode, plain, seconds_ns
from venues.kraken.signing import Nonce, secret_bytes, spot_sign

_ALIASES = {"BTC": "XBT", "DOGE": "XDG"}
"""FIX says BTC, the REST side's pair names say XBT."""
_SIDES = {"buy": "1", "sell": "2"}
_CLOSED = {"closed": "2", "canceled": "4", "expired": "C", "pending": "A"}
_UNKNOWN = ("EOrder:Unknown order", "EOrder:Invalid order", "EQuery:Unknown order")


class _Description(msgspec.Struct):
    pair: str
    type: str
    ordertype: str = ""
    price: Decimal = Decimal(0)
    price2: Decimal = Decimal(0)


class _Order(msgspec.Struct):
    status: str
    descr: _Description
    vol: Decimal
    vol_exec: Decimal
    cl_ord_id: str | None = None
    opentm: Decimal = Decimal(0)


class _Open(msgspec.Struct):
    open: dict[str, _Order]


class _Closed(msgspec.Struct):
    closed: dict[str, _Order]


class _Count(msgspec.Struct):
    count: int | None = None


class _Answer(msgspec.Struct):
    error: list[str]
    result: msgspec.Raw = msgspec.Raw(b"null")


class SpotRest:
    """RestApi of Kraken Spot."""

    def __init__(self, symbols: list[str], key: str, secret: str) -> None:
        self._key = key
        self._secret = secret_bytes(secret, "rest.secret")
        self._nonce = Nonce(1_000)
        self._symbols = {name: symbol for symbol in symbols for name in _pair_names(symbol)}

    def open_orders(self, wall_ns: int, cursor: str = "") -> RestRequest:
        """Every open order of the account."""
        return self._post("/0/private/OpenOrders", wall_ns)

    def parse_open_orders(self, status: int, body: bytes) -> Page:
        """The list; it has one page."""
        said = decode(_result(status, body, "OpenOrders"), _Open, "OpenOrders.result")
        return Page(tuple(self._order(txid, o, f"result.open.{txid}") for txid, o in said.open.items()))

    def order(self, wall_ns: int, order: WorkingOrder) -> RestRequest:
        """By OrderID whatever its state; without one, among the closed ones by ClOrdID (the list has the open ones)."""
        if order.order_id:
            return self._post("/0/private/QueryOrders", wall_ns, txid=order.order_id)
        return self._post("/0/private/ClosedOrders", wall_ns, cl_ord_id=order.cl_ord_id)

    def parse_order(self, status: int, body: bytes) -> OpenOrder | None:
        """The one order of the answer; None when the venue has none to show."""
        said = answer(status, body, _Answer, "order")
        if any(e.startswith(_UNKNOWN) for e in said.error):
            return None
        result = _checked(said, "order")
        kind: Any = _Closed if b'"closed"' in result[:64] and b'"descr"' not in result[:64] else dict[str, _Order]
        found = decode(result, kind, "order.result")
        orders = found.closed if isinstance(found, _Closed) else found
        if len(orders) > 1:
            raise VenueError(f"order: {len(orders)} orders in the answer to a question about one")
        for txid, order in orders.items():
            return self._order(txid, order, f"result.{txid}")
        return None

    def cancel_all(self, wall_ns: int, instruments: Iterable[Instrument]) -> list[RestRequest]:
        """One request cancels every Spot order of the account, whatever placed it."""
        return [self._post("/0/private/CancelAll", wall_ns)]

    def parse_cancel_all(self, status: int, body: bytes) -> int | None:
        """The count."""
        return decode(_result(status, body, "CancelAll"), _Count, "CancelAll.result").count

    def _post(self, path: str, wall_ns: int, **fields: str) -> RestRequest:
        nonce = self._nonce.next(wall_ns)
        body = urlencode({"nonce": nonce, **fields}).encode()
        headers = (
            ("API-Key", self._key),
            ("API-Sign", spot_sign(self._secret, path, nonce, body)),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("User-Agent", "quarterdeck"),
        )
        return RestRequest("POST", path, headers, body)

    def _order(self, txid: str, order: _Order, path: str) -> OpenOrder:
        side = _SIDES.get(order.descr.type)
        if side is None:
            raise VenueError(f"{path}.descr.type: {order.descr.type!r} is neither buy nor sell")
        # Of two prices the first is the trigger; a plain limit order has its limit first.
        limit = order.descr.price if order.descr.ordertype in ("limit", "iceberg") else order.descr.price2
        cum_qty = plain(order.vol_exec, f"{path}.vol_exec")
        return OpenOrder(
            order_id=txid,
            cl_ord_id=order.cl_ord_id or "",
            symbol=self._symbols.get(order.descr.pair, order.descr.pair),
            side=side,
            order_qty=plain(order.vol, f"{path}.vol"),
            cum_qty=cum_qty,
            price=plain(limit, f"{path}.descr.price"),
            status=_status(order.status, order.vol_exec, path),
            transact_ns=seconds_ns(order.opentm, f"{path}.opentm"),
        )


def _status(status: str, cum_qty: Decimal, path: str) -> str:
    if status == "open":
        return "1" if cum_qty else "0"
    if status not in _CLOSED:
        raise VenueError(f"{path}.status: {status!r} is not one of {sorted([*_CLOSED, 'open'])}")
    return _CLOSED[status]


def _result(status: int, body: bytes, what: str) -> bytes:
    return _checked(answer(status, body, _Answer, what), what)


def _checked(said: _Answer, what: str) -> bytes:
    if said.error:
        raise VenueError(f"{what}: {', '.join(said.error)}")
    return bytes(said.result)


def _pair_names(symbol: str) -> list[str]:
    base, _, quote = symbol.partition("/")
    bases, quotes = {base, _ALIASES.get(base, base)}, {quote, _ALIASES.get(quote, quote)}
    return [b + sep + q for b in bases for q in quotes for sep in ("", "/")]
