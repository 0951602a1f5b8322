"""Which processes are gone or stuck, by their status pages alone. Pure."""

from collections.abc import Mapping

import msgspec

START_NS = 30_000_000_000  # for processes that never ran to come up, after the alarms process did
KILL_START_NS = 10_000_000_000
OTHERS = 5  # times the kill switch's patience
STOPPING_NS = 10_000_000_000  # a kill switch that was stopped in order should be back by then


class PageView(msgspec.Struct, frozen=True):
    """What a status page says."""

    pid: int
    readiness: str
    reason: str
    beat_ns: int  # monotonic


class ProcessWatch:
    """Looks at the pages; the kill switch is called silent sooner, and even when it was stopped in order."""

    def __init__(self, silent_ns: int, began_ns: int) -> None:
        self._silent_ns, self._began_ns = silent_ns, began_ns

    def look(self, pages: Mapping[str, PageView | None], mono_ns: int) -> dict[str, str]:
        """For each process what is wrong with it, "" if nothing."""
        return {name: self._one(name, page, mono_ns) for name, page in pages.items()}

    def _one(self, name: str, page: PageView | None, mono_ns: int) -> str:
        kill = name == "killswitch"
        if page is None:
            start_ns = KILL_START_NS if kill else START_NS
            return f"{name} never started" if mono_ns - self._began_ns > start_ns else ""
        silent_ns = mono_ns - page.beat_ns
        if page.readiness == "STOPPING":
            late = kill and silent_ns > STOPPING_NS and mono_ns - self._began_ns > STOPPING_NS
            return f"{name} was stopped and is not back: {page.reason}" if late else ""
        allowed_ns = self._silent_ns * (1 if kill else OTHERS)
        if page.readiness == "STARTING":  # its loop need not turn yet
            allowed_ns = max(allowed_ns, KILL_START_NS if kill else START_NS)
        # Pages of before the host's or the desk's start: it is given the time to come up.
        if silent_ns <= allowed_ns or mono_ns - self._began_ns <= allowed_ns:
            return ""
        last = f"{page.readiness} {page.reason}".rstrip()
        return f"{name} (pid {page.pid}) is gone or stuck: no heartbeat; it last said {last}"
