"""Keeping a venue's rate limits: windows and falling counters, with a part kept for cancels. Pure.

A window is counted in slots: the present one, as many whole ones as make its length, and one more. So it never lets
more pass in any stretch of that length, wherever the venue begins to count, even when requests travel unevenly by up to
a slot (a twentieth of the length); and it is at most two slots too strict. Times: monotonic and UTC ns.
"""

from abc import ABC, abstractmethod
from decimal import Decimal
from typing import Protocol

from venues.limits import DAY_S, Limit

SECOND_NS = 1_000_000_000
DAY_NS = DAY_S * SECOND_NS
SLOTS = 20
LOOK_NS = 1_000_000
"""Others who share a limit are looked at so often, and at every request once half of it is used."""


class Column(Protocol):
    """One limit's figures in the memory that the processes of an account share (venues.rate_share)."""

    writers: int

    def others(self) -> int:
        """What others have spent since the last call, in the meter's unit."""
        ...

    def add(self, spent: int) -> None:
        """We spent that much."""
        ...

    def show(self, used: int, at_ns: int) -> None:
        """Our view of the whole, for a process that starts later."""
        ...

    def latest(self) -> tuple[int, int]:
        """The latest view that anybody left: (used, at_ns)."""
        ...


class Meter(ABC):
    """What a limit has counted. `used` may pass `most` by what was forced; `unit` is the unit of all its figures."""

    __slots__ = (
        "_column", "_look_ns", "_share_pct", "alone", "limit", "most", "near", "noted", "open", "passes", "sync_ns",
        "unit", "used",
    )  # fmt: skip

    def __init__(self, limit: Limit, column: Column | None, share_pct: int, unit: int) -> None:
        self.limit = limit
        self.unit = unit
        # A cancel too many is refused there, and harms nothing: it may try.
        self.passes = limit.breach == "refused" and not limit.cancels_wait
        self.used = 0
        self.noted = 0  # spent, and not in a slot yet
        self.sync_ns = 0  # no need to synchronise before this time, unless more than `near` would be used
        self._look_ns = 0
        self._column = column
        self._share_pct = share_pct
        self.alone = column is None
        self._allow(limit.most)

    def _allow(self, whole: int) -> None:
        """`whole` is what the venue allows. Reserve and spare shrink with our part of it: something is left to use."""
        limit, part = self.limit, whole * self._share_pct // 100
        # A little is for times that differ. And two processes may look at the same instant: one request each for that.
        spare = min(limit.spare, max(2, limit.spare * part // limit.most))
        spare += self._column.writers - 1 if self._column is not None else 0
        most = max(part - spare, 1)
        reserve = min(limit.reserve, limit.reserve * part // limit.most, most - 1)
        self.most, self.open = most * self.unit, (most - reserve) * self.unit
        self.near = self.open // 2 if self._column is not None else self.most + self.open

    def told(self, used: int, most: int) -> None:
        """The venue's own figures: its maximum counts, and what it has counted if that is more than we have.

        Of an account that is shared our part counts, and what others used beyond theirs.
        """
        if most > 0:
            self._allow(most)
        whole = most if most > 0 else self.limit.most
        missing = (used - whole * (100 - self._share_pct) // 100) * self.unit - self.used
        if missing > 0:
            self._count(missing)

    def full(self) -> None:
        """The venue says that the limit is passed."""
        if self.used < self.most:
            self._count(self.most - self.used)

    def spend(self, amount: int, mono_ns: int, wall_ns: int) -> None:
        """Count what leaves; `sync` was called before."""
        self.used += amount
        self.noted += amount
        column = self._column
        if column is not None:
            column.show(self.used, self._at(mono_ns, wall_ns))  # first: who starts in between counts it twice
            column.add(amount)

    def give_back(self, amount: int) -> None:
        """One that was counted counts no more."""
        taken = self._uncount(amount)
        if taken and self._column is not None:
            self._column.add(-taken)

    @property
    def left(self) -> int:
        """Requests of cost 1 that are left, the reserve included."""
        return max(self.most - self.used, 0) // self.unit

    @abstractmethod
    def sync(self, mono_ns: int, wall_ns: int) -> None:
        """Bring it up to date."""

    @abstractmethod
    def wait_ns(self, amount: int, ceiling: int, mono_ns: int, wall_ns: int) -> int:
        """Nanoseconds until `amount` fits below `ceiling`."""

    def _at(self, mono_ns: int, wall_ns: int) -> int:
        return mono_ns

    def _count(self, amount: int) -> None:
        self.used += amount

    def _uncount(self, amount: int) -> int:
        taken = min(amount, self.used)
        self.used -= taken
        return taken

    def _take_in(self, mono_ns: int) -> None:
        if self._column is not None and (mono_ns >= self._look_ns or self.used >= self.near):
            self._look_ns = mono_ns + LOOK_NS
            delta = self._column.others()
            if delta > 0:
                self._count(delta)
            elif delta:
                self._uncount(-delta)


class Window(Meter):
    """At most so many in any stretch of a length."""

    __slots__ = ("_at_slot", "_counts", "_slot_ns")

    def __init__(self, limit: Limit, column: Column | None = None, share_pct: int = 100) -> None:
        super().__init__(limit, column, share_pct, 1)
        self._slot_ns = max(limit.per_s * SECOND_NS // SLOTS, 1)
        self._counts = [0] * (SLOTS + 2)
        self._at_slot = 0
        if column is not None:
            used, at_ns = column.latest()
            self._at_slot = at_ns // self._slot_ns
            self._count(used)

    def sync(self, mono_ns: int, wall_ns: int) -> None:
        """Forget the slots that have gone by."""
        self._settle()
        slot = mono_ns // self._slot_ns
        if slot > self._at_slot:
            counts = self._counts
            for gone in range(self._at_slot + 1, min(slot, self._at_slot + len(counts)) + 1):
                self.used -= counts[gone % len(counts)]
                counts[gone % len(counts)] = 0
            self._at_slot = slot
        self.sync_ns = (slot + 1) * self._slot_ns
        if self._column is not None:
            self._take_in(mono_ns)
            self.sync_ns = min(self.sync_ns, self._look_ns)

    def wait_ns(self, amount: int, ceiling: int, mono_ns: int, wall_ns: int) -> int:
        """Until enough slots have gone by."""
        self._settle()
        used, counts = self.used, self._counts
        for ahead in range(1, len(counts) + 1):
            used -= counts[(self._at_slot + ahead) % len(counts)]
            if used + amount <= ceiling:
                return (self._at_slot + ahead) * self._slot_ns - mono_ns
        return self.limit.per_s * SECOND_NS

    def _settle(self) -> None:
        """What was spent since the last look belongs to the slot of that look, or to a later part of it."""
        self._counts[self._at_slot % len(self._counts)] += self.noted
        self.noted = 0

    def _count(self, amount: int) -> None:
        self._counts[self._at_slot % len(self._counts)] += amount
        self.used += amount

    def _uncount(self, amount: int) -> int:
        """Off the oldest: what is left is what lasts longest, as the venue sees it at worst."""
        self._settle()
        counts, wanted = self._counts, amount
        for ahead in range(1, len(counts) + 1):
            at = (self._at_slot + ahead) % len(counts)
            taken = min(counts[at], wanted)
            counts[at] -= taken
            wanted -= taken
        self.used -= amount - wanted
        return amount - wanted


class Day(Meter):
    """At most so many in a UTC day."""

    __slots__ = ("_day",)

    def __init__(self, limit: Limit, column: Column | None = None, share_pct: int = 100) -> None:
        super().__init__(limit, column, share_pct, 1)
        self._day = 0
        if column is not None:
            self.used, at_ns = column.latest()
            self._day = at_ns // DAY_NS

    def sync(self, mono_ns: int, wall_ns: int) -> None:
        """Begin anew at midnight; looked at once a second."""
        day = wall_ns // DAY_NS
        if day > self._day:
            self._day, self.used = day, 0
        self.sync_ns = mono_ns + SECOND_NS
        if self._column is not None:
            self._take_in(mono_ns)
            self.sync_ns = self._look_ns

    def wait_ns(self, amount: int, ceiling: int, mono_ns: int, wall_ns: int) -> int:
        """Until midnight."""
        return DAY_NS - wall_ns % DAY_NS

    def _at(self, mono_ns: int, wall_ns: int) -> int:
        return wall_ns


class Falling(Meter):
    """A counter that falls by so much a second, and may not pass its ceiling. Exact: billionths, rounded against us."""

    __slots__ = ("_at_ns", "_milli")

    def __init__(self, limit: Limit, column: Column | None = None, share_pct: int = 100) -> None:
        super().__init__(limit, column, share_pct, SECOND_NS)
        self._milli = int(Decimal(limit.decay) * 1000) * share_pct // 100
        self._at_ns = 0
        if column is not None:
            self.used, self._at_ns = column.latest()

    def sync(self, mono_ns: int, wall_ns: int) -> None:
        """Let it fall."""
        if self.used > 0:
            self.used = max(self.used - (mono_ns - self._at_ns) * self._milli // 1000, 0)
        self._at_ns = mono_ns
        if self._column is not None:
            self._take_in(mono_ns)

    def wait_ns(self, amount: int, ceiling: int, mono_ns: int, wall_ns: int) -> int:
        """Until it has fallen far enough."""
        return -((ceiling - amount - self.used) * 1000 // self._milli)


def meter(limit: Limit, column: Column | None = None, share_pct: int = 100) -> Meter:
    """The meter that keeps a limit."""
    if limit.decay:
        return Falling(limit, column, share_pct)
    return (Day if limit.per_s == DAY_S else Window)(limit, column, share_pct)


class Pace:
    """So many a second, spread evenly, with at most a second's worth at once: for what can wait (subscriptions)."""

    def __init__(self, per_s: int) -> None:
        self._per_s = per_s
        self._saved_ns = per_s * SECOND_NS  # times 1e9: exact integers
        self._at_ns: int | None = None

    def take(self, mono_ns: int) -> bool:
        """Whether one may leave now."""
        if self._at_ns is not None:
            gained = max(mono_ns - self._at_ns, 0) * self._per_s
            self._saved_ns = min(self._saved_ns + gained, self._per_s * SECOND_NS)
        self._at_ns = mono_ns
        if self._saved_ns < SECOND_NS:
            return False
        self._saved_ns -= SECOND_NS
        return True
