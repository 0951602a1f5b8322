"""Order to report over TLS at each level of the desk's store, session engine at both ends, log on, beside a bare TLS
round trip and QuickFIX.

The bare trip sends as many bytes each way through the same reactor and transport and decodes nothing. QuickFIX is its
Python binding at both ends, over TLS, with its file store, which is never flushed: beside our `none`. The venue's
side of ours has a store of level `none` always. All take turns in one run.
"""

import gc
import json as jsonlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import trustme

from base.clock import SystemClock
from base.reactor import Reactor
from base.tls import TlsClient
from base.transport import TcpTransport
from base.transport_types import Closed, State
from base.upkeep import SYNC_NS, Upkeep
from bench.codec import execution_report
from bench.orders_peers import HEARTBEAT_S
from bench.report import Row, faster, print_rows, within
from fix.codec import MdDecoder, Message, Template
from fix.connection import FixConnection
from fix.file_store import FileStore, StoreSettings, Sync
from fix.fixlog import FixLog
from fix.session import FixSession
from fix.session_events import FieldDefect, SessionEvent
from fix.settings import Role, SessionSettings
from fix.store import MemoryStore, MessageStore

ROUNDS, TRIPS, SYNCED_TRIPS, QUICKFIX_TRIPS = 40, 500, 50, 150
LEVELS = ("memory", "none", "interval", "every")
QUICKFIX = "QuickFIX, TLS, file store"
WAIT_NS = 60_000_000_000
ORDER = b"x" * 178
"""As many bytes as the order that the session renders."""


def store_of(folder: Path, level: str) -> MessageStore:
    """The desk's store: forgetting, or on disk with that `sync`."""
    if level == "memory":
        return MemoryStore(time.time_ns())
    return FileStore(folder, time.time_ns(), StoreSettings(Sync(level)))


class BareDesk:
    """Sends the bytes of an order and waits for the bytes of a report."""

    def __init__(self, reactor: Reactor, tls: TlsClient, order: bytes, report_size: int) -> None:
        self._reactor = reactor
        self._order, self._size = order, report_size
        self.transport = TcpTransport(reactor, self, "bare", tls)
        self.up = False
        self._got = self._left = self._sent_ns = 0
        self._times: list[int] = []

    def on_connected(self) -> None:
        self.up = True

    def on_writable(self) -> None: ...

    def on_closed(self, reason: Closed) -> None:
        self.up = False

    def on_data(self, data: memoryview) -> None:
        self._got += len(data)
        if self._got < self._size:
            return
        self._times.append(time.perf_counter_ns() - self._sent_ns)
        self._got = 0
        self._left -= 1
        if self._left:
            self._reactor.call_soon(self._send)

    def _send(self) -> None:
        self._sent_ns = time.perf_counter_ns()
        self.transport.write(self._order)

    def trips(self, count: int) -> list[int]:
        """ns of each of `count` round trips."""
        self._times, self._left = [], count
        self._send()
        wait(self._reactor, lambda: not self._left, "a bare round trip")
        return self._times


class FixDesk:
    """Owner of the initiator's session: from the decision to send until the report is in its hands."""

    def __init__(self, reactor: Reactor, folder: Path, level: str) -> None:
        self._reactor = reactor
        settings = SessionSettings("desk", Role.INITIATOR, "DESK", "VENUE", heartbeat_s=HEARTBEAT_S)
        store = store_of(folder / f"store-desk-{level}", level)
        self.upkeep = Upkeep(reactor, store, "desk store", SYNC_NS if level == "interval" else 0)  # as procs do
        self.log = FixLog(folder, f"desk-{level}")
        self.session = FixSession(settings, store, self, self.log)
        self.connection = FixConnection(reactor, self.session)
        self._template = Template(
            "FIX.4.4", "D", "DESK", "VENUE",
            [(11, "text"), (55, "text"), (54, "text"), (38, "scaled", 8), (40, "text"), (44, "scaled", 1),
             (59, "const", b"1"), (60, "utc", 3)],
        )  # fmt: skip
        self._left = self._sent_ns = 0
        self._times: list[int] = []

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        return b""

    def check_logon(self, logon: Message, wall_ns: int) -> str | None:
        return None

    def on_batch(self, decoder: MdDecoder, messages: int) -> None: ...

    def on_event(self, event: SessionEvent) -> None: ...

    def on_message(self, message: Message, flags: int, defects: tuple[FieldDefect, ...]) -> None:
        self._times.append(time.perf_counter_ns() - self._sent_ns)
        self._left -= 1
        if self._left:
            self._reactor.call_soon(self._send)  # once the engine is done with this report

    def _send(self) -> None:
        self._sent_ns = time.perf_counter_ns()
        wall_ns = time.time_ns()
        values = ("order-0000001", "BTC/USD", "1", 75_000_000, "2", 840_005, wall_ns)
        self.session.send_template(self._template, "D", values, time.monotonic_ns(), wall_ns)

    def trips(self, count: int) -> list[int]:
        """ns of each of `count` orders to their reports."""
        self._times, self._left = [], count
        self._send()
        wait(self._reactor, lambda: not self._left, "reports")
        return self._times


class Child:
    """A process of bench.orders_peers."""

    def __init__(self, folder: Path, role: str, *arguments: str) -> None:
        command = [sys.executable, "-m", "bench.orders_peers", role, str(folder), *arguments]
        root = Path(__file__).resolve().parent.parent
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root)

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def hear(self) -> Any:
        """The next line it says; waits for it."""
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if line[:1] in b'["{':  # the QuickFIX library says things of its own
                return jsonlib.loads(line)
        raise ChildProcessError(f"{self._process.args!r} ended before it answered")

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()


class QuickFixDesk:
    """QuickFIX at both ends, each in its process."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        port = str(_free_port())
        venue = stack.enter_context(Child(folder, "acceptor", port))
        assert venue.hear() == "started"
        self._desk = stack.enter_context(Child(folder, "initiator", port))
        assert {self._desk.hear(), self._desk.hear()} == {"started", "logon"}

    def trips(self, count: int) -> list[int]:
        self._desk.tell(str(count))
        times: list[int] = self._desk.hear()
        return times


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def wait(reactor: Reactor, condition: Any, what: str) -> None:
    if not reactor.run_until(condition, WAIT_NS):
        raise TimeoutError(f"waited a minute for {what}")


def certificates(folder: Path) -> TlsClient:
    """Certificates for localhost in `folder`, and a client that trusts them."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    return TlsClient(ca_file=str(folder / "ca.pem"))


def measure(stack: ExitStack, folder: Path, rounds: int) -> dict[str, list[int]]:
    """Times of bare and QuickFIX's trips and of ours at each level, taken in turn."""
    tls = certificates(folder)
    reactor = Reactor(SystemClock())
    stack.callback(reactor.close)
    report = execution_report()
    venue = stack.enter_context(Child(folder, "serve", str(len(report)), *LEVELS))
    ports = venue.hear()
    desks = {level: _desk(reactor, folder, level, tls, ports[level], stack) for level in LEVELS}
    bare = BareDesk(reactor, tls, ORDER, len(report))
    bare.transport.connect("localhost", ports["bare"])
    transports = [bare.transport, *(transport for _, transport in desks.values())]
    stack.callback(_hang_up, reactor, transports)
    sessions = [desk.session for desk, _ in desks.values()]
    wait(reactor, lambda: bare.up and all(s.is_logged_on for s in sessions), "the logons")
    runners: dict[str, tuple[Callable[[int], list[int]], int]] = {
        "bare": (bare.trips, TRIPS),
        "QuickFIX": (QuickFixDesk(stack, folder).trips, QUICKFIX_TRIPS),
        **{level: (desk.trips, SYNCED_TRIPS if level == "every" else TRIPS) for level, (desk, _) in desks.items()},
    }
    for trips, _ in runners.values():
        trips(300)
    gc.collect()
    gc.freeze()  # as a process of the desk does once it stands; the bare trips run in this process too
    stack.callback(gc.unfreeze)
    times: dict[str, list[int]] = {name: [] for name in runners}
    for _ in range(rounds):
        for name, (trips, count) in runners.items():
            times[name] += trips(count)
    return times


def _desk(
    reactor: Reactor, folder: Path, level: str, tls: TlsClient, port: int, stack: ExitStack
) -> tuple[FixDesk, TcpTransport]:
    desk = FixDesk(reactor, folder, level)
    stack.callback(desk.log.close)
    stack.callback(desk.upkeep.stop)
    transport = TcpTransport(reactor, desk.connection, f"desk {level}", tls)
    desk.connection.attach(transport)
    transport.connect("localhost", port)
    return desk, transport


def _hang_up(reactor: Reactor, transports: list[TcpTransport]) -> None:
    for transport in transports:
        transport.close()
    reactor.run_until(lambda: all(t.state is State.CLOSED for t in transports), WAIT_NS)


def quantile(times: list[int], share: float) -> float:
    """Microseconds that `share` of the times do not exceed."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1000


def rows(rounds: int = ROUNDS) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="qd-bench-") as name, ExitStack() as stack:
        times = measure(stack, Path(name), rounds)
    what = "order to report, TLS, log on, store"
    ours, bare = times["none"], times["bare"]
    found = [
        within(f"{what} none, p50", quantile(ours, 0.5), "us", "bare TLS round trip", quantile(bare, 0.5), 2),
        within(f"{what} none, p99.9", quantile(ours, 0.999), "us", "bare TLS round trip", quantile(bare, 0.999), 3),
    ]
    for level in LEVELS:
        # What is flushed for each message is shown beside what never is, for what it costs: no mark is set for it.
        reaches = {0.5: 0.0, 0.99: 0.0, 0.999: 0.0} if level == "every" else {0.5: 3.0, 0.99: 2.0, 0.999: 1.0}
        for share, reach in reaches.items():
            mine, theirs = quantile(times[level], share), quantile(times["QuickFIX"], share)
            found.append(faster(f"{what} {level}, p{share * 100:g}", mine, "us", QUICKFIX, theirs, reach))
    return found


def run(as_json: bool = False) -> int:
    """Print the rows; 0 when every figure was reached, else 4."""
    found = rows()
    print_rows(found, as_json)
    return 0 if all(row.ok for row in found) else 4


if __name__ == "__main__":
    raise SystemExit(run("--json" in sys.argv))
