"""Opening again what was tripped: by a person, with a reason, and after the cool-off. Pure but for the gate words."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from base.errors import CommandError
from ipc.gate import GateState
from ipc.gate_names import check_scope
from risk import kill_strategies
from risk.kill_actions import Audit, Tell
from risk.kill_records import CLOSED, Record
from risk.kill_trip import Phase, Trip

if TYPE_CHECKING:
    from risk.kill import KillSwitch

SECOND_NS = 1_000_000_000


def reset(switch: "KillSwitch", scope: str, reason: str, by: str, forced: Iterable[str]) -> str:
    """A person opens a tripped scope; what was done. CommandError says why not. `forced`: the list repeated."""
    record = _closed(switch, scope)
    if not reason.strip():
        raise CommandError("a reset needs a reason")
    trips = _trips_of(switch, scope)
    names = [n for t in trips for n in obstacles(t)]
    if set(names) - set(forced):
        questions = "; ".join(q for t in trips for q in t.open_questions())
        raise CommandError(f"{scope}: {questions}. To force, repeat the list: {' '.join(sorted(names))}")
    cool_ns = switch.clock.mono_ns() + switch.config.reset_cool_off_s * SECOND_NS
    also = [s for s, r in switch.records.items() if r.trip_id and r.trip_id == record.trip_id and r.state in CLOSED]
    for name in dict.fromkeys([scope, *also]):
        generation = switch.gate.get(name).generation
        switch.table.put(name, GateState.RESETTING, generation, "operator", reason, record.trip_id)
        switch.records[name].cool_until_ns = cool_ns
    if switch.config.strategies_arm_again:
        kill_strategies.disarm(switch, scope, reason)
    for trip in _trips_of(switch, scope):
        switch.end(trip)
    facts: dict[str, object] = {
        "trip_id": record.trip_id,
        "scope": scope,
        "reason": reason,
        "by": by,
        "forced": sorted(names),
    }
    switch._do(Audit("reset", facts))
    switch.persist()
    opens = f"{scope} opens in {switch.config.reset_cool_off_s} s"
    return opens + (f"; also {', '.join(also)}" if len(also) > 1 else "")


def reopen(switch: "KillSwitch", scope: str, record: Record) -> None:
    """The cool-off is over."""
    blockers = switch.blockers() if scope == "desk" else []
    if blockers:
        switch.table.put(scope, GateState.DISARMED, record.generation, "fingerprint", "; ".join(blockers))
        switch._do(Tell("critical", "not_armed", f"{scope} stays closed: {'; '.join(blockers)}"))
    elif scope.startswith("strategy:") and switch.config.strategies_arm_again:
        kill_strategies.disarm_one(switch, scope, f"it was reset: {record.reason}")
    else:
        switch.table.put(scope, GateState.ARMED, record.generation, "operator", record.reason)
        switch._do(Tell("info", "tripped", f"{scope}: open again: {record.reason}"))
    now = switch.records.get(scope)
    state = now.state.name if now is not None else GateState.ARMED.name
    switch._do(Audit("opened", {"trip_id": record.trip_id, "scope": scope, "state": state}))
    switch.persist()


def obstacles(trip: Trip) -> list[str]:
    """What a person has to repeat to force a reset: the unproven orders, or UNKNOWN while these are not known."""
    if trip.phase == Phase.PROVEN:
        return []
    return [p.name for p in trip.proofs.unproven()] or ["UNKNOWN"]


def _closed(switch: "KillSwitch", scope: str) -> Record:
    record = switch.records.get(check_scope(scope))
    if record is None or record.state not in CLOSED:
        raise CommandError(f"{scope} is {record.state.name if record else 'ARMED'}: there is nothing to reset")
    return record


def _trips_of(switch: "KillSwitch", scope: str) -> list[Trip]:
    record = switch.records.get(scope)
    return [t for t in switch.trips.values() if t.scope == scope or (record and record.trip_id == t.trip_id)]
