"""How orders come to be followed: placed, found again, read out of a journal. Steps, the same for both clients."""

from collections.abc import Callable, Collection
from typing import Generic, TypeVar

from base.errors import BusError, OrderRejected, OrderUncertain, UnansweredError
from ipc.events import OrderState
from ipc.frames import UNREADABLE, read_header
from ipc.recovery import OLDEST, Position
from ipc.requests import NewOrder, ReplayRequest
from ipc.sequence import decode
from quarterdeck.core import Core
from quarterdeck.feed import decode_chunk
from quarterdeck.order_life import OrderLife
from quarterdeck.ordering import Number, Ordering, Terms
from quarterdeck.steps import Ask, Steps

OrderT = TypeVar("OrderT", bound=OrderLife)
Made = Callable[[NewOrder, str, int, int], OrderT]  # from a command, its session, px_scale, qty_scale


class OrderSteps(Generic[OrderT]):
    """What one client does with orders that it follows."""

    def __init__(self, core: Core[OrderT], ordering: Ordering, strategy: str, make: Made[OrderT]) -> None:
        self._core = core
        self._ordering = ordering
        self._strategy = strategy
        self._make = make

    def place(
        self, venue: str, instrument: str, side: str, qty: Number, price: Number | None, terms: Terms
    ) -> Steps[OrderT]:
        """See Desk.place."""
        process, command = self._ordering.command(venue, instrument, side, qty, price, terms)
        yield from self._follow(process)
        inst = self._ordering.instrument(venue, instrument)
        order = self._core.tracker.find(command.client_id, command.command_id)  # asked again for the same command
        if order is None:
            order = self._core.tracker.add(self._make(command, process, inst.px_scale, inst.qty_scale))
        try:
            answer = yield Ask(process, command, self._ordering.timeout)
        except UnansweredError as e:
            order.unsure(f"no answer to command {command.command_id} in time")
            raise OrderUncertain(str(e), command.command_id, order) from None
        except BusError:
            self._core.tracker.drop(order)
            raise
        self._core.told(order, answer)
        if not answer.accepted:
            raise OrderRejected(f"{process}: {answer.reason}", answer.reason, "", order)
        self._ordering.placed(answer.cl_ord_id, process, inst)
        return order

    def find(self, cl_ord_id: str) -> Steps[OrderT]:
        """See Desk.order."""
        known = self._core.tracker.by_id(cl_ord_id)
        if known is not None:
            return known
        process, state = yield from self._ordering.look_up(cl_ord_id)
        (order,) = yield from self._adopt(process, [state])
        return order

    def own(self, processes: list[str]) -> Steps[list[OrderT]]:
        """See Desk.open_orders."""
        out: list[OrderT] = []
        for process in processes:
            answer = yield from self._ordering.listed(process, open_only=True)
            out += yield from self._adopt(process, [o for o in answer.orders if self._is_ours(o)])
        return out

    def _is_ours(self, order: OrderState) -> bool:
        return order.strategy == self._strategy if self._strategy else order.client_id == self._core.links.client_id

    def _follow(self, process: str) -> Steps[None]:
        """From before the first order on: nothing of it can be missed."""
        if not self._core.follows(process):
            answer = yield from self._ordering.listed(process, open_only=True)
            self._core.follow(process, Position(answer.epoch, answer.next_seq))

    def _adopt(self, process: str, states: list[OrderState]) -> Steps[list[OrderT]]:
        """Follow orders that were placed before: their own events out of the journal, then live."""
        tracker = self._core.tracker
        out: dict[tuple[str, str], OrderT] = {}
        fresh: dict[tuple[str, str], OrderState] = {}
        for state in states:
            key = state.client_id, state.command_id
            order = tracker.find(*key)
            if order is None:
                order = tracker.add(self._of(state))
                fresh[key] = state
            out[key] = order
        try:
            if fresh:
                yield from self._history(process, fresh.keys())
        except BaseException:
            for key in fresh:
                tracker.drop(out[key])
            raise
        for key, state in fresh.items():
            if not out[key].answered:  # nothing of it is in the journal any more
                out[key].listed(state)
            tracker.loaded(out[key])
        return list(out.values())

    def _of(self, state: OrderState) -> OrderT:
        command = NewOrder(
            state.client_id, state.command_id, 0, state.venue, state.instrument, state.side, state.ord_type,
            state.order_qty, state.price,
        )  # fmt: skip
        order = self._make(command, state.session, state.px_scale, state.qty_scale)
        order.loading = True
        return order

    def _history(self, process: str, keys: Collection[tuple[str, str]]) -> Steps[None]:
        """Read the whole journal that the process keeps, for these orders; then follow from its end on."""
        topic, position = f"exec.{process}", OLDEST
        while True:
            command = ReplayRequest(self._core.links.client_id, self._core.command_id(), 0, topic, *position)
            answer = yield from self._ordering.accepted(process, command)
            try:
                chunk = decode_chunk(answer.data)
            except UNREADABLE as e:
                raise BusError(f"{process}: its journal cannot be read: {e}") from None
            for data in chunk.frames:
                head = read_header(data)
                packed = memoryview(data)[head.offset :]
                for delivery in decode(topic, head.epoch, head.first_seq, head.n_events, packed)[0]:
                    self._core.tracker.history(delivery, keys)
                position = Position(head.epoch, head.first_seq + head.n_events)
            if chunk.marker is not None:
                self._core.follow(process, Position(chunk.epoch, chunk.marker.next_seq))
                return
            if not chunk.frames:
                raise BusError(f"{process}: its journal goes on behind {position}, and nothing of it was answered")
