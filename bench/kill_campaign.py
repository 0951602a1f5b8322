"""A campaign against the kill switch: a desk that trades is tripped again and again at random moments, by every way, in
every scope, while something breaks; after each trip the venues' own records are held against what was claimed.

docs/kill-campaign.md states the rules. `qd kill campaign` runs it.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

import msgspec

from base.config import DeskConfig, load
from base.errors import QuarterdeckError
from bench.kill_audit import Sighting, Violation, audit
from bench.kill_campaign_report import Report, Trip, as_json, as_text
from bench.kill_desk import READY_S, STRATEGIES, TRADING, VENUES, Venues, child, configuration, end, kill_pid, until
from bench.kill_faults import Faults, unmount
from bench.kill_keeper import PATIENCE_S, Keeper
from bench.kill_lookout import Lookout
from bench.soak_desk import wait
from ipc.gate import GateReader, set_operator_word
from ipc.host import build_fingerprint
from ipc.readiness import read_all
from quarterdeck import supervisord

HEAD: Final = """
[kill]
arm_at_start = true
strategies_arm_again = false
reset_cool_off_s = 0
proof_deadline_s = 20
unanswered_horizon_s = 6
watch_after_proof_s = 2
session_loss_grace_s = 5
sessions = ["binance-kill"]

""" + "".join(f'[[kill.limits]]\nscope = "session:{s}"\nmax_duplicates_per_min = 8\n' for s in TRADING.values())
SESSION: Final = "reconnect = { stable_s = 5, cap_s = 2, refused_s = 1, refused_cap_s = 2 }\n"
BURST: Final = 14  # times the same order, which is over the limit of a session
FLOW: Final = 10  # actions of the crowd a second on each instrument
CLOSED_S: Final = 4.0
PROVEN_S: Final = 22.0  # after a trip, faults being over by then
HELD_S: Final = 5.0
STEP_S: Final = 0.02
ASK_S: Final = 0.15
SAY_EVERY_S: Final = 30.0
WAYS: Final = {"cli": 3, "socket": 9, "signal": 2, "word": 2, "limit": 2, "gate": 1, "death": 2}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: `rate` is each strategy process's commands a second."""

    hours: float
    seed: int
    trips: int = 0  # end after so many, whatever the time; 0: by time alone
    folder: str = ""
    rate: float = 12.0
    calm: bool = False  # no faults


class Campaign:
    """One run."""

    def __init__(self, options: Options, say: Callable[[str], object]) -> None:
        self.options, self.say = options, say
        self.folder = Path(options.folder or tempfile.mkdtemp(prefix="qdc")).resolve()
        if options.folder and self.folder.exists():
            raise QuarterdeckError(f"{self.folder}: exists; a campaign begins in a folder of its own")
        made: dict[str, Any] = {"seed": options.seed, "rate": FLOW, "heartbeat_s": 5, "lag_ms": 1_000}
        self.venues = Venues(self.folder / "v", self.folder / "d" / "run", **made)
        (self.folder / "d" / "config").mkdir(parents=True)
        path = self.folder / "d" / "config" / "desk.toml"
        path.write_text(configuration("campaign", HEAD, self.venues.secrets, sims=False, more=SESSION, **made))
        self.desk: DeskConfig = load(path)
        self.lookout = Lookout(self.desk, self.venues, self.folder)
        self.keeper = Keeper(self.desk, self.lookout)
        self.faults = Faults(self.desk, self.venues, self.keeper.supervisor)
        self._traders: dict[str, subprocess.Popen[bytes]] = {}
        self._stopped = False
        self._asked_at = 0.0
        self.report = Report(
            seed=options.seed, build=build_fingerprint(), began_ns=time.time_ns(), folder=str(self.folder),
            faults_there_were=self.faults.kinds(),
        )  # fmt: skip

    def interrupt(self, _number: int, _frame: FrameType | None) -> None:
        """From a signal: end after this round."""
        self._stopped = True

    # -- the run ---------------------------------------------------------------------------------------------

    def run(self) -> Report:
        """Start, trip, judge, again; nothing of it runs afterwards."""
        self.say(f"campaign of {self.options.hours:g} h, seed {self.options.seed}, in {self.folder}")
        try:
            self._start()
            began = said = time.monotonic()
            number = 0
            while not self._stopped and time.monotonic() - began < self.options.hours * 3600:
                number += 1
                self._round(number)
                self.report.seconds = time.monotonic() - began
                if time.monotonic() - said > SAY_EVERY_S:
                    said = time.monotonic()
                    self.say(self.report.line())
                if number == self.options.trips:
                    break
        except QuarterdeckError as e:
            self.report.failures.append(f"the campaign broke off: {type(e).__name__}: {e}")
        finally:
            r = self.report
            r.ok = not r.violations and not r.failures and bool(r.trips)
            self._stop()
        return self.report

    def _start(self) -> None:
        self.venues.start()
        supervisord.start(self.desk)
        until(self.keeper.stands, READY_S, lambda: f"the desk READY and ARMED: {self.keeper.where()}")
        for venue in VENUES:
            out = self.folder / f"trader-{venue}.jsonl"
            arguments = (str(self.desk.path), venue, f"{self.options.seed}/{venue}", f"{self.options.rate:g}", str(out))
            self._traders[venue] = child("bench.kill_trader", *arguments, stdin=subprocess.PIPE)

    def _stop(self) -> None:
        self.faults.heal()
        for trader in self._traders.values():
            assert trader.stdin is not None
            trader.stdin.close()
        end(self._traders.values())
        self.keeper.close()
        try:
            if supervisord.running(self.desk):
                supervisord.stop(self.desk)
        except QuarterdeckError as e:
            self.say(str(e))
        supervisord.end_all(self.desk)
        self.venues.stop()
        kept = self.desk.data_dir / "kill"
        if not self.report.ok and kept.is_dir():  # what was mounted there goes
            shutil.copytree(kept, kept.with_name("kill.kept"), ignore=shutil.ignore_patterns("filler"))
        unmount(kept)
        shutil.rmtree(self.desk.shm_dir, ignore_errors=True)

    # -- one round -------------------------------------------------------------------------------------------

    def _round(self, number: int) -> None:
        """A trip with what breaks around it, the repair, the reckoning."""
        dice = random.Random(f"{self.options.seed}/{number}")
        until(self.keeper.trades, READY_S, lambda: f"orders working before trip {number}: {self.keeper.where()}")
        way = dice.choices(list(WAYS), list(WAYS.values()))[0]
        scope = self._scope(way, dice)
        held = dice.choice(VENUES) if not self.options.calm and dice.random() < 0.1 else ""
        plan = [] if self.options.calm else self._plan(dice)
        self.faults.struck = []
        self.lookout.begin()
        began_ns = time.monotonic_ns()
        for kind in (k for at, k in plan if at < 0):
            self.faults.strike(kind, dice)
        self._watch(dice.uniform(0.0, 0.6))
        if held:
            self.faults.hold(held)
        trip = Trip(number=number, way=way, scope=scope, at_ns=time.time_ns(), held=held)
        tripped_at = time.monotonic()
        self._act(way, scope, dice)
        self._effect(trip, scope)
        self._until_proven(trip, tripped_at, [(at, k) for at, k in plan if at >= 0], dice)
        self.keeper.repair(trip, self.faults)
        self.lookout.check_trail()
        self._judge(trip, number, began_ns)

    def _scope(self, way: str, dice: random.Random) -> str:
        if way in ("signal", "word", "gate"):
            return "desk"
        if way in ("limit", "death"):
            return f"session:{dice.choice(list(TRADING.values()))}"
        kind = dice.choice(("desk", "venue", "account", "session", "strategy", "instrument"))
        venue = dice.choice(VENUES)
        return {
            "desk": "desk", "venue": f"venue:{venue}", "account": f"account:{venue}/main",
            "session": f"session:{TRADING[venue]}", "strategy": f"strategy:{dice.choice(STRATEGIES)}",
            "instrument": f"instrument:{dice.choice(sorted(i.name for i in self.desk.instruments.values()))}",
        }[kind]  # fmt: skip

    def _plan(self, dice: random.Random) -> list[tuple[float, str]]:
        """(seconds after the trip, kind); before it when negative."""
        return sorted(
            (dice.choice((-1.0, dice.uniform(0.0, 0.05), dice.uniform(0.05, 3.0))), self.faults.draw(dice))
            for _ in range(dice.choices((0, 1, 2, 3), (1, 3, 3, 1))[0])
        )

    def _act(self, way: str, scope: str, dice: random.Random) -> None:
        """The trip itself."""
        session = scope.removeprefix("session:")
        pages = read_all(self.desk.shm_dir / "proc")
        if way == "cli":
            self._by_cli(scope)
        elif way == "socket":
            try:
                self.keeper.person.ask("trip", timeout_ms=200, scope=scope, reason="campaign")
            except QuarterdeckError:
                self._by_cli(scope)  # what a person does next
        elif way == "signal":
            kill_pid(pages["killswitch"].pid, signal.SIGUSR1)
        elif way == "word":
            set_operator_word(self.desk.shm_dir / "operator", "campaign", time.time_ns())
        elif way == "limit":
            trader = self._traders[session.removesuffix("-trd")]
            assert trader.stdin is not None
            trader.stdin.write(f"burst {BURST}\n".encode())
            trader.stdin.flush()
        elif way == "gate":
            (self.desk.shm_dir / dice.choice(("gate", "operator"))).unlink(missing_ok=True)
        elif way == "death":
            kill_pid(pages[session].pid, signal.SIGKILL)

    def _by_cli(self, scope: str) -> None:
        command = [sys.executable, "-m", "quarterdeck.cli", "kill", "trip", "--config", str(self.desk.path)]
        subprocess.run(
            [*command, "--scope", scope, "--reason", "campaign"], cwd=supervisord.ROOT, env=supervisord.environment(),
            capture_output=True, timeout=30, check=False,
        )  # fmt: skip

    def _effect(self, trip: Trip, scope: str) -> None:
        """The scope is shut. A fault may have taken the way itself: then a person uses the command, which must work."""

        def shut() -> bool:
            self._turn()
            # Read anew each time: the files may have been removed and made again.
            words = GateReader(self.desk.shm_dir / "gate", self.desk.shm_dir / "operator")
            return self.lookout.shut_now(scope) or words.operator_set()

        if wait(shut, CLOSED_S, STEP_S):
            return
        trip.way += ", then cli"
        self._by_cli(scope)
        if not wait(shut, CLOSED_S, STEP_S):
            text = f"{scope} is not shut {CLOSED_S:g} s after {trip.way}"
            self.lookout.wrong.append(Violation("trip without effect", text, time.monotonic_ns(), {}))

    # -- watching --------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        self.faults.turn()
        self.lookout.look()

    def _watch(self, seconds: float) -> None:
        end_at = time.monotonic() + seconds
        while time.monotonic() < end_at:
            self._turn()
            time.sleep(STEP_S)

    def _until_proven(self, trip: Trip, began: float, later: list[tuple[float, str]], dice: random.Random) -> None:
        patience = HELD_S if trip.held else PROVEN_S
        left = list(later)
        while True:
            self._turn()
            now = time.monotonic() - began
            while left and left[0][0] <= now:
                self.faults.strike(left.pop(0)[1], dice)
            if self._look_at_trip(trip) and not left:
                break
            if now > patience:
                break
            time.sleep(STEP_S)
        if trip.held or trip.proven:
            return
        self.faults.heal()
        self.keeper.mend_supervisor()
        end_at = time.monotonic() + PATIENCE_S
        while time.monotonic() < end_at:
            self._turn()
            if self._look_at_trip(trip):
                return
            time.sleep(STEP_S)

    def _look_at_trip(self, trip: Trip) -> bool:
        """Ask where the newest trip stands; whether it is proven."""
        if time.monotonic() < self._asked_at:
            return False
        self._asked_at = time.monotonic() + ASK_S
        before_ns = time.monotonic_ns()
        first = self.keeper.status()
        last = first and first["last_trip"]
        if not last or last["received_mono_ns"] < self._this_round_ns(trip):
            return False
        self._note(trip, last)
        if last["phase"] != "PROVING" or any("not known since" in q or "owner" in q for q in last["open_questions"]):
            return bool(last["phase"] == "PROVEN")
        for venue in VENUES if not trip.held else [v for v in VENUES if v != trip.held]:
            working = self.lookout.working(venue)
            second = self.keeper.status()
            again = second and second["last_trip"]
            if working is None or not again or again["trip_id"] != last["trip_id"] or again["phase"] == "FENCING":
                break
            listed = frozenset([*last["unproven"], *again["unproven"]])
            self.lookout.sight(
                Sighting(
                    scopes=tuple(last["scopes"]), listed=listed, before_ns=before_ns, after_ns=time.monotonic_ns(),
                    venue=venue, working=tuple(working),
                )
            )  # fmt: skip
        return False

    def _this_round_ns(self, trip: Trip) -> int:
        return trip.at_ns - (time.time_ns() - time.monotonic_ns()) - 100_000_000

    def _note(self, trip: Trip, last: dict[str, Any]) -> None:
        trip.scopes = sorted({*trip.scopes, *last["scopes"]})
        trip.phase = last["phase"]
        trip.word_ms, trip.fence_ms = last["gate_closed_ms"], last["fence_ms"]
        trip.first_cancel_ms, trip.proven_ms = last["first_cancel_ms"], last["all_proven_ms"]
        trip.orders, trip.refuted = last["orders"], last["refuted"]
        trip.killed = last["killed"]
        trip.open_questions = last["open_questions"]
        trip.proven = last["phase"] == "PROVEN"
        if trip.proven and last["all_proven_ms"] is not None:
            at_ns = last["received_mono_ns"] + int(last["all_proven_ms"] * 1e6)
            self.lookout.claim(last["scopes"], at_ns, "status")

    # -- the reckoning ---------------------------------------------------------------------------------------

    def _judge(self, trip: Trip, number: int, began_ns: int) -> None:
        round_ = self.lookout.finish(number, began_ns)
        found = [*audit(round_, self.report.tally), *self.lookout.wrong]
        if not trip.proven and not trip.held:
            text = f"{trip.scope}: {'; '.join(trip.open_questions)}"
            found.append(Violation("never proven", text, time.monotonic_ns(), {}))
        trip.faults = [f"{(s.mono_ns - round_.began_ns) / 1e9:+.2f} s {s.kind} {s.target}" for s in self.faults.struck]
        trip.kinds = [s.kind for s in self.faults.struck]
        trip.claims = len(round_.claims)
        trip.seconds = (time.monotonic_ns() - began_ns) / 1e9
        self.report.trips.append(trip)
        with (self.folder / "trips.jsonl").open("ab") as file:
            file.write(msgspec.json.encode(trip) + b"\n")
        for violation in found:
            self.report.violations.append({"trip": number, **msgspec.to_builtins(violation, str_keys=True)})
            self.say(f"VIOLATION in trip {number} ({trip.way} {trip.scope}): {violation.kind}: {violation.what}")
        if found:
            timeline = {"seed": self.options.seed, "trip": msgspec.to_builtins(trip), "began_mono_ns": began_ns}
            said = {
                **timeline, "violations": [msgspec.to_builtins(v) for v in found],
                "closures": msgspec.to_builtins(round_.closures), "claims": msgspec.to_builtins(round_.claims),
                "orders": msgspec.to_builtins(round_.orders),
                "heard": [[getattr(h, f) for f in h.__struct_fields__] for h in round_.heard],
            }  # fmt: skip
            (self.folder / f"violation-{number}.json").write_text(json.dumps(said, indent=1))


def run(options: Options, *, report_file: str, command: str, as_json_line: bool = False) -> int:
    """Run a campaign and print its report; 0 when nothing was violated, 1 otherwise."""

    def say(text: str) -> None:
        sys.stderr.write(f"{time.strftime('%H:%M:%S', time.gmtime())} {text}\n")
        sys.stderr.flush()

    campaign = Campaign(options, say)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, campaign.interrupt)
    campaign.report.command = command
    campaign.report.load = os.getloadavg()
    report = campaign.run()
    text, line = as_text(report), as_json(report)
    if report_file:
        Path(report_file).write_text(text)
        Path(report_file).with_suffix(".json").write_text(line + "\n")
    sys.stdout.write(line + "\n" if as_json_line else text)
    if report.ok and not options.folder:
        shutil.rmtree(campaign.folder, ignore_errors=True)
    return 0 if report.ok else 1
