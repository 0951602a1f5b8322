"""Sums over exposure rows and limits on them: exact beyond 64 bits, never wrong for a number that is too big."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import RegionError
from ipc._words import RowLimits, RowPage, RowShare, RowSums
from ipc.exposure import ExposureRow, ExposureWriter
from ipc.readiness import FIRST_ROW, MOVED, ROW_WORDS, ROWS, StatusPage

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.tuples(st.integers(0, 2), INT64, INT64, INT64, INT64, st.integers(-(2**70), 2**70)), max_size=20))
def test_sums_are_those_of_the_latest_figures_of_each_row(
    changes: list[tuple[int, int, int, int, int, int]],
) -> None:
    sums = RowSums()
    count, held, gross = sums.add(), sums.add(3), sums.add()
    units = (1, 10**6, 10**18)
    shares = [RowShare(sums, unit, [count], [held], [gross]) for unit in units]
    latest: dict[int, tuple[int, int, int, int, int]] = {}
    for who, *figures in changes:
        open_orders, buys, sells, position, notional = figures
        shares[who].now(open_orders, buys, sells, position, notional)
        latest[who] = (open_orders, buys, sells, position, notional)
    assert sums.value(count) == sum(f[0] for f in latest.values())
    assert sums.value(held) == sum(f[3] * units[who] for who, f in latest.items())
    assert sums.value(held + 1) == sum(f[1] * units[who] for who, f in latest.items())
    assert sums.value(held + 2) == sum(f[2] * units[who] for who, f in latest.items())
    assert sums.value(gross) == sum(f[4] for f in latest.values())


def test_a_figure_beyond_64_bits_is_an_error_and_changes_nothing() -> None:
    sums = RowSums()
    share = RowShare(sums, 1, [sums.add()], [], [])
    with pytest.raises(OverflowError):
        share.now(2**63, 0, 0, 0, 0)
    assert sums.value(0) == 0


sides = st.booleans()
amounts = st.integers(0, 2**63 - 1)
limits = st.integers(0, 10**38)


@given(sides, amounts, st.integers(0, 2**80), st.integers(0, 1), INT64, INT64, amounts, amounts, amounts,
       limits, st.lists(limits, min_size=3, max_size=3))  # fmt: skip
def test_a_limit_is_over_exactly_when_the_sum_with_the_order_is(
    buys: bool, qty: int, worth: int, orders: int, open_orders: int, position: int, working_buys: int,
    working_sells: int, notional: int, most_held: int, most: list[int],
) -> None:  # fmt: skip
    unit, sums = 10**12, RowSums()
    count, held, gross = sums.add(), sums.add(3), sums.add()
    share = RowShare(sums, unit, [count], [held], [gross])
    share.now(open_orders, working_buys, working_sells, position, notional)
    judged = RowLimits(sums, unit, [(count, most[0])], [(gross, most[1])], [(held, most_held)])
    after = (position + working_buys + qty if buys else working_sells + qty - position) * unit
    wanted = [
        orders > 0 and open_orders + orders > most[0],
        worth > 0 and notional + worth > most[1],
        qty > 0 and after > most_held,
    ]
    # Beyond 64 bits an order passes no limit, whatever the limit is.
    if worth >= 2**63:
        wanted[1] = True
    assert judged.over(buys, qty, worth, orders) == (wanted.index(True) if True in wanted else -1)


@pytest.mark.parametrize("qty", [2**63, 2**64 - 1, 2**200])
def test_a_quantity_beyond_64_bits_passes_no_limit_on_a_position(qty: int) -> None:
    sums = RowSums()
    held = sums.add(3)
    assert RowLimits(sums, 1, [], [], [(held, 10**38)]).over(True, qty, 0, 1) == 0
    assert RowLimits(sums, 1, [], [], []).over(True, qty, qty, 1) == -1


def test_a_sum_that_is_not_there_is_an_error() -> None:
    sums = RowSums()
    sums.add()
    for make in (
        lambda: RowShare(sums, 1, [1], [], []),
        lambda: RowShare(sums, 1, [], [0], []),
        lambda: RowLimits(sums, 1, [], [(-1, 5)], []),
        lambda: sums.value(1),
    ):
        with pytest.raises(IndexError):
            make()


def test_a_page_of_rows_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    page = StatusPage(tmp_path / "p", "a", rows=2)
    with pytest.raises(RegionError):
        RowPage(page.words, FIRST_ROW, 8, ROWS, MOVED)
    rows = RowPage(page.words, FIRST_ROW, ROW_WORDS, ROWS, MOVED)
    sums = RowSums()
    share = RowShare(sums, 1, [], [], [])
    for i, identity in ((2, bytes(72)), (-1, bytes(72)), (0, bytes(71))):
        with pytest.raises(RegionError):
            rows.place(i, identity, share)
    assert rows.refresh() == 0
    ExposureWriter(page).set(ExposureRow(venue="v", instrument="A-USD", px_scale=1, qty_scale=1))
    assert rows.refresh() == 1
    assert rows.strange() == [0]
    page.words.store(ROWS, 10**9)  # a page may say anything
    assert rows.strange() == [0, 1]
