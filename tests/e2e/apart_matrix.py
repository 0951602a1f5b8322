"""What is stopped and killed, in which combinations, and when: the cases of test_kill_apart.py, by class."""

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tests.e2e.apart_desk import ALARMS, KILLSWITCH, OTHERS, PROCESSES, SUPERVISORD, TRADING

WAYS = ("cli", "socket", "signal", "word")
QUICK = WAYS[1:]  # over before anything is cancelled: `qd kill trip` takes longer to end than a trip does
STAY, CONTINUE, KILL = "stopped", "continued", "killed"
DEEDS = (KILL, STAY, CONTINUE)
BEFORE, AT_ONCE, CANCELLING = "before", "at_once", "cancelling"


class Case(NamedTuple):
    """`hit`: each victim with what befalls it: killed, stopped to the end, or stopped and continued once the gate is
    closed. `moment`: before the trip, as soon as it was asked for, or while the venues act on no cancel.
    """

    hit: tuple[tuple[str, str], ...]
    way: str
    moment: str = BEFORE

    def __str__(self) -> str:
        deeds = dict.fromkeys(deed for _, deed in self.hit)
        what = "+".join(f"{deed}-{'+'.join(v for v, d in self.hit if d == deed)}" for deed in deeds)
        return f"{what}-{self.way}" + ("" if self.moment == BEFORE else f"-{self.moment}")

    def deed(self, process: str) -> str:
        """What befalls it; "" when nothing does."""
        return dict(self.hit).get(process, "")


def same(victims: Iterable[str], deed: str, way: str, moment: str = BEFORE) -> Case:
    """The same for all of them."""
    return Case(tuple((v, deed) for v in victims), way, moment)


def groups(*, supervised: bool) -> dict[str, tuple[str, ...]]:
    """Victims that fall together, by name."""
    all_ = every(supervised=supervised)
    found = {"all": all_, "all but the kill switch": tuple(p for p in all_ if p != KILLSWITCH), "owners": TRADING}
    return found | {"owners and kill switch": (*TRADING, KILLSWITCH), "bystanders": OTHERS}


def every(*, supervised: bool) -> tuple[str, ...]:
    """Each process of the desk that may fall."""
    return (*PROCESSES, *([SUPERVISORD] if supervised else []))


def classes(*, supervised: bool) -> dict[str, list[Case]]:
    """All cases by class; no case is in two of them. "In turn": the next way with each case, so that all come up."""
    all_ = every(supervised=supervised)
    chief = [p for p in all_ if p not in OTHERS]
    pairs = [p for p in itertools.combinations(all_, 2) if set(p) & set(chief)]
    chiefs = [p for p in pairs if set(p) <= set(chief)]
    together = groups(supervised=supervised)
    hard = [together[g] for g in ("all", "owners", "owners and kill switch")]
    ways, quick = itertools.cycle(WAYS), itertools.cycle(QUICK)
    found = {
        "owner, kill switch or supervisord alone": [
            same((v,), deed, way) for v in chief for deed in DEEDS for way in WAYS
        ],
        "bystander alone": [same((o,), deed, next(ways)) for o in OTHERS for deed in DEEDS],
        "pair": [same(p, deed, next(ways)) for p in pairs for deed in DEEDS],
        "group": [same(g, deed, way) for g in together.values() for deed in DEEDS for way in WAYS],
        "mixed deeds": list(_mixed(chiefs, pairs, ways)),
        "at once after the trip": [
            same(v, deed, next(quick), AT_ONCE) for v in [*((c,) for c in chief), *chiefs, *hard] for deed in DEEDS
        ],
        "while cancelling": [
            same(v, deed, next(ways), CANCELLING) for v in [*((c,) for c in chief), *chiefs, *hard] for deed in DEEDS
        ],
    }
    seen: set[Case] = set()
    return {name: [c for c in cases if not (c in seen or seen.add(c))] for name, cases in found.items()}  # type: ignore[func-returns-value]


def _mixed(chiefs: list[tuple[str, str]], pairs: list[tuple[str, str]], ways: Iterator[str]) -> Iterator[Case]:
    """Two victims, each with a deed of its own: every two deeds among owners, kill switch and supervisord; of those
    with a bystander one is stopped and the other killed, in turn.
    """
    for pair in chiefs:
        for deeds in itertools.permutations(DEEDS, 2):
            yield Case(tuple(zip(pair, deeds, strict=True)), next(ways))
    turn = itertools.cycle([(STAY, KILL), (KILL, STAY)])
    for pair in pairs:
        if pair not in chiefs:
            yield Case(tuple(zip(pair, next(turn), strict=True)), next(ways))


def full_matrix(*, supervised: bool) -> list[Case]:
    """All of them."""
    return [case for cases in classes(supervised=supervised).values() for case in cases]


def short_matrix(*, supervised: bool) -> list[Case]:
    """Of each kind one, each deed, way and moment at least once."""
    together = groups(supervised=supervised)
    if not supervised:
        return [
            same(("plain-trd",), KILL, "signal"),
            same((KILLSWITCH,), KILL, "cli"),
            same(together["all"], STAY, "word"),
        ]
    return [
        same(("wide-trd",), STAY, "socket"),
        Case((("plain-trd", CONTINUE), (ALARMS, KILL)), "signal"),
        same((KILLSWITCH,), CONTINUE, "signal"),
        same((KILLSWITCH,), KILL, "word", CANCELLING),
        Case((("plain-trd", STAY), (SUPERVISORD, KILL)), "cli"),
        same(together["bystanders"], KILL, "socket", AT_ONCE),
        same(together["all"], KILL, "cli"),
    ]
