"""Books as they are seen: spread, age, rate, source. Pure."""

from base.config import DeskConfig
from base.decimals import format_scaled
from ipc.events import BookSource
from ipc.view.sessions import Rate
from ipc.view.sight import BookSight, Key, Sight
from ipc.view.structs import BookPart

_MS = 1_000_000


class BooksSeen:
    """What was seen of each book."""

    def __init__(self, desk: DeskConfig) -> None:
        self._sources: dict[Key, tuple[str, ...]] = {}
        self._source: dict[Key, str] = {}
        for shard in desk.config.book:
            for session, instrument, level in desk.shard_books(shard):
                key = (instrument.venue, instrument.name, level)
                self._sources[key] = desk.redundant(session) or (session,)
                self._source[key] = session
        self._rates: dict[Key, Rate] = {}
        self._sights: dict[Key, BookSight] = {}

    def source(self, event: BookSource) -> None:
        """A book is taken from another session."""
        self._source[event.venue, event.instrument, event.level] = event.session

    def see(self, sight: Sight) -> None:
        """The books as they are now."""
        self._sights = {b.key: b for b in sight.books}
        for key, b in self._sights.items():
            self._rates.setdefault(key, Rate()).add(sight.mono_ns, b.messages)

    def parts(self, mono_ns: int, wall_ns: int) -> list[BookPart]:
        """All of them, in the order of the configuration."""
        return [self._part(b, mono_ns, wall_ns) for b in self._sights.values()]

    def part(self, key: Key, mono_ns: int, wall_ns: int) -> BookPart | None:
        """One of them; None when there is none such."""
        found = self._sights.get(key)
        return None if found is None else self._part(found, mono_ns, wall_ns)

    def _part(self, b: BookSight, mono_ns: int, wall_ns: int) -> BookPart:
        live = b.status == "LIVE"
        instrument, key = b.instrument, b.key
        px, qty = instrument.px_text, instrument.qty_text
        bid, ask = live and bool(b.bid_qty), live and bool(b.ask_qty)
        spread = b.ask_px - b.bid_px if bid and ask else None
        return BookPart(
            venue=key[0], instrument=key[1], level=key[2], status=b.status, reason="" if b.reason == "OK" else b.reason,
            since_ns=b.since_ns, bid_px=px(b.bid_px) if bid else "", bid_qty=qty(b.bid_qty) if bid else "",
            ask_px=px(b.ask_px) if ask else "", ask_qty=qty(b.ask_qty) if ask else "",
            spread="" if spread is None else px(spread),
            spread_ticks=None if spread is None else spread // max(instrument.tick_size, 1),
            spread_bps="" if spread is None else _bps(spread, b.bid_px + b.ask_px),
            age_ms=max(0, wall_ns - b.recv_ns) // _MS if b.recv_ns else None, messages=b.messages,
            messages_per_s=self._rates[key].text(mono_ns) if key in self._rates else "",
            source=self._source.get(key, ""), sources=self._sources.get(key, ()), shard=b.shard,
        )  # fmt: skip


def _bps(spread: int, twice_mid: int) -> str:
    """Spread in basis points of the mid, two decimals; "" where the mid is not positive."""
    if twice_mid <= 0:
        return ""
    hundredths = (spread * 4_000_000 + twice_mid) // (2 * twice_mid)  # rounded to the nearest
    return format_scaled(hundredths, 2)
