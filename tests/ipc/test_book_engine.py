"""The book engine against naive books, on long random histories."""

import random
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import BookError, SchemaError
from ipc._book import LAST_OF_MESSAGE, Book
from ipc.books import BookReason
from tests.ipc.book_reference import CHANGE, DELETE, L2, L3, NEW, Entry, NaiveL2, NaiveL3, record, signed, what

entries = st.tuples(
    st.builds(what, st.integers(0, 1), st.sampled_from([NEW, CHANGE, DELETE])),
    st.integers(1, 60),
    st.integers(0, 5),
    st.just(0),
    st.just(0),
)


def same_l2(book: Book, naive: NaiveL2) -> None:
    for side in (0, 1):
        assert [(px, qty) for px, qty, _ in book.side(side)] == naive.levels(side)
    best = [naive.levels(s)[0] if naive.levels(s) else (0, 0) for s in (0, 1)]
    assert book.bbo() == best[0] + best[1]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(entries, min_size=1, max_size=5), max_size=60), st.sampled_from([0, 1, 3, 10]))
def test_an_l2_book_holds_what_a_dict_holds_after_every_message(messages: list[list[Entry]], window: int) -> None:
    one, packed = Book(levels=100, max_depth=window), Book(levels=100, max_depth=window)
    naive = NaiveL2(window)
    for message in messages:
        blob = b"".join(L2.pack(*e[:3]) for e in message)
        for e in message:
            naive.apply(e)
        naive.cut()
        assert one.apply_record(record(message)) == BookReason.OK
        assert packed.apply_changes(blob) == BookReason.OK
        same_l2(one, naive)
        same_l2(packed, naive)
        assert one.crc32_top(10) == naive.crc(10)


def l3_history(seed: int, n: int) -> list[Entry]:
    rng = random.Random(seed)
    alive: dict[int, tuple[int, int, int]] = {}
    out: list[Entry] = []
    for t in range(1, n + 1):
        roll = rng.random()
        if roll < 0.5 or not alive:
            key = rng.choice([rng.getrandbits(64) | 1, t])
            if key in alive:
                continue
            side, px = rng.randrange(2), rng.randrange(100, 130)
            time_ns = 1 + rng.randrange(t)
            alive[key] = (side, px, time_ns)
            out.append((what(side), px, rng.randrange(1, 50), key, time_ns))
            continue
        key = rng.choice(list(alive))
        side, px, time_ns = alive[key]
        if roll < 0.75:
            moves = rng.random() < 0.3
            if moves:
                px, time_ns = rng.randrange(100, 130), t
                alive[key] = (side, px, time_ns)
            out.append((what(side, CHANGE), px, rng.randrange(1, 50), key, t if moves else rng.choice([0, time_ns])))
        else:
            del alive[key]
            out.append((what(side, DELETE), px, rng.randrange(2), key, 0))
    return out


def same_l3(book: Book, naive: NaiveL3) -> None:
    for side in (0, 1):
        assert book.orders(side) == naive.queue(side)
        assert book.side(side) == naive.levels3(side)
    assert book.n_orders == len(naive.orders)


@pytest.mark.parametrize("seed", range(6))
def test_an_l3_book_keeps_every_order_in_queue_order(seed: int) -> None:
    book, naive = Book(l3=True, levels=64, orders=3000), NaiveL3()
    for i, e in enumerate(l3_history(seed, 3000)):
        assert book.apply(*e[:3], e[3], e[4]) == BookReason.OK
        naive.apply(e)
        if i % 97 == 0:
            same_l3(book, naive)
            assert book.crc32_top(3) == naive.crc(3)
    same_l3(book, naive)


@pytest.mark.parametrize("seed", range(3))
def test_packed_l3_changes_and_records_lead_to_the_same_book(seed: int) -> None:
    one, two = Book(l3=True, levels=64, orders=3000), Book(l3=True, levels=64, orders=3000)
    history = l3_history(seed, 1000)
    for at in range(0, len(history), 7):
        assert (
            one.apply_changes(b"".join(L3.pack(*e[:3], signed(e[3]), e[4]) for e in history[at : at + 7]))
            == BookReason.OK
        )
        assert two.apply_record(record(history[at : at + 7])) == BookReason.OK
        assert one.pack() == two.pack()


def test_a_packed_book_loads_into_an_equal_book_even_where_times_disagree_with_the_queue() -> None:
    book = Book(l3=True, levels=8, orders=8)
    for key, time_ns in ((1, 10), (2, 0), (3, 5)):
        assert book.apply(what(0), 100, 7, key, time_ns) == BookReason.OK
    assert book.apply(what(0, DELETE), 100, 0, 2) == BookReason.OK
    assert [key for _, _, key, _ in book.orders(0)] == [1, 3]
    other = Book(l3=True, levels=8, orders=8)
    assert other.replace(*book.pack()) == BookReason.OK
    assert other.orders(0) == book.orders(0)


def test_a_snapshot_replaces_and_leaves_no_ghost_level() -> None:
    book = Book(levels=16)
    book.apply(what(0), 99, 1)
    book.apply(what(1), 101, 1)
    assert book.apply_record(record([(what(0), 98, 2, 0, 0)], snapshot=True)) == BookReason.OK
    assert (book.side(0), book.side(1)) == ([(98, 2, 0)], [])
    assert book.replace(struct.pack("<2q", 97, 3), b"") == BookReason.OK
    assert book.side(0) == [(97, 3, 0)]


def test_a_new_order_whose_key_is_known_is_a_defect() -> None:
    book = Book(l3=True, levels=8, orders=8)
    assert book.apply(what(0), 100, 1, 5) == BookReason.OK
    assert book.apply(what(0), 101, 1, 5) == BookReason.DUPLICATE_ORDER


@pytest.mark.parametrize("action", [CHANGE, DELETE])
def test_a_change_or_delete_of_an_unknown_order_is_a_defect(action: int) -> None:
    book = Book(l3=True, levels=8, orders=8)
    assert book.apply(what(0, action), 100, 1, 5) == BookReason.UNKNOWN_ORDER


def test_a_delete_of_an_order_that_left_the_window_is_no_defect() -> None:
    book = Book(l3=True, levels=8, orders=8, max_depth=1)
    for key, px in ((1, 100), (2, 101)):
        assert book.apply(what(0), px, 1, key) == BookReason.OK
    assert book.n_orders == 1
    assert book.apply(what(0, DELETE), 100, 1, 1) == BookReason.OK


def test_a_book_that_outgrows_its_room_says_so_and_takes_nothing_more() -> None:
    book = Book(levels=4)
    assert [book.apply(what(1), px, 1) for px in range(1, 6)] == [0, 0, 0, 0, BookReason.CAPACITY]
    assert book.apply(what(1), 1, 1) == BookReason.SNAPSHOT
    l3 = Book(l3=True, levels=4, orders=2)
    assert [l3.apply(what(1), 1, 1, key) for key in (1, 2, 3)] == [0, 0, BookReason.CAPACITY]


def test_sizes_that_overflow_a_level_or_are_negative_are_defects() -> None:
    book = Book(l3=True, levels=4, orders=4)
    assert book.apply(what(0), 1, (1 << 63) - 1, 1) == BookReason.OK
    assert book.apply(what(0), 1, 1, 2) == BookReason.NUMBER
    assert Book().apply(what(0), 1, -1) == BookReason.NUMBER


@pytest.mark.parametrize("cut", [1, 8, 23])
def test_packed_changes_of_another_shape_are_refused(cut: int) -> None:
    assert Book().apply_changes(L2.pack(what(0), 1, 1)[:cut]) == BookReason.MALFORMED
    assert Book().replace(bytes(cut), b"") == BookReason.MALFORMED


@pytest.mark.parametrize("words", [[], [1], [-1, *[0] * 11], [1, *[0] * 15], [1 << 62, *[0] * 30]])
def test_a_record_that_does_not_fit_its_buffer_names_its_word(words: list[int]) -> None:
    with pytest.raises(SchemaError, match="word 0"):
        Book().apply_record(struct.pack(f"<{len(words)}q", *words))


def test_trades_and_other_entries_leave_the_book_alone() -> None:
    book = Book()
    assert book.apply_record(record([(2, 100, 5, 9, 0), (255, 1, 1, 0, 0)])) == BookReason.OK
    assert book.bbo() == (0, 0, 0, 0)


def test_messages_are_counted_where_they_end() -> None:
    book = Book()
    row = L2.pack(what(0) | LAST_OF_MESSAGE, 5, 1)
    book.apply_changes(L2.pack(what(0), 4, 1) + row + row + L2.pack(what(0), 6, 1))
    assert book.messages == 3


def test_a_top_only_book_replaces_a_side_with_its_level() -> None:
    book = Book(top_only=True)
    for px in (100, 99, 101):
        book.apply(what(0, CHANGE), px, 1)
    assert book.side(0) == [(101, 1, 0)]


def test_top_is_flat_and_padded_with_zeros() -> None:
    book = Book()
    book.apply(what(0), 99, 1)
    book.apply(what(1), 101, 2)
    book.apply(what(1), 102, 3)
    assert book.top(2) == (99, 1, 0, 0, 101, 2, 102, 3)


@pytest.mark.parametrize("extremes", [(-(1 << 63) + 1, (1 << 63) - 1), (-5, 5), (0, 1)])
def test_any_64_bit_price_sorts_where_it_belongs(extremes: tuple[int, int]) -> None:
    low, high = extremes
    book = Book()
    for px in (low, high):
        book.apply(what(0), px, 1)
        book.apply(what(1), px, 1)
    assert book.bbo() == (high, 1, low, 1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Book(levels=0),
        lambda: Book(l3=True),
        lambda: Book(l3=True, orders=1, top_only=True),
        lambda: Book().side(2),
    ],
)
def test_what_a_book_cannot_be_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(BookError):
        make()


def test_levels_far_from_the_best_stay_sorted_when_the_book_slides_in_its_room() -> None:
    rng = random.Random(7)
    book, naive = Book(levels=500), NaiveL2()
    centre = 10_000
    for _ in range(20_000):
        centre += rng.choice([-3, 3, 0])
        side = rng.randrange(2)
        px = centre + (1 if side else -1) * rng.randrange(200)
        e = (what(side, rng.choice([NEW, CHANGE, DELETE, DELETE])), px, rng.randrange(1, 9), 0, 0)
        if len(naive.sides[side]) >= 499:
            e = (what(side, DELETE), naive.levels(side)[-1][0], 0, 0, 0)
        assert book.apply(*e[:3]) == BookReason.OK
        naive.apply(e)
    same_l2(book, naive)
