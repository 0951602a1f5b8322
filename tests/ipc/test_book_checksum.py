"""CRC-32 over the top of a book, against the published vector and a naive rendering."""

import zlib

import pytest

from base.decimals import to_scaled
from base.errors import BookError
from ipc._book import Book
from tests.ipc.book_reference import what

# Published by Kraken (guide "Book checksum"), BTC/USD at 1 price decimal and 8 quantity decimals.
ASKS = "28013.0 0.00096506|28039.8 0.001|28066.5 0.001|28093.3 0.001|28120.0 0.001|28146.7 0.001|28173.5 0.001|" \
    "28200.2 0.001|28227.0 0.001|28253.7 0.001"  # fmt: skip
BIDS = "28003.0 0.001|27999.9 0.00096375|27969.9 0.73860423|27700.1 0.0035|27573.2 0.0032|27137.4 0.01|27091.3 0.004|" \
    "26729.4 0.001|26702.6 0.001|26675.9 0.001"  # fmt: skip
PUBLISHED = 3341325816


def published_book(px_scale: int = 1, qty_scale: int = 8) -> Book:
    book = Book()
    for side, rows in enumerate((BIDS, ASKS)):
        for row in rows.split("|"):
            px, qty = row.split()
            book.apply(what(side), to_scaled(px, px_scale), to_scaled(qty, qty_scale))
    return book


def test_the_published_vector_comes_out() -> None:
    assert published_book().crc32_top() == PUBLISHED


def test_levels_below_the_tenth_do_not_count() -> None:
    book = published_book()
    book.apply(what(0), 1, 1)
    book.apply(what(1), 10**9, 1)
    assert book.crc32_top() == PUBLISHED
    assert book.crc32_top(11) != PUBLISHED


def test_a_finer_scale_of_ours_is_taken_down_to_the_venues_precision() -> None:
    assert published_book(5, 10).crc32_top(10, px_drop=4, qty_drop=2) == PUBLISHED


def test_one_unit_of_difference_shows() -> None:
    book = published_book()
    book.apply(what(1), 280130, 96507)
    assert book.crc32_top() != PUBLISHED


def test_short_and_empty_books_have_checksums_too() -> None:
    assert Book().crc32_top() == 0
    book = Book()
    book.apply(what(1), 1050, 30)
    assert book.crc32_top() == zlib.crc32(b"105030")


def test_an_l3_checksum_walks_each_order_in_queue_order() -> None:
    book = Book(l3=True, levels=20, orders=50)
    for key, qty, time_ns in ((1, 5, 300), (2, 7, 100), (3, 9, 200)):
        book.apply(what(1), 101, qty, key, time_ns)
    book.apply(what(0), 99, 4, 4, 1)
    assert book.crc32_top() == zlib.crc32(b"101710191015994")


def test_a_level_of_many_orders_is_longer_than_any_buffer() -> None:
    book = Book(l3=True, levels=2, orders=500)
    for key in range(1, 501):
        assert book.apply(what(1), 10**15 + 7, 10**15 + key, key, key) == 0
    text = "".join(f"{10**15 + 7}{10**15 + key}" for key in range(1, 501))
    assert book.crc32_top() == zlib.crc32(text.encode())


@pytest.mark.parametrize("drop", [-1, 19])
def test_a_drop_of_more_decimals_than_there_are_is_refused(drop: int) -> None:
    with pytest.raises(BookError, match="decimals"):
        Book().crc32_top(px_drop=drop)


@pytest.mark.parametrize("digits", range(1, 20))
def test_numbers_of_every_length_are_rendered_without_leading_zeros(digits: int) -> None:
    for px in (10 ** (digits - 1), min(10**digits - 1, (1 << 63) - 1)):
        for qty in (1, 9, 10, 99, 100, (1 << 63) - 1):
            book = Book()
            book.apply(what(1), px, qty)
            assert book.crc32_top() == zlib.crc32(f"{px}{qty}".encode())
