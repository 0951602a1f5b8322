"""An order that is followed: what is known of it, and what can be done about it. One for each kind of client."""

import asyncio
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from base.errors import CommandError
from ipc.requests import NewOrder
from quarterdeck.order_life import OrderLife
from quarterdeck.ordering import Number

if TYPE_CHECKING:
    from quarterdeck.async_client import AsyncDesk
    from quarterdeck.client import Desk


class Order(OrderLife):
    """An order of a synchronous client. It is brought up to date whenever the client takes events in or waits."""

    def __init__(self, desk: "Desk", command: NewOrder, session: str, px_scale: int, qty_scale: int) -> None:
        super().__init__(command, session, px_scale, qty_scale)
        self._desk = desk

    def wait(self, *states: str, timeout: float = 10.0) -> str:
        """Until it is in one of `states`, or has ended; without any, until it has ended. Returns the state it is in.

        What the strategy is to hear meanwhile waits for it. OrderRejected with the venue's code when it ended REJECTED
        and that is not among `states`. OrderTimeout says where it is instead: UNCERTAIN, say, and why.
        """
        self._desk.wait_until(lambda: self.arrived(states), timeout)
        if not self.arrived(states):
            raise self.overdue(states, timeout)
        return self.state

    def cancel(self) -> None:
        """Ask for a cancel; what comes of it shows in `state`, a refusal by the venue in `cancel_reject`.

        CommandError: the process did not take it, with the reason. BusError as Desk.new_order.
        """
        self._desk.cancel_order(self, named(self))

    def replace(self, qty: Number, price: Number | None = None) -> None:
        """Change quantity or price by the means the venue has. Errors as `cancel`."""
        self._desk.replace_order(self, named(self), qty, price)


class AsyncOrder(OrderLife):
    """An order of a client for asyncio. `await order` waits for its end."""

    def __init__(self, desk: "AsyncDesk", command: NewOrder, session: str, px_scale: int, qty_scale: int) -> None:
        super().__init__(command, session, px_scale, qty_scale)
        self._desk = desk

    def __await__(self) -> Generator[Any, None, str]:
        """Until it has ended, however long that takes; the state. OrderRejected as Order.wait."""
        return self._ended().__await__()

    async def _ended(self) -> str:
        await self._desk.until(lambda: self.arrived(()))
        return self.state

    async def wait(self, *states: str, timeout: float = 10.0) -> str:
        """As Order.wait."""
        try:
            await asyncio.wait_for(self._desk.until(lambda: self.arrived(states)), timeout)
        except TimeoutError:
            raise self.overdue(states, timeout) from None
        return self.state

    async def cancel(self) -> None:
        """As Order.cancel."""
        await self._desk.cancel_order(self, named(self))

    async def replace(self, qty: Number, price: Number | None = None) -> None:
        """As Order.replace."""
        await self._desk.replace_order(self, named(self), qty, price)


def named(order: OrderLife) -> str:
    """Its ClOrdID. CommandError while nobody has told it."""
    if not order.cl_ord_id:
        raise CommandError(f"{order.session}: command {order.command_id}: whether it became an order is not known yet")
    return order.cl_ord_id
