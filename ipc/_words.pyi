"""Memory-mapped files of 64-bit words with atomic loads (acquire) and stores (release).

File: 8 header words (magic "QDWRDS1", layout, kind as up to 8 ASCII bytes, number of data words, boot id low and high,
UTC ns of creation, 0), then the data words, all little-endian uint64. Indexes below count data words from 0.
A record is (version, bytes, data...): its version is odd while its one writer is inside.
"""

from collections.abc import Sequence
from os import PathLike
from typing import final

HEADER_WORDS: int
LAYOUT_VERSION: int

def boot_id() -> int:
    """This boot of the host, 128 bits."""

@final
class Words:
    """One mapped file. RegionError when it is missing, foreign, of another size, layout or boot."""

    count: int
    writable: bool
    fresh: bool  # made by this call; False when an older file was taken over with its contents
    path: str
    inode: int
    device: int
    created_ns: int

    @staticmethod
    def create(path: str | PathLike[str], kind: str, count: int, *, mode: int = 0o640, fresh: bool = False) -> Words:
        """Take over the file if it fits (readers then keep their mapping), else make it anew and rename it in place."""
    @staticmethod
    def open(path: str | PathLike[str], kind: str, *, writable: bool = False) -> Words: ...
    def load(self, index: int) -> int:
        """Acquire."""
    def store(self, index: int, value: int) -> int:
        """Release. RegionError when opened for reading only."""
    def add(self, index: int, value: int) -> int:
        """Add and answer the sum, atomically."""
    def fence(self) -> None:
        """Full barrier: earlier stores are visible before later loads."""
    def write_record(self, index: int, capacity: int, data: bytes) -> None:
        """Write a record of `capacity` words at `index`; one writer only."""
    def read_record(self, index: int, capacity: int) -> bytes | None:
        """A consistent copy, or None when the writer stays inside (it was stopped or killed there)."""

@final
class GateCheck:
    """The gate words that apply to one order, read together."""

    def __init__(
        self,
        gate: Words,
        operator: Words,
        lease: int,
        version: int,
        seen_version: int,
        open_state: int,
        indexes: Sequence[int],
    ) -> None: ...
    def closed(self, mono_ns: int) -> int:
        """0 open; 1 table changed, look up again; 2 lease lapsed; 3 operator word set; 4+i word i is not open."""
