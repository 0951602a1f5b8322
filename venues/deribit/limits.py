"""Deribit's rate limits as data: credits of a sub-account that fill again, whoever spends them.

They stand outside the FIX documentation, in the venue's article on rate limits (crawled in 2026), by the volume of the
last seven days: 5 requests a second and 20 at once at first, 30 and 100 at most. One without credit ends the session.
"""

from venues.deribit.settings import Settings
from venues.limits import FREE, Limit, RateLimits, Refusal

_SOURCE = "the venue's article on rate limits"
_TOO_MANY = (Refusal(code="10028"), Refusal(text="too_many_requests"))


def rate_limits(settings: Settings) -> RateLimits:
    """Requests that reach the matching engine over any interface; REST's others have credits of their own."""
    burst = settings.orders_burst
    orders = Limit(
        name="matching", most=burst, decay=str(settings.orders_per_s), scope="account", reserve=burst // 4,
        spare=max(burst // 10, 1), costs={"swept": FREE, "status": FREE}, breach="logout", refusals=_TOO_MANY,
        source=_SOURCE,
    )  # fmt: skip
    cancels = {f"GET /api/v2/private/{call}": FREE for call in ("cancel", "cancel_all", "cancel_by_label")}
    rest = Limit(
        name="rest", most=100, decay="20", scope="account", costs=cancels, reserve=20, spare=5, refusals=_TOO_MANY,
        source=_SOURCE,
    )  # fmt: skip
    matching = Limit(
        name="rest_matching", most=burst, decay=str(settings.orders_per_s), scope="account",
        costs=dict.fromkeys(cancels, orders.otherwise), otherwise=FREE, spare=1, refusals=_TOO_MANY, source=_SOURCE,
    )  # fmt: skip
    return RateLimits(orders=(orders, *settings.rate_limits), rest=(rest, matching))
