"""Rate limits: no window holds more than allowed, counters fall as said, cancels keep their part, waits suffice."""

import random
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import ConfigError
from ipc.events import VenueLimit
from venues.limits import DAY_S, FREE, Cost, Limit, Refusal, written
from venues.rate import DAY_NS, SECOND_NS, Falling, Pace, Window, meter
from venues.throttle import Throttle

START = 10**15
NOON = 1_775_563_200 * SECOND_NS  # a UTC day's noon

steps = st.lists(
    st.tuples(st.integers(0, 3 * SECOND_NS), st.sampled_from(["new", "cancel", "amend"]), st.integers(0, 400)),
    max_size=120,
)


def limit(**more: Any) -> Limit:
    fields: dict[str, Any] = {"name": "l", "most": 10, "per_s": 10, "breach": "logout"}
    return Limit(**(fields | more))


def play(throttle: Throttle, played: Sequence[tuple[int, str, int]]) -> list[tuple[int, str, int]]:
    """Ask for each request at its time; those that were let through: (time, request, age in s)."""
    now, passed = START, []
    for pause, request, age_s in played:
        now += pause
        said = throttle.take(request, now, NOON, "", age_s * SECOND_NS, urgent=request == "cancel")
        if not said:
            passed.append((now, request, age_s))
    return passed


# -- windows -----------------------------------------------------------------------------------------------------


@given(steps, st.integers(1, 20), st.integers(0, 5), st.integers(1, 12))
def test_no_stretch_of_a_windows_length_holds_more_than_allowed_wherever_it_begins(
    played: list[tuple[int, str, int]], most: int, reserve: int, per_s: int
) -> None:
    given_limit = limit(most=most + reserve, reserve=reserve, per_s=per_s)
    passed = play(Throttle([given_limit]), played)
    length = per_s * SECOND_NS
    for first, _, _ in passed:
        inside = [r for t, r, _ in passed if first <= t < first + length]
        assert len(inside) <= most + reserve
    for n, (last, request, _) in enumerate(passed):
        if request != "cancel":
            before = [t for t, _, _ in passed[: n + 1] if t > last - length]
            assert len(before) <= most, "an order left the reserve alone"


@given(steps)
def test_a_window_is_at_most_two_slots_too_strict(played: list[tuple[int, str, int]]) -> None:
    throttle = Throttle([limit(most=6)])
    now, passed = START, []
    for pause, _, _ in played:
        now += pause
        if not throttle.take("new", now, NOON):
            passed.append(now)
        else:
            slack = 11 * SECOND_NS
            assert sum(t > now - slack for t in passed) >= 6


@given(steps, st.sampled_from(["1", "2.34", "3.75", "0.33"]))
def test_the_wait_that_is_told_suffices(played: list[tuple[int, str, int]], decay: str) -> None:
    throttle = Throttle(
        [limit(most=5, reserve=1), limit(name="c", most=8, per_s=0, decay=decay, costs={"new": Cost(3)})]
    )
    play(throttle, played)
    now = START + sum(pause for pause, _, _ in played)
    for _ in range(4):  # two limits, one after the other
        said = throttle.take("new", now, NOON)
        if not said:
            return
        now += int(said.rpartition(" in ")[2].split()[0]) * 1_000_000
    assert not throttle.take("new", now, NOON)


def test_a_days_limit_begins_anew_at_midnight_and_says_so() -> None:
    throttle = Throttle([limit(most=2, per_s=DAY_S)])
    assert [throttle.take("new", START + n, NOON) for n in range(2)] == ["", ""]
    assert throttle.take("new", START, NOON).endswith("try again in 43200000 ms")
    assert not throttle.take("new", START + DAY_NS // 2, NOON + DAY_NS // 2)


# -- falling counters ----------------------------------------------------------------------------------------------


COSTS = {"new": Cost(1), "amend": Cost(1, ((5, 3), (10, 2), (15, 1))), "cancel": Cost(0, ((5, 8), (10, 6), (300, 1)))}


@given(steps, st.sampled_from(["1", "2.34", "3.75"]), st.integers(10, 60), st.integers(0, 9))
def test_a_counter_falls_exactly_and_orders_never_pass_its_ceiling(
    played: list[tuple[int, str, int]], decay: str, most: int, reserve: int
) -> None:
    throttle = Throttle([limit(most=most, per_s=0, decay=decay, costs=COSTS, reserve=reserve, breach="refused")])
    level, at = Fraction(0), START
    for now, request, age_s in play(throttle, played):
        level = max(Fraction(0), level - Fraction(decay) * Fraction(now - at, SECOND_NS))
        at = now
        level += COSTS[request].at(age_s * SECOND_NS)
        if request != "cancel":
            assert level <= most - reserve
    end = START + sum(pause for pause, _, _ in played)
    level = max(Fraction(0), level - Fraction(decay) * Fraction(end - at, SECOND_NS))
    told = throttle.left(end, NOON)["left_l"]
    assert told in (int(max(most - level, 0)), int(max(most - level - Fraction(1, 10**6), 0)))


def test_what_is_young_costs_more() -> None:
    cancel = COSTS["cancel"]
    assert [cancel.at(s * SECOND_NS) for s in (-1, 0, 4, 5, 9, 10, 299, 300)] == [8, 8, 8, 6, 6, 1, 1, 0]


# -- reserve, forcing, the venue's own word ----------------------------------------------------------------------------


def test_where_the_venue_would_log_us_out_cancels_end_at_the_limit_and_a_kill_does_not() -> None:
    throttle = Throttle([limit(most=4, reserve=2)])
    assert [bool(throttle.take("new", START, NOON)) for _ in range(3)] == [False, False, True]
    assert [bool(throttle.take("cancel", START, NOON, urgent=True)) for _ in range(3)] == [False, False, True]
    for _ in range(5):
        throttle.force("cancel", START, NOON)
    assert throttle.left(START, NOON)["left_l"] == 0
    late = START + 10 * SECOND_NS
    assert throttle.take("new", late, NOON), "what was forced holds the others back"


def test_where_the_venue_would_only_refuse_them_cancels_always_leave() -> None:
    throttle = Throttle([limit(most=2, breach="refused")])
    assert not any(throttle.take("cancel", START, NOON, urgent=True) for _ in range(10))
    assert throttle.take("new", START, NOON)


def test_a_refusal_says_what_limit_and_how_long() -> None:
    throttle = Throttle([limit(name="messages", most=1)])
    throttle.take("new", START, NOON)
    said = throttle.take("new", START + SECOND_NS, NOON)
    assert said.startswith("rate limit of the venue (messages: 1 in 10 s): try again in ")
    assert 9_500 <= int(said.split()[-2]) <= 10_000
    assert throttle.left(START, NOON)["rate_refused"] == 1


def test_instruments_have_counters_of_their_own() -> None:
    throttle = Throttle([limit(most=1, scope="instrument")], ["BTC-USD", "ETH-USD"])
    assert not throttle.take("new", START, NOON, "BTC-USD")
    assert throttle.take("new", START, NOON, "BTC-USD")
    assert not throttle.take("new", START, NOON, "ETH-USD")


def test_the_venues_refusal_fills_the_shortest_limit_that_it_may_mean() -> None:
    passed = (Refusal(code="-1015"),)
    short, day = limit(name="short", refusals=passed), limit(name="day", per_s=DAY_S, most=100, refusals=passed)
    throttle = Throttle([day, short])
    assert throttle.answered("-2010", "no such thing", START, NOON) == ""
    assert throttle.answered("-1015", "Too many new orders", START, NOON) == "short: 10 in 10 s"
    assert "short" in throttle.take("new", START + SECOND_NS, NOON)
    left = throttle.left(START, NOON)
    assert (left["left_short"], left["left_day"], left["rate_breaches"]) == (0, 100, 1)
    assert not throttle.take("new", START + 12 * SECOND_NS, NOON)


def test_silence_that_the_venue_asks_for_is_kept_by_all_but_cancels() -> None:
    throttle = Throttle([limit()])
    throttle.hold(START + 5 * SECOND_NS, "429")
    assert "(429): try again in 5000 ms" in throttle.take("new", START, NOON)
    assert not throttle.take("cancel", START, NOON, urgent=True)
    assert not throttle.take("new", START + 5 * SECOND_NS, NOON)


def test_a_ban_that_only_the_pages_tell_of_is_waited_for() -> None:
    limit = Limit(name="a", most=5, per_s=5, breach="ban", ban_s=600, refusals=(Refusal(text="too frequent"),))
    throttle = Throttle((limit,))
    assert throttle.answered("", "access too frequent", 10**9, 0)
    assert "600000 ms" in throttle.take("x", 10**9, 0)
    assert (throttle.banned, throttle.breaches) == (True, 1)
    assert throttle.take("x", 600 * 10**9, 0)
    assert throttle.take("x", 602 * 10**9, 0) == ""


def test_what_the_venue_tells_of_its_limit_overrules_ours() -> None:
    throttle = Throttle([limit(told_as="orders", spare=1)])
    throttle.told(VenueLimit("s", "v", "orders", 3, 20, 10, 0), START, NOON)
    assert throttle.left(START, NOON)["left_l"] == 16
    throttle.told(VenueLimit("s", "v", "orders", 0, 5, 60, 0), START, NOON)  # of another window
    throttle.told(VenueLimit("s", "v", "orders", 1, 8, 10, 0), START, NOON)  # it never lowers what we counted
    assert throttle.left(START, NOON)["left_l"] == 4


def test_a_first_fill_gives_one_back_where_the_venue_does_so() -> None:
    throttle = Throttle([limit(most=2, fill_gives_back=True), limit(name="m", most=3)])
    assert not throttle.take("new", START, NOON)
    assert not throttle.take("new", START, NOON)
    assert throttle.take("new", START, NOON)
    throttle.filled()
    assert not throttle.take("new", START, NOON)
    throttle.filled()
    assert "m: 3" in throttle.take("new", START, NOON)


@given(st.lists(st.tuples(st.integers(0, 2 * SECOND_NS), st.booleans()), max_size=150))
def test_given_back_or_not_the_venues_own_window_never_holds_more(played: list[tuple[int, bool]]) -> None:
    """The venue takes the oldest off at a fill (venues/binance/sim_limits.py): ours must never be more generous."""
    throttle = Throttle([limit(most=5, fill_gives_back=True)])
    now, venue, unfilled = START, [], 0
    for pause, fills in played:
        now += pause
        venue = [t for t in venue if t >= now - 10 * SECOND_NS]
        if fills and unfilled:
            unfilled -= 1
            throttle.filled()
            venue = venue[1:]
        elif not throttle.take("new", now, NOON):
            assert len(venue) < 5
            venue.append(now)
            unfilled += 1


class Quiet:
    """A column that nobody else writes."""

    def __init__(self, writers: int) -> None:
        self.writers = writers

    def others(self) -> int:
        return 0

    def add(self, spent: int) -> None: ...

    def show(self, used: int, at_ns: int) -> None: ...

    def latest(self) -> tuple[int, int]:
        return 0, 0


# -- a share of it -------------------------------------------------------------------------------------------------


def test_a_desk_that_shares_an_account_with_another_keeps_to_its_share() -> None:
    throttle = Throttle([limit(most=100, scope="account"), limit(name="own", most=100)], share_pct=30)
    left = throttle.left(START, NOON)
    assert (left["left_l"], left["left_own"]) == (30, 100)


@given(st.integers(2, 500), st.data(), st.integers(0, 120), st.integers(1, 100), st.integers(1, 8), st.integers(0, 400))
def test_no_part_and_no_word_of_the_venue_leaves_nothing_for_orders(
    most: int, data: st.DataObject, spare: int, share_pct: int, writers: int, told: int
) -> None:
    given_limit = limit(most=most, reserve=data.draw(st.integers(0, most - 1)), spare=spare, scope="account")
    made = meter(given_limit, Quiet(writers), share_pct)
    for whole in (most, told or most):
        assert 1 <= made.open <= made.most <= max(1, whole * share_pct // 100)
        assert made.most - made.open <= given_limit.reserve
        made.told(0, told)


def test_a_limit_that_the_venue_lowers_goes_on_letting_orders_through() -> None:
    """Of 10,000 messages 1,900 are kept for cancels and 100 for heartbeats: of 1,000 it cannot be as many."""
    messages = limit(most=10_000, per_s=10, reserve=1_900, spare=100, told_as="messages")
    throttle = Throttle([messages])
    throttle.told(VenueLimit("s", "v", "messages", 0, 1_000, 10, 0), START, NOON)
    assert throttle.left(START, NOON)["left_l"] == 990
    assert [not throttle.take("new", START, NOON) for _ in range(1_000)].count(True) == 800
    assert [not throttle.take("cancel", START, NOON, urgent=True) for _ in range(1_000)].count(True) == 190


def test_what_the_venue_tells_of_a_shared_account_keeps_the_share() -> None:
    throttle = Throttle([limit(most=100, scope="account", told_as="orders")], share_pct=30)
    throttle.told(VenueLimit("s", "v", "orders", 70, 200, 10, 0), START, NOON)
    assert throttle.left(START, NOON)["left_l"] == 60, "70 are within the others' 140"
    throttle.told(VenueLimit("s", "v", "orders", 150, 200, 10, 0), START, NOON)
    assert throttle.left(START, NOON)["left_l"] == 50, "10 more than theirs"


# -- as written in configurations ------------------------------------------------------------------------------------


def test_limits_as_configurations_write_them() -> None:
    found = written("300/10s account 50", "x")
    assert (found.most, found.per_s, found.scope, found.reserve) == (300, 10, "account", 50)
    assert (written("5/1m", "x").per_s, written("5/1d", "x").per_s) == (60, DAY_S)


@pytest.mark.parametrize("text", ["", "5", "5/s", "0/1s", "5/2d", "5/1s desk", "5/1s account 5", "-5/1s"])
def test_what_is_not_a_limit_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(ConfigError, match=r"venue\.v\.options\.rate_limits"):
        written(text, "venue.v.options.rate_limits")


def test_a_pace_lets_a_seconds_worth_go_at_once_and_the_rest_evenly() -> None:
    pace = Pace(5)
    times = [START + n * SECOND_NS // 50 for n in range(150) if pace.take(START + n * SECOND_NS // 50)]
    assert sum(t < START + SECOND_NS // 5 for t in times) == 5
    assert 18 <= len(times) <= 20


def test_requests_that_cost_nothing_are_not_asked_about() -> None:
    throttle = Throttle([limit(most=1, otherwise=FREE)])
    assert not any(throttle.take("status", START, NOON) for _ in range(10))


# -- meters side by side ---------------------------------------------------------------------------------------


class Shared:
    """The columns of several processes, in plain lists."""

    def __init__(self, writers: int) -> None:
        self.writers = writers
        self.totals = [0] * writers
        self.views = [(0, 0)] * writers

    def column(self, row: int) -> "Row":
        return Row(self, row)


class Row:
    def __init__(self, shared: Shared, row: int) -> None:
        self.shared, self.row = shared, row
        self.writers = shared.writers
        self.seen = sum(shared.totals)

    def others(self) -> int:
        total = sum(self.shared.totals)
        delta, self.seen = total - self.seen, total
        return delta

    def add(self, spent: int) -> None:
        self.shared.totals[self.row] += spent
        self.seen += spent

    def show(self, used: int, at_ns: int) -> None:
        self.shared.views[self.row] = (used, at_ns)

    def latest(self) -> tuple[int, int]:
        return max(self.shared.views, key=lambda view: view[1])


@given(st.integers(), st.integers(2, 4), st.sampled_from(["window", "falling"]))
def test_processes_that_share_an_account_never_pass_its_limit_together_restarts_included(
    seed: int, writers: int, kind: str
) -> None:
    chance, shared = random.Random(seed), Shared(writers)
    given_limit = limit(most=12, per_s=10) if kind == "window" else limit(most=12, per_s=0, decay="1.5")
    make = Window if kind == "window" else Falling
    meters = [make(given_limit, shared.column(row)) for row in range(writers)]
    now, passed = START, []
    for _ in range(200):
        now += chance.randrange(SECOND_NS)
        row = chance.randrange(writers)
        if chance.random() < 0.02:
            meters[row] = make(given_limit, shared.column(row))  # its process was killed and started again
        at = meters[row]
        at.sync(now, NOON)
        if at.used + at.unit <= at.open:
            at.spend(at.unit, now, NOON)
            passed.append(now)
    allowed = 12 - (writers - 1)
    level, last = Fraction(0), START
    for n, t in enumerate(passed):
        level = max(Fraction(0), level - Fraction(3, 2) * Fraction(t - last, SECOND_NS)) + 1
        last = t
        if kind == "window":
            assert sum(p > t - 10 * SECOND_NS for p in passed[: n + 1]) <= allowed
        else:
            assert level <= allowed
    assert passed
