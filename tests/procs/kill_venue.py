"""Venue and desk of the kill switch's process tests: real processes, sockets and shared memory in a directory."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import zmq

from base.clock import SystemClock
from base.config import DeskConfig, load
from base.errors import BusError, RegionError
from base.locks import RoleLock
from ipc.commands import CommandClient
from ipc.events import ExecutionReport
from ipc.journal import read_events
from ipc.operator_client import line_path
from ipc.owners import role_held
from ipc.readiness import read_status
from ipc.requests import Answer, Ops
from ipc.roster import command_endpoint

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
[desk]
name = "t"
run_dir = "r"
shm_dir = "{shm}"
environment = "test"

[kill]
arm_at_start = {arm}
lease_ms = {lease}
fence_deadline_ms = {fence}
proof_deadline_s = {proof}
session_loss_grace_s = 1
reset_cool_off_s = 0
{limits}
{health}

[venue.x]
dialect = "fix44"
options = {{ rest = true, messages = ["D", "F", "H"] }}
instruments = [
    {{ name = "BTC-USD", symbol = "BTC/USD", px_scale = 1, qty_scale = 8 }},
    {{ name = "ETH-USD", symbol = "ETH/USD", px_scale = 2, qty_scale = 8 }},
]

[venue.x.rest]
address = "http://127.0.0.1:{port}"
lag_ms = {lag}

{sessions}
"""
SESSION = """
[session.{name}]
venue = "x"
kind = "trading"
address = "127.0.0.1:1"
sender_comp_id = "{name}"
target_comp_id = "X"
"""


class Venue:
    """Orders of one account, over HTTP. `losing`: reports of these sessions vanish; `down`: REST refuses everything."""

    def __init__(self) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self.told: dict[str, list[dict[str, Any]]] = {}
        self.losing: set[str] = set()
        self.down = False
        self.deaf = False  # cancels do nothing
        self.cancelled_all_at: list[float] = []
        self.lock = threading.Lock()
        venue = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None: ...

            def _go(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                status, body = venue.serve(self.command, self.path, self.rfile.read(size) if size else b"")
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = _go  # noqa: N815 - names that http.server calls

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        with self.lock:
            parts = path.partition("?")[0].strip("/").split("/")
            if parts[0] == "reports":
                return 200, self.told.get(parts[1], [])[int(parts[2]) :]
            if method == "POST":
                order = json.loads(body)
                order |= {"order_id": f"V{len(self.orders) + 1}", "ord_status": "0", "cum_qty": "0"}
                self.orders[order["cl_ord_id"]] = order
                self._tell(order, "0")
                return 200, {}
            if method == "DELETE" and len(parts) == 2:
                name = next((c for c, o in self.orders.items() if parts[1] in (c, o["order_id"])), "")
                return (200, {"cancelled": self._cancel(name)}) if name else (404, {"error": "unknown order"})
            if self.down:
                return 503, {"error": "maintenance"}
            if method == "DELETE":
                self.cancelled_all_at.append(time.monotonic())
                return 200, {"cancelled": sum(self._cancel(c) for c in list(self.orders))}
            if len(parts) == 2:
                found = self.orders.get(parts[1])
                return (200, self._line(found)) if found else (404, {})
            return 200, {"orders": [self._line(o) for o in self.orders.values() if o["ord_status"] == "0"]}

    @property
    def alive(self) -> int:
        with self.lock:
            return sum(o["ord_status"] == "0" for o in self.orders.values())

    def fill(self, cl_ord_id: str) -> None:
        with self.lock:
            order = self.orders[cl_ord_id]
            order |= {"ord_status": "2", "cum_qty": "0.000001"}
            self._tell(order, "F")

    def _cancel(self, cl_ord_id: str) -> int:
        order = self.orders.get(cl_ord_id)
        if order is None or order["ord_status"] != "0" or self.deaf:
            return 0
        order["ord_status"] = "4"
        self._tell(order, "4")
        return 1

    def _tell(self, order: dict[str, Any], exec_type: str) -> None:
        if order["session"] not in self.losing or exec_type == "0":
            told = self.told.setdefault(order["session"], [])
            cum = 100 if order["ord_status"] == "2" else 0
            told.append(
                {"cl_ord_id": order["cl_ord_id"], "order_id": order["order_id"], "ord_status": order["ord_status"],
                 "exec_type": exec_type, "exec_id": f"{order['session']}{len(told)}", "cum_qty": cum}
            )  # fmt: skip

    @staticmethod
    def _line(order: dict[str, Any]) -> dict[str, str]:
        names = ("order_id", "cl_ord_id", "symbol", "ord_status", "cum_qty")
        return {n: order[n] for n in names} | {"side": "1", "order_qty": "0.000001", "price": "0.1"}

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


# What a starved machine would trip by: it is no matter here, but where a test is of it.
PATIENT = """
[kill.health.stuck]
max_ms = 60000
[kill.health.journal]
max_stall_ms = 60000
"""
PATIENCE_S = 60.0
LOG_SHOWN = 100_000  # characters of each log: what a test waits for must not be pushed out by what follows it


class KillDesk:
    """A desk of fake owners, a venue and the kill switch.

    `fence_ms`, `lease_ms`: longer than production's, since a machine that is busy with other tests may hold up a
    process for so long; a test that waits for such a deadline to pass makes it short.
    """

    def __init__(self, root: Path, shm: Path, *, owners: tuple[str, ...] = ("a", "b"), arm: bool = True,
                 limits: str = "", lag_ms: int = 50, proof_s: int = 30, more: str = "", fence_ms: int = 2000,
                 lease_ms: int = 20_000) -> None:  # fmt: skip
        self.venue = Venue()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        (root / "c").mkdir(parents=True)
        text = CONFIG.format(
            shm=shm, port=self.venue.port, arm=str(arm).lower(), limits=limits, lag=lag_ms, proof=proof_s,
            fence=fence_ms, lease=lease_ms, health="" if "[kill.health" in limits else PATIENT,
            sessions="".join(SESSION.format(name=o) for o in owners) + more,
        )  # fmt: skip
        (root / "c" / "desk.toml").write_text(text)
        self.desk: DeskConfig = load(root / "c" / "desk.toml")
        self.owners = owners
        self.prefix: dict[str, tuple[str, ...]] = {}  # what a process's command begins with

    def spawn(self, name: str) -> None:
        """Start the kill switch, the alarms process or an owner."""
        what = (
            ["-m", f"procs.{name}"]
            if name in ("killswitch", "alarms")
            else [str(ROOT / "tests/procs/fake_owner.py"), "--session", name]
        )
        command = [*self.prefix.get(name, ()), sys.executable, *what, "--config", str(self.desk.path)]
        log = open(self.desk.path.parent / f"{name}.out", "ab")  # noqa: SIM115 - the child has it
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.processes[name] = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
        log.close()

    def start(self, orders: int = 0, *, killswitch: str = "READY") -> None:
        """All of it, armed, with `orders` working orders at each owner."""
        for name in ("killswitch", *self.owners):
            self.spawn(name)
        for name, wanted in {"killswitch": killswitch, **dict.fromkeys(self.owners, "READY")}.items():
            self.wait(lambda n=name, w=wanted: self.readiness(n) == w, f"{name} {wanted}")  # type: ignore[misc]
        if orders:
            for owner in self.owners:
                self.place(owner, orders)
            self.wait(lambda: self.venue.alive == orders * len(self.owners), "orders working")
            self.wait(lambda: self.status()["venues"]["x"]["working"] == orders * len(self.owners), "orders known")

    def place(self, owner: str, orders: int) -> None:
        new = self.desk.data_dir / f"{owner}.place.new"
        new.write_text(str(orders))
        new.rename(self.desk.data_dir / f"{owner}.place")

    def tell(self, owner: str, *lines: str) -> None:
        """What befalls an owner (fake_owner.py)."""
        new = self.desk.data_dir / f"{owner}.tell.new"
        new.write_text("\n".join(lines))
        new.rename(self.desk.data_dir / f"{owner}.tell")

    def fills(self, owner: str, least: int) -> list[ExecutionReport]:
        """Trades that an owner has journalled, once there are so many."""
        found: list[ExecutionReport] = []

        def enough() -> bool:
            events = (d.event for d in read_events(self.desk.data_dir / owner))
            found[:] = [e for e in events if isinstance(e, ExecutionReport) and e.exec_type == "F"]
            return len(found) >= least

        self.wait(enough, f"{least} fills of {owner}")
        return found

    def limits(self) -> dict[str, Any]:
        answer = self.ask("limits")
        assert answer.accepted, answer.reason
        return msgspec.json.decode(answer.data)  # type: ignore[no-any-return]

    def limit(self, figure: str, scope: str = "") -> dict[str, Any]:
        """One row of `limits`; empty when there is none."""
        rows = (r for r in self.limits()["limits"] if r["figure"] == figure and scope in ("", r["scope"]))
        return next(rows, {})

    def readiness(self, name: str) -> str:
        try:
            status = read_status(self.desk.shm_dir / "proc" / name)
        except RegionError:
            return ""
        return str(status.readiness) if status.pid == self.processes[name].pid else ""

    def ask(self, verb: str, **args: str) -> Answer:
        client = CommandClient(self.context, command_endpoint(self.desk, "killswitch"), "test", SystemClock())
        try:
            return client.request(Ops("test", client.next_command_id(), 0, verb, args), 20_000)
        finally:
            client.close()

    def line(self, words: str) -> dict[str, Any]:
        """What a person is answered who has nothing but a Unix socket."""
        with socket.socket(socket.AF_UNIX) as s, s.makefile("rw") as lines:
            s.settimeout(PATIENCE_S)
            s.connect(str(line_path(self.desk.run_dir)))
            lines.write(f"{words}\n")
            lines.flush()
            answer: dict[str, Any] = json.loads(lines.readline())
        assert answer["accepted"], answer
        return answer["data"]  # type: ignore[no-any-return]

    def status(self) -> dict[str, Any]:
        answer = self.ask("status")
        assert answer.accepted, answer.reason
        return msgspec.json.decode(answer.data)  # type: ignore[no-any-return]

    def last_trip(self) -> dict[str, Any]:
        """Empty when there was none."""
        return self.status()["last_trip"] or {}

    def trip(self, scope: str = "desk") -> None:
        answer = self.ask("trip", scope=scope, reason="test")
        assert answer.accepted, answer.reason

    def wait_proven(self, within_s: float = PATIENCE_S) -> dict[str, Any]:
        self.wait(lambda: (self.status()["last_trip"] or {}).get("phase") == "PROVEN", "proven", within_s)
        return self.status()["last_trip"]  # type: ignore[no-any-return]

    def wait(
        self, condition: Callable[[], object], what: str | Callable[[], object], within_s: float = PATIENCE_S
    ) -> None:
        end = time.monotonic() + within_s
        while True:
            try:
                if condition():
                    return
            except BusError:
                pass
            if time.monotonic() > end:
                raise AssertionError(f"not within {within_s} s: {what() if callable(what) else what}\n{self.logs()}")
            time.sleep(0.005)

    def logs(self) -> str:
        found = [*self.desk.path.parent.glob("*.out"), *self.desk.log_dir.glob("*.log*")]
        return "\n".join(f"--- {p.name}\n{p.read_text()[-LOG_SHOWN:]}" for p in found)

    def signal(self, name: str, signum: int) -> None:
        self.processes[name].send_signal(signum)

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait(PATIENCE_S)

    def ended(self, name: str) -> int:
        """Exit status of a process, once it has ended."""
        return self.processes[name].wait(PATIENCE_S)

    def logged(self, text: str) -> None:
        """Wait until a log says so: what a process does and what it says of it are two things."""
        self.wait(lambda: text in self.logs(), f"a log says {text!r}")

    def holder(self, name: str) -> int:
        """Pid of the process that holds a role, 0 when nobody does."""
        path = self.desk.run_dir / "lock" / name
        return RoleLock(path).holder().pid if role_held(path) else 0

    def close(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(PATIENCE_S)
        for owner in self.owners:  # one that the kill switch started
            if pid := self.holder(owner):
                os.kill(pid, signal.SIGKILL)
        self.context.destroy(linger=0)
        self.venue.close()
