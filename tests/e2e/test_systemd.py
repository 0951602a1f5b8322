"""The unit for systemd: sound, and started as it says, supervisord runs and stops everything in order."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quarterdeck import supervisord
from tests.e2e.conftest import ROOT, RunningDesk, end_desk, make_desk, wait_for

UNIT = ROOT / "config" / "systemd" / "quarterdeck.service"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    qd = tmp_path / "qd"
    qd.write_text("#!/bin/sh\n")
    qd.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/quarterdeck/.venv/bin/qd", str(qd)))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if UNIT.name in line]) == (0, [])


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_in_the_foreground_it_is_supervisord_and_stops_everything_when_told_to(folder: Path) -> None:
    (command,) = [line for line in UNIT.read_text().splitlines() if line.startswith("ExecStart=")]
    words = command.partition("=")[2].split()[1:-1]
    desk = make_desk(folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "quarterdeck.cli", *words, str(desk.path)], cwd=ROOT, env=supervisord.environment()
    )
    try:
        RunningDesk(desk).wait_ready()
        assert supervisord.ask(desk, "getPID") == process.pid
        again = RunningDesk(desk).qd(*words, str(desk.path))
        assert (again.returncode, "runs already" in again.stderr) == (1, True)
        os.kill(process.pid, signal.SIGTERM)
        wait_for(lambda: process.poll() is not None, 120, "supervisord has stopped")
        assert process.returncode == 0
        assert supervisord.orphans(desk) == []
    finally:
        end_desk(desk)
        process.wait(10)
