"""Coinbase Exchange REST: open orders, one order, its fills, accounts, cancel all. Everything is of the key's profile.

Answers are paged by cursors in headers; here pages go by what the documentation says those cursors are: fills by trade
id, orders by time. An order cancelled without a fill may be forgotten by the venue (404): that is not "never heard of".
"""

from collections.abc import Iterable
from datetime import UTC, timedelta
from urllib.parse import quote, urlencode

import msgspec

from base.errors import VenueError
from base.instruments import Instrument
from venues.coinbase_exchange.signing import rest_signature
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
from venues.json import Instant, amount, answer, decode, instant_ns, signed_text
from venues.rest_balances import BalancesOnly, NoTimer
from venues.signing import secret_bytes

_SIDES = {"buy": "1", "sell": "2"}
_LIVE = frozenset({"received", "pending", "open", "active"})
_ENDS = {"filled": "2", "canceled": "4"}
_CANCELS = {404: CancelOutcome.NOT_FOUND, 429: CancelOutcome.RATE_LIMITED}
_OVER = "already done"
_PAGE = 1_000
_OVERLAP = timedelta(milliseconds=1)
"""Pages of orders overlap by that much, lest one of the same instant fall between two."""


class _Order(msgspec.Struct):
    id: str
    product_id: str
    side: str
    status: str
    created_at: Instant
    size: str = "0"
    price: str = ""
    filled_size: str = "0"
    client_oid: str = ""
    done_at: Instant | None = None
    done_reason: str = ""


class _Fill(msgspec.Struct):
    trade_id: int
    product_id: str
    order_id: str
    price: str
    size: str
    side: str
    created_at: Instant
    fee: str = "0"
    liquidity: str = ""


class _Account(msgspec.Struct):
    currency: str
    balance: str
    hold: str
    available: str


class _Failure(msgspec.Struct):
    message: str


class Rest(BalancesOnly, NoTimer):
    """RestApi of Coinbase Exchange."""

    def __init__(self, key: str, secret: str, passphrase: str) -> None:
        self._key, self._passphrase = key, passphrase
        self._secret = secret_bytes(secret, "rest.secret")

    def open_orders(self, wall_ns: int, cursor: str = "") -> RestRequest:
        """A page of working orders, newest first; `cursor`: a time before which they were made."""
        query = [("status", s) for s in ("open", "pending", "active", "received")]
        query += [("sortedBy", "created_at"), ("sorting", "desc"), ("limit", str(_PAGE))]
        return self._request("GET", "/orders", wall_ns, [*query, *([("end_date", cursor)] if cursor else [])])

    def parse_open_orders(self, status: int, body: bytes) -> Page:
        """The page; behind a full one there may be another."""
        said = answer(status, body, list[_Order], "orders")
        orders = tuple(_open_order(o, f"orders[{n}]") for n, o in enumerate(said))
        return Page(orders, _before(said[-1].created_at) if len(said) >= _PAGE else "")

    def order(self, wall_ns: int, order: WorkingOrder) -> RestRequest:
        """One order by the venue's id, else by ours."""
        return self._request("GET", _path(order.order_id, order.cl_ord_id), wall_ns)

    def parse_order(self, status: int, body: bytes, cl_ord_id: str = "") -> OpenOrder | None:
        """The order; None (404) also stands for one that was cancelled unfilled and forgotten."""
        if status == 404:
            return None
        return _open_order(answer(status, body, _Order, "order"), "order")

    def trades(self, wall_ns: int, order: WorkingOrder, since_ns: int, cursor: str = "") -> RestRequest | None:
        """A page of the order's fills, newest first; the venue wants its OrderID. `cursor`: the last trade id seen."""
        if not order.order_id:
            return None
        query = [("order_id", order.order_id), ("limit", str(_PAGE)), *([("after", cursor)] if cursor else [])]
        return self._request("GET", "/fills", wall_ns, query)

    def parse_trades(self, status: int, body: bytes) -> TradePage:
        """The page."""
        said = answer(status, body, list[_Fill], "fills")
        trades = tuple(_trade(f, f"fills[{n}]") for n, f in enumerate(said))
        return TradePage(trades, str(said[-1].trade_id) if len(said) >= _PAGE else "", newest_first=True)

    def balances(self, wall_ns: int) -> RestRequest | None:
        """The profile's accounts, one a currency."""
        return self._request("GET", "/accounts", wall_ns)

    def parse_balances(self, status: int, body: bytes) -> tuple[VenueBalance, ...]:
        """Balance, what is on hold, and what is available, which may be spent."""
        said = answer(status, body, list[_Account], "accounts")
        return tuple(_balance(a, f"accounts[{n}]") for n, a in enumerate(said))

    def cancel_all(self, wall_ns: int, instruments: Iterable[Instrument]) -> list[RestRequest]:
        """One request for every product of the profile."""
        return [self._request("DELETE", "/orders", wall_ns)]

    def parse_cancel_all(self, status: int, body: bytes) -> int | None:
        """Number of orders that the venue lists as cancelled."""
        return len(answer(status, body, list[str], "cancel all"))

    def cancel_order(self, wall_ns: int, instrument: Instrument, order_id: str, cl_ord_id: str) -> RestRequest | None:
        """One order of the profile by the venue's id, else by ours. Without the product, which strange orders lack."""
        return self._request("DELETE", _path(order_id, cl_ord_id), wall_ns)

    def parse_cancel_order(self, status: int, body: bytes) -> CancelAnswer:
        """The order's name when it was cancelled; else a reason in words, of which only the status is documented."""
        try:
            if status == 200:
                return CancelAnswer(CancelOutcome.CANCELLED, decode(body, str, "cancel order"))
            text = decode(body, _Failure, f"cancel order: HTTP status {status}").message
        except VenueError as e:
            return CancelAnswer(CancelOutcome.RATE_LIMITED if status == 429 else CancelOutcome.UNKNOWN, str(e))
        if status in _CANCELS:
            return CancelAnswer(_CANCELS[status], text)
        if 400 <= status < 500:
            return CancelAnswer(CancelOutcome.DONE if _OVER in text.lower() else CancelOutcome.REFUSED, text)
        return CancelAnswer(CancelOutcome.REFUSED if "maintenance" in text.lower() else CancelOutcome.UNKNOWN, text)

    def _request(self, method: str, path: str, wall_ns: int, query: Iterable[tuple[str, str]] = ()) -> RestRequest:
        said = urlencode(list(query))
        target = f"{path}?{said}" if said else path
        timestamp = str(wall_ns // 1_000_000_000)
        signature = rest_signature(self._secret, timestamp, method, target, b"")
        headers = (
            ("CB-ACCESS-KEY", self._key),
            ("CB-ACCESS-SIGN", signature),
            ("CB-ACCESS-TIMESTAMP", timestamp),
            ("CB-ACCESS-PASSPHRASE", self._passphrase),
        )
        return RestRequest(method, target, headers)


def _path(order_id: str, cl_ord_id: str) -> str:
    return f"/orders/{quote(order_id, safe='')}" if order_id else f"/orders/client:{quote(cl_ord_id, safe='')}"


def _before(created_at: Instant) -> str:
    return (created_at + _OVERLAP).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _side(text: str, path: str) -> str:
    if text not in _SIDES:
        raise VenueError(f"{path}.side: {text!r} is neither buy nor sell")
    return _SIDES[text]


def _open_order(order: _Order, path: str) -> OpenOrder:
    cum_qty = amount(order.filled_size, f"{path}.filled_size")
    return OpenOrder(
        order_id=order.id,
        cl_ord_id=order.client_oid,
        symbol=order.product_id,
        side=_side(order.side, path),
        order_qty=amount(order.size, f"{path}.size"),
        cum_qty=cum_qty,
        price=amount(order.price, f"{path}.price") if order.price else "",
        status=_status(order, bool(cum_qty.strip("0.")), path),
        transact_ns=instant_ns(order.done_at or order.created_at),
    )


def _status(order: _Order, filled: bool, path: str) -> str:
    if order.status in _LIVE:
        return "1" if filled else "0"
    if order.status == "rejected":
        return "8"
    if order.status == "done" and order.done_reason in _ENDS:
        return _ENDS[order.done_reason]
    raise VenueError(f"{path}.status: {order.status!r} with done_reason {order.done_reason!r} is not known")


def _trade(fill: _Fill, path: str) -> VenueTrade:
    quote_currency = fill.product_id.rpartition("-")[2]
    fee = signed_text(fill.fee, f"{path}.fee")
    return VenueTrade(
        trade_id=str(fill.trade_id),
        order_id=fill.order_id,
        symbol=fill.product_id,
        side=_side(fill.side, path),
        px=amount(fill.price, f"{path}.price"),
        qty=amount(fill.size, f"{path}.size"),
        fees=((quote_currency, fee),),
        liquidity=fill.liquidity if fill.liquidity in ("M", "T") else "",
        transact_ns=instant_ns(fill.created_at),
    )


def _balance(account: _Account, path: str) -> VenueBalance:
    available = signed_text(account.available, f"{path}.available")
    return VenueBalance(
        currency=account.currency,
        total=signed_text(account.balance, f"{path}.balance"),
        available=available,
        held=signed_text(account.hold, f"{path}.hold"),
        buying_power=available,
    )
