"""Append-only log in preallocated, memory-mapped, numbered files: the writer. The reader is in segment_reader.

An appended record is in the kernel's hands when `append` returns: SIGKILL cannot lose it. What a power cut may lose
depends on when `sync` ran. Space for the next segment is set aside beforehand; when no more can be had, `full` says
so while that space is used up, and with `recycle` the oldest segment then makes room, so that appending never stops.
"""

import errno
import logging
import os
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from base.errors import CorruptError, StoreError
from base.locks import RoleLock
from base.segment_file import (
    BOOT_WORD,
    CLOSED_CLEANLY,
    COMMITTED_WORD,
    COVERED,
    HEAD,
    HEAD_SIZE,
    HEADER_SIZE,
    Record,
    Segment,
    allocate,
    require_fit,
    segment_numbers,
    segment_path,
    this_boot,
)
from base.segment_reader import SegmentReader

__all__ = ["Record", "SegmentReader", "SegmentSettings", "SegmentWriter"]

MEBIBYTE = 1024 * 1024
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

log = logging.getLogger("segments")

Hook = Callable[[str], object]


@dataclass(frozen=True)
class SegmentSettings:
    """Sizes in bytes. `retain_bytes` bounds all files of the log together and is never under three segments."""

    segment_bytes: int = 4 * MEBIBYTE
    retain_bytes: int = 64 * MEBIBYTE
    recycle: bool = False  # on a full disk drop the oldest segment rather than refuse to append
    populate_step: int = 256 * 1024


class SegmentWriter:
    """The one writer of a log; a second one gets LockHeldError."""

    def __init__(
        self,
        folder: str | Path,
        prefix: str,
        wall_ns: int,
        settings: SegmentSettings | None = None,
        hook: Hook | None = None,
        reserve: Callable[[int, int], None] = allocate,
        first_record: Callable[[], tuple[int, bytes]] | None = None,
    ) -> None:
        """Open the log or begin it; `wall_ns` names a new log and the lock's holder.

        `first_record` gives type and payload of a record that each segment begins with after a rotation.
        `hook` is called with the name of each boundary at which a crash leaves another state on disk, for tests.
        Raises CorruptError (file and offset), LockHeldError, StoreError when there is no room to begin with.
        """
        self.folder = Path(folder)
        self.prefix = prefix
        self.settings = settings or SegmentSettings()
        self.full = False
        self.lost_bytes = 0  # cut from the end at opening, after the host went down before they were on disk
        self.host_went_down = False  # since it was written to; what was not synced then may be missing
        self.next_index = 1
        self.last_offset = 0  # where the last record lies in its segment
        self._end = HEADER_SIZE
        self._hook = hook
        self._reserve = reserve
        self._first_record = first_record
        self._spare: Segment | None = None
        self._tried_spare = False
        self._unsynced: list[int] = []
        self._sync_lock = threading.Lock()
        self._closed = False
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = RoleLock(self.folder / f"{prefix}.lock")
        self._lock.acquire(wall_ns)
        try:
            self._numbers = segment_numbers(self.folder, prefix)
            self._segment = self._open_last(wall_ns)
            self._seal_last_but_one()
            self._use(self._segment)
            self._find_end()
            self._prepare_spare()
        except BaseException:
            self._lock.release()
            raise

    # -- appending -------------------------------------------------------------------------------------------

    def append(self, kind: int, payload: bytes | bytearray | memoryview) -> int:
        """Append a record of type `kind` (1 to 2^32-1) and return its index.

        Raises StoreError when it does not fit a segment, or when the space set aside is used up too.
        """
        length = len(payload)
        stop = self._end + HEAD_SIZE + length
        if stop > self._size:
            self.rotate(length)
            stop = self._end + HEAD_SIZE + length
            if stop > self._size:
                raise StoreError(f"{self._segment.path}: a record of {length} bytes does not fit behind the first")
        index, offset, hook = self.next_index, self._end, self._hook
        crc = zlib.crc32(payload, zlib.crc32(COVERED.pack(index, kind, length), self._seed))
        if hook:
            hook("append")
        self._map[offset + HEAD_SIZE : stop] = payload
        if hook:
            hook("payload written")
        HEAD.pack_into(self._map, offset, length, crc, index, kind, 0)
        if hook:
            hook("head written")
        self._end = self._words[COMMITTED_WORD] = stop + 7 & ~7
        if hook:
            hook("committed")
        self.next_index = index + 1
        self.last_offset = offset
        if offset > self._half and not self._tried_spare:
            self._prepare_spare()
        return index

    @property
    def number(self) -> int:
        """Number of the segment that is written to; with `last_offset` the place of the last record."""
        return self._segment.number

    @property
    def first_number(self) -> int:
        """Number of the oldest segment that is kept."""
        return self._numbers[0]

    @property
    def empty(self) -> bool:
        """True while the present segment has no record."""
        return self._end == HEADER_SIZE

    @property
    def room(self) -> int:
        """Payload bytes that still fit the present segment."""
        return max(0, self._size - self._end - HEAD_SIZE)

    def prepare(self) -> bool:
        """A bounded bit of work ahead, for quiet moments: set space aside, bring pages in. False when all is done."""
        if self._spare is None:
            self._tried_spare = False
            self._prepare_spare()
            return self._spare is not None
        step = self.settings.populate_step
        return self._segment.populate(step) or self._spare.populate(step)

    def sync(self) -> None:
        """Have everything appended so far on disk. Blocks; may be called from a helper thread."""
        with self._sync_lock:
            pending, self._unsynced = self._unsynced, []
            pending.append(os.dup(self._segment.fd))
        for fd in pending:
            try:
                os.fdatasync(fd)
            finally:
                os.close(fd)

    def close(self) -> None:
        """Have everything on disk, release the log and its lock. Blocks."""
        if self._closed:
            return
        self.sync()
        self._segment.words[BOOT_WORD] = CLOSED_CLEANLY
        self.abandon()

    def abandon(self) -> None:
        """Release the log as it is, as a killed process would: whoever opens it next does not take it for closed."""
        if self._closed:
            return
        self._closed = True
        for fd in self._unsynced:
            os.close(fd)
        self._size = 0
        self._segment.close()
        if self._spare is not None:
            self._spare.close()
        self._lock.release()

    # -- segments --------------------------------------------------------------------------------------------

    def rotate(self, length: int = 0) -> None:
        """Go on in a new segment, for a payload of `length` bytes; StoreError when no room for one is left."""
        if self._closed:
            raise StoreError(f"{self.folder / self.prefix}: closed")
        require_fit(length, self.settings.segment_bytes)
        late = self._spare is None
        if late:
            self._tried_spare = False
            self._prepare_spare()
        if self._spare is None:
            self._recycle()
        spare, self._spare = self._spare, None
        assert spare is not None
        old = self._segment
        self._begin(spare, old.number + 1, self.next_index, old.log_id)
        self._at("next segment named")
        old.seal()
        self._at("segment sealed")
        with self._sync_lock:
            self._unsynced.append(os.dup(old.fd))
            self._segment = spare
            old.close()
        self._use(spare)
        self._end = HEADER_SIZE
        self._retain()
        if self._first_record:
            self.append(*self._first_record())
        if late:
            self._prepare_spare()  # so that `full` does not wait for the middle of the segment

    def _begin(self, segment: Segment, number: int, first_index: int, log_id: int) -> None:
        segment.write_header(number, first_index, log_id)
        self._at("segment header written")
        path = segment_path(self.folder, self.prefix, number)
        segment.path.rename(path)
        segment.path = path
        self._numbers.append(number)

    def _use(self, segment: Segment) -> None:
        """Keep what `append` needs at hand."""
        self._map = segment.map
        self._words = segment.words
        self._seed = segment.seed
        self._size = segment.size
        self._half = segment.size // 2
        self._tried_spare = self._spare is not None

    def _prepare_spare(self) -> None:
        if self._spare is not None or self._tried_spare:
            return
        self._tried_spare = True
        try:
            self._spare = self._allocate()
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise StoreError(f"{self._spare_path}: {error.strerror}") from error
            if not self.full:
                log.warning("%s: no room for the next segment: %s", self.folder / self.prefix, error.strerror)
            self.full = True
            return
        if self.full:
            log.warning("%s: there is room again", self.folder / self.prefix)
        self.full = False
        self._at("space set aside")

    def _allocate(self) -> Segment:
        return Segment.allocate(self._spare_path, self.settings.segment_bytes, self._reserve)

    @property
    def _spare_path(self) -> Path:
        return self.folder / f"{self.prefix}.spare"

    def _recycle(self) -> None:
        """Make the oldest segment the next one."""
        oldest = self._numbers[0]
        if not self.settings.recycle or oldest == self._segment.number:
            raise StoreError(f"{self.folder / self.prefix}: the disk is full and the space set aside is used up")
        path = segment_path(self.folder, self.prefix, oldest)
        log.warning("%s: dropped to make room on a full disk", path)
        path.rename(self._spare_path)
        del self._numbers[0]
        self._at("oldest segment recycled")
        self._spare = Segment.allocate(self._spare_path, self.settings.segment_bytes)

    def _retain(self) -> None:
        size = self.settings.segment_bytes
        keep = max(2, self.settings.retain_bytes // size - 1)  # one of them is the spare
        while len(self._numbers) > keep:
            segment_path(self.folder, self.prefix, self._numbers.pop(0)).unlink()
            self._at("oldest segment dropped")

    def _at(self, boundary: str) -> None:
        if self._hook:
            self._hook(boundary)

    # -- opening ---------------------------------------------------------------------------------------------

    def _open_last(self, wall_ns: int) -> Segment:
        if not self._numbers:
            return self._create_first(wall_ns)
        self._check_contiguous()
        last = segment_path(self.folder, self.prefix, self._numbers[-1])
        segment = Segment.open(last, writable=True)
        if segment.number != self._numbers[-1]:
            segment.close()
            raise CorruptError(f"{last}: offset 16: says that it is segment {segment.number}")
        return segment

    def _seal_last_but_one(self) -> None:
        """A crash between naming a segment and sealing the one before left readers without the way on."""
        if len(self._numbers) > 1:
            before = Segment.open(segment_path(self.folder, self.prefix, self._numbers[-2]), writable=True)
            before.seal()
            before.close()

    def _check_contiguous(self) -> None:
        first, last = self._numbers[0], self._numbers[-1]
        if len(self._numbers) != last - first + 1:
            missing = next(n for n in range(first, last) if n not in self._numbers)
            raise CorruptError(f"{segment_path(self.folder, self.prefix, missing)}: missing between its neighbours")

    def _create_first(self, wall_ns: int) -> Segment:
        try:
            segment = self._allocate()
        except OSError as error:
            raise StoreError(f"{self._spare_path}: no room to begin: {error.strerror}") from error
        self._begin(segment, 1, 1, wall_ns)
        return segment

    def _find_end(self) -> None:
        """Where appending goes on. A record that is whole but was not committed counts: it is what was meant."""
        segment = self._segment
        end, self.next_index, self.last_offset = HEADER_SIZE, segment.first_index, 0
        for found in segment.records():
            end, self.next_index, self.last_offset = found.end, found.record.index + 1, found.offset
        committed = segment.committed
        if end < committed:
            self._cut(end, committed)
        self.host_went_down = segment.words[BOOT_WORD] not in (CLOSED_CLEANLY, this_boot())
        segment.words[COMMITTED_WORD] = self._end = end
        segment.words[BOOT_WORD] = this_boot()

    def _cut(self, end: int, committed: int) -> None:
        """Committed records are not there: a power cut may do that, within one boot it is corruption."""
        segment = self._segment
        if segment.words[BOOT_WORD] in (CLOSED_CLEANLY, this_boot()) or committed > segment.size:
            raise segment.corrupt_at(end, self.next_index)
        self.lost_bytes = committed - end
        log.error("%s: %d bytes after offset %d were not on disk when the host went down", segment.path,
                  self.lost_bytes, end)  # fmt: skip
        # Zeroed, so that no old record further on can pass for the successor of a new one.
        segment.map[end:committed] = bytes(committed - end)
