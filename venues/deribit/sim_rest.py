"""JSON-RPC over HTTP of the simulated Deribit, signatures verified. Amounts are units, beside contracts."""

import hashlib
import hmac
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from base.decimals import from_scaled
from base.http import Request, Response
from base.instruments import Instrument
from sim.fields import json_response
from sim.gateway import MS_NS, SECOND_NS
from sim.orders import BUY, Fill, Order

if TYPE_CHECKING:
    from venues.deribit.sim import DeribitSim

PREFIX = "/api/v2/private/"
WINDOW_MS = 60_000
STATES = {"2": "filled", "4": "cancelled", "C": "cancelled", "8": "rejected"}
AUTHORIZATION = re.compile(r"deri-hmac-sha256 id=([^,]+),ts=(\d{1,15}),sig=([0-9a-f]{64}),nonce=(\w+)")


class DeribitRest:
    """Answers requests of the API keys' sub-accounts."""

    def __init__(self, venue: "DeribitSim") -> None:
        self._venue = venue
        self._burst = venue.setup.number("rest_burst", 0)
        self._tokens: dict[str, tuple[float, int]] = {}
        self._calls = {
            "get_open_orders": self._open_orders, "get_order_state": self._one,
            "get_order_state_by_label": self._by_label, "get_user_trades_by_order": self._trades,
            "get_account_summaries": self._accounts, "get_positions": self._positions, "cancel": self._cancel,
            "cancel_by_label": self._cancel_by_label, "cancel_all": self._cancel_all,
        }  # fmt: skip
        self.refused = 0

    def answer(self, request: Request) -> Response:
        """The answer to a request."""
        account = self._account(request)
        if account is None:
            return _fail(13009, "unauthorized", 401)
        call = self._calls.get(request.path.removeprefix(PREFIX)) if request.path.startswith(PREFIX) else None
        if call is None or request.method != "GET":
            return _fail(-32601, "Method not found", 404)
        if self._too_many(account):
            return _fail(10028, "too_many_requests", 429)
        return call(account, {k: v[0] for k, v in parse_qs(request.query).items()})

    def _account(self, request: Request) -> str | None:
        if self._venue.setup.any_logon:
            return "main"
        said = AUTHORIZATION.fullmatch(request.header("Authorization"))
        key = next((k for k in self._venue.setup.rest_keys if said and k.key and k.key == said[1]), None)
        if said is None or key is None:
            return None
        if abs(int(said[2]) - self._venue.clock.wall_ns() // MS_NS) > WINDOW_MS:
            return None
        target = f"{request.path}?{request.query}" if request.query else request.path
        lines = [said[2], said[4], request.method, target, request.body.decode("utf-8", "replace"), ""]
        wanted = hmac.new(key.secret.encode(), "\n".join(lines).encode(), hashlib.sha256).hexdigest()
        return key.account if hmac.compare_digest(wanted, said[3]) else None

    def _too_many(self, account: str) -> bool:
        """Credits that fill again, a fifth of them each second."""
        if not self._burst:
            return False
        now = self._venue.clock.mono_ns()
        level, at = self._tokens.get(account, (float(self._burst), now))
        level = min(self._burst, level + (now - at) / SECOND_NS * self._burst / 5) - 1
        self._tokens[account] = max(level, 0.0), now
        self.refused += level < 0
        return level < 0

    def _open_orders(self, account: str, said: dict[str, str]) -> Response:
        at_ns, exchange = self._venue.list_time_ns(), self._venue.exchange
        orders = exchange.as_of(account, at_ns)
        return _result([self._describe(o, exchange.cum_as_of(o, at_ns), live=True) for o in orders])

    def _find(self, account: str, order_id: str) -> Order | None:
        order = self._venue.exchange.orders.get(order_id)
        return order if order is not None and order.owner.account == account else None

    def _labelled(self, account: str, said: dict[str, str]) -> list[Order]:
        everything = self._venue.exchange.orders.values()
        mine = [o for o in everything if o.owner.account == account and o.wire.get(100010) == said.get("label")]
        return [o for o in mine if self._currency(o.symbol) == said.get("currency", self._currency(o.symbol))]

    @staticmethod
    def _currency(symbol: str) -> str:
        return symbol.partition("-")[0].rpartition("_")[2]

    def _one(self, account: str, said: dict[str, str]) -> Response:
        order = self._find(account, said.get("order_id", ""))
        if order is None:
            return _fail(10004, "order_not_found")
        return _result(self._describe(order, order.cum, live=not order.done))

    def _by_label(self, account: str, said: dict[str, str]) -> Response:
        return _result([self._describe(o, o.cum, live=not o.done) for o in self._labelled(account, said)])

    def _describe(self, o: Order, cum: int, *, live: bool) -> dict[str, Any]:
        i = self._venue.exchange.instruments[o.symbol]
        return {
            "order_id": o.order_id,
            "instrument_name": o.symbol,
            "direction": "buy" if o.side == BUY else "sell",
            "order_state": ("untriggered" if o.trigger else "open") if live else STATES.get(o.status, "cancelled"),
            "order_type": {"1": "market", "K": "market_limit"}.get(o.wire.get(40, "2"), "limit"),
            "amount": _json(_units(i, o.qty)),
            "contracts": _json(from_scaled(o.qty, i.qty_scale)),
            "filled_amount": _json(_units(i, cum)),
            "price": "market_price" if o.price is None else _json(from_scaled(o.price, i.px_scale)),
            "label": o.wire.get(100010, ""),
            "post_only": o.post_only,
            "creation_timestamp": o.opened_ns // MS_NS,
            "last_update_timestamp": (o.closed_ns or o.opened_ns) // MS_NS,
        }

    def _trades(self, account: str, said: dict[str, str]) -> Response:
        order = self._find(account, said.get("order_id", ""))
        if order is None:
            return _fail(10004, "order_not_found")
        fills = self._venue.exchange.fills_of(order, self._venue.list_time_ns())
        return _result([self._trade(order, f) for f in fills])

    def _trade(self, o: Order, f: Fill) -> dict[str, Any]:
        i = self._venue.exchange.instruments[o.symbol]
        return {
            "trade_id": f"{_currency_of(i)}-{f.trade_id}",
            "order_id": o.order_id,
            "instrument_name": o.symbol,
            "direction": "buy" if o.side == BUY else "sell",
            "price": _json(from_scaled(f.px, i.px_scale)),
            "amount": _json(_units(i, f.qty)),
            "contracts": _json(from_scaled(f.qty, i.qty_scale)),
            "fee": _json(self._venue.fee(o, f.px, f.qty)),
            "fee_currency": _currency_of(i),
            "liquidity": "T" if f.aggressor else "M",
            "label": o.wire.get(100010, ""),
            "timestamp": f.time_ns // MS_NS,
        }

    def _accounts(self, account: str, said: dict[str, str]) -> Response:
        holdings = self._venue.accounts.holdings(account)
        told = [
            {"currency": c, "equity": _json(h.total), "available_funds": _json(h.available)}
            for c, h in holdings.items()
        ]  # fmt: skip
        return _result({"summaries": told})

    def _positions(self, account: str, said: dict[str, str]) -> Response:
        instruments = self._venue.exchange.instruments
        return _result(
            [
                {"instrument_name": s, "size": _json(qty * _unit(instruments[s])), "kind": "future",
                 "direction": "buy" if qty > 0 else "sell"}
                for s, qty in self._venue.accounts.positions(account).items()
            ]
        )  # fmt: skip

    def _cancel(self, account: str, said: dict[str, str]) -> Response:
        order = self._find(account, said.get("order_id", ""))
        if order is None:
            return _fail(10004, "order_not_found")
        done = self._venue.cancel_over_rest(order, "")
        if not done:
            return _fail(10041, self._venue.no_cancel_text) if done is None else _fail(11044, "not_open_order")
        return _result(self._describe(order, order.cum, live=not order.done))

    def _cancel_by_label(self, account: str, said: dict[str, str]) -> Response:
        return self._many([o for o in self._labelled(account, said) if not o.done])

    def _cancel_all(self, account: str, said: dict[str, str]) -> Response:
        return self._many(self._venue.exchange.working(account=account))

    def _many(self, orders: list[Order]) -> Response:
        count = self._venue.cancel_many(orders, "", via="rest")
        return _fail(10041, self._venue.no_cancel_text) if count is None else _result(count)


def _unit(i: Instrument) -> Decimal:
    return from_scaled(i.contract.value, i.contract.scale) if i.contract else Decimal(1)


def _units(i: Instrument, qty: int) -> Decimal:
    """Contracts in what they are of."""
    return from_scaled(qty, i.qty_scale) * _unit(i)


def _currency_of(i: Instrument) -> str:
    return i.symbol.partition("-")[0].rpartition("_")[2]


def _json(value: Decimal) -> float | int:
    return int(value) if value == value.to_integral_value() else float(value)


def _result(content: object) -> Response:
    return json_response({"jsonrpc": "2.0", "result": content})


def _fail(code: int, message: str, status: int = 400) -> Response:
    return json_response({"jsonrpc": "2.0", "error": {"code": code, "message": message}}, status)
