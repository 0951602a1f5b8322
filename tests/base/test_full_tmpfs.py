"""A file system without a free byte: what was set aside is enough, for ever, and it is over by itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.base.own_mounts import OWN_MOUNTS, may_mount

ROOT = Path(__file__).resolve().parents[2]


def test_store_and_journal_go_on_without_a_free_byte(tmp_path: Path) -> None:
    if not may_mount(tmp_path):
        pytest.skip("no mount namespace of our own is to be had here (unshare --user --mount)")
    script = 'mount -t tmpfs -o size=3m none "$1" && exec "$0" -m tests.base.full_tmpfs "$1"'
    command = [*OWN_MOUNTS, "sh", "-c", script, sys.executable, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all held" in done.stdout
