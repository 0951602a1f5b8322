"""Random lives of a book: a lively market, refreshes, lost connections, lost updates. A book that is LIVE is right."""

import random

import pytest

from sim.flow import Flow
from tests.venues.conformance.cases import Case
from tests.venues.conformance.test_live import LIVE
from tests.venues.conformance.world import MS, Watcher, World

BOOKS = [(c, level) for c in LIVE for level in sorted(c.capabilities.levels) or (0,)]
ROUNDS = 12


class BookLife:
    """One of them."""

    def __init__(self, case: Case, level: int, seed: int) -> None:
        self.random = random.Random(f"{case.id}/{level}/{seed}")
        self.world = World(case)
        self.flow = Flow(self.world.venue.exchange, case.instrument, seed, "100")
        for _ in range(60):
            self.flow.step()
        self.watcher = Watcher(self.world, level)
        self.session = self.watcher.session
        # Only ids of updates show each one that was left out: a checksum is of the best ten levels.
        self.faults = ["drop"]
        if case.capabilities.update_ids:
            self.faults.append("md_gap")
        if case.capabilities.checksum:
            self.faults.append("md_checksum")
        self.done: list[str] = []

    def turn(self, ns: int, least: int = 1) -> None:
        """The market moves, and so much time passes."""
        for _ in range(least + self.random.randrange(25)):
            self.flow.step()
        self.world.run(ns, 50 * MS)

    def act(self) -> None:
        """Something happens to the connection, the subscription or an update; mostly nothing."""
        what = self.random.choice(("", "", "", "cut", "refresh", "fault", "fault"))
        line = self.watcher.line
        if what == "cut" and line is not None:
            line.cut()
        elif what == "refresh" and self.watcher.ready:
            self.session.refresh(0, *self.world.now)
        elif what == "fault":
            what = self.random.choice(self.faults)
            self.world.pin(what, **({"msg_type": "X"} if what == "drop" else {}))
        self.done.append(what)

    def come_back(self) -> None:
        """As a link does."""
        if self.watcher.line is None or not self.watcher.line.open:
            self.world.run(61_000 * MS, 1_000 * MS)
            self.watcher.dial()

    def settled(self) -> None:
        """The market rests: the book comes to be LIVE, and is the venue's."""
        for _ in range(20):
            self.come_back()
            self.world.run(3_000 * MS, 100 * MS)
            if self.watcher.live:
                assert self.watcher.levels() == self.watcher.truth(), self.done
                return
        raise AssertionError(f"not LIVE again after {self.done}: {self.watcher.builder.state(0)}")


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("case", "level"), BOOKS, ids=lambda v: v.id if isinstance(v, Case) else str(v))
def test_whatever_happens_a_book_that_is_live_is_the_venues(case: Case, level: int, seed: int) -> None:
    if not level:
        pytest.skip(f"{case.id}: Capabilities.levels is empty: the venue has no books")
    life = BookLife(case, level, seed)
    life.settled()
    for n in range(ROUNDS):
        life.act()
        life.turn(life.random.choice((100, 400, 900)) * MS)
        if n % 3 == 2:
            # What a fault still waits for is not to strike when the market rests: nothing later would show it.
            life.turn(200 * MS)
            life.world.venue.faults.clear()
            life.turn(200 * MS, 15)
            life.settled()
