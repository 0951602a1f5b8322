"""The kill switch's triggers: figures of owners against their limits, owners that lost their session or are stuck."""

from collections.abc import Mapping
from typing import Protocol

from base.config import DeskConfig
from ipc.host import ProcessHost
from ipc.owners import OwnerWatch
from ipc.readiness import Readiness
from risk.kill import KillSwitch
from risk.kill_plan import Topology
from risk.kill_triggers import OwnerView, SessionLoss
from risk.limits import LimitBook, OwnerFigures
from venues.calendar import VenueCalendar, session_calendar

MS = 1_000_000
LOGGED_ON = (Readiness.READY, Readiness.DEGRADED, Readiness.STOPPING)  # DEGRADED, a full disk: cancels still pass


class TripScope(Protocol):
    """Trip a scope: cause, reason in words, figures for the audit."""

    def __call__(self, scope: str, cause: str, reason: str, figures: Mapping[str, object] | None = None) -> None: ...


def _calendar(desk: DeskConfig, session: str) -> VenueCalendar:
    config = desk.config.session[session]
    return session_calendar(desk.config.venue[config.venue], config, path=f"venue.{config.venue}")


class Triggers:
    """All triggers but operators and the death of an owner."""

    def __init__(
        self, host: ProcessHost, topology: Topology, owners: Mapping[str, OwnerWatch], switch: KillSwitch,
        trip: TripScope,
    ) -> None:  # fmt: skip
        """ConfigError, naming the key, for a limit that cannot be measured."""
        desk = host.desk
        config = desk.config.kill
        self._host, self._clock, self._owners, self._switch, self._trip = host, host.clock, owners, switch, trip
        self._limits = LimitBook(config.limits, topology.owners)
        self._calendars = {s: _calendar(desk, s) for s in topology.owners}
        self._return_ns = config.window_return_s * 1000 * MS
        self._loss = SessionLoss(config.session_loss_grace_s * 1000 * MS, config.session_loss_confirmations)

    def look(self) -> None:
        """Every 20 ms, after the owners' pages and journals were read."""
        self._check_limits()
        self._check_sessions()

    def stuck(self) -> dict[str, str]:
        """By owner: what is wrong with its loop, "" where it turns."""
        return {
            name: f"{name} (pid {owner.pid}) shows no heartbeat" if self._stuck(owner) else ""
            for name, owner in self._owners.items()
        }

    def _check_limits(self) -> None:
        figures = {
            s: OwnerFigures(o.rows, o.status.sent, o.status.started_ns)
            for s, o in self._owners.items()
            if o.status is not None
        }
        for verdict in self._limits.check(figures, self._clock.mono_ns()):
            if not verdict.trips:
                self._host.alert("warning", "limit", str(verdict))
            elif self._stands(verdict.scope):
                self._trip(verdict.scope, "limit", str(verdict))

    def _stands(self, scope: str) -> bool:
        """Whether orders of the scope may still leave: what is closed already is not tripped again by a figure."""
        closed = {s for s, r in self._switch.records.items() if r.state.name in ("TRIPPING", "TRIPPED", "RESETTING")}
        return "desk" not in closed and scope not in closed

    def _check_sessions(self) -> None:
        for name, owner in self._owners.items():
            status = owner.status
            if status is None:
                continue
            left = sum(r.open_orders for r in owner.rows)
            excused = status.readiness in LOGGED_ON or not left or self._expects_loss(name, status.reason)
            why = self._loss.look(OwnerView(name, excused, left, status.reason), self._clock.mono_ns())
            if why and self._stands(f"session:{name}"):
                self._trip(f"session:{name}", "session", why)

    def _expects_loss(self, session: str, reason: str) -> bool:
        """Whether the session keeps away from a closed venue, or its calendar calls a disconnect now no surprise."""
        return bool(self._calendars[session].excuses(reason, self._clock.wall_ns(), self._return_ns))

    def _stuck(self, owner: OwnerWatch) -> bool:
        """Its loop does not turn. One that has just taken its role has no loop yet."""
        status = owner.status
        if not owner.alive or status is None or status.pid != owner.pid or status.readiness == Readiness.STARTING:
            return False
        return self._clock.mono_ns() - status.beat_mono_ns >= 2_000 * MS
