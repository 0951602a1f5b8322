"""How a venue is asked about orders: its REST side, or status requests over the session. No I/O of its own.

Each question ends with one call of `done` or of `failed`, or with none at all when the connection is lost: who asks
keeps a deadline.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from base.decimals import format_scaled
from base.errors import CodecError, SessionError, VenueError
from ipc.events import AnyEvent
from risk.order import Order
from venues.interface import OpenOrder, OpenOrders, Page, RestApi, RestRequest, TradePage
from venues.order_entry import OrderEntry
from venues.order_terms import working

T = TypeVar("T")
Answered = Callable[[int, bytes, str], None]  # status, body, error ("" when there is an answer)
Failed = Callable[[str], None]


class Asker(Protocol):
    """The process's HTTP client and voice."""

    def ask(self, request: RestRequest, answered: Answered) -> None: ...
    def publish(self, event: AnyEvent) -> None: ...
    def alert(self, severity: str, code: str, text: str) -> None: ...


class Means(Protocol):
    """Where to learn what became of orders."""

    asks_single: bool  # `order` is of use
    tells_trades: bool  # `trades` is of use

    def list(self, cursor: str, done: Callable[[Page], None], failed: Failed) -> None: ...
    def order(self, order: Order, done: Callable[[OpenOrder | None], None], failed: Failed) -> None: ...
    def trades(
        self, order: Order, since_ns: int, cursor: str, done: Callable[[TradePage], None], failed: Failed
    ) -> bool:
        """False, and nothing asked, when the venue cannot tell."""
        ...


def ask_rest(
    asker: Asker, request: RestRequest, parse: Callable[[int, bytes], T], done: Callable[[T], None], failed: Failed
) -> None:
    """Send a request; what cannot be read has failed, whatever the status says."""

    def answered(status: int, body: bytes, error: str) -> None:
        if error:
            failed(error)
            return
        try:
            said = parse(status, body)
        except VenueError as e:
            failed(str(e))
            return
        done(said)

    asker.ask(request, answered)


class RestMeans:
    """The venue's REST side."""

    asks_single = True
    tells_trades = True

    def __init__(self, entry: OrderEntry, rest: RestApi, asker: Asker) -> None:
        self._entry = entry
        self._rest = rest
        self._asker = asker

    def list(self, cursor: str, done: Callable[[Page], None], failed: Failed) -> None:
        """A page of the open-orders list."""
        request = self._rest.open_orders(self._entry.clock.wall_ns(), cursor)
        ask_rest(self._asker, request, self._rest.parse_open_orders, done, failed)

    def order(self, order: Order, done: Callable[[OpenOrder | None], None], failed: Failed) -> None:
        """One order."""
        instrument = self._entry.instruments.get(order.instrument)
        if instrument is None:
            failed(f"{order.instrument} is not configured")
            return
        request = self._rest.order(self._entry.clock.wall_ns(), working(order, instrument))

        def parse(status: int, body: bytes) -> OpenOrder | None:
            return self._rest.parse_order(status, body, order.cl_ord_id)

        ask_rest(self._asker, request, parse, done, failed)

    def trades(
        self, order: Order, since_ns: int, cursor: str, done: Callable[[TradePage], None], failed: Failed
    ) -> bool:
        """A page of trades."""
        instrument = self._entry.instruments.get(order.instrument)
        if instrument is None:
            return False
        request = self._rest.trades(self._entry.clock.wall_ns(), working(order, instrument), since_ns, cursor)
        if request is None:
            return False
        ask_rest(self._asker, request, self._rest.parse_trades, done, failed)
        return True


class SessionMeans:
    """35=AF for all orders where the venue has it, 35=H for one: the answer to the latter comes as an event."""

    tells_trades = False

    def __init__(self, entry: OrderEntry) -> None:
        self._entry = entry
        self._waiting: dict[str, Callable[[OpenOrder | None], None]] = {}  # by first ClOrdID
        self.asks_single = entry.capabilities.status_request
        entry.on_status = self._status

    def list(self, cursor: str, done: Callable[[Page], None], failed: Failed) -> None:
        """All of them: it has one page."""

        def answered(orders: tuple[OpenOrder, ...], error: str) -> None:
            if error:
                failed(error)
            else:
                done(Page(orders))

        session, clock = self._entry.session, self._entry.clock
        try:
            if session is None or self._entry.capabilities.open_orders is not OpenOrders.MASS_STATUS:
                raise SessionError("no list can be asked for over the session")
            wall_ns = clock.wall_ns()
            session.mass_status(session.make_cl_ord_id(wall_ns), answered, clock.mono_ns(), wall_ns)
        except (SessionError, VenueError, CodecError) as e:
            failed(str(e))

    def order(self, order: Order, done: Callable[[OpenOrder | None], None], failed: Failed) -> None:
        """One order; when `done` is called it has been reported."""
        self._waiting[order.ids[0]] = done
        reason = self._entry.ask_status(order)
        if reason:
            self._waiting.pop(order.ids[0], None)
            failed(reason)

    def trades(
        self, order: Order, since_ns: int, cursor: str, done: Callable[[TradePage], None], failed: Failed
    ) -> bool:
        """The session cannot tell them."""
        return False

    def _status(self, order: Order, known: bool) -> None:
        """The venue answered a status request; the order table has what it said."""
        done = self._waiting.pop(order.ids[0], None)
        if done is not None:
            done(_as_told(order) if known else None)


def _as_told(order: Order) -> OpenOrder:
    """An order that has been reported: nothing further is said of it."""
    cum_qty = format_scaled(order.cum_qty, order.qty_scale)
    return OpenOrder(
        order_id=order.order_id, cl_ord_id=order.cl_ord_id, symbol=order.instrument, side=order.side, order_qty="",
        cum_qty=cum_qty, price="", status="",
    )  # fmt: skip
