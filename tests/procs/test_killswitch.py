"""The kill switch as a process, against owners that obey, stall or die."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

import quarterdeck as qd
from ipc import frames
from ipc._bus import Outlet
from ipc.audit_check import verify_audit
from ipc.gate import GateReader, read_gate, session_scopes, set_operator_word
from ipc.journal import Journal
from tests.procs.kill_venue import KillDesk
from tests.risk.kill_world import state

pytestmark = pytest.mark.e2e
Make = Callable[..., KillDesk]


@pytest.fixture
def desk_of() -> Iterator[Make]:
    """Desks in short paths (socket names are limited), all of it gone afterwards."""
    made: list[KillDesk] = []
    folders: list[Path] = []

    def make(**options: object) -> KillDesk:
        root = Path(tempfile.mkdtemp(prefix="qk", dir="/tmp"))
        shm = Path(tempfile.mkdtemp(prefix="qk", dir="/dev/shm"))
        folders.extend((root, shm))
        made.append(KillDesk(root / "d", shm, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for desk in made:
        desk.close()
    for folder in folders:
        shutil.rmtree(folder)


def closed(desk: KillDesk, session: str) -> str:
    reader = GateReader(
        desk.desk.shm_dir / "gate", desk.desk.shm_dir / "operator", session_scopes("x", "main", session)
    )
    return reader.closed_reason(time.monotonic_ns())


def test_a_desk_trip_closes_fences_cancels_and_proves(desk_of: Make) -> None:
    desk = desk_of()
    desk.start(orders=5)
    assert closed(desk, "a") == ""
    desk.trip()
    assert "desk is TRIP" in closed(desk, "a")
    trip = desk.wait_proven()
    assert desk.venue.alive == 0
    assert (trip["orders"], trip["proven"], trip["working"], trip["uncertain"]) == (10, 10, 0, 0)
    assert 0 <= trip["gate_closed_ms"] <= trip["first_cancel_ms"] <= trip["all_proven_ms"]
    assert 0 < trip["fence_ms"] <= trip["all_proven_ms"]
    assert trip["killed"] == []
    assert desk.venue.cancelled_all_at  # the venue was asked directly, too
    assert "cause: operator" in msgspec.json.decode(desk.ask("why").data)["why"]


def test_a_stopped_owner_is_killed_and_its_orders_are_proven_from_its_journal(desk_of: Make) -> None:
    desk = desk_of()
    desk.start(orders=3)
    desk.signal("a", signal.SIGSTOP)
    desk.trip()
    trip = desk.wait_proven()
    assert trip["killed"] == ["a"]
    assert desk.ended("a") == -signal.SIGKILL
    assert (trip["orders"], trip["proven"]) == (6, 6)
    assert trip["fence_ms"] >= 2000
    assert desk.venue.alive == 0


def test_a_dead_owner_trips_its_session_and_its_orders_are_cancelled(desk_of: Make) -> None:
    desk = desk_of(owners=("a",))
    desk.start(orders=4)
    desk.kill("a")
    trip = desk.wait_proven()
    assert (trip["scopes"], trip["cause"], trip["proven"]) == (["session:a"], "process", 4)
    assert desk.venue.alive == 0
    assert "session:a" in closed(desk, "a")


def test_a_dead_owner_beside_another_on_the_account_is_not_cancelled_over_its_head(desk_of: Make) -> None:
    """REST cancel-all would reach the other session: it is held back, and the dead owner is started again instead."""
    desk = desk_of()
    desk.start(orders=2)
    desk.kill("a")
    desk.wait(lambda: desk.last_trip(), "tripped")
    desk.wait(lambda: any("reaches orders of b" in text for text in desk.last_trip()["held_back"]), "held back")
    desk.spawn("a")  # as supervisord does
    desk.wait_proven()
    assert desk.venue.alive == 2  # those of b
    assert closed(desk, "b") == ""


def test_without_a_supervisord_the_kill_switch_starts_a_dead_owner_itself(desk_of: Make) -> None:
    desk = desk_of(owners=("a",))
    desk.start(orders=2)
    desk.venue.deaf = True
    desk.kill("a")
    desk.wait(lambda: desk.holder("a"), "somebody owns the orders again")
    assert desk.holder("a") != desk.processes["a"].pid
    assert "session:a" in closed(desk, "a")
    desk.venue.deaf = False
    assert desk.wait_proven()["proven"] == 2


def test_an_owner_that_is_not_ready_with_working_orders_trips_its_session_after_the_grace_period(desk_of: Make) -> None:
    desk = desk_of()
    desk.start(orders=2)
    (desk.desk.data_dir / "a.lost").touch()
    began = time.monotonic()
    trip = desk.wait_proven()
    assert time.monotonic() - began > 0.9
    assert (trip["scopes"], trip["cause"]) == (["session:a"], "session")
    assert desk.venue.alive == 2
    assert closed(desk, "b") == ""


def test_an_orderly_stop_trips_nothing(desk_of: Make) -> None:
    desk = desk_of(owners=("a",))
    desk.start()
    desk.signal("a", signal.SIGTERM)
    assert desk.ended("a") == 0
    desk.wait(lambda: not desk.status()["owners"]["a"], "seen")
    assert desk.status()["last_trip"] is None
    assert closed(desk, "a") == ""


def test_a_lost_report_is_settled_by_the_venues_answer(desk_of: Make) -> None:
    desk = desk_of(owners=("a",))
    desk.start(orders=2)
    desk.venue.losing.add("a")
    desk.trip()
    trip = desk.wait_proven()
    assert trip["proven"] == 2
    assert set(trip["proven_by"]) <= {"order status", "absent from two open-orders lists"}


def test_an_order_that_trades_on_the_way_is_counted_and_listed(desk_of: Make) -> None:
    desk = desk_of(owners=("a",))
    desk.start(orders=2)
    first = next(iter(desk.venue.orders))
    desk.venue.deaf = True
    desk.trip()
    desk.venue.fill(first)
    desk.wait(lambda: desk.status()["last_trip"]["filled"] == 1, "fill seen")
    desk.venue.deaf = False
    trip = desk.wait_proven()
    assert trip["filled_orders"] == [first]


def test_a_venue_that_cancels_nothing_is_never_reported_as_done(desk_of: Make) -> None:
    desk = desk_of(owners=("a",), proof_s=1)
    desk.start(orders=2)
    desk.venue.deaf = True
    desk.trip()
    desk.logged("not_proven")  # a person is called
    trip = desk.status()["last_trip"]
    assert trip["phase"] == "PROVING"
    assert len(trip["unproven"]) == 2
    refused = desk.ask("reset", reason="all fine")
    assert not refused.accepted
    assert all(name in refused.reason for name in trip["unproven"])
    desk.venue.deaf = False
    desk.wait_proven()


def test_reset_opens_by_a_person_with_a_reason_and_trading_goes_on(desk_of: Make) -> None:
    desk = desk_of(owners=("a",))
    desk.start(orders=1)
    desk.trip()
    desk.wait_proven()
    assert not desk.ask("reset").accepted
    assert desk.ask("reset", reason="looked at it").accepted
    desk.wait(lambda: closed(desk, "a") == "", "open again")
    reader = GateReader(desk.desk.shm_dir / "gate", desk.desk.shm_dir / "operator", session_scopes("x", "main", "a"))
    assert reader.closed_reason(time.monotonic_ns(), "mm") == "strategy:mm is DISARMED"
    with qd.connect(desk.desk.path, strategy="mm", timeout=20.0) as client:
        client.arm("looked at it, too")
    desk.place("a", 3)
    desk.wait(lambda: desk.venue.alive == 2, "orders again")
    assert desk.ask("status").accepted


def test_a_restarted_kill_switch_takes_the_trip_up_again(desk_of: Make) -> None:
    desk = desk_of(owners=("a",))
    desk.start(orders=3)
    desk.venue.deaf = True
    desk.trip()
    desk.kill("killswitch")
    assert "TRIPPING" in closed(desk, "a")
    desk.venue.deaf = False
    desk.spawn("killswitch")
    trip = desk.wait_proven()
    assert trip["proven"] == trip["orders"]
    assert desk.venue.alive == 0
    desk.kill("killswitch")
    desk.spawn("killswitch")
    desk.wait(lambda: desk.readiness("killswitch") == "READY", "ready")
    desk.wait(lambda: desk.status()["desk"] == "TRIPPED", "taken up, and proven again if the latch was not yet on disk")
    assert "desk is TRIPPED" in closed(desk, "a")


def test_a_restarted_kill_switch_goes_on_with_a_strategy_that_only_the_gate_remembers(desk_of: Make) -> None:
    desk = desk_of(owners=("a",))
    desk.start(orders=2)
    latch = desk.desk.data_dir / "kill" / "latch.json"
    desk.wait(latch.exists, "a first latch")
    armed = latch.read_bytes()
    desk.trip("strategy:mm")
    desk.wait_proven()
    desk.kill("killswitch")
    latch.write_bytes(armed)  # as a disk that hung would have left it
    desk.spawn("killswitch")
    trip = desk.wait_proven()
    assert (trip["scopes"], trip["cause"]) == (["strategy:mm"], "restart")
    assert desk.ask("reset", scope="strategy:mm", reason="looked into").accepted
    disarmed = {"desk": "ARMED", "strategy:mm": "DISARMED"}
    desk.wait(lambda: {s["scope"]: s["state"] for s in desk.status()["scopes"]} == disarmed, "reset")
    assert desk.ask("arm", scope="strategy:mm", reason="ready").accepted
    desk.wait(lambda: [s["scope"] for s in desk.status()["scopes"]] == ["desk"], "open again")


def test_without_the_kill_switch_no_order_leaves_and_the_operator_word_is_taken_up(desk_of: Make) -> None:
    desk = desk_of(owners=("a",), lease_ms=1000)
    desk.start(orders=1)
    desk.kill("killswitch")
    desk.wait(lambda: "lease" in closed(desk, "a"), "paused")
    set_operator_word(desk.desk.shm_dir / "operator", "by hand", time.time_ns())
    desk.wait(lambda: desk.venue.alive == 0, "the owner obeys the word itself")
    desk.spawn("killswitch")
    trip = desk.wait_proven()
    assert "by hand" in trip["reason"]
    assert read_gate(desk.desk.shm_dir / "gate")[0].state.name == "TRIPPED"
    assert "operator word" not in closed(desk, "a")


def test_a_signal_trips_the_desk(desk_of: Make) -> None:
    desk = desk_of(owners=("a",))
    desk.start(orders=1)
    desk.signal("killswitch", signal.SIGHUP)  # as one that stands still when its supervisord dies: it ends nothing
    desk.signal("killswitch", signal.SIGUSR1)
    assert desk.wait_proven()["cause"] == "signal"


def test_a_limit_trips_its_scope(desk_of: Make) -> None:
    limits = '[[kill.limits]]\nscope = "session:a"\nmax_open_orders = 4\n'
    desk = desk_of(limits=limits)
    desk.start(orders=2)
    desk.place("a", 6)
    trip = desk.wait_proven()
    assert (trip["scopes"], trip["cause"]) == (["session:a"], "limit")
    assert "open orders" in trip["reason"]
    assert desk.venue.alive == 2  # b goes on
    assert closed(desk, "b") == ""


def test_a_desk_that_nobody_armed_is_shut_until_a_person_arms_it(desk_of: Make) -> None:
    desk = desk_of(owners=("a",), arm=False)
    desk.start()
    assert "desk is TRIPPED" in closed(desk, "a")
    assert not desk.ask("arm").accepted
    answer = desk.ask("arm", reason="first day")
    assert answer.accepted
    assert closed(desk, "a") == ""


def test_a_full_disk_delays_no_trip(desk_of: Make) -> None:
    desk = desk_of(owners=("a",))
    desk.start(orders=2)
    folder = desk.desk.data_dir / "kill"
    shutil.rmtree(folder)
    folder.write_text("no directory any more")
    desk.trip()
    trip = desk.wait_proven()
    assert trip["proven"] == 2
    desk.wait(lambda: any("kill" in f for f in desk.status()["faults"]), "alarm")
    folder.unlink()
    folder.mkdir()
    desk.wait(lambda: (folder / "latch.json").exists(), "latch written")


def test_a_disk_that_hangs_delays_no_trip_and_a_crash_meanwhile_restarts_tripped_from_the_words(desk_of: Make) -> None:
    desk = desk_of(owners=("a",))
    desk.start(orders=2)
    folder = desk.desk.data_dir / "kill"
    desk.wait((folder / "latch.json").exists, "armed on the disk")
    hung = folder / "latch.json.new"
    os.mkfifo(hung)  # whoever opens it to write waits in the kernel for a reader that never comes
    desk.trip()
    trip = desk.wait_proven()
    assert (trip["proven"], desk.venue.alive) == (2, 0)
    desk.wait(lambda: any("the disk has not answered" in f for f in desk.status()["faults"]), "alarm")
    assert '"state":"ARMED"' in (folder / "latch.json").read_text()
    desk.kill("killswitch")
    hung.unlink()
    desk.spawn("killswitch")
    assert desk.wait_proven()["cause"] == "restart"
    assert "desk is TRIPPED" in closed(desk, "a")
    desk.wait(lambda: '"state":"TRIPPED"' in (folder / "latch.json").read_text(), "latch written")


def test_a_removed_gate_file_trips_and_stands_again(desk_of: Make) -> None:
    desk = desk_of(owners=("a",))
    desk.start(orders=1)
    os.unlink(desk.desk.shm_dir / "gate")
    trip = desk.wait_proven()
    assert trip["cause"] == "gate"
    assert "desk is TRIP" in closed(desk, "a")
    assert desk.venue.alive == 0


def test_the_audit_trail_holds_what_was_sent_and_is_sound(desk_of: Make) -> None:
    desk = desk_of(owners=("a",))
    desk.start(orders=2)
    desk.trip()
    desk.wait_proven()
    folder = desk.desk.data_dir / "kill"
    words = (b'"trip"', b'"sent"', b"RestCancelAll", b'"fenced"', b'"answer"', b'"PROVEN"')

    def missing() -> list[bytes]:
        text = b"".join(p.read_bytes() for p in folder.glob("audit-*"))
        return [word for word in words if word not in text]

    desk.wait(lambda: not missing(), "all of it is written")
    lines, wrong = verify_audit(folder)
    assert lines > 5
    assert wrong == ""


def test_a_slip_of_the_hand_is_no_trip(desk_of: Make) -> None:
    desk = desk_of(owners=("a",))
    desk.start()
    for scope in ("session:nobody", "venue:", "planet:mars"):
        answer = desk.ask("trip", scope=scope)
        assert not answer.accepted
        assert "scope" in answer.reason
    assert closed(desk, "a") == ""


def test_a_restart_over_long_journals_leaves_an_armed_desk_trading_and_takes_up_a_signal(desk_of: Make) -> None:
    desk = desk_of(lease_ms=1000)
    journal = Journal(desk.desk.data_dir / "b", 1)  # an owner that traded a lot, and whose process does not run
    journal.declare("exec.b", 1)
    outlet = Outlet(frames.prefix(b"exec.b", 1), journal)
    for i in range(30_000):
        journal.frame(outlet.frame(0, 1, frames.encode_event(state("b", f"b{i}", "REJECTED"))))
        outlet.next_seq += 1
        if i % 500 == 0:
            journal.prepare()
    journal.close()
    for name in ("killswitch", "a"):
        desk.spawn(name)
    desk.wait(lambda: closed(desk, "a") == "", "armed")
    desk.wait((desk.desk.data_dir / "kill" / "latch.json").exists, "latched")
    desk.kill("killswitch")
    desk.wait(lambda: "lease" in closed(desk, "a"), "paused")
    desk.spawn("killswitch")
    desk.wait(lambda: closed(desk, "a") == "", "the lease is renewed")
    assert desk.readiness("killswitch") == "RECOVERING"
    desk.signal("killswitch", signal.SIGUSR1)
    desk.wait(lambda: "desk is TRIP" in closed(desk, "a"), "closed")
    assert desk.readiness("killswitch") == "RECOVERING"
    assert desk.wait_proven()["scopes"] == ["desk"]
