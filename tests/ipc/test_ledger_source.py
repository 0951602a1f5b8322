"""Reading a session's journal for the ledger: from the stored place on, over restarts and drops, nothing twice."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import CorruptError
from base.segment_file import HEADER_SIZE, segment_path
from base.segments import SegmentSettings
from ipc import frames
from ipc.events import Alert
from ipc.journal import NAME, Journal
from ipc.ledger_records import SourceRecord
from ipc.ledger_source import JournalSource

SMALL = SegmentSettings(segment_bytes=8 * 1024, retain_bytes=40 * 1024, recycle=True)
TOPIC = "exec.s"


def frame(epoch: int, first: int, n: int = 1, topic: str = TOPIC, size: int = 10) -> bytes:
    packed = b"".join(frames.encode_event(Alert("s", "info", str(epoch), "x" * size, first + i)) for i in range(n))
    return frames.frame(frames.prefix(topic.encode(), epoch), first, 1, n, packed)


def begun(place: SourceRecord) -> SourceRecord:
    """The place as the store gives it back."""
    return SourceRecord(**{f: getattr(place, f) for f in place.__struct_fields__})


def read(source: JournalSource, limit: int = 1_000) -> tuple[list[tuple[int, int]], list[str]]:
    batch = source.read(limit)
    return [(int(e.code), e.ts_ns) for e in batch.events], batch.gaps  # type: ignore[union-attr]


STEPS = st.lists(
    st.sampled_from(["one", "three", "other topic", "order id", "restart", "read", "read two", "reader dies"]),
    min_size=1, max_size=60,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_every_event_is_read_once_and_in_order_whenever_reader_and_writer_are_started_again(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("j")
    try:
        _lives(folder, steps)
    finally:
        shutil.rmtree(folder)


def _lives(folder: Path, steps: list[str]) -> None:
    journal, epoch, seq = Journal(folder, 1), 10, 1
    source = JournalSource(folder, TOPIC, SourceRecord(session="s"))
    written: list[tuple[int, int]] = []
    seen: list[tuple[int, int]] = []
    for step in [*steps, "read"]:
        if step in ("one", "three"):
            n = 1 if step == "one" else 3
            journal.frame(frame(epoch, seq, n))
            written += [(epoch, seq + i) for i in range(n)]
            seq += n
        elif step == "other topic":
            journal.frame(frame(epoch, 1, topic="exec.other"))
        elif step == "order id":
            journal.order_id("c", "1", "o", 1)
        elif step == "restart":
            journal.close()
            journal, epoch, seq = Journal(folder, 1), epoch + 5, 1
        elif step == "reader dies":
            source.close()
            source = JournalSource(folder, TOPIC, begun(source.place))
        else:
            found, gaps = read(source, 2 if step == "read two" else 1_000)
            seen += found
            assert gaps == []
    assert seen == written
    source.close()
    journal.close()


def test_what_retention_dropped_before_it_was_read_is_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1, settings=SMALL)
    journal.frame(frame(10, 1))
    source = JournalSource(tmp_path, TOPIC, SourceRecord(session="s"))
    assert read(source) == ([(10, 1)], [])
    place = begun(source.place)
    source.close()
    for seq in range(2, 200):
        journal.frame(frame(10, seq, size=500))
        journal.prepare()
    source = JournalSource(tmp_path, TOPIC, place)
    found, gaps = read(source)
    assert found[-1] == (10, 199)
    assert [s for _, s in found] == list(range(found[0][1], 200))
    assert gaps == [f"{found[0][1] - 2} events of epoch 10 from 2 on are no longer in the journal"]
    assert read(source) == ([], [])


def test_files_that_are_dropped_under_the_reader_are_named_too(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1, settings=SMALL)
    journal.frame(frame(10, 1))
    source = JournalSource(tmp_path, TOPIC, SourceRecord(session="s"))
    assert read(source) == ([(10, 1)], [])
    for seq in range(2, 400):
        journal.frame(frame(10, seq, size=500))
        journal.prepare()
    found, gaps = read(source)
    assert found[-1] == (10, 399)
    assert found == sorted(set(found))
    assert found[0] == (10, 2)  # the file that it had open is still read to its end
    (gap,) = gaps
    assert int(gap.split()[0]) + len(found) == 398


def test_a_whole_life_that_was_dropped_is_named_though_the_next_begins_at_1(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1)
    source = JournalSource(tmp_path, TOPIC, SourceRecord(session="s"))
    journal.frame(frame(10, 1))
    assert read(source) == ([(10, 1)], [])
    for data in (frame(10, 2), frame(20, 1)):
        journal._writer.rotate()
        journal.frame(data)
    for number in (1, 2):
        segment_path(tmp_path, NAME, number).unlink()
    assert read(source) == ([(20, 1)], ["what followed 1 of epoch 10, if anything, is no longer there"])
    journal.close()


def test_a_journal_that_begins_anew_is_read_from_its_beginning(tmp_path: Path) -> None:
    place = SourceRecord(session="s")
    for epoch, n in ((10, 50), (20, 5)):
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        journal = Journal(tmp_path, 1)
        for seq in range(1, n + 1):
            journal.frame(frame(epoch, seq))
        source = JournalSource(tmp_path, TOPIC, place)
        found, gaps = read(source)
        assert found == [(epoch, s) for s in range(1, n + 1)]
        place = begun(source.place)
        source.close()
        journal.close()
    assert gaps == ["what followed 50 of epoch 10, if anything, is no longer there"]


def test_a_first_look_at_a_journal_that_dropped_its_beginning_says_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1, settings=SMALL)
    for seq in range(1, 200):
        journal.frame(frame(10, seq, size=500))
        journal.prepare()
    found, gaps = read(JournalSource(tmp_path, TOPIC, SourceRecord(session="s")))
    assert gaps == [f"events 1 to {found[0][1] - 1} of epoch 10 are no longer in the journal"]


def test_what_came_before_damage_is_read_and_the_damage_named_each_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1)
    for seq in (1, 2, 3):
        journal.frame(frame(10, seq))
    size = len(frame(10, 1)) + 24
    with open(segment_path(tmp_path, NAME, 1), "r+b") as file:
        file.seek(HEADER_SIZE + (size + 7 & ~7) * 2 + 40)
        file.write(b"\xff")
    source = JournalSource(tmp_path, TOPIC, SourceRecord(session="s"))
    assert read(source) == ([(10, 1), (10, 2)], [])
    for _ in range(2):
        with pytest.raises(CorruptError, match=r"journal-0000000001\.seg"):
            source.read(10)


def test_an_event_that_cannot_be_read_is_named_and_takes_no_other_with_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1)
    packed = frames.encode_event(Alert("s", "info", "10", "", 1))
    broken = b"\x92\xa5alert\x01"
    newer = b"\x91\xaasomething+"
    data = frames.frame(frames.prefix(TOPIC.encode(), 10), 1, 1, 3, packed + broken + newer)
    journal.frame(data)
    found, gaps = read(JournalSource(tmp_path, TOPIC, SourceRecord(session="s")))
    assert found == [(10, 1)]
    assert len(gaps) == 1
    assert gaps[0].startswith("event 2 of epoch 10 cannot be read")
