"""Append-only log in preallocated, memory-mapped, numbered files: the writer. The reader is in segment_reader.

An appended record is in the kernel's hands when `append` returns: SIGKILL cannot lose it. What a power cut may lose
depends on when `sync` ran. Space for the next segment is set aside beforehand; when no more can be had, `full` says
so while that space is used up, and with `recycle` the oldest segment then makes room, so that appending never stops.
"""

import logging
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from base._segments import Appender
from base.errors import CorruptError, StoreError
from base.locks import NO_ROOM, RoleLock
from base.segment_file import (
    BOOT_WORD,
    CLOSED_CLEANLY,
    COMMITTED_WORD,
    HEAD_SIZE,
    HEADER_SIZE,
    Record,
    Segment,
    allocate,
    free_bytes,
    require_fit,
    segment_numbers,
    segment_path,
    this_boot,
)
from base.segment_reader import SegmentReader

__all__ = ["Record", "SegmentReader", "SegmentSettings", "SegmentWriter"]

MEBIBYTE = 1024 * 1024
EVERYTHING = 1 << 63
HELD_TIMES = 4

log = logging.getLogger("segments")

Hook = Callable[[str], object]


@dataclass(frozen=True)
class SegmentSettings:
    """Sizes in bytes. `retain_bytes` bounds all files of the log together and is never under three segments."""

    segment_bytes: int = 4 * MEBIBYTE
    retain_bytes: int = 64 * MEBIBYTE
    recycle: bool = False  # on a full disk drop the oldest segment rather than refuse to append
    populate_step: int = 64 * 1024
    populate_ahead: int = 512 * 1024


class SegmentWriter(Appender):
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
        free: Callable[[Path], int] = free_bytes,
        confirm: bool = True,
    ) -> None:
        """Open the log or begin it; `wall_ns` names a new log and the lock's holder.

        `confirm` False: the owner calls `confirm` itself, once it has acted on `host_went_down`.

        `first_record` gives type and payload of a record that each segment begins with after a rotation.
        `hook` is called with the name of each boundary at which a crash leaves another state on disk, for tests.
        Raises CorruptError (file and offset), LockHeldError, StoreError when there is no room to begin with.
        """
        self.folder = Path(folder)
        self.prefix = prefix
        self.settings = settings or SegmentSettings()
        self.full = False
        self.hold = EVERYTHING  # retention drops only segments with lower numbers, until they are HELD_TIMES as much
        self.lost_bytes = 0  # cut from the end at opening, after the host went down before they were on disk
        self.host_went_down = False  # since it was written to; what was not synced then may be missing
        self.next_index = 1
        self.last_offset = 0
        self._end = HEADER_SIZE
        self._hook = hook
        self._reserve = reserve
        self._free = free
        self._first_record = first_record
        self._spare: Segment | None = None
        self._tried_spare = False
        self._retired: list[Segment] = []
        self._unsynced: list[int] = []
        self._new_names = True
        self._sync_lock = threading.Lock()
        self._closed = False
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = RoleLock(self.folder / f"{prefix}.lock")
        self._lock.acquire(wall_ns)
        segment: Segment | None = None
        try:
            self._numbers = segment_numbers(self.folder, prefix)
            segment = self._segment = self._open_last(wall_ns)
            self._seal_last_but_one()
            self._write_to(self._segment)
            self._find_end()
            self._first_spare()
            if confirm:
                self.confirm()
        except BaseException:
            self._leave()
            for opened in (segment, self._spare):
                if opened is not None:
                    opened.close()
            self._lock.release()
            raise

    # -- appending: `append` is native, in base/_segments.pyx ---------------------------------------------------

    @property
    def path(self) -> Path:
        """The file that is written to."""
        return self._segment.path

    @property
    def first_number(self) -> int:
        """Number of the oldest segment that is kept."""
        return self._numbers[0]

    @property
    def cornered(self) -> bool:
        """True when a rotation may have to drop a segment that is held: nothing is set aside, and it is the oldest."""
        return self._spare is None and self.full and self._numbers[0] >= self.hold

    @property
    def empty(self) -> bool:
        """True while the present segment has no record."""
        return self._end == HEADER_SIZE

    @property
    def room(self) -> int:
        """Payload bytes that still fit the present segment."""
        return max(0, self._segment.size - self._end - HEAD_SIZE)

    def confirm(self) -> None:
        """What the host's going down means was dealt with: a process that dies from now on leaves no doubt of it."""
        self._segment.words[BOOT_WORD] = this_boot()

    def prepare(self) -> bool:
        """A bounded bit of work ahead, for quiet moments: tidy up, set space aside, bring pages in.

        False when all is done. Whoever never calls it has the same work done while appending.
        """
        if self._closed:
            return False
        if self._retired:
            self._tidy()
            return True
        if self._spare is None:
            self._tried_spare = False
            self._prepare_spare()
            return self._spare is not None
        self._look_at_room()
        step, ahead = self.settings.populate_step, self.settings.populate_ahead
        return self._segment.populate(step, ahead) or self._spare.populate(step, ahead)

    def sync(self) -> None:
        """Have everything appended so far on disk. Blocks; may be called from a helper thread."""
        with self._sync_lock:
            if self._closed:
                return  # the owner closed it while a helper was on the way here
            pending, self._unsynced = self._unsynced, []
            pending.append(os.dup(self._segment.fd))
            if self._new_names:
                self._new_names = False
                pending.append(os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY))
        for fd in pending:
            try:
                os.fsync(fd) if stat.S_ISDIR(os.fstat(fd).st_mode) else os.fdatasync(fd)
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
        with self._sync_lock:
            if self._closed:
                return
            self._closed = True
        for fd in self._unsynced:
            os.close(fd)
        self._leave()
        for old in self._retired:
            old.close()
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
            self._tidy()  # which may free the room that is needed
            self._tried_spare = False
            self._prepare_spare()
        spare = self._spare or self._recycle()
        self._spare = None
        old = self._segment
        spare.begin(old.number + 1, self.next_index, old.log_id)
        self._numbers.append(spare.number)
        self._at("segment begun")
        old.seal()
        self._at("segment sealed")
        with self._sync_lock:
            self._unsynced.append(os.dup(old.fd))
            self._segment = spare
        self._retired.append(old)
        self._write_to(spare)
        self._end = HEADER_SIZE
        if len(self._retired) > 1 or late:
            self._tidy()
        if self._first_record:
            self.append(*self._first_record())
        if late:
            self._prepare_spare()  # so that `full` does not wait for the middle of the segment

    def _write_to(self, segment: Segment) -> None:
        self._use(segment.map, segment.number, segment.seed)
        self._tried_spare = self._spare is not None

    def _first_spare(self) -> None:
        if self._spare is None and self._old_path.exists():  # a crash while it was recycled
            self._spare = self._reuse_old(self._segment.number + 1)
        self._prepare_spare()

    def _prepare_spare(self) -> None:
        if self._spare is not None or self._tried_spare:
            return
        self._tried_spare = True
        try:
            self._spare = self._allocate(self._segment.number + 1)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise StoreError(f"{self.folder / self.prefix}: {error.strerror}") from error
            self._say_full(os.strerror(error.errno))
            return
        self._look_at_room()
        self._at("space set aside")

    def _look_at_room(self) -> None:
        """Full is said before it hurts: while a segment stands ready, as soon as there is no room for one after it."""
        free = self._free(self.folder)
        need = self.settings.segment_bytes * (2 if self.full else 1)  # not to and fro with a few bytes
        if free < need:
            self._say_full(f"{free} bytes are free")
        elif self.full:
            log.warning("%s: there is room again", self.folder / self.prefix)
            self.full = False

    def _say_full(self, why: str) -> None:
        if not self.full:
            log.warning("%s: no room for a segment beyond what is set aside: %s", self.folder / self.prefix, why)
        self.full = True

    def _allocate(self, number: int) -> Segment:
        """Under its final name only once it has its size, so that a short file is known to be damaged."""
        spare = Segment.allocate(self.folder / f"{self.prefix}.new", self.settings.segment_bytes, self._reserve)
        self._at("space allocated")
        spare.rename(segment_path(self.folder, self.prefix, number))
        self._new_names = True
        return spare

    def _recycle(self) -> Segment:
        """Make the oldest segment the next one."""
        oldest = self._numbers[0]
        if not self.settings.recycle or oldest == self._segment.number:
            raise StoreError(f"{self.folder / self.prefix}: the disk is full and the space set aside is used up")
        path = segment_path(self.folder, self.prefix, oldest)
        held = ", though it was held" if oldest >= self.hold else ""
        log.warning("%s: dropped to make room on a full disk%s", path, held)
        path.rename(self._old_path)
        del self._numbers[0]
        self._at("oldest segment taken")
        return self._reuse_old(self._segment.number + 1)

    @property
    def _old_path(self) -> Path:
        return self.folder / f"{self.prefix}.old"

    def _reuse_old(self, number: int) -> Segment:
        segment = Segment.open(self._old_path, writable=True)
        segment.void()
        segment.rename(segment_path(self.folder, self.prefix, number))
        self._at("oldest segment recycled")
        return segment

    def _tidy(self) -> None:
        """Close what was rotated away and drop what retention does not keep."""
        for old in self._retired:
            old.close()
        self._retired.clear()
        size = self.settings.segment_bytes
        keep = max(2, self.settings.retain_bytes // size - 2)  # beside them the spare and one not yet tidied up
        while len(self._numbers) > (keep if self._numbers[0] < self.hold else HELD_TIMES * keep):
            if self._numbers[0] >= self.hold:
                log.error("%s: dropped though it was held", segment_path(self.folder, self.prefix, self._numbers[0]))
            segment_path(self.folder, self.prefix, self._numbers.pop(0)).unlink()
            self._at("oldest segment dropped")

    def _at(self, boundary: str) -> None:
        if self._hook:
            self._hook(boundary)

    # -- opening ---------------------------------------------------------------------------------------------

    def _open_last(self, wall_ns: int) -> Segment:
        (self.folder / f"{self.prefix}.new").unlink(missing_ok=True)  # what a crash left half done
        self._check_contiguous()
        last = self._open_segment(self._numbers[-1]) if self._numbers else None
        if last is not None and not last.begun:
            self._numbers.pop()
            if last.size == self.settings.segment_bytes:
                self._spare = last
            else:
                last.close()
                last.path.unlink()
            last = self._open_segment(self._numbers[-1]) if self._numbers else None
        if last is not None and not last.begun:
            raise CorruptError(f"{last.path}: offset {COMMITTED_WORD * 8}: not begun, but another follows it")
        return last or self._create_first(wall_ns)

    def _open_segment(self, number: int) -> Segment:
        path = segment_path(self.folder, self.prefix, number)
        segment = Segment.open(path, writable=True)
        if segment.begun and segment.number != number:
            segment.close()
            raise CorruptError(f"{path}: offset 16: says that it is segment {segment.number}")
        return segment

    def _seal_last_but_one(self) -> None:
        """A crash between naming a segment and sealing the one before left readers without the way on."""
        if len(self._numbers) > 1:
            before = self._open_segment(self._numbers[-2])
            try:
                if before.log_id != self._segment.log_id:
                    self._segment.require_after(before, self._segment.first_index)
                before.seal()
            finally:
                before.close()

    def _check_contiguous(self) -> None:
        for number, following in pairwise(self._numbers):
            if following != number + 1:
                path = segment_path(self.folder, self.prefix, number + 1)
                raise CorruptError(f"{path}: missing between its neighbours")

    def _create_first(self, wall_ns: int) -> Segment:
        if self._spare is not None and self._spare.path != segment_path(self.folder, self.prefix, 1):
            raise CorruptError(f"{self._spare.path}: offset {COMMITTED_WORD * 8}: not begun, and nothing is before it")
        try:
            segment, self._spare = self._spare or self._allocate(1), None
        except OSError as error:
            raise StoreError(f"{self.folder / self.prefix}: no room to begin: {error.strerror}") from error
        segment.begin(1, 1, wall_ns)
        self._at("segment begun")
        self._numbers.append(1)
        return segment

    def _find_end(self) -> None:
        """Where appending goes on. A record that is whole but was not committed counts: it is what was meant."""
        segment = self._segment
        self.host_went_down = segment.words[BOOT_WORD] not in (CLOSED_CLEANLY, this_boot())
        _, self.last_offset, end, self.next_index = segment.scan()
        committed = segment.committed
        if segment.sealed and not self.host_went_down:
            raise CorruptError(f"{segment.path}: offset {COMMITTED_WORD * 8}: sealed, but what follows was not begun")
        if end < committed:
            self._cut(end, committed)
        segment.words[COMMITTED_WORD] = self._end = end

    def _cut(self, end: int, committed: int) -> None:
        """Committed records are not there: a power cut may do that, within one boot it is corruption."""
        segment = self._segment
        if not self.host_went_down or committed > segment.size:
            raise segment.corrupt_at(end, self.next_index)
        self.lost_bytes = committed - end
        log.error("%s: %d bytes after offset %d were not on disk when the host went down", segment.path,
                  self.lost_bytes, end)  # fmt: skip
        # Zeroed, so that no old record further on can pass for the successor of a new one.
        segment.map[end:committed] = bytes(committed - end)
