"""Which venues take no cancels now: by their calendar, or by what they answer. Pure.

A kill goes on trying there, and reports nothing as done (risk/kill_trip.py).
"""

from collections.abc import Iterable, Mapping

from ipc.events import CancelReject, MassCancelReport
from venues.calendar import VenueCalendar
from venues.cancel_plan import CancelPlan

HOLD_NS = 3_000_000_000  # cancels are repeated each second: a venue that still refuses says so within this


class MarketStates:
    """The venues of a desk. Times: monotonic and UTC ns."""

    def __init__(self, plans: Mapping[str, CancelPlan], calendars: Mapping[str, Iterable[VenueCalendar]]) -> None:
        """`calendars`: those of the venue's trading sessions; the venue is away when each of them says so."""
        self._plans = plans
        self._calendars = {venue: list(found) for venue, found in calendars.items()}
        self._heard: dict[str, tuple[int, str]] = {}

    def event(self, event: object, mono_ns: int) -> None:
        """An event of a session: a refusal may say that no cancel is taken."""
        if isinstance(event, CancelReject | MassCancelReport) and getattr(event, "response", "0") == "0":
            self.answer(event.venue, event.reason_code, event.text, mono_ns)

    def answer(self, venue: str, code: str, text: str, mono_ns: int) -> None:
        """What a venue answered to a cancel."""
        plan = self._plans.get(venue)
        if plan is not None and plan.refuses_cancels(code, text):
            self._heard[venue] = mono_ns, text or code

    def refusing(self, mono_ns: int, wall_ns: int) -> dict[str, str]:
        """Venues that take no cancels now, each with why."""
        found = {}
        for venue in self._plans:
            calendars = self._calendars.get(venue, [])
            away = [c.away(wall_ns) for c in calendars]
            at_ns, text = self._heard.get(venue, (0, ""))
            if away and all(away):
                found[venue] = away[0]
            elif text and mono_ns - at_ns < HOLD_NS:
                found[venue] = f"it answers: {text}"
        return found
