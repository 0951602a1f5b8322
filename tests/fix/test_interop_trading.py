"""A trading process (`procs.trading`, the plain dialect, its own journal and store) with QuickFIX as its venue, each
killed while orders and reports are under way.
"""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import quarterdeck as qd
from base.config import DeskConfig, load
from fix.file_store import FileStore
from ipc.events import ExecutionReport, OrderState
from ipc.gate import GateState, GateWriter
from ipc.journal import read_events
from ipc.view.status import read_desk
from quarterdeck import supervisord
from tests.fix.interop_kit import LONG, acceptor, free_port

pytestmark = pytest.mark.e2e

FAR = 1 << 60
NAME = "qf-trd"
CONFIG = """
[desk]
name = "interop"
environment = "test"
[kill]
dead_owner_trips = false
[venue.qf]
dialect = "fix44"
instruments = [{ name = "BTC-USD", symbol = "BTC/USD", px_scale = 2, qty_scale = 4 }]
[venue.qf.options]
messages = ["D", "F"]
on_disconnect = "keeps"
[session.qf-trd]
venue = "qf"
kind = "trading"
address = "run:qf#trading"
tls = false
heartbeat_s = 1
sender_comp_id = "DESK"
target_comp_id = "VENUE"
on_stop = "keep"
"""


class Trading:
    """The process, started again as often as it is killed."""

    def __init__(self, desk: DeskConfig) -> None:
        self.desk = desk
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "procs.trading", "--config", str(self.desk.path), "--session", NAME]
        self.process = subprocess.Popen(command, cwd=supervisord.ROOT, env=supervisord.environment())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)

    def ready(self) -> bool:
        found = [p for p in read_desk(self.desk).processes if p.name == NAME]
        return bool(found) and found[0].readiness == "READY" and found[0].pid == self.process.pid

    def reports(self) -> Counter[str]:
        """ExecIDs as published and journalled."""
        return Counter(d.event.exec_id for d in self._journal() if isinstance(d.event, ExecutionReport))

    def orders(self) -> dict[str, OrderState]:
        return {d.event.cl_ord_id: d.event for d in self._journal() if isinstance(d.event, OrderState)}

    def filled(self) -> set[str]:
        """Orders of which a fill was reported."""
        events = [d.event for d in self._journal()]
        return {e.cl_ord_id for e in events if isinstance(e, ExecutionReport) and e.exec_type == "F"}

    def _journal(self):
        return read_events(self.desk.data_dir / NAME)


@pytest.fixture
def desk() -> Iterator[DeskConfig]:
    folder = Path(tempfile.mkdtemp(prefix="qdi-"))
    (folder / "config").mkdir()
    (folder / "config" / "desk.toml").write_text(CONFIG)
    desk = load(folder / "config" / "desk.toml")
    desk.run_dir.mkdir(mode=0o700)
    desk.shm_dir.mkdir(parents=True)
    gate = GateWriter(desk.shm_dir / "gate", desk.shm_dir / "operator")
    gate.set("desk", GateState.ARMED)
    gate.renew(0, FAR)
    yield desk
    shutil.rmtree(desk.shm_dir, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def test_a_trading_process_and_quickfix_kill_by_kill(reactor, desk, tmp_path):
    port = free_port()
    (desk.run_dir / "qf.json").write_text(json.dumps({"endpoints": {"trading": f"127.0.0.1:{port}"}}))

    def until(condition, what):
        assert reactor.run_until(condition, LONG), (what, venue.events[-5:], list(desk.log_dir.glob("*")))

    with acceptor(reactor, tmp_path / "qf", port, "4.4", heartbeat=1) as venue:
        until(lambda: venue.count("started"), "QuickFIX listens")  # each refused attempt makes the next one wait longer
        trading = Trading(desk)
        try:
            with qd.connect(desk.path, strategy="s", timeout=2.0) as client:
                for life, victim in enumerate(("trading", "venue", "trading")):
                    until(trading.ready, f"ready before kill {life}")
                    at = len(venue.sent()) + 8
                    placed = 0
                    while len(venue.sent()) < at and placed < 200:
                        placed += place(client)
                        reactor.run_once(1_000_000)
                    if victim == "trading":
                        trading.kill()
                        trading.start()
                    elif victim == "venue":
                        venue.kill()
                        venue.start()
            until(trading.ready, "ready at last")
            until(lambda: not set(venue.sent()) - trading.reports().keys(), "every report")
        finally:
            trading.stop()
        asked = venue.count("numbers")
        venue.do("numbers")
        until(lambda: venue.count("numbers") > asked, "numbers")
        assert not [e for e in venue.events if e["event"] in {"reject", "rejected"}]
    reports = trading.reports()
    assert max(reports.values()) == 1
    assert len(reports.keys() - set(venue.sent())) <= 1, "stored and sent, and killed before it was written down"
    orders = Counter(order for order, _ in venue.seen("order"))
    assert max(orders.values()) == 1
    states = trading.orders()
    assert not orders.keys() - states.keys()
    assert {states[o].state for o in trading.filled()} == {"FILLED"}
    store = FileStore(next(desk.data_dir.glob(f"{NAME}/**/store-*")).parent, time.time_ns())
    told = venue.last("numbers")
    assert (store.next_in, store.next_out) == (told["out"], told["into"])
    store.close()


def place(client) -> int:
    """One order; refused while there is no session."""
    try:
        client.buy("qf", "BTC-USD", "1", "50000")
    except qd.QuarterdeckError:
        return 0
    return 1
