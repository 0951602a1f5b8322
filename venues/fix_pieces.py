"""Market data whose 35=W need a look: past trades among the book, pieces numbered instead of the last one marked."""

from array import array

from fix.codec import Message
from fix.session_events import FieldDefect
from fix.store import MessageStore
from venues.fix_dialect import CountedPieces, MarketDataProfile
from venues.fix_marketdata import FixMarketDataSession
from venues.interface import RecordSink, SessionContext, Sink

_HEADER, _CHANGE = 12, 5  # words of a record and of a change (base/md_record.h)
_FLAGS, _MORE = 3, 8
_TRADE = 2


class PresentSession(FixMarketDataSession):
    """MarketDataSession that leaves out the past trades which come with a 35=W: what it hands on is the present.

    A 35=W is looked at message by message, so that the decoder's batches are not used: for feeds of moderate rate.
    """

    def __init__(
        self, context: SessionContext, sink: Sink, profile: MarketDataProfile, store: MessageStore, records: RecordSink
    ) -> None:
        super().__init__(context, sink, profile, store, records)
        self._fix.md_decoder = None

    def _take(self, message: Message, flags: int, defects: tuple[FieldDefect, ...]) -> bool:
        if message.msg_type != "W":
            return super()._take(message, flags, defects)
        more = self._more_to_come(message)
        self._hand_on(memoryview(_present(self._words_of(message), more)))
        return True

    def _more_to_come(self, message: Message) -> bool:
        """Whether this is a piece of a snapshot, and not the last one."""
        return False


class CountedPiecesSession(PresentSession):
    """MarketDataSession that marks all pieces of a 35=W but the last."""

    def __init__(
        self, context: SessionContext, sink: Sink, profile: CountedPieces, store: MessageStore, records: RecordSink
    ) -> None:
        super().__init__(context, sink, profile, store, records)
        self._tags = profile.pieces_tag, profile.piece_tag
        self._seen: dict[str, set[str]] = {}  # pieces by MDReqID

    def _more_to_come(self, message: Message) -> bool:
        req_id, count = message.get_str(262) or "", message.get_str(self._tags[0]) or ""
        if not count.isdecimal() or int(count) <= 1:
            return False
        live = {s.req_id for s in self._subscriptions}
        self._seen = {known: seen for known, seen in self._seen.items() if known in live}
        seen = self._seen.setdefault(req_id, set())
        seen.add(message.get_str(self._tags[1]) or str(len(seen)))
        return len(seen) < int(count)

    def _lost(self) -> None:
        super()._lost()
        self._seen.clear()


def _present(words: "array[int]", more: bool) -> "array[int]":
    """The records as a state of the book: no trade, and marked where more of it is to come."""
    out, at = array("q"), 0
    while at < len(words):
        head, end = words[at : at + _HEADER], at + _HEADER + _CHANGE * words[at]
        changes = [words[c : c + _CHANGE] for c in range(at + _HEADER, end, _CHANGE) if words[c] & 255 != _TRADE]
        head[0], head[_FLAGS] = len(changes), head[_FLAGS] | (_MORE if more else 0)
        out += head
        for change in changes:
            out += change
        at = end
    return out
