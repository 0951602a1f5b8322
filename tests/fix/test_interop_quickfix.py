"""Our sessions against QuickFIX over real sockets: both roles, plain and TLS, orders, cuts, resends."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from base.clock import SystemClock
from base.listener import Listener
from base.reactor import Reactor
from base.tls import TlsClient
from base.transport import TcpTransport
from fix.connection import FixConnection
from fix.session import FixSession
from fix.session_events import GapClosed, HeartbeatRoundTrip, LoggedOn, LoggedOut, ResendServed, State
from fix.settings import SequencePolicy, SessionSettings
from fix.store import MemoryStore
from tests.fix.quickfix_peer import QuickFix
from tests.fix.session_kit import ACCEPTOR, INITIATOR, Recorder, settings

LONG = 20_000_000_000


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor(SystemClock())
    yield made
    made.close()


@pytest.fixture
def make_desk(reactor: Reactor) -> Iterator[Callable[..., "Desk"]]:
    desks: list[Desk] = []

    def make(given: SessionSettings, tls: TlsClient | None = None) -> Desk:
        desks.append(Desk(reactor, given, tls))
        return desks[-1]

    yield make
    for desk in desks:
        desk.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Desk:
    """Our end: one session on one reactor, which `until` turns."""

    def __init__(self, reactor: Reactor, given: SessionSettings, tls: TlsClient | None = None) -> None:
        self.reactor = reactor
        self.clock = reactor.clock
        self.app = Recorder()
        self.store = MemoryStore(self.clock.wall_ns())
        self.session = FixSession(given, self.store, self.app)
        self.connection = FixConnection(reactor, self.session)
        self.transport: TcpTransport | None = None
        self.tls = tls
        self.listener: Listener | None = None

    def connect(self, port: int) -> None:
        self.transport = TcpTransport(self.reactor, self.connection, "desk", self.tls)
        self.connection.attach(self.transport)
        self.transport.connect("localhost" if self.tls else "127.0.0.1", port)

    def connect_until_logged_on(self, port: int) -> None:
        """QuickFIX may not listen yet: try until it does."""

        def done() -> bool:
            if self.transport is None or self.transport.state.value == "closed":
                self.connect(port)
            return self.session.is_logged_on

        self.until(done)

    def listen(self) -> int:
        def accept(transport: TcpTransport) -> FixConnection:
            if self.session.state is not State.DISCONNECTED:  # it was quicker than the news of the last one's end
                self.reactor.call_soon(lambda: transport.close("busy"))
                return FixConnection(self.reactor, FixSession(ACCEPTOR, MemoryStore(1), Recorder()))
            self.connection.attach(transport)
            self.transport = transport
            return self.connection

        self.listener = Listener(self.reactor, "127.0.0.1", 0, accept, "desk")
        return self.listener.port

    def close(self) -> None:
        if self.listener is not None:
            self.listener.close()
        if self.transport is not None and self.session.state is not State.DISCONNECTED:
            self.cut()

    def until(self, condition) -> None:
        assert self.reactor.run_until(condition, LONG), (self.session.state, self.app.events[-5:])

    def order(self, cl_ord_id: str) -> int:
        body = b"11=%s\x0155=BTC/USD\x0154=1\x0138=1\x0140=2\x0144=50000\x01" % cl_ord_id.encode()
        return self.session.send("D", body, self.clock.mono_ns(), self.clock.wall_ns())

    def logout(self) -> None:
        self.session.logout("done", self.clock.mono_ns(), self.clock.wall_ns())
        self.connection.settle()
        self.until(lambda: self.session.state is State.DISCONNECTED)

    def cut(self) -> None:
        assert self.transport is not None
        self.transport.close("cut")
        self.until(lambda: self.session.state is State.DISCONNECTED)

    def exec_ids(self) -> list[int]:
        return [
            int(raw.split(b"\x0117=")[1].split(b"\x01")[0]) for kind, _, _, _, raw in self.app.messages if kind == "8"
        ]


def acceptor(reactor: Reactor, folder: Path, port: int, extra: str = "") -> QuickFix:
    return QuickFix(reactor, folder, "acceptor", f"SocketAcceptPort={port}\n{extra}")


def test_logon_orders_reports_and_logout(reactor, make_desk, tmp_path):
    desk, port = make_desk(INITIATOR), free_port()
    with acceptor(reactor, tmp_path, port) as venue:
        desk.connect_until_logged_on(port)
        for number in range(50):
            desk.order(f"o{number}")
        desk.until(lambda: len(desk.app.messages) == 100)
        desk.session.test_request(desk.clock.mono_ns(), desk.clock.wall_ns())
        desk.until(lambda: desk.app.events_of(HeartbeatRoundTrip))
        desk.logout()
    assert desk.exec_ids() == list(range(1, 101))
    assert [order for order, _ in venue.seen("order")] == [f"o{n}" for n in range(50)]
    assert desk.app.events_of(LoggedOut)[0].initiated
    assert all(not defects for _, _, _, defects, _ in desk.app.messages)


def test_numbers_go_on_over_a_forced_disconnect_and_lost_reports_come_again(reactor, make_desk, tmp_path):
    desk, port = make_desk(INITIATOR), free_port()
    with acceptor(reactor, tmp_path, port) as venue:
        desk.connect_until_logged_on(port)
        desk.order("a")
        desk.until(lambda: len(desk.app.messages) == 2)
        desk.cut()
        desk.until(lambda: venue.count("logout"))
        for number in range(3):  # reports while we are away: QuickFIX stores them
            venue.do("report", f"away{number}", "4")
        desk.until(lambda: venue.count("done") == 3)
        desk.connect_until_logged_on(port)
        desk.until(lambda: len(desk.app.messages) == 5 and not desk.session._gap.is_open)
        desk.order("b")
        desk.until(lambda: len(desk.app.messages) == 7)
        desk.logout()
    assert desk.exec_ids() == list(range(1, 8))
    assert desk.app.events_of(GapClosed)
    assert [flags for _, _, flags, _, _ in desk.app.messages][2:5] == [1, 1, 1]


def test_orders_lost_on_the_way_are_gap_filled_never_sent_again(reactor, make_desk, tmp_path):
    desk, port = make_desk(INITIATOR), free_port()
    with acceptor(reactor, tmp_path, port) as venue:
        desk.connect_until_logged_on(port)
        desk.session._write = lambda raw: True  # a network that swallows
        lost = [desk.order(f"lost{n}") for n in range(4)]
        desk.cut()
        desk.connect_until_logged_on(port)
        desk.until(lambda: desk.app.events_of(ResendServed))
        desk.order("after")
        desk.until(lambda: len(desk.app.messages) == 2)
        desk.logout()
    assert venue.seen("order") == [("after", False)]
    assert desk.app.events_of(ResendServed)[0] == ResendServed(lost[0], lost[-1] + 1, 0)


def test_reset_at_each_logon(reactor, make_desk, tmp_path):
    port = free_port()
    desk = make_desk(settings(sequence_policy=SequencePolicy.RESET_AT_LOGON, supports_resend=False))
    with acceptor(reactor, tmp_path, port):
        for round_ in (1, 2, 3):
            desk.connect_until_logged_on(port)
            desk.order(f"r{round_}")
            desk.until(lambda n=round_: len(desk.app.messages) == 2 * n)
            desk.cut()
    logons = desk.app.events_of(LoggedOn)
    assert [(e.reset, e.next_in, e.next_out) for e in logons] == [(True, 2, 2)] * 3


def test_a_number_too_low_for_the_peer_heals_by_a_fresh_logon(reactor, make_desk, tmp_path):
    port = free_port()
    desk = make_desk(INITIATOR)
    with acceptor(reactor, tmp_path, port):
        desk.connect_until_logged_on(port)
        desk.order("a")
        desk.until(lambda: len(desk.app.messages) == 2)
        desk.cut()
        amnesiac = make_desk(INITIATOR)  # a new store: its Logon carries 1
        amnesiac.connect_until_logged_on(port)
        amnesiac.order("b")
        amnesiac.until(lambda: len(amnesiac.app.messages) == 2)
        amnesiac.logout()
    assert amnesiac.app.events_of(LoggedOn)[-1].reset


def test_over_tls_with_verification(reactor, make_desk, tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    port = free_port()
    desk = make_desk(INITIATOR, TlsClient(ca_file=str(tmp_path / "ca.pem")))
    extra = (
        f"SocketAcceptPort={port}\nServerCertificateFile={tmp_path}/cert.pem\n"
        f"ServerCertificateKeyFile={tmp_path}/key.pem\nCertificateVerifyLevel=0\n"
    )
    with QuickFix(reactor, tmp_path, "tls-acceptor", extra):
        desk.connect_until_logged_on(port)
        assert desk.transport is not None
        assert desk.transport.tls_version.startswith("TLSv1.")
        for number in range(20):
            desk.order(f"o{number}")
        desk.until(lambda: len(desk.app.messages) == 40)
        desk.logout()
    assert desk.exec_ids() == list(range(1, 41))


def initiator(reactor: Reactor, folder: Path, port: int, extra: str = "") -> QuickFix:
    extra = f"SocketConnectHost=127.0.0.1\nSocketConnectPort={port}\n{extra}"
    return QuickFix(reactor, folder, "initiator", extra)


def report(desk: Desk, exec_id: int) -> None:
    body = b"37=o\x0117=%d\x01150=0\x0139=0\x0111=a\x01" % exec_id
    desk.session.send("8", body, desk.clock.mono_ns(), desk.clock.wall_ns())


def test_quickfix_logs_on_to_us_and_trades(reactor, make_desk, tmp_path):
    desk = make_desk(ACCEPTOR)
    port = desk.listen()
    with initiator(reactor, tmp_path, port) as client:
        desk.until(lambda: desk.session.is_logged_on and client.count("logon"))
        for number in range(30):
            client.do("order", f"q{number}")
        desk.until(lambda: len(desk.app.messages) == 30)
        for number in range(30):
            report(desk, number)
        desk.until(lambda: len(client.seen("report")) == 30)
    assert client.seen("report") == [(str(n), False) for n in range(30)]
    assert [seq for _, seq, *_ in desk.app.messages] == list(range(2, 32))


def test_quickfix_gets_again_what_was_lost(reactor, make_desk, tmp_path):
    desk = make_desk(ACCEPTOR)
    port = desk.listen()
    with initiator(reactor, tmp_path, port) as client:
        desk.until(lambda: desk.session.is_logged_on and client.count("logon"))
        report(desk, 1)
        desk.until(lambda: len(client.seen("report")) == 1)
        write, desk.session._write = desk.session._write, lambda raw: True
        for number in (2, 3, 4):
            report(desk, number)
        desk.session._write = write
        report(desk, 5)
        desk.until(lambda: len(client.seen("report")) == 5)
        desk.cut()
        desk.until(lambda: desk.session.is_logged_on)
        report(desk, 6)
        desk.until(lambda: len(client.seen("report")) == 6)
    assert [int(exec_id) for exec_id, _ in client.seen("report")] == [1, 2, 3, 4, 5, 6]
    assert [dup for _, dup in client.seen("report")][1:4] == [True, True, True]


def test_quickfix_resets_when_it_wants_to(reactor, make_desk, tmp_path):
    desk = make_desk(ACCEPTOR)
    port = desk.listen()
    with initiator(reactor, tmp_path, port, "ResetOnLogon=Y\n") as client:
        desk.until(lambda: desk.session.is_logged_on and client.count("logon"))
        client.do("order", "a")
        desk.until(lambda: len(desk.app.messages) == 1)
        desk.cut()
        desk.until(lambda: desk.session.is_logged_on and client.count("logon") == 2)
        client.do("order", "b")
        desk.until(lambda: len(desk.app.messages) == 2)
    assert [e.reset for e in desk.app.events_of(LoggedOn)] == [True, True]
    assert [seq for _, seq, *_ in desk.app.messages] == [2, 2]
