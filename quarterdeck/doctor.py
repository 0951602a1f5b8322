"""What is wrong with a desk, as one line a finding, the worst first: pure, from what quarterdeck/doctor_look.py saw."""

from collections.abc import Iterator
from itertools import groupby
from typing import Final, Literal

import msgspec

from ipc.view.structs import BookPart, ProcessPart, View
from quarterdeck.host_facts import Clock, Room

LOOP: Final = 3  # ends of one process within the time looked at: it starts, ends, and starts again
NEAR: Final = 90  # percent of a limit
MIB: Final = 1 << 20
Severity = Literal["critical", "warning", "note"]
_RANKS: Final = ("critical", "warning", "note")


class Finding(msgspec.Struct, frozen=True):
    """`seen`: what; `do`: what to do about it; `see`: page and section of docs/. A note is worth knowing, no more."""

    severity: Severity
    subject: str
    seen: str
    do: str
    see: str

    def __str__(self) -> str:
        return f"{self.severity.upper():8} {self.subject}: {self.seen}; {self.do} (docs/{self.see})"


class Supervised(msgspec.Struct, frozen=True):
    """A process as supervisord has it. `state` in its words: RUNNING, STARTING, BACKOFF, EXITED, FATAL, STOPPED."""

    state: str
    pid: int
    said: str = ""


class LogSeen(msgspec.Struct, frozen=True):
    """Error and critical lines of one process's log within the time looked at."""

    lines: int
    last: str


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is looked at."""

    view: View
    environment: str
    roles: tuple[str, ...]  # the processes of the configuration
    supervisor: dict[str, Supervised] | None  # None: nobody answers, `supervisor_fault`
    supervisor_fault: str = ""
    holders: dict[str, int] = {}  # role -> pid of who holds it
    ends: dict[str, int] = {}  # process -> how often it ended unexpectedly within the time looked at
    build_on_disk: str = ""
    config_on_disk: str = ""
    rooms: dict[str, Room] = {}  # by the key of [desk] that names the folder
    min_free_mb: int = 0
    drill: str = ""  # what is wrong with the age of the last drill
    ledger: dict[str, int] | str = {}  # LedgerReader.counts, or why it cannot be read
    losses: dict[str, dict[str, int]] = {}  # process -> metric -> since its start
    logs: dict[str, LogSeen] = {}
    log_minutes: int = 0
    clock: Clock = Clock(True, 0)


def examine(look: Look) -> list[Finding]:
    """Findings, the worst first. A desk of which nothing runs has one."""
    if not any(p.known for p in look.view.processes) and look.supervisor is None:
        return [Finding("critical", "desk", "no process of it runs, nor a supervisord", "qd up", _STARTS)]
    looks = (
        _supervisor, _processes, _builds, _gate, _kill, _books, _orders, _people, _disks, _ledger, _drill, _clock,
        _logs, _losses, _reading,
    )  # fmt: skip
    found = [finding for one in looks for finding in one(look)]
    return sorted(found, key=lambda f: _RANKS.index(f.severity))


def healthy(found: list[Finding]) -> bool:
    """Whether there is nothing to be done."""
    return all(f.severity == "note" for f in found)


def health_line(view: View) -> str:
    """What is said of a desk with nothing to be done."""
    d = view.desk
    return (
        f"healthy: {d.processes_ready} processes READY, {d.sessions_ready} sessions, {d.books_live} books LIVE, gate "
        f"{d.gate}, lease {d.lease_ms} ms, {d.orders_open} open orders"
    )


_RUNBOOK: Final = "runbook.md#"
_STARTS, _SUPERVISOR = f"{_RUNBOOK}the-desk-does-not-start", f"{_RUNBOOK}supervisord-is-gone"
_SESSION, _BOOK, _TWIN = (f"{_RUNBOOK}{a}" for a in ("a-session-is-down", "a-book-is-not-live", "a-twin-waits"))
_LEASE, _TRIPPED = f"{_RUNBOOK}the-gate-is-missing-or-the-lease-has-lapsed", f"{_RUNBOOK}the-kill-switch-has-tripped"
_UPGRADE, _DISK = f"{_RUNBOOK}restart-or-upgrade-one-session", f"{_RUNBOOK}the-disk-is-full"
_UNCERTAIN, _LIMIT = f"{_RUNBOOK}orders-are-uncertain", f"{_RUNBOOK}an-order-is-refused-by-a-limit"


def _supervisor(look: Look) -> Iterator[Finding]:
    if look.supervisor is None:
        seen = f"no answer ({look.supervisor_fault}): nobody restarts what dies"
        yield Finding("critical", "supervisord", seen, "qd up, then end the old processes by their pids", _SUPERVISOR)
        return
    for name in sorted(set(look.supervisor) - set(look.roles)):
        yield Finding("warning", name, "supervisord has it, the configuration has not", _RENDER, _UPGRADE)
    for name in look.roles:
        had = look.supervisor.get(name)
        if had is None:
            yield Finding("warning", name, "supervisord does not know it", _RENDER, _UPGRADE)
        elif had.state in ("FATAL", "BACKOFF", "EXITED", "STOPPED"):
            said = f": {had.said}" if had.said else ""
            do = f"look at log/{name}.log, then qd restart --force {name}"
            yield Finding("critical", name, f"supervisord has it {had.state}{said}", do, _STARTS)
        elif (holder := look.holders.get(name, 0)) and had.pid and holder != had.pid:
            seen = f"pid {holder} holds its role and is no child of supervisord, whose pid {had.pid} waits"
            yield Finding("warning", name, seen, f"decide which one is to live; kill {holder} ends the old one", _TWIN)
    for name, times in look.ends.items():
        if times >= LOOP:
            seen = f"ended {times} times in the last {look.log_minutes} minutes"
            yield Finding("critical", name, seen, f"log/{name}.log says why", _STARTS)


_RENDER: Final = "qd supervisor FILE --write and supervisorctl update, or qd down and qd up"


def _processes(look: Look) -> Iterator[Finding]:
    running = {n: s.pid for n, s in (look.supervisor or {}).items() if s.state == "RUNNING"}
    for p in look.view.processes:
        if p.name.endswith(".twin"):
            if p.known:
                yield Finding(
                    "warning", p.name, f"a second process waits: {p.reason}", "decide which one is to live", _TWIN
                )
        elif not p.known:
            yield _dead(p, running.get(p.name, 0), look)
        elif p.readiness != "READY":
            session = p.kind in ("trading", "marketdata", "dropcopy")
            do = (
                "wait while the reason is the venue's or the network's"
                if session
                else f"log/{p.name}.log has the history"
            )
            full = "disk is full" in p.reason
            see = _DISK if full else _SESSION if session else _STARTS
            yield Finding("warning", p.name, f"{p.readiness} {p.reason}".rstrip(), do if not full else "make room", see)


def _dead(p: ProcessPart, running: int, look: Look) -> Finding:
    severity: Severity = "critical" if p.kind in ("trading", "killswitch") else "warning"
    see = _LEASE if p.kind == "killswitch" else _BOOK if p.kind in ("book", "marketdata") else _STARTS
    if running:
        seen = f"stuck: pid {running} is there, and its page is not written: {p.reason}"
        return Finding(severity, p.name, seen, f"qd restart --force {p.name}", see)
    return Finding(
        severity, p.name, f"dead: {p.reason}", f"log/{p.name}.log says why; qd restart --force {p.name}", see
    )


def _builds(look: Look) -> Iterator[Finding]:
    alive = [p for p in look.view.processes if p.known and not p.name.endswith(".twin")]
    for what, field, disk in (("build", "build", look.build_on_disk), ("configuration", "config", look.config_on_disk)):
        runs = {p.name: getattr(p, field) for p in alive if getattr(p, field)}
        other = [name for name, found in runs.items() if disk and found != disk]
        if len(set(runs.values())) > 1:
            seen = f"processes of {len(set(runs.values()))} {what}s run: a desk of them does not arm"
            do = f"qd restart {' '.join(other)}" if other else "restart those that qd status shows with another one"
            yield Finding("warning", what, seen, do, _UPGRADE)
        elif other:
            seen = f"every process runs another one than the {'code' if field == 'build' else 'file'} on disk"
            yield Finding(
                "warning", what, seen, "qd check FILE, then qd restart --all and qd restart killswitch", _UPGRADE
            )


def _gate(look: Look) -> Iterator[Finding]:
    d, kill = look.view.desk, look.view.kill
    if d.gate == "MISSING":
        yield Finding("critical", "gate", "it cannot be read: no order leaves", "start the kill switch", _LEASE)
    elif d.lease_ms is None or d.lease_ms < 0:
        since = "there never was one" if d.lease_ms is None else f"it lapsed {-d.lease_ms / 1000:.1f} s ago"
        yield Finding("critical", "lease", f"{since}: no new order leaves", "qd restart --force killswitch", _LEASE)
    if kill.operator_word:
        yield Finding(
            "critical", "gate", f"an operator's word closes it: {kill.operator_word}", "qd kill status", _TRIPPED
        )
    for s in kill.scopes:
        if s.state in ("TRIPPING", "TRIPPED", "RESETTING"):
            left = f", {s.working + s.uncertain} orders not proven dead" if s.working + s.uncertain else ""
            seen = f"{s.state}{f' ({s.cause})' if s.cause else ''}{f': {s.reason}' if s.reason else ''}{left}"
            do = f"qd kill why; when the cause is gone: qd kill reset --scope {s.scope} --reason WHY"
            yield Finding("critical", s.scope, seen, do, _TRIPPED)
        elif s.state == "DISARMED":
            seen = f"DISARMED{f': {s.reason}' if s.reason else ''}: no new order leaves"
            do = f"qd kill arm{'' if s.scope == 'desk' else f' --scope {s.scope}'} --reason WHY"
            yield Finding("warning", s.scope, seen, do, _TRIPPED)


def _kill(look: Look) -> Iterator[Finding]:
    kill = look.view.kill
    if not kill.answers and any(p.name == "killswitch" and p.known for p in look.view.processes):
        yield Finding("critical", "killswitch", f"does not answer: {kill.fault}", "log/killswitch.log", _LEASE)
    for text in kill.faults:
        yield Finding("warning", "killswitch", text, "qd kill status", "runbook-kill.md")
    for text in kill.blockers:
        yield Finding("warning", "killswitch", f"would not arm: {text}", "qd kill status", _UPGRADE)


def _books(look: Look) -> Iterator[Finding]:
    not_live = sorted((b for b in look.view.books if b.status != "LIVE"), key=_why_not)
    for (source, status, reason), group in groupby(not_live, key=_why_not):
        names = [f"{b.venue} {b.instrument} L{b.level}" for b in group]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        do = {"CAPACITY": "raise levels or orders of its shard", "VENUE_HALT": "wait: the venue stopped trading"}
        seen = f"{status} {reason}".rstrip() + (f", from {source}" if source else "")
        yield Finding("warning", ", ".join(names[:3]) + more, seen, do.get(reason, "qd status: what feeds it?"), _BOOK)


def _why_not(book: BookPart) -> tuple[str, str, str]:
    return book.source, book.status, book.reason


def _orders(look: Look) -> Iterator[Finding]:
    if n := look.view.desk.orders_uncertain:
        do = "do not send them again; qd orders, and the venue's own page"
        yield Finding("critical", "orders", f"{n} are UNCERTAIN: sent, and not answered", do, _UNCERTAIN)


def _people(look: Look) -> Iterator[Finding]:
    if look.view.alarms_fault:
        yield Finding("warning", "alarms", look.view.alarms_fault, "log/alarms.log", "alarms.md")
    for a in look.view.alarms:
        if not a.acked_ns:
            severity: Severity = "critical" if a.severity == "critical" and not a.over_ns else "warning"
            seen = f"nobody acknowledged {a.source} {a.code}: {a.text}{', over by itself' if a.over_ns else ''}"
            yield Finding(severity, f"alarm {a.number}", seen, f"qd alarms ack {a.number} --note WHAT", "alarms.md")
    for x in look.view.limits:
        if x.percent >= NEAR and x.state not in ("ok", "not measured"):
            seen = f"{x.state}: {x.value} of {x.limit} {x.unit}".rstrip()
            yield Finding("warning", f"{x.figure} of {x.scope}", seen, "qd kill limits", _LIMIT)


def _disks(look: Look) -> Iterator[Finding]:
    for key, room in look.rooms.items():
        if room.why:
            yield Finding("warning", key, f"cannot be looked at: {room.why}", "who may read it?", "hardening.md#files")
        elif room.free < look.min_free_mb * MIB:
            seen = f"{room.free // MIB} MiB free, below {look.min_free_mb} the kill switch warns or trips"
            yield Finding("warning", key, seen, "make room: log/, never data/", _DISK)


def _ledger(look: Look) -> Iterator[Finding]:
    if isinstance(look.ledger, str):
        yield Finding("warning", "ledger", look.ledger, "log/ledger.log", "ledger.md#the-file")
    elif n := look.ledger.get("breaks", 0):
        seen = f"{n} breaks between order entry and drop copy are open"
        yield Finding("warning", "ledger", seen, "qd ledger breaks", "ledger.md#breaks")


def _drill(look: Look) -> Iterator[Finding]:
    if look.drill:
        yield Finding("warning", "drill", look.drill, "qd kill drill", "drills.md")


def _clock(look: Look) -> Iterator[Finding]:
    if look.clock.synchronised is False:
        severity: Severity = "warning" if look.environment == "production" else "note"
        yield Finding(severity, "clock", "nothing synchronises it", "run chrony or the like", "hardening.md#the-clock")


def _logs(look: Look) -> Iterator[Finding]:
    for name, log in look.logs.items():
        seen = f"{log.lines} error lines in the last {look.log_minutes} minutes, the last: {log.last}"
        yield Finding("warning", f"log of {name}", seen, f"log/{name}.log", "runbook.md")


def _losses(look: Look) -> Iterator[Finding]:
    for process, counted in look.losses.items():
        seen = ", ".join(f"{n} {what}" for what, n in counted.items())
        do = "worth a look when it grows: what is missing was replayed or asked for again"
        yield Finding("note", process, f"since its start {seen}", do, "metrics.md")


def _reading(look: Look) -> Iterator[Finding]:
    for text in look.view.reading:
        yield Finding("warning", "what is seen here", text, "run it again; else look at the file named", "runbook.md")
