"""Drives one reconciliation run with a venue's means: one question at a time, each with a deadline. No I/O."""

from collections.abc import Callable
from typing import Protocol

from base.errors import VenueError
from risk.listed import Finding
from risk.order import Order
from risk.reconcile import AskList, AskOrder, AskTrades, Done, Reconciler, Wait
from venues.interface import OpenOrder, Page, TradePage
from venues.means import Means
from venues.order_entry import OrderEntry

NEVER = 1 << 62
ANSWER_WITHIN_NS = 15_000_000_000  # a question that nobody answered at all counts as failed
IN_A_ROW = 3  # failures after which the rest of a run is not worth trying
TRADES_BEFORE_NS = 300_000_000_000  # how far before an order its trades are looked for: clocks differ


class RunHost(Protocol):
    """Who runs it."""

    def take(self, findings: list[Finding]) -> None:
        """Apply and publish."""
        ...

    def missed(self, order: Order, why: str) -> None:
        """An order, or its trades, could not be asked for."""
        ...

    def ended(self, runner: "Runner", failure: str) -> None:
        """The run is over; `failure`: why it could not be completed."""
        ...


class Runner:
    """One run, from `begin` to `RunHost.ended` or `stop`."""

    def __init__(self, run: Reconciler, means: Means, entry: OrderEntry, host: RunHost, *, all_trades: bool = False):
        """`all_trades`: look for trades from the beginning, not from the order's own."""
        self.run = run
        self._means = means
        self._entry = entry
        self._host = host
        self._all_trades = all_trades
        self._question = 0  # answers to earlier ones are too late
        self._failures = 0
        self._at_due: Callable[[], None] | None = None
        self.deadline_ns = NEVER
        self.over = False

    def begin(self) -> None:
        """Do what the run wants first."""
        self._step()

    def stop(self) -> None:
        """Drop the run: answers still to come count for nothing."""
        self.over = True
        self._question += 1
        self.deadline_ns = NEVER

    def tick(self, mono_ns: int) -> None:
        """Do what is due."""
        if mono_ns >= self.deadline_ns and self._at_due is not None:
            due, self._at_due, self.deadline_ns = self._at_due, None, NEVER
            due()

    def _step(self) -> None:
        clock = self._entry.clock
        self._host.take(self.run.take_findings())
        action = self.run.next(clock.mono_ns(), clock.wall_ns())
        self._host.take(self.run.take_findings())
        match action:
            case AskList(cursor=cursor):
                self._ask_list(cursor)
            case AskOrder(cl_ord_id=cl_ord_id):
                self._ask_order(self._known(cl_ord_id))
            case AskTrades(cl_ord_id=cl_ord_id, cursor=cursor):
                self._ask_trades(self._known(cl_ord_id), cursor)
            case Wait(until_mono_ns=until):
                self._due(until, self._resume)
            case Done():
                self._end("")

    def _known(self, cl_ord_id: str) -> Order:
        order = self._entry.table.find(cl_ord_id)
        if order is None:
            raise VenueError(f"order {cl_ord_id} vanished while it was being reconciled")
        return order

    def _due(self, mono_ns: int, then: Callable[[], None]) -> None:
        self.deadline_ns, self._at_due = mono_ns, then

    def _resume(self) -> None:
        self.run.resume()
        self._step()

    def _end(self, failure: str) -> None:
        self.stop()
        self._host.ended(self, failure)

    def _asked(self, failed: Callable[[str], None]) -> tuple[Callable[[], bool], Callable[[str], None]]:
        """(whether an answer is the one waited for, what to call when there is none)."""
        self._question += 1
        question = self._question

        def current() -> bool:
            if self.over or question != self._question:
                return False
            self._question += 1
            self.deadline_ns, self._at_due = NEVER, None
            return True

        def fail(why: str) -> None:
            if current():
                failed(why)

        self._due(self._entry.clock.mono_ns() + ANSWER_WITHIN_NS, lambda: fail("no answer"))
        return current, fail

    # -- questions -------------------------------------------------------------------------------------------

    def _ask_list(self, cursor: str) -> None:
        current, fail = self._asked(lambda why: self._end(f"open orders list: {why}"))

        def done(page: Page) -> None:
            if not current():
                return
            try:
                self.run.page(page.orders, page.cursor, self._entry.clock.wall_ns())
            except VenueError as e:
                self._end(str(e))
                return
            self._step()

        self._means.list(cursor, done, fail)

    def _ask_order(self, order: Order) -> None:
        current, fail = self._asked(lambda why: self._missed(order, f"order {order.cl_ord_id}: {why}"))

        def done(found: OpenOrder | None) -> None:
            if current():
                self._failures = 0
                self.run.order(order.cl_ord_id, found, self._entry.clock.wall_ns())
                self._step()

        self._means.order(order, done, fail)

    def _missed(self, order: Order, why: str) -> None:
        self._failures += 1
        self._host.missed(order, why)
        if self._failures >= IN_A_ROW:
            self._end(why)
        else:
            self._step()

    def _ask_trades(self, order: Order, cursor: str) -> None:
        current, fail = self._asked(lambda why: self._no_trades(order, f"trades of {order.cl_ord_id}: {why}"))

        def done(page: TradePage) -> None:
            if not current():
                return
            self._failures = 0
            enough = page.newest_first and any(t.transact_ns < since_ns for t in page.trades)
            try:
                trades = page.trades[::-1] if page.newest_first else page.trades
                self.run.trades(trades, "" if enough else page.cursor, self._entry.clock.wall_ns())
            except VenueError as e:
                self._no_trades(order, str(e))
                return
            self._step()

        since_ns = 0 if self._all_trades else max(order.sent_ns - TRADES_BEFORE_NS, 0)
        if not self._means.trades(order, since_ns, cursor, done, fail) and current():
            self.run.no_trades(self._entry.clock.wall_ns(), cannot=True)
            self._step()

    def _no_trades(self, order: Order, why: str) -> None:
        self.run.no_trades(self._entry.clock.wall_ns(), cannot=False)
        self._missed(order, why)
