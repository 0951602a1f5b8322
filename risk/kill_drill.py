"""A drill of the kill switch: which steps it has, how long each took, and whether it was passed. Pure.

It goes the way of a trip but touches no order: a word that no order reads is closed, owners answer its generation, the
ways to the venues are asked for a sign of life, files are written, people are called. Nobody is killed: who is late
failed.
"""

from collections.abc import Iterable

import msgspec

from ipc.drills import DrillRecord, DrillStep

MS = 1_000_000


class _Open(msgspec.Struct):
    began_ns: int
    deadline_ns: int


class Drill:
    """One drill under way. Times: monotonic nanoseconds, `at_ns` UTC."""

    def __init__(self, drill_id: str, by: str, at_ns: int) -> None:
        self.drill_id, self.by, self.at_ns = drill_id, by, at_ns
        self._open: dict[str, _Open] = {}
        self._steps: dict[str, DrillStep] = {}
        self._sealed = False

    def begin(self, name: str, mono_ns: int, deadline_ns: int) -> None:
        """A step begins; at `deadline_ns` it has failed."""
        self._open[name] = _Open(mono_ns, deadline_ns)

    def done(self, name: str, mono_ns: int, said: str = "", *, ok: bool = True) -> None:
        """It came to an end; said twice, the first counts."""
        step = self._open.pop(name, None)
        if step is not None:
            took_ms = round((mono_ns - step.began_ns) / MS, 3)
            self._steps[name] = DrillStep(name, ok, took_ms, said)

    def failed(self, name: str, said: str) -> None:
        """It could not be begun, or what it was about is gone."""
        self._open.pop(name, None)
        self._steps[name] = DrillStep(name, False, None, said)

    def seal(self) -> None:
        """No further step begins: the drill is over with the last that is open."""
        self._sealed = True

    def open_steps(self, prefix: str = "") -> list[str]:
        """Steps that have not come to an end; of those whose name begins so."""
        return [n for n in self._open if n.startswith(prefix)]

    def tick(self, mono_ns: int) -> None:
        """What is beyond its deadline failed."""
        for name, step in list(self._open.items()):
            if mono_ns >= step.deadline_ns:
                self.failed(name, f"no end within {(step.deadline_ns - step.began_ns) // MS} ms")

    def abort(self, why: str) -> None:
        """It cannot be gone on with."""
        for name in list(self._open):
            self.failed(name, why)
        self._steps["drill"] = DrillStep("drill", False, None, why)
        self._sealed = True

    @property
    def over(self) -> bool:
        """Every step came to an end."""
        return self._sealed and not self._open

    def record(self, order: Iterable[str] = ()) -> DrillRecord:
        """What is kept of it; `order`: names that come first."""
        names = [*(n for n in order if n in self._steps), *self._steps]
        steps = tuple(self._steps[n] for n in dict.fromkeys(names))
        return DrillRecord(self.drill_id, "live", self.at_ns, self.by, self.over and all(s.ok for s in steps), steps)
