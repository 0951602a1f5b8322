"""The server's side of commands: a ROUTER that answers at once. The client's is ipc/command_client.py, the protocol
docs/commands.md.

A command is acted on at most once per (client_id, command_id): asked again, it gets the same answer again.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

import msgspec
import zmq

from base.clock import Clock
from base.errors import BusError, QuarterdeckError
from ipc.bus import Publisher, bind_private
from ipc.command_client import CommandClient
from ipc.frames import UNREADABLE
from ipc.journal import Journal
from ipc.replay import replay_chunk
from ipc.requests import Answer, AnyCommand, ListOrders, ReplayRequest, SnapshotRequest

__all__ = ["CommandClient", "CommandServer", "Handler", "ServerCounters"]

Handler = Callable[[AnyCommand, bytes], Answer]

QUEUE: Final = 1000  # answers waiting for one client; an answer beyond is dropped, the client may ask again
MAX_COMMAND_BYTES: Final = 1 << 16
REMEMBER: Final = 10_000  # answers kept for repeated commands
REMEMBER_BYTES: Final = 4_000_000

_decode: Final = msgspec.msgpack.Decoder(AnyCommand).decode
_decode_any: Final = msgspec.msgpack.Decoder().decode
_encode: Final = msgspec.msgpack.Encoder().encode
_READS: Final = (ListOrders, SnapshotRequest, ReplayRequest)  # act on nothing: answered afresh each time


class ServerCounters(msgspec.Struct):
    """What a command server met since it began."""

    commands: int = 0
    malformed: int = 0
    expired: int = 0
    duplicates: int = 0
    undelivered: int = 0  # answers to clients that had gone or did not read


class _Answers:
    """Answers by (client_id, command_id), the oldest given up first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._bytes = 0

    def get(self, key: tuple[str, str]) -> bytes | None:
        return self._kept.get(key)

    def put(self, key: tuple[str, str], answer: Answer) -> None:
        data = _encode(msgspec.structs.replace(answer, duplicate=True))
        self._kept[key] = data
        self._bytes += len(data)
        while len(self._kept) > REMEMBER or self._bytes > REMEMBER_BYTES:
            self._bytes -= len(self._kept.popitem(last=False)[1])


class CommandServer:
    """Answers commands. Never blocks; poll `socket` and call `serve`, again at once while it returns True."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        clock: Clock,
        handler: Handler,
        *,
        publisher: Publisher | None = None,
        journal: Journal | None = None,
        queue: int = QUEUE,
    ) -> None:
        """`handler(command, identity)` answers each new command, once; a QuarterdeckError from it becomes a refusal.

        With a publisher, replays of its journalled topics are answered here; with a journal, the commands of an earlier
        life of this process are known.
        """
        self.counters = ServerCounters()
        self._clock = clock
        self._handler = handler
        self._publisher = publisher
        self._journal = journal
        self._answers = _Answers()
        self.socket = context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # an answer to nobody is an error, not silence
        self.socket.setsockopt(zmq.SNDHWM, queue)
        self.socket.setsockopt(zmq.RCVHWM, queue)
        self.socket.setsockopt(zmq.MAXMSGSIZE, MAX_COMMAND_BYTES)
        try:
            bind_private(self.socket, endpoint)
        except BusError:
            self.socket.close()
            raise

    def serve(self, budget: int = 64) -> bool:
        """Answer up to `budget` waiting commands; True when there may be more."""
        for _ in range(budget):
            try:
                parts = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return False
            self._one(parts)
        return True

    def close(self) -> None:
        """Close the socket; answers not taken yet are dropped."""
        self.socket.close(0)

    def _one(self, parts: list[bytes]) -> None:
        identity, data = parts[0], parts[1] if len(parts) == 2 else b""
        self.counters.commands += 1
        try:
            if len(parts) != 2:
                raise msgspec.DecodeError(f"{len(parts) - 1} parts, expected one")
            command = _decode(data)
            if not command.client_id or not command.command_id:
                raise msgspec.DecodeError("client_id and command_id must not be empty")
        except UNREADABLE as e:
            self.counters.malformed += 1
            self._send(identity, _encode(Answer(_command_id(data), False, f"malformed command: {e}")))
            return
        self._send(identity, self._answer(command, identity))

    def _answer(self, command: AnyCommand, identity: bytes) -> bytes:
        if isinstance(command, _READS):
            return _encode(self._late(command) or self._read(command, identity))
        key = command.client_id, command.command_id
        known = self._answers.get(key) or self._from_journal(command)
        if known is not None:
            self.counters.duplicates += 1
            return known
        answer = self._late(command) or self._act(command, identity)
        self._answers.put(key, answer)
        return _encode(answer)

    def _from_journal(self, command: AnyCommand) -> bytes | None:
        if self._journal is None:
            return None
        cl_ord_id = self._journal.lookup(command.client_id, command.command_id)
        if cl_ord_id is None:
            return None
        text = "taken before this process restarted: the state of the order says what became of it"
        return _encode(Answer(command.command_id, True, text, cl_ord_id=cl_ord_id, duplicate=True))

    def _late(self, command: AnyCommand) -> Answer | None:
        late_ns = self._clock.wall_ns() - command.deadline_ns
        if not command.deadline_ns or late_ns <= 0:
            return None
        self.counters.expired += 1
        return Answer(command.command_id, False, f"deadline passed {late_ns / 1e6:.1f} ms before the command was read")

    def _read(self, command: AnyCommand, identity: bytes) -> Answer:
        if isinstance(command, ReplayRequest) and self._publisher is not None:
            try:
                return Answer(command.command_id, True, data=_encode(replay_chunk(self._publisher, command)))
            except QuarterdeckError as e:
                return Answer(command.command_id, False, str(e))
        return self._act(command, identity)

    def _act(self, command: AnyCommand, identity: bytes) -> Answer:
        try:
            return self._handler(command, identity)
        except QuarterdeckError as e:
            return Answer(command.command_id, False, str(e))

    def _send(self, identity: bytes, answer: bytes) -> None:
        try:
            self.socket.send_multipart([identity, answer], zmq.NOBLOCK)
        except zmq.ZMQError as e:
            if e.errno not in {zmq.EAGAIN, zmq.EHOSTUNREACH}:
                raise
            self.counters.undelivered += 1


def _command_id(data: bytes) -> str:
    """The command id of something that is no command, as far as it can be told, so that its sender can match it."""
    try:
        parts: Any = _decode_any(data)
    except UNREADABLE:
        return ""
    return parts[2] if isinstance(parts, list) and len(parts) > 2 and isinstance(parts[2], str) else ""
