"""What `qd doctor` finds, from what was seen of a desk; what it sees, from files; and that it says so."""

import json
import re
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from base.config import DeskConfig
from ipc.alarm_files import Alarm
from ipc.gate import GateState, GateWord
from ipc.roster import roster
from ipc.view.model import DeskModel
from ipc.view.sight import Sight
from quarterdeck import cli
from quarterdeck.doctor import Finding, LogSeen, Look, Supervised, examine, health_line, healthy
from quarterdeck.doctor_look import LogSeen as SeenInLog
from quarterdeck.doctor_look import error_lines, look_at, unexpected_ends
from quarterdeck.host_facts import Clock, Room
from tests.ipc.view_kit import MONO, ROOT, WALL, dead, hear, order, view_desk, well

STATUS = {"state": "ARMED", "scopes": [], "faults": [], "blockers": [], "sessions": {}}


@pytest.fixture
def desk(tmp_path: Path) -> DeskConfig:
    return view_desk(tmp_path)


def model_of(desk: DeskConfig, sight: Sight | None = None, **status: object) -> DeskModel:
    model = DeskModel(desk)
    model.see(sight or well(desk))
    model.kill_status({**STATUS, **status})
    model.alarms([])
    return model


def look_of(desk: DeskConfig, model: DeskModel | None = None, **changes: Any) -> Look:
    """A desk in order as `qd doctor` sees it, and what is to be different."""
    pids = {r.name: 100 + i for i, r in enumerate(roster(desk))}
    look = Look(
        view=(model or model_of(desk)).view(MONO, WALL), environment="production", roles=tuple(pids),
        supervisor={name: Supervised("RUNNING", pid) for name, pid in pids.items()}, holders=pids,
        build_on_disk="b1", config_on_disk="c1", rooms={"data_dir": Room("ext4", 1, 600 << 20, 0)}, min_free_mb=512,
        ledger={"fills": 3, "breaks": 0, "waiting": 0}, log_minutes=15,
    )  # fmt: skip
    return replace(look, **changes)


def found_in(look: Look) -> list[tuple[str, str, str]]:
    return [(f.severity, f.subject, f.seen) for f in examine(look)]


def with_pages(desk: DeskConfig, name: str, **changes: Any) -> DeskModel:
    sight = well(desk)
    return model_of(desk, replace(sight, processes=tuple(
        replace(p, **changes) if p.name == name else p for p in sight.processes)))  # fmt: skip


def test_nothing_is_found_of_a_desk_in_order(desk: DeskConfig) -> None:
    look = look_of(desk)
    assert examine(look) == []
    n = len(roster(desk))
    assert health_line(look.view).startswith(f"healthy: {n} processes READY, ")
    assert "gate ARMED, lease 200 ms" in health_line(look.view)


def test_of_a_desk_that_is_down_one_thing_is_said(desk: DeskConfig) -> None:
    assert found_in(look_of(desk, DeskModel(desk), supervisor=None)) == [
        ("critical", "desk", "no process of it runs, nor a supervisord")
    ]


def test_supervisord_is_held_against_the_roster_and_the_locks(desk: DeskConfig) -> None:
    look = look_of(desk)
    assert look.supervisor is not None
    fatal = Supervised("FATAL", 0, "Exited too quickly")
    had = {**look.supervisor, "kraken-trd": fatal, "old-md": Supervised("RUNNING", 9)}
    del had["book-l2"]
    said = found_in(replace(look, supervisor=had, holders={**look.holders, "kraken-md": 7}, ends={"ledger": 3}))
    assert said == [
        ("critical", "kraken-trd", "supervisord has it FATAL: Exited too quickly"),
        ("critical", "ledger", "ended 3 times in the last 15 minutes"),
        ("warning", "old-md", "supervisord has it, the configuration has not"),
        ("warning", "book-l2", "supervisord does not know it"),
        ("warning", "kraken-md", "pid 7 holds its role and is no child of supervisord, whose pid "
         f"{had['kraken-md'].pid} waits"),
    ]  # fmt: skip
    assert "refused): nobody restarts" in found_in(replace(look, supervisor=None, supervisor_fault="refused"))[0][2]
    assert examine(replace(look, ends={"ledger": 2})) == []


def test_the_dead_the_stuck_and_the_unready_differ(desk: DeskConfig) -> None:
    model = model_of(desk, dead(well(desk), "kraken-trd"))
    stuck = look_of(desk, model)
    assert found_in(stuck)[0][:2] == ("critical", "kraken-trd")
    assert "stuck: pid" in found_in(stuck)[0][2]
    gone = replace(stuck, supervisor={**(stuck.supervisor or {}), "kraken-trd": Supervised("EXITED", 0)})
    assert "dead: silent" in found_in(gone)[1][2]
    unready = with_pages(desk, "kraken-md", readiness="RECOVERING", reason="DISCONNECTED: refused")
    assert found_in(look_of(desk, unready)) == [("warning", "kraken-md", "RECOVERING DISCONNECTED: refused")]
    (full,) = examine(
        look_of(desk, with_pages(desk, "kraken-trd", readiness="DEGRADED", reason="the disk is full (x)"))
    )
    assert full.see.endswith("#the-disk-is-full")


def test_builds_and_configurations_are_held_against_each_other_and_the_disk(desk: DeskConfig) -> None:
    (one,) = examine(look_of(desk, with_pages(desk, "kraken-md", build="b2")))
    assert (one.subject, one.do) == ("build", "qd restart kraken-md")
    (all_,) = examine(look_of(desk, config_on_disk="c2"))
    assert (all_.subject, "every process runs another one than the file" in all_.seen) == ("configuration", True)


def test_gate_lease_and_kill_switch(desk: DeskConfig) -> None:
    sight = well(desk)
    words = {**sight.gate.scopes, "desk": GateWord(4, GateState.TRIPPED), "strategy:q": GateWord(4, GateState.DISARMED)}
    gate = replace(sight.gate, state="TRIPPED", scopes=words, lease_mono_ns=MONO - 1_000_000_000)
    told = [{"scope": "desk", "generation": 4, "cause": "limit", "reason": "too many", "working": 2, "uncertain": 1}]
    model = model_of(desk, replace(sight, gate=gate), scopes=told, blockers=["kraken-trd: build"], faults=["disk"])
    assert found_in(look_of(desk, model)) == [
        ("critical", "lease", "it lapsed 1.0 s ago: no new order leaves"),
        ("critical", "desk", "TRIPPED (limit): too many, 3 orders not proven dead"),
        ("warning", "strategy:q", "DISARMED: no new order leaves"),
        ("warning", "killswitch", "disk"),
        ("warning", "killswitch", "would not arm: kraken-trd: build"),
    ]
    silent = model_of(desk)
    silent.kill_status("nobody answers")
    assert found_in(look_of(desk, silent)) == [("critical", "killswitch", "does not answer: nobody answers")]


def test_books_that_are_not_live_for_one_reason_are_one_line(desk: DeskConfig) -> None:
    sight = well(desk)
    books = tuple(
        replace(b, status="STALE", reason="SESSION") if b.instrument.venue == "kraken" and b.level == 2 else b
        for b in sight.books
    )
    (line,) = examine(look_of(desk, model_of(desk, replace(sight, books=books))))
    assert line.subject == "kraken BTC-USD L2, kraken ETH-USD L2"
    assert (line.severity, line.seen) == ("warning", "STALE SESSION, from kraken-md")


def test_people_orders_disks_ledger_drill_clock_and_logs(desk: DeskConfig) -> None:
    model = model_of(desk)
    hear(model, order("o1", "UNCERTAIN"))
    model.alarms([
        Alarm(4, "ledger", "break", "x", "warning", "a break", 1, 1),
        Alarm(5, "kraken-trd", "disk_full", "", "critical", "full", 1, 1),
        Alarm(6, "a", "b", "", "critical", "c", 1, 1, acked_ns=5),
    ])  # fmt: skip
    look = look_of(
        desk, model, rooms={"log_dir": Room("ext4", 1, 500 << 20, 0), "shm_dir": Room("", 0, 0, 0, "denied")},
        ledger={"breaks": 2}, drill="the last drill was 40 days ago", clock=Clock(False, 0),
        logs={"kraken-md": LogSeen(2, "later")}, losses={"book-l2": {"holes in topics": 4}},
    )  # fmt: skip
    said = [(f.severity, f.subject) for f in examine(look)]
    assert said == [
        ("critical", "orders"), ("critical", "alarm 5"), ("warning", "alarm 4"), ("warning", "log_dir"),
        ("warning", "shm_dir"), ("warning", "ledger"), ("warning", "drill"), ("warning", "clock"),
        ("warning", "log of kraken-md"), ("note", "book-l2"),
    ]  # fmt: skip
    notes = look_of(desk, clock=Clock(False, 0), environment="sim", losses=look.losses)
    assert {f.severity for f in examine(notes)} == {"note"}
    assert healthy(examine(notes))
    assert "version 9" in found_in(look_of(desk, ledger="version 9"))[0][2]


def test_each_finding_points_to_a_section_that_there_is() -> None:
    """Every page and anchor that the module names."""
    text = (ROOT / "quarterdeck" / "doctor.py").read_text()
    named = set(re.findall(r'"([\w-]+\.md(?:#[\w-]+)?)"', text)) | {
        f"runbook.md#{a}" for a in re.findall(r'"(a-[\w-]+)"', text) + re.findall(r"_RUNBOOK\}([\w-]+)", text)
    }
    assert len(named) > 10
    for reference in named:
        page, _, anchor = reference.partition("#")
        heads = re.findall(r"(?m)^#+ (.*)$", (ROOT / "docs" / page).read_text())
        anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in heads}
        assert not anchor or anchor in anchors, reference


def test_errors_of_a_log_are_counted_from_a_moment_on(tmp_path: Path) -> None:
    now = time.time()

    def line(ago_s: int, level: str, text: str) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now - ago_s))
        return f"{at}.000Z {level} 77 host {text}\n"

    (tmp_path / "x.log.1").write_text(line(2000, "ERROR", "old") + line(600, "ERROR", "first"))
    (tmp_path / "x.log").write_text(line(300, "INFO", "ERROR of no level") + line(60, "CRITICAL", "then") + "torn")
    seen = error_lines(tmp_path / "x.log", now - 900)
    assert (seen.lines, seen.last.endswith("Z host then")) == (2, True)
    assert error_lines(tmp_path / "none.log", 0) == SeenInLog(0, "")


def test_unexpected_ends_are_read_from_supervisords_own_log(tmp_path: Path) -> None:
    now = time.time()

    def line(ago_s: int, text: str) -> str:
        return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(now - ago_s))},123 {text}\n"

    (tmp_path / "supervisord.log").write_text(
        line(5000, "WARN exited: a (exit status 1; not expected)")
        + line(50, "WARN exited: a (exit status 1; not expected)")
        + line(40, "INFO exited: a (terminated by SIGKILL; not expected)")
        + line(30, "INFO exited: b (exit status 0; expected)")
        + line(20, "INFO stopped: c (exit status 0)")
    )
    assert unexpected_ends(tmp_path / "supervisord.log", now - 900) == {"a": 2}


def test_the_command_says_what_is_found_and_that_it_cannot_look(
    desk: DeskConfig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quarterdeck.doctor_look.SETTLE_S", 0.0)
    assert cli.main(["doctor", str(desk.path)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "CRITICAL desk: no process of it runs, nor a supervisord; qd up (docs/runbook.md#the-desk-does-not-start)",
        "1 finding(s)",
    ]
    assert cli.main(["doctor", str(desk.path), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["healthy"], said["desk"]["state"]) == (False, "DOWN")
    assert [msgspec.convert(f, Finding) for f in said["findings"]] == examine(look_at(desk))
    assert cli.main(["doctor", str(desk.path.with_name("none.toml"))]) == 2
    assert "cannot look: " in capsys.readouterr().err


def test_who_may_not_look_is_not_told_that_nothing_is_there(
    desk: DeskConfig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.run_dir.mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: path != desk.run_dir)  # root, who may run this, may do anything
    assert cli.main(["doctor", str(desk.path)]) == 2
    assert f"cannot look: {desk.run_dir}: this user may not; look as root" in capsys.readouterr().err
