"""A trip of the shipped kill switch with 500 working orders: gate word, fence, first cancel at the venue over TLS.

The kill switch and the owner of the orders are processes of their own; the venue is this one. Between trips one byte
goes forth and back over a bare socketpair to a third process, woken from the same idleness: the peer of the fence.
"""

import contextlib
import json as jsonlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import trustme
import zmq

from base.clock import SystemClock
from base.config import DeskConfig, load
from base.errors import BusError, QuarterdeckError
from base.listener import Listener
from base.reactor import Reactor
from base.tls import server_context
from base.transport import TcpTransport
from bench.kill_owner import ORDERS
from bench.report import Row, at_most, print_rows, within
from fix.codec import MdDecoder, Message
from fix.connection import FixConnection
from fix.file_store import FileStore
from fix.fixlog import FixLog
from fix.session import FixSession
from fix.session_events import FieldDefect, SessionEvent
from fix.settings import Role, SessionSettings
from ipc.commands import CommandClient
from ipc.requests import Answer, Ops
from ipc.roster import command_endpoint

TRIPS, WARM, PAIR_TRIPS = 200, 10, 5
PAUSE_S = 0.002
WAIT_S = 30
ROOT = Path(__file__).resolve().parent.parent
ECHO = "import socket,sys\ns=socket.socket(fileno=int(sys.argv[1]))\nwhile b:=s.recv(1): s.send(b)"
CONFIG = """
[desk]
name = "bench-kill"
run_dir = "r"
shm_dir = "{shm}"
environment = "test"
[kill]
arm_at_start = true
reset_cool_off_s = 0
sessions = ["k"]
[venue.x]
dialect = "fix44"
options = {{ messages = ["D", "F", "H", "q"], mass_cancel_reaches = "account" }}
instruments = [{{ name = "BTC-USD", symbol = "BTC/USD", px_scale = 1, qty_scale = 8 }}]
[session.o]
venue = "x"
kind = "trading"
address = "127.0.0.1:1"
sender_comp_id = "OWNER"
target_comp_id = "VENUE"
[session.k]
venue = "x"
kind = "trading"
address = "127.0.0.1:{port}"
server_name = "localhost"
ca_file = "{folder}/ca.pem"
heartbeat_s = 300
sender_comp_id = "KILL"
target_comp_id = "VENUE"
"""


class Venue:
    """Owner of the acceptor's session: notes when the first 35=q of a trip is in its hands."""

    def __init__(self) -> None:
        self.first_ns = 0

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        return b""

    def check_logon(self, logon: Message, wall_ns: int) -> str | None:
        return None

    def on_message(self, message: Message, flags: int, defects: tuple[FieldDefect, ...]) -> None:
        if message.msg_type == "q" and not self.first_ns:
            self.first_ns = time.monotonic_ns()

    def on_batch(self, decoder: MdDecoder, messages: int) -> None: ...

    def on_event(self, event: SessionEvent) -> None: ...


class Bench:
    """One run."""

    def __init__(self, folder: Path, shm: Path) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        authority.cert_pem.write_to_path(folder / "ca.pem")
        certificate.private_key_pem.write_to_path(folder / "key.pem")
        for part in certificate.cert_chain_pems:
            part.write_to_path(folder / "cert.pem", append=True)
        self.reactor = Reactor(SystemClock())
        self.venue = Venue()
        settings = SessionSettings("venue", Role.ACCEPTOR, "VENUE", "KILL", heartbeat_s=300)
        store = FileStore(folder / "store", time.time_ns())
        connection = FixConnection(self.reactor, FixSession(settings, store, self.venue, FixLog(folder, "venue")))

        def accept(transport: TcpTransport) -> FixConnection:
            connection.attach(transport)
            return connection

        context = server_context(folder / "cert.pem", folder / "key.pem")
        self.port = Listener(self.reactor, "127.0.0.1", 0, accept, "venue", context).port
        (folder / "c").mkdir()
        (folder / "c" / "desk.toml").write_text(CONFIG.format(shm=shm, port=self.port, folder=folder))
        self.desk: DeskConfig = load(folder / "c" / "desk.toml")
        self.zmq: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.children: list[subprocess.Popen[bytes]] = []
        self.pair, other = socket.socketpair()
        self.children.append(
            subprocess.Popen([sys.executable, "-c", ECHO, str(other.fileno())], pass_fds=[other.fileno()])
        )
        other.close()
        for module, more in (("bench.kill_owner", ["--session", "o"]), ("procs.killswitch", [])):
            command = [sys.executable, "-m", module, "--config", str(self.desk.path), *more]
            self.children.append(subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL))
        self.client = CommandClient(self.zmq, command_endpoint(self.desk, "killswitch"), "bench", SystemClock())

    def ask(self, verb: str, **args: str) -> dict[str, Any]:
        """One command; the venue's loop turns meanwhile."""
        command = Ops("bench", self.client.next_command_id(), 0, verb, args)
        self.client.send(command)
        answers: list[Answer] = []

        def answered() -> bool:
            answers.extend(self.client.receive())
            return bool(answers)

        self._until(answered, verb)
        if not answers[0].accepted:
            raise QuarterdeckError(f"{verb}: {answers[0].reason}")
        return jsonlib.loads(answers[0].data)  # type: ignore[no-any-return]

    def _until(self, condition: Callable[[], object], what: str) -> None:
        end = time.monotonic() + WAIT_S
        while not condition():
            self.reactor.run_once(200_000)
            if time.monotonic() > end:
                raise QuarterdeckError(f"bench kill: not within {WAIT_S} s: {what}")

    def ready(self) -> None:
        """Both processes stand, the kill switch's own session is logged on, all orders are known."""

        def stands() -> bool:
            try:
                status = self.ask("status")
            except BusError:
                return False
            up = status["sessions"]["k"]["phase"] == "READY" and status["owners"]["o"]
            return bool(up and status["desk"] == "ARMED" and status["venues"]["x"]["working"] == ORDERS)

        self._until(stands, "processes ready")

    def trip(self) -> tuple[float, float, float]:
        """(gate word stored, fence complete, first cancel at the venue) of one trip, in ms."""
        self.venue.first_ns = 0
        began_ns = time.monotonic_ns()
        self.ask("trip", reason="bench")
        self._until(lambda: self.venue.first_ns, "a cancel at the venue")
        first_ms = (self.venue.first_ns - began_ns) / 1e6
        last: dict[str, Any] = {}

        def enlisted() -> bool:
            last.update(self.ask("status")["last_trip"])
            return last["fence_ms"] is not None and last["orders"] == ORDERS

        self._until(enlisted, "fence and orders")
        self.ask("reset", reason="bench", force=" ".join(last["unproven"]))
        self._until(lambda: self.ask("status")["desk"] == "ARMED", "armed again")
        return last["gate_closed_ms"], last["fence_ms"], first_ms

    def pairs(self) -> list[float]:
        """Round trips over the socketpair in ms, each after a pause, as a trip comes after one."""
        times = []
        for _ in range(PAIR_TRIPS):
            time.sleep(PAUSE_S)
            began_ns = time.perf_counter_ns()
            self.pair.send(b"x")
            self.pair.recv(1)
            times.append((time.perf_counter_ns() - began_ns) / 1e6)
        return times

    def close(self) -> None:
        self.client.close()
        self.pair.close()
        for child in reversed(self.children):
            child.terminate()
        for child in self.children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self.zmq.destroy(linger=0)


@contextlib.contextmanager
def running() -> Iterator[Bench]:
    """A run with its processes and directories, all of it gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="qdk"))
    shm = Path(tempfile.mkdtemp(prefix="qdk", dir="/dev/shm"))
    bench = Bench(folder, shm)
    try:
        bench.ready()
        yield bench
    finally:
        bench.close()
        shutil.rmtree(folder)
        shutil.rmtree(shm)


def p99(times: list[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(times, n=100)[98]


def measure() -> list[Row]:
    """The three figures of the issue."""
    with running() as bench:
        for _ in range(WARM):
            bench.trip()
        trips, pairs = [], []
        for _ in range(TRIPS):
            trips.append(bench.trip())
            pairs += bench.pairs()
    gate, fence, first = (list(column) for column in zip(*trips, strict=True))
    return [
        at_most("trip received to gate word stored, p99", p99(gate), "ms", 0.1),
        within("trip received to fence complete, p99", p99(fence), "ms", "bare socketpair p99", p99(pairs), 3),
        Row("trip received to fence complete, p50", statistics.median(fence), "ms", "bare socketpair p50",
            statistics.median(pairs), statistics.median(fence) / statistics.median(pairs)),
        at_most(f"trip sent to first cancel at the venue, {ORDERS} orders, p99", p99(first), "ms", 5),
        Row("trip sent to first cancel at the venue, p50", statistics.median(first), "ms"),
    ]  # fmt: skip


def run(json: bool) -> int:
    """Print the rows; 0 when every figure was reached, else 4."""
    rows = measure()
    print_rows(rows, json)
    return 0 if all(r.ok for r in rows) else 4


if __name__ == "__main__":
    sys.exit(run("--json" in sys.argv))
