"""What the kill switch keeps of orders and trips is bounded: long runs hold no more than short ones."""

import gc
from collections import deque
from collections.abc import Mapping
from zoneinfo import ZoneInfo

import msgspec
import pytest

from ipc.events import ExecutionReport, OrderState, Position
from risk.kill_orders import FINISHED_KEPT
from risk.kill_trip import Phase
from risk.triggers.counts import STEPS, CountBook
from risk.triggers.days import Days
from risk.triggers.drop_copy import DropCopyBook
from risk.triggers.pnl import ProfitBook
from risk.triggers.self_trades import SelfTradeBook
from tests.risk.kill_world import LAG_NS, MS
from tests.risk.test_kill import Desk
from tests.risk.triggers.kit import NOW, SECOND, WALL, limit, position, report, state

ORDERS = 60_000
TRIPS = 300


def held(root: object) -> dict[str, int]:
    """Entries of every container that hangs on an object of ours, by the attribute that leads there."""
    found: dict[str, int] = {}
    seen: set[int] = set()
    left: list[tuple[str, object]] = [(type(root).__name__, root)]
    while left:
        path, thing = left.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, dict | list | set | frozenset | deque | tuple):
            found[path] = found.get(path, 0) + len(thing)
            inner = [*thing.keys(), *thing.values()] if isinstance(thing, Mapping) else list(thing)
            left += [(f"{path}[]", x) for x in inner]
        elif type(thing).__module__.startswith(("risk.", "venues.", "ipc.")):
            names = [n for c in type(thing).__mro__ for n in getattr(c, "__slots__", ())]
            names += list(getattr(thing, "__dict__", {}))
            left += [(f"{path}.{n}", getattr(thing, n)) for n in dict.fromkeys(names) if hasattr(thing, n)]
    return found


class Most:
    """The most that each container held in the samples of two spans of a run: what is let go in steps swings alike."""

    def __init__(self) -> None:
        self.before: dict[str, int] = {}
        self.after: dict[str, int] = {}

    def sample(self, now: dict[str, int], done: float) -> None:
        """`done`: the part of the run that is over. The first half fills what is bounded."""
        span = self.after if done > 0.75 else self.before if done > 0.5 else {}
        for path, n in now.items():
            span[path] = max(n, span.get(path, 0))

    def grown(self) -> dict[str, tuple[int, int]]:
        """Those that held more by a twentieth, and by more than a few."""
        return {
            path: (self.before.get(path, 0), n)
            for path, n in self.after.items()
            if n > self.before.get(path, 0) * 1.05 + 20
        }


class Life:
    """Orders that come, trade or are cancelled, and are told of by order entry and drop copy; some never meet."""

    def __init__(self) -> None:
        limits = [
            limit(max_rejects_per_min=1, max_cancels_per_fill="1", max_duplicates_per_min=1, max_self_trades_per_day=1,
                  max_drop_copy_mismatches_per_day=1, max_drop_copy_lag_s=1),
        ]  # fmt: skip
        days = Days(ZoneInfo("UTC"))
        self.desk = Desk()
        self.counts, self.profit = CountBook(limits), ProfitBook(days)
        self.self_trades = SelfTradeBook(limits, days)
        self.drop_copy = DropCopyBook(limits, {"x": "main"}, days)
        self.n = 0

    def orders(self, count: int) -> None:
        for _ in range(count):
            self.n += 1
            self.one(self.n, NOW + self.n * SECOND // 100)
        self.desk.actions.clear()

    def one(self, n: int, now: int) -> None:
        name, session = f"o{n}", "ab"[n // 4 % 2]
        names = {"session": session, "cl_ord_id": name, "order_id": f"V{n}", "exec_id": f"e{n}"}
        self.tell(state(name, session=session, order_id=f"V{n}"), now)
        if n % 2:
            self.tell(report("4", **names, ord_status="4"), now)
        else:
            fill = report("F", **names, trade_id=f"t{n}", side="12"[n // 2 % 2])
            self.tell(fill, now)
            self.tell(position(n % 7, 100, session=session), now)
            if n % 4:  # half of them are never copied
                copy = msgspec.structs.replace(fill, session="dc", drop_copy=True)
                self.drop_copy.event(copy, now, WALL, now, lambda _: True)
        self.tell(state(name, "FILLED", session=session, order_id=f"V{n}", cum_qty=10**8), now)
        if not n % 500:
            self.counts.readings(now)
            self.drop_copy.readings(lambda _: False, now, "2025-06-15")
            self.desk.switch.tick()
            self.desk.actions.clear()

    def tell(self, event: ExecutionReport | OrderState | Position, now: int) -> None:
        self.counts.event(event, now, now)
        self.profit.event("a", 1, now, event)
        self.self_trades.event(event, WALL)
        self.drop_copy.event(event, now, WALL, now, lambda _: True)
        self.desk.switch.event(event)

    def held(self) -> dict[str, int]:
        gc.collect()
        books = (self.counts, self.profit, self.self_trades, self.drop_copy)
        found = [held(self.desk.switch.ledger), *map(held, books)]
        return {path: n for each in found for path, n in each.items()}


@pytest.mark.stress
@pytest.mark.timeout(900)
def test_orders_without_end_are_not_kept_without_end() -> None:
    life, most = Life(), Most()
    while life.n < ORDERS:
        life.orders(ORDERS // 40)
        if life.n > ORDERS // 2:
            most.sample(life.held(), life.n / ORDERS)
    windows = {path: n for path, n in most.after.items() if "._buckets" in path}  # ten minutes are not over yet
    assert {path for path in most.grown() if path not in windows} == set()
    assert all(n <= 2 * (STEPS + 1) for n in windows.values()), windows
    assert sum(most.after.values()) > 10_000, "it looks where things are kept"


@pytest.mark.stress
@pytest.mark.timeout(900)
def test_trips_without_end_are_not_kept_without_end() -> None:
    """Some orders end by a report, some by absence alone: those are held until they are too many, too."""
    desk, most = Desk(reset_cool_off_s=0), Most()
    kept = desk.switch
    for i in range(TRIPS):
        for k in range(8):
            desk.order("a", f"r{i}-{k}")
            desk.order("b", f"l{i}-{k}")
        trip = desk.trip("venue:x" if i % 2 else "desk")
        desk.fence()
        desk.inventories()
        for k in range(8):
            desk.cancelled("a", f"r{i}-{k}")
        for _ in range(3):
            desk.pass_ms(2 * LAG_NS // MS)
            desk.empty_lists()
        assert trip.phase is Phase.PROVEN
        kept.reset(trip.scope, "why", "me")
        desk.pass_ms(10)
        desk.actions.clear()
        if i > TRIPS // 2 and not i % 5:
            most.sample(held(kept), i / TRIPS)
    assert most.grown() == {}
    assert not kept.trips
    assert list(kept.ledger.open()) == []
    assert [n for path, n in most.after.items() if path.endswith("._absent")] == [FINISHED_KEPT]
