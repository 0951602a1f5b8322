"""What each level of `sync` costs, tail included: message store, journal, an order's share of both, beside what else
one would take.

All take turns within one run, in rounds. Blocks of calls during which the kernel gave the processor to somebody else
(involuntary switches: the machine's load, not the store's doing) are left out; waiting for a device is not. At level
`interval` a flush runs in a helper thread in every round, far more often than each second: what is shown is its worst.
`python -m bench.store [--json] [FOLDER]`.
"""

import json as jsonlib
import os
import resource
import sqlite3
import struct
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import quickfix as qf

from base.segments import SegmentSettings, SegmentWriter
from bench.report import Row, faster, print_rows, within
from fix.file_store import FileStore, StoreSettings, Sync
from fix.store import MemoryStore
from ipc import frames
from ipc.journal import Journal

MESSAGE = b"8=FIX.4.4\x019=000200\x0135=D\x01" + b"x" * 200 + b"\x0110=000\x01"
EVENT = b"x" * 330  # an order's state, as it is published
ROUNDS = 20
CALLS = 2000
SYNCED_CALLS = 50
BLOCK = 10
UPKEEP_BLOCKS = 10  # a session's timer prepares far more often than every 100 messages
RECORD = struct.Struct("<IIQ")
MEMORY = "memory"
LEVELS = (Sync.NONE, Sync.INTERVAL, Sync.EVERY)
POWER_CUT = {  # what it may lose; a kill of the process loses nothing at any of them but memory
    MEMORY: "everything, and so does the end of the process",
    "none": "what the kernel had not written back, up to about 30 s",
    "interval": "the last second",
    "every": "nothing",
}
QUICKFIX = """[DEFAULT]
ConnectionType=initiator
HeartBtInt=30
StartTime=00:00:00
EndTime=00:00:00
FileStorePath={folder}
[SESSION]
BeginString=FIX.4.4
SenderCompID=DESK
TargetCompID=VENUE
SocketConnectHost=127.0.0.1
SocketConnectPort=1
"""


def preemptions() -> int:
    """Involuntary context switches of this thread so far."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


Put = Callable[[int], object]


class Series:
    """One way to store a message, and the times it took in nanoseconds."""

    def __init__(
        self,
        name: str,
        put: Put,
        calls: int = CALLS,
        idle: Callable[[], object] | None = None,
        beside: Callable[[], object] | None = None,
    ) -> None:
        """`idle` is called between calls, as a timer would; `beside` runs once a round in a thread of its own."""
        self.name = name
        self.times: list[int] = []
        self.blocks = 0
        self._put = put
        self._calls = calls
        self._idle = idle
        self._beside = beside
        self._seq = 0

    def round(self) -> None:
        helper = threading.Thread(target=self._beside) if self._beside else None
        if helper is not None:
            helper.start()
        self._blocks()
        if helper is not None:
            helper.join()

    def _blocks(self) -> None:
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


def stores(level: Sync, folder: Path, stack: ExitStack) -> list[Series]:
    """Store, journal, and what one order asks of both, at one level of flushing."""
    store = FileStore(folder / f"store-{level.value}", time.time_ns(), StoreSettings(sync=level))
    every = level is Sync.EVERY
    journal = Journal(folder / f"journal-{level.value}", time.time_ns(), sync_each=every)
    both = (
        FileStore(folder / f"order-{level.value}", time.time_ns(), StoreSettings(sync=level)),
        Journal(folder / f"order-{level.value}", time.time_ns(), sync_each=every),
    )
    for opened in (store, journal, *both):
        stack.callback(opened.close)
        while opened.prepare():
            pass  # as at start-up, before the session connects
    head = frames.prefix(b"exec.desk", 1)

    def order(seq: int) -> None:
        """The command's id and the order's state, then the message: each before the next."""
        both[1].order_id("client", f"{seq:09d}", f"ORDER{seq:09d}", seq)
        both[1].frame(frames.frame(head, seq, seq, 1, EVENT))
        both[0].sent(seq, MESSAGE)

    def sync_both() -> None:
        both[0].sync()
        both[1].sync()

    calls = SYNCED_CALLS if every else CALLS
    flush = level is Sync.INTERVAL
    name = level.value
    return [
        Series(f"store {name}", lambda seq: store.sent(seq, MESSAGE), calls, store.prepare,
               store.sync if flush else None),
        Series(f"journal {name}", lambda seq: journal.frame(frames.frame(head, seq, seq, 1, EVENT)), calls,
               journal.prepare, journal.sync if flush else None),
        Series(f"order {name}", order, calls, lambda: both[0].prepare() or both[1].prepare(),
               sync_both if flush else None),
    ]  # fmt: skip


def quickfix_store(folder: Path) -> Put:
    """QuickFIX's FileStore as its session uses it, through its Python binding."""
    config = folder / "quickfix.cfg"
    config.write_text(QUICKFIX.format(folder=folder / "quickfix"))
    factory = qf.FileStoreFactory(qf.SessionSettings(str(config)))
    store = factory.create(qf.UtcTimeStamp(), qf.SessionID("FIX.4.4", "DESK", "VENUE"))
    text = MESSAGE.decode()

    def put(seq: int) -> None:
        store.set(seq, text)
        store.incrNextSenderMsgSeqNum()

    return put


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
    memory = MemoryStore(1)
    ours = [one for level in LEVELS for one in stores(level, folder, stack)]
    return [
        Series(f"store {MEMORY}", lambda seq: memory.sent(seq, MESSAGE)),
        *ours,
        Series("mapped segments, pages not prepared", lambda _: plain.append(1, MESSAGE)),
        Series("write()", writing(folder / "w", False, stack)),
        Series("write(), CRC", writing(folder / "wc", True, stack)),
        Series("QuickFIX FileStore", quickfix_store(folder), CALLS // 4),
        Series("SQLite WAL, synchronous OFF", sqlite(folder / "off.db", "OFF", stack)),
        Series("SQLite WAL, synchronous NORMAL", sqlite(folder / "normal.db", "NORMAL", stack)),
        Series("write(), fdatasync", writing_synced(folder / "ws", stack), SYNCED_CALLS),
        Series("SQLite WAL, synchronous FULL", sqlite(folder / "full.db", "FULL", stack), SYNCED_CALLS),
    ]


def measure(folder: Path, rounds: int = ROUNDS) -> list[Series]:
    """All series, in interleaved rounds."""
    with ExitStack() as stack:
        series = lined_up(folder, stack)
        for _ in range(rounds):
            for one in series:
                one.round()
    return series


def rows(series: list[Series]) -> list[Row]:
    """Ours beside the others: each level with what loses as much."""
    at = {one.name: one.quantiles() for one in series}

    def beside(make: Callable[..., Row], ours: str, quantile: str, peer: str, reach: float) -> Row:
        return make(f"{ours}, {quantile}", at[ours][quantile], "us", peer, at[peer][quantile], reach)

    return [
        beside(within, "store none", "p50", "write(), CRC", 1.5),
        beside(faster, "store none", "p50", "SQLite WAL, synchronous OFF", 3),
        beside(faster, "store none", "p50", "QuickFIX FileStore", 5),
        beside(faster, "store none", "p99.9", "SQLite WAL, synchronous NORMAL", 3),
        beside(faster, "journal none", "p50", "SQLite WAL, synchronous OFF", 2),
        beside(faster, "store interval", "p50", "SQLite WAL, synchronous NORMAL", 2),
        beside(within, "store every", "p50", "write(), fdatasync", 1.5),
        beside(faster, "store every", "p50", "SQLite WAL, synchronous FULL", 1),
        beside(within, "journal every", "p50", "write(), fdatasync", 1.5),
        beside(faster, "order none", "p50", "QuickFIX FileStore", 1.5),
        beside(within, "order every", "p50", "write(), fdatasync", 3),
    ]


def power_cut(name: str) -> str:
    """What a power cut may lose of a series of ours; "" for the others."""
    kind, _, level = name.partition(" ")
    return POWER_CUT.get(level, "") if kind in ("store", "journal", "order") else ""


def run(json: bool = False, folder: str = "", rounds: int = ROUNDS) -> int:
    """Measure below `folder` (default: the temporary directory); microseconds a message, then ratios.

    0 when every ratio was reached, else 4.
    """
    with tempfile.TemporaryDirectory(dir=folder or None) as place:
        series = measure(Path(place), rounds)
    for one in series:
        found, lost = one.quantiles(), power_cut(one.name)
        if json:
            print(jsonlib.dumps({"name": f"store: {one.name}", "unit": "us", **found, "power_cut": lost}))
        else:
            times = "".join(f" {name} {value:9.1f}" for name, value in found.items())
            print(f"{one.name:36s}{times}" + (f"  a power cut loses {lost}" if lost else ""))
    compared = rows(series)
    print_rows(compared, json)
    return 0 if all(row.ok for row in compared) else 4


if __name__ == "__main__":
    raise SystemExit(run("--json" in sys.argv, next((a for a in sys.argv[1:] if not a.startswith("-")), "")))
