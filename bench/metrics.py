"""What it costs to count: a counter, a gauge and a histogram of ours, beside a dict's increment and prometheus_client.

CPU time of this thread, so that what else the machine does counts for nothing; lanes take turns. The loop's own cost is
taken off.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client import Counter as PeerCounter
from prometheus_client import Histogram as PeerHistogram

from bench.report import Row, at_most, faster, interleave, print_rows
from ipc.metrics import MetricsFile, Stamp, read_process

ROUNDS: Final = 25
CALLS: Final = 40_000
READS: Final = 20


def _lane(call: Callable[[], object], calls: int = CALLS) -> Callable[[], float]:
    """Nanoseconds a call."""

    def lane() -> float:
        began = time.thread_time_ns()
        for _ in range(calls):
            call()
        return (time.thread_time_ns() - began) / calls

    return lane


def measure(rounds: int = ROUNDS) -> list[Row]:
    """All rows."""
    registry = CollectorRegistry()
    peer_counter = PeerCounter("counter", "a counter", ["session", "venue"], registry=registry).labels("s", "v")
    peer_histogram = PeerHistogram("histogram", "a histogram", ["session", "venue"], registry=registry).labels("s", "v")
    counts = {"orders": 0}
    of = {"session": "s", "venue": "v"}

    def nothing() -> None:
        return None

    def of_dict() -> None:
        counts["orders"] += 1

    with tempfile.TemporaryDirectory() as folder:
        file = MetricsFile(Path(folder) / "m")
        counter, gauge = file.counter("orders_sent_total", **of), file.gauge("session_up", **of)
        histogram, stamp = file.histogram("order_ack_seconds", **of), Stamp()
        file.seal()
        add, record, mark, since, put = counter.add, histogram.record, stamp.mark, histogram.since, gauge.set
        inc, observe = peer_counter.inc, peer_histogram.observe

        def adds() -> None:
            add()

        def sets() -> None:
            put(1.0)

        def records() -> None:
            record(12_345)

        def spans() -> None:
            mark()
            since(stamp)

        def incs() -> None:
            inc()

        def observes() -> None:
            observe(0.000012345)

        lanes = [nothing, of_dict, adds, sets, records, spans, incs, observes]
        found = interleave(rounds, [*map(_lane, lanes), _lane(lambda: read_process(file.path), READS)])
    idle, *costs, read = found
    plain, add_ns, put_ns, record_ns, span_ns, inc_ns, observe_ns = (max(ns - idle, 0.1) for ns in costs)
    return [
        faster("Counter.add", add_ns, "ns", "prometheus_client Counter.inc", inc_ns, 8),
        faster("Counter.add", add_ns, "ns", "a dict's += 1", plain, 1),
        faster("Gauge.set", put_ns, "ns", "a dict's += 1", plain, 1),
        faster("Histogram.record", record_ns, "ns", "prometheus_client Histogram.observe", observe_ns, 12),
        faster("Histogram.record", record_ns, "ns", "a dict's += 1", plain, 1),
        faster("Stamp.mark, Histogram.since", span_ns, "ns", "prometheus_client Histogram.observe", observe_ns, 4),
        at_most("read a file of three metrics, opened anew", read / 1000, "us", 500),
    ]


def run(as_json: bool) -> int:
    """Print the rows; 0 when every figure was reached, else 4."""
    rows = measure()
    print_rows(rows, as_json)
    return 0 if all(row.ok for row in rows) else 4
