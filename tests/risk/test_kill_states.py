"""Every reachable state of the kill switch in small worlds (bench/states), and that the search can fail."""

import json
import os
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from bench.states import copies, moves
from bench.states.search import Search
from bench.states.settings import MORE, SETTINGS, SUITE
from bench.states.world import BrokenRuleError
from ipc.gate import GateState
from quarterdeck.cli import main
from risk import kill_reset, kill_start
from risk.kill import KillSwitch
from risk.kill_latch import LatchReading, decode
from risk.kill_orders import ABSENT, OrderLedger, Seen
from risk.kill_proof import Proof, ProofBook
from risk.kill_trip import Trip

Patch = pytest.MonkeyPatch
WORLDS = (*SUITE, *MORE) if os.environ.get("QUARTERDECK_KILL_STATES") == "all" else SUITE
FLOOR = {
    "latch": (4_000, 55_000),
    "traded": (8_000, 110_000),
    "scopes": (2_500, 16_000),
    "reports": (1_700, 6_500),
    "lists": (3_200, 15_000),
    "doubled": (850, 3_800),
    "again": (8_500, 41_000),
    "late": (8_500, 33_000),
    "owners": (5_200, 18_500),
    "scopes-crash": (3_000, 21_000),
    "line": (1_300, 4_500),
}  # states, transitions


@pytest.mark.timeout(600)
@pytest.mark.parametrize("world", WORLDS)
def test_every_reachable_state_keeps_every_rule(world: str) -> None:
    found = Search(SETTINGS[world]).run()
    print(found.line())
    assert found.closed
    assert found.states >= FLOOR[world][0], "the search has shrunk: what used to happen in this world no longer does"
    assert found.transitions >= FLOOR[world][1]
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


def the_fence_of_a_stopped_owner_is_not_waited_for(patch: Patch) -> None:
    def late(trip: Trip, mono_ns: int, starting: Any) -> Any:
        if mono_ns >= trip.times.closed_ns + trip._deadlines.fence_ns:
            trip.waits.clear()
        return trip._fence_check(mono_ns)

    patch.setattr(Trip, "_late_owners", late)


def a_list_from_before_the_fence_is_proof(patch: Patch) -> None:
    real = ProofBook._absent

    def absent(book: ProofBook, proof: Proof, venue: str, started_ns: int, done_ns: int) -> None:
        if book._fence_ns is not None and started_ns <= book._fence_ns:
            book._prove(proof, ABSENT, done_ns)
        real(book, proof, venue, started_ns, done_ns)

    patch.setattr(ProofBook, "_absent", absent)


def a_list_that_is_heard_twice_counts_twice(patch: Patch) -> None:
    real = ProofBook._absent

    def absent(book: ProofBook, proof: Proof, venue: str, started_ns: int, done_ns: int) -> None:
        if proof.absent_ns:
            book._prove(proof, ABSENT, done_ns)
        real(book, proof, venue, started_ns, done_ns)

    patch.setattr(ProofBook, "_absent", absent)


def a_doubled_report_is_a_sign_of_life(patch: Patch) -> None:
    real = OrderLedger._report

    def report(ledger: OrderLedger, said: Any, wall_ns: int) -> Seen | None:
        order = ledger.find(said.session, said.cl_ord_id)
        doubled = order is not None and order.order_id and said.ord_status == "0"
        return Seen(order, "alive") if order is not None and doubled else real(ledger, said, wall_ns)

    patch.setattr(OrderLedger, "_report", report)


def a_reset_of_one_scope_opens_the_other(patch: Patch) -> None:
    real = KillSwitch.reset

    def reset(switch: KillSwitch, scope: str, *args: Any) -> str:
        said = real(switch, scope, *args)
        for other, record in list(switch.records.items()):
            if record.state == GateState.TRIPPED:
                switch.table.put(other, GateState.RESETTING, record.generation, "operator", "", record.trip_id)
        switch.persist()
        return said

    patch.setattr(KillSwitch, "reset", reset)


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
    (the_dead_are_not_looked_for_again, "large-stalls", "are yet to be sent"),
    (one_list_is_enough, "reports", "may work"),
    (lists_count_at_once_for_what_was_never_answered, "line", "may work"),
    (an_owners_word_is_proof, "late", "may work"),
    (it_gives_up, "reports", "given up"),
    (the_fence_of_a_stopped_owner_is_not_waited_for, "owners", "are yet to be sent"),
    (a_list_from_before_the_fence_is_proof, "again", "may work"),
    (a_list_that_is_heard_twice_counts_twice, "lists", "a list heard twice has proved"),
    (a_doubled_report_is_a_sign_of_life, "doubled", "a journal heard twice"),
    (a_reset_of_one_scope_opens_the_other, "scopes", "was opened without a person's reset"),
]


@pytest.mark.parametrize(("mutate", "world", "says"), MUTATIONS)
def test_a_mistake_is_found(mutate: Callable[[Patch], None], world: str, says: str, monkeypatch: Patch) -> None:
    mutate(monkeypatch)
    with pytest.raises(BrokenRuleError, match=says):
        Search(SETTINGS[world], 6_000).run()


# -- the search itself ----------------------------------------------------------------------------------------------


def test_what_is_left_out_of_the_key_changes_nothing_that_follows_and_calls_remembered_are_the_calls_made() -> None:
    doubted, remembered = Search(SETTINGS["line"], doubt=8).run(), Search(SETTINGS["line"]).run()
    assert doubted.doubted > 300
    assert doubted.closed
    same = ("states", "transitions", "depth", "shut_states", "proven_after")
    assert [getattr(doubted, n) for n in same] == [getattr(remembered, n) for n in same]


def test_a_key_that_leaves_out_what_matters_is_found(monkeypatch: Patch) -> None:
    monkeypatch.setattr(copies, "AGES", dict.fromkeys(copies.AGES, 0))
    with pytest.raises(BrokenRuleError, match="have the same key, and what follows differs"):
        Search(SETTINGS["lists"], doubt=3).run()


def test_the_command_says_what_was_searched_and_which_rules(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kill", "states", "--world", "doubled", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["world"], said["found"]["closed"], said["broken"]) == ("doubled", True, "")
    assert {3, 4, 10, 11, 12} <= set(said["rules"])
    assert main(["kill", "states", "nowhere"]) == 2
    assert "there are latch" in capsys.readouterr().err


def test_the_command_names_the_way_to_a_broken_rule(monkeypatch: Patch, capsys: pytest.CaptureFixture[str]) -> None:
    it_gives_up(monkeypatch)
    assert main(["kill", "states", "reports", "--limit", "6000"]) == 1
    assert "given up" in (said := capsys.readouterr().out)
    assert "o0 sent" in said
