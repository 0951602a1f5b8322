"""One session on one connection: sink of the former, handler of the latter. Its Link decides what follows."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from base.transport import Closed, CloseKind, TcpTransport
from ipc._metrics import CountedWrite, Histogram, Stamp
from ipc.events import AnyEvent
from venues.interface import SessionPhase, VenueSession
from venues.watch import Act, Watch

if TYPE_CHECKING:
    from venues.link import Link

REFUSED = "logon refused"
"""Begins the reason with which a session disconnects after the venue's no."""
_BY_THE_VENUE = (CloseKind.PEER, CloseKind.RESET)
_WATCHED = {
    SessionPhase.LOGGING_ON: "logging on",
    SessionPhase.RECOVERING: "recovering",
    SessionPhase.LOGGING_OUT: "logging out",
}


class Owner(Protocol):
    """What a link tells the process."""

    def event(self, event: AnyEvent) -> None: ...
    def phase(self, phase: SessionPhase, reason: str) -> None:
        """The active session went into another phase."""
        ...

    def alert(self, severity: str, code: str, text: str) -> None: ...


class Leg:
    """Passes on what transport and session say, and minds the deadlines of the session's phases."""

    def __init__(self, link: "Link", session_of: Callable[["Leg"], VenueSession]) -> None:
        self.link = link
        self.transport: TcpTransport | None = None
        self.moving = False
        self.refused = False  # connected, and not logged on since
        self.turned_away = False  # and it was the venue that ended it
        self.told_so = False  # with a word
        self.watch = Watch()
        self.session = session_of(self)

    @property
    def held(self) -> int:
        """Bytes handed over that the other host has not acknowledged: they may still leave."""
        return self.transport.queued + self.transport.unacknowledged if self.transport is not None else 0

    @property
    def deadline_ns(self) -> int:
        """Monotonic time at which `tick` is wanted."""
        return min(self.session.deadline_ns, self.watch.deadline_ns)

    def tick(self, mono_ns: int, wall_ns: int) -> None:
        """Let the session do what is due, and deal with what is late."""
        self.session.tick(mono_ns, wall_ns)
        for late in self.watch.late(mono_ns):
            if late.act is Act.CUT:
                self.disconnect(late.text)
            else:
                self.link.owner.alert("warning", "late", f"{self.link.name}: {late.text}")

    # what the transport calls

    def on_connected(self) -> None:
        assert self.transport is not None
        clock = self.link.reactor.clock
        self.refused, self.turned_away, self.told_so = True, False, False
        self.moving = False
        self.link.connected(self)
        write = CountedWrite(self.transport.write, self.link.bytes_out)
        self.session.connected(write, clock.mono_ns(), clock.wall_ns())
        self.link.arm()

    def on_data(self, data: memoryview) -> None:
        clock = self.link.reactor.clock
        self.link.bytes_in.add(len(data))
        self.session.received(data, clock.mono_ns(), clock.wall_ns())
        self.link.arm()

    def on_writable(self) -> None:
        """Nothing waits for this: what does not fit the transport's queue ends the connection."""

    def on_closed(self, reason: Closed) -> None:
        clock = self.link.reactor.clock
        self.transport = None
        self.turned_away |= self.refused and reason.kind in _BY_THE_VENUE
        self.session.disconnected(str(reason), clock.mono_ns(), clock.wall_ns())
        self.watch.only("", clock.mono_ns())
        self.link.closed(self, str(reason))

    # what the session calls

    def event(self, event: AnyEvent) -> None:
        self.link.owner.event(event)

    def phase(self, phase: SessionPhase, reason: str) -> None:
        if phase in (SessionPhase.READY, SessionPhase.RECOVERING):
            self.refused = False
        self.watch.only(_WATCHED.get(phase, ""), self.link.reactor.clock.mono_ns())
        self.link.phase(self, phase, reason)

    def disconnect(self, reason: str) -> None:
        if self.transport is None:
            return
        if reason.startswith(REFUSED):
            self.turned_away = self.told_so = True
        if self.link.holds_orders() and self.held:
            self.transport.abort(reason)  # what a closed socket still holds would leave behind our back
        else:
            self.transport.close(reason)

    def planned_move(self, seconds_left: int, text: str) -> None:
        self.link.planned_move(self, seconds_left, text)

    def alert(self, severity: str, code: str, text: str) -> None:
        self.link.owner.alert(severity, code, text)


class Stores:
    """The stores of a link's sessions, as base.upkeep wants them."""

    def __init__(self, legs: Callable[[], list[Leg]], synced: Histogram) -> None:
        self._legs = legs
        self.synced = synced

    def prepare(self) -> bool:
        more = [leg.session.upkeep() for leg in self._legs()]
        return any(more)

    def sync(self) -> None:
        began = Stamp()
        began.mark()
        for leg in self._legs():
            leg.session.sync()
        self.synced.since(began)
