"""Crypto.com market data: 35=V by channel, and the security list (35=x, y, d) where its codes are configured."""

from collections.abc import Iterator

from base.config import SessionConfig
from base.instruments import Instrument
from fix.codec import BodyWriter, MdDecoder, Message
from venues.crypto_com.limits import MD_REQUESTS_PER_S
from venues.crypto_com.settings import DEPTHS, Settings
from venues.fix_dialect import Notice, Reference, Said
from venues.interface import BookRule

_SILENT = -1
_TRADABLE = {"Y": "TRADING", "TRUE": "TRADING", "1": "TRADING", "N": "HALTED", "FALSE": "HALTED", "0": "HALTED"}


class MarketData:
    """Subscriptions and reference data of one session."""

    requests_per_s = MD_REQUESTS_PER_S - 5

    def __init__(self, settings: Settings, config: SessionConfig, epoch: int) -> None:
        self._settings = settings
        self._depth = config.depth or DEPTHS[0]
        self._stem = f"{epoch // 1_000_000_000:x}"
        self._count = 0
        self.opens_with_update = settings.opens_with_update
        self.has_reference = bool(settings.attributes)
        self.rule = BookRule(continuity="update_ids", window=self._depth)

    def decoder(self) -> MdDecoder:
        """Numbers stand before the entries: the session reads them."""
        return MdDecoder(trade_id_tag=880, aggressor_tag=10851)

    def channel(self, instrument: Instrument) -> str:
        """The book's MDReqID(262)."""
        return f"book.{instrument.symbol}.{self._depth}"

    def rule_of(self, instrument: Instrument, reference: Reference | None) -> BookRule:
        """Every instrument has the session's rule."""
        return self.rule

    def subscribe(self, body: BodyWriter, req_id: str, instrument: Instrument) -> str:
        """35=V 263=1 for bids and offers."""
        return _request(body, req_id, "1", instrument, self._depth)

    def unsubscribe(self, body: BodyWriter, req_id: str, instrument: Instrument) -> str:
        """35=V 263=2, with all that is required said again."""
        return _request(body, req_id, "2", instrument, self._depth)

    def companions(self, instrument: Instrument) -> list[tuple[str, bytes]]:
        """Trades are a channel of their own."""
        if not self._settings.trades:
            return []
        body = BodyWriter()
        msg_type = _request(body, f"trade.{instrument.symbol}", "1", instrument, 0)
        return [(msg_type, body.take())]

    def reference_requests(self, instruments: list[Instrument]) -> list[tuple[str, bytes]]:
        """35=x for all securities and their changes: there is no other form."""
        if not self.has_reference:
            return []
        self._count += 1
        body = BodyWriter()
        body.text(263, "1")
        body.text(320, f"I{self._stem}-{self._count}")
        body.integer(559, 0)
        return [("x", body.take())]

    def other(self, message: Message) -> Iterator[Said] | None:
        """35=y and 35=d; without configured codes they say nothing that can be read."""
        return self._securities(message) if message.msg_type in ("y", "d") else None

    def _securities(self, message: Message) -> Iterator[Said]:
        if message.get_str(560) not in (None, "0"):
            yield Notice("warning", "security_list", f"refused: 560={message.get_str(560)}")
        for symbol, said in self._entries(message):
            if said:
                yield _reference(symbol, said)

    def _entries(self, message: Message) -> list[tuple[str, dict[str, str]]]:
        """Attributes by Symbol(55), under the names of the option."""
        entries: list[tuple[str, dict[str, str]]] = []
        name = ""
        for tag, value in message.fields():
            text = value.decode("utf-8", "replace")
            if tag == 55:
                entries.append((text, {}))
            elif tag == 871:
                name = self._settings.attributes.get(int(text), "") if text.isdecimal() else ""
            elif tag == 872 and name and entries:
                entries[-1][1][name] = text
        return entries


def _request(body: BodyWriter, req_id: str, what: str, instrument: Instrument, depth: int) -> str:
    """A book has a depth and is aggregated; trades (no depth) are not."""
    entries = "01" if depth else "2"
    body.text(262, req_id)
    body.text(263, what)
    body.integer(264, depth)
    body.integer(265, 1)
    body.boolean(266, bool(depth))
    body.boolean(547, False)
    body.integer(267, len(entries))
    for entry in entries:
        body.text(269, entry)
    body.integer(146, 1)
    body.text(55, instrument.symbol)
    return "V"


def _reference(symbol: str, said: dict[str, str]) -> Reference:
    tick, lot = _trimmed(said.get("tick_size", "")), _trimmed(said.get("lot_size", ""))
    return Reference(
        symbol=symbol,
        px_digits=_digits(said.get("px_digits", ""), tick),
        qty_digits=_digits(said.get("qty_digits", ""), lot),
        tick_size=tick,
        lot_size=lot,
        status=_TRADABLE.get(said.get("tradable", "").upper(), "UNKNOWN"),
    )


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _digits(said: str, increment: str) -> int:
    if said.isdecimal():
        return int(said)
    return len(increment.partition(".")[2]) if increment else _SILENT
