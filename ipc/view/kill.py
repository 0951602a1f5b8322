"""The kill switch as it is seen: its words in memory, its events, and its own answers where it gives any. Pure."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ipc.events import KillProgress, KillState
from ipc.gate import DRILL_SCOPE
from ipc.view.sight import GateSight
from ipc.view.structs import KillPart, ScopePart, StepPart, TripPart

STEPS_KEPT: Final = 200
_WORST = ("TRIPPING", "TRIPPED", "RESETTING", "DISARMED", "ARMED")


class KillSeen:
    """Takes what comes by three ways; memory is right about states, the events and answers about everything else."""

    def __init__(self, known_scopes: Sequence[str]) -> None:
        self._known = tuple(known_scopes)
        self._scopes: dict[str, KillState] = {}
        self._steps: deque[StepPart] = deque(maxlen=STEPS_KEPT)
        self._status: Mapping[str, Any] | None = None
        self._latch: Mapping[str, Any] = {}
        self._fault = "it was not asked yet"

    def hear(self, event: KillState | KillProgress) -> None:
        """An event of topic kill."""
        if isinstance(event, KillState):
            self._scopes[event.scope] = event
            return
        self._steps.append(
            StepPart(trip_id=event.trip_id, step=event.step, detail=event.detail, working=event.working,
                     proven=event.proven, filled=event.filled, ts_ns=event.ts_ns)
        )  # fmt: skip

    def answered(self, status: Mapping[str, Any]) -> None:
        """Its answer to `status`."""
        self._status, self._fault = status, ""

    def failed(self, why: str) -> None:
        """It did not answer."""
        self._fault = why

    def latched(self, latch: Mapping[str, Any]) -> None:
        """What it wrote down last (risk/kill_latch.py): for when it cannot be asked."""
        self._latch = latch

    def part(self, gate: GateSight) -> KillPart:
        """As it is shown."""
        status = self._status if self._status is not None and not self._fault else {}
        told = {s["scope"]: s for s in status.get("scopes", ())}
        scopes = [self._scope(name, gate, told) for name in gate.scopes if name != DRILL_SCOPE]
        scopes.sort(key=lambda s: (s.scope != "desk", s.state == "ARMED"))
        states = [s.state for s in scopes]
        worst = next((s for s in _WORST if s in states), "UNKNOWN")
        trip = self._status.get("last_trip") if self._status is not None else self._latch.get("last_trip")
        return KillPart(
            answers=not self._fault, fault=self._fault, state=worst if gate.state != "MISSING" else "UNKNOWN",
            operator_word=gate.operator_word, scopes=tuple(scopes), known_scopes=self._known,
            trip=_trip(trip) if trip else None, steps=tuple(self._steps),
            blockers=tuple(map(str, status.get("blockers", ()))), faults=tuple(map(str, status.get("faults", ()))),
            sessions=tuple((n, s["phase"], s["reason"]) for n, s in status.get("sessions", {}).items()),
        )  # fmt: skip

    def _scope(self, name: str, gate: GateSight, told: Mapping[str, Mapping[str, Any]]) -> ScopePart:
        """The word counts; why it is so is told by what was said of the same generation, and by nothing older."""
        word = gate.scopes[name]
        heard = self._scopes.get(name)
        ways: list[Mapping[str, Any]] = [told.get(name, {})]
        ways.append({f: getattr(heard, f) for f in heard.__struct_fields__} if heard is not None else {})
        ways.append(self._latch.get("scopes", {}).get(name, {}))
        why: Mapping[str, Any] = next((w for w in ways if w.get("generation") == word.generation), {})
        return ScopePart(
            scope=name, state=word.state.name, generation=word.generation, cause=why.get("cause", ""),
            reason=why.get("reason", ""), since_ns=why.get("since_ns", 0), working=why.get("working", 0),
            proven=why.get("proven", 0), uncertain=why.get("uncertain", 0),
        )  # fmt: skip


def _trip(trip: Mapping[str, Any]) -> TripPart:
    """What risk/kill_report.py described, perhaps an older build of it."""

    def ms(name: str) -> str:
        value = trip.get(name)
        return "" if value is None else f"{value}"

    def names(name: str) -> tuple[str, ...]:
        return tuple(map(str, trip.get(name) or ()))

    def count(name: str) -> int:
        return int(trip.get(name) or 0)

    return TripPart(
        trip_id=str(trip.get("trip_id", "")), scopes=names("scopes"), cause=str(trip.get("cause", "")),
        reason=str(trip.get("reason", "")), at_ns=count("at_ns"), phase=str(trip.get("phase", "")),
        generation=count("generation"),
        gate_closed_ms=ms("gate_closed_ms"), first_cancel_ms=ms("first_cancel_ms"), fence_ms=ms("fence_ms"),
        all_proven_ms=ms("all_proven_ms"), orders=count("orders"), proven=count("proven"), working=count("working"),
        uncertain=count("uncertain"), filled=count("filled"), unproven=names("unproven"),
        open_questions=names("open_questions"), touches=names("touches"), leaves=names("leaves"),
    )  # fmt: skip
