"""SIGKILL of the ledger before each statement that it gives to its file, and at random instants.

A child reads two journals, which the parent goes on writing, in transactions of a few events, until it dies; the next
one goes on. Over all lives the ledger is what a plain count of single units says: no fill lost, none doubled, every
break there once.
"""

import gc
import os
import random
import shutil
import signal
import tempfile
import time
import traceback
from ast import literal_eval
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ipc import frames
from ipc.journal import Journal
from risk.ledger_save import Keeper
from tests.risk.ledger_kit import Kept
from tests.risk.ledger_world import AFTER_NS, COPY_SOURCE, ENTRY_SOURCE, T0, World
from tests.risk.test_ledger import check_breaks, check_fills, check_positions
from tests.stress.killing import Killer

pytestmark = [pytest.mark.stress, pytest.mark.timeout(900)]

SOURCES = (ENTRY_SOURCE, COPY_SOURCE)
BATCH = 3
KILLS = 250
INSTANTS = 40
NAMINGS = ("trade", "cum", "mixed")


class Writer:
    """Both sessions' journals, written bit by bit, now and then by another life of their owner."""

    def __init__(self, folder: Path, world: World) -> None:
        self.folder = folder
        self.rng = world.rng
        self.left = {s: world.told(s) for s in SOURCES}
        self.epoch = T0
        self.journals: dict[Any, Journal] = {}
        self.seqs: dict[Any, int] = {}
        for source in SOURCES:
            self.begin(source)

    def begin(self, source: Any) -> None:
        self.epoch += 1
        self.journals[source] = Journal(self.folder / source.session, T0)
        self.seqs[source] = 1
        self.heads = {
            **getattr(self, "heads", {}),
            source: frames.prefix(f"exec.{source.session}".encode(), self.epoch),
        }

    def write(self, most: int) -> bool:
        """Some events of one session in one frame; False when all are written."""
        able = [s for s in SOURCES if self.left[s]]
        if not able:
            return False
        source = self.rng.choice(able)
        if self.rng.random() < 0.1:
            self.journals[source].close()
            self.begin(source)
        events = [self.left[source].pop(0) for _ in range(min(most, len(self.left[source])))]
        packed = b"".join(map(frames.encode_event, events))
        data = frames.frame(self.heads[source], self.seqs[source], T0, len(events), packed)
        self.journals[source].frame(data)
        self.seqs[source] += len(events)
        return True

    def close(self) -> None:
        for journal in self.journals.values():
            journal.close()


def child(folder: Path, killer: Killer, out: int, *, pause: bool) -> None:
    """Read to the end and leave, without a word to the test run that this process is a copy of."""
    status = 1
    gc.disable()
    try:
        keeper = Keeper(folder / "ledger.db", {s: folder / s.session for s in SOURCES}, AFTER_NS, BATCH)
        keeper.store.database.set_trace_callback(
            lambda text: killer(text.split("(")[0].split("VALUES")[0][:40].strip())
        )
        while keeper.step(T0).more or pause:
            pass
        keeper.close()
        os.write(out, repr(dict(killer.hits)).encode())
        status = 0
    except BaseException:  # noqa: BLE001 - a child that fails must not go on as a second test run
        os.write(out, traceback.format_exc().encode())
    finally:
        os._exit(status)


def live(folder: Path, killer: Killer, after_s: float = 0.0) -> tuple[int, str]:
    """One life: its exit status (negative: the signal that ended it), and what it said."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(read)
        child(folder, killer, write, pause=after_s > 0)
    os.close(write)
    if after_s:
        time.sleep(after_s)
        os.kill(pid, signal.SIGKILL)
    with os.fdopen(read, "rb") as said:
        text = said.read().decode()
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), text


def check(folder: Path, world: World) -> None:
    kept = Kept(folder)
    kept.tick(world.end_ns + 2 * AFTER_NS)
    check_fills(kept, world)
    check_positions(kept, world)
    check_breaks(kept, world)
    kept.close()


def lives(seed: int, killed: Counter[str], *, instants: bool) -> None:
    """A whole history, read by as many lives as it takes."""
    rng = random.Random(seed)
    world = World(rng, NAMINGS[seed % 3])
    memory = "/dev/shm"  # SIGKILL asks nothing of a disk, and a disk's flushes would take most of the time
    folder = Path(tempfile.mkdtemp(prefix="qd-ledger-", dir=memory if os.path.isdir(memory) else None))
    try:
        writer = Writer(folder, world)
        status, said = live(folder, Killer())
        assert status == 0, said
        boundaries = list(literal_eval(said))
        while writer.write(rng.randint(1, 4)):
            if rng.random() < 0.5:
                continue
            if instants:
                status, said = live(folder, Killer(), rng.uniform(0.001, 0.02))
                killed["at a random instant"] += 1
            else:
                boundary = rng.choice(boundaries)
                status, said = live(folder, Killer(boundary, rng.randint(1, 3)))
                killed[boundary] += status == -signal.SIGKILL
            assert status in (0, -signal.SIGKILL), said
            if status == 0:
                boundaries = sorted({*boundaries, *literal_eval(said)})
        writer.close()
        status, said = live(folder, Killer())
        assert status == 0, said
        check(folder, world)
    finally:
        shutil.rmtree(folder)


def test_killed_before_any_statement_the_ledger_loses_and_doubles_nothing() -> None:
    killed: Counter[str] = Counter()
    seed = 0
    while killed.total() < KILLS:
        lives(seed, killed, instants=False)
        seed += 1
    for boundary, count in sorted(killed.items()):
        print(f"{count:5d}  {boundary}")
    assert {"BEGIN IMMEDIATE", "COMMIT", "INSERT OR REPLACE INTO fills"} <= set(killed)
    assert len(killed) >= 10


def test_killed_at_random_instants_the_ledger_loses_and_doubles_nothing() -> None:
    killed: Counter[str] = Counter()
    seed = 10_000
    while killed.total() < INSTANTS:
        lives(seed, killed, instants=True)
        seed += 1
