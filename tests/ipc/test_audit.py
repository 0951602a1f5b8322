"""The audit trail against every kind of damage: what a crash does is told apart from what a hand does."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import ipc.audit as module
from ipc.audit import AuditFile, read_head, trail_files
from ipc.audit_check import audit_lines, check_trail, verify_audit

S = 1_000_000_000
ROOT = Path(__file__).resolve().parents[2]


def line(n: int, event: str = "step", **facts: object) -> tuple[int, int, str, dict[str, object]]:
    return (n * S, n * S, event, {"n": n, **facts})


def trail(folder: Path, lines: int = 12, per_file: int = 3) -> list[Path]:
    """A trail of several files, its writer gone."""
    audit = AuditFile(folder)
    for n in range(1, lines + 1):
        audit.append([line(n, text="original")])
        if n % per_file == 0 and n < lines:
            audit._close_file()
            audit._number += 1
    audit.close()
    return trail_files(folder)


def resume(folder: Path, n: int) -> AuditFile:
    """The next life writes a line."""
    audit = AuditFile(folder)
    audit.append([line(n)])
    audit.close()
    return audit


def edit(path: Path, change: Callable[[list[bytes]], object]) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    change(lines)
    path.write_bytes(b"".join(lines))


def swap(lines: list[bytes]) -> None:
    lines[0], lines[1] = lines[1], lines[0]


def replaced(lines: list[bytes]) -> None:
    lines[1] = lines[1].replace(b"original", b"0riginal")


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def removed(*indexes: int) -> Callable[[list[Path]], None]:
    def remove(files: list[Path]) -> None:
        for i in indexes:
            files[i].unlink()

    return remove


DAMAGE: dict[str, tuple[Callable[[list[Path]], object], str]] = {
    "a line edited": (lambda f: edit(f[1], replaced), "audit-000002.jsonl: line 2: its hash does not fit its content"),
    "a line removed": (lambda f: edit(f[1], lambda x: x.pop(1)), "lines 5 to 5 are missing before it"),
    "lines swapped": (lambda f: edit(f[1], swap), "audit-000002.jsonl: line 1"),
    "a line doubled": (lambda f: edit(f[1], lambda x: x.insert(1, x[0])), "number 4 and stands behind line 4"),
    "the first file removed": (removed(0), "audit-000001.jsonl is missing"),
    "a middle file removed": (removed(1), "audit-000002.jsonl is missing"),
    "a middle file emptied": (lambda f: emptied(f[1]), "lines 4 to 6 are missing before it"),
    "the last file removed": (removed(3), "lines 10 to 12 are missing at the end"),
    "the last files removed": (removed(2, 3), "lines 7 to 12 are missing at the end"),
    "the last line removed": (lambda f: edit(f[3], lambda x: x.pop()), "lines 12 to 12 are missing at the end"),
    "the last line cut": (lambda f: f[3].write_bytes(f[3].read_bytes()[:-9]), "lines 12 to 12 are missing at the end"),
    "the last file emptied": (lambda f: emptied(f[3]), "lines 10 to 12 are missing at the end"),
    "all removed": (removed(0, 1, 2, 3), "lines 1 to 12 are missing at the end"),
    "the anchor removed": (lambda f: f[0].with_name("audit.head").unlink(), "the anchor is missing"),
    "the anchor rubbish": (lambda f: f[0].with_name("audit.head").write_bytes(b"x" * 512), "the anchor is missing"),
}


@pytest.mark.parametrize("damage", DAMAGE, ids=str)
def test_what_a_hand_did_is_found_and_the_next_life_does_not_cover_it(tmp_path: Path, damage: str) -> None:
    do, said = DAMAGE[damage]
    do(trail(tmp_path))
    assert any(said in wrong for wrong in check_trail(tmp_path).wrong), check_trail(tmp_path).wrong
    resume(tmp_path, 13)
    again = check_trail(tmp_path)
    assert again.wrong, "the next writer covered it up"
    assert [x.facts["n"] for x in audit_lines(tmp_path) if x.event == "step"][-1] == 13


@pytest.mark.parametrize("damage", [d for d in DAMAGE if "last" in d or "anchor" in d], ids=str)
def test_the_next_life_writes_down_what_it_found_missing_at_the_end(tmp_path: Path, damage: str) -> None:
    DAMAGE[damage][0](trail(tmp_path))
    audit = resume(tmp_path, 13)
    assert audit.damage
    assert "trail damaged" in [x.event for x in audit_lines(tmp_path)]


def test_a_whole_trail_over_files_and_lives_has_nothing_wrong(tmp_path: Path) -> None:
    trail(tmp_path)
    for n in range(13, 16):
        assert resume(tmp_path, n).damage == ""
    verdict = check_trail(tmp_path)
    assert (verdict.lines, verdict.wrong, verdict.notes) == (15, [], [])
    assert verdict.head == " ".join(map(str, read_head(tmp_path) or ()))


def test_no_trail_at_all_is_no_damage(tmp_path: Path) -> None:
    assert verify_audit(tmp_path) == (0, "")


@pytest.mark.parametrize(
    "tail", [b'{"seq":13,"ts_ns":13', b"\0" * 700, b"\0" * 50 + b"\n" + b"\0" * 50, b"{}\n{}\n"], ids=repr
)
def test_a_line_that_a_crash_tore_is_no_tampering_and_the_chain_goes_on(tmp_path: Path, tail: bytes) -> None:
    """Behind the anchor nothing ever counted as written: bytes of a batch that was under way, or blocks of zeros."""
    files = trail(tmp_path)
    with files[-1].open("ab") as file:
        file.write(tail)
    if b"\n" not in tail:
        before = check_trail(tmp_path)
        assert before.wrong == []
        assert "was being written" in before.notes[0]
    assert resume(tmp_path, 13).damage == ""
    verdict = check_trail(tmp_path)
    assert verdict.wrong == []
    assert f"{len(tail)} bytes before it were being written" in verdict.notes[0]


def test_a_crash_between_the_lines_and_the_anchor_is_no_damage(tmp_path: Path) -> None:
    trail(tmp_path)
    head = (tmp_path / "audit.head").read_bytes()
    resume(tmp_path, 13)
    (tmp_path / "audit.head").write_bytes(head)
    assert check_trail(tmp_path).wrong == []
    assert resume(tmp_path, 14).damage == ""
    assert check_trail(tmp_path).wrong == []


def test_a_torn_slot_of_the_anchor_leaves_the_other(tmp_path: Path) -> None:
    trail(tmp_path)
    path = tmp_path / "audit.head"
    data = bytearray(path.read_bytes())
    newest = read_head(tmp_path)
    assert newest is not None
    slot = 0 if str(newest[0]).encode() == bytes(data[:256]).split()[0] else 256
    data[slot + 10 : slot + 30] = b"\0" * 20
    path.write_bytes(data)
    older = read_head(tmp_path)
    assert older is not None
    assert older[0] == newest[0] - 1
    assert check_trail(tmp_path).wrong == []


def test_steps_of_the_clock_are_noted(tmp_path: Path) -> None:
    audit = AuditFile(tmp_path)
    for wall_s, mono_s in ((100, 1), (101, 2), (50, 3), (51, 4), (3000, 5), (3001, 6)):
        audit.append([(wall_s * S, mono_s * S, "step", {})])
    audit.append([(9000 * S, 1 * S, "started", {}), (9001 * S, 2 * S, "step", {})])  # another boot
    audit.close()
    notes = check_trail(tmp_path).notes
    assert ["the clock went back by 51.0 s" in n for n in notes] == [True, False]
    assert "the clock went ahead by 2948.0 s" in notes[1]


def test_two_writers_of_a_folder_are_impossible(tmp_path: Path) -> None:
    audit = AuditFile(tmp_path)
    audit.append([line(1)])
    code = (
        "import sys; from pathlib import Path; from ipc.audit import AuditFile\n"
        "try: AuditFile(Path(sys.argv[1])).append([(1, 1, 'x', {})])\n"
        "except OSError as e: print(e.strerror)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert done.stdout.strip() == "another process writes this trail"
    audit.close()
    resume(tmp_path, 2)
    assert verify_audit(tmp_path) == (2, "")


def test_a_file_removed_under_the_writers_hands_is_seen_at_the_next_line(tmp_path: Path) -> None:
    audit = AuditFile(tmp_path)
    audit.append([line(1)])
    next(iter(trail_files(tmp_path))).unlink()
    audit.append([line(2)])
    assert "was removed or replaced" in audit.damage
    audit.close()
    assert [x.event for x in audit_lines(tmp_path)] == ["trail damaged", "step"]
    assert check_trail(tmp_path).wrong[0] == "audit-000001.jsonl is missing"


def test_a_full_disk_leaves_no_half_line_and_the_same_lines_are_taken_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = AuditFile(tmp_path)
    audit.append([line(1)])
    real, room = os.write, [40]

    def write(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        taken, room[0] = room[0], 0
        return real(fd, bytes(data)[:taken])

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "write", write)
        with pytest.raises(OSError, match="No space"):
            audit.append([line(2), line(3)])
    audit.append([line(2), line(3)])
    audit.close()
    verdict = check_trail(tmp_path)
    assert (verdict.lines, verdict.wrong, verdict.notes) == (3, [], [])


def test_an_anchor_that_cannot_be_written_is_a_fault_and_costs_no_line(tmp_path: Path) -> None:
    (tmp_path / "audit.head").mkdir()
    audit = AuditFile(tmp_path)
    audit.append([line(1)])
    assert "audit.head" in audit.fault
    (tmp_path / "audit.head").rmdir()
    audit.append([line(2)])
    audit.close()
    assert audit.fault == ""
    assert verify_audit(tmp_path) == (2, "")


def test_facts_that_are_no_json_are_kept_as_text(tmp_path: Path) -> None:
    audit = AuditFile(tmp_path)
    audit.append([(1, 1, "odd", {"what": object, "n": 2**80})])
    audit.close()
    assert "<class 'object'>" in str(next(audit_lines(tmp_path)).facts["as_text"])
    assert verify_audit(tmp_path) == (1, "")
