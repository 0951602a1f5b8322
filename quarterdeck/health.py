"""What a client knows of its desk's health, in one look."""

import time
from collections.abc import Mapping

import msgspec

from ipc.readiness import Status

SILENT_NS = 1_000_000_000  # a status page that has not moved for so long: dead, stopped or stuck


class ProcessHealth(msgspec.Struct, frozen=True):
    """One process. `readiness` is DEAD when nobody moves its page."""

    process: str
    kind: str
    readiness: str
    reason: str
    since_ns: int
    pid: int


class Health(msgspec.Struct, frozen=True):
    """Processes, and how whole what was heard is."""

    processes: tuple[ProcessHealth, ...]
    silent: tuple[str, ...]  # subscribed topics from which nothing comes, not even heartbeats
    replaying: tuple[str, ...]  # topics of which something is missing and is being replayed
    gaps: int  # shown so far, silences too
    missed: int  # events known to be lost for good
    dropped: int  # of them: events that this strategy did not take in time
    in_doubt: tuple[str, ...]  # ClOrdIDs (or command ids) of followed orders that are UNCERTAIN

    @property
    def ready(self) -> bool:
        """Every process is READY, nothing is silent, nothing is being replayed, no order is in doubt."""
        all_ready = all(p.readiness == "READY" for p in self.processes)
        return all_ready and bool(self.processes) and not (self.silent or self.replaying or self.in_doubt)

    def process(self, name: str) -> ProcessHealth | None:
        """One process; None when it never started."""
        return next((p for p in self.processes if p.process == name), None)


def processes(names: list[str], statuses: Mapping[str, Status]) -> tuple[ProcessHealth, ...]:
    """Those processes, also the ones that never started."""
    now_ns = time.monotonic_ns()
    out = []
    for name in names:
        s = statuses.get(name)
        if s is None:
            out.append(ProcessHealth(name, "", "DEAD", "never started", 0, 0))
        elif now_ns - s.beat_mono_ns > SILENT_NS:
            text = f"silent for {(now_ns - s.beat_mono_ns) // 1_000_000} ms; was {s.readiness} {s.reason}".rstrip()
            out.append(ProcessHealth(name, s.kind, "DEAD", text, s.since_ns, s.pid))
        else:
            out.append(ProcessHealth(name, s.kind, str(s.readiness), s.reason, s.since_ns, s.pid))
    return tuple(out)
