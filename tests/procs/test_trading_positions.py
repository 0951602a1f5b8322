"""What a trading process shows of its positions, and how much room it has to show it."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from base.config import load
from ipc import frames
from ipc._bus import Outlet
from ipc.exposure import ExposureRow, ExposureWriter, read_exposure
from ipc.journal import Journal
from ipc.readiness import StatusPage, StatusReader
from procs.trading import Trading, rows_of
from risk.exposure import ExposureBook
from risk.orders import OrderTable
from venues.carry_over import restore

CONFIG = """
[desk]
name = "t"
[venue.v]
dialect = "fix44"
instruments = [{instruments}]
[session.s]
venue = "v"
kind = "trading"
address = "127.0.0.1:1"
sender_comp_id = "A"
target_comp_id = "V"
"""


def test_a_restart_keeps_what_a_position_is_worth(tmp_path: Path) -> None:
    figures = ExposureBook().of("BTC-USD", 1, 3)
    figures.position, figures.mark_px = -25_000, 604_321
    worth = figures.position_notional
    assert worth > 0
    trading = SimpleNamespace(name="s", venue="v", account="main")
    said = Trading._position(trading, "BTC-USD", figures, 7)  # type: ignore[arg-type]
    assert (said.mark_px, said.px_scale, said.qty_scale) == (604_321, 1, 3)
    journal = Journal(tmp_path, 1)
    journal.frame(Outlet(frames.prefix(b"exec.s", 1), journal).frame(0, 1, frames.encode_event(said)))
    positions: dict[str, tuple[int, int]] = {}
    restore(tmp_path, OrderTable(), positions)
    journal.close()
    again = ExposureBook().of("BTC-USD", 1, 3)
    again.position, again.mark_px = positions["BTC-USD"]
    assert again.position_notional == worth


def test_a_restart_takes_positions_to_new_scales_and_keeps_those_that_are_configured_no_more(tmp_path: Path) -> None:
    journal, book = Journal(tmp_path, 1), ExposureBook()
    outlet = Outlet(frames.prefix(b"exec.s", 1), journal)
    before = SimpleNamespace(name="s", venue="v", account="main")
    for name, position in (("BTC-USD", -25_001), ("GONE-USD", 12_345), ("FLAT-USD", 0)):
        figures = book.of(name, 2, 3)
        figures.position, figures.mark_px = position, 604_321
        said = Trading._position(before, name, figures, 7)  # type: ignore[arg-type]
        journal.frame(outlet.frame(0, 1, frames.encode_event(said)))
        outlet.next_seq += 1
    positions, scales = dict[str, tuple[int, int]](), dict[str, tuple[int, int]]()
    restore(tmp_path, OrderTable(), positions, scales)
    journal.close()
    shown: dict[str, tuple[int, int, int, int]] = {}
    told: list[str] = []
    trading = SimpleNamespace(
        name="s", exposure=ExposureBook(), carrier=SimpleNamespace(begin=lambda: None),
        entry=SimpleNamespace(
            instruments={"BTC-USD": SimpleNamespace(name="BTC-USD", px_scale=3, qty_scale=1)},
            lost_session=lambda reason: None,
        ),
        _row=lambda name, f: shown.__setitem__(name, (f.position, f.qty_scale, f.mark_px, f.px_scale)),
        alert=lambda severity, code, text: told.append(text),
    )  # fmt: skip
    Trading._show_restored(trading, positions, scales, [])  # type: ignore[arg-type]
    assert shown == {"BTC-USD": (-251, 1, 6_043_210, 3), "GONE-USD": (12_345, 3, 604_321, 2)}
    assert told == ["s: a position in GONE-USD is held, which is not configured"]
    assert set(trading.exposure.figures) == {"BTC-USD", "GONE-USD"}, "what is written again with the next file"


@pytest.mark.parametrize("count", [1, 70, 400])
def test_every_instrument_of_a_session_has_its_exposure_row(tmp_path: Path, count: int) -> None:
    instruments = ", ".join(
        f'{{ name = "A{n}-USD", symbol = "A{n}/USD", px_scale = 1, qty_scale = 3 }}' for n in range(count)
    )
    (tmp_path / "config").mkdir()
    path = tmp_path / "config" / "desk.toml"
    path.write_text(CONFIG.format(instruments=instruments))
    desk = load(path)
    page = StatusPage(tmp_path / "page", "s", rows=rows_of(desk, "s"))
    writer = ExposureWriter(page)
    for instrument in desk.session_instruments("s"):
        writer.set(ExposureRow(venue="v", instrument=instrument.name, px_scale=1, qty_scale=3))
    assert len(read_exposure(StatusReader(tmp_path / "page").words())) == count
