"""What goes wrong during a soak, drawn from one seed: connections, the venues, the desk's processes, the strategies."""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

from base.errors import QuarterdeckError
from bench.soak_desk import SESSIONS, VENUES, SoakDesk
from bench.soak_proxy import Pipe, Proxy

Strategies = Callable[[], dict[str, int]]  # names and pids of the strategies that run
SERVICES: Final = {v: (*sorted({s[1] for s in SESSIONS.values() if s[0] == v}), "rest") for v in VENUES}


class Struck(NamedTuple):
    """One fault as it struck."""

    ns: int
    kind: str
    target: str


# kind and weight. Before the colon: where it strikes. A kind of the simulator strikes through the venue's control port.
WEIGHTS: Final = {
    "link:rst": 5, "link:close": 4, "link:cut_mid_message": 5, "link:half_open": 3, "link:garble_in": 4,
    "link:garble_out": 4, "link:delay": 3, "link:slow": 3, "link:refuse": 2,
    "venue:disconnect": 3, "venue:logout": 2, "venue:stall": 2, "venue:refuse_logon": 2, "venue:drop": 4,
    "venue:duplicate": 4, "venue:garble": 3, "venue:checksum": 3, "venue:delay": 3, "venue:lost_report": 4,
    "venue:reject": 3, "venue:swallow": 3, "venue:late_fill": 3, "venue:md_gap": 2, "venue:md_checksum": 1,
    "venue:maintenance": 1, "venue:rollover": 1, "venue:rest_fail": 2, "venue:rest_lag": 2, "venue:list_lag": 2,
    "venue:no_cancel": 1, "venue:mass_cancel_partial": 1, "venue:mass_cancel_fake": 1,
    "kill:trading": 5, "kill:marketdata": 2, "kill:dropcopy": 3, "kill:book": 1, "kill:killswitch": 1,
    "kill:ledger": 2, "kill:strategy": 2,
    "stop:trading": 2, "stop:marketdata": 1, "stop:dropcopy": 1, "stop:killswitch": 1, "stop:venue": 1,
    "stop:strategy": 1, "trip:session": 1, "trip:desk": 1,
}  # fmt: skip

LONGEST_S: Final = 5.0
MESSAGES: Final = ("8", "9", "A", "0", "W", "X")


class Faults:
    """Strikes every few seconds until told to stop."""

    def __init__(self, desk: SoakDesk, proxy: Proxy, strategies: Strategies, seed: int, every_s: float) -> None:
        self._desk = desk
        self._proxy = proxy
        self._strategies = strategies
        self._dice = random.Random(f"{seed}/faults")
        self._every_s = every_s
        self._later: list[tuple[float, Callable[[], object]]] = []
        self._next = time.monotonic() + 1.0
        self.struck: list[Struck] = []
        self.missed: Counter[str] = Counter()  # nothing there to strike, or it did not answer
        self.kinds = [
            k for k in WEIGHTS if k != "kill:ledger" or any(p.kind == "ledger" for p in desk.view().processes)
        ]

    def turn(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        due = [act for at, act in self._later if at <= now]
        self._later = [(at, act) for at, act in self._later if at > now]
        for act in due:
            act()
        if now >= self._next:
            self._next = now + self._dice.expovariate(1 / self._every_s)
            self.strike(self._dice.choices(self.kinds, [WEIGHTS[k] for k in self.kinds])[0])

    def strike(self, kind: str) -> None:
        """One fault now; kept in `struck` with its target when it hit something."""
        where, _, what = kind.partition(":")
        try:
            target = {
                "link": self._link, "venue": self._venue, "kill": self._kill, "stop": self._stop, "trip": self._trip,
            }[where](what)  # fmt: skip
        except QuarterdeckError:
            target = ""  # whoever was to be struck is away
        if target:
            self.struck.append(Struck(time.time_ns(), kind, target))
        else:
            self.missed[kind] += 1

    def heal(self) -> None:
        """Everything goes right from now on."""
        for _, act in self._later:
            act()
        self._later.clear()
        self._proxy.heal()
        for venue in VENUES:
            self._desk.venue(venue, "DELETE", "/faults")

    def _after(self, seconds: float, act: Callable[[], object]) -> None:
        self._later.append((time.monotonic() + seconds, act))

    # -- connections -----------------------------------------------------------------------------------------

    def _link(self, what: str) -> str:
        venue = self._dice.choice(list(VENUES))
        # Order entry is what matters most.
        service = self._dice.choices(SERVICES[venue], [4 if s == "trading" else 1 for s in SERVICES[venue]])[0]
        if what == "refuse":
            self._proxy.refuse(venue, service, True)
            self._after(self._dice.uniform(0.5, LONGEST_S), lambda: self._proxy.refuse(venue, service, False))
            self._proxy.on_pipes(venue, service, Pipe.reset)
            return f"{venue} {service}"
        hit = self._proxy.on_pipes(venue, service, self._act_of(what))
        if what in {"delay", "slow"}:
            self._after(self._dice.uniform(1.0, LONGEST_S), lambda: self._proxy.on_pipes(venue, service, _at_ease))
        return f"{venue} {service}" if hit else ""

    def _act_of(self, what: str) -> Callable[[Pipe], object]:
        dice = random.Random(self._dice.random())
        delay_s, slow, cut = dice.uniform(0.02, 0.4), dice.choice((1, 7, 64, 500)), dice.randint(1, 300)

        def set_of(**values: object) -> Callable[[Pipe], object]:
            def act(pipe: Pipe) -> None:
                for name, value in values.items():
                    setattr(pipe, name, value)

            return act

        acts: dict[str, Callable[[Pipe], object]] = {
            "rst": Pipe.reset,
            "close": Pipe.close,
            "cut_mid_message": set_of(cut_after=cut),
            "half_open": set_of(deaf=True),
            "garble_in": set_of(garble=("in", dice)),
            "garble_out": set_of(garble=("out", dice)),
            "delay": set_of(delay_s=delay_s),
            "slow": set_of(bytes_a_turn=slow),
        }
        return acts[what]

    # -- venues ----------------------------------------------------------------------------------------------

    def _venue(self, what: str) -> str:
        venue, dice = self._dice.choice(list(VENUES)), self._dice
        kind = dice.choices(("trading", "marketdata", "dropcopy"), (4, 1, 1))[0]
        seconds = str(dice.randint(1, 4))
        often = str(dice.randint(1, 4))
        message = {"kind": kind, "msg_type": dice.choice(MESSAGES), "n": often}
        # A report that a drop copy never sends takes no number there: nothing could ever show it on that session.
        arguments: dict[str, str] = {
            "disconnect": {"kind": kind, "logout": "0"},
            "logout": {"kind": kind, "logout": "1"},
            "stall": {"kind": kind, "seconds": seconds},
            "refuse_logon": {"n": often},
            "delay": {"kind": kind, "ms": str(dice.randint(20, 800)), "seconds": seconds},
            "lost_report": {"kind": "trading", "exec_type": dice.choice("04F5"), "n": often},
            "reject": {"kind": "trading", "n": often},
            "swallow": {"kind": "trading", "n": often},
            "late_fill": {"when": dice.choice(("before", "after")), "ms": str(dice.randint(1, 300))},
            "md_gap": {"n": often},
            "md_checksum": {"n": often},
            "maintenance": {"seconds": seconds},
            "rollover": {"seconds": seconds},
            "rest_fail": {"n": often},
            "rest_lag": {"ms": str(dice.randint(100, 3000)), "n": often},
            "list_lag": {"ms": str(dice.randint(100, 900)), "seconds": seconds},
            "no_cancel": {"seconds": seconds},
            "mass_cancel_partial": {},
            "mass_cancel_fake": {},
        }.get(what, message)
        fault = {"logout": "disconnect"}.get(what, what)
        self._desk.venue(venue, "POST", "/fault", {"kind": fault, "arguments": arguments})
        return f"{venue} {' '.join(f'{k}={v}' for k, v in arguments.items())}"

    # -- processes -------------------------------------------------------------------------------------------

    def _pick(self, what: str) -> tuple[str, int] | None:
        if what == "strategy":
            found = self._strategies()
        else:
            kind = "simvenue" if what == "venue" else what
            alive = self._desk.pids()
            found = {p.name: p.pid for p in self._desk.view().processes if p.kind == kind and p.name in alive}
            found = {n: pid for n, pid in found.items() if not n.endswith(".twin")}
        return self._dice.choice(sorted(found.items())) if found else None

    def _kill(self, what: str) -> str:
        picked = self._pick(what)
        return picked[0] if picked and _signal(picked[1], signal.SIGKILL) else ""

    def _stop(self, what: str) -> str:
        """SIGSTOP for a while: alive, and silent."""
        picked = self._pick(what)
        if not picked or not _signal(picked[1], signal.SIGSTOP):
            return ""
        pid, seconds = picked[1], self._dice.uniform(0.2, LONGEST_S)
        # On a timer of its own: what this thread waits for may be the very process that was stopped.
        timer = threading.Timer(seconds, _signal, (pid, signal.SIGCONT))
        timer.start()
        self._later.append((time.monotonic() + seconds, lambda: _signal(pid, signal.SIGCONT)))
        return f"{picked[0]} for {seconds:.1f} s"

    def _trip(self, what: str) -> str:
        scope = (
            "desk" if what == "desk" else f"session:{self._dice.choice([s for s in SESSIONS if s.endswith('-trd')])}"
        )
        self._desk.kill("trip", scope=scope, reason="soak")
        return scope


def _at_ease(pipe: Pipe) -> None:
    pipe.delay_s, pipe.bytes_a_turn = 0.0, 0


def _signal(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
