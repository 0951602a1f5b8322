"""Coinbase Prime (FIX 4.2 order entry and drop copy). docs/venues/coinbase_prime.md lists options and what is unproven.

The documentation contradicts itself on sequence numbers (coinbase-prime.md, 4.6). By default every Logon carries 141=Y,
and what happened meanwhile comes late as new messages, each counted once by its ExecID; `sequence = "resume"` goes on
with the day's numbers, asks for what is missing, and falls back to 141=Y when the venue refuses that. ExecTransType(20)
does not say what FIX 4.2 means by it: the venue's own answer to a status request carries 20=1, so a report without
ExecRefID(19) is never read as a bust. What a lost connection does is not documented: orders are taken to stay.
"""

from typing import Any

from base.config import Kind, SessionConfig, VenueConfig
from base.errors import ConfigError, SecretError
from fix.codec import BodyWriter, FieldRules, Message
from fix.settings import SequencePolicy
from fix.store import MemoryStore
from venues.coinbase_prime import settings as options
from venues.coinbase_prime.limits import rate_limits
from venues.coinbase_prime.marketdata import MarketData
from venues.coinbase_prime.orders import Orders
from venues.coinbase_prime.plan import cancel_plan, open_orders
from venues.coinbase_prime.rest import Rest
from venues.coinbase_prime.settings import MOST_HEARTBEAT_S, MOST_SESSIONS, ORD_TYPES, TARGET, TIMES_IN_FORCE, Settings
from venues.coinbase_prime.signing import logon_signature
from venues.facts import RestCall, Wire
from venues.fix_dialect import ReportRules, Said
from venues.fix_pieces import CountedPiecesSession
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
from venues.options import merged, need_three_secrets

_NO_MARKET_DATA = "market data over FIX is a client beta of coinbase prime: option market_data_beta"


def _unknown_order(origin: str, code: str, text: str) -> bool:
    """Values of 102 are not documented: the standard's, or words that say so on whatever channel."""
    words = text.lower()
    return (origin == "9" and code in ("0", "1")) or "unknown order" in words or "order not found" in words


_RESET = Wire("FIX.4.2", SequencePolicy.RESET_AT_LOGON, resend=False)
_RESUME = Wire("FIX.4.2", SequencePolicy.CONTINUE, resend=True)
_BETA = Wire("FIXT.1.1", SequencePolicy.RESET_AT_LOGON, resend=False, appl_ver_id="9")
_REST: frozenset[RestCall] = frozenset({"open_orders", "order", "trades", "balances", "cancel_order"})


class _Keys:
    """The three secrets of one session, and what they sign."""

    def __init__(self, context: SessionContext) -> None:
        self.access_key, self._secret, self.passphrase = context.username, context.password, context.passphrase
        self._target = context.config.target_comp_id
        given = {"username": self.access_key, "password": self._secret, "passphrase": self.passphrase}
        if missing := [key for key, value in given.items() if not value]:
            raise SecretError(f"session.{context.name}.{missing[0]}: missing; the venue gives three secrets with a key")

    def sign(self, body: BodyWriter, seq_num: int, sending_time: bytes) -> None:
        """RawData(96) and Password(554)."""
        signature = logon_signature(self._secret, sending_time, seq_num, self.access_key, self._target, self.passphrase)
        body.data(95, 96, signature)
        body.text(554, self.passphrase)


class _Profile:
    """What order entry and drop copy share."""

    def __init__(self, context: SessionContext, settings: Settings) -> None:
        self.rules: FieldRules | None = None
        self.report_rules = ReportRules(
            display_tag=210,
            trade_id_tags=(1003, 527, 17),  # in FIX 4.2 a fill is named by its ExecID
            commission_in=lambda symbol, side: symbol.partition("-")[2],
            old_fills=True,
            status_trans=frozenset("123"),
            status_rejects=True,
            unknown_order=_unknown_order,
            # With 9406=N all reports are of our own orders, and of no other portfolio.
            account=settings.portfolio_id if context.config.kind is Kind.DROPCOPY else "",
        )
        self.settings = session_settings(
            context,
            begin_string="FIX.4.2",
            sequence_policy=SequencePolicy.CONTINUE if settings.resume else SequencePolicy.RESET_AT_LOGON,
            supports_resend=settings.resume,
            resume_may_fail=True,
            secret_tags=(9407,),
        )
        self._copies = context.config.kind is Kind.DROPCOPY
        self._portfolio_id = settings.portfolio_id
        self._keys = _Keys(context)

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        """Signature, passphrase, key; 9406 is said each time, for without it the venue sends everybody's reports."""
        body = BodyWriter()
        body.text(1, self._portfolio_id)
        self._keys.sign(body, seq_num, sending_time)
        body.boolean(9406, self._copies)
        body.text(9407, self._keys.access_key)
        return body.take()

    def other(self, message: Message) -> list[Said] | None:
        """Nothing beyond the common messages: quotes (35=S, 35=b) answer requests that are never sent."""
        return None


class _MarketData(MarketData):
    """Another protocol, another key: FIXT.1.1, whose Logon has the key in 553."""

    def __init__(self, context: SessionContext, settings: Settings) -> None:
        super().__init__(settings, context.config.depth)
        self.rules: FieldRules | None = None
        self.settings = session_settings(
            context,
            begin_string="FIXT.1.1",
            default_appl_ver_id="9",
            sequence_policy=SequencePolicy.RESET_AT_LOGON,
            supports_resend=False,
        )
        self._keys = _Keys(context)

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        """Signature, passphrase, key."""
        body = BodyWriter()
        self._keys.sign(body, seq_num, sending_time)
        body.text(553, self._keys.access_key)
        body.boolean(9406, False)
        return body.take()


class _Trading(Orders, _Profile):
    def __init__(self, context: SessionContext, settings: Settings) -> None:
        _Profile.__init__(self, context, settings)
        Orders.__init__(self, settings)
        self.store = open_store(context)
        prefix = settings.cl_ord_id_prefix or default_prefix(context.name)
        self.ids: IdSource = PrefixedIds(self.store, prefix, lane_of(context))


class CoinbasePrime(FixVenue):
    """The dialect."""

    name = "coinbase_prime"

    def capabilities(self, venue: VenueConfig) -> Capabilities:
        """As documented; how open orders are learnt depends on whether REST is configured."""
        settings = _settings(venue)
        return Capabilities(
            kinds=frozenset(Kind) if settings.market_data else frozenset({Kind.TRADING, Kind.DROPCOPY}),
            levels=frozenset({2}) if settings.market_data else frozenset(),
            new_types=ORD_TYPES,
            times_in_force=TIMES_IN_FORCE,
            replace=Replace.IN_PLACE if settings.amend else Replace.NONE,
            status_request=True,
            mass_cancel=False,
            mass_cancel_report=False,
            open_orders=open_orders(venue),
            disconnect=Disconnect.UNKNOWN,
            resend=settings.resume,
            numbers_go_on=settings.resume,
            checksum=False,
            update_ids=False,
            reference_data=False,
            trading_status=False,
            planned_moves=False,
            account_wide_reports=False,
            limits=rate_limits(settings),
            shared_trade_ids=False,  # nothing says that a fill's id over REST is its ExecID
            documented="2026-06-24",  # newest entry of its change log
            wires=_wires(settings),
            rest=_rest_calls(settings) if venue.rest is not None else frozenset(),
        )

    def variants(self) -> dict[str, dict[str, Any]]:
        """As it stands, and with everything that an option turns on."""
        more = {"sequence": "resume", "amend": True, "market_data_beta": True, "buying_power": True}
        return {"": {"portfolio_id": "ID"}, "resume, beta": {"portfolio_id": "ID"} | more}

    def check(self, venue: VenueConfig, sessions: dict[str, SessionConfig], path: str) -> None:
        """ConfigError naming what the venue does not take."""
        options.read(dict(venue.options), f"{path}.options")
        need_three_secrets(venue, sessions, path)
        if len(sessions) > MOST_SESSIONS:
            raise ConfigError(f"{path}: a portfolio has {MOST_SESSIONS} sessions at most, these are {sorted(sessions)}")
        keys: dict[str, str] = {}
        for name, session in sessions.items():
            _check_session(f"session.{name}", session, options.read(merged(venue, session), f"session.{name}.options"))
            other = keys.setdefault(session.username, name) if session.username else name
            if other != name:
                raise ConfigError(
                    f"session.{name}.username: the key of session.{other}; the venue has one session a key"
                )

    def cancel_plan(self, venue: VenueConfig) -> CancelPlan:
        """One 35=F an order, by its owner."""
        return cancel_plan(venue, _settings(venue))

    def trading_profile(self, context: SessionContext) -> _Trading:
        """Order entry, which hears of its own orders (9406=N)."""
        return _Trading(context, _read(context))

    def dropcopy_profile(self, context: SessionContext) -> _Profile:
        """Every order of the portfolio (9406=Y)."""
        return _Profile(context, _read(context))

    def marketdata(self, context: SessionContext, sink: Sink, records: RecordSink) -> CountedPiecesSession:
        """Level 2 and trades, where the option says that the venue's beta is to be used."""
        settings = _read(context)
        if not settings.market_data:
            raise ConfigError(f"session.{context.name}.kind: {_NO_MARKET_DATA}")
        return CountedPiecesSession(context, sink, _MarketData(context, settings), MemoryStore(context.epoch), records)

    def rest(self, venue: VenueConfig, key: str, secret: str, passphrase: str = "") -> RestApi | None:
        """The portfolio's REST side."""
        if venue.rest is None:
            return None
        settings = _settings(venue)
        return Rest(settings.portfolio_id, key, secret, passphrase, credit=settings.buying_power)


def _settings(venue: VenueConfig) -> Settings:
    return options.read(dict(venue.options), "options")


def _read(context: SessionContext) -> Settings:
    return options.read(merged(context.venue, context.config), f"session.{context.name}.options")


def _wires(settings: Settings) -> dict[Kind, Wire]:
    wires = dict.fromkeys((Kind.TRADING, Kind.DROPCOPY), _RESUME if settings.resume else _RESET)
    return wires | ({Kind.MARKETDATA: _BETA} if settings.market_data else {})


def _rest_calls(settings: Settings) -> frozenset[RestCall]:
    return _REST | {"buying_power"} if settings.buying_power else _REST


def _check_session(path: str, session: SessionConfig, settings: Settings) -> None:
    if session.target_comp_id != TARGET:
        raise ConfigError(f"{path}.target_comp_id: {session.target_comp_id!r} is not {TARGET!r}")
    if session.kind is not Kind.MARKETDATA:
        return
    if not settings.market_data:
        raise ConfigError(f"{path}.kind: {_NO_MARKET_DATA}")
    if session.level != 2:
        raise ConfigError(f"{path}.level: coinbase prime has no level {session.level}")
    if session.heartbeat_s > MOST_HEARTBEAT_S:
        raise ConfigError(f"{path}.heartbeat_s: {session.heartbeat_s} is more than {MOST_HEARTBEAT_S}")


DIALECT = CoinbasePrime()
