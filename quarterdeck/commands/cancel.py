"""`qd cancel ID`: cancel an order by its ClOrdID or the venue's OrderID."""

import argparse
import sys

from base.config import Kind, load
from base.errors import BusError
from ipc.requests import CancelOrder
from quarterdeck.orders import Operator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", help="cl_ord_id or order_id")
    parser.add_argument("--config", default="config/desk.toml", help="the desk's configuration")


def run(args: argparse.Namespace) -> int:
    """Asks each trading process; exit status 0 when one of them sent the cancel."""
    desk = load(args.config)
    reasons = []
    with Operator(desk) as operator:
        for session in desk.sessions(Kind.TRADING):
            try:
                answer = operator.ask(session, CancelOrder(*operator.head(session), args.id, args.id))
            except BusError as e:
                reasons.append(f"{session}: {e}")
                continue
            if answer.accepted:
                sys.stdout.write(f"{session}: cancel sent for {answer.cl_ord_id}\n")
                return 0
            reasons.append(f"{session}: {answer.reason}")
    sys.stderr.write("not cancelled:\n" + "".join(f"  {r}\n" for r in reasons))
    return 1
