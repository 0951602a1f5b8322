"""One look at a desk for `qd doctor`: shared memory, files, supervisord and the logs. Nothing is changed."""

import os
import re
import time
from collections import Counter
from pathlib import Path
from typing import Final
from xmlrpc.client import Fault

from base.clock import SystemClock
from base.config import DeskConfig
from base.errors import QuarterdeckError, RegionError
from base.locks import role_holder
from ipc.drills import too_old
from ipc.host import build_fingerprint
from ipc.ledger_read import LedgerReader
from ipc.metrics import metrics_path, read_process
from ipc.roster import roster
from ipc.view.eyes import Eyes
from quarterdeck import supervisord
from quarterdeck.doctor import LogSeen, Look, Supervised
from quarterdeck.host_facts import read_clock, read_room

SETTLE_S: Final = 3.0
LOG_MINUTES: Final = 15
TAIL: Final = 2 << 20  # of a log: what is read at most
LISTENER: Final = "informer"
LOSSES: Final = {
    "quarterdeck_bus_gaps_total": "holes in topics",
    "quarterdeck_bus_missed_total": "events dropped for it",
    "quarterdeck_session_gaps_total": "gaps in the venue's numbers",
    "quarterdeck_session_garbled_total": "garbled messages",
    "quarterdeck_log_lines_lost_total": "log lines lost",
}
_ERROR = re.compile(r"(\S+Z) (ERROR|CRITICAL) \d+ (.*)")
_END = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+ \w+ exited: (\S+) \((.*)\)")


def look_at(desk: DeskConfig) -> Look:
    """Everything there is to see, within some seconds. QuarterdeckError, OSError: it cannot be looked at."""
    _may_look(desk)
    wall_ns = SystemClock().wall_ns()
    roles = tuple(r.name for r in roster(desk))
    had, fault = _supervised(desk)
    folders = {"data_dir": desk.data_dir, "log_dir": desk.log_dir, "shm_dir": desk.shm_dir}
    since = wall_ns / 1e9 - LOG_MINUTES * 60
    with Eyes(desk, metered=False) as eyes:
        eyes.settle(SETTLE_S, time.sleep)
        view = eyes.view()
    return Look(
        view=view,
        environment=desk.config.desk.environment,
        roles=roles,
        supervisor=had,
        supervisor_fault=fault,
        holders={name: role_holder(desk.run_dir / "lock" / name) for name in roles},
        ends=unexpected_ends(desk.log_dir / "supervisord.log", since),
        build_on_disk=build_fingerprint(),
        config_on_disk=desk.fingerprint,
        rooms={key: read_room(folder) for key, folder in folders.items()},
        min_free_mb=desk.config.kill.health.disk.min_free_mb,
        drill=too_old(desk.data_dir / "kill", wall_ns, desk.config.kill.drill_max_age_days),
        ledger=_ledger(desk),
        losses={name: lost for name in roles if (lost := _losses(desk, name))},
        logs={name: seen for name in roles if (seen := error_lines(desk.log_dir / f"{name}.log", since)).lines},
        log_minutes=LOG_MINUTES,
        clock=read_clock(),
    )


def _may_look(desk: DeskConfig) -> None:
    """Who may not look must not be told that nothing is there."""
    socket = desk.run_dir / "supervisor.sock"
    wanted = dict.fromkeys((desk.run_dir, desk.data_dir, desk.log_dir, desk.shm_dir), os.R_OK | os.X_OK)
    for path, mode in {**wanted, socket: os.W_OK}.items():
        if path.exists() and not os.access(path, mode):
            raise QuarterdeckError(f"{path}: this user may not; look as root")


def _supervised(desk: DeskConfig) -> tuple[dict[str, Supervised] | None, str]:
    try:
        found = supervisord.ask(desk, "getAllProcessInfo")
    except (OSError, Fault, QuarterdeckError) as e:
        return None, str(e)
    known = {p["name"]: Supervised(p["statename"], int(p["pid"]), p["spawnerr"]) for p in found}
    return {name: p for name, p in known.items() if name != LISTENER}, ""


def _ledger(desk: DeskConfig) -> dict[str, int] | str:
    if desk.config.ledger is None:
        return {}
    path = desk.data_dir / desk.config.ledger.path
    if not path.exists():
        return {}  # its process says that it never ran
    try:
        with LedgerReader(path) as reader:
            return reader.counts()
    except QuarterdeckError as e:
        return str(e)


def _losses(desk: DeskConfig, process: str) -> dict[str, int]:
    try:
        samples = read_process(metrics_path(desk.shm_dir, process))
    except RegionError:
        return {}  # dead, or of another build: both are findings of their own
    found: Counter[str] = Counter()
    for sample in samples:
        if sample.name in LOSSES and sample.value:
            found[LOSSES[sample.name]] += int(sample.value)
    return dict(found)


def error_lines(path: Path, since: float) -> LogSeen:
    """ERROR and CRITICAL lines of a log and of the one before it that were written after `since` (s of UTC)."""
    lines, last = 0, ""
    begin = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since))
    for file in (path.with_name(f"{path.name}.1"), path):
        for line in _tail(file):
            found = _ERROR.match(line)
            if found and found[1] >= begin:
                lines, last = lines + 1, f"{found[1]} {found[3]}"
    return LogSeen(lines, last)


def unexpected_ends(path: Path, since: float) -> dict[str, int]:
    """How often each process ended without being told to, by supervisord's own log (its times are local)."""
    ends: Counter[str] = Counter()
    begin = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since))
    for line in _tail(path):
        found = _END.match(line)
        if found and found[1] >= begin and "; expected" not in found[3]:
            ends[found[2]] += 1
    return dict(ends)


def _tail(path: Path) -> list[str]:
    """The last lines of a file, at most TAIL bytes; none when there is no file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL))
            return file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []
