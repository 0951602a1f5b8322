"""What a FIX session is told about itself and its venue; a dialect fills these in, the engine asks them."""

from dataclasses import dataclass, field
from enum import Enum

DAY_S = 86_400


class Role(Enum):
    """Which end of the session this is: the initiator connects and sends the first Logon."""

    INITIATOR = "initiator"
    ACCEPTOR = "acceptor"


class SequencePolicy(Enum):
    """How numbers start, and what happens when one is lower than expected."""

    RESET_AT_LOGON = "reset_at_logon"
    """Every Logon carries 141=Y: both sides start at 1 on each connection, nothing is resent from before."""
    CONTINUE = "continue"
    """Numbers go on over reconnects; a number too low ends the connection and the next Logon asks for 141=Y."""
    TRUST_VENUE = "trust_venue"
    """Numbers go on; a number too low is adopted as the venue's truth, with a loud event."""
    HALT = "halt"
    """Numbers go on; a number too low ends the session until an operator runs the command that the event names."""


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """One FIX session. Times in ns unless the name says otherwise."""

    name: str
    """Name of the session in events, logs and operator commands."""
    role: Role
    sender_comp_id: str
    """SenderCompID(49) that we send."""
    target_comp_id: str
    """TargetCompID(56) that we send; an acceptor may leave it '' and learn it from the Logon."""
    begin_string: str = "FIX.4.4"
    default_appl_ver_id: str = ""
    """DefaultApplVerID(1137) on Logon, for FIXT.1.1; '' leaves it out."""
    sender_sub_id: str = ""
    target_sub_id: str = ""
    heartbeat_s: int = 30
    """HeartBtInt(108) asked for by an initiator; an acceptor takes the initiator's."""
    heartbeat_min_s: int = 1
    heartbeat_max_s: int = 300
    """An acceptor refuses a HeartBtInt outside this range."""
    sequence_policy: SequencePolicy = SequencePolicy.CONTINUE
    reset_at_s: tuple[int, ...] = ()
    """Seconds after 00:00 UTC at which the venue starts its numbers again (daily rollover); () for never."""
    supports_resend: bool = True
    """False: 35=2 and 35=4 are never sent; a gap ends the connection and the next Logon starts afresh."""
    never_replay: frozenset[bytes] = frozenset({b"D", b"F", b"G", b"E", b"q", b"s", b"t", b"u"})
    """As initiator: message types answered with a gap fill when the peer asks for them again."""
    initiator_replays: bool = False
    """As initiator: replay the other application messages (never D, G or E); False fills every gap."""
    gap_fill_poss_dup: bool = True
    """Gap fills carry 43=Y and 122, as FIX 4.4 wants; off for venues that reject them."""
    resend_end_zero: bool = True
    """ResendRequest asks for EndSeqNo(16)=0 (everything since); False names the last missing number."""
    max_latency_s: int = 120
    """Largest difference between SendingTime(52) and our clock; 0 switches the check off."""
    sending_time_digits: int = 3
    """Decimals of SendingTime: 0, 3, 6 or 9."""
    logon_timeout_ns: int = 10_000_000_000
    logout_timeout_ns: int = 5_000_000_000
    gap_timeout_ns: int = 10_000_000_000
    """How long an open gap may make no progress before it is asked for again."""
    gap_retries: int = 2
    """How often it is asked for again before the connection is ended."""
    gap_buffer: int = 1024
    """Messages past a gap that are held while it is filled; what comes beyond is asked for again."""
    reset_command: str = "qd session reset {name}"
    """Operator command named by a Halted event; {name} stands for the session's name."""
    signature_tags: tuple[int, ...] = field(default=())
    """Tags beside 554, 96 and 925 that are masked in the FIX log."""
