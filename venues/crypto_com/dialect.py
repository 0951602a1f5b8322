"""Crypto.com Exchange (FIX 4.4, "FIX 3.0"). docs/venues/crypto_com.md lists options and what is unproven.

Numbers go on over connections and what was missed is resent; the venue begins them anew in its monthly maintenance and
at a cap, which is met by 141=Y once a resumption fails. Pending reports (150=A, 6) are accepted requests, no states of
the book. An amended order is cancelled and placed anew behind the scene, as REST has it; FIX does not say so: 35=G is
off unless asked for. What a lost connection cancels is said in every Logon, since the default is inferred.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from base.config import InstrumentConfig, Kind, SessionConfig, VenueConfig
from base.errors import ConfigError
from fix.codec import BodyWriter, FieldRules, Message
from fix.settings import SequencePolicy
from fix.store import MemoryStore
from venues.crypto_com import settings as options
from venues.crypto_com.channels import ChannelSession
from venues.crypto_com.limits import rate_limits
from venues.crypto_com.marketdata import MarketData
from venues.crypto_com.orders import Orders
from venues.crypto_com.plan import cancel_plan, open_orders
from venues.crypto_com.rest import Rest
from venues.crypto_com.settings import DEPTHS, ORD_TYPES, TIMES_IN_FORCE, OnLoss, Settings
from venues.crypto_com.signing import logon_signature
from venues.facts import RestCall, Wire
from venues.fix_dialect import ReportRules, Said
from venues.fix_session import open_store
from venues.fix_trading import FixTradingSession
from venues.fix_venue import FixVenue, session_settings
from venues.ids import CombIds, IdSource
from venues.interface import CancelPlan, Capabilities, Disconnect, RecordSink, Replace, RestApi, SessionContext, Sink
from venues.options import merged

_MS_NS = 1_000_000
_MD_SENDER = re.compile(r".*_(BTC|ETH|OTHERS)\.MD\..*")
_UNKNOWN = ("unknown order", "no_active_order", "no active order", "not_found", "order not found", "invalid_orderid")


def _unknown_order(origin: str, code: str, text: str) -> bool:
    """Values of 102 are not documented: the standard's, the venue's reason codes, or their words."""
    if origin == "9" and code in ("0", "1", "212", "316", "40401"):
        return True
    return (origin == "j" and code == "1") or any(words in text.lower() for words in _UNKNOWN)


_REPORTS = ReportRules(
    trade_id_tags=(1003, 17),  # a fill is named by its ExecID; 880 names the match, which may have several
    unknown_order=_unknown_order,
    status_doubts=frozenset({"8", "13", "99"}),
)


class _Profile:
    def __init__(self, context: SessionContext, settings: Settings) -> None:
        kind = context.config.kind
        self.rules: FieldRules | None = None
        self.report_rules = replace(_REPORTS, reject_is_doubt=not settings.reject_is_final)
        resumes = kind is not Kind.MARKETDATA
        self.settings = session_settings(
            context,
            sequence_policy=SequencePolicy.CONTINUE if resumes else SequencePolicy.RESET_AT_LOGON,
            supports_resend=resumes,
            resume_may_fail=resumes,
        )
        self._kind = kind
        self._key, self._secret = context.username, context.password
        self._loss = _loss(context, settings) if kind is Kind.TRADING else None

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        """Nonce, key, signature over this Logon's own number; what a lost connection cancels."""
        nonce = str(wall_ns // _MS_NS)
        market_data = self._kind is Kind.MARKETDATA
        body = BodyWriter()
        body.data(95, 96, nonce.encode())
        body.text(553, self._key)
        body.text(554, logon_signature(self._secret, seq_num, self._key, nonce, market_data=market_data))
        if self._loss == "session":
            body.text(6867, "Y")
        if self._loss is not None:
            body.integer(35002, 3 if self._loss == "session" else 0)
        return body.take()

    def other(self, message: Message) -> Iterable[Said] | None:
        """On drop copy a refused cancel (35=9) says nothing that the orders' reports do not."""
        return [] if self._kind is Kind.DROPCOPY and message.msg_type == "9" else None


class _Trading(Orders, _Profile):
    def __init__(self, context: SessionContext, settings: Settings) -> None:
        _Profile.__init__(self, context, settings)
        Orders.__init__(self, settings)
        self.store = open_store(context)
        self.ids: IdSource = CombIds(self.store, context.name)


class _MarketData(MarketData, _Profile):
    def __init__(self, context: SessionContext, settings: Settings) -> None:
        _Profile.__init__(self, context, settings)
        MarketData.__init__(self, settings, context.config, context.epoch)


class CryptoCom(FixVenue):
    """The dialect."""

    name = "crypto_com"

    def capabilities(self, venue: VenueConfig) -> Capabilities:
        """As documented; how open orders are learnt depends on whether REST is configured."""
        settings = _settings(venue)
        return Capabilities(
            kinds=frozenset(Kind),
            levels=frozenset({2}),
            new_types=ORD_TYPES,
            times_in_force=TIMES_IN_FORCE,
            replace=Replace.NONE if settings.amend == "off" else Replace.CANCEL_NEW,
            status_request=True,
            mass_cancel=True,
            mass_cancel_report=True,
            open_orders=open_orders(venue),
            disconnect=_DISCONNECT[settings.on_loss],
            resend=True,
            checksum=False,
            update_ids=True,
            reference_data=bool(settings.attributes),
            trading_status=False,
            planned_moves=False,
            account_wide_reports=False,
            limits=rate_limits(settings),
            shared_trade_ids=False,  # nothing says that REST's trade_id is the session's Fill ID
            documented="2025-11-13",  # newest entry of its change log
            wires=_WIRES,
            rest=_REST if venue.rest is not None else frozenset(),
        )

    def variants(self) -> dict[str, dict[str, Any]]:
        """As it stands, and with what an option turns on."""
        return {"": {}, "amend": {"amend": "cancel_new"}}

    def check(self, venue: VenueConfig, sessions: dict[str, SessionConfig], path: str) -> None:
        """ConfigError naming what the venue does not take."""
        options.read(dict(venue.options), f"{path}.options")
        for name, session in sessions.items():
            options.read(merged(venue, session), f"session.{name}.options")
            _check_session(f"session.{name}", session)
            if session.kind is Kind.MARKETDATA:
                _check_routing(f"session.{name}", session, venue.instruments)

    def cancel_plan(self, venue: VenueConfig) -> CancelPlan:
        """35=q goes by symbol, REST reaches the account."""
        return cancel_plan(venue, _settings(venue))

    def trading_profile(self, context: SessionContext) -> _Trading:
        """Order entry (UD)."""
        return _Trading(context, _read(context))

    def dropcopy_profile(self, context: SessionContext) -> _Profile:
        """The account's reports (UC)."""
        return _Profile(context, _read(context))

    def trading(self, context: SessionContext, sink: Sink) -> FixTradingSession:
        """Order entry, quiet for a moment after each Logon."""
        session = super().trading(context, sink)
        session.quiet_ns = _read(context).quiet_ms * _MS_NS
        return session

    def marketdata(self, context: SessionContext, sink: Sink, records: RecordSink) -> ChannelSession:
        """Books and trades (MD), quiet for a moment after each Logon; its numbers begin anew with each connection."""
        settings = _read(context)
        session = ChannelSession(context, sink, _MarketData(context, settings), MemoryStore(context.epoch), records)
        session.quiet_ns = settings.quiet_ms * _MS_NS
        return session

    def rest(self, venue: VenueConfig, key: str, secret: str, passphrase: str = "") -> RestApi | None:
        """The account's REST side."""
        return Rest(key, secret) if venue.rest is not None else None


_RESUMES = Wire("FIX.4.4", SequencePolicy.CONTINUE, resend=True)
_WIRES = dict.fromkeys(Kind, _RESUMES) | {Kind.MARKETDATA: Wire("FIX.4.4", SequencePolicy.RESET_AT_LOGON, resend=False)}
_REST: frozenset[RestCall] = frozenset(
    {"open_orders", "order", "trades", "balances", "positions", "cancel_all", "cancel_order"}
)
_DISCONNECT: dict[OnLoss | None, Disconnect] = {
    None: Disconnect.UNKNOWN,  # follows each session's on_stop
    "off": Disconnect.KEEPS,
    "session": Disconnect.CANCELS,
}


def _settings(venue: VenueConfig) -> Settings:
    return options.read(dict(venue.options), "options")


def _read(context: SessionContext) -> Settings:
    return options.read(merged(context.venue, context.config), f"session.{context.name}.options")


def _loss(context: SessionContext, settings: Settings) -> OnLoss:
    if settings.on_loss is not None:
        return settings.on_loss
    return "off" if context.config.on_stop == "keep" else "session"


def _check_session(path: str, session: SessionConfig) -> None:
    for key in ("username", "password"):
        if not getattr(session, key):
            raise ConfigError(f"{path}.{key}: missing; the venue wants an API key and its secret in each Logon")
    if session.kind is not Kind.MARKETDATA:
        return
    if session.level != 2:
        raise ConfigError(f"{path}.level: crypto_com has no level {session.level}")
    if session.depth not in (0, *DEPTHS):
        raise ConfigError(f"{path}.depth: {session.depth} is not one of {sorted(DEPTHS)}")


def _check_routing(path: str, session: SessionConfig, instruments: list[InstrumentConfig]) -> None:
    """Market data is split by symbol; a SenderCompID in the venue's form says which part its session has."""
    said = _MD_SENDER.fullmatch(session.sender_comp_id)
    if said is None:
        return
    for i in instruments:
        wanted = _part_of(i.name)
        if wanted != said[1] and (not session.instruments or i.name in session.instruments):
            text = f"{i.name} is had from the venue's {wanted} servers, not from {said[1]}"
            raise ConfigError(f"{path}.instruments: {text}")


def _part_of(name: str) -> str:
    currencies = name.split("-")[:2]
    return "ETH" if "ETH" in currencies else "BTC" if "BTC" in currencies else "OTHERS"


DIALECT = CryptoCom()
