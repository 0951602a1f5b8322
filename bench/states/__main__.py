"""`python -m bench.states`: the same as `qd kill states`."""

import argparse
import sys

from bench.states.report import run
from bench.states.settings import SETTINGS


def main() -> int:
    """Exit status: see `run`."""
    parser = argparse.ArgumentParser(prog="python -m bench.states", description=__doc__)
    parser.add_argument("world", nargs="*", default=[], help=f"of {', '.join(SETTINGS)}; none: those of the test suite")
    parser.add_argument("--limit", type=int, default=0, help="stop after so many states")
    parser.add_argument("--doubt", type=int, default=0, metavar="N", help="check the key at every Nth meeting")
    parser.add_argument("--json", action="store_true", help="an object a line")
    args = parser.parse_args()
    return run(args.world, limit=args.limit, doubt=args.doubt, as_json=args.json)


if __name__ == "__main__":
    sys.exit(main())
