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
from ipc._metrics import Stamp
from ipc.bus import Publisher, bind_private
from ipc.command_client import CommandClient
from ipc.frames import UNREADABLE
from ipc.journal import Journal
from ipc.replay import replay_chunk
from ipc.requests import (
    TOGETHER_MOST,
    Answer,
    AnyCommand,
    ListOrders,
    NewOrder,
    NewOrders,
    ReplayRequest,
    SnapshotRequest,
)

__all__ = ["CommandClient", "CommandServer", "Handler", "ServerCounters"]

Handler = Callable[[AnyCommand, bytes], Answer]
_Key = tuple[str, str]  # client id and command id

QUEUE: Final = 1000  # answers waiting for one client; an answer beyond is dropped, the client may ask again
MAX_COMMAND_BYTES: Final = 1 << 16
RETURN_PARTS: Final = 1  # a part before the command comes back before its answer: who forwards knows for whom it is
REMEMBER: Final = 10_000  # answers kept for repeated commands
REMEMBER_BYTES: Final = 4_000_000

_decode: Final = msgspec.msgpack.Decoder(AnyCommand).decode
_decode_any: Final = msgspec.msgpack.Decoder().decode
_encode: Final = msgspec.msgpack.Encoder().encode
_decode_answer: Final = msgspec.msgpack.Decoder(Answer).decode
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
        self._kept: OrderedDict[_Key, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, key: _Key) -> bytes | None:
        return self._kept.get(key)

    def put(self, key: _Key, answer: Answer) -> None:
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
        self.read = Stamp()  # when the command that is being dealt with was read
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
        """Answer waiting commands, about `budget` of them, each order counted; True when there may be more."""
        while budget > 0:
            try:
                parts = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return False
            budget -= self._one(parts)
            self.read.clear()
        return True

    def close(self) -> None:
        """Close the socket; answers not taken yet are dropped."""
        self.socket.close(0)

    def _one(self, parts: list[bytes]) -> int:
        """Answer one; how many commands it was."""
        readable = len(parts) <= 2 + RETURN_PARTS
        route, data = (parts[:-1], parts[-1]) if readable else (parts[:1], b"")
        self.read.mark()
        self.counters.commands += 1
        try:
            if not readable:
                raise msgspec.DecodeError(f"{len(parts) - 1} parts, expected one, or a return address before it")
            command = _decode(data)
            if not command.client_id or not command.command_id:
                raise msgspec.DecodeError("client_id and command_id must not be empty")
            if isinstance(command, NewOrders):
                _check_orders(command)
        except UNREADABLE as e:
            self.counters.malformed += 1
            self._send(route, _encode(Answer(_command_id(data), False, f"malformed command: {e}")))
            return 1
        self._send(route, self._answer(command, parts[0]))
        return len(command.orders) if isinstance(command, NewOrders) else 1

    def _answer(self, command: AnyCommand, identity: bytes) -> bytes:
        if isinstance(command, _READS):
            return _encode(self._late(command) or self._read(command, identity))
        if isinstance(command, NewOrders):
            return _encode(self._each(command, identity))
        known = self._known(command)
        if known is not None:
            return known
        answer = self._late(command) or self._act(command, identity)
        self._answers.put(_key(command), answer)
        return _encode(answer)

    def _each(self, command: NewOrders, identity: bytes) -> Answer:
        """Every order is a command of its own; what is new among them goes to the handler together."""
        known: dict[_Key, Answer] = {}
        fresh: dict[_Key, NewOrder] = {}
        first: dict[_Key, Answer] = {}
        for order in command.orders:
            key = _key(order)
            if key in known or key in fresh or key in first:
                self.counters.duplicates += 1
            elif (said := self._known(order)) is not None:
                known[key] = _decode_answer(said)
            elif late := self._late(order) or self._late(command):
                first[key] = msgspec.structs.replace(late, command_id=order.command_id)
            else:
                fresh[key] = order
        if fresh:
            answer = self._act(msgspec.structs.replace(command, orders=tuple(fresh.values())), identity)
            told = answer.answers or [msgspec.structs.replace(answer, command_id=o.command_id) for o in fresh.values()]
            first |= zip(fresh, told, strict=True)
        for key, answer in first.items():
            self._answers.put(key, answer)
            known[key] = msgspec.structs.replace(answer, duplicate=True)
        answers = tuple(first.pop(key) if key in first else known[key] for key in map(_key, command.orders))
        refused = [a.reason for a in answers if not a.accepted]
        reason = f"{len(refused)} of {len(answers)} orders refused, the first: {refused[0]}" if refused else ""
        return Answer(command.command_id, not refused, reason, answers=answers)

    def _known(self, command: AnyCommand) -> bytes | None:
        """The answer to a command that was acted on before, in this life or an earlier one."""
        known = self._answers.get(_key(command)) or self._from_journal(command)
        if known is not None:
            self.counters.duplicates += 1
        return known

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
        answer = self._act(command, identity)
        return self._placed(answer) if isinstance(command, ListOrders) else answer

    def _placed(self, answer: Answer) -> Answer:
        """A list with its place in the journalled topic: whoever follows the topic from there on misses nothing."""
        publisher = self._publisher
        topic = publisher.journalled_topic() if publisher is not None else ""
        if publisher is None or not topic:
            return answer
        return msgspec.structs.replace(answer, epoch=publisher.epoch, next_seq=publisher.next_seq(topic))

    def _act(self, command: AnyCommand, identity: bytes) -> Answer:
        try:
            return self._handler(command, identity)
        except QuarterdeckError as e:
            return Answer(command.command_id, False, str(e))

    def _send(self, route: list[bytes], answer: bytes) -> None:
        try:
            self.socket.send_multipart([*route, answer], zmq.NOBLOCK)
        except zmq.ZMQError as e:
            if e.errno not in {zmq.EAGAIN, zmq.EHOSTUNREACH}:
                raise
            self.counters.undelivered += 1


def _key(command: AnyCommand) -> _Key:
    return command.client_id, command.command_id


def _check_orders(command: NewOrders) -> None:
    """DecodeError, with the place, for what cannot be told apart or answered one by one."""
    if not 1 <= len(command.orders) <= TOGETHER_MOST:
        raise msgspec.DecodeError(f"{len(command.orders)} orders, expected 1 to {TOGETHER_MOST} - at `$.orders`")
    for n, order in enumerate(command.orders):
        if order.client_id != command.client_id:
            text = f"client_id {order.client_id!r} is not the command's {command.client_id!r}"
            raise msgspec.DecodeError(f"{text} - at `$.orders[{n}]`")
        if not order.command_id:
            raise msgspec.DecodeError(f"command_id must not be empty - at `$.orders[{n}]`")


def _command_id(data: bytes) -> str:
    """The command id of something that is no command, as far as it can be told, so that its sender can match it."""
    try:
        parts: Any = _decode_any(data)
    except UNREADABLE:
        return ""
    return parts[2] if isinstance(parts, list) and len(parts) > 2 and isinstance(parts[2], str) else ""
