"""The book process with two sources of one book: it follows one at a time; the other's snapshot takes it over."""

import itertools
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from base.clock import ManualClock
from base.config import load
from ipc.book_sources import Fitness
from ipc.books import BookReason, BookRegion, BookState
from ipc.bus import Subscriber
from ipc.events import Alert, AnyEvent, BookDelta, BookSnapshot, BookSource, BookStatus, Marker
from ipc.frames import encode_event
from ipc.host import ProcessHost
from ipc.requests import AnyCommand
from ipc.roster import publisher_endpoint
from procs.book import ASK_AGAIN_NS, Books
from tests.procs.test_book import CONFIG, NEW, SECOND, TOPIC, Feed, Place, packed

BESIDE = """
[session.feed2]
venue = "v"
kind = "marketdata"
address = "127.0.0.1:1"
sender_comp_id = "A2"
target_comp_id = "V"
redundant_with = "feed"
"""
TWO = (CONFIG + BESIDE).replace('sessions = ["feed"]', 'sessions = ["feed", "feed2"]')


class Pair(Place):
    """A shard with two feeds; the second has other prices, so that a mixture would show."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, TWO)
        self.second = Feed(self, name="feed2", topic="md@feed2.v.BTC-USD")
        self.second.bids, self.second.asks = packed((200, 5)), packed((201, 3))
        self.told: list[AnyEvent] = []
        self.ears = Subscriber(self.host.context)
        self.ears.connect(publisher_endpoint(self.desk, "book-l2"))
        for topic in ("state.book-l2", "alert.book-l2"):
            self.ears.subscribe(topic, exact=True)

    def until(self, condition: Callable[[], Any], seconds: float = 60) -> None:
        def look() -> bool:
            self.second.turn()
            self.told += [d.event for d in self.ears.receive() if isinstance(d.event, BookSource | Alert)]
            return bool(condition())

        super().until(look, seconds)

    def until_from(self, bid: int) -> None:
        self.until(lambda: self.status()[0] is BookState.LIVE and self.reader.bbo()[0] == bid)

    def until_second_is(self, fitness: Fitness, say: Callable[[], object]) -> None:
        """The second one says so until it is heard: who has just connected hears nothing of before."""

        def heard() -> bool:
            if self.books.books[0].sources.fitness(1) is fitness:
                return True
            say()
            return False

        self.until(heard)

    def sources(self) -> list[tuple[str, str, str]]:
        return [(e.previous, e.session, e.reason) for e in self.told if isinstance(e, BookSource)]

    def close(self) -> None:
        self.ears.close()
        self.second.close()
        super().close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    with tempfile.TemporaryDirectory(prefix="qd-") as folder:
        made = Pair(Path(folder))
        yield made
        made.close()


def test_a_source_that_breaks_is_left_for_the_other_and_both_strategies_and_operators_see_it(pair: Pair) -> None:
    pair.until_from(100)
    pair.until_second_is(Fitness.FIT, pair.second.snapshot)  # it is kept there, too, and nobody here takes it
    pair.second.delta(NEW, 200, 7, 2)
    pair.feed.delta(NEW, 100, 9, 2)
    pair.until(lambda: pair.reader.bbo() == (100, 9, 101, 3))
    pair.feed.answers = False
    pair.feed.publisher.publish(TOPIC, BookStatus("v", "BTC-USD", "STALE", "GAP", 5))
    pair.until_from(200)
    pair.feed.delta(NEW, 100, 11, 3)  # what the first one goes on to say changes nothing
    pair.second.delta(NEW, 200, 8, 3)
    pair.until(lambda: pair.reader.bbo() == (200, 8, 201, 3))
    assert [px for px, *_ in pair.reader.depth(0)[0]] == [200]
    pair.until(lambda: any(isinstance(e, Alert) and e.severity == "warning" for e in pair.told))
    assert ("feed", "feed2", "GAP") in pair.sources()
    assert (pair.host.page.readiness.value, pair.host.page.reason) == ("READY", "1 books from feed2")
    pair.feed.snapshot()  # the first is well again: it is said, and the book stays where it is
    pair.until(lambda: any(isinstance(e, Alert) and e.severity == "info" for e in pair.told))
    assert pair.reader.bbo()[0] == 200
    assert ("book_source", "feed") in {(e.code, e.subject) for e in pair.told if isinstance(e, Alert)}
    pair.second.answers = False
    pair.second.publisher.publish(pair.second.topic, BookStatus("v", "BTC-USD", "STALE", "SESSION", 5))
    pair.feed.answers = True
    pair.until_from(100)
    assert pair.books.counters["source_changes"] >= 2


def test_a_source_that_falls_silent_is_left_though_it_says_nothing_of_itself(pair: Pair) -> None:
    pair.until_from(100)
    pair.until_second_is(Fitness.FIT, pair.second.snapshot)

    def look() -> bool:
        pair.second.turn()  # the first one neither publishes nor answers
        return pair.status()[0] is BookState.LIVE and pair.reader.bbo()[0] == 200

    assert pair.host.reactor.run_until(look, 60 * SECOND)
    pair.until(lambda: ("feed", "feed2", "SESSION") in pair.sources())


def test_with_no_other_source_that_is_fit_the_book_stays_and_says_why(pair: Pair) -> None:
    pair.until_from(100)
    pair.second.answers = pair.feed.answers = False
    recovering = BookStatus("v", "BTC-USD", "RECOVERING", "START", 5)
    pair.until_second_is(Fitness.UNFIT, lambda: pair.second.publisher.publish(pair.second.topic, recovering))
    pair.feed.publisher.publish(TOPIC, BookStatus("v", "BTC-USD", "STALE", "CHECKSUM", 5))
    pair.until(lambda: pair.status() == (BookState.STALE, BookReason.CHECKSUM))
    pair.second.answers = True
    pair.second.snapshot()  # the other one is there first
    pair.until_from(200)


# -- random histories, without sockets ---------------------------------------------------------------------------------


class Asked:
    """A market-data process's command line: what it is asked for waits there."""

    client_id = "book"

    def __init__(self) -> None:
        self.waiting: list[str] = []
        self._ids = itertools.count()

    def next_command_id(self) -> str:
        return str(next(self._ids))

    def send(self, command: AnyCommand) -> None:
        self.waiting.append(command.command_id)

    def receive(self) -> list[Any]:
        return []


class Histories:
    """Two sources that change, lose, break, fall silent and heal, and a book process in between."""

    def __init__(self, folder: Path, seed: int) -> None:
        (folder / "config").mkdir()
        path = folder / "config" / "desk.toml"
        path.write_text(TWO.format(shm=folder / "shm"))
        self.clock, self.random = ManualClock(), random.Random(seed)
        desk = load(path)
        self.host = ProcessHost(desk, "book-l2", "book", clock=self.clock)
        assert self.host.take_role()
        self.books = Books(self.host, "l2")
        for client in self.books.clients.values():
            client.close()
        self.asked = [Asked(), Asked()]
        self.books.clients = dict(zip(("feed", "feed2"), self.asked, strict=True))  # type: ignore[arg-type]
        (self.kept,) = self.books.books
        self.reader = BookRegion.open(desk.shm_dir / "book-l2").book("v", "BTC-USD")
        self.truth: list[dict[int, int]] = [{}, {}]
        self.is_live = [False, False]
        self.was_live = [0, 0]

    def say(self, source: int, *events: AnyEvent) -> None:
        self.books._take(self.kept, source, 1, 1, len(events), memoryview(b"".join(map(encode_event, events))))

    def snapshot(self, source: int) -> tuple[AnyEvent, AnyEvent]:
        bids = packed(*sorted(self.truth[source].items(), reverse=True))
        snapshot = BookSnapshot("v", "BTC-USD", 2, 1, 3, bids, packed((9_000, 1)), 1, 0, 0)
        return snapshot, BookStatus("v", "BTC-USD", "LIVE", "OK", 0)

    def step(self) -> None:
        r, source = self.random, self.random.randrange(2)
        what = r.choice(["change"] * 6 + ["lose", "break", "heal", "heal", "silent", "answer", "answer", "beat"])
        match what:
            case "change" | "lose" if self.is_live[source]:
                px, qty = 1_000 * (source + 1) + r.randrange(20), r.randint(1, 9)
                self.truth[source][px] = qty
                if what == "lose":
                    self.books._lose(self.kept, source, BookReason.GAP)
                else:
                    self.say(source, BookDelta(2, packed((NEW, px, qty)), 2, 0, 0))
            case "break":
                self.is_live[source] = False
                self.say(source, BookStatus("v", "BTC-USD", r.choice(["STALE", "RECOVERING"]), "CHECKSUM", 0))
            case "heal":
                self.is_live[source] = True
                self.truth[source] = {1_000 * (source + 1) + n: r.randint(1, 9) for n in range(r.randint(1, 5))}
                self.say(source, *self.snapshot(source))
            case "silent":
                self.books._lose(self.kept, source, BookReason.SESSION)
            case "answer":
                self.answer(source)
            case "beat":
                self.clock.advance(ASK_AGAIN_NS // 2)
                self.books._beat()

    def answer(self, source: int) -> None:
        answered, self.asked[source].waiting = self.asked[source].waiting, []
        for asked in answered:
            end = Marker(asked, "snapshot", 0)
            if self.is_live[source]:
                self.say(source, *self.snapshot(source), end)
            else:
                self.say(source, BookStatus("v", "BTC-USD", "RECOVERING", "START", 0), end)

    def check(self) -> None:
        """A book that is LIVE is the book of the one source that it is taken from, to the last change."""
        self.books.region.heartbeat(time.monotonic_ns())  # readers have clocks of their own
        if self.reader.status()[0] == BookState.LIVE:
            source = self.kept.sources.current
            bids = {px: qty for px, qty, _ in self.reader.depth(0)[0]}
            assert bids == self.truth[source]
            self.was_live[source] += 1

    def close(self) -> None:
        self.books.region.close()
        self.host.close()


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_to_either_source_a_live_book_is_one_of_them_to_the_last_change(seed: int) -> None:
    with tempfile.TemporaryDirectory(prefix="qd-") as folder:
        table = Histories(Path(folder), seed)
        try:
            for _ in range(1_500):
                table.step()
                table.check()
            assert min(table.was_live) > 100  # both had their turn
            assert table.books.counters["source_changes"] > 10
            heals = table.random.randrange(2)
            table.is_live = [heals == 0, heals == 1]  # one of them answers from now on, the other one is gone
            table.books._lose(table.kept, 1 - heals, BookReason.SESSION)
            for _ in range(20):
                table.clock.advance(ASK_AGAIN_NS)
                table.books._beat()
                table.answer(heals)
                table.check()
            assert table.reader.status()[0] == BookState.LIVE
            assert table.kept.sources.current == heals
        finally:
            table.close()
