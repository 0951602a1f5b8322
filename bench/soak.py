"""A soak: a whole desk trades on simulated venues while something breaks every few seconds, and at the end every order
and fill of the venues is held against what the desk says. docs/soak.md tells how to read the report.
"""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import IO, Any, Final

import msgspec

from base.config import Kind
from base.errors import CommandError, QuarterdeckError
from bench.soak_audit import Audit, trading_sessions
from bench.soak_desk import VENUES, SoakDesk, wait
from bench.soak_ears import Ears
from bench.soak_faults import SERVICES, Faults
from bench.soak_proxy import Proxy
from bench.soak_report import Report, as_json, as_text
from bench.soak_watch import Watch
from ipc.host import build_fingerprint
from ipc.ledger_read import Filter, LedgerReader
from ipc.readiness import Readiness
from quarterdeck import supervisord

STEP_S: Final = 0.05
STOP_S: Final = 20.0
SETTLE_S: Final = 120.0
SAY_EVERY_S: Final = 60.0
MOST_NEW_FDS: Final = 24  # of one life: connections come and go, but what is opened is closed
REPLAYING: Final = ("peer-dc",)  # drop copies whose venue sends again what was missed


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: `every_s` is the mean time between faults, `rate` each strategy's commands a second."""

    seconds: float
    seed: int
    every_s: float = 2.0
    rate: float = 12.0
    flow: int = 40  # actions of the crowd a second on each instrument
    folder: str = ""  # "" = a fresh one below the system's temporary directory
    keep: bool = False  # also when everything was right
    calm: bool = False  # no faults at all: what the soak itself would find


class Soak:
    """One run."""

    def __init__(self, options: Options, say: Callable[[str], object]) -> None:
        self.options = options
        self.say = say
        self.folder = Path(options.folder or tempfile.mkdtemp(prefix="qds-")).resolve()
        if options.folder and self.folder.exists():
            raise QuarterdeckError(f"{self.folder}: exists; a soak begins in a folder of its own")
        self.desk = SoakDesk(self.folder, options.seed, options.flow)
        self.proxy = Proxy(self.desk.config.run_dir, SERVICES)
        self.watch = Watch()
        self.ears = Ears(self.desk.config)
        self.ready_looks: Counter[str] = Counter()
        self.looks = 0
        self._strategies: dict[str, subprocess.Popen[bytes]] = {}
        self._strategies_on = True
        self._stopped = False
        self._log: IO[bytes] | None = None
        self.report = Report(
            seed=options.seed, build=build_fingerprint(), began_ns=time.time_ns(), seconds=0.0, folder=str(self.folder)
        )

    # -- the run ---------------------------------------------------------------------------------------------

    def run(self) -> Report:
        """Start, trade, break, settle, compare, stop: nothing of it runs afterwards."""
        self.proxy.start()
        try:
            self._start()
            faults = Faults(self.desk, self.proxy, self._strategy_pids, self.options.seed, self.options.every_s)
            began = time.monotonic()
            self._trade(faults, began + self.options.seconds)
            self.report.seconds = time.monotonic() - began
            self._settle(faults)
            self._count(faults)
            self._compare()
        except QuarterdeckError as e:
            self.report.failures.append(f"the soak broke off: {type(e).__name__}: {e}")
        finally:
            self._stop()
        self._judge()
        return self.report

    def interrupt(self, _number: int, _frame: FrameType | None) -> None:
        """From a signal: come to the end now, with the reckoning."""
        self._stopped = True

    def _start(self) -> None:
        self.say(f"soak of {self.options.seconds / 60:.1f} minutes, seed {self.options.seed}, in {self.folder}")
        self.desk.start()
        self._log = open(self.desk.config.log_dir / "strategies.log", "ab")  # noqa: SIM115 - closed by _stop
        self.ears.start()
        self._keep_strategies()

    def _trade(self, faults: Faults, end: float) -> None:
        said = time.monotonic()
        while time.monotonic() < end and not self._stopped:
            self._turn()
            if not self.options.calm:
                faults.turn()
            if time.monotonic() - said >= SAY_EVERY_S:
                said = time.monotonic()
                self.say(self._line(faults))
            time.sleep(STEP_S)

    def _turn(self) -> None:
        """What goes on all the time: a person at the kill switch, strategies started again, figures."""
        self.desk.mend()
        self._keep_strategies()
        try:
            view = self.desk.view()
        except QuarterdeckError:
            return  # a page or region that is being made anew: looked at again
        self.looks += 1
        for p in view.processes:
            self.ready_looks[p.name] += p.readiness == Readiness.READY
        pids = {p.name: p.pid for p in view.processes if p.pid}
        self.watch.look({**pids, **self._strategy_pids()})

    def _line(self, faults: Faults) -> str:
        try:
            stats = [self.desk.venue(v, "GET", "/stats") for v in VENUES]
        except CommandError as e:
            return str(e)
        taken, fills = (sum(s[k] for s in stats) for k in ("orders_taken", "fills"))
        return f"{taken:,} orders, {fills:,} fills, {len(faults.struck)} faults, {self.watch.restarts()} restarts"

    # -- strategies ------------------------------------------------------------------------------------------

    def _keep_strategies(self) -> None:
        for n, venue in enumerate(VENUES):
            process = self._strategies.get(venue)
            if process is None or process.poll() is not None:
                life = len(list(self.folder.glob(f"strategy-{venue}-*.jsonl")))
                out = self.folder / f"strategy-{venue}-{life}.jsonl"
                seed = f"{self.options.seed}/{n}/{life}"
                arguments = (str(self.desk.config.path), venue, seed, f"{self.options.rate:g}", str(out))
                self._strategies[venue] = subprocess.Popen(
                    [sys.executable, "-m", "bench.soak_trader", *arguments],
                    cwd=supervisord.ROOT, env=supervisord.environment(), stdin=subprocess.DEVNULL,
                    stdout=self._log, stderr=self._log, start_new_session=True,
                )  # fmt: skip

    def _strategy_pids(self) -> dict[str, int]:
        return {f"strategy-{v}": p.pid for v, p in self._strategies.items() if p.poll() is None}

    def _end_strategies(self) -> None:
        for process in self._strategies.values():
            process.terminate()
        for process in self._strategies.values():
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # -- the end ---------------------------------------------------------------------------------------------

    def _settle(self, faults: Faults) -> None:
        """No more faults: everything must come back, and every order must come to its end."""
        faults.heal()
        began = time.monotonic()
        self._ready_again("after the last fault")
        self.say(f"ready again after {time.monotonic() - began:.1f} s")
        self._end_strategies()
        self.say(f"strategies ended after {time.monotonic() - began:.1f} s")
        if not wait(self._nothing_open, SETTLE_S, 0.5):
            self.report.failures.append(f"orders were still open {SETTLE_S:g} s after the last fault")
        self.say(f"nothing open after {time.monotonic() - began:.1f} s")
        self._ready_again("after the last order")
        if not wait(lambda: not self.ears.behind(), 20, 1.0):
            self.report.failures.append(f"not all that is journalled was heard: {', '.join(self.ears.behind())}")
        if not wait(lambda: not self._ledger_waits(), 30, 0.5):
            self.report.failures.append("the ledger still waits for what other views have to say")
        self.report.settle_s = time.monotonic() - began
        self.ears.finish()

    def _ready_again(self, when: str) -> None:
        def ready() -> bool:
            self.desk.mend()
            return self.desk.ready() and self.desk.view().gate == "ARMED" and not self.desk.shut

        if not wait(ready, SETTLE_S, 0.2):
            self.report.failures.append(f"not ready {SETTLE_S:g} s {when}: {'; '.join(self.desk.unready())}")

    def _nothing_open(self) -> bool:
        """Cancel what is open; whether nothing is, here and at the venues."""
        import quarterdeck as qd

        self.desk.mend()
        with qd.connect(self.desk.config.path, timeout=2.0) as client:
            try:
                if not client.orders() and not self.desk.working():
                    return True
                client.cancel_all()
            except QuarterdeckError:
                pass  # refused or away: asked again
        return False

    def _count(self, faults: Faults) -> None:
        """Figures of the run."""
        r = self.report
        stats = {v: self.desk.venue(v, "GET", "/stats") for v in VENUES}
        for name in ("messages_in", "messages_out", "md_messages"):
            setattr(r, name, sum(s[name] for s in stats.values()))
        r.orders = sum(s["orders_taken"] for s in stats.values())
        r.fills = sum(s["fills"] for s in stats.values())
        r.faults = dict(Counter(s.kind for s in faults.struck))
        r.faults_struck = dict(sum((Counter(s["faults_struck"]) for s in stats.values()), Counter()))
        r.faults_missed = dict(faults.missed)
        r.trail = faults.struck
        r.logons = dict(self.ears.logons)
        r.restarts = self.watch.restarts()
        r.resets, r.forced_resets = self.desk.resets, self.desk.forced
        r.alerts = dict(self.ears.alerts)
        r.growth = self.watch.growth()
        r.working_left = len(self.desk.working())
        r.ready_share = {n: self.ready_looks[n] / max(self.looks, 1) for n in trading_sessions(self.desk.config)}
        (self.folder / "alerts.txt").write_text("".join(f"{ns} {text}\n" for ns, text in self.ears.alert_texts))

    def _compare(self) -> None:
        r, config = self.report, self.desk.config
        audit = Audit(config)
        commands: Counter[str] = Counter()
        for venue in VENUES:
            orders, fills = self.desk.record(venue, "orders"), self.desk.record(venue, "fills")
            (self.folder / f"record-{venue}.json").write_text(json.dumps({"orders": orders, "fills": fills}))
            for name in (n for n in self.ears.sessions if config.config.session[n].venue == venue):
                said = self.ears.sessions[name]
                audit.bus(name, said, self.ears.unheard(name))
                if config.config.session[name].kind is Kind.TRADING:
                    audit.trading(name, said, orders, fills)
                    lines = self._told(venue)
                    commands.update(f"{x['verb']} {x['result']}" for x in lines)
                    audit.commands(name, said, lines)
                else:
                    replays, anew = name in REPLAYING, self._anew(name, venue)
                    r.copies[name] = audit.dropcopy(name, said, fills, replays=replays, anew=anew)
            self._ledger(audit, venue, fills)
        r.commands = dict(commands)
        r.tallies, r.findings, r.found = audit.tallies, audit.findings, dict(audit.count())
        r.uncertain_left = sum(
            o.state == "UNCERTAIN" for s in self.ears.sessions.values() for o in _latest(s.orders.values())
        )

    def _ledger(self, audit: Audit, venue: str, fills: list[dict[str, Any]]) -> None:
        asked = Filter(venue=venue)
        with LedgerReader(self._ledger_path) as reader:
            rows, breaks = list(reader.fills(asked)), reader.breaks(asked, closed=False)
        self.report.ledger[venue] = audit.ledger(venue, fills, rows, breaks)
        self.report.breaks.update(Counter(f"{venue} {b['kind']}" for b in breaks))

    @property
    def _ledger_path(self) -> Path:
        config = self.desk.config.config.ledger
        assert config is not None
        return self.desk.config.data_dir / config.path

    def _ledger_waits(self) -> bool:
        with LedgerReader(self._ledger_path) as reader:
            return reader.counts()["waiting"] > 0

    def _anew(self, session: str, venue: str) -> list[tuple[int, int]]:
        """From each rollover of the venue to the session's next logon."""
        at = [s.ns for s in self.report.trail if s.kind == "venue:rollover" and s.target.startswith(f"{venue} ")]
        ready = self.ears.ready_ns.get(session, [])
        # The rollover is at work before its answer is: a second of grace.
        return [(ns - 1_000_000_000, next((r for r in ready if r > ns), 1 << 63)) for ns in at]

    def _told(self, venue: str) -> list[dict[str, Any]]:
        """What the strategies of a venue wrote; a line cut short by a SIGKILL is left out."""
        lines = []
        for path in sorted(self.folder.glob(f"strategy-{venue}-*.jsonl")):
            lines += [json.loads(x) for x in path.read_text().splitlines(keepends=True) if x.endswith("}\n")]
        return lines

    def _judge(self) -> None:
        r = self.report
        if not r.fills or not r.orders:
            r.failures.append("nothing was traded")
        r.failures += [
            f"{g.name}: descriptors grew from {g.fds_warm} to {g.fds_end} in {g.life_s:.0f} s"
            for g in r.growth
            if g.fds_end - g.fds_warm > MOST_NEW_FDS
        ]
        r.ok = not r.findings and not r.failures and not r.uncertain_left and not r.working_left

    def _stop(self) -> None:
        try:
            self._end_strategies()
        finally:
            self.desk.stop()
            self.proxy.stop()
            if self._log is not None:
                self._log.close()

    def tidy(self) -> None:
        """Remove the folder when everything was right."""
        if self.report.ok and not self.options.keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def _latest(orders: Any) -> list[Any]:
    """The last word on each order: a replaced one was told under several ids."""
    last: dict[tuple[str, str], Any] = {}
    for o in orders:
        key = (o.instrument, o.order_id or o.cl_ord_id)
        if key not in last or last[key].since_ns <= o.since_ns:
            last[key] = o
    return list(last.values())


def run(options: Options, *, as_json_line: bool, report_file: str) -> int:
    """Run a soak and print its report; 0 when nothing was lost, doubled or left open, 1 otherwise."""

    def say(text: str) -> None:
        sys.stderr.write(f"{time.strftime('%H:%M:%S', time.gmtime())} {text}\n")
        sys.stderr.flush()

    soak = Soak(options, say)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, soak.interrupt)
    report = soak.run()
    text, line = as_text(report), as_json(report)
    if report_file:
        Path(report_file).write_text(text)
        Path(report_file).with_suffix(".json").write_text(line + "\n")
    sys.stdout.write(line + "\n" if as_json_line else text)
    soak.tidy()
    return 0 if report.ok else 1
