"""Over long random histories: nothing is proven dead that may live, the gate stays shut, and each trip ends."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipc.gate import GateState
from risk.kill_trip import Phase
from tests.risk.kill_world import World


def check_truth(world: World) -> None:
    for trip in world.switch.trips.values():
        for proof in trip.proofs:
            if trip.proofs.proven(proof) and proof.owned.session:
                truth = world.orders[proof.ids[0]]
                assert not truth.dangerous, f"{truth} was proven dead by {proof.how}"
        if trip.phase == Phase.PROVEN:
            inside = [t for t in world.orders.values() if any(t.session == o for o in trip.plan.owners)]
            assert not any(t.dangerous for t in inside if trip.scope == "desk")


def history(seed: int, scope: str, *, loss: float, lists: bool, stalls: bool, look_ms: float = 20) -> World:
    world = World(seed, loss=loss, lists=lists, look_ms=look_ms)
    for _ in range(world.random.randint(1, 12)):
        world.place(world.random.choice(["a", "b", "c"]))
        world.run(world.random.choice([0, 1, 50, 400]), lambda: check_truth(world))
        if not stalls:
            for session in world.owners:
                world.resume(session)
    if world.random.random() < 0.3:
        world.kill(world.random.choice(["a", "b", "c"]))
    world.switch.trip(scope, "operator", "test", world.clock.mono_ns())
    if world.random.random() < 0.5:  # else fences and reports may come first
        world.switch.follow()
    if world.random.random() < 0.4:  # a stopped owner goes on at an awkward moment
        session = world.random.choice(["a", "b", "c"])
        world.after(0, 400, lambda: world.resume(session))
    shut = len(world.gate.stores)

    def check() -> None:
        check_truth(world)
        reopened = [s for s in world.gate.stores[shut:] if s == (scope, GateState.ARMED)]
        assert not reopened

    for _ in range(20):
        world.run(3_000, check)
        if not world.switch.busy:
            world.run(3_000, check)  # late reports are still on their way
            if not world.switch.busy:
                break
    return world


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), loss=st.sampled_from([0.0, 0.2, 0.5]), stalls=st.booleans())
def test_a_desk_trip_proves_only_the_dead_and_ends(seed: int, loss: float, stalls: bool) -> None:
    world = history(seed, "desk", loss=loss, lists=True, stalls=stalls)
    (trip,) = [t for t in world.switch.trips.values() if t.scope == "desk"]
    assert trip.phase == Phase.PROVEN, trip.open_questions()
    assert not any(t.dangerous for t in world.orders.values())
    assert world.gate.get("desk").state == GateState.TRIPPED


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), scope=st.sampled_from(["session:a", "venue:x", "venue:y", "account:x/main"]))
def test_a_narrow_trip_proves_only_the_dead_and_ends(seed: int, scope: str) -> None:
    world = history(seed, scope, loss=0.2, lists=True, stalls=False)
    (trip,) = [t for t in world.switch.trips.values() if t.scope == scope]
    assert trip.phase == Phase.PROVEN, trip.open_questions()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_without_lists_a_lost_report_leaves_the_order_unproven_for_ever(seed: int) -> None:
    world = history(seed, "desk", loss=0.3, lists=False, stalls=False)
    (trip,) = [t for t in world.switch.trips.values() if t.scope == "desk"]
    heard = {p.ids[0] for p in trip.proofs if p.how.startswith("report")}
    unheard = {p.ids[0] for p in trip.proofs} - heard
    assert (trip.phase == Phase.PROVEN) == (not unheard)
    assert {p.ids[0] for p in trip.proofs.unproven()} == unheard


@pytest.mark.stress
@settings(max_examples=1500, deadline=None)
@given(
    seed=st.integers(0, 2**32), loss=st.sampled_from([0.0, 0.2, 0.5]), stalls=st.booleans(),
    look_ms=st.sampled_from([20, 70, 170]),
)  # fmt: skip
def test_a_thousand_desk_trips(seed: int, loss: float, stalls: bool, look_ms: float) -> None:
    """Between two looks most of the time nothing happens: with fewer of them more differs from trip to trip."""
    history(seed, "desk", loss=loss, lists=True, stalls=stalls, look_ms=look_ms)
