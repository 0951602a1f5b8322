"""A FIX session on a transport and the poll loop: bytes, times and deadlines carried between them, nothing decided."""

from collections.abc import Callable

from base.reactor import Reactor, Timer
from base.transport import TcpTransport
from base.transport_types import Closed
from fix.session import FixSession
from fix.session_events import State


class FixConnection:
    """TransportHandler that drives one session; `attach` a transport, connected or about to be."""

    def __init__(self, reactor: Reactor, session: FixSession) -> None:
        self.session = session
        self._reactor = reactor
        self._mono_ns = reactor.clock.mono_ns
        self._wall_ns = reactor.clock.wall_ns
        self._transport: TcpTransport | None = None
        self._timer: Timer | None = None
        self._due_ns: int | None = None
        self._finished = False
        self._close_ns = 0

    def attach(self, transport: TcpTransport) -> None:
        """The transport that this session speaks over from its next connection on."""
        self._transport = transport

    # --- TransportHandler

    def on_connected(self) -> None:
        assert self._transport is not None
        self.begin(self._transport.write)

    def begin(self, write: Callable[[bytes], object]) -> None:
        """The connection stands; the session speaks through `write`."""
        self._finished = False
        self.session.connected(write, self._mono_ns(), self._wall_ns())
        self.settle()

    def on_data(self, data: memoryview) -> None:
        session = self.session
        session.received(data, self._mono_ns(), self._wall_ns())
        if session.deadline_ns != self._due_ns or session.state is State.DISCONNECTING:
            self.settle()

    def on_writable(self) -> None:
        """Nothing waits for it: the session writes at once, the transport queues."""

    def on_closed(self, reason: Closed) -> None:
        self.session.disconnected(str(reason), self._mono_ns(), self._wall_ns())
        self.settle()

    # --- deadlines and endings

    def settle(self) -> None:
        """Obey a wish to disconnect and keep the timer at the session's deadline; call it after using the session."""
        session = self.session
        due_ns = session.deadline_ns
        if session.state is State.DISCONNECTING and not self._finished and self._transport is not None:
            self._finished = True
            self._close_ns = self._mono_ns() + session.settings.logout_timeout_ns
            self._transport.finish()  # the Logout leaves, then the peer sees the end
        if due_ns == self._due_ns:
            return
        self._due_ns, timer = due_ns, self._timer
        if timer is not None:
            timer.cancel()
        if due_ns is not None:
            self._timer = self._reactor.call_at(due_ns, self._tick, f"{self.session.settings.name} deadline")

    def _tick(self) -> None:
        self._due_ns = None
        self.session.tick(self._mono_ns(), self._wall_ns())
        overdue = self._finished and self.session.state is State.DISCONNECTING and self._mono_ns() >= self._close_ns
        if overdue and self._transport is not None:
            self._transport.close("the peer did not close")
        self.settle()
