"""The client for asyncio: the same core and steps as the synchronous one, driven by the loop.

ZeroMQ's own descriptors are watched, which tell of news at their edges only: after each one everything is taken until
the sockets say that nothing is left, and after each send they are looked at again. A tick each 100 ms does the rest.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar, Unpack

import zmq

from base.errors import BusError
from ipc.command_client import CommandClient, connect_ms
from ipc.events import OrderState
from ipc.requests import Answer, AnyCommand, NewOrder
from ipc.sequence import Delivery
from quarterdeck.client import BUY, CHECK_S, SELL
from quarterdeck.desk_base import DeskBase
from quarterdeck.links import Links, links_to
from quarterdeck.order import AsyncOrder
from quarterdeck.ordering import Number, OrderTerms, Terms
from quarterdeck.steps import Ask, Steps, take_async

T = TypeVar("T")
RETRY_S: Final = 0.002  # between looks whether a process is there


def aconnect(
    config: str | Path = "", *, client_id: str = "", strategy: str = "", timeout: float = 1.0, keys: str | Path = "",
    paper: bool = False,
) -> "AsyncDesk":  # fmt: skip
    """As `connect`, for `async with`: everything that waits is awaited, but for the first word to another host."""
    links = links_to(config, client_id, strategy, keys, paper=paper)
    return AsyncDesk(links, strategy=strategy, timeout=timeout)


class AsyncDesk(DeskBase[AsyncOrder]):
    """A running desk, for one event loop. Methods do what those of the same name of Desk do."""

    def __init__(self, links: Links, *, strategy: str = "", timeout: float = 1.0) -> None:
        super().__init__(links, strategy=strategy, timeout=timeout)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watched: dict[int, zmq.Socket[bytes]] = {}
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._tick: asyncio.TimerHandle | None = None
        self._pumping = False
        self._failed: BaseException | None = None

    def _make_order(self, command: NewOrder, session: str, px_scale: int, qty_scale: int) -> AsyncOrder:
        return AsyncOrder(self, command, session, px_scale, qty_scale)

    async def __aenter__(self) -> "AsyncDesk":
        self._loop = asyncio.get_running_loop()
        self._watch()
        self._ticked()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; orders stay as they are. What still waits is cancelled."""
        if self._tick is not None:
            self._tick.cancel()
        if self._loop is not None:
            for fd in self._watched:
                self._loop.remove_reader(fd)
        self._loop, self._watched = None, {}
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()
        self._links.close()

    # -- the loop ----------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Watch the sockets that there are."""
        if self._loop is None:
            raise BusError("this desk is closed, or was not entered: async with qd.aconnect(...) as desk")
        sockets = [self._core.feed.subscriber.socket, *(client.socket for client in self._links.open())]
        if len(sockets) != len(self._watched):
            for socket in sockets:
                fd = int(socket.getsockopt(zmq.FD))
                if fd not in self._watched:
                    self._watched[fd] = socket
                    self._loop.add_reader(fd, self._pump)

    def _ticked(self) -> None:
        if self._loop is not None:
            self._tick = self._loop.call_later(CHECK_S, self._ticked)
            self._pump()

    def _soon(self) -> None:
        """Look at the sockets again: whatever was done with one may have used up its edge."""
        if self._loop is not None and not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Take in what is there, a part at a time, so that the loop's other business goes on."""
        self._pumping = False
        if self._loop is None:
            return
        try:
            busy = self._core.turn()
            self._watch()
        except Exception as e:  # noqa: BLE001 - raised where the strategy waits, not lost in the loop
            self._failed, busy = e, 0
        if busy or any(int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN for socket in self._watched.values()):
            self._soon()
        self._wake()

    def _wake(self) -> None:
        still = []
        for true, future in self._waiting:
            if future.done():
                continue
            try:
                done = self._failed is not None or true()
            except Exception as e:  # noqa: BLE001 - belongs to whoever waits
                future.set_exception(e)
                continue
            if done:
                future.set_result(None)
            else:
                still.append((true, future))
        self._waiting = still

    async def until(self, true: Callable[[], bool]) -> None:
        """Until that is so, looked at whenever news came in."""
        self._watch()
        while not true():
            self._raise_failed()
            future = asyncio.get_running_loop().create_future()
            self._waiting.append((true, future))
            self._soon()
            await future
        self._raise_failed()

    def _raise_failed(self) -> None:
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed

    # -- events ------------------------------------------------------------------------------------------------

    async def poll(self, timeout: float = 0.0) -> list[Delivery]:
        """As Desk.poll."""
        self._watch()
        self._pump()
        if not self._core.outbox and timeout > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.until(lambda: bool(self._core.outbox)), timeout)
        self._raise_failed()
        return self._core.outbox.take_all()

    async def __aiter__(self) -> AsyncIterator[Delivery]:
        """Every event and Gap, for ever. Calls no callback."""
        while True:
            await self.until(lambda: bool(self._core.outbox))
            while (delivery := self._core.outbox.take()) is not None:
                yield delivery

    async def run(self, seconds: float = float("inf")) -> None:
        """As Desk.run; what a callback returns is awaited, if it can be, before the next one is called."""
        end = time.monotonic() + seconds
        while not self._stop.is_set() and (now := time.monotonic()) < end:
            for pending in self._callbacks.due(now):
                await pending.awaited()
            wait = max(0.0, min(end, self._callbacks.next_timer()) - time.monotonic())
            try:
                await asyncio.wait_for(
                    self.until(lambda: self._stop.is_set() or bool(self._core.outbox)), min(wait, CHECK_S)
                )
            except TimeoutError:
                continue
            while not self._stop.is_set() and (delivery := self._core.outbox.take()) is not None:
                for pending in self._callbacks.call(delivery):
                    await pending.awaited()
        self._stop.clear()

    # -- orders ------------------------------------------------------------------------------------------------

    async def place(
        self, venue: str, instrument: str, side: str, qty: Number, price: Number | None = None, **terms: Unpack[Terms]
    ) -> AsyncOrder:
        """As Desk.place."""
        return await self._do(self._steps.place(venue, instrument, side, qty, price, terms))

    async def order(self, cl_ord_id: str) -> AsyncOrder:
        """As Desk.order."""
        return await self._do(self._steps.find(cl_ord_id))

    async def open_orders(self, session: str = "") -> list[AsyncOrder]:
        """As Desk.open_orders."""
        return await self._do(self._steps.own([session] if session else self.trading_sessions()))

    async def buy(
        self, venue: str, instrument: str, qty: Number, price: Number | None = None, **terms: Unpack[Terms]
    ) -> str:
        """As Desk.buy."""
        return await self.new_order(venue, instrument, BUY, qty, price, **terms)

    async def sell(
        self, venue: str, instrument: str, qty: Number, price: Number | None = None, **terms: Unpack[Terms]
    ) -> str:
        """As Desk.sell."""
        return await self.new_order(venue, instrument, SELL, qty, price, **terms)

    async def new_order(
        self, venue: str, instrument: str, side: str, qty: Number, price: Number | None = None, **terms: Unpack[Terms]
    ) -> str:
        """As Desk.new_order."""
        return await self._do(self._ordering.new(venue, instrument, side, qty, price, terms))

    async def new_orders(
        self, orders: Sequence[OrderTerms], *, session: str = "", command_id: str = ""
    ) -> list[Answer]:
        """As Desk.new_orders."""
        return await self._do(self._ordering.new_orders(orders, session, command_id))

    async def replace(self, cl_ord_id: str, qty: Number, price: Number | None = None) -> None:
        """As Desk.replace."""
        await self._do(self._ordering.replace(cl_ord_id, qty, price))

    async def cancel(self, cl_ord_id: str) -> None:
        """As Desk.cancel."""
        await self._do(self._ordering.cancel(cl_ord_id))

    async def cancel_all(self, session: str = "", instrument: str = "") -> None:
        """As Desk.cancel_all."""
        await self._do(self._ordering.cancel_all([session] if session else self.trading_sessions(), instrument))

    async def orders(self, *, open_only: bool = True, session: str = "") -> list[OrderState]:
        """As Desk.orders."""
        sessions = [session] if session else self.trading_sessions()
        return await self._do(self._ordering.orders(sessions, open_only=open_only))

    async def arm(self, reason: str) -> None:
        """As Desk.arm."""
        await self._do(self._ordering.arm(reason))

    async def request(self, process: str, command: AnyCommand, timeout: float = 1.0) -> Answer:
        """As Desk.request."""
        return await self._request(Ask(process, command, timeout))

    async def cancel_order(self, order: AsyncOrder, cl_ord_id: str) -> None:
        """AsyncOrder.cancel."""
        await self._do(self._ordering.cancel_at(order.session, cl_ord_id, order.instrument))

    async def replace_order(self, order: AsyncOrder, cl_ord_id: str, qty: Number, price: Number | None) -> None:
        """AsyncOrder.replace."""
        inst = self.instrument(order.venue, order.instrument)
        await self._do(self._ordering.replace_at(order.session, cl_ord_id, inst, qty, price))

    async def _do(self, steps: Steps[T]) -> T:
        return await take_async(steps, self._request)

    async def _request(self, ask: Ask) -> Answer:
        """Hand over and await the answer. Errors as CommandClient.request; a cancelled wait leaves the command sent."""
        client, timeout_ms = self._links.command(ask.process), int(ask.timeout * 1000)
        self._watch()
        end = time.monotonic() + ask.timeout
        await self._there(client, connect_ms(timeout_ms))
        answers: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        command_id = ask.command.command_id
        self._core.expected[command_id] = lambda answer: None if answers.done() else answers.set_result(answer)
        try:
            client.send(ask.command)
            self._soon()
            return await asyncio.wait_for(answers, max(0.0, end - time.monotonic()))
        except TimeoutError:
            raise client.unanswered(ask.command, timeout_ms) from None
        finally:
            self._core.expected.pop(command_id, None)
            self._soon()

    async def _there(self, client: CommandClient, wait_ms: int) -> None:
        end = time.monotonic() + wait_ms / 1000
        while not client.connected:
            if time.monotonic() >= end:
                raise client.nobody(wait_ms)
            await asyncio.sleep(RETRY_S)
