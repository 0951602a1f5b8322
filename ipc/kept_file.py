"""A small file that a process keeps for its next life, replaced as a whole by a thread of its own: no disk is waited
for. Content that a crash of the host tore is told by its checksum.
"""

import hashlib
import os
import threading
from pathlib import Path

from base.errors import CorruptError

RETRY_S = 0.5


class KeptFile:
    """`write` returns at once; the newest content wins. `fault` says what is wrong with the disk, if anything."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        self.path = path
        self._new: bytes | None = None
        self._last = b""
        self._error = ""
        self._closing = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"kept {path.name}", daemon=True)
        self._thread.start()

    def read(self) -> bytes | None:
        """What was written last; None when there is no such file. CorruptError when it is not what was written."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as e:
            raise CorruptError(f"{self.path}: {e.strerror}") from None
        body, _, mark = raw.rpartition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != mark:
            raise CorruptError(f"{self.path}: contradicts its checksum")
        return body

    def write(self, body: bytes) -> None:
        """Have it written, unless it is what was written last."""
        with self._wake:
            if body != self._last:
                self._new = self._last = body
                self._wake.notify()

    def fault(self) -> str:
        """The error that is being retried, "" when there is none."""
        with self._wake:
            return self._error

    def close(self, timeout_s: float = 1.0) -> bool:
        """Write what is pending and stop; False when the disk did not take it in time."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive() and self._new is None

    def _run(self) -> None:
        while True:
            with self._wake:
                while self._new is None and not self._closing:
                    self._wake.wait()
                body = self._new
            if body is None:
                return
            try:
                self._replace(body)
            except OSError as e:
                with self._wake:
                    self._error = f"{self.path}: {e.strerror}"
                    if self._closing:
                        return
                    self._wake.wait(RETRY_S)
            else:
                with self._wake:
                    self._error = ""
                    if self._new is body:
                        self._new = None

    def _replace(self, body: bytes) -> None:
        new = self.path.with_name(f"{self.path.name}.new")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(body + b"\n" + hashlib.sha256(body).hexdigest().encode())
        new.rename(self.path)
