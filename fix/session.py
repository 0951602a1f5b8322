"""A FIX session as a state machine without I/O, for initiator and acceptor.

Bytes and times go in; bytes (through the `write` handed over with the connection), messages, events and the next
deadline come out. The layers: session_core (state, output), session_recovery (gaps, resends), session_resume (only
their numbers go on), session_logon (Logon, Logout, header), session_reader (each message by number and type), and here
the calls of the owner: connection, input, time, sending. docs/fix-session.md describes the whole.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from base.errors import SessionError
from fix._codec import Framer, MdDecoder, Message, Template
from fix.codec_types import StopReason
from fix.session_events import Disconnect, Disconnected, Garbled, NumbersReset, State
from fix.session_reader import SessionReader
from fix.settings import SECOND_NS

if TYPE_CHECKING:
    from fix.fixlog import FixLog

_LOGGED_ON, _DISCONNECTING = State.LOGGED_ON, State.DISCONNECTING


class FixSession(SessionReader):
    """One FIX session. Not thread-safe; nothing here blocks, sleeps or looks at a clock."""

    _garbled = 0
    _tests = 0
    md_log: "FixLog | None" = None
    """Set by a market-data owner that wants batches logged, too."""

    @property
    def md_decoder(self) -> MdDecoder | None:
        """Set by a market-data owner: runs of 35=X and 35=W then take the batch path and reach `app.on_batch`."""
        return self._md_decoder

    @md_decoder.setter
    def md_decoder(self, decoder: MdDecoder | None) -> None:
        self._md_decoder = decoder
        self._arm_decoder()

    @property
    def framer(self) -> Framer:
        """Buffer of received bytes, with its counters of messages and garbled input."""
        return self._framer

    # --- the connection

    def connected(self, write: Callable[[bytes], object], mono_ns: int, wall_ns: int) -> None:
        """The transport is up; an initiator sends its Logon at once.

        `write` takes whole messages and must not call back into the session. SessionError when halted or connected.
        """
        if self._state is not State.DISCONNECTED:
            raise SessionError(f"{self.settings.name}: cannot connect while {self._state.value} {self.halt_reason}")
        self._mono_ns, self._wall_ns = mono_ns, wall_ns
        self._last_in_ns = self._last_out_ns = mono_ns
        self._write = write
        self._clean = False
        self._framer.reset()
        if self._rollover_due():
            self._roll()
        if self._initiator:
            self._initiate()
        else:
            self._enter(State.AWAIT_LOGON, self.settings.logon_timeout_ns)

    def disconnected(self, reason: str, mono_ns: int, wall_ns: int) -> None:
        """The transport is gone. Numbers, an open gap included, stay for the next connection."""
        if self._write is None:
            return
        self._mono_ns, self._wall_ns = mono_ns, wall_ns
        if self._state is State.LOGON_SENT:
            self._logon_unanswered()
        self._write = None
        self._deadline_ns = None
        self._state = State.HALTED if self.halt_reason else State.DISCONNECTED
        self._target = self.settings.target_comp_id.encode()
        self._test_id = b""
        self._renewing = False
        self._framer.reset()
        self._forget_recovery()
        if self._rolling:
            self._roll()
        self._say(Disconnected(reason, self._clean))

    def _roll(self) -> None:
        """The venue starts its numbers again: so do ours, by 141=Y where we are the one to ask."""
        self._rolling = False
        if self._initiator:
            self._want_fresh(True)
        else:
            self._reset_numbers("daily rollover")

    # --- input

    def received(self, data: bytes | bytearray | memoryview, mono_ns: int, wall_ns: int) -> None:
        """Bytes from the peer, in any pieces; messages and events are delivered before it returns."""
        write = self._write
        if write is None or self._state is _DISCONNECTING:
            return
        framer, log, store, check = self._framer, self._log, self._store, self._check
        framer.feed(data)
        self._mono_ns = mono_ns
        self._wall_ns = wall_ns
        while self._write is not None and self._state is not _DISCONNECTING:
            decoder = self._md_decoder
            if decoder is not None and self._state is _LOGGED_ON and self._batch(decoder):
                continue
            message = framer.next()
            if message is None:
                break
            self._last_in_ns = mono_ns
            if log is not None:
                log.put(wall_ns, True, message.raw)
            seq = store.next_in
            if (
                self._state is _LOGGED_ON
                and message.plain(self._begin, self._target, self._sender, seq, wall_ns, self._latency_ns)
                and (check is None or check(message.raw) is None)
            ):  # what it nearly always is; everything else goes the long way
                self._app.on_message(message, 0, ())
                store.advance_in(seq)
            else:
                self._take(message)
        if framer.garbled_messages != self._garbled:
            self._count_garbled(framer.garbled_messages)

    def _batch(self, decoder: MdDecoder) -> bool:
        """Take a run of in-sequence market data; True when there may be more of it right behind."""
        log, before = self.md_log, self._framer.consumed
        messages, next_seq, why = decoder.decode(self._framer, self._store.next_in, self._wall_ns)
        if messages:
            self._last_in_ns = self._mono_ns
            if log is not None:
                log.put_run(self._wall_ns, True, self._framer.since(before))
            self._app.on_batch(decoder, messages)
            self._store.set_next_in(next_seq)
        return messages > 0 and why is StopReason.LIMIT

    def _count_garbled(self, total: int) -> None:
        count, self._garbled = total - self._garbled, total
        self._say(Garbled(count, total))

    # --- time

    def tick(self, mono_ns: int, wall_ns: int) -> None:
        """Do what is due: heartbeats, test requests, time-outs, rollover. Harmless when called too early."""
        if self._write is None:
            return
        self._mono_ns, self._wall_ns = mono_ns, wall_ns
        if self._state_deadline_ns and mono_ns >= self._state_deadline_ns:
            self._state_overdue()
        elif self.is_logged_on:
            self._keep_alive()
            if self._gap.deadline_ns and mono_ns >= self._gap.deadline_ns and self._state is State.RECOVERING:
                self._gap_overdue()
            if self._rollover_wall_ns is not None and wall_ns >= self._rollover_wall_ns and self.is_logged_on:
                self.rollover(mono_ns, wall_ns)
        if self._serving is not None and self._reading():
            self._serve_on()
        self._set_deadline()

    def _state_overdue(self) -> None:
        state = self._state
        if state is State.DISCONNECTING:
            self._enter(state, self.settings.logout_timeout_ns)
            self._say(Disconnect("still connected", self._fresh))
        elif state is State.LOGOUT_SENT:
            self._end("Logout was not answered")
        else:
            self._end("no Logon in time")

    def _keep_alive(self) -> None:
        now, interval = self._mono_ns, self._heartbeat_ns
        if not interval:
            return
        patience = self._patience_ns()
        since_ns = self._test_sent_ns if self._pending() else self._last_in_ns
        if now - since_ns >= patience and not self._found_behind():
            if self._pending():
                self._given_up()
                return
            self._send_test(b"TEST")
        if not self.is_logged_on:
            return
        if now - self._last_out_ns >= interval and self._beats():
            self._send_admin("0")

    def _found_behind(self) -> bool:
        """A BodyLength that is too long hides what follows: once it is silent, that is looked for and read."""
        found = self._framer.give_up()
        if found:
            self.received(b"", self._mono_ns, self._wall_ns)
        return found

    def _patience_ns(self) -> int:
        """FIX: HeartBtInt and a reasonable transmission time; clients with short intervals are given a second."""
        interval = self._heartbeat_ns
        return interval + max(interval // 5, 0 if self._initiator else SECOND_NS)

    def _pending(self) -> bool:
        """A TestRequest of ours waits for an answer, and nothing else came since."""
        return bool(self._test_id) and self._test_sent_ns > self._last_in_ns

    def _beats(self) -> bool:
        """Our TestRequest stands for a Heartbeat at an acceptor, as other engines have it."""
        return self._initiator or not self._pending()

    def _given_up(self) -> None:
        """Nobody is there: an initiator says so all the same, since it may have been us who did not hear."""
        if self._initiator:
            self._logout_and_end("TestRequest was not answered")
        else:
            self._end("TestRequest was not answered")

    def _send_test(self, test_id: bytes) -> None:
        self._test_id = test_id
        self._test_sent_ns = self._mono_ns
        self._send_admin("1", b"112=%s\x01" % self._test_id)

    def _set_deadline(self) -> None:
        """Compute the next deadline anew; until the next tick it may only come forward."""
        if self._write is None:
            self._deadline_ns = None
            return
        due = [self._state_deadline_ns] if self._state_deadline_ns else []
        if self.is_logged_on and self._heartbeat_ns:
            interval, patience = self._heartbeat_ns, self._patience_ns()
            due.append((self._test_sent_ns if self._pending() else self._last_in_ns) + patience)
            if self._beats():
                due.append(self._last_out_ns + interval)
        if self.is_logged_on:
            if self._state is State.RECOVERING and self._gap.deadline_ns:
                due.append(self._gap.deadline_ns)
            if self._rollover_wall_ns is not None:
                due.append(self._mono_ns + max(self._rollover_wall_ns - self._wall_ns, 0))
        if self._serving is not None and self._reading():
            due.append(self._mono_ns)
        self._deadline_ns = min(due) if due else None

    # --- orders to the session

    def send(
        self, msg_type: str, body: bytes, mono_ns: int, wall_ns: int, act_first: bool = False
    ) -> int:  # fmt: skip
        """Send an application message (`body`: `tag=value<SOH>`... without header and trailer); its MsgSeqNum.

        Stored before it is written, unless `act_first` (kills only). SessionError when not logged on, or when the
        store is full and this is an order; CodecError when the body is malformed.
        """
        self._may_send(msg_type)
        self._mono_ns, self._wall_ns = mono_ns, wall_ns
        seq = self._store.next_out
        self._send(self._encode(msg_type, seq, body), seq, act_first)
        return seq

    def send_template(
        self, template: Template, msg_type: str, values: Sequence[bytes | str | int | bool | None],
        mono_ns: int, wall_ns: int, act_first: bool = False,
    ) -> int:  # fmt: skip
        """As `send`, rendered by a codec Template of this session's BeginString and CompIDs."""
        if self._state is not _LOGGED_ON or (msg_type in self._order_types and self._store.full):
            self._may_send(msg_type)
        self._mono_ns = mono_ns
        self._wall_ns = wall_ns
        seq = self._store.next_out
        self._send(template.render(seq, wall_ns, *values), seq, act_first)
        return seq

    def _may_send(self, msg_type: str) -> None:
        if self._state is not State.LOGGED_ON and self._state is not State.RECOVERING:
            raise SessionError(f"{self.settings.name}: 35={msg_type} cannot be sent while {self._state.value}")
        if msg_type in self._order_types and self._store.full:
            raise SessionError(f"{self.settings.name}: 35={msg_type} refused, the message store is full")

    def logout(self, text: str, mono_ns: int, wall_ns: int) -> None:
        """Begin the Logout handshake; the confirming Logout or a deadline ends the connection."""
        self._mono_ns, self._wall_ns = mono_ns, wall_ns
        if self.is_logged_on:
            self._begin_logout(text)
        elif self._state in (State.LOGON_SENT, State.AWAIT_LOGON):
            self._end(text or "logout before logon")

    def test_request(self, mono_ns: int, wall_ns: int) -> None:
        """Ask for a Heartbeat now; the answer comes as HeartbeatRoundTrip. SessionError when not logged on."""
        self._may_send("1")
        self._mono_ns, self._wall_ns = mono_ns, wall_ns
        self._tests += 1
        self._send_test(b"QD-%d" % self._tests)

    def business_reject(self, message: Message, reason: int, text: str, mono_ns: int, wall_ns: int) -> None:
        """Tell the peer that its message cannot be dealt with; `reason` is BusinessRejectReason(380)."""
        self._may_send("j")
        self._mono_ns, self._wall_ns = mono_ns, wall_ns
        self._business_reject(message, reason, text)

    def restart_numbers(self, mono_ns: int, wall_ns: int) -> None:
        """Begin both numbers at 1 without a new connection: Logon with 141=Y, LOGON_SENT until it is answered.

        For quiet moments: what the peer has not read by then is not asked for again. SessionError when not LOGGED_ON.
        """
        if self._state is not _LOGGED_ON:
            raise SessionError(f"{self.settings.name}: numbers cannot begin again while {self._state.value}")
        self._mono_ns, self._wall_ns = mono_ns, wall_ns
        self._renew()

    def rollover(self, mono_ns: int, wall_ns: int) -> None:
        """The venue starts its numbers again: log out, and the next Logon begins at 1 on both sides."""
        self._rolling = True
        self.logout("rollover", mono_ns, wall_ns)

    def reset_numbers(self, next_in: int, next_out: int, reason: str, wall_ns: int) -> None:
        """Operator's reset while disconnected or halted; leaves HALTED. SessionError when connected."""
        if self._write is not None:
            raise SessionError(f"{self.settings.name}: numbers cannot be set while {self._state.value}")
        self._wall_ns = wall_ns
        self._store.reset(wall_ns, next_out, next_in)
        self._unhalt()
        self._want_fresh(False)
        self._say(NumbersReset(next_in, next_out, reason))
