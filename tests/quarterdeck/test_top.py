"""`qd top`: what is on the screen at any size, what keys do, and a terminal that is given back."""

import io
import os
import re
import signal
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console
from rich.text import Text

from base.config import DeskConfig
from ipc import events as e
from ipc.gate import GateState, GateWord
from ipc.view.model import DeskModel
from ipc.view.structs import BookPart, DepthPart, Level, OrderLife, View
from quarterdeck.top.app import Top, TripRequest
from quarterdeck.top.pages import PAGES
from quarterdeck.top.picture import picture
from quarterdeck.top.sheet import Cell, Column, Row, Sheet, right, table
from quarterdeck.top.terminal import Keys
from quarterdeck.top.words import duration, micros
from tests.ipc.view_kit import MONO, TRD, WALL, dead, hear, order, report, session, view_desk, well
from tests.quarterdeck.pty_kit import Pty

ROOT = Path(__file__).resolve().parents[2]
SIZES = [(80, 24), (120, 40), (200, 50)]


class Asked:
    """What a screen asks for beyond its view."""

    def __init__(self, model: DeskModel) -> None:
        self.model = model

    def depth(self, venue: str, instrument: str, level: int, levels: int = 20) -> DepthPart | None:
        book: BookPart | None = self.model.book(venue, instrument, level, MONO, WALL)
        side = tuple(Level(px=f"600{i}.5", qty="1.25", orders=2, sum_qty=f"{i}") for i in range(levels))
        return None if book is None else DepthPart(book=book, bids=side, asks=side, fault="")

    def life(self, venue: str, cl_ord_id: str) -> OrderLife | None:
        return self.model.life(venue, cl_ord_id, WALL)

    def plan(self, scope: str) -> list[str]:
        return [f"cancels everything of {scope}", *(f"step {i}" for i in range(60))]


@pytest.fixture
def desk(tmp_path: Path) -> DeskConfig:
    return view_desk(tmp_path)


@pytest.fixture
def model(desk: DeskConfig) -> DeskModel:
    """A desk with orders, alarms and a trip of one venue, one process of it dead."""
    made, sight = DeskModel(desk), dead(well(desk), "kraken-md")
    words = {**sight.gate.scopes, "venue:kraken": GateWord(4, GateState.TRIPPING)}
    made.see(replace(sight, gate=replace(sight.gate, scopes=words)))
    hear(made, *(session(n, orders=3) for n in desk.config.session), topic="state.x")
    hear(
        made,
        order("1", "PENDING_NEW"),
        report("1"),
        order("1"),
        order("2", "UNCERTAIN", reason="lost"),
        order("3", "FILLED"),
    )
    hear(
        made,
        e.Position(TRD, "kraken", "main", "BTC-USD", 1, 8, WALL),
        e.Balance(TRD, "kraken", "main", "USD", "1", "1", "0", "", WALL),
    )
    hear(made, e.KillState("venue:kraken", "TRIPPING", 4, "too many rejects", "limit", WALL, 2, 5, 1), topic="kill")
    hear(made, e.KillProgress("t7", "cancel", "mass cancel", 2, 5, 0, WALL), topic="kill")
    hear(made, e.Alert(TRD, "critical", "gap", "a hole " * 30, WALL), topic=f"alert.{TRD}")
    made.kill_status({"last_trip": {
        "trip_id": "t7", "scopes": ["venue:kraken"], "cause": "limit", "reason": "too many rejects", "orders": 8,
        "proven": 5, "working": 2, "uncertain": 1, "generation": 4, "phase": "PROVING", "gate_closed_ms": 0.2,
        "unproven": ["1", "2"], "at_ns": WALL,
    }})  # fmt: skip
    row = {"figure": "open orders", "unit": "", "value": "380", "limit": "400", "limit_is": "most", "distance": "20"}
    made.limits({"limits": [{**row, "scope": "desk", "percent": 95, "state": "90 %", "does": "trips"}]}, WALL)
    return made


@pytest.fixture
def view(model: DeskModel) -> View:
    return model.view(MONO, WALL)


@pytest.fixture
def top(model: DeskModel) -> Top:
    return Top(Asked(model))


def press(top: Top, view: View, *keys: str) -> TripRequest | None:
    asked = None
    for key in keys:
        asked = top.key(key, view) or asked
    return asked


def text(lines: list[Text]) -> str:
    return "\n".join(line.plain for line in lines)


# -- what fits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [*SIZES, (40, 10), (20, 3), (1, 1)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_every_page_and_its_details_fit_any_screen(top: Top, view: View, size: tuple[int, int]) -> None:
    for key in [*PAGES, "?"]:
        for then in ((), ("enter",), ("t",) if key == "k" else ("/", "x")):
            press(top, view, "esc", key, *then)
            lines = top.frame(view, *size)
            assert len(lines) == size[1]
            assert {line.cell_len for line in lines} == {size[0]}
            press(top, view, "esc", "esc")


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_state_and_kill_line_are_on_every_page_in_words(top: Top, view: View, size: tuple[int, int]) -> None:
    for key in PAGES:
        for then in ((), ("enter",)):
            press(top, view, key, *then)
            lines = top.frame(view, *size)
            assert lines[0].plain.startswith("(!!) TRIPPING default")
            assert lines[1].plain.startswith("KILL TRIPPING venue:kraken  5 of 8 orders proven dead, 3 left")


def test_a_trip_before_this_one_proves_nothing_of_it(top: Top, model: DeskModel, desk: DeskConfig) -> None:
    sight = well(desk)
    words = {**sight.gate.scopes, "desk": GateWord(5, GateState.TRIPPING)}
    model.see(replace(sight, gate=replace(sight.gate, state="TRIPPING", scopes=words)))
    line = top.frame(model.view(MONO, WALL), 120, 24)[1].plain
    assert line.startswith("KILL TRIPPING desk  what is proven was not told yet")
    hear(model, e.KillState("desk", "TRIPPING", 5, "by hand", "operator", WALL, 7, 0, 2), topic="kill")
    line = top.frame(model.view(MONO, WALL), 120, 24)[1].plain
    assert line.startswith("KILL TRIPPING desk  9 orders left  by hand")
    press(top, view := model.view(MONO, WALL), "k")
    assert re.search("venue:kraken .*ARMED .*shut all the same: the desk is TRIPPING", text(top.frame(view, 160, 40)))


def test_no_colour_says_the_same_words(top: Top, view: View) -> None:
    said = []
    for no_color in (False, True):
        console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard", no_color=no_color)
        with console.capture() as out:
            for line in top.frame(view, 80, 24):
                console.print(line, soft_wrap=True, markup=False, highlight=False)
        said.append(out.get())
    assert "\x1b[1;31" in said[0]
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", said[1])
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", s) for s in said]
    assert plain[0] == plain[1]


def test_figures_are_never_cut_and_lesser_columns_give_way() -> None:
    columns = (Column("name"), right("price"), right("lesser", 1), right("least", 2), Column("words", fills=True))
    cells = (Cell("a name"), Cell("60047.12345678"), Cell("123456"), Cell("654321"), Cell("many words " * 9))
    row = Row(("1",), cells)
    sheet = Sheet("x", columns, (row,), "")
    narrow, wide = (table(sheet, [row], width)[1].plain for width in (54, 120))
    assert "60047.12345678" in narrow
    assert "123456" in narrow
    assert "654321" not in narrow
    assert "…" in narrow
    assert "654321" in wide


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_prices_and_quantities_stand_whole_on_the_pages(top: Top, view: View, size: tuple[int, int]) -> None:
    press(top, view, "b")
    shown = text(top.frame(view, *size))
    assert all(b.bid_px in shown and b.ask_px in shown for b in view.books)
    press(top, view, "o")
    assert re.search(r"buy +0\.5 +60000\.5 +0 UNCERTAIN", text(top.frame(view, *size)))


def test_what_others_send_cannot_write_to_the_terminal(model: DeskModel, top: Top) -> None:
    hear(model, e.Alert(TRD, "critical", "odd", "\x1b[2J\x07\n\u202ehidden", WALL + 1), topic="alert.x")
    view = model.view(MONO, WALL)
    for key in "dae":
        press(top, view, key)
        assert all(line.plain.isprintable() for line in top.frame(view, 80, 24))


def test_durations_in_words() -> None:
    assert [duration(x) for x in (None, 850, 12_400, 200_000, 7_500_000, 400_000_000)] == [
        "-", "850ms", "12.4s", "3m20s", "2h05m", "4d",
    ]  # fmt: skip
    assert [micros(x) for x in (None, 850, 2_300, 1_200_000)] == ["-", "850us", "2.3ms", "1.2s"]


# -- keys ------------------------------------------------------------------------------------------------------------


def test_each_page_has_its_key_and_what_it_shows(top: Top, view: View) -> None:
    shown = {
        "d": "kraken-md DEAD", "s": "order p50/p99", "b": "kraken BTC-USD L2", "o": "1 of them uncertain",
        "p": "BTC-USD", "m": "USD", "l": "380", "a": "CRITICAL", "e": "mass cancel", "k": "TRIP UNDER WAY t7",
    }  # fmt: skip
    assert set(shown) == set(PAGES)
    for key, words in shown.items():
        press(top, view, key)
        assert re.search(words, text(top.frame(view, 120, 40))), key
    press(top, view, "?")
    assert "ctrl-c" in text(top.frame(view, 120, 40))


def test_the_chosen_row_stays_chosen_when_rows_move(top: Top, view: View) -> None:
    press(top, view, "s", "down", "down")
    chosen = next(line.plain for line in top.frame(view, 120, 40) if line.plain.startswith("> "))
    moved = replace(view, sessions=view.sessions[::-1])
    assert next(x.plain for x in top.frame(moved, 120, 40) if x.plain.startswith("> ")) == chosen
    gone = replace(view, sessions=view.sessions[:1])
    assert any(x.plain.startswith("> ") for x in top.frame(gone, 120, 40))


def test_rows_beyond_the_screen_are_reached_and_counted(top: Top, view: View) -> None:
    press(top, view, "d", "end")
    shown = text(top.frame(view, 80, 24))
    total = len(view.processes)
    assert f"> {view.processes[-1].name}" in shown
    assert re.search(rf"processes \d+ to {total} of {total}", shown)


def test_a_filter_keeps_rows_with_its_words_until_it_is_taken_away(top: Top, view: View) -> None:
    press(top, view, "s", "/", *"drb", "q", "backspace", "enter")  # q is a letter here
    assert not top.left
    shown = text(top.frame(view, 120, 40))
    assert "drb-trd" in shown
    assert "kraken-trd" not in shown
    assert '"drb" of 12' in shown
    press(top, view, "esc")
    assert "kraken-trd" in text(top.frame(view, 120, 40))


def test_enter_shows_all_of_a_row(top: Top, view: View) -> None:
    shown = {
        "s": "instruments", "b": "6000.5", "o": "its life", "d": "unknown_ns", "k": "step 5", "l": "limit_is",
        "a": "a hole a hole", "e": "severity", "p": "opening", "m": "buying_power",
    }  # fmt: skip
    for key, words in shown.items():
        press(top, view, key, "enter")
        lines = text(top.frame(view, 120, 40))
        assert re.search(words, lines), f"{key}: {lines}"
        press(top, view, "esc")
        assert top.mode == "rows"


def test_details_of_what_is_gone_say_so(top: Top, view: View) -> None:
    press(top, view, "s", "enter")
    assert "not there any more" in text(top.frame(replace(view, sessions=()), 80, 24))


# -- a trip ----------------------------------------------------------------------------------------------------------


def test_a_trip_wants_a_reason_and_the_scope_typed(top: Top, view: View) -> None:
    press(top, view, "k", "/", *"session:kraken-trd", "enter", "t")
    assert press(top, view, "enter") is None
    assert "a reason is needed" in text(top.frame(view, 80, 24))
    assert press(top, view, *"books look odd", "enter") is None
    assert press(top, view, *"desk", "enter") is None
    shown = text(top.frame(view, 80, 24))
    assert "that is not session:kraken-trd: nothing was sent" in shown
    assert "cancels everything of session:kraken-trd" in shown
    assert press(top, view, *"session:kraken-trd", "enter") == TripRequest("session:kraken-trd", "books look odd")
    assert top.mode == "rows"


def test_a_trip_that_is_left_sends_nothing(top: Top, view: View) -> None:
    press(top, view, "k", "t", *"why", "enter")
    assert press(top, view, *"des", "esc", "enter", "k") is None
    assert "TRIP desk?" not in text(top.frame(view, 80, 24))
    press(top, view, "s")
    assert press(top, view, "t", *"x", "enter", *"desk", "enter") is None  # only on the kill switch's page


def test_what_became_of_a_trip_stands_until_a_key(top: Top, view: View) -> None:
    top.say("tripped desk in 3.1 ms\ncancels: everything")
    assert "cancels: everything" in text(top.frame(view, 80, 24))
    press(top, view, "esc")
    assert "cancels: everything" not in text(top.frame(view, 80, 24))


# -- the terminal ----------------------------------------------------------------------------------------------------


def test_keys_may_come_in_pieces() -> None:
    keys = Keys()
    assert keys.feed(b"s\x1b") == ["s"]
    assert keys.feed(b"[A\x1b[5") == ["up"]
    assert keys.feed(b"~\r\x7f\x03") == ["pageup", "enter", "backspace", "ctrl-c"]
    assert keys.feed("é€".encode()[:3]) == ["é"]
    assert keys.feed("é€".encode()[3:]) == ["€"]
    assert keys.feed(b"\x1b[99z\x1b\x1b[B") == ["esc", "down"]
    assert keys.feed(b"\x1b") == []
    assert keys.idle() == ["esc"]


def test_a_picture_has_the_words(top: Top, view: View, tmp_path: Path) -> None:
    picture(str(tmp_path / "x.svg"), top.frame(view, 100, 24), 100, "qd top")
    drawn = (tmp_path / "x.svg").read_text()
    assert "TRIPPING" in drawn
    assert "url(http" not in drawn  # nothing is fetched from elsewhere to look at it


@pytest.fixture
def screen(desk: DeskConfig) -> Iterator[Pty]:
    made = Pty(desk.path)
    yield made
    made.close()


def test_a_screen_takes_keys_and_sizes_and_gives_the_terminal_back(screen: Pty) -> None:
    screen.wait("no process of this desk runs")
    assert screen.heard.startswith(b"\x1b[?1049h")
    screen.press(b"s", "kraken-trd")
    screen.press(b"\x1b[B\r", "known")
    screen.press(b"\x1bk", "DOES NOT ANSWER")
    screen.size(40, 120)
    os.kill(screen.child.pid, signal.SIGWINCH)
    screen.press(b"b", "\x1b[40;1H")
    screen.press(b"q", "\x1b[?1049l")
    assert screen.child.wait(60) == 0
    assert termios.tcgetattr(screen.slave) == screen.before


def test_a_screen_that_is_ended_from_outside_gives_the_terminal_back(screen: Pty) -> None:
    screen.wait("no process of this desk runs")
    screen.child.send_signal(signal.SIGTERM)
    screen.wait("\x1b[?1049l")
    assert screen.child.wait(60) == 0
    assert termios.tcgetattr(screen.slave) == screen.before


def test_a_dumb_terminal_gets_one_page(desk: DeskConfig) -> None:
    made = Pty(desk.path, term="dumb")
    try:
        made.wait("KILL UNKNOWN")
        assert made.child.wait(60) == 3
        assert b"\x1b[?1049h" not in made.heard
    finally:
        made.close()


def test_without_a_terminal_one_page_is_printed(desk: DeskConfig, capsys: pytest.CaptureFixture[str]) -> None:
    from quarterdeck import cli

    assert cli.main(["top", str(desk.path), "--page", "kill"]) == 3
    out = capsys.readouterr().out
    assert out.startswith("(!!) DOWN default")
    assert "session:kraken-trd" in out
    assert cli.main(["top", str(desk.path), "--size", "12"]) == 1
