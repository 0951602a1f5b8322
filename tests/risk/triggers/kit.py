"""Events of owners' journals, for tests of the triggers."""

import itertools

import msgspec

from base.kill_config import LimitConfig
from ipc.events import CancelReject, ExecutionReport, OrderState, Position

MS = 1_000_000
SECOND = 1_000 * MS
NOW = 1_000_000 * SECOND  # monotonic
WALL = 1_750_000_000 * SECOND  # 2025-06-15 15:06:40 UTC
_ids = itertools.count(1)


def limit(scope: str = "desk", **figures: object) -> LimitConfig:
    return msgspec.convert({"scope": scope, **figures}, LimitConfig)


def report(exec_type: str = "F", **more: object) -> ExecutionReport:
    """Two decimals of price, eight of quantity; a fill of 1.00000000 at 100.00 unless said otherwise."""
    n = next(_ids)
    fields: dict[str, object] = {
        "session": "a", "venue": "x", "account": "main", "instrument": "BTC-USD", "cl_ord_id": f"o{n}",
        "order_id": f"V{n}", "exec_id": f"e{n}", "exec_type": exec_type, "ord_status": "2", "side": "1",
        "ord_type": "2", "time_in_force": "1", "px_scale": 2, "qty_scale": 8, "order_qty": 10**8, "price": 10_000,
        "stop_px": None, "last_qty": 10**8, "last_px": 10_000, "cum_qty": 10**8, "leaves_qty": 0, "transact_ns": 0,
        "sending_ns": 0, "recv_ns": WALL, **more,
    }  # fmt: skip
    return ExecutionReport(**fields)  # type: ignore[arg-type]


def state(cl_ord_id: str, what: str = "PENDING_NEW", **more: object) -> OrderState:
    fields: dict[str, object] = {
        "session": "a", "venue": "x", "account": "main", "instrument": "BTC-USD", "cl_ord_id": cl_ord_id,
        "order_id": "", "state": what, "side": "1", "ord_type": "2", "time_in_force": "1", "px_scale": 2,
        "qty_scale": 8, "order_qty": 10**8, "price": 10_000, "cum_qty": 0, "leaves_qty": 10**8, "strategy": "mm",
        "client_id": "t", "command_id": "", "since_ns": WALL, **more,
    }  # fmt: skip
    return OrderState(**fields)  # type: ignore[arg-type]


def refused(request_id: str, **more: object) -> CancelReject:
    fields: dict[str, object] = {
        "session": "a", "venue": "x", "instrument": "BTC-USD", "cl_ord_id": "o", "request_id": request_id,
        "order_id": "", "response_to": "1", "reason_code": "", "text": "no", "origin": "9", "recv_ns": WALL, **more,
    }  # fmt: skip
    return CancelReject(**fields)  # type: ignore[arg-type]


def position(qty: float, px: float = 0, **more: object) -> Position:
    """`qty` and `px` in whole units."""
    fields: dict[str, object] = {
        "session": "a", "venue": "x", "account": "main", "instrument": "BTC-USD", "position": round(qty * 10**8),
        "qty_scale": 8, "ts_ns": WALL, "mark_px": round(px * 100), "px_scale": 2, **more,
    }  # fmt: skip
    return Position(**fields)  # type: ignore[arg-type]
