"""What tests of venue sessions share: a hand-played venue, and sinks that remember."""

from collections.abc import Callable
from typing import Any

from base.config import Kind, SessionConfig, VenueConfig
from base.instruments import Instrument
from fix.codec import Framer, Message, encode
from ipc.events import AnyEvent
from venues.interface import BookRule, SessionContext, SessionPhase, VenueSession

SECOND = 1_000_000_000
WALL = 1_775_572_325_000_000_000  # 2026-04-07 14:32:05 UTC


class Heard:
    """A Sink that remembers."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []
        self.phases: list[tuple[SessionPhase, str]] = []
        self.alerts: list[tuple[str, str, str]] = []
        self.moves: list[tuple[int, str]] = []
        self.disconnects: list[str] = []

    def event(self, event: AnyEvent) -> None:
        self.events.append(event)

    def phase(self, phase: SessionPhase, reason: str) -> None:
        self.phases.append((phase, reason))

    def disconnect(self, reason: str) -> None:
        self.disconnects.append(reason)

    def planned_move(self, seconds_left: int, text: str) -> None:
        self.moves.append((seconds_left, text))

    def alert(self, severity: str, code: str, text: str) -> None:
        assert code != "odd_sent", text  # cancels and administrative messages pass the venue's dictionary, too
        self.alerts.append((severity, code, text))

    def codes(self) -> list[str]:
        return [code for _, code, _ in self.alerts]

    def one(self, kind: type[Any]) -> Any:
        found = [e for e in self.events if isinstance(e, kind)]
        assert len(found) == 1, (kind, self.events, self.alerts)
        return found[0]


class Change:
    """One change of a market-data record, unpacked (base/md_record.h)."""

    def __init__(self, words: list[int]) -> None:
        what, self.px, self.qty, self.key, self.time_ns = words
        self.side, self.action, self.aggressor = what & 255, what >> 8 & 255, what >> 16 & 255


class Record:
    """One market-data record, unpacked."""

    def __init__(self, words: list[int]) -> None:
        (
            n, self.instrument, self.kind, self.flags, self.checksum, self.first_id, self.last_id, self.seq_num,
            self.sending_ns, self.recv_ns, self.req_key, self.defect_tag,
        ) = words[:12]  # fmt: skip
        self.changes = [Change(words[12 + 5 * i : 17 + 5 * i]) for i in range(n)]


class Records:
    """A RecordSink that remembers."""

    def __init__(self) -> None:
        self.subscriptions: list[tuple[int, int, BookRule]] = []
        self.words: list[int] = []

    def subscribed(self, instrument: int, req_key: int, rule: BookRule) -> None:
        self.subscriptions.append((instrument, req_key, rule))

    def records(self, words: memoryview, n_words: int) -> None:
        self.words += list(words[:n_words])

    def take(self) -> list[Record]:
        out, at = [], 0
        while at < len(self.words):
            size = 12 + 5 * self.words[at]
            out.append(Record(self.words[at : at + size]))
            at += size
        self.words.clear()
        return out


class Venue:
    """The venue's end of one session, played by hand with messages made here."""

    def __init__(self, session: VenueSession, heard: Heard, ours: str, theirs: str) -> None:
        self.session = session
        self.heard = heard
        self.ours, self.theirs = ours, theirs
        self.mono = 10 * SECOND
        self.wall = WALL
        self.seq = 1
        self._framer = Framer()
        self._begin = "FIX.4.4"  # as the session's Logon has it

    def write(self, data: bytes) -> None:
        self._framer.feed(data)

    def take(self) -> list[Message]:
        """What the session sent since the last call."""
        return list(self._framer)

    def last(self, msg_type: str) -> Message:
        """The one message of that type which the session sent since the last call."""
        found = [m for m in self.take() if m.msg_type == msg_type]
        assert len(found) == 1, (msg_type, found)
        return found[0]

    def connect(self) -> Message:
        """Connect the session; its Logon."""
        self.seq = 1
        self.session.connected(self.write, self.mono, self.wall)
        logon = self.last("A")
        self._begin = logon.begin_string.decode()
        return logon

    def logon(self, body: bytes = b"98=0\x01108=30\x01") -> Message:
        """Connect and answer the Logon; the session's Logon."""
        logon = self.connect()
        reset = b"141=Y\x01" if logon.get_bool(141) else b""
        self.send("A", body + reset)
        return logon

    def send(self, msg_type: str, body: str | bytes = b"", header: bytes = b"") -> None:
        """Send a message of the venue; `body` may have | for SOH."""
        raw = body.replace("|", "\x01").encode() if isinstance(body, str) else body
        data = encode(self._begin, msg_type, self.theirs, self.ours, self.seq, self.wall, raw, extra_header=header)
        self.seq += 1
        self.feed(data)

    def feed(self, data: bytes) -> None:
        """Bytes as they stand."""
        self.session.received(data, self.mono, self.wall)

    def advance(self, ns: int) -> None:
        """Let time pass, ticking at the session's deadlines."""
        end = self.mono + ns
        while self.session.deadline_ns <= end:
            step = max(self.session.deadline_ns, self.mono + 1) - self.mono
            self.mono += step
            self.wall += step
            self.session.tick(self.mono, self.wall)
        self.wall += end - self.mono
        self.mono = end
        self.session.tick(self.mono, self.wall)


def context(
    dialect: str,
    kind: Kind,
    instruments: list[Instrument],
    ours: str,
    theirs: str,
    *,
    venue_options: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    level: int = 2,
    depth: int = 0,
    username: str = "",
    password: str = "",
    passphrase: str = "",
    **config: Any,
) -> SessionContext:
    """A context as a process would give it, without files."""
    venue = VenueConfig(dialect=dialect, instruments=[], options=venue_options or {})
    session = SessionConfig(
        venue=dialect, kind=kind, address="127.0.0.1:1", sender_comp_id=ours, target_comp_id=theirs, level=level,  # type: ignore[arg-type]
        depth=depth, options=options or {}, **config,
    )  # fmt: skip
    return SessionContext(
        name=f"{dialect}-{kind}", config=session, venue=venue, instruments=instruments, epoch=WALL,
        username=username, password=password, passphrase=passphrase,
    )  # fmt: skip


def raw(text: str) -> bytes:
    """Wire bytes out of text with | for SOH."""
    return text.replace("|", "\x01").encode()


Build = Callable[..., Any]
