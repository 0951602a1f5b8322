"""REST of the simulated Crypto.com: what reconciliation and cancels need (crypto-com.md, 5; the venue's REST pages)."""

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

from base.http import Request, Response
from sim.accounts import plain
from sim.fields import json_response
from sim.gateway import MS_NS, SECOND_NS
from sim.orders import BUY, Fill, Order
from sim.wire import number

if TYPE_CHECKING:
    from venues.crypto_com.sim import CryptoComSim

PREFIX = "/exchange/v1/private/"
STATUS = {
    "A": "PENDING",
    "0": "ACTIVE",
    "1": "ACTIVE",
    "2": "FILLED",
    "4": "CANCELED",
    "C": "CANCELED",
    "8": "REJECTED",
}
HTTP = {"0": 200, "40401": 200, "40101": 401, "40102": 400, "42901": 429, "40002": 400, "40004": 400}
NONCE_S = 60
TRADES = 100
WEEK_NS = 7 * 86_400 * SECOND_NS


class RestError(Exception):
    """An answer with a code other than 0."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class CryptoComRest:
    """One envelope a call."""

    def __init__(self, venue: "CryptoComSim") -> None:
        self._venue = venue
        self._exchange = venue.exchange
        self._burst = venue.setup.number("rest_burst", 0)
        self._calls: list[int] = []

    def answer(self, request: Request) -> Response:
        """The answer to a request."""
        said = self._body(request)
        method = str(said.get("method", "ERROR"))
        head = {"id": said.get("id", -1), "method": method}
        try:
            result = self._serve(request, said, method)
        except RestError as error:
            answer = {**head, "code": int(error.code), "message": str(error)}
            return json_response(answer, HTTP.get(error.code, 500))
        return json_response({**head, "code": 0} | ({} if result is None else {"result": result}))

    @staticmethod
    def _body(request: Request) -> dict[str, Any]:
        try:
            said = json.loads(request.body)
        except ValueError:
            return {}
        return said if isinstance(said, dict) else {}

    def _serve(self, request: Request, said: dict[str, Any], method: str) -> Any:
        calls = {
            "get-open-orders": self._open_orders, "get-order-detail": self._order_detail, "get-trades": self._trades,
            "user-balance": self._balance, "get-positions": self._positions, "cancel-order": self._cancel,
            "cancel-all-orders": self._cancel_all,
        }  # fmt: skip
        name = request.path.removeprefix(PREFIX)
        if request.method != "POST" or name not in calls or method != f"private/{name}":
            raise RestError("40002", "METHOD_NOT_FOUND")
        params = said.get("params", {})
        if not isinstance(params, dict) or not all(isinstance(v, str) for v in params.values()):
            raise RestError("40004", "MISSING_OR_INVALID_ARGUMENT")
        account = self._account(said, method, params)
        self._count()
        return calls[name](account, params)

    def _account(self, said: dict[str, Any], method: str, params: dict[str, str]) -> str:
        nonce = said.get("nonce")
        if not isinstance(nonce, int) or abs(nonce * MS_NS - self._venue.clock.wall_ns()) > NONCE_S * SECOND_NS:
            raise RestError("40102", "INVALID_NONCE")
        if self._venue.setup.any_logon:
            return self._venue.setup.grants[0].account if self._venue.setup.grants else "main"
        key = next((k for k in self._venue.setup.rest_keys if k.key and k.key == said.get("api_key")), None)
        text = f"{method}{said.get('id')}{said.get('api_key')}"
        text += "".join(name + params[name] for name in sorted(params)) + str(nonce)
        wanted = hmac.new(key.secret.encode(), text.encode(), hashlib.sha256).hexdigest() if key else ""
        if key is None or not hmac.compare_digest(wanted, str(said.get("sig"))):
            raise RestError("40101", "UNAUTHORIZED")
        return key.account

    def _count(self) -> None:
        now = self._venue.clock.mono_ns()
        self._calls = [t for t in self._calls if t > now - SECOND_NS]
        if self._burst and len(self._calls) >= self._burst:
            raise RestError("42901", "TOO_MANY_REQUESTS")
        self._calls.append(now)

    def _order(self, account: str, params: dict[str, str]) -> Order:
        order_id = params.get("order_id", "")
        found = self._exchange.orders.get(order_id) if order_id else None
        if not order_id:
            found = self._exchange.find(account, params.get("client_oid", ""))
        if found is None or found.owner.account != account:
            raise RestError("40401", "NOT_FOUND")
        return found

    def _open_orders(self, account: str, params: dict[str, str]) -> Any:
        at_ns, symbol = self._venue.list_time_ns(), params.get("instrument_name")
        orders = [o for o in self._exchange.as_of(account, at_ns) if symbol in (None, o.symbol)]
        return {"data": [self._describe(o, at_ns) for o in orders]}

    def _order_detail(self, account: str, params: dict[str, str]) -> Any:
        return self._describe(self._order(account, params))

    def _trades(self, account: str, params: dict[str, str]) -> Any:
        """The latest of a span that is cut to seven days, newest first."""
        end = number(params.get("end_time", ""), self._venue.clock.wall_ns())
        start = max(number(params.get("start_time", ""), 0), end - WEEK_NS)
        symbol, known_ns = params.get("instrument_name"), self._venue.list_time_ns()
        found = [
            (f, o) for o in self._exchange.orders.values()
            if o.owner.account == account and symbol in (None, o.symbol)
            for f in self._exchange.fills_of(o, known_ns) if start <= f.time_ns < end
        ]  # fmt: skip
        found.sort(key=lambda each: each[0].time_ns)
        found.reverse()
        return {"data": [self._trade(o, f) for f, o in found[: min(number(params.get("limit", ""), TRADES), TRADES)]]}

    def _balance(self, account: str, params: dict[str, str]) -> Any:
        holdings = self._venue.accounts.holdings(account)
        lines = [
            {"instrument_name": c, "quantity": plain(h.total), "reserved_qty": plain(h.held)}
            for c, h in holdings.items()
        ]
        return {"data": [{"instrument_name": "USD", "position_balances": lines}]}

    def _positions(self, account: str, params: dict[str, str]) -> Any:
        held = self._venue.accounts.positions(account)
        return {
            "data": [{"instrument_name": s, "quantity": plain(q), "type": "PERPETUAL_SWAP"} for s, q in held.items()]
        }

    def _cancel(self, account: str, params: dict[str, str]) -> Any:
        order = self._order(account, params)
        if order.done:
            raise RestError("316", "NO_ACTIVE_ORDER")
        if self._venue.cancel_over_rest(order, "") is None:
            raise RestError("309", self._venue.no_cancel_text)
        return {"client_oid": order.cl_ord_id, "order_id": order.order_id}

    def _cancel_all(self, account: str, params: dict[str, str]) -> None:
        """Queued: no number, no names."""
        symbol = params.get("instrument_name", "")
        if symbol and symbol not in self._exchange.markets:
            raise RestError("209", "INVALID_INSTRUMENT")
        orders = self._exchange.working(account=account, symbol=symbol)
        if self._venue.cancel_many(orders, "", symbol, via="rest") is None:
            raise RestError("309", self._venue.no_cancel_text)

    def _describe(self, o: Order, at_ns: int | None = None) -> dict[str, Any]:
        i = self._exchange.instruments[o.symbol]
        cum = o.cum if at_ns is None else self._exchange.cum_as_of(o, at_ns)
        return {
            "order_id": o.order_id,
            "client_oid": o.cl_ord_id,
            "order_type": "LIMIT" if o.price is not None else "MARKET",
            "side": "BUY" if o.side == BUY else "SELL",
            "quantity": i.qty_text(o.qty),
            "limit_price": i.px_text(o.price) if o.price is not None else "",
            "cumulative_quantity": i.qty_text(cum),
            "status": "ACTIVE" if at_ns is not None else STATUS[o.status],
            "instrument_name": o.symbol,
            "create_time_ns": str(o.opened_ns),
            "update_time": (o.closed_ns or o.opened_ns) // MS_NS,
        }

    def _trade(self, o: Order, f: Fill) -> dict[str, Any]:
        i = self._exchange.instruments[o.symbol]
        return {
            "trade_id": f"{f.trade_id}{number(o.order_id, 0) % 1_000:03d}",
            "trade_match_id": str(f.trade_id),
            "order_id": o.order_id,
            "client_oid": o.cl_ord_id,
            "instrument_name": o.symbol,
            "side": "BUY" if o.side == BUY else "SELL",
            "traded_price": i.px_text(f.px),
            "traded_quantity": i.qty_text(f.qty),
            "fees": format(-self._venue.fee(o, f.px, f.qty).normalize(), "f"),
            "fee_instrument_name": i.name.split("-")[1],
            "taker_side": "TAKER" if f.aggressor else "MAKER",
            "create_time_ns": str(f.time_ns),
        }
