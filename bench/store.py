"""What handing one outgoing message to the kernel costs, tail included: our store, its rivals, and flushing.

All take turns within one run, in rounds. Blocks of calls during which the kernel gave the processor to somebody else
(involuntary switches: the machine's load, not the store's doing) are left out; waiting for a device is not.
`python -m bench.store [--json] [FOLDER]`.
"""

import json as jsonlib
import os
import resource
import sqlite3
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from base.segments import SegmentSettings, SegmentWriter
from fix.file_store import FileStore, StoreSettings, Sync
from fix.store import MemoryStore

MESSAGE = b"8=FIX.4.4\x019=000200\x0135=D\x01" + b"x" * 200 + b"\x0110=000\x01"
ROUNDS = 20
CALLS = 2000
SYNCED_CALLS = 50
BLOCK = 10
UPKEEP_BLOCKS = 10  # a session's timer prepares far more often than every 100 messages
RECORD = struct.Struct("<IIQ")


def preemptions() -> int:
    """Involuntary context switches of this thread so far."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


Put = Callable[[int], object]


class Series:
    """One way to store a message, and the times it took in nanoseconds."""

    def __init__(self, name: str, put: Put, calls: int = CALLS, idle: Callable[[], object] | None = None) -> None:
        self.name = name
        self.times: list[int] = []
        self.blocks = 0
        self._put = put
        self._calls = calls
        self._idle = idle
        self._seq = 0

    def round(self) -> None:
        for block in range(self._calls // BLOCK):
            before = preemptions()
            times = self._block()
            self.blocks += 1
            if preemptions() == before:
                self.times += times
            if self._idle and block % UPKEEP_BLOCKS == 0:
                self._idle()

    def _block(self) -> list[int]:
        put, clock, times = self._put, time.perf_counter_ns, []
        for seq in range(self._seq + 1, self._seq + BLOCK + 1):
            start = clock()
            put(seq)
            times.append(clock() - start)
        self._seq += BLOCK
        return times

    def quantiles(self) -> dict[str, float]:
        ordered = sorted(self.times)
        at = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "p99.99": 0.9999}
        found = {name: ordered[int(len(ordered) * q)] / 1000 for name, q in at.items()}
        left_out = 100 * (1 - len(ordered) / BLOCK / self.blocks)
        return {**found, "max": ordered[-1] / 1000, "left_out_percent": round(left_out, 2)}


def our_store(folder: Path, sync: Sync, stack: ExitStack) -> FileStore:
    store = FileStore(folder, time.time_ns(), StoreSettings(sync=sync))
    stack.callback(store.close)
    return store


def writing(path: Path, checked: bool, stack: ExitStack) -> Put:
    """write() of head and message in one call, with a CRC if asked for."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    stack.callback(os.close, fd)

    def put(seq: int) -> None:
        crc = zlib.crc32(MESSAGE) if checked else 0
        os.write(fd, RECORD.pack(len(MESSAGE), crc, seq) + MESSAGE)

    return put


def writing_synced(path: Path, stack: ExitStack) -> Put:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    stack.callback(os.close, fd)

    def put(seq: int) -> None:
        os.write(fd, RECORD.pack(len(MESSAGE), zlib.crc32(MESSAGE), seq) + MESSAGE)
        os.fdatasync(fd)

    return put


def sqlite(path: Path, synchronous: str, stack: ExitStack) -> Put:
    """One transaction a message in WAL mode, as a store that may not lose one needs."""
    database = sqlite3.connect(path, isolation_level=None)
    stack.callback(database.close)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute(f"PRAGMA synchronous={synchronous}")
    database.execute("CREATE TABLE messages (seq INTEGER PRIMARY KEY, message BLOB)")
    insert = "INSERT INTO messages VALUES (?, ?)"
    return lambda seq: database.execute(insert, (seq, MESSAGE))


def lined_up(folder: Path, stack: ExitStack) -> list[Series]:
    """Every way to be measured."""
    plain = SegmentWriter(folder / "cold", "log", 1, SegmentSettings())
    stack.callback(plain.close)
    store, synced = our_store(folder / "a", Sync.NONE, stack), our_store(folder / "b", Sync.EVERY, stack)
    memory = MemoryStore(1)
    ready = store.prepare
    while ready():
        pass  # as at start-up, before the session connects
    return [
        Series("store in memory (forgets)", lambda seq: memory.sent(seq, MESSAGE)),
        Series("store: mapped segments, CRC", lambda seq: store.sent(seq, MESSAGE), idle=ready),
        Series("mapped segments, CRC, pages not prepared", lambda _: plain.append(1, MESSAGE)),
        Series("write()", writing(folder / "w", False, stack)),
        Series("write(), CRC", writing(folder / "wc", True, stack)),
        Series("SQLite WAL, synchronous OFF", sqlite(folder / "off.db", "OFF", stack)),
        Series("SQLite WAL, synchronous NORMAL", sqlite(folder / "normal.db", "NORMAL", stack)),
        Series("store, every message synced", lambda seq: synced.sent(seq, MESSAGE), SYNCED_CALLS),
        Series("write(), fdatasync", writing_synced(folder / "ws", stack), SYNCED_CALLS),
        Series("SQLite WAL, synchronous FULL", sqlite(folder / "full.db", "FULL", stack), SYNCED_CALLS),
    ]


def measure(folder: Path) -> list[Series]:
    """All series, in interleaved rounds."""
    with ExitStack() as stack:
        series = lined_up(folder, stack)
        for _ in range(ROUNDS):
            for one in series:
                one.round()
    return series


def run(json: bool = False, folder: str = "") -> int:
    """Measure below `folder` (default: the temporary directory) and print microseconds a message."""
    with tempfile.TemporaryDirectory(dir=folder or None) as place:
        series = measure(Path(place))
    for one in series:
        found = one.quantiles()
        if json:
            print(jsonlib.dumps({"name": f"store: {one.name}", "unit": "us", **found}))
        else:
            print(f"{one.name:42s}" + "".join(f" {name} {value:9.1f}" for name, value in found.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(run("--json" in sys.argv, next((a for a in sys.argv[1:] if not a.startswith("-")), "")))
