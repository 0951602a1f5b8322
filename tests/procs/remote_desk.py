"""A desk whose processes are threads of the test, with a real forwarder before it."""

import os
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import zmq

from base.clock import SystemClock
from base.config import DeskConfig, load
from ipc.bus import Publisher
from ipc.commands import CommandServer
from ipc.curve import use_curve
from ipc.events import BookDelta, BookSnapshot, OrderState
from ipc.journal import Journal
from ipc.remote_keys import Allowed, ClientKey, Role, ServerKey, new_pair, write_new
from ipc.requests import Answer, AnyCommand, ListOrders, NewOrder, SnapshotRequest
from ipc.roster import command_endpoint, publisher_endpoint
from tests.ipc.bus_tools import wait_for

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
[desk]
name = "t"
environment = "test"
shm_dir = "{shm}"

[venue.v]
dialect = "fix44"
instruments = [{{ name = "BTC-USD", symbol = "BTC", px_scale = 1, qty_scale = 3 }}]

[session.v-trd]
venue = "v"
kind = "trading"
address = "secret.example:1"
sender_comp_id = "SECRETIVE"
target_comp_id = "B"
password = "env:SECRET_NAME"

[session.v-md]
venue = "v"
kind = "marketdata"
address = "secret.example:1"
sender_comp_id = "SECRETIVE"
target_comp_id = "B"

[book.one]
sessions = ["v-md"]
levels = 100

[remote]
host = "127.0.0.1"
port = 0
events_port = 0
max_connections = {connections}
commands_per_s = 50
queue_frames = 200
heartbeat_ms = 200
handshake_ms = 500
"""
TOPIC = "md.v.BTC-USD"
ENDED = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_DISCONNECTED
)  # fmt: skip


class Process:
    """The bus side of one process, in a thread: what it heard, and what it says."""

    def __init__(self, desk: DeskConfig, name: str, topic: str, *, journalled: bool = False) -> None:
        self.commands: list[AnyCommand] = []
        self.count = 0
        self.bid = 100
        self._name, self._topic, self._clock = name, topic, SystemClock()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._journal = Journal(desk.data_dir / name, time.time_ns()) if journalled else None
        epoch = self._journal.next_epoch(time.time_ns()) if self._journal else 0
        self.publisher = Publisher(self._context, publisher_endpoint(desk, name), self._clock, epoch=epoch)
        self.publisher.declare(topic, self._journal)
        self._server = CommandServer(
            self._context, command_endpoint(desk, name), self._clock, self._handle, publisher=self.publisher,
            journal=self._journal,
        )  # fmt: skip
        self.say: list[Any] = []  # events to be published, in order
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._server.close()
        self.publisher.close()
        if self._journal is not None:
            self._journal.close()
        self._context.term()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._server.socket.poll(2)
            self._server.serve()
            while self.say:
                self.publisher.publish(self._topic, self.say.pop(0))
            self.publisher.heartbeat(self._clock.mono_ns())

    def _handle(self, command: AnyCommand, _identity: bytes) -> Answer:
        self.commands.append(command)
        if isinstance(command, NewOrder):
            self.count += 1
            self.publisher.publish(self._topic, order_state(command, f"order-{self.count}"))
            return Answer(command.command_id, True, cl_ord_id=f"order-{self.count}")
        if isinstance(command, SnapshotRequest):
            self.publisher.publish(self._topic, self.snapshot())
        orders = () if not isinstance(command, ListOrders) else (order_state(None, "order-1"),)
        return Answer(command.command_id, True, orders=orders, data=b'{"done": true}')

    def snapshot(self) -> BookSnapshot:
        return BookSnapshot("v", "BTC-USD", 2, 1, 3, pack(self.bid, 5), pack(self.bid + 10, 7), 1, 2, 3)

    def moves(self, bid: int, removed: int) -> BookDelta:
        changes = struct.pack("<6q", 2 << 8, removed, 0, 1 << 25, bid, 5)
        return BookDelta(2, changes, 2, 3, 4)


def pack(px: int, qty: int) -> bytes:
    return struct.pack("<2q", px, qty)


def order_state(c: NewOrder | None, cl_ord_id: str) -> OrderState:
    ids = (c.strategy, c.client_id, c.command_id) if c else ("", "", "")
    return OrderState(
        "v-trd", "v", "main", "BTC-USD", cl_ord_id, "", "NEW", "1", "2", "1", 1, 3, 1, 1, 0, 1, *ids, 1
    )  # fmt: skip


class RemoteDesk:
    """Order entry, market data and a kill switch in threads; the forwarder is a process."""

    def __init__(self, root: Path, shm: Path, *, connections: int = 24) -> None:
        self.root = root
        (root / "config").mkdir(parents=True)
        path = root / "config" / "desk.toml"
        path.write_text(CONFIG.format(shm=shm, connections=connections))
        self.desk = load(path)
        self.desk.run_dir.mkdir(mode=0o700)
        self.folder = self.desk.data_dir / "keys"
        self.server = ServerKey(*new_pair())
        write_new(self.folder / "server.key", self.server)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.trading = Process(self.desk, "v-trd", "exec.v-trd", journalled=True)
        self.marketdata = Process(self.desk, "v-md", TOPIC)
        self.killswitch = Process(self.desk, "killswitch", "kill")
        self.forwarder: subprocess.Popen[bytes]
        self.start()

    def start(self) -> None:
        """The forwarder, until it listens."""
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        env.pop("QD_STATE_DIR", None)
        self.note = self.desk.run_dir / "forwarder.json"
        self.note.unlink(missing_ok=True)
        command = [sys.executable, "-m", "procs.forwarder", "--config", str(self.desk.path)]
        with open(self.root / "forwarder.out", "ab") as out:
            self.forwarder = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=out)
        wait_for(self.listens, "the forwarder listens")

    def listens(self) -> bool:
        assert self.forwarder.poll() is None, (self.root / "forwarder.out").read_text()
        return self.note.exists() and bool(self.note.read_bytes())

    def port(self, which: str = "port") -> int:
        return int(msgspec.json.decode(self.note.read_bytes())[which])

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port()}"

    def key(self, name: str, role: Role, *strategies: str) -> ClientKey:
        """A client's key that is let in, with its file beside the desk; one of that name is replaced."""
        key = ClientKey(name, *new_pair(), self.server.public)
        self.file(name).unlink(missing_ok=True)
        write_new(self.file(name), key)
        self.revoke(name)
        write_new(self.folder / "clients" / f"{name}.json", Allowed(name, role, key.public, strategies))
        return key

    def file(self, name: str) -> Path:
        return self.root / "keys" / f"{name}.key"

    def revoke(self, name: str) -> None:
        (self.folder / "clients" / f"{name}.json").unlink(missing_ok=True)

    def socket(
        self, kind: int, key: ClientKey | None, which: str = "port", monitors: "list[Any] | None" = None, **options: int
    ) -> "zmq.Socket[bytes]":
        """A plain client's socket. `monitors` gets one that saw its connection begin."""
        socket: zmq.Socket[bytes] = self.context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        for name, value in options.items():
            socket.setsockopt(getattr(zmq, name), value)
        if key is not None:
            use_curve(socket, key)
        if monitors is not None:
            monitors.append(socket.get_monitor_socket(ENDED))
        socket.connect(f"tcp://127.0.0.1:{self.port(which)}")
        return socket

    def alerts(self) -> str:
        """What the forwarder's log has."""
        return "\n".join(p.read_text() for p in self.desk.log_dir.glob("forwarder.log*"))

    def stop(self) -> None:
        self.forwarder.terminate()
        try:
            assert self.forwarder.wait(20) == 0, (self.root / "forwarder.out").read_text()
        finally:
            self.forwarder.kill()
            for process in (self.trading, self.marketdata, self.killswitch):
                process.stop()
            self.context.destroy(linger=0)
