"""The journal: written before it is said, read back by its owner, by a replay and by others."""

from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from base.errors import LockHeldError, SchemaError
from base.segment_file import segment_path
from base.segments import SegmentSettings, SegmentWriter
from ipc import frames
from ipc.events import Alert
from ipc.journal import CHUNK_BYTES, NAME, ORDER_ID, Journal, read_events, read_order_ids

SMALL = SegmentSettings(segment_bytes=16 * 1024, retain_bytes=64 * 1024, recycle=True)


def frame(topic: str, epoch: int, first: int, n: int = 1, size: int = 10) -> bytes:
    packed = b"".join(frames.encode_event(Alert("s", "info", "n", "x" * size, first + i)) for i in range(n))
    return frames.frame(frames.prefix(topic.encode(), epoch), first, 1, n, packed)


def places(found: tuple[bytes, ...]) -> list[tuple[int, int]]:
    heads = [frames.read_header(data) for data in found]
    return [(h.epoch, h.first_seq + i) for h in heads for i in range(h.n_events)]


def replay(journal: Journal, topic: str, epoch: int, seq: int) -> tuple[list[tuple[int, int]], bool]:
    """All chunks from there on, and whether the first said that something is gone."""
    out: list[tuple[int, int]] = []
    truncated = None
    while True:
        chunk = journal.chunk(topic, epoch, seq)
        truncated = chunk.truncated if truncated is None else truncated
        assert sum(map(len, chunk.frames)) <= CHUNK_BYTES or len(chunk.frames) == 1
        out += places(chunk.frames)
        if not chunk.more:
            return out, truncated
        epoch, seq = out[-1][0], out[-1][1] + 1


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["exec.a", "exec.b"]), st.integers(1, 3)),
            st.just(("restart", 0)),
            st.just(("reopen", 0)),
            st.just(("order", 0)),
        ),
        max_size=150,
    ),
    st.data(),
)
def test_a_replay_brings_exactly_what_was_journalled_from_any_place_on(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("j")
    journal, epoch, written = Journal(folder, 1), 10, {"exec.a": [], "exec.b": []}
    at = dict.fromkeys(written, 1)
    for what, n in steps:
        if what == "restart":
            epoch += 1
            at = dict.fromkeys(written, 1)
        elif what == "reopen":
            journal.close()
            journal = Journal(folder, 2)
        elif what == "order":
            journal.order_id("me", str(len(written["exec.a"])), "x", 1)
        else:
            journal.frame(frame(what, epoch, at[what], n))
            written[what] += [(epoch, at[what] + i) for i in range(n)]
            at[what] += n
    for topic, places_ in written.items():
        assert replay(journal, topic, 0, 0) == (places_, False)
        if places_:
            start = data.draw(st.sampled_from(places_))
            found, truncated = replay(journal, topic, *start)
            after = places_[places_.index(start) :]
            assert (found[-len(after) :], truncated) == (after, False)
            assert len(found) < len(after) + 3  # a frame is given whole
    assert [(d.topic, d.epoch, d.seq) for d in read_events(folder) if isinstance(d.event, Alert)] == sorted(
        ((d.topic, d.epoch, d.seq) for d in read_events(folder) if isinstance(d.event, Alert)), key=lambda x: x[1]
    )
    journal.close()


@pytest.mark.parametrize("counts", [(3, 2, 0, 2), (3, 0, 0, 0, 1), (700, 0, 3, 0, 0), (700, 900, 0, 0, 5)])
def test_a_life_without_events_is_followed_by_what_came_after_it_and_by_nothing_older(
    tmp_path: Path, counts: tuple[int, ...]
) -> None:
    written: list[tuple[int, int]] = []
    for life, count in enumerate(counts, 1):
        with closing(Journal(tmp_path, life)) as journal:
            journal.declare("exec.a", life * 1000)
            for seq in range(1, count + 1):
                journal.frame(frame("exec.a", life * 1000, seq, size=100))
                written.append((life * 1000, seq))
            for asked in range(1, life + 1):
                expected = [place for place in written if place >= (asked * 1000, 1)]
                assert replay(journal, "exec.a", asked * 1000, 1) == (expected, False)


def test_an_epoch_that_cannot_be_placed_is_answered_with_what_is_newest_and_said_to_be_gone(tmp_path: Path) -> None:
    with closing(Journal(tmp_path, 1)) as journal:
        for epoch in (1000, 3000):
            journal.declare("exec.a", epoch)
            journal.frame(frame("exec.a", epoch, 1))
        assert replay(journal, "exec.a", 500, 1) == ([(1000, 1), (3000, 1)], True)  # older than all that is kept
        assert replay(journal, "exec.a", 2000, 5) == ([(3000, 1)], True)  # had events, and they are not here
        assert replay(journal, "exec.a", 9000, 1) == ([(3000, 1)], True)  # the clock stepped back since
        assert replay(journal, "exec.b", 9000, 1) == ([], True)


def test_from_behind_the_last_event_there_is_nothing_and_nothing_is_gone(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1)
    journal.frame(frame("exec.a", 5, 1))
    journal.declare("exec.a", 6)
    assert replay(journal, "exec.a", 5, 2) == ([], False)
    assert replay(journal, "exec.a", 6, 1) == ([], False)
    journal.frame(frame("exec.a", 6, 1))
    assert replay(journal, "exec.a", 5, 2) == ([(6, 1)], False)
    journal.close()


@pytest.mark.parametrize("reopen", [False, True])
def test_what_is_no_longer_kept_is_said_and_the_rest_is_exact(tmp_path: Path, reopen: bool) -> None:
    journal = Journal(tmp_path, 1, settings=SMALL)
    for n in range(1, 1_001):
        journal.frame(frame("exec.a", 5, n, size=200))
    if reopen:
        journal.close()
        journal = Journal(tmp_path, 2, settings=SMALL)
    oldest, truncated = replay(journal, "exec.a", 0, 0)
    assert not truncated
    assert 1 < oldest[0][1] < 1_000
    assert oldest == [(5, n) for n in range(oldest[0][1], 1_001)]
    assert replay(journal, "exec.a", 5, oldest[0][1]) == (oldest, False)
    assert replay(journal, "exec.a", 5, oldest[0][1] - 1) == (oldest, True)
    assert replay(journal, "exec.a", 4, 1) == (oldest, True)
    journal.close()


def test_an_order_id_is_found_again_after_a_restart(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1)
    journal.order_id("me", "1", "A", 7)
    assert journal.lookup("me", "1") == "A"
    journal.close()
    journal = Journal(tmp_path, 2)
    assert (journal.lookup("me", "1"), journal.lookup("you", "1")) == ("A", None)
    journal.close()
    assert [(o.client_id, o.command_id, o.cl_ord_id, o.wall_ns) for o in read_order_ids(tmp_path)] == [
        ("me", "1", "A", 7)
    ]


def test_memory_of_order_ids_is_bounded_and_keeps_the_latest(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1, remember=3)
    for n in range(5):
        journal.order_id("me", str(n), str(n), 1)
    assert [journal.lookup("me", str(n)) for n in range(5)] == [None, None, "2", "3", "4"]
    journal.close()


def test_others_read_while_the_owner_writes(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1)
    journal.frame(frame("exec.a", 5, 1, n=2))
    assert [d.seq for d in read_events(tmp_path)] == [1, 2]
    journal.frame(frame("exec.a", 5, 3))
    assert [d.seq for d in read_events(tmp_path)] == [1, 2, 3]
    journal.close()


def test_an_epoch_is_above_every_one_journalled_also_when_the_clock_stepped_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1)
    assert journal.next_epoch(500) == 500
    journal.frame(frame("exec.a", 500, 1))
    journal.close()
    journal = Journal(tmp_path, 2)
    assert (journal.next_epoch(400), journal.next_epoch(600)) == (501, 600)
    journal.close()


def test_a_journal_has_one_writer(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1)
    with pytest.raises(LockHeldError):
        Journal(tmp_path, 2)
    journal.close()


def test_a_record_that_is_no_order_id_is_named(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, NAME, 1)
    index = writer.append(ORDER_ID, b"\x93\x01\x02\x03")
    writer.close()
    with pytest.raises(SchemaError, match=f"record {index}: not an order id"):
        Journal(tmp_path, 2)


def test_records_of_a_later_build_are_passed_over(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, NAME, 1)
    writer.append(99, b"something new")
    writer.close()
    journal = Journal(tmp_path, 2)
    journal.frame(frame("exec.a", 5, 1))
    assert replay(journal, "exec.a", 0, 0) == ([(5, 1)], False)
    journal.close()


def test_older_files_are_indexed_beside_the_traffic_and_a_replay_never_misses_them(tmp_path: Path) -> None:
    def reopened() -> Journal:
        return Journal(tmp_path, 2, settings=settings, remember=50)

    settings = SegmentSettings(segment_bytes=16 * 1024, retain_bytes=1024 * 1024, recycle=True)
    journal = Journal(tmp_path, 1, settings=settings)
    for epoch in (5, 6):
        for n in range(1, 601):
            journal.frame(frame("exec.a", epoch, n, size=200))
            journal.order_id("me", f"{epoch}-{n}", f"X{n}", 1)
    assert journal.segment > 6
    whole = replay(journal, "exec.a", 0, 0)
    journal.close()
    journal = reopened()
    assert journal.lookup("me", "6-600") == "X600"
    assert journal.next_epoch(1) == 7
    assert replay(journal, "exec.a", 0, 0) == whole == ([(e, n) for e in (5, 6) for n in range(1, 601)], False)
    assert replay(journal, "exec.a", 5, 599) == (whole[0][598:], False)
    journal.close()
    journal = reopened()
    while journal.prepare():
        pass
    assert journal._older is None
    assert (journal.lookup("me", "6-551"), journal.lookup("me", "6-550")) == ("X551", None)
    journal.frame(frame("exec.a", 6, 601, size=200))
    assert replay(journal, "exec.a", 6, 600) == ([(6, 600), (6, 601)], False)
    assert replay(journal, "exec.a", 4, 1)[1]
    journal.close()


def test_files_that_are_dropped_before_they_were_indexed_are_gone_and_no_more(tmp_path: Path) -> None:
    settings = SegmentSettings(segment_bytes=16 * 1024, retain_bytes=160 * 1024, recycle=True)
    journal = Journal(tmp_path, 1, settings=settings)
    for n in range(1, 501):
        journal.frame(frame("exec.a", 5, n, size=200))
    journal.close()
    journal = Journal(tmp_path, 2, settings=settings)
    journal.prepare()
    for n in range(501, 1_501):
        journal.frame(frame("exec.a", 5, n, size=200))
        journal.prepare()
    oldest, truncated = replay(journal, "exec.a", 0, 0)
    assert not truncated
    assert 500 < oldest[0][1] < 1_500
    assert oldest == [(5, n) for n in range(oldest[0][1], 1_501)]
    assert replay(journal, "exec.a", 5, 1) == (oldest, True)
    journal.close()


def test_damage_in_older_files_ends_what_can_be_replayed_and_not_the_process(tmp_path: Path) -> None:
    settings = SegmentSettings(segment_bytes=16 * 1024, retain_bytes=1024 * 1024, recycle=True)
    journal = Journal(tmp_path, 1, settings=settings)
    for n in range(1, 601):
        journal.frame(frame("exec.a", 5, n, size=200))
    journal.close()
    path = segment_path(tmp_path, NAME, 2)
    raw = bytearray(path.read_bytes())
    raw[5_000] ^= 1
    path.write_bytes(raw)
    journal = Journal(tmp_path, 2, settings=settings)
    found, truncated = replay(journal, "exec.a", 5, 1)
    assert truncated
    assert 1 < found[0][1] < 600
    assert found == [(5, n) for n in range(found[0][1], 601)]
    journal.close()
