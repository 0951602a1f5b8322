"""The connect gate: one budget for all processes of a host, and the kill path never held up by it."""

import fcntl
import itertools
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.connect_gate import BUSY_RETRY_NS, ConnectGate, ConnectGateSettings, wait_ns
from base.errors import TransportError

S = 1_000_000_000
SETTINGS = ConnectGateSettings(limit=5, window_ns=60 * S, reserve=2, spacing_ns=S)
NOW = 10**15


def storm(gate: ConnectGate, start: int, seconds: int) -> list[int]:
    """Ask every tenth of a second; the times at which an attempt was allowed."""
    return [t for t in range(start, start + seconds * S, S // 10) if gate.ask(t) == 0]


def test_a_storm_is_thinned_to_the_limit_without_the_reserve(tmp_path: Path) -> None:
    allowed = storm(ConnectGate(tmp_path / "venue", SETTINGS), NOW, 120)
    assert [(t - NOW) // S for t in allowed] == [0, 1, 2, 60, 61, 62]


def test_all_processes_share_one_budget(tmp_path: Path) -> None:
    gates = [ConnectGate(tmp_path / "venue", SETTINGS) for _ in range(4)]
    allowed = sum(gate.ask(NOW + number * S) == 0 for number in range(10) for gate in gates)
    assert allowed == SETTINGS.limit - SETTINGS.reserve


def test_venues_do_not_share(tmp_path: Path) -> None:
    for venue in ("one", "two"):
        assert len(storm(ConnectGate(tmp_path / venue, SETTINGS), NOW, 10)) == 3


@given(st.lists(st.integers(0, 5 * S), max_size=60), st.integers(1, 8), st.integers(0, 4), st.integers(0, 2 * S))
def test_no_window_ever_holds_more_than_allowed_and_the_wait_is_exact(
    pauses: list[int], limit: int, reserve: int, spacing: int
) -> None:
    settings = ConnectGateSettings(limit, 20 * S, reserve, spacing)
    now, attempts = NOW, []
    for pause in pauses:
        now += pause
        recent = [t for t in attempts if t > now - settings.window_ns]
        wait = wait_ns(recent, now, settings)
        if wait:
            assert wait_ns([t for t in recent if t > now + wait - settings.window_ns], now + wait, settings) == 0
        else:
            attempts.append(now)
    allowed = max(1, limit - reserve)
    for first, last in zip(attempts, attempts[allowed:], strict=False):
        assert last - first >= settings.window_ns
    assert all(b - a >= spacing for a, b in itertools.pairwise(attempts))


def test_the_kill_path_passes_an_exhausted_gate_and_is_counted(tmp_path: Path) -> None:
    gate = ConnectGate(tmp_path / "venue", SETTINGS)
    storm(gate, NOW, 10)
    now = NOW + 20 * S
    assert gate.ask(now) > 0
    assert all(gate.ask(now + n, kill=True) == 0 for n in range(10))
    assert gate.ask(NOW + 65 * S) > 0, "the kill's attempts hold the others back"


def test_a_lock_held_by_a_stopped_process_delays_others_but_not_the_kill(tmp_path: Path) -> None:
    gate = ConnectGate(tmp_path / "venue", SETTINGS)
    gate.ask(NOW)
    holder = os.open(gate.path, os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)
    assert gate.ask(NOW + 30 * S) == BUSY_RETRY_NS
    assert gate.ask(NOW + 30 * S, kill=True) == 0
    os.close(holder)
    assert gate.ask(NOW + 30 * S) == 0


def test_a_gate_that_cannot_be_opened_stops_others_but_not_the_kill(tmp_path: Path) -> None:
    (tmp_path / "venue").mkdir()
    gate = ConnectGate(tmp_path / "venue", SETTINGS)
    with pytest.raises(TransportError, match="venue: the connect gate"):
        gate.ask(NOW)
    assert gate.ask(NOW, kill=True) == 0


@pytest.mark.parametrize("content", [b"", b"abc", bytes(i * 37 % 251 for i in range(100)), bytes(800), b"\xff" * 8000])
def test_a_file_of_another_boot_or_of_nonsense_counts_as_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "venue").write_bytes(content)
    gate = ConnectGate(tmp_path / "venue", SETTINGS)
    assert gate.ask(NOW) == 0
    assert gate.ask(NOW) > 0


def test_the_file_does_not_grow(tmp_path: Path) -> None:
    gate = ConnectGate(tmp_path / "venue", SETTINGS)
    for number in range(500):
        gate.ask(NOW + number, kill=True)
    assert gate.path.stat().st_size <= 100


def test_a_lease_on_the_file_holds_nobody_up_and_the_desk_soon_counts_alone(tmp_path: Path) -> None:
    """The kernel lets an opener wait for 45 s until it takes the lease away."""
    gate = ConnectGate(tmp_path / "venue", SETTINGS, tmp_path / "own")
    gate.ask(NOW)
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # how the holder is asked to give it back
    holder = os.open(gate.path, os.O_RDONLY)
    try:
        fcntl.fcntl(holder, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        began = time.monotonic()
        assert gate.ask(NOW + 30 * S, kill=True) == 0
        answers = [gate.ask(NOW + 30 * S) for _ in range(402)]
        assert time.monotonic() - began < 40
    finally:
        os.close(holder)
        signal.signal(signal.SIGIO, before)
    assert answers[:401] == [BUSY_RETRY_NS] * 401
    assert answers[-1] == 0
    assert "the connect gate's lock is not given back" in gate.fault


# -- a machine with several desks and users --------------------------------------------------------------------------


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that other users can reach; pytest's own are for one user."""
    folder = Path(tempfile.mkdtemp(prefix="gate-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def ask_as(uid: int, path: Path, mono_ns: int) -> int:
    """What a process of another user is answered: milliseconds, or -1 for an error."""
    child = os.fork()
    if child == 0:
        code = 255
        try:
            os.setuid(uid)
            code = min(ConnectGate(path, SETTINGS).ask(mono_ns) // 10_000_000, 200)
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return -1 if code == 255 else code * 10


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a link to another user")
def test_a_folder_that_another_user_links_elsewhere_is_not_followed(public: Path) -> None:
    elsewhere = public / "elsewhere"
    elsewhere.mkdir()
    (public / "gates").symlink_to(elsewhere)
    assert ConnectGate(public / "gates" / "venue", SETTINGS).ask(NOW) == 0, "one's own link is"
    os.lchown(public / "gates", 65534, 65534)
    gate = ConnectGate(public / "gates" / "other", SETTINGS, public / "own")
    assert gate.ask(NOW) == 0
    assert "the connect gate cannot be used" in gate.fault
    assert [p.name for p in elsewhere.iterdir()] == ["venue"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_users_of_one_machine_share_one_budget(public: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        path = public / "gates" / "venue"
        assert ConnectGate(path, SETTINGS).ask(NOW) == 0
        assert ask_as(65534, path, NOW + S // 4) == 750, "a second apart, whoever asks"
        assert ask_as(65534, path, NOW + S) == 0
        assert ConnectGate(path, SETTINGS).ask(NOW + S) > 0
        assert ask_as(65533, public / "gates" / "other", NOW) == 0, "any user may be the first"
        assert ConnectGate(public / "gates" / "other", SETTINGS).ask(NOW) > 0
    finally:
        os.umask(old)


def test_a_gate_that_cannot_be_shared_is_kept_alone_and_that_is_said(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_bytes(b"mine")
    (tmp_path / "gates").mkdir()
    (tmp_path / "gates" / "venue").symlink_to(target)
    gate = ConnectGate(tmp_path / "gates" / "venue", SETTINGS, tmp_path / "own")
    assert storm_count(gate) == SETTINGS.limit - SETTINGS.reserve
    assert "cannot be used" in gate.fault
    assert target.read_bytes() == b"mine", "a link is not followed"


def test_a_lock_that_is_never_given_back_does_not_stop_us_for_ever(tmp_path: Path) -> None:
    gate = ConnectGate(tmp_path / "venue", SETTINGS, tmp_path / "own")
    gate.ask(NOW)
    holder = os.open(gate.path, os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)
    now, waits = NOW + 30 * S, 0
    while (wait := gate.ask(now)) and waits < 1_000:
        now, waits = now + wait, waits + 1
    assert waits < 1_000
    assert "not given back" in gate.fault
    os.close(holder)


def storm_count(gate: ConnectGate) -> int:
    return sum(gate.ask(NOW + n * S) == 0 for n in range(20))
