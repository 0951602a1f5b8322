"""Journals are read in turn, a few milliseconds at a time, and none is forgotten."""

from base.clock import ManualClock
from procs.kill_journals import TURN_NS, JournalTurns

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
