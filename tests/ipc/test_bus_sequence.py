"""Frames and the tracker: what a subscriber concludes from any bytes at all."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import BusError, SchemaError
from ipc import frames
from ipc._bus import Outlet
from ipc.events import SCHEMA_VERSION, Alert, Envelope, TopOfBook
from ipc.sequence import Delivery, Gap, Tracker

TOPIC = "md.v.BTC-USD"


def alert(n: int) -> Alert:
    return Alert("source", "info", "n", str(n), n)


def frame(first: int, *events: object, epoch: int = 5, topic: str = TOPIC) -> bytes:
    packed = b"".join(frames.encode_event(e) for e in events)
    return frames.frame(frames.prefix(topic.encode(), epoch), first, 77, len(events), packed)


def gaps(deliveries: list[Delivery]) -> list[tuple[str, int, int]]:
    return [(d.event.kind, d.event.first, d.event.next) for d in deliveries if isinstance(d.event, Gap)]


def seqs(deliveries: list[Delivery]) -> list[int]:
    return [d.seq for d in deliveries if not isinstance(d.event, Gap)]


def test_a_frame_is_an_envelope_that_any_messagepack_reader_reads() -> None:
    data = frame(9, alert(1), alert(2))
    topic, _, payload = data.partition(b"\0")
    envelope = msgspec.msgpack.decode(payload, type=Envelope)
    assert (topic, envelope.schema, envelope.epoch, envelope.first_seq, envelope.sent_ns) == (
        TOPIC.encode(), SCHEMA_VERSION, 5, 9, 77,
    )  # fmt: skip
    assert envelope.events == (alert(1), alert(2))
    assert frames.read_header(data).offset == data.index(b"\0") + 1 + frames.HEADER_BYTES


@given(
    st.integers(1, 2**63), st.integers(1, 2**62), st.integers(0, 2**63), st.integers(0, 300), st.binary(max_size=999)
)
def test_native_and_python_frames_are_the_same_bytes(
    epoch: int, first: int, sent_ns: int, n: int, packed: bytes
) -> None:
    head = frames.prefix(TOPIC.encode(), epoch)
    outlet = Outlet(head, None)
    outlet.next_seq = first
    assert outlet.frame(sent_ns, n, packed) == frames.frame(head, first, sent_ns, n, packed)


@given(st.integers(1, 2**63), st.integers(1, 2**62), st.integers(0, 2**63), st.binary(min_size=7, max_size=99))
def test_a_header_is_read_as_it_was_written(epoch: int, first: int, sent_ns: int, packed: bytes) -> None:
    head = frames.read_header(frames.frame(frames.prefix(b"kill", epoch), first, sent_ns, 7, packed))
    assert (head.topic, head.epoch, head.first_seq, head.sent_ns, head.n_events) == ("kill", epoch, first, sent_ns, 7)


def test_contiguous_frames_bring_their_events_and_nothing_else() -> None:
    tracker = Tracker()
    found = tracker.deliveries(frame(1, alert(1), alert(2))) + tracker.deliveries(frame(3, alert(3)))
    assert [(d.topic, d.epoch, d.seq, d.event) for d in found] == [(TOPIC, 5, n, alert(n)) for n in (1, 2, 3)]
    assert tracker.counters.gaps == 0
    assert tracker.position(TOPIC) == (5, 4)


def test_a_hole_is_told_before_the_event_that_shows_it() -> None:
    tracker = Tracker()
    tracker.take(frame(1, alert(1)))
    found = tracker.deliveries(frame(4, alert(4)))
    assert [type(d.event) for d in found] == [Gap, Alert]
    assert gaps(found) == [("hole", 2, 4)]
    assert tracker.counters.missed == 2


def test_a_heartbeat_shows_a_lost_last_message() -> None:
    tracker = Tracker()
    tracker.take(frame(1, alert(1)))
    assert tracker.deliveries(frame(2)) == []
    assert gaps(tracker.deliveries(frame(3))) == [("hole", 2, 3)]
    assert tracker.deliveries(frame(3)) == []
    assert seqs(tracker.deliveries(frame(3, alert(3)))) == [3]


def test_joining_late_is_told_and_joining_at_the_start_is_not() -> None:
    assert gaps(Tracker().deliveries(frame(7, alert(7)))) == [("start", 1, 7)]
    assert gaps(Tracker().deliveries(frame(7))) == [("start", 1, 7)]
    assert gaps(Tracker().deliveries(frame(1, alert(1)))) == []


def test_a_restart_is_told_with_the_place_that_was_reached_before() -> None:
    tracker = Tracker()
    tracker.take(frame(1, alert(1), alert(2), epoch=5))
    (gap, event) = tracker.deliveries(frame(1, alert(1), epoch=3))  # clocks step back: any other epoch is a new one
    assert gap.event == Gap("restart", 1, 1, 5, 3, "publisher restarted")
    assert (event.epoch, event.seq) == (3, 1)


def test_a_late_frame_of_an_ended_epoch_is_dropped_and_counted() -> None:
    tracker = Tracker()
    tracker.take(frame(1, alert(1), epoch=5))
    tracker.take(frame(1, alert(1), epoch=6))
    assert tracker.deliveries(frame(2, alert(2), epoch=5)) == []
    assert tracker.counters.old_epoch == 1
    assert "two publishers" in tracker.last_fault
    assert tracker.position(TOPIC) == (6, 2)


def test_duplicates_are_dropped_also_inside_a_frame() -> None:
    tracker = Tracker()
    tracker.take(frame(1, alert(1), alert(2)))
    assert tracker.deliveries(frame(1, alert(1), alert(2))) == []
    assert [d.event for d in tracker.deliveries(frame(2, alert(2), alert(3)))] == [alert(3)]
    assert tracker.counters.duplicates == 3


def test_topics_are_numbered_apart() -> None:
    tracker = Tracker()
    for n in (1, 2, 3):
        for topic in ("md.v.BTC-USD", "md.v.BTC-USD-PERP"):
            assert seqs(tracker.deliveries(frame(n, alert(n), topic=topic))) == [n]
    assert tracker.counters.gaps == 0


def test_an_unknown_tag_is_skipped_and_its_neighbours_are_not() -> None:
    tracker = Tracker()
    found = tracker.deliveries(frame(1, alert(1), ["from the future", 1, 2], alert(3)))
    assert (seqs(found), gaps(found), tracker.counters.unknown_tags) == ([1, 3], [], 1)


def test_a_field_more_at_the_end_is_no_reason_to_refuse_an_event() -> None:
    packed = msgspec.msgpack.encode([*msgspec.to_builtins(alert(1)), "new field", 7])
    data = frames.frame(frames.prefix(TOPIC.encode(), 5), 1, 1, 1, packed)
    assert [d.event for d in Tracker().deliveries(data)] == [alert(1)]


def test_a_known_event_that_cannot_be_read_is_a_gap_and_takes_no_other_with_it() -> None:
    tracker = Tracker()
    found = tracker.deliveries(frame(1, alert(1), ["bbo", "v", "i", "not a number"], alert(3)))
    assert (seqs(found), gaps(found)) == ([1, 3], [("malformed", 2, 3)])
    assert "event 2" in tracker.last_fault
    assert "length 10, got 4" in tracker.last_fault


@pytest.mark.parametrize("event", [b"\x92\xa5alert\xa1\xff", b"\x92\xa3new" + b"\x91" * 60_000])
def test_bytes_that_no_decoder_takes_are_a_gap(event: bytes) -> None:
    packed = frames.encode_event(alert(1)) + event
    data = frames.frame(frames.prefix(TOPIC.encode(), 5), 1, 1, 2, packed)
    assert gaps(Tracker().deliveries(data)) in ([("malformed", 2, 3)], [("malformed", 1, 3)])


def test_another_schema_is_an_error_that_names_both() -> None:
    data = bytearray(frame(1, alert(1)))
    data[data.index(b"\0") + 2] = SCHEMA_VERSION + 1
    tracker = Tracker()
    with pytest.raises(SchemaError, match=f"schema {SCHEMA_VERSION + 1}.* schema {SCHEMA_VERSION}"):
        tracker.take(bytes(data))
    assert tracker.counters.other_schema == 1


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no topic"),
        (b"\0abc", "no topic"),
        (b"x" * 300 + b"\0", "no topic"),
        (b"md\xff\0", "not ASCII"),
        (b"kill\0\x95\x01\xcf", "header ends at byte 8"),
        (b"kill\0" + b"\x95\x01" + b"\xc0" * 40, "no envelope"),
        (frames.frame(frames.prefix(b"kill", 5), 0, 1, 0, b""), "at least 1"),
        (frames.frame(frames.prefix(b"kill", 5), 1, 1, 2**31, b"abc"), "2147483648 events announced"),
    ],
)
def test_what_is_no_frame_is_counted_and_named(data: bytes, says: str) -> None:
    tracker = Tracker()
    assert tracker.deliveries(data) == []
    assert tracker.counters.malformed == 1
    assert says in tracker.last_fault
    with pytest.raises(BusError):
        frames.read_header(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120), st.integers(0, 160), st.binary(max_size=3))
def test_damaged_bytes_never_raise_anything_but_a_schema_error(noise: bytes, cut: int, patch: bytes) -> None:
    tracker = Tracker()
    good = frame(1, alert(1), TopOfBook("v", "i", 1, 2, 3, 4, 0, 0, 5))
    damaged = good[:cut] + patch + good[cut + len(patch) :]
    for data in (noise, good[:cut], damaged, good + noise):
        for one in (data, good):
            try:
                tracker.deliveries(one)
            except SchemaError as e:
                assert "schema" in str(e)  # noqa: PT017


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["hear", "lose", "twice"])), max_size=40))
def test_every_number_is_delivered_once_or_lies_in_a_gap(steps: list[tuple[int, str]]) -> None:
    tracker, found, at = Tracker(), [], 1
    for count, what in steps:
        data = frame(at, *(alert(at + i) for i in range(count)))
        at += count
        for _ in range({"hear": 1, "lose": 0, "twice": 2}[what]):
            found += tracker.deliveries(data)
    found += tracker.deliveries(frame(at))
    missing = [n for d in found if isinstance(d.event, Gap) for n in range(d.event.first, d.event.next)]
    assert sorted(seqs(found) + missing) == list(range(1, at))


def test_silence_is_told_once_and_ends_with_any_frame() -> None:
    tracker = Tracker()
    tracker.expect("kill", 0)
    tracker.take(frame(1, alert(1)))
    assert tracker.check(10, 100) == []
    assert [d.topic for d in tracker.check(100, 100)] == ["kill"]
    silent = tracker.check(110, 100)
    assert [(d.topic, d.epoch, d.seq, gaps([d])) for d in silent] == [(TOPIC, 5, 2, [("silent", 2, 2)])]
    assert tracker.check(500, 100) == []
    assert tracker.silent_topics() == ["kill", TOPIC]
    tracker.take(frame(2))
    assert tracker.check(600, 100) == []
    assert tracker.silent_topics() == ["kill"]


@pytest.mark.parametrize("topic", ["", "a b", "a\0b", "ü", "x" * 256, "tab\t"])
def test_a_topic_is_short_printable_ascii(topic: str) -> None:
    with pytest.raises(BusError, match="expected 1 to 255"):
        frames.check_topic(topic)
