"""A FIX session behind the protocols of venues.interface: what trading, drop copy and market data have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from base.config import logs_marketdata
from base.errors import SessionError, StoreError, TransportError
from base.segments import SegmentSettings
from fix.codec import MdDecoder, Message
from fix.file_store import FileStore, StoreSettings, Sync
from fix.fixlog import FixLog
from fix.session import FixSession
from fix.session_events import (
    Disconnect,
    Disconnected,
    FieldDefect,
    GapClosed,
    GapOpened,
    Garbled,
    Halted,
    HeartbeatRoundTrip,
    LoggedOn,
    LoggedOut,
    NumbersReset,
    OddSent,
    Refused,
    RejectReceived,
    RejectSent,
    ResendServed,
    SessionEvent,
    State,
)
from fix.store import MemoryStore, MessageStore
from venues.dictionaries import session_dictionary, validated
from venues.fix_dialect import FixProfile, Notice, PlannedMove, Said
from venues.interface import SessionContext, SessionPhase, Sink

FAR_NS = 1 << 62
PROVING = "the venue has not confirmed our sequence numbers yet"
QUIET = "the venue wants a moment of quiet after its Logon"
_PHASES = {
    State.DISCONNECTED: SessionPhase.DISCONNECTED,
    State.HALTED: SessionPhase.DISCONNECTED,
    State.AWAIT_LOGON: SessionPhase.LOGGING_ON,
    State.LOGON_SENT: SessionPhase.LOGGING_ON,
    State.LOGGED_ON: SessionPhase.READY,
    State.RECOVERING: SessionPhase.RECOVERING,
    State.LOGOUT_SENT: SessionPhase.LOGGING_OUT,
    State.DISCONNECTING: SessionPhase.LOGGING_OUT,
}


def open_store(context: SessionContext) -> MessageStore:
    """The session's message store in `data_dir`; in memory without one."""
    if context.data_dir == Path():
        return MemoryStore(context.epoch)
    settings = StoreSettings(Sync(context.config.sync), SegmentSettings(recycle=True))
    return FileStore(context.data_dir, context.epoch, settings)


def _open_log(context: SessionContext, profile: FixProfile, kind: str = "") -> FixLog:
    settings = profile.settings
    name = f"{settings.name}-{settings.sender_comp_id}{kind}"
    return FixLog(context.log_dir, name, settings.secret_tags, context.log_bytes)


class FixVenueSession(ABC):
    """Owner of one FixSession; subclasses read application messages."""

    quiet_ns = 0
    """How long after the venue's Logon nothing of ours but cancels and the session's own messages leaves."""

    def __init__(
        self,
        context: SessionContext,
        sink: Sink,
        profile: FixProfile,
        store: MessageStore,
        reports: frozenset[str] = frozenset(),
    ) -> None:
        """`reports`: MsgTypes of the venue's own that are delivered however strict the session is."""
        self._name = context.name
        self._sink = sink
        self._profile = profile
        self._store = store
        self._log = _open_log(context, profile) if context.log_dir != Path() else None
        dictionary = session_dictionary(context, profile.settings.begin_string)
        settings = validated(profile.settings, context)
        settings = replace(settings, reports=settings.reports | reports)
        self._fix = FixSession(settings, store, self, self._log, profile.rules, dictionary)
        if self._log is not None and logs_marketdata(context.config):
            # In a file of its own: the feed would push out the logons and rejects that one looks for.
            self._fix.md_log = _open_log(context, profile, ".md")
        self.phase = SessionPhase.DISCONNECTED
        self._reason = ""
        self._mono_ns = self._wall_ns = 0
        self._wants_disconnect: str | None = None
        self._proving = False  # logged on, but what we sent before may still be asked for again
        self._held = (
            ""  # why a session that is logged on is not READY, where the venue replays by other means than FIX's
        )
        self._quiet_until_ns = 0
        self.round_trip = (0, 0)  # answers to our TestRequests so far, and how long the last one took in ns
        self._unhandled: set[str] = set()
        self._counters = dict.fromkeys(("messages", "unhandled", "garbled", "rejects", "resets", "gaps", "resends"), 0)

    # --- what the process calls

    @property
    def deadline_ns(self) -> int:
        """Monotonic time at which `tick` wants to be called."""
        deadline_ns = self._fix.deadline_ns
        deadline_ns = FAR_NS if deadline_ns is None else deadline_ns
        return min(deadline_ns, self._quiet_until_ns) if self._quiet_until_ns else deadline_ns

    def connected(self, write: Callable[[bytes], object], mono_ns: int, wall_ns: int) -> None:
        """The transport is up: log on."""
        self._now(mono_ns, wall_ns)
        self._fix.connected(write, mono_ns, wall_ns)
        self._settle()

    def received(self, data: memoryview | bytes, mono_ns: int, wall_ns: int) -> None:
        """Bytes from the venue."""
        self._now(mono_ns, wall_ns)
        try:
            self._fix.received(data, mono_ns, wall_ns)
        finally:
            self._settle()

    def disconnected(self, reason: str, mono_ns: int, wall_ns: int) -> None:
        """The transport is gone."""
        self._now(mono_ns, wall_ns)
        self._fix.disconnected(reason, mono_ns, wall_ns)
        self._settle()

    def tick(self, mono_ns: int, wall_ns: int) -> None:
        """Do what is due."""
        self._now(mono_ns, wall_ns)
        self._fix.tick(mono_ns, wall_ns)
        self._settle()

    def logout(self, reason: str, mono_ns: int, wall_ns: int) -> None:
        """Leave in order: Logout, its answer, disconnect."""
        self._now(mono_ns, wall_ns)
        self._fix.logout(reason, mono_ns, wall_ns)
        self._settle()

    def probe(self, mono_ns: int, wall_ns: int) -> None:
        """Ask the venue for a sign of life: `round_trip` has the answer. SessionError when it cannot be asked."""
        self._now(mono_ns, wall_ns)
        try:
            self._fix.test_request(mono_ns, wall_ns)
        finally:
            self._settle()

    @property
    def secret_tags(self) -> tuple[int, ...]:
        """Tags of its Logon that no log may show, beside those that none ever shows."""
        return self._profile.settings.secret_tags

    def numbers(self) -> tuple[int, int]:
        """Next outgoing and next expected incoming MsgSeqNum."""
        return self._fix.next_out, self._fix.next_in

    def counters(self) -> dict[str, int]:
        """Counts since the session was made; lines that the FIX logs could not take are among them."""
        lost = sum(log.lost for log in (self._log, self._fix.md_log) if log is not None)
        count, last_ns = self.round_trip
        trips = {"test_round_trips": count, "test_last_us": last_ns // 1000} if count else {}
        return {**self._counters, "fix_log_lost": lost, **trips}

    def reset_numbers(self, next_out: int, next_in: int, reason: str, wall_ns: int) -> None:
        """Set MsgSeqNum both ways while disconnected; leaves HALTED."""
        self._wall_ns = wall_ns
        self._fix.reset_numbers(next_in, next_out, reason, wall_ns)

    def halted(self) -> str:
        """Why it stands still over restarts, and the command that ends that; "" when it does not."""
        reason, settings = self._fix.halt_reason, self._fix.settings
        return f"HALTED: {reason}; to go on: {settings.reset_command.format(name=settings.name)}" if reason else ""

    def upkeep(self) -> bool:
        """Space and pages of the store ahead of time, so that no send has to wait for them."""
        return self._store.prepare()

    def sync(self) -> None:
        """The store on disk against a power cut."""
        self._store.sync()

    def close(self) -> None:
        """Give back store and log."""
        self._store.close()
        for log in (self._log, self._fix.md_log):
            if log is not None:
                log.close()

    # --- what the FIX session asks and says

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        """The dialect's Logon fields."""
        return self._profile.logon_body(seq_num, sending_time, wall_ns)

    def check_logon(self, logon: Message, wall_ns: int) -> str | None:
        """Nothing in the venue's Logon needs a refusal."""
        return None

    def on_message(self, message: Message, flags: int, defects: tuple[FieldDefect, ...]) -> None:
        """An application message: the common types here and in subclasses, the rest in the dialect."""
        self._counters["messages"] += 1
        if self._take(message, flags, defects):
            return
        said = self._profile.other(message)
        if said is None:
            self._not_handled(message)
            return
        for each in said:
            self._say(each)

    def on_batch(self, decoder: MdDecoder, messages: int) -> None:
        """Market data; only sessions that set a decoder get any."""
        raise SessionError(f"{self._name}: market data on a session that carries none")

    def on_event(self, event: SessionEvent) -> None:
        """Translate what the FIX session says of itself."""
        match event:
            case Disconnect(reason=reason):
                self._reason = reason
                self._wants_disconnect = reason
            case Disconnected(reason=reason):
                self._reason = self._reason or reason
                self._proving, self._quiet_until_ns = False, 0
                self._lost()
            case LoggedOn():
                self._reason = ""
                self._quiet_until_ns = self._mono_ns + self.quiet_ns if self.quiet_ns else 0
                self._prove(event)
            case HeartbeatRoundTrip(ns=ns):
                self._proving = False
                self.round_trip = (self.round_trip[0] + 1, ns)
            case LoggedOut(text=text, initiated=initiated):
                self._reason = text or ("logged out" if initiated else "the venue logged us out")
            case Refused(text=text):
                self._reason = f"logon refused: {text}"
                self._alert("critical", "logon_refused", text)
            case GapOpened(first=first, last=last):
                self._counters["gaps"] += 1
                self._reason = f"messages {first} to {last} are missing"
            case GapClosed():
                self._reason = ""
            case RejectReceived():
                self._counters["rejects"] += 1
                self._rejected(event)
            case RejectSent(ref_seq_num=seq, text=text):
                self._alert("warning", "reject_sent", f"message {seq} of the venue: {text}")
            case OddSent(msg_type=msg_type, seq_num=seq, tag=tag, text=text):
                self._alert(
                    "warning", "odd_sent", f"our 35={msg_type} {seq} is not as the dictionary has it: {tag}: {text}"
                )
            case Garbled(count=count, total=total):
                self._counters["garbled"] = total
                self._alert("warning", "garbled", f"{count} garbled messages skipped, {total} so far")
            case NumbersReset(reason=reason):
                self._counters["resets"] += 1
                self._renumbered()
            case Halted(reason=reason, command=command):
                self._reason = reason
                self._alert("critical", "halted", f"{reason}; to go on: {command}")
            case ResendServed(first=first, last=last, replayed=replayed):
                self._counters["resends"] += 1
                text = f"the venue asked for {first} to {last} again: {replayed} replayed, the rest gap-filled"
                self._alert("info", "resend_served", text)
                if self._proving:  # our TestRequest may be among what was filled: it is not answered then
                    self._fix.test_request(self._mono_ns, self._wall_ns)

    def _prove(self, event: LoggedOn) -> None:
        """Have the venue answer a TestRequest first where it may not have all that we sent: it asks again before that.

        An order sent into its ResendRequest would be gap-filled away with the rest of the range.
        """
        if self._store.may_be_behind or (self.sends_orders and not event.reset and event.next_out > 2):
            self._proving = True
            self._fix.test_request(self._mono_ns, self._wall_ns)

    # --- for subclasses

    sends_orders = False
    """Whether the order of what leaves after a logon matters: no READY then before our numbers are confirmed."""

    @abstractmethod
    def _take(self, message: Message, flags: int, defects: tuple[FieldDefect, ...]) -> bool:
        """Deal with a message; False when the type is not a common one of this kind of session."""

    def _rejected(self, event: RejectReceived) -> None:
        """A session-level Reject of something we sent."""
        text = f"35=3 of our 35={event.ref_msg_type or '?'} {event.ref_seq_num}: {event.text}"
        self._alert("warning", "rejected", text)

    def _renumbered(self) -> None:  # noqa: B027 - a hook that most leave alone
        """MsgSeqNums begin anew."""

    def _lost(self) -> None:  # noqa: B027
        """The connection is gone."""

    def _ready(self) -> None:  # noqa: B027
        """The phase has become READY; sending is allowed here."""

    def _say(self, said: Said) -> None:
        """Hand on what the dialect made of a message."""
        match said:
            case PlannedMove(seconds_left=seconds_left, text=text):
                self._sink.planned_move(seconds_left, text)
            case Notice(severity=severity, code=code, text=text):
                self._alert(severity, code, text)
            case _:
                self._say_further(said)

    def _say_further(self, said: Said) -> None:
        """What only some kinds of session understand; by default an event for the bus."""
        self._sink.event(said)  # type: ignore[arg-type]

    def _alert(self, severity: str, code: str, text: str) -> None:
        self._sink.alert(severity, code, f"{self._name}: {text}")

    def _send(self, msg_type: str, body: bytes, mono_ns: int, wall_ns: int, *, act_first: bool = False) -> int:
        """SessionError when nothing left: by state, full disk, or for want of a connection."""
        self._now(mono_ns, wall_ns)
        waits = self._waits()
        if waits and msg_type in self._profile.settings.order_types:
            raise SessionError(f"{self._name}: 35={msg_type} refused: {waits}")
        try:
            return self._fix.send(msg_type, body, mono_ns, wall_ns, act_first)
        except (TransportError, StoreError) as e:
            raise SessionError(f"{self._name}: 35={msg_type} was not sent: {e}") from e
        finally:
            self._settle()

    def _not_handled(self, message: Message) -> None:
        self._counters["unhandled"] += 1
        if message.msg_type not in self._unhandled and len(self._unhandled) < 64:
            self._unhandled.add(message.msg_type)
            self._alert("warning", "unhandled", f"35={message.msg_type} is not handled (said once for each type)")

    def _now(self, mono_ns: int, wall_ns: int) -> None:
        self._mono_ns, self._wall_ns = mono_ns, wall_ns

    def _waits(self) -> str:
        """Why a session that is logged on is not READY yet; "" when it may be."""
        if self._mono_ns >= self._quiet_until_ns:
            self._quiet_until_ns = 0
        return PROVING if self._proving else self._held or (QUIET if self._quiet_until_ns else "")

    def _settle(self) -> None:
        """After each call: tell the phase when it changed, then obey a wish to disconnect."""
        phase = _PHASES[self._fix.state]
        if phase is SessionPhase.READY and (waits := self._waits()):
            phase, self._reason = SessionPhase.RECOVERING, waits
        if phase != self.phase:
            if phase is SessionPhase.READY:
                self._reason = ""
                self._store.settled()
            self.phase = phase
            self._sink.phase(phase, self._reason)
            if phase is SessionPhase.READY:
                self._ready()
            if phase is SessionPhase.DISCONNECTED:
                self._reason = ""
        if self._wants_disconnect is not None:
            reason, self._wants_disconnect = self._wants_disconnect, None
            self._sink.disconnect(reason)
