"""Readers against a writer that is flat out, stopped, or killed: no number is ever a mixture of two versions."""

import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from base.errors import BookBusyError, StaleBookError
from ipc._book import BookReader, race_read, race_write
from ipc.books import BookRegion, BookSpec, BookState, RegionOwner, create_region
from tests.ipc.book_reference import what

pytestmark = pytest.mark.stress
SPECS = [BookSpec("V", "A-B", 1, 1, 2, 64), BookSpec("V", "A-B", 1, 1, 3, 64, 4000)]
LONG_NS = 3_600_000_000_000
BEST, TOP, DEPTH = range(3)


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[RegionOwner]:
    shm = Path("/dev/shm")
    path = (shm if os.access(shm, os.W_OK) else tmp_path) / f"qd-race-{os.getpid()}-{random.getrandbits(32):x}"
    made = create_region(path, SPECS, heartbeat_limit_ns=LONG_NS)
    yield made
    made.close()
    path.unlink()
    path.with_name(path.name + ".lock").unlink()


@contextlib.contextmanager
def forked(work: Callable[[], object]) -> Iterator[int]:
    """`work` in a child that is killed at the end."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def flood(owner: RegionOwner) -> None:
    book, k = owner.book("V", "A-B"), 2
    while True:
        race_write(book, k, 10_000)
        k += 10_000


def wait_for_version(reader: BookReader, version: int) -> None:
    end = time.monotonic() + 20
    while reader.times()[3] < version:
        assert time.monotonic() < end, "the writer does not write"
        time.sleep(0.001)


@pytest.mark.parametrize(("area", "reads"), [(BEST, 2_000_000), (TOP, 500_000), (DEPTH, 100_000)])
def test_no_read_is_torn_under_a_writer_that_is_flat_out(owner: RegionOwner, area: int, reads: int) -> None:
    race_write(owner.book("V", "A-B"), 1, 1)
    reader = BookRegion.open(owner.path).book("V", "A-B", 2)
    totals = [0, 0, 0]
    with forked(lambda: flood(owner)):
        wait_for_version(reader, 1000)
        began = reader.times()[3]
        while totals[0] < reads or reader.times()[3] < began + 10_000:  # the test's own time limit ends it
            done, torn, busy, _, worst = race_read(reader, area, 50_000)
            totals = [a + b for a, b in zip(totals, (done, torn, busy), strict=True)]
            assert worst <= reader.tries
    assert totals[1] == 0
    if area != DEPTH:
        assert totals[2] == 0


def test_a_reader_that_is_stopped_mid_read_never_takes_a_mixture_for_a_version(owner: RegionOwner) -> None:
    race_write(owner.book("V", "A-B"), 1, 1)
    reader = BookRegion.open(owner.path).book("V", "A-B", 2)
    got, put = os.pipe()

    def read() -> None:
        totals = [0, 0, 0]
        end = time.monotonic() + 2
        while time.monotonic() < end:
            _, torn, busy, retried, _ = race_read(reader, TOP, 5_000)
            totals = [totals[0] + torn, totals[1] + busy, totals[2] + retried]
        os.write(put, json.dumps(totals).encode())

    rng = random.Random(3)
    with forked(lambda: flood(owner)), forked(read) as pid:
        wait_for_version(reader, 1000)
        end = time.monotonic() + 1.8
        while time.monotonic() < end:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(rng.uniform(0, 0.003))
            os.kill(pid, signal.SIGCONT)
            time.sleep(rng.uniform(0, 0.003))
        os.waitpid(pid, 0)
    torn, busy, retried = json.loads(os.read(got, 1000))
    os.close(got)
    os.close(put)
    assert (torn, busy) == (0, 0)
    assert retried > 0, "no read was ever overtaken: the stops did not bite"


def mutate(owner: RegionOwner, seed: int) -> None:
    rng = random.Random(seed)
    book = owner.book("V", "A-B", 3)
    book.replace(b"", b"")
    alive: list[int] = []
    for key in range(1, 1 << 30):
        if len(alive) > 1500:
            gone = alive.pop(rng.randrange(len(alive)))
            book.apply(what(0, 2), 0, 0, gone)
        side = rng.randrange(2)
        px = 200 + rng.randrange(20) if side else 100 + rng.randrange(20)
        if book.apply(what(side), px, 1 + rng.randrange(5), key, key) == 0:
            alive.append(key)


def check_l3(reader_path: Path) -> str:
    """What a reader that comes after the writer's death finds; anything but a whole book or a refusal fails."""
    reader = BookRegion.open(reader_path).book("V", "A-B", 3)
    state, *top = reader.top_any(50)
    assert state in (BookState.LIVE, BookState.RECOVERING)
    for side, sign in ((top[:100], -1), (top[100:], 1)):
        prices = [sign * px for px, qty in zip(side[::2], side[1::2], strict=True) if qty]
        assert prices == sorted(set(prices))
    try:
        _, bids, asks = reader.depth_any()
        orders = reader.orders()
    except BookBusyError:
        return "odd"
    except StaleBookError:
        return "stale"
    for levels, queue in zip((bids, asks), orders, strict=True):
        totals: dict[int, list[int]] = {}
        for px, qty, _, _ in queue:
            totals.setdefault(px, []).append(qty)
        assert [(px, sum(q), len(q)) for px, q in totals.items()] == levels
    # The depth is published first, the top after it: who dies between the two leaves a top that is one message older.
    same = (list(top[:2]), list(top[100:102])) == (list(bids[0][:2]), list(asks[0][:2]))
    return "whole" if same else "between"


def test_a_writer_killed_at_any_instant_leaves_a_whole_book_or_a_refusal(tmp_path: Path) -> None:
    rng = random.Random(11)
    found = {"odd": 0, "stale": 0, "whole": 0, "between": 0}
    path = tmp_path / "books"
    for seed in range(60):
        made = create_region(path, SPECS, heartbeat_limit_ns=LONG_NS)
        with forked(lambda made=made, seed=seed: mutate(made, seed)):  # type: ignore[misc]
            time.sleep(rng.uniform(0.005, 0.04))
        found[check_l3(path)] += 1
        made.close()
    assert found["whole"] > 30
    assert found["between"] <= 5
    assert sum(found.values()) == 60
