"""Kraken market data: 35=V, instrument list 35=x/y, trading session status 35=g/h, checksum digits."""

from collections.abc import Iterator

from base.errors import CodecError
from base.instruments import Instrument
from fix.codec import BodyWriter, GroupEntry, GroupSpec, MdDecoder, Message
from venues.fix_dialect import Notice, Reference, Said, TradingStatus
from venues.interface import BookRule
from venues.kraken.settings import L2_FULL, Settings

_INSTRUMENTS = GroupSpec(146, (55, 562, 5010, 5011, 5012, 5013, 2349, 5022, 5032))
_LIST_ALL_ABOVE = 20
"""With more instruments than this the whole list is asked for instead of each pair."""
_PAIR_STATUS = {
    "0": "HIDDEN",
    "1": "TRADING",
    "2": "HALTED",
    "3": "CANCEL_ONLY",
    "4": "POST_ONLY",
    "5": "LIMIT_ONLY",
    "6": "HALTED",
    "7": "REDUCE_ONLY",
}
_SESSION_STATUS = {"1": "HALTED", "2": "TRADING", "101": "CANCEL_ONLY", "102": "POST_ONLY"}
_LIST_RESULT = {"1": "invalid or unsupported", "2": "no instruments found", "4": "temporarily unavailable"}


class MarketData:
    """Subscriptions and reference data of one session; level 3 walks orders, level 2 prices."""

    has_reference = True

    def __init__(self, settings: Settings, level: int, depth: int, epoch: int) -> None:
        self._settings = settings
        self._l3 = level == 3
        self._depth = depth
        self._stem = f"{epoch // 1_000_000_000:x}"
        self._count = 0
        self.requests_per_s = settings.subscriptions_per_s
        window = depth if self._l3 else depth or L2_FULL
        self.rule = BookRule(continuity="checksum" if settings.check_checksum else "none", window=window)

    def decoder(self) -> MdDecoder:
        """L3 entries are keyed by order id (278) and queue by 5273; L2 entries by price. Trades carry no id."""
        return MdDecoder(
            order_key_tag=278 if self._l3 else 0,
            queue_time_tag=5273 if self._l3 else 0,
            checksum_tag=5041,
            trade_id_tag=0,
            trade_time_tag=0,
        )

    def rule_of(self, instrument: Instrument, reference: Reference | None) -> BookRule:
        """The checksum prints numbers with the venue's precision (2349, 5010), whatever scale the desk uses."""
        if reference is None:
            return self.rule
        return BookRule(
            continuity=self.rule.continuity,
            window=self.rule.window,
            checksum_px_digits=reference.px_digits,
            checksum_qty_digits=reference.qty_digits,
        )

    def subscribe(self, body: BodyWriter, req_id: str, instrument: Instrument) -> str:
        """35=V 263=1."""
        return self._request(body, req_id, instrument, "1")

    def unsubscribe(self, body: BodyWriter, req_id: str, instrument: Instrument) -> str:
        """35=V 263=2 with the MDReqID of the subscription."""
        return self._request(body, req_id, instrument, "2")

    def companions(self, instrument: Instrument) -> list[tuple[str, bytes]]:
        """None: L2 trades come with the book, L3 has none."""
        return []

    def reference_requests(self, instruments: list[Instrument]) -> list[tuple[str, bytes]]:
        """35=x for the instruments and, on Spot, 35=g, with updates."""
        wanted: list[Instrument | None] = [*instruments] if len(instruments) <= _LIST_ALL_ABOVE else [None]
        requests = [("x", self._list_request(instrument)) for instrument in wanted]
        if not self._settings.derivatives:
            requests.append(("g", self._status_request()))
        return requests

    def other(self, message: Message) -> Iterator[Said] | None:
        """35=y and 35=h."""
        match message.msg_type:
            case "y":
                return self._instrument_list(message)
            case "h":
                return self._trading_status(message)
            case _:
                return None

    def _request(self, body: BodyWriter, req_id: str, instrument: Instrument, what: str) -> str:
        body.integer(146, 1)
        body.text(55, instrument.symbol)
        body.text(262, req_id)
        body.text(263, what)
        body.integer(264, self._depth)
        body.integer(265, 1)
        body.boolean(266, not self._l3)
        entries = "01" if self._l3 else "012"
        body.integer(267, len(entries))
        for entry in entries:
            body.text(269, entry)
        return "V"

    def _next_id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._stem}-{self._count}"

    def _list_request(self, instrument: Instrument | None) -> bytes:
        body = BodyWriter()
        if instrument is not None:
            body.text(55, instrument.symbol)
        body.text(263, "1")
        body.text(320, self._next_id("I"))
        body.text(559, "4" if instrument is None else "0")
        return body.take()

    def _status_request(self) -> bytes:
        body = BodyWriter()
        body.text(263, "1")
        body.text(335, self._next_id("S"))
        body.text(336, "SESSION")
        return body.take()

    def _instrument_list(self, message: Message) -> Iterator[Said]:
        result = message.get_str(560) or "0"
        if result != "0":
            why = message.get_str(58) or ""
            yield Notice("warning", "instrument_list", f"{_LIST_RESULT.get(result, result)} {why}".rstrip())
        for entry in message.group(_INSTRUMENTS):
            yield _reference(entry)

    @staticmethod
    def _trading_status(message: Message) -> Iterator[Said]:
        refusal = message.get_str(567)
        if refusal is not None:
            yield Notice("warning", "trading_status", f"trading session status refused: 567={refusal}")
        code = message.get_str(340)
        if code is not None:
            yield TradingStatus(_SESSION_STATUS.get(code, "UNKNOWN"), f"trading session status 340={code}")


def _reference(entry: GroupEntry) -> Reference | Notice:
    symbol = entry.get_str(55) or ""
    try:
        return Reference(
            symbol=symbol,
            px_digits=entry.need_int(2349),
            qty_digits=entry.need_int(5010),
            tick_size=entry.get_str(5022) or "",
            lot_size=entry.get_str(562) or "",
            min_qty=entry.get_str(5011) or "",
            max_qty=entry.get_str(5012) or "",
            min_notional=entry.get_str(5013) or "",
            status=_PAIR_STATUS.get(entry.get_str(5032) or "", "UNKNOWN"),
        )
    except CodecError as e:
        return Notice("warning", "reference", f"{symbol}: instrument list cannot be read: {e}")
