"""Doorbells: a byte through a Unix datagram socket that wakes a poll loop at once.

Shared memory tells nobody that it changed. The kill switch rings each owner of orders after closing the gate, and an
owner rings back once its fence word stands. A bell carries no meaning: who hears it looks at the words. Losing one
costs time (the next look by timer), never safety.
"""

import os
import socket
from pathlib import Path

from base.errors import BusError

_PATH_BYTES = 107


def bell_path(run_dir: Path, process: str) -> Path:
    """Where a process's bell hangs."""
    return run_dir / f"{process}.bell"


class Bell:
    """The hearing side; poll `fd`. One per process, under its role lock."""

    def __init__(self, path: str | Path) -> None:
        """Bind anew. BusError when the path is too long or cannot be bound."""
        self.path = Path(path)
        if len(os.fsencode(self.path)) > _PATH_BYTES:
            raise BusError(f"{self.path}: a socket path may have {_PATH_BYTES} bytes; choose a shorter run_dir")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self.path.unlink(missing_ok=True)
            self._socket.bind(str(self.path))
            self.path.chmod(0o660)  # of the desk's group, inside a directory that is closed to others
        except OSError as e:
            self._socket.close()
            raise BusError(f"{self.path}: cannot hang a bell: {e.strerror}") from None
        self.fd = self._socket.fileno()

    def drain(self) -> int:
        """Take what was rung; the number of rings."""
        n = 0
        while True:
            try:
                self._socket.recv(16)
            except BlockingIOError:
                return n
            n += 1

    def close(self) -> None:
        """Take the bell down."""
        self._socket.close()
        self.path.unlink(missing_ok=True)


class Ringer:
    """Rings bells by path; keeps a connection to each, so that a ring is one system call."""

    def __init__(self) -> None:
        self._sockets: dict[Path, socket.socket] = {}

    def ring(self, path: Path) -> bool:
        """False when nobody can be hanging there; a bell that is full of rings counts as heard."""
        for _ in range(2):  # a process that started anew hung a new bell under the same name
            s = self._sockets.get(path)
            try:
                if s is None:
                    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                    self._sockets[path] = s
                    s.connect(str(path))
                s.send(b"!")
                return True
            except BlockingIOError:
                return True
            except OSError:
                self._sockets.pop(path).close()
        return False

    def close(self) -> None:
        """Close every connection."""
        for s in self._sockets.values():
            s.close()
        self._sockets.clear()
