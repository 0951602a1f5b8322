"""Looking at a segment log without touching it: what its files hold and where damage is. The writer may live."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from base.errors import CorruptError
from base.segment_file import HEADER_SIZE, Found, Segment, segment_numbers, segment_path

SET_ASIDE = "damaged"  # folders of this name hold what was moved away, and are not looked into
SEGMENT_GLOB = "*-" + "[0-9]" * 10 + ".seg"


@dataclass
class FileReport:
    """One file. `damage`: what is wrong and where; `records` counts those before it, `used` their bytes."""

    path: Path
    number: int
    size: int = 0
    begun: bool = False
    sealed: bool = False
    first_index: int = 0
    next_index: int = 0
    log_id: int = 0
    records: int = 0
    used: int = 0
    committed: int = 0
    damage: str = ""


@dataclass
class LogReport:
    """A log: its files in order, and whoever holds its lock (0: nobody)."""

    folder: Path
    prefix: str
    writer_pid: int = 0
    files: list[FileReport] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def damage(self) -> list[str]:
        """All that is wrong, each with file and offset; empty when every byte that counts is as it was written."""
        return [*self.missing, *(f.damage for f in self.files if f.damage)]

    @property
    def records(self) -> int:
        """Records that are whole."""
        return sum(f.records for f in self.files)


def find_logs(place: Path) -> list[tuple[Path, str]]:
    """Folder and prefix of every log in `place` and below it."""
    found = {(path.parent, path.name[:-15]) for path in place.rglob(SEGMENT_GLOB)}
    return sorted((folder, prefix) for folder, prefix in found if SET_ASIDE not in folder.relative_to(place).parts)


def inspect(folder: Path, prefix: str) -> LogReport:
    """Check every record of a log against its checksum. Opens nothing for writing, takes no lock."""
    report = LogReport(folder, prefix, holder_pid(folder / f"{prefix}.lock"))
    numbers = segment_numbers(folder, prefix)
    before: FileReport | None = None
    for number in numbers:
        if before is not None and number != before.number + 1:
            report.missing.append(f"{segment_path(folder, prefix, before.number + 1)}: missing between its neighbours")
        try:
            found = _inspect_file(segment_path(folder, prefix, number), number)
        except FileNotFoundError:
            continue  # dropped with age while we looked
        _compare(found, before, last=number == numbers[-1])
        report.files.append(found)
        before = found
    for file in report.files[:-2]:
        if file.begun and not file.sealed and not file.damage:
            file.damage = f"{file.path}: offset 120: not sealed, but others follow"
    return report


@contextmanager
def opened(path: Path) -> Iterator[Segment]:
    """The file mapped for reading."""
    segment = Segment.open(path, writable=False)
    try:
        yield segment
    finally:
        segment.close()


def whole_records(file: FileReport) -> Iterator[Found]:
    """The records of a file that match their checksums, in order, also those beyond damage.

    None when the file was dropped since, or when its header is damaged, which the checksums begin with.
    """
    if not file.begun or not file.log_id:
        return
    try:
        with opened(file.path) as segment:
            yield from _whole(segment, file)
    except FileNotFoundError:
        return


def _whole(segment: Segment, file: FileReport) -> Iterator[Found]:
    offset, index = HEADER_SIZE, file.first_index
    while offset < min(file.committed, segment.size) and segment.still(file.number):
        found = segment.record_at(offset, None)
        if found is None or found.record.index < index:
            offset += 8  # every record begins at a multiple of 8
            continue
        yield found
        offset, index = found.end, found.record.index + 1


def holder_pid(lock: Path) -> int:
    """Who holds the lock, by the kernel's own list; 0: nobody. The lock itself is not tried."""
    try:
        inode = lock.stat().st_ino
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return 0
    held = [line.split() for line in lines if "FLOCK" in line]
    return next((int(words[-4]) for words in held if words[-3].rpartition(":")[2] == str(inode)), 0)


def _inspect_file(path: Path, number: int) -> FileReport:
    report = FileReport(path, number, os.stat(path).st_size)
    try:
        with opened(path) as segment:
            if segment.begun:
                _scan(segment, report)
    except CorruptError as error:
        report.begun, report.damage = True, str(error)
    return report


def _scan(segment: Segment, report: FileReport) -> None:
    report.begun, report.sealed, report.log_id = True, segment.sealed, segment.log_id
    report.first_index = segment.first_index
    committed = report.committed = segment.committed
    scanned = segment.scan((), min(committed, segment.size))
    report.next_index, report.used = scanned.next_index, scanned.end
    report.records = scanned.next_index - segment.first_index
    if not segment.still(segment.number):
        report.begun = False  # taken for another part of the log while we looked
    elif segment.number != report.number:
        report.damage = f"{segment.path}: offset 16: says that it is segment {segment.number}"
    elif scanned.end < committed:
        report.damage = str(segment.corrupt_at(scanned.end, scanned.next_index))


def _compare(found: FileReport, before: FileReport | None, *, last: bool) -> None:
    """A file beside the one before it."""
    if not found.begun:
        if not last and not found.damage:
            found.damage = f"{found.path}: offset 120: not begun, but another follows it"
        return
    if found.damage or before is None or not before.begun or before.number + 1 != found.number or not before.log_id:
        return
    if found.log_id != before.log_id:
        text = f"of log {found.log_id}, the segment before it is of log {before.log_id}"
        found.damage = f"{found.path}: offset 40: {text}"
    elif not before.damage and found.first_index != before.next_index:
        found.damage = f"{found.path}: offset 24: begins with record {found.first_index}, {before.next_index} is due"
