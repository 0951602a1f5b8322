"""35=AE TradeCaptureReport into events: one fill for each side of the trade that is the account's.

It tells a trade and nothing of its order: OrdStatus is "", quantities of the order are None. Price and quantity stand
beside the sides (the standard) or within them.
"""

from base.instruments import Instrument
from fix.codec import GroupEntry, GroupSpec, Message
from fix.session_events import POSS_DUP, POSS_RESEND, FieldDefect
from ipc.events import ExecutionReport
from venues.fix_fields import FieldReader
from venues.interface import SessionContext

_PARTIES = GroupSpec(453, (448, 447, 452))
_SIDES = GroupSpec(552, (54, 37, 11, 12, 13, 479, 58, 31, 32, 1, 851, 1057), (_PARTIES,))
_LIQUIDITY = {"MAKER": "M", "TAKER": "T", "1": "M", "2": "T"}
_REQUIRED = (571, 31, 32, 55, 552)


class CaptureDecoder:
    """Decodes for one session of drop copy."""

    def __init__(self, context: SessionContext) -> None:
        self._session = context.name
        self._venue = context.config.venue
        self._account = context.venue.account
        self._by_symbol = {i.symbol: i for i in context.instruments}

    def reports(
        self, message: Message, flags: int, defects: tuple[FieldDefect, ...], recv_ns: int
    ) -> list[ExecutionReport]:
        """The sides' fills; a report without sides is told, too, with what is odd about it."""
        sides: list[GroupEntry | Message] = [*message.group(_SIDES)]
        return [self._report(message, side, flags, defects, recv_ns) for side in sides or [message]]

    def _report(
        self, message: Message, side: GroupEntry | Message, flags: int, defects: tuple[FieldDefect, ...], recv_ns: int
    ) -> ExecutionReport:
        read, own = FieldReader(message, defects), FieldReader(side)
        read.defects += [f"{tag}: is missing" for tag in _REQUIRED if not (message.has(tag) or side.has(tag))]
        symbol, at = read.text(55), (own if side.has(32) else read)
        instrument = self._by_symbol.get(symbol)
        px_scale, qty_scale = self._scales(symbol, instrument, read, at)
        trade_id = read.text(571)
        return ExecutionReport(
            session=self._session,
            venue=self._venue,
            account=self._account,
            instrument=instrument.name if instrument else "",
            cl_ord_id=own.text(11),
            order_id=own.text(37),
            exec_id=trade_id,
            exec_type="F",
            ord_status="",
            side=own.text(54),
            ord_type="",
            time_in_force="",
            px_scale=px_scale,
            qty_scale=qty_scale,
            order_qty=None,
            price=None,
            stop_px=None,
            last_qty=at.scaled(32, qty_scale),
            last_px=at.scaled(31, px_scale),
            cum_qty=None,
            leaves_qty=None,
            transact_ns=read.utc(60),
            sending_ns=read.utc(52),
            recv_ns=recv_ns,
            text=_placed_by(side),
            origin="AE",
            poss_dup=bool(flags & POSS_DUP),
            poss_resend=bool(flags & POSS_RESEND),
            drop_copy=True,
            trade_id=trade_id,
            liquidity=_LIQUIDITY.get(own.text(851) or own.text(58), ""),
            fees=_fees(own),
            venue_symbol=symbol,
            defects=tuple(read.defects + ([] if at is read else at.defects)),
        )

    @staticmethod
    def _scales(symbol: str, instrument: Instrument | None, read: FieldReader, at: FieldReader) -> tuple[int, int]:
        if instrument is not None:
            return instrument.px_scale, instrument.qty_scale
        if symbol:
            read.defects.append(f"55: {symbol!r} is not an instrument of this session")
        return at.decimals((31,)), at.decimals((32,))


def _placed_by(side: GroupEntry | Message) -> str:
    """Whoever placed the order, as the venue names it."""
    parties = side.group(_PARTIES)
    return f"placed by {parties[0].get_str(448)}" if parties and parties[0].has(448) else ""


def _fees(own: FieldReader) -> tuple[tuple[str, str], ...]:
    amount, currency = own.text(12), own.text(479)
    return ((currency, amount),) if amount and currency and own.text(13) in ("", "3") else ()
