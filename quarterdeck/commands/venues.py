"""`qd venues`: what each dialect supports, asked of them; `--venue V` in full words, `--config FILE` a desk's."""

import argparse
import sys

import msgspec
from rich.console import Console

from base.config import load
from quarterdeck.venue_facts import all_facts, facts_of_desk, without_dialect
from quarterdeck.venue_screen import WIDTH, print_table, print_venue


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--venue", default="", metavar="V", help="one dialect, in full words")
    parser.add_argument("--config", default="", metavar="FILE", help="the venues of a desk, as it configures them")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    found = facts_of_desk(load(args.config), args.venue) if args.config else all_facts(args.venue)
    without = [] if args.config else without_dialect()
    if args.json:
        answer = {"venues": found, "without_dialect": without}
        sys.stdout.write(msgspec.json.encode(answer, order="sorted").decode() + "\n")
        return 0
    console = Console(highlight=False)
    console.width = max(console.width, WIDTH)
    if args.venue:
        print_venue(console, found)
    else:
        print_table(console, found, without)
    return 0
