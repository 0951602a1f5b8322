"""Two sessions joined by a pipe that loses, cuts, garbles and restarts: long random histories keep the promises.

Reports of the acceptor arrive exactly once and in order; an order of the initiator never leaves twice; once things
calm down, the numbers of both ends agree.
"""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.clock import ManualClock
from fix.codec import Message
from fix.session import FixSession
from fix.session_events import Disconnect, FieldDefect, GapClosed, GapOpened, Halted, LoggedOn, Refused, SessionEvent
from fix.settings import SequencePolicy, SessionSettings
from fix.store import MemoryStore
from tests.fix.session_kit import ACCEPTOR, INITIATOR, Recorder, S


class JournalFullError(Exception):
    """The owner could not journal a message."""


class End(Recorder):
    """One end: session, store that outlives it, journal of what its owner took, bytes on their way out."""

    def __init__(self, given_settings: SessionSettings, clock: ManualClock) -> None:
        super().__init__()
        self.settings = given_settings
        self.clock = clock
        self.store = MemoryStore(clock.wall_ns())
        self.journal: list[int] = []
        self.wire = bytearray()
        self.said: list[int] = []
        self.ending = self.failing = self.garbled = False
        self.restart()

    def restart(self) -> None:
        self.session = FixSession(self.settings, self.store, self)

    def on_message(self, message: Message, flags: int, defects: tuple[FieldDefect, ...]) -> None:
        if self.failing:
            self.failing = False
            raise JournalFullError
        self.journal.append(message.need_int(58))

    def on_event(self, event: SessionEvent) -> None:
        super().on_event(event)
        self.ending |= isinstance(event, Disconnect)

    def speak(self, kind: str) -> None:
        if self.session.is_logged_on:
            number = len(self.said) + 1
            self.session.send(kind, b"58=%d\x01" % number, *self.times())
            self.said.append(number)

    def times(self) -> tuple[int, int]:
        return self.clock.mono_ns(), self.clock.wall_ns()

    def hear(self, data: bytes) -> None:
        try:
            self.session.received(data, *self.times())
        except JournalFullError:
            self.hear(b"")  # what came behind it


class Pair:
    """Initiator and acceptor, and the pipe between them."""

    def __init__(self, **changes: object) -> None:
        self.clock = ManualClock()
        self.desk = End(replace(INITIATOR, **changes), self.clock)  # type: ignore[arg-type]
        self.venue = End(replace(ACCEPTOR, **changes), self.clock)  # type: ignore[arg-type]
        self.up = False
        self.orders_left: list[int] = []

    def step(self, op: str, size: int) -> None:
        getattr(self, op)(size)
        self.due()
        for end in (self.desk, self.venue):
            if end.ending and self.up:
                self.carry(end, len(end.wire))
                self.cut(0)

    def order(self, size: int) -> None:
        self.desk.speak("D")

    def report(self, size: int) -> None:
        for _ in range(size % 4):
            self.venue.speak("8")

    def to_venue(self, size: int) -> None:
        self.carry(self.desk, size * 32)

    def to_desk(self, size: int) -> None:
        self.carry(self.venue, size * 32)

    def carry(self, source: End, size: int) -> None:
        data = bytes(source.wire[:size])
        del source.wire[:size]
        source.garbled &= bool(source.wire)
        if data:
            (self.venue if source is self.desk else self.desk).hear(data)

    def garble(self, size: int) -> None:
        """One flipped bit in what is under way: more than one might cancel out in the CheckSum."""
        for end in (self.desk, self.venue):
            if end.wire and not end.garbled:
                end.garbled = True
                end.wire[size % len(end.wire)] ^= 1

    def cut(self, size: int) -> None:
        """The connection breaks; what was under way is lost, but for `size` bytes of the venue's."""
        if not self.up:
            return
        self.carry(self.venue, size)
        self.up = False
        for end in (self.desk, self.venue):
            end.session.disconnected("cut", *end.times())
            end.wire.clear()
            end.ending = end.garbled = False

    def crash(self, size: int) -> None:
        """One process ends without a word and starts again on its store."""
        self.cut(size)
        (self.desk if size % 2 else self.venue).restart()

    def connect(self, size: int) -> None:
        if self.up:
            return
        self.up = True
        self.venue.session.connected(self.venue.wire.extend, *self.venue.times())
        self.desk.session.connected(self.watch, *self.desk.times())

    def watch(self, raw: bytes) -> None:
        message = Message.parse(raw)
        if message.msg_type == "D":
            self.orders_left.append(message.need_int(58))
        self.desk.wire.extend(raw)

    def fail(self, size: int) -> None:
        (self.desk if size % 2 else self.venue).failing = True

    def time(self, size: int) -> None:
        self.clock.advance(size * S // 40)
        for end in (self.desk, self.venue):
            end.session.tick(*end.times())

    def logout(self, size: int) -> None:
        end = self.desk if size % 2 else self.venue
        end.session.logout("enough", *end.times())

    # --- the promises

    def calm(self) -> None:
        """No more faults: connect, carry everything, let time go by until both ends agree."""
        for end in (self.desk, self.venue):
            end.failing = False
        for _ in range(400):
            self.step("connect", 0)
            while self.up and (self.desk.wire or self.venue.wire or self.due()):
                self.step("to_venue", 1 << 20)
                self.step("to_desk", 1 << 20)
            if self.up and self.agree():
                return
            self.step("time", 40)
        raise AssertionError(f"no agreement: {self.desk.events[-5:]} {self.venue.events[-5:]}")

    def due(self) -> bool:
        """Tick whoever has something to do right now, as a reactor would."""
        now = self.clock.mono_ns()
        late = [e for e in (self.desk, self.venue) if (e.session.deadline_ns or now + 1) <= now]
        for end in late:
            end.session.tick(*end.times())
        return bool(late)

    def agree(self) -> bool:
        one, two = self.desk.session, self.venue.session
        states = {one.state.value, two.state.value}
        return states == {"logged_on"} and (one.next_in, two.next_in) == (two.next_out, one.next_out)

    def check(self) -> None:
        assert len(self.orders_left) == len(set(self.orders_left)), "an order left twice"
        taken = self.venue.journal
        assert taken == sorted(set(taken)), "orders arrive in order, none twice"
        assert not self.desk.events_of(Halted)

    def check_complete(self) -> None:
        assert self.desk.journal == self.venue.said, "every report exactly once, in order"
        assert not [e for end in (self.desk, self.venue) for e in end.events_of(Disconnect) if e.fresh]
        refusals = [e for end in (self.desk, self.venue) for e in end.events_of(Refused)]
        assert all("before Logon" in e.text or e.text == "enough" for e in refusals), "but for a Logon that was garbled"


OPS = ["order", "report", "to_venue", "to_desk", "connect", "cut", "crash", "fail", "time", "logout", "garble"]
WEIGHTS = [12, 12, 20, 20, 8, 1, 1, 2, 6, 1, 2]
HISTORIES = st.lists(st.tuples(st.sampled_from(OPS), st.integers(0, 200)), max_size=120)


def play(pair: Pair, history: list[tuple[str, int]]) -> None:
    for op, size in history:
        pair.step(op, size)
    pair.calm()
    pair.check()


@given(HISTORIES)
def test_any_history_loses_no_report_and_repeats_no_order(history):
    pair = Pair()
    play(pair, [("connect", 0), ("to_venue", 200), ("to_desk", 200), *history])
    pair.check_complete()


@given(HISTORIES, st.booleans(), st.integers(0, 3), st.integers(1, 5))
def test_so_it_is_with_tight_bounds(history, end_zero, gap_buffer, chunk):
    pair = Pair(resend_end_zero=end_zero, gap_buffer=gap_buffer, resend_chunk=chunk)
    play(pair, [("connect", 0), ("to_venue", 200), ("to_desk", 200), *history])
    pair.check_complete()


@given(HISTORIES)
def test_with_a_reset_at_each_logon_nothing_comes_twice(history):
    pair = Pair(sequence_policy=SequencePolicy.RESET_AT_LOGON, supports_resend=False)
    play(pair, history)
    taken = pair.desk.journal
    assert taken == sorted(set(taken))
    assert not [m for m in pair.desk.events if isinstance(m, GapOpened)]


def random_history(seed: int, length: int) -> list[tuple[str, int]]:
    rng = random.Random(seed)
    return [(op, rng.randrange(201)) for op in rng.choices(OPS, WEIGHTS, k=length)]


@pytest.mark.parametrize("seed", range(8))
def test_long_histories(seed):
    pair = Pair(gap_buffer=seed * 3)
    play(pair, random_history(seed, 3000))
    pair.check_complete()
    assert len(pair.desk.journal) > 100
    assert len(pair.desk.events_of(LoggedOn)) > 5
    assert len(pair.desk.events_of(GapClosed)) > 5


@pytest.mark.stress
@pytest.mark.parametrize("seed", range(100, 120))
def test_very_long_histories(seed):
    pair = Pair(gap_buffer=seed % 7, resend_end_zero=bool(seed % 2), resend_chunk=1 + seed % 11)
    play(pair, random_history(seed, 20_000))
    pair.check_complete()
