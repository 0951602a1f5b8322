"""The server on a real socket, and who would keep it busy for nothing. Its times are short here; nothing is timed."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from base.errors import ConfigError, SecretError, TransportError
from procs.monitor_web.protocol import Limits
from procs.monitor_web.server import WebServer, check_tls, listen, port_of, url_of
from tests.procs.monitor_web.kit import World

PATIENCE_S = 20.0
LIMITS = Limits(stall_s=0.3, connections=5)
STRICT = Limits(request_s=0.3)  # an honest client that the machine holds up is hung up on, too: it asks again
LAST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Running:
    """A page that is served."""

    def __init__(self, world: World, limits: Limits = LIMITS) -> None:
        self.world = world
        sock = listen(world.config)
        self.port = sock.getsockname()[1]
        self.url = url_of(world.config, sock)
        self.server = WebServer(world.config, sock, lambda: world.app, limits)
        self.server.start()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)

    def say(self, data: bytes) -> bytes:
        """Everything that comes back until the server hangs up."""
        with self.connect() as s:
            s.sendall(data)
            return until_the_end(s)

    def lives(self) -> bool:
        """An honest browser is answered, at the latest when it asks again."""
        end = time.monotonic() + PATIENCE_S
        while not self.say(LAST).startswith(b"HTTP/1.1 200"):
            assert time.monotonic() < end
        return True

    def stop(self) -> None:
        self.server.call(self.world.hub.close)
        self.server.stop()
        assert not self.server.alive


def asked(s: socket.socket) -> bytes:
    """An honest request on a connection that stands, and the whole answer."""
    s.sendall(GET)
    got = b""
    while not got.endswith(b'"fault":""}'):
        part = s.recv(1 << 16)
        assert part, got
        got += part
    assert got.startswith(b"HTTP/1.1 200")
    return got


def until_the_end(s: socket.socket) -> bytes:
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while part := s.recv(1 << 16):
            got += part
    return got


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(World(tmp_path_factory.mktemp("web")))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(World(tmp_path_factory.mktemp("strict")), STRICT)
    yield running
    running.stop()


def test_it_answers_several_requests_on_one_connection(web: Running) -> None:
    with web.connect() as s:
        for _ in range(3):
            asked(s)


def test_heads_that_do_not_end_are_hung_up_on(strict: Running) -> None:
    assert strict.say(b"") == b""
    assert strict.say(b"GET / HTTP/1.1\r\nHost: loc") == b""
    assert strict.lives()


def test_one_byte_at_a_time_keeps_nothing_open_nor_does_a_whole_request_before(strict: Running) -> None:
    with strict.connect() as s:
        s.sendall(GET)
        ended = threading.Event()
        threading.Thread(target=_drip, args=(s, ended), daemon=True).start()
        assert until_the_end(s).count(b"HTTP/1.1") <= 1
        ended.set()
    assert strict.lives()


def _drip(s: socket.socket, ended: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while not ended.wait(0.01):
            s.send(b"G")


def test_bodies_that_do_not_end_are_hung_up_on(strict: Running) -> None:
    head = b"POST /api/signin HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
    reply = strict.say(head + b"{")
    assert not reply or reply.startswith(b"HTTP/1.1 403")  # refused before it has come, then hung up on
    assert strict.lives()


def test_a_head_that_is_too_long_is_refused(web: Running) -> None:
    reply = web.say(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000)
    assert not reply or reply.startswith(b"HTTP/1.1 400")  # what was not read any more resets the connection
    assert web.lives()


def test_what_is_not_http_and_upgrades_are_refused(web: Running) -> None:
    assert web.say(b"\x16\x03\x01\x00\xa5 hello\r\n\r\n").startswith(b"HTTP/1.1 400")
    upgrade = b"GET /events HTTP/1.1\r\nHost: evil\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n\r\n"
    assert web.say(upgrade).startswith(b"HTTP/1.1 421")


def test_connections_beyond_the_limit_are_dropped_unread_and_those_within_go_on(web: Running) -> None:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(web.connect()) for _ in range(LIMITS.connections)]
        for s in held:
            asked(s)
        assert web.say(GET) == b""
        asked(held[0])
    assert web.lives()


def test_a_viewer_who_takes_nothing_is_hung_up_on(web: Running) -> None:
    hub = web.world.hub
    with web.connect() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        gone = threading.Event()
        data = b"x" * 200_000

        def feed() -> None:
            hub.feed({"desk": data}, [], b"{}")
            if hub.viewers or not seen.is_set():
                seen.set() if hub.viewers else None
                assert web.server.loop is not None
                web.server.loop.call_later(0.01, feed)
            else:
                gone.set()

        seen = threading.Event()
        web.server.call(feed)
        assert gone.wait(PATIENCE_S)
    assert web.lives()


def test_a_port_that_is_taken_is_named_and_the_one_before_is_tried_first(web: Running, tmp_path: Path) -> None:
    world = World(tmp_path, port=web.port)
    with pytest.raises(TransportError, match=f"127.0.0.1:{web.port}: cannot listen"):
        listen(world.config)
    free = World(tmp_path)
    file = tmp_path / "url"
    assert port_of(file) == 0
    file.write_text(f"{web.url}\n")
    assert port_of(file) == web.port
    with listen(free.config, web.port) as other:  # taken meanwhile: any other
        assert other.getsockname()[1] not in (0, web.port)
        before = other.getsockname()[1]
    with listen(free.config, before) as again:
        assert again.getsockname()[1] == before


def test_over_tls_and_with_files_that_cannot_be_used(tmp_path: Path) -> None:
    ca = trustme.CA()
    cert = ca.issue_cert("localhost")
    for name, blob in (("c.pem", cert.cert_chain_pems[0]), ("k.pem", cert.private_key_pem)):
        blob.write_to_path(tmp_path / name)
    (tmp_path / "k.pem").chmod(0o600)
    keys = {"tls_cert": str(tmp_path / "c.pem"), "tls_key": str(tmp_path / "k.pem")}
    world = World(tmp_path, host="localhost", **keys)
    check_tls(world.config)
    running = Running(world)
    try:
        assert running.url == f"https://localhost:{running.port}/"
        context = ssl.create_default_context(cadata=ca.cert_pem.bytes().decode())
        with running.connect() as plain, context.wrap_socket(plain, server_hostname="localhost") as s:
            assert b"strict-transport-security" in asked(s)
    finally:
        running.stop()
    (tmp_path / "k.pem").chmod(0o644)
    with pytest.raises(SecretError, match="chmod 600"):
        check_tls(world.config)
    with pytest.raises(ConfigError, match=r"nothing\.pem"):
        check_tls(World(tmp_path, tls_cert=str(tmp_path / "nothing.pem"), tls_key=str(tmp_path / "operators")).config)
