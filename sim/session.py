"""The venue's side of a FIX session: an acceptor without I/O, its habits given by a `Profile`.

Bytes go in; bytes go out through a callback; what is addressed to the venue's business goes to its `App`. Time comes
from a clock that tests turn by hand. `Numbers` outlive connections: sequence numbers and, where the venue replays, what
was sent.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from base.clock import Clock
from sim import timetext
from sim.wire import Field, Framer, Garbled, Message, encode, number, wrap

SECOND_NS = 1_000_000_000
ADMIN = frozenset("A012345")


@dataclass(frozen=True, slots=True)
class Profile:
    """Habits of a venue's session layer."""

    begin: str = "FIX.4.4"
    header: tuple[int, ...] = (49, 56, 34, 52)  # order after 35
    length_digits: int = 0
    time_digits: int = 3
    sender_sub_id: str = ""  # SenderSubID(50) of reports, where the header has it
    replays: bool = True  # answers ResendRequest with originals; False: the venue knows no resend at all
    replay_types: frozenset[str] | None = None  # message types that are kept for replay; None = every application one
    reset_each_logon: bool = False  # 141=Y is required and numbers begin at 1 with each connection
    echo_credentials: bool = False
    keep: int = 200_000  # messages kept for replay
    sub_id: str = ""  # SenderSubID(50), where `header` has it
    theirs_restart: bool = False  # the client's numbers begin at 1 with each connection; ours go on unless 141 is Y
    resend_most: int = 0  # numbers that one ResendRequest may ask for, its end named; 0 = any
    test_after: float = 1.2  # TestRequest after this many heartbeat intervals of silence
    drop_after: float = 2.4
    logout_text: str = ""
    explains: bool = True  # says in a Logout why it ends a session whose number is too low; False: not a word
    reset_mode: bool = True  # takes a SequenceReset without GapFillFlag
    unresponsive_text: str = "Session unresponsive"


@dataclass(slots=True)
class Numbers:
    """What one session (pair of comp ids) keeps over its connections."""

    next_in: int = 1
    next_out: int = 1
    kept: OrderedDict[int, tuple[str, list[Field], str]] = field(default_factory=OrderedDict)

    def reset(self) -> None:
        self.next_in = self.next_out = 1
        self.kept.clear()

    def take(self, profile: "Profile", msg_type: str, body: list[Field] | None, wall_ns: int) -> int:
        """The next outgoing number; `body` is what a replay would say, None when it would say nothing."""
        seq = self.next_out
        self.next_out += 1
        wanted = profile.replay_types is None or msg_type in profile.replay_types
        if body is not None and profile.replays and wanted and msg_type not in ADMIN:
            self.kept[seq] = (msg_type, body, timetext.date_time(wall_ns, profile.time_digits))
            if len(self.kept) > profile.keep:
                self.kept.popitem(last=False)
        return seq


class App(Protocol):
    """The venue behind a session."""

    def authenticate(self, session: "Acceptor", logon: Message) -> "Refusal | None":
        """Accept (None) or refuse a logon. On acceptance `session.numbers` must be set."""
        ...

    def not_first(self, session: "Acceptor", message: Message) -> "Refusal":
        """How a first message that is no Logon is met."""
        ...

    def logon_fields(self, session: "Acceptor", logon: Message) -> list[Field]:
        """Body of the answering Logon."""
        ...

    def logged_on(self, session: "Acceptor", logon: Message) -> None: ...
    def message(self, session: "Acceptor", message: Message) -> None: ...
    def logged_out(self, session: "Acceptor") -> None: ...
    def garbled(self, session: "Acceptor", what: Garbled) -> None: ...
    def resend(self, session: "Acceptor", message: Message) -> bool:
        """A ResendRequest came. False: the venue does not serve it."""
        ...

    def bad_sequence(self, session: "Acceptor", message: Message) -> bool:
        """A venue without resend met a wrong number. True: the message is processed none the less."""
        ...

    def filter_out(self, session: "Acceptor", msg_type: str, data: bytes) -> bytes | None:
        """Last word on what leaves: None when it was held back by a fault."""
        ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a logon is refused: `fields` of a message of `msg_type`, or nothing but a closed socket ("")."""

    msg_type: str = "5"
    fields: tuple[Field, ...] = ()


class Acceptor:
    """One connection's session."""

    def __init__(
        self,
        app: App,
        profile: Profile,
        clock: Clock,
        write: Callable[[bytes], object],
        close: Callable[[], object],
    ) -> None:
        self.app = app
        self.profile = profile
        self.clock = clock
        self.numbers = Numbers()
        self.sender = ""  # the client's comp id
        self.target = ""  # ours, as the client calls us
        self.active = False
        self.closed = False
        self.heartbeat_ns = 30 * SECOND_NS
        self.counters = {"in": 0, "out": 0, "garbled": 0, "rejects": 0}
        self._write = write
        self._close = close
        self._framer = Framer()
        self._last_in = self._last_out = clock.mono_ns()
        self._test_sent = False
        self._waiting: dict[int, Message] = {}  # beyond a gap
        self._asked_to = 0

    # -- in -------------------------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """Bytes of the client."""
        self._last_in, self._test_sent = self.clock.mono_ns(), False
        for item in self._framer.feed(data):
            if self.closed:
                return
            if isinstance(item, Garbled):
                self.counters["garbled"] += 1
                self.app.garbled(self, item)
                continue
            self.counters["in"] += 1
            self._take(item)

    def tick(self) -> None:
        """Heartbeats and patience; to be called several times a heartbeat."""
        if not self.active:
            return
        mono_ns = self.clock.mono_ns()
        silent = mono_ns - self._last_in
        if silent > self.heartbeat_ns * self.profile.drop_after:
            self.logout(self.profile.unresponsive_text)
            self.end()
        elif silent > self.heartbeat_ns * self.profile.test_after and not self._test_sent:
            self._test_sent = True
            self.send("1", [(112, str(self.clock.wall_ns() // 1_000_000))])
        elif mono_ns - self._last_out >= self.heartbeat_ns:
            self.send("0", [])

    def _take(self, message: Message) -> None:
        if not self.active:
            self._logon(message)
            return
        if message.msg_type == "4" and message.get(123) != "Y":
            self._reset_to(message)
            return
        seq, expected = message.seq, self.numbers.next_in
        if message.get(49) != self.sender or message.get(56) != self.target:
            self.reject(message, 9, "CompID problem", 49)
            self.logout("CompID problem")
            self.end()
        elif seq == expected:
            self._in_order(message)
        elif not self.profile.replays:
            if self.app.bad_sequence(self, message):
                self._in_order(message)
        elif seq > expected:
            self._gap(message)
        elif message.get(43) != "Y":
            if self.profile.explains:
                self.logout(f"MsgSeqNum too low, expecting {expected} but received {seq}")
            self.end()

    def _in_order(self, message: Message) -> None:
        self.numbers.next_in += 1
        self._process(message)
        while (nxt := self._waiting.pop(self.numbers.next_in, None)) is not None and not self.closed:
            self.numbers.next_in += 1
            self._process(nxt)

    def _gap(self, message: Message) -> None:
        kind, seq = message.msg_type, message.seq
        if kind == "2":  # answer the peer's request before asking our own, or two ends wait for each other
            self._asked_again(message)
        if kind == "5":
            self._process(message)
            return
        self._waiting[seq] = Message([(35, "0")]) if kind == "2" else message
        if seq > self._asked_to:
            first = max(self._asked_to + 1, self.numbers.next_in)
            self._asked_to = seq - 1
            if first <= seq - 1:
                self.send("2", [(7, str(first)), (16, str(seq - 1))])

    def _reset_to(self, message: Message) -> None:
        new = number(message.get(36), 0)
        if not self.profile.reset_mode:
            self.reject(message, 5, "SequenceReset without GapFillFlag is not supported", 123)
            self.numbers.next_in += message.seq == self.numbers.next_in
            return
        if new < self.numbers.next_in:
            self.reject(message, 5, f"NewSeqNo {new} is below the expected {self.numbers.next_in}", 36)
            return
        self.numbers.next_in = new
        self._waiting = {n: m for n, m in self._waiting.items() if n >= new}

    def _process(self, message: Message) -> None:
        kind = message.msg_type
        if kind == "1":
            self.send("0", [(112, message.get(112))])
        elif kind == "2":
            self._asked_again(message)
        elif kind == "4":
            self._gap_fill(message)
        elif kind == "5":
            self._logout(message)
        elif kind in {"0", "3"}:
            pass
        else:
            self.app.message(self, message)

    def _gap_fill(self, message: Message) -> None:
        new = number(message.get(36), 0)
        if new > self.numbers.next_in:
            self.numbers.next_in = new
            self._waiting = {n: m for n, m in self._waiting.items() if n >= new}

    def _logon(self, message: Message) -> None:
        if message.msg_type != "A":
            self._refuse(self.app.not_first(self, message), message)
            return
        self.sender, self.target = message.get(49), message.get(56)
        refusal = self.app.authenticate(self, message)
        if refusal is not None:
            self._refuse(refusal, message)
            return
        reset = message.get(141, "Y" if self.profile.theirs_restart else "N") == "Y"
        if reset or self.profile.reset_each_logon:
            self.numbers.reset()
        if self.profile.theirs_restart:
            self.numbers.next_in = 1
        expected, seq = self.numbers.next_in, message.seq
        if seq < expected:
            text = f"MsgSeqNum too low, expecting {expected} but received {seq}"
            self._refuse(Refusal("5", ((58, text),)) if self.profile.explains else Refusal(""), message)
            return
        self.active = True
        self.heartbeat_ns = max(1, number(message.get(108), 30)) * SECOND_NS
        self._answer_logon(message, reset)
        if seq > expected:
            self._asked_to = seq - 1
            self._waiting[seq] = Message([(35, "0")])
            self.send("2", [(7, str(expected)), (16, str(seq - 1))])
        else:
            self.numbers.next_in += 1
        self.app.logged_on(self, message)

    def _answer_logon(self, message: Message, reset: bool) -> None:
        fields = self.app.logon_fields(self, message)
        if reset or not self.profile.theirs_restart:
            self.send("A", fields)
            return
        # The Logon carries 1 whatever our numbers are; a gap fill behind it says which one is next.
        self.numbers.next_out = max(self.numbers.next_out, 2)
        self._out("A", 1, fields, [])
        self._out("4", 2, [(36, str(self.numbers.next_out)), (123, "Y")], [])

    def _refuse(self, refusal: Refusal, message: Message) -> None:
        if refusal.msg_type:
            if not self.profile.replays:
                self.numbers = Numbers()
            self.send(refusal.msg_type, list(refusal.fields))
        self.end()

    def _logout(self, message: Message) -> None:
        text = self.profile.logout_text
        self.send("5", [(58, text)] if text else [])
        self.app.logged_out(self)
        self.end()

    def _asked_again(self, message: Message) -> None:
        if self.app.resend(self, message):
            self._resend(message)

    def _resend(self, message: Message) -> None:
        first = number(message.get(7), 1)
        last = number(message.get(16), 0)
        most = self.profile.resend_most
        if most and not first <= last < first + most:
            self.reject(message, 5, f"EndSeqNo (16) must name the last of at most {most} messages", 16)
            return
        last = last or self.numbers.next_out - 1
        last, gap_from = min(last, self.numbers.next_out - 1), 0
        for seq in range(max(first, 1), last + 1):
            kept = self.numbers.kept.get(seq)
            if kept is None:
                gap_from = gap_from or seq
                continue
            if gap_from:
                self._fill(gap_from, seq)
                gap_from = 0
            self._replay(seq, *kept)
        if gap_from:
            self._fill(gap_from, last + 1)

    def _fill(self, seq: int, new_seq: int) -> None:
        sent = timetext.date_time(self.clock.wall_ns(), self.profile.time_digits)
        self._out("4", seq, [(123, "Y"), (36, str(new_seq))], [(43, "Y"), (122, sent)])

    def _replay(self, seq: int, msg_type: str, body: list[Field], sent: str) -> None:
        self._out(msg_type, seq, body, [(43, "Y"), (122, sent)])

    # -- out ------------------------------------------------------------------------------------------------------

    def send(self, msg_type: str, body: Iterable[Field], *, keep: bool = True) -> None:
        """Number, keep for replay, write."""
        fields = list(body)
        seq = self.numbers.take(self.profile, msg_type, fields if keep else None, self.clock.wall_ns())
        self._out(msg_type, seq, fields, [])

    def send_rendered(self, msg_type: str, body: bytes) -> None:
        """A body rendered beforehand (market data): numbered, never kept."""
        seq = self.numbers.take(self.profile, msg_type, None, 0)
        head = "".join(f"{t}={v}\x01" for t, v in self._head(msg_type, seq)).encode()
        self._emit(msg_type, wrap(self.profile.begin, head + body, self.profile.length_digits))

    def reject(self, message: Message, reason: int, text: str, tag: int = 0, more: Iterable[Field] = ()) -> None:
        """Session-level Reject (35=3)."""
        self.counters["rejects"] += 1
        fields: list[Field] = [(45, str(max(message.seq, 0)))]
        if tag:
            fields.append((371, str(tag)))
        fields += [(372, message.msg_type), (373, str(reason)), *more, (58, text)]
        self.send("3", fields, keep=False)

    def logout(self, text: str) -> None:
        """Say Logout; the connection stays until `end`."""
        self.send("5", [(58, text)] if text else [])

    def end(self) -> None:
        """Close the connection once what was written has left."""
        self.active = False
        if not self.closed:
            self.closed = True
            self._close()

    def _head(self, msg_type: str, seq: int) -> list[Field]:
        known = {
            49: self.target or "VENUE",
            56: self.sender,
            34: str(seq),
            50: self.profile.sub_id,
            369: str(self.numbers.next_in - 1),
            52: timetext.date_time(self.clock.wall_ns(), self.profile.time_digits),
        }
        if msg_type == "8" and self.profile.sender_sub_id:
            known[50] = self.profile.sender_sub_id
        return [(35, msg_type), *((tag, known[tag]) for tag in self.profile.header if tag in known)]

    def _out(self, msg_type: str, seq: int, body: list[Field], head: list[Field]) -> None:
        p = self.profile
        self._emit(msg_type, encode(p.begin, [*self._head(msg_type, seq), *head], body, p.length_digits))

    def _emit(self, msg_type: str, data: bytes) -> None:
        self._last_out = self.clock.mono_ns()
        self.counters["out"] += 1
        passed = self.app.filter_out(self, msg_type, data)
        if passed is not None:
            self._write(passed)
