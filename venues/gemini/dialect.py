"""Gemini (FIX 4.4: order entry, market data, drop copy of trades). docs/venues/gemini.md lists options and choices.

No session signs anything: the venue knows it by source address, 49 and 56, and closes what it does not know without a
word; a number that is too low ends the same way, so that three such closings in a row are met with 141=Y. Numbers go on
and what was missed is replayed (option sequence = "reset": the venue's own advice, at the price of what happened
meanwhile). 9001 is on every Logon of order entry, because its default keeps orders. 35=F is taken to reach the orders
of this connection and to be worth trying for older ones. Drop copy has trades alone.
"""

import re
from collections.abc import Iterable

from base.config import Kind, SessionConfig, VenueConfig
from base.errors import ConfigError
from fix.codec import BodyWriter, FieldRules, Message
from fix.settings import SequencePolicy
from venues.facts import RestCall, Wire
from venues.fix_dialect import ReportRules, Said
from venues.fix_session import open_store
from venues.fix_venue import FixVenue, session_settings
from venues.gemini import settings as options
from venues.gemini.limits import rate_limits
from venues.gemini.marketdata import FULL, TOP, MarketData
from venues.gemini.orders import Orders
from venues.gemini.plan import cancel_plan, open_orders
from venues.gemini.rest import Rest
from venues.gemini.settings import HEARTBEAT_S, NAME, ORD_TYPES, TARGET, TIMES_IN_FORCE, Settings
from venues.ids import IdSource, PrefixedIds, default_prefix, lane_of
from venues.interface import CancelPlan, Capabilities, Disconnect, Replace, RestApi, SessionContext
from venues.options import merged

_REPORTS = ReportRules(trade_id_tags=(1003, 17), liquidity_tag=851)  # a fill's ExecID is the trade's id everywhere
_SILENT_LOGONS = 3
_RESUME = Wire("FIX.4.4", SequencePolicy.CONTINUE, resend=True)
_RESET = Wire("FIX.4.4", SequencePolicy.RESET_AT_LOGON, resend=True)
_MARKET_DATA = Wire("FIX.4.4", SequencePolicy.RESET_AT_LOGON, resend=False)
_REST: frozenset[RestCall] = frozenset({"open_orders", "order", "trades", "balances", "cancel_all", "cancel_order"})
_SYMBOL = re.compile(r"[0-9A-Z]{4,24}")


class _Profile:
    """What all sessions share."""

    def __init__(self, context: SessionContext, settings: Settings) -> None:
        kind = context.config.kind
        resumes = settings.resumes and kind is not Kind.MARKETDATA
        self.rules: FieldRules | None = None
        self.report_rules = _REPORTS
        self.settings = session_settings(
            context,
            sequence_policy=SequencePolicy.CONTINUE if resumes else SequencePolicy.RESET_AT_LOGON,
            supports_resend=kind is not Kind.MARKETDATA,  # there it is answered by a gap fill, and books are wrong
            resume_may_fail=True,
            silent_logons=_SILENT_LOGONS,
        )
        self._cancels = _cancels(context, settings) if kind is Kind.TRADING else None

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        """CancelOnDisconnect(9001), of order entry alone."""
        body = BodyWriter()
        if self._cancels is not None:
            body.boolean(9001, self._cancels)
        return body.take()

    def other(self, message: Message) -> Iterable[Said] | None:
        """Nothing beyond the common messages: clearing is not asked for."""
        return None


class _Trading(Orders, _Profile):
    def __init__(self, context: SessionContext, settings: Settings) -> None:
        _Profile.__init__(self, context, settings)
        self.store = open_store(context)
        prefix = settings.cl_ord_id_prefix or default_prefix(context.name)
        self.ids: IdSource = PrefixedIds(self.store, prefix, lane_of(context))


class _MarketData(MarketData, _Profile):
    def __init__(self, context: SessionContext, settings: Settings) -> None:
        _Profile.__init__(self, context, settings)
        MarketData.__init__(self, settings, context.instruments, context.config.depth, context.epoch)


class Gemini(FixVenue):
    """The dialect."""

    name = NAME

    def capabilities(self, venue: VenueConfig) -> Capabilities:
        """As documented; one order and the list of all are had over REST, where it is configured."""
        settings = _settings(venue)
        return Capabilities(
            kinds=frozenset(Kind),
            levels=frozenset({2}),
            new_types=ORD_TYPES,
            times_in_force=TIMES_IN_FORCE,
            replace=Replace.NONE,
            status_request=venue.rest is not None,
            mass_cancel=False,
            mass_cancel_report=False,
            open_orders=open_orders(venue),
            disconnect=_DISCONNECT[settings.cancels_on_loss],
            resend=True,
            numbers_go_on=settings.resumes,
            checksum=False,
            update_ids=False,
            reference_data=False,
            trading_status=False,
            planned_moves=False,
            account_wide_reports=False,
            drop_copy_fills_only=True,
            limits=rate_limits(settings),
            documented="2026-06-02",  # newest of the FIX pages
            wires=dict.fromkeys(Kind, _RESUME if settings.resumes else _RESET) | {Kind.MARKETDATA: _MARKET_DATA},
            session_status=False,
            rest=_REST if venue.rest is not None else frozenset(),
        )

    def check(self, venue: VenueConfig, sessions: dict[str, SessionConfig], path: str) -> None:
        """ConfigError naming what the venue does not take."""
        options.read(dict(venue.options), f"{path}.options")
        for n, instrument in enumerate(venue.instruments):
            if not _SYMBOL.fullmatch(instrument.symbol):
                wanted = "not a symbol of gemini, which are upper case and run together, as BTCUSD"
                raise ConfigError(f"{path}.instruments[{n}].symbol: {instrument.symbol!r} is {wanted}")
        ids: dict[str, str] = {}
        for name, session in sessions.items():
            options.read(merged(venue, session), f"session.{name}.options")
            _check_session(f"session.{name}", session)
            other = ids.setdefault(session.sender_comp_id, name)
            if other != name:
                text = f"{session.sender_comp_id!r} is session.{other}'s; each session has its own"
                raise ConfigError(f"session.{name}.sender_comp_id: {text}")

    def cancel_plan(self, venue: VenueConfig) -> CancelPlan:
        """35=F for each order, REST for the account, cancel on disconnect."""
        return cancel_plan(venue, _settings(venue))

    def trading_profile(self, context: SessionContext) -> _Trading:
        """Order entry, which hears of its own orders."""
        return _Trading(context, _read(context))

    def marketdata_profile(self, context: SessionContext) -> _MarketData:
        """Books by price and trades."""
        return _MarketData(context, _read(context))

    def dropcopy_profile(self, context: SessionContext) -> _Profile:
        """Every trade of the account (35=AE)."""
        return _Profile(context, _read(context))

    def rest(self, venue: VenueConfig, key: str, secret: str, passphrase: str = "") -> RestApi | None:
        """The account's REST side."""
        return Rest(key, secret, time_nonce=_settings(venue).time_nonce) if venue.rest is not None else None


_DISCONNECT: dict[bool | None, Disconnect] = {
    None: Disconnect.UNKNOWN,  # follows each session's on_stop
    True: Disconnect.CANCELS,
    False: Disconnect.KEEPS,
}


def _settings(venue: VenueConfig) -> Settings:
    return options.read(dict(venue.options), "options")


def _read(context: SessionContext) -> Settings:
    return options.read(merged(context.venue, context.config), f"session.{context.name}.options")


def _cancels(context: SessionContext, settings: Settings) -> bool:
    wanted = settings.cancels_on_loss
    return context.config.on_stop != "keep" if wanted is None else wanted


def _check_session(path: str, session: SessionConfig) -> None:
    if session.target_comp_id != TARGET:
        raise ConfigError(f"{path}.target_comp_id: {session.target_comp_id!r} is not {TARGET!r}")
    if session.heartbeat_s != HEARTBEAT_S:
        raise ConfigError(f"{path}.heartbeat_s: {session.heartbeat_s}; the venue takes {HEARTBEAT_S} alone")
    if session.kind is not Kind.MARKETDATA:
        return
    if session.level != 2:
        raise ConfigError(f"{path}.level: gemini has no level {session.level}")
    if session.depth not in (FULL, TOP):
        raise ConfigError(f"{path}.depth: {session.depth}: gemini has whole books (0) and the top of them (1)")


DIALECT = Gemini()
