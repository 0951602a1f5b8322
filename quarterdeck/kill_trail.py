"""`qd kill why` and `qd kill audit`: the audit trail for people. Read from the disk; no running process is needed."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from base.errors import CommandError
from ipc.audit import AuditLine
from ipc.audit_check import Verdict, audit_lines, check_trail
from risk.alarm_text import clock_text
from risk.kill_story import lines_of, story, trips
from risk.kill_words import state_of, tell


def why(folder: Path, trip_id: str, live: Mapping[str, Any] | None, as_json: bool) -> int:
    """Tell a trip, the last one when `trip_id` is ""; `live`: the last_trip of a kill switch that answers.

    `folder`: data_dir/kill.
    """
    lines = list(audit_lines(folder))
    known = trips(lines)
    wanted = trip_id or (known[-1][0] if known else "")
    told = story(lines, wanted, live)
    if told is None and live and trip_id in ("", live.get("trip_id")):
        raise CommandError(f"the audit trail lacks trip {live.get('trip_id')}: qd kill status has it; look at the disk")
    if told is None and trip_id:
        names = ", ".join(t for t, _, _ in known[-10:]) or "none"
        raise CommandError(f"the audit trail has no trip {trip_id}; the last ones are {names}")
    if told is None:
        text, data = "Nothing was ever tripped here.", {}
    else:
        text, data = tell(told), {"trip_id": told.trip_id, "state": state_of(told), **msgspec.to_builtins(told)}
    wrong = check_trail(folder).wrong
    if wrong:
        text += f"\n\nTHE AUDIT TRAIL IS NOT WHOLE, so that this may not be all: {wrong[0]} (qd kill audit --verify)"
    sys.stdout.write((json.dumps({"why": text, **data}) if as_json else text) + "\n")
    return 0


def audit(folder: Path, trip_id: str, verify: bool, as_json: bool) -> int:
    """Check the trail (`verify`), or print it, or the part of one trip. Exit status 1: something is wrong."""
    verdict = check_trail(folder)
    if verify:
        sys.stdout.write(json.dumps(_data(verdict)) + "\n" if as_json else "".join(f"{x}\n" for x in _text(verdict)))
        return 1 if verdict.wrong else 0
    lines = list(audit_lines(folder))
    if trip_id:
        found = lines_of(lines, trip_id)
        if not found:
            names = ", ".join(t for t, _, _ in trips(lines)[-10:]) or "none"
            raise CommandError(f"the audit trail has no trip {trip_id}; the last ones are {names}")
        lines = found
    for line in lines:
        sys.stdout.write((json.dumps(_row(line)) if as_json else _line(line)) + "\n")
    for text in () if as_json else verdict.wrong:
        sys.stdout.write(f"WRONG: {text}\n")
    return 1 if verdict.wrong else 0


def _data(verdict: Verdict) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.structs.asdict(verdict)
    return {**found, "wrong": verdict.wrong[0] if verdict.wrong else "", "all_wrong": verdict.wrong}


def _text(verdict: Verdict) -> list[str]:
    span = f", {clock_text(verdict.first_ns)} to {clock_text(verdict.last_ns)}" if verdict.lines else ""
    lines = [f"{verdict.lines} lines are sound{span}"]
    lines += [f"the last: {verdict.head}"] if verdict.head else []
    lines += [f"note: {x}" for x in verdict.notes] + [f"WRONG: {x}" for x in verdict.wrong]
    return lines if verdict.wrong else [*lines, "nothing was changed, nothing is missing"]


def _row(line: AuditLine) -> dict[str, Any]:
    return {"seq": line.seq, "ts_ns": line.ts_ns, "mono_ns": line.mono_ns, "event": line.event, "facts": line.facts}


def _line(line: AuditLine) -> str:
    ms = line.ts_ns // 1_000_000 % 1000
    facts = ", ".join(f"{k}={json.dumps(v)}" for k, v in line.facts.items())
    return f"{line.seq:>6} {clock_text(line.ts_ns)[:-1]}.{ms:03d}Z {line.event}: {facts}"
