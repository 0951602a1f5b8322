"""What psutil says of the desk's processes and host."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from base.config import DeskConfig, load
from base.locks import RoleLock
from ipc.health import HealthSampler

DESK = '[desk]\nname = "t"\nrun_dir = "r"\nshm_dir = "{shm}"\nenvironment = "test"\n[venue]\n[session]\n'
HOLDER = """
import sys, time
from base.locks import RoleLock
lock = RoleLock(sys.argv[1])
lock.acquire(1)
print("held", flush=True)
ballast = bytearray(64 << 20)
while time.process_time() < 0.4:
    pass
print("warm", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def desk(tmp_path: Path) -> DeskConfig:
    (tmp_path / "c").mkdir()
    (tmp_path / "shm").mkdir()
    (tmp_path / "c" / "desk.toml").write_text(DESK.format(shm=tmp_path / "shm"))
    found = load(tmp_path / "c" / "desk.toml")
    found.data_dir.mkdir()
    return found


@pytest.fixture
def holder(desk: DeskConfig) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the role `busy`, with 64 MiB, and burns some processor time."""
    path = desk.run_dir / "lock" / "busy"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_memory_and_processor_time_of_whoever_holds_the_role(desk: DeskConfig, holder: subprocess.Popen[str]) -> None:
    sampler = HealthSampler(desk, ["busy"], 1000)
    sampler.sample("busy")
    first = sampler.processes["busy"]
    assert (first.pid, first.cpu_pct) == (holder.pid, None)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "warm\n"
    sampler.sample("busy")
    found = sampler.processes["busy"]
    assert (found.memory_mb or 0) >= 64
    assert 1 <= (found.cpu_pct or 0) <= 120  # the kernel counts in steps


def test_a_role_that_nobody_holds_has_no_figures_whoever_has_its_old_pid(desk: DeskConfig) -> None:
    sampler = HealthSampler(desk, ["gone", "never"], 1000)
    lock = RoleLock(desk.run_dir / "lock" / "gone")
    lock.acquire(1)  # this process
    sampler.sample("gone")
    assert sampler.processes["gone"].pid == os.getpid()
    lock.release()
    for name in ("gone", "never"):
        sampler.sample(name)
    assert sampler.processes == {}


def test_the_host_says_what_is_left_and_a_place_that_is_not_there_has_no_figure(desk: DeskConfig) -> None:
    sampler = HealthSampler(desk, [], 1000)
    sampler.sample_host()
    assert set(sampler.host.free_mb) == {"data", "shared memory"}  # the log folder is not made yet
    assert (sampler.host.memory_free_mb or 0) > 0


def test_the_thread_looks_by_itself_and_ends(desk: DeskConfig, holder: subprocess.Popen[str]) -> None:
    sampler = HealthSampler(desk, ["busy"], 100)
    sampler.start()
    while not (sampler.host.free_mb and sampler.processes):
        os.sched_yield()
    sampler.close()
    assert sampler.processes["busy"].pid == holder.pid


def test_a_role_that_may_not_be_looked_at_is_said_and_ends_no_measuring(
    desk: DeskConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = HealthSampler(desk, ["other"], 1000)

    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr("ipc.health.role_held", refuse)
        sampler.sample("other")
    assert "Permission denied" in sampler.unseen["other"]
    sampler.sample("other")
    assert not sampler.unseen


def test_figures_of_a_thread_that_hangs_are_not_taken_for_those_of_now(desk: DeskConfig) -> None:
    sampler = HealthSampler(desk, [], 1000)
    sampler.sample_host()
    at = sampler.looked_ns
    assert sampler.blind(at + 9 * 10**9, 10 * 10**9) == ""
    assert sampler.blind(at + 11 * 10**9, 10 * 10**9) == "processes and host were last looked at 11 s ago"
