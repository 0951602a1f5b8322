"""What a FIX session asks of its owner, and what it tells it."""

from typing import Protocol

from fix._codec import MdDecoder, Message
from fix.session_events import FieldDefect, SessionEvent


class SessionApp(Protocol):
    """Owner of a session. Calls are synchronous; they may call `send` and `logout`, but not `received` or `tick`."""

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        """Fields of our Logon after 98, 108 and 141 (`tag=value<SOH>`...), made anew at each attempt.

        `seq_num` and `sending_time` are what 34 and 52 will carry, for signatures.
        """
        ...

    def check_logon(self, logon: Message, wall_ns: int) -> str | None:
        """Look at the peer's Logon: None accepts it, a text refuses it (the peer gets it in a Logout)."""
        ...

    def on_message(self, message: Message, flags: int, defects: tuple[FieldDefect, ...]) -> None:
        """An application message, each number once and in order. `flags`: POSS_DUP | POSS_RESEND.

        The expected number advances when this returns. When it raises it does not, and the error goes on up.
        """
        ...

    def on_batch(self, decoder: MdDecoder, messages: int) -> None:
        """`messages` market-data messages were added to `decoder.records`; as `on_message` for all of them."""
        ...

    def on_event(self, event: SessionEvent) -> None:
        """Something about the session itself; a Disconnect is to be obeyed after the present call returns."""
        ...
