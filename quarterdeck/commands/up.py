"""`qd up`: start a desk under supervisord and wait until it is ready."""

import argparse
import sys

from base.config import load
from ipc.view.status import read_desk
from quarterdeck import supervisord


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", default="config/desk.toml", help="the desk's configuration")
    parser.add_argument(
        "--foreground", action="store_true", help="become supervisord, as systemd wants it; waits for nothing"
    )
    parser.add_argument("--wait", type=float, default=60, metavar="SECONDS", help="for every process to be ready")


def run(args: argparse.Namespace) -> int:
    """Exit status 3 when the desk runs but is not ready in time."""
    desk = load(args.config)
    if args.foreground:
        supervisord.become(desk)
    supervisord.start(desk)
    ready = supervisord.wait_until(lambda: read_desk(desk).ready, args.wait)
    view = read_desk(desk)
    text = (
        f"sessions ready {view.sessions_ready}/{view.sessions_total}, books live {view.books_live}/{view.books_total}"
    )
    sys.stdout.write(f"desk {view.desk}: {text}, kill switch {view.gate}\n")
    for p in view.processes:
        if p.readiness != "READY":
            sys.stdout.write(f"  {p.name}: {p.readiness} {p.reason}\n")
    return 0 if ready else 3
