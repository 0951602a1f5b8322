"""What an operator does at three in the morning, and sees when a venue announces its maintenance, on a whole desk."""

import json
import stat
import subprocess
import sys
from typing import Any

import pytest

from ipc.books import BookRegion, BookState
from tests.e2e.conftest import ROOT, RunningDesk, wait_for
from tests.quarterdeck.pty_kit import Pty

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

OWN = {"QDTRD1", "QDMD1", "QDDC1", "QDKILL1"}
OTHER = {"QDTRD2", "QDMD2", "QDDC2", "QDKILL2"}


def test_status_says_that_everything_is_ready(desk: RunningDesk) -> None:
    desk.wait_ready()
    done = desk.qd("status", str(desk.desk.path), "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 0
    assert said["sessions_ready"] == said["sessions_total"] == 6
    assert said["books_live"] == said["books_total"] == 6
    assert said["gate"] == "ARMED"
    assert "kraken-trd" in desk.qd("status", str(desk.desk.path)).stdout


def test_the_doctor_finds_what_is_stopped_and_nothing_of_it_before_and_after(desk: RunningDesk) -> None:
    desk.wait_ready()
    names = {p.name for p in desk.view().processes} | {"supervisord", "build", "configuration", "gate", "desk"}

    def about_processes() -> dict[str, str]:
        done = desk.qd("doctor", str(desk.desk.path), "--json")
        said = json.loads(done.stdout)
        assert done.returncode == (0 if said["healthy"] else 1), done.stderr
        found = [f for f in said["findings"] if f["severity"] != "note"]
        return {f["subject"]: f["seen"] for f in found if f["subject"] in names}

    assert wait_for(lambda: not about_processes(), 60, lambda: f"{about_processes()}")
    control = [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(desk.desk.run_dir / "supervisord.conf")]
    subprocess.run([*control, "stop", "dropcopy:binance-dc"], cwd=ROOT, capture_output=True, timeout=60, check=True)
    wait_for(lambda: set(about_processes()) == {"binance-dc"}, 60, lambda: f"{about_processes()}")
    back = desk.qd("restart", "--force", "binance-dc", "--config", str(desk.desk.path), timeout=180)
    assert back.returncode == 0, back.stdout + back.stderr
    desk.wait_ready()
    assert "binance-dc" not in about_processes()


@pytest.mark.parametrize(
    ("venue", "instrument", "price"), [("kraken", "BTC-USD", "30000"), ("binance", "BTC-USDT", "30000")]
)
def test_an_order_is_placed_seen_and_cancelled(desk: RunningDesk, venue: str, instrument: str, price: str) -> None:
    cl_ord_id = desk.order(venue, instrument, "buy", "0.01", price)
    wait_for(lambda: any(o["cl_ord_id"] == cl_ord_id for o in desk.working(venue)), 60, "the venue has the order")

    def mine() -> list[dict[str, str]]:
        return [o for o in desk.ask("orders")["orders"] if o["cl_ord_id"] == cl_ord_id]

    assert wait_for(lambda: [o for o in mine() if o["state"] == "NEW"], 60, "order is NEW")[0]["order_qty"] == "0.01"
    done = desk.qd("cancel", cl_ord_id, "--config", str(desk.desk.path))
    assert done.returncode == 0, done.stderr
    wait_for(lambda: not mine(), 60, "order is gone from the desk")
    assert not [o for o in desk.working(venue) if o["cl_ord_id"] == cl_ord_id]


def test_the_screen_shows_an_order_and_trips_its_session(desk: RunningDesk) -> None:
    desk.wait_ready()
    cl_ord_id = desk.order("kraken", "BTC-USD", "buy", "0.01", "30000")
    screen = Pty(desk.desk.path)
    try:
        screen.size(40, 140)
        screen.wait("q quit")  # keys that come before the screen stands are not taken
        screen.press(b"o", cl_ord_id)
        screen.press(b"\r", "its life")
        screen.press(b"\x1b", "of them uncertain")
        screen.press(b"k/session:kraken-trd\rt", "cancels: all orders of session kraken-trd")
        screen.press(b"a test of the screen\rsession:kraken-trd\r", "tripped session:kraken-trd in")
        screen.press(b"k", "PROVEN")
        screen.press(b"q", "\x1b[?1049l")
        assert screen.child.wait(60) == 0
    finally:
        screen.close()
    assert not [o for o in desk.working("kraken") if o["cl_ord_id"] == cl_ord_id]
    trip = desk.ask("kill", "status")["last_trip"]
    assert (trip["scopes"], trip["reason"][:20]) == (["session:kraken-trd"], "a test of the screen")
    desk.reset("a test of the screen")

    def shut() -> list[str]:
        return [s["scope"] for s in desk.ask("kill", "status")["scopes"] if s["state"] != "ARMED"]

    wait_for(lambda: not shut(), 60, lambda: f"open again: {shut()}")


def test_a_wrong_order_is_refused_with_what_is_wrong(desk: RunningDesk) -> None:
    config = ("--config", str(desk.desk.path))
    wrong = desk.qd("order", "kraken", "BTC-USD", "buy", "0.01", "--price", "30000.05", *config)
    assert (wrong.returncode, "decimals" in wrong.stderr) == (1, True)
    assert "BTC-USD" in desk.qd("order", "kraken", "XXX-USD", "buy", "1", *config).stderr
    assert "minimum" in desk.qd("order", "kraken", "BTC-USD", "buy", "0.00000001", "--price", "30000", *config).stderr
    assert "no order 'nonsense'" in desk.qd("cancel", "nonsense", *config).stderr


def test_a_book_is_shown_from_shared_memory(desk: RunningDesk) -> None:
    desk.wait_ready()
    said = desk.ask("book", "kraken", "BTC-USD", "--depth", "5")
    assert said["status"] == "LIVE"
    assert len(said["bids"]) == len(said["asks"]) == 5
    assert float(said["bids"][0][0]) < float(said["asks"][0][0])
    orders = desk.ask("book", "kraken", "BTC-USD", "--level", "3", "--depth", "3")
    assert all(n >= 1 for _, _, n in orders["bids"])


def test_supervisorctl_works_as_anybody_expects(desk: RunningDesk) -> None:
    socket = desk.desk.run_dir / "supervisor.sock"
    assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    control = [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(desk.desk.run_dir / "supervisord.conf")]

    def ctl(*words: str) -> str:
        done = subprocess.run([*control, *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout

    wait_for(lambda: ctl("status").count("RUNNING") == len(desk.view().processes) + 1, 60, lambda: ctl("status"))
    assert "kill:killswitch" in ctl("status")  # and one more than the desk's processes runs: the event listener
    before = desk.pid("binance-dc")
    assert "started" in ctl("restart", "dropcopy:binance-dc")
    wait_for(lambda: desk.pid("binance-dc") != before, 60, "a new process")
    desk.wait_ready()


def live(desk: RunningDesk) -> set[str]:
    """SenderCompIDs that are logged on at the venue."""
    return {s["sender"] for s in desk.venue("binance", "GET", "/stats")["sessions"] if s["live"]}


def at_venue(desk: RunningDesk) -> set[str]:
    return {o["cl_ord_id"] for o in desk.venue("binance", "GET", "/working")["orders"]}


def states(desk: RunningDesk) -> dict[str, str]:
    return {str(o["cl_ord_id"]): str(o["state"]) for o in desk.ask("orders", "--all")["orders"]}


def test_announced_maintenance_moves_every_session_in_time_and_back_and_loses_nothing(desk: RunningDesk) -> None:
    desk.wait_ready()
    assert live(desk) == OWN
    resting = {desk.order("binance", "BTC-USDT", "buy", "0.01", price) for price in ("30000", "30001")}
    wait_for(lambda: resting <= at_venue(desk), 60, "the venue has the orders")
    pids = {p.name: p.pid for p in desk.view().processes}
    for seconds, before, after in ((60, OWN, OTHER), (60, OTHER, OWN)):
        fault = {"kind": "maintenance", "arguments": {"seconds": str(seconds)}}
        desk.venue("binance", "POST", "/fault", fault)
        # The old ones are left in order, long before the venue would end them.
        wait_for(lambda after=after: live(desk) == after, seconds - 3, lambda: f"moved: {live(desk)}")
        desk.wait_ready()
        reader = BookRegion.open(desk.desk.shm_dir / "book-l2").book("binance", "BTC-USDT")
        assert BookState(reader.status()[0]) is BookState.LIVE
        placed = desk.order("binance", "ETH-USDT", "buy", "0.01", "1000")
        wait_for(lambda placed=placed: placed in at_venue(desk), 60, "an order by the new session")
        resting.add(placed)
        assert resting <= at_venue(desk), "the orders of the session before rest on"
        wait_for(lambda: {states(desk).get(o) for o in resting} == {"NEW"}, 60, lambda: f"known as NEW: {states(desk)}")
        assert not live(desk) & before
    assert desk.view().gate == "ARMED"
    assert {p.name: p.pid for p in desk.view().processes} == pids
    config = ("--config", str(desk.desk.path))
    for cl_ord_id in sorted(resting):
        done = desk.qd("cancel", cl_ord_id, *config)
        assert done.returncode == 0, done.stderr
    wait_for(lambda: not resting & at_venue(desk), 60, "gone from the venue")
    wait_for(lambda: {states(desk).get(o) for o in resting} == {"CANCELED"}, 60, "and known to be gone")


def test_a_drill_on_the_running_desk_touches_nothing_and_a_full_one_trips_proves_and_opens(desk: RunningDesk) -> None:
    cl_ord_id = desk.order("kraken", "BTC-USD", "buy", "0.01", "30001")
    wait_for(lambda: any(o["cl_ord_id"] == cl_ord_id for o in desk.working("kraken")), 60, "the venue has the order")
    made: list[dict[str, Any]] = []

    def passed() -> bool:  # a machine that is busy fails one: that is what drills are for
        made.append(desk.ask("kill", "drill"))
        return bool(made[-1]["ok"])

    wait_for(passed, 60, lambda: made)
    steps = {s["name"]: s for s in made[-1]["steps"]}
    assert {"session binance-kill", "rest kraken", "rest binance", "fence kraken-trd", "alarms"} <= set(steps)
    assert any(o["cl_ord_id"] == cl_ord_id for o in desk.working("kraken"))
    full = desk.ask("kill", "drill", "--full")
    steps = {s["name"]: s for s in full["steps"]}
    said = json.dumps([full, desk.ask("kill", "status")])
    assert steps["nothing works at the venues"]["ok"], said
    assert steps["opened again"]["ok"], said
    assert desk.working("kraken") == desk.working("binance") == []
    kinds = [*["live"] * len(made), "full"]
    wait_for(lambda: [d["kind"] for d in desk.ask("kill", "drills")] == kinds, 60, "all drills are kept")
    assert "was opened again" in desk.ask("kill", "why")["why"]
    ack = ("alarms", "ack", "all", "--note", "a drill")  # alarms may still be on their way
    wait_for(lambda: desk.ask(*ack)["unacknowledged"] == 0, 60, "all are acknowledged")
    desk.wait_ready()
