"""When a session may be away, for the kill switch: a nightly rollover trips nothing."""

from base.config import DeskConfig, Kind
from ipc.readiness import VENUE_CLOSED
from venues.calendar import VenueCalendar, session_calendar

ASK_AGAIN_NS = 1_000_000_000


class KillCalendar:
    """Calendars of all sessions; what they say is asked for once a second."""

    def __init__(self, desk: DeskConfig) -> None:
        """ConfigError names the key of a calendar that cannot be."""
        sessions = desk.config.session
        self._calendars = {s: _calendar(desk, s) for s in sessions}
        self._copies: dict[str, list[str]] = {}
        for session, config in sessions.items():
            if config.kind == Kind.DROPCOPY:
                self._copies.setdefault(config.venue, []).append(session)
        self._return_ns = desk.config.kill.window_return_s * 1_000_000_000
        self._said: dict[str, tuple[int, bool]] = {}

    def excuses(self, session: str, wall_ns: int, reason: str = "") -> bool:
        """Whether a session that is away now is no surprise: its venue is closed, about to cut it, or just back.

        `reason`: what its process says of itself.
        """
        at_ns, said = self._said.get(session, (-ASK_AGAIN_NS, False))
        if not 0 <= wall_ns - at_ns < ASK_AGAIN_NS:
            said = bool(self._calendars[session].excuses("", wall_ns, self._return_ns))
            self._said[session] = (wall_ns, said)
        return said or VENUE_CLOSED in reason

    def no_drop_copy(self, venue: str, wall_ns: int) -> bool:
        """Whether the venue's drop copy may be away now: each of them, where there are several."""
        copies = self._copies.get(venue, [])
        return bool(copies) and all(self.excuses(s, wall_ns) for s in copies)


def _calendar(desk: DeskConfig, session: str) -> VenueCalendar:
    config = desk.config.session[session]
    return session_calendar(desk.config.venue[config.venue], config, path=f"venue.{config.venue}")
