"""`qd fixlog`: the FIX logs in words: by time, type, order and session; followed live; one order's life."""

import argparse
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import groupby
from pathlib import Path

from base.config import DeskConfig, load
from base.errors import CommandError
from fix.fixlog_life import life_of
from fix.fixlog_reader import Filter, Follower, Log, Tally, merged
from quarterdeck.fixlog_screen import Names, Screen, Source, moment, now_utc, reader, sources, tell

_LOOK_S = 0.1
_SETTLE_S = 0.25
"""The logs of all sessions are written by then: each is flushed every 50 ms."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--session", action="append", default=[], metavar="S", help="of the configuration; repeatable")
    parser.add_argument("--since", default="", metavar="T", help="15m (ago), 08:00, 2026-11-22T08:00 (UTC)")
    parser.add_argument("--until", default="", metavar="T", help="the same; not part of the span")
    parser.add_argument("--type", default="", metavar="D,8", help="MsgTypes")
    parser.add_argument("--order", default="", metavar="ID", help="messages with this ClOrdID, OrigClOrdID or OrderID")
    parser.add_argument("--life", default="", metavar="ID", help="one order's life, over replacements and sessions")
    parser.add_argument("--follow", action="store_true", help="go on as the logs grow")
    parser.add_argument("--raw", action="store_true", help="messages as they are, with | for SOH")
    parser.add_argument("--full", action="store_true", help="long messages whole")
    parser.add_argument("--stats", action="store_true", help="lines, bytes and rate at the end")
    parser.add_argument("--folder", default="", help="logs that lie there, without a configuration")
    parser.add_argument("--config", default="config/desk.toml", help="the desk's configuration")


def run(args: argparse.Namespace) -> int:
    """Exit status 3 when an order is in no log."""
    if args.life and (args.follow or args.raw or args.order or args.type):
        raise CommandError("--life shows whole lives: without --follow, --raw, --order and --type")
    desk = None if args.folder else load(args.config)
    folder = Path(args.folder) if args.folder else None
    logs = sources(desk, folder, args.session)
    now = now_utc()
    wanted = Filter(
        since=moment(args.since, now, "--since"), until=moment(args.until, now, "--until"),
        msg_types=frozenset(filter(None, args.type.split(","))), ids=frozenset(filter(None, [args.order])),
    )  # fmt: skip
    names = Names(desk, logs)
    screen = Screen(names, logs, args.raw, args.full, sys.stdout.isatty())
    tally, begin = Tally(tell), time.perf_counter()
    status = 0
    try:
        if args.life:
            status = _lives(args.life, desk, logs, wanted, screen, tally)
        elif args.follow:
            _follow(lambda: sources(desk, folder, args.session), names, wanted, screen, tally)
        else:
            for line in merged(Log(source.path, tally, wanted) for source in logs):
                sys.stdout.write(screen.message(line))
    finally:
        if tally.bad:
            tell(f"{tally.bad} lines could not be read")
        if args.stats:
            seconds = max(time.perf_counter() - begin, 1e-9)
            rate = f"{tally.bytes / seconds / 1e6:.1f} MB/s, {tally.lines / seconds:,.0f} lines/s"
            tell(f"{tally.lines:,} lines, {tally.bytes / 1e6:.1f} MB in {seconds:.2f} s: {rate}")
    return status


def _lives(
    order: str, desk: DeskConfig | None, logs: list[Source], wanted: Filter, screen: Screen, tally: Tally
) -> int:
    """An id belongs to one venue: each venue's logs are asked for themselves."""
    found = 0

    def venue_of(source: Source) -> str:
        return source.venue if desk is not None else ""

    for venue, group in groupby(sorted(logs, key=venue_of), key=venue_of):
        life = life_of(reader(list(group), tally, wanted), order)
        if life.lines:
            found += 1
            sys.stdout.writelines(screen.life(life, order, f"at {venue}" if venue else "in these logs"))
    if not found:
        tell(f"order {order}: in none of {len(logs)} logs")
    return 0 if found else 3


def _follow(logs: Callable[[], list[Source]], names: Names, wanted: Filter, screen: Screen, tally: Tally) -> None:
    """Until interrupted, or `--until` has passed. Without --since only what comes from now on."""
    if not wanted.since:
        wanted = Filter(moment("0s", now_utc(), "--since"), wanted.until, wanted.msg_types, wanted.ids)
    follower, known = Follower([]), set[Path]()
    try:
        while True:
            for source in logs():  # a session that starts later has its log later
                if source.path not in known:
                    known.add(source.path)
                    names.add(source)
                    follower.add(Log(source.path, tally, wanted))
            settled = (now_utc() - timedelta(seconds=_SETTLE_S)).strftime("%Y%m%d-%H:%M:%S.%f").encode()
            for line in follower.turn(settled):
                sys.stdout.write(screen.message(line))
            sys.stdout.flush()
            if wanted.until and settled >= wanted.until:
                return
            time.sleep(_LOOK_S)
    finally:
        follower.close()
