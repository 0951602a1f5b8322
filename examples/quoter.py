"""A quoter: keeps buy and sell orders on several levels around the shared-memory book of every instrument of a desk.

    python examples/quoter.py [CONFIG] [--levels 4] [--seconds 20] [--keep]

It quotes on LIVE books only, takes its quotes off a book that has not been LIVE for a second, moves them when the
market moves, slows down where it is refused, and looks its orders up again when events were lost. On SIGTERM or SIGINT,
or when the time is up, it cancels what it placed (unless --keep) and prints one JSON line. An example, not a strategy.
"""

import argparse
import json
import signal
import sys
import time
from dataclasses import dataclass, field
from types import FrameType

import quarterdeck as qd

OPEN = {"PENDING_NEW", "NEW", "PARTIALLY_FILLED", "PENDING_CANCEL", "PENDING_REPLACE", "UNCERTAIN"}
STALE_S = 1.0
STOP_S = 5.0
ORDERS_A_TURN = 8  # one venue shall not wait for another
LOOK_AGAIN_S = 0.5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0


@dataclass
class Quote:
    """A place where one order belongs: a side and level of an instrument."""

    side: str
    level: int
    cl_ord_id: str = ""
    price: int = 0
    leaving: bool = False  # its cancel is under way


@dataclass
class Market:
    """One instrument and its quotes."""

    instrument: qd.Instrument
    session: str
    quotes: list[Quote]
    book: "qd.BookReader | None" = None
    live: bool = False
    live_at: float = 0.0
    pause: float = 0.0  # how long to wait after the next refusal
    wait_until: float = 0.0


@dataclass
class Counts:
    """What is printed at the end."""

    orders_sent: int = 0
    orders_refused: int = 0
    cancels_sent: int = 0
    moves: int = 0
    fills: int = 0
    rejects: int = 0
    gaps: int = 0
    stale_books: int = 0
    unknown: int = 0  # commands without an answer
    last_refusal: str = ""


@dataclass
class Quoter:
    """Everything it knows; one thread."""

    desk: qd.Desk
    levels: int
    notional: int
    markets: list[Market] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    quote_of: dict[str, Quote] = field(default_factory=dict)
    look_at: dict[str, float] = field(default_factory=dict)  # sessions whose orders must be asked for, and when

    def start(self) -> None:
        """Subscribe, and make a place for each quote."""
        places = [(side, level) for level in range(self.levels) for side in (qd.BUY, qd.SELL)]
        for instrument in self.desk.instruments():
            for session in self.desk.trading_sessions(instrument.venue)[:1]:
                self.markets.append(Market(instrument, session, [Quote(*place) for place in places]))
                self.look_at[session] = 0.0
        for session in self.look_at:
            self.desk.subscribe(f"exec.{session}", replay=True)

    # -- what happens ------------------------------------------------------------------------------------------

    def listen(self, seconds: float) -> None:
        """Take in what the desk says."""
        for delivery in self.desk.poll(seconds):
            event = delivery.event
            if isinstance(event, qd.Gap):
                self.counts.gaps += 1
                self.look_at[delivery.topic.removeprefix("exec.")] = 0.0
            elif isinstance(event, qd.OrderState) and event.client_id == self.desk.client_id:
                self.order(event)
            elif isinstance(event, qd.ExecutionReport) and event.client_id == self.desk.client_id:
                self.counts.fills += event.exec_type in {"F", "1", "2"}

    def order(self, event: qd.OrderState) -> None:
        """One of our orders changed."""
        quote = self.quote_of.get(event.cl_ord_id)
        if quote is None or quote.cl_ord_id != event.cl_ord_id or event.state in OPEN:
            return
        self.counts.rejects += event.state == "REJECTED"
        self.free(quote)

    def free(self, quote: Quote) -> None:
        """The order is gone; its place may be filled again."""
        self.quote_of.pop(quote.cl_ord_id, None)
        quote.cl_ord_id, quote.leaving = "", False

    def look(self, session: str) -> None:
        """Ask a trading process which orders we have; adopt what we did not know, free what is gone."""
        try:
            ours = [o for o in self.desk.orders(session=session) if o.client_id == self.desk.client_id]
        except (qd.BusError, qd.CommandError) as e:
            self.counts.last_refusal = str(e)
            self.look_at[session] = time.monotonic() + LOOK_AGAIN_S
            return
        del self.look_at[session]
        there = {o.cl_ord_id for o in ours}
        held = [q for m in self.markets if m.session == session for q in m.quotes if q.cl_ord_id]
        for quote in [q for q in held if q.cl_ord_id not in there]:
            self.free(quote)
        for order in ours:
            if order.cl_ord_id not in self.quote_of:
                self.adopt(order)

    def look_where_due(self) -> None:
        """After lost events and unanswered commands."""
        now = time.monotonic()
        for session in [s for s, at in self.look_at.items() if at <= now]:
            self.look(session)

    def adopt(self, order: qd.OrderState) -> None:
        """An order of ours whose answer got lost: give it a free place, or cancel it."""
        for market in self.markets:
            if (market.instrument.venue, market.instrument.name) == (order.venue, order.instrument):
                for quote in market.quotes:
                    if not quote.cl_ord_id and quote.side == order.side:
                        self.place(quote, order.cl_ord_id, order.price or 0)
                        return
                self.cancel_id(market, order.cl_ord_id)

    # -- what we do --------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Bring every market's quotes to where they belong."""
        now = time.monotonic()
        self.look_where_due()
        for market in self.markets:
            top = self.top(market, now)
            if top is None:
                if now - market.live_at > STALE_S:
                    self.withdraw(market)
            elif now >= market.wait_until and market.session not in self.look_at:
                self.requote(market, *top)

    def top(self, market: Market, now: float) -> tuple[int, int] | None:
        """Best bid and offer, or None while the book must not be believed."""
        try:
            if market.book is None:
                market.book = self.desk.book(market.instrument.venue, market.instrument.name)
            bid, bid_qty, ask, ask_qty = market.book.bbo()
        except (qd.BookError, qd.RegionError, qd.ConfigError) as e:
            self.counts.stale_books += market.live
            self.counts.last_refusal = str(e)
            market.live = False
            return None
        if not bid_qty or not ask_qty:
            return None
        market.live, market.live_at = True, now
        return bid, ask

    def requote(self, market: Market, bid: int, ask: int) -> None:
        """Cancel quotes that the market left behind, fill empty places; a few at a time."""
        tick = market.instrument.tick_size
        step = max(tick, bid // 5000 // tick * tick)  # 2 basis points
        sent = 0
        for quote in market.quotes:
            if sent >= ORDERS_A_TURN or time.monotonic() < market.wait_until:
                return
            away = step * (quote.level + 1)
            price = (bid - away if quote.side == qd.BUY else ask + away) // tick * tick
            if not quote.cl_ord_id:
                self.send(market, quote, price)
                sent += 1
            elif not quote.leaving and abs(price - quote.price) > 2 * step:
                self.counts.moves += 1
                self.cancel(market, quote)
                sent += 1

    def send(self, market: Market, quote: Quote, price: int) -> None:
        """Place one quote; a refusal makes this market wait, longer each time."""
        inst = market.instrument
        wanted = self.notional * 10 ** (inst.px_scale + inst.qty_scale) // price
        qty = max(wanted // inst.lot_size * inst.lot_size, inst.min_qty, inst.lot_size)
        try:
            cl_ord_id = self.desk.new_order(
                inst.venue, inst.name, quote.side, inst.qty_text(qty), inst.px_text(price), session=market.session
            )
        except qd.CommandError as e:
            self.refused(market, str(e))
            self.counts.orders_refused += 1
            if f"strategy:{self.desk.strategy} is DISARMED" in str(e):
                self.arm()
        except qd.BusError as e:
            self.unanswered(market, str(e))
        else:
            self.counts.orders_sent += 1
            market.pause = 0.0
            self.place(quote, cl_ord_id, price)

    def arm(self) -> None:
        """A reset after a trip has disarmed us: look at our orders, then say that we are ready again."""
        for session in {m.session for m in self.markets}:
            self.look_at[session] = 0.0
            self.look(session)
        try:
            self.desk.arm("orders looked at after a reset")
        except (qd.CommandError, qd.BusError) as e:  # the next refusal brings us here again
            self.counts.last_refusal = str(e)

    def place(self, quote: Quote, cl_ord_id: str, price: int) -> None:
        """The order with that id stands in this place."""
        quote.cl_ord_id, quote.price, quote.leaving = cl_ord_id, price, False
        self.quote_of[cl_ord_id] = quote

    def cancel(self, market: Market, quote: Quote) -> None:
        """Take one quote off."""
        if self.cancel_id(market, quote.cl_ord_id):
            quote.leaving = True

    def cancel_id(self, market: Market, cl_ord_id: str) -> bool:
        """Ask for a cancel; what comes of it arrives as an event."""
        try:
            self.desk.cancel(cl_ord_id)
        except qd.CommandError as e:  # for one, the order may have been filled meanwhile: look
            self.refused(market, str(e))
            self.look_at[market.session] = 0.0
            return False
        except qd.BusError as e:
            self.unanswered(market, str(e))
            return False
        self.counts.cancels_sent += 1
        return True

    def withdraw(self, market: Market) -> None:
        """No quotes on a book that is not known to be right."""
        for quote in market.quotes:
            if quote.cl_ord_id and not quote.leaving and time.monotonic() >= market.wait_until:
                self.cancel(market, quote)

    def refused(self, market: Market, reason: str) -> None:
        """Slow down here."""
        market.pause = min(max(2 * market.pause, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        market.wait_until = time.monotonic() + market.pause
        self.counts.last_refusal = reason

    def unanswered(self, market: Market, reason: str) -> None:
        """Nobody answered: what became of the command is to be looked up."""
        self.counts.unknown += 1
        self.look_at[market.session] = 0.0
        self.refused(market, reason)

    def stop(self) -> None:
        """Cancel everything of ours and wait until it is gone, a few seconds at most."""
        end = time.monotonic() + STOP_S
        while self.quote_of and time.monotonic() < end:
            for market in self.markets:
                market.wait_until = 0.0
                self.withdraw(market)
            self.listen(0.05)
            self.look_where_due()

    def summary(self) -> dict[str, object]:
        """What it did, by name."""
        return {
            **vars(self.counts),
            "quotes_wanted": sum(len(m.quotes) for m in self.markets),
            "quotes_standing": len(self.quote_of),
        }


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Quotes around the books of a desk.")
    parser.add_argument("config", nargs="?", default="config/desk.toml", help="configuration file or run directory")
    parser.add_argument("--levels", type=int, default=4, help="quotes a side of each instrument")
    parser.add_argument("--notional", type=int, default=500, help="size of a quote in the quote currency")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--keep", action="store_true", help="leave the orders standing at the end")
    return parser.parse_args()


def main() -> int:
    """Quote until told to stop; the exit status."""
    args = arguments()
    stopped: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    end = time.monotonic() + args.seconds
    with qd.connect(args.config, strategy="quoter", timeout=0.5) as desk:
        quoter = Quoter(desk, args.levels, args.notional)
        quoter.start()
        while not stopped and time.monotonic() < end:
            quoter.turn()
            quoter.listen(0.05)
        standing = len(quoter.quote_of)
        if not args.keep:
            quoter.stop()
        print(json.dumps({"standing_before_stop": standing, **quoter.summary()}), flush=True)
        return 0 if args.keep or not quoter.quote_of else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except qd.QuarterdeckError as error:
        sys.exit(f"quoter: {error}")
