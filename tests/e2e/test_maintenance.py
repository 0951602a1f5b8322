"""A venue announces its maintenance: every session moves to its other id while the old one still lives."""

import pytest

from ipc.books import BookRegion, BookState
from tests.e2e.conftest import RunningDesk, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

OWN = {"QDTRD1", "QDMD1", "QDDC1", "QDKILL1"}
OTHER = {"QDTRD2", "QDMD2", "QDDC2", "QDKILL2"}


def live(desk: RunningDesk) -> set[str]:
    """SenderCompIDs that are logged on at the venue."""
    return {s["sender"] for s in desk.venue("binance", "GET", "/stats")["sessions"] if s["live"]}


def at_venue(desk: RunningDesk) -> set[str]:
    return {o["cl_ord_id"] for o in desk.venue("binance", "GET", "/working")["orders"]}


def states(desk: RunningDesk) -> dict[str, str]:
    return {str(o["cl_ord_id"]): str(o["state"]) for o in desk.ask("orders", "--all")["orders"]}


def test_announced_maintenance_moves_every_session_in_time_and_back_and_loses_nothing(desk: RunningDesk) -> None:
    desk.wait_ready()
    assert live(desk) == OWN
    resting = {desk.order("binance", "BTC-USDT", "buy", "0.01", price) for price in ("30000", "30001")}
    wait_for(lambda: resting <= at_venue(desk), 60, "the venue has the orders")
    pids = {p.name: p.pid for p in desk.view().processes}
    for seconds, before, after in ((60, OWN, OTHER), (60, OTHER, OWN)):
        fault = {"kind": "maintenance", "arguments": {"seconds": str(seconds)}}
        desk.venue("binance", "POST", "/fault", fault)
        # The old ones are left in order, long before the venue would end them.
        wait_for(lambda after=after: live(desk) == after, seconds - 3, lambda: f"moved: {live(desk)}")
        desk.wait_ready()
        reader = BookRegion.open(desk.desk.shm_dir / "book-l2").book("binance", "BTC-USDT")
        assert BookState(reader.status()[0]) is BookState.LIVE
        placed = desk.order("binance", "ETH-USDT", "buy", "0.01", "1000")
        wait_for(lambda placed=placed: placed in at_venue(desk), 60, "an order by the new session")
        resting.add(placed)
        assert resting <= at_venue(desk), "the orders of the session before rest on"
        wait_for(lambda: {states(desk).get(o) for o in resting} == {"NEW"}, 60, lambda: f"known as NEW: {states(desk)}")
        assert not live(desk) & before
    assert desk.view().gate == "ARMED"
    assert {p.name: p.pid for p in desk.view().processes} == pids
    config = ("--config", str(desk.desk.path))
    for cl_ord_id in sorted(resting):
        done = desk.qd("cancel", cl_ord_id, *config)
        assert done.returncode == 0, done.stderr
    wait_for(lambda: not resting & at_venue(desk), 60, "gone from the venue")
    wait_for(lambda: {states(desk).get(o) for o in resting} == {"CANCELED"}, 60, "and known to be gone")
