"""Finding out what became of orders: reconciliation after a logon, and the following of UNCERTAIN orders.

Drives risk/reconcile.py with the venue's means (REST list and query, or status requests over the session). No I/O of
its own: `ask` hands a request to the process and the answer comes back by callback.
"""

from collections.abc import Callable
from typing import Protocol

from base.backoff import Backoff
from base.errors import VenueError
from ipc.events import AnyEvent
from risk.orders import Order
from risk.reconcile import Action, AskList, AskOrder, Done, Finding, Reconciler, Terms, Wait
from venues.interface import OpenOrder, OpenOrders, RestApi, RestRequest
from venues.order_entry import OrderEntry
from venues.order_terms import working

NEVER = 1 << 62
ANSWER_AFTER_NS = 5_000_000_000  # an order or request unanswered for so long is UNCERTAIN
FOLLOW_EVERY_NS = 2_000_000_000
STATUS_DEADLINE_NS = 5_000_000_000
AGAIN_NS = 4_000_000_000  # between runs that leave orders UNCERTAIN; doubles up to
AGAIN_MOST_NS = 60_000_000_000
FOLLOW_AT_ONCE = 10  # orders asked for at the same time

Answered = Callable[[int, bytes, str], None]  # status, body, error ("" when there is an answer)


class Asker(Protocol):
    """The process's HTTP client and voice."""

    def ask(self, request: RestRequest, answered: Answered) -> None: ...
    def publish(self, event: AnyEvent) -> None: ...
    def alert(self, severity: str, code: str, text: str) -> None: ...


class Recovery:
    """Reconciles after each logon and follows what stays uncertain."""

    def __init__(self, entry: OrderEntry, rest: RestApi | None, asker: Asker, backoff: Backoff, lag_ns: int) -> None:
        self._entry = entry
        self._rest = rest
        self._asker = asker
        self._backoff = backoff
        self._lag_ns = lag_ns
        self._run: Reconciler | None = None
        self._generation = 0  # answers of an abandoned run are dropped
        self._wake_ns = NEVER
        self._wake: Callable[[], None] | None = None
        self._follow_ns = NEVER
        self._asking: set[str] = set()
        self._asked_ns: dict[str, int] = {}
        self._again_ns = 0  # no further run before this time
        self._delay_ns = 0
        self._said = ""  # the readiness reason that was set here
        self.done = False  # the first run after the logon is complete

    @property
    def deadline_ns(self) -> int:
        """Monotonic time at which `tick` is wanted."""
        return min(self._wake_ns, self._follow_ns)

    def logged_on(self, mono_ns: int) -> None:
        """The session is up: begin."""
        self._generation += 1
        self.done = False
        self._delay_ns = self._again_ns = 0
        self._say("reconciling open orders with the venue")
        self._follow_ns = mono_ns + FOLLOW_EVERY_NS
        self._name_orphans()
        self._begin(mono_ns)

    def lost(self, reason: str) -> None:
        """The session is gone: stop."""
        self._generation += 1
        self._run = self._wake = None
        self._wake_ns = self._follow_ns = NEVER
        self._asking.clear()
        self._asked_ns.clear()
        self._entry.ready_reason = "session lost"
        self.done = False
        self._entry.lost_session(reason)

    def tick(self, mono_ns: int) -> None:
        """Do what is due."""
        if mono_ns >= self._wake_ns and self._wake is not None:
            wake, self._wake, self._wake_ns = self._wake, None, NEVER
            wake()
        if mono_ns >= self._follow_ns:
            self._follow(mono_ns)

    def _say(self, reason: str) -> None:
        self._entry.ready_reason = self._said = reason

    def _name_orphans(self) -> None:
        """Orders whose instrument left the configuration cannot be asked for or cancelled: people must know."""
        for order in self._entry.table.open():
            if order.instrument not in self._entry.instruments:
                text = f"{self._entry.name}: {order.cl_ord_id} stays UNCERTAIN: {order.instrument} is not configured"
                self._asker.alert("critical", "orphan", text)

    @property
    def _lists(self) -> bool:
        return self._entry.capabilities.open_orders == OpenOrders.REST and self._rest is not None

    def _reconciler(self, *, asks_single: bool) -> Reconciler:
        entry = self._entry
        terms = Terms(
            entry.name, self._venue(), entry.account, self._lag_ns, self._lag_ns + ANSWER_AFTER_NS,
            tuple(entry.instruments.values()), entry.owns,
        )  # fmt: skip
        return Reconciler(entry.table, terms, asks_single)

    def _begin(self, mono_ns: int) -> None:
        entry = self._entry
        if self._lists:
            self._run = self._reconciler(asks_single=True)
            self._act(self._run.start(mono_ns, entry.clock.wall_ns()))
            return
        if entry.capabilities.open_orders == OpenOrders.STATUS_EACH:
            for order in entry.table.open():
                reason = entry.ask_status(order)
                if reason:
                    self._asker.alert("warning", "reconcile", f"{order.cl_ord_id}: status not asked: {reason}")
            self._at(mono_ns + STATUS_DEADLINE_NS, self._finish)
            if not entry.table.open():
                self._finish()
            return
        self._finish()

    def _venue(self) -> str:
        return next(iter(self._entry.instruments.values())).venue if self._entry.instruments else ""

    def _act(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case AskList(cursor=cursor):
                    self._ask_list(cursor)
                case AskOrder(cl_ord_id=cl_ord_id):
                    self._ask_order(cl_ord_id)
                case Wait(until_mono_ns=until):
                    self._at(until, self._resume)
                case Done():
                    self._finish()

    def _ask_list(self, cursor: str) -> None:
        assert self._rest is not None
        rest, generation = self._rest, self._generation
        request = rest.open_orders(self._entry.clock.wall_ns(), cursor)

        def answered(status: int, body: bytes, error: str) -> None:
            run = self._current(generation)
            if run is None:
                return
            try:
                if error:
                    raise VenueError(error)
                page = rest.parse_open_orders(status, body)
            except VenueError as e:
                self._retry(f"open orders list: {e}")
                return
            clock = self._entry.clock
            self._settle(run.page(page.orders, page.cursor, clock.mono_ns(), clock.wall_ns()))

        self._asker.ask(request, answered)

    def _ask_order(self, cl_ord_id: str) -> None:
        assert self._rest is not None
        rest, generation, entry = self._rest, self._generation, self._entry
        order = entry.table.find(cl_ord_id)
        instrument = entry.instruments.get(order.instrument) if order else None
        if order is None or instrument is None:
            raise VenueError(f"order {cl_ord_id} vanished while it was being reconciled")
        request = rest.order(entry.clock.wall_ns(), working(order, instrument))

        def answered(status: int, body: bytes, error: str) -> None:
            run = self._current(generation)
            if run is None:
                return
            try:
                if error:
                    raise VenueError(error)
                found = rest.parse_order(status, body)
            except VenueError as e:
                self._retry(f"order {cl_ord_id}: {e}")
                return
            self._settle(run.order(cl_ord_id, found, entry.clock.mono_ns(), entry.clock.wall_ns()))

        self._asker.ask(request, answered)

    def _current(self, generation: int) -> Reconciler | None:
        return self._run if generation == self._generation else None

    def _settle(self, actions: list[Action]) -> None:
        assert self._run is not None
        self._take(self._run.take_findings())
        self._act(actions)

    def _take(self, findings: list[Finding]) -> None:
        for finding in findings:
            if finding.difference is not None:
                self._asker.publish(finding.difference)
            if finding.changed is not None:
                self._moved(finding.changed)
            if finding.report is not None:
                self._entry.report(finding.report)
            if finding.alert:
                self._asker.alert("critical", "reconcile", finding.alert)

    def _moved(self, order: Order) -> None:
        self._entry.port.record(order.snapshot())
        self._entry.port.moved(order)

    def _resume(self) -> None:
        if self._run is not None:
            self._settle(self._run.resume(self._entry.clock.mono_ns()))

    def _retry(self, why: str) -> None:
        mono_ns = self._entry.clock.mono_ns()
        delay_ns = self._backoff.failed(mono_ns)
        if not self.done:
            self._say(f"reconciliation failed, trying again: {why}")
        self._asker.alert("warning", "reconcile", f"{self._entry.name}: {why}")
        self._generation += 1
        self._at(mono_ns + delay_ns, lambda: self._begin(self._entry.clock.mono_ns()))

    def _at(self, mono_ns: int, wake: Callable[[], None]) -> None:
        self._wake_ns, self._wake = mono_ns, wake

    def _finish(self) -> None:
        mono_ns = self._entry.clock.mono_ns()
        self._run = None
        self._wake_ns, self._wake = NEVER, None
        self._backoff.connected(mono_ns)
        if self.done:
            left = any(o.state == "UNCERTAIN" for o in self._entry.table.open())
            self._delay_ns = min(max(self._delay_ns * 2, AGAIN_NS), AGAIN_MOST_NS) if left else 0
        elif self._entry.ready_reason == self._said:
            self._entry.ready_reason = ""
        self.done = True
        self._again_ns = mono_ns + self._delay_ns
        self._follow_ns = mono_ns + FOLLOW_EVERY_NS

    # -- following -------------------------------------------------------------------------------------------

    def _follow(self, mono_ns: int) -> None:
        self._follow_ns = mono_ns + FOLLOW_EVERY_NS
        self._mark_unanswered()
        if self._run is not None or self._wake is not None:
            return  # what became UNCERTAIN meanwhile is asked for when the run is over
        uncertain = [o for o in self._entry.table.open() if o.state == "UNCERTAIN"]
        for order in sorted(uncertain, key=lambda o: self._asked_ns.get(o.ids[0], 0)):
            self._follow_one(order, mono_ns)

    def _mark_unanswered(self) -> None:
        entry, wall_ns = self._entry, self._entry.clock.wall_ns()
        for order in entry.table.open():
            waiting = order.state in ("PENDING_NEW", "PENDING_CANCEL", "PENDING_REPLACE")
            if waiting and wall_ns - order.since_ns > ANSWER_AFTER_NS:
                was = order.state
                order.requests.clear()
                entry.table.uncertain(order, f"no answer to {was} in {ANSWER_AFTER_NS // 1_000_000_000} s", wall_ns)
                self._moved(order)

    def _follow_one(self, order: Order, mono_ns: int) -> None:
        entry, rest, key = self._entry, self._rest, order.ids[0]
        instrument = entry.instruments.get(order.instrument)
        if instrument is None or key in self._asking or len(self._asking) >= FOLLOW_AT_ONCE:
            return
        self._asked_ns[key] = mono_ns
        if rest is None:
            if entry.capabilities.status_request:
                entry.ask_status(order)
            return
        self._asking.add(key)
        generation = self._generation
        request = rest.order(entry.clock.wall_ns(), working(order, instrument))

        def answered(status: int, body: bytes, error: str) -> None:
            self._asking.discard(key)
            if generation != self._generation or not order.is_open:
                return
            try:
                if error:
                    raise VenueError(error)
                found = rest.parse_order(status, body)
            except VenueError as e:
                self._asker.alert("warning", "follow", f"{entry.name} {order.cl_ord_id}: {e}")
                return
            self._answered(order, found)

        self._asker.ask(request, answered)

    def _answered(self, order: Order, found: OpenOrder | None) -> None:
        clock = self._entry.clock
        mono_ns, wall_ns = clock.mono_ns(), clock.wall_ns()
        if found is not None:
            single = self._reconciler(asks_single=False)
            single.order(order.cl_ord_id, found, mono_ns, wall_ns)
            self._take(single.take_findings())
        elif order.state == "UNCERTAIN" and wall_ns - order.sent_ns >= self._lag_ns + ANSWER_AFTER_NS:
            self._run_again(mono_ns)

    def _run_again(self, mono_ns: int) -> None:
        """Only two lists may settle what the venue never heard of. Orders go on meanwhile; runs keep a distance."""
        if self._lists and self._run is None and self._wake is None and mono_ns >= self._again_ns:
            self._generation += 1
            self._begin(mono_ns)
