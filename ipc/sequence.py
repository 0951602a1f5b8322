"""What a subscriber knows of each topic: epoch, next number, when last heard. Pure: frames in, verdicts out."""

import struct
from typing import Final, NamedTuple, TypeAlias

import msgspec

from base.errors import BusError, SchemaError
from ipc import frames
from ipc.events import AnyEvent

_NUMBERS: Final = struct.Struct(">Q10xI")  # first_seq, (0xcf sent_ns 0xdd) skipped, n_events
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


class _Topic:
    """State of one topic."""

    __slots__ = ("epoch", "heard", "heard_ns", "key", "name", "next_seq", "prefix", "retired", "silent", "tail_at")

    def __init__(self, name: str, mono_ns: int) -> None:
        self.name = name
        self.key = name.encode()
        self.epoch = 0
        self.next_seq = 0
        self.prefix = b""
        self.tail_at = 0
        self.retired: list[int] = []
        self.heard = False
        self.heard_ns = mono_ns
        self.silent = False

    def begin(self, epoch: int) -> None:
        if self.epoch:
            self.retired = [*self.retired[1 - _RETIRED :], self.epoch]
        self.epoch = epoch
        self.prefix = frames.prefix(self.key, epoch) + b"\xcf"
        self.tail_at = len(self.prefix)


class Tracker:
    """Checks epoch and sequence of every frame, per topic. One per subscriber socket."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.last_fault = ""  # what was wrong with the last thing that could not be read
        self._topics: dict[bytes, _Topic] = {}

    def expect(self, topic: str, mono_ns: int) -> None:
        """Count the topic as silent, too, when nothing at all comes from it."""
        self._topics.setdefault(frames.check_topic(topic), _Topic(topic, mono_ns))

    def position(self, topic: str) -> tuple[int, int]:
        """(epoch, next sequence number) of a topic; (0, 0) when nothing was heard of it."""
        state = self._topics.get(topic.encode())
        return (state.epoch, state.next_seq) if state else (0, 0)

    def silent_topics(self) -> list[str]:
        """Topics whose publisher is lost, as of the last `check`."""
        return [s.name for s in self._topics.values() if s.silent]

    def take(self, data: bytes) -> RawFrame | None:
        """Check one frame. None: nothing to deliver (heartbeat, duplicate, malformed). SchemaError: another schema."""
        state = self._topics.get(data[: data.find(b"\0")])
        if state is None or not state.epoch or not data.startswith(state.prefix):
            return self._unusual(data)
        at = state.tail_at
        if len(data) < at + _NUMBERS.size:
            return self._fault(f"topic {state.name}: frame of {len(data)} bytes ends inside its header")
        first, n = _NUMBERS.unpack_from(data, at)
        if n > len(data):  # an event takes a byte at least
            return self._fault(f"topic {state.name}: {n} events announced in a frame of {len(data)} bytes")
        state.heard = True
        counters = self.counters
        counters.frames += 1
        if first != state.next_seq:
            return self._out_of_line(state, data, first, n)
        if not n:
            counters.heartbeats += 1
            return None
        counters.events += n
        state.next_seq = first + n
        return state.key, state.epoch, first, n, memoryview(data)[at + 22 :], None

    def deliveries(self, data: bytes) -> list[Delivery]:
        """Check one frame and decode its events; unknown tags are counted and skipped."""
        raw = self.take(data)
        if raw is None:
            return []
        key, epoch, first, n, packed, gap = raw
        topic = self._topics[key].name
        out = [Delivery(topic, epoch, gap.next, gap)] if gap else []
        if n:
            out += self._decode(topic, epoch, first, n, packed)
        return out

    def check(self, mono_ns: int, silence_ns: int) -> list[Delivery]:
        """Gaps of kind "silent" for topics newly silent for `silence_ns`. Call it after draining the socket."""
        out = []
        for state in self._topics.values():
            if state.heard:
                state.heard, state.silent, state.heard_ns = False, False, mono_ns
            elif not state.silent and mono_ns - state.heard_ns >= silence_ns:
                state.silent = True
                text = f"nothing heard for {(mono_ns - state.heard_ns) // 1_000_000} ms"
                gap = self._gap(Gap("silent", state.next_seq, state.next_seq, text=text))
                out.append(Delivery(state.name, state.epoch, state.next_seq, gap))
        return out

    def _unusual(self, data: bytes) -> RawFrame | None:
        """A frame of an unknown topic or another epoch, or no frame at all."""
        try:
            head = frames.read_header(data)
        except SchemaError:
            self.counters.other_schema += 1
            raise
        except BusError as e:
            return self._fault(str(e))
        if head.n_events > len(data):
            return self._fault(f"topic {head.topic}: {head.n_events} events announced in a frame of {len(data)} bytes")
        key = head.topic.encode()
        state = self._topics.setdefault(key, _Topic(head.topic, 0))
        state.heard = True
        self.counters.frames += 1
        if head.epoch in state.retired:
            self.counters.old_epoch += head.n_events
            return None
        gap = self._first_contact(state, head)
        state.begin(head.epoch)
        state.next_seq = head.first_seq + head.n_events
        self.counters.events += head.n_events
        self.counters.heartbeats += not head.n_events
        if gap is None and not head.n_events:
            return None
        return key, head.epoch, head.first_seq, head.n_events, memoryview(data)[head.offset :], gap

    def _first_contact(self, state: _Topic, head: frames.Header) -> Gap | None:
        if state.epoch:
            self.counters.missed += head.first_seq - 1
            return self._gap(Gap("restart", 1, head.first_seq, state.epoch, state.next_seq, "publisher restarted"))
        if head.first_seq > 1:
            return self._gap(Gap("start", 1, head.first_seq, text="published before this subscription began"))
        return None

    def _out_of_line(self, state: _Topic, data: bytes, first: int, n: int) -> RawFrame | None:
        """A hole before this frame, or events that were there already."""
        packed, expected, gap = memoryview(data)[state.tail_at + _NUMBERS.size :], state.next_seq, None
        if first > expected:
            self.counters.missed += first - expected
            gap = self._gap(Gap("hole", expected, first, text=f"{first - expected} events lost on the way"))
        elif first + n <= expected:
            self.counters.duplicates += n
            return None
        else:
            packed = self._rest(state, packed, n, expected - first)
            if not packed:
                return None
            self.counters.duplicates += expected - first
            first, n = expected, first + n - expected
        state.next_seq = first + n
        self.counters.events += n
        self.counters.heartbeats += not n
        return state.key, state.epoch, first, n, packed, gap

    def _rest(self, state: _Topic, packed: memoryview, n: int, skip: int) -> memoryview:
        """The events after the first `skip`; empty when they cannot be taken apart (the next frame shows the hole)."""
        try:
            parts = frames.split_events(frames.events_array(n, packed))
        except msgspec.DecodeError as e:
            self._fault(f"topic {state.name}: events are not MessagePack: {e}")
            return _EMPTY
        return memoryview(b"".join(bytes(p) for p in parts[skip:]))

    def _decode(self, topic: str, epoch: int, first: int, n: int, packed: memoryview) -> list[Delivery]:
        array = frames.events_array(n, packed)
        try:
            events = frames.decode_events(array)
        except msgspec.DecodeError:
            return self._decode_each(topic, epoch, first, n, array)
        return [Delivery(topic, epoch, first + i, event) for i, event in enumerate(events)]

    def _decode_each(self, topic: str, epoch: int, first: int, n: int, array: bytes) -> list[Delivery]:
        """Event by event, so that one that cannot be read takes no other with it."""
        try:
            parts = frames.split_events(array)
        except msgspec.DecodeError as e:
            return [self._unreadable(topic, epoch, first, first + n, str(e))]
        out = []
        for seq, part in enumerate(parts, first):
            try:
                out.append(Delivery(topic, epoch, seq, frames.decode_event(part)))
            except msgspec.DecodeError as e:
                if frames.has_known_tag(part):
                    out.append(self._unreadable(topic, epoch, seq, seq + 1, str(e)))
                else:
                    self.counters.unknown_tags += 1
        return out

    def _unreadable(self, topic: str, epoch: int, first: int, after: int, why: str) -> Delivery:
        self._fault(f"topic {topic}, epoch {epoch}, event {first}: {why}")
        self.counters.missed += after - first
        return Delivery(topic, epoch, after, self._gap(Gap("malformed", first, after, text=why)))

    def _gap(self, gap: Gap) -> Gap:
        self.counters.gaps += 1
        return gap

    def _fault(self, text: str) -> RawFrame | None:
        self.counters.malformed += 1
        self.last_fault = text
        return None  # nothing to deliver
