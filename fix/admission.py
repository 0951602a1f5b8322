"""Who calls: the first message of an accepted connection, read before any session is touched."""

import re
from typing import NamedTuple

from fix._codec import FieldRules, Framer

_WHOLE = re.compile(rb"\x0110=\d\d\d\x01\Z")
MAX_WAITING = 256 * 1024


class Caller(NamedTuple):
    """Header of a first message: BeginString, SenderCompID and TargetCompID as the caller wrote them."""

    begin_string: bytes
    sender: bytes
    target: bytes


class Admission:
    """Takes bytes until the caller is known or has shown that it speaks no FIX; keeps them for the session."""

    def __init__(self, max_body_length: int = 1 << 20, rules: FieldRules | None = None) -> None:
        self._framer = Framer(max_body_length, rules)
        self.received = bytearray()
        """All that has come; the session is to be given it from the first byte."""
        self.caller: Caller | None = None
        self.refusal = ""
        """Why the connection is to be closed; '' while it may yet turn out well."""

    def feed(self, data: bytes | memoryview) -> None:
        """More bytes; `caller` or `refusal` may be known afterwards."""
        self.received += data
        if self.caller is None and not self.refusal:
            self._framer.feed(data)
            self._look()
        if len(self.received) > MAX_WAITING:
            self.refusal = f"{len(self.received)} bytes before the Logon was dealt with"

    def _look(self) -> None:
        message = self._framer.next()
        garble = self._framer.last_garble
        if garble is not None:
            self.refusal = f"the first bytes are no FIX message: {garble.reason.name}"
        elif message is not None and message.msg_type != "A":
            self.refusal = f"first message is 35={message.msg_type}, not a Logon"
        elif message is not None:
            self.caller = Caller(message.begin_string, message.get(49) or b"", message.get(56) or b"")
        elif _WHOLE.search(self.received):
            # It ends as a message does, and its BodyLength wants more: nothing more will come.
            self.refusal = "BodyLength of the first message leads beyond its end"
