"""Latch and audit reach the disk without ever holding up the caller, and tampering shows."""

import os
import time
from pathlib import Path

import pytest

import ipc.kill_files as kf
from base.clock import SystemClock
from ipc import audit
from ipc.audit_check import check_trail, verify_audit
from ipc.kill_files import KillFiles, read_latch, write_latch


def wait_for(condition: object) -> None:
    end = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.002)


def test_a_latch_reads_back_and_a_missing_one_is_none(tmp_path: Path) -> None:
    assert read_latch(tmp_path) is None
    write_latch(tmp_path, b"one")
    write_latch(tmp_path, b"two")
    assert read_latch(tmp_path) == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["latch.json"]


def test_everything_pending_is_written_before_the_end(tmp_path: Path) -> None:
    files = KillFiles(tmp_path, SystemClock())
    for i in range(50):
        files.audit("step", {"i": i})
    files.latch(b"old")
    files.latch(b"new")
    assert files.close()
    assert read_latch(tmp_path) == b"new"
    assert verify_audit(tmp_path) == (50, "")


def test_the_chain_goes_on_over_restarts_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "FILE_BYTES", 500)
    monkeypatch.setattr(kf, "BATCH", 3)
    for run in range(3):
        files = KillFiles(tmp_path, SystemClock())
        for i in range(10):
            files.audit("step", {"run": run, "i": i})
        assert files.close()
    assert len(list(tmp_path.glob("audit-*.jsonl"))) > 3
    assert verify_audit(tmp_path) == (30, "")


def test_a_disk_that_refuses_is_a_fault_and_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = True
    real = os.fsync

    def fsync(fd: int) -> None:
        if broken:
            raise OSError(28, "No space left on device")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    files = KillFiles(tmp_path, SystemClock())
    files.latch(b"shut")
    files.audit("trip", {})
    wait_for(lambda: "No space left" in files.fault())
    broken = False
    wait_for(lambda: read_latch(tmp_path) == b"shut" and files.fault() == "")
    assert files.close()
    assert verify_audit(tmp_path) == (1, "")


def test_a_disk_that_hangs_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kf, "SLOW_NS", 20_000_000)
    monkeypatch.setattr(kf, "PENDING_LINES", 100)
    hung = True
    real = os.fsync

    def fsync(fd: int) -> None:
        while hung:
            time.sleep(0.005)
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    files = KillFiles(tmp_path, SystemClock())
    files.latch(b"shut")
    for i in range(300):
        files.audit("step", {"i": i})  # who waited here would wait for ever: the disk answers after it
    wait_for(lambda: "not answered" in files.fault())
    hung = False
    assert files.close(60)
    sound, wrong = verify_audit(tmp_path)
    assert wrong == ""
    assert 100 <= sound <= 103
    assert any("lines were given up" in note for note in check_trail(tmp_path).notes)
    assert b'"lines lost"' in b"".join(p.read_bytes() for p in tmp_path.glob("audit-*"))
