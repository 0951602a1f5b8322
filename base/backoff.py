"""When to try again: exponential ceiling with a cap, full jitter below it, never giving up."""

from collections.abc import Callable
from dataclasses import dataclass

MILLISECOND_NS = 1_000_000
SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class BackoffSettings:
    """All in nanoseconds. A connection counts as healthy once it has stood for `stable_ns`."""

    base_ns: int = 500 * MILLISECOND_NS
    cap_ns: int = 30 * SECOND_NS
    stable_ns: int = 30 * SECOND_NS


class Backoff:
    """Delays between attempts. Pure: randomness (0 <= r < 1) and times are given to it."""

    def __init__(self, random: Callable[[], float], settings: BackoffSettings | None = None) -> None:
        self._random = random
        self._settings = settings or BackoffSettings()
        self._failures = 0
        self._connected_ns: int | None = None

    @property
    def failures(self) -> int:
        """Failures since the connection was last healthy."""
        return self._failures

    def connected(self, mono_ns: int) -> None:
        """The connection stands; the failures are forgotten only if it lasts."""
        self._connected_ns = mono_ns

    def healthy(self, mono_ns: int) -> bool:
        """True once the connection has stood long enough to be trusted."""
        return self._connected_ns is not None and mono_ns - self._connected_ns >= self._settings.stable_ns

    def failed(self, mono_ns: int) -> int:
        """An attempt failed or the connection was lost: nanoseconds to wait before the next attempt."""
        if self.healthy(mono_ns):
            self._failures = 0
        self._connected_ns = None
        ceiling_ns = self.ceiling_ns()
        self._failures += 1
        return int(self._random() * ceiling_ns)

    def ceiling_ns(self) -> int:
        """The most that the next delay can be."""
        # 60 doublings pass any cap; more would only make large integers.
        return min(self._settings.cap_ns, self._settings.base_ns << min(self._failures, 60))
