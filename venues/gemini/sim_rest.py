"""REST of the simulated Gemini: lists, one order with its fills, balances, cancels. Every call is verified.

A POST with an empty body; the payload is JSON in base64 in a header, signed with HMAC-SHA384. Option `nonce`: "rising"
(each key's must be greater than the one before) or "time" (seconds, within 30 s of the clock).
"""

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

from base.http import Request, Response
from sim.accounts import plain
from sim.fields import json_response
from sim.gateway import SECOND_NS
from sim.orders import BUY, Fill, Order
from sim.setup import RestKey
from venues.gemini import sim_orders

if TYPE_CHECKING:
    from venues.gemini.sim import GeminiSim

WINDOW_S = 30
TYPES = {True: "exchange market", False: "exchange limit"}
OPTION = {"3": ["immediate-or-cancel"], "4": ["fill-or-kill"]}


class RestError(Exception):
    """An answer other than 200, with its `reason`."""

    def __init__(self, status: int, reason: str, text: str) -> None:
        super().__init__(text)
        self.status, self.reason = status, reason


class GeminiRest:
    """Answers requests of the keys' accounts."""

    def __init__(self, venue: "GeminiSim") -> None:
        self._venue = venue
        self._exchange = venue.exchange
        self._by_time = venue.setup.text("nonce", "rising", ("rising", "time")) == "time"
        self._most = venue.setup.number("rest_a_minute", 600)
        self._nonces: dict[str, int] = {}
        self._minutes: dict[str, tuple[int, int]] = {}
        self._calls = {
            "/v1/orders": self._orders, "/v1/order/status": self._status, "/v1/balances": self._balances,
            "/v1/order/cancel": self._cancel, "/v1/order/cancel/all": self._cancel_all,
        }  # fmt: skip

    def answer(self, request: Request) -> Response:
        """The answer to a request."""
        try:
            call = self._calls.get(request.path)
            if call is None or request.method != "POST":
                raise RestError(404, "EndpointNotFound", "API entry point not found")
            key, payload = self._payload(request)
            self._count(key.key)
            return json_response(call(key.account, payload))
        except RestError as failure:
            said = {"result": "error", "reason": failure.reason, "message": str(failure)}
            return json_response(said, failure.status)

    def _payload(self, request: Request) -> tuple[RestKey, dict[str, Any]]:
        said = request.header("X-GEMINI-PAYLOAD")
        key = self._key(request, said)
        try:
            payload = json.loads(base64.b64decode(said, validate=True))
        except ValueError:
            raise RestError(400, "InvalidJson", "the payload is not JSON in base64") from None
        if not isinstance(payload, dict) or payload.get("request") != request.path:
            raise RestError(400, "EndpointMismatch", "request is not the path")
        self._check_nonce(key.key, payload.get("nonce"))
        return key, payload

    def _key(self, request: Request, payload: str) -> RestKey:
        if self._venue.setup.any_logon:
            return RestKey()
        keys = self._venue.setup.rest_keys
        key = next((k for k in keys if k.key and k.key == request.header("X-GEMINI-APIKEY")), None)
        if key is None:
            raise RestError(400, "InvalidSignature", "unknown API key")
        wanted = hmac.new(key.secret.encode(), payload.encode(), hashlib.sha384).hexdigest()
        if request.body or not hmac.compare_digest(wanted, request.header("X-GEMINI-SIGNATURE")):
            raise RestError(400, "InvalidSignature", "the signature is not the payload's")
        return key

    def _check_nonce(self, key: str, nonce: Any) -> None:
        if isinstance(nonce, bool) or not isinstance(nonce, int):
            raise RestError(400, "MissingNonce", "nonce is not a whole number")
        if self._by_time:
            wrong = abs(nonce - self._venue.clock.wall_ns() // SECOND_NS) > WINDOW_S
        else:
            wrong = nonce <= self._nonces.get(key, 0)
            self._nonces[key] = max(nonce, self._nonces.get(key, 0))
        if wrong:
            raise RestError(400, "InvalidNonce", f"nonce {nonce} does not rise, or is not now")

    def _count(self, key: str) -> None:
        minute = self._venue.clock.mono_ns() // (60 * SECOND_NS)
        at, calls = self._minutes.get(key, (minute, 0))
        calls = calls + 1 if at == minute else 1
        self._minutes[key] = minute, calls
        if self._most and calls > self._most:
            raise RestError(429, "RateLimit", "Requests were made too frequently")

    def _orders(self, account: str, payload: dict[str, Any]) -> Any:
        at_ns = self._venue.list_time_ns()
        return [self._describe(o, self._exchange.cum_as_of(o, at_ns), live=True) for o in
                self._exchange.as_of(account, at_ns)]  # fmt: skip

    def _named(self, account: str, payload: dict[str, Any]) -> Order:
        """By order_id or client_order_id, never both."""
        order_id, own = payload.get("order_id"), payload.get("client_order_id")
        if (order_id is None) == (own is None):
            raise RestError(400, "MissingOrderField", "one of order_id and client_order_id")
        order = self._exchange.orders.get(str(order_id)) if own is None else self._exchange.find(account, str(own))
        if order is None or order.owner.account != account:
            raise RestError(404, "OrderNotFound", f"Order {order_id or own} not found")
        return order

    def _status(self, account: str, payload: dict[str, Any]) -> Any:
        order, at_ns = self._named(account, payload), self._venue.list_time_ns()
        said = self._describe(order, order.cum, live=not order.done)
        if payload.get("include_trades"):
            said["trades"] = [self._trade(order, f) for f in self._exchange.fills_of(order, at_ns)]
        return said

    def _cancel(self, account: str, payload: dict[str, Any]) -> Any:
        order = self._named(account, {"order_id": payload.get("order_id")})
        if not order.done and self._venue.cancel_over_rest(order, "") is None:
            raise RestError(503, "Maintenance", "The Gemini Exchange is down for maintenance")
        return self._describe(order, order.cum, live=not order.done)

    def _cancel_all(self, account: str, payload: dict[str, Any]) -> Any:
        working = self._exchange.working(account=account)
        if self._venue.cancel_many(working, "", via="rest") is None:
            raise RestError(503, "Maintenance", "The Gemini Exchange is down for maintenance")
        details = {"cancelledOrders": [int(o.order_id) for o in working], "cancelRejects": []}
        return {"result": "ok", "details": details}

    def _balances(self, account: str, payload: dict[str, Any]) -> Any:
        return [
            {"type": "exchange", "currency": currency, "amount": plain(h.total), "available": plain(h.available),
             "availableForWithdrawal": plain(h.available)}
            for currency, h in self._venue.accounts.holdings(account).items()
        ]  # fmt: skip

    def _describe(self, o: Order, cum: int, *, live: bool) -> dict[str, Any]:
        i, ms = self._exchange.instruments[o.symbol], o.opened_ns // 1_000_000
        said: dict[str, Any] = {
            "order_id": o.order_id, "id": o.order_id, "symbol": o.symbol.lower(), "exchange": "gemini",
            "avg_execution_price": "0.00", "side": "buy" if o.side == BUY else "sell", "type": TYPES[o.price is None],
            "timestamp": str(ms // 1_000), "timestampms": ms, "is_live": live,
            "is_cancelled": not live and o.status in "4C", "is_hidden": False, "was_forced": False,
            "executed_amount": i.qty_text(cum), "client_order_id": o.cl_ord_id,
            "options": ["maker-or-cancel"] if o.post_only else OPTION.get(o.tif, []),
        }  # fmt: skip
        if not o.quote_qty:
            said |= {"original_amount": i.qty_text(o.qty), "remaining_amount": i.qty_text(max(o.qty - cum, 0))}
        if o.price is not None:
            said["price"] = i.px_text(o.price)
        if said["is_cancelled"]:
            said["reason"] = sim_orders.REASONS.get(o.ended, o.ended).title().replace("_", "")
        return said

    def _trade(self, o: Order, f: Fill) -> dict[str, Any]:
        i, ms = self._exchange.instruments[o.symbol], f.time_ns // 1_000_000
        return {
            "price": i.px_text(f.px), "amount": i.qty_text(f.qty), "timestamp": ms // 1_000, "timestampms": ms,
            "type": "Buy" if o.side == BUY else "Sell", "aggressor": f.aggressor, "exchange": "gemini",
            "fee_currency": sim_orders.quote_of(i), "fee_amount": f"{sim_orders.fee_of(f.px, f.qty, i):f}",
            "tid": int(self._venue.trade_id(o.order_id, f.trade_id)), "order_id": o.order_id,
        }  # fmt: skip
