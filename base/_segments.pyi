"""Appending to one mapped segment: the path that runs once a message.

The order of the stores is the point: payload, then the head with its CRC, then the committed word.
"""

import mmap
from collections.abc import Callable

from typing_extensions import Buffer

def crc32(data: Buffer, value: int = 0) -> int:
    """As zlib.crc32."""

def read_record(mapped: Buffer, offset: int, seed: int) -> tuple[int, int, bytes, int] | None:
    """(index, type, payload, end) of the record at `offset`; None where none matches its CRC."""

def scan(mapped: Buffer, offset: int, until: int, index: int, seed: int, kinds: int) -> tuple[list[int], int, int, int]:
    """Check records from `offset`, where `index` is due, up to `until` or to where none is as it was written.

    Returns the offsets of those whose type is one of the bits of `kinds`, the offset of the last one (0: none), the
    offset after it, and the next index.
    """

class Appender:
    """Base of SegmentWriter, which gives it `rotate`, `path` and `_prepare_spare`."""

    number: int
    """Number of the segment that is written to; with `last_offset` the place of the last record."""
    next_index: int
    last_offset: int
    """Where the last record lies in its segment."""
    _end: int
    _tried_spare: bool
    _hook: Callable[[str], object] | None
    """None, or called with the name of each boundary at which a crash leaves another state on disk."""

    def _use(self, mapped: mmap.mmap, number: int, seed: int) -> None:
        """Append to this segment from now on."""
    def _leave(self) -> None:
        """Let go of the map, so that it can be closed; appending then rotates first."""
    def append(self, kind: int, payload: Buffer) -> int:
        """Append a record of type `kind` (1 to 2^32-1) and return its index.

        Raises StoreError when it does not fit a segment, or when the space set aside is used up too.
        """
