"""`python -m bench.states`: searches every state of the kill switch, and prints how many there are."""

import argparse
import sys

from bench.states.search import Search
from bench.states.settings import SETTINGS, SUITE
from bench.states.world import BrokenRuleError


def main() -> int:
    """Exit status 1 when a state breaks a rule; the way to it is printed."""
    parser = argparse.ArgumentParser(prog="python -m bench.states", description=__doc__)
    parser.add_argument("world", nargs="*", default=[], help=f"of {', '.join(SETTINGS)}; none: those of the test suite")
    parser.add_argument("--limit", type=int, default=0, help="stop after so many states")
    args = parser.parse_args()
    for name in args.world or SUITE:
        try:
            found = Search(SETTINGS[name], args.limit).run()
        except BrokenRuleError as e:
            sys.stdout.write(f"{name}: WRONG: {e}\n")
            return 1
        sys.stdout.write(found.line() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
