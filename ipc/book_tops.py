"""Best prices of one venue's instruments out of the desk's shared-memory books, for those who judge orders by them.

A book that is not LIVE, whose writer is gone or silent, or that nobody keeps, has no prices.
"""

from base.config import DeskConfig, SessionConfig
from base.errors import BookBusyError, RegionError
from base.instruments import Instrument
from ipc.books import BookReader, BookRegion, BookState

Top = tuple[int, int, int, int]
"""Bid price and quantity, offer price and quantity; quantity 0 where a side is empty."""

_LEVELS = 50
_LIVE = int(BookState.LIVE)


class _Place:
    """Where a book is to be found: a shard and a level."""

    def __init__(self, shard: str, level: int, instrument: Instrument) -> None:
        self.shard, self.level = shard, level
        # Compared after each read: that is when a reader follows to another region, which may have other scales.
        self.px_scale, self.qty_scale = instrument.px_scale, instrument.qty_scale
        self.reader: BookReader | None = None


class BookTops:
    """Readers of a venue's books; of several that keep one book the first that is LIVE is asked, L2 before L3."""

    def __init__(self, desk: DeskConfig, venue: str, instruments: list[Instrument]) -> None:
        self._shm_dir, self._venue = desk.shm_dir, venue
        self._regions: dict[str, BookRegion] = {}
        self._places = {i.name: [_Place(*at, i) for at in book_places(desk, venue, i.name)] for i in instruments}
        self.look()

    def best(self, instrument: str) -> Top | None:
        """Best bid and offer as they are now; None where there is no book to be believed."""
        for place in self._places.get(instrument, ()):
            reader = place.reader
            if reader is None:
                continue
            try:
                state, bid_px, bid_qty, ask_px, ask_qty = reader.bbo_any()
            except (BookBusyError, RegionError):
                continue
            if state == _LIVE and reader.px_scale == place.px_scale and reader.qty_scale == place.qty_scale:
                return bid_px, bid_qty, ask_px, ask_qty
        return None

    def reach(self, instrument: str, side: str, qty: int) -> tuple[int, bool]:
        """The worst price that a market order would trade at within the top 50 levels, and whether they hold so much.

        (0, False) where no book is to be believed.
        """
        for place in self._places.get(instrument, ()):
            reader = place.reader
            if reader is None:
                continue
            try:
                state, *levels = reader.top_any(_LEVELS)
            except (BookBusyError, RegionError):
                continue
            if state != _LIVE or reader.px_scale != place.px_scale or reader.qty_scale != place.qty_scale:
                continue
            return _walk(levels[2 * _LEVELS :] if side == "1" else levels[: 2 * _LEVELS], qty)  # a buy takes offers
        return 0, False

    def look(self) -> None:
        """From a timer: regions that were not there yet. A region that is replaced is followed by its readers."""
        for name, places in self._places.items():
            for place in places:
                if place.reader is None:
                    place.reader = self._reader(place, name)

    def _reader(self, place: _Place, instrument: str) -> BookReader | None:
        try:
            region = self._regions.get(place.shard)
            if region is None:
                region = self._regions[place.shard] = BookRegion.open(self._shm_dir / f"book-{place.shard}")
            return region.book(self._venue, instrument, place.level)
        except RegionError:
            return None


def _walk(levels: list[int], qty: int) -> tuple[int, bool]:
    reached = 0
    for px, there in zip(levels[::2], levels[1::2], strict=True):
        if not there:
            break
        reached = px
        qty -= there
        if qty <= 0:
            return reached, True
    return reached, False


def book_places(desk: DeskConfig, venue: str, instrument: str) -> list[tuple[str, int]]:
    """(shard, level) of each book of the instrument that the desk keeps, L2 before L3."""
    found = []
    for shard, book in desk.config.book.items():
        for name in book.sessions:
            session: SessionConfig = desk.config.session[name]
            if session.venue == venue and instrument in (i.name for i in desk.session_instruments(name)):
                found.append((shard, session.level))
    return sorted(found, key=lambda at: at[1])
