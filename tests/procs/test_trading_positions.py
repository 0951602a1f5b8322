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
