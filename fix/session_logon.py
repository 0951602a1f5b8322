"""The Logon exchange of both roles, mid-session resets, the checks of header fields, and the Logout handshake."""

import re

from fix._codec import MdDecoder, Message
from fix.session_checks import COMP_ID_PROBLEM, time_text
from fix.session_core import MAX_SEQ_NUM, read_int
from fix.session_events import LoggedOn, LoggedOut, Refused, State
from fix.session_resume import SessionResume
from fix.settings import SECOND_NS, SequencePolicy

# Texts with which engines say that our number is too low; the number they want follows "expect...".
_TOO_LOW = re.compile(r"too low|lower than expected|less than expected", re.IGNORECASE)
_EXPECTED = re.compile(r"expect\w*\D{0,24}?(\d{1,18})", re.IGNORECASE)


class SessionLogon(SessionResume):
    """Brings a connection from its first byte to LOGGED_ON, and down again in order."""

    _asked_reset = False
    _silent_logons = 0
    _renewing = False
    """We asked for both numbers to begin again in the middle of the session; the answer has not come."""
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
        policy, resets_before = settings.sequence_policy, self._restarts and self._store.next_in == 1
        quietly = policy is SequencePolicy.RESET_QUIETLY
        self._asked_reset = not quietly and (policy is SequencePolicy.RESET_AT_LOGON or self._fresh or resets_before)
        if quietly:
            self._reset_numbers("numbers begin again at each logon")
        elif self._asked_reset:
            self._reset_numbers("our Logon carries 141=Y")
        elif self._restarts:
            self._restart_ours()
        self._send_logon(settings.heartbeat_s, self._asked_reset)
        if self._state is not State.DISCONNECTING:  # unless the write failed
            self._enter(State.LOGON_SENT, settings.logon_timeout_ns)

    def _send_logon(self, heartbeat_s: int, reset: bool, peer: Message | None = None) -> None:
        """Our Logon; an answer to the peer's when that is given."""
        seq, sending_time = self._store.next_out, self._sending_time()
        body = b"98=0\x01108=%d\x01" % heartbeat_s
        if reset:
            body += b"141=Y\x01"
        elif self._restarts:
            body += b"141=N\x01"
        if self.settings.next_expected:
            next_in = self._store.next_in
            body += b"789=%d\x01" % (next_in + (peer is not None and peer.seq_num == next_in))
        version = self.settings.default_appl_ver_id.encode()
        if self._begin == b"FIXT.1.1" and not version and peer is not None:
            version = peer.get(1137) or b""
        if version:
            body += b"1137=%s\x01" % version
        self._send_admin("A", body + self._app.logon_body(seq, sending_time, self._wall_ns))

    def _logon_unanswered(self) -> None:
        """The connection went while our Logon waited for its answer: after so many in a row numbers begin anew."""
        if not self.settings.silent_logons or self._asked_reset or self._renewing:
            return
        self._silent_logons += 1
        if self._silent_logons >= self.settings.silent_logons:
            self._silent_logons = 0
            self._want_fresh(True)

    def _answer(self, message: Message) -> None:
        """The first message after our Logon: a Logon, or a refusal in one of its forms."""
        self._silent_logons = 0
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
        if self.settings.resume_may_fail and not self._asked_reset:
            self._want_fresh(True)
        self._end(f"logon refused: {text}")

    def _logon_answered(self, message: Message) -> None:
        said_reset = _is_yes(message, 141)
        if said_reset and not self._asked_reset:
            self._refuse("the peer reset its numbers, which our Logon did not ask for", answer=False, fresh=True)
        elif (why := self._logon_fault(message)) is not None:
            self._refuse(why)
        elif (ahead := self._expects_too_much(message, self._store.next_out)) is not None:
            self._refuse(ahead)
        elif not self._begins(message):
            self._refuse(f"our Logon carried 141=Y, the answer carries MsgSeqNum {message.seq_num}", fresh=True)
        else:
            self._logged_on(message, self._asked_reset)

    def _begins(self, message: Message) -> bool:
        """Whether the peer's numbers may begin with this Logon's, where they begin again at all."""
        quietly = self.settings.sequence_policy is SequencePolicy.RESET_QUIETLY
        return message.seq_num == 1 or not (self._asked_reset or quietly) or self._adopt(message)

    def _adopt(self, message: Message) -> bool:
        if self.settings.sequence_policy not in (SequencePolicy.TRUST_VENUE, SequencePolicy.RESET_QUIETLY):
            return False
        self._reset_numbers("the venue's number at logon: adopted", message.seq_num, self._store.next_out)
        return True

    # --- acceptor

    def _greet(self, message: Message) -> None:
        """The first message of a connection: a Logon, or the connection is closed without a word."""
        if message.msg_type != "A":
            self._end(f"first message is 35={message.msg_type}, not a Logon")
            return
        if (silent := self._silent_fault(message)) is not None:
            self._refuse(silent, answer=not self._strict)
            return
        reset = _is_yes(message, 141)
        heartbeat_s = read_int(message, 108)
        quietly = not reset and self.settings.sequence_policy is SequencePolicy.RESET_QUIETLY
        if quietly:  # a refusal, too, is then the first message of its connection
            self._reset_numbers("numbers begin again at each logon")
        why = self._logon_fault(message) or self._acceptor_fault(message, reset, heartbeat_s)
        if why is not None or heartbeat_s is None:
            self._refuse(why or "HeartBtInt(108) missing")
            return
        self._heartbeat_ns = heartbeat_s * SECOND_NS
        if reset:
            self._reset_numbers("Logon with 141=Y received")
        elif not quietly and not self._number_holds(message):
            return
        if (ahead := self._expects_too_much(message, self._store.next_out)) is not None:
            self._refuse(ahead)
            return
        self._send_logon(heartbeat_s, reset, message)
        if self._state is not State.DISCONNECTING:
            self._logged_on(message, reset)

    def _silent_fault(self, message: Message) -> str | None:
        """What ends a connection before it is known who calls; strict acceptors do so without a word, as others do."""
        off_ns = self._time_off_ns(message)
        if off_ns > 0:
            return time_text(off_ns)
        if self._begin == b"FIXT.1.1" and not message.get(1137):
            return "DefaultApplVerID(1137) missing"
        return None

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
        fault = self._fault(message) if self._strict else None
        if fault is not None:
            return f"{fault.text}: {fault.tag}" if fault.tag else fault.text
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
        resumes = self._resumes(reset)
        if not resumes and not self._number_holds(message):
            return
        seq = message.seq_num
        if not resumes and seq == self._store.next_in:
            self._store.advance_in(seq)
        self._want_fresh(False)
        self._arm_decoder()
        self._enter(State.LOGGED_ON)
        self._hasten(self._mono_ns)
        resets = self.settings.resets
        self._rollover_wall_ns = resets.next(self._wall_ns) if resets is not None else None
        heartbeat_s = self._heartbeat_ns // SECOND_NS
        self._say(LoggedOn(heartbeat_s, reset, self._store.next_in, self._store.next_out))
        if resumes:
            self._await_stand()
        elif seq > self._store.next_in:
            self._too_high(message, dealt_with=True, ask=not self._peer_fills(message))
        self._fill_for_peer(message, self._store.next_out - 1)

    # --- NextExpectedMsgSeqNum(789): each side says what it has, and the other sends the rest unasked

    def _next_expected_by_peer(self, message: Message) -> int | None:
        return read_int(message, 789) if self.settings.next_expected else None

    def _peer_fills(self, message: Message) -> bool:
        """The peer reads our 789, since it sends its own: what we miss comes without our asking."""
        return self._next_expected_by_peer(message) is not None

    def _expects_too_much(self, message: Message, next_out: int) -> str | None:
        """The peer waits for a number that we never sent: one of us has lost its numbers."""
        wanted = self._next_expected_by_peer(message)
        if wanted is None or 0 < wanted <= next_out:
            return None
        return f"NextExpectedMsgSeqNum too high, expecting {next_out} but received {wanted}"

    def _fill_for_peer(self, message: Message, logon_seq: int) -> None:
        """Send again what the peer's 789 says that it misses of what went before our Logon."""
        wanted = self._next_expected_by_peer(message)
        if wanted is not None and 0 < wanted < logon_seq and self._reading():
            self._begin_serving(wanted, logon_seq if self._initiator else logon_seq - 1)

    def _logon_again(self, message: Message) -> None:
        """A Logon while logged on: 141=Y with number 1 starts both sides anew.

        Anything else a venue gets rejected, and ends a client's connection.
        """
        if self._renewing and _is_yes(message, 141):
            self._renewed(message)
            return
        if not (_is_yes(message, 141) and message.seq_num == 1 and self.is_logged_on):
            if not self._initiator:
                self._end("Logon while logged on")
                return
            self._reject(message, 35, 11, "Logon while logged on")
            if message.seq_num == self._store.next_in:
                self._store.advance_in(message.seq_num)
            return
        if not self._initiator and self._acceptor_fault(message, True, read_int(message, 108)) is None:
            self._heartbeat_ns = (read_int(message, 108) or 0) * SECOND_NS
        heartbeat_s = self._heartbeat_ns // SECOND_NS
        self._reset_numbers("Logon with 141=Y received")
        self._store.advance_in(1)
        self._enter(State.LOGGED_ON)
        self._send_logon(heartbeat_s, True)

    def _renew(self) -> None:
        """Both numbers begin again at 1. What the peer sent before it heard of that still counts as it is numbered."""
        self._renewing = True
        expected = self._store.next_in
        self._reset_numbers("our Logon carries 141=Y", next_in=expected)
        self._send_logon(self._heartbeat_ns // SECOND_NS, True)
        if self._reading():
            self._enter(State.LOGON_SENT, self.settings.logon_timeout_ns)

    def _renewed(self, message: Message) -> None:
        self._renewing = False
        if message.seq_num != 1:
            self._refuse(f"our Logon carried 141=Y, the answer carries MsgSeqNum {message.seq_num}", fresh=True)
            return
        self._reset_numbers("the answer carries 141=Y", next_in=2, next_out=self._store.next_out)
        self._enter(State.LOGGED_ON)
        self._hasten(self._mono_ns)

    def _header_holds(self, message: Message) -> bool:
        """BeginString, CompIDs and MsgSeqNum are those of this session; otherwise the session ends, as FIX says."""
        if message.begin_string != self._begin:
            self._wrong_begin_string(message)
            return False
        sender, target = message.get(49), message.get(56)
        if not self._target and sender and self._state is State.AWAIT_LOGON:
            self._target = sender
        if self._strict and not (sender and target) and self.is_logged_on:
            self._comp_id_missing(message, 56 if sender else 49)
            return False
        if sender != self._target or target != self._sender:
            self._wrong_comp_id(message, 49 if sender != self._target else 56)
            return False
        if not 0 < message.seq_num <= MAX_SEQ_NUM and not self._is_reset(message):
            self._wrong_header("MsgSeqNum(34) missing or not a positive number")
            return False
        return True

    def _is_reset(self, message: Message) -> bool:
        """A SequenceReset in Reset mode counts whatever its number, 0 too; where there is none at all it does not."""
        kind_counts = message.msg_type == "4" and message.get(123) != b"Y" and self.is_logged_on
        return kind_counts and read_int(message, 34) == 0

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
        if self._state is State.AWAIT_LOGON:
            self._wrong_header(text)
            return
        self._reject(message, 0, COMP_ID_PROBLEM, text)
        if message.seq_num == self._store.next_in:
            self._store.advance_in(message.seq_num)
        if self._state is State.LOGON_SENT:
            self._wrong_header(text)
        else:
            self._logout_over(text)

    def _comp_id_missing(self, message: Message, tag: int) -> None:
        self._reject(message, tag, 4 if message.has(tag) else 1)
        if message.seq_num == self._store.next_in:
            self._store.advance_in(message.seq_num)

    def _wrong_begin_string(self, message: Message) -> None:
        """An acceptor that is logged on says so and waits for the peer's Logout; otherwise it is the end."""
        text = "Incorrect BeginString"
        if self._initiator or not self.is_logged_on:
            self._wrong_header(f"{text}: {_shown(message.begin_string)}, expected {_shown(self._begin)}")
            return
        if message.seq_num == self._store.next_in:
            self._store.advance_in(message.seq_num)
        self._begin_logout(text)

    # --- the end

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
        if self.settings.resume_may_fail and not initiated and self._gap.is_open:
            self._want_fresh(True)
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
