"""How a client reaches the processes of a desk: their events, their command sockets, their books and status pages."""

import math
import os
import time
from pathlib import Path
from typing import Protocol

import zmq

from base.clock import SystemClock
from base.config import DeskConfig, load
from base.errors import ConfigError
from ipc.bus import Subscriber
from ipc.command_client import CommandClient
from ipc.readiness import Status, read_all
from ipc.roster import command_endpoint, publisher_endpoint, roster
from quarterdeck.books import Book, Regions


class Links(Protocol):
    """One client's connections. A desk on this host has `LocalLinks`."""

    desk: DeskConfig
    client_id: str
    most_deadline_s: float  # that a command's deadline may be ahead

    def subscriber(self) -> Subscriber:
        """One socket that hears every process of the desk."""

    def command(self, process: str) -> CommandClient:
        """A command socket of a process; always the same one."""

    def open(self) -> list[CommandClient]:
        """Those that were asked for so far."""

    def book(self, venue: str, instrument: str, level: int) -> Book:
        """A reader of one book; level 0: L2 where the desk keeps one, else L3."""

    def statuses(self) -> dict[str, Status]:
        """What each process says of itself."""

    def close(self) -> None:
        """Close every socket."""


class LocalLinks:
    """A desk on this host: Unix sockets below its run directory, books and status pages in shared memory."""

    def __init__(self, desk: DeskConfig, client_id: str) -> None:
        self.desk = desk
        self.client_id = client_id
        self.most_deadline_s = math.inf
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._clock = SystemClock()
        self._commands: dict[str, CommandClient] = {}
        self._subscribers: list[Subscriber] = []
        self._regions = Regions(desk)

    def subscriber(self) -> Subscriber:
        """One socket that hears every process of the desk."""
        subscriber = Subscriber(self._context)
        self._subscribers.append(subscriber)
        for role in roster(self.desk):
            subscriber.connect(publisher_endpoint(self.desk, role.name))
        return subscriber

    def command(self, process: str) -> CommandClient:
        """A command socket of a process; always the same one."""
        if process not in self._commands:
            endpoint = command_endpoint(self.desk, process)
            self._commands[process] = CommandClient(self._context, endpoint, self.client_id, self._clock)
        return self._commands[process]

    def open(self) -> list[CommandClient]:
        """Those that were asked for so far."""
        return list(self._commands.values())

    def book(self, venue: str, instrument: str, level: int) -> Book:
        """A reader of one book; level 0: L2 where the desk keeps one, else L3."""
        return self._regions.book(venue, instrument, level)

    def statuses(self) -> dict[str, Status]:
        """What each process says of itself, dead ones included."""
        return read_all(self.desk.shm_dir / "proc")

    def close(self) -> None:
        """Close every socket."""
        for subscriber in self._subscribers:
            subscriber.close()
        for client in self._commands.values():
            client.close()
        self._context.term()


def links_to(config: str | Path, client_id: str, strategy: str, keys: str | Path, *, paper: bool = False) -> Links:
    """To the desk that `config` means: of this host as `configuration` says, or of another by tcp://HOST:PORT and
    the client's key file. "" takes the environment's QD_CONFIG and QD_KEYS. `paper`: to the paper desk that was
    derived from it. ConfigError, SecretError, BusError.
    """
    where, name = str(config or os.environ.get("QD_CONFIG", "")), own_name(client_id, strategy)
    if "://" not in where:
        if keys:
            raise ConfigError(
                f"connect: keys are for a desk on another host (tcp://HOST:PORT), {where!r} is on this one"
            )
        return LocalLinks(_desk(configuration(where), paper=paper), name)
    from quarterdeck.remote import RemoteLinks

    if paper:
        raise ConfigError(f"connect: {where}: a paper desk on another host has an address of its own; give that one")
    given = keys or os.environ.get("QD_KEYS", "")
    if not given:
        raise ConfigError(f"connect: {where} is on another host: give keys=FILE (made by qd keys), or set QD_KEYS")
    return RemoteLinks(where, given, name)


def _desk(path: Path, *, paper: bool) -> DeskConfig:
    if not paper:
        return load(path)
    from quarterdeck.paper import load_paper

    return load_paper(path)


def configuration(config: str | Path) -> Path:
    """The configuration file that a path means: itself, or the one that a desk's run directory names; "" takes the
    environment's QD_CONFIG. ConfigError when there is none.
    """
    path = Path(config or os.environ.get("QD_CONFIG", ""))
    if path == Path():
        raise ConfigError("connect: give the desk's configuration file or run directory, or set QD_CONFIG")
    if not path.is_dir():
        return path
    note = path / "config"
    try:
        return Path(note.read_text().strip())
    except OSError as e:
        raise ConfigError(f"{note}: {e.strerror}; expected the path of the desk's configuration file") from None


def own_name(client_id: str, strategy: str) -> str:
    """Whose commands these are: as given, or made up for this run."""
    return client_id or f"{strategy or 'client'}-{os.getpid()}-{time.time_ns():x}"
