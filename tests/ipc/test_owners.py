"""The kill switch's eyes on owners of orders: who cannot be seen is not dead. Who starts the dead if nobody does."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from base.clock import SystemClock
from base.errors import CorruptError, StoreError
from base.locks import RoleLock, role_holder
from base.reactor import Reactor
from ipc import frames, owners
from ipc.events import Balance
from ipc.journal import Journal
from ipc.owners import REVIVE_ALONE_NS, REVIVE_SUPERVISED_NS, JournalTail, OwnerWatch, Reviver, role_held, stopped


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    """The places of a desk."""
    for name in ("run/lock", "shm/proc", "data"):
        (tmp_path / name).mkdir(parents=True)
    return SimpleNamespace(run_dir=tmp_path / "run", shm_dir=tmp_path / "shm", data_dir=tmp_path / "data", path="f")


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    found = Reactor(SystemClock())
    yield found
    found.close()


class Died:
    """What is told of ends."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []

    def __call__(self, session: str, orderly: bool) -> None:
        self.told.append((session, orderly))


def refuse(*_: object, **__: object) -> int:
    raise PermissionError(13, "Permission denied")


def held(path: Path) -> subprocess.Popen[str]:
    """A process that holds a role."""
    code = (
        f"import time; from base.locks import RoleLock; lock = RoleLock({str(path)!r}); lock.acquire(1);"
        "print(1, flush=True); time.sleep(600)"
    )
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    return process


def ended(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_whose_lock_cannot_be_read_counts_as_alive_until_it_is_seen_that_nobody_is_there(
    desk: Any, reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    died = Died()
    watch = OwnerWatch(reactor, desk, "a", died)
    watch.look()
    assert not watch.alive
    with monkeypatch.context() as m:
        m.setattr(owners, "role_held", refuse)
        for _ in range(3):
            watch.look()
        assert watch.alive
        assert "Permission denied" in watch.out_of_reach()
        assert "Permission denied" in watch.kill()
        assert died.told == []
    watch.look()
    assert not watch.alive
    assert watch.out_of_reach() == ""
    assert died.told == [("a", False)]


def test_a_holder_that_cannot_be_found_counts_as_alive(desk: Any, reactor: Reactor) -> None:
    """Its lock names nobody, or somebody of another pid namespace: a dead process sends nothing, this one may."""
    process = held(desk.run_dir / "lock" / "a")
    try:
        (desk.run_dir / "lock" / "a").write_text("")
        watch = OwnerWatch(reactor, desk, "a", Died())
        watch.look()
        assert watch.alive
        assert watch.out_of_reach() == ""  # it may have taken its role this very instant
        watch.look()
        watch.look()
        assert "held by pid 0" in watch.out_of_reach()
        (desk.run_dir / "lock" / "a").write_text(f"{process.pid} 1\n")
        watch.look()
        assert (watch.pid, watch.out_of_reach()) == (process.pid, "")
        assert watch.kill() == ""
        assert process.wait(10) == -signal.SIGKILL
        watch.close()
    finally:
        ended(process)


def test_a_signal_that_is_not_permitted_is_known_beforehand(
    desk: Any, reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = held(desk.run_dir / "lock" / "a")
    try:
        watch = OwnerWatch(reactor, desk, "a", Died())
        watch.look()
        assert watch.out_of_reach() == ""
        monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
        assert "CAP_KILL" in watch.out_of_reach()
        assert f"pid {process.pid}" in watch.kill()
        assert process.poll() is None
        watch.close()
    finally:
        ended(process)


@pytest.mark.parametrize("broken", ["scandir", "open"])
def test_a_journal_that_may_not_be_read_is_not_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    assert JournalTail(tmp_path / "never begun").read(10) == ([], False)
    if broken == "open":
        (tmp_path / "journal-0000000001.seg").write_bytes(bytes(4096))
    monkeypatch.setattr(os, broken, refuse)
    with pytest.raises(StoreError, match="Permission denied"):
        JournalTail(tmp_path).read(10)


def balance(n: int) -> Balance:
    return Balance("s", "v", "main", "USD", f"{n}", "", "", "", n)


def test_what_was_read_before_a_damage_is_handed_out_before_the_damage_is_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 1)
    publisher = frames.prefix(b"exec.s", 7)
    for n in range(1, 6):
        journal.frame(frames.frame(publisher, n, n, 1, frames.encode_event(balance(n))))
    tail = JournalTail(tmp_path)
    told, more = tail.read(2)
    assert ([t.seq for t in told], more, tail.at_end) == ([1, 2], True, False)
    path = min(tmp_path.glob("*.seg"))
    with path.open("r+b") as file:
        file.seek(path.read_bytes().rindex(b"USD"))
        file.write(b"X")  # in the last record
    told, more = tail.read(10)
    assert ([t.seq for t in told], more, tail.at_end) == ([3, 4], True, False)
    for _ in range(2):  # and again, for as long as it is there: it has not been read to its end
        with pytest.raises(CorruptError, match="contradicts its checksum"):
            tail.read(10)
        assert not tail.at_end
    journal.close()


def test_role_holder_names_who_holds_it(tmp_path: Path) -> None:
    assert role_holder(tmp_path / "a") == 0
    lock = RoleLock(tmp_path / "a")
    lock.acquire(1)
    assert role_holder(tmp_path / "a") == os.getpid()
    assert role_held(tmp_path / "a")
    lock.release()
    assert role_holder(tmp_path / "a") == 0
    assert not role_held(tmp_path / "a")


class Revived:
    """A Reviver under a parent of the test's choice, which starts nobody."""

    def __init__(self, desk: Any, parent: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SUPERVISOR_PROCESS_NAME", "killswitch")
        monkeypatch.setattr(os, "getppid", lambda: parent)
        self.started: list[int] = []
        self.now = 1
        self.reviver = Reviver(desk, lambda *_: None)
        monkeypatch.setattr(self.reviver, "_start", lambda session: self.started.append(self.now))
        self.reviver.want("a", self.now)

    def turn(self, ns: int) -> int:
        """Starts so far, `ns` later."""
        self.now += ns
        self.reviver.look([], self.now)
        return len(self.started)


def test_a_supervisord_has_its_turn_first_unless_it_is_stopped(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as parent:
        try:
            world = Revived(desk, parent.pid, monkeypatch)
            assert world.turn(REVIVE_ALONE_NS) == 0
            parent.send_signal(signal.SIGSTOP)
            until(lambda: stopped(parent.pid))
            assert world.turn(1) == 1
            assert world.turn(REVIVE_ALONE_NS) == 1  # what was started is given time to come up
            parent.send_signal(signal.SIGCONT)
            until(lambda: not stopped(parent.pid))
            assert world.turn(REVIVE_SUPERVISED_NS) == 2
        finally:
            parent.kill()


def test_what_holds_its_role_or_cannot_be_seen_is_never_started_twice(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = Revived(desk, 1, monkeypatch)
    lock = RoleLock(desk.run_dir / "lock" / "a")
    lock.acquire(1)
    assert world.turn(REVIVE_ALONE_NS) == 0
    lock.release()
    with monkeypatch.context() as m:
        m.setattr(owners, "role_held", refuse)
        assert world.turn(1) == 0
    assert world.turn(1) == 1


def test_a_process_that_is_gone_is_not_stopped() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert not stopped(process.pid)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
