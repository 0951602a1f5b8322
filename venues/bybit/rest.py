"""Bybit's V5 REST side for spot: open orders, one order, its trades, balances, cancel all, cancel one (bybit.md, 4.2,
5.3, 5.4, 7 and 9; shapes of the venue's documentation at commit 072c197d, 2026-07-24).

Every answer has HTTP status 200 and a retCode. Cancels are accepted, not done, when they are answered.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Generic, TypeVar
from urllib.parse import urlencode

import msgspec

from base.errors import VenueError
from base.instruments import Instrument
from venues.bybit.reports import DONE, NOT_FOUND, UNKNOWN_STATE
from venues.bybit.signing import rest_signer
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
from venues.rest_balances import BalancesOnly

T = TypeVar("T")
FILTERS = ("Order", "StopOrder", "tpslOrder", "OcoOrder", "BidirectionalTpslOrder")
_SIDES = {"Buy": "1", "Sell": "2"}
_STATES = {
    "New": "0", "PartiallyFilled": "1", "Untriggered": "0", "Triggered": "0", "Filled": "2", "Cancelled": "4",
    "PartiallyFilledCanceled": "4", "Rejected": "8", "Deactivated": "4",
}  # fmt: skip
_TRADES = frozenset({"Trade", "BlockTrade"})
_TOO_MANY = frozenset({"10006", "10429"})
_BANNED = (403, 429)
_TRIGGERED = frozenset("34")
_ORDERS_A_PAGE, _TRADES_A_PAGE = 50, 100


class _Result(msgspec.Struct, Generic[T], rename="camel"):
    ret_code: int
    ret_msg: str = ""
    result: T | None = None


class _Rows(msgspec.Struct, Generic[T], rename="camel"):
    rows: list[T] = msgspec.field(name="list")
    next_page_cursor: str = ""
    success: str = "1"


class _Code(msgspec.Struct, rename="camel"):
    ret_code: int
    ret_msg: str = ""


class _Order(msgspec.Struct, rename="camel"):
    order_id: str
    symbol: str
    side: str
    order_status: str
    qty: str
    cum_exec_qty: str
    price: str = ""
    order_link_id: str = ""
    updated_time: str = "0"


class _Trade(msgspec.Struct, rename="camel"):
    exec_id: str
    order_id: str
    symbol: str
    side: str
    exec_price: str
    exec_qty: str
    exec_time: str
    exec_type: str
    is_maker: bool
    order_link_id: str = ""
    exec_fee: str = ""
    fee_currency: str = ""


class _Coin(msgspec.Struct, rename="camel"):
    coin: str
    wallet_balance: str
    locked: str
    spot_borrow: str = ""


class _Account(msgspec.Struct):
    coin: list[_Coin]


class _Cancelled(msgspec.Struct, rename="camel"):
    order_id: str


class Rest(BalancesOnly):
    """RestApi of Bybit Spot."""

    def __init__(self, key: str, secret: str, recv_window_ms: int) -> None:
        self._key = key
        self._sign = rest_signer(secret, "rest.secret")
        self._window = str(recv_window_ms)

    def open_orders(self, wall_ns: int, cursor: str = "") -> RestRequest:
        """Every open spot order of the account, of all kinds."""
        more = {"cursor": cursor} if cursor else {}
        return self._get("/v5/order/realtime", wall_ns, limit=str(_ORDERS_A_PAGE), **more)

    def parse_open_orders(self, status: int, body: bytes) -> Page:
        """A page; the last one is not full."""
        said = _result(status, body, _Result[_Rows[_Order]], "realtime")
        orders = tuple(_open_order(o, f"realtime.list[{n}]") for n, o in enumerate(said.rows))
        return Page(orders, said.next_page_cursor if len(said.rows) >= _ORDERS_A_PAGE else "")

    def order(self, wall_ns: int, order: WorkingOrder) -> RestRequest:
        """By its name alone: the venue knows its latest 500 orders that are over, too."""
        return self._get("/v5/order/realtime", wall_ns, **_names(order))

    def parse_order(self, status: int, body: bytes, cl_ord_id: str = "") -> OpenOrder | None:
        """The order, None when the venue does not list it."""
        said = _result(status, body, _Result[_Rows[_Order]], "realtime").rows
        found = [o for o in said if o.order_link_id == cl_ord_id] or said
        return _open_order(found[0], "realtime.list[0]") if found else None

    def trades(self, wall_ns: int, order: WorkingOrder, since_ns: int, cursor: str = "") -> RestRequest | None:
        """The trades of one order, newest first."""
        more = {"cursor": cursor} if cursor else {}
        return self._get("/v5/execution/list", wall_ns, limit=str(_TRADES_A_PAGE), **_names(order), **more)

    def parse_trades(self, status: int, body: bytes) -> TradePage:
        """A page; the last one is not full."""
        said = _result(status, body, _Result[_Rows[_Trade]], "execution")
        trades = tuple(_trade(t, f"execution.list[{n}]") for n, t in enumerate(said.rows) if t.exec_type in _TRADES)
        return TradePage(trades, said.next_page_cursor if len(said.rows) >= _TRADES_A_PAGE else "", newest_first=True)

    def balances(self, wall_ns: int) -> RestRequest | None:
        """The unified account, coins of which there are none left out."""
        return self._request("GET", f"/v5/account/wallet-balance?{urlencode({'accountType': 'UNIFIED'})}", wall_ns)

    def parse_balances(self, status: int, body: bytes) -> tuple[VenueBalance, ...]:
        """What is held of each coin; what may be borrowed on top is not counted."""
        said = _result(status, body, _Result[_Rows[_Account]], "wallet-balance")
        coins = [coin for account in said.rows for coin in account.coin]
        return tuple(_balance(c, f"wallet-balance.coin[{n}]") for n, c in enumerate(coins))

    def cancel_all(self, wall_ns: int, instruments: Iterable[Instrument]) -> list[RestRequest]:
        """One request a kind of order, for all symbols: without a filter the venue takes normal orders alone."""
        return [self._post("/v5/order/cancel-all", wall_ns, orderFilter=kind) for kind in FILTERS]

    def parse_cancel_all(self, status: int, body: bytes) -> int | None:
        """Number of orders that are to be cancelled."""
        said = _result(status, body, _Result[_Rows[_Cancelled]], "cancel-all")
        if said.success != "1":
            raise VenueError(f"cancel-all: success is {said.success!r}")
        return len(said.rows)

    def cancel_order(self, wall_ns: int, instrument: Instrument, order_id: str, cl_ord_id: str) -> RestRequest | None:
        """One normal order by its symbol and OrderID, else ClOrdID; of whatever session."""
        named = {"orderId": order_id} if order_id else {"orderLinkId": cl_ord_id}
        return self._post("/v5/order/cancel", wall_ns, symbol=instrument.symbol, **named)

    def parse_cancel_order(self, status: int, body: bytes) -> CancelAnswer:
        """By retCode; a status of 500 and more, or a code that says so, leaves the outcome open."""
        try:
            said = decode(body, _Code, f"cancel: HTTP status {status}")
        except VenueError as e:
            return CancelAnswer(CancelOutcome.RATE_LIMITED if status in _BANNED else CancelOutcome.UNKNOWN, str(e))
        code, text = str(said.ret_code), f"{said.ret_code} {said.ret_msg}"
        if status in _BANNED or code in _TOO_MANY:
            return CancelAnswer(CancelOutcome.RATE_LIMITED, text)
        if status != 200 or code in UNKNOWN_STATE:
            return CancelAnswer(CancelOutcome.UNKNOWN, text)
        if said.ret_code == 0:
            return CancelAnswer(CancelOutcome.CANCELLED, said.ret_msg)
        if code in NOT_FOUND:
            return CancelAnswer(CancelOutcome.NOT_FOUND, text)
        return CancelAnswer(CancelOutcome.DONE if code in DONE else CancelOutcome.REFUSED, text)

    def cancel_after(self, wall_ns: int, seconds: int) -> RestRequest | None:
        """None: the venue's timer is tied to a WebSocket, and set by REST without one it does nothing."""
        return None

    def parse_cancel_after(self, status: int, body: bytes) -> None:
        """Never asked for."""
        raise VenueError("bybit has no dead man's timer over REST alone")

    def _get(self, path: str, wall_ns: int, **fields: str) -> RestRequest:
        return self._request("GET", f"{path}?{urlencode({'category': 'spot', **fields})}", wall_ns)

    def _post(self, path: str, wall_ns: int, **fields: str) -> RestRequest:
        return self._request("POST", path, wall_ns, msgspec.json.encode({"category": "spot", **fields}))

    def _request(self, method: str, target: str, wall_ns: int, body: bytes = b"") -> RestRequest:
        timestamp = str(wall_ns // 1_000_000)
        said = body or target.partition("?")[2].encode()
        headers = [
            ("X-BAPI-API-KEY", self._key), ("X-BAPI-TIMESTAMP", timestamp), ("X-BAPI-RECV-WINDOW", self._window),
            ("X-BAPI-SIGN", self._sign(f"{timestamp}{self._key}{self._window}".encode() + said)),
        ]  # fmt: skip
        if body:
            headers.append(("Content-Type", "application/json"))
        return RestRequest(method, target, tuple(headers), body)


def _names(order: WorkingOrder) -> dict[str, str]:
    """OrderID where it is sure to stay, else the ClOrdID."""
    if order.order_id and (order.ord_type not in _TRIGGERED or not order.cl_ord_id):
        return {"orderId": order.order_id}
    return {"orderLinkId": order.cl_ord_id}


def _result(status: int, body: bytes, kind: type[_Result[T]], what: str) -> T:
    """The result of a success; VenueError with the venue's own words otherwise."""
    code = answer(status, body, _Code, what)
    if code.ret_code:
        raise VenueError(f"{what}: {code.ret_code} {code.ret_msg}")
    said = decode(body, kind, what).result
    if said is None:
        raise VenueError(f"{what}: result: is missing")
    return said


def time_ns(text: str, path: str) -> int:
    """Milliseconds since the epoch as nanoseconds. VenueError naming `path`."""
    if not (text.isascii() and text.isdecimal() and len(text) < 15):
        raise VenueError(f"{path}: {text!r} is not a time in milliseconds")
    return int(text) * 1_000_000


def side_of(text: str, path: str) -> str:
    """Side(54). VenueError naming `path`."""
    if text not in _SIDES:
        raise VenueError(f"{path}.side: {text!r} is neither Buy nor Sell")
    return _SIDES[text]


def ord_status(state: str, filled: str, path: str) -> str:
    """OrdStatus(39) of an orderStatus and what is filled; a rejection after fills is a cancel. VenueError."""
    if state not in _STATES:
        raise VenueError(f"{path}.orderStatus: {state!r} is not one of {sorted(_STATES)}")
    status = _STATES[state]
    if Decimal(amount(filled or "0", f"{path}.cumExecQty")):
        status = {"0": "1", "8": "4"}.get(status, status)
    return status


def _open_order(order: _Order, path: str) -> OpenOrder:
    return OpenOrder(
        order_id=order.order_id,
        cl_ord_id=order.order_link_id,
        symbol=order.symbol,
        side=side_of(order.side, path),
        order_qty=amount(order.qty, f"{path}.qty"),
        cum_qty=amount(order.cum_exec_qty or "0", f"{path}.cumExecQty"),
        price=amount(order.price or "0", f"{path}.price"),
        status=ord_status(order.order_status, order.cum_exec_qty, path),
        transact_ns=time_ns(order.updated_time, f"{path}.updatedTime"),
    )


def _trade(trade: _Trade, path: str) -> VenueTrade:
    """The venue leaves the fee's currency out at times: it is not guessed at."""
    fees = ((trade.fee_currency, signed_text(trade.exec_fee, f"{path}.execFee")),) if trade.exec_fee else ()
    return VenueTrade(
        trade_id=trade.exec_id,
        order_id=trade.order_id,
        symbol=trade.symbol,
        side=side_of(trade.side, path),
        px=amount(trade.exec_price, f"{path}.execPrice"),
        qty=amount(trade.exec_qty, f"{path}.execQty"),
        cl_ord_id=trade.order_link_id,
        fees=fees,
        liquidity="M" if trade.is_maker else "T",
        transact_ns=time_ns(trade.exec_time, f"{path}.execTime"),
    )


def _balance(said: _Coin, path: str) -> VenueBalance:
    total = Decimal(signed_text(said.wallet_balance, f"{path}.walletBalance"))
    if said.spot_borrow:
        total -= Decimal(signed_text(said.spot_borrow, f"{path}.spotBorrow"))
    held = signed_text(said.locked or "0", f"{path}.locked")
    free = signed(total - Decimal(held), path)
    return VenueBalance(currency=said.coin, total=signed(total, path), available=free, held=held, buying_power=free)
