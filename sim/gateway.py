"""What simulated venues share: seats and connections, faults, cancel paths, timers, counters.

A venue subclasses `Venue` and says its dialect. A `Seat` is a session as the venue knows it (a pair of comp ids) and
outlives connections; a `Link` is one connection's session.
"""

import heapq
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from base.clock import Clock
from base.http import Request, Response
from sim.accounts import Accounts
from sim.cancelling import CANCELS, MS_NS, SECOND_NS, Cancelling
from sim.exchange import Exchange
from sim.faults import Faults
from sim.matching import Market
from sim.orders import Event, Order, Owner, Update
from sim.session import Acceptor, Numbers, Profile, Refusal
from sim.setup import Grant, Setup
from sim.wire import Field, Garbled, Message

__all__ = ["MS_NS", "SECOND_NS", "Link", "Seat", "Venue"]


@dataclass(slots=True)
class Seat:
    """A session over its connections."""

    grant: Grant
    profile: Profile
    numbers: Numbers = field(default_factory=Numbers)
    live: "Link | None" = None
    connection: int = 0  # of the last logon
    cancels_on_loss: bool = False
    watermark: int = 0  # greatest ClOrdID seen, where the venue wants it to rise
    seen_ids: set[str] = field(default_factory=set)
    blocked_until_ns: int = 0
    last_nonce: int = 0
    reports_lost: int = 0
    account_wide: bool = False  # hears of every order of its account, as its logon asked for

    @property
    def owner(self) -> Owner:
        """Who an order placed now belongs to."""
        return Owner(self.grant.account, self.grant.sender, self.connection)


class Link(Acceptor):
    """One connection of a seat, with what faults hold back."""

    def __init__(
        self,
        app: "Venue",
        profile: Profile,
        clock: Clock,
        write: Callable[[bytes], object],
        close: Callable[[], object],
        service: str,
    ) -> None:
        super().__init__(app, profile, clock, write, close)
        self.service = service
        self.seat: Seat | None = None
        self.said_logout = False
        self.subscriptions: dict[str, Any] = {}
        self.state: dict[str, Any] = {}  # what a venue remembers for a connection
        self.held: deque[tuple[int, bytes]] = deque()
        self.stalled_until_ns = 0

    @property
    def stalled(self) -> bool:
        return self.clock.mono_ns() < self.stalled_until_ns

    def release(self) -> None:
        """Write what was held back and is due."""
        now = self.clock.mono_ns()
        while self.held and self.held[0][0] <= now and not self.stalled:
            self._write(self.held.popleft()[1])


class Venue(Cancelling):
    """Base of a simulated venue; everything runs on one thread."""

    services: tuple[str, ...] = ("trading", "marketdata", "marketdata_l3", "dropcopy")
    keep_l3 = True
    tls13_only = False

    def __init__(self, setup: Setup, clock: Clock) -> None:
        self.setup = setup
        self.clock = clock
        self.exchange = Exchange(setup.instruments, clock, self.keep_l3)
        self.exchange.listen(self.on_event, self.on_update)
        self.accounts = Accounts(self.exchange, self.fee)
        self.faults = Faults()
        self.source = "flow"  # what moves the markets, for people
        self.seats: dict[tuple[str, str], Seat] = {}
        self.links: list[Link] = []
        self.counters = {"messages_in": 0, "messages_out": 0, "md_messages": 0, "rest_requests": 0, "logons": 0}
        self.counters |= {"refused_logons": 0, "reports": 0, "reports_lost": 0, "garbled": 0, "flow_steps": 0}
        self.closed_until_ns = 0  # logons are refused (rollover, maintenance)
        self.list_lag_ns = setup.number("list_lag_ms", 0) * MS_NS
        self._held: dict[tuple[int, str], list[tuple[str, list[Field]]]] = {}  # reports that wait, by seat and order
        self._timers: list[tuple[int, int, Callable[[], object]]] = []
        self._ids = 0

    # -- what a venue says itself ---------------------------------------------------------------------------------

    @abstractmethod
    def profile(self, kind: str) -> Profile:
        """Session habits for a kind of session."""

    @abstractmethod
    def check_logon(self, link: Link, seat: Seat, logon: Message) -> Refusal | None:
        """Refuse a logon for what it says, or accept it."""

    def fee(self, order: Order, px: int, qty: int) -> Decimal:
        """What a fill costs its order's owner, in quote currency; px and qty are scaled."""
        return Decimal(0)

    def find_grant(self, link: Link, logon: Message) -> Grant | None:
        """Whose logon this is."""
        for grant in self.setup.grants:
            if (grant.sender, grant.target) == (link.sender, link.target) and self.serves(link.service, grant):
                return grant
        return None

    def refuse_logon(self, text: str) -> Refusal:
        """How an unknown or unwelcome client is turned away."""
        return Refusal("5", ((58, text),))

    def not_first(self, session: Any, message: Message) -> Refusal:
        """How a first message that is no Logon is met."""
        return Refusal("5", ((58, "Logon must be the first message"),))

    def logon_fields(self, session: Any, logon: Message) -> list[Field]:
        """Body of the answering Logon."""
        return [(98, "0"), (108, logon.get(108, "30"))]

    @abstractmethod
    def request(self, link: Link, seat: Seat, message: Message) -> None:
        """An application message."""

    @abstractmethod
    def refuse(self, link: Link, message: Message, text: str) -> None:
        """Refuse a request for a business reason, in the venue's way."""

    @abstractmethod
    def on_event(self, event: Event) -> None:
        """Something happened to a client's order."""

    @abstractmethod
    def on_update(self, market: Market, update: Update) -> None:
        """The public feed moved."""

    @abstractmethod
    def rest(self, request: Request) -> Response:
        """The venue's REST side."""

    @abstractmethod
    def announce_maintenance(self, seconds: int) -> None:
        """Say that the venue goes down in `seconds`, then do it."""

    def serves(self, service: str, grant: Grant) -> bool:
        """Whether an endpoint takes sessions of that grant; "any" takes all."""
        wanted = "marketdata_l3" if grant.kind == "marketdata" and grant.level == 3 else grant.kind
        return service in {"any", wanted}

    def seat_key(self, link: Link, grant: Grant) -> tuple[str, str]:
        """Under which key the session outlives its connections."""
        return grant.sender, f"{grant.target}/{grant.kind}{grant.level}"

    # -- App: the session layer calls -----------------------------------------------------------------------------

    def authenticate(self, session: Any, logon: Message) -> Refusal | None:
        link: Link = session
        refusal = self._admit(link, logon)
        if refusal is None:
            self.counters["logons"] += 1
        else:
            self.counters["refused_logons"] += 1
        return refusal

    def _admit(self, link: Link, logon: Message) -> Refusal | None:
        fault = self.faults.strike("refuse_logon", self.clock.mono_ns(), session=link.sender, kind=link.service)
        if fault is not None:
            return self.refuse_logon(fault.parameters["text"])
        if self.clock.mono_ns() < self.closed_until_ns:
            return self.refuse_logon("not available, try again later")
        grant = self.find_grant(link, logon)
        if grant is None:
            return self.refuse_logon(f"unknown session {link.sender} to {link.target}")
        key = self.seat_key(link, grant)
        seat = self.seats.get(key) or Seat(grant, self.profile(grant.kind))
        refusal = self.check_logon(link, seat, logon)
        if refusal is not None:
            return refusal
        if seat.live is not None:  # before numbers move on: the taken-over connection says nothing more
            self.evict(seat.live, seat)
        self.seats[key] = seat
        link.seat, link.numbers, link.profile = seat, seat.numbers, seat.profile
        return None

    def logged_on(self, session: Any, logon: Message) -> None:
        link: Link = session
        seat = link.seat
        assert seat is not None
        seat.live, seat.connection = link, self.next_id()
        self.session_began(link, seat, logon)

    def session_began(self, link: Link, seat: Seat, logon: Message) -> None:
        """A session is logged on (hook)."""

    def evict(self, link: Link, seat: Seat) -> None:
        """A second connection takes a session over: the first is dropped without a word."""
        link.end()
        seat.live = None
        self.session_ended(link, seat)

    def message(self, session: Any, message: Message) -> None:
        link: Link = session
        seat = link.seat
        assert seat is not None
        facts = {"session": link.sender, "kind": seat.grant.kind, "msg_type": message.msg_type}
        facts |= {"cl_ord_id": message.get(11), "order_id": message.get(37), "symbol": message.get(55)}
        now = self.clock.mono_ns()
        if self.faults and self.faults.strike("swallow", now, **facts):
            return
        fault = self.faults.strike("reject", now, **facts) if self.faults else None
        if fault is not None:
            self.refuse(link, message, fault.parameters["text"])
            return
        if self.faults and message.msg_type in CANCELS and self.takes_no_cancels(message.get(55), "fix"):
            self.refuse(link, message, self.no_cancel_text)
            return
        late = self.faults.strike("late_order", now, **facts) if self.faults and message.msg_type == "D" else None
        if late is not None:
            self.after(late.number("ms") * MS_NS, lambda: self.request(link, seat, message))
            return
        self.request(link, seat, message)

    def logged_out(self, session: Any) -> None:
        session.said_logout = True

    def garbled(self, session: Any, what: Garbled) -> None:
        self.counters["garbled"] += 1

    def resend(self, session: Any, message: Message) -> bool:
        return True

    def bad_sequence(self, session: Any, message: Message) -> bool:
        return True

    def filter_out(self, session: Any, msg_type: str, data: bytes) -> bytes | None:
        link: Link = session
        self.counters["messages_out"] += 1
        if self.faults and link.seat is not None:
            facts = {"session": link.sender, "kind": link.seat.grant.kind, "msg_type": msg_type}
            broken = self._break(link, data, facts)
            if broken is None:
                return None
            data = broken
        if link.held or link.stalled:
            link.held.append((self.clock.mono_ns(), data))
            return None
        return data

    def _break(self, link: Link, data: bytes, facts: dict[str, str]) -> bytes | None:
        now = self.clock.mono_ns()
        if self.faults.strike("drop", now, **facts):
            return None
        if self.faults.strike("duplicate", now, **facts):
            data += data
        if self.faults.strike("garble", now, **facts):
            middle = len(data) // 2
            data = data[:middle] + b"\x01\x01=?\x00" + data[middle + 5 :]
        if self.faults.strike("checksum", now, **facts):
            data = b"%s%03d\x01" % (data[:-4], (int(data[-4:-1]) + 1) & 255)
        fault = self.faults.strike("delay", now, **facts)
        if fault is not None:
            link.held.append((now + fault.number("ms") * MS_NS, data))
            return None
        return data

    # -- reports --------------------------------------------------------------------------------------------------

    def report(self, seat: Seat, msg_type: str, fields: list[Field], event: Event | None = None) -> None:
        """Send a report to a seat, or keep it for its replay while it is away; a fault may lose it for good."""
        if event is not None and (self._loses(seat, event) or self._holds(seat, msg_type, fields, event)):
            return
        self._deliver(seat, msg_type, fields)

    def _deliver(self, seat: Seat, msg_type: str, fields: list[Field]) -> None:
        self.counters["reports"] += 1
        if seat.live is not None and seat.live.active:
            seat.live.send(msg_type, fields)
        elif seat.profile.replays:
            seat.numbers.take(seat.profile, msg_type, fields, self.clock.wall_ns())

    def _holds(self, seat: Seat, msg_type: str, fields: list[Field], event: Event) -> bool:
        """Whether the order's reports to this seat wait, in order: its acknowledgement was held back."""
        key, now = (id(seat), event.order.order_id), self.clock.mono_ns()
        held = self._held.get(key)
        if held is not None:
            held.append((msg_type, fields))
            return True
        if not self.faults or event.kind not in "0A":
            return False
        fault = self.faults.strike("late_ack", now, **self._facts(seat, event))
        if fault is None:
            return False
        self._held[key] = [(msg_type, fields)]

        def release() -> None:
            for item in self._held.pop(key):
                self._deliver(seat, *item)

        self.after(fault.number("ms") * MS_NS, release)
        return True

    @staticmethod
    def _facts(seat: Seat, event: Event) -> dict[str, str]:
        o = event.order
        facts = {"session": seat.grant.sender, "kind": seat.grant.kind, "symbol": o.symbol}
        return facts | {"order_id": o.order_id, "cl_ord_id": o.cl_ord_id}

    def _loses(self, seat: Seat, event: Event) -> bool:
        if not self.faults:
            return False
        facts = self._facts(seat, event)
        if self.faults.strike("lost_report", self.clock.mono_ns(), exec_type=event.kind, **facts) is None:
            return False
        self.counters["reports_lost"] += 1
        return True

    def seats_of(self, account: str, kind: str) -> list[Seat]:
        """Seats of a kind on an account."""
        return [s for s in self.seats.values() if s.grant.account == account and s.grant.kind == kind]

    def seat_of(self, order: Order) -> Seat | None:
        """The trading seat that placed an order."""
        for seat in self.seats.values():
            if seat.grant.kind == "trading" and seat.grant.sender == order.owner.comp_id:
                return seat
        return None

    # -- connections ----------------------------------------------------------------------------------------------

    def open_link(self, service: str, write: Callable[[bytes], object], close: Callable[[], object]) -> Link:
        """A connection that is going to speak FIX."""
        link = Link(self, self.profile(service), self.clock, write, close, service)
        self.links.append(link)
        return link

    def lost(self, link: Link) -> None:
        """A connection is gone."""
        if link in self.links:
            self.links.remove(link)
        link.active = False
        link.closed = True
        self.counters["messages_in"] += link.counters["in"]
        seat = link.seat
        if seat is not None and seat.live is link:
            seat.live = None
            self.session_ended(link, seat)

    def session_ended(self, link: Link, seat: Seat) -> None:
        """A session's connection is gone: cancel on disconnect where the venue has it (an orderly Logout keeps)."""
        if seat.cancels_on_loss and not link.said_logout:
            for order in self.exchange.working(comp_id=seat.grant.sender, connection=seat.connection):
                self.exchange.cancel(order, reason="disconnect")

    def matching_links(self, conditions: dict[str, str]) -> list[Link]:
        """Connections that a fault's conditions name."""
        found = []
        for link in self.links:
            kind = link.seat.grant.kind if link.seat else ""
            if conditions.get("session", link.sender) == link.sender and conditions.get("kind", kind) == kind:
                found.append(link)
        return found

    def rollover(self, seconds: int) -> None:
        """End every session, forget all numbers, refuse logons for a while. Orders stay."""
        self.closed_until_ns = self.clock.mono_ns() + seconds * SECOND_NS
        for link in list(self.links):
            link.logout("session rollover")
            link.said_logout = True
            link.end()
        for seat in self.seats.values():
            seat.numbers.reset()

    # -- time -----------------------------------------------------------------------------------------------------

    def after(self, delay_ns: int, callback: Callable[[], object]) -> None:
        """Call back later, from `tick`."""
        heapq.heappush(self._timers, (self.clock.mono_ns() + delay_ns, self.next_id(), callback))

    def tick(self) -> None:
        """Everything that time brings; to be called every few milliseconds."""
        now = self.clock.mono_ns()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        self.exchange.advance()
        for link in list(self.links):
            link.release()
            if not link.stalled:
                link.tick()

    def next_id(self) -> int:
        """A number that this venue never gave before."""
        self._ids += 1
        return self._ids

    def list_time_ns(self) -> int:
        """The moment (UTC) that the open-orders list shows; 0: nothing at all."""
        if self.faults and self.faults.strike("list_empty", self.clock.mono_ns()):
            return 0
        fault = self.faults.strike("list_lag", self.clock.mono_ns()) if self.faults else None
        lag = fault.number("ms") * MS_NS if fault is not None else self.list_lag_ns
        return self.clock.wall_ns() - lag
