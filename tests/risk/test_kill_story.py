"""A trip told from lines of the trail: what belongs to it, and the words for what a reader has to know."""

from typing import Any

from ipc.audit import AuditLine
from risk.kill_story import lines_of, story, trips
from risk.kill_words import state_of, tell

S = 1_000_000_000
MS = 1_000_000
T0 = 1_700_000_000 * S


class Trail:
    """Lines, written by hand at ms after the receipt of the first trip."""

    def __init__(self) -> None:
        self.lines: list[AuditLine] = []
        self.shift = 0  # monotonic clock against the first boot's

    def add(self, ms: float, event: str, **facts: Any) -> None:
        at_ns = int(ms * MS)
        line = AuditLine(len(self.lines) + 1, T0 + at_ns, event, facts, "", "", 1000 * S + at_ns + self.shift)
        self.lines.append(line)

    def trip(self, ms: float, trip_id: str, scope: str = "desk", **more: Any) -> None:
        head = {"cause": "operator", "reason": "drunk quoter", "generation": 7, "figures": {}, **more}
        received = 1000 * S + int(ms * MS) + self.shift
        self.add(ms + 5, "trip", trip_id=trip_id, received_mono_ns=received, scope=scope, **head)

    def stands(self, ms: float, phase: str, **facts: Any) -> None:
        base = {
            "trip_id": "t1", "scopes": ["desk"], "phase": phase, "gate_closed_ms": 0.1, "first_cancel_ms": 0.4,
            "fence_ms": 2.0, "all_proven_ms": ms if phase == "PROVEN" else None, "orders": 3,
            "proven": 3 if phase == "PROVEN" else 1, "proven_by": {"report": 1}, "filled_orders": [], "unproven": [],
            "open_questions": [], "leaves": [], "held_back": [], "answered_ms": {"a": 2.0}, "late": 0, "refuted": 0,
        }  # fmt: skip
        self.add(ms, phase, **{**base, **facts})

    def text(self, trip_id: str = "t1", live: dict[str, Any] | None = None) -> str:
        told = story(self.lines, trip_id, live)
        assert told is not None
        return tell(told)


def usual() -> Trail:
    trail = Trail()
    trail.add(-5000, "sent", path="x rest", what="RestCancelAll(of another day)")
    trail.add(0.4, "sent", path="x rest", what="RestCancelAll(venue='x')")  # before the line of the trip
    trail.trip(0, "t1")
    trail.stands(6, "PROVING")
    trail.add(30, "answer", path="x rest", cancels=2)
    trail.stands(40, "PROVEN")
    return trail


def test_what_was_sent_before_the_trips_line_and_after_its_receipt_belongs_to_it() -> None:
    own = lines_of(usual().lines, "t1")
    assert [x.seq for x in own] == [2, 3, 4, 5, 6]
    assert "x rest: 1 cancel-all sent; 1 answer, the first after 30 ms, 2 orders by its own count" in usual().text()


def test_what_is_sent_long_after_the_proof_does_not_belong_to_it_unless_the_proof_is_refuted() -> None:
    trail = usual()
    trail.add(200_000, "sent", path="later", what="CancelOne()")
    assert "later" not in trail.text()
    trail.stands(201_000, "PROVING")
    trail.add(201_001, "sent", path="again", what="CancelOne()")
    text = trail.text()
    assert "again: 1 single cancel sent; NO ANSWER" in text
    assert "UNDER WAY" in text


def test_a_trip_that_another_of_its_scope_takes_over_points_to_it() -> None:
    trail = usual()
    trail.trip(500, "t2")
    told = story(trail.lines, "t1")
    assert told is not None
    assert state_of(told) == "taken over"
    assert "qd kill why t2" in trail.text()
    assert [t for t, _, _ in trips(trail.lines)] == ["t1", "t2"]


def test_figures_killed_owners_trades_failures_and_other_trips_are_told() -> None:
    trail = Trail()
    figures = {"figure": "position in BTC-USD", "value": "26", "limit": "25", "samples": [{"over": True}]}
    trail.trip(0, "t1", cause="limit", reason="position in BTC-USD 26 of desk: over 25", figures=figures)
    trail.trip(10, "t9", scope="session:b")
    trail.add(201, "killed", session="a", reason="no fence for generation 7 in 200 ms", fault="")
    trail.add(210, "cancel-all failed", path="x rest", why="503 maintenance")
    trail.add(220, "cancel-all failed", path="x rest", why="503 maintenance")
    trail.add(230, "step", trip_id="t1", step="late", detail="desk: cancelled again")
    trail.stands(300, "PROVEN", filled_orders=["a:o1"], late=1, refuted=1)
    text = trail.text()
    for words in (
        "A limit was passed: position in BTC-USD 26 of desk: over 25", "limit: 25", "samples: over True",
        "KILLED a: no fence for generation 7 in 200 ms", "x rest: cancel-all failed: 503 maintenance (2 times)",
        "an order was acknowledged after the trip: cancelled again", "meanwhile, and among the lines above: trip t9",
        "1 order: a:o1", "1 of them were acknowledged only after the trip", "1 showed life after a proof",
    ):  # fmt: skip
        assert words in text, text


def test_under_way_with_a_kill_switch_that_answers_its_own_word_counts() -> None:
    trail = Trail()
    trail.trip(0, "t1")
    live = {"trip_id": "t1", "scopes": ["desk"], "phase": "PROVING", "orders": 2, "proven": 1, "unproven": ["a:o2"],
            "open_questions": ["not proven dead: x:BTC-USD:a:o2"], "fence_ms": None, "answered_ms": {}}  # fmt: skip
    text = trail.text(live=live)
    assert "fence NOT complete; answered: nobody" in text
    assert "not proven dead: x:BTC-USD:a:o2" in text
    assert '--reason "the cause, and what was done" --force a:o2' in text
    assert "does not answer" not in text
    assert "The kill switch does not answer" in trail.text()


def test_a_forced_reset_is_not_told_as_if_all_had_been_proven() -> None:
    trail = Trail()
    trail.trip(0, "t1")
    trail.stands(10, "PROVING", unproven=["a:o2"])
    trail.add(20, "reset", trip_id="t1", scope="desk", reason="venue called", by="kim", forced=["a:o2"])
    assert "the reset was FORCED over orders that were not proven dead: a:o2" in trail.text()
    trail.add(30, "opened", trip_id="t1", scope="desk", state="ARMED")
    assert "Nothing: desk is ARMED again. Reset by kim: venue called" in trail.text()


def test_times_go_on_over_a_reboot_whose_monotonic_clock_begins_again() -> None:
    trail = Trail()
    trail.trip(0, "t1")
    trail.shift = -900 * S
    trail.add(60_000, "started")
    trail.add(61_000, "sent", path="x rest", what="RestCancelAll()")
    assert " 61,000.0 ms  x rest: 1 cancel-all sent" in trail.text()


def test_no_such_trip_is_none() -> None:
    assert story(usual().lines, "t7") is None
