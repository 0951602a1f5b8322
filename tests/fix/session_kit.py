"""A FIX session on a bench: hand-turned clock, hand-made peer, everything that came out in lists."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from base.clock import ManualClock
from fix.codec import MdDecoder, Message, encode
from fix.session import FixSession
from fix.session_events import FieldDefect, LoggedOn, SessionEvent, State
from fix.settings import Role, SessionSettings
from fix.store import MemoryStore, MessageStore

S = 1_000_000_000
E = TypeVar("E")

INITIATOR = SessionSettings("venue-trading", Role.INITIATOR, "DESK", "VENUE")
ACCEPTOR = SessionSettings("client-1", Role.ACCEPTOR, "VENUE", "DESK")


def settings(base: SessionSettings = INITIATOR, **changes: Any) -> SessionSettings:
    return replace(base, **changes)


class Recorder:
    """A SessionApp that remembers; hooks may be replaced on the instance."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, int, int, tuple[FieldDefect, ...], bytes]] = []
        self.events: list[SessionEvent] = []
        self.logons: list[tuple[int, bytes, int]] = []
        self.batches: list[int] = []
        self.refusal: str | None = None
        self.fail: Exception | None = None
        self.body = b""
        self.during: Callable[[Message], object] | None = None

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        self.logons.append((seq_num, sending_time, wall_ns))
        return self.body

    def check_logon(self, logon: Message, wall_ns: int) -> str | None:
        return self.refusal

    def on_message(self, message: Message, flags: int, defects: tuple[FieldDefect, ...]) -> None:
        if self.fail is not None:
            raise self.fail
        self.messages.append((message.msg_type, message.seq_num, flags, defects, message.raw))
        if self.during is not None:
            self.during(message)

    def on_batch(self, decoder: MdDecoder, messages: int) -> None:
        if self.fail is not None:
            raise self.fail
        self.batches.append(messages)

    def on_event(self, event: SessionEvent) -> None:
        self.events.append(event)

    def seqs(self) -> list[int]:
        return [seq for _, seq, *_ in self.messages]

    def events_of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]


class Rig:
    """One session and the peer that the test plays; `seq` is the peer's next number."""

    def __init__(self, given: SessionSettings = INITIATOR, store: MessageStore | None = None, log: Any = None) -> None:
        self.clock = ManualClock()
        self.settings = given
        self.store = store or MemoryStore(self.clock.wall_ns())
        self.app = Recorder()
        self.session = FixSession(given, self.store, self.app, log)
        self.wire: list[bytes] = []
        self.seq = 1

    # --- driving

    def connect(self) -> None:
        self.session.connected(self.wire.append, self.clock.mono_ns(), self.clock.wall_ns())

    def logon(self, **fields: Any) -> None:
        """Connect and exchange Logons; `out` is empty afterwards."""
        self.connect()
        body = fields.pop("body", b"98=0\x01108=30\x01")
        self.say("A", body, **fields)
        assert self.session.is_logged_on, self.app.events
        self.out()

    def peer(
        self, msg_type: str, body: bytes = b"", seq: int | None = None, *, dup: bool = False, header: bytes = b"",
        sender: str = "", target: str = "", begin: str = "FIX.4.4", time_ns: int | None = None,
    ) -> bytes:  # fmt: skip
        """A message of the peer's; without `seq` it takes the next number."""
        if seq is None:
            seq = self.seq
            self.seq += 1
        now = self.clock.wall_ns() if time_ns is None else time_ns
        if dup:
            header = b"43=Y\x01122=20250615-15:06:40.000\x01" + header
        own_target = self.settings.target_comp_id or "DESK"
        return encode(
            begin, msg_type, sender or own_target, target or self.settings.sender_comp_id, seq, now, body,
            extra_header=header,
        )  # fmt: skip

    def say(self, msg_type: str, body: bytes = b"", seq: int | None = None, **given: Any) -> None:
        self.feed(self.peer(msg_type, body, seq, **given))

    def feed(self, data: bytes) -> None:
        self.session.received(data, self.clock.mono_ns(), self.clock.wall_ns())

    def send(self, msg_type: str = "D", body: bytes = b"11=a\x01", **given: Any) -> int:
        return self.session.send(msg_type, body, self.clock.mono_ns(), self.clock.wall_ns(), **given)

    def tick(self) -> None:
        self.session.tick(self.clock.mono_ns(), self.clock.wall_ns())

    def wait(self, seconds: float) -> None:
        """Let time go by, calling `tick` at each deadline as a reactor would."""
        end = self.clock.mono_ns() + int(seconds * S)
        for _ in range(10_000):
            due = self.session.deadline_ns
            if due is None or due > end:
                break
            self.clock.advance(max(due - self.clock.mono_ns(), 0))
            self.tick()
        else:
            raise AssertionError("the deadline does not move")
        self.clock.advance(end - self.clock.mono_ns())

    def drop(self, reason: str = "reset by peer") -> None:
        self.session.disconnected(reason, self.clock.mono_ns(), self.clock.wall_ns())

    # --- looking

    def out(self) -> list[Message]:
        """What the session wrote since the last call."""
        sent, self.wire[:] = [Message.parse(raw) for raw in self.wire], []
        return sent

    def types(self) -> list[str]:
        return [message.msg_type for message in self.out()]

    def events(self, kind: type[E]) -> list[E]:
        return [event for event in self.app.events if isinstance(event, kind)]

    def event(self, kind: type[E]) -> E:
        found = self.events(kind)
        assert len(found) == 1, self.app.events
        return found[0]

    @property
    def state(self) -> State:
        return self.session.state


def logged_on(given: SessionSettings = INITIATOR, **more: Any) -> Rig:
    rig = Rig(given, **more)
    rig.logon()
    assert rig.events(LoggedOn)
    rig.app.events.clear()
    return rig
