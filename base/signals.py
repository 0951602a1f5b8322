"""Signals of the process as something a poll loop can read."""

import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any


class Signals:
    """Turns signals into bytes on `fd`. Main thread only, one at a time in a process; `close` puts things back."""

    def __init__(self) -> None:
        self._receive, self._send = socket.socketpair()
        self._receive.setblocking(False)
        self._send.setblocking(False)
        self.fd = self._receive.fileno()
        self._callbacks: dict[int, Callable[[], object]] = {}
        self._before: dict[int, Any] = {}
        # A full pair holds signals enough: the loop sees each kind once a read anyway.
        signal.set_wakeup_fd(self._send.fileno(), warn_on_full_buffer=False)

    def catch(self, signum: int, callback: Callable[[], object]) -> None:
        """Deliver `signum` to `callback`."""
        self._callbacks[signum] = callback
        # The interpreter writes to the wake-up descriptor only for signals that have a Python handler.
        before = signal.signal(signum, lambda _signum, _frame: None)
        self._before.setdefault(signum, before)

    def caught(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """Name and callback of each kind of signal that arrived since the last call."""
        for signum in dict.fromkeys(self._receive.recv(4096)):
            callback = self._callbacks.get(signum)
            if callback is not None:
                yield signal.Signals(signum).name, callback

    def close(self) -> None:
        """Restore the handlers that were there before."""
        signal.set_wakeup_fd(-1)
        for signum, before in self._before.items():
            signal.signal(signum, before)
        self._receive.close()
        self._send.close()
