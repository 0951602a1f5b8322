"""Orders by hand: asking trading processes over their command sockets."""

import os

import zmq

from base.clock import SystemClock
from base.config import DeskConfig, Kind
from base.errors import CommandError
from ipc.command_client import CommandClient
from ipc.events import OrderState
from ipc.requests import Answer, AnyCommand, ListOrders
from ipc.roster import command_endpoint

DEADLINE_MS = 2_000


class Operator:
    """A person's client: one question after the other."""

    def __init__(self, desk: DeskConfig) -> None:
        self.desk = desk
        self.clock = SystemClock()
        self.client_id = f"operator-{os.getpid()}"
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._clients: dict[str, CommandClient] = {}

    def __enter__(self) -> "Operator":
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients.values():
            client.close()
        self._context.destroy(linger=0)

    def client(self, session: str) -> CommandClient:
        """The connection to a session's process."""
        found = self._clients.get(session)
        if found is None:
            endpoint = command_endpoint(self.desk, session)
            found = self._clients[session] = CommandClient(self._context, endpoint, self.client_id, self.clock)
        return found

    def ask(self, session: str, command: AnyCommand) -> Answer:
        """The process's answer. BusError when none came."""
        return self.client(session).request(command, DEADLINE_MS)

    def head(self, session: str) -> tuple[str, str, int]:
        """(client_id, command_id, deadline_ns) of a new command."""
        return self.client_id, self.client(session).next_command_id(), self.clock.wall_ns() + DEADLINE_MS * 1_000_000

    def session_of(self, venue: str, instrument: str = "") -> str:
        """The order-entry session of a venue that has the instrument. CommandError when there is none."""
        for name in self.desk.sessions(Kind.TRADING):
            names = [i.name for i in self.desk.session_instruments(name)]
            if self.desk.config.session[name].venue == venue and (not instrument or instrument in names):
                return name
        known = sorted({self.desk.config.session[n].venue for n in self.desk.sessions(Kind.TRADING)})
        raise CommandError(f"no trading session for {venue} {instrument}; venues with one: {', '.join(known)}")

    def orders(self, *, open_only: bool = True) -> tuple[list[OrderState], list[str]]:
        """Orders of every trading process, and the processes that did not answer, each with the reason."""
        found: list[OrderState] = []
        silent: list[str] = []
        for session in self.desk.sessions(Kind.TRADING):
            try:
                found += self.ask(session, ListOrders(*self.head(session), open_only)).orders
            except Exception as e:  # noqa: BLE001 - the other processes' orders are wanted all the same
                silent.append(f"{session}: {e}")
        return found, silent
