"""A drill goes the way of a trip and touches no order; what would go wrong in a trip fails it."""

import contextlib
import io
import json
import signal
from typing import Any

import msgspec
import pytest

from ipc.gate import DRILL_SCOPE, GateReader, read_gate
from quarterdeck.cli import main
from tests.procs.kill_venue import KillDesk
from tests.procs.test_killswitch import Make, closed, desk_of  # noqa: F401 - the fixture

pytestmark = pytest.mark.e2e
ALARMS = """
[alarms]

[[alarms.notifiers]]
name = "pager"
kind = "command"
command = ["{command}"]
"""


def qd(desk: KillDesk, *args: str) -> tuple[int, Any]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(["kill", *args, "--config", str(desk.desk.path), "--json"])
    return status, json.loads(out.getvalue()) if out.getvalue() else err.getvalue()


def steps(record: dict[str, Any]) -> dict[str, tuple[bool, str]]:
    return {s["name"]: (s["ok"], s["said"]) for s in record["steps"]}


def begin_alarms(desk: KillDesk) -> None:
    desk.spawn("alarms")
    desk.wait(lambda: desk.readiness("alarms") == "READY", "alarms run")


def test_a_drill_answers_on_every_way_and_leaves_orders_and_gate_as_they_are(desk_of: Make) -> None:  # noqa: F811
    desk = desk_of(limits=ALARMS.format(command="cat"))
    desk.start(orders=2)
    begin_alarms(desk)
    before = read_gate(desk.desk.shm_dir / "gate")[1]
    made: list[tuple[int, dict[str, Any]]] = []

    def passed() -> bool:  # a machine that is busy fails one: that is what drills are for
        made.append(qd(desk, "drill"))
        return made[-1][0] == 0

    desk.wait(passed, "a drill is passed")
    record = made[-1][1]
    found = steps(record)
    assert {"gate word", "fence a", "fence b", "plan", "commands a", "commands b", "rest x", "latch and audit",
            "alarms"} <= set(found)  # fmt: skip
    assert all(ok for ok, _ in found.values())
    assert "pager arrived" in found["alarms"][1]
    assert found["rest x"][1] == "4 open orders listed"
    assert all(s["took_ms"] is not None for s in record["steps"])
    assert desk.venue.alive == 4
    assert closed(desk, "a") == closed(desk, "b") == ""
    word, generation, _ = read_gate(desk.desk.shm_dir / "gate")
    assert (word.state.name, generation) == ("ARMED", before + len(made))
    drill_word = GateReader(desk.desk.shm_dir / "gate", desk.desk.shm_dir / "operator", [DRILL_SCOPE])
    assert "drill" not in drill_word.closed_reason(1)
    desk.wait(lambda: len(qd(desk, "drills")[1]) == len(made), "kept")
    assert qd(desk, "drills")[1] == [r for _, r in made]
    assert "last drill passed" in qd(desk, "status")[1]["drill"]
    assert desk.status()["last_trip"] is None


def test_an_owner_that_would_be_killed_fails_the_drill_and_lives(desk_of: Make) -> None:  # noqa: F811
    desk = desk_of()
    desk.start(orders=1)
    desk.signal("a", signal.SIGSTOP)
    desk.ask("drill", by="kim")
    desk.wait(lambda: "fence a" not in msgspec.json.decode(desk.ask("drill_status").data)["waits_for"], "too late")
    desk.signal("a", signal.SIGCONT)
    desk.wait(lambda: qd(desk, "drills")[1], "over")
    (record,) = qd(desk, "drills")[1]
    found = steps(record)
    assert not record["ok"]
    assert found["fence a"] == (False, "no end within 2000 ms")
    assert "fence b" in found
    assert desk.processes["a"].poll() is None
    assert "no drill was ever passed here" in qd(desk, "status")[1]["drill"]


def test_a_venue_that_does_not_answer_and_a_pager_that_fails_fail_the_drill(desk_of: Make) -> None:  # noqa: F811
    desk = desk_of(owners=("a",), limits=ALARMS.format(command="false"))
    desk.start()
    begin_alarms(desk)
    desk.venue.down = True
    status, record = qd(desk, "drill")
    assert status == 3
    failed = {name for name, (ok, _) in steps(record).items() if not ok}
    assert {"rest x", "alarms"} <= failed
    assert "ended with status 1" in steps(record)["alarms"][1]


def test_no_drill_while_anything_is_tripped_and_none_that_trips_where_money_is(desk_of: Make) -> None:  # noqa: F811
    desk = desk_of(owners=("a",))
    desk.start(orders=1)
    status, said = qd(desk, "drill", "--full")
    assert status == 1
    assert "simulated desks only" in said
    assert desk.venue.alive == 1
    desk.trip("session:a")
    status, said = qd(desk, "drill")
    assert status == 1
    assert "session:a is tripped" in said


def test_a_kill_switch_that_ends_in_a_drill_leaves_no_trip_behind(desk_of: Make) -> None:  # noqa: F811
    desk = desk_of(owners=("a",))
    desk.start(orders=1)
    desk.signal("a", signal.SIGSTOP)  # so that the drill waits for its fence
    desk.ask("drill")
    desk.kill("killswitch")
    desk.signal("a", signal.SIGCONT)
    desk.spawn("killswitch")
    desk.wait(lambda: desk.readiness("killswitch") == "READY", "ready")
    status = desk.status()
    assert (status["desk"], status["last_trip"]) == ("ARMED", None)
    assert closed(desk, "a") == ""
    assert desk.venue.alive == 1


def test_a_trip_overtakes_a_drill(desk_of: Make) -> None:  # noqa: F811
    desk = desk_of(owners=("a",))
    desk.start(orders=2)
    desk.signal("a", signal.SIGSTOP)
    desk.ask("drill")
    desk.trip()
    desk.wait(lambda: any(not s["ok"] for r in qd(desk, "drills")[1] for s in r["steps"]), "drill over")
    assert any("a trip began" in s["said"] for s in qd(desk, "drills")[1][0]["steps"])
    desk.ended("a")  # the trip does kill it
    assert desk.wait_proven()["proven"] == 2
