"""A process's journal: its published execution events and its commands' order ids, on disk before they are told.

A segment log (base/segments.py) named "journal" in the process's data directory. Records of type FRAME are bus frames
as they went out; of type ORDER_ID a MessagePack array [client_id, command_id, cl_ord_id, wall_ns]. Other processes may
read a journal while its owner writes it.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from base.errors import SchemaError
from base.segments import Record, SegmentReader, SegmentSettings, SegmentWriter
from ipc import frames
from ipc.sequence import Delivery, Tracker

Place: TypeAlias = tuple[int, int]  # segment number and offset

NAME: Final = "journal"
FRAME: Final = 1
ORDER_ID: Final = 2
CHUNK_BYTES: Final = 48 * 1024  # of a replay's answer; one frame always fits
# A full disk must not stop a process from hearing and cancelling: the oldest segment makes room, and `full` tells.
SETTINGS: Final = SegmentSettings(recycle=True)
_MARK_EVERY: Final = 64  # frames of a topic between two entries of the index


class OrderId(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Which order a command became."""

    client_id: str
    command_id: str
    cl_ord_id: str
    wall_ns: int


_decode_order_id: Final = msgspec.msgpack.Decoder(OrderId).decode
_encode: Final = msgspec.msgpack.Encoder().encode


class Chunk(msgspec.Struct, frozen=True):
    """A bounded stretch of one topic's frames. `truncated`: what was asked for is no longer kept."""

    frames: tuple[bytes, ...]
    truncated: bool
    more: bool


class _Run:
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


class Journal:
    """The writer's side. One per process; a second one gets LockHeldError."""

    def __init__(
        self, folder: str | Path, wall_ns: int, *, settings: SegmentSettings = SETTINGS, remember: int = 20_000,
        sync_each: bool = False, hook: Callable[[str], object] | None = None,
    ) -> None:  # fmt: skip
        """Open or begin the journal in `folder` and index it; the last `remember` order ids can be looked up.

        `sync_each`: every record is on disk before its call returns, so that a power cut loses nothing.
        `hook` is called at each boundary of a write (base.segments), for tests of crashes.
        CorruptError and SchemaError name file and offset, or record; StoreError: no room to begin with.
        """
        self.folder = Path(folder)
        self._remember = remember
        self._sync_each = sync_each
        self._ids: dict[tuple[str, str], str] = {}
        self._topics: dict[str, list[_Run]] = {}
        self._writer = SegmentWriter(folder, NAME, wall_ns, settings, hook)
        self._reader = SegmentReader(folder, NAME)
        self._first_number = self._writer.first_number
        self._reader.seek(0)
        while found := self._reader.next_found():
            self._index(found.record, (self._reader.number, found.offset))

    @property
    def full(self) -> bool:
        """The disk is full: what is written takes the place of the oldest. Refuse new orders, go on with the rest."""
        return self._writer.full

    @property
    def segment(self) -> int:
        """Number of the file being written. When it rises, what must outlive the oldest file is to be written again."""
        return self._writer.number

    def next_epoch(self, wall_ns: int) -> int:
        """An epoch above every one journalled: `wall_ns`, unless the clock stepped back since."""
        last = max((run.epoch for runs in self._topics.values() for run in runs), default=0)
        return max(wall_ns, last + 1)

    def declare(self, topic: str, epoch: int) -> None:
        """A topic whose frames will come under `epoch`."""
        self._topics.setdefault(topic, []).append(_Run(epoch, 1))

    def frame(self, data: bytes) -> None:
        """Hand a frame to the kernel, before it is published. StoreError when it cannot be written."""
        self._writer.append(FRAME, data)
        if self._sync_each:
            self._writer.sync()
        self._note((self._writer.number, self._writer.last_offset), data)

    def order_id(self, client_id: str, command_id: str, cl_ord_id: str, wall_ns: int) -> None:
        """Store which order a command becomes, BEFORE it is sent. StoreError: do not send."""
        self._writer.append(ORDER_ID, _encode(OrderId(client_id, command_id, cl_ord_id, wall_ns)))
        if self._sync_each:
            self._writer.sync()
        self._know(client_id, command_id, cl_ord_id)

    def lookup(self, client_id: str, command_id: str) -> str | None:
        """The cl_ord_id that this command became, also in an earlier life of the process; None when not known."""
        return self._ids.get((client_id, command_id))

    def prepare(self) -> bool:
        """A bounded bit of work ahead, for quiet moments (space, pages); False when all is done."""
        return self._writer.prepare()

    def sync(self) -> None:
        """Have everything on disk against a power cut. Blocks; may be called from a helper thread."""
        self._writer.sync()

    def chunk(self, topic: str, epoch: int, from_seq: int) -> Chunk:
        """Frames of `topic` from that place on (epoch 0: oldest kept), over all later epochs, at most CHUNK_BYTES."""
        place, truncated = self._find(topic, epoch, from_seq)
        out: list[bytes] = []
        size, begun = 0, truncated or not epoch
        for data in self._frames_from(place, topic) if place else ():
            begun = begun or _reaches(data, epoch, from_seq)
            if not begun:
                continue
            if out and size + len(data) > CHUNK_BYTES:
                return Chunk(tuple(out), truncated, more=True)
            out.append(data)
            size += len(data)
        return Chunk(tuple(out), truncated, more=False)

    def close(self) -> None:
        """Close the files and give up the lock."""
        self._reader.close()
        self._writer.close()

    def _frames_from(self, place: Place, topic: str) -> Iterator[bytes]:
        head = topic.encode() + b"\0"
        record: Record | None = self._reader.read_at(*place)
        self._reader.next_index = record.index + 1 if record else 0
        while record is not None:
            if record.type == FRAME and record.payload.startswith(head):
                yield record.payload
            record = self._reader.next()

    def _find(self, topic: str, epoch: int, from_seq: int) -> tuple[Place | None, bool]:
        """Where to begin to read (None: nothing is kept from there on), and whether something before that is gone."""
        self._forget_dropped()
        runs = self._topics.get(topic, [])
        at = next((i for i, run in enumerate(runs) if run.epoch == epoch), None)
        if at is None:
            rest, truncated = runs, epoch != 0
        elif from_seq < runs[at].first:
            rest, truncated = runs[at:], True
        elif from_seq < runs[at].next_seq:
            return runs[at].place(from_seq), False
        else:
            rest, truncated = runs[at + 1 :], False
        return next((run.places[0] for run in rest if run.places), None), truncated

    def _forget_dropped(self) -> None:
        """Take out of the index what the log no longer keeps."""
        segment = self._writer.first_number
        if self._first_number == segment:
            return
        self._first_number = segment
        cut = {(t, r.epoch): r for t, runs in self._topics.items() for r in runs if r.forget_before(segment)}
        self._reader.seek(0)
        while cut and (found := self._reader.next_found()):
            if found.record.type == FRAME:
                head = frames.read_header(found.record.payload)
                if run := cut.pop((head.topic, head.epoch), None):
                    run.begin_at(head.first_seq, (self._reader.number, found.offset))
        for topic, runs in self._topics.items():
            self._topics[topic] = [r for r in runs if r.places or r is runs[-1]]

    def _index(self, record: Record, place: Place) -> None:
        if record.type == FRAME:
            self._note(place, record.payload)
        elif record.type == ORDER_ID:
            known = _order_id(record)
            self._know(known.client_id, known.command_id, known.cl_ord_id)

    def _note(self, place: Place, data: bytes) -> None:
        head = frames.read_header(data)
        runs = self._topics.setdefault(head.topic, [])
        if not runs or runs[-1].epoch != head.epoch:
            runs.append(_Run(head.epoch, head.first_seq))
        runs[-1].add(head.first_seq, head.n_events, place)

    def _know(self, client_id: str, command_id: str, cl_ord_id: str) -> None:
        self._ids[client_id, command_id] = cl_ord_id
        if len(self._ids) > self._remember:
            del self._ids[next(iter(self._ids))]


def read_events(folder: str | Path) -> Iterator[Delivery]:
    """Every journalled event in order, the journal's owner alive or dead; ends at the last one committed now."""
    tracker = Tracker()
    with closing(SegmentReader(folder, NAME)) as reader:
        for record in reader.read_from(0):
            if record.type == FRAME:
                yield from tracker.deliveries(record.payload)


def read_order_ids(folder: str | Path) -> Iterator[OrderId]:
    """Every stored pair of command and order in order, the journal's owner alive or dead."""
    with closing(SegmentReader(folder, NAME)) as reader:
        for record in reader.read_from(0):
            if record.type == ORDER_ID:
                yield _order_id(record)


def _reaches(data: bytes, epoch: int, from_seq: int) -> bool:
    """Whether a frame holds, or comes after, that place."""
    head = frames.read_header(data)
    return head.epoch != epoch or head.first_seq + head.n_events > from_seq


def _order_id(record: Record) -> OrderId:
    try:
        return _decode_order_id(record.payload)
    except frames.UNREADABLE as e:
        raise SchemaError(f"journal record {record.index}: not an order id: {e}") from None
