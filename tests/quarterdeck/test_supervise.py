"""supervisord's side of a desk: what is rendered, what is committed, and what supervisord itself reads from it."""

import os
import pwd
import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from base.config import DeskConfig, load
from base.errors import ConfigError
from ipc.roster import roster
from quarterdeck.config_problems import problems
from quarterdeck.supervise import INCLUDE, make_places, render_programs, write_conf
from tests.ipc.bus_tools import wait_for

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> DeskConfig:
    monkeypatch.delenv("QD_STATE_DIR", raising=False)
    return load(ROOT / "config" / "desk.toml")


def read(path: Path) -> ServerOptions:
    """What supervisord makes of a configuration file."""
    options = ServerOptions()
    options.realize(["-c", str(path)])
    return options


def test_the_committed_include_is_what_is_rendered(desk: DeskConfig) -> None:
    assert (ROOT / INCLUDE).read_text() == render_programs(desk, "config/desk.toml", "%(here)s/../..")


def test_supervisord_reads_every_process_of_the_desk_in_its_group(desk: DeskConfig) -> None:
    groups = {g.name: g for g in read(ROOT / "supervisord.conf").process_group_configs}
    listener = groups.pop("informer")
    assert {(p.name, g.name) for g in groups.values() for p in g.process_configs} == {
        (r.name, r.group) for r in roster(desk)
    }
    assert {n: g.priority for n, g in groups.items()} == {r.group: r.priority for r in roster(desk)}
    assert min(groups.values(), key=lambda g: (g.name.startswith("sim"), g.priority)).name == "kill"
    assert listener.buffer_size >= 1000  # a burst of events must not be dropped


def test_every_program_is_stopped_in_order_retried_for_ever_and_never_blocks_on_its_pipe() -> None:
    for group in read(ROOT / "supervisord.conf").process_group_configs:
        for program in group.process_configs:
            assert program.startretries >= 1_000_000
            assert program.stopsignal.name == "SIGTERM"
            assert program.stopwaitsecs >= 10  # an orderly stop waits as long for the venue's word
            assert program.autorestart
            assert program.stderr_logfile is None
            assert program.name == "informer" or program.stdout_logfile is None


def test_it_means_the_same_from_any_directory_and_any_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    found = read(ROOT / "supervisord.conf")
    programs = [p for g in found.process_group_configs for p in g.process_configs]
    assert {os.path.realpath(p.directory) for p in programs} == {str(ROOT)}
    for program in programs:  # the interpreter of the virtual environment, not whatever the shell would find
        assert program.get_path()[0] == str(ROOT / ".venv" / "bin")
        assert program.command.startswith("python -m procs.")
        assert "--config config/desk.toml" in program.command


def test_the_socket_is_for_its_owner_alone(desk: DeskConfig, tmp_path: Path) -> None:
    for path in (ROOT / "supervisord.conf", write_conf(moved(tmp_path), ROOT)):
        (server,) = read(path).server_configs
        assert server["chmod"] == 0o700


def moved(folder: Path, name: str = "desk") -> DeskConfig:
    """The default desk somewhere else."""
    (folder / name / "config").mkdir(parents=True)
    path = folder / name / "config" / "desk.toml"
    path.write_text((ROOT / "config" / "desk.toml").read_text())
    return load(path)


@pytest.mark.parametrize("name", ["plain", "with space", "per%cent", "quo'te"])
def test_another_desk_gets_a_whole_configuration_wherever_it_lies(tmp_path: Path, name: str) -> None:
    desk = moved(tmp_path, name)
    found = read(write_conf(desk, ROOT))
    programs = {p.name: p for g in found.process_group_configs for p in g.process_configs}
    assert set(programs) == {r.name for r in roster(desk)} | {"informer"}
    for program in programs.values():
        arguments = shlex.split(program.command)  # as supervisord splits it
        assert arguments[arguments.index("--config") + 1] == str(desk.path)
        assert program.directory == str(ROOT)
    assert found.pidfile == str(desk.run_dir / "supervisord.pid")
    assert found.logfile == str(desk.log_dir / "supervisord.log")
    assert (desk.run_dir.stat().st_mode & 0o777) == 0o700


@pytest.mark.parametrize("name", ["a ;b", "%(here)s"])
def test_a_path_that_supervisord_cannot_be_given_is_named(tmp_path: Path, name: str) -> None:
    desk = moved(tmp_path, name)
    with pytest.raises(ConfigError, match=rf"{re.escape(name)}.*supervisord cannot be given"):
        write_conf(desk, ROOT)


@pytest.mark.parametrize("cwd", [ROOT, Path("/")], ids=["here", "elsewhere"])
def test_plain_supervisord_takes_the_committed_configuration(cwd: Path, tmp_path: Path) -> None:
    """With the real program: a free-standing copy in which every command is replaced by one that ends."""
    (tmp_path / "config" / "supervisor").mkdir(parents=True)
    for folder in ("run", "log"):
        (tmp_path / folder).mkdir()
    main = (ROOT / "supervisord.conf").read_text()
    (tmp_path / "supervisord.conf").write_text(main.replace("python -m procs.informer", "false "))
    include = (ROOT / INCLUDE).read_text()
    lines = [f"command=touch started-{i}" if x.startswith("command=") else x for i, x in enumerate(include.split("\n"))]
    text = "\n".join(lines).replace("autorestart=true", "autorestart=false").replace("startsecs=1", "startsecs=0")
    (tmp_path / INCLUDE).write_text(text)
    command = [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(tmp_path / "supervisord.conf")]
    expected = include.count("[program:")
    with subprocess.Popen(command, cwd=cwd, env={"PATH": "/usr/bin:/bin"}) as process:
        try:
            wait_for(
                lambda: len(list(tmp_path.glob("started-*"))) == expected, "every program was started in its place"
            )
            assert (tmp_path / "run" / "supervisor.sock").stat().st_mode & 0o777 == 0o700
        finally:
            process.terminate()
    assert process.returncode == 0


def with_users(folder: Path) -> DeskConfig:
    """The default desk, run by two users of this host."""
    text = (ROOT / "config" / "desk.toml").read_text()
    text = text.replace("[desk]\n", '[desk]\nuser = "nobody"\n').replace("[kill]\n", '[kill]\nuser = "daemon"\n')
    (folder / "config").mkdir()
    (folder / "config" / "desk.toml").write_text(text)
    return load(folder / "config" / "desk.toml")


def test_every_program_is_the_desks_users_and_the_kill_switch_its_own_with_no_more_than_it_needs(
    tmp_path: Path,
) -> None:
    desk = with_users(tmp_path)
    group = pwd.getpwnam("nobody").pw_gid
    make_places(desk)
    options = read(write_conf(desk, ROOT))
    programs = {p.name: p for g in options.process_group_configs for p in g.process_configs}
    kill = programs.pop("killswitch")
    assert kill.uid is None
    words = shlex.split(kill.command)
    assert words[: words.index("python")] == [
        "setpriv", "--reuid=daemon", f"--regid={group}", "--clear-groups", "--no-new-privs",
        "--bounding-set=-all,+kill,+dac_override", "--inh-caps=-all,+kill,+dac_override",
        "--ambient-caps=-all,+kill,+dac_override",
    ]  # fmt: skip
    assert {p.uid for p in programs.values()} == {pwd.getpwnam("nobody").pw_uid}
    assert stat.S_IMODE(desk.run_dir.stat().st_mode) == 0o750
    if os.geteuid() == 0:
        shared = [desk.run_dir, desk.run_dir / "lock", desk.log_dir, desk.log_dir / "fix", desk.data_dir]
        shared += [desk.shm_dir, desk.shm_dir / "proc", desk.shm_dir / "metrics"]
        assert {p.stat().st_uid for p in shared} == {pwd.getpwnam("nobody").pw_uid}
    shutil.rmtree(desk.shm_dir)


def test_a_user_that_is_not_there_is_named(tmp_path: Path) -> None:
    desk = with_users(tmp_path)
    desk.path.write_text(desk.path.read_text().replace('"nobody"', '"no-such-user"'))
    with pytest.raises(ConfigError, match=r"desk.user: 'no-such-user' is no user of this host"):
        render_programs(load(desk.path), "x", "y")


@pytest.mark.parametrize(
    ("user", "kill_user", "said"),
    [
        ("", "", "kill.user: none; a production desk's kill switch has a user of its own"),
        ("qd", "", "kill.user: none; a production desk's kill switch has a user of its own"),
        ("qd", "qd", "kill.user: 'qd' as everything else"),
        ("qd", "root", "kill.user: root can do more than it needs"),
        ("", "qd-kill", "desk.user: missing"),
        ("qd", "qd-kill", ""),
    ],
)
def test_one_user_for_everything_is_refused_in_production(tmp_path: Path, user: str, kill_user: str, said: str) -> None:
    text = (ROOT / "config" / "examples" / "kraken.toml").read_text()
    text = re.sub(r'(?m)^user = "quarterdeck"$', f'user = "{user}"', text)
    text = re.sub(r'(?m)^user = "quarterdeck-kill".*$', f'user = "{kill_user}"', text)
    (tmp_path / "desk.toml").write_text(text)
    found = [line for line in problems(load(tmp_path / "desk.toml")) if ".user: " in line]
    assert bool(found) == bool(said)
    assert all(said in line for line in found)
