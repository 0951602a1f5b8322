"""The FIX log of one session: every message in and out, secrets masked, in rotating files within a budget.

The one place that writes FIX logs. `put` only remembers; a helper thread masks, formats and writes, a few lines at a
time so that it never holds the interpreter for long. A slow or full disk costs log lines, which are counted, never
time; a SIGKILL costs those of the last moments (what we sent is in the store). Runs of market data that
take the batch path are not logged. A line is `YYYYMMDD-HH:MM:SS.nnnnnnnnn <` (in) or `>` (out), a space, and the
message with SOH as it is; line feeds inside data fields are written as `\\n`.
"""

import os
import re
import threading
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from fix._codec import format_utc

SECRET_TAGS = (554, 96, 925)
_MASK = b"***"
_SECOND_NS = 1_000_000_000
_CHUNK, _SLICES = 8, 64
_PAUSE_S = 0.0005
_FLUSH_S = 0.05


class Masker:
    """Replaces the values of secret tags; data fields (96) are masked by the length that 95 gives."""

    def __init__(self, tags: Iterable[int] = ()) -> None:
        self._markers = tuple(b"\x01%d=" % tag for tag in sorted({*SECRET_TAGS, *tags}))
        self._lengths = {b"\x0196=": re.compile(rb"\x0195=(\d{1,9})\x01$")}

    def __call__(self, message: bytes) -> bytes:
        for marker in self._markers:
            if marker in message:
                message = self._mask(message, marker)
        return message

    def _mask(self, message: bytes, marker: bytes) -> bytes:
        out, at = [], 0
        while (found := message.find(marker, at)) >= 0:
            begin = found + len(marker)
            out += [message[at:begin], _MASK]
            at = self._value_end(message, found, begin, marker)
        return b"".join([*out, message[at:]])

    def _value_end(self, message: bytes, found: int, begin: int, marker: bytes) -> int:
        length = self._lengths.get(marker)
        match = length.search(message, max(0, found - 16), found + 1) if length else None
        if match is not None:
            end = begin + int(match[1])
            if message[end : end + 1] == b"\x01":
                return end
        end = message.find(b"\x01", begin)
        return end if end >= 0 else len(message)


class FixLog:
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
        self._mask = Masker(secret_tags)
        self._part_bytes = max(budget_bytes // files, 1)
        self._older = files - 1
        self._queue_bytes = queue_bytes
        self._raw: deque[tuple[int, bool, bytes]] = deque()
        # Counters with one writer each: the session's side, the helper thread's side.
        self._queued_in = self._refused = 0
        self._queued_out = self._failed = 0
        self._second = -1
        self._prefix = b""
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
        return self._refused + self._failed

    # --- the session's side

    def put(self, wall_ns: int, incoming: bool, message: bytes) -> None:
        """Remember one message; masking, formatting and writing happen elsewhere."""
        if self._queued_in - self._queued_out > self._queue_bytes:
            self._refused += 1
            return
        self._queued_in += len(message)
        self._raw.append((wall_ns, incoming, message))

    def close(self) -> None:
        """Write what is left and stop the writer; waits for the disk."""
        self._closing = True
        self._wake.set()
        self._thread.join()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _line(self, wall_ns: int, incoming: bool, message: bytes) -> bytes:
        second, rest = divmod(wall_ns, _SECOND_NS)
        if second != self._second:
            self._second, self._prefix = second, format_utc(second * _SECOND_NS, 0)
        message = self._mask(message)
        if b"\n" in message:
            message = message.replace(b"\n", b"\\n")
        fraction = str(_SECOND_NS + rest)[1:].encode()
        return b"".join((self._prefix, b".", fraction, b" < " if incoming else b" > ", message, b"\n"))

    # --- the writer's side

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(_FLUSH_S)
            self._flush()
        self._flush()

    def _flush(self) -> None:
        """Write what is there, chunk by chunk, letting the session's thread run in between."""
        left = len(self._raw)  # what comes meanwhile waits for the next round
        chunk = max(_CHUNK, left // _SLICES)
        while left:
            taken = [self._raw.popleft() for _ in range(min(chunk, left))]
            left -= len(taken)
            lines = [self._line(*each) for each in taken]
            try:
                if self._fd < 0:
                    self._open()
                for part in self._parts(lines, b"".join(lines)):
                    self._write(part)  # gives up the interpreter
            except OSError as error:
                self.last_error = error
                self._failed += len(lines)
            self._queued_out += sum(len(message) for _, _, message in taken)
            if left and not self._closing:
                time.sleep(_PAUSE_S)

    def _parts(self, lines: list[bytes], chunk: bytes) -> list[bytes]:
        """The chunk whole when it fits a part, else line by line, so that no file outgrows its share."""
        return [chunk] if len(chunk) <= self._part_bytes else lines

    def _write(self, part: bytes) -> None:
        if self._size and self._size + len(part) > self._part_bytes:
            self._rotate()
        view = memoryview(part)
        while view:
            written = os.write(self._fd, view)
            self._size += written
            view = view[written:]

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
