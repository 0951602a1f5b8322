"""What both REST sides of the simulated Kraken have in common: keys, trades, JSON."""

import hashlib
import json
from typing import TYPE_CHECKING

from base.http import Response
from sim.orders import Fill
from sim.setup import RestKey

if TYPE_CHECKING:
    from venues.kraken.sim import KrakenSim


def key_of(venue: "KrakenSim", key: str) -> RestKey | None:
    """Whose key it is; None when nobody's."""
    if venue.setup.any_logon:
        return RestKey(key=key)
    return next((k for k in venue.setup.rest_keys if k.key == key and key), None)


def trades_of(venue: "KrakenSim", account: str, *, spot: bool) -> list[tuple[str, Fill]]:
    """(id, fill) of the account's trades that the venue's history knows by now, oldest first."""
    exchange, at_ns = venue.exchange, venue.list_time_ns()
    return [
        (trade_txid(f), f)
        for f in exchange.executions
        if f.time_ns <= at_ns
        and exchange.orders[f.order_id].owner.account == account
        and ("/" in exchange.orders[f.order_id].symbol) == spot
    ]


def trade_txid(f: Fill) -> str:
    """A trade's id on one side of it: the other side has another."""
    digits = hashlib.sha256(f"{f.order_id}/{f.trade_id}".encode()).hexdigest()[:17].upper()
    return f"T{digits[:5]}-{digits[5:10]}-{digits[10:16]}"


def json_answer(content: object, status: int = 200) -> Response:
    return Response(status, json.dumps(content).encode(), (("Content-Type", "application/json"),))
