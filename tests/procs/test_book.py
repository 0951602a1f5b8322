"""The book process against a publisher that loses, repeats, restarts and says what nobody knows."""

import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from base.clock import SystemClock
from base.config import load
from ipc.books import BookReader, BookReason, BookRegion, BookState
from ipc.bus import Publisher
from ipc.commands import CommandServer
from ipc.events import BookDelta, BookSnapshot, BookStatus, Marker
from ipc.frames import read_header
from ipc.host import ProcessHost
from ipc.requests import Answer, AnyCommand, SnapshotRequest
from ipc.roster import command_endpoint, publisher_endpoint
from procs.book import Books

CONFIG = """
[desk]
name = "t"
environment = "test"
shm_dir = "{shm}"
[venue.v]
dialect = "fix44"
instruments = [{{ name = "BTC-USD", symbol = "BTC/USD", px_scale = 1, qty_scale = 3 }}]
[session.feed]
venue = "v"
kind = "marketdata"
address = "127.0.0.1:1"
sender_comp_id = "A"
target_comp_id = "V"
[book.l2]
sessions = ["feed"]
levels = 100
"""
TOPIC = "md.v.BTC-USD"
SECOND = 1_000_000_000
NEW, DELETE = 0, 2 << 8


def packed(*rows: tuple[int, ...]) -> bytes:
    return b"".join(struct.pack(f"<{len(r)}q", *r) for r in rows)


class Feed:
    """A market-data process reduced to its publisher."""

    def __init__(self, place: "Place", epoch: int = 0, name: str = "feed", topic: str = TOPIC) -> None:
        clock = SystemClock()
        self.topic = topic
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.publisher = Publisher(self.context, publisher_endpoint(place.desk, name), clock, epoch=epoch)
        self.server = CommandServer(self.context, command_endpoint(place.desk, name), clock, self._handle)
        self.asked = 0
        self.answers = True
        self.bids = packed((100, 5), (99, 7))
        self.asks = packed((101, 3))

    def _handle(self, command: AnyCommand, _identity: bytes) -> Answer:
        assert isinstance(command, SnapshotRequest)
        self.asked += 1
        if self.answers:
            self.snapshot()
            self.publisher.publish(self.topic, Marker(command.command_id, "snapshot", 0))
        return Answer(command.command_id, True)

    def snapshot(self, qty_scale: int = 3) -> None:
        self.publisher.publish(
            self.topic,
            BookSnapshot("v", "BTC-USD", 2, 1, qty_scale, self.bids, self.asks, 1, 0, 0),
            BookStatus("v", "BTC-USD", "LIVE", "OK", 0),
        )

    def delta(self, what: int, px: int, qty: int, last_id: int) -> None:
        self.publisher.publish(self.topic, BookDelta(2, packed((what, px, qty)), last_id, 0, 0))

    def turn(self) -> None:
        self.publisher.heartbeat(SystemClock().mono_ns())
        self.server.serve()

    def close(self) -> None:
        self.publisher.close()
        self.server.close()
        self.context.destroy(linger=0)


class Place:
    """A desk of one feed and one shard, the latter running in this thread."""

    def __init__(self, folder: Path, config: str = CONFIG) -> None:
        (folder / "config").mkdir()
        path = folder / "config" / "desk.toml"
        path.write_text(config.format(shm=folder / "shm"))
        self.desk = load(path)
        self.host = ProcessHost(self.desk, "book-l2", "book")
        assert self.host.take_role()
        self.feed = Feed(self)
        self.books = Books(self.host, "l2")
        self.reader: BookReader = BookRegion.open(self.desk.shm_dir / "book-l2").book("v", "BTC-USD")

    def until(self, condition: Callable[[], Any], seconds: float = 60) -> None:
        def look() -> bool:
            self.feed.turn()
            return bool(condition())

        assert self.host.reactor.run_until(look, int(seconds * SECOND)), f"not within {seconds} s: {self.status()}"

    def status(self) -> tuple[BookState, BookReason]:
        state, reason, _ = self.reader.status()
        return BookState(state), BookReason(reason)

    def until_live(self) -> None:
        self.until(lambda: self.status()[0] is BookState.LIVE)

    def steal_frame(self) -> None:
        """Take the next frame with events out of the process's socket: to it, that frame is lost."""
        socket = self.books.subscriber.socket
        while socket.poll(60_000):
            if read_header(socket.recv()).n_events:
                return
        raise AssertionError("no frame came")

    def close(self) -> None:
        self.books.region.close()
        self.host.close()
        self.feed.close()


@pytest.fixture
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="qd-") as folder:
        made = Place(Path(folder))
        yield made
        made.close()


def test_a_late_subscriber_asks_for_a_snapshot_and_then_follows(place: Place) -> None:
    place.until_live()
    assert place.reader.bbo() == (100, 5, 101, 3)
    place.feed.delta(NEW, 100, 9, 2)
    place.until(lambda: place.reader.bbo()[1] == 9)
    place.feed.delta(DELETE, 100, 0, 3)
    place.until(lambda: place.reader.bbo()[0] == 99)


def test_a_lost_frame_makes_the_book_stale_at_once_and_a_snapshot_heals_it(place: Place) -> None:
    place.until_live()
    place.feed.answers = False
    place.feed.delta(NEW, 100, 8, 2)
    place.steal_frame()
    place.feed.delta(NEW, 100, 9, 3)
    place.until(lambda: place.status() == (BookState.STALE, BookReason.GAP))
    place.feed.delta(NEW, 100, 11, 4)
    place.feed.answers = True
    place.until_live()
    assert place.reader.bbo() == (100, 5, 101, 3)
    assert place.books.counters["gaps"] == 1


def test_a_publisher_that_falls_silent_leaves_no_live_book(place: Place) -> None:
    place.until_live()
    quiet = place.host.reactor.run_until(lambda: place.status()[0] is BookState.STALE, 60 * SECOND)
    assert quiet
    assert place.status()[1] is BookReason.SESSION
    place.until_live()


def test_a_restarted_publisher_is_followed_into_its_new_epoch(place: Place) -> None:
    place.until_live()
    before = place.feed.publisher.epoch
    place.feed.close()
    place.feed = Feed(place, before + 1)
    place.feed.bids = packed((90, 1))
    place.until(lambda: place.status()[0] is BookState.LIVE and place.reader.bbo()[0] == 90)


def test_a_book_that_its_publisher_calls_stale_is_stale_here(place: Place) -> None:
    place.until_live()
    place.feed.answers = False
    place.feed.publisher.publish(TOPIC, BookStatus("v", "BTC-USD", "STALE", "CHECKSUM", 5))
    place.until(lambda: place.status() == (BookState.STALE, BookReason.CHECKSUM))
    place.feed.delta(NEW, 100, 9, 2)  # increments of a book that waits change nothing
    place.feed.snapshot()
    place.until_live()
    assert place.reader.bbo() == (100, 5, 101, 3)


def test_an_event_of_a_newer_publisher_is_skipped_and_the_book_goes_on(place: Place) -> None:
    place.until_live()
    unknown = msgspec.msgpack.encode(["of-the-future", 1, 2])
    delta = msgspec.msgpack.encode(BookDelta(2, packed((NEW, 100, 8)), 2, 0, 0))
    place.feed.publisher.publish_raw(TOPIC, 2, unknown + delta)
    place.until(lambda: place.reader.bbo()[1] == 8)
    assert place.books.counters["unknown_events"] == 1
    assert place.books.counters["gaps"] == 0


def test_an_event_that_cannot_be_read_makes_the_book_stale_and_kills_nobody(place: Place) -> None:
    place.until_live()
    place.feed.answers = False
    place.feed.publisher.publish_raw(TOPIC, 1, msgspec.msgpack.encode(["delta", "two", 5, 1, 0, 0]))
    place.until(lambda: place.status() == (BookState.STALE, BookReason.MALFORMED))
    place.feed.answers = True
    place.until_live()


def test_a_snapshot_at_other_scales_is_never_shown(place: Place) -> None:
    place.until_live()
    place.feed.answers = False
    place.feed.snapshot(qty_scale=4)
    place.until(lambda: place.status() == (BookState.STALE, BookReason.NUMBER))


def test_a_book_that_outgrows_its_extent_is_stale_and_not_cut(place: Place) -> None:
    place.until_live()
    place.feed.answers = False
    rows = [(NEW, 50 - i, 1) for i in range(101)]
    place.feed.publisher.publish(TOPIC, BookDelta(2, packed(*rows), 2, 0, 0))
    place.until(lambda: place.status() == (BookState.STALE, BookReason.CAPACITY))
