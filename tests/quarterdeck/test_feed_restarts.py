"""A client that wants everything, and a publisher that is killed and started again: nothing is lost or said in vain."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
import zmq

from base.clock import SystemClock
from ipc.bus import Subscriber
from ipc.command_client import CommandClient
from ipc.events import Alert
from ipc.journal import read_events
from ipc.sequence import Delivery, Gap
from quarterdeck.feed import Feed
from tests.ipc.bus_tools import private_folder, zmq_context

ROOT = Path(__file__).parents[2]
TOPIC = "exec.a"
DEADLINE_S = 60.0
PROCESS = """
import sys, zmq
from base.clock import SystemClock
from ipc.bus import Publisher
from ipc.commands import CommandServer
from ipc.events import Alert
from ipc.journal import Journal

folder, events, clock, context = sys.argv[1], int(sys.argv[2]), SystemClock(), zmq.Context()
journal = Journal(folder + "/data", clock.wall_ns())
publisher = Publisher(context, f"ipc://{folder}/a.pub", clock, epoch=journal.next_epoch(clock.wall_ns()))
publisher.declare("exec.a", journal)
server = CommandServer(
    context, f"ipc://{folder}/a.cmd", clock, lambda command, identity: None, publisher=publisher, journal=journal
)
while True:
    server.socket.poll(1)
    server.serve()
    publisher.heartbeat(clock.mono_ns())
    if events:
        events -= 1
        publisher.publish("exec.a", Alert("a", "info", "n", "." * 1000, clock.wall_ns()))
"""


@contextmanager
def process(folder: Path, events: int) -> Iterator[None]:
    """A publisher with a journal that says so much, then goes on beating; it ends by SIGKILL."""
    with subprocess.Popen([sys.executable, "-c", PROCESS, str(folder), str(events)], cwd=ROOT) as running:
        try:
            yield
        finally:
            running.send_signal(signal.SIGKILL)
            running.wait()


class Client:
    """Hears a topic from its oldest event on."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", folder: Path) -> None:
        self._subscriber = Subscriber(context)
        self._subscriber.connect(f"ipc://{folder}/a.pub")
        self._commands = CommandClient(context, f"ipc://{folder}/a.cmd", "client", SystemClock())
        self.feed = Feed(self._subscriber, lambda name: self._commands)
        self.feed.replay(TOPIC, time.monotonic_ns())
        self.got: list[Delivery] = []

    def listen(self, until: Callable[[], bool]) -> bool:
        """Until that is so; False when it never was."""
        end = time.monotonic() + DEADLINE_S
        while not until() and time.monotonic() < end:
            self.got += self.feed.turn(time.monotonic_ns(), self._commands.receive())
            self._subscriber.socket.poll(2)
        return until()

    def epochs(self) -> set[int]:
        """Epochs that anything was heard of, heartbeats included."""
        return {self.feed.subscriber.position(TOPIC)[0]} - {0}

    def knows(self, before: set[int], count: int) -> bool:
        """Whether another life than `before` was heard of, and so many events."""
        return bool(self.epochs() - before) and len(self.heard()) >= count

    def heard(self) -> list[tuple[int, int]]:
        return [(d.epoch, d.seq) for d in self.got if isinstance(d.event, Alert)]

    def gaps(self) -> list[Gap]:
        return [d.event for d in self.got if isinstance(d.event, Gap) and d.event.kind != "silent"]

    def close(self) -> None:
        self._subscriber.close()
        self._commands.close()


def journalled(folder: Path) -> list[tuple[int, int]]:
    return [(d.epoch, d.seq) for d in read_events(folder / "data") if not isinstance(d.event, Gap)]


def passed(instant: float) -> bool:
    return time.monotonic() > instant


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    for context in zmq_context():
        with closing(Client(context, private_folder(tmp_path))) as client:
            yield client


def test_a_life_without_events_does_not_make_a_client_deaf(client: Client, tmp_path: Path) -> None:
    said = 0
    for events in (150, 20, 0, 10):  # what the journal holds does not fit into one answer to a replay
        said, before = said + events, client.epochs()
        with process(tmp_path, events):
            assert client.listen(partial(client.knows, before, said))
    assert client.heard() == journalled(tmp_path)
    assert client.gaps() == []


def test_kills_at_any_instant_lose_nothing(client: Client, tmp_path: Path) -> None:
    rng = random.Random(5)
    for events in (120, 0, 40, 0, 0):
        with process(tmp_path, events):
            client.listen(partial(passed, time.monotonic() + rng.uniform(0.1, 0.8)))
    before = client.epochs()
    with process(tmp_path, 5):
        assert client.listen(lambda: bool(client.epochs() - before))
        assert client.listen(lambda: client.heard()[-1:] == [(max(client.epochs()), 5)])
    assert client.heard() == journalled(tmp_path)
    assert client.gaps() == []
