"""A short campaign with a fixed seed: trips by several ways while something breaks, and the records bear it out."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from quarterdeck import supervisord
from tests.e2e.conftest import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_a_few_trips_under_faults_keep_every_rule(folder: Path) -> None:
    report = folder / "report.md"
    options = ("--hours", "0.2", "--trips", "5", "--seed", "6", "--dir", str(folder / "c"), "--report", str(report))
    done = subprocess.run(
        [sys.executable, "-m", "quarterdeck.cli", "kill", "campaign", "--json", *options],
        cwd=ROOT, env=supervisord.environment(), capture_output=True, text=True, timeout=560, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    said = json.loads(done.stdout)
    assert (done.returncode, said["violations"], said["failures"]) == (0, [], []), report.read_text()
    assert len(said["trips"]) == 5
    assert said["tally"]["messages"] > 20
    assert said["tally"]["claims"] >= 3
    assert sum(t["orders"] for t in said["trips"]) > 0
    assert "nothing was violated" in report.read_text()
    assert json.loads(report.with_suffix(".json").read_text())["ok"] is True
    left = [p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or ())]
    assert not left, "the campaign leaves no process behind"
