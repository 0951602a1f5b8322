"""Ground of a FIX session: state, output, deadlines, endings. The layers above add recovery, logon and reading."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from base.errors import CodecError, SessionError, TransportError
from fix._codec import FieldRules, Framer, Message, encode, format_utc
from fix.session_app import SessionApp
from fix.session_events import Disconnect, FieldDefect, Halted, NumbersReset, OddSent, SessionEvent, State
from fix.session_gap import Gap
from fix.settings import SECOND_NS, Role, SessionSettings, Validation

if TYPE_CHECKING:
    from fix.dictionary import Dictionary, Fault
    from fix.fixlog import FixLog
    from fix.store import MessageStore

MAX_SEQ_NUM = 1 << 62
"""Numbers above it are taken for nonsense: counting on from them would leave 64 bits."""

_FRESH = "session.fresh"
_HALTED = "session.halted"
ALWAYS_LEAVES = frozenset({"0", "1", "2", "3", "4", "5", "A", "F", "K", "Z", "q", "j"})
"""Administrative messages, cancels and refusals: no dictionary holds them back."""
_UP = (State.LOGGED_ON, State.RECOVERING)


class SessionCore:
    """State and output of one session; see FixSession for the whole."""

    def __init__(
        self,
        settings: SessionSettings,
        store: "MessageStore",
        app: SessionApp,
        log: "FixLog | None" = None,
        rules: FieldRules | None = None,
        dictionary: "Dictionary | None" = None,
    ) -> None:
        self.settings = settings
        self._store = store
        self._app = app
        self._log = log
        self._rules = rules
        self._check = dictionary.check if dictionary and settings.validation is not Validation.OFF else None
        self._check_out = dictionary.check if dictionary else None
        self._odd: set[tuple[str, int]] = set()  # what was told of messages that break the dictionary's rules
        self._begin = settings.begin_string.encode()
        self._sender = settings.sender_comp_id.encode()
        self._target = settings.target_comp_id.encode()
        self._framer = Framer(settings.max_body_length, rules)
        self._gap = Gap(settings.gap_buffer)
        self._write: Callable[[bytes], object] | None = None
        self._state = State.HALTED if _HALTED in store.meta else State.DISCONNECTED
        self._state_deadline_ns = 0
        self._deadline_ns: int | None = None
        self._heartbeat_ns = settings.heartbeat_s * SECOND_NS
        self._latency_ns = settings.max_latency_s * SECOND_NS
        self._mono_ns = self._wall_ns = 0
        self._last_in_ns = self._last_out_ns = 0
        self._clean = False
        self._order_types = settings.order_types

    # --- what others read

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self._state

    @property
    def is_logged_on(self) -> bool:
        """True in LOGGED_ON and RECOVERING: `send` is allowed."""
        return self._state in _UP

    @property
    def next_in(self) -> int:
        """MsgSeqNum expected next from the peer."""
        return self._store.next_in

    @property
    def next_out(self) -> int:
        """MsgSeqNum that our next message will carry."""
        return self._store.next_out

    @property
    def epoch(self) -> int:
        """Count of numberings: (epoch, MsgSeqNum) names a message for good."""
        return self._store.epoch

    @property
    def target_comp_id(self) -> str:
        """Who the peer is; '' for an acceptor that has not learnt it yet."""
        return self._target.decode()

    @property
    def deadline_ns(self) -> int | None:
        """Monotonic time at which `tick` must be called at the latest; None while disconnected or halted."""
        return self._deadline_ns

    @property
    def last_received_ns(self) -> int:
        """Monotonic time of the last readable message."""
        return self._last_in_ns

    @property
    def halt_reason(self) -> str:
        """Why the session is halted; '' when it is not."""
        return self._store.meta.get(_HALTED, b"").decode()

    # Beyond 30 attributes an instance is slower to read, so what the settings say is asked of them.

    @property
    def _initiator(self) -> bool:
        return self.settings.role is Role.INITIATOR

    @property
    def _strict(self) -> bool:
        return self.settings.validation is Validation.REJECT

    # --- state and events

    def _reading(self) -> bool:
        return self._write is not None and self._state is not State.DISCONNECTING

    def _say(self, event: SessionEvent) -> None:
        self._app.on_event(event)

    def _enter(self, state: State, timeout_ns: int = 0) -> None:
        self._state = state
        self._state_deadline_ns = self._mono_ns + timeout_ns if timeout_ns else 0
        self._hasten(self._state_deadline_ns)

    def _hasten(self, at_ns: int) -> None:
        """Bring the deadline forward; a tick that comes too early only computes it anew."""
        if at_ns and (self._deadline_ns is None or at_ns < self._deadline_ns):
            self._deadline_ns = at_ns

    @property
    def _fresh(self) -> bool:
        return _FRESH in self._store.meta

    def _want_fresh(self, fresh: bool) -> None:
        """Remember, past the end of the process too, that the next Logon must carry 141=Y."""
        if fresh != self._fresh:
            self._store.set_meta(_FRESH, b"Y" if fresh else b"")

    def _reset_numbers(self, reason: str, next_in: int = 1, next_out: int = 1) -> None:
        self._gap.clear()
        self._store.reset(self._wall_ns, next_out, next_in)
        self._say(NumbersReset(next_in, next_out, reason))

    # --- endings

    def _end(self, reason: str, fresh: bool = False) -> None:
        """Ask for the connection to be closed; `fresh` makes an initiator's next Logon start at 1."""
        if self._state is State.DISCONNECTING or self._write is None:
            return
        fresh = fresh and self._initiator
        if fresh:
            self._want_fresh(True)
        self._enter(State.DISCONNECTING, self.settings.logout_timeout_ns)
        self._say(Disconnect(reason, fresh))

    def _logout_and_end(self, reason: str, fresh: bool = False) -> None:
        if self._state is not State.DISCONNECTING:
            self._send_admin("5", text_field(reason))
        self._end(reason, fresh)

    def _begin_logout(self, text: str) -> None:
        """Ask for the end in order; the peer's Logout or the deadline brings it."""
        self._send_admin("5", text_field(text))
        if self._state is not State.DISCONNECTING:
            self._enter(State.LOGOUT_SENT, self.settings.logout_timeout_ns)

    def _halt(self, reason: str) -> None:
        """Stop until an operator has looked: kept in the store, so that a restart does not forget it."""
        self._halt_quietly(reason)
        self._logout_and_end(reason)

    def _halt_quietly(self, reason: str) -> None:
        self._store.set_meta(_HALTED, reason.encode())
        self._say(Halted(reason, self.settings.reset_command.format(name=self.settings.name)))

    def _unhalt(self) -> None:
        self._store.set_meta(_HALTED, b"")
        if self._state is State.HALTED:
            self._state = State.DISCONNECTED

    # --- output

    def _send(self, message: bytes, seq: int, act_first: bool = False) -> None:
        """Store, then write: a number that left is never used again, whatever happens in between.

        CodecError when the dictionary has something against a request; what must always leave does, and is told of.
        TransportError when the connection is gone: the message is stored then, and its fate is not known.
        """
        write = self._write
        if write is None:
            raise SessionError(f"{self.settings.name}: not connected")
        fault = None if self._check_out is None else self._fault_out(message, act_first)
        if act_first:
            write(message)
            self._store.sent(seq, message)
        else:
            self._store.sent(seq, message)
            write(message)
        self._last_out_ns = self._mono_ns
        if self._log is not None:
            self._log.put(self._wall_ns, False, message)
        if fault is not None:
            self._say_odd(message, seq, fault)

    def _fault_out(self, message: bytes, act_first: bool) -> "Fault | None":
        """Strict out: what the dictionary has against a message of ours that leaves all the same."""
        fault = self._check_out(message) if self._check_out is not None else None
        if fault is not None and not act_first and (msg_type := _type_of(message)) not in ALWAYS_LEAVES:
            where = f"tag {fault.tag}: " if fault.tag else ""
            raise CodecError(f"{self.settings.name}: 35={msg_type} was not sent: {where}{fault.text}")
        return fault

    def _say_odd(self, message: bytes, seq: int, fault: "Fault") -> None:
        """Once for each message type and tag."""
        msg_type = _type_of(message)
        if (msg_type, fault.tag) not in self._odd:
            self._odd.add((msg_type, fault.tag))
            self._say(OddSent(msg_type, seq, fault.tag, fault.text))

    def _encode(self, msg_type: str | bytes, seq: int, body: bytes, header: bytes = b"") -> bytes:
        settings = self.settings
        if settings.last_processed:
            header += b"369=%d\x01" % (self._store.next_in - 1)
        return encode(
            self._begin, msg_type, self._sender, self._target, seq, self._wall_ns, body,
            extra_header=header + settings.extra_header, time_digits=settings.sending_time_digits, rules=self._rules,
        )  # fmt: skip

    def _send_admin(self, msg_type: str, body: bytes = b"", route: bytes = b"") -> None:
        if self._state is State.DISCONNECTING:
            return
        seq = self._store.next_out
        try:
            self._send(self._encode(msg_type, seq, body, route), seq)
        except TransportError as error:
            self._end(f"write failed: {error}")

    def _write_again(self, message: bytes) -> None:
        """Write what is not a new number: replays and gap fills."""
        if self._write is None or self._state is State.DISCONNECTING:
            return
        try:
            self._write(message)
        except TransportError as error:
            self._end(f"write failed: {error}")
            return
        self._last_out_ns = self._mono_ns
        if self._log is not None:
            self._log.put(self._wall_ns, False, message)

    def _sending_time(self) -> bytes:
        return format_utc(self._wall_ns, self.settings.sending_time_digits)


def text_field(text: str) -> bytes:
    """Text(58), printable ASCII only: strict out."""
    clean = "".join(c if " " <= c <= "~" else "?" for c in text)
    return b"58=%s\x01" % clean.encode() if clean else b""


def read_int(message: Message, tag: int) -> int | None:
    """An integer field of an administrative message; None when absent or unreadable."""
    try:
        return message.get_int(tag)
    except CodecError:
        return None


def field_defects(message: Message) -> tuple[FieldDefect, ...]:
    """What the codec found wrong with a message, in words."""
    return tuple(
        FieldDefect(defect.tag, f"{defect.kind.name.lower().replace('_', ' ')} at offset {defect.offset}")
        for defect in message.defects
    )


def _type_of(message: bytes) -> str:
    """MsgType of a message of our own making: its third field."""
    return message.split(b"\x01", 3)[2][3:].decode()
