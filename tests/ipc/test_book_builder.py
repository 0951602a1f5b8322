"""The states of a book, told by hand-fed records and a hand-turned clock."""

import random
from collections.abc import Iterable

import pytest

from base.clock import ManualClock
from base.errors import BookError
from ipc.book_builder import Action, AskSnapshot, BookBuilder, BookRule, Changes, Continuity, Snapshot, Status
from ipc.books import BookReason, BookState
from tests.ipc.book_reference import HAS_CHECKSUM, HAS_FIRST_ID, HAS_LAST_ID, L2, Entry, NaiveL2, record, what

SECOND = 1_000_000_000


def bid(px: int, qty: int = 1) -> Entry:
    return (what(0), px, qty, 0, 0)


def ask(px: int, qty: int = 1) -> Entry:
    return (what(1), px, qty, 0, 0)


class Bench:
    """A builder with one book, a clock, and a naive copy of what was published."""

    def __init__(self, rule: BookRule | None = None, jitter: float = 0.5) -> None:
        self.clock = ManualClock()
        self.builder = BookBuilder(jitter=lambda: jitter)
        self.builder.add(0, rule or BookRule(), levels=100)

    def feed(self, *records: bytes) -> list[Action]:
        data = b"".join(records)
        return self.builder.feed(data, len(data) // 8, self.clock.mono_ns(), self.clock.wall_ns())

    def ready(self) -> list[Action]:
        return self.builder.session_ready(self.clock.mono_ns(), self.clock.wall_ns())

    def live(self) -> "Bench":
        self.ready()
        self.feed(record([bid(100), ask(110)], snapshot=True, flags=HAS_LAST_ID, last_id=1))
        assert self.state() == (BookState.LIVE, BookReason.OK)
        return self

    def turn(self, ns: int) -> list[Action]:
        self.clock.advance(ns)
        return self.builder.on_time(self.clock.mono_ns(), self.clock.wall_ns())

    def state(self) -> tuple[BookState, BookReason]:
        return self.builder.state(0)


def kinds(actions: Iterable[Action]) -> list[str]:
    return [type(a).__name__ for a in actions]


def statuses(actions: Iterable[Action]) -> list[tuple[BookState, BookReason]]:
    return [(a.state, a.reason) for a in actions if isinstance(a, Status)]


def test_a_new_book_is_recovering_and_asks_for_its_snapshot_when_the_session_is_ready() -> None:
    b = Bench()
    assert b.state() == (BookState.RECOVERING, BookReason.START)
    assert b.ready() == [AskSnapshot(0, 1, BookReason.START)]


def test_a_snapshot_is_published_before_the_book_is_called_live() -> None:
    b = Bench()
    b.ready()
    actions = b.feed(record([bid(1)], snapshot=True))
    assert kinds(actions) == ["Snapshot", "Status"]
    assert statuses(actions) == [(BookState.LIVE, BookReason.OK)]


def test_verified_changes_are_published_without_a_status() -> None:
    assert kinds(Bench().live().feed(record([bid(99)]), record([bid(98)]))) == ["Changes"]


def test_trades_alone_publish_no_change() -> None:
    assert Bench().live().feed(record([(2, 100, 1, 1, 1)])) == []


BREAKS = {
    BookReason.CHECKSUM: (Continuity.CHECKSUM, record([bid(99)], flags=HAS_CHECKSUM, checksum=1)),
    BookReason.GAP: (Continuity.UPDATE_IDS, record([bid(99)], flags=HAS_FIRST_ID | HAS_LAST_ID, first_id=3, last_id=4)),
    BookReason.NUMBER: (Continuity.NONE, record([bid(99)], flags=256)),
    BookReason.CROSSED: (Continuity.NONE, record([bid(110)])),
    BookReason.CAPACITY: (Continuity.NONE, record([bid(n) for n in range(101)])),
}


@pytest.mark.parametrize("reason", BREAKS)
def test_a_broken_rule_makes_the_book_stale_then_asks_and_heals_by_a_snapshot(reason: BookReason) -> None:
    continuity, bad = BREAKS[reason]
    b = Bench(BookRule(continuity=continuity))
    b.live()
    b.clock.advance(60 * SECOND)
    actions = b.feed(bad)
    assert statuses(actions) == [(BookState.STALE, reason), (BookState.RECOVERING, reason)]
    assert actions[-1] == AskSnapshot(0, 1, reason)
    assert b.feed(record([bid(98)])) == []
    actions = b.feed(record([bid(1)], snapshot=True, flags=HAS_LAST_ID, last_id=9))
    assert statuses(actions) == [(BookState.LIVE, BookReason.OK)]
    assert b.builder.books.book(0).side(0) == [(1, 1, 0)]


def test_a_book_that_keeps_breaking_asks_less_and_less_often() -> None:
    b = Bench(jitter=1.0)
    b.live()
    waits = []
    for _ in range(9):
        actions = b.feed(record([bid(110)]))
        assert statuses(actions) == [(BookState.STALE, BookReason.CROSSED)]
        began, actions = b.clock.mono_ns(), []
        while not actions:
            due = b.builder.deadline()
            assert due is not None
            actions = b.turn(due - b.clock.mono_ns())
        waits.append(b.clock.mono_ns() - began)
        assert kinds(actions) == ["Status", "AskSnapshot"]
        b.feed(record([bid(100), ask(110)], snapshot=True))
    assert waits == [min(SECOND // 2 * 2**i, 30 * SECOND) for i in range(9)]


def test_a_book_that_held_for_a_while_asks_at_once_again() -> None:
    b = Bench()
    b.live()
    b.feed(record([bid(110)]))
    b.turn(SECOND)
    b.feed(record([bid(100), ask(110)], snapshot=True))
    b.clock.advance(10 * SECOND)
    assert kinds(b.feed(record([bid(110)])))[-1] == "AskSnapshot"


def test_a_snapshot_that_does_not_come_is_asked_for_again() -> None:
    b = Bench()
    b.ready()
    assert b.builder.deadline() == b.clock.mono_ns() + 10 * SECOND
    assert statuses(b.turn(10 * SECOND)) == [(BookState.STALE, BookReason.SNAPSHOT)]
    assert b.turn(SECOND)[-1] == AskSnapshot(0, 2, BookReason.SNAPSHOT)


def test_a_feed_that_falls_silent_is_stale_unless_silence_is_normal() -> None:
    b = Bench(BookRule(stall_ns=5 * SECOND))
    b.live()
    b.turn(3 * SECOND)
    b.feed(record([bid(99)]))
    assert b.turn(4 * SECOND) == []
    assert statuses(b.turn(SECOND)) == [(BookState.STALE, BookReason.STALL)]
    quiet = Bench()
    quiet.live()
    assert quiet.turn(10**15) == []


def test_a_halted_market_may_be_silent_and_is_kept() -> None:
    b = Bench(BookRule(stall_ns=5 * SECOND))
    b.live()
    assert statuses(b.builder.halt(0, True, 7)) == [(BookState.HALTED, BookReason.VENUE_HALT)]
    assert b.turn(100 * SECOND) == []
    assert kinds(b.feed(record([bid(99)]))) == ["Changes"]
    assert statuses(b.builder.halt(0, False, 8)) == [(BookState.LIVE, BookReason.OK)]


def test_a_halt_during_recovery_shows_when_the_snapshot_is_there() -> None:
    b = Bench()
    b.ready()
    assert b.builder.halt(0, True, 7) == []
    assert statuses(b.feed(record([bid(1)], snapshot=True))) == [(BookState.HALTED, BookReason.VENUE_HALT)]


def test_a_crossed_book_shows_at_once_and_has_its_grace() -> None:
    b = Bench(BookRule(crossed_grace_ns=SECOND))
    b.live()
    assert statuses(b.feed(record([bid(110)]))) == [(BookState.CROSSED, BookReason.CROSSED)]
    assert statuses(b.feed(record([(what(0, 2), 110, 0, 0, 0)]))) == [(BookState.LIVE, BookReason.OK)]
    b.feed(record([bid(110)]))
    assert b.turn(SECOND - 1) == []
    assert statuses(b.turn(1))[0] == (BookState.STALE, BookReason.CROSSED)


def test_a_lost_session_makes_every_book_stale_and_asks_nothing_until_it_is_back() -> None:
    b = Bench(BookRule(stall_ns=SECOND))
    b.builder.add(1, BookRule())
    b.live()
    lost = b.builder.session_lost(9)
    assert statuses(lost) == [(BookState.STALE, BookReason.SESSION)] * 2
    assert "AskSnapshot" not in kinds(lost)
    assert b.turn(100 * SECOND) == []
    asks = [a for a in b.ready() if isinstance(a, AskSnapshot)]
    assert [(a.instrument, a.attempt) for a in asks] == [(0, 1), (1, 1)]


def test_a_hole_in_the_sessions_numbers_breaks_every_book() -> None:
    b = Bench().live()
    b.clock.advance(60 * SECOND)
    actions = b.builder.invalidate_all(BookReason.GAP, b.clock.mono_ns(), b.clock.wall_ns())
    assert statuses(actions)[0] == (BookState.STALE, BookReason.GAP)
    assert b.feed(record([bid(98)])) == []


def test_what_an_older_subscription_still_sends_is_not_listened_to() -> None:
    b = Bench()
    b.ready()
    b.builder.expect(0, 5)
    assert b.feed(record([bid(1)], snapshot=True, req_key=4)) == []
    assert kinds(b.feed(record([bid(1)], snapshot=True, req_key=5))) == ["Snapshot", "Status"]


def test_trades_of_a_stream_beside_the_book_do_not_heal_it() -> None:
    b = Bench(BookRule(continuity=Continuity.UPDATE_IDS))
    b.ready()
    b.builder.expect(0, 5)
    trade = record([(2, 100, 1, 1, 1)], req_key=6)
    b.feed(trade)
    assert b.state() == (BookState.RECOVERING, BookReason.START)
    b.feed(record([bid(1)], snapshot=True, req_key=5, flags=HAS_LAST_ID, last_id=1), trade)
    assert b.state() == (BookState.LIVE, BookReason.OK)
    hole = record([bid(2)], req_key=5, flags=HAS_FIRST_ID | HAS_LAST_ID, first_id=3, last_id=4)
    b.feed(hole, trade)
    b.feed(trade)
    assert b.state() == (BookState.STALE, BookReason.GAP)


def test_an_unknown_instrument_and_an_unknown_key_of_a_rule_are_errors() -> None:
    with pytest.raises(BookError, match="7"):
        Bench().builder.expect(7, 1)
    with pytest.raises(TypeError):
        BookRule(check=True)  # type: ignore[call-arg]


@pytest.mark.parametrize("seed", range(8))
def test_over_long_histories_with_faults_a_live_book_is_always_the_venues_book(seed: int) -> None:
    """A venue that drops, doubles and damages messages; what we call LIVE must equal what the venue has."""
    rng = random.Random(seed)
    continuity = rng.choice([Continuity.CHECKSUM, Continuity.UPDATE_IDS])
    b = Bench(BookRule(continuity=continuity), jitter=0.0)
    with_ids = continuity is Continuity.UPDATE_IDS
    venue, published, last_id, asked, was_live = NaiveL2(), NaiveL2(), 0, False, 0

    def apply(actions: list[Action]) -> None:
        nonlocal asked
        for a in actions:
            if isinstance(a, AskSnapshot):
                asked = True
            elif isinstance(a, Snapshot):
                published.sides[0].clear()
                published.sides[1].clear()
                for side, data in enumerate((a.verdict.bids, a.verdict.asks)):
                    words = memoryview(data).cast("q")
                    published.sides[side].update(zip(words[::2], words[1::2], strict=True))
            elif isinstance(a, Changes):
                for w, px, qty in L2.iter_unpack(a.verdict.changes):
                    published.apply((w, px, qty, 0, 0))

    def header() -> dict[str, int]:
        if with_ids:
            return {"flags": HAS_FIRST_ID | HAS_LAST_ID, "first_id": last_id, "last_id": last_id}
        return {"flags": HAS_CHECKSUM, "checksum": venue.crc()}

    apply(b.ready())
    for _ in range(1500):
        entries = []
        for _ in range(rng.randrange(1, 4)):
            side = rng.randrange(2)
            px = rng.randrange(100, 104) if side else rng.randrange(96, 100)
            entries.append((what(side, rng.choice([0, 1, 2])), px, rng.randrange(1, 5), 0, 0))
        for e in entries:
            venue.apply(e)
        last_id += 1
        message = record(entries, **header())  # type: ignore[arg-type]
        fault = rng.random()
        if fault < 0.01:
            continue  # lost
        if fault < 0.02 and with_ids:
            message += message
        if fault > 0.99:
            message = record(entries, **{**header(), "flags": header()["flags"] | 256})  # type: ignore[arg-type]
        apply(b.feed(message))
        if asked and rng.random() < 0.3:
            asked = False
            whole = [(what(s), px, q, 0, 0) for s in (0, 1) for px, q in venue.sides[s].items()]
            head = {"flags": HAS_LAST_ID, "last_id": last_id} if with_ids else {}
            apply(b.feed(record(whole, snapshot=True, **head)))  # type: ignore[arg-type]
        if b.state()[0] is BookState.LIVE:
            was_live += 1
            assert published.levels(0) == venue.levels(0)
            assert published.levels(1) == venue.levels(1)
        b.turn(SECOND)
        apply(b.turn(0))
    assert was_live > 300
