"""The venue's own rollover, crossed by a clock turned by hand: numbers begin anew, orders and reports are all there."""

import pytest

from base.calendar import Occurrence, Reset, What
from base.config import Kind
from fix.settings import SequencePolicy
from tests.venues.conformance.cases import Case
from tests.venues.conformance.test_live import LIVE
from tests.venues.conformance.world import MS, Desk, World
from tests.venues.kit import SECOND, WALL
from venues.calendar import VenueCalendar, session_calendar
from venues.interface import CancelOutcome, SessionPhase
from venues.opening import Opening

DAY = 86_400 * SECOND


def calendar_of(case: Case) -> VenueCalendar:
    return session_calendar(case.venue, case.context(Kind.TRADING).config)


def next_rollover(case: Case) -> Occurrence | None:
    """The next one on the calendar that starts numbers again."""
    ahead = calendar_of(case).occurrences(WALL, WALL + 40 * DAY)
    return next((o for o in ahead if o.rule.reset is not Reset.NONE and o.start_ns > WALL + SECOND), None)


class Keeper:
    """What procs' link does: out before the venue closes, away while it is closed, and back."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.opening = Opening(calendar_of(desk.case), lambda: 0.0, 0)

    def look(self) -> None:
        desk, now = self.desk, self.desk.world.now
        shut = self.opening.shut(now[1])
        if desk.connected and shut and desk.session.phase is SessionPhase.READY:
            desk.session.logout(shut, *now)
        elif not desk.connected and not shut:
            desk.dial()

    def until(self, wall_ns: int) -> None:
        while self.desk.world.clock.wall_ns() < wall_ns:
            self.look()
            self.desk.world.run(min(500 * MS, wall_ns - self.desk.world.clock.wall_ns()), 500 * MS)


@pytest.mark.parametrize("case", LIVE, ids=lambda c: c.id)
def test_a_rollover_loses_no_order_no_report_and_no_number(case: Case) -> None:
    found = next_rollover(case)
    if found is None:
        pytest.skip(f"{case.id}: calendar.toml has no rollover of trading sessions")
    start, end, rule = found
    world = World(case, start - 20 * SECOND)
    desk = Desk(world)
    keeper = Keeper(desk)
    keeper.until(start - 15 * SECOND)
    kept, filled, ended, leaving = (desk.place() for _ in range(4))
    third = kept.order_qty // 3
    keeper.until(start - 100 * MS)
    assert desk.connected is (rule.leave_s == 0)
    expected = {}
    if desk.connected:  # in flight over it: an order that is not acknowledged, and a cancel that is not done
        world.pin("late_ack", ms=30_000)
        sent = desk.send()
        world.pin("slow_cancel", ms=1_000)
        desk.entry.cancel(leaving)
        world.settle()
        assert sent.state == "PENDING_NEW"
        expected = {sent.cl_ord_id: "NEW", leaving.cl_ord_id: "CANCELED"}
    keeper.until(start)
    first = len(world.lines)
    away = (end - start) // SECOND
    world.venue.rollover(away)
    world.settle()
    world.run(1_500 * MS, 500 * MS)
    exchange = world.venue.exchange
    for order, qty in ((filled, third), (filled, 2 * third)):
        exchange.fill(exchange.orders[order.order_id], qty)
    exchange.cancel(exchange.orders[ended.order_id], reason="engine")
    keeper.until(start + away * SECOND + (rule.return_s + 10) * SECOND)
    world.until(lambda: desk.recovery.done and desk.session.phase is SessionPhase.READY, "back and reconciled")
    # Numbers.
    logon = next(m for line in world.lines[first:] for m in line.sent if m.msg_type == "A")
    assert (logon.seq, logon.get(141)) == (1, "Y"), f"numbers begin anew: {rule.name}"
    seat = next(s for s in world.venue.seats.values() if s.live is not None)
    wire = case.capabilities.wires[Kind.TRADING]
    assert desk.session.numbers() == (seat.numbers.next_in, seat.numbers.next_out)
    assert wire.numbers is not SequencePolicy.HALT
    assert desk.session.halted() == ""
    # Orders and reports.
    assert [desk.fills(o) for o in (kept, filled, ended)] == [[], [third, 2 * third], []]
    assert [o.state for o in (kept, filled, ended)] == ["NEW", "FILLED", "CANCELED"]
    world.run(31 * SECOND, 500 * MS)  # what was late has come, too
    assert {o.cl_ord_id: o.state for o in desk.table if o.cl_ord_id in expected} == expected
    assert desk.agrees() == ""
    assert [text for severity, _, text in desk.heard.alerts if severity == "critical"] == []
    assert rule.what in (What.CLOSED, What.ROLLOVER, What.SESSION)
    # And it goes on.
    assert desk.place().state == "NEW"
    desk.entry.cancel(kept)
    world.run(SECOND)
    if kept.is_open:  # on another connection than its own: the plan says so
        (each,) = [s for s in case.dialect.cancel_plan(case.venue).steps if s.action == "owner_cancel_each"]
        assert each.reaches == "connection"
        request = world.rest.cancel_order(world.clock.wall_ns(), case.instrument, kept.order_id, kept.cl_ord_id)
        assert request is not None
        assert world.rest.parse_cancel_order(*world.ask(request)).outcome is CancelOutcome.CANCELLED
    world.until(lambda: kept.state == "CANCELED", "cancelled after the rollover")
    assert desk.agrees() == ""
