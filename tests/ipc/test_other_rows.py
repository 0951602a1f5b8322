"""Rows of other trading processes: each change is seen once, the dead count on, who appears or restarts is found."""

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.config import DeskConfig, load
from ipc._words import RowShare, RowSums
from ipc.exposure import UNOPENED, UNPRICED, ExposureRow, ExposureWriter, read_exposure
from ipc.other_rows import OtherRows
from ipc.readiness import FIRST_ROW, Readiness, StatusPage

CONFIG = """
[desk]
name = "t"
shm_dir = "{folder}/shm"
[venue.v]
dialect = "fix44"
instruments = [{{ name = "BTC-USD", symbol = "B", px_scale = 1, qty_scale = 3 }}]
"""
SESSION = """
[session.{name}]
venue = "v"
kind = "trading"
address = "127.0.0.1:1"
sender_comp_id = "A"
target_comp_id = "{name}"
"""


def make_desk(folder: Path, *sessions: str) -> DeskConfig:
    path = folder / "config" / "desk.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(CONFIG.format(folder=folder) + "".join(SESSION.format(name=s) for s in ("ours", *sessions)))
    desk = load(path)
    (desk.shm_dir / "proc").mkdir(parents=True, exist_ok=True)
    return desk


def row(instrument: str = "BTC-USD", **figures: int) -> ExposureRow:
    return ExposureRow(venue="v", instrument=instrument, px_scale=1, qty_scale=3, **figures)


class Seen:
    """What a process that adds up the rows of the others knows."""

    def __init__(self, desk: DeskConfig) -> None:
        self.sums = RowSums()
        self.at: dict[tuple[str, str], int] = {}
        self.shares: dict[tuple[str, str], RowShare] = {}
        self.before: dict[tuple[str, str], int] = {}
        self.rows = OtherRows(desk, "ours", self.enter)
        self.rows.look()

    def enter(self, session: str, venue: str, instrument: str, qty_scale: int) -> RowShare:
        assert (venue, qty_scale) == ("v", 3)
        key = (session, instrument)
        if key not in self.at:
            self.at[key] = i = self.sums.add(5)
            self.shares[key] = RowShare(self.sums, 1, [i], [i + 1], [i + 4])
        return self.shares[key]

    def figures(self, session: str, instrument: str) -> list[int]:
        """Open orders, position, working buys and sells, notional of all."""
        i = self.at[session, instrument]
        return [self.sums.value(k) for k in range(i, i + 5)]

    def news(self) -> list[tuple[str, str, int]]:
        """(session, instrument, open orders) of each row whose open orders are others than the last time."""
        now = {key: self.sums.value(i) for key, i in self.at.items()}
        found = [(*key, n) for key, n in now.items() if self.before.get(key, 0) != n]
        self.before = now
        return found

    def refreshed(self) -> list[tuple[str, str, int]]:
        self.rows.refresh()
        return self.news()


def page_of(desk: DeskConfig, session: str, rows: int = 4) -> StatusPage:
    return StatusPage(desk.shm_dir / "proc" / session, session, rows=rows)


def test_a_row_is_fed_when_it_changed_and_only_then(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, "b", "c")
    b, c = ExposureWriter(page_of(desk, "b")), ExposureWriter(page_of(desk, "c"))
    b.begin([row(open_orders=1), row("ETH-USD", open_orders=2)])
    seen = Seen(desk)
    assert seen.news() == [("b", "BTC-USD", 1), ("b", "ETH-USD", 2)]
    assert seen.refreshed() == []
    b.set(row("ETH-USD", open_orders=3))
    c.set(row(open_orders=7))
    assert seen.refreshed() == [("b", "ETH-USD", 3), ("c", "BTC-USD", 7)]
    b.set(row(open_orders=4))
    b.set(row("ETH-USD", open_orders=5))
    assert seen.refreshed() == [("b", "BTC-USD", 4), ("b", "ETH-USD", 5)]
    b.set(row("XRP-USD", open_orders=6))
    assert seen.refreshed() == [("b", "XRP-USD", 6)]
    assert seen.refreshed() == []


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(1, 99)), max_size=30))
@settings(max_examples=40)
def test_whatever_is_written_is_known_after_the_next_refresh(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[int, int, int]]
) -> None:
    desk = make_desk(tmp_path_factory.mktemp("rows"), "b", "c")
    writers = {s: ExposureWriter(page_of(desk, s, 8)) for s in ("b", "c")}
    seen = Seen(desk)
    truth: dict[tuple[str, str], int] = {}
    known: dict[tuple[str, str], int] = {}
    for who, instrument, open_orders in writes:
        if who == 2:
            known |= {(s, i): n for s, i, n in seen.refreshed()}
            assert known == truth
        else:
            session, name = "bc"[who], f"A{instrument}-USD"
            writers[session].set(row(name, open_orders=open_orders))
            truth[session, name] = open_orders


def test_a_process_that_appears_later_is_found(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, "b")
    seen = Seen(desk)
    assert seen.rows.unknown == {}, "it never traded here"
    ExposureWriter(page_of(desk, "b")).begin([row(open_orders=2)])
    seen.rows.look()
    assert seen.news() == [("b", "BTC-USD", 2)]


def test_what_traded_before_and_shows_no_rows_yet_is_not_known(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, "b")
    (desk.data_dir / "b").mkdir(parents=True)
    (desk.data_dir / "b" / "journal-1").touch()
    seen = Seen(desk)
    assert seen.rows.unknown == {"b": "has no status page"}
    page = page_of(desk, "b")
    seen.rows.look()
    assert seen.rows.unknown == {"b": "is starting"}
    ExposureWriter(page).begin([row(open_orders=2)])
    seen.rows.look()
    assert seen.rows.unknown == {}
    assert seen.news() == [("b", "BTC-USD", 2)]


def test_rows_outlive_their_process_and_count_until_the_next_one_has_read_its_journal(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, "b")
    ExposureWriter(page_of(desk, "b")).begin([row(open_orders=2), row("ETH-USD", open_orders=1)])
    seen = Seen(desk)
    seen.news()
    page = page_of(desk, "b")  # the next life
    assert [r.open_orders for r in read_exposure(page.words)] == [2, 1]
    seen.rows.look()
    assert (seen.news(), seen.rows.unknown) == ([], {})
    ExposureWriter(page).begin([row(open_orders=5)])
    assert seen.refreshed() == [("b", "BTC-USD", 5), ("b", "ETH-USD", 0)]
    assert {r.instrument: r.open_orders for r in read_exposure(page.words)} == {"BTC-USD": 5, "ETH-USD": 0}


def test_a_page_of_another_size_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, "b")
    (desk.data_dir / "b").mkdir(parents=True)
    (desk.data_dir / "b" / "journal-1").touch()
    ExposureWriter(page_of(desk, "b", 4)).begin([row(open_orders=2), row("ETH-USD", open_orders=1)])
    seen = Seen(desk)
    seen.news()
    page = page_of(desk, "b", 8)
    seen.rows.look()
    assert seen.news() == [], "what the life before had counts on"
    assert seen.rows.unknown == {"b": "is starting"}
    ExposureWriter(page).begin([row(open_orders=5)])
    page.set(Readiness.RECOVERING)
    seen.rows.look()
    assert sorted(seen.news()) == [("b", "BTC-USD", 5), ("b", "ETH-USD", 0)]
    assert seen.rows.unknown == {}


def test_rows_of_removed_instruments_are_given_away_where_there_is_no_other_room(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, "b")
    ExposureWriter(page_of(desk, "b", 2)).begin([row("A-USD", open_orders=1), row("B-USD", open_orders=2)])
    seen = Seen(desk)
    seen.news()
    ExposureWriter(page_of(desk, "b", 2)).begin([row("B-USD", open_orders=3), row("C-USD", open_orders=4)])
    known = {(i, n) for _, i, n in seen.refreshed()}
    assert known == {("A-USD", 0), ("B-USD", 3), ("C-USD", 4)}


def test_a_writer_that_died_inside_a_row_leaves_what_it_said_before(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, "b")
    page = page_of(desk, "b")
    ExposureWriter(page).begin([row(open_orders=2)])
    seen = Seen(desk)
    seen.news()
    page.words.store(FIRST_ROW, page.words.load(FIRST_ROW) + 1)
    seen.rows.look()
    assert (seen.news(), seen.rows.unknown) == ([], {})
    assert Seen(desk).rows.unknown == {"b": "stopped inside a row that was never read"}
    writer = ExposureWriter(page_of(desk, "b"))
    writer.begin([row(open_orders=9)])
    seen.rows.look()
    assert seen.news() == [("b", "BTC-USD", 9)]


def test_a_row_whose_writer_died_before_it_said_so_is_found_by_the_timer(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, "b")
    page = page_of(desk, "b")
    writer = ExposureWriter(page)
    writer.begin([row(open_orders=2)])
    seen = Seen(desk)
    seen.news()
    writer._write(row(open_orders=3))
    assert seen.refreshed() == []
    seen.rows.look()
    assert seen.news() == [("b", "BTC-USD", 3)]


def _flat_out(path: str, ready: Connection) -> None:
    writer = ExposureWriter(StatusPage(path, "b", rows=8))
    writer.begin(row(f"A{n}-USD") for n in range(4))
    ready.send(0)
    n = 0
    while True:
        n += 1
        figures = dict.fromkeys(("open_orders", "working_buy_qty", "working_sell_qty", "position"), n)
        money = dict.fromkeys(("buy_notional", "sell_notional", "position_notional"), n)
        writer.set(row(f"A{n % 4}-USD", **figures, **money))


def test_rows_are_never_torn_and_never_go_back_under_a_writer_flat_out(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, "b")
    mine, theirs = multiprocessing.Pipe()
    writer = multiprocessing.get_context("spawn").Process(
        target=_flat_out, args=(str(desk.shm_dir / "proc" / "b"), theirs)
    )
    writer.start()
    try:
        mine.recv()
        seen = Seen(desk)
        last: dict[str, int] = {}
        changes = 0
        while changes < 2_000:
            seen.rows.refresh()
            for session, name in seen.at:
                open_orders, position, buys, sells, notional = seen.figures(session, name)
                assert open_orders == buys == sells == position == notional // 3
                assert open_orders >= last.get(name, 0)
                changes += open_orders != last.get(name, 0)
                last[name] = open_orders
        os.kill(writer.pid, signal.SIGKILL)  # type: ignore[arg-type]
        writer.join()
        seen.rows.look()
    finally:
        writer.kill()
        writer.join()


def test_what_a_row_leaves_out_is_known_at_the_next_order(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, "b")
    b = ExposureWriter(page_of(desk, "b"))
    b.begin([row(flags=UNOPENED), row("ETH-USD")])
    seen = Seen(desk)
    assert seen.rows.blind
    assert seen.rows.unheld == {"b": "has not heard what was held of BTC-USD"}
    b.set(row(position=4, flags=UNPRICED))
    seen.rows.refresh()
    assert (seen.rows.unheld, seen.rows.unpriced) == ({}, {"b": "does not know what BTC-USD is worth"})
    assert seen.figures("b", "BTC-USD")[1] == 4, "the figures of a row whose flags changed count"
    b.set(row(position=5))
    seen.rows.refresh()
    assert not seen.rows.blind
    assert seen.figures("b", "BTC-USD")[1] == 5
    seen.rows.ours("BTC-USD", UNOPENED)
    assert seen.rows.blind
    assert list(seen.rows.unheld) == ["ours"]
    seen.rows.ours("BTC-USD", 0)
    assert not seen.rows.blind


def test_before_its_first_row_nobody_knows_what_a_session_that_opens_positions_holds(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, "b")
    rows = OtherRows(desk, "ours", Seen(desk).enter, ["b"])
    rows.look()
    assert rows.blind
    assert list(rows.unheld) == ["b"]
    ExposureWriter(page_of(desk, "b")).begin([row()])
    rows.look()
    assert not rows.blind
