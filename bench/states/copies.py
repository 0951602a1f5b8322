"""Copies of a kill switch, and keys by which two of them are the same one at different times.

Both take the real objects, whatever fields they have: a field that nobody thought of here is copied and is part of the
key. A key may leave out only what is named in `IGNORED` and `dead`, and time counts only as far as `AGES` says.
"""

import pickle
from collections.abc import Callable
from enum import Enum
from io import BytesIO
from operator import attrgetter
from types import FunctionType, MethodType
from typing import Any

import msgspec

from ipc.once import Once
from risk.kill_orders import ABSENT
from risk.kill_proof import Proof, ProofBook
from risk.kill_trip import Phase, Times, Trip

STEP_NS = 6_000_000_000  # one step of time: more than every deadline but the horizon, the cool-off and the lag
OLDEST = 9  # steps; nothing looks further back

# Set once and never changed, or written and never read by a decision: left out of keys.
SHARED = frozenset(
    {"topology", "config", "gate", "clock", "_clock", "_do", "_plans", "_topology", "_deadlines", "plan"}
)
# (`table` holds the records once more, a trip the ledger; generations count against the owners', see `env_key`.)
IGNORED = SHARED | {
    "last_trip", "wall_ns", "since_ns", "sent_ns", "received_ns", "first_cancel_ns", "refuted", "reason", "_lag_ns",
    "_unanswered_ns", "_boot_id", "_fingerprint", "_tell_at_ns", "overdue", "cum_at_trip", "table", "generation",
    "_disconnect_at_ns", "_disconnected", "figures", "answers", "_covers", "late", "_starting",
}  # fmt: skip
# For how many steps the age of a moment matters. What is not here is a deadline: due, or due in so many steps.
AGES = {
    "alive_ns": 2, "absent_ns": 3, "dead_ns": 3, "asked_ns": 2, "fence_ns": 2, "_fence_ns": 2, "proven_ns": 1,
    "closed_ns": 1, "_fence_at_ns": 1, "_unheard": 1,
}  # fmt: skip
DUE = frozenset({"queried_ns", "_next_again_ns", "_next_mass_ns"})  # past or never set is the same
DURATIONS = frozenset({"_unanswered_ns", "_lag_ns"})
MOMENTS = frozenset({"_inventory", "_unheard", "answers", "_still_again"})  # times by owner


# -- copies ------------------------------------------------------------------------------------------------------------


class Copies:
    """Kill switches as bytes, which is how they are kept, and anew from them. What never changes is one object."""

    def __init__(self, *shared: object) -> None:
        self._kept: list[object] = []
        self._index: dict[Any, int] = {}
        self._shared = frozenset(map(id, shared))
        self._objects = shared

    def freeze(self, switch: object) -> bytes:
        """The kill switch and whatever hangs on it."""
        file = BytesIO()
        pickler = pickle.Pickler(file, protocol=5)
        pickler.persistent_id = self._name  # type: ignore[method-assign]
        pickler.dump(switch)
        return file.getvalue()

    def thaw(self, data: bytes) -> Any:
        """One that shares nothing that changes with any other."""
        unpickler = pickle.Unpickler(BytesIO(data))
        unpickler.persistent_load = self._kept.__getitem__  # type: ignore[method-assign]
        return unpickler.load()

    def clone(self, switch: object) -> Any:
        """A copy."""
        return self.thaw(self.freeze(switch))

    def _name(self, value: Any) -> int | None:
        kind = type(value)
        same = _SAME.get(kind)
        if same is None:
            same = _SAME[kind] = _never_changes(kind)
        if not same and id(value) not in self._shared:
            return None
        try:
            return self._index.setdefault(value, self._next(value))
        except TypeError:  # a frozen struct with a dict in it: itself, then
            return self._index.setdefault(id(value), self._next(value))

    def _next(self, value: object) -> int:
        self._kept.append(value)
        return len(self._kept) - 1


def _never_changes(kind: type) -> bool:
    if issubclass(kind, msgspec.Struct):
        return bool(kind.__struct_config__.frozen)
    return issubclass(kind, (Enum, FunctionType))


_SAME: dict[type, bool] = {}


# -- time --------------------------------------------------------------------------------------------------------------


def grow_older(value: Any, now_ns: int) -> None:
    """Every moment that a kill switch holds is one step further back, which is how time passes here."""
    _older(value, now_ns - OLDEST * STEP_NS, set())


def _older(value: Any, oldest_ns: int, seen: set[int]) -> None:
    kind = type(value)
    if kind is dict:
        for v in value.values():
            _older(v, oldest_ns, seen)
    elif kind is list:
        for v in value:
            _older(v, oldest_ns, seen)
    elif _fields(kind) is not None and id(value) not in seen:
        seen.add(id(value))
        for name in value.__struct_fields__ if isinstance(value, msgspec.Struct) else tuple(value.__dict__):
            if name not in SHARED:
                _field_older(value, name, oldest_ns, seen)


def _field_older(value: Any, name: str, oldest_ns: int, seen: set[int]) -> None:
    found = getattr(value, name)
    if type(found) is int:
        if found and name.endswith("_ns") and name not in DURATIONS:
            setattr(value, name, max(found - STEP_NS, oldest_ns))
    elif name in MOMENTS:
        setattr(value, name, {k: max(v - STEP_NS, oldest_ns) for k, v in found.items()})
    else:
        _older(found, oldest_ns, seen)


# -- keys --------------------------------------------------------------------------------------------------------------


class _Fields(msgspec.Struct):
    """What of an object counts: moments, and the rest."""

    times: tuple[str, ...]
    rest: tuple[str, ...]
    get_times: Callable[[Any], Any]
    get_rest: Callable[[Any], Any]


_FIELDS: dict[type, _Fields | None] = {}
_PLAIN = frozenset({str, int, bool, type(None)})
_SPECIAL = frozenset({"cause", "trip_id", "how"})


def _fields(kind: type, value: Any = None) -> _Fields | None:
    """None: of this kind each counts as a whole."""
    if kind in _FIELDS:
        return _FIELDS[kind]
    names: tuple[str, ...] = ()
    if issubclass(kind, msgspec.Struct):
        names = () if kind.__struct_config__.frozen else kind.__struct_fields__
    elif (kind.__module__.startswith("risk.") or kind is Once) and not issubclass(kind, Enum):
        if value is None:
            return _Fields((), (), tuple, tuple)
        names = tuple(value.__dict__)
    counts = [n for n in names if n not in IGNORED and not (kind is Trip and n == "_ledger")]
    times = tuple([n for n in counts if n.endswith("_ns")])
    rest = tuple([n for n in counts if n not in times])
    found = _Fields(times, rest, _getter(times), _getter(rest)) if names else None
    _FIELDS[kind] = found
    return found


def _getter(names: tuple[str, ...]) -> Callable[[Any], Any]:
    if len(names) > 1:
        return attrgetter(*names)
    return (lambda value: (getattr(value, names[0]),)) if names else (lambda value: ())


def _scope_of(trip: Any) -> str:
    return str(trip.scope)


class Key:
    """What of a kill switch decides its future: times as ages, trips by their order."""

    def __init__(self, now_ns: int, flight: int) -> None:
        self._now_ns = now_ns
        self._ages = {**AGES, "_fence_ns": flight + 2}
        self._trips: dict[str, int] = {}
        self._fence_ns: int | None = None
        self._trip: Trip | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Trips as they were mentioned."""
        return tuple(self._trips)

    def trip(self, trip_id: str) -> int:
        """0 for no trip, else which one in the order of their mention."""
        return self._trips.setdefault(trip_id, len(self._trips) + 1) if trip_id else 0

    def time(self, name: str, at_ns: int) -> int | None:
        """Steps from now."""
        if not at_ns:
            return None
        behind = at_ns - self._now_ns
        if behind > 0:
            return min(-(-behind // STEP_NS), 4)
        if name in DUE:
            return None
        return max(behind // STEP_NS, -self._ages.get(name, 0))

    def of(self, value: Any, name: str = "") -> Any:
        """The key of any value; `name`: the field that holds it."""
        kind = type(value)
        if kind is dict:
            return self._dict(value, name) if value else ()
        if kind in _PLAIN:
            if kind is str and name in _SPECIAL:
                if name == "trip_id":
                    return self.trip(value)
                if name == "how":
                    return value and (value if value == ABSENT else "said")
                return value if value in ("latch", "fingerprint") else ""  # two causes are looked at
            return self.time(name, value) if name in MOMENTS else value
        if kind is list:
            return tuple([self.of(v) for v in value])
        if kind is set:
            return frozenset(value)
        fields = _fields(kind, value)
        if fields is not None:
            return self._object(value, kind, fields)
        if kind is MethodType or callable(value):
            return None
        return value

    def _dict(self, value: dict[Any, Any], name: str) -> Any:
        if name == "trips":
            found = sorted(value.values(), key=_scope_of)
            return tuple([(self.trip(t.trip_id), self._of_trip(t)) for t in found])
        if name == "_phases":
            return tuple(sorted((self.trip(k), v) for k, v in value.items()))
        if name == "_seen":
            return frozenset(value)  # of reports told: in which order they were forgotten is no matter so few deep
        if name == "_left":
            return tuple(value)  # the proofs of `_proofs` that are still open
        items = sorted(value.items()) if name == "records" else value.items()
        return tuple([(k, v if type(v) is str else self.of(v, name)) for k, v in items])

    def _of_trip(self, trip: Trip) -> Any:
        self._trip = trip
        return self.of(trip)

    def _times(self, times: Times) -> Any:
        """The fence counts for the first list after it, its closing up to the fence."""
        trip = self._trip
        fenced = trip is not None and trip.phase != Phase.FENCING
        listed = trip is not None and not trip._lists_due
        return (
            None if fenced else self.time("closed_ns", times.closed_ns),
            None if fenced and listed else self.time("fence_ns", times.fence_ns),
            self.time("proven_ns", times.proven_ns),
        )

    def _object(self, value: Any, kind: type, fields: _Fields) -> Any:
        if kind is ProofBook:
            self._fence_ns = value._fence_ns
        elif kind is Times:
            return self._times(value)
        hidden = dead(value, kind, self._fence_ns)
        time = self.time
        return (
            *[None if n in hidden or not t else time(n, t) for n, t in zip(fields.times, fields.get_times(value))],  # noqa: B905
            *[
                v if type(v) in _PLAIN and n not in _SPECIAL else None if n in hidden else self.of(v, n)
                for n, v in zip(fields.rest, fields.get_rest(value))  # noqa: B905
            ],
        )


_NOTHING: frozenset[str] = frozenset()


def dead(value: Any, kind: type, fence_ns: int | None) -> frozenset[str]:
    """Fields of an object that nothing looks at before they are written anew. docs/kill-states.md says why.

    `fence_ns`: of the book that a proof belongs to.
    """
    if kind is Trip:
        return _NOTHING if value.phase == Phase.FENCING else _BEFORE_FENCE
    if kind is Proof:
        if value.how:
            return _BEFORE_PROOF
        return _ALIVE_BEFORE_FENCE if fence_ns and value.alive_ns <= fence_ns else _ALWAYS
    return _NOTHING


_BEFORE_FENCE = frozenset({"_fence_at_ns"})
_ALWAYS = frozenset({"proven_ns"})
_ALIVE_BEFORE_FENCE = _ALWAYS | {"alive_ns"}
_BEFORE_PROOF = _ALIVE_BEFORE_FENCE | {"absent_ns", "asked_ns"}
