"""Files that a process must not wait for: a latch and an audit trail (ipc/audit.py), written by a thread of their own.

A trip waits for no disk: the loop hands over bytes and goes on; a hung or full disk shows as a fault, and what is
pending is tried again until it is written.
"""

import os
import threading
from collections import deque
from itertools import islice
from pathlib import Path

from base.clock import Clock
from ipc.audit import AuditFile, Line, write_all

LATCH = "latch.json"
PENDING_LINES = 50_000  # audit lines kept for a disk that does not take them; beyond, the oldest go, and that is said
SLOW_NS = 1_000_000_000
_RETRY_S = 0.2
BATCH = 512  # lines that share one fsync


def read_latch(folder: Path, name: str = LATCH) -> bytes | None:
    """The latch as it lies on the disk; None when there is none. An unreadable one reads as empty."""
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        return b""


def write_latch(folder: Path, data: bytes, name: str = LATCH) -> None:
    """Replace the latch: new file, fsync, rename, fsync of the directory. OSError when that fails."""
    temporary = folder / f"{name}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, folder / name)
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def append_line(path: Path, line: bytes) -> None:
    """Append a line and have it on the disk. OSError: nothing of it stays."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(fd).st_size
        try:
            write_all(fd, line)
            os.fsync(fd)
        except OSError:
            os.ftruncate(fd, size)
            raise
    finally:
        os.close(fd)


class KillFiles:
    """The thread. `latch` and `audit` return at once; `fault` says what is wrong with the disk, if anything."""

    def __init__(
        self, folder: Path, clock: Clock, *, latch: str = LATCH, trail: str = "audit", slow_ns: int = 0
    ) -> None:
        """`latch`: name of its file in `folder`; `trail`: what the names of the audit trail's files begin with;
        `slow_ns`: a disk that takes longer is a fault.
        """
        self._slow_ns = slow_ns or SLOW_NS
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._folder, self._clock, self._name = folder, clock, latch
        self._audit = AuditFile(folder, trail)
        self._lines: deque[Line] = deque()
        self._latch: bytes | None = None
        self._side: deque[tuple[str, bytes]] = deque()
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
            self._lines.append((self._clock.wall_ns(), self._clock.mono_ns(), event, facts))
            self._note()

    def append(self, name: str, line: bytes) -> None:
        """Have a line appended to another file of the folder."""
        with self._wake:
            self._side.append((name, line))
            self._note()

    def fault(self) -> str:
        """What is wrong: an error that is being retried, or a disk that does not answer; "" when all is written."""
        with self._wake:
            if self._error:
                return self._error
            if self._audit.fault:
                return self._audit.fault
            late_ns = self._clock.mono_ns() - self._waiting_ns if self._waiting_ns else 0
            return f"the disk has not answered for {late_ns // 1_000_000} ms" if late_ns > self._slow_ns else ""

    @property
    def damage(self) -> str:
        """What was found wrong with the trail when it was opened, or while it was written; "" if nothing."""
        return self._audit.damage

    @property
    def idle(self) -> bool:
        """Whether everything handed over so far is on the disk."""
        with self._wake:
            return not self._lines and not self._side and self._latch is None

    def close(self, timeout_s: float = 2.0) -> bool:
        """Write what is pending and stop; False when the disk did not take it in time."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive() and self.idle

    def _note(self) -> None:
        self._waiting_ns = self._waiting_ns or self._clock.mono_ns()
        self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._closing and self._latch is None and not self._lines and not self._side:
                    self._waiting_ns = 0
                    self._wake.wait()
                latch, lines = self._latch, list(islice(self._lines, BATCH))
                if latch is None and not lines and not self._side:
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
                    more = self._lines or self._side or self._latch is not None
                    self._waiting_ns = self._clock.mono_ns() if more else 0

    def _write(self, latch: bytes | None, lines: list[Line]) -> None:
        """The latch first: it is what keeps the gate shut."""
        self._audit.lock()
        if latch is not None:
            write_latch(self._folder, latch, self._name)
            with self._wake:
                if self._latch is latch:
                    self._latch = None
            return
        if self._side:
            append_line(self._folder / self._side[0][0], self._side[0][1])
            with self._wake:
                self._side.popleft()
        if not lines:
            return
        lost = self._lost
        said = {"lines": lost, "why": "the disk took none"}
        note: list[Line] = [(*lines[0][:2], "lines lost", {**said})] if lost else []
        self._audit.append([*note, *lines])
        with self._wake:
            self._lost -= lost
            for line in lines:  # unless they were given up meanwhile
                if self._lines and self._lines[0] is line:
                    self._lines.popleft()
