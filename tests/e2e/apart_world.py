"""A whole simulated desk whose processes are stopped and killed, an operator with four ways to trip it, and the venues'
own record of what came of it. With a real supervisord or without any.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import zmq

from base.clock import SystemClock
from base.config import load
from base.errors import BusError, CommandError, QuarterdeckError
from base.locks import role_holder
from ipc.audit_check import verify_audit
from ipc.command_client import CommandClient
from ipc.gate import GateReader, read_gate, session_scopes, set_operator_word
from ipc.operator_client import ask_line, line_path
from ipc.requests import NewOrder, Ops
from ipc.roster import command_endpoint, roster
from ipc.view.status import read_desk
from quarterdeck import supervisord
from sim.client import call, control_of
from tests.e2e.apart_desk import (
    ALARMS,
    KILLSWITCH,
    ORDERS,
    PLACED,
    PRICE,
    SUPERVISORD,
    TRADING,
    configuration,
    wait_for,
)

ROOT = Path(__file__).resolve().parents[2]


class World:
    """The desk, started once; `rearm` makes it whole again between cases."""

    def __init__(
        self,
        *,
        supervised: bool,
        roles: Sequence[str] = (),
        launchers: Mapping[str, Path] = MappingProxyType({}),
        change: Callable[[str], str] = lambda text: text,
    ) -> None:
        """`roles`: only these, all of them when empty. `launchers` start a role in place of its module."""
        self.supervised = supervised
        self.folder = Path(tempfile.mkdtemp(prefix="qa"))  # short: Unix sockets have room for 107 bytes
        (self.folder / "c").mkdir()
        path = self.folder / "c" / "desk.toml"
        path.write_text(change(configuration()))
        self.desk = load(path)
        self.roles = [r for r in roster(self.desk) if not roles or r.name in roles]
        self._launchers = launchers
        self.children: dict[str, subprocess.Popen[bytes]] = {}  # the newest of each role
        self._all: list[subprocess.Popen[bytes]] = []
        self.broken = False
        self._held: dict[str, int] = {}  # by venue: cancels that it had swallowed before `hold_cancels`
        self.forced: set[str] = set()  # orders that nothing could prove, in cases before: they stay on the list
        self._gates = {
            s: GateReader(self.desk.shm_dir / "gate", self.desk.shm_dir / "operator", session_scopes(v, "main", s))
            for s, (v, _, _) in ORDERS.items()
        }

    # -- processes -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """All of it, ready and armed."""
        if self.supervised:
            supervisord.start(self.desk)
        else:
            self.desk.run_dir.mkdir(mode=0o700, exist_ok=True)
            for role in self.roles:
                if not self.pid(role.name):
                    self.spawn(role.name)
        self.wait_ready(240)

    def spawn(self, name: str) -> None:
        """Start one process by hand, as a person would."""
        role = next(r for r in self.roles if r.name == name)
        module = [str(self._launchers[name])] if name in self._launchers else ["-m", f"procs.{role.kind}"]
        command = [sys.executable, *module, "--config", str(self.desk.path), *role.arguments]
        with open(self.folder / f"{name}.out", "ab") as out:
            self.children[name] = subprocess.Popen(
                command, cwd=ROOT, env=supervisord.environment(), stdout=out, stderr=out, start_new_session=True
            )
        self._all.append(self.children[name])

    def pid(self, name: str) -> int:
        """Of the process that has the role, whoever started it; 0 when nobody does."""
        if name == SUPERVISORD:
            with suppress(OSError, ValueError):
                return int((self.desk.run_dir / "supervisord.pid").read_text())
            return 0
        return role_holder(self.desk.run_dir / "lock" / name)

    def signal(self, names: dict[str, int], signum: int) -> None:
        """Send it to all of them as nearly at once as can be."""
        for pid in names.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signum)

    def unready(self) -> list[str]:
        """What is missing from a whole, armed desk."""
        view = read_desk(self.desk)
        mine = {r.name for r in self.roles}
        out = [
            f"{p.name} {p.readiness} {p.reason}"
            for p in view.processes
            if p.name in mine and (p.readiness != "READY" or p.pid != self.pid(p.name))
        ]
        out += [f"book {b.venue} {b.status}" for b in view.books if b.status != "LIVE"]
        return out + ([] if view.gate == "ARMED" else [f"desk {view.gate}"])

    def wait_ready(self, seconds: float = 120) -> None:
        """Until nothing is missing."""
        wait_for(lambda: not self.unready(), seconds, lambda: f"ready: {self.unready()}")

    def close(self) -> None:
        """Nothing of it is left; in no order, since that is no matter here."""
        supervisord.end_all(self.desk)
        for child in self._all:
            child.wait(10)
        shutil.rmtree(self.desk.shm_dir, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def logs(self) -> str:
        """The end of every log, for a failure."""
        files = [*self.folder.glob("*.out"), *(self.desk.log_dir / f"{n}.log" for n in (KILLSWITCH, *TRADING))]
        texts = {p.name: p.read_text(errors="replace")[-2500:] for p in files if p.exists()}
        return "\n".join(f"--- {name}\n{text}" for name, text in texts.items() if text)

    # -- the operator ----------------------------------------------------------------------------------------

    def qd(self, *arguments: str) -> tuple[int, Any]:
        """`qd kill ... --json`: exit status and what it printed."""
        command = [sys.executable, "-m", "quarterdeck.cli", "kill", *arguments, "--config", str(self.desk.path)]
        done = subprocess.run(
            [*command, "--json"], cwd=ROOT, env=supervisord.environment(), capture_output=True, timeout=60, check=False
        )
        return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr.decode()

    def trip(self, way: str, then: Callable[[], object] = lambda: None) -> None:
        """One of the four ways, and at once `then`; when nothing is seen of it, `qd kill trip`, as the runbook says."""
        {"cli": self._by_cli, "socket": self._by_socket, "signal": self._by_signal, "word": self._by_word}[way]()
        then()
        if way != "cli" and not self._seen(1.0):
            self._by_cli()
        assert self._seen(1.0) or self.qd("status")[0] == 3

    def _seen(self, seconds: float) -> bool:
        """Whether the desk's word or the operator's says that it is tripped."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            tripped = read_gate(self.desk.shm_dir / "gate")[0].state.name != "ARMED"
            if tripped or any(g.operator_set() for g in self._gates.values()):
                return True
            time.sleep(0.01)
        return False

    def _by_cli(self) -> None:
        code, said = self.qd("trip", "--reason", "matrix")
        assert code in (0, 2), said

    def _by_socket(self) -> None:
        """With nothing but a socket, in words."""
        with socket.socket(socket.AF_UNIX) as s, suppress(OSError):  # nobody may be there to answer
            s.settimeout(0.5)
            s.connect(str(line_path(self.desk.run_dir)))
            s.sendall(b"trip desk matrix by hand\n")
            assert json.loads(s.recv(1 << 16))["accepted"]

    def _by_signal(self) -> None:
        if pid := self.pid(KILLSWITCH):
            os.kill(pid, signal.SIGUSR1)

    def _by_word(self) -> None:
        set_operator_word(self.desk.shm_dir / "operator", "matrix", time.time_ns())

    def ask(self, verb: str, **args: str) -> dict[str, Any]:
        """The kill switch's answer over the operators' line."""
        return ask_line(self.desk.run_dir, verb, {"by": "matrix", **args}, 20.0)

    def closed(self, session: str) -> str:
        """Why no new order of the session may leave."""
        return self._gates[session].closed_reason(time.monotonic_ns(), "mm", ORDERS[session][1])

    # -- the venues' own side --------------------------------------------------------------------------------

    def venue(self, venue: str, method: str, path: str, body: object = None) -> dict[str, Any]:
        """A call to the simulated venue's control endpoint."""
        return call(control_of(self.desk, venue), method, path, body)

    def record(self, venue: str) -> dict[str, dict[str, Any]]:
        """Every order that the venue ever accepted of this desk, by ClOrdID."""
        found: dict[str, dict[str, Any]] = {}
        begin = 0
        while True:
            page = self.venue(venue, "GET", f"/record/orders?from={begin}")
            found |= {o["cl_ord_id"]: o for o in page["orders"]}
            begin = page["next"]
            if not begin:
                return found

    def working(self) -> list[str]:
        """Orders of the desk that truly work, by venue and ClOrdID."""
        return [f"{v}:{o['cl_ord_id']}" for v in self._venues() for o in self.venue(v, "GET", "/working")["orders"]]

    def settled_record(self) -> dict[str, set[str]]:
        """What the venues have accepted once all that their kernels held was read.

        What had reached a venue's kernel before the first of these calls has been read by its loop before the last:
        each is a connection of its own, which the loop serves turn by turn together with the sessions.
        """
        for venue, _, _ in ORDERS.values():
            for _ in range(5):
                self.venue(venue, "GET", "/stats")
        return {v: set(self.record(v)) for v, _, _ in ORDERS.values()}

    def hold_cancels(self) -> None:
        """The venues act on no cancel and answer none, until `let_cancels`."""
        for venue in self._venues():
            self._held[venue] = self._swallowed(venue)
            for msg_type in ("F", "q"):
                self._fault(venue, "swallow", msg_type=msg_type)
        self._fault("wide", "rest_fail")  # the only one with REST

    def cancels_held(self) -> bool:
        """Whether each venue has been asked to cancel since."""
        return all(self._swallowed(v) > before for v, before in self._held.items())

    def let_cancels(self) -> None:
        """From now on they act."""
        for venue in self._venues():
            self.venue(venue, "DELETE", "/faults")

    def _fault(self, venue: str, kind: str, **conditions: str) -> None:
        self.venue(venue, "POST", "/fault", {"kind": kind, "arguments": {**conditions, "n": "1000000"}})

    def _swallowed(self, venue: str) -> int:
        return int(self.venue(venue, "GET", "/stats")["faults_struck"].get("swallow", 0))

    def _venues(self) -> list[str]:
        return sorted({v for v, _, _ in ORDERS.values()})

    # -- between cases ---------------------------------------------------------------------------------------

    def place(self) -> None:
        """The orders that a case begins with, known to the kill switch."""
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            for session, (venue, instrument, qty) in ORDERS.items():
                client = CommandClient(context, command_endpoint(self.desk, session), "hand", SystemClock())
                placed = 0
                while placed < PLACED:
                    head = ("hand", client.next_command_id(), 0)
                    order = NewOrder(*head, venue, instrument, "1", "2", qty, PRICE, strategy="mm")
                    answer = client.request(order, timeout_ms=20_000)
                    # A kill switch that waits for a core lets its lease lapse for a moment: that comes back by itself.
                    assert answer.accepted or answer.reason.startswith("lease of the kill switch"), answer.reason
                    placed += answer.accepted
                client.close()
        finally:
            context.destroy(linger=0)
        wait_for(lambda: len(self.working()) == PLACED * len(ORDERS), 60, "orders work")

        def known() -> bool:
            return all(v["working"] == PLACED for v in self.ask("status")["venues"].values())

        wait_for(known, 60, lambda: f"the kill switch knows them: {self.ask('status')['venues']}")

    def rearm(self) -> None:
        """Start what is gone, open what was tripped, wait until all is well."""
        if self.supervised:
            wait_for(self._supervises, 60, "a supervisord runs")
        if not self.supervised:
            for role in self.roles:
                if not self.pid(role.name):
                    self.spawn(role.name)
        wait_for(self._answers, 60, "the kill switch answers")
        wait_for(self._opened, 60, lambda: f"reset: {self.ask('status')}")
        self.wait_ready()

    def _supervises(self) -> bool:
        """Whether a supervisord answers; one is started where none does, which a busy machine may take long for."""
        try:
            if not supervisord.running(self.desk):
                supervisord.start(self.desk)
        except QuarterdeckError:
            return False
        return True

    def _answers(self) -> bool:
        try:
            return bool(self.ask("status"))
        except BusError:
            return False

    def _opened(self) -> bool:
        try:
            for scope in (s["scope"] for s in self.ask("status")["scopes"] if s["state"] in ("TRIPPED", "TRIPPING")):
                self._reset(scope)
            return all(s["state"] == "ARMED" for s in self.ask("status")["scopes"])
        except (BusError, CommandError):
            return False

    def _reset(self, scope: str) -> None:
        try:
            self.ask("reset", scope=scope, reason="the case is over")
        except CommandError as e:
            refused, mark, names = str(e).partition("repeat the list: ")
            # As a person does who looked at the venue's own page: these never got there.
            if not mark or set(names.split()) & {"UNKNOWN", *self.record("plain"), *self.record("wide")}:
                raise CommandError(refused) from None
            self.ask("reset", scope=scope, reason="never arrived, says the venue", force=names)
            self.forced |= set(names.split())

    def settled(self) -> dict[str, Any] | None:
        """The last trip, once it is over; until then it must say what it waits for.

        It is over when it is PROVEN, or when nothing is left but orders that never reached a venue without a list of
        open orders: these nothing can prove there, so they stay unproven and are named.
        """
        truly = self.working()  # before: orders only end meanwhile
        try:
            status = self.ask("status")
        except BusError:
            return None
        trip: dict[str, Any] | None = status["last_trip"]
        if trip is None or status["desk"] not in ("TRIPPING", "TRIPPED"):
            return None
        if trip["phase"] == "PROVEN":
            left = self.working()
            assert not left, f"PROVEN, but these work: {left}"
            return trip if status["desk"] == "TRIPPED" else None
        assert not truly or trip["unproven"] or trip["open_questions"], f"{truly} work, and nothing is said: {trip}"
        mark, _, names = "; ".join(trip["open_questions"]).partition("not proven dead: ")
        only = not truly and not mark and all(name.startswith("plain:") for name in names.split(", "))
        return trip if only and not set(trip["unproven"]) & self.record("plain").keys() else None

    def wait_settled(self, seconds: float = 120) -> dict[str, Any]:
        """The trip once it is over."""
        found: dict[str, Any] = wait_for(self.settled, seconds, lambda: f"settled: {self._said()}")
        return found

    def _said(self) -> str:
        try:
            return str(self.ask("status"))
        except BusError as e:
            return str(e)

    def alarmed(self, since_ns: int) -> bool:
        """Whether the alarms process has heard of a trip of the desk since then."""
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        client = CommandClient(context, command_endpoint(self.desk, ALARMS), "matrix", SystemClock())
        try:
            answer = client.request(Ops("matrix", client.next_command_id(), 0, "list", {}), timeout_ms=2_000)
        except BusError:
            return False
        finally:
            client.close()
            context.destroy(linger=0)
        assert answer.accepted, answer.reason
        key = {"source": KILLSWITCH, "code": "tripped", "subject": "desk"}
        standing = json.loads(answer.data)["standing"]
        return any(a["last_ns"] >= since_ns and key.items() <= a.items() for a in standing)

    def audit_is_sound(self) -> str:
        """What is wrong with the audit trail."""
        return verify_audit(self.desk.data_dir / "kill")[1]
