"""A small world for the kill switch: owners that may stall or die, venues with lag, messages late, lost or doubled.

It knows the truth, which the kill switch does not: an order is dangerous while it lives at the venue or is on its way.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Iterable

import msgspec

from base.clock import ManualClock
from base.kill_config import KillConfig
from ipc.events import ExecutionReport, OrderState
from ipc.gate import GateState, GateWord
from risk import kill_actions as do
from risk.kill import KillSwitch
from risk.kill_latch import LatchReading
from risk.kill_plan import KillVenue, Owner, OwnerMassCancel, OwnMassCancel, RestCancelAll, Topology
from risk.kill_proof import ListedId

MS = 1_000_000
LAG_NS = 300 * MS


class Step(msgspec.Struct, frozen=True):
    """A cancel step as a venue's plan has it."""

    action: str
    reaches: str
    per_instrument: bool = False
    says: str = "cancel"
    certain: bool = True


class MemoryGate:
    """Gate words in a dictionary, with every store written down."""

    def __init__(self) -> None:
        self.words: dict[str, GateWord] = {"desk": GateWord(0, GateState.DISARMED)}
        self.generation = 0
        self.stores: list[tuple[str, GateState]] = []
        self.unnamed: list[int] = []

    def close(self, scopes: Iterable[str], state: GateState = GateState.TRIPPING) -> int:
        self.generation += 1
        for scope in scopes:
            self.words[scope] = GateWord(self.generation, state)
            self.stores.append((scope, state))
        return self.generation

    def scopes(self) -> list[str]:
        return list(self.words)

    def nameless(self) -> list[int]:
        return self.unnamed

    def open_nameless(self) -> None:
        assert not self.unnamed or self.words["desk"].state != GateState.ARMED
        self.unnamed = []

    def set(self, scope: str, state: GateState) -> None:
        self.words[scope] = GateWord(self.words[scope].generation, state)
        self.stores.append((scope, state))

    def get(self, scope: str) -> GateWord:
        return self.words[scope]

    def add_scope(self, scope: str, state: GateState = GateState.ARMED) -> int:
        self.words.setdefault(scope, GateWord(0, state))
        return 0

    def raise_to(self, generation: int) -> None:
        self.generation = max(self.generation, generation)


def topology(*, lists: bool = True) -> Topology:
    """Two sessions on one account of venue x, one on y; x has account-wide REST, y only its owner's mass cancel."""
    owners = {
        "a": Owner("a", "x", "main", ("BTC-USD", "ETH-USD")),
        "b": Owner("b", "x", "main", ("BTC-USD",)),
        "c": Owner("c", "y", "main", ("BTC-USDT",)),
    }
    rest = Step("rest_cancel_all", "account", says="DELETE /orders")
    owner = Step("owner_mass_cancel", "session", says="35=q 530=7")
    each = Step("owner_cancel_each", "session", says="35=F")
    venues = {
        "x": KillVenue(name="x", account="main", instruments=("BTC-USD", "ETH-USD"), steps=(rest, each), lists=lists,
                       lag_ns=LAG_NS),
        "y": KillVenue(name="y", account="main", instruments=("BTC-USDT",), steps=(owner, each), lists=lists,
                       lag_ns=LAG_NS, unproven=("what 35=q reaches",)),
    }  # fmt: skip
    return Topology(owners, venues)


def state(session: str, cl_ord_id: str, what: str, *, venue: str = "x", order_id: str = "", instrument: str = "BTC-USD",
          strategy: str = "mm", cum: int = 0, reason: str = "") -> OrderState:  # fmt: skip
    return OrderState(
        session=session, venue=venue, account="main", instrument=instrument, cl_ord_id=cl_ord_id, order_id=order_id,
        state=what, side="1", ord_type="2", time_in_force="1", px_scale=2, qty_scale=8, order_qty=100, price=1,
        cum_qty=cum, leaves_qty=100 - cum, strategy=strategy, client_id="t", command_id="", since_ns=0, reason=reason,
    )  # fmt: skip


_exec_ids = itertools.count(1)


def report(session: str, cl_ord_id: str, order_id: str, exec_type: str, status: str, *, venue: str = "x",
           instrument: str = "BTC-USD", cum: int = 0, drop_copy: bool = False, exec_id: str = ""
           ) -> ExecutionReport:  # fmt: skip
    return ExecutionReport(
        session=session, venue=venue, account="main", instrument=instrument, cl_ord_id=cl_ord_id, order_id=order_id,
        exec_id=exec_id or f"e{next(_exec_ids)}", exec_type=exec_type, ord_status=status, side="1", ord_type="2",
        time_in_force="1", px_scale=2, qty_scale=8, order_qty=100, price=1, stop_px=None, last_qty=None, last_px=None,
        cum_qty=cum, leaves_qty=None, transact_ns=0, sending_ns=0, recv_ns=0, drop_copy=drop_copy,
    )  # fmt: skip


class Truth(msgspec.Struct):
    """An order as it really is."""

    session: str
    venue: str
    cl_ord_id: str
    order_id: str
    status: str = "flying"  # flying, alive, "4" cancelled, "2" filled
    cum: int = 0

    @property
    def dangerous(self) -> bool:
        return self.status in ("flying", "alive")


class OwnerProcess:
    """An owner that obeys its contract, unless it is stopped or dead."""

    def __init__(self) -> None:
        self.alive = True
        self.stopped = False
        self.fence = 0
        self.journal: list[object] = []
        self.read = 0  # how far the kill switch read
        self.gate_read: list[str] = []  # orders whose gate check passed and whose send is the very next thing it does
        self.states: dict[str, OrderState] = {}


class World:
    """Everything, driven by a seed."""

    def __init__(
        self, seed: int, *, lists: bool = True, loss: float = 0.2, reason: str = "", look_ms: float = 20
    ) -> None:
        """`look_ms`: how often the kill switch looks at owners, journals and clocks."""
        self.random = random.Random(seed)
        self.clock = ManualClock()
        self.gate = MemoryGate()
        self.topology = topology(lists=lists)
        self.actions: list[do.Action] = []
        self.done: list[do.Action] = []
        self.loss = loss
        self.switch = KillSwitch(
            self.gate, self.clock, self.topology, KillConfig(arm_at_start=True), "boot", self.actions.append
        )
        self.owners = {s: OwnerProcess() for s in self.topology.owners}
        self.orders: dict[str, Truth] = {}
        self.history: dict[str, list[tuple[int, frozenset[str]]]] = {
            v: [(0, frozenset())] for v in self.topology.venues
        }
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self.switch.start(LatchReading(None, "there is no latch", first=True), 0, self.owners)
        self.at_every(look_ms, self._watch)
        self._act()

    # -- time ------------------------------------------------------------------------------------------------

    def after(self, low_ms: float, high_ms: float, call: Callable[[], None]) -> None:
        at = self.clock.mono_ns() + int(self.random.uniform(low_ms, high_ms) * MS)
        heapq.heappush(self._queue, (at, next(self._count), call))

    def at_every(self, ms: float, call: Callable[[], None]) -> None:
        def again() -> None:
            call()
            self.after(ms, ms, again)

        self.after(ms, ms, again)

    def run(self, ms: float, check: Callable[[], None] | None = None) -> None:
        end = self.clock.mono_ns() + int(ms * MS)
        while self._queue and self._queue[0][0] <= end:
            at, _, call = heapq.heappop(self._queue)
            self.clock.advance(max(0, at - self.clock.mono_ns()))
            call()
            self._act()
            if check is not None:
                check()
        self.clock.advance(end - self.clock.mono_ns())

    # -- owners ----------------------------------------------------------------------------------------------

    def place(self, session: str) -> str:
        """The owner checks the gate; if it is stopped right then, the send comes when it goes on."""
        owner, config = self.owners[session], self.topology.owners[session]
        scopes = [s for s in config.scopes() if s in self.gate.words]
        cl_ord_id = f"{session}{next(self._count)}"
        if not owner.alive or owner.stopped or any(self.gate.get(s).state != GateState.ARMED for s in scopes):
            return ""
        truth = Truth(session, config.venue, cl_ord_id, f"o-{cl_ord_id}")
        self.orders[cl_ord_id] = truth
        self._say(session, state(session, cl_ord_id, "PENDING_NEW", venue=config.venue))
        owner.gate_read.append(cl_ord_id)
        if self.random.random() < 0.3:
            owner.stopped = True  # between reading the gate and sending
        else:
            self._send_all(session)
        return cl_ord_id

    def _send_all(self, session: str) -> None:
        owner = self.owners[session]
        ids, owner.gate_read = owner.gate_read, []
        for cl_ord_id in ids:
            # Bytes may lie in a buffer of a line that stalls, long after their sender's fence and its lists.
            low, high = (1500, 9_000) if self.random.random() < 0.15 else (0.1, 1500)
            self.after(low, high, lambda c=cl_ord_id: self._arrive(c))  # type: ignore[misc]

    def resume(self, session: str) -> None:
        owner = self.owners[session]
        if owner.alive and owner.stopped:
            owner.stopped = False
            self._send_all(session)

    def _look(self, session: str) -> None:
        """The owner's turn: answer a new generation, then cancel its own orders if it must."""
        owner = self.owners[session]
        if not owner.alive or owner.stopped or owner.fence >= self.gate.generation:
            return
        owner.fence = self.gate.generation
        if any(
            self.gate.get(s).state in (GateState.TRIPPING, GateState.TRIPPED)
            for s in self.topology.owners[session].scopes()
            if s in self.gate.words
        ):
            for truth in list(self.orders.values()):
                if truth.session == session:
                    self._cancel(truth.cl_ord_id)

    def _say(self, session: str, *events: object) -> None:
        for event in events:
            if isinstance(event, OrderState):
                self.owners[session].states[event.cl_ord_id] = event
            self.owners[session].journal.append(event)

    def _hear(self, session: str, told: ExecutionReport) -> None:
        """A report reaches the owner, if it lives; it journals what it heard and what it concludes."""
        owner = self.owners[session]
        if not owner.alive:
            return
        if owner.stopped:
            self.after(1, 20, lambda: self._hear(session, told))
            return
        final = {"4": "CANCELED", "2": "FILLED"}.get(told.ord_status)
        known = owner.states[told.cl_ord_id]
        over = known.state in ("CANCELED", "FILLED")
        now = known.state if over else final or "NEW"
        self._say(
            session, told, msgspec.structs.replace(known, state=now, order_id=told.order_id, cum_qty=told.cum_qty or 0)
        )

    # -- venue -----------------------------------------------------------------------------------------------

    def _arrive(self, cl_ord_id: str) -> None:
        truth = self.orders[cl_ord_id]
        if truth.status == "flying":
            truth.status = "alive"
            self._note(truth.venue)
            self._report(truth, "0", "0")
            if self.random.random() < 0.2:
                self.after(1, 2000, lambda: self._fill(truth))

    def _fill(self, truth: Truth) -> None:
        if truth.status == "alive":
            truth.cum = self.random.choice([40, 100])
            if truth.cum == 100:
                truth.status = "2"
                self._note(truth.venue)
            self._report(truth, "F", "2" if truth.cum == 100 else "1")

    def _cancel(self, cl_ord_id: str) -> None:
        def arrive() -> None:
            truth = self.orders[cl_ord_id]
            if truth.status == "alive":
                truth.status = "4"
                self._note(truth.venue)
                self._report(truth, "4", "4")

        if self.random.random() > self.loss:
            self.after(0.1, 200, arrive)

    def _report(self, truth: Truth, exec_type: str, status: str) -> None:
        told = report(
            truth.session, truth.cl_ord_id, truth.order_id, exec_type, status, venue=truth.venue, cum=truth.cum
        )
        for _ in range(self.random.choice([1, 1, 1, 2])):
            if self.random.random() > self.loss:
                self.after(0.1, 700, lambda: self._hear(truth.session, told))

    def _note(self, venue: str) -> None:
        alive = frozenset(t.cl_ord_id for t in self.orders.values() if t.venue == venue and t.status == "alive")
        self.history[venue].append((self.clock.mono_ns(), alive))

    def _as_of(self, venue: str, at_ns: int) -> frozenset[str]:
        return [alive for when, alive in self.history[venue] if when <= max(at_ns, 0)][-1]

    # -- the kill switch's hands ---------------------------------------------------------------------------------

    def _act(self) -> None:
        while self.actions:
            action = self.actions.pop(0)
            self.done.append(action)
            self._perform(action)

    def _perform(self, action: do.Action) -> None:
        match action:
            case do.RingOwners(sessions):
                for session in sessions:
                    self.after(0.01, 2, lambda s=session: self._look(s))  # type: ignore[misc]
            case do.CancelOne(session, cl_ord_id):
                self.after(0.1, 5, lambda: self._owner_cancels(session, [cl_ord_id]))
            case OwnerMassCancel(session):
                mine = [c for c, t in self.orders.items() if t.session == session]
                self.after(0.1, 5, lambda: self._owner_cancels(session, mine))
            case RestCancelAll(venue):
                self.after(
                    5, 50, lambda: [self._cancel(c) for c, t in self.orders.items() if t.venue == venue] and None
                )
            case OwnMassCancel():
                raise AssertionError("no session of its own here")
            case do.KillOwner(session):
                self.after(0.1, 3, lambda: self.kill(session))
            case do.Revive(session):
                self.after(300, 900, lambda: self.restart(session))
            case do.AskOwner(session):
                self.after(0.2, 5, lambda: self._inventory(session))
            case do.ReadJournal(session):
                self.after(0, 1, lambda: self._read_whole(session))
            case do.AskList(venue):
                self._list(venue)
            case do.AskOrder(_, session, cl_ord_id):
                self.after(1, 50, lambda: self._answer(session, cl_ord_id))
            case _:
                pass

    def _owner_cancels(self, session: str, ids: list[str]) -> None:
        owner = self.owners[session]
        if owner.alive and not owner.stopped:
            for cl_ord_id in ids:
                self._cancel(cl_ord_id)

    def kill(self, session: str) -> None:
        owner = self.owners[session]
        if owner.alive:
            owner.alive = owner.stopped = False
            for cl_ord_id in owner.gate_read:
                self.orders[cl_ord_id].status = "never sent"
            owner.gate_read = []
            self._read_whole(session, tell=False)
            self.switch.owners_alive([s for s, o in self.owners.items() if o.alive])
            self.switch.owner_died(session, False)

    def restart(self, session: str) -> None:
        owner = self.owners[session]
        if not owner.alive:
            owner.alive = True
            owner.fence = self.gate.generation
            for known in list(owner.states.values()):
                if known.state not in ("CANCELED", "FILLED"):
                    self._say(session, msgspec.structs.replace(known, state="UNCERTAIN"))

    def _inventory(self, session: str) -> None:
        owner = self.owners[session]
        if owner.alive and not owner.stopped:
            self.switch.inventory(session, [s for s in owner.states.values() if s.state not in ("CANCELED", "FILLED")])

    def _read_whole(self, session: str, *, tell: bool = True) -> None:
        owner = self.owners[session]
        while owner.read < len(owner.journal):
            owner.read += 1
            self.switch.event(owner.journal[owner.read - 1])
        if tell:
            self.switch.journal_read(session)

    def _list(self, venue: str) -> None:
        started = self.clock.mono_ns()
        fails = self.random.random() < self.loss

        def answer() -> None:
            if fails:
                self.switch.list_failed(venue, "no answer")
                return
            # What the list shows is at most LAG_NS older than the moment it was asked for.
            shown = self._as_of(venue, started - self.random.randrange(LAG_NS))
            lines = [ListedId(f"o-{c}", c if self.random.random() < 0.8 else "", "BTC-USD") for c in shown]
            self.switch.listed(venue, lines, started, self.clock.mono_ns())

        self.after(1, 150, answer)

    def _answer(self, session: str, cl_ord_id: str) -> None:
        truth = self.orders[cl_ord_id]
        final = truth.status if truth.status in ("2", "4") else ""
        self.switch.order_answered(session, cl_ord_id, final, truth.cum if final else None)

    def _watch(self) -> None:
        for session, owner in self.owners.items():
            self._look(session)
            if self.random.random() < 0.7 and owner.read < len(owner.journal):
                self._read_whole(session, tell=False)
            self.switch.fence(session, owner.fence if owner.alive else 0, self.clock.mono_ns() - MS)
        self.switch.owners_alive([s for s, o in self.owners.items() if o.alive])
        self.switch.tick()
