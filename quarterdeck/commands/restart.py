"""`qd restart PROCESS...`: processes of a running desk anew, each when the one before is READY again."""

import argparse
import sys
import time
from xmlrpc.client import Fault

from base.config import DeskConfig, load
from base.errors import QuarterdeckError, RegionError
from ipc.exposure import read_exposure
from ipc.readiness import StatusReader
from ipc.roster import Role, roster
from ipc.view.status import ProcessView, read_desk
from quarterdeck import supervisord
from quarterdeck.supervise import STOP_WAIT_S

APART = (
    "killswitch",
    "simvenue",
)  # only when named: without the one no order leaves, with the other its orders are lost


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("process", nargs="*", help="as `qd status` names them, in this order")
    parser.add_argument("--all", action="store_true", help="every process but the kill switch and simulated venues")
    parser.add_argument("--wait", type=float, default=120, metavar="SECONDS", help="for each to be READY again")
    parser.add_argument(
        "--force", action="store_true", help="whatever it, and the session beside it, say of themselves"
    )
    parser.add_argument("--config", default="config/desk.toml", help="the desk's configuration")


def run(args: argparse.Namespace) -> int:
    """Exit status 3 when one does not come back in time; those after it are left as they are."""
    desk = load(args.config)
    roles = _chosen(desk, args.process, everything=args.all)
    if not supervisord.running(desk):
        raise QuarterdeckError(f"no supervisord runs for {desk.path}: `qd up` starts the desk")
    for role in roles:
        if not args.force:
            _check(desk, role)
        sys.stdout.write(f"{role.name}: {_orders(desk, role)}")
        sys.stdout.flush()
        if not _restart(desk, role, args.wait):
            now = _seen(desk, role.name)
            sys.stdout.write(f"; not READY within {args.wait:g} s: {now.readiness} {now.reason}\n")
            return 3
    return 0


def _chosen(desk: DeskConfig, names: list[str], *, everything: bool) -> list[Role]:
    roles = {r.name: r for r in roster(desk)}
    if unknown := [n for n in names if n not in roles]:
        raise QuarterdeckError(f"{desk.path} has no process {', '.join(unknown)}; there are {', '.join(roles)}")
    if bool(names) == everything:
        raise QuarterdeckError("name processes, or say --all")
    return [r for r in roles.values() if r.kind not in APART] if everything else [roles[n] for n in names]


def _check(desk: DeskConfig, role: Role) -> None:
    """Nothing is restarted whose trouble nobody has looked at, nor the last of a group that is READY."""
    group = desk.redundant(role.name) if role.name in desk.config.session else ()
    for name in (role.name, *(n for n in group if n != role.name)):
        now = _seen(desk, name)
        if now.readiness != "READY":
            where = "" if name == role.name else f", beside {role.name},"
            raise QuarterdeckError(
                f"{name}{where} is {now.readiness} {now.reason}".rstrip() + "; --force restarts all the same"
            )


def _orders(desk: DeskConfig, role: Role) -> str:
    if role.kind != "trading":
        return "stops"
    try:
        rows = read_exposure(StatusReader(desk.shm_dir / "proc" / role.name).words())
    except RegionError:
        return "stops; what works is not known"
    working, keeps = sum(r.open_orders for r in rows), desk.config.session[role.name].on_stop == "keep"
    return f"stops; {working} working orders are {'left as they are' if keeps else 'cancelled first'}"


def _restart(desk: DeskConfig, role: Role, wait_s: float) -> bool:
    program, before, began = f"{role.group}:{role.name}", _seen(desk, role.name).pid, time.monotonic()

    def stopped() -> bool:
        return supervisord.ask(desk, "getProcessInfo", program)["statename"] in ("STOPPED", "EXITED", "FATAL")

    def back() -> bool:
        now = _seen(desk, role.name)
        return now.readiness == "READY" and now.pid != before

    try:
        if not stopped():
            supervisord.ask(desk, "stopProcess", program, False)
        if not supervisord.wait_until(stopped, STOP_WAIT_S + 10):
            raise QuarterdeckError(f"{role.name} (pid {before}) does not stop")
        supervisord.ask(desk, "startProcess", program, False)
    except Fault as e:
        raise QuarterdeckError(f"{role.name}: supervisord: {e.faultString}") from None
    stop_s = time.monotonic() - began
    if not supervisord.wait_until(back, wait_s):
        return False
    took_s = time.monotonic() - began
    sys.stdout.write(f"; stopped in {stop_s:.1f} s, READY after {took_s:.1f} s, pid {_seen(desk, role.name).pid}\n")
    return True


def _seen(desk: DeskConfig, name: str) -> ProcessView:
    return next(p for p in read_desk(desk).processes if p.name == name)
