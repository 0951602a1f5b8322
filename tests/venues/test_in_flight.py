"""When a gate closes, orders on their way out are delivered for certain or cut off; a line that works is left alone."""

import pytest

from base.clock import ManualClock
from venues.in_flight import InFlight

GRACE_NS = 50_000_000


class FakeLine:
    """A connection whose bytes are acknowledged at a time that is told."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.unsent = 0
        self.in_kernel = 0
        self.acknowledged_ns = 1 << 62
        self.aborted: list[str] = []

    @property
    def held(self) -> int:
        return self.unsent + (self.in_kernel if self.clock.mono_ns() < self.acknowledged_ns else 0)

    def abort(self, reason: str) -> None:
        self.aborted.append(reason)
        self.unsent = self.in_kernel = 0


class Rig:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = ManualClock()
        self.line = FakeLine(self.clock)
        self.in_flight = InFlight(self.line, self.clock, GRACE_NS)
        self.began_ns = self.clock.mono_ns()
        monkeypatch.setattr("venues.in_flight.time.sleep", lambda s: self.clock.advance(int(s * 1e9)))

    @property
    def waited_ns(self) -> int:
        return self.clock.mono_ns() - self.began_ns


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(monkeypatch)


def test_bytes_that_the_kernel_did_not_take_are_dropped_at_once_whatever_scope_was_closed(rig: Rig) -> None:
    rig.line.unsent = 4000
    assert rig.in_flight.drop("closed")
    assert (rig.line.aborted, rig.waited_ns) == (["closed"], 0)


def test_an_order_that_is_acknowledged_within_the_grace_costs_no_connection(rig: Rig) -> None:
    rig.in_flight.passed()
    rig.line.in_kernel, rig.line.acknowledged_ns = 200, rig.began_ns + GRACE_NS // 2
    assert not rig.in_flight.drop("closed")
    assert rig.line.aborted == []
    assert GRACE_NS // 2 <= rig.waited_ns < GRACE_NS * 3 // 4


def test_an_order_that_is_not_acknowledged_within_the_grace_is_cut_off_with_its_connection(rig: Rig) -> None:
    rig.in_flight.passed()
    rig.line.in_kernel = 200
    assert rig.in_flight.drop("closed")
    assert rig.line.aborted == ["closed"]
    assert GRACE_NS <= rig.waited_ns < GRACE_NS * 3 // 2


def test_bytes_that_hold_no_order_are_not_waited_for(rig: Rig) -> None:
    rig.in_flight.passed()
    assert not rig.in_flight.look(), "nothing is held: the order arrived"
    rig.line.in_kernel = 80  # a heartbeat, a cancel
    assert not rig.in_flight.drop("closed")
    assert (rig.line.aborted, rig.waited_ns) == ([], 0)


def test_orders_stay_in_flight_until_nothing_at_all_is_held(rig: Rig) -> None:
    rig.in_flight.passed()
    rig.line.in_kernel = 200
    assert rig.in_flight.look()
    rig.line.acknowledged_ns = rig.clock.mono_ns()
    assert not rig.in_flight.look()


def test_the_next_closing_finds_nothing_left_to_do(rig: Rig) -> None:
    rig.in_flight.passed()
    rig.line.in_kernel = 200
    rig.in_flight.drop("closed")
    rig.line.in_kernel = 80
    assert not rig.in_flight.drop("closed again")
