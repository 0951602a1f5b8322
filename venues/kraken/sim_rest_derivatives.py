"""REST of the simulated Kraken Derivatives: what reconciliation and the kill path need (venues/kraken.md 5.7 and 9).

The signature is not in our pages: the key and the presence of Authent are checked, no more.
"""

from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs
from uuid import NAMESPACE_OID, uuid5

from base.http import Request, Response
from sim import timetext
from sim.dead_man import DeadManTimers
from sim.gateway import SECOND_NS
from sim.orders import BUY, Fill, Order
from sim.wire import number
from venues.kraken.sim_rest_parts import json_answer, key_of, trades_of

if TYPE_CHECKING:
    from venues.kraken.sim import KrakenSim

STATUS = {"A": "TRIGGER_PLACED", "0": "ENTERED_BOOK", "1": "ENTERED_BOOK", "2": "FULLY_EXECUTED"}
STATUS |= {"4": "CANCELLED", "C": "CANCELLED", "8": "REJECTED"}
MOST = 500
COSTS = {
    "openorders": 2,
    "status": 1,
    "cancelallorders": 25,
    "cancelorder": 10,
    "fills": 25,
    "accounts": 2,
    "openpositions": 2,
}


class DerivativesRest:
    """Answers requests."""

    def __init__(self, venue: "KrakenSim", dead_man: DeadManTimers) -> None:
        self._venue, self._dead_man = venue, dead_man
        self._spent: dict[str, deque[tuple[int, int]]] = {}

    def answer(self, request: Request) -> Response:
        key = key_of(self._venue, request.header("APIKey"))
        if key is None or not request.header("Authent"):
            return json_answer({"result": "error", "error": "authenticationError"})
        call = request.path.rpartition("/")[2]
        said = {k: v[0] for k, v in parse_qs(request.query or request.body.decode("utf-8", "replace")).items()}
        if not self._within(key.key, call):
            return json_answer({"result": "error", "error": "apiLimitExceeded"})
        now = timetext.iso_nanos(self._venue.clock.wall_ns())
        ok = {"result": "success", "serverTime": now}
        if call == "openorders" and request.method == "GET":
            at_ns = self._venue.list_time_ns()
            orders = [o for o in self._venue.exchange.as_of(key.account, at_ns) if "/" not in o.symbol]
            return json_answer({**ok, "openOrders": [self._order(o, at_ns) for o in orders]})
        if call == "fills" and request.method == "GET":
            return json_answer({**ok, "fills": self._fills(key.account, said.get("lastFillTime", ""))})
        if call == "openpositions" and request.method == "GET":
            return json_answer({**ok, "openPositions": self._positions(key.account)})
        if call == "accounts" and request.method == "GET":
            return json_answer({**ok, "accounts": self._accounts(key.account)})
        if request.path.endswith("/orders/status") and request.method == "POST":
            return json_answer({**ok, "orders": self._status(key.account, said)})
        if call == "cancelorder" and request.method == "POST":
            return self._cancel_one(key.account, said, ok)
        if call == "cancelallorders" and request.method == "POST":
            return self._cancel(key.account, said.get("symbol", ""), ok)
        if call == "cancelallordersafter" and request.method == "POST":
            seconds = number(said.get("timeout", ""), 0)
            self._dead_man.arm(key.account, seconds, "derivatives", lambda o: "/" not in o.symbol)
            return json_answer({**ok, "status": {"currentTime": now}})
        return json_answer({"result": "error", "error": "notFound"}, 404)

    def _fills(self, account: str, before: str) -> list[dict[str, Any]]:
        """The newest 100, or the newest 100 before that time, which has milliseconds."""
        fills = [f for _, f in trades_of(self._venue, account, spot=False)]
        if before:
            fills = [f for f in fills if _iso_ms(f.time_ns) < before]
        return [self._fill(f) for f in reversed(fills[-100:])]

    def _fill(self, f: Fill) -> dict[str, Any]:
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

    def _positions(self, account: str) -> list[dict[str, Any]]:
        held = self._venue.accounts.positions(account)
        return [
            {"symbol": symbol, "side": "long" if qty > 0 else "short", "size": float(abs(qty))}
            for symbol, qty in held.items()
        ]

    def _accounts(self, account: str) -> dict[str, Any]:
        holdings = self._venue.accounts.holdings(account, lambda symbol: "/" not in symbol)
        currencies = {
            c: {"quantity": float(h.total), "value": float(h.total), "available": float(h.available)}
            for c, h in holdings.items()
        }
        margin = sum(h.available for h in holdings.values())
        flex = {"type": "multiCollateralMarginAccount", "currencies": currencies, "availableMargin": float(margin)}
        return {"cash": {"type": "cashAccount", "balances": {}}, "flex": flex}

    def _cancel(self, account: str, symbol: str, ok: dict[str, Any]) -> Response:
        orders = [o for o in self._venue.exchange.working(account=account) if "/" not in o.symbol]
        targets = [o for o in orders if not symbol or o.symbol == symbol]
        maintenance = self._venue.trading_status == "1"
        count = None if maintenance else self._venue.cancel_many(targets, "", symbol, via="rest")
        if count is None:
            return json_answer({"result": "error", "error": "marketSuspended"})
        done = [{"order_id": o.order_id, "cliOrdId": o.cl_ord_id} for o in targets[:count]]
        status = "cancelled" if done else "noOrdersToCancel"
        return json_answer({**ok, "cancelStatus": {"status": status, "cancelledOrders": done}})

    def _cancel_one(self, account: str, said: dict[str, str], ok: dict[str, str]) -> Response:
        """By order_id or cliOrdId: what became of the order, in one word."""
        v, name = self._venue, said.get("order_id", "")
        order = v.exchange.orders.get(name) if name else v.exchange.find(account, said.get("cliOrdId", ""))
        if order is None or order.owner.account != account or "/" in order.symbol:
            return json_answer({**ok, "cancelStatus": {"status": "notFound"}})
        if v.trading_status == "1":
            return json_answer({"result": "error", "error": "marketSuspended"})
        done = v.cancel_over_rest(order, f"rest{v.next_id()}")
        if done is None:
            return json_answer({"result": "error", "error": "marketSuspended"})
        word = "cancelled" if done else "filled" if order.status == "2" else "notFound"
        status = {"status": word, "order_id": order.order_id, "receivedTime": ok["serverTime"]}
        return json_answer({**ok, "cancelStatus": status})

    def _status(self, account: str, said: dict[str, str]) -> list[dict[str, Any]]:
        """Orders that are open, or ended in the last five seconds."""
        recent_ns = self._venue.clock.wall_ns() - 5 * SECOND_NS
        return [
            {"order": self._single(o), "status": STATUS[o.status]}
            for o in self._venue.exchange.orders.values()
            if o.owner.account == account and "/" not in o.symbol and (not o.closed_ns or o.closed_ns > recent_ns)
            if o.order_id in said.get("orderIds", "").split(",") or o.cl_ord_id in said.get("cliOrdIds", "").split(",")
        ]

    def _single(self, o: Order) -> dict[str, Any]:
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

    def _order(self, o: Order, at_ns: int) -> dict[str, Any]:
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

    def _within(self, key: str, call: str) -> bool:
        """500 in any ten seconds, where the limits are on (option tier)."""
        if self._venue.setup.text("tier", "none") == "none":
            return True
        now, spent = self._venue.clock.mono_ns(), self._spent.setdefault(key, deque())
        while spent and spent[0][0] <= now - 10 * SECOND_NS:
            spent.popleft()
        spent.append((now, COSTS.get(call, 10)))
        return sum(cost for _, cost in spent) <= MOST


def _iso_ms(ns: int) -> str:
    text = timetext.iso_nanos(ns)
    return text[:23] + "Z"
