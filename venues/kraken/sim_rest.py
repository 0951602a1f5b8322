"""REST of the simulated Kraken: what reconciliation and the kill path need on Spot (5.7).

Requests are verified (API-Key, API-Sign, rising nonce). Derivatives are in `sim_rest_derivatives.py`.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from base.http import Request, Response
from sim import timetext
from sim.accounts import plain
from sim.dead_man import DeadManTimers
from sim.fields import BusinessError
from sim.gateway import SECOND_NS
from sim.orders import BUY, Fill, Order
from sim.setup import RestKey
from sim.wire import number
from venues.kraken.sim_rest_derivatives import DerivativesRest
from venues.kraken.sim_rest_parts import json_answer, key_of, trades_of

if TYPE_CHECKING:
    from venues.kraken.sim import KrakenSim

CALLS = {"starter": (15, 0.33), "intermediate": (20, 0.5), "pro": (20, 1.0)}
STATUS = {"A": "pending", "0": "open", "1": "open", "2": "closed", "4": "canceled", "C": "expired"}
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
        self._derivatives = DerivativesRest(venue, self._dead_man)

    def answer(self, request: Request) -> Response:
        """The answer to a request."""
        if request.path.startswith("/derivatives/api/v3/"):
            return self._derivatives.answer(request)
        calls: dict[str, Callable[[str, dict[str, str]], Any]] = {
            "/0/private/OpenOrders": self._open_orders,
            "/0/private/QueryOrders": self._query_orders,
            "/0/private/ClosedOrders": self._closed_orders,
            "/0/private/TradesHistory": self._trades_history,
            "/0/private/BalanceEx": self._balance_ex,
            "/0/private/CancelAll": self._cancel_all,
            "/0/private/CancelOrder": self._cancel_order,
            "/0/private/CancelAllOrdersAfter": self._cancel_after,
        }
        if request.path == "/0/public/Time":
            return _spot({"unixtime": self._venue.clock.wall_ns() // SECOND_NS})
        call = calls.get(request.path)
        if call is None or request.method != "POST":
            return _fail("EGeneral:Unknown method")
        parameters = {k: v[0] for k, v in parse_qs(request.body.decode("utf-8", "replace")).items()}
        key = key_of(self._venue, request.header("API-Key"))
        problem = self._problem(request, key, parameters.get("nonce", ""))
        if problem or key is None:
            return _fail(problem)
        result = call(key.account, parameters)
        return _fail(result) if isinstance(result, str) else _spot(result)

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
        """The call counter of a key, by the account's tier; single cancels are counted by the engine alone."""
        if path.endswith("/CancelOrder"):
            return True
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
        trades = trades_of(self._venue, account, spot=True)
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

    def _cancel_order(self, account: str, parameters: dict[str, str]) -> dict[str, Any] | str:
        """By OrderID (txid) or ClOrdID, of whatever session; an order that is over is unknown."""
        v, name = self._venue, parameters.get("txid", "")
        order = v.exchange.orders.get(name) if name else v.exchange.find(account, parameters.get("cl_ord_id", ""))
        if order is None or order.owner.account != account or "/" not in order.symbol or order.done:
            return "EOrder:Unknown order"
        if v.trading_status == "1":
            return "EService:Unavailable"
        try:
            v.charge_cancel(account, order)
        except BusinessError as error:
            return str(error)
        done = v.cancel_over_rest(order, f"rest{v.next_id()}")
        return v.no_cancel_text if done is None else {"count": 1} if done else "EOrder:Unknown order"

    def _cancel_after(self, account: str, parameters: dict[str, str]) -> dict[str, Any] | str:
        seconds = number(parameters.get("timeout", ""), -1)
        if seconds < 0:
            return "EGeneral:Invalid arguments:timeout"
        self._dead_man.arm(account, seconds, "spot", lambda o: "/" in o.symbol)
        now = self._venue.clock.wall_ns()
        trigger = timetext.iso_nanos(now + seconds * SECOND_NS) if seconds else "0"
        return {"currentTime": timetext.iso_nanos(now), "triggerTime": trigger}


def _spot(result: object) -> Response:
    return json_answer({"error": [], "result": result})


def _fail(error: str) -> Response:
    return json_answer({"error": [error]})
