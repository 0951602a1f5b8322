"""Coinbase Prime's rate limits as data (coinbase-prime.md, 9; REST: the venue's page of REST rate limits)."""

from venues.coinbase_prime.settings import Settings
from venues.limits import FREE, ONE, Limit, RateLimits

_ORDERS = {"new": ONE, "amend": ONE}
_ORDERS_AND_CANCELS = {**_ORDERS, "cancel": ONE}
_MESSAGES = Limit(
    name="messages", most=50, per_s=1, reserve=12, spare=2, source="50 messages/s a session, excess rejected",
    costs={"swept": FREE}, cancels_wait=True,
)  # fmt: skip


def rate_limits(settings: Settings) -> RateLimits:
    """By session and by portfolio. Whether cancels count against the portfolio's orders is not documented."""
    orders = Limit(
        name="orders", most=50, per_s=1, scope="account", reserve=12, spare=1, otherwise=FREE,
        costs=_ORDERS_AND_CANCELS if settings.cancels_count else _ORDERS,
        source="50 orders/s a portfolio, over all sessions",
    )  # fmt: skip
    rest = (
        Limit(name="portfolio", most=25, per_s=1, scope="account", reserve=8, spare=1, source="REST, 25/s a portfolio"),
        Limit(
            name="address", most=100, per_s=1, scope="address", reserve=20, spare=2, breach="ban",
            source="REST, 100/s an address, then none for 30 s",
        ),
    )  # fmt: skip
    return RateLimits(orders=(_MESSAGES, orders, *settings.rate_limits), rest=rest)
