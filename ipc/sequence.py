"""What a subscriber knows of each topic: epoch, next number, when last heard. Pure: frames in, verdicts out."""

from typing import Final, NamedTuple, TypeAlias

import msgspec

from base.errors import BusError, SchemaError
from ipc import frames
from ipc._bus import Topic, TrackerCore
from ipc.events import AnyEvent

_EMPTY: Final = memoryview(b"")
_RETIRED: Final = 16  # epochs remembered per topic, so that a late frame of an old one is known for what it is


class Gap(msgspec.Struct, frozen=True):
    """Events that this subscriber cannot have: numbers `first` up to and without `next` of the delivery's epoch.

    kind: "start" (joined after number 1), "hole" (lost on the way), "restart" (new epoch: the end of `prior_epoch`
    after its number `prior_next` - 1 may be lost too), "malformed" (arrived, but cannot be read), "silent" (nothing
    heard, not even heartbeats: the publisher is lost; first == next). `text` says more for people.
    """

    kind: str
    first: int
    next: int
    prior_epoch: int = 0
    prior_next: int = 0
    text: str = ""


class Delivery(NamedTuple):
    """One event, or a Gap, of a topic. For a Gap `seq` is the number that comes after it."""

    topic: str
    epoch: int
    seq: int
    event: AnyEvent | Gap


# (topic, epoch, first_seq, n_events, packed events, gap before them or None). Without events: only the gap counts.
RawFrame: TypeAlias = tuple[bytes, int, int, int, memoryview, Gap | None]


class Counters(msgspec.Struct):
    """What a tracker met since it began."""

    frames: int = 0
    events: int = 0
    heartbeats: int = 0
    gaps: int = 0
    missed: int = 0  # events known to be lost
    duplicates: int = 0
    old_epoch: int = 0  # events of an epoch that had ended
    unknown_tags: int = 0  # events of a newer schema, skipped
    malformed: int = 0  # frames or events that could not be read
    other_schema: int = 0


class Tracker(TrackerCore):
    """Checks epoch and sequence of every frame, per topic. One per subscriber socket."""

    def __init__(self) -> None:
        super().__init__()
        self._counters = Counters()
        self.last_fault = ""  # what was wrong with the last thing that could not be read

    @property
    def counters(self) -> Counters:
        """What was met so far."""
        replace = msgspec.structs.replace
        return replace(self._counters, frames=self.frames, events=self.events, heartbeats=self.heartbeats)

    def expect(self, topic: str, mono_ns: int) -> None:
        """Count the topic as silent, too, when nothing at all comes from it."""
        self.topics.setdefault(frames.check_topic(topic), Topic(topic, mono_ns))

    def position(self, topic: str) -> tuple[int, int]:
        """(epoch, next sequence number) of a topic; (0, 0) when nothing was heard of it."""
        state = self.topics.get(topic.encode())
        return (state.epoch, state.next_seq) if state else (0, 0)

    def silent_topics(self) -> list[str]:
        """Topics whose publisher is lost, as of the last `check`."""
        return [t.name for t in self.topics.values() if t.silent]

    def deliveries(self, data: bytes) -> list[Delivery]:
        """Check one frame and decode its events; unknown tags are counted and skipped."""
        raw = self.take(data)
        if raw is None:
            return []
        key, epoch, first, n, packed, gap = raw
        topic = self.topics[key].name
        out = [Delivery(topic, epoch, gap.next, gap)] if gap else []
        if n:
            out += self._decode(topic, epoch, first, n, packed)
        return out

    def numbered(self, data: bytes) -> list[tuple[int, int, AnyEvent]]:
        """As `deliveries`, for readers that heed no gaps: (epoch, sequence number, event) of each."""
        raw = self.take(data)
        if raw is None or not raw[3]:
            return []
        key, epoch, first, n, packed, _ = raw
        try:
            events = frames.decode_events(frames.events_array(n, packed))
        except frames.UNREADABLE:
            found = self._decode(self.topics[key].name, epoch, first, n, packed)
            return [(d.epoch, d.seq, d.event) for d in found if not isinstance(d.event, Gap)]
        return [(epoch, seq, event) for seq, event in enumerate(events, first)]

    def check(self, mono_ns: int, silence_ns: int) -> list[Delivery]:
        """Gaps of kind "silent" for topics newly silent for `silence_ns`. Call it after draining the socket."""
        out = []
        for topic in self.topics.values():
            if topic.heard:
                topic.heard, topic.silent, topic.heard_ns = False, False, mono_ns
            elif not topic.silent and mono_ns - topic.heard_ns >= silence_ns:
                topic.silent = True
                text = f"nothing heard for {(mono_ns - topic.heard_ns) // 1_000_000} ms"
                gap = self._gap(Gap("silent", topic.next_seq, topic.next_seq, text=text))
                out.append(Delivery(topic.name, topic.epoch, topic.next_seq, gap))
        return out

    def unusual(self, data: bytes) -> RawFrame | None:
        """What `take` leaves: a topic's first frame, another epoch, a hole, a repetition, or no frame at all."""
        try:
            head = frames.read_header(data)
        except SchemaError:
            self._counters.other_schema += 1
            raise
        except BusError as e:
            return self._fault(str(e))
        topic = self.topics.setdefault(head.topic.encode(), Topic(head.topic, 0))
        topic.heard = True
        self.frames += 1
        if head.epoch in topic.retired:
            self._counters.old_epoch += head.n_events
            self.last_fault = f"topic {head.topic}: epoch {head.epoch} had ended: a late frame, or two publishers"
            return None
        if head.epoch == topic.epoch:
            return self._out_of_line(topic, head, data)
        gap = self._first_contact(topic, head)
        if topic.epoch:
            topic.retired = (*topic.retired[1 - _RETIRED :], topic.epoch)
        topic.epoch, topic.prefix = head.epoch, frames.prefix(topic.key, head.epoch)
        return self._step(topic, head.first_seq, head.n_events, memoryview(data)[head.offset :], gap)

    def _first_contact(self, topic: Topic, head: frames.Header) -> Gap | None:
        if topic.epoch:
            self._counters.missed += head.first_seq - 1
            return self._gap(Gap("restart", 1, head.first_seq, topic.epoch, topic.next_seq, "publisher restarted"))
        if head.first_seq > 1:
            return self._gap(Gap("start", 1, head.first_seq, text="published before this subscription began"))
        return None

    def _out_of_line(self, topic: Topic, head: frames.Header, data: bytes) -> RawFrame | None:
        """A hole before this frame, or events that were there already."""
        packed, first, n, expected = memoryview(data)[head.offset :], head.first_seq, head.n_events, topic.next_seq
        if first >= expected:
            gap = self._hole(expected, first) if first > expected else None
            return self._step(topic, first, n, packed, gap)
        if first + n <= expected:
            self._counters.duplicates += n
            return None
        rest = self._rest(topic, packed, n, expected - first)
        if not rest:
            return None
        self._counters.duplicates += expected - first
        return self._step(topic, expected, first + n - expected, rest, None)

    def _hole(self, first: int, after: int) -> Gap:
        self._counters.missed += after - first
        return self._gap(Gap("hole", first, after, text=f"{after - first} events lost on the way"))

    def _step(self, topic: Topic, first: int, n: int, packed: memoryview, gap: Gap | None) -> RawFrame | None:
        topic.next_seq = first + n
        self.events += n
        self.heartbeats += not n
        return (topic.key, topic.epoch, first, n, packed, gap) if n or gap else None

    def _rest(self, topic: Topic, packed: memoryview, n: int, skip: int) -> memoryview:
        """The events after the first `skip`; empty when they cannot be taken apart (the next frame shows the hole)."""
        try:
            parts = frames.split_events(frames.events_array(n, packed))
        except frames.UNREADABLE as e:
            self._fault(f"topic {topic.name}: events are not MessagePack: {e}")
            return _EMPTY
        return memoryview(b"".join(bytes(p) for p in parts[skip:]))

    def _decode(self, topic: str, epoch: int, first: int, n: int, packed: memoryview) -> list[Delivery]:
        out, unknown = decode(topic, epoch, first, n, packed)
        self._counters.unknown_tags += unknown
        for found in out:
            if isinstance(found.event, Gap):
                gap = self._gap(found.event)
                self._counters.missed += gap.next - gap.first
                self._fault(f"topic {topic}, epoch {epoch}, event {gap.first}: {gap.text}")
        return out

    def _gap(self, gap: Gap) -> Gap:
        self._counters.gaps += 1
        return gap

    def _fault(self, text: str) -> RawFrame | None:
        self._counters.malformed += 1
        self.last_fault = text
        return None  # nothing to deliver


def decode(topic: str, epoch: int, first: int, n: int, packed: bytes | memoryview) -> tuple[list[Delivery], int]:
    """The events of one frame, and how many of them were skipped for an unknown tag. What cannot be read is a Gap."""
    array = frames.events_array(n, packed)
    try:
        events = frames.decode_events(array)
    except frames.UNREADABLE:
        return _decode_each(topic, epoch, first, n, array)
    return [Delivery(topic, epoch, first + i, event) for i, event in enumerate(events)], 0


def _decode_each(topic: str, epoch: int, first: int, n: int, array: bytes) -> tuple[list[Delivery], int]:
    """Event by event, so that one that cannot be read takes no other with it."""
    try:
        parts = frames.split_events(array)
    except frames.UNREADABLE as e:
        return [Delivery(topic, epoch, first + n, Gap("malformed", first, first + n, text=str(e)))], 0
    out, unknown = [], 0
    for seq, part in enumerate(parts, first):
        try:
            out.append(Delivery(topic, epoch, seq, frames.decode_event(part)))
        except frames.UNREADABLE as e:
            if frames.has_known_tag(part):
                out.append(Delivery(topic, epoch, seq + 1, Gap("malformed", seq, seq + 1, text=str(e))))
            else:
                unknown += 1
    return out, unknown
