"""Market data of the plain FIX 4.4 venue: 35=V answered by W, X and Y as the standard has them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from base.instruments import Instrument
from sim import timetext
from sim.gateway import Link, Seat
from sim.orders import BUY, SELL, L3Change, Trade, Update
from sim.publicbook import DELETE, PublicBook
from sim.wire import Message, number, render

if TYPE_CHECKING:
    from venues.fix44.sim import PlainSim


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


class PlainMarketData:
    """Everything 35=V can ask for."""

    def __init__(self, venue: "PlainSim") -> None:
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
        l3 = message.get(266) == "N"
        depth = number(message.get(264), 0)
        s = Subscription(link, req_id, message.all(55), depth, l3, bool(kinds & {"0", "1"}), "2" in kinds)
        for symbol in s.symbols:
            if s.book:
                link.send_rendered("W", self._snapshot(self.feeds[symbol], s))
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
            (message.get(263) == "1" and message.get(265, "1") != "1", "6", "unsupported MDUpdateType"),
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
            (False, d): [_level(i, e.action, e.side, e.px, e.qty) for e in found] for d, found in entries.items()
        }
        if any(s.l3 for s in feed.subscriptions):
            rows[True, 0] = [_order(i, c, c.action) for c in update.orders]
        trades = [_trade(i, t) for t in update.trades]
        for s in feed.subscriptions:
            book = rows.get((True, 0) if s.l3 else (False, s.depth), []) if s.book else []
            if book and self._broken(s, symbol):
                book = []
            mine = (trades if s.trades else []) + book
            if mine:
                self._send(s, mine)

    def _broken(self, s: Subscription, symbol: str) -> bool:
        venue = self._venue
        if not venue.faults:
            return False
        return venue.faults.strike("md_gap", venue.clock.mono_ns(), session=s.link.sender, symbol=symbol) is not None

    def _send(self, s: Subscription, rows: list[str]) -> None:
        s.link.send_rendered("X", f"262={s.req_id}\x01268={len(rows)}\x01{''.join(rows)}".encode())
        self._venue.counters["md_messages"] += 1

    def _snapshot(self, feed: Feed, s: Subscription) -> bytes:
        i, book = feed.instrument, feed.book
        if s.l3:
            rows = [_order(i, o, None) for side in (BUY, SELL) for o in book.orders(side)]
        else:
            rows = [_level(i, None, side, px, qty) for side in (BUY, SELL) for px, qty in book.levels(side, s.depth)]
        head = render([(262, s.req_id), (55, i.symbol), (268, str(len(rows)))])
        return head + "".join(rows).encode()


def _entry(i: Instrument, action: int | None, side: int, entry_id: str, px: int, qty: int) -> str:
    kind = "0" if side == BUY else "1"
    price = i.px_text(px)
    size = "" if action == DELETE else f"271={i.qty_text(qty)}\x01"
    if action is None:
        return f"269={kind}\x01{entry_id}270={price}\x01{size}"
    return f"279={action}\x01269={kind}\x01{entry_id}55={i.symbol}\x01270={price}\x01{size}"


def _level(i: Instrument, action: int | None, side: int, px: int, qty: int) -> str:
    return _entry(i, action, side, "", px, qty)


def _order(i: Instrument, c: L3Change, action: int | None) -> str:
    return _entry(i, action, c.side, f"278={c.order_id}\x01", c.px, c.qty)


def _trade(i: Instrument, t: Trade) -> str:
    when = timetext.date_time(t.time_ns)
    return (
        f"279=0\x01269=2\x01278={t.trade_id}\x0155={i.symbol}\x01270={i.px_text(t.px)}\x01271={i.qty_text(t.qty)}\x01"
        f"272={when[:8]}\x01273={when[9:]}\x01"
    )
