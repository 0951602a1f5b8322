"""`qd check CONFIG`: everything about a configuration that can be known before the desk starts."""

import argparse
import sys
from pathlib import Path

from base.config import load
from base.errors import QuarterdeckError
from quarterdeck.config_problems import problems
from quarterdeck.logon_preview import preview
from quarterdeck.redundancy_words import redundancy_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", default="config/desk.toml", help="the desk's configuration")


def run(args: argparse.Namespace) -> int:
    """Exit status 0 when nothing is wrong, 1 otherwise. Prints what each session's logon will look like, masked."""
    desk = load(Path(args.config))
    found = problems(desk)
    for name in desk.config.session:
        try:
            sys.stdout.write(f"{name}: {preview(desk, name)}\n")
        except QuarterdeckError as e:
            sys.stdout.write(f"{name}: no logon to show: {e}\n")
    for words in redundancy_words(desk):
        sys.stdout.write(f"{words}\n")
    sys.stdout.flush()  # what is wrong comes after it, wherever both go
    for line in found:
        sys.stderr.write(f"{line}\n")
    sys.stdout.write("nothing wrong\n" if not found else f"{len(found)} problem(s)\n")
    return 1 if found else 0
