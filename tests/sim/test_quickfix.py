"""An outside FIX engine (QuickFIX, plain and over TLS, validating by our dictionary) logs on to the plain venue, trades
and takes market data, through connections that break and its own death.
"""

import json
import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sim.flow import Crowd
from sim.wire import Framer, Message
from tests.fix.interop_proxy import Proxy, random_breaks
from tests.fix.quickfix_peer import DICTIONARIES
from tests.sim.server import Running
from tests.venues.test_fix44_sim import logon, order, setup

CONFIG = """[DEFAULT]
ConnectionType=initiator
StartTime=00:00:00
EndTime=00:00:00
HeartBtInt={heartbeat}
ReconnectInterval=1
UseDataDictionary=Y
DataDictionary={dictionary}
FileStorePath={folder}/store
ResetOnLogon={reset}
SocketConnectHost=localhost
SocketConnectPort={port}
SocketNodelay=Y
CertificationAuthoritiesFile={ca}
CertificateVerifyLevel=1
SSLProtocol=-all +TLSv1.2 +TLSv1.3
[SESSION]
BeginString=FIX.4.4
SenderCompID={sender}
TargetCompID=VENUE
"""
PATIENCE_S = 40


class Engine:
    """The engine's process; what it tells is read on a thread, over all its lives."""

    def __init__(
        self, venue: Running, folder: Path, reset: str = "Y", *, service: str = "trading", sender: str = "CLIENT",
        port: int = 0, heartbeat: int = 5,
    ) -> None:  # fmt: skip
        config = folder / f"{sender}.cfg"
        port = port or int(venue.endpoint(service).rpartition(":")[2])
        config.write_text(
            CONFIG.format(
                port=port, ca=venue.ca, reset=reset, folder=folder, sender=sender, heartbeat=heartbeat,
                dictionary=DICTIONARIES / "FIX44.xml",
            )
        )  # fmt: skip
        kind = "tls" if venue.address["tls"] else "plain"
        self.arguments = [str(Path(__file__).with_name("quickfix_client.py")), str(config), sender, "VENUE", kind]
        self.heard: queue.Queue[dict[str, Any]] = queue.Queue()
        self.seen: list[dict[str, Any]] = []
        self.start()

    def start(self) -> None:
        """Begin a life."""
        self.process = subprocess.Popen(
            [sys.executable, *self.arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith('{"event"'):
                self.heard.put(json.loads(line))

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def until(self, event: str, **want: str) -> Message:
        """The next thing told that fits; fields as t150="0"."""
        deadline = time.monotonic() + PATIENCE_S
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

    def take(self) -> list[dict[str, Any]]:
        """Everything told so far."""
        while not self.heard.empty():
            self.seen.append(self.heard.get())
        return self.seen

    def messages(self, msg_type: str) -> list[Message]:
        """Application messages of a type that were told so far."""
        raws = [said["raw"].encode() for said in self.take() if said["event"] == "app"]
        found = [m for raw in raws for m in Framer().feed(raw) if isinstance(m, Message)]
        return [m for m in found if m.msg_type == msg_type]

    def wait(self, condition: Callable[[], object], what: str, ask: str = "") -> None:
        """Until it holds; `ask` is said again and again."""
        deadline, due = time.monotonic() + PATIENCE_S, 0.0
        while not condition():
            assert time.monotonic() < deadline, (what, self.take()[-5:])
            if ask and time.monotonic() >= due:
                due = time.monotonic() + 0.2
                self.say(ask)
            time.sleep(0.01)

    def agrees_with(self, venue: Running) -> None:
        """Wait until both sides expect what the other sends next."""

        def same() -> bool:
            told = next((s for s in reversed(self.take()) if s["event"] == "numbers"), None)
            seat = seat_of(venue)
            return told is not None and (told["into"], told["out"]) == (seat["next_out"], seat["next_in"])

        self.wait(same, "the numbers agree", "numbers")

    def kill(self) -> None:
        """SIGKILL, in whatever it is doing."""
        self.process.kill()
        self._end()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._end()

    def _end(self) -> None:
        self.process.wait()
        self._reader.join(5)
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        self.process.stdout.close()
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            return


@pytest.fixture(params=[False, True], ids=["tls", "plain"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    venue = Running("fix44", setup(), tmp_path, plain=request.param)
    yield venue
    venue.stop()


@pytest.fixture
def engine(world: Running, tmp_path: Path) -> Iterator[tuple[Running, Engine]]:
    engine = Engine(world, tmp_path)
    yield world, engine
    engine.close()


def seat_of(venue: Running) -> dict[str, Any]:
    """The venue's own view of its client's session."""
    sessions: list[dict[str, Any]] = venue.control("GET", "/stats")["sessions"]
    return next((s for s in sessions if s["sender"] == "CLIENT"), {"live": False, "next_in": 0, "next_out": 0})


def told_by(venue: Running) -> list[str]:
    """ExecIDs of every report that the venue has sent, or kept for, its client."""
    seat = next(s for s in venue.venue.seats.values() if s.grant.sender == "CLIENT")
    kept = [dict(body) for msg_type, body, _ in list(seat.numbers.kept.values()) if msg_type == "8"]
    return [fields[17] for fields in kept]


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


def test_quickfix_takes_market_data(world: Running, tmp_path: Path) -> None:
    world.server.begin(Crowd(world.venue.exchange, 1, 100, {}))
    qf = Engine(world, tmp_path, service="marketdata", sender="MD")
    try:
        qf.until("logon")
        qf.say("md book")
        snapshot = qf.until("app", t35="W", t262="book")
        assert int(snapshot.get(268)) > 100
        qf.wait(lambda: len(qf.messages("X")) >= 50, "updates")
        assert {m.get(262) for m in qf.messages("X")} == {"book"}
        assert not [s for s in qf.take() if s["event"] == "rejected"]
    finally:
        qf.close()


def counterparty(venue: Running) -> None:
    """Somebody who sells all that is wanted."""
    other = logon(venue, "OTHER")
    order(other, "all", "2", "1000", "100")
    other.expect("8", t150="0")
    other.close()


def once(reports: list[Message], kills: int) -> Counter[str]:
    """ExecIDs received; one that came twice was marked as such, once a kill at most."""
    counts = Counter(m.get(17) for m in reports)
    again = [exec_id for exec_id, n in counts.items() if n > 1]
    marked = {m.get(17) for m in reports if m.get(43) == "Y"}
    assert len(again) <= kills
    assert set(again) <= marked
    return counts


@pytest.mark.parametrize("seed", [1, 2])
def test_quickfix_trades_through_broken_connections(world: Running, tmp_path: Path, seed: int) -> None:
    counterparty(world)
    port = int(world.endpoint("trading").rpartition(":")[2])
    most = 9000 if world.address["tls"] else 3000
    with Proxy(port, random_breaks(seed, 4, most)) as proxy:
        qf = Engine(world, tmp_path, "N", port=proxy.port, heartbeat=1)
        try:
            for n in range(40):
                stood = proxy.connections
                qf.say(f"burst {n}. 5 1 0.01 100")
                qf.wait(lambda s=stood, n=n: proxy.connections > s or len(qf.messages("8")) >= 10 * (n + 1), "news")
                if proxy.done:
                    break
            assert proxy.done
            qf.wait(lambda: seat_of(world)["live"], "a session")
            qf.agrees_with(world)
            qf.wait(lambda: len(qf.messages("8")) >= len(told_by(world)), "every report")
            qf.agrees_with(world)
            reports = once(qf.messages("8"), 0)
            assert sorted(reports) == sorted(told_by(world))
            assert len(reports) == 2 * 5 * (n + 1)
            assert not [s for s in qf.take() if s["event"] == "rejected"]
        finally:
            qf.close()


def test_quickfix_is_killed_while_it_trades(world: Running, tmp_path: Path) -> None:
    counterparty(world)
    qf = Engine(world, tmp_path, "N", heartbeat=1)
    try:
        for life in range(3):
            qf.until("logon")
            at = len(qf.messages("8")) + 3 + 4 * life
            qf.say(f"burst {life}. 20 1 0.01 100")
            qf.wait(lambda at=at: len(qf.messages("8")) >= at, "reports")
            qf.kill()
            qf.start()
        qf.until("logon")
        qf.agrees_with(world)
        reports = once(qf.messages("8"), 3)
        # What it took in at the moment of the kill it may not have told.
        assert len(set(told_by(world)) - reports.keys()) <= 3
        assert not reports.keys() - set(told_by(world))
        assert max(Counter(told_by(world)).values()) == 1
    finally:
        qf.close()
