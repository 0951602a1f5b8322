"""One gate per venue and address for the whole machine: how often anybody here may try to connect.

Venues ban addresses that reconnect in storms, and all sessions of a host share its address, whatever desk and user they
belong to. Each attempt asks the gate first; the attempts of the last while lie in a small file under a file lock. The
kill path passes always: its attempts are counted, so that others hold back, and it waits for nothing, not even for the
lock.
"""

import errno
import fcntl
import logging
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from base.errors import TransportError
from base.segment_file import this_boot

SECOND_NS = 1_000_000_000
BUSY_RETRY_NS = 5_000_000
BUSY_MOST = 400  # two seconds: whoever holds the lock is stopped
WORD = struct.Struct("<Q")
SHARED_FOLDER, SHARED_FILE = 0o1777, 0o666

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
    """The gate of one venue and address, shared by all processes that name the same file."""

    def __init__(
        self, path: str | Path, settings: ConnectGateSettings | None = None, fallback: str | Path = ""
    ) -> None:
        """`fallback`: a file of our own for when the shared one cannot be used; without one that is an error."""
        self.path = Path(path)
        self.settings = settings or ConnectGateSettings()
        self.fault = ""  # why the fallback is in use
        self._fallback = Path(fallback) if fallback else None
        self._busy = 0

    def ask(self, mono_ns: int, kill: bool = False) -> int:
        """0: go now, and the attempt is counted. Else ask again in that many nanoseconds.

        With `kill` the answer is 0 always; otherwise TransportError when no file can be used.
        """
        try:
            wait = self._ask(self.path, mono_ns, kill)
        except OSError as error:
            wait = self._without(error, mono_ns, kill)
        self._busy = self._busy + 1 if wait == BUSY_RETRY_NS else 0
        if self._busy > BUSY_MOST and self._fallback is not None and not self.fault:
            self.fault = f"{self.path}: the connect gate's lock is not given back"
            self.path = self._fallback
        return wait

    def _without(self, error: OSError, mono_ns: int, kill: bool) -> int:
        if kill:
            log.warning("%s: %s; the kill path goes on", self.path, error)
            return 0
        fault = f"{self.path}: the connect gate cannot be used: {error.strerror}"
        if self._fallback is None or self.path == self._fallback:
            raise TransportError(fault) from error
        self.fault, self.path = fault, self._fallback
        return self.ask(mono_ns)

    def _ask(self, path: Path, mono_ns: int, kill: bool) -> int:
        try:
            fd = _open(path)
        except BlockingIOError:
            return 0 if kill else BUSY_RETRY_NS
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


def _open(path: Path) -> int:
    """The gate's file, for every user of the machine; OSError when it is not a plain file.

    BlockingIOError when somebody holds a lease on it: the kernel would have us wait for most of a minute. It is not
    opened by O_CREAT where it stands: in a folder that all may write, the kernel refuses that for a file of somebody
    else's (fs.protected_regular).
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    folder = _open_folder(path.parent)
    try:
        try:
            fd = os.open(path.name, flags, dir_fd=folder)
        except FileNotFoundError:
            try:
                fd = os.open(path.name, flags | os.O_CREAT | os.O_EXCL, SHARED_FILE, dir_fd=folder)
                os.fchmod(fd, SHARED_FILE)  # whatever the umask says
            except FileExistsError:
                fd = os.open(path.name, flags, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is not a plain file")
    return fd


def _open_folder(folder: Path) -> int:
    """The gates' folder, made if need be. It may be a link, but not one that another user laid where all may write."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(SHARED_FOLDER)
    try:
        return os.open(folder, flags | os.O_NOFOLLOW)
    except OSError:
        link = os.lstat(folder)
        if not stat.S_ISLNK(link.st_mode) or link.st_uid not in (0, os.geteuid()):
            raise
        return os.open(folder, flags)
