"""The dead man's timer: renewed by health alone, noticed when it fires, disabled knowingly and said."""

import random

import pytest

from risk.dead_man import DeadMan, Health, Look, SetTimer, TimerAction, TimerState

SECOND = 1_000_000_000
GOOD = Health()
BAD = Health(why="a is not ready")
PLANNED = Health(excuse="maintenance at 22:00")


class Bench:
    """A timer beside the venue's truth: when the venue would fire by what it took."""

    def __init__(self, timeout_s: int = 60) -> None:
        self.man = DeadMan("v", timeout_s)
        self.now = 1_000 * SECOND
        self.pending: SetTimer | None = None
        self.told: list[str] = []
        self.looks = 0
        self.sent: list[tuple[int, int]] = []
        self.venue_fires: int | None = None  # truth
        self.cancelled = 0
        self.up = True  # requests arrive and answers come back
        self.answers_lost = False

    def take(self, actions: list[TimerAction]) -> None:
        for action in actions:
            if isinstance(action, SetTimer):
                assert self.pending is None, "one request at a time"
                self.pending = action
                self.sent.append((self.now, action.seconds))
            elif isinstance(action, Look):
                self.looks += 1
            else:
                self.told.append(f"{action.severity}: {action.text}")

    def step(self, health: Health, ns: int = SECOND // 2) -> None:
        self.now += ns
        if self.venue_fires is not None and self.now >= self.venue_fires:
            self.venue_fires, self.cancelled = None, self.cancelled + 1
        self.take(self.man.tick(health, self.now))
        if self.pending is None:
            return
        seconds, self.pending = self.pending.seconds, None
        if self.up:
            self.venue_fires = self.now + seconds * SECOND if seconds else None
        why = "" if self.up and not self.answers_lost else "no answer"
        self.take(self.man.answered(why, self.now))

    def run(self, health: Health, seconds: float) -> None:
        for _ in range(int(seconds * 2)):
            self.step(health)


def test_it_is_armed_by_the_first_health_that_passes_and_not_before() -> None:
    b = Bench()
    b.run(BAD, 100)
    assert (b.sent, b.man.state) == ([], TimerState.OFF)
    b.step(GOOD)
    assert (len(b.sent), b.man.state) == (1, TimerState.ARMED)
    assert b.told == ["info: v: dead man's timer armed: the venue cancels every order 60 s after the last renewal"]


def test_health_renews_it_several_times_a_span_and_it_never_fires() -> None:
    b = Bench()
    b.run(GOOD, 3600)
    assert b.cancelled == 0
    assert 230 <= len(b.sent) <= 241
    assert b.man.state is TimerState.ARMED


def test_without_health_it_is_not_renewed_and_its_firing_is_said_when_it_comes() -> None:
    b = Bench()
    b.run(GOOD, 10)
    before = len(b.sent)
    b.run(BAD, 70)
    assert len(b.sent) == before
    assert (b.cancelled, b.man.state, b.man.fired, b.looks) == (1, TimerState.FIRED, 1, 1)
    assert [t.partition(" ")[0] for t in b.told] == ["info:", "warning:", "critical:"]
    assert "a is not ready" in b.told[1]
    assert "the venue cancels every order (a is not ready)" in b.told[2]


def test_it_is_armed_again_after_it_fired_once_health_is_back() -> None:
    b = Bench()
    b.run(GOOD, 5)
    b.run(BAD, 70)
    b.run(GOOD, 5)
    assert b.man.state is TimerState.ARMED
    assert b.told[-1] == "warning: v: dead man's timer armed again after it fired"


def test_what_lay_between_makes_no_difference_to_that() -> None:
    b = Bench()
    b.run(GOOD, 5)
    b.run(BAD, 70)
    b.run(PLANNED, 5)
    b.run(GOOD, 5)
    assert b.told[-1] == "warning: v: dead man's timer armed again after it fired"


def test_health_that_returns_in_time_renews_at_once() -> None:
    b = Bench()
    b.run(GOOD, 1)
    b.run(BAD, 50)
    b.step(GOOD)
    assert (b.cancelled, b.man.state, b.sent[-1]) == (0, TimerState.ARMED, (b.now, 60))


def test_before_a_known_window_it_is_disabled_and_that_is_said() -> None:
    b = Bench()
    b.run(GOOD, 5)
    b.run(PLANNED, 300)
    assert (b.sent[-1][1], b.cancelled, b.man.state, b.man.runs) == (0, 0, TimerState.DISABLED, False)
    assert b.told[-1] == "warning: v: dead man's timer disabled: maintenance at 22:00"
    assert sum(seconds == 0 for _, seconds in b.sent) == 1
    b.step(GOOD)
    assert b.man.state is TimerState.ARMED


def test_a_disable_that_fails_is_tried_again_and_alarmed() -> None:
    b = Bench()
    b.run(GOOD, 5)
    b.up = False
    b.run(PLANNED, 10)
    assert sum(seconds == 0 for _, seconds in b.sent) >= 8
    assert any(t.startswith("critical") and "could not be disabled: it may still fire" in t for t in b.told)
    b.up = True
    b.run(PLANNED, 2)
    assert (b.man.runs, b.venue_fires) == (False, None)


def test_a_venue_that_does_not_answer_is_asked_each_second_until_it_fires() -> None:
    b = Bench()
    b.run(GOOD, 5)
    b.up = False
    b.run(GOOD, 70)
    assert (b.cancelled, b.man.fired) == (1, 1)
    assert sum("could not be renewed" in t for t in b.told) == 1
    b.up = True
    b.run(GOOD, 2)
    assert b.man.state is TimerState.ARMED


def test_a_renewal_whose_answer_was_lost_may_run_and_is_disabled_all_the_same() -> None:
    b = Bench()
    b.answers_lost = True
    b.run(GOOD, 2)
    assert b.venue_fires is not None
    b.answers_lost = False
    b.run(PLANNED, 3)
    assert (b.venue_fires, b.man.runs) == (None, False)


def test_at_an_orderly_stop_that_keeps_orders_it_is_disabled_and_otherwise_left_to_run() -> None:
    b = Bench()
    assert b.man.disable("stop", b.now) == []  # it never ran
    b.run(GOOD, 1)
    assert SetTimer("v", 0) in b.man.disable("stop", b.now)


@pytest.mark.parametrize("seed", range(20))
def test_it_never_fires_in_health_and_a_firing_is_always_noticed(seed: int) -> None:
    """Random health and outages: what the venue's timer does is known here, and never comes as a surprise."""
    dice = random.Random(seed)
    b = Bench(timeout_s=10)
    for _ in range(60):
        b.up = dice.random() < 0.8
        b.answers_lost = dice.random() < 0.2
        b.run(dice.choice([GOOD, GOOD, BAD, PLANNED]), dice.choice([0.5, 3, 8, 25]))
    b.up, b.answers_lost = True, False
    b.run(GOOD, 30)
    fired = b.cancelled
    b.run(GOOD, 100)
    assert b.cancelled == fired
    assert b.man.state is TimerState.ARMED
    tells = [t for t in b.told if t.startswith("critical")]
    assert len(tells) >= b.looks == b.man.fired
