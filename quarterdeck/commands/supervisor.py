"""`qd supervisor`: supervisord's programs for a desk."""

import argparse
import sys
from pathlib import Path

from base.config import load
from quarterdeck.supervise import INCLUDE, render_programs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", default="config/desk.toml", help="the desk's configuration")
    parser.add_argument("--write", action="store_true", help=f"write {INCLUDE} instead of printing it")


def run(args: argparse.Namespace) -> int:
    text = render_programs(load(args.config), args.config, "%(here)s/../..")
    if args.write:
        INCLUDE.parent.mkdir(parents=True, exist_ok=True)
        Path(INCLUDE).write_text(text)
        sys.stdout.write(f"{INCLUDE} written\n")
    else:
        sys.stdout.write(text)
    return 0
