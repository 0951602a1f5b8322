"""Gemini market data: 35=V for books by price (full, or the top alone) and trades, 35=x for the names of symbols.

There is no number but MsgSeqNum(34): a hole in it ends the connection, and every book begins anew. Nothing ends a
subscription: a refresh is one more 35=V under another MDReqID, and what the old one goes on sending does not count.
That a level goes by its price, with its new total, is inferred. 9002 says the maker's side, is off unless asked for,
and is not asked for: trades come without an aggressor.
"""

from collections.abc import Iterable

from base.errors import VenueError
from base.instruments import Instrument
from fix.codec import BodyWriter, MdDecoder, Message
from venues.fix_dialect import Notice, Reference, Said
from venues.gemini.settings import Settings
from venues.interface import BookRule

FULL, TOP = 0, 1
"""MarketDepth(264)."""


class MarketData:
    """Subscriptions of one session."""

    has_reference = False

    def __init__(self, settings: Settings, instruments: Iterable[Instrument], depth: int, epoch: int) -> None:
        self._kinds = "012" if settings.trades else "01"
        self._asks_names = settings.symbol_list
        self._symbols = [i.symbol for i in instruments]
        self._depth = depth
        self._stem = f"{epoch // 1_000_000_000:x}"
        self._count = 0
        self.left_most = settings.left_most
        self.requests_per_s = settings.subscriptions_per_s
        self.rule = BookRule(continuity="none", window=depth, top_only=depth == TOP)

    def decoder(self) -> MdDecoder:
        """Levels by price. Trades are told without id and time: 273 is a time of day, of indicative prices."""
        return MdDecoder(trade_id_tag=0, trade_time_tag=0, aggressor_tag=0)

    def rule_of(self, instrument: Instrument, reference: Reference | None) -> BookRule:
        """Every instrument has the session's rule."""
        return self.rule

    def subscribe(self, body: BodyWriter, req_id: str, instrument: Instrument) -> str:
        """35=V 263=1, symbols before entry types as published."""
        body.text(262, req_id)
        body.text(263, "1")
        body.integer(264, self._depth)
        body.integer(146, 1)
        body.text(55, instrument.symbol)
        body.integer(267, len(self._kinds))
        for kind in self._kinds:
            body.text(269, kind)
        return "V"

    def unsubscribe(self, body: BodyWriter, req_id: str, instrument: Instrument) -> str:
        """Never asked for: the venue has no such request (`left_most`)."""
        raise VenueError("35=V: gemini ends no subscription before its connection")

    def companions(self, instrument: Instrument) -> list[tuple[str, bytes]]:
        """None: trades come with the book."""
        return []

    def reference_requests(self, instruments: list[Instrument]) -> list[tuple[str, bytes]]:
        """35=x: names, and nothing more of the instruments."""
        if not self._asks_names:
            return []
        self._count += 1
        body = BodyWriter()
        body.text(320, f"I{self._stem}-{self._count}")
        return [("x", body.take())]

    def other(self, message: Message) -> list[Said] | None:
        """35=y: a configured symbol that the venue does not list is told to people."""
        if message.msg_type != "y":
            return None
        if message.get_str(560) not in (None, "0"):
            return [Notice("warning", "symbol_list", f"refused: 560={message.get_str(560)}")]
        listed = {value.decode("ascii", "replace") for tag, value in message.fields() if tag == 55}
        missing = sorted(set(self._symbols) - listed)
        said = f"not among the venue's {len(listed)} symbols: {', '.join(missing)}"
        return [Notice("warning", "symbol_list", said)] if missing else []
