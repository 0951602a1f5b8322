"""The native parts keep no memory and no references behind."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from base.errors import RegionError, SchemaError, StaleBookError
from ipc._book import Book, BookSet
from ipc.books import BookReason, BookRegion, BookSpec, BookState, create_region
from tests.ipc.book_reference import DEFECT, L2, record, what

LONG_NS = 3_600_000_000_000


def resident_kb() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0])


def grows_by_kb(work: Callable[[], object], times: int) -> int:
    for _ in range(times // 4):
        work()
    before = resident_kb()
    for _ in range(times):
        work()
    return resident_kb() - before


def test_books_and_sets_give_their_memory_back() -> None:
    def work() -> None:
        found = BookSet()
        for i in range(3):
            found.add(i * 20, Book(l3=True, levels=200, orders=3000, max_depth=100))
        rows = [(what(k % 2), 500 + k % 90 * (1 if k % 2 else -1), 1, k, k) for k in range(1, 2500)]
        assert found.verify_and_pack(record(rows, snapshot=True) + record([(what(0), 1, 1, 9999, 1)]))[0].reason == 0
        found.book(0).pack()

    assert grows_by_kb(work, 60) < 1000


def test_verified_messages_leave_nothing_behind() -> None:
    found = BookSet()
    found.add(0, Book())
    found.verify_and_pack(record([], snapshot=True))
    data = record([(what(0), 5, 1, 0, 0)], snapshot=True) + record([(what(1), 6, 1, 0, 0)]) * 20
    bad = data + record([(what(0), 1, 1, 0, 0)], flags=DEFECT)

    def work() -> None:
        assert len(found.verify_and_pack(data)) == 2
        assert len(found.verify_and_pack(bad)) == 3
        found.trades(bad)
        with pytest.raises(SchemaError):
            found.verify_and_pack(bad[:-8])

    assert grows_by_kb(work, 3000) < 500


def test_reads_refusals_and_reopened_regions_leave_nothing_behind(tmp_path: Path) -> None:
    owner = create_region(tmp_path / "books", [BookSpec("V", "A-B", 1, 1, 3, 50, 200)], heartbeat_limit_ns=LONG_NS)
    book = owner.book("V", "A-B", 3)

    def work() -> None:
        reader = BookRegion.open(owner.path).book("V", "A-B")
        book.replace(b"", b"")
        for key in range(1, 9):
            book.apply(what(0), 1000 + key, key, key)
        assert (reader.bbo()[1], len(reader.top(50)), len(reader.depth()[0]), len(reader.orders()[0])) == (8, 200, 8, 8)
        book.set_status(BookState.STALE, BookReason.GAP, 1)
        for refused in (reader.bbo, reader.top, reader.depth, reader.orders):
            with pytest.raises(StaleBookError):
                refused()
        with pytest.raises(RegionError):
            BookRegion.open(owner.path).book("V", "C-D")

    assert grows_by_kb(work, 600) < 500
    owner.close()


def test_buffers_are_released_when_a_call_is_over() -> None:
    book, found = Book(), BookSet()
    found.add(0, Book())
    data = bytearray(L2.pack(what(0), 5, 1))
    records = bytearray(record([(what(0), 5, 1, 0, 0)], snapshot=True))
    before = sys.getrefcount(data), sys.getrefcount(records)
    book.apply_changes(data)
    book.apply_record(records)
    found.verify_and_pack(records)
    with pytest.raises(SchemaError):
        book.apply_record(records, 16)
    data.append(0)  # BufferError while somebody holds it
    records.append(0)
    assert (sys.getrefcount(data), sys.getrefcount(records)) == before
