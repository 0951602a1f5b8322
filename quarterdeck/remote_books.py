"""Books on another host: kept here from the market-data stream, in a region of this process's own.

A book process of one client, in a thread: the same region, so the same readers. A hole in the stream or a silence makes
a book STALE at once; a snapshot, asked for over the command port, heals it.
"""

import contextlib
import logging
import shutil
import tempfile
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, Protocol

from base.config import DeskConfig
from base.errors import BusError, ConfigError, SchemaError
from base.instruments import Instrument
from ipc.books import BookReason, BookRegion, BookSpec, BookState, RegionOwner, SharedBook, create_region
from ipc.bus import Subscriber
from ipc.command_client import CommandClient
from ipc.events import BookDelta, BookSnapshot, BookStatus
from ipc.recovery import SnapshotRecovery
from ipc.requests import SnapshotRequest
from ipc.roster import book_topic
from ipc.sequence import Delivery, Gap

MS: Final = 1_000_000
BEAT_NS: Final = 100 * MS
TURN_MS: Final = 20
KEPT: Final = ("LIVE", "CROSSED", "HALTED")

log = logging.getLogger("remote books")


class Sockets(Protocol):
    """What the thread opens for itself."""

    def subscriber(self) -> Subscriber:
        """One that hears the forwarder."""

    def asker(self, process: str) -> CommandClient:
        """A command socket of its own."""


class Kept:
    """One book: a market-data topic applied to memory. No I/O."""

    def __init__(self, session: str, instrument: Instrument, level: int, book: SharedBook) -> None:
        self.session = session
        self.topic = book_topic(instrument.venue, instrument.name, level)
        self.recovery = SnapshotRecovery(self.topic)
        self._book = book
        self._scales = instrument.px_scale, instrument.qty_scale

    def heard(self, delivery: Delivery, wall_ns: int) -> None:
        """A live delivery of the topic."""
        event = delivery.event
        if isinstance(event, Gap) and event.kind == "silent":
            self.lose(BookReason.SESSION, wall_ns)
            return
        for told in self.recovery.heard(delivery):
            self._apply(told, wall_ns)

    def lose(self, reason: BookReason, wall_ns: int) -> None:
        """The book is not to be believed until the next snapshot."""
        self.recovery = SnapshotRecovery(self.topic)
        self._book.set_status(BookState.STALE, reason, wall_ns)

    def _apply(self, told: Delivery, wall_ns: int) -> None:
        event = told.event
        if isinstance(event, Gap):
            self._book.set_status(BookState.STALE, BookReason.GAP, wall_ns)
        elif isinstance(event, BookSnapshot):
            if (event.px_scale, event.qty_scale) != self._scales:
                self.lose(BookReason.NUMBER, wall_ns)
                return
            self._check(
                self._book.replace(event.bids, event.asks, event.last_update_id, event.sending_ns, event.recv_ns),
                wall_ns,
            )
        elif isinstance(event, BookDelta) and self.live:
            change = event.changes, event.last_update_id, event.sending_ns, event.recv_ns
            self._check(self._book.apply_changes(*change), wall_ns)
        elif isinstance(event, BookStatus) and (event.status not in KEPT or self.live):
            self._book.set_status(BookState[event.status], BookReason[event.reason], event.since_ns)

    @property
    def live(self) -> bool:
        """Changes apply to it."""
        return self._book.status[0] not in (BookState.RECOVERING, BookState.STALE)

    def _check(self, reason: int, wall_ns: int) -> None:
        if reason:
            self.lose(BookReason(reason), wall_ns)


class RemoteBooks:
    """The books of one client. `region` may be called from any thread; all else happens in the one of its own."""

    def __init__(self, desk: DeskConfig, sockets: Sockets) -> None:
        self._desk, self._sockets = desk, sockets
        shm = Path("/dev/shm")
        self._folder = Path(tempfile.mkdtemp(prefix="quarterdeck-remote-", dir=shm if shm.is_dir() else None))
        self._regions: dict[tuple[str, str, int], BookRegion] = {}
        self._owners: list[RegionOwner] = []
        self._new: SimpleQueue[Kept] = SimpleQueue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def region(self, venue: str, instrument: str, level: int) -> tuple[BookRegion, int]:
        """The region with this book, and the level; RECOVERING until a snapshot. ConfigError: nobody keeps it."""
        session, shard, found = self._source(venue, instrument, level)
        key = venue, instrument, found
        if key not in self._regions:
            config, scales = self._desk.config.book[shard], self._desk.instruments[venue, instrument]
            orders = config.orders if found == 3 else 0
            spec = BookSpec(venue, instrument, scales.px_scale, scales.qty_scale, found, config.levels, orders)
            path = self._folder / f"{len(self._owners)}"
            owner = create_region(path, [spec])
            self._owners.append(owner)
            self._regions[key] = BookRegion.open(path)
            self._new.put(Kept(session, scales, found, owner.book(venue, instrument, found)))
            self._begin()
        return self._regions[key], found

    def _source(self, venue: str, instrument: str, level: int) -> tuple[str, str, int]:
        """(session, shard, level); of redundant sessions the first."""
        kept = {
            found: (session, shard)
            for shard in self._desk.config.book
            for session, i, found in self._desk.shard_books(shard)
            if (i.venue, i.name) == (venue, instrument)
        }
        wanted = level or min(kept, default=2)
        if wanted not in kept:
            raise ConfigError(f"{self._desk.path}: no book shard keeps {venue} {instrument} at level {wanted}")
        return *kept[wanted], wanted

    def close(self) -> None:
        """Stop, and take the regions away."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for owner in self._owners:
            owner.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- the thread ----------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="quarterdeck-remote-books", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        keeper = Keeper(self._sockets)
        try:
            while not self._stop.is_set():
                with contextlib.suppress(Empty):
                    while True:
                        keeper.add(self._new.get_nowait())
                keeper.turn(time.monotonic_ns(), time.time_ns())
                for owner in list(self._owners):
                    owner.heartbeat(time.monotonic_ns())
                keeper.subscriber.socket.poll(TURN_MS)
        except SchemaError as e:  # the desk went over to another version: nothing heard of it can be believed
            log.warning("books of another host are kept no more: %s", e)
        finally:
            keeper.close(time.time_ns())


class Keeper:
    """The thread's side: sockets, and which topic is which book."""

    def __init__(self, sockets: Sockets, subscriber: Subscriber | None = None) -> None:
        self.subscriber = subscriber or sockets.subscriber()
        self._sockets = sockets
        self._books: dict[str, Kept] = {}
        self._askers: dict[str, CommandClient] = {}
        self._check_ns = 0

    def add(self, kept: Kept) -> None:
        """Keep this one, too."""
        self._books[kept.topic] = kept
        self.subscriber.subscribe(kept.topic, exact=True)
        self.subscriber.expect([kept.topic], time.monotonic_ns())

    def turn(self, mono_ns: int, wall_ns: int) -> None:
        """Apply what waits; ask for what is missing."""
        for delivery in self.subscriber.receive():
            self._books[delivery.topic].heard(delivery, wall_ns)
        if mono_ns >= self._check_ns:
            self._check_ns = mono_ns + BEAT_NS
            for delivery in self.subscriber.check(mono_ns):
                self._books[delivery.topic].heard(delivery, wall_ns)
            for asker in self._askers.values():
                asker.receive()
        for kept in self._books.values():
            self._ask(kept, mono_ns, wall_ns)

    def _ask(self, kept: Kept, mono_ns: int, wall_ns: int) -> None:
        kept.recovery.seen(*self.subscriber.position(kept.topic))
        if kept.recovery.live:
            return
        if kept.session not in self._askers:
            self._askers[kept.session] = self._sockets.asker(kept.session)
        asker = self._askers[kept.session]
        ask = kept.recovery.ask(mono_ns) if asker.connected else None
        if ask is None:
            return
        try:
            asker.send(SnapshotRequest(asker.client_id, asker.next_command_id(), 0, kept.topic))
        except BusError as e:  # the forwarder has gone just now: it is asked again
            log.debug("%s: %s", kept.topic, e)

    def close(self, wall_ns: int) -> None:
        """Nobody looks after the books any more, and they say so."""
        for kept in self._books.values():
            kept.lose(BookReason.SESSION, wall_ns)
        self.subscriber.close()
        for asker in self._askers.values():
            asker.close()
