"""The example programs, whole, as a strategy author starts them; tests/e2e/test_strategies.py has them on a desk
that runs.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import quarterdeck as qd
from base.config import DeskConfig
from ipc.books import BookReason, BookState
from ipc.events import ExecutionReport
from tests.ipc.bus_tools import wait_for
from tests.quarterdeck.stub import TradingStub, make_config
from tests.quarterdeck.test_consolidated import Venues, words

ROOT = Path(__file__).parents[2]


class Program:
    """One of examples/, and the lines that it prints."""

    def __init__(self, name: str, *arguments: str) -> None:
        command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), *arguments]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
        )

    def line(self) -> dict[str, object]:
        assert self.process.stdout is not None
        said: dict[str, object] = json.loads(self.process.stdout.readline())
        return said

    def stop(self, number: int = signal.SIGINT) -> list[dict[str, object]]:
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == (0 if number == signal.SIGINT else -number)
        return [json.loads(line) for line in rest.splitlines()]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def venues(tmp_path: Path) -> Iterator[Venues]:
    made = Venues(tmp_path)
    for venue in ("a", "b"):
        made.open(venue)
    made.say("a", words(1000, 1), words(1002, 1))
    made.say("b", words(10000, 1), words(10010, 1))
    yield made
    for owner in made.owners.values():
        owner.close()


def test_the_spread_watcher_tells_of_crosses_and_of_venues_that_do_not_count(venues: Venues) -> None:
    config = str(venues.desk.path)
    program = Program("spread_watcher", config, "--venues", "a,b", "--fee", "a=2.5", "--fee", "b=2.5")
    try:
        # What it says before the first change depends on nothing: both books are LIVE, and it is silent.
        venues.owners["b"].book("b", "BTC-USD").set_status(BookState.STALE, BookReason.GAP, 1)
        assert program.line() == {"what": "venues", "counted": ["a"], "left_out": {"b": "STALE (GAP)"}}
        venues.say("b", words(10050, 1), words(10060, 1))
        lines = [program.line(), program.line()]
        assert {"what": "venues", "counted": ["a", "b"], "left_out": {}} in lines
        (crossed,) = [line for line in lines if line["what"] == "crossed"]
        assert (crossed["bid"], crossed["bid_at"], crossed["ask"], crossed["ask_at"]) == (
            "100.5",
            ["b"],
            "100.2",
            ["a"],
        )
        assert crossed["after_fees"] == {"bid": "100.474875", "bid_at": ["b"], "ask": "100.22505", "ask_at": ["a"]}
        venues.say("b", words(10000, 1), words(10010, 1))
        assert program.line()["what"] == "uncrossed"
        (summary,) = program.stop()
        assert (summary["crosses"], summary["widest_after_fees"]) == (1, "0.249825")
    finally:
        program.close()


@pytest.fixture
def config(tmp_path: Path) -> DeskConfig:
    return make_config(tmp_path)


@pytest.fixture
def trading(config: DeskConfig) -> Iterator[TradingStub]:
    stub = TradingStub(config)
    yield stub
    stub.stop()


def recorded(folder: Path, table: str, *columns: str) -> list[dict[str, object]]:
    files = sorted((folder / table).glob("*.parquet"))
    wanted = ["topic", "epoch", "seq", *columns]
    rows = [row for path in files for row in pq.read_table(path, columns=wanted).to_pylist()]
    assert len({(row["topic"], row["epoch"], row["seq"]) for row in rows}) == len(rows), "a row is there twice"
    return rows


def test_the_recorder_goes_on_where_its_files_end_however_it_ended(
    config: DeskConfig, trading: TradingStub, tmp_path: Path
) -> None:
    folder = tmp_path / "recorded"
    run = (str(config.path), "--to", str(folder))
    with qd.connect(config.path, timeout=10) as desk:
        order = desk.place("v", "BTC-USD", qd.BUY, "1", "100.5")
        trading.fill("order-1", 100, 1005, "x1")
        killed, again = Program("recorder", *run, "--rows", "2"), None
        try:
            assert killed.line() == {"recording": str(folder)}
            wait_for(lambda: list((folder / "order_states").glob("*.parquet")), "a file")  # two states, one fill waits
            assert not list((folder / "executions").glob("*.parquet"))
            killed.stop(signal.SIGKILL)
            (folder / "executions" / "000000001.new").write_bytes(b"half a file")
            trading.fill("order-1", 200, 1004, "x2")
            trading.fill("order-1", 700, 1003, "x3")
            assert order.wait(timeout=60) == "FILLED"
            again = Program("recorder", *run, "--seconds", "0.05")
            again.line()
            wait_for(lambda: len(recorded(folder, "executions")) == 3, "the fills")
            wait_for(lambda: len(recorded(folder, "order_states")) == 4, "the states")
            (wrote,) = again.stop()
        finally:
            for program in filter(None, (killed, again)):
                program.close()
    assert wrote == {"executions": 3, "order_states": 2, "trades": 0, "gaps": 0}
    rows = recorded(folder, "executions", "exec_id", "last_qty", "px_scale", "fees")
    assert [(row["exec_id"], row["last_qty"], row["px_scale"]) for row in rows] == [
        ("x1", 100, 1),
        ("x2", 200, 1),
        ("x3", 700, 1),
    ]
    assert rows[0]["fees"] == [{"currency": "USD", "amount": "0.01"}]
    assert not list(folder.glob("*/*.new"))
    schema = pq.read_schema(next((folder / "executions").glob("*.parquet")))
    assert set(ExecutionReport.__struct_fields__) <= set(schema.names)
    assert (str(schema.field("recv_ns").type), str(schema.field("last_px").type)) == ("timestamp[ns, tz=UTC]", "int64")
