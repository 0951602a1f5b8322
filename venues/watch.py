"""Deadlines on every state of a session, liveness or not: what is late is told, or cut, or both. Pure.

A session whose heartbeats go on may still be stuck: not answered to its orders, without a snapshot, with a gap that
nobody fills. docs/reconnects.md has the whole table, those that the transport and the FIX session keep included.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

SECOND_NS = 1_000_000_000
NEVER_NS = 1 << 62


class Act(StrEnum):
    """What is done when a deadline passes."""

    CUT = "cut"  # the connection is ended and made anew
    TELL = "tell"  # a warning, and again after each such time


@dataclass(frozen=True, slots=True)
class Deadline:
    """How long a state may last."""

    after_ns: int
    act: Act
    text: str


DEADLINES: Mapping[str, Deadline] = MappingProxyType(
    {
        "logging on": Deadline(30 * SECOND_NS, Act.CUT, "no logon"),
        "recovering": Deadline(60 * SECOND_NS, Act.TELL, "missing messages still come"),
        "logging out": Deadline(15 * SECOND_NS, Act.CUT, "no end of the logout"),
        "moving over": Deadline(60 * SECOND_NS, Act.CUT, "the new session is not ready"),
        "leaving": Deadline(10 * SECOND_NS, Act.CUT, "its Logout was not answered"),
        "reconciling": Deadline(60 * SECOND_NS, Act.TELL, "open orders are not reconciled with the venue"),
        "unanswered": Deadline(10 * SECOND_NS, Act.TELL, "heartbeats go on, and no order request is answered"),
        "silent": Deadline(30 * SECOND_NS, Act.CUT, "heartbeats went on, and no order request was answered"),
    }
)


@dataclass(frozen=True, slots=True)
class Late:
    """A state that has lasted past its deadline."""

    state: str
    act: Act
    text: str


class Watch:
    """The states that something is in, and since when (monotonic ns)."""

    def __init__(self, deadlines: Mapping[str, Deadline] = DEADLINES) -> None:
        self._deadlines = deadlines
        self._since: dict[str, int] = {}
        self._due: dict[str, int] = {}

    @property
    def deadline_ns(self) -> int:
        """When `late` is wanted."""
        return min(self._due.values(), default=NEVER_NS)

    def hold(self, state: str, since_ns: int) -> None:
        """It is in `state` since then; said again with the same time, nothing begins anew. 0: it is not."""
        if not since_ns:
            self._since.pop(state, None)
            self._due.pop(state, None)
        elif self._since.get(state) != since_ns:
            self._since[state] = since_ns
            self._due[state] = since_ns + self._deadlines[state].after_ns

    def only(self, state: str, mono_ns: int) -> None:
        """It is in this state and in no other; "" for none."""
        for other in [s for s in self._since if s != state]:
            self.hold(other, 0)
        if state and state not in self._since:
            self.hold(state, mono_ns)

    def late(self, mono_ns: int) -> list[Late]:
        """What has lasted too long. A cut is said once; what is told is told again."""
        found = []
        for state, due_ns in list(self._due.items()):
            if mono_ns < due_ns:
                continue
            deadline = self._deadlines[state]
            lasted_s = (mono_ns - self._since[state]) // SECOND_NS
            found.append(Late(state, deadline.act, f"{deadline.text}, for {lasted_s} s"))
            if deadline.act is Act.CUT:
                del self._due[state]
            else:
                self._due[state] = mono_ns + deadline.after_ns
        return found
