"""Which venues take no cancels now: by their calendar, or by what they answer. Pure.

A kill goes on trying there, and reports nothing as done (risk/kill_trip.py).
"""

from collections.abc import Iterable, Mapping

from ipc.events import CancelReject, MassCancelReport
from risk.kill_plan import closed_at
from venues.calendar import VenueCalendar
from venues.cancel_plan import CancelPlan

HOLD_NS = 3_000_000_000  # cancels are repeated each second: a venue that still refuses says so within this


class MarketStates:
    """The venues of a desk. Times: monotonic and UTC ns."""

    def __init__(self, plans: Mapping[str, CancelPlan], calendars: Mapping[str, Iterable[VenueCalendar]]) -> None:
        """`calendars`: those of the venue's trading sessions; the venue is away when each of them says so."""
        self._plans = plans
        self._calendars = {venue: list(found) for venue, found in calendars.items()}
        self._heard: dict[str, tuple[int, str]] = {}  # by venue, or venue and instrument where it goes by symbol

    def event(self, event: object, mono_ns: int) -> None:
        """An event of a session: a refusal may say that no cancel is taken."""
        if isinstance(event, CancelReject | MassCancelReport) and getattr(event, "response", "0") == "0":
            self.answer(event.venue, event.reason_code, event.text, mono_ns, event.instrument)

    def answer(self, venue: str, code: str, text: str, mono_ns: int, instrument: str = "") -> None:
        """What a venue answered to a cancel; `instrument`: the one it was about, where it was about one."""
        plan = self._plans.get(venue)
        if plan is not None and plan.refuses_cancels(code, text):
            one = instrument if plan.refuses_by_symbol(code, text) else ""
            self._heard[closed_at(venue, one)] = mono_ns, text or code

    def refusing(self, mono_ns: int, wall_ns: int) -> dict[str, str]:
        """Venues, and instruments at venues (`closed_at`), that take no cancels now, each with why."""
        self._heard = {at: heard for at, heard in self._heard.items() if mono_ns - heard[0] < HOLD_NS}
        found = {}
        for venue in self._plans:
            calendars = self._calendars.get(venue, [])
            away = [c.away(wall_ns) for c in calendars]
            if away and all(away):
                found[venue] = away[0]
        for at, (_, text) in self._heard.items():
            found.setdefault(at, f"it answers: {text}")
        return found
