"""What the poll loop waits with: epoll, or in tests epoll on a clock that turns instead of waiting."""

import select
from typing import Protocol


class Waiter(Protocol):
    """Waits for descriptors. The loop is given another one in tests, where waiting turns the clock."""

    def register(self, fd: int, events: int) -> None: ...

    def modify(self, fd: int, events: int) -> None: ...

    def unregister(self, fd: int) -> None: ...

    def wait(self, timeout_ns: int | None) -> list[tuple[int, int]]:
        """Descriptors that are ready with their events; None waits for ever, 0 not at all."""
        ...

    def close(self) -> None: ...


class EpollWaiter:
    """epoll; times are rounded up to its milliseconds, so a timer is never early and at most 1 ms late."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.register = self._epoll.register
        self.modify = self._epoll.modify
        self.unregister = self._epoll.unregister
        self.close = self._epoll.close

    def wait(self, timeout_ns: int | None) -> list[tuple[int, int]]:
        return self._epoll.poll(None if timeout_ns is None else -(-timeout_ns // 1_000_000) / 1000, 64)


class ClockTurner(Protocol):
    """A clock that can be turned (base.clock.ManualClock)."""

    def advance(self, ns: int) -> None: ...


class TurningWaiter(EpollWaiter):
    """For tests: takes what is ready now, else turns the clock by the time it would have waited."""

    def __init__(self, clock: ClockTurner) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout_ns: int | None) -> list[tuple[int, int]]:
        ready = super().wait(0)
        if not ready and timeout_ns:
            self._clock.advance(timeout_ns)
        return ready
