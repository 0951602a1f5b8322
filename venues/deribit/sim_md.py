"""Market data of the simulated Deribit: a whole book with increments, or its top again and again (deribit.md, 6 and 8).

A snapshot has the last trades with it, as many as 100007 says. An increment is of one symbol, named before its entries.
"""

from base.errors import VenueError
from base.instruments import Instrument
from sim import timetext
from sim.gateway import MS_NS, Link, Venue
from sim.marketdata import Feed, MarketDataFeeds, Subscription
from sim.orders import BUY, L3Change, Trade
from sim.publicbook import DELETE
from sim.wire import Field, Message, number, render

TRADES = 20  # TradeAmount(100007) unless the request says another
ALLOWED = {("1", "0"), ("0", "1"), ("0", "10"), ("0", "20")}  # MDUpdateType(265) with MarketDepth(264)


class DeribitMarketData(MarketDataFeeds):
    """Everything 35=V and 35=x can ask for."""

    l3_by_266 = False
    update_types = frozenset({"0", "1"})

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self._epoch_times = venue.setup.flag("epoch_times", False)
        self._past: dict[str, list[str]] = {}

    def securities(self, link: Link, message: Message) -> None:
        """35=x: every instrument that there is."""
        head: list[Field] = [(320, message.get(320)), (322, str(self._venue.next_id())), (560, "0")]
        fields = [field for feed in self.feeds.values() for field in security(feed.instrument)]
        link.send("y", [*head, (146, str(len(self.feeds))), *fields])

    def _problem(self, link: Link, message: Message) -> tuple[str, str] | None:
        pair = message.get(265), message.get(264)
        if message.get(263) == "1" and pair not in ALLOWED:
            return "5", f"unsupported MDUpdateType and MarketDepth {pair}"
        return super()._problem(link, message)

    def snapshot(self, feed: Feed, s: Subscription) -> list[bytes]:
        i, rows = feed.instrument, self.rows(feed, s)
        if s.trades:
            rows += self._past.get(i.symbol, [])[-TRADES:]
        return [render([(55, i.symbol), (262, s.req_id), (268, str(len(rows)))]) + "".join(rows).encode()]

    def update_head(self, s: Subscription, i: Instrument) -> bytes:
        return render([(55, i.symbol), (262, s.req_id)])

    def _send(self, s: Subscription, i: Instrument, rows: list[str]) -> None:
        if not s.depth:
            super()._send(s, i, rows)
            return
        for body in self.snapshot(self.feeds[i.symbol], s):
            s.link.send_rendered("W", body)
            self._venue.counters["md_messages"] += 1

    def _time(self, ns: int) -> str:
        return str(ns // MS_NS) if self._epoch_times else timetext.date_time(ns)

    def level(self, i: Instrument, action: int | None, side: int, px: int, qty: int) -> str:
        first = "" if action is None else f"279={action}\x01"
        size = "0" if action == DELETE else i.qty_text(qty)
        at = self._time(self._venue.clock.wall_ns())
        return f"{first}269={'0' if side == BUY else '1'}\x01270={i.px_text(px)}\x01271={size}\x01272={at}\x01"

    def order(self, i: Instrument, c: L3Change, action: int | None) -> str:
        raise VenueError("the venue shows no single orders")

    def trade(self, i: Instrument, t: Trade) -> str:
        row = (
            f"269=2\x01270={i.px_text(t.px)}\x01271={i.qty_text(t.qty)}\x01272={self._time(t.time_ns)}\x01"
            f"100009={t.trade_id}\x0154={1 if t.side == BUY else 2}\x01"
        )
        past = self._past.setdefault(i.symbol, [])
        past.append(row)
        del past[:-1000]
        return f"279=0\x01{row}"


def security(i: Instrument) -> list[Field]:
    """An entry of 35=y."""
    kind = "FUT" if i.is_derivative else "FXSPOT"
    value = i.contract.value if i.contract else 1
    scale = i.contract.scale if i.contract else 0
    multiplier = number(str(value), 1) / 10**scale
    return [
        (55, i.symbol), (107, f"{i.name}"), (167, kind), (15, i.symbol[:3]), (231, f"{multiplier:g}"),
        (969, i.px_text(max(i.tick_size, 1))), (562, i.qty_text(max(i.min_qty, 1))), (965, "1"),
    ]  # fmt: skip
