"""Market data: one process for one market-data session, L2 or L3.

Owns the subscriptions and a private book of each instrument. A message is published only after its book was checked
(sequence, checksum, crossed); what breaks a rule makes the book STALE at once and brings a fresh snapshot.
"""

import sys

from base.errors import ConfigError
from base.instruments import Instrument
from ipc.book_builder import Action, AskSnapshot, BookBuilder, BookRule, Changes, Continuity, Snapshot, Status
from ipc.books import BookReason
from ipc.events import (
    AnyEvent,
    BookDelta,
    BookSnapshot,
    BookStatus,
    InstrumentDefinition,
    Marker,
    PublicTrade,
)
from ipc.host import ProcessHost, run_process
from ipc.readiness import Readiness
from ipc.requests import Answer, AnyCommand, SnapshotRequest
from ipc.roster import book_topic
from venues import interface
from venues.context import dialect_of, session_context
from venues.interface import MarketDataSession, SessionPhase
from venues.link import Leg, Link
from venues.session_report import SessionReport

MS = 1_000_000
SECOND_NS = 1_000 * MS
LOOK_NS = 50 * MS
HALTED = frozenset({"HALTED", "HIDDEN"})


def builder_rule(rule: interface.BookRule, stale_after_s: int) -> BookRule:
    """The builder's rule for what a venue promises and how much silence the desk puts up with."""
    return BookRule(
        continuity=Continuity(rule.continuity),
        checksum_levels=rule.checksum_levels,
        depth_window=rule.window,
        top_only=rule.top_only,
        ignore_unknown=rule.ignore_unknown,
        rise_requeues=rule.rise_requeues,
        stall_ns=stale_after_s * SECOND_NS,
    )


class MarketData:
    """The process: wires a market-data session to private books and to the bus."""

    def __init__(self, host: ProcessHost, session: str) -> None:
        self.host = host
        self.name = session
        self.desk = desk = host.desk
        self.config = desk.config.session[session]
        self.venue = self.config.venue
        self.level = self.config.level
        self.instruments: list[Instrument] = desk.session_instruments(session)
        beside = session if self.config.redundant_with else ""
        self.topics = [book_topic(self.venue, i.name, self.level, beside) for i in self.instruments]
        self.index_of = {i.name: n for n, i in enumerate(self.instruments)}
        self.extent = self._extent()
        self.builder = BookBuilder()
        self.added: set[int] = set()
        self.halted: set[int] = set()
        self.broken: set[int] = set()  # books of which an alert said that they are asked for anew
        self.definitions: dict[int, InstrumentDefinition] = {}
        self.ready = False
        self.report = SessionReport(host, session, self.venue, "marketdata")
        self.counters = {"md_messages": 0, "md_changes_bytes": 0, "trades": 0, "book_breaks": 0, "snapshots": 0}
        host.open_bus()
        for topic in self.topics:
            host.publisher.declare(topic)
        host.serve(self.handle)
        host.on_stop(self._stop)
        self.dialect = dialect_of(desk, self.venue)
        self.link = Link(host.reactor, desk, session, self, self._make_session)
        self.report.metrics.follow(self.link)
        self._look()
        self._say()
        host.set(Readiness.RECOVERING, "connecting")
        self.link.start()

    def _extent(self) -> tuple[int, int]:
        """Room for levels and orders: as much as the shard that keeps these books has."""
        for book in self.desk.config.book.values():
            if self.name in book.sessions:
                return book.levels, book.orders
        raise ConfigError(f"{self.desk.path}: no [book.*] lists session {self.name!r}: nobody would keep its books")

    def _make_session(self, leg: Leg, sender_comp_id: str) -> MarketDataSession:
        context = session_context(self.desk, self.name, self.host.publisher.epoch, sender_comp_id)
        return self.dialect.marketdata(context, leg, self)

    # -- what the session delivers ---------------------------------------------------------------------------

    def subscribed(self, instrument: int, req_key: int, rule: interface.BookRule) -> None:
        """A subscription leaves: its records, and no others, count from now on."""
        if instrument not in self.added:
            self._add(instrument, rule)
        self.builder.expect(instrument, req_key)

    def _add(self, instrument: int, rule: interface.BookRule) -> None:
        levels, orders = self.extent
        scales = self.instruments[instrument]
        self.builder.add(
            instrument,
            builder_rule(rule, self.config.stale_after_s),
            level=self.level,
            levels=levels,
            orders=orders if self.level == 3 else 0,
            px_drop=scales.px_scale - rule.checksum_px_digits if rule.checksum_px_digits >= 0 else 0,
            qty_drop=scales.qty_scale - rule.checksum_qty_digits if rule.checksum_qty_digits >= 0 else 0,
        )
        self.added.add(instrument)
        if self.ready:
            # The snapshot is on its way: the builder only has to know that it is awaited.
            self._act(self.builder.invalidate(instrument, BookReason.START, *self._now()), ask=False)

    def records(self, words: memoryview, n_words: int) -> None:
        """Records of one socket read: verify, pack, publish."""
        clock = self.host.clock
        self._act(self.builder.feed(words, n_words, clock.mono_ns(), clock.wall_ns()))
        self._trades(words, n_words)

    def event(self, event: AnyEvent) -> None:
        """Reference data and whatever else the session tells."""
        if isinstance(event, InstrumentDefinition) and event.instrument in self.index_of:
            index = self.index_of[event.instrument]
            self.definitions[index] = event
            self.host.publish(self.topics[index], event)
            halted = event.status in HALTED
            if halted != (index in self.halted) and index in self.added:
                (self.halted.add if halted else self.halted.discard)(index)
                self._act(self.builder.halt(index, halted, self.host.clock.wall_ns()))
        else:
            self.host.publish(f"state.{self.name}", event)

    def phase(self, phase: SessionPhase, reason: str) -> None:
        """The session went into another phase."""
        was = self.report.note(phase, reason)
        if phase is SessionPhase.RECOVERING and self.ready:
            # Messages are known to be missing: what they would have changed is not known.
            self._act(self.builder.invalidate_all(BookReason.GAP, *self._now()), ask=False)
        elif phase is SessionPhase.READY:
            # After a logon it subscribes by itself; after a gap its subscriptions stand, and it is to be asked.
            gap = self.ready and was is SessionPhase.RECOVERING
            self.ready = True
            self._act(self.builder.session_ready(*self._now()), ask=gap)
        elif self.ready and phase is SessionPhase.DISCONNECTED:
            self.ready = False
            self._act(self.builder.session_lost(self.host.clock.wall_ns()))
        self._settle()
        self._say_session()
        if phase is SessionPhase.DISCONNECTED and self.host.stopping:
            self.link.close()
            self.host.finish()

    def alert(self, severity: str, code: str, text: str) -> None:
        """Tell people."""
        self.host.alert(severity, code, text)

    # -- what the builder wants ------------------------------------------------------------------------------

    def _act(self, actions: list[Action], *, ask: bool = True) -> None:
        for action in actions:
            match action:
                case Changes(instrument=i, verdict=v):
                    self.counters["md_messages"] += v.n_messages
                    self.host.publisher.publish(
                        self.topics[i],
                        BookDelta(self.level, v.changes, v.last_id, v.sending_ns, v.recv_ns, v.n_messages),
                    )
                case Snapshot(instrument=i, verdict=v):
                    self.counters["snapshots"] += 1
                    self.counters["md_messages"] += v.n_messages
                    self._snapshot(i, v.bids, v.asks, v.last_id, v.sending_ns, v.recv_ns)
                case Status():
                    self._status(action)
                case AskSnapshot(instrument=i, attempt=attempt, reason=reason):
                    if ask:
                        name = self.instruments[i].name
                        text = f"{self.venue} {name}: {reason.name}: snapshot {attempt} asked for"
                        self.host.alert("warning", "book", text, name)
                        self.broken.add(i)
                        self._session().refresh(i, *self._now())

    def _session(self) -> MarketDataSession:
        session: MarketDataSession = self.link.session  # type: ignore[assignment]
        return session

    def _snapshot(self, i: int, bids: bytes, asks: bytes, last_id: int, sending_ns: int, recv_ns: int) -> None:
        instrument = self.instruments[i]
        self.host.publish(
            self.topics[i],
            BookSnapshot(
                self.venue, instrument.name, self.level, instrument.px_scale, instrument.qty_scale, bids, asks,
                last_id, sending_ns, recv_ns,
            ),
        )  # fmt: skip

    def _status(self, status: Status) -> None:
        if status.state.name == "STALE":
            self.counters["book_breaks"] += 1
        elif status.state.name == "LIVE" and status.instrument in self.broken:
            self.broken.discard(status.instrument)
            name = self.instruments[status.instrument].name
            self.host.alert("info", "book", f"{self.venue} {name}: live again", name)
        self.host.publish(self.topics[status.instrument], self._status_event(status.instrument))
        self._settle()

    def _status_event(self, i: int) -> BookStatus:
        state, reason = self.builder.state(i)
        return BookStatus(self.venue, self.instruments[i].name, state.name, reason.name, self.host.clock.wall_ns())

    def _trades(self, words: memoryview, n_words: int) -> None:
        recv_ns = self.host.clock.wall_ns()
        for i, px, qty, aggressor, key, time_ns, _ in self.builder.books.trades(words, n_words):
            self.counters["trades"] += 1
            instrument = self.instruments[i]
            self.host.publish(
                self.topics[i],
                PublicTrade(
                    self.venue, instrument.name, px, qty, instrument.px_scale, instrument.qty_scale,
                    str(aggressor) if aggressor else "", str(key), time_ns, recv_ns,
                ),
            )  # fmt: skip

    # -- snapshots for late subscribers ----------------------------------------------------------------------

    def handle(self, command: AnyCommand, _identity: bytes) -> Answer:
        """SnapshotRequest: what is known of a topic is published in band, closed by a Marker."""
        if not isinstance(command, SnapshotRequest):
            return Answer(command.command_id, False, f"{self.name} does not take {type(command).__name__}")
        if command.topic not in self.topics:
            return Answer(command.command_id, False, f"{self.name} has no topic {command.topic!r}")
        i = self.topics.index(command.topic)
        if i in self.definitions:
            self.host.publish(command.topic, self.definitions[i])
        if i in self.added and self.builder.books.is_live(i):
            bids, asks = self.builder.books.book(i).pack()
            now_ns = self.host.clock.wall_ns()
            self._snapshot(i, bids, asks, self.builder.books.last_id(i), now_ns, now_ns)
        if i in self.added:
            self.host.publish(command.topic, self._status_event(i))
        next_seq = self.host.publisher.next_seq(command.topic)
        self.host.publish(command.topic, Marker(command.command_id, "snapshot", next_seq + 1))
        return Answer(command.command_id, True)

    # -- time ------------------------------------------------------------------------------------------------

    def _now(self) -> tuple[int, int]:
        return self.host.clock.mono_ns(), self.host.clock.wall_ns()

    def _look(self) -> None:
        due = self.builder.deadline()
        mono_ns, wall_ns = self._now()
        if due is not None and mono_ns >= due:
            self._act(self.builder.on_time(mono_ns, wall_ns))
        self.host.reactor.call_later(LOOK_NS, self._look, "look")

    def _say(self) -> None:
        self._settle()
        self._say_session()
        self.host.reactor.call_later(SECOND_NS, self._say, "state")

    def _settle(self) -> None:
        """READY when every book is kept; DEGRADED while some are not; RECOVERING without a session."""
        if self.host.stopping:
            return
        if self.report.phase is not SessionPhase.READY:
            self.host.set(Readiness.RECOVERING, str(self.report))
            return
        missing = [n.name for i, n in enumerate(self.instruments) if not self._kept(i)]
        if not missing:
            self.host.set(Readiness.READY)
        elif len(missing) == len(self.instruments):
            self.host.set(Readiness.RECOVERING, "waiting for snapshots")
        else:
            self.host.set(Readiness.DEGRADED, f"books not live: {', '.join(missing[:8])}")

    def _kept(self, i: int) -> bool:
        return i in self.added and self.builder.state(i)[0].name in ("LIVE", "HALTED")

    def _say_session(self) -> None:
        self.report.say(self.link, self.counters)

    def _stop(self) -> None:
        self.link.stop("process stops")
        self.host.reactor.call_later(2 * SECOND_NS, self.host.finish, "logout deadline")


def main() -> int:
    """Run the process."""
    return run_process("marketdata", "session", MarketData)


if __name__ == "__main__":
    sys.exit(main())
