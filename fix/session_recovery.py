"""Recovery in both directions: gaps in what the peer sent, and its requests for what we sent."""

from fix._codec import Message
from fix.session_checks import SessionChecks
from fix.session_core import read_int
from fix.session_events import GapClosed, GapOpened, ResendServed, State
from fix.settings import NEVER_REPLAYED, SequencePolicy

_ADMIN = frozenset({"0", "1", "2", "4", "5", "A"})  # gap-filled, never replayed; a Reject(3) is replayed


class SessionRecovery(SessionChecks):
    """Asks for what is missing, one range at a time, and answers what the peer asks."""

    _serving: tuple[int, int, int, int] | None = None
    """First number asked for, next and last still to be served, and how many were replayed so far."""
    _asked_first = 0
    _asked_times = 0

    def _forget_recovery(self) -> None:
        """The connection is gone: what is missing stays missing in the store, and the peer will ask again."""
        self._gap.clear()
        self._serving = None
        self._asked_first = self._asked_times = 0

    def _reset_numbers(self, reason: str, next_in: int = 1, next_out: int = 1) -> None:
        if next_out != self._store.next_out:  # what was being sent again has no numbers any more
            self._serving = None
            self._asked_first = self._asked_times = 0
        super()._reset_numbers(reason, next_in, next_out)

    # --- what the peer has not sent us

    def _too_high(self, message: Message, dealt_with: bool = False, ask: bool = True) -> None:
        """A number past the expected one: hold the message, and ask for the gap unless that is under way.

        Without `ask` the peer knows already; it is asked when nothing comes in time.
        """
        seq = message.seq_num
        if not self.settings.supports_resend:
            text = f"MsgSeqNum gap: expected {self._store.next_in}, received {seq}"
            self._logout_and_end(text, fresh=True)
            return
        gap = self._gap
        was_open = gap.is_open
        gap.hold(seq, None if dealt_with else message.raw)
        if was_open and self.settings.resend_end_zero and not gap.replaying:
            gap.asked_to = gap.highest  # it left before the peer saw our request, so the answer covers it
        if was_open or self._state not in (State.LOGGED_ON, State.RECOVERING):
            return
        self._say(GapOpened(self._store.next_in, seq - 1))
        if self._state is State.LOGGED_ON:
            self._enter(State.RECOVERING)
        if self._state is State.RECOVERING:
            self._ask(silently=not ask)

    def _ask(self, silently: bool = False) -> None:
        """Send the ResendRequest for the first missing run."""
        gap, first = self._gap, self._store.next_in
        last = gap.missing_to(first)
        if self.settings.resend_most:
            last = min(last, first + self.settings.resend_most - 1)
        gap.asked_to = gap.highest if self.settings.resend_end_zero else last
        end = 0 if self.settings.resend_end_zero else last
        gap.replaying = False
        gap.deadline_ns = self._mono_ns + self.settings.gap_timeout_ns
        self._hasten(gap.deadline_ns)
        if silently:
            return
        self._send_admin("2", b"7=%d\x0116=%d\x01" % (first, end))

    def _gap_progress(self) -> None:
        """The expected number moved while a gap is open: close it, or ask for the next run."""
        gap, next_in = self._gap, self._store.next_in
        gap.passed(next_in)
        if not gap.is_open:
            self._close_gap(next_in - 1)
            return
        gap.tries = 0
        gap.replaying = True
        gap.deadline_ns = self._mono_ns + self.settings.gap_timeout_ns
        if next_in > gap.asked_to and not gap.has(next_in) and self._state is State.RECOVERING:
            self._ask()

    def _close_gap(self, last: int) -> None:
        if self._state is State.RECOVERING:
            self._enter(State.LOGGED_ON)
        self._say(GapClosed(last))

    def _gap_overdue(self) -> None:
        """No progress in time: ask again, then give up loudly; the gap itself stays for the next connection."""
        gap = self._gap
        gap.tries += 1
        if gap.tries > self.settings.gap_retries:
            text = f"gap from {self._store.next_in} to {gap.highest} was not filled"
            self._logout_and_end(text, fresh=self.settings.starts_afresh)
        else:
            self._ask()

    # --- what the peer asks of us

    def _serve(self, message: Message) -> bool:
        """Answer a ResendRequest; False when it was rejected or ended the session."""
        first, last = read_int(message, 7), read_int(message, 16)
        newest = self._store.next_out - 1
        if first is None or last is None:
            self._reject_field(message, 7 if first is None else 16)
            return False
        if not self.settings.supports_resend:
            self._logout_and_end("ResendRequest received, resend is not supported", fresh=True)
            return False
        if not 0 < first <= newest or 0 < last < first:
            self._reject(message, 7, 5, f"cannot resend {first} to {last}: last number sent is {newest}")
            return False
        if self._asked_too_often(first):
            self._logout_and_end(f"ResendRequest for {first} came {self._asked_times} times")
            return False
        self._begin_serving(first, newest if last == 0 or last > newest else last)
        return True

    def _begin_serving(self, first: int, last: int) -> None:
        self._serving = (first, first, last, 0)
        self._serve_on()

    def _asked_too_often(self, first: int) -> bool:
        self._asked_times = self._asked_times + 1 if first == self._asked_first else 1
        self._asked_first = first
        return self._asked_times > self.settings.resend_repeats

    def _serve_on(self) -> None:
        """Serve the next chunk; numbers that are not replayed are left out by one gap fill a run."""
        if self._serving is None:
            return
        first, start, last, replayed = self._serving
        chunk_end = min(last, start + self.settings.resend_chunk - 1) if self._replays_anything() else last
        fill_from = start
        for seq, raw in self._store.get(start, chunk_end) if self._replays_anything() else ():
            message = Message.parse(raw, self._rules)
            if self._replays(message.msg_type):
                self._gap_fill(fill_from, seq)
                self._replay(message)
                replayed, fill_from = replayed + 1, seq + 1
        self._gap_fill(fill_from, chunk_end + 1)
        if not self._reading():  # the write failed: nothing was served, and the peer will ask again
            self._serving = None
            return
        if chunk_end < last:
            self._serving = (first, chunk_end + 1, last, replayed)
            self._hasten(self._mono_ns)
            return
        self._serving = None
        self._say(ResendServed(first, last, replayed))

    def _replays_anything(self) -> bool:
        return not self._initiator or bool(self.settings.initiator_replays)

    def _replays(self, msg_type: str) -> bool:
        if msg_type in _ADMIN:
            return False
        if not self._initiator:
            return True
        return msg_type in self.settings.initiator_replays and msg_type not in NEVER_REPLAYED

    def _replay(self, message: Message) -> None:
        """The same number and body again, with 43=Y, a fresh 52 and the old one as 122."""
        raw = message.raw
        after_time = raw.index(b"\x01", raw.index(b"\x0152=") + 1) + 1
        rest = raw[after_time:-7]  # 369, extra header and body; the trailer is `10=nnn<SOH>`
        if rest.startswith(b"369="):
            rest = rest[rest.index(b"\x01") + 1 :]
        extra = self.settings.extra_header
        body = rest[len(extra) :] if rest.startswith(extra) else rest
        original = message.get(52) or self._sending_time()
        self._write_again(self._encode(message.msg_type, message.seq_num, body, b"43=Y\x01122=%s\x01" % original))

    def _gap_fill(self, first: int, new_seq: int) -> None:
        """Leave out first..new_seq-1; nothing when that is empty."""
        if first >= new_seq:
            return
        dup = b"43=Y\x01122=%s\x01" % self._sending_time() if self.settings.gap_fill_poss_dup else b""
        self._write_again(self._encode("4", first, b"36=%d\x01123=Y\x01" % new_seq, dup))

    # --- numbers that contradict each other

    def _too_low(self, message: Message) -> bool:
        """A number lower than expected without 43=Y: what the policy says. True when the message counts after all."""
        seq, expected = message.seq_num, self._store.next_in
        text = f"MsgSeqNum too low, expecting {expected} but received {seq}"
        policy = self.settings.sequence_policy
        if policy is SequencePolicy.TRUST_VENUE:
            self._reset_numbers(f"{text}: adopted", next_in=seq, next_out=self._store.next_out)
            if self._state is State.RECOVERING:
                self._enter(State.LOGGED_ON)
            return True
        if policy is SequencePolicy.HALT:
            self._halt(text)
        else:
            self._logout_and_end(text, fresh=True)
        return False
