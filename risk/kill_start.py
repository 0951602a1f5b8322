"""How the kill switch begins: where the latch, the gate words and the owners' fences stood. Pure but for the words.

Whatever cannot be read was tripped, what was half done is done again, and a closed word is never opened here.
"""

from typing import TYPE_CHECKING

from ipc.gate import DRILL_SCOPE, GateState, GateWord
from risk import kill_strategies
from risk.kill_latch import Latch, LatchedScope, LatchReading
from risk.kill_records import CLOSED, Record

if TYPE_CHECKING:
    from risk.kill import KillSwitch

_QUIET = frozenset({GateState.DISARMED, GateState.ARMED})
_ARMED_BY = ("kill.arm_at_start", "configuration")


def begin(switch: "KillSwitch", reading: LatchReading, highest_fence: int) -> None:
    """Take everything up again. `highest_fence`: the highest fence word of any owner; no generation repeats it."""
    gate = switch.gate
    gate.raise_to(max(reading.generation, highest_fence))
    kept = reading.latch.scopes if reading.latch is not None else {}
    for scope in (*switch.topology.scopes(), *kept):
        gate.add_scope(scope)
    if reading.latch is None:
        _without_latch(switch, reading, gate.get("desk"))
        _of_another_boot(switch, reading.former)
    else:
        switch.last_trip = reading.latch.last_trip
    if gate.nameless():
        switch.trip("desk", "restart", "gate words are closed whose scope nobody can name", switch.clock.mono_ns())
        kept = {s: k for s, k in kept.items() if s != "desk"}
    for scope in dict.fromkeys([*kept, *gate.scopes()]):
        if scope == DRILL_SCOPE:
            gate.set(scope, GateState.ARMED)  # the kill switch before this one ended in a drill
            continue
        state = gate.get(scope).state
        if state == GateState.DISARMED and scope not in kept and scope not in switch.records:
            _paused(switch, scope)
            continue
        # A word that says RESETTING was closed, too, and its reset has to be asked for again.
        closed = state in (*CLOSED, GateState.RESETTING) and scope not in switch.records
        if closed and (scope not in kept or GateState[kept[scope].state] in _QUIET):
            # Closed after the latch was last written: the word is the newer truth.
            why = "the gate was closed and the latch did not know"
            switch.trip(scope, "restart", why, switch.clock.mono_ns())
        elif scope in kept:
            _take_up(switch, scope, kept[scope])
    if gate.get("desk").state != GateState.ARMED:
        gate.open_nameless()
    switch.follow()
    switch.persist()


def _paused(switch: "KillSwitch", scope: str) -> None:
    """Closed for its owner's build or configuration by the kill switch before this one; that is looked at again."""
    wall_ns = switch.clock.wall_ns()
    why = "paused by the kill switch before this one"
    cause = kill_strategies.CAUSE if scope.startswith("strategy:") else "fingerprint"
    switch.records[scope] = Record(GateState.DISARMED, switch.gate.get(scope).generation, cause, why, wall_ns)


def _without_latch(switch: "KillSwitch", reading: LatchReading, desk: GateWord) -> None:
    if switch.config.arm_at_start and desk.state not in CLOSED:
        generation, wall_ns = switch.gate.generation, switch.clock.wall_ns()
        switch.records["desk"] = Record(GateState.DISARMED, generation, "start", reading.fault, wall_ns)
        switch.arm(*_ARMED_BY)
        return
    traded = next(iter(switch.ledger.open()), None) is not None
    if reading.first and desk.state == GateState.DISARMED and desk.generation == 0 and not traded:
        # Nothing was ever traded here as far as anyone knows: closed, but there is nothing to cancel.
        generation = switch.gate.close(["desk"], GateState.TRIPPED)
        switch.table.put("desk", GateState.TRIPPED, generation, "latch", reading.fault)
        return
    switch.trip("desk", "latch", reading.fault, switch.clock.mono_ns())


def _of_another_boot(switch: "KillSwitch", former: Latch | None) -> None:
    """The desk is shut for the reboot, and its reset must not open what had been shut for reasons of its own."""
    if former is None:
        return
    switch.last_trip = former.last_trip
    for scope, kept in former.scopes.items():
        if scope != "desk" and GateState[kept.state] not in _QUIET:
            switch.trip(scope, kept.cause, kept.reason, switch.clock.mono_ns())
        elif scope.startswith("strategy:") and kept.state == GateState.DISARMED.name:
            kill_strategies.disarm_one(switch, scope, kept.reason)


def _take_up(switch: "KillSwitch", scope: str, kept: LatchedScope) -> None:
    state, word = GateState[kept.state], switch.gate.get(scope)
    newer = state == GateState.TRIPPED and word != GateWord(kept.generation, GateState.TRIPPED)
    if newer or state in (GateState.TRIPPING, GateState.RESETTING):
        # Half done is not done: the trip is gone through again, a reset has to be asked for again. So it is where the
        # word has moved on since the latch was written: opened (and traded), tripped again, or its proof refuted.
        cause = "reset interrupted" if state == GateState.RESETTING else kept.cause
        trip_id = "" if kept.trip_id in switch.trips else kept.trip_id  # a widened trip is taken up scope by scope
        switch.trip(scope, cause, kept.reason, switch.clock.mono_ns(), trip_id=trip_id)
        return
    if state == GateState.DISARMED and scope == "desk" and switch.config.arm_at_start:
        switch.table.put(scope, GateState.DISARMED, kept.generation, kept.cause, kept.reason)
        switch.arm(*_ARMED_BY)
        return
    switch.records[scope] = Record(state, kept.generation, kept.cause, kept.reason, kept.since_ns, kept.trip_id)
    switch.gate.set(scope, state)
