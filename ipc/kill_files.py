"""The kill switch's files: the latch and the audit trail, written by a thread of their own.

A trip waits for no disk: the loop hands over bytes and goes on; a hung or full disk shows as a fault, and what is
pending is tried again until it is written. Audit lines are JSON, each with the hash of the one before.
"""

import hashlib
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import msgspec

from base.clock import Clock

LATCH = "latch.json"
PENDING_LINES = 50_000  # audit lines kept for a disk that does not take them; beyond, the oldest go, and that is said
FILE_BYTES = 8 * 1024 * 1024
SLOW_NS = 1_000_000_000
_RETRY_S = 0.2
BATCH = 512  # lines that share one fsync
Line: TypeAlias = tuple[int, str, dict[str, object]]  # UTC ns, event, facts
_GENESIS = "0" * 64


def read_latch(folder: Path) -> bytes | None:
    """The latch as it lies on the disk; None when there is none. An unreadable one reads as empty."""
    try:
        return (folder / LATCH).read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        return b""


def write_latch(folder: Path, data: bytes) -> None:
    """Replace the latch: new file, fsync, rename, fsync of the directory. OSError when that fails."""
    temporary = folder / f"{LATCH}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, folder / LATCH)
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class AuditFile:
    """Appends hash-chained lines; continues the chain that it finds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seq, self._prev = 0, _GENESIS
        self._number = 0
        self._fd = -1

    def append(self, lines: Iterable[Line]) -> None:
        """Write lines and have them on the disk. OSError: none of them counts as written; try the same again."""
        if self._fd < 0:
            self._open()
        seq, prev, out = self._seq, self._prev, []
        for ts_ns, event, facts in lines:
            seq += 1
            body = msgspec.json.encode({"seq": seq, "ts_ns": ts_ns, "event": event, "facts": facts, "prev": prev})
            prev = hashlib.sha256(body).hexdigest()
            out.append(body[:-1] + b',"hash":"' + prev.encode() + b'"}\n')
        start = os.lseek(self._fd, 0, os.SEEK_END)
        try:
            _write_all(self._fd, b"".join(out))
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, start)
            raise
        self._seq, self._prev = seq, prev
        if os.lseek(self._fd, 0, os.SEEK_END) > FILE_BYTES:
            self.close()
            self._number += 1

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        files = sorted(self._folder.glob("audit-*.jsonl"))
        if files and not self._number:
            self._number = int(files[-1].stem.partition("-")[2])
        self._number = max(1, self._number)
        path = self._folder / f"audit-{self._number:06d}.jsonl"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not self._seq:
            self._seq, self._prev = _tail(files)
            _drop_torn_line(fd)
        self._fd = fd


class KillFiles:
    """The thread. `latch` and `audit` return at once; `fault` says what is wrong with the disk, if anything."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._folder, self._clock = folder, clock
        self._audit = AuditFile(folder)
        self._lines: deque[Line] = deque()
        self._latch: bytes | None = None
        self._waiting_ns = 0  # monotonic; since when something is pending
        self._error = ""
        self._lost = 0
        self._closing = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="kill files", daemon=True)
        self._thread.start()

    def latch(self, data: bytes) -> None:
        """Have the latch written; a newer one takes the place of one still pending."""
        with self._wake:
            self._latch = data
            self._note()

    def audit(self, event: str, facts: dict[str, object]) -> None:
        """Have a line appended."""
        with self._wake:
            if len(self._lines) >= PENDING_LINES:
                self._lines.popleft()
                self._lost += 1
            self._lines.append((self._clock.wall_ns(), event, facts))
            self._note()

    def fault(self) -> str:
        """What is wrong: an error that is being retried, or a disk that does not answer; "" when all is written."""
        with self._wake:
            if self._error:
                return self._error
            late_ns = self._clock.mono_ns() - self._waiting_ns if self._waiting_ns else 0
            return f"the disk has not answered for {late_ns // 1_000_000} ms" if late_ns > SLOW_NS else ""

    def close(self, timeout_s: float = 2.0) -> bool:
        """Write what is pending and stop; False when the disk did not take it in time."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive() and not self._lines and self._latch is None

    def _note(self) -> None:
        self._waiting_ns = self._waiting_ns or self._clock.mono_ns()
        self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._closing and self._latch is None and not self._lines:
                    self._waiting_ns = 0
                    self._wake.wait()
                latch, lines = self._latch, list(islice(self._lines, BATCH))
                if latch is None and not lines:
                    self._audit.close()
                    return
            try:
                self._write(latch, lines)
            except OSError as e:
                with self._wake:
                    self._error = f"{e.filename or self._folder}: {e.strerror}"
                    if self._closing:
                        return
                    self._wake.wait(_RETRY_S)
            else:
                with self._wake:
                    self._error = ""
                    self._waiting_ns = self._clock.mono_ns() if self._lines or self._latch is not None else 0

    def _write(self, latch: bytes | None, lines: list[Line]) -> None:
        """The latch first: it is what keeps the gate shut."""
        if latch is not None:
            write_latch(self._folder, latch)
            with self._wake:
                if self._latch is latch:
                    self._latch = None
            return
        lost = self._lost
        note: list[Line] = [(lines[0][0], "lines lost", {"lines": lost, "why": "the disk took none"})] if lost else []
        self._audit.append([*note, *lines])
        with self._wake:
            self._lost -= lost
            for line in lines:  # unless they were given up meanwhile
                if self._lines and self._lines[0] is line:
                    self._lines.popleft()


def audit_lines(folder: Path) -> Iterator[tuple[Path, int, bytes]]:
    """(file, line number, line) of the whole trail, oldest first."""
    for path in sorted(folder.glob("audit-*.jsonl")):
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            yield path, number, line


def verify_audit(folder: Path) -> tuple[int, str]:
    """(sound lines, what is wrong with the next or ""): sequence, hash of each line, link to the one before."""
    prev, seq = _GENESIS, 0
    for path, number, line in audit_lines(folder):
        body, mark, tail = line.rpartition(b',"hash":"')
        digest = hashlib.sha256(body + b"}").hexdigest()
        if not mark or tail != digest.encode() + b'"}':
            return seq, f"{path}: line {number}: its hash does not fit its content"
        fields = msgspec.json.decode(line)
        if fields.get("prev") != prev or fields.get("seq") != seq + 1:
            return seq, f"{path}: line {number}: does not continue line {seq}"
        prev, seq = digest, seq + 1
    return seq, ""


def _tail(files: list[Path]) -> tuple[int, str]:
    """Sequence number and hash of the last whole line."""
    for path in reversed(files):
        for line in reversed(path.read_bytes().split(b"\n")):
            try:
                fields = msgspec.json.decode(line, type=dict[str, object])
                return int(str(fields["seq"])), str(fields["hash"])
            except (msgspec.DecodeError, KeyError, ValueError):
                continue
    return 0, _GENESIS


def _drop_torn_line(fd: int) -> None:
    """A line that a power cut left half written is no line."""
    data = os.pread(fd, os.fstat(fd).st_size, 0)
    os.ftruncate(fd, data.rfind(b"\n") + 1)
