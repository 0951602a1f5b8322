"""Take-profit/stop-loss orders (40=O): live as limits at once, repriced to their stop limit when the trigger trades."""

from sim.gateway import Venue
from sim.orders import BUY, Order


class Brackets:
    """Those of a venue that have not triggered."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._orders: dict[str, Order] = {}
        self.repricing: Order | None = None
        """The order whose replace, under way, is a repricing and no request of its owner."""

    def add(self, order: Order) -> None:
        """A new order; those of other kinds are none of these."""
        if order.wire.get(40) == "O":
            self._orders[order.order_id] = order

    def traded(self) -> None:
        """Trades printed: look at the triggers once their market has settled."""
        if self._orders:
            self._venue.after(0, self._look)

    def _look(self) -> None:
        for order in list(self._orders.values()):
            if order.done or self._reached(order):
                del self._orders[order.order_id]
                if not order.done:
                    self._reprice(order)

    def _reached(self, order: Order) -> bool:
        exchange = self._venue.exchange
        stop, last = exchange.instruments[order.symbol].px(order.wire[99]), exchange.markets[order.symbol].last_px
        return bool(last) and (last >= stop if order.side == BUY else last <= stop)

    def _reprice(self, order: Order) -> None:
        price = self._venue.exchange.instruments[order.symbol].px(order.wire[3040])
        self.repricing = order
        self._venue.exchange.replace(order, order.cl_ord_id, qty=order.qty, price=price)
        self.repricing = None
