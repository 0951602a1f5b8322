"""Trades of the desk with itself: one trade of the venue with an order of ours on both sides. Pure.

Told by the trade id, which both sides of a trade share; where the venue gives none, by the same price and quantity at
the same moment (TransactTime) on opposite sides.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from base.kill_config import LimitConfig
from ipc.events import ExecutionReport, told_beside
from risk.kill_plan import Owned, covers
from risk.triggers.days import Days
from risk.triggers.rules import rule_of
from risk.triggers.watch import Reading

HALVES_KEPT = 20_000
FOUND_KEPT = 10_000  # of a day: what has so many is long tripped, and they are written down each second


class SelfTrade(msgspec.Struct, frozen=True):
    """One of them. `name`: what it was told by."""

    name: str
    day: str
    buyer: Owned
    seller: Owned
    at_ns: int = 0  # UTC


class _Half(msgspec.Struct, frozen=True):
    side: str
    cl_ord_id: str
    owned: Owned


class SelfTradeBook:
    """The self-trades of the day."""

    def __init__(self, limits: Sequence[LimitConfig], days: Days, found: Iterable[SelfTrade] = ()) -> None:
        self.limits = [x for x in limits if x.max_self_trades_per_day is not None]
        self.found = {t.name: t for t in found}
        self._days = days
        self._halves: dict[str, _Half] = {}

    def event(self, event: object, wall_ns: int) -> SelfTrade | None:
        """Take in an event of an owner's journal; read twice, it counts once."""
        if not self.limits or not isinstance(event, ExecutionReport) or event.exec_type != "F" or told_beside(event):
            return None
        name = _name(event)
        if not name or name in self.found:
            return None
        owned = Owned(event.venue, event.account, event.session, event.instrument, event.strategy)
        half, other = _Half(event.side, event.cl_ord_id, owned), self._halves.pop(name, None)
        if other is None or {half.side, other.side} != {"1", "2"} or half.cl_ord_id == other.cl_ord_id:
            self._halves[name] = other or half
            if len(self._halves) > HALVES_KEPT:
                del self._halves[next(iter(self._halves))]
            return None
        at_ns = event.transact_ns or event.recv_ns or wall_ns
        buyer, seller = (half, other) if half.side == "1" else (other, half)
        trade = SelfTrade(name, self._days.day(at_ns), buyer.owned, seller.owned, at_ns)
        if len(self.found) < FOUND_KEPT:
            self.found[name] = trade
        return trade

    def readings(self, day: str) -> list[Reading]:
        """The day's count in each scope that has a limit."""
        old = [name for name, trade in self.found.items() if trade.day < day]
        for name in old:
            del self.found[name]
        return [self._reading(limit, day) for limit in self.limits]

    def _reading(self, limit: LimitConfig, day: str) -> Reading:
        mine = [t for t in self.found.values() if t.day == day and _inside(limit.scope, t)]
        last = mine[-1] if mine else None
        detail = f"last: {last.buyer.session} bought from {last.seller.session}, {last.name}" if last else ""
        most = Decimal(limit.max_self_trades_per_day or 0)
        rule = rule_of(limit, "self-trades a day")
        trips = limit.action == "trip"
        return Reading(limit.scope, "self-trades a day", "", Decimal(len(mine)), most, rule, trips, detail=detail)


def _inside(scope: str, trade: SelfTrade) -> bool:
    return covers(scope, trade.buyer) or covers(scope, trade.seller)


def _name(report: ExecutionReport) -> str:
    at = f"{report.venue} {report.instrument}"
    if report.trade_id:
        return f"{at} trade {report.trade_id}"
    if report.transact_ns and report.last_px and report.last_qty:
        return f"{at} {report.last_qty}@{report.last_px} at {report.transact_ns}"
    return ""
