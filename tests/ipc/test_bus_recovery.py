"""Whatever the link does: every event arrives once, or a gap in its place; state ends as the publisher's."""

from collections import deque
from contextlib import closing
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from base.segments import SegmentSettings
from ipc import frames
from ipc.events import Alert, BookDelta, BookSnapshot, Marker
from ipc.journal import Journal
from ipc.recovery import Ask, Position, ReplayRecovery, SnapshotRecovery
from ipc.requests import ReplayChunk
from ipc.sequence import Delivery, Gap, Tracker

TOPIC = "exec.a"
SECOND = 1_000_000_000
ROOMY = SegmentSettings(segment_bytes=1 << 20, retain_bytes=32 << 20)


def alert(n: int, pad: str = "") -> Alert:
    return Alert("source", "info", "n", str(n) + pad, n)


class Source:
    """A publisher with a journal, as far as a consumer can tell."""

    def __init__(self, chunk_frames: int = 2, pad: str = "") -> None:
        self._pad = pad
        self.epoch = 1000
        self.next_seq = 1
        self.total = 0
        self.journal: list[bytes] = []
        self.dropped = Position(0, 0)  # the journal no longer has what is before
        self.published: list[tuple[int, int, int]] = []  # epoch, seq, what
        self._chunk_frames = chunk_frames

    def publish(self, count: int) -> bytes:
        events = [alert(self.total + i, self._pad) for i in range(count)]
        for i in range(count):
            self.published.append((self.epoch, self.next_seq + i, self.total + i))
        self.total += count
        data = self._frame(count, b"".join(map(frames.encode_event, events)))
        self.journal.append(data)
        self.next_seq += count
        return data

    def publish_unknown(self) -> bytes:
        data = self._frame(1, b"\x92\xa7another\x01")
        self.journal.append(data)
        self.next_seq += 1
        return data

    def heartbeat(self) -> bytes:
        return self._frame(0, b"")

    def restart(self) -> None:
        self.epoch += 1
        self.next_seq = 1

    def forget(self, count: int) -> None:
        for data in self.journal[:count]:
            head = frames.read_header(data)
            self.dropped = Position(head.epoch, head.first_seq + head.n_events)
        del self.journal[:count]

    def answer(self, position: Position) -> ReplayChunk:
        rest = [d for d in self.journal if self._after(d, position)]
        found = tuple(rest[: self._chunk_frames])
        truncated = position.epoch != 0 and position < self.dropped
        if len(rest) > len(found):
            return ReplayChunk(found, truncated)
        return ReplayChunk(found, truncated, Marker("x", "replay", self.next_seq), self.epoch)

    def _after(self, data: bytes, position: Position) -> bool:
        head = frames.read_header(data)
        return (head.epoch, head.first_seq + head.n_events - 1) >= position

    def _frame(self, n: int, packed: bytes) -> bytes:
        return frames.frame(frames.prefix(TOPIC.encode(), self.epoch), self.next_seq, 1, n, packed)


class Consumer:
    """A subscriber, its recovery, and what came out."""

    def __init__(self, recovery: ReplayRecovery) -> None:
        self.recovery = recovery
        self.tracker = Tracker()
        self.got: list[Delivery] = []
        self.asked: deque[Ask] = deque()
        self.now = 0

    def hear(self, data: bytes) -> None:
        for delivery in self.tracker.deliveries(data):
            self.got += self.recovery.heard(delivery)
        self.recovery.seen(*self.tracker.position(TOPIC))
        self.ask()

    def ask(self) -> None:
        if ask := self.recovery.ask(self.now):
            self.asked.append(ask)

    def replay(self, source: Source) -> None:
        if self.asked:
            ask = self.asked.popleft()
            self.got += self.recovery.chunk(ask.request_id, source.answer(ask.position))
            self.ask()

    def settle(self, source: Source) -> None:
        """Nothing is lost any more."""
        for _ in range(500):
            self.hear(source.heartbeat())
            while self.asked:
                self.replay(source)
            if self.recovery.live:
                return
            self.now += 2 * SECOND
            self.ask()
        raise AssertionError("never went live")

    def events(self) -> list[tuple[int, int, int]]:
        return [(d.epoch, d.seq, d.event.ts_ns) for d in self.got if isinstance(d.event, Alert)]

    def gaps(self) -> list[Delivery]:
        return [d for d in self.got if isinstance(d.event, Gap)]


PLAIN = ("lose", "hear", "twice", "beat", "restart", "answer", "lose answer", "unknown", "timeout")
STEPS = st.lists(
    st.one_of(st.tuples(st.just("publish"), st.integers(1, 3)), st.sampled_from([(step, 0) for step in PLAIN])),
    max_size=60,
)


def drive(steps: list[tuple[str, int]], consumer: Consumer, source: Source, link: deque[bytes]) -> None:
    last = b""
    for what, count in steps:
        if what == "publish":
            link.append(source.publish(count))
        elif what == "unknown":
            link.append(source.publish_unknown())
        elif what == "beat":
            link.append(source.heartbeat())
        elif what == "lose" and link:
            link.popleft()
        elif what == "hear" and link:
            last = link.popleft()
            consumer.hear(last)
        elif what == "twice" and last:
            consumer.hear(last)
        elif what == "restart":
            source.restart()
        elif what == "answer":
            consumer.replay(source)
        elif what == "lose answer" and consumer.asked:
            consumer.asked.popleft()
        elif what == "timeout":
            consumer.now += 2 * SECOND
            consumer.ask()


@settings(max_examples=200, deadline=None)
@given(STEPS, st.integers(1, 3), st.integers(1, 8))
def test_every_event_arrives_once_and_in_order(steps: list[tuple[str, int]], chunk_frames: int, buffer: int) -> None:
    source, link = Source(chunk_frames), deque[bytes]()
    consumer = Consumer(ReplayRecovery(TOPIC, buffer=buffer))
    consumer.ask()
    drive(steps, consumer, source, link)
    while link:
        consumer.hear(link.popleft())
    consumer.settle(source)
    assert consumer.events() == source.published
    assert consumer.gaps() == []


@settings(max_examples=200, deadline=None)
@given(STEPS, STEPS, st.integers(1, 20), st.integers(1, 8))
def test_what_the_journal_lost_is_a_visible_gap(
    before: list[tuple[str, int]], after: list[tuple[str, int]], forget: int, buffer: int
) -> None:
    source, link = Source(), deque[bytes]()
    consumer = Consumer(ReplayRecovery(TOPIC, Position(1000, 1), buffer=buffer))
    consumer.ask()
    drive(before, consumer, source, link)
    source.forget(forget)
    drive(after, consumer, source, link)
    consumer.settle(source)
    events = consumer.events()
    assert events == sorted(set(events))
    assert set(events) <= set(source.published)
    for missing in set(source.published) - set(events):
        assert any(covers(d, missing) for d in consumer.gaps()), missing


def covers(delivery: Delivery, missing: tuple[int, int, int]) -> bool:
    gap = delivery.event
    assert isinstance(gap, Gap)
    if missing[0] == delivery.epoch:
        return gap.first <= missing[1] < gap.next
    return gap.kind == "restart" and (gap.prior_epoch, gap.prior_next) <= missing[:2] < (delivery.epoch, 0)


def test_a_consumer_that_begins_live_replays_only_what_it_loses() -> None:
    source = Source()
    consumer = Consumer(ReplayRecovery(TOPIC, None))
    source.publish(3)
    consumer.hear(source.publish(1))
    source.publish(2)  # lost
    consumer.hear(source.heartbeat())
    consumer.settle(source)
    assert [e[1] for e in consumer.events()] == [4, 5, 6]
    assert [d.event.kind for d in consumer.gaps() if isinstance(d.event, Gap)] == ["start"]


def test_a_publisher_without_a_journal_leaves_a_gap_and_goes_on() -> None:
    source = Source()
    consumer = Consumer(ReplayRecovery(TOPIC, None, attempts=2))
    consumer.hear(source.publish(1))
    source.publish(1)
    consumer.hear(source.publish(1))
    for _ in range(2):
        consumer.got += consumer.recovery.refused(consumer.asked.popleft().request_id, "not journalled")
        consumer.now += 2 * SECOND
        consumer.ask()
    assert [e[1] for e in consumer.events()] == [1, 3]
    assert [(d.event.first, d.event.next) for d in consumer.gaps() if isinstance(d.event, Gap)] == [(2, 3)]
    assert consumer.recovery.live


class Lives(Source):
    """A publisher with a journal on disk, whose frames are so large that two of them fill an answer."""

    def __init__(self, folder: Path) -> None:
        super().__init__(pad="." * 20_000)
        self._folder = folder
        self._open()

    def publish(self, count: int) -> bytes:
        data = super().publish(count)
        self.disk.frame(data)
        return data

    def publish_unknown(self) -> bytes:
        data = super().publish_unknown()
        self.disk.frame(data)
        return data

    def restart(self) -> None:
        super().restart()
        self.disk.close()
        self._open()

    def answer(self, position: Position) -> ReplayChunk:
        found = self.disk.chunk(TOPIC, position.epoch, position.seq)
        if found.more:
            return ReplayChunk(found.frames, found.truncated)
        return ReplayChunk(found.frames, found.truncated, Marker("x", "replay", self.next_seq), self.epoch)

    def close(self) -> None:
        self.disk.close()

    def _open(self) -> None:
        self.disk = Journal(self._folder, self.epoch, settings=ROOMY)
        self.disk.declare(TOPIC, self.epoch)


def life(events: int, heard: list[str]) -> list[tuple[str, int]]:
    """What happens from one start of a publisher to the next; without events its heartbeats are all there is."""
    said = [("publish", 1), ("beat", 0)] * events or [("beat", 0)]
    return [("restart", 0), *said, *((what, 0) for what in heard)]


HEARD = st.lists(st.sampled_from(["hear"] * 4 + ["answer"] * 4 + ["lose", "timeout", "lose answer"]), max_size=12)
LIVES = st.lists(st.builds(life, st.sampled_from([0, 0, 1, 4]), HEARD), max_size=8).map(
    lambda found: list(chain(*found))
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(LIVES, st.integers(1, 8))
def test_every_event_of_a_journal_on_disk_arrives_whatever_lives_its_publisher_has(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], buffer: int
) -> None:
    source, link = Lives(tmp_path_factory.mktemp("j")), deque[bytes]()
    with closing(source):
        source.publish(3)
        consumer = Consumer(ReplayRecovery(TOPIC, buffer=buffer))
        consumer.ask()
        drive(steps, consumer, source, link)
        while link:
            consumer.hear(link.popleft())
        consumer.settle(source)
        assert consumer.events() == source.published
        assert consumer.gaps() == []


def test_a_life_without_events_between_two_with_leaves_the_consumer_going_on(tmp_path: Path) -> None:
    with closing(Lives(tmp_path)) as source:
        consumer = Consumer(ReplayRecovery(TOPIC))
        for _ in range(5):
            consumer.hear(source.publish(1))
        source.restart()
        consumer.hear(source.heartbeat())
        consumer.settle(source)
        source.restart()
        consumer.hear(source.publish(1))
        consumer.settle(source)
        consumer.hear(source.publish(1))
        assert consumer.events() == source.published
        assert consumer.gaps() == []


class Circling(Source):
    """A publisher that does not know where to begin and answers with its oldest events, over and over."""

    def answer(self, position: Position) -> ReplayChunk:
        return ReplayChunk(tuple(self.journal[:2]), True)


def test_answers_that_lead_nowhere_end_in_a_gap_and_the_stream_goes_on() -> None:
    source = Circling()
    consumer = Consumer(ReplayRecovery(TOPIC, None, attempts=3))
    for _ in range(3):
        consumer.hear(source.publish(1))
    source.restart()
    consumer.hear(source.heartbeat())
    at_once = len(consumer.asked)
    consumer.replay(source)
    assert (at_once, len(consumer.asked)) == (1, 0)  # the same answer is not asked for again before the timeout
    consumer.hear(source.publish(1))
    consumer.settle(source)
    consumer.hear(source.publish(1))
    assert consumer.events() == source.published
    [gap] = [d.event for d in consumer.gaps() if isinstance(d.event, Gap)]
    assert (gap.kind, gap.next, gap.prior_epoch, gap.prior_next) == ("restart", 1, 1000, 4)
    assert consumer.now <= 4 * 2 * SECOND


def test_an_answer_that_takes_longer_than_the_timeout_still_counts_and_counts_once() -> None:
    source = Source(chunk_frames=9)
    consumer = Consumer(ReplayRecovery(TOPIC))
    consumer.ask()
    consumer.hear(source.publish(2))
    consumer.now += 2 * SECOND
    consumer.ask()
    assert len(consumer.asked) == 2
    consumer.replay(source)
    assert consumer.recovery.live
    consumer.replay(source)
    assert consumer.events() == source.published
    assert consumer.gaps() == []


def test_an_answer_never_leads_back_into_a_life_that_ended() -> None:
    source = Source()
    consumer = Consumer(ReplayRecovery(TOPIC, None))
    old = [source.publish(1) for _ in range(3)]
    for data in old:
        consumer.hear(data)
    source.restart()
    consumer.hear(source.publish(1))
    consumer.settle(source)
    source.restart()
    new = source.publish(1)
    consumer.hear(new)
    chunk = ReplayChunk((*old, new), True, Marker("x", "replay", 2), source.epoch)
    consumer.got += consumer.recovery.chunk(consumer.asked.popleft().request_id, chunk)
    assert consumer.events() == source.published
    assert [(d.epoch, d.event.prior_epoch) for d in consumer.gaps() if isinstance(d.event, Gap)] == [(1002, 1001)]


def test_silence_is_passed_on_and_asks_for_nothing() -> None:
    consumer = Consumer(ReplayRecovery(TOPIC, None))
    source = Source()
    consumer.hear(source.publish(1))
    silent = Delivery(TOPIC, 1000, 2, Gap("silent", 2, 2))
    assert consumer.recovery.heard(silent) == [silent]
    assert consumer.recovery.live


# -- state ---------------------------------------------------------------------------------------------------------


class Counter:
    """A publisher whose state is the list of its changes; a change is a BookDelta with a running id."""

    def __init__(self) -> None:
        self.epoch, self.next_seq, self.total = 1000, 1, 0
        self.state: list[int] = []

    def change(self) -> bytes:
        self.total += 1
        self.state.append(self.total)
        return self._frame(BookDelta(2, b"", self.total, 0, 0))

    def snapshot(self) -> bytes:
        return self._frame(BookSnapshot("v", "i", 2, 0, 0, bytes(self.state_bytes()), b"", self.total, 0, 0))

    def state_bytes(self) -> bytes:
        return b"".join(n.to_bytes(4, "little") for n in self.state)

    def heartbeat(self) -> bytes:
        return frames.frame(frames.prefix(TOPIC.encode(), self.epoch), self.next_seq, 1, 0, b"")

    def restart(self) -> None:
        self.epoch, self.next_seq, self.state = self.epoch + 1, 1, []

    def _frame(self, event: BookDelta | BookSnapshot) -> bytes:
        data = frames.frame(frames.prefix(TOPIC.encode(), self.epoch), self.next_seq, 1, 1, frames.encode_event(event))
        self.next_seq += 1
        return data


class Mirror:
    """A consumer that keeps the same state, or none while it is out of step."""

    def __init__(self, buffer: int) -> None:
        self.recovery = SnapshotRecovery(TOPIC, buffer=buffer)
        self.tracker = Tracker()
        self.state: list[int] | None = None
        self.answers: deque[tuple[str, int, int, list[int]]] = deque()
        self.now = 0

    def hear(self, data: bytes) -> None:
        for delivery in self.tracker.deliveries(data):
            self.take(self.recovery.heard(delivery))
        self.take(self.recovery.seen(*self.tracker.position(TOPIC)))

    def take(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            event = delivery.event
            if isinstance(event, Gap):
                self.state = None
            elif isinstance(event, BookSnapshot):
                self.state = [int.from_bytes(event.bids[i : i + 4], "little") for i in range(0, len(event.bids), 4)]
            elif isinstance(event, BookDelta):
                assert self.state is not None, "a change without a state to apply it to"
                self.state.append(event.last_update_id)

    def ask(self, counter: Counter) -> None:
        if ask := self.recovery.ask(self.now):
            self.answers.append((ask.request_id, counter.epoch, counter.next_seq, list(counter.state)))

    def answer(self) -> None:
        request_id, epoch, next_seq, state = self.answers.popleft()
        rest = self.recovery.snapshot(request_id, epoch, next_seq)
        if rest is not None:
            self.state = state
            self.take(rest)


@settings(max_examples=250, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["change"] * 5 + ["hear"] * 5 + ["lose", "restart", "ask", "answer", "in band", "beat", "twice", "timeout"]
        ),
        max_size=80,
    ),
    st.integers(1, 6),
)
def test_the_consumer_ends_with_the_publishers_state(steps: list[str], buffer: int) -> None:
    counter, mirror, link, last = Counter(), Mirror(buffer), deque[bytes](), b""
    for step in steps:
        if step == "change":
            link.append(counter.change())
        elif step == "in band":
            link.append(counter.snapshot())
        elif step == "beat":
            link.append(counter.heartbeat())
        elif step == "restart":
            counter.restart()
        elif step == "ask":
            mirror.ask(counter)
        elif step == "timeout":
            mirror.now += 2 * SECOND
        elif step == "answer" and mirror.answers:
            mirror.answer()
        elif step in {"hear", "lose"} and link:
            last = link.popleft()
            if step == "hear":
                mirror.hear(last)
        elif step == "twice" and last:
            mirror.hear(last)
    for data in link:
        mirror.hear(data)
    mirror.hear(counter.heartbeat())
    for _ in range(3):
        mirror.now += 2 * SECOND
        mirror.ask(counter)
        while mirror.answers:
            mirror.answer()
    assert mirror.recovery.live
    assert mirror.state == counter.state
