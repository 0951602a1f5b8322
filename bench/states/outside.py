"""What may happen outside the kill switch: to orders on their way, to owners, to the disk and to the host."""

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

from bench.states.copies import STEP_NS
from bench.states.journal import is_open
from bench.states.stage import Stage
from bench.states.world import (
    CLOSED,
    COOLED,
    GRANTED,
    NOW_NS,
    OPEN,
    SHUT,
    SHUT_BY_TRIP,
    Env,
    Ord,
    Setting,
    gate_says_yes,
    latch_of,
    older,
    replaced,
    working,
)
from ipc.gate import GateState
from risk.kill import KillSwitch

Move: TypeAlias = tuple[str, Env, KillSwitch | None]
_set = msgspec.structs.replace


class Outside:
    """Moves that leave the kill switch as it is, or end it."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.stage = Stage(setting)

    def outside(self, env: Env, switch: KillSwitch | None) -> Iterator[Move]:
        """All of them."""
        for i in range(len(env.orders)):
            for name, changed in self._order(env, i):
                yield f"o{i}{name}", changed, switch
        for i in range(len(env.owners)):
            for name, changed in self._owner(env, i):
                yield f"{self.setting.sessions[i]}{name}", changed, switch
        if self.setting.crashes and env.pending is not None:
            yield "disk took the latch", _set(env, disk=env.pending, pending=None), switch
        if self.setting.crashes and switch is not None:
            yield "crash", crashed(env), None
        flying = any(o.status in ("flying", "checked") for o in env.orders)
        if self.setting.reboots and not flying:  # a host takes longer to come back than bytes stay on their way
            yield "reboot", self._reboot(env), None

    def _order(self, env: Env, i: int) -> Iterator[tuple[str, Env]]:
        order, own = env.orders[i], env.owners[self.setting.of[i]]
        losses = self.setting.losses
        if order.status == "unused" and own.life == "running" and gate_says_yes(self.setting, env, i):
            if self.setting.prompt:
                yield " works", self._with(self._with(env, i, order, "P"), i, _set(order, status="working"), "A")
                return
            yield " sent", self._with(env, i, _set(order, status="flying"), "P")
            if "stops" in self.setting.stalls:
                stalled = self._with(env, i, _set(order, status="checked"), "P")
                yield " stalled", self._own(stalled, self.setting.of[i], life="stopped")
            if self.setting.queues:
                yield " queued", self._with(env, i, _set(order, status="queued"), "P")
        if order.status == "queued" and own.life == "running" and gate_says_yes(self.setting, env, i):
            yield " leaves its queue", self._with(env, i, _set(order, status="flying"))
        if order.status == "flying":
            yield " arrives", self._with(env, i, _set(order, status="working", ack="wire", age=0))
            if "orders" in losses:
                yield " vanishes", self._with(env, i, _set(order, status="dead", age=0, cancel=False))
        if order.cancel:
            gone = order.status == "working"
            done = _set(order, status="dead", end="wire", cancel=False) if gone else _set(order, cancel=False)
            yield ": cancel arrives", self._with(env, i, done)
            if "cancels" in losses:
                yield ": cancel lost", self._with(env, i, _set(order, cancel=False))
        if order.ack == "wire":
            if own.life == "running":
                yield ": ack told", self._with(env, i, _set(order, ack=""), "A")
            if "reports" in losses:
                yield ": ack lost", self._with(env, i, _set(order, ack=""))
        if order.end == "wire":
            if own.life == "running":
                yield ": end told", self._with(env, i, _set(order, end=""), "C")
            if "reports" in losses:
                yield ": end lost", self._with(env, i, _set(order, end=""))
        if self.setting.claims and own.life == "running" and not order.claimed and ("P", i) in own.journal:
            yield ": claimed over", self._with(env, i, _set(order, claimed=True), "X")

    def _owner(self, env: Env, i: int) -> Iterator[tuple[str, Env]]:
        own, mine = env.owners[i], [k for k, o in enumerate(self.setting.of) if o == i]
        if own.life == "running" and own.fence < env.generation:
            yield " looks", self._look(env, i, mine)
        if own.life == "dead":
            yield " starts", self._own(env, i, life="starting", fence=0)
        if own.life == "starting":
            journal = own.journal
            for k in mine:
                if is_open(journal, k) and journal[-1] != ("U", k) and ("U", k) not in journal:
                    journal = (*journal, ("U", k))
            yield " runs", self._own(env, i, life="running", fence=env.generation, journal=journal)
        if own.life == "running" and "stops" in self.setting.stalls:
            yield " stops", self._own(env, i, life="stopped")
        if own.life == "stopped":
            on = self._own(env, i, life="running")
            for k in mine:
                if on.orders[k].status == "checked":
                    on.orders = replaced(on.orders, k, _set(on.orders[k], status="flying"))
            yield " goes on", on
        if own.life != "dead" and "dies" in self.setting.stalls:
            self.stage.env = new = _set(env)
            self.stage.kill(i)
            yield " dies", new

    def _look(self, env: Env, i: int, mine: list[int]) -> Env:
        """The owner answers the generation: drops what was not sent, stores its fence, cancels what works."""
        new, session = _set(env), self.setting.sessions[i]
        for k in mine:
            if new.orders[k].status == "queued" and not gate_says_yes(self.setting, env, k):
                new = self._with(new, k, _set(new.orders[k], status="dead"), "R")
        new = self._own(new, i, fence=env.generation)
        tripped = (GateState.TRIPPING, GateState.TRIPPED)
        if any(env.words[s].state in tripped for s in ("desk", f"session:{session}") if s in env.words):
            self.stage.env = new
            for k in mine:
                self.stage.cancel(k)
        return new

    def _reboot(self, env: Env) -> Env:
        """The host goes down hard and comes back: words, pages and whatever was not on the disk are gone."""
        new = crashed(env)
        new.words, new.generation, new.highest, new.lease = {}, 0, 0, False
        new.disk = older(new.disk)
        life = "running" if self.setting.prompt else "dead"
        new.owners = tuple(_set(o, life=life, fence=0, unheard=False, asked=False) for o in new.owners)
        new.orders = tuple(_set(o, status="dead") if o.status == "queued" else o for o in new.orders)
        new.before = working(new)
        return new

    def _with(self, env: Env, i: int, order: Ord, journal: str = "") -> Env:
        new = _set(env, orders=replaced(env.orders, i, order))
        if journal:
            k = self.setting.of[i]
            new.owners = replaced(new.owners, k, _set(new.owners[k], journal=(*new.owners[k].journal, (journal, i))))
        return new

    @staticmethod
    def _own(env: Env, i: int, **fields: Any) -> Env:
        return _set(env, owners=replaced(env.owners, i, _set(env.owners[i], **fields)))


def crashed(env: Env) -> Env:
    """The kill switch's process ends here: what it held in memory is gone, and so are resets under way."""
    people = {s: SHUT_BY_TRIP if p in (GRANTED, COOLED) else p for s, p in env.people.items()}
    owners = tuple(_set(o, unheard=False, asked=False, reading=False, read=0) for o in env.owners)
    orders = tuple(_set(o, asked=False) if o.asked else o for o in env.orders)
    return _set(env, pending=None, lists=(), people=people, owners=owners, orders=orders)


def forgotten(env: Env) -> Env:
    """What the latch alone knew is known no more; the whole desk reads as tripped instead."""
    for scope, people in env.people.items():
        closed = scope in env.words and env.words[scope].state in CLOSED
        if people == SHUT_BY_TRIP and scope != "desk" and not closed:
            env.people = {**env.people, scope: OPEN}
    return env


def later(env: Env) -> Env:
    """The world one step of time later: `now` stays, and whatever is dated is a step older."""
    return _set(
        env,
        before=working(env),
        orders=tuple([_set(o, age=o.age + 1) if o.status == "flying" else o for o in env.orders]),
        lists=tuple([_set(x, asked_ns=x.asked_ns - STEP_NS) for x in env.lists if x.asked_ns == NOW_NS]),
        people={s: COOLED if p == GRANTED else p for s, p in env.people.items()},
    )


def remembered(env: Env, disk: bytes | None) -> None:
    """After a power cut nobody remembers what never reached the disk; the whole desk reads as tripped instead."""
    if env.words:
        return
    latch = latch_of(disk) if disk is not None else None
    kept = {s for s, k in latch.scopes.items() if k.state not in ("ARMED", "DISARMED")} if latch else set()
    for scope in env.people:
        if scope != "desk":
            env.people = {**env.people, scope: SHUT_BY_TRIP if scope in kept else OPEN}
    if disk is None:
        env.people = {**env.people, "desk": SHUT}
