"""Books behind working orders: how long the worst of a scope has been bad, calendars left out."""

import pytest

from base.errors import ConfigError
from risk.triggers.books import BookLook, BookWatch, Working
from risk.triggers.watch import Reading
from tests.risk.kill_world import topology
from tests.risk.triggers.kit import MS, NOW, limit

OWNERS = topology().owners
BOOKS = [("x", "BTC-USD"), ("x", "ETH-USD"), ("y", "BTC-USDT")]
LIVE, STALE, CROSSED = BookLook("LIVE"), BookLook("STALE", "STALE GAP"), BookLook("CROSSED", "CROSSED")


class Desk:
    """Looks at books, 100 ms apart."""

    def __init__(self, *scopes: str) -> None:
        limits = [limit(s, max_book_stale_ms=500, max_book_crossed_ms=200) for s in scopes or ("desk",)]
        self.watch = BookWatch(limits, OWNERS, BOOKS)
        self.now = NOW
        self.books = dict.fromkeys(BOOKS, LIVE)
        self.working = [working("a", "BTC-USD")]
        self.excused: set[str] = set()

    def look(self) -> list[Reading]:
        self.now += 100 * MS
        book = self.books.__getitem__
        return self.watch.readings(self.working, lambda v, i: book((v, i)), self.excused.__contains__, self.now)

    def values(self) -> list[int]:
        return [int(r.value or 0) for r in self.look()]


def working(session: str, instrument: str, orders: int = 1) -> Working:
    return Working(session, OWNERS[session].venue, "main", instrument, orders)


def test_a_stale_book_counts_from_the_first_look_that_found_it_so() -> None:
    desk = Desk()
    assert desk.values() == [0, 0]
    desk.books["x", "BTC-USD"] = STALE
    assert [desk.values()[0] for _ in range(3)] == [0, 100, 200]
    desk.books["x", "BTC-USD"] = CROSSED
    assert [desk.values() for _ in range(2)] == [[0, 0], [0, 100]]
    desk.books["x", "BTC-USD"] = LIVE
    assert desk.values() == [0, 0]


@pytest.mark.parametrize("state", ["RECOVERING", "HALTED", "MISSING", "BUSY"])
def test_any_word_that_is_not_live_is_stale(state: str) -> None:
    desk = Desk()
    desk.books["x", "BTC-USD"] = BookLook(state)
    desk.look()
    assert desk.values() == [100, 0]


def test_a_bad_book_with_nothing_working_behind_it_harms_nobody() -> None:
    desk = Desk()
    desk.books = dict.fromkeys(BOOKS, STALE)
    desk.working = [working("a", "BTC-USD", 0)]
    for _ in range(9):
        assert desk.values() == [0, 0]
    desk.working = [working("a", "BTC-USD", 2)]
    assert [desk.values()[0] for _ in range(2)] == [0, 100]  # counted from when orders began to work behind it
    assert desk.look()[0].detail == "x BTC-USD STALE GAP, 2 working orders"


def test_the_calendar_excuses_and_the_count_begins_anew_after_it() -> None:
    desk = Desk()
    desk.books["x", "BTC-USD"] = STALE
    desk.look()
    desk.excused.add("a")
    for _ in range(9):
        assert desk.values() == [0, 0]
    desk.excused.clear()
    assert [desk.values()[0] for _ in range(2)] == [0, 100]


def test_one_session_that_is_closed_does_not_excuse_the_orders_of_another() -> None:
    desk = Desk()
    desk.working = [working("a", "BTC-USD"), working("b", "BTC-USD", 3)]
    desk.books["x", "BTC-USD"] = STALE
    desk.excused.add("a")
    desk.look()
    assert desk.look()[0].detail.endswith("3 working orders")


def test_each_scope_has_the_worst_of_its_own() -> None:
    desk = Desk("desk", "session:a", "venue:y", "instrument:ETH-USD")
    desk.working = [working("a", "BTC-USD"), working("a", "ETH-USD"), working("c", "BTC-USDT")]
    desk.books["x", "ETH-USD"] = STALE
    desk.look()
    desk.books["y", "BTC-USDT"] = STALE
    desk.look()
    assert desk.values()[::2] == [200, 200, 100, 200]


def test_a_limit_on_books_that_nobody_keeps_is_an_error() -> None:
    for scope in ("session:c", "strategy:mm"):
        with pytest.raises(ConfigError, match=rf"kill.limits\[0\].scope: {scope}"):
            BookWatch([limit(scope, max_book_stale_ms=1)], OWNERS, BOOKS[:2])


def test_books_are_soft_figures() -> None:
    for reading in Desk().look():
        assert (reading.rule.n, reading.rule.m, reading.rule.every_ns) == (3, 5, 200 * MS)
