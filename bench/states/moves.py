"""Everything that may happen next: outside, by people, and inside the kill switch.

A move outside leaves the kill switch as it is. One that calls it does so on a copy, and leaves, beside its own outcome,
one outcome for each place in it where the process may have crashed.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from base.errors import CommandError
from bench.states.copies import grow_older
from bench.states.journal import event, is_open, last_state
from bench.states.memory import Call, Memory
from bench.states.outside import Move, Outside, crashed, forgotten, later, remembered
from bench.states.world import (
    CLOSED,
    NOW,
    NOW_NS,
    SHUT_BY_TRIP,
    STRANGE,
    Answered,
    BrokenRuleError,
    Env,
    Own,
    Setting,
    latch_of,
    working,
)
from risk.kill import KillSwitch
from risk.kill_latch import decode
from risk.kill_proof import ListedId
from risk.kill_trip import Phase

_set = msgspec.structs.replace


class Moves(Outside):
    """Moves of one setting. `move` answers them all; the first of `good` is what happens when all goes well."""

    def __init__(self, setting: Setting, *, forgetful: bool = False) -> None:
        """`forgetful`: every call is made, whether it was made before or not."""
        super().__init__(setting)
        self.memory = Memory(self.stage, setting.flight, off=forgetful)
        self.topology, self.config = setting.topology(), setting.config()
        self.name = ""  # of the call under way

    # -- all of them ---------------------------------------------------------------------------------------------

    def of(self, env: Env, switch: KillSwitch | None) -> Iterator[Move]:
        """Every move that may come next."""
        if self.setting.quick and (at_once := self._at_once(env)):
            yield from (move for move in self.outside(env, switch) if move[0] == at_once)
            return
        yield from self.outside(env, switch)
        if switch is None:
            yield from self._down(env)
        else:
            yield from self._calls(env, switch)

    def good(self, env: Env, switch: KillSwitch | None) -> str:
        """The move that comes when everything goes well, and the disk does not answer at all."""
        if self.setting.quick and (at_once := self._at_once(env)):
            return at_once
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

    def _at_once(self, env: Env) -> str:
        """What comes before anything else where cancels and reports are quick."""
        for i, order in enumerate(env.orders):
            if order.cancel:
                return f"o{i}: cancel arrives"
            if env.owners[self.setting.of[i]].life == "running" and "wire" in (order.ack, order.end):
                return f"o{i}: {'ack' if order.ack == 'wire' else 'end'} told"
        return ""

    # -- while the kill switch does not run ------------------------------------------------------------------------

    def _down(self, env: Env) -> Iterator[Move]:
        if self.setting.garbles and env.disk is not None:
            if env.disk != STRANGE:
                yield "latch damaged", forgotten(_set(env, disk=STRANGE)), None
            yield "latch removed", forgotten(_set(env, disk=None)), None
        if env.lease:
            yield "lease runs out", _set(env, lease=False), None
        latch = latch_of(env.disk) if env.disk is not None else None
        sound = latch is not None and latch.boot_id == NOW
        ready = _set(env)
        remembered(ready, env.disk)
        if env.disk is not None and not sound:
            ready.people = {**ready.people, "desk": SHUT_BY_TRIP}
        ready.owners = tuple(
            _set(o, read=len(o.journal), unheard=False, reading=False, asked=False) for o in env.owners
        )
        reads = env.disk, tuple((o.journal, o.fence, o.life) for o in env.owners)
        for name, new, switch in self._run("start", ready, None, self._start, reads):
            if switch is not None:
                new.lease = True
                if not sound and new.words["desk"].state not in CLOSED:
                    state = new.words["desk"].state.name
                    raise BrokenRuleError(f"the desk is {state}, and its latch was {env.disk!r}")
            yield name, new, switch

    def _start(self, _: KillSwitch) -> KillSwitch:
        """As the process begins: latch, journals, then the switch's own start."""
        stage = self.stage
        reading = decode(stage.env.disk, NOW)
        switch = KillSwitch(stage, stage, self.topology, self.config, NOW, stage.perform)
        owners = stage.env.owners
        for own, session in zip(owners, self.setting.sessions, strict=True):
            self._feed(switch, session, own.journal)
        switch.start(reading, max(o.fence for o in owners), self._alive())
        return switch

    # -- calls of the kill switch ----------------------------------------------------------------------------------

    def _calls(self, env: Env, switch: KillSwitch) -> Iterator[Move]:
        for scope in self.setting.trips:
            if not (self.setting.once and scope in env.words and env.words[scope].state in CLOSED):
                yield from self._run(f"trip {scope}", env, switch, lambda s: s.trip(scope, "operator", "t", NOW_NS))  # noqa: B023
            if scope in switch.records and self.setting.resets:
                yield from self._reset(env, switch, scope)
        yield from self._asked("arm", env, switch, lambda s: s.arm("first day", "me"))
        waiting = switch.waiting_for()
        for i, own in enumerate(env.owners):
            yield from self._of_owner(env, switch, i, own, waiting)
        for i, order in enumerate(env.orders):
            if order.asked:
                known = order.status == "dead" and ("A", i) in env.owners[self.setting.of[i]].journal
                yield from self._run(f"o{i}: answered", env, switch, lambda s: self._answered(s, i, known), known)  # noqa: B023
        for k, answer in enumerate(env.lists):
            yield from self._listings(env, switch, k, answer)
        looks = tuple([(o.life, o.unheard, o.fence, o.journal[o.read :]) for o in env.owners])
        yield from self._run("watch", env, switch, self._watch, looks)
        if self._may_pass(env):
            yield from self._run("step", later(env), switch, self._step, looks)

    def _of_owner(self, env: Env, switch: KillSwitch, i: int, own: Own, waiting: set[str]) -> Iterator[Move]:
        session, unread = self.setting.sessions[i], own.journal[own.read :]
        if own.unheard:
            yield from self._run(f"{session}: death heard", env, switch, lambda s: self._died(s, i), unread)
        if session in waiting and own.life != "dead" and own.fence == env.generation:
            fences = tuple([o.fence for o in env.owners])
            yield from self._run(f"{session}: bell", env, switch, self._fences, fences)
        if unread:
            yield from self._run(f"{session}: journal", env, switch, lambda s: self._read(s, i), unread)
        if own.journal and "journal" in self.setting.losses:
            yield from self._again(f"{session}: journal again", env, switch, i, own)
        if own.reading:
            yield from self._run(f"{session}: journal read", env, switch, lambda s: self._journal(s, i), unread)
        if own.asked and own.life == "running":
            mine = [k for k, o in enumerate(self.setting.of) if o == i and is_open(own.journal, k)]
            told = tuple([(k, last_state(own.journal, k)) for k in mine])
            name = f"{session}: inventory"
            yield from self._run(name, env, switch, lambda s: self._inventory(s, i, told), (unread, told))

    def _may_pass(self, env: Env) -> bool:
        """Whether a step of time may come before anything else: no line stalls for longer than orders may fly."""
        if any(o.status == "flying" and o.age >= self.setting.flight for o in env.orders):
            return False
        setting = self.setting
        late = "lists" in setting.losses and not setting.prompt
        asked = any(o.fence < env.generation or o.asked or o.reading for o in env.owners if o.life == "running")
        if asked and (setting.punctual or not late):
            return False
        return late or not (env.lists or any(o.asked for o in env.orders))

    def _again(self, name: str, env: Env, switch: KillSwitch, i: int, own: Own) -> Iterator[Move]:
        """What was heard before proves nothing and refutes nothing."""
        for move in self._run(name, env, switch, lambda s: self._reread(s, i), own.journal):
            if move[2] is not None and own.read == len(own.journal) and verdicts(move[2]) != verdicts(switch):
                raise BrokenRuleError(f"a journal heard twice made {verdicts(switch)} into {verdicts(move[2])}")
            yield move

    def _listings(self, env: Env, switch: KillSwitch, k: int, answer: Answered) -> Iterator[Move]:
        told, now = answer.told, working(env)
        if told is not None:
            proven = {x for x in verdicts(switch) if x[2]}
            for move in self._list(env, switch, "list doubled", k, told):
                if move[2] is not None and not proven.issuperset(x for x in verdicts(move[2]) if x[2]):
                    raise BrokenRuleError(f"a list heard twice has proved {verdicts(move[2])}")
                yield move
            yield "list gone", _set(env, lists=(*env.lists[:k], *env.lists[k + 1 :])), switch
            return
        yield from self._list(env, switch, "list now", k, now)
        if answer.old != now:
            yield from self._list(env, switch, "list old", k, answer.old)
        if "lists" in self.setting.losses:
            yield from self._run("list failed", env, switch, lambda s: self._list_failed(s, k), k)

    def _list(self, env: Env, switch: KillSwitch, name: str, k: int, shown: frozenset[int]) -> Iterator[Move]:
        asked_ns = env.lists[k].asked_ns
        yield from self._run(
            name, env, switch, lambda s: self._listed(s, k, shown, asked_ns), (k, shown, asked_ns)
        )  # fmt: skip

    def _run(self, name: str, env: Env, switch: KillSwitch | None, call: Call, reads: Any = ()) -> Iterator[Move]:
        """Outcomes of one call: the whole of it, and a crash behind each of its effects.

        `reads`: whatever of the world the call looks at, beside the gate's words.
        """
        stage, self.name = self.stage, name
        stage.begin(env, arming=name == "arm")
        if self.setting.prompt:  # cancels of this call are answered while it lasts
            reads = reads, env.orders, env.owners
        new = self.memory.call(switch, name, reads, call)
        after = stage.env
        after.highest = max(after.highest, after.generation)
        self.check_order(name)
        yield name, after, new
        if self.setting.crashes and self.setting.torn:
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
        alive = [i for i, o in enumerate(env.orders) if o.dangerous and self.covers(scope, i)]
        for move in self._asked(f"reset {scope}", env, switch, lambda s: self._plain_reset(s, scope)):
            if alive:
                raise BrokenRuleError(f"{scope} was reset without the list, while {alive} may work")
            yield move
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
        self.stage.begin(env)
        try:
            self.memory.clone(switch).reset(scope, "looked at it", "me")
        except CommandError as e:
            return str(e).partition("repeat the list: ")[2].split()
        return []

    def _plain_reset(self, switch: KillSwitch, scope: str) -> None:
        with_it = _widened(switch, scope)
        switch.reset(scope, "looked at it", "me")
        self.stage.granted(with_it)

    def _forced(self, switch: KillSwitch, scope: str, names: list[str]) -> None:
        with_it = _widened(switch, scope)
        switch.reset(scope, "looked at it", "me", names)
        self.stage.granted(with_it)

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
        self.stage.caught_up(session)
        self._feed(switch, session, own.journal[own.read :])

    def _reread(self, switch: KillSwitch, i: int) -> None:
        """The journal from its beginning: everything is heard twice."""
        session, own = self.setting.sessions[i], self.stage.env.owners[i]
        self.stage.caught_up(session)
        self._feed(switch, session, own.journal)

    def _journal(self, switch: KillSwitch, i: int) -> None:
        self.stage.change(self.setting.sessions[i], reading=False)
        self._read(switch, i)
        switch.journal_read(self.setting.sessions[i])

    def _inventory(self, switch: KillSwitch, i: int, told: tuple[tuple[int, str], ...]) -> None:
        session = self.setting.sessions[i]
        self.stage.change(session, asked=False)
        self._read(switch, i)
        switch.inventory(session, [event(session, k, state) for k, state in told])  # type: ignore[misc]

    def _died(self, switch: KillSwitch, i: int) -> None:
        self.stage.change(self.setting.sessions[i], unheard=False)
        self._read(switch, i)
        switch.owner_died(self.setting.sessions[i], False)

    def _fences(self, switch: KillSwitch) -> None:
        for session in sorted(switch.waiting_for()):
            switch.fence(session, self.stage.owner(session).fence, NOW_NS)

    def _answered(self, switch: KillSwitch, i: int, known: bool) -> None:
        self.stage.answered(i)
        session = self.setting.sessions[self.setting.of[i]]
        switch.order_answered(session, f"o{i}", "4" if known else "", 0 if known else None)

    def _listed(self, switch: KillSwitch, k: int, shown: frozenset[int], asked_ns: int) -> None:
        self.stage.list_came(k, shown)
        switch.listed("x", [ListedId(f"v{i}", f"o{i}", "BTC-USD") for i in sorted(shown)], asked_ns, NOW_NS)

    def _list_failed(self, switch: KillSwitch, k: int) -> None:
        self.stage.list_came(k, None)
        switch.list_failed("x", "no answer")

    def _watch(self, switch: KillSwitch) -> None:
        """What the process does every 20 ms."""
        stage, names = self.stage, self.setting.sessions
        for i in range(len(names)):
            if stage.env.owners[i].unheard:
                self._died(switch, i)
            self._read(switch, i)
        owners = zip(names, stage.env.owners, strict=True)
        switch.owners_alive(self._alive(), [s for s, o in owners if o.life == "starting"])
        self._fences(switch)
        switch.tick()

    def _step(self, switch: KillSwitch) -> None:
        """Time has passed: whatever is due happens."""
        grow_older(switch, NOW_NS)
        left = [t for t in switch.trips.values() if t.phase == Phase.PROVING and t.proofs.unproven()]
        self._watch(switch)
        tries = {"RestCancelAll", "CancelOne"} & {kind for kind, _ in self.stage.effects}
        if not tries and any(t.phase == Phase.PROVING and t.proofs.unproven() for t in left):
            raise BrokenRuleError(f"given up: {[t.open_questions() for t in left]}")


def _widened(switch: KillSwitch, scope: str) -> tuple[str, ...]:
    """What a reset of the scope may open: itself, and what its trip had widened to. No other scope, shut or not."""
    trip_id = switch.records[scope].trip_id
    return scope, *(s for s, r in switch.records.items() if trip_id and r.trip_id == trip_id and s != scope)


def verdicts(switch: KillSwitch) -> list[tuple[str, str, bool]]:
    """Every order of every trip, and whether it is proven dead."""
    return [(t.scope, p.name, bool(p.how)) for t in switch.trips.values() for p in t.proofs]
