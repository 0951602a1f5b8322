"""Sessions of a plain FIX peer whose messages are changed by rules (wire_rules.py) on their way out and in."""

from array import array

from fix.codec import Message
from fix.session_events import FieldDefect
from fix.store import MessageStore
from venues.fix44.settings import Settings
from venues.fix_dialect import DropCopyProfile, MarketDataProfile, TradingProfile
from venues.fix_marketdata import FixMarketDataSession
from venues.fix_session import FixVenueSession
from venues.fix_trading import FixDropCopySession, FixTradingSession
from venues.interface import RecordSink, SessionContext, Sink
from venues.subscriptions import signed_key

_HEADER, _CHANGE = 12, 5  # words of a record and of a change (base/md_record.h)
_DELETE = 2


class _Ruled(FixVenueSession):
    _settings: Settings

    def _send(self, msg_type: str, body: bytes, mono_ns: int, wall_ns: int, *, act_first: bool = False) -> int:
        body = self._settings.writes.written(msg_type, body)
        return super()._send(msg_type, body, mono_ns, wall_ns, act_first=act_first)

    def _take(self, message: Message, flags: int, defects: tuple[FieldDefect, ...]) -> bool:
        read = self._settings.reads.read(message, self._profile.rules)
        return super()._take(read, flags, defects)  # type: ignore[safe-super]  # the sessions below have it


class PlainTrading(_Ruled, FixTradingSession):
    """Order entry."""

    def __init__(
        self, context: SessionContext, sink: Sink, profile: TradingProfile, store: MessageStore, settings: Settings
    ) -> None:
        self._settings = settings
        super().__init__(context, sink, profile, store)


class PlainDropCopy(_Ruled, FixDropCopySession):
    """Copies of reports."""

    def __init__(
        self, context: SessionContext, sink: Sink, profile: DropCopyProfile, store: MessageStore, settings: Settings
    ) -> None:
        self._settings = settings
        super().__init__(context, sink, profile, store)


class PlainMarketData(_Ruled, FixMarketDataSession):
    """Market data.

    Where the peer does not echo MDReqID(262), what comes belongs to the subscription there is. Where its deletes do not
    say at which price, the record is left out and the instrument subscribed to anew: the book shows nothing until then.
    """

    def __init__(
        self,
        context: SessionContext,
        sink: Sink,
        profile: MarketDataProfile,
        store: MessageStore,
        records: RecordSink,
        settings: Settings,
    ) -> None:
        self._settings = settings
        super().__init__(context, sink, profile, store, records)

    def _hand_on(self, words: memoryview) -> None:
        if self._settings.echoes_md_req_id and self._settings.deletes_have_price:
            super()._hand_on(words)
            return
        kept, lost = self._looked_at(words)
        if kept:
            super()._hand_on(memoryview(kept))
        for index in lost:
            self.refresh(index, self._mono_ns, self._wall_ns)

    def _looked_at(self, words: memoryview) -> tuple["array[int]", list[int]]:
        """The records that count, under the key of their subscription; instruments whose book cannot go on."""
        kept, lost, at = array("q"), [], 0
        while at < len(words):
            end = at + _HEADER + _CHANGE * words[at]
            record, index = array("q", words[at:end].tolist()), words[at + 1]
            if index >= 0 and not self._settings.deletes_have_price and _lost_price(record):
                lost.append(index)
            else:
                if index >= 0 and not self._settings.echoes_md_req_id:
                    record[10] = (
                        signed_key(self._subscriptions[index].req_id) if self._subscriptions[index].req_id else 0
                    )
                kept += record
            at = end
        return kept, lost


def _lost_price(record: "array[int]") -> bool:
    changes = range(_HEADER, len(record), _CHANGE)
    return any(record[c] >> 8 & 255 == _DELETE and record[c] & 255 < 2 and not record[c + 1] for c in changes)
