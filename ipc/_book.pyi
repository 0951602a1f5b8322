"""Order books over plain memory: private ones, and the writer's and readers' sides of a shared region.

Prices and sizes are int64 at the instrument's scale. `what` words and record buffers are those of base/md_record.h.
Sides are 0 bid and 1 offer. Functions that apply return a reason code of ipc/book.h: 0 is success.
Packed changes ("changes") are little-endian int64: 3 a change for L2 (what, px, qty), 5 for L3 (what, px, qty, key,
time_ns). Bit 25 of `what` (LAST_OF_MESSAGE) marks the last change of a venue message: books publish there.
"""

from collections.abc import Buffer, Callable

LAST_OF_MESSAGE: int
LAYOUT_VERSION: int
TOP_LEVELS: int
STATES: tuple[str, ...]
REASONS: tuple[str, ...]

class Verdict:
    """What became of the records of one instrument in one call of BookSet.verify_and_pack.

    A snapshot, or a broken rule, starts a new verdict. reason 0: verified, `changes` may be published.
    reason > 0: the book broke a rule at `seq_num`; nothing of that record is in `changes`; the book is out until its next
    snapshot (state STALE). reason SNAPSHOT: increments that came while the book waits for a snapshot, dropped.
    """

    instrument: int
    snapshot: bool
    reason: int
    changes: bytes
    first_id: int
    last_id: int
    n_messages: int
    seq_num: int
    sending_ns: int
    recv_ns: int
    n_trades: int
    defect_tag: int

class Book:
    """A private book. L3 when `l3`; `levels` a side and `orders` are capacities, memory is touched as it is used.

    max_depth > 0 cuts each side to that many levels at the end of each message. top_only: a level replaces its side.
    """

    def __init__(
        self, *, l3: bool = False, levels: int = 4096, orders: int = 0, max_depth: int = 0, top_only: bool = False
    ) -> None: ...
    l3: bool
    max_depth: int
    def apply(self, what: int, px: int, qty: int, key: int = 0, time_ns: int = 0) -> int:
        """One change, which is one message: cut to the window and, in a region, published."""
    def apply_changes(
        self, changes: Buffer, last_seq: int = 0, venue_ns: int = 0, recv_ns: int = 0, *, snapshot: bool = False
    ) -> int:
        """Packed changes in one call; snapshot replaces the whole book. Stops at the first defect and returns it."""
    def apply_record(self, records: Buffer, offset: int = 0) -> int:
        """One record of base/md_record.h at word `offset`; a snapshot record replaces."""
    def clear(self) -> None: ...
    def pack(self) -> bytes:
        """The whole book as packed changes, best level first, orders in queue order; for snapshots."""
    def bbo(self) -> tuple[int, int, int, int]:
        """bid_px, bid_qty, ask_px, ask_qty; qty 0 where a side is empty."""
    def top(self, levels: int = 10) -> tuple[int, ...]:
        """levels x (px, qty) of bids, then of asks, best first, 0 where there is none: 4 * levels integers."""
    def side(self, side: int) -> list[tuple[int, int, int]]:
        """Every level (px, qty, orders) of a side, best first."""
    def orders(self, side: int) -> list[tuple[int, int, int, int]]:
        """Every order (px, qty, key, time_ns) of a side, best level first, queue order inside a level."""
    def crc32_top(self, levels: int = 10, px_drop: int = 0, qty_drop: int = 0) -> int:
        """CRC-32 over the top levels, asks then bids, px then qty without leading zeros; L3 walks each order.

        px_drop and qty_drop: decimals by which the instrument's scale is finer than the venue's precision.
        """
    @property
    def n_levels(self) -> tuple[int, int]: ...
    @property
    def n_orders(self) -> int: ...
    @property
    def crossed(self) -> bool: ...

class BookSet:
    """The private books of one session, each with its rule, by the instrument index that the codec was given."""

    def __init__(self) -> None: ...
    def add(
        self,
        instrument: int,
        book: Book,
        *,
        continuity: int = 0,
        checksum_levels: int = 10,
        px_drop: int = 0,
        qty_drop: int = 0,
        crossed_is_stale: bool = False,
    ) -> None:
        """continuity: 0 none, 1 checksum, 2 update ids."""
    def book(self, instrument: int) -> Book: ...
    def expect(self, instrument: int, req_key: int) -> None:
        """Take only records whose MDReqID key is `req_key` (0: any); what an older subscription still sends is dropped."""
    def invalidate(self, instrument: int) -> None:
        """The book is out until its next snapshot."""
    def is_live(self, instrument: int) -> bool: ...
    def last_id(self, instrument: int) -> int: ...
    def verify_and_pack(self, records: Buffer, n_words: int = -1) -> list[Verdict]:
        """Apply every record to its book, check the rule after each, pack what is verified. SchemaError when malformed."""
    def trades(self, records: Buffer, n_words: int = -1) -> list[tuple[int, int, int, int, int, int, int]]:
        """(instrument, px, qty, aggressor, trade_key, time_ns, seq_num) of each trade in the records."""

class RegionWriter:
    """The writer's side of a mapped region; files and locks are the caller's (ipc/books.py)."""

    def __init__(self, memory: Buffer) -> None: ...
    def heartbeat(self, mono_ns: int) -> None: ...
    def retire(self) -> None: ...
    def book(self, index: int, *, max_depth: int = 0, top_only: bool = False) -> SharedBook: ...
    @property
    def generation(self) -> int: ...

class SharedBook(Book):
    """A book in a region, as its only writer sees it. What cannot be applied makes it STALE with the reason, at once.

    apply, apply_changes and apply_record publish (best bid and offer, top 50) once a message. On a book that is not LIVE,
    CROSSED or HALTED they return SNAPSHOT and change nothing, unless they replace the book.
    """

    def set_status(self, state: int, reason: int, since_ns: int) -> None:
        """Publish a status; HALTED keeps taking changes, LIVE is refused (BookError) without a snapshot before."""
    @property
    def status(self) -> tuple[int, int, int]:
        """state, reason, since_ns (UTC)."""

class RegionView:
    """A reader's mapping of one region file. RegionError naming `name` and the field when it is not one."""

    def __init__(self, memory: Buffer, name: str) -> None: ...
    @property
    def generation(self) -> int: ...
    @property
    def retired(self) -> bool: ...
    @property
    def heartbeat_mono_ns(self) -> int: ...
    def instruments(self) -> list[tuple[str, int, int, bool, int, int]]:
        """(name, px_scale, qty_scale, l3, levels, orders) in directory order."""
    def find(self, instrument: str) -> int:
        """Directory index, or -1."""

class BookReader:
    """Reads one book of a region; never writes, never blocks its writer, follows a replaced region by itself.

    bbo, top, depth and orders raise StaleBookError unless the book is LIVE; the *_any forms never raise for that and
    return the state first. BookBusyError when the writer changed the area on every one of `tries` attempts.
    """

    def __init__(self, view: RegionView, instrument: str, follow: Callable[[], RegionView], dead: Callable[[], bool]) -> None: ...
    instrument: str
    tries: int
    worst_tries: int
    def bbo(self) -> tuple[int, int, int, int]: ...
    def bbo_any(self) -> tuple[int, int, int, int, int]: ...
    def top(self, levels: int = 10) -> tuple[int, ...]: ...
    def top_any(self, levels: int = 10) -> tuple[int, ...]: ...
    def depth(self, levels: int = 0) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]: ...
    def depth_any(self, levels: int = 0) -> tuple[int, list[tuple[int, int, int]], list[tuple[int, int, int]]]: ...
    def orders(self, side: int, levels: int = 0) -> list[tuple[int, int, int, int]]: ...
    def status(self) -> tuple[int, int, int]:
        """state, reason, since_ns (UTC)."""
    def times(self) -> tuple[int, int, int, int]:
        """last_seq, venue_ns, recv_ns, messages applied since the region began."""
