"""Market data of the simulated Kraken: L2 and L3 with CRC-32, trades, instrument list, session status (6 and 8)."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from base.instruments import Instrument
from sim import timetext
from sim.gateway import Link, Seat
from sim.marketdata import Subscription
from sim.orders import BUY, SELL, L3Change, Trade, Update
from sim.publicbook import PublicBook
from sim.wire import Field, Message, render

if TYPE_CHECKING:
    from venues.kraken.sim import KrakenSim

CAP = 1000
DEPTHS = {"0": 0, "1": 1, "10": 10, "25": 25, "100": 100, "500": 500, "1000": 1000}
SIDE_LETTER = {BUY: "B", SELL: "O"}


@dataclass(slots=True)
class Feed:
    """Who hears of one symbol."""

    instrument: Instrument
    book: PublicBook
    subscriptions: list[Subscription] = field(default_factory=list)


class KrakenMarketData:
    """Everything a KRAKEN-MD session can ask for."""

    def __init__(self, venue: "KrakenSim") -> None:
        self._venue = venue
        self.feeds = {s: Feed(i, PublicBook(CAP)) for s, i in venue.exchange.instruments.items()}

    # -- requests -------------------------------------------------------------------------------------------------

    def request(self, link: Link, seat: Seat, message: Message) -> None:
        """35=V, x or g."""
        if message.msg_type == "x":
            self._list(link, message)
        elif message.msg_type == "g":
            self._status(link, message)
        else:
            self._market_data(link, seat, message)

    def _market_data(self, link: Link, seat: Seat, message: Message) -> None:
        req_id = message.get(262)
        if not req_id:
            link.reject(message, 1, "Missing mandatory field: MDReqID (262)", 262)
            return
        if message.get(263) == "2":
            self._unsubscribe(link, req_id)
            return
        problem = self._problem(link, seat, message)
        if problem is not None:
            link.send("Y", [(58, problem[1]), (262, req_id), (281, problem[0])])
            return
        kinds = set(message.all(269))
        subscription = Subscription(
            link,
            req_id,
            message.all(55),
            DEPTHS[message.get(264, "0")],
            message.get(266, "Y") == "N",
            "0" in kinds,
            "2" in kinds,
        )
        link.subscriptions[req_id] = subscription
        for symbol in subscription.symbols:
            feed = self.feeds[symbol]
            feed.subscriptions.append(subscription)
            if subscription.book:
                link.send_rendered("W", self._snapshot(feed, subscription))
                self._venue.counters["md_messages"] += 1

    def _problem(self, link: Link, seat: Seat, message: Message) -> tuple[str, str] | None:
        kinds, l3 = set(message.all(269)), message.get(266, "Y") == "N"
        unknown = [s for s in message.all(55) if s not in self.feeds]
        checks = (
            (bool(unknown) or not message.all(55), "0", f"unsupported symbol: {','.join(unknown)}"),
            (message.get(262) in link.subscriptions, "1", f"duplicate MDReqID: {message.get(262)}"),
            (message.get(263) != "1", "4", f"unsupported SubscriptionRequestType: {message.get(263)}"),
            (message.get(264) not in DEPTHS, "5", f"unsupported MarketDepth: {message.get(264)}"),
            (l3 and message.get(264) not in {"0", "1000"}, "5", "L3 is served in full depth only"),
            (message.get(265, "1") != "1", "6", f"unsupported MDUpdateType: {message.get(265)}"),
            (not kinds or not kinds <= set("012"), "8", "unsupported MDEntryType"),
            (len(kinds & {"0", "1"}) == 1, "8", "bid and offer must be requested together"),
            (l3 and seat.grant.level != 3 and link.service != "any", "B", "Level 3 is not available here"),
            (l3 and "2" in kinds, "C", "trades are not available with Level 3"),
        )
        for wrong, reason, text in checks:
            if wrong:
                return reason, f"MarketData subscription failed due to {text}"
        return None

    def _unsubscribe(self, link: Link, req_id: str) -> None:
        gone = link.subscriptions.pop(req_id, None)
        if gone is None:
            text = f"MarketData unsubscription failed due to unknown MDReqID: {req_id}"
            link.send("Y", [(58, text), (262, req_id), (281, "1")])
            return
        for symbol in gone.symbols:
            self.feeds[symbol].subscriptions.remove(gone)

    def _list(self, link: Link, message: Message) -> None:
        kind, symbol = message.get(559), message.get(55)
        known = self._venue.exchange.instruments
        if kind == "0":
            found = [known[symbol]] if symbol in known else []
        elif kind == "1":
            found = [i for i in known.values() if ("/" in i.symbol) == (message.get(167) == "CASH")]
        else:
            found = list(known.values()) if kind == "4" else []
        result = "0" if found else ("1" if kind not in {"0", "1", "4"} else "2")
        head: list[Field] = [(320, message.get(320)), (322, str(self._venue.clock.wall_ns())), (560, result)]
        fields = [field for i in found for field in self._instrument(i)]
        link.send("y", [*head, (146, str(len(found))), *fields] if found else [*head, (58, "no instrument found")])

    def _instrument(self, i: Instrument) -> list[Field]:
        return [
            (55, i.symbol),
            (562, i.qty_text(max(i.lot_size, 1))),
            (5010, str(i.qty_scale)),
            (5011, i.qty_text(max(i.min_qty, 1))),
            (2349, str(i.px_scale)),
            (5022, i.px_text(max(i.tick_size, 1))),
            (5032, self._venue.market_status[i.symbol]),
        ]

    def _status(self, link: Link, message: Message) -> None:
        req_id, kind = message.get(335), message.get(263, "0")
        problem = "101" if kind not in {"0", "1"} else ""
        if link.state.get("status") and kind == "1":
            problem = "103"
        if problem:
            link.send("h", [(335, req_id), (336, message.get(336, "SESSION")), (340, "0"), (567, problem)])
            return
        if kind == "1":
            link.state["status"] = req_id
        link.send("h", [(335, req_id), (336, "SESSION"), (340, self._venue.trading_status)])

    def tell_status(self) -> None:
        """Tell those who subscribed that the trading session's status changed."""
        for link in self._venue.links:
            req_id = link.state.get("status")
            if req_id and link.active:
                link.send("h", [(335, req_id), (336, "SESSION"), (340, self._venue.trading_status)])

    # -- feed -----------------------------------------------------------------------------------------------------

    def publish(self, symbol: str, update: Update) -> None:
        """Send what a step of the market changed."""
        feed = self.feeds[symbol]
        live = [s for s in feed.subscriptions if s.link.active]
        if len(live) != len(feed.subscriptions):
            feed.subscriptions = live
        depths = {s.depth for s in live if s.book and not s.l3}
        entries = feed.book.apply(update, depths)
        if not live:
            return
        instrument = feed.instrument
        time = f"273={timetext.time_of_day(update.time_ns)}\x01"
        if update.trades and any(s.trades for s in live):
            tail = _trades(update.trades, instrument)
            for s in live:
                if s.trades:
                    self._send(s, symbol, tail)
        if not update.levels:
            return
        tails: dict[tuple[bool, int], bytes] = {}
        checksum = str(feed.book.checksum()) if depths else ""
        for depth in depths:
            if entries[depth]:
                rows = [_entry(instrument, e.action, e.side, e.px, e.qty, time) for e in entries[depth]]
                tails[False, depth] = f"268={len(rows)}\x01{''.join(rows)}5041={checksum}\x01".encode()
        if any(s.l3 for s in live) and update.orders:
            tails[True, 0] = self._l3_tail(feed, update)
        for s in live:
            tail = tails.get((True, 0) if s.l3 else (False, s.depth), b"") if s.book else b""
            if tail:
                self._send_book(s, symbol, tail)

    def _l3_tail(self, feed: Feed, update: Update) -> bytes:
        rows = "".join(f"279={c.action}\x01{_order(feed.instrument, c, update.time_ns)}" for c in update.orders)
        checksum = feed.book.checksum(by_order=True)
        return f"268={len(update.orders)}\x01{rows}5041={checksum}\x01".encode()

    def _send_book(self, s: Subscription, symbol: str, tail: bytes) -> None:
        venue = self._venue
        if venue.faults:
            facts = {"session": s.link.sender, "symbol": symbol}
            now = venue.clock.mono_ns()
            if venue.faults.strike("md_gap", now, **facts):
                return
            if venue.faults.strike("md_checksum", now, **facts):
                head, _, checksum = tail.rpartition(b"5041=")
                tail = b"%s5041=%d\x01" % (head, (int(checksum[:-1]) + 1) & 0xFFFFFFFF)
        self._send(s, symbol, tail)

    def _send(self, s: Subscription, symbol: str, tail: bytes) -> None:
        s.link.send_rendered("X", b"55=%s\x01262=%s\x01%s" % (symbol.encode(), s.req_id.encode(), tail))
        self._venue.counters["md_messages"] += 1

    def _snapshot(self, feed: Feed, s: Subscription) -> bytes:
        i, book = feed.instrument, feed.book
        now = self._venue.clock.wall_ns()
        rows: list[str] = []
        if s.l3:
            rows = [_order(i, o, now) for side in (SELL, BUY) for o in book.orders(side)]
        else:
            time = f"273={timetext.time_of_day(now)}\x01"
            for side in (SELL, BUY):
                rows += [_entry(i, -1, side, px, qty, time) for px, qty in book.levels(side, s.depth)]
        head = render([(55, i.symbol), (262, s.req_id), (268, str(len(rows)))])
        return head + "".join(rows).encode()


def fixed(value: int, scale: int) -> str:
    """Exactly `scale` decimals, as prices are printed."""
    if not scale:
        return str(value)
    digits = str(value).rjust(scale + 1, "0")
    return f"{digits[:-scale]}.{digits[-scale:]}"


def _entry(i: Instrument, action: int, side: int, px: int, qty: int, time: str) -> str:
    price = fixed(px, i.px_scale)
    kind = "0" if side == BUY else "1"
    size = i.qty_text(qty) if qty else "0.0"
    head = f"279={action}\x01" if action >= 0 else ""
    return f"{head}269={kind}\x01278={SIDE_LETTER[side]}{price}\x01270={price}\x01271={size}\x01{time}"


def _order(i: Instrument, c: L3Change, now_ns: int) -> str:
    kind = "0" if c.side == BUY else "1"
    size = i.qty_text(c.qty) if c.qty and c.action != 2 else "0.0"
    return (
        f"269={kind}\x01278={c.order_id}\x01270={fixed(c.px, i.px_scale)}\x01271={size}\x01"
        f"273={timetext.time_of_day(c.time_ns)}\x015060={timetext.iso_nanos(now_ns)}\x01"
        f"5273={timetext.iso_nanos(c.time_ns)}\x01"
    )


def _trades(trades: list[Trade], i: Instrument) -> bytes:
    rows = "".join(
        f"279=0\x01269=2\x01278={t.trade_id}\x01270={fixed(t.px, i.px_scale)}\x01271={i.qty_text(t.qty)}\x01"
        f"273={timetext.time_of_day(t.time_ns)}\x0140={'1' if t.market_order else '2'}\x01"
        f"2446={'1' if t.side == BUY else '2'}\x01"
        for t in trades
    )
    return f"268={len(trades)}\x01{rows}".encode()
