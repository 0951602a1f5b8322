"""Plays acceptor scenarios against whatever listens at a port: the same scripts, a real socket, the real time."""

import contextlib
import select
import socket
import time
from collections.abc import Iterator

from fix.scenarios.machine import WrongError
from fix.scenarios.script import Scenario, Step
from fix.scenarios.wire import Wire, cut, shown


class SocketPlayer:
    """One scenario against one identity of the acceptor at `port`; waits at most `patience` seconds for an answer."""

    def __init__(self, scenario: Scenario, version: str, port: int, peer: str, patience: float) -> None:
        self._scenario = scenario
        self._port = port
        self._wire = Wire(version, peer)
        self._patience = patience
        self._socket: socket.socket | None = None
        self._other: socket.socket | None = None
        self._buffer = bytearray()

    def play(self) -> str:
        """What went wrong; '' when nothing did."""
        try:
            for step in self._scenario.steps:
                try:
                    self._do(step)
                except (WrongError, OSError) as wrong:
                    return f"{self._scenario.path}:{step.line}: {step.verb} {step.text}: {wrong}"
            return ""
        finally:
            for each in (self._socket, self._other):
                if each is not None:
                    each.close()

    def _do(self, step: Step) -> None:
        self._wire.now_ns = time.time_ns()
        match step.verb:
            case "connect":
                self._connect()
            case "cut":
                assert self._socket is not None
                self._socket.close()
            case "logon":
                self._connect()
                extra = f"|34={step.text}" if step.text else ""
                self._send(self._wire.message(Step(step.line, ">", f"A|98=0|108=30{extra}")))
                self._hear(Step(step.line, "<", "A|98=0|108=30"))
            case ">":
                self._send(self._wire.message(step))
            case "raw":
                self._send(self._wire.raw(step))
            case "<":
                self._hear(step)
            case "end":
                self._expect_end(self._socket)
            case "silence":
                self._expect_silence()
            case "other":
                self._second(step)
            case "seq":
                self._wire.next_seq = int(step.text)
            case "numbers":
                pass  # what the messages carry shows it
            case _:
                raise AssertionError(f"{step.verb} cannot be played over a socket: mark the scenario as offline")

    def _connect(self) -> None:
        self._buffer.clear()
        self._socket = socket.create_connection(("127.0.0.1", self._port), 5)

    def _send(self, data: bytes) -> None:
        assert self._socket is not None
        self._socket.sendall(data)

    def _hear(self, step: Step) -> None:
        for raw in self._messages():
            if problem := self._wire.problem(step, raw):
                raise WrongError(problem)
            return
        raise WrongError("nothing came")

    def _messages(self) -> Iterator[bytes]:
        """The next message, when one comes in time."""
        assert self._socket is not None
        end = time.monotonic() + self._patience
        while True:
            for raw in cut(self._buffer):
                yield raw
                return
            if not self._readable(self._socket, end - time.monotonic()):
                return
            data = self._socket.recv(65536)
            if not data:
                raise WrongError("the connection was ended")
            self._buffer += data

    def _readable(self, which: socket.socket, seconds: float) -> bool:
        return bool(select.select([which], [], [], max(seconds, 0))[0])

    def _expect_end(self, which: socket.socket | None) -> None:
        assert which is not None
        end = time.monotonic() + self._patience
        while self._readable(which, end - time.monotonic()):
            with contextlib.suppress(ConnectionResetError):
                data = which.recv(65536)
                if data:
                    raise WrongError(f"it sent {shown(data)}")
            which.close()
            return
        raise WrongError("the connection stands")

    def _expect_silence(self) -> None:
        """What is there by now; what comes later the next steps will find."""
        assert self._socket is not None
        if self._readable(self._socket, 0.02):
            data = self._socket.recv(65536)
            raise WrongError(f"it sent {shown(data)}" if data else "the connection was ended")

    def _second(self, step: Step) -> None:
        if step.text == "end":
            self._expect_end(self._other)
            return
        wire = Wire(self._wire.version, self._wire.peer)
        wire.now_ns = self._wire.now_ns
        self._other = socket.create_connection(("127.0.0.1", self._port), 5)
        self._other.sendall(wire.message(Step(step.line, ">", step.text)))
