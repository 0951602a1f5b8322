"""What tests that kill their own children share."""

import errno
import os
import signal
from collections import Counter
from collections.abc import Callable

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


def no_room(_fd: int, _size: int) -> None:
    """In place of reserving space: a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device")
