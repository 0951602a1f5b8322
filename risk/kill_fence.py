"""Which owners of a trip have answered its generation, and what is done with those that have not. Pure."""

from collections.abc import Collection, Iterable
from enum import StrEnum

import msgspec

from risk.kill_actions import Action, KillOwner, Tell
from risk.kill_proof import UNANSWERED_NS


class Phase(StrEnum):
    """Where a trip stands."""

    FENCING = "FENCING"
    PROVING = "PROVING"
    PROVEN = "PROVEN"


class Deadlines(msgspec.Struct, frozen=True):
    """Nanoseconds after the trip."""

    fence_ns: int
    proof_ns: int
    unanswered_ns: int = UNANSWERED_NS
    watch_ns: int = 0  # after the proof, for so long lists go on


class Times(msgspec.Struct):
    """Monotonic times of a trip's milestones; 0 = not yet."""

    received_ns: int
    closed_ns: int = 0
    first_cancel_ns: int = 0
    fence_ns: int = 0
    proven_ns: int = 0


class Fence:
    """The owners' half of a trip. An owner that has answered, or is dead, sends nothing in its scope any more."""

    def __init__(self, owners: Collection[str], generation: int, deadlines: Deadlines, times: Times) -> None:
        self.generation, self.times, self._deadlines = generation, times, deadlines
        # Owner -> what is awaited of it: "fence"; its end once "killed"; "unseen": whether it runs after all.
        self.waits = dict.fromkeys(owners, "fence")
        self.killed: list[str] = []
        self.answers: dict[str, int] = {}  # owner -> when it stored its fence word, which is before it was seen here
        self._alive: set[str] = set(owners)
        self._unheard: dict[str, int] = {}  # owners that were only starting at the deadline, and when they last were
        self._fence_at_ns = 0  # when the last owner stored its word, which is before it was seen here

    def waiting_for(self) -> list[str]:
        """Owners that have not answered the generation and are not known to be dead."""
        return [*self.waits, *self._unheard]

    def _await_dead(self, owners: Collection[str], alive: Iterable[str]) -> None:
        """Owners whose process did not run before the gate closed: one may have started since (see `_look_again`)."""
        self._alive &= set(alive)
        self.waits.update((s, "unseen") for s in owners if s not in self._alive)

    def _look_again(self, sessions: Collection[str], mono_ns: int) -> None:
        """Owners that run, looked for after the gate closed."""
        for session in [s for s, what in self.waits.items() if what == "unseen"]:
            if session in sessions:
                self.waits[session] = "fence"
                self._alive.add(session)
            else:
                del self.waits[session]
                self._fence_at_ns = mono_ns

    def _answered(self, session: str, at_ns: int, mono_ns: int) -> None:
        """An owner that was waited for stored this generation."""
        del self.waits[session]
        self.answers[session] = min(max(at_ns, self.times.closed_ns), mono_ns)
        self._fence_at_ns = max(self._fence_at_ns, self.answers[session])

    def _died(self, session: str) -> None:
        """It may have died before the gate closed, and another that started since may have read it open."""
        self._alive.discard(session)
        if session in self.waits:
            self.waits[session] = "unseen"
        self._unheard.pop(session, None)

    def _late_owners(self, mono_ns: int, starting: Collection[str]) -> list[Action]:
        """At the deadline an owner that has not answered is killed, unless it is only starting."""
        if mono_ns < self.times.closed_ns + self._deadlines.fence_ns:
            return []
        out: list[Action] = []
        for session, state in list(self.waits.items()):
            if state == "fence" and session in starting:
                # It has sent nothing and reads the closed gate before it sends anything: no reason to kill it.
                del self.waits[session]
                self._unheard[session] = mono_ns
            elif state == "fence":
                self.waits[session] = "killed"
                out += self._kill_late(session)
        return out

    def _still_unheard(self, mono_ns: int, starting: Collection[str]) -> list[Action]:
        """An owner that is past its start answers the gate within the deadline, as any other."""
        out: list[Action] = []
        for session, since_ns in self._unheard.items():
            if session in starting:
                self._unheard[session] = mono_ns
            elif mono_ns >= since_ns + self._deadlines.fence_ns and session not in self.killed:
                out += self._kill_late(session)
        return out

    def _kill_late(self, session: str) -> list[Action]:
        return self._kill(
            session, f"no fence for generation {self.generation} in {self._deadlines.fence_ns // 1_000_000} ms"
        )

    def _kill(self, session: str, why: str) -> list[Action]:
        out: list[Action] = [KillOwner(session, why)]
        if session not in self.killed:  # one that cannot die yet is not told of again and again
            self.killed.append(session)
            said = f"{session}: {why}; killed, the trip widens to session:{session}"
            out.append(Tell("critical", "owner_killed", said))
        return out
