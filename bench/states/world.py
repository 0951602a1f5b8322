"""The world around one kill switch: what there is besides it, as one value that is cheap to copy and to compare.

It knows the truth, which the kill switch does not. Time goes in steps (copies.STEP_NS); whatever happens between two
steps happens at the same instant.
"""

from functools import lru_cache
from typing import Any

import msgspec

from base.kill_config import KillConfig
from bench.states.copies import STEP_NS
from ipc.gate import GateState, GateWord
from risk.kill import KillSwitch
from risk.kill_latch import Latch, decode, encode
from risk.kill_plan import KillVenue, Owner, Topology

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
