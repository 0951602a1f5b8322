"""Snapshots in pieces: one record of all, increments behind it, nothing of other instruments held back."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from venues.fragments import Fragments

KEY = -5


def record(instrument: int, kind: int, number: int, changes: int, *, more: bool = False, key: int = KEY) -> list[int]:
    head = [changes, instrument, kind, 4 | (8 if more else 0), 0, 0, number, 1, 2, 3, key, 0]
    return head + [number * 100 + n for n in range(5 * changes)]


def fed(fragments: Fragments, *records: list[int]) -> list[int]:
    return list(fragments.take(memoryview(array("q", [w for r in records for w in r]))))


def test_pieces_become_one_record_and_increments_follow_it() -> None:
    fragments = Fragments()
    fragments.expect(0, KEY)
    first, between, last = record(0, 1, 8, 2, more=True), record(0, 0, 9, 1), record(0, 1, 8, 1)
    assert fed(fragments, first, between) == []
    out = fed(fragments, last)
    assert out[:12] == [3, *last[1:12]]
    assert out[12:] == first[12:] + last[12:] + between
    assert not fragments.waits


def test_others_pass_and_snapshots_of_an_earlier_request_keep_their_place() -> None:
    fragments = Fragments()
    fragments.expect(0, KEY)
    other, old = record(1, 0, 1, 1), record(0, 1, 3, 1, key=77)
    assert fed(fragments, other, record(0, 0, 2, 1), old) == other + old


def test_too_much_held_back_is_given_up_and_its_last_piece_passes_for_nothing() -> None:
    fragments = Fragments(most_words=40)
    fragments.expect(0, KEY)
    assert fed(fragments, record(0, 1, 8, 9, more=True), record(0, 1, 8, 1)) == []
    assert fragments.waits
    fragments.expect(0, KEY + 1)
    again = record(0, 1, 9, 1, key=KEY + 1)
    assert fed(fragments, again) == again


def test_what_is_forgotten_is_held_back_no_more() -> None:
    fragments = Fragments()
    for instrument in (0, 1):
        fragments.expect(instrument, KEY)
    fragments.forget(0)
    passes = record(0, 0, 1, 1)
    assert fed(fragments, passes, record(1, 0, 1, 1)) == passes
    fragments.forget()
    assert not fragments.waits


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.integers(1, 7))
def test_however_pieces_are_cut_the_whole_is_the_same(sizes: list[int], chunk: int) -> None:
    fragments = Fragments()
    fragments.expect(0, KEY)
    pieces = [record(0, 1, 8, size, more=n < len(sizes) - 1) for n, size in enumerate(sizes)]
    out: list[int] = []
    for at in range(0, len(pieces), chunk):
        out += fed(fragments, *pieces[at : at + chunk])
    assert out[0] == sum(sizes)
    assert out[12:] == [w for piece in pieces for w in piece[12:]]
