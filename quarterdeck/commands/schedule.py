"""`qd schedule [VENUE] --next 14d`: what comes at the venues: windows, rollovers, releases, and what the desk does."""

import argparse
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from base.calendar import SECOND_NS
from base.config import load
from base.errors import CommandError
from quarterdeck.schedule_view import Event, VenueSchedule, schedules, span_text, utc_text

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MOST_S = 400 * 86_400
_WIDTH = 120


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("venue", nargs="?", default="", help="of the configuration, or any that has a calendar")
    parser.add_argument("--next", default="14d", metavar="SPAN", help="how far: 90m, 36h, 14d, 8w; at most 400d")
    parser.add_argument("--from", dest="start", default="", metavar="UTC", help="2026-11-01 or 2026-11-01T17:00")
    parser.add_argument("--all", action="store_true", help="every venue that has a calendar, as documented")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--config", default="config/desk.toml", help="the desk's configuration")


def run(args: argparse.Namespace) -> int:
    now_ns = _start_ns(args.start) if args.start else time.time_ns()
    until_ns = now_ns + _span_s(args.next) * SECOND_NS
    configured = not args.all and (Path(args.config).exists() or args.config != "config/desk.toml")
    found = schedules(load(args.config) if configured else None, args.venue, now_ns, until_ns)
    if args.json:
        answer = {"from": utc_text(now_ns), "until": utc_text(until_ns), "venues": found}
        sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
        return 0
    console = Console()
    console.width = max(console.width, _WIDTH)
    _print(console, found, f"{span_text(now_ns, until_ns)}")
    return 0


def _print(console: Console, found: list[VenueSchedule], span: str) -> None:
    for venue in found:
        change = f"; changes {venue.next_change}" if venue.next_change else ""
        console.print(
            Text.assemble((venue.venue, "bold"), ("  ", ""), (venue.title, "dim"), f"  {venue.status}{change}")
        )
    console.print()
    events = sorted((e for v in found for e in v.events), key=lambda e: (e.start_ns, e.venue, e.end_ns))
    if events:
        console.print(_table(events))
        if not all(e.certain for e in events):
            console.print("? inferred, or documented in more than one way", style="dim")
    else:
        console.print(f"nothing on the calendar, {span}")
    _print_sources(console, found)


def _table(events: list[Event]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("venue", "local time", "UTC", "what happens", "what the desk does"):
        table.add_column(name, overflow="fold", no_wrap=name in {"venue", "local time", "UTC"})
    for e in events:
        doubt = "" if e.certain else " ?"
        table.add_row(e.venue, e.local, _utc(e), f"{e.happens}{doubt}", e.desk)
    return table


def _utc(event: Event) -> str:
    """The same span in UTC, short: the day is beside it."""
    if event.local.endswith(" UTC"):
        return "same"
    text = span_text(event.start_ns, event.end_ns)
    day = event.local[:9]
    return text.removeprefix(day).removesuffix(" UTC").strip()


def _print_sources(console: Console, found: list[VenueSchedule]) -> None:
    lines = []
    for venue in found:
        sources = {e.name: e.source for e in venue.events if e.source}
        lines += [f"{venue.venue} {name}: {source}" for name, source in sources.items()]
        lines += [f"{venue.venue}: {note.text} [{note.source}]" for note in venue.notes]
    if lines:
        console.print()
    for line in lines:
        console.print(Text(line, style="dim"))


def _start_ns(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"--from {text!r}: expected UTC as 2026-11-01 or 2026-11-01T17:00") from None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return int(at.timestamp()) * SECOND_NS


def _span_s(text: str) -> int:
    match = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    if match is None or not 0 < (span_s := int(match[1]) * _UNITS[match[2]]) <= _MOST_S:
        raise CommandError(f"--next {text!r}: expected a span such as 36h, 14d or 8w, at most 400d")
    return span_s
