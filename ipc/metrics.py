"""Metrics of a process in shared memory: one file, one writer, any number of readers. Layout: docs/metrics.md.

A process declares what it counts, then calls `seal`, which makes the file (SHM_DIR/metrics/PROCESS) with exactly that
and a bounded number of places to spare. Until then, and where no file is wanted, instruments count in memory of their
own.
"""

import os
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from base.clock import SystemClock
from base.errors import RegionError
from base.histogram import edge_of
from ipc._metrics import Cells, Counter, Gauge, Histogram, Stamp
from ipc._words import boot_id
from ipc.metrics_catalog import Kind, metric

__all__ = [
    "Counter", "Gauge", "Histogram", "MetricsFile", "MetricsReader", "Reading", "Sample", "Stamp", "metrics_path",
    "read_process",
]  # fmt: skip

MAGIC: Final = 0x3152544D4451  # "QDMTR1" little-endian
LAYOUT: Final = 1
HEADER: Final = 16  # words
# Header words.
_MAGIC, _LAYOUT, _WORDS, _BOOT_LOW, _BOOT_HIGH, _STARTED, _PID, _STATE = range(8)
_USED, _DATA, _BOOKED = 10, 11, 13  # 8: first word of the directory, 9: its words, 12: words of data
OPEN, CLOSED = 1, 2
SPARE: Final = 256  # counters and gauges that may be declared after `seal`
_SPARE_ENTRY: Final = 24  # words of directory for each
_BITS: Final = 2
MOST_WORDS: Final = 1 << 20  # of a file: 8 MiB

Labels = tuple[tuple[str, str], ...]
_ORDER: Final = (Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM)  # in the directory: 0, 1, 2
_MADE: Final[tuple[type, ...]] = (Counter, Gauge, Histogram)
_encode: Final = msgspec.msgpack.Encoder().encode

AnyInstrument = Counter | Gauge | Histogram
One = TypeVar("One", Counter, Gauge, Histogram)


def metrics_path(shm_dir: Path, process: str) -> Path:
    """Where a process's metrics stand."""
    return shm_dir / "metrics" / process


class Reading(msgspec.Struct, frozen=True):
    """A copy of a histogram: durations in ns, how many fell into each bucket of base.histogram (4 an octave)."""

    sum_ns: int
    largest_ns: int
    buckets: tuple[int, ...]

    @property
    def count(self) -> int:
        return sum(self.buckets)

    def percentile(self, percent: float) -> int:
        """Upper edge in ns of the bucket in which that share of all durations is reached; 0 when there are none."""
        wanted, seen = self.count * percent / 100, 0
        for bucket, n in enumerate(self.buckets):
            seen += n
            if n and seen >= wanted:
                return min(edge_of(bucket, _BITS), self.largest_ns)
        return 0

    def since(self, older: "Reading") -> "Reading":
        """What came after an older reading of the same file; its `largest_ns` is still that of all."""
        counts = zip(self.buckets, older.buckets, strict=True)
        return Reading(
            max(0, self.sum_ns - older.sum_ns), self.largest_ns, tuple(max(0, now - was) for now, was in counts)
        )

    def up_to(self) -> Iterator[tuple[int, int]]:
        """(largest duration in ns, durations up to it) for each bucket that something fell into."""
        seen = 0
        for bucket, n in enumerate(self.buckets):
            if n:
                seen += n
                yield edge_of(bucket, _BITS), seen


class Sample(msgspec.Struct, frozen=True):
    """A metric of one process with its labels. `value`: of a counter or gauge; of a histogram, how many durations."""

    name: str
    kind: Kind
    labels: dict[str, str]
    value: float
    histogram: Reading | None = None


class _Entry(msgspec.Struct, array_like=True, frozen=True):
    """One entry of the directory, as MessagePack behind a word with its bytes."""

    kind: int
    name: str
    at: int
    labels: Labels


class MetricsFile:
    """The writer's side. Asked again for the same metric and labels, it answers the same instrument."""

    def __init__(self, path: str | PathLike[str], *, spare: int = SPARE) -> None:
        """`spare`: how many counters and gauges may be declared after `seal`."""
        self.path = Path(path)
        self._spare = spare
        self._found: dict[tuple[str, Labels], AnyInstrument] = {}
        self._cells: Cells | None = None
        self._data = self._room = self._booked = 0  # first word of data, words of data, words that are taken
        self._used = self._directory_words = 0

    def counter(self, name: str, /, **labels: str) -> Counter:
        """RegionError for a metric that the catalogue does not have so, or when there is no room for it any more."""
        return self._get(Counter, Kind.COUNTER, name, labels)

    def gauge(self, name: str, /, **labels: str) -> Gauge:
        """As `counter`."""
        return self._get(Gauge, Kind.GAUGE, name, labels)

    def histogram(self, name: str, /, **labels: str) -> Histogram:
        """As `counter`; only before `seal`."""
        return self._get(Histogram, Kind.HISTOGRAM, name, labels)

    def seal(self, wall_ns: int = 0) -> None:
        """Make the file, in place of that of the process before. RegionError: no room, or too much was declared."""
        entries, at = [], 0
        for (name, labels), instrument in sorted(self._found.items(), key=lambda item: -item[1].words()):
            entries.append((_entry(instrument, name, at, labels), instrument, at))
            at += instrument.words()
        directory = b"".join(entry for entry, _, _ in entries)
        used = len(directory) // 8
        self._directory_words = used + self._spare * _SPARE_ENTRY
        self._data = -(-(HEADER + self._directory_words) // 8) * 8  # histograms begin at a cache line
        self._room, self._booked, self._used = at + self._spare, at, used
        words = self._data + self._room
        if words > MOST_WORDS:
            raise RegionError(f"{self.path}: {len(entries)} metrics take {words} words, at most {MOST_WORDS}")
        boot = boot_id()
        header = [
            MAGIC, LAYOUT, words, boot & (1 << 64) - 1, boot >> 64, wall_ns or SystemClock.wall_ns(), os.getpid(), OPEN,
            HEADER, self._directory_words, used, self._data, self._room, at, 0, 0,
        ]  # fmt: skip
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise RegionError(f"{self.path.parent}: cannot be made: {e.strerror}") from None
        head = b"".join(word.to_bytes(8, "little") for word in header) + directory
        cells, made = Cells.create(self.path, head, words)
        for _, instrument, index in entries:
            instrument.attach(cells, self._data + index)
        try:
            os.replace(made, self.path)
        except OSError as e:
            raise RegionError(f"{self.path}: cannot be replaced: {e.strerror}") from None
        self._cells = cells

    def close(self) -> None:
        """The process ends in order: readers show nothing of it any more."""
        if self._cells is not None:
            self._cells.store(_STATE, CLOSED)

    def _get(self, make: type[One], kind: Kind, name: str, labels: dict[str, str]) -> One:
        known = metric(name)
        if known is None or known.kind is not kind or set(known.labels) != set(labels):
            says = f"{known.kind} {known.labels}" if known else "no such metric"
            raise RegionError(f"{self.path}: {kind} {name} {sorted(labels)}: the catalogue has {says}")
        key = (known.name, tuple((label, labels[label]) for label in known.labels))
        found = self._found.get(key)
        if not isinstance(found, make):
            found = make()
            if self._cells is not None:
                self._append(self._cells, found, *key)
            self._found[key] = found
        return found

    def _append(self, cells: Cells, instrument: AnyInstrument, name: str, labels: Labels) -> None:
        """One more after the file was made: its words first, its entry next, what readers look at last."""
        entry = _entry(instrument, name, self._booked, labels)
        words = len(entry) // 8
        late = isinstance(instrument, Histogram)
        if late or self._booked == self._room or self._used + words > self._directory_words:
            why = "histograms are declared before the file is made" if late else "its places to spare are taken"
            raise RegionError(f"{self.path}: {name} {dict(labels)}: {why} ({self._spare} counters and gauges)")
        instrument.attach(cells, self._data + self._booked)
        for i in range(words):
            cells.store(HEADER + self._used + i, int.from_bytes(entry[8 * i : 8 * i + 8], "little"))
        self._booked += instrument.words()
        self._used += words
        cells.store(_BOOKED, self._booked)
        cells.store(_USED, self._used)


def _entry(instrument: AnyInstrument, name: str, at: int, labels: Labels) -> bytes:
    raw = _encode(_Entry(_MADE.index(type(instrument)), name, at, labels))
    return len(raw).to_bytes(8, "little") + raw + b"\0" * (-len(raw) % 8)


class MetricsReader:
    """Reads one file again and again; notices when it was replaced. `pid` and `started_ns` are its writer's."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self.pid = self.started_ns = 0
        self._cells: Cells | None = None
        self._used = self._data = 0
        self._entries: list[tuple[_Entry, dict[str, str]]] = []

    def samples(self) -> list[Sample]:
        """Every metric. RegionError: no file, a foreign one, or one whose writer ended in order."""
        cells = self._open()
        if cells.load(_STATE) != OPEN:
            raise RegionError(f"{self.path}: its process has ended")
        used = cells.load(_USED)
        if used != self._used:
            self._read_directory(cells, used)
        return [self._sample(cells, entry, labels) for entry, labels in self._entries]

    def _sample(self, cells: Cells, entry: _Entry, labels: dict[str, str]) -> Sample:
        at, kind = self._data + entry.at, _ORDER[entry.kind]
        if kind is Kind.HISTOGRAM:
            total, largest, buckets = cells.histogram(at)
            reading = Reading(total, largest, tuple(buckets))
            return Sample(entry.name, kind, labels, reading.count, reading)
        if kind is Kind.COUNTER:
            known = metric(entry.name)
            value = cells.load(at) / (known.per_unit if known is not None else 1)
        else:
            value = cells.load_double(at)
        return Sample(entry.name, kind, labels, value)

    def _open(self) -> Cells:
        try:
            stat = self.path.stat()
        except OSError as e:
            self._cells = None
            raise RegionError(f"{self.path}: {e.strerror}") from None
        if self._cells is None or (stat.st_ino, stat.st_dev) != (self._cells.inode, self._cells.device):
            self._cells, self._used, self._entries = None, 0, []
            cells = Cells.open(self.path)
            _verify(cells)
            self.pid, self.started_ns, self._data = cells.load(_PID), cells.load(_STARTED), cells.load(_DATA)
            self._cells = cells
        return self._cells

    def _read_directory(self, cells: Cells, used: int) -> None:
        at, end = HEADER, HEADER + used
        self._entries = []
        try:
            while at < end:
                size = cells.load(at)
                entry = msgspec.msgpack.decode(cells.raw(at + 1, size), type=_Entry)
                if entry.kind >= len(_ORDER):
                    raise RegionError(f"{self.path}: word {at}: no kind {entry.kind}")
                self._entries.append((entry, dict(entry.labels)))
                at += 1 + (size + 7) // 8
        except msgspec.DecodeError as e:
            raise RegionError(f"{self.path}: word {at}: no entry of a directory: {e}") from None
        self._used = used


def _verify(cells: Cells) -> None:
    path = cells.path
    if cells.load(_MAGIC) != MAGIC:
        raise RegionError(f"{path}: magic is {cells.load(_MAGIC):#x}, expected {MAGIC:#x}")
    if cells.load(_LAYOUT) != LAYOUT:
        raise RegionError(f"{path}: layout {cells.load(_LAYOUT)}, this build reads {LAYOUT}")
    if cells.load(_WORDS) != cells.count:
        raise RegionError(f"{path}: {cells.count} words in the file, {cells.load(_WORDS)} in its header")
    boot = boot_id()
    if (cells.load(_BOOT_LOW), cells.load(_BOOT_HIGH)) != (boot & (1 << 64) - 1, boot >> 64):
        raise RegionError(f"{path}: written in another boot of this host")


def read_process(path: str | PathLike[str]) -> list[Sample]:
    """Every metric of one process's file, once. RegionError as `MetricsReader.samples`.

    A process that was killed leaves its file: whether it lives is told by its status page (ipc/readiness.py).
    """
    return MetricsReader(path).samples()
