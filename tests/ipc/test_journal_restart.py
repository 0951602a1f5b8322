"""What a restart reads: the newest complete writing and what follows, and every command that is kept."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from base.errors import CorruptError, SchemaError
from base.segment_file import HEAD_SIZE, HEADER_SIZE, segment_path
from base.segments import SegmentSettings, SegmentWriter
from ipc import frames
from ipc.events import Alert
from ipc.journal import NAME, TOLD, WRITTEN, Journal, OrderId
from ipc.journal_restart import newest_writing, read_restart

SMALL = SegmentSettings(segment_bytes=8 * 1024, retain_bytes=1 << 20, recycle=True)
HEAD = frames.prefix(b"exec.s", 5)


class Filled:
    """A journal of many files: an alert and a command a step, a writing where it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = Journal(folder, 1, settings=SMALL)
        self.steps = 0

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.steps += 1
            packed = frames.encode_event(Alert("s", "info", "n", "x" * 60, self.steps))
            self.journal.frame(frames.frame(HEAD, self.steps, 1, 1, packed))
            self.journal.order_id("me", f"{self.steps}", f"X{self.steps}", self.steps)

    def to_file(self, number: int) -> None:
        while self.journal.segment < number:
            self.step()

    def close(self) -> None:
        self.journal.close()

    def reopened(self) -> Journal:
        self.journal.close()
        self.journal = Journal(self.folder, 2, settings=SMALL)
        return self.journal

    def read(self, *, whole: bool = False) -> list[int]:
        """Numbers of the alerts that a restart reads."""
        return [e.ts_ns for e in read_restart(self.folder, NAME, whole=whole) if not isinstance(e, OrderId)]  # type: ignore[union-attr]


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Filled]:
    made = Filled(tmp_path)
    yield made
    made.close()


def damage(folder: Path, number: int) -> Path:
    """Turn a byte of a file's first record."""
    path = segment_path(folder, NAME, number)
    raw = bytearray(path.read_bytes())
    raw[HEADER_SIZE + HEAD_SIZE] ^= 1
    path.write_bytes(raw)
    return path


def test_without_a_writing_everything_is_read(filled: Filled) -> None:
    filled.to_file(6)
    assert newest_writing(filled.folder, NAME) == 0
    assert filled.read() == filled.read(whole=True) == list(range(1, filled.steps + 1))


def test_read_is_from_the_file_before_the_newest_complete_writing_on(filled: Filled) -> None:
    filled.to_file(3)
    filled.journal.written(3)
    filled.to_file(5)
    begins = filled.steps  # the step that went on in file 5
    filled.to_file(6)
    filled.journal.written(6)
    filled.to_file(10)  # and a writing that was begun here, and has no end
    filled.reopened()
    assert newest_writing(filled.folder, NAME) == filled.journal.carry() == 6
    assert filled.read() in (list(range(first, filled.steps + 1)) for first in (begins, begins + 1))
    assert filled.read(whole=True) == list(range(1, filled.steps + 1))


def test_a_writing_whose_first_file_is_gone_does_not_count(filled: Filled) -> None:
    filled.to_file(4)
    filled.journal.written(1)
    filled.journal.written(3)
    filled.journal.written(2)
    for number in (1, 2):
        segment_path(filled.folder, NAME, number).unlink()
    assert newest_writing(filled.folder, NAME) == 3
    assert filled.reopened().carry() == 3


def test_every_command_that_is_kept_is_known_as_soon_as_the_journal_is_open(filled: Filled) -> None:
    filled.to_file(12)
    filled.journal.written(12)
    journal = filled.reopened()
    assert [journal.lookup("me", f"{n}") for n in range(1, filled.steps + 1)] == [
        f"X{n}" for n in range(1, filled.steps + 1)
    ]


def test_damage_behind_the_newest_writing_is_named_and_stops_the_start(filled: Filled) -> None:
    filled.to_file(9)
    filled.journal.written(6)
    filled.journal.close()
    for number in (9, 8, 7, 6, 5):  # 5: what a venue may still add to
        path = segment_path(filled.folder, NAME, number)
        before = path.read_bytes()
        damage(filled.folder, number)
        with pytest.raises(CorruptError, match=path.name):
            Journal(filled.folder, 2, settings=SMALL)
        with pytest.raises(CorruptError, match=path.name):
            filled.read()
        path.write_bytes(before)
    filled.journal = Journal(filled.folder, 2, settings=SMALL)


def test_damage_before_it_costs_what_is_older_and_not_the_start(
    filled: Filled, caplog: pytest.LogCaptureFixture
) -> None:
    filled.to_file(9)
    filled.journal.written(6)
    path = damage(filled.folder, 3)
    journal = filled.reopened()
    assert path.name in caplog.text
    assert journal.lookup("me", f"{filled.steps}") == f"X{filled.steps}"
    assert journal.lookup("me", "1") is None
    assert filled.read()[-1] == filled.steps


@pytest.mark.parametrize("payload", [b"", b"\x91\xa1x", b"\xff", b"\x92\x01\x02"])
def test_an_end_of_a_writing_that_makes_no_sense_is_named(tmp_path: Path, payload: bytes) -> None:
    writer = SegmentWriter(tmp_path, NAME, 1)
    index = writer.append(WRITTEN, payload)
    writer.close()
    with pytest.raises(SchemaError, match=f"record {index}: not the end of a writing"):
        newest_writing(tmp_path, NAME)
    with pytest.raises(SchemaError, match=f"record {index}"):
        Journal(tmp_path, 2)


@pytest.mark.parametrize("payload", [b"", b"\xff", b"\x91\x91\xa1x", b"\x91\x96\xa1x\xa1x\xa1x\xa1x\xa1x\xa1x"])
def test_names_of_reports_that_make_no_sense_are_named(tmp_path: Path, payload: bytes) -> None:
    writer = SegmentWriter(tmp_path, NAME, 1)
    index = writer.append(TOLD, payload)
    writer.close()
    with pytest.raises(SchemaError, match=f"record {index}: not names of reports"):
        list(read_restart(tmp_path, NAME))
