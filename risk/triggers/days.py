"""The desk's day: a date in one time zone. Pure."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from base.calendar import local_day, local_to_ns


class Days:
    """Which day a moment belongs to; cheap for moments of the same day, one after another."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self._start_ns = self._end_ns = 0
        self._day = ""

    def day(self, wall_ns: int) -> str:
        """The date (ISO) of UTC ns."""
        if not self._start_ns <= wall_ns < self._end_ns:
            found = local_day(wall_ns, self.zone)
            self._start_ns, self._end_ns, self._day = self._bounds(found)
        return self._day

    def _bounds(self, found: date) -> tuple[int, int, str]:
        return local_to_ns(found, 0, self.zone), local_to_ns(found + timedelta(days=1), 0, self.zone), found.isoformat()

    def clock(self, wall_ns: int) -> str:
        """Local time of day, for people."""
        return datetime.fromtimestamp(wall_ns / 1e9, UTC).astimezone(self.zone).strftime("%H:%M:%S")
