"""Options of a Deribit venue or session, and the venue's names of instruments in the desk's."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from base.errors import ConfigError
from venues.limits import Limit, written
from venues.options import Options, Value

TARGET = "DERIBITSERVER"
DEPTHS = frozenset({0, 1, 10, 20})
"""MarketDepth(264): 0 is the whole book with increments, the others are snapshots that come again and again."""
PREFIX_MOST = 40
"""Characters of a ClOrdID before its number: 64 is all that it may have, and a label too."""
SECURITY_TYPES = frozenset({"FUT", "OPT", "FUTCO", "OPTCO"})
_SYMBOL = re.compile(r"([A-Z0-9]+)(?:_([A-Z0-9]+))?-(PERPETUAL|\d{1,2}[A-Z]{3}\d{2})")

Label = Literal["cl_ord_id", "session", "free"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked options; docs/venues/deribit.md describes each."""

    cancels_on_loss: bool | None
    sequential: bool
    logon_reset: bool
    label: Label
    cl_ord_id_prefix: str
    mass_cancel_type: str
    security_type: str
    currency: str
    freeze_quotes: bool
    market_px: str
    trigger_orders: bool
    skip_block_trades: bool
    subscriptions_per_s: int
    orders_per_s: int
    orders_burst: int
    rate_limits: tuple[Limit, ...]

    @property
    def ord_types(self) -> frozenset[str]:
        """OrdType as the desk has it: market, limit, market with what is left as limit; stop and stop limit."""
        return frozenset("12K34") if self.trigger_orders else frozenset("12K")


TIMES_IN_FORCE = frozenset("0134")


def read(values: dict[str, Value], path: str) -> Settings:
    """Options into settings; ConfigError names `path` and the key."""
    o = Options(values, path)
    losses = {"on_stop": None, "on": True, "off": False}
    labels: dict[str, Label] = {"cl_ord_id": "cl_ord_id", "session": "session", "free": "free"}
    scopes = {"all": "7", "security_type": "5", "label": "10"}
    settings = Settings(
        cancels_on_loss=losses[o.text("cancel_on_disconnect", "on_stop", losses)],
        sequential=o.flag("sequential", True),
        logon_reset=o.flag("logon_reset", False),
        label=labels[o.text("label", "cl_ord_id", labels)],
        cl_ord_id_prefix=o.text("cl_ord_id_prefix"),
        mass_cancel_type=scopes[o.text("mass_cancel", "all", scopes)],
        security_type=o.text("security_type", "", {"", *SECURITY_TYPES}),
        currency=o.text("currency"),
        freeze_quotes=o.flag("freeze_quotes", False),
        market_px=o.text("market_px", "zero", ("zero", "omit")),
        trigger_orders=o.flag("trigger_orders", False),
        skip_block_trades=o.flag("skip_block_trades", True),
        subscriptions_per_s=o.integer("subscriptions_per_s", 10, 1, 20),
        orders_per_s=o.integer("orders_per_s", 5, 1, 1000),
        orders_burst=o.integer("orders_burst", 20, 10, 10_000),
        rate_limits=tuple(written(text, f"{path}.rate_limits") for text in sorted(o.texts("rate_limits", ()))),
    )
    o.end()
    if len(settings.cl_ord_id_prefix) > PREFIX_MOST:
        raise ConfigError(f"{path}.cl_ord_id_prefix: more than {PREFIX_MOST} characters")
    if (settings.mass_cancel_type == "5") != bool(settings.security_type):
        raise ConfigError(f'{path}.security_type: goes with mass_cancel = "security_type", and that with it')
    if settings.mass_cancel_type == "10" and settings.label != "session":
        raise ConfigError(f'{path}.mass_cancel: by label needs label = "session": each order then carries it')
    return settings


def desk_name(symbol: str) -> str:
    """The desk's name of a venue's symbol, "" for what it does not trade: options, combinations, spot pairs.

    BTC-PERPETUAL is BTC-USD-PERP, XRP_USDC-30JUN23 is XRP-USDC-20230630.
    """
    found = _SYMBOL.fullmatch(symbol)
    if found is None:
        return ""
    pair = f"{found[1]}-{found[2] or 'USD'}"
    if found[3] == "PERPETUAL":
        return f"{pair}-PERP"
    try:
        expiry = datetime.strptime(found[3].title(), "%d%b%y").replace(tzinfo=UTC)
    except ValueError:
        return ""
    return f"{pair}-{expiry:%Y%m%d}"


def is_inverse(symbol: str) -> bool:
    """Quoted in USD and settled in its own coin: its contracts are of USD."""
    return "_" not in symbol
