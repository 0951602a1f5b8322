"""The reckoning of a kill campaign can fail: doctored records are found out, and honest ones pass."""

from typing import Any

import msgspec
import pytest

from bench.kill_audit import CLOCK_NS, Claim, Closure, Round, Sighting, Tally, VenueOrder, audit, count
from bench.kill_tap import Heard
from risk.kill_plan import Owned

MS = 1_000_000
FENCE, OPENED = 1_000 * MS, 9_000 * MS
OWNED = Owned("peer", "main", "peer-trd", "BTC-USD", "alpha")
OTHER = msgspec.structs.replace(OWNED, strategy="beta")


def order(opened_ns: int = 500 * MS, closed_ns: int = 1_100 * MS, **more: Any) -> VenueOrder:
    fields: dict[str, Any] = {
        "owned": OWNED, "order_id": "V1", "ids": ("c1",), "status": "4", "ended": "request",
        "opened_ns": opened_ns, "closed_ns": closed_ns,
    }  # fmt: skip
    return VenueOrder(**{**fields, **more})


def heard(mono_ns: int, kind: str = "D", cl_ord_id: str = "c1", *, exact: bool = True, orig: str = "") -> Heard:
    return Heard(mono_ns, "peer", kind, "QDPEER", cl_ord_id, orig, "", "BTC-USD", exact, False)


def closure(scope: str = "session:peer-trd", **more: Any) -> Closure:
    fields: dict[str, Any] = {
        "scope": scope, "generation": 7, "seen_ns": 990 * MS, "opened_ns": OPENED, "fences": {"peer-trd": FENCE},
    }  # fmt: skip
    return Closure(**{**fields, **more})


def sighting(listed: set[str], working: tuple[str, ...] = ("V1",)) -> Sighting:
    return Sighting(
        scopes=("session:peer-trd",), listed=frozenset(listed), before_ns=1_200 * MS, after_ns=1_250 * MS,
        venue="peer", working=working,
    )  # fmt: skip


def round_of(**more: Any) -> Round:
    fields: dict[str, Any] = {
        "number": 1, "began_ns": 900 * MS, "ended_ns": 10_000 * MS, "closures": [closure()], "orders": [order()],
        "heard": [heard(499 * MS)], "whose": {"c1": OWNED, "V1": OWNED},
        "claims": [Claim(("session:peer-trd",), 1_200 * MS, "audit")],
    }  # fmt: skip
    return Round(**{**fields, **more})


def found(**more: Any) -> dict[str, int]:
    return count(audit(round_of(**more), Tally()))


def test_an_honest_round_passes_and_says_what_was_looked_at() -> None:
    tally = Tally()
    working = order(closed_ns=1_300 * MS)
    claims = [Claim(("session:peer-trd",), 1_400 * MS, "audit")]
    assert audit(round_of(orders=[working], claims=claims, sightings=[sighting({"c1"})]), tally) == []
    assert (tally.orders, tally.messages, tally.claims, tally.sightings, tally.listed) == (1, 1, 1, 1, 1)


def test_an_order_on_the_wire_after_the_fence_is_a_violation() -> None:
    assert found(heard=[heard(FENCE + CLOCK_NS + 1)]) == {"sent after the fence": 1}


@pytest.mark.parametrize("kind", ["D", "G", "XCN", "XAK"])
def test_new_terms_count_as_an_order_by_the_name_of_the_one_they_change(kind: str) -> None:
    late = heard(2_000 * MS, kind, "unknown", orig="c1")
    assert found(heard=[heard(499 * MS), late]) == {"sent after the fence": 1}


def test_cancels_pass_a_closed_gate() -> None:
    assert found(heard=[heard(499 * MS), heard(2_000 * MS, "F", "x", orig="c1")]) == {}


def test_what_is_sent_before_the_fence_after_the_opening_or_outside_the_scope_is_none() -> None:
    assert found(heard=[heard(FENCE)]) == {}
    assert found(heard=[heard(499 * MS), heard(OPENED + 1, cl_ord_id="c1")]) == {}
    assert found(heard=[heard(499 * MS), heard(2_000 * MS, cl_ord_id="b1")], whose={"c1": OWNED, "b1": OTHER},
                 closures=[closure("strategy:alpha")]) == {}  # fmt: skip


def test_a_time_that_may_be_another_messages_convicts_nobody_and_is_counted() -> None:
    tally = Tally()
    assert audit(round_of(heard=[heard(2_000 * MS, exact=False)]), tally) == []
    assert tally.undecided == 1


def test_an_order_that_lay_in_the_venues_buffer_at_the_fence_is_tolerated_and_counted() -> None:
    tally = Tally()
    late = order(opened_ns=1_800 * MS, closed_ns=1_900 * MS)
    claims = [Claim(("session:peer-trd",), 2_000 * MS, "audit")]
    assert audit(round_of(orders=[late], heard=[heard(990 * MS)], claims=claims), tally) == []
    assert (tally.in_scope_after, tally.longest_in_buffer_ms) == (1, 810.0)


def test_an_order_that_was_accepted_after_the_fence_and_sent_after_it_is_a_violation_twice_over() -> None:
    late = order(opened_ns=1_800 * MS, closed_ns=1_900 * MS)
    claims = [Claim(("session:peer-trd",), 2_000 * MS, "audit")]
    told = {"accepted after the fence": 1, "sent after the fence": 1}
    assert found(orders=[late], heard=[heard(1_799 * MS)], claims=claims) == told


def test_an_order_that_nothing_on_the_wire_placed_is_a_violation() -> None:
    late = order(opened_ns=1_150 * MS, closed_ns=1_180 * MS)
    assert found(orders=[late], heard=[]) == {"unseen on the wire": 1}


def test_an_owner_without_a_fence_is_not_held_to_one() -> None:
    assert found(closures=[closure(fences={})], heard=[heard(2_000 * MS)]) == {}


def test_a_working_order_that_is_not_on_the_list_is_a_violation() -> None:
    working = order(closed_ns=1_300 * MS)
    claims = [Claim(("session:peer-trd",), 1_400 * MS, "audit")]
    assert found(orders=[working], claims=claims, sightings=[sighting({"c9"})]) == {"unaccounted": 1}
    assert found(orders=[working], claims=claims, sightings=[sighting({"V1"})]) == {}


def test_an_order_taken_while_both_were_asked_or_outside_the_scope_needs_no_line() -> None:
    claims = [Claim(("session:peer-trd",), 1_400 * MS, "audit")]
    fresh = order(opened_ns=1_210 * MS, closed_ns=1_300 * MS)
    assert found(orders=[fresh], heard=[heard(999 * MS)], claims=claims, sightings=[sighting(set())]) == {}
    elsewhere = order(owned=msgspec.structs.replace(OWNED, session="kraken-trd"), ended="ioc")
    assert found(orders=[elsewhere], claims=claims, sightings=[sighting(set())]) == {}


def test_an_order_that_worked_after_the_fence_and_is_in_no_proof_is_a_violation() -> None:
    def claims(*names: str) -> list[Claim]:
        return [Claim(("session:peer-trd",), 1_200 * MS, "audit", frozenset(names), 1_050 * MS)]

    assert found(claims=claims("c9")) == {"unaccounted": 1}
    assert found(claims=claims("c1")) == {}
    assert found(claims=claims("V1")) == {}
    assert found(claims=claims("c9"), orders=[order(closed_ns=1_040 * MS)]) == {}


@pytest.mark.parametrize("closed_ns", [0, 1_200 * MS + 1])
def test_proven_said_of_an_order_that_works_is_false(closed_ns: int) -> None:
    assert found(orders=[order(closed_ns=closed_ns)]) == {"false proven": 1}


def test_proven_said_before_an_order_came_out_of_a_buffer_is_false() -> None:
    late = order(opened_ns=3_000 * MS, closed_ns=3_100 * MS)
    assert found(orders=[late], heard=[heard(999 * MS)]) == {"alive after proven": 1}


def test_an_order_placed_after_the_opening_refutes_no_proof() -> None:
    later = order(opened_ns=OPENED + MS, closed_ns=0)
    assert found(orders=[later], heard=[heard(OPENED)]) == {}


def test_proven_is_held_only_against_the_scopes_it_was_said_of() -> None:
    assert found(orders=[order(closed_ns=0)], claims=[Claim(("strategy:beta",), 1_200 * MS, "audit")]) == {}


def test_an_order_outside_every_scope_that_is_cancelled_unasked_is_a_violation() -> None:
    outside = order(owned=OTHER)
    beyond: dict[str, Any] = {"orders": [outside], "closures": [closure("strategy:alpha")], "claims": []}
    assert found(**beyond) == {"beyond the scope": 1}
    assert found(**beyond, asked=frozenset({"c1"})) == {}
    assert found(**beyond, swept_all=True) == {}
    assert found(**{**beyond, "orders": [order(owned=OTHER, ended="disconnect")]}) == {}
    assert found(**{**beyond, "orders": [order(owned=OTHER, closed_ns=800 * MS)]}) == {}


def test_violations_come_with_their_evidence_in_order_of_time() -> None:
    violations = audit(round_of(orders=[order(closed_ns=0)], heard=[heard(FENCE + 2 * MS)]), Tally())
    assert [v.kind for v in violations] == ["sent after the fence", "false proven"]
    assert violations[0].evidence.keys() == {"heard", "closure"}
    assert msgspec.json.encode(violations)
