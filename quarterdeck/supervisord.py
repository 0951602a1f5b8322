"""Starting and stopping supervisord for a desk, and asking it things."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, cast
from xmlrpc.client import Fault, ServerProxy

import psutil
from supervisor.xmlrpc import SupervisorTransport

from base.config import DeskConfig
from base.errors import QuarterdeckError
from base.locks import RoleLock
from ipc.roster import roster
from quarterdeck.supervise import make_places, write_conf

ROOT = Path(__file__).resolve().parent.parent
STEP_S = 0.05
ANSWER_S = 10.0


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Look until `condition()` holds; False when `seconds` went by first."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(STEP_S)
    return True


def configuration(desk: DeskConfig) -> Path:
    """supervisord's configuration: the committed one for the default desk in its own place, else a rendered one."""
    if desk.path == ROOT / "config" / "desk.toml" and "QD_STATE_DIR" not in os.environ:
        return ROOT / "supervisord.conf"
    return write_conf(desk, ROOT)


def environment() -> dict[str, str]:
    """What programs need: this interpreter first in PATH, the packages found from anywhere."""
    env = dict(os.environ)
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', '')}"
    env["PYTHONPATH"] = os.pathsep.join(p for p in (str(ROOT), env.get("PYTHONPATH", "")) if p)
    env["PYTHONUNBUFFERED"] = "1"
    return env


def ask(desk: DeskConfig, method: str, *arguments: object) -> Any:
    """Call a method of supervisord's XML-RPC namespace `supervisor` over its Unix socket. OSError: nobody answers.

    QuarterdeckError: there is one, and it says nothing: it is stopped; xmlrpc.client.Fault: it refuses.
    """
    transport = SupervisorTransport(None, None, f"unix://{desk.run_dir}/supervisor.sock")
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(ANSWER_S)  # its client asks for ever, and leaves no other way to say otherwise
    try:
        server = cast(Any, ServerProxy("http://127.0.0.1", transport=transport))
        return getattr(server.supervisor, method)(*arguments)
    except TimeoutError:
        said = (
            f"supervisord of {desk.run_dir} has said nothing for {ANSWER_S:g} s: stopped? its pid is in supervisord.pid"
        )
        raise QuarterdeckError(said) from None
    finally:
        socket.setdefaulttimeout(before)
        if transport.connection is not None:
            transport.connection.close()


def running(desk: DeskConfig) -> bool:
    """Whether a supervisord answers for this desk."""
    try:
        return bool(ask(desk, "getState")["statename"])
    except (OSError, Fault):
        return False


def start(desk: DeskConfig) -> None:
    """Start supervisord as a daemon; QuarterdeckError when it runs already or does not come up."""
    command = _prepared(desk)
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode or not wait_until(lambda: running(desk), 10):
        raise QuarterdeckError(f"supervisord did not start: {(done.stderr or done.stdout).strip()}")


def become(desk: DeskConfig) -> NoReturn:
    """This process is supervisord from now on; QuarterdeckError when another runs for this desk."""
    command = [*_prepared(desk), "--nodaemon"]
    os.chdir(ROOT)
    os.execve(command[0], command, environment())


def _prepared(desk: DeskConfig) -> list[str]:
    """Its command line, once everything is there that it needs."""
    if running(desk):
        raise QuarterdeckError(f"a supervisord for {desk.run_dir} runs already; `qd down` stops it")
    if desk.config.desk.user and os.geteuid():
        raise QuarterdeckError(f"{desk.path}: desk.user: only root may start processes as {desk.config.desk.user}")
    make_places(desk)
    (desk.run_dir / "config").write_text(f"{desk.path}\n")  # so that a client finds the desk by its run directory
    return [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration(desk))]


def orphans(desk: DeskConfig) -> list[tuple[str, int]]:
    """Processes that hold a role of this desk, whoever started them: (name, pid)."""
    held = []
    for role in roster(desk):
        lock = RoleLock(desk.run_dir / "lock" / role.name)
        if not lock.path.exists():
            continue
        if lock.try_acquire(0):
            lock.release()
        else:
            held.append((role.name, lock.holder().pid))
    return held


def end_all(desk: DeskConfig) -> None:
    """End by SIGKILL whatever runs for this desk, whoever started it: supervisord and its listener, holders of roles,
    twins that wait for theirs, what the kill switch just started. Returns when nothing is left.
    """
    while found := _running_for(desk):
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(found, timeout=10)


def _running_for(desk: DeskConfig) -> list[psutil.Process]:
    """Processes that were started with the desk's configuration, or with supervisord's; no `qd` among them."""
    mine = {desk.path.resolve(), (desk.run_dir / "supervisord.conf").resolve()}
    found = []
    for process in psutil.process_iter(["cmdline", "cwd", "status"]):
        about = process.info
        words = about["cmdline"] or []
        given = {Path(about["cwd"] or "/", w).resolve() for flag, w in pairwise(words) if flag in ("--config", "-c")}
        running = about["status"] != psutil.STATUS_ZOMBIE and process.pid != os.getpid()
        if running and mine & given and "quarterdeck.cli" not in words:
            found.append(process)
    return found


def stop(desk: DeskConfig, seconds: float = 60) -> None:
    """Stop every program in order and supervisord itself; QuarterdeckError naming what is still there."""
    if running(desk):
        # It stops answering long before it has stopped its programs: what is waited for is its process.
        pid = int(ask(desk, "getPID"))
        ask(desk, "shutdown")
        if not wait_until(lambda: not psutil.pid_exists(pid), seconds):
            raise QuarterdeckError(f"supervisord (pid {pid}) still runs after {seconds} s")
    if not wait_until(lambda: not orphans(desk), 5):
        left = ", ".join(f"{name} (pid {pid})" for name, pid in orphans(desk))
        raise QuarterdeckError(f"not children of a running supervisord, still alive: {left}")
