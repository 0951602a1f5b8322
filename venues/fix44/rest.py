"""REST side of a plain FIX 4.4 venue: FIX has no list of open orders, so a small one in FIX names stands beside it.

`GET /orders?status=open[&cursor=C]` -> {"orders": [...], "next": "C"}; `GET /orders/<ClOrdID>` -> one order or 404;
`DELETE /orders` -> {"cancelled": n}. An order: order_id, cl_ord_id, symbol, side, order_qty, cum_qty, price,
ord_status, transact_time, all texts with the values of FIX. Where the options say so, `DELETE /orders/<OrderID or
ClOrdID>`, `GET /fills?order=<OrderID>`, `GET /balances`, and `POST /cancel_after`, too. Basic authentication.
docs/venues/fix44.md.
"""

from base64 import b64encode
from collections.abc import Iterable
from urllib.parse import quote

import msgspec

from base.errors import CodecError, VenueError
from base.instruments import Instrument
from fix.codec import parse_utc_ns
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
from venues.json import amount, answer, decode, signed_text
from venues.rest_balances import BalancesOnly


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


class _Fee(msgspec.Struct):
    currency: str
    amount: str


class _Fill(msgspec.Struct):
    trade_id: str
    order_id: str
    symbol: str
    side: str
    last_qty: str
    last_px: str
    cl_ord_id: str = ""
    transact_time: str = ""
    liquidity: str = ""
    fees: list[_Fee] = []


class _Fills(msgspec.Struct):
    fills: list[_Fill]
    next: str = ""


class _Balance(msgspec.Struct):
    currency: str
    total: str
    available: str
    held: str


class _Balances(msgspec.Struct):
    balances: list[_Balance]


class _Cancelled(msgspec.Struct):
    cancelled: int | None = None


class _Refused(msgspec.Struct):
    error: str


class _After(msgspec.Struct):
    seconds: int


class Rest(BalancesOnly):
    """RestApi of a fix44 venue."""

    def __init__(self, key: str, secret: str, calls: frozenset[str] = frozenset()) -> None:
        """`calls`: what the peer offers beyond orders, of cancel_order, fills, balances and cancel_after."""
        self._calls = calls
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

    def parse_order(self, status: int, body: bytes, cl_ord_id: str = "") -> OpenOrder | None:
        """The order, None when the venue never heard of it."""
        if status == 404:
            return None
        return _open_order(answer(status, body, _Order, "order"), "order")

    def trades(self, wall_ns: int, order: WorkingOrder, since_ns: int, cursor: str = "") -> RestRequest | None:
        """The fills of one order, oldest first."""
        if "fills" not in self._calls or not order.order_id:
            return None
        page = f"&cursor={quote(cursor, safe='')}" if cursor else ""
        return RestRequest("GET", f"/fills?order={quote(order.order_id, safe='')}{page}", self._headers)

    def parse_trades(self, status: int, body: bytes) -> TradePage:
        """The page."""
        said = answer(status, body, _Fills, "fills")
        return TradePage(tuple(_trade(f, f"fills[{n}]") for n, f in enumerate(said.fills)), said.next)

    def balances(self, wall_ns: int) -> RestRequest | None:
        """What the account holds."""
        return RestRequest("GET", "/balances", self._headers) if "balances" in self._calls else None

    def parse_balances(self, status: int, body: bytes) -> tuple[VenueBalance, ...]:
        """One for each currency; what is available may be spent."""
        said = answer(status, body, _Balances, "balances")
        return tuple(_balance(b, f"balances[{n}]") for n, b in enumerate(said.balances))

    def cancel_all(self, wall_ns: int, instruments: Iterable[Instrument]) -> list[RestRequest]:
        """One request cancels every order of the account."""
        return [RestRequest("DELETE", "/orders", self._headers)]

    def parse_cancel_all(self, status: int, body: bytes) -> int | None:
        """Number of orders cancelled."""
        return answer(status, body, _Cancelled, "cancel all").cancelled

    def cancel_order(self, wall_ns: int, instrument: Instrument, order_id: str, cl_ord_id: str) -> RestRequest | None:
        """One order of the account by its OrderID, else by its ClOrdID, where the options say that the peer can."""
        if "cancel_order" not in self._calls:
            return None
        return RestRequest("DELETE", f"/orders/{quote(order_id or cl_ord_id, safe='')}", self._headers)

    def parse_cancel_order(self, status: int, body: bytes) -> CancelAnswer:
        """1 cancelled, or 0: it was over; else an error by its status (docs/venues/fix44.md)."""
        try:
            if status == 200:
                count = decode(body, _Cancelled, "cancel order").cancelled
                found = {1: CancelOutcome.CANCELLED, 0: CancelOutcome.DONE}.get(-1 if count is None else count)
                return CancelAnswer(found or CancelOutcome.UNKNOWN, f"a count of {count}")
            text = decode(body, _Refused, f"cancel order: HTTP status {status}").error
        except VenueError as e:
            return CancelAnswer(CancelOutcome.RATE_LIMITED if status == 429 else CancelOutcome.UNKNOWN, str(e))
        if status == 503 or 400 <= status < 500:
            known = {404: CancelOutcome.NOT_FOUND, 429: CancelOutcome.RATE_LIMITED}
            return CancelAnswer(known.get(status, CancelOutcome.REFUSED), text)
        return CancelAnswer(CancelOutcome.UNKNOWN, text)

    def cancel_after(self, wall_ns: int, seconds: int) -> RestRequest | None:
        """The peer's dead man's timer, where the options say that it has one; 0 disables it."""
        if "cancel_after" not in self._calls:
            return None
        headers = (*self._headers, ("Content-Type", "application/json"))
        return RestRequest("POST", "/cancel_after", headers, b'{"seconds":%d}' % seconds)

    def parse_cancel_after(self, status: int, body: bytes) -> None:
        """It says back what it took."""
        answer(status, body, _After, "cancel after")


def _utc(text: str, path: str) -> int:
    try:
        return parse_utc_ns(text.encode()) if text else 0
    except CodecError as e:
        raise VenueError(f"{path}.transact_time: {e}") from None


def _trade(fill: _Fill, path: str) -> VenueTrade:
    return VenueTrade(
        trade_id=fill.trade_id,
        order_id=fill.order_id,
        cl_ord_id=fill.cl_ord_id,
        symbol=fill.symbol,
        side=fill.side,
        px=amount(fill.last_px, f"{path}.last_px"),
        qty=amount(fill.last_qty, f"{path}.last_qty"),
        fees=tuple((f.currency, signed_text(f.amount, f"{path}.fees[{n}].amount")) for n, f in enumerate(fill.fees)),
        liquidity=fill.liquidity if fill.liquidity in ("M", "T") else "",
        transact_ns=_utc(fill.transact_time, path),
    )


def _balance(said: _Balance, path: str) -> VenueBalance:
    available = signed_text(said.available, f"{path}.available")
    return VenueBalance(
        currency=said.currency,
        total=signed_text(said.total, f"{path}.total"),
        available=available,
        held=signed_text(said.held, f"{path}.held"),
        buying_power=available,
    )


def _open_order(order: _Order, path: str) -> OpenOrder:
    transact_ns = _utc(order.transact_time, path)
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
