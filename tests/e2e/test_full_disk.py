"""The disk of a live desk fills up: new orders stop, everything else goes on, and it is over by itself."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.base.own_mounts import OWN_MOUNTS, may_mount
from tests.e2e.conftest import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SIZE_MIB = 200  # two segments for each store and journal of the desk, and not much more


def test_a_full_disk_stops_new_orders_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="qd-"))
    try:
        if not may_mount(folder):
            pytest.skip("no mount namespace of our own is to be had here (unshare --user --mount)")
        script = f'mount -t tmpfs -o size={SIZE_MIB}m none "$1" && exec "$0" -m tests.e2e.full_disk "$1"'
        command = [*OWN_MOUNTS, "sh", "-c", script, sys.executable, str(folder)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=580, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "all held" in done.stdout
        with capsys.disabled():
            print(f"\n{done.stdout.strip()}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
