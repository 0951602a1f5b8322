"""CURVE on ZeroMQ sockets of both sides, and the handler that says who is let in (ZAP, RFC 27), on the caller's loop.

The User-Id that the handler gives a connection is the public key it proved to hold: everything later is judged by it,
never by what a peer writes.
"""

import contextlib
import os
import socket as tcp
import struct
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

import zmq
from zmq.utils import z85

from base.errors import BusError
from base.remote_config import RemoteConfig
from ipc.remote_keys import ClientKey, ServerKey

ZAP_ENDPOINT: Final = "inproc://zeromq.zap.01"
_VERSION: Final = b"1.0"
_LOST_HEARTBEATS: Final = 3
_EVENT: Final = struct.Struct("=Hi")

Context = zmq.Context[zmq.Socket[bytes]]


class Verdict(StrEnum):
    """Of a handshake, as ZAP's status codes. Who is told NEVER does not try again by itself; LATER hangs up."""

    WELCOME = "200"
    LATER = "300"
    NEVER = "400"


def serve_curve(socket: "zmq.Socket[bytes]", key: ServerKey, domain: str, config: RemoteConfig) -> None:
    """A listening socket's side: nobody gets past the handshake whom the handler of this domain did not let in."""
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt_string(zmq.CURVE_PUBLICKEY, key.public)
    socket.setsockopt_string(zmq.CURVE_SECRETKEY, key.secret)
    socket.setsockopt_string(zmq.ZAP_DOMAIN, domain)
    socket.setsockopt(zmq.HANDSHAKE_IVL, config.handshake_ms)
    _heartbeat(socket, config.heartbeat_ms)
    if ":" in config.host:
        socket.setsockopt(zmq.IPV6, 1)


def use_curve(socket: "zmq.Socket[Any]", key: ClientKey, *, heartbeat_ms: int = 1_000, ipv6: bool = False) -> None:
    """A connecting socket's side: it talks to the holder of `key.server` and to nobody else."""
    socket.setsockopt_string(zmq.CURVE_SERVERKEY, key.server)
    socket.setsockopt_string(zmq.CURVE_PUBLICKEY, key.public)
    socket.setsockopt_string(zmq.CURVE_SECRETKEY, key.secret)
    _heartbeat(socket, heartbeat_ms)
    if ipv6:
        socket.setsockopt(zmq.IPV6, 1)


def _heartbeat(socket: "zmq.Socket[Any]", every_ms: int) -> None:
    """A peer that has gone without a word (a half-open connection), or that never reads, is noticed."""
    socket.setsockopt(zmq.HEARTBEAT_IVL, every_ms)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _LOST_HEARTBEATS * every_ms)
    socket.setsockopt(zmq.HEARTBEAT_TTL, _LOST_HEARTBEATS * every_ms)


class Zap:
    """Answers the handshakes of a context's sockets. Make it before they bind; poll `socket` and call `serve`."""

    def __init__(self, context: Context, verdict: Callable[[str, str, str], Verdict]) -> None:
        """`verdict(domain, address, public key)` of each handshake whose peer proved to hold that key's secret half."""
        self._verdict = verdict
        self.socket = context.socket(zmq.REP)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(ZAP_ENDPOINT)

    def serve(self) -> bool:
        """Answer one handshake, if one waits; True when there may be more."""
        try:
            parts = self.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        self.socket.send_multipart(self._answer(parts))
        return True

    def _answer(self, parts: list[bytes]) -> list[bytes]:
        request_id = parts[1] if len(parts) > 1 else b""
        if len(parts) != 7 or parts[0] != _VERSION or parts[5] != b"CURVE" or len(parts[6]) != 32:
            return [_VERSION, request_id, Verdict.NEVER.encode(), b"CURVE is needed", b"", b""]
        public = z85.encode(parts[6]).decode()
        verdict = self._verdict(parts[2].decode(), parts[3].decode(errors="replace"), public)
        user_id = public if verdict is Verdict.WELCOME else ""
        return [_VERSION, request_id, verdict.encode(), b"", user_id.encode(), b""]


def user_of(frame: zmq.Frame) -> str:
    """The public key that the sender of a received frame proved to hold; "" when nobody sent it."""
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""


class Door:
    """A listening socket's connections, counted by ZeroMQ's own word; who comes when there are too many is hung up on.

    Who connects without a key counts until the handshake's time is out: so a flood of such holds a bounded number of
    descriptors, and shuts out those who come then, not those who are there.
    """

    def __init__(self, socket: "zmq.Socket[bytes]", most: int) -> None:
        self.endpoint = str(socket.getsockopt_string(zmq.LAST_ENDPOINT))
        self.port = int(self.endpoint.rpartition(":")[2])
        self.turned_away = 0
        self._most = most
        self._there: set[int] = set()
        watched = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED
        self.monitor: zmq.Socket[bytes] = socket.get_monitor_socket(watched)

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._there)

    def serve(self) -> bool:
        """Take what ZeroMQ says; True when there may be more."""
        try:
            event, _ = self.monitor.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        kind, descriptor = _EVENT.unpack(event)
        (self._there.add if kind == zmq.EVENT_ACCEPTED else self._there.discard)(descriptor)
        if kind == zmq.EVENT_ACCEPTED and len(self._there) > self._most:
            self.turned_away += 1
            hang_up(descriptor, self.port)
        return True

    def empty(self) -> None:
        """Hang up on everybody: ZeroMQ does not say which connection is whose. Who is let in comes back at once."""
        for descriptor in self._there:
            hang_up(descriptor, self.port)


def hang_up(descriptor: int, port: int) -> None:
    """On a connection that ZeroMQ accepted on `port`: it then sees the other end gone. ZeroMQ has no call for it.

    The descriptor is ZeroMQ's. Should it have closed it meanwhile, and the number be that of something else by now,
    then nothing is done unless that is a connection to the same port, which its owner makes anew.
    """
    try:
        mine = os.dup(descriptor)
    except OSError:
        return  # gone by itself
    try:
        connection = tcp.socket(fileno=mine)
    except OSError:
        os.close(mine)  # no socket any more
        return
    with connection, contextlib.suppress(OSError):  # the other side may have hung up just now
        if connection.family != tcp.AF_UNIX and connection.getsockname()[1] == port:
            connection.shutdown(tcp.SHUT_RDWR)


def listen(socket: "zmq.Socket[bytes]", host: str, port: int) -> None:
    """Bind; BusError says what is wrong. Port 0 is any free one."""
    address = f"tcp://{f'[{host}]' if ':' in host else host}:{port or '*'}"
    try:
        socket.bind(address)
    except zmq.ZMQError as e:
        raise BusError(f"remote: cannot listen on {address}: {e}") from None
