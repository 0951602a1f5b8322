"""`qd order VENUE INSTRUMENT SIDE QTY [--price P]`: place an order by hand."""

import argparse
import sys

from base.config import DeskConfig, load
from base.errors import CommandError, NumberError
from base.instruments import Instrument
from ipc.requests import NewOrder
from quarterdeck.orders import Operator

SIDES = {"buy": "1", "sell": "2", "1": "1", "2": "2"}
TIMES = {"gtc": "1", "ioc": "3", "fok": "4"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("venue", help="as the configuration names it")
    parser.add_argument("instrument", help="common symbol: BTC-USD")
    parser.add_argument("side", choices=sorted(SIDES), help="Side(54), as a word or its FIX value")
    parser.add_argument("qty", help="decimal, in base currency")
    parser.add_argument("--price", help="decimal; without it the order is a market order")
    parser.add_argument("--tif", choices=sorted(TIMES), default="gtc", help="time in force")
    parser.add_argument("--post-only", action="store_true", help="refused rather than filled at once")
    parser.add_argument("--strategy", default="operator", help="whose order it is")
    parser.add_argument("--config", default="config/desk.toml", help="the desk's configuration")


def instrument_of(desk: DeskConfig, venue: str, name: str) -> Instrument:
    """The configured instrument; CommandError naming what there is."""
    found = desk.instruments.get((venue, name))
    if found is None:
        known = ", ".join(sorted(f"{v} {i}" for v, i in desk.instruments))
        raise CommandError(f"no instrument {venue} {name}; there are: {known}")
    return found


def run(args: argparse.Namespace) -> int:
    """Exit status 0 when the order was accepted for sending, 1 with the reason otherwise."""
    desk = load(args.config)
    instrument = instrument_of(desk, args.venue, args.instrument)
    try:
        qty = instrument.qty(args.qty)
        price = instrument.px(args.price) if args.price else None
    except NumberError as e:
        raise CommandError(f"{args.instrument}: {e}") from None
    with Operator(desk) as operator:
        session = operator.session_of(args.venue, args.instrument)
        command = NewOrder(
            *operator.head(session), args.venue, args.instrument, SIDES[args.side],
            "2" if price is not None else "1", qty, price, None, TIMES[args.tif], args.strategy,
            "post_only" if args.post_only else "",
        )  # fmt: skip
        answer = operator.ask(session, command)
    if not answer.accepted:
        sys.stderr.write(f"refused: {answer.reason}\n")
        return 1
    sys.stdout.write(f"{answer.cl_ord_id}\n")
    return 0
