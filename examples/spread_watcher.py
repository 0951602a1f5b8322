"""Watches one instrument over several venues: where it is cheapest and dearest, and when one venue's bid passes
another's offer, before and after fees.

    python examples/spread_watcher.py [CONFIG] [--instrument BTC-USD] [--venues kraken,binance] [--fee kraken=2.5] ...

Prints a JSON line whenever the market crosses or uncrosses over venues, or a venue's book is taken out or comes
back, and one with what it saw at the end (after --seconds, or at SIGINT). It reads shared memory alone, and sends
nothing.
"""

import argparse
import json
import signal
import sys
import time
from dataclasses import dataclass, field
from decimal import Decimal

import quarterdeck as qd


@dataclass
class Watcher:
    """What it saw."""

    book: qd.Consolidated
    reads: int = 0
    crosses: int = 0
    crossed_s: float = 0.0
    widest: Decimal = Decimal(0)  # the widest cross after fees, in the quote currency
    out: dict[str, str] = field(default_factory=dict)
    since: float | None = None  # while it is crossed

    def look(self) -> None:
        """Read once, and say what has changed."""
        image, net = self.book.bbo(), self.book.bbo(net=True)
        self.reads += 1
        if image.left_out != self.out:
            self.out = image.left_out
            say("venues", counted=sorted(image.ages_ns), left_out=self.out)
        now = time.monotonic()
        if image.crossed and self.since is None:
            self.since, self.crosses = now, self.crosses + 1
            say("crossed", **prices(image), after_fees=prices(net), oldest_ms=oldest_ms(image))
        elif not image.crossed and self.since is not None:
            self.crossed_s += now - self.since
            say("uncrossed", after_ms=round((now - self.since) * 1000, 3))
            self.since = None
        if net.crossed and net.spread is not None:
            self.widest = max(self.widest, qd.decimal(-net.spread, net.px_scale))

    def summary(self) -> dict[str, object]:
        """Counts, for the last line."""
        open_s = time.monotonic() - self.since if self.since is not None else 0.0
        return {
            "reads": self.reads, "crosses": self.crosses, "crossed_s": round(self.crossed_s + open_s, 3),
            "widest_after_fees": f"{self.widest.normalize():f}", "left_out": self.out,
        }  # fmt: skip


def prices(image: qd.ConsolidatedImage) -> dict[str, object]:
    """Best bid and offer as text, with who has them."""
    found: dict[str, object] = {}
    for side, levels in (("bid", image.bids), ("ask", image.asks)):
        if levels:
            found[side] = qd.format_scaled(levels[0].px, image.px_scale)
            found[f"{side}_at"] = [venue for venue, _ in levels[0].venues]
    return found


def oldest_ms(image: qd.ConsolidatedImage) -> float:
    """How old the oldest of the books is: a cross with an old one may be over already."""
    return max(image.ages_ns.values()) / 1e6


def say(what: str, **more: object) -> None:
    """One line."""
    print(json.dumps({"what": what, **more}), flush=True)


def fee(text: str) -> tuple[str, str]:
    """VENUE=BPS."""
    venue, _, bps = text.partition("=")
    return venue, bps


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Watches one instrument over several venues.")
    parser.add_argument("config", nargs="?", default="config/desk.toml", help="configuration file or run directory")
    parser.add_argument("--instrument", default="BTC-USD")
    parser.add_argument("--venues", default="", help="separated by commas; all that have it, unless named")
    parser.add_argument("--fee", type=fee, action="append", default=[], metavar="VENUE=BPS", help="of a taker")
    parser.add_argument("--every-ms", type=float, default=1.0, help="between two looks")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    return parser.parse_args()


def main() -> int:
    """Watch until told to stop; the exit status."""
    args = arguments()
    with qd.connect(args.config) as desk:
        venues = args.venues.split(",") if args.venues else []
        watcher = Watcher(desk.consolidated(args.instrument, venues, fees_bps=dict(args.fee)))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: desk.stop())
        desk.every(args.every_ms / 1000, watcher.look)
        desk.run(args.seconds)
        say("summary", **watcher.summary())
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except qd.QuarterdeckError as error:
        sys.exit(f"spread_watcher: {error}")
