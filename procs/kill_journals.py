"""Journals of other processes, read a few milliseconds at a time: lease, operators and fences wait for none of them."""

from collections.abc import Callable, Sequence
from typing import Final

from base.clock import Clock

TURN_NS: Final = 4_000_000


class JournalTurns:
    """Reads one batch of each journal in turn, and begins next time where it left off."""

    def __init__(self, names: Sequence[str], read: Callable[[str], str], clock: Clock) -> None:
        """`read`: one batch of a journal; "more" when there is more than that."""
        self._names, self._read, self._clock = list(names), read, clock
        self._next = 0

    def read(self) -> bool:
        """For as long as a turn is, and at least one batch; whether something may be left."""
        until_ns = self._clock.mono_ns() + TURN_NS
        ended = 0  # journals in a row that had no more
        while ended < len(self._names):
            name = self._names[self._next]
            self._next = (self._next + 1) % len(self._names)
            ended = 0 if self._read(name) == "more" else ended + 1
            if ended < len(self._names) and self._clock.mono_ns() >= until_ns:
                return True
        return False
