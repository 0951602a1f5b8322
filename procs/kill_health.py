"""The kill switch's triggers on processes and host: [kill.health]."""

from collections.abc import Mapping

from ipc.events import OrderState
from ipc.health import HealthSampler, HostHealth, ProcessHealth
from ipc.host import ProcessHost
from ipc.owners import OwnerWatch
from ipc.readiness import Readiness, Status
from ipc.room import FULL
from ipc.roster import BYSTANDERS, roster
from risk.kill_plan import Topology
from risk.triggers.health import ClockSteps, HealthRules, JournalStall, Lasting
from risk.triggers.watch import Reading

MS = 1_000_000
SILENT_NS = 2_000 * MS  # without a heartbeat: said among the faults, whatever the limit
STILL_LOOKS = 10  # in a row: when the kill switch itself was held up, others seem still until they had their turn
BLIND_NS = 10_000 * MS  # without a look at anything: what was measured before is no figure any more


class HealthTriggers:
    """Feeds the pure rules with what is measured."""

    def __init__(self, host: ProcessHost, topology: Topology, owners: Mapping[str, OwnerWatch]) -> None:
        config = host.desk.config.kill.health
        self._owners, self._clock, self._own = owners, host.clock, host.name
        roles = roster(host.desk)
        self._names = names = [role.name for role in roles]
        self._rules = HealthRules(config, list(topology.owners), [r.name for r in roles if r.kind in BYSTANDERS])
        self._sampler = HealthSampler(host.desk, names, config.every_ms)
        self._blind_ns = max(BLIND_NS, 3 * config.every_ms * MS)
        self._clocks = ClockSteps()
        self._stalls = {s: JournalStall() for s in owners}
        self._heard = dict.fromkeys(owners, 0)
        self._orders = dict.fromkeys(owners, 0)
        self._lasting = Lasting()
        self._faults: dict[str, str] = {}
        self._still = dict.fromkeys(owners, 0)  # looks in a row
        self._stuck_ns = config.stuck.max_ms * MS
        self._sampler.start()

    def heard(self, session: str, event: object) -> None:
        """A record of an owner's journal was read."""
        self._heard[session] += 1
        if isinstance(event, OrderState) and event.state in ("PENDING_NEW", "PENDING_REPLACE"):
            self._orders[session] += 1

    def journals(self, mono_ns: int) -> list[Reading]:
        """Each look, after pages and then journals were read."""
        stalled = {}
        for session, owner in self._owners.items():
            heard, self._heard[session] = self._heard[session], 0
            orders, self._orders[session] = self._orders[session], 0
            if owner.status is not None and owner.alive:
                status = owner.status
                stalled[session] = self._stalls[session].look(status.sent, status.started_ns, orders, heard, mono_ns)
        return self._rules.journals(stalled)

    def stuck(self, found: Mapping[str, Status], mono_ns: int) -> list[Reading]:
        """Processes that live and whose heartbeat has stopped."""
        silent: dict[str, int | None] = {}
        for name, health in list(self._sampler.processes.items()):
            status = found.get(name)
            if name not in self._owners and name != self._own:
                runs = status is not None and status.pid == health.pid and status.readiness != Readiness.STARTING
                silent[name] = mono_ns - status.beat_mono_ns if status is not None and runs else None
        for name, owner in self._owners.items():
            silent[name] = found_ns = _silent(owner, mono_ns)
            self._still[name] = self._still[name] + 1 if found_ns is not None and found_ns >= self._stuck_ns else 0
        stuck = {n for n, ns in silent.items() if ns is not None and ns >= SILENT_NS}
        unseen = self._sampler.unseen
        self._faults = {
            **{f"stuck {n}": f"{n} shows no heartbeat" if n in stuck else "" for n in self._owners},
            **{f"health {n}": f"{n} cannot be looked at: {unseen[n]}" if n in unseen else "" for n in self._names},
            "health": self._sampler.blind(mono_ns, self._blind_ns),
        }
        return self._rules.stuck({n: None if ns is None else max(ns, 0) for n, ns in silent.items()})

    def still(self) -> list[str]:
        """Owners whose loop has not turned for `stuck.max_ms`, whatever that limit does."""
        return [name for name, looks in self._still.items() if looks >= STILL_LOOKS]

    def others(self, files_fault: str, mono_ns: int) -> list[Reading]:
        """Memory, processor, disks, clocks."""
        before_ns, wall_ns, after_ns = self._clock.mono_ns(), self._clock.wall_ns(), self._clock.mono_ns()
        full = {
            s: self._lasting.look(f"full {s}", o.alive and o.status is not None and FULL in o.status.reason, mono_ns)
            for s, o in self._owners.items()
        }
        blind = bool(self._sampler.blind(mono_ns, self._blind_ns))
        measured, host = ({}, _nothing(self._sampler.host)) if blind else (self._sampler.processes, self._sampler.host)
        own = self._lasting.look("files", bool(files_fault), mono_ns)
        return [
            *self._rules.processes([measured.get(n) or ProcessHealth(n, 0) for n in self._names]),
            *self._rules.host(host),
            *self._rules.clock(self._clocks.feed(before_ns, wall_ns, after_ns)),
            *self._rules.journals({self._own: own}),
            *self._rules.full(full),
        ]

    def faults(self) -> dict[str, str]:
        """By name: what is wrong with a process's loop, "" where it turns."""
        return self._faults

    def close(self) -> None:
        """Measure no more."""
        self._sampler.close()


def _nothing(host: HostHealth) -> HostHealth:
    return HostHealth(dict.fromkeys(host.free_mb))


def _silent(owner: OwnerWatch, mono_ns: int) -> int | None:
    """For how long an owner's loop has not turned. One that has just taken its role has no loop yet."""
    status = owner.status
    if not owner.alive or status is None or status.pid != owner.pid or status.readiness == Readiness.STARTING:
        return None
    return mono_ns - status.beat_mono_ns
