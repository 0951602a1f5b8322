"""What a journal's records are, and where its topics' frames lie by epoch and number."""

from bisect import bisect_right
from typing import Final, TypeAlias

import msgspec

from base.errors import SchemaError
from base.segments import Record
from ipc import frames

Place: TypeAlias = tuple[int, int]  # segment number and offset

FRAME: Final = 1
ORDER_ID: Final = 2
WRITTEN: Final = 3  # all that must outlive older files was written again since the file it names (journal_restart.py)
TOLD: Final = 4  # names of the latest reports, part of such a writing (told.py)
_MARK_EVERY: Final = 64  # frames of a topic between two entries of the index


class OrderId(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Which order a command became."""

    client_id: str
    command_id: str
    cl_ord_id: str
    wall_ns: int


_decode_order_id: Final = msgspec.msgpack.Decoder(OrderId).decode


def read_order_id(record: Record) -> OrderId:
    """The record's content; SchemaError naming it."""
    try:
        return _decode_order_id(record.payload)
    except frames.UNREADABLE as e:
        raise SchemaError(f"journal record {record.index}: not an order id: {e}") from None


class Run:
    """What the journal holds of one topic in one epoch: numbers `first` up to and without `next_seq`."""

    __slots__ = ("count", "epoch", "first", "last_place", "next_seq", "places", "seqs")

    def __init__(self, epoch: int, first: int) -> None:
        self.epoch = epoch
        self.first = first
        self.next_seq = first
        self.count = 0
        self.last_place: Place = (0, 0)
        self.seqs: list[int] = []  # of the first frame and some later ones, with their places
        self.places: list[Place] = []

    def add(self, first_seq: int, n: int, place: Place) -> None:
        """One more frame."""
        if self.count % _MARK_EVERY == 0:
            self.seqs.append(first_seq)
            self.places.append(place)
        self.count += 1
        self.last_place = place
        self.next_seq = first_seq + n

    def place(self, seq: int) -> Place:
        """Where to begin to read for `seq`."""
        return self.places[max(0, bisect_right(self.seqs, seq) - 1)]

    def forget_before(self, segment: int) -> bool:
        """Segments before that are gone; True when the first frame left has to be looked for (see `begin_at`)."""
        gone = bisect_right(self.places, (segment, 0))
        del self.seqs[:gone], self.places[:gone]
        left = self.last_place[0] >= segment
        if not left:
            self.first = self.next_seq
        return bool(gone) and left

    def begin_at(self, first_seq: int, place: Place) -> None:
        """The first frame left."""
        self.first = first_seq
        if place not in self.places[:1]:
            self.seqs.insert(0, first_seq)
            self.places.insert(0, place)

    def precede(self, older: "Run") -> None:
        """Frames of the same epoch that come before."""
        self.first = older.first
        self.seqs[:0] = older.seqs
        self.places[:0] = older.places


class Index:
    """Where the frames of a stretch of the journal lie, read in order."""

    def __init__(self) -> None:
        self.topics: dict[str, list[Run]] = {}
        self._last: tuple[bytes, str, Run] | None = None  # what frames of the last one's topic and epoch begin with

    def add(self, record: Record, place: Place) -> None:
        """One record. BusError and SchemaError say what is wrong with a frame."""
        if record.type == FRAME:
            self.note(place, record.payload)

    def note(self, place: Place, data: bytes) -> None:
        """One frame."""
        if self._last is not None:  # mostly one more of the same
            prefix, topic, run = self._last
            found = frames.numbers(data, prefix)
            if found is not None and self.topics[topic][-1] is run:
                run.add(*found, place)
                return
        head = frames.read_header(data)
        runs = self.topics.setdefault(head.topic, [])
        if not runs or runs[-1].epoch != head.epoch:
            runs.append(Run(head.epoch, head.first_seq))
        runs[-1].add(head.first_seq, head.n_events, place)
        self._last = frames.prefix(head.topic.encode(), head.epoch), head.topic, runs[-1]

    def precede(self, older: "Index") -> None:
        """What the stretch before this one holds."""
        for topic, before in older.topics.items():
            after = self.topics.setdefault(topic, [])
            if before and after and before[-1].epoch == after[0].epoch:
                after[0].precede(before.pop())
            after[:0] = before
