"""Kraken Spot REST: open orders, one order, trades, balances, cancel all and one, the dead man's timer.

Each call is a POST with a rising nonce. The list of orders is not paged, that of trades is, newest first. Shapes follow
the venue's public API reference.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any
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
    VenueTrade,
    WorkingOrder,
)
from venues.json import answer, decode, plain, seconds_ns, signed
from venues.kraken.signing import spot_sign
from venues.rest_balances import BalancesOnly
from venues.signing import Nonce, secret_bytes

_ALIASES = {"BTC": "XBT", "DOGE": "XDG"}
"""FIX says BTC, the REST side's pair names say XBT."""
_SIDES = {"buy": "1", "sell": "2"}
_CLOSED = {"closed": "2", "canceled": "4", "expired": "C", "pending": "A"}
_LEGACY = {"XXBT": "BTC", "XBT": "BTC", "XXDG": "DOGE", "XDG": "DOGE"}
"""Assets that the REST side calls by a name of its own; others have X or Z before a name of three letters."""
_TRADES_A_PAGE = 50
_UNKNOWN = ("EOrder:Unknown order", "EOrder:Invalid order", "EQuery:Unknown order")
_TOO_MANY = ("EOrder:Rate limit exceeded", "EAPI:Rate limit exceeded", "EGeneral:Temporary lockout")
_NOBODY_KNOWS = ("EService:Timeout", "EService:Deadline elapsed", "EService:Busy", "EGeneral:Internal error")


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


class _Trade(msgspec.Struct):
    ordertxid: str
    pair: str
    type: str
    price: Decimal
    vol: Decimal
    time: Decimal
    fee: Decimal = Decimal(0)
    trade_id: int | None = None
    maker: bool | None = None


class _Trades(msgspec.Struct):
    trades: dict[str, _Trade]


class _Balance(msgspec.Struct):
    balance: Decimal
    hold_trade: Decimal = Decimal(0)
    credit: Decimal = Decimal(0)
    credit_used: Decimal = Decimal(0)


class _Count(msgspec.Struct):
    count: int | None = None


class _After(msgspec.Struct, rename={"at": "triggerTime"}):
    at: str | int


class _Answer(msgspec.Struct):
    error: list[str]
    result: msgspec.Raw = msgspec.Raw(b"null")


class SpotRest(BalancesOnly):
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

    def parse_order(self, status: int, body: bytes, cl_ord_id: str = "") -> OpenOrder | None:
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

    def trades(self, wall_ns: int, order: WorkingOrder, since_ns: int, cursor: str = "") -> RestRequest | None:
        """The account's trades since then, newest first; they name orders by OrderID. `cursor`: the last one had."""
        if not order.order_id:
            return None
        fields = {"start": str(since_ns // 1_000_000_000)} if since_ns else {}
        if cursor:
            fields["end"] = cursor
        return self._post("/0/private/TradesHistory", wall_ns, **fields)

    def parse_trades(self, status: int, body: bytes) -> TradePage:
        """The page; the next one begins with the oldest trade of a full one."""
        said = decode(_result(status, body, "TradesHistory"), _Trades, "TradesHistory.result")
        trades = said.trades
        cursor = min(trades, key=lambda t: trades[t].time) if len(trades) >= _TRADES_A_PAGE else ""
        return TradePage(tuple(self._trade(k, t, f"result.trades.{k}") for k, t in trades.items()), cursor, True)

    def balances(self, wall_ns: int) -> RestRequest | None:
        """What the account holds."""
        return self._post("/0/private/BalanceEx", wall_ns)

    def parse_balances(self, status: int, body: bytes) -> tuple[VenueBalance, ...]:
        """Balance and what orders hold of each asset; credit counts for what may be spent, not for what is owned."""
        said = decode(_result(status, body, "BalanceEx"), dict[str, _Balance], "BalanceEx.result")
        return tuple(_balance(asset, b, f"result.{asset}") for asset, b in said.items())

    def cancel_all(self, wall_ns: int, instruments: Iterable[Instrument]) -> list[RestRequest]:
        """One request cancels every Spot order of the account, whatever placed it."""
        return [self._post("/0/private/CancelAll", wall_ns)]

    def parse_cancel_all(self, status: int, body: bytes) -> int | None:
        """The count."""
        return decode(_result(status, body, "CancelAll"), _Count, "CancelAll.result").count

    def cancel_order(self, wall_ns: int, instrument: Instrument, order_id: str, cl_ord_id: str) -> RestRequest | None:
        """One order by its OrderID, else by its ClOrdID; of any logon, and of any other way in."""
        name = {"txid": order_id} if order_id else {"cl_ord_id": cl_ord_id}
        return self._post("/0/private/CancelOrder", wall_ns, **name)

    def parse_cancel_order(self, status: int, body: bytes) -> CancelAnswer:
        """A count of the orders cancelled, or the venue's errors; an order that is over is unknown to it, too."""
        try:
            said = answer(status, body, _Answer, "CancelOrder")
            if not said.error:
                count = decode(bytes(said.result), _Count, "CancelOrder.result").count
                return CancelAnswer(CancelOutcome.CANCELLED if count else CancelOutcome.UNKNOWN, f"a count of {count}")
        except VenueError as e:
            return CancelAnswer(CancelOutcome.UNKNOWN, str(e))
        text = ", ".join(said.error)
        for found, outcome in (
            (_TOO_MANY, CancelOutcome.RATE_LIMITED),
            (_NOBODY_KNOWS, CancelOutcome.UNKNOWN),
            (_UNKNOWN, CancelOutcome.NOT_FOUND),
        ):
            if any(e.startswith(found) for e in said.error):
                return CancelAnswer(outcome, text)
        return CancelAnswer(CancelOutcome.REFUSED, text)

    def cancel_after(self, wall_ns: int, seconds: int) -> RestRequest | None:
        """The dead man's switch; 0 disables it."""
        return self._post("/0/private/CancelAllOrdersAfter", wall_ns, timeout=str(seconds))

    def parse_cancel_after(self, status: int, body: bytes) -> None:
        """The time at which it fires is the venue's own: that it was taken is all that counts."""
        decode(_result(status, body, "CancelAllOrdersAfter"), _After, "CancelAllOrdersAfter.result")

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

    def _trade(self, txid: str, trade: _Trade, path: str) -> VenueTrade:
        side = _SIDES.get(trade.type)
        if side is None:
            raise VenueError(f"{path}.type: {trade.type!r} is neither buy nor sell")
        symbol = self._symbols.get(trade.pair, trade.pair)
        fee = signed(trade.fee, f"{path}.fee")
        return VenueTrade(
            # What FIX calls TradeID(1003); older trades lack it.
            trade_id=txid if trade.trade_id is None else str(trade.trade_id),
            order_id=trade.ordertxid,
            symbol=symbol,
            side=side,
            px=plain(trade.price, f"{path}.price"),
            qty=plain(trade.vol, f"{path}.vol"),
            fees=((symbol.partition("/")[2], fee),) if trade.fee else (),
            liquidity={True: "M", False: "T", None: ""}[trade.maker],
            transact_ns=seconds_ns(trade.time, f"{path}.time"),
        )


def _balance(asset: str, said: _Balance, path: str) -> VenueBalance:
    total, held = signed(said.balance, f"{path}.balance"), signed(said.hold_trade, f"{path}.hold_trade")
    for field, number in (("credit", said.credit), ("credit_used", said.credit_used)):
        signed(number, f"{path}.{field}")
    available = said.balance - said.hold_trade
    return VenueBalance(
        currency=_ticker(asset),
        total=total,
        available=signed(available, path),
        held=held,
        buying_power=signed(available + said.credit - said.credit_used, path),
    )


def _ticker(asset: str) -> str:
    """The common ticker; what earns or is staked (a letter behind a dot) keeps its mark."""
    name, dot, mark = asset.partition(".")
    if name in _LEGACY:
        name = _LEGACY[name]
    elif len(name) == 4 and name[0] in "XZ":
        name = name[1:]
    return name + dot + mark


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
    names = [b + sep + q for b in bases for q in quotes for sep in ("", "/")]
    # Trades go by the pair's old name, as XXBTZUSD.
    return names + [f"X{b}{kind}{q}" for b in bases for q in quotes for kind in "XZ"]
