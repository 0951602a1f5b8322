"""What the kill switch minds of its venues beside a trip: states without cancels, dead man's timers, certifications."""

from collections.abc import Callable, Mapping

from base.config import DeskConfig
from base.reactor import Reactor
from ipc.events import AnyEvent
from ipc.kept_file import KeptFile
from ipc.owners import OwnerWatch
from risk.kill import KillSwitch
from venues.calendar import VenueCalendar, session_calendar
from venues.kill_certify import Certifier
from venues.kill_dead_man import Alert, Audit, DeadMen
from venues.kill_paths import OwnerCommands, OwnSession
from venues.kill_rest import RestPath
from venues.kill_topology import kill_venue, plan_of
from venues.market_states import MarketStates

REFRESH_NS = 3_600_000_000_000


class KillVenues:
    """One object for the process to turn."""

    def __init__(
        self,
        reactor: Reactor,
        desk: DeskConfig,
        switch: KillSwitch,
        owners: Mapping[str, OwnerWatch],
        commands: Mapping[str, OwnerCommands],
        own: Mapping[str, OwnSession],
        rest: Mapping[str, RestPath],
        alert: Alert,
        audit: Audit,
        build: str,
    ) -> None:
        self._clock, self._switch, self._desk = reactor.clock, switch, desk
        calendars = {s: _calendar(desk, s) for s in switch.topology.owners}
        plans = {v: plan_of(desk, v) for v in switch.topology.venues}
        by_venue: dict[str, list[VenueCalendar]] = {v: [] for v in plans}
        for session, owner in switch.topology.owners.items():
            by_venue[owner.venue].append(calendars[session])
        self._states = MarketStates(plans, by_venue)
        kept = KeptFile(desk.data_dir / "kill" / "dead_man.json")
        self.dead_men = DeadMen(reactor, desk, rest, switch, owners, commands, calendars, alert, audit, kept)
        self.certifier = Certifier(reactor, desk, switch, owners, commands, own, rest, audit, build)
        self._refresh_ns = self._clock.mono_ns() + REFRESH_NS
        for ear in own.values():
            ear.heard = self.event
        for path in rest.values():
            path.refused = self._refused

    def event(self, event: AnyEvent) -> None:
        """An event of any session, as it happens."""
        self._states.event(event, self._clock.mono_ns())
        self.certifier.event(event)

    def _refused(self, venue: str, why: str, instrument: str) -> None:
        self._states.answer(venue, "", why, self._clock.mono_ns(), instrument)
        self.certifier.refused(why)

    def tick(self) -> None:
        """Ten times a second."""
        refusing = self._states.refusing(self._clock.mono_ns(), self._clock.wall_ns())
        if refusing != self._switch.refusing:
            self._switch.refusing.clear()
            self._switch.refusing.update(refusing)
        self.dead_men.tick()
        self.certifier.tick()
        if self._clock.mono_ns() >= self._refresh_ns and not self._switch.busy:
            self._refresh()

    def _refresh(self) -> None:
        """A finding grows stale by time alone."""
        self._refresh_ns = self._clock.mono_ns() + REFRESH_NS
        for name, known in list(self._switch.topology.venues.items()):
            now = kill_venue(self._desk, name, self._clock.wall_ns())
            if (now.unproven, now.certified) != (known.unproven, known.certified):
                self._switch.know(now)

    def ops(self, verb: str, args: Mapping[str, str]) -> object:
        """The verbs `certify` (begins a probe) and `certified` (how it stands)."""
        return self.certifier.start(args) if verb == "certify" else self.certifier.status()

    def status(self) -> dict[str, object]:
        """For people."""
        return {"refusing": dict(self._switch.refusing), "dead_men": self.dead_men.status()}

    def stop(self, then: Callable[[], object]) -> None:
        """An orderly stop; `then` is called once, within two seconds."""
        self.dead_men.stop(then)


def _calendar(desk: DeskConfig, session: str) -> VenueCalendar:
    config = desk.config.session[session]
    return session_calendar(desk.config.venue[config.venue], config, path=f"venue.{config.venue}")
