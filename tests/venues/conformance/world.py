"""A desk's sessions and a simulated venue in one thread of one clock turned by hand: no sockets, no waiting.

`Line` is one connection: bytes go both ways in order, may be held back, and are lost with it. `World` has the venue and
the clock; `Desk` is order entry with reconciliation as procs/trading.py wires it; `Watcher` is one book as
procs/marketdata.py keeps it.
"""

from collections import deque
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

import pytest
from msgspec.structs import replace

from base.backoff import Backoff
from base.clock import ManualClock
from base.config import InstrumentConfig, Kind
from base.http import Request
from ipc.book_builder import Action, AskSnapshot, BookBuilder
from ipc.books import BookReason, BookState
from ipc.events import AnyEvent, Difference, ExecutionReport
from procs.marketdata import builder_rule
from risk.order import Order
from risk.orders import OrderTable
from sim.desk import module_of
from sim.gateway import Venue
from sim.orders import BUY, CROWD, SELL
from sim.orders import Order as CrowdOrder
from sim.run import build
from sim.setup import Grant, RestKey, Setup
from sim.wire import Framer, Message
from tests.venues.conformance.cases import Case
from tests.venues.conformance.recovery_live import Ears
from tests.venues.fakes import FakePort
from tests.venues.kit import WALL, Heard
from venues.interface import BookRule, RestApi, RestRequest, SessionPhase, VenueSession
from venues.limits import RateLimits
from venues.means import Answered
from venues.order_entry import OrderEntry
from venues.recovery import Recovery

MS = 1_000_000
LAG_MS = 200


@cache
def secrets_of(name: str) -> tuple[str, ...]:
    """Credentials of the venue's form, made once: key pairs cost time."""
    make = module_of(name).new_secret
    return tuple(
        make(what) for what in ("username", "password", "passphrase", "rest_key", "rest_secret", "rest_passphrase")
    )


class Line:
    """One connection."""

    def __init__(self, world: "World", session: VenueSession, heard: Heard, service: str) -> None:
        self.session, self.heard, self.world = session, heard, world
        self.up: deque[bytes] = deque()
        self.down: deque[bytes] = deque()
        self.said: list[Message] = []  # what the venue sent and the session was given
        self.sent: list[Message] = []  # what the session sent and the venue was given
        self.spoil: Callable[[bytes], bytes] | None = None  # changes what the session sends
        self.holding = False  # what the venue says stays on its way
        self.open = True
        self._in, self._out = Framer(), Framer()
        self.link = world.venue.open_link(service, lambda data: self.down.append(bytes(data)), lambda: None)
        heard.disconnects.clear()
        session.connected(lambda data: self.up.append(bytes(data)), *world.now)

    def settle(self) -> bool:
        """Carry what there is; whether anything moved."""
        moved = False
        while self.open and (self.up or (self.down and not self.holding)):
            moved = True
            if self.up:
                data = self.up.popleft()
                data = self.spoil(data) if self.spoil is not None else data
                self.sent += [m for m in self._out.feed(data) if isinstance(m, Message)]
                self.link.received(data)
            else:
                self.give(self.down.popleft())
            if self.heard.disconnects:
                self.cut(self.heard.disconnects[-1])
        if self.open and self.link.closed and not self.down:
            self.cut("the venue closed")
            return True
        return moved

    def give(self, data: bytes) -> None:
        """Bytes of the venue reach the session."""
        self.said += [m for m in self._in.feed(data) if isinstance(m, Message)]
        self.session.received(data, *self.world.now)

    def cut(self, reason: str = "cut") -> None:
        """The connection is gone; what was on its way is lost."""
        if self.open:
            self.open = False
            self.up.clear()
            self.down.clear()
            self.world.venue.lost(self.link)
            self.session.disconnected(reason, *self.world.now)


class World:
    """The venue and its clock."""

    def __init__(self, case: Case, wall_ns: int = WALL, **options: Any) -> None:
        self.case = case
        self.clock = ManualClock(10**12, wall_ns)
        self.secrets = secrets_of(case.name)
        user, password, passphrase = self.secrets[:3]
        senders = [
            (Kind.TRADING, case.ours, 2), (Kind.TRADING, f"{case.ours[:6]}5", 2),
            (Kind.TRADING, f"{case.ours[:6]}6", 2), (Kind.MARKETDATA, case.ours, 2),
            (Kind.MARKETDATA, f"{case.ours[:6]}3", 3), (Kind.DROPCOPY, f"{case.ours[:6]}4", 2),
        ]  # fmt: skip
        grants = [
            Grant(kind.value, sender, case.target(kind), "main", level, user, password, f"{kind}-{sender}", passphrase)
            for kind, sender, level in senders
        ]
        keys = [RestKey("main", *self.secrets[3:])]
        setup = Setup(case.name, [case.instrument], grants, keys, case.sim_options | options)
        self.venue: Venue = build(case.name, setup, self.clock)
        self.market = self.venue.exchange.markets[case.instrument.symbol]
        self.lines: list[Line] = []
        self.parts: list[Callable[[], bool]] = []  # what else moves: whether it did
        self._crowd = 0

    @property
    def now(self) -> tuple[int, int]:
        return self.clock.mono_ns(), self.clock.wall_ns()

    def context(self, kind: Kind, **more: Any) -> Any:
        context = self.case.context(kind, epoch=self.clock.wall_ns(), **more)
        context.username, context.password, context.passphrase = self.secrets[:3]
        return context

    @cached_property
    def rest(self) -> RestApi:
        """The account's REST side; whoever uses a key shares it, for nonces rise."""
        return self.rest_of(*self.secrets[3:])

    def rest_of(self, key: str, secret: str, passphrase: str) -> RestApi:
        """With these credentials."""
        i = self.case.instrument
        item = InstrumentConfig(name=i.name, symbol=i.symbol, px_scale=i.px_scale, qty_scale=i.qty_scale)
        made = self.case.dialect.rest(replace(self.case.venue, instruments=[item]), key, secret, passphrase)
        if made is None:
            pytest.skip(f"{self.case.id}: has no REST")
        return made

    def ask(self, request: RestRequest) -> tuple[int, bytes]:
        """What the venue's REST side answers."""
        answer = self.venue.rest(Request(request.method, request.target, request.headers, request.body))
        return answer.status, answer.body

    def pin(self, kind: str, **arguments: object) -> None:
        """A fault at the venue."""
        self.venue.faults.pin(kind, {k: str(v) for k, v in arguments.items()}, self.clock.mono_ns())

    def settle(self) -> None:
        """Until nothing is on its way any more."""
        while any([*(line.settle() for line in self.lines), *(part() for part in self.parts)]):
            pass

    def run(self, ns: int, step_ns: int = 50 * MS) -> None:
        """Let time pass."""
        end = self.clock.mono_ns() + ns
        while self.clock.mono_ns() < end:
            self.clock.advance(min(step_ns, end - self.clock.mono_ns()))
            self.venue.tick()
            self.settle()
            for line in self.lines:
                if line.open and line.session.deadline_ns <= self.clock.mono_ns():
                    line.session.tick(*self.now)
                    line.settle()
            self.settle()

    def until(self, condition: Callable[[], Any], what: str, seconds: int = 120) -> None:
        """Let time pass until the condition holds."""
        for _ in range(seconds * 20):
            self.settle()
            if condition():
                return
            self.run(50 * MS)
        raise AssertionError(f"{self.case.id}: not within {seconds} s: {what}")

    def make_book(self, *levels: tuple[int, int]) -> None:
        """The crowd's book, in place of what it was: `levels` are (bid, offer) in whole units of price."""
        now, i = self.clock.wall_ns(), self.case.instrument
        for order in [o for o in self.market.working() if o.owner == CROWD]:
            self.market.cancel(order, now)
        for bid, offer in levels:
            for side, px in ((BUY, bid), (SELL, offer)):
                self._crowd += 1
                qty = (self._crowd % 7 + 1) * 10**i.qty_scale
                self.market.submit(
                    CrowdOrder(f"M{self._crowd}", "", self.market.symbol, CROWD, side, qty, px * 10**i.px_scale), now
                )
        self.venue.exchange.settle(self.market.symbol)

    def working(self, sender: str = "") -> list[Any]:
        """The venue's own record of what works on the account."""
        found = self.venue.exchange.working(account="main")
        return [o for o in found if not sender or o.owner.comp_id == sender]


class Desk:
    """One trading session of the desk."""

    def __init__(self, world: World, *, sender: str = "", limits: bool = False, **config: Any) -> None:
        """`limits`: whether the desk keeps to the venue's rate limits."""
        self.world, self.case = world, world.case
        self.sender = sender or self.case.ours
        self.heard = Ears()
        context = world.context(Kind.TRADING, ours=self.sender, **({"on_stop": "keep"} | config))
        context.name = f"{context.name}-{self.sender}"
        self.session = self.case.dialect.trading(context, self.heard)
        self.line: Line | None = None
        self.alerts: list[str] = []
        self._asked: list[tuple[RestRequest, Answered]] = []
        claims = self.case.capabilities
        if not limits:
            claims = replace(claims, limits=RateLimits())
        self.port = FakePort()
        self.table = OrderTable(shared_trade_ids=claims.shared_trade_ids)
        self.entry = OrderEntry("s", "main", claims, [self.case.instrument], self.table, self.port, world.clock)
        self.heard.entry = self.entry
        rest = world.rest if claims.rest else None
        self.recovery = Recovery(self.entry, rest, self, Backoff(lambda: 0.1), LAG_MS * MS)
        self._phases = 0  # seen
        world.parts.append(self._turn)

    # -- what recovery asks of the process

    def ask(self, request: RestRequest, answered: Answered) -> None:
        self._asked.append((request, answered))

    def publish(self, event: AnyEvent) -> None:
        self.port.record(event)

    def alert(self, severity: str, code: str, text: str) -> None:
        self.alerts.append(text)

    # -- the process's part

    def _turn(self) -> bool:
        moved = False
        for phase, reason in self.heard.phases[self._phases :]:
            self._phases += 1
            moved = True
            if phase is SessionPhase.READY:
                self.entry.session = self.session
                self.recovery.logged_on(self.world.clock.mono_ns())
            elif phase is SessionPhase.DISCONNECTED:
                self.recovery.lost(reason)
        if self._asked:
            request, answered = self._asked.pop(0)
            answered(*self.world.ask(request), "")
            moved = True
        if self.recovery.deadline_ns <= self.world.clock.mono_ns():
            self.recovery.tick(self.world.clock.mono_ns())
            moved = True
        return moved

    @property
    def connected(self) -> bool:
        return self.line is not None and self.line.open

    def dial(self) -> Line:
        """Connect; the Logon is under way."""
        self.line = Line(self.world, self.session, self.heard, "trading")
        self.world.lines.append(self.line)
        return self.line

    def connect(self) -> Line:
        """Log on and reconcile."""
        line = self.dial()
        self.world.until(lambda: self.recovery.done, f"reconciled: {self.entry.ready_reason}, {self.heard.phases[-1:]}")
        return line

    def send(self, **changes: Any) -> Order:
        """An order on its way."""
        answer = self.entry.handle(self.case.order(**({"command_id": str(len(self.table) + 1)} | changes)))
        order = self.table.find(answer.cl_ord_id)
        assert order is not None, answer.reason
        return order

    def place(self, **changes: Any) -> Order:
        """An order that the venue has acknowledged."""
        order = self.send(**changes)
        self.world.until(lambda: order.state == "NEW", f"acknowledged: {order}")
        return order

    # -- what came of it

    def reports(self, order: Order) -> list[ExecutionReport]:
        return [e for e in self.heard.events if isinstance(e, ExecutionReport) and e.cl_ord_id in order.ids]

    def fills(self, order: Order) -> list[int | None]:
        """Quantities of the fills of an order that were published, in order."""
        return [
            e.last_qty for e in self.port.recorded
            if isinstance(e, ExecutionReport) and e.exec_type == "F" and e.cl_ord_id in order.ids
        ]  # fmt: skip

    @property
    def differences(self) -> list[Difference]:
        return [e for e in self.port.recorded if isinstance(e, Difference)]

    def agrees(self) -> str:
        """Where the desk's record and the venue's differ; "" where nowhere."""
        at_venue = {o.order_id: o for o in self.world.working(self.sender)}
        ours = {o.order_id: o for o in self.table.open()}
        if set(at_venue) != set(ours):
            return f"working at the venue {sorted(at_venue)}, here {sorted(ours)}: {list(self.table)}"
        wrong = [o for o in self.table if o.untold or o.state == "UNCERTAIN"]
        wrong += [o for n, o in ours.items() if o.cum_qty != at_venue[n].cum]
        return "; ".join(map(repr, wrong))


class Watcher:
    """One book of one market-data session."""

    def __init__(self, world: World, level: int) -> None:
        self.world, self.level = world, level
        self.heard = Heard()
        self.heard.phase = self._phase  # type: ignore[method-assign]
        self.builder = BookBuilder()
        self._added = self.ready = False
        self._asks = 0
        self._was = SessionPhase.DISCONNECTED
        world.parts.append(self._turn)
        ours = world.case.ours if level == 2 else f"{world.case.ours[:6]}3"
        context = world.context(Kind.MARKETDATA, level=level, ours=ours)
        self.session = world.case.dialect.marketdata(context, self.heard, self)
        self.line: Line | None = None

    def dial(self) -> Line:
        """Connect."""
        service = "marketdata_l3" if self.level == 3 else "marketdata"
        self.line = Line(self.world, self.session, self.heard, service)
        self.world.lines.append(self.line)
        return self.line

    # -- as procs/marketdata.py

    def subscribed(self, instrument: int, req_key: int, rule: BookRule) -> None:
        i = self.world.case.instrument
        if not self._added:
            self._added = True
            self.builder.add(
                instrument, builder_rule(rule, 0), level=self.level, orders=1_000 if self.level == 3 else 0,
                px_drop=i.px_scale - rule.checksum_px_digits if rule.checksum_px_digits >= 0 else 0,
                qty_drop=i.qty_scale - rule.checksum_qty_digits if rule.checksum_qty_digits >= 0 else 0,
            )  # fmt: skip
            if self.ready:
                self._act(self.builder.invalidate(instrument, BookReason.START, *self.world.now), ask=False)
        self.builder.expect(instrument, req_key)

    def records(self, words: memoryview, n_words: int) -> None:
        self._act(self.builder.feed(words, n_words, *self.world.now))

    def _act(self, actions: list[Action], *, ask: bool = True) -> None:
        self._asks += ask and any(isinstance(a, AskSnapshot) for a in actions)

    def _turn(self) -> bool:
        """What the builder wants; whether it wanted anything."""
        due = self.builder.deadline()
        if due is not None and due <= self.world.clock.mono_ns():
            self._act(self.builder.on_time(*self.world.now))
        asked, self._asks = bool(self._asks) and self.ready, 0
        if asked:
            self.session.refresh(0, *self.world.now)
        return asked

    def _phase(self, phase: SessionPhase, reason: str) -> None:
        self.heard.phases.append((phase, reason))
        was, self._was = self._was, phase
        if phase is SessionPhase.RECOVERING and self.ready:
            self._act(self.builder.invalidate_all(BookReason.GAP, *self.world.now), ask=False)
        elif phase is SessionPhase.READY:
            gap = self.ready and was is SessionPhase.RECOVERING
            self.ready = True
            self._act(self.builder.session_ready(*self.world.now), ask=gap)
        elif phase is SessionPhase.DISCONNECTED and self.ready:
            self.ready = False
            self.builder.session_lost(self.world.clock.wall_ns())

    # -- the book

    @property
    def live(self) -> bool:
        return self._added and self.builder.state(0)[0] is BookState.LIVE

    def levels(self) -> list[list[tuple[int, int]]]:
        """(price, quantity) of bids and of offers."""
        book = self.builder.books.book(0)
        return [[(px, qty) for px, qty, _ in book.side(side)] for side in (0, 1)]

    def truth(self) -> list[list[tuple[int, int]]]:
        """The same at the venue."""
        return [self.world.market.public_levels(side) for side in (BUY, SELL)]
