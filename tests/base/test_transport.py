"""Streams over the poll loop: TCP on loopback, TLS with verification, bounds and deadlines."""

import contextlib
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from base.clock import ManualClock, SystemClock
from base.errors import ConfigError, TransportError
from base.listener import Listener
from base.reactor import Reactor
from base.tls import TlsClient, server_context
from base.transport import Closed, CloseKind, Limits, State, TcpTransport
from base.waiters import TurningWaiter

WAIT_NS = 60_000_000_000


class Peer:
    """Records what happens to one transport; answers as it is told."""

    def __init__(self) -> None:
        self.transport: TcpTransport | None = None
        self.connected = 0
        self.data = bytearray()
        self.chunks: list[int] = []
        self.writable = 0
        self.closed: list[Closed] = []
        self.on_bytes: Callable[[bytes], object] = lambda data: None

    def on_connected(self) -> None:
        self.connected += 1

    def on_data(self, data: memoryview) -> None:
        self.data += data
        self.chunks.append(len(data))
        self.on_bytes(bytes(data))

    def on_writable(self) -> None:
        self.writable += 1

    def on_closed(self, reason: Closed) -> None:
        self.closed.append(reason)


class Net:
    """A reactor with a listener whose accepted peers are kept."""

    def __init__(
        self, reactor: Reactor, context: ssl.SSLContext | None, ca_file: str, limits: Limits | None = None
    ) -> None:
        self.reactor = reactor
        self.ca_file = ca_file
        self.tls = context is not None
        self.accepted: list[Peer] = []
        self.clients: list[TcpTransport] = []
        self.listener = Listener(reactor, "127.0.0.1", 0, self._accept, "test", context, limits)

    def _accept(self, transport: TcpTransport) -> Peer:
        peer = Peer()
        peer.transport = transport
        self.accepted.append(peer)
        return peer

    def client(self, limits: Limits | None = None, tls: TlsClient | None = None) -> tuple[TcpTransport, Peer]:
        peer = Peer()
        config = tls or (TlsClient(ca_file=self.ca_file) if self.tls else None)
        transport = TcpTransport(self.reactor, peer, "client", config, limits)
        peer.transport = transport
        self.clients.append(transport)
        transport.connect("localhost", self.listener.port)
        return transport, peer

    def pair(self, limits: Limits | None = None) -> tuple[TcpTransport, Peer, TcpTransport, Peer]:
        client, peer = self.client(limits)
        assert self.until(lambda: peer.connected and self.accepted and self.accepted[-1].connected), peer.closed
        server = self.accepted[-1].transport
        assert server is not None
        return client, peer, server, self.accepted[-1]

    def until(self, condition: Callable[[], object]) -> bool:
        return self.reactor.run_until(condition, WAIT_NS)


class Certificates:
    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca_file = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.ca_file)
        self.context = self._issue(authority, "localhost")
        self.wrong_name = self._issue(authority, "elsewhere.test")

    @staticmethod
    def _issue(authority: trustme.CA, name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        return context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    loop = Reactor(SystemClock())
    yield loop
    loop.close()


@pytest.fixture(params=["plain", "tls"])
def net(request: pytest.FixtureRequest, reactor: Reactor, certificates: Certificates) -> Iterator[Net]:
    context = certificates.context if request.param == "tls" else None
    one = Net(reactor, context, certificates.ca_file)
    yield one
    shut(one)


def shut(net: Net) -> None:
    net.listener.close()
    for client in net.clients:
        client.close()
    for peer in net.accepted:
        assert peer.transport is not None
        peer.transport.close()


def test_bytes_arrive_unchanged_in_both_directions(net: Net) -> None:
    client, peer, server, other = net.pair()
    assert client.write(b"8=FIX.4.4\x01")
    assert net.until(lambda: bytes(other.data) == b"8=FIX.4.4\x01")
    assert server.write(b"answer")
    assert net.until(lambda: bytes(peer.data) == b"answer")
    client.close()


def test_a_write_leaves_within_the_call(net: Net) -> None:
    client, _, server, _ = net.pair()
    turns = net.reactor.turns
    client.write(b"x")
    assert net.reactor.turns == turns
    assert client.queued == 0
    raw = server._socket
    assert raw is not None
    assert raw.recv(1, socket.MSG_PEEK)
    client.close()


def test_megabytes_cross_in_order_with_queueing_on_the_way(net: Net) -> None:
    client, peer, _, other = net.pair(Limits(write_queue=64 << 20))
    payload = b"".join(i.to_bytes(4, "big") for i in range(2_000_000))
    for start in range(0, len(payload), 1 << 20):
        client.write(payload[start : start + (1 << 20)])
    assert client.queued > 0
    assert net.until(lambda: len(other.data) == len(payload))
    assert other.data == payload
    assert net.until(lambda: peer.writable)
    assert client.queued == 0
    client.close()


def test_many_small_records_are_delivered_together(reactor: Reactor, certificates: Certificates) -> None:
    net = Net(reactor, certificates.context, certificates.ca_file)
    client, _, _, other = net.pair()
    for i in range(500):
        client.write(b"%04d" % i)
    assert net.until(lambda: len(other.data) == 2000)
    assert bytes(other.data) == b"".join(b"%04d" % i for i in range(500))
    assert len(other.chunks) < 50
    client.close()
    shut(net)


def test_overflow_of_the_write_queue_closes_and_says_so(net: Net) -> None:
    client, peer, _, other = net.pair(Limits(write_queue=1 << 20))
    other.transport._reactor.remove(other.transport._socket.fileno())  # type: ignore[union-attr]
    for _ in range(1000):
        client.write(b"x" * 65536)
        if client.state is State.CLOSING:
            break
    with pytest.raises(TransportError, match="closing"):
        client.write(b"x")
    assert not peer.closed, "the owner is not called from within its own call"
    assert net.until(lambda: peer.closed)
    assert peer.closed[0].kind is CloseKind.OVERFLOW
    assert 0 < peer.closed[0].unsent <= 1 << 20


def test_what_was_said_before_the_end_is_delivered_before_it(net: Net) -> None:
    _, peer, server, other = net.pair()
    server.write(b"last words")
    server.finish()
    assert net.until(lambda: peer.closed)
    assert bytes(peer.data) == b"last words"
    assert peer.closed == [Closed(CloseKind.PEER)]
    assert net.until(lambda: other.closed)


def test_after_finish_the_answer_still_arrives(reactor: Reactor, certificates: Certificates) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer_after_the_end, args=(listening, certificates.context))
        thread.start()
        peer = Peer()
        client = TcpTransport(reactor, peer, "client", TlsClient(ca_file=certificates.ca_file))
        client.connect("localhost", listening.getsockname()[1])
        assert reactor.run_until(lambda: peer.connected, WAIT_NS)
        client.write(b"question")
        client.finish()
        with pytest.raises(TransportError, match="ending"):
            client.write(b"more")
        assert reactor.run_until(lambda: peer.closed, WAIT_NS)
        thread.join()
    assert bytes(peer.data) == b"answer to question"


def answer_after_the_end(listening: socket.socket, context: ssl.SSLContext) -> None:
    accepted, _ = listening.accept()
    with context.wrap_socket(accepted, server_side=True) as stream:
        heard = b""
        while part := stream.recv(100):
            heard += part
        stream.sendall(b"answer to " + heard)


def test_local_close_is_reported_once_and_from_the_loop(net: Net) -> None:
    client, peer, _, other = net.pair()
    client.close("done")
    client.close("again")
    assert not peer.closed
    assert net.until(lambda: peer.closed and other.closed)
    net.reactor.run_once()
    assert peer.closed == [Closed(CloseKind.LOCAL, "done")]
    assert other.closed[0].kind is CloseKind.PEER
    assert client.state is State.CLOSED


def test_a_transport_connects_again_after_it_closed(net: Net) -> None:
    client, peer, _, _ = net.pair()
    with pytest.raises(TransportError, match="connect while open"):
        client.connect("localhost", net.listener.port)
    client.close()
    assert net.until(lambda: peer.closed)
    client.connect("localhost", net.listener.port)
    assert net.until(lambda: peer.connected == 2)
    client.close()


def test_closing_inside_on_data_delivers_no_more(net: Net) -> None:
    client, _, server, other = net.pair()
    other.on_bytes = lambda _: server.close()
    client.write(b"first")
    assert net.until(lambda: other.closed)
    assert bytes(other.data) == b"first"


def test_a_reset_by_the_peer_is_not_a_clean_end(reactor: Reactor, certificates: Certificates) -> None:
    net = Net(reactor, certificates.context, certificates.ca_file)
    client, peer, server, _ = net.pair()
    raw = server._socket
    assert raw is not None
    raw.shutdown(socket.SHUT_RDWR)  # the wire ends without close_notify
    assert net.until(lambda: peer.closed)
    assert peer.closed[0].kind in (CloseKind.RESET, CloseKind.TLS)
    assert client.state is State.CLOSED
    shut(net)


def test_refused_connection_names_peer_and_cause(reactor: Reactor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    peer = Peer()
    TcpTransport(reactor, peer, "client").connect("127.0.0.1", port)
    assert reactor.run_until(lambda: peer.closed, WAIT_NS)
    assert peer.closed[0].kind is CloseKind.CONNECT
    assert f"127.0.0.1:{port}" in str(peer.closed[0])
    assert "refused" in str(peer.closed[0])


def test_unknown_name_is_reported_with_the_name(reactor: Reactor) -> None:
    peer = Peer()
    TcpTransport(reactor, peer, "client", TlsClient()).connect("no-such-host.invalid", 1)
    assert reactor.run_until(lambda: peer.closed, WAIT_NS)
    assert peer.closed[0].kind is CloseKind.RESOLVE
    assert "no-such-host.invalid" in peer.closed[0].detail


@pytest.mark.parametrize("host", ["192.0.2.1", "fix.example.test", "2001:db8::1"])
def test_plain_tcp_beyond_loopback_is_refused(reactor: Reactor, host: str) -> None:
    with pytest.raises(ConfigError, match="loopback"):
        TcpTransport(reactor, Peer(), "client").connect(host, 443)
    with pytest.raises(ConfigError, match="loopback"):
        Listener(reactor, host, 0, lambda _: Peer(), "server")


def test_certificate_for_another_name_is_refused(reactor: Reactor, certificates: Certificates) -> None:
    net = Net(reactor, certificates.wrong_name, certificates.ca_file)
    _, peer = net.client()
    assert net.until(lambda: peer.closed)
    assert peer.closed[0].kind is CloseKind.TLS
    assert "localhost" in peer.closed[0].detail
    assert peer.connected == 0
    assert net.until(lambda: net.accepted and net.accepted[0].closed)
    assert not net.accepted[0].data
    shut(net)


def test_unknown_authority_is_refused_and_no_verify_must_be_asked_for(
    reactor: Reactor, certificates: Certificates
) -> None:
    net = Net(reactor, certificates.context, certificates.ca_file)
    _, refused = net.client(tls=TlsClient())
    assert net.until(lambda: refused.closed)
    assert refused.closed[0].kind is CloseKind.TLS
    open_client, trusting = net.client(tls=TlsClient(verify=False))
    assert net.until(lambda: trusting.connected)
    assert open_client.certificate_expires_ns == 0
    open_client.close()
    shut(net)


def test_sni_is_the_configured_host_and_expiry_is_known(reactor: Reactor, certificates: Certificates) -> None:
    seen: list[str | None] = []
    certificates.context.sni_callback = lambda _socket, name, _context: seen.append(name)
    net = Net(reactor, certificates.context, certificates.ca_file)
    client, _, _, _ = net.pair()
    assert seen == ["localhost"]
    assert client.tls_version in ("TLSv1.2", "TLSv1.3")
    assert client.certificate_expires_ns > time.time_ns()
    certificates.context.sni_callback = None
    client.close()
    shut(net)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_tls_versions_carry_data(reactor: Reactor, certificates: Certificates, version: ssl.TLSVersion) -> None:
    context = certificates.context
    context.maximum_version = version
    net = Net(reactor, context, certificates.ca_file)
    client, _, _, other = net.pair()
    context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
    assert client.tls_version == ("TLSv1.2" if version == ssl.TLSVersion.TLSv1_2 else "TLSv1.3")
    client.write(b"y" * 100_000)
    assert net.until(lambda: len(other.data) == 100_000)
    client.close()
    shut(net)


def test_older_tls_is_refused() -> None:
    assert TlsClient().context().minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_missing_ca_file_is_named(reactor: Reactor) -> None:
    with pytest.raises(ConfigError, match=r"no/such/ca\.pem"):
        TcpTransport(reactor, Peer(), "client", TlsClient(ca_file="no/such/ca.pem"))
    with pytest.raises(ConfigError, match=r"no/cert\.pem"):
        server_context("no/cert.pem", "no/key.pem")


def test_a_silent_peer_ends_the_tls_handshake_at_its_deadline() -> None:
    clock = ManualClock()
    loop = Reactor(clock, waiter=TurningWaiter(clock))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        peer = Peer()
        transport = TcpTransport(loop, peer, "client", TlsClient(), Limits(handshake_ns=5_000_000_000))
        transport.connect("127.0.0.1", silent.getsockname()[1])
        end = time.monotonic() + 60
        while transport.state in (State.RESOLVING, State.CONNECTING) and time.monotonic() < end:
            loop.run_once()
        before = clock.mono_ns()
        loop.run_until(lambda: peer.closed, 60_000_000_000)
    assert peer.closed[0].kind is CloseKind.TIMEOUT
    assert "handshake" in peer.closed[0].detail
    assert 4_900_000_000 < clock.mono_ns() - before < 5_100_000_000
    loop.close()


def test_garbage_instead_of_tls_is_an_error_not_a_crash(reactor: Reactor, certificates: Certificates) -> None:
    net = Net(reactor, certificates.context, certificates.ca_file)
    with socket.create_connection(("127.0.0.1", net.listener.port)) as raw:
        raw.sendall(b"8=FIX.4.4\x019=5\x0135=0\x01" * 10)
        assert net.until(lambda: net.accepted and net.accepted[0].closed)
    assert net.accepted[0].closed[0].kind is CloseKind.TLS
    shut(net)


def test_a_busy_port_is_named(reactor: Reactor) -> None:
    first = Listener(reactor, "127.0.0.1", 0, lambda _: Peer(), "first")
    with pytest.raises(TransportError, match=f"127.0.0.1:{first.port}"):
        Listener(reactor, "127.0.0.1", first.port, lambda _: Peer(), "second")
    first.close()


def test_close_while_resolving_ends_the_attempt(reactor: Reactor) -> None:
    peer = Peer()
    transport = TcpTransport(reactor, peer, "client")
    transport.connect("localhost", 1)
    transport.close("changed our mind")
    assert reactor.run_until(lambda: peer.closed, WAIT_NS)
    for _ in range(5):
        reactor.run_once(20_000_000)
    assert peer.closed == [Closed(CloseKind.LOCAL, "changed our mind")]


# -- bytes that must not arrive later ------------------------------------------------------------------------------

STALLED = """
import socket, sys, time
from base.clock import SystemClock
from base.reactor import Reactor
from base.transport import State, TcpTransport

class Quiet:
    def on_connected(self): ...
    def on_data(self, data): ...
    def on_writable(self): ...
    def on_closed(self, reason): ...

reactor = Reactor(SystemClock())
transport = TcpTransport(reactor, Quiet(), "order entry", perishable=sys.argv[2] == "1")
transport.connect("127.0.0.1", int(sys.argv[1]))
assert reactor.run_until(lambda: transport.state is State.OPEN, 5_000_000_000)
written = 0
while not transport.queued:
    transport.write(b"D" * 200)
    written += 200
taken, since = -1, time.monotonic()
while time.monotonic() - since < 0.3:  # until the venue's kernel takes no more
    now = written - transport.queued - transport.unacknowledged
    if now != taken:
        taken, since = now, time.monotonic()
    reactor.run_once(10_000_000)
print(taken, flush=True)
sys.stdin.read()
"""


def stalled_server() -> socket.socket:
    """A peer that takes little and reads nothing."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    server.bind(("127.0.0.1", 0))
    server.listen(1)
    return server


def read_out(peer: socket.socket) -> int:
    """Bytes up to the end, orderly or not."""
    peer.settimeout(10)
    got = 0
    try:
        while chunk := peer.recv(65536):
            got += len(chunk)
    except ConnectionResetError:
        pass
    return got


def test_what_the_kernel_holds_is_told_and_an_abort_never_delivers_it(reactor: Reactor) -> None:
    with stalled_server() as server:
        peer = Peer()
        transport = TcpTransport(reactor, peer, "order entry")
        transport.connect(*server.getsockname())
        assert reactor.run_until(lambda: transport.state is State.OPEN, WAIT_NS)
        venue, _ = server.accept()
        assert transport.unacknowledged == 0
        written = 0
        while not transport.queued:
            transport.write(b"D" * 200)
            written += 200
        taken = written - transport.queued - transport.unacknowledged
        assert 0 < taken < written
        transport.abort("gate closed")
        assert transport.unacknowledged == 0
        assert reactor.run_until(lambda: peer.closed, WAIT_NS)
        assert [c.kind for c in peer.closed] == [CloseKind.LOCAL]
        assert read_out(venue) <= taken
        venue.close()


@pytest.mark.parametrize("perishable", [True, False])
def test_a_perishable_connection_dies_with_its_process_and_delivers_nothing_more(perishable: bool) -> None:
    with stalled_server() as server:
        port = server.getsockname()[1]
        child = subprocess.Popen(
            [sys.executable, "-c", STALLED, str(port), str(int(perishable))], cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        venue, _ = server.accept()
        assert child.stdout is not None
        assert child.stdin is not None
        taken = int(child.stdout.readline())
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()
        assert (read_out(venue) <= taken) == perishable
        venue.close()


def test_an_orderly_close_of_a_perishable_connection_still_delivers(reactor: Reactor) -> None:
    with stalled_server() as server:
        peer = Peer()
        transport = TcpTransport(reactor, peer, "order entry", perishable=True)
        transport.connect(*server.getsockname())
        assert reactor.run_until(lambda: transport.state is State.OPEN, WAIT_NS)
        venue, _ = server.accept()
        sent = 0
        while not transport.queued and not transport.unacknowledged:
            transport.write(b"D" * 200)
            sent += 200
        assert transport.queued == 0
        transport.close("done")
        assert read_out(venue) == sent
        venue.close()


# -- names and several addresses -----------------------------------------------------------------------------------


class Resolver:
    """Stands in for name resolution: what each call answers, and how often it was asked."""

    def __init__(self, *ports: int) -> None:
        self.ports = ports
        self.calls = 0
        self.hang = threading.Event()
        self.hang.set()

    def __call__(self, host: str, port: int, **_: Any) -> Any:
        self.calls += 1
        self.hang.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", p)) for p in self.ports]


def dead_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        return int(reserved.getsockname()[1])


def full_listener() -> tuple[socket.socket, list[socket.socket]]:
    """A socket whose backlog is full: further connects get no answer, as from a host that is gone."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            filler.connect(server.getsockname())
        fillers.append(filler)
    return server, fillers


def test_names_are_resolved_anew_at_each_attempt(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    alive = socket.create_server(("127.0.0.1", 0))
    resolver = Resolver(dead_port())
    monkeypatch.setattr("base.transport.socket.getaddrinfo", resolver)
    peer = Peer()
    client = TcpTransport(reactor, peer, "client")
    client.connect("localhost", 1)
    assert reactor.run_until(lambda: peer.closed, WAIT_NS)
    assert peer.closed[0].kind is CloseKind.CONNECT
    assert resolver.calls == 1
    resolver.ports = (alive.getsockname()[1],)
    client.connect("localhost", 1)
    assert reactor.run_until(lambda: peer.connected, WAIT_NS)
    assert resolver.calls == 2
    client.close()
    alive.close()


def test_a_dead_address_costs_its_part_of_the_time_and_the_next_is_tried(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, fillers = full_listener()
    with socket.create_server(("127.0.0.1", 0)) as alive:
        monkeypatch.setattr(
            "base.transport.socket.getaddrinfo", Resolver(gone.getsockname()[1], alive.getsockname()[1])
        )
        peer = Peer()
        limits = Limits(connect_ns=600_000_000)
        client = TcpTransport(reactor, peer, "client", limits=limits)
        client.connect("localhost", 1)
        assert reactor.run_until(lambda: peer.connected, WAIT_NS)
        assert not peer.closed
        client.close()
    for each in (gone, *fillers):
        each.close()


def test_when_no_address_answers_the_attempt_ends_at_the_deadline_of_all_together(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, fillers = full_listener()
    monkeypatch.setattr("base.transport.socket.getaddrinfo", Resolver(*[gone.getsockname()[1]] * 3))
    peer = Peer()
    began = time.monotonic()
    TcpTransport(reactor, peer, "client", limits=Limits(connect_ns=300_000_000)).connect("localhost", 1)
    assert reactor.run_until(lambda: peer.closed, WAIT_NS)
    assert peer.closed[0].kind is CloseKind.TIMEOUT
    assert time.monotonic() - began >= 0.3
    for each in (gone, *fillers):
        each.close()


def test_an_attempt_begins_with_the_address_it_is_told_to(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    monkeypatch.setattr("base.transport.socket.getaddrinfo", Resolver(*(s.getsockname()[1] for s in servers)))
    for first in range(5):
        peer = Peer()
        client = TcpTransport(reactor, peer, "client")
        client.connect("localhost", 1, first)
        assert reactor.run_until(lambda peer=peer: peer.connected, WAIT_NS)
        assert client._socket is not None
        assert client._socket.getpeername() == servers[first % 3].getsockname()
        client.close()
    for server in servers:
        server.close()


def test_a_resolver_that_hangs_ends_the_attempt_and_is_asked_once(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = Resolver(dead_port())
    resolver.hang.clear()
    monkeypatch.setattr("base.transport.socket.getaddrinfo", resolver)
    try:
        for _ in range(6):
            peer = Peer()
            limits = Limits(resolve_ns=20_000_000)
            TcpTransport(reactor, peer, "client", limits=limits).connect("localhost", 1)
            assert reactor.run_until(lambda peer=peer: peer.closed, WAIT_NS)
            assert peer.closed[0] == Closed(CloseKind.TIMEOUT, "still resolving to localhost:1")
        assert resolver.calls == 1, "helper threads are few, and other work needs them"
        done: list[int] = []
        reactor.run_blocking(lambda: 1, lambda result, _: done.append(result))
        assert reactor.run_until(lambda: done, WAIT_NS)
    finally:
        resolver.hang.set()
