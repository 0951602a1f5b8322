"""A week of every venue's calendar: books that go stale and drop copies that stay away by it trip nothing."""

import random
from zoneinfo import ZoneInfo

import msgspec
import pytest

from ipc.events import ExecutionReport
from risk.triggers.books import BookLook, BookWatch, Working
from risk.triggers.days import Days
from risk.triggers.drop_copy import DropCopyBook
from risk.triggers.watch import LimitWatch
from tests.risk.kill_world import topology
from tests.risk.triggers.kit import limit, report
from tests.venues.test_market_weeks import RETURN_NS, STARTS, Outage, calendars, looks, outages, windows
from venues.calendar import VenueCalendar, names

SECOND = 1_000_000_000
LIMITS = [limit("venue:x", max_book_stale_ms=10_000, max_drop_copy_lag_s=10)]
WORKING = [Working("a", "x", "main", "BTC-USD", 2)]


def trips(calendar: VenueCalendar, lost: list[Outage]) -> list[str]:
    """What the kill switch would trip for: the book is stale while the venue is away, and so is the drop copy, with a
    fill of the last second before that it has not shown.
    """
    books = BookWatch(LIMITS, topology().owners, [("x", "BTC-USD")])
    copies = DropCopyBook(LIMITS, {"x": "main"}, Days(ZoneInfo("UTC")))
    watch, waiting = LimitWatch(), list[ExecutionReport]()
    found: list[str] = []
    for at in looks(lost):
        down = any(begin <= at < end for begin, end in lost)
        excused = bool(calendar.excuses("", at, RETURN_NS))
        if down and not waiting:
            waiting = [report(recv_ns=at)]
            copies.event(waiting[0], at, at, at, lambda _: True)
        elif not down and waiting:
            copy = msgspec.structs.replace(waiting.pop(), drop_copy=True)
            copies.event(copy, at, at, at, lambda _: True)
        book = BookLook("STALE" if down else "LIVE")
        readings = books.readings(WORKING, lambda *_, b=book: b, lambda _, e=excused: e, at)
        readings += copies.readings(lambda _, e=excused: e, at, "")
        found += [str(o) for o in watch.look(readings, at) if o.kind == "trip"]
    return found


@pytest.mark.parametrize("venue", [*names(), "with hours"])
def test_a_week_of_windows_makes_no_book_stale_and_no_drop_copy_late(venue: str) -> None:
    calendar, dice = calendars()[venue], random.Random(venue)
    start_ns = int(STARTS["autumn"].timestamp()) * SECOND
    spans = windows(calendar, start_ns)
    assert trips(calendar, outages(spans, dice)) == []


def test_the_same_outages_that_no_calendar_knows_of_trip_both() -> None:
    start_ns = int(STARTS["winter"].timestamp()) * SECOND
    found = trips(VenueCalendar([]), [(start_ns, start_ns + 60 * SECOND)])
    assert {text.split()[0] for text in found} == {"stale", "drop-copy"}
