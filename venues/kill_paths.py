"""The kill switch's own ways to cancel: its sessions, the venues' REST sides, commands to owners."""

import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

import zmq

from base.config import DeskConfig
from base.decimals import to_scaled
from base.errors import BusError, CodecError, SessionError, VenueError
from base.instruments import Instrument
from base.reactor import Priority, Reactor
from ipc.commands import CommandClient
from ipc.events import AnyEvent
from ipc.requests import Answer, AnyCommand, NewOrder
from ipc.roster import command_endpoint
from risk.kill_plan import OwnMassCancel, RestCancelAll
from risk.kill_proof import ListedId
from risk.order import Order
from venues.context import dialect_of, session_context
from venues.interface import OpenOrder, RestRequest, SessionPhase, TradingSession, WorkingOrder
from venues.link import Leg, Link
from venues.rate_share import DeskRates
from venues.rest_client import Answered, RestClient, open_rest
from venues.rest_rates import RestRates

RETRY_NS = 250_000_000
FIRST_RETRY_NS = 20_000_000
QUERIES = 40  # that may wait
HOLD_NS = 1_000_000_000
RETRIES = 20
FINAL_STATUS = frozenset("2348C")

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
        """Place an order, for a probe of what a mass cancel reaches; its ClOrdID. Raises what the session raises."""
        session = self._ready()
        mono_ns, wall_ns = self._reactor.clock.mono_ns(), self._reactor.clock.wall_ns()
        cl_ord_id = session.make_cl_ord_id(wall_ns)
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


class RestPath:
    """One venue's REST side. Cancel-alls have a connection of their own and go first.

    Lists and queries go one at a time, each signed when it leaves, after the cancels that are under way (for at most a
    second): venues that want rising nonces refuse what was overtaken.
    """

    def __init__(self, reactor: Reactor, desk: DeskConfig, venue: str, note: Note) -> None:
        self.venue = venue
        self._reactor, self._note = reactor, note
        self._desk = desk
        dialect = dialect_of(desk, venue)
        self._api = open_rest(desk, venue, dialect, kill=True)
        self._instruments = {i.name: i for i in desk.venue_instruments(venue)}
        self._names = {i.symbol: i.name for i in self._instruments.values()}
        throttle = DeskRates(desk, venue, dialect).rest("killswitch")
        self._rates = RestRates(throttle, reactor.clock, forced=True)
        self._cancels = RestClient(reactor, desk, venue, Priority.COMMAND, self._rates)
        # Lists leave the reserve to the cancels, and questions about single orders half of the rest to the lists.
        self._list_rates = RestRates(throttle, reactor.clock)
        self._lists = RestClient(reactor, desk, venue, Priority.COMMAND, self._list_rates)
        self._round = 0
        self._cancelling = 0
        self._hold_until_ns = 0
        self._asking = False
        self._waiting: deque[tuple[Callable[[], RestRequest], Answered]] = deque()
        self.refused: Callable[[str, str], object] = lambda venue, why: None  # told of cancel-alls that were refused
        self.said: Callable[[str], object] = lambda text: None  # told of those that were answered

    @property
    def usable(self) -> bool:
        """Whether this venue has a REST side and it is configured."""
        return self._api is not None

    def cancel_all(self, action: RestCancelAll) -> None:
        """Send it, and again while it fails, until the next round takes over."""
        if self._api is None:
            return
        self._round += 1
        try:
            requests = self._api.cancel_all(self._reactor.clock.wall_ns(), self._named(action))
        except (VenueError, CodecError) as e:
            self._note("not sent", {"path": f"{self.venue} rest", "why": str(e)})
            return
        self._rates.burst = len(requests)
        for i in range(len(requests)):
            self._cancel(action, i, self._round, RETRIES)

    def forget(self) -> None:
        """No trip is under way: what failed is not tried again, and what waits for its turn does not leave any more: it
        would cancel what was placed since.
        """
        self._round += 1
        if self._cancelling:
            self._cancels.close()

    def _named(self, action: RestCancelAll) -> list[Instrument]:
        """The desk's instruments, and the bare symbols that only the venue's list names."""
        strange = [Instrument(self.venue, symbol, symbol, 0, 0) for symbol in action.symbols]
        return [self._instruments[n] for n in action.instruments] + strange

    def _cancel(self, action: RestCancelAll, index: int, round_: int, tries: int) -> None:
        """One request of the round, signed anew each time: nonces and times age."""
        assert self._api is not None
        instruments = self._named(action)
        requests = self._api.cancel_all(self._reactor.clock.wall_ns(), instruments)
        request = requests[index]
        facts = {"path": f"{self.venue} rest", "said": _said(request)}
        if len(requests) == len(instruments) > 1:
            facts["instrument"] = instruments[index].name

        def answered(status: int, body: bytes, error: str) -> None:
            why = error
            if not error:
                try:
                    assert self._api is not None
                    count = self._api.parse_cancel_all(status, body)
                    self._note("answer", {**facts, "cancels": count})
                    self.said(f"a count of {count}" if count is not None else "an answer without a count")
                except VenueError as e:
                    why = str(e)
            self._cancelling -= 1
            if why:
                self._note("cancel-all failed", {**facts, "why": why, "tries_left": tries})
                self.refused(self.venue, why)
                if round_ == self._round and tries:
                    again = lambda: self._cancel(action, index, round_, tries - 1)  # noqa: E731
                    self._reactor.call_later(
                        RETRY_NS if tries < RETRIES else FIRST_RETRY_NS, again, f"{self.venue} cancel"
                    )
            self._pump()

        self._cancelling += 1
        self._hold_until_ns = self._reactor.clock.mono_ns() + HOLD_NS
        self._cancels.ask(request, answered)

    def _ask(self, render: Callable[[], RestRequest], answered: Answered, *, first: bool = False) -> None:
        (self._waiting.appendleft if first else self._waiting.append)((render, answered))
        self._pump()

    def _pump(self) -> None:
        """Send the next list or query, if none is under way and no cancel wants to go first."""
        if self._asking or not self._waiting:
            return
        hold_ns = self._hold_until_ns - self._reactor.clock.mono_ns()
        if self._cancelling and hold_ns > 0:
            self._reactor.call_later(hold_ns, self._pump, f"{self.venue} lists")
            return
        render, answered = self._waiting.popleft()
        try:
            request = render()
        except (VenueError, CodecError) as e:
            error = str(e)
            self._reactor.call_soon(lambda: answered(0, b"", error), f"{self.venue} rest")
            self._pump()
            return

        def done(status: int, body: bytes, error: str) -> None:
            self._asking = False
            answered(status, body, error)
            self._pump()

        self._asking = True
        self._lists.ask(request, done)

    def list_orders(self, done: Callable[[list[ListedId], int, int], object], failed: Callable[[str], object]) -> None:
        """Fetch every page; `done(lines, started_ns, done_ns)` or `failed(why)`, exactly once."""
        started_ns = self._reactor.clock.mono_ns()
        self._page("", [], started_ns, done, failed)

    def _page(
        self,
        cursor: str,
        lines: list[ListedId],
        started_ns: int,
        done: Callable[[list[ListedId], int, int], object],
        failed: Callable[[str], object],
    ) -> None:
        api = self._api
        assert api is not None

        def answered(status: int, body: bytes, error: str) -> None:
            if error:
                failed(error)
                return
            try:
                page = api.parse_open_orders(status, body)
                lines.extend(self._line(o) for o in page.orders)
                if page.cursor:
                    self._page(page.cursor, lines, started_ns, done, failed)
                    return
            except (VenueError, CodecError) as e:
                failed(str(e))
                return
            done(lines, started_ns, self._reactor.clock.mono_ns())

        self._ask(lambda: api.open_orders(self._reactor.clock.wall_ns(), cursor), answered, first=True)

    def _line(self, order: OpenOrder) -> ListedId:
        return ListedId(order.order_id, order.cl_ord_id, self._names.get(order.symbol, ""), order.symbol)

    def ask_order(self, order: Order, done: Callable[[str, int | None], object]) -> None:
        """Ask for one order; `done(final OrdStatus or "", cum_qty)` when the venue answered."""
        instrument = self._instruments.get(order.instrument)
        api = self._api
        if api is None or instrument is None or len(self._waiting) >= QUERIES:
            return  # it is asked for again while the order is not proven
        if not self._list_rates.roomy(api.order(self._reactor.clock.wall_ns(), _working(order, instrument))):
            return  # the lists prove more at once

        def answered(status: int, body: bytes, error: str) -> None:
            if error:
                self._note("order query failed", {"venue": self.venue, "order": order.cl_ord_id, "why": error})
                return
            try:
                found = api.parse_order(status, body, order.cl_ord_id)
                cum = to_scaled(found.cum_qty or "0", order.qty_scale) if found is not None else None
            except (VenueError, CodecError) as e:
                self._note("order query failed", {"venue": self.venue, "order": order.cl_ord_id, "why": str(e)})
                return
            if found is not None and found.status in FINAL_STATUS:
                done(found.status, cum)

        self._ask(lambda: api.order(self._reactor.clock.wall_ns(), _working(order, instrument)), answered)

    def set_timer(self, seconds: int, done: Callable[[str], object]) -> None:
        """Start the account's dead man's timer anew, 0 disables it; `done("")` when the venue took it, else why not."""
        api = self._api
        assert api is not None

        def render() -> RestRequest:
            request = api.cancel_after(self._reactor.clock.wall_ns(), seconds)
            if request is None:
                raise VenueError(f"{self.venue} has no cancel-all-after timer")
            return request

        def answered(status: int, body: bytes, error: str) -> None:
            why = error
            if not error:
                try:
                    api.parse_cancel_after(status, body)
                except VenueError as e:
                    why = str(e)
            done(why)

        self._ask(render, answered, first=True)

    def close(self) -> None:
        """Drop the connections."""
        self._cancels.close()
        self._lists.close()


def _said(request: RestRequest) -> str:
    """What was asked, for the audit: the query is left out, since venues want their signatures in it."""
    return f"{request.method} {request.target.partition('?')[0]}"


def _working(order: Order, instrument: Instrument) -> WorkingOrder:
    return WorkingOrder(
        instrument=instrument, cl_ord_id=order.cl_ord_id, order_id=order.order_id, side=order.side,
        ord_type=order.ord_type, time_in_force=order.time_in_force, order_qty=order.order_qty, price=order.price,
        stop_px=order.stop_px, leaves_qty=order.leaves_qty, cum_qty=order.cum_qty, sent_ns=order.sent_ns,
    )  # fmt: skip


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
