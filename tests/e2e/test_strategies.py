"""A strategy, unchanged, on a paper desk while each kind of process is killed under it: nothing is lost, nothing
doubled.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import quarterdeck as qd
from quarterdeck import supervisord
from quarterdeck.paper import paper_path, write_paper
from tests.e2e.conftest import ROOT, RunningDesk, patient, run_desk, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PRICE = "1000"  # far below the market: fills come when the test says so
TOPIC = "md.kraken.BTC-USD"


def production_text() -> str:
    """A production desk on one instrument of one venue, with a ledger."""
    text = (ROOT / "config" / "examples" / "kraken.toml").read_text()
    tables = re.split(r"(?m)^(?=\[)", text)
    text = "".join(t for t in tables if not t.startswith(("[session.kraken-l3]", "[book.l3]")))
    text = re.sub(r'    \{ name = "ETH-USD".*\n|, "ETH-USD" = "40"|^lease_ms.*\n', "", text, flags=re.MULTILINE)
    text = patient(text).replace("lease_ms = 5000", "reset_cool_off_s = 0\nlease_ms = 60000", 1)
    return text + "\n[ledger]\n"


class PaperDesk(RunningDesk):
    """The paper desk, and the strategy's view of it."""

    production: Path
    folder: Path
    client: qd.Desk

    def kill(self, process: str) -> None:
        """kill -9, and until it is back; the strategy goes on hearing meanwhile."""
        before = self.pid(process)
        os.kill(before, signal.SIGKILL)
        self.hear_until(lambda: self.pid(process) not in (before, 0), f"{process} restarted")

    def hear_until(self, true: Callable[[], object], what: str | Callable[[], object]) -> None:
        """Let the strategy hear until that is so."""

        def look() -> bool:
            self.client.run(0.05)
            return bool(true())

        wait_for(look, 120, what)

    def states(self) -> set[str]:
        """Of all scopes of the kill switch."""
        return {scope["state"] for scope in self.ask("kill", "status")["scopes"]}

    def place(self) -> qd.Order:
        """An order that rests at the venue, of which half has just been filled."""
        order = self.client.place("kraken", "BTC-USD", qd.BUY, "0.002", PRICE)
        assert order.wait("NEW", timeout=60) == "NEW"
        self.venue("kraken", "POST", "/fill", {"order_id": order.order_id, "qty": "0.001"})
        return order


@pytest.fixture
def desk() -> Iterator[PaperDesk]:
    folder = Path(tempfile.mkdtemp(prefix="qd-"))
    production = folder / "config" / "desk.toml"
    production.parent.mkdir()
    production.write_text(production_text())
    try:
        for running in run_desk(write_paper(production, paper_path(production), messages_per_s=50)):
            desk = PaperDesk(running.desk)
            desk.production, desk.folder = production, folder
            with qd.connect(production, strategy="s", timeout=20, paper=True) as desk.client:
                yield desk
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def start(name: str, *arguments: str) -> "subprocess.Popen[str]":
    """One of examples/."""
    command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=supervisord.environment(), stdout=subprocess.PIPE, text=True)


def stop(program: "subprocess.Popen[str]") -> dict[str, object]:
    """As ^C does; its last line."""
    program.send_signal(signal.SIGINT)
    said, _ = program.communicate(timeout=60)
    assert program.returncode == 0
    last: dict[str, object] = json.loads(said.splitlines()[-1])
    return last


def rows_of(desk: PaperDesk) -> list[dict[str, str]]:
    """The reports that are in the recorder's files."""
    files = sorted((desk.folder / "recorded" / "executions").glob("*.parquet"))
    return [row for path in files for row in pq.read_table(path, columns=["exec_id", "exec_type"]).to_pylist()]


def test_whatever_dies_a_strategy_has_each_fill_once_and_sees_the_gap(desk: PaperDesk) -> None:
    client, gaps, reports = desk.client, [], []
    assert client.paper
    client.on(qd.Gap, lambda gap, at: gaps.append((at.topic, gap.kind)), TOPIC)
    client.on(qd.ExecutionReport, lambda report, _: reports.append(report), "exec.kraken-trd", history=True)
    book = client.book("kraken", "BTC-USD")
    client.subscribe("bbo.kraken.BTC-USD")
    recorder = start("recorder", str(desk.desk.path), "--to", str(desk.folder / "recorded"), "--seconds", "1")
    orders = []
    try:
        for process in ("kraken-md", "book-l2", "ledger", "killswitch"):
            order = desk.place()
            desk.kill(process)
            desk.hear_until(lambda: desk.view().ready, f"the desk is whole after {process}")
            desk.hear_until(lambda: order.untold == 0 and order.filled, "the fill")  # noqa: B023 - used at once
            assert (order.state, order.filled, order.remaining) == ("PARTIALLY_FILLED", 100_000, 100_000)
            order.cancel()
            assert order.wait(timeout=60) == "CANCELED"
            orders.append(order)
            assert book.image(1).bids[0].qty > 0  # the same reader, whatever became of the region
        assert (TOPIC, "restart") in gaps  # its process began anew, and what it said in between is lost: shown

        order = desk.place()
        desk.kill("kraken-trd")
        # The death of an owner is a hard trigger: what it had is cancelled, by the venue or by the kill switch.
        told = lambda: order.done and order.filled and not order.untold  # noqa: E731
        desk.hear_until(told, lambda: f"the end of the order is known: {order!r}")
        assert (order.state, order.filled, len(order.fills)) == ("CANCELED", 100_000, 1)
        orders.append(order)
        desk.reset("the test goes on")
        desk.hear_until(lambda: "RESETTING" not in desk.states(), "the reset is over")
        client.arm("orders looked at")
        last = desk.place()
        last.cancel()
        last.wait(timeout=60)
        orders.append(last)
        desk.hear_until(lambda: client.health().ready, "nothing is wrong")

        with qd.connect(desk.production, strategy="s", timeout=20, paper=True) as later:  # the strategy's next life
            again = later.order(orders[0].cl_ord_id)
            assert [f.exec_id for f in again.fills] == [f.exec_id for f in orders[0].fills]
            assert later.open_orders() == []
        watcher = start("spread_watcher", str(desk.desk.path), "--seconds", "0.2")
        said, _ = watcher.communicate(timeout=60)
        assert json.loads(said.splitlines()[-1])["what"] == "summary"
        wait_for(lambda: len(rows_of(desk)) >= len(reports), 60, lambda: f"recorded: {rows_of(desk)}")
        recorded = stop(recorder)
    finally:
        recorder.kill()
        recorder.communicate()

    fills = [f.exec_id for order in orders for f in order.fills]
    told = [r.exec_id for r in reports if r.exec_type == "F"]
    rows = rows_of(desk)
    assert len(set(fills)) == len(orders) == len(fills) == 6
    assert sorted(fills) == sorted(told) == sorted(r["exec_id"] for r in rows if r["exec_type"] == "F")
    assert len(rows) == recorded["executions"] == len(reports)
    truth = desk.venue("kraken", "GET", "/stats")
    assert truth["orders_taken"] == len(orders)
    assert {o.cl_ord_id for o in orders} == {r.cl_ord_id for r in reports}
