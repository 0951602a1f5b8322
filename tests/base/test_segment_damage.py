"""Damage in every class of place, in every file of a log, a store and a journal: named, or without consequence."""

import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from base.errors import CorruptError, LockHeldError, QuarterdeckError
from base.segment_check import inspect
from base.segment_file import COMMITTED_WORD, HEAD_SIZE, HEADER_SIZE, SEALED, segment_path
from base.segments import SegmentReader, SegmentSettings, SegmentWriter
from fix.file_store import FileStore, StoreSettings
from ipc import frames
from ipc.events import Alert
from ipc.journal import NAME, Journal, read_events, read_order_ids

ROOT = Path(__file__).resolve().parents[2]
SMALL = SegmentSettings(segment_bytes=4096, retain_bytes=1 << 20)
Content = list[object]


class Kind:
    """A kind of log: how it is written, and what its owner finds on opening it."""

    prefix = "log"

    def write(self, folder: Path, log_id: int = 1) -> None:
        writer = SegmentWriter(folder, "log", log_id, SMALL)
        for number in range(300):
            writer.append(1 + number % 3, b"%05d" % number * (1 + number % 20))
        writer.close()

    def content(self, folder: Path) -> Content:
        SegmentWriter(folder, "log", 1, SMALL).abandon()
        reader = SegmentReader(folder, "log")
        try:
            return list(reader.read_from(0))
        finally:
            reader.close()


class Store(Kind):
    prefix = "store"

    def write(self, folder: Path, log_id: int = 1) -> None:
        store = FileStore(folder, log_id, StoreSettings(segments=SMALL))
        for seq in range(1, 131):
            store.sent(seq, b"%05d" % seq * (1 + seq % 20))
            store.advance_in(seq)
        store.close()

    def content(self, folder: Path) -> Content:
        store = FileStore(folder, 1, StoreSettings(segments=SMALL))
        try:
            return [store.next_out, store.next_in, store.epoch, list(store.get(1))]
        finally:
            store._reader.close()
            store._log.abandon()


class AJournal(Kind):
    prefix = NAME

    def write(self, folder: Path, log_id: int = 1) -> None:
        journal = Journal(folder, log_id, settings=SMALL)
        head = frames.prefix(b"exec.s", 5)
        for number in range(1, 131):
            journal.order_id("me", f"{number}", f"X{number}", number)
            packed = frames.encode_event(Alert("s", "info", "n", "x" * (number % 90), number))
            journal.frame(frames.frame(head, number, 1, 1, packed))
        journal.close()

    def content(self, folder: Path) -> Content:
        journal = Journal(folder, 1, settings=SMALL)
        journal._reader.close()
        journal._writer.abandon()
        return [journal._ids, list(read_events(folder)), list(read_order_ids(folder))]


KINDS = [Kind(), Store(), AJournal()]
HEADER_FIELDS = {"magic": 0, "version": 8, "header size": 12, "number": 16, "first index": 24, "size": 32, "log id": 40,
                 "header CRC": 48}  # fmt: skip
HEAD_FIELDS = {"length": 0, "CRC": 4, "index": 8, "type": 16, "payload": HEAD_SIZE}
HARMLESS = {"unused header bytes": 60, "boot": 112}


@pytest.fixture(params=KINDS, ids=lambda kind: kind.prefix)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Content]]:
    """Each kind once, as its owner left it."""
    out = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp(kind.prefix)
        kind.write(folder)
        out[kind.prefix] = folder, kind.content(folder)
    return out


@pytest.fixture
def place(kind: Kind, written: dict[str, tuple[Path, Content]], tmp_path: Path) -> Iterator[tuple[Path, Content]]:
    folder, content = written[kind.prefix]
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    yield copy, content
    shutil.rmtree(copy)


def files(folder: Path, kind: Kind) -> list[int]:
    """Numbers of the files that were begun."""
    reader = SegmentReader(folder, kind.prefix)
    return list(range(reader.first_number(), reader.last_number() + 1))


def change(path: Path, offset: int, act: Callable[[int], int] = lambda byte: byte ^ 0x10) -> None:
    raw = bytearray(path.read_bytes())
    raw[offset] = act(raw[offset])
    path.write_bytes(raw)


def records(path: Path) -> list[int]:
    """Offsets of a file's records."""
    raw = path.read_bytes()
    committed = struct.unpack_from("<Q", raw, COMMITTED_WORD * 8)[0] & ~SEALED
    out, at = [], HEADER_SIZE
    while at < committed:
        out.append(at)
        at += HEAD_SIZE + struct.unpack_from("<I", raw, at)[0] + 7 & ~7
    return out


def named(folder: Path, kind: Kind, path: Path) -> None:
    """Opening or reading names the file, and so does the operator's check; neither touches anything."""
    with pytest.raises(CorruptError, match=path.name):
        kind.content(folder)
    assert any(path.name in text for text in inspect(folder, kind.prefix).damage)


@pytest.mark.parametrize("which", ["first", "middle", "last but one", "last"])
@pytest.mark.parametrize("field", HEADER_FIELDS)
def test_a_changed_header_is_named(place: tuple[Path, Content], kind: Kind, which: str, field: str) -> None:
    folder, _ = place
    path = chosen(folder, kind, which)
    change(path, HEADER_FIELDS[field])
    named(folder, kind, path)


@pytest.mark.parametrize("which", ["first", "middle", "last but one", "last"])
@pytest.mark.parametrize("record", ["first", "middle", "last"])
@pytest.mark.parametrize("field", HEAD_FIELDS)
def test_a_changed_record_is_named(
    place: tuple[Path, Content], kind: Kind, which: str, record: str, field: str
) -> None:
    folder, _ = place
    path = chosen(folder, kind, which)
    offsets = records(path)
    change(path, {"first": offsets[0], "middle": offsets[len(offsets) // 2], "last": offsets[-1]}[record]
           + HEAD_FIELDS[field])  # fmt: skip
    named(folder, kind, path)


@pytest.mark.parametrize("which", ["first", "middle", "last but one", "last"])
@pytest.mark.parametrize("field", HARMLESS)
def test_what_means_nothing_may_change(place: tuple[Path, Content], kind: Kind, which: str, field: str) -> None:
    folder, content = place
    change(chosen(folder, kind, which), HARMLESS[field])
    assert kind.content(folder) == content
    assert inspect(folder, kind.prefix).damage == []


@pytest.mark.parametrize("which", ["first", "middle"])
@pytest.mark.parametrize("word", ["too low", "too high", "not sealed", "not begun"])
def test_a_changed_committed_word_of_a_sealed_file_is_named(
    place: tuple[Path, Content], kind: Kind, which: str, word: str
) -> None:
    folder, _ = place
    path = chosen(folder, kind, which)
    raw = bytearray(path.read_bytes())
    offsets = records(path)
    (value,) = struct.unpack_from("<Q", raw, COMMITTED_WORD * 8)
    value = {"too low": offsets[-1] | SEALED, "too high": value + 8, "not sealed": value & ~SEALED, "not begun": 0}[
        word
    ]
    struct.pack_into("<Q", raw, COMMITTED_WORD * 8, value)
    path.write_bytes(raw)
    following = segment_path(folder, kind.prefix, int(path.stem[-10:]) + 1)
    if word == "not begun" and which == "first":
        following = path
    with pytest.raises(CorruptError, match=f"{path.name}|{following.name}"):
        kind.content(folder)
    damage = inspect(folder, kind.prefix).damage
    assert any(path.name in text or following.name in text for text in damage)


@pytest.mark.parametrize("which", ["first", "middle", "last but one", "last"])
@pytest.mark.parametrize("size", [0, 100, HEADER_SIZE, 2000, 4095])
def test_a_truncated_file_is_named(place: tuple[Path, Content], kind: Kind, which: str, size: int) -> None:
    folder, _ = place
    path = chosen(folder, kind, which)
    os.truncate(path, size)
    named(folder, kind, path)


@pytest.mark.parametrize("which", ["middle", "last but one"])
def test_a_missing_file_is_named(place: tuple[Path, Content], kind: Kind, which: str) -> None:
    folder, _ = place
    path = chosen(folder, kind, which)
    path.unlink()
    named(folder, kind, path)


def test_a_missing_last_file_is_noticed(place: tuple[Path, Content], kind: Kind) -> None:
    folder, _ = place
    chosen(folder, kind, "last").unlink()
    with pytest.raises(CorruptError):
        kind.content(folder)


@pytest.mark.parametrize("which", ["first", "middle", "last but one", "last"])
def test_a_file_of_another_log_of_the_same_shape_is_named(
    place: tuple[Path, Content], kind: Kind, which: str, tmp_path: Path
) -> None:
    folder, _ = place
    other = tmp_path / "other"
    kind.write(other, log_id=2)
    path = chosen(folder, kind, which)
    shutil.copy(other / path.name, path)
    following = segment_path(folder, kind.prefix, int(path.stem[-10:]) + 1)
    with pytest.raises(CorruptError, match=f"({path.name}|{following.name}): offset 40: of log"):
        kind.content(folder)
    assert any("of log" in text for text in inspect(folder, kind.prefix).damage)


def test_two_files_that_changed_places_are_named(place: tuple[Path, Content], kind: Kind) -> None:
    folder, _ = place
    one, two = chosen(folder, kind, "first"), chosen(folder, kind, "middle")
    spare = folder / "spare"
    one.rename(spare)
    two.rename(one)
    spare.rename(two)
    with pytest.raises(CorruptError, match="offset 16: says that it is segment"):
        kind.content(folder)


def test_damage_keeps_an_opening_from_changing_anything(place: tuple[Path, Content], kind: Kind) -> None:
    folder, content = place
    path = chosen(folder, kind, "last but one")
    before = path.read_bytes()
    change(path, records(path)[3] + HEAD_SIZE)
    with pytest.raises(CorruptError):
        kind.content(folder)
    path.write_bytes(before)
    assert kind.content(folder) == content


def chosen(folder: Path, kind: Kind, which: str) -> Path:
    numbers = files(folder, kind)
    assert len(numbers) >= 4
    at = {"first": 0, "middle": len(numbers) // 2 - 1, "last but one": -2, "last": -1}[which]
    return segment_path(folder, kind.prefix, numbers[at])


# -- two writers ---------------------------------------------------------------------------------------------

OWNER = """
import os, sys
from base.segments import SegmentSettings, SegmentWriter
writer = SegmentWriter(sys.argv[1], "log", 1, SegmentSettings(4096, 1 << 20))
writer.append(1, b"mine")
{then}
print("done", flush=True)
sys.stdin.read()
"""


def owner(folder: Path, then: str = "") -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", OWNER.format(then=then), str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "done\n"
    return process


def ended(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


def test_a_stopped_writer_is_still_the_writer_and_a_killed_one_is_not(tmp_path: Path) -> None:
    process = owner(tmp_path)
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(LockHeldError, match=f"pid {process.pid}"):
        SegmentWriter(tmp_path, "log", 1, SMALL)
    ended(process)
    writer = SegmentWriter(tmp_path, "log", 1, SMALL)
    assert writer.append(1, b"next") == 2
    writer.close()


def test_a_fork_of_the_writer_can_neither_open_the_log_nor_append_to_it(tmp_path: Path) -> None:
    then = """
if os.fork() == 0:
    from base.errors import LockHeldError
    try:
        SegmentWriter(sys.argv[1], "log", 1, SegmentSettings(4096, 1 << 20))
    except LockHeldError:
        os._exit(7)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
if os.fork() == 0:
    writer.append(1, b"a second writer")
    os._exit(0)
assert os.waitstatus_to_exitcode(os.wait()[1]) == -11
writer.append(1, b"mine again")
"""
    process = owner(tmp_path, then)
    reader = SegmentReader(tmp_path, "log")
    assert [r.payload for r in reader.read_from(0)] == [b"mine", b"mine again"]
    reader.close()
    ended(process)


def test_as_long_as_a_fork_of_a_killed_writer_lives_nobody_else_writes(tmp_path: Path) -> None:
    then = """
child = os.fork()
if child == 0:
    sys.stdin.read()
    os._exit(0)
open(sys.argv[1] + "/child", "w").write(str(child))
"""
    process = owner(tmp_path, then)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with pytest.raises(LockHeldError):
        SegmentWriter(tmp_path, "log", 1, SMALL)
    os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)
    process.communicate()
    end = time.monotonic() + 60
    while True:
        try:
            SegmentWriter(tmp_path, "log", 1, SMALL).close()
            break
        except QuarterdeckError:
            assert time.monotonic() < end
