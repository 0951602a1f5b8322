"""A short soak with a fixed seed: ends of connections, deaths and lies of a venue, and nothing is lost."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from quarterdeck import supervisord
from tests.e2e.conftest import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_nothing_is_lost_or_doubled_while_something_breaks_every_second(folder: Path) -> None:
    report = folder / "report.txt"
    options = ("--minutes", "0.3", "--seed", "20", "--every", "1", "--dir", str(folder / "s"), "--report", str(report))
    done = subprocess.run(
        [sys.executable, "-m", "quarterdeck.cli", "soak", "--json", *options],
        cwd=ROOT, env=supervisord.environment(), capture_output=True, text=True, timeout=560, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    said = json.loads(done.stdout)
    shown = report.read_text()
    assert done.returncode == 0, shown
    assert (said["ok"], said["lost"], said["doubled"], said["uncertain_left"]) == (True, 0, 0, 0), shown
    assert said["working_left"] == 0
    assert said["orders"] > 20  # how many there are in a span is the machine's matter
    assert said["fills"] > 5
    assert sum(said["faults"].values()) >= 4
    assert json.loads(report.with_suffix(".json").read_text())["findings"] == []
    assert "verdict" in shown
    left = [p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or ())]
    assert not left, "the soak leaves no process behind"
