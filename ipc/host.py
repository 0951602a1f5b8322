"""What every process of a desk has: configuration, role lock, poll loop, status page, publisher, log, signals.

A process file under procs/ says what it does; this says how it lives: it waits for its role's lock before any bind,
shows readiness and heartbeat in shared memory, publishes its state, and stops in order on SIGTERM.
"""

import argparse
import gc
import hashlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import zmq

from base.clock import Clock, SystemClock
from base.config import DeskConfig, load
from base.errors import ConfigError, QuarterdeckError, SecretError
from base.latency import realtime, short_slice
from base.locks import RoleLock
from base.log import open_log
from base.reactor import Priority, Reactor
from base.secrets import resolve
from ipc.alert_spool import AlertSpool
from ipc.bus import Publisher
from ipc.commands import CommandServer
from ipc.events import Alert, AnyEvent, ProcessState
from ipc.journal import Journal
from ipc.process_metrics import ProcessMetrics
from ipc.readiness import Readiness, StatusPage
from ipc.requests import Answer, AnyCommand
from ipc.roster import command_endpoint, publisher_endpoint

MS = 1_000_000
BEAT_NS = 50 * MS
STATE_NS = 1_000 * MS
LOCK_RETRY_NS = 200 * MS
PACKAGES = ("base", "fix", "ipc", "procs", "quarterdeck", "risk", "sim", "venues")

Handler = Callable[[AnyCommand, bytes], Answer]
log = logging.getLogger("host")


def build_fingerprint() -> str:
    """Digest of the code this process runs: a desk whose processes differ does not arm."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if path.suffix in (".py", ".so", ".h", ".toml", ".xml"):  # calendars and dictionaries, too
                digest.update(path.relative_to(root).as_posix().encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class ProcessHost:
    """The life of one process. Everything belongs to the one thread that calls `run`."""

    def __init__(self, desk: DeskConfig, name: str, kind: str, *, clock: Clock | None = None, rows: int = 64) -> None:
        self.desk = desk
        self.name = name
        self.kind = kind
        self.clock: Clock = clock or SystemClock()
        self.reactor = Reactor(self.clock)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.counters: dict[str, int] = {}
        self.metrics = ProcessMetrics(desk, name, kind, self.reactor)
        self.stopping = False
        self.realtime = False
        self._rows = rows
        self._build = build_fingerprint()
        self._since_ns = self.clock.wall_ns()
        self._stop_handlers: list[Callable[[], None]] = []
        self._servers: list[CommandServer] = []
        self._spool = AlertSpool(desk.shm_dir, name)
        self._lock = RoleLock(desk.run_dir / "lock" / name)
        self._prepare_directories()
        self.log_handler = open_log(desk.log_dir, name, budget=desk.process_log_bytes, take_stdio=_is_child())
        self.page: StatusPage
        self.publisher: Publisher
        self.reactor.on_signal(signal.SIGTERM, lambda: self.stop("SIGTERM"))
        self.reactor.on_signal(signal.SIGINT, lambda: self.stop("SIGINT"))

    # -- coming to be ----------------------------------------------------------------------------------------

    def _prepare_directories(self) -> None:
        desk = self.desk
        desk.run_dir.mkdir(parents=True, exist_ok=True)
        for folder in ("proc", "metrics"):
            (desk.shm_dir / folder).mkdir(parents=True, exist_ok=True)
        for directory, mode in ((desk.run_dir, desk.run_mode), (desk.shm_dir, 0o750)):
            if directory.stat().st_uid == os.geteuid():  # the kill switch may be another user's than the desk
                os.chmod(directory, mode)
        for directory in (desk.data_dir, desk.log_dir):
            directory.mkdir(parents=True, exist_ok=True, mode=0o750)

    def take_role(self) -> bool:
        """Wait for the role's lock, saying who holds it; False when told to stop meanwhile."""
        if not self._lock.try_acquire(self.clock.wall_ns()):
            self._wait_as_twin()
        if self.stopping:
            return False
        self.page = StatusPage(
            self.desk.shm_dir / "proc" / self.name, self.name, kind=self.kind, build=self._build,
            config=self.desk.fingerprint, rows=self._rows, wall_ns=self.clock.wall_ns(),
        )  # fmt: skip
        self.page.beat(self.clock.mono_ns())  # the next one comes when the loop turns
        return True

    def _wait_as_twin(self) -> None:
        path = self.desk.shm_dir / "proc" / f"{self.name}.twin"
        page = StatusPage(path, f"{self.name}.twin", kind=self.kind, build=self._build, config=self.desk.fingerprint)
        reason = f"the role's lock is held by {self._lock.holder()}"
        log.warning("%s: waiting: %s", self.name, reason)
        page.set(Readiness.STARTING, reason, self.clock.wall_ns())
        while not self.stopping and not self._lock.try_acquire(self.clock.wall_ns()):
            page.beat(self.clock.mono_ns())
            self.reactor.run_once(LOCK_RETRY_NS)
        path.unlink(missing_ok=True)

    def wait_for_secrets(self, references: Sequence[str]) -> bool:
        """Stay in STARTING, saying which one is missing, until every secret can be had; False when told to stop."""
        while not self.stopping:
            try:
                for reference in references:
                    resolve(reference, self.desk.run_dir)
                return True
            except SecretError as e:
                if self.page.reason != str(e):
                    self.page.set(Readiness.STARTING, str(e), self.clock.wall_ns())
                    log.warning("%s: waiting for a secret: %s", self.name, e)
            self.page.beat(self.clock.mono_ns())
            self.reactor.run_once(LOCK_RETRY_NS)
        return False

    def wake_early(self) -> None:
        """This process answers the gate: when it is woken it comes before those that compute. Call it before any thread
        is begun: only those begun later inherit it.
        """
        priority = self.desk.config.kill.realtime_priority
        why_not = realtime(priority) if priority else ""
        self.realtime = bool(priority) and not why_not
        if why_not:
            log.warning("%s: kill.realtime_priority: %s", self.name, why_not)
        if not self.realtime and (why_not := short_slice()):
            log.info("%s: no short time slices: %s", self.name, why_not)

    def let_equals_run(self) -> None:
        """Others that answer the gate may wait for this core. Without real-time priority anybody might take it, and
        keep it for milliseconds: then nothing is done.
        """
        if self.realtime:
            os.sched_yield()

    def open_bus(self, journal: Journal | None = None, topics: Sequence[str] = ()) -> None:
        """Bind the publisher. Topics given here go through the journal before they are sent."""
        wall_ns = self.clock.wall_ns()
        epoch = journal.next_epoch(wall_ns) if journal is not None else wall_ns
        self.publisher = Publisher(self.context, publisher_endpoint(self.desk, self.name), self.clock, epoch=epoch)
        for topic in topics:
            self.publisher.declare(topic, journal)
        self.publisher.declare(f"state.{self.name}")
        self.publisher.declare(f"alert.{self.name}")

    def serve(
        self, handler: Handler, journal: Journal | None = None, priority: Priority = Priority.COMMAND
    ) -> CommandServer:
        """Take commands from now on."""
        endpoint = command_endpoint(self.desk, self.name)
        server = CommandServer(self.context, endpoint, self.clock, handler, publisher=self.publisher, journal=journal)
        self.reactor.add_zmq_drained(server.socket, server.serve, "commands", priority)
        self._servers.append(server)
        self.metrics.serve(server)
        return server

    # -- living ----------------------------------------------------------------------------------------------

    def set(self, readiness: Readiness, reason: str = "") -> None:
        """Say in shared memory and on the bus what this process can be relied on for."""
        if (readiness, reason) == (self.page.readiness, self.page.reason):
            return
        self._since_ns = self.clock.wall_ns()
        self.page.set(readiness, reason, self._since_ns)
        log.info("%s %s %s", self.name, readiness, reason)
        self._publish_state()

    def alert(self, severity: str, code: str, text: str, subject: str = "", mark: int = 0) -> None:
        """Tell people: beside the bus first (ipc/alert_spool.py), on the bus, and in the log."""
        alert = Alert(self.name, severity, code, text, self.clock.wall_ns(), subject, mark)
        self._spool.put(alert)
        log.log(logging.WARNING if severity != "info" else logging.INFO, "%s %s: %s", severity, code, text)
        if self._spool.fault:
            log.warning("an alert went to the bus alone: %s", self._spool.fault)
        self.publish(f"alert.{self.name}", alert)

    def publish(self, topic: str, *events: AnyEvent) -> None:
        """Publish events under a topic."""
        self.publisher.publish(topic, *events)

    def on_stop(self, handler: Callable[[], None]) -> None:
        """Run `handler` when the process is told to stop; the last handler to be done calls `finish`."""
        self._stop_handlers.append(handler)

    def stop(self, why: str) -> None:
        """Begin to stop in order; a second call ends the process at once."""
        if self.stopping:
            self.finish()
            return
        self.stopping = True
        log.info("%s stopping: %s", self.name, why)
        if hasattr(self, "page"):
            self.set_stopping(why)
        if not self._stop_handlers:
            self.finish()
        for handler in self._stop_handlers:
            handler()

    def fail(self, why: str) -> None:
        """The process could not begin: say so where people look, in one line, and give everything back."""
        why = why.replace(f"{self.desk.data_dir}{os.sep}", "")  # the page has room for 240 bytes
        self.page.set(Readiness.STARTING, f"could not start: {why}", self.clock.wall_ns())
        log.error("%s could not start: %s", self.name, why)
        self.close()

    def set_stopping(self, why: str) -> None:
        """Show STOPPING, on the bus too where it is open."""
        self.page.set(Readiness.STOPPING, why, self.clock.wall_ns())
        if hasattr(self, "publisher"):
            self._publish_state()

    def finish(self) -> None:
        """Leave the loop."""
        self.reactor.stop()

    def run(self) -> None:
        """Serve until finished, then give everything back."""
        self._beat()
        self._state()
        self.metrics.begin(self.clock.wall_ns())
        gc.collect()
        gc.freeze()  # what lives from the start need not be looked at again by the collector
        if not self.stopping:
            self.reactor.run()
        self.close()

    def close(self) -> None:
        """Release sockets and the lock; the status page stays, its pid and beat tell that nobody writes it."""
        for server in self._servers:
            self.reactor.remove_zmq(server.socket)
            server.close()
        if hasattr(self, "publisher"):
            self.publisher.close()
        self.metrics.close()
        self.reactor.close()
        self.context.destroy(linger=0)
        self._lock.release()

    def _beat(self) -> None:
        mono_ns = self.clock.mono_ns()
        self.page.beat(mono_ns)
        self.metrics.beat(mono_ns, BEAT_NS)
        if hasattr(self, "publisher"):
            self.publisher.heartbeat(mono_ns)
        self.reactor.call_later(BEAT_NS, self._beat, "beat")

    def _state(self) -> None:
        self.metrics.look({**self.counters, "log_lines_lost": self.log_handler.lost_in_all}, self._published())
        self._publish_state()
        self.reactor.call_later(STATE_NS, self._state, "state")

    def _published(self) -> int:
        outlets = self.publisher.outlets.values() if hasattr(self, "publisher") else ()
        return sum(outlet.next_seq - 1 for outlet in outlets)

    def _publish_state(self) -> None:
        if not hasattr(self, "publisher"):
            return
        self.publish(
            f"state.{self.name}",
            ProcessState(
                process=self.name, kind=self.kind, pid=os.getpid(), readiness=self.page.readiness,
                reason=self.page.reason, since_ns=self._since_ns, build=self._build, config=self.desk.fingerprint,
                counters={**self.counters, "log_lines_lost": self.log_handler.lost_in_all},
            ),
        )  # fmt: skip


def _is_child() -> bool:
    """Started by supervisord: its pipes are then left alone (nothing may block on them)."""
    return "SUPERVISOR_PROCESS_NAME" in os.environ


def secret_references(desk: DeskConfig, kind: str, name: str) -> list[str]:
    """References of every secret that a process needs before it can begin."""
    config = desk.config
    sessions = config.kill.sessions if kind == "killswitch" else [name] if name in config.session else []
    venues = set(config.venue) if kind == "killswitch" else {config.session[s].venue for s in sessions}
    rests = [r for v in sorted(venues) if (r := config.venue[v].rest) is not None]
    logons = [config.session[s] for s in sessions]
    found = [r for s in logons for r in (s.username, s.password, s.passphrase)]
    for rest in rests:
        found += rest.kill_references if kind == "killswitch" and rest.kill_key else rest.references
    return [r for r in found if r]


def run_process(
    kind: str,
    option: str,
    begin: Callable[[ProcessHost, str], Any],
    argv: Sequence[str] | None = None,
    *,
    rows: Callable[[DeskConfig, str], int] = lambda desk, name: 64,
) -> int:
    """`python -m procs.<kind> --config FILE [--<option> NAME]`: `begin(host, name)` sets the process up, then it runs.

    `rows(desk, name)` is the room for exposure rows on its status page.
    Exit status 0 after an orderly stop, 2 for a wrong configuration or argument, 1 when it could not begin: the
    status page then goes on saying why.
    """
    parser = argparse.ArgumentParser(prog=f"python -m procs.{kind}")
    parser.add_argument("--config", required=True)
    if option:
        parser.add_argument(f"--{option}", required=True, dest="name")
    args = parser.parse_args(argv)
    try:
        desk = load(args.config)
        name = _process_name(desk, kind, option, args.name if option else kind)
        host = ProcessHost(desk, name, kind, rows=rows(desk, args.name if option else kind))
    except ConfigError as e:
        sys.stderr.write(f"procs.{kind}: {e}\n")
        return 2
    if not host.take_role() or not host.wait_for_secrets(secret_references(desk, kind, args.name if option else kind)):
        return 0
    try:
        begin(host, args.name if option else kind)
    except QuarterdeckError as e:
        host.fail(str(e))
        return 1
    except Exception as e:
        host.fail(f"{type(e).__name__}: {e}")
        raise
    host.run()
    return 0


def _process_name(desk: DeskConfig, kind: str, option: str, given: str) -> str:
    known: dict[str, Sequence[str]] = {
        "session": list(desk.config.session), "shard": list(desk.config.book), "venue": list(desk.config.sim),
    }  # fmt: skip
    if option and given not in known[option]:
        raise ConfigError(f"{desk.path}: no {option} {given!r}; there are {sorted(known[option])}")
    return {"shard": f"book-{given}", "venue": f"sim-{given}"}.get(option, given)
