"""The state of a running desk in short, read from shared memory alone: nothing is asked of any process."""

import msgspec

from base.clock import SystemClock
from base.config import DeskConfig
from ipc.readiness import Readiness
from ipc.view.sight import SESSION_KINDS, BookSight, MemoryReader, ProcessSight


class ProcessView(msgspec.Struct, frozen=True):
    """One process of the desk; `readiness` is DEAD when nobody writes its page."""

    name: str
    kind: str
    pid: int
    readiness: str
    reason: str
    since_ns: int
    beat_age_ms: int
    build: str
    config: str


class BookView(msgspec.Struct, frozen=True):
    """One book of shared memory; prices and quantities as decimal text, "" where the book must not be believed."""

    venue: str
    instrument: str
    level: int
    status: str
    reason: str
    bid_px: str
    bid_qty: str
    ask_px: str
    ask_qty: str
    messages: int


class DeskView(msgspec.Struct, frozen=True):
    """A whole desk."""

    desk: str
    gate: str
    generation: int
    lease_ms: int  # how long the lease is still valid; negative: lapsed
    sessions_ready: int
    sessions_total: int
    books_live: int
    books_total: int
    processes: tuple[ProcessView, ...]
    books: tuple[BookView, ...]

    @property
    def ready(self) -> bool:
        """Every process is READY and every book live."""
        return all(p.readiness == Readiness.READY for p in self.processes) and self.books_live == self.books_total


def read_desk(desk: DeskConfig) -> DeskView:
    """The desk as it is now."""
    clock = SystemClock()
    sight = MemoryReader(desk, metered=False).look(clock.mono_ns(), clock.wall_ns())
    sessions = [p for p in sight.processes if p.kind in SESSION_KINDS and not p.name.endswith(".twin")]
    gate = sight.gate
    return DeskView(
        desk=desk.config.desk.name,
        gate=gate.state,
        generation=gate.generation,
        lease_ms=(gate.lease_mono_ns - sight.mono_ns) // 1_000_000 if gate.state != "MISSING" else 0,
        sessions_ready=sum(p.readiness == Readiness.READY for p in sessions),
        sessions_total=len(sessions),
        books_live=sum(b.status == "LIVE" for b in sight.books),
        books_total=len(sight.books),
        processes=tuple(map(_process, sight.processes)),
        books=tuple(_book(b) for b in sight.books if b.status != "MISSING"),
    )


def _process(p: ProcessSight) -> ProcessView:
    return ProcessView(
        p.name, p.kind, p.pid, p.readiness, p.reason, p.since_ns, p.beat_age_ms or 0, p.build, p.config
    )  # fmt: skip


def _book(b: BookSight) -> BookView:
    px, qty = b.instrument.px_text, b.instrument.qty_text
    live = b.status == "LIVE"
    shown = (px(b.bid_px), qty(b.bid_qty), px(b.ask_px), qty(b.ask_qty)) if live else ("", "", "", "")
    return BookView(b.instrument.venue, b.instrument.name, b.level, b.status, b.reason, *shown, b.messages)
