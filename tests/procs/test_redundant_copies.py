"""Two drop copies of one account, as processes: one is killed in the middle of fills and comes back, then the other."""

import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

import quarterdeck as qd
from ipc.events import ExecutionReport
from ipc.journal import read_events
from ipc.ledger_read import Filter, LedgerReader
from tests.procs.sim_desk import ROOT, SimDesk

pytestmark = pytest.mark.e2e
COPY = """
[session.{name}]
venue = "x"
kind = "dropcopy"
address = "run:sim-x#dropcopy"
ca_file = "run:sim-x.ca.pem"
server_name = "localhost"
sender_comp_id = "{sender}"
target_comp_id = "VENUE"
username = "run:secrets/{name}.key"
password = "run:secrets/{name}.secret"
{more}
"""
LIMITS = """
session_loss_grace_s = 1
[[kill.limits]]
scope = "venue:x"
max_drop_copy_lag_s = 300
max_drop_copy_mismatches_per_day = 0
"""
COPIES = ("dc", "dc2")


class Desk(SimDesk):
    """Trading, kill switch, two drop copies, ledger."""

    def __init__(self) -> None:
        copies = COPY.format(name="dc", sender="DC1", more="")
        copies += COPY.format(name="dc2", sender="DC2", more='redundant_with = "dc"')
        super().__init__("fix44", kill=LIMITS, session=f"{copies}\n[ledger]\nbreak_after_ms = 5000\n")
        self.client = qd.connect(self.desk.path)
        self.client.subscribe("exec.")
        self.heard: list[ExecutionReport] = []

    def spawn(self, name: str) -> None:
        if name in ("killswitch", "trd"):
            super().spawn(name)
            return
        what = ["-m", "procs.ledger"] if name == "ledger" else ["-m", "procs.dropcopy", "--session", name]
        with open(self.root / f"{name}.out", "ab") as out:
            command = [sys.executable, *what, "--config", str(self.desk.path)]
            env = {**os.environ, "PYTHONPATH": str(ROOT)}
            self.processes[name] = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=out)

    def start(self) -> None:
        for name in (*COPIES, "ledger"):
            self.spawn(name)
        super().start()
        for name in (*COPIES, "ledger"):
            self.back(name)

    def back(self, name: str) -> None:
        if self.processes[name].poll() is not None:
            self.spawn(name)
        self.wait(lambda: self.readiness(name) == "READY", f"{name} ready")

    def fill(self, cl_ord_id: str, *quantities: str) -> None:
        order = next(o for o in self.venue.working() if o["cl_ord_id"] == cl_ord_id)
        for qty in quantities:
            self.venue.control("POST", "/fill", {"order_id": order["order_id"], "qty": qty})

    def truth(self) -> list[tuple[str, ...]]:
        """The venue's own record."""
        page = self.venue.control("GET", "/record/fills?from=0")
        assert page["next"] == 0
        return sorted((f["order_id"], f["trade_id"], f["side"], f["last_qty"], f["last_px"]) for f in page["fills"])

    def recorded(self) -> list[tuple[str, ...]]:
        sides = {"buy": "1", "sell": "2"}
        with LedgerReader(self.desk.data_dir / "ledger" / "ledger.db") as reader:
            return sorted(
                (f["order_id"], f["trade_id"], sides[f["side"]], plain(f["qty"]), plain(f["px"]))
                for f in reader.fills(Filter())
            )

    def agrees(self) -> bool:
        self.listen()
        with LedgerReader(self.desk.data_dir / "ledger" / "ledger.db") as reader:
            counts = reader.counts()
        return self.recorded() == self.truth() and not counts["waiting"]

    def listen(self) -> None:
        self.heard += [d.event for d in self.client.poll(0) if isinstance(d.event, ExecutionReport)]

    def copied(self, session: str = "") -> list[str]:
        """Trade ids of copied fills: as a client heard them, or as one session's journal has them."""
        if not session:
            return [e.trade_id for e in self.heard if e.drop_copy and e.exec_type == "F"]
        events = (d.event for d in read_events(self.desk.data_dir / session))
        return [e.trade_id for e in events if isinstance(e, ExecutionReport) and e.exec_type == "F"]

    def close(self) -> None:
        self.client.close()
        super().close()


def plain(value: Any) -> str:
    text = format(Decimal(value), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    try:
        made.start()
        yield made
    finally:
        made.close()


def test_either_drop_copy_may_die_in_the_middle_of_fills_and_nothing_is_lost_or_counted_twice(desk: Desk) -> None:
    orders = desk.place_working(6)
    desk.fill(orders[0], "0.001", "0.002")
    desk.wait(desk.agrees, "on record")
    for dies, order in zip(COPIES, orders[1:3], strict=True):
        desk.fill(order, "0.001")
        desk.kill(dies)  # with a report on its way, or not
        desk.fill(order, "0.002", "0.003")
        desk.fill(orders[3 if dies == "dc" else 4], "0.01")
        other = COPIES[dies == "dc"]
        desk.wait(desk.agrees, f"{other} shows what {dies} misses")
        desk.logged(f"of 2 sessions only {other} is left; {dies}: ")
        desk.back(dies)
        desk.wait(lambda: desk.logs().count("all 2 sessions are up again") == 1 + (dies == "dc2"), "said")  # noqa: B023
        desk.fill(order, "0.001")
        desk.wait(desk.agrees, "both go on")
    trades = sorted(trade for _, trade, *_ in desk.truth())
    assert len(trades) == 12
    # Who was killed between a report and its number has it in the journal twice, after the venue resent it.
    desk.wait(lambda: set(desk.copied("dc")) == set(desk.copied("dc2")) == set(trades), "both have it all")
    desk.wait(desk.agrees, "and it is on record once")
    assert sorted(desk.copied()) == trades  # what a client hears of both
    with LedgerReader(desk.desk.data_dir / "ledger" / "ledger.db") as reader:
        positions = list(reader.positions(Filter()))
        assert reader.counts()["breaks"] == 0
    assert sum(Decimal(p["position"]) for p in positions) == sum(Decimal(qty) for *_, qty, _ in desk.truth())
    status = desk.status()
    assert (status["desk"], status["last_trip"]) == ("ARMED", None)
