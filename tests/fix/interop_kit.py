"""Our end of an interoperation test: a session with its store on a reactor, initiator or acceptor, plain or TLS."""

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import trustme

from base.clock import SystemClock
from base.errors import TransportError
from base.listener import Listener
from base.reactor import Reactor
from base.tls import TlsClient, server_context
from base.transport import TcpTransport
from fix.codec import Message
from fix.connection import FixConnection
from fix.dictionary import Dictionary
from fix.file_store import FileStore
from fix.session import FixSession
from fix.session_events import RejectReceived, RejectSent, State
from fix.settings import Role, SequencePolicy, SessionSettings, Validation
from fix.store import MemoryStore, MessageStore
from tests.fix.quickfix_peer import VERSIONS, QuickFix
from tests.fix.session_kit import ACCEPTOR, INITIATOR, Recorder

LONG = 60_000_000_000
AGAIN_NS = 20_000_000
PESTER_NS = 200_000_000


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Certificates(NamedTuple):
    """PEM files of an authority and a server called localhost."""

    ca: str
    cert: str
    key: str

    @classmethod
    def make(cls, folder: Path) -> "Certificates":
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost")
        authority.cert_pem.write_to_path(folder / "ca.pem")
        certificate.private_key_pem.write_to_path(folder / "key.pem")
        certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
        return cls(*(str(folder / f"{name}.pem") for name in ("ca", "cert", "key")))


def of_version(role: Role, version: str, heartbeat_s: int = 30) -> SessionSettings:
    """Strict settings: what QuickFIX sends is held against our dictionary, as it holds ours against it."""
    begin, appl, _ = VERSIONS[version]
    return replace(
        INITIATOR if role is Role.INITIATOR else ACCEPTOR,
        begin_string=begin, default_appl_ver_id=appl, heartbeat_s=heartbeat_s,
        validation=Validation.OFF if version == "any" else Validation.REJECT,
        sequence_policy=SequencePolicy.CONTINUE,
    )  # fmt: skip


class Desk:
    """One session on one reactor, which `until` turns."""

    def __init__(
        self, reactor: Reactor, given: SessionSettings, *, version: str = "any", folder: Path | None = None,
        certificates: Certificates | None = None,
    ) -> None:  # fmt: skip
        self.reactor = reactor
        self.clock: SystemClock = reactor.clock  # type: ignore[assignment]
        self.version = version
        self.app = Recorder()
        now = self.clock.wall_ns()
        self.store: MessageStore = FileStore(folder, now) if folder else MemoryStore(now)
        dictionary = None if version == "any" else Dictionary.standard(version)
        self.session = FixSession(given, self.store, self.app, dictionary=dictionary)
        self.connection = FixConnection(reactor, self.session)
        self.transport: TcpTransport | None = None
        self.certificates = certificates
        self.listener: Listener | None = None
        self.attempts = 0
        self._port = 0
        self._exec = 0

    # -- connections -----------------------------------------------------------------------------------------

    def connect(self, port: int) -> None:
        """One attempt."""
        self.attempts += 1
        tls = TlsClient(ca_file=self.certificates.ca) if self.certificates else None
        self.transport = TcpTransport(self.reactor, self.connection, "desk", tls)
        self.connection.attach(self.transport)
        self.transport.connect("localhost" if tls else "127.0.0.1", port)

    def keep_connected(self, port: int) -> None:
        """Connect, and again whenever the connection is gone."""
        began, self._port = self._port == 0, port
        if began:
            self._keep()

    def _keep(self) -> None:
        if not self._port:
            return
        closed = self.transport is None or self.transport.state.value == "closed"
        if closed and self.session.state is State.DISCONNECTED:
            self.connect(self._port)
        self.reactor.call_later(AGAIN_NS, self._keep, "again")

    def connect_until_logged_on(self, port: int) -> None:
        """QuickFIX may not listen yet: try until it does."""
        self.keep_connected(port)
        self.until(lambda: self.session.is_logged_on)
        self._port = 0

    def listen(self, port: int = 0) -> int:
        """Take one connection at a time; a second one is shut at once."""

        def accept(transport: TcpTransport) -> FixConnection:
            if self.session.state is not State.DISCONNECTED:  # it was quicker than the news of the last one's end
                stranger = FixConnection(self.reactor, FixSession(ACCEPTOR, MemoryStore(1), Recorder()))
                stranger.attach(transport)
                self.reactor.call_soon(lambda: transport.close("busy"))
                return stranger
            self.connection.attach(transport)
            self.transport = transport
            return self.connection

        c = self.certificates
        tls = server_context(c.cert, c.key) if c else None
        self.listener = Listener(self.reactor, "127.0.0.1", port, accept, "desk", tls)
        return self.listener.port

    def close(self) -> None:
        """End everything; the store may be opened by another."""
        self._port = 0
        if self.listener is not None:
            self.listener.close()
            self.listener = None
        if self.transport is not None and self.session.state is not State.DISCONNECTED:
            self.cut()
        if self.transport is not None and self.transport.state.value != "closed":
            self.transport.close("done")
        self.store.close()

    def until(self, condition: Callable[[], object]) -> None:
        """Turn the loop until it holds."""
        assert self.reactor.run_until(condition, LONG), self.told()

    def pester(self, condition: Callable[[], object]) -> None:
        """As `until`, with a question to the peer now and then: an answer shows what the peer sent and we have not."""
        due_ns = 0

        def holds() -> bool:
            nonlocal due_ns
            if condition():
                return True
            now_ns = self.clock.mono_ns()
            if now_ns >= due_ns and self.session.is_logged_on:
                due_ns = now_ns + PESTER_NS
                self.ask()
            return False

        self.until(holds)

    def told(self) -> object:
        """What a failing test shows."""
        numbers = self.store.next_in, self.store.next_out
        return self.session.state, numbers, len(self.app.messages), self.app.events[-8:]

    def logout(self) -> None:
        self.session.logout("done", self.clock.mono_ns(), self.clock.wall_ns())
        self.connection.settle()
        self.until(lambda: self.session.state is State.DISCONNECTED)

    def cut(self) -> None:
        assert self.transport is not None
        self.transport.close("cut")
        self.until(lambda: self.session.state is State.DISCONNECTED)

    # -- messages --------------------------------------------------------------------------------------------

    def send(self, msg_type: str, body: bytes) -> int:
        """Its number; what meets a connection that has just broken is stored all the same."""
        seq = self.store.next_out
        with suppress(TransportError):
            self.session.send(msg_type, body, self.clock.mono_ns(), self.clock.wall_ns())
        self.connection.settle()
        return seq

    def order(self, cl_ord_id: str) -> int:
        """Side, quantity and price are always the same; the fields are in the order of the dictionary."""
        handling = b"21=1\x01" if self.version == "4.2" else b""
        body = b"11=%s\x01%s55=BTC/USD\x0154=1\x0160=%s\x0138=1\x0140=2\x0144=50000\x01"
        return self.send("D", body % (cl_ord_id.encode(), handling, now_text()))

    def report(self, exec_id: int | str, *, filled: bool = False) -> int:
        """An acceptor's report."""
        old = self.version == "4.2"
        body = [b"37=o", b"11=a", b"17=%s" % str(exec_id).encode(), *([b"20=0"] if old else [])]
        status = b"2" if filled else b"0"
        body += [b"150=" + (b"F" if filled and not old else status), b"39=" + status]
        body += [b"55=BTC/USD", b"54=1", b"38=1", *([b"32=1", b"31=50000"] if filled else [])]
        body += [b"151=0", b"14=1", b"6=50000"] if filled else [b"151=1", b"14=0", b"6=0"]
        return self.send("8", b"\x01".join([*body, b"60=" + now_text()]) + b"\x01")

    def ask(self) -> None:
        """A TestRequest."""
        with suppress(TransportError):
            self.session.test_request(self.clock.mono_ns(), self.clock.wall_ns())
        self.connection.settle()

    def answer(self, message: Message) -> None:
        """An acceptor's two reports on an order, as QuickFIX's side of these tests gives them."""
        if message.msg_type == "D":
            for filled in (False, True):
                self._exec += 1
                self.report(f"d{self._exec}", filled=filled)

    def subscribe(self, req_id: str) -> int:
        body = b"262=%s\x01263=1\x01264=0\x01265=1\x01267=2\x01269=0\x01269=1\x01146=1\x0155=BTC/USD\x01"
        return self.send("V", body % req_id.encode())

    def market_data(self, req_id: str, updates: int) -> None:
        """A snapshot, then updates."""
        head = b"262=%s\x01" % req_id.encode()
        self.send("W", head + b"55=BTC/USD\x01268=2\x01269=0\x01270=49999\x01271=1\x01269=1\x01270=50001\x01271=1\x01")
        for n in range(updates):
            self.send("X", head + b"268=1\x01279=1\x01269=0\x0155=BTC/USD\x01270=49999\x01271=%d\x01" % (n + 1))

    # -- looking ---------------------------------------------------------------------------------------------

    def ids(self, tag: int, *kinds: str) -> list[str]:
        """A field of every message of these types, in the order of arrival."""
        return [
            raw.split(b"\x01%d=" % tag, 1)[1].split(b"\x01")[0].decode()
            for kind, _, _, _, raw in self.app.messages
            if kind in kinds
        ]

    def exec_ids(self) -> list[str]:
        return self.ids(17, "8")

    def agree(self, peer: QuickFix) -> None:
        """Wait until both sides expect what the other sends next; QuickFIX is asked again and again."""
        asked = peer.count("numbers")

        def same() -> bool:
            nonlocal asked
            if peer.count("numbers") < asked:
                return False
            told = peer.last("numbers")
            if told and (told["out"], told["into"]) == (self.store.next_in, self.store.next_out):
                return True
            asked = peer.count("numbers") + 1
            peer.do("numbers")
            return False

        self.pester(same)

    def no_rejects(self, peer: QuickFix) -> None:
        """Neither side found fault with what the other said."""
        assert not self.app.events_of(RejectSent)
        assert not self.app.events_of(RejectReceived)
        assert not [e for e in peer.events if e["event"] in {"reject", "rejected"}]


def now_text() -> bytes:
    """TransactTime(60) in whole seconds."""
    return time.strftime("%Y%m%d-%H:%M:%S", time.gmtime()).encode()


def acceptor(
    reactor: Reactor, folder: Path, port: int, version: str = "any", certificates: Certificates | None = None,
    heartbeat: int = 30,
) -> QuickFix:  # fmt: skip
    """QuickFIX listening."""
    extra = f"SocketAcceptPort={port}\n"
    if certificates:
        extra += f"ServerCertificateFile={certificates.cert}\nServerCertificateKeyFile={certificates.key}\n"
        extra += "CertificateVerifyLevel=0\n"
    return QuickFix(reactor, folder, "tls-acceptor" if certificates else "acceptor", extra, version, heartbeat)


def initiator(
    reactor: Reactor, folder: Path, port: int, version: str = "any", certificates: Certificates | None = None,
    heartbeat: int = 30, extra: str = "",
) -> QuickFix:  # fmt: skip
    """QuickFIX connecting."""
    host = "localhost" if certificates else "127.0.0.1"
    extra = f"SocketConnectHost={host}\nSocketConnectPort={port}\n{extra}"
    if certificates:
        extra += f"CertificationAuthoritiesFile={certificates.ca}\nCertificateVerifyLevel=1\n"
        extra += "SSLProtocol=-all +TLSv1.2 +TLSv1.3\n"
    return QuickFix(reactor, folder, "tls-initiator" if certificates else "initiator", extra, version, heartbeat)
