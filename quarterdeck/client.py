"""A strategy's view of a desk: events, books, orders. Synchronous; one thread. quarterdeck/async_client.py is its
twin.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar, Unpack

import zmq

from ipc.events import OrderState
from ipc.requests import Answer, AnyCommand, NewOrder
from ipc.sequence import Delivery
from quarterdeck.desk_base import DeskBase
from quarterdeck.feed import CHECK_NS
from quarterdeck.links import Links, links_to
from quarterdeck.order import Order
from quarterdeck.ordering import Number, OrderTerms, Terms
from quarterdeck.steps import Ask, Steps, take

T = TypeVar("T")
BUY: Final = "1"  # Side(54)
SELL: Final = "2"
CHECK_S: Final = CHECK_NS / 1e9


def connect(
    config: str | Path = "", *, client_id: str = "", strategy: str = "", timeout: float = 1.0, keys: str | Path = "",
    paper: bool = False,
) -> "Desk":  # fmt: skip
    """The desk that `config` describes: a TOML file, or the run directory of a desk that was started from one; or
    one on another host, tcp://HOST:PORT, with the client's key file as `keys` (docs/remote.md).

    "" takes the environment's QD_CONFIG. `client_id`: whose commands these are ("" = made up for this run);
    `strategy`: owner of the orders, for limits and the kill switch; `timeout`: seconds to wait for an answer;
    `paper`: the desk on simulated venues that `qd paper` derived from that configuration. Raises ConfigError; of
    another host SecretError and BusError, too, with what is known of the reason.
    """
    links = links_to(config, client_id, strategy, keys, paper=paper)
    return Desk(links, strategy=strategy, timeout=timeout)


class Desk(DeskBase[Order]):
    """A running desk. Closes with `with`, or `close`."""

    def __init__(self, links: Links, *, strategy: str = "", timeout: float = 1.0) -> None:
        super().__init__(links, strategy=strategy, timeout=timeout)
        self._poller = zmq.Poller()
        self._polled: set[int] = set()

    def _make_order(self, command: NewOrder, session: str, px_scale: int, qty_scale: int) -> Order:
        return Order(self, command, session, px_scale, qty_scale)

    def __enter__(self) -> "Desk":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; orders stay as they are."""
        self._links.close()

    # -- events ------------------------------------------------------------------------------------------------

    def poll(self, timeout: float = 0.0) -> list[Delivery]:
        """Events, and Gaps where some are missing, in order; waits up to `timeout` seconds for the first.

        Calls no callback. SchemaError when a process of the desk speaks another schema.
        """
        self.wait_until(lambda: bool(self._core.outbox), timeout)
        return self._core.outbox.take_all()

    def __iter__(self) -> Iterator[Delivery]:
        """Every event and Gap, for ever. Calls no callback."""
        while True:
            yield from self.poll(CHECK_S)

    def run(self, seconds: float = float("inf")) -> None:
        """Call the callbacks of `on` and `every` as events and time go by, until `stop` is called or so long has
        passed.

        CallbackError, with the delivery and the cause, when one raises: `run` may be called again and goes on behind
        it.
        """
        end = time.monotonic() + seconds
        while not self._stop.is_set() and (now := time.monotonic()) < end:
            for pending in self._callbacks.due(now):
                pending.refuse()
            wait = min(end, self._callbacks.next_timer()) - time.monotonic()
            self.wait_until(lambda: self._stop.is_set() or bool(self._core.outbox), max(0.0, min(wait, CHECK_S)))
            while not self._stop.is_set() and (delivery := self._core.outbox.take()) is not None:
                for pending in self._callbacks.call(delivery):
                    pending.refuse()
        self._stop.clear()

    def wait_until(self, true: Callable[[], bool], timeout: float) -> bool:
        """Take events in until that is so, `timeout` seconds at most; what is to be heard is kept for `poll` and
        `run`.
        """
        end = time.monotonic() + timeout
        while True:
            busy = self._core.turn()
            if true():
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            if not busy:
                self._wait(min(left, CHECK_S))

    def _wait(self, seconds: float) -> None:
        sockets = [self._core.feed.subscriber.socket, *(client.socket for client in self._links.open())]
        if len(sockets) != len(self._polled):
            for socket in sockets:
                self._poller.register(socket, zmq.POLLIN)
            self._polled = {id(socket) for socket in sockets}
        self._poller.poll(int(seconds * 1000) + 1)

    # -- orders ------------------------------------------------------------------------------------------------

    def place(
        self, venue: str, instrument: str, side: str, qty: Number, price: Number | None = None, **terms: Unpack[Terms]
    ) -> Order:
        """Place an order and follow its life. Terms as `new_order`.

        OrderRejected: the desk refused it, with the reason. OrderUncertain: no answer came; its `order` is followed all
        the same, and what became of it is found out. BusError otherwise: nothing was sent. NumberError, ConfigError.
        """
        return self._do(self._steps.place(venue, instrument, side, qty, price, terms))

    def order(self, cl_ord_id: str) -> Order:
        """An order that was placed before, by whomever: followed from now on, with its fills out of the journal.

        CommandError when no trading process knows it.
        """
        return self._do(self._steps.find(cl_ord_id))

    def open_orders(self, session: str = "") -> list[Order]:
        """This strategy's open orders (without a strategy: this client's), of earlier lives too, followed from now
        on.
        """
        return self._do(self._steps.own([session] if session else self.trading_sessions()))

    def buy(self, venue: str, instrument: str, qty: Number, price: Number | None = None, **terms: Unpack[Terms]) -> str:
        """Buy at `price` or, without one, at market; returns the ClOrdID. Terms and errors as `new_order`."""
        return self.new_order(venue, instrument, BUY, qty, price, **terms)

    def sell(
        self, venue: str, instrument: str, qty: Number, price: Number | None = None, **terms: Unpack[Terms]
    ) -> str:
        """Sell at `price` or, without one, at market; returns the ClOrdID. Terms and errors as `new_order`."""
        return self.new_order(venue, instrument, SELL, qty, price, **terms)

    def new_order(
        self, venue: str, instrument: str, side: str, qty: Number, price: Number | None = None, **terms: Unpack[Terms]
    ) -> str:
        """Place an order; returns its ClOrdID once a trading process has taken it. Terms: quarterdeck.ordering.Terms.

        OrderRejected (a CommandError): refused, with the reason. NumberError: a number does not fit the instrument's
        scale. UnansweredError: the fate is unknown; the same call with the error's `command_id` is safe to repeat.
        BusError otherwise: nothing was sent.
        """
        return self._do(self._ordering.new(venue, instrument, side, qty, price, terms))

    def new_orders(self, orders: Sequence[OrderTerms], *, session: str = "", command_id: str = "") -> list[Answer]:
        """Place up to 100 orders with one trading session, in as few messages as its venue takes; an answer for each.

        A refused order keeps no other back: `accepted`, `reason`, `cl_ord_id` of its answer say what became of it.
        ConfigError, NumberError: nothing was asked. BusError as `new_order`, the id being that of the whole call.
        """
        return self._do(self._ordering.new_orders(orders, session, command_id))

    def replace(self, cl_ord_id: str, qty: Number, price: Number | None = None) -> None:
        """Change quantity or price of a working order, by the means the venue has. Errors as `new_order`."""
        self._do(self._ordering.replace(cl_ord_id, qty, price))

    def cancel(self, cl_ord_id: str) -> None:
        """Ask for an order to be cancelled; what comes of it arrives as events. Errors as `new_order`."""
        self._do(self._ordering.cancel(cl_ord_id))

    def cancel_all(self, session: str = "", instrument: str = "") -> None:
        """Mass cancel on one order-entry session or on all; CommandError names those that refused."""
        self._do(self._ordering.cancel_all([session] if session else self.trading_sessions(), instrument))

    def orders(self, *, open_only: bool = True, session: str = "") -> list[OrderState]:
        """Orders as the trading processes know them, UNCERTAIN ones too. BusError names one that does not answer."""
        sessions = [session] if session else self.trading_sessions()
        return self._do(self._ordering.orders(sessions, open_only=open_only))

    def arm(self, reason: str) -> None:
        """This strategy is ready again after a reset (docs/kill-switch.md); nothing to do is no error.

        CommandError: the desk or the strategy is tripped, or the client was connected without a strategy. BusError: the
        kill switch does not answer.
        """
        self._do(self._ordering.arm(reason))

    def request(self, process: str, command: AnyCommand, timeout: float = 1.0) -> Answer:
        """Any command of docs/commands.md to any process; the answer may be a refusal."""
        return self._request(Ask(process, command, timeout))

    def cancel_order(self, order: Order, cl_ord_id: str) -> None:
        """Order.cancel."""
        self._do(self._ordering.cancel_at(order.session, cl_ord_id, order.instrument))

    def replace_order(self, order: Order, cl_ord_id: str, qty: Number, price: Number | None) -> None:
        """Order.replace."""
        inst = self.instrument(order.venue, order.instrument)
        self._do(self._ordering.replace_at(order.session, cl_ord_id, inst, qty, price))

    def _do(self, steps: Steps[T]) -> T:
        return take(steps, self._request)

    def _request(self, ask: Ask) -> Answer:
        return self._links.command(ask.process).request(ask.command, int(ask.timeout * 1000))
