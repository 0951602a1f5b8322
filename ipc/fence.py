"""The owner's side of a trip: what a process that owns orders does when the gate's generation rises."""

from collections.abc import Callable
from typing import Literal, TypeAlias

from ipc.gate import GateReader, lease_verdict
from ipc.readiness import StatusPage

Verdict: TypeAlias = Literal["fresh", "paused", "cancel"]


class FenceKeeper:
    """Answers each new generation: drop unsent orders, store the fence, ring back, then cancel what is working.

    Call `look` when the bell rings, before anything else of a turn, and from a timer (20 ms is enough).
    """

    def __init__(
        self,
        gate: GateReader,
        page: StatusPage,
        *,
        drop_unsent: Callable[[], object],
        cancel_working: Callable[[], object],
        ring_back: Callable[[], object],
    ) -> None:
        """`drop_unsent`: drop and answer every unsent order that GateReader now calls closed. `cancel_working`: cancel
        each open order for which GateReader.must_cancel(strategy, instrument) holds; called at every new generation.
        """
        self._gate, self._page = gate, page
        self._drop, self._cancel, self._ring = drop_unsent, cancel_working, ring_back
        self._fenced = -1
        self._operator = False

    @property
    def fenced(self) -> int:
        """The generation answered last; -1 before the first look."""
        return self._fenced

    def look(self) -> bool:
        """True when a new generation, or an operator word newly set, was answered."""
        generation = self._gate.generation()
        operator = self._gate.operator_set()
        if generation == self._fenced and operator <= self._operator:
            self._operator = operator
            return False
        raised = operator and not self._operator
        self._operator = operator
        # A drill must not cost a connection; one behind a trip that was not answered yet is no drill for this owner.
        drill = self._fenced == generation - 1 and self._gate.is_drill(generation) and not raised
        if not drill:
            self._drop()
        self._page.fence(generation)
        self._ring()
        self._fenced = generation
        self._cancel()
        return True


def lease_duty(gate: GateReader, mono_ns: int, lease_lost_cancel_s: int) -> Verdict:
    """What the lease asks of an owner now: "fresh", "paused" or "cancel" (its own working orders, by its own plan)."""
    return lease_verdict(gate.lapsed_ns(mono_ns), lease_lost_cancel_s * 1_000_000_000)
