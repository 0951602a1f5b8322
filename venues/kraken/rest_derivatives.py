"""Kraken Derivatives REST v3: open orders, one order, fills, accounts, positions, cancel all and one, the dead
man's timer.

Our venue reference names the headers only; the signature and the shapes come from the venue's public guide and API
reference, and have not been tried against it. The venue withdraws this API on 2027-03-01.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from base.errors import VenueError
from base.instruments import Instrument
from venues.interface import (
    CancelAnswer,
    CancelOutcome,
    OpenOrder,
    Page,
    RestRequest,
    TradePage,
    VenueBalance,
    VenuePosition,
    VenueTrade,
    WorkingOrder,
)
from venues.json import Instant, answer, instant_ns, plain, signed
from venues.kraken.signing import derivatives_sign
from venues.signing import Nonce, secret_bytes

_PREFIX = "/derivatives"
_SIDES = {"buy": "1", "sell": "2"}
_STATES = {"ENTERED_BOOK": "0", "FULLY_EXECUTED": "2", "REJECTED": "8", "CANCELLED": "4", "TRIGGER_PLACED": "0"}
_FILLS_A_PAGE = 100
_CANCELS = {"cancelled": CancelOutcome.CANCELLED, "filled": CancelOutcome.DONE, "notFound": CancelOutcome.NOT_FOUND}
_TOO_MANY = "apiLimitExceeded"
_NOBODY_KNOWS = ("Server Error", "Unavailable")


class _Said(msgspec.Struct):
    result: str
    error: str = ""
    errors: list[str] = []


class _Open(msgspec.Struct, rename={"cl_ord_id": "cliOrdId", "limit_price": "limitPrice", "unfilled": "unfilledSize",
                                    "filled": "filledSize", "updated": "lastUpdateTime"}):  # fmt: skip
    order_id: str
    symbol: str
    side: str
    unfilled: Decimal
    filled: Decimal
    cl_ord_id: str | None = None
    limit_price: Decimal | None = None
    updated: Instant | None = None


class _OpenList(_Said, rename={"open_orders": "openOrders"}):
    open_orders: list[_Open] | None = None


class _Single(msgspec.Struct, rename={"order_id": "orderId", "cl_ord_id": "cliOrdId", "limit_price": "limitPrice",
                                      "updated": "lastUpdateTimestamp"}):  # fmt: skip
    order_id: str
    symbol: str
    side: str
    quantity: Decimal
    filled: Decimal
    cl_ord_id: str | None = None
    limit_price: Decimal | None = None
    updated: Instant | None = None


class _Status(msgspec.Struct):
    order: _Single
    status: str


class _StatusList(_Said):
    orders: list[_Status] | None = None


class _Fill(msgspec.Struct, rename={"time": "fillTime", "kind": "fillType", "cl_ord_id": "cliOrdId"}):
    fill_id: str
    order_id: str
    symbol: str
    side: str
    size: Decimal
    price: Decimal
    time: Instant
    kind: str = ""
    cl_ord_id: str | None = None


class _Fills(_Said):
    fills: list[_Fill] | None = None


class _Currency(msgspec.Struct):
    quantity: Decimal
    available: Decimal | None = None


class _Account(msgspec.Struct, rename={"margin": "availableMargin"}):
    type: str = ""
    balances: dict[str, Decimal] = {}
    currencies: dict[str, _Currency] = {}
    margin: Decimal | None = None


class _Accounts(_Said):
    accounts: dict[str, _Account] | None = None


class _Position(msgspec.Struct):
    symbol: str
    side: str
    size: Decimal


class _Positions(_Said, rename={"positions": "openPositions"}):
    positions: list[_Position] | None = None


class _Cancelled(msgspec.Struct, rename={"cancelled": "cancelledOrders"}):
    status: str
    cancelled: list[msgspec.Raw] | None = None


class _CancelAll(_Said, rename={"cancel_status": "cancelStatus"}):
    cancel_status: _Cancelled | None = None


class _OneStatus(msgspec.Struct):
    status: str


class _CancelOne(_Said, rename={"cancel_status": "cancelStatus"}):
    cancel_status: _OneStatus | None = None


T = TypeVar("T", bound=_Said)


class DerivativesRest:
    """RestApi of Kraken Derivatives."""

    def __init__(self, key: str, secret: str) -> None:
        self._key = key
        self._secret = secret_bytes(secret, "rest.secret")
        self._nonce = Nonce(1_000_000)

    def open_orders(self, wall_ns: int, cursor: str = "") -> RestRequest:
        """Every open order of the account; the list is not paged."""
        return self._request("GET", "/api/v3/openorders", wall_ns)

    def parse_open_orders(self, status: int, body: bytes) -> Page:
        """The list."""
        said = _checked(answer(status, body, _OpenList, "openorders"), "openorders")
        if said.open_orders is None:
            raise VenueError("openorders: openOrders is missing")
        return Page(tuple(_listed(o, f"openOrders[{n}]") for n, o in enumerate(said.open_orders)))

    def order(self, wall_ns: int, order: WorkingOrder) -> RestRequest:
        """One order, while it is open and for 5 s after its end."""
        key, value = ("orderIds", order.order_id) if order.order_id else ("cliOrdIds", order.cl_ord_id)
        return self._request("POST", "/api/v3/orders/status", wall_ns, **{key: value})

    def parse_order(self, status: int, body: bytes, cl_ord_id: str = "") -> OpenOrder | None:
        """The order; None when the venue shows none (it forgets finished ones after 5 s)."""
        said = _checked(answer(status, body, _StatusList, "orders/status"), "orders/status")
        if said.orders is None:
            raise VenueError("orders/status: orders is missing")
        if len(said.orders) > 1:
            raise VenueError(f"orders/status: {len(said.orders)} orders in the answer to a question about one")
        return _single(said.orders[0], "orders[0]") if said.orders else None

    def trades(self, wall_ns: int, order: WorkingOrder, since_ns: int, cursor: str = "") -> RestRequest | None:
        """The account's fills, newest first, 100 at a time; `cursor`: fills before that time."""
        return self._request("GET", "/api/v3/fills", wall_ns, **({"lastFillTime": cursor} if cursor else {}))

    def parse_trades(self, status: int, body: bytes) -> TradePage:
        """The page. The next one overlaps a full one by a millisecond: fills of one moment may be on both."""
        said = _checked(answer(status, body, _Fills, "fills"), "fills")
        if said.fills is None:
            raise VenueError("fills: fills is missing")
        cursor = ""
        if len(said.fills) >= _FILLS_A_PAGE:
            before = min(f.time for f in said.fills).astimezone(UTC) + timedelta(milliseconds=1)
            cursor = before.strftime("%Y-%m-%dT%H:%M:%S.") + f"{before.microsecond // 1000:03d}Z"
        return TradePage(tuple(_trade(f, f"fills[{n}]") for n, f in enumerate(said.fills)), cursor, True)

    def balances(self, wall_ns: int) -> RestRequest | None:
        """The accounts: cash, single-collateral and multi-collateral margin."""
        return self._request("GET", "/api/v3/accounts", wall_ns)

    def parse_balances(self, status: int, body: bytes) -> tuple[VenueBalance, ...]:
        """Currencies of the multi-collateral account and of the cash account; margin still free is in USD."""
        said = _checked(answer(status, body, _Accounts, "accounts"), "accounts")
        if said.accounts is None:
            raise VenueError("accounts: accounts is missing")
        return tuple(_balances(said.accounts))

    def positions(self, wall_ns: int) -> RestRequest | None:
        """Every open position of the account."""
        return self._request("GET", "/api/v3/openpositions", wall_ns)

    def parse_positions(self, status: int, body: bytes) -> tuple[VenuePosition, ...]:
        """The positions, a short one below 0."""
        said = _checked(answer(status, body, _Positions, "openpositions"), "openpositions")
        if said.positions is None:
            raise VenueError("openpositions: openPositions is missing")
        return tuple(_position(p, f"openPositions[{n}]") for n, p in enumerate(said.positions))

    def cancel_all(self, wall_ns: int, instruments: Iterable[Instrument]) -> list[RestRequest]:
        """One request cancels every derivatives order of the account."""
        return [self._request("POST", "/api/v3/cancelallorders", wall_ns)]

    def parse_cancel_all(self, status: int, body: bytes) -> int | None:
        """Number of orders cancelled."""
        said = _checked(answer(status, body, _CancelAll, "cancelallorders"), "cancelallorders")
        if said.cancel_status is None:
            raise VenueError("cancelallorders: cancelStatus is missing")
        cancelled = said.cancel_status.cancelled
        return None if cancelled is None else len(cancelled)

    def cancel_order(self, wall_ns: int, instrument: Instrument, order_id: str, cl_ord_id: str) -> RestRequest | None:
        """One order by its OrderID, else by its ClOrdID, whatever placed it."""
        name = {"order_id": order_id} if order_id else {"cliOrdId": cl_ord_id}
        return self._request("POST", "/api/v3/cancelorder", wall_ns, **name)

    def parse_cancel_order(self, status: int, body: bytes) -> CancelAnswer:
        """What became of it, in one word; an error of the server's own leaves that open."""
        try:
            said = answer(status, body, _CancelOne, "cancelorder")
        except VenueError as e:
            return CancelAnswer(CancelOutcome.UNKNOWN, str(e))
        text = said.error or ", ".join(said.errors) or said.result
        if said.result != "success":
            if text == _TOO_MANY:
                return CancelAnswer(CancelOutcome.RATE_LIMITED, text)
            return CancelAnswer(CancelOutcome.UNKNOWN if text in _NOBODY_KNOWS else CancelOutcome.REFUSED, text)
        word = said.cancel_status.status if said.cancel_status is not None else "cancelStatus is missing"
        return CancelAnswer(_CANCELS.get(word, CancelOutcome.UNKNOWN), word)

    def cancel_after(self, wall_ns: int, seconds: int) -> RestRequest | None:
        """The dead man's switch; 0 disables it."""
        return self._request("POST", "/api/v3/cancelallordersafter", wall_ns, timeout=str(seconds))

    def parse_cancel_after(self, status: int, body: bytes) -> None:
        """Whether it was taken."""
        _checked(answer(status, body, _Said, "cancelallordersafter"), "cancelallordersafter")

    def _request(self, method: str, endpoint: str, wall_ns: int, **fields: str) -> RestRequest:
        nonce = self._nonce.next(wall_ns)
        data = urlencode(fields).encode()
        query = f"?{data.decode()}" if data and method == "GET" else ""
        headers = [
            ("APIKey", self._key),
            ("Nonce", nonce),
            ("Authent", derivatives_sign(self._secret, endpoint, nonce, data)),
            ("User-Agent", "quarterdeck"),
        ]
        if data and not query:
            headers.append(("Content-Type", "application/x-www-form-urlencoded"))
        return RestRequest(method, _PREFIX + endpoint + query, tuple(headers), b"" if query else data)


def _checked(said: T, what: str) -> T:
    if said.result != "success":
        raise VenueError(f"{what}: {said.result} {said.error or ', '.join(said.errors)}".rstrip())
    return said


def _trade(fill: _Fill, path: str) -> VenueTrade:
    if fill.side not in _SIDES:
        raise VenueError(f"{path}.side: {fill.side!r} is neither buy nor sell")
    return VenueTrade(
        trade_id=fill.fill_id,
        order_id=fill.order_id,
        cl_ord_id=fill.cl_ord_id or "",
        symbol=fill.symbol.upper(),
        side=_SIDES[fill.side],
        px=plain(fill.price, f"{path}.price"),
        qty=plain(fill.size, f"{path}.size"),
        liquidity={"maker": "M", "taker": "T"}.get(fill.kind, ""),  # fees are not told
        transact_ns=instant_ns(fill.time),
    )


def _position(said: _Position, path: str) -> VenuePosition:
    if said.side not in ("long", "short"):
        raise VenueError(f"{path}.side: {said.side!r} is neither long nor short")
    size = plain(said.size, f"{path}.size")
    return VenuePosition(symbol=said.symbol.upper(), qty=f"-{size}" if said.side == "short" else size)


def _balances(accounts: dict[str, _Account]) -> list[VenueBalance]:
    found: list[VenueBalance] = []
    for name, account in accounts.items():
        path = f"accounts.{name}"
        for currency, said in account.currencies.items():
            found.append(_collateral(currency, said, account.margin, f"{path}.currencies.{currency}"))
        if account.type == "cashAccount":
            for currency, quantity in account.balances.items():
                text = signed(quantity, f"{path}.balances.{currency}")
                ticker = {"XBT": "BTC", "XDG": "DOGE"}.get(currency.upper(), currency.upper())
                found.append(VenueBalance(currency=f"{ticker}.cash", total=text, available=text, held="0",
                                          buying_power=""))  # fmt: skip
    return found


def _collateral(currency: str, said: _Currency, margin: Decimal | None, path: str) -> VenueBalance:
    available = said.quantity if said.available is None else said.available
    ticker = {"XBT": "BTC", "XDG": "DOGE"}.get(currency.upper(), currency.upper())
    power = signed(margin, f"{path}.availableMargin") if ticker == "USD" and margin is not None else ""
    return VenueBalance(
        currency=ticker,
        total=signed(said.quantity, f"{path}.quantity"),
        available=signed(available, f"{path}.available"),
        held=signed(said.quantity - available, f"{path}.available"),
        buying_power=power,
    )


def _listed(order: _Open, path: str) -> OpenOrder:
    for field, size in (("unfilledSize", order.unfilled), ("filledSize", order.filled)):
        plain(size, f"{path}.{field}")
    return _open_order(
        order.order_id, order.cl_ord_id, order.symbol, order.side, order.unfilled + order.filled, order.filled,
        order.limit_price, "1" if order.filled else "0", order.updated, path,
    )  # fmt: skip


def _single(said: _Status, path: str) -> OpenOrder:
    order = said.order
    status = _STATES.get(said.status)
    if status is None:
        raise VenueError(f"{path}.status: {said.status!r} is not one of {sorted(_STATES)}")
    if status == "0" and order.filled:
        status = "1"
    return _open_order(
        order.order_id, order.cl_ord_id, order.symbol, order.side, order.quantity, order.filled, order.limit_price,
        status, order.updated, path + ".order",
    )  # fmt: skip


def _open_order(
    order_id: str,
    cl_ord_id: str | None,
    symbol: str,
    side: str,
    order_qty: Decimal,
    cum_qty: Decimal,
    price: Decimal | None,
    status: str,
    updated: datetime | None,
    path: str,
) -> OpenOrder:
    if side not in _SIDES:
        raise VenueError(f"{path}.side: {side!r} is neither buy nor sell")
    return OpenOrder(
        order_id=order_id,
        cl_ord_id=cl_ord_id or "",
        symbol=symbol.upper(),
        side=_SIDES[side],
        order_qty=plain(order_qty, f"{path}.quantity"),
        cum_qty=plain(cum_qty, f"{path}.filled"),
        price="" if price is None else plain(price, f"{path}.limitPrice"),
        status=status,
        transact_ns=0 if updated is None else instant_ns(updated),
    )
