"""What dialects over FIX have in common: a dialect says what its sessions say (profiles), this makes the sessions."""

from collections.abc import Iterable
from typing import Any, Protocol

from base.calendar import Rule
from base.config import Kind
from base.errors import ConfigError
from fix.settings import Role, SessionSettings
from fix.store import MemoryStore, MessageStore
from venues.calendar import session_calendar
from venues.fix_dialect import DropCopyProfile, MarketDataProfile, TradingProfile
from venues.fix_marketdata import FixMarketDataSession
from venues.fix_session import open_store
from venues.fix_trading import FixDropCopySession, FixTradingSession
from venues.interface import RecordSink, SessionContext, Sink

MD_BODY_LIMIT = 64 << 20
"""A market-data message may be as long as a whole deep book."""


def session_settings(context: SessionContext, rules: Iterable[Rule] = (), **more: Any) -> SessionSettings:
    """An initiator's settings: configuration, the calendar and `rules` beside it, `more` of the dialect."""
    config = context.config
    market_data = config.kind is Kind.MARKETDATA
    calendar = session_calendar(context.venue, config, rules, f"venue.{config.venue}")
    return SessionSettings(
        name=context.name,
        role=Role.INITIATOR,
        sender_comp_id=context.sender_comp_id or config.sender_comp_id,
        target_comp_id=config.target_comp_id,
        heartbeat_s=config.heartbeat_s,
        resets=calendar.resets(),
        max_body_length=MD_BODY_LIMIT if market_data else 1 << 20,
        **more,
    )


class StoredTradingProfile(TradingProfile, Protocol):
    """Order entry whose ids are drawn from the session's own store."""

    store: MessageStore


class FixVenue:
    """A dialect overrides the profiles of the kinds that its venue has; the others are configuration errors."""

    name: str

    def variants(self) -> dict[str, dict[str, Any]]:
        """Without options, unless the dialect knows better."""
        return {"": {}}

    def trading_profile(self, context: SessionContext) -> StoredTradingProfile:
        """What an order-entry session says."""
        raise self._none(context, "order entry")

    def marketdata_profile(self, context: SessionContext) -> MarketDataProfile:
        """What a market-data session says."""
        raise self._none(context, "market data")

    def dropcopy_profile(self, context: SessionContext) -> DropCopyProfile:
        """What a drop-copy session says."""
        raise self._none(context, "drop copy")

    def trading(self, context: SessionContext, sink: Sink) -> FixTradingSession:
        """An order-entry session."""
        profile = self.trading_profile(context)
        return FixTradingSession(context, sink, profile, profile.store)

    def marketdata(self, context: SessionContext, sink: Sink, records: RecordSink) -> FixMarketDataSession:
        """A market-data session; its numbers begin anew with each process, subscriptions being gone with it."""
        profile = self.marketdata_profile(context)
        return FixMarketDataSession(context, sink, profile, MemoryStore(context.epoch), records)

    def dropcopy(self, context: SessionContext, sink: Sink) -> FixDropCopySession:
        """A session that is sent copies of reports."""
        return FixDropCopySession(context, sink, self.dropcopy_profile(context), open_store(context))

    def _none(self, context: SessionContext, what: str) -> ConfigError:
        return ConfigError(f"session.{context.name}.kind: {self.name} has no {what} over FIX")
