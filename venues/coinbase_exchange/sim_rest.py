"""REST of the simulated Coinbase Exchange: orders, fills, accounts, cancel all; every request is verified.

Lists are paged (1000 at most) with cursors in headers. With the option `forgets_cancelled` an order that was cancelled
without a fill is not found any more, as the venue's documentation warns.
"""

import base64
import binascii
import hashlib
import hmac
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from base.http import Request, Response
from sim import timetext
from sim.accounts import plain
from sim.fields import json_response
from sim.gateway import SECOND_NS
from sim.orders import BUY, Fill, Order
from sim.wire import number

if TYPE_CHECKING:
    from venues.coinbase_exchange.sim import CoinbaseSim

PAGE = 1_000
WINDOW_S = 30
KINDS = {"1": "market", "2": "limit", "4": "stop", "O": "limit"}
TIFS = {"1": "GTC", "3": "IOC", "4": "FOK", "6": "GTT"}


class CoinbaseRest:
    """Answers requests of the API keys' profiles."""

    def __init__(self, venue: "CoinbaseSim") -> None:
        self._venue = venue
        self._forgets = venue.setup.flag("forgets_cancelled", False)
        self._burst = venue.setup.number("rest_burst", 0)
        self._tokens: dict[str, tuple[float, int]] = {}
        self.refused = 0

    def answer(self, request: Request) -> Response:
        """The answer to a request."""
        account = self._account(request)
        if account is None:
            return _fail(401, "invalid signature")
        if self._too_many(account):
            return _fail(429, "Too Many Requests")
        said = parse_qs(request.query)
        if request.method == "DELETE" and request.path == "/orders":
            return self._cancel_all(account, said)
        if request.method == "DELETE" and request.path.startswith("/orders/"):
            return self._cancel(account, unquote(request.path.removeprefix("/orders/")))
        if request.method != "GET":
            return _fail(404, "NotFound")
        if request.path == "/orders":
            return self._orders(account, said)
        if request.path == "/fills":
            return self._fills(account, said)
        if request.path == "/accounts":
            return json_response(self._accounts(account))
        if request.path.startswith("/orders/"):
            return self._one(account, unquote(request.path.removeprefix("/orders/")))
        return _fail(404, "NotFound")

    def _account(self, request: Request) -> str | None:
        if self._venue.setup.any_logon:
            return "main"
        key = next((k for k in self._venue.setup.rest_keys if k.key and k.key == request.header("CB-ACCESS-KEY")), None)
        stamp = request.header("CB-ACCESS-TIMESTAMP")
        if key is None or key.passphrase != request.header("CB-ACCESS-PASSPHRASE"):
            return None
        if abs(number(stamp, 0) - self._venue.clock.wall_ns() // SECOND_NS) > WINDOW_S:
            return None
        target = f"{request.path}?{request.query}" if request.query else request.path
        try:
            secret = base64.b64decode(key.secret, validate=True)
        except binascii.Error:
            return None
        text = stamp.encode() + request.method.encode() + target.encode() + request.body
        wanted = base64.b64encode(hmac.new(secret, text, hashlib.sha256).digest()).decode()
        return key.account if hmac.compare_digest(wanted, request.header("CB-ACCESS-SIGN")) else None

    def _too_many(self, account: str) -> bool:
        """A token bucket that is filled lazily, half of its burst a second."""
        if not self._burst:
            return False
        now = self._venue.clock.mono_ns()
        level, at = self._tokens.get(account, (float(self._burst), now))
        level = min(self._burst, level + (now - at) / SECOND_NS * self._burst / 2) - 1
        self._tokens[account] = max(level, 0.0), now
        self.refused += level < 0
        return level < 0

    def _orders(self, account: str, said: dict[str, list[str]]) -> Response:
        at_ns, exchange = self._venue.list_time_ns(), self._venue.exchange
        orders = sorted(exchange.as_of(account, at_ns), key=lambda o: o.opened_ns, reverse=True)
        symbol, until = said.get("product_id", [""])[0], said.get("end_date", [""])[0]
        if symbol:
            orders = [o for o in orders if o.symbol == symbol]
        if until:
            orders = [o for o in orders if o.opened_ns <= datetime.fromisoformat(until).timestamp() * SECOND_NS]
        page = orders[: min(number(said.get("limit", [str(PAGE)])[0], PAGE), PAGE)]
        return json_response([self._describe(o, exchange.cum_as_of(o, at_ns), live=True) for o in page])

    def _named(self, account: str, name: str) -> Order | None:
        """An order of the profile by the venue's id, or as client:ClOrdID."""
        exchange = self._venue.exchange
        own = name.startswith("client:")
        order = exchange.find(account, name.removeprefix("client:")) if own else exchange.orders.get(name)
        return order if order is not None and order.owner.account == account else None

    def _cancel(self, account: str, name: str) -> Response:
        order = self._named(account, name)
        if order is None:
            return _fail(404, "order not found")
        done = self._venue.cancel_over_rest(order, "")
        if not done:
            return _fail(503, self._venue.no_cancel_text) if done is None else _fail(400, "Order already done")
        return json_response(name.removeprefix("client:"))

    def _one(self, account: str, name: str) -> Response:
        order = self._named(account, name)
        if order is None:
            return _fail(404, "NotFound")
        if self._forgets and order.done and not order.cum:
            return _fail(404, "NotFound")
        return json_response(self._describe(order, order.cum, live=not order.done))

    def _describe(self, o: Order, cum: int, *, live: bool) -> dict[str, Any]:
        i = self._venue.exchange.instruments[o.symbol]
        found = {
            "id": o.order_id,
            "product_id": o.symbol,
            "side": "buy" if o.side == BUY else "sell",
            "type": KINDS[o.wire.get(40, "2")],
            "time_in_force": TIFS[o.tif],
            "post_only": o.post_only,
            "size": i.qty_text(o.qty),
            "created_at": _iso(o.opened_ns),
            "fill_fees": "0",
            "filled_size": i.qty_text(cum),
            "executed_value": "0",
            "client_oid": o.cl_ord_id,
            "status": ("active" if o.trigger else "open") if live else "done",
            "settled": not live,
        }
        if o.price is not None:
            found["price"] = i.px_text(o.price)
        if not live:
            found |= {"done_at": _iso(o.closed_ns), "done_reason": "filled" if o.status == "2" else "canceled"}
        return found

    def _fills(self, account: str, said: dict[str, list[str]]) -> Response:
        exchange, at_ns = self._venue.exchange, self._venue.list_time_ns()
        order = exchange.orders.get(said.get("order_id", [""])[0])
        if order is None or order.owner.account != account:
            return json_response([])
        fills = sorted(exchange.fills_of(order, at_ns), key=lambda f: f.trade_id, reverse=True)
        after = number(said.get("after", [""])[0], 0)
        if after:
            fills = [f for f in fills if f.trade_id < after]
        return json_response(
            [self._fill(order, f) for f in fills[: min(number(said.get("limit", ["100"])[0], 100), PAGE)]]
        )

    def _fill(self, o: Order, f: Fill) -> dict[str, Any]:
        i = self._venue.exchange.instruments[o.symbol]
        return {
            "trade_id": f.trade_id,
            "product_id": o.symbol,
            "order_id": o.order_id,
            "price": i.px_text(f.px),
            "size": i.qty_text(f.qty),
            "side": "buy" if o.side == BUY else "sell",
            "liquidity": "T" if f.aggressor else "M",
            "fee": plain(self._venue.fee(o, f.px, f.qty)),
            "created_at": _iso(f.time_ns),
            "settled": True,
        }

    def _accounts(self, account: str) -> list[dict[str, Any]]:
        holdings = self._venue.accounts.holdings(account)
        return [
            {"currency": c, "balance": plain(h.total), "hold": plain(h.held), "available": plain(h.available)}
            for c, h in holdings.items()
        ]

    def _cancel_all(self, account: str, said: dict[str, list[str]]) -> Response:
        symbol = said.get("product_id", [""])[0]
        if symbol and symbol not in self._venue.exchange.markets:
            return _fail(404, "ProductNotFound")
        orders = self._venue.exchange.working(account=account, symbol=symbol)
        count = self._venue.cancel_many(orders, "", symbol, via="rest")
        if count is None:
            return _fail(503, self._venue.no_cancel_text)
        return json_response([o.order_id for o in orders[:count]])


def _iso(ns: int) -> str:
    return f"{timetext.iso_nanos(ns)[:26]}Z"


def _fail(status: int, message: str) -> Response:
    return json_response({"message": message}, status)
