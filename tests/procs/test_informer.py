"""supervisord's event listener: its protocol over pipes, and what becomes of an event."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
import zmq
from supervisor import childutils

from base.clock import SystemClock
from base.config import DeskConfig, load
from base.locks import RoleLock
from ipc.alert_spool import AlertSpool, SpoolReader
from ipc.bus import Publisher, Subscriber
from ipc.events import Alert
from ipc.roster import publisher_endpoint
from procs.informer import Alerts, describe, listen
from tests.ipc.bus_tools import wait_for

ROOT = Path(__file__).resolve().parents[2]
EXITED = "processname:kraken-trd groupname:trading from_state:RUNNING expected:{expected} pid:12"


def message(name: str, payload: str) -> str:
    """An event as supervisord writes it to a listener."""
    return (
        f"ver:3.0 server:supervisor serial:1 pool:informer poolserial:1 eventname:{name} len:{len(payload)}\n{payload}"
    )


class Told(Alerts):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, str]]] = []

    def event(self, name: str, payload: dict[str, str]) -> None:
        self.events.append((name, payload))


def test_each_event_is_asked_for_passed_on_and_acknowledged() -> None:
    tell, answers = Told(), StringIO()
    sent = message("PROCESS_STATE_EXITED", EXITED.format(expected=0)) + message("SUPERVISOR_STATE_CHANGE_STOPPING", "")
    listen(StringIO(sent), answers, tell)
    assert answers.getvalue() == "READY\nRESULT 2\nOKREADY\nRESULT 2\nOKREADY\n"
    assert [name for name, _ in tell.events] == ["PROCESS_STATE_EXITED", "SUPERVISOR_STATE_CHANGE_STOPPING"]
    assert tell.events[0][1]["processname"] == "kraken-trd"
    assert tell.events[1][1] == {}


def test_a_closed_pipe_ends_it() -> None:
    answers = StringIO()
    listen(StringIO(""), answers, Told())
    assert answers.getvalue() == "READY\n"


def test_the_text_names_the_process_and_what_became_of_it() -> None:
    payload = childutils.get_headers(EXITED.format(expected=1))
    assert describe("PROCESS_STATE_EXITED", payload) == (
        "PROCESS_STATE_EXITED processname=kraken-trd groupname=trading from_state=RUNNING expected=1 pid=12"
    )
    assert describe("SUPERVISOR_STATE_CHANGE_RUNNING", {}) == "SUPERVISOR_STATE_CHANGE_RUNNING"


@pytest.fixture
def desk() -> Iterator[DeskConfig]:
    """The default desk with its state in a short path: Unix sockets have room for 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="qd-") as folder:
        (Path(folder) / "config").mkdir()
        path = Path(folder) / "config" / "desk.toml"
        path.write_text((ROOT / "config" / "desk.toml").read_text())
        desk = load(path)
        desk.run_dir.mkdir(mode=0o700)
        yield desk
        shutil.rmtree(desk.shm_dir, ignore_errors=True)


class Listener:
    """A started informer, with the pipes that supervisord would hold, and a subscriber to what it says."""

    def __init__(self, desk: DeskConfig) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "procs.informer", "--config", str(desk.path)],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.subscriber = Subscriber(self.context)
        self.subscriber.subscribe("alert")
        self.subscriber.connect(publisher_endpoint(desk, "informer"))
        self.heard: list[Alert] = []

    def hears(self, text: str) -> Alert:
        """The alert with `text` in it, sent again until the subscription stands."""
        found: list[Alert] = []

        def come() -> bool:
            self.send("PROCESS_STATE_EXITED", EXITED.format(expected=0))
            self.heard += [d.event for d in self.subscriber.receive() if isinstance(d.event, Alert)]
            found[:] = [a for a in self.heard if text in a.text]
            return bool(found)

        wait_for(come, f"an alert with {text}")
        return found[0]

    def send(self, name: str, payload: str) -> None:
        """One turn of the protocol."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "READY\n"
        self.process.stdin.write(message(name, payload))
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "RESULT 2\n"
        assert self.process.stdout.read(2) == "OK"

    def close(self) -> None:
        self.process.communicate(timeout=60)  # closing the pipe is how supervisord ends it
        self.subscriber.close()
        self.context.destroy(linger=0)


def test_over_real_pipes_a_death_becomes_an_alert_on_the_bus(desk: DeskConfig) -> None:
    listener = Listener(desk)
    try:
        alert = listener.hears("processname=kraken-trd")
    finally:
        listener.close()
    assert (alert.severity, alert.code) == ("warning", "PROCESS_STATE_EXITED")
    assert listener.process.returncode == 0
    assert "processname=kraken-trd" in (desk.log_dir / "informer.log").read_text()


@pytest.mark.parametrize(
    ("name", "expected", "severity"),
    [
        ("PROCESS_STATE_EXITED", "0", "warning"), ("PROCESS_STATE_EXITED", "1", "info"),
        ("PROCESS_STATE_FATAL", "0", "warning"), ("PROCESS_STATE_RUNNING", "0", "info"),
    ],
)  # fmt: skip
def test_only_what_was_not_expected_is_loud(desk: DeskConfig, name: str, expected: str, severity: str) -> None:
    said: list[Alert] = []

    class Heard(Publisher):
        def __init__(self) -> None: ...

        def publish(self, topic: str, *events: object) -> None:  # type: ignore[override]
            said.extend(e for e in events if isinstance(e, Alert))

    spool = AlertSpool(desk.shm_dir, "informer")
    Alerts(Heard(), SystemClock(), spool).event(name, {"processname": "x", "expected": expected})
    assert [(a.severity, a.code, a.source, a.subject) for a in said] == [(severity, name, "supervisord", "x")]
    assert SpoolReader(desk.shm_dir).read()[-1:] == said  # beside the bus, too


def test_a_second_one_names_the_holder(desk: DeskConfig) -> None:
    lock = RoleLock(desk.run_dir / "lock" / "informer")
    lock.acquire(SystemClock().wall_ns())
    try:
        done = subprocess.run(
            [sys.executable, "-m", "procs.informer", "--config", str(desk.path)], cwd=ROOT, capture_output=True,
            text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    finally:
        lock.release()
    assert done.returncode != 0
    assert f"held by pid {os.getpid()}" in done.stderr + (desk.log_dir / "informer.log").read_text()
