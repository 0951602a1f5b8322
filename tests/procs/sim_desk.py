"""A small desk for tests of the kill switch: its process, one trading process, and a simulated venue in this one."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import zmq

from base.clock import SystemClock
from base.config import DeskConfig, load
from base.errors import BusError, RegionError
from ipc.commands import CommandClient
from ipc.events import ExecutionReport
from ipc.journal import read_events
from ipc.owners import role_held
from ipc.readiness import read_status
from ipc.requests import Answer, AnyCommand, NewOrder, Ops
from ipc.roster import command_endpoint
from sim.desk import ensure_secrets, setup_of
from tests.procs.kill_venue import LOG_SHOWN, PATIENCE_S
from tests.sim.server import Running

FINAL = frozenset("2348C")  # OrdStatus(39)

ROOT = Path(__file__).resolve().parents[2]
HEAD = """
[desk]
name = "t"
run_dir = "r"
shm_dir = "{shm}"
gate_dir = "{shm}/connects"
environment = "sim"

[kill]
arm_at_start = true
strategies_arm_again = false
reset_cool_off_s = 0
lease_ms = {lease_ms}
fence_deadline_ms = 2000
{kill}
[kill.health.stuck]
max_ms = 60000
[kill.health.journal]
max_stall_ms = 60000

[venue.x]
dialect = "{dialect}"
{venue}
[venue.x.rest]
address = "run:sim-x#rest"
key = "run:secrets/rest.key"
secret = "run:secrets/rest.secret"
passphrase = "run:secrets/rest.phrase"
kill_key = "run:secrets/kill.key"
kill_secret = "run:secrets/kill.secret"
kill_passphrase = "run:secrets/kill.phrase"
ca_file = "run:sim-x.ca.pem"
lag_ms = {lag_ms}

[sim.x.options]
{sim}
"""
SESSION = """
[session.{name}]
venue = "x"
kind = "trading"
address = "run:sim-x#trading"
ca_file = "run:sim-x.ca.pem"
server_name = "localhost"
sender_comp_id = "{sender}"
target_comp_id = "{target}"
username = "run:secrets/{secret}.key"
password = "run:secrets/{secret}.secret"
passphrase = "run:secrets/{secret}.phrase"
{more}
"""
INSTRUMENTS = {
    "fix44": """instruments = [
    { name = "BTC-USD", symbol = "BTC-USD", px_scale = 2, qty_scale = 6 },
    { name = "ETH-USD", symbol = "ETH-USD", px_scale = 2, qty_scale = 6 },
]
""",
    "kraken": """instruments = [
    { name = "BTC-USD", symbol = "BTC/USD", px_scale = 1, qty_scale = 8 },
    { name = "ETH-USD", symbol = "ETH/USD", px_scale = 2, qty_scale = 8 },
]
""",
    "binance": """instruments = [
    { name = "BTC-USDT", symbol = "BTCUSDT", px_scale = 2, qty_scale = 6, lot_size = "0.00001" },
    { name = "ETH-USDT", symbol = "ETHUSDT", px_scale = 2, qty_scale = 6, lot_size = "0.0001" },
]
""",
}
INSTRUMENTS["gemini"] = (
    INSTRUMENTS["fix44"]
    .replace('symbol = "BTC-USD"', 'symbol = "BTCUSD"')
    .replace('symbol = "ETH-USD"', 'symbol = "ETHUSD"')
)
INSTRUMENTS["crypto_com"] = INSTRUMENTS["binance"].replace("BTCUSDT", "BTC_USDT").replace("ETHUSDT", "ETH_USDT")
INSTRUMENTS["bybit"] = INSTRUMENTS["binance"]
INSTRUMENTS["coinbase_prime"] = INSTRUMENTS["coinbase_exchange"] = INSTRUMENTS["fix44"]
OPTIONS = {
    "fix44": 'options = {{ rest = true, mass_cancel_reaches = "{reaches}", messages = ["D", "F", "H", "q"] }}\n',
    "kraken": 'options = { tier = "none" }\n',
    "binance": "",
    "bybit": "options = { creates_per_s = 200, cancels_per_s = 200 }\n",
    "coinbase_exchange": "",
    "crypto_com": "",
    "gemini": "options = { messages_per_s = 100 }\n",
    "coinbase_prime": 'options = { portfolio_id = "PF" }\n',
}
TARGET = {
    "fix44": "VENUE", "kraken": "KRAKEN-TRD", "binance": "SPOT", "coinbase_exchange": "Coinbase",
    "coinbase_prime": "COIN", "bybit": "BYBIT_FIX_SERVER", "gemini": "GEMINI", "crypto_com": "CDC.UD",
}  # fmt: skip


class SimDesk:
    """Trading session `trd`, kill session `own` where asked for, venue `x`."""

    def __init__(
        self, dialect: str = "fix44", *, own: bool = False, reaches: str = "account", kill: str = "", venue: str = "",
        sim: str = "", lag_ms: int = 50, session: str = "", lease_ms: int = 20_000,
    ) -> None:  # fmt: skip
        self.root = Path(tempfile.mkdtemp(prefix="qs", dir="/tmp"))
        self.shm = Path(tempfile.mkdtemp(prefix="qs", dir="/dev/shm"))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.placed: set[str] = set()  # by `place_working`
        self.trader: list[str] = ["-m", "procs.trading"]  # how the trading process is started
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._count = 0
        (self.root / "c").mkdir()
        options = OPTIONS[dialect].format(reaches=reaches) if dialect == "fix44" else OPTIONS[dialect]
        kill += '\nsessions = ["own"]' if own else ""
        text = HEAD.format(
            shm=self.shm, dialect=dialect, kill=kill, venue=venue + "\n" + INSTRUMENTS[dialect] + options,
            lag_ms=lag_ms, sim=sim, lease_ms=lease_ms,
        )  # fmt: skip
        secret = "one" if dialect == "binance" else "{}"  # there a session is told apart by its CompID alone
        for name, sender in (("trd", "TRD1"), ("own", "OWN1")):
            if name == "trd" or own:
                text += SESSION.format(
                    name=name, sender=sender, target=TARGET[dialect], secret=secret.format(name), more=session
                )
        (self.root / "c" / "desk.toml").write_text(text)
        self.desk: DeskConfig = load(self.root / "c" / "desk.toml")
        ensure_secrets(self.desk)
        self.venue = Running(dialect, setup_of(self.desk, "x"), self.desk.run_dir)
        self.instruments = self.desk.venue_instruments("x")

    # -- processes -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Everything, ready and armed."""
        for name in ("killswitch", "trd"):
            self.spawn(name)
        for name in ("killswitch", "trd"):
            self.wait(lambda n=name: self.readiness(n) == "READY", f"{name} ready")  # type: ignore[misc]

    def spawn(self, name: str) -> None:
        what = ["-m", "procs.killswitch"] if name == "killswitch" else [*self.trader, "--session", name]
        command = [sys.executable, *what, "--config", str(self.desk.path)]
        with open(self.root / f"{name}.out", "ab") as out:
            env = {**os.environ, "PYTHONPATH": str(ROOT)}
            self.processes[name] = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=out)

    def readiness(self, name: str) -> str:
        try:
            status = read_status(self.desk.shm_dir / "proc" / name)
        except RegionError:
            return ""
        return str(status.readiness) if status.pid == self.processes[name].pid else ""

    def kill(self, *names: str) -> None:
        for name in names:
            self.processes[name].kill()
        for name in names:
            self.processes[name].wait(PATIENCE_S)

    # -- commands ------------------------------------------------------------------------------------------------

    def request(self, process: str, make: Callable[[str, str], AnyCommand]) -> Answer:
        client = CommandClient(self.context, command_endpoint(self.desk, process), "test", SystemClock())
        try:
            return client.request(make(client.client_id, client.next_command_id()), 20_000)
        finally:
            client.close()

    def ask(self, verb: str, **args: str) -> Any:
        answer = self.request("killswitch", lambda client, command: Ops(client, command, 0, verb, args))
        assert answer.accepted, answer.reason
        return msgspec.json.decode(answer.data)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("status")
        return found

    def last_trip(self) -> dict[str, Any]:
        return self.status()["last_trip"] or {}

    def place(self, count: int = 1, instrument: int = 0) -> list[str]:
        """Buy orders far below the market; their ClOrdIDs."""
        i = self.instruments[instrument]
        found = []
        for _ in range(count):
            qty, price = 10 ** (i.qty_scale - 2), 10 * 10**i.px_scale
            answer = self.request(
                "trd",
                lambda client, command, q=qty, p=price: NewOrder(client, command, 0, "x", i.name, "1", "2", q, p),  # type: ignore[misc]
            )
            assert answer.accepted, answer.reason
            found.append(answer.cl_ord_id)
        return found

    def place_working(self, count: int = 1, instrument: int = 0) -> list[str]:
        """As `place`, and known to be working."""
        found = self.place(count, instrument)
        self.placed.update(found)

        def known() -> bool:
            now = self.working()  # an order of earlier may end meanwhile
            return now.issuperset(found) and self.status()["venues"]["x"]["working"] >= len(now & self.placed)

        self.wait(known, "orders known")
        return found

    def trip(self, scope: str = "desk") -> None:
        self.ask("trip", scope=scope, reason="test")

    def proven(self, within_s: float = PATIENCE_S) -> dict[str, Any]:
        self.wait(lambda: self.last_trip().get("phase") == "PROVEN", "proven", within_s)
        return self.last_trip()

    def reset(self, force: str = "") -> None:
        """Open again; the next test begins with an armed desk and a clean board."""
        self.venue.control("DELETE", "/faults")
        if self.status()["desk"] in ("TRIPPING", "TRIPPED"):
            self.proven()
            self.ask("reset", reason="next test", force=force)
        self.wait(lambda: self.status()["desk"] == "ARMED", "armed")
        self.wait(lambda: self.status()["venues"]["x"]["working"] == 0, "the ends of the last test's orders are known")
        self.wait(lambda: self.readiness("trd") == "READY", "ready")

    def working(self) -> set[str]:
        """ClOrdIDs that truly work at the venue."""
        return {o["cl_ord_id"] for o in self.venue.working()}

    def reported(self, cl_ord_id: str) -> bool:
        """Whether the owner has heard, and keeps, the order's last report."""
        events = (d.event for d in read_events(self.desk.data_dir / "trd"))
        return any(
            isinstance(e, ExecutionReport) and e.cl_ord_id == cl_ord_id and e.ord_status in FINAL for e in events
        )

    def wait(self, condition: Callable[[], object], what: str, within_s: float = PATIENCE_S) -> None:
        end = time.monotonic() + within_s
        while True:
            try:
                if condition():
                    return
            except BusError:
                pass
            if time.monotonic() > end:
                raise AssertionError(f"not within {within_s} s: {what}\n{self.logs()}")
            time.sleep(0.01)

    def logged(self, text: str) -> None:
        """Wait until a log says so: what a process does and what it says of it are two things."""
        self.wait(lambda: text in self.logs(), f"a log says {text!r}")

    def logs(self) -> str:
        found = [*self.root.glob("*.out"), *self.desk.log_dir.glob("*.log*")]
        return "\n".join(f"--- {p.name}\n{p.read_text()[-LOG_SHOWN:]}" for p in found)

    def close(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(PATIENCE_S)
        lock = self.desk.run_dir / "lock" / "trd"
        if role_held(lock):  # one that the kill switch started
            os.kill(int(lock.read_text().split()[0]), signal.SIGKILL)
        self.context.destroy(linger=0)
        self.venue.stop()
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.rmtree(self.shm, ignore_errors=True)
