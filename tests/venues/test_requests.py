"""Requests on their way: found by number and id, bounded, forgotten when numbers begin anew."""

from base.instruments import Instrument
from venues.fix_requests import Request, RequestBook

INST = Instrument("v", "BTC-USD", "BTCUSD", 2, 4)


def test_a_request_is_found_by_number_id_and_alias() -> None:
    book = RequestBook()
    request = Request("replace", "R1", INST, "A1")
    book.add(7, request, "R1c")
    assert book.by_seq(7) is book.by_id("R1") is book.by_id("R1c") is request
    assert book.by_seq(8) is None
    assert book.by_id("A1") is None


def test_the_oldest_requests_fall_out() -> None:
    book = RequestBook(kept=3)
    for n in range(10):
        book.add(n, Request("cancel", f"C{n}", INST))
    assert [n for n in range(10) if book.by_seq(n)] == [7, 8, 9]
    assert [n for n in range(10) if book.by_id(f"C{n}")] == [7, 8, 9]


def test_new_numbers_forget_the_old_ones_but_not_the_ids() -> None:
    book = RequestBook()
    book.add(1, Request("new", "A1", INST, "A1"))
    book.renumbered()
    assert book.by_seq(1) is None
    assert book.by_id("A1") is not None
