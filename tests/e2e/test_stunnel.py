"""The documented stunnel hop, with the stunnel that Debian has: orders go through it, wrong certificates do not."""

import contextlib
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from base.clock import SystemClock
from base.config import load
from base.instruments import Instrument
from base.reactor import Reactor
from ipc.events import AnyEvent, ExecutionReport
from ipc.requests import NewOrder
from quarterdeck.config_problems import problems
from sim.setup import Grant, Setup
from tests.sim.server import Running
from venues.context import session_context
from venues.interface import SessionPhase, TradingSession
from venues.link import Link
from venues.registry import dialect

STUNNEL = shutil.which("stunnel4") or shutil.which("stunnel")
EXAMPLE = Path(__file__).resolve().parents[2] / "config" / "examples" / "stunnel"
INSTRUMENT = Instrument("peer", "BTC-USD", "BTC/USD", 2, 8)
DEADLINE_S = 30

needs_stunnel = pytest.mark.skipif(STUNNEL is None, reason="no stunnel here: tools/debian-packages")
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def wait_for(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


class Hop:
    """The example's stunnel, with other addresses."""

    def __init__(self, folder: Path, connect: str, ca_file: str, name: str = "localhost") -> None:
        self._log = folder / "stunnel.log"
        for _ in range(5):  # another process may take a free port before stunnel does
            self.port = free_port()
            config = folder / "stunnel.conf"
            config.write_text(self._config(connect, ca_file, name))
            with self._log.open("w") as log:
                assert STUNNEL is not None
                self._process = subprocess.Popen([STUNNEL, str(config)], stdout=log, stderr=log)
            wait_for(lambda: "Configuration successful" in self.said or self._process.poll() is not None, "stunnel")
            if self._process.poll() is None:
                return
        raise AssertionError(self.said)

    def _config(self, connect: str, ca_file: str, name: str) -> str:
        text = (EXAMPLE / "stunnel.conf").read_text()
        for key, value in {
            "accept": f"127.0.0.1:{self.port}", "connect": connect, "sni": name, "checkHost": name, "CAfile": ca_file,
        }.items():  # fmt: skip
            text, count = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
            assert count == 1, key
        return text

    @property
    def said(self) -> str:
        return self._log.read_text()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)


@pytest.fixture
def hops(tmp_path: Path) -> Iterator[Callable[..., Hop]]:
    made: list[Hop] = []

    def make(connect: str, ca_file: str, name: str = "localhost") -> Hop:
        made.append(Hop(tmp_path, connect, ca_file, name))
        return made[-1]

    yield make
    for hop in made:
        hop.stop()


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Running]:
    grant = Grant("trading", "YOURDESK", "PEER", username="user", password="pw", name="peer-trd")
    running = Running("fix44", Setup("peer", [INSTRUMENT], [grant]), tmp_path)
    yield running
    running.stop()


class Desk:
    """The session of the example's desk on the real loop, through the hop."""

    def __init__(self, folder: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PEER_FIX_USER", "user")
        monkeypatch.setenv("PEER_FIX_PASSWORD", "pw")
        monkeypatch.setenv("QD_STATE_DIR", str(folder))
        text = (EXAMPLE / "desk.toml").read_text()
        text = text.replace("127.0.0.1:15001", f"127.0.0.1:{port}")
        path = folder / "desk.toml"
        path.write_text(text.replace("[desk]\n", f'[desk]\nshm_dir = "{folder}/shm"\ngate_dir = "{folder}/gate"\n'))
        self.desk = load(path)
        self.events: list[AnyEvent] = []
        self.phases: list[tuple[SessionPhase, str]] = []
        self.clock = SystemClock()
        self.reactor = Reactor(self.clock)
        context = session_context(self.desk, "peer-trd", self.clock.wall_ns())
        made = dialect("fix44")
        self.link = Link(self.reactor, self.desk, "peer-trd", self, lambda leg, _: made.trading(context, leg))

    @property
    def session(self) -> TradingSession:
        return self.link.session  # type: ignore[return-value]

    def event(self, event: AnyEvent) -> None:
        self.events.append(event)

    def phase(self, phase: SessionPhase, reason: str) -> None:
        self.phases.append((phase, reason))

    def alert(self, severity: str, code: str, text: str) -> None:
        self.phases.append((SessionPhase.DISCONNECTED, f"{severity} {code} {text}"))

    def until(self, condition: Callable[[], object]) -> None:
        assert self.reactor.run_until(condition, DEADLINE_S * 1_000_000_000), self.phases

    def close(self) -> None:
        with contextlib.suppress(AssertionError):
            self.link.stop("test over")
            self.until(lambda: self.phases and self.phases[-1][0] is SessionPhase.DISCONNECTED)
        self.link.close()
        self.reactor.close()


@needs_stunnel
def test_logon_order_and_report_go_through_the_hop(tmp_path, venue, hops, monkeypatch) -> None:
    hop = hops(venue.endpoint("trading"), venue.ca)
    desk = Desk(tmp_path, hop.port, monkeypatch)
    try:
        desk.link.start()
        desk.until(lambda: desk.session.phase is SessionPhase.READY)
        order = NewOrder(client_id="c", command_id="1", deadline_ns=0, venue="peer", instrument="BTC-USD", side="1",
                         ord_type="2", order_qty=10**8, price=5_000_000)  # fmt: skip
        now = desk.clock.mono_ns(), desk.clock.wall_ns()
        cl_ord_id = desk.session.make_cl_ord_id(now[1])
        desk.session.new_order(order, INSTRUMENT, cl_ord_id, *now)
        desk.until(lambda: any(isinstance(e, ExecutionReport) for e in desk.events))
        report = next(e for e in desk.events if isinstance(e, ExecutionReport))
        assert (report.cl_ord_id, report.exec_type) == (cl_ord_id, "0")
        assert [o["cl_ord_id"] for o in venue.control("GET", "/working")["orders"]] == [cl_ord_id]
    finally:
        desk.close()


@needs_stunnel
def test_after_the_hop_was_gone_the_session_comes_back_and_goes_on(tmp_path, venue, hops, monkeypatch) -> None:
    hop = hops(venue.endpoint("trading"), venue.ca)
    desk = Desk(tmp_path, hop.port, monkeypatch)
    try:
        desk.link.start()
        desk.until(lambda: desk.session.phase is SessionPhase.READY)
        hop.stop()
        desk.until(lambda: desk.session.phase is SessionPhase.DISCONNECTED)
        monkeypatch.setattr("tests.e2e.test_stunnel.free_port", lambda: hop.port)
        hops(venue.endpoint("trading"), venue.ca)
        desk.until(lambda: desk.session.phase is SessionPhase.READY)
        assert desk.session.numbers()[0] > 2  # they went on
    finally:
        desk.close()


@needs_stunnel
@pytest.mark.parametrize("wrong", ["name", "authority"])
def test_a_wrong_certificate_is_refused_by_the_hop(tmp_path, venue, hops, monkeypatch, wrong) -> None:
    other = tmp_path / "other-ca.pem"
    trustme.CA().cert_pem.write_to_path(other)
    if wrong == "name":
        hop = hops(venue.endpoint("trading"), venue.ca, "other.example")
    else:
        hop = hops(venue.endpoint("trading"), str(other))
    desk = Desk(tmp_path, hop.port, monkeypatch)
    try:
        desk.link.start()
        desk.until(lambda: "certificate verify failed" in hop.said.lower() and desk.phases
                   and desk.phases[-1][0] is SessionPhase.DISCONNECTED)  # fmt: skip
        assert all(phase is not SessionPhase.READY for phase, _ in desk.phases)
        assert venue.control("GET", "/stats")["sessions"] == []
    finally:
        desk.close()


@needs_stunnel
def test_the_hop_says_which_host_it_wants(tmp_path, hops) -> None:
    """SNI, seen by a server that keeps it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    seen: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: seen.append(name)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                with connection, context.wrap_socket(connection, server_side=True) as wrapped:
                    wrapped.recv(10)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        hop = hops(f"127.0.0.1:{server.getsockname()[1]}", str(tmp_path / "ca.pem"))
        with socket.create_connection(("127.0.0.1", hop.port), 5) as client:
            client.sendall(b"8=FIX")
            wait_for(lambda: seen, hop.said)
        thread.join(10)
    assert seen == ["localhost"]


def test_the_example_desk_wants_nothing_but_its_secrets() -> None:
    found = problems(load(EXAMPLE / "desk.toml"))
    assert found
    assert all("PEER_FIX_" in line or "secret" in line.lower() for line in found), found


def test_a_hop_on_another_host_is_refused(tmp_path) -> None:
    path = tmp_path / "desk.toml"
    path.write_text((EXAMPLE / "desk.toml").read_text().replace("127.0.0.1:15001", "10.0.0.5:15001"))
    assert any("loopback" in line for line in problems(load(path)))


def test_the_example_is_on_loopback_and_checks_chain_and_name() -> None:
    text = (EXAMPLE / "stunnel.conf").read_text()
    settings = dict(re.findall(r"(?m)^(\w+) = ?(.*)$", text))
    assert settings["accept"] == "127.0.0.1:15001"
    assert settings["verifyChain"] == "yes"
    assert settings["sni"] == settings["checkHost"] == settings["connect"].partition(":")[0]
    assert "127.0.0.1:15001" in (EXAMPLE / "desk.toml").read_text()
