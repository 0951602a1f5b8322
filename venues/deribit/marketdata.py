"""Deribit market data: 35=V for a whole book with increments, or for its top again and again; security list 35=x/y.

A level is named by its price; there are neither update ids nor checksums, so MsgSeqNum(34) is all that shows a hole: it
ends the connection, and the next one begins with snapshots. A snapshot brings past trades along, which are left out.
"""

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

from base.decimals import from_scaled
from base.instruments import Instrument
from fix.codec import BodyWriter, MdDecoder, Message
from venues.deribit.settings import Settings
from venues.fix_dialect import Notice, Reference, Said
from venues.interface import BookRule

_STATUS = {"1": "TRADING", "2": "HALTED", "4": "HALTED", "10": "HALTED", "12": "HALTED"}
_TOLD = (231, 965, 969)
_SAYS_NOTHING = -1


class MarketData:
    """Subscriptions and reference data of one session."""

    has_reference = True

    def __init__(self, settings: Settings, instruments: list[Instrument], depth: int, epoch: int) -> None:
        self._depth = depth
        self._skip_blocks = settings.skip_block_trades
        self._instruments = {i.symbol: i for i in instruments}
        self._stem = f"{epoch // 1_000_000_000:x}"
        self._count = 0
        self.requests_per_s = settings.subscriptions_per_s
        self.rule = BookRule(continuity="none", window=depth)

    def decoder(self) -> MdDecoder:
        """Levels by price. A trade's side is its taker's; its id (100009) is a tag beyond those that decoders know."""
        return MdDecoder(trade_id_tag=0, trade_time_tag=0, aggressor_tag=54)

    def rule_of(self, instrument: Instrument, reference: Reference | None) -> BookRule:
        """Every instrument has the session's rule."""
        return self.rule

    def subscribe(self, body: BodyWriter, req_id: str, instrument: Instrument) -> str:
        """35=V 263=1: bids, offers and trades."""
        return self._request(body, req_id, "1", instrument)

    def unsubscribe(self, body: BodyWriter, req_id: str, instrument: Instrument) -> str:
        """35=V 263=2."""
        return self._request(body, req_id, "2", instrument)

    def companions(self, instrument: Instrument) -> list[tuple[str, bytes]]:
        """None: trades come with the book."""
        return []

    def reference_requests(self, instruments: list[Instrument]) -> list[tuple[str, bytes]]:
        """35=x for all securities, once."""
        self._count += 1
        body = BodyWriter()
        body.text(320, f"I{self._stem}-{self._count}")
        body.text(559, "0")
        return [("x", body.take())]

    def other(self, message: Message) -> Iterator[Said] | None:
        """35=y."""
        return self._securities(message) if message.msg_type == "y" else None

    def _request(self, body: BodyWriter, req_id: str, what: str, instrument: Instrument) -> str:
        body.text(262, req_id)
        body.text(263, what)
        body.integer(264, self._depth)
        if what == "1":
            body.integer(265, 0 if self._depth else 1)
            if self._skip_blocks:
                body.boolean(9011, True)
        body.integer(267, 3)
        for entry in "012":
            body.text(269, entry)
        body.text(55, instrument.symbol)
        return "V"

    def _securities(self, message: Message) -> Iterator[Said]:
        if message.get_str(560) not in (None, "0"):
            yield Notice("warning", "security_list", f"refused: 560={message.get_str(560)}")
        for fields in _entries(message):
            instrument = self._instruments.get(fields[55])
            if instrument is None:
                continue
            yield _reference(fields)
            if said := _contract_differs(instrument, fields.get(231, "")):
                yield Notice("critical", "contract", said)


def _entries(message: Message) -> list[dict[int, str]]:
    """Entries of 35=y: each begins with its Symbol(55)."""
    entries: list[dict[int, str]] = []
    for tag, value in message.fields():
        if tag == 55:
            entries.append({55: value.decode("utf-8", "replace")})
        elif tag in _TOLD and entries:
            entries[-1].setdefault(tag, value.decode("utf-8", "replace"))
    return entries


def _reference(fields: dict[int, str]) -> Reference:
    """The increment of prices; quantities are contracts, and what MinTradeVol(562) counts is not documented."""
    tick = fields.get(969, "")
    tick = tick.rstrip("0").rstrip(".") if "." in tick else tick
    return Reference(
        symbol=fields[55],
        px_digits=len(tick.partition(".")[2]) if tick else _SAYS_NOTHING,
        qty_digits=_SAYS_NOTHING,
        tick_size=tick,
        lot_size="",
        status=_STATUS.get(fields.get(965, ""), "UNKNOWN"),
    )


def _contract_differs(instrument: Instrument, told: str) -> str:
    """ContractMultiplier(231) is what one contract is of: the limits in money reckon with it."""
    if not told or instrument.contract is None or not instrument.is_derivative:
        return ""
    try:
        venue = Decimal(told)
    except InvalidOperation:
        return f"{instrument.name}: ContractMultiplier(231) {told!r} is not a number"
    mine = from_scaled(instrument.contract.value, instrument.contract.scale)
    return "" if venue == mine else f"{instrument.name}: contract_value is {mine}, the venue says {told}"
