"""Events in words: one line each, for people. Pure."""

import time

from base.decimals import format_scaled
from ipc import events as e
from ipc.sequence import Gap

SIDES = {"1": "buy", "2": "sell", "5": "sell short", "": "?"}
EXEC_TYPES = {
    "0": "new", "3": "done for day", "4": "canceled", "5": "replaced", "6": "pending cancel", "7": "stopped",
    "8": "rejected", "9": "suspended", "A": "pending new", "C": "expired", "D": "restated", "E": "pending replace",
    "F": "trade", "1": "partial fill", "2": "fill", "G": "trade corrected", "H": "trade busted", "I": "status",
    "L": "triggered",
}  # fmt: skip
_TRADES = frozenset("F12GH")


def number(value: int | None, scale: int) -> str:
    """Decimal text; "" for None."""
    return "" if value is None else format_scaled(value, scale)


def clock_text(ns: int) -> str:
    """UTC time of day to the millisecond; "" for 0."""
    return time.strftime("%H:%M:%S", time.gmtime(ns // 10**9)) + f".{ns // 10**6 % 1000:03d}" if ns else ""


def is_trade(report: e.ExecutionReport) -> bool:
    """Whether it tells of a fill, a correction or a bust."""
    return report.exec_type in _TRADES and bool(report.last_qty)


def order_text(order: e.OrderState) -> str:
    """`NEW buy 0.5 BTC-USD at 60000, 0.1 filled: reason`."""
    price = f" at {number(order.price, order.px_scale)}" if order.price is not None else ""
    filled = f", {number(order.cum_qty, order.qty_scale)} filled" if order.cum_qty else ""
    reason = f": {order.reason}" if order.reason else ""
    side, qty = SIDES.get(order.side, order.side), number(order.order_qty, order.qty_scale)
    return f"{order.state} {side} {qty} {order.instrument}{price}{filled}{reason}"


def report_text(report: e.ExecutionReport) -> str:
    """`trade: buy 0.1 BTC-USD at 60000 (maker); 0.4 left`."""
    what = EXEC_TYPES.get(report.exec_type, f"150={report.exec_type}")
    parts = [what]
    if is_trade(report):
        side, qty = SIDES.get(report.side, report.side), number(report.last_qty, report.qty_scale)
        maker = {"M": " (maker)", "T": " (taker)"}.get(report.liquidity, "")
        parts.append(f"{side} {qty} {report.instrument} at {number(report.last_px, report.px_scale) or '?'}{maker}")
    else:
        parts.append(report.instrument)
    left = f"; {number(report.leaves_qty, report.qty_scale)} left" if report.leaves_qty is not None else ""
    said = f": {report.text}" if report.text else ""
    marks = [w for w, on in (("drop copy", report.drop_copy), ("again", report.poss_dup)) if on]
    marks += [] if report.origin == "8" else [f"by {report.origin}"]
    tail = f" ({', '.join(marks)})" if marks else ""
    return f"{' '.join(p for p in parts if p)}{left}{said}{tail}"


def reject_text(reject: e.CancelReject) -> str:
    """`cancel refused: too late`."""
    what = "replace" if reject.response_to == "2" else "cancel"
    return f"{what} refused: {reject.text or reject.reason_code or 'no reason given'}"


def difference_text(diff: e.Difference) -> str:
    """`difference fill: desk says .., venue says ..; settled by ..`."""
    return f"{diff.kind}: desk says {diff.desk}, venue says {diff.venue_says}; settled by {diff.settled_by}"


def gap_text(gap: Gap) -> str:
    """What of a topic was lost."""
    if gap.kind == "silent":
        return "nothing is heard of it any more"
    lost = gap.next - gap.first
    return f"{gap.kind}: {lost} events lost{f': {gap.text}' if gap.text else ''}"


def source_text(event: e.BookSource) -> str:
    """From where a book is taken now."""
    return f"taken from {event.session}, no more from {event.previous}: {event.reason}"
