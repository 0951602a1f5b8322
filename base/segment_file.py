"""One file of an append-only log: layout, creation, checking. See docs/store.md for the layout byte by byte.

A segment is allocated in full and mapped into memory. Appending is: payload, then record head with CRC, then the
committed word, which is one aligned 64-bit store. On x86 stores become visible in program order, so another process
that reads the committed word may read everything below it; on other machines the CRC shows what has not arrived yet.
"""

import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from base._segments import read_record, scan
from base.errors import CorruptError, StoreError

MAGIC = b"QDSEGMT\x01"
HEADER = struct.Struct("<8sIIQQQQI")  # magic, version, header size, number, first index, size, log id, CRC32
HEADER_SIZE = 128
VERSION = 1
BOOT_WORD = 14  # the boot in which a writer last opened the segment
CLOSED_CLEANLY = 0  # in place of a boot: synced, then closed
COMMITTED_WORD = 15  # offset after the last committed record, and the SEALED bit
SEALED = 1 << 63
HEAD = struct.Struct("<IIQII")  # payload bytes, CRC32, index, type, 0
HEAD_SIZE = HEAD.size
SEED = struct.Struct("<QQ")  # log id and number start the CRC: bytes of a recycled file never pass for new ones
MADV_POPULATE_WRITE = 23  # Linux 5.14


@dataclass(slots=True)
class Record:
    """One record of a log; index counts from 1 over all segments."""

    index: int
    type: int
    payload: bytes


class Found(NamedTuple):
    """A record and where it lies."""

    record: Record
    offset: int
    end: int


class Scanned(NamedTuple):
    """Where the records asked for lie, the last one of all (0: none), and the place and index of what comes next."""

    places: list[int]
    last: int
    end: int
    next_index: int


def allocate(fd: int, size: int) -> None:
    """Reserve `size` bytes of disk for the file; OSError (ENOSPC and the like) when there is no room."""
    os.posix_fallocate(fd, 0, size)


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still allocate on the file system of `folder`."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


@cache
def this_boot() -> int:
    """A number of the present boot of this host."""
    try:
        return zlib.crc32(Path("/proc/sys/kernel/random/boot_id").read_bytes()) | 1 << 32
    except OSError:
        return 1


class Segment:
    """A mapped segment file."""

    def __init__(self, path: Path, fd: int, size: int, writable: bool) -> None:
        self.path = path
        self.fd = fd
        self.size = size
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        self.map = mmap.mmap(fd, size, access=access)
        if writable:
            self.map.madvise(mmap.MADV_DONTFORK)  # one writer: a fork that tried would die, not write
        self.words = memoryview(self.map)[:HEADER_SIZE].cast("Q")
        self.number = 0
        self.first_index = 0
        self.log_id = 0
        self.seed = 0
        self.populated = 0

    @classmethod
    def allocate(cls, path: Path, size: int, reserve: Callable[[int, int], None] = allocate) -> "Segment":
        """A new file with its space reserved, not begun yet; OSError when the disk is full."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, size)
            reserve(fd, size)
            return cls(path, fd, size, writable=True)
        except OSError:
            os.close(fd)
            path.unlink()
            raise

    @classmethod
    def open(cls, path: Path, writable: bool) -> "Segment":
        """An existing segment, its header checked if it was begun; CorruptError when that contradicts itself."""
        fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
        size = os.fstat(fd).st_size
        if size < HEADER_SIZE:
            os.close(fd)
            raise CorruptError(f"{path}: {size} bytes, a segment header alone has {HEADER_SIZE}")
        segment = cls(path, fd, size, writable)
        try:
            if segment.begun:
                segment.read_header()
        except CorruptError:
            segment.close()
            raise
        return segment

    def begin(self, number: int, first_index: int, log_id: int) -> None:
        """Make this an empty segment of a log; what it held before is void. Stores to memory only."""
        fields = (MAGIC, VERSION, HEADER_SIZE, number, first_index, self.size, log_id)
        HEADER.pack_into(self.map, 0, *fields, 0)
        HEADER.pack_into(self.map, 0, *fields, zlib.crc32(self.map[: HEADER.size - 4]))
        self.number, self.first_index, self.log_id = number, first_index, log_id
        self.seed = zlib.crc32(SEED.pack(log_id, number))
        self.words[BOOT_WORD] = this_boot()
        self.words[COMMITTED_WORD] = HEADER_SIZE

    def void(self) -> None:
        """Give up what it holds, so that it can be begun anew."""
        self.words[COMMITTED_WORD] = 0

    def rename(self, path: Path) -> None:
        """Give the file its name."""
        self.path.rename(path)
        self.path = path

    @property
    def begun(self) -> bool:
        """False for a file that is only set aside."""
        return self.words[COMMITTED_WORD] != 0

    def read_header(self) -> None:
        """Check the header and take the segment's identity from it."""
        magic, version, header_size, number, first_index, size, log_id, crc = HEADER.unpack_from(self.map, 0)
        if magic != MAGIC:
            raise CorruptError(f"{self.path}: offset 0: {magic!r} where a segment has {MAGIC!r}")
        if zlib.crc32(self.map[: HEADER.size - 4]) != crc:
            raise CorruptError(f"{self.path}: offset {HEADER.size - 4}: the header contradicts its CRC")
        if version != VERSION or header_size != HEADER_SIZE:
            raise CorruptError(f"{self.path}: offset 8: version {version}, this build reads version {VERSION}")
        if size != self.size:
            raise CorruptError(f"{self.path}: {self.size} bytes, the header says {size}")
        self.number, self.first_index, self.log_id = number, first_index, log_id
        self.seed = zlib.crc32(SEED.pack(log_id, number))

    @property
    def committed(self) -> int:
        """Offset after the last committed record."""
        return self.words[COMMITTED_WORD] & ~SEALED

    @property
    def sealed(self) -> bool:
        """True once the log goes on in the next segment."""
        return bool(self.words[COMMITTED_WORD] & SEALED)

    def seal(self) -> None:
        """Nothing more comes here; the next segment must stand already."""
        self.words[COMMITTED_WORD] |= SEALED

    def still(self, number: int) -> bool:
        """False when the file was recycled for another part of the log under a reader's eyes."""
        return self.begun and bool(HEADER.unpack_from(self.map, 0)[3] == number)

    def record_at(self, offset: int, index: int | None) -> Found | None:
        """The record at `offset` if there is a valid one with that index (None: any index), else None."""
        found = read_record(self.map, offset, self.seed)
        if found is None or (index is not None and found[0] != index):
            return None
        return Found(Record(*found[:3]), offset, found[3])

    def scan(self, kinds: Iterable[int] = (), until: int | None = None) -> Scanned:
        """Check the records up to offset `until`, or up to where none is as it was written; types are below 64."""
        bits = sum(1 << kind for kind in kinds)
        return Scanned(*scan(self.map, HEADER_SIZE, until or self.size, self.first_index, self.seed, bits))

    def corrupt_at(self, offset: int, index: int) -> CorruptError:
        """The error for a committed record that is not there as it was written."""
        text = f"{self.path}: offset {offset}: record {index} contradicts its checksum or index"
        return CorruptError(text, self.number)

    def require_after(self, before: "Segment", next_index: int) -> None:
        """CorruptError unless this goes on where `before` ends, whose next record would be `next_index`."""
        if self.number != before.number + 1:
            path = self.path.with_name(self.path.name.replace(f"{self.number:010d}", f"{self.number - 1:010d}"))
            raise CorruptError(f"{path}: missing between its neighbours", self.number - 1)
        if self.log_id != before.log_id:
            text = f"{self.path}: offset 40: of log {self.log_id}, the segment before it is of log {before.log_id}"
            raise CorruptError(text, self.number)
        if self.first_index != next_index:
            text = f"{self.path}: offset 24: begins with record {self.first_index}, {next_index} is due"
            raise CorruptError(text, self.number)

    def populate(self, step: int, ahead: int) -> bool:
        """Bring `step` bytes more into memory for writing, up to `ahead` of the end; False when that is done.

        Appends then take no page fault, and what is far ahead costs no memory yet.
        """
        self.populated = max(self.populated, self.committed // mmap.PAGESIZE * mmap.PAGESIZE)
        if self.populated >= min(self.size, self.committed + ahead):
            return False
        length = min(step, self.size - self.populated)
        try:
            self.map.madvise(MADV_POPULATE_WRITE, self.populated, length)
        except OSError:
            self.populated = self.size  # an older kernel: appends take their page faults
            return False
        self.populated += length
        return True

    def close(self) -> None:
        """Unmap; the file stays."""
        self.words.release()
        self.map.close()
        os.close(self.fd)


def segment_path(folder: Path, prefix: str, number: int) -> Path:
    """Where segment `number` of a log lies."""
    return folder / f"{prefix}-{number:010d}.seg"


def segment_numbers(folder: Path, prefix: str) -> list[int]:
    """Numbers of the segments of a log that are there, in order."""
    names = (path.name for path in folder.glob(f"{prefix}-*.seg"))
    digits = [name[len(prefix) + 1 : -4] for name in names]
    return sorted(int(text) for text in digits if text.isascii() and text.isdigit())


def require_fit(length: int, size: int) -> None:
    """Raise StoreError when a payload is too large for any segment of a log."""
    if HEADER_SIZE + HEAD_SIZE + length > size:
        raise StoreError(f"a record of {length} bytes does not fit a segment of {size} bytes")
