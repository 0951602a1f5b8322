"""Status pages: what each process says of itself in shared memory, one file a process, one writer.

Readiness with its reason, heartbeat, the fence word that answers the kill switch, build and configuration, and room for
exposure rows (ipc/exposure.py). Layout: docs/kill-switch.md.
"""

import os
import time
from enum import StrEnum
from os import PathLike
from pathlib import Path

import msgspec

from base.errors import RegionError
from ipc._words import Words

STATUS_KIND = "status"
# Data words.
PID = 0
BEAT = 1  # mono_ns
FENCE = 2  # highest gate generation for which no unsent order is left
STARTED = 3  # wall_ns of this process's start
ROWS = 4  # exposure rows in use
ROW_CAPACITY = 5
SENT = 6  # new orders handed to the wire since start
FENCE_AT = 7  # mono_ns at which the fence word was stored
IDENTITY, IDENTITY_WORDS = 8, 33  # record: MessagePack [process, kind, build, config]
MOVED = 41  # changes of exposure rows, times 65536, plus the row that changed last
CONDITION, CONDITION_WORDS = 42, 38  # record: MessagePack [readiness, reason, since_ns]
FIRST_ROW = 80
ROW_WORDS = 24  # one exposure row, a record
_REASON_BYTES = 240


VENUE_CLOSED = "venue closed until "
"""Begins the reason of a session that keeps away by its venue's calendar: no cause for an alarm."""


class Readiness(StrEnum):
    """What a process can be relied on for."""

    STARTING = "STARTING"
    RECOVERING = "RECOVERING"
    READY = "READY"
    DEGRADED = "DEGRADED"
    STOPPING = "STOPPING"


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of one page. `beat_mono_ns` old by more than a few hundred ms: the process is stuck, stopped or dead."""

    process: str
    kind: str
    pid: int
    readiness: Readiness
    reason: str
    since_ns: int
    beat_mono_ns: int
    fence: int
    started_ns: int
    sent: int
    build: str
    config: str


class StatusPage:
    """The writer's side. Takes over the page of the process before it, so readers keep their mapping."""

    def __init__(
        self,
        path: str | PathLike[str],
        process: str,
        *,
        kind: str = "",
        build: str = "",
        config: str = "",
        rows: int = 64,
        wall_ns: int = 0,
    ) -> None:
        identity = msgspec.msgpack.encode((process, kind, build, config))
        words = Words.create(path, STATUS_KIND, FIRST_ROW + ROW_WORDS * rows)
        # The fence of the process before must not be taken for ours: it goes first, the pid last. Its exposure rows
        # stay until we know better: its orders may work.
        words.store(FENCE, 0)
        words.store(SENT, 0)
        words.store(BEAT, 0)
        words.store(STARTED, wall_ns)
        words.store(ROW_CAPACITY, rows)
        words.write_record(IDENTITY, IDENTITY_WORDS, identity)
        self.words = words
        self.readiness = Readiness.STARTING
        self.reason = "starting"
        self.set(Readiness.STARTING, "starting", wall_ns)
        words.store(PID, os.getpid())

    def set(self, readiness: Readiness, reason: str = "", since_ns: int = 0) -> None:
        """Say what the process can be relied on for, why, and since when (UTC ns)."""
        self.readiness, self.reason = readiness, reason
        text = reason.encode()[:_REASON_BYTES].decode(errors="ignore")
        raw = msgspec.msgpack.encode((readiness, text, since_ns))
        self.words.write_record(CONDITION, CONDITION_WORDS, raw)

    def beat(self, mono_ns: int) -> None:
        """Show that the loop turns."""
        self.words.store(BEAT, mono_ns)

    def fence(self, generation: int) -> None:
        """After unsent orders of closed scopes were dropped: no order will leave against this generation."""
        self.words.store(FENCE_AT, time.monotonic_ns())
        self.words.store(FENCE, generation)

    def count_sent(self, total: int) -> None:
        """New orders handed to the wire since start; the kill switch limits their rate."""
        self.words.store(SENT, total)


class StatusReader:
    """Reads one page again and again; notices when it was replaced."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self._words: Words | None = None

    def words(self) -> Words:
        """The mapping; RegionError when there is none to be had."""
        if self._words is None or self._replaced():
            self._words = None
            self._words = Words.open(self.path, STATUS_KIND)
        return self._words

    def fence(self) -> int:
        """The fence word through the mapping at hand (no look at the directory); 0 when there is none."""
        return self._words.load(FENCE) if self._words is not None else 0

    def fence_at_ns(self) -> int:
        """When (mono_ns) the fence word was stored; read it after `fence`."""
        return self._words.load(FENCE_AT) if self._words is not None else 0

    def status(self) -> Status:
        """A copy of the page; RegionError when it is missing, foreign, or its writer died inside a record."""
        return _copy(self.words())

    def _replaced(self) -> bool:
        try:
            stat = self.path.stat()
        except OSError:
            return True
        return self._words is None or (stat.st_ino, stat.st_dev) != (self._words.inode, self._words.device)


def read_status(path: str | PathLike[str]) -> Status:
    """A copy of one page; RegionError when it cannot be read."""
    return _copy(Words.open(path, STATUS_KIND))


def read_all(directory: str | PathLike[str]) -> dict[str, Status]:
    """Status of every process with a readable page in `directory` (shm_dir/proc); unreadable ones are left out."""
    found: dict[str, Status] = {}
    for path in sorted(Path(directory).glob("*")):
        if path.name.endswith(".new"):
            continue
        try:
            found[path.name] = read_status(path)
        except RegionError:
            continue
    return found


def readiness_of(words: Words) -> Readiness | None:
    """What the page says of readiness alone; None when that record cannot be read."""
    raw = words.read_record(CONDITION, CONDITION_WORDS)
    try:
        return msgspec.msgpack.decode(raw, type=tuple[Readiness, str, int])[0] if raw else None
    except msgspec.DecodeError:
        return None


def _copy(words: Words) -> Status:
    identity, condition = (
        words.read_record(IDENTITY, IDENTITY_WORDS),
        words.read_record(CONDITION, CONDITION_WORDS),
    )
    if not identity or not condition:
        raise RegionError(f"{words.path}: its writer stopped inside a record")
    try:
        process, kind, build, config = msgspec.msgpack.decode(identity, type=tuple[str, str, str, str])
        readiness, reason, since_ns = msgspec.msgpack.decode(condition, type=tuple[Readiness, str, int])
    except msgspec.DecodeError as e:
        raise RegionError(f"{words.path}: a record cannot be read: {e}") from None
    return Status(
        process=process,
        kind=kind,
        pid=words.load(PID),
        readiness=readiness,
        reason=reason,
        since_ns=since_ns,
        beat_mono_ns=words.load(BEAT),
        fence=words.load(FENCE),
        started_ns=words.load(STARTED),
        sent=words.load(SENT),
        build=build,
        config=config,
    )
