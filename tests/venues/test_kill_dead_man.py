"""Whose health a dead man's timer stands for, and what is done when it has fired."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from base.clock import ManualClock
from base.config import VenueConfig
from ipc.gate import GateState
from ipc.readiness import VENUE_CLOSED, Readiness
from ipc.requests import StatusOrder
from risk.kill_proof import ListedId
from tests.risk.kill_world import topology
from venues.calendar import VenueCalendar, venue_times
from venues.kill_dead_man import DeadMen

SECOND = 1_000_000_000
ROLLOVER_S = 22 * 3600


class Rest:
    """A REST side that takes timers, unless it is down."""

    def __init__(self) -> None:
        self.sets: list[int] = []
        self.down = ""
        self.lines: list[ListedId] = []

    def set_timer(self, seconds: int, done: Callable[[str], object]) -> None:
        self.sets.append(seconds)
        done(self.down)

    def list_orders(self, done: Callable[..., object], failed: Callable[[str], object]) -> None:
        if self.down:
            failed(self.down)
        else:
            done(self.lines, 0, 1)


class Kept:
    """What one life keeps for the next."""

    def __init__(self, body: bytes | None = None) -> None:
        self.body = body
        self.closed = 0

    def read(self) -> bytes | None:
        return self.body

    def write(self, body: bytes) -> None:
        self.body = body

    def close(self) -> bool:
        self.closed += 1
        return True


class Bench:
    """Timers of venue x (owners a and b) on a clock of our own."""

    def __init__(self, *, keeps: bool = False, kept: bytes | None = None, day_s: int = 12 * 3600) -> None:
        self.clock = ManualClock()
        self.kept: Any = Kept(kept)
        self.later: list[tuple[int, Callable[[], object]]] = []
        self.rest = Rest()
        self.alerts: list[tuple[str, str]] = []
        self.sent: list[Any] = []
        self.orders: dict[str, list[Any]] = {"a": [], "b": [], "c": []}
        known = topology()
        if keeps:
            known.owners["a"] = known.owners["a"].__class__("a", "x", "main", ("BTC-USD",), True)
        self.records = {"desk": SimpleNamespace(state=GateState.ARMED)}
        self.switch: Any = SimpleNamespace(
            topology=known, records=self.records,
            ledger=SimpleNamespace(
                open_of=lambda s: self.orders[s], open=lambda: [o for found in self.orders.values() for o in found]
            ),
        )  # fmt: skip
        self.owners: Any = {s: self.owner() for s in "abc"}
        link: Any = SimpleNamespace(next_id=lambda: "1", send=self.sent.append)
        calendar = VenueCalendar(venue_times("kraken").rules)
        venues = {"x": VenueConfig(dialect="kraken", instruments=[], dead_man_s=60)}
        desk: Any = SimpleNamespace(
            config=SimpleNamespace(venue=venues, kill=SimpleNamespace(window_return_s=60)), path="desk.toml"
        )
        reactor: Any = SimpleNamespace(
            clock=self.clock, call_later=lambda ns, f, _: self.later.append((self.clock.mono_ns() + ns, f))
        )
        rest: Any = {"x": self.rest}
        self.men = DeadMen(
            reactor, desk, rest, self.switch, self.owners, dict.fromkeys("abc", link), dict.fromkeys("abc", calendar),
            lambda severity, code, text: self.alerts.append((severity, text)), lambda event, facts: None, self.kept,
        )  # fmt: skip
        self.at(day_s)

    def owner(self) -> Any:
        status = SimpleNamespace(pid=1, beat_mono_ns=0, readiness=Readiness.READY, reason="")
        return SimpleNamespace(alive=True, pid=1, status=status)

    def at(self, second: int) -> None:
        """Go to a time of day (UTC), not backwards."""
        day = 86_400 * SECOND
        now = self.clock.wall_ns() % day
        self.pass_s(((second * SECOND - now) % day) / SECOND, step_s=600)

    def pass_s(self, seconds: float, step_s: float = 0.5) -> None:
        end = self.clock.mono_ns() + int(seconds * SECOND)
        while self.clock.mono_ns() < end:
            self.clock.advance(min(int(step_s * SECOND), end - self.clock.mono_ns()))
            for owner in self.owners.values():
                if owner.alive:
                    owner.status.beat_mono_ns = self.clock.mono_ns()
            if step_s < 1:
                self.men.tick()
            due = [f for at, f in self.later if at <= self.clock.mono_ns()]
            self.later = [(at, f) for at, f in self.later if at > self.clock.mono_ns()]
            for f in due:
                f()

    @property
    def state(self) -> str:
        return str(self.men.status()["x"]["state"])

    def order(self, session: str, name: str) -> None:
        self.orders[session].append(
            SimpleNamespace(venue="x", session=session, order_id=f"o{name}", ids=[name], cl_ord_id=name)
        )


def test_a_desk_in_health_renews() -> None:
    b = Bench()
    b.order("a", "1")
    b.pass_s(120)
    assert b.state == "ARMED"
    assert set(b.rest.sets) == {60}
    assert 8 <= len(b.rest.sets) <= 10


def shut(scope: str, state: GateState) -> Callable[[Bench], None]:
    def change(b: Bench) -> None:
        b.records[scope] = SimpleNamespace(state=state)

    return change


def sick(session: str, **changes: object) -> Callable[[Bench], None]:
    def change(b: Bench) -> None:
        b.order(session, "1")
        owner = b.owners[session]
        for name, value in changes.items():
            setattr(owner if name in ("alive", "pid") else owner.status, name, value)

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (shut("desk", GateState.TRIPPED), "desk is TRIPPED"),
        (shut("venue:x", GateState.TRIPPING), "venue:x is TRIPPING"),
        (shut("account:x/main", GateState.RESETTING), "account:x/main is RESETTING"),
        (sick("a", readiness=Readiness.RECOVERING, reason="connection reset"), "a is RECOVERING with working orders"),
        (sick("b", alive=False), "b does not run, and has working orders"),
        (sick("b", pid=2), "b shows no heartbeat, and has working orders"),
    ],
    ids=["desk", "venue", "account", "recovering", "dead", "another life"],
)  # fmt: skip
def test_whatever_is_not_well_lets_it_run_out_and_says_why(change: Callable[[Bench], None], why: str) -> None:
    b = Bench()
    b.pass_s(20)
    change(b)
    b.pass_s(61)
    assert b.state == "FIRED"
    assert any(severity == "critical" and why in text for severity, text in b.alerts)


def test_another_venues_trouble_and_an_owner_without_orders_have_no_say() -> None:
    b = Bench()
    b.pass_s(20)
    b.records["venue:y"] = SimpleNamespace(state=GateState.TRIPPED)
    sick("c", readiness=Readiness.RECOVERING)(b)
    b.owners["b"].alive = False
    b.pass_s(200)
    assert b.state == "ARMED"


def test_before_the_calendars_window_it_is_disabled_and_armed_again_behind_it() -> None:
    b = Bench()
    b.order("a", "1")
    b.at(ROLLOVER_S - 60)
    b.pass_s(20)
    assert b.state == "ARMED"
    b.pass_s(25)
    assert (b.state, b.rest.sets[-1]) == ("DISABLED", 0)
    assert any("disabled: about to close: daily-rollover" in text for _, text in b.alerts)
    b.owners["a"].status.readiness, b.owners["a"].status.reason = Readiness.RECOVERING, f"{VENUE_CLOSED} until 22:00:30"
    b.pass_s(60)
    assert b.rest.sets[-1] == 0, "not armed while the session is away"
    b.owners["a"].status.readiness, b.owners["a"].status.reason = Readiness.READY, ""
    b.pass_s(5)
    assert b.state == "ARMED"
    assert not any(severity == "critical" for severity, _ in b.alerts)


def test_a_session_that_is_expected_to_drop_disables_it_when_it_does() -> None:
    b = Bench()
    b.order("a", "1")
    b.at(ROLLOVER_S - 110)
    b.pass_s(5)
    b.owners["a"].status.readiness, b.owners["a"].status.reason = Readiness.RECOVERING, "connection reset"
    b.pass_s(2)
    assert (b.state, b.rest.sets[-1]) == ("DISABLED", 0)


def test_an_owner_that_stopped_and_keeps_its_orders_disables_it() -> None:
    b = Bench(keeps=True)
    b.pass_s(20)
    sick("a", alive=False, readiness=Readiness.STOPPING)(b)
    b.pass_s(70)
    assert (b.state, b.rest.sets[-1]) == ("DISABLED", 0)
    assert not any(severity == "critical" for severity, _ in b.alerts)


def test_after_it_fired_the_list_is_told_and_owners_ask_about_what_it_does_not_show() -> None:
    b = Bench()
    for name in ("1", "2"):
        b.order("a", name)
    b.pass_s(20)
    b.owners["a"].status.readiness = Readiness.RECOVERING
    b.rest.lines = [ListedId("o2", "2", "BTC-USD")]
    b.pass_s(70)
    assert ("critical", "x: after the dead man's timer 1 orders are listed, 1 are not any more") in b.alerts
    assert [type(c) for c in b.sent] == [StatusOrder]
    assert b.sent[0].cl_ord_id == "1"


def test_a_stop_disables_it_where_orders_are_kept_and_calls_back_once() -> None:
    for keeps, expected in ((True, 0), (False, 60)):
        b = Bench(keeps=keeps)
        b.pass_s(20)
        done: list[int] = []
        b.men.stop(lambda done=done: done.append(1))  # type: ignore[misc]
        b.pass_s(5)
        assert (done, b.rest.sets[-1]) == ([1], expected)


def test_a_stop_waits_two_seconds_for_a_venue_that_does_not_answer_and_says_so() -> None:
    b = Bench(keeps=True)
    b.pass_s(20)
    b.rest.down = "no answer"
    done: list[int] = []
    b.men.stop(lambda: done.append(b.clock.mono_ns()))
    began = b.clock.mono_ns()
    b.pass_s(5)
    assert len(done) == 1
    assert 2 * SECOND <= done[0] - began <= 3 * SECOND
    assert any("could not be disabled at the stop: it fires later" in text for _, text in b.alerts)


def test_a_timer_that_ran_out_while_nobody_ran_is_noticed_in_the_next_life() -> None:
    first = Bench()
    first.order("a", "1")
    first.pass_s(20)
    (fires_ns,) = msgspec.json.decode(first.kept.body, type=dict[str, int]).values()
    assert 40 * SECOND < fires_ns - first.clock.wall_ns() <= 60 * SECOND
    late = Bench(kept=first.kept.body, day_s=13 * 3600)
    late.pass_s(5)
    assert any(severity == "critical" and "ran out at" in text for severity, text in late.alerts)
    assert any("after the dead man's timer" in text for _, text in late.alerts)
    soon = Bench(kept=first.kept.body)
    soon.pass_s(20)
    assert not any(severity == "critical" for severity, _ in soon.alerts)


def test_one_that_was_disabled_before_the_stop_is_not_mourned() -> None:
    first = Bench(keeps=True)
    first.pass_s(20)
    first.men.stop(lambda: None)
    assert (first.kept.body, first.kept.closed) == (b"{}", 1)
    late = Bench(keeps=True, kept=first.kept.body, day_s=13 * 3600)
    late.pass_s(5)
    assert not any(severity == "critical" for severity, _ in late.alerts)


def test_a_torn_file_is_said_and_nothing_more() -> None:
    b = Bench(kept=b"{")
    b.pass_s(5)
    assert b.state == "ARMED"
    assert [severity for severity, text in b.alerts if "is not known" in text] == ["warning"]
