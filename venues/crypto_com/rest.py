"""Crypto.com's REST side: open orders, one order, trades, balances, positions, cancels. All of the key's (sub)account.

Calls beyond `private/cancel-all-orders` and shapes are of the venue's REST reference (2025-11). Each is a POST of a
signed envelope; `code` 0 is success whatever the HTTP status. Nothing has been tried against the venue.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TypeVar

import msgspec

from base.errors import VenueError
from base.instruments import Instrument
from venues.crypto_com.limits import PREFIX
from venues.crypto_com.signing import rest_signature
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
from venues.json import amount, decode, signed, signed_text
from venues.rest_balances import NoTimer

T = TypeVar("T")
_SIDES = {"BUY": "1", "SELL": "2"}
_STATES = {
    "NEW": "0", "PENDING": "A", "ACTIVE": "0", "REJECTED": "8", "CANCELED": "4", "FILLED": "2", "EXPIRED": "C",
}  # fmt: skip
_NEVER_HEARD = frozenset({"212", "40401"})  # INVALID_ORDERID, NOT_FOUND
_CANCELS = {
    "0": CancelOutcome.CANCELLED, "316": CancelOutcome.DONE, "307": CancelOutcome.DONE,
    "212": CancelOutcome.NOT_FOUND, "40401": CancelOutcome.NOT_FOUND, "42901": CancelOutcome.RATE_LIMITED,
    "40801": CancelOutcome.UNKNOWN, "50001": CancelOutcome.UNKNOWN,
}  # fmt: skip
_LIQUIDITY = {"MAKER": "M", "TAKER": "T"}
_TRADES_A_PAGE = 100
_TRADE_SPAN_NS = 7 * 86_400_000_000_000
_MS_NS = 1_000_000


class _Envelope(msgspec.Struct):
    code: int | str
    id: int | str
    method: str
    message: str = ""


class _Order(msgspec.Struct):
    order_id: str
    instrument_name: str
    side: str
    status: str
    client_oid: str = ""
    quantity: str = "0"
    limit_price: str = ""
    cumulative_quantity: str = "0"
    update_time: int | str = 0


class _Orders(msgspec.Struct):
    data: list[_Order]


class _ListAnswer(msgspec.Struct):
    result: _Orders


class _OrderAnswer(msgspec.Struct):
    result: _Order


class _Trade(msgspec.Struct):
    trade_id: str
    order_id: str
    instrument_name: str
    side: str
    traded_price: str
    traded_quantity: str
    create_time_ns: str
    client_oid: str = ""
    fees: str = ""
    fee_instrument_name: str = ""
    taker_side: str = ""


class _Trades(msgspec.Struct):
    data: list[_Trade]


class _TradesAnswer(msgspec.Struct):
    result: _Trades


class _Holding(msgspec.Struct):
    instrument_name: str
    quantity: str
    reserved_qty: str = "0"


class _Wallet(msgspec.Struct):
    position_balances: list[_Holding]


class _Wallets(msgspec.Struct):
    data: list[_Wallet]


class _BalanceAnswer(msgspec.Struct):
    result: _Wallets


class _Positions(msgspec.Struct):
    data: list[_Holding]


class _PositionsAnswer(msgspec.Struct):
    result: _Positions


class Rest(NoTimer):
    """RestApi of Crypto.com."""

    def __init__(self, key: str, secret: str) -> None:
        self._key, self._secret = key, secret

    def open_orders(self, wall_ns: int, cursor: str = "") -> RestRequest:
        """Every open order of the account: at most 1000 by the venue's own rule, in one answer."""
        return self._call("get-open-orders", wall_ns)

    def parse_open_orders(self, status: int, body: bytes) -> Page:
        """The list."""
        said = _result(status, body, _ListAnswer, "open_orders").result.data
        return Page(tuple(_open_order(o, f"open_orders.data[{n}]") for n, o in enumerate(said)))

    def order(self, wall_ns: int, order: WorkingOrder) -> RestRequest:
        """One order by the venue's id, else by ours."""
        return self._call("get-order-detail", wall_ns, **_named(order.order_id, order.cl_ord_id))

    def parse_order(self, status: int, body: bytes, cl_ord_id: str = "") -> OpenOrder | None:
        """The order; None when the venue never heard of it."""
        if str(decode(body, _Envelope, "order").code) in _NEVER_HEARD:
            return None
        return _open_order(_result(status, body, _OrderAnswer, "order").result, "order")

    def trades(self, wall_ns: int, order: WorkingOrder, since_ns: int, cursor: str = "") -> RestRequest | None:
        """A page of the account's trades on the order's instrument, at most seven days of them. `cursor`: the time
        (ns) before which they were made.
        """
        end = cursor or str(wall_ns + _MS_NS)
        latest = int(end) if end.isdecimal() else wall_ns
        start = max(since_ns, latest - _TRADE_SPAN_NS)
        said = {"start_time": str(start), "end_time": end, "limit": str(_TRADES_A_PAGE)}
        return self._call("get-trades", wall_ns, instrument_name=order.instrument.symbol, **said)

    def parse_trades(self, status: int, body: bytes) -> TradePage:
        """The page, newest first; behind a full one there may be another, which overlaps by a nanosecond."""
        said = _result(status, body, _TradesAnswer, "trades").result.data
        found = [_trade(t, f"trades.data[{n}]") for n, t in enumerate(said)]
        found.sort(key=lambda t: t.transact_ns, reverse=True)
        cursor = str(found[-1].transact_ns + 1) if len(found) >= _TRADES_A_PAGE else ""
        return TradePage(tuple(found), cursor, newest_first=True)

    def balances(self, wall_ns: int) -> RestRequest | None:
        """What the account holds of each currency."""
        return self._call("user-balance", wall_ns)

    def parse_balances(self, status: int, body: bytes) -> tuple[VenueBalance, ...]:
        """Quantity and what is reserved; what margin adds is not told by currency."""
        said = _result(status, body, _BalanceAnswer, "balances").result.data
        return tuple(
            _balance(h, f"balances.data[{n}].position_balances[{m}]")
            for n, wallet in enumerate(said) for m, h in enumerate(wallet.position_balances)
        )  # fmt: skip

    def positions(self, wall_ns: int) -> RestRequest | None:
        """Perpetuals and futures."""
        return self._call("get-positions", wall_ns)

    def parse_positions(self, status: int, body: bytes) -> tuple[VenuePosition, ...]:
        """Signed quantities."""
        said = _result(status, body, _PositionsAnswer, "positions").result.data
        return tuple(
            VenuePosition(symbol=p.instrument_name, qty=signed_text(p.quantity, f"positions.data[{n}].quantity"))
            for n, p in enumerate(said)
        )

    def cancel_all(self, wall_ns: int, instruments: Iterable[Instrument]) -> list[RestRequest]:
        """One request for all instruments of the account."""
        return [self._call("cancel-all-orders", wall_ns)]

    def parse_cancel_all(self, status: int, body: bytes) -> int | None:
        """None: it is queued, and no number is told."""
        _check(status, body, "cancel all")
        return None

    def cancel_order(self, wall_ns: int, instrument: Instrument, order_id: str, cl_ord_id: str) -> RestRequest | None:
        """One order of the account by the venue's id, else by ours."""
        return self._call("cancel-order", wall_ns, **_named(order_id, cl_ord_id))

    def parse_cancel_order(self, status: int, body: bytes) -> CancelAnswer:
        """Accepted, or a reason code."""
        try:
            said = decode(body, _Envelope, f"cancel order: HTTP status {status}")
        except VenueError as e:
            return CancelAnswer(CancelOutcome.RATE_LIMITED if status == 429 else CancelOutcome.UNKNOWN, str(e))
        code = str(said.code)
        return CancelAnswer(_CANCELS.get(code, CancelOutcome.REFUSED), f"{code} {said.message}".rstrip())

    def _call(self, name: str, wall_ns: int, **params: str) -> RestRequest:
        method, nonce = f"private/{name}", wall_ns // _MS_NS
        body = envelope(self._key, self._secret, method, wall_ns // 1_000, params, nonce)
        return RestRequest("POST", PREFIX + method, (("Content-Type", "application/json"),), body)


def envelope(key: str, secret: str, method: str, number: int, params: Mapping[str, str], nonce: int) -> bytes:
    """A signed request; `nonce` in ms. The venue wants its numbers within `params` as texts."""
    said = {"id": number, "method": method, "params": params, "nonce": nonce, "api_key": key}
    return msgspec.json.encode({**said, "sig": rest_signature(secret, method, number, key, params, nonce)})


def _check(status: int, body: bytes, what: str) -> None:
    said = decode(body, _Envelope, f"{what}: HTTP status {status}")
    if status != 200 or str(said.code) != "0":
        raise VenueError(f"{what}: HTTP status {status}, code {said.code} {said.message}".rstrip())


def _result(status: int, body: bytes, kind: type[T], what: str) -> T:
    _check(status, body, what)
    return decode(body, kind, what)


def _named(order_id: str, cl_ord_id: str) -> dict[str, str]:
    return {"order_id": order_id} if order_id else {"client_oid": cl_ord_id}


def _side(text: str, path: str) -> str:
    if text not in _SIDES:
        raise VenueError(f"{path}.side: {text!r} is neither BUY nor SELL")
    return _SIDES[text]


def _whole(value: int | str, path: str) -> int:
    if not str(value).isdecimal() or len(str(value)) > 20:
        raise VenueError(f"{path}: {value!r} is not a time")
    return int(value)


def _open_order(order: _Order, path: str) -> OpenOrder:
    cum_qty = amount(order.cumulative_quantity, f"{path}.cumulative_quantity")
    if order.status not in _STATES:
        raise VenueError(f"{path}.status: {order.status!r} is not one of {sorted(_STATES)}")
    status = _STATES[order.status]
    return OpenOrder(
        order_id=order.order_id,
        cl_ord_id=order.client_oid,
        symbol=order.instrument_name,
        side=_side(order.side, path),
        order_qty=amount(order.quantity, f"{path}.quantity"),
        cum_qty=cum_qty,
        price=amount(order.limit_price, f"{path}.limit_price") if order.limit_price else "",
        status="1" if status == "0" and cum_qty.strip("0.") else status,
        transact_ns=_whole(order.update_time, f"{path}.update_time") * _MS_NS,
    )


def _trade(trade: _Trade, path: str) -> VenueTrade:
    """Fees are told as what they do to the balance: a deduction is below 0."""
    fees = ((trade.fee_instrument_name, _paid(trade.fees, f"{path}.fees")),) if trade.fees else ()
    return VenueTrade(
        trade_id=trade.trade_id,
        order_id=trade.order_id,
        symbol=trade.instrument_name,
        side=_side(trade.side, path),
        px=amount(trade.traded_price, f"{path}.traded_price"),
        qty=amount(trade.traded_quantity, f"{path}.traded_quantity"),
        cl_ord_id=trade.client_oid,
        fees=fees,
        liquidity=_LIQUIDITY.get(trade.taker_side, ""),
        transact_ns=_whole(trade.create_time_ns, f"{path}.create_time_ns"),
    )


def _paid(text: str, path: str) -> str:
    return signed(-Decimal(signed_text(text, path)), path)


def _balance(said: _Holding, path: str) -> VenueBalance:
    total, held = signed_text(said.quantity, f"{path}.quantity"), signed_text(said.reserved_qty, f"{path}.reserved_qty")
    available = signed(Decimal(total) - Decimal(held), path)
    return VenueBalance(
        currency=said.instrument_name, total=total, available=available, held=held, buying_power=available
    )
