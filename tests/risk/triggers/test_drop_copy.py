"""Drop copy against order entry: what waits for the other view, what they differ about, what a start makes of it."""

from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import ConfigError
from ipc.events import ExecutionReport
from risk.triggers.days import Days
from risk.triggers.drop_copy import DropCopyBook
from tests.risk.triggers.kit import NOW, SECOND, WALL, limit, report, state

DAY = "2025-06-15"
LIMIT = limit(max_drop_copy_lag_s=10, max_drop_copy_mismatches_per_day=0)


def copy(fill: ExecutionReport, **more: object) -> ExecutionReport:
    return msgspec.structs.replace(fill, drop_copy=True, session="dc", **more)  # type: ignore[arg-type]


class Desk:
    """Both views, at one moment; `ours`: ClOrdIDs that the desk knows, None: all of them."""

    def __init__(self, found: object = (), *limits: object) -> None:
        self.book = DropCopyBook(limits or [LIMIT], {"x": "main"}, Days(ZoneInfo("UTC")), found)  # type: ignore[arg-type]
        self.now = NOW
        self.ours: set[str] | None = None
        self.closed: set[str] = set()

    def tell(self, *reports: object, at: int | None = None) -> None:
        at = self.now if at is None else at
        known = lambda r: self.ours is None or r.cl_ord_id in self.ours  # noqa: E731
        for r in reports:
            self.book.event(r, at, WALL + at - NOW, self.now, known)

    def look(self) -> tuple[Decimal | None, Decimal | None]:
        lag, differ = self.book.readings(self.closed.__contains__, self.now, DAY)
        return lag.value, differ.value

    @property
    def detail(self) -> list[str]:
        return [r.detail for r in self.book.readings(self.closed.__contains__, self.now, DAY)]


def test_a_fill_waits_for_the_other_view_whichever_tells_first() -> None:
    for first_is_copy in (False, True):
        desk = Desk()
        fill = report(trade_id="T1")
        pair = (copy(fill), fill) if first_is_copy else (fill, copy(fill))
        desk.tell(pair[0])
        desk.now += 3 * SECOND
        assert desk.look() == (3, 0)
        assert ("order entry does not show" in desk.detail[0]) == first_is_copy
        desk.tell(pair[1])
        assert desk.look() == (0, 0)


@pytest.mark.parametrize(
    ("entry", "other"),
    [
        ({"trade_id": "T"}, {"trade_id": "T", "exec_id": "E2", "cum_qty": None}),
        ({"trade_id": "", "exec_id": "E1"}, {"trade_id": "T", "exec_id": "E2"}),  # by CumQty
        ({"exec_id": "E1", "cum_qty": None}, {"exec_id": "E1", "cum_qty": 5}),
        ({"origin": "rest", "trade_id": "R", "exec_id": "", "cum_qty": None}, {"trade_id": "T", "exec_id": "E"}),
    ],
)
def test_views_meet_by_whatever_they_share(entry: dict[str, object], other: dict[str, object]) -> None:
    desk = Desk()
    fill = report(**entry)  # type: ignore[arg-type]
    desk.tell(fill, copy(fill, **{"origin": "8", **other}))
    desk.now += 60 * SECOND
    assert desk.look() == (0, 0)


def test_a_report_that_comes_again_waits_for_nothing() -> None:
    desk = Desk()
    fill = report(trade_id="T1")
    desk.tell(fill, copy(fill), copy(fill), fill, copy(fill))
    desk.now += 60 * SECOND
    assert desk.look() == (0, 0)


def test_views_that_differ_are_a_mismatch_once() -> None:
    desk = Desk()
    fill = report(trade_id="T1", cl_ord_id="me")
    desk.tell(fill, copy(fill, last_px=10_001), copy(fill, last_px=10_001))
    assert desk.look() == (0, 1)
    assert desk.detail[1] == (
        f"last: me x BTC-USD {fill.order_id} trade T1: order entry says side 1 100000000 @ 10000, "
        "drop copy side 1 100000000 @ 10001"
    )


def test_a_fill_that_never_comes_is_a_mismatch_and_no_endless_lag() -> None:
    desk = Desk()
    desk.tell(report(trade_id="T1"))
    desk.now += 70 * SECOND
    assert desk.look() == (70, 0)
    desk.now += SECOND
    assert desk.look() == (0, 1)
    after = Desk(desk.book.found.values())
    assert after.look() == (0, 1)  # a restart remembers
    assert after.book.readings(lambda _: False, NOW, "2025-06-16")[1].value == 0


def test_a_trade_that_order_entry_knows_by_its_quantity_alone_is_not_missing() -> None:
    """After a lost session a status may say what is filled, and no report ever tells the trades."""
    fill = report(trade_id="T1", order_id="V", cum_qty=5)
    for copy_first in (True, False):
        desk = Desk()
        events = [copy(fill), state("o", "CANCELED", order_id="V", cum_qty=5)]
        for event in events if copy_first else reversed(events):
            desk.tell(event)
        desk.now += 60 * SECOND
        assert desk.look() == (0, 0)
        desk.tell(copy(fill))
        assert desk.look() == (0, 0)
        desk.tell(copy(report(trade_id="T2", order_id="V", cum_qty=6)))
        desk.now += SECOND
        assert desk.look() == (1, 0)


def test_orders_of_others_on_the_account_are_none_of_ours() -> None:
    desk = Desk()
    desk.ours = {"mine"}
    desk.tell(copy(report(trade_id="T1", cl_ord_id="theirs")), copy(report(trade_id="T2", cl_ord_id="mine")))
    desk.now += 5 * SECOND
    assert desk.look() == (5, 0)
    assert desk.detail[0].endswith("1 wait")


def test_a_closed_venue_makes_nobody_wait() -> None:
    desk = Desk()
    desk.tell(report(trade_id="T1"))
    desk.now += 5 * SECOND
    desk.closed.add("x")
    assert desk.look() == (0, 0)
    desk.now += 3600 * SECOND
    assert desk.look() == (0, 0)
    desk.closed.clear()
    desk.now += 4 * SECOND
    assert desk.look() == (4, 0)


def test_a_start_takes_what_one_journal_does_not_reach_back_to_for_no_lag() -> None:
    desk = Desk()
    old, new = report(trade_id="T1"), report(trade_id="T2")
    desk.tell(old, at=NOW - 600 * SECOND)  # the drop copy's journal begins after it
    desk.tell(new, at=NOW - 5 * SECOND)
    desk.tell(copy(report(trade_id="T3")), at=NOW - 500 * SECOND)
    desk.book.caught_up(desk.now)
    lag, differ = desk.look()
    assert lag == 5  # T2 waits; T3, of 500 s ago, is given up at once
    assert differ == 1
    other = Desk()
    other.tell(copy(report(trade_id="T0")), at=NOW - 700 * SECOND)  # of an order that works still; its journal was cut
    other.tell(new, copy(new), at=NOW - 5 * SECOND)
    other.book.caught_up(other.now)
    assert other.look() == (0, 0)


def test_what_is_older_than_an_hour_is_not_looked_at_on_a_start() -> None:
    desk = Desk()
    fill = report(trade_id="T1")
    desk.tell(fill, at=NOW - 3_601 * SECOND)
    desk.tell(copy(fill), at=NOW - 3_599 * SECOND)
    desk.tell(report(trade_id="T2"), at=NOW - 3_700 * SECOND)
    desk.book.caught_up(desk.now)
    assert desk.look() == (0, 0)


def test_a_limit_where_no_drop_copy_is_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"kill.limits\[0\].scope: venue:y"):
        Desk((), limit("venue:y", max_drop_copy_lag_s=1))


@given(st.permutations([(n, view) for n in range(6) for view in (False, True)]), st.integers(0, 11))
def test_in_whatever_order_views_come_exactly_the_unanswered_wait(order: list[tuple[int, bool]], told: int) -> None:
    desk = Desk()
    fills = [report(trade_id=f"T{n}", order_id="V", cum_qty=n + 1) for n in range(6)]
    for n, is_copy in order[:told]:
        desk.tell(copy(fills[n]) if is_copy else fills[n])
    desk.now += SECOND
    alone = {n for n, _ in order[:told]} - {n for n, v in order[:told] if (n, not v) in order[:told]}
    assert desk.look() == (1 if alone else 0, 0)
    if alone:
        assert desk.detail[0].endswith(f"{len(alone)} wait")
