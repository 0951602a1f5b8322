"""How many orders left within the last second, and which ones left a moment ago. Pure."""

from collections import deque
from collections.abc import Callable
from typing import Final

SECOND_NS: Final = 1_000_000_000
MS: Final = 1_000_000

Terms = tuple[str, str, str, int, int | None, int | None]
"""What makes two orders the same: strategy, instrument, side, quantity, price, stop price."""


class OwnPace:
    """Orders that this process sent, exactly."""

    __slots__ = ("times",)

    def __init__(self) -> None:
        self.times: deque[int] = deque()  # of the last second and perhaps some before

    def sent(self, mono_ns: int) -> None:
        """One more left. Times do not fall."""
        self.times.append(mono_ns)

    def unsent(self) -> None:
        """The latest did not leave."""
        self.times.pop()

    def within_a_second(self, mono_ns: int) -> int:
        """How many left less than a second ago."""
        times = self.times
        while times and times[0] <= mono_ns - SECOND_NS:
            times.popleft()
        return len(times)


class OtherPace:
    """Orders that another process sent, by the count on its status page: never fewer than truly left in a second.

    At the first look all of its count is taken for sent just now: what went before is not known.
    """

    __slots__ = ("_base", "_carry", "_samples", "last", "offset", "read")

    def __init__(self, read: Callable[[], int]) -> None:
        """`read` gives the count as it is now."""
        self.read = read
        self.last = 0
        self.offset = 0  # of the count within a second from the page's count
        self._samples: deque[tuple[int, int]] = deque()
        self._base = self._carry = 0

    def restarted(self, count: int) -> int:
        """The page's count fell: another life of that process counts from zero. Answers the count."""
        self._carry += self.last
        self.offset = self._carry - self._base
        return count

    def within_a_second(self) -> int:
        """How many left within the last second, or since a little longer."""
        count = self.read()
        if count < self.last:
            self.restarted(count)
        self.last = count
        return count + self.offset

    def look(self, mono_ns: int) -> None:
        """From a timer, several times a second."""
        total = self.within_a_second() + self._base
        samples = self._samples
        if not samples:
            samples.append((mono_ns, 0))
        samples.append((mono_ns, total))
        while len(samples) > 1 and samples[1][0] <= mono_ns - SECOND_NS:
            samples.popleft()
        self._base = samples[0][1]
        self.offset = self._carry - self._base


class Recent:
    """When each order last left, for as long as a duplicate of it would be refused."""

    __slots__ = ("_at", "_order", "_window_ns")

    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._at: dict[Terms, int] = {}
        self._order: deque[tuple[int, Terms]] = deque()

    def sent(self, terms: Terms, mono_ns: int) -> None:
        """An order of these terms left. Times do not fall."""
        self._at[terms] = mono_ns
        order = self._order
        order.append((mono_ns, terms))
        old_ns = mono_ns - self._window_ns
        while order and order[0][0] <= old_ns:
            at_ns, old = order.popleft()
            if self._at.get(old) == at_ns:
                del self._at[old]

    def unsent(self, terms: Terms) -> None:
        """The latest order of these terms did not leave, and none of them did within the window before it."""
        self._at.pop(terms, None)

    def age_ns(self, terms: Terms, mono_ns: int) -> int | None:
        """How long ago the same left; None when not within the window."""
        at = self._at.get(terms)
        if at is None or mono_ns - at >= self._window_ns:
            return None
        return mono_ns - at
