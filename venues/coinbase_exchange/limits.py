"""Coinbase Exchange's rate limits as data (FIX rate limits, REST rate limits of the venue's documentation)."""

from base.config import Kind
from venues.coinbase_exchange.settings import Settings
from venues.limits import FREE, ONE, ConnectLimit, Limit, RateLimits, Refusal

_BY_MESSAGE = {"swept": FREE, "joined": FREE}


def rate_limits(settings: Settings) -> RateLimits:
    """100 requests a second are served, at 200 the session ends; a batch is one. Market data and drop copy are free."""
    requests = Limit(
        name="requests", most=100, per_s=1, costs=_BY_MESSAGE, reserve=20, spare=4, source="FIX rate limits",
        refusals=(Refusal(text="rate limit"), Refusal(text="Rate limit")),  # the form of a refusal is not documented
    )  # fmt: skip
    messages = Limit(
        name="messages", most=200, per_s=1, costs=_BY_MESSAGE, reserve=40, spare=10, breach="logout",
        source="FIX rate limits",
    )  # fmt: skip
    too_many = (Refusal(text="Too Many Requests"), Refusal(text="rate limit"))
    rest = Limit(
        name="rest", most=30, decay="15", scope="account", reserve=8, spare=2, refusals=too_many,
        source="REST rate limits, private endpoints",
    )  # fmt: skip
    fills = Limit(
        name="rest_fills", most=20, decay="10", scope="account", costs={"GET /fills": ONE}, otherwise=FREE, spare=2,
        refusals=too_many, source="REST rate limits, /fills",
    )  # fmt: skip
    return RateLimits(
        orders=(requests, messages, *settings.rate_limits),
        rest=(rest, fills),
        connects=(
            ConnectLimit(
                kinds=frozenset(Kind), most=20, per_s=60, reserve=4, spacing_ms=600,
                source="2 logons a second for each key; the number a minute is a careful guess",
            ),
        ),
    )  # fmt: skip
