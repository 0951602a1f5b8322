"""`qd doctor`: what is wrong with a running desk, the worst first, and what to do about each. It changes nothing.

Exit status: 0 healthy, 1 something was found, 2 the desk cannot be looked at.
"""

import argparse
import sys

import msgspec

from base.config import load
from base.errors import QuarterdeckError
from quarterdeck.doctor import examine, health_line, healthy
from quarterdeck.doctor_look import look_at


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", default="config/desk.toml", help="the desk's configuration")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    try:
        look = look_at(load(args.config))
    except (QuarterdeckError, OSError) as e:
        sys.stderr.write(f"qd doctor: cannot look: {e}\n")
        return 2
    found = examine(look)
    well = healthy(found)
    if args.json:
        said = {"healthy": well, "findings": found, "desk": look.view.desk}
        sys.stdout.write(msgspec.json.encode(said).decode() + "\n")
    else:
        lines = [str(f) for f in found]
        lines.append(health_line(look.view) if well else f"{sum(f.severity != 'note' for f in found)} finding(s)")
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0 if well else 1
