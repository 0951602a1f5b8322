"""Following what a reconciliation leaves open: UNCERTAIN orders, and fills that are not known one by one. No I/O.

Each is asked for again and again, at growing distances, until the venue has settled it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from risk.listed import Finding
from risk.order import Order
from risk.reconcile import Reconciler
from venues.means import Asker, Means
from venues.order_entry import OrderEntry
from venues.runner import NEVER, Runner

LOOK_EVERY_NS = 2_000_000_000
AGAIN_MOST_NS = 60_000_000_000
AT_ONCE = 10  # orders asked for at the same time
EXPLAINED_BY = 8  # attempts at fills that nobody tells one by one


@dataclass(slots=True)
class _Pace:
    """When an order may be asked for next."""

    due_ns: int
    delay_ns: int = LOOK_EVERY_NS
    tries: int = 0

    def asked(self, mono_ns: int) -> None:
        self.tries += 1
        self.due_ns = mono_ns + self.delay_ns
        self.delay_ns = min(self.delay_ns * 2, AGAIN_MOST_NS)


class Follower:
    """Asks for single orders; `unheard` is called for those of which the venue says that it does not know them."""

    def __init__(
        self,
        entry: OrderEntry,
        means: Means,
        asker: Asker,
        make_run: Callable[[], Reconciler],
        take: Callable[[list[Finding]], None],
        unheard: Callable[[Order], None],
    ) -> None:
        self._entry = entry
        self._means = means
        self._asker = asker
        self._make_run = make_run
        self.take = take
        self._unheard = unheard
        self._under_way: dict[str, Runner] = {}  # by first ClOrdID
        self._paces: dict[str, _Pace] = {}
        self._explaining: dict[str, _Pace] = {}
        self._given_up: set[str] = set()

    @property
    def deadline_ns(self) -> int:
        """Monotonic time at which `tick` is wanted."""
        return min((r.deadline_ns for r in self._under_way.values()), default=NEVER)

    def stop(self) -> None:
        """The session is gone: drop every question."""
        for runner in self._under_way.values():
            runner.stop()
        self._under_way.clear()
        self._paces.clear()
        self._explaining.clear()
        self._given_up.clear()

    def tick(self, mono_ns: int) -> None:
        """Deadlines of questions under way."""
        for runner in list(self._under_way.values()):
            runner.tick(mono_ns)

    def look(self, mono_ns: int) -> None:
        """Ask for what is due, the longest waiting first."""
        table = self._entry.table
        uncertain = {o.ids[0]: o for o in table.open() if o.state == "UNCERTAIN"}
        self._paces = {k: p for k, p in self._paces.items() if k in uncertain}
        if self._means.asks_single:
            for key, order in self._due(uncertain, self._paces, mono_ns):
                run = self._make_run()
                run.follow(order, self._entry.clock.wall_ns())
                self._start(key, run, all_trades=False)
        self._explaining = {k: p for k, p in self._explaining.items() if k in table.untold}
        if self._means.tells_trades:
            left = {k: o for k, o in table.untold.items() if k not in self._given_up and o.state != "UNCERTAIN"}
            for key, order in self._due(left, self._explaining, mono_ns):
                self._explain(key, order)

    def _due(self, orders: dict[str, Order], paces: dict[str, _Pace], mono_ns: int) -> list[tuple[str, Order]]:
        due = []
        for key, order in orders.items():
            pace = paces.setdefault(key, _Pace(0))
            if pace.due_ns <= mono_ns and key not in self._under_way and order.instrument in self._entry.instruments:
                due.append((pace.due_ns, key))
        chosen = sorted(due)[: max(AT_ONCE - len(self._under_way), 0)]
        for _, key in chosen:
            paces[key].asked(mono_ns)
        return [(key, orders[key]) for _, key in chosen]

    def _explain(self, key: str, order: Order) -> None:
        tries = self._explaining[key].tries
        if tries > EXPLAINED_BY:
            self._given_up.add(key)
            text = f"{self._entry.name}: {order.cl_ord_id}: {order.untold} of its filled quantity is in no trade told"
            self._asker.alert("critical", "untold_fill", text)
            return
        run = self._make_run()
        run.explain(order)
        self._start(key, run, all_trades=tries > 1)

    def _start(self, key: str, run: Reconciler, *, all_trades: bool) -> None:
        runner = self._under_way[key] = Runner(run, self._means, self._entry, self, all_trades=all_trades)
        runner.begin()

    def missed(self, order: Order, why: str) -> None:
        """An order could not be asked for: it is asked for again later."""
        self._asker.alert("warning", "follow", f"{self._entry.name} {order.cl_ord_id}: {why}")

    def ended(self, runner: Runner, failure: str) -> None:
        """A question is answered, or failed."""
        key = next((k for k, r in self._under_way.items() if r is runner), "")
        self._under_way.pop(key, None)
        for unheard in runner.run.unheard:
            order = self._entry.table.find(unheard)
            if order is not None and order.state == "UNCERTAIN":
                self._unheard(order)
