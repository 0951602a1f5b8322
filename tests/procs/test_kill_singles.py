"""Single cancels over REST by the real kill switch: what no session reaches any more, in a scope that is narrow."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipc.audit_check import audit_lines
from tests.procs.kill_venue import KillDesk
from tests.procs.sim_desk import SimDesk

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture
def kraken() -> Iterator[SimDesk]:
    desk = SimDesk("kraken")
    try:
        desk.start()
        yield desk
    finally:
        desk.close()


def trail(data_dir: Path) -> list[tuple[str, dict[str, Any]]]:
    return [(line.event, line.facts) for line in audit_lines(data_dir / "kill")]


def test_orders_of_an_earlier_logon_are_cancelled_one_by_one_and_those_of_other_instruments_stay(
    kraken: SimDesk,
) -> None:
    before = kraken.place_working(3)
    other = kraken.place_working(1, 1)
    kraken.venue.fault("rollover", seconds=1)
    kraken.wait(lambda: kraken.readiness("trd") != "READY", "ended by the venue")
    kraken.wait(lambda: kraken.readiness("trd") == "READY", "logged on again")
    assert kraken.working() == {*before, *other}, "the rollover keeps orders"
    kraken.trip("instrument:BTC-USD")
    trip = kraken.proven()
    assert kraken.working() == set(other)
    assert (trip["orders"], trip["proven"], trip["unproven"]) == (3, 3, [])
    # The trail is written beside the work, and an order's own report may come before the answer to its cancel.
    kraken.wait(lambda: len(singles(kraken)) == 3, "each was cancelled by itself")
    kraken.wait(lambda: "cancelled" in outcomes(kraken), "the venue's word is kept")


def singles(desk: SimDesk) -> set[str]:
    """Orders that a single cancel over REST was sent for."""
    sent = [f["what"] for e, f in trail(desk.desk.data_dir) if e == "sent" and f["path"] == "x rest"]
    return {text for text in sent if text.startswith("RestCancelOrder(")}


def outcomes(desk: SimDesk) -> list[str]:
    return [f["outcome"] for e, f in trail(desk.desk.data_dir) if e == "answer" and "outcome" in f]


@pytest.fixture
def plain() -> Iterator[KillDesk]:
    root, shm = Path(tempfile.mkdtemp(prefix="qk", dir="/tmp")), Path(tempfile.mkdtemp(prefix="qk", dir="/dev/shm"))
    desk = KillDesk(root / "d", shm)
    yield desk
    desk.close()
    shutil.rmtree(root)
    shutil.rmtree(shm)


def test_orders_of_nobody_here_and_of_a_dead_owner_are_reached_in_the_scope_and_not_beyond(plain: KillDesk) -> None:
    """No mass cancel fits the scope, the dead owner does not come back, and the stranger has none."""
    plain.start(orders=2)
    for name, symbol in (("strange", "BTC/USD"), ("stranger", "ETH/USD")):
        line = {"session": "", "symbol": symbol, "order_id": f"S-{name}", "ord_status": "0", "cum_qty": "0"}
        plain.venue.orders[name] = {"cl_ord_id": name, **line}
    plain.signal("killswitch", signal.SIGSTOP)
    plain.kill("a")
    plain.signal("killswitch", signal.SIGCONT)
    plain.trip("instrument:BTC-USD")
    plain.wait(lambda: any(t["scopes"] == ["instrument:BTC-USD"] for t in proofs(plain)), "proven")
    left = [o for o in plain.venue.orders.values() if o["ord_status"] == "0"]
    assert {o["symbol"] for o in left} == {"ETH/USD"}
    assert "stranger" in {o["cl_ord_id"] for o in left}
    assert plain.venue.orders["strange"]["ord_status"] == "4"
    assert plain.venue.cancelled_all_at == []


def proofs(desk: KillDesk) -> list[dict[str, Any]]:
    return [facts for event, facts in trail(desk.desk.data_dir) if event == "PROVEN"]
