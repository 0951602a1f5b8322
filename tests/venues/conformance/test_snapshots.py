"""Connections that are lost in the middle of a snapshot: no book before a whole new one, nothing of the old in it."""

import pytest

from tests.venues.conformance.cases import Case
from tests.venues.conformance.test_live import LIVE
from tests.venues.conformance.world import MS, Line, Watcher, World

BOOKS = [(c, level) for c in LIVE for level in sorted(c.capabilities.levels) or (0,)]
OLD = ((99, 101), (98, 102), (97, 103), (96, 104))
MEANWHILE = ((89, 91), (88, 92), (87, 93), (86, 94))
NEW = ((79, 81), (78, 82), (77, 83), (76, 84), (75, 85))


def answer(world: World, watcher: Watcher) -> tuple[Line, bytes]:
    """Connect; what the venue sends from the moment at which it reads the subscription, while nothing of it arrives."""
    world.run(61_000 * MS, 1_000 * MS)  # some venues keep a name for a while whose connection was cut
    line = watcher.dial()
    for _ in range(100):
        while line.up or line.down:
            if line.up:
                data = line.up.popleft()
                subscribes = b"\x0135=V\x01" in data
                line.link.received(data)
                line.holding = line.holding or subscribes
            if line.holding:
                break
            if line.down:
                line.give(line.down.popleft())
        if line.holding and any(b"\x0135=W\x01" in data for data in line.down):
            for _ in range(10):  # the rest of a snapshot that comes in pieces
                world.clock.advance(MS)
                world.venue.tick()
            break
        world.clock.advance(20 * MS)
        world.venue.tick()
        line.session.tick(*world.now)
    while line.up:
        line.link.received(line.up.popleft())
    whole = b"".join(line.down)
    assert b"\x0135=W\x01" in whole, "the venue sent no snapshot"
    line.down.clear()
    return line, whole


def cuts(whole: bytes) -> list[int]:
    """Where the connection is lost: inside the snapshot, early and late, and between its pieces."""
    begin = whole.index(b"\x0135=W\x01")
    end = whole.rindex(b"\x0110=")
    pieces = [n for n in range(begin, end) if whole.startswith(b"8=FIX", n)]
    return [begin + (end - begin) // 4, end - 1, *pieces[:2]]


@pytest.mark.parametrize(("case", "level"), BOOKS, ids=lambda v: v.id if isinstance(v, Case) else str(v))
def test_a_snapshot_cut_off_makes_no_book_and_the_next_whole_one_alone_does(case: Case, level: int) -> None:
    if not level:
        pytest.skip(f"{case.id}: Capabilities.levels is empty: the venue has no books")
    world = World(case, **case.pieces)
    world.make_book(*OLD)
    watcher = Watcher(world, level)
    line, whole = answer(world, watcher)
    assert (whole.count(b"\x0135=W\x01") > 1) is bool(case.pieces)
    line.give(whole)
    line.holding = False
    world.until(lambda: watcher.live, "the first book")
    assert watcher.levels() == watcher.truth()
    line.cut()
    assert not watcher.live
    for n in range(len(cuts(whole))):
        world.make_book(*MEANWHILE)
        line, whole = answer(world, watcher)
        line.give(whole[: cuts(whole)[min(n, len(cuts(whole)) - 1)]])
        assert not watcher.live, "half a snapshot passed for a book"
        line.cut()
        assert not watcher.live
    world.make_book(*NEW)
    line, whole = answer(world, watcher)
    assert not watcher.live, "a book before anything of the new snapshot"
    line.give(whole)
    line.holding = False
    world.until(lambda: watcher.live, "the book of the new snapshot")
    assert watcher.levels() == watcher.truth()
    old = {px * 10**case.instrument.px_scale for pair in (*OLD, *MEANWHILE) for px in pair}
    assert not old & {px for side in watcher.levels() for px, _ in side}
    world.make_book(*NEW[1:], (70, 90))
    world.run(1_000 * MS)
    assert watcher.live
    assert watcher.levels() == watcher.truth(), "and it goes on from there"
