"""The main job, from start to proof: what `make run SECONDS=n` does and measures.

Starts the desk, lets the example quoter trade, kills one trading process, has a simulated venue lose a report, trips
the kill switch, waits until every working order is proven dead, and holds that against what the venues truly have.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from base.config import DeskConfig, Kind
from base.errors import CommandError, ConfigError, QuarterdeckError
from ipc.ledger_read import LedgerReader
from ipc.requests import Ops
from ipc.view.status import DeskView, read_desk
from quarterdeck import supervisord
from quarterdeck.alarm_screen import screen
from quarterdeck.orders import Operator
from sim.client import call, control_of

READY_S = 60.0
PROOF_S = 60.0
LEVELS = 6  # quotes a side of each instrument: 48 over the default desk
WORKING = 20  # orders that must be working before the disaster
WORKING_S = 15.0
LEDGER_S = 20.0


class Result(msgspec.Struct):
    """The last line of `make run SECONDS=n`. The first four are taken before anything is killed; times in ms."""

    sessions_ready: int
    sessions_total: int
    books_live: int
    books_total: int
    md_messages: int
    orders_sent: int
    fills: int
    working_at_trip: int
    proven_dead: int
    gate_closed_ms: float | None
    fence_ms: float | None
    first_cancel_ms: float | None
    all_proven_ms: float | None
    filled_on_the_way: int
    still_working_at_venues: int
    killed_process: str
    lost_report_at: str
    ledger_fills: int  # fills of record, once the ledger has heard of all: those of the venues
    ledger_breaks: int  # where the drop copy says otherwise
    ok: bool


def fresh_state(desk: DeskConfig) -> None:
    """A simulated desk begins anew: its venues remember nothing, so neither may its journals, stores and latch.

    ConfigError for any other desk: what is in its data directory is nobody's to remove.
    """
    if desk.config.desk.environment != "sim":
        raise ConfigError(f"{desk.path}: `qd run` is for simulated desks; start this one with `qd up`")
    if supervisord.orphans(desk) or supervisord.running(desk):
        raise QuarterdeckError(f"desk {desk.config.desk.name} runs already; `qd down` stops it")
    shutil.rmtree(desk.data_dir, ignore_errors=True)
    shutil.rmtree(desk.shm_dir, ignore_errors=True)


class Demo:
    """One run."""

    def __init__(self, desk: DeskConfig, say: Callable[[str], None]) -> None:
        self.desk = desk
        self.say = say
        self._quoter: subprocess.Popen[bytes] | None = None
        self._ours = False  # a desk that was found running is not ours to stop

    def start(self) -> DeskView:
        """Start the desk; the view once it is ready, or as it is when the time is up."""
        fresh_state(self.desk)
        self._ours = True
        self.say(f"starting desk {self.desk.config.desk.name}; logs are in {self.desk.log_dir}")
        supervisord.start(self.desk)
        if not supervisord.wait_until(lambda: read_desk(self.desk).ready, READY_S):
            self.say("not everything is ready:")
            for p in read_desk(self.desk).processes:
                if p.readiness != "READY":
                    self.say(f"  {p.name}: {p.readiness} {p.reason}")
        return read_desk(self.desk)

    def start_quoter(self) -> None:
        """The example quoter, as a strategy author would start it."""
        command = [sys.executable, "examples/quoter.py", str(self.desk.path), "--levels", str(LEVELS), "--keep"]
        with open(self.desk.log_dir / "quoter.log", "ab") as log:
            self._quoter = subprocess.Popen(
                command, cwd=supervisord.ROOT, env=supervisord.environment(), stdout=log, stderr=log
            )

    def stop_quoter(self) -> None:
        """End it and leave its orders standing."""
        if self._quoter is not None and self._quoter.poll() is None:
            self._quoter.send_signal(signal.SIGTERM)
            self._quoter.wait(10)

    def disaster(self, before: DeskView) -> Result:
        """Kill a trading process, lose a report, trip, prove; the quoter is still at it when the trip comes."""
        sims = list(self.desk.config.sim)
        victim = self.desk.sessions(Kind.TRADING)[0]
        other = next((v for v in sims if v != self.desk.config.session[victim].venue), sims[0])
        supervisord.wait_until(lambda: sum(len(self._working(v)) for v in sims) >= WORKING, WORKING_S)
        working = sum(len(self._working(v)) for v in sims)
        self.say(f"{working} orders working; losing a report at {other}, killing {victim}, tripping the kill switch")
        call(control_of(self.desk, other), "POST", "/fault", {"kind": "lost_report", "arguments": {"exec_type": "4"}})
        os.kill(self._pid(victim), signal.SIGKILL)
        tripped = self._ops("trip", reason="demonstration")
        if tripped is None:
            raise QuarterdeckError("the kill switch did not take the trip")
        supervisord.wait_until(self._all_proven, PROOF_S)
        self.stop_quoter()
        supervisord.wait_until(lambda: self._alive(victim), READY_S)
        trip = self._trip()
        left = sum(len(self._working(v)) for v in sims)
        return self._result(before, trip, left, victim, other)

    def _result(self, before: DeskView, trip: dict[str, Any], left: int, victim: str, other: str) -> Result:
        ledger = self._ledger()
        stats = [call(control_of(self.desk, v), "GET", "/stats") for v in self.desk.config.sim]
        ready = before.sessions_ready == before.sessions_total and before.books_live == before.books_total
        proven = trip.get("all_proven_ms") is not None and not trip.get("unproven")
        return Result(
            sessions_ready=before.sessions_ready,
            sessions_total=before.sessions_total,
            books_live=before.books_live,
            books_total=before.books_total,
            md_messages=sum(b.messages for b in read_desk(self.desk).books),
            orders_sent=sum(s["orders_taken"] for s in stats),
            fills=sum(s["fills"] for s in stats),
            working_at_trip=int(trip.get("orders", 0)),
            proven_dead=int(trip.get("proven", 0)),
            gate_closed_ms=trip.get("gate_closed_ms"),
            fence_ms=trip.get("fence_ms"),
            first_cancel_ms=trip.get("first_cancel_ms"),
            all_proven_ms=trip.get("all_proven_ms"),
            filled_on_the_way=int(trip.get("filled", 0)),
            still_working_at_venues=left,
            killed_process=victim,
            lost_report_at=other,
            ledger_fills=ledger["fills"],
            ledger_breaks=ledger["breaks"],
            ok=ready
            and proven
            and not left
            and trip["proven"] == trip["orders"] >= WORKING
            and (ledger["fills"], ledger["breaks"]) == (self._fills(), 0),
        )

    def _fills(self) -> int:
        return sum(int(call(control_of(self.desk, v), "GET", "/stats")["fills"]) for v in self.desk.config.sim)

    def _ledger(self) -> dict[str, int]:
        """What the ledger counts, once it has every fill of the venues in every view, or says that it lacks one."""
        config = self.desk.config.ledger
        if config is None:
            raise ConfigError(f"{self.desk.path}: no [ledger]")

        def counts() -> dict[str, int]:
            with LedgerReader(self.desk.data_dir / config.path) as reader:
                return reader.counts()

        def settled() -> bool:
            found = counts()
            return found["breaks"] > 0 or (found["fills"] == self._fills() and not found["waiting"])

        supervisord.wait_until(settled, LEDGER_S)
        return counts()

    def alarms(self) -> list[str]:
        """What stands now that people have to know; a desk without [alarms] has none."""
        if self.desk.config.alarms is None:
            return []
        with Operator(self.desk) as operator:
            answer = operator.ask("alarms", Ops(*operator.head("alarms"), "list", {}))
        if not answer.accepted:
            raise CommandError(f"alarms: {answer.reason}")
        return screen(msgspec.json.decode(answer.data))

    def _alive(self, process: str) -> bool:
        """Whether a killed process was started again, and has found out what became of its orders."""
        return any(p.name == process and p.readiness == "READY" for p in read_desk(self.desk).processes)

    def _pid(self, process: str) -> int:
        return next(p.pid for p in read_desk(self.desk).processes if p.name == process)

    def _working(self, venue: str) -> list[Any]:
        """Orders of this desk that truly work at a simulated venue, whatever anybody reports."""
        sessions = {s.sender_comp_id for s in self.desk.config.session.values()}
        sessions |= {s.alternate_sender_comp_id for s in self.desk.config.session.values()}
        orders = call(control_of(self.desk, venue), "GET", "/working")["orders"]
        return [o for o in orders if o["session"] in sessions]

    def _ops(self, verb: str, **args: str) -> dict[str, Any] | None:
        with Operator(self.desk) as operator:
            answer = operator.ask("killswitch", Ops(*operator.head("killswitch"), verb, args))
        if not answer.accepted:
            raise CommandError(f"kill switch: {answer.reason}")
        data: dict[str, Any] | None = msgspec.json.decode(answer.data)
        return data

    def _trip(self) -> dict[str, Any]:
        status = self._ops("status") or {}
        trip: dict[str, Any] = status.get("last_trip") or {}
        return trip

    def _all_proven(self) -> bool:
        return self._trip().get("all_proven_ms") is not None

    def stop(self) -> None:
        """Stop whatever was started."""
        self.stop_quoter()
        if self._ours and supervisord.running(self.desk):
            supervisord.stop(self.desk)


def timed(demo: Demo, seconds: float) -> int:
    """The whole demonstration; prints the result as the last line; 0 only if everything was as it must be."""
    try:
        before = demo.start()
        demo.say(f"sessions ready {before.sessions_ready}/{before.sessions_total}, "
                 f"books live {before.books_live}/{before.books_total}; trading for {seconds:g} s")  # fmt: skip
        demo.start_quoter()
        time.sleep(seconds)
        result = demo.disaster(before)
        for line in demo.alarms():
            demo.say(line)
    finally:
        demo.stop()
    sys.stdout.write(json.dumps(msgspec.to_builtins(result)) + "\n")
    return 0 if result.ok else 1
