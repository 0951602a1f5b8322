"""States, latch, reset and arming of the kill switch, and what each piece of evidence is worth."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.clock import ManualClock
from base.errors import CommandError
from base.kill_config import KillConfig
from ipc.events import OrderState
from ipc.gate import GateState, GateWord
from risk import kill_actions as do
from risk.kill import KillSwitch
from risk.kill_latch import Latch, LatchReading, decode, encode
from risk.kill_orders import FINISHED_KEPT
from risk.kill_plan import OwnerMassCancel, RestCancelAll
from risk.kill_proof import ABSENT, UNANSWERED_NS, ListedId
from risk.kill_report import describe, explain
from risk.kill_trip import Phase, Trip
from tests.risk.kill_world import LAG_NS, MS, MemoryGate, report, state, topology

ALL = ("a", "b", "c")
NONE = LatchReading(None, "there is no latch", first=True)


class Desk:
    """A kill switch turned by hand."""

    def __init__(self, *, reading: LatchReading = NONE, gate: MemoryGate | None = None, alive: tuple[str, ...] = ALL,
                 before: tuple[OrderState, ...] = (), lists: bool = True, **config: object) -> None:  # fmt: skip
        self.gate = gate or MemoryGate()
        self.clock = ManualClock()
        self.actions: list[do.Action] = []
        settings = msgspec.convert({"arm_at_start": True, **config}, KillConfig)
        self.switch = KillSwitch(
            self.gate, self.clock, topology(lists=lists), settings, "boot", self.actions.append, fingerprint=("b", "c")
        )
        for event in before:
            self.switch.event(event)
        self.switch.start(reading, 0, alive)

    def take(self, kind: type) -> list[do.Action]:
        found = [a for a in self.actions if isinstance(a, kind)]
        self.actions[:] = [a for a in self.actions if not isinstance(a, kind)]
        return found

    def pass_ms(self, ms: float) -> None:
        self.clock.advance(int(ms * MS))
        self.switch.tick()

    def order(
        self, session: str, cl_ord_id: str, *, venue: str = "x", strategy: str = "mm", instrument: str = "BTC-USD"
    ) -> None:
        self.switch.event(
            state(session, cl_ord_id, "PENDING_NEW", venue=venue, strategy=strategy, instrument=instrument)
        )
        self.switch.event(report(session, cl_ord_id, f"o-{cl_ord_id}", "0", "0", venue=venue, instrument=instrument))

    def cancelled(self, session: str, cl_ord_id: str, *, venue: str = "x", cum: int = 0) -> None:
        self.switch.event(report(session, cl_ord_id, f"o-{cl_ord_id}", "4", "4", venue=venue, cum=cum))

    def trip(self, scope: str = "desk") -> Trip:
        trip = self.switch.trip(scope, "operator", "test", self.clock.mono_ns())
        self.switch.follow()
        return trip

    def fence(self, *sessions: str) -> None:
        for session in sessions or ALL:
            self.switch.fence(session, self.gate.generation, self.clock.mono_ns())

    def inventories(self, *sessions: str) -> None:
        for session in sessions or ALL:
            self.switch.inventory(session, [o.snapshot() for o in self.switch.ledger.open_of(session)])

    def empty_lists(self, *venues: str) -> None:
        for venue in venues or ("x", "y"):
            now = self.clock.mono_ns()
            self.switch.listed(venue, [], now, now + MS)

    def latch(self) -> bytes:
        return self.take(do.Persist)[-1].data  # type: ignore[union-attr]

    def restart(self, data: bytes | None, boot: str = "boot", **config: object) -> "Desk":
        return Desk(reading=decode(data, boot), gate=self.gate, **config)  # type: ignore[arg-type]


# -- the order of a trip -------------------------------------------------------------------------------------------


def test_the_gate_is_stored_before_anything_is_sent_and_the_latch_after() -> None:
    desk = Desk()
    desk.order("a", "1")
    desk.actions.clear()
    desk.gate.stores.clear()
    stored: list[int] = []
    desk.switch._do = lambda a: (stored.append(len(desk.gate.stores)), desk.actions.append(a))  # type: ignore[assignment]
    desk.trip()
    kinds = [type(a) for a in desk.actions]
    assert desk.gate.stores[0] == ("desk", GateState.TRIPPING)
    assert min(stored) >= 1
    assert kinds.index(do.RingOwners) < kinds.index(OwnerMassCancel) < kinds.index(RestCancelAll)
    assert kinds.index(RestCancelAll) < kinds.index(do.Persist) < kinds.index(do.Audit)


def test_a_second_round_of_cancels_follows_the_fence() -> None:
    desk = Desk()
    desk.order("a", "1")
    desk.trip()
    desk.actions.clear()
    desk.fence("a", "b")
    assert desk.actions == []
    desk.fence("c")
    assert desk.take(RestCancelAll)
    assert desk.take(OwnerMassCancel)
    assert [a.session for a in desk.take(do.AskOwner)] == list(ALL)  # type: ignore[union-attr]


def test_nothing_is_proven_before_the_fence() -> None:
    desk = Desk()
    desk.order("a", "1")
    trip = desk.trip()
    desk.cancelled("a", "1")
    assert trip.counts().proven == 0
    desk.fence("a", "b")
    assert trip.counts().proven == 0
    desk.fence("c")
    assert trip.counts().proven == 1


def test_an_owner_without_a_fence_is_killed_once_and_the_scope_widens() -> None:
    desk = Desk()
    desk.order("a", "1", strategy="mm")
    desk.order("a", "2", strategy="other")
    trip = desk.trip("strategy:mm")
    desk.fence("b", "c")
    desk.pass_ms(199)
    assert desk.take(do.KillOwner) == []
    desk.pass_ms(2)
    assert [a.session for a in desk.take(do.KillOwner)] == ["a"]  # type: ignore[union-attr]
    desk.pass_ms(50)
    assert desk.take(do.KillOwner) == []
    assert trip.phase == Phase.FENCING  # a signal sent is not a process dead
    desk.switch.owner_died("a", False)
    desk.switch.owners_alive(("b", "c"))
    assert trip.phase == Phase.PROVING
    assert trip.times.fence_ns == desk.clock.mono_ns()  # not when the last living owner answered
    assert trip.scopes == ["strategy:mm", "session:a"]
    assert desk.gate.get("session:a").state == GateState.TRIPPING
    assert trip.counts().total == 2
    assert any(a.code == "widened" for a in desk.take(do.Tell))  # type: ignore[union-attr]


def test_an_owner_that_cannot_be_killed_holds_up_the_proof_but_neither_cancels_nor_alarm() -> None:
    desk = Desk(proof_deadline_s=4)
    desk.order("a", "1")
    desk.order("c", "2", venue="y")
    trip = desk.trip()
    desk.fence("b", "c")
    desk.pass_ms(201)
    assert [a.session for a in desk.take(do.KillOwner)] == ["a"]  # type: ignore[union-attr]
    for _ in range(3):  # it lives on, whatever was done
        desk.take(RestCancelAll), desk.take(do.CancelOne)
        desk.pass_ms(1001)
        assert [a.session for a in desk.take(do.KillOwner)] == ["a"]  # type: ignore[union-attr]
        assert [a.venue for a in desk.take(RestCancelAll)] == ["x"]  # type: ignore[union-attr]
        assert {a.session for a in desk.take(do.CancelOne)} == {"a", "c"}  # type: ignore[union-attr]
    desk.cancelled("a", "1")
    desk.cancelled("c", "2", venue="y")
    desk.take(do.Tell)
    desk.pass_ms(1001)
    told = [a.text for a in desk.take(do.Tell) if a.code == "not_proven"]  # type: ignore[union-attr]
    assert len(told) == 1
    assert "owner a has not answered the gate" in told[0]
    assert (trip.phase, trip.counts().proven) == (Phase.FENCING, 0)
    desk.switch.owner_died("a", False)  # somebody ended it by hand
    desk.switch.owners_alive(("b", "c"))
    desk.switch.journal_read("a")
    desk.inventories("b", "c")
    desk.empty_lists()
    assert trip.phase == Phase.PROVEN


def test_an_owner_whose_loop_stops_after_its_fence_is_killed_for_what_it_has_open() -> None:
    """It has answered the gate, so that nobody waits for it; and what it has open may be in no other's reach."""
    desk = Desk()
    desk.order("a", "1")
    trip = desk.trip()
    desk.switch.owners_still(ALL)
    assert desk.take(do.KillOwner) == []  # the fence has its own deadline
    desk.fence()
    desk.switch.owners_still(ALL)
    assert [a.session for a in desk.take(do.KillOwner)] == ["a"]  # type: ignore[union-attr]
    assert trip.killed == ["a"]
    desk.switch.owners_still(ALL)
    assert desk.take(do.KillOwner) == []  # once; a signal takes its time
    assert [a.code for a in desk.take(do.Tell)].count("owner_killed") == 1  # type: ignore[union-attr]
    desk.clock.advance(5_000 * MS)
    desk.switch.owners_still(ALL)
    assert [a.session for a in desk.take(do.KillOwner)] == ["a"]  # type: ignore[union-attr]
    assert desk.take(do.Tell) == []  # it hangs in the kernel, say: that it was killed is known
    desk.switch.owner_died("a", False)
    assert [a.session for a in desk.take(do.Revive)] == ["a"]  # type: ignore[union-attr]
    desk.switch.owners_alive(ALL)
    desk.cancelled("a", "1")
    desk.clock.advance(5_000 * MS)
    desk.switch.owners_still(ALL)
    assert desk.take(do.KillOwner) == []  # what is proven needs no owner


def test_an_older_fence_does_not_count() -> None:
    desk = Desk()
    trip = desk.trip()
    for session in ALL:
        desk.switch.fence(session, trip.generation - 1, 0)
    assert trip.phase == Phase.FENCING


def test_an_order_that_ends_before_its_trip_has_taken_it_down_is_in_the_list_all_the_same() -> None:
    desk = Desk()
    desk.order("a", "1")
    trip = desk.switch.trip("desk", "operator", "test", desk.clock.mono_ns())
    desk.cancelled("a", "1", cum=5)
    desk.fence()
    assert (trip.counts().total, trip.counts().proven, trip.counts().filled) == (1, 1, 1)


def test_the_other_paths_never_rest_while_an_owner_that_runs_gets_nothing_cancelled() -> None:
    desk, _ = fenced("1")
    desk.actions.clear()
    for _ in range(20):
        desk.pass_ms(250)
    assert 4 <= len(desk.take(RestCancelAll)) <= 6
    assert 4 <= len(desk.take(do.CancelOne)) <= 6


def test_a_burst_of_late_acknowledgements_is_cancelled_one_by_one_and_by_few_mass_cancels() -> None:
    desk, _ = fenced()
    desk.pass_ms(2000)
    desk.actions.clear()
    for i in range(50):
        desk.order("a", f"late{i}")
        desk.clock.advance(MS)
    assert {a.cl_ord_id for a in desk.take(do.CancelOne)} == {f"late{i}" for i in range(50)}  # type: ignore[union-attr]
    assert len(desk.take(RestCancelAll)) == 1


def test_a_trip_without_owners_needs_no_fence_but_a_list() -> None:
    desk = Desk(alive=())
    trip = desk.trip()
    desk.switch.owners_alive(())
    assert trip.phase == Phase.PROVING
    assert [a.session for a in desk.take(do.ReadJournal)] == list(ALL)  # type: ignore[union-attr]
    assert {a.session for a in desk.take(do.Revive)} == set(ALL)  # type: ignore[union-attr]
    for session in ALL:
        desk.switch.journal_read(session)
    assert trip.phase == Phase.PROVING
    desk.clock.advance(MS)
    desk.empty_lists()
    assert trip.phase == Phase.PROVEN


def test_an_owner_taken_for_dead_is_looked_for_once_more_after_the_gate_closed() -> None:
    """One that started since it was last looked for may have read the gate while it was open."""
    desk = Desk(alive=("b", "c"))
    trip = desk.trip("session:a")
    assert (trip.phase, desk.switch.unseen()) == (Phase.FENCING, {"a"})
    desk.switch.owners_alive(ALL)
    desk.pass_ms(10)
    assert (trip.phase, trip.waiting_for()) == (Phase.FENCING, ["a"])
    desk.fence("a")
    assert trip.phase == Phase.PROVING


def test_an_owner_that_died_may_have_started_again_before_the_gate_closed() -> None:
    desk = Desk()
    trip = desk.trip("session:a")
    desk.switch.owner_died("a", False)
    assert trip.phase == Phase.FENCING
    desk.switch.owners_alive(ALL)  # its successor
    assert trip.phase == Phase.FENCING
    desk.fence("a")
    assert trip.phase == Phase.PROVING


# -- what proves -----------------------------------------------------------------------------------------------------


def fenced(*orders: str, **config: object) -> tuple[Desk, Trip]:
    desk = Desk(**config)  # type: ignore[arg-type]
    for cl_ord_id in orders:
        desk.order("a", cl_ord_id)
    trip = desk.trip()
    desk.fence()
    desk.inventories()
    desk.clock.advance(MS)
    return desk, trip


def test_final_reports_prove_and_a_trip_ends_only_after_inventories_and_lists() -> None:
    desk, trip = fenced("1", "2")
    desk.empty_lists()
    desk.cancelled("a", "1")
    assert trip.phase == Phase.PROVING
    desk.cancelled("a", "2", cum=40)
    assert trip.phase == Phase.PROVEN
    assert trip.counts().filled == 1
    assert describe(trip)["filled_orders"] == ["2"]
    assert desk.gate.get("desk").state == GateState.TRIPPED


def test_a_trip_says_by_venue_when_the_last_of_its_orders_was_proven() -> None:
    desk, trip = fenced("1", "2")
    desk.cancelled("a", "1")
    assert describe(trip)["venues"] == {"x": {"orders": 2, "proven": 1, "all_proven_ms": None}}
    desk.clock.advance(7 * MS)
    desk.cancelled("a", "2")
    told = describe(trip)["venues"]["x"]  # type: ignore[index]
    assert (told["orders"], told["proven"]) == (2, 2)
    assert told["all_proven_ms"] == (desk.clock.mono_ns() - trip.times.received_ns) / MS


@pytest.mark.parametrize("what", [("A", "A"), ("6", "6"), ("E", "E"), ("I", "0"), ("F", "1")])
def test_acknowledgements_and_partial_fills_prove_nothing(what: tuple[str, str]) -> None:
    desk, trip = fenced("1")
    desk.switch.event(report("a", "1", "o-1", *what))
    assert trip.counts().proven == 0


def test_drop_copy_refutes_but_never_proves() -> None:
    desk, trip = fenced("1")
    desk.switch.event(report("dc", "1", "o-1", "4", "4", drop_copy=True))
    assert trip.counts().proven == 0
    for _ in range(2):
        desk.empty_lists()
        desk.clock.advance(LAG_NS + 2 * MS)
    assert trip.phase == Phase.PROVEN
    desk.switch.event(report("dc", "1", "o-1", "0", "0", drop_copy=True))
    assert trip.phase == Phase.PROVING
    assert desk.gate.get("desk").state == GateState.TRIPPING


def test_one_list_proves_nothing_and_two_must_be_further_apart_than_the_lag() -> None:
    desk, trip = fenced("1")
    desk.empty_lists()
    desk.clock.advance(LAG_NS)
    desk.empty_lists()  # asked for exactly one lag after the first was complete, less its own millisecond
    assert trip.counts().proven == 0
    desk.clock.advance(2 * MS)
    desk.empty_lists()
    assert trip.counts().proven == 1
    assert trip.proofs.unproven() == []


def test_a_list_asked_for_before_the_fence_does_not_count() -> None:
    desk = Desk()
    desk.order("a", "1")
    trip = desk.trip()
    before = desk.clock.mono_ns()
    desk.clock.advance(MS)
    desk.fence()
    desk.inventories()
    desk.clock.advance(MS)
    desk.switch.listed("x", [], before, desk.clock.mono_ns())
    desk.clock.advance(LAG_NS + 2 * MS)
    desk.empty_lists()
    assert trip.counts().proven == 0


def test_a_list_that_shows_the_order_starts_the_wait_again_and_cancels_again() -> None:
    desk, trip = fenced("1")
    desk.empty_lists()
    desk.clock.advance(LAG_NS + 2 * MS)
    desk.actions.clear()
    now = desk.clock.mono_ns()
    desk.switch.listed("x", [ListedId("o-1", "1", "BTC-USD")], now, now + MS)
    assert [a.cl_ord_id for a in desk.take(do.CancelOne)] == ["1"]  # type: ignore[union-attr]
    desk.clock.advance(LAG_NS + 2 * MS)
    desk.empty_lists()
    assert trip.counts().proven == 0


def test_an_order_never_answered_is_uncertain_and_lists_count_later() -> None:
    desk = Desk()
    desk.switch.event(state("a", "1", "PENDING_NEW"))
    trip = desk.trip()
    desk.fence()
    desk.inventories()
    for _ in range(4):
        desk.clock.advance(LAG_NS + 2 * MS)
        desk.empty_lists()
    assert (trip.counts().uncertain, trip.counts().proven) == (1, 0)
    desk.clock.advance(UNANSWERED_NS)
    for _ in range(2):
        desk.clock.advance(LAG_NS + 2 * MS)
        desk.empty_lists()
    assert (trip.counts().uncertain, trip.counts().proven) == (0, 1)


def test_a_line_without_cl_ord_id_may_be_the_order_that_was_never_answered() -> None:
    desk = Desk()
    desk.switch.event(state("a", "1", "PENDING_NEW"))
    trip = desk.trip("session:a")
    desk.fence("a")
    desk.inventories("a")
    desk.clock.advance(UNANSWERED_NS)
    for _ in range(4):
        desk.clock.advance(LAG_NS + 2 * MS)
        now = desk.clock.mono_ns()
        desk.switch.listed("x", [ListedId("o-77", "", "BTC-USD")], now, now + MS)
    assert trip.counts().uncertain == 1


def test_a_late_acknowledgement_is_cancelled_again_even_after_the_proof() -> None:
    desk, trip = fenced()
    desk.empty_lists()
    assert trip.phase == Phase.PROVEN
    desk.actions.clear()
    desk.order("a", "9")
    assert trip.phase == Phase.PROVING
    assert "9" in [a.cl_ord_id for a in desk.take(do.CancelOne)]  # type: ignore[union-attr]
    assert any(a.code == "proof_refuted" for a in desk.take(do.Tell))  # type: ignore[union-attr]
    assert [p.late for p in trip.proofs] == [True]


def test_only_after_a_refutation_that_was_said_it_is_said_that_all_is_proven_now() -> None:
    desk, trip = fenced()
    desk.empty_lists()
    desk.actions.clear()
    desk.order("a", "9")
    told = [(a.severity, a.code) for a in desk.take(do.Tell)]  # type: ignore[union-attr]
    assert told == [("critical", "proof_refuted")]
    desk.cancelled("a", "9")
    for _ in range(3):
        desk.empty_lists()
    assert trip.phase == Phase.PROVEN
    assert ("info", "proof_refuted") in [(a.severity, a.code) for a in desk.take(do.Tell)]  # type: ignore[union-attr]


def test_an_order_that_showed_life_before_all_was_proven_refutes_nothing_that_was_said() -> None:
    desk, trip = fenced("1", "2")
    for _ in range(2):
        now = desk.clock.mono_ns()
        desk.switch.listed("x", [ListedId("o-2", "2", "BTC-USD")], now, now + MS)
        desk.switch.listed("y", [], now, now + MS)
        desk.clock.advance(LAG_NS + 3 * MS)
    assert [p.name for p in trip.proofs.unproven()] == ["2"]
    desk.switch.event(report("dc", "1", "o-1", "0", "0", drop_copy=True))
    assert [p.name for p in trip.proofs if p.refuted] == ["1"]
    desk.cancelled("a", "1")
    desk.cancelled("a", "2")
    assert trip.phase == Phase.PROVEN
    assert "proof_refuted" not in [a.code for a in desk.take(do.Tell)]  # type: ignore[union-attr]


@pytest.mark.parametrize("lists", [False, True])
def test_an_order_that_was_never_answered_and_reset_over_by_force_holds_up_no_trip_where_no_list_could_tell(
    lists: bool,
) -> None:
    desk = Desk()
    desk.switch.know(msgspec.structs.replace(desk.switch.topology.venues["y"], lists=lists))
    never, acked = state("c", "9", "UNCERTAIN", venue="y"), state("c", "8", "UNCERTAIN", venue="y", order_id="o-8")
    for event in (never, acked):
        desk.switch.event(event)
    desk.trip()
    desk.fence()
    desk.inventories()
    desk.switch.reset("desk", "looked at the venue's page: they are not there", "kim", ["8", "9", "UNKNOWN"])
    desk.switch.inventory("c", [never, acked])
    left = {o.cl_ord_id for o in desk.switch.ledger.open()}
    assert left == ({"8", "9"} if lists else {"8"}), "what its owner still holds is no sign of life"
    desk.switch.event(report("c", "9", "o-9", "0", "0", venue="y"))
    assert {o.cl_ord_id for o in desk.switch.ledger.open()} == {"8", "9"}, "the venue's word is"


def test_the_venues_own_answer_about_one_order_proves_it() -> None:
    desk, trip = fenced("1")
    desk.empty_lists("y")
    desk.switch.order_answered("a", "1", "", None)
    assert trip.counts().proven == 0
    desk.switch.order_answered("a", "1", "4", 10)
    assert trip.counts().proven == 1
    assert trip.counts().filled == 1


def test_what_an_owner_merely_claims_is_checked() -> None:
    """CANCELED without a report (its own reconciliation) is no proof; REJECTED before sending is."""
    desk, trip = fenced("1")
    desk.switch.event(state("a", "1", "CANCELED", order_id="o-1"))
    assert trip.counts().proven == 0
    desk = Desk()
    desk.switch.event(state("a", "2", "PENDING_NEW"))
    trip = desk.trip()
    desk.switch.event(state("a", "2", "REJECTED", reason="desk is TRIPPING"))
    desk.fence()
    assert trip.counts().proven == 1
    desk = Desk()
    desk.switch.event(state("a", "3", "PENDING_NEW"))
    desk.switch.event(state("a", "3", "UNCERTAIN"))
    trip = desk.trip()
    desk.switch.event(state("a", "3", "REJECTED", reason="absent from two lists"))
    desk.fence()
    assert trip.counts().proven == 0


def test_orders_that_nobody_here_placed_belong_to_a_trip_of_the_whole_account_only() -> None:
    for scope, expected in (("desk", 1), ("venue:x", 1), ("account:x/main", 1), ("session:a", 0), ("strategy:mm", 0)):
        desk = Desk()
        desk.order("a", "1")
        desk.cancelled("a", "1")  # finished before the trip: a lagging list may still show it
        trip = desk.trip(scope)
        desk.fence()
        desk.clock.advance(MS)
        now = desk.clock.mono_ns()
        lines = [ListedId("o-1", "1", "BTC-USD"), ListedId("stranger", "", "BTC-USD")]
        desk.switch.listed("x", lines, now, now + MS)
        assert [p.order_id for p in trip.proofs] == ["stranger"] * expected


def shown_first(line: ListedId) -> tuple[Desk, Trip]:
    """A list shows an order that no owner here has named yet."""
    desk = Desk()
    trip = desk.trip()
    desk.fence()
    desk.clock.advance(MS)
    now = desk.clock.mono_ns()
    desk.switch.listed("x", [line], now, now + MS)
    assert trip.counts().total == 1
    return desk, trip


@pytest.mark.parametrize("cl_ord_id", ["1", ""], ids=["with ClOrdID", "without"])
def test_an_order_that_a_list_showed_before_its_owner_named_it_is_one_order(cl_ord_id: str) -> None:
    desk, trip = shown_first(ListedId("o-1", cl_ord_id, "BTC-USD"))
    desk.order("a", "1")
    assert [(p.owned.session, p.order_id, p.late) for p in trip.proofs] == [("a", "o-1", True)]
    assert (trip.counts().total, [p.key for p in trip.proofs.unproven()]) == (1, [("owner", "a", "1")])
    desk.cancelled("a", "1")
    assert (trip.counts().total, trip.counts().proven) == (1, 1)


def absent_twice(desk: Desk) -> None:
    for _ in range(2):
        desk.clock.advance(LAG_NS + 2 * MS)
        desk.empty_lists()


def test_what_proved_the_listed_order_dead_proves_the_owners_until_it_shows_life() -> None:
    desk, trip = shown_first(ListedId("o-1", "1", "BTC-USD"))
    absent_twice(desk)
    assert trip.counts().proven == 1
    desk.switch.event(state("a", "1", "NEW", order_id="o-1"))
    assert [(p.key, p.how, p.order_id) for p in trip.proofs] == [(("owner", "a", "1"), ABSENT, "o-1")]
    assert trip.counts().total == trip.counts().proven == 1
    desk.switch.event(report("a", "1", "o-1", "F", "1", cum=40))
    assert [p.key for p in trip.proofs.unproven()] == [("owner", "a", "1")]


def test_a_client_order_id_alone_proves_nothing_about_an_order_that_was_never_answered() -> None:
    desk, trip = shown_first(ListedId("o-77", "1", "BTC-USD"))
    absent_twice(desk)
    desk.switch.event(state("a", "1", "PENDING_NEW"))
    assert [(p.key, p.how) for p in trip.proofs.unproven()] == [(("owner", "a", "1"), "")]
    assert trip.counts().total == 2


def test_a_line_that_has_a_client_order_id_alone_is_the_owners_and_proves_nothing_of_it() -> None:
    desk, trip = shown_first(ListedId("", "1", "BTC-USD"))
    absent_twice(desk)
    desk.clock.advance(UNANSWERED_NS)
    absent_twice(desk)
    assert trip.counts().proven == 1
    desk.switch.event(state("a", "1", "PENDING_NEW"))
    assert [(p.key, p.how) for p in trip.proofs] == [(("owner", "a", "1"), "")]


def test_a_client_order_id_that_the_venue_holds_twice_is_two_orders() -> None:
    desk, trip = shown_first(ListedId("o-77", "1", "BTC-USD"))
    desk.switch.event(state("a", "1", "NEW", order_id="o-1"))
    assert sorted(p.order_id for p in trip.proofs.unproven()) == ["o-1", "o-77"]


def test_an_order_missing_from_its_owners_list_sends_us_to_the_journal() -> None:
    desk = Desk()
    desk.order("a", "1")
    trip = desk.trip()
    desk.fence()
    desk.actions.clear()
    desk.switch.inventory("a", [])
    assert [a.session for a in desk.take(do.ReadJournal)] == ["a"]  # type: ignore[union-attr]
    assert "orders of a are not known since the fence" in trip.open_questions()
    desk.switch.journal_read("a")
    assert "orders of a are not known since the fence" not in trip.open_questions()


def test_an_owner_that_lists_nothing_in_time_has_its_journal_read() -> None:
    desk = Desk()
    desk.trip()
    desk.fence()
    desk.actions.clear()
    desk.pass_ms(501)
    assert [a.session for a in desk.take(do.ReadJournal)] == list(ALL)  # type: ignore[union-attr]


def test_the_last_steps_are_disconnecting_and_calling_a_person_again_and_again() -> None:
    desk, trip = fenced("1", proof_deadline_s=4)
    for _ in range(3):
        desk.take(do.Tell)
        desk.pass_ms(4000)
        told = [a for a in desk.take(do.Tell) if a.code == "not_proven"]  # type: ignore[union-attr]
        assert len(told) == 1
        assert "x:BTC-USD:1" in told[0].text  # type: ignore[union-attr]
    assert trip.phase == Phase.PROVING


# -- states, reset, latch --------------------------------------------------------------------------------------------


def test_reset_is_refused_while_an_order_is_unproven_unless_its_list_is_repeated() -> None:
    desk, _ = fenced("1", "2")
    with pytest.raises(CommandError, match="needs a reason"):
        desk.switch.reset("desk", " ", "me")
    with pytest.raises(CommandError, match="repeat the list: 1 2"):
        desk.switch.reset("desk", "why", "me")
    with pytest.raises(CommandError, match="repeat the list"):
        desk.switch.reset("desk", "why", "me", ["1"])
    desk.switch.reset("desk", "why", "me", ["2", "1"])
    assert desk.gate.get("desk").state == GateState.RESETTING
    desk.pass_ms(1999)
    assert desk.gate.get("desk").state == GateState.RESETTING
    desk.pass_ms(2)
    assert desk.gate.get("desk").state == GateState.ARMED


def test_reset_before_anything_is_known_has_to_be_forced_by_name() -> None:
    desk = Desk()
    desk.trip()
    with pytest.raises(CommandError, match="UNKNOWN"):
        desk.switch.reset("desk", "why", "me")
    desk.switch.reset("desk", "why", "me", ["UNKNOWN"])


def test_reset_of_one_scope_leaves_others_shut() -> None:
    desk = Desk(reset_cool_off_s=0)
    desk.trip("session:a")
    desk.trip("session:b")
    desk.fence()
    desk.inventories()
    desk.switch.reset("session:a", "why", "me")
    desk.pass_ms(1)
    assert desk.gate.get("session:a").state == GateState.ARMED
    assert desk.gate.get("session:b").state == GateState.TRIPPED
    with pytest.raises(CommandError, match="nothing to reset"):
        desk.switch.reset("session:a", "why", "me")


def test_an_order_proven_by_absence_does_not_come_back_in_the_next_trip() -> None:
    desk, _ = fenced("1")
    for _ in range(2):
        desk.empty_lists()
        desk.clock.advance(LAG_NS + 2 * MS)
    assert [p.how for t in desk.switch.trips.values() for p in t.proofs] == [ABSENT]
    desk.switch.reset("desk", "why", "me")
    assert list(desk.switch.ledger.open()) == []
    assert desk.trip().counts().total == 0


def reset_after_absence() -> Desk:
    desk, _ = fenced("1")
    for _ in range(2):
        desk.empty_lists()
        desk.clock.advance(LAG_NS + 2 * MS)
    desk.switch.reset("desk", "why", "me")
    desk.clock.advance(3_000 * MS)
    return desk


def test_an_order_proven_by_absence_is_cancelled_again_when_a_later_trip_finds_it_in_a_list() -> None:
    desk = reset_after_absence()
    trip = desk.trip()
    desk.fence()
    desk.inventories()
    desk.actions.clear()
    now = desk.clock.mono_ns()
    desk.switch.listed("x", [ListedId("o-1", "1", "BTC-USD")], now, now + MS)
    assert [(p.owned.session, p.name) for p in trip.proofs.unproven()] == [("a", "1")]
    assert [a.cl_ord_id for a in desk.take(do.CancelOne)] == ["1"]  # type: ignore[union-attr]


def test_an_order_proven_by_absence_is_open_again_once_a_report_shows_it() -> None:
    desk = reset_after_absence()
    desk.switch.event(report("a", "1", "o-1", "F", "1", cum=40))
    assert [o.cl_ord_id for o in desk.switch.ledger.open()] == ["1"]
    assert "1" not in desk.switch.ledger.finished_ids("x")
    assert desk.trip().counts().total == 1


def test_what_the_venue_itself_finished_stays_out_of_later_trips() -> None:
    desk, _ = fenced("1")
    desk.switch.order_answered("a", "1", "4", 0)
    desk.empty_lists()
    desk.switch.reset("desk", "why", "me")
    trip = desk.trip()
    desk.fence()
    now = desk.clock.mono_ns()
    desk.switch.listed("x", [ListedId("o-1", "1", "BTC-USD")], now, now + MS)  # a list that lags
    assert trip.counts().total == 0


def test_lists_go_on_for_a_while_after_the_proof_and_an_order_that_shows_up_refutes_it() -> None:
    desk, trip = fenced("1", watch_after_proof_s=30)
    for _ in range(2):
        desk.empty_lists()
        desk.clock.advance(LAG_NS + 2 * MS)
    assert trip.phase == Phase.PROVEN
    desk.actions.clear()
    asked = 0
    for _ in range(20):
        desk.pass_ms(1_000)
        for venue in {a.venue for a in desk.take(do.AskList)}:  # type: ignore[union-attr]
            asked += venue == "x"
            desk.empty_lists(venue)
    assert 5 <= asked <= 10
    desk.actions.clear()
    now = desk.clock.mono_ns()
    desk.switch.listed("x", [ListedId("o-1", "1", "BTC-USD")], now, now + MS)
    assert trip.phase == Phase.PROVING
    assert desk.gate.get("desk").state == GateState.TRIPPING
    assert [a.code for a in desk.take(do.Tell) if a.severity == "critical"] == ["proof_refuted"]  # type: ignore[union-attr]
    assert desk.take(RestCancelAll)


def test_lists_end_some_time_after_the_proof() -> None:
    desk, trip = fenced(watch_after_proof_s=5)
    desk.empty_lists()
    assert trip.phase == Phase.PROVEN
    desk.clock.advance(5_000 * MS)
    desk.actions.clear()
    desk.pass_ms(3_000)
    assert desk.take(do.AskList) == []


def test_an_order_in_an_instrument_nobody_configured_is_cancelled_by_the_symbol_of_the_list() -> None:
    desk, trip = fenced()
    desk.actions.clear()
    now = desk.clock.mono_ns()
    desk.clock.advance(1_100 * MS)
    desk.switch.listed("x", [ListedId("77", "web", "", "DOGEUSD")], now, now + MS)
    desk.pass_ms(1_100)
    assert {a.symbols for a in desk.take(RestCancelAll)} == {("DOGEUSD",)}  # type: ignore[union-attr]
    assert "x:DOGEUSD (not configured):web" in trip.unproven_text()
    for _ in range(2):
        desk.empty_lists()
        desk.clock.advance(LAG_NS + 2 * MS)
    assert trip.phase == Phase.PROVEN


def test_where_nothing_goes_by_symbol_an_order_in_an_instrument_nobody_configured_is_said_to_be_unproven() -> None:
    desk, trip = fenced()
    now = desk.clock.mono_ns()
    desk.switch.listed("y", [ListedId("77", "web", "", "DOGEUSDT")], now, now + MS)
    desk.pass_ms(31_000)
    said = [a.text for a in desk.take(do.Tell) if a.code == "not_proven"]  # type: ignore[union-attr]
    assert "DOGEUSDT at y is not configured here, and the plan has no cancel that goes by symbol there" in said[-1]
    assert "y:DOGEUSDT (not configured):web" in said[-1]
    assert trip.phase == Phase.PROVING


def test_an_owner_that_is_only_starting_is_not_killed_but_nothing_is_proven_before_it_answers() -> None:
    desk = Desk()
    desk.switch.owners_alive(ALL, ["a"])
    trip = desk.trip()
    desk.fence("b", "c")
    desk.pass_ms(201)
    assert desk.take(do.KillOwner) == []
    assert trip.phase == Phase.PROVING
    desk.inventories()
    desk.empty_lists()
    desk.pass_ms(5_000)
    assert desk.take(do.KillOwner) == []
    assert (trip.phase, trip.open_questions()) == (Phase.PROVING, ["owner a is starting and has not answered the gate"])
    desk.fence("a")
    assert trip.phase == Phase.PROVEN


def test_an_owner_that_is_past_its_start_and_still_silent_is_killed() -> None:
    desk = Desk()
    desk.switch.owners_alive(ALL, ["a"])
    trip = desk.trip("session:a")
    desk.pass_ms(201)
    desk.pass_ms(1_000)
    desk.switch.owners_alive(ALL)
    desk.pass_ms(190)
    assert trip.killed == []
    desk.pass_ms(20)
    desk.pass_ms(300)
    assert [a.session for a in desk.take(do.KillOwner)] == ["a"]  # type: ignore[union-attr]
    assert trip.killed == ["a"]
    desk.switch.owner_died("a", False)
    assert trip.waiting_for() == []


def test_a_latch_reads_back_and_a_tripped_desk_stays_tripped() -> None:
    desk, _ = fenced()
    desk.empty_lists()
    again = desk.restart(desk.latch())
    assert again.switch.records["desk"].state == GateState.TRIPPED
    assert again.gate.get("desk").state == GateState.TRIPPED
    assert again.take(RestCancelAll) == []
    assert "cause: operator" in explain(again.switch.status()["last_trip"])  # type: ignore[arg-type]


def test_a_half_done_trip_is_gone_through_again_under_its_own_name() -> None:
    desk = Desk()
    trip = desk.trip("venue:x")
    again = desk.restart(desk.latch())
    (resumed,) = again.switch.trips.values()
    assert (resumed.trip_id, resumed.scope) == (trip.trip_id, "venue:x")
    assert resumed.generation > trip.generation
    assert again.take(RestCancelAll)


def test_a_half_done_reset_has_to_be_asked_for_again() -> None:
    desk, _ = fenced()
    desk.empty_lists()
    desk.switch.reset("desk", "why", "me")
    again = desk.restart(desk.latch())
    again.pass_ms(60_000)
    assert again.gate.get("desk").state == GateState.TRIPPING


def test_a_strategys_word_that_the_latch_does_not_know_is_taken_up_and_can_be_reset() -> None:
    desk = Desk(reset_cool_off_s=0)
    latch = desk.latch()
    desk.order("a", "1", strategy="mm")
    desk.gate.close(["strategy:mm"])  # and the process dies before the latch is written
    again = desk.restart(latch, reset_cool_off_s=0)
    (trip,) = again.switch.trips.values()
    assert (trip.scope, trip.cause) == ("strategy:mm", "restart")
    again.fence()
    again.inventories()
    again.switch.reset("strategy:mm", "looked into", "me")
    again.pass_ms(1)
    assert again.gate.get("strategy:mm").state == GateState.DISARMED
    again.switch.arm_strategy("strategy:mm", "ready", "mm")
    assert again.gate.get("strategy:mm").state == GateState.ARMED


def test_a_reset_that_the_latch_does_not_know_has_to_be_asked_for_again() -> None:
    desk = Desk()
    latch = desk.latch()
    desk.gate.close(["strategy:mm"], GateState.RESETTING)
    again = desk.restart(latch)
    assert [t.scope for t in again.switch.trips.values()] == ["strategy:mm"]
    assert again.gate.get("strategy:mm").state == GateState.TRIPPING


def test_a_paused_session_goes_on_after_a_restart_of_the_kill_switch_once_it_agrees() -> None:
    desk = Desk()
    desk.switch.fingerprints({"a": ("other", "c")})
    assert desk.gate.get("session:a").state == GateState.DISARMED
    again = desk.restart(desk.latch())
    assert again.gate.get("session:a").state == GateState.DISARMED
    again.switch.fingerprints({"a": ("b", "c")})
    assert again.gate.get("session:a").state == GateState.ARMED


def test_closed_words_that_nobody_can_name_trip_the_desk_which_covers_them() -> None:
    desk = Desk()
    latch = desk.latch()
    desk.gate.unnamed = [4711]
    again = desk.restart(latch)
    assert [(t.scope, t.cause) for t in again.switch.trips.values()] == [("desk", "restart")]
    assert again.gate.unnamed == []


def test_words_that_closed_after_the_latch_was_written_win() -> None:
    desk = Desk()
    armed = desk.latch()
    desk.gate.close(["desk"])  # and then the process died
    stores = len(desk.gate.stores)
    again = desk.restart(armed)
    assert again.gate.get("desk").state == GateState.TRIPPING
    assert ("desk", GateState.ARMED) not in again.gate.stores[stores:]
    desk = Desk()
    armed = desk.latch()
    desk.gate.close(["session:b"])
    again = desk.restart(armed)
    assert again.switch.records["session:b"].cause == "restart"


@pytest.mark.parametrize("damage", ["missing", "torn", "other boot", "edited", "empty"])
def test_a_latch_that_is_not_sound_reads_tripped(damage: str) -> None:
    desk = Desk()
    data = desk.latch()
    broken = {
        "missing": None,
        "torn": data[:-9],
        "other boot": data,
        "edited": data.replace(b"ARMED", b"ARMEE"),
        "empty": b"",
    }
    again = desk.restart(broken[damage], "next boot" if damage == "other boot" else "boot", arm_at_start=False)
    assert again.switch.records["desk"].state in (GateState.TRIPPED, GateState.TRIPPING)
    assert again.gate.get("desk").state in (GateState.TRIPPED, GateState.TRIPPING)


def test_a_word_that_moved_on_since_the_latch_was_written_is_gone_through_again() -> None:
    """Tripped again, refuted or opened and traded while the disk hung: TRIPPED, as the latch has it, is out of date."""
    for moved in ("tripped", "refuted", "opened"):
        desk, _ = fenced()
        desk.empty_lists()
        latch = desk.latch()
        if moved == "tripped":
            desk.gate.close(["desk"])
        elif moved == "refuted":
            desk.order("a", "late")
        else:
            desk.gate.set("desk", GateState.ARMED)
        again = desk.restart(latch, before=(state("a", "late", "PENDING_NEW"),))
        assert again.switch.records["desk"].state == GateState.TRIPPING, moved
        assert again.take(RestCancelAll)


def test_a_word_proven_under_a_generation_that_the_latch_does_not_know_is_gone_through_again() -> None:
    desk, _ = fenced()
    desk.empty_lists()
    latch = desk.latch()
    desk.gate.close(["desk"], GateState.TRIPPED)
    assert desk.restart(latch).switch.records["desk"].state == GateState.TRIPPING


def test_what_was_shut_before_a_reboot_is_not_opened_by_the_reset_of_the_desk() -> None:
    desk = Desk(arm_at_start=False, reset_cool_off_s=0)
    desk.switch.arm("day one", "me")
    desk.trip("session:b")
    again = Desk(reading=decode(desk.latch(), "next boot"), arm_at_start=False, reset_cool_off_s=0)
    assert again.switch.records["session:b"].state == GateState.TRIPPING
    again.fence()
    again.switch.reset("desk", "rebooted", "me", ["UNKNOWN"])
    again.pass_ms(1)
    assert again.gate.get("desk").state == GateState.ARMED
    assert again.gate.get("session:b").state in (GateState.TRIPPING, GateState.TRIPPED)


def test_a_desk_tripped_for_want_of_a_latch_is_reset_not_armed_after_a_restart_too() -> None:
    desk = Desk(reading=decode(b"", "boot"), arm_at_start=False)
    desk.fence()
    desk.inventories()
    desk.clock.advance(MS)
    desk.empty_lists()
    again = desk.restart(desk.latch(), arm_at_start=False)
    assert again.switch.records["desk"].state == GateState.TRIPPED
    with pytest.raises(CommandError, match="reset, not armed"):
        again.switch.arm("please", "me")


@given(data=st.binary(max_size=300))
def test_no_latch_bytes_raise_or_read_as_sound(data: bytes) -> None:
    assert decode(data, "boot").latch is None


def test_the_generation_never_falls_behind_latch_or_fences() -> None:
    gate = MemoryGate()
    latch = Latch(1, "old boot", 70, 0, {}, {})
    desk = Desk(reading=decode(encode(latch), "boot"), gate=gate)
    assert desk.gate is gate
    assert gate.generation >= 70
    gate = MemoryGate()
    switch = KillSwitch(gate, ManualClock(), topology(), KillConfig(), "boot", lambda _: None)
    switch.start(NONE, 99, ())
    assert gate.generation > 99


def test_a_new_desk_is_shut_and_armed_by_a_person_with_a_reason() -> None:
    desk = Desk(arm_at_start=False)
    assert desk.gate.get("desk").state == GateState.TRIPPED
    assert desk.switch.trips == {}
    with pytest.raises(CommandError, match="reason"):
        desk.switch.arm("", "me")
    assert desk.switch.arm("day one", "me") == ["y: what 35=q reaches"]
    assert desk.gate.get("desk").state == GateState.ARMED


def test_a_desk_without_a_latch_but_with_orders_cancels_them() -> None:
    desk = Desk(arm_at_start=False, before=(state("a", "1", "PENDING_NEW"),))
    assert desk.gate.get("desk").state == GateState.TRIPPING
    assert desk.take(RestCancelAll)


def test_arming_opens_nothing_that_was_tripped() -> None:
    desk, _ = fenced()
    desk.empty_lists()
    with pytest.raises(CommandError, match="reset, not armed"):
        desk.switch.arm("please", "me")


def test_a_fingerprint_mismatch_blocks_arming_and_pauses_the_session_without_a_trip() -> None:
    desk = Desk(arm_at_start=False)
    desk.switch.fingerprints({"a": ("b", "c"), "b": ("old", "c")})
    with pytest.raises(CommandError, match="b: build and configuration"):
        desk.switch.arm("go", "me")
    assert desk.gate.get("session:b") == GateWord(0, GateState.DISARMED)
    assert desk.switch.trips == {}
    desk.switch.fingerprints({"a": ("b", "c"), "b": ("b", "c")})
    assert desk.gate.get("session:b").state == GateState.ARMED
    desk.switch.arm("go", "me")


def test_a_pause_that_ends_does_not_open_a_trip_that_came_meanwhile() -> None:
    desk = Desk()
    desk.switch.fingerprints({"b": ("old", "c")})
    desk.trip("session:b")
    desk.switch.fingerprints({"b": ("b", "c")})
    assert desk.gate.get("session:b").state == GateState.TRIPPING


def test_a_reset_desk_whose_processes_disagree_stays_shut() -> None:
    desk, _ = fenced(reset_cool_off_s=0)
    desk.empty_lists()
    desk.switch.reset("desk", "why", "me")
    desk.switch.fingerprints({"md": ("old", "c")})
    desk.pass_ms(1)
    assert desk.gate.get("desk").state == GateState.DISARMED


@pytest.mark.parametrize(
    ("orderly", "keeps", "orders", "trips"),
    [(True, False, 0, 0), (True, False, 1, 1), (True, True, 1, 0), (False, False, 0, 1), (False, True, 1, 1)],
)
def test_an_owner_that_ends_trips_its_session_unless_it_stopped_in_order_and_left_nothing_or_was_to_keep_it(
    orderly: bool, keeps: bool, orders: int, trips: int
) -> None:
    desk = Desk()
    desk.switch.topology.owners["a"] = msgspec.structs.replace(desk.switch.topology.owners["a"], keeps=keeps)
    for i in range(orders):
        desk.order("a", str(i))
    desk.take(do.Tell)
    desk.switch.owner_died("a", orderly)
    assert [t.scope for t in desk.switch.trips.values()] == ["session:a"] * trips
    told = {a.code for a in desk.take(do.Tell)}  # type: ignore[union-attr]
    assert ("stopped_with_orders" in told) == (orderly and keeps and orders > 0)


def test_tripping_again_sends_again_under_a_new_generation() -> None:
    desk = Desk()
    first = desk.trip()
    desk.actions.clear()
    second = desk.trip()
    assert second.generation == first.generation + 1
    assert desk.take(RestCancelAll)
    assert list(desk.switch.trips.values()) == [second]


@settings(deadline=None)
@given(
    steps=st.lists(
        st.sampled_from(["trip a", "trip desk", "fence", "lists", "reset a", "reset desk", "arm", "tick", "restart"]),
        max_size=25,
    )
)
def test_a_closed_word_opens_only_by_a_reset_that_a_person_asked_for(steps: list[str]) -> None:
    desk = Desk(reset_cool_off_s=0)
    latch = desk.latch()
    allowed: set[str] = set()
    for step in steps:
        before = {s: w.state for s, w in desk.gate.words.items()}
        verb, _, what = step.partition(" ")
        scope = {"a": "session:a", "desk": "desk"}.get(what, "")
        try:
            if verb == "trip":
                desk.trip(scope)
                allowed.discard(scope)
            elif verb == "fence":
                desk.fence()
                desk.inventories()
            elif verb == "lists":
                desk.clock.advance(MS)
                desk.empty_lists()
            elif verb == "reset":
                desk.switch.reset(scope, "why", "me")
                allowed.add(scope)
            elif verb == "arm":
                desk.switch.arm("why", "me")
            elif verb == "restart":
                desk = desk.restart(latch, reset_cool_off_s=0)
            else:
                desk.pass_ms(5)
        except CommandError:
            pass
        latch = next((a.data for a in reversed(desk.actions) if isinstance(a, do.Persist)), latch)
        for s, was in before.items():
            if was in (GateState.TRIPPING, GateState.TRIPPED) and desk.gate.get(s).state == GateState.ARMED:
                assert s in allowed


# -- memory ------------------------------------------------------------------------------------------------------------


def trade(desk: Desk, session: str, orders: range) -> None:
    for i in orders:
        desk.order(session, f"n{i}")
        desk.cancelled(session, f"n{i}")
        if i % 100 == 0:
            desk.switch.tick()
    desk.switch.tick()


def test_finished_orders_are_let_go_but_for_the_latest_of_each_session() -> None:
    desk = Desk()
    desk.order("a", "rests")
    trade(desk, "a", range(4 * FINISHED_KEPT))
    table = desk.switch.ledger._tables["a"]
    assert FINISHED_KEPT <= table.finished <= 2 * FINISHED_KEPT + 100
    assert desk.switch.ledger.find("a", f"n{4 * FINISHED_KEPT - 1}") is not None
    assert [o.cl_ord_id for o in desk.switch.ledger.open()] == ["rests"]


def test_no_order_of_a_trip_is_let_go_so_that_a_late_sign_of_life_still_refutes() -> None:
    desk = Desk()
    desk.order("a", "1")
    trip = desk.trip("session:a")
    desk.fence("a")
    desk.inventories("a")
    desk.cancelled("a", "1")
    assert trip.phase == Phase.PROVEN
    trade(desk, "b", range(3 * FINISHED_KEPT))
    assert desk.switch.ledger._tables["b"].finished <= 2 * FINISHED_KEPT + 100
    for i in range(2 * FINISHED_KEPT + 1):  # of the same session, over before they were heard of
        desk.switch.event(state("a", f"x{i}", "REJECTED"))
    desk.switch.tick()
    assert desk.switch.ledger.find("a", "x1") is None
    desk.switch.event(report("dc", "1", "o-1", "0", "0", drop_copy=True))
    found = desk.switch.ledger.find("a", "1")
    assert found is not None
    assert trip.proofs.has(found)
