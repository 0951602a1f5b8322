"""Commands: a ROUTER that answers at once, and a DEALER that asks. Protocol in docs/commands.md.

A command is acted on at most once per (client_id, command_id): asked again, it gets the same answer again.
"""

from collections.abc import Callable
from typing import Any

import zmq

from base.clock import Clock
from ipc.journal import Journal
from ipc.requests import Answer, AnyCommand

Handler = Callable[[AnyCommand, bytes], Answer]


class CommandServer:
    """Answers commands. Never blocks; poll `socket` and call `serve`, again at once while it returns True."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        clock: Clock,
        handler: Handler,
        *,
        journal: Journal | None = None,
    ) -> None:
        """`handler(command, identity)` answers each new command, once; QuarterdeckError from it becomes a refusal.

        With a journal, ReplayRequests are answered here and command ids of an earlier life are known.
        """
        self.socket = context.socket(zmq.ROUTER)

    def serve(self, budget: int = 64) -> bool:
        """Answer up to `budget` waiting commands and send a chunk of each replay under way; True when more waits."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class CommandClient:
    """Asks one process. Non-blocking `send` and `receive`, or `request`, which waits."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, client_id: str, clock: Clock) -> None:
        self.socket = context.socket(zmq.DEALER)

    def next_command_id(self) -> str:
        """A command id not used before by this client."""
        raise NotImplementedError

    def send(self, command: AnyCommand) -> None:
        """Hand over a command. BusError when the process is not there or does not keep up: nothing was sent."""
        raise NotImplementedError

    def receive(self) -> list[Any]:
        """Answers and replay chunks that wait."""
        raise NotImplementedError

    def request(self, command: AnyCommand, timeout_ms: int = 1000) -> Answer:
        """Send and wait for the answer. BusError when none came: the fate of the command is then unknown."""
        raise NotImplementedError
