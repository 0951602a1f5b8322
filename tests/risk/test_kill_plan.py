"""A plan reaches everything in its scope by every path there is, and nothing beyond it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.kill_plan import (
    KillVenue,
    Owned,
    Owner,
    OwnerMassCancel,
    OwnMassCancel,
    RestCancelAll,
    Topology,
    covers,
    make_plan,
    owners_in,
)
from tests.risk.kill_world import Step, topology

ORDER = Owned("x", "main", "a", "BTC-USD", "mm")


@pytest.mark.parametrize(
    ("scope", "inside"),
    [
        ("desk", True), ("venue:x", True), ("venue:y", False), ("account:x/main", True), ("account:y/main", False),
        ("account:main", False), ("session:a", True), ("session:b", False), ("strategy:mm", True), ("strategy:", False),
        ("instrument:BTC-USD", True), ("instrument:BTC", False),
    ],
)  # fmt: skip
def test_a_scope_covers_what_is_its_own(scope: str, inside: bool) -> None:
    assert covers(scope, ORDER) == inside


def test_every_owner_that_may_hold_an_order_of_the_scope_is_waited_for() -> None:
    t = topology()
    waited = {
        "desk": "abc",
        "venue:x": "ab",
        "account:x/main": "ab",
        "session:b": "b",
        "strategy:mm": "abc",
        "instrument:ETH-USD": "a",
        "instrument:BTC-USD": "ab",
    }
    for scope, expected in waited.items():
        assert [o.session for o in owners_in(t, scope)] == list(expected), scope


@given(
    st.sampled_from([*topology().scopes(), "strategy:mm"]),
    st.sampled_from("abc"),
    st.sampled_from(["BTC-USD", "ETH-USD", "BTC-USDT"]),
)
def test_who_may_own_a_covered_order_is_always_among_the_owners(scope: str, session: str, instrument: str) -> None:
    t = topology()
    owner = t.owners[session]
    order = Owned(owner.venue, owner.account, session, instrument, "mm")
    if instrument in owner.instruments and covers(scope, order):
        assert owner in owners_in(t, scope)


def test_a_desk_trip_uses_every_path() -> None:
    plan = make_plan(topology(), "desk")
    assert set(plan.sends) == {RestCancelAll("x", ("BTC-USD", "ETH-USD")), OwnerMassCancel("c", "")}
    assert plan.held_back == ()
    assert plan.leaves == ()
    assert plan.unproven == ("y: what 35=q reaches",)


@pytest.mark.parametrize("scope", ["session:a", "strategy:mm", "instrument:BTC-USD"])
def test_steps_that_reach_beyond_the_scope_are_held_back_and_named(scope: str) -> None:
    plan = make_plan(topology(), scope)
    assert RestCancelAll not in {type(s) for s in plan.sends}
    assert any("DELETE /orders" in text for text in plan.held_back)
    assert plan.leaves


def test_a_session_alone_on_its_account_may_be_cancelled_account_wide() -> None:
    plan = make_plan(topology(), "session:c")
    assert plan.sends == (OwnerMassCancel("c", ""),)
    t = topology()
    alone = Topology({"a": t.owners["a"]}, {"x": t.venues["x"]})
    assert make_plan(alone, "session:a").sends == (RestCancelAll("x", ("BTC-USD", "ETH-USD")),)


def per_symbol() -> Topology:
    """A venue whose mass cancel goes by symbol and reaches the account; the kill switch has a session of its own."""
    own = Step("own_mass_cancel", "account", True, says="35=q 530=1")
    owner = Step("owner_mass_cancel", "account", True, says="35=q 530=1")
    drop = Step("owner_disconnect", "session", says="drop", certain=False)
    symbols = ("BTC-USDT", "ETH-USDT")
    steps = (owner, own, drop)
    venue = KillVenue(
        name="z", account="main", instruments=symbols, steps=steps, lists=True, lag_ns=0, kill_sessions=("kz",)
    )
    owners = {s: Owner(s, "z", "main", ("BTC-USDT", "ETH-USDT")) for s in ("p", "q")}
    return Topology(owners, {"z": venue})


def test_a_cancel_by_symbol_is_sent_for_each_and_by_the_kill_switch_first() -> None:
    plan = make_plan(per_symbol(), "desk")
    assert plan.sends[:2] == (OwnMassCancel("kz", "z", "BTC-USDT"), OwnMassCancel("kz", "z", "ETH-USDT"))
    assert {s for s in plan.sends if isinstance(s, OwnerMassCancel)} == {
        OwnerMassCancel(s, i) for s in "pq" for i in ("BTC-USDT", "ETH-USDT")
    }
    assert plan.disconnects == ("p", "q")
    assert any("leaves its effect open" in u for u in plan.unproven)


def test_an_instrument_trip_cancels_that_symbol_alone() -> None:
    plan = make_plan(per_symbol(), "instrument:ETH-USDT")
    assert {s.instrument for s in plan.sends} == {"ETH-USDT"}  # type: ignore[union-attr]
    assert plan.disconnects == ()  # that would reach other instruments


def test_a_session_trip_does_not_reach_the_other_session_of_the_account() -> None:
    plan = make_plan(per_symbol(), "session:p")
    assert plan.sends == ()
    assert plan.disconnects == ("p",)
    assert all("reaches orders of q" in text for text in plan.held_back)


def test_a_mass_cancel_that_reaches_only_its_own_session_is_not_sent_on_the_kill_switches() -> None:
    t = per_symbol()
    step = Step("own_mass_cancel", "session", says="35=q")
    venue = msgspec.structs.replace(t.venues["z"], steps=(step,))
    plan = make_plan(Topology(t.owners, {"z": venue}), "desk")
    assert plan.sends == ()
    assert plan.held_back == ("z: 35=q: reaches its own session only",)
