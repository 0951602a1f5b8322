"""Order books over plain memory: private ones, and the writer's and readers' sides of a shared region.

Prices and sizes are int64 at the instrument's scale. `what` words and record buffers are those of base/md_record.h.
Sides are 0 bid and 1 offer. Functions that apply return a reason code of ipc/book.h: 0 is success.
Packed changes ("changes") are little-endian int64: 3 a change for L2 (what, px, qty), 5 for L3 (what, px, qty, key,
time_ns). Bit 25 of `what` (LAST_OF_MESSAGE) marks the last change of a venue message: books publish there.
"""

from collections.abc import Sequence
from typing import Protocol

from _typeshed import ReadableBuffer, WriteableBuffer

_Spec = tuple[str, str, int, int, int, int, int]

LAST_OF_MESSAGE: int
LAYOUT_VERSION: int
TOP_LEVELS: int
STATES: tuple[str, ...]
REASONS: tuple[str, ...]

class Verdict:
    """What became of the records of one instrument in one call of BookSet.verify_and_pack.

    A snapshot and a broken rule are verdicts of their own; verified increments of one instrument share one, in order.
    reason 0: verified. `changes` may be published, or, when `snapshot`, the whole book as `bids` and `asks`
    (L2 px, qty; L3 px, qty, key, time_ns; best first, queue order). reason SNAPSHOT: increments dropped while the book
    waits for one. Any other reason: the record of `seq_num` broke the rule and the book is out until its next snapshot.
    Trades are counted here and unpacked by BookSet.trades.
    """

    instrument: int
    snapshot: bool
    reason: int
    changes: bytes
    bids: bytes
    asks: bytes
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
    ignore_unknown: a change or delete of an order that is not there is passed over.
    rise_requeues: an order of a record whose quantity rises goes behind the others of its price; packed as two changes.
    """

    def __init__(
        self,
        *,
        l3: bool = False,
        levels: int = 4096,
        orders: int = 0,
        max_depth: int = 0,
        top_only: bool = False,
        ignore_unknown: bool = False,
        rise_requeues: bool = False,
    ) -> None: ...
    @property
    def l3(self) -> bool: ...
    @property
    def max_depth(self) -> int: ...
    def apply(self, what: int, px: int, qty: int, key: int = 0, time_ns: int = 0) -> int:
        """One change, which is one message: cut to the window and, in a region, published."""
    def apply_changes(self, changes: ReadableBuffer, last_seq: int = 0, venue_ns: int = 0, recv_ns: int = 0) -> int:
        """Packed changes of one or more messages in one call. Stops at the first defect and returns it.

        last_seq is taken over with the last change: intermediate versions carry the one before.
        """
    def replace(
        self, bids: ReadableBuffer, asks: ReadableBuffer, last_seq: int = 0, venue_ns: int = 0, recv_ns: int = 0
    ) -> int:
        """The whole book anew, from packed sides as pack() gives them; orders keep the order in which they stand."""
    def apply_record(self, records: ReadableBuffer, offset: int = 0) -> int:
        """One record of base/md_record.h at word `offset`; a snapshot record replaces."""
    def clear(self) -> None: ...
    def pack(self) -> tuple[bytes, bytes]:
        """Bids and asks: int64 (px, qty) a level, L3 (px, qty, key, time_ns) an order; best first, in queue order."""
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
    def messages(self) -> int: ...
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
        """continuity: 0 none, 1 checksum, 2 update ids (no hole), 3 newest (ids only rise). Waits for a snapshot."""
    def book(self, instrument: int) -> Book: ...
    def expect(self, instrument: int, req_key: int) -> None:
        """Take only records of MDReqID key `req_key` (0: any); what an older subscription still sends is dropped."""
    def invalidate(self, instrument: int, reason: int = 2) -> None:
        """The book is out until its next snapshot."""
    def is_live(self, instrument: int) -> bool: ...
    def last_id(self, instrument: int) -> int: ...
    def verify_and_pack(self, records: ReadableBuffer, n_words: int = -1) -> list[Verdict]:
        """Apply every record to its book, check its rule, pack what is verified. SchemaError when malformed."""
    def trades(self, records: ReadableBuffer, n_words: int = -1) -> list[tuple[int, int, int, int, int, int, int]]:
        """(instrument, px, qty, aggressor, trade_key, time_ns, seq_num) of each trade in the records."""

def region_size(specs: Sequence[_Spec]) -> int: ...
def format_region(
    memory: WriteableBuffer,
    specs: Sequence[_Spec],
    generation: int,
    heartbeat_limit_ns: int,
    created_ns: int,
    mono_ns: int,
) -> None: ...
def retire_region(memory: WriteableBuffer) -> None: ...

class RegionWriter:
    """The writer's side of a mapped region; files and locks are the caller's (ipc/books.py)."""

    def __init__(self, memory: WriteableBuffer, name: str) -> None: ...
    def heartbeat(self, mono_ns: int) -> None: ...
    def retire(self) -> None: ...
    def book(self, index: int, *, max_depth: int = 0, top_only: bool = False) -> SharedBook: ...
    @property
    def generation(self) -> int: ...

class SharedBook(Book):
    """A book in a region, as its only writer sees it. What cannot be applied makes it STALE with the reason, at once.

    Every message is published (best bid and offer, top 50). While RECOVERING or STALE only replace() and snapshot
    records are taken; anything else returns SNAPSHOT and changes nothing.
    """

    def set_status(self, state: int, reason: int, since_ns: int) -> None:
        """RECOVERING, STALE, HALTED (still takes changes), or LIVE (ends HALTED; BookError before a snapshot).

        CROSSED is taken as LIVE: a region's book finds out by itself.
        """
    @property
    def status(self) -> tuple[int, int, int]:
        """state, reason, since_ns (UTC) as readers see them; CROSSED comes and goes by itself."""

class RegionView:
    """A reader's mapping of one region file, with an open file of its own to look at the writer's lock.

    RegionError naming `name` and the field when it is not a region.
    """

    def __init__(self, memory: ReadableBuffer, name: str, fd: int) -> None: ...
    @property
    def name(self) -> str: ...
    @property
    def generation(self) -> int: ...
    @property
    def retired(self) -> bool: ...
    @property
    def heartbeat_mono_ns(self) -> int: ...
    @property
    def writer_state(self) -> int:
        """0, or the reason why nobody stands behind the books."""
    def instruments(self) -> list[_Spec]:
        """(venue, instrument, px_scale, qty_scale, level, levels, orders) in directory order."""

class _Region(Protocol):
    view: RegionView
    def follow(self) -> RegionView: ...

class BookReader:
    """Reads one book of a region; never writes, never blocks its writer, follows a replaced region by itself.

    bbo, top, depth and orders raise StaleBookError unless the book is LIVE and its writer alive; the *_any forms give
    the state first and never raise for that. BookBusyError when the area changed during each of `tries` tries.
    """

    tries: int
    def __init__(self, region: _Region, venue: str, instrument: str, level: int = 0) -> None: ...
    @property
    def venue(self) -> str: ...
    @property
    def instrument(self) -> str: ...
    @property
    def level(self) -> int: ...
    @property
    def px_scale(self) -> int: ...
    @property
    def qty_scale(self) -> int: ...
    @property
    def worst_tries(self) -> int:
        """Most tries that any read of this reader took."""
    def bbo(self) -> tuple[int, int, int, int]:
        """bid_px, bid_qty, ask_px, ask_qty; qty 0 where a side is empty."""
    def bbo_any(self) -> tuple[int, int, int, int, int]: ...
    def top(self, levels: int = 10) -> tuple[int, ...]:
        """levels (at most 50) x (px, qty) of bids, then of asks, best first, 0 where there is none."""
    def top_any(self, levels: int = 10) -> tuple[int, ...]: ...
    def depth(self, levels: int = 0) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
        """(px, qty, orders) of bids and of asks, best first; levels 0 is the whole book."""
    def depth_any(self, levels: int = 0) -> tuple[int, list[tuple[int, int, int]], list[tuple[int, int, int]]]: ...
    def orders(self, levels: int = 0) -> tuple[list[tuple[int, int, int, int]], list[tuple[int, int, int, int]]]:
        """L3: (px, qty, key, time_ns) of bids and of asks, in queue order; of the best `levels` levels (0: all)."""
    def status(self) -> tuple[int, int, int]:
        """state, reason, since_ns (UTC); a silent, dead or retired writer makes it STALE."""
    def times(self) -> tuple[int, int, int, int]:
        """last_seq, venue_ns, recv_ns, messages applied since the region began."""

def race_write(book: SharedBook, first: int, n: int) -> None:
    """Publish n patterns flat out, for tests and benchmarks of readers."""

def race_read(reader: BookReader, area: int, n: int) -> tuple[int, int, int, int, int]:
    """n checked reads of area 0 best, 1 top 50, 2 depth: (reads, torn, busy, retried, most tries)."""

# -- for arrays (quarterdeck/book_arrays.py); each raises as BookReader's reads do

_Words = tuple[int, ...]

def copy_top(reader: BookReader, levels: int) -> tuple[_Words, tuple[int, ...], tuple[int, ...]]:
    """(words of enum qd_word, levels x (px, qty) of bids then of offers, levels counts of orders of each): one
    version.
    """

def depth_words(
    reader: BookReader, levels: int
) -> tuple[_Words, tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]]:
    """(words of enum qd_word, ((px, qty, orders) of bids, of offers)): one version of the full depth; 0: all of it."""

def top_bytes(reader: BookReader, levels: int) -> bytearray:
    """Bids, then offers: levels x (px, qty, orders) of int64 each, zeros where there is none."""

def depth_bytes(reader: BookReader, levels: int) -> tuple[bytearray, bytearray]:
    """(bids, offers): (px, qty, orders) of int64 of each level, best first; 0: all."""

def order_bytes(reader: BookReader, levels: int) -> tuple[bytearray, bytearray]:
    """L3, (bids, offers): (px, qty, key, time_ns) of int64 of each order, in queue order; of the best levels, 0:
    all.
    """

class Pin:
    """A piece of a region as it stands there, read-only (buffer), and whether it still holds."""

    words: _Words
    def __buffer__(self, flags: int) -> memoryview: ...
    def valid(self) -> bool:
        """Whether nothing of it has been written since it was pinned; what was read before a True was whole."""

def pin_top(reader: BookReader) -> tuple[Pin, int, int]:
    """(pin, bids, offers): 50 x (px, qty) of bids, of offers, 50 + 50 counts of orders; how many levels of each
    count.
    """

def pin_depth(reader: BookReader) -> tuple[Pin, int, tuple[int, int], tuple[int, int]]:
    """(pin, words a level, (first level, levels) of bids, of offers): each side worst first, px and qty first of
    all.
    """
