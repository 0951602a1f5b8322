"""The kill switch's own ways to cancel: its sessions, commands to owners. REST is in venues/kill_rest.py."""

import logging
from collections.abc import Callable
from typing import Protocol

import zmq

from base.config import DeskConfig
from base.errors import BusError, CodecError, SessionError, VenueError
from base.instruments import Instrument
from base.reactor import Priority, Reactor
from ipc.commands import CommandClient
from ipc.events import AnyEvent
from ipc.gate import GateReader, session_scopes
from ipc.requests import Answer, AnyCommand, NewOrder
from ipc.roster import command_endpoint
from risk.kill_plan import OwnMassCancel
from venues.context import dialect_of, session_context
from venues.interface import SessionPhase, TradingSession, WorkingOrder
from venues.link import Leg, Link
from venues.rate_share import DeskRates

log = logging.getLogger("kill.paths")
Note = Callable[[str, dict[str, object]], object]
Tell = Callable[[str, str, str], object]


class KillSession(TradingSession, Protocol):
    """A session that can send a mass cancel before it is on its disk."""

    def mass_cancel(
        self, instrument: Instrument | None, request_id: str, mono_ns: int, wall_ns: int, *, act_first: bool = False
    ) -> None: ...

    round_trip: tuple[int, int]

    def probe(self, mono_ns: int, wall_ns: int) -> None: ...


class OwnSession:
    """A venue session of the kill switch's own, kept logged on. What could not leave is sent at the next logon."""

    def __init__(self, reactor: Reactor, desk: DeskConfig, name: str, epoch: int, note: Note, tell: Tell) -> None:
        self.name = name
        self._tell = tell
        self.state = SessionPhase.DISCONNECTED
        self.reason = "not connected yet"
        self._reactor, self._desk, self._note = reactor, desk, note
        config = desk.config.session[name]
        dialect = dialect_of(desk, config.venue)
        self._instruments = {i.name: i for i in desk.session_instruments(name)}
        self._throttle = DeskRates(desk, config.venue, dialect).orders(name)
        scopes = session_scopes(config.venue, desk.config.venue[config.venue].account, name)
        self._gate = GateReader(desk.shm_dir / "gate", desk.shm_dir / "operator", scopes)
        self._unsent: dict[str, None] = {}
        self.heard: Callable[[AnyEvent], object] = lambda event: None  # told of every event

        def make(leg: Leg, sender_comp_id: str) -> TradingSession:
            return dialect.trading(session_context(desk, name, epoch, sender_comp_id), leg)

        self._link = Link(reactor, desk, name, self, make, priority=Priority.COMMAND, urgent=True)
        self._link.presses = lambda: bool(self._unsent)

    def start(self) -> None:
        """Connect, and stay connected."""
        self._link.start()

    def mass_cancel(self, action: OwnMassCancel) -> bool:
        """Send it now; False when it could not leave, and waits for the session."""
        instrument = self._instruments.get(action.instrument) if action.instrument else None
        session: KillSession = self._link.session  # type: ignore[assignment]
        clock = self._reactor.clock
        mono_ns, wall_ns = clock.mono_ns(), clock.wall_ns()
        try:
            if self.state not in (SessionPhase.READY, SessionPhase.RECOVERING):
                raise SessionError(f"{self.name} is {self.state}: {self.reason}")
            session.mass_cancel(instrument, session.make_cl_ord_id(wall_ns), mono_ns, wall_ns, act_first=True)
        except (SessionError, VenueError, CodecError) as e:
            self._unsent[action.instrument] = None
            self._note("not sent", {"path": self.name, "instrument": action.instrument, "why": str(e)})
            self._link.press()
            return False
        self._unsent.pop(action.instrument, None)
        self._throttle.force("mass", mono_ns, wall_ns, action.instrument)  # counted, and not asked before
        self._link.arm()
        return True

    def place(self, order: NewOrder) -> str:
        """Place an order, for a probe of what a mass cancel reaches; its ClOrdID. Raises what the session raises.

        SessionError when the gate is closed: its words are read last, as by every owner of orders. The operator word
        may stand although the kill switch has not seen it yet.
        """
        session = self._ready()
        mono_ns, wall_ns = self._reactor.clock.mono_ns(), self._reactor.clock.wall_ns()
        cl_ord_id = session.make_cl_ord_id(wall_ns)
        closed = self._gate.closed_reason(mono_ns, order.strategy, order.instrument)
        if closed:
            raise SessionError(closed)
        session.new_order(order, self._instruments[order.instrument], cl_ord_id, mono_ns, wall_ns)
        self._throttle.force("new", mono_ns, wall_ns, order.instrument)
        self._link.arm()
        return cl_ord_id

    def cancel(self, order: WorkingOrder) -> None:
        """Cancel an order that this session placed. Raises what the session raises."""
        session = self._ready()
        mono_ns, wall_ns = self._reactor.clock.mono_ns(), self._reactor.clock.wall_ns()
        session.cancel_order(order, session.make_cl_ord_id(wall_ns), mono_ns, wall_ns)
        self._throttle.force("cancel", mono_ns, wall_ns, order.instrument.name)
        self._link.arm()

    def _ready(self) -> TradingSession:
        if self.state is not SessionPhase.READY:
            raise SessionError(f"{self.name} is {self.state}: {self.reason}")
        session: TradingSession = self._link.session  # type: ignore[assignment]
        return session

    def probe(self) -> None:
        """Ask for a sign of life, which changes nothing at the venue. SessionError when the session is not up."""
        if self.state is not SessionPhase.READY:
            raise SessionError(f"{self.name} is {self.state}: {self.reason}")
        clock = self._reactor.clock
        session: KillSession = self._link.session  # type: ignore[assignment]
        session.probe(clock.mono_ns(), clock.wall_ns())
        self._link.arm()

    @property
    def round_trip(self) -> tuple[int, int]:
        """Signs of life that were answered so far in this connection, and how long the last one took in ns."""
        session: KillSession | None = self._link.session  # type: ignore[assignment]
        return session.round_trip if session is not None else (0, 0)

    def forget(self) -> None:
        """No trip is under way: what waits for the session is void."""
        self._unsent.clear()

    def stop(self) -> None:
        """Log out."""
        self._link.stop("kill switch stops")

    def event(self, event: AnyEvent) -> None:
        """Answers on this session prove nothing; they are kept."""
        self._note("answer", {"path": self.name, "event": repr(event)[:400]})
        self.heard(event)

    def alert(self, severity: str, code: str, text: str) -> None:
        """What the session wants a person to know."""
        self._tell(severity, code, f"{self.name}: {text}")

    def phase(self, phase: SessionPhase, reason: str) -> None:
        """The session went into another phase; once logged on, what waited leaves."""
        self.state, self.reason = phase, reason
        if phase is SessionPhase.READY:
            for instrument in list(self._unsent):
                action = OwnMassCancel(self.name, "", instrument)
                if self.mass_cancel(action):
                    self._note("sent", {"path": self.name, "what": repr(action)})


class OwnerCommands:
    """The command socket of one owner. Never waits."""

    def __init__(
        self, reactor: Reactor, context: "zmq.Context[zmq.Socket[bytes]]", desk: DeskConfig, session: str
    ) -> None:
        self._client = CommandClient(context, command_endpoint(desk, session), "killswitch", reactor.clock)
        self._answers: dict[str, Callable[[Answer], object]] = {}
        reactor.add_zmq_drained(self._client.socket, self._drain, f"commands {session}", Priority.COMMAND)

    def next_id(self) -> str:
        """A fresh command id."""
        return self._client.next_command_id()

    def send(self, command: AnyCommand, answered: Callable[[Answer], object] | None = None) -> bool:
        """Hand over a command; False when nobody is there to take it."""
        try:
            self._client.send(command)
        except BusError:
            return False
        if answered is not None:
            self._answers[command.command_id] = answered
        return True

    def _drain(self) -> bool:
        for answer in self._client.receive():
            answered = self._answers.pop(answer.command_id, None)
            if answered is not None:
                answered(answer)
        return False
