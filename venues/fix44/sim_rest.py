"""The small REST list beside the plain FIX 4.4 venue (docs/venues/fix44.md): FIX itself has no list of open orders."""

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from base.http import Request, Response
from sim import timetext
from sim.accounts import plain
from sim.dead_man import DeadManTimers
from sim.fields import json_response as _json
from sim.orders import BUY, Fill, Order
from sim.wire import number

if TYPE_CHECKING:
    from venues.fix44.sim import PlainSim

PAGE = 100


class PlainRest:
    """GET /orders[?status=open&cursor=], GET and DELETE /orders/<ClOrdID or OrderID>, DELETE /orders, GET /fills,
    GET /balances, POST /cancel_after."""

    def __init__(self, venue: "PlainSim") -> None:
        self._venue = venue
        self._dead_man = DeadManTimers(venue)

    def answer(self, request: Request) -> Response:
        """The answer to a request."""
        account = self._account(request.header("Authorization"))
        if account is None:
            return _json({"error": "credentials are missing or wrong"}, 401)
        if request.path == "/orders" and request.method == "GET":
            return self._list(account, request.query)
        if request.path == "/orders" and request.method == "DELETE":
            count = self._venue.cancel_many(self._venue.exchange.working(account=account), "", via="rest")
            return _json({"error": self._venue.no_cancel_text}, 503) if count is None else _json({"cancelled": count})
        if request.path == "/cancel_after" and request.method == "POST":
            return self._cancel_after(account, request.body)
        if request.path == "/fills" and request.method == "GET":
            return self._fills(account, request.query)
        if request.path == "/balances" and request.method == "GET":
            return self._balances(account)
        if request.path.startswith("/orders/") and request.method in ("GET", "DELETE"):
            call = self._one if request.method == "GET" else self._cancel
            return call(account, unquote(request.path.removeprefix("/orders/")))
        return _json({"error": f"{request.method} {request.path}: no such call"}, 404)

    def _cancel_after(self, account: str, body: bytes) -> Response:
        try:
            seconds = json.loads(body)["seconds"]
        except (ValueError, KeyError, TypeError):
            seconds = -1
        if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < 0:
            return _json({"error": "seconds: a whole number, 0 to disable"}, 400)
        self._dead_man.arm(account, seconds)
        return _json({"seconds": seconds})

    def _account(self, header: str) -> str | None:
        scheme, _, text = header.partition(" ")
        try:
            key, _, secret = base64.b64decode(text, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        if self._venue.setup.any_logon:
            return "main"
        for known in self._venue.setup.rest_keys:
            if scheme == "Basic" and known.key and (known.key, known.secret) == (key, secret):
                return known.account
        return None

    def _list(self, account: str, query: str) -> Response:
        start = number(parse_qs(query).get("cursor", ["0"])[0], 0)
        at_ns = self._venue.list_time_ns()
        orders = list(self._venue.exchange.as_of(account, at_ns))
        page = orders[start : start + PAGE]
        following = str(start + PAGE) if start + PAGE < len(orders) else ""
        return _json({"orders": [self._describe(o, at_ns) for o in page], "next": following})

    def _fills(self, account: str, query: str) -> Response:
        said = parse_qs(query)
        start = number(said.get("cursor", ["0"])[0], 0)
        exchange = self._venue.exchange
        order = exchange.orders.get(said.get("order", [""])[0])
        if order is None or order.owner.account != account:
            return _json({"fills": [], "next": ""})
        fills = exchange.fills_of(order, self._venue.list_time_ns())
        page = [self._fill(order, f) for f in fills[start : start + PAGE]]
        return _json({"fills": page, "next": str(start + PAGE) if start + PAGE < len(fills) else ""})

    def _fill(self, o: Order, f: Fill) -> dict[str, Any]:
        i = self._venue.exchange.instruments[o.symbol]
        return {
            "trade_id": str(f.trade_id),
            "order_id": o.order_id,
            "cl_ord_id": o.cl_ord_id,
            "symbol": o.symbol,
            "side": "1" if o.side == BUY else "2",
            "last_qty": i.qty_text(f.qty),
            "last_px": i.px_text(f.px),
            "transact_time": timetext.date_time(f.time_ns),
            "liquidity": "T" if f.aggressor else "M",
            "fees": [],
        }

    def _balances(self, account: str) -> Response:
        holdings = self._venue.accounts.holdings(account)
        lines = [
            {"currency": c, "total": plain(h.total), "available": plain(h.available), "held": plain(h.held)}
            for c, h in holdings.items()
        ]
        return _json({"balances": lines})

    def _named(self, account: str, name: str) -> Order | None:
        order = self._venue.exchange.orders.get(name) or self._venue.exchange.find(account, name)
        return order if order is not None and order.owner.account == account else None

    def _one(self, account: str, name: str) -> Response:
        order = self._named(account, name)
        return _json({"error": "unknown order"}, 404) if order is None else _json(self._describe(order))

    def _cancel(self, account: str, name: str) -> Response:
        order = self._named(account, name)
        if order is None:
            return _json({"error": "unknown order"}, 404)
        done = self._venue.cancel_over_rest(order, "")
        return _json({"error": self._venue.no_cancel_text}, 503) if done is None else _json({"cancelled": int(done)})

    def _describe(self, o: Order, at_ns: int | None = None) -> dict[str, Any]:
        i = self._venue.exchange.instruments[o.symbol]
        cum = o.cum if at_ns is None else self._venue.exchange.cum_as_of(o, at_ns)
        return {
            "order_id": o.order_id,
            "cl_ord_id": o.cl_ord_id,
            "symbol": o.symbol,
            "side": "1" if o.side == BUY else "2",
            "order_qty": i.qty_text(o.qty),
            "cum_qty": i.qty_text(cum),
            "price": i.px_text(o.price) if o.price is not None else "",
            "ord_status": ("1" if cum else "0")
            if at_ns is not None
            else "4"
            if o.status == "C" and not o.expire_ns
            else o.status,
            "transact_time": timetext.date_time(o.closed_ns or o.opened_ns),
        }
