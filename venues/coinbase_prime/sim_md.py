"""Market data of the simulated Coinbase Prime: level 2 by price over FIX 5.0 SP2 (coinbase-prime.md, 6.1)."""

from base.errors import VenueError
from base.instruments import Instrument
from sim import timetext
from sim.gateway import Venue
from sim.marketdata import Feed, MarketDataFeeds, Subscription
from sim.orders import BUY, L3Change, Trade
from sim.publicbook import DELETE
from sim.wire import render

PAST_TRADES = 100


class PrimeMarketData(MarketDataFeeds):
    """Everything 35=V can ask for; snapshots come in pieces of `snapshot_entries`, with the trades of the past."""

    l3_by_266 = False
    update_types = frozenset({"0", "1"})

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self._piece = venue.setup.number("snapshot_entries", 50)
        self._past: dict[str, list[str]] = {}
        self._rpt_seq = 0

    def snapshot(self, feed: Feed, s: Subscription) -> list[bytes]:
        i = feed.instrument
        rows = self.rows(feed, s)
        if s.trades:
            rows += [row.removeprefix("279=0\x01") for row in self._past.get(i.symbol, [])]
        pieces = [rows[at : at + self._piece] for at in range(0, len(rows), self._piece)] or [[]]
        return [
            render([(262, s.req_id), (55, i.symbol), (911, str(len(pieces))), (963, str(n)), (268, str(len(piece)))])
            + "".join(piece).encode()
            for n, piece in enumerate(pieces, 1)
        ]

    def update_head(self, s: Subscription, i: Instrument) -> bytes:
        return render([(262, s.req_id), (55, i.symbol)])

    def level(self, i: Instrument, action: int | None, side: int, px: int, qty: int) -> str:
        kind, price = "0" if side == BUY else "1", i.px_text(px)
        size = "" if action == DELETE else f"271={i.qty_text(qty)}\x01"
        first = "" if action is None else f"279={action}\x01"
        return f"{first}269={kind}\x01278={kind}{price}\x01{self._number()}270={price}\x01{size}"

    def order(self, i: Instrument, c: L3Change, action: int | None) -> str:
        raise VenueError("the venue shows no single orders")

    def trade(self, i: Instrument, t: Trade) -> str:
        when = timetext.date_time(t.time_ns)
        row = (
            f"279=0\x01269=2\x01278={t.trade_id}\x01{self._number()}270={i.px_text(t.px)}\x01271={i.qty_text(t.qty)}\x01"
            f"272={when[:8]}\x012446={1 if t.side == BUY else 2}\x01273={when[9:]}\x01"
            "453=1\x01448=COIN\x01447=G\x01452=73\x01"
        )
        past = self._past.setdefault(i.symbol, [])
        past.append(row)
        del past[:-PAST_TRADES]
        return row

    def _number(self) -> str:
        self._rpt_seq += 1
        return f"83={self._rpt_seq}\x01"

    def status(self, symbol: str, status: str, text: str) -> None:
        """35=f to everybody who hears of a symbol."""
        for s in self.feeds[symbol].subscriptions:
            s.link.send("f", [(55, symbol), (326, status), (58, f"{s.req_id} bid/offer {text}")])
