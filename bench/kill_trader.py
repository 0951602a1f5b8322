"""Who trades while a campaign trips the desk: one venue, two strategies, new orders, replaces and cancels all the time.

    python -m bench.kill_trader CONFIG VENUE SEED RATE OUT

It never waits for an answer, so that a trading process which is stopped holds nothing up. OUT gets a line for each
cancel and replace before it is asked for. A line "burst N" on standard input has it place one resting order N times.
"""

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Final

import zmq

from base.clock import SystemClock
from base.config import load
from base.errors import BusError
from base.instruments import Instrument
from bench.kill_desk import STRATEGIES, TRADING
from ipc.command_client import CommandClient
from ipc.requests import CancelOrder, ListOrders, NewOrder, ReplaceOrder
from ipc.roster import command_endpoint

MOST_OPEN: Final = 14
LOOK_S: Final = 1.0
MARKET: Final = {"BTC": 60_000, "ETH": 3_000}
NOTIONAL: Final = 200


class Trader:
    """Everything it knows."""

    def __init__(self, config: str, venue: str, seed: str, out: Path) -> None:
        desk = load(config)
        self.venue, self.session = venue, TRADING[venue]
        self.dice = random.Random(seed)
        self.instruments = desk.venue_instruments(venue)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.client = CommandClient(self.context, command_endpoint(desk, self.session), f"t-{venue}", SystemClock())
        self.open: dict[str, Instrument] = {}
        self._placed: dict[str, Instrument] = {}  # by command id, not answered yet
        self._list_id = ""
        self._list_at = 0.0
        self._out = out.open("a", buffering=1)

    def turn(self) -> None:
        """One action, if its process can be spoken to."""
        self.hear()
        if not self.client.connected:
            return
        if time.monotonic() >= self._list_at:
            self._list_at = time.monotonic() + LOOK_S
            self._list_id = self.client.next_command_id()
            self.client.send(ListOrders(self.client.client_id, self._list_id, 0))
        roll = self.dice.random()
        if self.open and (roll < 0.25 or len(self.open) >= MOST_OPEN):
            cl_ord_id = self.dice.choice(list(self.open))
            instrument = self.open.pop(cl_ord_id)
            self.note("cancel", cl_ord_id)
            command_id = self.client.next_command_id()
            self.client.send(CancelOrder(self.client.client_id, command_id, 0, cl_ord_id, instrument=instrument.name))
        elif self.open and roll < 0.4:
            self.replace()
        else:
            self.place(crosses=self.dice.random() < 0.15)

    def hear(self) -> None:
        """Answers."""
        for answer in self.client.receive():
            placed = self._placed.pop(answer.command_id, None)
            if placed is not None and answer.accepted:
                self.open[answer.cl_ord_id] = placed
            elif answer.command_id == self._list_id and answer.accepted:
                names = {i.name: i for i in self.instruments}
                self.open = {o.cl_ord_id: names[o.instrument] for o in answer.orders}

    def place(self, *, crosses: bool) -> None:
        """A quote some percent behind the market, or an order that trades at once."""
        instrument = self.dice.choice(self.instruments)
        away = -0.01 if crosses else self.dice.uniform(0.03, 0.08)
        self.send(instrument, self.dice.choice("12"), away, "3" if crosses else "1", self.dice.choice(STRATEGIES))

    def send(self, instrument: Instrument, side: str, away: float, time_in_force: str, strategy: str) -> None:
        """One new order, so far from the market."""
        command_id = self.client.next_command_id()
        self._placed[command_id] = instrument
        self.client.send(
            NewOrder(
                client_id=self.client.client_id, command_id=command_id, deadline_ns=time.time_ns() + 10**9,
                venue=self.venue, instrument=instrument.name, side=side, ord_type="2", order_qty=qty_of(instrument),
                price=price_of(instrument, side, away), time_in_force=time_in_force, strategy=strategy,
            )
        )  # fmt: skip

    def replace(self) -> None:
        """Another price for one of ours; its next name comes with the next list."""
        cl_ord_id = self.dice.choice(list(self.open))
        instrument = self.open.pop(cl_ord_id)
        self.note("replace", cl_ord_id)
        price = price_of(instrument, "1", self.dice.uniform(0.03, 0.08))
        command_id = self.client.next_command_id()
        self.client.send(ReplaceOrder(self.client.client_id, command_id, 0, cl_ord_id, qty_of(instrument), price))

    def note(self, verb: str, cl_ord_id: str) -> None:
        """A line of OUT, before the command leaves."""
        self._out.write(json.dumps({"ns": time.time_ns(), "verb": verb, "id": cl_ord_id}) + "\n")


def price_of(instrument: Instrument, side: str, away: float) -> int:
    """So much of the price behind the market (negative: through it), on the instrument's grid."""
    market = MARKET[instrument.name.partition("-")[0]] * 10**instrument.px_scale
    px = int(market * (1 - away if side == "1" else 1 + away))
    return px // instrument.tick_size * instrument.tick_size


def qty_of(instrument: Instrument) -> int:
    """About NOTIONAL in the quote currency, in lots."""
    market = MARKET[instrument.name.partition("-")[0]]
    wanted: int = NOTIONAL * 10**instrument.qty_scale // market
    return max(wanted // instrument.lot_size * instrument.lot_size, instrument.min_qty)


def main(config: str, venue: str, seed: str, rate: str, out: str) -> int:
    """Trade until standard input ends."""
    trader = Trader(config, venue, seed, Path(out))
    os.set_blocking(sys.stdin.fileno(), False)
    bursts = 0
    while True:
        try:
            told = os.read(sys.stdin.fileno(), 4096)
            if not told:
                break
            bursts += sum(int(line.split()[1]) for line in told.splitlines())
        except BlockingIOError:
            pass  # nothing was said
        try:
            trader.turn()
            while bursts and trader.client.connected:
                bursts -= 1
                trader.send(trader.instruments[0], "1", 0.05, "1", STRATEGIES[0])
        except BusError:
            pass  # too busy to take a command: the next turn tries another
        time.sleep(trader.dice.expovariate(float(rate)))
    trader.client.close()
    trader.context.destroy(linger=0)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
