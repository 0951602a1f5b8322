"""The link keeps a session connected: addresses anew at each attempt, back-off, planned moves, orderly stops."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from base.clock import SystemClock
from base.config import load
from base.errors import ConfigError, CorruptError
from base.reactor import Reactor
from ipc.events import AnyEvent
from venues.interface import SessionPhase
from venues.link import Leg, Link, resolve_address
from venues.watch import DEADLINES, Act, Deadline

CONFIG = """
[desk]
name = "t"
[venue.v]
dialect = "fix44"
instruments = [{ name = "BTC-USD", symbol = "BTC/USD", px_scale = 1, qty_scale = 3 }]
[session.s]
venue = "v"
kind = "trading"
address = "run:sim-v#trading"
tls = false
sender_comp_id = "A"
alternate_sender_comp_id = "B"
target_comp_id = "V"
"""
SECOND = 1_000_000_000
FAR = 1 << 62


class FakeSession:
    """Says hello when connected, is READY when it hears anything."""

    def __init__(self, leg: Leg, comp_id: str) -> None:
        self.leg, self.comp_id = leg, comp_id
        self.phase = SessionPhase.DISCONNECTED
        self.deadline_ns = FAR
        self.ticks = 0
        self.closed = False
        self.upkeeps = 0
        self.synced = threading.Event()
        self.losses: list[str] = []
        self.write: Callable[[bytes], object] | None = None
        self.halt = ""

    def halted(self) -> str:
        return self.halt

    def _go(self, phase: SessionPhase, reason: str) -> None:
        self.phase = phase
        self.leg.phase(phase, reason)

    def connected(self, write: Callable[[bytes], object], mono_ns: int, wall_ns: int) -> None:
        self.write = write
        write(self.comp_id.encode())
        self._go(SessionPhase.LOGGING_ON, "")

    def received(self, data: memoryview | bytes, mono_ns: int, wall_ns: int) -> None:
        if bytes(data) == b"bye":
            self.leg.disconnect("logged out")
        elif bytes(data) == b"move":
            self.leg.planned_move(30, "maintenance")
        else:
            self._go(SessionPhase.READY, "")

    def disconnected(self, reason: str, mono_ns: int, wall_ns: int) -> None:
        self.losses.append(reason)
        self._go(SessionPhase.DISCONNECTED, reason)

    def tick(self, mono_ns: int, wall_ns: int) -> None:
        self.ticks += 1
        self.deadline_ns = FAR

    def logout(self, reason: str, mono_ns: int, wall_ns: int) -> None:
        assert self.write is not None
        self.write(b"logout")

    def numbers(self) -> tuple[int, int]:
        return 1, 1

    def counters(self) -> dict[str, int]:
        return {}

    def upkeep(self) -> bool:
        self.upkeeps += 1
        return False

    def sync(self) -> None:
        self.synced.set()

    def close(self) -> None:
        self.closed = True


class Place:
    """A run directory, a venue's listening socket, a link and its owner."""

    def __init__(self, folder: Path, more: str = "") -> None:
        (folder / "config").mkdir()
        path = folder / "config" / "desk.toml"
        path.write_text(f"{CONFIG}{more}\n")
        self.fault: Exception | None = None
        self.desk = load(path)
        self.desk.run_dir.mkdir()
        self.reactor = Reactor(SystemClock())
        self.phases: list[tuple[SessionPhase, str]] = []
        self.alerts: list[str] = []
        self.server: socket.socket | None = None
        self.made: list[FakeSession] = []
        self.accepted: list[socket.socket] = []
        self.link = Link(self.reactor, self.desk, "s", self, self._make)

    def _make(self, leg: Leg, comp_id: str) -> Any:
        if self.fault is not None:
            raise self.fault
        self.made.append(FakeSession(leg, comp_id))
        return self.made[-1]

    @property
    def sessions(self) -> list[FakeSession]:
        """Those that were of use: the other id's is made once at the start, for its store's sake."""
        return [s for s in self.made if s.write is not None or not s.closed]

    def event(self, event: AnyEvent) -> None:
        raise AssertionError("no events here")

    def phase(self, phase: SessionPhase, reason: str) -> None:
        self.phases.append((phase, reason))

    def alert(self, severity: str, code: str, text: str) -> None:
        self.alerts.append(text)

    def listen(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.setblocking(False)
        address = "{}:{}".format(*self.server.getsockname())
        (self.desk.run_dir / "sim-v.json").write_text(json.dumps({"endpoints": {"trading": address}}))

    def turn(self, condition: Callable[[], Any], seconds: float = 10) -> Any:
        found: list[Any] = []

        def look() -> bool:
            found[:] = [condition()]
            return bool(found[0])

        assert self.reactor.run_until(look, int(seconds * SECOND)), f"not within {seconds} s"
        return found[0]

    def accept(self) -> socket.socket:
        assert self.server is not None
        server = self.server

        def take() -> socket.socket | None:
            try:
                return server.accept()[0]
            except BlockingIOError:
                return None

        connection: socket.socket = self.turn(take)
        connection.setblocking(False)
        self.accepted.append(connection)
        return connection

    def read(self, connection: socket.socket) -> bytes:
        def take() -> bytes | None:
            try:
                return connection.recv(100) or b"end"
            except BlockingIOError:
                return None

        found: bytes = self.turn(take)
        return found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.link.stop("test ends")
    for session in made.sessions:
        session.leg.disconnect("test ends")
    made.reactor.run_once()
    made.reactor.close()
    for open_socket in (*made.accepted, *([made.server] if made.server else [])):
        open_socket.close()


def test_it_waits_for_an_address_that_is_not_there_yet(place: Place) -> None:
    place.link.start()
    assert "sim-v.json" in place.phases[-1][1]
    place.listen()
    connection = place.accept()
    assert place.read(connection) == b"A"
    connection.close()


def test_a_lost_connection_is_made_again_at_the_address_that_is_right_by_then(place: Place) -> None:
    place.listen()
    place.link.start()
    lost = place.accept()
    place.read(lost)
    lost.send(b"hello")
    place.turn(lambda: place.link.session.phase is SessionPhase.READY)
    lost.close()
    place.turn(lambda: place.sessions[0].losses)
    assert place.server is not None
    place.server.close()
    place.listen()
    assert place.read(place.accept()) == b"A"
    assert len(place.sessions) == 1


def test_a_halted_session_stands_still_and_says_what_ends_that(place: Place) -> None:
    place.listen()
    place.link.session.halt = "HALTED: numbers disagree; to go on: qd session reset"  # type: ignore[attr-defined]
    place.link.start()
    assert place.phases[-1] == (SessionPhase.DISCONNECTED, "HALTED: numbers disagree; to go on: qd session reset")
    assert place.link.connects == 0
    assert place.link._retry is None


def test_a_session_that_halts_while_connected_is_not_connected_again(place: Place) -> None:
    place.listen()
    place.link.start()
    connection = place.accept()
    place.read(connection)
    place.sessions[0].halt = "HALTED: numbers disagree"
    connection.send(b"bye")
    assert place.read(connection) == b"end"
    place.turn(lambda: place.phases[-1][1] == "HALTED: numbers disagree")
    assert place.link._retry is None


def test_a_session_that_asks_for_it_is_disconnected(place: Place) -> None:
    place.listen()
    place.link.start()
    connection = place.accept()
    place.read(connection)
    connection.send(b"bye")
    assert place.read(connection) == b"end"
    assert place.turn(lambda: place.sessions[0].losses)[0].endswith("logged out")


def test_deadlines_of_the_session_are_kept(place: Place) -> None:
    place.listen()
    place.link.start()
    connection = place.accept()
    place.read(connection)
    session = place.sessions[0]
    session.deadline_ns = time.monotonic_ns() + 10_000_000
    connection.send(b"hello")
    place.turn(lambda: session.ticks)


def test_a_planned_move_opens_the_other_session_first_and_then_leaves_the_old_one(place: Place) -> None:
    place.listen()
    place.link.start()
    old = place.accept()
    place.read(old)
    old.send(b"hello")
    place.turn(lambda: place.link.session.phase is SessionPhase.READY)
    old.send(b"move")
    new = place.accept()
    assert place.read(new) == b"B"
    assert place.link.session is place.sessions[0]
    new.send(b"hello")
    place.turn(lambda: place.link.session is place.sessions[1])
    assert place.read(old) == b"logout"
    old.close()
    place.turn(lambda: place.sessions[0].closed)
    assert place.link.session.phase is SessionPhase.READY
    assert place.phases[-1] == (SessionPhase.READY, "moved to a new session")
    new.close()


def test_a_move_that_fails_leaves_the_old_session_in_place(place: Place) -> None:
    place.listen()
    place.link.start()
    old = place.accept()
    place.read(old)
    old.send(b"hello")
    place.turn(lambda: place.link.session.phase is SessionPhase.READY)
    old.send(b"move")
    new = place.accept()
    new.close()
    place.turn(lambda: any("new session failed" in a for a in place.alerts))
    assert place.link.session is place.sessions[0]
    assert place.link.session.phase is SessionPhase.READY
    old.close()


def test_a_refused_logon_is_tried_again_under_the_other_id_and_a_lost_session_is_not(place: Place) -> None:
    place.listen()
    place.link.start()
    refused = place.accept()
    assert place.read(refused) == b"A"
    refused.close()
    taken = place.accept()
    assert place.read(taken) == b"B"
    assert place.sessions[0].closed
    taken.send(b"hello")
    place.turn(lambda: place.link.session.phase is SessionPhase.READY)
    taken.close()
    assert place.read(place.accept()) == b"B"


def test_a_move_to_a_session_that_cannot_be_made_leaves_the_old_one_in_place(place: Place) -> None:
    place.listen()
    place.link.start()
    old = place.accept()
    place.read(old)
    old.send(b"hello")
    place.turn(lambda: place.link.session.phase is SessionPhase.READY)
    place.fault = CorruptError("store-1.seg: offset 128: damaged")
    old.send(b"move")
    place.turn(lambda: any("no session as B: store-1.seg: offset 128" in a for a in place.alerts))
    assert place.link.session is place.sessions[0]
    assert place.link.session.phase is SessionPhase.READY


def test_the_store_is_looked_after_beside_the_traffic_and_flushed_where_that_is_configured(tmp_path: Path) -> None:
    place = Place(tmp_path, 'sync = "interval"')
    place.link.start()
    session = place.sessions[0]
    place.turn(lambda: session.upkeeps > 1 and session.synced.is_set())
    place.link.close()
    assert session.closed
    place.reactor.close()


def test_stop_logs_out_and_stays_away(place: Place) -> None:
    place.listen()
    place.link.start()
    connection = place.accept()
    place.read(connection)
    place.link.stop("process stops")
    assert place.read(connection) == b"logout"
    connection.send(b"bye")
    place.turn(lambda: place.phases[-1][0] is SessionPhase.DISCONNECTED)
    place.reactor.run_once(50_000_000)
    assert place.link.connects == 1


def test_addresses_are_checked(place: Place) -> None:
    assert resolve_address(place.desk, "[::1]:9000") == ("::1", 9000)
    for wrong in ("host", "host:", ":90", "host:9x"):
        with pytest.raises(ConfigError, match="host:port"):
            resolve_address(place.desk, wrong)
    with pytest.raises(ConfigError, match="no endpoint 'x'"):
        resolve_address(place.desk, "run:sim-v#x")


def moved(place: Place) -> tuple[socket.socket, socket.socket]:
    """Both connections after a move; the old one was sent a Logout and has not answered."""
    old = ready(place)
    old.send(b"move")
    new = place.accept()
    place.read(new)
    new.send(b"hello")
    place.turn(lambda: place.link.session is place.sessions[1])
    assert place.read(old) == b"logout"
    return old, new


def ready(place: Place) -> socket.socket:
    """A connection whose session is READY."""
    place.listen()
    place.link.start()
    connection = place.accept()
    place.read(connection)
    connection.send(b"hello")
    place.turn(lambda: place.link.session.phase is SessionPhase.READY)
    return connection


def test_the_old_session_of_a_move_keeps_its_deadlines(place: Place) -> None:
    moved(place)
    old = place.sessions[0]
    old.deadline_ns = time.monotonic_ns()
    place.link.arm()
    place.turn(lambda: old.ticks)
    old.upkeeps = 0
    place.turn(lambda: old.upkeeps)


def test_the_old_session_of_a_move_is_cut_when_its_logout_is_never_answered(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {**DEADLINES, "leaving": Deadline(20_000_000, Act.CUT, "its Logout was not answered")}
    monkeypatch.setattr("venues.watch.Watch.__init__.__defaults__", (short,))
    old, _ = moved(place)
    place.turn(lambda: place.sessions[0].closed)
    assert place.read(old) == b"end"
    assert "its Logout was not answered" in place.sessions[0].losses[0]
    assert place.link.session.phase is SessionPhase.READY
    assert place.link.connects == 2


def test_a_stop_during_a_move_leaves_no_connection(place: Place) -> None:
    old, new = moved(place)
    place.link.stop("process stops")
    assert place.read(old) == b"end"
    assert place.read(new) == b"logout"
    place.turn(lambda: place.sessions[0].closed)


def test_a_move_that_failed_is_tried_again_when_the_venue_says_it_again(place: Place) -> None:
    old = ready(place)
    old.send(b"move")
    place.accept().close()
    place.turn(lambda: any("new session failed" in a for a in place.alerts))
    old.send(b"move")
    new = place.accept()
    assert place.read(new) == b"B"
    new.send(b"hello")
    place.turn(lambda: place.link.session is place.sessions[2])


def test_after_a_move_that_failed_a_lost_session_comes_back_under_its_own_id(place: Place) -> None:
    old = ready(place)
    old.send(b"move")
    place.accept().close()
    place.turn(lambda: any("new session failed" in a for a in place.alerts))
    old.close()
    assert place.read(place.accept()) == b"A"
    place.accepted[-1].close()  # refused: now the other one
    assert place.read(place.accept()) == b"B"


def test_a_refused_logon_takes_no_id_whose_session_still_leaves(place: Place) -> None:
    _, new = moved(place)
    new.close()
    again = place.accept()
    assert place.read(again) == b"B"
    again.close()
    assert place.read(place.accept()) == b"B"


def drained(connection: socket.socket) -> tuple[int, bool]:
    """Bytes that can still be read, and whether they end with a reset."""
    connection.settimeout(5)
    got = 0
    try:
        while chunk := connection.recv(1 << 20):
            got += len(chunk)
    except ConnectionResetError:
        return got, True
    return got, False


def stuffed(place: Place, leg: Leg) -> None:
    """Bytes that the venue does not read, until the kernel takes no more."""
    assert leg.transport is not None
    while not leg.transport.queued:
        leg.transport.write(b"D" * 100_000)


def test_an_abort_delivers_nothing_that_still_waited_on_any_connection(place: Place) -> None:
    old, new = moved(place)
    leaving, active = place.sessions[0].leg, place.sessions[1].leg
    stuffed(place, leaving)
    stuffed(place, active)
    assert leaving.transport is not None
    assert active.transport is not None
    assert place.link.unsent == leaving.transport.queued + active.transport.queued
    written = place.link.held
    place.link.abort("gate closed")
    got = drained(old)[0] + drained(new)[0]
    assert got < written, "what the venue's own kernel had taken is all that it can read"
    place.turn(lambda: all(s.losses for s in place.sessions[:2]))
    assert all("gate closed" in s.losses[0] for s in place.sessions[:2])


def test_a_connection_that_holds_nothing_is_left_alone_by_an_abort(place: Place) -> None:
    connection = ready(place)
    place.turn(lambda: not place.link.held)
    place.link.abort("gate closed")
    connection.send(b"hello")
    place.reactor.run_once(20_000_000)
    assert place.link.session.phase is SessionPhase.READY


def test_a_connection_given_up_with_orders_on_it_does_not_deliver_them_later(place: Place) -> None:
    connection = ready(place)
    place.link.holds_orders = lambda: True
    stuffed(place, place.link.leg)
    place.link.leg.disconnect("the venue is silent")
    assert drained(connection)[1], "a reset, not an end in order: the kernel had to drop the rest"
