"""What every process has in common: its arguments, its role, its secrets, its state and its stop."""

import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from base.clock import SystemClock
from base.config import DeskConfig, load
from base.locks import RoleLock
from ipc.bus import Subscriber
from ipc.events import Alert, ProcessState
from ipc.host import ProcessHost, build_fingerprint, run_process, secret_references
from ipc.readiness import Readiness, read_status
from ipc.roster import publisher_endpoint
from tests.ipc.bus_tools import wait_for

CONFIG = """
[desk]
name = "t"
environment = "test"
shm_dir = "{folder}/shm"

[venue.v]
dialect = "fix44"
instruments = [{{ name = "BTC-USD", symbol = "BTC", px_scale = 1, qty_scale = 3 }}]

[venue.v.rest]
address = "https://localhost"
key = "env:V_KEY"
secret = "env:V_SECRET"
kill_key = "env:V_KILL_KEY"
kill_secret = "env:V_KILL_SECRET"

[session.trd]
venue = "v"
kind = "trading"
address = "localhost:1"
sender_comp_id = "A"
target_comp_id = "B"
username = "env:TRD_USER"
password = "run:secrets/trd"

[session.own]
venue = "v"
kind = "trading"
address = "localhost:1"
sender_comp_id = "C"
target_comp_id = "B"
username = "env:OWN_USER"

[session.md]
venue = "v"
kind = "marketdata"
address = "localhost:1"
sender_comp_id = "A"
target_comp_id = "B"

[book.one]
sessions = ["md"]

[kill]
sessions = ["own"]
"""


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[DeskConfig]:
    """A desk in a short path: Unix sockets have room for 107 bytes."""
    monkeypatch.delenv("QD_STATE_DIR", raising=False)
    with tempfile.TemporaryDirectory(prefix="qd-") as folder:
        path = Path(folder) / "config" / "desk.toml"
        path.parent.mkdir()
        path.write_text(CONFIG.format(folder=folder))
        yield load(path)


@pytest.fixture
def host(desk: DeskConfig) -> Iterator[ProcessHost]:
    host = ProcessHost(desk, "trd", "trading")
    yield host
    host.close()


# -- arguments ---------------------------------------------------------------------------------------------------------


def never(_host: ProcessHost, _name: str) -> None:
    pytest.fail("a process with wrong arguments must not begin")


@pytest.mark.parametrize(
    ("option", "name", "says"),
    [
        ("session", "trdx", "no session 'trdx'; there are ['md', 'own', 'trd']"),
        ("shard", "two", "no shard 'two'; there are ['one']"),
        ("venue", "v", "no venue 'v'; there are []"),
    ],
)
def test_an_unknown_name_is_one_line_with_the_known_ones(
    desk: DeskConfig, option: str, name: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_process("trading", option, never, ["--config", str(desk.path), f"--{option}", name]) == 2
    assert capsys.readouterr().err == f"procs.trading: {desk.path}: {says}\n"
    assert not desk.shm_dir.exists()


def test_a_wrong_configuration_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "desk.toml"
    path.write_text("nonsense")
    assert run_process("book", "shard", never, ["--config", str(path), "--shard", "one"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"procs.book: {path}: not TOML: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["--config", "x"], ["--config", "x", "--session", "a", "--more"]])
def test_missing_and_unknown_arguments_end_with_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as e:
        run_process("trading", "session", never, arguments)
    assert e.value.code == 2
    assert "usage: python -m procs.trading" in capsys.readouterr().err


# -- role --------------------------------------------------------------------------------------------------------------


def test_a_role_is_taken_and_shown(desk: DeskConfig, host: ProcessHost) -> None:
    assert host.take_role()
    status = read_status(desk.shm_dir / "proc" / "trd")
    assert (status.process, status.kind, status.pid) == ("trd", "trading", os.getpid())
    assert (status.readiness, status.build, status.config) == (
        Readiness.STARTING, build_fingerprint(), desk.fingerprint,
    )  # fmt: skip
    assert desk.run_dir.stat().st_mode & 0o777 == 0o700
    assert not RoleLock(desk.run_dir / "lock" / "trd").try_acquire(0)


def test_a_twin_waits_names_the_holder_and_takes_over(desk: DeskConfig, host: ProcessHost) -> None:
    lock = RoleLock(desk.run_dir / "lock" / "trd")
    lock.acquire(SystemClock().wall_ns())
    page = desk.shm_dir / "proc" / "trd.twin"

    def let_go() -> None:
        wait_for(page.exists, "the twin's own page")
        wait_for(lambda: read_status(page).beat_mono_ns, "the twin beats")
        seen.append(read_status(page))
        assert not (desk.shm_dir / "proc" / "trd").exists()  # the holder's page is not touched
        lock.release()

    seen: list[object] = []
    other = threading.Thread(target=let_go)
    other.start()
    try:
        assert host.take_role()
    finally:
        other.join()
    (status,) = seen
    assert (status.readiness, status.process) == (Readiness.STARTING, "trd.twin")  # type: ignore[attr-defined]
    assert f"held by pid {os.getpid()} since 2" in status.reason  # type: ignore[attr-defined]
    assert not page.exists()
    assert read_status(desk.shm_dir / "proc" / "trd").pid == os.getpid()


def test_a_twin_that_is_told_to_stop_ends_without_the_role(desk: DeskConfig, host: ProcessHost) -> None:
    lock = RoleLock(desk.run_dir / "lock" / "trd")
    lock.acquire(SystemClock().wall_ns())
    host.reactor.call_later(0, lambda: os.kill(os.getpid(), signal.SIGTERM), "stop")
    try:
        assert not host.take_role()
    finally:
        lock.release()
    assert host.stopping
    assert list((desk.shm_dir / "proc").iterdir()) == []


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_each_process_needs_its_own_secrets_and_no_others(desk: DeskConfig) -> None:
    assert secret_references(desk, "trading", "trd") == ["env:TRD_USER", "run:secrets/trd", "env:V_KEY", "env:V_SECRET"]
    assert secret_references(desk, "killswitch", "killswitch") == [
        "env:OWN_USER", "env:V_KILL_KEY", "env:V_KILL_SECRET",
    ]  # fmt: skip
    assert secret_references(desk, "book", "one") == []


def test_a_third_secret_is_waited_for_as_the_others_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QD_STATE_DIR", raising=False)
    path = tmp_path / "config" / "desk.toml"
    path.parent.mkdir()
    path.write_text((Path(__file__).parents[2] / "config" / "examples" / "coinbase_prime.toml").read_text())
    desk = load(path)
    assert "env:PRIME_TRD_PASSPHRASE" in secret_references(desk, "trading", "prime-trd")
    assert "env:PRIME_REST_PASSPHRASE" in secret_references(desk, "trading", "prime-trd")
    assert "env:PRIME_KILL_PASSPHRASE" in secret_references(desk, "killswitch", "killswitch")


def test_missing_secrets_are_waited_for_one_after_the_other_each_by_name(
    desk: DeskConfig, host: ProcessHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRD_USER", raising=False)
    assert host.take_role()
    page = desk.shm_dir / "proc" / "trd"
    secret = desk.run_dir / "secrets" / "trd"
    said: list[str] = []

    def bring(step: int) -> None:
        status = read_status(page)
        if step == 0 and "TRD_USER" in status.reason:
            said.append(status.reason)
            monkeypatch.setenv("TRD_USER", "name")
            step = 1
        elif step == 1 and "secrets/trd" in status.reason:
            said.append(status.reason)
            secret.parent.mkdir()
            secret.write_text("word")
            secret.chmod(0o644)
            step = 2
        elif step == 2 and "chmod 600" in status.reason:
            said.append(status.reason)
            secret.chmod(0o600)
            return
        host.reactor.call_later(10_000_000, lambda: bring(step), "bring")

    host.reactor.call_later(0, lambda: bring(0), "bring")
    assert host.wait_for_secrets(["env:TRD_USER", "run:secrets/trd"])
    assert [text.partition(":")[0] for text in said] == [
        "environment variable TRD_USER is not set", str(secret), str(secret),
    ]  # fmt: skip
    assert read_status(page).readiness == Readiness.STARTING  # never READY before it could begin


def test_waiting_for_secrets_ends_at_a_stop(host: ProcessHost) -> None:
    assert host.take_role()
    host.reactor.call_later(0, lambda: host.stop("test"), "stop")
    assert not host.wait_for_secrets(["env:QD_NO_SUCH_SECRET"])
    assert host.page.readiness == Readiness.STOPPING


# -- state and stop ----------------------------------------------------------------------------------------------------


def test_state_and_alerts_are_shown_in_memory_and_said_on_the_bus(desk: DeskConfig, host: ProcessHost) -> None:
    assert host.take_role()
    host.open_bus()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    subscriber = Subscriber(context)
    for prefix in ("state.", "alert."):
        subscriber.subscribe(prefix)
    subscriber.connect(publisher_endpoint(desk, "trd"))
    heard: list[object] = []

    def look() -> None:
        if not heard:  # until the subscription stands
            host.set(Readiness.RECOVERING, "soon")
            host.set(Readiness.READY, "")
            host.alert("warning", "code", "text")
        heard.extend(d.event for d in subscriber.receive() if isinstance(d.event, Alert | ProcessState))
        if any(isinstance(e, Alert) for e in heard):
            host.stop("enough")
        else:
            host.reactor.call_later(1_000_000, look, "look")

    host.reactor.call_later(0, look, "look")
    host.reactor.call_later(20_000_000_000, lambda: host.stop("too late"), "deadline")
    try:
        host.run()
    finally:
        subscriber.close()
        context.destroy(linger=0)
    (alert,) = [e for e in heard if isinstance(e, Alert)][:1]
    assert (alert.source, alert.severity, alert.code, alert.text) == ("trd", "warning", "code", "text")
    states = [e for e in heard if isinstance(e, ProcessState)]
    assert {s.readiness for s in states} <= {"RECOVERING", "READY", "STOPPING", "STARTING"}
    assert all((s.process, s.config) == ("trd", desk.fingerprint) for s in states)
    assert read_status(desk.shm_dir / "proc" / "trd").readiness == Readiness.STOPPING


def test_a_stop_waits_for_the_handler_and_a_second_one_does_not(host: ProcessHost) -> None:
    assert host.take_role()
    order: list[str] = []
    host.on_stop(lambda: order.append("handler"))
    host.reactor.call_later(0, lambda: host.stop("first"), "first")
    host.reactor.call_later(50_000_000, lambda: (order.append("second"), host.stop("second"))[0], "second")
    host.run()
    assert order == ["handler", "second"]


def test_the_lock_is_free_when_a_process_has_ended(desk: DeskConfig, host: ProcessHost) -> None:
    assert host.take_role()
    host.reactor.call_later(0, lambda: host.stop("done"), "stop")
    host.run()
    lock = RoleLock(desk.run_dir / "lock" / "trd")
    assert lock.try_acquire(0)
    lock.release()
