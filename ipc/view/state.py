"""A desk in one word, with everything that keeps it from being READY, the worst first. Pure."""

from collections.abc import Iterator, Sequence

from ipc.view.sight import Sight
from ipc.view.structs import AlarmPart, BookPart, DeskPart, KillPart, LimitPart, ProcessPart, SessionPart

_MS = 1_000_000
Problem = tuple[int, str, str]  # rank (lower is worse), the desk's state by it, text
CRITICAL, STATE, WARNING = 40, 70, 80  # ranks below: critical, a state other than READY, worth a look


def desk_part(
    name: str, mono_ns: int, sight: Sight, processes: Sequence[ProcessPart], sessions: Sequence[SessionPart],
    books: Sequence[BookPart], kill: KillPart, alarms: Sequence[AlarmPart], limits: Sequence[LimitPart],
    orders: tuple[int, int], *, expected: int,
) -> DeskPart:  # fmt: skip
    """`orders`: open ones, and those of them that are uncertain. `expected`: processes of the configuration."""
    gate = sight.gate
    lease_ms = (gate.lease_mono_ns - mono_ns) // _MS if gate.lease_mono_ns else None
    waiting = [a for a in alarms if not a.acked_ns]
    alive = [p for p in processes if p.known]
    problems = sorted(
        [
            *_of_gate(kill, gate.state, gate.fault, lease_ms),
            *_of_processes(processes, bool(alive)),
            *_of_books(books),
            *_of_people(waiting, limits),
            *_of_orders(orders[1]),
        ]
    )
    worst = problems[0] if problems else (100, "READY", "")
    return DeskPart(
        name=name, state=worst[1] if worst[0] < STATE else "READY",
        severity="critical" if worst[0] < CRITICAL else "warning" if worst[0] < WARNING else "ok",
        reason=worst[2], problems=tuple(dict.fromkeys(text for _, _, text in problems)),
        armed=gate.state == "ARMED" and lease_ms is not None and lease_ms >= 0 and not gate.operator_word,
        gate=gate.state,
        generation=gate.generation, lease_ms=lease_ms, builds=_kinds(p.build for p in alive),
        configs=_kinds(p.config for p in alive),
        processes_ready=sum(p.readiness == "READY" and p.known for p in processes), processes_total=expected,
        sessions_ready=sum(s.state == "READY" for s in sessions), sessions_total=len(sessions),
        books_live=sum(b.status == "LIVE" for b in books), books_total=len(books),
        orders_open=orders[0], orders_uncertain=orders[1], alarms_waiting=len(waiting),
        alarms_critical=sum(a.severity == "critical" for a in waiting),
    )  # fmt: skip


def _kinds(found: Iterator[str]) -> tuple[str, ...]:
    return tuple(sorted({f for f in found if f}))


def _of_gate(kill: KillPart, gate: str, fault: str, lease_ms: int | None) -> Iterator[Problem]:
    for scope in kill.scopes:
        why = f": {scope.reason}" if scope.reason else ""
        left = f", {scope.working + scope.uncertain} orders not proven dead" if scope.working + scope.uncertain else ""
        if scope.state in ("TRIPPING", "TRIPPED", "RESETTING"):
            whole = scope.scope == "desk"
            yield (10 if whole else 15), scope.state, f"{scope.scope} is {scope.state}{why}{left}"
        elif scope.state == "DISARMED":
            yield (
                (25 if scope.scope == "desk" else 62),
                "DISARMED" if scope.scope == "desk" else "DEGRADED",
                (f"{scope.scope} is DISARMED{why}"),
            )
    if kill.operator_word:
        yield 12, "TRIPPED", f"an operator's word closes the desk: {kill.operator_word}"
    if gate == "MISSING":
        yield 18, "LAPSED", f"the gate cannot be read, no order leaves: {fault}"
    elif lease_ms is None:
        yield 20, "LAPSED", "no kill switch ever held the lease: no new orders leave"
    elif lease_ms < 0:
        yield 20, "LAPSED", f"the kill switch's lease lapsed {-lease_ms / 1000:.1f} s ago: no new orders leave"
    for text in kill.faults:
        yield 45, "DEGRADED", f"kill switch: {text}"


def _of_processes(processes: Sequence[ProcessPart], any_alive: bool) -> Iterator[Problem]:
    if not any_alive:
        yield 5, "DOWN", "no process of this desk runs"
        return
    for p in processes:
        said = f"{p.name} {p.readiness}{f': {p.reason}' if p.reason else ''}"
        if p.name.endswith(".twin"):
            yield 60, "DEGRADED", f"a second {p.name.removesuffix('.twin')} waits: {p.reason}"
        elif not p.known:
            yield (30 if p.kind in ("trading", "killswitch") else 42), "DEGRADED", said
        elif p.readiness in ("DEGRADED", "STOPPING"):
            yield 50, "DEGRADED", said
        elif p.readiness in ("STARTING", "RECOVERING"):
            yield 55, "STARTING", said
        if p.disagrees:
            yield 44, "DEGRADED", f"{p.name} runs another {p.disagrees} than the others: the desk does not arm"


def _of_books(books: Sequence[BookPart]) -> Iterator[Problem]:
    for b in books:
        if b.status != "LIVE":
            why = f" {b.reason}" if b.reason else ""
            yield 58, "DEGRADED", f"book {b.venue} {b.instrument} L{b.level} is {b.status}{why}"


def _of_people(waiting: Sequence[AlarmPart], limits: Sequence[LimitPart]) -> Iterator[Problem]:
    """A critical alarm that nobody acknowledged is a state; warnings and near limits are said beside READY."""
    for a in waiting:
        if not a.over_ns:
            yield (46 if a.severity == "critical" else 76), "DEGRADED", f"{a.source} {a.code}: {a.text}"
    for x in limits:
        if x.percent >= 90 and x.state not in ("ok", "not measured"):
            yield 74, "READY", f"{x.figure} of {x.scope}: {x.state}, {x.value} of {x.limit} {x.unit}".rstrip()


def _of_orders(uncertain: int) -> Iterator[Problem]:
    if uncertain:
        yield 48, "DEGRADED", f"{uncertain} {'order is' if uncertain == 1 else 'orders are'} UNCERTAIN"
