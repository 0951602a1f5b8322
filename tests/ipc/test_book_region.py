"""Regions as files: creation, bad files, locks, replacement, what readers are told of dead, silent and new writers."""

import fcntl
import mmap
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from base.errors import BookBusyError, BookError, LockHeldError, RegionError, StaleBookError
from ipc._book import TOP_LEVELS
from ipc.books import BookReason, BookRegion, BookSpec, BookState, RegionOwner, create_region
from tests.ipc.book_reference import what

SPECS = (
    BookSpec("V", "BTC-USD", 1, 8, 2, 100),
    BookSpec("V", "BTC-USD", 1, 8, 3, 100, 500),
    BookSpec("W", "ETH-USD", 2, 6, 2, 8),
)
ROOT = Path(__file__).parents[2]
LONG_NS = 3_600_000_000_000


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[RegionOwner]:
    made = create_region(tmp_path / "books", SPECS, heartbeat_limit_ns=LONG_NS)
    yield made
    made.close()


def two_sided(levels: int = 3) -> tuple[bytes, bytes]:
    return (
        b"".join(struct.pack("<2q", 100 - i, i + 1) for i in range(levels)),
        b"".join(struct.pack("<2q", 101 + i, i + 1) for i in range(levels)),
    )


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "condition not met in time"
        time.sleep(0.005)


def test_the_directory_says_what_was_asked_for(owner: RegionOwner) -> None:
    region = BookRegion.open(owner.path)
    assert tuple(region.instruments()) == SPECS
    assert region.writer_state() is BookReason.OK
    assert region.book("W", "ETH-USD").px_scale == 2


def test_a_region_holds_a_thousand_instruments(tmp_path: Path) -> None:
    specs = [BookSpec("V", f"C{i}-USD", 2, 8, 2, 50) for i in range(1000)]
    owner = create_region(tmp_path / "books", specs)
    for i in (0, 499, 999):
        owner.book("V", f"C{i}-USD").replace(*two_sided(), last_seq=i)
    region = BookRegion.open(owner.path)
    assert [region.book("V", f"C{i}-USD").times()[0] for i in (0, 499, 999)] == [0, 499, 999]
    owner.close()


def test_every_byte_of_a_region_is_allocated(owner: RegionOwner) -> None:
    st = owner.path.stat()
    assert st.st_blocks * 512 >= st.st_size


def test_a_book_before_its_snapshot_raises_and_says_why(owner: RegionOwner) -> None:
    reader = BookRegion.open(owner.path).book("V", "BTC-USD")
    for read in (reader.bbo, reader.top, reader.depth):
        with pytest.raises(StaleBookError) as e:
            read()
        assert (e.value.state, e.value.reason) == ("RECOVERING", "START")
        assert e.value.since_ns > 0


def test_readers_see_what_the_writer_published(owner: RegionOwner) -> None:
    book = owner.book("V", "BTC-USD")
    reader = BookRegion.open(owner.path).book("V", "BTC-USD")
    assert book.replace(*two_sided(60), last_seq=7, venue_ns=8, recv_ns=9) == BookReason.OK
    assert reader.status() == (BookState.LIVE, BookReason.OK, 9)
    assert reader.times() == (7, 8, 9, 1)
    assert reader.bbo() == book.bbo() == (100, 1, 101, 1)
    for n in (1, 10, TOP_LEVELS):
        assert reader.top(n) == book.top(n)
    assert reader.depth() == (book.side(0), book.side(1))
    assert reader.depth(2) == (book.side(0)[:2], book.side(1)[:2])
    book.apply(what(0), 100, 77)
    assert reader.bbo()[1] == 77
    assert reader.times()[3] == 2


def test_sides_that_shrink_leave_no_level_of_an_older_version(owner: RegionOwner) -> None:
    book = owner.book("V", "BTC-USD")
    reader = BookRegion.open(owner.path).book("V", "BTC-USD")
    for n in (60, 2, 40, 0, 1):
        book.replace(*two_sided(n))
        assert reader.top(50) == book.top(50)
        assert reader.bbo() == book.bbo()


def test_l3_readers_see_each_order_in_queue_order(owner: RegionOwner) -> None:
    book = owner.book("V", "BTC-USD", 3)
    reader = BookRegion.open(owner.path).book("V", "BTC-USD", 3)
    book.replace(b"", b"")
    for key in range(1, 30):
        book.apply(what(key % 2), (90 if key % 2 == 0 else 110) + key % 3, key, (1 << 63) + key, 1000 - key)
    assert reader.orders() == (book.orders(0), book.orders(1))
    assert reader.depth() == (book.side(0), book.side(1))
    best = book.side(1)[0]
    assert [px for px, *_ in reader.orders(1)[1]] == [best[0]] * best[2]
    with pytest.raises(BookError, match="L2"):
        BookRegion.open(owner.path).book("V", "BTC-USD", 2).orders()


@pytest.mark.parametrize("n", [0, -1, 51])
def test_top_serves_one_to_fifty_levels(owner: RegionOwner, n: int) -> None:
    with pytest.raises(BookError, match="top"):
        BookRegion.open(owner.path).book("V", "BTC-USD").top(n)


def test_any_reads_give_the_state_first_and_never_raise_for_it(owner: RegionOwner) -> None:
    book = owner.book("V", "BTC-USD")
    reader = BookRegion.open(owner.path).book("V", "BTC-USD")
    book.replace(*two_sided())
    book.set_status(BookState.STALE, BookReason.GAP, 5)
    assert reader.bbo_any() == (BookState.STALE, 100, 1, 101, 1)
    assert reader.top_any(1) == (BookState.STALE, 100, 1, 101, 1)
    assert reader.depth_any()[0] == BookState.STALE
    assert reader.status() == (BookState.STALE, BookReason.GAP, 5)


def test_a_stale_book_takes_only_a_snapshot(owner: RegionOwner) -> None:
    book = owner.book("V", "BTC-USD")
    book.replace(*two_sided())
    book.set_status(BookState.STALE, BookReason.GAP, 5)
    assert book.apply(what(0), 99, 9) == BookReason.SNAPSHOT
    assert book.apply_changes(struct.pack("<3q", what(0), 99, 9)) == BookReason.SNAPSHOT
    with pytest.raises(BookError, match="snapshot"):
        book.set_status(BookState.LIVE, BookReason.OK, 6)
    assert book.replace(*two_sided()) == BookReason.OK
    assert book.status[0] == BookState.LIVE


def test_a_crossed_book_shows_at_once_and_uncrosses_by_itself(owner: RegionOwner) -> None:
    book = owner.book("V", "BTC-USD")
    reader = BookRegion.open(owner.path).book("V", "BTC-USD")
    book.replace(*two_sided())
    book.apply(what(0), 101, 1)
    assert reader.status()[:2] == (BookState.CROSSED, BookReason.CROSSED)
    with pytest.raises(StaleBookError, match="CROSSED"):
        reader.bbo()
    book.apply(what(0, 2), 101, 0)
    assert reader.bbo() == (100, 1, 101, 1)


def test_a_halted_book_is_kept_and_comes_back(owner: RegionOwner) -> None:
    book = owner.book("V", "BTC-USD")
    reader = BookRegion.open(owner.path).book("V", "BTC-USD")
    book.replace(*two_sided())
    book.set_status(BookState.HALTED, BookReason.VENUE_HALT, 3)
    assert book.apply(what(0), 100, 5) == BookReason.OK
    assert reader.status() == (BookState.HALTED, BookReason.VENUE_HALT, 3)
    book.set_status(BookState.LIVE, BookReason.OK, 4)
    assert reader.bbo()[1] == 5


def test_a_book_that_outgrows_its_extent_is_stale_not_cut(owner: RegionOwner) -> None:
    book = owner.book("W", "ETH-USD")
    reader = BookRegion.open(owner.path).book("W", "ETH-USD")
    assert book.replace(*two_sided(8)) == BookReason.OK
    assert book.apply(what(0), 1, 1) == BookReason.CAPACITY
    assert reader.status()[:2] == (BookState.STALE, BookReason.CAPACITY)
    assert book.replace(*two_sided(9)) == BookReason.CAPACITY
    assert reader.status()[:2] == (BookState.STALE, BookReason.CAPACITY)


def damaged(path: Path, change: Callable[[bytearray], bytearray]) -> None:
    path.write_bytes(change(bytearray(path.read_bytes())))


def put(at: int, fmt: str, value: int) -> Callable[[bytearray], bytearray]:
    def change(data: bytearray) -> bytearray:
        struct.pack_into(fmt, data, at, value)
        return data

    return change


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda d: d[:-1], "file_size"),
        (lambda d: d + b"x", "file_size"),
        (lambda d: d[:100], "size"),
        (lambda d: bytearray(), "size"),
        (put(0, "<B", 0), "magic"),
        (put(8, "<I", 2), "layout"),
        (put(12, "<I", 128), "header_size"),
        (put(16, "<Q", 0), "generation"),
        (put(32, "<I", 1 << 31), "directory"),
        (put(36, "<I", 64), "entry_size"),
        (put(40, "<Q", 1 << 62), "directory"),
        (put(256 + 88, "<I", 4), "entry.kind"),
        (put(256 + 104, "<Q", 1 << 60), "entry.book"),
        (put(256 + 112, "<Q", 1 << 60), "entry.extent"),
        (put(256 + 100, "<I", 1 << 30), "entry.extent_size"),
    ],
)
def test_a_bad_file_is_an_error_that_names_file_and_field(
    owner: RegionOwner, tmp_path: Path, change: Callable[[bytearray], bytearray], field: str
) -> None:
    bad = tmp_path / "bad"
    bad.write_bytes(owner.path.read_bytes())
    damaged(bad, change)
    with pytest.raises(RegionError, match=rf"{bad}: {field} "):
        BookRegion.open(bad)


def test_a_missing_region_or_book_is_an_error_that_names_it(owner: RegionOwner, tmp_path: Path) -> None:
    with pytest.raises(RegionError, match="nowhere"):
        BookRegion.open(tmp_path / "nowhere")
    with pytest.raises(RegionError, match="DOGE-USD"):
        BookRegion.open(owner.path).book("V", "DOGE-USD")
    with pytest.raises(RegionError, match="level 3"):
        owner.book("W", "ETH-USD", 3)


@pytest.mark.parametrize(
    "spec",
    [
        BookSpec("", "A-B", 1, 1),
        BookSpec("V" * 32, "A-B", 1, 1),
        BookSpec("V", "A-B", 1, 1, 4),
        BookSpec("V", "A-B", 1, 1, 3, 10, 0),
        BookSpec("V", "A-B", 1, 1, 2, 0),
    ],
)
def test_a_book_that_cannot_be_is_refused_and_leaves_no_lock(tmp_path: Path, spec: BookSpec) -> None:
    with pytest.raises(RegionError):
        create_region(tmp_path / "books", [spec])
    assert [p.name for p in tmp_path.iterdir()] == ["books.lock"]
    create_region(tmp_path / "books", SPECS).close()


def test_an_instrument_stands_once_in_a_region(tmp_path: Path) -> None:
    with pytest.raises(RegionError, match="twice"):
        create_region(tmp_path / "books", [SPECS[0], SPECS[0]])


def test_no_room_is_an_error_at_creation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, offset: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(RegionError, match="No space left"):
        create_region(tmp_path / "books", SPECS)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["books.lock"]


def test_a_second_writer_is_turned_away(owner: RegionOwner) -> None:
    with pytest.raises(LockHeldError, match=r"books\.lock"):
        create_region(owner.path, SPECS)


def test_readers_follow_a_replaced_region_by_themselves(tmp_path: Path) -> None:
    first = create_region(tmp_path / "books", SPECS, heartbeat_limit_ns=LONG_NS)
    first.book("V", "BTC-USD").replace(*two_sided(), last_seq=1)
    region = BookRegion.open(first.path)
    reader = region.book("V", "BTC-USD")
    assert reader.times()[0] == 1
    first.close()
    assert reader.status()[:2] == (BookState.STALE, BookReason.REGION_RETIRED)
    with pytest.raises(StaleBookError, match="REGION_RETIRED"):
        reader.bbo()
    second = create_region(tmp_path / "books", SPECS[::-1], heartbeat_limit_ns=LONG_NS)
    assert second.generation != first.generation
    assert reader.bbo_any()[0] == BookState.RECOVERING
    second.book("V", "BTC-USD").replace(*two_sided(), last_seq=2)
    assert (reader.bbo(), reader.times()[0]) == ((100, 1, 101, 1), 2)
    second.close()


def test_a_book_that_a_new_region_lacks_is_an_error_not_an_old_number(tmp_path: Path) -> None:
    first = create_region(tmp_path / "books", SPECS, heartbeat_limit_ns=LONG_NS)
    first.book("W", "ETH-USD").replace(*two_sided())
    reader = BookRegion.open(first.path).book("W", "ETH-USD")
    first.close()
    second = create_region(tmp_path / "books", SPECS[:1], heartbeat_limit_ns=LONG_NS)
    with pytest.raises(RegionError, match="ETH-USD"):
        reader.bbo()
    second.close()


def test_a_deleted_region_keeps_its_last_state_until_its_writer_falls_silent(tmp_path: Path) -> None:
    owner = create_region(tmp_path / "books", SPECS, heartbeat_limit_ns=50_000_000)
    owner.book("V", "BTC-USD").replace(*two_sided())
    reader = BookRegion.open(owner.path).book("V", "BTC-USD")
    owner.path.unlink()
    owner.heartbeat(time.monotonic_ns() + LONG_NS)
    assert reader.bbo() == (100, 1, 101, 1)
    owner.close()
    assert reader.status()[1] == BookReason.REGION_RETIRED


def test_a_silent_writer_makes_its_books_stale_and_a_heartbeat_brings_them_back(tmp_path: Path) -> None:
    owner = create_region(tmp_path / "books", SPECS, heartbeat_limit_ns=50_000_000)
    owner.book("V", "BTC-USD").replace(*two_sided())
    reader = BookRegion.open(owner.path).book("V", "BTC-USD")
    wait_until(lambda: reader.status()[0] == BookState.STALE)
    _, reason, since_ns = reader.status()
    assert reason == BookReason.WRITER_SILENT
    assert 0 < time.time_ns() - since_ns < 60_000_000_000
    owner.heartbeat(time.monotonic_ns() + LONG_NS)
    assert reader.bbo() == (100, 1, 101, 1)
    owner.close()


WRITER = """
import sys, time
from ipc.books import BookSpec, create_region
owner = create_region(sys.argv[1], [BookSpec("V", "BTC-USD", 1, 8, 2, 100)], heartbeat_limit_ns=200_000_000)
book = owner.book("V", "BTC-USD")
book.replace((100).to_bytes(8, "little") + (1).to_bytes(8, "little"), b"")
print("up", flush=True)
while True:
    owner.heartbeat(time.monotonic_ns())
    time.sleep(0.01)
"""


def start_writer(path: Path) -> "subprocess.Popen[str]":
    p = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert p.stdout is not None
    assert p.stdout.readline() == "up\n"
    return p


def test_a_killed_writers_books_are_stale_and_its_successors_are_followed(tmp_path: Path) -> None:
    path = tmp_path / "books"
    p = start_writer(path)
    try:
        reader = BookRegion.open(path).book("V", "BTC-USD")
        assert reader.bbo() == (100, 1, 0, 0)
        p.kill()
        p.wait()
        wait_until(lambda: reader.status()[:2] == (BookState.STALE, BookReason.WRITER_DEAD))
    finally:
        p.kill()
        p.communicate()
    p = start_writer(path)
    try:
        assert reader.bbo() == (100, 1, 0, 0)
    finally:
        p.kill()
        p.communicate()


def test_an_odd_depth_is_busy_under_a_live_writer_and_stale_under_a_dead_one(tmp_path: Path) -> None:
    owner = create_region(tmp_path / "books", SPECS, heartbeat_limit_ns=LONG_NS)
    owner.book("V", "BTC-USD").replace(*two_sided())
    path = tmp_path / "copy"
    data = bytearray(owner.path.read_bytes())
    depth_seq = struct.unpack_from("<Q", data, 256 + 104)[0] + 64
    struct.pack_into("<Q", data, depth_seq, 7)
    path.write_bytes(data)
    with path.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        reader = BookRegion.open(path).book("V", "BTC-USD")
        with pytest.raises(BookBusyError, match="64 tries"):
            reader.depth()
        with mmap.mmap(file.fileno(), 0) as memory:
            struct.pack_into("<Q", memory, 48, 1)  # heartbeat_limit_ns
            struct.pack_into("<Q", memory, 136, 1)  # heartbeat_mono_ns: of long ago
        assert reader.status()[1] in (BookReason.WRITER_SILENT, BookReason.WRITER_DEAD)
        with pytest.raises(StaleBookError, match="WRITER"):
            reader.depth()
    owner.close()


def test_readers_map_the_region_read_only(owner: RegionOwner) -> None:
    owner.path.chmod(0o440)
    region = BookRegion.open(owner.path)
    assert region.book("V", "BTC-USD").status()[0] == BookState.RECOVERING
    maps = Path("/proc/self/maps").read_text()
    mine = [line for line in maps.splitlines() if line.endswith(str(owner.path))]
    assert {line.split()[1] for line in mine} == {"rw-s", "r--s"}
