"""The kill switch while the disk of its latch and audit has not a byte left: it delays nothing and forgets nothing."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.base.own_mounts import OWN_MOUNTS, may_mount
from tests.procs.kill_venue import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200)]


@pytest.fixture
def places() -> Iterator[tuple[Path, Path]]:
    """Short paths: socket names are limited."""
    folders = Path(tempfile.mkdtemp(prefix="qk", dir="/tmp")), Path(tempfile.mkdtemp(prefix="qk", dir="/dev/shm"))
    yield folders
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def test_on_a_full_disk_a_trip_goes_its_way_people_are_told_and_a_restart_stays_shut(places: tuple[Path, Path]) -> None:
    if not may_mount(places[0]):
        pytest.skip("no mount namespace of our own is to be had here (unshare --user --mount)")
    command = [*OWN_MOUNTS, sys.executable, "-m", "tests.procs.full_kill_disk", *map(str, places)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=190, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all held" in done.stdout
