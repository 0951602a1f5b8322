"""A strategy of the soak, as a process of its own: trades one venue at random through the public client, for ever.

    python -m bench.soak_trader CONFIG VENUE SEED RATE OUT

OUT gets a JSON line for each command that was answered or given up, flushed at once, so that a SIGKILL loses none. On
SIGTERM it stops placing, cancels what it has and ends.
"""

import json
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

import quarterdeck as qd
from ipc.events import Position

OPEN: Final = {"PENDING_NEW", "NEW", "PARTIALLY_FILLED", "PENDING_CANCEL", "PENDING_REPLACE", "UNCERTAIN"}
MOST_OPEN: Final = 24
TIMEOUT_S: Final = 0.5
TRIES: Final = 40  # of one command whose answer does not come; the same command id each time
STOP_S: Final = 8.0
NOTIONAL: Final = 400


class Trader:
    """Everything it knows; one thread."""

    def __init__(self, desk: qd.Desk, venue: str, seed: str, out: Path) -> None:
        self.desk = desk
        self.dice = random.Random(seed)
        self.instruments = desk.instruments(venue)
        self.session = desk.trading_sessions(venue)[0]
        self.open: dict[str, tuple[qd.Instrument, int]] = {}
        self.position = dict.fromkeys((i.name for i in self.instruments), 0)
        self.stopping = False
        self._out = out.open("a", buffering=1)
        self._count = 0
        self._look_at = 0.0

    def start(self) -> None:
        """Subscribe; what an earlier life left open is found by asking."""
        self.desk.subscribe(f"exec.{self.session}", replay=True)

    def listen(self, seconds: float) -> None:
        """Take in what the desk says of our orders."""
        for delivery in self.desk.poll(seconds):
            event = delivery.event
            if isinstance(event, qd.Gap):
                self._look_at = 0.0
            elif isinstance(event, qd.OrderState) and event.strategy == self.desk.strategy:
                self.order(event)
            elif isinstance(event, Position):
                self.position[event.instrument] = event.position

    def order(self, event: qd.OrderState) -> None:
        """One of our orders changed; a replace may have given it another id."""
        instrument = next((i for i in self.instruments if i.name == event.instrument), None)
        if event.state in OPEN and instrument is not None:
            self.open[event.cl_ord_id] = (instrument, event.order_qty)
        else:
            self.open.pop(event.cl_ord_id, None)

    def look(self) -> None:
        """Ask which orders are open."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + 5.0
        try:
            orders = self.desk.orders(session=self.session)
        except (qd.BusError, qd.CommandError):
            return
        self.open.clear()
        for order in orders:
            self.order(order)

    # -- what it does ----------------------------------------------------------------------------------------

    def turn(self) -> None:
        """One action."""
        self.look()
        roll = self.dice.random()
        if self.open and (roll < 0.3 or len(self.open) >= MOST_OPEN):
            self.say("cancel", self.dice.choice(list(self.open)), self.desk.cancel)
        elif self.open and roll < 0.42:
            self.replace()
        elif 0.42 <= roll < 0.424:
            self.say("cancel_all", "", lambda _: self.desk.cancel_all(self.session))
        else:
            self.place()

    def top(self, instrument: qd.Instrument) -> tuple[int, int] | None:
        """Best bid and offer of a LIVE book."""
        try:
            bid, bid_qty, ask, ask_qty = self.desk.book(instrument.venue, instrument.name).bbo()
        except (qd.BookError, qd.RegionError):
            return None
        return (bid, ask) if bid_qty and ask_qty else None

    def place(self) -> None:
        """A quote behind the market, an order that crosses it, or one at market."""
        i = self.dice.choice(self.instruments)
        top = self.top(i)
        if top is None:
            return
        side = self.dice.choice((qd.BUY, qd.SELL))
        if abs(self.position[i.name]) > 20 * self.qty(i, top[0]):
            side = qd.SELL if self.position[i.name] > 0 else qd.BUY
        tick = i.tick_size
        away = max(tick, top[0] // 10_000 // tick * tick) * self.dice.choice((-3, -1, 0, 1, 1, 2, 3, 5, 8))
        price = (top[0] - away if side == qd.BUY else top[1] + away) // tick * tick
        hit = away < 0 and self.dice.random() < 0.5
        qty = i.qty_text(self.qty(i, top[0]) * self.dice.randint(1, 4))
        px = None if self.dice.random() < 0.03 else i.px_text(price)
        self._count += 1
        command_id = f"{self.desk.client_id}#{self._count}"

        def new(_: str) -> str:
            return self.desk.new_order(
                i.venue, i.name, side, qty, px, session=self.session, command_id=command_id,
                time_in_force="3" if hit else "1",
            )  # fmt: skip

        placed = self.say("new", command_id, new)
        if placed:
            self.open[placed] = (i, 0)

    def qty(self, i: qd.Instrument, px: int) -> int:
        """About NOTIONAL in the quote currency, in lots."""
        wanted: int = NOTIONAL * 10 ** (i.px_scale + i.qty_scale) // px
        return max(wanted // i.lot_size * i.lot_size, i.min_qty, i.lot_size)

    def replace(self) -> None:
        """Another price for one of ours."""
        cl_ord_id, (i, qty) = self.dice.choice(list(self.open.items()))
        top = self.top(i)
        if top is None or not qty:
            return
        price = (top[0] - self.dice.randint(1, 40) * i.tick_size) // i.tick_size * i.tick_size
        self.say("replace", cl_ord_id, lambda o: self.desk.replace(o, i.qty_text(qty), i.px_text(price)))

    def say(self, verb: str, name: str, act: Callable[[str], str | None]) -> str:
        """Give a command until it is answered; a new order's ClOrdID, "" otherwise."""
        for attempt in range(TRIES):
            try:
                said = act(name)
            except qd.CommandError as e:
                self.open.pop(name, None)
                self.note(verb, name, "refused", str(e), attempt)
                return ""
            except qd.BusError as e:
                # Only a new order carries its command id: it is repeated, since nobody knows what became of it.
                if verb != "new" or self.stopping:
                    self.note(verb, name, "unanswered", str(e), attempt)
                    return ""
                self.listen(0.05)
                continue
            self.note(verb, name, "accepted", said or "", attempt)
            return said or ""
        self.note(verb, name, "unanswered", "given up", TRIES)
        return ""

    def note(self, verb: str, name: str, result: str, said: str, attempt: int) -> None:
        """A line of OUT."""
        line = {"ns": time.time_ns(), "verb": verb, "id": name, "result": result, "said": said, "attempt": attempt}
        self._out.write(json.dumps(line) + "\n")

    def stop(self) -> bool:
        """Cancel everything of ours; whether it is gone."""
        end = time.monotonic() + STOP_S
        while time.monotonic() < end:
            self._look_at = 0.0
            self.look()
            if not self.open:
                return True
            for cl_ord_id in list(self.open):
                self.say("cancel", cl_ord_id, self.desk.cancel)
            self.listen(0.2)
        return False


def main(config: str, venue: str, seed: str, rate: str, out: str) -> int:
    """Trade until told to stop; 0 when nothing of it is left open."""
    stopped: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with qd.connect(config, strategy=f"soak-{venue}", timeout=TIMEOUT_S) as desk:
        trader = Trader(desk, venue, seed, Path(out))
        trader.start()
        due = time.monotonic()
        while not stopped:
            trader.turn()
            due = max(due + trader.dice.expovariate(float(rate)), time.monotonic() - 0.2)
            while (left := due - time.monotonic()) > 0 and not stopped:
                trader.listen(left)
        trader.stopping = True
        return 0 if trader.stop() else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
