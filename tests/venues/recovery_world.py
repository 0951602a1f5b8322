"""A naive venue that lags, fails and forgets, with a desk before it: what recovery is held against.

The venue's truth is a plain list of orders. Its session tells everything in order, and loses what was not delivered
when the connection drops (or replays it). Its REST side shows a moment up to the stated lag ago, page by page, fails,
and answers late, if at all before the next disconnect.
"""

from dataclasses import dataclass, field
from typing import Any

from base.backoff import Backoff
from base.errors import SessionError, VenueError
from base.instruments import Instrument
from ipc.events import AnyEvent, ExecutionReport
from ipc.requests import NewOrder
from risk.order import Order
from risk.orders import FINAL_BY_STATUS, OrderTable
from tests.venues.fakes import BTC, Bench, FakeSession
from venues.interface import (
    OpenOrder,
    Page,
    RestRequest,
    SessionPhase,
    TradePage,
    VenueBalance,
    VenueTrade,
    WorkingOrder,
)
from venues.means import Answered
from venues.recovery import Recovery

MS = 1_000_000
SECOND = 1_000 * MS
LAG = SECOND
PAGE = 2
FORGETS_AFTER = 5 * SECOND
STEP = 50 * MS


@dataclass
class Moment:
    """An order from then on."""

    at_ns: int
    status: str
    cum: int
    qty: int
    price: int


@dataclass
class Fill:
    at_ns: int
    trade_id: str
    qty: int
    px: int


@dataclass
class VenueOrder:
    """An order as it truly is."""

    cl_ord_id: str
    order_id: str
    qty: int
    price: int
    status: str = "0"
    cum: int = 0
    fills: list[Fill] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return self.status in FINAL_BY_STATUS

    def note(self, at_ns: int) -> None:
        self.moments.append(Moment(at_ns, self.status, self.cum, self.qty, self.price))

    def as_of(self, at_ns: int) -> Moment | None:
        return next((m for m in reversed(self.moments) if m.at_ns <= at_ns), None)


class Session(FakeSession):
    """Order entry that hands what it sends to the venue."""

    def __init__(self, world: "World") -> None:
        super().__init__()
        self._world = world

    def new_order(self, order: NewOrder, instrument: Instrument, cl_ord_id: str, mono_ns: int, wall_ns: int) -> None:
        if not self._world.connected:
            raise SessionError("not connected")
        self._send("new", cl_ord_id)
        self._world.arrives(cl_ord_id, order)


class Rest:
    """The venue's REST side; the wire is a number of an answer worked out when it was asked for."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._answers: list[Any] = []

    def _hold(self, answer: Any) -> RestRequest:
        self._answers.append(answer)
        return RestRequest("GET", str(len(self._answers) - 1))

    def _read(self, status: int, body: bytes) -> Any:
        if status != 200:
            raise VenueError(f"HTTP status {status}")
        return self._answers[int(body)]

    def open_orders(self, wall_ns: int, cursor: str = "") -> RestRequest:
        at_ns, start = self._world.shown_ns(), int(cursor or 0)
        orders = [(o, m) for o in self._world.orders.values() if (m := o.as_of(at_ns)) is not None]
        lines = [_line(o, m) for o, m in orders if m.status not in FINAL_BY_STATUS]
        following = str(start + PAGE) if start + PAGE < len(lines) else ""
        return self._hold(Page(tuple(lines[start : start + PAGE]), following))

    def parse_open_orders(self, status: int, body: bytes) -> Page:
        page: Page = self._read(status, body)
        return page

    def order(self, wall_ns: int, order: WorkingOrder) -> RestRequest:
        at_ns = self._world.shown_ns()
        found = self._world.orders.get(order.cl_ord_id)
        moment = found.as_of(at_ns) if found is not None else None
        if found is None or moment is None or self._world.forgot(moment, at_ns):
            return self._hold(None)
        return self._hold(_line(found, moment))

    def parse_order(self, status: int, body: bytes, cl_ord_id: str = "") -> OpenOrder | None:
        found: OpenOrder | None = self._read(status, body)
        return found

    def trades(self, wall_ns: int, order: WorkingOrder, since_ns: int, cursor: str = "") -> RestRequest | None:
        if not self._world.tells_trades:
            return None
        at_ns, start = self._world.shown_ns(), int(cursor or 0)
        mark = "" if self._world.shared_ids else "r"
        told = [
            VenueTrade(
                trade_id=mark + f.trade_id, order_id=o.order_id, cl_ord_id=o.cl_ord_id, symbol=BTC.symbol, side="1",
                px=BTC.px_text(f.px), qty=BTC.qty_text(f.qty), transact_ns=f.at_ns,
            )
            for o in self._world.orders.values() for f in o.fills if since_ns <= f.at_ns <= at_ns
        ]  # fmt: skip
        following = str(start + PAGE) if start + PAGE < len(told) else ""
        return self._hold(TradePage(tuple(told[start : start + PAGE]), following))

    def parse_trades(self, status: int, body: bytes) -> TradePage:
        page: TradePage = self._read(status, body)
        return page

    def balances(self, wall_ns: int) -> RestRequest | None:
        return None

    def parse_balances(self, status: int, body: bytes) -> tuple[VenueBalance, ...]:
        return ()

    def cancel_all(self, wall_ns: int, instruments: Any) -> list[RestRequest]:
        return []

    def parse_cancel_all(self, status: int, body: bytes) -> int | None:
        return None

    def cancel_after(self, wall_ns: int, seconds: int) -> RestRequest | None:
        return None

    def parse_cancel_after(self, status: int, body: bytes) -> None:
        raise AssertionError("there is no timer")


def _line(order: VenueOrder, m: Moment) -> OpenOrder:
    return OpenOrder(
        order_id=order.order_id, cl_ord_id=order.cl_ord_id, symbol=BTC.symbol, side="1", status=m.status,
        order_qty=BTC.qty_text(m.qty), cum_qty=BTC.qty_text(m.cum), price=BTC.px_text(m.price),
    )  # fmt: skip


class World(Bench):
    """Venue, wire and desk."""

    def __init__(self, *, resend: bool, tells_trades: bool, shared_ids: bool, forgets: bool) -> None:
        super().__init__(resend=resend)
        self.resend, self.tells_trades, self.shared_ids, self.forgets = resend, tells_trades, shared_ids, forgets
        self.table = self.entry.table = OrderTable(shared_trade_ids=shared_ids)
        self.session = self.entry.session = Session(self)
        self.orders: dict[str, VenueOrder] = {}
        self.unborn: list[str] = []  # ClOrdIDs that never reached the venue
        self.wire: list[ExecutionReport] = []  # reports on their way to the desk
        self.missed: list[ExecutionReport] = []  # for a replay
        self.asked: list[tuple[RestRequest, Answered]] = []
        self.connected = False
        self.swallow = self.late = self.fails = 0
        self.travelling: list[tuple[int, str, NewOrder]] = []  # (arrival, ...) of orders still on their way
        self.lag_ns = 0
        self.alerts: list[str] = []
        self._ids = self._shown = 0
        self.recovery = Recovery(self.entry, Rest(self), self, Backoff(lambda: 0.5), LAG)

    # -- what recovery asks of the process

    def ask(self, request: RestRequest, answered: Answered) -> None:
        self.asked.append((request, answered))

    def publish(self, event: AnyEvent) -> None:
        self.port.record(event)

    def alert(self, severity: str, code: str, text: str) -> None:
        self.alerts.append(text)

    # -- the venue

    def shown_ns(self) -> int:
        """The moment that REST shows: each call another one, within the stated lag."""
        self._shown += 1
        share = (7, 7, 3, 7, 0, 5)[self._shown % 6]
        return self.clock.wall_ns() - self.lag_ns * share // 7

    def forgot(self, moment: Moment, at_ns: int) -> bool:
        return self.forgets and moment.status in FINAL_BY_STATUS and at_ns - moment.at_ns > FORGETS_AFTER

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    def arrives(self, cl_ord_id: str, command: NewOrder) -> None:
        if self.swallow:
            self.swallow -= 1
            self.unborn.append(cl_ord_id)
        elif self.late:
            self.late -= 1
            self.travelling.append((self.clock.wall_ns() + 4 * SECOND, cl_ord_id, command))
        else:
            self.takes(cl_ord_id, command)

    def takes(self, cl_ord_id: str, command: NewOrder) -> None:
        order = VenueOrder(cl_ord_id, f"V{self.next_id()}", command.order_qty, command.price or 0)
        self.orders[cl_ord_id] = order
        self._says(order, "0")

    def alive(self, n: int) -> VenueOrder | None:
        living = [o for o in self.orders.values() if not o.done]
        return living[n % len(living)] if living else None

    def fill(self, n: int, share: int) -> None:
        order = self.alive(n)
        if order is None:
            return
        left = order.qty - order.cum
        fill = Fill(self.clock.wall_ns(), f"T{self.next_id()}", max(left * share // 4, 1), order.price)
        order.fills.append(fill)
        order.cum += fill.qty
        order.status = "2" if order.cum >= order.qty else "1"
        self._says(order, "F", fill)

    def ends(self, n: int, status: str) -> None:
        order = self.alive(n)
        if order is not None:
            order.status = status
            self._says(order, status)

    def replaced(self, n: int) -> None:
        order = self.alive(n)
        if order is not None:
            order.qty, order.price = order.qty + 10, order.price + 5
            self._says(order, "D")

    def _says(self, order: VenueOrder, exec_type: str, fill: Fill | None = None) -> None:
        order.note(self.clock.wall_ns())
        report = ExecutionReport(
            session="s", venue="v", account="main", instrument="BTC-USD", cl_ord_id=order.cl_ord_id,
            order_id=order.order_id, exec_id=f"E{self.next_id()}", exec_type=exec_type, ord_status=order.status,
            side="1", ord_type="2", time_in_force="1", px_scale=BTC.px_scale, qty_scale=BTC.qty_scale,
            order_qty=order.qty, price=order.price, stop_px=None, last_qty=fill.qty if fill else None,
            last_px=fill.px if fill else None, cum_qty=order.cum, leaves_qty=0 if order.done else order.qty - order.cum,
            transact_ns=0, sending_ns=0, recv_ns=0, trade_id=fill.trade_id if fill else "",
        )  # fmt: skip
        (self.wire if self.connected else self.missed).append(report)

    # -- the wire

    def connect(self) -> None:
        if self.connected:
            return
        self.connected = True
        self.session.phase = SessionPhase.READY
        missed, self.missed = self.missed, []
        if self.resend:
            for report in missed:
                self.entry.event(report)
        self.recovery.logged_on(self.clock.mono_ns())

    def disconnect(self) -> None:
        if self.connected:
            self.connected = False
            self.session.phase = SessionPhase.DISCONNECTED
            self.missed += self.wire
            self.wire.clear()
            self.recovery.lost("connection lost")

    def deliver(self, n: int) -> None:
        """The desk reads some of what the venue sent."""
        taken, self.wire = self.wire[:n], self.wire[n:]
        for report in taken:
            self.entry.event(report)

    def answer(self, n: int) -> None:
        """REST answers the oldest questions, or fails to."""
        for _ in range(min(n, len(self.asked))):
            request, answered = self.asked.pop(0)
            if self.fails:
                self.fails -= 1
                failure = self.fails % 3
                answered(*((0, b"", "timed out"), (503, b"", ""), (429, b"", ""))[failure])
            else:
                answered(200, request.target.encode(), "")

    def wait(self, ns: int, *, serve: bool = False) -> None:
        """Time passes; `serve`: everything is delivered and answered meanwhile."""
        end = self.clock.mono_ns() + ns
        while self.clock.mono_ns() < end:
            idle = serve and not self.asked and not self.wire and not self.travelling
            due = max(self.recovery.deadline_ns - self.clock.mono_ns(), STEP)
            self.clock.advance(min(due, end - self.clock.mono_ns(), SECOND) if idle else STEP)
            while self.travelling and self.travelling[0][0] <= self.clock.wall_ns():
                self.takes(*self.travelling.pop(0)[1:])
            if self.clock.mono_ns() >= self.recovery.deadline_ns:
                self.recovery.tick(self.clock.mono_ns())
            if serve:
                self.deliver(1_000)
                self.answer(1_000)
            self.check()

    # -- what must hold

    def check(self) -> None:
        """Nothing is taken for dead that lives; no more is counted as filled than was."""
        for order in self.table:
            truth = self.orders.get(order.cl_ord_id)
            if truth is None:
                continue
            assert order.is_open or truth.done, (order, truth)
            assert order.cum_qty <= truth.cum, (order, truth)

    def told(self) -> list[tuple[str, str | int, int | None]]:
        """Every fill that was published, as `name` names it."""
        fills = [e for e in self.port.recorded if isinstance(e, ExecutionReport) and e.exec_type == "F"]
        return [(f.cl_ord_id, *self.name(f.trade_id, f.last_qty or 0, f.last_px)) for f in fills]

    def name(self, trade_id: str, qty: int, px: int | None) -> tuple[str | int, int | None]:
        """By id where the channels share ids; else two trades of the same figures cannot be told apart."""
        return (trade_id, None) if self.shared_ids else (qty, px)

    def settle(self) -> None:
        """Everything works again, for long enough."""
        self.fails = 0
        self.connect()
        for _ in range(80):
            self.wait(10 * SECOND, serve=True)
            doubt = any(o.state == "UNCERTAIN" for o in self.table) or (self.tells_trades and self.table.untold)
            if self.recovery.done and not doubt:
                break
        self.wait(10 * SECOND, serve=True)

    def check_truth(self) -> None:
        """The desk has the venue's truth, and every fill once."""
        assert (self.recovery.done, self.entry.ready_reason) == (True, "")
        for order in self.table:
            truth = self.orders.get(order.cl_ord_id)
            assert (truth is None) == (order.cl_ord_id in self.unborn)
            self._agrees(order, truth)
        assert sum(self.port.fills) == sum(o.cum for o in self.orders.values())
        if self.tells_trades or self.resend:
            true = sorted(
                (o.cl_ord_id, *self.name(f.trade_id, f.qty, f.px)) for o in self.orders.values() for f in o.fills
            )
            assert sorted(self.told()) == true

    def _agrees(self, order: Order, truth: VenueOrder | None) -> None:
        if truth is None:
            assert not order.is_open, order
            return
        expected = FINAL_BY_STATUS.get(truth.status, "PARTIALLY_FILLED" if truth.cum else "NEW")
        if self.forgets and truth.done and order.inferred and truth.status != "2":
            assert not order.is_open
            expected = order.state  # how it ended nobody there knows any more; what was filled is known
        if expected in ("CANCELED", "EXPIRED") and order.order_qty < truth.qty and order.cum_qty >= order.order_qty:
            expected = "FILLED"  # all of what the desk knew of: that it was raised was never told before the end
        assert (order.state, order.cum_qty) == (expected, truth.cum), (order, truth)
        if order.is_open:
            assert (order.order_qty, order.price) == (truth.qty, truth.price), (order, truth)
