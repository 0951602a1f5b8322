"""Market data of the simulated Crypto.com: channels over FIX 4.4 (crypto-com.md, 6 and 8)."""

from typing import TYPE_CHECKING

from base.errors import VenueError
from base.instruments import Instrument
from sim.gateway import MS_NS, Link
from sim.marketdata import Feed, MarketDataFeeds, Subscription
from sim.orders import BUY, L3Change, Trade
from sim.publicbook import DELETE
from sim.wire import Field, Message, render

if TYPE_CHECKING:
    from venues.crypto_com.sim import CryptoComSim

DEPTHS = frozenset({"1", "150"})
CODES = {"px_digits": 5, "qty_digits": 4, "tick_size": 6, "lot_size": 7, "tradable": 9}
"""InstrAttribType(871): the venue's own codes are not documented, these are made up."""


class CryptoComMarketData(MarketDataFeeds):
    """Everything 35=V and x can ask for. Numbers of a book rise, and not by one."""

    l3_by_266 = False

    def __init__(self, venue: "CryptoComSim") -> None:
        super().__init__(venue)
        self._opening = venue.setup.text("first_refresh", "snapshot", ("snapshot", "update", "update_named"))
        self._last: dict[tuple[int, str], int] = {}  # by connection and channel

    def ask(self, link: Link, message: Message) -> None:
        """35=V."""
        seat = link.seat
        assert seat is not None
        self.request(link, seat, message)

    def _problem(self, link: Link, message: Message) -> tuple[str, str] | None:
        symbols, depth = message.all(55), message.get(264)
        book = message.get(262).startswith("book.")
        channel = f"book.{''.join(symbols)}.{depth}" if book else f"trade.{''.join(symbols)}"
        wanted = ("Y", ["0", "1"]) if book else ("N", ["2"])
        checks = (
            (message.get(262) != channel, "8", f"MDReqID is not {channel}"),
            (depth not in DEPTHS if book else depth != "0", "5", "unsupported MarketDepth"),
            ((message.get(266), message.all(269)) != wanted or message.get(547) != "N", "7", "not of this channel"),
        )
        return next(((reason, text) for wrong, reason, text in checks if wrong), super()._problem(link, message))

    def snapshot(self, feed: Feed, s: Subscription) -> list[bytes]:
        """The book as it stands: a 35=W, or by an option what follows it as an update."""
        rows = self.rows(feed, s) or ["279=0\x01269=J\x01"]
        before = [(280, str(self._step(s) - 1))] if self._opening == "update_named" else []
        head: list[Field] = [(262, s.req_id), (278, str(self._step(s))), *before, (55, feed.instrument.symbol)]
        body = render([*head, (10273, self._now()), (268, str(len(rows)))]) + "".join(rows).encode()
        if self._opening == "snapshot":
            return [body]
        s.link.send_rendered("X", body)
        return []

    def _step(self, s: Subscription) -> int:
        """The channel's next number."""
        last = self._last[id(s.link), s.req_id] = self._venue.next_id()
        return last

    def _now(self) -> str:
        return str(self._venue.clock.wall_ns() // MS_NS)

    def _broken(self, s: Subscription, symbol: str) -> bool:
        broken = super()._broken(s, symbol)
        if broken:
            self._step(s)  # it has a number, though nobody hears it
        return broken

    def update_head(self, s: Subscription, i: Instrument) -> bytes:
        before = self._last[id(s.link), s.req_id]
        ids = [(278, str(self._step(s))), (280, str(before))]
        return render([(262, s.req_id), *ids, (55, i.symbol), (10273, self._now())])

    def _send(self, s: Subscription, i: Instrument, rows: list[str]) -> None:
        if s.book:
            super()._send(s, i, rows)
            return
        for row in rows:  # a message a trade, named by it
            name, _, entry = row.partition("|")
            head = [(262, s.req_id), (278, name), (55, i.symbol), (10273, self._now()), (268, "1")]
            s.link.send_rendered("X", render(head) + entry.encode())
            self._venue.counters["md_messages"] += 1

    def level(self, i: Instrument, action: int | None, side: int, px: int, qty: int) -> str:
        kind = "0" if side == BUY else "1"
        size = "0" if action == DELETE else i.qty_text(qty)
        return f"279={action or 0}\x01269={kind}\x01270={i.px_text(px)}\x01271={size}\x01346=1\x01"

    def order(self, i: Instrument, c: L3Change, action: int | None) -> str:
        raise VenueError("the venue shows no single orders")

    def trade(self, i: Instrument, t: Trade) -> str:
        side = 1 if t.side == BUY else 2
        entry = f"279=0\x01269=2\x01270={i.px_text(t.px)}\x01271={i.qty_text(t.qty)}\x01"
        return f"{t.trade_id}|{entry}10851={side}\x01880=m{t.trade_id}\x01"

    def securities(self, link: Link, message: Message) -> None:
        """35=x: one 35=y an instrument."""
        feeds = list(self.feeds.values())
        for n, feed in enumerate(feeds, 1):
            i = feed.instrument
            said = {
                "px_digits": str(i.px_scale), "qty_digits": str(i.qty_scale), "tradable": "true",
                "tick_size": i.px_text(max(i.tick_size, 1)), "lot_size": i.qty_text(max(i.lot_size, 1)),
            }  # fmt: skip
            fields: list[Field] = [(320, message.get(320)), (322, str(self._venue.next_id())), (560, "0")]
            fields += [(893, "Y" if n == len(feeds) else "N"), (146, "1"), (55, i.symbol), (870, str(len(said)))]
            link.send("y", [*fields, *(f for name, v in said.items() for f in ((871, str(CODES[name])), (872, v)))])
