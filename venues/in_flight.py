"""Whether orders of a session may still be on their way out, and what becomes of them when a gate closes."""

import time
from typing import Protocol

from base.clock import Clock

STEP_NS = 200_000


class Line(Protocol):
    """What venues.link.Link tells of its connections."""

    @property
    def unsent(self) -> int:
        """Bytes that the kernel has not taken."""
        ...

    @property
    def held(self) -> int:
        """Bytes that the other host has not acknowledged, unsent ones included."""
        ...

    def abort(self, reason: str) -> None:
        """Cut what holds bytes; none of them leaves any more."""
        ...


class InFlight:
    """Counts orders past the gate, and takes them for delivered once nothing is held any more."""

    def __init__(self, line: Line, clock: Clock, grace_ns: int) -> None:
        """`grace_ns`: for how long a closing gate waits for the acknowledgement of what was just sent."""
        self._line = line
        self._clock = clock
        self._grace_ns = grace_ns
        self._passed = self._settled = 0

    def passed(self) -> None:
        """An order was let through and is about to be sent."""
        self._passed += 1

    def look(self) -> bool:
        """Whether orders may still leave; call it from a timer."""
        if self._passed != self._settled and not self._line.held:
            self._settled = self._passed
        return self._passed != self._settled

    def drop(self, reason: str) -> bool:
        """When this returns nothing sent before can leave any more; True when the connection was cut for it.

        Bytes that wait for the kernel are dropped at once, whatever they are. Orders that it has taken are given the
        grace: over a line that works they are acknowledged within it.
        """
        line, until_ns = self._line, self._clock.mono_ns() + self._grace_ns
        while self.look() and not line.unsent and self._clock.mono_ns() < until_ns:
            time.sleep(STEP_NS / 1e9)
        cut = line.unsent > 0 or self.look()
        if cut:
            line.abort(reason)
        self._settled = self._passed
        return cut
