"""Market data of the simulated Gemini: books by price, full or the top alone, and symbols (gemini.md, 6 and 8).

Nothing ends a subscription but its connection; of a symbol as many may be had as are asked for.
"""

from base.errors import VenueError
from base.instruments import Instrument
from sim import timetext
from sim.gateway import Link, Seat, Venue
from sim.marketdata import Feed, MarketDataFeeds, Subscription
from sim.orders import BUY, L3Change, Trade
from sim.wire import Field, Message, render


class GeminiMarketData(MarketDataFeeds):
    """35=V and 35=x."""

    l3_by_266 = False

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self._event_id = 0

    def request(self, link: Link, seat: Seat, message: Message) -> None:
        if message.msg_type == "x":
            names: list[Field] = [(55, symbol) for symbol in self.feeds]
            head = [(320, message.get(320)), (322, str(self._venue.next_id())), (560, "0"), (146, str(len(names)))]
            link.send("y", [*head, *names])
        elif message.get(263, "1") != "1" or message.get(264, "0") not in ("0", "1"):
            link.send("Y", [(262, message.get(262)), (281, "4"), (58, "263 must be 1, 264 0 or 1")])
        else:
            super().request(link, seat, message)

    def snapshot(self, feed: Feed, s: Subscription) -> list[bytes]:
        rows = self.rows(feed, s)
        head = render([(55, feed.instrument.symbol), (262, s.req_id), (268, str(len(rows)))])
        return [head + "".join(rows).encode()]

    def update_head(self, s: Subscription, i: Instrument) -> bytes:
        self._event_id += 1
        return render([(262, s.req_id), (9008, str(self._event_id))])

    def level(self, i: Instrument, action: int | None, side: int, px: int, qty: int) -> str:
        kind = "0" if side == BUY else "1"
        first = "" if action is None else f"279={action}\x01"
        symbol = "" if action is None else f"55={i.symbol}\x01"
        return f"{first}269={kind}\x01{symbol}270={i.px_text(px)}\x01271={i.qty_text(qty)}\x01"

    def order(self, i: Instrument, c: L3Change, action: int | None) -> str:
        raise VenueError("the venue shows no single orders")

    def trade(self, i: Instrument, t: Trade) -> str:
        at = timetext.time_of_day(t.time_ns)
        return f"279=0\x01269=2\x0155={i.symbol}\x01270={i.px_text(t.px)}\x01271={i.qty_text(t.qty)}\x01273={at}\x01"
