"""The kill switch's hands: does what its logic asks for (risk/kill_actions.py), and feeds back what came of it."""

import logging
from collections.abc import Callable, Mapping

from base.reactor import Reactor
from ipc.bell import Ringer, bell_path
from ipc.events import KillProgress
from ipc.host import ProcessHost
from ipc.kill_files import KillFiles
from ipc.owners import OwnerWatch, Reviver
from ipc.requests import Answer, CancelOrder, ListOrders, MassCancel
from risk import kill_actions as do
from risk.kill import KillSwitch
from risk.kill_plan import OwnerMassCancel, OwnMassCancel, RestCancelAll
from risk.kill_proof import ListedId
from venues.kill_paths import OwnerCommands, OwnSession
from venues.kill_rest import RestPath

log = logging.getLogger("killswitch")


class Hands:
    """The sink of the kill switch's actions."""

    def __init__(
        self,
        host: ProcessHost,
        switch: Callable[[], KillSwitch],
        files: KillFiles,
        owners: Mapping[str, OwnerWatch],
        commands: Mapping[str, OwnerCommands],
        own: Mapping[str, OwnSession],
        rest: Mapping[str, RestPath],
        reviver: Reviver,
        read_all: Callable[[str], bool],
    ) -> None:
        """`read_all(session)`: feed what is left of an owner's journal; False when it cannot be read."""
        self.host, self.desk, self.files = host, host.desk, files
        self.clock = host.clock
        self.reactor: Reactor = host.reactor
        self.owners, self.commands, self.own, self.rest = owners, commands, own, rest
        self.reviver = reviver
        self.ringer = Ringer()
        self._bells = {s: bell_path(self.desk.run_dir, s) for s in owners}
        self._switch, self._read_all = switch, read_all
        self._reading: set[str] = set()
        self._not_killed: dict[str, str] = {}  # owners that could not be killed, and why: said once
        self._doing = self._table()

    def _table(self) -> dict[type, Callable[..., object]]:
        return {
            do.RingOwners: self._ring,
            OwnMassCancel: self._own_mass,
            OwnerMassCancel: self._owner_mass,
            RestCancelAll: self._rest_all,
            do.CancelOne: self._cancel_one,
            do.RestCancelOrder: self._rest_one,
            do.KillOwner: self._kill_owner,
            do.Revive: lambda a: self.reviver.want(a.session, self.clock.mono_ns()),
            do.ReadJournal: self._read_journal,
            do.AskOwner: self._ask_owner,
            do.AskList: self._ask_list,
            do.AskOrder: self._ask_order,
            do.Persist: lambda a: self.files.latch(a.data),
            do.Audit: lambda a: self.files.audit(a.event, a.facts),
            do.Step: self._step,
            do.State: lambda a: self.host.publish("kill", self._switch().kill_state(a.scope)),
            do.Tell: self._tell,
        }

    def perform(self, action: do.Action) -> None:
        """Do it now, or have it begun; never calls the switch back from within."""
        self._doing[type(action)](action)

    def _tell(self, action: do.Tell) -> None:
        self.host.alert(action.severity, action.code, action.text)
        if action.severity != "info":
            self.files.audit("alert", {"severity": action.severity, "code": action.code, "text": action.text})

    def _ring(self, action: do.RingOwners) -> None:
        for session in action.sessions:
            self.ringer.ring(self._bells[session])
        self.host.let_equals_run()  # an owner that waits for this core stores its word in a few us

    def _sent(self, action: do.Action, path: str) -> None:
        self._switch().sent(action)
        self.files.audit("sent", {"path": path, "what": repr(action)})

    def _own_mass(self, action: OwnMassCancel) -> None:
        if self.own[action.session].mass_cancel(action):
            self._sent(action, action.session)

    def _owner_mass(self, action: OwnerMassCancel) -> None:
        link = self.commands[action.session]
        command = MassCancel("killswitch", link.next_id(), 0, action.instrument, "kill switch")
        if self.owners[action.session].alive and link.send(command, self._noted(action.session, "mass cancel")):
            self._sent(action, f"commands {action.session}")

    def _cancel_one(self, action: do.CancelOne) -> None:
        link = self.commands[action.session]
        command = CancelOrder("killswitch", link.next_id(), 0, action.cl_ord_id, action.order_id, action.instrument)
        if link.send(command, self._noted(action.session, action.cl_ord_id)):
            self._sent(action, f"commands {action.session}")

    def _noted(self, session: str, what: str) -> Callable[[Answer], object]:
        path = f"commands {session}"

        def answered(answer: Answer) -> None:
            if answer.accepted:
                self.files.audit("answer", {"path": path, "what": what})
            else:
                self.files.audit("refused", {"path": path, "what": what, "why": answer.reason})

        return answered

    def _rest_all(self, action: RestCancelAll) -> None:
        path = self.rest.get(action.venue)
        if path is not None and path.usable:
            path.cancel_all(action)
            self._sent(action, f"{action.venue} rest")

    def _rest_one(self, action: do.RestCancelOrder) -> None:
        path = self.rest.get(action.venue)
        if path is not None and path.usable:
            path.cancel_order(action, lambda: self._sent(action, f"{action.venue} rest"))

    def _kill_owner(self, action: do.KillOwner) -> None:
        session = action.session
        why = self.owners[session].kill()
        if why and self._not_killed.get(session) == why:
            return
        self.files.audit("killed", {"session": session, "reason": action.reason, "fault": why})
        self._not_killed.pop(session, None)
        if why and self.owners[session].alive:
            self._not_killed[session] = why
            then = "end it by hand (kill -9, as root); cancels go on, but nothing is proven while it may send"
            self.host.alert("critical", "kill_failed", f"{session}: {why}: {then}")

    def _read_journal(self, action: do.ReadJournal) -> None:
        """Not from within the switch: at the end of this turn."""
        session = action.session
        if session in self._reading:
            return
        self._reading.add(session)

        def read() -> None:
            self._reading.discard(session)
            if self._read_all(session):
                self._switch().journal_read(session)

        self.reactor.call_soon(read, f"journal {session}")

    def _ask_owner(self, action: do.AskOwner) -> None:
        session, link = action.session, self.commands[action.session]

        def answered(answer: Answer) -> None:
            # What it holds for finished is a claim: only with all that its journal says is its list an inventory. Until
            # then the journal is asked for again and again.
            if answer.accepted and self._read_all(session):
                self._switch().inventory(session, answer.orders)

        if not link.send(ListOrders("killswitch", link.next_id(), 0), answered):
            self._read_journal(do.ReadJournal(session))

    def _ask_list(self, action: do.AskList) -> None:
        venue = action.venue

        def done(lines: list[ListedId], started_ns: int, done_ns: int) -> None:
            facts = {"path": f"{venue} rest", "orders": len(lines), "took_ms": (done_ns - started_ns) / 1e6}
            self.files.audit("listed", {**facts})
            self._switch().listed(venue, lines, started_ns, done_ns)

        self.rest[venue].list_orders(done, lambda why: self._switch().list_failed(venue, why))

    def _ask_order(self, action: do.AskOrder) -> None:
        order = self._switch().ledger.find(action.session, action.cl_ord_id)
        if order is not None and action.venue in self.rest:

            def done(status: str, cum: int | None) -> None:
                facts = {"path": f"{action.venue} rest", "order": action.cl_ord_id, "ord_status": status}
                self.files.audit("order answered", {**facts})
                self._switch().order_answered(action.session, action.cl_ord_id, status, cum)

            self.rest[action.venue].ask_order(order, done)

    def _step(self, a: do.Step) -> None:
        now_ns = self.clock.wall_ns()
        event = KillProgress(a.trip_id, a.step, a.detail, a.working, a.proven, a.filled, now_ns)
        self.host.publish("kill", event)
        log.warning("%s %s: %s (%d working, %d proven)", a.trip_id, a.step, a.detail, a.working, a.proven)
