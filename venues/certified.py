"""What a probe found out about a venue's mass cancel (`qd kill certify`): kept as a file, and for how long it counts.

A finding holds for the build, the venue's configuration and the time at which it was made; after a change of that
configuration, or after `kill.certified_days`, it is stale and only says what was true once.
"""

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from base.config import DeskConfig

DAY_NS = 86_400_000_000_000
FOLDER = "kill/certified"  # below data_dir

Reached: TypeAlias = Literal["account", "symbol", "own session", "nothing", "unclear"]
"""What ended: the account's orders; those on the one symbol that was named; only orders that the asking session had
placed itself; nothing at all; or some of a kind and not others."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one probe saw. Times: UTC ns."""

    venue: str
    action: str  # of the step that was probed (venues.cancel_plan.Action)
    path: str  # the session that it was sent on, or "rest"
    says: str
    reaches: Reached
    when_empty: str  # what answered while nothing was open
    answers: tuple[str, ...]  # what answered while the orders were open
    ended: tuple[str, ...]
    left: tuple[str, ...]
    at_ns: int
    took_ms: int  # from the request to the last end that was seen
    build: str
    config: str

    @property
    def words(self) -> str:
        """In one line."""
        reach = {
            "account": "reaches the account",
            "symbol": "reaches the account's orders on the symbol that it names",
            "own session": "reaches only what its own session placed",
            "nothing": "reaches nothing, though it may answer",
            "unclear": "ended some orders of a kind and left others",
        }[self.reaches]
        return f"certified {day(self.at_ns)}: {reach}"


def day(wall_ns: int) -> str:
    """UTC date."""
    return datetime.fromtimestamp(wall_ns // 1_000_000_000, UTC).date().isoformat()


def venue_fingerprint(desk: DeskConfig, venue: str) -> str:
    """Of everything configured that may change what a cancel reaches: the venue, its sessions, the kill switch's."""
    config = desk.config
    sessions = {n: s for n, s in sorted(config.session.items()) if s.venue == venue}
    own = [s for s in config.kill.sessions if s in sessions]
    return hashlib.sha256(msgspec.json.encode([config.venue[venue], sessions, own])).hexdigest()[:16]


def finding_path(desk: DeskConfig, venue: str) -> Path:
    """Where the venue's finding lies."""
    return desk.data_dir / FOLDER / f"{venue}.json"


def read_finding(desk: DeskConfig, venue: str) -> tuple[Finding | None, str]:
    """The last finding; None and why when there is none ("") or it cannot be read."""
    path = finding_path(desk, venue)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Finding), ""
    except FileNotFoundError:
        return None, ""
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as e:
        return None, f"{path}: {e}"


def write_finding(desk: DeskConfig, finding: Finding) -> Path:
    """Replace the venue's finding; OSError when the disk does not take it. Blocks."""
    path = finding_path(desk, finding.venue)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(finding), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
    return path


def stale(desk: DeskConfig, finding: Finding, wall_ns: int) -> str:
    """Why a finding counts no more, "" while it does."""
    days = desk.config.kill.certified_days
    if finding.config != venue_fingerprint(desk, finding.venue):
        return "the configuration of the venue has changed since"
    if wall_ns - finding.at_ns > days * DAY_NS:
        return f"it is older than {days} days"
    return ""
