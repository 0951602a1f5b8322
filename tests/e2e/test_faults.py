"""Deaths, stops and restarts of every process of a desk; each leaves it whole."""

import os
import signal
import subprocess
import sys

import pytest

from ipc.books import BookRegion, BookState
from quarterdeck import supervisord
from tests.e2e.conftest import ROOT, RunningDesk, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    "process", ["kraken-md", "kraken-l3", "binance-md", "binance-dc", "book-l2", "book-l3", "ledger"]
)
def test_a_killed_process_comes_back_and_touches_no_other(desk: RunningDesk, process: str) -> None:
    desk.wait_ready()
    before = {p.name: p.pid for p in desk.view().processes}
    os.kill(before[process], signal.SIGKILL)
    wait_for(lambda: desk.pid(process) != before[process], 60, f"{process} restarted")
    desk.wait_ready()
    after = {p.name: p.pid for p in desk.view().processes}
    assert {n for n in before if before[n] != after[n]} == {process}
    assert desk.view().gate == "ARMED"


def test_readers_follow_a_restarted_book_process_without_restarting(desk: RunningDesk) -> None:
    desk.wait_ready()
    reader = BookRegion.open(desk.desk.shm_dir / "book-l2").book("kraken", "BTC-USD")
    assert reader.bbo()[1] > 0
    live_since = reader.status()[2]
    os.kill(desk.pid("book-l2"), signal.SIGKILL)

    def live_again() -> bool:  # how long it was not is for nobody to catch: it is LIVE since another moment
        state, _, since = reader.status()
        return BookState(state) is BookState.LIVE and since != live_since

    wait_for(live_again, 60, "the reader sees the new region")
    assert reader.bbo()[1] > 0
    desk.wait_ready()


def test_a_wrong_checksum_makes_the_book_stale_and_a_snapshot_heals_it(desk: RunningDesk) -> None:
    desk.wait_ready()
    reader = BookRegion.open(desk.desk.shm_dir / "book-l2").book("kraken", "BTC-USD")
    live_since = reader.status()[2]
    wrong = {"kind": "md_checksum", "arguments": {"symbol": "BTC/USD", "session": "QDDESK1"}}
    desk.venue("kraken", "POST", "/fault", wrong)
    # Healing takes milliseconds: what stays to be seen is that the book is LIVE since another moment.
    wait_for(lambda: reader.status()[2] != live_since, 60, "the book left LIVE")
    wait_for(lambda: BookState(reader.status()[0]) is BookState.LIVE, 60, "a snapshot heals it")
    desk.wait_ready()
    assert "CHECKSUM" in (desk.desk.log_dir / "kraken-md.log").read_text()


def test_a_twin_waits_and_names_the_holder(desk: RunningDesk) -> None:
    desk.wait_ready()
    holder = desk.pid("kraken-md")
    command = [sys.executable, "-m", "procs.marketdata", "--config", str(desk.desk.path), "--session", "kraken-md"]
    with subprocess.Popen(command, cwd=ROOT, env=supervisord.environment()) as twin:
        try:
            found = wait_for(
                lambda: [p for p in desk.view().processes if p.name == "kraken-md.twin"], 60, "the twin shows itself"
            )
            assert found[0].readiness == "STARTING"
            assert f"pid {holder}" in found[0].reason
            assert desk.pid("kraken-md") == holder
        finally:
            twin.terminate()
    assert twin.returncode == 0
    desk.wait_ready()


def test_orders_survive_a_killed_trading_process_as_far_as_the_venue_keeps_them(desk: RunningDesk) -> None:
    """Kraken cancels on disconnect, Binance keeps: both are found out, and neither is doubled."""
    desk.wait_ready()
    kept = desk.order("binance", "BTC-USDT", "buy", "0.01", "30000")
    wait_for(lambda: any(o["cl_ord_id"] == kept for o in desk.working("binance")), 60, "the venue has the order")
    before = desk.pid("binance-trd")
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: desk.pid("binance-trd") not in (before, 0), 60, "restarted")
    wait_for(lambda: desk.readiness("binance-trd") == "READY", 60, "reconciled")

    def state() -> str:
        orders = desk.ask("orders", "--all")["orders"]
        return next((str(o["state"]) for o in orders if o["cl_ord_id"] == kept), "")

    # The death of an owner is a hard trigger: its orders are cancelled, and that is known.
    wait_for(lambda: state() in ("CANCELED", "FILLED"), 60, "the order's end is known")
    assert not [o for o in desk.working("binance") if o["cl_ord_id"] == kept]
    desk.reset("test is over")


def test_a_stopped_trading_process_is_fenced_by_its_death_and_its_orders_are_cancelled(desk: RunningDesk) -> None:
    desk.wait_ready()
    desk.order("kraken", "BTC-USD", "buy", "0.01", "30000")
    wait_for(lambda: desk.working("kraken"), 60, "the venue has the order")
    stopped = desk.pid("kraken-trd")
    os.kill(stopped, signal.SIGSTOP)
    config = ("--config", str(desk.desk.path))
    assert desk.qd("kill", "trip", "--reason", "test", *config).returncode == 0
    wait_for(lambda: desk.ask("kill", "status")["last_trip"]["all_proven_ms"] is not None, 60, "all proven")
    trip = desk.ask("kill", "status")["last_trip"]
    assert trip["killed"] == ["kraken-trd"]
    assert desk.working("kraken") == []
    desk.reset("test is over")


def test_children_outlive_a_killed_supervisord_and_its_successor_starts_no_second_writer(desk: RunningDesk) -> None:
    desk.wait_ready()
    pids = {p.name: p.pid for p in desk.view().processes}
    pid = int((desk.desk.run_dir / "supervisord.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not supervisord.running(desk.desk), 60, "supervisord is gone")
    desk.wait_ready()
    supervisord.start(desk.desk)

    def twins() -> set[str]:
        return {p.name.removesuffix(".twin") for p in desk.view().processes if p.name.endswith(".twin")}

    wait_for(lambda: "kraken-trd" in twins() and "killswitch" in twins(), 120, "twins wait")
    live = {p.name: p.pid for p in desk.view().processes if not p.name.endswith(".twin")}
    assert live == pids
    # Ending the orphans lets the waiting twins, who are supervisord's own, take over.
    for name, orphan in pids.items():
        if not name.startswith("sim-"):
            os.kill(orphan, signal.SIGTERM)
    wait_for(lambda: not twins(), 60, "the twins took over")
    for name, orphan in pids.items():
        if name.startswith("sim-"):
            os.kill(orphan, signal.SIGTERM)
    desk.wait_ready()
