"""REST of the simulated Binance: open orders, one order, cancels, exchange information (5.7, 5.13, 8)."""

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from cryptography.exceptions import InvalidSignature

from base.http import Request, Response
from sim.gateway import MS_NS
from sim.orders import BUY, Fill, Order
from sim.wire import number
from venues.binance.sim_orders import fixed

if TYPE_CHECKING:
    from venues.binance.sim import BinanceSim

STATUS = {"A": "NEW", "0": "NEW", "1": "PARTIALLY_FILLED", "2": "FILLED", "4": "CANCELED", "C": "EXPIRED"}
TIME_IN_FORCE = {"1": "GTC", "3": "IOC", "4": "FOK"}
TYPES = {"1": "MARKET", "2": "LIMIT", "3": "STOP_LOSS", "4": "STOP_LOSS_LIMIT", "P": "LIMIT"}
STP = {"1": "NONE", "2": "EXPIRE_TAKER", "3": "EXPIRE_MAKER", "4": "EXPIRE_BOTH", "5": "DECREMENT"}


WEIGHTS = {"GET /api/v3/openOrders": 80, "GET /api/v3/order": 4, "DELETE /api/v3/openOrders": 1}
WEIGHTS |= {"DELETE /api/v3/order": 1, "GET /api/v3/time": 1}


class RestError(Exception):
    """A request is answered by an error code."""

    def __init__(self, code: int, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.code, self.status = code, status


class BinanceRest:
    """Answers requests."""

    def __init__(self, venue: "BinanceSim") -> None:
        self._venue = venue

    def answer(self, request: Request) -> Response:
        """The answer to a request."""
        wait_s = self._venue.limits.weight(WEIGHTS.get(f"{request.method} {request.path}", 20))
        if wait_s:
            too_many = {"code": -1003, "msg": "Too much request weight used."}
            return Response(429, json.dumps(too_many).encode(), (("Retry-After", str(wait_s)),))
        try:
            return _json(self._route(request))
        except RestError as problem:
            return _json({"code": problem.code, "msg": str(problem)}, problem.status)

    def _route(self, request: Request) -> Any:
        said = {k: v[0] for k, v in parse_qs(request.query or request.body.decode("utf-8", "replace")).items()}
        call = f"{request.method} {request.path}"
        if call == "GET /api/v3/time":
            return {"serverTime": self._venue.clock.wall_ns() // MS_NS}
        if call == "GET /api/v3/exchangeInfo":
            return self._exchange_info()
        calls = {
            "GET /api/v3/openOrders": self._open_orders,
            "DELETE /api/v3/openOrders": self._cancel_all,
            "GET /api/v3/order": self._order,
            "GET /api/v3/myTrades": self._my_trades,
            "GET /api/v3/account": self._holdings,
            "DELETE /api/v3/order": self._cancel,
        }
        if call not in calls:
            raise RestError(-1000, f"{call}: no such call", 404)
        return calls[call](self._account(request, said), said)

    def _account(self, request: Request, said: dict[str, str]) -> str:
        v = self._venue
        key = request.header("X-MBX-APIKEY")
        if not key:
            raise RestError(-2014, "API-key format invalid.", 401)
        now_ms = v.clock.wall_ns() // MS_NS
        sent = number(said.get("timestamp", ""), -1)
        if sent < 0:
            raise RestError(-1102, "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.")
        if sent > now_ms + 1000 or now_ms - sent > number(said.get("recvWindow", ""), 5000):
            raise RestError(-1021, "Timestamp for this request is outside of the recvWindow.")
        if v.setup.any_logon:
            return v.setup.grants[0].account if v.setup.grants else "main"
        known = next((k for k in v.setup.rest_keys if k.key == key), None)
        if known is None:
            raise RestError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        self._verify(request.query or request.body.decode("utf-8", "replace"), known.secret)
        return known.account

    def _verify(self, query: str, secret: str) -> None:
        from venues.binance.sim import private_key

        payload, _, text = query.rpartition("&signature=")
        try:
            signature = base64.b64decode(unquote(text), validate=True)
            private_key(secret).public_key().verify(signature, payload.encode())
        except (InvalidSignature, ValueError):
            raise RestError(-1022, "Signature for this request is not valid.") from None

    def _symbol(self, said: dict[str, str], *, needed: bool) -> str:
        symbol = said.get("symbol", "")
        if (needed or symbol) and symbol not in self._venue.exchange.markets:
            raise RestError(-1121 if symbol else -1102, "Invalid symbol.")
        return symbol

    def _open_orders(self, account: str, said: dict[str, str]) -> Any:
        symbol = self._symbol(said, needed=False)
        at_ns, exchange = self._venue.list_time_ns(), self._venue.exchange
        orders = [o for o in exchange.as_of(account, at_ns) if not symbol or o.symbol == symbol]
        return [self._describe(o, exchange.cum_as_of(o, at_ns)) for o in orders]

    def _my_trades(self, account: str, said: dict[str, str]) -> Any:
        """Trades of an order, oldest first, from an id on."""
        symbol = self._symbol(said, needed=True)
        order = self._venue.exchange.orders.get(said.get("orderId", ""))
        if order is None or order.owner.account != account or order.symbol != symbol:
            return []
        first, most = number(said.get("fromId", ""), 0), min(number(said.get("limit", ""), 500), 1_000)
        fills = self._venue.exchange.fills_of(order, self._venue.list_time_ns())
        return [self._trade(order, f) for f in fills if f.trade_id >= first][:most]

    def _trade(self, o: Order, f: Fill) -> dict[str, Any]:
        i = self._venue.exchange.instruments[o.symbol]
        return {
            "symbol": o.symbol,
            "id": f.trade_id,
            "orderId": int(o.order_id),
            "orderListId": -1,
            "price": fixed(f.px, i.px_scale),
            "qty": fixed(f.qty, i.qty_scale),
            "quoteQty": fixed(f.px * f.qty, i.px_scale + i.qty_scale),
            "commission": format(self._venue.fee(o, f.px, f.qty), ".8f"),
            "commissionAsset": i.name.split("-")[1],
            "time": f.time_ns // MS_NS,
            "isBuyer": o.side == BUY,
            "isMaker": not f.aggressor,
            "isBestMatch": True,
        }

    def _holdings(self, account: str, said: dict[str, str]) -> Any:
        held = self._venue.accounts.holdings(account)
        balances = [{"asset": c, "free": f"{h.available:.8f}", "locked": f"{h.held:.8f}"} for c, h in held.items()]
        return {"canTrade": True, "accountType": "SPOT", "balances": balances}

    def _find(self, account: str, said: dict[str, str]) -> Order:
        symbol = self._symbol(said, needed=True)
        exchange = self._venue.exchange
        if "orderId" in said:
            order = exchange.orders.get(said["orderId"])
        else:
            order = exchange.find(account, said.get("origClientOrderId", ""))
        if order is None or order.owner.account != account or order.symbol != symbol:
            raise RestError(-2013, "Order does not exist.")
        return order

    def _order(self, account: str, said: dict[str, str]) -> Any:
        return self._describe(self._find(account, said))

    def _cancel(self, account: str, said: dict[str, str]) -> Any:
        try:
            order = self._find(account, said)
        except RestError as problem:
            raise RestError(-2011, "Unknown order sent.") if problem.code == -2013 else problem from None
        name = said.get("newClientOrderId") or f"rest{self._venue.next_id()}"
        done = self._venue.cancel_over_rest(order, name)
        if not done:
            raise RestError(-2011, self._venue.no_cancel_text if done is None else "Unknown order sent.")
        return {**self._describe(order), "origClientOrderId": order.cl_ord_id, "clientOrderId": name}

    def _cancel_all(self, account: str, said: dict[str, str]) -> Any:
        symbol = self._symbol(said, needed=True)
        orders = self._venue.exchange.working(account=account, symbol=symbol)
        if not orders:
            raise RestError(-2011, "Unknown order sent.")
        count = self._venue.cancel_many(orders, f"rest{self._venue.next_id()}", symbol, via="rest")
        if count is None:
            raise RestError(-2011, self._venue.no_cancel_text)
        return [self._describe(o) for o in orders[:count]]

    def _describe(self, o: Order, cum: int | None = None) -> dict[str, Any]:
        """An order as it stands; `cum`: as a lagging list shows it, working with so much filled."""
        status = o.status if cum is None else "1" if cum else "0"
        i = self._venue.exchange.instruments[o.symbol]
        kind = TYPES[o.wire.get(40, "2")]
        return {
            "symbol": o.symbol,
            "orderId": int(o.order_id),
            "orderListId": -1,
            "clientOrderId": o.cl_ord_id,
            "price": fixed(o.price or 0, i.px_scale),
            "origQty": fixed(o.qty, i.qty_scale),
            "executedQty": fixed(o.cum if cum is None else cum, i.qty_scale),
            "origQuoteOrderQty": fixed(o.quote_qty, i.px_scale + i.qty_scale),
            "cummulativeQuoteQty": fixed(o.notional, i.px_scale + i.qty_scale),
            "status": STATUS[status],
            "timeInForce": TIME_IN_FORCE[o.wire.get(59, "1")],
            "type": "LIMIT_MAKER" if o.post_only else kind,
            "side": "BUY" if o.side == BUY else "SELL",
            "stopPrice": fixed(o.trigger.px if o.trigger else 0, i.px_scale),
            "icebergQty": fixed(o.display, i.qty_scale),
            "time": o.opened_ns // MS_NS,
            "updateTime": (o.closed_ns or o.opened_ns) // MS_NS,
            "isWorking": o.trigger is None,
            "workingTime": o.opened_ns // MS_NS,
            "selfTradePreventionMode": STP[o.wire.get(25001, "1")],
        }

    def _exchange_info(self) -> dict[str, Any]:
        symbols = []
        for i in self._venue.exchange.instruments.values():
            base_asset, quote_asset = i.name.split("-")[:2]
            symbols.append(
                {
                    "symbol": i.symbol,
                    "status": "TRADING",
                    "baseAsset": base_asset,
                    "baseAssetPrecision": 8,
                    "quoteAsset": quote_asset,
                    "quotePrecision": 8,
                    "orderTypes": sorted(set(TYPES.values()) | {"LIMIT_MAKER"}),
                    "icebergAllowed": True,
                    "amendAllowed": True,
                    "allowedSelfTradePreventionModes": list(STP.values()),
                    "filters": [
                        {"filterType": "PRICE_FILTER", "tickSize": fixed(max(i.tick_size, 1), i.px_scale)},
                        {
                            "filterType": "LOT_SIZE",
                            "minQty": fixed(max(i.min_qty, 1), i.qty_scale),
                            "maxQty": fixed(i.max_qty, i.qty_scale),
                            "stepSize": fixed(max(i.lot_size, 1), i.qty_scale),
                        },
                        {"filterType": "NOTIONAL", "minNotional": i.min_notional or "0.00000000"},
                    ],
                }
            )
        return {"timezone": "UTC", "serverTime": self._venue.clock.wall_ns() // MS_NS, "symbols": symbols}


def _json(content: object, status: int = 200) -> Response:
    return Response(status, json.dumps(content).encode(), (("Content-Type", "application/json"),))
