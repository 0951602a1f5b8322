"""A small blocking FIX client for tests of simulated venues: sockets, simplefix, nothing of the desk's own engine."""

import socket
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any

from base.clock import SystemClock
from sim.timetext import date_time
from sim.wire import Framer, Message, encode

Fields = list[tuple[int, Any]]


class Client:
    """One connection; keeps what it received."""

    begin = "FIX.4.4"

    def __init__(self, address: str, ca_file: str = "", sender: str = "CLIENT", target: str = "VENUE") -> None:
        host, _, port = address.rpartition(":")
        raw = socket.create_connection((host, int(port)), timeout=30)
        self.socket: socket.socket = raw
        if ca_file:
            context = ssl.create_default_context(cafile=ca_file)
            self.socket = context.wrap_socket(raw, server_hostname="localhost")
        self.sender, self.target = sender, target
        self.clock = SystemClock()
        self.seq = 1
        self.received: list[Message] = []
        self.at = 0  # how far `expect` has looked
        self.framer = Framer()
        self.closed = False
        self.answer_tests = True

    def send(self, msg_type: str, fields: Iterable[tuple[int, Any]] = (), *, seq: int = 0, head: Fields = []) -> int:  # noqa: B006
        n = seq or self.seq
        if not seq:
            self.seq += 1
        now = date_time(self.clock.wall_ns(), 3)
        header = [(35, msg_type), (49, self.sender), (56, self.target), (34, str(n)), (52, now), *head]
        self.socket.sendall(encode(self.begin, header, [(t, str(v)) for t, v in fields]))
        return n

    def at_time(self, at: str, msg_type: str, fields: Fields) -> None:
        """Send with a SendingTime of our choice: what is signed must be what leaves."""
        head = [(35, msg_type), (34, str(self.seq)), (49, self.sender), (52, at), (56, self.target)]
        self.seq += 1
        self.socket.sendall(encode(self.begin, head, [(t, str(v)) for t, v in fields]))

    def pump(self, timeout: float) -> bool:
        """Read once; False when nothing came within `timeout` seconds."""
        self.socket.settimeout(max(timeout, 0.001))
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            return False
        except (ConnectionError, ssl.SSLError):
            data = b""
        if not data:
            self.closed = True
            return False
        for item in self.framer.feed(data):
            assert isinstance(item, Message), item
            self.received.append(item)
            if item.msg_type == "1" and self.answer_tests:
                self.send("0", [(112, item.get(112))])
        return True

    def expect(self, msg_type: str, timeout: float = 5.0, **want: str) -> Message:
        """The next message of a type (fields as t150="4"), skipping others; AssertionError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        wanted = {int(k[1:]): v for k, v in want.items()}
        while True:
            while self.at < len(self.received):
                message = self.received[self.at]
                self.at += 1
                if message.msg_type == msg_type and all(message.get(t) == v for t, v in wanted.items()):
                    return message
            left = deadline - time.monotonic()
            if self.closed or left <= 0:
                shown = [m.raw.replace(b"\x01", b"|") for m in self.received[-6:]]
                raise AssertionError(f"no 35={msg_type} {want}; closed={self.closed}; last: {shown}")
            self.pump(left)

    def until(self, condition: Callable[[], object], timeout: float = 5.0) -> None:
        """Read until the condition holds."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, "condition not met in time"
            self.pump(0.02)

    def quiet(self, seconds: float = 0.2, but: frozenset[str] = frozenset("0")) -> None:
        """Assert that nothing (but heartbeats) comes for a while."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.pump(left)
        extra = [m.raw for m in self.received[self.at :] if m.msg_type not in but]
        assert not extra, extra

    def of(self, msg_type: str) -> list[Message]:
        return [m for m in self.received if m.msg_type == msg_type]

    def close(self) -> None:
        self.socket.close()

    def __del__(self) -> None:
        self.socket.close()
