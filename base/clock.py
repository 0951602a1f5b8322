"""Time as two integers in nanoseconds: monotonic for deadlines, wall (UTC) for what is written down."""

import time
from typing import Protocol


class Clock(Protocol):
    """Source of both times. Everything that needs time is given one, so that tests can turn it by hand."""

    def mono_ns(self) -> int:
        """Monotonic nanoseconds since boot; comparable between processes of one host (CLOCK_MONOTONIC)."""
        ...

    def wall_ns(self) -> int:
        """UTC nanoseconds since the Unix epoch."""
        ...


class SystemClock:
    """The clocks of this host; the functions themselves, since every turn of a loop asks them."""

    mono_ns = staticmethod(time.monotonic_ns)
    wall_ns = staticmethod(time.time_ns)


class ManualClock:
    """A clock that only moves when told; wall time moves with monotonic time unless stepped apart."""

    def __init__(self, mono_ns: int = 1_000_000_000, wall_ns: int = 1_750_000_000_000_000_000) -> None:
        self._mono_ns = mono_ns
        self._wall_ns = wall_ns

    def mono_ns(self) -> int:
        return self._mono_ns

    def wall_ns(self) -> int:
        return self._wall_ns

    def advance(self, ns: int) -> None:
        """Move both times forward by `ns` nanoseconds."""
        if ns < 0:
            raise ValueError(f"time runs forward: advance({ns})")
        self._mono_ns += ns
        self._wall_ns += ns

    def step_wall(self, ns: int) -> None:
        """Step wall time alone, as a bad time server would."""
        self._wall_ns += ns
