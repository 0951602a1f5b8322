"""What every message store keeps to, in memory or on disk, and what the one on disk keeps over restarts."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from base.errors import CorruptError, LockHeldError, StoreError
from base.segment_file import BOOT_WORD, Segment, allocate
from base.segments import SegmentSettings, SegmentWriter
from fix._store import Places
from fix.file_store import MAX_META_BYTES, FileStore, StoreSettings, Sync
from fix.store import MemoryStore, MessageStore

BORN_NS = 1_750_000_000_000_000_000
SMALL = StoreSettings(segments=SegmentSettings(segment_bytes=4096, retain_bytes=1 << 22, recycle=True))


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MessageStore]:
    one: MessageStore = MemoryStore(BORN_NS) if request.param == "memory" else FileStore(tmp_path, BORN_NS, SMALL)
    yield one
    one.close()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., FileStore]]:
    stores: list[FileStore] = []

    def open_store(config: StoreSettings = SMALL, **options: object) -> FileStore:
        stores.append(FileStore(tmp_path, BORN_NS, config, **options))  # type: ignore[arg-type]
        return stores[-1]

    yield open_store
    for one in stores:
        one.close()


# -- every store ---------------------------------------------------------------------------------------------


def test_a_new_store_begins_at_one_and_knows_since_when(store: MessageStore) -> None:
    assert (store.next_out, store.next_in, store.epoch, store.created_ns) == (1, 1, 1, BORN_NS)
    assert not store.full
    assert list(store.get(1)) == []


def test_sent_messages_come_back_by_number(store: MessageStore) -> None:
    for seq in range(1, 6):
        store.sent(seq, b"message %d" % seq)
    assert store.next_out == 6
    assert list(store.get(2, 4)) == [(2, b"message 2"), (3, b"message 3"), (4, b"message 4")]
    assert [seq for seq, _ in store.get(4)] == [4, 5]
    assert list(store.get(6, 9)) == []


@pytest.mark.parametrize("seq", [0, 1, 2, 4, 5])
def test_a_number_is_used_once_and_in_turn(store: MessageStore, seq: int) -> None:
    store.sent(1, b"a")
    store.sent(2, b"b")
    with pytest.raises(StoreError, match=f"outgoing MsgSeqNum {seq}: 3 is next"):
        store.sent(seq, b"again")
    assert list(store.get(1)) == [(1, b"a"), (2, b"b")]


def test_the_expected_number_moves_one_by_one_or_forward(store: MessageStore) -> None:
    store.advance_in(1)
    with pytest.raises(StoreError, match="incoming MsgSeqNum 3: 2 is expected"):
        store.advance_in(3)
    store.set_next_in(10)
    assert store.next_in == 10
    with pytest.raises(StoreError, match="back from 10 to 9"):
        store.set_next_in(9)


def test_numbers_left_out_are_missing_from_what_is_returned(store: MessageStore) -> None:
    store.sent(1, b"a")
    store.set_next_out(5)
    store.sent(5, b"e")
    assert list(store.get(1)) == [(1, b"a"), (5, b"e")]
    with pytest.raises(StoreError, match="back from 6 to 2"):
        store.set_next_out(2)


def test_reset_begins_a_new_epoch_and_keeps_metadata(store: MessageStore) -> None:
    store.sent(1, b"old")
    store.set_meta("route", b"x")
    store.reset(BORN_NS + 5, next_out=1, next_in=7)
    assert (store.next_out, store.next_in, store.epoch, store.created_ns) == (1, 7, 2, BORN_NS + 5)
    assert list(store.get(1)) == []
    assert dict(store.meta) == {"route": b"x"}
    store.sent(1, b"new")
    assert list(store.get(1)) == [(1, b"new")]


def test_metadata_is_replaced_and_removed(store: MessageStore) -> None:
    store.set_meta("a", b"1")
    store.set_meta("a", b"2")
    store.set_meta("b", b"3")
    store.set_meta("b", b"")
    store.set_meta("never there", b"")
    assert dict(store.meta) == {"a": b"2"}


Step = st.one_of(
    st.tuples(st.just("sent"), st.binary(max_size=600)),
    st.tuples(st.just("advance_in"), st.none()),
    st.tuples(st.just("set_next_in"), st.integers(0, 1000)),
    st.tuples(st.just("set_next_out"), st.integers(0, 1000)),
    st.tuples(st.just("reset"), st.integers(1, 5)),
    st.tuples(st.just("meta"), st.binary(max_size=30)),
    st.tuples(st.just("restart"), st.booleans()),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(Step, max_size=60))
def test_the_store_on_disk_does_what_the_one_in_memory_does_over_any_restarts(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, object]]
) -> None:
    folder = tmp_path_factory.mktemp("store")
    model = MemoryStore(BORN_NS)
    store = FileStore(folder, BORN_NS, SMALL)
    for step, value in steps:
        if step == "restart":
            store.close() if value else store._log.abandon()
            store = FileStore(folder, BORN_NS + 99, SMALL)
        else:
            do(model, step, value)
            do(store, step, value)
    assert shape(store) == shape(model)
    store.close()


def do(store: MessageStore, step: str, value: object) -> None:
    if step == "sent":
        assert isinstance(value, bytes)
        store.sent(store.next_out, value)
    elif step == "advance_in":
        store.advance_in(store.next_in)
    elif step == "meta":
        assert isinstance(value, bytes)
        store.set_meta(f"key {len(value) % 3}", value)
    else:
        assert isinstance(value, int)
        if step == "set_next_in":
            store.set_next_in(store.next_in + value)
        elif step == "set_next_out":
            store.set_next_out(store.next_out + value)
        else:
            store.reset(BORN_NS + value, value, value + 1)


def shape(store: MessageStore) -> object:
    numbers = (store.next_out, store.next_in, store.epoch, store.created_ns)
    return numbers, dict(store.meta), list(store.get(1))


def test_memory_keeps_a_bounded_number_of_messages() -> None:
    store = MemoryStore(BORN_NS, keep=3)
    for seq in range(1, 8):
        store.sent(seq, b"%d" % seq)
    assert [seq for seq, _ in store.get(1)] == [5, 6, 7]


# -- the store on disk ---------------------------------------------------------------------------------------


def test_one_writer_only(opened: Callable[..., FileStore]) -> None:
    opened()
    with pytest.raises(LockHeldError, match=f"pid {os.getpid()}"):
        opened()


def test_growth_is_bounded_and_numbers_outlive_dropped_messages(
    opened: Callable[..., FileStore], tmp_path: Path
) -> None:
    config = StoreSettings(segments=SegmentSettings(segment_bytes=4096, retain_bytes=6 * 4096))
    store = opened(config)
    store.set_meta("k", b"v")
    for seq in range(1, 1001):
        store.sent(seq, b"%0100d" % seq)
        store.advance_in(seq)
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) <= 6 * 4096 + 100
    kept = [seq for seq, _ in store.get(1)]
    assert kept == list(range(kept[0], 1001))
    assert kept[0] > 1
    before = shape(store)
    store.close()
    again = opened(config)
    assert shape(again) == before
    assert again.next_out == 1001


def test_reading_while_segments_are_dropped_skips_them(opened: Callable[..., FileStore]) -> None:
    store = opened(StoreSettings(segments=SegmentSettings(segment_bytes=4096, retain_bytes=4 * 4096)))
    for seq in range(1, 51):
        store.sent(seq, b"%0100d" % seq)
    messages = store.get(1)
    first = next(messages)[0]
    for seq in range(51, 300):
        store.sent(seq, b"%0100d" % seq)
    rest = [seq for seq, _ in messages]
    assert first < 51
    assert all(seq > first for seq in rest)


class Disk:
    def __init__(self, grants: int) -> None:
        self.grants = grants

    def reserve(self, fd: int, size: int) -> None:
        if not self.grants:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.grants -= 1
        allocate(fd, size)


def test_on_a_full_disk_cancels_and_receiving_go_on_without_end(opened: Callable[..., FileStore]) -> None:
    disk = Disk(3)
    store = opened(SMALL, reserve=disk.reserve)
    while not store.full:
        store.sent(store.next_out, b"order" * 10)
    for _ in range(1000):
        store.sent(store.next_out, b"cancel" * 10)
        store.advance_in(store.next_in)
    before = shape(store)
    store.close()
    again = opened(SMALL, reserve=disk.reserve)
    assert shape(again) == before
    assert again.next_in == 1001
    disk.grants = 2
    again.prepare()
    assert not again.full


def test_every_change_is_synced_when_asked_for(
    opened: Callable[..., FileStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (synced.append(fd), real(fd)))
    store = opened(StoreSettings(sync=Sync.EVERY))
    count = len(synced)
    store.sent(1, b"a")
    store.advance_in(1)
    assert len(synced) == count + 2


def host_went_down(folder: Path) -> None:
    for path in folder.glob("store-*.seg"):
        segment = Segment.open(path, writable=True)
        if segment.begun:
            segment.words[BOOT_WORD] = 12345
        segment.close()


def test_after_the_host_went_down_the_numbers_are_in_doubt_until_settled(
    opened: Callable[..., FileStore], tmp_path: Path
) -> None:
    store = opened()
    store.sent(1, b"a")
    assert not store.may_be_behind
    store._log.abandon()
    host_went_down(tmp_path)
    store = opened()
    assert store.may_be_behind
    store._log.abandon()
    store = opened()
    assert store.may_be_behind, "a crash before it was settled does not settle it"
    store.settled()
    assert not store.may_be_behind
    store.close()
    assert not opened().may_be_behind


def test_a_death_while_the_store_is_opened_after_the_host_went_down_leaves_it_in_doubt(
    opened: Callable[..., FileStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    store.sent(1, b"a")
    store._log.abandon()
    host_went_down(tmp_path)

    def dies(self: FileStore) -> None:
        raise InterruptedError

    with monkeypatch.context() as patched:
        patched.setattr(FileStore, "_replay", dies)
        with pytest.raises(InterruptedError):
            opened()
    assert opened().may_be_behind


def test_a_clean_close_before_a_reboot_leaves_no_doubt(opened: Callable[..., FileStore], tmp_path: Path) -> None:
    opened().close()
    assert not opened().may_be_behind


def test_with_every_change_synced_a_power_cut_leaves_no_doubt(opened: Callable[..., FileStore], tmp_path: Path) -> None:
    store = opened(StoreSettings(sync=Sync.EVERY))
    store.sent(1, b"a")
    store._log.abandon()
    host_went_down(tmp_path)
    store = opened(StoreSettings(sync=Sync.EVERY))
    assert not store.may_be_behind
    assert store.next_out == 2


def test_a_damaged_message_is_named_and_the_store_does_not_open(
    opened: Callable[..., FileStore], tmp_path: Path
) -> None:
    store = opened()
    for seq in range(1, 101):
        store.sent(seq, b"message %04d" % seq)
    store.close()
    path = tmp_path / "store-0000000001.seg"
    content = path.read_bytes()
    at = content.index(b"message 0007")
    path.write_bytes(content[:at] + b"M" + content[at + 1 :])
    with pytest.raises(CorruptError, match=r"store-0000000001\.seg: offset \d+"):
        opened()
    path.write_bytes(content)
    assert opened().next_out == 101, "a failed opening changed nothing"


@pytest.mark.parametrize(
    ("kind", "payload", "text"),
    [
        (9, b"", "record type 9"),
        (2, b"abc", "buffer"),
        (3, b"", "buffer"),
        (1, b"\xff", ""),
        (2, bytes(8), "message 0"),
    ],
)
def test_a_record_that_makes_no_sense_is_named(
    opened: Callable[..., FileStore], tmp_path: Path, kind: int, payload: bytes, text: str
) -> None:
    opened().close()
    log = SegmentWriter(tmp_path, "store", 1, SMALL.segments)
    log.append(kind, payload)
    offset = log.last_offset
    log.close()
    with pytest.raises(CorruptError, match=f"store segment 1: offset {offset}: .*{text}"):
        opened()


def test_metadata_is_bounded(opened: Callable[..., FileStore]) -> None:
    store = opened(StoreSettings())
    with pytest.raises(StoreError, match="'big'"):
        store.set_meta("big", bytes(MAX_META_BYTES))
    assert dict(store.meta) == {}


def test_a_closed_store_refuses(opened: Callable[..., FileStore]) -> None:
    store = opened()
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.sent(1, b"late")
    assert store.next_out == 1


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3)), max_size=50), st.integers(0, 60), st.integers(0, 60))
def test_places_agree_with_a_plain_dictionary(steps: list[tuple[int, int]], begin: int, span: int) -> None:
    places, model, seq, number = Places(), {}, 0, 1
    for skip, rotate in steps:
        seq += skip
        number += rotate
        places.add(seq, number, seq * 8)
        model[seq] = (seq, number, seq * 8)
        if rotate == 3:
            places.forget(number - 1)
            model = {key: place for key, place in model.items() if place[1] >= number - 1}
    wanted = [model[key] for key in sorted(model) if begin <= key <= begin + span]
    found, at = [], begin
    while (place := places.following(at)) and place[0] <= begin + span:
        found.append(place)
        at = place[0] + 1
    assert found == wanted
