"""Counters, gauges and histograms written in nanoseconds: plain 64-bit stores into words that other processes map.

An instrument has words of its own until `attach` gives it those of a file; what was counted before is carried over. One
process writes it, with the interpreter's lock held; any number read the file meanwhile.
"""

from collections.abc import Callable
from os import PathLike
from typing import final

HISTOGRAM_WORDS: int
N_BUCKETS: int  # base.histogram's with 4 an octave, for durations up to 2^63 - 1 ns

@final
class Cells:
    """The words of one mapped file."""

    count: int
    path: str
    inode: int
    device: int

    @staticmethod
    def create(path: str | PathLike[str], head: bytes, words: int, *, mode: int = 0o640) -> tuple[Cells, str]:
        """A file of `words` words beginning with `head`, allocated in full, beside `path`: who calls this renames it.

        RegionError: no room, or it cannot be made.
        """
    @staticmethod
    def open(path: str | PathLike[str]) -> Cells:
        """For reading. RegionError when it is missing or too small."""
    def load(self, index: int) -> int: ...
    def load_double(self, index: int) -> float: ...
    def store(self, index: int, value: int) -> None: ...
    def raw(self, index: int, size: int) -> bytes:
        """`size` bytes from word `index` on."""
    def histogram(self, index: int) -> tuple[int, int, list[int]]:
        """(sum, largest, count of each bucket) of the histogram that begins there.

        All of one moment, unless observations came in during each of four reads: then each bucket is one of a moment
        during the last read, and the sum may lack, or have too many, those few. No later read shows less in a bucket.
        """

class Instrument:
    """What counts something."""

    @staticmethod
    def words() -> int:
        """How many words it takes."""
    def attach(self, cells: Cells, index: int) -> None:
        """Go on in the words of a file. RegionError when it was attached before."""

@final
class Counter(Instrument):
    """A number that only rises."""

    def add(self, n: int = 1) -> None: ...
    def set(self, total: int) -> None:
        """Take over a total that somebody else counts; one that is less changes nothing."""
    @property
    def value(self) -> int: ...

@final
class Gauge(Instrument):
    """A number that goes up and down."""

    def set(self, value: float) -> None: ...
    @property
    def value(self) -> float: ...

@final
class Stamp:
    """A moment from which durations are counted, of the monotonic clock."""

    def mark(self) -> None:
        """Now."""
    def clear(self) -> None:
        """No moment: nothing is counted from it."""
    @property
    def ns(self) -> int:
        """Of the monotonic clock; 0 before the first mark."""

@final
class Histogram(Instrument):
    """Durations in ns, 4 buckets an octave."""

    def record(self, ns: int) -> None:
        """Count one duration; negative ones (clocks that disagree) count as 0."""
    def since(self, stamp: Stamp) -> None:
        """Count the time since the stamp was marked; nothing when it was not."""
    def since_ns(self, began_ns: int) -> None:
        """Count the time since a moment of the monotonic clock."""
    @property
    def count(self) -> int: ...
    def reading(self) -> tuple[int, int, list[int]]:
        """As Cells.histogram."""

@final
class CountedWrite:
    """Hands bytes on to `write` and counts those that it took without an error."""

    def __init__(self, write: Callable[[bytes], object], counter: Counter) -> None: ...
    def __call__(self, data: bytes) -> object: ...
