"""`qd venues`: what each dialect supports, from the dialects themselves; `--venue V` for one in full words."""

import argparse
import sys

import msgspec
from rich.console import Console

from quarterdeck.venue_facts import all_facts, without_dialect
from quarterdeck.venue_screen import WIDTH, print_table, print_venue


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--venue", default="", metavar="V", help="one dialect, in full words")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    found = all_facts(args.venue)
    if args.json:
        answer = {"venues": found, "without_dialect": without_dialect()}
        sys.stdout.write(msgspec.json.encode(answer, order="sorted").decode() + "\n")
        return 0
    console = Console(highlight=False)
    console.width = max(console.width, WIDTH)
    if args.venue:
        print_venue(console, found)
    else:
        print_table(console, found, without_dialect())
    return 0
