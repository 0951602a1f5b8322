"""One process per role: a file lock taken before any bind, which names its holder.

The kernel releases it when the holder ends, however it ends. The file itself stays: removing a lock file is how two
processes come to hold "the same" lock. Only a fork that keeps running shares the lock, so nothing here forks on.
"""

import errno
import fcntl
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

from base.errors import LockHeldError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

log = logging.getLogger("locks")


@dataclass(frozen=True)
class Holder:
    """Who wrote itself into a lock file last; pid 0 when that cannot be read."""

    pid: int = 0
    since_ns: int = 0  # UTC

    def __str__(self) -> str:
        if not self.pid:
            return "an unknown process"
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.since_ns // 1_000_000_000))
        return f"pid {self.pid} since {since}"


class RoleLock:
    """An exclusive lock at `path`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._fd = -1

    @property
    def held(self) -> bool:
        """True while this object holds the lock."""
        return self._fd >= 0

    def try_acquire(self, wall_ns: int) -> bool:
        """Take the lock if it is free; a twin calls this from a timer while it waits in STARTING."""
        if self.held:
            return True
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._fd = fd
        self._sign(f"{os.getpid()} {wall_ns}\n".encode())
        return True

    def _sign(self, holder: bytes) -> None:
        """Write down who holds it, over what stood there: that needs no room on a full disk."""
        try:
            os.pwrite(self._fd, holder, 0)
            os.ftruncate(self._fd, len(holder))
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            log.warning("%s: held, but not signed: %s", self.path, error.strerror)

    def acquire(self, wall_ns: int) -> None:
        """Take the lock, or raise LockHeldError naming the holder and since when it holds."""
        if not self.try_acquire(wall_ns):
            raise LockHeldError(f"{self.path} is held by {self.holder()}")

    def holder(self) -> Holder:
        """Who holds the lock, as far as the file tells; meaningful only while somebody does."""
        try:
            pid, since = self.path.read_text().split()
            return Holder(int(pid), int(since))
        except (OSError, ValueError):
            return Holder()

    def release(self) -> None:
        """Give the lock up."""
        if self.held:
            os.close(self._fd)
            self._fd = -1


def role_holder(path: Path) -> int:
    """Pid of the process that holds the role at `path`, 0 when nobody does or it is not known who."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return RoleLock(path).holder().pid
    finally:
        os.close(fd)
    return 0
