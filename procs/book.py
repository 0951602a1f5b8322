"""Books in shared memory: one process for one shard, which is the only writer of one region.

Takes verified snapshots and changes from the market-data processes. A hole in a topic makes its book STALE at once; a
snapshot, asked for from the publisher and delivered in band, heals it. A restart replaces the region; readers follow.
"""

import logging
import sys

from base.errors import BusError
from base.histogram import LogHistogram
from base.reactor import Priority
from ipc.books import BookReason, BookSpec, BookState, SharedBook, create_region
from ipc.bus import Subscriber
from ipc.command_client import CommandClient
from ipc.events import BookDelta, BookSnapshot, BookStatus, TopOfBook
from ipc.host import ProcessHost, run_process
from ipc.readiness import Readiness
from ipc.requests import SnapshotRequest
from ipc.roster import book_topic, command_endpoint, publisher_endpoint
from ipc.sequence import Gap, decode

MS = 1_000_000
BEAT_NS = 100 * MS
ASK_AGAIN_NS = 1_000 * MS
FRAMES_A_TURN = 256

log = logging.getLogger("book")


class Kept:
    """One book of the region and where its data comes from."""

    def __init__(self, session: str, venue: str, instrument: str, topic: str, book: SharedBook) -> None:
        self.session = session
        self.venue = venue
        self.instrument = instrument
        self.topic = topic
        self.book = book
        self.waiting = True  # for a snapshot
        self.ask_at_ns = 0
        self.px_scale = 0
        self.qty_scale = 0
        self.top = (0, 0, 0, 0)


class Books:
    """The process: keeps a region up to date."""

    def __init__(self, host: ProcessHost, shard: str) -> None:
        self.host = host
        desk = host.desk
        config = desk.config.book[shard]
        self.latency = LogHistogram(bits=4)  # from SendingTime(52) to the book, as far as the clocks agree
        self.counters = {
            "frames": 0,
            "messages": 0,
            "gaps": 0,
            "snapshots": 0,
            "refused_changes": 0,
            "unknown_events": 0,
        }
        specs, kept = [], []
        for session in config.sessions:
            s = desk.config.session[session]
            for inst in desk.session_instruments(session):
                orders = config.orders if s.level == 3 else 0
                specs.append(
                    BookSpec(s.venue, inst.name, inst.px_scale, inst.qty_scale, s.level, config.levels, orders)
                )
                kept.append((session, s.venue, inst, book_topic(s.venue, inst.name, s.level), s.level))
        self.region = create_region(desk.shm_dir / f"book-{shard}", specs)
        self.kept: dict[bytes, Kept] = {}
        for session, venue, inst, topic, level in kept:
            book = Kept(session, venue, inst.name, topic, self.region.book(venue, inst.name, level))
            book.px_scale, book.qty_scale = inst.px_scale, inst.qty_scale
            self.kept[topic.encode()] = book
        host.open_bus()
        self.subscriber = Subscriber(host.context)
        self.clients: dict[str, CommandClient] = {}
        for session in config.sessions:
            self.subscriber.connect(publisher_endpoint(desk, session))
            endpoint = command_endpoint(desk, session)
            self.clients[session] = CommandClient(host.context, endpoint, f"{host.name}", host.clock)
        for book in self.kept.values():
            self.subscriber.subscribe(book.topic, exact=True)
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
            book = kept[topic]
            if gap is not None and gap.kind != "start":
                self.counters["gaps"] += 1
                self._lose(book, BookReason.GAP)
            if n_events:
                self.counters["frames"] += 1
                self._take(book, epoch, first_seq, n_events, packed)
        return True

    def _take(self, kept: Kept, epoch: int, first_seq: int, n_events: int, packed: memoryview) -> None:
        deliveries, unknown = decode(kept.topic, epoch, first_seq, n_events, packed)
        self.counters["unknown_events"] += unknown  # of a newer publisher: skipped
        for delivery in deliveries:
            event = delivery.event
            if isinstance(event, BookDelta):
                self._delta(kept, event)
            elif isinstance(event, BookSnapshot):
                self._snapshot(kept, event)
            elif isinstance(event, BookStatus):
                self._status(kept, event)
            elif isinstance(event, Gap):
                self._lose(kept, BookReason.MALFORMED)
        self._top(kept)

    def _delta(self, kept: Kept, event: BookDelta) -> None:
        if kept.waiting:
            return
        self.counters["messages"] += event.n_messages
        reason = kept.book.apply_changes(event.changes, event.last_update_id, event.sending_ns, event.recv_ns)
        if event.sending_ns:
            self.latency.add(self.host.clock.wall_ns() - event.sending_ns)
        if reason:
            self.counters["refused_changes"] += 1
            self._lose(kept, BookReason(reason))

    def _snapshot(self, kept: Kept, event: BookSnapshot) -> None:
        if (event.px_scale, event.qty_scale) != (kept.px_scale, kept.qty_scale):
            text = f"{kept.topic}: scales {event.px_scale}/{event.qty_scale}, expected {kept.px_scale}/{kept.qty_scale}"
            self.host.alert("critical", "scale", text)
            self._lose(kept, BookReason.NUMBER)
            return
        self.counters["snapshots"] += 1
        reason = kept.book.replace(event.bids, event.asks, event.last_update_id, event.sending_ns, event.recv_ns)
        kept.waiting = reason != 0
        if reason:
            self.host.alert("critical", "book", f"{kept.topic}: snapshot refused: {BookReason(reason).name}")

    def _status(self, kept: Kept, event: BookStatus) -> None:
        state, reason = BookState[event.status], BookReason[event.reason]
        if state in (BookState.LIVE, BookState.CROSSED, BookState.HALTED):
            if kept.waiting:
                return  # kept there, but not here yet: the snapshot is on its way
        else:
            kept.waiting = True
            kept.ask_at_ns = self.host.clock.mono_ns() + ASK_AGAIN_NS
        kept.book.set_status(state, reason, event.since_ns)
        self._settle()

    def _lose(self, kept: Kept, reason: BookReason) -> None:
        kept.waiting = True
        kept.ask_at_ns = 0
        kept.book.set_status(BookState.STALE, reason, self.host.clock.wall_ns())
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
        client = self.clients[kept.session]
        command = SnapshotRequest(client.client_id, client.next_command_id(), 0, kept.topic)
        try:
            client.send(command)
        except BusError as e:  # the publisher is not there (yet): the book is not LIVE, and it is asked again
            log.debug("%s: %s", kept.topic, e)

    def _beat(self) -> None:
        mono_ns = self.host.clock.mono_ns()
        self.region.heartbeat(mono_ns)
        for delivery in self.subscriber.check(mono_ns):
            book = self.kept.get(delivery.topic.encode())
            if book is not None and not book.waiting:
                self._lose(book, BookReason.SESSION)
        for client in self.clients.values():
            client.receive()
        for book in self.kept.values():
            if book.waiting:
                self._ask(book)
        self.host.counters.update(self.counters)
        for percent in (50, 99):
            self.host.counters[f"wire_to_book_p{percent}_us"] = self.latency.percentile(percent) // 1000
        self._settle()
        self.host.reactor.call_later(BEAT_NS, self._beat, "books")

    def _settle(self) -> None:
        if self.host.stopping:
            return
        waiting = [b.topic for b in self.kept.values() if b.book.status[0] not in (BookState.LIVE, BookState.HALTED)]
        if not waiting:
            self.host.set(Readiness.READY)
        elif len(waiting) == len(self.kept):
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
