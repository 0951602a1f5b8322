"""Breadth-first search: every state that can be reached, each checked, with the way to it when one is wrong."""

import time
from collections import deque
from typing import Any, TypeAlias

import msgspec

from bench.states import rules
from bench.states.moves import Moves
from bench.states.world import BrokenRuleError, Env, Setting, env_key
from risk.kill import KillSwitch

Node: TypeAlias = tuple[Env, KillSwitch | None]
Queue: TypeAlias = deque[tuple[int, int, Node]]  # number, depth, node


class Found(msgspec.Struct):
    """What a search saw."""

    setting: str
    states: int = 0
    transitions: int = 0
    depth: int = 0
    closed: bool = False  # every reachable state was seen
    shut_states: int = 0  # of these: states in which something is tripped
    proven_after: int = 0  # most moves that any state needs to a proof when all goes well
    met_again: int = 0  # where there is doubt: states that were met more than once, each time counted
    doubted: int = 0  # of these: gone on from again
    seconds: float = 0.0

    def line(self) -> str:
        """For people."""
        all_of_it = "finished" if self.closed else "CUT SHORT"
        proven = f", each proven within {self.proven_after} moves when all goes well" if self.closed else ""
        doubt = f"; {self.doubted:,} gone on from again by another way" if self.doubted else ""
        return (
            f"{self.setting}: {self.states:,} states ({all_of_it}), {self.transitions:,} transitions, "
            f"depth {self.depth}; {self.shut_states:,} with something tripped{proven}{doubt}; {self.seconds:.1f} s"
        )


class Search:
    """One search. `limit`: stop after so many states; 0 = never.

    `doubt`: every so manieth time that a state is met again, by another way, it is gone on from there, too: what may
    happen next must be the same as the first time, or the key leaves out what matters. Nothing is remembered of calls
    then, so that both are as their ways left them.
    """

    def __init__(self, setting: Setting, limit: int = 0, *, doubt: int = 0) -> None:
        self.moves = Moves(setting, forgetful=bool(doubt))
        self._doubt = doubt
        self._doubts: list[tuple[int, Node, int, str]] = []  # met again: which state, and from where by what
        self._next: dict[int, frozenset[tuple[str, int]]] = {}  # where there is doubt: what follows each
        self.limit = limit
        self._again = setting.crashes or setting.reboots or "journal" in setting.losses
        self.found = Found(setting.name)
        self._numbers: dict[tuple[int, int], int] = {}
        self._parts: dict[Any, int] = {}
        self._from: list[tuple[int, str]] = []  # by number: where it was reached from, and by what move
        self._good: list[int] = []
        self._over: list[bool] = []

    def run(self) -> Found:
        """Search; BrokenRuleError with the way that leads to it."""
        began = time.process_time()
        queue: Queue = deque()
        self._visit(self._beginning(), -1, "", 0, queue)
        found = self.found
        while queue:
            if self.limit and found.states >= self.limit:
                break
            number, depth, node = queue.popleft()
            found.depth = max(found.depth, depth)
            self._expand(number, depth, node, queue)
        found.closed = not queue
        self._settle_doubts()
        if found.closed:
            found.proven_after = self._lively()
        found.seconds = time.process_time() - began
        return found

    def _beginning(self) -> Node:
        node: Node = (self.moves.setting.start(), None)
        for wanted in self.moves.setting.begin:
            node = next((env, switch) for name, env, switch in self.moves.of(*node) if name == wanted)
        return node

    def _expand(self, number: int, depth: int, node: Node, queue: Queue) -> None:
        good = self.moves.good(*node)
        after: list[tuple[str, int]] = []
        try:
            for name, env, switch in self.moves.of(*node):
                self.found.transitions += 1
                to = self._visit((env, switch), number, name, depth + 1, queue)
                if self._doubt:
                    after.append((name, to))
                if name == good:
                    self._good[number] = to
        except BrokenRuleError as e:
            raise BrokenRuleError(f"{e}\n{self.way(number)} > {self.moves.name}") from None
        if self._doubt:
            self._next[number] = frozenset(after)
        if self._good[number] < 0:
            raise BrokenRuleError(f"nothing leads on: {good!r} cannot happen\n{self.way(number)}")

    def _visit(self, node: Node, parent: int, name: str, depth: int, queue: Queue) -> int:
        """The number of a state; one that is new is checked and queued."""
        env, switch = node
        whole = self._which(node)
        number = self._numbers.setdefault(whole, len(self._from))
        if number == len(self._from):
            self._from.append((parent, name))
            self._good.append(-1)
            self._over.append(rules.over(env, switch))
            self.found.states += 1
            self.found.shut_states += switch is not None and bool(switch.trips)
            try:
                rules.check(self.moves, env, switch)
            except BrokenRuleError as e:
                raise BrokenRuleError(f"{e}\n{self.way(number)}") from None
            queue.append((number, depth, node))
        elif self._doubt:
            self.found.met_again += 1
            if self.found.met_again % self._doubt == 0:
                self._doubts.append((number, node, parent, name))
        return number

    def _which(self, node: Node) -> tuple[int, int]:
        env, switch = node
        parts = self._parts
        return self.moves.memory.number(switch), parts.setdefault(env_key(env, switch, again=self._again), len(parts))

    def _settle_doubts(self) -> None:
        for number, node, parent, name in self._doubts:
            first = self._next.get(number)
            if first is None:  # the search was cut short before it
                continue
            again = frozenset((n, self._numbers.get(self._which((e, s)), -1)) for n, e, s in self.moves.of(*node))
            if again != first:
                raise BrokenRuleError(
                    f"two states have the same key, and what follows differs: {sorted(first ^ again)}\n"
                    f"{self.way(number)}\nand\n{self.way(parent)} > {name}"
                )
            self.found.doubted += 1

    def way(self, number: int) -> str:
        """The shortest way to a state, move by move."""
        names: list[str] = []
        while number >= 0:
            number, name = self._from[number]
            names.append(name)
        return " > ".join(reversed(names[:-1]))

    def _lively(self) -> int:
        """The most moves to a proof that any state needs when all goes well; none may turn in circles."""
        steps: dict[int, int] = {n: 0 for n, over in enumerate(self._over) if over}
        for first in range(len(self._from)):
            walk: list[int] = []
            seen: set[int] = set()
            number = first
            while number not in steps:
                if number in seen:
                    raise BrokenRuleError(f"never proven, though all goes well from here:\n{self.way(first)}")
                seen.add(number)
                walk.append(number)
                number = self._good[number]
            for n in reversed(walk):
                steps[n] = steps[number] + 1
                number = n
        return max(steps.values(), default=0)
