"""Who keeps a campaign's desk going: opens what is shut, starts supervisord again, and says where things stand."""

import signal
import time
from pathlib import Path
from typing import Any, Final

from base.config import DeskConfig
from base.errors import BusError, CommandError, QuarterdeckError
from bench.kill_campaign_report import Trip
from bench.kill_desk import NAMES, READY_S, TRADING, KillSwitchPerson, kill_pid, ready
from bench.kill_faults import Faults
from bench.kill_lookout import Lookout
from bench.soak_desk import wait
from ipc.readiness import read_all
from quarterdeck import supervisord

PATIENCE_S: Final = 30.0  # for a proof, when nothing is wrong any more; then a person forces the reset
ASK_MS: Final = 300
TRIPPED: Final = ("TRIPPED", "TRIPPING")


class Keeper:
    """The person at the desk."""

    def __init__(self, desk: DeskConfig, lookout: Lookout) -> None:
        self.desk, self.lookout = desk, lookout
        self.person = KillSwitchPerson(desk)

    def close(self) -> None:
        """Let go of the kill switch."""
        self.person.close()

    def repair(self, trip: Trip, faults: Faults) -> None:
        """Everything goes right again, and what is shut is opened: by force where orders are not proven."""
        if trip.held:  # with the venue still away: what is not proven has to be named
            self._open(trip, "desk" if self.lookout.shut_now("desk") else trip.scope)
        faults.heal()
        self.mend_supervisor()
        self._answers(trip)
        self.lookout.check_latch()
        since = time.monotonic()
        nameless = {s.kind for s in faults.struck} >= {"gate:names", "kill:killswitch"}

        def opened() -> bool:
            self.lookout.look()
            status = self.status()
            if status is None:
                return False
            shut = [s["scope"] for s in status["scopes"] if s["state"] in TRIPPED]
            if "desk" in shut and nameless:  # the desk's reset opens words that nobody can name
                self.lookout.opened_with([s for s in self.lookout.scopes if s not in shut], time.monotonic_ns())
            for scope in shut:
                if time.monotonic() - since > PATIENCE_S:
                    self._open(trip, scope)
                else:
                    self._reset(scope, "")
            if status["desk"] == "DISARMED":
                self._arm()
            return self.stands()

        if not wait(opened, READY_S, 0.1):
            raise QuarterdeckError(f"not open again {READY_S:g} s after trip {trip.number}: {self.where()}")
        if not trip.held and not trip.forced:
            trip.proven = True  # by the time of its reset, which would have been refused otherwise

    def _answers(self, trip: Trip) -> None:
        """A kill switch that was killed has started again: who is dead writes no latch."""

        def answered() -> bool:
            self.lookout.look()
            return self.status() is not None

        if not wait(answered, READY_S, 0.1):
            raise QuarterdeckError(f"no kill switch {READY_S:g} s after trip {trip.number}: {self.where()}")

    def _open(self, trip: Trip, scope: str) -> None:
        """A reset that names what is not proven, where it has to."""
        refusal = self._reset(scope, "")
        _, mark, names = refusal.rpartition(NAMES)
        if mark and not self._reset(scope, names):
            trip.forced = sorted({*trip.forced, *names.split()})

    def _reset(self, scope: str, force: str) -> str:
        """Why it was refused, or "": it was not, or nobody knows."""
        self.lookout.look()
        since_ns = time.monotonic_ns()
        try:
            said = self.person.ask("reset", scope=scope, reason="campaign", force=force)
        except CommandError as e:
            return str(e)
        except BusError:  # it may have been taken: what is open from now on was asked for
            self.lookout.opened_with(self.lookout.scopes, since_ns)
            return ""
        also = str(said.get("said", "")).partition("; also ")[2]
        self.lookout.opened_with([scope, *(a.strip() for a in also.split(",") if a.strip())], since_ns)
        return ""

    def _arm(self) -> None:
        try:
            self.person.ask("arm", reason="campaign")
        except QuarterdeckError:
            return  # refused, or nobody there: looked at again

    # -- supervisord -----------------------------------------------------------------------------------------

    def supervisor(self) -> int:
        """Its pid; 0 when it does not run."""
        try:
            pid = int((self.desk.run_dir / "supervisord.pid").read_text())
        except (OSError, ValueError):
            return 0
        return pid if pid > 1 and b"supervisor" in _command_line(pid) else 0

    def mend_supervisor(self) -> None:
        """One that was stopped goes on; one that was killed is started again, what it left keeps its roles."""
        pid = self.supervisor()
        if pid:
            kill_pid(pid, signal.SIGCONT)
            return
        self.end_twins()
        (self.desk.run_dir / "supervisor.sock").unlink(missing_ok=True)
        supervisord.start(self.desk)

    def end_twins(self) -> None:
        """Processes that wait for a role behind a supervisord that is gone."""
        pages = read_all(self.desk.shm_dir / "proc") if (self.desk.shm_dir / "proc").is_dir() else {}
        for name, page in pages.items():
            if name.endswith(".twin") and str(self.desk.path).encode() in _command_line(page.pid):
                kill_pid(page.pid, signal.SIGKILL)
                (self.desk.shm_dir / "proc" / name).unlink(missing_ok=True)

    # -- where things stand ----------------------------------------------------------------------------------

    def status(self) -> dict[str, Any] | None:
        """What the kill switch says; None when it does not in time."""
        try:
            return self.person.ask("status", timeout_ms=ASK_MS)
        except QuarterdeckError:
            return None

    def stands(self) -> bool:
        """Everything runs and is open."""
        if not ready(self.desk, ("killswitch", *TRADING.values())):
            return False
        status = self.status()
        return status is not None and all(s["state"] == "ARMED" for s in status["scopes"])

    def trades(self) -> bool:
        """Open, and every venue has something to lose. What a late death shut is opened on the way."""
        if not self.stands():
            status = self.status() or {"scopes": []}
            for scope in [s["scope"] for s in status["scopes"] if s["state"] in TRIPPED]:
                self._reset(scope, "")
            return False
        found = self.status()
        return found is not None and all(v["working"] >= 2 for v in found["venues"].values())

    def where(self) -> str:
        """For whoever has to find out why it does not stand."""
        pages = read_all(self.desk.shm_dir / "proc")
        said = "; ".join(f"{n} {p.readiness} {p.reason}".rstrip() for n, p in pages.items())
        status = self.status() or {"scopes": [], "last_trip": None}
        scopes = [f"{s['scope']} {s['state']} {s['reason']}" for s in status["scopes"]]
        asked = (status["last_trip"] or {}).get("open_questions", "")
        return f"{said}; {', '.join(scopes)}; {asked}"[:1500]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
