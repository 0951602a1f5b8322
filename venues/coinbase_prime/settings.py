"""Options of a Coinbase Prime venue or session."""

import re
from dataclasses import dataclass

from base.errors import ConfigError
from venues.limits import Limit, written
from venues.options import Options, Value

TARGET = "COIN"
MOST_SESSIONS = 7
"""FIX sessions of a portfolio at once."""
MOST_HEARTBEAT_S = 300
"""Of market data; for order entry none is documented."""
ORD_TYPES = frozenset("124P")
"""1 market, 2 limit (TWAP and VWAP by an option), 4 stop limit, P pegged; D, an accepted quote, is not supported."""
TIMES_IN_FORCE = frozenset("1346")
_PORTFOLIO = re.compile(r"[0-9A-Za-z_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked options; docs/venues/coinbase_prime.md describes each."""

    portfolio_id: str
    resume: bool
    amend: bool
    cancels_count: bool
    buying_power: bool
    cl_ord_id_prefix: str
    market_data: bool
    md_update_type: str
    subscriptions_per_s: int
    rate_limits: tuple[Limit, ...]


def read(values: dict[str, Value], path: str) -> Settings:
    """Options into settings; ConfigError names `path` and the key."""
    o = Options(values, path)
    settings = Settings(
        portfolio_id=o.text("portfolio_id"),
        resume=o.text("sequence", "reset", ("reset", "resume")) == "resume",
        amend=o.flag("amend", False),
        cancels_count=o.flag("cancels_count", True),
        buying_power=o.flag("buying_power", False),
        cl_ord_id_prefix=o.text("cl_ord_id_prefix"),
        market_data=o.flag("market_data_beta", False),
        md_update_type=o.text("md_update_type", "0", ("0", "1")),
        subscriptions_per_s=o.integer("subscriptions_per_s", 10, 1, 50),
        rate_limits=tuple(written(text, f"{path}.rate_limits") for text in sorted(o.texts("rate_limits", ()))),
    )
    o.end()
    if not _PORTFOLIO.fullmatch(settings.portfolio_id):
        raise ConfigError(
            f"{path}.portfolio_id: {settings.portfolio_id!r} is not the portfolio's id; the venue needs it"
        )
    return settings
