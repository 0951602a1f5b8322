"""Processes and host: memory, processor, stuck loops, free space, steps of the clock, journals that stall. Pure.

What is measured comes from ipc/health.py; here it meets [kill.health].
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from base.kill_config import HealthConfig, HealthLimit
from ipc.health import HostHealth, ProcessHealth
from risk.triggers.watch import HOST, MS, Reading, Rule

MINUTE_NS = 60_000_000_000
APART_NS = 1 * MS
QUIET_NS = 1_000 * MS


class ClockSteps:
    """Steps of the wall clock against the monotonic one. What a time server slews is below any limit."""

    def __init__(self) -> None:
        self._offset_ns: int | None = None
        self._steps: deque[tuple[int, int]] = deque()  # when, how far

    def feed(self, before_ns: int, wall_ns: int, mono_ns: int) -> int:
        """The greatest step of the last minute, in ns, without its sign. The wall clock was read between the other two:
        where these are far apart the process was held up meanwhile, and the look says nothing.
        """
        if mono_ns - before_ns <= APART_NS:
            offset_ns = wall_ns - mono_ns
            if self._offset_ns is not None:
                self._steps.append((mono_ns, abs(offset_ns - self._offset_ns)))
            self._offset_ns = offset_ns
        while self._steps and self._steps[0][0] <= mono_ns - MINUTE_NS:
            self._steps.popleft()
        return max((far for _, far in self._steps), default=0)


class JournalStall:
    """Whether an owner's journal goes on: an order or a replace is journalled before it is counted as sent.

    So each one that is counted had its record; at most one is between the two at any moment. The journal has stalled
    when more were counted than that allows, and no record of any kind has come for a second.
    """

    def __init__(self) -> None:
        self._sent: int | None = None
        self._started_ns = 0
        self._credit = 1  # records of orders that may yet be counted
        self._read_ns = 0
        self._since_ns = 0

    def look(self, sent: int, started_ns: int, orders: int, read: int, mono_ns: int) -> int:
        """Feed what its page says (read before the journal was), and how many records of orders, and of any kind, came;
        ns for which it stalls.
        """
        if self._sent is None or started_ns != self._started_ns:
            self._sent, self._started_ns, self._credit = sent, started_ns, 1
            self._read_ns, self._since_ns = mono_ns, 0
            return 0
        if read:
            self._read_ns, self._since_ns = mono_ns, 0
        left = self._credit + orders - (sent - self._sent)
        quiet = mono_ns - self._read_ns >= QUIET_NS
        if left < 0 and quiet:
            self._since_ns = self._since_ns or mono_ns
        self._sent, self._credit = sent, min(max(left, 0), 1) if quiet else max(left, 0)
        return mono_ns - self._since_ns if self._since_ns else 0


class Lasting:
    """For how long each of several things has been so."""

    def __init__(self) -> None:
        self._since: dict[str, int] = {}

    def look(self, name: str, so: bool, mono_ns: int) -> int:
        """ns since it began; 0 when it is not so."""
        if not so:
            self._since.pop(name, None)
            return 0
        return mono_ns - self._since.setdefault(name, mono_ns)


class HealthRules:
    """[kill.health] as readings."""

    def __init__(self, config: HealthConfig, owners: Sequence[str], bystanders: Iterable[str] = ()) -> None:
        """`bystanders`: processes that nothing depends on; they raise alarms alone, whatever a limit's scope says."""
        self._config, self._owners, self._bystanders = config, set(owners), frozenset(bystanders)

    def processes(self, found: Iterable[ProcessHealth]) -> list[Reading]:
        """Memory and processor time of each process."""
        c, out = self._config, []
        for p in found:
            memory, cpu = _number(p.memory_mb), _number(p.cpu_pct)
            out.append(self._reading(f"memory of {p.process}", "MB", memory, c.memory.max_mb, c.memory, p.process))
            out.append(self._reading(f"CPU of {p.process}", "%", cpu, c.cpu.max_pct, c.cpu, p.process))
        return out

    def host(self, host: HostHealth) -> list[Reading]:
        """What is left of disks and memory."""
        c = self._config
        out = [
            self._reading(f"free space, {place}", "MB", _number(mb), c.disk.min_free_mb, c.disk, floor=True)
            for place, mb in host.free_mb.items()
        ]
        left = _number(host.memory_free_mb)
        return [
            *out,
            self._reading("free memory", "MB", left, c.host_memory.min_free_mb, c.host_memory, floor=True),
        ]

    def stuck(self, silent_ns: Mapping[str, int | None]) -> list[Reading]:
        """By process: for how long its loop has not turned; None: it does not run, or has no loop yet."""
        limit = self._config.stuck
        return [
            self._reading(f"no heartbeat of {name}", "ms", _ms(ns), limit.max_ms, limit, name)
            for name, ns in silent_ns.items()
        ]

    def clock(self, step_ns: int) -> list[Reading]:
        """The greatest step of the last minute."""
        limit = self._config.clock
        return [self._reading("clock step", "ms", _ms(step_ns), limit.max_step_ms, limit)]

    def journals(self, stalled_ns: Mapping[str, int]) -> list[Reading]:
        """By process, whose journal or files do not go on."""
        limit = self._config.journal
        return [
            self._reading(f"journal stall of {name}", "ms", _ms(ns), limit.max_stall_ms, limit, name)
            for name, ns in stalled_ns.items()
        ]

    def full(self, full_ns: Mapping[str, int]) -> list[Reading]:
        """By process that says that the disk of its journal is full."""
        limit = self._config.full
        return [
            self._reading(f"full disk of {name}", "ms", _ms(ns), limit.max_ms, limit, name)
            for name, ns in full_ns.items()
        ]

    def _reading(
        self, figure: str, unit: str, value: Decimal | None, most: int, limit: HealthLimit, process: str = "", *,
        floor: bool = False,
    ) -> Reading:  # fmt: skip
        own = f"session:{process}" if process in self._owners else ""
        scope = "" if process in self._bystanders else limit.scope or own
        n, m = (
            (limit.confirm_n, limit.confirm_m) if limit.confirm_n else (self._config.confirm_n, self._config.confirm_m)
        )
        rule = Rule(n, m, self._config.every_ms * MS)
        trips = limit.action == "trip" and bool(scope)
        return Reading(scope or HOST, figure, unit, value, Decimal(most), rule, trips, floor)


def _number(value: int | None) -> Decimal | None:
    return None if value is None else Decimal(value)


def _ms(ns: int | None) -> Decimal | None:
    return None if ns is None else Decimal(ns // MS)
