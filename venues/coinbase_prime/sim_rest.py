"""REST of the simulated Coinbase Prime: what reconciliation and a single cancel need (coinbase-prime.md, 5.9)."""

import base64
import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from base.http import Request, Response
from sim import timetext
from sim.accounts import plain
from sim.fields import json_response
from sim.gateway import SECOND_NS
from sim.orders import BUY, Fill, Order
from sim.setup import RestKey
from sim.wire import number
from venues.coinbase_prime import sim_orders

if TYPE_CHECKING:
    from venues.coinbase_prime.sim import PrimeSim

_PATH = re.compile(r"/v1/portfolios/(?P<portfolio>[^/]+)/(?P<call>[a-z_]+)(?:/(?P<order>[^/]+)(?:/(?P<more>[a-z]+))?)?")
STATUS = {"A": "PENDING", "0": "OPEN", "1": "OPEN", "2": "FILLED", "4": "CANCELLED", "C": "EXPIRED", "8": "FAILED"}
TYPES = {"L": "LIMIT", "M": "MARKET", "T": "TWAP", "V": "VWAP", "SL": "STOP_LIMIT", "P": "PEG"}
MOST_OPEN = 5_000
CLOCK_S = 30  # how far X-CB-ACCESS-TIMESTAMP may be off is not documented


class RestError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class PrimeRest:
    """open_orders, orders, one order, its fills and its cancel, balances, buying_power."""

    def __init__(self, venue: "PrimeSim") -> None:
        self._venue = venue
        self._exchange = venue.exchange

    def answer(self, request: Request) -> Response:
        """The answer to a request."""
        try:
            return json_response(self._serve(request))
        except RestError as error:
            return json_response({"message": str(error)}, error.status)

    def _serve(self, request: Request) -> Any:
        key = self._key(request)
        found = _PATH.fullmatch(request.path)
        wanted = self._venue.portfolio_id
        if found is None or (wanted and found["portfolio"] != wanted):
            raise RestError(404, "no such portfolio or call")
        call, order_id, more = found["call"], found["order"] or "", found["more"] or ""
        query = {k: v[0] for k, v in parse_qs(request.query).items()}
        match (request.method, call, bool(order_id), more):
            case ("GET", "open_orders", False, ""):
                return self._open_orders(key.account)
            case ("GET", "orders", False, ""):
                return self._closed_orders(key.account, query)
            case ("GET", "orders", True, ""):
                return {"order": self._describe(self._order(key.account, order_id))}
            case ("GET", "orders", True, "fills"):
                return self._fills(self._order(key.account, order_id), query)
            case ("POST", "orders", True, "cancel"):
                return self._cancel(self._order(key.account, order_id))
            case ("GET", "balances", False, ""):
                return self._balances(key.account)
            case ("GET", "buying_power", False, ""):
                return self._buying_power(key.account, query)
            case _:
                raise RestError(404, "no such call")

    def _key(self, request: Request) -> RestKey:
        if self._venue.setup.any_logon:
            return RestKey()
        given = request.header("X-CB-ACCESS-KEY")
        key = next((k for k in self._venue.setup.rest_keys if k.key == given and given), None)
        if key is None or request.header("X-CB-ACCESS-PASSPHRASE") != key.passphrase:
            raise RestError(401, "invalid api key or passphrase")
        timestamp = request.header("X-CB-ACCESS-TIMESTAMP")
        if abs(number(timestamp, 0) - self._venue.clock.wall_ns() // SECOND_NS) > CLOCK_S:
            raise RestError(401, "request timestamp expired")
        text = f"{timestamp}{request.method}{request.path}".encode() + request.body
        mac = hmac.new(key.secret.encode(), text, hashlib.sha256).digest()
        if not hmac.compare_digest(base64.b64encode(mac).decode(), request.header("X-CB-ACCESS-SIGNATURE")):
            raise RestError(401, "invalid signature")
        return key

    def _order(self, account: str, order_id: str) -> Order:
        order = self._exchange.orders.get(order_id)
        if order is None or order.owner.account != account:
            raise RestError(404, "order not found")
        return order

    def _open_orders(self, account: str) -> Any:
        at_ns = self._venue.list_time_ns()
        orders = list(self._exchange.as_of(account, at_ns))
        if len(orders) > MOST_OPEN:
            raise RestError(400, f"more than {MOST_OPEN} open orders")
        return {"orders": [self._describe(o, at_ns) for o in orders], "pagination": _page("", False)}

    def _closed_orders(self, account: str, query: dict[str, str]) -> Any:
        """Orders that are over; open ones cannot be asked for here."""
        if "start_date" not in query:
            raise RestError(400, "start_date is required")
        side = {"BUY": BUY, "SELL": 1 - BUY}.get(query.get("order_side", ""))
        found = [
            o for o in self._exchange.orders.values()
            if o.owner.account == account and o.done and side in (None, o.side)
            and query.get("product_ids", o.symbol) == o.symbol
            and timetext.iso_nanos(o.opened_ns) >= query["start_date"]
        ]  # fmt: skip
        orders, page = _cut([self._describe(o) for o in found], query)
        return {"orders": orders, "pagination": page}

    def _fills(self, order: Order, query: dict[str, str]) -> Any:
        fills = self._exchange.fills_of(order, self._venue.list_time_ns())
        shown, page = _cut([self._fill(order, f) for f in fills], query)
        return {"fills": shown, "pagination": page}

    def _cancel(self, order: Order) -> Any:
        done = self._venue.cancel_over_rest(order, "")
        if not done:
            raise RestError(*((503, self._venue.no_cancel_text) if done is None else (400, "order is not open")))
        return {"id": order.order_id}

    def _balances(self, account: str) -> Any:
        holdings = self._venue.accounts.holdings(account)
        lines = [
            {"symbol": c, "amount": plain(h.total), "holds": plain(h.held), "withdrawable_amount": plain(h.available)}
            for c, h in holdings.items()
        ]
        return {"balances": lines, "type": "TRADING_BALANCES"}

    def _buying_power(self, account: str, query: dict[str, str]) -> Any:
        holdings = self._venue.accounts.holdings(account)
        base, quote = query.get("base_currency", ""), query.get("quote_currency", "")
        if base not in holdings or quote not in holdings:
            raise RestError(400, "base_currency and quote_currency are required")
        return {
            "buying_power": {
                "base_currency": base, "quote_currency": quote,
                "base_buying_power": plain(holdings[base].available),
                "quote_buying_power": plain(holdings[quote].available),
            }
        }  # fmt: skip

    def _describe(self, o: Order, at_ns: int | None = None) -> dict[str, Any]:
        i = self._exchange.instruments[o.symbol]
        cum = o.cum if at_ns is None else self._exchange.cum_as_of(o, at_ns)
        return {
            "id": o.order_id,
            "portfolio_id": o.wire.get(1, ""),
            "product_id": o.symbol,
            "side": "BUY" if o.side == BUY else "SELL",
            "client_order_id": o.cl_ord_id,
            "type": TYPES.get(o.wire.get(847, "L"), "LIMIT"),
            "base_quantity": i.qty_text(o.qty),
            "limit_price": i.px_text(o.price) if o.price is not None else "",
            "status": "OPEN" if at_ns is not None else STATUS[o.status],
            "filled_quantity": i.qty_text(cum),
            "created_at": timetext.iso_nanos(o.opened_ns),
        }

    def _fill(self, o: Order, f: Fill) -> dict[str, Any]:
        i = self._exchange.instruments[o.symbol]
        return {
            "id": f"fill-{f.trade_id}-{o.order_id}",
            "order_id": o.order_id,
            "product_id": o.symbol,
            "side": "BUY" if o.side == BUY else "SELL",
            "filled_quantity": i.qty_text(f.qty),
            "price": i.px_text(f.px),
            "time": timetext.iso_nanos(f.time_ns),
            "commission": format(sim_orders.fee_of(f.px, f.qty, i), "f"),
        }


def _page(cursor: str, more: bool) -> dict[str, Any]:
    return {"next_cursor": cursor, "sort_direction": "ASC", "has_next": more}


def _cut(rows: list[Any], query: dict[str, str]) -> tuple[list[Any], dict[str, Any]]:
    """A page of rows, and what says whether there is another."""
    start, limit = number(query.get("cursor", "0"), 0), number(query.get("limit", "100"), 100)
    end = start + limit
    return rows[start:end], _page(str(end) if end < len(rows) else "", end < len(rows))
