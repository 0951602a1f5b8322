"""Copies of a kill switch, and keys by which two of them are the same one at different times.

Both walk the real objects, whatever fields they have: a field that nobody thought of here is copied and is part of the
key. A key may leave out only what is named in `IGNORED`, and time counts only as far as `AGES` says.
"""

import copy
from collections import deque
from collections.abc import Callable
from enum import Enum
from types import MethodType
from typing import Any, TypeAlias

import msgspec

from risk.kill_trip import Phase, Trip

STEP_NS = 6_000_000_000  # one step of time: more than every deadline but the horizon, the cool-off and the lag
Memo: TypeAlias = dict[int, Any]

# Set once and never changed, or written and never read by a decision: shared between copies, left out of keys.
SHARED = frozenset(
    {"topology", "config", "gate", "clock", "_clock", "_do", "_plans", "_topology", "_deadlines", "plan"}
)
# (`table` holds the records once more; no plan here disconnects; generations count against the owners', see `env_key`.)
IGNORED = SHARED | {
    "last_trip", "wall_ns", "since_ns", "sent_ns", "received_ns", "first_cancel_ns", "refuted", "reason", "_lag_ns",
    "_unanswered_ns", "_boot_id", "_fingerprint", "_tell_at_ns", "overdue", "cum_at_trip", "table", "generation",
    "_disconnect_at_ns", "_disconnected", "_ledger", "figures", "answers",
}  # fmt: skip
# For how many steps the age of a moment matters. What is not here is a deadline: due, or due in so many steps.
AGES = {
    "alive_ns": 2, "absent_ns": 2, "dead_ns": 2, "asked_ns": 2, "fence_ns": 2, "_fence_ns": 2, "proven_ns": 1,
    "closed_ns": 1, "_fence_at_ns": 1, "_unheard": 1,
}  # fmt: skip

BEFORE_FENCE = ("_fence_at_ns",)  # of a trip, looked at up to its fence


def clone(switch: Any) -> Any:
    """A copy that shares nothing that changes."""
    return _copy(switch, {})


def _copy(value: Any, memo: Memo) -> Any:
    kind = type(value)
    how = _COPIES.get(kind)
    if how is None:
        how = _COPIES[kind] = _learn(kind)
    if how is _same:
        return value
    known = memo.get(id(value))
    return known if known is not None else how(value, memo)


def _same(value: Any, _memo: Memo) -> Any:
    return value


def _dict(value: dict[Any, Any], memo: Memo) -> Any:
    new: dict[Any, Any] = {}
    memo[id(value)] = new
    for k, v in value.items():
        new[k] = v if _COPIES.get(type(v)) is _same else _copy(v, memo)
    return new


def _list(value: list[Any], memo: Memo) -> Any:
    memo[id(value)] = new = [_copy(v, memo) for v in value]
    return new


def _set(value: Any, memo: Memo) -> Any:
    memo[id(value)] = new = value.copy()  # of names and numbers only
    return new


def _method(value: MethodType, memo: Memo) -> Any:
    return MethodType(value.__func__, _copy(value.__self__, memo))


def _struct(value: Any, memo: Memo) -> Any:
    memo[id(value)] = new = copy.copy(value)
    for name in value.__struct_fields__:
        found = getattr(value, name)
        if _COPIES.get(type(found)) is not _same:
            setattr(new, name, _copy(found, memo))
    return new


def _object(value: Any, memo: Memo) -> Any:
    new = object.__new__(type(value))
    memo[id(value)] = new
    fields = new.__dict__
    for name, found in value.__dict__.items():
        fields[name] = found if name in SHARED or _COPIES.get(type(found)) is _same else _copy(found, memo)
    return new


def _learn(kind: type) -> Callable[[Any, Memo], Any]:
    if issubclass(kind, msgspec.Struct):
        return _same if kind.__struct_config__.frozen else _struct
    if kind.__module__.startswith("risk.") and not issubclass(kind, Enum):
        return _object
    return _same


_COPIES: dict[type, Callable[[Any, Memo], Any]] = {
    dict: _dict, list: _list, set: _set, deque: _set, MethodType: _method,
}  # fmt: skip


_MOMENTS = ("_inventory", "_unheard")  # times by owner
_FIELDS: dict[type, tuple[str, ...]] = {}


def _fields(value: Any) -> tuple[str, ...]:
    """What of an object counts; none for what counts as a whole."""
    kind = type(value)
    if issubclass(kind, msgspec.Struct):
        return () if kind.__struct_config__.frozen else tuple(n for n in kind.__struct_fields__ if n not in IGNORED)
    if kind.__module__.startswith("risk.") and not issubclass(kind, Enum):
        return tuple(n for n in value.__dict__ if n not in IGNORED)
    return ()


def _scope_of(trip: Any) -> str:
    return str(trip.scope)


class Key:
    """What of a kill switch decides its future: times as ages, trips by their order."""

    def __init__(self, now_ns: int, flight: int) -> None:
        self._now_ns = now_ns
        self._ages = {**AGES, "_fence_ns": flight + 2}
        self._trips: dict[str, int] = {}

    def trip(self, trip_id: str) -> int:
        """0 for no trip, else which one in the order of their mention."""
        return self._trips.setdefault(trip_id, len(self._trips) + 1) if trip_id else 0

    def time(self, name: str, at_ns: int) -> int | None:
        """Steps from now."""
        if not at_ns:
            return None
        oldest = self._ages.get(name, 0)
        behind = at_ns - self._now_ns
        return max(behind // STEP_NS, -oldest) if behind <= 0 else min(-(-behind // STEP_NS), 4)

    def of(self, value: Any, name: str = "") -> Any:
        """The key of any value; `name`: the field that holds it."""
        kind = type(value)
        if kind is int:
            return self.time(name, value) if name.endswith("_ns") or name in _MOMENTS else value
        if kind is str:
            if name == "cause":  # two of them are looked at
                return value if value in ("latch", "fingerprint") else ""
            return self.trip(value) if name == "trip_id" else value
        if kind is bool or value is None:
            return value
        if kind is dict:
            if not value:
                return ()
            if name == "trips":
                found = sorted(value.values(), key=_scope_of)
                return tuple([(self.trip(t.trip_id), self.of(t)) for t in found])
            if name == "_phases":
                return tuple(sorted((self.trip(k), v) for k, v in value.items()))
            items = sorted(value.items()) if name == "records" else value.items()
            return tuple([(k, self.of(v, name)) for k, v in items])
        if kind is list:
            return tuple([self.of(v) for v in value])
        if kind is set:
            return frozenset(value)
        names = _FIELDS.get(kind)
        if names is None:
            names = _FIELDS[kind] = _fields(value)
        if names:
            if kind is Trip and value.phase != Phase.FENCING:
                return tuple([self.of(getattr(value, n), n) for n in names if n not in BEFORE_FENCE])
            return tuple([self.of(getattr(value, n), n) for n in names])
        if kind is MethodType or callable(value):
            return None
        return value
