"""The one open gap in what a peer sent: what is missing, what is held meanwhile, when to ask again."""


class Gap:
    """Numbers missing before the highest one seen. Holds at most `limit` later messages, None for those dealt with."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[int, bytes | None] = {}
        self.highest = 0
        """Highest number seen past the gap; 0 while there is none."""
        self.asked_to = 0
        """Last number that the outstanding ResendRequest covers; 0 while nothing was asked."""
        self.replaying = False
        """The answer to the outstanding request has begun to arrive."""
        self.tries = 0
        self.deadline_ns = 0
        self.dropped = 0
        """Messages that were not held for want of room; they are asked for again."""

    @property
    def is_open(self) -> bool:
        return self.highest > 0

    def hold(self, seq: int, raw: bytes | None) -> None:
        """Keep a message that came too early; None marks its number as dealt with (that takes no room)."""
        self.highest = max(self.highest, seq)
        if raw is None or seq in self._held:
            self._held.setdefault(seq, None)
        elif len(self._held) < self._limit:
            self._held[seq] = raw
        else:
            self.dropped += 1

    def begin(self, last: int) -> None:
        """Everything up to `last` is missing, which nothing received has shown: the peer said so."""
        self.highest = max(self.highest, last)

    def has(self, seq: int) -> bool:
        return seq in self._held

    def held(self, seq: int) -> bytes | None:
        """The held message with this number, or None when it needs nothing more. KeyError when it is not held."""
        return self._held[seq]

    def held_before(self, seq: int) -> list[tuple[int, bytes]]:
        """Held messages with numbers below `seq`, in order."""
        return sorted((number, raw) for number, raw in self._held.items() if raw is not None and number < seq)

    def missing_to(self, next_in: int) -> int:
        """Last number of the first missing run, which begins at `next_in`."""
        later = [seq for seq in self._held if seq > next_in]
        return min(later) - 1 if later else self.highest

    def passed(self, next_in: int) -> None:
        """Numbers below `next_in` are dealt with: forget what is held of them; closes when nothing is missing."""
        for seq in [seq for seq in self._held if seq < next_in]:
            del self._held[seq]
        if next_in > self.highest:
            self.clear()

    def clear(self) -> None:
        """Forget the gap; the numbers themselves stay missing in the store."""
        self._held.clear()
        self.highest = self.asked_to = self.tries = self.deadline_ns = 0
        self.replaying = False
