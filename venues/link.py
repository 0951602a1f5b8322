"""A venue session with its connection: connects, waits, reconnects, moves over when the venue announces its end.

Used by every process that owns a session. The session itself does no I/O; this does, on the process's poll loop.
"""

import json
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from base.backoff import Backoff
from base.config import DeskConfig, Kind, SessionConfig
from base.connect_gate import ConnectGate, ConnectGateSettings
from base.errors import ConfigError, QuarterdeckError
from base.reactor import Priority, Reactor, Timer
from base.tls import TlsClient
from base.transport import Closed, State, TcpTransport
from base.upkeep import SYNC_NS, Upkeep
from ipc.events import AnyEvent
from venues.interface import SessionPhase, VenueSession

log = logging.getLogger("link")

FAR = 1 << 62
# A session that was moved away from has its Logout answered by then (its own time-out is 5 s), or is cut.
LEAVE_NS = 10_000_000_000
# A simulated venue bans nobody, and tests restart sessions by the dozen.
SIMULATED = ConnectGateSettings(limit=200, window_ns=10_000_000_000, reserve=20, spacing_ns=1_000_000)


class Owner(Protocol):
    """What a link tells the process."""

    def event(self, event: AnyEvent) -> None: ...
    def phase(self, phase: SessionPhase, reason: str) -> None:
        """The active session went into another phase."""
        ...

    def alert(self, severity: str, code: str, text: str) -> None: ...


def resolve_address(desk: DeskConfig, address: str) -> tuple[str, int]:
    """(host, port) of a configured address; `run:NAME#KEY` is read from the address file. ConfigError otherwise."""
    if address.startswith("run:"):
        name, _, key = address.removeprefix("run:").partition("#")
        path = desk.run_dir / f"{name}.json"
        try:
            address = json.loads(path.read_text())["endpoints"][key]
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise ConfigError(f"{path}: no endpoint {key!r} to be had: {e}") from None
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"address {address!r}: expected host:port")
    return host.strip("[]"), int(port)


def resolve_file(desk: DeskConfig, name: str) -> str:
    """Path of a configured file; `run:FILE` lies below the run directory; empty stays empty."""
    return str(desk.run_dir / name.removeprefix("run:")) if name.startswith("run:") else name


def _connect_gate(desk: DeskConfig, config: SessionConfig) -> ConnectGate:
    """The venue's gate, one for the whole machine: venues count attempts by address, whatever desk they come from."""
    if config.address.startswith("run:"):
        return ConnectGate(desk.run_dir / "gate" / config.venue, SIMULATED)
    name = desk.config.venue[config.venue].dialect
    return ConnectGate(desk.shm_dir.parent / "quarterdeck-gate" / name)


class Leg:
    """One session on one connection: sink of the former, handler of the latter."""

    def __init__(self, link: "Link", session_of: Callable[["Leg"], VenueSession]) -> None:
        self.link = link
        self.transport: TcpTransport | None = None
        self.moving = False
        self.refused = False  # connected, and not logged on since
        self.cut_ns = FAR  # when it is ended, answered or not
        self.session = session_of(self)

    @property
    def held(self) -> int:
        """Bytes handed over that the other host has not acknowledged: they may still leave."""
        return self.transport.queued + self.transport.unacknowledged if self.transport is not None else 0

    # what the transport calls

    def on_connected(self) -> None:
        assert self.transport is not None
        clock = self.link.reactor.clock
        self.refused = True
        self.moving = False
        self.link.connected()
        self.session.connected(self.transport.write, clock.mono_ns(), clock.wall_ns())
        self.link.arm()

    def on_data(self, data: memoryview) -> None:
        clock = self.link.reactor.clock
        self.session.received(data, clock.mono_ns(), clock.wall_ns())
        self.link.arm()

    def on_writable(self) -> None:
        """Nothing waits for this: what does not fit the transport's queue ends the connection."""

    def on_closed(self, reason: Closed) -> None:
        clock = self.link.reactor.clock
        self.transport = None
        self.session.disconnected(str(reason), clock.mono_ns(), clock.wall_ns())
        self.link.closed(self, str(reason))

    # what the session calls

    def event(self, event: AnyEvent) -> None:
        self.link.owner.event(event)

    def phase(self, phase: SessionPhase, reason: str) -> None:
        if phase in (SessionPhase.READY, SessionPhase.RECOVERING):
            self.refused = False
        self.link.phase(self, phase, reason)

    def disconnect(self, reason: str) -> None:
        if self.transport is None:
            return
        if self.link.holds_orders() and self.held:
            self.transport.abort(reason)  # what a closed socket still holds would leave behind our back
        else:
            self.transport.close(reason)

    def planned_move(self, seconds_left: int, text: str) -> None:
        self.link.planned_move(self, seconds_left, text)

    def alert(self, severity: str, code: str, text: str) -> None:
        self.link.owner.alert(severity, code, text)


class _Stores:
    """The stores of a link's sessions, as base.upkeep wants them."""

    def __init__(self, legs: Callable[[], list[Leg]]) -> None:
        self._legs = legs

    def prepare(self) -> bool:
        more = [leg.session.upkeep() for leg in self._legs()]
        return any(more)

    def sync(self) -> None:
        for leg in self._legs():
            leg.session.sync()


class Link:
    """Keeps one session connected, for ever, through the venue's connect gate and with back-off."""

    def __init__(
        self,
        reactor: Reactor,
        desk: DeskConfig,
        name: str,
        owner: Owner,
        make: Callable[[Leg, str], VenueSession],
        *,
        priority: Priority = Priority.NORMAL,
        urgent: bool = False,
    ) -> None:
        """`make(leg, sender_comp_id)` makes a session; `urgent`: the kill path, never held up by the connect gate."""
        self.reactor = reactor
        self.owner = owner
        self.name = name
        self.config = desk.config.session[name]
        self.connects = 0
        self._desk = desk
        self._make = make
        self._priority = priority
        self._urgent = urgent
        self._gate = _connect_gate(desk, self.config)
        self._backoff = Backoff(random.random)
        self._timer: Timer | None = None
        self._retry: Timer | None = None
        self._stopping = False
        self._comp_id = self.config.sender_comp_id
        self.leg = Leg(self, lambda leg: make(leg, self._comp_id))
        self._successor: Leg | None = None
        self._successor_id = ""
        self._leaving: list[Leg] = []  # moved away from, and not closed yet
        self.holds_orders: Callable[[], bool] = lambda: False  # whether orders may be among unacknowledged bytes
        self._upkeep: Upkeep | None = None

    @property
    def session(self) -> VenueSession:
        """The active session."""
        return self.leg.session

    def start(self) -> None:
        """Connect now, and look after the session's store from now on."""
        sync_ns = SYNC_NS if self.config.sync == "interval" else 0
        self._upkeep = Upkeep(self.reactor, _Stores(self._legs), f"{self.name} store", sync_ns)
        self._connect(self.leg)

    def stop(self, reason: str) -> None:
        """Log out in order and stay away; the owner hears DISCONNECTED when it is done."""
        self._stopping = True
        clock = self.reactor.clock
        if self._retry is not None:
            self._retry.cancel()
        for other in self._legs()[1:]:
            other.disconnect(reason)
        if self.leg.transport is None or self.leg.transport.state is not State.OPEN:
            self.leg.disconnect(reason)
            self.owner.phase(SessionPhase.DISCONNECTED, reason)
            return
        self.leg.session.logout(reason, clock.mono_ns(), clock.wall_ns())
        self.arm()

    def abort(self, reason: str) -> None:
        """Cut each connection that holds bytes, so that none of them leaves any more. It is made again."""
        for leg in self._legs():
            if leg.transport is not None and leg.held:
                leg.transport.abort(reason)

    @property
    def unsent(self) -> int:
        """Bytes handed over that the kernel has not taken, on all connections."""
        return sum(leg.transport.queued for leg in self._legs() if leg.transport is not None)

    @property
    def held(self) -> int:
        """Bytes handed over, unsent ones included, that may still leave: their receipt is not acknowledged."""
        return sum(leg.held for leg in self._legs())

    def close(self) -> None:
        """Give back what the sessions hold."""
        if self._upkeep is not None:
            self._upkeep.stop()
        for leg in self._legs():
            leg.session.close()

    def _legs(self) -> list[Leg]:
        """The active one first."""
        return [self.leg, *([] if self._successor is None else [self._successor]), *self._leaving]

    # -- connecting ------------------------------------------------------------------------------------------

    def _connect(self, leg: Leg) -> None:
        self._retry = None
        if self._stopping or leg not in (self.leg, self._successor):
            return  # a leg that was moved away from, or gave way to another id, is closed
        if self._stands_still(leg):
            return
        clock = self.reactor.clock
        try:
            wait_ns = self._gate.ask(clock.mono_ns(), kill=self._urgent)
            if wait_ns:
                self._retry = self.reactor.call_later(wait_ns, lambda: self._connect(leg), f"{self.name} gate")
                return
            host, port = resolve_address(self._desk, self.config.address)
            tls = None
            if self.config.tls:
                ca_file = resolve_file(self._desk, self.config.ca_file)
                if ca_file and not Path(ca_file).exists():
                    raise ConfigError(f"session.{self.name}.ca_file: {ca_file} does not exist (yet)")
                tls = TlsClient(self.config.server_name or host, ca_file)
            leg.transport = TcpTransport(
                self.reactor, leg, self.name, tls, priority=self._priority,
                perishable=self.config.kind is Kind.TRADING and not self._urgent,  # a kill may outlive its sender
            )  # fmt: skip
            leg.transport.connect(host, port)
        except QuarterdeckError as e:
            leg.transport = None
            self._again(leg, str(e))
            return
        self.connects += 1

    def connected(self) -> None:
        """A transport stands."""
        self._backoff.connected(self.reactor.clock.mono_ns())

    def _stands_still(self, leg: Leg) -> bool:
        """A halted session is not tried again: numbers that disagree stay so until a person has settled them."""
        if halted := leg.session.halted():
            log.error("%s: %s", self.name, halted)
            self.owner.phase(SessionPhase.DISCONNECTED, halted)
        return bool(halted)

    def _again(self, leg: Leg, reason: str) -> None:
        delay_ns = self._backoff.failed(self.reactor.clock.mono_ns())
        log.info("%s: %s; next attempt in %d ms", self.name, reason, delay_ns // 1_000_000)
        if leg is self.leg:
            self.owner.phase(SessionPhase.DISCONNECTED, reason)
        self._retry = self.reactor.call_later(delay_ns, lambda: self._connect(leg), f"{self.name} reconnect")

    def closed(self, leg: Leg, reason: str) -> None:
        """A leg's connection is gone."""
        if leg is self._successor:
            self._successor = None
            self.leg.moving = False  # the venue says it again
            leg.session.close()
            self.owner.alert("warning", "move", f"{self.name}: the new session failed: {reason}")
            return
        if leg in self._leaving:
            self._leaving.remove(leg)
            leg.session.close()
            return
        if leg is not self.leg:
            return
        if self._stopping:
            self.owner.phase(SessionPhase.DISCONNECTED, reason)
            return
        if self._stands_still(leg):
            return
        # While a move is under way the other id is taken, and its store with it.
        if leg.refused and self.config.alternate_sender_comp_id and len(self._legs()) == 1:
            leg = self._take_other_id(leg)
        self._again(leg, reason)

    def _take_other_id(self, leg: Leg) -> Leg:
        """A venue may hold an id for a while after an unclean end: the other one need not wait for it."""
        own, other = self.config.sender_comp_id, self.config.alternate_sender_comp_id
        self._comp_id = other if self._comp_id == own else own
        log.info("%s: logon refused; next as %s", self.name, self._comp_id)
        leg.session.close()
        self.leg = Leg(self, lambda new: self._make(new, self._comp_id))
        return self.leg

    # -- phases and time -------------------------------------------------------------------------------------

    def phase(self, leg: Leg, phase: SessionPhase, reason: str) -> None:
        """A session went into another phase."""
        if leg is self._successor and phase is SessionPhase.READY:
            self._move_over()
        elif leg is self.leg:
            self.owner.phase(phase, reason)

    def arm(self) -> None:
        """Set the timer to the earliest deadline of the sessions."""
        due = min(min(leg.session.deadline_ns, leg.cut_ns) for leg in self._legs())
        if self._timer is not None and self._timer.pending:
            if self._timer.due_ns <= due:
                return
            self._timer.cancel()
        if due < FAR:
            self._timer = self.reactor.call_at(due, self._tick, f"{self.name} deadline")

    def _tick(self) -> None:
        clock = self.reactor.clock
        for leg in self._legs():
            leg.session.tick(clock.mono_ns(), clock.wall_ns())
            if clock.mono_ns() >= leg.cut_ns:
                leg.cut_ns = FAR
                leg.disconnect("its Logout was not answered")
        self.arm()

    # -- moving over -----------------------------------------------------------------------------------------

    def planned_move(self, leg: Leg, seconds_left: int, text: str) -> None:
        """The venue ends this session soon: open another one under the other SenderCompID while it still lives."""
        if leg is not self.leg or leg.moving or leg.refused or self._successor is not None:
            return  # a session that is not logged on yet has nothing to move from: its end brings the other id
        leg.moving = True
        other = self.config.alternate_sender_comp_id
        if not other:
            self.owner.alert("warning", "move", f"{self.name}: {text}; no alternate_sender_comp_id: will reconnect")
            return
        if self._comp_id == other:
            other = self.config.sender_comp_id
        self.owner.alert("info", "move", f"{self.name}: {text} ({seconds_left} s left): moving to {other}")
        try:
            successor = Leg(self, lambda new: self._make(new, other))
        except QuarterdeckError as e:  # its store is damaged, or held by somebody: the present session goes on
            self.owner.alert("critical", "move", f"{self.name}: no session as {other}: {e}")
            leg.moving = False
            return
        self._successor_id, self._successor = other, successor
        if self._retry is not None:
            self._retry.cancel()
        self._connect(successor)

    def _move_over(self) -> None:
        assert self._successor is not None
        old, self.leg, self._successor = self.leg, self._successor, None
        self._comp_id = self._successor_id
        if self._retry is not None:
            self._retry.cancel()
        clock = self.reactor.clock
        self.owner.phase(SessionPhase.READY, "moved to a new session")
        if old.transport is not None:
            old.cut_ns = clock.mono_ns() + LEAVE_NS
            self._leaving.append(old)
            old.session.logout("moved to a new session", clock.mono_ns(), clock.wall_ns())
        else:
            old.session.close()
        self.arm()
