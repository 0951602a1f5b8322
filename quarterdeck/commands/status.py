"""`qd status`: processes, sessions and books of a running desk."""

import argparse
import sys

import msgspec
from rich.console import Console

from base.config import load
from ipc.view.status import read_desk
from quarterdeck.screen import desk_screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", default="config/desk.toml", help="the desk's configuration")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Exit status 0 when every process is READY and every book LIVE, 3 otherwise."""
    view = read_desk(load(args.config))
    if args.json:
        sys.stdout.write(msgspec.json.encode(view).decode() + "\n")
    else:
        Console().print(desk_screen(view))
    return 0 if view.ready else 3
