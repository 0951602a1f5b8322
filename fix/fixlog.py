"""The FIX log of one session: every message in and out, secrets masked, in rotating files within a budget.

The one place that writes FIX logs. `put` only copies; a helper thread masks, formats and writes, for the most
part without holding the interpreter. A slow or full disk costs log lines, which are counted, never
time; a SIGKILL costs those of the last moments (what we sent is in the store). Runs of market data that
take the batch path are not logged. A line is `YYYYMMDD-HH:MM:SS.nnnnnnnnn <` (in) or `>` (out), a space, and the
message with SOH as it is; line feeds inside data fields are written as `\\n`.
"""

import os
import threading
from collections.abc import Iterable
from pathlib import Path

from fix._fixlog import SECRET_TAGS, LogQueue, Masker

__all__ = ["SECRET_TAGS", "FixLog", "Masker"]

_CHUNK = 64 << 10
_FLUSH_S = 0.05
_BUSY_S = 0.005  # little and often while much goes on: a long write would hold up the session's own thread


class FixLog(LogQueue):
    """One session's log, `<name>.fix.log` and older parts `.1`, `.2`... in `folder`, mode 0600. One writer each."""

    def __init__(
        self,
        folder: Path,
        name: str,
        secret_tags: Iterable[int] = (),
        budget_bytes: int = 64 << 20,
        files: int = 4,
        queue_bytes: int = 8 << 20,
    ) -> None:
        self.path = folder / f"{name}.fix.log"
        self.last_error: OSError | None = None
        self._part_bytes = max(budget_bytes // files, 1)
        self._older = files - 1
        self._failed = 0
        self._size = 0
        self._begin(Masker(secret_tags), queue_bytes)
        self._wake = threading.Event()
        self._closing = False
        self._fd = -1
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._trim()
        self._open()
        self._thread = threading.Thread(target=self._run, name=f"fixlog {name}", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Lines that were not written: the queue was full, or the disk was."""
        return self.refused + self._failed

    # --- the session's side; `put` is native, in fix/_fixlog.pyx

    def close(self) -> None:
        """Write what is left and stop the writer; waits for the disk."""
        self._closing = True
        self._wake.set()
        self._thread.join()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # --- the writer's side

    def _run(self) -> None:
        busy = 0
        while not self._closing:
            self._wake.wait(_BUSY_S if busy else _FLUSH_S)
            busy = self.waiting
            self._flush()
        self._flush()

    def _flush(self) -> None:
        """Write what is there; what comes meanwhile waits for the next round."""
        self.turn()
        while (chunk := self.take(min(_CHUNK, self._part_bytes)))[1]:
            text, lines, size = chunk
            try:
                if self._fd < 0:
                    self._open()
                self._write(text)
            except OSError as error:
                self.last_error = error
                self._failed += lines
            self.done(size)

    def _write(self, part: bytes) -> None:
        if self._size and self._size + len(part) > self._part_bytes:
            self._rotate()
        start, view = self._size, memoryview(part)
        try:
            while view:
                written = os.write(self._fd, view)
                self._size += written
                view = view[written:]
        except OSError:
            os.ftruncate(self._fd, start)  # whole lines or none: a part of one would spoil the next
            self._size = start
            raise

    def _open(self) -> None:
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._fd).st_size

    def _rotate(self) -> None:
        os.close(self._fd)
        self._fd = -1
        for number in range(self._older, 0, -1):
            source = self._part(number - 1)
            if source.exists():
                source.replace(self._part(number))
        if not self._older:
            self.path.unlink(missing_ok=True)
        self._open()

    def _part(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path

    def _trim(self) -> None:
        """Remove parts that a larger setting left: beyond the present number of files, or too big."""
        for old in self.path.parent.glob(f"{self.path.name}.*"):
            number = old.suffix[1:]
            if number.isdigit() and (int(number) > self._older or old.stat().st_size > self._part_bytes):
                old.unlink()
