"""Accepted connections and the sessions they belong to: one connection an identity, strangers are shown out."""

import ssl
from collections.abc import Callable, Sequence

from base.listener import Listener
from base.reactor import Reactor, Timer
from base.transport import TcpTransport
from base.transport_types import Closed, Limits
from fix.admission import Admission, Caller
from fix.connection import FixConnection
from fix.session import FixSession
from fix.session_events import State
from fix.settings import SECOND_NS

PATIENCE_NS = SECOND_NS // 5
"""How long a Logon waits for the news that the connection before it has ended; both may be read in one turn."""
MAX_WAITING = 256
"""Connections that have not logged on yet; more are closed at once."""


class FixAcceptor:
    """Listens, and gives each connection to the acceptor session whose identity its Logon names.

    A second connection of an identity that is logged on is closed without a word; the first does not notice.
    """

    def __init__(
        self,
        reactor: Reactor,
        host: str,
        port: int,
        sessions: Sequence[FixSession],
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        name: str = "fix acceptor",
        dress: Callable[[bytes], bytes] | None = None,
    ) -> None:
        """`dress` may reorder what leaves. ConfigError, TransportError as of base.listener."""
        self.reactor = reactor
        self.refused = 0
        """Connections that were closed before they reached a session."""
        self._dress = dress
        self._lines = {_identity(session): _Line(reactor, session) for session in sessions}
        self._waiting: set[_Door] = set()
        self._logon_timeout_ns = max(session.settings.logon_timeout_ns for session in sessions)
        self._listener = Listener(reactor, host, port, self._accept, name, tls, limits)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._listener.port

    @property
    def busy(self) -> bool:
        """True while there is a connection, of a session or of somebody who waits for one."""
        up = (line.session.state not in (State.DISCONNECTED, State.HALTED) for line in self._lines.values())
        return bool(self._waiting) or any(up)

    def logout(self, text: str) -> None:
        """No more callers; sessions that are logged on begin their Logout."""
        self._stop_listening()
        clock = self.reactor.clock
        for line in self._lines.values():
            line.session.logout(text, clock.mono_ns(), clock.wall_ns())
            line.settle()

    def close(self) -> None:
        """Close everything that is left."""
        self._stop_listening()
        self.hang_up("closing")

    def _stop_listening(self) -> None:
        self._listener.close()
        for door in list(self._waiting):
            door.show_out("closing")

    def hang_up(self, why: str) -> None:
        """End the connections of all sessions; callers may come again."""
        for line in self._lines.values():
            line.hang_up(why)

    def _accept(self, transport: TcpTransport) -> "_Door":
        return _Door(self, transport, self._logon_timeout_ns)

    # --- for doors

    def enter(self, door: "_Door") -> bool:
        """A new connection; False when too many wait already."""
        if len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting.add(door)
        return True

    def leave(self, door: "_Door") -> None:
        """It has a session now, or is gone."""
        self._waiting.discard(door)

    def line_of(self, caller: Caller) -> "_Line | None":
        """The session that a caller means."""
        return self._lines.get(caller)

    def dressed(self, write: Callable[[bytes], object]) -> Callable[[bytes], object]:
        """`write` with what is done to each message before it leaves."""
        dress = self._dress
        return write if dress is None else lambda raw: write(dress(raw))


class _Line(FixConnection):
    """A session and the connection that it has at present."""

    def __init__(self, reactor: Reactor, session: FixSession) -> None:
        super().__init__(reactor, session)
        self.transport: TcpTransport | None = None

    def take(self, transport: TcpTransport, write: Callable[[bytes], object], received: bytearray) -> None:
        self.transport = transport
        self.attach(transport)
        self.begin(write)
        self.on_data(memoryview(received))

    def hang_up(self, why: str) -> None:
        if self.transport is not None:
            self.transport.close(why)

    def on_closed(self, reason: Closed) -> None:
        self.transport = None
        super().on_closed(reason)


class _Door:
    """TransportHandler of one accepted connection: who is it, and is its session free?"""

    def __init__(self, acceptor: FixAcceptor, transport: TcpTransport, logon_timeout_ns: int) -> None:
        self._acceptor = acceptor
        self._transport = transport
        self._admission = Admission()
        self._line: _Line | None = None
        self._closing = False
        self._late: Timer | None = None
        self._logon_timeout_ns = logon_timeout_ns

    def on_connected(self) -> None:
        if not self._acceptor.enter(self):
            self.show_out("too many connections wait for their Logon")
            return
        self._set_timer(self._logon_timeout_ns, lambda: self.show_out("no Logon in time"))

    def on_data(self, data: memoryview) -> None:
        if self._line is not None:
            self._line.on_data(data)
            return
        if self._closing:
            return
        known = self._admission.caller
        self._admission.feed(data)
        if self._admission.refusal:
            self.show_out(self._admission.refusal)
        elif known is None and self._admission.caller is not None:
            self._arrive(self._admission.caller)

    def on_writable(self) -> None:
        """Nothing waits for it."""

    def on_closed(self, reason: Closed) -> None:
        self._closing = True
        self._set_timer(0, None)
        self._acceptor.leave(self)
        if self._line is not None:
            line, self._line = self._line, None
            line.on_closed(reason)

    def show_out(self, why: str) -> None:
        """Close without a word."""
        if not self._closing:
            self._closing = True
            self._acceptor.refused += 1
            self._transport.close(why)

    def _arrive(self, caller: Caller) -> None:
        line = self._acceptor.line_of(caller)
        if line is None:
            self.show_out(f"nobody here is {caller}")
        elif line.session.state is State.DISCONNECTED:
            self._admit(line)
        else:
            if line.session.state is State.DISCONNECTING:
                line.hang_up("the peer is back")  # its Logout has left, or never will
            self._set_timer(PATIENCE_NS, lambda: self._last_try(line))

    def _last_try(self, line: _Line) -> None:
        if line.session.state is State.DISCONNECTED:
            self._admit(line)
        else:
            self.show_out("the identity is logged on")

    def _admit(self, line: _Line) -> None:
        self._set_timer(0, None)
        self._acceptor.leave(self)
        self._line = line
        line.take(self._transport, self._acceptor.dressed(self._transport.write), self._admission.received)

    def _set_timer(self, ns: int, callback: Callable[[], object] | None) -> None:
        if self._late is not None:
            self._late.cancel()
        reactor = self._acceptor.reactor
        self._late = reactor.call_later(ns, callback, f"{self._transport.name} logon") if callback else None


def _identity(session: FixSession) -> Caller:
    settings = session.settings
    return Caller(
        settings.begin_string.encode(), settings.target_comp_id.encode(), settings.sender_comp_id.encode()
    )  # fmt: skip
