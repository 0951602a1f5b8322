"""What must hold in every reachable state, and after every move. docs/kill-states.md says the same in words."""

import msgspec

from bench.states.moves import Moves
from bench.states.world import OPEN, SHUT_BY_TRIP, BrokenRuleError, Env, Setting, gate_says_yes, latch_of
from ipc.gate import GateState
from risk.kill import KillSwitch
from risk.kill_trip import Phase

RULES = {
    1: "a word that a trip closed opens only by a person's reset in this life of the kill switch, after the cool-off",
    2: "no order may leave in a scope that was shut and not opened so",
    3: "TRIPPED or PROVEN is never said of a scope in which an order can work",
    4: "no evidence counts, and nothing is PROVEN, before every owner that runs has answered the generation",
    5: "the generation never falls within a boot",
    6: "records, words and the latch last handed over agree; what was tripped has a record",
    7: "a trip stores its words first, and hands over neither latch nor audit nor alarm itself",
    8: "a latch that is damaged, of another boot or gone reads as TRIPPED, and what it says was shut stays shut",
    9: "a reset without the list is refused while an order may be alive; what is refused leaves no trace",
    10: "while orders are unproven each step of time sends cancels again",
    11: "every trip ends PROVEN when messages get through again, though the disk never answers",
    12: "a journal or a list that is heard twice proves nothing, and a journal refutes nothing",
}


def rules_of(setting: Setting) -> list[int]:
    """Those that a world can break."""
    without = {2, 3, 10} if not setting.of else set()
    without |= set() if setting.of and {"lists", "journal"} & set(setting.losses) else {12}
    without |= set() if setting.crashes else {8}
    without |= set() if setting.resets else {9}
    return [n for n in RULES if n not in without]


def check(moves: Moves, env: Env, switch: KillSwitch | None) -> None:
    """Raises BrokenRuleError."""
    _stays_shut(moves, env)
    if env.generation < env.highest:
        raise BrokenRuleError(f"the generation fell from {env.highest} to {env.generation}")
    if switch is None:
        return
    _words_and_records(env, switch)
    _latch(env, switch)
    for trip in switch.trips.values():
        _evidence(moves, env, trip.phase, trip.generation, trip.plan.owners)
        inside = [i for i, o in enumerate(env.orders) if o.dangerous and any(moves.covers(s, i) for s in trip.scopes)]
        if trip.phase == Phase.PROVEN and inside:
            raise BrokenRuleError(f"{trip.scopes} is PROVEN, and orders {inside} may work: {trip.proofs.unproven()}")
    for scope, record in switch.records.items():
        alive = [i for i, o in enumerate(env.orders) if o.dangerous and moves.covers(scope, i)]
        if record.state == GateState.TRIPPED and alive:
            raise BrokenRuleError(f"{scope} is TRIPPED, and orders {alive} may work")


def _stays_shut(moves: Moves, env: Env) -> None:
    """Whatever a trip has shut refuses orders until a person's reset has opened it, the kill switch up or down."""
    for i in range(len(env.orders)):
        shut = [s for s, p in env.people.items() if p != OPEN and moves.covers(s, i)]
        if shut and gate_says_yes(moves.setting, env, i):
            raise BrokenRuleError(f"{shut} were shut, and an order o{i} may leave")


def _words_and_records(env: Env, switch: KillSwitch) -> None:
    """Status, words and what people were promised agree."""
    for scope, word in env.words.items():
        record = switch.records.get(scope)
        state = record.state if record is not None else GateState.ARMED
        if state != word.state:
            raise BrokenRuleError(f"{scope} is said to be {state.name}, and its word says {word.state.name}")
    for scope, people in env.people.items():
        if people == SHUT_BY_TRIP and scope not in switch.records:
            raise BrokenRuleError(f"{scope} was tripped, and the kill switch has forgotten it")


def _latch(env: Env, switch: KillSwitch) -> None:
    """What was last handed to the disk says what is so; only a trip's first instant is ahead of it."""
    if switch._fresh:
        return
    latch = latch_of(env.pending or env.disk or b"")
    wrong = [
        s
        for s, r in switch.records.items()
        if latch is None or s not in latch.scopes or latch.scopes[s].state != r.state.name
    ]
    if wrong or (latch is not None and latch.generation > env.generation):
        raise BrokenRuleError(f"the latch is behind for {wrong}: {msgspec.to_builtins(latch)}")


def _evidence(moves: Moves, env: Env, phase: Phase, generation: int, owners: tuple[str, ...]) -> None:
    """No evidence counts before every owner that runs has answered the generation, or is only starting."""
    if phase == Phase.FENCING:
        return
    for i, own in enumerate(env.owners):
        late = own.life in ("running", "stopped") and own.fence < generation
        if moves.setting.sessions[i] in owners and late and phase == Phase.PROVEN:
            raise BrokenRuleError(
                f"PROVEN under generation {generation}, and {moves.setting.sessions[i]} is at {own.fence}"
            )
    held = [
        i
        for i, o in enumerate(env.orders)
        if o.status == "checked" and moves.setting.sessions[moves.setting.of[i]] in owners
    ]
    if held:
        raise BrokenRuleError(f"evidence counts, and orders {held} are yet to be sent")


def over(env: Env, switch: KillSwitch | None) -> bool:
    """Nothing is under way: every trip is proven."""
    return switch is not None and not switch.busy
