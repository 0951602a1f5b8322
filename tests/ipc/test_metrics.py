"""Metrics in shared memory: what is written is read, a reader follows a new file, and nothing grows without bound."""

import gc
import os
import stat
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import RegionError
from base.histogram import LogHistogram, bucket_of, edge_of
from ipc._metrics import N_BUCKETS, Cells, Counter, Gauge, Histogram, Stamp
from ipc.metrics import MetricsFile, MetricsReader, Reading, Sample, read_process
from ipc.metrics_catalog import Kind
from tests.ipc.test_book_leaks import grows_by_kb

SESSION = {"session": "krk", "venue": "kraken"}


def made(tmp_path: Path, *, spare: int = 4) -> tuple[MetricsFile, Counter, Gauge, Histogram]:
    file = MetricsFile(tmp_path / "metrics" / "krk", spare=spare)
    found = (
        file.counter("orders_sent_total", **SESSION),
        file.gauge("session_up", **SESSION),
        file.histogram("order_ack_seconds", **SESSION),
    )
    return file, *found


def by_name(samples: list[Sample]) -> dict[str, Sample]:
    return {s.name.removeprefix("quarterdeck_"): s for s in samples}


def test_what_is_written_before_and_after_the_file_is_made_is_read(tmp_path: Path) -> None:
    file, counter, gauge, histogram = made(tmp_path)
    counter.add()
    histogram.record(1000)
    file.seal(7)
    counter.add(4)
    gauge.set(-2.5)
    histogram.record(3000)
    found = by_name(read_process(file.path))
    assert (found["orders_sent_total"].value, found["orders_sent_total"].labels) == (5.0, SESSION)
    assert (found["session_up"].value, found["session_up"].kind) == (-2.5, Kind.GAUGE)
    reading = found["order_ack_seconds"].histogram
    assert reading is not None
    assert (reading.count, reading.sum_ns, reading.largest_ns) == (2, 4000, 3000)
    assert reading.percentile(50) == edge_of(bucket_of(1000, 2), 2)
    assert reading.percentile(100) == 3000
    assert list(reading.up_to())[-1] == (edge_of(bucket_of(3000, 2), 2), 2)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o640


@given(st.lists(st.integers(-5, 2**63 - 1), max_size=50))
def test_the_native_histogram_counts_as_the_one_of_base(durations: list[int]) -> None:
    ours, theirs = Histogram(), LogHistogram(bits=2)
    for ns in durations:
        ours.record(ns)
        theirs.add(ns)
    total, largest, buckets = ours.reading()
    assert (largest, total) == (theirs.largest, sum(max(0, ns) for ns in durations) % 2**64)
    reading = Reading(total, largest, tuple(buckets))
    assert [reading.percentile(p) for p in (1, 50, 99, 100)] == [theirs.percentile(p) for p in (1, 50, 99, 100)]


def test_each_bucket_ends_where_base_says() -> None:
    for bucket in range(N_BUCKETS):
        for ns in {edge_of(bucket, 2), min(edge_of(bucket, 2) + 1, 2**63 - 1)}:
            histogram = Histogram()
            histogram.record(ns)
            assert histogram.reading()[2][bucket_of(ns, 2)] == 1


def test_a_total_that_somebody_else_counts_never_falls() -> None:
    counter = Counter()
    counter.set(9)
    counter.set(3)
    assert counter.value == 9


def test_a_stamp_measures_from_its_mark_alone() -> None:
    stamp, histogram = Stamp(), Histogram()
    histogram.since(stamp)
    assert histogram.count == 0
    stamp.mark()
    histogram.since(stamp)
    stamp.clear()
    histogram.since(stamp)
    assert histogram.count == 1


def test_what_was_counted_since_an_older_reading(tmp_path: Path) -> None:
    histogram = Histogram()
    histogram.record(10)
    total, largest, buckets = histogram.reading()
    before = Reading(total, largest, tuple(buckets))
    histogram.record(1_000)
    total, largest, buckets = histogram.reading()
    since = Reading(total, largest, tuple(buckets)).since(before)
    assert (since.count, since.sum_ns, since.percentile(50)) == (1, 1_000, 1_000)


def test_the_same_metric_is_the_same_instrument(tmp_path: Path) -> None:
    file, counter, _, _ = made(tmp_path)
    assert file.counter("quarterdeck_orders_sent_total", **SESSION) is counter
    file.seal()
    assert file.counter("orders_sent_total", **SESSION) is counter


@pytest.mark.parametrize("wrong", ["no_such_total", "session_up", "commands_total"])
def test_what_the_catalogue_has_not_is_refused_by_name(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(RegionError, match=f"counter {wrong}"):
        made(tmp_path)[0].counter(wrong, **SESSION)


def test_growth_ends_with_the_places_to_spare(tmp_path: Path) -> None:
    file = made(tmp_path, spare=2)[0]
    file.seal()
    reader = MetricsReader(file.path)
    assert len(reader.samples()) == 3
    for rule in ("a", "b"):
        file.counter("pretrade_refused_total", rule=rule, **SESSION).add(3)
    assert [s.labels["rule"] for s in reader.samples() if s.value == 3] == ["a", "b"]
    with pytest.raises(RegionError, match=r"krk: .*pretrade_refused_total .*to spare are taken"):
        file.counter("pretrade_refused_total", rule="c", **SESSION)
    with pytest.raises(RegionError, match="declared before the file is made"):
        file.histogram("journal_append_seconds", **SESSION)
    assert len(reader.samples()) == 5


def test_a_file_that_cannot_be_made_is_named_and_counting_goes_on(tmp_path: Path) -> None:
    file, counter, _, _ = made(tmp_path, spare=1 << 20)
    with pytest.raises(RegionError, match=r"krk: 3 metrics take \d+ words, at most"):
        file.seal()
    (tmp_path / "metrics").write_text("no directory")
    with pytest.raises(RegionError, match="metrics: cannot be made"):
        made(tmp_path)[0].seal()
    counter.add(2)
    assert counter.value == 2


def test_without_room_in_memory_nothing_is_left_of_the_attempt(tmp_path: Path) -> None:
    with pytest.raises(RegionError, match=r"m: cannot (set aside|be made)"):
        Cells.create(tmp_path / "m", b"", 1 << 59)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_follows_the_file_of_the_next_life(tmp_path: Path) -> None:
    file, counter, _, _ = made(tmp_path)
    counter.add(100)
    file.seal(1)
    reader = MetricsReader(file.path)
    assert by_name(reader.samples())["orders_sent_total"].value == 100
    inode = file.path.stat().st_ino
    after = made(tmp_path)[0]
    after.seal(2)
    assert file.path.stat().st_ino != inode
    assert by_name(reader.samples())["orders_sent_total"].value == 0
    assert (reader.started_ns, reader.pid) == (2, os.getpid())
    counter.add()  # what the old life still writes goes nowhere
    assert by_name(reader.samples())["orders_sent_total"].value == 0
    assert [p.name for p in file.path.parent.iterdir()] == ["krk"]


def test_a_file_whose_process_ended_shows_nothing(tmp_path: Path) -> None:
    file = made(tmp_path)[0]
    file.seal()
    reader = MetricsReader(file.path)
    reader.samples()
    file.close()
    with pytest.raises(RegionError, match="its process has ended"):
        reader.samples()


@pytest.mark.parametrize(
    ("word", "text"), [(0, "magic"), (1, "layout 9"), (2, "in its header"), (3, "another boot")], ids=str
)
def test_a_foreign_file_is_refused_by_what_is_wrong(tmp_path: Path, word: int, text: str) -> None:
    file = made(tmp_path)[0]
    file.seal()
    data = bytearray(file.path.read_bytes())
    data[8 * word : 8 * word + 8] = (9).to_bytes(8, "little")
    other = tmp_path / "other"
    other.write_bytes(data)
    with pytest.raises(RegionError, match=text):
        read_process(other)
    with pytest.raises(RegionError, match="missing"):
        read_process(tmp_path / "missing")
    (tmp_path / "short").write_bytes(b"x" * 64)
    with pytest.raises(RegionError, match="64 bytes is no file of metrics"):
        read_process(tmp_path / "short")


def test_a_histogram_read_while_it_is_written_is_never_less_than_before(tmp_path: Path) -> None:
    file, counter, _, histogram = made(tmp_path)
    file.seal()
    done = threading.Event()

    def write() -> None:
        for i in range(60_000):
            histogram.record(i)
            counter.add()
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reader, last = MetricsReader(file.path), (0,) * N_BUCKETS
    while not done.is_set():
        found = by_name(reader.samples())["order_ack_seconds"].histogram
        assert found is not None
        assert all(now >= was for now, was in zip(found.buckets, last, strict=True))
        last = found.buckets
    writer.join()
    end = by_name(reader.samples())
    assert end["orders_sent_total"].value == end["order_ack_seconds"].value == 60_000


def test_instruments_and_readers_give_their_memory_back(tmp_path: Path) -> None:
    file, counter, _, histogram = made(tmp_path)
    file.seal()

    def work() -> None:
        read_process(file.path)
        other = made(tmp_path)
        other[0].seal()
        other[3].record(5)
        for _ in range(50):
            Histogram()
            Counter()
        with pytest.raises(RegionError):
            Cells.open(file.path).load(1 << 40)
        with pytest.raises(RegionError):
            counter.attach(Cells.open(file.path), 0)
        with pytest.raises(RegionError, match="reading only"):
            Counter().attach(Cells.open(file.path), 0)
        with pytest.raises(RegionError, match="reading only"):
            Cells.open(file.path).store(0, 0)
        with pytest.raises(OverflowError):
            histogram.record(1 << 70)

    assert grows_by_kb(work, 200) < 500
    gc.collect()
    before = sys.getrefcount(counter), sys.getrefcount(histogram), sys.getrefcount(None)
    for _ in range(1000):
        counter.add(2)
        histogram.record(3)
    gc.collect()
    after = sys.getrefcount(counter), sys.getrefcount(histogram), sys.getrefcount(None)
    assert before[:2] == after[:2]
    assert abs(after[2] - before[2]) < 100
