"""Clients on other hosts: the desk's events and commands over CURVE-encrypted TCP, one forwarder for the whole desk.

Who may connect and what he may do is what files in the keys' folder say (`qd keys`), looked at several times a second.
It weakens nothing: a command that passes here is judged by its process as if it came from this host.
"""

import logging
import sys
from collections.abc import Callable

import msgspec

from base.errors import ConfigError
from base.reactor import Priority
from ipc.curve import Door, Verdict, Zap
from ipc.host import ProcessHost, run_process
from ipc.readiness import Readiness, read_all
from ipc.remote_commands import CommandRelay
from ipc.remote_desk import copies, describe
from ipc.remote_events import DOMAIN as EVENTS
from ipc.remote_events import EventRelay
from ipc.remote_keys import Allowed, Ring, read_server
from ipc.remote_rules import DESK, SELF, Allowance
from ipc.requests import Answer, AnyCommand, Ops
from ipc.roster import command_endpoint, publisher_endpoint, roster

MS = 1_000_000
LOOK_NS = 250 * MS
LOOKS_PER_S = 40  # at the keys' folder, for strangers
SUSPENDED_NS = 60_000 * MS
QUIET_NS = 60_000 * MS  # between two alerts of one key and kind

log = logging.getLogger("forwarder")


class Forwarder:
    """The process: wires keys, handshakes, streams and commands together."""

    def __init__(self, host: ProcessHost, _: str) -> None:
        self.host, self.desk, self.clock, self.reactor = host, host.desk, host.clock, host.reactor
        config = host.desk.config.remote
        if config is None:
            raise ConfigError(f"{self.desk.path}: remote: this desk has no [remote] section")
        self.config = config
        folder = self.desk.data_dir / config.keys
        server = read_server(folder)
        self.ring = Ring(folder)
        self.ring.refresh()
        self.counters = {"remote_unknown_keys": 0, "remote_suspended": 0}
        self._told: dict[tuple[str, str], tuple[int, int]] = {}  # by code and subject: quiet until, kept back since
        self._faults: dict[str, str] = {}
        self._turned_away: dict[str, int] = {}
        self._looks = Allowance(LOOKS_PER_S, LOOKS_PER_S)
        host.open_bus()
        self.zap = Zap(host.context, self._verdict)
        names = [r.name for r in roster(self.desk)]
        ends = {n: command_endpoint(self.desk, n) for n in names if n != host.name and not n.startswith("sim-")}
        self.commands = CommandRelay(
            host.context, config, server, ends, self.clock, self._allowed, self._own, self._refused
        )
        publishers = [publisher_endpoint(self.desk, n) for n in (*names, "informer")]
        self.events = EventRelay(
            host.context, config, server, publishers, self._allowed, self._flooded, self.clock.mono_ns
        )
        self._attend()
        note = {"port": self.commands.door.port, "events_port": self.events.door.port, "public": server.public}
        (self.desk.run_dir / "forwarder.json").write_bytes(msgspec.json.encode(note))
        host.on_stop(self._stop)
        self._look()

    def _attend(self) -> None:
        add = self.reactor.add_zmq_drained
        add(self.zap.socket, self.zap.serve, "handshakes", Priority.NORMAL)
        add(self.commands.clients, self.commands.take, "remote commands", Priority.COMMAND)
        add(self.commands.door.monitor, self.commands.door.serve, "command connections", Priority.NORMAL)
        for process, dealer in self.commands.dealers.items():
            add(dealer, self._answers(process), f"answers of {process}", Priority.COMMAND)
        add(self.events.upstream, self.events.forward, "events", Priority.BULK)
        add(self.events.clients, self.events.subscriptions, "subscriptions", Priority.NORMAL)
        add(self.events.door.monitor, self.events.door.serve, "event connections", Priority.NORMAL)

    def _answers(self, process: str) -> Callable[[], bool]:
        return lambda: self.commands.answers(process)

    # -- who is let in -------------------------------------------------------------------------------------------

    def _allowed(self, public: str) -> Allowed | None:
        return self.ring.allowed(public, self.clock.mono_ns())

    def _verdict(self, domain: str, address: str, public: str) -> Verdict:
        """Of one handshake."""
        if not self.ring.name_of(public) and self._looks.take(self.clock.mono_ns()):
            self._refresh()  # its file may have come just now, and who is refused once does not try again
        if self._allowed(public) is None:
            self.counters["remote_unknown_keys"] += 1
            name = self.ring.name_of(public)
            who = f"{name}, which is suspended" if name else "a key that nobody here knows"
            self._tell("remote_key", name, f"{address} came with {who}")
            return Verdict.LATER if name else Verdict.NEVER
        (self.events if domain == EVENTS else self.commands).admitted.add(public)
        return Verdict.WELCOME

    def _flooded(self, public: str) -> None:
        """A key that subscribes without end is shut out for a while."""
        self.counters["remote_suspended"] += 1
        name = self.ring.name_of(public)
        self.ring.suspend(public, self.clock.mono_ns() + SUSPENDED_NS)
        self._tell("remote_flood", name, f"{name} subscribes without end: shut out for {SUSPENDED_NS // MS // 1000} s")
        self.events.hang_up()

    def _look(self) -> None:
        """Key files come, change and go."""
        self._refresh()
        for name, fault in self.ring.faults.items():
            if self._faults.get(name) != fault:
                self.host.alert("warning", "remote_key", f"key file {fault}", name)
        self._faults = dict(self.ring.faults)
        for door in (self.commands.door, self.events.door):
            self._door(door)
        self._settle()
        self.reactor.call_later(LOOK_NS, self._look, "keys")

    def _refresh(self) -> None:
        gone = self.ring.refresh()
        for side in (self.events, self.commands):
            if gone & side.admitted:
                log.info("a key was taken away: the connections to port %d are made anew", side.door.port)
                side.hang_up()

    def _door(self, door: Door) -> None:
        if door.turned_away > self._turned_away.get(door.endpoint, 0):
            text = f"{door.endpoint}: {door.connections} connections: nobody else is let in until some have gone"
            self._tell("remote_full", door.endpoint, text)
        self._turned_away[door.endpoint] = door.turned_away

    # -- what is asked -------------------------------------------------------------------------------------------

    def _own(self, key: Allowed, command: AnyCommand) -> Answer:
        """What anybody may ask the forwarder itself."""
        if not isinstance(command, Ops):
            return Answer(command.command_id, False, f"{SELF} takes no {type(command).__name__}")
        pages = read_all(self.desk.shm_dir / "proc")
        if command.verb == DESK:
            build = pages[self.host.name].build if self.host.name in pages else ""
            found: object = describe(self.desk, build, key, self.events.door.port, self.config.max_ttl_ms)
        else:
            found = copies(pages, self.clock.mono_ns())
        return Answer(command.command_id, True, data=msgspec.json.encode(found))

    def _refused(self, key: Allowed | None, what: str, why: str) -> None:
        name = key.name if key is not None else ""
        self._tell("remote_refused", name, f"{name or 'a key that is gone'}: {what} refused: {why}")

    def _tell(self, code: str, subject: str, text: str) -> None:
        """Say it at once, and again after a while with the count of what was kept back: no flood of alerts."""
        mono_ns = self.clock.mono_ns()
        until_ns, kept_back = self._told.get((code, subject), (0, 0))
        if mono_ns < until_ns:
            self._told[code, subject] = until_ns, kept_back + 1
            return
        more = f" ({kept_back} more of this kind since it was last said)" if kept_back else ""
        self._told[code, subject] = mono_ns + QUIET_NS, 0
        shown = "".join(c if c.isprintable() else "?" for c in text[:400])  # some of it may be a stranger's words
        self.host.alert("warning", code, shown + more, subject)

    # -- what is said --------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        counters = self.host.counters
        for part in (self.counters, self.commands.counters, self.events.counters):
            counters.update(part)
        counters["remote_command_connections"] = self.commands.door.connections
        counters["remote_event_connections"] = self.events.door.connections
        if self.host.stopping:
            return
        if self.ring.faults:
            names = ", ".join(sorted(self.ring.faults))
            self.host.set(Readiness.DEGRADED, f"key files that let nobody in: {names[:160]}")
        else:
            self.host.set(Readiness.READY, "" if self.ring.names() else "no client has a key")

    def _stop(self) -> None:
        (self.desk.run_dir / "forwarder.json").unlink(missing_ok=True)
        self.host.finish()


def main() -> int:
    """Run the process."""
    return run_process("forwarder", "", Forwarder)


if __name__ == "__main__":
    sys.exit(main())
