"""All markets of a simulated venue and every order it ever took: ownership, lookup, cancel scopes."""

from collections.abc import Callable, Iterable, Iterator

from base.clock import Clock
from base.instruments import Instrument
from sim.matching import Market
from sim.orders import CROWD, Event, Fill, Order, Update

EventHook = Callable[[Event], None]
UpdateHook = Callable[[Market, Update], None]


class Exchange:
    """Markets by the venue's symbol, orders by id and by (comp id, ClOrdID)."""

    def __init__(self, instruments: Iterable[Instrument], clock: Clock, keep_l3: bool = True) -> None:
        self.clock = clock
        self.instruments = {i.symbol: i for i in instruments}
        self.markets: dict[str, Market] = {
            s: Market(s, lot=max(i.lot_size, 1), keep_l3=keep_l3) for s, i in self.instruments.items()
        }
        self.orders: dict[str, Order] = {}  # every order of a client, finished ones too
        self._by_order: dict[str, list[Fill]] = {}
        self.executions: list[Fill] = []  # every fill of a client's order
        self._by_client: dict[tuple[str, str], Order] = {}
        self._event_hooks: list[EventHook] = []
        self._update_hooks: list[UpdateHook] = []

    def listen(self, on_event: EventHook, on_update: UpdateHook) -> None:
        """Call these for each event and each public update, in order."""
        self._event_hooks.append(on_event)
        self._update_hooks.append(on_update)

    @property
    def fills(self) -> int:
        """How many there were."""
        return len(self.executions)

    # -- looking --------------------------------------------------------------------------------------------------

    def find(self, comp_id: str, cl_ord_id: str) -> Order | None:
        """The last order of a comp id (or account) with that ClOrdID, current or earlier version."""
        return self._by_client.get((comp_id, cl_ord_id))

    def working(
        self, *, account: str | None = None, comp_id: str | None = None, connection: int | None = None, symbol: str = ""
    ) -> list[Order]:
        """Orders of clients that are not finished, within a scope, oldest first."""
        markets = [self.markets[symbol]] if symbol else list(self.markets.values())
        return [
            o
            for m in markets
            for o in m.working()
            if o.owner != CROWD
            and (account is None or o.owner.account == account)
            and (comp_id is None or o.owner.comp_id == comp_id)
            and (connection is None or o.owner.connection == connection)
        ]

    def as_of(self, account: str, wall_ns: int) -> Iterator[Order]:
        """Orders of an account that were working at a moment in the past: what a lagging list shows."""
        for order in self.orders.values():
            if order.owner.account != account or order.opened_ns > wall_ns:
                continue
            if not order.closed_ns or order.closed_ns > wall_ns:
                yield order

    def fills_of(self, order: Order, wall_ns: int | None = None) -> list[Fill]:
        """Executions of an order, oldest first; those that a list of that moment knows."""
        return [f for f in self._by_order.get(order.order_id, ()) if wall_ns is None or f.time_ns <= wall_ns]

    def cum_as_of(self, order: Order, wall_ns: int) -> int:
        """What was filled of an order at a moment in the past."""
        fills = self.fills_of(order, wall_ns)
        return fills[-1].cum if fills else 0

    # -- doing ----------------------------------------------------------------------------------------------------

    def submit(self, order: Order) -> None:
        """Take an order in and settle its market."""
        self.remember(order)
        self.markets[order.symbol].submit(order, self.clock.wall_ns())
        self.settle(order.symbol)

    def remember(self, order: Order) -> None:
        """Make an order findable by its id and (again, after a replace) its ClOrdID."""
        self.orders[order.order_id] = order
        self._by_client[order.owner.comp_id, order.cl_ord_id] = order
        self._by_client[order.owner.account, order.cl_ord_id] = order

    def cancel(self, order: Order, *, reason: str = "request", request_id: str = "", kind: str = "4") -> bool:
        """Cancel one order; False when it is not working."""
        market = self.markets[order.symbol]
        done = market.cancel(order, self.clock.wall_ns(), kind=kind, reason=reason, request_id=request_id)
        self.settle(order.symbol)
        return done

    def replace(
        self,
        order: Order,
        cl_ord_id: str,
        *,
        qty: int,
        price: int | None,
        stop_px: int | None = None,
        display: int | None = None,
    ) -> bool:
        """Change an order in place; False when it is not working."""
        market = self.markets[order.symbol]
        now = self.clock.wall_ns()
        done = market.replace(order, now, cl_ord_id, qty=qty, price=price, stop_px=stop_px, display=display)
        if done:
            self.remember(order)
        self.settle(order.symbol)
        return done

    def fill(self, order: Order, qty: int) -> None:
        """Let the crowd trade with a resting order at its price: a fill on demand."""
        if order.price is None or order.done:
            return
        market = self.markets[order.symbol]
        market.force_fill(order, qty, self.clock.wall_ns())
        self.settle(order.symbol)

    def advance(self) -> None:
        """Starts and expiries that are due."""
        now = self.clock.wall_ns()
        for symbol, market in self.markets.items():
            due = market.next_due_ns()
            if due is not None and due <= now:
                market.advance(now)
                self.settle(symbol)

    def settle(self, symbol: str) -> None:
        """Hand out what happened in a market."""
        market = self.markets[symbol]
        events, update = market.drain(self.clock.wall_ns())
        for event in events:
            self.announce(event)
        if update:
            for on_update in self._update_hooks:
                on_update(market, update)

    def announce(self, event: Event) -> None:
        """Tell the listeners of an event."""
        if event.kind == "F":
            order_id = event.order.order_id
            fill = Fill(
                event.time_ns, order_id, event.trade_id, event.last_px, event.last_qty, event.cum, event.aggressor
            )  # fmt: skip
            self.executions.append(fill)
            self._by_order.setdefault(order_id, []).append(fill)
        for on_event in self._event_hooks:
            on_event(event)
