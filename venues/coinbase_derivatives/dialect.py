"""Coinbase Derivatives (FIX 4.4: order entry, drop copy). docs/venues/coinbase_derivatives.md lists options and doubts.

Market data and reference data have no field tables in the reference and are not built. Where it contradicts itself or
is silent: TargetSubID(57) is PROD or TEST as the overview has it; SubIDs stand in every header, not on order messages
alone; StopLimitPx(3040), printed as required on every order, is sent where it has a meaning; 39=5 ("modify") and 39=3
(done for day, tables not read) say nothing of an order's end.
"""

from collections.abc import Iterable

from base.config import Kind, SessionConfig, VenueConfig
from base.errors import ConfigError
from fix.codec import BodyWriter, FieldRules, Message
from venues.cancel_plan import OpenOrders
from venues.coinbase_derivatives import settings as options
from venues.coinbase_derivatives.orders import ORD_TYPES, TIMES_IN_FORCE, Orders
from venues.coinbase_derivatives.plan import cancel_plan
from venues.coinbase_derivatives.replay import ReplayedDropCopy, ReplayedTrading
from venues.coinbase_derivatives.settings import HEARTBEAT_S, SENDER, TARGET, Settings
from venues.facts import Wire
from venues.fix_dialect import ReportRules, Said
from venues.fix_session import open_store
from venues.fix_venue import FixVenue, session_settings
from venues.ids import IdSource, PrefixedIds, default_prefix, lane_of
from venues.interface import CancelPlan, Capabilities, Disconnect, Replace, RestApi, SessionContext, Sink
from venues.limits import RateLimits
from venues.options import merged

_REPORTS = ReportRules(
    trade_id_tags=(880, 1003, 527),
    liquidity_tag=1057,
    liquidity={"Y": "T", "N": "M"},
    reason_tags=(103, 378),
    no_order_ids=("", "NONE", "0"),
    standing=frozenset("35"),
)


class _Profile:
    def __init__(self, context: SessionContext, settings: Settings) -> None:
        self.rules: FieldRules | None = None
        self.report_rules = _REPORTS
        self.settings = session_settings(
            context, extra_header=_sub_ids(settings), sending_time_digits=6, supports_resend=True
        )
        self._credentials = context.username, context.password

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        """Username(553) and Password(554), plain."""
        body = BodyWriter()
        for tag, value in zip((553, 554), self._credentials, strict=True):
            if value:
                body.text(tag, value)
        return body.take()

    def other(self, message: Message) -> Iterable[Said] | None:
        """Nothing beyond the common messages and F1 to F5."""
        return None


class _Trading(Orders, _Profile):
    def __init__(self, context: SessionContext, settings: Settings) -> None:
        _Profile.__init__(self, context, settings)
        Orders.__init__(self, settings)
        self.store = open_store(context)
        self.ids: IdSource = PrefixedIds(self.store, default_prefix(context.name), lane_of(context))


class CoinbaseDerivatives(FixVenue):
    """The dialect."""

    name = "coinbase_derivatives"

    def capabilities(self, venue: VenueConfig) -> Capabilities:
        """As documented; what was missed is replayed by ExecID."""
        settings = _settings(venue)
        return Capabilities(
            kinds=frozenset({Kind.TRADING, Kind.DROPCOPY}),
            levels=frozenset(),
            new_types=ORD_TYPES,
            times_in_force=TIMES_IN_FORCE,
            replace=Replace.IN_PLACE,
            status_request=False,
            mass_cancel=False,
            mass_cancel_report=False,
            open_orders=OpenOrders.REPLAY,
            disconnect=Disconnect.KEEPS if settings.on_loss == "none" else Disconnect.UNKNOWN,
            resend=True,
            checksum=False,
            update_ids=False,
            reference_data=False,
            trading_status=False,
            planned_moves=False,
            account_wide_reports=False,
            limits=RateLimits(orders=settings.rate_limits),
            documented="2026-05-14",  # newest entry of its change log that was read
            wires=dict.fromkeys((Kind.TRADING, Kind.DROPCOPY), Wire()),
            session_status=False,
        )

    def check(self, venue: VenueConfig, sessions: dict[str, SessionConfig], path: str) -> None:
        """ConfigError naming what the venue does not take."""
        options.read(dict(venue.options), f"{path}.options")
        if venue.rest is not None:
            raise ConfigError(f"{path}.rest: coinbase_derivatives has no REST side here")
        for name, session in sessions.items():
            own = options.read(merged(venue, session), f"session.{name}.options")
            _check_session(f"session.{name}", session, own)

    def cancel_plan(self, venue: VenueConfig) -> CancelPlan:
        """One 35=F an order."""
        return cancel_plan(_settings(venue))

    def trading(self, context: SessionContext, sink: Sink) -> ReplayedTrading:
        """An order-entry session, which has what it missed replayed."""
        settings = _read(context)
        profile = _Trading(context, settings)
        return ReplayedTrading(context, sink, profile, profile.store, replays=settings.replay)

    def dropcopy(self, context: SessionContext, sink: Sink) -> ReplayedDropCopy:
        """Reports of all sessions, busts and corrections; replayed, too."""
        settings = _read(context)
        profile = _Profile(context, settings)
        return ReplayedDropCopy(context, sink, profile, open_store(context), replays=settings.replay)

    def rest(self, venue: VenueConfig, key: str, secret: str, passphrase: str = "") -> RestApi | None:
        """None is documented here."""
        return None


def _settings(venue: VenueConfig) -> Settings:
    return options.read(dict(venue.options), "options")


def _read(context: SessionContext) -> Settings:
    return options.read(merged(context.venue, context.config), f"session.{context.name}.options")


def _sub_ids(settings: Settings) -> bytes:
    """50 (who trades), 57 (PROD or TEST), 116 (who trades, where 50 is a vendor)."""
    fields = [(50, settings.trader), (57, settings.environment), (116, settings.on_behalf_of)]
    return b"".join(b"%d=%s\x01" % (tag, value.encode()) for tag, value in fields if value)


def _check_session(path: str, session: SessionConfig, settings: Settings) -> None:
    if session.kind is Kind.MARKETDATA:
        raise ConfigError(f"{path}.kind: coinbase_derivatives has no market data here")
    if session.target_comp_id != TARGET:
        raise ConfigError(f"{path}.target_comp_id: {session.target_comp_id!r} is not {TARGET!r}")
    if not SENDER.fullmatch(session.sender_comp_id):
        raise ConfigError(f"{path}.sender_comp_id: {session.sender_comp_id!r} is not three letters and three digits")
    low, high = HEARTBEAT_S
    if not low <= session.heartbeat_s <= high:
        raise ConfigError(f"{path}.heartbeat_s: {session.heartbeat_s} is not from {low} to {high}")
    if session.kind is Kind.TRADING:
        options.need_for_orders(settings, f"{path}.options")


DIALECT = CoinbaseDerivatives()
