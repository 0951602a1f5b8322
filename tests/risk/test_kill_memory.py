"""What the kill switch keeps of orders and trips is bounded: long runs hold no more than short ones."""

from collections import deque
from collections.abc import Mapping

import pytest

from risk.kill_orders import FINISHED_KEPT
from risk.kill_trip import Phase
from tests.risk.kill_world import LAG_NS, MS
from tests.risk.test_kill import Desk

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
