"""The desk that `bench.kill` and `bench.kill_campaign` trip: three venues, a trading process on each, the kill switch.

Venues and desk are apart, each with a configuration, a run directory and status pages of its own, so that whatever
happens to the desk leaves the venues' records alone. Between them is a tap (bench/kill_tap.py), hence plain TCP.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from base.config import DeskConfig, load
from base.errors import BusError, CommandError, QuarterdeckError
from bench.kill_tap import Heard
from bench.soak_desk import VENUES as DIALECTS
from bench.soak_desk import wait
from ipc.readiness import Readiness, read_all
from ipc.requests import Ops
from quarterdeck import supervisord
from quarterdeck.orders import Operator
from sim.client import call, control_of

READY_S: Final = 240.0  # on a machine that has much else to do, processes start slowly
NAMES: Final = "repeat the list: "  # in the refusal of a reset
VENUES: Final = tuple(DIALECTS)

VENUE = """
[venue.{venue}]
dialect = "{dialect}"
instruments = [
{instruments}]
{options}
[venue.{venue}.rest]
address = "http://run:tap-{venue}#rest"
key = "file:{secrets}/{venue}.key"
secret = "file:{secrets}/{venue}.secret"
kill_key = "file:{secrets}/{venue}-kill.key"
kill_secret = "file:{secrets}/{venue}-kill.secret"
lag_ms = {lag_ms}
balances_every_s = 0
"""
SIM = """
[sim.{venue}]
seed = {seed}
messages_per_s = {rate}
plain = true
options = {{ {options} }}
"""
SESSION = """
[session.{name}]
venue = "{venue}"
kind = "{kind}"
address = "{address}"
tls = false
heartbeat_s = {heartbeat}
sender_comp_id = "{sender}"
{alternate}target_comp_id = "{target}"
username = "file:{secrets}/{key}.key"
password = "file:{secrets}/{key}.secret"
{more}"""

# session: venue, SenderCompID, the other one, TargetCompID, credentials
SESSIONS: Final = {
    "kraken-trd": ("kraken", "QDDESK1", "", "KRAKEN-TRD", "kraken-fix"),
    "binance-trd": ("binance", "QDTRD1", "QDTRD2", "SPOT", "binance"),
    "peer-trd": ("peer", "QDPEER", "", "VENUE", "peer-fix"),
    "binance-kill": ("binance", "QDKILL1", "QDKILL2", "SPOT", "binance"),
}
TRADING: Final = {v: f"{v}-trd" for v in VENUES}
STRATEGIES: Final = ("alpha", "beta")
SIM_OPTIONS: Final = {
    # What the venue counts is none of what is measured here.
    "binance": "unfilled_10s = 1000000, unfilled_day = 100000000, weight_1m = 1000000, oe_messages_10s = 1000000",
    "peer": 'on_disconnect = "keeps"',
}


class Feed(msgspec.Struct, frozen=True):
    """A market-data session; its line does not lead through the tap."""

    name: str
    venue: str
    address: str
    sender: str
    target: str
    depth: int
    instruments: tuple[str, ...] = ()  # all of the venue


def configuration(
    name: str, head: str, secrets: Path, *, sims: bool, seed: int, rate: int, heartbeat_s: int, lag_ms: int,
    feeds: tuple[Feed, ...] = (), more: str = "",
) -> str:  # fmt: skip
    """The desk (`sims` false) or its venues as TOML; both name the same sessions and credentials. `more`: keys of each
    order-entry session.
    """
    where = "run:secrets" if sims else f"file:{secrets}"
    parts = [f'[desk]\nname = "{name}"\nenvironment = "test"\nlog_budget_mb = 1000\n{head}']
    for n, (venue, (dialect, instruments, options, _, _)) in enumerate(DIALECTS.items()):
        text = VENUE.format(
            venue=venue, dialect=dialect, instruments=instruments, options=options, secrets="@", lag_ms=lag_ms
        )
        parts.append(text.replace("file:@", where))
        if sims:
            parts.append(SIM.format(venue=venue, seed=seed + n, rate=rate, options=SIM_OPTIONS.get(venue, "")))
    for session, (venue, sender, other, target, key) in SESSIONS.items():
        text = SESSION.format(
            name=session, venue=venue, kind="trading", address=f"run:tap-{venue}#trading", heartbeat=heartbeat_s,
            sender=sender, target=target, key=key, secrets="@", more="" if sims else more,
            alternate=f'alternate_sender_comp_id = "{other}"\n' if other else "",
        )  # fmt: skip
        parts.append(text.replace("file:@", where))
    for feed in feeds:
        text = SESSION.format(
            name=feed.name, venue=feed.venue, kind="marketdata", address=feed.address, heartbeat=30, sender=feed.sender,
            target=feed.target, key=SESSIONS[TRADING[feed.venue]][4], secrets="@", alternate="",
            more=f"depth = {feed.depth}\ninstruments = {json.dumps(feed.instruments)}\n",
        )  # fmt: skip
        parts.append(text.replace("file:@", where))
    if feeds and not sims:
        parts.append(f"[book.l2]\nsessions = {json.dumps([f.name for f in feeds])}\nlevels = 20000\n")
    return "".join(parts)


class Venues:
    """The simulated venues and the tap, in a folder of their own."""

    def __init__(
        self, folder: Path, run_dir: Path, *, seed: int, rate: int, heartbeat_s: int, lag_ms: int,
        feeds: tuple[Feed, ...] = (),
    ) -> None:  # fmt: skip
        """`run_dir`: of the desk, where the tap's address files go."""
        self.folder = folder
        (folder / "config").mkdir(parents=True)
        path = folder / "config" / "venues.toml"
        text = configuration(
            "venues", "", Path(), sims=True, seed=seed, rate=rate, heartbeat_s=heartbeat_s, lag_ms=lag_ms, feeds=feeds
        )
        path.write_text(text)
        self.config = load(path)
        self.tap_log = folder / "tap.jsonl"
        self._desk_run_dir = run_dir
        self._sims: dict[str, subprocess.Popen[bytes]] = {}
        self._tap: subprocess.Popen[bytes] | None = None
        self._read_to = 0

    @property
    def secrets(self) -> Path:
        """Where the venues put the desk's credentials."""
        return self.config.run_dir / "secrets"

    def start(self) -> None:
        """All of it stands when this returns. QuarterdeckError: it does not."""
        self._desk_run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.config.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        for venue in VENUES:
            self._sims[venue] = child("procs.simvenue", "--config", str(self.config.path), "--venue", venue)

        def listens() -> bool:
            if any(p.poll() is not None for p in self._sims.values()):
                raise QuarterdeckError(f"a simulated venue ended at once; its log is in {self.config.log_dir}")
            return all((self.config.run_dir / f"sim-{v}.json").exists() for v in VENUES)

        if not wait(listens, READY_S):
            raise QuarterdeckError(f"the simulated venues did not listen within {READY_S:g} s")
        arguments = (str(self._desk_run_dir), str(self.config.run_dir), str(self.tap_log), *VENUES)
        self._tap = child("bench.kill_tap", *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._tap.stdout is not None
        if not self._tap.stdout.readline():
            raise QuarterdeckError(f"the tap ended at once, status {self._tap.wait()}")

    def stop(self) -> None:
        """Nothing of it runs afterwards."""
        for venue in self._sims:
            self.signal(venue, signal.SIGCONT)
        end(self._sims.values())
        if self._tap is not None:
            assert self._tap.stdin is not None
            self._tap.stdin.close()
            end([self._tap])
        shutil.rmtree(self.config.shm_dir, ignore_errors=True)

    def signal(self, venue: str, number: int) -> None:
        """Send a signal to a venue's process: SIGSTOP is a venue that takes and does not answer."""
        self._sims[venue].send_signal(number)

    def tap(self, do: str, venue: str, service: str, seconds: float = 0.0) -> None:
        """Have something go wrong on the lines: stall, cut, deaf, refuse, heal."""
        assert self._tap is not None
        assert self._tap.stdin is not None
        line = json.dumps({"do": do, "venue": venue, "service": service, "seconds": seconds})
        self._tap.stdin.write(line.encode() + b"\n")
        self._tap.stdin.flush()

    def heard(self) -> list[Heard]:
        """What reached the venues' edge since the last call."""
        with self.tap_log.open("rb") as file:
            file.seek(self._read_to)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read_to += len(whole)
        return [msgspec.json.decode(line, type=Heard) for line in whole.splitlines()]

    def ask(self, venue: str, method: str, path: str, body: object = None) -> dict[str, Any]:
        """A call to a venue's control endpoint. CommandError when it does not answer."""
        return call(control_of(self.config, venue), method, path, body)

    def working(self, venue: str) -> list[dict[str, Any]]:
        """What truly works there."""
        orders: list[dict[str, Any]] = self.ask(venue, "GET", "/working")["orders"]
        return orders

    def record(self, venue: str, begin: int = 0) -> Iterator[dict[str, Any]]:
        """Every order that it ever had, from number `begin` on."""
        while True:
            page = self.ask(venue, "GET", f"/record/orders?from={begin}")
            yield from page["orders"]
            begin = page["next"]
            if not begin:
                return


class KillSwitchPerson:
    """Who operates the kill switch over its command socket, with one connection kept."""

    def __init__(self, desk: DeskConfig) -> None:
        self.desk = desk
        self._operator = Operator(desk)

    def ask(self, verb: str, *, timeout_ms: int = 2_000, **args: str) -> dict[str, Any]:
        """A verb of the kill switch. CommandError: refused. BusError: no answer."""
        client = self._operator.client("killswitch")
        command = Ops(client.client_id, client.next_command_id(), 0, verb, {**args, "by": "bench"})
        try:
            answer = client.request(command, timeout_ms)
        except BusError:
            self.renew()
            raise
        if not answer.accepted:
            raise CommandError(answer.reason)
        found: dict[str, Any] = msgspec.json.decode(answer.data)
        return found

    def force(self, scope: str, reason: str) -> list[str]:
        """Reset a scope; what stands open is repeated as the refusal lists it. Answers what had to be named."""
        try:
            self.ask("reset", scope=scope, reason=reason)
        except CommandError as e:
            _, mark, names = str(e).rpartition(NAMES)
            if not mark:
                raise
            self.ask("reset", scope=scope, reason=reason, force=names)
            return names.split()
        return []

    def renew(self) -> None:
        """Another connection: answers to what was given up must not be taken for others."""
        self.close()
        self._operator = Operator(self.desk)

    def close(self) -> None:
        """Let go of it."""
        self._operator.__exit__()


def child(module: str, *arguments: str, **more: Any) -> subprocess.Popen[bytes]:
    """A process of this project in a session of its own, its words thrown away unless asked for."""
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **more}
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(
        command, cwd=supervisord.ROOT, env=supervisord.environment(), start_new_session=True, **given
    )


def end(processes: Any, seconds: float = 15.0) -> None:
    """SIGTERM, then SIGKILL for what does not go."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ready(desk: DeskConfig, names: tuple[str, ...]) -> bool:
    """Whether these processes are READY, with a heartbeat of the last second."""
    pages = read_all(desk.shm_dir / "proc") if (desk.shm_dir / "proc").is_dir() else {}
    now_ns = time.monotonic_ns()
    found = [pages.get(n) for n in names]
    return all(p is not None and p.readiness == Readiness.READY and now_ns - p.beat_mono_ns < 10**9 for p in found)


def until(condition: Callable[[], object], seconds: float, what: str | Callable[[], str]) -> None:
    """QuarterdeckError when it does not hold in time."""
    if not wait(lambda: bool(condition()), seconds, 0.02):
        raise QuarterdeckError(f"not within {seconds:g} s: {what() if callable(what) else what}")


def kill_pid(pid: int, number: int) -> bool:
    """Whether the process was there to be sent the signal."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
