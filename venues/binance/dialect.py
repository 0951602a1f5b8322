"""Binance Spot (FIX 4.4). docs/venues/binance.md lists options, choices and what is unproven.

Numbers start at 1 with every Logon and nothing is ever resent, so a lost connection loses reports: REST and drop copy
make up for it. Messages are handled in order (25035=2) unless asked otherwise, because the unordered mode lets a
cancel overtake its order; the kill switch's own session must stay with that. Responses are always asked for in full
(25036=1): the other mode hides fills.
"""

from base.config import Kind, SessionConfig, VenueConfig
from base.errors import ConfigError
from fix.codec import BodyWriter, FieldRules, Message
from fix.settings import SequencePolicy
from venues.binance import settings as options
from venues.binance.limits import CONCURRENT, MESSAGES_PER_S, RATE_LIMITS
from venues.binance.marketdata import MarketData
from venues.binance.messages import limit_notice, limits, limits_told, list_notice, list_status, news
from venues.binance.orders import CANCEL_HALF, ORD_TYPES, TIMES_IN_FORCE, Orders
from venues.binance.plan import cancel_plan, open_orders
from venues.binance.rest import Rest
from venues.binance.settings import (
    COMP_ID,
    DEPTH_MAX,
    DEPTH_MIN,
    HEARTBEATS_S,
    MAX_STREAMS,
    TARGET,
    Settings,
)
from venues.binance.signing import logon_signature
from venues.facts import RestCall, Wire
from venues.fix_dialect import ReportRules, Said
from venues.fix_session import open_store
from venues.fix_venue import FixVenue, session_settings
from venues.ids import IdSource, PrefixedIds, default_prefix, lane_of
from venues.interface import (
    CancelPlan,
    Capabilities,
    Disconnect,
    Replace,
    RestApi,
    SessionContext,
)
from venues.options import merged
from venues.signing import private_key

_UNKNOWN_CODES = frozenset({"-2011", "-2013"})


def _unknown_order(origin: str, code: str, text: str) -> bool:
    """The venue's own sample gives -1013 with this text, its error list files the text under -2011."""
    return text == "Unknown order sent." or (code in _UNKNOWN_CODES and "unknown" in text.lower())


_REPORTS = ReportRules(
    stop_px_tag=1102,
    display_tag=111,
    trade_id_tags=(1003,),
    liquidity_tag=1057,  # said on plain NEW reports too, where it means nothing: read on trades only
    liquidity={"Y": "T", "N": "M"},
    reason_tags=(25016, 25056, 103),
    cancel_reason_tags=(25016,),
    required=(14, 32, 39, 40, 54, 55, 150),
    cancel_rejects={"9": "", "XAR": "2"},
    replace_suffix=CANCEL_HALF,
    unknown_order=_unknown_order,
)


_REST: frozenset[RestCall] = frozenset({"open_orders", "order", "trades", "balances", "cancel_all", "cancel_order"})


class _Profile:
    def __init__(self, context: SessionContext, settings: Settings) -> None:
        config = context.config
        window = settings.recv_window_ms
        self.rules: FieldRules | None = None
        self.report_rules = _REPORTS
        self.settings = session_settings(
            context,
            extra_header=b"25000=%d\x01" % window if window else b"",
            sequence_policy=SequencePolicy.RESET_AT_LOGON,
            supports_resend=False,
        )
        self._kind = config.kind
        self._names = context.name, config.venue
        self._sequential = settings.sequential
        self._api_key = context.username
        self._private_key = private_key(context.password, f"session.{context.name}.password")

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        """Signature over header values, API key, message handling; drop copy says that it is one."""
        own = self.settings
        signature = logon_signature(self._private_key, own.sender_comp_id, own.target_comp_id, seq_num, sending_time)
        body = BodyWriter()
        body.data(95, 96, signature)
        body.text(553, self._api_key)
        body.integer(25035, 2 if self._sequential else 1)
        if self._kind is not Kind.MARKETDATA:
            body.integer(25036, 1)
        if self._kind is Kind.DROPCOPY:
            body.boolean(9406, True)
        return body.take()


class _Reports(_Profile):
    """What order entry and drop copy both hear beside reports."""

    def other(self, message: Message) -> list[Said] | None:
        """News, list status, limits."""
        match message.msg_type:
            case "B":
                return [news(message)]
            case "N":
                return [*list_notice(list_status(message))]
            case "XLR":
                return [*limit_notice(limits(message), MESSAGES_PER_S), *limits_told(message, *self._names)]
            case _:
                return None


class _Trading(Orders, _Reports):
    def __init__(self, context: SessionContext, settings: Settings) -> None:
        _Reports.__init__(self, context, settings)
        self.store = open_store(context)
        prefix = settings.cl_ord_id_prefix or default_prefix(context.name)
        self.ids: IdSource = PrefixedIds(self.store, prefix, lane_of(context))


class _MarketData(MarketData, _Profile):
    def __init__(self, context: SessionContext, settings: Settings) -> None:
        _Profile.__init__(self, context, settings)
        MarketData.__init__(self, settings, context.config.depth, context.epoch)


class Binance(FixVenue):
    """The dialect."""

    name = "binance"

    def capabilities(self, venue: VenueConfig) -> Capabilities:
        """As documented; how open orders are learnt depends on whether REST is configured."""
        return Capabilities(
            kinds=frozenset(Kind),
            levels=frozenset({2}),
            new_types=ORD_TYPES,
            times_in_force=TIMES_IN_FORCE,
            replace=Replace.CANCEL_NEW,
            status_request=venue.rest is not None,
            mass_cancel=True,
            mass_cancel_report=True,
            open_orders=open_orders(venue),
            disconnect=Disconnect.UNKNOWN,
            resend=False,
            numbers_go_on=False,
            checksum=False,
            update_ids=True,
            reference_data=True,
            trading_status=False,
            planned_moves=True,
            account_wide_reports=True,
            limits=RATE_LIMITS,
            documented="2026-07-21",  # commit of its documentation's repository
            wires=dict.fromkeys(Kind, Wire(numbers=SequencePolicy.RESET_AT_LOGON, resend=False)),
            session_status=False,
            rest=_REST if venue.rest is not None else frozenset(),
        )

    def check(self, venue: VenueConfig, sessions: dict[str, SessionConfig], path: str) -> None:
        """ConfigError naming what the venue does not take."""
        options.read(dict(venue.options), f"{path}.options")
        for kind, most in CONCURRENT.items():
            found = sorted(name for name, session in sessions.items() if session.kind is kind)
            if len(found) > most:
                raise ConfigError(f"session.{found[most]}.kind: {path} takes {most} {kind} sessions, these are {found}")
        for name, session in sessions.items():
            _check_session(f"session.{name}", session, options.read(merged(venue, session), f"session.{name}.options"))

    def cancel_plan(self, venue: VenueConfig) -> CancelPlan:
        """One 35=q a symbol from any session reaches the whole account on it."""
        return cancel_plan(venue)

    def trading_profile(self, context: SessionContext) -> _Trading:
        """Order entry."""
        return _Trading(context, _read(context))

    def marketdata_profile(self, context: SessionContext) -> _MarketData:
        """Diff depth, or the best quote."""
        return _MarketData(context, _read(context))

    def dropcopy_profile(self, context: SessionContext) -> _Reports:
        """The whole account, one second late."""
        return _Reports(context, _read(context))

    def rest(self, venue: VenueConfig, key: str, secret: str, passphrase: str = "") -> RestApi | None:
        """Spot REST."""
        return Rest(key, secret) if venue.rest is not None else None


def _read(context: SessionContext) -> Settings:
    return options.read(merged(context.venue, context.config), f"session.{context.name}.options")


def _check_session(path: str, session: SessionConfig, settings: Settings) -> None:
    for key in ("sender_comp_id", "alternate_sender_comp_id"):
        value = getattr(session, key)
        if (value or key == "sender_comp_id") and not COMP_ID.fullmatch(value):
            raise ConfigError(f"{path}.{key}: {value!r} is not 1 to 8 letters, digits, - or _")
    if session.sender_comp_id == session.alternate_sender_comp_id:
        raise ConfigError(f"{path}.alternate_sender_comp_id: the same as sender_comp_id, which is still in use then")
    if session.target_comp_id != TARGET:
        raise ConfigError(f"{path}.target_comp_id: {session.target_comp_id!r} is not {TARGET!r}")
    if session.heartbeat_s not in HEARTBEATS_S:
        raise ConfigError(f"{path}.heartbeat_s: {session.heartbeat_s} is not within 5 to 60")
    if session.kind is not Kind.MARKETDATA:
        return
    if session.level != 2:
        raise ConfigError(f"{path}.level: binance has no level {session.level}")
    if session.depth and not settings.book_ticker and not DEPTH_MIN <= session.depth <= DEPTH_MAX:
        raise ConfigError(f"{path}.depth: {session.depth} is not within {DEPTH_MIN} to {DEPTH_MAX}")
    if len(session.instruments) * (2 if settings.trades else 1) > MAX_STREAMS:
        raise ConfigError(f"{path}.instruments: more than {MAX_STREAMS} streams on one connection")


DIALECT = Binance()
