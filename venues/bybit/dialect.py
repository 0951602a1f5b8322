"""Bybit Spot (FIX 4.4 order entry; bybit.md, 3.3, 4.4 and 5.8). docs/venues/bybit.md has options and what is unproven.

Numbers start at 1 with every connection and nothing is ever resent, so a lost connection loses reports: REST makes up
for it. Responses are always asked for in full (25036=1): the other mode hides fills and final cancels. In that mode
every connection of the UID hears of all its orders, those of people and of REST too: a session of kind dropcopy is one
more connection that sends nothing. What a lost connection does is not documented: orders are taken to stay. A name
whose connection ended without a Logout is refused for 30 s.
"""

from base.config import Kind, SessionConfig, VenueConfig
from base.errors import ConfigError, SecretError
from fix.codec import BodyWriter, FieldRules, Message
from fix.settings import SequencePolicy
from venues.bybit import settings as options
from venues.bybit.limits import rate_limits
from venues.bybit.orders import Orders
from venues.bybit.plan import cancel_plan, open_orders
from venues.bybit.reports import GROUPS, Reports
from venues.bybit.rest import Rest
from venues.bybit.settings import COMP_ID, HEARTBEAT_S, MOST_SESSIONS, ORD_TYPES, TARGET, TIMES_IN_FORCE, Settings
from venues.bybit.signing import logon_signature, private_key
from venues.facts import RestCall, Wire
from venues.fix_dialect import Said
from venues.fix_session import open_store
from venues.fix_venue import FixVenue, session_settings
from venues.ids import IdSource, PrefixedIds, default_prefix, lane_of
from venues.interface import CancelPlan, Capabilities, Disconnect, Replace, RestApi, SessionContext
from venues.options import merged

_WIRE = Wire("FIX.4.4", SequencePolicy.RESET_AT_LOGON, resend=False)
_REST: frozenset[RestCall] = frozenset({"open_orders", "order", "trades", "balances", "cancel_all", "cancel_order"})
_VALID_MS = 5_000
"""How long a logon's signature holds."""


class _Profile:
    """What every session says."""

    def __init__(self, context: SessionContext) -> None:
        self.rules: FieldRules | None = FieldRules(count_tags=GROUPS)
        self.report_rules = Reports().rules
        self.settings = session_settings(
            context,
            sequence_policy=SequencePolicy.RESET_AT_LOGON,
            supports_resend=False,
            order_types=frozenset({"D", "XAR"}),
        )
        if not context.username:
            raise SecretError(f"session.{context.name}.username: missing; it is the API key")
        self._api_key = context.username
        self._private_key = private_key(context.password, f"session.{context.name}.password")

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        """Signature, API key, response mode, and until when the signature holds."""
        expires_ms = wall_ns // 1_000_000 + _VALID_MS
        body = BodyWriter()
        body.data(95, 96, logon_signature(self._private_key, expires_ms))
        body.text(553, self._api_key)
        body.integer(25036, 1)
        body.integer(30023, expires_ms)
        return body.take()

    def other(self, message: Message) -> list[Said] | None:
        """Nothing beyond the common messages."""
        return None


class _Trading(Orders, _Profile):
    def __init__(self, context: SessionContext, settings: Settings) -> None:
        _Profile.__init__(self, context)
        Orders.__init__(self, settings)
        self.store = open_store(context)
        prefix = settings.cl_ord_id_prefix or default_prefix(context.name)
        self.ids: IdSource = PrefixedIds(self.store, prefix, lane_of(context))


class Bybit(FixVenue):
    """The dialect."""

    name = "bybit"

    def capabilities(self, venue: VenueConfig) -> Capabilities:
        """As documented; how open orders are learnt depends on whether REST is configured."""
        return Capabilities(
            kinds=frozenset({Kind.TRADING, Kind.DROPCOPY}),
            levels=frozenset(),
            new_types=ORD_TYPES,
            times_in_force=TIMES_IN_FORCE,
            replace=Replace.IN_PLACE,
            status_request=venue.rest is not None,
            mass_cancel=False,
            mass_cancel_report=False,
            open_orders=open_orders(venue),
            disconnect=Disconnect.UNKNOWN,
            resend=False,
            numbers_go_on=False,
            checksum=False,
            update_ids=False,
            reference_data=False,
            trading_status=False,
            planned_moves=False,
            account_wide_reports=True,
            limits=rate_limits(options.read(dict(venue.options), "options")),
            shared_trade_ids=False,  # nothing says that FillExecID(30051) is the execId of REST
            documented="2026-08-24",  # its newest samples
            session_status=False,
            wires=dict.fromkeys((Kind.TRADING, Kind.DROPCOPY), _WIRE),
            rest=_REST if venue.rest is not None else frozenset(),
        )

    def check(self, venue: VenueConfig, sessions: dict[str, SessionConfig], path: str) -> None:
        """ConfigError naming what the venue does not take."""
        options.read(dict(venue.options), f"{path}.options")
        if len(sessions) > MOST_SESSIONS:
            raise ConfigError(
                f"{path}: a machine has {MOST_SESSIONS} connections at most, these are {sorted(sessions)}"
            )
        owners: dict[str, str] = {}
        for name, session in sessions.items():
            options.read(merged(venue, session), f"session.{name}.options")
            _check_session(f"session.{name}", session)
            for own in filter(None, (session.sender_comp_id, session.alternate_sender_comp_id)):
                if owners.setdefault(own, name) != name:
                    raise ConfigError(f"session.{name}.sender_comp_id: {own!r} is session.{owners[own]}'s")

    def cancel_plan(self, venue: VenueConfig) -> CancelPlan:
        """One 35=F an order by its owner; REST cancels all."""
        return cancel_plan(venue)

    def trading_profile(self, context: SessionContext) -> _Trading:
        """Order entry."""
        return _Trading(context, options.read(merged(context.venue, context.config), f"session.{context.name}.options"))

    def dropcopy_profile(self, context: SessionContext) -> _Profile:
        """One more connection, which only listens."""
        return _Profile(context)

    def rest(self, venue: VenueConfig, key: str, secret: str, passphrase: str = "") -> RestApi | None:
        """Spot of the V5 REST side."""
        if venue.rest is None:
            return None
        return Rest(key, secret, options.read(dict(venue.options), "options").recv_window_ms)


def _check_session(path: str, session: SessionConfig) -> None:
    if session.kind is Kind.MARKETDATA:
        raise ConfigError(f"{path}.kind: bybit has no market data over FIX")
    for key in ("sender_comp_id", "alternate_sender_comp_id"):
        value = getattr(session, key)
        if (value or key == "sender_comp_id") and not COMP_ID.fullmatch(value):
            raise ConfigError(f"{path}.{key}: {value!r} is not 1 to 16 letters, digits, - or _")
    if session.sender_comp_id == session.alternate_sender_comp_id:
        raise ConfigError(f"{path}.alternate_sender_comp_id: the same as sender_comp_id, which is still in use then")
    if session.target_comp_id != TARGET:
        raise ConfigError(f"{path}.target_comp_id: {session.target_comp_id!r} is not {TARGET!r}")
    if session.heartbeat_s != HEARTBEAT_S:
        raise ConfigError(f"{path}.heartbeat_s: {session.heartbeat_s} is not {HEARTBEAT_S}, by which the venue goes")


DIALECT = Bybit()
