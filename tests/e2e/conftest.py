"""A whole desk under a real supervisord, on simulated venues, in a place of its own."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from base.config import DeskConfig, load
from ipc.view.status import DeskView, read_desk
from quarterdeck import supervisord
from sim.client import call, control_of

ROOT = Path(__file__).resolve().parents[2]
READY_S = 120.0


def wait_for(condition: Callable[[], Any], seconds: float, what: str | Callable[[], object]) -> Any:
    """The first true answer of `condition`; fails naming `what`, asked for only then, when `seconds` go by."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.02)


class RunningDesk:
    """A desk that runs, and what a person does with it."""

    def __init__(self, desk: DeskConfig) -> None:
        self.desk = desk

    def qd(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run `qd`; commands that take a configuration get this desk's."""
        command = [sys.executable, "-m", "quarterdeck.cli", *arguments]
        return subprocess.run(
            command,
            cwd=ROOT,
            env=supervisord.environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def ask(self, *arguments: str) -> Any:
        """`qd ... --json --config THIS`, as an object."""
        done = self.qd(*arguments, "--json", "--config", str(self.desk.path))
        assert done.stdout, f"{arguments}: {done.stderr}"
        return json.loads(done.stdout)

    def view(self) -> DeskView:
        return read_desk(self.desk)

    def pid(self, process: str) -> int:
        return next(p.pid for p in self.view().processes if p.name == process)

    def wait_ready(self, seconds: float = READY_S) -> DeskView:
        wait_for(lambda: self.view().ready, seconds, lambda: f"desk ready: {self.unready()}")
        return self.view()

    def unready(self) -> list[str]:
        return [f"{p.name} {p.readiness} {p.reason}" for p in self.view().processes if p.readiness != "READY"]

    def readiness(self, process: str) -> str:
        return next(p.readiness for p in self.view().processes if p.name == process)

    def venue(self, venue: str, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The simulated venue's control endpoint."""
        return call(control_of(self.desk, venue), method, path, body)

    def working(self, venue: str) -> list[dict[str, Any]]:
        """Orders of this desk that truly work at the venue."""
        mine = {s.sender_comp_id for s in self.desk.config.session.values()}
        found: list[dict[str, Any]] = self.venue(venue, "GET", "/working")["orders"]
        return [o for o in found if o["session"] in mine]

    def reset(self, reason: str) -> None:
        """Open what is tripped, as a person would, once every trip is over."""
        config = ("--config", str(self.desk.path))
        states: dict[str, str] = {}

        def over() -> bool:
            states.clear()
            states.update({s["scope"]: s["state"] for s in self.ask("kill", "status")["scopes"]})
            return "TRIPPING" not in states.values()

        wait_for(over, 120, lambda: f"trips are over: {states}")
        for scope in [scope for scope, state in states.items() if state == "TRIPPED"]:
            done = self.qd("kill", "reset", "--scope", scope, "--reason", reason, *config)
            assert done.returncode == 0, done.stderr + done.stdout
        wait_for(lambda: self.view().gate == "ARMED", 60, "armed again")
        self.wait_ready()

    def order(self, venue: str, instrument: str, side: str, qty: str, price: str) -> str:
        """Place an order by hand; its ClOrdID."""
        done = self.qd("order", venue, instrument, side, qty, "--price", price, "--config", str(self.desk.path))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def make_desk(folder: Path, change: Callable[[str], str] = lambda text: text, *, whole: bool = False) -> DeskConfig:
    """The default desk's configuration, changed as told, with all state below `folder`. Two of its venues, Kraken and
    Binance, unless it is to be `whole`: twenty processes that start take two cores long.
    """
    (folder / "config").mkdir(parents=True)
    path = folder / "config" / "desk.toml"
    text = (ROOT / "config" / "desk.toml").read_text()
    path.write_text(change(text if whole else two_venues(text)))
    return load(path)


def two_venues(text: str) -> str:
    """A configuration without the tables of Coinbase Exchange and Deribit, and without the page."""
    tables = re.split(r"(?m)^(?=\[)", text)
    other = r"\[+(venue|sim|session)\.(coinbase-exchange|deribit|cbx|drb)\b|\[monitor\]"
    mine = [t for t in tables if not re.match(other, t)]
    mine = [t for t in mine if 'scope = "venue:coinbase-exchange"' not in t and 'scope = "venue:deribit"' not in t]
    found = re.sub(r', "(cbx|drb)-md"', "", "".join(mine))
    assert not re.search("cbx-|drb-", found), found
    return found


def lenient(text: str) -> str:
    """For tests of other things: orders need no live book, and go on after a reset without being armed again."""
    text = re.sub(r"^price_collar_pct = .*\n", "", patient(text), flags=re.MULTILINE)
    return text.replace("[kill]\n", "[kill]\nstrategies_arm_again = false\n", 1)


def patient(text: str, *, fence_ms: int = 2000) -> str:
    """A machine that is busy with other tests may hold up a process for a while: nothing trips or is killed of it."""
    text = text.replace("[kill]\n", f"[kill]\nlease_ms = 5000\nfence_deadline_ms = {fence_ms}\n", 1)
    return text + "\n[kill.health.stuck]\nmax_ms = 60000\n[kill.health.journal]\nmax_stall_ms = 60000\n"


def run_desk(desk: DeskConfig) -> Iterator[RunningDesk]:
    """Start, hand over, stop; nothing of it is left."""
    supervisord.start(desk)
    running = RunningDesk(desk)
    try:
        running.wait_ready()
        yield running
    finally:
        end_desk(desk)


def end_desk(desk: DeskConfig) -> None:
    """Stop in order; what a test left behind is ended, too."""
    try:
        if supervisord.running(desk):
            supervisord.stop(desk)
    finally:
        supervisord.end_all(desk)
        shutil.rmtree(desk.shm_dir, ignore_errors=True)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: Unix sockets have room for 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="qd-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def desk() -> Iterator[RunningDesk]:
    """One desk for a module's tests; each must leave it ready."""
    path = Path(tempfile.mkdtemp(prefix="qd-"))
    try:
        yield from run_desk(make_desk(path, lenient))
    finally:
        shutil.rmtree(path, ignore_errors=True)
