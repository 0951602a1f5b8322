"""The operators' line to the kill switch, answering side: a plain Unix socket, without ZeroMQ.

A line is asked, a line is answered. Asked is a JSON object `{"verb": V, "args": {...}}`, or words, for a person with
nothing but `nc`: `trip`, `trip SCOPE`, `trip SCOPE REASON...`, `status`. Answered is `{"accepted", "reason", "data"}`.
"""

import logging
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import msgspec

from base.errors import BusError
from base.reactor import Priority, Reactor
from ipc.requests import Answer, AnyCommand, Ops

MAX_LINE = 1 << 16
CONNECTIONS = 64  # beyond, the oldest goes: an idle one must not keep an operator out
BACKLOG = 64
_PATH_BYTES = 107
_READ = 1 << 14

Handler = Callable[[AnyCommand, bytes], Answer]
log = logging.getLogger("operator line")


class _Asked(msgspec.Struct):
    verb: str
    args: dict[str, str] = {}


class OperatorLine:
    """Listens; `handler(command, b"")` answers each Ops, as it does on the ZeroMQ endpoint."""

    def __init__(self, reactor: Reactor, path: Path, handler: Handler) -> None:
        """Bind anew, under the role's lock. BusError when that cannot be done."""
        if len(os.fsencode(path)) > _PATH_BYTES:
            raise BusError(f"{path}: a socket path may have {_PATH_BYTES} bytes; choose a shorter run_dir")
        self.path = path
        self._reactor, self._handler = reactor, handler
        self._lines: dict[int, _Line] = {}
        self._count = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            path.unlink(missing_ok=True)
            self._socket.bind(str(path))
            path.chmod(0o660)  # of the desk's group, inside a directory that is closed to others
            self._socket.listen(BACKLOG)
        except OSError as e:
            self._socket.close()
            raise BusError(f"{path}: cannot listen: {e.strerror}") from None
        reactor.add_reader(self._socket.fileno(), self._accept, "operators", Priority.URGENT)

    def close(self) -> None:
        """Hang up on everybody."""
        for line in list(self._lines.values()):
            line.close()
        self._reactor.remove(self._socket.fileno())
        self._socket.close()
        self.path.unlink(missing_ok=True)

    def _accept(self) -> bool:
        try:
            accepted, _ = self._socket.accept()
        except OSError as e:  # nobody after all, or no descriptors left: the others are served
            if not isinstance(e, BlockingIOError):
                log.warning("%s: %s", self.path, e.strerror)
            return False
        if len(self._lines) >= CONNECTIONS:
            next(iter(self._lines.values())).close()
        line = _Line(self._reactor, accepted, self._answer, lambda fd: self._lines.pop(fd, None))
        self._lines[line.fd] = line
        return True

    def _answer(self, said: bytes, peer: str) -> bytes:
        """The answering line."""
        self._count += 1
        try:
            asked = _parse(said)
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            return _line(Answer("", False, f"cannot be read: {e}"))
        args = {"by": peer, **asked.args}
        return _line(self._handler(Ops(peer, f"line-{self._count}", 0, asked.verb, args), b""))


class _Line:
    """One connection."""

    def __init__(
        self,
        reactor: Reactor,
        accepted: socket.socket,
        answer: Callable[[bytes, str], bytes],
        closed: Callable[[int], object],
    ) -> None:
        self._reactor, self._socket, self._answer, self._closed = reactor, accepted, answer, closed
        self.fd = accepted.fileno()
        pid, uid, _ = struct.unpack("3i", accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        self._peer = f"uid {uid}, pid {pid}"
        self._in, self._out = bytearray(), bytearray()
        accepted.setblocking(False)
        reactor.add_reader(self.fd, self._readable, "operator", Priority.URGENT)

    def close(self) -> None:
        """Hang up."""
        self._reactor.remove(self.fd)
        self._socket.close()
        self._closed(self.fd)

    def _readable(self) -> bool:
        try:
            part = self._socket.recv(_READ)
        except BlockingIOError:
            return False
        except OSError:
            part = b""
        self._in += part
        while b"\n" in self._in:
            said, _, rest = self._in.partition(b"\n")
            self._in = bytearray(rest)
            self._out += self._answer(bytes(said), self._peer)
        if not part and self._in:  # the end of what was said ends a line, too
            self._out += self._answer(bytes(self._in), self._peer)
        self._write()
        if not part or len(self._in) > MAX_LINE:
            self.close()
        return False

    def _write(self) -> None:
        try:
            sent = self._socket.send(self._out) if self._out else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._out.clear()  # it has hung up; what was asked for is done all the same
            return
        del self._out[:sent]
        self._reactor.set_writer(self.fd, self._write if self._out else None, "operator")


def _parse(said: bytes) -> _Asked:
    if said.lstrip().startswith(b"{"):
        return msgspec.json.decode(said, type=_Asked)
    verb, *rest = said.decode().split(maxsplit=2) or [""]
    return _Asked(verb, dict(zip(("scope", "reason"), rest, strict=False)))


def _line(answer: Answer) -> bytes:
    data = msgspec.Raw(answer.data or b"null")
    return msgspec.json.encode({"accepted": answer.accepted, "reason": answer.reason, "data": data}) + b"\n"
