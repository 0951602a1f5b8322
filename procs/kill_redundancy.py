"""The kill switch's look at sessions that stand in for each other: by their status pages, told as alarms."""

from collections.abc import Mapping

from ipc.host import ProcessHost
from ipc.readiness import Readiness, Status
from risk.redundancy import Redundancy
from venues.kill_calendar import KillCalendar

MS = 1_000_000
SILENT_NS = 2_000 * MS
UP = (Readiness.READY, Readiness.DEGRADED)


class RedundancyAlarms:
    """One object for the process to turn."""

    def __init__(self, host: ProcessHost, calendar: KillCalendar) -> None:
        self._host, self._calendar = host, calendar
        self._sessions = [s for group in host.desk.redundancy.values() for s in group]
        self._book = Redundancy(host.desk.redundancy, host.desk.config.kill.session_loss_grace_s * 1_000 * MS)

    def look(self, found: Mapping[str, Status]) -> None:
        """`found`: every readable status page."""
        if not self._sessions:
            return
        mono_ns, wall_ns = self._host.clock.mono_ns(), self._host.clock.wall_ns()
        away = {}
        for session in self._sessions:
            status = found.get(session)
            why = _away(status, mono_ns)
            if why and not self._calendar.excuses(session, wall_ns, status.reason if status is not None else ""):
                away[session] = why
        for said in self._book.look(away, mono_ns):
            self._host.alert(said.severity, "redundancy", said.text, said.group)


def _away(status: Status | None, mono_ns: int) -> str:
    """Why a session tells nothing now; "" when it does."""
    if status is None:
        return "its process never ran"
    silent_ns = mono_ns - status.beat_mono_ns
    if silent_ns >= SILENT_NS:
        return f"its process is gone or stuck: no heartbeat for {silent_ns // (1_000 * MS)} s"
    return "" if status.readiness in UP else f"{status.readiness} {status.reason}".rstrip()
