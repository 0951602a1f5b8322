"""Binance market data: one 35=V a stream, instrument list 35=x/y."""

from collections.abc import Iterator

from base.instruments import Instrument
from fix.codec import BodyWriter, GroupEntry, GroupSpec, MdDecoder, Message
from venues.binance.messages import news
from venues.binance.settings import DEPTH_MAX, MD_REQUESTS_PER_S, Settings
from venues.fix_dialect import Notice, Reference, Said
from venues.interface import BookRule

_INSTRUMENTS = GroupSpec(146, (55, 15, 562, 1140, 25039, 25040, 25041, 25042, 2551, 2552, 969))
_LIST_ALL_ABOVE = 20
_NO_LIMIT = -1


class MarketData:
    """Subscriptions and reference data of one session: diff depth with update ids, or the best quote alone."""

    has_reference = True
    requests_per_s = MD_REQUESTS_PER_S

    def __init__(self, settings: Settings, depth: int, epoch: int) -> None:
        self._options = settings
        self._depth = 1 if settings.book_ticker else depth or DEPTH_MAX
        self._stem = f"{epoch // 1_000_000_000:x}"
        self._count = 0
        if settings.book_ticker:
            self.rule = BookRule(continuity="newest", window=1, top_only=True)
        else:
            self.rule = BookRule(continuity="update_ids")

    def decoder(self) -> MdDecoder:
        """Update ids in 25043 and 25044; the codec carries 55, 25043 and 25044 forward over entries."""
        return MdDecoder(first_id_tag=25043, last_id_tag=25044)

    def rule_of(self, instrument: Instrument, reference: Reference | None) -> BookRule:
        """Every instrument has the session's rule."""
        return self.rule

    def subscribe(self, body: BodyWriter, req_id: str, instrument: Instrument) -> str:
        """35=V 263=1 for bids and offers."""
        body.text(262, req_id)
        body.text(263, "1")
        body.integer(264, self._depth)
        _entries(body, instrument, "01")
        return "V"

    def unsubscribe(self, body: BodyWriter, req_id: str, instrument: Instrument) -> str:
        """35=V 263=2; nothing acknowledges it."""
        body.text(262, req_id)
        body.text(263, "2")
        body.integer(264, self._depth)
        return "V"

    def companions(self, instrument: Instrument) -> list[tuple[str, bytes]]:
        """Trades are a stream, and so a subscription, of their own."""
        if not self._options.trades:
            return []
        body = BodyWriter()
        body.text(262, self._next_id("T"))
        body.text(263, "1")
        body.integer(264, 1)
        _entries(body, instrument, "2")
        return [("V", body.take())]

    def reference_requests(self, instruments: list[Instrument]) -> list[tuple[str, bytes]]:
        """35=x for each instrument, or for all when they are many."""
        wanted: list[Instrument | None] = [*instruments] if len(instruments) <= _LIST_ALL_ABOVE else [None]
        return [("x", self._list_request(instrument)) for instrument in wanted]

    def other(self, message: Message) -> Iterator[Said] | list[Said] | None:
        """35=y and News."""
        match message.msg_type:
            case "y":
                return (_reference(entry) for entry in message.group(_INSTRUMENTS))
            case "B":
                return [news(message)]
            case "XLR":
                return []
            case _:
                return None

    def _next_id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._stem}-{self._count}"

    def _list_request(self, instrument: Instrument | None) -> bytes:
        body = BodyWriter()
        body.text(320, self._next_id("I"))
        body.text(559, "4" if instrument is None else "0")
        if instrument is not None:
            body.text(55, instrument.symbol)
        return body.take()


def _entries(body: BodyWriter, instrument: Instrument, entries: str) -> None:
    body.boolean(266, True)
    body.integer(146, 1)
    body.text(55, instrument.symbol)
    body.integer(267, len(entries))
    for entry in entries:
        body.text(269, entry)


def _reference(entry: GroupEntry) -> Reference | Notice:
    """Precision follows from the increments; an absent tag is a rule that is switched off. Status is not in FIX."""
    tick, lot = _trimmed(entry, 969), _trimmed(entry, 25039)
    return Reference(
        symbol=entry.get_str(55) or "",
        px_digits=_digits(tick),
        qty_digits=_digits(lot),
        tick_size=tick,
        lot_size=lot,
        min_qty=_trimmed(entry, 562),
        max_qty=_trimmed(entry, 1140),
    )


def _trimmed(entry: GroupEntry, tag: int) -> str:
    text = entry.get_str(tag) or ""
    return text.rstrip("0").rstrip(".") if "." in text else text


def _digits(text: str) -> int:
    return len(text.partition(".")[2]) if text else _NO_LIMIT
