"""Figures against their limits: warnings, confirmation, firing and re-arming, the same for every one of them. Pure.

A *reading* is a figure at one moment. Over its limit it fires: at once (hard), or when `n` of the last `m` looks,
`every_ns` apart, found it over (soft). On its way there it warns once at 50, 75 and 90 % of the limit, and again only
after it has been below half of that mark for ten seconds. An alarm (`trips` False) is over once the figure has been
below 90 % for as long: what swings about a mark is said once.

A figure that fired stays *fired*. When a person has reset its scope while the figure is still over (a loss does not go
away), what it is then is accepted: it fires again above that, a soft one above that and a tenth of its limit. Back
within the limit it is as new.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Literal, TypeAlias

import msgspec

WARN_AT = (50, 75, 90)  # percent
OVER = 100
MS = 1_000_000
CALM_NS = 10_000 * MS
HEADROOM = Decimal(10)  # a tenth of the limit
HOST = "host"  # stands in the place of a scope where there is none: nothing of it can be tripped
Kind: TypeAlias = Literal["warning", "trip", "alarm", "well"]


class Rule(msgspec.Struct, frozen=True):
    """How often a figure must be found over before it fires."""

    n: int = 1
    m: int = 1
    every_ns: int = 0

    @property
    def hard(self) -> bool:
        """It fires at once."""
        return self.n <= 1

    def __str__(self) -> str:
        return "at once" if self.hard else f"{self.n} of {self.m} looks, {self.every_ns // MS} ms apart"


HARD = Rule()


class Reading(msgspec.Struct, frozen=True):
    """One figure of one scope. `value` None: it cannot be told, or is excused; `detail` says why, or what it is of."""

    scope: str
    figure: str
    unit: str
    value: Decimal | None
    limit: Decimal
    rule: Rule = HARD
    trips: bool = True  # False: an alarm is all that comes of it
    floor: bool = False  # the limit is the least, not the most
    detail: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Names it from look to look, and across restarts as long as its limit is the same."""
        return (self.scope, self.figure, f"{self.limit:f}" if self.trips else f"{self.limit:f} alarm")

    @property
    def over(self) -> bool:
        """Beyond its limit."""
        if self.value is None:
            return False
        return self.value < self.limit if self.floor else self.value > self.limit

    @property
    def percent(self) -> int:
        """Of its limit, rounded down; of a floor, how far it has come down to it. At most 999."""
        if self.value is None:
            return 0
        part, whole = (self.limit, self.value) if self.floor else (self.value, self.limit)
        if whole <= 0:
            return OVER if self.over else 0
        return min(int(part * 100 / whole), 999)

    @property
    def distance(self) -> Decimal | None:
        """What is left up to the limit; below 0 when it is over."""
        if self.value is None:
            return None
        return self.value - self.limit if self.floor else self.limit - self.value


class Sample(msgspec.Struct, frozen=True):
    """One look of a confirmation."""

    mono_ns: int
    value: str
    over: bool


class Outcome(msgspec.Struct, frozen=True):
    """What came of a reading: a warning at `percent`, a trip of its scope, or an alarm in place of one; "well" says
    that what was warned of, or raised the alarm, is over.
    """

    kind: Kind
    reading: Reading
    percent: int
    samples: tuple[Sample, ...] = ()

    def __str__(self) -> str:
        r = self.reading
        mark = "below" if r.floor else "over"
        if self.kind == "well":
            mark = "within"
        elif self.kind == "warning":
            mark = f"{mark}, not confirmed:" if r.over else f"{self.percent} % of"
        tail = f" ({r.detail})" if r.detail else ""
        unit = f" {r.unit}" if r.unit else ""
        where = "" if r.scope == HOST else f" of {r.scope}"
        return f"{r.figure} {_text(r.value)}{where}: {mark} {r.limit:f}{unit}{tail}"

    def facts(self) -> dict[str, object]:
        """For the audit: the figure, its limit, and the looks that confirmed it (`ago_ms` before the last)."""
        r, samples = self.reading, self.samples
        last_ns = samples[-1].mono_ns if samples else 0
        return {
            "scope": r.scope, "figure": r.figure, "unit": r.unit, "value": _text(r.value), "limit": f"{r.limit:f}",
            "limit_is": "least" if r.floor else "most", "percent": r.percent, "detail": r.detail,
            "confirm_n": r.rule.n, "confirm_m": r.rule.m, "confirm_every_ms": r.rule.every_ns // MS,
            "samples": [
                {"ago_ms": (last_ns - s.mono_ns) // MS, "value": s.value, "over": s.over} for s in samples
            ],
        }  # fmt: skip


class Kept(msgspec.Struct):
    """What of a figure's standing outlives the process."""

    warned: int = 0
    fired: bool = False
    accepted: str = ""  # decimal text


NEW = Kept()


class _State:
    """One figure's standing."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.samples: deque[Sample] = deque()
        self.next_ns = 0
        self.reading: Reading | None = None
        self.stood = True  # its scope was open at the last look
        self.low_ns = 0  # since when it is as low as ends what was said of it
        self.told = False  # an alarm was raised, and the figure has not been within its limit since

    def look(self, reading: Reading, mono_ns: int, stands: bool) -> Outcome | None:
        self.reading = reading
        opened, self.stood = stands and not self.stood, stands
        value = reading.value
        if (
            value is not None
            and not self.samples
            and self.kept == NEW
            and not reading.floor
            and value + value < reading.limit
        ):
            return None  # nothing to say, as nearly always
        if not reading.over:
            return self._within(reading, mono_ns)
        kept, self.low_ns = self.kept, 0
        if kept.fired and opened and reading.trips:
            kept.accepted = f"{value:f}"
        if not self._beyond(reading):
            self._sample(reading, mono_ns, over=False)
            return None
        if not self._sample(reading, mono_ns, over=True):
            return self._warn(reading, WARN_AT[-1])
        if not reading.trips:
            if self.told:
                return None
            self.told = kept.fired = True
            kept.warned = OVER
            return Outcome("alarm", reading, OVER, tuple(self.samples))
        if not stands:
            return None  # closed already: it fires as soon as a person opens it, unless it was this that closed it
        kept.fired, kept.accepted, kept.warned, self.stood = True, "", OVER, False
        return Outcome("trip", reading, OVER, tuple(self.samples))

    def _within(self, reading: Reading, mono_ns: int) -> Outcome | None:
        kept = self.kept
        if reading.value is None:
            self.low_ns = 0
            self.samples.clear()
            return None
        self._sample(reading, mono_ns, over=False)
        percent = reading.percent
        if reading.trips:
            kept.fired, kept.accepted = False, ""
        reached = max((w for w in WARN_AT if percent >= w), default=0)
        if reached > kept.warned:
            return self._warn(reading, reached)
        low = percent * 2 < kept.warned
        if not (low or (self.told and percent < WARN_AT[-1])):
            self.low_ns = 0
            return None
        self.low_ns = self.low_ns or mono_ns
        if mono_ns - self.low_ns < CALM_NS:
            return None
        self.low_ns = 0
        alarmed, self.told = self.told, False
        kept.fired = kept.fired and not alarmed
        if low:
            kept.warned = reached
        return Outcome("well", reading, percent) if alarmed or not reached else None

    def _warn(self, reading: Reading, mark: int) -> Outcome | None:
        """Once a mark."""
        if mark <= self.kept.warned:
            return None
        self.low_ns = 0
        self.kept.warned = mark
        return Outcome("warning", reading, mark)

    def _beyond(self, reading: Reading) -> bool:
        """Over what a person accepted, if one did."""
        if not self.kept.accepted or reading.value is None:
            return True
        accepted = Decimal(self.kept.accepted)
        more = Decimal(0) if reading.rule.hard else reading.limit / HEADROOM
        return reading.value < accepted - more if reading.floor else reading.value > accepted + more

    def _sample(self, reading: Reading, mono_ns: int, *, over: bool) -> bool:
        """Take a look into the confirmation when one is due; whether enough of them found it over."""
        rule, samples = reading.rule, self.samples
        if not over and (not samples or rule.hard):
            samples.clear()  # nothing to confirm
            return False
        sample = Sample(mono_ns, _text(reading.value), over)
        if rule.hard:
            samples.clear()
            samples.append(sample)
            return True
        if mono_ns >= self.next_ns or not samples:
            samples.append(sample)
            self.next_ns = mono_ns + rule.every_ns
            while len(samples) > rule.m:
                samples.popleft()
            if not any(s.over for s in samples):
                samples.clear()
        return over and sum(s.over for s in samples) >= rule.n

    def word(self) -> str:
        """ok, 50, 75, 90, over, confirming n of m, fired, accepted; why not, when there is no value."""
        r = self.reading
        if r is None or r.value is None:
            return "not measured"
        if not r.over:
            return next((f"{w} %" for w in reversed(WARN_AT) if r.percent >= w), "ok")
        if self.kept.accepted and not self._beyond(r):
            return f"over, accepted at {_text(Decimal(self.kept.accepted))}"
        if self.kept.fired:
            return "over, fired"
        if r.rule.hard:
            return "over"
        return f"confirming {min(sum(s.over for s in self.samples), r.rule.n)} of {r.rule.n}"


class LimitWatch:
    """Every limit of a desk with its standing."""

    def __init__(self, kept: Mapping[str, Kept] | None = None) -> None:
        self._kept = dict(kept or {})
        self._states: dict[tuple[str, str, str], _State] = {}

    def look(
        self, readings: Iterable[Reading], mono_ns: int, stands: Callable[[str], bool] = lambda _: True
    ) -> list[Outcome]:
        """Judge readings. `stands`: whether orders of a scope may still leave; what is closed is not tripped again.

        Each outcome of kind trip is to be acted upon at once: it is not said again before a reset.
        """
        out, seen = [], set()
        for reading in readings:
            key = reading.key
            if key in seen:
                continue  # the same limit is configured twice
            seen.add(key)
            state = self._states.get(key)
            if state is None:
                kept = self._kept.pop("|".join(key), None) or Kept()
                state = self._states[key] = _State(kept)
                state.stood = bool(kept.accepted) or not kept.fired  # it may have been opened meanwhile
                state.told = kept.fired and not reading.trips
            outcome = state.look(reading, mono_ns, stands(reading.scope))
            if outcome is not None:
                out.append(outcome)
        return out

    def kept(self) -> dict[str, Kept]:
        """What must outlive the process: standing by key, of figures that were not read yet in this life, too."""
        return self._kept | {"|".join(k): s.kept for k, s in self._states.items() if s.kept != NEW}

    def forget(self, figures: Iterable[tuple[str, str, str]]) -> None:
        """Of what is no longer there (a process that ended)."""
        for key in figures:
            self._states.pop(key, None)

    def table(self) -> list[dict[str, object]]:
        """Each limit as plain data: for `qd kill limits`."""
        rows: list[dict[str, object]] = []
        for state in self._states.values():
            r = state.reading
            if r is None:
                continue
            rows.append({
                "scope": r.scope, "figure": r.figure, "unit": r.unit, "value": _text(r.value),
                "limit": f"{r.limit:f}", "limit_is": "least" if r.floor else "most", "percent": r.percent,
                "distance": _text(r.distance), "state": state.word(), "does": "trips" if r.trips else "alarms",
                "when": str(r.rule), "detail": r.detail,
            })  # fmt: skip
        return rows


def _text(value: Decimal | None) -> str:
    """For people: at most 8 decimals, without the zeros that say nothing."""
    if value is None:
        return ""
    exponent = value.as_tuple().exponent
    text = f"{value:.8f}" if isinstance(exponent, int) and exponent < -8 else f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
