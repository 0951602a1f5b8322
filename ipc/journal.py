"""A process's journal: its published execution events and its commands' order ids, on disk before they are told.

A segment log (base/segments.py) named "journal" in the process's data directory. Records of type FRAME are bus frames
as they went out; of type ORDER_ID a MessagePack array [client_id, command_id, cl_ord_id, wall_ns]; of type TOLD an
array of names (ipc/told.py); of type WRITTEN the number of a file in an array (ipc/journal_restart.py). Other processes
may read a journal while its owner writes it.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from base.errors import CorruptError, SchemaError, StoreError
from base.segments import Record, SegmentReader, SegmentSettings, SegmentWriter
from ipc import frames
from ipc._metrics import Histogram, Stamp
from ipc.journal_index import FRAME, ORDER_ID, TOLD, WRITTEN, Index, OrderId, Place, Run, read_order_id
from ipc.journal_restart import look_back
from ipc.sequence import Delivery, Tracker
from ipc.told import Told

__all__ = [
    "CHUNK_BYTES", "FRAME", "NAME", "ORDER_ID", "SETTINGS", "TOLD", "WRITTEN", "Chunk", "Journal", "OrderId",
    "journal_settings", "read_events", "read_order_ids",
]  # fmt: skip

NAME: Final = "journal"
CHUNK_BYTES: Final = 48 * 1024  # of a replay's answer; one frame always fits
# A full disk must not stop a process from hearing and cancelling: the oldest segment makes room, and `full` tells.
SETTINGS: Final = SegmentSettings(recycle=True)

_EAGER_SEGMENTS: Final = 2  # indexed at the start; the rest bit by bit beside the traffic, or when a replay wants it
_INDEX_STEP: Final = 64  # records; under half a millisecond
_TOLD_SHARE: Final = 8  # of a file, at most, for the names of reports in a writing

log = logging.getLogger("journal")

_encode: Final = msgspec.msgpack.Encoder().encode


def journal_settings(mebibytes: int) -> SegmentSettings:
    """Settings of a journal that keeps so much."""
    return SegmentSettings(retain_bytes=mebibytes << 20, recycle=True)


class Chunk(msgspec.Struct, frozen=True):
    """A bounded stretch of one topic's frames. `truncated`: what was asked for is no longer kept."""

    frames: tuple[bytes, ...]
    truncated: bool
    more: bool


class Journal:
    """The writer's side. One per process; a second one gets LockHeldError."""

    def __init__(
        self, folder: str | Path, wall_ns: int, *, settings: SegmentSettings = SETTINGS, remember: int = 20_000,
        sync_each: bool = False, hook: Callable[[str], object] | None = None,
    ) -> None:  # fmt: skip
        """Open or begin the journal in `folder`; the last `remember` order ids in it can be looked up from now on.
        Where its older files hold which frames is found out by `prepare`, or when a replay wants them.

        `sync_each`: a frame, and what came before it, is on disk before its call returns: a power cut loses nothing.
        `hook` is called at each boundary of a write (base.segments), for tests of crashes.
        CorruptError and SchemaError name file and offset, or record; StoreError: no room to begin with.
        """
        self.folder = Path(folder)
        self._sync_each = sync_each
        self.appended, self.synced = Histogram(), Histogram()  # how long handing to the kernel and fsync take
        self._began = Stamp()
        self._remember = remember
        self._index = Index()
        self._older: _OlderFiles | None = None
        self._writer = SegmentWriter(folder, NAME, wall_ns, settings, hook, confirm=False)
        self._reader = SegmentReader(folder, NAME)
        try:
            self._begin()
        except BaseException:
            self._reader.close()
            self._writer.abandon()
            raise

    def _begin(self) -> None:
        self._ids, self._written = look_back(self._reader, self._remember)
        if self._written:
            self._writer.hold = self._written
        self._first_number = self._writer.first_number
        begin = self._reader.seek_tail(_EAGER_SEGMENTS)
        while found := self._reader.next_found():
            self._index.add(found.record, (self._reader.number, found.offset))
        if begin > self._first_number:
            self._older = _OlderFiles(self.folder, begin)
        self._writer.confirm()

    @property
    def full(self) -> bool:
        """The disk is full: what is written takes the place of the oldest. Refuse new orders, go on with the rest."""
        return self._writer.full

    @property
    def segment(self) -> int:
        """Number of the file being written. When it rises, what must outlive the oldest file is to be written again."""
        return self._writer.number

    @property
    def cornered(self) -> bool:
        """True when the next file will have to take the place of one that holds the newest complete writing."""
        return self._writer.cornered

    def carry(self) -> int:
        """From now on nothing is dropped before it was written again; the file in which the newest complete writing
        began, 0: there is none."""
        if not self._written:
            self._writer.hold = 0
        return self._written

    def written(self, began: int, told: Told | None = None) -> None:
        """All that must outlive older files was written again, since the file `began`: a restart reads from there on.

        `told`: which reports were told goes with it. StoreError: it does not count.
        """
        names = told.latest(self._writer.settings.segment_bytes // _TOLD_SHARE) if told else []
        if names:
            self._writer.append(TOLD, _encode(names))
        self._writer.append(WRITTEN, _encode([began]))
        if self._sync_each:
            self._writer.sync()
        self._writer.hold = self._written = began

    def next_epoch(self, wall_ns: int) -> int:
        """An epoch above every one journalled: `wall_ns`, unless the clock stepped back since."""
        last = max((run.epoch for runs in self._index.topics.values() for run in runs), default=0)
        return max(wall_ns, last + 1)

    def declare(self, topic: str, epoch: int) -> None:
        """A topic whose frames will come under `epoch`."""
        self._index.topics.setdefault(topic, []).append(Run(epoch, 1))

    def frame(self, data: bytes) -> None:
        """Hand a frame to the kernel, before it is published. StoreError when it cannot be written."""
        self._began.mark()
        self._writer.append(FRAME, data)
        self.appended.since(self._began)
        if self._sync_each:
            self.sync()
        self._index.note((self._writer.number, self._writer.last_offset), data)

    def order_id(self, client_id: str, command_id: str, cl_ord_id: str, wall_ns: int) -> None:
        """Store which order a command becomes, BEFORE it is sent. StoreError: do not send.

        The frame with the order itself comes next, before anything is sent, and takes this to the disk with it.
        """
        self._writer.append(ORDER_ID, _encode(OrderId(client_id, command_id, cl_ord_id, wall_ns)))
        self._ids[client_id, command_id] = cl_ord_id
        if len(self._ids) > self._remember:
            del self._ids[next(iter(self._ids))]

    def lookup(self, client_id: str, command_id: str) -> str | None:
        """The cl_ord_id that this command became, also in an earlier life of the process; None when not known."""
        return self._ids.get((client_id, command_id))

    def prepare(self) -> bool:
        """A bounded bit of work ahead, for quiet moments (space, pages); False when all is done."""
        if self._writer.prepare():
            return True
        if self._older is not None and self._older.step(_INDEX_STEP):
            self._take_older(self._older)
        return self._older is not None

    def sync(self) -> None:
        """Have everything on disk against a power cut. Blocks; may be called from a helper thread."""
        began = Stamp()
        began.mark()
        self._writer.sync()
        self.synced.since(began)

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
        if self._older is not None:
            self._older.close()
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
        while self._older is not None:
            if self._older.step(_INDEX_STEP):
                self._take_older(self._older)
        self._forget_dropped()
        runs = self._index.topics.get(topic, [])
        at = next((i for i, run in enumerate(runs) if run.epoch == epoch), None)
        if at is None:
            rest, truncated = _later(runs, epoch, from_seq)
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
        cut = {(t, r.epoch): r for t, runs in self._index.topics.items() for r in runs if r.forget_before(segment)}
        self._reader.seek(0)
        while cut and (found := self._reader.next_found()):
            if found.record.type == FRAME:
                head = frames.read_header(found.record.payload)
                if run := cut.pop((head.topic, head.epoch), None):
                    run.begin_at(head.first_seq, (self._reader.number, found.offset))
        for topic, runs in self._index.topics.items():
            self._index.topics[topic] = [r for r in runs if r.places or r is runs[-1]]

    def _take_older(self, older: "_OlderFiles") -> None:
        self._older = None
        older.close()
        self._index.precede(older.index)


class _OlderFiles:
    """Indexes what comes before a segment, bit by bit."""

    def __init__(self, folder: Path, end: int) -> None:
        self.index = Index()
        self._end = end
        self._reader = SegmentReader(folder, NAME)
        self._reader.seek(0)

    def step(self, records: int) -> bool:
        """True when all is done."""
        try:
            for _ in range(records):
                found = self._reader.next_found()
                if found is None or self._reader.number >= self._end:
                    return True
                self.index.add(found.record, (self._reader.number, found.offset))
        except (CorruptError, SchemaError) as e:
            log.warning("what is older cannot be replayed: %s", e)
            self.index = Index()
            return True
        except StoreError:  # dropped with age before it was read: begin with the oldest there is
            self.index = Index()
            self._reader.seek(0)
        return False

    def close(self) -> None:
        """Unmap."""
        self._reader.close()


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
                yield read_order_id(record)


def _later(runs: list[Run], epoch: int, from_seq: int) -> tuple[list[Run], bool]:
    """What came after an epoch of which nothing is kept, and whether something of it is gone."""
    at = next((i for i, run in enumerate(runs) if run.epoch > epoch), len(runs))
    if not epoch or (0 < at < len(runs) and from_seq <= 1):
        return runs[at:], False  # what is older is still here, so that life of the process had no events
    return runs[min(at, len(runs) - 1) :], True  # above all of them: the clock stepped back after a life without events


def _reaches(data: bytes, epoch: int, from_seq: int) -> bool:
    """Whether a frame holds, or comes after, that place."""
    head = frames.read_header(data)
    return head.epoch != epoch or head.first_seq + head.n_events > from_seq
