"""The tap passes everything on, and knows when each message reached it although it reads late."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from bench.kill_tap import Heard

ROOT = Path(__file__).resolve().parents[2]


def message(kind: str, cl_ord_id: str) -> bytes:
    body = f"35={kind}\x0149=ME\x0134=1\x0111={cl_ord_id}\x0155=BTC-USD\x01".encode()
    head = b"8=FIX.4.4\x019=%d\x01" % len(body)
    return head + body + b"10=%03d\x01" % (sum(head + body) & 255)


class Line:
    """A tap between a client here and a venue here."""

    def __init__(self, folder: Path) -> None:
        (folder / "v").mkdir()
        (folder / "d").mkdir()
        self.log = folder / "tap.jsonl"
        self.venue = socket.create_server(("127.0.0.1", 0))
        at = f"127.0.0.1:{self.venue.getsockname()[1]}"
        ends = {"endpoints": {"trading": at, "rest": at, "control": at}}
        (folder / "v" / "sim-x.json").write_text(json.dumps(ends))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.kill_tap", str(folder / "d"), str(folder / "v"), str(self.log), "x"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline()
        told = json.loads((folder / "d" / "tap-x.json").read_text())["endpoints"]
        assert told["control"] == at, "what is not tapped is left as it is"
        host, _, port = told["trading"].rpartition(":")
        self.client = socket.create_connection((host, int(port)), 10)
        self.server, _ = self.venue.accept()
        self.server.settimeout(10)

    def tell(self, do: str, seconds: float = 0.0) -> None:
        assert self.process.stdin is not None
        line = json.dumps({"do": do, "venue": "x", "service": "trading", "seconds": seconds})
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def received(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.server.recv(65536)
            assert more, data
            data += more
        return data

    def heard(self, count: int) -> list[Heard]:
        end = time.monotonic() + 60
        while len(lines := self.log.read_bytes().splitlines()) < count:
            assert time.monotonic() < end, lines
            time.sleep(0.01)
        return [msgspec.json.decode(line, type=Heard) for line in lines]

    def close(self) -> None:
        for end in (self.client, self.server, self.venue):
            end.close()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    found = Line(tmp_path)
    yield found
    found.close()


def test_messages_in_one_piece_and_in_parts_pass_and_are_heard_one_by_one(line: Line) -> None:
    new, cancel = message("D", "c1"), message("F", "c2")
    line.client.sendall(new + cancel[:20])
    assert line.received(len(new)).startswith(new)
    line.client.sendall(cancel[20:])
    heard = line.heard(2)
    assert [(h.kind, h.sender, h.cl_ord_id, h.symbol) for h in heard] == [
        ("D", "ME", "c1", "BTC-USD"), ("F", "ME", "c2", "BTC-USD"),
    ]  # fmt: skip
    line.server.sendall(b"back")
    assert line.client.recv(4) == b"back"


def test_a_message_has_the_time_at_which_the_kernel_took_it_not_the_one_at_which_it_was_read(line: Line) -> None:
    line.client.sendall(message("0", "first"))  # the line stands
    line.heard(1)
    os.kill(line.process.pid, signal.SIGSTOP)
    before_ns = time.monotonic_ns()
    line.client.sendall(message("D", "c1"))
    after_ns = time.monotonic_ns()
    while (resumed_ns := time.monotonic_ns()) < after_ns + 50_000_000:
        time.sleep(0.01)
    os.kill(line.process.pid, signal.SIGCONT)
    found = line.heard(2)[1]
    assert found.exact
    assert before_ns - 20_000_000 < found.mono_ns < resumed_ns


def test_a_deaf_line_swallows_and_closes_nothing_and_a_cut_one_is_reset(line: Line) -> None:
    line.tell("deaf")
    line.client.sendall(message("0", "a"))
    line.heard(1)
    line.server.settimeout(0.2)
    with pytest.raises(TimeoutError):
        line.server.recv(1)
    line.tell("cut")
    line.client.settimeout(10)
    with pytest.raises(ConnectionResetError):
        line.client.recv(1)
