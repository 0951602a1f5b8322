"""The clone pattern: subscribe first, then ask for what came before, buffer what comes meanwhile, go live. Pure.

Both machines take what a Subscriber delivers and what the publisher answers, and give what the consumer gets. Holes are
taken from the Subscriber's Gaps; a number missing without one is an event of a newer schema, skipped on purpose.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from ipc import frames
from ipc.events import AnyEvent, BookSnapshot
from ipc.requests import ReplayChunk
from ipc.sequence import Delivery, Gap, decode

BUFFER: Final = 10_000  # events kept while a replay or snapshot is under way
TIMEOUT_NS: Final = 1_000_000_000
ATTEMPTS: Final = 5  # without progress, before a hole is accepted and shown
NEVER: Final = 1 << 62
_RETIRED: Final = 16


class Position(NamedTuple):
    """The next event that is due. Epoch 0: the oldest that the publisher keeps."""

    epoch: int
    seq: int


OLDEST: Final = Position(0, 0)


class Ask(NamedTuple):
    """What to ask the publisher for; its answer is to come back with `request_id`."""

    request_id: str
    topic: str
    position: Position


class _Waiting(NamedTuple):
    """A buffered delivery, which accounts for the numbers from `starts` to its own."""

    starts: int
    delivery: Delivery


class _Link:
    """How far the live stream is, and what of it waits."""

    def __init__(self, limit: int) -> None:
        self.at: Position | None = None
        self.ended: tuple[int, ...] = ()  # epochs that this one came after
        self.broken = False  # something was not kept: what comes next does not join on to it
        self.waiting: deque[_Waiting] = deque()
        self._limit = limit

    def take(self, delivery: Delivery) -> int:
        """Move on; returns the first number that the delivery accounts for."""
        event, seq = delivery.event, delivery.seq
        same = self.at is not None and self.at.epoch == delivery.epoch
        if self.at is not None and not same:
            self.ended = (*self.ended[1 - _RETIRED :], self.at.epoch)
        if isinstance(event, Gap):
            starts = event.first if event.kind == "malformed" else event.next
            self.at = Position(delivery.epoch, seq)
        else:
            starts = self.at.seq if same and self.at else 1
            self.at = Position(delivery.epoch, seq + 1)
        if self.broken:
            self.broken, starts = False, seq
        return starts

    def keep(self, starts: int, delivery: Delivery) -> None:
        """Buffer it, if there is room."""
        if self.full:
            self.broken = True
        else:
            self.waiting.append(_Waiting(starts, delivery))

    @property
    def full(self) -> bool:
        return len(self.waiting) >= self._limit


class _Asking:
    """One outstanding request, its deadline, and the tries so far."""

    def __init__(self, topic: str, timeout_ns: int) -> None:
        self.topic = topic
        self.request_id = ""
        self.deadline_ns = 0
        self.tries = 0
        self._timeout_ns = timeout_ns
        self._count = 0
        self._position = OLDEST

    def next(self, position: Position, mono_ns: int, *, anew: bool = False) -> Ask | None:
        if mono_ns < self.deadline_ns:
            return None
        self.tries += 1
        if anew or not self.request_id or position != self._position:  # a late answer to the same question is one, too
            self._count += 1
            self.request_id, self._position = f"{self.topic}#{self._count}", position
        self.deadline_ns = mono_ns + self._timeout_ns
        return Ask(self.request_id, self.topic, position)

    def answered(self, *, progress: bool) -> None:
        """The answer is in; another may be asked for at once."""
        self.request_id, self.deadline_ns = "", 0
        if progress:
            self.tries = 0


class ReplayRecovery:
    """Every event of one journalled topic once and in order, or a Gap in its place."""

    def __init__(
        self,
        topic: str,
        position: Position | None = OLDEST,
        *,
        buffer: int = BUFFER,
        timeout_ns: int = TIMEOUT_NS,
        attempts: int = ATTEMPTS,
    ) -> None:
        """Begin at `position`; None: with whatever comes first, replaying only what is lost later."""
        self.topic = topic
        self.position = position
        self._initial = position is not None
        self._link = _Link(buffer)
        self._asking = _Asking(topic, timeout_ns)
        self._attempts = attempts
        self._retired: tuple[int, ...] = ()

    @property
    def live(self) -> bool:
        """Nothing known is missing."""
        at = self._link.at
        if self._initial or at is None or self.position is None:
            return not self._initial
        return at.epoch in self._retired or (at.epoch == self.position.epoch and at.seq <= self.position.seq)

    def deadline_ns(self) -> int:
        """When to call `ask` at the latest."""
        return NEVER if self.live else self._asking.deadline_ns

    def ask(self, mono_ns: int) -> Ask | None:
        """What to ask now, if anything. Call it after each input, and at the deadline."""
        if self.live or self.position is None:
            return None
        return self._asking.next(self.position, mono_ns)

    def seen(self, epoch: int, next_seq: int) -> None:
        """Where the live stream is, as Subscriber.position says: a heartbeat brings no delivery. 0, 0: unknown."""
        if epoch and self._link.at is None:
            self._link.at = Position(epoch, next_seq)
            self.position = self.position or self._link.at

    def heard(self, delivery: Delivery) -> list[Delivery]:
        """A live delivery of the topic; returns what the consumer gets."""
        event = delivery.event
        if isinstance(event, Gap) and event.kind == "silent":
            return [delivery]
        if delivery.epoch in self._retired:
            return []
        was_live = self.live
        starts = self._link.take(delivery)
        if self.position is None:
            return self._emit(delivery)
        if was_live and self.position == (delivery.epoch, starts) and not isinstance(event, Gap):
            return self._emit(delivery)
        if not isinstance(event, Gap) or event.kind == "malformed":
            self._link.keep(starts, delivery)
        return [] if self._asking.request_id or self._initial else self._drained()

    def chunk(self, request_id: str, chunk: ReplayChunk) -> list[Delivery]:
        """An answer to `ask`; one to an older question is ignored. Returns what the consumer gets."""
        if request_id != self._asking.request_id or self.position is None:
            return []
        before = self.position
        out = self._dropped(chunk) if chunk.truncated else []
        for data in chunk.frames:
            out += self._replayed(data)
        if chunk.marker is None or chunk.epoch in self._retired:
            if self.position == before:
                return out + self.refused(request_id, "replays did not bring it")
            self._asking.answered(progress=True)
            return out
        out += self._advance(Position(chunk.epoch, chunk.marker.next_seq), "not in the publisher's journal")
        self._initial = False
        self._asking.answered(progress=self.position != before)
        return out + self._drained()

    def refused(self, request_id: str, reason: str) -> list[Delivery]:
        """The publisher refused `ask`. Asked again after the timeout; after some tries what is missing is given up."""
        if request_id != self._asking.request_id:
            return []
        self._asking.request_id = ""
        if self._asking.tries < self._attempts:
            return []
        self._asking.answered(progress=True)
        self._initial = False
        return self._give_up(reason)

    # -- inside ------------------------------------------------------------------------------------------------

    def _emit(self, delivery: Delivery) -> list[Delivery]:
        after = delivery.seq if isinstance(delivery.event, Gap) else delivery.seq + 1
        self.position = Position(delivery.epoch, after)
        return [delivery]

    def _drained(self) -> list[Delivery]:
        """What of the buffer continues the position; after too many tries also what does not."""
        out: list[Delivery] = []
        waiting = self._link.waiting
        while waiting and self.position is not None:
            starts, delivery = waiting[0]
            last = delivery.seq - isinstance(delivery.event, Gap)
            if delivery.epoch in self._retired or (delivery.epoch == self.position.epoch and last < self.position.seq):
                waiting.popleft()
            elif delivery.epoch == self.position.epoch and starts <= self.position.seq:
                out += self._emit(waiting.popleft().delivery)
            else:
                break
        if self._asking.tries >= self._attempts and not self.live:
            out += self._give_up("replays did not bring it")
        return out

    def _give_up(self, why: str) -> list[Delivery]:
        """Accept the hole before what is there, and show it."""
        self._asking.tries = 0
        first = self._link.waiting[0] if self._link.waiting else None
        target = Position(first.delivery.epoch, first.starts) if first else self._link.at
        out = self._advance(target, why, truncated=True) if target else []
        return out + (self._drained() if first else [])

    def _replayed(self, data: bytes) -> list[Delivery]:
        head = frames.read_header(data)
        if head.epoch in self._retired or self.position is None:
            return []
        after = Position(head.epoch, head.first_seq + head.n_events)
        if self.position.epoch == head.epoch and after.seq <= self.position.seq:
            return []
        out = self._advance(Position(head.epoch, head.first_seq), "not in the publisher's journal")
        found, _ = decode(head.topic, head.epoch, head.first_seq, head.n_events, memoryview(data)[head.offset :])
        out += [d for d in found if d.seq - isinstance(d.event, Gap) >= self.position.seq]
        self.position = after
        return out

    def _dropped(self, chunk: ReplayChunk) -> list[Delivery]:
        """The publisher no longer keeps what was asked for."""
        if self.position is None or not self.position.epoch:
            return []
        heads = map(frames.read_header, chunk.frames)
        places = [Position(head.epoch, head.first_seq) for head in heads]
        if chunk.marker is not None:
            places.append(Position(chunk.epoch, chunk.marker.next_seq))
        to = next((place for place in places if place.epoch not in self._retired), None)
        if to is None:  # it goes back to what ended long ago
            return []
        return self._advance(to, "no longer in the publisher's journal", truncated=True)

    def _advance(self, to: Position, why: str, *, truncated: bool = False) -> list[Delivery]:
        """Go on at `to`; a Gap where that leaves something out."""
        at = self.position
        if at is None or (at.epoch == to.epoch and to.seq <= at.seq):
            return []
        gap = None
        if at.epoch == to.epoch:
            gap = Gap("hole", at.seq, to.seq, text=why)
        elif to.seq > 1 and not at.epoch:
            gap = Gap("start", 1, to.seq, text=why)
        elif to.seq > 1 or truncated:
            gap = Gap("restart", 1, to.seq, at.epoch, at.seq, why)
        if at.epoch and at.epoch != to.epoch:
            self._retired = (*self._retired[1 - _RETIRED :], at.epoch)
        self.position = to
        return [Delivery(self.topic, to.epoch, to.seq, gap)] if gap else []


def is_book_snapshot(event: AnyEvent) -> bool:
    """Whether an event replaces the whole state of a market-data topic."""
    return isinstance(event, BookSnapshot)


class SnapshotRecovery:
    """The publisher's state of one topic: after a loss nothing until a snapshot, then every change from there on.

    Snapshots come in band (`is_snapshot` tells them) or as an answer (`snapshot`). The Gap is shown at once, so that a
    consumer calls its state stale meanwhile.
    """

    def __init__(
        self,
        topic: str,
        *,
        is_snapshot: Callable[[AnyEvent], bool] = is_book_snapshot,
        buffer: int = BUFFER,
        timeout_ns: int = TIMEOUT_NS,
    ) -> None:
        self.topic = topic
        self.position: Position | None = None  # None: out of step, waiting for a snapshot
        self._is_snapshot = is_snapshot
        self._link = _Link(buffer)
        self._asking = _Asking(topic, timeout_ns)

    @property
    def live(self) -> bool:
        """The consumer's state is the publisher's, as far as heard."""
        return self.position is not None

    def deadline_ns(self) -> int:
        """When to call `ask` at the latest."""
        return NEVER if self.live else self._asking.deadline_ns

    def ask(self, mono_ns: int) -> Ask | None:
        """The snapshot to ask for now, if any. Call it after each input, and at the deadline."""
        return None if self.live else self._asking.next(self._link.at or OLDEST, mono_ns, anew=True)

    def seen(self, epoch: int, next_seq: int) -> list[Delivery]:
        """Where the live stream is, as Subscriber.position says: a heartbeat brings no delivery. 0, 0: unknown."""
        if not epoch or self._link.at is not None:
            return []
        self._link.at, at = Position(epoch, next_seq), self.position
        if at is None or at.epoch == epoch:
            return []
        self.position = None  # the snapshot is of another epoch, older or newer
        return [Delivery(self.topic, epoch, next_seq, Gap("restart", 1, next_seq, at.epoch, at.seq))]

    def heard(self, delivery: Delivery) -> list[Delivery]:
        """A live delivery of the topic; returns what the consumer gets."""
        event = delivery.event
        if isinstance(event, Gap):
            return self._gap(delivery, event)
        return [*self.seen(delivery.epoch, 1), *self._event(delivery, event)]

    def _event(self, delivery: Delivery, event: AnyEvent) -> list[Delivery]:
        starts = self._link.take(delivery)
        after = Position(delivery.epoch, delivery.seq + 1)
        if self._is_snapshot(event):
            self._link.waiting.clear()
            self._asking.answered(progress=True)
            self.position = after
            return [delivery]
        if self.position is None:
            if self._link.full:  # a later snapshot has these; this one then has to join on to it
                self._link.waiting.clear()
                starts = delivery.seq
            self._link.keep(starts, delivery)
            return []
        if self.position.epoch != delivery.epoch or delivery.seq < self.position.seq:
            return []  # older than the snapshot
        self.position = after
        return [delivery]

    def snapshot(self, request_id: str, epoch: int, next_seq: int) -> list[Delivery] | None:
        """An answer: the state before number `next_seq` of `epoch`, which the consumer takes over first unless this
        returns None (an old answer, or older than what was lost). Returns the changes after it.
        """
        if not request_id or request_id != self._asking.request_id:
            return None
        self._asking.answered(progress=True)
        at, waiting = self._link.at, self._link.waiting
        if epoch in self._link.ended or (at is not None and epoch < at.epoch):
            return None  # of a life that ended, perhaps before anything was heard of it
        if at is None or at.epoch != epoch:  # the publisher restarted, which the live stream will tell later
            waiting.clear()
            self.position = Position(epoch, next_seq)
            return []
        while waiting and waiting[0].delivery.seq < next_seq:
            waiting.popleft()
        if waiting[0].starts > next_seq if waiting else at.seq > next_seq:
            return None
        self.position = at if waiting else Position(epoch, next_seq)
        out = [w.delivery for w in waiting]
        waiting.clear()
        return out

    def _gap(self, delivery: Delivery, gap: Gap) -> list[Delivery]:
        if gap.kind == "silent":
            return [delivery]
        contact = self.seen(delivery.epoch, gap.next)
        self._link.take(delivery)
        if contact:
            return contact
        at = self.position
        if at is not None and at.epoch == delivery.epoch and gap.next <= at.seq:
            return []  # the snapshot had it already
        if at is not None and at.epoch != delivery.epoch and gap.kind != "restart":
            return []  # of an epoch before the snapshot's
        self._link.waiting.clear()
        self.position = None
        return [delivery]
