"""The kill switch: states per scope, trips, reset, arming. Pure but for the gate words, which are stored at once.

What it wants done goes to a sink, in order, as actions (risk/kill_actions.py); the process around it does them and
feeds back what happened. The sink must not call back from within.
"""

from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec

from base.clock import Clock
from base.errors import CommandError
from base.kill_config import KillConfig
from ipc.events import KillState, OrderState
from ipc.gate import GateState
from ipc.gate_names import check_scope
from risk import kill_reset, kill_strategies
from risk.kill_actions import CANCELS, Action, AskList, Audit, Persist, RingOwners, Step, Tell
from risk.kill_latch import LatchReading
from risk.kill_orders import ABSENT, OrderLedger, Seen
from risk.kill_plan import KillVenue, Plan, Topology, make_plan
from risk.kill_proof import ListedId
from risk.kill_records import CLOSED, Gate, Record, ScopeTable
from risk.kill_report import describe, venue_counts
from risk.kill_start import begin
from risk.kill_trip import Deadlines, Phase, Times, Trip

SECOND_NS = 1_000_000_000
LIST_EVERY_NS = 250_000_000
WATCH_EVERY_NS = 2 * SECOND_NS  # more, between two lists after the proof
LIST_TIMEOUT_NS = 5_000_000_000


class _Listing(msgspec.Struct):
    """The open-orders list of one venue: when the next is due, and since when one is under way."""

    next_ns: int = 0
    asked_ns: int = 0


class KillSwitch:
    """See the module. Times of calls: `mono_ns` monotonic."""

    def __init__(
        self,
        gate: Gate,
        clock: Clock,
        topology: Topology,
        config: KillConfig,
        boot_id: str,
        sink: Callable[[Action], object],
        *,
        fingerprint: tuple[str, str] = ("", ""),
    ) -> None:
        self.ledger = OrderLedger()
        self.table = ScopeTable(gate, clock, sink)
        self.records = self.table.records
        self.trips: dict[str, Trip] = {}
        self.last_trip: dict[str, object] = {}
        self.topology = topology
        self.gate, self.clock, self.config, self._boot_id, self._do = gate, clock, config, boot_id, sink
        self._fingerprint = fingerprint
        self._mismatches: dict[str, str] = {}
        self._alive: set[str] = set()
        self._listing = {v.name: _Listing() for v in topology.venues.values() if v.lists}
        self._plans: dict[str, Plan] = {s: make_plan(topology, s) for s in topology.scopes()}
        self._phases: dict[str, Phase] = {}
        self._starting: frozenset[str] = frozenset()
        self._deadlines = Deadlines(
            config.fence_deadline_ms * 1_000_000, config.proof_deadline_s * SECOND_NS,
            config.unanswered_horizon_s * SECOND_NS, config.watch_after_proof_s * SECOND_NS,
        )  # fmt: skip
        self.refusing: dict[str, str] = {}  # venues that take no cancels now, and why; the process keeps it up to date
        self._fresh = False  # a trip has not taken down its orders yet

    # -- beginning -----------------------------------------------------------------------------------------------

    def start(self, reading: LatchReading, highest_fence: int, alive: Iterable[str]) -> None:
        """Take up where the latch, the gate words and the owners' fences stand. Feed the journals before this."""
        self._alive = set(alive)
        begin(self, reading, highest_fence)

    # -- operators and triggers ----------------------------------------------------------------------------------

    def trip(
        self, scope: str, cause: str, reason: str, received_ns: int, *, trip_id: str = "",
        figures: Mapping[str, object] | None = None,
    ) -> Trip:  # fmt: skip
        """Close the gate for a scope and cancel everything in it. Tripping again what is being tripped sends again.

        `figures`: the trigger's own (value, limit, looks), for the audit.
        """
        check_scope(scope)
        generation = self.gate.close([scope])
        closed_ns = self.clock.mono_ns()
        self._do(RingOwners(tuple(self._alive)))
        wall_ns = self.clock.wall_ns()
        trip = Trip(
            trip_id or f"t{wall_ns}-{generation}",
            scope,
            generation,
            self.topology,
            self.ledger,
            self._deadlines,
            Times(received_ns, closed_ns),
            cause=cause,
            reason=reason,
            wall_ns=wall_ns,
            plan=self._plans.get(scope),
            figures=figures,
            refusing=self.refusing,
        )
        self._replace(scope, trip)
        self._fresh = True
        for action in trip.start(self._alive):
            self._do(action)
        self.table.put(scope, GateState.TRIPPING, generation, cause, reason, trip.trip_id, store=False)
        return trip

    def follow(self) -> None:
        """What of a trip can wait until its first cancels have left: latch, audit, and the list of its orders.

        `tick` does it, too; a process calls it once it has looked at the fences, at most a few ms after `trip`.
        """
        if not self._fresh:
            return
        self._fresh = False
        fresh = [t for t in self.trips.values() if not t.enlisted]
        self.persist()
        for trip in fresh:
            facts = {
                "trip_id": trip.trip_id, "received_mono_ns": trip.times.received_ns, "scope": trip.scope,
                "cause": trip.cause, "reason": trip.reason, "generation": trip.generation, "figures": trip.figures,
                "touches": list(trip.plan.touches), "leaves": list(trip.plan.leaves),
            }  # fmt: skip
            self._do(Audit("trip", facts))
            self._do(Tell("critical", "tripped", f"{trip.scope}: {trip.cause}: {trip.reason}"))
            self._apply(trip, trip.enlist(self.clock.mono_ns()))

    def _replace(self, scope: str, trip: Trip) -> None:
        """A scope has one trip: a new one takes over what the one before had widened to, and its open orders."""
        for old in [t for t in self.trips.values() if t.scope == scope]:
            del self.trips[old.trip_id], self._phases[old.trip_id]
            for extra in old.scopes[1:]:
                trip.widen(extra)
                if extra in self.records:
                    self.records[extra].trip_id = trip.trip_id
        self.trips[trip.trip_id] = trip
        self._phases[trip.trip_id] = trip.phase

    def reset(self, scope: str, reason: str, by: str, forced: Iterable[str] = ()) -> str:
        """A person opens a tripped scope again after the cool-off. CommandError says why not."""
        return kill_reset.reset(self, scope, reason, by, forced)

    def arm(self, reason: str, by: str) -> list[str]:
        """Arm a DISARMED desk (or one that is closed only for want of a latch). Answers what no venue proves."""
        record = self.records.get("desk")
        if record is None or record.state not in (GateState.DISARMED, GateState.TRIPPED):
            raise CommandError(f"desk is {record.state.name if record else 'unknown'}; only a DISARMED desk is armed")
        if record.state == GateState.TRIPPED and record.trip_id:
            raise CommandError("desk is TRIPPED: it is reset, not armed")
        if not reason.strip():
            raise CommandError("arming needs a reason")
        blockers = self.blockers()
        if blockers:
            raise CommandError(f"desk is not armed: {'; '.join(blockers)}")
        unproven = [u for v in self.topology.venues.values() for u in self._plans[f"venue:{v.name}"].unproven]
        self._do(Audit("arm", {"reason": reason, "by": by, "unproven": unproven}))
        self.table.put("desk", GateState.ARMED, record.generation, "operator", reason)
        self.persist()
        return unproven

    def arm_strategy(self, scope: str, reason: str, by: str) -> str:
        """A strategy that a reset disarmed says that it is ready (risk/kill_strategies.py)."""
        return kill_strategies.arm(self, check_scope(scope), reason, by)

    def blockers(self) -> list[str]:
        """What forbids arming."""
        return [f"{p}: {text}" for p, text in sorted(self._mismatches.items())]

    def fingerprints(self, found: dict[str, tuple[str, str]]) -> None:
        """(build, config) of every running process: another than ours blocks arming and pauses the session."""
        self._mismatches = {
            p: f"build and configuration {mark} differ from {self._fingerprint}"
            for p, mark in found.items()
            if mark != self._fingerprint
        }
        for session in self.topology.owners:
            scope = f"session:{session}"
            record = self.records.get(scope)
            if session in self._mismatches and record is None:
                generation = self.gate.get(scope).generation
                self.table.put(scope, GateState.DISARMED, generation, "fingerprint", self._mismatches[session])
                self._do(Tell("warning", "fingerprint", f"{session} is paused: {self._mismatches[session]}"))
            elif session in found and session not in self._mismatches and record and record.cause == "fingerprint":
                self.table.put(scope, GateState.ARMED, record.generation, "fingerprint", "agrees again")

    # -- what happened -------------------------------------------------------------------------------------------

    def owners_alive(self, sessions: Iterable[str], starting: Iterable[str] = ()) -> None:
        """Owners whose process runs now; `starting`: those of them that have connected to nothing yet."""
        now, self._starting = set(sessions), frozenset(starting)
        for session in now - self._alive:
            for trip in self.trips.values():
                trip.owner_back(session)
        self._alive = now
        for trip in list(self.trips.values()):
            self._apply(trip, trip.seen_alive(now, self.clock.mono_ns()))

    def owners_still(self, sessions: Collection[str]) -> None:
        """Owners that run, and whose loop has not turned for long, as seen in several looks."""
        for trip in list(self.trips.values()) if sessions else ():
            self._apply(trip, trip.owners_still(sessions, self.clock.mono_ns()))

    def owner_died(self, session: str, orderly: bool) -> None:
        """An owner's process ended. Unless it said that it stops and left nothing open, that trips its session."""
        mono_ns = self.clock.mono_ns()
        self._alive.discard(session)
        for trip in list(self.trips.values()):
            if session in trip.killed:
                self._widen(trip, session)
            self._apply(trip, trip.owner_died(session, mono_ns))
        left = len(self.ledger.open_of(session))
        inside = any(session in t.plan.owners for t in self.trips.values())
        keeps = session in self.topology.owners and self.topology.owners[session].keeps
        how = "stopped as asked" if orderly else "died"
        if orderly and not left:
            self._do(Audit("owner stopped", {"session": session}))
        elif orderly and keeps:
            self._do(Tell("warning", "stopped_with_orders", f"{session} {how} and left {left} orders open"))
        elif self.config.dead_owner_trips and not inside:
            self.trip(f"session:{session}", "process", f"{session} {how} with {left} orders open", mono_ns)
            self.follow()

    def fence(self, session: str, generation: int, at_ns: int) -> None:
        """An owner's fence word, and the monotonic time at which the owner stored it."""
        for trip in list(self.trips.values()):
            self._apply(trip, trip.fence(session, generation, at_ns, self.clock.mono_ns()))

    def waiting_for(self) -> set[str]:
        """Owners whose fence word is awaited."""
        return {s for t in self.trips.values() for s in t.waiting_for()}

    def unseen(self) -> set[str]:
        """Owners that a trip took for dead: before its fence is complete `owners_alive` has to say so once more."""
        return {s for t in self.trips.values() for s, what in t.waits.items() if what == "unseen"}

    def fencing(self) -> bool:
        """Whether the fence of some trip is still open."""
        return any(t.waits for t in self.trips.values())

    def event(self, event: object) -> None:
        """An event of an owner's stream or journal, or of drop copy."""
        self.follow()  # or an order that ends right now would be in no trip's list
        seen = self.ledger.event(event, self.clock.wall_ns())
        if seen is not None and self.trips:
            self._seen([seen])

    def inventory(self, session: str, orders: Iterable[OrderState]) -> None:
        """An owner's answer to AskOwner."""
        self.follow()
        seen, missing = self.ledger.inventory(session, orders, self.clock.wall_ns())
        self._seen(seen)
        for trip in list(self.trips.values()):
            self._apply(trip, trip.inventoried(session, missing, self.clock.mono_ns()))

    def journal_read(self, session: str) -> None:
        """The answer to ReadJournal: its events were fed."""
        for trip in list(self.trips.values()):
            self._apply(trip, trip.journal_read(session, self.clock.mono_ns()))

    def listed(self, venue: str, lines: list[ListedId], started_ns: int, done_ns: int) -> None:
        """A complete open-orders list."""
        listing = self._listing[venue]
        listing.asked_ns = 0
        listing.next_ns = done_ns + max(LIST_EVERY_NS, self.topology.venues[venue].lag_ns + 1)
        self._seen([Seen(o, "alive") for o in self.ledger.shown(venue, [n for x in lines for n in x.ids])])
        for trip in list(self.trips.values()):
            self._apply(trip, trip.listed(venue, lines, started_ns, done_ns))

    def list_failed(self, venue: str, why: str) -> None:
        """The list could not be had; it is asked for again."""
        self._listing[venue].asked_ns = 0
        self._listing[venue].next_ns = self.clock.mono_ns() + LIST_EVERY_NS
        self._do(Audit("list failed", {"venue": venue, "why": why}))

    def order_answered(self, session: str, cl_ord_id: str, final_status: str, cum_qty: int | None) -> None:
        """The answer to AskOrder: final OrdStatus(39), or "" when the order is open or the venue never heard of it."""
        for trip in list(self.trips.values()):
            mono_ns = self.clock.mono_ns()
            self._apply(trip, trip.answered(session, cl_ord_id, final_status, cum_qty, mono_ns))

    def sent(self, action: Action) -> None:
        """A cancel was handed to its wire."""
        for trip in self.trips.values():
            if not trip.times.first_cancel_ns and isinstance(action, CANCELS):
                trip.times.first_cancel_ns = self.clock.mono_ns()

    def tick(self) -> None:
        """Deadlines of everything; call it every few ms while `busy`, else every 100 ms."""
        self.follow()
        self.ledger.forget(lambda order: any(t.proofs.has(order) for t in self.trips.values()))
        mono_ns = self.clock.mono_ns()
        for trip in list(self.trips.values()):
            self._apply(trip, trip.tick(mono_ns, self._starting))
        for venue, listing in self._listing.items():
            wanted = any(t.wants_list(venue) for t in self.trips.values())
            watched = any(t.watches(venue, mono_ns) for t in self.trips.values())
            due_ns = listing.next_ns + (0 if wanted else WATCH_EVERY_NS)
            stuck = listing.asked_ns and mono_ns - listing.asked_ns > LIST_TIMEOUT_NS
            if (wanted or watched) and mono_ns >= due_ns and (not listing.asked_ns or stuck):
                listing.asked_ns = mono_ns
                self._do(AskList(venue))
        for scope, record in list(self.records.items()):
            if record.state == GateState.RESETTING and mono_ns >= record.cool_until_ns:
                kill_reset.reopen(self, scope, record)

    @property
    def busy(self) -> bool:
        """Whether a trip is under way."""
        return any(t.phase != Phase.PROVEN for t in self.trips.values())

    def use_gate(self, gate: Gate) -> None:
        """Another writer stands where the gate's files are now; it carries the same words."""
        self.gate = self.table.gate = gate

    # -- what it says --------------------------------------------------------------------------------------------

    def kill_state(self, scope: str) -> KillState:
        """The event of one scope."""
        record = self.records.get(scope) or Record(GateState.ARMED, 0, "", "", 0)
        trip = self.trips.get(record.trip_id)
        c = trip.counts() if trip else None
        return KillState(
            scope, record.state.name, record.generation, record.reason, record.cause, record.since_ns,
            c.working if c else 0, c.proven if c else 0, c.uncertain if c else 0,
        )  # fmt: skip

    def plan(self, scope: str) -> Plan:
        """What a trip of the scope would do."""
        return self._plans.get(scope) or make_plan(self.topology, check_scope(scope))

    def know(self, venue: KillVenue) -> None:
        """Something was found out about a venue: plans of coming trips go by it."""
        self.topology.venues[venue.name] = venue
        self._plans = {s: make_plan(self.topology, s) for s in self.topology.scopes()}

    def status(self) -> dict[str, object]:
        """Everything a person asks for, as plain data."""
        newest = self._newest()
        return {
            "desk": self.records["desk"].state.name if "desk" in self.records else "UNKNOWN",
            "generation": self.gate.generation,
            "scopes": [msgspec.structs.asdict(self.kill_state(s)) for s in sorted(self.records)],
            "venues": {v: venue_counts(v, self.ledger, self.trips.values()) for v in self.topology.venues},
            "owners": {s: s in self._alive for s in self.topology.owners},
            "last_trip": describe(newest) if newest else self.last_trip or None,
            "blockers": self.blockers(),
        }

    def _newest(self) -> Trip | None:
        return max(self.trips.values(), key=lambda t: t.wall_ns, default=None)

    # -- inside --------------------------------------------------------------------------------------------------

    def _seen(self, seen: Iterable[Seen]) -> None:
        for item in seen:
            for trip in list(self.trips.values()):
                self._apply(trip, trip.seen(item, self.clock.mono_ns()))

    def _apply(self, trip: Trip, actions: Iterable[Action]) -> None:
        for action in actions:
            self._do(action)
            if isinstance(action, Step):
                self._do(Audit("step", msgspec.structs.asdict(action)))
        before, after = self._phases.get(trip.trip_id), trip.phase
        if before == after or trip.trip_id not in self.trips:
            return
        self._phases[trip.trip_id] = after
        state = GateState.TRIPPED if after == Phase.PROVEN else GateState.TRIPPING
        for scope, record in list(self.records.items()):
            if record.trip_id == trip.trip_id and record.state in CLOSED and record.state != state:
                self.table.put(scope, state, record.generation, record.cause, record.reason, trip.trip_id)
        self._do(Audit(after.value, describe(trip)))
        if after == Phase.PROVEN:
            self._do(Audit("proofs", {"trip_id": trip.trip_id, "orders": [
                {"order": p.name, "venue": p.owned.venue, "session": p.owned.session, "how": p.how,
                 "traded": p.cum_qty - p.cum_at_trip} for p in trip.proofs
            ]}))  # fmt: skip
            for code in [*(["not_proven"] if trip.overdue else []), *(["proof_refuted"] if trip.refuted else [])]:
                self._do(Tell("info", code, f"{trip.scope}: proven now"))
        self.persist()

    def _widen(self, trip: Trip, session: str) -> None:
        scope = f"session:{session}"
        if scope in trip.scopes or trip.scope in self.topology.owners[session].scopes():
            return
        generation = self.gate.close([scope])
        trip.widen(scope)
        self.table.put(scope, GateState.TRIPPING, generation, trip.cause, trip.reason, trip.trip_id, store=False)
        self._do(Tell("critical", "widened", f"{trip.scope}: widened to {scope}, whose owner did not answer"))
        self.persist()

    def end(self, trip: Trip) -> None:
        """A trip is over: what was proven otherwise than by a report is finished in the ledger, too.

        Of an order that was never answered nothing tells where the venue has no list: what a person forced a reset over
        counts as absent there, and no trip waits for it until the venue shows it.
        """
        self.last_trip = describe(trip)
        del self.trips[trip.trip_id], self._phases[trip.trip_id]
        for proof in trip.proofs:
            proven, venue = trip.proofs.proven(proof), self.topology.venues.get(proof.owned.venue)
            silent = not proof.answered and not proof.cum_qty and venue is not None and not venue.lists
            if proof.owned.session and (proven or silent):
                how = proof.how if proven else ABSENT
                self.ledger.settle(proof.owned.session, proof.cl_ord_id, how, self.clock.wall_ns())

    def persist(self) -> None:
        """Have the latch written as things stand."""
        newest = self._newest()
        last = describe(newest) if newest else self.last_trip
        data = self.table.latch(self._boot_id, last)
        if data:
            self._do(Persist(data))
