"""REST of the simulated Bybit: what reconciliation and cancels need (bybit.md, 4.2, 5.4, 7 and 9)."""

import hashlib
import hmac
import json
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from base.http import Request, Response
from sim.accounts import plain
from sim.fields import json_response
from sim.gateway import MS_NS, SECOND_NS
from sim.orders import BUY, Fill, Order
from sim.setup import RestKey
from sim.wire import number
from venues.bybit import sim_orders
from venues.bybit.sim_orders import WAITING, RefusedError

if TYPE_CHECKING:
    from venues.bybit.sim import BybitSim

STATUS = {"A": "New", "0": "New", "1": "PartiallyFilled", "2": "Filled", "4": "Cancelled", "C": "Cancelled"}
CLOSED_KEPT = 500
FILTERS = frozenset({"Order", "tpslOrder", "StopOrder", "OcoOrder", "BidirectionalTpslOrder"})


class BybitRest:
    """order/realtime, order/cancel, order/cancel-all, execution/list, account/wallet-balance, market/time."""

    def __init__(self, venue: "BybitSim") -> None:
        self._venue = venue
        self._exchange = venue.exchange
        self._most = venue.setup.number("rest_per_5s", 600)
        self._closed = venue.setup.number("closed_orders", CLOSED_KEPT)
        self._times: deque[int] = deque()

    def answer(self, request: Request) -> Response:
        """The answer to a request; HTTP 403 when the address asks too often."""
        if not self._within():
            return Response(403, b"access too frequent", ())
        try:
            result, code, text = self._serve(request), 0, "OK"
        except RefusedError as error:
            result, code, text = {}, error.code, str(error)
        now_ms = self._venue.clock.wall_ns() // MS_NS
        return json_response({"retCode": code, "retMsg": text, "result": result, "retExtInfo": {}, "time": now_ms})

    def _within(self) -> bool:
        now = self._venue.clock.mono_ns()
        while self._times and self._times[0] <= now - 5 * SECOND_NS:
            self._times.popleft()
        if len(self._times) >= self._most > 0:
            return False
        self._times.append(now)
        return True

    def _serve(self, request: Request) -> Any:
        call = f"{request.method} {request.path}"
        if call == "GET /v5/market/time":
            ns = self._venue.clock.wall_ns()
            return {"timeSecond": str(ns // SECOND_NS), "timeNano": str(ns)}
        calls = {
            "GET /v5/order/realtime": self._realtime, "GET /v5/execution/list": self._executions,
            "GET /v5/account/wallet-balance": self._wallet, "POST /v5/order/cancel": self._cancel,
            "POST /v5/order/cancel-all": self._cancel_all,
        }  # fmt: skip
        if call not in calls:
            raise RefusedError(10001, f"{call}: no such call")
        key, said = self._key(request), _said(request)
        if "wallet" not in call and said.get("category") != "spot":
            raise RefusedError(10001, "category must be spot here")
        return calls[call](key.account, said)

    def _key(self, request: Request) -> RestKey:
        venue = self._venue
        if venue.setup.any_logon:
            return RestKey()
        given, stamp = request.header("X-BAPI-API-KEY"), request.header("X-BAPI-TIMESTAMP")
        window = request.header("X-BAPI-RECV-WINDOW") or "5000"
        key = next((k for k in venue.setup.rest_keys if k.key == given and given), None)
        if key is None:
            raise RefusedError(10003, "API key is invalid.")
        now_ms = venue.clock.wall_ns() // MS_NS
        if not now_ms - number(window, 0) <= number(stamp, 0) < now_ms + 1_000:
            raise RefusedError(10002, "invalid request, please check your server timestamp or recv_window param.")
        text = f"{stamp}{given}{window}".encode() + (request.body or request.query.encode())
        wanted = hmac.new(key.secret.encode(), text, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(wanted, request.header("X-BAPI-SIGN")):
            raise RefusedError(10004, "error sign! please check your signature generation algorithm.")
        return key

    def _find(self, account: str, said: dict[str, str]) -> Order | None:
        if "orderId" in said:
            order = self._exchange.orders.get(said["orderId"])
        else:
            order = self._exchange.find(account, said.get("orderLinkId", ""))
        return order if order is not None and order.owner.account == account else None

    def _realtime(self, account: str, said: dict[str, str]) -> Any:
        """Open orders as of some time ago; one that is named is found among the latest closed ones, too."""
        if "orderId" in said or "orderLinkId" in said:
            order = self._find(account, said)
            closed = [o for o in self._exchange.orders.values() if o.owner.account == account and o.done]
            known = order is not None and (not order.done or order in closed[-self._closed :])
            return {"list": [self._describe(order)] if order is not None and known else [], "nextPageCursor": ""}
        at_ns = self._venue.list_time_ns()
        orders = sorted(self._exchange.as_of(account, at_ns), key=lambda o: -o.opened_ns)
        rows = [self._describe(o, at_ns) for o in orders if said.get("symbol", o.symbol) == o.symbol]
        return _cut(rows, said, 20, 50)

    def _executions(self, account: str, said: dict[str, str]) -> Any:
        """Newest first."""
        order, at_ns = self._find(account, said), self._venue.list_time_ns()
        fills = self._exchange.fills_of(order, at_ns) if order is not None else []
        rows = [self._fill(order, f) for f in reversed(fills)] if order is not None else []
        return _cut(rows, said, 50, 100)

    def _wallet(self, account: str, said: dict[str, str]) -> Any:
        if said.get("accountType") != "UNIFIED":
            raise RefusedError(10001, "accountType only support UNIFIED.")
        coins = [
            {"coin": c, "walletBalance": plain(h.total), "locked": plain(h.held), "spotBorrow": "0",
             "equity": plain(h.total)}
            for c, h in self._venue.accounts.holdings(account).items()
        ]  # fmt: skip
        return {"list": [{"accountType": "UNIFIED", "coin": coins}]}

    def _cancel(self, account: str, said: dict[str, str]) -> Any:
        order = self._find(account, said)
        waits = said.get("orderFilter", "Order") in WAITING
        if order is None or order.symbol != said.get("symbol") or waits is not (order.trigger is not None):
            raise RefusedError(170213, "Order does not exist.")
        done = self._venue.cancel_over_rest(order, "")
        if done is None:
            raise RefusedError(10001, self._venue.no_cancel_text)
        if not done:
            raise RefusedError(170142, "Order has been canceled.")
        return {"orderId": order.order_id, "orderLinkId": order.cl_ord_id}

    def _cancel_all(self, account: str, said: dict[str, str]) -> Any:
        kind, symbol = said.get("orderFilter", "Order"), said.get("symbol", "")
        if kind not in FILTERS:
            raise RefusedError(10001, "orderFilter is invalid.")
        orders = [
            o for o in self._exchange.working(account=account, symbol=symbol)
            if kind == (o.wire.get(30024, "Order") if o.trigger is not None else "Order")
        ]  # fmt: skip
        ids = [{"orderId": o.order_id, "orderLinkId": o.cl_ord_id} for o in orders]
        count = self._venue.cancel_many(orders, "", symbol, via="rest")
        if count is None:
            raise RefusedError(10001, self._venue.no_cancel_text)
        return {"list": ids[:count], "success": "1"}

    def _describe(self, o: Order, at_ns: int | None = None) -> dict[str, Any]:
        i = self._exchange.instruments[o.symbol]
        cum = o.cum if at_ns is None else self._exchange.cum_as_of(o, at_ns)
        if at_ns is not None:
            status = "PartiallyFilled" if cum else "New"
        else:
            status = "PartiallyFilledCanceled" if o.status in "4C" and cum else STATUS[o.status]
        if o.trigger is not None:
            status = "Deactivated" if o.done and at_ns is None else "Untriggered"
        return {
            "orderId": o.order_id, "orderLinkId": o.cl_ord_id, "symbol": o.symbol, "price": i.px_text(o.price or 0),
            "qty": i.qty_text(o.qty), "side": "Buy" if o.side == BUY else "Sell", "orderStatus": status,
            "cumExecQty": i.qty_text(cum), "leavesQty": i.qty_text(max(o.qty - cum, 0)),
            "orderType": "Market" if o.wire.get(40) == "1" else "Limit",
            "triggerPrice": i.px_text(o.trigger.px) if o.trigger is not None else "",
            "createdTime": str(o.opened_ns // MS_NS), "updatedTime": str((o.closed_ns or o.opened_ns) // MS_NS),
        }  # fmt: skip

    def _fill(self, o: Order, f: Fill) -> dict[str, Any]:
        i = self._exchange.instruments[o.symbol]
        return {
            "symbol": o.symbol, "orderId": o.order_id, "orderLinkId": o.cl_ord_id,
            "side": "Buy" if o.side == BUY else "Sell", "execId": sim_orders.exec_id(o.order_id, f.trade_id),
            "execPrice": i.px_text(f.px), "execQty": i.qty_text(f.qty), "execType": "Trade",
            "execTime": str(f.time_ns // MS_NS), "execFee": sim_orders.plain_fee(f.px, f.qty, i),
            "feeCurrency": i.name.split("-")[1], "isMaker": not f.aggressor,
        }  # fmt: skip


def _said(request: Request) -> dict[str, str]:
    """What a request says, in its query or its body."""
    if request.method == "GET":
        return {k: v[0] for k, v in parse_qs(request.query).items()}
    try:
        said = json.loads(request.body)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise RefusedError(10001, "the body is no JSON object")
    return {str(k): str(v) for k, v in said.items()}


def _cut(rows: list[Any], said: dict[str, str], usual: int, most: int) -> dict[str, Any]:
    """A page of rows; its cursor is told even where nothing is behind it."""
    start, limit = number(said.get("cursor", "0"), 0), min(max(number(said.get("limit", ""), usual), 1), most)
    end = start + limit
    return {"list": rows[start:end], "nextPageCursor": str(end) if rows[start:end] else ""}
