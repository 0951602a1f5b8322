"""The orders that a client follows, kept up to date from the streams of their sessions. Pure.

An order is known by its client and command id, which every event of it carries. What is not followed costs one look-up.
"""

from collections import deque
from collections.abc import Collection, Iterable
from typing import Final, Generic, TypeVar

from ipc.events import CancelReject, ExecutionReport, OrderState
from ipc.sequence import Delivery, Gap
from quarterdeck.order_life import OrderLife

FINISHED_KEPT: Final = 10_000  # finished orders that late reports still find
LOST: Final = frozenset({"start", "hole", "restart", "malformed"})  # kinds of Gap behind which something happened

OrderT = TypeVar("OrderT", bound=OrderLife)
Key = tuple[str, str]


class Tracker(Generic[OrderT]):
    """Orders by (client id, command id)."""

    def __init__(self) -> None:
        self.changed = 0  # goes up with each change of any order
        self._orders: dict[Key, OrderT] = {}
        self._finished: deque[Key] = deque()
        self._waiting: dict[Key, list[Delivery]] = {}

    def __len__(self) -> int:
        return len(self._orders)

    def find(self, client_id: str, command_id: str) -> OrderT | None:
        """The order that this command became."""
        return self._orders.get((client_id, command_id))

    def by_id(self, cl_ord_id: str) -> OrderT | None:
        """The followed order that has, or had, this ClOrdID."""
        return next((o for o in self._orders.values() if any(p.cl_ord_id == cl_ord_id for p in o.parts)), None)

    def add(self, order: OrderT) -> OrderT:
        """Follow an order from now on."""
        self._orders[order.client_id, order.command_id] = order
        return order

    def drop(self, order: OrderT) -> None:
        """Nothing of it ever left this client."""
        self._orders.pop((order.client_id, order.command_id), None)

    def open(self, session: str = "") -> list[OrderT]:
        """Followed orders that may be working, UNCERTAIN ones too."""
        return [o for o in self._orders.values() if o.is_open and session in ("", o.session)]

    def sessions_in_doubt(self, wall_ns: int) -> set[str]:
        """Sessions to be asked for their orders: events were lost, or a command past its deadline has no answer."""
        return {
            o.session for o in self._orders.values()
            if o.doubt and not (o.loading or o.forgotten) and o.deadline_ns <= wall_ns
        }  # fmt: skip

    def take(self, delivery: Delivery) -> None:
        """What an exec topic brought, in its order."""
        event = delivery.event
        if isinstance(event, Gap):
            if event.kind in LOST:
                self._lost(delivery.topic.removeprefix("exec."), f"events were lost: {event.text or event.kind}")
        elif isinstance(event, OrderState | ExecutionReport | CancelReject):
            key = event.client_id, event.command_id
            order = self._orders.get(key)
            if order is not None and order.loading:
                self._waiting.setdefault(key, []).append(delivery)
            elif order is not None:
                self._tell(order, delivery)

    def history(self, delivery: Delivery, loading: Collection[Key]) -> None:
        """An event of before, for the orders whose history is being read."""
        event = delivery.event
        if isinstance(event, OrderState | ExecutionReport | CancelReject):
            key = event.client_id, event.command_id
            if key in loading and (order := self._orders.get(key)) is not None:
                self._tell(order, delivery)

    def loaded(self, order: OrderT) -> None:
        """Its history is read: what came meanwhile goes on from there."""
        order.loading = False
        for delivery in self._waiting.pop((order.client_id, order.command_id), []):
            self._tell(order, delivery)

    def listed(self, session: str, orders: Iterable[OrderState], wall_ns: int, *, whole: bool) -> bool:
        """What a process answered; settles what is in doubt. `whole`: finished orders are in it, too, so that a command
        which is not there was never acted on. Returns whether doubts are left.
        """
        there = {(o.client_id, o.command_id): o for o in orders}
        for order in [o for o in self._orders.values() if o.session == session and o.doubt and not o.loading]:
            state = there.get((order.client_id, order.command_id))
            if state is not None:
                order.listed(state)
            elif whole and not order.answered and order.deadline_ns <= wall_ns:
                order.refused("never taken: the process has no trace of it, and its deadline has passed")
            elif whole and order.answered:
                order.forgotten, order.doubt = True, "it ended, and how the process has forgotten"
            self._moved(order)
        return session in self.sessions_in_doubt(wall_ns)

    def _lost(self, session: str, why: str) -> None:
        for order in self.open(session):
            order.unsure(why)
        self.changed += 1

    def _tell(self, order: OrderT, delivery: Delivery) -> None:
        at, event = (delivery.epoch, delivery.seq), delivery.event
        was_done = order.done
        if isinstance(event, OrderState):
            order.state_event(at, event)
        elif isinstance(event, ExecutionReport):
            order.report(at, event)
        elif isinstance(event, CancelReject):
            order.reject(at, event)
        self._moved(order, was_done=was_done)

    def _moved(self, order: OrderT, *, was_done: bool = False) -> None:
        self.changed += 1
        if order.done and not was_done:
            self._finished.append((order.client_id, order.command_id))
            while len(self._finished) > FINISHED_KEPT:
                oldest = self._orders.get(self._finished.popleft())
                if oldest is not None and oldest.done:
                    self.drop(oldest)
