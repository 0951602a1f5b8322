"""Reconnecting backs off exponentially with full jitter and a cap, and trusts only what lasts."""

import random

from hypothesis import given
from hypothesis import strategies as st

from base.backoff import SECOND_NS, Backoff, BackoffSettings

SETTINGS = BackoffSettings(base_ns=SECOND_NS, cap_ns=60 * SECOND_NS, stable_ns=30 * SECOND_NS)


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    backoff = Backoff(lambda: 0.999999999999, SETTINGS)
    delays = [round(backoff.failed(0) / SECOND_NS) for _ in range(9)]
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]


@given(st.integers(), st.integers(1, 200))
def test_every_delay_lies_between_zero_and_the_ceiling_for_ever(seed: int, failures: int) -> None:
    backoff = Backoff(random.Random(seed).random, SETTINGS)
    for _ in range(failures):
        ceiling = backoff.ceiling_ns()
        assert 0 <= backoff.failed(0) <= ceiling <= SETTINGS.cap_ns


def test_jitter_is_full() -> None:
    backoff = Backoff(random.Random(1).random, SETTINGS)
    for _ in range(10):
        backoff.failed(0)
    delays = [backoff.failed(0) / SETTINGS.cap_ns for _ in range(1000)]
    tenths = {int(delay * 10) for delay in delays}
    assert tenths == set(range(10))


def test_a_connection_that_falls_at_once_does_not_start_over() -> None:
    backoff = Backoff(lambda: 0.5, SETTINGS)
    for _ in range(5):
        backoff.failed(0)
    backoff.connected(0)
    backoff.failed(SETTINGS.stable_ns - 1)
    assert backoff.failures == 6


def test_a_connection_that_lasted_starts_over() -> None:
    backoff = Backoff(lambda: 0.5, SETTINGS)
    for _ in range(5):
        backoff.failed(0)
    backoff.connected(0)
    assert not backoff.healthy(SETTINGS.stable_ns - 1)
    assert backoff.healthy(SETTINGS.stable_ns)
    assert backoff.failed(SETTINGS.stable_ns) == SECOND_NS // 2
    assert backoff.failures == 1


@given(st.integers(), st.integers(1, 100))
def test_after_refusals_the_wait_doubles_to_a_cap_of_its_own_and_is_never_less_than_half_of_it(
    seed: int, refusals: int
) -> None:
    settings = BackoffSettings(refused_ns=15 * SECOND_NS, refused_cap_ns=600 * SECOND_NS)
    backoff = Backoff(random.Random(seed).random, settings)
    for n in range(refusals):
        ceiling = min(15 << min(n, 30), 600) * SECOND_NS
        assert ceiling // 2 <= backoff.refused(0) <= ceiling


def test_a_wrong_password_costs_few_attempts_an_hour() -> None:
    backoff, now, attempts = Backoff(lambda: 0.0), 0, 0
    while now < 3600 * SECOND_NS:
        now += backoff.refused(now)
        attempts += 1
    assert attempts <= 17
    assert backoff.refusals == attempts


def test_who_is_turned_away_without_a_word_comes_back_sooner() -> None:
    backoff = Backoff(lambda: 0.999)
    waits = [round(backoff.refused(0, silently=True) / SECOND_NS) for _ in range(8)]
    assert waits == [15, 30, 60, 60, 60, 60, 60, 60]
    assert backoff.refused(0) > 500 * SECOND_NS


def test_refusals_are_forgotten_only_after_a_stable_time_too() -> None:
    backoff = Backoff(lambda: 0.0, SETTINGS)
    for _ in range(3):
        backoff.refused(0)
    backoff.connected(0)
    assert backoff.refused(SETTINGS.stable_ns - 1) == 60 * SECOND_NS
    backoff.connected(0)
    assert backoff.refused(SETTINGS.stable_ns) == SETTINGS.refused_ns // 2
