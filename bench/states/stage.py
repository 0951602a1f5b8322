"""What the kill switch is given as gate, clock and hands: it acts on the world of the move under way."""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeAlias

import msgspec

from bench.states.world import (
    GRANTED,
    NOW_NS,
    OPEN,
    SHUT,
    SHUT_BY_TRIP,
    Answered,
    BrokenRuleError,
    Env,
    Own,
    Setting,
    plain,
    replaced,
)
from ipc.gate import GateState, GateWord
from risk import kill_actions as do
from risk.kill_plan import OwnerMassCancel, RestCancelAll

Effect: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]  # a method of Stage and its arguments


def effect(method: Any) -> Any:
    """A method of the stage that changes the world: it is kept in the log, where there is one, to be done again."""

    @wraps(method)
    def logged(stage: "Stage", *args: Any, **named: Any) -> Any:
        log = stage.log
        if log is None:
            return method(stage, *args, **named)
        log.append((method, args, named))
        stage.log = None  # what it calls is part of it
        try:
            return method(stage, *args, **named)
        finally:
            stage.log = log

    return logged


class Stage:
    """What the kill switch is given as gate, clock and hands. It acts on the `env` of the move under way.

    `people` says what each word may do: a word that closed by a trip opens only if a person's reset was accepted in
    this life of the kill switch (GRANTED) and the cool-off has passed since (COOLED).
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.env = setting.start()
        self.effects: list[tuple[str, Any]] = []
        self.log: list[Effect] | None = None
        self.trace: list[Env] = []  # the world after each effect: where a crash may leave it
        self.arming = False

    def begin(self, env: Env, *, arming: bool = False) -> None:
        """A call begins in this world."""
        self.env = msgspec.structs.replace(env)
        self.effects, self.trace, self.arming = [], [], arming

    # -- clock ---------------------------------------------------------------------------------------------------

    def mono_ns(self) -> int:
        return NOW_NS

    def wall_ns(self) -> int:
        return NOW_NS

    # -- gate ----------------------------------------------------------------------------------------------------

    @property
    def generation(self) -> int:
        return self.env.generation

    @effect
    def raise_to(self, generation: int) -> None:
        if generation > self.env.generation:
            self.env.generation = generation
            self.note("raise", generation)

    @effect
    def close(self, scopes: Iterable[str], state: GateState = GateState.TRIPPING) -> int:
        generation = self.env.generation + 1
        for scope in scopes:
            self._store(scope, GateWord(generation, state))
        self.env.generation = generation
        self.note("close", generation)
        return generation

    @effect
    def set(self, scope: str, state: GateState) -> None:
        self._store(scope, GateWord(self.env.words[scope].generation, state))

    def get(self, scope: str) -> GateWord:
        return self.env.words[scope]

    @effect
    def add_scope(self, scope: str, state: GateState = GateState.ARMED) -> int:
        if scope not in self.env.words:
            state = GateState.DISARMED if scope == "desk" else state
            self.env.words = {**self.env.words, scope: GateWord(0, state)}
        return 0

    def scopes(self) -> list[str]:
        return list(self.env.words)

    def nameless(self) -> list[int]:
        return []

    def open_nameless(self) -> None: ...

    def _store(self, scope: str, word: GateWord) -> None:
        env = self.env
        was = env.words.get(scope)
        env.words = {**env.words, scope: word}
        env.people = {**env.people, scope: self._allowed(scope, word.state, env.people.get(scope, OPEN))}
        if was != word:
            self.note("word", (scope, word.state))

    def _allowed(self, scope: str, state: GateState, people: int) -> int:
        if state == GateState.ARMED:
            if people in (SHUT_BY_TRIP, GRANTED) or (people == SHUT and not self.arming):
                why = "before its cool-off" if people == GRANTED else "without a person's reset"
                raise BrokenRuleError(f"{scope} was opened {why}")
            return OPEN
        if state == GateState.RESETTING:
            return people
        if state == GateState.TRIPPING:
            return SHUT_BY_TRIP
        return SHUT if people == OPEN else people

    # -- hands ---------------------------------------------------------------------------------------------------

    def note(self, kind: str, what: Any) -> None:
        """An effect has left the kill switch; it may crash right behind it."""
        self.effects.append((kind, what))
        self.trace.append(msgspec.structs.replace(self.env))

    @effect
    def perform(self, action: do.Action) -> None:
        """The sink of the kill switch's actions."""
        env = self.env
        match action:
            case do.Persist(data):
                if self.setting.lags:
                    env.pending = plain(data)
                else:
                    env.disk = plain(data)
            case RestCancelAll():
                for i in range(len(env.orders)):
                    self.cancel(i)
            case do.CancelOne(session, cl_ord_id):
                i = int(cl_ord_id[1:])
                if self.owner(session).life == "running":
                    self.cancel(i)
            case OwnerMassCancel():
                raise AssertionError("no such step here")
            case do.KillOwner(session):
                self.kill(self.setting.sessions.index(session))
            case do.AskOwner(session):
                self.change(session, asked=True)
            case do.ReadJournal(session):
                self.change(session, reading=True)
            case do.AskList():
                # A second request takes the place of one that nobody answered.
                env.lists = (*[x for x in env.lists if x.told is not None][-1:], Answered(NOW_NS, env.before))
            case do.AskOrder(_, _, cl_ord_id):
                i = int(cl_ord_id[1:])
                env.orders = replaced(env.orders, i, msgspec.structs.replace(env.orders[i], asked=True))
            case _:
                self.effects.append((type(action).__name__, action))
                return
        self.note(type(action).__name__, action)

    @effect
    def caught_up(self, session: str) -> None:
        """The kill switch has read the owner's journal to its end."""
        self.change(session, read=len(self.owner(session).journal))

    @effect
    def answered(self, i: int) -> None:
        """The venue's answer about an order has arrived."""
        self.env.orders = replaced(self.env.orders, i, msgspec.structs.replace(self.env.orders[i], asked=False))

    @effect
    def list_came(self, k: int, shown: frozenset[int] | None) -> None:
        """A list has arrived; where lists are doubled it may arrive again. None: it failed."""
        lists = self.env.lists
        if shown is not None and "lists" in self.setting.losses:
            self.env.lists = replaced(lists, k, msgspec.structs.replace(lists[k], told=shown))
        else:
            self.env.lists = (*lists[:k], *lists[k + 1 :])

    @effect
    def granted(self, scopes: tuple[str, ...]) -> None:
        """A person's reset was accepted: these may open after the cool-off."""
        people = self.env.people
        shut = {s for s in scopes if people.get(s) in (SHUT, SHUT_BY_TRIP)}
        self.env.people = {s: GRANTED if s in shut else p for s, p in people.items()}

    def cancel(self, i: int) -> None:
        """A cancel of order `i` leaves for the venue."""
        env, order = self.env, self.env.orders[i]
        if self.setting.prompt and order.status == "working":
            env.orders = replaced(env.orders, i, msgspec.structs.replace(order, status="dead"))
            session = self.setting.sessions[self.setting.of[i]]
            self.change(session, journal=(*self.owner(session).journal, ("C", i)))
        elif not order.cancel and order.status in ("flying", "working"):
            env.orders = replaced(env.orders, i, msgspec.structs.replace(order, cancel=True))

    def owner(self, session: str) -> Own:
        return self.env.owners[self.setting.sessions.index(session)]

    @effect
    def change(self, session: str, **fields: Any) -> None:
        """Replace fields of an owner."""
        i = self.setting.sessions.index(session)
        self.env.owners = replaced(self.env.owners, i, msgspec.structs.replace(self.env.owners[i], **fields))

    def kill(self, i: int) -> None:
        """An owner's process ends; what it had not sent is never sent."""
        env = self.env
        if env.owners[i].life == "dead":
            return
        env.owners = replaced(
            env.owners, i, msgspec.structs.replace(env.owners[i], life="dead", unheard=True, asked=False)
        )
        env.orders = tuple(
            msgspec.structs.replace(o, status="dead")
            if self.setting.of[k] == i and o.status in ("queued", "checked")
            else o
            for k, o in enumerate(env.orders)
        )
