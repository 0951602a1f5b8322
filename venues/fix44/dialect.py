"""A plain, standards-only FIX 4.4 venue, made by configuration alone. docs/venues/fix44.md lists its options."""

from collections.abc import Callable, Iterable
from typing import Any

from base.calendar import daily_rollovers
from base.config import Kind, SessionConfig, VenueConfig
from base.errors import ConfigError
from base.instruments import Instrument
from fix.codec import BodyWriter, FieldRules, MdDecoder, Message
from fix.settings import SequencePolicy
from fix.store import MemoryStore, MessageStore
from venues.facts import RestCall, Wire
from venues.fix44 import settings as options
from venues.fix44.logon import LogonWriter
from venues.fix44.orders import Orders
from venues.fix44.plan import cancel_plan, open_orders
from venues.fix44.rest import Rest
from venues.fix44.sessions import PlainDropCopy, PlainMarketData, PlainTrading
from venues.fix44.settings import Settings
from venues.fix_dialect import Notice, Reference, ReportRules, Said
from venues.fix_session import open_store
from venues.fix_venue import FixVenue, session_settings
from venues.ids import IdSource, NumberIds, PrefixedIds, default_lane, default_prefix, lane_of
from venues.interface import (
    BookRule,
    CancelPlan,
    Capabilities,
    RecordSink,
    Replace,
    RestApi,
    SessionContext,
    Sink,
)
from venues.limits import FREE, Limit, RateLimits
from venues.options import merged


class _Profile:
    def __init__(self, context: SessionContext, settings: Settings) -> None:
        market_data = context.config.kind is Kind.MARKETDATA
        self.rules: FieldRules | None = None
        self.report_rules = ReportRules(commission_in=_commission(settings.commission_in, context.instruments))
        self.settings = session_settings(
            context,
            daily_rollovers(settings.reset_at_s),
            # Subscriptions die with their connection: market data has nothing to go on with.
            sequence_policy=SequencePolicy.RESET_AT_LOGON if market_data else settings.sequence,
            supports_resend=settings.resend,
            begin_string=settings.begin_string,
            secret_tags=settings.logon.secret_tags,
        )
        comp_ids = self.settings.sender_comp_id, self.settings.target_comp_id
        self._logon = LogonWriter(context, settings.logon, *comp_ids)

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        """As `logon` says; without it Username(553) and Password(554) where there are any."""
        return self._logon.body(seq_num, sending_time, wall_ns)

    def other(self, message: Message) -> list[Said] | None:
        """News is for people; the standard's order and market-data messages are all common ones."""
        if message.msg_type != "B":
            return None
        said = [message.get_str(tag) or "" for tag in (148, 58)]
        return [Notice("warning", "news", ": ".join(text for text in said if text))]


class _Trading(Orders, _Profile):
    def __init__(self, context: SessionContext, settings: Settings) -> None:
        _Profile.__init__(self, context, settings)
        Orders.__init__(self, settings)
        store = open_store(context)
        self.store = store
        self.ids = _ids(context, settings, store)


class _MarketData(_Profile):
    has_reference = False

    def __init__(self, context: SessionContext, settings: Settings) -> None:
        super().__init__(context, settings)
        config = context.config
        self._l3 = config.level == 3
        self._depth = config.depth
        self._order_id_tag = settings.order_id_tag if self._l3 else 0
        self.requests_per_s = settings.subscriptions_per_s
        self._book_id_tag = settings.book_id_tag
        self.rule = BookRule(continuity="newest" if settings.book_id_tag else "none", window=config.depth)

    def decoder(self) -> MdDecoder:
        """Entries by price, for L3 by their order id."""
        return MdDecoder(order_key_tag=self._order_id_tag, last_id_tag=self._book_id_tag)

    def rule_of(self, instrument: Instrument, reference: Reference | None) -> BookRule:
        """Every instrument has the session's rule."""
        return self.rule

    def subscribe(self, body: BodyWriter, req_id: str, instrument: Instrument) -> str:
        """35=V 263=1: snapshot and updates of bids, offers and (L2) trades."""
        body.text(262, req_id)
        body.text(263, "1")
        self._what(body, instrument)
        return "V"

    def unsubscribe(self, body: BodyWriter, req_id: str, instrument: Instrument) -> str:
        """35=V 263=2."""
        body.text(262, req_id)
        body.text(263, "2")
        self._what(body, instrument)
        return "V"

    def companions(self, instrument: Instrument) -> list[tuple[str, bytes]]:
        """None: trades come with the book."""
        return []

    def reference_requests(self, instruments: list[Instrument]) -> list[tuple[str, bytes]]:
        """None: instruments are what the configuration says."""
        return []

    def _what(self, body: BodyWriter, instrument: Instrument) -> None:
        body.integer(264, self._depth)
        body.integer(265, 1)
        body.boolean(266, not self._l3)
        entries = ("0", "1") if self._l3 else ("0", "1", "2")
        body.integer(267, len(entries))
        for entry in entries:
            body.text(269, entry)
        body.integer(146, 1)
        body.text(55, instrument.symbol)


class Fix44(FixVenue):
    """The dialect."""

    name = "fix44"

    def capabilities(self, venue: VenueConfig) -> Capabilities:
        """What the configured messages allow."""
        settings = _settings(venue)
        knows = settings.messages
        return Capabilities(
            kinds=settings.kinds,
            levels=settings.levels if "V" in knows else frozenset(),
            new_types=settings.ord_types if "D" in knows else frozenset(),
            times_in_force=settings.times_in_force if "D" in knows else frozenset(),
            replace=Replace.IN_PLACE if "G" in knows else Replace.NONE,
            status_request="H" in knows or settings.rest,
            mass_cancel="q" in knows,
            mass_cancel_report="q" in knows and settings.mass_cancel_report,
            open_orders=open_orders(settings),
            disconnect=settings.on_disconnect,
            resend=_resends(settings),
            checksum=False,
            update_ids=bool(settings.book_id_tag),
            reference_data=False,
            trading_status=False,
            planned_moves=False,
            account_wide_reports=settings.account_wide_reports,
            numbers_go_on=settings.sequence is not SequencePolicy.RESET_AT_LOGON,
            mass_cancel_by_instrument=settings.mass_cancel_by_instrument,
            limits=RateLimits(orders=_order_limits(settings)),
            documented="2003-06-18",  # the standard's own: FIX 4.4 with its errata
            wires={kind: _wire(kind, settings) for kind in settings.kinds},
            session_status="H" in knows,
            mass_status="AF" in knows,
            rest=_rest_calls(settings),
        )

    def variants(self) -> dict[str, dict[str, Any]]:
        """As it stands, and with everything that an option turns on."""
        more: dict[str, Any] = {"messages": sorted(options.MESSAGES), "levels": ["2", "3"], "rest": True}
        return {"": {}, "all options": more | {"rest_calls": sorted(options.REST_CALLS)}}

    def check(self, venue: VenueConfig, sessions: dict[str, SessionConfig], path: str) -> None:
        """ConfigError naming what the venue cannot be or do."""
        capabilities_of = options.read(dict(venue.options), f"{path}.options")
        if capabilities_of.replay_proves and not _resends(capabilities_of):
            raise ConfigError(f"{path}.options.open_orders: replay wants numbers that go on and resend = true")
        if capabilities_of.rest and venue.rest is None:
            raise ConfigError(f"{path}.rest: missing, though options.rest is true")
        for name, session in sessions.items():
            settings = options.read(merged(venue, session), f"session.{name}.options")
            _check_session(session, settings, f"session.{name}")
            if session.kind is Kind.MARKETDATA:
                if "V" not in settings.messages:
                    raise ConfigError(f"session.{name}.kind: options.messages has no V")
                if session.level not in settings.levels:
                    raise ConfigError(f"session.{name}.level: {session.level} is not one of {sorted(settings.levels)}")
                if settings.depths and session.depth not in settings.depths:
                    raise ConfigError(f"session.{name}.depth: {session.depth} is not one of {sorted(settings.depths)}")
                if settings.one_subscription and len(session.instruments or venue.instruments) > 1:
                    raise ConfigError(f"session.{name}.instruments: one a session, options.one_subscription is true")

    def cancel_plan(self, venue: VenueConfig) -> CancelPlan:
        """Mass cancel as far as configured; single cancels by the owner; the list where there is one."""
        return cancel_plan(venue, _settings(venue))

    def trading(self, context: SessionContext, sink: Sink) -> PlainTrading:
        """An order-entry session."""
        profile = self.trading_profile(context)
        return PlainTrading(context, sink, profile, profile.store, _read(context))

    def marketdata(self, context: SessionContext, sink: Sink, records: RecordSink) -> PlainMarketData:
        """A market-data session."""
        profile, store = self.marketdata_profile(context), MemoryStore(context.epoch)
        return PlainMarketData(context, sink, profile, store, records, _read(context))

    def dropcopy(self, context: SessionContext, sink: Sink) -> PlainDropCopy:
        """A session that is sent copies of reports."""
        profile = self.dropcopy_profile(context)
        return PlainDropCopy(context, sink, profile, open_store(context), _read(context))

    def trading_profile(self, context: SessionContext) -> _Trading:
        """Order entry."""
        return _Trading(context, _read(context))

    def marketdata_profile(self, context: SessionContext) -> _MarketData:
        """Market data, where 35=V is known."""
        return _MarketData(context, _read(context))

    def dropcopy_profile(self, context: SessionContext) -> _Profile:
        """Copies of the account's reports."""
        return _Profile(context, _read(context))

    def rest(self, venue: VenueConfig, key: str, secret: str, passphrase: str = "") -> RestApi | None:
        """The REST side where `rest` is on."""
        settings = _settings(venue)
        return Rest(key, secret, settings.rest_calls) if settings.rest else None


def _settings(venue: VenueConfig) -> Settings:
    return options.read(dict(venue.options), "options")


def _check_session(session: SessionConfig, settings: Settings, path: str) -> None:
    if session.kind not in settings.kinds:
        raise ConfigError(f"{path}.kind: options.kinds has no {session.kind}")
    if missing := [key for key in sorted(settings.logon.needs) if not getattr(session, key)]:
        raise ConfigError(f"{path}.{missing[0]}: missing, though options.logon or signature needs it")


def _ids(context: SessionContext, settings: Settings, store: MessageStore) -> IdSource:
    if settings.cl_ord_ids == "number":
        lane = settings.id_lane if settings.id_lane >= 0 else default_lane(context.name)
        return NumberIds(store, context.name, lane)
    return PrefixedIds(store, settings.cl_ord_id_prefix or default_prefix(context.name), lane_of(context))


def _commission(what: str, instruments: Iterable[Instrument]) -> Callable[[str, str], str] | None:
    """Currency of Commission(12) by Symbol(55) and Side(54): the configured names say what a symbol is of."""
    if not what:
        return None
    names = {i.symbol: i.name.split("-") for i in instruments}

    def currency(symbol: str, side: str) -> str:
        base, _, quote = "-".join(names.get(symbol, [""])[:2]).partition("-")
        return base if what == "base" or (what == "received" and side == "1") else quote

    return currency


def _order_limits(settings: Settings) -> tuple[Limit, ...]:
    """What the configuration names: the venue itself documents nothing here."""
    if not settings.orders_per_s:
        return settings.rate_limits
    per_s = Limit(
        name="orders_a_second", most=settings.orders_per_s, per_s=1, breach="logout", source="configuration",
        costs={"swept": FREE},
        reserve=min(settings.cancel_reserve_per_s, settings.orders_per_s - 1),
    )  # fmt: skip
    return (per_s, *settings.rate_limits)


def _read(context: SessionContext) -> Settings:
    return options.read(merged(context.venue, context.config), f"session.{context.name}.options")


def _wire(kind: Kind, settings: Settings) -> Wire:
    if kind is Kind.MARKETDATA:
        return Wire(settings.begin_string, SequencePolicy.RESET_AT_LOGON, resend=settings.resend)
    return Wire(settings.begin_string, settings.sequence, resend=settings.resend)


def _rest_calls(settings: Settings) -> frozenset[RestCall]:
    if not settings.rest:
        return frozenset()
    named: dict[str, RestCall] = {
        "fills": "trades", "balances": "balances", "cancel_order": "cancel_order", "cancel_after": "cancel_after",
    }  # fmt: skip
    always: frozenset[RestCall] = frozenset({"open_orders", "order", "cancel_all"})
    return always | {named[call] for call in settings.rest_calls}


def _resends(settings: Settings) -> bool:
    return settings.resend and settings.sequence is not SequencePolicy.RESET_AT_LOGON


DIALECT = Fix44()
