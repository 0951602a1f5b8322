"""HTTP/1.1 over h11 without I/O, for REST sides of venues; and the client that runs it on the reactor, with deadlines.

`ClientConnection` and `ServerConnection` turn bytes into answers and requests and back. `HttpClient` keeps one
connection to one address, sends requests one after the other on it, and ends every request with exactly one call:
an answer, or an `HttpFailure` that says whether the request may have reached the server.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import h11

from base.errors import VenueError
from base.reactor import Priority, Reactor, Timer
from base.tls import TlsClient
from base.transport import TcpTransport
from base.transport_types import Closed, Limits, State

MAX_BODY = 64 * 1024 * 1024

Headers = tuple[tuple[str, str], ...]


class HttpError(VenueError):
    """Bytes that are not HTTP, or a body beyond its bound."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request; Host and Content-Length are added when it is sent."""

    method: str
    target: str
    headers: Headers = ()
    body: bytes = b""

    def header(self, name: str, default: str = "") -> str:
        """First header of that name, whatever its case."""
        return _header(self.headers, name, default)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]


@dataclass(frozen=True, slots=True)
class Response:
    """An answer with its whole body."""

    status: int
    body: bytes = b""
    headers: Headers = ()

    def header(self, name: str, default: str = "") -> str:
        """First header of that name, whatever its case."""
        return _header(self.headers, name, default)


@dataclass(frozen=True, slots=True)
class HttpFailure:
    """No answer: why, and whether the request had left, so that the server may have acted on it."""

    reason: str
    sent: bool


Outcome = Response | HttpFailure


def _header(headers: Headers, name: str, default: str) -> str:
    wanted = name.lower()
    return next((v for n, v in headers if n.lower() == wanted), default)


def _text(headers: Any) -> Headers:
    return tuple((n.decode("ascii"), v.decode("latin-1")) for n, v in headers)


class _Reader:
    """Body collector over an h11 connection."""

    def __init__(self, role: Any, max_body: int) -> None:
        self.h11 = h11.Connection(role, max_incomplete_event_size=64 * 1024)
        self.max_body = max_body
        self.head: Any = None
        self.body = bytearray()

    def next(self) -> tuple[Any, bytes] | None:
        """(head, body) of the next whole message; None when more bytes are needed. HttpError when it is not HTTP."""
        while True:
            try:
                event = self.h11.next_event()
            except h11.RemoteProtocolError as error:
                raise HttpError(f"not HTTP/1.1: {error}") from None
            if isinstance(event, h11.EndOfMessage):
                whole = self.head, bytes(self.body)
                self.head, self.body = None, bytearray()
                return whole
            if isinstance(event, h11.Data):
                self.body += event.data
                if len(self.body) > self.max_body:
                    raise HttpError(f"body is longer than {self.max_body} bytes")
            elif isinstance(event, h11.Request | h11.Response):
                self.head = event
            elif not isinstance(event, h11.InformationalResponse):
                return None  # NEED_DATA, PAUSED, ConnectionClosed


class ClientConnection:
    """One client connection; one request at a time."""

    def __init__(self, host: str, max_body: int = MAX_BODY) -> None:
        self.host = host
        self._reader = _Reader(h11.CLIENT, max_body)

    @property
    def reusable(self) -> bool:
        """Whether another request can be sent on this connection."""
        h = self._reader.h11
        return h.our_state is h11.IDLE and h.their_state is h11.IDLE

    def request(self, request: Request) -> bytes:
        """Bytes of a request. HttpError when a header or target cannot be sent."""
        headers: list[tuple[str, str]] = [("Host", self.host), *request.headers]
        if request.body or request.method not in {"GET", "HEAD", "DELETE"}:
            headers.append(("Content-Length", str(len(request.body))))
        h = self._reader.h11
        try:
            out = h.send(h11.Request(method=request.method, target=request.target, headers=headers)) or b""
            if request.body:
                out += h.send(h11.Data(data=request.body)) or b""
            out += h.send(h11.EndOfMessage()) or b""
        except (h11.LocalProtocolError, UnicodeEncodeError) as error:
            raise HttpError(f"{request.method} {request.path}: cannot be sent: {error}") from None
        return bytes(out)

    def received(self, data: bytes | memoryview) -> Response | None:
        """The answer once it is whole. Empty `data` means that the peer closed. HttpError when it is not HTTP."""
        self._reader.h11.receive_data(bytes(data))
        found = self._reader.next()
        if found is None:
            return None
        head, body = found
        h = self._reader.h11
        if h.our_state is h11.DONE and h.their_state is h11.DONE:
            h.start_next_cycle()
        return Response(head.status_code, body, _text(head.headers))


class ServerConnection:
    """One server connection: requests out of bytes, one after the other."""

    def __init__(self, max_body: int = 1 << 20) -> None:
        self._reader = _Reader(h11.SERVER, max_body)

    def received(self, data: bytes | memoryview) -> Request | None:
        """The next whole request; further ones that came with it are had from `following`."""
        self._reader.h11.receive_data(bytes(data))
        return self.following()

    def following(self) -> Request | None:
        """A request that is already buffered."""
        found = self._reader.next()
        if found is None:
            return None
        head, body = found
        return Request(head.method.decode(), head.target.decode("latin-1"), _text(head.headers), body)

    def respond(self, response: Response) -> tuple[bytes, bool]:
        """Bytes of the answer, and whether the connection must be closed after them."""
        h = self._reader.h11
        headers = [*response.headers, ("Content-Length", str(len(response.body)))]
        out = h.send(h11.Response(status_code=response.status, headers=headers)) or b""
        if response.body:
            out += h.send(h11.Data(data=response.body)) or b""
        out += h.send(h11.EndOfMessage()) or b""
        close = h.our_state is h11.MUST_CLOSE
        if h.our_state is h11.DONE and h.their_state is h11.DONE:
            h.start_next_cycle()
        return bytes(out), close


class HttpDone(Protocol):
    """Hears the one outcome of a request."""

    def __call__(self, outcome: Outcome) -> object: ...


@dataclass(slots=True)
class _Job:
    request: Request
    done: HttpDone
    timer: Timer | None = None
    sent: bool = False


@dataclass(slots=True)
class _Queue:
    waiting: deque[_Job] = field(default_factory=deque)
    current: _Job | None = None


class HttpClient:
    """Requests to one address over one kept connection, on the reactor's loop; no retries of its own."""

    def __init__(
        self,
        reactor: Reactor,
        address: Callable[[], tuple[str, int]],
        name: str,
        tls: TlsClient | None = None,
        limits: Limits | None = None,
        priority: Priority = Priority.NORMAL,
        max_body: int = MAX_BODY,
    ) -> None:
        """`address` is asked before every connect, so that a moved simulated venue is found again."""
        self._reactor = reactor
        self._address = address
        self._max_body = max_body
        self._name = name
        self._transport = TcpTransport(reactor, self, name, tls, limits, priority)
        self._http: ClientConnection | None = None  # None while not connected
        self._host = ""
        self._connecting = False
        self._jobs = _Queue()

    @property
    def idle(self) -> bool:
        return self._jobs.current is None and not self._jobs.waiting

    def send(self, request: Request, deadline_ns: int, done: HttpDone) -> None:
        """Queue a request. `done` is called once, at `deadline_ns` (monotonic) at the latest."""
        job = _Job(request, done)
        job.timer = self._reactor.call_at(deadline_ns, lambda: self._late(job), f"{self._name} deadline")
        self._jobs.waiting.append(job)
        self._next()

    def close(self) -> None:
        """Drop the connection; what has no answer yet fails."""
        self._http, self._connecting = None, False
        self._transport.close("client closed")
        for job in [self._jobs.current, *self._jobs.waiting]:
            if job is not None:
                self._finish(job, HttpFailure("client closed", job.sent))

    # -- transport ------------------------------------------------------------------------------------------------

    def on_connected(self) -> None:
        self._connecting = False
        self._http = ClientConnection(self._host, self._max_body)
        self._next()

    def on_data(self, data: memoryview) -> None:
        http, job = self._http, self._jobs.current
        if http is None or job is None:
            self._drop("bytes that nobody asked for")
            return
        try:
            response = http.received(data)
        except HttpError as error:
            self._drop(str(error))
            self._finish(job, HttpFailure(str(error), job.sent))
            return
        if response is not None:
            self._answered(http, job, response)

    def _answered(self, http: ClientConnection, job: _Job, response: Response) -> None:
        if not http.reusable:
            self._drop("server keeps no connection")
        self._finish(job, response)

    def on_writable(self) -> None: ...

    def on_closed(self, reason: Closed) -> None:
        http, connecting = self._http, self._connecting
        self._http, self._connecting = None, False
        job = self._jobs.current
        if job is not None and job.sent:
            response = _at_eof(http)
            self._finish(job, response or HttpFailure(str(reason), job.sent))
        elif connecting and self._jobs.waiting:  # a connect failed: the oldest request pays for it
            self._finish(self._jobs.waiting[0], HttpFailure(str(reason), sent=False))
        else:
            self._next()

    # -- inside ---------------------------------------------------------------------------------------------------

    def _next(self) -> None:
        if self._jobs.current is not None or not self._jobs.waiting:
            return
        if self._http is None:
            self._connect()
            return
        job = self._jobs.waiting[0]
        try:
            data = self._http.request(job.request)
        except HttpError as error:
            self._drop(str(error))
            self._finish(job, HttpFailure(str(error), sent=False))
            return
        self._jobs.waiting.popleft()
        self._jobs.current, job.sent = job, True
        self._transport.write(data)

    def _connect(self) -> None:
        if self._connecting or not self._jobs.waiting:
            return
        if self._transport.state not in {State.IDLE, State.CLOSED}:
            return  # still closing: on_closed comes back here
        try:
            self._host, port = self._address()
            self._connecting = True
            self._transport.connect(self._host, port)
        except Exception as error:  # noqa: BLE001 - whatever the address source says, the request gets its answer
            self._connecting = False
            self._finish(self._jobs.waiting[0], HttpFailure(str(error), sent=False))

    def _drop(self, why: str) -> None:
        self._http = None
        self._transport.close(why)

    def _late(self, job: _Job) -> None:
        if job is self._jobs.current:
            self._drop("deadline passed")
        self._finish(job, HttpFailure("deadline passed", job.sent))

    def _finish(self, job: _Job, outcome: Outcome) -> None:
        if job is self._jobs.current:
            self._jobs.current = None
        elif job in self._jobs.waiting:
            self._jobs.waiting.remove(job)
        else:
            return
        if job.timer is not None:
            job.timer.cancel()
        job.done(outcome)
        self._next()


def _at_eof(http: ClientConnection | None) -> Response | None:
    """An answer that only the end of the connection ends."""
    if http is None:
        return None
    try:
        return http.received(b"")
    except HttpError:
        return None


def as_mapping(headers: Headers) -> Mapping[str, str]:
    """Headers by lower-case name; the last of equal names wins."""
    return {n.lower(): v for n, v in headers}
