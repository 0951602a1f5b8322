"""The world around one kill switch: what there is besides it, as one value that is cheap to copy and to compare.

It knows the truth, which the kill switch does not. Time goes in steps (copies.STEP_NS); whatever happens between two
steps happens at the same instant.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from typing import Any, TypeAlias

import msgspec

from base.kill_config import KillConfig
from bench.states.copies import STEP_NS
from ipc.gate import GateState, GateWord
from risk import kill_actions as do
from risk.kill import KillSwitch
from risk.kill_latch import Latch, decode, encode
from risk.kill_plan import KillVenue, Owner, OwnerMassCancel, RestCancelAll, Topology

NOW_NS = 10 * STEP_NS + 7  # it is always now: a step of time moves every moment back instead; none is ever 0
STEP_S = STEP_NS // 1_000_000_000
LAG_NS = STEP_NS
NOW, BEFORE = "this boot", "another boot"  # boot ids
STRANGE = b"no latch at all\n"  # what a damaged latch reads as
CLOSED = (GateState.TRIPPING, GateState.TRIPPED, GateState.RESETTING)
DECIDING = ("latch", "fingerprint")  # causes that somebody looks at
# What the word of a scope may do next, as people had it: see `Stage`.
OPEN, SHUT, SHUT_BY_TRIP, GRANTED, COOLED = range(5)


class BrokenRuleError(AssertionError):
    """Something that must never be was."""


class Way(msgspec.Struct, frozen=True):
    """A cancel step of the venue's plan."""

    action: str
    reaches: str
    per_instrument: bool = False
    says: str = "cancel"
    certain: bool = True


class Ord(msgspec.Struct, frozen=True):
    """An order as it really is. `ack`, `end`: where the venue's report is, "" = not made, or lost."""

    status: str = "unused"  # unused, queued, checked (the gate said yes, not sent yet), flying, working, dead
    age: int = 0  # steps it has been flying
    ack: str = ""
    end: str = ""
    cancel: bool = False  # a cancel is on its way to the venue
    asked: bool = False  # the kill switch asks the venue for it
    claimed: bool = False  # its owner said once that it is over, without a report

    @property
    def dangerous(self) -> bool:
        """It works, or may yet."""
        return self.status in ("checked", "flying", "working")


class Own(msgspec.Struct, frozen=True):
    """A process that owns orders, and its journal: (what, order) each."""

    life: str = "dead"  # dead, starting, running, stopped
    fence: int = 0
    unheard: bool = False  # it died, and the kill switch has not noticed
    asked: bool = False  # the kill switch asked for its orders
    reading: bool = False  # the kill switch will read its journal
    journal: tuple[tuple[str, int], ...] = ()
    read: int = 0


class Answered(msgspec.Struct, frozen=True):
    """An open-orders list on its way: it shows how things stood when it was asked for, less the lag, or stand now."""

    asked_ns: int
    old: frozenset[int]
    told: frozenset[int] | None = None  # what it showed when it arrived first


class Env(msgspec.Struct):
    """Everything but the kill switch itself."""

    orders: tuple[Ord, ...]
    owners: tuple[Own, ...]
    words: dict[str, GateWord]
    people: dict[str, int]  # scope -> OPEN ... COOLED
    generation: int = 0
    highest: int = 0  # generation in this boot
    disk: bytes | None = None
    pending: bytes | None = None
    lists: tuple[Answered, ...] = ()
    before: frozenset[int] = frozenset()  # what worked when this step began
    lease: bool = False


class Setting(msgspec.Struct, frozen=True):
    """What a world consists of, and what may happen in it."""

    name: str
    of: tuple[int, ...]  # the owner of each order
    owners: int = 1
    trips: tuple[str, ...] = ("desk", "session:a")
    begin: tuple[str, ...] = ()  # moves that come first; the search begins behind them
    resets: bool = True  # by people
    crashes: bool = True  # of the kill switch
    torn: bool = True  # it may crash behind each effect of a call, not between two calls alone
    lags: bool = True  # the disk takes the latch later, or never; otherwise at once
    garbles: bool = True  # the latch is damaged or removed while the kill switch does not run
    reboots: bool = True
    stalls: tuple[str, ...] = ("stops", "dies")  # owners stop, also between the gate and the wire, and go on; they die
    losses: tuple[str, ...] = ("orders", "cancels", "reports", "lists", "journal")  # what is lost, doubled, late
    quick: bool = False  # cancels arrive at once, reports too where the owner runs
    punctual: bool = False  # owners that run answer the kill switch before a step of time passes
    once: bool = False  # nobody trips again what is tripped
    prompt: bool = False  # what owner and venue say to each other arrives at once; owners run whenever the host does
    flight: int = 0  # steps of time for which an order may be on its way
    queues: bool = False  # orders wait in their owner before they are sent
    claims: bool = False  # owners say that an order is over without a report

    @property
    def sessions(self) -> tuple[str, ...]:
        """Names of the owners."""
        return tuple("abc"[: self.owners])

    def config(self) -> KillConfig:
        """Every deadline is due after one step, but the horizon of unanswered orders."""
        return KillConfig(
            proof_deadline_s=STEP_S, unanswered_horizon_s=self.flight * STEP_S, reset_cool_off_s=STEP_S,
            strategies_arm_again=False,
            watch_after_proof_s=STEP_S if "lists" in self.losses else 0,
        )  # fmt: skip

    def topology(self) -> Topology:
        """One venue with an account-wide cancel, an open-orders list that lags, and these owners."""
        owners = {s: Owner(s, "x", "main", ("BTC-USD",)) for s in self.sessions}
        ways = (Way("rest_cancel_all", "account"), Way("owner_cancel_each", "session"))
        venue = KillVenue(
            name="x", account="main", instruments=("BTC-USD",), steps=ways, lists=True, lag_ns=LAG_NS
        )  # fmt: skip
        return Topology(owners, {"x": venue})

    def start(self) -> Env:
        """A new desk: never armed, nothing traded, nothing runs."""
        return Env(
            tuple(Ord() for _ in self.of),
            tuple(Own("running" if self.prompt else "dead") for _ in self.sessions), {},
            {"desk": SHUT, **{f"session:{s}": OPEN for s in self.sessions}},
        )  # fmt: skip


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
    def granted(self, scope: str) -> None:
        """A person's reset was accepted: what it opens may open after the cool-off."""
        env = self.env
        also = {s for s, w in env.words.items() if w.state == GateState.RESETTING and s in env.people}
        shut = {s for s in (scope, *also) if env.people.get(s) in (SHUT, SHUT_BY_TRIP)}
        env.people = {s: GRANTED if s in shut else p for s, p in env.people.items()}

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


def replaced(items: tuple[Any, ...], i: int, new: Any) -> tuple[Any, ...]:
    """The tuple with one item exchanged."""
    return (*items[:i], new, *items[i + 1 :])


def working(env: Env) -> frozenset[int]:
    """Orders in the venue's book."""
    return frozenset(i for i, o in enumerate(env.orders) if o.status == "working")


def gate_says_yes(setting: Setting, env: Env, i: int) -> bool:
    """What an order path finds right before it sends order `i`."""
    scopes = ("desk", "venue:x", "account:x/main", f"session:{setting.sessions[setting.of[i]]}", "instrument:BTC-USD")
    armed = (env.words.get(s, GateWord(0, GateState.ARMED)).state == GateState.ARMED for s in scopes)
    return env.lease and "desk" in env.words and all(armed)


@lru_cache(maxsize=4096)
def latch_of(data: bytes) -> Latch | None:
    """What bytes on the disk say, of whatever boot; None when they are damaged."""
    return decode(data, NOW).latch or decode(data, BEFORE).latch


def older(data: bytes | None) -> bytes | None:
    """The latch as the next boot finds it."""
    latch = latch_of(data) if data is not None else None
    return encode(msgspec.structs.replace(latch, boot_id=BEFORE)) if latch is not None else data


@lru_cache(maxsize=4096)
def plain(data: bytes) -> bytes:
    """A latch without what nobody decides by: times, reasons, the story of the last trip."""
    latch = latch_of(data)
    if latch is None:
        return data
    scopes = {
        s: msgspec.structs.replace(k, reason="r", since_ns=0, cause=k.cause if k.cause in DECIDING else "c")
        for s, k in latch.scopes.items()
    }
    return encode(msgspec.structs.replace(latch, written_ns=0, last_trip={}, scopes=scopes))


def latch_key(data: bytes | None, words: dict[str, GateWord]) -> Any:
    """What of a latch matters to who reads it: also whether a word has moved on since."""
    latch = latch_of(data) if data is not None else None
    if latch is None:
        return data
    ids: dict[str, int] = {}
    unknown = GateWord(0, GateState.ARMED)
    scopes = tuple(
        (s, k.state, ids.setdefault(k.trip_id, len(ids)) if k.trip_id else -1, k.cause in DECIDING and k.cause,
         words.get(s, unknown).generation == k.generation)
        for s, k in sorted(latch.scopes.items())
    )  # fmt: skip
    return latch.boot_id == NOW, scopes


def env_key(env: Env, switch: KillSwitch | None, *, again: bool = True) -> Any:
    """The world as far as it decides what may happen. A fence counts by which generations it answers.

    `again`: journals may be read again; otherwise what was read counts as what was said, in whatever order.
    """
    words = env.words
    raised = env.generation
    said = tuple(
        [(s, w.state, s == "desk" and not w.generation, w.generation > raised) for s, w in sorted(words.items())]
    )
    asked: list[int] = []
    behind: tuple[str, ...] = ()
    if switch is not None:
        asked = [g for _, g in sorted((t.scope, t.generation) for t in switch.trips.values())]
        behind = tuple([s for s, r in switch.records.items() if s in words and r.generation != words[s].generation])
    owners = tuple(
        (o.life, o.fence == env.generation, tuple([o.fence >= g for g in asked]), o.unheard, o.asked, o.reading,
         (o.journal, o.read) if again else (frozenset(o.journal[: o.read]), o.journal[o.read :]))
        for o in env.owners
    )  # fmt: skip
    lists = tuple([(NOW_NS - x.asked_ns, x.told is not None, x.old if x.told is None else x.told) for x in env.lists])
    people = tuple(env.people.items())
    latches = latch_key(env.disk, words), latch_key(env.pending, words)
    return env.orders, owners, said, behind, people, not env.generation, latches, lists, env.before, env.lease
