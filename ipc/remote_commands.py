"""Commands of clients on other hosts: judged by the sender's key, passed to the process, answered to that sender alone.

No command is kept here: the process sends the sender's routing id back with its answer.
"""

from collections.abc import Callable
from typing import Final

import msgspec
import zmq

from base.clock import Clock
from base.errors import CommandError
from base.remote_config import RemoteConfig
from ipc.commands import MAX_COMMAND_BYTES, QUEUE
from ipc.curve import Context, Door, listen, serve_curve, user_of
from ipc.frames import UNREADABLE
from ipc.remote_keys import Allowed, ServerKey
from ipc.remote_rules import SELF, Allowances, judge
from ipc.requests import Answer, AnyCommand, NewOrders

DOMAIN: Final = "commands"
BUDGET: Final = 64
_WRAPPING: Final = 512  # bytes of a message that are not the command
_decode: Final = msgspec.msgpack.Decoder(AnyCommand).decode
_decode_any: Final = msgspec.msgpack.Decoder().decode
_encode: Final = msgspec.msgpack.Encoder().encode

Refused = Callable[[Allowed | None, str, str], object]  # key, what was asked for, why not


class CommandRelay:
    """ROUTER for the clients, one DEALER for each process that is asked."""

    def __init__(
        self,
        context: Context,
        config: RemoteConfig,
        key: ServerKey,
        endpoints: dict[str, str],
        clock: Clock,
        allowed: Callable[[str], Allowed | None],
        own: Callable[[Allowed, AnyCommand], Answer],
        refused: Refused,
    ) -> None:
        """`endpoints` by process; `own` answers what is asked of the forwarder itself; `refused` hears of refusals."""
        self.counters = {"remote_commands": 0, "remote_refused": 0, "remote_malformed": 0, "remote_undelivered": 0}
        self.admitted: set[str] = set()  # public keys let in since the last hang-up
        self.dealers: dict[str, zmq.Socket[bytes]] = {}
        self._config, self._clock = config, clock
        self._allowed, self._own, self._refused = allowed, own, refused
        self._allowances: dict[str, Allowances] = {}
        self.clients: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        serve_curve(self.clients, key, DOMAIN, config)
        self.clients.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.clients.setsockopt(zmq.SNDHWM, QUEUE)
        self.clients.setsockopt(zmq.RCVHWM, QUEUE)
        self.clients.setsockopt(zmq.MAXMSGSIZE, MAX_COMMAND_BYTES + _WRAPPING)
        listen(self.clients, config.host, config.port)
        self.door = Door(self.clients, config.max_connections)
        for process, endpoint in endpoints.items():
            self.dealers[process] = self._dealer(context, endpoint)

    @staticmethod
    def _dealer(context: Context, endpoint: str) -> "zmq.Socket[bytes]":
        socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.IMMEDIATE, 1)  # nothing queues for a process that is not there
        socket.setsockopt(zmq.SNDHWM, QUEUE)
        socket.setsockopt(zmq.RCVHWM, QUEUE)
        socket.setsockopt(zmq.RECONNECT_IVL, 10)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
        socket.connect(endpoint)
        return socket

    def hang_up(self) -> None:
        """On everybody. An answer that was under way is lost, and the command can be repeated under its id."""
        self.admitted.clear()
        self.door.empty()

    # -- from the clients ----------------------------------------------------------------------------------------

    def take(self) -> bool:
        """Take some commands; True when there may be more."""
        for _ in range(BUDGET):
            try:
                frames = self.clients.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return False
            self._one([f.bytes for f in frames], user_of(frames[-1]))
        return True

    def _one(self, parts: list[bytes], public: str) -> None:
        self.counters["remote_commands"] += 1
        identity, key = parts[0], self._allowed(public)
        process = parts[1].decode(errors="replace") if len(parts) == 3 else ""
        command, fault = _read(parts)
        try:
            answer = self._judged(identity, key, public, process, command, fault)
        except CommandError as e:
            what = type(command).__name__ if command is not None else "something that is no command"
            self.counters["remote_refused"] += 1
            self._refused(key, what, str(e))
            answer = _refusal(command, parts[-1], str(e))
        if answer is not None:
            self._send(identity, process.encode(), _encode(answer))

    def _judged(
        self, identity: bytes, key: Allowed | None, public: str, process: str, command: AnyCommand | None, fault: str
    ) -> Answer | None:
        """An answer from here; None when the process will give one. CommandError: refused."""
        if key is None:
            raise CommandError("this key was taken away, or is suspended")
        if not self._allowances.setdefault(public, Allowances(self._config)).take(command, self._clock.mono_ns()):
            raise CommandError(f"key {key.name}: more than its share a second")
        if command is None:
            self.counters["remote_malformed"] += 1
            raise CommandError(f"malformed command: {fault}")
        if process != SELF and process not in self.dealers:
            raise CommandError(f"no process {process[:60]!r} takes commands from other hosts")
        bound = judge(key, process, command, self._clock.wall_ns(), self._config.max_ttl_ms * 1_000_000)
        if process == SELF:
            return self._own(key, bound)
        try:
            self.dealers[process].send_multipart([identity, _encode(bound)], zmq.NOBLOCK)
        except zmq.Again:
            raise CommandError(f"{process}: not there, or too busy to take a command; nothing was sent") from None
        return None

    # -- from the processes --------------------------------------------------------------------------------------

    def answers(self, process: str) -> bool:
        """Pass on some answers of a process; True when there may be more."""
        dealer, name = self.dealers[process], process.encode()
        for _ in range(BUDGET):
            try:
                parts = dealer.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return False
            if len(parts) == 2:
                self._send(parts[0], name, parts[1])
        return True

    def _send(self, identity: bytes, process: bytes, answer: bytes) -> None:
        try:
            self.clients.send_multipart([identity, process, answer], zmq.NOBLOCK)
        except zmq.ZMQError as e:
            if e.errno not in {zmq.EAGAIN, zmq.EHOSTUNREACH}:
                raise
            self.counters["remote_undelivered"] += 1


def _refusal(command: AnyCommand | None, data: bytes, reason: str) -> Answer:
    if command is None:
        return Answer(_command_id(data), False, reason)
    each = command.orders if isinstance(command, NewOrders) else ()
    return Answer(command.command_id, False, reason, answers=tuple(Answer(o.command_id, False, reason) for o in each))


def _read(parts: list[bytes]) -> tuple[AnyCommand | None, str]:
    if len(parts) != 3:
        return None, f"{len(parts) - 1} parts, expected the process's name and the command"
    if len(parts[2]) > MAX_COMMAND_BYTES:
        return None, f"{len(parts[2])} bytes, at most {MAX_COMMAND_BYTES}"
    try:
        return _decode(parts[2]), ""
    except UNREADABLE as e:
        return None, str(e)


def _command_id(data: bytes) -> str:
    """As far as it can be told, so that the sender can match the answer."""
    try:
        found = _decode_any(data) if len(data) <= _WRAPPING else None
    except UNREADABLE:
        return ""
    return found[2] if isinstance(found, list) and len(found) > 2 and isinstance(found[2], str) else ""
