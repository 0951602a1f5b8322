"""A soft trigger needs its grace period and enough confirmations; one bad look trips nothing."""

from hypothesis import given
from hypothesis import strategies as st

from risk.kill_triggers import OwnerView, SessionLoss, SoftTrigger
from tests.risk.kill_world import MS

GRACE = 900 * MS


def play(looks: list[bool], every_ms: int = 20) -> list[int]:
    trigger, fired = SoftTrigger(GRACE, 3), []
    for i, bad in enumerate(looks):
        if trigger.look(bad, i * every_ms * MS):
            fired.append(i * every_ms)
    return fired


def test_a_loss_that_lasts_fires_once_after_the_grace_period() -> None:
    (at,) = play([True] * 200)
    assert 900 <= at <= 1000


def test_a_short_loss_fires_nothing() -> None:
    assert play([True] * 40 + [False] * 200) == []
    assert play([True] + [False] * 300) == []


def test_a_second_loss_after_recovery_has_a_grace_period_of_its_own() -> None:
    looks = [True] * 100 + [False] * 100 + [True] * 100
    _, second = play(looks)
    assert second >= 200 * 20 + 900


@given(st.lists(st.booleans(), max_size=150))
def test_it_never_fires_before_the_grace_period_nor_on_a_good_look(looks: list[bool]) -> None:
    trigger = SoftTrigger(GRACE, 3)
    first_bad = None
    for i, bad in enumerate(looks):
        now = i * 20 * MS
        fired = trigger.look(bad, now)
        first_bad = now if bad and first_bad is None else first_bad
        if fired:
            assert bad
            assert first_bad is not None
            assert now - first_bad >= GRACE


def test_a_session_that_is_back_is_not_shown_as_lost() -> None:
    loss = SessionLoss(GRACE, 3)
    loss.look(OwnerView("a", False, 4), 1)
    assert loss.table(500 * MS)[0]["state"] == "confirming 0 of 3"
    loss.look(OwnerView("a", True, 4), 200 * MS)
    (row,) = loss.table(500 * MS)
    assert (row["value"], row["percent"], row["state"]) == ("0", 0, "ok")


def test_losing_a_session_matters_only_with_working_orders() -> None:
    loss = SessionLoss(GRACE, 3)
    idle = [loss.look(OwnerView("a", False, 0, "down"), i * 20 * MS) for i in range(100)]
    assert not any(idle)
    said = [s for i in range(100, 300) if (s := loss.look(OwnerView("a", False, 2, "connection reset"), i * 20 * MS))]
    assert said == ["session lost for more than 0.9 s with 2 working orders: connection reset"]
    assert not loss.look(OwnerView("b", True, 5), 0)


def test_a_session_that_was_back_in_between_is_not_said_to_have_been_lost_all_the_time() -> None:
    loss = SessionLoss(GRACE, 3)
    looks = [False] * 20 + [True] * 5 + [False] * 200
    said = [s for i, ok in enumerate(looks) if (s := loss.look(OwnerView("a", ok, 2, "reset"), i * 20 * MS))]
    assert said == ["session lost again and again: at 3 of the last 3 looks in 900 ms with 2 working orders: reset"]
    steady = SessionLoss(GRACE, 3)
    told = [s for i in range(100) if (s := steady.look(OwnerView("a", False, 2, "reset"), i * 20 * MS))]
    assert told == ["session lost for more than 0.9 s with 2 working orders: reset"]
