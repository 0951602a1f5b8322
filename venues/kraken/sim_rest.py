"""REST of the simulated Kraken: what reconciliation and the kill path need, Spot and Derivatives (5.7).

Spot requests are verified (API-Key, API-Sign, rising nonce). The Futures signature is not in our pages: there the key
and the presence of Authent are checked, no more.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs
from uuid import NAMESPACE_OID, uuid5

from base.http import Request, Response
from sim import timetext
from sim.accounts import plain
from sim.dead_man import DeadManTimers
from sim.gateway import SECOND_NS
from sim.orders import BUY, Fill, Order
from sim.setup import RestKey
from sim.wire import number

if TYPE_CHECKING:
    from venues.kraken.sim import KrakenSim

CALLS = {"starter": (15, 0.33), "intermediate": (20, 0.5), "pro": (20, 1.0)}
STATUS = {"A": "pending", "0": "open", "1": "open", "2": "closed", "4": "canceled", "C": "expired"}
FUTURES_STATUS = {"A": "TRIGGER_PLACED", "0": "ENTERED_BOOK", "1": "ENTERED_BOOK", "2": "FULLY_EXECUTED"}
FUTURES_STATUS |= {"4": "CANCELLED", "C": "CANCELLED", "8": "REJECTED"}
LEGACY = {"BTC": "XXBT", "ETH": "XETH", "USD": "ZUSD", "EUR": "ZEUR"}
TYPES = {"1": "market", "2": "limit", "3": "stop-loss", "4": "stop-loss-limit", "R": "take-profit"}
TYPES |= {"T": "take-profit-limit", "U": "trailing-stop", "V": "trailing-stop-limit"}


class KrakenRest:
    """Answers requests; one nonce watermark per key."""

    def __init__(self, venue: "KrakenSim") -> None:
        self._venue = venue
        self._nonces: dict[str, int] = {}
        self._calls: dict[str, tuple[float, int]] = {}
        self.refused = 0  # for the rate
        self._dead_man = DeadManTimers(venue)

    def answer(self, request: Request) -> Response:
        """The answer to a request."""
        if request.path.startswith("/derivatives/api/v3/"):
            return self._futures(request)
        calls: dict[str, Callable[[str, dict[str, str]], Any]] = {
            "/0/private/OpenOrders": self._open_orders,
            "/0/private/QueryOrders": self._query_orders,
            "/0/private/ClosedOrders": self._closed_orders,
            "/0/private/TradesHistory": self._trades_history,
            "/0/private/BalanceEx": self._balance_ex,
            "/0/private/CancelAll": self._cancel_all,
            "/0/private/CancelAllOrdersAfter": self._cancel_after,
        }
        if request.path == "/0/public/Time":
            return _spot({"unixtime": self._venue.clock.wall_ns() // SECOND_NS})
        call = calls.get(request.path)
        if call is None or request.method != "POST":
            return _fail("EGeneral:Unknown method")
        parameters = {k: v[0] for k, v in parse_qs(request.body.decode("utf-8", "replace")).items()}
        key = self._key(request.header("API-Key"))
        problem = self._problem(request, key, parameters.get("nonce", ""))
        if problem or key is None:
            return _fail(problem)
        result = call(key.account, parameters)
        return _fail(result) if isinstance(result, str) else _spot(result)

    def _key(self, key: str) -> RestKey | None:
        if self._venue.setup.any_logon:
            return RestKey(key=key)
        return next((k for k in self._venue.setup.rest_keys if k.key == key and key), None)

    def _problem(self, request: Request, key: RestKey | None, nonce: str) -> str:
        if key is None:
            return "EAPI:Invalid key"
        if self._venue.setup.any_logon:
            return ""
        inner = hashlib.sha256(nonce.encode() + request.body).digest()
        mac = hmac.new(base64.b64decode(key.secret), request.path.encode() + inner, hashlib.sha512).digest()
        if not hmac.compare_digest(base64.b64encode(mac).decode(), request.header("API-Sign")):
            return "EAPI:Invalid signature"
        if number(nonce, 0) <= self._nonces.get(key.key, 0):
            return "EAPI:Invalid nonce"
        self._nonces[key.key] = number(nonce, 0)
        return "" if self._within_calls(key.key, request.path) else "EAPI:Rate limit exceeded"

    def _within_calls(self, key: str, path: str) -> bool:
        """The call counter of a key, by the account's tier."""
        most, fall = CALLS.get(self._venue.setup.text("tier", "none"), (0, 0.0))
        now = self._venue.clock.wall_ns()
        level, at = self._calls.get(key, (0.0, now))
        level = max(0.0, level - (now - at) / SECOND_NS * fall) + (2 if "History" in path or "Ledgers" in path else 1)
        self._calls[key] = level, now
        self.refused += bool(most and level > most)
        return not most or level <= most

    # -- spot -----------------------------------------------------------------------------------------------------

    def _open_orders(self, account: str, parameters: dict[str, str]) -> dict[str, Any]:
        wanted = parameters.get("cl_ord_id", "")
        at_ns, exchange = self._venue.list_time_ns(), self._venue.exchange
        orders = [o for o in exchange.as_of(account, at_ns) if "/" in o.symbol]
        found = {o.order_id: self._describe(o, "open", exchange.cum_as_of(o, at_ns)) for o in orders}
        return {"open": {k: v for k, v in found.items() if not wanted or v["cl_ord_id"] == wanted}}

    def _query_orders(self, account: str, parameters: dict[str, str]) -> dict[str, Any] | str:
        result = {}
        for order_id in parameters.get("txid", "").split(","):
            order = self._venue.exchange.orders.get(order_id)
            if order is None or order.owner.account != account:
                return "EOrder:Unknown order"
            result[order_id] = self._describe(order, STATUS[order.status])
        return result

    def _closed_orders(self, account: str, parameters: dict[str, str]) -> dict[str, Any]:
        wanted = parameters.get("cl_ord_id", "")
        orders = [o for o in self._venue.exchange.orders.values() if o.owner.account == account and o.closed_ns]
        found = {o.order_id: self._describe(o, STATUS[o.status]) for o in orders if "/" in o.symbol}
        found = {k: v for k, v in found.items() if not wanted or v["cl_ord_id"] == wanted}
        return {"closed": found, "count": len(found)}

    def _describe(self, o: Order, status: str, cum: int | None = None) -> dict[str, Any]:
        i = self._venue.exchange.instruments[o.symbol]
        price = i.px_text(o.price) if o.price is not None else "0"
        stop = i.px_text(o.trigger.px) if o.trigger else "0"
        pair = o.symbol.replace("/", "").replace("BTC", "XBT")
        cost = i.px_text(o.notional // 10**i.qty_scale)
        return {
            "refid": None,
            "cl_ord_id": o.cl_ord_id,
            "status": status,
            "opentm": o.opened_ns / SECOND_NS,
            "closetm": o.closed_ns / SECOND_NS,
            "expiretm": o.expire_ns / SECOND_NS,
            "descr": {
                "pair": pair,
                "type": "buy" if o.side == BUY else "sell",
                "ordertype": TYPES.get(o.wire.get(40, "2"), "limit"),
                "price": stop if o.trigger else price,
                "price2": price if o.trigger else "0",
            },
            "vol": i.qty_text(o.qty),
            "vol_exec": i.qty_text(o.cum if cum is None else cum),
            "cost": cost,
            "price": i.px_text(o.notional // o.cum) if o.cum else "0",
            "stopprice": stop,
            "misc": "",
            "oflags": "",
        }

    def _trades_history(self, account: str, parameters: dict[str, str]) -> dict[str, Any]:
        """The newest 50 between `start` (not included) and `end`, each a time or a trade's id."""
        trades = self._trades(account, spot=True)
        ids = [txid for txid, _ in trades]
        start, end = parameters.get("start", ""), parameters.get("end", "")
        if end in ids:
            trades = trades[: ids.index(end) + 1]
        elif end:
            trades = [t for t in trades if t[1].time_ns <= float(end) * SECOND_NS]
        if start:
            trades = [t for t in trades if t[1].time_ns > float(start) * SECOND_NS]
        page = list(reversed(trades))[number(parameters.get("ofs", ""), 0) :][:50]
        return {"trades": {txid: self._trade(f) for txid, f in page}, "count": len(trades)}

    def _trades(self, account: str, *, spot: bool) -> list[tuple[str, Fill]]:
        """(id, fill) of the account's trades that the venue's history knows by now, oldest first."""
        exchange, at_ns = self._venue.exchange, self._venue.list_time_ns()
        return [
            (trade_txid(f), f)
            for f in exchange.executions
            if f.time_ns <= at_ns
            and exchange.orders[f.order_id].owner.account == account
            and ("/" in exchange.orders[f.order_id].symbol) == spot
        ]

    def _trade(self, f: Fill) -> dict[str, Any]:
        o = self._venue.exchange.orders[f.order_id]
        i = self._venue.exchange.instruments[o.symbol]
        base, _, quote = o.symbol.replace("BTC", "XBT").partition("/")
        return {
            "ordertxid": o.order_id,
            "pair": f"X{base}Z{quote}",
            "time": f.time_ns / SECOND_NS,
            "type": "buy" if o.side == BUY else "sell",
            "ordertype": TYPES.get(o.wire.get(40, "2"), "limit"),
            "price": i.px_text(f.px),
            "fee": format(self._venue.fee(o, f.px, f.qty), "f"),
            "vol": i.qty_text(f.qty),
            "margin": "0.00000",
            "misc": "",
            "trade_id": f.trade_id,
            "maker": not f.aggressor,
        }

    def _balance_ex(self, account: str, parameters: dict[str, str]) -> dict[str, Any]:
        holdings = self._venue.accounts.holdings(account, lambda symbol: "/" in symbol)
        return {
            LEGACY.get(currency, currency): {"balance": plain(h.total), "hold_trade": plain(h.held)}
            for currency, h in holdings.items()
        }

    def _cancel_all(self, account: str, parameters: dict[str, str]) -> dict[str, Any] | str:
        orders = [o for o in self._venue.exchange.working(account=account) if "/" in o.symbol]
        maintenance = self._venue.trading_status == "1"
        count = None if maintenance else self._venue.cancel_many(orders, "", via="rest")
        return "EService:Unavailable" if count is None else {"count": count}

    def _cancel_after(self, account: str, parameters: dict[str, str]) -> dict[str, Any] | str:
        seconds = number(parameters.get("timeout", ""), -1)
        if seconds < 0:
            return "EGeneral:Invalid arguments:timeout"
        self._dead_man.arm(account, seconds, "spot", lambda o: "/" in o.symbol)
        now = self._venue.clock.wall_ns()
        trigger = timetext.iso_nanos(now + seconds * SECOND_NS) if seconds else "0"
        return {"currentTime": timetext.iso_nanos(now), "triggerTime": trigger}

    # -- derivatives ----------------------------------------------------------------------------------------------

    def _futures(self, request: Request) -> Response:
        key = self._key(request.header("APIKey"))
        if key is None or not request.header("Authent"):
            return _json({"result": "error", "error": "authenticationError"})
        call = request.path.rpartition("/")[2]
        said = {k: v[0] for k, v in parse_qs(request.query or request.body.decode("utf-8", "replace")).items()}
        now = timetext.iso_nanos(self._venue.clock.wall_ns())
        ok = {"result": "success", "serverTime": now}
        if call == "openorders" and request.method == "GET":
            at_ns = self._venue.list_time_ns()
            orders = [o for o in self._venue.exchange.as_of(key.account, at_ns) if "/" not in o.symbol]
            return _json({**ok, "openOrders": [self._futures_order(o, at_ns) for o in orders]})
        if call == "fills" and request.method == "GET":
            return _json({**ok, "fills": self._futures_fills(key.account, said.get("lastFillTime", ""))})
        if call == "accounts" and request.method == "GET":
            return _json({**ok, "accounts": self._futures_accounts(key.account)})
        if request.path.endswith("/orders/status") and request.method == "POST":
            return _json({**ok, "orders": self._futures_status(key.account, said)})
        if call == "cancelallorders" and request.method == "POST":
            return self._futures_cancel(key.account, said.get("symbol", ""), ok)
        if call == "cancelallordersafter" and request.method == "POST":
            seconds = number(said.get("timeout", ""), 0)
            self._dead_man.arm(key.account, seconds, "derivatives", lambda o: "/" not in o.symbol)
            return _json({**ok, "status": {"currentTime": now}})
        return _json({"result": "error", "error": "notFound"}, 404)

    def _futures_fills(self, account: str, before: str) -> list[dict[str, Any]]:
        """The newest 100, or the newest 100 before that time, which has milliseconds."""
        fills = [f for _, f in self._trades(account, spot=False)]
        if before:
            fills = [f for f in fills if _iso_ms(f.time_ns) < before]
        return [self._futures_fill(f) for f in reversed(fills[-100:])]

    def _futures_fill(self, f: Fill) -> dict[str, Any]:
        o = self._venue.exchange.orders[f.order_id]
        i = self._venue.exchange.instruments[o.symbol]
        return {
            "fill_id": str(uuid5(NAMESPACE_OID, f"{f.order_id}/{f.trade_id}")),
            "symbol": o.symbol,
            "side": "buy" if o.side == BUY else "sell",
            "order_id": o.order_id,
            "cliOrdId": o.cl_ord_id,
            "size": float(i.qty_text(f.qty)),
            "price": float(i.px_text(f.px)),
            "fillTime": _iso_ms(f.time_ns),
            "fillType": "taker" if f.aggressor else "maker",
        }

    def _futures_accounts(self, account: str) -> dict[str, Any]:
        holdings = self._venue.accounts.holdings(account, lambda symbol: "/" not in symbol)
        currencies = {
            c: {"quantity": float(h.total), "value": float(h.total), "available": float(h.available)}
            for c, h in holdings.items()
        }
        margin = sum(h.available for h in holdings.values())
        flex = {"type": "multiCollateralMarginAccount", "currencies": currencies, "availableMargin": float(margin)}
        return {"cash": {"type": "cashAccount", "balances": {}}, "flex": flex}

    def _futures_cancel(self, account: str, symbol: str, ok: dict[str, Any]) -> Response:
        orders = [o for o in self._venue.exchange.working(account=account) if "/" not in o.symbol]
        targets = [o for o in orders if not symbol or o.symbol == symbol]
        maintenance = self._venue.trading_status == "1"
        count = None if maintenance else self._venue.cancel_many(targets, "", symbol, via="rest")
        if count is None:
            return _json({"result": "error", "error": "marketSuspended"})
        done = [{"order_id": o.order_id, "cliOrdId": o.cl_ord_id} for o in targets[:count]]
        status = "cancelled" if done else "noOrdersToCancel"
        return _json({**ok, "cancelStatus": {"status": status, "cancelledOrders": done}})

    def _futures_status(self, account: str, said: dict[str, str]) -> list[dict[str, Any]]:
        """Orders that are open, or ended in the last five seconds."""
        recent_ns = self._venue.clock.wall_ns() - 5 * SECOND_NS
        return [
            {"order": self._futures_single(o), "status": FUTURES_STATUS[o.status]}
            for o in self._venue.exchange.orders.values()
            if o.owner.account == account and "/" not in o.symbol and (not o.closed_ns or o.closed_ns > recent_ns)
            if o.order_id in said.get("orderIds", "").split(",") or o.cl_ord_id in said.get("cliOrdIds", "").split(",")
        ]

    def _futures_single(self, o: Order) -> dict[str, Any]:
        i = self._venue.exchange.instruments[o.symbol]
        return {
            "type": "TRIGGER_ORDER" if o.trigger else "ORDER",
            "orderId": o.order_id,
            "cliOrdId": o.cl_ord_id,
            "symbol": o.symbol,
            "side": "buy" if o.side == BUY else "sell",
            "quantity": float(i.qty_text(o.qty)),
            "filled": float(i.qty_text(o.cum)),
            "limitPrice": float(i.px_text(o.price)) if o.price is not None else None,
            "lastUpdateTimestamp": timetext.iso_nanos(o.closed_ns or o.opened_ns),
        }

    def _futures_order(self, o: Order, at_ns: int) -> dict[str, Any]:
        i = self._venue.exchange.instruments[o.symbol]
        cum = self._venue.exchange.cum_as_of(o, at_ns)
        return {
            "order_id": o.order_id,
            "cliOrdId": o.cl_ord_id,
            "symbol": o.symbol,
            "side": "buy" if o.side == BUY else "sell",
            "orderType": "lmt" if o.price is not None else "stop",
            "limitPrice": float(i.px_text(o.price)) if o.price is not None else None,
            "filledSize": float(i.qty_text(cum)),
            "unfilledSize": float(i.qty_text(max(o.qty - cum, 0))),
            "receivedTime": timetext.iso_nanos(o.opened_ns),
            "status": "partiallyFilled" if cum else "untouched",
        }


def trade_txid(f: Fill) -> str:
    """A trade's id on one side of it: the other side has another."""
    digits = hashlib.sha256(f"{f.order_id}/{f.trade_id}".encode()).hexdigest()[:17].upper()
    return f"T{digits[:5]}-{digits[5:10]}-{digits[10:16]}"


def _iso_ms(ns: int) -> str:
    text = timetext.iso_nanos(ns)
    return text[:23] + "Z"


def _spot(result: object) -> Response:
    return _json({"error": [], "result": result})


def _fail(error: str) -> Response:
    return _json({"error": [error]})


def _json(content: object, status: int = 200) -> Response:
    return Response(status, json.dumps(content).encode(), (("Content-Type", "application/json"),))
