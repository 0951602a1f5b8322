"""`qd book VENUE INSTRUMENT`: an order book out of shared memory."""

import argparse
import sys
import time

import msgspec
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from base.config import DeskConfig, load
from base.errors import BookError, RegionError
from base.instruments import Instrument
from ipc.books import BookReader, BookReason, BookRegion, BookState
from quarterdeck.screen import word


class Shown(msgspec.Struct):
    """A book as it is printed; levels are [price, quantity, orders], decimal text, best first."""

    venue: str
    instrument: str
    level: int
    status: str
    reason: str
    since_ns: int
    last_seq: int
    venue_ns: int
    recv_ns: int
    bids: list[tuple[str, str, int]]
    asks: list[tuple[str, str, int]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("venue", help="as the configuration names it")
    parser.add_argument("instrument", help="common symbol: BTC-USD")
    parser.add_argument("--depth", type=int, default=10, metavar="N", help="levels a side; 0 = all")
    parser.add_argument("--level", type=int, choices=(2, 3), default=2, help="3: the book of single orders")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--watch", action="store_true", help="keep showing it")
    parser.add_argument("--config", default="config/desk.toml", help="the desk's configuration")


def find(desk: DeskConfig, venue: str, instrument: str, level: int) -> BookReader:
    """The reader of a book, from whichever shard keeps it. RegionError when none does."""
    for shard, config in desk.config.book.items():
        for session in config.sessions:
            s = desk.config.session[session]
            names = [i.name for i in desk.session_instruments(session)]
            if (s.venue, s.level) == (venue, level) and instrument in names:
                return BookRegion.open(desk.shm_dir / f"book-{shard}").book(venue, instrument, level)
    known = sorted(f"{v} {i}" for v, i in desk.instruments)
    raise RegionError(f"no level {level} book of {venue} {instrument} in {desk.path}; instruments: {', '.join(known)}")


def look(reader: BookReader, instrument: Instrument, level: int, depth: int) -> Shown:
    """What the book says now; no levels unless they may be believed."""
    state, reason, since_ns = reader.status()
    last_seq, venue_ns, recv_ns, _ = reader.times()
    bids: list[tuple[int, int, int]] = []
    asks: list[tuple[int, int, int]] = []
    try:
        bids, asks = reader.depth(depth)
    except BookError:
        state, reason, since_ns = reader.status()
    px, qty = instrument.px_text, instrument.qty_text
    return Shown(
        instrument.venue, instrument.name, level, BookState(state).name, BookReason(reason).name, since_ns, last_seq,
        venue_ns, recv_ns,
        [(px(p), qty(q), n) for p, q, n in bids], [(px(p), qty(q), n) for p, q, n in asks],
    )  # fmt: skip


def screen(shown: Shown) -> Table:
    """The book as a ladder."""
    age_ms = (time.time_ns() - shown.recv_ns) // 1_000_000 if shown.recv_ns else -1
    title = Text.assemble(
        f"{shown.venue} {shown.instrument} L{shown.level} ", word(shown.status),
        f" {'' if shown.reason == 'OK' else shown.reason} updated {age_ms} ms ago, id {shown.last_seq}",
    )  # fmt: skip
    table = Table(title=title, title_justify="left", box=None, header_style="dim")
    for name in ("orders", "bid qty", "bid", "ask", "ask qty", "orders"):
        table.add_column(name, justify="right")
    for i in range(max(len(shown.bids), len(shown.asks))):
        bid = shown.bids[i] if i < len(shown.bids) else ("", "", "")
        ask = shown.asks[i] if i < len(shown.asks) else ("", "", "")
        table.add_row(str(bid[2] or ""), bid[1], bid[0], ask[0], ask[1], str(ask[2] or ""))
    return table


def run(args: argparse.Namespace) -> int:
    """Exit status 3 when the book is not LIVE."""
    desk = load(args.config)
    reader = find(desk, args.venue, args.instrument, args.level)
    instrument = desk.instruments[args.venue, args.instrument]
    if args.watch:
        with Live(auto_refresh=False, screen=False) as live:
            while True:
                live.update(screen(look(reader, instrument, args.level, args.depth)), refresh=True)
                time.sleep(0.1)
    shown = look(reader, instrument, args.level, args.depth)
    if args.json:
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
    else:
        Console().print(screen(shown))
    return 0 if shown.status == "LIVE" else 3
