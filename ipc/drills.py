"""The drills of the kill switch that were made here: a line of JSON each, in data_dir/kill/drills.jsonl."""

from pathlib import Path
from typing import Final

import msgspec

FILE: Final = "drills.jsonl"


class DrillStep(msgspec.Struct, frozen=True):
    """One step of a drill: what was tried, how long it took (None: it did not come to an end), what was found."""

    name: str
    ok: bool
    took_ms: float | None
    said: str = ""


class DrillRecord(msgspec.Struct, frozen=True):
    """One drill."""

    drill_id: str
    kind: str  # "live": nothing was touched; "full": orders placed, the desk tripped and reset
    at_ns: int  # UTC
    by: str
    ok: bool
    steps: tuple[DrillStep, ...]


def drill_line(record: DrillRecord) -> bytes:
    """What is appended for a drill."""
    return msgspec.json.encode(record) + b"\n"


def read_drills(folder: Path) -> list[DrillRecord]:
    """Every drill that can be read, oldest first; `folder` is data_dir/kill."""
    try:
        data = (folder / FILE).read_bytes()
    except OSError:
        return []
    found = []
    for line in data.splitlines():
        try:
            found.append(msgspec.json.decode(line, type=DrillRecord))
        except msgspec.DecodeError:  # torn by a power cut
            continue
    return found


def last_drill(folder: Path) -> DrillRecord | None:
    """The newest drill that was passed."""
    return max((d for d in read_drills(folder) if d.ok), key=lambda d: d.at_ns, default=None)


def too_old(folder: Path, wall_ns: int, days: int) -> str:
    """What is wrong with the age of the last drill that was passed, for people; "" when nothing is (0: nobody asks)."""
    if not days:
        return ""
    last = last_drill(folder)
    if last is None:
        return "no drill of the kill switch was ever passed here: qd kill drill"
    age_days = (wall_ns - last.at_ns) / 86_400e9
    if age_days <= days:
        return ""
    return f"the last drill of the kill switch was {age_days:.0f} days ago; at most {days} are allowed"


def age_text(folder: Path, wall_ns: int) -> str:
    """How long ago the last drill was passed, for people."""
    last = last_drill(folder)
    if last is None:
        return "no drill was ever passed here: qd kill drill"
    hours = (wall_ns - last.at_ns) / 3_600e9
    age = f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} hours"
    return f"last drill passed {age} ago ({last.kind}, by {last.by})"
