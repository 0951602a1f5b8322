"""HTTP without I/O, and the client on the reactor: every request ends with exactly one outcome."""

import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.clock import SystemClock
from base.http import ClientConnection, HttpClient, HttpError, HttpFailure, Outcome, Request, Response, ServerConnection
from base.reactor import Reactor

SECOND = 1_000_000_000


def exchange(request: Request, response: Response, cut: int) -> tuple[Request, Response]:
    """Both ends joined, bytes delivered in pieces of `cut`."""
    client, server = ClientConnection("host"), ServerConnection()
    sent = client.request(request)
    got = None
    for n in range(0, len(sent), cut):
        got = server.received(sent[n : n + cut]) or got
    assert got is not None
    answer, close = server.respond(response)
    assert not close
    back = None
    for n in range(0, len(answer), cut):
        back = client.received(answer[n : n + cut]) or back
    assert back is not None
    assert client.reusable
    return got, back


@given(st.sampled_from(["GET", "POST", "DELETE"]), st.binary(max_size=300), st.binary(max_size=300), st.integers(1, 50))
def test_requests_and_answers_survive_any_chunking(method: str, body: bytes, answer: bytes, cut: int) -> None:
    request = Request(method, "/a/b?x=1", (("API-Key", "k"),), body if method == "POST" else b"")
    got, back = exchange(request, Response(201, answer, (("X-A", "b"),)), cut)
    assert (got.method, got.path, got.query, got.body) == (method, "/a/b", "x=1", request.body)
    assert (got.header("api-key"), got.header("host")) == ("k", "host")
    assert (back.status, back.body, back.header("x-a")) == (201, answer, "b")


def test_what_is_not_http_is_an_error_at_both_ends() -> None:
    with pytest.raises(HttpError):
        ServerConnection().received(b"8=FIX.4.4\x019=5\r\n\r\n")
    client = ClientConnection("h")
    client.request(Request("GET", "/"))
    with pytest.raises(HttpError):
        client.received(b"nonsense\r\n\r\n")


def test_a_body_beyond_its_bound_is_refused() -> None:
    client = ClientConnection("h", max_body=10)
    client.request(Request("GET", "/"))
    with pytest.raises(HttpError, match="longer than 10"):
        client.received(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + b"x" * 11)


def test_a_header_that_cannot_be_sent_is_an_error() -> None:
    with pytest.raises(HttpError, match="cannot be sent"):
        ClientConnection("h").request(Request("GET", "/", (("A", "b\r\nC: d"),)))


class Server:
    """Answers each connection by a function of the bytes it got, on a thread."""

    def __init__(self, behave: Callable[[socket.socket], None]) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.connections = 0
        self._behave = behave
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.listener.getsockname()[:2]
        return host, port

    def _run(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            with peer:
                self._behave(peer)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join(5)


def serve(peer: socket.socket, times: int = 1_000, close: bool = False) -> None:
    server = ServerConnection()
    for _ in range(times):
        request = None
        while request is None:
            data = peer.recv(4096)
            if not data:
                return
            request = server.received(data)
        headers = (("Connection", "close"),) if close else ()
        data, ends = server.respond(Response(200, request.target.encode(), headers))
        peer.sendall(data)
        if ends:
            return


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor(SystemClock())
    yield made
    made.close()


def outcomes(reactor: Reactor, server: Server, requests: int, seconds: float = 5) -> list[Outcome]:
    client = HttpClient(reactor, lambda: server.address, "rest")
    found: list[Outcome] = []
    for n in range(requests):
        client.send(Request("GET", f"/{n}"), reactor.clock.mono_ns() + int(seconds * SECOND), found.append)
    assert reactor.run_until(lambda: len(found) == requests, int((seconds + 5) * SECOND))
    client.close()
    reactor.run_once()
    server.close()
    return found


def test_requests_go_one_after_the_other_on_one_connection(reactor: Reactor) -> None:
    server = Server(serve)
    found = outcomes(reactor, server, 5)
    assert [o.body for o in found if isinstance(o, Response)] == [b"/0", b"/1", b"/2", b"/3", b"/4"]
    assert server.connections == 1


def test_a_server_that_closes_after_each_answer_is_connected_to_again(reactor: Reactor) -> None:
    server = Server(lambda peer: serve(peer, close=True))
    found = outcomes(reactor, server, 3)
    assert [o.body for o in found if isinstance(o, Response)] == [b"/0", b"/1", b"/2"]
    assert server.connections == 3


def test_silence_ends_at_the_deadline_and_says_that_it_was_sent(reactor: Reactor) -> None:
    done = threading.Event()
    server = Server(lambda peer: (peer.recv(4096), done.wait(0.6))[0] and None)
    (failure,) = outcomes(reactor, server, 1, seconds=0.3)
    done.set()
    assert failure == HttpFailure("deadline passed", sent=True)


def test_a_connection_that_breaks_mid_answer_is_a_failure_that_was_sent(reactor: Reactor) -> None:
    def behave(peer: socket.socket) -> None:
        peer.recv(4096)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    (failure,) = outcomes(reactor, Server(behave), 1)
    assert isinstance(failure, HttpFailure)
    assert failure.sent


def test_nobody_listening_is_a_failure_that_was_not_sent(reactor: Reactor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()
    found: list[Outcome] = []
    client = HttpClient(reactor, lambda: (address[0], address[1]), "rest")
    client.send(Request("GET", "/"), reactor.clock.mono_ns() + 5 * SECOND, found.append)
    assert reactor.run_until(lambda: found, 10 * SECOND)
    assert isinstance(found[0], HttpFailure)
    assert not found[0].sent


def test_closing_the_client_fails_what_waits(reactor: Reactor) -> None:
    found: list[Outcome] = []
    server = Server(serve)
    client = HttpClient(reactor, lambda: server.address, "rest")
    for _ in range(2):
        client.send(Request("GET", "/"), reactor.clock.mono_ns() + 5 * SECOND, found.append)
    client.close()
    assert [type(o) for o in found] == [HttpFailure, HttpFailure]
    reactor.run_once()
    server.close()
