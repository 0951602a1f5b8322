"""The client's side of commands: a DEALER that asks one process."""

import os
import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec
import zmq

from base.clock import Clock
from base.errors import BusError, UnansweredError
from ipc.frames import UNREADABLE
from ipc.requests import Answer, AnyCommand

QUEUE: Final = 1000  # commands and answers under way
CONNECT_MS: Final = 250  # at least; on one host a process is there at once, or it is down
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Answer).decode


def connect_ms(timeout_ms: int) -> int:
    """How much of the time for an answer may pass before the process is there."""
    return min(timeout_ms, max(CONNECT_MS, timeout_ms // 4))


class CommandClient:
    """Asks one process. Non-blocking `send` and `receive`, or `request`, which waits."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        client_id: str,
        clock: Clock,
        *,
        queue: int = QUEUE,
        prepare: Callable[[zmq.Socket[bytes]], None] | None = None,
        process: str = "",
    ) -> None:
        """Connect to `endpoint`, which need not be there yet. `client_id`: whose command ids these are.

        Of a forwarder: `prepare` gives the socket its keys, `process` is whom the commands are for.
        """
        self.endpoint = endpoint
        self._process = process.encode()
        self.client_id = client_id
        self._mark = f"{clock.wall_ns():x}{secrets.token_hex(4)}"
        self._count = 0
        self._late: deque[Answer] = deque(maxlen=QUEUE)  # answers that came while `request` waited for another
        self.socket = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.IMMEDIATE, 1)  # nothing queues for a process that is not there
        self.socket.setsockopt(zmq.SNDHWM, queue)
        self.socket.setsockopt(zmq.RCVHWM, queue)
        self.socket.setsockopt(zmq.RECONNECT_IVL, 10)
        self.socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
        # Unique to this socket: a ROUTER turns away a second peer of the same name without a word.
        self.socket.setsockopt(zmq.ROUTING_ID, f"{client_id[:64]}/{os.getpid()}/{self._mark}".encode())
        try:
            if prepare is not None:
                prepare(self.socket)
            self.socket.connect(endpoint)
        except zmq.ZMQError as e:
            self.socket.close()
            raise BusError(f"{endpoint}: cannot connect: {e}") from None

    def next_command_id(self) -> str:
        """A command id that this client never used before, restarts included."""
        self._count += 1
        return f"{self._mark}-{self._count}"

    @property
    def connected(self) -> bool:
        """A command can be handed over now."""
        return bool(self.socket.poll(0, zmq.POLLOUT))

    def send(self, command: AnyCommand) -> None:
        """Hand over a command. BusError when the process is not there or does not keep up: nothing was sent."""
        try:
            self.socket.send_multipart([*([self._process] if self._process else ()), _encode(command)], zmq.NOBLOCK)
        except zmq.Again:
            raise BusError(f"{self.endpoint}: nobody there, or too busy to take a command; nothing was sent") from None

    def receive(self) -> list[Answer]:
        """Answers that wait. BusError when something else came."""
        out = list(self._late)
        self._late.clear()
        while (answer := self._next()) is not None:
            out.append(answer)
        return out

    def request(self, command: AnyCommand, timeout_ms: int = 1000) -> Answer:
        """Send and wait for the answer, which may be a refusal. BusError when nothing was sent; UnansweredError when no
        answer came: then the fate of the command is unknown, and repeating it with the same command id is safe.
        """
        now_ns = time.monotonic_ns()
        end_ns, wait_ms = now_ns + timeout_ms * 1_000_000, connect_ms(timeout_ms)
        if not self._wait(zmq.POLLOUT, now_ns + wait_ms * 1_000_000):
            raise self.nobody(wait_ms)
        self.send(command)
        while self._wait(zmq.POLLIN, end_ns):
            answer = self._next()
            if answer is not None and answer.command_id == command.command_id:
                return answer
            if answer is not None:
                self._late.append(answer)
        raise self.unanswered(command, timeout_ms)

    def unanswered(self, command: AnyCommand, timeout_ms: int) -> UnansweredError:
        """What to raise for a command that was handed over and got no answer in time."""
        text = f"{self.endpoint}: no answer to command {command.command_id} within {timeout_ms} ms; its fate is unknown"
        return UnansweredError(f"{text}, repeating it with the same command id is safe", command.command_id)

    def nobody(self, wait_ms: int) -> BusError:
        """What to raise for a command that could not be handed over in time."""
        return BusError(f"{self.endpoint}: nobody there within {wait_ms} ms; nothing was sent")

    def close(self) -> None:
        """Close the socket; what was not taken yet is dropped."""
        self.socket.close(0)

    def _wait(self, event: int, end_ns: int) -> bool:
        left_ms = max(0, end_ns - time.monotonic_ns()) / 1e6
        return bool(self.socket.poll(int(left_ms + 0.999), event))

    def _next(self) -> Answer | None:
        try:
            data = self.socket.recv_multipart(zmq.NOBLOCK)[-1]
        except zmq.Again:
            return None
        try:
            return _decode(data)
        except UNREADABLE as e:
            raise BusError(f"{self.endpoint}: answer of {len(data)} bytes cannot be read: {e}") from None
