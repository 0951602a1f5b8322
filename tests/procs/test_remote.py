"""One desk on a simulated venue, its clients on another host as it were: ours, and one that has none of our code."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest
import zmq

import quarterdeck as qd
from ipc.readiness import read_status
from ipc.remote_keys import Allowed, ClientKey, Role, ServerKey, new_pair, write_new
from ipc.requests import ListOrders, Ops
from tests.procs.sim_desk import ROOT, SimDesk

MORE = """
[session.md]
venue = "x"
kind = "marketdata"
address = "run:sim-x#marketdata"
ca_file = "run:sim-x.ca.pem"
server_name = "localhost"
sender_comp_id = "MD1"
target_comp_id = "KRAKEN-MD"
username = "run:secrets/md.key"
password = "run:secrets/md.secret"

[book.one]
sessions = ["md"]
levels = 1000

[remote]
host = "127.0.0.1"
port = 0
events_port = 0
"""


class Desk(SimDesk):
    """With market data and a forwarder."""

    def __init__(self) -> None:
        super().__init__("kraken", session=MORE)
        self.keys = self.desk.data_dir / "keys"
        self.server = ServerKey(*new_pair())
        write_new(self.keys / "server.key", self.server)

    def key(self, name: str, role: Role) -> Path:
        key = ClientKey(name, *new_pair(), self.server.public)
        write_new(self.root / f"{name}.key", key)
        write_new(self.keys / "clients" / f"{name}.json", Allowed(name, role, key.public))
        return self.root / f"{name}.key"

    def begin(self, name: str, *arguments: str) -> None:
        command = [sys.executable, "-m", *arguments, "--config", str(self.desk.path)]
        with open(self.root / f"{name}.out", "ab") as out:
            env = {**os.environ, "PYTHONPATH": str(ROOT)}
            self.processes[name] = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=out)

    def start(self) -> None:
        self.begin("forwarder", "procs.forwarder")
        self.begin("md", "procs.marketdata", "--session", "md")
        super().start()
        for name in ("forwarder", "md"):
            self.wait(lambda n=name: self.readiness(n) == "READY", f"{name} ready")  # type: ignore[misc]
        with qd.connect(self.address, keys=self.key("first", Role.OPERATOR), timeout=20) as client:
            commands = {
                "trd": ListOrders(client.client_id, "1", 0),
                "killswitch": Ops(client.client_id, "1", 0, "status"),
            }
            for process, command in commands.items():
                self.wait(lambda p=process, c=command: client.request(p, c, 20).accepted, f"{process} in reach")  # type: ignore[misc]

    @property
    def address(self) -> str:
        note = msgspec.json.decode((self.desk.run_dir / "forwarder.json").read_bytes())
        return f"tcp://127.0.0.1:{note['port']}"


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    desk = Desk()
    try:
        desk.start()
        yield desk
    finally:
        desk.close()


def plain(desk: Desk, folder: Path, *arguments: str) -> dict[str, Any]:
    """What examples/plain.py printed last, run where nothing can be imported but ZeroMQ and MessagePack."""
    site = Path(zmq.__file__).parents[1]
    for name in ("zmq", "pyzmq.libs", "msgpack"):
        if (site / name).exists() and not (folder / name).exists():
            (folder / name).symlink_to(site / name)
    assert Path(msgpack.__file__).parents[1] == site
    code = (
        f"import sys; sys.path.append({str(folder)!r}); import importlib.util as u, runpy; "
        "assert not any(u.find_spec(n) for n in ('ipc', 'base', 'quarterdeck', 'msgspec')); "
        f"sys.argv = sys.argv[1:]; runpy.run_path({str(ROOT / 'examples' / 'plain.py')!r}, run_name='__main__')"
    )
    command = [sys.executable, "-I", "-S", "-c", code, "plain.py", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr + desk.logs()
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_strategy_on_another_host_trades_as_on_the_desks_own(desk: Desk) -> None:
    with qd.connect(desk.address, keys=desk.key("ann", Role.TRADER), strategy="demo", timeout=20) as client:
        assert client.paper
        book = client.book("x", "BTC-USD")
        desk.place_working()  # nobody else is in the book
        assert client.wait_until(lambda: book.bbo_any()[0] == 1 and book.bbo()[0] > 0, 60)
        bid = book.bbo()[0]
        client.subscribe("exec.trd", replay=True)
        order = client.place("x", "BTC-USD", qd.BUY, "0.01", qd.decimal(bid // 2, book.px_scale))
        desk.wait(lambda: order.cl_ord_id in desk.working(), "it works at the venue")
        client.cancel(order.cl_ord_id)
        assert client.wait_until(lambda: order.state == "CANCELED", 60), order.state
        assert order.cl_ord_id not in desk.working()
        assert {"trd", "md", "killswitch", "forwarder"} <= {p.process for p in client.health().processes}


def test_an_operator_on_another_host_trips_and_a_trader_does_not(desk: Desk) -> None:
    with qd.connect(desk.address, keys=desk.key("tom", Role.TRADER), timeout=20) as client:
        answer = client.request("killswitch", ops(client, "trip"), 20)
        assert "trip needs an operator's" in answer.reason
    assert desk.status()["desk"] == "ARMED"
    with qd.connect(desk.address, keys=desk.key("olivia", Role.OPERATOR), timeout=20) as client:
        answer = client.request("killswitch", ops(client, "trip"), 20)
        assert answer.accepted, answer.reason
    desk.proven()
    assert desk.last_trip()["reason"] == "by olivia"
    desk.reset()


def ops(client: qd.Desk, verb: str) -> Ops:
    return Ops(client.client_id, f"{verb}-1", 0, verb, {"scope": "desk", "by": "somebody else"})


def test_a_client_without_our_code_hears_replays_trades_and_cancels(desk: Desk, tmp_path: Path) -> None:
    desk.place_working()  # so that there is something to be replayed
    words = ("trd", "md", "x", "BTC-USD", "1000000")
    here = plain(desk, tmp_path, str(desk.desk.run_dir), *words)
    away = plain(desk, tmp_path, desk.address, *words, "--key", str(desk.key("pete", Role.TRADER)))
    for found in (here, away):
        assert found["states"][-1] == "CANCELED"
        assert found["replayed"] > 0
        assert any(gap.startswith("exec.trd: a hole: 1 to ") for gap in found["gaps"])
    assert away["replayed"] > here["replayed"]
    assert read_status(desk.desk.shm_dir / "proc" / "forwarder").readiness == "READY"
