"""When a session keeps away because its venue is closed, and when it comes back. Pure: UTC ns in, reasons out."""

from collections.abc import Callable
from datetime import UTC, datetime

from base.calendar import FAR_NS, Closed
from ipc.readiness import VENUE_CLOSED
from venues.calendar import VenueCalendar

SECOND_NS = 1_000_000_000
LOOK_NS = 60 * SECOND_NS
"""Wall clocks are set: nothing is waited for much longer at a stretch."""


class Opening:
    """One session and its calendar. All sessions coming back at once would be a storm: each has a delay of its own."""

    def __init__(self, calendar: VenueCalendar, random: Callable[[], float], jitter_ns: int) -> None:
        self._calendar = calendar
        self._random = random
        self._jitter_ns = jitter_ns
        self._back_ns = 0
        self._why = ""

    def shut(self, wall_ns: int) -> str:
        """Why the session keeps away now, beginning with ipc.readiness.VENUE_CLOSED; "" when it may connect."""
        status = self._calendar.status(wall_ns)
        if isinstance(status, Closed):
            self._back_ns = status.until_ns + int(self._random() * self._jitter_ns)
            self._why = f"{VENUE_CLOSED}{_text(status.until_ns)}: {status.why}"
            return self._why
        if wall_ns < self._back_ns <= wall_ns + self._jitter_ns:
            return self._why
        self._back_ns = 0
        return ""

    def wait_ns(self, wall_ns: int) -> int:
        """How long to sleep before `shut` is asked again, while it is."""
        return min(max(self._back_ns - wall_ns, 1), LOOK_NS)

    def watch_ns(self, wall_ns: int) -> int:
        """How long to sleep before `shut` is asked again, while it is not."""
        change_ns = self._calendar.next_change(wall_ns)
        return LOOK_NS if change_ns is None else min(max(change_ns - wall_ns, 1), LOOK_NS)


def _text(wall_ns: int) -> str:
    if wall_ns >= FAR_NS:
        return "further notice"
    return datetime.fromtimestamp(wall_ns // SECOND_NS, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
