"""What is wrong with a received message, by the dictionary and by the standard, and how we say so."""

from typing import TYPE_CHECKING

from base.errors import CodecError
from fix._codec import Message
from fix.dictionary_types import REASONS
from fix.session_core import SessionCore, text_field
from fix.session_events import FieldDefect, RejectSent, State
from fix.settings import SECOND_NS, Validation

if TYPE_CHECKING:
    from fix.dictionary import Fault

COMP_ID_PROBLEM, BAD_TIME = 9, 10
TEXTS = {**REASONS, COMP_ID_PROBLEM: "CompID problem", BAD_TIME: "SendingTime accuracy problem"}
"""The standard's wording by SessionRejectReason(373)."""

_LAST_OF_4_2 = 11
_ROUTE = ((115, 128), (116, 129), (128, 115), (129, 116), (144, 145), (145, 144))
_ROUTED = tuple(source for _, source in _ROUTE)


class SessionChecks(SessionCore):
    """Rejects, and the checks that lead to them. Strict means `Validation.REJECT`."""

    def _fault(self, message: Message) -> "Fault | None":
        """The first thing that the dictionary has against a message; None when it is clean or nobody asked."""
        return None if self._check is None else self._check(message.raw)

    def _rejects(self, message: Message, fault: "Fault") -> bool:
        """Whether a message in sequence was rejected for its fault; False when it is dealt with all the same."""
        kind = message.msg_type
        if not self._strict or kind in ("3", "5", "A") or self._is_report(kind):
            return False
        if fault.business:
            self._business_reject(message, fault.business, fault.text)
        else:
            self._reject(message, fault.tag or _unreadable_tag(message, fault.reason), fault.reason)
        if kind != "4":  # its number says nothing about what it asks for
            self._store.advance_in(message.seq_num)
        return True

    def _is_report(self, msg_type: str) -> bool:
        """A report on our own orders, or market data: never lost, whatever is wrong with it."""
        return self._initiator and msg_type in self.settings.reports

    # --- saying so

    def _reject(self, message: Message, tag: int | bytes, reason: int, why: str = "") -> None:
        """Session-level Reject(35=3) for `reason`, SessionRejectReason(373); tag 0 leaves RefTagID out.

        The routing fields of the message come back the other way round. `why` is for the event alone.
        """
        seq, text = message.seq_num, TEXTS[reason]
        body = b"45=%d\x01%s" % (seq, text_field(text))
        if tag:
            body += b"371=%s\x01" % (b"%d" % tag if isinstance(tag, int) else tag)
        body += b"372=%s\x01" % message.msg_type.encode()
        if reason <= _LAST_OF_4_2 or self._begin != b"FIX.4.2":
            body += b"373=%d\x01" % reason
        self._send_admin("3", body, reverse_route(message))
        self._say(RejectSent(seq, reason, why or text))

    def _reject_field(self, message: Message, tag: int) -> None:
        """Reject an administrative message for a field that is missing or cannot be read."""
        self._reject(message, tag, 6 if message.has(tag) else 1)

    def _business_reject(self, message: Message, reason: int, text: str) -> None:
        """BusinessMessageReject(35=j), BusinessRejectReason(380)."""
        kind = message.msg_type.encode()
        self._send_admin("j", b"45=%d\x01%s372=%s\x01380=%d\x01" % (message.seq_num, text_field(text), kind, reason))

    def _logout_over(self, text: str) -> None:
        """After a Reject that is also the end: an acceptor waits for the peer's Logout, an initiator goes at once."""
        if self._initiator:
            self._logout_and_end(text)
        elif self._state is not State.LOGOUT_SENT:
            self._begin_logout("")

    # --- times

    def _time_off_ns(self, message: Message) -> int:
        """By how much SendingTime(52) is off when that is too much; 0 when it is fine, -1 when it cannot be read."""
        sent_ns = read_time(message, 52)
        if sent_ns is None:
            return -1
        off_ns = abs(self._wall_ns - sent_ns)
        return off_ns if off_ns > self._latency_ns > 0 else 0

    def _bad_time(self, message: Message, off_ns: int) -> None:
        """Reject and count a message whose clock is too far off, and end the session."""
        self._reject(message, 0, BAD_TIME)
        self._store.advance_in(message.seq_num)
        self._logout_over(time_text(off_ns))

    def _duplicate_holds(self, message: Message) -> bool:
        """A message with 43=Y and a number that was dealt with tells when it was first sent, and not later than now."""
        if not self._strict:
            return True
        first_ns, sent_ns = read_time(message, 122), read_time(message, 52)
        if first_ns is None:
            self._reject_field(message, 122)
        elif sent_ns is not None and first_ns > sent_ns:
            self._reject(message, 0, BAD_TIME, "OrigSendingTime(122) is later than SendingTime(52)")
            self._logout_over("OrigSendingTime is later than SendingTime")
        else:
            return True
        return False


def reverse_route(message: Message) -> bytes:
    """Header fields that lead an answer back along the way of a message: on whose behalf and to whom, swapped."""
    values = message.pick(_ROUTED)
    return b"".join(
        b"%d=%s\x01" % (tag, value) for (tag, _), value in zip(_ROUTE, values, strict=True) if value
    )  # fmt: skip


def read_time(message: Message, tag: int) -> int | None:
    """UTC ns of a field; None when absent or unreadable."""
    try:
        return message.get_utc_ns(tag)
    except CodecError:
        return None


def time_text(off_ns: int) -> str:
    """How far a SendingTime is off, in words."""
    return f"{TEXTS[BAD_TIME]}: off by {off_ns / SECOND_NS:.3f} s"


def fault_defects(fault: "Fault | None") -> tuple[FieldDefect, ...]:
    """A dictionary's objection as a defect beside the message."""
    return () if fault is None else (FieldDefect(fault.tag, fault.text),)


def checks_of(validation: Validation) -> bool:
    """Whether received messages are held against the dictionary at all."""
    return validation is not Validation.OFF


def _unreadable_tag(message: Message, reason: int) -> bytes:
    """The first tag that is a number but none of FIX (0, -1), as it was written; empty when there is none."""
    if reason != 0:
        return b""
    tags = (value.partition(b"=")[0] for tag, value in message.fields() if tag == 0)
    return next((tag for tag in tags if tag.removeprefix(b"-").isdigit()), b"")
