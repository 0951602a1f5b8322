"""Scopes that are not simply ARMED: their records, their gate words, and the latch that keeps them. Pure."""

from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from base.clock import Clock
from ipc.gate import GateState, GateWord
from risk.kill_actions import Action, State
from risk.kill_latch import SCHEMA, Latch, LatchedScope, encode

CLOSED = frozenset({GateState.TRIPPING, GateState.TRIPPED})


class Gate(Protocol):
    """The gate words (ipc.gate.GateWriter)."""

    @property
    def generation(self) -> int: ...
    def close(self, scopes: Iterable[str], state: GateState = ...) -> int: ...
    def set(self, scope: str, state: GateState) -> None: ...
    def get(self, scope: str) -> GateWord: ...
    def add_scope(self, scope: str, state: GateState = ...) -> int: ...
    def scopes(self) -> list[str]: ...
    def nameless(self) -> list[int]: ...
    def open_nameless(self) -> None: ...
    def raise_to(self, generation: int) -> None: ...


class Record(msgspec.Struct):
    """One scope that is not simply ARMED, and the desk always."""

    state: GateState
    generation: int
    cause: str
    reason: str
    since_ns: int
    trip_id: str = ""
    cool_until_ns: int = 0  # monotonic


class ScopeTable:
    """The records, kept in step with the gate words. The desk always has one."""

    def __init__(self, gate: Gate, clock: Clock, sink: Callable[[Action], object]) -> None:
        self.records: dict[str, Record] = {}
        self.gate = gate
        self._clock, self._do = clock, sink

    def put(
        self,
        scope: str,
        state: GateState,
        generation: int,
        cause: str,
        reason: str,
        trip_id: str = "",
        *,
        store: bool = True,
    ) -> None:
        """Move a scope to `state`. `store=False`: the word says so already."""
        if store:
            self.gate.set(scope, state)
        if state == GateState.ARMED and scope != "desk":
            self.records.pop(scope, None)
        else:
            self.records[scope] = Record(state, generation, cause, reason, self._clock.wall_ns(), trip_id)
        self._do(State(scope))

    def latch(self, boot_id: str, last_trip: dict[str, object]) -> bytes:
        """The latch as it has to be written now; empty before the desk has its record. Pauses are not latched."""
        scopes = {
            s: LatchedScope(r.state.name, r.generation, r.cause, r.reason, r.since_ns, r.trip_id)
            for s, r in self.records.items()
            if r.cause != "fingerprint" or s == "desk"
        }
        if "desk" not in scopes:
            return b""
        return encode(Latch(SCHEMA, boot_id, self.gate.generation, self._clock.wall_ns(), scopes, last_trip))
