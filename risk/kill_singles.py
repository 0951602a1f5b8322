"""Which orders of a trip are cancelled one by one over REST, because nothing else has ended them. Pure.

An order that no session can reach any more (its owner is dead, its logon was an earlier one, the venue's list shows it
and nobody here knows it) may lie in a scope that every mass cancel of the venue goes beyond. A single one never does.
"""

from collections.abc import Collection, Iterable

from risk.kill_actions import RestCancelOrder
from risk.kill_plan import Plan, RestCancelAll
from risk.kill_proof import Proof

AGAIN_NS = 1_000_000_000  # between two of the same order
AFTER_NS = 1_000_000_000  # so long its owner's own cancels have
AFTER_WIDE_NS = 3_000_000_000  # so long a cancel-all of the plan has, which goes out each second
MOST = 50  # of a venue at once


def tried(plan: Plan, proof: Proof, mono_ns: int) -> None:
    """The order's cancel is asked for by the other ways."""
    proof.asked_ns = mono_ns
    if not proof.tried_ns and proof.owned.venue in plan.rest_each:
        proof.tried_ns = mono_ns


def over_rest(plan: Plan, proofs: Iterable[Proof], alive: Collection[str], mono_ns: int) -> list[RestCancelOrder]:
    """Single cancels over REST that are due now, those never asked for first. `alive`: owners that run."""
    if not plan.rest_each:
        return []
    wide = {s.venue for s in plan.sends if isinstance(s, RestCancelAll)}
    found: dict[str, list[Proof]] = {}
    for proof in proofs:
        venue = proof.owned.venue
        if venue in plan.rest_each and mono_ns >= _due_ns(proof, venue in wide, alive):
            found.setdefault(venue, []).append(proof)
    out = []
    for due in found.values():
        for proof in sorted(due, key=lambda p: p.rest_ns)[:MOST]:
            proof.rest_ns = mono_ns
            where = proof.owned
            out.append(RestCancelOrder(where.venue, where.instrument, proof.order_id, proof.cl_ord_id, proof.symbol))
    return out


def _due_ns(proof: Proof, wide: bool, alive: Collection[str]) -> int:
    reached = proof.owned.session in alive
    patience_ns = AFTER_WIDE_NS if wide else AFTER_NS if reached else 0
    again_ns = proof.rest_ns + AGAIN_NS if proof.rest_ns else 0
    return max(proof.tried_ns + patience_ns, again_ns)
