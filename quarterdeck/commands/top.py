"""`qd top`: the desk on a full screen, or one frame of it."""

import argparse
import os
import sys
import time

import msgspec
from rich.console import Console

from base.config import load
from base.errors import CommandError
from ipc.view.eyes import Eyes
from quarterdeck.top.app import Top
from quarterdeck.top.pages import PAGES
from quarterdeck.top.picture import picture

SETTLE_S = 5.0
SIZE = "120x36"
RATE_TURNS = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    names = [name.lower() for name, _, _ in PAGES.values()]
    parser.add_argument("config", nargs="?", default="config/desk.toml", help="the desk's configuration")
    parser.add_argument("--page", choices=names, default="desk", help="where to begin")
    parser.add_argument("--once", action="store_true", help="print one page, with all of its rows, and end")
    parser.add_argument("--json", action="store_true", help="the whole view as one JSON object")
    parser.add_argument("--svg", default="", metavar="FILE", help="a picture of the page there")
    parser.add_argument("--size", default=SIZE, metavar="COLUMNSxLINES", help=f"of the picture (default {SIZE})")


def run(args: argparse.Namespace) -> int:
    """Exit status of one frame: 0 when the desk is READY, 3 otherwise; of the screen 0."""
    desk = load(args.config)
    page = next(key for key, (name, _, _) in PAGES.items() if name.lower() == args.page)
    width, height = _size(args.size)
    dumb = os.environ.get("TERM", "dumb") in ("", "dumb", "unknown")
    if not (args.once or args.json or args.svg or dumb) and sys.stdin.isatty() and sys.stdout.isatty():
        from quarterdeck.top.run import watch

        watch(desk, Console(), page)
        return 0
    from quarterdeck.top.run import TURN_S, DeskSource

    with Eyes(desk) as eyes:
        eyes.settle(SETTLE_S, time.sleep)
        if args.svg:  # rates want a while
            for _ in range(RATE_TURNS):
                time.sleep(TURN_S)
                eyes.turn()
        view, top = eyes.view(), Top(DeskSource(eyes), page)
        if args.json:
            sys.stdout.write(msgspec.json.encode(view).decode() + "\n")
        elif args.svg:
            picture(args.svg, top.frame(view, width, height), width, "qd top")
        else:
            console = Console()
            for line in top.whole(view, console.width):
                console.print(line, soft_wrap=True, markup=False, highlight=False)
    return 0 if view.desk.state == "READY" else 3


def _size(text: str) -> tuple[int, int]:
    columns, cross, lines = text.partition("x")
    if not (cross and columns.isdecimal() and lines.isdecimal() and int(columns) and int(lines)):
        raise CommandError(f"--size {text}: expected COLUMNSxLINES, as in {SIZE}")
    return int(columns), int(lines)
