"""A trip told from the audit trail, for a person at three in the morning. Pure: lines in, words out.

Lines that carry no trip_id (what was sent, what answered) belong to the trip by their time: after its receipt, until
its scope is open again or another trip takes it over.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ipc.audit import AuditLine

_FREE = frozenset(
    ("sent", "not sent", "answer", "refused", "cancel-all failed", "cancel failed", "list failed", "listed",
     "order answered", "order query failed", "killed", "alert")
)  # fmt: skip
AFTER_NS = 60_000_000_000  # so long after its proof what is sent and answered still belongs to a trip
CAUSES = {
    "operator": "A person tripped it", "signal": "A person tripped it by signal", "limit": "A limit was passed",
    "process": "A process that owns orders died", "session": "A session with working orders was lost",
    "health": "A process or the host is not well",
    "gate": "Somebody touched the gate's files", "latch": "The latch could not be believed",
    "restart": "The kill switch found the gate closed when it started", "reset interrupted": "A reset was interrupted",
}  # fmt: skip


class Path(msgspec.Struct):
    """What went one way: over a session, to a process, to a REST side. Times: ms after the receipt of the trip."""

    name: str
    sent: dict[str, int] = {}
    first_ms: float | None = None
    answers: int = 0
    answered_ms: float | None = None  # the first
    last_ms: float | None = None
    failures: dict[str, int] = {}
    cancelled: int = 0  # orders, as the answers to cancel-alls say
    lists: int = 0
    list_ms: float | None = None  # the last
    listed: int = 0  # orders of the last list


class Story(msgspec.Struct):
    """One trip, collected."""

    trip_id: str
    at_ns: int
    head: dict[str, Any]  # the line of the trip
    now: dict[str, Any] = {}  # how it stood last (risk.kill_report.describe), by the trail or by the kill switch itself
    now_ms: float | None = None  # when; None: it is the kill switch's own word
    steps: list[tuple[float, str, str]] = []
    paths: dict[str, Path] = {}
    killed: list[tuple[float, str]] = []
    alerts: list[tuple[float, str]] = []
    proofs: list[dict[str, Any]] = []
    reset: dict[str, Any] = {}
    opened: dict[str, str] = {}
    opened_ns: int = 0
    taken_over_by: str = ""
    beside: list[str] = []  # other trips meanwhile


def trips(lines: Iterable[AuditLine]) -> list[tuple[str, int, str]]:
    """(trip, UTC ns, scope) of every trip, oldest first."""
    found: dict[str, tuple[str, int, str]] = {}
    for line in lines:
        if line.event == "trip" and "trip_id" in line.facts:
            trip_id = str(line.facts["trip_id"])
            found.setdefault(trip_id, (trip_id, line.ts_ns, str(line.facts.get("scope"))))
    return list(found.values())


def lines_of(lines: list[AuditLine], trip_id: str) -> list[AuditLine]:
    """The lines of one trip: its own, and what was sent and answered meanwhile. [] when there is no such trip."""
    at = next((i for i, x in enumerate(lines) if x.event == "trip" and x.facts.get("trip_id") == trip_id), None)
    if at is None:
        return []
    began = _int(lines[at].facts.get("received_mono_ns")) or lines[at].mono_ns
    first = at
    while first and lines[first - 1].event != "started" and began <= lines[first - 1].mono_ns:
        first -= 1
    scope, out = lines[at].facts.get("scope"), []
    free_until = 0  # monotonic; 0: while it is not proven
    for line in lines[first:]:
        mine = line.facts.get("trip_id") == trip_id
        if mine and line.event in ("PROVING", "PROVEN"):
            free_until = line.mono_ns + AFTER_NS if line.event == "PROVEN" else 0
        free = line.event in _FREE and (not free_until or line.mono_ns <= free_until)
        if mine or free or line.event in ("started", "stopped"):
            out.append(line)
        elif line.event == "trip" and line.facts.get("scope") == scope:
            return [*out, line]
        if mine and line.event == "opened" and line.facts.get("scope") == scope:
            return out
    return out


def story(lines: list[AuditLine], trip_id: str, live: Mapping[str, Any] | None = None) -> Story | None:
    """Collect a trip; None when the trail has none of that id. `live`: the kill switch's last_trip, if it answered."""
    own = lines_of(lines, trip_id)
    head = next((x for x in own if x.event == "trip" and x.facts.get("trip_id") == trip_id), None)
    if head is None:
        return None
    told = Story(trip_id, head.ts_ns, head.facts)
    zero_ns, before = _int(head.facts.get("received_mono_ns")) or head.mono_ns, head
    for line in own:
        if line.mono_ns < before.mono_ns and line.seq > head.seq:  # the host was started anew: its clock began again
            zero_ns -= (line.ts_ns - before.ts_ns) + before.mono_ns - line.mono_ns
        _take(told, line, (line.mono_ns - zero_ns) / 1e6)
        before = line
    window = [x for x in lines if own[0].seq <= x.seq <= own[-1].seq and x.event == "trip"]
    told.beside = [str(x.facts.get("trip_id")) for x in window if x.facts.get("trip_id") not in (trip_id, None)]
    told.beside = [t for t in dict.fromkeys(told.beside) if t != told.taken_over_by]
    if live and live.get("trip_id") == trip_id and not told.opened:
        told.now, told.now_ms = dict(live), None
    return told


def _take(told: Story, line: AuditLine, ms: float) -> None:
    facts: dict[str, Any] = line.facts
    match line.event:
        case "trip" if facts.get("trip_id") != told.trip_id:
            told.taken_over_by = str(facts.get("trip_id"))
        case "step":
            told.steps.append((ms, str(facts.get("step")), str(facts.get("detail"))))
        case "PROVING" | "PROVEN" | "FENCING":
            told.now, told.now_ms = facts, ms
        case "proofs":
            told.proofs = facts.get("orders") or []
        case "killed":
            fault = f" (FAILED: {facts['fault']})" if facts.get("fault") else ""
            told.killed.append((ms, f"{facts.get('session')}: {facts.get('reason')}{fault}"))
        case "alert":
            told.alerts.append((ms, f"{facts.get('severity')} {facts.get('code')}: {facts.get('text')}"))
        case "reset":
            told.reset = {**facts, "ts_ns": line.ts_ns}
        case "opened":
            told.opened[str(facts.get("scope"))] = str(facts.get("state"))
            told.opened_ns = line.ts_ns
        case "started" if told.steps:
            told.steps.append((ms, "restarted", "the kill switch was started again"))
        case event if event in _FREE:
            _pass(told.paths.setdefault(_name(facts), Path(_name(facts))), event, facts, ms)


def _name(facts: Mapping[str, Any]) -> str:
    return str(facts.get("path") or facts.get("venue") or "?")


def _pass(path: Path, event: str, facts: Mapping[str, Any], ms: float) -> None:
    path.first_ms = ms if path.first_ms is None else path.first_ms
    match event:
        case "sent":
            kind = str(facts.get("what", "")).partition("(")[0]
            path.sent[kind] = path.sent.get(kind, 0) + 1
        case "answer" | "order answered":
            path.answers += 1
            path.answered_ms = ms if path.answered_ms is None else path.answered_ms
            path.last_ms = ms
            path.cancelled += _int(facts.get("cancels"))
        case "listed":
            path.lists += 1
            path.list_ms, path.listed = ms, _int(facts.get("orders"))
        case _:
            why = f"{event}: {facts.get('why', '')}".rstrip(": ")
            path.failures[why] = path.failures.get(why, 0) + 1


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
