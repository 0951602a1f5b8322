"""`qd session show|reset NAME`: sequence numbers of a session whose process is stopped.

A session that HALTED because numbers disagree names this command: agree with the venue on the numbers, stop the process
(`supervisorctl stop`), set them, start it again.
"""

import argparse
import sys
from pathlib import Path

import msgspec

from base.clock import SystemClock
from base.config import load
from base.errors import CommandError, ConfigError
from base.locks import RoleLock
from quarterdeck.logon_preview import make_session
from venues.context import session_context


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("show", "reset"), help="show the numbers, or set them")
    parser.add_argument("session", help="its name in the configuration")
    parser.add_argument("--next-out", type=int, default=1, help="MsgSeqNum of our next message")
    parser.add_argument("--next-in", type=int, default=1, help="MsgSeqNum expected next from the venue")
    parser.add_argument("--sender-comp-id", default="", help="whose numbers; the configured one unless said")
    parser.add_argument("--reason", default="", help="why; required for reset, kept in the log")
    parser.add_argument("--config", default="config/desk.toml", help="the desk's configuration")


def run(args: argparse.Namespace) -> int:
    desk = load(args.config)
    config = desk.config.session.get(args.session)
    if config is None:
        raise ConfigError(f"{desk.path}: no session {args.session!r}; there are {sorted(desk.config.session)}")
    if args.what == "reset" and not args.reason:
        raise CommandError("reset: --reason is required")
    if min(args.next_out, args.next_in) < 1:
        raise CommandError("--next-out and --next-in are at least 1")
    clock = SystemClock()
    owner = "killswitch" if args.session in desk.config.kill.sessions else args.session
    lock = RoleLock(desk.run_dir / "lock" / owner)
    lock.acquire(clock.wall_ns())  # names the process when it still runs: its numbers are its own
    try:
        context = session_context(desk, args.session, clock.wall_ns(), args.sender_comp_id)
        session = make_session(desk, config.kind, config.venue, msgspec.structs.replace(context, log_dir=Path()))
        if args.what == "reset":
            session.reset_numbers(args.next_out, args.next_in, f"operator: {args.reason}", clock.wall_ns())
        next_out, next_in = session.numbers()
        session.close()
    finally:
        lock.release()
    own = context.sender_comp_id
    sys.stdout.write(f"{args.session} ({own}): next out {next_out}, next in {next_in}\n")
    return 0
