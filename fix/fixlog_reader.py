"""Reading FIX logs: parts in order, several sessions by time, filters on raw bytes, following over rotation.

A line is `YYYYMMDD-HH:MM:SS.nnnnnnnnn <` or `>`, a space, the message (fix/fixlog.py). What is not one is told with
file and line number, and passed over; so is a last line that is not whole yet.
"""

import heapq
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SUFFIX = ".fix.log"
STAMP = 27
"""Length of the time; as bytes, times sort as they follow one another."""
_FORM = re.compile(rb"\d{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])-\d\d:\d\d:\d\d\.\d{9} [<>] 8=")
_CHUNK = 1 << 20
_TELL_AT_MOST = 20

Complain = Callable[[str], None]


class Line(NamedTuple):
    """One message of a log. `where` is `file:line`."""

    stamp: bytes
    log: str
    incoming: bool
    raw: bytes
    where: tuple[Path, int]


@dataclass(frozen=True)
class Filter:
    """What is wanted; everything unless said. Times as stamps or their beginnings, UTC."""

    since: bytes = b""
    until: bytes = b""
    msg_types: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    """Messages that have one of these as ClOrdID(11), OrigClOrdID(41), OrderID(37) or the like."""

    numbers: frozenset[int] = frozenset()
    """Messages that have one of these as MsgSeqNum(34) or RefSeqNum(45)."""

    def pattern(self) -> "re.Pattern[bytes] | None":
        """Types, ids and numbers as one expression over the line; None when all pass."""
        parts = []
        if self.msg_types:
            parts.append(rb"(?=.*?\x0135=(?:%s)\x01)" % any_of(self.msg_types))
        if self.ids:
            parts.append(rb"(?=.*\x01(?:11|41|37|379|198)=(?:%s)\x01)" % any_of(self.ids))
        if self.numbers:
            parts.append(rb"(?=.*?\x01(?:34|45)=(?:%s)\x01)" % any_of(map(str, self.numbers)))
        return re.compile(b"".join(parts), re.DOTALL) if parts else None

    def in_time(self, stamp: bytes) -> bool:
        """`until` is not part of the span."""
        return stamp >= self.since and (not self.until or stamp < self.until)


def any_of(ids: Iterable[str]) -> bytes:
    """An expression for one of several ids."""
    return b"|".join(re.escape(i.encode()) for i in sorted(ids))


class Tally:
    """What was read, and what could not be. `tell` hears of the first few bad lines, with their places."""

    def __init__(self, tell: Complain) -> None:
        self.lines = self.bytes = self.bad = 0
        self._tell = tell

    def complain(self, path: Path, number: int, what: str) -> None:
        """One line that is none."""
        self.bad += 1
        if self.bad <= _TELL_AT_MOST:
            self._tell(f"{path}:{number}: {what}, skipped")


class _Part:
    """One file, read piece by piece; what is after the last line feed waits for more."""

    def __init__(self, path: Path, log: str, tally: Tally, wanted: Filter) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.inode = os.fstat(self.fd).st_ino
        self._path, self._log, self._tally, self._wanted = path, log, tally, wanted
        self._pattern = wanted.pattern()
        self._rest = b""
        self._number = 0

    def read(self) -> Iterator[Line]:
        """The wanted lines up to the present end of the file."""
        while piece := os.read(self.fd, _CHUNK):
            self._tally.bytes += len(piece)
            lines = (self._rest + piece).split(b"\n")
            self._rest = lines.pop()
            yield from self._lines(lines)

    def close(self, ended: bool = True) -> None:
        """`ended`: nothing will follow, so that half a line stays one."""
        if self._rest and ended:
            self._tally.complain(self._path, self._number + 1, "the last line is cut off")
        os.close(self.fd)

    def _lines(self, lines: list[bytes]) -> Iterator[Line]:
        since, until, pattern = self._wanted.since, self._wanted.until, self._pattern
        self._tally.lines += len(lines)
        for text in lines:
            self._number += 1
            # The check of the form comes first: a filter must not hide that a log is damaged.
            if not _FORM.match(text) or text[-1:] != b"\1":
                self._tally.complain(self._path, self._number, "not a line of a FIX log")
                continue
            if text < since or (until and text >= until):
                continue
            if pattern is None or pattern.match(text, 30):
                where = (self._path, self._number)
                yield Line(text[:STAMP], self._log, text[28:29] == b"<", text[30:], where)


class Log:
    """The parts of one log, oldest first, and then what is appended."""

    def __init__(self, path: Path, tally: Tally, wanted: Filter) -> None:
        """`path` is the newest part, `<name>.fix.log`."""
        self.name = path.name.removesuffix(SUFFIX)
        self._path, self._tally, self._wanted = path, tally, wanted
        self._open: list[_Part] = []
        self._last: _Part | None = None

    def read(self, follow: bool = False) -> Iterator[Line]:
        """All of it up to now. With `follow` the newest part stays open for `more`."""
        self._open = self._parts()
        while self._open:
            part = self._open.pop(0)
            yield from part.read()
            if self._open or not follow:
                part.close()
            else:
                self._last = part

    def more(self) -> Iterator[Line]:
        """What was appended since, over a rotation too."""
        if self._last is None:
            yield from self.read(follow=True)
            return
        yield from self._last.read()
        if self._rotated():
            yield from self._last.read()  # what came between the two looks
            yield from self._onward(self._last)

    def close(self) -> None:
        """Let go of the files."""
        for part in [*self._open, *([self._last] if self._last else [])]:
            part.close(ended=False)
        self._open, self._last = [], None

    def _rotated(self) -> bool:
        assert self._last is not None
        try:
            return self._path.stat().st_ino != self._last.inode
        except FileNotFoundError:
            return False  # between the renaming of the old and the making of the new

    def _onward(self, read: _Part) -> Iterator[Line]:
        parts = self._parts()
        newer = next((n + 1 for n, part in enumerate(parts) if part.inode == read.inode), 0)
        if not newer:
            self._tally.complain(self._path, 0, "parts were rotated away before they were read: lines may be missing")
        read.close()
        for old in parts[:newer]:
            os.close(old.fd)
        self._open, self._last = parts[newer:], None
        while self._open:
            part = self._open.pop(0)
            yield from part.read()
            if self._open:
                part.close()
            else:
                self._last = part

    def _parts(self) -> list[_Part]:
        """All parts, opened, oldest first; anew when a rotation came between."""
        for _ in range(10):
            parts = self._opened()
            inodes = [part.inode for part in parts]
            if len(set(inodes)) == len(inodes) and self._newest_is(inodes):
                return parts
            for part in parts:
                os.close(part.fd)
        raise OSError(f"{self._path}: rotates faster than it can be opened")

    def _opened(self) -> list[_Part]:
        older = [p for p in self._path.parent.glob(f"{self._path.name}.*") if p.suffix[1:].isdigit()]
        paths = [*sorted(older, key=lambda p: -int(p.suffix[1:])), self._path]
        parts = []
        for path in paths:
            try:
                parts.append(_Part(path, self.name, self._tally, self._wanted))
            except FileNotFoundError:
                continue
        return parts

    def _newest_is(self, inodes: list[int]) -> bool:
        try:
            newest = self._path.stat().st_ino
        except FileNotFoundError:  # not there yet, or not made anew yet: it will be found to be another one
            return True
        return inodes[-1:] == [newest]


def logs_in(folder: Path) -> list[Path]:
    """The newest part of each log there, by name."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def merged(logs: Iterable[Log]) -> Iterator[Line]:
    """The lines of several logs by time; of equal times in the order of the logs."""
    return heapq.merge(*(log.read() for log in logs), key=lambda line: line.stamp)


class Follower:
    """Several logs as they grow. What was written in the last moments waits, so that logs come in one order of time."""

    def __init__(self, logs: Iterable[Log]) -> None:
        self._logs = list(logs)
        self._waiting: list[Line] = []

    def add(self, log: Log) -> None:
        """One that was not there before."""
        self._logs.append(log)

    def turn(self, settled: bytes) -> list[Line]:
        """Lines of before `settled` that are new, by time."""
        for log in self._logs:
            self._waiting.extend(log.more())
        self._waiting.sort(key=lambda line: line.stamp)
        ready = [line for line in self._waiting if line.stamp < settled]
        del self._waiting[: len(ready)]
        return ready

    def close(self) -> None:
        """Let go of the files."""
        for log in self._logs:
            log.close()
