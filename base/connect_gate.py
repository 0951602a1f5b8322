"""One gate per venue for the whole machine: how often anybody here may try to connect.

Venues ban addresses that reconnect in storms, and all sessions of a host share its address. Each attempt asks the
gate first; the attempts of the last while lie in a small file under a file lock. The kill path passes always: its
attempts are counted, so that others hold back, and it waits for nothing, not even for the lock.
"""

import fcntl
import logging
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from base.errors import TransportError
from base.segment_file import this_boot

SECOND_NS = 1_000_000_000
BUSY_RETRY_NS = 5_000_000
WORD = struct.Struct("<Q")

log = logging.getLogger("connect_gate")


@dataclass(frozen=True)
class ConnectGateSettings:
    """At most `limit` attempts in any `window_ns`, `reserve` of them for the kill path, `spacing_ns` apart."""

    limit: int = 15
    window_ns: int = 60 * SECOND_NS
    reserve: int = 3
    spacing_ns: int = 200_000_000


def wait_ns(attempts: list[int], now_ns: int, settings: ConnectGateSettings) -> int:
    """Nanoseconds until one more attempt is allowed after `attempts` (monotonic, rising); 0 for now. Pure."""
    if not attempts:
        return 0
    spaced = attempts[-1] + settings.spacing_ns - now_ns
    allowed = max(1, settings.limit - settings.reserve)
    if len(attempts) < allowed:
        return max(0, spaced)
    return max(0, spaced, attempts[-allowed] + settings.window_ns - now_ns)


class ConnectGate:
    """The gate of one venue, shared by all processes that name the same file."""

    def __init__(self, path: str | Path, settings: ConnectGateSettings | None = None) -> None:
        self.path = Path(path)
        self.settings = settings or ConnectGateSettings()

    def ask(self, mono_ns: int, kill: bool = False) -> int:
        """0: go now, and the attempt is counted. Else ask again in that many nanoseconds.

        With `kill` the answer is 0 always; otherwise TransportError when the file cannot be used.
        """
        try:
            return self._ask(mono_ns, kill)
        except OSError as error:
            if not kill:
                raise TransportError(f"{self.path}: the connect gate cannot be used: {error.strerror}") from error
            log.warning("%s: %s; the kill path goes on", self.path, error)
            return 0

    def _ask(self, mono_ns: int, kill: bool) -> int:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Never waited for: a process stopped while it holds the lock would stop all the others.
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            attempts = self._read(fd, mono_ns)
            wait = 0 if kill else wait_ns(attempts, mono_ns, self.settings)
            if wait == 0:
                self._write(fd, [*attempts, mono_ns])
            return wait
        except BlockingIOError:
            return 0 if kill else BUSY_RETRY_NS
        finally:
            os.close(fd)

    def _read(self, fd: int, mono_ns: int) -> list[int]:
        """Attempts within the window; none when the file is of another boot or unreadable."""
        content = os.pread(fd, 8 * 1024, 0)
        words = [word for (word,) in WORD.iter_unpack(content[: len(content) // 8 * 8])]
        if not words or words[0] != this_boot():
            return []
        oldest = mono_ns - self.settings.window_ns
        return sorted(word for word in words[1:] if oldest < word <= mono_ns)

    def _write(self, fd: int, attempts: list[int]) -> None:
        kept = attempts[-(self.settings.limit + self.settings.reserve) :]
        content = b"".join(WORD.pack(word) for word in (this_boot(), *kept))
        os.pwrite(fd, content, 0)
        os.ftruncate(fd, len(content))
