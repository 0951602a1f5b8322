"""Orders that the limits forbid: the real trading process refuses them, and nothing of them reaches the venue."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import quarterdeck as qd
from tests.e2e.conftest import RunningDesk, make_desk, patient, run_desk, wait_for

pytestmark = pytest.mark.e2e

LIMITS = """
[[kill.limits]]
scope = "strategy:hasty"
max_orders_per_s = 2
[[kill.limits]]
scope = "strategy:twice"
duplicate_window_ms = 600000
[[kill.limits]]
scope = "session:kraken-trd"
max_position = { "ETH-USD" = "1" }
"""


@pytest.fixture(scope="module")
def desk() -> Iterator[RunningDesk]:
    path = Path(tempfile.mkdtemp(prefix="qd-"))
    try:
        yield from run_desk(make_desk(path, lambda text: patient(text).replace("# ----", f"{LIMITS}\n# ----", 1)))
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def client(desk: RunningDesk, request: pytest.FixtureRequest) -> Iterator[qd.Desk]:
    with qd.connect(desk.desk.path, strategy=getattr(request, "param", "mm"), timeout=30) as client:
        yield client


def taken(desk: RunningDesk) -> int:
    return int(desk.venue("kraken", "GET", "/stats")["orders_taken"])


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(qd.CommandError) as e:
        act()
    return str(e.value)


def test_too_big_too_dear_too_far_and_too_much_are_refused_by_name_and_counted(
    desk: RunningDesk, client: qd.Desk
) -> None:
    before = taken(desk)
    refused = [
        refusal(lambda: client.new_order("kraken", "BTC-USD", qd.BUY, "5.001", "30000")),
        refusal(lambda: client.new_order("kraken", "BTC-USD", qd.BUY, "4", "150000")),
        refusal(lambda: client.new_order("kraken", "BTC-USD", qd.BUY, "0.01", "999999")),
        refusal(lambda: client.new_order("kraken", "BTC-USD", qd.SELL, "0.01", "10")),
        refusal(lambda: client.new_order("kraken", "ETH-USD", qd.BUY, "1.001", "100")),
    ]
    for said, limit in zip(
        refused,
        ("max_order_qty of venue:kraken", "price_collar_pct of venue:kraken", "price_collar_pct of venue:kraken",
         "price_collar_pct of venue:kraken", "max_position of session:kraken-trd"),
        strict=True,
    ):  # fmt: skip
        assert limit in said
    assert taken(desk) == before
    client.subscribe("state.kraken-trd")
    wanted = {"refused_max_order_qty": 1, "refused_price_collar_pct": 3, "refused_max_position": 1}

    def counted() -> bool:
        states = [d.event for d in client.poll(0.1) if isinstance(d.event, qd.SessionState)]
        return any(wanted.items() <= s.counters.items() for s in states)

    wait_for(counted, 60, "the refusals stand in the session's counters")


@pytest.mark.parametrize("client", ["twice"], indirect=True)
def test_the_same_order_again_is_refused_after_a_restart_of_the_process_too(desk: RunningDesk, client: qd.Desk) -> None:
    first = client.new_order("kraken", "BTC-USD", qd.BUY, "0.01", "30000")
    again = refusal(lambda: client.new_order("kraken", "BTC-USD", qd.BUY, "0.01", "30000"))
    assert "duplicate_window_ms of strategy:twice: the same order left" in again
    wait_for(lambda: [o for o in desk.working("kraken") if o["cl_ord_id"] == first], 60, "the first is at the venue")
    client.cancel(first)
    wait_for(lambda: not desk.working("kraken"), 60, "the first is gone")
    before, pid = taken(desk), desk.pid("kraken-trd")
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: desk.pid("kraken-trd") != pid, 60, "a new process")
    desk.wait_ready()
    again = refusal(lambda: client.new_order("kraken", "BTC-USD", qd.BUY, "0.01", "30000"))
    assert "duplicate_window_ms of strategy:twice: the same order left" in again
    assert taken(desk) == before


@pytest.mark.parametrize("client", ["hasty"], indirect=True)
def test_orders_that_come_too_fast_are_refused(desk: RunningDesk, client: qd.Desk) -> None:
    before, placed = taken(desk), 0

    def one_too_many() -> str:
        nonlocal placed
        try:
            client.new_order("kraken", "BTC-USD", qd.BUY, "0.001", str(20_000 + placed))
        except qd.CommandError as e:
            return str(e)
        placed += 1
        return ""

    said = wait_for(one_too_many, 60, "three orders within a second")
    assert said.endswith("max_orders_per_s of strategy:hasty: 3 with this order, at most 2")
    wait_for(lambda: taken(desk) == before + placed, 60, "the venue has those that passed")
    client.cancel_all("kraken-trd")
    wait_for(lambda: not desk.working("kraken"), 60, "they are gone")
    assert taken(desk) == before + placed


def test_orders_given_together_add_up_and_are_not_sent_again_after_a_restart(
    desk: RunningDesk, client: qd.Desk
) -> None:
    before, pid = taken(desk), desk.pid("kraken-trd")
    orders = [qd.OrderTerms("kraken", "ETH-USD", qd.BUY, "0.6", price) for price in ("100", "101")]
    first, second = client.new_orders(orders, command_id="basket")
    assert (first.accepted, second.accepted) == (True, False)
    assert "max_position of session:kraken-trd: 1.2 ETH-USD with this order, at most 1" in second.reason
    wait_for(lambda: [o for o in desk.working("kraken") if o["cl_ord_id"] == first.cl_ord_id], 60, "it is at the venue")
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: desk.pid("kraken-trd") != pid, 60, "a new process")
    desk.wait_ready()
    (again,) = client.new_orders(orders[:1], command_id="basket")
    assert (again.cl_ord_id, again.duplicate) == (first.cl_ord_id, True)
    assert taken(desk) == before + 1
