"""The accepting side of base.transport."""

import errno
import logging
import socket
import ssl
from collections.abc import Callable

from base.errors import TransportError
from base.reactor import Priority, Reactor
from base.transport import TcpTransport
from base.transport_types import Limits, TransportHandler, check_plain

ACCEPTS_PER_TURN = 64
OUT_OF_DESCRIPTORS_PAUSE_NS = 100_000_000

log = logging.getLogger("listener")


class Listener:
    """Accepts connections at an address and makes a TcpTransport of each."""

    def __init__(
        self,
        reactor: Reactor,
        host: str,
        port: int,
        accept: Callable[[TcpTransport], TransportHandler],
        name: str,
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        priority: Priority = Priority.NORMAL,
    ) -> None:
        """Listen at once; `accept` is given each new transport, before it stands, and returns its handler.

        Raises ConfigError for plain TCP on anything but loopback, TransportError when the address cannot be had.
        """
        if tls is None:
            check_plain(host)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family, backlog=128)
        except OSError as error:
            raise TransportError(f"{name}: cannot listen at {host}:{port}: {error}") from error
        self._socket.setblocking(False)
        self.host: str = host
        self.port: int = self._socket.getsockname()[1]
        self.name = name
        self._reactor = reactor
        self._accept = accept
        self._tls = tls
        self._limits = limits
        self._priority = priority
        self._open = True
        self._watch()

    def close(self) -> None:
        """Stop listening; accepted connections live on."""
        if self._open:
            self._open = False
            self._reactor.remove(self._socket.fileno())
            self._socket.close()

    def _watch(self) -> None:
        if self._open:
            self._reactor.add_reader(self._socket.fileno(), self._acceptable, self.name, self._priority)

    def _acceptable(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            if not self._open:
                return
            try:
                accepted, address = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._cannot_accept(error)
                return
            self._adopt(accepted, f"{address[0]}:{address[1]}")

    def _cannot_accept(self, error: OSError) -> None:
        log.warning("%s: accept: %s", self.name, error)
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            # The connection stays in the backlog: asking again at once would spin.
            self._reactor.remove(self._socket.fileno())
            self._reactor.call_later(OUT_OF_DESCRIPTORS_PAUSE_NS, self._watch, f"{self.name} accept again")

    def _adopt(self, accepted: socket.socket, peer: str) -> None:
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = TcpTransport.accepted(
            self._reactor, accepted, peer, f"{self.name} {peer}", self._limits, self._priority
        )
        transport.serve(self._accept(transport), self._tls)
