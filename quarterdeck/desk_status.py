"""The state of a running desk, read from shared memory alone: nothing is asked of any process."""

import msgspec

from base.clock import SystemClock
from base.config import DeskConfig
from base.errors import RegionError
from ipc.books import BookReason, BookRegion, BookState
from ipc.gate import read_gate
from ipc.readiness import Readiness, Status, read_all
from ipc.roster import Role, roster

SILENT_NS = 1_000_000_000
SESSION_KINDS = ("trading", "marketdata", "dropcopy")


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
    mono_ns = SystemClock().mono_ns()
    pages = read_all(desk.shm_dir / "proc") if (desk.shm_dir / "proc").is_dir() else {}
    roles = roster(desk)
    processes = [_process(role, pages.get(role.name), mono_ns) for role in roles]
    processes += [_process(Role(n, s.kind, (), "", 0), s, mono_ns) for n, s in pages.items() if n.endswith(".twin")]
    books = [book for shard in desk.config.book for book in _books(desk, shard)]
    gate, generation, lease_ms = _gate(desk, mono_ns)
    sessions = [p for p in processes if p.kind in SESSION_KINDS and not p.name.endswith(".twin")]
    return DeskView(
        desk=desk.config.desk.name,
        gate=gate,
        generation=generation,
        lease_ms=lease_ms,
        sessions_ready=sum(p.readiness == Readiness.READY for p in sessions),
        sessions_total=len(sessions),
        books_live=sum(b.status == "LIVE" for b in books),
        books_total=_expected_books(desk),
        processes=tuple(processes),
        books=tuple(books),
    )


def _process(role: Role, status: Status | None, mono_ns: int) -> ProcessView:
    if status is None:
        return ProcessView(role.name, role.kind, 0, "DEAD", "never started", 0, 0, "", "")
    age_ns = max(0, mono_ns - status.beat_mono_ns)  # the page may have been written since the clock was read
    readiness, reason = str(status.readiness), status.reason
    if age_ns > SILENT_NS:
        readiness, reason = "DEAD", f"silent; last said {status.readiness} {status.reason}".rstrip()
    return ProcessView(
        role.name, role.kind, status.pid, readiness, reason, status.since_ns, age_ns // 1_000_000, status.build,
        status.config,
    )  # fmt: skip


def _gate(desk: DeskConfig, mono_ns: int) -> tuple[str, int, int]:
    try:
        word, generation, lease_ns = read_gate(desk.shm_dir / "gate")
    except RegionError:
        return "MISSING", 0, 0
    return word.state.name, generation, (lease_ns - mono_ns) // 1_000_000


def _expected_books(desk: DeskConfig) -> int:
    return sum(len(desk.shard_books(shard)) for shard in desk.config.book)


def _books(desk: DeskConfig, shard: str) -> list[BookView]:
    try:
        region = BookRegion.open(desk.shm_dir / f"book-{shard}")
    except RegionError:
        return []
    views = []
    for spec in region.instruments():
        reader = region.book(spec.venue, spec.instrument, spec.level)
        state, reason, _ = reader.status()
        live = BookState(state) is BookState.LIVE
        instrument = desk.instruments[spec.venue, spec.instrument]
        _, bid_px, bid_qty, ask_px, ask_qty = reader.bbo_any()
        px, qty = instrument.px_text, instrument.qty_text
        shown = (px(bid_px), qty(bid_qty), px(ask_px), qty(ask_qty)) if live else ("", "", "", "")
        views.append(
            BookView(
                spec.venue, spec.instrument, spec.level, BookState(state).name, BookReason(reason).name, *shown,
                reader.times()[3],
            )
        )  # fmt: skip
    return views
