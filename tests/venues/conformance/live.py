"""Driving venue sessions against simulated venues over real sockets, from one thread."""

import contextlib
import select
import socket
import time
from collections.abc import Callable
from typing import Any

from base.clock import SystemClock
from ipc.book_builder import AskSnapshot, BookBuilder, BookRule, Continuity
from ipc.books import BookState
from ipc.events import ExecutionReport
from tests.venues.kit import Heard
from venues.interface import BookRule as VenueRule
from venues.interface import SessionPhase, VenueSession

DEADLINE_S = 60.0


class Books:
    """A RecordSink that keeps and verifies the books."""

    def __init__(self, level: int, scales: list[tuple[int, int]]) -> None:
        self.builder = BookBuilder()
        self.subscriptions = 0
        self.snapshots = 0
        self.trades = 0
        self.breaks: list[int] = []
        self.wants: list[int] = []
        self._level = level
        self._scales = scales
        self._added: set[int] = set()
        self._clock = SystemClock()

    def subscribed(self, instrument: int, req_key: int, rule: VenueRule) -> None:
        self.subscriptions += 1
        if instrument not in self._added:
            self._added.add(instrument)
            px_scale, qty_scale = self._scales[instrument]
            self.builder.add(
                instrument,
                BookRule(continuity=Continuity(rule.continuity), checksum_levels=rule.checksum_levels,
                         depth_window=rule.window, top_only=rule.top_only,
                         ignore_unknown=rule.ignore_unknown, rise_requeues=rule.rise_requeues),
                level=self._level, orders=100_000 if self._level == 3 else 0,
                px_drop=px_scale - rule.checksum_px_digits if rule.checksum_px_digits >= 0 else 0,
                qty_drop=qty_scale - rule.checksum_qty_digits if rule.checksum_qty_digits >= 0 else 0,
            )  # fmt: skip
            self.builder.session_ready(self._clock.mono_ns(), self._clock.wall_ns())
        self.builder.expect(instrument, req_key)

    def records(self, words: memoryview, n_words: int) -> None:
        self.trades += len(self.builder.books.trades(words, n_words))
        for action in self.builder.feed(words, n_words, self._clock.mono_ns(), self._clock.wall_ns()):
            if isinstance(action, AskSnapshot):
                self.breaks.append(action.instrument)
                self.wants.append(action.instrument)
            elif type(action).__name__ == "Snapshot":
                self.snapshots += 1

    def live(self, instrument: int = 0) -> bool:
        return instrument in self._added and self.builder.state(instrument)[0] is BookState.LIVE


class Driver:
    """One session on one plain TCP connection."""

    def __init__(self, session: VenueSession, heard: Heard, address: str) -> None:
        self.session = session
        self.heard = heard
        self._clock = SystemClock()
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), 5)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open = True
        session.connected(self._socket.sendall, *self.now())

    def now(self) -> tuple[int, int]:
        return self._clock.mono_ns(), self._clock.wall_ns()

    def turn(self, wait_s: float = 0.02) -> None:
        """Read what there is, tick what is due."""
        if self._open and select.select([self._socket], [], [], wait_s)[0]:
            data = self._socket.recv(1 << 20)
            if data:
                self.session.received(data, *self.now())
            else:
                self.close("the venue closed")
        if self._open and self.session.deadline_ns <= self.now()[0]:
            self.session.tick(*self.now())

    def until(self, condition: Callable[[], Any], what: str = "") -> Any:
        """Turn until the condition holds; its value."""
        end = time.monotonic() + DEADLINE_S
        while not (value := condition()):
            assert time.monotonic() < end, (what, self.session.phase, self.heard.events[-3:], self.heard.alerts)
            self.turn()
        return value

    def ready(self) -> "Driver":
        self.until(lambda: self.session.phase is SessionPhase.READY, "ready")
        return self

    def report(self, cl_ord_id: str, exec_type: str) -> ExecutionReport:
        """The report of that order and type, once it has come."""
        return self.until(lambda: self._find(cl_ord_id, exec_type), f"{cl_ord_id} {exec_type}")  # type: ignore[no-any-return]

    def _find(self, cl_ord_id: str, exec_type: str) -> ExecutionReport | None:
        for event in self.heard.events:
            if isinstance(event, ExecutionReport) and (event.cl_ord_id, event.exec_type) == (cl_ord_id, exec_type):
                return event
        return None

    def close(self, reason: str = "test over") -> None:
        if self._open:
            self._open = False
            with contextlib.suppress(OSError):
                self._socket.close()
            self.session.disconnected(reason, *self.now())
