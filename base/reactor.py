"""The poll loop of a hot process: sockets, ZeroMQ sockets, timers and signals, served by one thread.

Why epoll with ZeroMQ's descriptors rather than zmq_poll: see docs/reactor.md, which has the figures. What makes it
safe is one rule: the loop asks every ZeroMQ socket for its state (one zmq_poll with time-out 0) before it blocks,
whenever anything ran since it last asked. A ZeroMQ descriptor alone is not to be trusted, since any call on the
socket may swallow its signal.
"""

import heapq
import logging
import select
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from functools import partial
from typing import Any

import zmq
from zmq import zmq_poll

from base.blocking import Helpers
from base.clock import Clock
from base.signals import Signals
from base.waiters import EpollWaiter, Waiter

READABLE = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP
WRITABLE = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR
URGENT_LOOK_NS = 200_000

log = logging.getLogger("reactor")

ZmqSocket = zmq.Socket[bytes]
ReadCallback = Callable[[], bool | None]
ErrorPolicy = Callable[[str, Exception], None]


class Priority(IntEnum):
    """Order of service within a turn; URGENT sources are looked at again whenever a turn grows long."""

    URGENT = 0  # the kill path
    COMMAND = 1  # cancels and orders
    NORMAL = 2  # venue sessions
    BULK = 3  # market data in quantity, logs, pages


class Timer:
    """A call that is due at a monotonic time."""

    __slots__ = ("_callback", "due_ns", "name")

    def __init__(self, due_ns: int, callback: Callable[[], object], name: str) -> None:
        self.due_ns = due_ns
        self.name = name
        self._callback: Callable[[], object] | None = callback

    @property
    def pending(self) -> bool:
        """True until it has run or was cancelled."""
        return self._callback is not None

    def cancel(self) -> None:
        """Never run it; cancelling twice, or after it ran, does nothing."""
        self._callback = None

    def take(self) -> Callable[[], object] | None:
        callback, self._callback = self._callback, None
        return callback


class Source:
    """One registered descriptor or ZeroMQ socket."""

    __slots__ = ("alive", "fd", "name", "on_readable", "on_writable", "priority")

    def __init__(self, fd: int, name: str, priority: int) -> None:
        self.fd = fd
        self.name = name
        self.priority = priority
        self.on_readable: ReadCallback | None = None
        self.on_writable: Callable[[], object] | None = None
        self.alive = True

    def events(self) -> int:
        return (select.EPOLLIN if self.on_readable else 0) | (select.EPOLLOUT if self.on_writable else 0)


def raise_error(name: str, error: Exception) -> None:
    """The default policy: the error leaves `run`, the process dies loudly and its supervisor starts it anew."""
    raise error


class Reactor:
    """The loop. All of it belongs to one thread; only `run_blocking` uses others, on the caller's behalf."""

    def __init__(self, clock: Clock, on_error: ErrorPolicy = raise_error, waiter: Waiter | None = None) -> None:
        self.clock = clock
        self.errors = 0
        self.turns = 0
        self.longest_turn_ns = 0
        self.on_turn: Callable[[int], object] | None = None  # told how long each turn took, in ns
        self._on_error = on_error
        self._waiter: Waiter = waiter or EpollWaiter()
        self._mono_ns = clock.mono_ns
        self._sources: dict[int, Source] = {}
        self._zmq: dict[ZmqSocket, Source] = {}
        self._zmq_list: list[tuple[Any, int]] = []
        self._urgent_list: list[tuple[Any, int]] = []
        self._unfinished: dict[Source, int] = {}
        self._timers: list[tuple[int, int, Timer]] = []
        self._timer_count = 0
        self._soon: deque[tuple[Callable[[], object], str]] = deque()
        self._touched = True
        self._running = False
        self._looked_ns = 0
        self._helpers: Helpers | None = None
        self._signals: Signals | None = None

    # -- sources ---------------------------------------------------------------------------------------------

    def add_reader(self, fd: int, callback: ReadCallback, name: str, priority: Priority = Priority.NORMAL) -> None:
        """Call `callback` whenever `fd` is readable, hung up or in error.

        It returns True to be called again next turn although the descriptor may be drained (bytes it holds itself).
        """
        source = self._sources.get(fd)
        if source is None:
            source = self._add(fd, name, priority)
        elif source.on_readable is not None:
            raise ValueError(f"descriptor {fd} is read by {source.name!r} already: {name!r} cannot have it")
        source.name, source.priority = name, priority
        source.on_readable = callback
        self._waiter.modify(fd, source.events())
        self._list_urgent()

    def set_writer(self, fd: int, callback: Callable[[], object] | None, name: str = "writer") -> None:
        """Call `callback` whenever `fd` can be written; None ends that. Works with or without a reader."""
        source = self._sources.get(fd)
        if source is None:
            if callback is None:
                return
            source = self._add(fd, name, Priority.NORMAL)
        if source.on_writable == callback:
            return
        source.on_writable = callback
        if callback is None and source.on_readable is None:
            self.remove(fd)  # a descriptor without events still reports its hang-up, for ever
        else:
            self._waiter.modify(fd, source.events())

    def remove(self, fd: int) -> None:
        """Forget `fd`; call it before closing the descriptor. Unknown descriptors are ignored."""
        source = self._sources.pop(fd, None)
        if source is None:
            return
        source.alive = False
        self._unfinished.pop(source, None)
        self._waiter.unregister(fd)
        self._list_urgent()

    def add_zmq(
        self,
        socket: ZmqSocket,
        callback: Callable[[bytes], object],
        name: str,
        budget: int = 64,
        priority: Priority = Priority.NORMAL,
    ) -> None:
        """Receive from `socket`, at most `budget` one-part messages a turn, and call `callback` with each."""
        self._add_zmq(socket, socket.recv, callback, name, budget, priority)

    def add_zmq_multipart(
        self,
        socket: ZmqSocket,
        callback: Callable[[list[bytes]], object],
        name: str,
        budget: int = 64,
        priority: Priority = Priority.NORMAL,
    ) -> None:
        """As `add_zmq`, for sockets whose messages have several parts (ROUTER)."""
        self._add_zmq(socket, socket.recv_multipart, callback, name, budget, priority)

    def remove_zmq(self, socket: ZmqSocket) -> None:
        """Forget a ZeroMQ socket; call it before closing the socket."""
        source = self._zmq.pop(socket, None)
        if source is None:
            return
        self._zmq_list = [(s, zmq.POLLIN) for s in self._zmq]
        self.remove(source.fd)

    def _add(self, fd: int, name: str, priority: int) -> Source:
        self._waiter.register(fd, 0)
        source = self._sources[fd] = Source(fd, name, priority)
        return source

    def _add_zmq(
        self,
        socket: ZmqSocket,
        receive: Callable[[int], Any],
        callback: Callable[[Any], object],
        name: str,
        budget: int,
        priority: Priority,
    ) -> None:
        def drain() -> bool:
            left = budget
            while left:
                try:
                    message = receive(zmq.NOBLOCK)
                except zmq.Again:
                    return False
                callback(message)
                left -= 1
            return True

        self.add_zmq_drained(socket, drain, name, priority)

    def add_zmq_drained(
        self, socket: ZmqSocket, drain: Callable[[], bool], name: str, priority: Priority = Priority.NORMAL
    ) -> None:
        """Call `drain` when `socket` may have messages; it receives them itself and returns True when more wait."""
        fd = socket.getsockopt(zmq.FD)
        assert isinstance(fd, int)
        self.add_reader(fd, drain, name, priority)
        self._zmq[socket] = self._sources[fd]
        self._zmq_list = [(s, zmq.POLLIN) for s in self._zmq]
        self._list_urgent()
        self._touched = True

    def _list_urgent(self) -> None:
        by_fd: dict[int, Any] = {source.fd: socket for socket, source in self._zmq.items()}
        urgent = [s.fd for s in self._sources.values() if s.priority == Priority.URGENT]
        self._urgent_list = [(by_fd.get(fd, fd), zmq.POLLIN) for fd in urgent]

    # -- calls -----------------------------------------------------------------------------------------------

    def call_at(self, mono_ns: int, callback: Callable[[], object], name: str = "timer") -> Timer:
        """Call back once the monotonic clock has reached `mono_ns`."""
        timer = Timer(mono_ns, callback, name)
        self._timer_count += 1
        heapq.heappush(self._timers, (mono_ns, self._timer_count, timer))
        return timer

    def call_later(self, ns: int, callback: Callable[[], object], name: str = "timer") -> Timer:
        """Call back in `ns` nanoseconds."""
        return self.call_at(self._mono_ns() + ns, callback, name)

    def call_soon(self, callback: Callable[[], object], name: str = "soon") -> None:
        """Call back at the end of this turn, or in the next one."""
        self._soon.append((callback, name))

    def run_blocking(
        self,
        function: Callable[[], Any],
        done: Callable[[Any, Exception | None], object],
        name: str = "blocking",
        *,
        join: bool = False,
    ) -> None:
        """Run `function` in a helper thread, then `done(result, None)` or `done(None, error)` in the loop.

        `join`: while one of that name is under way, its outcome is waited for, and no other one is begun.
        """
        if self._helpers is None:
            self._helpers = Helpers()
            self.add_reader(self._helpers.fd, self._collect, "helpers", Priority.COMMAND)
        (self._helpers.join if join else self._helpers.submit)(function, done, name)

    def _collect(self) -> None:
        assert self._helpers is not None
        for done, result, error, name in self._helpers.finished():
            self._call(name, partial(done, result, error))

    def on_signal(self, signum: int, callback: Callable[[], object]) -> None:
        """Call back in the loop when the process gets `signum`. Main thread only; `close` puts things back."""
        if self._signals is None:
            self._signals = Signals()
            self.add_reader(self._signals.fd, self._take_signals, "signals", Priority.URGENT)
        self._signals.catch(signum, callback)

    def _take_signals(self) -> None:
        assert self._signals is not None
        for name, callback in self._signals.caught():
            self._call(name, callback)

    @property
    def waiting(self) -> int:
        """Sources that have more to give, and calls, that wait for the next turn."""
        return len(self._unfinished) + len(self._soon)

    # -- the loop --------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until `stop`, or until an error that the policy raises."""
        self._running = True
        self._touched = True
        while self._running:
            self._turn(None)

    def stop(self) -> None:
        """Leave `run` after this turn."""
        self._running = False

    def run_once(self, max_wait_ns: int = 0) -> None:
        """One turn, waiting at most `max_wait_ns` for something to happen."""
        self._touched = True  # who turns the loop by hand may have used the sockets in between
        self._turn(max_wait_ns)

    def run_until(self, condition: Callable[[], object], timeout_ns: int) -> bool:
        """Turn until `condition()` is true; False if `timeout_ns` went by first. For tests and tools."""
        end_ns = self._mono_ns() + timeout_ns
        while not condition():
            left_ns = end_ns - self._mono_ns()
            if left_ns <= 0:
                return False
            self.run_once(min(left_ns, 10_000_000))
        return True

    def close(self) -> None:
        """Release descriptors, helper threads and signal handlers; sources are left to their owners."""
        if self._signals is not None:
            self.remove(self._signals.fd)
            self._signals.close()
            self._signals = None
        if self._helpers is not None:
            self.remove(self._helpers.fd)
            self._helpers.close()
            self._helpers = None
        self._waiter.close()

    def _turn(self, max_wait_ns: int | None) -> None:
        ready = self._unfinished
        self._unfinished = {}
        if self._touched and self._zmq_list:
            for socket, _ in zmq_poll(self._zmq_list, 0):
                ready[self._zmq[socket]] = READABLE
        wait_ns = 0 if ready or self._soon else self._wait_ns(max_wait_ns)
        events = self._waiter.wait(wait_ns)
        start_ns = self._looked_ns = self._mono_ns()
        for fd, mask in events:
            source = self._sources.get(fd)
            if source is not None:
                ready[source] = ready.get(source, 0) | mask
        self._touched = bool(ready)
        if len(ready) > 1:
            self._dispatch(sorted(ready.items(), key=lambda item: item[0].priority))
        elif ready:
            self._dispatch(list(ready.items()))
        if self._timers:
            self._run_timers(start_ns)
        if self._soon:
            self._run_soon()
        self.turns += 1
        took_ns = self._mono_ns() - start_ns
        self.longest_turn_ns = max(self.longest_turn_ns, took_ns)
        if self.on_turn is not None:
            self.on_turn(took_ns)

    def _wait_ns(self, max_wait_ns: int | None) -> int | None:
        while self._timers and not self._timers[0][2].pending:
            heapq.heappop(self._timers)
        if not self._timers:
            return max_wait_ns
        due_in_ns = max(0, self._timers[0][0] - self._mono_ns())
        return due_in_ns if max_wait_ns is None else min(due_in_ns, max_wait_ns)

    def _dispatch(self, ready: list[tuple[Source, int]]) -> None:
        for source, mask in ready:
            if source.priority != Priority.URGENT and self._urgent_list:
                self._look_at_urgent()
            if mask & READABLE and source.alive and source.on_readable is not None:
                self._read(source)
            if mask & WRITABLE and source.alive and source.on_writable is not None:
                self._call(source.name, source.on_writable)

    def _look_at_urgent(self) -> None:
        now_ns = self._mono_ns()
        if now_ns - self._looked_ns < URGENT_LOOK_NS:
            return
        for which, _ in zmq_poll(self._urgent_list, 0):
            source = self._sources.get(which) if isinstance(which, int) else self._zmq.get(which)
            if source is not None and source.alive and source.on_readable is not None:
                self._read(source)
        self._looked_ns = self._mono_ns()

    def _read(self, source: Source) -> None:
        assert source.on_readable is not None
        try:
            if source.on_readable() and source.alive:
                self._unfinished[source] = READABLE
        except Exception as error:  # noqa: BLE001 - the policy decides what dies
            self._failed(source.name, error)

    def _run_timers(self, now_ns: int) -> None:
        timers = self._timers
        while timers and timers[0][0] <= now_ns:
            timer = heapq.heappop(timers)[2]
            callback = timer.take()
            if callback is not None:
                self._touched = True
                self._call(timer.name, callback)

    def _run_soon(self) -> None:
        self._touched = True
        for _ in range(len(self._soon)):
            callback, name = self._soon.popleft()
            self._call(name, callback)

    def _call(self, name: str, callback: Callable[[], object]) -> None:
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - the policy decides what dies
            self._failed(name, error)

    def _failed(self, name: str, error: Exception) -> None:
        self.errors += 1
        log.error("%s failed", name, exc_info=error)
        self._on_error(name, error)
