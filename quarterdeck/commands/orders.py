"""`qd orders`: what is working, as the trading processes know it."""

import argparse
import sys
import time

import msgspec
from rich.table import Table

from base.config import load
from base.decimals import format_scaled
from ipc.events import OrderState
from quarterdeck.orders import Operator
from quarterdeck.screen import print_whole

COLUMNS = {
    "cl_ord_id": "cl_ord_id", "venue": "venue", "instrument": "instrument", "side": "side", "qty": "order_qty",
    "price": "price", "filled": "cum_qty", "state": "state", "s": "since_ns", "strategy": "strategy",
    "reason": "reason",
}  # fmt: skip
RIGHT = ("order_qty", "price", "cum_qty", "since_ns")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--all", action="store_true", help="finished orders too")
    parser.add_argument("--config", default="config/desk.toml", help="the desk's configuration")


def as_dict(order: OrderState) -> dict[str, object]:
    """An order with decimal text in place of scaled integers."""
    q, p = order.qty_scale, order.px_scale
    return {
        "venue": order.venue, "session": order.session, "instrument": order.instrument,
        "cl_ord_id": order.cl_ord_id, "order_id": order.order_id, "state": order.state,
        "side": "buy" if order.side == "1" else "sell", "ord_type": order.ord_type,
        "time_in_force": order.time_in_force, "order_qty": format_scaled(order.order_qty, q),
        "price": format_scaled(order.price, p) if order.price is not None else "",
        "cum_qty": format_scaled(order.cum_qty, q), "leaves_qty": format_scaled(order.leaves_qty, q),
        "strategy": order.strategy, "since_ns": order.since_ns, "reason": order.reason,
    }  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Exit status 3 when a trading process did not answer: the list is then not the whole truth."""
    with Operator(load(args.config)) as operator:
        orders, silent = operator.orders(open_only=not args.all)
    if args.json:
        answer = {"orders": [as_dict(o) for o in orders], "unanswered": silent}
        sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
        return 3 if silent else 0
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name, key in COLUMNS.items():
        table.add_column(name, justify="right" if key in RIGHT else "left")
    for o in map(as_dict, orders):
        age_s = (time.time_ns() - int(str(o["since_ns"]))) // 1_000_000_000
        table.add_row(*(str(age_s if key == "since_ns" else o[key]) for key in COLUMNS.values()))
    if orders:
        print_whole(table)
    else:
        sys.stdout.write("no orders\n")
    for line in silent:
        sys.stderr.write(f"NO ANSWER {line}\n")
    return 3 if silent else 0
