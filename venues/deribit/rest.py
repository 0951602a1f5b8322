"""Deribit's JSON-RPC over HTTP: open orders, one order, its trades, accounts, positions, cancels; all of the key's
sub-account.

Our venue reference names no method of it: methods and fields come from the venue's API reference (crawled in 2026), the
signature from the same, and none of it has been tried. Its amounts are units (USD of inverse contracts, else coins):
contracts follow from its own `contracts`, or from the configured contract_value. It knows no ClOrdID, only labels.
"""

import secrets
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from base.config import InstrumentConfig
from base.errors import VenueError
from base.instruments import Instrument
from venues.deribit.signing import rest_authorization
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
from venues.json import decode, plain, signed

T = TypeVar("T")
_PATH = "/api/v2/private/"
_SIDES = {"buy": "1", "sell": "2"}
_STATES = {"open": "0", "untriggered": "0", "filled": "2", "rejected": "8", "cancelled": "4"}
_NEVER_HEARD = 10004
_CANCELS = {
    _NEVER_HEARD: CancelOutcome.NOT_FOUND,
    11044: CancelOutcome.DONE,  # not_open_order
    10028: CancelOutcome.RATE_LIMITED,
    11094: CancelOutcome.UNKNOWN,  # internal_server_error
}


class _Error(msgspec.Struct):
    code: int
    message: str = ""


class _Failure(msgspec.Struct):
    error: _Error | None = None


class _Order(msgspec.Struct):
    order_id: str
    instrument_name: str
    direction: str
    order_state: str
    amount: Decimal
    creation_timestamp: int
    filled_amount: Decimal = Decimal(0)
    contracts: Decimal | None = None
    price: msgspec.Raw = msgspec.Raw(b"0")
    label: str = ""
    last_update_timestamp: int = 0


class _Orders(msgspec.Struct):
    result: list[_Order]


class _One(msgspec.Struct):
    result: _Order


class _Trade(msgspec.Struct):
    trade_id: str
    order_id: str
    instrument_name: str
    direction: str
    price: Decimal
    amount: Decimal
    timestamp: int
    contracts: Decimal | None = None
    fee: Decimal = Decimal(0)
    fee_currency: str = ""
    liquidity: str = ""
    label: str = ""


class _Trades(msgspec.Struct):
    result: list[_Trade]


class _Summary(msgspec.Struct):
    currency: str
    equity: Decimal
    available_funds: Decimal


class _Summaries(msgspec.Struct):
    summaries: list[_Summary]


class _Accounts(msgspec.Struct):
    result: _Summaries


class _Position(msgspec.Struct):
    instrument_name: str
    size: Decimal


class _Positions(msgspec.Struct):
    result: list[_Position]


class _Count(msgspec.Struct):
    result: int


class _Done(msgspec.Struct):
    result: int | _Order


class Rest:
    """RestApi of Deribit."""

    def __init__(
        self,
        instruments: Iterable[InstrumentConfig],
        key: str,
        secret: str,
        *,
        labelled: bool,
        random_hex: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        """`labelled`: an order's label is its ClOrdID."""
        self._sizes = {i.symbol: Decimal(i.contract_value) for i in instruments if i.contract_value}
        self._key, self._secret = key, secret
        self._labelled = labelled
        self._random_hex = random_hex

    def open_orders(self, wall_ns: int, cursor: str = "") -> RestRequest:
        """Every open order, of whatever kind and currency; one page."""
        return self._request("get_open_orders", wall_ns)

    def parse_open_orders(self, status: int, body: bytes) -> Page:
        """The orders."""
        said = _answer(status, body, _Orders, "get_open_orders").result
        return Page(tuple(self._order(o, f"result[{n}]") for n, o in enumerate(said)))

    def order(self, wall_ns: int, order: WorkingOrder) -> RestRequest:
        """One order by the venue's id, else those with its ClOrdID as label."""
        if order.order_id:
            return self._request("get_order_state", wall_ns, order_id=order.order_id)
        currency = _currency(order.instrument.symbol)
        return self._request("get_order_state_by_label", wall_ns, currency=currency, label=order.cl_ord_id)

    def parse_order(self, status: int, body: bytes, cl_ord_id: str = "") -> OpenOrder | None:
        """The order; None when the venue never heard of it, which without labels nobody can say of a mere ClOrdID."""
        failure = decode(body, _Failure, "get_order_state").error
        if failure is not None and failure.code == _NEVER_HEARD:
            return None
        if failure is None and status == 200 and _is_list(body):
            return self._labelled_order(decode(body, _Orders, "get_order_state_by_label").result, cl_ord_id)
        return self._order(_answer(status, body, _One, "get_order_state").result, "result")

    def trades(self, wall_ns: int, order: WorkingOrder, since_ns: int, cursor: str = "") -> RestRequest | None:
        """All trades of the order; the venue wants its id."""
        if not order.order_id:
            return None
        return self._request("get_user_trades_by_order", wall_ns, order_id=order.order_id, sorting="asc")

    def parse_trades(self, status: int, body: bytes) -> TradePage:
        """The trades, oldest first."""
        said = _answer(status, body, _Trades, "get_user_trades_by_order").result
        return TradePage(tuple(self._trade(t, f"result[{n}]") for n, t in enumerate(said)))

    def balances(self, wall_ns: int) -> RestRequest | None:
        """The account in each currency."""
        return self._request("get_account_summaries", wall_ns)

    def parse_balances(self, status: int, body: bytes) -> tuple[VenueBalance, ...]:
        """Equity is the total; what may be spent are the available funds, margin being held of the rest."""
        said = _answer(status, body, _Accounts, "get_account_summaries").result.summaries
        return tuple(_balance(s, f"result.summaries[{n}]") for n, s in enumerate(said))

    def positions(self, wall_ns: int) -> RestRequest | None:
        """Every position of the account."""
        return self._request("get_positions", wall_ns, currency="any")

    def parse_positions(self, status: int, body: bytes) -> tuple[VenuePosition, ...]:
        """In contracts: the venue tells units, so the instrument must be configured with its contract_value."""
        said = _answer(status, body, _Positions, "get_positions").result
        return tuple(
            VenuePosition(
                symbol=p.instrument_name,
                qty=signed(self._contracts(p.size, None, p.instrument_name, f"result[{n}].size"), f"result[{n}].size"),
            )
            for n, p in enumerate(said)
            if p.size
        )

    def cancel_all(self, wall_ns: int, instruments: Iterable[Instrument]) -> list[RestRequest]:
        """One request for every order of the sub-account."""
        return [self._request("cancel_all", wall_ns)]

    def parse_cancel_all(self, status: int, body: bytes) -> int | None:
        """Number of orders cancelled."""
        count = _answer(status, body, _Count, "cancel_all").result
        if count < 0:
            raise VenueError(f"cancel_all: result: {count} is not a number of orders")
        return count

    def cancel_order(self, wall_ns: int, instrument: Instrument, order_id: str, cl_ord_id: str) -> RestRequest | None:
        """One order by the venue's id, else by its label where that is the ClOrdID."""
        if order_id:
            return self._request("cancel", wall_ns, order_id=order_id)
        return self._request("cancel_by_label", wall_ns, label=cl_ord_id) if self._labelled else None

    def parse_cancel_order(self, status: int, body: bytes) -> CancelAnswer:
        """The order, the number of orders with that label, or an error code."""
        try:
            failure = decode(body, _Failure, "cancel").error
            if failure is not None:
                known = CancelOutcome.UNKNOWN if status >= 500 else CancelOutcome.REFUSED
                return CancelAnswer(_CANCELS.get(failure.code, known), failure.message or str(failure.code))
            done = _answer(status, body, _Done, "cancel").result
        except VenueError as e:
            return CancelAnswer(CancelOutcome.UNKNOWN, str(e))
        if isinstance(done, int):
            return CancelAnswer(CancelOutcome.CANCELLED if done > 0 else CancelOutcome.NOT_FOUND, f"{done} orders")
        return CancelAnswer(CancelOutcome.CANCELLED, done.order_state)

    def cancel_after(self, wall_ns: int, seconds: int) -> RestRequest | None:
        """There is no such timer over HTTP."""
        return None

    def parse_cancel_after(self, status: int, body: bytes) -> None:
        """Never called: there is no timer."""
        raise VenueError("deribit has no cancel-all-after timer over HTTP")

    def _request(self, call: str, wall_ns: int, **query: str) -> RestRequest:
        target = f"{_PATH}{call}?{urlencode(query)}" if query else f"{_PATH}{call}"
        nonce = self._random_hex(8)
        signed_as = rest_authorization(self._key, self._secret, wall_ns // 1_000_000, nonce, "GET", target)
        return RestRequest("GET", target, (("Authorization", signed_as),))

    def _contracts(self, amount: Decimal, told: Decimal | None, symbol: str, path: str) -> Decimal:
        if told is not None:
            return told
        size = self._sizes.get(symbol)
        if size is None:
            raise VenueError(f"{path}: units of {symbol}, whose contract_value is not configured")
        return amount / size

    def _order(self, order: _Order, path: str) -> OpenOrder:
        qty = self._contracts(order.amount, order.contracts, order.instrument_name, f"{path}.amount")
        filled = Decimal(plain(order.filled_amount, f"{path}.filled_amount"))
        if not Decimal(plain(order.amount, f"{path}.amount")):
            raise VenueError(f"{path}.amount: an order of nothing")
        status = _STATES.get(order.order_state)
        if status is None:
            raise VenueError(f"{path}.order_state: {order.order_state!r} is not one of {sorted(_STATES)}")
        return OpenOrder(
            order_id=order.order_id,
            cl_ord_id=order.label if self._labelled else "",
            symbol=order.instrument_name,
            side=_side(order.direction, path),
            order_qty=plain(qty, f"{path}.contracts"),
            cum_qty=plain((filled * qty / order.amount).normalize() + 0, f"{path}.filled_amount"),
            price=_price(order.price, f"{path}.price"),
            status="1" if status == "0" and filled else status,
            transact_ns=_time_ns(order.last_update_timestamp or order.creation_timestamp, f"{path}.creation_timestamp"),
        )

    def _labelled_order(self, orders: list[_Order], cl_ord_id: str) -> OpenOrder | None:
        if not self._labelled:
            raise VenueError("get_order_state_by_label: labels are not ClOrdIDs as configured (option label)")
        found = [self._order(o, f"result[{n}]") for n, o in enumerate(orders) if cl_ord_id in ("", o.label)]
        return min(found, key=lambda o: o.status not in "01", default=None)

    def _trade(self, trade: _Trade, path: str) -> VenueTrade:
        qty = self._contracts(trade.amount, trade.contracts, trade.instrument_name, f"{path}.amount")
        return VenueTrade(
            trade_id=trade.trade_id,
            order_id=trade.order_id,
            cl_ord_id=trade.label if self._labelled else "",
            symbol=trade.instrument_name,
            side=_side(trade.direction, path),
            px=plain(trade.price, f"{path}.price"),
            qty=plain(qty, f"{path}.contracts"),
            fees=((trade.fee_currency, signed(trade.fee, f"{path}.fee")),) if trade.fee_currency else (),
            liquidity=trade.liquidity if trade.liquidity in ("M", "T") else "",
            transact_ns=_time_ns(trade.timestamp, f"{path}.timestamp"),
        )


def _answer(status: int, body: bytes, kind: type[T], what: str) -> T:
    """The result; VenueError with the venue's own code and words, whatever the HTTP status."""
    failure = decode(body, _Failure, what).error
    if failure is not None:
        raise VenueError(f"{what}: {failure.code} {failure.message}".rstrip())
    if status != 200:
        raise VenueError(f"{what}: HTTP status {status}")
    return decode(body, kind, what)


def _is_list(body: bytes) -> bool:
    return bytes(decode(body, _Raw, "result").result).lstrip().startswith(b"[")


class _Raw(msgspec.Struct):
    result: msgspec.Raw


def _currency(symbol: str) -> str:
    """The currency by which the venue files an instrument: what it is settled in."""
    return symbol.partition("-")[0].rpartition("_")[2]


def _side(text: str, path: str) -> str:
    if text not in _SIDES:
        raise VenueError(f"{path}.direction: {text!r} is neither buy nor sell")
    return _SIDES[text]


def _price(raw: msgspec.Raw, path: str) -> str:
    """Decimal text; "" for a market order, whose price is a word."""
    if bytes(raw).strip().startswith(b'"'):
        return ""
    return plain(decode(bytes(raw), Decimal, path), path)


def _time_ns(ms: int, path: str) -> int:
    if not 0 <= ms < 10**15:
        raise VenueError(f"{path}: {ms} is not a time in milliseconds")
    return ms * 1_000_000


def _balance(said: _Summary, path: str) -> VenueBalance:
    available = signed(said.available_funds, f"{path}.available_funds")
    total = Decimal(signed(said.equity, f"{path}.equity"))
    return VenueBalance(
        currency=said.currency,
        total=f"{total:f}",
        available=available,
        held=signed(total - said.available_funds, f"{path}.equity"),
        buying_power=available,
    )
