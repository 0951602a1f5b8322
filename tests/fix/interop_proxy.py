"""A proxy between two FIX engines that breaks connections at given byte counts: the same plan breaks the same bytes."""

import random
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

ON = 1500
RESET = struct.pack("ii", 1, 0)  # SO_LINGER 0: the end is a RST


class Break(NamedTuple):
    """What happens to one connection: after `after` bytes of direction "out" (from the initiator) or "in"."""

    direction: str
    after: int
    how: str  # fin, rst, or garble: one bit of that byte is wrong, and the end comes ON bytes later


def random_breaks(seed: int, count: int, most: int, hows: tuple[str, ...] = ("fin", "rst")) -> list[Break]:
    """`count` breaks somewhere in the first `most` bytes; small counts fall into the Logon."""
    dice = random.Random(seed)
    return [
        Break(dice.choice(("out", "in")), int(most ** dice.random()) + dice.randrange(60), dice.choice(hows))
        for _ in range(count)
    ]


class Proxy:
    """Listens at `port`. Each connection is broken as the next break says; one that ends before it is struck leaves its
    break to the next. When `done`, connections pass as they are.
    """

    def __init__(self, target: int, breaks: Iterable[Break] = ()) -> None:
        self.target = target
        self._breaks: deque[Break] = deque(breaks)
        self._planned = len(self._breaks)
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.connections = 0
        self.broken = 0
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)

    def cut(self) -> None:
        """Break whatever stands now."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _end(pair, reset=True)

    def plan(self, breaks: Iterable[Break]) -> None:
        """The breaks of the connections from now on."""
        with self._lock:
            self._breaks = deque(breaks)
            self._planned, self.broken = len(self._breaks), 0

    @property
    def done(self) -> bool:
        """Every break of the plan has struck."""
        return self.broken == self._planned

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target), 5)
            except OSError:
                near.close()
                continue
            for sock in (near, far):
                sock.settimeout(None)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                plan = self._breaks.popleft() if self._breaks else None
                self._pairs.append((near, far))
            for source, sink, direction in ((near, far, "out"), (far, near, "in")):
                mine = plan if plan is not None and plan.direction == direction else None
                thread = threading.Thread(target=self._carry, args=((near, far), source, sink, mine), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _carry(
        self, pair: tuple[socket.socket, socket.socket], source: socket.socket, sink: socket.socket, plan: Break | None
    ) -> None:
        left, unstruck = plan.after if plan is not None else 0, plan
        try:
            while data := source.recv(65_536):
                if plan is None or len(data) <= left:
                    sink.sendall(data)
                    left -= len(data)
                    continue
                if plan.how == "garble":
                    sink.sendall(data[:left] + bytes([data[left] ^ 0x10]) + data[left + 1 :])
                    plan, left = plan._replace(how="fin"), ON
                    continue
                unstruck = None
                self.broken += 1
                sink.sendall(data[:left])
                _end(pair, reset=plan.how == "rst")
                break
        except OSError:
            _end(pair, reset=True)
        else:
            _end(pair, reset=False)
        if unstruck is not None:
            with self._lock:
                self._breaks.appendleft(unstruck)


def _end(pair: tuple[socket.socket, socket.socket], *, reset: bool) -> None:
    """Both sides are closed; the other direction's thread wakes and does the same."""
    for sock in pair:
        try:
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            # Wakes the thread that reads it; SHUT_RD says nothing to the other host, so that a RST is the first word.
            sock.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
        except OSError:
            continue  # it was closed already
        finally:
            sock.close()
