"""Coinbase Exchange market data: 35=V for every order of a book, security list 35=x/y, security status 35=f.

RptSeq(83) counts a symbol's messages one by one, those too that leave the book alone (acknowledgements, 35=f): a hole
is a gap, and the book is subscribed to anew. That a trade's 278 names the order that rested, and that the trade itself
takes its size away, is inferred (option trade_reduces); a change that the venue may send as well sets the same size.
"""

from collections.abc import Iterator
from dataclasses import replace

from base.instruments import Instrument
from fix.codec import BodyWriter, MdDecoder, Message
from venues.coinbase_exchange.settings import Settings
from venues.fix_dialect import BookNumber, Notice, Reference, Said
from venues.interface import BookRule

_STATUS = {
    "trading_disabled": "HALTED",
    "cancel_only": "CANCEL_ONLY",
    "post_only": "POST_ONLY",
    "limit_only": "LIMIT_ONLY",
    "full_trading": "TRADING",
    "auction_mode": "HALTED",  # orders are collected and nothing trades
}
_EVERYTHING = "4"  # SecurityListRequestType(559)
_SAYS_NOTHING = -1


class MarketData:
    """Subscriptions and reference data of one session."""

    has_reference = True

    def __init__(self, settings: Settings, epoch: int) -> None:
        self._trade_reduces = settings.trade_reduces
        self._stem = f"{epoch // 1_000_000_000:x}"
        self._count = 0
        self._known: dict[str, Reference] = {}
        self.requests_per_s = settings.subscriptions_per_s
        self.rule = BookRule(continuity="update_ids", ignore_unknown=True, rise_requeues=True, fragments=True)

    def decoder(self) -> MdDecoder:
        """Orders by 278, entries without it are acknowledgements; one number (83) a message; snapshots in pieces."""
        return MdDecoder(
            order_key_tag=278,
            last_id_tag=83,
            trade_id_tag=1003,
            trade_time_tag=60,
            aggressor_tag=5797,
            last_fragment_tag=893,
            skip_unkeyed=True,
            trade_reduces=self._trade_reduces,
        )

    def rule_of(self, instrument: Instrument, reference: Reference | None) -> BookRule:
        """Every instrument has the session's rule."""
        return self.rule

    def subscribe(self, body: BodyWriter, req_id: str, instrument: Instrument) -> str:
        """35=V 263=1: the snapshot comes by itself where the gateway has snapshots."""
        return _request(body, req_id, "1", instrument)

    def unsubscribe(self, body: BodyWriter, req_id: str, instrument: Instrument) -> str:
        """35=V 263=2; without it a second subscription gets no new snapshot."""
        return _request(body, req_id, "2", instrument)

    def companions(self, instrument: Instrument) -> list[tuple[str, bytes]]:
        """None: trades come with the book."""
        return []

    def reference_requests(self, instruments: list[Instrument]) -> list[tuple[str, bytes]]:
        """35=x for all securities: there is no other form."""
        self._count += 1
        body = BodyWriter()
        body.text(320, f"I{self._stem}-{self._count}")
        body.text(559, _EVERYTHING)
        return [("x", body.take())]

    def other(self, message: Message) -> Iterator[Said] | None:
        """35=y and 35=f."""
        match message.msg_type:
            case "y":
                return self._securities(message)
            case "f":
                return self._status(message)
            case _:
                return None

    def _securities(self, message: Message) -> Iterator[Said]:
        if message.get_str(560) not in (None, "0"):
            yield Notice("warning", "security_list", f"refused: 560={message.get_str(560)}")
        for fields in _entries(message):
            reference = _reference(fields)
            self._known[reference.symbol] = reference
            yield reference

    def _status(self, message: Message) -> Iterator[Said]:
        """What changed of one security; it has a number of its own among the book's."""
        symbol, number = message.get_str(55) or "", message.get_str(83) or ""
        if number.isdecimal():
            yield BookNumber(symbol, int(number), message.get_str(262) or "")
        known = self._known.get(symbol) or Reference(symbol, _SAYS_NOTHING, _SAYS_NOTHING, "", "")
        fields = {tag: message.get_str(tag) or "" for tag in (969, 29003, 1682) if message.has(tag)}
        told = _reference({55: symbol, **fields})
        changed: dict[str, object] = {}
        if 969 in fields:
            changed |= {"tick_size": told.tick_size, "px_digits": told.px_digits}
        if 29003 in fields:
            changed |= {"lot_size": told.lot_size, "qty_digits": told.qty_digits}
        if 1682 in fields:
            changed["status"] = told.status
        self._known[symbol] = replace(known, **changed)  # type: ignore[arg-type]
        yield self._known[symbol]


def _request(body: BodyWriter, req_id: str, what: str, instrument: Instrument) -> str:
    body.text(262, req_id)
    body.text(263, what)
    body.integer(146, 1)
    body.text(55, instrument.symbol)
    return "V"


def _entries(message: Message) -> list[dict[int, str]]:
    """Entries of 35=y by Symbol(55). Where the status (1682) stands the documentation leaves open.

    When the first one stands before the first symbol, each belongs to the symbol that follows.
    """
    entries: list[dict[int, str]] = []
    lead: str | None = None
    before: bool | None = None
    for tag, value in message.fields():
        text = value.decode("utf-8", "replace")
        if tag == 55:
            entries.append({55: text} if lead is None else {55: text, 1682: lead})
            lead, before = None, bool(before)
        elif tag == 1682 and (before or not entries):
            lead, before = text, True
        elif tag in (562, 969, 1682, 29003) and entries:
            entries[-1].setdefault(tag, text)
    return entries


def _reference(fields: dict[int, str]) -> Reference:
    """Precision follows from the increments; 562 is the least notional here."""
    tick, lot = _trimmed(fields.get(969, "")), _trimmed(fields.get(29003, ""))
    return Reference(
        symbol=fields.get(55, ""),
        px_digits=_digits(tick),
        qty_digits=_digits(lot),
        tick_size=tick,
        lot_size=lot,
        min_notional=_trimmed(fields.get(562, "")),
        status=_STATUS.get(fields.get(1682, ""), "UNKNOWN"),
    )


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _digits(text: str) -> int:
    return len(text.partition(".")[2]) if text else _SAYS_NOTHING
