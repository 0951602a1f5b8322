"""Market data of simulated venues over FIX: 35=V answered by W, X and Y; the form of entries is each venue's own."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from base.instruments import Instrument
from sim.gateway import Link, Seat, Venue
from sim.orders import BUY, SELL, L3Change, Trade, Update
from sim.publicbook import PublicBook
from sim.wire import Message, number, render


@dataclass(slots=True)
class Subscription:
    """One 35=V of one connection."""

    link: Link
    req_id: str
    symbols: list[str]
    depth: int
    l3: bool
    book: bool
    trades: bool


@dataclass(slots=True)
class Feed:
    """Who hears of one symbol."""

    instrument: Instrument
    book: PublicBook = field(default_factory=PublicBook)
    subscriptions: list[Subscription] = field(default_factory=list)


class MarketDataFeeds(ABC):
    """Everything 35=V can ask for; a venue says how its entries and messages look."""

    l3_by_266 = True  # AggregatedBook(266)=N asks for single orders
    update_types = frozenset({"1"})  # MDUpdateType(265) that goes with 263=1

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self.feeds = {s: Feed(i) for s, i in venue.exchange.instruments.items()}

    def request(self, link: Link, seat: Seat, message: Message) -> None:
        """Subscribe, unsubscribe, or a snapshot alone (263=0)."""
        req_id = message.get(262)
        if not req_id or not message.get(263):
            link.reject(message, 1, "Required tag missing: 262 or 263", 263 if req_id else 262)
            return
        if message.get(263) == "2":
            self._unsubscribe(link, req_id)
            return
        problem = self._problem(link, message)
        if problem:
            link.send("Y", [(262, req_id), (281, problem[0]), (58, problem[1])])
            return
        kinds = set(message.all(269))
        l3 = self.l3_by_266 and message.get(266) == "N"
        depth = number(message.get(264), 0)
        s = Subscription(link, req_id, message.all(55), depth, l3, bool(kinds & {"0", "1"}), "2" in kinds)
        for symbol in s.symbols:
            if s.book:
                for part in self.snapshot(self.feeds[symbol], s):
                    link.send_rendered("W", part)
                    self._venue.counters["md_messages"] += 1
            if message.get(263) == "1":
                link.subscriptions[req_id] = s
                self.feeds[symbol].subscriptions.append(s)

    def _problem(self, link: Link, message: Message) -> tuple[str, str] | None:
        kinds = set(message.all(269))
        checks = (
            (any(s not in self.feeds for s in message.all(55)) or not message.all(55), "0", "unknown symbol"),
            (message.get(262) in link.subscriptions, "1", "duplicate MDReqID"),
            (message.get(263) not in {"0", "1"}, "4", "unsupported SubscriptionRequestType"),
            (not message.get(264, "0").isdigit(), "5", "unsupported MarketDepth"),
            (
                message.get(263) == "1" and message.get(265, "1") not in self.update_types,
                "6",
                "unsupported MDUpdateType",
            ),
            (not kinds or not kinds <= set("012"), "8", "unsupported MDEntryType"),
        )
        return next(((reason, text) for wrong, reason, text in checks if wrong), None)

    def _unsubscribe(self, link: Link, req_id: str) -> None:
        gone = link.subscriptions.pop(req_id, None)
        if gone is None:
            link.send("Y", [(262, req_id), (58, "unknown MDReqID")])
            return
        for symbol in gone.symbols:
            self.feeds[symbol].subscriptions.remove(gone)

    def publish(self, symbol: str, update: Update) -> None:
        """Send what a step of the market changed."""
        feed = self.feeds[symbol]
        feed.subscriptions = [s for s in feed.subscriptions if s.link.active]
        i = feed.instrument
        depths = {s.depth for s in feed.subscriptions if s.book and not s.l3}
        entries = feed.book.apply(update, depths)
        rows: dict[tuple[bool, int], list[str]] = {
            (False, d): [self.level(i, e.action, e.side, e.px, e.qty) for e in found] for d, found in entries.items()
        }
        if any(s.l3 for s in feed.subscriptions):
            rows[True, 0] = [self.order(i, c, c.action) for c in update.orders]
        trades = [self.trade(i, t) for t in update.trades]
        for s in feed.subscriptions:
            book = rows.get((True, 0) if s.l3 else (False, s.depth), []) if s.book else []
            if book and self._broken(s, symbol):
                book = []
            mine = (trades if s.trades else []) + book
            if mine:
                self._send(s, i, mine)

    def _broken(self, s: Subscription, symbol: str) -> bool:
        venue = self._venue
        if not venue.faults:
            return False
        return venue.faults.strike("md_gap", venue.clock.mono_ns(), session=s.link.sender, symbol=symbol) is not None

    def _send(self, s: Subscription, i: Instrument, rows: list[str]) -> None:
        s.link.send_rendered("X", self.update_head(s, i) + f"268={len(rows)}\x01{''.join(rows)}".encode())
        self._venue.counters["md_messages"] += 1

    def snapshot(self, feed: Feed, s: Subscription) -> list[bytes]:
        """Bodies of 35=W that together are the book."""
        i, rows = feed.instrument, self.rows(feed, s)
        return [render([(262, s.req_id), (55, i.symbol), (268, str(len(rows)))]) + "".join(rows).encode()]

    def rows(self, feed: Feed, s: Subscription) -> list[str]:
        """Entries of the book as it stands."""
        i, book = feed.instrument, feed.book
        if s.l3:
            return [self.order(i, o, None) for side in (BUY, SELL) for o in book.orders(side)]
        return [self.level(i, None, side, px, qty) for side in (BUY, SELL) for px, qty in book.levels(side, s.depth)]

    def update_head(self, s: Subscription, i: Instrument) -> bytes:
        """What stands before 268 in a 35=X."""
        return render([(262, s.req_id)])

    @abstractmethod
    def level(self, i: Instrument, action: int | None, side: int, px: int, qty: int) -> str:
        """A price level; `action` None in a snapshot."""

    @abstractmethod
    def order(self, i: Instrument, c: L3Change, action: int | None) -> str:
        """A single order."""

    @abstractmethod
    def trade(self, i: Instrument, t: Trade) -> str:
        """A trade."""
