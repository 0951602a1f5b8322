"""`qd soak`: a whole desk on simulated venues, something broken every few seconds; nothing may be lost or doubled."""

import argparse
import importlib
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=30.0, help="how long faults go on")
    parser.add_argument("--seed", type=int, default=1, help="of faults, strategies and markets")
    parser.add_argument("--every", type=float, default=2.0, metavar="S", help="mean time between faults")
    parser.add_argument("--rate", type=float, default=12.0, help="commands a second of each of the three strategies")
    parser.add_argument("--flow", type=int, default=40, help="actions of the crowd a second on each instrument")
    parser.add_argument("--calm", action="store_true", help="no faults")
    parser.add_argument("--dir", default="", help="folder for everything, which must not exist; kept")
    parser.add_argument("--keep", action="store_true", help="keep the folder also when everything was right")
    parser.add_argument("--report", default="", metavar="FILE", help="write the report there, and FILE.json beside it")
    parser.add_argument("--json", action="store_true", help="one JSON object in place of the table")


def run(args: argparse.Namespace) -> int:
    """Exit status 0: nothing lost, nothing doubled, nothing left open; 1 otherwise."""
    try:
        soak = importlib.import_module("bench.soak")
    except ModuleNotFoundError as e:
        sys.stderr.write(f"qd soak: {e}; the soak needs the bench package\n")
        return 2
    options = soak.Options(
        seconds=args.minutes * 60, seed=args.seed, every_s=args.every, rate=args.rate, flow=args.flow,
        folder=args.dir, keep=args.keep or bool(args.dir), calm=args.calm,
    )  # fmt: skip
    status: int = soak.run(options, as_json_line=args.json, report_file=args.report)
    return status
