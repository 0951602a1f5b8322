"""Status pages: one writer, copies that are never torn, nothing left over from the process before."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import RegionError
from ipc._words import Words
from ipc.exposure import NOTIONAL_SCALE, ExposureRow, ExposureWriter, notional, read_exposure
from ipc.readiness import Readiness, StatusPage, StatusReader, read_all, read_status


def test_a_page_says_what_its_process_said(tmp_path: Path) -> None:
    page = StatusPage(tmp_path / "p", "kraken-trd", kind="trading", build="b1", config="c1", wall_ns=5)
    status = read_status(tmp_path / "p")
    assert (status.process, status.kind, status.build, status.config) == ("kraken-trd", "trading", "b1", "c1")
    assert (status.pid, status.readiness, status.started_ns, status.fence) == (os.getpid(), Readiness.STARTING, 5, 0)
    page.set(Readiness.READY, "reconciled", 99)
    page.beat(1234)
    page.fence(7)
    page.count_sent(3)
    status = read_status(tmp_path / "p")
    assert (status.readiness, status.reason, status.since_ns) == (Readiness.READY, "reconciled", 99)
    assert (status.beat_mono_ns, status.fence, status.sent) == (1234, 7, 3)


def test_a_new_process_does_not_inherit_the_fence_of_the_one_before(tmp_path: Path) -> None:
    old = StatusPage(tmp_path / "p", "a")
    old.fence(9)
    old.beat(5)
    reader = StatusReader(tmp_path / "p")
    assert reader.status().fence == 9
    StatusPage(tmp_path / "p", "a")
    assert reader.fence() == 0  # through the mapping that was open already
    assert reader.status().beat_mono_ns == 0


def test_a_reader_follows_a_page_that_was_replaced(tmp_path: Path) -> None:
    StatusPage(tmp_path / "p", "a", rows=4)
    reader = StatusReader(tmp_path / "p")
    assert reader.status().process == "a"
    StatusPage(tmp_path / "p", "b", rows=8)  # another size: another file
    assert reader.status().process == "b"


def test_a_long_reason_is_cut_at_a_whole_character(tmp_path: Path) -> None:
    page = StatusPage(tmp_path / "p", "a")
    page.set(Readiness.DEGRADED, "é" * 400)
    assert read_status(tmp_path / "p").reason == "é" * 120


def test_missing_and_foreign_pages_are_errors(tmp_path: Path) -> None:
    with pytest.raises(RegionError, match="cannot be opened"):
        read_status(tmp_path / "nothing")
    Words.create(tmp_path / "w", "gate", 10)
    with pytest.raises(RegionError, match="kind"):
        read_status(tmp_path / "w")
    StatusPage(tmp_path / "p", "a")
    assert list(read_all(tmp_path)) == ["p"]


def test_a_writer_that_died_inside_a_record_is_an_error_until_the_next_process(tmp_path: Path) -> None:
    words = Words.create(tmp_path / "r", "test", 20)
    words.write_record(0, 10, b"whole")
    words.store(0, words.load(0) + 1)  # as a writer killed inside leaves it
    assert words.read_record(0, 10) is None
    words.write_record(0, 10, b"next")
    assert words.read_record(0, 10) == b"next"


def test_records_keep_to_their_words(tmp_path: Path) -> None:
    words = Words.create(tmp_path / "r", "test", 20)
    with pytest.raises(RegionError, match="do not fit"):
        words.write_record(0, 4, b"x" * 17)
    words.write_record(0, 4, b"x" * 16)
    assert words.read_record(0, 4) == b"x" * 16
    with pytest.raises(RegionError, match="no words"):
        words.write_record(18, 4, b"")
    words.store(1, 4000)
    with pytest.raises(RegionError, match="longer"):
        words.read_record(0, 4)


@given(data=st.lists(st.binary(max_size=160), min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_a_record_reads_back(tmp_path_factory: pytest.TempPathFactory, data: list[bytes]) -> None:
    words = Words.create(tmp_path_factory.mktemp("w") / "r", "test", 30)
    for d in data:
        words.write_record(2, 22, d)
        assert words.read_record(2, 22) == d


def _write_flat_out(path: str) -> None:
    words = Words.open(path, "test", writable=True)
    n = 0
    while True:
        words.write_record(0, 40, bytes([n & 0xFF]) * 300)
        n += 1


def test_no_read_is_torn_under_a_writer_flat_out(tmp_path: Path) -> None:
    words = Words.create(tmp_path / "r", "test", 40)
    words.write_record(0, 40, bytes(300))
    writer = multiprocessing.get_context("spawn").Process(target=_write_flat_out, args=(str(tmp_path / "r"),))
    writer.start()
    try:
        first = words.load(0)
        end = time.monotonic() + 20
        while words.load(0) == first and time.monotonic() < end:
            time.sleep(0.001)
        assert words.load(0) != first
        seen: set[int] = set()
        reads, end = 0, time.monotonic() + 30
        while (reads < 20_000 or len(seen) < 10) and time.monotonic() < end:
            reads += 1
            raw = words.read_record(0, 40)
            if raw is not None:
                assert len(raw) == 300
                assert len(set(raw)) == 1
                seen.add(raw[0])
        assert len(seen) >= 10
    finally:
        os.kill(writer.pid, signal.SIGKILL)  # type: ignore[arg-type]
        writer.join()


def row(**figures: int) -> ExposureRow:
    return ExposureRow(venue="kraken", instrument="BTC-USD", px_scale=1, qty_scale=8, **figures)


def test_exposure_rows_are_one_an_instrument(tmp_path: Path) -> None:
    page = StatusPage(tmp_path / "p", "a", rows=2)
    writer, reader = ExposureWriter(page), StatusReader(tmp_path / "p")
    assert read_exposure(reader.words()) == []
    writer.set(row(open_orders=3, position=-5, buy_notional=10))
    other = ExposureRow(venue="kraken", instrument="ETH-USD", px_scale=2, qty_scale=8, uncertain=1)
    writer.set(other)
    writer.set(row(open_orders=4, position=-(2**62)))
    assert read_exposure(reader.words()) == [row(open_orders=4, position=-(2**62)), other]
    with pytest.raises(RegionError, match="no room"):
        writer.set(ExposureRow(venue="x", instrument="y", px_scale=0, qty_scale=0))


def test_figures_saturate_and_long_names_are_refused(tmp_path: Path) -> None:
    writer = ExposureWriter(page := StatusPage(tmp_path / "p", "a"))
    writer.set(row(buy_notional=2**70, position=-(2**70)))
    (found,) = read_exposure(page.words)
    assert (found.buy_notional, found.position) == (2**63 - 1, -(2**63 - 1))
    with pytest.raises(RegionError, match="too long"):
        writer.set(ExposureRow(venue="v" * 25, instrument="y", px_scale=0, qty_scale=0))


@given(px=st.integers(-(2**62), 2**62), qty=st.integers(0, 2**62), a=st.integers(0, 18), b=st.integers(0, 18))
def test_notional_is_exact_or_just_above(px: int, qty: int, a: int, b: int) -> None:
    from fractions import Fraction

    exact = Fraction(abs(px) * qty, 10 ** (a + b))
    found = Fraction(notional(px, a, qty, b), 10**NOTIONAL_SCALE)
    assert exact <= found < exact + Fraction(1, 10**NOTIONAL_SCALE)
