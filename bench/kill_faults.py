"""What goes wrong around the trips of a campaign, drawn from the round's dice.

Venues, lines, processes, disk, gate files. Each fault is over by itself within `LONGEST_S`, or with `heal`. What holds
orders back at a venue's edge is shorter than the horizon of unanswered orders, and strikes a venue once a round: what
lasts longer defeats every proof, as docs/kill-switch.md says.
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from base.config import DeskConfig
from base.errors import QuarterdeckError
from bench.kill_desk import TRADING, VENUES, Venues, kill_pid
from ipc.readiness import read_all

LONGEST_S: Final = 3.0
DISK_BYTES: Final = 96 << 20
# kind and weight
WEIGHTS: Final = {
    "venue:stall": 2, "venue:disconnect": 2, "venue:lost_report": 3, "venue:swallow": 3, "venue:reject": 2,
    "venue:late_fill": 3, "venue:rest_fail": 3, "venue:rest_lag": 3, "venue:list_lag": 3, "venue:no_cancel": 3,
    "venue:mass_cancel_partial": 3, "venue:mass_cancel_fake": 3, "venue:maintenance": 1, "venue:rollover": 1,
    "venue:drop": 2, "line:stall": 4, "line:rest_stall": 2, "line:cut": 3, "line:deaf": 2, "line:refuse": 2,
    "stop:trading": 5, "stop:killswitch": 4, "stop:venue": 3, "kill:trading": 4, "kill:killswitch": 4,
    "stop:supervisord": 1, "kill:supervisord": 1, "disk:full": 3, "gate:gate": 1, "gate:operator": 1, "gate:names": 1,
}  # fmt: skip
HOLDING: Final = frozenset({"venue:stall", "line:stall", "stop:venue"})  # bytes wait at the venue's edge


class Struck(msgspec.Struct, frozen=True):
    """One fault as it struck."""

    mono_ns: int
    kind: str
    target: str


class Faults:
    """Strikes, and heals."""

    def __init__(self, desk: DeskConfig, venues: Venues, supervisor_pid: Callable[[], int]) -> None:
        self._desk, self._venues, self._supervisor_pid = desk, venues, supervisor_pid
        self._later: list[tuple[float, Callable[[], object]]] = []
        self._held: set[str] = set()
        self.struck: list[Struck] = []
        self.disk_full = False
        self.may_fill = mounted(desk.data_dir / "kill")

    def kinds(self) -> list[str]:
        """Those that this host can do."""
        return [k for k in WEIGHTS if self.may_fill or k != "disk:full"]

    def draw(self, dice: random.Random) -> str:
        """A kind, by weight."""
        kinds = self.kinds()
        return dice.choices(kinds, [WEIGHTS[k] for k in kinds])[0]

    def strike(self, kind: str, dice: random.Random, venue: str = "") -> None:
        """One fault now; kept in `struck` when it met something."""
        where, _, what = kind.partition(":")
        venue = venue or dice.choice(VENUES)
        if kind in HOLDING:
            if venue in self._held:
                return
            self._held.add(venue)
        seconds = dice.uniform(0.3, LONGEST_S)
        target = {
            "venue": self._venue, "line": self._line, "stop": self._stop, "kill": self._kill, "disk": self._disk,
            "gate": self._gate,
        }[where](what, venue, seconds, dice)  # fmt: skip
        if target:
            self.struck.append(Struck(time.monotonic_ns(), kind, target))

    def turn(self) -> None:
        """Ends what is due."""
        now = time.monotonic()
        due = [act for at, act in self._later if at <= now]
        self._later = [(at, act) for at, act in self._later if at > now]
        for act in due:
            act()

    def heal(self) -> None:
        """Everything goes right from now on."""
        for _, act in self._later:
            act()
        self._later.clear()
        self._held.clear()
        for venue in VENUES:
            self._venues.signal(venue, signal.SIGCONT)
        self._venues.tap("heal", VENUES[0], "trading")
        for venue in VENUES:
            for _ in range(3):
                try:
                    self._venues.ask(venue, "DELETE", "/faults")
                    break
                except QuarterdeckError:
                    time.sleep(0.2)

    def hold(self, venue: str) -> None:
        """The venue takes and does not answer, until `heal`."""
        self._venues.signal(venue, signal.SIGSTOP)
        self.struck.append(Struck(time.monotonic_ns(), "hold:venue", venue))

    def _after(self, seconds: float, act: Callable[[], object]) -> None:
        self._later.append((time.monotonic() + seconds, act))

    # -- each kind -------------------------------------------------------------------------------------------

    def _venue(self, what: str, venue: str, seconds: float, dice: random.Random) -> str:
        whole, often = str(max(1, int(seconds))), str(dice.randint(1, 3))
        arguments: dict[str, str] = {
            "stall": {"kind": "trading", "seconds": whole},
            "disconnect": {"kind": "trading", "logout": dice.choice("01")},
            "lost_report": {"kind": "trading", "exec_type": "4", "n": often},
            "swallow": {"kind": "trading", "msg_type": dice.choice("FFFDq"), "n": often},
            "reject": {"kind": "trading", "msg_type": dice.choice("FFq"), "n": often},
            "late_fill": {"when": dice.choice(("before", "after")), "ms": str(dice.randint(1, 300))},
            "rest_fail": {"n": often},
            "rest_lag": {"ms": str(dice.randint(100, 1500)), "n": often},
            "list_lag": {"ms": str(dice.randint(100, 900)), "seconds": whole},
            "no_cancel": {"seconds": whole},
            "mass_cancel_partial": {"n": often},
            "mass_cancel_fake": {"n": often},
            "maintenance": {"seconds": "1"},
            "rollover": {"seconds": "1"},
            "drop": {"kind": "trading", "msg_type": "8", "n": often},
        }[what]
        try:
            self._venues.ask(venue, "POST", "/fault", {"kind": what, "arguments": arguments})
        except QuarterdeckError:
            return ""  # it is stopped, or too busy: nothing was struck
        return f"{venue} {' '.join(f'{k}={v}' for k, v in arguments.items())}"

    def _line(self, what: str, venue: str, seconds: float, _dice: random.Random) -> str:
        service = "rest" if what.startswith("rest_") else "trading"
        self._venues.tap(what.removeprefix("rest_"), venue, service, seconds)
        if what == "deaf":  # nothing tells a half-open line's end but a cut
            self._after(seconds, lambda: self._venues.tap("cut", venue, service))
        return f"{venue} {service} for {seconds:.1f} s"

    def _pids(self, what: str, dice: random.Random) -> list[tuple[str, int]]:
        if what == "supervisord":
            pid = self._supervisor_pid()
            return [("supervisord", pid)] if pid else []
        names = {"trading": tuple(TRADING.values()), "killswitch": ("killswitch",)}[what]
        pages = read_all(self._desk.shm_dir / "proc")
        found = [(n, pages[n].pid) for n in names if n in pages and pages[n].pid]
        if what == "trading" and dice.random() < 0.7:
            found = [dice.choice(found)] if found else []
        return found

    def _stop(self, what: str, venue: str, seconds: float, dice: random.Random) -> str:
        if what == "venue":
            self._venues.signal(venue, signal.SIGSTOP)
            self._after(seconds, lambda: self._venues.signal(venue, signal.SIGCONT))
            return f"{venue} for {seconds:.1f} s"
        found = [(n, p) for n, p in self._pids(what, dice) if kill_pid(p, signal.SIGSTOP)]
        for _, pid in found:
            self._go_on(pid, seconds)
        return f"{', '.join(n for n, _ in found)} for {seconds:.1f} s" if found else ""

    def _go_on(self, pid: int, seconds: float) -> None:
        self._after(seconds, lambda: kill_pid(pid, signal.SIGCONT))

    def _kill(self, what: str, _venue: str, _seconds: float, dice: random.Random) -> str:
        return ", ".join(n for n, p in self._pids(what, dice) if kill_pid(p, signal.SIGKILL))

    def _disk(self, _what: str, _venue: str, seconds: float, _dice: random.Random) -> str:
        if self.disk_full:
            return ""
        filler = self._desk.data_dir / "kill" / "filler"
        fd = os.open(filler, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            free = os.fstatvfs(fd)
            os.posix_fallocate(fd, 0, max(1, free.f_bavail * free.f_bsize))
        except OSError as e:
            return f"not filled: {e.strerror}"
        finally:
            os.close(fd)
        self.disk_full = True
        self._after(seconds, self._make_room)
        return f"{filler.parent} for {seconds:.1f} s"

    def _make_room(self) -> None:
        (self._desk.data_dir / "kill" / "filler").unlink(missing_ok=True)
        self.disk_full = False

    def _gate(self, what: str, _venue: str, _seconds: float, _dice: random.Random) -> str:
        name = {"names": "gate.scopes"}.get(what, what)
        path = self._desk.shm_dir / name
        if not path.exists():
            return ""
        path.unlink(missing_ok=True)
        return name


def mounted(folder: Path) -> bool:
    """Whether a small file system could be put there, so that it can be filled."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    if os.geteuid():
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0750", "none", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def unmount(folder: Path) -> None:
    """Take it away again, whoever still has files of it open."""
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)
