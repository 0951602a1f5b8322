"""The gate: words in shared memory that say whether new orders may leave. Layout and rules: docs/kill-switch.md.

The kill switch alone writes the gate file. Only when every word that applies to an order is ARMED, the lease is fresh
and the operator word is 0 may the order leave; whatever cannot be read is closed. Cancels never ask.
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from os import PathLike
from pathlib import Path
from typing import Literal

import msgspec

from base.errors import RegionError
from ipc._words import GateCheck, Words
from ipc.gate_names import ScopeNames
from ipc.operator_word import OPERATOR_KIND, OPERATOR_WORDS, check_scope, operator_reason, set_operator_word

__all__ = [
    "DRILL_SCOPE", "OPERATOR_KIND", "OPERATOR_WORDS", "GateReader", "GateState", "GateWord", "GateWriter",
    "account_scope", "check_scope", "lease_verdict", "read_gate", "scope_key", "session_scopes", "set_operator_word",
]  # fmt: skip

GATE_KIND = "gate"
# Data words of the gate file.
LEASE = 0  # mono_ns up to which the lease is valid
VERSION = 1  # rises when a scope gets a slot
GENERATION = 2  # highest generation ever raised; owners store it in their fence word
DESK = 3  # the desk's word
WRITER_PID = 4
FIRST_SLOT = 8  # then SLOTS pairs (key, word), open addressing by key
SLOTS = 4096
GATE_WORDS = FIRST_SLOT + 2 * SLOTS
_REOPEN_NS = 20_000_000
_CACHED = 4096
# A drill's scope: no session can have this name, so its word closes nothing but raises the generation as a trip does.
DRILL_SCOPE = "session:.drill"


class GateState(IntEnum):
    """Low byte of a gate word; the generation stands above it."""

    DISARMED = 0
    ARMED = 1
    TRIPPING = 2
    TRIPPED = 3
    RESETTING = 4


_TRIP_STATES = frozenset({GateState.TRIPPING, GateState.TRIPPED})


class GateWord(msgspec.Struct, frozen=True):
    """One decoded word."""

    generation: int
    state: GateState

    @classmethod
    def of(cls, word: int) -> "GateWord":
        """Decode; an unknown state reads as TRIPPED."""
        state = word & 0xFF
        return cls(word >> 8, GateState(state) if state <= GateState.RESETTING else GateState.TRIPPED)

    def word(self) -> int:
        return self.generation << 8 | self.state


def scope_key(scope: str) -> int:
    """64-bit FNV-1a of the scope's text; 0 stands for an empty slot and becomes 1."""
    key = 0xCBF29CE484222325
    for byte in scope.encode():
        key = (key ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return key or 1


_DRILL_KEY = scope_key(DRILL_SCOPE)


def account_scope(venue: str, account: str) -> str:
    """Scope of one account: names of accounts repeat between venues, so the venue is part of it."""
    return f"account:{venue}/{account}"


def session_scopes(venue: str, account: str, session: str) -> list[str]:
    """Scopes that apply to every order of a session beside the desk: what a GateReader of that session is given."""
    return [f"venue:{venue}", account_scope(venue, account), f"session:{session}"]


def lease_verdict(lapsed_ns: int, cancel_after_ns: int) -> Literal["fresh", "paused", "cancel"]:
    """What a trading process does about the lease: "fresh", "paused" (no new orders) or "cancel" (its own orders)."""
    if lapsed_ns <= 0:
        return "fresh"
    return "cancel" if lapsed_ns >= cancel_after_ns else "paused"


class GateReader:
    """What an order path asks before each send. A missing or unreadable file is closed, and is looked for again."""

    def __init__(
        self, path: str | PathLike[str], operator_path: str | PathLike[str], scopes: Sequence[str] = ()
    ) -> None:
        self._path, self._operator_path = Path(path), Path(operator_path)
        self._scopes = [check_scope(s) for s in scopes]
        self._gate: Words | None = None
        self._operator: Words | None = None
        self._error = "never read"
        self._checks: dict[tuple[str, str], GateCheck] = {}
        self._indexes: dict[tuple[str, str], tuple[Words, int, list[int]]] = {}  # of the words that apply, and for what
        self._next_open_ns = 0
        self._lapse_since_ns = 0
        self._reopen(0)

    def closed_reason(self, mono_ns: int, strategy: str = "", instrument: str = "") -> str:
        """Why a new order may not leave, "" when it may."""
        check = self._checks.get((strategy, instrument))
        if check is not None and not check.closed(mono_ns):
            return ""
        return self._slow_reason(mono_ns, strategy, instrument)

    def generation(self) -> int:
        """The highest generation raised, 0 when the gate cannot be read: when it rises, act and store it as fence."""
        if self._gate is None:
            self._reopen(0)  # an owner may start before the kill switch made the file
        return self._gate.load(GENERATION) if self._gate is not None else 0

    def is_drill(self, generation: int) -> bool:
        """Whether that generation was raised by a drill: it concerns no order."""
        at = _find(self._gate, _DRILL_KEY) if self._gate is not None else -1
        return self._gate is not None and at >= 0 and GateWord.of(self._gate.load(at + 1)).generation == generation

    def operator_set(self) -> bool:
        """Whether an operator's own word stands."""
        return self._operator is not None and self._operator.load(0) != 0

    def must_cancel(self, strategy: str = "", instrument: str = "") -> bool:
        """True when a scope that applies is TRIPPING or TRIPPED, or the operator word is set: cancel working orders."""
        gate, operator = self._gate, self._operator
        if gate is None or operator is None:
            return False
        if operator.load(0):
            return True
        version, found = gate.load(VERSION), self._indexes.get((strategy, instrument))
        if found is None or found[0] is not gate or found[1] != version:
            indexes, version = _resolve(gate, self._names(strategy, instrument))
            if len(self._indexes) >= _CACHED:
                self._indexes.clear()
            found = self._indexes[strategy, instrument] = gate, version, indexes
        return any(GateWord.of(gate.load(i)).state in _TRIP_STATES for i in found[2])

    def lapsed_ns(self, mono_ns: int) -> int:
        """For how long the lease has been lapsed, 0 while it is fresh. Feeds `lease_verdict`."""
        self._reopen(mono_ns)
        expiry = self._gate.load(LEASE) if self._gate is not None else 0
        if expiry >= mono_ns:
            self._lapse_since_ns = 0
            return 0
        if not self._lapse_since_ns:
            self._lapse_since_ns = expiry or mono_ns
        return max(1, mono_ns - self._lapse_since_ns)

    def _names(self, strategy: str, instrument: str) -> list[str]:
        names = list(self._scopes)
        if strategy:
            names.append(f"strategy:{strategy}")
        if instrument:
            names.append(f"instrument:{instrument}")
        return names

    def _slow_reason(self, mono_ns: int, strategy: str, instrument: str) -> str:
        """Look up anew, open files that are missing or were replaced, and name what is closed."""
        for _ in range(3):
            self._reopen(mono_ns)
            if self._gate is None or self._operator is None:
                return f"gate closed: {self._error}"
            check, names = self._look_up(self._gate, self._operator, strategy, instrument)
            code = check.closed(mono_ns)
            if code == 0:
                return ""
            if code == 2:
                return f"lease of the kill switch lapsed {(mono_ns - self._gate.load(LEASE)) // 1_000_000} ms ago"
            if code == 3:
                return f"operator word set: {operator_reason(self._operator)}"
            if code >= 4:
                word = GateWord.of(self._gate.load(_resolve(self._gate, names)[0][code - 4]))
                present = ["desk", *(n for n in names if _find(self._gate, scope_key(n)) >= 0)]
                return f"{present[code - 4]} is {word.state.name}"
        return "gate closed: its table keeps changing"

    def _look_up(self, gate: Words, operator: Words, strategy: str, instrument: str) -> tuple[GateCheck, list[str]]:
        names = self._names(strategy, instrument)
        indexes, version = _resolve(gate, names)
        check = GateCheck(gate, operator, LEASE, VERSION, version, GateState.ARMED, indexes)
        if len(self._checks) >= _CACHED:
            self._checks.clear()
        self._checks[strategy, instrument] = check
        return check, names

    def _reopen(self, mono_ns: int) -> None:
        """Open what is not open; when the lease is out the file may have been replaced, so look."""
        fresh = self._gate is not None and self._operator is not None and self._gate.load(LEASE) >= mono_ns
        if fresh or 0 < mono_ns < self._next_open_ns:
            return
        self._next_open_ns = mono_ns + _REOPEN_NS
        try:
            if self._gate is None or _replaced(self._path, self._gate):
                self._checks.clear()
                self._gate = None
                gate = Words.open(self._path, GATE_KIND)
                if gate.count != GATE_WORDS:
                    raise RegionError(f"{gate.path}: {gate.count} words, expected {GATE_WORDS}")
                self._gate = gate
            if self._operator is None or _replaced(self._operator_path, self._operator):
                self._checks.clear()
                self._operator = None
                self._operator = Words.open(self._operator_path, OPERATOR_KIND)
        except RegionError as e:
            self._error = str(e)


class GateWriter:
    """The kill switch's side. Takes over the words of the process before it, so that nothing reopens by a restart."""

    def __init__(self, path: str | PathLike[str], operator_path: str | PathLike[str]) -> None:
        self._words = Words.create(path, GATE_KIND, GATE_WORDS)
        self._operator = Words.create(operator_path, OPERATOR_KIND, OPERATOR_WORDS, mode=0o660)
        self._path = Path(path)
        self._operator_path = Path(operator_path)
        self._names = ScopeNames(self._path.with_name(f"{self._path.name}.scopes"))
        self._slot: dict[str, int] = {"desk": DESK}
        self._keys: dict[int, str] = {}
        for scope in self._names.known:  # those whose word a writer before this one made
            at = _find(self._words, scope_key(scope))
            if at >= 0:
                self._keys[scope_key(scope)], self._slot[scope] = scope, at + 1

    @property
    def generation(self) -> int:
        """The highest generation raised so far."""
        return self._words.load(GENERATION)

    def renew(self, mono_ns: int, valid_ns: int) -> None:
        """Extend the lease to `mono_ns + valid_ns`."""
        self._words.store(LEASE, mono_ns + valid_ns)

    def lapse(self) -> None:
        """Let the lease run out now (orderly stop, start)."""
        self._words.store(LEASE, 0)

    def raise_to(self, generation: int) -> None:
        """Never fall behind what the latch or an owner's fence word remembers."""
        if generation > self.generation:
            self._words.store(GENERATION, generation)

    def close(self, scopes: Iterable[str], state: GateState = GateState.TRIPPING) -> int:
        """Store `state` with a new generation for each scope, then raise the generation owners watch; answers it."""
        generation = self.generation + 1
        word = GateWord(generation, state).word()
        for scope in scopes:
            index = self._slot.get(scope)
            self._words.store(self.add_scope(scope) if index is None else index, word)
        self._words.store(GENERATION, generation)
        return generation

    def set(self, scope: str, state: GateState) -> None:
        """Change the state of a scope within its generation."""
        index = self.add_scope(scope)
        self._words.store(index, GateWord(self._words.load(index) >> 8, state).word())

    def get(self, scope: str) -> GateWord:
        """The word of a scope; RegionError when it has none."""
        if scope not in self._slot:
            raise RegionError(f"{self._path}: no slot for scope {scope!r}")
        return GateWord.of(self._words.load(self._slot[scope]))

    def add_scope(self, scope: str, state: GateState = GateState.ARMED) -> int:
        """Index of the scope's word; a scope without a slot gets one that stands at `state`."""
        if scope in self._slot:
            return self._slot[scope]
        key = scope_key(check_scope(scope))
        if self._keys.setdefault(key, scope) != scope:
            raise RegionError(f"{self._path}: scopes {scope!r} and {self._keys[key]!r} have the same key")
        self._names.remember(scope)
        at = _find(self._words, key)
        if at < 0:
            at = _free(self._words, key)
            self._words.store(at + 1, GateWord(0, state).word())
            self._words.store(at, key)
            self._words.add(VERSION, 1)
        self._slot[scope] = at + 1
        return at + 1

    def scopes(self) -> list[str]:
        """Every scope that has a word and a name, of writers before this one, too."""
        return list(self._slot)

    def nameless(self) -> list[int]:
        """Slots that are not ARMED and whose scope nobody can name: the names' file was lost."""
        named = set(self._slot.values())
        slots = range(FIRST_SLOT, GATE_WORDS, 2)
        taken = [at + 1 for at in slots if self._words.load(at) and at + 1 not in named]
        return [at for at in taken if GateWord.of(self._words.load(at)).state != GateState.ARMED]

    def open_nameless(self) -> None:
        """Open them. Only while the desk's own word, which covers every order of theirs, is closed."""
        for at in self.nameless():
            self._words.store(at, GateWord(self._words.load(at) >> 8, GateState.ARMED).word())

    def mend_names(self) -> None:
        """Have the names of all scopes on their file again, when it was removed or damaged. Call it now and then."""
        self._names.mend()

    @property
    def names_fault(self) -> str:
        """Why the names cannot be written; "" when they can."""
        return self._names.fault

    def operator_word(self) -> tuple[int, str]:
        """(wall_ns of an operator's request or 0, its reason)."""
        at = self._operator.load(0)
        return at, operator_reason(self._operator) if at else ""

    def clear_operator(self) -> None:
        """Only after the desk's own word is closed: the operator's word is then kept by the latch."""
        self._operator.store(0, 0)

    def rebuilt(self) -> "GateWriter":
        """A writer on fresh files at the same paths, every known scope's word carried over."""
        new = GateWriter(self._path, self._operator_path)
        for scope, index in self._slot.items():
            new._words.store(new.add_scope(scope), self._words.load(index))
        new.raise_to(self.generation)
        return new

    def intact(self) -> bool:
        """False when somebody replaced or removed one of the files: readers would look at another one."""
        return not _replaced(self._path, self._words) and not _replaced(self._operator_path, self._operator)


def read_gate(path: str | PathLike[str]) -> tuple[GateWord, int, int]:
    """(the desk's word, highest generation, lease expiry mono_ns) for status displays; RegionError when unreadable."""
    words = Words.open(path, GATE_KIND)
    return GateWord.of(words.load(DESK)), words.load(GENERATION), words.load(LEASE)


def read_scopes(path: str | PathLike[str], scopes: Iterable[str]) -> dict[str, GateWord]:
    """The words of those scopes that have one, for whoever looks on; RegionError when the gate is unreadable."""
    words = Words.open(path, GATE_KIND)
    found = {s: DESK if s == "desk" else _find(words, scope_key(s)) + 1 for s in scopes}
    return {s: GateWord.of(words.load(at)) for s, at in found.items() if at}


def _find(words: Words, key: int) -> int:
    """Index of the key's pair, -1 when it has none."""
    start = key % SLOTS
    for i in range(SLOTS):
        at = FIRST_SLOT + 2 * ((start + i) % SLOTS)
        found = words.load(at)
        if found == key:
            return at
        if found == 0:
            return -1
    return -1


def _free(words: Words, key: int) -> int:
    start = key % SLOTS
    for i in range(SLOTS):
        at = FIRST_SLOT + 2 * ((start + i) % SLOTS)
        if words.load(at) == 0:
            return at
    raise RegionError(f"{words.path}: all {SLOTS} scope slots are taken")


def _resolve(words: Words, names: Sequence[str]) -> tuple[list[int], int]:
    """Indexes of the desk's word and of those names that have a slot, with the table version they hold for."""
    version = words.load(VERSION)  # before the keys: a slot added meanwhile shows as another version
    found = (_find(words, scope_key(n)) for n in names)
    return [DESK, *(at + 1 for at in found if at >= 0)], version


def _replaced(path: Path, words: Words) -> bool:
    try:
        stat = path.stat()
    except OSError:
        return True
    return stat.st_ino != words.inode or stat.st_dev != words.device
