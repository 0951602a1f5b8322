"""Replay: formats are read strictly, paced, matched to instruments; recorded ids and checksums reach the wire."""

import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest

from base.clock import ManualClock
from base.errors import RecordingError
from base.instruments import Instrument
from sim.recordings import open_recording
from sim.recordings.items import Levels, Snapshot, scaled
from sim.replay import Replay, fit_all, parse_speed
from sim.run import build
from sim.setup import Setup
from tests.sim.server import Running
from tests.sim.test_replay_books import recording
from tests.venues.test_binance_sim import GRANTS as BINANCE
from tests.venues.test_binance_sim import Session

START = 1_700_000_000_000_000_000


def depth(first: int, last: int, bids: Any = (), asks: Any = ()) -> dict[str, Any]:
    data = {"e": "depthUpdate", "s": "BTCUSDT", "U": first, "u": last, "b": list(bids), "a": list(asks)}
    return {"stream": "btcusdt@depth@100ms", "data": data}


BOOK = {"lastUpdateId": 10, "bids": [["100.00", "1.0"]], "asks": [["101.00", "2.0"]]}
TICKER = {
    "stream": "btcusdt@bookTicker",
    "data": {"u": 12, "s": "BTCUSDT", "b": "100.50", "B": "3", "a": "101.00", "A": "2"},
}
TRADE = {"stream": "btcusdt@trade", "data": {"s": "BTCUSDT", "t": 77, "p": "101.00", "q": "0.5", "m": False}}


def write(path: Path, *rows: Any, step_ns: int = 100_000_000) -> Path:
    text = "".join(f"{START + n * step_ns} {r if isinstance(r, str) else json.dumps(r)}\n" for n, r in enumerate(rows))
    path.write_bytes(gzip.compress(text.encode()))
    return path


def spot(tmp_path: Path, *rows: Any) -> Path:
    return write(tmp_path / "spot_btcusdt_20240101.gz", *rows)


def test_updates_before_the_snapshot_are_kept_and_linked(tmp_path: Path) -> None:
    rows = (depth(8, 9), depth(10, 12, [["100.00", "5"]]), BOOK, depth(13, 13, [["99.00", "1"]]))
    items = list(open_recording(spot(tmp_path, *rows)).items())
    assert [(type(i), i.last_id) for i in items] == [(Snapshot, 10), (Levels, 12), (Levels, 13)]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("rows", "line", "says"),
    [
        ((BOOK, depth(11, 12), depth(14, 15)), 3, "U is 14, the last update ended at 12"),
        ((BOOK, depth(13, 14)), 2, "snapshot ends at 10, the next update begins at 13"),
        ((BOOK, "{broken"), 2, "not JSON"),
        ((BOOK, {"stream": "btcusdt@depth"}), 2, "not a Binance message"),
        ((BOOK, depth(11, 12, [["100"]])), 2, "not a Binance message"),
    ],
)
def test_a_broken_recording_names_file_and_line(tmp_path: Path, rows: Any, line: int, says: str) -> None:
    path = spot(tmp_path, *rows)
    with pytest.raises(RecordingError) as caught:
        list(open_recording(path).items())
    assert f"{path}:{line}: " in str(caught.value)
    assert says in str(caught.value)


def test_a_wrong_kraken_checksum_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "kraken_v1_book1000_ws_20240101.txt.gz"
    rows = [[1, {"as": [["101.0", "1.0", "0"]], "bs": [["100.0", "1.0", "0"]]}, "book-1000", "XBT/USD"]]
    rows.append([1, {"b": [["99.0", "2.0", "0"]], "c": "1"}, "book-1000", "XBT/USD"])
    text = "".join(f"1700000000.{n}: {json.dumps(row)}\n" for n, row in enumerate(rows))
    path.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(RecordingError, match=r"gz:2: XBT/USD: checksum is 1, computed \d+"):
        list(open_recording(path).items())


def test_a_cut_off_file_is_named(tmp_path: Path) -> None:
    path = spot(tmp_path, BOOK, depth(11, 12))
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(RecordingError, match="cannot be read"):
        list(open_recording(path).items())


def test_unknown_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no such file"):
        open_recording(tmp_path / "nothing.gz")
    (tmp_path / "odd.gz").write_bytes(b"x")
    with pytest.raises(RecordingError, match="no known format"):
        open_recording(tmp_path / "odd.gz")


@pytest.mark.parametrize(
    ("text", "scale", "value"), [("1.50", 2, 150), ("0.100", 1, 1), ("12", 3, 12000), ("1.2000", 1, 12)]
)
def test_numbers_are_scaled_exactly(text: str, scale: int, value: int) -> None:
    assert scaled(text, scale, "f:1") == value


@pytest.mark.parametrize("text", ["1.234", "-1", "1e5", "", "nan", "9" * 20])
def test_numbers_that_do_not_fit_are_refused(text: str) -> None:
    with pytest.raises(RecordingError, match="f:1"):
        scaled(text, 2, "f:1")


def instrument(px: int = 2, qty: int = 5, name: str = "BTC-USDT") -> Instrument:
    return Instrument("binance", name, name.replace("-", ""), px, qty)


def test_only_what_fits_name_and_scale_is_taken(tmp_path: Path) -> None:
    path = spot(tmp_path, BOOK, depth(11, 12, [["100.00", "0.000001"]]))
    with pytest.raises(RecordingError, match=r"nothing fits BTC-USDT \(2/5 decimals\); it has BTC-USDT \(0/6 decimals"):
        fit_all(path, [instrument()])
    (fit,) = fit_all(tmp_path, [instrument(qty=6), instrument(name="ETH-USDT")])
    assert fit.instrument.name == "BTC-USDT"


def test_two_halves_of_a_recording_in_a_folder_are_one(tmp_path: Path) -> None:
    write(tmp_path / "spot_btcusdt_20240808.gz", BOOK, depth(11, 12, [["99.00", "1"]]))
    write(tmp_path / "spot_btcusdt_20240809.gz", depth(13, 14, [["98.00", "1"]]))
    write(tmp_path / "usdm_btcusdt_20240808.gz", BOOK)
    (fit,) = fit_all(tmp_path, [instrument()])
    assert (fit.recording.path.name, fit.recorded.updates) == ("spot_btcusdt_20240809.gz", 2)
    assert fit.recording.starts_ns() == 0
    (alone,) = fit_all(fit.recording.path, [instrument()])
    assert alone.recording.starts_ns() == START


@pytest.mark.parametrize("text", ["0", "-1", "fast", "nan"])
def test_speeds_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(RecordingError, match="speed"):
        parse_speed(text)


def test_pace_is_as_recorded_or_n_times(tmp_path: Path) -> None:
    path = spot(tmp_path, BOOK, *(depth(n, n, [["100.00", str(n)]]) for n in range(11, 21)))
    for speed, expected in (("1", 1), ("5", 5), ("max", 10)):
        clock = ManualClock()
        venue = build("binance", Setup("binance", [instrument()], BINANCE), clock)
        replay = Replay.open(venue, path, speed)
        for _ in range(10):
            clock.advance(10_000_000)
            replay.tick()
        assert replay.played == expected
        assert replay.done == (expected == 10)


def test_an_instrument_without_recording_keeps_its_seeded_flow(tmp_path: Path) -> None:
    clock = ManualClock()
    instruments = [instrument(), instrument(name="ETH-USDT")]
    venue = build("binance", Setup("binance", instruments, BINANCE), clock)
    Replay.open(venue, spot(tmp_path, BOOK, depth(11, 12)), "1")
    assert len(venue.exchange.markets["ETHUSDT"].public_levels(0)) > 50
    assert venue.exchange.markets["BTCUSDT"].best() == (10_000, 10_100)


def test_recorded_ids_tickers_and_trades_reach_the_wire(tmp_path: Path) -> None:
    rows = [depth(n, n + 1, [["100.00", str(n)]]) for n in range(11, 31, 2)]
    path = spot(tmp_path, BOOK, *rows, TICKER, TRADE, depth(31, 33, (), [["101.00", "0"], ["102.00", "1"]]))
    setup = Setup("binance", [instrument()], BINANCE)
    venue = Running("binance", setup, tmp_path, plain=True, source=lambda v: Replay.open(v, path, "1"))
    try:
        md = Session(venue.endpoint("marketdata"), "", "MD", "SPOT")
        md.log_on()
        md.expect("A")
        for req, levels, kinds in (("d", 5000, "01"), ("t", 1, "01"), ("x", 1, "2")):
            fields: list[tuple[int, Any]] = [(262, req), (263, 1), (264, levels), (266, "Y"), (146, 1), (55, "BTCUSDT")]
            md.send("V", [*fields, (267, len(kinds)), *((269, k) for k in kinds)])
        start = int(md.expect("W", t262="d").get(25044))
        md.until(lambda: [m for m in md.of("X") if m.get(25044) == "33"], timeout=5)
        ids = [(int(m.get(25043)), int(m.get(25044))) for m in md.of("X") if m.get(262) == "d"]
        last = start
        for first, end in ids:
            assert first == last + 1
            last = end
        final = next(m for m in md.of("X") if m.get(25044) == "33")
        assert md.entries(final) == [("2", "1", "101.00000000", ""), ("0", "1", "102.00000000", "1.00000000")]
        (ticker,) = [m for m in md.of("X") if m.get(262) == "t" and m.get(25044) == "12"]
        assert ticker.all(270)[0] == "100.50000000"
        (trade,) = [m for m in md.of("X") if m.get(262) == "x"]
        assert (trade.get(1003), trade.get(2446), trade.get(270)) == ("77", "1", "101.00000000")
    finally:
        venue.stop()


def test_a_real_recording_is_carried_by_the_venue_as_it_was(tmp_path: Path) -> None:
    """The real Binance recording over FIX at ten times its pace: ids without a hole, never crossed."""
    path = recording("books/binance/spot_btcusdt_20240808.gz").path
    setup = Setup("binance", [instrument(qty=8)], BINANCE)
    venue = Running("binance", setup, tmp_path, plain=True, source=lambda v: Replay.open(v, path, "10"))
    try:
        md = Session(venue.endpoint("marketdata"), "", "MD", "SPOT")
        md.log_on()
        md.expect("A")
        md.send(
            "V",
            [(262, "d"), (263, 1), (264, 5000), (266, "Y"), (146, 1), (55, "BTCUSDT"), (267, 2), (269, 0), (269, 1)],
        )
        snapshot = md.expect("W")
        last = int(snapshot.get(25044))
        assert len(snapshot.all(269)) > 1500
        deadline = time.monotonic() + 20
        count = 0
        while count < 100 and time.monotonic() < deadline:
            update = md.expect("X")
            assert int(update.get(25043)) == last + 1
            last = int(update.get(25044))
            count += 1
        assert count == 100
    finally:
        venue.stop()
