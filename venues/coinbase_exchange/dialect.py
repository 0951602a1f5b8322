"""Coinbase Exchange (FIX 5.0 SP2 over FIXT.1.1). docs/venues/coinbase_exchange.md lists options and what is unproven.

Where the reference contradicts itself: order entry has what it missed resent as one page describes it (another page
says that there is no resend: option sequence = "reset"), and falls back to 141=Y whenever that fails; the number in the
gap fill behind the Logon is taken for the next one, not the last. SelfTradeType(7928) is on every order, because its
default is documented two ways. SenderCompID(49) is the API key.
"""

from collections.abc import Iterable

from base.config import Kind, SessionConfig, VenueConfig
from base.errors import ConfigError
from fix.codec import BodyWriter, FieldRules, Message
from fix.settings import SequencePolicy
from venues.coinbase_exchange import settings as options
from venues.coinbase_exchange.limits import rate_limits
from venues.coinbase_exchange.marketdata import MarketData
from venues.coinbase_exchange.orders import ORD_TYPES, TIMES_IN_FORCE, Orders
from venues.coinbase_exchange.plan import cancel_plan, open_orders
from venues.coinbase_exchange.rest import Rest
from venues.coinbase_exchange.settings import BATCH_MOST, HEARTBEAT_MOST_S, RESEND_MOST, TARGET, OnLoss, Settings
from venues.coinbase_exchange.signing import logon_signature
from venues.facts import RestCall, Wire
from venues.fix_dialect import ReportRules, Said
from venues.fix_session import open_store
from venues.fix_trading import FixTradingSession
from venues.fix_venue import FixVenue, session_settings
from venues.ids import CombIds, IdSource
from venues.interface import (
    CancelPlan,
    Capabilities,
    Disconnect,
    Replace,
    RestApi,
    SessionContext,
    Sink,
)
from venues.options import merged, need_three_secrets
from venues.signing import secret_bytes

_APPL_VER = "9"  # FIX 5.0 SP2
_ON_LOSS = {"session": "S", "profile": "Y"}


def _unknown_order(origin: str, code: str, text: str) -> bool:
    """CxlRejReason(102) 1. Of 35=j only the words tell: its 380=1 means "other" here."""
    return (origin == "9" and code == "1") or "unknown order" in text.lower() or "order not found" in text.lower()


_REPORTS = ReportRules(
    trade_id_tags=(1003,),
    liquidity_tag=1057,
    liquidity={"Y": "T", "N": "M"},
    required=(11, 17, 37, 39, 55, 150),
    unknown_order=_unknown_order,
    no_order_ids=("", "NONE", "0"),
    batch_rejects=frozenset({"U5", "U7"}),
)


class _Profile:
    def __init__(self, context: SessionContext, settings: Settings) -> None:
        kind = context.config.kind
        resumes, sub_id = kind is Kind.TRADING and settings.resumes, settings.sender_sub_id
        self.rules: FieldRules | None = None
        self.report_rules = _REPORTS
        self.settings = session_settings(
            context,
            begin_string="FIXT.1.1",
            default_appl_ver_id=_APPL_VER,
            extra_header=b"50=%s\x01" % sub_id.encode() if kind is Kind.TRADING and sub_id else b"",
            sequence_policy=SequencePolicy.OURS_RESTART if resumes else SequencePolicy.RESET_AT_LOGON,
            supports_resend=resumes,
            resend_end_zero=not resumes,
            resend_most=RESEND_MOST if resumes else 0,
            order_types=frozenset({"D", "G", "U6"}),
        )
        self._kind = kind
        self._key, self._passphrase = context.username or self.settings.sender_comp_id, context.passphrase
        self._secret = secret_bytes(context.password, f"session.{context.name}.password")
        self._loss = _loss(context, settings) if kind is Kind.TRADING else None

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        """Key, passphrase, signature over header values; what a lost connection cancels; drop copy says that it is."""
        own = self.settings
        signature = logon_signature(
            self._secret, sending_time, seq_num, own.sender_comp_id, own.target_comp_id, self._passphrase
        )
        body = BodyWriter()
        body.text(553, self._key)
        if self._passphrase:
            body.text(554, self._passphrase)
        body.data(95, 96, signature)
        if self._loss is not None and self._loss != "off":
            body.text(8013, _ON_LOSS[self._loss])
        if self._kind is Kind.DROPCOPY:
            body.boolean(9406, True)
        return body.take()

    def other(self, message: Message) -> Iterable[Said] | None:
        """Order entry and drop copy get nothing beyond the common messages."""
        return None


class _Trading(Orders, _Profile):
    def __init__(self, context: SessionContext, settings: Settings) -> None:
        _Profile.__init__(self, context, settings)
        Orders.__init__(self, settings)
        self.store = open_store(context)
        self.ids: IdSource = CombIds(self.store, context.name)


class _MarketData(MarketData, _Profile):
    def __init__(self, context: SessionContext, settings: Settings) -> None:
        _Profile.__init__(self, context, settings)
        MarketData.__init__(self, settings, context.epoch)


class CoinbaseExchange(FixVenue):
    """The dialect."""

    name = "coinbase_exchange"

    def capabilities(self, venue: VenueConfig) -> Capabilities:
        """As documented; how open orders are learnt depends on whether REST is configured."""
        settings = _settings(venue)
        return Capabilities(
            kinds=frozenset(Kind),
            levels=frozenset({3}),
            new_types=ORD_TYPES,
            times_in_force=TIMES_IN_FORCE,
            replace=Replace.IN_PLACE,
            status_request=True,
            mass_cancel=True,
            mass_cancel_report=True,
            mass_cancel_by_instrument=False,
            cancel_batch=BATCH_MOST,
            order_batch=BATCH_MOST,
            open_orders=open_orders(venue),
            disconnect=_DISCONNECT[settings.on_loss],
            resend=settings.resumes,
            numbers_go_on=False,
            checksum=False,
            update_ids=True,
            reference_data=True,
            trading_status=False,
            planned_moves=False,
            account_wide_reports=False,
            limits=rate_limits(settings),
            shared_trade_ids=False,  # nothing says that REST's trade_id is TradeID(1003)
            documented="2026-02-02",  # newest entry of its change log; the pages are of the spring
            wires={kind: _wire(kind, settings) for kind in Kind},
            rest=_REST if venue.rest is not None else frozenset(),
        )

    def check(self, venue: VenueConfig, sessions: dict[str, SessionConfig], path: str) -> None:
        """ConfigError naming what the venue does not take."""
        options.read(dict(venue.options), f"{path}.options")
        need_three_secrets(venue, sessions, path)
        keys: dict[str, str] = {}
        for name, session in sessions.items():
            _check_session(f"session.{name}", session, options.read(merged(venue, session), f"session.{name}.options"))
            other = keys.setdefault(session.sender_comp_id, name)
            if other != name:
                text = f"the API key of session.{other}; the venue takes one connection a key"
                raise ConfigError(f"session.{name}.sender_comp_id: {text}")

    def cancel_plan(self, venue: VenueConfig) -> CancelPlan:
        """35=q reaches the session that sends it; REST reaches the profile."""
        return cancel_plan(venue, _settings(venue))

    def trading(self, context: SessionContext, sink: Sink) -> FixTradingSession:
        """An order-entry session, whose orders and cancels may leave in batches."""
        profile = _Trading(context, _read(context))
        return FixTradingSession(context, sink, profile, profile.store, batching=profile)

    def marketdata_profile(self, context: SessionContext) -> _MarketData:
        """Every order of the book."""
        return _MarketData(context, _read(context))

    def dropcopy_profile(self, context: SessionContext) -> _Profile:
        """The dedicated gateway. Replay is not documented there: it starts afresh."""
        return _Profile(context, _read(context))

    def rest(self, venue: VenueConfig, key: str, secret: str, passphrase: str = "") -> RestApi | None:
        """The profile's REST side."""
        return Rest(key, secret, passphrase) if venue.rest is not None else None


_REST: frozenset[RestCall] = frozenset({"open_orders", "order", "trades", "balances", "cancel_all", "cancel_order"})
_DISCONNECT: dict[OnLoss | None, Disconnect] = {
    None: Disconnect.UNKNOWN,  # follows each session's on_stop
    "off": Disconnect.KEEPS,
    "session": Disconnect.CANCELS,
    "profile": Disconnect.CANCELS,
}


def _settings(venue: VenueConfig) -> Settings:
    return options.read(dict(venue.options), "options")


def _wire(kind: Kind, settings: Settings) -> Wire:
    if kind is Kind.TRADING and settings.resumes:
        return Wire("FIXT.1.1", SequencePolicy.OURS_RESTART, resend=True, appl_ver_id=_APPL_VER)
    return Wire("FIXT.1.1", SequencePolicy.RESET_AT_LOGON, resend=False, appl_ver_id=_APPL_VER)


def _read(context: SessionContext) -> Settings:
    return options.read(merged(context.venue, context.config), f"session.{context.name}.options")


def _loss(context: SessionContext, settings: Settings) -> OnLoss:
    if settings.on_loss is not None:
        return settings.on_loss
    return "off" if context.config.on_stop == "keep" else "session"


def _check_session(path: str, session: SessionConfig, settings: Settings) -> None:
    if session.target_comp_id != TARGET:
        raise ConfigError(f"{path}.target_comp_id: {session.target_comp_id!r} is not {TARGET!r}")
    most = HEARTBEAT_MOST_S[session.kind]
    if session.heartbeat_s > most:
        raise ConfigError(f"{path}.heartbeat_s: {session.heartbeat_s} is above {most}")
    if session.kind is Kind.MARKETDATA and session.level != 3:
        raise ConfigError(f"{path}.level: coinbase_exchange has level 3 alone, no level {session.level}")
    if session.kind is Kind.MARKETDATA and session.depth:
        raise ConfigError(f"{path}.depth: {session.depth}: coinbase_exchange sends whole books")


DIALECT = CoinbaseExchange()
