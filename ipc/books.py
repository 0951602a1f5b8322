"""Regions of shared-memory books: files, locks and replacement. The layout is ipc/book.h."""

import contextlib
import fcntl
import mmap
import os
import struct
import time
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import IO, NamedTuple

from base.config import DeskConfig
from base.errors import LockHeldError, RegionError
from ipc._book import BookReader, RegionView, RegionWriter, SharedBook, format_region, region_size, retire_region

__all__ = [
    "BookReader", "BookReason", "BookRegion", "BookSpec", "BookState", "RegionOwner", "SharedBook", "create_region",
    "shard_specs",
]  # fmt: skip

HEARTBEAT_LIMIT_NS = 1_000_000_000
_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux


class BookState(IntEnum):
    """enum qd_state of ipc/book.h."""

    RECOVERING = 0
    LIVE = 1
    STALE = 2
    CROSSED = 3
    HALTED = 4


class BookReason(IntEnum):
    """enum qd_reason of ipc/book.h."""

    OK = 0
    START = 1
    SNAPSHOT = 2
    GAP = 3
    CHECKSUM = 4
    CAPACITY = 5
    NUMBER = 6
    CROSSED = 7
    SESSION = 8
    STALL = 9
    UNKNOWN_ORDER = 10
    DUPLICATE_ORDER = 11
    MALFORMED = 12
    VENUE_HALT = 13
    WRITER_DEAD = 14
    WRITER_SILENT = 15
    REGION_RETIRED = 16


class BookSpec(NamedTuple):
    """One book of a region. levels: room a side; orders: room of an L3 book; to outgrow them is STALE(CAPACITY)."""

    venue: str
    instrument: str
    px_scale: int
    qty_scale: int
    level: int = 2  # 2 or 3
    levels: int = 10_000
    orders: int = 0


def shard_specs(desk: DeskConfig, shard: str) -> list[BookSpec]:
    """The books of a shard's region, in their order."""
    config = desk.config.book[shard]
    return [
        BookSpec(i.venue, i.name, i.px_scale, i.qty_scale, level, config.levels, config.orders if level == 3 else 0)
        for _, i, level in desk.shard_books(shard)
    ]


def _lock(fd: int) -> bool:
    """Take the writer's lock of an open file, without waiting; held until it is closed, by the kernel at the latest."""
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except (BlockingIOError, PermissionError):
        return False
    return True


def _allocate(path: Path, size: int) -> IO[bytes]:
    """A new file with every byte allocated, so that a full tmpfs is an error here and never a SIGBUS later."""
    path.unlink(missing_ok=True)
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640), "r+b", buffering=0)
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as e:
        file.close()
        path.unlink(missing_ok=True)
        raise RegionError(f"{path}: no room for a region of {size} bytes: {e.strerror}") from e
    return file


class RegionOwner:
    """The one writer of a region; made by create_region. Call heartbeat() every 100 ms or so.

    Books are taken by name; close() retires the region, so that readers look for a successor.
    """

    def __init__(
        self, path: Path, role: IO[bytes], file: IO[bytes], memory: mmap.mmap, specs: Sequence[BookSpec]
    ) -> None:
        self.path = path
        self.specs = tuple(specs)
        self._role = role
        self._file = file
        self._writer = RegionWriter(memory, str(path))
        self._index = {(s.venue, s.instrument, s.level): i for i, s in enumerate(self.specs)}

    @property
    def generation(self) -> int:
        """Differs between any two regions that ever stood at one path."""
        return self._writer.generation

    def book(
        self, venue: str, instrument: str, level: int = 2, *, max_depth: int = 0, top_only: bool = False
    ) -> SharedBook:
        """The writer's side of a book; always the same object. RegionError when the region has no such book."""
        index = self._index.get((venue, instrument, level))
        if index is None:
            raise RegionError(f"{self.path}: no book of {venue} {instrument} at level {level}")
        return self._writer.book(index, max_depth=max_depth, top_only=top_only)

    def heartbeat(self, mono_ns: int) -> None:
        """Say that the books are looked after; readers call them STALE when this stops for the region's limit."""
        self._writer.heartbeat(mono_ns)

    def close(self) -> None:
        """Retire the region and give up its locks. Its file stays for readers that have it mapped."""
        self._writer.retire()
        self._file.close()
        self._role.close()


def create_region(
    path: Path | str, specs: Sequence[BookSpec], *, heartbeat_limit_ns: int = HEARTBEAT_LIMIT_NS
) -> RegionOwner:
    """Create the region at `path`, or replace the one that stands there; readers follow by themselves.

    Raises LockHeldError when another writer lives, RegionError when there is no room or a book cannot be.
    """
    path = Path(path)
    _check_unique(path, specs)
    role = _take_role(path)
    try:
        before = _existing(path)
        file, memory = _build(path, specs, heartbeat_limit_ns)
        path.with_name(path.name + ".new").rename(path)
        if before is not None:
            _retire(before)
        return RegionOwner(path, role, file, memory, specs)
    except BaseException:
        role.close()
        raise


def _check_unique(path: Path, specs: Sequence[BookSpec]) -> None:
    seen: set[tuple[str, str, int]] = set()
    for s in specs:
        if (s.venue, s.instrument, s.level) in seen:
            raise RegionError(f"{path}: {s.venue} {s.instrument} level {s.level} stands twice in the directory")
        seen.add((s.venue, s.instrument, s.level))


def _take_role(path: Path) -> IO[bytes]:
    """The lock of the place: a file of its own, since the region's file changes."""
    name = path.with_name(path.name + ".lock")
    try:
        role = name.open("ab", buffering=0)
    except OSError as e:
        raise RegionError(f"{name}: {e.strerror}") from e
    if not _lock(role.fileno()):
        role.close()
        raise LockHeldError(f"{path}: another writer holds {name.name}")
    return role


def _existing(path: Path) -> IO[bytes] | None:
    try:
        return path.open("r+b", buffering=0)
    except FileNotFoundError:
        return None


def _build(path: Path, specs: Sequence[BookSpec], limit_ns: int) -> tuple[IO[bytes], mmap.mmap]:
    size = region_size(specs)
    new = path.with_name(path.name + ".new")
    file = _allocate(new, size)
    try:
        memory = mmap.mmap(file.fileno(), size)
        now = time.time_ns()
        format_region(memory, specs, now, limit_ns, now, time.monotonic_ns())
        _lock(file.fileno())
    except BaseException:
        file.close()
        new.unlink()
        raise
    return file, memory


def _retire(before: IO[bytes]) -> None:
    """Tell readers of the file that was replaced, when it is one of ours; anything else is gone with its name."""
    with before:
        size = os.fstat(before.fileno()).st_size
        if size == 0:
            return
        # Something that is not a region has no readers of books to be told.
        with mmap.mmap(before.fileno(), size) as memory, contextlib.suppress(RegionError):
            retire_region(memory)


class BookRegion:
    """A reader's handle on the region at a path. It follows replacements, and so do the books taken from it: a restart
    of the writer is no business of the reader's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.view, self._inode = _map(path)

    @classmethod
    def open(cls, path: Path | str) -> "BookRegion":
        """RegionError naming file and field when it is missing, cut short or of another layout."""
        return cls(Path(path))

    def instruments(self) -> list[BookSpec]:
        """The directory."""
        return [BookSpec(*row) for row in self.view.instruments()]

    def book(self, venue: str, instrument: str, level: int = 0) -> BookReader:
        """A reader of one book; level 0 takes whichever stands first. RegionError when there is none."""
        self.follow()
        return BookReader(self, venue, instrument, level)

    def follow(self) -> RegionView:
        """The region that stands at the path now, or the present one while there is no other that can be read."""
        try:
            now = self.path.stat()
            if (now.st_dev, now.st_ino) != self._inode:
                self.view, self._inode = _map(self.path)
        except (OSError, RegionError):
            return self.view  # readers say STALE(WRITER_DEAD) or STALE(REGION_RETIRED) of it
        return self.view

    def writer_state(self) -> BookReason:
        """OK, or WRITER_DEAD, WRITER_SILENT, REGION_RETIRED."""
        return BookReason(self.follow().writer_state)


def _map(path: Path) -> tuple[RegionView, tuple[int, int]]:
    try:
        file = path.open("rb", buffering=0)
    except OSError as e:
        raise RegionError(f"{path}: {e.strerror}") from e
    with file:
        found = os.fstat(file.fileno())
        if found.st_size == 0:
            raise RegionError(f"{path}: size is 0 bytes")
        memory = mmap.mmap(file.fileno(), found.st_size, access=mmap.ACCESS_READ)
        return RegionView(memory, str(path), file.fileno()), (found.st_dev, found.st_ino)
