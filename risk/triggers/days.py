"""The desk's day: a date in one time zone. Pure."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from base.calendar import local_day, local_to_ns

STEP_NS = 1_000_000_000  # a wall clock that moves further than this against the monotonic one was set
DRIFT = 1_000  # of the monotonic clock: at most one part in so many, while nothing sets it right


class DayClock:
    """UTC by which days begin: the wall clock while it agrees with the monotonic one; when it jumps, the latter."""

    def __init__(self) -> None:
        self._wall_ns = self._mono_ns = 0
        self.off_ns = 0  # how far the wall clock is ahead, while it is not believed

    def now(self, wall_ns: int, mono_ns: int) -> int:
        """UTC ns to go by; the first word of the wall clock is believed, whatever it is."""
        if not self._wall_ns:
            self._wall_ns, self._mono_ns = wall_ns, mono_ns
        passed_ns = mono_ns - self._mono_ns
        held_ns = self._wall_ns + passed_ns
        off_ns = wall_ns - held_ns
        if abs(off_ns) > STEP_NS + passed_ns // DRIFT:
            self.off_ns = off_ns
            return held_ns
        self._wall_ns, self._mono_ns, self.off_ns = wall_ns, mono_ns, 0
        return wall_ns

    def fault(self) -> str:
        """What people have to know while the two disagree; "" while they agree."""
        if not self.off_ns:
            return ""
        where = "ahead" if self.off_ns > 0 else "behind"
        return (
            f"the wall clock jumped and is {abs(self.off_ns) / 1e9:.0f} s {where} of the monotonic one: days begin by "
            "the latter until both agree, or until this process is started again"
        )


class Days:
    """Which day a moment belongs to; cheap for moments of the same day, one after another."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self._start_ns = self._end_ns = 0
        self._day = ""
        self._latest_ns = 0

    def trust(self, now_ns: int) -> None:
        """It is no later than this: what carries a later time, by a clock that jumped, belongs to that day."""
        self._latest_ns = now_ns

    def day(self, wall_ns: int) -> str:
        """The date (ISO) of UTC ns."""
        if self._latest_ns:
            wall_ns = min(wall_ns, self._latest_ns)
        if not self._start_ns <= wall_ns < self._end_ns:
            found = local_day(wall_ns, self.zone)
            self._start_ns, self._end_ns, self._day = self._bounds(found)
        return self._day

    def _bounds(self, found: date) -> tuple[int, int, str]:
        return local_to_ns(found, 0, self.zone), local_to_ns(found + timedelta(days=1), 0, self.zone), found.isoformat()

    def clock(self, wall_ns: int) -> str:
        """Local time of day, for people."""
        return datetime.fromtimestamp(wall_ns / 1e9, UTC).astimezone(self.zone).strftime("%H:%M:%S")
