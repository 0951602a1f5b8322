"""Calls of the kill switch that were made before: what they did is done again, without the kill switch.

What a call does follows from the kill switch, from the gate's words, and from what the call says that it reads. So a
search makes it once, and for every other world in which these are the same it repeats the effects. Kill switches that
are the same one (copies.Key), down to names and generations, are one object.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from base.errors import CommandError
from bench.states.copies import Copies, Key
from bench.states.stage import Effect, Stage
from risk.kill import KillSwitch

Call: TypeAlias = Callable[[KillSwitch], object]
Kept: TypeAlias = tuple[list[Effect], KillSwitch | None, CommandError | None]


class Memory:
    """Of one search. `off`: nothing is kept, every call is made."""

    def __init__(self, stage: Stage, flight: int, *, off: bool = False) -> None:
        self._stage, self._flight, self._off = stage, flight, off
        self._copies = Copies(stage)
        self._frozen: dict[int, bytes] = {}  # by id() of those in `_same`
        self._calls: dict[Any, Kept] = {}
        self._same: dict[Any, KillSwitch] = {}
        self._numbers: dict[Any, int] = {None: 0}
        self._known: dict[int, int] = {}  # by id() of those in `_same`: which one it is
        self.made = 0  # calls

    def number(self, switch: KillSwitch | None) -> int:
        """Two that are the same one have the same number; 0 is none."""
        if switch is None:
            return 0
        found = self._known.get(id(switch))
        return self._number(switch)[0] if found is None else found

    def _number(self, switch: KillSwitch) -> tuple[int, tuple[str, ...]]:
        key = Key(self._stage.mono_ns(), self._flight)
        number = self._numbers.setdefault(key.of(switch), len(self._numbers))
        return number, key.names

    def call(self, switch: KillSwitch | None, name: str, reads: Any, call: Call) -> KillSwitch | None:
        """The kill switch after the call, whose effects are on the stage. CommandError: it refused."""
        stage = self._stage
        if self._off:
            return self._make(switch, call)
        key = id(switch), name, reads, tuple(stage.env.words.items()), stage.env.generation
        kept = self._calls.get(key)
        if kept is None:
            log: list[Effect] = []
            stage.log = log
            new, refused = None, None
            try:
                new = self._intern(self._make(switch, call))
            except CommandError as e:
                refused = e
            finally:
                stage.log = None
            kept = self._calls[key] = log, new, refused
        else:
            for method, args, named in kept[0]:
                method(stage, *args, **named)
        if kept[2] is not None:
            raise kept[2]
        return kept[1]

    def clone(self, switch: KillSwitch) -> KillSwitch:
        """One that may be changed."""
        data = self._frozen.get(id(switch))
        if data is None:
            data = self._copies.freeze(switch)
            if id(switch) in self._known:
                self._frozen[id(switch)] = data
        new: KillSwitch = self._copies.thaw(data)
        return new

    def _make(self, switch: KillSwitch | None, call: Call) -> KillSwitch | None:
        self.made += 1
        new = self.clone(switch) if switch is not None else None
        began = call(new)  # type: ignore[arg-type]
        return began if switch is None else new  # type: ignore[return-value]

    def _intern(self, switch: KillSwitch | None) -> KillSwitch | None:
        if switch is None:
            return None
        number, names = self._number(switch)
        generations = tuple([(s, r.generation) for s, r in switch.records.items()])
        trips = tuple([t.generation for t in switch.trips.values()])
        same = self._same.setdefault((number, names, generations, trips), switch)
        self._known[id(same)] = number
        return same
