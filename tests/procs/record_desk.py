"""A desk of processes whose ledger is held against the simulated venue's own record, and what a client hears of it."""

import os
import subprocess
import sys
from decimal import Decimal
from typing import Any

import quarterdeck as qd
from base.config import Kind
from ipc.events import ExecutionReport
from ipc.journal import read_events
from ipc.ledger_read import Filter, LedgerReader
from ipc.requests import CancelOrder
from tests.procs.sim_desk import ROOT, SimDesk

LEDGER = "\n[ledger]\nbreak_after_ms = 5000\n"


class RecordDesk(SimDesk):
    """Trading, kill switch, ledger, and the sessions that `session` adds; a client that hears every `exec.`."""

    def __init__(self, dialect: str, sessions: str, kill: str) -> None:
        super().__init__(dialect, kill=kill, session=sessions + LEDGER)
        self.others = [n for n in self.desk.config.session if n != "trd"]
        self.client = qd.connect(self.desk.path)
        self.client.subscribe("exec.")
        self.heard: list[ExecutionReport] = []

    def spawn(self, name: str) -> None:
        copies = self.desk.sessions(Kind.DROPCOPY)
        if name != "ledger" and name not in copies:
            super().spawn(name)
            return
        what = ["-m", "procs.dropcopy", "--session", name] if name in copies else ["-m", "procs.ledger"]
        with open(self.root / f"{name}.out", "ab") as out:
            command = [sys.executable, *what, "--config", str(self.desk.path)]
            env = {**os.environ, "PYTHONPATH": str(ROOT)}
            self.processes[name] = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=out)

    def start(self) -> None:
        for name in (*self.others, "ledger"):
            self.spawn(name)
        super().start()
        for name in (*self.others, "ledger"):
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

    def fills_heard(self) -> list[ExecutionReport]:
        return [e for e in self.heard if e.exec_type == "F"]

    def told(self, session: str) -> list[ExecutionReport]:
        """Fills in a session's journal."""
        events = (d.event for d in read_events(self.desk.data_dir / session))
        return [e for e in events if isinstance(e, ExecutionReport) and e.exec_type == "F"]

    def open_breaks(self) -> int:
        with LedgerReader(self.desk.data_dir / "ledger" / "ledger.db") as reader:
            return reader.counts()["breaks"]

    def position(self) -> Decimal:
        """Of all strategies, by the ledger."""
        with LedgerReader(self.desk.data_dir / "ledger" / "ledger.db") as reader:
            return sum((Decimal(p["position"]) for p in reader.positions(Filter())), Decimal(0))

    def request_cancel(self, cl_ord_id: str) -> None:
        answer = self.request("trd", lambda client, command: CancelOrder(client, command, 0, cl_ord_id))
        assert answer.accepted, answer.reason

    def cancels(self) -> str:
        """What the kill switch's figure of cancels for each fill counts."""
        figures = self.ask("limits")["limits"]
        return str(next(f["detail"] for f in figures if f["figure"] == "cancels per fill"))

    def close(self) -> None:
        self.client.close()
        super().close()


def plain(value: Any) -> str:
    text = format(Decimal(value), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
