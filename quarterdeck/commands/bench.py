"""`qd bench NAME`: a benchmark with its peer in the same run."""

import argparse
import importlib
import sys

NAMES = (
    "codec",
    "book",
    "bus",
    "store",
    "orders",
    "pipeline",
    "kill",
    "word",
    "memory",
    "metrics",
    "ledger",
    "rate",
    "fixlog",
    "pretrade",
    "desk",
    "monitor",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=(*NAMES, "all"), help="which: docs/performance.md says what each measures")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--trips", type=int, default=0, metavar="N", help="kill: trips of each cell (200)")
    parser.add_argument("--seconds", type=int, default=0, metavar="N", help="desk: of each round (8)")


def run(args: argparse.Namespace) -> int:
    """Exit status 0 when every figure reached its mark, 4 otherwise."""
    wanted = NAMES if args.name == "all" else (args.name,)
    worst = 0
    for name in wanted:
        try:
            module = importlib.import_module(f"bench.{name}")
        except ModuleNotFoundError as e:
            sys.stderr.write(f"qd bench {name}: {e}; benchmarks need requirements/dev.txt\n")
            return 2
        more = {"trips": args.trips} if args.trips and name == "kill" else {}
        more |= {"seconds": args.seconds} if args.seconds and name == "desk" else {}
        worst = max(worst, module.run(args.json, **more))
    return worst
