"""The kill switch: watches risk, closes the gate, cancels everything by every path, and proves that it did.

Imports no strategy code, works with the event bus dead: the gate is shared memory, owners are read through their status
pages and journals, and operators reach it by command, by signal (SIGUSR1 trips the desk) or by their own word.
"""

import logging
import os
import signal
import sys
from collections.abc import Mapping

import msgspec

from base.config import Kind
from base.errors import CommandError, QuarterdeckError
from base.reactor import Priority
from ipc._words import boot_id
from ipc.bell import Bell, bell_path
from ipc.gate import DRILL_SCOPE, GateState, GateWriter
from ipc.host import ProcessHost, run_process
from ipc.kill_files import KillFiles, read_latch
from ipc.operator_client import line_path
from ipc.operator_line import OperatorLine
from ipc.owners import JournalTail, OwnerWatch, Reviver, Told, drain
from ipc.readiness import Readiness, read_all, read_status
from ipc.requests import Answer, AnyCommand, Ops
from procs.kill_drill import DrillWork
from procs.kill_journals import JournalTurns
from procs.kill_metrics import KillMetrics
from procs.kill_triggers import Triggers
from risk.kill import KillSwitch
from risk.kill_latch import LatchReading, decode
from risk.kill_report import explain
from venues.kill_hands import Hands
from venues.kill_paths import OwnerCommands, OwnSession
from venues.kill_rest import RestPath
from venues.kill_topology import topology_of
from venues.kill_venues import KillVenues

MS = 1_000_000
WATCH_NS = 20 * MS
BUSY_NS = 1 * MS
SLOW_NS = 100 * MS
JOURNAL_BATCH = 2_000
TURN_BATCH = 50  # while it is at work: an event costs it up to 0.1 ms
SLICE_NS = 1_000  # between two batches at the start: timers and signals have their turn

log = logging.getLogger("killswitch")


class Killswitch:
    """The process."""

    def __init__(self, host: ProcessHost, _name: str) -> None:
        self.host = host
        self.desk = desk = host.desk
        self.config = desk.config.kill
        self.clock, self.reactor = host.clock, host.reactor
        topology = topology_of(desk, host.clock.wall_ns())
        self._known = dict.fromkeys(topology.scopes())
        host.wake_early()
        host.open_bus()
        self.files = KillFiles(desk.data_dir / "kill", self.clock)
        self.files.audit("started", {"pid": os.getpid(), "config": desk.fingerprint})
        self.gate = GateWriter(desk.shm_dir / "gate", desk.shm_dir / "operator")
        self.bell = Bell(bell_path(desk.run_dir, host.name))
        self.owners = {s: OwnerWatch(self.reactor, desk, s, self._died) for s in topology.owners}
        self.commands = {s: OwnerCommands(self.reactor, host.context, desk, s) for s in topology.owners}
        self.drop_copies = {s: JournalTail(desk.data_dir / s) for s in desk.sessions(Kind.DROPCOPY)}
        self._tails = {s: o.tail for s, o in self.owners.items()} | self.drop_copies
        self._turns = JournalTurns(list(self._tails), self._read_turn, self.clock)
        self._behind = False  # journals hold more than a turn could read
        self.rest = {
            v: RestPath(self.reactor, desk, v, self.files.audit)
            for v, c in desk.config.venue.items()
            if c.rest is not None
        }
        epoch = host.publisher.epoch
        self.own = {
            s: OwnSession(self.reactor, desk, s, epoch, self._answered, host.alert) for s in self.config.sessions
        }
        self.reviver = Reviver(desk, host.alert)
        self.hands = Hands(
            host, lambda: self.switch, self.files, self.owners, self.commands, self.own, self.rest, self.reviver,
            lambda session: self._read_all(session, self.owners[session].tail),
        )  # fmt: skip
        build = read_status(desk.shm_dir / "proc" / host.name).build
        self.switch = KillSwitch(
            self.gate, self.clock, topology, self.config, f"{boot_id():032x}", self.hands.perform,
            fingerprint=(build, desk.fingerprint),
        )  # fmt: skip
        self.venues = KillVenues(
            self.reactor, desk, self.switch, self.owners, self.commands, self.own, self.rest, host.alert,
            self.files.audit, build,
        )  # fmt: skip
        self.triggers = Triggers(host, topology, self.owners, self.drop_copies, self.switch, self._trip)
        self.drills = DrillWork(host, self.switch, self.files, self.owners, self.commands, self.own, self.rest)
        self.metrics = KillMetrics(host, self.switch, self.own)
        self._faults: dict[str, str] = {}
        self._slow_turns = 0
        self._line: OperatorLine | None = None
        self._reading, self._renewing = True, False
        self._died_early: dict[str, bool] = {}  # owners whose process ended while journals were read: orderly?
        self._begin()

    def _begin(self) -> None:
        """Journals first, in slices, the loop turning; until then operators have their word and SIGUSR1 the gate."""
        self.host.set(Readiness.RECOVERING, "reading journals")
        reading = decode(read_latch(self.desk.data_dir / "kill"), f"{boot_id():032x}")
        for owner in self.owners.values():
            owner.look()
        self.reactor.on_signal(signal.SIGUSR1, self._signalled)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        self.host.on_stop(self._stop)
        if self._was_armed(reading):
            self._renewing = True
            self._renew()
        self._read_slice(reading, list(self.owners.values()))

    def _was_armed(self, reading: LatchReading) -> bool:
        """Latch and words agree that all of it is ARMED: trading goes on while this process comes up."""
        kept = reading.latch.scopes.values() if reading.latch is not None else ()
        words = {self.gate.get(s).state for s in self.gate.scopes() if s != DRILL_SCOPE}
        armed = bool(kept) and all(s.state == GateState.ARMED.name for s in kept) and words == {GateState.ARMED}
        return armed and not self.gate.nameless() and not self.gate.operator_word()[0]

    def _read_slice(self, reading: LatchReading, left: list[OwnerWatch]) -> None:
        if self.host.stopping:
            return
        if left and self._read(left[0].session, left[0].tail) != "more":
            left.pop(0)
        if left:
            self.reactor.call_later(SLICE_NS, lambda: self._read_slice(reading, left), "journals")
        else:
            self._started(reading)

    def _started(self, reading: LatchReading) -> None:
        host = self.host
        for owner in self.owners.values():
            owner.look()
        fences = max((o.status.fence for o in self.owners.values() if o.status is not None), default=0)
        self.switch.start(reading, fences, self._alive())
        if reading.latch is not None:
            self.metrics.taken_up(kept.trip_id for kept in reading.latch.scopes.values())
        self._reading = False
        self._operator_word()
        for name, orderly in self._died_early.items():
            self._died(name, orderly)
        if not self._renewing:
            self._renew()
        self.reactor.add_reader(self.bell.fd, self._rung, "bell", Priority.URGENT)
        host.serve(self._command, priority=Priority.URGENT)
        self._line = OperatorLine(self.reactor, line_path(self.desk.run_dir), self._command)
        for session in self.own.values():
            session.start()
        self._watch()
        self._slow()
        self._settle()

    # -- loops -----------------------------------------------------------------------------------------------

    def _renew(self) -> None:
        if self.host.stopping:
            return
        self.gate.renew(self.clock.mono_ns(), self.config.lease_ms * MS)
        self.reactor.call_later(self.config.lease_renew_ms * MS, self._renew, "lease")

    def _watch(self) -> None:
        """Owners, journals, limits, deadlines."""
        self._operator_word()
        for owner in self.owners.values():
            owner.look()
        if not self._behind:
            self._catch_up()
        self._who_runs()
        self._fences()
        self.triggers.look()
        self.switch.tick()
        self.reactor.call_later(WATCH_NS, self._watch, "watch")

    def _catch_up(self) -> None:
        """Journals, until nothing is left in them; everything else has its turn in between."""
        self._behind = not self.host.stopping and self._turns.read()
        if self._behind:
            self.reactor.call_later(SLICE_NS, self._catch_up, "journals")

    def _busy(self) -> None:
        """While owners have not answered: look at their words every millisecond, not only when they ring."""
        unseen = self.switch.unseen()
        for session in unseen:
            self.owners[session].look()
        if unseen:
            self._who_runs()
        self._fences()
        self.switch.tick()
        if self.switch.fencing():
            self.reactor.call_later(BUSY_NS, self._busy, "fence")

    def _slow(self) -> None:
        self.reviver.look(self._alive(), self.clock.mono_ns())
        found = read_all(self.desk.shm_dir / "proc")
        live = {n: s for n, s in found.items() if self._beats(s.beat_mono_ns)}
        self.switch.fingerprints({n: (s.build, s.config) for n, s in live.items()})
        self._fault("disk", self.files.fault())
        self._fault("audit", self.files.damage)
        self.gate.mend_names()
        self._fault("gate", self.gate.names_fault)
        self.triggers.slow(found, self.files.fault())
        for name, text in self.triggers.faults().items():
            self._fault(name, text)
        for name, owner in self.owners.items():
            blind = owner.out_of_reach()
            self._fault(f"reach {name}", f"{name} could not be killed: {blind}" if blind else "")
        if not self.gate.intact():
            self._rebuild_gate()
        if not self.switch.busy and not self.venues.certifier.busy:
            for session in self.own.values():
                session.forget()
            for path in self.rest.values():
                path.forget()
        self.venues.tick()
        self._settle()
        self._slow_turns += 1
        if self._slow_turns % 10 == 5:
            self.metrics.look(self.triggers.standing())
        if self._slow_turns % 10 == 0:  # who subscribed late hears where things stand
            self.host.publish("kill", *map(self.switch.kill_state, self.switch.records))
        self.reactor.call_later(SLOW_NS, self._slow, "slow")

    def _beats(self, beat_ns: int) -> bool:
        return self.clock.mono_ns() - beat_ns < 2_000 * MS

    def _settle(self) -> None:
        """READY as long as the process itself can do its work; sessions that are down are said."""
        down = [f"{s.name} {s.state}" for s in self.own.values() if s.state != "READY"]
        faults = [*self._faults.values(), *down]
        if not self.host.stopping:
            self.host.set(Readiness.DEGRADED if faults else Readiness.READY, "; ".join(faults))

    def _fault(self, key: str, text: str) -> None:
        code, _, subject = key.partition(" ")
        if text and key not in self._faults:
            self.host.alert("critical", code, text, subject)
        elif not text and key in self._faults:
            self.host.alert("info", code, f"over: {self._faults[key]}", subject)
        if text:
            self._faults[key] = text
        else:
            self._faults.pop(key, None)

    def _rebuild_gate(self) -> None:
        """Somebody removed or replaced a gate file: readers must not find an open one, nor none."""
        old, self.gate = self.gate, self.gate.rebuilt()
        self.switch.use_gate(self.gate)
        old.lapse()  # who still maps the old file finds its lease out, and looks for the new one
        self.gate.renew(self.clock.mono_ns(), self.config.lease_ms * MS)
        self._trip("desk", "gate", "a file of the gate was removed or replaced")

    # -- triggers --------------------------------------------------------------------------------------------

    def _operator_word(self) -> None:
        at_ns, reason = self.gate.operator_word()
        if at_ns:
            self._trip("desk", "operator", f"operator word: {reason}")
            self.gate.clear_operator()

    def _signalled(self) -> None:
        if self._reading:
            self.gate.close(["desk"])  # owners obey it at once; the start finds the word and makes a trip of it
        else:
            self._trip("desk", "signal", "SIGUSR1")

    def _trip(self, scope: str, cause: str, reason: str, figures: Mapping[str, object] | None = None) -> None:
        self.switch.trip(scope, cause, reason, self.clock.mono_ns(), figures=figures)
        self._await_fences()

    def _await_fences(self) -> None:
        """Owners answer within fractions of a millisecond: what can wait waits until their bell was heard."""
        self._fences()
        self.reactor.call_later(BUSY_NS, self._busy, "follow")

    def _died(self, session: str, orderly: bool) -> None:
        if self._reading:
            self._died_early[session] = orderly
            return
        self._read_all(session, self.owners[session].tail)
        self.switch.owner_died(session, orderly)
        self._busy()

    # -- what owners say -------------------------------------------------------------------------------------

    def _alive(self) -> set[str]:
        return {s for s, o in self.owners.items() if o.alive}

    def _who_runs(self) -> None:
        self.switch.owners_alive(self._alive(), [s for s, o in self.owners.items() if o.starting])

    def _fences(self) -> None:
        for session in self.switch.waiting_for():
            self.switch.fence(session, *self.owners[session].fence())

    def _rung(self) -> bool:
        self.bell.drain()
        self._fences()
        return False

    def _read_turn(self, session: str) -> str:
        return self._read(session, self._tails[session], TURN_BATCH)

    def _read(self, session: str, tail: JournalTail, batch: int = JOURNAL_BATCH) -> str:
        said = drain(tail, lambda told: self._told(session, told), batch)
        if said != "more":
            self._fault(f"journal {session}", f"journal of {session}: {said}" if said else "")
        return said

    def _told(self, session: str, told: Told) -> None:
        self.switch.event(told.event)
        self.triggers.told(session, told)
        if not self._reading:
            self.venues.event(told.event)

    def _read_all(self, session: str, tail: JournalTail) -> bool:
        said = "more"
        while said == "more":
            said = self._read(session, tail)
        return not said

    # -- commands --------------------------------------------------------------------------------------------

    def _command(self, command: AnyCommand, _identity: bytes) -> Answer:
        received_ns = self.clock.mono_ns()
        if not isinstance(command, Ops):
            return Answer(command.command_id, False, f"the kill switch does not take {type(command).__name__}")
        try:
            data = self._ops(command, received_ns)
        except QuarterdeckError as e:
            return Answer(command.command_id, False, str(e))
        return Answer(command.command_id, True, data=msgspec.json.encode(data))

    def _ops(self, command: Ops, received_ns: int) -> object:
        args = command.args
        scope, reason, by = args.get("scope") or "desk", args.get("reason", ""), args.get("by", command.client_id)
        match command.verb:
            case "trip":
                self._check_known(scope)
                said = f"{reason} (by {by})" if reason else f"by {by}"
                trip = self.switch.trip(scope, "operator", said, received_ns)
                self._await_fences()
                return {"trip_id": trip.trip_id, "generation": trip.generation, "touches": trip.plan.touches,
                        "leaves": trip.plan.leaves}  # fmt: skip
            case "reset":
                return {"said": self.switch.reset(scope, reason, by, args.get("force", "").split())}
            case "arm" if scope.startswith("strategy:"):
                return {"said": self.switch.arm_strategy(scope, reason, by)}
            case "arm":
                return {"unproven": self.switch.arm(reason, by)}
            case "plan":
                self._check_known(scope)
                return msgspec.to_builtins(self.switch.plan(scope))
            case "status":
                return self._status()
            case "why":
                return {"why": explain(self._status()["last_trip"])}  # type: ignore[arg-type]
            case "limits":
                return self.triggers.limits()
            case "certify" | "certified":
                return self.venues.ops(command.verb, args)
            case "drill":
                return self.drills.begin(by)
            case "drill_status":
                return self.drills.status()
            case "drill_record":
                return self.drills.keep(args.get("record", ""))
            case _:
                verbs = (
                    "trip, reset, arm, plan, status, why, limits, certify, certified, drill, drill_status, drill_record"
                )
                raise CommandError(f"no verb {command.verb!r}; there are {verbs}")

    def _check_known(self, scope: str) -> None:
        """A scope that nothing carries would close nothing: a slip of the hand must not look like a trip."""
        if scope not in self._known and not (scope.startswith("strategy:") and len(scope) > len("strategy:")):
            raise CommandError(f"no scope {scope!r}; there are {', '.join(self._known)} and strategy:NAME")

    def _status(self) -> dict[str, object]:
        status = self.switch.status()
        status["sessions"] = {s.name: {"phase": str(s.state), "reason": s.reason} for s in self.own.values()}
        status["out_of_reach"] = [f"{s}: {why}" for s, o in self.owners.items() if (why := o.out_of_reach())]
        status["faults"] = list(self._faults.values())
        status.update(self.venues.status())
        return status

    # -- what the hands need ----------------------------------------------------------------------------------

    def _answered(self, event: str, facts: dict[str, object]) -> None:
        """What the own sessions hear is kept while a trip is under way; some venues tell them of every order."""
        if self.switch.busy:
            self.files.audit(event, facts)

    # -- stopping --------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        """The words stay as they are; the lease runs out, so that no new order leaves without this process."""
        self.venues.stop(self._stopped)

    def _stopped(self) -> None:
        for session in () if self._reading else self.own.values():
            session.stop()
        for path in self.rest.values():
            path.close()
        self.triggers.close()
        self.files.audit("stopped", {})
        if not self.files.close():
            self.host.alert("critical", "disk", f"latch or audit not written: {self.files.fault()}")
        self.reactor.remove(self.bell.fd)  # the loop turns on until `finish`
        self.bell.close()
        if self._line is not None:
            self._line.close()
        self.reactor.call_later(200 * MS, self.host.finish, "stop")


def main() -> int:
    """Run the process. A SIGUSR1 that comes before anybody listens would end it: it waits.

    SIGHUP would, too: the kernel sends it to a process that stands still when the supervisord above it dies, and then
    SIGCONT. So a kill switch that was stopped goes on, when nobody is left to start another one.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    signal.signal(signal.SIGHUP, lambda *_: None)  # not SIG_IGN, which owners that it starts would inherit
    return run_process("killswitch", "", Killswitch)


if __name__ == "__main__":
    sys.exit(main())
