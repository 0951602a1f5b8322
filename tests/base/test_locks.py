"""One holder per role, named to whoever else wants it, gone when its process is."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from base.errors import LockHeldError
from base.locks import RoleLock

SINCE_NS = 1_750_000_000_000_000_000
HOLD = """
import sys, time
from base.locks import RoleLock
RoleLock(sys.argv[1]).acquire(1_750_000_000_000_000_000)
print("held", flush=True)
sys.stdin.read()
"""


def hold_elsewhere(path: Path) -> "subprocess.Popen[str]":
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def end(child: "subprocess.Popen[str]") -> None:
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()


def test_the_second_taker_is_told_who_holds_and_since_when(tmp_path: Path) -> None:
    child = hold_elsewhere(tmp_path / "lock" / "trading")
    try:
        lock = RoleLock(tmp_path / "lock" / "trading")
        with pytest.raises(LockHeldError, match=f"trading is held by pid {child.pid} since 2025-06-15T15:06:40Z"):
            lock.acquire(SINCE_NS)
        assert not lock.held
        assert lock.holder().pid == child.pid
    finally:
        end(child)


def test_a_waiting_twin_gets_the_lock_when_the_holder_is_killed(tmp_path: Path) -> None:
    child = hold_elsewhere(tmp_path / "role")
    lock = RoleLock(tmp_path / "role")
    assert not lock.try_acquire(SINCE_NS)
    end(child)
    assert lock.try_acquire(SINCE_NS)
    assert lock.holder().pid == os.getpid()
    lock.release()


def test_two_objects_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    first, second = RoleLock(tmp_path / "role"), RoleLock(tmp_path / "role")
    first.acquire(SINCE_NS)
    assert first.try_acquire(SINCE_NS)
    assert not second.try_acquire(SINCE_NS)
    first.release()
    assert second.try_acquire(SINCE_NS)
    second.release()


def test_the_lock_file_is_private_and_stays(tmp_path: Path) -> None:
    lock = RoleLock(tmp_path / "role")
    lock.acquire(SINCE_NS)
    assert lock.path.stat().st_mode & 0o777 == 0o600
    lock.release()
    assert lock.path.exists()


def test_an_unreadable_holder_is_said_to_be_unknown(tmp_path: Path) -> None:
    first = RoleLock(tmp_path / "role")
    first.acquire(SINCE_NS)
    (tmp_path / "role").write_text("rubbish")
    with pytest.raises(LockHeldError, match="held by an unknown process"):
        RoleLock(tmp_path / "role").acquire(SINCE_NS)
    first.release()


def test_a_full_disk_costs_the_signature_and_not_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    lock = RoleLock(tmp_path / "role")
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        assert lock.try_acquire(SINCE_NS)
    with pytest.raises(LockHeldError, match="held by an unknown process"):
        RoleLock(tmp_path / "role").acquire(SINCE_NS)
    lock.release()
    lock.acquire(SINCE_NS)
    assert lock.holder().pid == os.getpid()
    lock.release()
