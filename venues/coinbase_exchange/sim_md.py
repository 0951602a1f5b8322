"""Market data of the simulated Coinbase Exchange: every order of a book (coinbase-exchange.md, 6 and 8).

Each message has one entry and the symbol's next RptSeq(83), whoever listens. A trade names the order that rested and
takes its size away; when nothing is left a delete follows. Option `trade_then_change`: a change follows a partial fill,
too. A snapshot comes in pieces of `snapshot_entries`, one at each tick, with increments between them.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from base.instruments import Instrument
from sim import timetext
from sim.gateway import Link
from sim.orders import BUY, SELL, L3Change, Trade, Update
from sim.publicbook import PublicBook
from sim.wire import Field, Message, render

if TYPE_CHECKING:
    from venues.coinbase_exchange.sim import CoinbaseSim

ACK_EVERY = 4  # every so many new orders are acknowledged before they are booked
DELETED = {True: "FILLED", False: "CANCELED"}


@dataclass(slots=True)
class Feed:
    """One symbol: its book and who hears of it (link -> MDReqID)."""

    instrument: Instrument
    book: PublicBook = field(default_factory=PublicBook)
    listeners: dict[Link, str] = field(default_factory=dict)
    status: str = "full_trading"
    acks: int = 0


class CoinbaseMarketData:
    """Everything a market-data session can ask for."""

    def __init__(self, venue: "CoinbaseSim") -> None:
        self._venue = venue
        self._piece = venue.setup.number("snapshot_entries", 500)
        self._then_change = venue.setup.flag("trade_then_change", False)
        self.feeds = {s: Feed(i) for s, i in venue.exchange.instruments.items()}

    # -- requests -------------------------------------------------------------------------------------------------

    def request(self, link: Link, message: Message) -> None:
        """35=V or x."""
        if message.msg_type == "x":
            self._list(link, message)
            return
        req_id, symbols = message.get(262), message.all(55)
        unknown = [s for s in symbols if s not in self.feeds]
        if unknown or not symbols:
            link.send("Y", [(262, req_id), (281, "0"), (58, f"unknown symbol {','.join(unknown)}")])
        elif message.get(263) == "2":
            for symbol in symbols:
                self.feeds[symbol].listeners.pop(link, None)
        elif message.get(263) != "1" or any(req_id in feed.listeners.values() for feed in self.feeds.values()):
            link.send("Y", [(262, req_id), (281, "7" if message.get(263) != "1" else "1"), (58, "not possible")])
        else:
            for symbol in symbols:
                self._subscribe(link, req_id, self.feeds[symbol])

    def _subscribe(self, link: Link, req_id: str, feed: Feed) -> None:
        if link in feed.listeners:
            return  # subscribed already: no new snapshot
        feed.listeners[link] = req_id
        i = feed.instrument
        rows = [
            f"269={kind}\x01278={o.order_id}\x01270={i.px_text(o.px)}\x01271={i.qty_text(o.qty)}\x01"
            for side, kind in ((BUY, "0"), (SELL, "1"))
            for o in feed.book.orders(side)
        ]
        pieces = [rows[at : at + self._piece] for at in range(0, len(rows), self._piece)] or [[]]
        number = self._venue.rpt_seq[i.symbol]
        for n, piece in enumerate(pieces):
            head = [(262, req_id), (83, str(number)), (893, "Y" if n == len(pieces) - 1 else "N"), (55, i.symbol)]
            head += [(268, str(len(piece))), (1682, feed.status)]
            body = render(head) + "".join(piece).encode()
            self._venue.after(n * 1_000_000, lambda body=body: self._send_piece(link, req_id, feed, body))  # type: ignore[misc]

    def _send_piece(self, link: Link, req_id: str, feed: Feed, body: bytes) -> None:
        if link.active and feed.listeners.get(link) == req_id:
            self._send(link, "W", body)

    def _send(self, link: Link, msg_type: str, body: bytes) -> None:
        link.send_rendered(msg_type, body)
        self._venue.counters["md_messages"] += 1

    def _list(self, link: Link, message: Message) -> None:
        known = list(self.feeds.values()) if message.get(559) == "4" else []
        head: list[Field] = [(320, message.get(320)), (322, self._venue.new_id()), (560, "0" if known else "1")]
        head += [(893, "Y"), (393, str(len(known)))]
        if known:
            head.append((146, str(len(known))))
        link.send("y", [*head, *(f for feed in known for f in self._security(feed))])

    @staticmethod
    def _security(feed: Feed) -> list[Field]:
        i = feed.instrument
        return [
            (55, i.symbol), (15, i.symbol.rpartition("-")[2]), (562, i.min_notional or "1"),
            (969, i.px_text(max(i.tick_size, 1))), (29003, i.qty_text(max(i.lot_size, 1))), (1682, feed.status),
        ]  # fmt: skip

    def tell_status(self, symbol: str, status: str) -> None:
        """The trading status of a symbol changed: 35=f, which has a number of its own."""
        feed = self.feeds[symbol]
        feed.status = status
        number = self._number(symbol)
        for link, req_id in self._live(feed):
            body = render([(262, req_id), (83, number), (55, symbol), (1682, status)])
            self._send(link, "f", body)

    # -- feed -----------------------------------------------------------------------------------------------------

    def publish(self, symbol: str, update: Update) -> None:
        """Send what a step of the market changed, a message an entry."""
        feed = self.feeds[symbol]
        feed.book.apply(update)
        trades = iter(update.trades)
        time = timetext.date_time(update.time_ns, 6)
        for change in update.orders:
            if change.traded:
                self._tell_trade(feed, change, next(trades), time)
            else:
                self._tell_order(feed, change, time)

    def _tell_trade(self, feed: Feed, change: L3Change, trade: Trade, time: str) -> None:
        i = feed.instrument
        self._tell(
            feed, f"279=0\x01269=2\x01278={change.order_id}\x01", i.px_text(trade.px), i.qty_text(trade.qty), time,
            f"37={self._venue.new_id()}\x015797={'1' if trade.side == BUY else '2'}\x011003={trade.trade_id}\x01",
        )  # fmt: skip
        if change.action == 2 or self._then_change:
            self._tell_order(feed, change, time, filled=True)

    def _tell_order(self, feed: Feed, change: L3Change, time: str, *, filled: bool = False) -> None:
        i, side = feed.instrument, "0" if change.side == BUY else "1"
        px = i.px_text(change.px)
        if change.action == 0:
            feed.acks += 1
            if feed.acks % ACK_EVERY == 0:
                more = f"40=2\x0111={self._venue.new_id()}\x0137={change.order_id}\x01"
                self._tell(feed, f"279=0\x01269={side}\x01", px, i.qty_text(change.qty), time, more)
        text = {1: "58=CHANGE_REASON_MODIFY_ORDER\x01", 2: f"58={DELETED[filled]}\x01"}.get(change.action, "")
        size = "0" if change.action == 2 else i.qty_text(change.qty)
        head = f"279={change.action}\x01269={side}\x01278={change.order_id}\x01"
        self._tell(feed, head, px, size, time, text)

    def _tell(self, feed: Feed, head: str, px: str, size: str, time: str, more: str) -> None:
        symbol = feed.instrument.symbol
        rest = f"83={self._number(symbol)}\x0155={symbol}\x01270={px}\x01271={size}\x0160={time}\x01{more}"
        for link, req_id in self._live(feed):
            faults, facts = self._venue.faults, {"session": link.sender, "symbol": symbol}
            if faults and faults.strike("md_gap", self._venue.clock.mono_ns(), **facts):
                continue
            self._send(link, "X", f"262={req_id}\x01268=1\x01{head}{rest}".encode())

    def _number(self, symbol: str) -> str:
        self._venue.rpt_seq[symbol] += 1
        return str(self._venue.rpt_seq[symbol])

    @staticmethod
    def _live(feed: Feed) -> list[tuple[Link, str]]:
        for link in [link for link in feed.listeners if not link.active]:
            del feed.listeners[link]
        return list(feed.listeners.items())
