"""All rate limits of a connection at once: what may leave now, and if not, why and how long that lasts. Pure.

New orders leave the reserve alone. Cancels may use it; past it they go on trying where the venue would only refuse
them, and wait where it would log us out or ban us: a kill that gets its own session thrown out cancels nothing more.
What is forced (a mass cancel) always leaves and is counted: the others hold back.
"""

from collections.abc import Callable, Iterable

from ipc.events import VenueLimit
from venues.limits import Limit
from venues.rate import Column, Meter, meter

MS_NS = 1_000_000
LATE = "rate limit of the venue"

Columns = Callable[[Limit, str], Column | None]
"""The shared memory of a limit (of an instrument); None where it counts for this process alone."""

Plan = tuple[tuple[Meter, int, tuple[tuple[int, int], ...]], ...]
"""Of one request: each meter that counts it, the fixed amount, and more by age in ns."""


def alone(limit: Limit, key: str) -> None:
    """Nothing is shared."""


class Throttle:
    """The limits of one connection; requests are those of venues.limits.REQUESTS, or a REST call."""

    def __init__(
        self,
        limits: Iterable[Limit],
        instruments: Iterable[str] = (),
        columns: Columns = alone,
        share_pct: int = 100,
    ) -> None:
        """`share_pct`: how much of the limits that several desks share is ours."""
        self._meters: list[Meter] = []
        self._by_instrument: dict[str, list[Meter]] = {name: [] for name in instruments}
        for limit in limits:
            pct = 100 if limit.scope in ("session", "key") else share_pct
            if limit.scope == "instrument":
                for name, meters in self._by_instrument.items():
                    meters.append(meter(limit, columns(limit, name), pct))
            else:
                self._meters.append(meter(limit, columns(limit, ""), pct))
        self._plans: dict[tuple[str, str], Plan] = {}
        self._held_ns = 0
        self._held_by = ""
        self.banned = False  # the silence asked for is a ban
        self.refused = 0  # by us, before sending
        self.breaches = 0  # told by the venue

    def take(
        self, request: str, mono_ns: int, wall_ns: int, instrument: str = "", age_ns: int = 0, *, urgent: bool = False,
        keep: int = 0,
    ) -> str:  # fmt: skip
        """Count a request that may leave now and answer ""; else nothing is counted: why it may not, and how long.

        `keep`: what an urgent one leaves of a limit that must not be passed, for mass cancels, which are forced.
        """
        plan = self._plans.get((request, instrument))
        if plan is None:
            plan = self._plan(request, instrument)
        if mono_ns < self._held_ns and not urgent:
            return self._no(self._held_by, self._held_ns - mono_ns)
        for at, fixed, by_age in plan:
            amount = fixed + _aged(by_age, age_ns) if by_age else fixed
            if mono_ns >= at.sync_ns or at.used + amount > at.near:
                at.sync(mono_ns, wall_ns)
            ceiling = at.most - min(keep * at.unit, at.most // 4) if urgent else at.open
            if at.used + amount > ceiling and not (urgent and at.passes):
                return self._no(str(at.limit), at.wait_ns(amount, ceiling, mono_ns, wall_ns))
        for at, fixed, by_age in plan:
            amount = fixed + _aged(by_age, age_ns) if by_age else fixed
            if at.alone:  # as Meter.spend does it: this is on every order's way
                at.used += amount
                at.noted += amount
            else:
                at.spend(amount, mono_ns, wall_ns)
        return ""

    def roomy(self, request: str, mono_ns: int, wall_ns: int, instrument: str = "") -> bool:
        """Whether it would leave half of every limit that must not be passed: for what others can do without."""
        for at, fixed, _ in self._plan(request, instrument):
            at.sync(mono_ns, wall_ns)
            if not at.passes and at.used + fixed > at.open // 2:
                return False
        return True

    def force(self, request: str, mono_ns: int, wall_ns: int, instrument: str = "", age_ns: int = 0) -> None:
        """Count a request that leaves whatever the limits say."""
        for at, amount, by_age in self._plan(request, instrument):
            at.sync(mono_ns, wall_ns)
            at.spend(amount + _aged(by_age, age_ns) if by_age else amount, mono_ns, wall_ns)

    def filled(self, instrument: str = "") -> None:
        """An order had its first fill: some venues count it no more."""
        for at in self._of(instrument):
            if at.limit.fill_gives_back:
                at.give_back(at.unit)

    def answered(self, code: str, text: str, mono_ns: int, wall_ns: int, instrument: str = "") -> str:
        """A refusal of the venue: which limit it says was passed; that one then counts as full. "" when it is none."""
        meant = [at for at in self._of(instrument) if any(r.matches(code, text) for r in at.limit.refusals)]
        if not meant:
            return ""
        # Of several that may be meant the shortest is: should it be a longer one, we shall be told again.
        at = min(meant, key=lambda m: m.limit.per_s)
        at.sync(mono_ns, wall_ns)
        at.full()
        if at.limit.ban_s:
            self.hold(mono_ns + at.limit.ban_s * 1_000_000_000, str(at.limit), ban=True)
        else:
            self.breaches += 1
        return str(at.limit)

    def hold(self, until_ns: int, why: str, *, ban: bool = False) -> None:
        """The venue asks for silence until then (monotonic): only what is urgent or forced leaves."""
        self.breaches += 1
        if until_ns > self._held_ns:
            self._held_ns, self._held_by, self.banned = until_ns, why, ban

    def holding(self, mono_ns: int) -> str:
        """Why the venue wants silence now, "" when it does not."""
        return self._no(self._held_by, self._held_ns - mono_ns) if mono_ns < self._held_ns else ""

    def told(self, said: VenueLimit, mono_ns: int, wall_ns: int) -> None:
        """The venue's own figures of a limit."""
        for at in self._meters:
            if at.limit.told_as == said.name and at.limit.per_s == said.interval_s:
                at.sync(mono_ns, wall_ns)
                at.told(said.used, said.most)

    def left(self, mono_ns: int, wall_ns: int) -> dict[str, int]:
        """What is left of each limit, as counters; of a limit by instrument, on the busiest one."""
        found: dict[str, int] = {}
        for at in (*self._meters, *(m for meters in self._by_instrument.values() for m in meters)):
            at.sync(mono_ns, wall_ns)
            key = f"left_{at.limit.name}"
            found[key] = min(found.get(key, at.left), at.left)
        if found:
            found |= {"rate_refused": self.refused, "rate_breaches": self.breaches}
        return found

    def _of(self, instrument: str) -> list[Meter]:
        return [*self._meters, *self._by_instrument.get(instrument, ())]

    def _plan(self, request: str, instrument: str) -> Plan:
        known = self._plans.get((request, instrument))
        if known is not None:
            return known
        found = []
        for at in self._of(instrument):
            cost = at.limit.cost(request)
            aged = tuple((below_s * 1_000_000_000, extra * at.unit) for below_s, extra in cost.by_age)
            if cost.fixed or aged:
                found.append((at, cost.fixed * at.unit, aged))
        plan = tuple(found)
        if len(self._plans) < 10_000:
            self._plans[request, instrument] = plan
        return plan

    def _no(self, what: str, wait_ns: int) -> str:
        self.refused += 1
        return f"{LATE} ({what}): try again in {-(-max(wait_ns, 1) // MS_NS)} ms"


def _aged(by_age: tuple[tuple[int, int], ...], age_ns: int) -> int:
    for below_ns, extra in by_age:
        if age_ns < below_ns:
            return extra
    return 0
