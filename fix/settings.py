"""What a FIX session is told about itself and its venue; a dialect fills these in, the engine asks them."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from base.errors import ConfigError

SECOND_NS = 1_000_000_000
NEVER_REPLAYED = frozenset({"D", "E", "G"})
"""Orders: an initiator never sends one twice, whatever its settings say."""


class Role(Enum):
    """Which end of the session this is: the initiator connects and sends the first Logon."""

    INITIATOR = "initiator"
    ACCEPTOR = "acceptor"


class SequencePolicy(Enum):
    """How numbers start, and what happens when one is lower than expected."""

    RESET_AT_LOGON = "reset_at_logon"
    """Every Logon carries 141=Y: both sides start at 1 on each connection, nothing is resent from before."""
    RESET_QUIETLY = "reset_quietly"
    """Both sides start anew on each connection without a word of 141: ours at 1, an initiator's peer where it says."""
    CONTINUE = "continue"
    """Numbers go on over reconnects; one that is too low ends the connection and the next Logon asks for 141=Y."""
    TRUST_VENUE = "trust_venue"
    """Numbers go on; one that is too low is adopted as the venue's truth, with a loud event."""
    OURS_RESTART = "ours_restart"
    """Initiators only: ours begin at 1 with each connection, the peer's go on; see fix/session_resume.py."""
    HALT = "halt"
    """Numbers go on; one that is too low ends the session until an operator runs the command that the event names."""


class ResetTimes(Protocol):
    """When a venue starts its numbers again, in whatever zone it keeps; base.calendar has the usual ones."""

    def last(self, wall_ns: int) -> int | None:
        """UTC ns of the latest rollover at or before `wall_ns`; None when there was none."""
        ...

    def next(self, wall_ns: int) -> int | None:
        """UTC ns of the first rollover after `wall_ns`; None when there is none."""
        ...


class Validation(Enum):
    """What is made of a received message that breaks the rules of the session's dictionary or of the standard."""

    OFF = "off"
    """Nothing is held against the dictionary; what the codec finds malformed is listed beside the message."""
    DEFECTS = "defects"
    """Delivered all the same, with what is wrong listed beside it."""
    REJECT = "reject"
    """Rejected as the standard says, and not delivered; what reports on our orders is delivered with its defects."""


NEVER_REJECTED = frozenset({"8", "9", "r", "AE", "j", "W", "X"})
"""MsgTypes that an initiator delivers whatever is wrong with them.

A report with an odd tag is still a report, and a book that misses an update without a word is a wrong book.
"""


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """One FIX session. Times in ns unless the name says otherwise. ConfigError names what cannot be."""

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
    extra_header: bytes = b""
    """Header fields after 52 on every message (`50=x<SOH>`...): SubIDs and the like."""
    heartbeat_s: int = 30
    """HeartBtInt(108) asked for by an initiator; an acceptor takes the initiator's."""
    heartbeat_range_s: tuple[int, int] = (1, 300)
    """An acceptor refuses a HeartBtInt outside this range; 0, where the range has it, means no heartbeats."""
    sequence_policy: SequencePolicy = SequencePolicy.CONTINUE
    resets: ResetTimes | None = None
    """When the venue starts its numbers again (rollovers); None for never."""
    validation: Validation = Validation.OFF
    """How strictly received messages are held against the dictionary handed to the session."""
    next_expected: bool = False
    """Logons carry NextExpectedMsgSeqNum(789), and the peer's is what we resend from: no ResendRequest at logon."""
    last_processed: bool = False
    """Messages carry LastMsgSeqNumProcessed(369), those rendered by templates excepted."""
    supports_resend: bool = True
    """False: 35=2 and 35=4 are never sent; a gap ends the connection and the next Logon starts afresh."""
    resume_may_fail: bool = False
    """A venue that refuses or ignores a resumption (a Logon without 141=Y, a ResendRequest) is next met with 141=Y."""
    silent_logons: int = 0
    """As initiator: so many Logons without 141=Y in a row, each met by a closed connection and not a word, and the next
    one carries it; 0: never. For venues that say nothing when our number is too low."""
    initiator_replays: frozenset[str] = frozenset()
    """As initiator: MsgTypes sent again (43=Y) when the peer asks; never D, E or G. The rest is gap-filled."""
    gap_fill_poss_dup: bool = True
    """Gap fills carry 43=Y and 122, as FIX 4.4 wants; off for venues that refuse them."""
    resend_end_zero: bool = True
    """ResendRequest asks for EndSeqNo(16)=0, everything since; False names the last missing number."""
    resend_most: int = 0
    """Most numbers that one ResendRequest asks for, 0 = any; more is asked for in turn, one request at a time."""
    max_latency_s: int = 120
    """Largest difference between SendingTime(52) and our clock; 0 switches the check off."""
    sending_time_digits: int = 3
    """Decimals of SendingTime: 0, 3, 6 or 9."""
    max_body_length: int = 1 << 20
    """BodyLength(9) above this is garbled input."""
    logon_timeout_ns: int = 10 * SECOND_NS
    logout_timeout_ns: int = 5 * SECOND_NS
    gap_timeout_ns: int = 10 * SECOND_NS
    """How long an open gap may make no progress before it is asked for again."""
    gap_retries: int = 2
    """How often it is asked for again before the connection is ended."""
    gap_buffer: int = 1024
    """Messages past a gap that are held while it is filled; what comes beyond is asked for again."""
    resend_repeats: int = 5
    """How often a peer may ask for the same first number on one connection before it is ended."""
    resend_chunk: int = 500
    """Numbers served per call when a peer asks for many; the rest follows with the next ticks."""
    reports: frozenset[str] = NEVER_REJECTED
    """MsgTypes that an initiator delivers whatever is wrong with them; a venue's own come on top."""
    order_types: frozenset[str] = frozenset({"D", "E", "G", "AB", "AC"})
    """MsgTypes refused while the store is full; cancels go on."""
    reset_command: str = "qd session reset {name}"
    """Operator command that a Halted event names; {name} stands for the session's name."""
    secret_tags: tuple[int, ...] = ()
    """Tags beside 554, 96 and 925 that the FIX log masks."""

    @property
    def starts_afresh(self) -> bool:
        """Whether a resumption that does not succeed is given up for 141=Y at the next logon."""
        return self.resume_may_fail or self.sequence_policy is SequencePolicy.OURS_RESTART

    def __post_init__(self) -> None:
        low, high = self.heartbeat_range_s
        learns = self.role is Role.ACCEPTOR
        wrong = {
            "name": not self.name,
            "sender_comp_id": not self.sender_comp_id,
            "target_comp_id": not self.target_comp_id and not learns,
            "heartbeat_s": not 0 < self.heartbeat_s <= 3600,
            "heartbeat_range_s": not 0 <= low <= high,
            "sequence_policy": learns and self.sequence_policy is SequencePolicy.OURS_RESTART,
            "sending_time_digits": self.sending_time_digits not in (0, 3, 6, 9),
            "silent_logons": self.silent_logons < 0,
            "initiator_replays": bool(self.initiator_replays & NEVER_REPLAYED),
            "resend_most": self.resend_most < 0 or (self.resend_most > 0 and self.resend_end_zero),
            "max_latency_s": self.max_latency_s < 0,
            "logon_timeout_ns": self.logon_timeout_ns <= 0,
            "logout_timeout_ns": self.logout_timeout_ns <= 0,
            "gap_timeout_ns": self.gap_timeout_ns <= 0,
            "gap_retries": self.gap_retries < 0,
            "gap_buffer": self.gap_buffer < 0,
            "resend_repeats": self.resend_repeats < 1,
            "resend_chunk": self.resend_chunk < 1,
        }
        for key, is_wrong in wrong.items():
            if is_wrong:
                raise ConfigError(f"FIX session {self.name!r}: {key} cannot be {getattr(self, key)!r}")
