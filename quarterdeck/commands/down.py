"""`qd down`: stop a desk in order; sessions cancel first what their `on_stop` says."""

import argparse
import sys

from base.config import load
from quarterdeck import supervisord


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", default="config/desk.toml", help="the desk's configuration")


def run(args: argparse.Namespace) -> int:
    desk = load(args.config)
    if not supervisord.running(desk) and not supervisord.orphans(desk):
        sys.stdout.write(f"desk {desk.config.desk.name} does not run\n")
        return 0
    supervisord.stop(desk)
    sys.stdout.write(f"desk {desk.config.desk.name} stopped\n")
    return 0
