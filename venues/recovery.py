"""Finding out what became of orders: reconciliation after a logon, and the following of what that leaves open.

Drives risk/reconcile.py with the venue's means. No I/O of its own: `ask` hands a request to the process and the answer
comes back by callback. docs/reconciliation.md says what each venue's means prove.
"""

from collections.abc import Callable

from base.backoff import Backoff
from risk.listed import Finding, Terms
from risk.order import Order
from risk.reconcile import Reconciler
from venues.follow import LOOK_EVERY_NS, Follower
from venues.interface import OpenOrders, RestApi
from venues.means import Answered, Asker, Means, RestMeans, SessionMeans
from venues.order_entry import OrderEntry
from venues.runner import NEVER, Runner

__all__ = ["ANSWER_AFTER_NS", "Answered", "Asker", "Recovery"]

ANSWER_AFTER_NS = 5_000_000_000  # an order or request unanswered for so long is UNCERTAIN
FOLLOW_EVERY_NS = LOOK_EVERY_NS
STATUS_DEADLINE_NS = 5_000_000_000
STATUS_LOOK_NS = 50_000_000
AGAIN_NS = 4_000_000_000  # between runs that leave orders UNCERTAIN; doubles up to
AGAIN_MOST_NS = 60_000_000_000
TRIES = 3  # runs after a logon that wait for an order which cannot be asked for; then it is left UNCERTAIN


class Recovery:
    """Reconciles after each logon and follows what stays open."""

    def __init__(self, entry: OrderEntry, rest: RestApi | None, asker: Asker, backoff: Backoff, lag_ns: int) -> None:
        self._entry = entry
        self._asker = asker
        self._backoff = backoff
        self._lag_ns = lag_ns if rest is not None else 0
        self._means: Means = SessionMeans(entry) if rest is None else RestMeans(entry, rest, asker)
        self._follower = Follower(entry, self._means, asker, self._reconciler, self._take, self._unheard)
        self._runner: Runner | None = None
        self._wake_ns = NEVER
        self._wake: Callable[[], None] | None = None
        self._follow_ns = NEVER
        self._again_ns = 0  # no further run before this time
        self._delay_ns = 0
        self._tries: dict[str, int] = {}  # by first ClOrdID: times that an order could not be asked for
        self._waits: list[str] = []  # first ClOrdIDs whose asking failed in this run and is to be tried again
        self._strangers: set[tuple[str, str]] = set()  # (symbol, OrderID), told once a logon
        self._resets = 0  # of the session's numbers, when it last was ready
        self._said = ""  # the readiness reason that was set here
        self.done = False  # the first run after the logon is complete

    @property
    def deadline_ns(self) -> int:
        """Monotonic time at which `tick` is wanted."""
        running = self._runner.deadline_ns if self._runner is not None else NEVER
        return min(self._wake_ns, self._follow_ns, running, self._follower.deadline_ns)

    def logged_on(self, mono_ns: int) -> None:
        """The session is up: begin."""
        self._stop()
        self.done = False
        self._delay_ns = self._again_ns = 0
        self._tries.clear()
        self._strangers.clear()
        self._say("reconciling open orders with the venue")
        self._follow_ns = mono_ns + FOLLOW_EVERY_NS
        self._name_orphans()
        self._begin(mono_ns)

    def lost(self, reason: str) -> None:
        """The session is gone: stop."""
        self._stop()
        self._follow_ns = NEVER
        self._entry.ready_reason = "session lost"
        self.done = False
        self._entry.lost_session(reason)

    def tick(self, mono_ns: int) -> None:
        """Do what is due."""
        if mono_ns >= self._wake_ns and self._wake is not None:
            wake, self._wake, self._wake_ns = self._wake, None, NEVER
            wake()
        if self._runner is not None:
            self._runner.tick(mono_ns)
        self._follower.tick(mono_ns)
        if mono_ns >= self._follow_ns:
            self._follow(mono_ns)

    def _stop(self) -> None:
        if self._runner is not None:
            self._runner.stop()
        self._runner = self._wake = None
        self._wake_ns = NEVER
        self._follower.stop()

    def _say(self, reason: str) -> None:
        self._entry.ready_reason = self._said = reason

    def _name_orphans(self) -> None:
        """Orders whose instrument left the configuration cannot be asked for or cancelled: people must know."""
        for order in self._entry.table.open():
            if order.instrument not in self._entry.instruments:
                text = f"{self._entry.name}: {order.cl_ord_id} stays UNCERTAIN: {order.instrument} is not configured"
                self._asker.alert("critical", "orphan", text)

    # -- the run after a logon, and further ones -------------------------------------------------------------

    @property
    def _lists(self) -> bool:
        rest = isinstance(self._means, RestMeans)
        how = self._entry.capabilities.open_orders
        return (how is OpenOrders.REST and rest) or how is OpenOrders.MASS_STATUS

    def _reconciler(self) -> Reconciler:
        entry = self._entry
        over_rest = isinstance(self._means, RestMeans)
        terms = Terms(
            entry.name, self._venue(), entry.account, self._lag_ns, self._lag_ns + ANSWER_AFTER_NS,
            tuple(entry.instruments.values()), entry.owns, self._means.tells_trades,
            # Without trades and without a replay an order that nobody knows any more may have been filled.
            settles_absent=over_rest or entry.capabilities.resend,
        )  # fmt: skip
        return Reconciler(entry.table, terms, asks_single=self._means.asks_single, skip=self._hopeless)

    def _hopeless(self, order: Order) -> bool:
        return self._tries.get(order.ids[0], 0) >= TRIES

    def _begin(self, mono_ns: int) -> None:
        how = self._entry.capabilities.open_orders
        if self._lists:
            self._waits.clear()
            run = self._reconciler()
            run.start(mono_ns, self._entry.clock.wall_ns())
            self._runner = Runner(run, self._means, self._entry, self)
            self._runner.begin()
        elif how is OpenOrders.STATUS_EACH:
            self._ask_each(mono_ns)
        else:
            if how is OpenOrders.REPLAY:
                self._replayed()
            self._finish()

    def _venue(self) -> str:
        return next(iter(self._entry.instruments.values())).venue if self._entry.instruments else ""

    def take(self, findings: list[Finding]) -> None:
        """Apply and publish what a run found."""
        self._take(findings)

    def _take(self, findings: list[Finding]) -> None:
        for finding in findings:
            difference = finding.difference
            if difference is not None and not (difference.kind == "unknown_here" and self._told(finding)):
                self._asker.publish(difference)
            if finding.changed is not None:
                self._moved(finding.changed)
            if finding.report is not None:
                self._entry.report(finding.report)
            if finding.alert:
                self._asker.alert("critical", "reconcile", finding.alert)

    def _told(self, finding: Finding) -> bool:
        assert finding.difference is not None
        key = finding.difference.instrument, finding.difference.order_id
        known = key in self._strangers
        self._strangers.add(key)
        return known

    def _moved(self, order: Order) -> None:
        self._entry.port.record(order.snapshot())
        self._entry.port.moved(order)

    def missed(self, order: Order, why: str) -> None:
        """An order could not be asked for: it is tried again, and given up for this logon after that."""
        key = order.ids[0]
        tries = self._tries[key] = self._tries.get(key, 0) + 1
        text = f"{self._entry.name}: {why}"
        if tries < TRIES:
            self._waits.append(key)
            self._asker.alert("warning", "reconcile", text)
        elif tries == TRIES:
            self._asker.alert("critical", "reconcile", f"{text}; {order.cl_ord_id} stays {order.state}")

    def ended(self, runner: Runner, failure: str) -> None:
        """A run is over."""
        self._runner = None
        if failure:
            self._asker.alert("warning", "reconcile", f"{self._entry.name}: {failure}")
        if failure or (self._waits and not self.done):
            self._retry(failure or f"{len(self._waits)} orders could not be asked for")
            return
        first = not self.done
        self._finish()
        if first and runner.run.may_be_behind:
            # An order of ours that only the venue knows may be too young for that list: one more, in the background.
            begin = self._entry.clock.mono_ns() + self._lag_ns
            self._at(begin, lambda: self._begin(self._entry.clock.mono_ns()))

    def _retry(self, why: str) -> None:
        mono_ns = self._entry.clock.mono_ns()
        if not self.done:
            self._say(f"reconciliation failed, trying again: {why}")
        self._at(mono_ns + self._backoff.failed(mono_ns), lambda: self._begin(self._entry.clock.mono_ns()))

    def _at(self, mono_ns: int, wake: Callable[[], None]) -> None:
        self._wake_ns, self._wake = mono_ns, wake

    def _finish(self) -> None:
        mono_ns = self._entry.clock.mono_ns()
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

    # -- means without a list --------------------------------------------------------------------------------

    def _ask_each(self, mono_ns: int) -> None:
        """35=H for every order; those that answer are settled by their reports."""
        waiting: list[Order] = []
        for order in self._entry.table.open():
            reason = self._entry.ask_status(order)
            if reason:
                self._asker.alert("warning", "reconcile", f"{order.cl_ord_id}: status not asked: {reason}")
            else:
                waiting.append(order)
        self._await_each(waiting, mono_ns + STATUS_DEADLINE_NS)

    def _await_each(self, waiting: list[Order], until_ns: int) -> None:
        left = [o for o in waiting if o.state == "UNCERTAIN"]
        mono_ns = self._entry.clock.mono_ns()
        if not left or mono_ns >= until_ns:
            self._finish()
        else:
            self._at(min(mono_ns + STATUS_LOOK_NS, until_ns), lambda: self._await_each(left, until_ns))

    def _replayed(self) -> None:
        """What was missed has been replayed before the session became ready: who was not spoken of stands as before.

        That holds only if the numbers went on unbroken. An order never acknowledged may not have arrived.
        """
        session, wall_ns = self._entry.session, self._entry.clock.wall_ns()
        counters = session.counters() if session is not None else {}
        resets = counters.get("breaks", counters.get("resets", 0))  # breaks: a replay that does not go by numbers
        broken, self._resets = resets != self._resets, resets
        uncertain = [o for o in self._entry.table.open() if o.state == "UNCERTAIN" and o.order_id]
        if broken and uncertain:
            text = f"numbers began anew: nothing tells what became of {len(uncertain)} orders, which stay UNCERTAIN"
            self._asker.alert("critical", "reconcile", f"{self._entry.name}: {text}")
            return
        for order in uncertain:
            self._entry.table.stands(order, "replayed without a break", wall_ns)
            self._moved(order)

    # -- following -------------------------------------------------------------------------------------------

    def _follow(self, mono_ns: int) -> None:
        self._follow_ns = mono_ns + FOLLOW_EVERY_NS
        self._mark_unanswered()
        if self._runner is None and self._wake is None:
            self._follower.look(mono_ns)  # what became UNCERTAIN during a run is asked for when that is over

    def _mark_unanswered(self) -> None:
        entry, wall_ns = self._entry, self._entry.clock.wall_ns()
        for order in entry.table.open():
            waiting = order.state in ("PENDING_NEW", "PENDING_CANCEL", "PENDING_REPLACE")
            if waiting and wall_ns - order.since_ns > ANSWER_AFTER_NS:
                was = order.state
                order.requests.clear()
                entry.table.uncertain(order, f"no answer to {was} in {ANSWER_AFTER_NS // 1_000_000_000} s", wall_ns)
                self._moved(order)

    def _unheard(self, order: Order) -> None:
        """Only two lists may settle what the venue never heard of. Orders go on meanwhile; runs keep a distance."""
        clock = self._entry.clock
        mono_ns = clock.mono_ns()
        idle = self._lists and self._runner is None and self._wake is None
        if idle and mono_ns >= self._again_ns and clock.wall_ns() - order.sent_ns >= self._lag_ns + ANSWER_AFTER_NS:
            self._begin(mono_ns)
