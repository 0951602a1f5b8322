"""Every reachable state of the kill switch in small worlds (bench/states), and that the search can fail."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from bench.states import moves
from bench.states.search import Search
from bench.states.settings import SETTINGS, SUITE
from bench.states.world import BrokenRuleError
from ipc.gate import GateState
from risk import kill_reset, kill_start
from risk.kill import KillSwitch
from risk.kill_latch import LatchReading, decode
from risk.kill_orders import ABSENT, OrderLedger, Seen
from risk.kill_proof import Proof, ProofBook
from risk.kill_trip import Trip

Patch = pytest.MonkeyPatch
FLOOR = {
    "latch": (4_000, 55_000),
    "traded": (7_500, 100_000),
    "reports": (4_500, 15_000),
    "line": (1_500, 5_000),
}  # states, transitions


@pytest.mark.timeout(600)
@pytest.mark.parametrize("world", SUITE)
def test_every_reachable_state_keeps_every_rule(world: str) -> None:
    found = Search(SETTINGS[world]).run()
    print(found.line())
    assert found.closed
    assert found.states >= FLOOR[world][0], "the search has shrunk: what used to happen in this world no longer does"
    assert found.transitions >= FLOOR[world][1]
    assert found.depth >= 15
    assert 0 < found.proven_after < 40
    assert found.shut_states > found.states // 2


# -- mutations: each is a mistake that somebody could make, and some rule finds it ------------------------------------


def older_fences_count(patch: Patch) -> None:
    real = Trip.fence
    patch.setattr(Trip, "fence", lambda trip, s, generation, *at: real(trip, s, trip.generation, *at))


def the_latch_comes_before_the_words(patch: Patch) -> None:
    real = KillSwitch.trip

    def trip(switch: KillSwitch, *args: Any, **named: Any) -> Trip:
        switch.persist()
        return real(switch, *args, **named)

    patch.setattr(KillSwitch, "trip", trip)


def a_restart_opens_what_was_tripped(patch: Patch) -> None:
    def take_up(switch: KillSwitch, scope: str, kept: Any) -> None:
        switch.table.put(scope, GateState.ARMED, kept.generation, kept.cause, kept.reason)

    patch.setattr(kill_start, "_take_up", take_up)


def the_latch_is_believed_against_newer_words(patch: Patch) -> None:
    real = kill_start._take_up

    def take_up(switch: KillSwitch, scope: str, kept: Any) -> None:
        if kept.state == "TRIPPED":
            switch.gate.set(scope, GateState.TRIPPED)
            generation = switch.gate.get(scope).generation
            real(switch, scope, msgspec.structs.replace(kept, generation=generation))
        else:
            real(switch, scope, kept)

    patch.setattr(kill_start, "_take_up", take_up)


def a_reset_goes_on_after_a_restart(patch: Patch) -> None:
    real = kill_start._take_up

    def take_up(switch: KillSwitch, scope: str, kept: Any) -> None:
        if kept.state == "RESETTING":
            switch.table.put(scope, GateState.RESETTING, kept.generation, kept.cause, kept.reason, kept.trip_id)
        else:
            real(switch, scope, kept)

    patch.setattr(kill_start, "_take_up", take_up)


def the_latch_of_another_boot_is_sound(patch: Patch) -> None:
    def of_any_boot(data: bytes | None, boot_id: str) -> LatchReading:
        found = decode(data, boot_id)
        return LatchReading(found.former, "") if found.former is not None else found

    patch.setattr(moves, "decode", of_any_boot)


def what_was_shut_before_a_reboot_is_forgotten(patch: Patch) -> None:
    patch.setattr(kill_start, "_of_another_boot", lambda switch, former: None)


def a_desk_without_its_latch_may_be_armed(patch: Patch) -> None:
    real = KillSwitch.arm

    def arm(switch: KillSwitch, reason: str, by: str) -> list[str]:
        if switch.records["desk"].cause == "latch":
            switch.records["desk"].trip_id = ""
        return real(switch, reason, by)

    patch.setattr(KillSwitch, "arm", arm)


def a_reset_asks_for_no_list(patch: Patch) -> None:
    patch.setattr(kill_reset, "obstacles", lambda trip: [])


def there_is_no_cool_off(patch: Patch) -> None:
    real = KillSwitch.reset

    def reset(switch: KillSwitch, scope: str, *args: Any) -> str:
        said = real(switch, scope, *args)
        switch.records[scope].cool_until_ns = 0
        return said

    patch.setattr(KillSwitch, "reset", reset)


def a_proof_is_not_persisted(patch: Patch) -> None:
    real = KillSwitch.persist

    def persist(switch: KillSwitch) -> None:
        if switch.busy:
            real(switch)

    patch.setattr(KillSwitch, "persist", persist)


def the_dead_are_not_looked_for_again(patch: Patch) -> None:
    real = Trip.start

    def start(trip: Trip, alive: Any) -> Any:
        sends = real(trip, alive)
        for session in [s for s, what in trip.waits.items() if what == "unseen"]:
            del trip.waits[session]
        return sends

    patch.setattr(Trip, "start", start)


def one_list_is_enough(patch: Patch) -> None:
    def absent(book: ProofBook, proof: Proof, venue: str, started_ns: int, done_ns: int) -> None:
        book._prove(proof, ABSENT, done_ns)

    patch.setattr(ProofBook, "_absent", absent)


def lists_count_at_once_for_what_was_never_answered(patch: Patch) -> None:
    real = ProofBook._absent

    def absent(book: ProofBook, *args: Any) -> None:
        book._unanswered_ns = -(10**12)
        real(book, *args)

    patch.setattr(ProofBook, "_absent", absent)


def an_owners_word_is_proof(patch: Patch) -> None:
    real = OrderLedger._state

    def state(ledger: OrderLedger, event: Any, wall_ns: int) -> Seen | None:
        seen = real(ledger, event, wall_ns)
        return Seen(seen.order, "dead", "said so") if seen is not None and event.state == "CANCELED" else seen

    patch.setattr(OrderLedger, "_state", state)


def it_gives_up(patch: Patch) -> None:
    patch.setattr(Trip, "tick", lambda trip, mono_ns, starting=(): trip._progress(mono_ns))


MUTATIONS: list[tuple[Callable[[Patch], None], str, str]] = [
    (older_fences_count, "latch", "PROVEN under generation"),
    (the_latch_comes_before_the_words, "latch", "a trip began with Persist"),
    (a_restart_opens_what_was_tripped, "latch", "was opened without a person's reset"),
    (the_latch_is_believed_against_newer_words, "traded", "was opened without a person's reset"),
    (a_reset_goes_on_after_a_restart, "latch", "was opened without a person's reset"),
    (the_latch_of_another_boot_is_sound, "latch", "was opened without a person's reset"),
    (what_was_shut_before_a_reboot_is_forgotten, "large-latch", "the kill switch has forgotten it"),
    (a_desk_without_its_latch_may_be_armed, "latch", "was opened without a person's reset"),
    (a_reset_asks_for_no_list, "large-messages", "was reset without the list"),
    (there_is_no_cool_off, "latch", "was opened before its cool-off"),
    (a_proof_is_not_persisted, "latch", "the latch is behind"),
    (the_dead_are_not_looked_for_again, "owners", "are yet to be sent"),
    (one_list_is_enough, "reports", "may work"),
    (lists_count_at_once_for_what_was_never_answered, "line", "may work"),
    (an_owners_word_is_proof, "late", "may work"),
    (it_gives_up, "reports", "given up"),
]


@pytest.mark.parametrize(("mutate", "world", "says"), MUTATIONS)
def test_a_mistake_is_found(mutate: Callable[[Patch], None], world: str, says: str, monkeypatch: Patch) -> None:
    mutate(monkeypatch)
    with pytest.raises(BrokenRuleError, match=says):
        Search(SETTINGS[world], 6_000).run()
