"""What tests that kill their own children share."""

import errno
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Hook = Callable[[str], object]


class Killer:
    """Counts hits of each boundary; at the n-th of the chosen one the process is gone."""

    def __init__(self, boundary: str = "", hit: int = 0) -> None:
        self.hits: Counter[str] = Counter()
        self._boundary = boundary
        self._hit = hit

    def __call__(self, boundary: str) -> None:
        self.hits[boundary] += 1
        if boundary == self._boundary and self.hits[boundary] == self._hit:
            os.kill(os.getpid(), signal.SIGKILL)


def named(hook: Hook, who: str) -> Hook:
    """The hook of one part: its boundaries carry the part's name."""
    return lambda boundary: hook(f"{who}: {boundary}")


@contextmanager
def quick_folder() -> Iterator[Path]:
    """In memory where that can be had: a killed process leaves the same there, and a busy disk holds nobody up."""
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="qd-kills-", dir=shm if shm.is_dir() else None) as folder:
        yield Path(folder)


def no_room(_fd: int, _size: int) -> None:
    """In place of reserving space: a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device")
