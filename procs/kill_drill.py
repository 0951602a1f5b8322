"""The kill switch's drill: the way of a trip over the live configuration, touching no order (risk/kill_drill.py)."""

from collections.abc import Callable, Mapping

import msgspec
import zmq

from base.errors import CommandError, SessionError
from ipc.bell import Ringer, bell_path
from ipc.drills import FILE, DrillRecord, drill_line
from ipc.gate import DRILL_SCOPE, GateState
from ipc.host import ProcessHost
from ipc.kill_files import KillFiles
from ipc.owners import OwnerWatch
from ipc.requests import Answer, ListOrders, Ops
from risk.kill import KillSwitch
from risk.kill_drill import Drill
from risk.kill_plan import make_plan
from risk.kill_records import CLOSED
from venues.kill_paths import OwnerCommands, OwnSession
from venues.kill_rest import RestPath

MS = 1_000_000
LOOK_NS = 2 * MS
POLL_NS = 100 * MS
ANSWER_NS = 10_000 * MS  # for a session, a REST side, a process, a disk
ALARM_SPARE_NS = 5_000 * MS  # beyond the slowest notifier's own limit


class DrillWork:
    """Makes drills, one at a time."""

    def __init__(
        self,
        host: ProcessHost,
        switch: KillSwitch,
        files: KillFiles,
        owners: Mapping[str, OwnerWatch],
        commands: Mapping[str, OwnerCommands],
        own: Mapping[str, OwnSession],
        rest: Mapping[str, RestPath],
    ) -> None:
        self._host, self._switch, self._files, self._owners = host, switch, files, owners
        self._commands, self._own, self._rest = commands, own, rest
        self._clock, self._reactor = host.clock, host.reactor
        self._ringer = Ringer()
        self._drill: Drill | None = None
        self._last: DrillRecord | None = None
        self._generation = 0
        self._gate_open = True
        self._trips: tuple[str, ...] = ()
        self._alarms: OwnerCommands | None = None
        self._round_trips: dict[str, int] = {}

    # -- commands -----------------------------------------------------------------------------------------------

    def begin(self, by: str) -> dict[str, object]:
        """Begin a drill. CommandError while anything is tripped or another drill is under way."""
        shut = [s for s, r in self._switch.records.items() if r.state in (*CLOSED, GateState.RESETTING)]
        if shut:
            raise CommandError(f"{', '.join(shut)} is tripped: no drill before it is open again")
        if self._drill is not None:
            raise CommandError(f"drill {self._drill.drill_id} is under way")
        mono_ns, wall_ns = self._clock.mono_ns(), self._clock.wall_ns()
        drill = Drill(f"d{wall_ns}", by, wall_ns)
        self._trips = tuple(self._switch.trips)
        self._close_word(drill, mono_ns)
        self._drill = drill
        self._make_plan(drill)
        self._ask_owners(drill)
        self._ask_venues(drill)
        self._write(drill)
        self._call_people(drill, by)
        drill.seal()
        self._look()
        return {"drill_id": drill.drill_id}

    def status(self) -> dict[str, object]:
        """The drill under way, or the last one of this process."""
        if self._drill is not None:
            found = msgspec.to_builtins(self._drill.record())
            return {"over": False, "waits_for": self._drill.open_steps(), "record": found}
        return {"over": True, "waits_for": [], "record": msgspec.to_builtins(self._last)}

    def keep(self, data: str) -> dict[str, object]:
        """Keep the record of a full drill, which a person's client made. CommandError when it is none."""
        try:
            record = msgspec.json.decode(data, type=DrillRecord)
        except msgspec.DecodeError as e:
            raise CommandError(f"no record of a drill: {e}") from None
        self._store(record)
        return {"drill_id": record.drill_id}

    # -- steps --------------------------------------------------------------------------------------------------

    def _close_word(self, drill: Drill, mono_ns: int) -> None:
        drill.begin("gate word", mono_ns, mono_ns + ANSWER_NS)
        self._generation = self._switch.gate.close([DRILL_SCOPE])
        self._gate_open = False
        closed_ns = self._clock.mono_ns()
        drill.done("gate word", closed_ns, f"generation {self._generation}; no order reads this word")
        deadline_ns = closed_ns + self._host.desk.config.kill.fence_deadline_ms * MS
        for session, owner in self._owners.items():
            if owner.alive and not owner.starting:
                drill.begin(f"fence {session}", closed_ns, deadline_ns)
            else:
                drill.failed(f"fence {session}", "it is starting" if owner.alive else "its process does not run")
        for session in self._owners:
            self._ringer.ring(bell_path(self._host.desk.run_dir, session))

    def _make_plan(self, drill: Drill) -> None:
        mono_ns = self._clock.mono_ns()
        drill.begin("plan", mono_ns, mono_ns + ANSWER_NS)
        plan = make_plan(self._switch.topology, "desk")
        text = f"{len(plan.owners)} owners, {len(plan.sends)} requests; touches {'; '.join(plan.touches) or 'nothing'}"
        drill.done("plan", self._clock.mono_ns(), text)

    def _ask_owners(self, drill: Drill) -> None:
        for session, link in self._commands.items():
            name = f"commands {session}"
            mono_ns = self._clock.mono_ns()
            drill.begin(name, mono_ns, mono_ns + ANSWER_NS)

            def answered(answer: Answer, name: str = name) -> None:
                said = f"{len(answer.orders)} open orders" if answer.accepted else answer.reason
                drill.done(name, self._clock.mono_ns(), said, ok=answer.accepted)

            if not link.send(ListOrders("killswitch", link.next_id(), 0), answered):
                drill.failed(name, "nobody takes commands there")

    def _ask_venues(self, drill: Drill) -> None:
        for name, session in self._own.items():
            mono_ns = self._clock.mono_ns()
            drill.begin(f"session {name}", mono_ns, mono_ns + ANSWER_NS)
            self._round_trips[name] = session.round_trip[0]
            try:
                session.probe()
            except SessionError as e:
                drill.failed(f"session {name}", str(e))
        for venue, path in self._rest.items():
            if not path.usable:
                continue
            step, mono_ns = f"rest {venue}", self._clock.mono_ns()
            drill.begin(step, mono_ns, mono_ns + ANSWER_NS)
            self._list(drill, step, path)

    def _list(self, drill: Drill, step: str, path: RestPath) -> None:
        path.list_orders(
            lambda lines, _began, done_ns: drill.done(step, done_ns, f"{len(lines)} open orders listed"),
            lambda why: drill.done(step, self._clock.mono_ns(), why, ok=False),
        )

    def _write(self, drill: Drill) -> None:
        mono_ns = self._clock.mono_ns()
        drill.begin("latch and audit", mono_ns, mono_ns + ANSWER_NS)
        self._files.audit("drill", {"drill_id": drill.drill_id, "by": drill.by, "generation": self._generation})
        self._switch.persist()

    def _call_people(self, drill: Drill, by: str) -> None:
        config = self._host.desk.config.alarms
        mono_ns = self._clock.mono_ns()
        limit_ns = max((n.timeout_ms for n in config.notifiers), default=0) * MS if config is not None else 0
        drill.begin("alarms", mono_ns, mono_ns + limit_ns + ALARM_SPARE_NS)
        if config is None:
            drill.done("alarms", mono_ns, "no [alarms]: nobody would be called")
            return
        if self._alarms is None:
            context: zmq.Context[zmq.Socket[bytes]] = self._host.context
            self._alarms = OwnerCommands(self._reactor, context, self._host.desk, "alarms")
        self._tell(drill, self._alarms, by, 20)

    def _tell(self, drill: Drill, link: OwnerCommands, by: str, tries: int) -> None:
        """The first time the connection may not stand yet."""

        def answered(answer: Answer) -> None:
            if not answer.accepted:
                drill.done("alarms", self._clock.mono_ns(), answer.reason, ok=False)
                return
            self._outcome(drill, link, str(msgspec.json.decode(answer.data)["test"]))

        words = {"kind": "drill", "text": f"kill switch drill {drill.drill_id} by {by}: nothing is wrong"}
        if link.send(Ops("killswitch", link.next_id(), 0, "test", words), answered):
            return
        if tries:
            again: Callable[[], object] = lambda: self._tell(drill, link, by, tries - 1)  # noqa: E731
            self._reactor.call_later(POLL_NS, again, "drill alarms")
        else:
            drill.failed("alarms", "the alarms process does not take commands: nobody would be called")

    def _outcome(self, drill: Drill, link: OwnerCommands, test: str) -> None:
        if "alarms" not in drill.open_steps():
            return

        def answered(answer: Answer) -> None:
            outcomes = msgspec.json.decode(answer.data)["outcomes"] if answer.accepted else {}
            if outcomes and all(outcomes.values()):
                arrived = all(text.startswith("arrived") for text in outcomes.values())
                said = "; ".join(f"{n} {text}" for n, text in outcomes.items())
                drill.done("alarms", self._clock.mono_ns(), said, ok=arrived)
            elif answer.accepted and not outcomes:
                drill.done("alarms", self._clock.mono_ns(), "there is no notifier: nobody would be called", ok=False)
            else:
                self._reactor.call_later(POLL_NS, lambda: self._outcome(drill, link, test), "drill alarms")

        link.send(Ops("killswitch", link.next_id(), 0, "outcome", {"test": test}), answered)

    # -- to its end ---------------------------------------------------------------------------------------------

    def _look(self) -> None:
        drill, mono_ns = self._drill, self._clock.mono_ns()
        if drill is None:
            return
        for step in drill.open_steps("fence "):
            generation, at_ns = self._owners[step.removeprefix("fence ")].fence()
            if generation >= self._generation:
                drill.done(step, min(at_ns, mono_ns))
        for step in drill.open_steps("session "):
            count, took_ns = self._own[step.removeprefix("session ")].round_trip
            if count > self._round_trips[step.removeprefix("session ")]:
                drill.done(step, mono_ns, f"TestRequest answered after {took_ns / 1e6:.1f} ms")
        if self._files.idle:
            drill.done("latch and audit", mono_ns)
        drill.tick(mono_ns)
        trips = tuple(self._switch.trips)
        if trips != self._trips:
            drill.abort(f"a trip began: {', '.join(set(trips) - set(self._trips))}")
        if not self._gate_open and not drill.open_steps("fence "):
            self._open_word()
        if drill.over:
            self._finish(drill)
        else:
            self._reactor.call_later(LOOK_NS, self._look, "drill")

    def _open_word(self) -> None:
        self._switch.gate.set(DRILL_SCOPE, GateState.ARMED)
        self._gate_open = True

    def _finish(self, drill: Drill) -> None:
        self._drill = None
        self._store(drill.record())

    def _store(self, record: DrillRecord) -> None:
        self._last = record
        self._files.audit("drilled", msgspec.to_builtins(record))
        self._files.append(FILE, drill_line(record))
        wrong = [f"{s.name}: {s.said}" for s in record.steps if not s.ok]
        if record.ok:
            self._host.alert("info", "drill_failed", f"drill {record.drill_id} was passed", "drill")
        else:
            self._host.alert("critical", "drill_failed", f"drill {record.drill_id}: {'; '.join(wrong)}", "drill")
