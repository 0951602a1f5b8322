"""Reading: each framed message to where it belongs, by its number and type."""

from typing import TYPE_CHECKING

from fix._codec import Message
from fix.session_checks import fault_defects, time_text
from fix.session_core import MAX_SEQ_NUM, field_defects, read_int
from fix.session_events import (
    POSS_DUP,
    POSS_RESEND,
    FieldDefect,
    HeartbeatRoundTrip,
    NumbersReset,
    RejectReceived,
    State,
)
from fix.session_logon import SessionLogon
from fix.settings import SequencePolicy

if TYPE_CHECKING:
    from fix.dictionary import Fault

ADMIN = frozenset({"0", "1", "2", "3", "4", "5", "A"})
_REQUESTS = frozenset({"2"})
_LIVENESS = frozenset({"0", "1", "2"})
_STALE_WHEN_DUP = frozenset({"0", "5", "A"})  # replayed by sloppy peers; only their number matters


class SessionReader(SessionLogon):
    """Delivers application messages in order, each once, and obeys the administrative ones."""

    duplicates = 0
    """Messages suppressed because their number had been dealt with."""

    _test_id = b""
    _test_sent_ns = 0

    @property
    def _at_once(self) -> frozenset[str]:
        """MsgTypes that do not wait for a gap to be filled: a venue's TestRequest is not kept waiting."""
        return _LIVENESS if self._initiator else _REQUESTS

    def _take(self, message: Message) -> None:
        """One framed message, whatever the state: by its number."""
        if not self._header_holds(message):
            return
        seq, expected = message.seq_num, self._store.next_in
        if self._state is State.LOGON_SENT and not self._renewing:
            self._answer(message)
        elif self._state is State.AWAIT_LOGON:
            self._greet(message)
        elif self._resuming and self._tells_stand(message):
            pass
        elif seq == expected:
            self._in_sequence(message)
            if self._gap.highest:
                self._drain()
        elif seq > expected:
            self._early(message)
        else:
            self._late(message)

    def _in_sequence(self, message: Message) -> None:
        """The number that was expected: deliver, then count."""
        fault = self._fault(message)
        if fault is not None and self._rejects(message, fault):
            return
        if message.msg_type in ADMIN:
            self._admin(message)
        else:
            self._deliver(message, fault)

    def _deliver(self, message: Message, fault: "Fault | None") -> None:
        off_ns = self._time_off_ns(message)
        if off_ns > 0 and self._strict and not self._is_report(message.msg_type):
            self._bad_time(message, off_ns)
            return
        flags = POSS_DUP if message.poss_dup else 0
        if message.get(97) == b"Y":
            flags |= POSS_RESEND
        defects = self._defects(message, off_ns) if off_ns or flags or message.defects else ()
        defects += fault_defects(fault)
        self._app.on_message(message, flags, defects)
        self._store.advance_in(message.seq_num)
        if off_ns > 0 and self._reading():
            self._logout_and_end(time_text(off_ns))

    def _defects(self, message: Message, off_ns: int) -> tuple[FieldDefect, ...]:
        """All that is wrong with a message which is delivered all the same."""
        defects = field_defects(message)
        if off_ns:
            text = time_text(off_ns) if off_ns > 0 else "SendingTime missing or unreadable"
            defects += (FieldDefect(52, text),)
        if message.poss_dup and not message.has(122):
            defects += (FieldDefect(122, "missing beside 43=Y"),)
        return defects

    def _drain(self) -> None:
        """Deal with what was held past the gap, as far as it now follows on."""
        gap, store = self._gap, self._store
        while gap.has(store.next_in) and self._reading():
            seq = store.next_in
            raw = gap.held(seq)
            if raw is None:
                store.advance_in(seq)
            else:
                self._in_sequence(Message.parse(raw, self._rules))
            if store.next_in == seq:
                break  # it ended the session without counting
        if self._reading() and gap.is_open:
            self._gap_progress()

    def _early(self, message: Message) -> None:
        """A number past the expected one. The peer's own request is answered before we ask."""
        kind = message.msg_type
        if kind == "5":
            self._logout_received(message)
        elif kind == "A" and message.get(141) == b"Y":
            self._logon_again(message)
        elif kind == "4" and message.get(123) != b"Y":
            self._sequence_reset(message)
        elif kind == "3" and self._resend_refused(message):
            pass
        elif kind in self._at_once and self.settings.supports_resend:
            if self._liveness(message) and self._reading() and not self._gap.has(message.seq_num):
                self._too_high(message, dealt_with=True)
        else:
            self._too_high(message)

    def _late(self, message: Message) -> None:
        """A number that has been dealt with: a duplicate, a reset, or a contradiction."""
        kind = message.msg_type
        resets = kind == "4" and message.get(123) != b"Y"
        if resets and not (message.poss_dup and self._initiator):  # an old reset that a venue replays asks for nothing
            self._sequence_reset(message)
        elif message.poss_dup:
            self.duplicates += kind == "4" or self._duplicate_holds(message)
        elif kind == "5":
            self._logout_received(message)
        elif kind == "A" and message.get(141) == b"Y":
            self._logon_again(message)
        elif self._too_low(message):
            self._in_sequence(message)

    # --- administrative messages in sequence

    def _admin(self, message: Message) -> None:
        kind, seq = message.msg_type, message.seq_num
        off_ns = self._time_off_ns(message)
        if message.poss_dup and kind in _STALE_WHEN_DUP:
            self._store.advance_in(seq)
        elif off_ns > 0:
            self._bad_time(message, off_ns)
        elif kind == "4":
            self._reset_or_fill(message)
        elif kind == "5":
            self._logout_received(message)
        elif kind == "A":
            self._logon_again(message)
        else:
            if kind == "3":
                self._say_reject(message)
            else:
                self._liveness(message)
            if self._store.next_in == seq:
                self._store.advance_in(seq)

    def _liveness(self, message: Message) -> bool:
        """Heartbeat, TestRequest or ResendRequest; False when it ended the session."""
        kind = message.msg_type
        if kind == "0":
            self._heartbeat(message)
        elif kind == "1":
            self._answer_test(message)
        else:
            self._serve(message)
        return self._state is not State.DISCONNECTING

    def _heartbeat(self, message: Message) -> None:
        if self._test_id and message.get(112) == self._test_id:
            self._test_id = b""
            self._say(HeartbeatRoundTrip(self._mono_ns - self._test_sent_ns))

    def _answer_test(self, message: Message) -> None:
        test_id = message.get(112)
        if not test_id:
            self._reject_field(message, 112)
        else:
            self._send_admin("0", b"112=%s\x01" % test_id)

    def _say_reject(self, message: Message) -> None:
        reason = read_int(message, 373)
        self._say(
            RejectReceived(
                read_int(message, 45) or 0, message.get_str(372) or "", read_int(message, 371) or 0,
                -1 if reason is None else reason, message.get_str(58) or "", message.raw,
            )
        )  # fmt: skip
        self._resend_refused(message)

    def _reset_or_fill(self, message: Message) -> None:
        if message.get(123) != b"Y":
            self._sequence_reset(message)
            return
        new_seq, seq = read_int(message, 36), message.seq_num
        if new_seq is None or not seq < new_seq <= MAX_SEQ_NUM:
            self._new_seq_fault(message, new_seq)
        elif self._skipped_holds(new_seq):
            self._store.set_next_in(new_seq)

    def _sequence_reset(self, message: Message) -> None:
        """SequenceReset-Reset: 34 is not looked at, 36 is expected next; it may not go back."""
        new_seq = read_int(message, 36)
        if new_seq is None or not 1 <= new_seq <= MAX_SEQ_NUM:
            self._new_seq_fault(message, new_seq)
        elif new_seq >= self._store.next_in:
            if not self._skipped_holds(new_seq):
                return
            self._store.set_next_in(new_seq)
            self._say(NumbersReset(new_seq, self._store.next_out, "SequenceReset received"))
            self._gap_progress_if_open()
        elif self.settings.sequence_policy is SequencePolicy.TRUST_VENUE:
            self._reset_numbers("SequenceReset received: adopted", new_seq, self._store.next_out)
        else:
            self._new_seq_fault(message, new_seq)

    def _new_seq_fault(self, message: Message, new_seq: int | None) -> None:
        """NewSeqNo(36) is missing or goes back: rejected, and no number moves."""
        if new_seq is None:
            self._reject_field(message, 36)
        else:
            self._reject(message, 0, 5, f"NewSeqNo {new_seq} cannot be: {self._store.next_in} is expected")

    def _gap_progress_if_open(self) -> None:
        if self._gap.is_open:
            self._gap_progress()

    def _skipped_holds(self, new_seq: int) -> bool:
        """Before the expected number jumps to `new_seq`: what a venue leaves out of its answer may be here already.

        It came past the gap, and will not come again: a report is delivered all the same. False when that ended it.
        """
        if not self._initiator:  # a client that fills the gap over its order counts on its not being executed
            return True
        for seq, raw in self._gap.held_before(new_seq):
            message = Message.parse(raw, self._rules)
            if seq < self._store.next_in or message.msg_type in ADMIN - {"3"}:
                continue
            self._store.set_next_in(seq)
            self._in_sequence(message)
            if not self._reading() or self._store.next_in != seq + 1:
                return False
        return True
