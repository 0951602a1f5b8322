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

@final
class RowSums:
    """Exact sums over exposure rows, by index; 128 bits each."""

    def add(self, many: int = 1) -> int:
        """New sums of 0 in a row: the index of the first."""
    def value(self, i: int) -> int: ...

@final
class RowShare:
    """What one exposure row adds to sums. `held` are the first of three: position, working buys, working sells.

    Quantities are multiplied by `unit`, so that rows of different scales add up.
    """

    def __init__(
        self, sums: RowSums, unit: int, counts: Sequence[int], held: Sequence[int], gross: Sequence[int]
    ) -> None: ...
    def now(self, open_orders: int, buys: int, sells: int, position: int, notional: int) -> None:
        """The row says this now; `notional` of working orders and position. OverflowError beyond 64 bits."""

@final
class RowPage:
    """The rows of one status page, each taken in anew when its version changed. Indexes are those of data words."""

    def __init__(self, words: Words, first: int, stride: int, rows_at: int, moved_at: int) -> None: ...
    def refresh(self) -> int:
        """Take in what the page's own word says has changed; 1 when a row wants placing (`strange`)."""
    def scan(self) -> int:
        """Take in every row that changed, whatever that word says; 1 when a row wants placing."""
    def strange(self) -> list[int]:
        """Rows without a share, or of another instrument than their share was placed for."""
    def place(self, i: int, identity: bytes, share: RowShare) -> None:
        """Row i, while its first 72 bytes are `identity`, adds to that share's sums."""

@final
class RowLimits:
    """Limits on sums: (sum, limit) pairs; `held` pairs name the first of three sums. Quantities times `unit`."""

    def __init__(
        self,
        sums: RowSums,
        unit: int,
        counts: Sequence[tuple[int, int]],
        gross: Sequence[tuple[int, int]],
        held: Sequence[tuple[int, int]],
    ) -> None: ...
    def over(self, buys: bool, qty: int, worth: int, orders: int) -> int:
        """Which limit (counts, then gross, then held) so much more would pass; -1 when none. 0 asks for nothing."""
