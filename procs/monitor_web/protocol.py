"""HTTP connections with limits that uvicorn lacks: a time for a request to arrive whole, one for a browser to take what
it was sent, and a number of connections beyond which new ones are dropped unread.
"""

import asyncio
from typing import Any

import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState


class Limits(msgspec.Struct, frozen=True):
    """Of one listener."""

    request_s: float = 10.0  # from a request's first byte (or the connection's begin) to its last
    idle_s: int = 20  # between two requests
    stall_s: float = 10.0  # the send buffer stays full
    connections: int = 200


class GuardedProtocol(H11Protocol):
    """One connection. `limits_of` makes the class that a listener is given."""

    limits = Limits()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._arriving: asyncio.TimerHandle | None = None
        self._before: RequestResponseCycle | None = None  # the request before the one that arrives
        self.timeout_keep_alive = self.limits.idle_s
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            transport.abort()
            return
        self._arriving = self.loop.call_later(self.limits.request_s, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._arriving, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._arriving is None and self._between():
            self._before = self.cycle
            self._arriving = self.loop.call_later(self.limits.request_s, self.transport.abort)
        super().data_received(data)
        if self._arriving is not None and self._arrived():
            self._arriving.cancel()
            self._arriving = None

    def _between(self) -> bool:
        """No request is being answered; what comes begins the next one."""
        cycle: RequestResponseCycle | None = self.cycle  # none before the first request
        return cycle is None or cycle.response_complete

    def _arrived(self) -> bool:
        """A request that was not here before is, head and body."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and cycle is not self._before and not cycle.more_body

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(self.limits.stall_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


def limits_of(limits: Limits) -> type[GuardedProtocol]:
    """The protocol of a listener with these limits."""
    return type("LimitedProtocol", (GuardedProtocol,), {"limits": limits})
