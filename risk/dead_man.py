"""A venue's dead man's timer: armed, renewed only by health that really passed, re-armed after it fired. Pure.

Times of calls are monotonic ns. One request is under way at a time; its answer comes back through `answered`. Of an
answer that never came nobody knows whether the venue took the request: both readings are kept in mind.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import TypeAlias

import msgspec

from risk.kill_actions import Tell

SECOND_NS = 1_000_000_000
RETRY_NS = SECOND_NS
RENEWALS = 4  # within one span of the timer: three may fail before it fires


class Health(msgspec.Struct, frozen=True):
    """One look at what the timer stands for. Both texts empty: it passed."""

    why: str = ""  # what did not pass: the timer is not renewed, and runs out
    excuse: str = ""  # why the timer must not run now although nothing is wrong: it is disabled, and that is said


class TimerState(StrEnum):
    """Where a timer stands, as far as this side knows."""

    OFF = "OFF"  # never armed
    ARMED = "ARMED"
    LAPSING = "LAPSING"  # not renewed any more, and running out
    FIRED = "FIRED"  # it has run out
    DISABLED = "DISABLED"  # knowingly


class SetTimer(msgspec.Struct, frozen=True):
    """Ask the venue to start its timer anew; 0 seconds: to disable it."""

    venue: str
    seconds: int


class Look(msgspec.Struct, frozen=True):
    """The timer has run out: take in what became of the venue's orders."""

    venue: str


TimerAction: TypeAlias = SetTimer | Look | Tell


class DeadMan:
    """The timer of one venue's account."""

    def __init__(self, venue: str, timeout_s: int) -> None:
        self.venue, self.timeout_s = venue, timeout_s
        self.state = TimerState.OFF
        self.why = ""  # of the state, for people
        self.fired = 0  # times
        self._timeout_ns = timeout_s * SECOND_NS
        self.renew_ns = max(self._timeout_ns // RENEWALS, SECOND_NS // 4)
        self._from_ns = 0  # when the last request that the venue took was sent; 0: the timer does not run
        self._perhaps_ns = 0  # until then it may run by a request whose answer never came
        self._asked_ns = 0  # when the request under way was sent; 0: there is none
        self._asked_s = 0
        self._next_ns = 0
        self._failing = False
        self._again = False  # it fired, and was not armed since

    @property
    def runs(self) -> bool:
        """Whether the venue's timer may be running."""
        return bool(self._from_ns or self._perhaps_ns or (self._asked_ns and self._asked_s))

    @property
    def fires_ns(self) -> int:
        """Monotonic time at which it fires at the earliest; 0 when it does not run."""
        return self._from_ns + self._timeout_ns if self._from_ns else 0

    def tick(self, health: Health, mono_ns: int) -> list[TimerAction]:
        """A look at health; call it several times a renewal."""
        out = list(self._fire(mono_ns))
        if self._perhaps_ns and mono_ns >= self._perhaps_ns:
            self._perhaps_ns = 0
        if health.excuse:
            return [*out, *self._disable(health.excuse, mono_ns)]
        if health.why:
            return [*out, *self._lapse(health.why, mono_ns)]
        if self.state is TimerState.LAPSING:
            self.state, self.why, self._next_ns = TimerState.ARMED, "", 0
        if not self._asked_ns and mono_ns >= self._next_ns:
            out.append(self._ask(self.timeout_s, mono_ns))
        return out

    def answered(self, why: str, mono_ns: int) -> list[TimerAction]:
        """The request under way ended: taken ("" as `why`), or not, or nobody knows."""
        asked_ns, seconds = self._asked_ns, self._asked_s
        self._asked_ns = 0
        if why:
            return list(self._failed(why, seconds, mono_ns))
        self._failing = False
        self._perhaps_ns = 0
        before, self.why = self.state, ""
        if not seconds:
            self._from_ns = 0
            self.state = TimerState.DISABLED
            return []
        self._from_ns, self._next_ns = asked_ns, asked_ns + self.renew_ns
        self.state = TimerState.ARMED
        if self._again:
            self._again = False
            return [self._tell("warning", "armed again after it fired")]
        return [] if before in (TimerState.ARMED, TimerState.LAPSING) else [self._tell("info", self._armed())]

    def disable(self, excuse: str, mono_ns: int) -> list[TimerAction]:
        """Knowingly and now, as at an orderly stop; nothing when it does not run."""
        return list(self._disable(excuse, mono_ns))

    # -- inside ------------------------------------------------------------------------------------------------

    def _fire(self, mono_ns: int) -> Iterator[TimerAction]:
        if not self._from_ns or mono_ns < self._from_ns + self._timeout_ns:
            return
        self._from_ns = 0
        if self.state is TimerState.DISABLED:
            return
        self.fired += 1
        self._again = True
        why = self.why or "no renewal was taken"
        self.state = TimerState.FIRED
        self._next_ns = 0
        yield self._tell("critical", f"not renewed for {self.timeout_s} s: the venue cancels every order ({why})")
        yield Look(self.venue)

    def _lapse(self, why: str, mono_ns: int) -> Iterator[TimerAction]:
        self.why = why
        if self.state is TimerState.ARMED:
            self.state = TimerState.LAPSING
            left_s = max(self.fires_ns - mono_ns, 0) / SECOND_NS
            yield self._tell("warning", f"not renewed: {why}; it fires in {left_s:.0f} s")

    def _disable(self, excuse: str, mono_ns: int) -> Iterator[TimerAction]:
        if not self.runs:
            if self.state in (TimerState.ARMED, TimerState.LAPSING, TimerState.FIRED):
                self.state = TimerState.DISABLED
            self.why = excuse
            return
        if self._asked_ns or (self.state is TimerState.DISABLED and mono_ns < self._next_ns):
            return
        if self.state is not TimerState.DISABLED:
            yield self._tell("warning", f"disabled: {excuse}")
        self.state, self.why = TimerState.DISABLED, excuse
        yield self._ask(0, mono_ns)

    def _failed(self, why: str, seconds: int, mono_ns: int) -> Iterator[TimerAction]:
        self._next_ns = mono_ns + RETRY_NS
        if seconds:  # the venue may have taken it
            self._perhaps_ns = mono_ns + self._timeout_ns
        if not self._failing:
            self._failing = True
            what = "renewed" if seconds else "disabled: it may still fire"
            yield self._tell("warning" if seconds else "critical", f"could not be {what}: {why}; tried again")

    def _ask(self, seconds: int, mono_ns: int) -> SetTimer:
        self._asked_ns, self._asked_s = mono_ns, seconds
        self._next_ns = mono_ns + self.renew_ns
        return SetTimer(self.venue, seconds)

    def _armed(self) -> str:
        return f"armed: the venue cancels every order {self.timeout_s} s after the last renewal"

    def _tell(self, severity: str, text: str) -> Tell:
        return Tell(severity, "dead_man", f"{self.venue}: dead man's timer {text}")
