"""Two drop copies of one account, as processes: one is killed in the middle of fills and comes back, then the other."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.procs.record_desk import RecordDesk

pytestmark = pytest.mark.e2e
COPY = """
[session.{name}]
venue = "x"
kind = "dropcopy"
address = "run:sim-x#dropcopy"
ca_file = "run:sim-x.ca.pem"
server_name = "localhost"
sender_comp_id = "{sender}"
target_comp_id = "VENUE"
username = "run:secrets/{name}.key"
password = "run:secrets/{name}.secret"
{more}
"""
LIMITS = """
session_loss_grace_s = 1
[[kill.limits]]
scope = "venue:x"
max_drop_copy_lag_s = 300
max_drop_copy_mismatches_per_day = 0
"""
COPIES = ("dc", "dc2")


@pytest.fixture
def desk() -> Iterator[RecordDesk]:
    copies = COPY.format(name="dc", sender="DC1", more="")
    copies += COPY.format(name="dc2", sender="DC2", more='redundant_with = "dc"')
    made = RecordDesk("fix44", copies, LIMITS)
    try:
        made.start()
        yield made
    finally:
        made.close()


def test_either_drop_copy_may_die_in_the_middle_of_fills_and_nothing_is_lost_or_counted_twice(desk: RecordDesk) -> None:
    orders = desk.place_working(6)
    desk.fill(orders[0], "0.001", "0.002")
    desk.wait(desk.agrees, "on record")
    for dies, order in zip(COPIES, orders[1:3], strict=True):
        desk.fill(order, "0.001")
        desk.kill(dies)  # with a report on its way, or not
        desk.fill(order, "0.002", "0.003")
        desk.fill(orders[3 if dies == "dc" else 4], "0.01")
        other = COPIES[dies == "dc"]
        desk.wait(desk.agrees, f"{other} shows what {dies} misses")
        desk.logged(f"of 2 sessions only {other} is left; {dies}: ")
        desk.back(dies)
        desk.wait(lambda: desk.logs().count("all 2 sessions are up again") == 1 + (dies == "dc2"), "said")  # noqa: B023
        desk.fill(order, "0.001")
        desk.wait(desk.agrees, "both go on")
    trades = sorted(trade for _, trade, *_ in desk.truth())
    assert len(trades) == 12
    for copy in COPIES:
        desk.wait(lambda: len(desk.told(copy)) >= len(trades), f"{copy} has it all")  # noqa: B023
        # Also who was killed between a report and its number, and was sent it again.
        assert sorted(e.trade_id for e in desk.told(copy)) == trades
    desk.wait(desk.agrees, "and it is on record once")

    def copied() -> list[str]:
        desk.listen()
        return sorted(e.trade_id for e in desk.fills_heard() if e.drop_copy)

    desk.wait(lambda: len(copied()) >= len(trades), "heard")
    assert copied() == trades  # by a client that hears both
    assert desk.open_breaks() == 0
    assert desk.position() == sum(Decimal(qty) for *_, qty, _ in desk.truth())
    status = desk.status()
    assert (status["desk"], status["last_trip"]) == ("ARMED", None)
