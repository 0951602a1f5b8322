"""Everything that may happen next: outside, by people, and inside the kill switch.

A move outside leaves the kill switch as it is. One that calls it does so on a copy, and leaves, beside its own outcome,
one outcome for each place in it where the process may have crashed.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

from base.errors import CommandError
from bench.states.copies import STEP_NS, clone
from bench.states.journal import event, is_open, last_state
from bench.states.outside import Move, Outside, crashed, forgotten
from bench.states.world import (
    CLOSED,
    COOLED,
    GRANTED,
    NOW,
    OPEN,
    SHUT,
    SHUT_BY_TRIP,
    STRANGE,
    Answered,
    BrokenRuleError,
    Env,
    Setting,
    latch_of,
    replaced,
    working,
)
from ipc.gate import GateState
from risk.kill import KillSwitch
from risk.kill_latch import decode
from risk.kill_proof import ListedId
from risk.kill_trip import Phase

Call: TypeAlias = Callable[[KillSwitch], object]
_set = msgspec.structs.replace


class Moves(Outside):
    """Moves of one setting. `move` answers them all; the first of `good` is what happens when all goes well."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.topology, self.config = setting.topology(), setting.config()
        self.name = ""  # of the call under way

    # -- all of them ---------------------------------------------------------------------------------------------

    def of(self, env: Env, switch: KillSwitch | None) -> Iterator[Move]:
        """Every move that may come next."""
        yield from self.outside(env, switch)
        if switch is None:
            yield from self._down(env)
        else:
            yield from self._calls(env, switch)

    def good(self, env: Env, switch: KillSwitch | None) -> str:
        """The move that comes when everything goes well, and the disk does not answer at all."""
        if switch is None:
            return "start"
        for i, own in enumerate(env.owners):
            name = self.setting.sessions[i]
            if own.life == "stopped":
                return f"{name} goes on"
            if own.unheard:
                return f"{name}: death heard"
        for i, order in enumerate(env.orders):
            running = env.owners[self.setting.of[i]].life == "running"
            if order.status == "flying":
                return f"o{i} arrives"
            if order.ack == "wire" and running:
                return f"o{i}: ack told"
            if order.end == "wire" and running:
                return f"o{i}: end told"
            if order.cancel:
                return f"o{i}: cancel arrives"
            if order.asked:
                return f"o{i}: answered"
        for i, own in enumerate(env.owners):
            name = self.setting.sessions[i]
            if own.life == "dead":
                return f"{name} starts"
            if own.life == "starting":
                return f"{name} runs"
            if own.life == "running" and own.fence < env.generation:
                return f"{name} looks"
            if own.read < len(own.journal):
                return f"{name}: journal"
            if own.reading:
                return f"{name}: journal read"
            if own.asked:
                return f"{name}: inventory"
        if any(x.told is None for x in env.lists):
            return "list now"
        return "step"

    # -- while the kill switch does not run ------------------------------------------------------------------------

    def _down(self, env: Env) -> Iterator[Move]:
        if self.setting.garbles and env.disk is not None:
            if env.disk != STRANGE:
                yield "latch damaged", forgotten(_set(env, disk=STRANGE)), None
            yield "latch removed", forgotten(_set(env, disk=None)), None
        if env.lease:
            yield "lease runs out", _set(env, lease=False), None
        yield from self._run("start", env, None, self._start)

    def _start(self, _: KillSwitch) -> KillSwitch:
        """As the process begins: latch, journals, then the switch's own start."""
        stage = self.stage
        env = stage.env
        reading = decode(env.disk, NOW)
        _remembered(env, env.disk)
        latch = latch_of(env.disk) if env.disk is not None else None
        sound = latch is not None and latch.boot_id == NOW
        if env.disk is not None and not sound:
            env.people = {**env.people, "desk": SHUT_BY_TRIP}
        switch = KillSwitch(stage, stage, self.topology, self.config, NOW, stage.perform)
        env.owners = tuple(_set(o, read=len(o.journal), unheard=False, reading=False, asked=False) for o in env.owners)
        for own, session in zip(env.owners, self.setting.sessions, strict=True):
            self._feed(switch, session, own.journal)
        switch.start(reading, max(o.fence for o in env.owners), self._alive())
        stage.env.lease = True
        if not sound and stage.get("desk").state not in CLOSED:
            raise BrokenRuleError(f"the desk is {stage.get('desk').state.name}, and its latch was {env.disk!r}")
        return switch

    # -- calls of the kill switch ----------------------------------------------------------------------------------

    def _calls(self, env: Env, switch: KillSwitch) -> Iterator[Move]:
        for scope in self.setting.trips:
            now = env.now_ns
            if not (self.setting.once and scope in env.words and env.words[scope].state in CLOSED):
                yield from self._run(f"trip {scope}", env, switch, lambda s: s.trip(scope, "operator", "test", now))  # noqa: B023
            if scope in switch.records and self.setting.resets:
                yield from self._reset(env, switch, scope)
        yield from self._asked("arm", env, switch, self._arm)
        for i, session in enumerate(self.setting.sessions):
            own = env.owners[i]
            if own.unheard:
                yield from self._run(f"{session}: death heard", env, switch, lambda s: self._died(s, i))  # noqa: B023
            if session in switch.waiting_for() and own.life != "dead" and own.fence == env.generation:
                yield from self._run(f"{session}: bell", env, switch, self._fences)
            if own.read < len(own.journal):
                yield from self._run(f"{session}: journal", env, switch, lambda s: self._read(s, i))  # noqa: B023
            if own.journal and "journal" in self.setting.losses:
                yield from self._run(f"{session}: journal again", env, switch, lambda s: self._reread(s, i))  # noqa: B023
            if own.reading:
                yield from self._run(f"{session}: journal read", env, switch, lambda s: self._journal(s, i))  # noqa: B023
            if own.asked and own.life == "running":
                yield from self._run(f"{session}: inventory", env, switch, lambda s: self._inventory(s, i))  # noqa: B023
        for i, order in enumerate(env.orders):
            if order.asked:
                yield from self._run(f"o{i}: answered", env, switch, lambda s: self._answered(s, i))  # noqa: B023
        for k, answer in enumerate(env.lists):
            yield from self._listings(env, switch, k, answer)
        yield from self._run("watch", env, switch, self._watch)
        if self._may_pass(env):
            yield from self._run("step", env, switch, self._step)

    def _may_pass(self, env: Env) -> bool:
        """Whether a step of time may come before anything else: no line stalls for longer than orders may fly."""
        if any(o.status == "flying" and o.age >= self.setting.flight for o in env.orders):
            return False
        if "lists" in self.setting.losses and not self.setting.prompt:
            return True
        waiting = any(o.fence < env.generation or o.asked or o.reading for o in env.owners if o.life == "running")
        return not waiting and not env.lists and not any(o.asked for o in env.orders)

    def _listings(self, env: Env, switch: KillSwitch, k: int, answer: Answered) -> Iterator[Move]:
        told = answer.told
        if told is not None:
            yield from self._run("list doubled", env, switch, lambda s: self._list(s, k, told))
            yield "list gone", _set(env, lists=(*env.lists[:k], *env.lists[k + 1 :])), switch
            return
        yield from self._run("list now", env, switch, lambda s: self._list(s, k, working(env)))
        if answer.old != working(env):
            yield from self._run("list old", env, switch, lambda s: self._list(s, k, answer.old))
        if "lists" in self.setting.losses:
            yield from self._run("list failed", env, switch, lambda s: self._list_failed(s, k))

    def _run(self, name: str, env: Env, switch: KillSwitch | None, call: Call) -> Iterator[Move]:
        """Outcomes of one call: the whole of it, and a crash behind each of its effects."""
        stage, self.name = self.stage, name
        stage.env, stage.effects, stage.trace = _set(env), [], []
        new = clone(switch) if switch is not None else None
        began = call(new)  # type: ignore[arg-type]
        if switch is None:
            new = began
        after = stage.env
        after.highest = max(after.highest, after.generation)
        self.check_order(name)
        yield name, after, new
        if self.setting.crashes:
            for at in stage.trace:
                at.highest = max(at.highest, at.generation)
                yield f"{name}, and crash", crashed(at), None

    def check_order(self, name: str) -> None:
        """A trip closes the words first of all, and nothing of it waits for a disk."""
        if not name.startswith("trip"):
            return
        kinds = [k for k, _ in self.stage.effects]
        if kinds[0] != "word" or "close" not in kinds:
            raise BrokenRuleError(f"a trip began with {kinds[0]}")
        if {"Persist", "Audit", "Tell"} & set(kinds):
            raise BrokenRuleError(f"a trip waited for latch, audit or alarm: {kinds}")

    # -- people ----------------------------------------------------------------------------------------------------

    def _reset(self, env: Env, switch: KillSwitch, scope: str) -> Iterator[Move]:
        yield from self._asked(f"reset {scope}", env, switch, lambda s: self._plain_reset(s, scope))
        names = self.obstacles(env, switch, scope)
        if names:
            yield from self._asked(f"forced reset {scope}", env, switch, lambda s: self._forced(s, scope, names))

    def _asked(self, name: str, env: Env, switch: KillSwitch, call: Call) -> Iterator[Move]:
        """What a person may be refused."""
        try:
            yield from self._run(name, env, switch, call)
        except CommandError:
            if self.stage.effects:
                raise BrokenRuleError(f"{name} was refused, and left {self.stage.effects}") from None

    def obstacles(self, env: Env, switch: KillSwitch, scope: str) -> list[str]:
        """What a person is asked to repeat."""
        self.stage.env = _set(env)
        try:
            clone(switch).reset(scope, "looked at it", "me")
        except CommandError as e:
            return str(e).partition("repeat the list: ")[2].split()
        return []

    def _plain_reset(self, switch: KillSwitch, scope: str) -> None:
        alive = [i for i, o in enumerate(self.stage.env.orders) if o.dangerous and self.covers(scope, i)]
        switch.reset(scope, "looked at it", "me")
        if alive:
            raise BrokenRuleError(f"{scope} was reset without the list, while {alive} may work")
        self._granted(scope)

    def _forced(self, switch: KillSwitch, scope: str, names: list[str]) -> None:
        switch.reset(scope, "looked at it", "me", names)
        self._granted(scope)

    def _granted(self, scope: str) -> None:
        env = self.stage.env
        also = {s for s, w in env.words.items() if w.state == GateState.RESETTING and s in env.people}
        shut = {s for s in (scope, *also) if env.people.get(s) in (SHUT, SHUT_BY_TRIP)}
        env.people = {s: GRANTED if s in shut else p for s, p in env.people.items()}

    def _arm(self, switch: KillSwitch) -> None:
        self.stage.arming = True
        try:
            switch.arm("first day", "me")
        finally:
            self.stage.arming = False

    def covers(self, scope: str, i: int) -> bool:
        """Whether order `i` lies in the scope."""
        return scope in ("desk", f"session:{self.setting.sessions[self.setting.of[i]]}")

    # -- what reaches the kill switch --------------------------------------------------------------------------------

    def _alive(self) -> list[str]:
        owners = zip(self.setting.sessions, self.stage.env.owners, strict=True)
        return [s for s, o in owners if o.life != "dead" or o.unheard]

    def _feed(self, switch: KillSwitch, session: str, entries: tuple[tuple[str, int], ...]) -> None:
        for what, i in entries:
            switch.event(event(session, i, what))

    def _read(self, switch: KillSwitch, i: int) -> None:
        """What the owner's journal holds and the kill switch has not read yet."""
        session, own = self.setting.sessions[i], self.stage.env.owners[i]
        self.stage.change(session, read=len(own.journal))
        self._feed(switch, session, own.journal[own.read :])

    def _reread(self, switch: KillSwitch, i: int) -> None:
        """The journal from its beginning: everything is heard twice."""
        session, own = self.setting.sessions[i], self.stage.env.owners[i]
        self.stage.change(session, read=len(own.journal))
        self._feed(switch, session, own.journal)

    def _journal(self, switch: KillSwitch, i: int) -> None:
        self.stage.change(self.setting.sessions[i], reading=False)
        self._read(switch, i)
        switch.journal_read(self.setting.sessions[i])

    def _inventory(self, switch: KillSwitch, i: int) -> None:
        session = self.setting.sessions[i]
        self.stage.change(session, asked=False)
        self._read(switch, i)
        journal = self.stage.env.owners[i].journal
        mine = [k for k, o in enumerate(self.setting.of) if o == i and is_open(journal, k)]
        switch.inventory(session, [event(session, k, last_state(journal, k)) for k in mine])  # type: ignore[misc]

    def _died(self, switch: KillSwitch, i: int) -> None:
        self.stage.change(self.setting.sessions[i], unheard=False)
        self._read(switch, i)
        switch.owner_died(self.setting.sessions[i], False)

    def _fences(self, switch: KillSwitch) -> None:
        for session in switch.waiting_for():
            own = self.stage.owner(session)
            switch.fence(session, own.fence, self.stage.env.now_ns)

    def _answered(self, switch: KillSwitch, i: int) -> None:
        env, session = self.stage.env, self.setting.sessions[self.setting.of[i]]
        order = env.orders[i]
        env.orders = replaced(env.orders, i, _set(order, asked=False))
        known = order.status == "dead" and ("A", i) in env.owners[self.setting.of[i]].journal
        switch.order_answered(session, f"o{i}", "4" if known else "", 0 if known else None)

    def _list(self, switch: KillSwitch, k: int, shown: frozenset[int]) -> None:
        env = self.stage.env
        answer = env.lists[k]
        keeps = _set(answer, told=shown)
        env.lists = (
            replaced(env.lists, k, keeps) if "lists" in self.setting.losses else (*env.lists[:k], *env.lists[k + 1 :])
        )
        switch.listed("x", [ListedId(f"v{i}", f"o{i}", "BTC-USD") for i in shown], answer.asked_ns, env.now_ns)

    def _list_failed(self, switch: KillSwitch, k: int) -> None:
        env = self.stage.env
        env.lists = (*env.lists[:k], *env.lists[k + 1 :])
        switch.list_failed("x", "no answer")

    def _watch(self, switch: KillSwitch) -> None:
        """What the process does every 20 ms."""
        env = self.stage.env
        for i in range(len(env.owners)):
            if env.owners[i].unheard:
                self._died(switch, i)
            self._read(switch, i)
        names = self.setting.sessions
        switch.owners_alive(self._alive(), [s for s, o in zip(names, env.owners, strict=True) if o.life == "starting"])
        self._fences(switch)
        switch.tick()

    def _step(self, switch: KillSwitch) -> None:
        """Time passes: whatever is due happens."""
        env = self.stage.env
        env.now_ns += STEP_NS
        env.before = working(env)
        env.orders = tuple(_set(o, age=o.age + 1) if o.status == "flying" else o for o in env.orders)
        env.lists = tuple(x for x in env.lists if env.now_ns - x.asked_ns <= STEP_NS)
        env.people = {s: COOLED if p == GRANTED else p for s, p in env.people.items()}
        left = [t for t in switch.trips.values() if t.phase == Phase.PROVING and t.proofs.unproven()]
        self._watch(switch)
        tries = {"RestCancelAll", "CancelOne"} & {kind for kind, _ in self.stage.effects}
        if not tries and any(t.phase == Phase.PROVING and t.proofs.unproven() for t in left):
            raise BrokenRuleError(f"given up: {[t.open_questions() for t in left]}")


def _remembered(env: Env, disk: bytes | None) -> None:
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
