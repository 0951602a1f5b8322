"""One mechanism for every limit: warnings once a mark, confirmation, firing, re-arming, and what outlives a restart."""

from decimal import Decimal
from itertools import product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.triggers.watch import HARD, Kept, LimitWatch, Outcome, Reading, Rule

MS = 1_000_000
NOW = 1_000_000_000_000
SOFT = Rule(3, 5, 100 * MS)


def reading(value: int | str | None, *, limit: int | str = 100, rule: Rule = HARD, **more: object) -> Reading:
    fields = {"scope": "desk", "figure": "loss in USD", "unit": "USD", "rule": rule, **more}
    return Reading(value=None if value is None else Decimal(value), limit=Decimal(limit), **fields)  # type: ignore[arg-type]


class Run:
    """Looks at one figure, 20 ms apart unless said otherwise."""

    def __init__(self, rule: Rule = HARD, *, every_ms: int = 20, kept: dict[str, Kept] | None = None, **more: object):
        self.watch, self.now, self.every_ms, self.open = LimitWatch(kept), NOW, every_ms, True
        self.more = {"rule": rule, **more}

    def look(self, value: int | str | None) -> Outcome | None:
        self.now += self.every_ms * MS
        found = self.watch.look([reading(value, **self.more)], self.now, lambda _: self.open)  # type: ignore[arg-type]
        if found and found[0].kind == "trip":
            self.open = False  # as the kill switch does
        return found[0] if found else None

    def kinds(self, *values: int | None) -> list[str]:
        return [o.kind if o.kind != "warning" else str(o.percent) for v in values if (o := self.look(v)) is not None]

    def calm(self, value: int) -> list[str]:
        """Ten seconds at that value."""
        return self.kinds(*[value] * (10_000 // self.every_ms + 1))

    def word(self) -> object:
        return self.watch.table()[0]["state"]


def test_warnings_come_once_at_50_75_and_90_percent_and_again_after_a_fall() -> None:
    run = Run()
    steps = (49, 50, 60, 75, 76, 89, 90, 99, 100, 80, 30)
    said = [(n, outcome.percent) for n in steps if (outcome := run.look(n)) is not None]
    assert said == [(50, 50), (75, 75), (90, 90)]
    assert run.calm(30) == ["well"]
    assert run.kinds(55) == ["50"]
    assert run.calm(30) == []
    assert run.calm(20) == ["well"]


def test_a_figure_that_swings_about_a_mark_warns_once() -> None:
    assert Run().kinds(*[60, *[10] * 50] * 50) == ["50"]


def test_a_hard_figure_fires_at_the_first_look_above_its_limit_and_not_at_it() -> None:
    assert Run().kinds(100) == ["90"]
    assert Run().kinds(101) == ["trip"]


def test_a_limit_of_zero_fires_at_the_first_unit() -> None:
    assert Run(limit=0).kinds(0, 1) == ["trip"]


def test_a_floor_counts_the_other_way_round() -> None:
    run = Run(floor=True)
    assert run.kinds(300, 200, 130, 111, 101, 100, 99) == ["50", "75", "90", "trip"]
    assert run.watch.table()[0]["distance"] == "-1"


@pytest.mark.parametrize("looks", [list(p) for p in product((0, 1), repeat=8)], ids=lambda p: "".join(map(str, p)))
def test_every_history_of_eight_looks_fires_exactly_when_three_of_five_are_over(looks: list[int]) -> None:
    """Exhaustive: a look is due every 100 ms, counting from the first that was over."""
    run = Run(SOFT, every_ms=100)
    window: list[int] = []
    for over in looks:
        outcome = run.look(150 if over else 10)
        window = [*window, over][-5:] if window or over else []
        if not any(window):
            window = []
        want = bool(over) and sum(window) >= 3
        assert (outcome is not None and outcome.kind == "trip") == want
        if want:
            return


@given(st.lists(st.integers(0, 100), max_size=60), st.integers(1, 4), st.integers(0, 3))
def test_nothing_fires_at_or_below_the_limit(values: list[int], n: int, more: int) -> None:
    run = Run(Rule(n, n + more, 50 * MS))
    assert "trip" not in run.kinds(*values)


@given(st.integers(1, 5), st.integers(0, 4), st.integers(20, 500), st.integers(1, 200))
def test_what_stays_over_fires_within_its_confirmations(n: int, more: int, every_ms: int, look_ms: int) -> None:
    run = Run(Rule(n, n + more, every_ms * MS), every_ms=look_ms)
    began = run.now + look_ms * MS
    while (outcome := run.look(101)) is None or outcome.kind != "trip":
        assert run.now - began <= (n - 1) * (every_ms + look_ms) * MS
    assert run.now - began >= (n - 1) * every_ms * MS
    assert len(outcome.samples) <= n + more


@given(st.integers(2, 5), st.integers(1, 9))
def test_a_blip_fires_no_soft_figure(n: int, looks: int) -> None:
    """Over for less than the time between two looks that count."""
    run = Run(Rule(n, 2 * n - 1, 200 * MS))
    assert run.kinds(*[500] * looks, *[10] * 600) == ["90", "well"]  # people hear of it all the same


def test_a_soft_figure_that_is_over_and_not_confirmed_is_a_warning_once() -> None:
    run = Run(SOFT, every_ms=100)
    first = run.look(150)
    assert first is not None
    assert str(first) == "loss in USD 150 of desk: over, not confirmed: 100 USD"
    assert run.kinds(95, 95, 95, 95, 95, 150) == []
    assert Run(SOFT).kinds(95, 150) == ["90"]


def test_a_figure_that_cannot_be_told_is_no_figure_and_begins_the_confirmation_anew() -> None:
    run = Run(SOFT, every_ms=100)
    assert run.kinds(150, 150, None, 150, 150) == ["90"]
    assert run.kinds(150) == ["trip"]
    assert Run().kinds(None) == []


def test_what_is_closed_already_is_not_tripped_but_fires_when_it_opens() -> None:
    run = Run()
    run.open = False  # an operator closed it
    assert run.kinds(150, 150) == []
    run.open = True
    assert run.kinds(150) == ["trip"]


def test_after_a_persons_reset_what_the_figure_is_then_is_accepted_and_no_more() -> None:
    run = Run()
    assert run.kinds(150, 150, 150) == ["trip"]
    run.open = True
    assert run.kinds(150, 150) == []
    assert run.word() == "over, accepted at 150"
    assert run.kinds(151) == ["trip"]


def test_a_soft_figure_is_accepted_with_a_tenth_of_its_limit_to_spare() -> None:
    run = Run(SOFT, every_ms=100)
    assert run.kinds(*[150] * 3) == ["90", "trip"]
    run.open = True
    assert run.kinds(*[160] * 9) == []  # accepted as it was found open: at 160
    assert run.kinds(*[170] * 9) == []
    assert run.kinds(*[171] * 3) == ["trip"]


def test_back_within_the_limit_it_is_as_new() -> None:
    run = Run()
    run.kinds(150)
    run.open = True
    assert run.kinds(150, 100, 101) == ["trip"]


def test_an_alarm_is_raised_once_until_the_figure_is_well_again() -> None:
    run = Run(trips=False)
    assert run.kinds(150, 160, 150) == ["alarm"]
    for value in (89, 10):
        assert run.calm(value) == ["well"]
        assert run.kinds(150) == ["alarm"]
    assert run.open


def test_a_figure_that_hovers_about_its_limit_raises_one_alarm() -> None:
    run = Run(trips=False)
    assert run.kinds(*[101, 100, 101, 90] * 50) == ["alarm"]
    assert run.kinds(*[101, 80] * 50) == []
    assert run.calm(89) == ["well"]
    assert run.kinds(101) == ["alarm"]


def test_a_restart_forgets_neither_warnings_nor_what_fired_nor_what_was_accepted() -> None:
    run = Run()
    run.kinds(80)
    after = Run(kept=run.watch.kept())
    assert after.kinds(80) == []
    assert after.kinds(95) == ["90"]
    fired = Run()
    fired.kinds(150)
    still_closed = Run(kept=fired.watch.kept())
    still_closed.open = False
    assert still_closed.kinds(150) == []
    still_closed.open = True
    assert still_closed.kinds(150) == []  # it was this that closed it
    again = Run(kept=still_closed.watch.kept())
    assert again.kinds(150) == []
    assert again.kinds(151) == ["trip"]


def test_a_figure_that_is_not_read_in_one_life_is_not_forgotten_for_the_next() -> None:
    run = Run()
    run.kinds(150)
    between = LimitWatch(run.watch.kept())  # a drop copy, say, whose journal was not read to its end
    between.look([reading(10, figure="another")], NOW)
    after = Run(kept=between.kept())
    assert after.kinds(150) == []


def test_a_limit_that_is_configured_twice_is_judged_once() -> None:
    watch = LimitWatch()
    assert [o.kind for o in watch.look([reading(150), reading(150), reading(150, trips=False)], NOW)] == [
        "trip",
        "alarm",
    ]
    assert len(watch.table()) == 2


def test_another_limit_is_another_figure() -> None:
    run = Run()
    run.kinds(150)
    assert Run(kept=run.watch.kept(), limit=120).kinds(150) == ["trip"]


def test_the_facts_of_a_trip_name_the_figure_its_limit_and_the_looks() -> None:
    run = Run(SOFT, every_ms=100, detail="BTC-USD book")
    run.kinds(150, 10)
    run.look(150)
    outcome = run.look(151)
    assert outcome is not None
    facts = msgspec.json.decode(msgspec.json.encode(outcome.facts()))
    assert facts["value"] == "151"
    assert (facts["scope"], facts["figure"], facts["limit"], facts["unit"]) == ("desk", "loss in USD", "100", "USD")
    assert (facts["confirm_n"], facts["confirm_m"], facts["confirm_every_ms"]) == (3, 5, 100)
    assert facts["samples"] == [
        {"ago_ms": 300, "value": "150", "over": True}, {"ago_ms": 200, "value": "10", "over": False},
        {"ago_ms": 100, "value": "150", "over": True}, {"ago_ms": 0, "value": "151", "over": True},
    ]  # fmt: skip
    assert str(outcome) == "loss in USD 151 of desk: over 100 USD (BTC-USD book)"


def test_what_is_of_the_host_names_no_scope() -> None:
    run = Run(trips=False, scope="host", figure="memory of md", unit="MB")
    assert str(run.look(150)) == "memory of md 150: over 100 MB"
    run = Run(floor=True, trips=False, scope="host", figure="free memory", unit="MB")
    assert str(run.look(50)) == "free memory 50: below 100 MB"


def test_the_table_says_how_far_each_figure_is() -> None:
    run = Run(SOFT, every_ms=100)
    run.look(80)
    (row,) = run.watch.table()
    assert (row["value"], row["limit"], row["percent"], row["distance"], row["state"]) == (
        "80",
        "100",
        80,
        "20",
        "75 %",
    )
    run.look(150)
    assert run.word() == "confirming 1 of 3"
    run.kinds(150, 150)
    assert run.word() == "over, fired"


@given(st.lists(st.tuples(st.integers(0, 200), st.booleans()), max_size=60), st.integers(0, 59))
def test_a_restart_anywhere_warns_no_second_time_and_trips_no_less(steps: list[tuple[int, bool]], cut: int) -> None:
    """Hard figures: the same history with and without a restart gives the same outcomes."""
    plain, broken = Run(), Run()
    for i, (value, reopen) in enumerate(steps):
        if i == cut:
            before = broken
            broken = Run(kept=msgspec.json.decode(msgspec.json.encode(before.watch.kept()), type=dict[str, Kept]))
            broken.open, broken.now = before.open, before.now
        if reopen:
            plain.open = broken.open = True
        one, other = plain.look(value), broken.look(value)
        assert (one and (one.kind, one.percent)) == (other and (other.kind, other.percent))
