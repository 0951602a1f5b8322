"""A drill is passed when every step came to a good end in time."""

from pathlib import Path

from ipc.drills import drill_line, last_drill, read_drills
from ipc.gate import DRILL_SCOPE, GateState
from risk.kill_drill import MS, Drill
from risk.kill_latch import Latch, LatchedScope, LatchReading
from tests.risk.kill_world import MemoryGate
from tests.risk.test_kill import Desk


def drill() -> Drill:
    found = Drill("d1", "kim", 1)
    found.begin("fence a", 0, 200 * MS)
    found.begin("rest x", 0, 1000 * MS)
    return found


def test_every_step_in_time_is_passed_with_its_time() -> None:
    found = drill()
    found.done("fence a", 3 * MS)
    found.done("rest x", 40 * MS, "2 open orders")
    assert not found.over  # a further step may begin
    found.seal()
    assert found.over
    record = found.record()
    assert record.ok
    assert [(s.name, s.took_ms, s.said) for s in record.steps] == [
        ("fence a", 3.0, ""),
        ("rest x", 40.0, "2 open orders"),
    ]


def test_a_step_that_is_late_failed_and_what_comes_after_does_not_count() -> None:
    found = drill()
    found.seal()
    found.done("rest x", 40 * MS)
    found.tick(199 * MS)
    assert not found.over
    found.tick(200 * MS)
    found.done("fence a", 201 * MS)
    assert found.over
    record = found.record()
    assert not record.ok
    assert record.steps[1].said == "no end within 200 ms"


def test_a_trip_ends_a_drill_that_is_then_not_passed() -> None:
    found = drill()
    found.done("fence a", 1 * MS)
    found.abort("a trip began: t1")
    assert found.over
    assert not found.record().ok


def test_the_last_drill_is_the_newest_that_was_passed(tmp_path: Path) -> None:
    assert last_drill(tmp_path) is None
    lines = []
    for at_ns, late in ((3, False), (1, False), (5, True)):
        found = Drill(f"d{at_ns}", "kim", at_ns)
        found.begin("fence a", 0, MS)
        found.seal()
        found.tick(MS if late else 0)
        found.done("fence a", 0)
        lines.append(drill_line(found.record()))
    (tmp_path / "drills.jsonl").write_bytes(b"".join(lines) + lines[0][:20])
    assert len(read_drills(tmp_path)) == 3
    last = last_drill(tmp_path)
    assert last is not None
    assert last.drill_id == "d3"


def test_a_start_finds_a_drill_and_makes_no_trip_of_it() -> None:
    gate = MemoryGate()
    gate.close([DRILL_SCOPE])
    kept = LatchedScope("ARMED", 1, "operator", "x", 1, "")
    desk = Desk(reading=LatchReading(Latch(1, "boot", 1, 1, {"desk": kept}), "", generation=1), gate=gate)
    assert gate.get(DRILL_SCOPE).state is GateState.ARMED
    assert desk.switch.trips == {}
    assert list(desk.switch.records) == ["desk"]
