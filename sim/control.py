"""The control endpoint of a simulated venue: HTTP with JSON. Faults, counters, and what is truly working.

GET /stats, GET /working, GET /record/orders?from=N, GET /record/fills?from=N, GET /faults,
POST /fault {"kind":..., "arguments":{...}}, DELETE /faults, POST /fill {"order_id":..., "qty":...}: all below /control/
as well, for the port that also serves the venue's REST.
"""

import json
from collections.abc import Mapping
from itertools import islice
from typing import Any
from urllib.parse import parse_qs

from base.errors import QuarterdeckError, VenueError
from base.http import Request, Response
from sim.faults import KINDS, SECOND_NS
from sim.gateway import Venue
from sim.orders import BUY, Fill, Order
from sim.wire import number

PATHS = frozenset({"/stats", "/working", "/faults", "/fault", "/fill", "/kinds"})
RECORDS = frozenset({"/record/orders", "/record/fills"})
PAGE = 1_000  # orders or fills in one answer


class Control:
    """Answers control requests."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def answer(self, request: Request) -> Response | None:
        """The answer, None when the path is not a control call."""
        path = request.path.removeprefix("/control")
        if path not in PATHS | RECORDS:
            return None
        try:
            if request.method == "GET" and path in RECORDS:
                return _json(
                    self.page(path.rpartition("/")[2], number(parse_qs(request.query).get("from", ["0"])[0], 0))
                )
            return self._route(request.method, path, request.body)
        except (QuarterdeckError, ValueError, KeyError, TypeError) as error:
            return _json({"error": str(error)}, 400)

    def _route(self, method: str, path: str, body: bytes) -> Response:
        if method == "GET" and path == "/stats":
            return _json(self.stats())
        if method == "GET" and path == "/working":
            return _json({"orders": [self.describe(o) for o in self._venue.exchange.working()]})
        if method == "GET" and path == "/faults":
            return _json({"pinned": self._venue.faults.pinned(), "struck": self._venue.faults.struck})
        if method == "GET" and path == "/kinds":
            return _json({k: [v.text, sorted(v.conditions), dict(v.parameters)] for k, v in KINDS.items()})
        if method == "DELETE" and path == "/faults":
            self._venue.faults.clear()
            return _json({"cleared": True})
        if method == "POST" and path == "/fault":
            said = _object(body)
            return _json(self.fault(str(said["kind"]), _texts(said.get("arguments", {}))))
        if method == "POST" and path == "/fill":
            return _json(self.fill(_texts(_object(body))))
        return _json({"error": f"{method} {path}: no such call"}, 405)

    # -- calls ----------------------------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """Counters, sessions, working orders by account and session."""
        v = self._venue
        working: dict[str, int] = {}
        for order in v.exchange.working():
            key = f"{order.owner.account}/{order.owner.comp_id}"
            working[key] = working.get(key, 0) + 1
        sessions = [
            {
                "sender": seat.grant.sender,
                "target": seat.grant.target,
                "kind": seat.grant.kind,
                "level": seat.grant.level,
                "live": seat.live is not None,
                "next_in": seat.numbers.next_in,
                "next_out": seat.numbers.next_out,
                "subscriptions": len(seat.live.subscriptions) if seat.live else 0,
            }
            for seat in v.seats.values()
        ]
        in_now = sum(link.counters["in"] for link in v.links)
        return {
            "source": v.source,
            **v.counters,
            "messages_in": v.counters["messages_in"] + in_now,
            "fills": v.exchange.fills,
            "orders_taken": len(v.exchange.orders),
            "working": sum(working.values()),
            "working_by_session": working,
            "sessions": sessions,
            "faults_struck": v.faults.struck,
        }

    def page(self, what: str, begin: int) -> dict[str, Any]:
        """Every order or fill that clients ever had, oldest first, from number `begin` on; `next` is 0 on the last."""
        exchange = self._venue.exchange
        if what == "orders":
            found = [self.describe(o) for o in islice(exchange.orders.values(), begin, begin + PAGE)]
            total = len(exchange.orders)
        else:
            found = [self._fill_text(f) for f in exchange.executions[begin : begin + PAGE]]
            total = len(exchange.executions)
        return {what: found, "next": begin + PAGE if begin + PAGE < total else 0}

    def _fill_text(self, fill: Fill) -> dict[str, Any]:
        order = self._venue.exchange.orders[fill.order_id]
        i = self._venue.exchange.instruments[order.symbol]
        return {
            "order_id": fill.order_id,
            "cl_ord_id": order.cl_ord_id,
            "instrument": i.name,
            "session": order.owner.comp_id,
            "side": "1" if order.side == BUY else "2",
            "trade_id": str(fill.trade_id),
            "last_px": i.px_text(fill.px),
            "last_qty": i.qty_text(fill.qty),
            "cum_qty": i.qty_text(fill.cum),
            "time_ns": fill.time_ns,
        }

    def describe(self, order: Order) -> dict[str, Any]:
        """An order as JSON, numbers as decimal text."""
        i = self._venue.exchange.instruments[order.symbol]
        return {
            "order_id": order.order_id,
            "cl_ord_id": order.cl_ord_id,
            "symbol": order.symbol,
            "instrument": i.name,
            "account": order.owner.account,
            "session": order.owner.comp_id,
            "connection": order.owner.connection,
            "side": "1" if order.side == BUY else "2",
            "order_qty": i.qty_text(order.qty),
            "cum_qty": i.qty_text(order.cum),
            "leaves_qty": i.qty_text(order.leaves),
            "price": "" if order.price is None else i.px_text(order.price),
            "ord_status": order.status,
            "ended": order.ended,
            "opened_ns": order.opened_ns,
            "closed_ns": order.closed_ns,
        }

    def fault(self, kind: str, arguments: Mapping[str, str]) -> dict[str, Any]:
        """Pin a fault; those that act at once do so now."""
        v = self._venue
        fault = v.faults.pin(kind, arguments, v.clock.mono_ns())
        struck = 0
        if kind in {"stall", "disconnect", "maintenance", "rollover"}:
            v.faults.unpin(fault)
            struck = self._act(kind, fault.conditions, fault.parameters)
        return {"pinned": kind, "conditions": fault.conditions, "parameters": fault.parameters, "struck": struck}

    def _act(self, kind: str, conditions: dict[str, str], parameters: dict[str, str]) -> int:
        v = self._venue
        v.faults.struck[kind] = v.faults.struck.get(kind, 0) + 1
        if kind == "maintenance":
            v.announce_maintenance(int(parameters["seconds"]))
            return len(v.links)
        if kind == "rollover":
            v.rollover(int(parameters["seconds"]))
            return len(v.links)
        links = v.matching_links(conditions)
        for link in links:
            if kind == "stall":
                link.stalled_until_ns = v.clock.mono_ns() + int(parameters["seconds"]) * SECOND_NS
                continue
            if parameters["logout"] == "1":
                link.logout("disconnected by a fault")
                link.said_logout = True
            link.end()
        return len(links)

    def fill(self, said: Mapping[str, str]) -> dict[str, Any]:
        """Let the crowd trade with a working order at its price."""
        exchange = self._venue.exchange
        order = exchange.orders.get(said["order_id"])
        if order is None or order.done:
            raise VenueError(f"no working order {said['order_id']!r}")
        qty = exchange.instruments[order.symbol].qty(said["qty"]) if "qty" in said else order.leaves
        exchange.fill(order, qty)
        return self.describe(order)


def _object(body: bytes) -> dict[str, Any]:
    said = json.loads(body or b"{}")
    if not isinstance(said, dict):
        raise VenueError("the body must be a JSON object")
    return said


def _texts(arguments: Mapping[str, Any]) -> dict[str, str]:
    return {str(k): str(v) for k, v in arguments.items()}


def _json(content: object, status: int = 200) -> Response:
    return Response(status, json.dumps(content).encode(), (("Content-Type", "application/json"),))
