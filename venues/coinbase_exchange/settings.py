"""Options of a Coinbase Exchange venue or session; docs/venues/coinbase_exchange.md describes each."""

from dataclasses import dataclass
from typing import Literal

from base.config import Kind
from venues.limits import Limit, written
from venues.options import Options, Value

TARGET = "Coinbase"
HEARTBEAT_MOST_S = {Kind.TRADING: 30, Kind.MARKETDATA: 300, Kind.DROPCOPY: 300}
SELF_TRADE = frozenset("DONB")
"""SelfTradeType(7928): decrement and cancel, cancel oldest, cancel newest, cancel both."""
BATCH_MOST = 15
"""Orders in one 35=U6 or U4."""
RESEND_MOST = 999
"""Numbers in one ResendRequest: 1000 are allowed, the documented pages have one less."""

OnLoss = Literal["session", "profile", "off"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked options."""

    resumes: bool
    on_loss: OnLoss | None
    self_trade: str
    sender_sub_id: str
    trade_reduces: bool
    subscriptions_per_s: int
    rate_limits: tuple[Limit, ...]


def read(values: dict[str, Value], path: str) -> Settings:
    """Options into settings; ConfigError names `path` and the key."""
    o = Options(values, path)
    losses: dict[str, OnLoss | None] = {"session": "session", "profile": "profile", "off": "off", "on_stop": None}
    settings = Settings(
        resumes=o.text("sequence", "resume", ("resume", "reset")) == "resume",
        on_loss=losses[o.text("cancel_on_disconnect", "on_stop", losses)],
        self_trade=o.text("self_trade_prevention", "N", SELF_TRADE),
        sender_sub_id=o.text("sender_sub_id"),
        trade_reduces=o.flag("trade_reduces", True),
        subscriptions_per_s=o.integer("subscriptions_per_s", 10, 1, 1000),
        rate_limits=tuple(written(text, f"{path}.rate_limits") for text in sorted(o.texts("rate_limits", ()))),
    )
    o.end()
    return settings
