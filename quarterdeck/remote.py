"""A desk on another host: `qd.connect("tcp://host:port", keys=...)`. What a client does is the same as on its own.

The forwarder says what the desk has (ipc/remote_desk.py). Events and commands go over two CURVE-encrypted connections;
ZeroMQ makes them anew by itself, and what was missed meanwhile is seen as a gap and replayed.
"""

import sys
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import zmq

from base.clock import SystemClock
from base.config import DeskConfig
from base.errors import BusError, ConfigError
from ipc.bus import Subscriber
from ipc.command_client import CommandClient
from ipc.curve import use_curve
from ipc.readiness import Status
from ipc.remote_desk import DeskDescription, desk_of, pages_of
from ipc.remote_keys import ClientKey, read_client
from ipc.remote_rules import DESK, SELF, STATUSES, bound_id
from ipc.requests import Ops
from quarterdeck.books import Book
from quarterdeck.remote_books import RemoteBooks

SCHEME: Final = "tcp"
CLOCKS_AGREE: Final = 0.8  # of the longest deadline: the rest is for two clocks that do not quite agree
FIRST_ANSWER_S: Final = 10.0  # a name to be looked up, a handshake over an ocean
_WHY: Final[dict[int, str]] = {
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "it does not let this key in",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "what is there is no forwarder, or not the one that the key file names",
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: (
        "what is there hung up during the handshake: no forwarder, or not the one whose public key the file names"
    ),
}


class RemoteLinks:
    """One client's connections to a forwarder."""

    def __init__(self, address: str, keys: str | Path, client_id: str, timeout: float = FIRST_ANSWER_S) -> None:
        """`address`: tcp://HOST:PORT; `keys`: the client's key file, or a folder with one. SecretError, ConfigError;
        BusError when there was no answer within `timeout` seconds, with what is known of the reason.
        """
        self._key: ClientKey = read_client(Path(keys))
        self._host = host_of(address)
        self.address = address
        self.client_id = bound_id(self._key.name, client_id)
        self._clock = SystemClock()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._commands: dict[str, CommandClient] = {}
        self._subscribers: list[Subscriber] = []
        self._books: RemoteBooks | None = None
        self._timeout = timeout
        self.most_deadline_s: float
        self.description: DeskDescription
        self.desk: DeskConfig
        try:
            self.description, self.desk = self._introduced()
            self.most_deadline_s = self.description.max_ttl_ms * CLOCKS_AGREE / 1000
        except BaseException:
            self.close()
            raise

    def subscriber(self) -> Subscriber:
        """One socket that hears every process of the desk."""
        subscriber = Subscriber(self._context)
        self._subscribers.append(subscriber)
        use_curve(subscriber.socket, self._key, ipv6=":" in self._host)
        host = f"[{self._host}]" if ":" in self._host else self._host
        subscriber.connect(f"{SCHEME}://{host}:{self.description.events_port}")
        return subscriber

    def command(self, process: str) -> CommandClient:
        """A command socket of a process; always the same one."""
        if process not in self._commands:
            self._commands[process] = self.asker(process)
            self._commands[process].socket.poll(int(self._timeout * 1000), zmq.POLLOUT)
        return self._commands[process]

    def asker(self, process: str, monitors: "list[zmq.Socket[bytes]] | None" = None) -> CommandClient:
        """A command socket of a process, another one each time; `monitors` gets one that sees why it is not let in."""

        def prepare(socket: "zmq.Socket[bytes]") -> None:
            use_curve(socket, self._key, ipv6=":" in self._host)
            if monitors is not None:
                monitors.append(socket.get_monitor_socket(sum(_WHY)))

        return CommandClient(self._context, self.address, self.client_id, self._clock, prepare=prepare, process=process)

    def open(self) -> list[CommandClient]:
        """Those that were asked for so far."""
        return list(self._commands.values())

    def book(self, venue: str, instrument: str, level: int) -> Book:
        """A reader of one book, which is kept here from its stream; RECOVERING until its first snapshot."""
        if self._books is None:
            self._books = RemoteBooks(self.desk, self)
        region, found = self._books.region(venue, instrument, level)
        return Book(region, venue, instrument, found)

    def statuses(self) -> dict[str, Status]:
        """What each process says of itself."""
        return pages_of(self._ask(STATUSES, self._timeout), self._clock.mono_ns())

    def close(self) -> None:
        """Close every socket."""
        if self._books is not None:
            self._books.close()
        for subscriber in self._subscribers:
            subscriber.close()
        for client in self._commands.values():
            client.close()
        self._context.destroy(linger=0)

    # -- the first word ------------------------------------------------------------------------------------------

    def _introduced(self) -> tuple[DeskDescription, DeskConfig]:
        monitors: list[zmq.Socket[bytes]] = []
        client = self._commands[SELF] = self.asker(SELF, monitors)
        monitor = monitors[0]
        try:
            self._let_in(client, monitor)
        finally:
            client.socket.disable_monitor()
            monitor.close(0)
        return desk_of(self.address, self._ask(DESK, self._timeout))

    def _let_in(self, client: CommandClient, monitor: "zmq.Socket[bytes]") -> None:
        """Wait for the end of the handshake. BusError at once when the forwarder says no: ZeroMQ does not try again."""
        poller, why, refused = zmq.Poller(), "nobody answers there", False
        poller.register(client.socket, zmq.POLLOUT)
        poller.register(monitor, zmq.POLLIN)
        end = time.monotonic() + self._timeout
        while not refused and (left := end - time.monotonic()) > 0:
            ready = dict(poller.poll(int(left * 1000) + 1))
            if client.socket in ready:
                return
            if monitor in ready:
                kind = int.from_bytes(monitor.recv_multipart()[0][:2], sys.byteorder)
                why, refused = _WHY[kind], kind == zmq.EVENT_HANDSHAKE_FAILED_AUTH
        waited = "" if refused else f" within {self._timeout:g} s"
        raise BusError(f"{self.address}: no forwarder{waited}: {why}")

    def _ask(self, verb: str, timeout: float) -> bytes:
        client = self.command(SELF)
        deadline_ns = time.time_ns() + int(timeout * 1e9)
        answer = client.request(Ops(self.client_id, client.next_command_id(), deadline_ns, verb), int(timeout * 1000))
        if not answer.accepted:
            raise BusError(f"{self.address}: {answer.reason}")
        return answer.data


def host_of(address: str) -> str:
    """The host of tcp://HOST:PORT. ConfigError for anything else."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError as e:
        raise ConfigError(f"{address!r}: {e}; expected tcp://HOST:PORT") from None
    if parts.scheme != SCHEME or not host or port is None or parts.path or parts.username:
        raise ConfigError(f"{address!r}: expected tcp://HOST:PORT, as the forwarder's [remote] has host and port")
    return host
