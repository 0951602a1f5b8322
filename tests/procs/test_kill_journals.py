"""Journals are read in turn, a few milliseconds at a time, and none is forgotten; proof waits for the end of each."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from base.clock import ManualClock, SystemClock
from base.reactor import Reactor
from ipc.requests import Answer
from procs.kill_journals import TURN_NS, JournalTurns
from risk.kill_actions import AskOwner, ReadJournal
from venues.kill_hands import Hands

COST_NS = TURN_NS // 4


class Journals:
    """Batches that are left of each, each of which takes a quarter of a turn."""

    def __init__(self, **left: int) -> None:
        self.left, self.clock = left, ManualClock(0)
        self.read: list[str] = []
        self.turns = JournalTurns(list(left), self._read, self.clock)

    def _read(self, name: str) -> str:
        self.read.append(name)
        if self.left[name]:
            self.clock.advance(COST_NS)
            self.left[name] -= 1
        return "more" if self.left[name] else ""


def test_all_of_them_are_read_in_one_turn_when_there_is_little() -> None:
    journals = Journals(a=1, b=0, c=2)
    assert not journals.turns.read()
    assert set(journals.left.values()) == {0}


def test_a_turn_ends_in_time_and_the_next_goes_on_with_the_next_journal() -> None:
    journals = Journals(a=100, b=100, c=1)
    assert journals.turns.read()
    assert journals.read == ["a", "b", "c", "a"]
    assert journals.clock.mono_ns() <= TURN_NS + COST_NS
    journals.read.clear()
    assert journals.turns.read()
    assert journals.read[0] == "b"


def test_a_full_journal_holds_up_no_other_and_nothing_is_left_in_the_end() -> None:
    journals = Journals(a=1_000, b=3, c=0)
    turns = 1
    while journals.turns.read():
        turns += 1
        assert journals.left["b"] == 0 or turns < 3
    assert set(journals.left.values()) == {0}
    assert turns > 200


def test_a_journal_that_cannot_be_read_is_no_reason_to_go_on_for_ever() -> None:
    broken = JournalTurns(["a", "b"], lambda _name: "cannot be read", ManualClock())
    assert not broken.read()
    assert not JournalTurns([], lambda _name: "", ManualClock()).read()


class Proven:
    """The hands of a kill switch over one owner, whose journal is read as far as the test lets it."""

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        self.whole = False
        self.read: list[str] = []  # in what order: the journal, then what the switch is told
        self.answered: Any = None
        host = SimpleNamespace(desk=SimpleNamespace(run_dir=""), clock=SystemClock(), reactor=reactor)
        switch = SimpleNamespace(
            journal_read=lambda session: self.read.append(f"{session} read"),
            inventory=lambda session, _orders: self.read.append(f"{session} listed"),
        )
        link = SimpleNamespace(next_id=lambda: "1", send=self._send)
        none: Any = {}
        self.hands = Hands(
            cast(Any, host), lambda: cast(Any, switch), cast(Any, None), none, cast(Any, {"a": link}), none, none,
            cast(Any, None), self._read_all,
        )  # fmt: skip

    def _send(self, _command: object, answered: object) -> bool:
        self.answered = answered
        return True

    def _read_all(self, session: str) -> bool:
        self.read.append(f"{session} {'to its end' if self.whole else 'not to its end'}")
        return self.whole


@pytest.fixture
def proven() -> Iterator[Proven]:
    reactor = Reactor(SystemClock())
    yield Proven(reactor)
    reactor.close()


def test_a_journal_that_was_not_read_to_its_end_proves_nothing(proven: Proven) -> None:
    proven.hands.perform(ReadJournal("a"))
    proven.reactor.run_once()
    assert proven.read == ["a not to its end"]
    proven.whole = True
    proven.hands.perform(ReadJournal("a"))
    proven.reactor.run_once()
    assert proven.read == ["a not to its end", "a to its end", "a read"]


def test_an_owners_list_is_heeded_only_with_its_whole_journal(proven: Proven) -> None:
    proven.hands.perform(AskOwner("a"))
    proven.answered(Answer("1", True))
    assert proven.read == ["a not to its end"], (
        "what the journal still holds may be an order that the list does not have"
    )
    proven.whole = True
    proven.hands.perform(AskOwner("a"))
    proven.answered(Answer("1", True))
    assert proven.read == ["a not to its end", "a to its end", "a listed"]
