"""Market data of the simulated Binance: book ticker, diff depth every 100 ms, trades, instrument list (6 and 8)."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from base.instruments import Instrument
from sim import timetext
from sim.gateway import MS_NS, Link
from sim.orders import BUY, SELL, Trade, Update
from sim.publicbook import PublicBook
from sim.wire import Field, Message, number, render
from venues.binance.sim_fields import RefusedError, one_of
from venues.binance.sim_orders import fixed, instrument_of

if TYPE_CHECKING:
    from venues.binance.sim import BinanceSim

CAP = 5000
MAX_STREAMS = 1000


@dataclass(slots=True)
class Subscription:
    """One 35=V of one connection; stream: ticker, depth or trades."""

    link: Link
    req_id: str
    symbols: list[str]
    stream: str
    depth: int


@dataclass(slots=True)
class Feed:
    """Who hears of one symbol, and what waits for the next depth message."""

    instrument: Instrument
    book: PublicBook = field(default_factory=lambda: PublicBook(CAP))
    subscriptions: list[Subscription] = field(default_factory=list)
    before: dict[tuple[int, int], int] = field(default_factory=dict)  # touched levels -> size at the last message
    first_id: int = 0
    best: tuple[tuple[int, int] | None, tuple[int, int] | None] = (None, None)


class BinanceMarketData:
    """Everything a fix-md session can ask for."""

    def __init__(self, venue: "BinanceSim", update_ms: int) -> None:
        self._venue = venue
        self.feeds = {s: Feed(i) for s, i in venue.exchange.instruments.items()}
        self._next_ns = 0
        self._period_ns = update_ms * MS_NS

    # -- requests -------------------------------------------------------------------------------------------------

    def request(self, link: Link, message: Message) -> None:
        """35=V or x."""
        if message.msg_type == "x":
            self._list(link, message)
            return
        req_id = message.get(262)
        if one_of(message, 263, "12") == "2":
            self._unsubscribe(link, req_id)
            return
        stream, depth = _stream(message)
        symbols = message.all(55)
        if not symbols or any(s not in self.feeds for s in symbols):
            raise RefusedError(-1121, "Invalid symbol.", 5, 55)
        problem = self._problem(link, req_id, stream, symbols)
        if problem:
            link.send("Y", [(262, req_id), (281, problem[0]), (25016, problem[1]), (58, problem[2])])
            return
        s = link.subscriptions[req_id] = Subscription(link, req_id, symbols, stream, depth)
        for symbol in symbols:
            self.feeds[symbol].subscriptions.append(s)
            if stream != "trades":
                link.send_rendered("W", self._snapshot(self.feeds[symbol], s))
                self._venue.counters["md_messages"] += 1

    def _problem(self, link: Link, req_id: str, stream: str, symbols: list[str]) -> tuple[str, str, str] | None:
        if req_id in link.subscriptions:
            return "1", "-1190", "MDReqID is already in use."
        if sum(len(s.symbols) for s in link.subscriptions.values()) + len(symbols) > MAX_STREAMS:
            return "2", "-1191", f"Too many streams; the limit is {MAX_STREAMS}."
        for other in link.subscriptions.values():
            both = set(other.symbols) & set(symbols)
            if other.stream == stream and both:
                text = "Similar subscription is already active on this connection."
                return "2", "-1191", f"{text} Symbol='{min(both)}', active subscription id: '{other.req_id}'."
        return None

    def _unsubscribe(self, link: Link, req_id: str) -> None:
        gone = link.subscriptions.pop(req_id, None)
        if gone is None:
            link.send("Y", [(262, req_id), (25016, "-1190"), (58, "Unknown MDReqID.")])
            return
        for symbol in gone.symbols:
            self.feeds[symbol].subscriptions.remove(gone)

    def _list(self, link: Link, message: Message) -> None:
        if one_of(message, 559, "04") == "0":
            found = [instrument_of(message, self._venue.exchange.instruments)]
        else:
            found = list(self._venue.exchange.instruments.values())
        fields: list[Field] = [(320, message.get(320)), (146, str(len(found)))]
        for i in found:
            fields += [(55, i.symbol), (15, i.name.split("-")[1])]
            fields += [(562, fixed(max(i.min_qty, 1), i.qty_scale))]
            fields += [(1140, fixed(i.max_qty, i.qty_scale))] if i.max_qty else []
            fields += [(25039, fixed(max(i.lot_size, 1), i.qty_scale)), (969, fixed(max(i.tick_size, 1), i.px_scale))]
        link.send("y", fields)

    # -- feed -----------------------------------------------------------------------------------------------------

    def publish(self, symbol: str, update: Update) -> None:
        """Take a step of the market in: trades and the top go out at once, levels wait for the depth message."""
        feed = self.feeds[symbol]
        feed.subscriptions = [s for s in feed.subscriptions if s.link.active]
        if update.best is not None or update.last_id:
            self._publish_recorded(symbol, feed, update)
            return
        for side, px, _ in update.levels:
            feed.before.setdefault((side, px), feed.book.size(side, px))
        if update.levels:
            feed.first_id = feed.first_id or feed.book.last_id + 1
            feed.book.last_id += len(update.levels)
        feed.book.apply(update)
        if update.trades:
            self._tell(feed, "trades", _trades(update.trades, feed.instrument))
        best = feed.book.best(BUY), feed.book.best(SELL)
        if best != feed.best:
            self._tell(feed, "ticker", _ticker(feed, best, feed.book.last_id))
            feed.best = best

    def _publish_recorded(self, symbol: str, feed: Feed, update: Update) -> None:
        """A recorded message keeps its own ids and its own cadence."""
        if update.best is not None:
            self._tell(feed, "ticker", _ticker(feed, update.best, update.last_id))
            feed.best = update.best
            return
        rows = []
        for side, px, size in update.levels:
            before = feed.book.size(side, px)
            rows.append(_entry(feed.instrument, 2 if not size else (1 if before else 0), side, px, size))
        feed.book.apply(update)
        feed.book.last_id = update.last_id
        if rows:
            rows[0] += f"55={symbol}\x0125043={update.first_id}\x0125044={update.last_id}\x01"
            self._tell(feed, "depth", f"268={len(rows)}\x01{''.join(rows)}".encode())

    def tick(self) -> None:
        """Send the depth messages that are due."""
        now = self._venue.clock.mono_ns()
        if now < self._next_ns:
            return
        self._next_ns = now + self._period_ns
        for symbol, feed in self.feeds.items():
            self._flush(symbol, feed)

    def _flush(self, symbol: str, feed: Feed) -> None:
        if not feed.before:
            return
        rows = []
        for (side, px), before in feed.before.items():
            size = feed.book.size(side, px)
            if size != before:
                rows.append(_entry(feed.instrument, 2 if not size else (1 if before else 0), side, px, size))
        first, feed.first_id, feed.before = feed.first_id, 0, {}
        if not rows:  # every level came back to what it was: say the last one again, so that ids stay contiguous
            side, px = BUY, (feed.book.best(BUY) or (0, 0))[0]
            rows = [_entry(feed.instrument, 1, side, px, feed.book.size(side, px))] if px else []
        if rows:
            rows[0] += f"55={symbol}\x0125043={first}\x0125044={feed.book.last_id}\x01"
            self._tell(feed, "depth", f"268={len(rows)}\x01{''.join(rows)}".encode())

    def _tell(self, feed: Feed, stream: str, tail: bytes) -> None:
        venue = self._venue
        for s in feed.subscriptions:
            if s.stream != stream:
                continue
            if stream == "depth" and venue.faults:
                facts = {"session": s.link.sender, "symbol": feed.instrument.symbol}
                if venue.faults.strike("md_gap", venue.clock.mono_ns(), **facts):
                    continue
            s.link.send_rendered("X", b"262=%s\x01%s" % (s.req_id.encode(), tail))
            venue.counters["md_messages"] += 1

    def _snapshot(self, feed: Feed, s: Subscription) -> bytes:
        i, book = feed.instrument, feed.book
        rows = [_entry(i, -1, side, px, qty) for side in (BUY, SELL) for px, qty in book.levels(side, s.depth)]
        head: list[Field] = [(262, s.req_id), (55, i.symbol), (25044, str(book.last_id if rows else 0))]
        return render([*head, (268, str(len(rows)))]) + "".join(rows).encode()


def _stream(message: Message) -> tuple[str, int]:
    kinds = set(message.all(269))
    if message.get(266, "Y") != "Y":
        raise RefusedError(-1130, "AggregatedBook must be 'Y'.", 5, 266)
    if kinds == {"2"}:
        return "trades", 0
    if kinds != {"0", "1"}:
        raise RefusedError(-1128, "BID and OFFER must be requested together.", 99, 269)
    depth = number(message.get(264), 0)
    if not 1 <= depth <= CAP:
        raise RefusedError(-1130, "MarketDepth must be between 1 and 5000.", 5, 264)
    return ("ticker" if depth == 1 else "depth"), depth


def _entry(i: Instrument, action: int, side: int, px: int, qty: int) -> str:
    kind = "0" if side == BUY else "1"
    head = f"279={action}\x01" if action >= 0 else ""
    size = f"271={fixed(qty, i.qty_scale)}\x01" if action != 2 else ""
    return f"{head}269={kind}\x01270={fixed(px, i.px_scale)}\x01{size}"


def _ticker(feed: Feed, best: tuple[tuple[int, int] | None, tuple[int, int] | None], last_id: int) -> bytes:
    rows = []
    for side in (BUY, SELL):
        now, before = best[side], feed.best[side]
        if now == before:
            continue
        if now is None:
            assert before is not None
            rows.append(_entry(feed.instrument, 2, side, before[0], 0))
        else:
            rows.append(_entry(feed.instrument, 1 if before else 0, side, *now))
    if not rows:  # the venue repeats itself
        bid = best[BUY]
        rows = [_entry(feed.instrument, 1, BUY, *bid)] if bid else []
    if rows:
        rows[0] += f"55={feed.instrument.symbol}\x0125044={last_id}\x01"
    return f"268={len(rows)}\x01{''.join(rows)}".encode()


def _trades(trades: list[Trade], i: Instrument) -> bytes:
    rows = [
        f"279=0\x01269=2\x01270={fixed(t.px, i.px_scale)}\x01271={fixed(t.qty, i.qty_scale)}\x01"
        f"{f'55={i.symbol}' + chr(1) if n == 0 else ''}1003={t.trade_id}\x01"
        f"60={timetext.date_time(t.time_ns, 6)}\x012446={'1' if t.side == BUY else '2'}\x01"
        for n, t in enumerate(trades)
    ]
    return f"268={len(rows)}\x01{''.join(rows)}".encode()
