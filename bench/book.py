"""Shared-memory books: a change and a read from Python, a race of reads against a flat-out writer, memory.

Work of one thread that waits for nothing is measured in processor time, ours and the peers': what else runs on the same
cores does not count then.
"""

import contextlib
import itertools
import json as jsonlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import order_book
from sortedcontainers import SortedDict

from bench.report import Row, at_most, faster, interleave, print_rows
from ipc._book import Book as PrivateBook
from ipc._book import BookReader, BookSet, race_read, race_write
from ipc.books import BookRegion, BookSpec, RegionOwner, create_region
from quarterdeck.books import Book

LONG_NS = 3_600_000_000_000
ROUNDS = 9
LEVELS = 1000
Change = tuple[int, int, int]  # what, px, qty; qty 0 with action delete
READS = 100_000_000


@contextlib.contextmanager
def region(specs: list[BookSpec], limit_ns: int = LONG_NS) -> Iterator[RegionOwner]:
    """A region on tmpfs for as long as the block runs."""
    path = Path("/dev/shm") / f"quarterdeck-bench-{os.getpid()}"
    owner = create_region(path, specs, heartbeat_limit_ns=limit_ns)
    try:
        yield owner
    finally:
        owner.close()
        path.unlink()
        path.with_name(path.name + ".lock").unlink()


def flow(n: int, seed: int = 1) -> list[Change]:
    """Seeded changes of a 1,000-level book, mostly near the best: 60 % sizes, the rest levels that come and go."""
    rng = random.Random(seed)
    sides: tuple[list[int], list[int]] = (list(range(100_000, 98_000, -2)), list(range(100_001, 102_001, 2)))
    gone: tuple[list[int], list[int]] = ([], [])
    changes: list[Change] = []
    while len(changes) < n:
        side = rng.randrange(2)
        at = min(int(rng.expovariate(1 / 20)), len(sides[side]) - 1)
        roll = rng.random()
        if roll < 0.6:
            changes.append((side | 1 << 8, sides[side][at], rng.randrange(1, 10**9)))
        elif roll < 0.8:
            px = sides[side].pop(at)
            gone[side].append(px)
            changes.append((side | 2 << 8, px, 0))
        elif gone[side]:
            px = gone[side].pop(rng.randrange(len(gone[side])))
            sides[side].append(px)
            sides[side].sort(reverse=side == 0)
            changes.append((side, px, rng.randrange(1, 10**9)))
    return changes


def filled(book: PrivateBook) -> PrivateBook:
    """The book that flow() starts from."""
    sides = (range(100_000, 98_000, -2), range(100_001, 102_001, 2))
    packed = [b"".join(px.to_bytes(8, "little") + (5).to_bytes(8, "little") for px in side) for side in sides]
    book.replace(packed[0], packed[1])
    return book


Start = Callable[[], Callable[[list[Change]], None]]


def timed(start: Start, changes: list[Change]) -> Callable[[], float]:
    """Microseconds of processor time a change, from a book that is filled anew each time."""

    def work() -> float:
        run = start()
        began = time.thread_time_ns()
        run(changes)
        return (time.thread_time_ns() - began) / len(changes) / 1000

    return work


def ours(book: PrivateBook) -> Start:
    def run(changes: list[Change]) -> None:
        apply = book.apply
        for what, px, qty in changes:
            apply(what, px, qty)

    def start() -> Callable[[list[Change]], None]:
        filled(book)
        return run

    return start


def sorted_dicts() -> Callable[[list[Change]], None]:
    """Two SortedDicts, the best of both known after each change."""
    bids = SortedDict(dict.fromkeys(range(98002, 100002, 2), 5))
    asks = SortedDict(dict.fromkeys(range(100001, 102001, 2), 5))

    def run(changes: list[Change]) -> None:
        sides = (bids, asks)
        best_bid, best_ask = bids.peekitem, asks.peekitem
        for what, px, qty in changes:
            if qty:
                sides[what & 1][px] = qty
            else:
                del sides[what & 1][px]
            best_bid(-1)
            best_ask(0)

    return run


def order_book_package() -> Callable[[list[Change]], None]:
    """The order-book package, the best of both known after each change (it sorts when asked)."""
    book = order_book.OrderBook()
    for px in range(98_002, 100_002, 2):
        book.bids[px] = 5
    for px in range(100_001, 102_001, 2):
        book.asks[px] = 5

    def run(changes: list[Change]) -> None:
        bids, asks = book.bids, book.asks
        sides = (bids, asks)
        for what, px, qty in changes:
            if qty:
                sides[what & 1][px] = qty
            else:
                del sides[what & 1][px]
            bids.index(0)
            asks.index(0)

    return run


def apply_rows(owner: RegionOwner) -> list[Row]:
    changes = flow(20_000)
    shared, private = owner.book("V", "BTC-USD"), PrivateBook(levels=2 * LEVELS)
    works = [
        timed(ours(shared), changes),
        timed(ours(private), changes),
        timed(sorted_dicts, changes),
        timed(order_book_package, changes[:2000]),
    ]
    published, alone, dicts, other = interleave(ROUNDS, works)
    value, peer = min((dicts, "sortedcontainers"), (other, "order-book 0.6"))
    return [
        at_most("apply a level change, published in shared memory", published, "us", 0.4),
        faster("apply a level change, published; best known after each", published, "us", peer, value, 1.5),
        faster("apply a level change, private book; best known after each", alone, "us", peer, value, 1.5),
    ]


def micros(work: Callable[[], object], times: int = 100_000) -> Callable[[], float]:
    """Microseconds of processor time a call."""

    def run() -> float:
        start = time.thread_time_ns()
        for _ in itertools.repeat(None, times):
            work()
        return (time.thread_time_ns() - start) / times / 1000

    return run


def read_rows(reader: BookReader) -> list[Row]:
    best, top = interleave(ROUNDS, [micros(reader.bbo), micros(reader.top)])
    return [
        at_most("read best bid and offer", best, "us", 0.25),
        at_most("read top 10, flat", top, "us", 1.2),
    ]


def array_rows(owner: RegionOwner) -> list[Row]:
    """Books as NumPy arrays beside the same from tuples, which is what a reader of objects would do."""
    book = Book(BookRegion.open(owner.path), "V", "BTC-USD")

    def checked_view() -> int:
        view = book.view()
        worth: int = view.bids["qty"].sum()
        return worth if view.valid() else 0

    works = [
        micros(book.depth_arrays, 1_000),
        micros(lambda: [np.array(side, np.int64) for side in book.depth()], 100),
        micros(book.depth, 1_000),
        micros(lambda: book.array(50), 20_000),
        micros(lambda: np.array(book.top(50), np.int64), 20_000),
        micros(checked_view, 20_000),
        micros(lambda: sum(qty for _, qty, _ in book.image(50).bids), 5_000),
    ]
    depth, depth_by_tuples, tuples, top, top_by_tuples, view, image = interleave(ROUNDS, works)
    return [
        faster("1,000 levels a side as arrays, copied", depth, "us", "depth() into np.array", depth_by_tuples, 5.0),
        faster("1,000 levels a side as arrays, copied", depth, "us", "depth(), a list of tuples", tuples, 2.0),
        faster("top 50 as an array, copied", top, "us", "top(50) into np.array", top_by_tuples, 1.5),
        faster("quantity of the top 50 bids from a view, checked", view, "us", "the same from image(50)", image, 1.5),
    ]


def words(*values: int) -> bytes:
    return b"".join(v.to_bytes(8, "little", signed=True) for v in values)


def session_records(n: int) -> tuple[bytes, list[bytes]]:
    """A snapshot record, and reads of 64 five-entry messages with the checksum after each."""
    book = filled(PrivateBook(levels=2 * LEVELS))
    bids, asks = (book.side(s) for s in (0, 1))
    rows = b"".join(words(side, px, qty, 0, 0) for side, levels in ((0, bids), (1, asks)) for px, qty, _ in levels)
    snapshot = words(len(bids) + len(asks), 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0) + rows
    reads, changes = [], iter(flow(n * 64 * 5, seed=2))
    for _ in range(n):
        data = b""
        for _ in range(64):
            five = list(itertools.islice(changes, 5))
            for change in five:
                book.apply(*change)
            body = b"".join(words(*change, 0, 0) for change in five)
            data += words(5, 0, 0, 1, book.crc32_top(), 0, 0, 1, 1, 1, 0, 0) + body
        reads.append(data)
    return snapshot, reads


def verify_rows(owner: RegionOwner) -> list[Row]:
    """Market-data process and book process of one socket read of 64 messages, without the bus between."""
    snapshot, reads = session_records(50)
    books, shared = BookSet(), owner.book("V", "BTC-USD")
    books.add(0, PrivateBook(levels=2 * LEVELS), continuity=1)

    def run() -> tuple[float, float]:
        (first,) = books.verify_and_pack(snapshot)
        shared.replace(first.bids, first.asks)
        start = time.thread_time_ns()
        packed = [books.verify_and_pack(data)[0] for data in reads]
        half = time.thread_time_ns()
        assert not any(v.reason for v in packed)
        for v in packed:
            shared.apply_changes(v.changes, v.last_id, v.sending_ns, v.recv_ns)
        end = time.thread_time_ns()
        per = len(reads) * 64 * 1000
        return (half - start) / per, (end - half) / per

    figures = [run() for _ in range(ROUNDS)]
    verify, apply = (sorted(column)[ROUNDS // 2] for column in zip(*figures, strict=True))
    return [
        Row("verify a five-entry message with its checksum and pack it", verify, "us"),
        Row("apply a five-entry message to shared memory and publish it", apply, "us"),
    ]


@contextlib.contextmanager
def child(work: Callable[[], object]) -> Iterator[int]:
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
    book = owner.book("V", "RACE")
    for k in itertools.count(2, 10_000):
        race_write(book, k, 10_000)


def race_rows(owner: RegionOwner, reads: int) -> list[Row]:
    """Reads of the whole top slot in one process, a flat-out writer in another, and the reader stopped at random."""
    race_write(owner.book("V", "RACE"), 1, 1)
    reader = BookRegion.open(owner.path).book("V", "RACE")
    got, put = os.pipe()

    def read() -> None:
        start = time.perf_counter_ns()
        figures = [race_read(reader, area, n) for area, n in ((1, reads), (0, reads // 10), (2, reads // 1000))]
        os.write(put, jsonlib.dumps([figures, time.perf_counter_ns() - start]).encode())

    began, rng, stops = reader.times()[3], random.Random(1), 0
    with child(lambda: flood(owner)), child(read) as pid:
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(rng.uniform(0, 0.001))
            os.kill(pid, signal.SIGCONT)
            time.sleep(rng.uniform(0, 0.05))
            stops += 1
    (top, best, depth), took = jsonlib.loads(os.read(got, 10_000))
    versions = reader.times()[3] - began
    beside = f"{versions:,} versions, {stops:,} stops"
    return [
        at_most(f"torn reads of {top[0]:,} whole top slots, {beside}", top[1], "reads", 0),
        at_most(f"torn reads of {best[0]:,} best bid and offer", best[1], "reads", 0),
        at_most(f"torn reads of {depth[0]:,} depths ({depth[2]:,} BUSY)", depth[1], "reads", 0),
        at_most("most tries of a top or best read (64, then BUSY)", max(top[4], best[4]), "tries", 64),
        at_most("BUSY answers of top or best", top[2] + best[2], "reads", 0),
        Row("nanoseconds a version of the flat-out writer", took / max(versions, 1), "ns"),
    ]


def resident_bytes() -> int:
    """Memory of this process that is not the region's."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return sum(int(status[key].split()[0]) * 1024 for key in ("RssAnon", "RssFile"))


def memory_of_thousand_books() -> int:
    """Bytes of region and process with 1,000 books of 1,000 levels a side, each of them updated."""
    specs = [BookSpec("V", f"C{i}-USD", 1, 8, 2, 2 * LEVELS) for i in range(1000)]
    changes = flow(100)
    with region(specs) as owner:
        for spec in specs:
            ours(owner.book(spec.venue, spec.instrument))()(changes)
        return owner.path.stat().st_blocks * 512 + resident_bytes()


def memory_row() -> Row:
    code = "from bench.book import memory_of_thousand_books as m; print(m())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    megabytes = int(done.stdout) / (1 << 20)
    return at_most("1,000 books of 1,000 levels a side, all updating: region and process", megabytes, "MB", 256)


def rows(reads: int = READS) -> list[Row]:
    """Every row of this benchmark; `reads` of the race."""
    found = [memory_row()]
    specs = [BookSpec("V", "BTC-USD", 1, 8, 2, 2 * LEVELS), BookSpec("V", "RACE", 1, 8, 2, 64)]
    with region(specs) as owner:
        found += apply_rows(owner)
        filled(owner.book("V", "BTC-USD"))
        found += read_rows(BookRegion.open(owner.path).book("V", "BTC-USD"))
        found += array_rows(owner)
        found += verify_rows(owner)
        found += race_rows(owner, reads)
    return found


def run(json: bool) -> int:  # the interface of every benchmark
    """Print the rows; exit status 0 when every figure was reached, 4 otherwise."""
    found = rows()
    print_rows(found, json)
    return 0 if all(row.ok for row in found) else 4
