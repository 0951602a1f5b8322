"""A stream of bytes to or from a peer, TCP with or without TLS, on the poll loop.

Writes go to the socket at once, within the call; only what the kernel does not take is queued, up to a bound, and
passing the bound closes the connection (Closed.kind OVERFLOW): nothing is dropped from the middle of a stream. Reads
are drained until nothing is left, within a budget a turn. Every wait has a deadline. `on_closed` is called exactly
once for each `connect` or accepted connection, never from within a call of the owner's, `close` included.
"""

import fcntl
import mmap
import os
import socket
import ssl
import struct
import termios
from collections import deque
from typing import Any

from base.errors import ConfigError, TransportError
from base.reactor import Priority, Reactor, Timer
from base.tls import TlsClient, TlsEngine
from base.transport_types import Closed, CloseKind, Limits, State, TransportHandler, check_plain

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing drops what the kernel still holds and sends a reset
_ORDERLY = struct.pack("ii", 0, 0)

__all__ = ["CloseKind", "Closed", "Limits", "State", "TcpTransport", "TransportHandler", "check_plain"]


class _Nobody:
    """Stands in until an accepted connection has its owner."""

    def on_connected(self) -> None: ...

    def on_data(self, data: memoryview) -> None: ...

    def on_writable(self) -> None: ...

    def on_closed(self, reason: Closed) -> None: ...


class TcpTransport:
    """One connection at a time; after `on_closed` it may `connect` again."""

    def __init__(
        self,
        reactor: Reactor,
        handler: TransportHandler | None,
        name: str,
        tls: TlsClient | None = None,
        limits: Limits | None = None,
        priority: Priority = Priority.NORMAL,
        *,
        perishable: bool = False,
    ) -> None:
        """`perishable`: what the kernel still holds when this process dies is dropped, not delivered later."""
        self.name = name
        self._perishable = perishable
        self.state = State.IDLE
        self.peer = ""
        self._reactor = reactor
        self._handler: TransportHandler = handler or _Nobody()
        self._tls = tls
        self._limits = limits or Limits()
        self._priority = priority
        self._context = tls.context() if tls else None
        self._socket: socket.socket | None = None
        self._engine: TlsEngine | None = None
        self._queue: deque[memoryview] = deque()
        self._queued = 0
        self._ending = False
        self._deadline: Timer | None = None
        self._attempt = 0
        self._addresses: list[tuple[int, Any]] = []
        self._patience_ns = 0  # with each address
        self._server_name = ""
        # Anonymous maps: their pages cost nothing until the traffic needs them.
        self._cipher = memoryview(mmap.mmap(-1, self._limits.read_buffer))
        self._plain = memoryview(mmap.mmap(-1, self._limits.read_buffer))

    # -- what the owner asks for -----------------------------------------------------------------------------

    def connect(self, host: str, port: int, first: int = 0) -> None:
        """Resolve `host` anew and connect; the outcome is `on_connected` or `on_closed`.

        Of several addresses that with number `first` (counted round) is tried first, then the others: an address that
        answers and is of no use must not hold up the next attempt. Raises ConfigError for plain TCP to anything but a
        loopback address, TransportError while connected.
        """
        if self.state not in (State.IDLE, State.CLOSED):
            raise TransportError(f"{self.name}: connect while {self.state}")
        if self._tls is None:
            check_plain(host)
        self._begin(State.RESOLVING, self._limits.resolve_ns)
        self.peer = f"{host}:{port}"
        self._server_name = (self._tls.server_name if self._tls else "") or host
        attempt = self._attempt

        def resolved(found: Any, error: Exception | None) -> None:
            if attempt != self._attempt or self.state is not State.RESOLVING:
                return  # given up in the meantime
            if error is not None:
                self._end(Closed(CloseKind.RESOLVE, f"{host}: {error}"))
                return
            self.state = State.CONNECTING
            addresses = [(family, address) for family, _, _, _, address in found]
            turn = first % max(len(addresses), 1)
            self._addresses = addresses[turn:] + addresses[:turn]
            self._patience_ns = self._limits.connect_ns // max(len(addresses), 1)
            self._try_next("no address")

        def resolve() -> Any:
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)

        # A resolver that hangs must not take one helper thread after the other.
        self._reactor.run_blocking(resolve, resolved, f"resolve {host}:{port}", join=True)

    def write(self, data: bytes | bytearray | memoryview) -> bool:
        """Send at once what the kernel takes and queue the rest; True when nothing is queued.

        Raises TransportError unless the connection stands.
        """
        if self.state is not State.OPEN or self._ending:
            raise TransportError(f"{self.name}: write while {'ending' if self._ending else self.state}")
        engine = self._engine
        if engine is None or not data:
            return self._send(data)
        try:
            engine.encrypt(data)
        except ssl.SSLError as error:
            self._end_soon(Closed(CloseKind.TLS, str(error)))
            return False
        return self._send(engine.take())

    def finish(self) -> None:
        """Half-close: what is queued still leaves, then the peer is told that no more comes; reading goes on."""
        if self.state is not State.OPEN or self._ending:
            return
        self._ending = True
        if self._engine is not None:
            self._engine.end()
            self._send(self._engine.take())
        if not self._queued:
            self._shut_write()

    def close(self, detail: str = "") -> None:
        """End now, after one try to send what is queued; `on_closed` follows with kind LOCAL."""
        if self.state in (State.IDLE, State.CLOSING, State.CLOSED):
            return
        if self.state is State.OPEN and self._engine is not None and not self._ending:
            self._engine.end()
            self._send(self._engine.take())
        self._end_soon(Closed(CloseKind.LOCAL, detail))

    def abort(self, detail: str = "") -> None:
        """End now by a reset: nothing that waits here or in the kernel leaves; `on_closed` follows with kind LOCAL.

        What the peer's own kernel has taken already cannot be called back.
        """
        if self.state in (State.IDLE, State.CLOSING, State.CLOSED):
            return
        self._drop_socket(reset=True)
        self._end_soon(Closed(CloseKind.LOCAL, detail))

    @property
    def queued(self) -> int:
        """Bytes written that the kernel has not taken yet."""
        return self._queued

    @property
    def unacknowledged(self) -> int:
        """Bytes that the kernel took and the peer's has not acknowledged: they may still be delivered."""
        if self._socket is None or self.state in (State.IDLE, State.RESOLVING, State.CONNECTING):
            return 0
        try:
            held = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
        except OSError:  # the connection is gone, and with it what it held
            return 0
        return int(struct.unpack("i", held)[0])

    @property
    def certificate_expires_ns(self) -> int:
        """UTC ns at which the peer's verified certificate expires; 0 when there is none."""
        return self._engine.expires_ns() if self._engine is not None and self.state is State.OPEN else 0

    @property
    def tls_version(self) -> str:
        """TLSv1.2 or TLSv1.3; empty in the clear."""
        return self._engine.version if self._engine is not None else ""

    # -- coming to be ----------------------------------------------------------------------------------------

    @classmethod
    def accepted(
        cls, reactor: Reactor, accepted: socket.socket, peer: str, name: str, limits: Limits | None, priority: Priority
    ) -> "TcpTransport":
        """A transport for a socket that a Listener accepted; `serve` starts it."""
        transport = cls(reactor, None, name, None, limits, priority)
        transport.peer = peer
        transport._socket = accepted
        return transport

    def serve(self, handler: TransportHandler, context: ssl.SSLContext | None) -> None:
        """Begin to serve an accepted socket on behalf of `handler`."""
        self._begin(State.CONNECTING, self._limits.handshake_ns)
        self._handler = handler
        self._context = context
        self._stands()

    def _begin(self, state: State, deadline_ns: int) -> None:
        self._attempt += 1
        self.state = state
        self._ending = False
        self._queue.clear()
        self._queued = 0
        self._engine = None
        self._set_deadline(deadline_ns)

    def _set_deadline(self, ns: int) -> None:
        self._clear_deadline()
        self._deadline = self._reactor.call_later(ns, self._late, f"{self.name} deadline")

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        if self.state is State.CONNECTING and self._addresses:
            self._try_next("no answer")
            return
        self._end(Closed(CloseKind.TIMEOUT, f"still {self.state} to {self.peer}"))

    def _try_next(self, why: str) -> None:
        """Try the next address that the name resolved to; `why` tells what became of the one before."""
        self._drop_socket()
        if not self._addresses:
            self._end(Closed(CloseKind.CONNECT, f"{self.peer}: {why}"))
            return
        family, address = self._addresses.pop(0)
        self._set_deadline(self._patience_ns)
        sock = self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._perishable:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        try:
            if self._tls is None:
                check_plain(address[0])
            sock.connect(address)
        except BlockingIOError:
            self._reactor.set_writer(sock.fileno(), self._tcp_done, self.name)
        except (OSError, ConfigError) as error:
            self._try_next(str(error))
        else:
            self._stands()

    def _tcp_done(self) -> None:
        assert self._socket is not None
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._try_next(os.strerror(code))
            return
        self._reactor.set_writer(self._socket.fileno(), None)
        self._stands()

    def _stands(self) -> None:
        assert self._socket is not None
        self._reactor.add_reader(self._socket.fileno(), self._readable, self.name, self._priority)
        if self._context is None:
            self._opened()
            return
        self.state = State.HANDSHAKE
        self._set_deadline(self._limits.handshake_ns)
        self._engine = TlsEngine(self._context, self._server_name, server_side=self._tls is None)
        self._shake()

    def _shake(self) -> None:
        assert self._engine is not None
        try:
            complete = self._engine.handshake()
        except (ssl.SSLError, ValueError) as error:
            self._send(self._engine.take())  # the alert tells the peer why
            self._end(Closed(CloseKind.TLS, f"handshake with {self.peer}: {error}"))
            return
        self._send(self._engine.take())
        if complete and self._socket is not None:
            self._opened()

    def _opened(self) -> None:
        self._clear_deadline()
        self.state = State.OPEN
        self._handler.on_connected()

    # -- reading ---------------------------------------------------------------------------------------------

    def _readable(self) -> bool:
        for _ in range(self._limits.reads_per_turn):
            assert self._socket is not None
            try:
                got = self._socket.recv_into(self._cipher)
            except BlockingIOError:
                return False
            except OSError as error:
                self._end(Closed(CloseKind.RESET, str(error)))
                return False
            if not self._received(got):
                return False
            if got < len(self._cipher):
                return False  # the socket is empty; were more to come now, the loop would say so
        return True

    def _received(self, got: int) -> bool:
        """Deal with `got` bytes in the buffer, 0 at the end of the stream; False once it is closed."""
        if self._engine is None:
            if got:
                self._handler.on_data(self._cipher[:got])
            else:
                self._end(Closed(CloseKind.PEER))
            return self._socket is not None
        if got:
            self._engine.feed(self._cipher[:got])
        else:
            self._engine.feed_eof()
        if self.state is State.HANDSHAKE:
            self._shake()
        while self.state is State.OPEN and self._decrypt():
            pass
        if not got and self.state in (State.OPEN, State.HANDSHAKE):
            self._end(Closed(CloseKind.RESET, "cut off without a TLS close"))
        return self._socket is not None

    def _decrypt(self) -> bool:
        """Deliver what can be decrypted; True while there may be more."""
        engine = self._engine
        assert engine is not None
        if not engine.unread:
            return False
        try:
            size, ended = engine.read_into(self._plain)
        except ssl.SSLError as error:
            self._end(Closed(CloseKind.TLS, str(error)))
            return False
        if engine.pending_out:
            self._send(engine.take())  # TLS answers for itself: key updates, alerts
        if size:
            self._handler.on_data(self._plain[:size])
        if ended and self.state is State.OPEN:
            self._end(Closed(CloseKind.PEER))
        return size > 0 and self._engine is engine

    # -- writing ---------------------------------------------------------------------------------------------

    def _send(self, data: bytes | bytearray | memoryview) -> bool:
        assert self._socket is not None
        sent = 0
        if not self._queued:
            try:
                sent = self._socket.send(data) if data else 0
            except BlockingIOError:
                pass  # the kernel's buffer is full: all of it is queued
            except OSError as error:
                self._end_soon(Closed(CloseKind.RESET, str(error)))
                return False
            if sent == len(data):
                return True
        return self._enqueue(data, sent)

    def _enqueue(self, data: bytes | bytearray | memoryview, sent: int) -> bool:
        assert self._socket is not None
        rest = memoryview(bytes(memoryview(data)[sent:]))
        if self._queued + len(rest) > self._limits.write_queue:
            self._end_soon(Closed(CloseKind.OVERFLOW, f"{self._queued} bytes wait for {self.peer}"))
            return False
        if rest:
            self._queue.append(rest)
            self._queued += len(rest)
            self._reactor.set_writer(self._socket.fileno(), self._flush)
        return False

    def _flush(self) -> None:
        assert self._socket is not None
        while self._queue:
            head = self._queue[0]
            try:
                sent = self._socket.send(head)
            except BlockingIOError:
                return
            except OSError as error:
                self._end(Closed(CloseKind.RESET, str(error)))
                return
            self._queued -= sent
            if sent < len(head):
                self._queue[0] = head[sent:]
            else:
                self._queue.popleft()
        self._reactor.set_writer(self._socket.fileno(), None)
        if self._ending:
            self._shut_write()
        elif self.state is State.OPEN:
            self._handler.on_writable()

    def _shut_write(self) -> None:
        assert self._socket is not None
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._end_soon(Closed(CloseKind.RESET, str(error)))

    # -- ending ----------------------------------------------------------------------------------------------

    def _end_soon(self, reason: Closed) -> None:
        """Stop at once and tell the owner from the loop, since we may be inside one of its calls."""
        self._stop()
        if self.state in (State.CLOSING, State.CLOSED):
            return
        self.state = State.CLOSING
        self._reactor.call_soon(lambda: self._tell(reason), f"{self.name} closed")

    def _end(self, reason: Closed) -> None:
        self._stop()
        if self.state not in (State.CLOSING, State.CLOSED):
            self._tell(reason)

    def _tell(self, reason: Closed) -> None:
        self.state = State.CLOSED
        self._handler.on_closed(Closed(reason.kind, reason.detail, self._queued))

    def _stop(self) -> None:
        self._clear_deadline()
        self._drop_socket()

    def _drop_socket(self, *, reset: bool = False) -> None:
        if self._socket is not None:
            self._reactor.remove(self._socket.fileno())
            if reset or self._perishable:
                linger = _RESET if reset else _ORDERLY
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._socket.close()
            self._socket = None
