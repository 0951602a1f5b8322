"""A process that cannot begin says why: in its readiness word, in one line of its log, and by its exit status."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from base.locks import RoleLock
from base.segment_file import HEAD_SIZE, HEADER_SIZE, segment_path
from fix.file_store import FileStore
from ipc.events import OrderState
from ipc.journal import Journal, read_events
from ipc.readiness import Readiness, Status, read_status

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60
CONFIG = """
[desk]
name = "t"
environment = "sim"
shm_dir = "{shm}"
[venue.v]
dialect = "fix44"
instruments = [{{ name = "BTC-USD", symbol = "BTC/USD", px_scale = 1, qty_scale = 3 }}]
[session.trd]
venue = "v"
kind = "trading"
address = "run:sim-v#trading"
sender_comp_id = "A"
target_comp_id = "V"
[session.dc]
venue = "v"
kind = "dropcopy"
address = "run:sim-v#dropcopy"
sender_comp_id = "D"
target_comp_id = "V"
[session.md]
venue = "v"
kind = "marketdata"
address = "run:sim-v#marketdata"
sender_comp_id = "M"
target_comp_id = "V"
"""


class Place:
    """A desk's folders, and processes started on them."""

    def __init__(self, root: Path, shm: Path) -> None:
        self.root, self.shm = root, shm
        (root / "config").mkdir()
        self.config = root / "config" / "desk.toml"
        self.config.write_text(CONFIG.format(shm=shm))
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, kind: str, session: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", f"procs.{kind}", "--config", str(self.config), "--session", session]
        environment = {**os.environ, "QD_STATE_DIR": str(self.root)}
        self.processes.append(
            subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        )
        return self.processes[-1]

    def run(self, kind: str, session: str) -> tuple[int, str]:
        """Exit status, and what it wrote to stderr."""
        process = self.start(kind, session)
        _, said = process.communicate(timeout=DEADLINE_S)
        return process.returncode, said.decode()

    def status(self, session: str) -> Status:
        return read_status(self.shm / "proc" / session)

    def log_lines(self, session: str) -> list[str]:
        return [line for line in (self.root / "log" / f"{session}.log").read_text().splitlines() if line]

    def damage(self, folder: Path, prefix: str) -> None:
        """Turn a byte of the first record's payload."""
        path = segment_path(folder, prefix, 1)
        raw = bytearray(path.read_bytes())
        raw[HEADER_SIZE + HEAD_SIZE] ^= 0xFF
        path.write_bytes(raw)


@pytest.fixture
def place() -> Iterator[Place]:
    root = Path(tempfile.mkdtemp(prefix="qs", dir="/tmp"))  # short: names of sockets are limited
    shm = Path(tempfile.mkdtemp(prefix="qs", dir="/dev/shm"))
    made = Place(root, shm)
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=DEADLINE_S)
    shutil.rmtree(root)
    shutil.rmtree(shm)


def damaged_store(place: Place) -> str:
    folder = place.root / "data" / "trd" / "A"
    store = FileStore(folder, 1)
    store.sent(1, b"a message")
    store._reader.close()
    store._log.abandon()
    place.damage(folder, "store")
    return f"trd/A/store-0000000001.seg: offset {HEADER_SIZE}: "


def damaged_journal(session: str) -> Callable[[Place], str]:
    def damage(place: Place) -> str:
        folder = place.root / "data" / session
        journal = Journal(folder, 1)
        journal.order_id("c", "1", "X", 1)
        journal._reader.close()
        journal._writer.abandon()
        place.damage(folder, "journal")
        return f"{session}/journal-0000000001.seg: offset {HEADER_SIZE}: "

    return damage


@pytest.mark.parametrize(
    ("kind", "session", "damage"),
    [
        ("trading", "trd", damaged_store),
        ("trading", "trd", damaged_journal("trd")),
        ("dropcopy", "dc", damaged_journal("dc")),
    ],
    ids=["store", "journal", "drop-copy journal"],
)
def test_a_damaged_file_is_named_with_its_offset(
    place: Place, kind: str, session: str, damage: Callable[[Place], str]
) -> None:
    named = damage(place)
    status, stderr = place.run(kind, session)
    assert status == 1
    page = place.status(session)
    assert (page.readiness, page.reason.partition(named)[0]) == (Readiness.STARTING, "could not start: ")
    lines = [line for line in place.log_lines(session) if "could not start" in line]
    assert len(lines) == 1
    assert named in lines[0]
    assert "Traceback" not in stderr + "".join(place.log_lines(session))


def test_a_configuration_that_only_the_process_can_judge_is_named_too(place: Place) -> None:
    status, _ = place.run("marketdata", "md")
    assert status == 1
    assert "no [book.*] lists session 'md'" in place.status("md").reason


def test_a_store_that_somebody_else_holds_is_named_with_its_holder(place: Place) -> None:
    folder = place.root / "data" / "trd" / "A"
    folder.mkdir(parents=True)
    lock = RoleLock(folder / "store.lock")
    lock.acquire(1)
    status, _ = place.run("trading", "trd")
    lock.release()
    assert status == 1
    assert f"is held by pid {os.getpid()}" in place.status("trd").reason


def test_a_failed_start_leaves_nothing_behind_that_stops_the_next_one(place: Place) -> None:
    damaged_journal("trd")(place)
    assert place.run("trading", "trd")[0] == 1
    for segment in (place.root / "data" / "trd").glob("journal-*"):
        segment.unlink()
    process = place.start("trading", "trd")
    wait_for(lambda: place.status("trd").readiness == Readiness.RECOVERING)
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == 0


def test_a_command_whose_order_was_never_written_gets_an_end(place: Place) -> None:
    """The process died between the command's id and the order: it had not been sent, and its client hears that."""
    folder = place.root / "data" / "trd"
    journal = Journal(folder, 1)
    journal.order_id("client", "7", "X7", 1)
    journal.close()
    process = place.start("trading", "trd")
    wait_for(lambda: (place.shm / "proc" / "trd").exists() and place.status("trd").readiness == Readiness.RECOVERING)
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == 0
    found = [d.event for d in read_events(folder) if isinstance(d.event, OrderState)]
    assert [(e.cl_ord_id, e.state, e.client_id, e.command_id) for e in found] == [("X7", "REJECTED", "client", "7")]
    assert place.start("trading", "trd").poll() is None
    wait_for(lambda: place.status("trd").pid == place.processes[-1].pid)
    wait_for(lambda: place.status("trd").readiness == Readiness.RECOVERING)
    again = [d.event for d in read_events(folder) if isinstance(d.event, OrderState)]
    assert len(again) == 1, "it is said once"


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
