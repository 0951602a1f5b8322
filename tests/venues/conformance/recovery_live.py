"""A desk's recovery over real sockets: order entry, session and REST of one dialect against its simulated venue."""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from base.backoff import Backoff
from base.clock import SystemClock
from base.config import Kind
from base.errors import ConfigError
from ipc.events import AnyEvent, Difference, ExecutionReport
from risk.order import Order
from risk.orders import OrderTable
from tests.venues.conformance.cases import Case
from tests.venues.conformance.live import DEADLINE_S, Driver
from tests.venues.conformance.test_live import Bench
from tests.venues.fakes import FakePort
from tests.venues.kit import Heard
from venues.interface import RestApi, RestRequest, SessionPhase
from venues.means import Answered
from venues.order_entry import OrderEntry
from venues.recovery import Recovery

T = TypeVar("T")
LAG_MS = 200


class Ears(Heard):
    """A sink that hands events to order entry."""

    entry: OrderEntry

    def event(self, event: AnyEvent) -> None:
        super().event(event)
        self.entry.event(event)


class LiveDesk:
    """One trading session of a desk that can lose its connection and its memory."""

    def __init__(self, bench: Bench, *, rest: bool = True, lag_ms: int = LAG_MS, name: str = "", **config: Any) -> None:
        """`name`: another session of the desk, whose ClOrdIDs are its own."""
        self.bench = bench
        self.case: Case = bench.case
        self.clock = SystemClock()
        self.heard = Ears()
        context = bench._context(Kind.TRADING, on_stop="keep", **config)
        context.name = name or context.name
        self.sender = context.config.sender_comp_id
        self.session = self.case.dialect.trading(context, self.heard)
        self.alerts: list[str] = []
        self.asked: list[tuple[RestRequest, Answered]] = []
        self._rest: RestApi | None = bench.rest() if rest else None
        self._lag_ns = lag_ms * 1_000_000
        self.driver: Driver | None = None
        self.forget()

    def forget(self) -> None:
        """The journal is lost: nothing is known of earlier orders."""
        self.port = FakePort()
        claims = self.case.capabilities
        self.table = OrderTable(shared_trade_ids=claims.shared_trade_ids)
        self.entry = OrderEntry(
            "s", "main", claims, [self.case.instrument], self.table, self.port, self.clock,
        )  # fmt: skip
        self.heard.entry = self.entry
        self.recovery = Recovery(self.entry, self._rest, self, Backoff(lambda: 0.1), self._lag_ns)

    # -- what recovery asks of the process

    def ask(self, request: RestRequest, answered: Answered) -> None:
        self.asked.append((request, answered))

    def publish(self, event: AnyEvent) -> None:
        self.port.record(event)

    def alert(self, severity: str, code: str, text: str) -> None:
        self.alerts.append(text)

    # -- the process's part

    def connect(self) -> None:
        """Log on and reconcile."""
        self.log_on()
        self.until(lambda: self.recovery.done, "reconciled")

    def log_on(self) -> None:
        """Log on: reconciliation begins."""
        self.driver = Driver(self.session, self.heard, self.bench.running.endpoint("trading"))
        self.bench._drivers.append(self.driver)
        self.driver.until(lambda: self.session.phase is SessionPhase.READY, "ready")
        self.entry.session = self.session
        self.recovery.logged_on(self.clock.mono_ns())

    def drop(self) -> None:
        """The connection is lost."""
        assert self.driver is not None
        running = self.bench.running
        (seat,) = (
            s for s in running.venue.seats.values() if s.grant.sender == self.sender and s.grant.kind == "trading"
        )
        running.until(lambda: seat.live is not None)
        self.driver.close("lost")
        self.recovery.lost("connection lost")
        running.until(lambda: seat.live is None)
        AtVenue(self.bench).do(lambda: setattr(seat, "blocked_until_ns", 0))  # the name may be refused for a while

    def turn(self) -> None:
        """One turn of the process's loop."""
        assert self.driver is not None
        self.driver.turn(0.002)
        if self.asked:
            request, answered = self.asked.pop(0)
            try:
                status, body = self.bench.ask(request)
            except OSError as e:
                answered(0, b"", str(e))
            else:
                answered(status, body, "")
        if self.clock.mono_ns() >= self.recovery.deadline_ns:
            self.recovery.tick(self.clock.mono_ns())

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Turn until the condition holds."""
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, (what, self.entry.ready_reason, self.alerts[-3:], list(self.table))
            self.turn()

    def place(self, **changes: Any) -> Order:
        """An order that the venue has acknowledged."""
        order = self.send(**changes)
        self.until(lambda: order.state == "NEW", "acknowledged")
        return order

    def send(self, **changes: Any) -> Order:
        """An order on its way."""
        answer = self.entry.handle(self.case.order(**changes))
        assert answer.accepted, answer.reason
        order = self.table.find(answer.cl_ord_id)
        assert order is not None
        return order

    # -- what came of it

    def fills(self, order: Order) -> list[tuple[str, int | None]]:
        """(trade id, quantity) of the fills of an order that were published, in order."""
        return [
            (e.trade_id, e.last_qty) for e in self.port.recorded
            if isinstance(e, ExecutionReport) and e.exec_type == "F" and e.cl_ord_id in order.ids
        ]  # fmt: skip

    @property
    def differences(self) -> list[Difference]:
        return [e for e in self.port.recorded if isinstance(e, Difference)]


class AtVenue:
    """Doing things at a running venue, on its own thread."""

    def __init__(self, bench: Bench) -> None:
        self._running = bench.running
        self.exchange = bench.running.venue.exchange

    def do(self, what: Callable[[], T]) -> T:
        """The result of a call on the venue's thread."""
        done, found = threading.Event(), []

        def call() -> None:
            with contextlib.suppress(ConfigError):
                found.append(what())
            done.set()

        self._running._loop.call_soon_threadsafe(call)
        assert done.wait(5)
        return found[0]

    def order(self, order: Order) -> Any:
        return self.exchange.orders[order.order_id]

    def fill(self, order: Order, qty: int) -> None:
        self.do(lambda: self.exchange.fill(self.order(order), qty))

    def cancel(self, order: Order) -> None:
        self.do(lambda: self.exchange.cancel(self.order(order), reason="engine"))

    def expire(self, order: Order) -> None:
        self.do(lambda: self.exchange.cancel(self.order(order), kind="C", reason="expired"))

    def shrink(self, order: Order, qty: int) -> None:
        it = self.order(order)
        self.do(lambda: self.exchange.replace(it, it.cl_ord_id, qty=qty, price=it.price))
