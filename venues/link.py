"""A venue session with its connection: connects, waits, reconnects, moves over when the venue announces its end.

Used by every process that owns a session. The session itself does no I/O; this does, on the process's poll loop.
"""

import logging
import random
from collections.abc import Callable
from pathlib import Path

from base.backoff import SECOND_NS, Backoff
from base.config import DeskConfig, Kind
from base.errors import ConfigError, QuarterdeckError
from base.reactor import Priority, Reactor, Timer
from base.tls import TlsClient
from base.transport import Limits, State, TcpTransport
from base.upkeep import SYNC_NS, Upkeep
from ipc._metrics import Counter, Histogram
from venues.address import KILL_CAP_S, backoff_settings, connect_gate, is_simulated, resolve_address, resolve_file
from venues.calendar import session_calendar
from venues.interface import SessionPhase, VenueSession
from venues.leg import Leg, Owner, Stores
from venues.opening import Opening
from venues.watch import Watch

__all__ = ["Leg", "Link", "Owner", "resolve_address", "resolve_file"]

log = logging.getLogger("link")

FAR = 1 << 62
DAY_NS = 86_400 * SECOND_NS
SILENT_REFUSALS = 3
AT_GATE_NS = 180 * SECOND_NS
# Reports take a process long, one by one: after so much of them bell, gate, commands and its own beat have their turn.
OF_REPORTS = Limits(read_buffer=32 * 1024, reads_per_turn=1)
# All sessions of all desks come back when a venue opens: each within so long.
OPENING_NS, OPENING_SIMULATED_NS = 10 * SECOND_NS, SECOND_NS


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
        self.bytes_in, self.bytes_out, self.synced = Counter(), Counter(), Histogram()
        self._desk = desk
        self._make = make
        self._priority = priority
        self._urgent = urgent
        self._gate = connect_gate(desk, self.config)
        self._gate_fault = ""
        self._at_gate_ns = 0  # since when it lets nothing through
        self._backoff = Backoff(random.random, backoff_settings(self.config, urgent=urgent))
        self._refused_as: set[str] = set()  # SenderCompIDs turned away since the last logon
        venue, path = desk.config.venue[self.config.venue], f"venue.{self.config.venue}"
        jitter_ns = OPENING_SIMULATED_NS if is_simulated(self.config) else OPENING_NS
        self._opening = Opening(session_calendar(venue, self.config, path=path), random.random, jitter_ns)
        self._calendar_look: Timer | None = None
        self._expires_ns = 0
        self._watch = Watch()
        self._timer: Timer | None = None
        self._retry: Timer | None = None
        self._stopping = False
        self._comp_id = self.config.sender_comp_id
        self.leg = Leg(self, lambda leg: make(leg, self._comp_id))
        self._successor: Leg | None = None
        self._successor_id = ""
        self._leaving: list[Leg] = []  # moved away from, and not closed yet
        self.holds_orders: Callable[[], bool] = lambda: False  # whether orders may be among unacknowledged bytes
        self.presses: Callable[[], bool] = lambda: False  # whether orders must be cancelled, calendar or not
        self._shut_out: Leg | None = None  # waits for the venue's opening
        self._upkeep: Upkeep | None = None

    @property
    def session(self) -> VenueSession:
        """The active session."""
        return self.leg.session

    def start(self) -> None:
        """Connect now, and look after the session's store from now on."""
        sync_ns = SYNC_NS if self.config.sync == "interval" else 0
        self._upkeep = Upkeep(self.reactor, Stores(self._legs, self.synced), f"{self.name} store", sync_ns)
        if other := self.config.alternate_sender_comp_id:
            self._other_leg(other, close=True)  # its store stands from now on: a full disk would have no room for it
        self._connect(self.leg)
        self._look_at_calendar()

    def stop(self, reason: str) -> None:
        """Log out in order and stay away; the owner hears DISCONNECTED when it is done."""
        self._stopping = True
        clock = self.reactor.clock
        for timer in (self._retry, self._calendar_look):
            if timer is not None:
                timer.cancel()
        for other in self._legs()[1:]:
            other.disconnect(reason)
        if self.leg.transport is None or self.leg.transport.state is not State.OPEN:
            self.leg.disconnect(reason)
            self.owner.phase(SessionPhase.DISCONNECTED, reason)
            return
        self.leg.session.logout(reason, clock.mono_ns(), clock.wall_ns())
        self.arm()

    def press(self) -> None:
        """Orders must be cancelled: who waits for the venue's opening tries now. A calendar may be wrong."""
        leg = self._shut_out
        if leg is not None and leg.transport is None and self.presses():
            if self._retry is not None:
                self._retry.cancel()
            self._connect(leg)

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

    def counters(self) -> dict[str, int]:
        """Figures of the connection, for people."""
        days = {"cert_days": self._cert_days()} if self._expires_ns else {}
        backoff = self._backoff
        return {"connects": self.connects, "failures": backoff.failures, "refusals": backoff.refusals, **days}

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
        self._retry = self._shut_out = None
        if self._stopping or leg not in (self.leg, self._successor):
            return  # a leg that was moved away from, or gave way to another id, is closed
        if self._stands_still(leg) or self._keeps_away(leg):
            return
        clock = self.reactor.clock
        try:
            wait_ns = self._gate.ask(clock.mono_ns(), kill=self._urgent)
            self._look_at_gate()
            if wait_ns:
                self._wait_at_gate(leg, wait_ns)
                return
            self._at_gate_ns = 0
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
                limits=Limits() if self.config.kind is Kind.MARKETDATA else OF_REPORTS,
            )  # fmt: skip
            leg.transport.connect(host, port, self._backoff.failures)
        except QuarterdeckError as e:
            leg.transport = None
            self._again(leg, str(e))
            return
        self.connects += 1

    def connected(self, leg: Leg) -> None:
        """A transport stands. That is not success yet: back-off ends some time after READY."""
        assert leg.transport is not None
        self._expires_ns = leg.transport.certificate_expires_ns
        if self._expires_ns:
            self._look_at_certificate(self._expires_ns)

    def _look_at_certificate(self, expires_ns: int) -> None:
        """On each new connection, and once a day on one that lasts."""
        if expires_ns != self._expires_ns or self._stopping:
            return
        days, most = self._cert_days(), self._desk.config.desk.cert_warn_days
        if days < most:
            text = f"{self.name}: the venue's certificate ends in {days} days (alerts begin below {most})"
            self.owner.alert("warning", "certificate", text)
        self.reactor.call_later(DAY_NS, lambda: self._look_at_certificate(expires_ns), f"{self.name} certificate")

    def _cert_days(self) -> int:
        return (self._expires_ns - self.reactor.clock.wall_ns()) // DAY_NS

    def _look_at_gate(self) -> None:
        if self._gate.fault != self._gate_fault:
            self._gate_fault = self._gate.fault
            self.owner.alert("warning", "gate", f"{self.name}: {self._gate.fault}; attempts are counted by desk")

    def _wait_at_gate(self, leg: Leg, wait_ns: int) -> None:
        """Others of this machine have used it up. That may be a desk that hammers, or somebody who spoils the file."""
        mono_ns = self.reactor.clock.mono_ns()
        self._at_gate_ns = self._at_gate_ns or mono_ns
        if mono_ns - self._at_gate_ns >= AT_GATE_NS:
            self._at_gate_ns = mono_ns
            text = f"has let no attempt through for {AT_GATE_NS // SECOND_NS} s: others of this machine used it up"
            self.owner.alert("warning", "gate", f"{self.name}: the connect gate {self._gate.path} {text}")
        self._retry = self.reactor.call_later(wait_ns, lambda: self._connect(leg), f"{self.name} gate")

    # -- the venue's calendar --------------------------------------------------------------------------------

    def _keeps_away(self, leg: Leg) -> bool:
        """While the venue is closed nothing is tried, and nothing grows; unless orders must be cancelled."""
        wall_ns = self.reactor.clock.wall_ns()
        shut = self._shut(wall_ns)
        if shut:
            self._shut_out = leg
            if leg is self.leg:
                self.owner.phase(SessionPhase.DISCONNECTED, shut)
            wait_ns = self._opening.wait_ns(wall_ns)
            self._retry = self.reactor.call_later(wait_ns, lambda: self._connect(leg), f"{self.name} opening")
        return bool(shut)

    def _shut(self, wall_ns: int) -> str:
        return "" if self.presses() else self._opening.shut(wall_ns)

    def _look_at_calendar(self) -> None:
        """Log out when the venue closes."""
        clock = self.reactor.clock
        wall_ns = clock.wall_ns()
        shut = self._shut(wall_ns)
        for leg in self._legs() if shut else []:
            if leg.transport is None:
                continue
            if leg.transport.state is State.OPEN and leg.session.phase is not SessionPhase.LOGGING_OUT:
                leg.session.logout(shut, clock.mono_ns(), wall_ns)
            elif leg.transport.state is not State.OPEN:
                leg.disconnect(shut)
        wait_ns = self._opening.wait_ns(wall_ns) if shut else self._opening.watch_ns(wall_ns)
        self._calendar_look = self.reactor.call_later(wait_ns, self._look_at_calendar, f"{self.name} calendar")
        self.arm()

    # -- after an attempt ------------------------------------------------------------------------------------

    def _stands_still(self, leg: Leg) -> bool:
        """A halted session is not tried again: numbers that disagree stay so until a person has settled them."""
        if halted := leg.session.halted():
            log.error("%s: %s", self.name, halted)
            self.owner.phase(SessionPhase.DISCONNECTED, halted)
        return bool(halted)

    def _again(self, leg: Leg, reason: str, refused_as: str = "", *, told: bool = False) -> None:
        mono_ns = self.reactor.clock.mono_ns()
        delay_ns = self._backoff.refused(mono_ns, silently=not told) if refused_as else self._backoff.failed(mono_ns)
        if self.presses():
            delay_ns = min(delay_ns, KILL_CAP_S * SECOND_NS)
        if refused_as:
            text = f"{self.name}: turned away as {refused_as}: {reason}; next attempt in {delay_ns // SECOND_NS} s"
            # Closed without a word: a venue that is down does that, too.
            severity = "critical" if told or self._backoff.refusals >= SILENT_REFUSALS else "warning"
            self.owner.alert(severity, "turned_away", text)
        log.info("%s: %s; next attempt in %d ms", self.name, reason, delay_ns // 1_000_000)
        if leg is self.leg:
            self.owner.phase(SessionPhase.DISCONNECTED, reason)
        self._retry = self.reactor.call_later(delay_ns, lambda: self._connect(leg), f"{self.name} reconnect")

    def closed(self, leg: Leg, reason: str) -> None:
        """A leg's connection is gone."""
        if leg is self._successor:
            self._successor = None
            self._watch.only("", self.reactor.clock.mono_ns())
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
        if self._stands_still(leg) or self._keeps_away(leg):
            return
        was, told = self._comp_id if leg.turned_away else "", leg.told_so
        seen = was in self._refused_as
        if was:
            self._refused_as.add(was)
        # While a move is under way the other id is taken, and its store with it.
        if leg.refused and self.config.alternate_sender_comp_id and len(self._legs()) == 1:
            leg = self._take_other_id(leg)
            was = was if seen or self._comp_id in self._refused_as else ""  # the other one is tried without delay
        self._again(leg, reason, was, told=told)

    def _take_other_id(self, leg: Leg) -> Leg:
        """A venue may hold an id for a while after an unclean end: the other one need not wait for it."""
        own, other = self.config.sender_comp_id, self.config.alternate_sender_comp_id
        comp_id = other if self._comp_id == own else own
        taken = self._other_leg(comp_id)
        if taken is None:
            return leg
        log.info("%s: logon refused; next as %s", self.name, comp_id)
        leg.session.close()
        self.leg, self._comp_id = taken, comp_id
        return taken

    def _other_leg(self, comp_id: str, *, close: bool = False) -> Leg | None:
        """A leg under the other id; None, and told, when its store is damaged, held by somebody, or has no room."""
        try:
            leg = Leg(self, lambda new: self._make(new, comp_id))
        except QuarterdeckError as e:
            self.owner.alert("critical", "move", f"{self.name}: no session as {comp_id}: {e}")
            return None
        if close:
            leg.session.close()
        return leg

    # -- phases and time -------------------------------------------------------------------------------------

    def phase(self, leg: Leg, phase: SessionPhase, reason: str) -> None:
        """A session went into another phase."""
        if phase is SessionPhase.READY:
            self._refused_as.clear()
            self._backoff.connected(self.reactor.clock.mono_ns())
        if leg is self._successor and phase is SessionPhase.READY:
            self._move_over()
        elif leg is self.leg:
            self.owner.phase(phase, reason)

    def arm(self) -> None:
        """Set the timer to the earliest deadline of the sessions."""
        due = min(self._watch.deadline_ns, *(leg.deadline_ns for leg in self._legs()))
        if self._timer is not None and self._timer.pending:
            if self._timer.due_ns <= due:
                return
            self._timer.cancel()
        if due < FAR:
            self._timer = self.reactor.call_at(due, self._tick, f"{self.name} deadline")

    def _tick(self) -> None:
        clock = self.reactor.clock
        for leg in self._legs():
            leg.tick(clock.mono_ns(), clock.wall_ns())
        for late in self._watch.late(clock.mono_ns()):
            self._give_up_move(late.text)
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
        successor = self._other_leg(other)
        if successor is None:  # the present session goes on
            leg.moving = False
            return
        self._successor_id, self._successor = other, successor
        self._watch.only("moving over", self.reactor.clock.mono_ns())
        self.arm()
        if self._retry is not None:
            self._retry.cancel()
        self._connect(successor)

    def _give_up_move(self, why: str) -> None:
        leg = self._successor
        if leg is not None and leg.transport is not None:
            leg.disconnect(why)
        elif leg is not None:
            self.closed(leg, why)

    def _move_over(self) -> None:
        assert self._successor is not None
        old, self.leg, self._successor = self.leg, self._successor, None
        self._watch.only("", self.reactor.clock.mono_ns())
        self._comp_id = self._successor_id
        if self._retry is not None:
            self._retry.cancel()
        clock = self.reactor.clock
        self.owner.phase(SessionPhase.READY, "moved to a new session")
        if old.transport is not None:
            self._leaving.append(old)
            old.session.logout("moved to a new session", clock.mono_ns(), clock.wall_ns())
            old.watch.only("leaving", clock.mono_ns())
        else:
            old.session.close()
        self.arm()
