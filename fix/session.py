"""A FIX session as a state machine without I/O, for initiator and acceptor.

Bytes and times go in; bytes (through the `write` callable handed over with the connection), messages,
events and the next deadline come out.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from fix.session_events import SessionEvent, State
from fix.settings import SessionSettings

if TYPE_CHECKING:
    from fix._codec import Message
    from fix.fixlog import FixLog

    from fix.store import Store


class SessionApp(Protocol):
    """What a session asks of and tells its owner. Calls are synchronous and may call `send`."""

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        """Fields of our Logon after 98, 108 and 141 (`tag=value<SOH>`...), made anew at each attempt.

        `seq_num` and `sending_time` are what 34 and 52 will carry, for signatures.
        """
        ...

    def check_logon(self, logon: "Message", wall_ns: int) -> str | None:
        """Look at the peer's Logon; a text refuses it (the acceptor sends it as Logout). None accepts."""
        ...

    def on_message(self, message: "Message", flags: int, defects: tuple[str, ...]) -> None:
        """An application message, each number once and in order. `flags`: POSS_DUP | POSS_RESEND.

        The expected number advances when this returns; when it raises, it does not and the error goes on up.
        `message` is valid during the call only.
        """
        ...

    def on_event(self, event: SessionEvent) -> None:
        """Something about the session itself; a Disconnect must be obeyed after the present call returns."""
        ...


class MarketDataDecoder(Protocol):
    """Consumes runs of market data without a Python object per message (the codec's batch path)."""

    def decode_batch(self, data: memoryview, next_in: int, wall_ns: int) -> tuple[int, int]:
        """Read in-sequence market data at the front of `data`, starting at number `next_in`.

        Returns (bytes consumed, messages consumed); (0, 0) leaves the message to the per-message path.
        """
        ...


class FixSession:
    """One FIX session. Not thread-safe; nothing here blocks, sleeps or looks at a clock."""

    md_decoder: MarketDataDecoder | None
    """Set by a market-data owner: tried before the per-message path."""

    def __init__(
        self, settings: SessionSettings, store: "Store", app: SessionApp, log: "FixLog | None" = None
    ) -> None:
        raise NotImplementedError

    @property
    def state(self) -> State:
        """Where the session stands."""
        raise NotImplementedError

    @property
    def is_logged_on(self) -> bool:
        """True in LOGGED_ON and RECOVERING: `send` is allowed."""
        raise NotImplementedError

    @property
    def next_in(self) -> int:
        """MsgSeqNum expected next from the peer."""
        raise NotImplementedError

    @property
    def next_out(self) -> int:
        """MsgSeqNum that our next message will carry."""
        raise NotImplementedError

    @property
    def deadline_ns(self) -> int | None:
        """Monotonic time at which `tick` must be called at the latest; None while disconnected or halted."""
        raise NotImplementedError

    @property
    def last_received_ns(self) -> int:
        """Monotonic time of the last readable input."""
        raise NotImplementedError

    def connected(self, write: Callable[[bytes], None], mono_ns: int, wall_ns: int) -> None:
        """The transport is up; an initiator sends its Logon at once.

        `write` takes whole messages and must not call back into the session. SessionError when halted or connected.
        """
        raise NotImplementedError

    def received(self, data: bytes | bytearray | memoryview, mono_ns: int, wall_ns: int) -> None:
        """Bytes from the peer, in any pieces; delivers messages and events before it returns."""
        raise NotImplementedError

    def disconnected(self, reason: str, mono_ns: int, wall_ns: int) -> None:
        """The transport is gone. Numbers, an open gap included, stay for the next connection."""
        raise NotImplementedError

    def tick(self, mono_ns: int, wall_ns: int) -> None:
        """Do what is due: heartbeats, test requests, timeouts, rollover. Harmless when called too early."""
        raise NotImplementedError

    def send(self, msg_type: bytes, body: bytes, mono_ns: int, wall_ns: int, act_first: bool = False) -> int:
        """Send an application message (`body`: `tag=value<SOH>`... without header and trailer); its MsgSeqNum.

        Stored before it is written, unless `act_first` (kills only). SessionError when not logged on.
        """
        raise NotImplementedError

    def logout(self, text: str, mono_ns: int, wall_ns: int) -> None:
        """Begin the Logout handshake; the confirming Logout or a deadline ends the connection."""
        raise NotImplementedError

    def test_request(self, mono_ns: int, wall_ns: int) -> None:
        """Ask for a Heartbeat now; the answer comes as HeartbeatRoundTrip."""
        raise NotImplementedError

    def rollover(self, mono_ns: int, wall_ns: int) -> None:
        """The venue starts its numbers again: log out, and the next Logon begins at 1 on both sides."""
        raise NotImplementedError

    def reset_numbers(self, next_in: int, next_out: int, reason: str) -> None:
        """Operator's reset while disconnected or halted; leaves HALTED. SessionError when connected."""
        raise NotImplementedError
