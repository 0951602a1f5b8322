"""Histograms out of the processes' metrics, ready to be drawn."""

from itertools import pairwise
from pathlib import Path

from base.config import load
from ipc.metrics import MetricsFile, metrics_path
from procs.monitor_web.latencies import Latencies

ROOT = Path(__file__).resolve().parents[3]


def test_each_histogram_is_named_and_has_no_hole(tmp_path: Path) -> None:
    desk = load(ROOT / "config" / "desk.toml")
    desk.shm_dir = tmp_path
    latencies = Latencies(desk)
    assert latencies.read() == []  # no process keeps any
    path = metrics_path(tmp_path, "book-l2")
    path.parent.mkdir()
    file = MetricsFile(path)
    for session in ("kraken-md", "binance-md"):
        file.histogram("quarterdeck_wire_to_book_seconds", session=session, venue="x")
    found = file.histogram("quarterdeck_wire_to_book_seconds", session="kraken-md", venue="x")
    for ns in (1_000, 2_000, 64_000):
        found.record(ns)
    file.seal()
    (latency,) = latencies.read()  # one that counted nothing is not shown
    assert (latency.name, latency.of, latency.count) == ("wire to book", "book-l2 kraken-md", 3)
    assert latency.max_ns == 64_000
    edges = [edge for edge, _ in latency.buckets]
    assert sum(n for _, n in latency.buckets) == 3
    assert all(b <= 1.35 * a for a, b in pairwise(edges))  # four an octave, without a hole
    assert edges[0] >= 1_000
    assert edges[-1] >= 64_000
    file.close()
