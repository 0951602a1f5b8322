"""The message store that survives: a segment log of what was sent, which numbers are next, and small metadata.

Each change is one record, so a process killed at any instant leaves the store before or after it, never between.
Every segment begins with a record of the whole state; only messages reach further back.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import msgspec

from base.errors import CorruptError, StoreError
from base.segment_file import Found, allocate
from base.segments import SegmentReader, SegmentSettings, SegmentWriter
from fix._store import NEXT_IN, NEXT_OUT, SENT, Numbers

SEQ = struct.Struct("<Q")
STATE = 1
MAX_META_BYTES = 64 * 1024
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


class FileStore(Numbers):
    """A MessageStore (fix.store) in files `<folder>/store-*`; one writer, see docs/store.md."""

    _log: SegmentWriter

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
        self._log = SegmentWriter(
            folder, "store", wall_ns, settings.segments, hook, reserve or allocate, self._checkpoint, confirm=False
        )
        self._reader = SegmentReader(folder, "store")
        self._sync_every = settings.sync is Sync.EVERY
        try:
            self._replay()
            if self._log.empty:
                self._append(*self._checkpoint())
            if self._log.host_went_down and (not self._sync_every or self._log.lost_bytes):
                self.set_meta(BEHIND, b"1")
            self._log.confirm()
        except BaseException:
            self._reader.close()
            self._log.abandon()
            raise

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

    def reset(self, created_ns: int, next_out: int = 1, next_in: int = 1) -> None:
        meta = {key: value for key, value in self._state.meta.items() if key != BEHIND}
        self._replace(State(self._state.epoch + 1, created_ns, next_out, next_in, meta))
        self._places.clear()

    def get(self, begin: int, end: int = 0) -> Iterator[tuple[int, bytes]]:
        last = end or self.next_out - 1
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
        self._replace(State(self.epoch, self.created_ns, self.next_out, self.next_in, meta))

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
        self._take(state)

    def _take(self, state: State) -> None:
        self._state = state
        self._set_numbers(state.next_out, state.next_in)

    def _checkpoint(self) -> tuple[int, bytes]:
        self._places.forget(self._log.first_number)
        state = msgspec.structs.replace(self._state, next_out=self.next_out, next_in=self.next_in)
        return STATE, msgspec.msgpack.encode(state)

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
            self._take(msgspec.msgpack.decode(payload, type=State))
            if self._state.epoch != before.epoch:
                self._places.clear()
        elif kind == SENT:
            (seq,) = SEQ.unpack_from(payload)
            if seq != self.next_out:
                raise ValueError(f"message {seq} where {self.next_out} was next")
            self._places.add(seq, self._reader.number, found.offset)
            self._set_numbers(seq + 1, self.next_in)
        elif kind == NEXT_IN:
            self._set_numbers(self.next_out, SEQ.unpack(payload)[0])
        elif kind == NEXT_OUT:
            self._set_numbers(SEQ.unpack(payload)[0], self.next_in)
        else:
            raise ValueError(f"record type {kind} is none of a message store")
