"""The kill switch's eyes on the shared-memory books: state and best prices, whatever becomes of their writers."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec

from base.config import DeskConfig
from base.errors import BookBusyError, RegionError
from ipc.books import BookReader, BookReason, BookRegion, BookState

OPEN_AGAIN_NS = 1_000_000_000


class BookView(msgspec.Struct, frozen=True):
    """One book at one moment. Prices are None unless it is LIVE with both sides."""

    state: str  # as BookState, MISSING without a region, BUSY when it could not be read for being written
    reason: str
    bid: Decimal | None = None
    ask: Decimal | None = None


class _Book:
    def __init__(self, path: Path, level: int, session: str) -> None:
        self.path, self.level, self.session = path, level, session
        self.reader: BookReader | None = None
        self.next_ns = 0
        self.why = ""


class BookEyes:
    """A reader for each book that the desk keeps; of two for one instrument, the one of levels."""

    def __init__(self, desk: DeskConfig) -> None:
        self._books: dict[tuple[str, str], _Book] = {}
        for shard, config in desk.config.book.items():
            for session in config.sessions:
                s = desk.config.session[session]
                for instrument in desk.session_instruments(session):
                    key = (s.venue, instrument.name)
                    known = self._books.get(key)
                    if known is None or s.level < known.level:
                        self._books[key] = _Book(desk.shm_dir / f"book-{shard}", s.level, session)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._books)

    def session(self, venue: str, instrument: str) -> str:
        """The market-data session that feeds a book; "" when nobody keeps one."""
        book = self._books.get((venue, instrument))
        return book.session if book is not None else ""

    def look(self, venue: str, instrument: str, mono_ns: int) -> BookView:
        """State and prices as they stand."""
        book = self._books.get((venue, instrument))
        if book is None:
            return BookView("MISSING", "no [book.X] keeps it")
        reader = self._reader(book, venue, instrument, mono_ns)
        if reader is None:
            return BookView("MISSING", book.why)
        try:
            state, bid, bid_qty, ask, ask_qty = reader.bbo_any()
            if state == BookState.LIVE and bid_qty and ask_qty:
                scale = -reader.px_scale
                return BookView("LIVE", "", Decimal(bid).scaleb(scale), Decimal(ask).scaleb(scale))
            state, reason, _ = reader.status()
        except BookBusyError:
            return BookView("BUSY", "")
        except RegionError as e:
            book.reader, book.why = None, str(e)
            return BookView("MISSING", book.why)
        return BookView(BookState(state).name, BookReason(reason).name)

    def _reader(self, book: _Book, venue: str, instrument: str, mono_ns: int) -> BookReader | None:
        if book.reader is None and mono_ns >= book.next_ns:
            book.next_ns = mono_ns + OPEN_AGAIN_NS
            try:
                book.reader = BookRegion.open(book.path).book(venue, instrument, book.level)
            except RegionError as e:
                book.why = str(e)
        return book.reader
