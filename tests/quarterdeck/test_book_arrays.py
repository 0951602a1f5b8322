"""Books as objects and arrays, beside the integers that the reader gives; views that say when they no longer hold."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import quarterdeck as qd
from ipc.books import BookRegion, BookSpec, RegionOwner, SharedBook, create_region
from quarterdeck.book_arrays import LEVEL, ORDER, PAIR, PLACE
from quarterdeck.books import Book

HOUR_NS = 3_600_000_000_000
CHANGE, DELETE, OFFER = 1 << 8, 2 << 8, 1


def words(*values: int) -> bytes:
    return b"".join(v.to_bytes(8, "little", signed=True) for v in values)


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[RegionOwner]:
    specs = [BookSpec("v", "BTC-USD", 1, 3), BookSpec("v", "ETH-USD", 1, 3, 3, 100, 100)]
    made = create_region(tmp_path / "book-x", specs, heartbeat_limit_ns=HOUR_NS)
    yield made
    made.close()


def fill_l2(book: SharedBook) -> None:
    bids = b"".join(words(1000 - i, 5 + i) for i in range(60))
    asks = b"".join(words(1001 + i, 7 + i) for i in range(3))
    book.replace(bids, asks, 9, 100, 200)


def fill_l3(book: SharedBook) -> None:
    bids = words(1000, 5, 1, 11) + words(1000, 6, 2, 12) + words(999, 7, 3, 13)
    book.replace(bids, words(1001, 8, 4, 14), 9, 100, 200)


def reader(owner: RegionOwner, instrument: str = "BTC-USD") -> Book:
    return Book(BookRegion.open(owner.path), "v", instrument)


def rows(array: "np.typing.NDArray[np.void]") -> list[tuple[int, ...]]:
    return [tuple(int(n) for n in row) for row in array.tolist()]


@pytest.fixture
def book(owner: RegionOwner) -> Book:
    fill_l2(owner.book("v", "BTC-USD"))
    return reader(owner)


@pytest.fixture
def l3(owner: RegionOwner) -> Book:
    fill_l3(owner.book("v", "ETH-USD", 3))
    return reader(owner, "ETH-USD")


def test_an_image_is_one_version_with_what_is_known_of_it(book: Book, l3: Book) -> None:
    image = book.image(2)
    assert (image.bids, image.asks) == (((1000, 5, 0), (999, 6, 0)), ((1001, 7, 0), (1002, 8, 0)))
    assert (image.state, image.reason, image.last_seq, image.venue_ns, image.recv_ns) == ("LIVE", "", 9, 100, 200)
    assert (image.px_scale, image.qty_scale, image.level, image.bids[0].px) == (1, 3, 2, 1000)
    whole = book.image(0)
    assert (len(whole.bids), len(whole.asks), whole.bids[-1]) == (60, 3, (941, 64, 0))
    assert book.image(55).bids == whole.bids[:55]
    assert l3.image(5).bids == l3.image(0).bids == ((1000, 11, 2), (999, 7, 1))


def test_a_copy_of_the_top_is_as_wide_as_asked_and_ones_own(book: Book, l3: Book) -> None:
    top = book.array(4)
    assert (top.shape, top.dtype) == ((2, 4), LEVEL)
    assert rows(top[0]) == [(1000, 5, 0), (999, 6, 0), (998, 7, 0), (997, 8, 0)]
    assert rows(top[1]) == [(1001, 7, 0), (1002, 8, 0), (1003, 9, 0), (0, 0, 0)]
    top["qty"] *= 2
    assert int(top[0, 0]["qty"]) == 10
    assert rows(l3.array(1)[0]) == [(1000, 11, 2)]
    with pytest.raises(qd.BookError, match="51 levels: 1 to 50"):
        book.array(51)


def test_copies_of_the_depth_are_what_the_tuples_say(book: Book, l3: Book) -> None:
    for levels in (0, 1, 7):
        assert [rows(side) for side in book.depth_arrays(levels)] == list(book.depth(levels))
        assert [rows(side) for side in l3.depth_arrays(levels)] == list(l3.depth(levels))


def test_orders_stand_in_their_queues(book: Book, l3: Book) -> None:
    bids, asks = l3.order_arrays()
    assert (bids.dtype, rows(bids)) == (ORDER, [(1000, 5, 1, 11), (1000, 6, 2, 12), (999, 7, 3, 13)])
    assert [rows(bids), rows(asks)] == list(l3.orders())
    assert len(l3.order_arrays(1)[0]) == 2
    with pytest.raises(qd.BookError, match="v BTC-USD is an L2 book"):
        book.order_arrays()


def test_a_view_of_the_top_holds_until_its_slot_is_written_again(owner: RegionOwner, book: Book) -> None:
    view = book.view()
    assert (view.bids.dtype, len(view.bids), rows(view.asks)) == (PAIR, 50, [(1001, 7), (1002, 8), (1003, 9)])
    assert (view.last_seq, view.venue_ns, view.recv_ns) == (9, 100, 200)
    with pytest.raises(ValueError, match="read-only"):
        view.bids["px"][0] = 1
    shared = owner.book("v", "BTC-USD")
    for n in range(7):
        shared.apply(CHANGE, 1000, 100 + n)
        assert view.valid()
        assert rows(view.bids)[0] == (1000, 5)  # immutable: later versions stand elsewhere
    shared.apply(CHANGE, 1000, 999)
    assert not view.valid()
    assert rows(book.view().bids)[0] == (1000, 999)


def test_a_view_of_the_depth_holds_until_the_next_change(owner: RegionOwner, book: Book, l3: Book) -> None:
    view, levels = book.depth_view(), l3.depth_view()
    assert [[(*row, 0) for row in rows(side)] for side in (view.bids, view.asks)] == list(book.depth())
    assert levels.bids.dtype == PLACE
    assert [rows(levels.bids), rows(levels.asks)] == list(l3.depth())
    assert view.valid()
    owner.book("v", "BTC-USD").apply(DELETE | OFFER, 1001, 0)
    assert not view.valid()
    assert levels.valid()
    assert len(book.depth_view().asks) == 2


def test_orders_of_an_l3_view_are_counted(l3: Book) -> None:
    view = l3.view()
    assert (view.bid_orders.tolist(), view.ask_orders.tolist()) == ([2, 1], [1])


def test_a_view_outlives_the_region_that_it_is_of(owner: RegionOwner, book: Book) -> None:
    view = book.view()
    create = create_region
    owner.close()
    after = create(owner.path, owner.specs, heartbeat_limit_ns=HOUR_NS)
    try:
        assert (view.valid(), rows(view.asks)[0]) == (True, (1001, 7))  # as it was left: the mapping is held
        with pytest.raises(qd.StaleBookError, match="RECOVERING"):
            book.view()
        fill_l2(after.book("v", "BTC-USD"))
        assert rows(book.array(1)[0]) == [(1000, 5, 0)]
    finally:
        after.close()


def test_a_book_that_is_not_live_gives_nothing(owner: RegionOwner) -> None:
    book, l3 = reader(owner), reader(owner, "ETH-USD")
    for read in (book.image, book.array, book.depth_arrays, book.view, book.depth_view, l3.order_arrays):
        with pytest.raises(qd.StaleBookError, match="RECOVERING"):
            read()


def test_an_empty_side_is_empty(owner: RegionOwner) -> None:
    owner.book("v", "BTC-USD").replace(b"", words(1001, 7), 1, 1, 1)
    book = reader(owner)
    assert [len(side) for side in (*book.depth_arrays(), book.view().bids, book.depth_view().bids)] == [0, 1, 0, 0]
    assert (rows(book.array(1)[0]), book.image().bids) == ([(0, 0, 0)], ())


def test_without_numpy_the_error_names_the_extra_and_the_rest_works(owner: RegionOwner, book: Book) -> None:
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "from ipc.books import BookRegion; from quarterdeck.books import Book\n"
        "book = Book(BookRegion.open(sys.argv[1]), 'v', 'BTC-USD'); print(book.image(1).bids[0].px)\n"
        "try: book.array()\nexcept ImportError as e: print(e)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(owner.path)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "1000", "books as arrays need NumPy, which is not installed: the extra is quarterdeck[numpy]",
    ]  # fmt: skip
