"""The venue's own recovery: after a logon, what came after the last ExecID(17) we took in is asked for (F1 to F5).

F1 asks for the last ExecID there is; F2 tells it. Where it is another than ours, F3 asks for everything from ours on,
which comes as new messages with 97=Y and ends with F4 (a count) or is refused by F5. Until then nothing is READY.
It is beside FIX's own resend and does not depend on sequence numbers, so that it also holds after they began anew.
"""

from fix.codec import BodyWriter, Message
from fix.session_events import POSS_DUP, POSS_RESEND, FieldDefect, LoggedOn
from fix.store import MessageStore
from venues.fix_dialect import DropCopyProfile, TradingProfile
from venues.fix_session import FAR_NS, FixVenueSession
from venues.fix_trading import FixDropCopySession, FixTradingSession
from venues.interface import SessionContext, Sink

_MARK = "venue.exec_id"
_NS = 1_000_000_000
ANSWER_NS = 30 * _NS
"""Without a word of the replay for so long it has failed."""
AGAIN_NS = 2 * _NS
SAVE_NS = _NS
"""Between two writings of the mark: an older one only has more replayed."""
TRIES = 5
_AGAIN = {"3": "in progress", "4": "too many requests", "5": "server error"}
_NEVER = {"1": "the venue does not go back so far", "2": "end too large"}
_HELD = "what was missed is being had again (F1 to F5)"


class Replaying(FixVenueSession):
    """A session that has what it missed replayed by ExecID; `replays` switches it off."""

    replays = True

    def _start(self, store: MessageStore, replays: bool) -> None:
        self.replays = replays
        self._marks = store
        self._mark = store.meta.get(_MARK, b"").decode()  # last ExecID taken in, everything before it included
        self._newest = ""  # of what came live while older ones were still to be had
        self._tries = 0
        self._due_ns = FAR_NS
        self._asks = False  # when due: ask again, rather than give up
        self._saved, self._saved_ns = self._mark, 0
        if replays:
            self._counters |= {"breaks": 0, "replayed": 0}

    @property
    def deadline_ns(self) -> int:
        """Monotonic time at which `tick` wants to be called."""
        return min(super().deadline_ns, self._due_ns)

    def tick(self, mono_ns: int, wall_ns: int) -> None:
        """Do what is due; a replay that does not end is given up."""
        self._now(mono_ns, wall_ns)
        if mono_ns >= self._due_ns:
            self._due_ns = FAR_NS
            if self._asks:
                self._ask()
            else:
                self._failed("no answer")
        super().tick(mono_ns, wall_ns)

    def _prove(self, event: LoggedOn) -> None:
        super()._prove(event)
        self._tries, self._newest = 0, ""
        if not self.replays:
            return
        if self._mark:
            self._held = _HELD
        else:
            self._counters["breaks"] += 1  # nothing to go on from: what happened before is not known
        self._ask()

    def _ask(self) -> None:
        """F1: what is the last ExecID?"""
        self._wait(ANSWER_NS, asks=False)
        self._fix.send("F1", b"", self._mono_ns, self._wall_ns)

    def _wait(self, ns: int, *, asks: bool) -> None:
        self._asks, self._due_ns = asks, self._mono_ns + ns

    def _lost(self) -> None:
        super()._lost()
        self._held, self._due_ns = "", FAR_NS
        self._save()

    def _take(self, message: Message, flags: int, defects: tuple[FieldDefect, ...]) -> bool:
        match message.msg_type:
            case "F2":
                self._last_is(message.get_str(17) or "")
            case "F4":
                self._counters["replayed"] += message.get_int(22005) or 0
                self._caught_up()
            case "F5":
                self._refused(message.get_str(22006) or "", message.get_str(58) or "")
            case _:
                taken = super()._take(message, flags, defects)  # type: ignore[safe-super]  # the sessions have it
                if message.msg_type == "8":
                    self._took(message.get_str(17) or "", again=bool(flags & (POSS_DUP | POSS_RESEND)))
                return taken
        return True

    def _took(self, exec_id: str, *, again: bool) -> None:
        if not exec_id or not self.replays:
            return
        if not self._held:
            self._set(exec_id)
            return
        self._wait(ANSWER_NS, asks=False)  # it goes on
        if not again:
            self._newest = exec_id

    def _last_is(self, exec_id: str) -> None:
        if not self._held:
            self._due_ns = FAR_NS
            if exec_id and not self._mark:
                self._set(exec_id)
            return
        if exec_id in ("", self._mark):
            self._caught_up()
            return
        self._newest = self._newest or exec_id
        body = BodyWriter()
        body.text(22003, self._mark)
        self._wait(ANSWER_NS, asks=False)
        self._fix.send("F3", body.take(), self._mono_ns, self._wall_ns)

    def _caught_up(self) -> None:
        """All up to the last ExecID that F2 told, or that came live since, is here."""
        self._held, self._due_ns = "", FAR_NS
        if self._newest:
            self._set(self._newest)

    def _refused(self, reason: str, text: str) -> None:
        self._tries += 1
        what = f"{_AGAIN.get(reason) or _NEVER.get(reason) or reason}: {text}".rstrip(": ")
        if reason not in _AGAIN or self._tries >= TRIES:
            self._failed(what)
            return
        self._alert("warning", "replay", f"replay refused, asked for again: {what}")
        self._wait(AGAIN_NS, asks=True)

    def _failed(self, why: str) -> None:
        """Go on without: orders in doubt stay so."""
        held, self._held, self._due_ns = self._held, "", FAR_NS
        if not held:
            return
        self._counters["breaks"] += 1
        self._alert("critical", "replay", f"what came after ExecID {self._mark} could not be had again: {why}")
        if self._newest:
            self._set(self._newest)

    def _set(self, exec_id: str) -> None:
        self._mark = exec_id
        if self._mono_ns - self._saved_ns >= SAVE_NS:
            self._save()

    def _save(self) -> None:
        if self._mark != self._saved:
            self._marks.set_meta(_MARK, self._mark.encode())
            self._saved, self._saved_ns = self._mark, self._mono_ns


class ReplayedTrading(Replaying, FixTradingSession):
    """Order entry."""

    def __init__(
        self, context: SessionContext, sink: Sink, profile: TradingProfile, store: MessageStore, *, replays: bool
    ) -> None:
        super().__init__(context, sink, profile, store)
        self._start(store, replays)


class ReplayedDropCopy(Replaying, FixDropCopySession):
    """Copies of reports, busts and corrections among them."""

    def __init__(
        self, context: SessionContext, sink: Sink, profile: DropCopyProfile, store: MessageStore, *, replays: bool
    ) -> None:
        super().__init__(context, sink, profile, store)
        self._start(store, replays)
