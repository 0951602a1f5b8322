"""Memory, descriptors and restarts of a soak's processes, sampled now and then."""

import time
from typing import NamedTuple

import psutil

SAMPLE_S = 2.0
WARM_S = 10.0  # of a life: what a process takes to read its files and connect is not growth


class Growth(NamedTuple):
    """The longest life of one process: RSS in MiB and descriptors when warm and at the end."""

    name: str
    lives: int
    life_s: float
    rss_warm: float
    rss_end: float
    fds_warm: int
    fds_end: int


class _Life:
    def __init__(self, pid: int, now: float) -> None:
        self.pid = pid
        self.began = self.last = now
        self.warm: tuple[float, int] | None = None
        self.end: tuple[float, int] = (0.0, 0)


class Watch:
    """Call `look` often; it samples every SAMPLE_S."""

    def __init__(self) -> None:
        self._lives: dict[str, list[_Life]] = {}
        self._due = 0.0

    def look(self, pids: dict[str, int]) -> None:
        """Sample these processes when it is time."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + SAMPLE_S
        for name, pid in pids.items():
            lives = self._lives.setdefault(name, [])
            if not lives or lives[-1].pid != pid:
                lives.append(_Life(pid, now))
            self._sample(lives[-1], now)

    @staticmethod
    def _sample(life: _Life, now: float) -> None:
        try:
            process = psutil.Process(life.pid)
            seen = process.memory_info().rss / (1 << 20), process.num_fds()
        except psutil.Error:
            return
        if not seen[0]:
            return  # it has just ended
        life.last, life.end = now, seen
        if life.warm is None and now - life.began >= WARM_S:
            life.warm = seen

    def restarts(self) -> int:
        """Lives beyond the first, over all processes."""
        return sum(len(lives) - 1 for lives in self._lives.values())

    def growth(self) -> list[Growth]:
        """Each process in its longest life."""
        out = []
        for name, lives in sorted(self._lives.items()):
            longest = max(lives, key=lambda life: life.last - life.began)
            warm = longest.warm or longest.end
            span = longest.last - longest.began
            out.append(Growth(name, len(lives), span, warm[0], longest.end[0], warm[1], longest.end[1]))
        return out
