"""What is stopped and killed, in which combinations, and what must hold of each: the judge of test_kill_apart.py.

A case: some processes are stopped or killed while orders stream in, then the desk is tripped in one of four ways. It
holds, whatever was hit:

- the gate is closed for every session, and stays closed: no order is accepted after an order of the session was refused
  by the gate, and the venues' records do not grow any more;
- while the kill switch cannot act, the owners that run cancel by themselves, and `qd kill status` says that it does not
  answer;
- it never says PROVEN while an order works at a venue, and while one does it says what it waits for;
- in the end, with no more help than a kill switch that somebody started where nothing else could, every order is gone
  at both venues, the trip is PROVEN but for orders that never reached a venue that has no list, and these are named;
  the audit trail is sound.
"""

import itertools
import signal
from typing import NamedTuple

from tests.e2e.apart_desk import (
    KILLSWITCH,
    LEASE_LOST_S,
    ORDERS,
    OTHERS,
    PROCESSES,
    SUPERVISORD,
    TRADING,
    Stream,
    streams,
    wait_for,
)
from tests.e2e.apart_world import World

WAYS = ("cli", "socket", "signal", "word")
STAY, CONTINUE, KILL = "stopped", "continued", "killed"
DEEDS = (KILL, STAY, CONTINUE)


class Case(NamedTuple):
    """`deed`: killed, stopped to the end, or stopped and continued once the gate is closed."""

    victims: tuple[str, ...]
    deed: str
    way: str

    def __str__(self) -> str:
        return f"{self.deed}-{'+'.join(self.victims)}-{self.way}"


def groups(*, supervised: bool) -> dict[str, tuple[str, ...]]:
    """Victims that fall together, by name."""
    all_ = (*PROCESSES, *([SUPERVISORD] if supervised else []))
    found = {"all": all_, "all but the kill switch": tuple(p for p in all_ if p != KILLSWITCH), "owners": TRADING}
    return found | {"owners and kill switch": (*TRADING, KILLSWITCH), "bystanders": OTHERS}


def full_matrix(*, supervised: bool) -> list[Case]:
    """Who trades, kills or supervises alone: every deed, every way. Bystanders alone, and every pair with one of those:
    every deed, the ways in turn. Groups: every deed, every way.
    """
    every = (*PROCESSES, *([SUPERVISORD] if supervised else []))
    chief = [p for p in every if p not in OTHERS]
    ways = itertools.cycle(WAYS)
    pairs = [p for p in itertools.combinations(every, 2) if set(p) & set(chief)]
    cases = [Case((v,), deed, way) for v in chief for deed in DEEDS for way in WAYS]
    cases += [Case(v, deed, next(ways)) for v in [*((o,) for o in OTHERS), *pairs] for deed in DEEDS]
    return cases + [
        Case(g, deed, way) for g in groups(supervised=supervised).values() for deed in DEEDS for way in WAYS
    ]


def short_matrix(*, supervised: bool) -> list[Case]:
    """Of each kind one, each deed and way at least once."""
    every = groups(supervised=supervised)
    if not supervised:
        return [
            Case(("plain-trd",), KILL, "signal"),
            Case((KILLSWITCH,), KILL, "cli"),
            Case(every["all"], STAY, "word"),
        ]
    return [
        Case(("wide-trd",), STAY, "socket"),
        Case(("plain-trd",), CONTINUE, "signal"),
        Case((KILLSWITCH,), CONTINUE, "signal"),
        Case((KILLSWITCH,), KILL, "word"),
        Case(("plain-trd", SUPERVISORD), STAY, "cli"),
        Case(every["bystanders"], KILL, "socket"),
        Case(every["all"], KILL, "cli"),
    ]


def judge(world: World, case: Case) -> None:
    """Run one case on a whole, armed desk."""
    world.place()
    with streams(world.desk) as flow:
        wait_for(lambda: all(len(s.accepted) >= 2 for s in flow.values()), 20, "orders stream in")
        victims = {v: world.pid(v) for v in case.victims}
        assert all(victims.values()), victims
        world.signal(victims, signal.SIGKILL if case.deed == KILL else signal.SIGSTOP)
        world.trip(case.way)
        for stream in flow.values():
            stream.mark()
        wait_for(lambda: all(map(world.closed, ORDERS)), 5, "the gate is closed")
        _wait_refused(world, case, flow)
        before = world.settled_record()
        if case.deed == CONTINUE:
            world.signal(victims, signal.SIGCONT)
        _unaided(world, case)
        _aid(world, case, victims)
        trip = world.wait_settled()
        world.signal(victims, signal.SIGCONT)  # whoever is stopped still and was in nobody's way
        assert world.settled_record() == before, "an order was accepted after the gate was closed"
        assert all(map(world.closed, ORDERS))
        assert [s.after for s in flow.values()] == [[], []], "accepted after a refusal by the gate"
    open_yet = set(trip["unproven"]) - world.forced
    assert not open_yet or set(case.victims) & {"plain-trd", KILLSWITCH}, trip
    assert not world.working()
    assert not world.audit_is_sound()


def _wait_refused(world: World, case: Case, flow: dict[str, Stream]) -> None:
    """Each owner that runs has refused an order because of the gate: it sends none from now on."""

    def refuses(session: str) -> bool:
        gone = session in case.victims and (case.deed != KILL or not world.pid(session))
        return gone or flow[session].refused > 0

    wait_for(lambda: all(map(refuses, ORDERS)), 20, lambda: f"owners refuse: { {s: refuses(s) for s in ORDERS} }")


def _unaided(world: World, case: Case) -> None:
    """While the kill switch cannot act owners that run cancel by themselves, and people are told that nobody proves."""
    if not _dark(world, case):
        return
    running = [s for s in ORDERS if s not in case.victims]
    venues = [ORDERS[s][0] for s in running]
    wait_for(
        lambda: not [o for o in world.working() if o.partition(":")[0] in venues], 10 + LEASE_LOST_S,
        lambda: f"owners cancel by themselves: {world.working()}",
    )  # fmt: skip
    if not world.pid(KILLSWITCH) or case.deed == STAY:
        code, said = world.qd("status")
        assert code == 3, said
        assert "fault" in said or world.pid(KILLSWITCH), said  # a twin of an earlier supervisord may have taken over


def _dark(world: World, case: Case) -> bool:
    """Whether the kill switch does nothing, and nobody will start it again."""
    if KILLSWITCH not in case.victims or case.deed == CONTINUE:
        return False
    return case.deed == STAY or not world.supervised or SUPERVISORD in case.victims


def _aid(world: World, case: Case, victims: dict[str, int]) -> None:
    """What a person does at last: end a kill switch that hangs, and start one where no supervisord does."""
    if not _dark(world, case):
        return
    if case.deed == STAY:
        world.signal({KILLSWITCH: victims[KILLSWITCH]}, signal.SIGKILL)
    if not world.supervised or SUPERVISORD in case.victims:
        wait_for(lambda: world.pid(KILLSWITCH) != victims[KILLSWITCH], 10, "it is gone")
        world.spawn(KILLSWITCH)  # where a twin took over already this one waits
