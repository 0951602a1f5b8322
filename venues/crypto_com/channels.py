"""Market-data sessions whose MDReqID(262) names a channel, `book.SYMBOL.DEPTH` or `trade.SYMBOL`, the same each time.

278 and 280 stand in front of the entries, and so does the time (10273): each message is looked at by itself. Of a book
278 is its number and 280 that of the update before, which need not be one less; of a trade 278 is its id.
"""

from array import array
from typing import Protocol

from base.errors import CodecError
from base.instruments import Instrument
from fix.codec import Message, key64
from fix.session_events import FieldDefect
from fix.store import MessageStore
from venues.fix_dialect import MarketDataProfile
from venues.fix_marketdata import HAS_LAST_ID, FixMarketDataSession
from venues.interface import RecordSink, SessionContext, Sink
from venues.subscriptions import Subscription, signed_key

_HEADER, _CHANGE = 12, 5  # words of a record and of a change (base/md_record.h)
_KIND, _FLAGS, _FIRST_ID, _LAST_ID, _REQ_KEY, _DEFECT_TAG = 2, 3, 5, 6, 10, 11
_HAS_FIRST_ID, _DEFECT = 2, 256
_TRADE, _OTHER = 2, 255
_KEY, _TIME_NS = 3, 4
_MS_NS = 1_000_000


class ChannelProfile(MarketDataProfile, Protocol):
    """What the dialect says of its channels."""

    opens_with_update: bool
    """The first update behind a subscription is the whole book, even where it names one before it."""

    def channel(self, instrument: Instrument) -> str: ...


class _Channel(Subscription):
    def __init__(self, index: int, epoch: int, channel: str) -> None:
        super().__init__(index, epoch)
        self._channel = channel

    def _name(self) -> str:
        return self._channel


class ChannelSession(FixMarketDataSession):
    """MarketDataSession over channels."""

    def __init__(
        self, context: SessionContext, sink: Sink, profile: ChannelProfile, store: MessageStore, records: RecordSink
    ) -> None:
        self._channels = profile
        super().__init__(context, sink, profile, store, records)
        self._fix.md_decoder = None
        self._book_keys = {signed_key(profile.channel(i)) for i in context.instruments}
        self._opening: set[int] = set()  # keys of books whose first update is awaited, where that is the whole book
        self._last: dict[int, int] = {}  # number of the last update, by key; none right behind a snapshot

    def _subscription(self, index: int, epoch: int) -> Subscription:
        return _Channel(index, epoch, self._channels.channel(self._instruments[index]))

    def _request(self, what: str, subscription: Subscription) -> None:
        if what == "subscribe":
            key = signed_key(subscription.req_id)
            self._last.pop(key, None)
            if self._channels.opens_with_update:
                self._opening.add(key)
        super()._request(what, subscription)

    def _take(self, message: Message, flags: int, defects: tuple[FieldDefect, ...]) -> bool:
        if message.msg_type not in ("W", "X"):
            return super()._take(message, flags, defects)
        words, at = self._words_of(message), 0
        while at < len(words):
            if words[at + _REQ_KEY] in self._book_keys:
                self._book(words, at, message)
            else:
                _trades(words, at, message)
            at += _HEADER + _CHANGE * words[at]
        self._hand_on(memoryview(words))
        return True

    def _book(self, words: "array[int]", at: int, message: Message) -> None:
        """Number the record; one that begins the book anew is a snapshot, whatever it came as."""
        try:
            number, before = message.get_int(278), message.get_int(280)
        except CodecError:
            _spoil(words, at, 278)
            return
        if number is None:
            _spoil(words, at, 278)
            return
        key, emptied = words[at + _REQ_KEY], _empty(words, at)
        words[at + _FLAGS] |= HAS_LAST_ID
        words[at + _LAST_ID] = number
        if words[at + _KIND] == 1 or before is None or emptied or key in self._opening:
            words[at + _KIND] = 1
            self._opening.discard(key)
            self._last.pop(key, None)
            return
        last = self._last.get(key)
        # What names another one before it than the last leaves a hole, whatever its own number is.
        follows = last is None or before >= last
        words[at + _FLAGS] |= _HAS_FIRST_ID
        words[at + _FIRST_ID] = before + 1 if follows else number + 1
        self._last[key] = number if last is None else max(last, number)

    def _lost(self) -> None:
        super()._lost()
        self._opening.clear()
        self._last.clear()


def _spoil(words: "array[int]", at: int, tag: int) -> None:
    if not words[at + _FLAGS] & _DEFECT:
        words[at + _FLAGS] |= _DEFECT
        words[at + _DEFECT_TAG] = tag


def _changes(words: "array[int]", at: int) -> range:
    return range(at + _HEADER, at + _HEADER + _CHANGE * words[at], _CHANGE)


def _empty(words: "array[int]", at: int) -> bool:
    """Whether the message empties the book (269=J); what stands in front of that is made void."""
    changes = _changes(words, at)
    last = max((c for c in changes if words[c] & 255 == _OTHER), default=-1)
    for change in changes:
        if change <= last:
            words[change] = _OTHER
    return last >= 0


def _trades(words: "array[int]", at: int, message: Message) -> None:
    """Trades by their id (278; of several in one message 880) and at their time (10273, milliseconds)."""
    changes = [c for c in _changes(words, at) if words[c] & 255 == _TRADE]
    try:
        time_ms = message.get_int(10273) or 0
    except CodecError:
        time_ms = 0
    name = message.get_str(278) or ""
    for change in changes:
        words[change + _TIME_NS] = time_ms * _MS_NS
        if len(changes) == 1 and name:
            words[change + _KEY] = int(name) if name.isdecimal() and len(name) <= 18 else _as_word(name)


def _as_word(name: str) -> int:
    key = key64(name.encode())
    return key - (1 << 64) if key >= 1 << 63 else key
