"""Whatever happens while the desk is away, and however the venue fails and lags: in the end the desk has the truth."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.venues.recovery_world import LAG, MS, SECOND, World

N = st.integers(0, 7)
STEP = st.one_of(
    st.tuples(st.sampled_from(["place", "connect", "disconnect", "swallow", "late", "replaced"]), N),
    st.tuples(st.sampled_from(["fill", "fill", "cancelled", "expired", "rejected"]), N),
    st.tuples(st.sampled_from(["deliver", "answer", "answer", "serve"]), N),
    st.tuples(st.sampled_from(["fails", "lag", "wait", "wait"]), N),
)
EVENTS = st.lists(st.tuples(st.sampled_from(["fill", "cancelled", "expired", "rejected", "replaced"]), N), max_size=3)
BRIEFLY = st.tuples(st.sampled_from(["wait", "serve"]), st.sampled_from([0, 0, 1, 2, 3]))


def away(before: list[tuple[str, int]], order: tuple[str, int], during: list[tuple[str, int]], *then: tuple[str, int]):
    """Orders work, the connection is lost, things happen, it is back."""
    return [
        *before,
        ("place", 1),
        order,
        ("place", 2),
        ("deliver", 7),
        ("disconnect", 0),
        *during,
        *then,
        ("connect", 0),
    ]


AWAY = st.builds(
    away, EVENTS, st.tuples(st.sampled_from(["swallow", "late", "lag"]), N), EVENTS, BRIEFLY,
    st.tuples(st.just("lag"), N), st.tuples(st.just("fails"), st.sampled_from([0, 0, 0, 1, 2, 5])),
)  # fmt: skip
STEPS = st.lists(st.one_of(AWAY, st.lists(STEP, max_size=6)), max_size=5).map(
    lambda parts: [s for p in parts for s in p]
)
WAITS = (10 * MS, 100 * MS, 500 * MS, SECOND, 2 * SECOND, 6 * SECOND, 12 * SECOND, 30 * SECOND)


def step(world: World, what: str, n: int) -> None:
    match what:
        case "place":
            world.entry.handle(world.new(order_qty=100 + 10 * n))
        case "connect":
            world.connect()
        case "disconnect":
            world.disconnect()
        case "swallow":
            world.swallow = 1
        case "late":
            world.late = 1
        case "serve":
            world.wait(WAITS[n], serve=True)
        case "replaced":
            world.replaced(n)
        case "fill":
            world.fill(n, 1 + n % 4)
        case "cancelled" | "expired" | "rejected":
            world.ends(n, {"cancelled": "4", "expired": "C", "rejected": "8"}[what])
        case "deliver":
            world.deliver(n)
        case "answer":
            world.answer(n)
        case "fails":
            world.fails = n
        case "lag":
            world.lag_ns = LAG * n // 7
        case "wait":
            world.wait(WAITS[n])
    world.check()


def play(world: World, steps: list[tuple[str, int]]) -> None:
    world.connect()
    world.wait(2 * SECOND, serve=True)
    for what, n in steps:
        step(world, what, n)
    world.settle()
    world.check_truth()


@pytest.mark.parametrize("resend", [False, True], ids=["lost", "replayed"])
@pytest.mark.parametrize("shared_ids", [True, False], ids=["shared-ids", "own-ids"])
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
@example(  # replaced while away, and filled at once after the logon
    steps=[
        ("place", 1), ("place", 2), ("deliver", 7), ("disconnect", 0), ("cancelled", 0), ("replaced", 0),
        ("connect", 0), ("fill", 0),
    ]
)  # fmt: skip
def test_the_desk_ends_with_the_venues_truth_and_every_fill_once(
    resend: bool, shared_ids: bool, steps: list[tuple[str, int]]
) -> None:
    play(World(resend=resend, tells_trades=True, shared_ids=shared_ids, forgets=False), steps)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_of_a_venue_that_forgets_finished_orders_every_fill_is_had_from_its_trades(
    steps: list[tuple[str, int]],
) -> None:
    play(World(resend=False, tells_trades=True, shared_ids=False, forgets=True), steps)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_without_trades_states_and_quantities_are_still_the_venues(steps: list[tuple[str, int]]) -> None:
    play(World(resend=False, tells_trades=False, shared_ids=True, forgets=False), steps)


@pytest.mark.stress
@pytest.mark.timeout(600)
@settings(max_examples=1_500, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, resend=st.booleans(), shared_ids=st.booleans(), forgets=st.booleans())
def test_long_histories(steps: list[tuple[str, int]], resend: bool, shared_ids: bool, forgets: bool) -> None:
    play(World(resend=resend, tells_trades=True, shared_ids=shared_ids, forgets=forgets), steps)
