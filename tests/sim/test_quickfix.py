"""An outside FIX engine (QuickFIX, over TLS) logs on to the plain venue and trades."""

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sim.wire import Framer, Message
from tests.sim.server import Running
from tests.venues.test_fix44_sim import logon, order, setup

CONFIG = """[DEFAULT]
ConnectionType=initiator
StartTime=00:00:00
EndTime=00:00:00
HeartBtInt=5
ReconnectInterval=1
UseDataDictionary=N
ResetOnLogon={reset}
SocketConnectHost=localhost
SocketConnectPort={port}
CertificationAuthoritiesFile={ca}
CertificateVerifyLevel=1
SSLProtocol=-all +TLSv1.2 +TLSv1.3
[SESSION]
BeginString=FIX.4.4
SenderCompID=CLIENT
TargetCompID=VENUE
"""


class Engine:
    """The engine's process; what it tells is read on a thread."""

    def __init__(self, venue: Running, folder: Path, reset: str = "Y") -> None:
        config = folder / "initiator.cfg"
        port = venue.endpoint("trading").rpartition(":")[2]
        config.write_text(CONFIG.format(port=port, ca=venue.ca, reset=reset))
        script = Path(__file__).with_name("quickfix_client.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(config), "CLIENT", "VENUE"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.heard: queue.Queue[dict[str, Any]] = queue.Queue()
        self.seen: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                self.heard.put(json.loads(line))

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def until(self, event: str, **want: str) -> Message:
        """The next thing told that fits; fields as t150="0"."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                said = self.heard.get(timeout=0.2)
            except queue.Empty:
                continue
            self.seen.append(said)
            message = next(iter(Framer().feed(said.get("raw", "").encode())), Message([]))
            fits = isinstance(message, Message) and all(message.get(int(k[1:])) == v for k, v in want.items())
            if said["event"] == event and fits:
                assert isinstance(message, Message)
                return message
        raise AssertionError(f"no {event} {want}; told: {self.seen[-5:]}")

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[tuple[Running, Engine]]:
    venue = Running("fix44", setup(), tmp_path)
    engine = Engine(venue, tmp_path)
    yield venue, engine
    engine.close()
    venue.stop()


def test_quickfix_trades_through_every_message(engine: tuple[Running, Engine]) -> None:
    venue, qf = engine
    qf.until("logon")
    qf.say("new a 1 1 100")
    qf.until("app", t35="8", t150="0", t11="a")
    qf.say("replace b a 2 101")
    qf.until("app", t35="8", t150="5", t11="b", t41="a")
    other = logon(venue, "OTHER")
    order(other, "o", "2", "0.5", "101")
    fill = qf.until("app", t35="8", t150="F")
    assert (fill.get(31), fill.get(32), fill.get(151)) == ("101", "0.5", "1.5")
    qf.say("status b")
    assert qf.until("app", t35="8", t150="I").get(39) == "1"
    qf.say("cancel c b")
    qf.until("app", t35="8", t150="4", t11="c")
    qf.say("cancel d b")
    qf.until("app", t35="9", t11="d")
    for n in range(3):
        qf.say(f"new m{n} 1 1 100")
    qf.say("mass x")
    assert qf.until("app", t35="r").get(533) == "3"
    assert venue.working() == []
    qf.say("logout")
    qf.until("logout")


def test_quickfix_recovers_what_it_missed_by_a_resend(engine: tuple[Running, Engine]) -> None:
    venue, qf = engine
    qf.until("logon")
    venue.fault("drop", msg_type="8")
    qf.say("new a 1 1 100")
    venue.until(lambda: len(venue.working()) == 1)
    qf.say("new b 1 1 100")
    assert qf.until("app", t35="8", t11="a").get(43) == "Y"
    qf.until("app", t35="8", t11="b")


def test_quickfix_answers_test_requests_and_stays(engine: tuple[Running, Engine]) -> None:
    venue, qf = engine
    qf.until("logon")
    assert venue.control("GET", "/stats")["sessions"][0]["live"]
    qf.until("admin", t35="0")
    assert venue.control("GET", "/stats")["sessions"][0]["live"]
