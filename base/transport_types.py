"""What owners of connections see: why they end, their bounds, the calls they hear."""

import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from base.errors import ConfigError

SECOND_NS = 1_000_000_000


class CloseKind(StrEnum):
    """Why a connection ended or never stood."""

    LOCAL = "closed here"
    PEER = "closed by the peer"
    RESET = "connection lost"
    RESOLVE = "name not resolved"
    CONNECT = "not connected"
    TIMEOUT = "deadline passed"
    TLS = "TLS failed"
    OVERFLOW = "write queue overflow"


@dataclass(frozen=True)
class Closed:
    """How a connection ended; `unsent` bytes had been written but not handed to the kernel."""

    kind: CloseKind
    detail: str = ""
    unsent: int = 0

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}" if self.detail else str(self.kind)


@dataclass(frozen=True)
class Limits:
    """Bounds of one connection."""

    resolve_ns: int = 5 * SECOND_NS
    connect_ns: int = 10 * SECOND_NS  # TCP, all addresses together: each has its part, so that a dead one costs little
    handshake_ns: int = 10 * SECOND_NS  # TLS, from the TCP connection on
    write_queue: int = 4 * 1024 * 1024  # bytes that the kernel has not taken yet
    read_buffer: int = 256 * 1024  # bytes a read
    reads_per_turn: int = 4


class TransportHandler(Protocol):
    """Who owns a connection hears of it through these calls, all from the poll loop."""

    def on_connected(self) -> None:
        """TCP, and TLS where asked for, stand: writing may begin."""
        ...

    def on_data(self, data: memoryview) -> None:
        """Bytes arrived; the view is valid during the call only."""
        ...

    def on_writable(self) -> None:
        """The write queue, not empty before, is empty now."""
        ...

    def on_closed(self, reason: Closed) -> None:
        """The connection is gone, or never came to be."""
        ...


class State(StrEnum):
    """Life of a connection."""

    IDLE = "idle"
    RESOLVING = "resolving"
    CONNECTING = "connecting"
    HANDSHAKE = "handshake"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


def check_plain(host: str) -> None:
    """Raise ConfigError unless `host` is this host: TCP without TLS goes nowhere else."""
    if host == "localhost":
        return
    try:
        if ipaddress.ip_address(host).is_loopback:
            return
    except ValueError:
        pass  # a name: only "localhost" is known to stay here
    raise ConfigError(f"TCP without TLS to {host}: only a loopback address may be reached in the clear")
