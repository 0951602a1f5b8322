"""An audit trail on the disk: lines of JSON, each with the hash of the one before, and an anchor that names the last.

The chain shows what was changed or taken out; the anchor, which is written after the lines are on the disk, shows what
is missing at the end. A line that a power cut tore lies behind the anchor; a line that somebody removed does not.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

FILE_BYTES = 8 * 1024 * 1024
GENESIS: Final = "0" * 64
SLOT_BYTES: Final = 256
Line: TypeAlias = tuple[int, int, str, dict[str, object]]  # UTC ns, monotonic ns, event, facts
Head: TypeAlias = tuple[int, str]  # sequence number and hash of a line
_MARK: Final = b',"hash":"'


class AuditLine(msgspec.Struct, frozen=True):
    """One line, as `body` is decoded."""

    seq: int
    ts_ns: int
    event: str
    facts: dict[str, object]
    prev: str
    hash: str
    mono_ns: int = 0


_decode = msgspec.json.Decoder(AuditLine).decode


def read_line(line: bytes) -> AuditLine | None:
    """A line whose hash fits its content, else None."""
    body, mark, tail = line.rpartition(_MARK)
    if not mark or tail != hashlib.sha256(body + b"}").hexdigest().encode() + b'"}':
        return None
    try:
        return _decode(line)
    except msgspec.DecodeError:
        return None


def encode_line(seq: int, prev: str, line: Line) -> tuple[bytes, str]:
    """(the line with its end, its hash)."""
    ts_ns, mono_ns, event, facts = line
    fields = {"seq": seq, "ts_ns": ts_ns, "mono_ns": mono_ns, "event": event, "facts": facts, "prev": prev}
    try:
        body = msgspec.json.encode(fields)
    except (TypeError, ValueError, OverflowError, RecursionError):  # no line is dropped for what it holds
        body = msgspec.json.encode({**fields, "facts": {"as_text": repr(facts)}})
    digest = hashlib.sha256(body).hexdigest()
    return body[:-1] + _MARK + digest.encode() + b'"}\n', digest


def trail_files(folder: Path, stem: str = "audit") -> list[Path]:
    """The files of a trail, oldest first."""
    return sorted(p for p in folder.glob(f"{stem}-*.jsonl") if p.stem.removeprefix(f"{stem}-").isdecimal())


def file_number(path: Path) -> int:
    """The number in a trail file's name."""
    return int(path.stem.rpartition("-")[2])


def read_head(folder: Path, stem: str = "audit") -> Head | None:
    """The anchor: number and hash of the last line that was on the disk for sure; None when it cannot be read."""
    try:
        data = (folder / f"{stem}.head").read_bytes()
    except OSError:
        return None
    found = [h for i in (0, SLOT_BYTES) if (h := _slot(data[i : i + SLOT_BYTES])) is not None]
    return max(found, default=None)


def _slot(data: bytes) -> Head | None:
    words = data.split(b"\n")[0].split()
    if len(words) != 3 or hashlib.sha256(b" ".join(words[:2])).hexdigest().encode() != words[2]:
        return None
    return int(words[0]), words[1].decode()


class AuditFile:
    """Appends lines; goes on with the chain that it finds, and writes down what is wrong with it. One writer at a time.

    `damage` says what was found wrong when the trail was opened, `fault` that the anchor could not be written.
    """

    def __init__(self, folder: Path, stem: str = "audit") -> None:
        self.damage = ""
        self.fault = ""
        self._folder, self._stem = folder, stem
        self._seq, self._prev = 0, GENESIS
        self._number = 0
        self._fd = self._head = self._lock = -1
        self._turn = 0  # the slot of the anchor that is written next
        self._first: list[Line] = []  # what is said of the trail before the next line

    def append(self, lines: Iterable[Line]) -> None:
        """Write lines and have them on the disk. OSError: none of them counts as written; try the same again."""
        lines = list(lines)
        if self._fd >= 0 and not self._in_place():
            self._lost_place(lines[0])
        if self._fd < 0:
            self._open(lines[0])
        seq, prev, out = self._seq, self._prev, []
        for line in (*self._first, *lines):
            seq += 1
            data, prev = encode_line(seq, prev, line)
            out.append(data)
        start = os.lseek(self._fd, 0, os.SEEK_END)
        try:
            write_all(self._fd, b"".join(out))
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, start)
            raise
        self._seq, self._prev = seq, prev
        self._first = []
        self._anchor()
        if os.lseek(self._fd, 0, os.SEEK_END) > FILE_BYTES:
            self._close_file()
            self._number += 1

    def lock(self) -> None:
        """Be the one writer of this folder; OSError while another process is. Kept until `close`."""
        if self._lock >= 0:
            return
        fd = os.open(self._folder / f"{self._stem}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise BlockingIOError(11, "another process writes this trail", str(self._folder)) from None
        self._lock = fd

    def close(self) -> None:
        """Close the files and give up the lock."""
        self._close_file()
        for fd in (self._head, self._lock):
            if fd >= 0:
                os.close(fd)
        self._head = self._lock = -1

    # -- opening ----------------------------------------------------------------------------------------------------

    def _open(self, line: Line) -> None:
        """Take the lock, and find the place to go on. `line` lends its time to what has to be said."""
        self.lock()
        if not self._number:
            self._find_end(line)
        path = self._folder / f"{self._stem}-{self._number:06d}.jsonl"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _find_end(self, line: Line) -> None:
        """The last sound line, and whether that is the one that was written last."""
        files, head = trail_files(self._folder, self._stem), read_head(self._folder, self._stem)
        self._number = file_number(files[-1]) if files else 1
        sound, rest = (0, GENESIS), 0
        for path in reversed(files):
            found, end = _sound_part(path)
            size = path.stat().st_size
            if path == files[-1]:
                rest = size - end
            if found is not None:
                sound = found
                break
        self._seq, self._prev = sound
        if head is not None and head[0] > sound[0]:
            self._damaged(line, f"lines {sound[0] + 1} to {head[0]} are missing or unreadable", head)
            return
        if head is None and sound[0]:
            self._damaged(line, "the anchor is missing: lines may be missing at the end", sound)
            return
        if rest:
            # Behind the anchor: it never counted as written.
            torn = files[-1].read_bytes()[-rest:]
            self._first = [(*line[:2], "torn line", {"bytes": rest, "sha256": hashlib.sha256(torn).hexdigest()})]
            os.truncate(files[-1], files[-1].stat().st_size - rest)

    def _damaged(self, line: Line, what: str, head: Head) -> None:
        """Go on in a new file, behind what was there: the hole stays to be seen, what is left stays as it is."""
        self.damage = f"{self._folder}: {what}"
        self._number += 1
        self._seq, self._prev = head
        self._first = [(*line[:2], "trail damaged", {"what": what})]

    def _in_place(self) -> bool:
        try:
            there = os.stat(self._folder / f"{self._stem}-{self._number:06d}.jsonl")
        except OSError:
            return False
        mine = os.fstat(self._fd)
        return (there.st_ino, there.st_dev) == (mine.st_ino, mine.st_dev)

    def _lost_place(self, line: Line) -> None:
        """Somebody removed or replaced the file under our hands."""
        self.close()
        self._damaged(line, f"{self._stem}-{self._number:06d}.jsonl was removed or replaced", (self._seq, self._prev))

    # -- the anchor -------------------------------------------------------------------------------------------------

    def _anchor(self) -> None:
        """Two slots in turn: one that a power cut tears leaves the other, which is older and as true."""
        try:
            if self._head < 0:
                self._head = os.open(self._folder / f"{self._stem}.head", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            text = f"{self._seq} {self._prev}".encode()
            slot = text + b" " + hashlib.sha256(text).hexdigest().encode() + b"\n"
            os.pwrite(self._head, slot.ljust(SLOT_BYTES), SLOT_BYTES * self._turn)
            os.fdatasync(self._head)
            self._turn ^= 1
            self.fault = ""
        except OSError as e:
            self.fault = f"{self._folder / self._stem}.head: {e.strerror}"

    def _close_file(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def write_all(fd: int, data: bytes) -> None:
    """Write all of it, however many calls that takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _sound_part(path: Path) -> tuple[Head | None, int]:
    """(last line of the file's sound beginning, where that ends)."""
    data, at, head = path.read_bytes(), 0, None
    while (end := data.find(b"\n", at)) >= 0:
        line = read_line(data[at:end])
        if line is None or (head is not None and (line.prev, line.seq) != (head[1], head[0] + 1)):
            break
        head, at = (line.seq, line.hash), end + 1
    return head, at
