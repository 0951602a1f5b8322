"""Faults on demand: a board where a test or an operator pins what shall go wrong, and the venue looks before it acts.

A fault has a kind, conditions that must match (session, msg_type, order) and a count or a time until it is over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from base.errors import VenueError

SECOND_NS = 1_000_000_000

_SESSION = frozenset({"session", "kind"})
_MESSAGE = _SESSION | {"msg_type"}
_ORDER = frozenset({"order_id", "cl_ord_id", "symbol"})
_MASS = frozenset({"symbol", "via"})  # via: fix or rest


class Kind(NamedTuple):
    """A kind of fault: what it does, the conditions it may carry, its parameters with their defaults."""

    text: str
    conditions: frozenset[str]
    parameters: Mapping[str, str]


def _kind(text: str, conditions: frozenset[str] = frozenset(), /, **parameters: str) -> Kind:
    return Kind(text, conditions, MappingProxyType(parameters))


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "stall": _kind("reads and writes nothing for `seconds`, the connection stays", _SESSION, seconds="5"),
        "disconnect": _kind("closes connections now; logout=1 says Logout first", _SESSION, logout="0"),
        "refuse_logon": _kind("refuses logons", _SESSION, text="refused by a fault"),
        "drop": _kind("numbers the next messages but does not send them", _MESSAGE),
        "duplicate": _kind("sends the next messages twice", _MESSAGE),
        "garble": _kind("breaks bytes inside the next messages", _MESSAGE),
        "checksum": _kind("sends the next messages with a wrong CheckSum(10)", _MESSAGE),
        "delay": _kind("holds messages back for `ms`, in order, for `seconds`", _MESSAGE, ms="500", seconds=""),
        "lost_report": _kind(
            "never sends the next reports, and gives them no number", _SESSION | _ORDER | {"exec_type"}
        ),
        "reject": _kind("refuses the next requests", _MESSAGE | _ORDER, text="refused by a fault"),
        "swallow": _kind("does not act on the next requests and does not answer", _MESSAGE | _ORDER),
        "late_fill": _kind(
            "the next cancelled order fills: when=before or after its cancel", _ORDER, when="after", ms="50"
        ),
        "md_gap": _kind("leaves out the next book updates", _SESSION | {"symbol"}),
        "md_checksum": _kind("sends the next book updates with a wrong checksum", _SESSION | {"symbol"}),
        "maintenance": _kind("announces maintenance, and ends after `seconds`", frozenset(), seconds="20"),
        "rollover": _kind(
            "daily rollover: sessions end, numbers begin anew, logons are refused for `seconds`", seconds="2"
        ),
        "rest_fail": _kind("answers REST requests with HTTP `status`", frozenset({"path"}), status="503"),
        "rest_lag": _kind("answers REST requests after `ms`", frozenset({"path"}), ms="1000"),
        "list_lag": _kind("the open-orders list is `ms` behind, for `seconds`", frozenset(), ms="2000", seconds="60"),
        "mass_cancel_partial": _kind("a mass cancel leaves `leave` orders working", _MASS, leave="1"),
        "mass_cancel_fake": _kind("a mass cancel is accepted and does nothing", _MASS),
        "no_cancel": _kind("refuses every cancel for `seconds`", _MASS, seconds="5"),
        "slow_cancel": _kind("the next cancels are taken, and done `ms` later", _ORDER, ms="1000"),
        "pending_cancel": _kind("as slow_cancel, and says 150=6 at once", _ORDER, ms="1000"),
        "late_ack": _kind(
            "the next new orders work at once, and are reported `ms` later", _SESSION | _ORDER, ms="1000"
        ),
        "late_order": _kind("the next new orders reach the book `ms` later", _SESSION | _ORDER, ms="1000"),
        "list_empty": _kind("the open-orders list shows nothing, for `seconds`", frozenset(), seconds="5"),
    }
)

TIMED = frozenset({"stall", "delay", "list_lag", "list_empty", "no_cancel"})


@dataclass(slots=True)
class Fault:
    """One pinned fault; `left` is how often it still strikes, or it strikes until `until_ns` (monotonic)."""

    kind: str
    conditions: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    left: int = 1
    until_ns: int = 0
    struck: int = 0

    def matches(self, facts: Mapping[str, str]) -> bool:
        return all(facts.get(key) == value for key, value in self.conditions.items())

    def number(self, name: str) -> int:
        """A numeric parameter."""
        return int(self.parameters[name])


class Faults:
    """The board."""

    def __init__(self) -> None:
        self._pinned: list[Fault] = []
        self.struck: dict[str, int] = {}

    def pin(self, kind: str, arguments: Mapping[str, str], mono_ns: int) -> Fault:
        """Pin a fault from text arguments (`n` = how often, default 1). VenueError names what is wrong."""
        if kind not in KINDS:
            raise VenueError(f"no fault {kind!r}; there are {', '.join(sorted(KINDS))}")
        _, conditions, defaults = KINDS[kind]
        fault = Fault(kind, parameters=dict(defaults))
        for name, value in arguments.items():
            if name == "n":
                fault.left = _integer(kind, name, value)
            elif name in defaults:
                fault.parameters[name] = value
            elif name in conditions:
                fault.conditions[name] = value
            else:
                known = sorted({"n", *conditions, *defaults})
                raise VenueError(f"fault {kind}: no argument {name!r}; it takes {', '.join(known)}")
        for name in ("seconds", "ms", "leave", "status"):
            if fault.parameters.get(name):
                _integer(kind, name, fault.parameters[name])
        if kind in TIMED and fault.parameters.get("seconds"):
            fault.until_ns = mono_ns + fault.number("seconds") * SECOND_NS
        self._pinned.append(fault)
        return fault

    def strike(self, kind: str, mono_ns: int, /, **facts: str) -> Fault | None:
        """The pinned fault that strikes now, counted; None when there is none."""
        for fault in self._pinned:
            if fault.kind != kind or not fault.matches(facts):
                continue
            if fault.until_ns:
                if fault.until_ns < mono_ns:
                    self._pinned.remove(fault)
                    return None
            else:
                fault.left -= 1
                if fault.left <= 0:
                    self._pinned.remove(fault)
            fault.struck += 1
            self.struck[kind] = self.struck.get(kind, 0) + 1
            return fault
        return None

    def unpin(self, fault: Fault) -> None:
        """Take one fault off the board."""
        self._pinned.remove(fault)

    def clear(self) -> None:
        """Take everything off the board."""
        self._pinned.clear()

    def pinned(self) -> list[dict[str, object]]:
        """What is on the board, for people."""
        return [{"kind": f.kind, **f.conditions, **f.parameters, "n": f.left, "struck": f.struck} for f in self._pinned]

    def __bool__(self) -> bool:
        return bool(self._pinned)


def _integer(kind: str, name: str, value: str) -> int:
    if not value.isdigit():
        raise VenueError(f"fault {kind}: {name}={value!r} is not a whole number")
    return int(value)
