"""A simulated venue as a process: `qd sim` alone, and a desk's own."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from base.config import load
from base.errors import ConfigError, SecretError
from sim.desk import ensure_secrets, module_of, setup_of
from tests.sim.client import Client
from tests.sim.server import call

ROOT = Path(__file__).parents[2]
DESK = """
[desk]
name = "t"
environment = "sim"
shm_dir = "{folder}/shm"

[venue.plain]
dialect = "fix44"
instruments = [{{ name = "BTC-USD", symbol = "BTCUSD", px_scale = 2, qty_scale = 6 }}]

[session.one]
venue = "plain"
kind = "trading"
address = "run:sim-plain#trading"
sender_comp_id = "ONE"
alternate_sender_comp_id = "ONEB"
target_comp_id = "V"
username = "run:secrets/key"
password = "run:secrets/secret"

[session.md]
venue = "plain"
kind = "marketdata"
address = "run:sim-plain#marketdata"
sender_comp_id = "MD"
target_comp_id = "V"

[sim.plain]
messages_per_s = 50
replay = "{folder}/config"
"""


def qd(*arguments: str, check: bool = True) -> Any:
    """One `qd sim` call that ends by itself."""
    done = subprocess.run(
        [sys.executable, "-m", "quarterdeck.cli", "sim", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    if not check:
        return done
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Process:
    """A process that prints a line of JSON, or whose address file appears."""

    def __init__(self, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, **(env or {})}
        )

    def line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        said: dict[str, Any] = json.loads(self.process.stdout.readline())
        return said

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[dict[str, Any]]:
    process = Process("-m", "quarterdeck.cli", "sim", "fix44", "--port", "0", "--seed", "7", "--run-dir", str(tmp_path))
    try:
        yield process.line()
    finally:
        assert process.end() == 0


@pytest.mark.e2e
def test_alone_it_says_where_it_listens_and_who_may_log_on(alone: dict[str, Any], tmp_path: Path) -> None:
    assert json.loads(Path(alone["address_file"]).read_text())["address"] == alone["address"]
    credentials = Path(alone["credentials_file"])
    assert credentials.stat().st_mode & 0o777 == 0o600
    who = json.loads(credentials.read_text())["sessions"][0]
    client = Client(alone["address"], alone["ca_file"], who["sender_comp_id"], who["target_comp_id"])
    client.send("A", [(98, 0), (108, 30), (141, "Y"), (553, who["username"]), (554, who["password"])])
    client.expect("A")
    assert qd("stats", "fix44", "--run-dir", str(tmp_path))["logons"] == 1
    assert qd("fault", "fix44", "disconnect", "logout=1", "--run-dir", str(tmp_path))["struck"] == 1
    client.expect("5")
    refused = qd("fault", "fix44", "nonsense", "--run-dir", str(tmp_path), check=False)
    assert (refused.returncode, "no fault 'nonsense'" in refused.stderr) == (1, True)


@pytest.mark.e2e
def test_a_port_in_use_is_an_error_of_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = qd("fix44", "--port", str(port), "--run-dir", str(tmp_path), check=False)
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.e2e
def test_a_call_to_a_venue_that_does_not_run_says_so(tmp_path: Path) -> None:
    done = qd("stats", "kraken", "--run-dir", str(tmp_path), check=False)
    assert (done.returncode, "no simulated venue 'kraken' runs there" in done.stderr) == (1, True)


def desk(folder: Path) -> Path:
    (folder / "config").mkdir()
    path = folder / "config" / "desk.toml"
    path.write_text(DESK.format(folder=folder))
    return path


@pytest.mark.e2e
def test_a_desks_venue_takes_instruments_and_credentials_from_it(tmp_path: Path) -> None:
    path = desk(tmp_path)
    process = Process("-m", "procs.simvenue", "--config", str(path), "--venue", "plain", env={"QD_STATE_DIR": ""})
    try:
        address = _wait(tmp_path / "run" / "sim-plain.json")
        key, secret = ((tmp_path / "run" / "secrets" / name).read_text() for name in ("key", "secret"))
        for sender in ("ONE", "ONEB"):
            client = Client(address["endpoints"]["trading"], address["ca_file"], sender, "V")
            client.send("A", [(98, 0), (108, 30), (141, "Y"), (553, key), (554, secret)])
            client.expect("A")
        md = Client(address["endpoints"]["marketdata"], address["ca_file"], "MD", "V")
        md.send("A", [(98, 0), (108, 30), (141, "Y")])
        md.expect("A")
        md.send("V", [(262, "r"), (263, 1), (264, 0), (265, 1), (267, 2), (269, 0), (269, 1), (146, 1), (55, "BTCUSD")])
        assert len(md.expect("W").all(269)) > 100
        md.expect("X")
        stats = call(address["endpoints"]["control"], "GET", "/stats")[1]
        assert (stats["logons"], stats["source"]) == (3, "flow")  # the folder that it should replay has nothing for it
    finally:
        assert process.end() == 0
    assert not (tmp_path / "run" / "sim-plain.json").exists()


def _wait(path: Path) -> Any:
    for _ in range(400):
        if path.exists():
            return json.loads(path.read_text())
        signal.sigtimedwait([], 0.05)
    raise AssertionError(f"{path} did not appear")


def test_secrets_are_made_once_and_kept_private(tmp_path: Path) -> None:
    config = load(desk(tmp_path))
    made = ensure_secrets(config)
    assert sorted(p.name for p in made) == ["key", "secret"]
    assert {p.stat().st_mode & 0o777 for p in made} == {0o600}
    before = [p.read_text() for p in made]
    assert ensure_secrets(config) == []
    assert [p.read_text() for p in made] == before
    setup = setup_of(config, "plain")
    assert {(g.sender, g.kind, g.password) for g in setup.grants} == {
        ("ONE", "trading", before[1]),
        ("ONEB", "trading", before[1]),
        ("MD", "marketdata", ""),
    }
    assert before[1] not in repr(setup)


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    config = load(desk(tmp_path))
    for path in ensure_secrets(config):
        path.chmod(0o644)
    with pytest.raises(SecretError, match="0644"):
        setup_of(config, "plain")


def test_unknown_venues_and_dialects_are_named(tmp_path: Path) -> None:
    config = load(desk(tmp_path))
    with pytest.raises(ConfigError, match=r"no \[sim.other\]"):
        setup_of(config, "other")
    for name in ("nowhere", "../x"):
        with pytest.raises(ConfigError, match=re.escape(name)):
            module_of(name)
