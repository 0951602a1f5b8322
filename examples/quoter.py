"""A quoter: keeps buy and sell orders on several levels around the shared-memory book of every instrument of a desk.

    python examples/quoter.py [CONFIG] [--levels 4] [--seconds 20] [--keep]

It quotes on LIVE books only, takes its quotes off a book that has not been LIVE for a second, moves them when the
market moves, and slows down where it is refused. What it has working from an earlier life it takes over. On SIGTERM or
SIGINT, or when the time is up, it cancels what it placed (unless --keep) and prints one JSON line. An example, not a
strategy.
"""

import argparse
import json
import signal
import sys
import time
from dataclasses import dataclass, field

import quarterdeck as qd

STALE_S = 1.0
STOP_S = 5.0
TURN_S = 0.02
ORDERS_A_TURN = 8  # one venue shall not wait for another
LOOK_AGAIN_S = 0.5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0


@dataclass
class Quote:
    """A place where one order belongs: a side and level of an instrument."""

    side: str
    level: int
    order: qd.Order | None = None
    price: int = 0
    leaving: bool = False  # its cancel is under way


@dataclass
class Market:
    """One instrument and its quotes."""

    instrument: qd.Instrument
    session: str
    quotes: list[Quote]
    book: "qd.Book | None" = None
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
    look_at: dict[str, float] = field(default_factory=dict)  # sessions whose orders must be taken over first, and when

    def start(self) -> None:
        """Make a place for each quote, and have ourselves called."""
        places = [(side, level) for level in range(self.levels) for side in (qd.BUY, qd.SELL)]
        for instrument in self.desk.instruments():
            for session in self.desk.trading_sessions(instrument.venue)[:1]:
                self.markets.append(Market(instrument, session, [Quote(*place) for place in places]))
                self.look_at[session] = 0.0
        for session in self.look_at:
            self.desk.subscribe(f"exec.{session}", replay=True)
        self.desk.on(qd.ExecutionReport, self.executed)
        self.desk.on(qd.Gap, self.missed)
        self.desk.every(TURN_S, self.turn)

    # -- what happens ------------------------------------------------------------------------------------------

    def executed(self, report: qd.ExecutionReport, _: qd.Delivery) -> None:
        """A venue said something of an order; the orders follow it by themselves."""
        self.counts.fills += report.strategy == self.desk.strategy and report.exec_type in {"F", "1", "2"}

    def missed(self, _gap: qd.Gap, _: qd.Delivery) -> None:
        """Events were lost; the orders ask for what that leaves in doubt."""
        self.counts.gaps += 1

    def standing(self) -> list[Quote]:
        """Places with an order that may be working; those whose order is gone are free again."""
        taken = [quote for market in self.markets for quote in market.quotes if quote.order is not None]
        for quote in taken:
            if quote.order is not None and quote.order.done:
                self.counts.rejects += quote.order.state == "REJECTED"
                quote.order, quote.leaving = None, False
        return [quote for quote in taken if quote.order is not None]

    def take_over(self, session: str) -> None:
        """Put what we have working there into its places, and cancel what has none."""
        try:
            found = self.desk.open_orders(session)
        except (qd.BusError, qd.CommandError) as e:
            self.counts.last_refusal = str(e)
            self.look_at[session] = time.monotonic() + LOOK_AGAIN_S
            return
        del self.look_at[session]
        held = [quote.order for quote in self.standing()]
        for order in [o for o in found if o not in held]:
            for market in self.markets:
                if (market.instrument.venue, market.instrument.name) == (order.venue, order.instrument):
                    free = [q for q in market.quotes if q.order is None and q.side == order.side]
                    if free:
                        free[0].order, free[0].price, free[0].leaving = order, order.price or 0, False
                    else:
                        self.cancel(market, order)

    # -- what we do --------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Bring every market's quotes to where they belong."""
        now = time.monotonic()
        for session in [s for s, at in self.look_at.items() if at <= now]:
            self.take_over(session)
        self.standing()
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
            if quote.order is None:
                self.send(market, quote, price)
                sent += 1
            elif not quote.leaving and abs(price - quote.price) > 2 * step:
                self.counts.moves += 1
                quote.leaving = self.cancel(market, quote.order)
                sent += 1

    def send(self, market: Market, quote: Quote, price: int) -> None:
        """Place one quote; a refusal makes this market wait, longer each time."""
        inst = market.instrument
        wanted = self.notional * 10 ** (inst.px_scale + inst.qty_scale) // price
        qty = max(wanted // inst.lot_size * inst.lot_size, inst.min_qty, inst.lot_size)
        quote.price, quote.leaving = price, False
        try:
            quote.order = self.desk.place(
                inst.venue, inst.name, quote.side, inst.qty_text(qty), inst.px_text(price), session=market.session
            )
        except qd.OrderRejected as e:
            self.refused(market, str(e))
            self.counts.orders_refused += 1
            if f"strategy:{self.desk.strategy} is DISARMED" in e.reason:
                self.arm()
        except qd.OrderUncertain as e:
            quote.order = e.order  # it finds out by itself what became of it
            self.unanswered(market, str(e))
        except (qd.BusError, qd.CommandError) as e:
            self.unanswered(market, str(e))
        else:
            self.counts.orders_sent += 1
            market.pause = 0.0

    def arm(self) -> None:
        """A reset after a trip has disarmed us: look at our orders, then say that we are ready again."""
        for session in {m.session for m in self.markets}:
            self.look_at[session] = 0.0
            self.take_over(session)
        try:
            self.desk.arm("orders looked at after a reset")
        except (qd.CommandError, qd.BusError) as e:  # the next refusal brings us here again
            self.counts.last_refusal = str(e)

    def cancel(self, market: Market, order: qd.Order) -> bool:
        """Ask for a cancel; what comes of it shows in the order. Whether it was taken."""
        try:
            order.cancel()
        except qd.CommandError as e:  # for one, it may have been filled meanwhile
            self.refused(market, str(e))
            return False
        except qd.BusError as e:
            self.unanswered(market, str(e))
            return False
        self.counts.cancels_sent += 1
        return True

    def withdraw(self, market: Market) -> None:
        """No quotes on a book that is not known to be right."""
        for quote in market.quotes:
            if quote.order is not None and not quote.leaving and time.monotonic() >= market.wait_until:
                quote.leaving = self.cancel(market, quote.order)

    def refused(self, market: Market, reason: str) -> None:
        """Slow down here."""
        market.pause = min(max(2 * market.pause, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        market.wait_until = time.monotonic() + market.pause
        self.counts.last_refusal = reason

    def unanswered(self, market: Market, reason: str) -> None:
        """Nobody answered."""
        self.counts.unknown += 1
        self.refused(market, reason)

    def stop(self) -> None:
        """Cancel everything of ours and wait until it is gone, a few seconds at most."""
        end = time.monotonic() + STOP_S
        while self.standing() and time.monotonic() < end:
            for market in self.markets:
                market.wait_until = 0.0
                self.withdraw(market)
            self.desk.poll(0.05)

    def summary(self) -> dict[str, object]:
        """What it did, by name."""
        return {
            **vars(self.counts),
            "quotes_wanted": sum(len(m.quotes) for m in self.markets),
            "quotes_standing": len(self.standing()),
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
    with qd.connect(args.config, strategy="quoter", timeout=0.5) as desk:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: desk.stop())
        quoter = Quoter(desk, args.levels, args.notional)
        quoter.start()
        desk.run(args.seconds)
        standing = len(quoter.standing())
        if not args.keep:
            quoter.stop()
        print(json.dumps({"standing_before_stop": standing, **quoter.summary()}), flush=True)
        return 0 if args.keep or not quoter.standing() else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except qd.QuarterdeckError as error:
        sys.exit(f"quoter: {error}")
