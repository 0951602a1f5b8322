"""The Logon exchange of both roles, the checks of header fields, and the Logout handshake."""

import re

from base.errors import CodecError
from fix._codec import MdDecoder, Message
from fix.session_core import read_int
from fix.session_events import LoggedOn, LoggedOut, Refused, State
from fix.session_recovery import SessionRecovery
from fix.settings import SECOND_NS, SequencePolicy

# Texts with which engines say that our number is too low; the number they want follows "expect...".
_TOO_LOW = re.compile(r"too low|lower than expected|less than expected", re.IGNORECASE)
_EXPECTED = re.compile(r"expect\w*\D{0,24}?(\d{1,18})", re.IGNORECASE)


class SessionLogon(SessionRecovery):
    """Brings a connection from its first byte to LOGGED_ON, and down again in order."""

    _asked_reset = False
    _rollover_wall_ns: int | None = None
    _rolling = False
    _md_decoder: MdDecoder | None = None

    def _arm_decoder(self) -> None:
        """Tell the batch path whose messages it may take."""
        if self._md_decoder is not None and self._target:
            self._md_decoder.expect(self._begin, self._target, self._sender)

    # --- initiator

    def _initiate(self) -> None:
        settings = self.settings
        policy_resets = settings.sequence_policy is SequencePolicy.RESET_AT_LOGON
        self._asked_reset = policy_resets or self._fresh
        if self._asked_reset:
            self._reset_numbers("our Logon carries 141=Y")
        self._send_logon(settings.heartbeat_s, self._asked_reset)
        if self._state is not State.DISCONNECTING:  # unless the write failed
            self._enter(State.LOGON_SENT, settings.logon_timeout_ns)

    def _send_logon(self, heartbeat_s: int, reset: bool) -> None:
        seq, sending_time = self._store.next_out, self._sending_time()
        body = b"98=0\x01108=%d\x01" % heartbeat_s
        if reset:
            body += b"141=Y\x01"
        if self.settings.default_appl_ver_id:
            body += b"1137=%s\x01" % self.settings.default_appl_ver_id.encode()
        self._send_admin("A", body + self._app.logon_body(seq, sending_time, self._wall_ns))

    def _answer(self, message: Message) -> None:
        """The first message after our Logon: a Logon, or a refusal in one of its forms."""
        if message.msg_type == "A":
            self._logon_answered(message)
            return
        text = message.get_str(58) or ""
        reason = read_int(message, 373) if message.msg_type == "3" else None
        if message.seq_num == self._store.next_in and message.msg_type in ("3", "5"):
            self._store.advance_in(message.seq_num)
        if message.msg_type not in ("3", "5"):
            text = f"35={message.msg_type} received before Logon"
        self._say(Refused(text, True, -1 if reason is None else reason, message.raw))
        self._own_number_too_low(text)
        self._end(f"logon refused: {text}")

    def _logon_answered(self, message: Message) -> None:
        said_reset = _is_yes(message, 141)
        if said_reset and not self._asked_reset:
            self._refuse("the peer reset its numbers, which our Logon did not ask for", answer=False, fresh=True)
        elif (why := self._logon_fault(message)) is not None:
            self._refuse(why)
        elif self._asked_reset and message.seq_num != 1 and not self._adopt(message):
            self._refuse(f"our Logon carried 141=Y, the answer carries MsgSeqNum {message.seq_num}", fresh=True)
        else:
            self._logged_on(message, self._asked_reset)

    def _adopt(self, message: Message) -> bool:
        if self.settings.sequence_policy is not SequencePolicy.TRUST_VENUE:
            return False
        self._reset_numbers("the venue's number at logon: adopted", message.seq_num, self._store.next_out)
        return True

    # --- acceptor

    def _greet(self, message: Message) -> None:
        """The first message of a connection: a Logon, or the connection is closed without a word."""
        if message.msg_type != "A":
            self._end(f"first message is 35={message.msg_type}, not a Logon")
            return
        reset = _is_yes(message, 141)
        heartbeat_s = read_int(message, 108)
        why = self._logon_fault(message) or self._acceptor_fault(message, reset, heartbeat_s)
        if why is not None or heartbeat_s is None:
            self._refuse(why or "HeartBtInt(108) missing")
            return
        self._heartbeat_ns = heartbeat_s * SECOND_NS
        if reset:
            self._reset_numbers("Logon with 141=Y received")
        elif not self._number_holds(message):
            return
        self._send_logon(heartbeat_s, reset)
        if self._state is not State.DISCONNECTING:
            self._logged_on(message, reset)

    def _acceptor_fault(self, message: Message, reset: bool, heartbeat_s: int | None) -> str | None:
        low, high = self.settings.heartbeat_range_s
        if heartbeat_s is None or not low <= heartbeat_s <= high:
            return f"HeartBtInt(108) must be {low} to {high} seconds"
        if reset and message.seq_num != 1:
            return f"ResetSeqNumFlag(141)=Y needs MsgSeqNum 1, not {message.seq_num}"
        if not reset and self.settings.sequence_policy is SequencePolicy.RESET_AT_LOGON:
            return "ResetSeqNumFlag(141)=Y is required"
        return None

    # --- both

    def _logon_fault(self, message: Message) -> str | None:
        encrypt = message.get(98)
        if encrypt not in (None, b"0"):
            return f"EncryptMethod(98) must be 0, not {encrypt.decode(errors='replace')}"
        off_ns = self._time_off_ns(message)
        if off_ns > 0:
            return time_text(off_ns)
        return self._app.check_logon(message, self._wall_ns)

    def _refuse(self, text: str, answer: bool = True, fresh: bool = False) -> None:
        self._say(Refused(text, False))
        if answer:
            self._logout_and_end(text, fresh)
        else:
            self._end(text, fresh)

    def _number_holds(self, message: Message) -> bool:
        """The Logon's number is as expected or higher, or the policy takes it as it is."""
        return message.seq_num >= self._store.next_in or message.poss_dup or self._too_low(message)

    def _logged_on(self, message: Message, reset: bool) -> None:
        """Logons were exchanged; a number past the expected one opens a gap at once."""
        if not self._number_holds(message):
            return
        seq = message.seq_num
        if seq == self._store.next_in:
            self._store.advance_in(seq)
        self._want_fresh(False)
        self._arm_decoder()
        self._enter(State.LOGGED_ON)
        self._hasten(self._mono_ns)
        resets = self.settings.resets
        self._rollover_wall_ns = resets.next(self._wall_ns) if resets is not None else None
        heartbeat_s = self._heartbeat_ns // SECOND_NS
        self._say(LoggedOn(heartbeat_s, reset, self._store.next_in, self._store.next_out))
        if seq > self._store.next_in:
            self._too_high(message, dealt_with=True)

    def _logon_again(self, message: Message) -> None:
        """A Logon while logged on: 141=Y with number 1 starts both sides anew, anything else is rejected."""
        if not (_is_yes(message, 141) and message.seq_num == 1 and self.is_logged_on):
            self._reject(message, 35, 11, "Logon while logged on")
            if message.seq_num == self._store.next_in:
                self._store.advance_in(message.seq_num)
            return
        heartbeat_s = self._heartbeat_ns // SECOND_NS
        self._reset_numbers("Logon with 141=Y received")
        self._store.advance_in(1)
        self._enter(State.LOGGED_ON)
        self._send_logon(heartbeat_s, True)

    def _header_holds(self, message: Message) -> bool:
        """BeginString, CompIDs and MsgSeqNum are those of this session; otherwise the session ends, as FIX says."""
        if message.begin_string != self._begin:
            self._wrong_header(f"BeginString {_shown(message.begin_string)}, expected {_shown(self._begin)}")
            return False
        sender, target = message.get(49), message.get(56)
        if not self._target and sender and self._state is State.AWAIT_LOGON:
            self._target = sender
        if sender != self._target or target != self._sender:
            self._wrong_comp_id(message, 49 if sender != self._target else 56)
            return False
        if message.seq_num == 0:
            self._wrong_header("MsgSeqNum(34) missing or not a positive number")
            return False
        return True

    def _wrong_header(self, text: str) -> None:
        """Before Logon nobody is known, so nobody is answered."""
        if self._state is State.AWAIT_LOGON:
            self._refuse(text, answer=False)
        elif self._state is State.LOGON_SENT:
            self._refuse(text)
        else:
            self._logout_and_end(text)

    def _wrong_comp_id(self, message: Message, tag: int) -> None:
        shown = _shown(message.get(tag) or b"")
        text = f"CompID problem: {tag}={shown}, expected {_shown(self._target if tag == 49 else self._sender)}"
        if self._state is not State.AWAIT_LOGON:
            self._reject(message, tag, 9, "CompID problem")
            if message.seq_num == self._store.next_in:
                self._store.advance_in(message.seq_num)
        self._wrong_header(text)

    def _time_off_ns(self, message: Message) -> int:
        """By how much SendingTime(52) is off when that is too much; 0 when it is fine, -1 when it cannot be read."""
        try:
            sent_ns = message.get_utc_ns(52)
        except CodecError:
            return -1
        if sent_ns is None:
            return -1
        off_ns = abs(self._wall_ns - sent_ns)
        return off_ns if off_ns > self._latency_ns > 0 else 0

    # --- the end

    def _begin_logout(self, text: str) -> None:
        body = b"58=%s\x01" % text.encode("ascii", "replace") if text else b""
        self._send_admin("5", body)
        if self._state is not State.DISCONNECTING:
            self._enter(State.LOGOUT_SENT, self.settings.logout_timeout_ns)

    def _logout_received(self, message: Message) -> None:
        """Answer it, or take it as the answer. A number that came too early stays missing."""
        if message.seq_num == self._store.next_in:
            self._store.advance_in(message.seq_num)
        text = message.get_str(58) or ""
        initiated = self._state is State.LOGOUT_SENT
        if not initiated:
            self._send_admin("5")
        self._clean = True
        self._say(LoggedOut(text, initiated))
        self._own_number_too_low(text)
        self._end(f"logged out: {text}" if text else "logged out")

    def _own_number_too_low(self, text: str) -> None:
        """The peer ended the session because our number is too low: what the policy says."""
        policy = self.settings.sequence_policy
        if not self._initiator or not _TOO_LOW.search(text):
            return
        if policy is SequencePolicy.HALT:
            self._halt_quietly(f"the venue says: {text}")
        elif policy is SequencePolicy.TRUST_VENUE and (match := _EXPECTED.search(text)):
            self._store.set_next_out(max(int(match[1]), self._store.next_out))
        elif policy is not SequencePolicy.RESET_AT_LOGON:
            self._want_fresh(True)

    def _rollover_due(self) -> bool:
        """A rollover lies between the birth of the present numbering and now."""
        resets = self.settings.resets
        at_ns = resets.last(self._wall_ns) if resets is not None else None
        return at_ns is not None and self._store.created_ns < at_ns


def _is_yes(message: Message, tag: int) -> bool:
    return message.get(tag) == b"Y"


def _shown(value: bytes) -> str:
    return value.decode("ascii", "replace") or "(none)"


def time_text(off_ns: int) -> str:
    return f"SendingTime accuracy problem: off by {off_ns / SECOND_NS:.3f} s"
