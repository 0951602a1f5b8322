"""SIGKILL at every write and send boundary of a real session: store, journal, wire, and each step between them.

A child runs order entry over a FixSession on disk (tests/stress/session_lives.py) until it dies at the n-th hit of
one boundary; the parent is the venue, and lives on. The next life opens what the last one left, logs on, and the two
put the numbers right by themselves. Over all lives of a folder:

- no number carries two messages, and no order's bytes come twice, not even marked as a repeat;
- every report of the venue is in the desk's journal once and in order, counted or about to be asked for again;
- what a restart reads of the journal (the newest complete writing on) tells what the whole of it tells;
- every order that reached the venue is known to the desk, and an order that did not is UNCERTAIN, refused or unsaid.
"""

import gc
import os
import random
import select
import shutil
import signal
import socket
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import pytest

from base.segments import SegmentReader
from fix.dictionary import Dictionary
from fix.file_store import FileStore, StoreSettings
from ipc.events import ExecutionReport
from ipc.journal import NAME
from ipc.journal_index import OrderId
from ipc.journal_restart import look_back, read_on
from risk.orders import OrderTable
from tests.stress.killing import Killer, quick_folder
from tests.stress.session_lives import STORE, Desk, Peer
from venues.carry_over import Restored, restore

KILLS = 520
LIVES = 1500
LIVES_A_FOLDER = 20
ENDINGS = ("gone", "rollover", "logout", "rollover")


def child(folder: Path, wire: socket.socket, killer: Killer, seed: int, full: bool, out: int) -> None:
    """Live and leave, without a word to the test run that this process is a copy of."""
    status = 1
    gc.disable()
    try:
        Desk(folder, wire, killer, seed, full).live(ENDINGS[seed % 4])
        os.write(out, repr(dict(killer.hits)).encode())
        status = 0
    except BaseException:  # noqa: BLE001 - a child that fails must not go on as a second test run
        os.write(out, traceback.format_exc().encode())
    finally:
        os._exit(status)


def live(
    folder: Path, peer: Peer, killer: Killer, seed: int, *, disk_full: bool = False, lossy: bool = False
) -> tuple[int, Counter[str]]:
    """One life of the desk: exit status, and (when it survived) the boundaries it passed.

    `lossy`: what had not been read when the desk died is lost, as in a connection that breaks.
    """
    ours, theirs = socket.socketpair()
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        ours.close()
        child(folder, theirs, killer, seed, disk_full, into)
    theirs.close()
    os.close(into)
    death = os.pidfd_open(pid)
    peer.connected(ours)
    serve(peer, ours, death, lossy)
    ours.close()
    peer.disconnected()
    _, status = os.waitpid(pid, 0)
    os.close(death)
    with os.fdopen(out, "rb") as pipe:
        text = pipe.read().decode()
    assert os.waitstatus_to_exitcode(status) in (-signal.SIGKILL, 0), text
    return status, Counter(eval(text, {}) if text else {})


def serve(peer: Peer, wire: socket.socket, death: int, lossy: bool) -> None:
    """Be the venue until the desk is gone or the session ended."""
    while not peer.ending:
        ready, _, _ = select.select([wire, death], [], [])
        if death in ready and (lossy or wire not in ready):
            return
        try:
            data = wire.recv(4096)
        except ConnectionResetError:
            return
        if not data:
            return
        peer.received(data)


Standing: TypeAlias = tuple[dict[str, object], dict[str, tuple[int, int]], set[str]]


class Whole(Restored):
    """Everything that a folder's desks have journalled so far, read on from life to life."""

    def __init__(self, folder: Path) -> None:
        super().__init__(OrderTable(), {})
        self.folder = folder
        self.ids: list[OrderId] = []
        self.heard: list[str] = []  # ExecIDs of the reports, in order
        self._reader = SegmentReader(folder, NAME)
        self._reader.seek(0)

    def read_on(self) -> "Whole":
        for event in read_on(self._reader):
            self.take(event)
            if isinstance(event, OrderId):
                self.ids.append(event)
            elif isinstance(event, ExecutionReport):
                self.heard.append(event.exec_id)
        return self

    def standing(self) -> Standing:
        return standing(self.table, self.positions, set(self.unsaid))

    def close(self) -> None:
        self._reader.close()


def standing(table: OrderTable, positions: dict[str, tuple[int, int]], unsaid: set[str]) -> Standing:
    """What is open and how far it got, positions, commands without an order."""
    open_ = table.open()
    orders: dict[str, object] = {
        o.cl_ord_id: (o.state, o.order_id, o.cum_qty, o.leaves_qty, o.command_id) for o in open_
    }
    return orders, positions, unsaid


def restored(folder: Path, *, whole: bool = False) -> Standing:
    """As a restart reads it; `whole`: the journal from its beginning."""
    table, positions = OrderTable(), dict[str, tuple[int, int]]()
    unsaid = {o.cl_ord_id for o in restore(folder, table, positions, whole=whole)}
    return standing(table, positions, unsaid)


def compare(whole: Whole, peer: Peer, complete: bool = False, total: Counter[str] | None = None) -> None:
    """Hold what the dead desk left against what the venue saw and said."""
    folder = whole.read_on().folder
    store = FileStore(folder, 1, StoreSettings(segments=STORE))
    try:
        compare_numbers(whole.heard, store, peer, complete)
    finally:
        store._reader.close()
        store._log.abandon()
    compare_orders(whole, peer, complete)
    compare_restarts(whole, Counter() if total is None else total)
    if complete:
        assert restored(folder, whole=True) == whole.standing()  # read at once, and from life to life


def compare_numbers(heard: list[str], store: FileStore, peer: Peer, complete: bool) -> None:
    """Nothing is lost or doubled, and no number that is known at the venue would be given out again."""
    assert heard == peer.said[: len(heard)], "a report is missing, doubled or out of order"
    assert heard == peer.said or not complete, "the end is missing"
    if "session.fresh" in store.meta:
        return  # the two number anew at the next logon
    counted = peer.base + sum(seq < store.next_in for seq in peer.numbers)
    assert counted <= len(heard) <= counted + 1, "a report was counted and not journalled, or the reverse"
    stored = dict(store.get(1))
    for (numbering, seq), message in peer.arrived.items():
        if numbering == peer.numbering:
            assert seq < store.next_out, f"number {seq} arrived but would be given out again"
            assert stored.get(seq, message) == message
    assert list(stored) == list(range(min(stored, default=store.next_out), store.next_out))


def compare_restarts(whole: Whole, total: Counter[str]) -> None:
    """The part of the journal that a restart reads tells what the whole tells."""
    folder = whole.folder
    assert restored(folder) == whole.standing()
    with closing(SegmentReader(folder, NAME)) as reader:
        past = look_back(reader, 1 << 20)
        kept = reader.last_number() - reader.first_number() + 1
    assert past.ids == {(o.client_id, o.command_id): o.cl_ord_id for o in whole.ids}
    total["restarts that read a part"] += bool(past.written > 2)
    total["files kept"] += kept
    total["files read"] += kept if past.written == 0 else reader_span(folder, past.written)


def reader_span(folder: Path, written: int) -> int:
    """Files from one before the newest complete writing on."""
    with closing(SegmentReader(folder, NAME)) as reader:
        return reader.last_number() - max(written - 1, reader.first_number()) + 1


def compare_orders(whole: Whole, peer: Peer, complete: bool) -> None:
    """Every order is at the venue, or known not to have been sent, or UNCERTAIN."""
    table, unsaid = whole.table, whole.unsaid
    remembered = [order_id.cl_ord_id for order_id in whole.ids]
    assert len(set(remembered)) == len(remembered)
    assert peer.on_the_wire <= set(remembered), "an order left that was not remembered"
    for cl_ord_id in remembered:
        order = table.find(cl_ord_id)
        assert (order is None) == (cl_ord_id in unsaid)
        if cl_ord_id in peer.on_the_wire:
            assert order is not None, f"order {cl_ord_id} left and is not known"
            assert order.state != "REJECTED", f"order {cl_ord_id} left and counts as refused"
        if order is not None and order.order_id:
            assert cl_ord_id in peer.orders
        elif complete and order is not None:
            assert cl_ord_id not in peer.orders, "the venue's answer is missing"
            assert order.state in ("UNCERTAIN", "REJECTED")


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """Where the desks keep what they have."""
    Dictionary.standard("4.4")  # read once here: four fifths of each life's time would go into it
    with quick_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def boundaries(root: Path) -> Counter[str]:
    """How often each boundary is passed in lives without a kill; the last ones find the disk full."""
    folder, peer, hits = root / "count", Peer(1), Counter[str]()
    for seed in range(15):
        status, passed = live(folder, peer, Killer(), seed, disk_full=seed >= 9)
        assert status == 0
        hits |= passed
    with closing(Whole(folder)) as whole:
        compare(whole, peer, complete=True)
    shutil.rmtree(folder)
    return hits


def test_the_boundaries_are_all_there(boundaries: Counter[str]) -> None:
    wanted = {
        "store: append", "store: payload written", "store: head written", "store: committed",
        "store: segment begun", "store: space allocated", "store: segment sealed", "store: space set aside",
        "store: oldest segment dropped", "store: oldest segment taken", "store: oldest segment recycled",
        "journal: append", "journal: payload written", "journal: head written", "journal: committed",
        "journal: segment begun", "journal: segment sealed", "journal: space allocated", "journal: space set aside",
        "order entry: remembered", "order entry: recorded", "order entry: filled, not recorded",
        "writing: begun", "writing: not marked",
        "session: number taken, not stored", "session: stored, not written",
        "wire: before the write", "wire: half written", "wire: written", "wire: read",
        "report: arrived", "report: delivered", "session: dealt with, not counted", "session: counted",
        "session: before the reset", "session: after the reset",
        "session: session.fresh set", "session: session.fresh removed", "session: venue.clordid set",
    }  # fmt: skip
    assert wanted <= set(boundaries)


def wants_full(boundary: str, life: int) -> bool:
    """Whether this life finds no room: where its boundary is reached only so, and now and then besides."""
    if "recycled" in boundary or "taken" in boundary:
        return True
    return life % 5 == 4 and "space" not in boundary and "dropped" not in boundary


@pytest.mark.stress
@pytest.mark.timeout(900)
def test_no_kill_reuses_a_number_loses_a_message_or_sends_an_order_twice(
    boundaries: Counter[str], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed, rng = Counter(dict.fromkeys(boundaries, 0)), random.Random(5)
    total: Counter[str] = Counter()
    life, peer, folder = 0, Peer(0), root / "0"
    whole = Whole(folder)
    while killed.total() < KILLS or min(killed.values()) == 0:
        assert life < LIVES, f"boundaries are not reached any more: {killed}"
        boundary = min(sorted(killed), key=lambda b: killed[b])
        # Early hits: lives differ in how often they pass a boundary.
        killer = Killer(boundary, 1 + rng.randrange(max(1, boundaries[boundary] // 3)))
        full = wants_full(boundary, life) and any(folder.glob("store-*.seg"))  # a fresh store has room to begin
        status, _ = live(folder, peer, killer, life, disk_full=full, lossy=rng.random() < 0.3)
        killed[boundary] += os.WIFSIGNALED(status)
        compare(whole, peer, total=total)
        life += 1
        if life % LIVES_A_FOLDER == 0:
            finish(whole, peer, total)
            peer, folder = Peer(life), root / str(life)
            whole = Whole(folder)
    finish(whole, peer, total)
    with capsys.disabled():
        print(f"\n{killed.total()} kills in {life} lives over {len(killed)} boundaries; {dict(total)}")
        for boundary in sorted(killed):
            print(f"  {killed[boundary]:3d} x {boundary}")
    assert killed.total() >= 500
    assert total["gap fills"] > 0
    assert total["replayed reports"] > 0
    assert total["restarts that read a part"] > KILLS // 2
    assert total["files read"] < total["files kept"] // 2


def finish(whole: Whole, peer: Peer, total: Counter[str]) -> None:
    """A life that ends well: everything that was said arrives, and every order's standing is known."""
    status, _ = live(whole.folder, peer, Killer(), 1)
    assert status == 0
    compare(whole, peer, complete=True)
    whole.close()
    total["orders"] += len(peer.orders)
    total["reports"] += len(peer.said)
    total["gap fills"] += peer.gap_fills
    total["replayed reports"] += peer.replays
    total["messages"] += len(peer.arrived)
    shutil.rmtree(whole.folder)


def test_the_checks_would_notice(tmp_path: Path) -> None:
    """A venue that saw or said something else makes each comparison fail."""
    peer, whole = Peer(2), Whole(tmp_path)
    status, _ = live(tmp_path, peer, Killer(), 1)
    assert status == 0
    compare(whole, peer, complete=True)
    peer.said.append("never told")
    with pytest.raises(AssertionError, match="the end is missing"):
        compare(whole, peer, complete=True)
    peer.said[0] = "another"
    with pytest.raises(AssertionError, match="missing, doubled or out of order"):
        compare(whole, peer)
    peer.on_the_wire.add("never remembered")
    with pytest.raises(AssertionError, match="not remembered"):
        compare_orders(whole, peer, complete=False)
    whole.close()
