"""Helper threads for what blocks (name resolution, fsync, mail); results come back through an eventfd."""

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

JOINED_MOST = 64
Done = Callable[[Any, Exception | None], object]


class Helpers:
    """At most `limit` daemon threads, started as they are needed; further work waits its turn."""

    def __init__(self, limit: int = 4) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._limit = limit
        self._threads: list[threading.Thread] = []
        self._work: queue.SimpleQueue[tuple[Callable[[], Any], Done, str] | None] = queue.SimpleQueue()
        self._finished: deque[tuple[Done, Any, Exception | None, str]] = deque()
        self._joined: dict[str, list[Done]] = {}
        self._busy = 0
        self._closed = False
        self._lock = threading.Lock()

    def join(self, function: Callable[[], Any], done: Done, name: str) -> None:
        """As `submit`, but what is under way by that name already is waited for instead: one that hangs stays one."""
        waiting = self._joined.setdefault(name, [])
        waiting.append(done)
        if len(waiting) == 1:
            self.submit(function, lambda result, error: self._tell_all(name, result, error), name)
        elif len(waiting) > JOINED_MOST:
            del waiting[0]  # long past its deadline

    def _tell_all(self, name: str, result: Any, error: Exception | None) -> None:
        for done in self._joined.pop(name):
            done(result, error)

    def submit(self, function: Callable[[], Any], done: Done, name: str) -> None:
        """Queue `function`; its outcome is among `finished` later."""
        with self._lock:
            self._busy += 1
            if self._busy > len(self._threads) < self._limit:
                # Daemons: a resolver that hangs must not hold up the end of the process.
                thread = threading.Thread(target=self._serve, name=f"helper-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._work.put((function, done, name))

    def finished(self) -> Iterator[tuple[Done, Any, Exception | None, str]]:
        """What has been done since the last call: (done, result, error, name)."""
        os.eventfd_read(self.fd)
        while self._finished:
            yield self._finished.popleft()

    def close(self) -> None:
        """Let the threads end after what they are doing; their results are dropped."""
        with self._lock:
            self._closed = True
            os.close(self.fd)
            for _ in self._threads:
                self._work.put(None)

    def _serve(self) -> None:
        while (job := self._work.get()) is not None:
            function, done, name = job
            result, failure = None, None
            try:
                result = function()
            except Exception as error:  # noqa: BLE001 - handed to `done` in the loop
                failure = error
            self._finished.append((done, result, failure, name))
            with self._lock:
                self._busy -= 1
                if not self._closed:
                    os.eventfd_write(self.fd, 1)
