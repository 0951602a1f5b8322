"""Deribit (FIX 4.4: orders and market data on one kind of session). docs/venues/deribit.md lists options and what is
unproven.

Reports swap ClOrdID(11) and OrigClOrdID(41): 41 is ours, 11 the venue's, which F and G then want in 41. The venue lets
one session carry both orders and books; here each process has a connection of its own, as everywhere in this project.
Where the reference is silent: numbers begin at 1 with each connection without 141, which the venue's Logon does not
list (option logon_reset says it), and a hole ends the connection; cancel on disconnect is always said; each fill is
asked for as a report of its own (9015) and everything in one queue (9007), or a fill may come before its order's
acknowledgement.
"""

from collections.abc import Iterable

from base.config import InstrumentConfig, Kind, SessionConfig, VenueConfig
from base.errors import ConfigError, SecretError
from fix.codec import BodyWriter, FieldRules, Message
from fix.settings import SequencePolicy
from fix.store import MemoryStore
from venues.deribit import settings as options
from venues.deribit.limits import rate_limits
from venues.deribit.marketdata import MarketData
from venues.deribit.orders import Orders
from venues.deribit.plan import cancel_plan, open_orders
from venues.deribit.rest import Rest
from venues.deribit.settings import DEPTHS, TARGET, TIMES_IN_FORCE, Settings, desk_name, is_inverse
from venues.deribit.signing import RawData, logon_password
from venues.facts import RestCall, Wire
from venues.fix_dialect import ReportRules, Said
from venues.fix_pieces import PresentSession
from venues.fix_session import open_store
from venues.fix_venue import FixVenue, session_settings
from venues.ids import IdSource, PrefixedIds, default_prefix, lane_of
from venues.interface import (
    CancelPlan,
    Capabilities,
    Disconnect,
    RecordSink,
    Replace,
    RestApi,
    SessionContext,
    Sink,
)
from venues.options import merged

_STATES = {"4": "4", "8": "8"}
_UNKNOWN = ("order_not_found", "not_open_order", "already_closed", "already_filled", "not found", "unknown order")


def _exec_type(message: Message) -> str:
    """ExecType(150) may be absent: then OrdStatus(39) says what ended. 7 (stopped) is a trigger that fired."""
    said, status = message.get_str(150), message.get_str(39) or ""
    if said is None:
        return _STATES.get(status, "I")
    return "L" if said == "7" else said


def _unknown_order(origin: str, code: str, text: str) -> bool:
    """Values of 102 are not documented: the standard's, or words that say so on whatever channel."""
    words = text.lower()
    return (origin == "9" and code in ("0", "1")) or any(word in words for word in _UNKNOWN)


_REPORTS = ReportRules(
    display_tag=1138,
    trade_id_tags=(880, 1003),
    required=(39,),  # the answer to a cancel has little more than the order's names and this
    unknown_order=_unknown_order,
    exec_type=_exec_type,
    swapped_ids=True,
)


class _Profile:
    """What all sessions share; a market-data session hears of no orders."""

    def __init__(self, context: SessionContext, settings: Settings) -> None:
        kind, loss = context.config.kind, settings.cancels_on_loss
        given = {"username": context.username, "password": context.password}
        if missing := [key for key, value in given.items() if not value]:
            raise SecretError(f"session.{context.name}.{missing[0]}: missing; the venue gives two secrets with a key")
        self.rules: FieldRules | None = None
        self.report_rules = _REPORTS
        wire = _wire(settings)
        self.settings = session_settings(context, sequence_policy=wire.numbers, supports_resend=wire.resend)
        self._key, self._secret = context.username, context.password
        self._raw_data = RawData()
        self._hears_orders = kind is not Kind.MARKETDATA
        # An increment that overtakes its snapshot would be lost, and the book wrong without a word.
        self._sequential = settings.sequential or kind is Kind.MARKETDATA
        cancels = context.config.on_stop != "keep" if loss is None else loss
        self._cancels = cancels and kind is Kind.TRADING

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        """Signature, and how this connection is served: what its loss cancels (9001) is said either way."""
        raw_data = self._raw_data.next(wall_ns)
        body = BodyWriter()
        body.data(95, 96, raw_data)
        body.text(553, self._key)
        body.text(554, logon_password(raw_data, self._secret))
        body.boolean(9001, self._cancels)
        if self._sequential:
            body.boolean(9007, True)
        if self._hears_orders:
            body.boolean(9015, True)
        else:
            body.boolean(9009, True)
        return body.take()

    def other(self, message: Message) -> Iterable[Said] | None:
        """Nothing beyond the common messages."""
        return None


class _Trading(Orders, _Profile):
    def __init__(self, context: SessionContext, settings: Settings) -> None:
        _Profile.__init__(self, context, settings)
        prefix = settings.cl_ord_id_prefix or default_prefix(context.name)
        Orders.__init__(self, settings, prefix.rstrip("-"))
        self.store = open_store(context)
        self.ids: IdSource = PrefixedIds(self.store, prefix, lane_of(context))


class _MarketData(MarketData, _Profile):
    def __init__(self, context: SessionContext, settings: Settings) -> None:
        _Profile.__init__(self, context, settings)
        MarketData.__init__(self, settings, context.instruments, context.config.depth, context.epoch)


class Deribit(FixVenue):
    """The dialect."""

    name = "deribit"

    def capabilities(self, venue: VenueConfig) -> Capabilities:
        """As documented; how open orders are learnt depends on whether REST is configured."""
        settings = _settings(venue)
        return Capabilities(
            kinds=frozenset(Kind),
            levels=frozenset({2}),
            new_types=settings.ord_types,
            times_in_force=TIMES_IN_FORCE,
            replace=Replace.IN_PLACE,
            status_request=True,
            mass_cancel=True,
            mass_cancel_report=True,
            open_orders=open_orders(venue),
            disconnect=_DISCONNECT[settings.cancels_on_loss],
            resend=False,
            numbers_go_on=False,
            checksum=False,
            update_ids=False,
            reference_data=True,
            trading_status=False,
            planned_moves=False,
            account_wide_reports=True,
            limits=rate_limits(settings),
            shared_trade_ids=False,  # nothing says that REST's trade_id is TrdMatchID(880)
            documented="2026",
            wires=dict.fromkeys(Kind, _wire(settings)),
            rest=_REST if venue.rest is not None else frozenset(),
        )

    def check(self, venue: VenueConfig, sessions: dict[str, SessionConfig], path: str) -> None:
        """ConfigError naming what the venue does not take."""
        label = options.read(dict(venue.options), f"{path}.options").label
        for n, instrument in enumerate(venue.instruments):
            _check_instrument(instrument, f"{path}.instruments[{n}]")
        for name, session in sessions.items():
            _check_session(session, f"session.{name}")
            own = options.read(merged(venue, session), f"session.{name}.options")
            if own.label != label:
                raise ConfigError(
                    f"session.{name}.options.label: {own.label!r} is not the venue's, by which HTTP reads"
                )

    def cancel_plan(self, venue: VenueConfig) -> CancelPlan:
        """35=q reaches the sub-account; REST, too."""
        return cancel_plan(venue, _settings(venue))

    def trading_profile(self, context: SessionContext) -> _Trading:
        """Order entry, which hears of every order of the sub-account."""
        return _Trading(context, _read(context))

    def dropcopy_profile(self, context: SessionContext) -> _Profile:
        """A connection of the same gateway that sends nothing: every one of them is told of all orders."""
        return _Profile(context, _read(context))

    def marketdata(self, context: SessionContext, sink: Sink, records: RecordSink) -> PresentSession:
        """Level 2 and trades."""
        return PresentSession(context, sink, _MarketData(context, _read(context)), MemoryStore(context.epoch), records)

    def rest(self, venue: VenueConfig, key: str, secret: str, passphrase: str = "") -> RestApi | None:
        """JSON-RPC over HTTP of the sub-account."""
        if venue.rest is None:
            return None
        return Rest(venue.instruments, key, secret, labelled=_settings(venue).label == "cl_ord_id")


_REST: frozenset[RestCall] = frozenset(
    {"open_orders", "order", "trades", "balances", "positions", "cancel_all", "cancel_order"}
)
_DISCONNECT: dict[bool | None, Disconnect] = {
    None: Disconnect.UNKNOWN,  # follows each session's on_stop
    True: Disconnect.CANCELS,
    False: Disconnect.KEEPS,
}


def _settings(venue: VenueConfig) -> Settings:
    return options.read(dict(venue.options), "options")


def _wire(settings: Settings) -> Wire:
    at_logon, quietly = SequencePolicy.RESET_AT_LOGON, SequencePolicy.RESET_QUIETLY
    return Wire(numbers=at_logon if settings.logon_reset else quietly, resend=False)


def _read(context: SessionContext) -> Settings:
    return options.read(merged(context.venue, context.config), f"session.{context.name}.options")


def _check_instrument(item: InstrumentConfig, path: str) -> None:
    name = desk_name(item.symbol)
    if not name:
        raise ConfigError(f"{path}.symbol: {item.symbol!r} is neither a future nor a perpetual; others are not carried")
    if name != item.name:
        raise ConfigError(f"{path}.name: {item.name!r} is not what {item.symbol} is: {name}")
    if item.contract_value and item.inverse is not is_inverse(item.symbol):
        kind = "inverse: its contracts are of USD" if is_inverse(item.symbol) else "linear: they are of base currency"
        raise ConfigError(f"{path}.inverse: {item.symbol} is {kind}")


def _check_session(session: SessionConfig, path: str) -> None:
    if session.target_comp_id != TARGET:
        raise ConfigError(f"{path}.target_comp_id: {session.target_comp_id!r} is not {TARGET!r}")
    if missing := [key for key in ("username", "password") if not getattr(session, key)]:
        raise ConfigError(f"{path}.{missing[0]}: missing; the venue gives a client id and a secret with each key")
    if session.kind is Kind.MARKETDATA and session.level != 2:
        raise ConfigError(f"{path}.level: deribit has no level {session.level}")
    if session.kind is Kind.MARKETDATA and session.depth not in DEPTHS:
        raise ConfigError(f"{path}.depth: {session.depth} is not one of {sorted(DEPTHS)}")


DIALECT = Deribit()
