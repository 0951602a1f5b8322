"""`qd sim VENUE --port P`: a simulated venue of its own; `qd sim fault VENUE KIND [k=v ...]`: faults on a running one.

`qd sim stats VENUE`, `qd sim working VENUE` and `qd sim kinds VENUE` ask the running one. docs/simvenue.md.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from base.clock import SystemClock
from base.config import DeskConfig, load
from base.errors import CommandError, ConfigError
from sim.client import call, control_in
from sim.desk import ensure_secrets, instruments_of, setup_of, standalone
from sim.run import build, credentials_file, print_line, serve, source_of
from sim.server import SimServer

ASKED = {"stats": "/stats", "working": "/working", "kinds": "/kinds", "faults": "/faults"}
DEFAULT_CONFIG = Path("config/desk.toml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", help="a dialect or venue to simulate; or: fault, clear, stats, working, kinds, faults")
    parser.add_argument("arguments", nargs="*", help="fault: VENUE KIND [k=v ...]; others: VENUE")
    parser.add_argument("--port", type=int, default=0, help="port that accepts every service (0: any free one)")
    parser.add_argument("--plain", action="store_true", help="without TLS (loopback only)")
    parser.add_argument("--replay", default="", help="a recording, or a directory of them, as the market")
    parser.add_argument("--speed", default="1", help="replay: 1 = as recorded, N times, or max")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random flow")
    parser.add_argument("--rate", type=int, default=200, help="flow: actions a second on each instrument")
    parser.add_argument("--config", default="", help="take venue, instruments and credentials from this desk")
    parser.add_argument("--any-logon", action="store_true", help="accept any credentials")
    parser.add_argument("--run-dir", default="", help="where address, CA and credentials are written")


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted, or one call to a running venue."""
    if args.what == "fault":
        return _fault(args)
    if args.what == "clear" or args.what in ASKED:
        venue = _one_venue(args)
        method, path = ("DELETE", "/faults") if args.what == "clear" else ("GET", ASKED[args.what])
        print_line(call(_control_of(args, venue), method, path))
        return 0
    if args.arguments:
        raise CommandError(f"qd sim {args.what}: unexpected {' '.join(args.arguments)}")
    return _serve(args)


def _serve(args: argparse.Namespace) -> int:
    clock = SystemClock()
    if args.config:
        desk = load(args.config)
        dialect, run_dir = _dialect_of(desk, args.what), Path(args.run_dir or desk.run_dir)
        ensure_secrets(desk)
        setup = setup_of(desk, args.what)
        setup.any_logon = args.any_logon
    else:
        dialect = args.what
        run_dir = Path(args.run_dir or tempfile.mkdtemp(prefix=f"qd-sim-{args.what}-"))
        instruments = instruments_of(dialect, dialect, Path(args.replay)) if args.replay else []
        setup = standalone(dialect, instruments, args.any_logon, args.seed, args.rate)
    run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    venue = build(dialect, setup, clock)
    source = source_of(venue, args.replay, args.speed)
    server = SimServer(venue, clock, run_dir, args.plain, args.port)
    extra: dict[str, Any] = {"address_file": str(server.address_file), "any_logon": args.any_logon}
    if not args.config:
        extra["credentials_file"] = str(credentials_file(setup, run_dir))
        extra["instruments"] = {i.name: i.symbol for i in setup.instruments}
    asyncio.run(serve(server, source, announce=lambda address: print_line({**address, **extra})))
    return 0


def _dialect_of(desk: DeskConfig, venue: str) -> str:
    if venue not in desk.config.sim:
        raise ConfigError(f"{desk.path}: no [sim.{venue}]; there are {sorted(desk.config.sim)}")
    return desk.config.venue[venue].dialect


# -- calls to a running venue -------------------------------------------------------------------------------------


def _fault(args: argparse.Namespace) -> int:
    if len(args.arguments) < 2:
        raise CommandError("qd sim fault VENUE KIND [k=v ...]; `qd sim kinds VENUE` lists the kinds")
    venue, kind, *pairs = args.arguments
    arguments = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise CommandError(f"qd sim fault: {pair!r} is not of the form k=v")
        arguments[name] = value
    said = call(_control_of(args, venue), "POST", "/fault", {"kind": kind, "arguments": arguments})
    print_line(said)
    return 0


def _one_venue(args: argparse.Namespace) -> str:
    if len(args.arguments) != 1:
        raise CommandError(f"qd sim {args.what} VENUE")
    return str(args.arguments[0])


def _control_of(args: argparse.Namespace, venue: str) -> str:
    run_dir = Path(args.run_dir) if args.run_dir else load(args.config or DEFAULT_CONFIG).run_dir
    return control_in(run_dir, venue)


if __name__ == "__main__":
    _parser = argparse.ArgumentParser(prog="qd sim")
    add_arguments(_parser)
    sys.exit(run(_parser.parse_args()))
