"""The operators' line: a plain Unix socket that answers each line, for programs and for people."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from base.clock import SystemClock
from base.errors import BusError, CommandError
from base.reactor import Reactor
from ipc.operator_client import ask_line, line_path
from ipc.operator_line import CONNECTIONS, OperatorLine
from ipc.requests import Answer, AnyCommand, Ops

SECOND_NS = 1_000_000_000


class Switch:
    """Who answers, on a loop of its own."""

    def __init__(self, run_dir: Path) -> None:
        self.heard: list[Ops] = []
        self.data = b'{"trip_id":"t1"}'
        self.reactor = Reactor(SystemClock())
        self.line = OperatorLine(self.reactor, line_path(run_dir), self.handle)

    def handle(self, command: AnyCommand, _identity: bytes) -> Answer:
        assert isinstance(command, Ops)
        self.heard.append(command)
        if command.verb == "trip":
            return Answer(command.command_id, True, data=self.data)
        return Answer(command.command_id, False, f"no verb {command.verb!r}")


@contextmanager
def turning(reactor: Reactor) -> Iterator[None]:
    """The loop turns in a thread."""
    end = threading.Event()

    def turn() -> None:
        while not end.is_set():
            reactor.run_once(5_000_000)

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


@pytest.fixture
def switch(tmp_path: Path) -> Iterator[Switch]:
    found = Switch(tmp_path)
    with turning(found.reactor):
        yield found
    found.line.close()
    found.reactor.close()


def by_hand(run_dir: Path, *said: bytes) -> list[Any]:
    """What a person gets who has nothing but a socket; one answer a line."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(line_path(run_dir)))
        for part in said:
            s.sendall(part)
        s.shutdown(socket.SHUT_WR)
        got = b""
        while part := s.recv(1 << 16):
            got += part
    return [json.loads(line) for line in got.splitlines()]


def test_a_program_is_answered_with_data_and_told_of_refusals(switch: Switch, tmp_path: Path) -> None:
    assert ask_line(tmp_path, "trip", {"scope": "venue:x", "by": "ann"}, 10) == {"trip_id": "t1"}
    assert switch.heard[0].args == {"scope": "venue:x", "by": "ann"}
    with pytest.raises(CommandError, match="no verb 'dance'"):
        ask_line(tmp_path, "dance", {}, 10)


@pytest.mark.parametrize(
    ("said", "args"),
    [
        (b"trip\n", {}),
        (b"trip venue:x\n", {"scope": "venue:x"}),
        (b"trip desk it smells of smoke\n", {"scope": "desk", "reason": "it smells of smoke"}),
        (b"trip", {}),
        (b'{"verb": "trip", "args": {"scope": "desk"}}\n', {"scope": "desk"}),
    ],
    ids=["word", "scope", "reason", "unended", "json"],
)
def test_a_person_says_words(switch: Switch, tmp_path: Path, said: bytes, args: dict[str, str]) -> None:
    assert [a["accepted"] for a in by_hand(tmp_path, said)] == [True]
    found = switch.heard[0].args
    assert "uid" in found.pop("by")  # who it was is on record though nobody said so
    assert found == args


def test_lines_may_come_in_pieces_and_together(switch: Switch, tmp_path: Path) -> None:
    answers = by_hand(tmp_path, b"tr", b"ip\ndan", b"ce\ntrip\n")
    assert [a["accepted"] for a in answers] == [True, False, True]


@pytest.mark.parametrize("said", [b"\n", b"{}\n", b'{"verb": 1}\n', b"\xff\xfe\n", b"{\n"], ids=str)
def test_nonsense_is_refused_in_words(switch: Switch, tmp_path: Path, said: bytes) -> None:
    [answer] = by_hand(tmp_path, said)
    assert not answer["accepted"]
    assert answer["reason"]
    assert ask_line(tmp_path, "trip", {}, 10)


def test_a_line_without_end_is_hung_up_on_and_others_are_served(switch: Switch, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(line_path(tmp_path)))
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            s.sendall(b"x" * 50_000_000)
    assert ask_line(tmp_path, "trip", {}, 10)


def test_connections_that_say_nothing_keep_nobody_out(switch: Switch, tmp_path: Path) -> None:
    idle = [socket.socket(socket.AF_UNIX) for _ in range(CONNECTIONS + 5)]
    try:
        for s in idle:
            s.connect(str(line_path(tmp_path)))
        assert ask_line(tmp_path, "trip", {}, 10)
    finally:
        for s in idle:
            s.close()


def test_an_answer_larger_than_the_kernel_takes_at_once_comes_whole(switch: Switch, tmp_path: Path) -> None:
    names = [f"order-{i:06d}" for i in range(100_000)]
    switch.data = json.dumps({"unproven": names}).encode()
    assert ask_line(tmp_path, "trip", {}, 30) == {"unproven": names}


def gone(run_dir: Path) -> None:
    line_path(run_dir).unlink()


def nobody(run_dir: Path) -> None:
    """The file that a dead process left."""
    line_path(run_dir).unlink()
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(line_path(run_dir)))


def full(run_dir: Path) -> None:
    """More have knocked than a stopped process's queue holds."""
    line_path(run_dir).unlink()
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(line_path(run_dir)))
    s.listen(0)
    KEPT.append(s)
    for _ in range(3):
        knocking = socket.socket(socket.AF_UNIX)
        knocking.setblocking(False)
        KEPT.append(knocking)
        if knocking.connect_ex(str(line_path(run_dir))):
            return


def no_socket(run_dir: Path) -> None:
    line_path(run_dir).unlink()
    line_path(run_dir).write_text("a file")


KEPT: list[socket.socket] = []


@pytest.mark.parametrize("spoil", [gone, nobody, full, no_socket], ids=lambda f: str(f.__name__))
def test_who_is_not_there_is_a_bus_error_in_time(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    line_path(tmp_path).touch()
    spoil(tmp_path)
    try:
        with pytest.raises(BusError, match=str(line_path(tmp_path))):
            ask_line(tmp_path, "trip", {}, 0.2)
    finally:
        while KEPT:
            KEPT.pop().close()


def test_silence_ends_with_the_time(tmp_path: Path) -> None:
    silent = Switch(tmp_path)  # its loop never turns, as that of a stopped process
    try:
        with pytest.raises(BusError, match="no answer within 200 ms"):
            ask_line(tmp_path, "trip", {}, 0.2)
    finally:
        silent.line.close()
        silent.reactor.close()


def test_a_path_too_long_for_a_socket_is_said(tmp_path: Path) -> None:
    reactor = Reactor(SystemClock())
    with pytest.raises(BusError, match="107 bytes"):
        OperatorLine(reactor, tmp_path / ("x" * 120), lambda _c, _i: Answer("", True))
    reactor.close()
