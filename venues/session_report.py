"""What a process says of the session it owns: phase, since when, numbers, counters."""

from ipc.events import SessionState
from ipc.host import ProcessHost
from venues.interface import SessionPhase
from venues.link import Link
from venues.session_metrics import SessionMetrics


class SessionReport:
    """Keeps a session's phase and publishes it under the process's state topic."""

    def __init__(self, host: ProcessHost, name: str, venue: str, kind: str) -> None:
        self._host = host
        self._name, self._venue, self._kind = name, venue, kind
        self.phase = SessionPhase.DISCONNECTED
        self.reason = "not connected yet"
        self.since_ns = host.clock.wall_ns()
        self.metrics = SessionMetrics(host.metrics.file, name, venue)

    def note(self, phase: SessionPhase, reason: str) -> SessionPhase:
        """Take the new phase; answers the one before."""
        was, self.phase, self.reason = self.phase, phase, reason
        if phase != was:
            self.since_ns = self._host.clock.wall_ns()
        return was

    def __str__(self) -> str:
        return f"{self.phase}: {self.reason}" if self.reason else str(self.phase)

    def say(self, link: Link, counters: dict[str, int]) -> None:
        """Publish phase, sequence numbers and counters; the counters stand in the process's state as well."""
        next_out, next_in = link.session.numbers()
        merged = {**counters, **link.session.counters(), **link.counters()}
        self._host.counters.update(merged)
        self.metrics.look(link, self.phase is SessionPhase.READY, self.since_ns)
        self._host.publish(
            f"state.{self._host.name}",
            SessionState(
                self._name, self._venue, self._kind, self.phase, self.reason, self.since_ns, next_out, next_in, merged
            ),
        )
