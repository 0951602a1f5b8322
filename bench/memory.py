"""Memory of each process of the default desk at rest, simulated venues apart."""

import shutil
import tempfile
from pathlib import Path

import psutil

from base.config import load
from base.errors import QuarterdeckError
from bench.report import Row, at_most, print_rows
from ipc.view.status import read_desk
from quarterdeck import supervisord

ROOT = Path(__file__).resolve().parent.parent
LIMIT_MB = 40
READY_S = 60


def run(as_json: bool) -> int:
    """Start the desk in a place of its own, print the resident memory of each process, stop it."""
    folder = Path(tempfile.mkdtemp(prefix="qd-"))
    (folder / "config").mkdir()
    shutil.copy(ROOT / "config" / "desk.toml", folder / "config" / "desk.toml")
    desk = load(folder / "config" / "desk.toml")
    try:
        supervisord.start(desk)
        if not supervisord.wait_until(lambda: read_desk(desk).ready, READY_S):
            raise QuarterdeckError(f"the desk is not ready within {READY_S} s")
        rows = [row for p in read_desk(desk).processes for row in _row(p.name, p.kind, p.pid)]
    finally:
        if supervisord.running(desk):
            supervisord.stop(desk)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(desk.shm_dir, ignore_errors=True)
    print_rows(rows, as_json)
    return 0 if all(r.ok for r in rows) else 4


def _row(name: str, kind: str, pid: int) -> list[Row]:
    """Proportional memory (what processes share is divided among them), and resident memory for information.

    Shared-memory regions are left out: `qd bench book` counts them, once.
    """
    maps = psutil.Process(pid).memory_maps(grouped=True)
    own = [m for m in maps if not m.path.startswith("/dev/shm")]
    pss, rss = (round(sum(getattr(m, field) for m in own) / 1e6, 1) for field in ("pss", "rss"))
    seen = Row(f"{name}, resident, for information", rss, "MB")
    if kind == "simvenue":  # not part of a production desk
        return [Row(f"{name}, proportional (simulator, no limit)", pss, "MB"), seen]
    return [at_most(f"{name}, proportional", pss, "MB", LIMIT_MB), seen]
