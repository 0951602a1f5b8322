"""One trip, from the closed gate to the last proof. Pure: evidence and times in, actions out.

FENCING: cancels are out, owners answer the generation or are killed. PROVING: second round, inventories, lists,
repeated cancels. PROVEN: nothing of the scope can be alive; a late sign of life leads back to PROVING. It never
gives up.
"""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

import msgspec

from risk.kill_actions import (
    Action,
    AskOrder,
    AskOwner,
    CancelOne,
    KillOwner,
    ReadJournal,
    Revive,
    Step,
    Tell,
)
from risk.kill_fence import Deadlines, Fence, Phase, Times
from risk.kill_orders import OrderLedger, Seen
from risk.kill_plan import (
    Owned,
    Plan,
    RestCancelAll,
    Send,
    Topology,
    closed_at,
    closed_parts,
    covers,
    make_plan,
    takes_strangers,
)
from risk.kill_proof import Counts, ListedId, Proof, ProofBook
from risk.kill_singles import over_rest, tried
from risk.order import Order

__all__ = ["Deadlines", "Phase", "Times", "Trip"]

AGAIN_NS = 1_000_000_000  # between two cancels of the same order
LATE_NS = 100_000_000  # between two mass cancels because of late acknowledgements, which come in bursts
INVENTORY_NS = 500_000_000  # for an owner to list its orders before its journal is read instead
QUERY_NS = 1_000_000_000
STILL_NS = 5_000_000_000  # between two tries to kill an owner whose loop does not turn
NOBODY: Mapping[str, str] = MappingProxyType({})


class Trip(Fence):
    """A trip of one scope; the scope may widen to sessions whose owner had to be killed."""

    def __init__(
        self,
        trip_id: str,
        scope: str,
        generation: int,
        topology: Topology,
        ledger: OrderLedger,
        deadlines: Deadlines,
        times: Times,
        *,
        cause: str,
        reason: str,
        wall_ns: int,
        plan: Plan | None = None,
        figures: Mapping[str, object] | None = None,
        refusing: Mapping[str, str] = NOBODY,
    ) -> None:
        """`refusing`: venues that take no cancels now, and why; it changes under way. Nothing there counts as done."""
        self.plan = plan or make_plan(topology, scope)
        super().__init__(self.plan.owners, generation, deadlines, times)
        self.trip_id, self.scope = trip_id, scope
        self.cause, self.reason, self.wall_ns = cause, reason, wall_ns
        self.figures = dict(figures or {})  # what the trigger saw, for the audit
        self.phase = Phase.FENCING
        self.scopes = [scope]
        self.overdue = False
        self.refuted = False  # it was said that a proof of the whole trip did not hold
        self._topology, self._ledger = topology, ledger
        self._refusing = refusing
        self.proofs = ProofBook(self._covers, lambda v: topology.venues[v].lag_ns if v in topology.venues else 0,
                                deadlines.unanswered_ns)  # fmt: skip
        self._inventory: dict[str, int] = {}  # owner -> monotonic time at which its journal is read instead
        self._lists_due = {v.name for v in topology.venues.values() if v.lists and takes_strangers(scope, v)}
        self._next_again_ns = 0
        self._next_mass_ns = 0
        self._disconnect_at_ns = times.received_ns + deadlines.proof_ns // 2
        self._tell_at_ns = times.received_ns + deadlines.proof_ns
        self._disconnected = False
        self._still_again: dict[str, int] = {}  # owner killed because its loop did not turn -> no sooner again
        self.enlisted = False

    # -- what the process and the switch ask -------------------------------------------------------------------

    def counts(self) -> Counts:
        """Where the orders stand."""
        return self.proofs.counts()

    def wants_list(self, venue: str) -> bool:
        """Whether this trip needs the venue's open-orders list (again)."""
        if self.phase != Phase.PROVING:
            return False
        return venue in self._lists_due or any(p.owned.venue == venue for p in self.proofs.unproven())

    def watches(self, venue: str, mono_ns: int) -> bool:
        """Whether the trip is proven so lately that the venue's list still goes on: it may refute the proof."""
        if self.phase != Phase.PROVEN or mono_ns >= self.times.proven_ns + self._deadlines.watch_ns:
            return False
        return takes_strangers(self.scope, self._topology.venues[venue]) or any(
            p.owned.venue == venue for p in self.proofs
        )

    def start(self, alive: Iterable[str]) -> list[Action]:
        """The gate is closed, owners are woken: every mass cancel at once. `alive`: owners whose process runs.

        That was seen before the gate closed: one that has started since may have read it open (see `seen_alive`).
        """
        self._await_dead(self.plan.owners, alive)
        return list(self.plan.sends)

    def seen_alive(self, sessions: Collection[str], mono_ns: int) -> list[Action]:
        """Owners that run, looked for after the gate closed. Who starts later than this reads it closed."""
        self._look_again(sessions, mono_ns)
        return self._fence_check(mono_ns) if self.enlisted else []

    def enlist(self, mono_ns: int) -> list[Action]:
        """After the first cancels have left: which orders this is about, and single cancels where no mass reaches."""
        self.enlisted = True
        for order in list(self._ledger.open()):
            proof = self.proofs.add(order, mono_ns)
            if proof is not None:
                tried(self.plan, proof, mono_ns)
        out: list[Action] = [
            CancelOne(p.owned.session, p.cl_ord_id, p.order_id, p.owned.instrument) for p in self._singles()
        ]
        out += over_rest(self.plan, self.proofs, self._alive, mono_ns)
        out += [Revive(s) for s in self.plan.owners if s not in self._alive]
        text = f"{self.scope}: {self.cause}: {self.reason}; touches {', '.join(self.plan.touches) or 'nothing'}"
        out.append(self._step("closed", text))
        return out + self._fence_check(mono_ns)

    def fence(self, session: str, generation: int, at_ns: int, mono_ns: int) -> list[Action]:
        """An owner's fence word was read, and when it was stored."""
        if session in self.waits and generation >= self.generation:
            self._answered(session, at_ns, mono_ns)
            return self._fence_check(mono_ns)
        if session in self._unheard and generation >= self.generation:
            del self._unheard[session]
            return self._progress(mono_ns)
        return []

    def owner_died(self, session: str, mono_ns: int) -> list[Action]:
        """An owner's process is gone: it sends nothing any more. Its journal says what it had."""
        self._died(session)
        # What is proven dead needs no owner: one that stopped after the proof stays stopped.
        needed = self.phase == Phase.FENCING or any(p.owned.session == session for p in self.proofs.unproven())
        out: list[Action] = [Revive(session)] if needed and session in self.plan.owners else []
        if self.phase != Phase.FENCING and session in self._inventory:
            out.append(ReadJournal(session))
        return [*out, *self._fence_check(mono_ns), *self._progress(mono_ns)]

    def owners_still(self, sessions: Iterable[str], mono_ns: int) -> list[Action]:
        """Owners that run and whose loop does not turn: after the fence nobody waits for them any more, and nobody else
        may reach what they have open. They are killed, so that a new life comes up cancel-only.
        """
        if self.phase != Phase.PROVING:
            return []
        needed = {p.owned.session for p in self.proofs.unproven()}
        out: list[Action] = []
        for session in sessions:
            if session in needed and session in self._alive and mono_ns >= self._still_again.get(session, 0):
                self._still_again[session] = mono_ns + STILL_NS
                out += self._kill(session, "its loop does not turn, and it has orders open")
        return out

    def owner_back(self, session: str) -> None:
        """An owner's process runs again; it read the closed gate before anything else."""
        self._alive.add(session)

    def widen(self, scope: str) -> None:
        """Orders of `scope` belong to this trip, too."""
        if scope not in self.scopes:
            self.scopes.append(scope)
        for order in list(self._ledger.open()):
            self.proofs.add(order, self.times.received_ns)

    def seen(self, seen: Seen, mono_ns: int) -> list[Action]:
        """An event about an order."""
        order = seen.order
        if seen.life == "dead":
            self.proofs.dead(order, seen.how, mono_ns)
            return self._progress(mono_ns)
        if seen.life == "held":
            self.proofs.held(order)
            return []
        if seen.life == "new":
            proof = self.proofs.add(order, mono_ns, late=self.enlisted and self.phase != Phase.FENCING)
        else:
            proof = self.proofs.alive(order, mono_ns)
        if proof is None:
            return []
        return self._again([proof], mono_ns, "late" if proof.late else "alive")

    def inventoried(self, session: str, missing: list[Order], mono_ns: int) -> list[Action]:
        """An owner's open orders are known as of after the fence. `missing`: open here, but not in its list."""
        if session not in self._inventory:
            return []
        if missing:
            return [ReadJournal(session)]
        del self._inventory[session]
        return [self._step("inventory", session), *self._progress(mono_ns)]

    def journal_read(self, session: str, mono_ns: int) -> list[Action]:
        """The owner's journal was read to its end, after the fence."""
        if self._inventory.pop(session, None) is None:
            return []
        return [self._step("inventory", f"{session}: from its journal"), *self._progress(mono_ns)]

    def listed(self, venue: str, lines: list[ListedId], started_ns: int, done_ns: int) -> list[Action]:
        """A complete open-orders list of a venue."""
        if self.phase == Phase.FENCING:
            return []
        v = self._topology.venues[venue]
        strangers = any(takes_strangers(s, v) for s in self.scopes)
        known = self._known(venue)
        again = self.proofs.listed(
            venue, v.account, lines, started_ns, done_ns,
            adopt=lambda x: strangers and x.order_id not in known and x.cl_ord_id not in known,
            absence=lambda i: venue not in self._refusing and closed_at(venue, i) not in self._refusing,
        )  # fmt: skip
        if started_ns >= self.times.fence_ns and venue not in self._refusing:
            self._lists_due.discard(venue)
        out = self._again(again, done_ns, "listed") if again else []
        return [*out, *self._progress(done_ns)]

    def answered(
        self, session: str, cl_ord_id: str, final_status: str, cum_qty: int | None, mono_ns: int
    ) -> list[Action]:
        """The venue answered for one order: its final OrdStatus(39), or "" when it is open or unknown to the venue."""
        order = self._ledger.find(session, cl_ord_id)
        if order is None or not final_status:
            return []
        order.cum_qty = max(order.cum_qty, cum_qty or 0)
        self.proofs.dead(order, f"order status 39={final_status}", mono_ns)
        return self._progress(mono_ns)

    def tick(self, mono_ns: int, starting: Collection[str] = ()) -> list[Action]:
        """Deadlines: the fence, inventories, repeated cancels, disconnection, and calling a person.

        `starting`: owners that run, but have connected to nothing yet.
        """
        if self.phase == Phase.FENCING:
            out = self._late_owners(mono_ns, starting)
            return [*out, *self._fence_check(mono_ns), *self._held_up(mono_ns)]
        if self.phase == Phase.PROVEN:
            return []
        out = self._still_unheard(mono_ns, starting)
        for session, at_ns in self._inventory.items():
            if mono_ns >= at_ns:
                out.append(ReadJournal(session))
                self._inventory[session] = mono_ns + INVENTORY_NS
        if mono_ns >= self._next_again_ns:
            self._next_again_ns = mono_ns + AGAIN_NS
            out += self._again(self.proofs.unproven(), mono_ns, "again")
            out += self._queries(mono_ns)
            out += self._insist(mono_ns)
        return [*out, *self._last_steps(mono_ns), *self._progress(mono_ns)]

    def unproven_text(self) -> str:
        """The orders that may be alive, for a person."""
        names = [
            f"{p.owned.venue}:{f'{p.symbol} (not configured)' if p.symbol else p.owned.instrument}:{p.name}"
            for p in self.proofs.unproven()
        ]
        return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")

    def open_questions(self) -> list[str]:
        """Everything that stands between this trip and PROVEN, in words."""
        found = [f"owner {s} has not answered the gate" for s in self.waits]
        found += [f"owner {s} is starting and has not answered the gate" for s in self._unheard]
        found += [f"orders of {s} are not known since the fence" for s in self._inventory]
        found += [f"no open-orders list of {v} since the fence" for v in sorted(self._lists_due)]
        if self.phase != Phase.PROVEN:
            found += [f"{at} takes no cancels now: {self._refusing[at]}" for at in self._closed()]
        by_rest = {s.venue for s in self.plan.sends if isinstance(s, RestCancelAll)} | set(self.plan.rest_each)
        strange = {(p.owned.venue, p.symbol) for p in self.proofs.unproven() if p.symbol}
        found += [
            f"{symbol} at {venue} is not configured here, and the plan has no cancel that goes by symbol there"
            for venue, symbol in sorted(strange)
            if venue not in by_rest
        ]
        left = self.unproven_text()
        return [*found, f"not proven dead: {left}"] if left else found

    # -- inside ------------------------------------------------------------------------------------------------

    def _covers(self, order: Owned) -> bool:
        return any(covers(s, order) for s in self.scopes)

    def _known(self, venue: str) -> set[str]:
        """Ids of finished orders of the desk: a list that lags may still show them."""
        return self._ledger.finished_ids(venue)

    def _singles(self) -> list[Proof]:
        """Orders that no mass cancel of the plan reaches, whose owner runs."""
        reached = {s.session for s in self.plan.sends if hasattr(s, "session")}
        venues = {s.venue for s in self.plan.sends if hasattr(s, "venue")}
        return [
            p
            for p in self.proofs
            if p.owned.session in self._alive and p.owned.session not in reached and p.owned.venue not in venues
        ]

    def _mass(self) -> list[Send]:
        """Every mass cancel of the plan; those that go by symbol reach what the desk has no name for, too."""
        strange: dict[str, dict[str, None]] = {}
        for proof in self.proofs.unproven():
            if proof.symbol:
                strange.setdefault(proof.owned.venue, {})[proof.symbol] = None
        return [
            msgspec.structs.replace(s, symbols=tuple(strange[s.venue]))
            if isinstance(s, RestCancelAll) and s.venue in strange
            else s
            for s in self.plan.sends
        ]

    def _held_up(self, mono_ns: int) -> list[Action]:
        """An owner that could not be killed holds up fence and proof, but neither cancels nor the call for a person."""
        late_ns = self.times.closed_ns + self._deadlines.fence_ns + AGAIN_NS
        if self.phase != Phase.FENCING or mono_ns < max(late_ns, self._next_again_ns):
            return []
        self._next_again_ns = self._next_mass_ns = mono_ns + AGAIN_NS
        out: list[Action] = [KillOwner(s, "still there") for s, state in self.waits.items() if state == "killed"]
        out += self._mass()
        return [*out, *self._again(self.proofs.unproven(), mono_ns, "again"), *self._last_steps(mono_ns)]

    def _fence_check(self, mono_ns: int) -> list[Action]:
        """Once no owner can send: second round, inventories, and from now on evidence counts."""
        if self.phase != Phase.FENCING or self.waits:
            return []
        self.phase = Phase.PROVING
        self.times.fence_ns = self._fence_at_ns or mono_ns
        self.proofs.fenced(mono_ns)
        out: list[Action] = [self._step("fenced", f"{len(self.plan.owners)} owners, {len(self.killed)} killed")]
        out += self._mass()
        self._next_mass_ns = mono_ns + AGAIN_NS
        for session in self.plan.owners:
            self._inventory[session] = mono_ns + INVENTORY_NS
            out.append(AskOwner(session) if session in self._alive else ReadJournal(session))
        self._next_again_ns = mono_ns + AGAIN_NS
        return [*out, *self._again(self.proofs.unproven(), mono_ns, "second round")]

    def _again(self, proofs: Iterable[Proof], mono_ns: int, why: str) -> list[Action]:
        """Cancel these (again): one by one where the owner runs, or over REST, and by every mass path at most once a
        second. An owner that runs may still be unable to cancel (its session is down), so the other paths never rest.
        """
        out: list[Action] = []
        if self.phase == Phase.PROVEN:
            self.phase = Phase.PROVING
            self.times.proven_ns = 0
            self.refuted = True
            out.append(Tell("critical", "proof_refuted", f"{self.scope}: an order came alive after it was proven dead"))
        proofs = list(proofs)
        for proof in proofs:
            tried(self.plan, proof, mono_ns)
            if proof.owned.session in self._alive:
                out.append(CancelOne(proof.owned.session, proof.cl_ord_id, proof.order_id, proof.owned.instrument))
        early_ns = AGAIN_NS - LATE_NS if why in ("late", "alive") else 0
        out += over_rest(self.plan, proofs, self._alive, mono_ns)
        if proofs and mono_ns >= self._next_mass_ns - early_ns:
            self._next_mass_ns = mono_ns + AGAIN_NS
            out += self._mass()
        if out and why in ("late", "alive", "listed"):
            out.append(self._step(why, f"{self.scope}: cancelled again"))
        return out

    def _closed(self) -> list[str]:
        """Venues of this trip that take no cancels now, and instruments in which one takes none."""
        return [at for at in self._refusing if self._concerns(*closed_parts(at))]

    def _concerns(self, venue: str, instrument: str) -> bool:
        v = self._topology.venues.get(venue)
        if v is None:
            return False
        elsewhere = {f"instrument:{name}" for name in v.instruments if instrument not in ("", name)}
        return any(takes_strangers(s, v) and s not in elsewhere for s in self.scopes) or any(
            p.owned.venue == venue and instrument in ("", p.owned.instrument) for p in self.proofs
        )

    def _insist(self, mono_ns: int) -> list[Action]:
        """Where a venue takes no cancels every mass cancel goes on: what is not known here may live there."""
        if mono_ns < self._next_mass_ns or not self._closed():
            return []
        self._next_mass_ns = mono_ns + AGAIN_NS
        return list(self._mass())

    def _queries(self, mono_ns: int) -> list[Action]:
        """Ask the venue for single orders: uncertain ones, and those that one list did not show."""
        out: list[Action] = []
        for proof in self.proofs.unproven():
            venue = self._topology.venues.get(proof.owned.venue)
            asks = (proof.uncertain or proof.absent_ns) and proof.owned.session and mono_ns >= proof.queried_ns
            if venue is not None and venue.lists and asks and len(out) < 20:
                proof.queried_ns = mono_ns + QUERY_NS
                out.append(AskOrder(venue.name, proof.owned.session, proof.cl_ord_id))
        return out

    def _last_steps(self, mono_ns: int) -> list[Action]:
        out: list[Action] = []
        if mono_ns >= self._disconnect_at_ns and not self._disconnected:
            self._disconnected = True
            left = {p.owned.session for p in self.proofs.unproven()}
            why = "orders not proven dead: disconnected, which cancels at this venue"
            out += [KillOwner(s, why) for s in self.plan.disconnects if s in left and s in self._alive]
        if mono_ns >= self._tell_at_ns and self.phase != Phase.PROVEN:
            self._tell_at_ns = mono_ns + self._deadlines.proof_ns
            self.overdue = True
            out.append(Tell("critical", "not_proven", f"{self.scope}: {'; '.join(self.open_questions())}"))
        return out

    def _progress(self, mono_ns: int) -> list[Action]:
        if self.phase != Phase.PROVING or not self.enlisted or self._inventory or self._lists_due:
            return []
        if self._unheard or not self.proofs.done or self._closed():
            return []
        self.phase = Phase.PROVEN
        self.times.proven_ns = mono_ns
        return [self._step("proven", f"{self.scope}: every order proven dead")]

    def _step(self, step: str, detail: str) -> Step:
        c = self.counts()
        return Step(self.trip_id, step, detail, c.working + c.uncertain, c.proven, c.filled)
