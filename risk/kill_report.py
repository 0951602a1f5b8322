"""What the kill switch says of its trips: plain data for status and latch, words for people. Pure."""

from collections.abc import Iterable, Mapping

from risk.kill_orders import OrderLedger
from risk.kill_proof import Proof
from risk.kill_trip import Trip


def describe(trip: Trip) -> dict[str, object]:
    """A trip with its times. `*_ms` count from the moment the trip was received; None = not yet."""
    c, t = trip.counts(), trip.times

    def ms(at_ns: int) -> float | None:
        return round((at_ns - t.received_ns) / 1e6, 3) if at_ns else None

    return {
        "trip_id": trip.trip_id,
        "scopes": trip.scopes,
        "cause": trip.cause,
        "reason": trip.reason,
        "figures": trip.figures,
        "generation": trip.generation,
        "at_ns": trip.wall_ns,
        "received_mono_ns": t.received_ns,
        "phase": trip.phase.value,
        "gate_closed_ms": ms(t.closed_ns),
        "first_cancel_ms": ms(t.first_cancel_ns),
        "fence_ms": ms(t.fence_ns),
        "all_proven_ms": ms(t.proven_ns),
        "orders": c.total,
        "late": sum(p.late for p in trip.proofs),
        "working": c.working,
        "uncertain": c.uncertain,
        "proven": c.proven,
        "proven_by": tally(trip),
        "venues": by_venue(trip),
        "filled": c.filled,
        "filled_orders": [p.name for p in trip.proofs if p.cum_qty > p.cum_at_trip],
        "refuted": sum(p.refuted for p in trip.proofs),
        "killed": trip.killed,
        "answered_ms": {s: ms(at_ns) for s, at_ns in trip.answers.items()},
        "unproven": [p.name for p in trip.proofs.unproven()],
        "open_questions": trip.open_questions(),
        "touches": list(trip.plan.touches),
        "leaves": list(trip.plan.leaves),
        "held_back": list(trip.plan.held_back),
    }


def by_venue(trip: Trip) -> dict[str, dict[str, object]]:
    """Orders of the trip at each venue, and when (ms after its receipt) the last one was proven dead; None: not yet."""
    found: dict[str, list[Proof]] = {}
    for proof in trip.proofs:
        found.setdefault(proof.owned.venue, []).append(proof)
    out: dict[str, dict[str, object]] = {}
    for venue, proofs in found.items():
        proven = sum(trip.proofs.proven(p) for p in proofs)
        at_ns = max(trip.times.fence_ns, *(p.proven_ns for p in proofs))
        at_ms = round((at_ns - trip.times.received_ns) / 1e6, 3) if proven == len(proofs) else None
        out[venue] = {"orders": len(proofs), "proven": proven, "all_proven_ms": at_ms}
    return out


def tally(trip: Trip) -> dict[str, int]:
    """Proven orders by what proved them."""
    found: dict[str, int] = {}
    for proof in trip.proofs:
        if trip.proofs.proven(proof):
            how = proof.how.partition(" 39=")[0]
            found[how] = found.get(how, 0) + 1
    return found


def venue_counts(venue: str, ledger: OrderLedger, trips: Iterable[Trip]) -> dict[str, int]:
    """Orders at one venue: as the trips have them, or as the owners say while none is under way."""
    pairs = [(t, p) for t in trips for p in t.proofs if p.owned.venue == venue]
    if pairs:
        left = [p for t, p in pairs if not t.proofs.proven(p)]
        uncertain = sum(p.uncertain for p in left)
        return {"working": len(left) - uncertain, "proven": len(pairs) - len(left), "uncertain": uncertain}
    held = [o for o in ledger.open() if o.venue == venue]
    uncertain = sum(o.state == "UNCERTAIN" or not o.order_id for o in held)
    return {"working": len(held) - uncertain, "proven": 0, "uncertain": uncertain}


def explain(trip: Mapping[str, object] | None) -> str:
    """The last trip in words; takes what `describe` gave, perhaps read back from the latch."""
    if not trip:
        return "Nothing was ever tripped here."

    def names(key: str) -> list[str]:
        found = trip.get(key)
        return [str(x) for x in found] if isinstance(found, list) else []

    lines = [
        f"Trip {trip.get('trip_id')} of {', '.join(names('scopes'))}, cause: {trip.get('cause')}. {trip.get('reason')}",
        f"Gate words stored after {_ms(trip, 'gate_closed_ms')}, first cancel after {_ms(trip, 'first_cancel_ms')}, "
        f"fence complete after {_ms(trip, 'fence_ms')}, all proven after {_ms(trip, 'all_proven_ms')}.",
        f"{trip.get('orders')} orders: {trip.get('proven')} proven dead, {trip.get('working')} not proven, "
        f"{trip.get('uncertain')} uncertain; {trip.get('filled')} traded on the way.",
    ]
    by = trip.get("proven_by")
    if isinstance(by, dict) and by:
        lines.append("Proof: " + ", ".join(f"{n} by {how}" for how, n in by.items()) + ".")
    for key, text in (
        ("killed", "Killed for not answering the gate"),
        ("filled_orders", "Traded after the trip"),
        ("unproven", "NOT PROVEN DEAD"),
        ("open_questions", "Open"),
        ("leaves", "Left alone"),
        ("held_back", "Not used"),
    ):
        if names(key):
            lines.append(f"{text}: {'; '.join(names(key))}.")
    return "\n".join(lines)


def _ms(trip: Mapping[str, object], key: str) -> str:
    value = trip.get(key)
    return f"{value} ms" if isinstance(value, (int, float)) else "(not yet)"
