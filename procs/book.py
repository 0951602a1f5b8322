"""Books in shared memory: one process for one shard, which is the only writer of one region.

Takes verified snapshots and changes from the market-data processes. A hole in a topic makes its book STALE at once; a
snapshot, asked for from the publisher and delivered in band, heals it. A restart replaces the region; readers follow.
Where two sessions carry the same books, each book is taken from one of them at a time (ipc/book_sources.py).
"""

import logging
import sys
from collections import Counter

from base.config import DeskConfig
from base.errors import BusError
from base.histogram import LogHistogram
from base.instruments import Instrument
from base.reactor import Priority
from ipc.book_sources import BookSources, Fitness
from ipc.books import BookReason, BookState, SharedBook, create_region, shard_specs
from ipc.bus import Subscriber
from ipc.command_client import CommandClient
from ipc.events import AnyEvent, BookDelta, BookSnapshot, BookSource, BookStatus, Marker, TopOfBook
from ipc.host import ProcessHost, run_process
from ipc.metrics import MetricsFile
from ipc.readiness import Readiness
from ipc.requests import SnapshotRequest
from ipc.roster import book_topic, command_endpoint, publisher_endpoint
from ipc.sequence import Gap, decode

MS = 1_000_000
BEAT_NS = 100 * MS
ASK_AGAIN_NS = 1_000 * MS
FRAMES_A_TURN = 256
KEPT = (BookState.LIVE, BookState.CROSSED, BookState.HALTED)

log = logging.getLogger("book")


class Kept:
    """One book of the region and where its data comes from."""

    def __init__(self, sessions: tuple[str, ...], instrument: Instrument, level: int, book: SharedBook) -> None:
        self.sources = BookSources(sessions)
        self.topics = [
            book_topic(instrument.venue, instrument.name, level, session if session != sessions[0] else "")
            for session in sessions
        ]
        self.venue = instrument.venue
        self.instrument = instrument.name
        self.level = level
        self.book = book
        self.waiting = True  # for a snapshot
        self.began = False  # it was LIVE before
        self.live_from = sessions[0]  # the source that made it LIVE last
        self.why = BookReason.START  # it is LIVE no more
        self.ask_at_ns = 0
        self.asked_id = ""  # of the latest request
        self.px_scale = instrument.px_scale
        self.qty_scale = instrument.qty_scale
        self.top = (0, 0, 0, 0)

    @property
    def topic(self) -> str:
        """The topic that it is taken from."""
        return self.topics[self.sources.current]


class BookTimes:
    """How long what one session said takes to its book, since the socket was read and since the venue sent it."""

    def __init__(self, file: MetricsFile, session: str, desk: DeskConfig) -> None:
        of = {"session": session, "venue": desk.config.session[session].venue}
        self.wire = file.histogram("wire_to_book_seconds", **of)
        self.venue = file.histogram("venue_to_book_seconds", **of)


class Books:
    """The process: keeps a region up to date."""

    def __init__(self, host: ProcessHost, shard: str) -> None:
        self.host = host
        desk = host.desk
        config = desk.config.book[shard]
        self.times = {session: BookTimes(host.metrics.file, session, desk) for session in config.sessions}
        self.latency = LogHistogram(bits=4)  # from SendingTime(52) to the book, as far as the clocks agree
        self.counters = {
            "frames": 0,
            "messages": 0,
            "gaps": 0,
            "snapshots": 0,
            "refused_changes": 0,
            "source_changes": 0,
            "unknown_events": 0,
        }
        books = desk.shard_books(shard)
        self.region = create_region(desk.shm_dir / f"book-{shard}", shard_specs(desk, shard))
        self.books = [
            Kept(desk.redundant(session) or (session,), i, level, self.region.book(i.venue, i.name, level))
            for session, i, level in books
        ]
        # By topic: the book, and which of its sources that is.
        self.kept = {topic.encode(): (book, i) for book in self.books for i, topic in enumerate(book.topics)}
        self.gone_over: Counter[tuple[str, str, str]] = Counter()  # books by source before, source now and reason
        self.left: set[str] = set()  # sources that books were taken from, and that have not been fit since
        host.open_bus()
        self.subscriber = Subscriber(host.context)
        host.metrics.listen(self.subscriber)
        self.clients: dict[str, CommandClient] = {}
        for session in config.sessions:
            self.subscriber.connect(publisher_endpoint(desk, session))
            endpoint = command_endpoint(desk, session)
            self.clients[session] = CommandClient(host.context, endpoint, f"{host.name}", host.clock)
        for topic in self.kept:
            self.subscriber.subscribe(topic.decode(), exact=True)
        host.reactor.add_zmq_drained(self.subscriber.socket, self._drain, "market data", Priority.NORMAL)
        host.on_stop(self._stop)
        self._beat()

    # -- the stream ------------------------------------------------------------------------------------------

    def _drain(self) -> bool:
        receive, kept = self.subscriber.receive_raw, self.kept
        for _ in range(FRAMES_A_TURN):
            raw = receive()
            if raw is None:
                return False
            topic, epoch, first_seq, n_events, packed, gap = raw
            book, source = kept[topic]
            if gap is not None and gap.kind != "start":
                self.counters["gaps"] += 1
                self._lose(book, source, BookReason.GAP)
            if n_events:
                self.counters["frames"] += 1
                self._take(book, source, epoch, first_seq, n_events, packed)
        return True

    def _take(self, kept: Kept, source: int, epoch: int, first_seq: int, n_events: int, packed: memoryview) -> None:
        deliveries, unknown = decode(kept.topics[source], epoch, first_seq, n_events, packed)
        self.counters["unknown_events"] += unknown  # of a newer publisher: skipped
        for delivery in deliveries:
            event = delivery.event
            if isinstance(event, Gap):
                self._lose(kept, source, BookReason.MALFORMED)
            elif source != kept.sources.current:  # asked anew for each event: the one before may have changed it
                self._beside(kept, source, event)
            elif isinstance(event, BookDelta):
                self._delta(kept, event)
            elif isinstance(event, BookSnapshot):
                self._snapshot(kept, event)
            elif isinstance(event, BookStatus):
                self._status(kept, event)
            elif isinstance(event, Marker) and kept.waiting and event.request_id == kept.asked_id:
                kept.sources.unfit(source)  # it has no book to give
                self._go_over(kept)
        self._top(kept)

    def _beside(self, kept: Kept, source: int, event: AnyEvent) -> None:
        """What a source says that the book is not taken from: whether it could be, and nothing else."""
        if isinstance(event, BookStatus):
            if BookState[event.status] in KEPT:
                kept.sources.fit(source)
            else:
                kept.sources.unfit(source)
        elif isinstance(event, BookDelta | BookSnapshot):
            kept.sources.fit(source)
        if not kept.waiting:
            return
        self._go_over(kept, ask=not isinstance(event, BookSnapshot))
        if isinstance(event, BookSnapshot) and source == kept.sources.current:
            self._snapshot(kept, event)  # of the source that it is taken from now, whoever asked for it

    def _go_over(self, kept: Kept, *, ask: bool = True) -> None:
        """Take the book from a better source, if there is one: it is asked for a snapshot at once."""
        if not kept.sources.go_over():
            return
        kept.ask_at_ns = 0
        if ask:
            self._ask(kept)

    def _lives(self, kept: Kept) -> None:
        """A snapshot made it LIVE: of another source than before, maybe, and then that is said."""
        previous, now = kept.live_from, kept.sources.session
        if previous != now:
            self.counters["source_changes"] += 1
            if kept.began:
                self.gone_over[previous, now, kept.why.name] += 1
            wall_ns = self.host.clock.wall_ns()
            event = BookSource(kept.venue, kept.instrument, kept.level, now, previous, kept.why.name, wall_ns)
            self.host.publish(f"state.{self.host.name}", event)
        kept.began, kept.live_from = True, now

    def _delta(self, kept: Kept, event: BookDelta) -> None:
        if kept.waiting:
            return
        self.counters["messages"] += event.n_messages
        reason = kept.book.apply_changes(event.changes, event.last_update_id, event.sending_ns, event.recv_ns)
        wall_ns = self.host.clock.wall_ns()
        times = self.times[kept.sources.session]
        times.wire.record(wall_ns - event.recv_ns)
        if event.sending_ns:
            self.latency.add(wall_ns - event.sending_ns)
            times.venue.record(wall_ns - event.sending_ns)
        kept.sources.fit(kept.sources.current)
        if reason:
            self.counters["refused_changes"] += 1
            self._lose(kept, kept.sources.current, BookReason(reason))

    def _snapshot(self, kept: Kept, event: BookSnapshot) -> None:
        if (event.px_scale, event.qty_scale) != (kept.px_scale, kept.qty_scale):
            text = f"{kept.topic}: scales {event.px_scale}/{event.qty_scale}, expected {kept.px_scale}/{kept.qty_scale}"
            self.host.alert("critical", "scale", text)
            self._lose(kept, kept.sources.current, BookReason.NUMBER)
            return
        self.counters["snapshots"] += 1
        reason = kept.book.replace(event.bids, event.asks, event.last_update_id, event.sending_ns, event.recv_ns)
        kept.waiting = reason != 0
        if not reason:
            kept.sources.fit(kept.sources.current)
            self._lives(kept)
        else:
            kept.sources.unfit(kept.sources.current)
            self._go_over(kept)
            self.host.alert("critical", "book", f"{kept.topic}: snapshot refused: {BookReason(reason).name}")

    def _status(self, kept: Kept, event: BookStatus) -> None:
        state, reason = BookState[event.status], BookReason[event.reason]
        if state in KEPT:
            kept.sources.fit(kept.sources.current)
            if kept.waiting:
                return  # kept there, but not here yet: the snapshot is on its way
        else:
            kept.why = kept.why if kept.waiting else reason
            kept.waiting = True
            kept.ask_at_ns = self.host.clock.mono_ns() + ASK_AGAIN_NS
            kept.sources.unfit(kept.sources.current)
        kept.book.set_status(state, reason, event.since_ns)
        if kept.waiting:
            self._go_over(kept)
        self._settle()

    def _lose(self, kept: Kept, source: int, reason: BookReason) -> None:
        kept.sources.missed(source)
        if source != kept.sources.current:
            return
        kept.why = kept.why if kept.waiting else reason
        kept.waiting = True
        kept.ask_at_ns = 0
        kept.book.set_status(BookState.STALE, reason, self.host.clock.wall_ns())
        self._go_over(kept)
        self._settle()
        self._ask(kept)

    def _top(self, kept: Kept) -> None:
        top = kept.book.bbo()
        if top != kept.top and not kept.waiting:
            kept.top = top
            event = TopOfBook(
                kept.venue, kept.instrument, *top, kept.px_scale, kept.qty_scale, self.host.clock.wall_ns()
            )
            self.host.publish(f"bbo.{kept.venue}.{kept.instrument}", event)

    # -- time ------------------------------------------------------------------------------------------------

    def _ask(self, kept: Kept) -> None:
        """Ask the publisher for a snapshot in band; asked again until it comes."""
        mono_ns = self.host.clock.mono_ns()
        if mono_ns < kept.ask_at_ns:
            return
        kept.ask_at_ns = mono_ns + ASK_AGAIN_NS
        client = self.clients[kept.sources.session]
        kept.sources.asked()
        kept.asked_id = client.next_command_id()
        command = SnapshotRequest(client.client_id, kept.asked_id, 0, kept.topic)
        try:
            client.send(command)
        except BusError as e:  # the publisher is not there (yet): the book is not LIVE, and it is asked again
            log.debug("%s: %s", kept.topic, e)

    def _beat(self) -> None:
        mono_ns = self.host.clock.mono_ns()
        self.region.heartbeat(mono_ns)
        for delivery in self.subscriber.check(mono_ns):
            found = self.kept.get(delivery.topic.encode())
            if found is not None and not (found[0].waiting and len(found[0].topics) == 1):
                self._lose(*found, BookReason.SESSION)
        for client in self.clients.values():
            client.receive()
        for book in self.books:
            if book.waiting:
                self._go_over(book)
                self._ask(book)
        self._tell_sources()
        self.host.counters.update(self.counters)
        for percent in (50, 99):
            self.host.counters[f"wire_to_book_p{percent}_us"] = self.latency.percentile(percent) // 1000
        self._settle()
        self.host.reactor.call_later(BEAT_NS, self._beat, "books")

    def _tell_sources(self) -> None:
        """One alert for all books that went over together; it is over when the source that they left is fit again."""
        for (previous, now, why), n in self.gone_over.items():
            text = f"{previous}: {n} books are taken from {now} instead: {why}"
            self.host.alert("warning", "book_source", text, previous)
            self.left.add(previous)
        self.gone_over.clear()
        for session in sorted(self.left):
            able = [b.sources for b in self.books if session in b.sources.sessions]
            if all(s.fitness(s.sessions.index(session)) is Fitness.FIT for s in able):
                self.left.discard(session)
                self.host.alert(
                    "info", "book_source", f"{session}: all its books could be taken from it again", session
                )

    def _settle(self) -> None:
        if self.host.stopping:
            return
        waiting = [b.topic for b in self.books if b.book.status[0] not in (BookState.LIVE, BookState.HALTED)]
        if not waiting:
            beside = Counter(b.sources.session for b in self.books if b.sources.current)
            self.host.set(Readiness.READY, ", ".join(f"{n} books from {session}" for session, n in beside.items()))
        elif len(waiting) == len(self.books):
            self.host.set(Readiness.RECOVERING, "no book is live yet")
        else:
            self.host.set(Readiness.DEGRADED, f"not live: {', '.join(waiting[:8])}")

    def _stop(self) -> None:
        self.region.close()
        self.host.finish()


def main() -> int:
    """Run the process."""
    return run_process("book", "shard", Books)


if __name__ == "__main__":
    sys.exit(main())
