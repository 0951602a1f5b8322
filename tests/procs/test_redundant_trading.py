"""Two trading sessions of one account where reports go to both, as processes: the orders' owner dies meanwhile."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.procs.record_desk import RecordDesk
from tests.procs.sim_desk import SESSION, TARGET

pytestmark = pytest.mark.e2e
KILL = """
session_loss_grace_s = 600
dead_owner_trips = false
[[kill.limits]]
scope = "venue:x"
max_rejects_per_min = 100
max_cancels_per_fill = "100"
cancels_floor = 1
cancels_window_s = 3600
action = "warn"
"""


@pytest.fixture
def desk() -> Iterator[RecordDesk]:
    beside = SESSION.format(
        name="trd2", sender="TRD2", target=TARGET["binance"], secret="one", more='redundant_with = "trd"'
    )
    own = 'alternate_sender_comp_id = "TRD3"\n'  # the venue holds the first one for a while after a death
    made = RecordDesk("binance", own + beside, KILL)
    try:
        made.start()
        yield made
    finally:
        made.close()


def test_what_the_owner_of_an_order_misses_the_other_session_tells_and_each_report_counts_once(
    desk: RecordDesk,
) -> None:
    first, second, third = desk.place_working(3)
    desk.fill(first, "0.001", "0.002")
    desk.wait(desk.agrees, "on record")
    desk.wait(lambda: len(desk.told("trd2")) == 2, "the other one hears it, too")
    assert [e.foreign for e in desk.told("trd2")] == [True, True]
    desk.request_cancel(third)
    desk.wait(lambda: third not in desk.working(), "cancelled")
    desk.wait(lambda: desk.cancels().startswith("1 cancels, 2 fills"), "and counted once")
    desk.kill("trd")
    desk.fill(first, "0.003")
    desk.fill(second, "0.01")
    desk.wait(desk.agrees, "on record while the owner is dead")
    desk.back("trd")
    desk.wait(lambda: len({e.trade_id for e in desk.told("trd")}) == 4, "the owner learnt it by itself")
    desk.fill(first, "0.004")
    desk.wait(desk.agrees, "both go on")
    desk.wait(lambda: len(desk.told("trd2")) == 5, "heard")
    assert desk.open_breaks() == 0
    assert desk.position() == sum(Decimal(qty) for *_, qty, _ in desk.truth()) == Decimal("0.02")
    desk.wait(lambda: desk.listen() or len({e.trade_id for e in desk.fills_heard()}) == 5, "heard by a client, too")
    foreign = [e.trade_id for e in desk.fills_heard() if e.foreign]
    assert len(foreign) == len(set(foreign))
    desk.wait(lambda: desk.cancels().startswith("1 cancels, 5 fills"), "counted once, whoever told it")
    assert desk.status()["last_trip"] is None
