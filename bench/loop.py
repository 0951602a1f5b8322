"""The poll loop: a round trip over TLS through it beside blocking sockets, and what waiting costs beside zmq_poll.

`python -m bench.loop [--json]`. The echoing end is a process of its own with blocking sockets, the same for both.
"""

import json as jsonlib
import os
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import trustme
import zmq
from zmq import zmq_poll

from base.clock import SystemClock
from base.reactor import Reactor
from base.tls import TlsClient
from base.transport import Closed, TcpTransport
from base.waiters import EpollWaiter

MESSAGE = b"x" * 200
ROUNDS, TRIPS, WAITS = 40, 250, 2000


class Echoed:
    """Counts what comes back."""

    def __init__(self) -> None:
        self.connected = False
        self.got = 0
        self.closed: Closed | None = None

    def on_connected(self) -> None:
        self.connected = True

    def on_data(self, data: memoryview) -> None:
        self.got += len(data)

    def on_writable(self) -> None: ...

    def on_closed(self, reason: Closed) -> None:
        self.closed = reason


def echo_process(context: ssl.SSLContext, stack: ExitStack) -> int:
    """A child that echoes one TLS connection after the other, one child each; its port."""
    listening = socket.create_server(("127.0.0.1", 0))
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            try:
                echo(listening, context)
            finally:
                os._exit(0)
        stack.callback(os.waitpid, pid, 0)
    with listening:
        return int(listening.getsockname()[1])


def echo(listening: socket.socket, context: ssl.SSLContext) -> None:
    accepted, _ = listening.accept()
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with context.wrap_socket(accepted, server_side=True) as stream:
        while data := stream.recv(65536):
            stream.sendall(data)


def blocking_trip(port: int, ca_file: str, stack: ExitStack) -> Callable[[], None]:
    raw = socket.create_connection(("127.0.0.1", port))
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = ssl.create_default_context(cafile=ca_file).wrap_socket(raw, server_hostname="localhost")
    stack.callback(stream.close)

    def trip() -> None:
        stream.sendall(MESSAGE)
        got = 0
        while got < len(MESSAGE):
            got += len(stream.recv(65536))

    return trip


def loop_trip(port: int, ca_file: str, stack: ExitStack) -> Callable[[], None]:
    reactor = Reactor(SystemClock())
    stack.callback(reactor.close)
    peer = Echoed()
    transport = TcpTransport(reactor, peer, "bench", TlsClient(ca_file=ca_file))
    transport.connect("localhost", port)
    assert reactor.run_until(lambda: peer.connected, 10_000_000_000), peer.closed
    stack.callback(transport.close)

    def trip() -> None:
        wanted = peer.got + len(MESSAGE)
        transport.write(MESSAGE)
        while peer.got < wanted:
            reactor.run_once(1_000_000_000)

    return trip


def waits(sockets: int, stack: ExitStack) -> tuple[Callable[[], None], Callable[[], None]]:
    """One event on a plain socket, taken by epoll and by zmq_poll, with so many idle ZeroMQ sockets beside."""
    context = stack.enter_context(zmq.Context())
    idle = [stack.enter_context(context.socket(zmq.SUB)) for _ in range(sockets)]
    for number, one in enumerate(idle):
        one.bind(f"inproc://idle-{number}")
    ours, theirs = socket.socketpair()
    stack.callback(ours.close)
    stack.callback(theirs.close)
    waiter = EpollWaiter()
    stack.callback(waiter.close)
    for fd in (ours.fileno(), *(one.getsockopt(zmq.FD) for one in idle)):
        assert isinstance(fd, int)
        waiter.register(fd, 1)
    listed: list[Any] = [(ours.fileno(), zmq.POLLIN), *((one, zmq.POLLIN) for one in idle)]

    def by_epoll() -> None:
        theirs.send(b"x")
        waiter.wait(1_000_000_000)
        ours.recv(1)

    def by_zmq_poll() -> None:
        theirs.send(b"x")
        zmq_poll(listed, 1000)
        ours.recv(1)

    return by_epoll, by_zmq_poll


def interleaved(works: dict[str, Callable[[], None]], calls: int) -> dict[str, list[int]]:
    """Nanoseconds of each call, the works taking turns."""
    times: dict[str, list[int]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            for _ in range(calls):
                start = time.perf_counter_ns()
                work()
                times[name].append(time.perf_counter_ns() - start)
    return times


def measure() -> dict[str, list[int]]:
    """All series."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        authority, ca_file = trustme.CA(), str(folder / "ca.pem")
        authority.cert_pem.write_to_path(ca_file)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        port = echo_process(context, stack)
        trips = {
            "TLS round trip, poll loop": loop_trip(port, ca_file, stack),
            "TLS round trip, blocking": blocking_trip(port, ca_file, stack),
        }
        found = interleaved(trips, TRIPS)
        for sockets in (0, 2, 5):
            epoll, polled = waits(sockets, stack)
            names = f"wait, {sockets} idle ZeroMQ sockets, "
            found |= interleaved({f"{names}epoll": epoll, f"{names}zmq_poll": polled}, WAITS // 10)
    return found


def run(json: bool = False) -> int:
    """Print microseconds a round trip and a wait."""
    for name, times in measure().items():
        times.sort()
        row = {f"p{q:g}": round(times[int(len(times) * q / 100)] / 1000, 2) for q in (10, 50, 99, 99.9)}
        print(jsonlib.dumps({"name": f"loop: {name}", "unit": "us", **row}) if json else f"{name:42s} {row}")
    return 0


if __name__ == "__main__":
    raise SystemExit(run("--json" in sys.argv))
