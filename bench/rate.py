"""The check of a venue's rate limits before an order leaves, beside one plain token bucket.

Every request fits, as it nearly always does; time goes on by 50 us from one to the next. CPU time of this thread, so
that what else the machine does counts for nothing; lanes take turns.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from base.config import VenueConfig
from bench.report import Row, interleave, print_rows
from venues.limits import Limit
from venues.rate import Column
from venues.rate_share import SharedRates
from venues.registry import dialect
from venues.throttle import Throttle, alone

CHECKS: Final = 20_000  # a round
ROUNDS: Final = 25
STEP_NS: Final = 50_000
START_NS: Final = 10**15
WALL_NS: Final = 1_775_563_200_000_000_000
INSTRUMENT: Final = "BTC-USD"

Lane = Callable[[], float]


class PlainBucket:
    """What is usually written: so many a second, one second's worth saved up."""

    def __init__(self, rate: int) -> None:
        self._rate = self._tokens = float(rate)
        self._at_ns = START_NS

    def take(self, mono_ns: int) -> bool:
        """Whether one may leave."""
        self._tokens = min(self._tokens + (mono_ns - self._at_ns) * self._rate / 1e9, self._rate)
        self._at_ns = mono_ns
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def _timed(check: Callable[[int], object]) -> Lane:
    """Nanoseconds a check."""

    def lane() -> float:
        now_ns, began = START_NS, time.thread_time_ns()
        for _ in range(CHECKS):
            now_ns += STEP_NS
            check(now_ns)
        return (time.thread_time_ns() - began) / CHECKS

    return lane


def _limits(name: str, **options: Any) -> list[Limit]:
    """A dialect's limits on orders, raised so that all of a round fits."""
    venue = VenueConfig(dialect=name, instruments=[], options=options)
    found = dialect(name).capabilities(venue).limits.orders
    return [msgspec.structs.replace(limit, most=limit.most * 1_000_000) for limit in found]


def _throttle(limits: list[Limit], columns: Callable[[Limit, str], Column | None] = alone) -> Lane:
    def lane() -> float:
        take = Throttle(limits, [INSTRUMENT], columns).take
        return _timed(lambda now_ns: take("new", now_ns, WALL_NS, INSTRUMENT))()

    return lane


def _shared(limits: list[Limit], folder: Path) -> Lane:
    names = [limit.name for limit in limits]
    rates = SharedRates(folder, "bench", names, ["a", "b", "c"], "a")
    return _throttle(limits, lambda limit, _: None if limit.scope == "session" else rates.column(limit.name))


def measure() -> list[Row]:
    """All rows."""
    plain = PlainBucket(1_000_000)
    kraken, binance = _limits("kraken"), _limits("binance")
    with tempfile.TemporaryDirectory() as folder:
        named: list[tuple[str, Lane, float]] = [
            ("no limit", _throttle([]), 1.5),
            ("one limit (fix44)", _throttle(_limits("fix44", orders_per_s=100)), 2.5),
            ("a falling counter by pair (kraken)", _throttle(kraken), 3),
            ("three limits (binance)", _throttle(binance), 5),
            ("three limits, two of them shared by three", _shared(binance, Path(folder)), 10),
        ]
        base, *found = interleave(ROUNDS, [_timed(plain.take), *(lane for _, lane, _ in named)])
    return [
        Row(name, value, "ns/check", "one plain bucket", base, value / base, reach, value / base <= reach)
        for (name, _, reach), value in zip(named, found, strict=True)
    ]


def run(json: bool) -> int:
    """Print the rows; 0 when every figure was reached, else 4."""
    rows = measure()
    print_rows(rows, json)
    return 0 if all(row.ok for row in rows) else 4
