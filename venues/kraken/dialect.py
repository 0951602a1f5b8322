"""Kraken Spot and Derivatives (Unified FIX 4.4). docs/venues/kraken.md lists options, choices and what is unproven.

Where the reference contradicts itself the safe reading is the default and an option holds the other: mass cancel
type 7 (its scope is documented two ways), status requests under a ClOrdID of their own, no FOK and no amend on
Derivatives, cancel-on-disconnect sent explicitly.
"""

from typing import Any

from base.config import Kind, SessionConfig, VenueConfig
from base.errors import ConfigError
from fix.codec import BodyWriter, FieldRules, Message
from fix.settings import SequencePolicy
from venues.facts import RestCall, Wire
from venues.fix_dialect import ReportRules, Said
from venues.fix_session import open_store
from venues.fix_venue import FixVenue, session_settings
from venues.ids import CombIds, IdSource, NumberIds, default_lane
from venues.interface import (
    CancelPlan,
    Capabilities,
    Disconnect,
    Replace,
    RestApi,
    SessionContext,
)
from venues.kraken import settings as options
from venues.kraken.limits import rate_limits
from venues.kraken.marketdata import MarketData
from venues.kraken.orders import Orders
from venues.kraken.plan import cancel_plan, open_orders
from venues.kraken.rest import rest_api
from venues.kraken.settings import DEPTHS, Settings
from venues.kraken.signing import logon_password
from venues.options import merged
from venues.signing import Nonce, secret_bytes


def _unknown_order(origin: str, code: str, text: str) -> bool:
    words = text.lower()
    return (origin == "j" and code in ("1", "101")) or "unknown order" in words or "not found" in words


_REPORTS = ReportRules(
    display_tag=1138,
    liquidity_tag=5050,  # values not documented: only the obvious letters are read
    liquidity={"M": "M", "T": "T", "m": "M", "t": "T"},
    unknown_order=_unknown_order,
)


_WIRES = {
    Kind.TRADING: Wire(),
    Kind.MARKETDATA: Wire(numbers=SequencePolicy.RESET_AT_LOGON, resend=False),
}
_REST: frozenset[RestCall] = frozenset(
    {"open_orders", "order", "trades", "balances", "cancel_all", "cancel_order", "cancel_after"}
)


class _Profile:
    def __init__(self, context: SessionContext) -> None:
        market_data = context.config.kind is Kind.MARKETDATA
        self.rules: FieldRules | None = None
        self.report_rules = _REPORTS
        self.settings = session_settings(
            context,
            sequence_policy=SequencePolicy.RESET_AT_LOGON if market_data else SequencePolicy.CONTINUE,
            supports_resend=not market_data,
        )


class _Trading(Orders, _Profile):
    def __init__(self, context: SessionContext, settings: Settings) -> None:
        _Profile.__init__(self, context)
        Orders.__init__(self, settings)
        self._key = context.username
        self._secret = secret_bytes(context.password, f"session.{context.name}.password")
        self._nonce = Nonce(1_000_000)
        cancels = settings.cancel_on_disconnect
        self._keeps = (context.config.on_stop == "keep") if cancels is None else not cancels
        self.store = open_store(context)
        lane = settings.id_lane if settings.id_lane >= 0 else default_lane(context.name)
        uuids = settings.uuid_ids
        self.ids: IdSource = CombIds(self.store, context.name) if uuids else NumberIds(self.store, context.name, lane)

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        """Key, signature, nonce, and what becomes of orders when the connection is lost (0 cancels, 1 keeps)."""
        nonce = self._nonce.next(wall_ns)
        sender, target = self.settings.sender_comp_id, self.settings.target_comp_id
        body = BodyWriter()
        if self._settings.client_id:
            body.text(109, self._settings.client_id)
        body.text(553, self._key)
        body.text(554, logon_password(self._secret, seq_num, sender, target, self._key, nonce))
        body.text(5025, nonce)
        body.integer(8674, int(self._keeps))
        return body.take()

    def other(self, message: Message) -> list[Said] | None:
        """Trading sessions get nothing beyond the common messages."""
        return None


class _MarketData(MarketData, _Profile):
    def __init__(self, context: SessionContext, settings: Settings) -> None:
        _Profile.__init__(self, context)
        MarketData.__init__(self, settings, context.config.level, context.config.depth, context.epoch)
        self._client_id = settings.client_id

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        """No credentials: the venue knows the session by its CompID and address."""
        body = BodyWriter()
        if self._client_id:
            body.text(109, self._client_id)
        return body.take()


class Kraken(FixVenue):
    """The dialect."""

    name = "kraken"

    def capabilities(self, venue: VenueConfig) -> Capabilities:
        """By market; how open orders are learnt depends on whether REST is configured."""
        settings = _settings(venue)
        return Capabilities(
            kinds=frozenset({Kind.TRADING, Kind.MARKETDATA}),
            levels=frozenset({2, 3}),
            new_types=settings.ord_types,
            times_in_force=settings.times_in_force,
            replace=Replace.IN_PLACE if settings.amend else Replace.NONE,
            status_request=settings.status_request or venue.rest is not None,
            mass_cancel=True,
            mass_cancel_report=False,
            open_orders=open_orders(venue, settings),
            disconnect=_disconnect(settings),
            resend=True,
            checksum=settings.check_checksum,
            update_ids=False,
            reference_data=True,
            trading_status=not settings.derivatives,
            planned_moves=False,
            account_wide_reports=False,
            limits=rate_limits(settings),
            shared_trade_ids=not settings.derivatives,  # fills of Derivatives REST have ids of their own
            documented="2026-06-22",  # newest entry of its change log; the pages on FIX have samples of 2026-04-07
            wires=_WIRES,
            session_status=settings.status_request,
            rest=_rest_calls(settings) if venue.rest is not None else frozenset(),
        )

    def variants(self) -> dict[str, dict[str, Any]]:
        """A market each."""
        return {"spot": {}, "derivatives": {"market": "derivatives"}}

    def check(self, venue: VenueConfig, sessions: dict[str, SessionConfig], path: str) -> None:
        """ConfigError naming what the venue does not take."""
        settings = options.read(dict(venue.options), f"{path}.options")
        for n, instrument in enumerate(venue.instruments):
            if ("/" in instrument.symbol) == settings.derivatives:
                form = "a derivatives id such as PF_XBTUSD" if settings.derivatives else "BASE/QUOTE"
                raise ConfigError(f"{path}.instruments[{n}].symbol: {instrument.symbol!r} is not {form}")
        for name, session in sessions.items():
            options.read(merged(venue, session), f"session.{name}.options")
            if session.kind is Kind.DROPCOPY:
                raise ConfigError(f"session.{name}.kind: kraken spot and derivatives have no drop copy in FIX")
            if session.kind is Kind.MARKETDATA and session.depth not in DEPTHS:
                raise ConfigError(f"session.{name}.depth: {session.depth} is not one of {sorted(DEPTHS)}")

    def cancel_plan(self, venue: VenueConfig) -> CancelPlan:
        """35=q never answers as such: the proof is each order's report, or its absence from the list."""
        return cancel_plan(venue, _settings(venue))

    def trading_profile(self, context: SessionContext) -> _Trading:
        """Order entry."""
        return _Trading(context, _read(context))

    def marketdata_profile(self, context: SessionContext) -> _MarketData:
        """L2 or L3."""
        return _MarketData(context, _read(context))

    def rest(self, venue: VenueConfig, key: str, secret: str, passphrase: str = "") -> RestApi | None:
        """Spot or Derivatives REST."""
        if venue.rest is None:
            return None
        return rest_api(_settings(venue).derivatives, [i.symbol for i in venue.instruments], key, secret)


def _settings(venue: VenueConfig) -> Settings:
    return options.read(dict(venue.options), "options")


def _read(context: SessionContext) -> Settings:
    return options.read(merged(context.venue, context.config), f"session.{context.name}.options")


def _rest_calls(settings: Settings) -> frozenset[RestCall]:
    return _REST | {"positions"} if settings.derivatives else _REST


def _disconnect(settings: Settings) -> Disconnect:
    if settings.cancel_on_disconnect is None:
        return Disconnect.UNKNOWN  # follows each session's on_stop
    return Disconnect.CANCELS if settings.cancel_on_disconnect else Disconnect.KEEPS


DIALECT = Kraken()
