"""Coinbase Prime's REST side: open orders, one order, its fills, balances, buying power, one cancel.

Paths and headers are of coinbase-prime.md, 5.9; shapes beyond it of the venue's API reference and its Go SDK (commit
42e802a, 2026-05-11). Nothing has been tried against the venue. There is no cancel for more than one order.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import quote, urlencode

import msgspec

from base.errors import VenueError
from base.instruments import Instrument
from venues.coinbase_prime.signing import rest_signature
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
from venues.json import Instant, amount, answer, decode, instant_ns, signed, signed_text
from venues.rest_balances import BalancesOnly, NoTimer

_SIDES = {"BUY": "1", "SELL": "2"}
_SIDE_NAMES = {"1": "BUY", "2": "SELL"}
_STATES = {"PENDING": "A", "FILLED": "2", "CANCELLED": "4", "EXPIRED": "C", "FAILED": "8"}
_CANCELS = {404: CancelOutcome.NOT_FOUND, 429: CancelOutcome.RATE_LIMITED}
_OVER = ("not open", "already")
_LIST_ENDS = frozenset({1_000, 5_000})
"""Rows of the open-orders list at which it is cut (its SDK) or becomes an error (its page)."""
_MOST_ROWS = 3_000
_CLOCKS_DIFFER_NS = 10_000_000_000
_DAY_NS = 86_400_000_000_000
"""For so long a ClOrdID is the order's alone."""


class _Edit(msgspec.Struct):
    client_order_id: str = ""


class _Order(msgspec.Struct):
    id: str
    product_id: str
    side: str
    status: str
    client_order_id: str = ""
    base_quantity: str = ""
    limit_price: str = ""
    filled_quantity: str = ""
    created_at: Instant | None = None
    edit_history: list[_Edit] | None = None


class _More(msgspec.Struct):
    next_cursor: str = ""
    has_next: bool = False

    @property
    def cursor(self) -> str:
        return self.next_cursor if self.has_next else ""


class _Orders(msgspec.Struct):
    orders: list[_Order]
    pagination: _More | None = None


class _One(msgspec.Struct):
    order: _Order | None = None
    orders: list[_Order] | None = None
    pagination: _More | None = None


class _Fill(msgspec.Struct):
    id: str
    order_id: str
    product_id: str
    side: str
    filled_quantity: str
    price: str
    time: Instant
    commission: str = ""


class _Fills(msgspec.Struct):
    fills: list[_Fill]
    pagination: _More | None = None


class _Balance(msgspec.Struct):
    symbol: str
    amount: str
    holds: str


class _Balances(msgspec.Struct):
    balances: list[_Balance]


class _Power(msgspec.Struct):
    quote_currency: str
    quote_buying_power: str


class _PowerAnswer(msgspec.Struct):
    buying_power: _Power


class _Cancelled(msgspec.Struct):
    id: str


class _Failure(msgspec.Struct):
    message: str = ""


class Rest(BalancesOnly, NoTimer):
    """RestApi of one portfolio."""

    def __init__(self, portfolio_id: str, key: str, secret: str, passphrase: str, *, credit: bool = False) -> None:
        """`credit`: the portfolio has trade finance or portfolio margin, and buying power of its own."""
        self._credit = credit
        self._portfolio_id = portfolio_id
        self._path = f"/v1/portfolios/{quote(portfolio_id, safe='')}"
        self._key, self._secret, self._passphrase = key, secret, passphrase

    def open_orders(self, wall_ns: int, cursor: str = "") -> RestRequest:
        """Every open order of the portfolio, whatever placed it."""
        return self._get(wall_ns, "open_orders", **({"cursor": cursor} if cursor else {}))

    def parse_open_orders(self, status: int, body: bytes) -> Page:
        """The list; VenueError where it may have been cut."""
        said = answer(status, body, _Orders, "open_orders")
        cursor = said.pagination.cursor if said.pagination else ""
        if len(said.orders) in _LIST_ENDS and not cursor:
            raise VenueError(f"open_orders: {len(said.orders)} orders, at which the venue's list may end: not a proof")
        return Page(tuple(_open_order(o, f"open_orders.orders[{n}]") for n, o in enumerate(said.orders)), cursor)

    def order(self, wall_ns: int, order: WorkingOrder) -> RestRequest:
        """By OrderID whatever its state; without one among those that are over, since it was sent."""
        if order.order_id:
            return self._get(wall_ns, f"orders/{quote(order.order_id, safe='')}")
        since_ns = order.sent_ns - _CLOCKS_DIFFER_NS if order.sent_ns else wall_ns - _DAY_NS
        fields = {"product_ids": order.instrument.symbol, "order_side": _SIDE_NAMES.get(order.side, "")}
        fields |= {"start_date": _iso(since_ns), "sort_direction": "ASC", "limit": str(_MOST_ROWS)}
        return self._get(wall_ns, "orders", **{k: v for k, v in fields.items() if v})

    def parse_order(self, status: int, body: bytes, cl_ord_id: str = "") -> OpenOrder | None:
        """The order; None when the venue does not know it. VenueError when it may be on a further page."""
        if status == 404:
            return None
        said = answer(status, body, _One, "order")
        if said.order is not None:
            return _open_order(said.order, "order.order")
        if said.orders is None:
            raise VenueError(f"order: neither an order nor a list of them; the answer begins {body[:200]!r}")
        for n, order in enumerate(said.orders):
            if cl_ord_id in (order.client_order_id, *(e.client_order_id for e in order.edit_history or ())):
                return _open_order(order, f"order.orders[{n}]")
        if said.pagination is not None and said.pagination.has_next:
            raise VenueError(f"order: not among the first {len(said.orders)}, and there are more")
        return None

    def trades(self, wall_ns: int, order: WorkingOrder, since_ns: int, cursor: str = "") -> RestRequest | None:
        """The fills of one order; the venue wants its OrderID."""
        if not order.order_id:
            return None
        fields = {"limit": str(_MOST_ROWS), "sort_direction": "ASC"} | ({"cursor": cursor} if cursor else {})
        return self._get(wall_ns, f"orders/{quote(order.order_id, safe='')}/fills", **fields)

    def parse_trades(self, status: int, body: bytes) -> TradePage:
        """The page."""
        said = answer(status, body, _Fills, "fills")
        cursor = said.pagination.cursor if said.pagination else ""
        return TradePage(tuple(_trade(f, f"fills[{n}]") for n, f in enumerate(said.fills)), cursor)

    def balances(self, wall_ns: int) -> RestRequest | None:
        """What the portfolio may trade with; vaults are left out."""
        return self._get(wall_ns, "balances", balance_type="TRADING_BALANCES")

    def parse_balances(self, status: int, body: bytes) -> tuple[VenueBalance, ...]:
        """Amount and holds of each currency."""
        said = answer(status, body, _Balances, "balances")
        return tuple(_balance(b, f"balances[{n}]") for n, b in enumerate(said.balances))

    def buying_power(self, wall_ns: int, instruments: Iterable[Instrument]) -> list[RestRequest]:
        """One request a pair, where the portfolio has credit."""
        pairs = [i.symbol.partition("-") for i in instruments] if self._credit else []
        return [
            self._get(wall_ns, "buying_power", base_currency=base, quote_currency=quote) for base, _, quote in pairs
        ]

    def parse_buying_power(self, status: int, body: bytes) -> tuple[str, str]:
        """What may be spent of the quote currency on that pair; the size in base currency says the same again."""
        said = answer(status, body, _PowerAnswer, "buying_power").buying_power
        amount = signed_text(said.quote_buying_power, "buying_power.quote_buying_power")
        return said.quote_currency.upper(), amount

    def cancel_all(self, wall_ns: int, instruments: Iterable[Instrument]) -> list[RestRequest]:
        """None: the venue cancels one order a request."""
        return []

    def parse_cancel_all(self, status: int, body: bytes) -> int | None:
        """Never asked for."""
        raise VenueError("coinbase prime has no cancel for more than one order")

    def cancel_order(self, wall_ns: int, instrument: Instrument, order_id: str, cl_ord_id: str) -> RestRequest | None:
        """One order of the portfolio, whatever placed it; the venue wants its OrderID."""
        if not order_id:
            return None
        path = f"{self._path}/orders/{quote(order_id, safe='')}/cancel"
        body = msgspec.json.encode({"portfolio_id": self._portfolio_id, "order_id": order_id})
        return RestRequest("POST", path, self._headers(wall_ns, "POST", path, body), body)

    def parse_cancel_order(self, status: int, body: bytes) -> CancelAnswer:
        """The id of an order that is to be cancelled: accepted, no more.

        What refusals look like is not documented: words that an order is over, and of maintenance, are taken as such.
        """
        try:
            if status == 200:
                return CancelAnswer(CancelOutcome.CANCELLED, decode(body, _Cancelled, "cancel order").id)
            text = decode(body, _Failure, f"cancel order: HTTP status {status}").message
        except VenueError as e:
            return CancelAnswer(CancelOutcome.RATE_LIMITED if status == 429 else CancelOutcome.UNKNOWN, str(e))
        if status in _CANCELS:
            return CancelAnswer(_CANCELS[status], text)
        words = text.lower()
        if 400 <= status < 500:
            over = any(each in words for each in _OVER)
            return CancelAnswer(CancelOutcome.DONE if over else CancelOutcome.REFUSED, text)
        return CancelAnswer(CancelOutcome.REFUSED if "maintenance" in words else CancelOutcome.UNKNOWN, text)

    def _get(self, wall_ns: int, call: str, **fields: str) -> RestRequest:
        path = f"{self._path}/{call}"
        return RestRequest(
            "GET", f"{path}?{urlencode(fields)}" if fields else path, self._headers(wall_ns, "GET", path)
        )

    def _headers(self, wall_ns: int, method: str, path: str, body: bytes = b"") -> tuple[tuple[str, str], ...]:
        timestamp = str(wall_ns // 1_000_000_000)
        return (
            ("X-CB-ACCESS-KEY", self._key),
            ("X-CB-ACCESS-PASSPHRASE", self._passphrase),
            ("X-CB-ACCESS-SIGNATURE", rest_signature(self._secret, timestamp, method, path, body)),
            ("X-CB-ACCESS-TIMESTAMP", timestamp),
            ("Content-Type", "application/json"),
        )


def _iso(wall_ns: int) -> str:
    return datetime.fromtimestamp(max(wall_ns, 0) // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def side_of(text: str, path: str) -> str:
    """Side(54) of BUY or SELL; VenueError otherwise."""
    if text not in _SIDES:
        raise VenueError(f"{path}.side: {text!r} is neither BUY nor SELL")
    return _SIDES[text]


def ord_status(status: str, cum_qty: str, path: str) -> str:
    """OrdStatus(39) of the venue's word; VenueError names one that it does not document."""
    if status == "OPEN":
        return "1" if cum_qty.strip("0.") else "0"
    if status not in _STATES:
        raise VenueError(f"{path}.status: {status!r} is not one of {sorted([*_STATES, 'OPEN'])}")
    return _STATES[status]


def _optional(text: str, path: str) -> str:
    return amount(text, path) if text else ""


def _open_order(order: _Order, path: str) -> OpenOrder:
    cum_qty = amount(order.filled_quantity or "0", f"{path}.filled_quantity")
    return OpenOrder(
        order_id=order.id,
        cl_ord_id=order.client_order_id,
        symbol=order.product_id,
        side=side_of(order.side, path),
        order_qty=_optional(order.base_quantity, f"{path}.base_quantity"),
        cum_qty=cum_qty,
        price=_optional(order.limit_price, f"{path}.limit_price"),
        status=ord_status(order.status, cum_qty, path),
        transact_ns=instant_ns(order.created_at) if order.created_at else 0,
    )


def _trade(fill: _Fill, path: str) -> VenueTrade:
    fee = signed_text(fill.commission, f"{path}.commission") if fill.commission else ""
    return VenueTrade(
        trade_id=fill.id,
        order_id=fill.order_id,
        symbol=fill.product_id,
        side=side_of(fill.side, path),
        px=amount(fill.price, f"{path}.price"),
        qty=amount(fill.filled_quantity, f"{path}.filled_quantity"),
        fees=((fill.product_id.partition("-")[2], fee),) if fee else (),
        transact_ns=instant_ns(fill.time),
    )


def _balance(said: _Balance, path: str) -> VenueBalance:
    total, held = signed_text(said.amount, f"{path}.amount"), signed_text(said.holds, f"{path}.holds")
    available = signed(Decimal(total) - Decimal(held), path)
    return VenueBalance(
        currency=said.symbol.upper(), total=total, available=available, held=held, buying_power=available
    )
