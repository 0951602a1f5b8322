"""The books of a desk as a strategy reads them: prices at once, whole pictures, NumPy arrays. Shared memory, no asking.

A book follows a restart of its writer by itself. What cannot be believed is an error with the state and the reason:
StaleBookError, or RegionError while no book process has ever stood there.
"""

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from base.config import DeskConfig
from base.errors import ConfigError
from ipc import _book
from ipc.books import BookReader, BookReason, BookRegion, BookState

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from quarterdeck.book_arrays import DepthView, TopView


_N_BIDS, _N_ASKS = 6, 7  # of enum qd_word


class Level(NamedTuple):
    """One price of a book, at the book's scales. `orders`: L3 books count them, 0 for L2."""

    px: int
    qty: int
    orders: int


class BookImage(msgspec.Struct, frozen=True):
    """A book at one moment: levels best first, of one and the same version, with what is known of it."""

    venue: str
    instrument: str
    level: int  # 2 or 3
    px_scale: int
    qty_scale: int
    state: str  # LIVE, or CROSSED, STALE, ... where the caller asked for whatever there is
    reason: str
    since_ns: int
    last_seq: int
    venue_ns: int  # the venue's sending time of the last message; 0 where it says none
    recv_ns: int  # when its bytes were read here
    messages: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class Book(BookReader):
    """One book. `bbo()`, `top()`, `depth()`, `orders()` give integers; `image()` an object; `array()`,
    `depth_arrays()`, `order_arrays()` copies for NumPy; `view()`, `depth_view()` what stands in shared memory itself,
    to be checked after.

    All of these raise StaleBookError unless the book is LIVE, BookBusyError when it changed during every try.
    """

    def image(self, levels: int = 10) -> BookImage:
        """The best `levels` of each side as one object; more than 50, or 0 for all, come from the full depth."""
        if 0 < levels <= _book.TOP_LEVELS:
            words, flat, orders = _book.copy_top(self, levels)
            held = min(words[_N_BIDS], levels), min(words[_N_ASKS], levels)
            bids, asks = (
                tuple(Level(flat[2 * i], flat[2 * i + 1], orders[i]) for i in range(at, at + n))
                for at, n in zip((0, levels), held, strict=True)
            )
        else:
            words, triples = _book.depth_words(self, levels)
            bids, asks = (tuple(map(Level._make, side)) for side in triples)
        state, reason = BookState(words[0] & 255), BookReason(words[0] >> 8 & 255)
        return BookImage(
            venue=self.venue, instrument=self.instrument, level=self.level, px_scale=self.px_scale,
            qty_scale=self.qty_scale, state=state.name, reason="" if reason is BookReason.OK else reason.name,
            since_ns=words[1], last_seq=words[2], venue_ns=words[3], recv_ns=words[4], messages=words[5], bids=bids,
            asks=asks,
        )  # fmt: skip

    def array(self, levels: int = 10) -> "NDArray[np.void]":
        """A copy of the best `levels` (at most 50), shape (2, levels): bids, offers; dtype book_arrays.LEVEL, zeros
        where there is none. ImportError without NumPy.
        """
        from quarterdeck.book_arrays import top_array

        return top_array(self, levels)

    def depth_arrays(self, levels: int = 0) -> "tuple[NDArray[np.void], NDArray[np.void]]":
        """Copies of bids and offers, best first (0: all of them); dtype book_arrays.LEVEL."""
        from quarterdeck.book_arrays import depth_arrays

        return depth_arrays(self, levels)

    def order_arrays(self, levels: int = 0) -> "tuple[NDArray[np.void], NDArray[np.void]]":
        """L3: copies of the orders of bids and offers in queue order, of the best `levels` levels (0: all); dtype
        book_arrays.ORDER. BookError for an L2 book.
        """
        from quarterdeck.book_arrays import order_arrays

        return order_arrays(self, levels)

    def view(self) -> "TopView":
        """The newest version of the top 50 where it stands in shared memory, nothing copied. It does not change until
        the writer has published 7 more; look at `valid()` after you are done, and throw the result away when it is
        false.
        """
        from quarterdeck.book_arrays import TopView

        return TopView(self)

    def depth_view(self) -> "DepthView":
        """The full depth where it stands in shared memory, nothing copied. The writer's next change makes it
        invalid.
        """
        from quarterdeck.book_arrays import DepthView

        return DepthView(self)


class Regions:
    """The regions of a desk's book shards, opened when first asked for."""

    def __init__(self, desk: DeskConfig) -> None:
        self._desk = desk
        self._open: dict[str, BookRegion] = {}

    def book(self, venue: str, instrument: str, level: int = 0) -> Book:
        """ConfigError when no shard keeps it, RegionError when the book process has not started yet."""
        shard, found = self._shard(venue, instrument, level)
        if shard not in self._open:
            self._open[shard] = BookRegion.open(self._desk.shm_dir / f"book-{shard}")
        region = self._open[shard]
        region.follow()
        return Book(region, venue, instrument, found)

    def _shard(self, venue: str, instrument: str, level: int) -> tuple[str, int]:
        sessions = self._desk.config.session
        kept = {
            sessions[s].level: shard
            for shard, book in self._desk.config.book.items()
            for s in book.sessions
            if sessions[s].venue == venue and any(i.name == instrument for i in self._desk.session_instruments(s))
        }
        found = level or min(kept, default=2)
        if found not in kept:
            raise ConfigError(f"{self._desk.path}: no book shard keeps {venue} {instrument} at level {found}")
        return kept[found], found
