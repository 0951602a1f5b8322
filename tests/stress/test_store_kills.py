"""SIGKILL at every write and send boundary of a session on disk, and at random instants beside.

A child trades over a socketpair on a real store until it dies at the n-th hit of one boundary. The parent is the
peer: it keeps everything that ever arrived, opens the store again and holds the two against each other:

- no number carries different bytes within an epoch, over all lives of the session;
- what arrived is in the store, and its number is behind next_out; every number given out has its message;
- no order (command) reaches the peer twice;
- what the application journalled is at most one ahead of the expected number, never behind, never doubled.
"""

import os
import random
import shutil
import signal
import socket
import struct
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from base.segments import SegmentReader, SegmentSettings, SegmentWriter
from fix.file_store import FileStore, StoreSettings
from tests.stress.killing import Hook, Killer, named, no_room, quick_folder

KILLS = 600
RANDOM_KILLS = 60
LIVES_A_FOLDER = 44  # twice all boundaries: a longer history would only make each life slower
OPS = 400
SEGMENTS = SegmentSettings(segment_bytes=4096, retain_bytes=12 * 4096, recycle=True)
WIRE = struct.Struct("<IQQQ")  # bytes that follow, epoch, MsgSeqNum, command (0: no order)
REPORT, COMMAND = 1, 2


class Trader:
    """A session and its application: commands become orders, reports of the peer are journalled."""

    def __init__(self, folder: Path, past: "Past", wire: socket.socket, hook: Hook, seed: int, disk_full: bool) -> None:
        self.rng = random.Random(seed)
        self.wire = wire
        self.hook = hook
        self.journal = SegmentWriter(folder, "journal", 1, SegmentSettings(1 << 20, 1 << 26), named(hook, "journal"))
        reserve = no_room if disk_full else None
        self.store = FileStore(folder, 1, StoreSettings(segments=SEGMENTS), named(hook, "store"), reserve)
        past.read_on()  # with the record that the journal's opening found whole and not committed
        self.command, self.reports = past.command, past.reports

    def trade(self, ops: int) -> None:
        for _ in range(ops):
            draw = self.rng.random()
            if draw < 0.5:
                self.order()
            elif draw < 0.9:
                self.report()
            elif draw < 0.96:
                self.send(0, b"heartbeat %d" % self.rng.randrange(10**9))
            elif draw < 0.98:
                self.store.set_meta("note", self.rng.randbytes(20))
            elif draw < 0.981:  # rarely: on a busy disk most of the time would go here
                self.store.sync()
            else:
                self.store.reset(self.store.created_ns + 1, next_in=self.store.next_in)
                self.hook("session: after reset")

    def order(self) -> None:
        """The command is journalled, then the message is stored, then it leaves: each before the next."""
        self.command += 1
        self.journal.append(COMMAND, struct.pack("<Q", self.command))
        self.hook("session: command journalled")
        self.send(self.command, self.rng.randbytes(self.rng.randrange(300)))

    def send(self, command: int, body: bytes) -> None:
        seq = self.store.next_out
        message = WIRE.pack(len(body), self.store.epoch, seq, command) + body
        self.store.sent(seq, message)
        self.hook("session: stored, not sent")
        self.wire.sendall(message)
        self.hook("session: sent")

    def report(self) -> None:
        """The peer's report number next_in arrives (again, after a crash): journal it once, then advance."""
        seq = self.store.next_in
        if seq not in self.reports:
            self.journal.append(REPORT, struct.pack("<Q", seq))
            self.reports.add(seq)
        self.hook("session: report journalled, not advanced")
        self.store.advance_in(seq)
        self.hook("session: advanced")


class Past:
    """What the journal of a folder says, read on from life to life: last command, and the reports, each there once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.command = 0
        self.reports: set[int] = set()
        self._reader = SegmentReader(folder, "journal")

    def read_on(self) -> None:
        while record := self._reader.next():
            (number,) = struct.unpack("<Q", record.payload)
            if record.type == COMMAND:
                assert number == self.command + 1
                self.command = number
            else:
                assert number not in self.reports, f"report {number} was journalled twice"
                self.reports.add(number)

    def close(self) -> None:
        """The journal from its beginning says the same as from life to life."""
        self._reader.close()
        whole = Past(self.folder)
        whole.read_on()
        whole._reader.close()
        assert (whole.command, whole.reports) == (self.command, self.reports)


class Peer:
    """Everything that ever arrived, over all lives of the trader."""

    def __init__(self) -> None:
        self.messages: dict[tuple[int, int], bytes] = {}
        self.commands: set[int] = set()

    def take(self, stream: bytes) -> None:
        """Whole messages; the last may be cut off by the death of its sender."""
        at = 0
        while at + WIRE.size <= len(stream):
            length, epoch, seq, command = WIRE.unpack_from(stream, at)
            end = at + WIRE.size + length
            if end > len(stream):
                return
            message = stream[at:end]
            assert self.messages.setdefault((epoch, seq), message) == message, f"number {seq} was used twice"
            if command:
                assert command not in self.commands, f"order {command} was sent twice"
                self.commands.add(command)
            at = end

    def compare(self, past: Past) -> None:
        """Hold the reopened store and journal against what arrived."""
        store = FileStore(past.folder, 1, StoreSettings(segments=SEGMENTS))
        stored = dict(store.get(1))
        arrived = {seq: message for (epoch, seq), message in self.messages.items() if epoch == store.epoch}
        oldest = min(stored, default=store.next_out)
        assert list(stored) == list(range(oldest, store.next_out)), "a number was given out without its message"
        for seq, message in arrived.items():
            assert seq < store.next_out, f"number {seq} arrived but would be given out again"
            assert seq < oldest or stored[seq] == message
        assert all(epoch <= store.epoch for epoch, _ in self.messages)
        past.read_on()
        assert max(self.commands, default=0) <= past.command
        # None is there twice, so that what they are follows from how many there are and which is the last.
        assert len(past.reports) in (store.next_in - 1, store.next_in)
        assert max(past.reports, default=0) == len(past.reports)
        assert min(past.reports, default=1) == 1
        store._log.abandon()


def live(
    past: Past, killer: Killer, seed: int, disk_full: bool = False, kill_after_s: float = 0.0
) -> tuple[bytes, int, Killer]:
    """One life of the trader in a child: what it sent, its exit status, and (when it survived) its hits."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    report_in, report_out = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            Trader(past.folder, past, theirs, killer, seed, disk_full).trade(10**9 if kill_after_s else OPS)
            os.write(report_out, repr(dict(killer.hits)).encode())
            status = 0
        except BaseException:  # noqa: BLE001 - a child that fails must not go on as a second test run
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    theirs.close()
    os.close(report_out)
    if kill_after_s:
        time.sleep(kill_after_s)  # the instant of a random kill, not a wait for anything
        os.kill(pid, signal.SIGKILL)
    stream = b"".join(iter(lambda: ours.recv(1 << 20), b""))
    _, status = os.waitpid(pid, 0)
    with os.fdopen(report_in, "rb") as pipe:
        text = pipe.read().decode()
    ours.close()
    survivor = Killer()
    survivor.hits.update(eval(text, {}) if text else {})
    return stream, status, survivor


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """Where the traders keep what they have."""
    with quick_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def boundaries(root: Path) -> Counter[str]:
    """How often each boundary is passed in a life without a kill, on a store that rotates and drops already."""
    past = Past(root / "count")
    hits = Counter[str]()
    for seed in range(4):
        _, status, survivor = live(past, Killer(), seed, disk_full=seed == 3)
        assert status == 0
        hits |= survivor.hits
        past.read_on()
    past.close()
    shutil.rmtree(past.folder)
    return hits


def test_the_boundaries_are_all_there(boundaries: Counter[str]) -> None:
    wanted = {
        "store: append", "store: payload written", "store: head written", "store: committed",
        "store: segment begun", "store: space allocated", "store: segment sealed",
        "store: space set aside", "store: oldest segment dropped",
        "store: oldest segment taken",
        "store: oldest segment recycled",
        "journal: append", "journal: payload written", "journal: head written", "journal: committed",
        "journal: space set aside",
        "session: command journalled", "session: stored, not sent", "session: sent",
        "session: report journalled, not advanced", "session: advanced", "session: after reset",
    }  # fmt: skip
    assert wanted <= set(boundaries)


def disk_full(boundary: str, life: int) -> bool:
    """Whether this life finds no room: every fifth, where its boundary can be reached so, and a fresh log has room."""
    if "recycled" in boundary or "taken" in boundary:
        return True
    return life % 5 == 4 and life % LIVES_A_FOLDER > 4 and "space" not in boundary and "dropped" not in boundary


@pytest.mark.stress
@pytest.mark.timeout(900)
def test_no_kill_at_any_boundary_reuses_loses_or_repeats_anything(
    boundaries: Counter[str], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed, arrived, orders = Counter[str](), 0, 0
    plan = sorted(boundaries) * (KILLS // len(boundaries) + 1)
    rng = random.Random(7)
    for life, boundary in enumerate(plan):
        if life % LIVES_A_FOLDER == 0:
            peer, past = Peer(), Past(root / str(life))
        # Rare boundaries are killed at an early hit, since lives differ in how often they pass them.
        hit = 1 + rng.randrange(max(1, boundaries[boundary] // 3))
        stream, status, _ = live(past, Killer(boundary, hit), life, disk_full(boundary, life))
        assert os.waitstatus_to_exitcode(status) in (-signal.SIGKILL, 0)
        killed[boundary] += os.WIFSIGNALED(status)
        before = len(peer.messages), len(peer.commands)
        peer.take(stream)
        arrived, orders = arrived + len(peer.messages) - before[0], orders + len(peer.commands) - before[1]
        peer.compare(past)
        if (life + 1) % LIVES_A_FOLDER == 0 or life + 1 == len(plan):
            past.close()
            shutil.rmtree(past.folder)
    with capsys.disabled():
        print(f"\n{sum(killed.values())} kills over {len(killed)} boundaries, {arrived} messages arrived,"
              f" {orders} orders")  # fmt: skip
        for boundary in sorted(boundaries):
            print(f"  {killed[boundary]:3d} x {boundary}")
    assert sum(killed.values()) >= 500
    assert set(killed) == set(boundaries)
    assert min(killed.values()) > 0


@pytest.mark.stress
@pytest.mark.timeout(900)
def test_no_kill_at_a_random_instant_does_either(root: Path) -> None:
    peer, past, rng, killed = Peer(), Past(root / "random"), random.Random(11), 0
    for life in range(RANDOM_KILLS):
        stream, status, _ = live(past, Killer(), life, kill_after_s=rng.uniform(0.001, 0.03))
        killed += os.WIFSIGNALED(status)
        peer.take(stream)
        peer.compare(past)
    past.close()
    assert killed == RANDOM_KILLS


def test_the_checks_would_notice(tmp_path: Path) -> None:
    """A peer that saw what the store does not have makes the comparison fail."""
    past = Past(tmp_path)
    stream, status, _ = live(past, Killer(), 1)
    assert status == 0
    peer = Peer()
    peer.take(stream)
    peer.compare(past)
    (epoch, seq), message = max(peer.messages.items())
    with pytest.raises(AssertionError, match="used twice"):
        peer.take(message[:-1] + b"?" if len(message) > WIRE.size else WIRE.pack(0, epoch, seq, 10**6))
    peer.messages[epoch, seq + 1000] = b"never stored"
    with pytest.raises(AssertionError, match="given out again"):
        peer.compare(past)
    past.close()
