"""Reading an audit trail back, and what is wrong with it. Needs no running process."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from ipc.audit import GENESIS, AuditLine, file_number, read_head, read_line, trail_files

STEP_NS = 1_000_000_000
MOST = 50  # findings of a kind


class Verdict(msgspec.Struct):
    """What the check found. `wrong`: the trail was changed, or part of it is gone; `notes`: what else to know."""

    lines: int = 0  # sound ones
    first_ns: int = 0
    last_ns: int = 0
    head: str = ""  # number and hash of the last sound line: keep it elsewhere to tell a rewritten trail
    wrong: list[str] = []
    notes: list[str] = []


def audit_bytes(folder: Path, stem: str = "audit") -> Iterator[tuple[Path, int, bytes, bool]]:
    """(file, line number, line, whether it ends as a line does) of the whole trail, oldest first."""
    for path in trail_files(folder, stem):
        lines = path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, 1):
            if line or number < len(lines):
                yield path, number, line, number < len(lines)


def audit_lines(folder: Path, stem: str = "audit") -> Iterator[AuditLine]:
    """Every line that can be believed, oldest first; `check_trail` says what is wrong with the others."""
    for _, _, line, _ in audit_bytes(folder, stem):
        found = read_line(line)
        if found is not None:
            yield found


def check_trail(folder: Path, stem: str = "audit") -> Verdict:
    """Hash of each line, chain from line to line and file to file, anchor, clock. Goes on behind what is wrong."""
    verdict, torn = Verdict(), ""
    before = AuditLine(0, 0, "", {}, "", GENESIS)
    hashes: dict[int, str] = {}
    head = read_head(folder, stem)
    _files(folder, stem, verdict)
    for path, number, data, ended in audit_bytes(folder, stem):
        at = f"{path.name}: line {number}"
        if torn:
            _wrong(verdict, torn)
            torn = ""
        line = read_line(data)
        if line is None:
            why = "its hash does not fit its content" if ended else "it is cut off"
            torn = f"{at}: {why}"
            continue
        if (line.prev, line.seq) != (before.hash, before.seq + 1):
            _wrong(verdict, _gap(at, before, line))
        _look(verdict, at, before, line)
        verdict.lines += 1
        verdict.first_ns = verdict.first_ns or line.ts_ns
        verdict.last_ns, verdict.head = line.ts_ns, f"{line.seq} {line.hash}"
        before = line
        if head is not None and line.seq == head[0]:
            hashes[line.seq] = line.hash
    _end(verdict, before, head, hashes, torn)
    return verdict


def verify_audit(folder: Path, stem: str = "audit") -> tuple[int, str]:
    """(sound lines up to the first thing that is wrong, what that is or "")."""
    verdict = check_trail(folder, stem)
    return verdict.lines, verdict.wrong[0] if verdict.wrong else ""


def _files(folder: Path, stem: str, verdict: Verdict) -> None:
    numbers = [file_number(p) for p in trail_files(folder, stem)]
    for before, after in zip([0, *numbers], numbers, strict=False):
        for missing in range(before + 1, min(after, before + MOST)):
            _wrong(verdict, f"{stem}-{missing:06d}.jsonl is missing")


def _gap(at: str, before: AuditLine, line: AuditLine) -> str:
    if line.seq > before.seq + 1:
        return f"{at}: lines {before.seq + 1} to {line.seq - 1} are missing before it"
    if line.seq <= before.seq:
        return f"{at}: it has number {line.seq} and stands behind line {before.seq}"
    return f"{at}: it does not continue line {before.seq}, which was another when it was written"


def _look(verdict: Verdict, at: str, before: AuditLine, line: AuditLine) -> None:
    facts = line.facts
    if line.event == "lines lost":
        _note(verdict, f"{at}: {facts.get('lines')} lines were given up before it: {facts.get('why')}")
    elif line.event == "torn line":
        _note(verdict, f"{at}: {facts.get('bytes')} bytes before it were being written when the process or host ended")
    elif line.event == "trail damaged":
        _wrong(verdict, f"{at}: found when the trail was opened: {facts.get('what')}")
    if not before.seq:
        return
    passed_ns, ran_ns = line.ts_ns - before.ts_ns, line.mono_ns - before.mono_ns
    if passed_ns < -STEP_NS:
        _note(verdict, f"{at}: the clock went back by {-passed_ns / 1e9:.1f} s before it")
    elif ran_ns >= 0 and line.mono_ns and before.mono_ns and passed_ns - ran_ns > STEP_NS and not _begins(line):
        _note(verdict, f"{at}: the clock went ahead by {(passed_ns - ran_ns) / 1e9:.1f} s before it")


def _begins(line: AuditLine) -> bool:
    """Another boot's monotonic clock may happen to stand higher."""
    return line.event == "started"


def _end(verdict: Verdict, before: AuditLine, head: tuple[int, str] | None, hashes: dict[int, str], torn: str) -> None:
    if head is None:
        if before.seq or torn:
            _wrong(verdict, "the anchor is missing: nothing tells whether lines are missing at the end")
    elif head[0] > before.seq:
        _wrong(verdict, f"lines {before.seq + 1} to {head[0]} are missing at the end: the anchor names them")
    elif hashes.get(head[0]) != head[1]:
        _wrong(verdict, f"line {head[0]} is another than the one that the anchor names")
    if torn and head is not None and head[0] <= before.seq:
        _note(verdict, f"{torn}: it was being written when the process or host ended, or is being written now")
    elif torn:
        _wrong(verdict, torn)


def _wrong(verdict: Verdict, text: str) -> None:
    if len(verdict.wrong) < MOST:
        verdict.wrong.append(text)


def _note(verdict: Verdict, text: str) -> None:
    if len(verdict.notes) < MOST:
        verdict.notes.append(text)
