"""Reconnects on a clock turned by hand: phases end, nothing hammers, nothing gives up, closed venues are left alone."""

import itertools
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from base.clock import ManualClock
from base.config import load
from base.reactor import Reactor
from base.transport_types import Closed, CloseKind, State, TransportHandler
from base.waiters import TurningWaiter
from ipc.events import AnyEvent
from ipc.readiness import VENUE_CLOSED
from tests.venues.test_link import FakeSession
from venues.interface import SessionPhase
from venues.leg import Leg
from venues.link import Link

MS = 1_000_000
SECOND = 1_000 * MS
HOUR = 3600 * SECOND
NOON = int(datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()) * SECOND  # a Monday
CONFIG = """
[desk]
name = "t"
gate_dir = "{gate}"
[venue.v]
dialect = "fix44"
instruments = [{{ name = "BTC-USD", symbol = "BTC/USD", px_scale = 1, qty_scale = 3 }}]
{venue}
[session.s]
venue = "v"
kind = "trading"
address = "{address}"
tls = false
sender_comp_id = "A"
target_comp_id = "V"
{session}
"""


class Session(FakeSession):
    """Ready at "hello"; "recover", "late logout" and "no" play what venues do."""

    def received(self, data: memoryview | bytes, mono_ns: int, wall_ns: int) -> None:
        match bytes(data):
            case b"no":
                self.leg.disconnect("logon refused: bad password")
            case b"recover":
                self._go(SessionPhase.RECOVERING, "messages are missing")
            case _:
                super().received(data, mono_ns, wall_ns)

    def logout(self, reason: str, mono_ns: int, wall_ns: int) -> None:
        super().logout(reason, mono_ns, wall_ns)
        self._go(SessionPhase.LOGGING_OUT, reason)


class Wire:
    """A transport without a socket, and the venue's end of it: what either does arrives in the next turn."""

    def __init__(self, reactor: Reactor, handler: TransportHandler, name: str, tls: object = None, **_: Any) -> None:
        self.reactor, self.handler = reactor, handler
        self.place: Place = Place.of(handler)
        self.state = State.IDLE
        self.queued = self.unacknowledged = 0
        self.written = b""
        self.certificate_expires_ns = self.place.expires_ns

    def connect(self, host: str, port: int, first: int = 0) -> None:
        self.state = State.CONNECTING
        self.reactor.call_later(MS, self._arrive, "wire")

    def _arrive(self) -> None:
        if self.place.down:
            self._end(Closed(CloseKind.CONNECT, "refused"))
            return
        self.state = State.OPEN
        self.place.attempts.append(self.place.now)
        self.place.accepted.append(self)
        self.handler.on_connected()
        self.place.behave(self)

    def write(self, data: bytes) -> bool:
        self.written += data
        return True

    def close(self, detail: str = "") -> None:
        self.reactor.call_soon(lambda: self._end(Closed(CloseKind.LOCAL, detail)), "wire")

    abort = close

    def _end(self, why: Closed) -> None:
        if self.state is not State.CLOSED:
            self.state = State.CLOSED
            self.handler.on_closed(why)

    # the venue's end

    def send(self, data: bytes) -> None:
        self.reactor.call_soon(lambda: self.state is State.OPEN and self.handler.on_data(memoryview(data)), "wire")

    def drop(self) -> None:
        self.reactor.call_soon(lambda: self._end(Closed(CloseKind.PEER)), "wire")


class Place:
    """A link, its owner, and a venue at the other end of its wires, all in turned time."""

    def __init__(
        self, folder: Path, *, venue: str = "", session: str = "", gate: str = "", urgent: bool = False,
        simulated: bool = False, wall_ns: int = NOON, clock: ManualClock | None = None,
    ) -> None:  # fmt: skip
        (folder / "config").mkdir(parents=True)
        path = folder / "config" / "desk.toml"
        address = "run:sim-v#trading" if simulated else "127.0.0.1:9"
        path.write_text(CONFIG.format(gate=gate or folder / "gate", address=address, venue=venue, session=session))
        self.desk = load(path)
        self.desk.run_dir.mkdir()
        (self.desk.run_dir / "sim-v.json").write_text(json.dumps({"endpoints": {"trading": "127.0.0.1:9"}}))
        self.clock = clock or ManualClock(10**12, wall_ns)
        self.reactor = Reactor(self.clock, waiter=TurningWaiter(self.clock))
        self.phases: list[tuple[SessionPhase, str]] = []
        self.alerts: list[tuple[str, str, str]] = []
        self.attempts: list[int] = []
        self.made: list[Session] = []
        self.accepted: list[Wire] = []
        self.behave: Callable[[Wire], object] = lambda wire: None
        self.down = False
        self.expires_ns = 0
        self.link = Link(self.reactor, self.desk, "s", self, self._make, urgent=urgent)

    @staticmethod
    def of(handler: Any) -> "Place":
        place: Place = handler.link.owner
        return place

    def _make(self, leg: Leg, comp_id: str) -> Any:
        self.made.append(Session(leg, comp_id))
        return self.made[-1]

    def event(self, event: AnyEvent) -> None:
        raise AssertionError("no events here")

    def phase(self, phase: SessionPhase, reason: str) -> None:
        self.phases.append((phase, reason))

    def alert(self, severity: str, code: str, text: str) -> None:
        self.alerts.append((severity, code, text))

    @property
    def now(self) -> int:
        return self.clock.mono_ns()

    def run(self, ns: int, until: Callable[[], Any] = lambda: False) -> bool:
        """Let time pass, at most until something is so; whether it is."""
        end = self.now + ns
        while not until() and self.now < end:
            self.reactor.run_once(end - self.now)
        return bool(until())

    def start(self, ns: int = SECOND) -> None:
        self.link.start()
        self.run(ns)

    def close(self) -> None:
        self.link.stop("test ends")
        for leg in self.link._legs():
            leg.disconnect("test ends")
        self.reactor.run_once()
        self.reactor.close()


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Place]]:
    monkeypatch.setattr("venues.link.TcpTransport", Wire)
    made: list[Place] = []

    def make(*args: Any, **more: Any) -> Place:
        made.append(Place(*args, **more))
        return made[-1]

    yield make
    for place in made:
        place.close()


Places = Callable[..., Place]


def hello(wire: Wire) -> None:
    wire.send(b"hello")


def gaps(place: Place) -> list[float]:
    return [(b - a) / SECOND for a, b in itertools.pairwise(place.attempts)]


# -- deadlines of the phases -----------------------------------------------------------------------------------------


def test_a_logon_that_nobody_answers_is_cut_and_tried_again_and_is_no_refusal(places: Places, tmp_path: Path) -> None:
    place = places(tmp_path)
    place.start()
    assert place.run(40 * SECOND, lambda: place.made[0].losses)
    assert "no logon, for 30 s" in place.made[0].losses[0]
    assert place.run(10 * SECOND, lambda: len(place.attempts) == 2)
    assert place.link.counters()["refusals"] == 0
    assert place.alerts == []


def test_a_logout_that_nobody_answers_is_cut(places: Places, tmp_path: Path) -> None:
    place = places(tmp_path)
    place.behave = hello
    place.start()
    session = place.made[0]
    session.logout("rollover", place.now, 0)
    place.link.arm()
    assert place.run(20 * SECOND, lambda: session.losses)
    assert "no end of the logout, for 15 s" in session.losses[0]


def test_a_recovery_that_lasts_is_told_again_and_again(places: Places, tmp_path: Path) -> None:
    place = places(tmp_path)
    place.behave = lambda wire: wire.send(b"recover")
    place.start()
    place.run(200 * SECOND)
    told = [text for _, code, text in place.alerts if code == "late"]
    assert told == [f"s: missing messages still come, for {n} s" for n in (60, 120, 180)]
    assert not place.made[0].losses


def test_a_move_to_a_session_that_never_gets_ready_is_given_up(places: Places, tmp_path: Path) -> None:
    place = places(tmp_path, session='alternate_sender_comp_id = "B"')
    place.behave = hello
    place.start()
    place.behave = lambda wire: wire.send(b"recover")
    place.accepted[0].send(b"move")
    assert place.run(90 * SECOND, lambda: any("the new session failed" in text for _, _, text in place.alerts))
    assert "the new session is not ready, for 60 s" in place.alerts[-1][2]
    assert place.link.session is place.made[0]
    assert place.link.session.phase is SessionPhase.READY


# -- back-off --------------------------------------------------------------------------------------------------------


def test_a_session_that_logs_on_and_drops_at_once_does_not_start_over(places: Places, tmp_path: Path) -> None:
    place = places(tmp_path)
    place.link._backoff._random = lambda: 0.999  # the longest of each wait

    def drop(wire: Wire) -> None:
        hello(wire)
        place.reactor.call_later(2 * SECOND, wire.drop, "drop")

    place.behave = drop
    place.start(200 * SECOND)
    waits = [gap - 2 for gap in gaps(place)]
    assert waits[:7] == pytest.approx([0.5, 1, 2, 4, 8, 16, 30], rel=0.05, abs=0.1)


def test_a_session_that_stood_for_long_enough_starts_over(places: Places, tmp_path: Path) -> None:
    place = places(tmp_path, session="reconnect = { stable_s = 5 }")
    place.link._backoff._random = lambda: 0.999

    def drop(wire: Wire) -> None:
        hello(wire)
        place.reactor.call_later(6 * SECOND, wire.drop, "drop")

    place.behave = drop
    place.start(60 * SECOND)
    assert max(gaps(place)) < 7
    assert place.link.counters()["failures"] <= 1


def test_a_connection_that_stands_without_a_logon_is_no_success(places: Places, tmp_path: Path) -> None:
    place = places(tmp_path, session="reconnect = { stable_s = 5 }")
    place.start(300 * SECOND)
    assert place.link.counters()["failures"] >= 6


def test_it_never_gives_up_and_never_waits_longer_than_the_cap(places: Places, tmp_path: Path) -> None:
    place = places(tmp_path, session="reconnect = { cap_s = 20 }")
    place.down = True
    place.start(6 * HOUR)
    tries = place.link.connects
    assert tries >= 6 * 3600 / 21
    place.down = False
    place.behave = hello
    assert place.run(60 * SECOND, lambda: place.link.session.phase is SessionPhase.READY)


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_a_wrong_password_is_a_critical_alert_and_a_few_attempts_an_hour(places: Places, tmp_path: Path) -> None:
    place = places(tmp_path)
    place.behave = lambda wire: wire.send(b"no")
    place.start(HOUR)
    assert 5 <= len(place.attempts) <= 17
    waits = gaps(place)
    assert all(wait >= 7 for wait in waits)
    assert all(wait >= 300 for wait in waits[6:])
    assert {(severity, code) for severity, code, _ in place.alerts} == {("critical", "turned_away")}
    assert place.link.counters()["refusals"] == len(place.attempts)


def test_who_is_closed_out_without_a_word_does_not_hammer_and_is_back_within_a_minute(
    places: Places, tmp_path: Path
) -> None:
    place = places(tmp_path)
    place.behave = lambda wire: wire.drop()
    place.start(HOUR)
    assert all(7 <= wait <= 61 for wait in gaps(place))
    assert all(wait >= 30 for wait in gaps(place)[2:])
    assert [severity for severity, _, _ in place.alerts[:4]] == ["warning", "warning", "critical", "critical"]
    place.behave = hello
    assert place.run(61 * SECOND, lambda: place.link.session.phase is SessionPhase.READY)


def test_when_the_password_is_right_again_the_session_comes_back_by_itself(places: Places, tmp_path: Path) -> None:
    place = places(tmp_path)
    place.behave = lambda wire: wire.send(b"no")
    place.start(HOUR)
    place.behave = hello
    assert place.run(700 * SECOND, lambda: place.link.session.phase is SessionPhase.READY)


def test_the_other_id_is_tried_at_once_and_when_both_are_refused_the_wait_is_long(
    places: Places, tmp_path: Path
) -> None:
    place = places(tmp_path, session='alternate_sender_comp_id = "B"')
    place.behave = lambda wire: wire.send(b"no")
    place.start(HOUR)
    waits = gaps(place)
    assert waits[0] < 1
    assert all(wait >= 7 for wait in waits[1:])
    assert len(place.attempts) <= 18


def test_a_kill_switchs_own_session_is_never_away_for_more_than_a_minute(places: Places, tmp_path: Path) -> None:
    place = places(tmp_path, urgent=True)
    place.behave = lambda wire: wire.send(b"no")
    place.start(HOUR)
    assert max(gaps(place)) <= 61


# -- the gate ----------------------------------------------------------------------------------------------------------


def test_desks_of_one_machine_share_the_gate_of_a_venues_address(places: Places, tmp_path: Path) -> None:
    clock, gate = ManualClock(10**12, NOON), str(tmp_path / "gate")
    first = places(tmp_path / "one", gate=gate, clock=clock)
    others = [places(tmp_path / f"n{n}", gate=gate, clock=clock) for n in range(4)]
    desks = [first, *others]
    for place in desks:
        place.link._backoff._random = lambda: 0.0  # a storm: everybody at once, all the time
        place.behave = lambda wire: (wire.send(b"hello"), wire.drop())
        place.link.start()
    end = clock.mono_ns() + 120 * SECOND
    while clock.mono_ns() < end:
        for place in desks:
            place.reactor.run_once(50 * MS)
    asked = sorted(t for place in desks for t in place.attempts)
    assert len(asked) >= 12, "nobody is locked out"
    for at in asked:
        assert sum(at <= t < at + 60 * SECOND for t in asked) <= 15
    assert sorted(p.name for p in (tmp_path / "gate").iterdir()) == ["fix44-127.0.0.1-dr-ma-tr"]


def test_a_gate_that_others_keep_shut_is_told_again_and_again(places: Places, tmp_path: Path) -> None:
    place = places(tmp_path)
    gate = place.link._gate
    ask = gate.ask
    gate.ask = lambda mono_ns, kill=False: ask(mono_ns, kill) or 20 * SECOND  # type: ignore[method-assign]
    place.start(400 * SECOND)
    assert place.attempts == []
    told = [text for severity, code, text in place.alerts if (severity, code) == ("warning", "gate")]
    assert len(told) == len(place.alerts) == 2
    assert f"{tmp_path}/gate/" in told[0]
    assert "no attempt through for 180 s" in told[0]
    gate.ask = ask  # type: ignore[method-assign]
    assert place.run(61 * SECOND, lambda: place.attempts)


# -- the venue's calendar -----------------------------------------------------------------------------------------


def at(hour: int, minute: int = 0, second: int = 0) -> int:
    day = datetime(2026, 3, 2, tzinfo=UTC) + timedelta(hours=hour, minutes=minute, seconds=second)
    return int(day.timestamp()) * SECOND


LUNCH = """
[[venue.v.calendar.entry]]
name = "lunch"
what = "closed"
zone = "UTC"
start = 12:00:00
end = 13:00:00
leave_s = 5
"""


def test_while_the_venue_is_closed_nothing_is_tried_and_nothing_grows(places: Places, tmp_path: Path) -> None:
    place = places(tmp_path, venue=LUNCH, wall_ns=at(12, 10))
    place.behave = hello
    place.start(49 * 60 * SECOND)
    assert place.attempts == []
    assert place.phases[-1] == (SessionPhase.DISCONNECTED, "venue closed until 2026-03-02 13:00:00 UTC: lunch")
    assert place.phases[-1][1].startswith(VENUE_CLOSED)
    assert place.link.counters()["failures"] == 0
    assert place.run(71 * SECOND, lambda: place.attempts)
    assert at(13) <= place.clock.wall_ns() <= at(13, 0, 10)
    assert place.run(SECOND, lambda: place.link.session.phase is SessionPhase.READY)
    assert place.alerts == []


def test_it_logs_out_before_the_venue_closes_and_comes_back_after(places: Places, tmp_path: Path) -> None:
    place = places(tmp_path, venue=LUNCH, wall_ns=at(11, 59))
    place.behave = hello
    place.start()
    session = place.made[0]
    assert place.run(70 * SECOND, lambda: session.phase is SessionPhase.LOGGING_OUT)
    assert place.clock.wall_ns() - at(11, 59, 55) < SECOND
    place.accepted[0].send(b"bye")
    assert place.run(SECOND, lambda: place.phases[-1][1].startswith(VENUE_CLOSED))
    assert not place.run(59 * 60 * SECOND, lambda: len(place.attempts) > 1)
    assert place.run(80 * SECOND, lambda: len(place.attempts) == 2)
    assert place.link.counters()["failures"] == 0
    assert place.alerts == []


def test_who_comes_back_does_so_at_moments_of_their_own(places: Places, tmp_path: Path) -> None:
    moments = []
    for n in range(6):
        place = places(tmp_path / str(n), venue=LUNCH, wall_ns=at(12, 59, 50))
        place.behave = hello
        place.link.start()
        assert place.run(30 * SECOND, lambda place=place: place.attempts)
        moments.append(place.clock.wall_ns())
    assert len({m // (SECOND // 10) for m in moments}) > 2
    assert all(at(13) <= m <= at(13, 0, 11) for m in moments)


def test_a_clock_that_is_set_while_the_venue_is_closed_is_noticed(places: Places, tmp_path: Path) -> None:
    place = places(tmp_path, venue=LUNCH, wall_ns=at(12, 10))
    place.behave = hello
    place.start()
    place.clock.step_wall(at(13, 30) - place.clock.wall_ns())
    assert place.run(90 * SECOND, lambda: place.attempts)


def test_a_desk_that_says_else_is_obeyed_and_a_simulated_venue_keeps_only_what_the_desk_says(
    places: Places, tmp_path: Path
) -> None:
    off = '[venue.v.calendar]\nof = "kraken"\noff = ["daily-rollover"]\n'
    kept, left_out = at(22, 0, 10), {"venue": off, "wall_ns": at(22, 0, 10)}
    place = places(tmp_path / "a", venue='[venue.v.calendar]\nof = "kraken"\n', wall_ns=kept)
    place.start()
    assert place.attempts == []
    for n, more in enumerate([left_out, {"venue": '[venue.v.calendar]\nof = "kraken"\n', "simulated": True}]):
        place = places(tmp_path / f"b{n}", **{"wall_ns": kept, **more})
        place.start()
        assert len(place.attempts) == 1


def test_orders_that_must_be_cancelled_do_not_wait_for_a_venue_that_its_calendar_calls_closed(
    places: Places, tmp_path: Path
) -> None:
    place = places(tmp_path, venue=LUNCH, wall_ns=at(12, 10))
    place.down = True
    place.start(5 * 60 * SECOND)
    place.link.press()  # nobody presses: nothing is tried
    assert (place.run(5 * 60 * SECOND, lambda: place.link.connects), place.link.connects) == (False, 0)
    place.link.presses = lambda: True
    place.link.press()
    assert place.link.connects == 1
    place.down, place.behave = False, hello
    assert place.run(61 * SECOND, lambda: place.link.session.phase is SessionPhase.READY)
    assert place.run(5 * 60 * SECOND, lambda: place.made[0].losses) is False
    place.link.presses = lambda: False  # all are cancelled: it leaves
    assert place.run(61 * SECOND, lambda: place.link.session.phase is SessionPhase.LOGGING_OUT)


def test_a_session_stays_over_the_beginning_of_a_window_while_orders_must_be_cancelled(
    places: Places, tmp_path: Path
) -> None:
    place = places(tmp_path, venue=LUNCH, wall_ns=at(11, 59))
    place.behave = hello
    place.link.presses = lambda: True
    place.start(3 * 60 * SECOND)
    assert place.link.session.phase is SessionPhase.READY
    place.accepted[-1].drop()
    assert place.run(60 * SECOND, lambda: len(place.attempts) == 2)


def test_refusals_keep_no_cancel_away_for_more_than_a_minute(places: Places, tmp_path: Path) -> None:
    place = places(tmp_path)
    place.behave = lambda wire: wire.send(b"no")
    place.link.presses = lambda: True
    place.start(2 * HOUR)
    assert max(gaps(place)) <= 61


# -- certificates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "told"), [(3, True), (13, True), (14, False), (200, False), (-1, True)])
def test_a_certificate_that_ends_soon_is_told_and_its_days_are_a_figure(
    places: Places, tmp_path: Path, days: int, told: bool
) -> None:
    place = places(tmp_path)
    place.expires_ns = place.clock.wall_ns() + days * 86_400 * SECOND + HOUR
    place.behave = hello
    place.start()
    assert place.link.counters()["cert_days"] == days
    alerts = [text for _, code, text in place.alerts if code == "certificate"]
    assert alerts == ([f"s: the venue's certificate ends in {days} days (alerts begin below 14)"] if told else [])


def test_a_session_that_lasts_looks_at_its_certificate_once_a_day(places: Places, tmp_path: Path) -> None:
    place = places(tmp_path)
    place.expires_ns = place.clock.wall_ns() + 16 * 86_400 * SECOND + HOUR
    place.behave = hello
    place.start()
    for _ in range(4):
        place.clock.advance(24 * HOUR)
        place.run(SECOND)
    assert [code for _, code, _ in place.alerts] == ["certificate", "certificate"]
    assert place.link.counters()["cert_days"] == 12
