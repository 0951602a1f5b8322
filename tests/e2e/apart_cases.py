"""What must hold whatever is stopped and killed: the judge of test_kill_apart.py.

A case: some processes are stopped or killed while orders stream in and the desk is tripped in one of four ways. It
holds, whatever was hit, and when:

- the gate is closed for every session, and stays closed: no order is accepted after an order of the session was refused
  by the gate, and the venues' records do not grow any more;
- while the kill switch cannot act, the owners that run cancel by themselves, and `qd kill status` says that it does not
  answer;
- it never says PROVEN while an order works at a venue, and while one does it says what it waits for;
- in the end, with no more help than a kill switch that somebody started where nothing else could, every order is gone
  at both venues, the trip is PROVEN but for orders that never reached a venue that has no list, and these are named;
  the audit trail is sound; and the alarms process, once it runs again, holds the trip as an alarm.
"""

import signal
import time

import psutil

from ipc.owners import stopped
from tests.e2e.apart_desk import KILLSWITCH, LEASE_LOST_S, ORDERS, SUPERVISORD, Stream, streams, wait_for
from tests.e2e.apart_matrix import AT_ONCE, BEFORE, CANCELLING, CONTINUE, KILL, STAY, Case
from tests.e2e.apart_world import World


def judge(world: World, case: Case) -> None:
    """Run one case on a whole, armed desk, and make the desk whole again."""
    began_ns = time.time_ns()
    world.place()
    with streams(world.desk) as flow:
        wait_for(lambda: all(len(s.accepted) >= 2 for s in flow.values()), 60, "orders stream in")
        victims = {v: world.pid(v) for v, _ in case.hit}
        assert all(victims.values()), victims
        _trip(world, case, flow, victims)
        wait_for(lambda: all(map(world.closed, ORDERS)), 60, "the gate is closed")
        _wait_refused(world, case, flow)
        before = world.settled_record()
        world.signal(_those(victims, case, CONTINUE), signal.SIGCONT)
        if _dark(world, case, victims):
            _unaided(world, case, victims)
            _aid(world, case, victims)
        trip = world.wait_settled()
        world.signal(victims, signal.SIGCONT)  # whoever is stopped still and was in nobody's way
        _hold_to(case, before, world.settled_record())
        assert all(map(world.closed, ORDERS))
        assert [s.after for s in flow.values()] == [[], []], "accepted after a refusal by the gate"
    open_yet = set(trip["unproven"]) - world.forced
    assert not open_yet or {v for v, _ in case.hit} & {"plain-trd", KILLSWITCH}, trip
    assert not world.working()
    assert not world.audit_is_sound()
    world.rearm()
    wait_for(lambda: world.alarmed(began_ns), 60, "the alarms process holds the trip, whatever befell it")


def _trip(world: World, case: Case, flow: dict[str, Stream], victims: dict[str, int]) -> None:
    """The trip and the blow, in the order that the case asks for."""

    def strike() -> None:
        for victim, pid in victims.items():
            world.signal({victim: pid}, signal.SIGKILL if case.deed(victim) == KILL else signal.SIGSTOP)
        if case.deed(SUPERVISORD) == KILL:
            wait_for(lambda: not psutil.pid_exists(victims[SUPERVISORD]), 60, "supervisord is gone")

    if case.moment == BEFORE:
        strike()
    if case.moment == CANCELLING:
        world.hold_cancels()
    world.trip(case.way, then=strike if case.moment == AT_ONCE else lambda: None)
    for stream in flow.values():
        stream.mark()
    if case.moment == CANCELLING:
        wait_for(world.cancels_held, 60, "cancels of every owner have reached their venue, which does nothing")
        strike()
        assert world.working()
        world.let_cancels()


def _hold_to(case: Case, before: dict[str, set[str]], after: dict[str, set[str]]) -> None:
    """No order was accepted after the gate was closed, but for one of an owner that was stopped and went on: it may
    have stood between its last look at the gate and its send (test_kill_between.py has every place in between).
    """
    for session, (venue, _, _) in ORDERS.items():
        more = after[venue] - before[venue]
        allowed = 1 if case.deed(session) == CONTINUE else 0
        assert len(more) <= allowed, f"accepted by {venue} after the gate was closed: {more}"


def _those(victims: dict[str, int], case: Case, deed: str) -> dict[str, int]:
    return {v: pid for v, pid in victims.items() if case.deed(v) == deed}


def _wait_refused(world: World, case: Case, flow: dict[str, Stream]) -> None:
    """Each owner that runs has refused an order because of the gate: it sends none from now on."""

    def refuses(session: str) -> bool:
        deed = case.deed(session)
        gone = bool(deed) and (deed != KILL or not world.pid(session))
        return gone or flow[session].refused > 0

    wait_for(lambda: all(map(refuses, ORDERS)), 60, lambda: f"owners refuse: { {s: refuses(s) for s in ORDERS} }")


def _unaided(world: World, case: Case, victims: dict[str, int]) -> None:
    """While the kill switch cannot act owners that run cancel by themselves, and people are told that nobody proves."""
    venues = [venue for session, (venue, _, _) in ORDERS.items() if case.deed(session) in ("", CONTINUE)]
    wait_for(
        lambda: not [o for o in world.working() if o.partition(":")[0] in venues], 10 + LEASE_LOST_S,
        lambda: f"owners cancel by themselves: {world.working()}",
    )  # fmt: skip
    code, said = world.qd("status")
    assert code == 3 or world.pid(KILLSWITCH) != victims[KILLSWITCH], said
    assert "fault" in said or world.pid(KILLSWITCH), said  # a twin of an earlier supervisord may have taken over


def _dark(world: World, case: Case, victims: dict[str, int]) -> bool:
    """Whether the kill switch does nothing, and nobody will start it again.

    One that stands still goes on when the supervisord above it dies: the kernel sees to that (SIGHUP, SIGCONT).
    """
    if case.deed(KILLSWITCH) == STAY:
        return stopped(victims[KILLSWITCH])
    return case.deed(KILLSWITCH) == KILL and not _starts_again(world, case)


def _starts_again(world: World, case: Case) -> bool:
    """Whether a supervisord is there that starts the dead."""
    return world.supervised and case.deed(SUPERVISORD) in ("", CONTINUE)


def _aid(world: World, case: Case, victims: dict[str, int]) -> None:
    """What a person does at last: end a kill switch that hangs, and start one where no supervisord does."""
    if case.deed(KILLSWITCH) == STAY:
        world.signal({KILLSWITCH: victims[KILLSWITCH]}, signal.SIGKILL)
    if not _starts_again(world, case):
        wait_for(lambda: world.pid(KILLSWITCH) != victims[KILLSWITCH], 60, "it is gone")
        world.spawn(KILLSWITCH)  # where a twin took over already this one waits
