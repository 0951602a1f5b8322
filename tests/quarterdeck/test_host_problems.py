"""What `qd check` says of a host: each fact judged by itself, from facts that no host has to have."""

import json
import os
import shutil
from pathlib import Path

import msgspec
import pytest

from base.config import DeskConfig, load
from ipc.books import create_region, shard_specs
from quarterdeck import cli
from quarterdeck.host_facts import Clock, HostFacts, Room, SecretFile, read_host, read_room, read_secret
from quarterdeck.host_problems import HostFinding, host_findings, look_at_host, shm_bytes

MIB = 1 << 20
DESK = """
[desk]
name = "d"
{desk}
[kill]
{kill}
[kill.health.disk]
min_free_mb = 500

[venue.v]
dialect = "fix44"
instruments = [{{ name = "BTC-USD", symbol = "BTC/USD", px_scale = 2, qty_scale = 8 }}]
[venue.v.rest]
address = "https://v.example"
key = "file:/secrets/key"
{rest}
[session.trd]
venue = "v"
kind = "trading"
address = "v.example:1"
sender_comp_id = "A"
target_comp_id = "V"
username = "file:/secrets/user"
journal_mb = 300
[session.own]
venue = "v"
kind = "trading"
address = "v.example:1"
sender_comp_id = "B"
target_comp_id = "V"
username = "file:/secrets/own"
journal_mb = 100
[session.md]
venue = "v"
kind = "marketdata"
address = "v.example:1"
sender_comp_id = "C"
target_comp_id = "V"
level = 3
[book.b]
sessions = ["md"]
orders = 5000
"""
APART = ('user = "qd"', 'user = "qd-kill"\nsessions = ["own"]')


def made(folder: Path, desk: str = "", kill: str = 'sessions = ["own"]', rest: str = "") -> DeskConfig:
    """A production desk in `folder`."""
    path = folder / "config" / "d.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(DESK.format(desk=desk, kill=kill, rest=rest))
    return load(path)


def well(desk: DeskConfig, **changes: object) -> HostFacts:
    """A host with nothing to be said against it, and what is to be different."""
    roomy = Room("ext4", 1, 10_000 * MIB, 0)
    rooms = {str(desk.data_dir): roomy, str(desk.log_dir): Room("ext4", 2, 10_000 * MIB, 0)}
    secrets = {"/secrets/key": SecretFile(7, 0o600), "/secrets/user": SecretFile(7, 0o600)}
    facts = HostFacts(
        clock=Clock(True, 300),
        limits={"nofile": (1024, 65536), "core": (0, 0), "rtprio": (0, 0)},
        rooms={**rooms, str(desk.shm_dir): Room("tmpfs", 3, 10_000 * MIB, 0)},
        swap_mb=0, swappiness=60, users={"qd": 7, "qd-kill": 8},
        secrets={**secrets, "/secrets/own": SecretFile(8, 0o600), "/secrets/kill": SecretFile(8, 0o600)},
        programs={"setpriv": True}, cpus=tuple(range(16)), isolated="1-15", kernel=(6, 12), uid=1000,
    )  # fmt: skip
    return msgspec.structs.replace(facts, **changes)


def of(found: list[HostFinding], what: str) -> HostFinding:
    (one,) = [f for f in found if f.what == what]
    return one


def test_a_host_with_everything_in_order_is_ok_in_every_line(tmp_path: Path) -> None:
    desk = made(tmp_path, *APART, rest='kill_key = "file:/secrets/kill"\nkill_secret = "file:/secrets/kill"')
    found = host_findings(desk, well(desk))
    assert {f.level for f in found} == {"OK"}
    assert {f.what for f in found} == {
        "clock", "open files", "core dumps", "data_dir", "log_dir", "shm_dir", "swap", "desk.user", "kill.user",
        "secrets", "run_dir", "CPUs", "kernel",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("what", "changes", "level", "says"),
    [
        ("clock", {"clock": Clock(False, 0)}, "PROBLEM", "nothing synchronises it; run chrony"),
        ("clock", {"clock": Clock(True, 100_001)}, "PROBLEM", "100001 us"),
        ("clock", {"clock": Clock(None, 0, "adjtimex: not permitted")}, "ADVICE", "not known whether"),
        ("open files", {"limits": {"nofile": (9, 4095), "core": (0, 0)}}, "PROBLEM", "at most 4095 a process; raise"),
        ("open files", {"limits": {"nofile": (9, -1), "core": (0, 0)}}, "OK", "any number"),
        ("core dumps", {"limits": {"nofile": (9, -1), "core": (1, 1)}}, "ADVICE", "holds the venues' secrets"),
        ("swap", {"swap_mb": 100}, "ADVICE", "100 MiB, vm.swappiness 60; swapoff"),
        ("swap", {"swap_mb": 100, "swappiness": 1}, "OK", "vm.swappiness 1"),
        ("swap", {"swap_mb": None}, "ADVICE", "not known"),
        ("kernel", {"kernel": (6, 11)}, "ADVICE", "no short time slices; kill.realtime_priority"),
        ("CPUs", {"cpus": (0, 1)}, "ADVICE", "2 for 4 processes that compute, isolated: 1-15; they share (docs/"),
        ("CPUs", {"isolated": ""}, "ADVICE", "leave 0 to the host, 1,2 to kill switch and trading"),
    ],
)
def test_each_fact_has_its_line(what: str, changes: dict[str, object], level: str, says: str, tmp_path: Path) -> None:
    desk = made(tmp_path)
    line = of(host_findings(desk, well(desk, **changes)), what)
    assert line.level == level
    assert says in str(line)


def test_the_worst_comes_first_and_only_production_has_problems(tmp_path: Path) -> None:
    desk, bad = made(tmp_path), {"clock": Clock(False, 0), "swap_mb": 5}
    assert [f.level for f in host_findings(desk, well(desk, **bad))][:3] == ["PROBLEM", "ADVICE", "OK"]
    sim = made(tmp_path, 'environment = "sim"')
    assert of(host_findings(sim, well(sim, **bad)), "clock").level == "ADVICE"


def test_room_is_what_is_still_to_come_and_what_the_kill_switch_wants_free(tmp_path: Path) -> None:
    desk = made(tmp_path)

    def lines(data: Room, log: Room) -> list[HostFinding]:
        rooms = {str(desk.data_dir): data, str(desk.log_dir): log}
        return host_findings(desk, well(desk, rooms={**well(desk).rooms, **rooms}))

    log = Room("ext4", 2, 10_000 * MIB, 0)
    assert of(lines(Room("ext4", 1, 900 * MIB, 0), log), "data_dir").level == "OK"  # 300 + 100 + 500
    short = of(lines(Room("ext4", 1, 899 * MIB, 0), log), "data_dir")
    assert (short.level, short.do) == ("PROBLEM", "1 MiB more, so that 500 MiB stay free (kill.health)")
    assert of(lines(Room("ext4", 1, 500 * MIB, 400 * MIB), log), "data_dir").level == "OK"
    assert "not known: /x: gone" in of(lines(Room("", 0, 0, 0, "/x: gone"), log), "data_dir").seen
    one = lines(Room("ext4", 1, 1099 * MIB, 0), Room("ext4", 1, 1099 * MIB, 0))  # and 200 of logs
    assert of(one, "data_dir and log_dir").level == "PROBLEM"
    assert of(one, "disk").level == "ADVICE"


def test_shm_dir_must_be_memory_with_room_for_what_the_books_allocate(tmp_path: Path) -> None:
    desk = made(tmp_path)
    (tmp_path / "shm").mkdir()
    create_region(tmp_path / "shm" / "book-b", shard_specs(desk, "b")).close()
    region = (tmp_path / "shm" / "book-b").stat().st_size
    assert region > 5000 * 8
    assert shm_bytes(desk) == 2 * region + 4 * MIB  # kill switch, book, feed and trading
    need = shm_bytes(desk) + 500 * MIB
    for free, used, level in ((need, 0, "OK"), (need - MIB, 0, "PROBLEM"), (need - MIB, MIB, "OK")):
        rooms = {**well(desk).rooms, str(desk.shm_dir): Room("tmpfs", 3, free, used)}
        assert of(host_findings(desk, well(desk, rooms=rooms)), "shm_dir").level == level
    rooms = {**well(desk).rooms, str(desk.shm_dir): Room("ext4", 3, need, 0)}
    said = [f for f in host_findings(desk, well(desk, rooms=rooms)) if f.what == "shm_dir"]
    assert [(f.level, "is on ext4" in f.seen) for f in said] == [("PROBLEM", True), ("OK", False)]


def test_real_time_priority_must_be_permitted_where_it_is_wanted(tmp_path: Path) -> None:
    desk = made(tmp_path, kill='realtime_priority = 30\nsessions = ["own"]')
    assert of(host_findings(desk, well(desk)), "real-time priority").level == "PROBLEM"
    assert of(host_findings(desk, well(desk, uid=0)), "real-time priority").level == "OK"
    assert of(host_findings(desk, well(desk, kernel=(5, 1))), "kernel").level == "OK"


def test_users_exist_and_each_secret_belongs_to_the_one_that_reads_it(tmp_path: Path) -> None:
    desk = made(tmp_path, *APART)
    missing = host_findings(desk, well(desk, users={"qd": 7, "qd-kill": None}, programs={"setpriv": False}))
    gone, program = [f for f in missing if f.what == "kill.user"]
    assert "'qd-kill' is no user of this host; useradd --system" in str(gone)
    assert (program.level, "setpriv" in program.seen) == ("PROBLEM", True)
    # Without kill_key the kill switch reads the desk's: as another user it may not.
    shared = of(host_findings(desk, well(desk)), "venue.v.rest.key")
    assert (shared.level, "a key of its own (kill_*)" in shared.do) == ("PROBLEM", True)
    apart = made(tmp_path, *APART, rest='kill_key = "file:/secrets/kill"\nkill_secret = "file:/secrets/kill"')
    secrets = {**well(apart).secrets, "/secrets/own": SecretFile(7, 0o600), "/secrets/user": SecretFile(0, 0o600)}
    found = host_findings(apart, well(apart, secrets=secrets))
    assert "/secrets/own belongs to user 7, and qd-kill is to read it" in of(found, "session.own.username").seen
    assert "/secrets/user belongs to user 0, and qd is to read it" in of(found, "session.trd.username").seen
    assert not [f for f in found if f.what == "secrets"]


def test_a_run_dir_too_deep_for_its_sockets_is_a_problem(tmp_path: Path) -> None:
    desk = made(tmp_path, f'run_dir = "/{"x" * 85}"')
    line = of(host_findings(desk, well(desk)), "run_dir")
    assert (line.level, line.do) == ("PROBLEM", "a run_dir that is 3 bytes shorter")
    desk = made(tmp_path, f'run_dir = "/{"x" * 82}"')
    assert of(host_findings(desk, well(desk)), "run_dir").level == "OK"


def test_the_facts_are_those_of_this_host(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x" * 5000)
    (tmp_path / "secret").chmod(0o640)
    host = read_host([tmp_path / "not" / "yet"], ["root", "no-such-user"], [tmp_path / "secret", tmp_path / "none"])
    room = host.rooms[str(tmp_path / "not" / "yet")]
    assert (room.device, room.used, room.why) == (tmp_path.stat().st_dev, 0, "")
    assert abs(room.free - shutil.disk_usage(tmp_path).free) < 1000 * MIB
    assert read_room(tmp_path).used > 0
    assert read_room(Path("/proc/self")).file_system == "proc"
    assert host.users == {"root": 0, "no-such-user": None}
    assert host.secrets == {
        str(tmp_path / "secret"): SecretFile(os.geteuid(), 0o640), str(tmp_path / "none"): SecretFile(-1, 0),
    }  # fmt: skip
    assert read_secret(tmp_path / "none").uid == -1
    assert host.cpus == tuple(sorted(os.sched_getaffinity(0)))
    assert host.kernel == tuple(int(n) for n in os.uname().release.split(".")[:2])
    assert (host.clock.synchronised is None) == bool(host.clock.why)


def test_check_counts_the_hosts_problems_unless_it_is_to_leave_it_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = made(tmp_path, f'run_dir = "{"x" * 99}"')

    def said(*flags: str) -> tuple[int, dict[str, object]]:
        status = cli.main(["check", str(desk.path), "--json", *flags])
        return status, json.loads(capsys.readouterr().out)

    status, whole = said()
    assert status == 1
    assert whole["host"] == json.loads(msgspec.json.encode(look_at_host(desk)))
    _, without = said("--no-host")
    assert without["host"] == []
    problems = sum(f.level == "PROBLEM" for f in look_at_host(desk))
    assert problems >= 1
    assert int(str(whole["wrong"])) - int(str(without["wrong"])) == problems
    cli.main(["check", str(desk.path)])
    assert "PROBLEM run_dir: " in capsys.readouterr().out
