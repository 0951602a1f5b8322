"""Work that one thread wants done by another: by the one that runs the poll loop, between its other turns."""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from base.reactor import Priority, Reactor

T = TypeVar("T")


class Errands:
    """`ask` from any thread; the work is done by the reactor's."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._waiting: deque[Callable[[], None]] = deque()
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        reactor.add_reader(self._fd, self._do, "errands", Priority.NORMAL)

    def ask(self, work: Callable[[], T]) -> "Future[T]":
        """What `work` returns or raises, once the loop came to it."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(work())
            except Exception as e:  # noqa: BLE001 - it belongs to who asked
                future.set_exception(e)

        self._waiting.append(run)
        os.eventfd_write(self._fd, 1)
        return future

    def close(self) -> None:
        """No more; what waits is not done."""
        self._reactor.remove(self._fd)
        os.close(self._fd)

    def _do(self) -> bool:
        try:
            os.eventfd_read(self._fd)
        except BlockingIOError:
            return False
        while self._waiting:
            self._waiting.popleft()()
        return False
