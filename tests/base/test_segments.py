"""The append-only log: order, rotation, retention, live readers, torn tails, corruption, full disks."""

import errno
import os
import random
import shutil
import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from base.errors import CorruptError, LockHeldError, StoreError
from base.segment_file import BOOT_WORD, COMMITTED_WORD, HEAD_SIZE, HEADER_SIZE, Segment, allocate
from base.segments import Record, SegmentReader, SegmentSettings, SegmentWriter

SMALL = SegmentSettings(segment_bytes=4096, retain_bytes=1 << 20)
Open = Callable[..., SegmentWriter]


@pytest.fixture
def writer_at(tmp_path: Path) -> Iterator[Open]:
    """Opens writers on one log and closes what is left open."""
    opened: list[SegmentWriter] = []

    def open_writer(settings: SegmentSettings = SMALL, **options: object) -> SegmentWriter:
        writer = SegmentWriter(tmp_path, "log", 1, settings, **options)  # type: ignore[arg-type]
        opened.append(writer)
        return writer

    yield open_writer
    for writer in opened:
        if writer._lock.held:
            writer.close()


def everything(folder: Path, start: int = 0) -> list[Record]:
    reader = SegmentReader(folder, "log")
    records = list(reader.read_from(start))
    reader.close()
    return records


def last_file(folder: Path) -> Path:
    """The segment that is written to."""
    return max(p for p in folder.glob("log-*.seg") if any(p.read_bytes()[COMMITTED_WORD * 8 : COMMITTED_WORD * 8 + 8]))


def abandon(writer: SegmentWriter) -> None:
    """Leave the log as a killed process does: no tidying, only the kernel's release of the lock."""
    writer.abandon()


def test_records_come_back_in_order_with_index_and_type(writer_at: Open, tmp_path: Path) -> None:
    writer = writer_at()
    assert [writer.append(kind, b"p%d" % kind) for kind in (1, 2, 3)] == [1, 2, 3]
    assert everything(tmp_path) == [Record(1, 1, b"p1"), Record(2, 2, b"p2"), Record(3, 3, b"p3")]
    assert everything(tmp_path, 3) == [Record(3, 3, b"p3")]
    assert everything(tmp_path, 9) == []


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(1, 2**32 - 1), st.binary(max_size=3000)), max_size=40), st.data())
def test_any_history_survives_any_restarts(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("log")
    writer = SegmentWriter(folder, "log", 1, SMALL)
    for kind, payload in history:
        if data.draw(st.booleans()):
            abandon(writer)
            writer = SegmentWriter(folder, "log", 2, SMALL)
        writer.append(kind, payload)
    assert [(r.type, r.payload) for r in everything(folder)] == history
    assert [r.index for r in everything(folder)] == list(range(1, len(history) + 1))
    writer.close()
    shutil.rmtree(folder)


def test_a_second_writer_is_refused_and_told_who_writes(writer_at: Open) -> None:
    writer_at()
    with pytest.raises(LockHeldError, match=f"held by pid {os.getpid()}"):
        writer_at()


def test_a_reader_follows_over_rotations_and_sees_each_record_once(writer_at: Open, tmp_path: Path) -> None:
    reader = SegmentReader(tmp_path, "log")
    assert reader.next() is None, "there is no log yet"
    writer = writer_at()
    seen: list[int] = []
    for number in range(300):
        writer.append(1, b"x" * (number % 200))
        if number % 7 == 0:
            while record := reader.next():
                seen.append(record.index)
    seen += [r.index for r in iter(reader.next, None)]
    assert seen == list(range(1, 301))
    assert writer.number > 5
    reader.close()


def test_a_reader_in_another_process_follows_a_fast_writer(writer_at: Open, tmp_path: Path) -> None:
    writer = writer_at(SegmentSettings(segment_bytes=65536, retain_bytes=1 << 26))
    pid = os.fork()
    if pid == 0:
        os._exit(follow(tmp_path, 50_000))
    for index in range(1, 50_001):
        writer.append(1 + index % 5, struct.pack("<Q", index) * (1 + index % 9))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def follow(folder: Path, count: int) -> int:
    """0 when all records up to `count` arrive, in order and whole."""
    signal.alarm(60)
    reader = SegmentReader(folder, "log")
    expected = 1
    while expected <= count:
        record = reader.next()
        if record is None:
            continue
        if record != Record(expected, 1 + expected % 5, struct.pack("<Q", expected) * (1 + expected % 9)):
            return 1
        expected += 1
    return 0


def test_retention_bounds_all_files_together(writer_at: Open, tmp_path: Path) -> None:
    writer = writer_at(SegmentSettings(segment_bytes=4096, retain_bytes=5 * 4096))
    for number in range(500):
        writer.append(1, b"%0100d" % number)
        assert sum(f.stat().st_size for f in tmp_path.glob("log*[!k]")) <= 5 * 4096
    kept = everything(tmp_path)
    assert kept[-1].index == 500
    assert [r.index for r in kept] == list(range(kept[0].index, 501))
    with pytest.raises(StoreError, match=f"record 1 is no longer kept, the oldest is {kept[0].index}"):
        everything(tmp_path, 1)


def test_a_reader_that_was_overtaken_is_told(writer_at: Open, tmp_path: Path) -> None:
    writer = writer_at(SegmentSettings(segment_bytes=4096, retain_bytes=3 * 4096))
    writer.append(1, b"first")
    reader = SegmentReader(tmp_path, "log")
    reader.seek(1)
    assert reader.next() == Record(1, 1, b"first")
    for number in range(500):
        writer.append(1, b"%0100d" % number)
    with pytest.raises(StoreError, match="dropped before it was read"):
        for _ in iter(reader.next, None):
            pass
    reader.close()


@pytest.mark.parametrize("boundary", ["append", "payload written", "head written", "committed"])
def test_an_interrupted_append_is_there_in_full_or_not_at_all(writer_at: Open, tmp_path: Path, boundary: str) -> None:
    armed = [False]

    def hook(name: str) -> None:
        if armed[0] and name == boundary:
            raise InterruptedError

    writer = writer_at(hook=hook)
    writer.append(1, b"before")
    armed[0] = True
    with pytest.raises(InterruptedError):
        writer.append(2, b"during")
    abandon(writer)
    again = writer_at()
    whole = boundary in ("head written", "committed")
    assert again.append(3, b"after") == (3 if whole else 2)
    expected = [b"before", b"during", b"after"] if whole else [b"before", b"after"]
    assert [r.payload for r in everything(tmp_path)] == expected


@pytest.mark.parametrize("boundary", ["segment begun", "segment sealed"])
def test_an_interrupted_rotation_leaves_the_way_on(writer_at: Open, tmp_path: Path, boundary: str) -> None:
    armed = [False]

    def hook(name: str) -> None:
        if armed[0] and name == boundary:
            raise InterruptedError

    writer = writer_at(hook=hook)
    writer.append(1, b"before")
    armed[0] = True
    with pytest.raises(InterruptedError):
        writer.rotate()
    abandon(writer)
    again = writer_at()
    again.append(1, b"after")
    assert everything(tmp_path) == [Record(1, 1, b"before"), Record(2, 1, b"after")]
    again.append(1, b"later")
    abandon(again)
    writer_at()
    assert len(everything(tmp_path)) == 3


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 255))
def test_a_flipped_byte_anywhere_is_named_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, place: int, flip: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    writer = SegmentWriter(folder, "log", 1, SMALL)
    payloads = [b"%d" % n * 20 for n in range(20)]
    for payload in payloads:
        writer.append(7, payload)
    end = writer._end
    writer.close()
    path = last_file(folder)
    content = bytearray(path.read_bytes())
    place %= end
    content[place] ^= flip
    path.write_bytes(content)
    harmless = 68 <= place < 120  # unused header bytes, and the word that names the boot
    try:
        writer = SegmentWriter(folder, "log", 2, SMALL)
    except CorruptError as error:
        shutil.rmtree(folder)
        if str(path) not in str(error):
            raise
        return
    # The committed word may understate: whole records beyond it count. The padding of a record is not covered.
    assert writer.next_index == 21 or harmless
    if not harmless or not writer.lost_bytes:
        assert [r.payload for r in everything(folder)] == payloads
    writer.close()
    shutil.rmtree(folder)


def test_a_damaged_committed_record_is_named_with_file_and_offset(writer_at: Open, tmp_path: Path) -> None:
    writer = writer_at()
    for _ in range(3):
        writer.append(1, b"A" * 8)
    writer.close()
    path = last_file(tmp_path)
    content = bytearray(path.read_bytes())
    second = HEADER_SIZE + HEAD_SIZE + 8
    content[second + HEAD_SIZE] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptError, match=f"{path}: offset {second}: record 2"):
        writer_at()
    reader = SegmentReader(tmp_path, "log")
    reader.seek(1)
    assert reader.next() == Record(1, 1, b"A" * 8)
    with pytest.raises(CorruptError, match=f"{path}: offset {second}: record 2"):
        reader.next()
    reader.close()


def power_cut(path: Path, lost_from: int) -> None:
    """What a host that went down may leave: the committed word on disk, pages of records not."""
    segment = Segment.open(path, writable=True)
    committed = segment.committed
    segment.map[lost_from:committed] = bytes(committed - lost_from)
    segment.words[BOOT_WORD] = 12345
    segment.close()


def test_a_tail_lost_with_the_host_is_cut_knowingly(writer_at: Open, tmp_path: Path) -> None:
    writer = writer_at()
    for number in range(10):
        writer.append(1, b"%08d" % number)
    writer.close()
    record = HEAD_SIZE + 8
    power_cut(last_file(tmp_path), HEADER_SIZE + 6 * record)
    again = writer_at()
    assert again.lost_bytes == 4 * record
    assert again.append(1, b"new") == 7
    assert [r.index for r in everything(tmp_path)] == list(range(1, 8))


def test_an_old_record_never_follows_a_new_one_after_a_cut(writer_at: Open, tmp_path: Path) -> None:
    writer = writer_at()
    for number in range(10):
        writer.append(1, b"old %04d" % number)
    writer.close()
    path = last_file(tmp_path)
    segment = Segment.open(path, writable=True)
    third = HEADER_SIZE + 2 * (HEAD_SIZE + 8)
    segment.map[third : third + 8] = bytes(8)  # one page of many was lost
    segment.words[BOOT_WORD] = 12345
    segment.close()
    again = writer_at()
    again.append(1, b"new 0002")
    abandon(again)
    last = writer_at()
    assert [r.payload for r in everything(tmp_path)] == [b"old 0000", b"old 0001", b"new 0002"]
    assert last.next_index == 4


def test_a_missing_segment_is_named(writer_at: Open, tmp_path: Path) -> None:
    writer = writer_at()
    for number in range(200):
        writer.append(1, b"%0100d" % number)
    writer.close()
    (tmp_path / "log-0000000003.seg").unlink()
    with pytest.raises(CorruptError, match=r"log-0000000003\.seg: missing"):
        writer_at()


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 4096, b"QDSEGMT\x01" + b"\xff" * 4088])
def test_a_file_that_is_no_segment_is_named(writer_at: Open, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log-0000000001.seg").write_bytes(content)
    with pytest.raises(CorruptError, match=r"log-0000000001\.seg"):
        writer_at()


@pytest.mark.parametrize("with_spare", [True, False])
def test_a_segment_wiped_out_behind_the_log_is_noticed(writer_at: Open, tmp_path: Path, with_spare: bool) -> None:
    writer = writer_at()
    for number in range(50):
        writer.append(1, b"%0100d" % number)
    writer.close()
    last = last_file(tmp_path)
    last.write_bytes(bytes(4096))
    if not with_spare:
        max(tmp_path.glob("log-*.seg")).unlink()
        assert max(tmp_path.glob("log-*.seg")) == last
    with pytest.raises(CorruptError, match="not begun"):
        writer_at()


def test_an_empty_file_in_place_of_all_segments_is_noticed(writer_at: Open, tmp_path: Path) -> None:
    (tmp_path / "log-0000000007.seg").write_bytes(bytes(4096))
    with pytest.raises(CorruptError, match=r"log-0000000007\.seg: offset 120: not begun"):
        writer_at()


def test_a_segment_of_another_version_is_refused(writer_at: Open, tmp_path: Path) -> None:
    writer_at().close()
    path = last_file(tmp_path)
    content = bytearray(path.read_bytes())
    content[8] = 2
    path.write_bytes(content)
    with pytest.raises(CorruptError):
        writer_at()


def test_a_record_that_fits_no_segment_is_refused_and_harmless(writer_at: Open, tmp_path: Path) -> None:
    writer = writer_at()
    with pytest.raises(StoreError, match="4096"):
        writer.append(1, b"x" * 4096)
    assert writer.append(1, b"fits") == 1


class Disk:
    """Grants a number of segments, then is full."""

    def __init__(self, grants: int) -> None:
        self.grants = grants

    def reserve(self, fd: int, size: int) -> None:
        if not self.grants:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.grants -= 1
        allocate(fd, size)


def test_a_full_disk_is_seen_while_there_is_still_space_set_aside(writer_at: Open, tmp_path: Path) -> None:
    disk = Disk(2)
    writer = writer_at(reserve=disk.reserve)
    written = 0
    assert not writer.full
    while not writer.full:
        writer.append(1, b"order")
        written += 1
    left = 0
    while writer.room >= 6:
        writer.append(1, b"cancel")
        left += 1
    with pytest.raises(StoreError, match="full"):
        writer.append(1, b"cancel")
    assert left * (HEAD_SIZE + 8) >= SMALL.segment_bytes // 3, "room is left when full is first told"
    assert len(everything(tmp_path)) == written + left
    disk.grants = 1
    writer.append(1, b"order")
    assert writer.full, "only the segment that is written to was granted"
    disk.grants = 1
    writer.prepare()
    assert not writer.full


def test_with_recycling_a_full_disk_costs_the_oldest_segment_only(writer_at: Open, tmp_path: Path) -> None:
    disk = Disk(4)
    writer = writer_at(SegmentSettings(segment_bytes=4096, retain_bytes=1 << 20, recycle=True), reserve=disk.reserve)
    for number in range(1000):
        writer.append(1, b"%08d" % number)
    assert writer.full
    kept = everything(tmp_path)
    assert [r.index for r in kept] == list(range(kept[0].index, 1001))
    assert len(list(tmp_path.glob("log*.seg"))) == 4
    abandon(writer)
    again = writer_at(SegmentSettings(segment_bytes=4096, retain_bytes=1 << 20, recycle=True), reserve=disk.reserve)
    assert again.next_index == 1001


def test_a_reader_of_a_recycled_segment_is_told_not_misled(writer_at: Open, tmp_path: Path) -> None:
    disk = Disk(2)
    writer = writer_at(SegmentSettings(segment_bytes=4096, retain_bytes=1 << 20, recycle=True), reserve=disk.reserve)
    for number in range(10):
        writer.append(1, b"%08d" % number)
    reader = SegmentReader(tmp_path, "log")
    assert reader.next() == Record(1, 1, b"00000000")
    for number in range(1000):
        writer.append(1, b"%08d" % number)
    with pytest.raises(StoreError, match="dropped before it was read"):
        reader.next()
    reader.close()


def test_no_room_to_begin_with_is_an_error_at_opening(writer_at: Open, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no room to begin"):
        writer_at(reserve=Disk(0).reserve)
    assert not list(tmp_path.glob("log*.seg")) + list(tmp_path.glob("log*.new"))


def test_space_is_really_reserved(writer_at: Open, tmp_path: Path) -> None:
    writer_at(SegmentSettings(segment_bytes=1 << 20))
    for path in (tmp_path / "log-0000000001.seg", tmp_path / "log-0000000002.seg"):
        assert path.stat().st_blocks * 512 >= 1 << 20


def test_a_file_size_limit_of_the_process_counts_as_a_full_disk(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(run_into_limit(tmp_path))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def run_into_limit(folder: Path) -> int:
    import resource

    writer = SegmentWriter(folder, "log", 1, SMALL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
    while not writer.full:
        writer.append(1, b"order")
    writer.append(1, b"cancel")
    return 0 if everything(folder)[-1].payload == b"cancel" else 1


def test_preparing_ends_and_rotation_uses_what_was_prepared(writer_at: Open) -> None:
    writer = writer_at(SegmentSettings(segment_bytes=65536, populate_step=4096))
    steps = 0
    while writer.prepare():
        steps += 1
        assert steps < 100
    assert steps <= 2 * 16
    writer.rotate()
    assert writer.append(1, b"x") == 1


def test_sync_covers_segments_that_were_rotated_away(writer_at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda fd: synced.append(os.fstat(fd).st_ino))
    writer = writer_at()
    for _ in range(100):
        writer.append(1, b"x" * 100)
    spare = writer._spare
    files = {p.stat().st_ino for p in writer.folder.glob("log-*.seg") if spare is None or p != spare.path}
    writer.sync()
    assert set(synced) == files
    synced.clear()
    writer.sync()
    assert len(synced) == 1


def test_two_logs_share_a_folder(tmp_path: Path) -> None:
    one, two = SegmentWriter(tmp_path, "log", 1, SMALL), SegmentWriter(tmp_path, "log-b", 1, SMALL)
    one.append(1, b"one")
    two.append(1, b"two")
    one.close()
    two.close()
    again = SegmentWriter(tmp_path, "log", 1, SMALL)
    assert [r.payload for r in everything(tmp_path)] == [b"one"]
    again.close()


def test_bytes_of_another_log_with_the_same_shape_do_not_pass(tmp_path: Path) -> None:
    rng = random.Random(1)
    for folder, log_id in ((tmp_path / "a", 1), (tmp_path / "b", 2)):
        writer = SegmentWriter(folder, "log", log_id, SMALL)
        writer.append(1, rng.randbytes(16))
        writer.close()
    source, target = last_file(tmp_path / "a"), last_file(tmp_path / "b")
    content = bytearray(target.read_bytes())
    content[HEADER_SIZE:] = source.read_bytes()[HEADER_SIZE:]
    target.write_bytes(content)
    with pytest.raises(CorruptError, match="record 1"):
        SegmentWriter(tmp_path / "b", "log", 1, SMALL)


def test_the_committed_word_is_one_aligned_64_bit_word(writer_at: Open, tmp_path: Path) -> None:
    writer = writer_at()
    writer.append(1, b"12345678")
    word = struct.unpack_from("<Q", last_file(tmp_path).read_bytes(), COMMITTED_WORD * 8)[0]
    assert word == HEADER_SIZE + HEAD_SIZE + 8
