"""The message store that survives: a segment log of what was sent, which numbers are next, and small metadata.

Each change is one record, so a process killed at any instant leaves the store before or after it, never between.
Every segment begins with a record of the whole state; only messages reach further back.
"""

import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import msgspec

from base.errors import CorruptError, StoreError
from base.segment_file import Found
from base.segments import SegmentReader, SegmentSettings, SegmentWriter

SEQ = struct.Struct("<Q")
STATE, SENT, NEXT_IN, NEXT_OUT = 1, 2, 3, 4
MAX_META_BYTES = 64 * 1024
RUN = 4096
BEHIND = "store.may_be_behind"


class Sync(Enum):
    """What a power cut may lose. SIGKILL loses nothing under any of them."""

    NONE = "none"  # what the kernel had not written back yet
    INTERVAL = "interval"  # what came after the owner's last `sync` (base.upkeep)
    EVERY = "every"  # nothing: each change is on disk before it counts


@dataclass(frozen=True)
class StoreSettings:
    """Size, retention and flushing of one session's store."""

    sync: Sync = Sync.NONE
    segments: SegmentSettings = field(default_factory=lambda: SegmentSettings(recycle=True))


class State(msgspec.Struct, array_like=True):
    """Everything but the messages."""

    epoch: int
    created_ns: int
    next_out: int
    next_in: int
    meta: dict[str, bytes]


class Places:
    """Where the messages lie: runs of consecutive numbers, eight bytes each."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._runs: list[array[int]] = []

    def add(self, seq: int, number: int, offset: int) -> None:
        """`seq` rises from call to call."""
        # Short runs: growing a long array copies it, in the middle of a send.
        if not self._runs or self._firsts[-1] + len(self._runs[-1]) != seq or len(self._runs[-1]) == RUN:
            self._firsts.append(seq)
            self._runs.append(array("Q"))
        self._runs[-1].append(number << 32 | offset)

    def following(self, seq: int) -> tuple[int, int, int] | None:
        """(seq, segment number, offset) of the first message numbered `seq` or later."""
        at = max(0, bisect_right(self._firsts, seq) - 1)
        while at < len(self._runs):
            first, run = self._firsts[at], self._runs[at]
            wanted = max(seq, first)
            if wanted < first + len(run):
                place = run[wanted - first]
                return wanted, place >> 32, place & 0xFFFFFFFF
            at += 1
        return None

    def forget(self, number: int) -> None:
        """Forget what lies in segments before `number`."""
        limit = number << 32
        while self._runs and self._runs[0][-1] < limit:
            del self._runs[0], self._firsts[0]
        if self._runs:
            gone = bisect_right(self._runs[0], limit)
            self._firsts[0] += gone
            del self._runs[0][:gone]

    def clear(self) -> None:
        """Forget all."""
        self._firsts.clear()
        self._runs.clear()


class FileStore:
    """A MessageStore (fix.store) in files `<folder>/store-*`; one writer, see docs/store.md."""

    def __init__(
        self,
        folder: str | Path,
        wall_ns: int,
        settings: StoreSettings | None = None,
        hook: Callable[[str], object] | None = None,
        reserve: Callable[[int, int], None] | None = None,
    ) -> None:
        """Open the store or begin it at `wall_ns`. `hook` and `reserve` are for tests (base.segments).

        Raises CorruptError (file and offset), LockHeldError, StoreError when there is no room to begin with.
        """
        settings = settings or StoreSettings()
        self._state = State(1, wall_ns, 1, 1, {})
        self._places = Places()
        extra = {"reserve": reserve} if reserve else {}
        self._log = SegmentWriter(
            folder, "store", wall_ns, settings.segments, hook, first_record=self._checkpoint, **extra
        )
        self._reader = SegmentReader(folder, "store")
        self._sync_every = settings.sync is Sync.EVERY
        try:
            self._replay()
            if self._log.empty:
                self._append(*self._checkpoint())
            if self._log.host_went_down and (not self._sync_every or self._log.lost_bytes):
                self.set_meta(BEHIND, b"1")
        except BaseException:
            self._reader.close()
            self._log.abandon()
            raise

    @property
    def next_out(self) -> int:
        return self._state.next_out

    @property
    def next_in(self) -> int:
        return self._state.next_in

    @property
    def created_ns(self) -> int:
        return self._state.created_ns

    @property
    def epoch(self) -> int:
        return self._state.epoch

    @property
    def full(self) -> bool:
        return self._log.full

    @property
    def meta(self) -> Mapping[str, bytes]:
        return self._state.meta

    @property
    def may_be_behind(self) -> bool:
        """True from when the host went down, with changes that were not synced, until `settled` or `reset`.

        The numbers may be lower than what the peer saw: settle them with the peer before sending orders.
        """
        return BEHIND in self._state.meta

    def settled(self) -> None:
        """The numbers were compared with the peer's and put right."""
        if self.may_be_behind:
            self.set_meta(BEHIND, b"")

    def sent(self, seq: int, message: bytes) -> None:
        state = self._state
        if seq != state.next_out:
            raise StoreError(f"outgoing MsgSeqNum {seq}: {state.next_out} is next")
        self._append(SENT, SEQ.pack(seq) + message)
        self._places.add(seq, self._log.number, self._log.last_offset)
        state.next_out = seq + 1

    def advance_in(self, seq: int) -> None:
        if seq != self._state.next_in:
            raise StoreError(f"incoming MsgSeqNum {seq}: {self._state.next_in} is expected")
        self._append(NEXT_IN, SEQ.pack(seq + 1))
        self._state.next_in = seq + 1

    def set_next_in(self, next_in: int) -> None:
        if next_in < self._state.next_in:
            raise StoreError(f"expected MsgSeqNum cannot go back from {self._state.next_in} to {next_in}")
        self._append(NEXT_IN, SEQ.pack(next_in))
        self._state.next_in = next_in

    def set_next_out(self, next_out: int) -> None:
        if next_out < self._state.next_out:
            raise StoreError(f"outgoing MsgSeqNum cannot go back from {self._state.next_out} to {next_out}")
        self._append(NEXT_OUT, SEQ.pack(next_out))
        self._state.next_out = next_out

    def reset(self, created_ns: int, next_out: int = 1, next_in: int = 1) -> None:
        meta = {key: value for key, value in self._state.meta.items() if key != BEHIND}
        self._replace(State(self._state.epoch + 1, created_ns, next_out, next_in, meta))
        self._places.clear()

    def get(self, begin: int, end: int = 0) -> Iterator[tuple[int, bytes]]:
        last = end or self._state.next_out - 1
        epoch = self._state.epoch
        # Looked up one by one: the caller may send, rotate and drop between two messages.
        while epoch == self._state.epoch and (place := self._places.following(begin)) and place[0] <= last:
            seq, number, offset = place
            if number >= self._log.first_number:
                yield seq, self._message(seq, number, offset)
            begin = seq + 1

    def _message(self, seq: int, number: int, offset: int) -> bytes:
        record = self._reader.read_at(number, offset)
        if record.type != SENT or SEQ.unpack_from(record.payload)[0] != seq:
            raise CorruptError(f"{self._log.folder}/store segment {number}: offset {offset}: not message {seq}")
        return record.payload[SEQ.size :]

    def set_meta(self, key: str, value: bytes) -> None:
        meta = {**self._state.meta, key: value}
        if not value:
            del meta[key]
        if sum(len(name) + len(kept) for name, kept in meta.items()) > MAX_META_BYTES:
            raise StoreError(f"metadata {key!r} of {len(value)} bytes: all of it may have {MAX_META_BYTES}")
        self._replace(msgspec.structs.replace(self._state, meta=meta))

    def prepare(self) -> bool:
        """A bounded bit of work ahead, for quiet moments (base.upkeep); False when nothing is left to do."""
        return self._log.prepare()

    def sync(self) -> None:
        self._log.sync()

    def close(self) -> None:
        self._reader.close()
        self._log.close()

    def _append(self, kind: int, payload: bytes) -> None:
        self._log.append(kind, payload)
        if self._sync_every:
            self._log.sync()

    def _replace(self, state: State) -> None:
        self._append(STATE, msgspec.msgpack.encode(state))
        self._state = state

    def _checkpoint(self) -> tuple[int, bytes]:
        self._places.forget(self._log.first_number)
        return STATE, msgspec.msgpack.encode(self._state)

    def _replay(self) -> None:
        """Bring everything back that is kept; CorruptError when a record is damaged or makes no sense."""
        self._reader.seek(0)
        while found := self._reader.next_found():
            try:
                self._apply(found)
            except (struct.error, msgspec.DecodeError, ValueError) as error:
                path = f"{self._log.folder}/store segment {self._reader.number}"
                raise CorruptError(f"{path}: offset {found.offset}: {error}") from error

    def _apply(self, found: Found) -> None:
        kind, payload = found.record.type, found.record.payload
        if kind == STATE:
            before = self._state
            self._state = msgspec.msgpack.decode(payload, type=State)
            if self._state.epoch != before.epoch:
                self._places.clear()
        elif kind == SENT:
            (seq,) = SEQ.unpack_from(payload)
            if seq != self._state.next_out:
                raise ValueError(f"message {seq} where {self._state.next_out} was next")
            self._places.add(seq, self._reader.number, found.offset)
            self._state.next_out = seq + 1
        elif kind == NEXT_IN:
            (self._state.next_in,) = SEQ.unpack(payload)
        elif kind == NEXT_OUT:
            (self._state.next_out,) = SEQ.unpack(payload)
        else:
            raise ValueError(f"record type {kind} is none of a message store")
