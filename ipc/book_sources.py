"""From which of several market-data sessions a book is taken. Pure.

A book is of one source at a time. When that source breaks (a hole, a book that its own process calls STALE, silence, a
refused message) and another one stands ready, the book is taken from that one: it is STALE from the break until the
fresh snapshot of the new source, and nothing of two sources ever meets in it. It stays there until that one breaks.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Final

ASKS: Final = 2  # snapshots that may stay out before another source is tried


class Fitness(Enum):
    """What is known of a source's own book."""

    FIT = 0  # its last word was of a book that may be believed
    UNKNOWN = 1  # not heard of yet, or something of what it said was lost: worth a try
    UNFIT = 2


class BookSources:
    """The sources of one book, in the order of preference at the start."""

    def __init__(self, sessions: Sequence[str]) -> None:
        self.sessions = tuple(sessions)
        self.current = 0
        self._fitness = [Fitness.UNKNOWN] * len(self.sessions)
        self._asks = 0

    @property
    def session(self) -> str:
        """Where the book is taken from."""
        return self.sessions[self.current]

    def fit(self, source: int) -> None:
        """It published its book, a change of it, or a word that it is kept."""
        self._fitness[source] = Fitness.FIT
        if source == self.current:
            self._asks = 0

    def unfit(self, source: int) -> None:
        """It says that its book may not be believed, or it is the current one and broke."""
        self._fitness[source] = Fitness.UNFIT

    def missed(self, source: int) -> None:
        """Something of its stream was lost: the current one broke, and of another it is not known how it is."""
        self._fitness[source] = Fitness.UNFIT if source == self.current else Fitness.UNKNOWN

    def asked(self) -> None:
        """A snapshot of the current source was asked for; one that owes several is no source."""
        self._asks += 1
        if self._asks > ASKS:
            self.unfit(self.current)

    def go_over(self) -> bool:
        """While the book waits: take it from a better source, if there is one; whether it changed.

        Where none is better, and the current one owes too many snapshots, they are tried by turns.
        """
        best = min(range(len(self.sessions)), key=self._rank)
        if best == self.current and self._asks > ASKS:
            best = (self.current + 1) % len(self.sessions)
        if best == self.current:
            return False
        self.current, self._asks = best, 0
        return True

    def fitness(self, source: int) -> Fitness:
        """What is known of its book."""
        return self._fitness[source]

    def _rank(self, source: int) -> tuple[int, bool, int]:
        """FIT before UNKNOWN before UNFIT; among equals none is changed for another."""
        return self._fitness[source].value, source != self.current, source
