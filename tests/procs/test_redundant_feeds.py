"""Two market-data sessions of one venue, as processes: the books go on whichever of them dies, and are the venue's."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import quarterdeck as qd
from base.config import load
from base.errors import BookError, RegionError
from ipc.books import BookRegion, BookState
from ipc.events import BookSource
from ipc.readiness import read_status
from sim.desk import ensure_secrets, setup_of
from sim.flow import Crowd
from sim.orders import BUY, SELL
from tests.procs.kill_venue import PATIENCE_S
from tests.sim.server import Running

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
[desk]
name = "t"
run_dir = "r"
shm_dir = "{shm}"
gate_dir = "{shm}/connects"
environment = "sim"

[venue.x]
dialect = "fix44"
instruments = [
    {{ name = "BTC-USD", symbol = "BTC-USD", px_scale = 2, qty_scale = 6 }},
    {{ name = "ETH-USD", symbol = "ETH-USD", px_scale = 2, qty_scale = 6 }},
]

[book.l2]
sessions = ["md", "md2"]

[sim.x]
"""
SESSION = """
[session.{name}]
venue = "x"
kind = "marketdata"
address = "run:sim-x#marketdata"
ca_file = "run:sim-x.ca.pem"
server_name = "localhost"
sender_comp_id = "{name}"
target_comp_id = "VENUE"
username = "run:secrets/{name}.key"
password = "run:secrets/{name}.secret"
{more}
"""


class Desk:
    """A simulated venue in this process; two sessions and a shard in processes of their own."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="qb", dir="/tmp"))
        self.shm = Path(tempfile.mkdtemp(prefix="qb", dir="/dev/shm"))
        (self.root / "c").mkdir()
        path = self.root / "c" / "desk.toml"
        sessions = SESSION.format(name="md", more="") + SESSION.format(name="md2", more='redundant_with = "md"')
        path.write_text(CONFIG.format(shm=self.shm) + sessions)
        self.desk = load(path)
        ensure_secrets(self.desk)
        crowd = lambda v: Crowd(v.exchange, 3, 100, {})  # noqa: E731
        self.venue = Running("fix44", setup_of(self.desk, "x"), self.desk.run_dir, source=crowd)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.client = qd.connect(path)
        self.client.subscribe("state.book-l2")
        self.sources: list[BookSource] = []

    def spawn(self, *arguments: str) -> None:
        name = arguments[-1]
        command = [sys.executable, "-m", *arguments[:-1], name, "--config", str(self.desk.path)]
        with open(self.root / f"{name}.out", "ab") as out:
            env = {**os.environ, "PYTHONPATH": str(ROOT)}
            self.processes[name] = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=out)

    def feed(self, name: str) -> None:
        self.spawn("procs.marketdata", "--session", name)
        self.wait(lambda: self.word(name) == "READY", f"{name} ready")

    def word(self, process: str) -> str:
        """Readiness of a process that this test started, with the reason."""
        try:
            status = read_status(self.shm / "proc" / process)
        except RegionError:
            return ""
        mine = status.pid == self.processes[process.removeprefix("book-")].pid
        return f"{status.readiness} {status.reason}".strip() if mine else ""

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait(PATIENCE_S)

    def live(self) -> bool:
        self.sources += [d.event for d in self.client.poll(0) if isinstance(d.event, BookSource)]
        return all(self.client.book("x", i).status()[0] == BookState.LIVE for i in ("BTC-USD", "ETH-USD"))

    def told(self) -> dict[str, str]:
        """Where the books are taken from, by the last word of it."""
        return {e.instrument: e.session for e in self.sources}

    def is_the_venues(self) -> bool:
        """Both books, to the last level."""
        for instrument in ("BTC-USD", "ETH-USD"):
            market = self.venue.venue.exchange.markets[instrument]
            try:
                bids, asks = BookRegion.open(self.shm / "book-l2").book("x", instrument).depth(0)
            except BookError:
                return False
            found = [[(px, qty) for px, qty, _ in side] for side in (bids, asks)]
            if found != [market.public_levels(side) for side in (BUY, SELL)]:
                return False
        return True

    def wait(self, condition: object, what: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():  # type: ignore[operator]
            if time.monotonic() > end:
                logs = "\n".join(f"--- {p.name}\n{p.read_text()[-5_000:]}" for p in self.desk.log_dir.glob("*.log"))
                raise AssertionError(f"not within {PATIENCE_S} s: {what}\n{logs}")
            time.sleep(0.01)

    def close(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait(PATIENCE_S)
        self.client.close()
        self.venue.stop()
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.rmtree(self.shm, ignore_errors=True)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    try:
        yield made
    finally:
        made.close()


def test_books_go_over_to_the_session_that_lives_and_are_the_venues(desk: Desk) -> None:
    """On a machine that stands still for a second they may go over more often: what counts is where they end."""
    desk.spawn("procs.book", "--shard", "l2")
    desk.feed("md")
    desk.wait(lambda: (desk.shm / "book-l2").exists() and desk.live(), "live")
    desk.feed("md2")
    desk.kill("md")
    desk.wait(lambda: desk.live() and desk.word("book-l2") == "READY 2 books from md2", "gone over")
    desk.wait(lambda: desk.live() and desk.told() == {"BTC-USD": "md2", "ETH-USD": "md2"}, "said to strategies")
    desk.feed("md")
    desk.kill("md2")
    desk.wait(lambda: desk.live() and desk.word("book-l2") == "READY", "and back")
    desk.wait(lambda: desk.live() and desk.told() == {"BTC-USD": "md", "ETH-USD": "md"}, "said as well")
    desk.venue.server.source = None
    desk.wait(desk.is_the_venues, "the books are the venue's")
