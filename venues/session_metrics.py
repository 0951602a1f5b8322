"""What is counted of one venue session: its phase, numbers, bytes and round trips, its journal's and store's times."""

from ipc.journal import Journal
from ipc.metrics import MetricsFile
from venues.interface import VenueSession
from venues.link import Link

SECOND_NS = 1_000_000_000


class SessionMetrics:
    """Belongs to a SessionReport."""

    def __init__(self, file: MetricsFile, session: str, venue: str) -> None:
        of = {"session": session, "venue": venue}
        self._of, self._file = of, file
        self._up = file.gauge("session_up", **of)
        self._since = file.gauge("session_since_seconds", **of)
        self._round_trip = file.histogram("session_round_trip_seconds", **of)
        self._round_trips = 0
        self._next = [file.gauge("session_next_seq_num", direction=d, **of) for d in ("out", "in")]
        self._messages = [file.counter("session_messages_total", direction=d, **of) for d in ("out", "in")]
        self._numbers: tuple[int, int] | None = None
        self._session: VenueSession | None = None  # that these are of
        self._journal: Journal | None = None

    def follow(self, link: Link, journal: Journal | None = None) -> None:
        """Count the link's bytes, and the times of its store and of the session's journal. Call it before it starts."""
        of, file = self._of, self._file
        link.bytes_in = file.counter("session_bytes_total", direction="in", **of)
        link.bytes_out = file.counter("session_bytes_total", direction="out", **of)
        link.synced = file.histogram("store_sync_seconds", **of)
        if journal is not None:
            journal.appended = file.histogram("journal_append_seconds", **of)
            journal.synced = file.histogram("journal_sync_seconds", **of)
            self._full = file.gauge("journal_full", **of)
        self._journal = journal

    def look(self, link: Link, ready: bool, since_ns: int) -> None:
        """Take over what the session itself knows."""
        self._up.set(ready)
        self._since.set(since_ns / SECOND_NS)
        numbers = link.session.numbers()
        if numbers != self._numbers:
            before = self._numbers if link.session is self._session else None
            for shown, counted, now, was in zip(self._next, self._messages, numbers, before or numbers, strict=True):
                shown.set(now)
                counted.add(now - was if now >= was else max(now - 1, 0))  # less: they began anew
            self._numbers, self._session = numbers, link.session
        count, ns = getattr(link.session, "round_trip", (0, 0))  # of sessions that measure it
        if count != self._round_trips:
            self._round_trips = count
            if count:  # 0: another session of the same link
                self._round_trip.record(ns)
        if self._journal is not None:
            self._full.set(self._journal.full)
