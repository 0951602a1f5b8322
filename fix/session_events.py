"""States of a FIX session and what it says about itself."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

POSS_DUP = 1
"""Delivery flag: PossDupFlag(43)=Y."""
POSS_RESEND = 2
"""Delivery flag: PossResend(97)=Y; the number is new, the content may have been seen."""


class State(Enum):
    """Where a session stands; each state but DISCONNECTED and HALTED has a deadline."""

    DISCONNECTED = "disconnected"
    AWAIT_LOGON = "await_logon"
    """Acceptor: connected, the peer's Logon has not come."""
    LOGON_SENT = "logon_sent"
    """Initiator: our Logon left, the answer has not come."""
    LOGGED_ON = "logged_on"
    RECOVERING = "recovering"
    """Logged on, with an open gap in what the peer sent."""
    LOGOUT_SENT = "logout_sent"
    DISCONNECTING = "disconnecting"
    """A Disconnect was asked for; whatever still arrives is not read."""
    HALTED = "halted"
    """Numbers disagree and only an operator may go on."""


class FieldDefect(NamedTuple):
    """Something wrong with one field of a message that is delivered all the same; tag 0 when unreadable."""

    tag: int
    text: str


@dataclass(frozen=True, slots=True)
class LoggedOn:
    """Logons were exchanged; `reset` when both sides started at 1."""

    heartbeat_s: int
    reset: bool
    next_in: int
    next_out: int


@dataclass(frozen=True, slots=True)
class LoggedOut:
    """The session ended in order; `initiated` when we asked."""

    text: str
    initiated: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The Logon was refused, by the peer or by us; `reason` is SessionRejectReason(373), -1 when there is none."""

    text: str
    by_peer: bool
    reason: int = -1
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class GapOpened:
    """Inbound numbers first..last are missing."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class GapClosed:
    """Everything up to and including `last` has been received or skipped."""

    last: int


@dataclass(frozen=True, slots=True)
class ResendServed:
    """The peer asked for first..last again: `replayed` messages were sent, the other numbers gap-filled."""

    first: int
    last: int
    replayed: int


@dataclass(frozen=True, slots=True)
class RejectReceived:
    """Session-level Reject(35=3) of our message `ref_seq_num`; 0, '' and -1 stand for absent fields."""

    ref_seq_num: int
    ref_msg_type: str
    ref_tag_id: int
    reason: int
    text: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class RejectSent:
    """We rejected the peer's message `ref_seq_num` for `reason`, SessionRejectReason(373)."""

    ref_seq_num: int
    reason: int
    text: str


@dataclass(frozen=True, slots=True)
class OddSent:
    """Our message `seq_num` breaks the dictionary's rules but had to leave: the first of its type with that tag."""

    msg_type: str
    seq_num: int
    tag: int
    text: str


@dataclass(frozen=True, slots=True)
class Garbled:
    """`count` garbled messages were skipped since the last such event; `total` since the session was made."""

    count: int
    total: int


@dataclass(frozen=True, slots=True)
class HeartbeatRoundTrip:
    """A TestRequest was answered after `ns` nanoseconds."""

    ns: int


@dataclass(frozen=True, slots=True)
class NumbersReset:
    """Numbers were set other than by counting: 141=Y, SequenceReset, rollover, adopted from the venue, operator."""

    next_in: int
    next_out: int
    reason: str


@dataclass(frozen=True, slots=True)
class Halted:
    """Numbers disagree; the session stays down until an operator runs `command`."""

    reason: str
    command: str


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the connection once what was written has left, then call `disconnected`.

    `fresh`: the next Logon starts both numbers at 1.
    """

    reason: str
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection is gone; `clean` when Logouts were exchanged."""

    reason: str
    clean: bool


SessionEvent = (
    LoggedOn
    | LoggedOut
    | Refused
    | GapOpened
    | GapClosed
    | ResendServed
    | RejectReceived
    | RejectSent
    | Garbled
    | HeartbeatRoundTrip
    | NumbersReset
    | OddSent
    | Halted
    | Disconnect
    | Disconnected
)
