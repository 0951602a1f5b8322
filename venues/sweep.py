"""Cancelling what a session has working, until it is gone: used when the gate closes, at a stop, at a lost lease.

All ways that the session has are used at once (mass cancel and single cancels), then single cancels are repeated for
what is still open. Where the venue would log the session out for too many, single cancels are paced just below that.
Pure but for the session it speaks through. Proof is not made here: see risk/kill*.py.
"""

from collections.abc import Callable

from risk.order import Order
from venues.cancel_batches import batches, cancel_together
from venues.order_entry import OrderEntry
from venues.throttle import LATE

AGAIN_NS = 1_000_000_000
PACE_NS = 20_000_000
NEVER = 1 << 62


class Sweep:
    """Cancels every open order for which `covers` is true, and goes on until told to stop."""

    def __init__(self, entry: OrderEntry) -> None:
        self._entry = entry
        self._covers: Callable[[Order], bool] | None = None
        self._asked_ns: dict[str, int] = {}
        self.deadline_ns = NEVER
        self.reason = ""

    @property
    def active(self) -> bool:
        """Whether orders are being swept."""
        return self._covers is not None

    @property
    def left(self) -> int:
        """Open orders that are covered."""
        covers = self._covers
        return sum(1 for o in self._entry.table.open() if covers is not None and covers(o))

    def sweeps(self, order: Order) -> bool:
        """Whether its end is of this sweep's making, or of the one before."""
        return (self._covers is not None and self._covers(order)) or order.ids[0] in self._asked_ns

    def start(self, reason: str, covers: Callable[[Order], bool], mono_ns: int, *, mass: bool) -> None:
        """Begin. `mass`: everything of this session is covered, so that its mass cancel may be used."""
        self._covers, self.reason = covers, reason
        self._asked_ns.clear()
        if mass and self._entry.capabilities.mass_cancel and any(map(covers, self._entry.table.open())):
            self._entry.mass_cancel()
        self.tick(mono_ns)

    def stop(self) -> None:
        """The gate is open again."""
        self._covers = None
        self.deadline_ns = NEVER

    def tick(self, mono_ns: int) -> None:
        """Send what is due."""
        if self._covers is None:
            return
        # Late acknowledgements bring further orders to light: the sweep stays awake as long as it is active.
        self.deadline_ns = mono_ns + AGAIN_NS
        asked = self._asked_ns
        due = [o for o in self._entry.table.open() if self._covers(o) and self._may_ask(o, mono_ns)]
        # Where they are paced, those never asked for come first: repeats must not starve them.
        due.sort(key=lambda o: asked.get(o.ids[0], 0))
        for orders in batches(due, self._entry.capabilities.cancel_batch):
            if self._cancel(orders, mono_ns).startswith(LATE):
                self.deadline_ns = mono_ns + PACE_NS  # more would end the session, and with it every cancel
                return

    def seen_open(self, order: Order) -> None:
        """A report shows this order to be open: cancel it (again) if it is covered."""
        if self._covers is not None and self._covers(order) and "cancel" not in order.requests.values():
            mono_ns = self._entry.clock.mono_ns()
            if self._may_ask(order, mono_ns):
                self._cancel([order], mono_ns)

    def _may_ask(self, order: Order, mono_ns: int) -> bool:
        """Whether its cancel was not asked for in the last second."""
        asked = self._asked_ns.get(order.ids[0])
        return asked is None or mono_ns - asked >= AGAIN_NS

    def _cancel(self, orders: list[Order], mono_ns: int) -> str:
        """Why nothing was sent."""
        why = cancel_together(self._entry, orders)
        if not why:
            self._asked_ns.update((order.ids[0], mono_ns) for order in orders)
        return why
