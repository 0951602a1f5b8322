"""Records through their rule: what is verified is packed, what breaks the rule is named and not packed."""

import random

import pytest

from base.errors import BookError, SchemaError
from ipc._book import LAST_OF_MESSAGE, Book, BookSet, Verdict
from ipc.books import BookReason
from tests.ipc.book_reference import (
    CHANGE,
    DEFECT,
    DELETE,
    HAS_CHECKSUM,
    HAS_FIRST_ID,
    HAS_LAST_ID,
    L2,
    L3,
    NEW,
    Entry,
    NaiveL2,
    record,
    what,
)  # fmt: skip

IDS = HAS_FIRST_ID | HAS_LAST_ID
NONE, CHECKSUM, UPDATE_IDS, NEWEST = range(4)


def books(continuity: int = NONE, **options: int | bool) -> BookSet:
    found = BookSet()
    for i in (0, 1):
        found.add(i, Book(levels=100), continuity=continuity, **options)  # type: ignore[arg-type]
    return found


def bid(px: int, qty: int = 1) -> Entry:
    return (what(0), px, qty, 0, 0)


def ask(px: int, qty: int = 1) -> Entry:
    return (what(1), px, qty, 0, 0)


def snapshot(*entries: Entry, **header: int) -> bytes:
    return record(entries, snapshot=True, **header)  # type: ignore[arg-type]


def reasons(verdicts: list[Verdict]) -> list[BookReason]:
    return [BookReason(v.reason) for v in verdicts]


def unpack(changes: bytes) -> list[tuple[int, ...]]:
    return list(L2.iter_unpack(changes))


def test_increments_before_the_first_snapshot_are_dropped_and_said_so() -> None:
    found = books()
    [v] = found.verify_and_pack(record([bid(1)]) + record([bid(2)]))
    assert (v.reason, v.n_messages, v.changes) == (BookReason.SNAPSHOT, 2, b"")
    assert found.book(0).n_levels == (0, 0)


def test_a_snapshot_makes_a_book_live_and_gives_both_sides() -> None:
    found = books()
    [v] = found.verify_and_pack(snapshot(bid(1), bid(2, 7), ask(3), seq_num=9))
    assert (v.snapshot, v.reason, v.last_id) == (True, 0, 9)
    assert (v.bids, v.asks) == found.book(0).pack()
    assert found.is_live(0)
    assert not found.is_live(1)


def test_increments_of_one_read_share_a_verdict_with_each_messages_end_marked() -> None:
    found = books()
    data = snapshot(bid(1)) + b"".join(record([bid(n), (2, 5, 5, 5, 5), ask(100 + n)], seq_num=n) for n in (2, 3, 4))
    snap, v = found.verify_and_pack(data)
    assert snap.snapshot
    rows = unpack(v.changes)
    assert [px for _, px, _ in rows] == [2, 102, 3, 103, 4, 104]
    assert [bool(w & LAST_OF_MESSAGE) for w, _, _ in rows] == [False, True] * 3
    assert (v.n_messages, v.first_id, v.last_id, v.n_trades) == (3, 2, 4, 3)


def test_the_packed_changes_bring_another_book_to_the_same_state() -> None:
    rng = random.Random(5)
    found, other = books(), Book(levels=100)
    for _ in range(200):
        data = b""
        if rng.random() < 0.1:
            data = snapshot(bid(rng.randrange(40, 50)), ask(rng.randrange(50, 60)))
        for _ in range(rng.randrange(6)):
            entries = [
                (what(rng.randrange(2), rng.choice([NEW, CHANGE, DELETE])), rng.randrange(90), rng.randrange(4), 0, 0)
                for _ in range(rng.randrange(1, 6))
            ]
            data += record(entries)
        for v in found.verify_and_pack(data):
            if v.snapshot:
                other.replace(v.bids, v.asks)
            elif v.reason == 0:
                assert other.apply_changes(v.changes) == BookReason.OK
        assert not found.is_live(0) or other.pack() == found.book(0).pack()


def test_a_checksum_is_verified_after_each_message() -> None:
    found, naive = books(CHECKSUM), NaiveL2()
    data = snapshot(bid(100), ask(110))
    for e in (bid(100), ask(110)):
        naive.apply(e)
    for n in range(1, 30):
        e = bid(100 - n, n)
        naive.apply(e)
        data += record([e], flags=HAS_CHECKSUM, checksum=naive.crc(), seq_num=n)
    verdicts = found.verify_and_pack(data)
    assert reasons(verdicts) == [BookReason.OK, BookReason.OK]
    assert verdicts[1].n_messages == 29


def test_a_wrong_checksum_breaks_the_book_there_and_what_was_before_is_kept() -> None:
    found, naive = books(CHECKSUM), NaiveL2()
    naive.apply(bid(1))
    naive.apply(bid(2))
    good = record([bid(2)], flags=HAS_CHECKSUM, checksum=naive.crc(), seq_num=1)
    bad = record([bid(3)], flags=HAS_CHECKSUM, checksum=naive.crc(), seq_num=2)
    later = record([bid(4)], seq_num=3)
    snap, kept, broken, waiting = found.verify_and_pack(snapshot(bid(1)) + good + bad + later)
    assert reasons([snap, kept, broken, waiting]) == [0, 0, BookReason.CHECKSUM, BookReason.SNAPSHOT]
    assert [px for _, px, _ in unpack(kept.changes)] == [2]
    assert (broken.seq_num, broken.changes, waiting.changes) == (2, b"", b"")
    assert not found.is_live(0)


def test_one_broken_book_leaves_the_others_alone() -> None:
    found = books(CHECKSUM)
    start = snapshot(bid(1)) + snapshot(bid(1), instrument=1)
    data = record([bid(2)], flags=HAS_CHECKSUM, checksum=1) + record([bid(2)], instrument=1)
    assert reasons(found.verify_and_pack(start)) == [0, 0]
    by_instrument = {v.instrument: v.reason for v in found.verify_and_pack(data)}
    assert by_instrument == {0: BookReason.CHECKSUM, 1: BookReason.OK}


@pytest.mark.parametrize(
    ("first", "last", "reason"),
    [(6, 7, BookReason.OK), (3, 9, BookReason.OK), (7, 8, BookReason.GAP)],
)
def test_update_ids_must_join_what_is_known(first: int, last: int, reason: BookReason) -> None:
    found = books(UPDATE_IDS)
    found.verify_and_pack(snapshot(bid(1), flags=HAS_LAST_ID, last_id=5))
    [v] = found.verify_and_pack(record([bid(2)], flags=IDS, first_id=first, last_id=last))
    assert v.reason == reason
    assert found.is_live(0) == (reason == 0)
    assert reason or found.last_id(0) == last


@pytest.mark.parametrize("continuity", [UPDATE_IDS, NEWEST])
def test_messages_that_a_snapshot_already_holds_are_dropped(continuity: int) -> None:
    found = books(continuity)
    found.verify_and_pack(snapshot(bid(1), flags=HAS_LAST_ID, last_id=5))
    assert found.verify_and_pack(record([bid(9)], flags=IDS, first_id=2, last_id=5)) == []
    assert (found.book(0).bbo()[0], found.last_id(0)) == (1, 5)


def test_ids_that_only_rise_may_have_holes() -> None:
    found = books(NEWEST)
    found.verify_and_pack(snapshot(bid(1), flags=HAS_LAST_ID, last_id=5))
    [v] = found.verify_and_pack(record([bid(9)], flags=HAS_LAST_ID, last_id=50))
    assert v.reason == 0


def test_a_message_without_the_ids_its_rule_needs_is_a_gap() -> None:
    found = books(UPDATE_IDS)
    found.verify_and_pack(snapshot(bid(1), flags=HAS_LAST_ID, last_id=5))
    assert reasons(found.verify_and_pack(record([bid(2)]))) == [BookReason.GAP]
    assert reasons(found.verify_and_pack(snapshot(bid(1)))) == [BookReason.GAP]


def test_trades_alone_are_no_matter_of_continuity() -> None:
    found = books(UPDATE_IDS)
    found.verify_and_pack(snapshot(bid(1), flags=HAS_LAST_ID, last_id=5))
    data = record([(2 | 2 << 16, 100, 3, 77, 88)], seq_num=4)
    [v] = found.verify_and_pack(data)
    assert (v.reason, v.n_trades, v.changes) == (0, 1, b"")
    assert found.trades(data) == [(0, 100, 3, 2, 77, 88, 4)]
    assert found.is_live(0)


def test_a_number_that_did_not_fit_breaks_the_book_and_names_the_tag() -> None:
    found = books()
    found.verify_and_pack(snapshot(bid(1)))
    [v] = found.verify_and_pack(record([bid(2)], flags=DEFECT, defect_tag=270))
    assert (v.reason, v.defect_tag) == (BookReason.NUMBER, 270)
    assert not found.is_live(0)


@pytest.mark.parametrize(("strict", "reason"), [(True, BookReason.CROSSED), (False, BookReason.OK)])
def test_a_crossed_book_breaks_where_the_rule_says_so(strict: bool, reason: BookReason) -> None:
    found = books(crossed_is_stale=strict)
    found.verify_and_pack(snapshot(bid(100), ask(101)))
    assert reasons(found.verify_and_pack(record([bid(101)]))) == [reason]
    assert found.book(0).crossed


def test_crossing_inside_a_message_is_not_crossing() -> None:
    found = books(crossed_is_stale=True)
    found.verify_and_pack(snapshot(bid(100), ask(101)))
    assert reasons(found.verify_and_pack(record([bid(101), (what(1, DELETE), 101, 0, 0, 0)]))) == [0]


def test_a_fresh_snapshot_heals_a_broken_book() -> None:
    found = books(CHECKSUM)
    found.verify_and_pack(snapshot(bid(1)))
    found.verify_and_pack(record([bid(2)], flags=HAS_CHECKSUM, checksum=1))
    assert reasons(found.verify_and_pack(snapshot(bid(5)) + record([bid(6)]))) == [0, 0]
    assert found.book(0).side(0) == [(6, 1, 0), (5, 1, 0)]


def test_an_older_subscription_is_not_listened_to() -> None:
    found = books()
    found.expect(0, (1 << 64) - 2)
    old = snapshot(bid(1), req_key=7) + record([bid(9)], req_key=7)
    assert found.verify_and_pack(old) == []
    assert found.verify_and_pack(snapshot(bid(2), req_key=-2))[0].snapshot
    assert found.book(0).bbo()[0] == 2


def test_records_of_unknown_symbols_pass_by() -> None:
    found = books()
    assert found.verify_and_pack(snapshot(bid(1), instrument=-1) + snapshot(bid(1), instrument=99)) == []


def test_records_cut_short_are_named_by_word_and_the_limit_is_the_callers() -> None:
    found = books()
    data = snapshot(bid(1)) + snapshot(bid(2))
    with pytest.raises(SchemaError, match="word 17"):
        found.verify_and_pack(data[:-8])
    found.verify_and_pack(data, 17)
    assert found.book(0).bbo()[0] == 1
    with pytest.raises(SchemaError, match="99"):
        found.verify_and_pack(data, 99)


def test_a_book_set_refuses_what_it_does_not_have() -> None:
    found = books()
    for act in (lambda: found.book(5), lambda: found.add(0, Book()), lambda: found.add(-1, Book()),
                lambda: found.add(3, Book(), continuity=9)):  # fmt: skip
        with pytest.raises(BookError):
            act()


def follow(other: Book, verdicts: list[Verdict]) -> None:
    for v in verdicts:
        assert v.reason == BookReason.OK
        if v.snapshot:
            assert other.replace(v.bids, v.asks) == BookReason.OK
        else:
            assert other.apply_changes(v.changes) == BookReason.OK


@pytest.mark.parametrize("seed", range(3))
def test_what_a_depth_window_cuts_off_is_published_as_deletes(seed: int) -> None:
    rng = random.Random(seed)
    found, other = BookSet(), Book(levels=100)
    found.add(0, Book(levels=100, max_depth=5))
    follow(other, found.verify_and_pack(snapshot(*[bid(n) for n in range(1, 20)])))
    for _ in range(500):
        entries = [(what(rng.randrange(2), rng.choice([NEW, DELETE])), rng.randrange(60), 1, 0, 0) for _ in range(4)]
        follow(other, found.verify_and_pack(record(entries)))
        assert other.pack() == found.book(0).pack()
        assert max(other.n_levels) <= 5
        assert other.messages == found.book(0).messages


def test_orders_of_a_level_that_leaves_the_window_are_published_as_deletes() -> None:
    found, other = BookSet(), Book(l3=True, levels=100, orders=100)
    found.add(0, Book(l3=True, levels=100, orders=100, max_depth=2))
    follow(other, found.verify_and_pack(snapshot()))
    for key, px in enumerate((10, 10, 11, 12, 12, 13), 1):
        follow(other, found.verify_and_pack(record([(what(0), px, 1, key, key)])))
    assert other.orders(0) == found.book(0).orders(0) == [(13, 1, 6, 6), (12, 1, 4, 4), (12, 1, 5, 5)]


def test_a_top_only_book_publishes_the_delete_of_the_level_it_replaces() -> None:
    found, other = BookSet(), Book()
    found.add(0, Book(top_only=True), continuity=NEWEST)
    follow(other, found.verify_and_pack(snapshot(bid(5), ask(9), flags=HAS_LAST_ID, last_id=1)))
    for n, px in enumerate((6, 6, 4), 2):
        follow(other, found.verify_and_pack(record([bid(px, n)], flags=HAS_LAST_ID, last_id=n)))
        assert other.pack() == found.book(0).pack()
    assert other.bbo() == (4, 4, 9, 1)


def test_a_venues_delete_of_an_order_that_the_window_cut_off_before_is_not_published_again() -> None:
    found, other = BookSet(), Book(l3=True, levels=100, orders=100)
    found.add(0, Book(l3=True, levels=100, orders=100, max_depth=1))
    follow(other, found.verify_and_pack(snapshot()))
    follow(other, found.verify_and_pack(record([(what(0), 10, 1, 1, 1)]) + record([(what(0), 11, 1, 2, 2)])))
    follow(other, found.verify_and_pack(record([(what(0, DELETE), 10, 1, 1, 0)])))
    assert other.orders(0) == [(11, 1, 2, 2)]


# --- messages that are numbered one by one; trades that take from orders


REDUCE = 3


def order(side: int, px: int, qty: int, key: int, action: int = NEW) -> Entry:
    return (what(side, action), px, qty, key, 0)


def numbered(*entries: Entry, number: int, snapshot: bool = False) -> bytes:
    return record(entries, flags=HAS_LAST_ID, last_id=number, snapshot=snapshot)


def l3(*, ignore_unknown: bool = True) -> BookSet:
    found = BookSet()
    found.add(0, Book(l3=True, levels=10, orders=10, ignore_unknown=ignore_unknown), continuity=UPDATE_IDS)
    found.verify_and_pack(numbered(order(0, 5, 7, 1), order(1, 6, 2, 2), number=10, snapshot=True))
    return found


def test_one_number_a_message_counts_one_by_one_even_when_the_book_is_left_alone() -> None:
    found = l3()
    [v] = found.verify_and_pack(numbered(number=11) + numbered((2, 5, 1, 1, 1), number=12))
    assert (v.reason, v.changes, v.last_id, v.n_trades) == (0, b"", 12, 1)
    assert reasons(found.verify_and_pack(numbered(order(0, 4, 1, 3), number=14))) == [BookReason.GAP]


def test_a_reduction_is_packed_as_what_is_left_and_ends_the_order_when_nothing_is() -> None:
    found, copy = l3(), Book(l3=True, levels=10, orders=10)
    copy.replace(*found.book(0).pack())
    [v] = found.verify_and_pack(
        numbered(order(0, 0, 3, 1, REDUCE), number=11) + numbered(order(0, 0, 9, 2, REDUCE), number=12)
    )
    rows = [(w & 0xFFFF, px, qty) for w, px, qty, _, _ in L3.iter_unpack(v.changes)]
    assert rows == [(0 | CHANGE << 8, 5, 4), (1 | DELETE << 8, 6, 0)]
    assert copy.apply_changes(v.changes) == 0
    assert copy.pack() == found.book(0).pack()
    assert found.book(0).orders(0) == [(5, 4, 1, 0)]


@pytest.mark.parametrize("action", [CHANGE, DELETE, REDUCE])
def test_a_change_of_an_order_that_is_not_there_breaks_a_book_or_is_passed_over(action: int) -> None:
    entry = order(0, 5, 1, 99, action)
    [v] = l3().verify_and_pack(numbered(entry, number=11))
    assert (v.reason, v.changes) == (0, b"")
    assert reasons(l3(ignore_unknown=False).verify_and_pack(numbered(entry, number=11))) == [BookReason.UNKNOWN_ORDER]


def test_an_order_that_grows_goes_to_the_back_where_that_costs_it_its_place() -> None:
    for requeues, queue in ((True, [2, 1]), (False, [1, 2])):
        found = BookSet()
        book = Book(l3=True, levels=10, orders=10, rise_requeues=requeues)
        found.add(0, book, continuity=UPDATE_IDS)
        found.verify_and_pack(numbered(order(0, 5, 7, 1), order(0, 5, 7, 2), number=10, snapshot=True))
        copy = Book(l3=True, levels=10, orders=10)
        copy.replace(*book.pack())
        [v] = found.verify_and_pack(numbered(order(0, 5, 9, 1, CHANGE), number=11))
        assert [key for _, _, key, _ in book.orders(0)] == queue
        [v2] = found.verify_and_pack(numbered(order(0, 5, 3, 2, CHANGE), number=12))
        for changes in (v.changes, v2.changes):
            assert copy.apply_changes(changes) == 0
        assert copy.pack() == book.pack()
        assert sum(qty for _, qty, _, _ in book.orders(0)) == 12


def test_levels_know_nothing_of_reductions() -> None:
    found = books()
    found.verify_and_pack(snapshot(bid(1), ask(3)))
    assert found.verify_and_pack(record([(what(0, REDUCE), 1, 1, 1, 0)])) is not None
    assert found.book(0).n_levels == (1, 1)
