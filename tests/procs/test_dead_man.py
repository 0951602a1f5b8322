"""The venue's own timer, with real processes: a desk that is gone altogether has its orders cancelled by the venue."""

import contextlib
import signal
import threading
from collections.abc import Iterator

import pytest

from base.errors import BusError
from tests.procs.sim_desk import ROOT, SimDesk

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
TIMER_S = 5


def make(more: str = "") -> SimDesk:
    # 8674=1: a lost connection keeps orders here, so that nothing but the timer cancels them.
    session = f"options = {{ cancel_on_disconnect = false }}\n{more}"
    kill = "dead_owner_trips = false\nsession_loss_grace_s = 60\nlease_lost_cancel_s = 3"
    return SimDesk("kraken", venue=f"dead_man_s = {TIMER_S}", session=session, kill=kill, lease_ms=TIMER_S * 1000)


@pytest.fixture(scope="module")
def desk() -> Iterator[SimDesk]:
    """One desk for the tests below, in their order: the last one kills it."""
    found = make()
    found.trader = [str(ROOT / "tests" / "e2e" / "stopping_trader.py")]
    try:
        found.start()
        found.wait(lambda: timer(found)["state"] == "ARMED", "the timer is armed")
        yield found
    finally:
        found.close()


def timer(desk: SimDesk) -> dict[str, object]:
    found: dict[str, object] = desk.status()["dead_men"]["x"]
    return found


def fired(desk: SimDesk) -> int:
    return int(desk.venue.control("GET", "/stats").get("dead_man_fired", 0))


def recorded(desk: SimDesk) -> set[str]:
    """ClOrdIDs of all orders that the venue ever accepted."""
    return {o["cl_ord_id"] for o in desk.venue.control("GET", "/record/orders")["orders"]}


def test_health_keeps_it_from_firing_and_a_stuck_owner_lets_it_run_out_with_an_alarm(desk: SimDesk) -> None:
    orders = set(desk.place_working(2))
    armed = desk.venue.control("GET", "/stats")["rest_requests"]
    desk.wait(lambda: desk.venue.control("GET", "/stats")["rest_requests"] >= armed + 4, "renewed again and again")
    assert (fired(desk), desk.working()) == (0, orders)
    desk.kill("trd")
    desk.wait(lambda: timer(desk)["state"] == "LAPSING", "not renewed")
    assert "trd does not run, and has working orders" in str(timer(desk)["why"])
    desk.wait(lambda: not desk.working(), "the venue cancels")
    desk.wait(lambda: timer(desk)["fired"], "noticed")
    desk.logged("the venue cancels every order")
    desk.logged("0 orders are listed, 2 are not any more")
    desk.spawn("trd")
    desk.wait(lambda: desk.readiness("trd") == "READY", "ready again")
    desk.wait(lambda: timer(desk)["state"] == "ARMED", "armed again")
    desk.logged("armed again after it fired")
    desk.wait(lambda: desk.status()["venues"]["x"]["working"] == 0, "the ends of the orders are taken in")


def test_a_trip_is_not_healthy_so_the_timer_runs_out_behind_it(desk: SimDesk) -> None:
    before = int(str(timer(desk)["fired"]))
    desk.place_working(1)
    desk.trip()
    desk.proven()
    desk.wait(lambda: int(str(timer(desk)["fired"])) > before, "not renewed under a closed gate")
    desk.logged("desk is TRIPPED")
    desk.reset()
    desk.wait(lambda: timer(desk)["state"] == "ARMED", "armed again")


def test_a_maintenance_holds_up_the_proof_until_it_is_over(desk: SimDesk) -> None:
    """The timer cancels behind the closed gate, and that order's end is known: the account's is not."""
    desk.place_working(1)
    desk.venue.fault("maintenance", seconds=600)
    desk.trip()
    desk.wait(lambda: "takes no cancels now" in " ".join(desk.last_trip().get("open_questions", [])), "noticed")
    desk.wait(lambda: not desk.working(), "the venue cancels")
    assert desk.last_trip()["phase"] == "PROVING"
    venue = desk.venue.venue
    desk.venue.soon(lambda: venue._set_status("2"))  # type: ignore[attr-defined] # online again
    desk.proven()
    desk.reset()
    desk.wait(lambda: timer(desk)["state"] == "ARMED", "armed again")


def test_with_kill_switch_and_owner_stopped_the_venue_cancels_and_what_leaves_late_its_owner_cancels(
    desk: SimDesk,
) -> None:
    """The owner stands between its last look at the gate and its send: nobody is there to kill it."""
    before, orders = fired(desk), set(desk.place_working(2))
    stop, stopped_at = (desk.desk.data_dir / f"trd.{name}" for name in ("stop", "stopped"))
    stop.write_text("check")

    def place() -> None:
        with contextlib.suppress(BusError):  # the answer may take longer than anybody waits for it
            desk.place()

    placing = threading.Thread(target=place)
    placing.start()
    desk.wait(stopped_at.exists, "stopped between its look at the gate and its send")
    late = stopped_at.read_text()
    switch, owner = desk.processes["killswitch"], desk.processes["trd"]
    switch.send_signal(signal.SIGSTOP)
    assert desk.working() == orders
    desk.wait(lambda: not desk.working(), "the venue cancels")
    assert fired(desk) == before + 1
    owner.send_signal(signal.SIGCONT)
    placing.join()
    desk.wait(lambda: late in recorded(desk), "it was about to leave, and leaves")
    desk.wait(lambda: not desk.working(), "without a kill switch for so long its owner cancels all it has")
    with pytest.raises(AssertionError, match="lease of the kill switch"):
        desk.place()
    switch.send_signal(signal.SIGCONT)
    taken: list[str] = []

    def takes_orders() -> bool:
        try:
            taken.extend(desk.place())
        except AssertionError as refused:
            assert "lease of the kill switch" in str(refused)  # noqa: PT017 - anything else is a failure
            return False
        return True

    desk.wait(takes_orders, "the lease is back")
    desk.wait(lambda: timer(desk)["state"] == "ARMED" and timer(desk)["fired"], "noticed, and armed again")
    desk.wait(lambda: desk.status()["venues"]["x"]["working"] == 1, "the ends of the other orders are taken in")
    assert desk.working() == set(taken)  # what was taken is not among the orders that are cancelled for the lost lease


def test_with_every_process_of_the_desk_killed_the_venue_cancels_by_itself(desk: SimDesk) -> None:
    before, orders = fired(desk), set(desk.place_working(3))
    desk.kill("killswitch", "trd")
    assert desk.working() >= orders
    desk.wait(lambda: not desk.working(), "the venue cancels")
    assert fired(desk) > before
    desk.spawn("killswitch")
    desk.logged("while no kill switch ran: every order was cancelled")


def test_a_stop_that_keeps_orders_disables_the_timer_first() -> None:
    desk = make('on_stop = "keep"')
    try:
        desk.start()
        desk.wait(lambda: timer(desk)["state"] == "ARMED", "the timer is armed")
        orders = set(desk.place_working(1))
        for name in ("trd", "killswitch"):
            desk.processes[name].terminate()
            desk.processes[name].wait(60)
        desk.logged("disabled: ")
        began = desk.venue.clock.mono_ns()
        desk.wait(lambda: desk.venue.clock.mono_ns() - began > (TIMER_S + 1) * 1_000_000_000, "the span is over")
        assert (desk.working(), fired(desk)) == (orders, 0)
    finally:
        desk.close()
