"""When to try again: exponential ceiling with a cap, full jitter below it, never giving up.

Who is refused waits longer, and never less than half of the ceiling: a venue that is asked in vain again and again may
lock the key or ban the address.
"""

from collections.abc import Callable
from dataclasses import dataclass

MILLISECOND_NS = 1_000_000
SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class BackoffSettings:
    """All in nanoseconds. What was reached counts as healthy once it has stood for `stable_ns`."""

    base_ns: int = 500 * MILLISECOND_NS
    cap_ns: int = 30 * SECOND_NS
    stable_ns: int = 30 * SECOND_NS
    refused_ns: int = 15 * SECOND_NS
    refused_cap_ns: int = 600 * SECOND_NS
    silent_cap_ns: int = 60 * SECOND_NS


class Backoff:
    """Delays between attempts. Pure: randomness (0 <= r < 1) and times are given to it."""

    def __init__(self, random: Callable[[], float], settings: BackoffSettings | None = None) -> None:
        self._random = random
        self._settings = settings or BackoffSettings()
        self._failures = 0
        self._refusals = 0
        self._connected_ns: int | None = None

    @property
    def failures(self) -> int:
        """Failures since the connection was last healthy."""
        return self._failures

    @property
    def refusals(self) -> int:
        """How many of them were refusals."""
        return self._refusals

    def connected(self, mono_ns: int) -> None:
        """What was wanted stands; the failures are forgotten only if it lasts."""
        self._connected_ns = mono_ns

    def healthy(self, mono_ns: int) -> bool:
        """True once it has stood long enough to be trusted."""
        return self._connected_ns is not None and mono_ns - self._connected_ns >= self._settings.stable_ns

    def failed(self, mono_ns: int) -> int:
        """An attempt failed or the connection was lost: nanoseconds to wait before the next attempt."""
        self._settle(mono_ns)
        ceiling_ns = self.ceiling_ns()
        self._failures += 1
        return int(self._random() * ceiling_ns)

    def refused(self, mono_ns: int, *, silently: bool = False) -> int:
        """The other side said no: nanoseconds to wait, at least half of the ceiling.

        `silently`: it closed without a word, which a venue that is down does too: a lower cap holds then.
        """
        self._settle(mono_ns)
        ceiling_ns = self.refused_ceiling_ns()
        if silently:
            ceiling_ns = min(ceiling_ns, self._settings.silent_cap_ns)
        self._failures += 1
        self._refusals += 1
        return ceiling_ns // 2 + int(self._random() * (ceiling_ns - ceiling_ns // 2))

    def ceiling_ns(self) -> int:
        """The most that the next delay can be."""
        # 60 doublings pass any cap; more would only make large integers.
        return min(self._settings.cap_ns, self._settings.base_ns << min(self._failures, 60))

    def refused_ceiling_ns(self) -> int:
        """The most that the next delay after a refusal can be."""
        return min(self._settings.refused_cap_ns, self._settings.refused_ns << min(self._refusals, 60))

    def _settle(self, mono_ns: int) -> None:
        if self.healthy(mono_ns):
            self._failures = self._refusals = 0
        self._connected_ns = None
