"""A trade counts once: by its id where the channels share ids, else by quantity and price, one for one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from risk.trades import Trades

TRADES = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 2)), max_size=8)


def test_a_shared_id_decides_whichever_channel_comes_first() -> None:
    for first in (True, False):
        trades = Trades()
        assert trades.add("T1", 5, 10, rest=first, named=True)
        assert not trades.add("T1", 5, 10, rest=not first, named=True)
        assert trades.add("T2", 5, 10, rest=not first, named=True)
        assert trades.qty == 10


def test_without_shared_ids_trades_are_matched_by_figures_one_for_one() -> None:
    trades = Trades()
    assert trades.add("f1", 5, 10, rest=False, named=False)
    assert not trades.add("uuid-1", 5, 10, rest=True, named=False)
    assert trades.add("uuid-2", 5, 10, rest=True, named=False)
    assert not trades.add("f2", 5, 10, rest=False, named=False)
    assert trades.add("f3", 5, 11, rest=False, named=False)
    assert trades.qty == 15


def test_a_fill_without_a_trade_id_is_found_again_in_the_trade_list() -> None:
    trades = Trades()
    assert trades.add("exec-1", 5, 10, rest=False, named=False)
    assert not trades.add("T1", 5, 10, rest=True, named=True)
    assert trades.knows("T1", rest=True)
    assert trades.qty == 5


@settings(max_examples=300, deadline=None)
@given(TRADES, st.booleans(), st.data())
def test_however_two_channels_tell_the_same_trades_the_quantity_is_theirs(
    trades: list[tuple[int, int]], shared: bool, data: st.DataObject
) -> None:
    tellings = [(n, rest) for n in range(len(trades)) for rest in (False, True)]
    order = data.draw(st.permutations(tellings + tellings[: len(tellings) // 2]))
    known, news = Trades(), 0
    for n, rest in order:
        qty, px = trades[n]
        name = f"T{n}" if shared else f"{'r' if rest else 's'}{n}"
        news += known.add(name, qty, px, rest=rest, named=shared)
        assert known.qty <= sum(qty for qty, _ in trades)
    assert (known.qty, news) == (sum(qty for qty, _ in trades), len(trades))
