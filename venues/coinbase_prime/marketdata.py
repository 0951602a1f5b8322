"""Coinbase Prime market data over FIX 5.0 SP2, a client beta: 35=V, level 2 and trades, 35=f (coinbase-prime.md, 6.1).

A large snapshot comes in pieces, 911 of them numbered by 963, and brings about a hundred past trades. There is no rule
of continuity: 83 counts entries, how is not documented, so a lost entry shows in nothing but the session's own numbers.
That levels go by price is inferred. 35=f that the feed stopped (326=999) or goes on (3) makes us subscribe anew.
"""

from base.instruments import Instrument
from fix.codec import BodyWriter, MdDecoder, Message
from venues.coinbase_prime.settings import Settings
from venues.fix_dialect import Notice, Reference, Resubscribe, Said
from venues.interface import BookRule

_STOPPED, _RESUMED = "999", "3"
_ENTRIES = "012"


class MarketData:
    """Subscriptions of one session."""

    has_reference = False
    pieces_tag, piece_tag = 911, 963

    def __init__(self, settings: Settings, depth: int) -> None:
        self._depth = depth
        self._update_type = settings.md_update_type
        self.requests_per_s = settings.subscriptions_per_s
        self.rule = BookRule(continuity="none", window=depth, fragments=True)

    def decoder(self) -> MdDecoder:
        """Levels by price. Trades are told without id and time: 278 is an entry's, the time stands in two fields."""
        return MdDecoder(trade_id_tag=0, trade_time_tag=0, aggressor_tag=2446)

    def rule_of(self, instrument: Instrument, reference: Reference | None) -> BookRule:
        """Every instrument has the session's rule."""
        return self.rule

    def subscribe(self, body: BodyWriter, req_id: str, instrument: Instrument) -> str:
        """35=V 263=1."""
        return self._request(body, req_id, instrument, "1")

    def unsubscribe(self, body: BodyWriter, req_id: str, instrument: Instrument) -> str:
        """35=V 263=2 with everything said again, as the venue's own sample client does."""
        return self._request(body, req_id, instrument, "2")

    def companions(self, instrument: Instrument) -> list[tuple[str, bytes]]:
        """None: trades come with the book."""
        return []

    def reference_requests(self, instruments: list[Instrument]) -> list[tuple[str, bytes]]:
        """None: FIX tells nothing of instruments here."""
        return []

    def other(self, message: Message) -> list[Said] | None:
        """35=f."""
        if message.msg_type != "f":
            return None
        symbol, status = message.get_str(55) or "", message.get_str(326) or ""
        text = f"{symbol}: 326={status} {message.get_str(58) or ''}".rstrip()
        said: list[Said] = [Notice("warning" if status == _STOPPED else "info", "security_status", text)]
        return [*said, Resubscribe(symbol)] if status in (_STOPPED, _RESUMED) else said

    def _request(self, body: BodyWriter, req_id: str, instrument: Instrument, what: str) -> str:
        body.text(262, req_id)
        body.text(263, what)
        body.integer(264, self._depth)
        body.text(265, self._update_type)
        body.integer(267, len(_ENTRIES))
        for entry in _ENTRIES:
            body.text(269, entry)
        body.integer(146, 1)
        body.text(55, instrument.symbol)
        return "V"
