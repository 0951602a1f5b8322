"""How old the last drill may be."""

from pathlib import Path

from ipc.drills import FILE, DrillRecord, drill_line, too_old

DAY_NS = 86_400 * 10**9


def drill(at_day: int, *, ok: bool = True) -> bytes:
    return drill_line(DrillRecord(str(at_day), "live", at_day * DAY_NS, "me", ok, ()))


def test_without_a_drill_that_was_passed_it_is_too_old_unless_nobody_asks(tmp_path: Path) -> None:
    assert "no drill" in too_old(tmp_path, DAY_NS, 30)
    (tmp_path / FILE).write_bytes(drill(1, ok=False))
    assert "no drill" in too_old(tmp_path, 2 * DAY_NS, 30)
    assert too_old(tmp_path, 2 * DAY_NS, 0) == ""


def test_the_newest_that_was_passed_counts_to_the_day(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(drill(1) + drill(10) + drill(20, ok=False) + b'{"torn')
    assert too_old(tmp_path, 40 * DAY_NS, 30) == ""
    assert "31 days ago; at most 30" in too_old(tmp_path, 41 * DAY_NS, 30)
