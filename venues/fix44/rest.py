"""REST side of a plain FIX 4.4 venue: FIX has no list of open orders, so a small one in FIX names stands beside it.

`GET /orders?status=open[&cursor=C]` -> {"orders": [...], "next": "C"}; `GET /orders/<ClOrdID>` -> one order or 404;
`DELETE /orders` -> {"cancelled": n}. An order: order_id, cl_ord_id, symbol, side, order_qty, cum_qty, price,
ord_status, transact_time, all texts with the values of FIX. Basic authentication. docs/venues/fix44.md.
"""

from base64 import b64encode
from collections.abc import Iterable
from urllib.parse import quote

import msgspec

from base.errors import CodecError, VenueError
from base.instruments import Instrument
from fix.codec import parse_utc_ns
from venues.interface import OpenOrder, Page, RestRequest, WorkingOrder
from venues.json import amount, answer


class _Order(msgspec.Struct):
    order_id: str
    symbol: str
    side: str
    order_qty: str
    cum_qty: str
    ord_status: str
    cl_ord_id: str = ""
    price: str = ""
    transact_time: str = ""


class _List(msgspec.Struct):
    orders: list[_Order]
    next: str = ""


class _Cancelled(msgspec.Struct):
    cancelled: int | None = None


class Rest:
    """RestApi of a fix44 venue."""

    def __init__(self, key: str, secret: str) -> None:
        credentials = b64encode(f"{key}:{secret}".encode()).decode()
        self._headers = (("Authorization", f"Basic {credentials}"),) if key else ()

    def open_orders(self, wall_ns: int, cursor: str = "") -> RestRequest:
        """A page of the list of open orders."""
        page = f"&cursor={quote(cursor, safe='')}" if cursor else ""
        return RestRequest("GET", f"/orders?status=open{page}", self._headers)

    def parse_open_orders(self, status: int, body: bytes) -> Page:
        """The page."""
        said = answer(status, body, _List, "open orders")
        return Page(tuple(_open_order(o, f"orders[{n}]") for n, o in enumerate(said.orders)), said.next)

    def order(self, wall_ns: int, order: WorkingOrder) -> RestRequest:
        """One order by its ClOrdID."""
        return RestRequest("GET", f"/orders/{quote(order.cl_ord_id, safe='')}", self._headers)

    def parse_order(self, status: int, body: bytes) -> OpenOrder | None:
        """The order, None when the venue never heard of it."""
        if status == 404:
            return None
        return _open_order(answer(status, body, _Order, "order"), "order")

    def cancel_all(self, wall_ns: int, instruments: Iterable[Instrument]) -> list[RestRequest]:
        """One request cancels every order of the account."""
        return [RestRequest("DELETE", "/orders", self._headers)]

    def parse_cancel_all(self, status: int, body: bytes) -> int | None:
        """Number of orders cancelled."""
        return answer(status, body, _Cancelled, "cancel all").cancelled


def _open_order(order: _Order, path: str) -> OpenOrder:
    try:
        transact_ns = parse_utc_ns(order.transact_time.encode()) if order.transact_time else 0
    except CodecError as e:
        raise VenueError(f"{path}.transact_time: {e}") from None
    return OpenOrder(
        order_id=order.order_id,
        cl_ord_id=order.cl_ord_id,
        symbol=order.symbol,
        side=order.side,
        order_qty=amount(order.order_qty, f"{path}.order_qty"),
        cum_qty=amount(order.cum_qty, f"{path}.cum_qty"),
        price=amount(order.price, f"{path}.price") if order.price else "",
        status=order.ord_status,
        transact_ns=transact_ns,
    )
