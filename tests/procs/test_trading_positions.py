"""What a trading process shows of its positions, and how much room it has to show it."""

from pathlib import Path

import pytest

from base.clock import ManualClock
from base.config import load
from ipc import frames
from ipc._bus import Outlet
from ipc.events import Position
from ipc.exposure import UNOPENED, UNPRICED, ExposureRow, ExposureWriter, notional, read_exposure
from ipc.journal import Journal
from ipc.readiness import StatusPage, StatusReader
from procs.trading import rows_of
from risk.exposure import ExposureBook
from risk.order import Order
from risk.orders import OrderTable
from venues.at_risk import AtRisk
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


class Shown:
    """What AtRisk writes, and what it tells the checks."""

    def __init__(self, page: Path) -> None:
        self.page = page
        self.said: list[Position] = []
        self.rows: dict[str, ExposureRow] = {}
        writer = ExposureWriter(StatusPage(page, "s"))
        self.at_risk = AtRisk(("s", "v", "main"), ExposureBook(), writer, self, self.said.append, ManualClock())  # type: ignore[arg-type]

    def row(self, row: ExposureRow) -> None:
        self.rows[row.instrument] = row

    def moved(self, order: Order, row: ExposureRow) -> None:
        self.row(row)

    def on_page(self) -> dict[str, ExposureRow]:
        found = {row.instrument: row for row in read_exposure(StatusReader(self.page).words())}
        assert found == self.rows, "others see what our own checks count"
        return found


def test_a_restart_keeps_what_a_position_is_worth(tmp_path: Path) -> None:
    shown = Shown(tmp_path / "page")
    figures = shown.at_risk.book.of("BTC-USD", 1, 3)
    figures.position, figures.mark_px = -25_000, 604_321
    worth = figures.position_notional
    assert worth > 0
    said = shown.at_risk.position("BTC-USD", figures)
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
    journal, before = Journal(tmp_path, 1), Shown(tmp_path / "before")
    outlet = Outlet(frames.prefix(b"exec.s", 1), journal)
    for name, position in (("BTC-USD", -25_001), ("GONE-USD", 12_345), ("FLAT-USD", 0)):
        figures = before.at_risk.book.of(name, 2, 3)
        figures.position, figures.mark_px = position, 604_321
        said = before.at_risk.position(name, figures)
        journal.frame(outlet.frame(0, 1, frames.encode_event(said)))
        outlet.next_seq += 1
    positions, scales = dict[str, tuple[int, int]](), dict[str, tuple[int, int]]()
    restore(tmp_path, OrderTable(), positions, scales)
    journal.close()
    shown = Shown(tmp_path / "page")
    assert shown.at_risk.begin({"BTC-USD": (3, 1)}, positions, scales, []) == ["GONE-USD"]
    assert {n: (r.position, r.qty_scale, r.px_scale) for n, r in shown.on_page().items()} == {
        "BTC-USD": (-251, 1, 3), "GONE-USD": (12_345, 3, 2),
    }  # fmt: skip
    assert {n: f.mark_px for n, f in shown.at_risk.book.figures.items()} == {"BTC-USD": 6_043_210, "GONE-USD": 604_321}
    shown.at_risk.say_all()
    assert [p.instrument for p in shown.said] == ["BTC-USD", "GONE-USD"], "what is written again with the next file"


def test_a_restart_shows_positions_and_working_orders_at_once(tmp_path: Path) -> None:
    order = Order(
        session="s", venue="v", account="main", instrument="BTC-USD", cl_ord_id="o", side="1", ord_type="2",
        time_in_force="1", px_scale=1, qty_scale=3, order_qty=50, price=6_000, leaves_qty=50, ids=["o"],
    )  # fmt: skip
    shown = Shown(tmp_path / "page")
    shown.at_risk.begin({"BTC-USD": (1, 3), "ETH-USD": (2, 3)}, {"BTC-USD": (7, 1)}, {"BTC-USD": (1, 3)}, [order])
    row = shown.on_page()["BTC-USD"]
    assert (row.open_orders, row.working_buy_qty, row.position) == (1, 50, 7)
    again = Shown(tmp_path / "page")
    assert read_exposure(StatusReader(tmp_path / "page").words())[0].working_buy_qty == 50, "until the journal is read"
    again.at_risk.begin({"ETH-USD": (2, 3)}, {}, {}, [])
    assert all(r.working_buy_qty == r.position == 0 for r in read_exposure(StatusReader(tmp_path / "page").words()))


def test_what_the_venue_says_was_held_is_added_once_and_outlives_the_process(tmp_path: Path) -> None:
    now = {"BTC-USD": (1, 3), "ETH-USD": (2, 3)}
    shown = Shown(tmp_path / "page")
    shown.at_risk.begin(now, {"BTC-USD": (200, 600_000)}, {}, [], {}, ["BTC-USD", "ETH-USD"])
    assert all(row.flags == UNOPENED for row in shown.on_page().values())
    shown.at_risk.opened("BTC-USD", 1_000, 610_000)
    shown.at_risk.opened("ETH-USD", 0, 30_000)
    rows = shown.on_page()
    assert (rows["BTC-USD"].position, rows["BTC-USD"].flags, rows["ETH-USD"].flags) == (1_200, 0, 0)
    assert rows["BTC-USD"].position_notional == notional(600_000, 1, 1_200, 3), "at the price of the last fill"
    assert [(p.position, p.opening) for p in shown.said] == [(1_200, 1_000), (0, 0)]
    journal = Journal(tmp_path, 1)
    outlet = Outlet(frames.prefix(b"exec.s", 1), journal)
    for said in shown.said:
        journal.frame(outlet.frame(0, 1, frames.encode_event(said)))
        outlet.next_seq += 1
    positions, scales, openings = dict[str, tuple[int, int]](), dict[str, tuple[int, int]](), dict[str, int]()
    restore(tmp_path, OrderTable(), positions, scales, openings)
    journal.close()
    assert openings == {"BTC-USD": 1_000, "ETH-USD": 0}
    again = Shown(tmp_path / "again")
    again.at_risk.begin({"BTC-USD": (1, 5)}, positions, scales, [], openings)
    figures = again.at_risk.book.figures["BTC-USD"]
    assert (figures.position, figures.opening, figures.flags) == (120_000, 100_000, 0)


def test_what_was_held_and_has_no_price_is_not_worth_nothing(tmp_path: Path) -> None:
    shown = Shown(tmp_path / "page")
    shown.at_risk.begin({"BTC-USD": (1, 3)}, {}, {}, [], {}, ["BTC-USD"])
    shown.at_risk.opened("BTC-USD", -1_000, 0)
    assert shown.on_page()["BTC-USD"].flags == UNPRICED
    shown.at_risk.price(lambda _: 0)
    assert shown.on_page()["BTC-USD"].flags == UNPRICED
    shown.at_risk.price(lambda _: 600_000)
    row = shown.on_page()["BTC-USD"]
    assert (row.flags, row.position_notional) == (0, notional(600_000, 1, 1_000, 3))
    assert shown.said[-1].mark_px == 600_000


def test_a_venue_that_cannot_tell_leaves_positions_at_their_fills(tmp_path: Path) -> None:
    shown = Shown(tmp_path / "page")
    shown.at_risk.begin({"BTC-USD": (1, 3)}, {"BTC-USD": (7, 600_000)}, {}, [], {}, ["BTC-USD"])
    shown.at_risk.unknown(())
    row = shown.on_page()["BTC-USD"]
    assert (row.position, row.flags, shown.at_risk.book.figures["BTC-USD"].opening) == (7, 0, None), "asked next time"


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
